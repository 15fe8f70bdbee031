r"""Derivatives of log psi of each sample, held by arrays of parameters: a wide matrix that is never put together.

What a backward pass leaves for one array of parameters is a *tile* of columns. Products and the Gram matrix are sums
over tiles, each of which fits in a cache; copying all tiles into one matrix would cost more than to make them.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from qml._core.chunk import map_chunks
from qml._core.precision import real_dtype
from qml._core.types import Array, Float, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.plan import rows_at_once
from qml.estimate.samples import Samples
from qml.estimate.solve import upper_gram

_NARROWEST = 1024  # columns of a tile, at least; narrower ones are put together


class Rows(NamedTuple):
    """A matrix of `components * samples` rows (all real parts before all imaginary parts), as tiles of columns.

    Args:
        tiles: of each tile the numbers `[samples, width]` of each component.
        spans: of each tile the columns it holds, as pairs (first, past the last).
    """

    tiles: tuple[tuple[Array, ...], ...]
    spans: tuple[tuple[tuple[int, int], ...], ...]

    @property
    def narrow(self) -> bool:
        """Whether the numbers are held in less than the widest precision."""
        return any(part.dtype != real_dtype() for tile in self.tiles for part in tile)

    def push(self, vector: Float[Array, " params"]) -> Float[Array, " rows"]:
        """The matrix times a vector."""
        total = None
        for tile, spans in zip(self.tiles, self.spans, strict=True):
            some = jnp.concatenate([vector[a:b] for a, b in spans])
            out = jnp.concatenate([part.astype(vector.dtype) @ some for part in tile])
            total = out if total is None else total + out
        return jnp.asarray(total)

    def pull(self, rows: Float[Array, " rows"]) -> Float[Array, " params"]:
        """A vector times the matrix."""
        found: dict[tuple[int, int], Array] = {}
        for tile, spans in zip(self.tiles, self.spans, strict=True):
            parts = rows.reshape(len(tile), -1)
            out = sum(left @ part.astype(rows.dtype) for left, part in zip(parts, tile, strict=True))
            found |= dict(zip(spans, _cut(jnp.asarray(out), spans), strict=True))
        return jnp.concatenate([found[span] for span in sorted(found)])

    def blocks(self, *, wide: bool = True) -> dict[tuple[int, int], Array]:
        r"""Blocks $(i, j)$, $i \le j$, of components of the matrix times its transpose; of those on the diagonal the
        upper triangle. In the precision of the tiles where it is not `wide`."""
        total: dict[tuple[int, int], Array] = {}
        for tile in self.tiles:
            parts = [part.astype(real_dtype()) if wide else part for part in tile]
            for i, left in enumerate(parts):
                for j in range(i, len(parts)):
                    share = upper_gram(left) if i == j else left @ parts[j].T
                    # one sum at a time, so that no more than two shares are held
                    total[i, j] = jax.lax.optimization_barrier(total[i, j] + share) if (i, j) in total else share
        return total

    def gram(self, *, wide: bool = True) -> Float[Array, "rows rows"]:
        """Upper triangle of the matrix times its transpose; in the precision of the tiles where it is not `wide`."""
        total = self.blocks(wide=wide)
        if len(total) == 1:
            return total[0, 0]
        return jnp.block([[total[0, 0], total[0, 1]], [jnp.zeros_like(total[0, 1]), total[1, 1]]])

    def scaled(self, scale: Float[Array, " params"]) -> "Rows":
        """The matrix with scaled columns, in the precision of the scale."""
        tiles = []
        for tile, spans in zip(self.tiles, self.spans, strict=True):
            some = jnp.concatenate([scale[a:b] for a, b in spans])
            tiles.append(tuple(part.astype(scale.dtype) * some[None, :] for part in tile))
        return self._replace(tiles=tuple(tiles))

    def whole(self) -> Float[Array, "rows params"]:
        """The matrix itself, in the widest precision."""
        found: dict[tuple[int, int], Array] = {}
        for tile, spans in zip(self.tiles, self.spans, strict=True):
            found |= dict(zip(spans, _cut(jnp.concatenate(tile), spans), strict=True))
        return jnp.concatenate([found[span] for span in sorted(found)], axis=1).astype(real_dtype())


def derivatives(ansatz: Ansatz, params: Params, x: Array, chunk: int | None, *, single: bool = False) -> Rows:
    """Derivatives of log psi of each sample by the real numbers of the parameters, in the order of `tree.realify`.

    With `single` they are rounded to single precision.
    """

    def parts(p: Params, row: Array) -> tuple[Array, ...]:
        value = ansatz.log_psi(p, row[None])[0]
        return (value.real, value.imag) if ansatz.is_complex else (value,)

    def one(row: Array) -> list[list[Array]]:
        out, pull = jax.vjp(lambda p: parts(p, row), params)
        basis = jnp.eye(len(out), dtype=out[0].dtype)
        return [[_real(g, single) for g in jax.tree.leaves(pull(tuple(unit))[0])] for unit in basis]

    every: Callable = jax.vmap(one)
    found = map_chunks(every, x, chunk=rows_at_once(every, x, chunk=chunk, cached=True, fewest=64))
    spans, start = [], 0
    for leaf in found[0]:
        spans.append((start, start + leaf.shape[1]))
        start = spans[-1][1]
    tiles, columns = [], []
    for chosen in _together([b - a for a, b in spans], len(x)):
        tiles.append(tuple(_joined([component[i] for i in chosen]) for component in found))
        columns.append(tuple(spans[i] for i in chosen))
    return Rows(tuple(tiles), tuple(columns))


def centred(rows: Rows, samples: Samples) -> Rows:
    r"""The rows minus their mean, weighted: $\sqrt{w_s}\,(O_{sk} - \langle O_k\rangle)$."""

    def one(part: Array) -> Array:
        weights = samples.weights.astype(part.dtype)[:, None]
        return jnp.sqrt(weights) * (part - jnp.sum(weights * part, axis=0)[None])

    return rows._replace(tiles=tuple(tuple(one(part) for part in tile) for tile in rows.tiles))


def _real(gradient: Array, single: bool) -> Array:
    """The real numbers of the gradient by one leaf, of which JAX returns the conjugate."""
    flat = gradient.reshape(-1)
    flat = jnp.concatenate([flat.real, -flat.imag]) if jnp.iscomplexobj(flat) else flat
    return flat.astype(jnp.float32 if single else jnp.promote_types(flat.dtype, jnp.float32))


def _cut(columns: Array, spans: Sequence[tuple[int, int]]) -> list[Array]:
    """The columns of a tile, or numbers one a column, by arrays of parameters."""
    return jnp.split(columns, list(itertools.accumulate(b - a for a, b in spans))[:-1], axis=-1)


def _together(widths: Sequence[int], samples: int) -> list[list[int]]:
    """Arrays that make a tile: a wide one by itself, all the others together."""
    wide = [i for i, width in enumerate(widths) if width >= max(_NARROWEST, samples)]
    rest = [i for i in range(len(widths)) if i not in wide]
    return [[i] for i in wide] + ([rest] if rest else [])


def _joined(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=1)
