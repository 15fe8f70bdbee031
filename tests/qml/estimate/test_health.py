"""The trust layer: each number against its definition."""

import jax
import jax.numpy as jnp
import numpy as np

from qml import FullSumState, MCState
from qml.estimate import diagnose
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Ising
from tests.qml.ansatz.models import model

SPACE = Spin(6)
OPERATOR = Ising(SPACE, Chain(6), j=-1.0, h=0.7)


def test_full_sum():
    state = FullSumState(model("rbm", 6), SPACE)
    samples = state.sample()[1]
    stats = state.expect(OPERATOR)
    health = diagnose(samples, state.local_values(OPERATOR, samples))
    np.testing.assert_allclose(health.v_score, 6 * stats.variance / stats.mean**2, rtol=1e-12)
    shifted = diagnose(samples, state.local_values(OPERATOR, samples) + 5, mean_field=5.0)
    np.testing.assert_allclose(shifted.v_score, health.v_score, rtol=1e-10)
    assert np.isnan(health.acceptance) and bool(health.finite)
    assert not bool(diagnose(samples, samples.weights / 0 * jnp.nan).finite)


def test_chains():
    state, samples = MCState(model("rbm", 6), SPACE, samples=2000, chains=20, key=jax.random.key(0)).sample()
    health = jax.jit(lambda s, x: diagnose(x, s.local_values(OPERATOR, x), s.sampler_state))(state, samples)
    assert 0.05 < float(health.acceptance) < 0.9 and int(health.frozen) == 0
    assert float(health.r_hat) < 1.1
    np.testing.assert_allclose(health.effective, 2000 / (2 * health.tau), rtol=1e-10)


def test_frozen_chains_are_counted():
    """A wave function so peaked that no chain moves any more."""
    field = 1e4 * jnp.ones(6)
    state = MCState((field, lambda p, x: x @ p), SPACE, samples=160, key=jax.random.key(0))
    state, samples = state.sample()
    health = diagnose(samples, jnp.ones(160), state.sampler_state)
    assert int(health.frozen) == 16 and float(health.acceptance) == 0
