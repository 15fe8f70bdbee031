"""Counting, ranking, unranking and drawing of configurations with fixed sums on parts of the sites."""

import functools
import math
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.precision import real_dtype
from qml._core.types import Array


@final
@dataclass(frozen=True)
class Block:
    r"""All configurations with given local states and given sums on disjoint parts of the sites.

    The number $d$ of a site's local state in its list is its digit; its charge is how many steps it lies above the
    lowest local state. A site that is in no part is free. Everything is counted by products of numbers of the parts,
    so no table has more than sites * total * local states entries.

    Args:
        sites: local states of each site in basis order, as a `range`.
        parts: disjoint groups of sites, each in increasing order.
        totals: sum of the charges on each part.
    """

    sites: tuple[range, ...]
    parts: tuple[tuple[int, ...], ...] = ()
    totals: tuple[int, ...] = ()

    @functools.cached_property
    def _hash(self) -> int:
        return hash((self.sites, self.parts, self.totals))

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def first(self) -> np.ndarray:
        """First local state of each site."""
        return np.array([s.start for s in self.sites], np.int32)

    @functools.cached_property
    def step(self) -> np.ndarray:
        """Difference of neighbouring local states of each site."""
        return np.array([s.step for s in self.sites], np.int32)

    @functools.cached_property
    def base(self) -> np.ndarray:
        """Number of local states of each site."""
        return np.array([len(s) for s in self.sites], np.int32)

    @functools.cached_property
    def groups(self) -> tuple[tuple[tuple[int, ...], int | None], ...]:
        """The parts with their totals, and last the free sites (total None) if there are any."""
        bound = {i for part in self.parts for i in part}
        free = tuple(i for i in range(len(self.sites)) if i not in bound)
        return (*zip(self.parts, self.totals), *([(free, None)] if free else []))

    @functools.cached_property
    def counts(self) -> tuple[list[list[int]], ...]:
        """`counts[q][k][r]`: strings on the last k sites of group q whose charges sum to r; exact ints."""
        return tuple(_counts([len(self.sites[i]) for i in sites], total) for sites, total in self.groups)

    @functools.cached_property
    def size(self) -> int:
        """Number of configurations."""
        return math.prod(c[-1][total or 0] for c, (_, total) in zip(self.counts, self.groups))

    @functools.cached_property
    def pieces(self) -> tuple[tuple[int, "Block"], ...]:
        """Shortest runs of neighbouring sites that no part crosses, each with its first site; free sites together."""
        end = list(range(len(self.sites)))
        bound = [False] * len(self.sites)
        for part in self.parts:
            for i in part:
                end[i], bound[i] = max(part), True
        starts, reach = [0], end[0]
        for i in range(1, len(end)):
            if i > reach and (bound[i] or bound[i - 1]):
                starts.append(i)
            reach = max(reach, end[i])
        return tuple((a, self._cut(a, b)) for a, b in zip(starts, [*starts[1:], len(end)]))

    def _cut(self, a: int, b: int) -> "Block":
        inside = [(p, t) for p, t in zip(self.parts, self.totals) if a <= p[0] < b]
        parts = tuple(tuple(i - a for i in part) for part, _ in inside)
        return Block(self.sites[a:b], parts, tuple(t for _, t in inside))


def _counts(bases: list[int], total: int | None) -> list[list[int]]:
    counts = [[1] + [0] * (total or 0)]
    for base in reversed(bases):
        last = counts[-1]
        if total is None:
            counts.append([base * last[0]])
            continue
        below = [0]
        for c in last:
            below.append(below[-1] + c)
        counts.append([below[r + 1] - below[max(0, r + 1 - base)] for r in range(total + 1)])
    return counts


@dataclass(frozen=True)
class _Site:
    """A site of a piece as the loops over sites see it."""

    group: int
    below: list[list[int]]  # below[r][l]: strings of its group from here on with charge r and a digit below l
    left: list[list[int]]  # left[q][r]: strings of group q on the sites after this one with charge r


def _walk(piece: Block) -> list[_Site]:
    group_of = {i: q for q, (sites, _) in enumerate(piece.groups) for i in sites}
    left = [len(sites) for sites, _ in piece.groups]
    walk = []
    for i in range(len(piece.sites)):
        q, base, up = group_of[i], len(piece.sites[i]), piece.sites[i].step > 0
        left[q] -= 1
        rest, total = piece.counts[q][left[q]], piece.groups[q][1]
        below = []
        for r in range((total or 0) + 1):
            row = [0]
            for digit in range(base):
                c = 0 if total is None else digit if up else base - 1 - digit
                row.append(row[-1] + (rest[r - c] if c <= r else 0))
            below.append(row)
        walk.append(_Site(q, below, [c[k] for c, k in zip(piece.counts, left)]))
    return walk


def _pad(rows: list[list[int]], shape: tuple[int, int], fill: int) -> np.ndarray:
    table = np.full(shape, fill, dtype=object)
    for i, row in enumerate(rows):
        table[i, : len(row)] = row[: shape[1]]
    return table


@functools.lru_cache(maxsize=64)
def _rank_tables(piece: Block, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """`below[i, r, l]` and `left[i, q, r]` as integers; entries that no state reaches are cut to the size."""
    base, top = int(piece.base.max()), max(t or 0 for _, t in piece.groups) + 1
    walk = _walk(piece)
    below = np.array([_pad(s.below, (top, base), piece.size) for s in walk])
    left = np.array([_pad(s.left, (len(piece.groups), top), 0) for s in walk])
    return np.minimum(below, piece.size).astype(dtype), np.minimum(left, piece.size).astype(dtype)


@functools.lru_cache(maxsize=64)
def _law_table(piece: Block, dtype: str) -> np.ndarray:
    """`law[i, r, l]`: probability of a digit below l at site i under the uniform law; above one where there is none."""
    base, top = int(piece.base.max()), max(t or 0 for _, t in piece.groups) + 1
    law = np.full((len(piece.sites), top, base), 2.0, dtype)
    for i, site in enumerate(_walk(piece)):
        for r, row in enumerate(site.below):
            law[i, r, : len(row) - 1] = [b / max(1, row[-1]) for b in row[:-1]]
    return law


def _row(values: np.ndarray, ndim: int) -> np.ndarray:
    """A vector over the sites, broadcast explicitly against arrays `[..., sites]` of `ndim` dimensions."""
    return values.reshape((1,) * (ndim - 1) + values.shape)


def _labels(piece: Block) -> np.ndarray:
    labels = np.zeros(len(piece.sites), np.int32)
    for q, (sites, _) in enumerate(piece.groups):
        labels[list(sites)] = q
    return labels


@functools.partial(jax.jit, static_argnums=0)
def contains(block: Block, x: Array) -> Array:
    """True for each row of numbers `x[..., sites]` that is a configuration."""
    numbers = jnp.minimum(x, 127) if jnp.issubdtype(x.dtype, jnp.unsignedinteger) else jnp.clip(x, -128, 127)
    y = jnp.where(numbers == x, numbers, 0).astype(jnp.int32)
    digits = _digits(block, y)
    whole = (_values(block, digits) == y) & (digits >= 0) & (digits < _row(block.base, x.ndim))
    inside = jnp.all(whole & (y.astype(x.dtype) == x), axis=-1)
    charges = charges_of(block, digits)
    for part, total in zip(block.parts, block.totals):
        there = np.isin(np.arange(len(block.sites)), part)
        inside &= jnp.sum(jnp.where(_row(there, x.ndim), charges, 0), axis=-1) == total
    return inside


def charges_of(block: Block, digits: Array) -> Array:
    """Steps above the lowest local state."""
    down = _row(block.step < 0, digits.ndim)
    return jnp.where(down, _row(block.base - 1, digits.ndim) - digits, digits)


@functools.partial(jax.jit, static_argnums=(0, 2))
def rank(block: Block, x: Array, dtype: np.dtype) -> Array:
    """Number of each configuration `x[..., sites]`; in range, though meaningless, for anything else."""
    index: Any = 0
    for start, piece in block.pieces:
        index = index * piece.size + _rank_piece(piece, x[..., start : start + len(piece.sites)], dtype)
    return index


def _rank_piece(piece: Block, x: Array, dtype: np.dtype) -> Array:
    n, ndim = len(piece.sites), x.ndim
    if not piece.parts:
        digits = jnp.clip(_digits(piece, x.astype(jnp.int32)), 0, _row(piece.base - 1, ndim))
        powers = np.array([math.prod(len(s) for s in piece.sites[i + 1 :]) for i in range(n)], dtype=dtype)
        return jnp.sum(digits.astype(dtype) * _row(powers, ndim), axis=-1)
    below, left = _rank_tables(piece, dtype.name)
    levels = below.shape[2]

    def site(carry: tuple[Array, Array], inputs: tuple[Array, ...]) -> tuple[tuple[Array, Array], None]:
        index, rest = carry
        value, table, others, label, base, down, first, step = inputs
        digit = jnp.clip((value.astype(jnp.int32) - first) // step, 0, base - 1)
        mine = jnp.arange(rest.shape[0]) == label
        term = table.reshape(-1)[rest[label] * levels + digit]
        for q in range(len(piece.groups) if len(piece.groups) > 1 else 0):
            term = term * jnp.where(mine[q], 1, others[q][rest[q]])
        rest = jnp.maximum(_spend(piece, rest, mine, digit, base, down), 0)
        return (index + term, rest), None

    start = (jnp.zeros(x.shape[:-1], dtype), _full_rest(piece, x.shape[:-1]))
    values = (jnp.asarray(piece.first), jnp.asarray(piece.step))
    xs = (jnp.moveaxis(x, -1, 0), jnp.asarray(below), jnp.asarray(left), *_site_inputs(piece), *values)
    (index, _), _ = jax.lax.scan(site, start, xs)
    return jnp.clip(index, 0, piece.size - 1)


@functools.partial(jax.jit, static_argnums=0)
def unrank(block: Block, indices: Array) -> Array:
    """Configuration of each number, `int8[..., sites]`."""
    parts = []
    for _, piece in reversed(block.pieces):
        parts.append(_unrank_piece(piece, indices % piece.size if len(block.pieces) > 1 else indices))
        indices = indices // piece.size
    return jnp.concatenate(parts[::-1], axis=-1)


def _unrank_piece(piece: Block, indices: Array) -> Array:
    n, ndim, dtype = len(piece.sites), indices.ndim, indices.dtype
    if not piece.parts:
        powers = np.array([math.prod(len(s) for s in piece.sites[i + 1 :]) for i in range(n)], dtype=dtype)
        digits = indices[..., None] // _row(powers, ndim + 1) % _row(piece.base.astype(dtype), ndim + 1)
        return _states(piece, digits)
    below, left = _rank_tables(piece, dtype.name)
    levels = np.arange(1, below.shape[2])

    def site(carry: tuple[Array, Array], inputs: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        index, rest = carry
        table, others, label, base, down = inputs
        mine = jnp.arange(rest.shape[0]) == label
        row = table[rest[label]]
        for q in range(len(piece.groups) if len(piece.groups) > 1 else 0):
            row = row * jnp.where(mine[q], 1, others[q][rest[q]])[..., None]
        done = (row[..., 1:] <= index[..., None]) & _line(levels < base, ndim)
        digit = jnp.sum(done, axis=-1, dtype=jnp.int32)
        index = index - jnp.take_along_axis(row, digit[..., None], axis=-1)[..., 0]
        return (index, _spend(piece, rest, mine, digit, base, down)), digit

    start = (indices, _full_rest(piece, indices.shape))
    xs = (jnp.asarray(below), jnp.asarray(left), *_site_inputs(piece))
    _, digits = jax.lax.scan(site, start, xs)
    return _states(piece, jnp.moveaxis(digits, 0, -1))


@functools.partial(jax.jit, static_argnums=(0, 2))
def draw(block: Block, key: Array, batch: tuple[int, ...]) -> Array:
    """Configurations `[*batch, sites]` drawn uniformly."""
    keys = [key] if len(block.pieces) == 1 else jax.random.split(key, len(block.pieces))
    drawn = [_draw_piece(piece, k, batch) for (_, piece), k in zip(block.pieces, keys)]
    return jnp.concatenate(drawn, axis=-1)


def _draw_piece(piece: Block, key: Array, batch: tuple[int, ...]) -> Array:
    n, ndim = len(piece.sites), len(batch)
    if not piece.parts:
        same = len(set(piece.base.tolist())) == 1
        top = int(piece.base[0]) if same else jnp.asarray(_row(piece.base, ndim + 1))
        return _states(piece, jax.random.randint(key, (*batch, n), 0, top, dtype=jnp.int32))
    law = _law_table(piece, real_dtype().name)
    levels = np.arange(1, law.shape[2])

    def site(rest: Array, inputs: tuple[Array, ...]) -> tuple[Array, Array]:
        table, u, label, base, down = inputs
        mine = jnp.arange(rest.shape[0]) == label
        done = (table[rest[label]][..., 1:] <= u[..., None]) & _line(levels < base, ndim)
        digit = jnp.sum(done, axis=-1, dtype=jnp.int32)
        return _spend(piece, rest, mine, digit, base, down), digit

    u = jax.random.uniform(key, (n, *batch), real_dtype())
    _, digits = jax.lax.scan(site, _full_rest(piece, batch), (jnp.asarray(law), u, *_site_inputs(piece)))
    return _states(piece, jnp.moveaxis(digits, 0, -1))


def _site_inputs(piece: Block) -> tuple[Array, Array, Array]:
    return jnp.asarray(_labels(piece)), jnp.asarray(piece.base), jnp.asarray(piece.step < 0)


def _full_rest(piece: Block, shape: tuple[int, ...]) -> Array:
    """Charge that each group has yet to place, `[groups, *shape]`."""
    totals = np.array([t or 0 for _, t in piece.groups], np.int32)
    return jnp.broadcast_to(jnp.asarray(totals).reshape((-1,) + (1,) * len(shape)), (len(totals), *shape))


def _spend(piece: Block, rest: Array, mine: Array, digit: Array, base: Array, down: Array) -> Array:
    weighed = jnp.asarray(np.array([t is not None for _, t in piece.groups]))
    charge = jnp.where(down, base - 1 - digit, digit)
    shape = (-1,) + (1,) * digit.ndim
    return rest - jnp.where((mine & weighed).reshape(shape), charge[None], 0)


def _line(values: Array, ndim: int) -> Array:
    return values.reshape((1,) * ndim + values.shape)


def _digits(block: Block, x: Array) -> Array:
    if len(set(block.sites)) == 1:  # plain numbers: no division remains in the program
        return (x - block.sites[0].start) // block.sites[0].step
    return (x - _row(block.first, x.ndim)) // _row(block.step, x.ndim)


def _values(block: Block, digits: Array) -> Array:
    return digits * _row(block.step, digits.ndim) + _row(block.first, digits.ndim)


def _states(piece: Block, digits: Array) -> Array:
    return _values(piece, digits).astype(jnp.int8)
