"""Lanczos against dense diagonalisation: multiplicities, complex maps, both ways to hold the basis, start vectors."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from qml._core.errors import ConvergenceError
from qml._core.types import Array
from qml.linalg import krylov


class Matrix(eqx.Module):
    """A dense matrix as a map."""

    matrix: Array

    def __call__(self, vector: Array) -> Array:
        return self.matrix @ vector


def matrix(levels, seed, dtype):
    rng = np.random.default_rng(seed)
    random = rng.normal(size=(len(levels),) * 2)
    if np.issubdtype(dtype, np.complexfloating):
        random = random + 1j * rng.normal(size=random.shape)
    unitary, _ = np.linalg.qr(random)
    return Matrix(jnp.asarray((unitary * np.asarray(levels)) @ unitary.conj().T))


LEVELS = np.concatenate([[-3.0, -2.5, -2.5, -2.5, -2.0, -2.0, -1.0], np.linspace(0, 4, 193)])


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("kept", [pytest.param(0, marks=pytest.mark.slow), 60_000, 2**27])
def test_multiplicities(dtype, kept, monkeypatch):
    """Levels as often as they occur, orthonormal vectors, true residuals; basis kept, in part, or run twice."""
    monkeypatch.setattr(krylov, "_KEPT_BYTES", kept)
    found = krylov.lowest(matrix(LEVELS, 1, dtype), 200, 6, np.dtype(dtype), 0, 1e-12)
    np.testing.assert_allclose(found.values, LEVELS[:6], atol=1e-11)
    vectors = np.asarray(found.vectors)
    np.testing.assert_allclose(vectors.conj() @ vectors.T, np.eye(6), atol=1e-12)
    images = vectors @ np.asarray(matrix(LEVELS, 1, dtype).matrix).T
    residuals = np.linalg.norm(images - found.values[:, None] * vectors, axis=1)
    np.testing.assert_allclose(found.residuals, residuals, atol=1e-13)
    assert np.all(residuals < 1e-10)


@pytest.mark.parametrize("kept", [0, 1600, 48_000, 2**27])
def test_one_level(kept, monkeypatch):
    """The lowest level alone, from a random and from a given vector, in few steps."""
    monkeypatch.setattr(krylov, "_KEPT_BYTES", kept)
    linear_map = matrix(LEVELS, 2, np.float64)
    lowest = np.linalg.eigh(np.asarray(linear_map.matrix))[1][:, 0]
    calls = []
    step = krylov._step
    monkeypatch.setattr(krylov, "_step", lambda *a: (calls.append(1), step(*a))[1])
    for start in (None, lowest + 1e-6):
        calls.clear()
        found = krylov.lowest(linear_map, 200, 1, np.dtype(float), 3, 1e-12, start)
        np.testing.assert_allclose(found.values, [-3.0], atol=1e-12)
        np.testing.assert_allclose(abs(lowest @ np.asarray(found.vectors[0])), 1, atol=1e-12)
        assert found.residuals[0] < 1e-11
        assert len(calls) <= (110 if kept > 2**20 else 180 if kept > 2**11 else 210)


def test_start_in_an_invariant_space():
    """A start vector in a small invariant space ends the run there: only the caller knows that it is enough."""
    linear_map = Matrix(jnp.diag(jnp.asarray(LEVELS)))
    start = np.zeros(200)
    start[[4, 6]] = 1.0
    found = krylov.lowest(linear_map, 200, 1, np.dtype(float), 0, 1e-12, start)
    np.testing.assert_allclose(found.values, [-2.0], atol=1e-12)


@pytest.mark.slow
def test_more_levels_than_runs_expect():
    """A level with a multiplicity beyond what one round holds; the whole of a small space."""
    levels = np.concatenate([np.full(20, -1.0), np.linspace(0, 1, 40)])
    found = krylov.lowest(matrix(levels, 3, np.float64), 60, 18, np.dtype(float), 0, 1e-12)
    np.testing.assert_allclose(found.values, np.full(18, -1.0), atol=1e-11)
    small = np.array([-2.0, 0.5, 0.5, 3.0])
    found = krylov.lowest(matrix(small, 4, np.float64), 4, 4, np.dtype(float), 0, 1e-12)
    np.testing.assert_allclose(found.values, small, atol=1e-12)


def test_no_convergence(monkeypatch):
    """Too few steps are an error."""
    monkeypatch.setattr(krylov, "_LONGEST", 1)
    monkeypatch.setattr(krylov, "_RESTARTS", 0)
    with pytest.raises(ConvergenceError):
        krylov.lowest(matrix(LEVELS, 5, np.float64), 200, 3, np.dtype(float), 0, 1e-12)
