"""Block Lanczos with thick restarts: the lowest levels of a Hermitian map, several vectors at once, bounded memory."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.types import Array

_CYCLES = 500


def thick_restart(
    linear_map: Callable[[Array], Array], start: np.ndarray, count: int, tolerance: float
) -> tuple[np.ndarray, Array, float]:
    r"""Approximate lowest levels in the Krylov space of a block of vectors.

    A block $X$ is mapped and made orthogonal to all vectors held; when there is no room left, the best Ritz vectors
    are kept with the block that comes next (to which all of them couple), and the rest is dropped.

    Args:
        linear_map: Hermitian map on vectors `[size]`.
        start: `[block, size]`, the first vectors.
        count: number of levels; count + block < size.
        tolerance: residual norm relative to the norm of the map.

    Returns:
        Values `[count]`, orthonormal vectors `[count, size]`, and the norm of the map in the space that was seen. A
        level with more copies than the block has vectors may have fewer here, and levels may be poor after 500
        restarts: both are to be checked.

    Source:
        K. Wu and H. Simon, SIAM J. Matrix Anal. Appl. 22, 602 (2000).
    """
    block, size = start.shape
    keep = min(count + block, size - block)
    room = min(2 * keep + 6 * block, size - block)
    held = jnp.zeros((room + block, size), start.dtype)
    held = _append(held, jnp.zeros_like(held[:block]) + start, 0)[0]
    matrix = np.zeros((room + block,) * 2, start.dtype)
    filled = block
    for cycle in range(_CYCLES):
        while True:
            held, inner, outer = _expand(linear_map, held, filled, block)
            last = slice(filled - block, filled)
            matrix[:filled, last] = np.asarray(inner)[:filled]
            matrix[last, :filled] = matrix[:filled, last].conj().T
            values, weights = np.linalg.eigh(matrix[:filled, :filled])
            coupling = np.asarray(outer) @ weights[-block:]  # of every Ritz vector to the block that comes next
            scale = float(np.abs(values).max())
            errors = np.linalg.norm(coupling[:, :count], axis=0)
            done = filled >= count and bool((errors <= 0.3 * tolerance * scale).all())
            if done or filled + block > room:
                break
            filled += block
        if done or cycle == _CYCLES - 1:
            break
        held = _restart(held, weights[:, :keep].astype(start.dtype), filled, block)
        matrix[:] = 0
        matrix[range(keep), range(keep)] = values[:keep]
        filled = keep + block
    return values[:count], _combined(held, weights[:, :count].astype(start.dtype), filled), scale


@functools.partial(jax.jit, static_argnums=3)
def _expand(linear_map: Any, held: Array, filled: Any, block: int) -> tuple[Array, Array, Array]:
    """The next block in its place; the products of the images of the last block with the vectors held, and with it."""
    last = jax.lax.dynamic_slice_in_dim(held, filled - block, block)
    held, inner, outer = _append(held, jax.lax.map(linear_map, last), filled)
    return held, inner, outer


@jax.jit
def _append(held: Array, vectors: Array, place: Any) -> tuple[Array, Array, Array]:
    """Vectors made orthonormal to those held and written behind them, with their coefficients.

    What has no part of its own gets an arbitrary direction, which is then made orthogonal: its coefficients are zero.
    """
    inner = jnp.zeros((held.shape[0], vectors.shape[0]), held.dtype)
    outer = jnp.eye(vectors.shape[0], dtype=held.dtype)
    for _ in range(3):
        part = held.conj() @ vectors.T
        vectors = vectors - part.T @ held
        inner = inner + part @ outer
        rows, factor = jnp.linalg.qr(vectors.T)
        vectors, outer = rows.T, factor @ outer
    return jax.lax.dynamic_update_slice_in_dim(held, vectors, place, 0), inner, outer


@functools.partial(jax.jit, static_argnums=(2, 3), donate_argnums=0)
def _restart(held: Array, weights: Array, filled: int, block: int) -> Array:
    kept = weights.T @ held[:filled]
    rest = jnp.zeros((held.shape[0] - weights.shape[1] - block, held.shape[1]), held.dtype)
    return jnp.concatenate([kept, held[filled : filled + block], rest])


@functools.partial(jax.jit, static_argnums=2)
def _combined(held: Array, weights: Array, filled: int) -> Array:
    return weights.T @ held[:filled]
