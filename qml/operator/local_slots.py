"""Static tables of sums of local matrices: which elements there are, and one slot for each neighbour they lead to."""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np

from qml._core.errors import SpaceError
from qml.hilbert import AbstractHilbert

Pattern = tuple[tuple[int, ...], ...]  # columns of each row with an element, the diagonal left out


@final
@dataclass(frozen=True)
class Places:
    """Where matrices of one shape and one pattern of zeros act: the sites of each, ascending, and the pattern."""

    sites: tuple[tuple[int, ...], ...]
    pattern: Pattern


class Contribution(NamedTuple):
    """Elements of some matrices of one block that change the same of their sites in the same ways."""

    block: int
    terms: np.ndarray  # int[terms], positions in the block
    columns: np.ndarray  # int[rows, slots], -1 where there is no element
    slots: np.ndarray  # int[terms, slots], where they go


class Changes(NamedTuple):
    """Neighbours that change equally many sites in the same ways."""

    sites: np.ndarray  # int[sets, changed]
    digits: np.ndarray  # int[rows of the changed sites, slots, changed], the new digits


class Slots(NamedTuple):
    """All neighbours of a sum of local matrices, each in one slot."""

    contributions: tuple[Contribution, ...]
    changes: tuple[Changes, ...]
    count: int
    rounds: tuple[np.ndarray, ...]  # int[count] each: contributed values to add up, the last + 1 where there is none


def pattern_of(present: np.ndarray) -> Pattern:
    """The off-diagonal columns of each row of flags `[rows, rows]`."""
    return tuple(tuple(int(c) for c in np.flatnonzero(row) if c != r) for r, row in enumerate(present))


def digits_of(rows: Any, dims: Sequence[int]) -> np.ndarray:
    """Digits `[..., len(dims)]` of row numbers, the first site slowest."""
    if not len(dims):
        return np.zeros((*np.shape(rows), 0), int)
    return np.stack(np.unravel_index(np.asarray(rows), tuple(dims)), axis=-1)


def dims_of(hilbert: AbstractHilbert, sites: Sequence[int]) -> tuple[int, ...]:
    """Number of local states of some sites."""
    return tuple(len(hilbert.site_states[i]) for i in sites)


@functools.lru_cache(maxsize=64)
def slots_of(places: tuple[Places, ...], hilbert: AbstractHilbert) -> Slots:
    """One slot for each neighbour: elements of different matrices that lead to the same one share it."""
    found: dict[tuple[int, ...], dict[int, set[int]]] = {}  # changed sites -> their row -> their new rows
    parts: list[tuple[int, int, tuple[int, ...], tuple[int, ...]]] = []  # block, term, changed positions, sites
    for b, place in enumerate(places):
        moves = _moves(place.pattern, dims_of(hilbert, place.sites[0])) if place.sites else {}
        for t, sites in enumerate(place.sites):
            for positions, reached in moves.items():
                changed = tuple(sites[q] for q in positions)
                into = found.setdefault(changed, {})
                for row, columns in reached.items():
                    into.setdefault(row, set()).update(columns)
                parts.append((b, t, positions, changed))
    tables = {changed: _table(rows, dims_of(hilbert, changed)) for changed, rows in found.items()}
    order = sorted(tables, key=lambda c: (len(c), tables[c].shape, tables[c].tobytes(), dims_of(hilbert, c), c))
    start, first = 0, {}
    for changed in order:
        first[changed], start = start, start + tables[changed].shape[1]
    changes = tuple(
        Changes(np.array(list(group), int), digits_of(table, dims))
        for (dims, _, _), group, table in _grouped(order, tables, hilbert)
    )
    contributions = _contributions(parts, places, tables, first, hilbert)
    return Slots(contributions, changes, start, _rounds(contributions, start))


def _moves(pattern: Pattern, dims: tuple[int, ...]) -> dict[tuple[int, ...], dict[int, set[int]]]:
    """Changed positions -> row of these positions -> their new rows, over all elements of a pattern."""
    digits = digits_of(np.arange(len(pattern)), dims)
    moves: dict[tuple[int, ...], dict[int, set[int]]] = {}
    for row, columns in enumerate(pattern):
        for column in columns:
            positions = tuple(np.flatnonzero(digits[row] != digits[column]).tolist())
            small = [dims[q] for q in positions]
            old, new = (int(np.ravel_multi_index(digits[r, positions], small)) for r in (row, column))
            moves.setdefault(positions, {}).setdefault(old, set()).add(new)
    return moves


def _table(rows: dict[int, set[int]], dims: tuple[int, ...]) -> np.ndarray:
    """New rows `int[rows, slots]` of each row of the changed sites; the row itself fills up."""
    width = max(len(new) for new in rows.values())
    table = np.repeat(np.arange(int(np.prod(dims)))[:, None], width, axis=1)
    for row, new in rows.items():
        table[row, : len(new)] = sorted(new)
    return table


def _grouped(order: list, tables: dict, hilbert: AbstractHilbert) -> Any:
    def key(changed: tuple[int, ...]) -> tuple:
        return dims_of(hilbert, changed), tables[changed].shape, tables[changed].tobytes()

    for name, group in itertools.groupby(order, key):
        members = list(group)
        yield name, members, tables[members[0]]


def _contributions(
    parts: list, places: tuple[Places, ...], tables: dict, first: dict, hilbert: AbstractHilbert
) -> tuple[Contribution, ...]:
    groups: dict[tuple, list[tuple[int, tuple[int, ...]]]] = {}
    for b, t, positions, changed in parts:
        groups.setdefault((b, positions, tables[changed].shape, tables[changed].tobytes()), []).append((t, changed))
    out = []
    for (b, positions, *_), members in groups.items():
        dims = dims_of(hilbert, places[b].sites[0])
        table, pattern = tables[members[0][1]], places[b].pattern
        columns = np.full((len(pattern), table.shape[1]), -1)
        digits = digits_of(np.arange(len(pattern)), dims)
        for row in range(len(pattern)):
            small = int(np.ravel_multi_index(digits[row, positions], [dims[q] for q in positions]))
            for slot, new in enumerate(table[small]):
                target = digits[row].copy()
                target[list(positions)] = digits_of(new, [dims[q] for q in positions])
                column = int(np.ravel_multi_index(target, dims))
                if column in pattern[row] and new != small:
                    columns[row, slot] = column
        slots = np.array([first[changed] + np.arange(table.shape[1]) for _, changed in members])
        out.append(Contribution(b, np.array([t for t, _ in members]), columns, slots))
    return tuple(out)


def _rounds(contributions: tuple[Contribution, ...], count: int) -> tuple[np.ndarray, ...]:
    """Which contributed values each slot adds up, one of them a round."""
    targets = np.concatenate([c.slots.reshape(-1) for c in contributions]) if contributions else np.zeros(0, int)
    sources: list[list[int]] = [[] for _ in range(count)]
    for source, target in enumerate(targets):
        sources[target].append(source)
    most = max((len(s) for s in sources), default=0)
    return tuple(np.array([s[r] if r < len(s) else len(targets) for s in sources], int) for r in range(most))


def check_totals(places: Sequence[Places], hilbert: AbstractHilbert) -> None:
    """Raise if a matrix by itself changes a fixed total, or the occupation of a fermion mode.

    Raises:
        SpaceError: with the sites of a matrix that leaves the space.
    """
    part_of = {i: p for p, part in enumerate(hilbert.parts) for i in part}
    for place in places:
        for sites in place.sites:
            moved = [q for q, i in enumerate(sites) if i in part_of or hilbert.fermionic_modes[i]]
            if not moved or not any(place.pattern):
                continue
            if any(hilbert.fermionic_modes[sites[q]] for q in moved):
                raise SpaceError(
                    "A local matrix changes occupations of fermion modes, and has no signs for their order.",
                    got=f"a matrix on modes {sites}",
                    expected="diagonal matrices on fermion modes",
                    try_="FermionSum",
                )
            names = tuple(part_of.get(i, -1) for i in sites)
            signs = tuple(1 if hilbert.site_states[i][-1] > hilbert.site_states[i][0] else -1 for i in sites)
            if _changes_total(place.pattern, dims_of(hilbert, sites), names, signs):
                raise SpaceError(
                    f"The operator leaves a space of fixed {_quantity(hilbert)}.",
                    got=f"a matrix on sites {sites}",
                    expected=f"matrices that keep the totals of {hilbert}",
                    try_="a space without this total, or one matrix for the terms that cancel",
                )


def _quantity(hilbert: AbstractHilbert) -> str:
    return "magnetisation" if getattr(hilbert, "magnetisation", None) is not None else "totals"


@functools.lru_cache(maxsize=256)
def _changes_total(pattern: Pattern, dims: tuple[int, ...], parts: tuple[int, ...], signs: tuple[int, ...]) -> bool:
    """True if an element changes the sum of the quantum numbers on a part; -1 is no part."""
    charges = digits_of(np.arange(len(pattern)), dims) * np.array(signs)[None, :]
    for part in set(parts) - {-1}:
        sums = charges[:, [q for q, p in enumerate(parts) if p == part]].sum(axis=1)
        if any(sums[c] != sums[r] for r, columns in enumerate(pattern) for c in columns):
            return True
    return False
