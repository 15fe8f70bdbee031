"""Strings of creation and annihilation operators: their normal order, their products, who shares neighbours."""

import abc
import functools
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from qml._core.errors import SpaceError
from qml._core.types import Array
from qml.hilbert import AbstractHilbert

Key = Any  # one normal-ordered string; hashable
Expansion = dict[Key, float]  # an operator as a sum of normal-ordered strings


class Layout(NamedTuple):
    """Where each string goes when the sum acts; strings are named by their position in the sum."""

    diagonal: np.ndarray  # strings that move nothing
    order: np.ndarray  # the other strings, group after group
    runs: tuple[tuple[int, int], ...]  # (groups, strings in each of them), in the order of `order`
    moves: tuple[Any, ...]  # the move of each group

    def sum_groups(self, terms: Array) -> Array:
        """Elements of the strings `[..., strings]`, in the order of `order`, added up by group: `[..., groups]`."""
        parts, start = [terms[..., :0]], 0
        for groups, size in self.runs:
            part = terms[..., start : start + groups * size]
            parts.append(jnp.sum(part.reshape(*terms.shape[:-1], groups, size), axis=-1))
            start += groups * size
        return jnp.concatenate(parts, axis=-1)


@dataclass(frozen=True)
class LadderStrings(abc.ABC):
    """A list of distinct normal-ordered strings on `n_sites` sites (modes): the static part of a sum."""

    n_sites: int
    keys: tuple[Key, ...]

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        return hash((type(self), self.n_sites, self.keys))

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    @abc.abstractmethod
    def identity(cls) -> Key:
        """The key of the identity."""

    @classmethod
    @abc.abstractmethod
    def append(cls, key: Key, site: int, dagger: bool, n_sites: int) -> Expansion:
        """Normal order of the string times one ladder operator on its right."""

    @classmethod
    @abc.abstractmethod
    def times(cls, left: Key, right: Key, n_sites: int) -> Expansion:
        """Normal order of the product of two strings."""

    @classmethod
    @abc.abstractmethod
    def dagger(cls, key: Key) -> Key:
        """The Hermitian conjugate of a string, itself normal ordered."""

    @classmethod
    @abc.abstractmethod
    def name(cls, key: Key, n_sites: int) -> str:
        """The string as text that `FermionSum` and `BosonSum` read: `"0^ 1"`."""

    @classmethod
    @abc.abstractmethod
    def move(cls, key: Key) -> Hashable:
        """What the string does to a configuration; equal for strings with the same neighbours, falsy if nothing."""

    @classmethod
    @abc.abstractmethod
    def gain(cls, key: Key) -> int:
        """How many particles the string adds."""

    @classmethod
    @abc.abstractmethod
    def leaves(cls, key: Key, hilbert: AbstractHilbert) -> bool:
        """True if the string leads from some configuration of a space of fixed totals out of it."""

    @functools.cached_property
    def layout(self) -> Layout:
        """Which strings are diagonal, and which share their neighbours."""
        groups: dict[Hashable, list[int]] = {}
        diagonal = []
        for k, key in enumerate(self.keys):
            move = self.move(key)
            groups.setdefault(move, []).append(k) if move else diagonal.append(k)
        ordered = sorted(groups.items(), key=lambda item: len(item[1]))
        sizes = [len(members) for _, members in ordered]
        runs = tuple((sizes.count(size), size) for size in sorted(set(sizes)))
        order = [k for _, members in ordered for k in members]
        return Layout(np.array(diagonal, int), np.array(order, int), runs, tuple(move for move, _ in ordered))

    @functools.cached_property
    def partners(self) -> np.ndarray:
        """Position of the Hermitian conjugate of each string, -1 where the sum does not hold it."""
        where = {key: k for k, key in enumerate(self.keys)}
        return np.array([where.get(self.dagger(key), -1) for key in self.keys], int)

    def words(self) -> list[str]:
        """Every string as text."""
        return [self.name(key, self.n_sites) for key in self.keys]


class Products(NamedTuple):
    """Pairwise products of two lists of strings as sums of strings: `left`, `right`, `factor`, `target` row by row."""

    strings: Any
    left: np.ndarray
    right: np.ndarray
    factor: np.ndarray
    target: np.ndarray


@functools.lru_cache(maxsize=32)
def products(a: LadderStrings, b: LadderStrings, reverse: int) -> Products:
    """The strings of `a b + reverse * b a`, with the terms of each pair that cancel left out."""
    kind, n = type(a), a.n_sites
    index: dict[Key, int] = {}
    rows = []
    for i, left in enumerate(a.keys):
        for j, right in enumerate(b.keys):
            found = kind.times(left, right, n)
            if reverse:
                for key, factor in kind.times(right, left, n).items():
                    found[key] = found.get(key, 0) + reverse * factor
            rows += [(i, j, f, index.setdefault(key, len(index))) for key, f in found.items() if f]
    left, right, factor, target = (np.array(c) for c in zip(*rows)) if rows else (np.zeros(0),) * 4
    return Products(kind(n, tuple(index)), left.astype(int), right.astype(int), factor, target.astype(int))


def expand(kind: type[LadderStrings], string: Any, n_sites: int) -> Expansion:
    """The normal order of a product of ladder operators, given as text or as pairs (site, dagger).

    Raises:
        SpaceError: text that is no string, or a site that does not exist.
    """
    total: Expansion = {kind.identity(): 1.0}
    for site, dagger in read(string):
        if not 0 <= site < n_sites:
            raise SpaceError(
                "A ladder operator acts on a mode that does not exist.",
                got=f"{string!r}",
                expected=f"modes 0 ... {n_sites - 1}",
                try_="a larger space",
            )
        new: Expansion = {}
        for key, factor in total.items():
            for found, sign in kind.append(key, site, dagger, n_sites).items():
                new[found] = new.get(found, 0) + factor * sign
        total = {key: factor for key, factor in new.items() if factor}
    return total


def read(string: Any) -> list[tuple[int, bool]]:
    """Ladder operators of a string, the leftmost first; `n3` is `3^ 3`."""
    if not isinstance(string, str):
        return [(int(site), bool(dagger)) for site, dagger in string]
    found: list[tuple[int, bool]] = []
    for word in string.split():
        digits = word.removeprefix("n") if word.startswith("n") else word.removesuffix("^")
        if not digits.isdecimal():
            raise SpaceError(
                "A string of ladder operators cannot be read.",
                got=repr(string),
                expected="words i^ (create), i (annihilate) or ni (number) with a mode i",
                try_='"0^ 1" or "n0 n1"',
            )
        site = int(digits)
        found += [(site, True), (site, False)] if word.startswith("n") else [(site, word.endswith("^"))]
    return found
