"""Thermal states by products with vectors: exact with a whole basis of them, else within errors."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from qml._core.errors import ConfigError, ConvergenceError, ShapeError
from qml.gibbs import PauliGibbs, VectorGibbs, ising_chain, metric_operator, thermal_numbers
from tests.qml.gibbs.systems import word

WORDS, THETA = ("XYI", "IZZ", "XII", "IYI", "IIX"), np.array([-0.7, 0.5, -1.3, 0.4, 0.9])
DIRECTION = np.array([0.3, -0.2, 0.5, 0.1, 0.7])


def chain(sites):
    return [word(sites, {i: "Z", i + 1: "Z"}) for i in range(sites - 1)] + [word(sites, {i: "X"}) for i in range(sites)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bkm", "wy", "sym", "sld"])
def test_a_whole_basis_makes_every_number_exact(kind):
    exact = PauliGibbs(WORDS, jnp.asarray(THETA))
    found = VectorGibbs(WORDS, THETA, starts=np.sqrt(8) * np.eye(8))
    if kind == "sym":
        np.testing.assert_allclose(found.log_partition().mean, exact.log_partition(), rtol=1e-14)
        np.testing.assert_allclose(found.entropy().mean, exact.entropy(), rtol=1e-13)
        np.testing.assert_allclose(found.marginals().mean, exact.marginals(), atol=1e-14)
    accuracy = 1e-13 if kind == "sym" else 1e-8
    np.testing.assert_allclose(
        found.metric_product(DIRECTION, kind).mean, exact.metric(kind) @ DIRECTION, atol=accuracy
    )


@pytest.mark.slow
def test_metrics_of_random_vectors_against_dense_ones():
    words, theta = [*chain(7), "YIIIIIX"], np.linspace(-0.6, 0.5, 14)
    exact, found = PauliGibbs(words, jnp.asarray(theta)), VectorGibbs(words, theta, key=jax.random.key(5), vectors=24)
    direction = np.cos(np.arange(14))
    for kind in ("bkm", "wy", "sld", "sym"):
        product = found.metric_product(direction, kind)
        pulls = np.asarray((product.mean - exact.metric(kind) @ direction) / product.error)
        assert np.all(np.abs(pulls) < 4.5) and np.all(product.error < 0.3)
        matrix = np.asarray(metric_operator(found, kind).as_matrix())
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-8)
        assert np.linalg.eigvalsh(matrix)[0] > -1e-8


@pytest.mark.slow
def test_thirteen_sites_metric_and_newton_step():
    """Beyond matrices: log Z and marginals against free fermions; a Newton step with conjugate gradients."""
    sites, theta = 13, -0.6 * np.ones(25)
    found = VectorGibbs(chain(sites), theta, key=jax.random.key(1), vectors=4)
    exact = ising_chain(-0.6 * jnp.ones(12), -0.6 * jnp.ones(13))
    logs, means = found.log_partition(), found.marginals()
    assert abs(float(logs.mean) - float(exact.log_partition)) < 4.5 * float(logs.error) < 0.5
    assert np.all(np.abs(means.mean - np.concatenate([exact.zz, exact.x])) < 4.5 * np.asarray(means.error))
    near = found.with_theta(theta + 0.01 * np.cos(np.arange(25)))
    gap = near.marginals().mean - means.mean
    step = lx.linear_solve(metric_operator(near), gap, lx.CG(rtol=1e-3, atol=1e-6)).value
    # the vectors are shared, so what is left of the displacement is of second order and of the scatter of the metric
    assert float(jnp.abs(near.theta + step - theta).max()) < 1e-3


@pytest.mark.parametrize("method", ["products", pytest.param("chebyshev", marks=pytest.mark.slow)])
def test_engines_by_name(method):
    exact = thermal_numbers(WORDS, 3 * THETA)
    found = thermal_numbers(WORDS, 3 * THETA, method=method, key=jax.random.key(3), vectors=200)
    assert exact.engine == "dense" and found.engine == method
    if method == "products":
        for a, b in ((found.log_partition, exact.log_partition), (found.entropy, exact.entropy)):
            np.testing.assert_allclose(a.mean, b.mean, atol=1e-12)
        np.testing.assert_allclose(found.marginals.mean, exact.marginals.mean, atol=1e-13)
    else:
        for a, b in ((found.log_partition, exact.log_partition), (found.marginals, exact.marginals)):
            assert np.all(np.abs(a.mean - b.mean) < 4.5 * np.asarray(a.error))


def test_bad_input():
    with pytest.raises(ConfigError, match="need a key"):
        VectorGibbs(WORDS, THETA)
    with pytest.raises(ShapeError, match="one finite coupling"):
        VectorGibbs(WORDS, THETA[1:], key=jax.random.key(0))
    with pytest.raises(ShapeError, match="distinct"):
        VectorGibbs(("X", "X"), [0.1, 0.2], key=jax.random.key(0))
    with pytest.raises(ShapeError, match="do not fit the space"):
        VectorGibbs(("X",), [0.1], starts=np.eye(3))
    with pytest.raises(ConfigError, match="metric"):
        VectorGibbs(("X",), [0.1], starts=np.eye(2)).metric_product([1.0], "bures")


@pytest.mark.slow
def test_a_series_that_cannot_be_right_is_refused():
    with pytest.raises(ConvergenceError, match="too cold"):
        VectorGibbs(("XI", "IZ", "YY", "ZZ"), 40 * np.ones(4), key=jax.random.key(0)).log_partition()
