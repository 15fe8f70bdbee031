"""Derivatives of expressions, the law of the insertion, the statements that insert."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffquantum.errors import DifferentiationError
from diffquantum.ir import (
    Binary,
    Call,
    Const,
    Gate,
    If,
    Index,
    Measure,
    Parameter,
    Program,
    Select,
    Unary,
    Var,
    While,
    parts,
    walk,
)
from diffquantum.simulate.evaluate import evaluate
from diffquantum.tidy import compute
from diffquantum.transform import Roulette, derivative, differentiate
from diffquantum.transform.derivative import gradient_program, has_unbounded_occurrences, occurrence_program
from diffquantum.transform.gadget import heavy_tail
from diffquantum.transform.simplify import ZERO, add, divide, fresh, multiply, negate, number, select, subtract, type_of
from qml._core.errors import ConfigError, GradketError
from tests.helpers import programs as lib

T, P = Parameter(0), Parameter(1)


def plain(e, theta):
    """The value of an expression without variables, in plain Python."""
    match e:
        case Parameter(index):
            return float(theta[index])
        case Const(value):
            return value
        case Index(table, index):
            return table[plain(index, theta)]
        case Select(condition, yes, no):
            return plain(yes if plain(condition, theta) else no, theta)
        case _:
            return compute(e.op, *(plain(part, theta) for part in parts(e)))


def expressions():
    """Smooth expressions of two parameters, positive where a logarithm or a root needs it."""
    leaves = st.sampled_from([T, P, Const(0.7), Const(2.0), Index((0.3, 1.2), Const(1))])

    def grow(inner):
        positive = inner.map(lambda e: Binary("add", Binary("mul", e, e), Const(0.5)))
        small = inner.map(lambda e: Binary("mul", Const(0.4), Unary("sin", e)))
        return st.one_of(
            st.builds(Unary, st.sampled_from(["neg", "sin", "cos", "atan"]), inner),
            st.builds(Unary, st.sampled_from(["sqrt", "log"]), positive),
            st.builds(Unary, st.sampled_from(["asin", "acos", "tan", "exp"]), small),
            st.builds(Binary, st.sampled_from(["add", "sub", "mul"]), inner, inner),
            st.builds(lambda x, y: Binary("div", x, y), inner, positive),
            st.builds(lambda x, y: Binary("pow", x, y), positive, small),
            st.builds(lambda x: Binary("pow", x, Const(3)), inner),
            st.builds(lambda x: Select(Binary("lt", x, x), x, Unary("sin", x)), inner),
        )

    return st.recursive(leaves, grow, max_leaves=6)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(expressions(), st.floats(0.2, 1.4), st.floats(0.2, 1.4), st.integers(0, 1))
def test_differentiate_against_differences(e, a, b, j):
    theta = np.array([a, b])

    def value(x):
        return plain(e, x)

    h = 1e-3 * np.eye(2)[j]
    if abs(value(theta)) > 1e3:
        return
    f = [value(theta + k * h) for k in (-2, -1, 1, 2)]
    numeric = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / 12e-3
    exact = plain(differentiate(e, j), theta)
    assert abs(exact - numeric) < 1e-6 * max(1, abs(exact), *map(abs, f))


@pytest.mark.parametrize(
    ("e", "slope"),
    [
        (Unary("abs", Binary("sub", T, Const(2.0))), -1.0),
        (Unary("float", Unary("trunc", Binary("mul", T, Const(5.0)))), 0.0),
        (Binary("mod", Binary("mul", Const(7.0), T), P), 7.0),
        (Binary("min", T, P), 0.0),
        (Binary("max", T, P), 1.0),
        (Select(Binary("lt", T, P), Const(1.0), Const(2.0)), 0.0),
    ],
)
def test_differentiate_where_it_is_piecewise(e, slope):
    theta = np.array([1.1, 0.7])
    assert plain(differentiate(e, 0), theta) == pytest.approx(slope, abs=1e-12)


def test_tangents_of_variables():
    e = Binary("mul", Var("w"), P)
    assert differentiate(e, 1, {"w": "dw"}) == Binary("add", Binary("mul", Var("dw"), P), Var("w"))
    assert differentiate(e, 0, {}) == ZERO


def test_builders_keep_expressions_small():
    x = Var("x")
    assert add(ZERO, x) == x == multiply(Const(1.0), x) == divide(x, Const(1.0)) == subtract(x, ZERO)
    assert negate(negate(x)) == x == select(Var("c"), x, x)
    assert multiply(x, ZERO) == ZERO == divide(ZERO, x) == negate(ZERO)
    assert add(Const(1.0), Const(2.0)) == Const(3.0) and subtract(Const(1.0), Const(2.0)) == Const(-1.0)
    assert fresh("w", {"w", "w_2"}) == "w_3"


def test_types():
    types = {"n": int, "b": bool, "x": float}
    for e, kind in [
        (Binary("add", Var("n"), Const(1)), int),
        (Binary("add", Var("b"), Var("b")), int),
        (Binary("mul", Var("n"), Var("x")), float),
        (Binary("and", Var("b"), Var("b")), bool),
        (Binary("lt", Var("x"), Const(0.0)), bool),
        (Select(Var("b"), Const(1), Const(2.0)), float),
        (Unary("trunc", Var("x")), int),
        (Index((1, 2), Var("n")), int),
        (T, float),
    ]:
        assert type_of(e, types) is kind


# ------------------------------------------------------------------------------------------ law


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.floats(0.05, 0.99), st.floats(0.01, 1.0), st.integers(1, 60))
def test_law_sums_to_one(ratio, heavy, table):
    law = Roulette.mixture(ratio, heavy, table)
    head = sum(law.probability(k) for k in range(1, table))
    last = law.hazards[-1]
    tail = law.probability(table) / last  # geometric with ratio 1 - last
    assert abs(head + tail - 1) < 1e-12
    assert law.probability(table + 5) == pytest.approx(law.probability(table) * (1 - last) ** 5, rel=1e-12)


def test_law_is_normalised_far_beyond_the_published_constant():
    """The published law was divided by 2.4885; its true sum is 4.7912, and more than 2.4885 lies before k = 9003."""
    mass, tail = heavy_tail(20_000)
    k = np.arange(1, 20_001)
    raw = 1 / (k * np.log(k + math.e) ** 1.25)
    total = raw[0] / mass[0]
    assert abs(total - 4.7912) < 1e-4
    assert raw[:9003].sum() > 2.4885 and mass[:9003].sum() < 0.52
    np.testing.assert_allclose(np.cumsum(mass)[:-1] + tail[1:], 1, atol=1e-12)
    law = Roulette.mixture(0.5, 1.0, 20_000)
    assert all(0 < h < 1 for h in law.hazards)
    np.testing.assert_allclose([law.probability(i) for i in (1, 9002, 9003)], mass[[0, 9001, 9002]], rtol=1e-9)


def test_uniform_law():
    law = Roulette.uniform(5)
    np.testing.assert_allclose([law.probability(k) for k in range(1, 6)], 0.2)
    assert law.probability(6) == 0


def test_bad_laws_are_refused():
    for make in (
        lambda: Roulette((0.5, 0.0)),
        lambda: Roulette((1.5,)),
        lambda: Roulette((0.5, 0.5), (1.0,)),
        lambda: Roulette.mixture(ratio=1.0),
        lambda: Roulette.mixture(heavy=0.0),
        lambda: Roulette.mixture(table=0),
    ):
        with pytest.raises(ConfigError):
            make()


def test_laws_that_miss_occurrences_are_refused():
    for program, law in ((lib.RUS, Roulette((0.5, 1.0))), (lib.CIRCUIT, Roulette((1.0,)))):
        with pytest.raises(ConfigError):
            gradient_program(program, (0, 1), law)
    assert derivative(lib.CIRCUIT, 1, Roulette((0.3, 1.0))).qubits == 3


# ------------------------------------------------------------------------------------------ programs


def test_derivative_keeps_the_shape_of_the_program():
    d = derivative(lib.RUS, "p", Roulette.mixture(table=4))
    assert (d.name, d.parameters, d.qubits, d.kind, d.register) == ("RusZ_d_p", ("t", "p"), 3, "double", ())
    assert sum(isinstance(s, While) for s in walk(d.body)) == 1
    coins = [s for s in walk(d.body) if isinstance(s, Gate) and s.qubits == (Const(2),)]
    assert len(coins) == 2  # one insertion: one throw for the place, one for the sign


def test_parameter_that_drops_out_has_derivative_zero():
    body = (lib.rotation("ry", 0, T), Measure(Const(0), "m"))
    program = Program("Only", ("t", "unused"), 1, body, (Var("m"),), "result")
    d = derivative(program, "unused")
    assert d.outputs == (ZERO,) and d.qubits == 1 and d.body == body


def test_names_do_not_clash():
    first = derivative(lib.GEOMETRIC, 0, Roulette((0.5,)))
    second = derivative(first, 0, Roulette((0.5,)))
    targets = {s.target for s in walk(second.body) if hasattr(s, "target")}
    assert {"weight", "weight_2", "fired", "fired_2"} <= targets
    assert second.qubits == 3


def test_counting_program():
    counted = occurrence_program(lib.RUS, (0, 1))
    assert counted.kind == "tuple" and len(counted.outputs) == 2
    assert has_unbounded_occurrences(lib.RUS, (1,)) and not has_unbounded_occurrences(lib.CIRCUIT, (0, 1))


def test_gradient_program_has_one_output_for_each_parameter():
    assert len(gradient_program(lib.RUS, (0, 1)).outputs) == 2
    assert gradient_program(lib.RUS_STATE, (0, 1)).register == (0,)


def test_number_of_results():
    program = Program("Two", (), 2, (Measure(Const(0), "a"), Measure(Const(1), "b")), (Var("a"), Var("b")), "results")
    assert evaluate(number(program), {"a": jnp.array(True), "b": jnp.array(True)}, jnp.zeros(0)) == 3.0


def test_what_cannot_be_differentiated():
    with pytest.raises(ConfigError):
        derivative(lib.RUS, "q")
    with pytest.raises(ConfigError):
        derivative(lib.RUS, 2)
    branch = Program("Branch", ("t",), 1, (If(Binary("lt", T, Const(1.0)), (Gate("x", (Const(0),)),)),), register=(0,))
    with pytest.raises(DifferentiationError):
        derivative(branch, 0)
    pair = Program("Pair", ("t",), 1, lib.GEOMETRIC.body, (Var("n"), Var("n")), "tuple")
    with pytest.raises(GradketError):
        gradient_program(pair, (0,))
    assert len(derivative(pair, 0).outputs) == 2
    with pytest.raises(GradketError):
        derivative(Program("Calls", ("t",), 1, (Call("f", ()),)), 0)


def test_insertion_happens_once_and_in_one_place():
    d = derivative(lib.GEOMETRIC, 0, Roulette((0.3, 0.2), (1.0, 2.0)))
    guards = [s for s in walk(d.body) if isinstance(s, If) and s.condition == Unary("not", Var("fired"))]
    assert len(guards) == 2 and "level" in {s.target for g in guards for s in walk(g.then) if hasattr(s, "target")}
