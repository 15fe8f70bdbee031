"""Functions of means and covariances: exact by full sum, coverage and correlations over repeated chains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml import FullSumState
from qml._core.errors import ShapeError
from qml.estimate import Joint, Samples, combine, joint, propagate
from qml.hilbert import Spin
from qml.operator import local, total
from tests.helpers.zscore import assert_z_uniform
from tests.qml.ansatz.models import model
from tests.qml.estimate.test_stats import autoregressive


def chains(x):
    """Samples of equal weight for values `[length, chains, ...]`, and the values row by row."""
    length, count = x.shape[:2]
    n = length * count
    record = Samples(jnp.ones((n, 1), jnp.int8), jnp.full(n, 1 / n), jnp.zeros(n), count)
    return record, x.reshape(n, *x.shape[2:])


@pytest.mark.parametrize(("length", "count"), [(60, 16)])
def test_coverage(length, count):
    """Ratio and product of two correlated means with autocorrelation: the errors are as large as the scatter."""
    a, b = 2.0, 1.0

    def one(key):
        samples, noise = chains(autoregressive(key, 0.5, length, count, (2,)))
        values = {"a": a + noise[:, 0], "b": b + 0.5 * noise[:, 0] + 0.3 * noise[:, 1]}
        direct = combine(lambda m: (m["a"] / m["b"], m["a"] * m["b"]), (samples, values))
        return direct, propagate(lambda m: m["a"] / m["b"], joint(samples, values))

    (ratio, product), matrix = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 600))
    for stats, exact in ((ratio, a / b), (product, a * b), (matrix, a / b)):
        assert_z_uniform(stats.mean, stats.error, exact)
    assert 0.63 < float(jnp.mean(jnp.abs(ratio.mean - a / b) < ratio.error)) < 0.73
    np.testing.assert_allclose(jnp.mean(matrix.error), jnp.mean(ratio.error), rtol=0.1)
    naive = jnp.sqrt((0.34 / b**2 * a**2 / b**2 + 1 / b**2) * 3 / (length * count))  # without the covariance
    assert float(jnp.mean(ratio.error)) < 0.8 * float(naive)


@pytest.mark.slow
def test_covariance_matrix():
    """Correlations of the means, autocorrelation included; complex leaves as two rows; never indefinite."""

    def one(key):
        samples, z = chains(autoregressive(key, 0.6, 200, 20, (2,)))
        return joint(samples, {"z": z[:, 0] + 1j * (z[:, 0] + z[:, 1]), "r": z[:, 1]})

    many = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), 400))
    # leaves in the order of their names: r, Re z, Im z
    exact = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 2]]) * 4 / 4000
    np.testing.assert_allclose(jnp.mean(many.covariance, axis=0), exact, atol=0.1 * 4 / 4000)
    rows = np.stack([many.mean["r"], many.mean["z"].real, many.mean["z"].imag])
    np.testing.assert_allclose(np.cov(rows), exact, atol=5 * 8 / 4000 / np.sqrt(400))
    assert float(jnp.min(jnp.linalg.eigvalsh(many.covariance))) > -1e-12


@pytest.mark.slow
def test_independent_sets_and_constants():
    """Errors of independent sets add in squares; a constant has none; a function may conjugate."""
    one, x = chains(autoregressive(jax.random.key(2), 0.3, 50, 16))
    two, y = chains(autoregressive(jax.random.key(3), 0.3, 100, 8))
    stats = combine(lambda a, b: a + 2 * b, (one, x), (two, y))
    error = jnp.hypot(one.statistics(x).error, 2 * two.statistics(y).error)
    np.testing.assert_allclose(stats.error, error, rtol=1e-12)
    assert int(stats.samples) == 1600
    square = combine(lambda m: m * jnp.conj(m), (one, x + 1j * x)).mean
    np.testing.assert_allclose(square, 2 * jnp.mean(x) ** 2, rtol=1e-12)
    constant = combine(lambda m: m**2, (one, jnp.full(x.shape, 3.0)))
    assert float(constant.error) < 1e-12 and float(constant.r_hat) == 1 and abs(float(constant.mean) - 9) < 1e-12


def test_states():
    """Fluctuations of a full sum are exact; the methods of a state forward to the functions."""
    space = Spin(4)
    state = FullSumState(model("complex rbm", 4), space)
    operators = {"m": total(space, "X"), "zz": local(space, "ZZ", 0, 1)}
    psi = np.asarray(state.to_array())
    mean = {k: np.vdot(psi, np.asarray(o.to_dense()) @ psi).real for k, o in operators.items()}
    found = state.combine(lambda m: m["m"] * m["zz"] ** 2, operators)
    np.testing.assert_allclose(found.mean, mean["m"] * mean["zz"] ** 2, rtol=1e-12)
    both = state.joint(operators)
    np.testing.assert_allclose([both.mean["m"], both.mean["zz"]], [mean["m"], mean["zz"]], rtol=1e-12)
    assert isinstance(both, Joint) and not np.any(both.covariance)


def test_bad_input():
    samples, x = chains(jnp.ones((4, 2)))
    for values in (x[:3], 1.0):
        with pytest.raises(ShapeError, match="one row"):
            combine(lambda m: m, (samples, values))
    with pytest.raises(ShapeError, match="nothing to combine"):
        combine(lambda: 1.0)
