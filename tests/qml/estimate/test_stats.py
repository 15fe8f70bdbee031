"""Statistics of Markov chains against autoregressive processes whose autocorrelation time is known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml.estimate import Samples, Stats, statistics
from qml.estimate.stats import _SHORT, _lowest, chains_disagree
from qml.estimate.trial import Trial
from tests.helpers.zscore import assert_z_uniform


def autoregressive(key, phi, length, chains, trailing=()):
    """Stationary $x_{t+1} = \\phi x_t + \\sqrt{1-\\phi^2}\\,\\xi$ with unit variance, started from its law."""
    noise = jax.random.normal(key, (length, chains, *trailing))

    def step(x, xi):
        x = phi * x + np.sqrt(1 - phi**2) * xi
        return x, x

    return jnp.concatenate([noise[:1], jax.lax.scan(step, noise[0], noise[1:])[1]])


@pytest.mark.parametrize("phi", [0.0, 0.6, 0.9])
@pytest.mark.parametrize(("length", "chains"), [(4000, 8), (400, 400)])
def test_autocorrelation_time(phi, length, chains):
    """tau = (1 + phi) / (1 - phi) / 2, from within and from between chains; variance 1; R-hat 1."""
    stats = statistics(autoregressive(jax.random.key(0), phi, length, chains))
    exact = 0.5 * (1 + phi) / (1 - phi)
    assert abs(float(stats.tau) / exact - 1) < 0.2
    assert abs(float(stats.variance) - 1) < 0.1
    assert abs(float(stats.r_hat) - 1) < 0.1
    np.testing.assert_allclose(stats.error, np.sqrt(2 * stats.tau * stats.variance / (length * chains)), rtol=1e-3)


@pytest.mark.parametrize("length", [1, 2, _SHORT, _SHORT + 1])
def test_lowest_so_far(length):
    values = jax.random.normal(jax.random.key(0), (length, 3))
    np.testing.assert_array_equal(_lowest(values), np.minimum.accumulate(values, axis=0))


@pytest.mark.parametrize(("length", "chains"), [(60, 16), (10, 100), (1, 200)])
def test_error_bars_cover(length, chains):
    """Over a thousand runs the means scatter as their error bars say."""
    keys = jax.random.split(jax.random.key(1), 1000)
    stats = jax.jit(jax.vmap(lambda k: statistics(3.0 + autoregressive(k, 0.5, length, chains))))(keys)
    assert_z_uniform(stats.mean, stats.error, 3.0)


def test_weights():
    """A mean with importance weights: its error bar covers, and its variance is that of the target."""

    def one(key):
        x = autoregressive(key, 0.5, 200, 20)
        w = jnp.exp(0.5 * x)  # from N(0, 1) to N(1/2, 1)
        return statistics(x, w / jnp.sum(w))

    stats = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(2), 1000))
    assert_z_uniform(stats.mean, stats.error, 0.5)
    assert abs(float(jnp.mean(stats.variance)) - 1) < 0.01


def test_arrays_and_complex_numbers():
    """Entries are independent; a complex number has the variance of both its parts."""
    x = autoregressive(jax.random.key(3), 0.5, 100, 8, (2, 3))
    stats = statistics(x)
    alone = statistics(x[:, :, 1, 2])
    for field in ("mean", "error", "variance", "tau", "r_hat"):
        np.testing.assert_allclose(getattr(stats, field)[1, 2], getattr(alone, field), rtol=1e-12)
    z = statistics(x[..., 0, 0] + 1j * x[..., 0, 1])
    parts = [statistics(x[..., 0, k]) for k in (0, 1)]
    np.testing.assert_allclose(z.variance, parts[0].variance + parts[1].variance, rtol=1e-12)
    assert z.mean.dtype == complex and z.error.dtype == float


def test_chains_that_disagree():
    x = autoregressive(jax.random.key(4), 0.2, 500, 16)
    assert float(statistics(x + (jnp.arange(16) % 2)[None, :]).r_hat) > 1.1
    assert float(statistics(x + jnp.linspace(0, 2, 500)[:, None]).r_hat) > 1.1  # drift: caught by the split
    stuck = jnp.broadcast_to(jnp.arange(16.0)[None, :], (10, 16))
    assert np.isinf(statistics(stuck).r_hat)


def test_an_eigenstate_has_no_error():
    """Rounding noise on a constant is neither an error nor a disagreement of chains."""
    noise = 1e-15 * jax.random.normal(jax.random.key(0), (1, 8))
    stats = statistics(jnp.full((50, 8), -12.5) * (1 + noise))
    assert float(stats.error) < 1e-13 and float(stats.r_hat) == 1 and float(stats.tau) == 0.5


def test_one_sample_has_no_error_bar():
    assert np.isnan(statistics(jnp.ones((1, 1))).error)
    assert np.isnan(statistics(autoregressive(jax.random.key(0), 0.1, 3, 4)).r_hat)


def test_samples_of_a_hermitian_operator():
    """A mean that must be real is real; the variance counts the imaginary parts."""
    z = autoregressive(jax.random.key(5), 0.3, 100, 8) + 1j * autoregressive(jax.random.key(6), 0.3, 100, 8)
    samples = Samples(jnp.ones((800, 2), jnp.int8), jnp.full(800, 1 / 800), jnp.zeros(800), 8)
    stats = samples.statistics(z.reshape(-1), hermitian=True)
    full = samples.statistics(z.reshape(-1))
    np.testing.assert_allclose(stats.mean, full.mean.real, rtol=1e-12)
    np.testing.assert_allclose(stats.variance, full.variance, rtol=1e-12)
    assert float(stats.error) < float(full.error)


def test_full_sum_is_exact():
    weights = jnp.array([0.5, 0.25, 0.25])
    stats = Samples(jnp.ones((3, 2), jnp.int8), weights, jnp.zeros(3), None).statistics(jnp.array([1.0, 2.0, 4.0]))
    assert isinstance(stats, Stats) and str(stats) == "2"
    assert float(stats.variance) == 1.5 and float(stats.error) == 0
    trial = Trial(*(jnp.array(x) for x in (0.0, 1.0, 0.5, 2.0)))
    assert repr(eqx.tree_at(lambda t: t.before, trial, stats)).endswith("before=2)")  # inside other records, too


@pytest.mark.parametrize(
    ("length", "chains", "used"),
    [(21, 8, (7,))]
    + [pytest.param(*case, marks=pytest.mark.slow) for case in ((10, 70, (1, 3, 8)), (200, 16, (1, 3, 66, 198)))],
)
def test_values_that_do_not_count(length, chains, used):
    """The first ones alone, and with others of weight zero behind them, have the same statistics: one program."""
    draw = np.random.default_rng(0)
    correlated = np.cumsum(draw.normal(size=(length, chains, 2)), axis=0) / 5 + draw.normal(size=(length, chains, 2))
    weights = draw.random((length, chains))
    for steps in used:
        inside = (np.arange(length) < steps)[:, None]
        w = np.where(inside, weights, 0) / np.sum(weights[:steps])
        some = statistics(correlated, w, used=np.int32(steps * chains))
        alone = statistics(correlated[:steps], w[:steps])
        for name, number in vars(some).items():
            np.testing.assert_allclose(number, getattr(alone, name), rtol=1e-11, err_msg=f"{name} of {steps}")
        for apart in (0.0, 0.3, 2.0) if length > 21 else ():
            values = draw.normal(size=(length, chains)) + apart * draw.normal(size=chains)[None]
            assert chains_disagree(values, np.int32(steps)) == chains_disagree(values[:steps])
