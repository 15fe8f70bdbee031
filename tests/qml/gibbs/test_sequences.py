"""Sequences of thermal states against exact evolution and the published tolerances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from qml._core.errors import ConfigError, SpaceError
from qml.gibbs import KOBE, MLP, Circuit, LatentGibbs, cooling, evolving, random_starts, velocity
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Ising, PauliSum

RING = Ising(Spin(4), Chain(4), j=-1.0, h=1.0)


def test_velocity_of_a_turning_spin():
    """A rotation about the axis of the field turns at its strength; a field along the state's own axis does nothing."""
    spin = LatentGibbs(KOBE(1, 1), Circuit.alternating(PauliSum({"X": 1.0}), 1), jnp.array([0.4]), jnp.array([0.7]))
    np.testing.assert_allclose(velocity(spin, PauliSum({"X": 2.5}))["phi"], [2.5], atol=1e-12)
    np.testing.assert_allclose(velocity(spin, PauliSum({"X": 2.5}))["theta"], [0.0])
    still = spin.with_params({"theta": spin.theta, "phi": jnp.zeros(1)})
    np.testing.assert_allclose(velocity(still, PauliSum({"Z": 1.0}))["phi"], [0.0], atol=1e-12)


@pytest.mark.slow
def test_a_predictor_that_holds_the_evolution_is_exact():
    """The Trotter step as a last block of the circuit: the tangent predictor alone follows the exact state."""
    field = PauliSum({"XI": 0.7, "IX": 0.4})
    family = LatentGibbs(KOBE(2, 2), Circuit.layered(2, 2) + Circuit.alternating(field, 1))
    start = random_starts(family, jax.random.key(0), 1)
    first = family.with_params(jax.tree.map(lambda a: a[0], start))
    unitary = jnp.asarray(scipy.linalg.expm(-0.3j * np.asarray(field.to_dense())))
    run = evolving(family, start, first.density(), unitary, 2, steps=(1, 1), recursive=False, predictor=field, time=0.3)
    assert max(float(d[0].max()) for d in run.divergences) < 1e-10
    copied = evolving(family, start, first.density(), unitary, 2, steps=(1, 1), recursive=False)
    assert float(copied.divergences[1][0].max()) > 1e-3


@pytest.mark.slow
def test_published_cooling():
    """Ring of four, 100 steps and then 20 a temperature: best of four of the default starts, mean of ten keys."""
    family = LatentGibbs(KOBE(4, 2), Circuit.layered(4, 7))
    run = cooling(family, random_starts(family, jax.random.key(0), 40), RING, np.linspace(0.5, 2.25, 4))
    for divergence, limit in zip(run.divergences, (0.012, 0.005, 0.002, 0.0005), strict=True):
        best = np.asarray(divergence[-1]).reshape(10, 4).min(axis=1)
        assert best.mean() < limit and np.median(best) < limit, best
    exact = np.log(np.trace(scipy.linalg.expm(-2.25 * np.asarray(RING.to_dense()))).real)
    np.testing.assert_allclose(np.asarray(run.divergences[3] - run.losses[3]), exact, atol=1e-9)


@pytest.mark.slow
def test_published_evolution():
    """Three steps exp(-i Hz) exp(-i Hx) of the ring at beta = 1, each learned from the one learned before."""
    family = LatentGibbs(KOBE(4, 2), Circuit.layered(4, 7))
    matrix = np.asarray(RING.to_dense(), complex)
    zz = np.diag(np.diag(matrix))
    step = scipy.linalg.expm(-1j * zz) @ scipy.linalg.expm(-1j * (matrix - zz))
    state = scipy.linalg.expm(-matrix) / np.trace(scipy.linalg.expm(-matrix))
    run = evolving(family, random_starts(family, jax.random.key(0), 4), state, jnp.asarray(step), 3)
    energies = [-4.75614986295, -1.33765607048, -2.36054831003, -2.57971430484]
    for k, energy in enumerate(energies):
        exact = np.trace(state @ matrix).real
        np.testing.assert_allclose(exact, energy, rtol=1e-10)
        model = run.best(k)
        root = scipy.linalg.sqrtm(state)
        fidelity = np.trace(scipy.linalg.sqrtm(root @ np.asarray(model.density()) @ root)).real ** 2
        assert fidelity > 0.98 and abs(float(model.expect(RING).mean) - energy) < 0.08
        state = step @ state @ step.conj().T


def test_bad_input():
    family = LatentGibbs(KOBE(2, 2), Circuit.layered(2, 1))
    starts = {"theta": jnp.zeros((1, 3)), "phi": jnp.zeros((1, family.phi.shape[0]))}
    h = PauliSum({"ZZ": 1.0})
    for betas in ([1.0, -1.0], [np.nan], 1.0):
        with pytest.raises(ConfigError, match="Cooling scales"):
            cooling(family, starts, h, betas)
    with pytest.raises(ConfigError, match="Cooling scales"):
        cooling(LatentGibbs(MLP(2, 3), Circuit.layered(2, 1)), starts, h, [1.0])
    for steps in (0, (1, 2, 3), (1, 0)):
        with pytest.raises(ConfigError, match="Steps are counted"):
            cooling(family, starts, h, [1.0], steps=steps)
    with pytest.raises(SpaceError, match="another space"):
        cooling(family, starts, RING, [1.0])
    with pytest.raises(SpaceError, match="another space"):
        velocity(family, RING)
