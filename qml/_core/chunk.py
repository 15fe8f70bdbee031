"""Chunked maps: `chunk=` changes memory and time, never the meaning."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from qml._core.errors import ShapeError
from qml._core.types import Array, PyTree


def _check(chunk: int | None) -> None:
    if chunk is not None and (not isinstance(chunk, int) or chunk < 1):
        raise ShapeError(
            "A chunk is a positive number of rows.", got=chunk, expected="an int >= 1, or None", try_="chunk=256"
        )


def map_chunks(function: Callable[..., PyTree], *rows: PyTree, chunk: int | None) -> PyTree:
    """`function(*rows)` for a function that acts row by row on the leading axis, in pieces of `chunk` rows.

    The last piece is padded with copies of the last row, so `chunk` need not divide the number of rows.

    Args:
        function: maps arrays `[n, ...]` to arrays `[n, ...]`, each row from its own row alone.
        rows: trees of arrays with one common leading axis.
        chunk: rows held at once; `None` is all of them.

    Returns:
        What `function(*rows)` returns.

    Raises:
        ShapeError: `chunk` is not a positive int.
    """
    _check(chunk)
    n = jax.tree.leaves(rows)[0].shape[0]
    if chunk is None or chunk >= n:
        return function(*rows)
    pieces = -(-n // chunk)
    index = jnp.minimum(jnp.arange(pieces * chunk), n - 1).reshape(pieces, chunk)
    out = jax.lax.map(lambda i: function(*jax.tree.map(lambda x: x[i], rows)), index)
    return jax.tree.map(lambda x: x.reshape((pieces * chunk, *x.shape[2:]))[:n], out)


def sum_chunks(function: Callable[..., PyTree], *rows: PyTree, chunk: int | None) -> PyTree:
    """`function(*rows)` for a function that sums over the leading axis, accumulated over pieces of `chunk` rows.

    `function(mask, *rows)` gets a mask `[n]` of 0 and 1 that is 0 on padding rows, and must weigh each row by it.

    Raises:
        ShapeError: `chunk` is not a positive int.
    """
    _check(chunk)
    n = jax.tree.leaves(rows)[0].shape[0]
    if chunk is None or chunk >= n:
        return function(jnp.ones(n), *rows)
    pieces = -(-n // chunk)
    index = jnp.arange(pieces * chunk).reshape(pieces, chunk)

    def piece(i: Array) -> PyTree:
        return function((i < n).astype(jnp.result_type(float)), *jax.tree.map(lambda x: x[jnp.minimum(i, n - 1)], rows))

    def add(total: PyTree, i: Array) -> tuple[PyTree, None]:
        return jax.tree.map(jnp.add, total, piece(i)), None

    total, _ = jax.lax.scan(add, piece(index[0]), index[1:])
    return total
