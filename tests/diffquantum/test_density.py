"""Exact semantics against an independent one that follows every record, and its parts against their definitions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import diffquantum
from diffquantum import ProgramError, TerminationError, UnsupportedError
from diffquantum.ir import (
    FIXED,
    ROTATIONS,
    Assign,
    Binary,
    Const,
    Gate,
    If,
    Measure,
    Parameter,
    Program,
    Reset,
    Unary,
    Var,
    While,
)
from diffquantum.simulate import reach, system
from diffquantum.simulate.density import Exact
from diffquantum.simulate.gates import OUTCOME, RESET, pauli, transfer, unitary
from diffquantum.simulate.moments import analyse, infer_types
from diffquantum.simulate.solvers import anderson, anderson_host
from tests.diffquantum.cases import FEATURES, Propagation, feature, loop

# the run-time checks of annotations draw random numbers where strategies build statements
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
ANGLE = 0.83


@pytest.mark.parametrize("name", (*ROTATIONS, *FIXED))
def test_transfer_matrices(name):
    """Components tr(P rho) before and after, for random states."""
    angle = ANGLE if name in ROTATIONS else None
    u, t = unitary(name, angle), transfer(name, angle)
    n = round(np.log2(len(u)))
    rng = np.random.default_rng(0)
    a = rng.normal(size=u.shape) + 1j * rng.normal(size=u.shape)
    rho = a @ a.conj().T
    strings = [pauli("".join(p)) for p in itertools.product("IXYZ", repeat=n)]
    before = np.array([np.trace(p @ rho).real for p in strings])
    after = np.array([np.trace(p @ u @ rho @ u.conj().T).real for p in strings])
    np.testing.assert_allclose(t @ before, after, atol=1e-12)
    np.testing.assert_allclose(u @ u.conj().T, np.eye(len(u)), atol=1e-15)


def test_rotations():
    """exp(-i angle/2 P), batched, in NumPy and JAX alike."""
    for name, letters in ROTATIONS.items():
        angles = np.array([0.3, -1.7])
        p = pauli(letters)
        for angle, u in zip(angles, unitary(name, angles)):
            values, vectors = np.linalg.eigh(p)
            exact = vectors @ np.diag(np.exp(-0.5j * angle * values)) @ vectors.conj().T
            np.testing.assert_allclose(u, exact, atol=1e-14)
        np.testing.assert_allclose(transfer(name, jnp.asarray(angles), jnp), transfer(name, angles), atol=1e-15)


def test_measurement_maps():
    total = OUTCOME[False, False] + OUTCOME[True, False]
    np.testing.assert_array_equal(total, np.diag([1.0, 0, 0, 1]))
    np.testing.assert_array_equal(OUTCOME[False, True] + OUTCOME[True, True], RESET)


FEATURE_CASES = {
    "BreakAtFlag": {}, "BreakNested": {}, "Calls": {}, "MovingQubit": {}, "SquareOfCount": {}, "Parity": {},
    "ControlledGates": {}, "JointMeasurement": {}, "Weights": {}, "ChangingAngle": {}, "Functions": {}, "Several": {},
    "Layer": {"parameters": 2, "qubits": 2},
}  # fmt: skip


def feature_case(name):
    """An explored program of `features.qs`, and parameters."""
    program = feature(name, **FEATURE_CASES[name])
    return program, Exact(program), np.array([1.1, 0.9])[: len(program.parameters)]


@pytest.mark.parametrize("name", FEATURE_CASES)
def test_language_features(name):
    """Each construct: exact means against the reference."""
    program, exact, theta = feature_case(name)
    np.testing.assert_allclose(exact.means(theta), Propagation(program, theta).means(), atol=2e-9)


IN_KIND = ("BreakNested", "Calls", "SquareOfCount", "Weights", "ChangingAngle", "Layer")  # the others are alike


@pytest.mark.parametrize(
    "name", [n if n in IN_KIND else pytest.param(n, marks=pytest.mark.slow) for n in FEATURE_CASES]
)
def test_gradients_of_language_features(name):
    """Each construct: the compiled gradient against finite differences of the means."""
    _, exact, theta = feature_case(name)
    derivative = jax.jit(jax.jacobian(lambda t: exact.values(t, exact.arrays())[0][0]))(theta)
    for i, e in enumerate(1e-3 * np.eye(len(theta))):
        near, far = (exact.means(theta + k * e) - exact.means(theta - k * e) for k in (1, 2))
        np.testing.assert_allclose(derivative[:, i], (8 * near - far) / 12e-3, rtol=1e-7, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("name", FEATURE_CASES)
def test_language_features_on_the_simulator(name):
    diffquantum.load(FEATURES, entry=name, check_shots=20_000, **FEATURE_CASES[name])


def test_product_of_counts():
    """E[n m] = E[n] E[m]: second moments of two independent unbounded counters."""
    mean = Exact(feature("ProductOfCounts")).means([1.0, 0.8])[0]
    assert abs(mean * np.tan(0.5) ** 2 * np.tan(0.4) ** 2 - 1) < 1e-12


def test_saturating_counter():
    """A counter that decides angles is followed value by value."""
    exact = Exact(feature("Saturating"))
    assert "n0" in exact.payload.control and exact.payload.monomials == ((),)
    p = [np.sin(1.2 / 2 / k) ** 2 for k in (1, 2, 3)]
    q = np.cumprod([1, *(1 - np.array(p))])
    assert abs(exact.means([1.2])[0] - (p[0] * 1 * q[0] + p[1] * 2 * q[1] + 3 * (1 - p[0] - p[1] * q[1]))) < 1e-12


def test_moments():
    """What is carried: a counter costs one moment, its square two, results that are returned one each."""
    assert analyse(loop("T01_GeoCount"), loop("T01_GeoCount").outputs).monomials == ((), ("n0",))
    square = feature("SquareOfCount")
    assert ("n0", "n0") in analyse(square, square.outputs).monomials
    assert analyse(loop("T04_Ruin"), loop("T04_Ruin").outputs).monomials == ((),)
    assert infer_types(loop("T12_Discount"))["x0"] == "float"


# ---------------------------------------------------------------------------------------------------- random programs

angles = st.sampled_from([Parameter(0), Parameter(1), Binary("mul", Parameter(0), Const(0.5)), Const(0.7)])
qubit = st.sampled_from([0, 1]).map(Const)
bits = st.sampled_from(["a", "b"])
amount = st.sampled_from([Const(1), Const(2), Unary("float", Var("a")), Parameter(1)])
gates = st.one_of(
    st.tuples(st.sampled_from(["rx", "ry", "rz"]), qubit, angles).map(lambda t: Gate(t[0], (t[1],), t[2])),
    st.sampled_from(["cx", "swap", "cz"]).map(lambda n: Gate(n, (Const(0), Const(1)))),
    angles.map(lambda a: Gate("rxx", (Const(1), Const(0)), a)),
)
steps = st.one_of(
    gates,
    st.tuples(qubit, bits, st.booleans()).map(lambda t: Measure(*t)),
    qubit.map(Reset),
    amount.map(lambda e: Assign("n", Binary("add", Var("n"), e))),
    st.one_of(amount, st.just(Var("n"))).map(lambda e: Assign("w", Binary("add", Var("w"), e))),
    bits.map(lambda b: Assign("c", Binary("xor", Var("c"), Var(b)))),
    st.just(Assign("w", Binary("mul", Var("w"), Const(0.5)))),
)
branches = st.tuples(bits, st.lists(steps, max_size=3), st.lists(steps, max_size=2)).map(
    lambda t: If(Var(t[0]), tuple(t[1]), tuple(t[2]))
)
blocks = st.lists(st.one_of(steps, branches), max_size=4)


@settings(max_examples=25, deadline=None, derandomize=True, phases=(Phase.generate,))
@given(blocks, blocks, blocks, blocks)
def test_random_programs(start, before, body, end):
    """Loops around random statements, with counters, weights and parities that are returned."""
    zero = tuple(Assign(n, Const(v)) for n, v in (("n", 0), ("w", 1.0), ("a", False), ("b", False), ("c", False)))
    ends = (Gate("ry", (Const(0),), Const(1.9)), Measure(Const(0), "stop", reset=True))
    unbounded = While((*before, *ends), Unary("not", Var("stop")), tuple(body))
    outputs = (Var("n"), Var("w"), Var("c"), Binary("mul", Unary("float", Var("a")), Var("n")))
    program = Program("p", ("s", "t"), 2, (*zero, *start, unbounded, *end), outputs, "tuple")
    theta = [0.4, 0.9]
    try:
        exact = Exact(program, limit=64).means(theta)
    except (TerminationError, UnsupportedError):
        return  # a mean that does not exist, or a variable that is not a polynomial
    try:
        reference = Propagation(program, theta, lost=1e-9).means()
    except RecursionError:
        return
    np.testing.assert_allclose(exact, reference, atol=3e-5, rtol=3e-5)


# ---------------------------------------------------------------------------------------------------- solvers


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["gmres", "anderson"])
def test_whole_space_solver_agrees(monkeypatch, solver):
    """Without a stored basis the loops are solved iteratively: same values, gradients, radius; errors as well."""
    few = Exact(loop("T08_Zeno"))
    monkeypatch.setattr(reach, "WIDEST", 1)
    whole = Exact(loop("T08_Zeno"), solver=solver)
    theta = np.array([1.1, 0.7])
    assert few.termination(theta).dimensions[0] > 1 and whole.termination(theta).dimensions == (0,)
    np.testing.assert_allclose(whole.means(theta), few.means(theta), rtol=1e-10)
    np.testing.assert_allclose(whole.termination(theta).radius, few.termination(theta).radius, atol=1e-7)
    np.testing.assert_allclose(
        whole.termination(theta).mean_iterations, few.termination(theta).mean_iterations, rtol=1e-10
    )
    mean = diffquantum.expectation(loop("T08_Zeno"), solver=solver)
    value, slope = jax.jit(jax.value_and_grad(mean))(theta)
    assert abs(value - 6.918043278424587) < 1e-9
    np.testing.assert_allclose(slope, [-10.797151857403854, -1.8548109998202849], rtol=1e-8)
    with pytest.raises(TerminationError):
        mean(jnp.array([0.0, 0.7]))
    assert np.isnan(jax.jit(mean)(jnp.array([0.0, 0.7])))


@pytest.mark.parametrize("spread", [pytest.param(0.5, marks=pytest.mark.slow), 0.98])
def test_anderson_acceleration(spread):
    """A random non-symmetric turn, against a dense solve; far fewer turns than plain iteration would need."""
    rng = np.random.default_rng(0)
    s = rng.normal(size=(30, 30))
    s *= spread / np.max(np.abs(np.linalg.eigvals(s)))
    b, calls = rng.normal(size=30), []
    want = np.linalg.solve(np.eye(30) - s, b)

    def apply(x):
        jax.debug.callback(lambda _: calls.append(1), x[0])
        return x - s @ x

    found = jax.jit(lambda b: anderson(apply, b))(jnp.asarray(b))
    np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(anderson_host(lambda x: x - s @ x, b), want, rtol=1e-9, atol=1e-11)
    assert len(calls) < np.log(1e-13) / np.log(spread)


def test_whole_space_solver_sees_means_that_do_not_exist(monkeypatch):
    monkeypatch.setattr(reach, "WIDEST", 0)
    mean = diffquantum.expectation(loop("T12_Discount"))
    np.testing.assert_allclose(mean(jnp.array([1.0, 0.9])), 0.7490252204876948, rtol=1e-10)
    assert np.isnan(jax.jit(mean)(jnp.array([1.0, 2.0])))
    with pytest.raises(TerminationError):
        mean.exact.means([1.0, 2.0])


def test_whole_space_without_loops(monkeypatch):
    monkeypatch.setattr(reach, "WIDEST", 0)
    flip = Program("p", ("t",), 1, (Gate("ry", (Const(0),), Parameter(0)), Measure(Const(0), "m")), (Var("m"),))
    exact = Exact(flip)
    assert exact.system is None and abs(exact.means([0.8])[0] - np.sin(0.4) ** 2) < 1e-14


@pytest.mark.slow
def test_sparse_solver_agrees(monkeypatch):
    """Larger systems are solved on the host: same value, gradient, Hessian and batches."""
    mean = diffquantum.expectation(loop("T12_Discount"))
    points = jnp.array([[1.0, 0.9], [0.7, 0.8]])

    def everything(t):
        return mean(t), jax.grad(mean)(t), jax.hessian(mean)(t)

    dense = jax.jit(jax.vmap(everything))(points)
    monkeypatch.setattr(system, "DENSE", 0)
    for a, b in zip(dense, jax.jit(jax.vmap(lambda t: everything(t)))(points)):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    assert np.isnan(jax.jit(mean)(jnp.array([0.0, 0.9])))


def test_memory_does_not_grow_with_the_turns():
    """The compiled gradient is the same program for 3 and for 10^4 turns on average."""
    mean = diffquantum.expectation(loop("T01_GeoCount"))
    lowered = jax.jit(jax.grad(mean)).lower(jnp.array([1.0]))
    assert lowered.compile().memory_analysis().temp_size_in_bytes < 100_000


# ---------------------------------------------------------------------------------------------------- errors


def test_never_ends():
    text = """operation Stuck(t : Double) : Int {
        use q = Qubit(); mutable n = 0; Rz(t, q); repeat { n += 1; } until M(q) == One; n }"""
    with pytest.raises(TerminationError):
        Exact(diffquantum.load(text))


def test_condition_that_always_holds():
    body = (Assign("go", Const(True)), While((Measure(Const(0), "m"),), Var("go"), ()))
    with pytest.raises(UnsupportedError, match="never ends"):
        Exact(Program("p", (), 1, body, (Var("m"),), "bool"))


def test_too_large():
    turned = tuple(Gate("ry", (Const(q),), Parameter(0)) for q in range(20))
    with pytest.raises(UnsupportedError, match="too large"):
        Exact(Program("p", ("t",), 20, turned))


def test_ancillas_need_no_room():
    """Twenty qubits, at most seven of them in use at once: a chain of ancillas is given back, others come and go."""
    chain = [Gate("ry", (Const(0),), Parameter(0)), Gate("h", (Const(1),))]
    there = [Gate("ccx", (Const(0), Const(1), Const(2))), *(Gate("cx", (Const(q - 1), Const(q))) for q in (3, 4, 5))]
    passing = [Gate("cx", (Const(1), Const(q))) for q in range(6, 20) for _ in range(2)]
    body = (*chain, *there, *passing, *there[:0:-1], Measure(Const(2), "m", True))
    exact = Exact(Program("p", ("t",), 20, body, (Var("m"),), "result"))
    assert len(exact.graph.qubits) == 20
    assert abs(exact.means([1.1])[0] - np.sin(0.55) ** 2 / 2) < 1e-14


def test_read_before_set_on_one_path():
    body = (Gate("h", (Const(0),)), Measure(Const(0), "m"), If(Var("m"), (Assign("x", Const(1)),), ()))
    with pytest.raises(ProgramError, match="'x' before it is set"):
        Exact(
            Program(
                "p", (), 1, (*body, If(Binary("eq", Var("x"), Const(1)), (Reset(Const(0)),), ())), (Var("m"),), "bool"
            )
        )


def test_impossible_qubits():
    body = (
        Gate("h", (Const(0),)),
        Measure(Const(0), "m"),
        Assign("k", Const(0)),
        If(Var("m"), (Assign("k", Const(3)),)),
    )
    with pytest.raises(ProgramError, match="impossible qubits"):
        Exact(Program("p", (), 2, (*body, Gate("x", (Var("k"),))), (Var("m"),), "bool"))


def test_factors_that_overflow():
    """A mean that does not exist is an error also where squares of its numbers are too large."""
    weigh = (Assign("w", Binary("mul", Var("w"), Binary("mul", Const(1e300), Parameter(0)))),)
    turn = While((Gate("ry", (Const(0),), Parameter(0)), *weigh, Measure(Const(0), "m")), Unary("not", Var("m")), ())
    body = (Assign("w", Const(1.0)), turn)
    exact = Exact(Program("p", ("t",), 1, body, (Binary("add", Var("w"), Const(1.0)),), "double"))
    with pytest.raises(TerminationError):
        exact.means([0.6])


def test_many_measured_bits():
    """A counter of a loop beside sixty measured bits: averages, not one configuration a count."""
    count = (Assign("n", Binary("add", Var("n"), Const(1))),)
    turn = While((Gate("ry", (Const(0),), Parameter(0)), Measure(Const(0), "m")), Unary("not", Var("m")), count)
    bits = tuple(Measure(Const(1 + i % 2), f"b{i}") for i in range(60))
    body = (Assign("n", Const(0)), turn, Gate("x", (Const(1),)), *bits)
    many = Program("Many", ("t",), 3, body, (Var("n"), *(Var(f"b{i}") for i in range(60))), "tuple")
    exact = Exact(many)
    assert "n" not in exact.payload.control
    np.testing.assert_allclose(exact.means([1.0]), [1 / np.tan(0.5) ** 2, *(i % 2 == 0 for i in range(60))], atol=1e-12)
