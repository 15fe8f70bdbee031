r"""Sums of strings of boson operators, evaluated by small tables of the occupation numbers."""

import functools
import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import SpaceError
from qml._core.types import Array, Configurations, Inexact, Int
from qml.hilbert import AbstractHilbert
from qml.operator.base import rows_of
from qml.operator.coefficients import stack
from qml.operator.ladder import LadderSum, ladder_terms
from qml.operator.ladder_strings import Expansion, LadderStrings, expand
from qml.operator.occupation import OccupationMap, can_move, code_bits, occupation_map, totals_of

BosonKey = tuple[tuple[int, int, int], ...]  # (site, power of b^+, power of b), sites ascending


class Factors(NamedTuple):
    """A list of strings as products of functions of one occupation each, read from the row."""

    sites: np.ndarray  # int[terms, width]; shorter strings are filled up
    kinds: np.ndarray  # int[terms, width], rows of `table`
    table: np.ndarray  # float[kinds, n_max + 1]; row 0 is one


@final
@dataclass(frozen=True)
class BosonStrings(LadderStrings):
    r"""Normal-ordered strings $\prod_i (b_i^\dagger)^{p_i} b_i^{q_i}$; different sites commute."""

    __hash__ = LadderStrings.__hash__

    @classmethod
    def identity(cls) -> BosonKey:
        """No operator."""
        return ()

    @classmethod
    def append(cls, key: BosonKey, site: int, dagger: bool, n_sites: int) -> Expansion:
        """The string times $b_i$ or $b_i^\\dagger$ on its right."""
        return cls.times(key, ((site, int(dagger), int(not dagger)),), n_sites)

    @classmethod
    def times(cls, left: BosonKey, right: BosonKey, n_sites: int) -> Expansion:
        r"""Normal order: $b^q (b^\dagger)^p = \sum_k k! \binom{q}{k}\binom{p}{k} (b^\dagger)^{p-k} b^{q-k}$."""
        first, second = ({i: (p, q) for i, p, q in key} for key in (left, right))
        total: Expansion = {(): 1.0}
        for site in sorted(first | second):
            (p, q), (r, s) = first.get(site, (0, 0)), second.get(site, (0, 0))
            new: Expansion = {}
            for k in range(min(q, r) + 1):
                weight = float(math.factorial(k) * math.comb(q, k) * math.comb(r, k))
                powers = (p + r - k, q + s - k)
                for key, factor in total.items():
                    new[(*key, (site, *powers)) if any(powers) else key] = factor * weight
            total = new
        return total

    @classmethod
    def dagger(cls, key: BosonKey) -> BosonKey:
        """Powers swapped."""
        return tuple((i, q, p) for i, p, q in key)

    @classmethod
    def name(cls, key: BosonKey, n_sites: int) -> str:
        """`"0^ 0^ 1 1"`, and `"n0 n1"` for products of numbers of different sites."""
        if all(p == q == 1 for _, p, q in key):
            return " ".join(f"n{i}" for i, _, _ in key)
        words = [word for i, p, _ in key for word in [f"{i}^"] * p]
        return " ".join(words + [word for i, _, q in key for word in [f"{i}"] * q])

    @classmethod
    def move(cls, key: BosonKey) -> Hashable:
        """What the neighbour has more than the row: pairs (site, change)."""
        return tuple((i, q - p) for i, p, q in key if p != q)

    @classmethod
    def gain(cls, key: BosonKey) -> int:
        """Created minus annihilated."""
        return sum(p - q for _, p, q in key)

    @classmethod
    def leaves(cls, key: BosonKey, hilbert: AbstractHilbert) -> bool:
        """True if some configuration of the space has an image with another total."""
        return can_move({i: p for i, p, _ in key}, {i: q for i, _, q in key}, hilbert)

    def factors(self, n_max: int) -> Factors:
        r"""The functions $\sqrt{n!/(n-p)!}\,\sqrt{(n-p+q)!/(n-p)!}$ of the row's n; zero for columns above `n_max`."""
        kinds: dict[tuple[int, int], int] = {(0, 0): 0}
        width = max((len(key) for key in self.keys), default=0)
        sites, rows = np.zeros((2, len(self.keys), width), int)
        for k, key in enumerate(self.keys):
            for slot, (i, p, q) in enumerate(key):
                sites[k, slot], rows[k, slot] = i, kinds.setdefault((p, q), len(kinds))
        table = np.array([[_element(n, p, q, n_max) for n in range(n_max + 1)] for p, q in kinds])
        return Factors(sites, rows, table)


@final
class BosonSum(LadderSum):
    r"""A sum of strings of boson operators $b^\dagger_i$, $b_i$ with traced coefficients.

    The operator is the true one restricted to the space: an element $\langle x|S|x'\rangle$ is that of untruncated
    bosons for all x and x' with at most `n_max` on a site. So $b^\dagger$ on a full site gives zero, but products are
    those of untruncated operators: $b b^\dagger = n + 1$ holds on full sites too, where the product of truncated
    matrices would give 0. Equal strings are merged in normal order; changing a coefficient never recompiles.

    Args:
        terms: coefficient of each string; `"0^ 1"` is $b_0^\dagger b_1$, `"n0 n1"` is $n_0 n_1$, `""` the identity.
        hilbert: a space of bosons.

    Raises:
        SpaceError: text that is no string, a site that does not exist, or a term that leaves the space.

    Example:
        >>> from qml.hilbert import Boson
        >>> from qml.operator import BosonSum
        >>> b = BosonSum({"0": 1.0}, Boson(1, n_max=2))
        >>> b.to_dense().tolist()
        [[0.0, 1.0, 0.0], [0.0, 0.0, 1.4142135623730951], [0.0, 0.0, 0.0]]
        >>> (b @ b.adjoint()).terms
        {'n0': 1.0, '': 1.0}
    """

    coefficients: Inexact[Array, " terms"]
    strings: BosonStrings = eqx.field(static=True)
    hilbert: AbstractHilbert = eqx.field(static=True)
    hermitian: bool = eqx.field(static=True)

    def __init__(self, terms: Any, hilbert: AbstractHilbert):
        terms = ladder_terms(terms, "BosonSum")
        self._check_statistics(hilbert)
        operators = [expand(BosonStrings, word, hilbert.n_sites) for word in terms]
        made = BosonSum._assemble(hilbert, operators, stack(terms.values()))
        self.coefficients, self.strings = made.coefficients, made.strings
        self.hilbert, self.hermitian = made.hilbert, made.hermitian

    @classmethod
    def _kind(cls) -> type[LadderStrings]:
        return BosonStrings

    @classmethod
    def _check_statistics(cls, hilbert: AbstractHilbert) -> None:
        states = hilbert.local_states
        if getattr(hilbert, "fermionic", False) or states != tuple(range(len(states))):
            raise SpaceError(
                "Boson operators act on bosons.",
                got=f"{hilbert}",
                expected="a space of occupation numbers",
                try_="Boson(n_sites, n_max)",
            )

    def diagonal(self, x: Configurations) -> Inexact[Array, "..."]:
        """Diagonal elements of `x[..., sites]`."""
        return _diagonal(self, rows_of(self, x))

    def connected(self, x: Configurations) -> tuple[Int[Array, "... groups sites"], Inexact[Array, "... groups"]]:
        """Off-diagonal neighbours, one for each set of changes; where the element is zero it is `x` itself.

        Args:
            x: configurations `int8[..., sites]`.

        Returns:
            Neighbours `[..., groups, sites]` in the dtype of `x`, and the elements `<x|O|x'>` `[..., groups]`.
        """
        return _connected(self, rows_of(self, x))

    def bound(self) -> tuple[float, float]:
        """Centre and radius of an interval that holds the spectrum: every string by the largest factor of each site.

        A fixed number of particles lowers the largest occupation.
        """
        n_max = self.hilbert.local_states[-1]
        top = [n_max] * self.hilbert.n_sites
        for sites, total in totals_of(self.hilbert):
            for i in sites:
                top[i] = min(n_max, total)
        centre = radius = 0.0
        for key, value in zip(self.strings.keys, np.asarray(self.coefficients)):
            norm = math.prod(max(_element(n, p, q, top[i]) for n in range(top[i] + 1)) for i, p, q in key)
            if not key:
                centre, radius = centre + value.real, radius + abs(value.imag)
            elif self.strings.move(key):
                radius += abs(value) * norm
            else:
                centre += value.real * norm / 2
                radius += abs(value.real) * norm / 2 + abs(value.imag) * norm
        return float(centre), float(radius)

    def linear_map(self) -> OccupationMap:
        """The matrix-free product with a vector in basis order, prepared once."""
        bits, n = code_bits(self.hilbert), self.hilbert.n_sites
        factors = self.strings.factors(self.hilbert.local_states[-1])
        dtype = np.dtype(np.uint32 if bits * n <= 32 else np.uint64)
        moves = [sum(change << bits * (n - 1 - i) for i, change in move) for move in self.strings.layout.moves]

        def pick(terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            table = factors.table.astype(self.coefficients.real.dtype)
            return (bits * (n - 1 - factors.sites[terms])).astype(dtype), table[factors.kinds[terms]]

        return occupation_map(self, moves, functools.partial(_code_element, bits), pick, adds=True)


def _element(n: int, p: int, q: int, n_max: int) -> float:
    r"""$\langle n|(b^\dagger)^p b^q|n - p + q\rangle$."""
    left = n - p
    if left < 0 or left + q > n_max:
        return 0.0
    return math.sqrt(math.perm(n, p) * math.perm(left + q, q))


def _code_element(bits: int, codes: Array, rule: tuple[Array, Array], value: Array) -> Array:
    """Element in the row of each code, for one string."""
    shifts, tables = rule
    mask = np.array(2**bits - 1, codes.dtype)
    out = jnp.broadcast_to(value, codes.shape)
    for slot in range(shifts.shape[0]):
        out = out * tables[slot][codes >> shifts[slot] & mask]
    return out


def _elements(operator: BosonSum, x: Array, terms: np.ndarray) -> Array:
    """The element of each string in the rows `x[..., sites]`: `[..., terms]`."""
    factors = operator.strings.factors(operator.hilbert.local_states[-1])
    values = operator.coefficients[terms].reshape((1,) * (x.ndim - 1) + (-1,))
    out = jnp.broadcast_to(values, (*x.shape[:-1], len(terms)))
    states = factors.table.shape[1]
    table = jnp.asarray(factors.table.astype(values.real.dtype).reshape(-1))
    for sites, kinds in zip(factors.sites[terms].T, factors.kinds[terms].T):
        row = (kinds * states).reshape((1,) * (x.ndim - 1) + (-1,))
        out = out * table[row + x[..., sites].astype(jnp.int32)]
    return out


@jax.jit
def _diagonal(operator: BosonSum, x: Array) -> Array:
    return jnp.sum(_elements(operator, x, operator.strings.layout.diagonal), axis=-1)


@jax.jit
def _connected(operator: BosonSum, x: Array) -> tuple[Array, Array]:
    layout, n = operator.strings.layout, operator.hilbert.n_sites
    changes = np.zeros((len(layout.moves), n), np.int8)
    for group, move in enumerate(layout.moves):
        for site, change in move:
            changes[group, site] = change
    terms = _elements(operator, x, layout.order)
    elements = layout.sum_groups(terms)
    moved = x[..., None, :] + changes.astype(x.dtype).reshape((1,) * (x.ndim - 1) + changes.shape)
    return jnp.where((elements != 0)[..., None], moved, x[..., None, :]), elements
