"""Tempering and other powers of |psi|: laws, weights, wells that plain chains do not leave, the ladder."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qml
from qml._core.errors import ShapeError, SpaceError
from qml.ansatz import to_ansatz
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Ising
from qml.sampler import LocalFlip, Metropolis, Tempering
from qml.sampler.kernel import Chains
from qml.sampler.tempering import adapted, swap
from tests.helpers.zscore import assert_z
from tests.qml.sampler.cases import uneven
from tests.qml.sampler.checks import law_pvalue

SPACE = Spin(4)


def wells(params, x):
    """Two wells, all up and all down, with a ridge of height 2 * 6 between, and the one twice as likely."""
    up = jnp.sum(x, axis=-1)
    return params * jnp.where(jnp.abs(up) == 4, 1.0, -1.0) + 0.5 * jnp.log(2.0) * (up > 0)


def in_the_wrong_well(sampler, ansatz, params):
    state = sampler.init(ansatz, params, jax.random.key(0))
    return eqx.tree_at(lambda s: s.x, state, -jnp.ones_like(state.x))


@pytest.mark.slow
def test_wells():
    """Chains that start in the less likely well stay there; tempered ones find the law, and say how often they swap."""
    ansatz, params = to_ansatz((jnp.array(3.0), wells), SPACE)
    law = np.asarray(jax.nn.softmax(2 * ansatz.log_psi(params, SPACE.all_states())))
    tempered = Tempering(LocalFlip(), SPACE, chains=2000, betas=4, burn=40)
    state, x = tempered.sample(ansatz, params, in_the_wrong_well(tempered, ansatz, params), 1, 200)
    up = np.mean(np.asarray(x[-1]).sum(axis=1) == 4)
    down = np.mean(np.asarray(x[-1]).sum(axis=1) == -4)
    assert law_pvalue(SPACE, law, x[-1]) > 1e-4 and abs(up / down - 2) < 0.4
    assert len(tempered.names) == len(state.by_rule) == 4
    rates = np.asarray(state.acceptance_by_rule)
    assert np.all(rates[1:] > 0.05) and rates[1:].max() < 3 * rates[1:].min()  # the ladder has come to rest
    plain = Metropolis(LocalFlip(), SPACE, chains=2000, burn=40)
    state, x = plain.sample(ansatz, params, in_the_wrong_well(plain, ansatz, params), 1, 200)
    assert np.mean(np.asarray(x[-1]).sum(axis=1) == -4) > 0.9


def test_swaps_balance():
    """Of all pairs of configurations on two levels: the flow there is the flow back."""
    betas = jnp.array([1.0, 0.4])
    log_psi = jnp.asarray(np.random.default_rng(0).normal(size=6))
    a, b = (i.reshape(-1) for i in np.meshgrid(np.arange(6), np.arange(6), indexing="ij"))
    joint = Chains.start(jnp.zeros((72, 1), jnp.int8), log_psi[np.concatenate([a, b])], jax.random.key(0), 1)
    weight = np.asarray(jnp.exp(2 * betas[0] * log_psi[a] + 2 * betas[1] * log_psi[b]))
    chance = np.zeros(36)

    @jax.jit
    def swapped(pair):
        return swap(Chains.start(joint.x[:2], pair, jax.random.key(1), 1), betas, 2.0)[1][0]

    for i in range(36):  # one pair after the other: the mean over one chain is the probability
        with jax.debug_key_reuse(False):
            chance[i] = swapped(np.asarray(joint.log_psi)[[i, 36 + i]])
    flow = (weight * chance).reshape(6, 6)
    np.testing.assert_allclose(flow, flow.T, rtol=1e-12)
    ladder = adapted(jnp.array([1.0, 0.5, 0.25, 0.0]), jnp.array([0.9, 0.1, 0.5]), jnp.array(0.5))
    assert ladder[0] == 1 and ladder[-1] == 0 and np.all(np.diff(ladder) < 0) and ladder[0] - ladder[1] > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("power", [1.0, 3.0])
def test_other_powers(power):
    """Samples of another law with weights: energies and statistics are those of |psi|^2."""
    ansatz, params, _ = uneven(SPACE)
    operator = Ising(SPACE, Chain(4), j=1.0, h=0.7)
    sampler = Metropolis(LocalFlip(), SPACE, chains=64, power=power)
    state = qml.MCState((ansatz, params), SPACE, samples=12800, key=jax.random.key(0), sampler=sampler)
    state, samples = state.sample()
    np.testing.assert_allclose(jnp.sum(samples.weights), 1, rtol=1e-12)
    relative = samples.weights / jnp.exp((2 - power) * samples.log_psi.real)
    np.testing.assert_allclose(relative, relative[0], rtol=1e-10)
    exact = qml.FullSumState((ansatz, params), SPACE).expect(operator)
    stats = samples.statistics(state.local_values(operator, samples), hermitian=True)
    assert_z(stats, exact.mean)
    np.testing.assert_allclose(stats.variance, exact.variance, rtol=0.1)
    assert 0.2 < float(state.health(samples).weight_share) < 0.95
    unweighted = jnp.mean(state.local_values(operator, samples).real)
    assert abs(float(unweighted - exact.mean)) > 10 * float(stats.error)


def test_refusals():
    for bad in (1, (0.9, 0.5), (1.0, 1.0), (1.0, -0.1), (1.0,)):
        with pytest.raises(ShapeError, match="ladder descends"):
            Tempering(LocalFlip(), SPACE, betas=bad)
    with pytest.raises(SpaceError, match="leaves this space"):
        Tempering(LocalFlip(), Spin(4, magnetisation=0))
    with pytest.raises(SpaceError, match="another space"):
        Tempering(LocalFlip(), SPACE).check_space(Spin(3))
    with pytest.raises(ShapeError, match="power"):
        Metropolis(LocalFlip(), SPACE, power=0)
