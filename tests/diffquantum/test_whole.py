"""Loops with too many directions for a basis: windows, the matrix of a turn, and long loops on many qubits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffquantum
from diffquantum.check import check
from diffquantum.ir import Binary, Const, Gate, Measure, Parameter, Program, Var
from diffquantum.simulate import reach, solvers
from diffquantum.simulate.density import Exact
from diffquantum.simulate.gates import unitary
from tests.diffquantum.cases import REFERENCE, loop

LONG = ("T06_Nested", "T08_Zeno", "T12_Discount", "T14_CondBody")


@pytest.fixture
def matrix_only(monkeypatch):
    """No basis is stored, and Krylov methods find nothing: what is left is the sweep as a matrix."""
    monkeypatch.setattr(reach, "WIDEST", 0)
    monkeypatch.setattr(solvers, "gmres", lambda apply, y, *_, **__: (jnp.zeros_like(y), None))
    monkeypatch.setattr(solvers.scipy.sparse.linalg, "gmres", lambda system, y, *_, **__: (np.zeros_like(y), None))


@pytest.mark.parametrize("name", [n if n == "T12_Discount" else pytest.param(n, marks=pytest.mark.slow) for n in LONG])
def test_turn_as_a_matrix(matrix_only, name):
    """Counters, discounts, nested loops: means to 1e-10; all parameters from one factorisation."""
    known = REFERENCE[name]
    exact = Exact(loop(name))
    assert exact.whole is not None and exact.whole.turn(None).small
    np.testing.assert_allclose(exact.means(known["theta"]), known["value"], rtol=1e-10)
    assert len(exact.whole.kept.factors) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_turn_as_a_matrix_with_derivatives(matrix_only, name):
    known = REFERENCE[name]
    mean, theta = diffquantum.expectation(loop(name)), jnp.array(known["theta"])
    value, slope = jax.jit(jax.value_and_grad(mean))(theta)
    np.testing.assert_allclose(value, known["value"], rtol=1e-10)
    np.testing.assert_allclose(slope, known["gradient"], rtol=1e-8)
    values = jax.jit(jax.vmap(mean))(jnp.stack([theta, theta * 1.01]))
    np.testing.assert_allclose(values, [value, mean(theta * 1.01)], rtol=1e-10)


def test_matrix_of_a_loop_that_never_ends(matrix_only):
    """A singular matrix is an error."""
    with pytest.raises(diffquantum.TerminationError):
        Exact(loop("T12_Discount")).means([0.0, 0.7])


def test_windows(monkeypatch):
    """A flag that is reset needs no room at the head of its loop."""
    monkeypatch.setattr(reach, "WIDEST", 0)
    exact = Exact(diffquantum.load(wide(4, 0.3), parameters=8))
    assert exact.whole is not None
    (cut,) = exact.whole.cuts
    assert exact.whole.window[cut] == (0, 1, 2, 3) and exact.whole.size == 4**4
    assert exact.whole.alive.tolist() == [True, False]  # the outcome is zero until the loop has ended
    theta = np.linspace(0.3, 0.9, 8)
    np.testing.assert_allclose(exact.means(theta)[0], doubled(4, 0.3, theta, np), rtol=1e-11)


@pytest.mark.parametrize("widest", [0, 300])
def test_formulas_with_pieces(monkeypatch, widest):
    """An angle that is zero at most parameters: neither the basis nor the windows are those of such parameters."""
    monkeypatch.setattr(reach, "WIDEST", widest)
    angle = Binary("max", Binary("sub", Parameter(0), Const(2.0)), Const(0.0))
    body = (Gate("ry", (Const(0),), angle), Gate("cx", (Const(0), Const(1))), Measure(Const(1), "m"))
    program = check(Program("p", ("t",), 5, body, (Var("m"),), "result"))
    exact = Exact(program)
    np.testing.assert_allclose([exact.means([t])[0] for t in (1.0, 3.0)], [0.0, np.sin(0.5) ** 2], atol=1e-14)


# ---------------------------------------------------------------------------------------------------- long loops


def wide(qubits: int, chance: float) -> str:
    """A loop that turns and entangles qubits and loses nothing, until a flag is One; `chance` a turn."""
    turns = " ".join(f"Ry(t[{2 * q}], qs[{q}]); Rx(t[{2 * q + 1}], qs[{q}]);" for q in range(qubits))
    bonds = " ".join(f"CNOT(qs[{q}], qs[{q + 1}]);" for q in range(qubits - 1))
    return f"""operation Wide(t : Double[]) : Result {{
        use qs = Qubit[{qubits}]; use flag = Qubit(); mutable going = true;
        while going {{
            {turns} {bonds}
            Ry({float(2 * np.arcsin(np.sqrt(chance)))!r}, flag); set going = MResetZ(flag) == Zero;
        }}
        let out = MResetZ(qs[{qubits - 1}]); ResetAll(qs); out
    }}"""


def doubled(qubits, chance, theta, xp=jnp):
    r"""The same mean by doubling: $X = \sum_k (1-p)^k U^k \rho U^{-k}$ from $X_{2m} = X_m + (1-p)^m U^m X_m U^{-m}$."""
    ry, rx = (lambda a, n=n: unitary(n, xp.asarray(a), xp) for n in ("ry", "rx"))
    turn = xp.eye(1)
    for q in range(qubits):
        turn = xp.kron(turn, rx(theta[2 * q + 1]) @ ry(theta[2 * q]))
    for q in range(qubits - 1):
        bond = np.kron(np.kron(np.eye(2**q), unitary("cx")), np.eye(2 ** (qubits - q - 2)))
        turn = bond @ turn
    x, stay = xp.asarray(chance * np.diag(np.arange(2**qubits) == 0).astype(complex)), 1 - chance
    x, power = turn @ x @ turn.conj().T, turn
    for _ in range(int(np.log2(40 / chance)) + 1):
        x = x + stay * (power @ x @ power.conj().T)
        power, stay = power @ power, stay**2
    return xp.sum(xp.diag(x).real[1::2])


@pytest.mark.slow
@pytest.mark.parametrize("qubits", [5, 6])
def test_ten_thousand_turns(qubits):
    """The hardest body, that only turns: its spectrum is a circle 1e-4 inside the unit circle."""
    theta = jnp.linspace(0.3, 0.9, 2 * qubits)
    want, steep = jax.jit(jax.value_and_grad(lambda t: doubled(qubits, 1e-4, t)))(theta)
    mean = diffquantum.expectation(diffquantum.load(wide(qubits, 1e-4), parameters=2 * qubits))
    value, slope = jax.jit(jax.value_and_grad(mean))(theta)
    print(qubits, abs(value / want - 1), np.max(np.abs(slope / steep - 1)))
    np.testing.assert_allclose(value, want, rtol=1e-10)
    np.testing.assert_allclose(slope, steep, rtol=1e-8)
    ends = mean.termination(theta)
    np.testing.assert_allclose(ends.mean_iterations, [1e4], rtol=1e-9)
    np.testing.assert_allclose(ends.radius, 1 - 1e-4, atol=1e-9)
