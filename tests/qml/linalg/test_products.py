"""Thermal states by products of matrices alone, against eigendecompositions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from qml import linalg
from qml._core.errors import ConfigError


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_against_an_eigendecomposition(scale):
    random = np.random.default_rng(0)
    matrix = random.normal(size=(6, 6)) + 1j * random.normal(size=(6, 6))
    matrix = scale * (matrix + matrix.conj().T)
    levels, vectors = np.linalg.eigh(matrix)
    weights = np.exp(levels[0] - levels)
    state, log_partition = linalg.gibbs_by_products(jnp.asarray(matrix))
    np.testing.assert_allclose(log_partition, np.log(weights.sum()) - levels[0], rtol=1e-12)
    expected = (vectors * weights / weights.sum()) @ vectors.conj().T
    np.testing.assert_allclose(state, expected, atol=1e-12)


@pytest.mark.slow
def test_derivatives_at_a_degenerate_matrix():
    """Gradient and Hessian of log Z at K = 0, where levels are all equal: -Tr G / n and the covariance."""
    x, z = np.array([[0.0, 1.0], [1.0, 0.0]]), np.diag([1.0, -1.0])

    def logs(t):
        return linalg.gibbs_by_products(t[0] * x + t[1] * z, squarings=4)[1]

    np.testing.assert_allclose(jax.grad(logs)(jnp.zeros(2)), 0, atol=1e-14)
    np.testing.assert_allclose(jax.hessian(logs)(jnp.zeros(2)), np.eye(2), atol=1e-13)
    size = jnp.array([0.6, 0.8])
    np.testing.assert_allclose(jax.grad(logs)(size), np.tanh(1.0) * size, atol=1e-13)
    expected = scipy.linalg.expm(-0.6 * x - 0.8 * z)
    np.testing.assert_allclose(logs(size), np.log(np.trace(expected)), atol=1e-13)


def test_a_traced_matrix_needs_the_number_of_squarings():
    with pytest.raises(ConfigError, match="traced matrix"):
        jax.jit(linalg.gibbs_by_products)(jnp.eye(2))
