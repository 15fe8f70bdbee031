"""Programs as terms with symbolic adjoints: each node, whole programs, against both other semantics."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diffquantum
from diffquantum import Noise, TerminationError, UnsupportedError
from diffquantum.heisenberg import carried_back, channel, world
from diffquantum.ir import Assign, Binary, Call, Const, Gate, If, Measure, Parameter, Program, Reset, Unary, Var, While
from diffquantum.simulate import terms as steps
from diffquantum.simulate.density import Exact
from diffquantum.simulate.gates import pauli
from diffquantum.simulate.terms import Conjugate, Guard, Put, Star, Sum, Then
from diffquantum.transform.simplify import number
from qml._core.errors import ShapeError
from qml.operator import PauliSum
from tests.diffquantum.cases import PREPARE, REFERENCE, loop

# the run-time checks of annotations draw random numbers where strategies build terms
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
FAST = ("T02_RusZ",)
ALL = [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in REFERENCE]


@pytest.mark.parametrize("name", ALL)
def test_programs(name):
    """The 18 programs: the value, and the whole operator before the program against the transposed linear system."""
    known, program = REFERENCE[name], loop(name)
    before = carried_back(program, None, known["theta"])
    assert abs(before[0, 0] - known["value"]) <= 1e-10 * max(1.0, abs(known["value"]))
    np.testing.assert_allclose(before, before.conj().T, atol=1e-11)
    inputs = tuple(range(program.qubits if program.qubits <= 3 else 1))  # their states are all followed
    there = Exact(dataclasses.replace(program, register=inputs), (number(program),), inputs=True)
    back = there.backwards(np.array(known["theta"]), np.ones(1))
    found = sum(c * pauli("".join(w)) for w, c in zip(itertools.product("IXYZ", repeat=len(inputs)), back, strict=True))
    rest = 2 ** (program.qubits - len(inputs))  # the other qubits are in |0>
    np.testing.assert_allclose(before[::rest, ::rest], found, rtol=1e-10, atol=1e-10)


NOISY = Program(
    "noisy", ("t", "s"), 3,
    (
        Gate("h", (Const(2),)),
        Assign("n", Const(0)),
        While(
            (Gate("ry", (Const(0),), Parameter(0)), Gate("cx", (Const(0), Const(1))), Measure(Const(1), "m")),
            Unary("not", Var("m")),
            (
                Assign("n", Binary("add", Var("n"), Const(1))),
                Measure(Const(2), "k"),
                If(
                    Var("k"),
                    (Gate("rxx", (Const(0), Const(2)), Parameter(1)), Reset(Const(1))),
                    (Gate("h", (Const(2),)),),
                ),
            ),
        ),
    ),
    (Var("n"),), "int",
)  # fmt: skip


def test_both_pictures():
    """tr(O P(rho)) = tr(P^(O) rho) for a noisy loop with a branch and a counter; P^(1) = 1 where it ends."""
    rng, here = np.random.default_rng(0), world(NOISY, [1.2, 0.7])
    term = channel(NOISY, Noise(depolarising=0.02, damping=0.03))
    root = rng.normal(size=(8, 8)) + 1j * rng.normal(size=(8, 8))
    rho = root @ root.conj().T / np.linalg.norm(root) ** 2
    start = np.stack([rho, np.zeros_like(rho)])  # the moments 1 and n
    after = term({(): start}, here)
    assert abs(sum(np.trace(a[0]) for a in after.values()) - 1) < 1e-12
    o = rng.normal(size=(2, 8, 8)) + 1j * rng.normal(size=(2, 8, 8))
    before = term.H(lambda memory: o, here)(())
    forwards = sum(np.sum(np.trace(o @ a, axis1=1, axis2=2)) for a in after.values())
    np.testing.assert_allclose(np.trace(before[0] @ rho), forwards, rtol=1e-12)
    unit = term.H(lambda memory: np.stack([np.eye(8), np.zeros((8, 8))]), here)(())
    np.testing.assert_allclose(unit[0], np.eye(8), atol=1e-12)
    count = carried_back(NOISY, None, [1.2, 0.7], Noise(depolarising=0.02, damping=0.03))
    np.testing.assert_allclose(np.trace(count @ rho), sum(np.trace(a[1]) for a in after.values()), rtol=1e-11)


a, b, x, n = Var("a"), Var("b"), Var("x"), Const(0)
leaves = st.one_of(
    st.sampled_from(["h", "zero", "one", "lower", "s"]).map(lambda k: Conjugate(k, (n,))),
    st.just(Conjugate("ry", (n,), Binary("mul", Parameter(0), Unary("float", a)))),
    st.just(Conjugate("kraus", (n,), None, ((0.3 + 0j, 0.1j), (0.2 + 0j, 0.4 + 0j)))),
    st.sampled_from([a, Unary("not", b), Binary("xor", a, b)]).map(Guard),
    st.sampled_from([b, Unary("not", a), Const(True)]).map(lambda e: Put("a", e)),
    st.sampled_from([a, Binary("and", a, b)]).map(lambda e: Put("b", e)),
    st.sampled_from([Binary("add", x, Const(1.0)), Binary("mul", x, Const(0.5))]).map(lambda e: Put("x", e)),
)  # fmt: skip
small = Conjugate("kraus", (n,), None, ((0.4 + 0j, 0.1 + 0j), (0j, 0.3j)))
terms = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda p: Then(tuple(p))),
        st.lists(inner, min_size=1, max_size=2).map(lambda p: Sum(tuple(p))),
        inner.map(lambda p: Star(Then((small, small, p)))),
    ),
    max_leaves=5,
)
STEERED = Program(
    "p", ("t",), 1,
    (
        Assign("a", Const(False)), Assign("b", Const(False)), Assign("x", Const(0.0)),
        If(Binary("or", a, b), (Gate("h", (n,)),)),
    ),
    (Var("x"),), "double",
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(terms, st.integers(0, 99))
def test_adjoints(term, seed):
    """<O, A x> = <A^ O, x> for random terms, and A^^ is A."""
    rng, here = np.random.default_rng(seed), world(STEERED, [0.8])
    memories = [(("a", Const(p)), ("b", Const(q))) for p in (False, True) for q in (False, True)]

    def some():
        return {m: rng.normal(size=(2, 2, 2)) + 1j * rng.normal(size=(2, 2, 2)) for m in memories}

    def pair(o, rho):
        return sum(np.sum(np.trace(o(m) @ rho[m], axis1=1, axis2=2)) for m in rho)

    o, rho = some(), some()
    twice = term.H.H
    assert twice == term and str(twice) == str(term)
    try:
        forwards, backwards = pair(o.__getitem__, term(rho, here)), pair(term.H(o.__getitem__, here), rho)
    except TerminationError:
        return  # a sum of terms may be larger than 1
    np.testing.assert_allclose(backwards, forwards, rtol=1e-11, atol=1e-11)


@pytest.mark.slow
def test_observable_on_a_register():
    program = diffquantum.load(PREPARE, parameters=2, qubits=2)
    observable = PauliSum({"ZZ": 1.0, "XI": 0.5, "YX": -0.3})
    there = np.asarray(diffquantum.weakest_precondition(program, observable, [0.9, 0.6]).to_dense())
    found = carried_back(program, observable, [0.9, 0.6])
    order = np.argsort([*program.register, *(q for q in range(program.qubits) if q not in program.register)])
    axes = np.moveaxis(
        found.reshape((2,) * (2 * program.qubits)), range(2 * program.qubits), [*order, *(order + len(order))]
    )
    rest = 2 ** (program.qubits - 2)
    np.testing.assert_allclose(axes.reshape(found.shape)[::rest, ::rest], there, atol=1e-11)


@pytest.mark.slow
def test_refusals(monkeypatch):
    with pytest.raises(TerminationError, match="all probability"):
        carried_back(loop("T01_GeoCount"), None, [0.0])
    with pytest.raises(TerminationError):  # the mean does not exist, although the equations have a solution
        carried_back(loop("T12_Discount"), None, [1.0, 2.0])
    with pytest.raises(UnsupportedError, match="call"):
        channel(Program("p", (), 1, (Call("f", ()),)))
    with pytest.raises(ShapeError, match="1 parameters"):
        carried_back(loop("T01_GeoCount"), None, [1.0, 2.0])
    monkeypatch.setattr(steps, "MOST", 20)
    counting = (Assign("n", Binary("add", Var("n"), Const(1))), Measure(Const(0), "m"))
    asked = While((Gate("h", (Const(0),)), *counting), Binary("lt", Var("n"), Const(90)), ())
    with pytest.raises(UnsupportedError, match="too many values"):
        carried_back(Program("p", (), 1, (Assign("n", Const(0)), asked), (Var("n"),), "int"), None, [])
