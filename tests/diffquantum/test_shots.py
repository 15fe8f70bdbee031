"""The shot simulator against the exact engine, matrices, and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.random import threefry_2x32

from diffquantum.errors import UnsupportedError
from diffquantum.ir import (
    BINARY,
    FIXED,
    ROTATIONS,
    UNARY,
    Assign,
    Binary,
    Call,
    Const,
    Gate,
    If,
    Index,
    Measure,
    Parameter,
    Program,
    Reset,
    Select,
    Unary,
    Var,
    While,
)
from diffquantum.simulate import statevector as sv
from diffquantum.simulate.coins import chance, coin_qubits
from diffquantum.simulate.draws import commuting_groups, threefry
from diffquantum.simulate.evaluate import evaluate
from diffquantum.simulate.gates import fixed, pauli, unitary
from diffquantum.simulate.shots import sample
from diffquantum.tidy import compute
from qml._core.errors import ShapeError
from qml.estimate.stats import Stats
from tests.helpers import programs as lib
from tests.helpers.zscore import assert_z

ARITY = {name: 3 if name == "ccx" else 2 if name in ("cx", "cy", "cz", "swap") else 1 for name in FIXED}


def random_state(n: int, seed: int, shots: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    v = rng.normal(size=(2**n, shots)) + 1j * rng.normal(size=(2**n, shots))
    return v / np.linalg.norm(v, axis=0)


def to_state(v: np.ndarray) -> sv.State:
    n = int(np.log2(len(v)))
    listed = min(n, sv.LISTED)
    blocks = v.reshape((2**listed,) + (2,) * (n - listed) + (-1,))
    return sv.State(tuple(map(jnp.asarray, blocks.real)), tuple(map(jnp.asarray, blocks.imag)), n)


def to_vector(state: sv.State) -> np.ndarray:
    return (np.stack(state.re) + 1j * np.stack(state.im)).reshape(2**state.qubits, -1)


def full(matrix: np.ndarray, qubits, n: int) -> np.ndarray:
    """A gate as a matrix on all qubits."""
    k = len(qubits)
    t = np.eye(2**n).reshape((2,) * (2 * n)).astype(complex)
    t = np.tensordot(matrix.reshape((2,) * (2 * k)), t, (range(k, 2 * k), qubits))
    return np.moveaxis(t, range(k), qubits).reshape(2**n, 2**n)


@pytest.mark.parametrize("n", [1, 4])
def test_gates_against_matrices(n):
    rng = np.random.default_rng(n)
    v = random_state(n, n)
    for name in (*FIXED, *ROTATIONS):
        k = len(ROTATIONS[name]) if name in ROTATIONS else ARITY[name]
        if k > n:
            continue
        qubits = rng.permutation(n)[:k].tolist()
        mask = np.array([True, False, True])
        if name in ROTATIONS:
            angle = rng.normal(size=3)
            c, s = np.where(mask, np.cos(angle / 2), 1), np.where(mask, np.sin(angle / 2), 0)
            state = sv.rotate(to_state(v), name, qubits, jnp.asarray(c), jnp.asarray(s))
            want = np.stack([full(unitary(name, a * m), qubits, n) @ x for a, m, x in zip(angle, mask, v.T)], axis=1)
        else:
            state = sv.apply(to_state(v), fixed(name), qubits, jnp.asarray(mask))
            want = np.where(mask, full(fixed(name), qubits, n) @ v, v)
        np.testing.assert_allclose(to_vector(state), want, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("n", [2, 6])
@pytest.mark.parametrize("reset", [False, True])
def test_measurement_against_projectors(n, reset):
    v = random_state(n, 5)
    for q in (0, n - 1):
        one = full(np.diag([0.0, 1.0]), [q], n)
        none, some = sv.weights(to_state(v), q)
        p = np.linalg.norm(one @ v, axis=0) ** 2
        np.testing.assert_allclose(some, p, atol=1e-13)
        np.testing.assert_allclose(none, 1 - p, atol=1e-13)
        outcome, mask = np.array([True, False, True]), np.array([True, True, False])
        state = sv.collapse(
            to_state(v), q, jnp.asarray(outcome), jnp.where(outcome, some, none), reset, jnp.asarray(mask)
        )
        flip = full(np.array([[0, 1], [1, 0]]), [q], n) if reset else np.eye(2**n)
        hit, miss = flip @ one @ v / np.sqrt(p), (v - one @ v) / np.sqrt(1 - p)
        np.testing.assert_allclose(to_vector(state), np.where(mask, np.where(outcome, hit, miss), v), atol=1e-12)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.text("IXYZ", min_size=3, max_size=3), st.permutations(range(7)))
def test_pauli_means(letters, order):
    v = random_state(7, 2)
    qubits = order[:3]
    want = np.einsum("is,ij,js->s", v.conj(), full(pauli(letters), qubits, 7), v).real
    np.testing.assert_allclose(sv.expect(to_state(2 * v), letters, qubits), np.ones(3) * want, atol=1e-12)


def test_threefry_is_threefry():
    words = jnp.array([123, 2**31 + 5], jnp.uint32)
    x, y = jnp.arange(6, dtype=jnp.uint32), jnp.arange(6, dtype=jnp.uint32) + 9
    want = threefry_2x32(words, jnp.concatenate([x, y]))
    np.testing.assert_array_equal(jnp.concatenate(threefry(words, x, y)), want)


def test_expressions_against_plain_python():
    """Every operation on whole numbers, floats and bools, against plain Python numbers."""
    memory = {"n": jnp.array([7, -7, 2]), "m": jnp.array([2, 2, -3]), "x": jnp.array([0.5, -0.3, 0.9])}
    memory |= {
        "y": jnp.array([1.5, 0.4, -2.0]),
        "a": jnp.array([True, True, False]),
        "b": jnp.array([True, False, False]),
    }
    theta = jnp.array([0.3])

    def check(e, names):
        got = evaluate(e, memory, theta)
        want = [compute(e.op, *(memory[v][i].item() for v in names)) for i in range(3)]
        np.testing.assert_allclose(got, np.array(want), rtol=1e-14, err_msg=e.op)

    numbers = [op for op in BINARY if op not in ("and", "or", "xor", "shl", "shr", "pow")]
    for op in numbers:
        check(Binary(op, Var("x"), Var("y")), "xy")
        if op != "div":
            check(Binary(op, Var("n"), Var("m")), "nm")
    np.testing.assert_array_equal(evaluate(Binary("div", Var("n"), Var("m")), memory, theta), [3, -3, 0])
    np.testing.assert_array_equal(evaluate(Binary("shl", Var("n"), Const(2)), memory, theta), [28, -28, 8])
    for op in ("and", "or", "xor"):
        check(Binary(op, Var("a"), Var("b")), "ab")
    for op in UNARY:
        if op == "not":
            check(Unary(op, Var("a")), "a")
        elif op in ("sqrt", "log"):
            np.testing.assert_allclose(evaluate(Unary(op, Const(0.7)), memory, theta), compute(op, 0.7))
        else:
            check(Unary(op, Var("x")), "x")
    assert evaluate(Index((0.1, 0.2), Var("n")), memory, theta).tolist() == [0.2, 0.1, 0.2]  # outside: clipped
    assert evaluate(Select(Var("a"), Parameter(0), Const(1.0)), memory, theta).tolist() == [0.3, 0.3, 1.0]


# ------------------------------------------------------------------------------------------ programs


@pytest.mark.parametrize("name", lib.NAMES)
def test_means(name):
    program, theta = lib.NAMES[name], lib.THETA[name]
    samples = sample(program, jnp.array(theta), jax.random.key(1), 50_000)
    assert bool(jnp.all(samples.finished))
    assert_z(Stats.of(samples.outputs[0].astype(float)), lib.reference()[name]["value"])


def test_shots_do_not_depend_on_how_many_there_are():
    theta = jnp.array([1.0, 0.7])
    few = sample(lib.RUS, theta, jax.random.key(3), 700).outputs[0]
    many = sample(lib.RUS, theta, jax.random.key(3), 3000).outputs[0]
    np.testing.assert_array_equal(few, many[:700])
    assert not np.array_equal(few, sample(lib.RUS, theta, jax.random.key(4), 700).outputs[0])


def test_jit_and_vmap():
    keys = jax.random.split(jax.random.key(0), 3)
    thetas = jnp.array([[1.0, 0.7], [0.8, 0.2], [2.0, 1.0]])

    def mean(theta, key):
        return sample(lib.RUS, theta, key, 100).outputs[0].mean()

    batch = jax.jit(jax.vmap(mean))(thetas, keys)
    np.testing.assert_allclose(batch, [mean(t, k) for t, k in zip(thetas, jax.random.split(jax.random.key(0), 3))])


def test_loop_that_never_ends_is_given_up():
    samples = sample(lib.GEOMETRIC, jnp.array([0.0]), jax.random.key(0), 3000, limit=50)
    assert not samples.finished[0] and not bool(jnp.all(samples.finished))
    fine = sample(lib.GEOMETRIC, jnp.array([np.pi]), jax.random.key(0), 3000, limit=50)
    assert bool(jnp.all(fine.finished)) and not np.any(fine.outputs[0])


def test_dynamic_qubit_and_reset():
    """A qubit picked by a measurement is flipped; the others stay."""
    body = (
        Gate("h", (Const(0),)),
        Measure(Const(0), "m"),
        Gate("x", (Select(Var("m"), Const(2), Const(1)),)),
        Gate("cx", (Index((1, 2), Unary("trunc", Unary("float", Var("m")))), Const(3))),
        Reset(Const(0)),
        *(Measure(Const(q), f"m{q}") for q in range(4)),
    )
    outputs = (Var("m"), *(Var(f"m{q}") for q in range(4)))
    out = sample(Program("Pick", (), 4, body, outputs, "tuple"), jnp.zeros(0), jax.random.key(0), 200).outputs
    m = np.asarray(out[0])
    assert 60 < m.sum() < 140
    np.testing.assert_array_equal(np.stack(out[1:]), np.stack([0 * m, ~m, m, 1 | m]).astype(bool))


def test_nested_loops_and_branches_under_masks():
    """T06: two nested geometric loops, mean 1 / (p q)."""
    inner = While(
        (
            lib.rotation("ry", 1, Parameter(1)),
            Measure(Const(1), "e", reset=True),
            Assign("n", Binary("add", Var("n"), Const(1))),
        ),
        lib.is_zero("e"),
        (),
    )
    loop = While((inner, lib.rotation("ry", 0, Parameter(0)), Measure(Const(0), "d", reset=True)), lib.is_zero("d"), ())
    program = Program("Nested", ("t", "p"), 2, (Assign("n", Const(0)), loop), (Var("n"),), "int")
    x = sample(program, jnp.array([1.0, 1.3]), jax.random.key(0), 50_000).outputs[0]
    assert x.dtype == jnp.int64
    assert_z(Stats.of(x.astype(float)), lib.reference()["T06_Nested"]["value"])


def test_coin_qubits_are_found():
    assert coin_qubits(lib.RUIN) == {0} and not coin_qubits(lib.GEOMETRIC) and not coin_qubits(lib.RUS)
    turned = Program("Turned", ("t",), 1, (lib.rotation("ry", 0, Parameter(0)), Measure(Const(0), "m")), (Var("m"),))
    assert not coin_qubits(turned)  # not reset: it is no coin
    late = (
        lib.rotation("ry", 0, Var("a")),
        Assign("a", Const(1.0)),
        Measure(Const(0), "m", reset=True),
    )
    assert not coin_qubits(Program("Late", (), 1, late))
    split = (lib.rotation("ry", 0, Const(1.0)), If(Var("m"), (Measure(Const(0), "m", reset=True),)))
    assert not coin_qubits(Program("Split", (), 1, split))
    assert chance(Index((0.0, np.pi), Var("k"))) == Index((0.0, 1.0), Var("k"))
    held = Program("Held", (), 1, lib.RUIN.body, register=(0,))
    assert not coin_qubits(held)


# ------------------------------------------------------------------------------------------ observables

STRINGS = ("ZZ", "XI", "YX", "II", "IZ")


@pytest.mark.parametrize("outcomes", [True, False])
def test_observable(outcomes):
    coefficients = np.array([1.0, 0.5, -0.3, 0.25, 0.7])
    theta = [0.4, 1.1]
    state = np.eye(4)[0].astype(complex)
    for matrix, qubits in (
        (unitary("ry", np.array(theta[0])), [0]),
        (fixed("cx"), [0, 1]),
        (unitary("rx", np.array(theta[1])), [1]),
        (unitary("rzz", np.array(theta[0] * theta[1])), [0, 1]),
    ):
        state = full(matrix, qubits, 2) @ state
    want = sum(c * (state.conj() @ pauli(s) @ state).real for c, s in zip(coefficients, STRINGS))
    observable = (STRINGS, jnp.asarray(coefficients))
    samples = sample(lib.CIRCUIT, jnp.array(theta), jax.random.key(2), 40_000, observable=observable, outcomes=outcomes)
    if outcomes:
        assert_z(Stats.of(samples.observable), want)
    else:
        np.testing.assert_allclose(samples.observable, want, atol=1e-6)


def test_observable_with_repeated_strings_and_zero_coefficients():
    observable = (("ZI", "ZI", "XX"), jnp.array([0.5, 0.25, 0.0]))
    samples = sample(lib.CIRCUIT, jnp.array([0.4, 1.1]), jax.random.key(2), 4000, observable=observable)
    assert_z(Stats.of(samples.observable), 0.75 * np.cos(0.4))
    assert set(np.abs(np.asarray(samples.observable)).round(12).tolist()) == {0.75}


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.text("IXYZ", min_size=3, max_size=3), max_size=8))
def test_commuting_groups(strings):
    groups = commuting_groups(tuple(strings))
    assert sorted(s for g in groups for s in g) == sorted(set(strings))
    for group in groups:
        assert all(len({s[i] for s in group} - {"I"}) <= 1 for i in range(3))


def test_bad_input():
    key = jax.random.key(0)
    with pytest.raises(ShapeError):
        sample(lib.RUS, jnp.zeros(3), key, 10)
    with pytest.raises(ShapeError):
        sample(lib.CIRCUIT, jnp.zeros(2), key, 10, observable=(("Z",), jnp.ones(1)))
    with pytest.raises(UnsupportedError):
        sample(Program("Calls", (), 1, (Call("f", ()),)), jnp.zeros(0), key, 10)
