"""Steps that are tried: their length and the reweighted energy against exact ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml import FullSumState
from qml._core.tree import realify
from qml.estimate import SR, Samples, qgt
from qml.estimate.trial import fubini_study, reweigh, shortening
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Ising
from tests.qml.ansatz.models import model

SPACE = Spin(4)
OPERATOR = Ising(SPACE, Chain(4), j=-1.0, h=0.7)


@pytest.fixture(scope="module")
def state():
    return FullSumState(model("mixed", 4), SPACE)


def moved(state, change):
    return state.with_params(jax.tree.map(jnp.add, state.params, change))


def tried(after, samples, local):
    """The energy after a change, from samples before it."""
    log_psi = after.log_psi(samples.x)
    now = Samples(samples.x, samples.weights, log_psi, samples.chains)
    return reweigh(samples, log_psi, local, after.local_values(OPERATOR, now))


def direction(state, scale):
    keys = jax.random.split(jax.random.key(3), len(jax.tree.leaves(state.params)))
    leaves = [scale * jax.random.normal(k, p.shape, p.dtype) for k, p in zip(keys, jax.tree.leaves(state.params))]
    return jax.tree.unflatten(jax.tree.structure(state.params), leaves)


@pytest.mark.slow
def test_trial_of_a_full_sum(state):
    """The length is that of the metric, the trial the exact energy; a change is capped at a length."""
    samples = state.sample()[1]
    local = state.local_values(OPERATOR, samples)
    change = direction(state, 0.1)
    d = realify(change)[0]
    length = fubini_study(state.ansatz, state.params, samples, change)
    np.testing.assert_allclose(length**2, d @ qgt(state.ansatz, state.params, samples) @ d, rtol=1e-11)
    after = moved(state, change)
    trial = tried(after, samples, local)
    exact = after.expect(OPERATOR).mean.real - state.expect(OPERATOR).mean.real
    np.testing.assert_allclose(trial.change, exact, rtol=1e-10)
    assert trial.error == 0 and 0 < trial.effective < 1
    scale = shortening(length, 0.05)
    capped = jax.tree.map(lambda c: scale * c, change)
    np.testing.assert_allclose(fubini_study(state.ansatz, state.params, samples, capped), 0.05, rtol=1e-10)
    assert scale < 1 and shortening(length, 10.0) == 1


@pytest.mark.parametrize("stay", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_trial_of_samples(state, stay):
    """The reweighted change and its error by z-score, over 400 sets of chains that stay for so many sweeps."""
    everything, change = state.sample()[1], direction(state, 0.05)
    after = moved(state, change)
    new_log_psi, local = after.log_psi(everything.x), state.local_values(OPERATOR, everything)
    new_local = after.local_values(OPERATOR, after.sample()[1])

    @jax.jit
    @jax.vmap
    def one(key):
        drawn = jax.random.categorical(key, jnp.log(everything.weights), shape=(16, 16))
        drawn = jnp.repeat(drawn, stay, axis=0).ravel()
        samples = Samples(everything.x[drawn], jnp.full(len(drawn), 1 / len(drawn)), everything.log_psi[drawn], 16)
        tau = samples.statistics(local[drawn].real).tau
        return reweigh(samples, new_log_psi[drawn], local[drawn], new_local[drawn], tau)

    found = one(jax.random.split(jax.random.key(0), 400))
    exact = after.expect(OPERATOR).mean.real - state.expect(OPERATOR).mean.real
    spread = jnp.std(found.change)
    assert abs(jnp.mean(found.change) - exact) < 4.5 * spread / 20 + 2e-3 * abs(exact)
    assert 0.85 < jnp.mean(found.error) / spread < 1.15


def test_trust_of_the_direction(state):
    """The direction keeps its way and gets the length asked for."""
    samples = state.sample()[1]
    local = state.local_values(OPERATOR, samples)
    free = SR(shift=1e-2).direction(state.ansatz, state.params, samples, local)
    held = SR(shift=1e-2, trust=0.1).direction(state.ansatz, state.params, samples, local)
    factor = 0.1 / float(jnp.sqrt(free.metric_norm))
    assert factor < 1
    np.testing.assert_allclose(held.metric_norm, 0.01, rtol=1e-12)
    np.testing.assert_allclose(held.force_dot, factor * free.force_dot, rtol=1e-12)
    for a, b in zip(jax.tree.leaves(held.update), jax.tree.leaves(free.update), strict=True):
        np.testing.assert_allclose(a, factor * b, rtol=1e-11)
