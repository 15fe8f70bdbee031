"""Pauli strings as pairs of bit masks: the static, hashable part of a `PauliSum`."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from qml._core.errors import ShapeError, SpaceError

PHASES = np.array([1, 1j, -1, -1j])  # i^k, exactly


@final
@dataclass(frozen=True)
class PauliStrings:
    r"""A list of Pauli strings on `n_sites` sites.

    String k is $P_k = i^{|f \wedge z|} X^{f} Z^{z}$ with masks f = `flips[k]` (X or Y) and z = `signs[k]` (Z or Y).
    Site i is bit `n_sites - 1 - i` of a mask, its bit in the index of a basis state; masks are ints of any length.
    """

    n_sites: int
    flips: tuple[int, ...]
    signs: tuple[int, ...]

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        return hash((self.n_sites, self.flips, self.signs))

    def __len__(self) -> int:
        return len(self.flips)

    @functools.cached_property
    def quarter_turns(self) -> np.ndarray:
        r"""Number of Y modulo 4: the element in row b is $(-i)^{n_Y} (-1)^{|z \wedge b|}$."""
        return np.array([(f & z).bit_count() % 4 for f, z in zip(self.flips, self.signs)], dtype=np.int64)

    @property
    def is_real(self) -> bool:
        """True if every string has an even number of Y, so a real matrix."""
        return not np.any(self.quarter_turns % 2)

    @functools.cached_property
    def phases(self) -> np.ndarray:
        r"""$(-i)^{n_Y}$ of each string, real where `is_real`."""
        phases = PHASES[-self.quarter_turns % 4]
        return np.real(phases) if self.is_real else phases

    @functools.cached_property
    def layout(self) -> "Layout":
        """Where each string goes when the sum acts: the diagonal, or the group with its flip mask."""
        return _layout(self)

    def word(self, k: int) -> str:
        """String k as letters in site order, `"XIZ"`."""
        return "".join(self._letter(k, i) for i in range(self.n_sites))

    def short(self, k: int) -> str:
        """String k without its identities, `"X0 Z2"`."""
        support = sites_of(self.flips[k] | self.signs[k], self.n_sites)
        return " ".join(f"{self._letter(k, i)}{i}" for i in support) or "I"

    def _letter(self, k: int, site: int) -> str:
        bit = self.n_sites - 1 - site
        return "IXZY"[(self.flips[k] >> bit & 1) + 2 * (self.signs[k] >> bit & 1)]


class Layout(NamedTuple):
    """Static tables of a sum of strings; terms are named by their position in the sum."""

    diagonal: np.ndarray  # terms that flip nothing
    order: np.ndarray  # the other terms, group after group
    runs: tuple[tuple[int, int], ...]  # (groups, terms in each of them), in the order of `order`
    flips: tuple[int, ...]  # flip mask of each group


def _layout(strings: PauliStrings) -> Layout:
    groups: dict[int, list[int]] = {}
    for k, flip in enumerate(strings.flips):
        groups.setdefault(flip, []).append(k)
    diagonal = groups.pop(0, [])
    ordered = sorted(groups.items(), key=lambda item: len(item[1]))
    sizes = [len(terms) for _, terms in ordered]
    runs = tuple((sizes.count(size), size) for size in sorted(set(sizes)))
    order = [k for _, terms in ordered for k in terms]
    return Layout(np.array(diagonal, dtype=int), np.array(order, dtype=int), runs, tuple(f for f, _ in ordered))


def sites_of(mask: int, n_sites: int) -> list[int]:
    """The sites of a mask, in order."""
    return [i for i in range(n_sites) if mask >> (n_sites - 1 - i) & 1]


def mask_of(sites: Iterable[int], n_sites: int) -> int:
    """The mask of distinct sites."""
    return sum(1 << (n_sites - 1 - i) for i in sites)


def mask_rows(masks: Sequence[int], n_sites: int) -> np.ndarray:
    """Masks as rows of 0 and 1, `int8[masks, sites]`."""
    size = -(-n_sites // 8)
    rows = np.frombuffer(b"".join(m.to_bytes(size, "big") for m in masks), dtype=np.uint8).reshape(len(masks), size)
    return np.unpackbits(rows, axis=1)[:, 8 * size - n_sites :].astype(np.int8)


def parse(letters: str, sites: Sequence[int], n_sites: int) -> tuple[int, int]:
    """Masks (flip, sign) of the string with these letters on these sites.

    Raises:
        SpaceError: a letter is not one of I, X, Y, Z, or a site does not exist or comes twice.
        ShapeError: there are not as many letters as sites.
    """
    if not isinstance(letters, str) or not set(letters) <= set("IXYZ"):
        raise SpaceError(
            "A Pauli string has an unknown letter.", got=repr(letters), expected="letters of IXYZ", try_="'XIZ'"
        )
    if len(letters) != len(sites):
        raise ShapeError(
            "A Pauli string does not have one letter for each site.",
            got=f"{letters!r} on {len(sites)} sites",
            expected=f"{len(sites)} letters",
            try_="fill up with I, or PauliSum.from_terms for short strings",
        )
    if len(set(sites)) != len(sites) or any(not 0 <= i < n_sites for i in sites):
        raise SpaceError(
            "A Pauli string acts on a site that does not exist, or twice on one site.",
            got=f"{letters!r} on sites {tuple(sites)}",
            expected=f"distinct sites in 0 ... {n_sites - 1}",
            try_="multiply operators with @ to act twice on a site",
        )
    flip = mask_of((i for i, a in zip(sites, letters) if a in "XY"), n_sites)
    return flip, mask_of((i for i, a in zip(sites, letters) if a in "YZ"), n_sites)


def merge(n_sites: int, pairs: Iterable[tuple[int, int]]) -> tuple[PauliStrings, np.ndarray]:
    """Distinct strings in the order of their first appearance, and for each pair the string it is."""
    index: dict[tuple[int, int], int] = {}
    where = np.array([index.setdefault(pair, len(index)) for pair in pairs], dtype=int)
    return PauliStrings(n_sites, tuple(f for f, _ in index), tuple(z for _, z in index)), where


class Products(NamedTuple):
    r"""Pairwise products $P_a P_b = i^{turns} P_{target}$ of two lists of strings."""

    strings: PauliStrings
    left: np.ndarray
    right: np.ndarray
    target: np.ndarray
    turns: np.ndarray


@functools.lru_cache(maxsize=32)
def multiply(a: PauliStrings, b: PauliStrings, keep: str) -> Products:
    """Products of all pairs of strings, or only of pairs that commute or anticommute.

    Args:
        a: left factors.
        b: right factors, on the same sites.
        keep: `"all"`, `"commuting"` or `"anticommuting"`.
    """
    left, right, turns, pairs = [], [], [], []
    y_a, y_b = a.quarter_turns.tolist(), b.quarter_turns.tolist()
    for i, (fa, za) in enumerate(zip(a.flips, a.signs)):
        for j, (fb, zb) in enumerate(zip(b.flips, b.signs)):
            crossed = (za & fb).bit_count()
            anti = (crossed + (fa & zb).bit_count()) % 2
            if keep == ("commuting" if anti else "anticommuting"):
                continue
            f, z = fa ^ fb, za ^ zb
            left.append(i)
            right.append(j)
            turns.append((y_a[i] + y_b[j] - (f & z).bit_count() + 2 * crossed) % 4)
            pairs.append((f, z))
    strings, target = merge(a.n_sites, pairs)
    return Products(strings, np.array(left, int), np.array(right, int), target, np.array(turns, int))
