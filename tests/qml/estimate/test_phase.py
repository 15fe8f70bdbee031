"""Forces on phase parameters: exact in a full sum, unbiased and of lower variance from samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml import FullSumState
from qml._core.errors import ConfigError, SpaceError
from qml.estimate import Samples, forces
from qml.estimate.phase import _two, phase_forces
from qml.hilbert import Spin
from qml.operator import PauliSum

SPACE = Spin(4)
OPERATOR = PauliSum({"XYII": 1.0, "IXYI": 0.7, "ZZII": 0.5, "IIXX": -0.8, "IYIY": 0.4})
WHICH = {"size": False, "phase": True}


def log_psi(p, x):
    pairs = x * jnp.roll(x, 1, axis=1)
    return jnp.concatenate([x, pairs], 1) @ p["size"] + 1j * jnp.tanh(jnp.concatenate([x, pairs], 1) @ p["phase"]).sum(
        1
    )


@pytest.fixture(scope="module")
def state():
    keys = jax.random.split(jax.random.key(0))
    params = {"size": 0.3 * jax.random.normal(keys[0], (8,)), "phase": 0.4 * jax.random.normal(keys[1], (8, 2))}
    return FullSumState((params, log_psi), SPACE)


def test_full_sum(state):
    """Each of the two estimates is the derivative of the energy, in one chunk and in several."""
    dense = jnp.asarray(OPERATOR.to_dense())

    def energy(p):
        psi = jnp.exp(state.ansatz.log_psi(p, SPACE.all_states()))
        return (jnp.vdot(psi, dense @ psi) / jnp.vdot(psi, psi)).real

    samples = state.sample()[1]
    local = state.local_values(OPERATOR, samples)
    gradient = jax.grad(energy)(state.params)
    for one in _two(state.ansatz, state.params, OPERATOR, samples, local, 1, None):
        np.testing.assert_allclose(2 * one["phase"][0], gradient["phase"], atol=1e-10)
    for chunk in (None, 5):
        found = phase_forces(state.ansatz, state.params, OPERATOR, samples, local, WHICH, chunk=chunk)
        for name in WHICH:
            np.testing.assert_allclose(2 * found[name], gradient[name], atol=1e-10)


def test_samples(state):
    """Over 800 sets of 128 samples: no bias by z-score, and less variance than the usual estimate."""
    everything = state.sample()[1]
    local = state.local_values(OPERATOR, everything)
    exact = forces(state.ansatz, state.params, everything, local)["phase"]

    @jax.jit
    @jax.vmap
    def both(key):
        drawn = jax.random.categorical(key, jnp.log(everything.weights), shape=(128,))
        rows = Samples(everything.x[drawn], jnp.full(128, 1 / 128), everything.log_psi[drawn], 128)
        ours = phase_forces(state.ansatz, state.params, OPERATOR, rows, local[drawn], WHICH)["phase"]
        return ours, forces(state.ansatz, state.params, rows, local[drawn])["phase"]

    ours, usual = both(jax.random.split(jax.random.key(1), 800))
    z = (ours.mean(0) - exact) / (ours.std(0, ddof=1) / np.sqrt(800))
    assert np.all(np.abs(z) < 4.5)
    assert ours.var(0).sum() < 0.8 * usual.var(0).sum()


def test_bad_input(state):
    samples = state.sample()[1]
    local = state.local_values(OPERATOR, samples)
    chains = Samples(samples.x, samples.weights, samples.log_psi, 16)
    for blocks in (3, 5):
        with pytest.raises(ConfigError, match="blocks"):
            phase_forces(state.ansatz, state.params, OPERATOR, chains, local, WHICH, blocks=blocks)
    real = FullSumState((state.params["size"][:4], lambda p, x: x @ p), SPACE)
    with pytest.raises(SpaceError, match="no phase"):
        phase_forces(real.ansatz, real.params, OPERATOR, samples, local.real, False)
