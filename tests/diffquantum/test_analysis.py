"""What analysis says of programs; observables carried backwards; noise; against closed forms and plain matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffquantum
from diffquantum import Noise, TerminationError, UnsupportedError
from diffquantum.simulate.density import Exact
from diffquantum.simulate.gates import unitary
from qml._core.errors import ConfigError
from qml.operator import PauliSum
from tests.diffquantum.cases import PREPARE, loop


def test_nested_loops():
    report = diffquantum.analyse(loop("T06_Nested"), [1.0, 1.3])
    assert [(o.parameters, o.depth) for o in report.occurrences] == [((1,), 2), ((0,), 1)]
    outer = 1 / np.sin(0.5) ** 2
    np.testing.assert_allclose(
        [x.mean_iterations for x in report.loops], [outer, outer / np.sin(0.65) ** 2], rtol=1e-12
    )
    np.testing.assert_allclose(report.loops[1].radius, np.cos(0.65) ** 2, rtol=1e-10)
    assert [x.depth for x in report.loops] == [0, 1] and all(x.regenerative for x in report.loops)
    assert report.accumulators == (("n0", "count"),) and report.moments == 2
    assert report.qubits == (2, 0) and (report.gates, report.measurements) == (2, 2)
    text = str(report)
    assert "independent turns" in text and "count" in text and "11.879" in text


def test_discount_and_walk():
    report = diffquantum.analyse(loop("T12_Discount"))
    assert report.accumulators == (("x0", "product"),) and report.loops[0].radius is None
    assert not [o for o in report.occurrences if 1 in o.parameters] and "in no gate" in str(report)
    assert not report.loops[0].regenerative
    assert diffquantum.analyse(loop("T04_Ruin")).accumulators == ()
    assert "n0" in diffquantum.analyse(loop("T04_Ruin")).control


@pytest.mark.slow
def test_resources():
    """Mean cost of a run by closed forms; and of the derivative program, which throws a coin at each occurrence."""
    turns = 1 / np.sin(0.5) ** 2
    found = diffquantum.resources(loop("T02_RusZ"), [1.0, 0.7])
    assert (found.entangling, round(found.measurements - found.gates / 2, 9)) == (0, 1.5)  # 2 gates a turn but the last
    np.testing.assert_allclose([found.measurements - 1, found.rotations], [turns, 2 * turns - 1], rtol=1e-10)
    slope = diffquantum.derivative(loop("T02_RusZ"), 0, diffquantum.Roulette((0.5,)))
    assert diffquantum.resources(slope, [1.0, 0.7]).gates > found.gates + 1
    assert "measurements" in str(diffquantum.analyse(loop("T02_RusZ"), [1.0, 0.7]))


def test_a_loop_that_does_not_end():
    with pytest.raises(TerminationError, match="spectral radius 1"):
        diffquantum.analyse(loop("T01_GeoCount"), [0.0])


@pytest.mark.slow
def test_backwards_is_forwards():
    """tr(O P(rho)) = tr(P^(O) rho), and the identity comes back to itself: the loop ends from every input."""
    program = diffquantum.load(PREPARE, parameters=2, qubits=2)
    theta = np.array([0.9, 0.6])
    observable = PauliSum({"ZZ": 1.0, "XI": 0.5, "YX": -0.3})
    before = np.asarray(diffquantum.weakest_precondition(program, observable, theta).to_dense())
    ry, rx = (unitary(n, a) for n, a in (("ry", 0.6), ("rx", 0.3)))
    p = np.sin(0.45) ** 2  # the flag is Zero with 1 - p, the first time and after every turn
    state, o = np.kron(np.eye(2), ry), np.asarray(observable.to_dense())
    turn, cx = np.kron(ry, rx), unitary("cx")
    exact = np.zeros((4, 4), complex)
    stay, carried = np.cos(0.45) ** 2, cx.conj().T @ o @ cx
    # the flag stays in the state it was measured in, so every turn ends with the same chance
    weight = p
    for _ in range(400):
        exact, weight, carried = exact + weight * carried, weight * stay, turn.conj().T @ carried @ turn
    np.testing.assert_allclose(before, state.conj().T @ exact @ state, atol=1e-10)
    identity = diffquantum.weakest_precondition(program, PauliSum({"II": 1.0}), theta)
    np.testing.assert_allclose(np.asarray(identity.to_dense()), np.eye(4), atol=1e-12)
    with pytest.raises(TerminationError):
        diffquantum.weakest_precondition(program, observable, [0.0, 0.6])
    with pytest.raises(UnsupportedError, match="no register"):
        diffquantum.weakest_precondition(loop("T02_RusZ"), observable, theta)


def test_noise():
    """A counting loop with noise after every gate, turn by turn with Kraus operators; and its derivative."""
    noise = Noise(depolarising=0.03, damping=0.05)
    mean = diffquantum.expectation(loop("T01_GeoCount"), noise=noise)

    def plain(t: float) -> float:
        rho, total = np.diag([1.0, 0.0]).astype(complex), 0.0
        u = unitary("ry", t)
        for n in range(400):
            rho = u @ rho @ u.conj().T
            rho = sum(k @ rho @ k.conj().T for k in noise.kraus())
            total += n * rho[1, 1].real
            rho = np.diag([rho[0, 0], 0.0])
        return total

    value, slope = jax.jit(jax.value_and_grad(mean))(jnp.array([1.0]))
    assert abs(value - plain(1.0)) < 1e-11
    h = 1e-3
    difference = (8 * (plain(1 + h) - plain(1 - h)) - (plain(1 + 2 * h) - plain(1 - 2 * h))) / (12 * h)
    assert abs(slope[0] - difference) < 1e-9
    assert abs(Exact(loop("T01_GeoCount"), noise=Noise()).means([1.0])[0] * np.tan(0.5) ** 2 - 1) < 1e-12
    with pytest.raises(ConfigError, match="probabilities"):
        Noise(damping=1.5)
    assert diffquantum.expectation(loop("T01_GeoCount"), shots=10, noise=noise).program.qubits == 3
