"""Krylov methods for Hermitian maps that are known only by their products: Lanczos and Chebyshev.

A map is any callable that is a pytree (an `equinox.Module`), so that its arrays are traced and one compiled program
serves all couplings. Only a few vectors are held, never a basis.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from qml._core.errors import ConvergenceError
from qml._core.types import Array, Inexact

_CHUNK = 20  # Lanczos steps between two looks at the tridiagonal matrix
_LONGEST = 400  # steps of one run
_RESTARTS = 12
_GUARDS = 4  # vectors beyond the wanted ones that may be used to resolve nearly degenerate levels

Map = Callable[[Array], Array]


class Pairs(NamedTuple):
    """Approximate eigenpairs: values `[k]`, orthonormal vectors `[k, size]`, residual norms `[k]`."""

    values: np.ndarray
    vectors: Array
    residuals: np.ndarray


def lowest(linear_map: Map, size: int, count: int, dtype: np.dtype, key: Array, tolerance: float) -> Pairs:
    r"""The `count` lowest eigenpairs of a Hermitian map, degenerate levels with their multiplicity.

    Each level is a Lanczos run from a fresh random vector in the orthogonal complement of the levels before it, so a
    degenerate level is found as often as it occurs. A run is done twice, once for the tridiagonal matrix and once to
    add up the Ritz vector, and restarted from it until the true residual is small. Levels closer than the tolerance
    mix; a Rayleigh-Ritz step in the span of all vectors separates them.

    Args:
        linear_map: Hermitian map on vectors `[size]`.
        size: length of the vectors.
        count: number of levels.
        dtype: dtype of the vectors.
        key: typed key for the start vectors.
        tolerance: residual norm relative to the norm of the map.

    Raises:
        ConvergenceError: a residual stays above the tolerance.

    Source:
        Y. Saad, Numerical Methods for Large Eigenvalue Problems (2011), chapters 5 and 6.
    """
    tolerance = max(tolerance, 100 * float(np.finfo(dtype).eps))
    keys = jax.random.split(key, count + _GUARDS)
    vectors: list[Array] = []
    scale = 0.0
    for number in range(min(count + _GUARDS, size)):
        locked = _rows(vectors, size, dtype)
        vector, norm = _level(linear_map, locked, size - number, _start(keys[number], size, dtype), tolerance)
        scale = max(scale, norm)
        vectors.append(vector)
        if number + 1 < count:
            continue
        pairs = _ritz(linear_map, jnp.stack(vectors))
        if np.all(pairs.residuals[:count] <= tolerance * scale):
            return Pairs(pairs.values[:count], pairs.vectors[:count], pairs.residuals[:count])
    raise ConvergenceError(
        "Lanczos did not reach its tolerance.",
        got=f"residual norms {pairs.residuals[:count]} for levels {pairs.values[:count]}",
        expected=f"at most {tolerance * scale:.1e}",
        try_="a larger tolerance, or more levels (k=) where levels lie very close together",
    )


def _rows(vectors: list[Array], size: int, dtype: np.dtype) -> Array:
    """The vectors as rows, filled up with zeros to a multiple of four: few shapes, few compilations."""
    filling = jnp.zeros((-len(vectors) % 4, size), dtype)
    return jnp.concatenate([jnp.stack(vectors), filling]) if vectors else filling


def _level(linear_map: Map, locked: Array, free: int, start: Array, tolerance: float) -> tuple[Array, float]:
    """Lowest eigenvector in the complement of `locked`, and the size of the map as the run saw it."""
    norm, best = 0.0, np.inf
    for _ in range(_RESTARTS):
        start = _clean(locked, start)
        weights, seen = _tridiagonal(linear_map, locked, free, start, tolerance)
        norm = max(norm, seen)
        vector = _combine(linear_map, locked, start, weights)
        residual = float(_residual(linear_map, locked, vector))
        if residual <= 0.5 * tolerance * norm or residual > 0.5 * best:
            break
        start, best = vector, residual
    return vector, norm


def _tridiagonal(linear_map: Map, locked: Array, free: int, start: Array, tolerance: float) -> tuple[np.ndarray, float]:
    """Weights of the Lanczos vectors in the lowest Ritz vector, and the largest entry sum of the tridiagonal matrix."""
    state = (jnp.zeros_like(start), start, jnp.zeros((), start.real.dtype), jnp.zeros_like(start))
    alphas, betas, zeros = np.zeros(0), np.zeros(0), np.zeros(_CHUNK)
    while True:
        state, (a, b) = _steps(linear_map, locked, state, zeros)
        alphas, betas = np.append(alphas, a), np.append(betas, b)
        norm = float(np.max(np.abs(alphas) + 2 * betas))
        small = np.flatnonzero(betas <= 10 * np.finfo(betas.dtype).eps * norm)
        length = min(free, len(alphas), *(small + 1))
        _, weights = scipy.linalg.eigh_tridiagonal(
            alphas[:length].astype(float), betas[: length - 1].astype(float), select="i", select_range=(0, 0)
        )
        weights = weights[:, 0]
        estimate = 0.0 if length < len(alphas) else betas[-1] * abs(weights[-1])
        if estimate <= 0.1 * tolerance * norm or len(alphas) >= _LONGEST:
            return weights, norm


def _combine(linear_map: Map, locked: Array, start: Array, weights: np.ndarray) -> Array:
    """Sum of the Lanczos vectors of a run with these weights: the run again, step for step by the same program."""
    state = (jnp.zeros_like(start), start, jnp.zeros((), start.real.dtype), jnp.zeros_like(start))
    chunks = -(-len(weights) // _CHUNK)
    padded = np.pad(weights, (0, chunks * _CHUNK - len(weights)))
    for i in range(chunks):
        state, _ = _steps(linear_map, locked, state, padded[i * _CHUNK : (i + 1) * _CHUNK])
    return _clean(locked, state[3])


@jax.jit
def _steps(linear_map: Map, locked: Array, state: tuple, weights: Array) -> tuple[tuple, tuple[Array, Array]]:
    """One Lanczos step for each weight; adds `weight * vector` to the last part of the state."""

    def step(state: tuple, weight: Array) -> tuple[tuple, tuple[Array, Array]]:
        previous, current, beta, total = state
        total = total + weight.astype(total.real.dtype) * current
        new = linear_map(current) - beta * previous
        alpha = jnp.vdot(current, new).real
        new = _project(locked, new - alpha * current)
        beta = jnp.linalg.norm(new)
        return (current, new / jnp.where(beta > 0, beta, 1), beta, total), (alpha, beta)

    return jax.lax.scan(step, state, weights)


def _project(locked: Array, vector: Array) -> Array:
    return vector - (locked.conj() @ vector) @ locked if locked.shape[0] else vector


@jax.jit
def _clean(locked: Array, vector: Array) -> Array:
    vector = _project(locked, _project(locked, vector))
    return vector / jnp.linalg.norm(vector)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _start(key: Array, size: int, dtype: np.dtype) -> Array:
    return jax.random.normal(key, (size,), dtype)


@jax.jit
def _residual(linear_map: Map, locked: Array, vector: Array) -> Array:
    image = _project(locked, linear_map(vector))
    return jnp.linalg.norm(image - jnp.vdot(vector, image).real * vector)


def _ritz(linear_map: Map, vectors: Array) -> Pairs:
    """Best eigenpairs in the span of orthonormal vectors, with true residuals."""
    values, rotation = np.linalg.eigh(np.asarray(_gram(linear_map, vectors)))
    vectors = jnp.asarray(rotation.T, vectors.dtype) @ vectors
    return Pairs(values, vectors, np.asarray(_residuals(linear_map, vectors, jnp.asarray(values))))


@jax.jit
def _gram(linear_map: Map, vectors: Array) -> Array:
    rows = jax.lax.map(lambda v: vectors.conj() @ linear_map(v), vectors)
    return (rows + rows.conj().T).T / 2


@jax.jit
def _residuals(linear_map: Map, vectors: Array, values: Array) -> Array:
    return jax.lax.map(lambda pair: jnp.linalg.norm(linear_map(pair[0]) - pair[1] * pair[0]), (vectors, values))


@jax.jit
def chebyshev(
    linear_map: Map, vector: Inexact[Array, " size"], coefficients: Array, centre: Array, radius: Array
) -> Array:
    r"""$\sum_k c_k T_k((A - a)/r)\, v$ by the three-term recurrence, for a map with spectrum in $[a - r, a + r]$.

    Args:
        linear_map: Hermitian map on vectors `[size]`.
        vector: the vector v.
        coefficients: $c_k$, at least two, real or complex.
        centre: a.
        radius: r > 0.
    """

    def scaled(v: Array) -> Array:
        return (linear_map(v) - centre * v) / radius

    def term(state: tuple, c: Array) -> tuple[tuple, None]:
        older, old, total = state
        new = 2 * scaled(old) - older
        return (old, new, total + c * new), None

    vector = vector.astype(jnp.result_type(vector, coefficients))
    first = scaled(vector).astype(vector.dtype)
    start = (vector, first, coefficients[0] * vector + coefficients[1] * first)
    return jax.lax.scan(term, start, coefficients[2:])[0][2]
