"""False alarms and detections of the guards, by simulation; error bars of short runs; chains made anew."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qml
from qml.estimate.stats import chains_disagree
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Ising
from qml.sampler import LocalFlip, Metropolis, SamplerState
from tests.qml.sampler.cases import uneven


def waiting(rates, stay, moves, runs, chains, dead=0, seed=0):
    """Chains with several rates of acceptance, which change with each move that is accepted.

    Returns:
        Moves since the last change `[runs, chains]`, and the longest wait of each run.
    """
    draw = np.random.default_rng(seed)
    rates, stay = np.array(rates), np.cumsum(stay)
    here = np.searchsorted(stay, draw.random((runs, chains)))
    still, longest = np.zeros((2, runs, chains), np.int64)
    for _ in range(moves):
        moved = draw.random((runs, chains)) < rates[here]
        moved[:, :dead] = False
        longest = np.where(moved, np.maximum(longest, still + 1), longest)
        still = np.where(moved, 0, still + 1)
        here = np.where(moved, np.searchsorted(stay, draw.random((runs, chains))), here)
    return still, longest.max(axis=1)


def frozen(still, longest, sites=16):
    """The guard itself, on `[runs, chains]`."""

    def one(still, longest):
        zero = jnp.zeros_like(still)
        x = jnp.zeros((*still.shape, sites), jnp.int8)
        return SamplerState(x, zero.astype(float), jax.random.key(0), zero, jnp.array(0), still, longest).frozen

    return np.asarray(jax.vmap(one)(jnp.asarray(still), jnp.asarray(longest)))


@pytest.mark.parametrize(
    ("rates", "shares"),
    [
        ((0.5,), (1,)),
        pytest.param((0.02,), (1,), marks=pytest.mark.slow),
        pytest.param((0.6, 0.01), (0.7, 0.3), marks=pytest.mark.slow),
        ((0.3, 0.008), (0.98, 0.02)),
    ],
)
def test_frozen_chains(rates, shares):
    """Below 2 % of runs have a false alarm, also where waits are most unlike; a dead chain is found in over 95 %."""
    runs, chains, moves = 400, 16, 1600
    assert np.mean(frozen(*waiting(rates, shares, moves, runs, chains)).any(axis=1)) < 0.02
    found = frozen(*waiting(rates, shares, 6 * moves, runs // 5, chains, dead=1, seed=1))
    assert np.mean(found[:, 0]) > 0.95 and np.mean(found[:, 1:].any(axis=1)) < 0.02


def test_all_chains_frozen():
    still, longest = np.full((1, 16), 200), np.zeros(1, int)
    assert frozen(still, longest).all() and not frozen(still // 2, longest).any()


def autoregressive(key, phi, runs, length, chains):
    noise = jax.random.normal(key, (length, runs, chains))

    def step(x, xi):
        x = phi * x + np.sqrt(1 - phi**2) * xi
        return x, x

    return jnp.swapaxes(jnp.concatenate([noise[:1], jax.lax.scan(step, noise[0], noise[1:])[1]]), 0, 1)


@pytest.mark.parametrize(("length", "chains"), [(64, 16), pytest.param(16, 128, marks=pytest.mark.slow)])
def test_chains_that_disagree(length, chains):
    """Below 2 % false alarms for mixed chains; over 95 % of the runs found where each is stuck in a well of its own."""
    alarm = jax.jit(jax.vmap(chains_disagree))
    for phi in (0.0, 0.5, 0.8):
        x = autoregressive(jax.random.key(3), phi, 1000, length, chains)
        assert np.mean(alarm(x)) < 0.02
        wells = 3.0 * jnp.sign(jnp.arange(chains) % 2 - 0.5)
        assert np.mean(alarm(x + wells[None, None, :])) > 0.95


@pytest.mark.slow
def test_one_sigma_covers():
    """Of 400 short runs, each from random starts, 62 to 74 % have the exact energy within one error bar."""
    space = Spin(4)
    ansatz, params, law = uneven(space)
    operator = Ising(space, Chain(4), j=1.0, h=0.7)
    local = qml.estimate.local_values(ansatz, params, operator, space.all_states())
    exact = float(jnp.sum(jnp.asarray(law) * local))
    sampler = Metropolis(LocalFlip(), space, chains=16)

    @jax.jit
    @jax.vmap
    def run(key):
        state, x = sampler.sample(ansatz, params, sampler.init(ansatz, params, key), 40)
        stats = qml.estimate.statistics(local[space.states_to_indices(x)])
        return stats.mean, stats.error, state.settled

    mean, error, settled = map(np.asarray, run(jax.random.split(jax.random.key(4), 400)))
    assert np.mean(settled) > 0.99
    assert 0.62 < np.mean(np.abs(mean - exact) < error) < 0.74


def test_burn_in_ends_by_diagnostics():
    """A slow walk through a flat law takes long to come to rest; chains stuck in two wells never do, and it is said."""
    space = Spin(8)

    def steep(params, x):
        up = jnp.sum(x, axis=-1)
        return params * up**2

    state = qml.MCState((jnp.array(0.3), steep), space, samples=320, key=jax.random.key(0))
    again = state.fresh(jax.random.key(1))
    assert np.any(np.asarray(again.sampler_state.x) != np.asarray(state.sampler_state.x))
    assert bool(again.sampler_state.settled)

    def two_wells(params, x):  # of unlike height, with no way between
        up = jnp.sum(x, axis=-1)
        return params * jnp.where(jnp.abs(up) >= 6, 1.0 + 0.3 * (up > 0) + 0.01 * up, -8.0)

    state = qml.MCState((jnp.array(5.0), two_wells), space, samples=320, key=jax.random.key(2))
    state, samples = state.sample()
    health = state.health(samples)
    assert not bool(health.settled) and "the chains were not thermalised" in health.named_troubles
    assert "the chains disagree" in health.named_troubles
