"""Spaces of occupation numbers as integer codes: which strings leave a space, and products with vectors.

The occupations of a configuration are the digits of one integer, site 0 highest, so basis order is the order of the
codes. A string moves the code by a fixed pattern; the index of the new code is the sum of two small tables, one for its
upper and one for its lower half, wherever the space allows that (every fixed total does): nothing of the size of the
matrix is stored.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import SpaceError
from qml._core.precision import require_x64
from qml._core.types import Array, Inexact
from qml.hilbert import AbstractHilbert
from qml.operator.coefficients import is_traced

_TABLE_BYTES = 2**30  # partner tables of a space without split ranks are stored up to this size
_HALF_BITS = 24  # the two tables of split ranks have up to 2^24 entries
_ROWS = 4096  # configurations looked at at once
_UNROLLED = 8  # strings of one group written out; more are looped over

Element = Callable[[Array, Any, Array], Array]  # (codes, rule of one string, its value) -> elements in these rows


@final
class OccupationMap(eqx.Module):
    """A sum of strings prepared for products with vectors: the diagonal, and groups of strings by move."""

    diagonal: Inexact[Array, " size"]
    runs: tuple[tuple[Array, Any, Array], ...]  # moves [groups] or partners [groups, size]; rules, values
    codes: Array
    ranks: "Ranks"
    element: Element = eqx.field(static=True)
    adds: bool = eqx.field(static=True)  # a move is added to the code; else its bits are flipped
    stored: bool = eqx.field(static=True)  # the runs hold partners

    def __call__(self, vector: Array) -> Array:
        """The product, `[size] -> [size]`."""

        def add(out: Array, group: tuple[Array, Any, Array]) -> tuple[Array, None]:
            move, rules, values = group
            partner = move if self.stored else self.ranks(_moved(self.codes, move, self.adds))
            elements = _sum(self.element, self.codes, rules, values)
            return out + elements * vector.at[partner].get(mode="fill", fill_value=0), None

        out = self.diagonal * vector
        for run in self.runs:
            out, _ = jax.lax.scan(add, out.astype(jnp.result_type(out.dtype, run[2].dtype)), run)
        return out


@final
class Ranks(eqx.Module):
    """The index of each code of a space; without tables it is the code itself, or searched for in the list of codes."""

    high: Array | None
    low: Array | None
    codes: Array | None
    cut: int = eqx.field(static=True)

    def __call__(self, codes: Array) -> Array:
        """Indices; the size of the space or garbage in range for codes outside, garbage only with split tables."""
        if self.high is not None and self.low is not None:
            return self.high[codes >> self.cut] + self.low[codes & np.array(2**self.cut - 1, codes.dtype)]
        if self.codes is None:
            return codes
        found = jnp.searchsorted(self.codes, codes)
        inside = self.codes.at[found].get(mode="clip") == codes
        return jnp.where(inside, found, self.codes.shape[0])


def occupation_map(operator: Any, moves: Sequence[int], element: Element, pick: Callable, *, adds: bool = False) -> Any:
    """Everything that many products of a sum of strings with vectors of its space share.

    Args:
        operator: the sum; its strings have a layout.
        moves: the move of each group as a number of the code.
        element: the element of one string in the rows of some codes.
        pick: rules of chosen strings `[...]`, arrays with that leading shape.
        adds: a move is added to the code; else its bits are flipped.

    Raises:
        SpaceError: the space has too many states for a vector.
    """
    hilbert, layout, values = operator.hilbert, operator.strings.layout, operator.coefficients
    bits = code_bits(hilbert)
    if hilbert.size > 2**34 or bits * hilbert.n_sites > 63:
        raise SpaceError(
            "This space is too large for vectors.",
            got=f"{hilbert.size} states of {hilbert.n_sites} modes",
            expected="at most 2^34 states whose occupations fit 63 bits",
            try_="a variational state, or a smaller space",
        )
    codes = spell(hilbert)
    ranks = _ranks(hilbert, codes)
    stored = ranks.codes is not None and hilbert.size * len(moves) * 4 <= _TABLE_BYTES
    runs, position, first = [], 0, 0
    for count, size in layout.runs:
        terms = layout.order[position : position + count * size].reshape(count, size)
        shift = np.array([m % 2 ** (8 * codes.dtype.itemsize) for m in moves[first : first + count]], codes.dtype)
        there = jnp.asarray(shift)
        if stored:
            there = jax.lax.map(lambda move: ranks(_moved(codes, move, adds)).astype(jnp.int32), there)
        runs.append((there, jax.tree.map(jnp.asarray, pick(terms)), values[terms]))
        position, first = position + count * size, first + count
    rules = jax.tree.map(jnp.asarray, pick(layout.diagonal))
    diagonal = _sum(element, codes, rules, values[layout.diagonal])
    return OccupationMap(diagonal, tuple(runs), codes, ranks, element=element, adds=adds, stored=stored)


def code_bits(hilbert: AbstractHilbert) -> int:
    """Bits of a code that each site takes."""
    return max(1, (len(hilbert.local_states) - 1).bit_length())


def spell(hilbert: AbstractHilbert) -> Array:
    """The code of every state of a space, in basis order."""
    bits = code_bits(hilbert)
    wide = bits * hilbert.n_sites > 32
    if wide:
        require_x64("a vector of a space of more than 32 bits")
    dtype = np.dtype(np.uint64 if wide else np.uint32)
    shifts = (bits * np.arange(hilbert.n_sites)[::-1]).astype(dtype)
    if not hilbert.is_constrained and len(hilbert.local_states) == 2**bits:
        return jax.lax.iota(dtype, hilbert.size)
    return jnp.sum(hilbert.all_states().astype(dtype) << shifts[None, :], axis=-1, dtype=dtype)


def _moved(codes: Array, move: Array, adds: bool) -> Array:
    return codes + move if adds else codes ^ move


def _sum(element: Element, codes: Array, rules: Any, values: Array) -> Array:
    """Sum of the elements of some strings in the row of each code."""
    zero = jnp.zeros(codes.shape, values.dtype)
    if values.shape[0] <= _UNROLLED:
        terms = range(values.shape[0])
        return sum((element(codes, jax.tree.map(lambda r: r[t], rules), values[t]) for t in terms), start=zero)  # noqa: B023
    return jax.lax.scan(lambda total, t: (total + element(codes, *t), None), zero, (rules, values))[0]


def _ranks(hilbert: AbstractHilbert, codes: Array) -> Ranks:
    if not hilbert.is_constrained and len(hilbert.local_states) == 2 ** code_bits(hilbert):
        return Ranks(None, None, None, cut=0)
    cut = code_bits(hilbert) * (hilbert.n_sites // 2)
    tables = _split(hilbert)
    if tables is None:
        return Ranks(None, None, codes, cut=cut)
    return Ranks(jnp.asarray(tables[0]), jnp.asarray(tables[1]), None, cut=cut)


@functools.lru_cache(maxsize=8)
def _split(hilbert: AbstractHilbert) -> tuple[np.ndarray, np.ndarray] | None:
    """Tables with index = high[upper half of the code] + low[lower half], checked on every state, or `None`.

    Source:
        H. Q. Lin, Phys. Rev. B 42, 6561 (1990).
    """
    bits = code_bits(hilbert)
    cut, top = bits * (hilbert.n_sites // 2), bits * (hilbert.n_sites - hilbert.n_sites // 2)
    if top > _HALF_BITS:
        return None
    with jax.ensure_compile_time_eval():
        codes = np.asarray(spell(hilbert)).astype(np.int64)
    upper, lower = codes >> cut, codes & 2**cut - 1
    starts, first = np.unique(upper, return_index=True)
    dtype = np.int32 if hilbert.size < 2**30 else np.int64
    high, low = np.zeros(2**top, dtype), np.zeros(2**cut, dtype)
    high[starts] = first
    offset = np.arange(len(codes)) - high[upper]
    low[lower] = offset
    return (high, low) if np.array_equal(low[lower], offset) else None


def totals_of(hilbert: AbstractHilbert) -> list[tuple[tuple[int, ...], int]]:
    """The fixed totals of a space of particles: the sites that each runs over, and the number of particles on them."""
    return list(zip(hilbert._block.parts, hilbert._block.totals))


def can_move(created: Mapping[int, int], gone: Mapping[int, int], hilbert: AbstractHilbert) -> bool:
    """True if a string that adds and removes so many particles on some sites changes a total of some configuration.

    Exact: configurations on which the string gives zero, or more than a site may hold, do not count.
    """
    most = [len(states) - 1 for states in hilbert.site_states]
    lowest = [gone.get(i, 0) for i in range(len(most))]
    highest = [top - max(0, created.get(i, 0) - gone.get(i, 0)) for i, top in enumerate(most)]
    totals = totals_of(hilbert)
    possible = all(low <= high for low, high in zip(lowest, highest)) and all(
        sum(lowest[i] for i in sites) <= total <= sum(highest[i] for i in sites) for sites, total in totals
    )
    return possible and any(sum(created.get(i, 0) - gone.get(i, 0) for i in sites) for sites, _ in totals)


def check_predicate(operator: Any, hilbert: AbstractHilbert, coefficients: np.ndarray | None = None) -> None:
    """Raise `SpaceError` with the terms that lead to configurations that a predicate of the space forbids.

    Elements are worked out on all configurations, or on some at random where there are too many to list.

    Args:
        operator: a sum of strings.
        hilbert: the space.
        coefficients: those to try in place of traced ones; any, if left out.
    """
    if hilbert.envelope == hilbert or not operator.strings.layout.moves:
        return
    with jax.ensure_compile_time_eval():
        if is_traced(operator.coefficients):
            values = np.arange(1.0, len(operator.strings) + 1) if coefficients is None else coefficients
            operator = operator._build(operator.strings, values, hilbert)
        scale = 1e-12 * float(jnp.sum(jnp.abs(operator.coefficients)))
        leaks = np.zeros(len(operator.strings.layout.moves), bool)
        for x in configurations(hilbert):
            leaks |= np.asarray(_leaks(operator, hilbert, x, scale))
    if np.any(leaks):
        group = operator.strings.layout.moves[int(np.flatnonzero(leaks)[0])]
        strings = operator.strings
        names = [repr(strings.name(key, strings.n_sites)) for key in strings.keys if strings.move(key) == group]
        raise SpaceError(
            "The operator leaves a constrained space.",
            got=f"the sum of the terms {', '.join(names)}",
            expected=f"configurations of {hilbert}",
            try_="terms with projectors, such as those of tJ, or a space without the predicate",
        )


def configurations(hilbert: AbstractHilbert) -> Iterator[Array]:
    """Configurations of a space in pieces: all, or some at random where they cannot be listed."""
    try:
        size = hilbert.size
    except SpaceError:
        yield hilbert.random_state(jax.random.key(0), _ROWS)
        return
    for start in range(0, size, _ROWS):
        yield hilbert.indices_to_states(np.minimum(np.arange(start, start + _ROWS), size - 1)[: max(size, 1)])


@functools.partial(jax.jit, static_argnums=1)
def _leaks(operator: Any, hilbert: AbstractHilbert, x: Array, scale: Any) -> Array:
    neighbours, elements = operator.connected(x)
    return jnp.any(~hilbert.contains(neighbours) & (jnp.abs(elements) > scale), axis=0)
