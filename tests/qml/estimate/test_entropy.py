"""Renyi-2 entropies: swaps summed over all pairs, dense density matrices, sampled ones by z-score and coverage."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml import FullSumState, MCState
from qml._core.errors import ShapeError, SpaceError
from qml.estimate import UnresolvedEntropyWarning, renyi2, renyi2_ratios
from qml.estimate.entropy import _swaps
from qml.exact import reduced_density
from qml.hilbert import Boson, Constrained, Spin, SpinlessFermion
from qml.sampler import ExactSampler
from tests.helpers.zscore import assert_z, assert_z_uniform
from tests.qml.ansatz.models import model
from tests.qml.estimate.test_correlators import blockade

CASES = {
    "sector": ("mixed", Spin(4, magnetisation=0), (1, 2)),
    "predicate": ("mixed", Constrained(Spin(4), blockade), (0, 1)),
    "bosons": ("mixed", Boson(3, n_max=2, n_particles=3), (2,)),
    "fermions": ("mixed", SpinlessFermion(5, n_fermions=2), (1, 3)),
}


@pytest.mark.parametrize(
    "name", ["fermions", *[pytest.param(n, marks=pytest.mark.slow) for n in ("sector", "predicate", "bosons")]]
)
def test_swap_over_all_pairs(name):
    """The mean swap is Tr rho^2 of the dense density matrix, its second moment the share that stays on the support."""
    kind, hilbert, sites = CASES[name]
    state = FullSumState(model(kind, hilbert.n_sites), hilbert)
    rho = np.asarray(reduced_density(state.to_array(), hilbert, list(sites)))
    purity = np.trace(rho @ rho).real
    _, samples = state.sample()
    i, j = (a.reshape(-1) for a in np.meshgrid(*[np.arange(hilbert.size)] * 2))
    x, log_psi, w = (np.asarray(a) for a in (samples.x, samples.log_psi, samples.weights))
    weights = w[i] * w[j]
    swaps = jax.jit(lambda p, x, y, logs: _swaps(state.ansatz, p, hilbert, sites, x, y, logs, 100))
    swap = np.asarray(swaps(state.params, x[i], x[j], log_psi[i] + log_psi[j]))
    np.testing.assert_allclose(weights @ swap, purity, atol=1e-12)
    np.testing.assert_allclose(weights @ np.abs(swap) ** 2, weights @ (swap != 0), atol=1e-12)
    np.testing.assert_allclose(state.renyi2(list(sites)).mean, -np.log(purity), atol=1e-10)


@pytest.mark.slow
def test_jastrow_of_ten_sites():
    """Half a chain of a Jastrow state; the value by full summation in another program."""

    def log_psi(params, x):
        return sum(p * jnp.sum(x * jnp.roll(x, d + 1, axis=1), axis=1) for d, p in enumerate(params))

    params, space = (0.25, 0.1, 0.05), Spin(10)
    exact = FullSumState((params, log_psi), space).renyi2(range(5))
    np.testing.assert_allclose(exact.mean, 0.6075151191168796, atol=1e-10)
    sampler = ExactSampler(space, chains=100)
    state = MCState((params, log_psi), space, samples=10000, key=jax.random.key(0), sampler=sampler)
    assert_z(state.renyi2(range(5)), exact.mean)
    assert float(state.renyi2(range(10)).mean) == float(state.renyi2([]).mean) == 0


@pytest.mark.slow
def test_ratios_of_growing_parts():
    """The same state and number, from pairs of replicas sampled with a part swapped."""

    def log_psi(params, x):
        return sum(p * jnp.sum(x * jnp.roll(x, d + 1, axis=1), axis=1) for d, p in enumerate(params))

    params, space = (0.25, 0.1, 0.05), Spin(10)
    state = FullSumState((params, log_psi), space)
    regions = [range(2), range(4), range(5)]
    ratios = renyi2_ratios(state.ansatz, params, space, regions, key=jax.random.key(1), samples=10000, chains=100)
    assert_z(ratios, 0.6075151191168796)


@pytest.mark.slow
def test_coverage_with_signs():
    """Fermions drawn independently: error bars of the logarithm cover, complex amplitudes and signs included."""
    kind, hilbert, sites = CASES["fermions"]
    state = FullSumState(model(kind, hilbert.n_sites), hilbert)
    _, every = state.sample()

    def one(key):
        row = jax.random.categorical(key, jnp.log(every.weights), shape=(2000,))
        samples = type(every)(every.x[row], jnp.full(2000, 1 / 2000), every.log_psi[row], 200)
        return renyi2(state.ansatz, state.params, hilbert, samples, list(sites))

    stats = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(2), 200))
    assert_z_uniform(stats.mean, stats.error, float(state.renyi2(list(sites)).mean))


def test_an_unresolved_entropy_says_so():
    """A random-sign state of nearly maximal entropy with few samples: an infinite error and a warning, no number."""
    space = Spin(12)

    def log_psi(params, x):
        return 1j * 40 * jnp.sin(x @ params * 37.0)

    sampler = ExactSampler(space, chains=16)
    params = jnp.sqrt(jnp.arange(1.0, 13.0))
    state = MCState((params, log_psi), space, samples=64, key=jax.random.key(0), sampler=sampler)
    with pytest.warns(UnresolvedEntropyWarning, match="not known"):
        assert np.isinf(state.renyi2(range(6)).error)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state.renyi2([])


def test_bad_input():
    state = FullSumState(model("rbm", 4), Spin(4))
    for sites in ([0, 0], [4]):
        with pytest.raises(SpaceError, match="no part"):
            state.renyi2(sites)
    samples = state.sample()[1]
    with pytest.raises(ShapeError, match="two independent replicas"):
        renyi2(state.ansatz, state.params, Spin(4), type(samples)(samples.x, samples.weights, samples.log_psi, 1), [0])
    for regions, space in (([[0, 1], [0]], Spin(4)), ([], Spin(4)), ([[0]], Spin(4, magnetisation=0))):
        with pytest.raises(SpaceError, match="growing parts"):
            renyi2_ratios(state.ansatz, state.params, space, regions, key=jax.random.key(0))
