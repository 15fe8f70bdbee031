"""Damping and trust region: the model and the reweighted energy against exact energies, and whole runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml import FullSumState
from qml._core.errors import ConfigError
from qml._core.tree import realify
from qml.estimate import SR, Samples, forces, qgt
from qml.estimate.damping import Damping, Proposal, Trial, cap, fubini_study, reweigh
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Ising
from tests.qml.ansatz.models import model

SPACE = Spin(4)
OPERATOR = Ising(SPACE, Chain(4), j=-1.0, h=0.7)
RULE = Damping()


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


def test_proposal_and_trial_of_a_full_sum(state):
    """The slope is the derivative of the energy, the length that of the metric, the trial the exact energy."""
    samples = state.sample()[1]
    local = state.local_values(OPERATOR, samples)
    change = direction(state, 0.1)
    loose = Damping(trust=10.0)
    change, proposal = loose.propose(loose.init(1e-2), state.ansatz, state.params, samples, local, change)
    d = realify(change)[0]
    force = realify(forces(state.ansatz, state.params, samples, local))[0]
    metric = qgt(state.ansatz, state.params, samples)
    np.testing.assert_allclose(proposal.slope, 2 * force @ d, rtol=1e-11)
    np.testing.assert_allclose(proposal.length**2, d @ metric @ d, rtol=1e-11)
    np.testing.assert_allclose(fubini_study(state.ansatz, state.params, samples, change), proposal.length, rtol=1e-12)
    after = moved(state, change)
    trial = tried(after, samples, local)
    exact = after.expect(OPERATOR).mean.real - state.expect(OPERATOR).mean.real
    np.testing.assert_allclose(trial.change, exact, rtol=1e-10)
    assert trial.error == 0 and 0 < trial.effective < 1
    capped, short = RULE.propose(RULE.init(1e-2), state.ansatz, state.params, samples, local, change)
    np.testing.assert_allclose(short.length, min(0.3, proposal.length), rtol=1e-12)
    np.testing.assert_allclose(short.slope, proposal.slope * short.length / proposal.length, rtol=1e-12)
    capped, scale = cap(change, proposal.length, 0.05)
    np.testing.assert_allclose(fubini_study(state.ansatz, state.params, samples, capped), 0.05, rtol=1e-10)
    assert scale < 1 and cap(change, proposal.length, 10.0)[1] == 1


def test_trial_of_samples(state):
    """The reweighted change and its error by z-score, over 400 sets of samples in one batch."""
    everything, change = state.sample()[1], direction(state, 0.05)
    after = moved(state, change)
    new_log_psi, local = after.log_psi(everything.x), state.local_values(OPERATOR, everything)
    new_local = after.local_values(OPERATOR, after.sample()[1])

    @jax.jit
    @jax.vmap
    def one(key):
        drawn = jax.random.categorical(key, jnp.log(everything.weights), shape=(256,))
        samples = Samples(everything.x[drawn], jnp.full(256, 1 / 256), everything.log_psi[drawn], 16)
        return reweigh(samples, new_log_psi[drawn], local[drawn], new_local[drawn])

    found = one(jax.random.split(jax.random.key(0), 400))
    exact = after.expect(OPERATOR).mean.real - state.expect(OPERATOR).mean.real
    spread = jnp.std(found.change)
    assert abs(jnp.mean(found.change) - exact) < 4.5 * spread / 20 + 2e-3 * abs(exact)
    assert 0.85 < jnp.mean(found.error) / spread < 1.15


def test_judge():
    """Ratios in the window are taken, others and weak samples are not; the shift moves as the formula says."""
    state, proposal = RULE.init(1e-2), Proposal(jnp.array(-1.0), jnp.array(0.2), jnp.array(-1.0))
    for ratio, effective, taken in [(0.9, 0.9, True), (0.5, 0.9, True), (0.05, 0.9, False), (4.0, 0.9, False)]:
        after, accept = RULE.judge(state, proposal, Trial(jnp.array(-ratio), jnp.array(0.0), jnp.array(effective)))
        assert bool(accept) is taken
        gap = 0.9 - ratio
        factor = np.clip(1 + gap * abs(gap), 0.5, 2) ** 0.9 if taken else 2.0
        np.testing.assert_allclose(after.shift, 1e-2 * factor, rtol=1e-12)
        np.testing.assert_allclose(after.radius, 0.3 if taken else 0.1, rtol=1e-12)
        np.testing.assert_allclose(after.curvature, 0.3 * max(1 - ratio, 0) / 0.2**2, rtol=1e-12)
        again, _ = RULE.judge(after, proposal, Trial(jnp.array(-0.9), jnp.array(0.0), jnp.array(0.9)))
        np.testing.assert_allclose(again.shift, after.shift / after.factor**0.1, rtol=1e-12)
    few = Trial(jnp.array(-0.9), jnp.array(0.0), jnp.array(0.3))
    lost = Trial(jnp.array(0.2), jnp.array(0.5), jnp.array(0.9))
    broken = Trial(jnp.array(jnp.nan), jnp.array(jnp.nan), jnp.array(jnp.nan))
    assert not RULE.judge(state, proposal, few)[1]
    after, accept = RULE.judge(state, proposal, lost)
    assert accept and after.shift == state.shift
    after, accept = RULE.judge(state, proposal, broken)
    assert not accept and all(bool(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(after))
    assert RULE.init(1e3).shift == RULE.largest


def test_a_step_much_too_long_still_descends(state):
    """A learning rate at which plain SR diverges: with damping and a cap every step goes down."""
    rate = 20.0

    def step(carry, _):
        params, memory = carry
        now = state.with_params(params)
        samples = now.sample()[1]
        local = now.local_values(OPERATOR, samples)
        found = SR(shift=1e-3).with_shift(memory.shift).direction(now.ansatz, params, samples, local)
        change = jax.tree.map(lambda u: -rate * u, found.update)
        change, proposal = RULE.propose(memory, now.ansatz, params, samples, local, change)
        after = moved(now, change)
        trial = tried(after, samples, local)
        memory, accept = RULE.judge(memory, proposal, trial)
        params = jax.tree.map(lambda a, b: jnp.where(accept, a, b), after.params, params)
        return (params, memory), (now.expect(OPERATOR).mean.real, accept)

    start = (state.params, RULE.init(1e-3))
    _, (energies, taken) = jax.jit(lambda c: jax.lax.scan(step, c, None, length=60))(start)
    exact = np.linalg.eigvalsh(np.asarray(OPERATOR.to_dense()))[0]
    assert np.all(np.diff(energies) <= 1e-9) and 0.5 < np.mean(taken) <= 1
    assert abs(energies[-1] - exact) < 1e-3 * abs(exact)


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


def test_bad_settings():
    for bad in ({"lowest": 0.0}, {"target": 5.0}, {"smallest": 2.0}, {"effective": 1.5}):
        with pytest.raises(ConfigError, match="order"):
            Damping(**bad)
    with pytest.raises(ConfigError, match="no shift"):
        SR(cutoff=1e-8).with_shift(1e-3)
