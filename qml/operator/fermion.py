r"""Sums of strings of fermion operators, evaluated on bit patterns.

Modes are ordered by their index (Jordan-Wigner): $c_m |x\rangle = (-1)^{\sum_{k<m} x_k} x_m |x - e_m\rangle$. A
normal-ordered string acts on a configuration as: check some bits, flip some bits, multiply by a parity of the others.
"""

import functools
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
from qml.operator.occupation import OccupationMap, can_move, occupation_map
from qml.operator.strings import mask_rows, sites_of

WORD = 32  # bits of a packed word
FermionKey = tuple[int, int]  # masks of the created and of the annihilated modes


class Rules(NamedTuple):
    r"""How each string acts, read from the row: $s\,(-1)^{|p \wedge x|}$ if $x \wedge m = v$, else zero.

    Masks are ints of any length; mode i is bit `n_modes - 1 - i`.
    """

    needs: tuple[int, ...]  # m: the modes of the string
    values: tuple[int, ...]  # v: the created ones are occupied in the row, the others empty
    parities: tuple[int, ...]  # p: modes outside the string that lie before an odd number of its operators
    signs: np.ndarray  # s, int8


@final
@dataclass(frozen=True)
class FermionStrings(LadderStrings):
    r"""Normal-ordered strings $c^\dagger_{a_1} \cdots c^\dagger_{a_k} c_{b_l} \cdots c_{b_1}$, a and b ascending.

    In this order a string of a = b is a product of numbers, and the conjugate of a string is a string, without signs.
    """

    __hash__ = LadderStrings.__hash__

    @classmethod
    def identity(cls) -> FermionKey:
        """No operator."""
        return 0, 0

    @classmethod
    def append(cls, key: FermionKey, site: int, dagger: bool, n_sites: int) -> Expansion:
        """The string times $c_m$ or $c_m^\\dagger$ on its right, by exact anticommutation."""
        created, gone = key
        place = n_sites - 1 - site
        bit = 1 << place
        before = (gone >> place + 1).bit_count()  # annihilated modes of smaller index stand further right
        if not dagger:
            return {} if gone & bit else {(created, gone | bit): _sign(before)}
        found: Expansion = {(created, gone ^ bit): _sign(before)} if gone & bit else {}
        if not created & bit:
            found[created | bit, gone] = _sign(gone.bit_count() + (created & bit - 1).bit_count())
        return found

    @classmethod
    def times(cls, left: FermionKey, right: FermionKey, n_sites: int) -> Expansion:
        """Normal order of the product of two strings."""
        total: Expansion = {left: 1.0}
        created = [(i, True) for i in sites_of(right[0], n_sites)]
        for site, dagger in (*created, *((i, False) for i in sites_of(right[1], n_sites)[::-1])):
            new: Expansion = {}
            for key, factor in total.items():
                for found, sign in cls.append(key, site, dagger, n_sites).items():
                    new[found] = new.get(found, 0) + factor * sign
            total = new
        return {key: factor for key, factor in total.items() if factor}

    @classmethod
    def dagger(cls, key: FermionKey) -> FermionKey:
        """Created and annihilated modes swapped."""
        return key[1], key[0]

    @classmethod
    def name(cls, key: FermionKey, n_sites: int) -> str:
        """`"0^ 2^ 3 1"`, and `"n0 n1"` for products of numbers."""
        created, gone = (sites_of(mask, n_sites) for mask in key)
        if created == gone:
            return " ".join(f"n{i}" for i in created)
        return " ".join([f"{i}^" for i in created] + [f"{i}" for i in gone[::-1]])

    @classmethod
    def move(cls, key: FermionKey) -> Hashable:
        """The mask of the flipped modes."""
        return key[0] ^ key[1]

    @classmethod
    def gain(cls, key: FermionKey) -> int:
        """Created minus annihilated."""
        return key[0].bit_count() - key[1].bit_count()

    @classmethod
    def leaves(cls, key: FermionKey, hilbert: AbstractHilbert) -> bool:
        """True if some configuration of the space has an image outside."""
        n = hilbert.n_sites
        created, gone = (dict.fromkeys(sites_of(mask, n), 1) for mask in key)
        return can_move(created, gone, hilbert)

    @functools.cached_property
    def rules(self) -> Rules:
        """The bit patterns of all strings."""
        needs, values, parities, signs = [], [], [], []
        for created, gone in self.keys:
            need, state, parity, odd = int(created) | int(gone), gone, 0, 0
            operators = [
                *sites_of(gone, self.n_sites),
                *sites_of(created, self.n_sites)[::-1],
            ]  # the first to act first
            for site in operators:
                bit = 1 << self.n_sites - 1 - site
                before = (1 << self.n_sites) - 2 * bit
                odd += (state & before).bit_count()
                state ^= bit
                parity ^= before
            needs.append(need)
            values.append(created)
            parities.append(parity & ~need)
            signs.append(_sign(odd))
        return Rules(tuple(needs), tuple(values), tuple(parities), np.array(signs, np.int8))


@final
class FermionSum(LadderSum):
    r"""A sum of strings of fermion operators $c^\dagger_i$, $c_i$ with traced coefficients.

    The strings are static and kept in normal order, equal ones merged; changing a coefficient never recompiles.
    Modes anticommute and are ordered by index. On a space with fixed totals every term must conserve them.

    Args:
        terms: coefficient of each string; `"0^ 1"` is $c_0^\dagger c_1$, `"n0 n1"` is $n_0 n_1$, `""` the identity.
            Any order of operators is brought to normal order.
        hilbert: space of spinless or spinful fermions (all up modes, then all down).

    Raises:
        SpaceError: text that is no string, a mode that does not exist, or a term that leaves the space.

    Example:
        >>> from qml.hilbert import SpinlessFermion
        >>> from qml.operator import FermionSum
        >>> h = FermionSum({"0^ 1": -1.0, "1^ 0": -1.0, "0^ 0 1^ 1": 4.0}, SpinlessFermion(2))
        >>> h
        FermionSum(2 modes, 3 terms: - 1 [0^ 1] - 1 [1^ 0] + 4 [n0 n1])
        >>> (h @ h).terms
        {'n0': 1.0, 'n0 n1': 14.0, 'n1': 1.0}
        >>> h.commutator(FermionSum({"n0": 1.0, "n1": 1.0}, h.hilbert)).terms
        {}
    """

    coefficients: Inexact[Array, " terms"]
    strings: FermionStrings = eqx.field(static=True)
    hilbert: AbstractHilbert = eqx.field(static=True)
    hermitian: bool = eqx.field(static=True)

    def __init__(self, terms: Any, hilbert: AbstractHilbert):
        terms = ladder_terms(terms, "FermionSum")
        self._check_statistics(hilbert)
        operators = [expand(FermionStrings, word, hilbert.n_sites) for word in terms]
        made = FermionSum._assemble(hilbert, operators, stack(terms.values()))
        self.coefficients, self.strings = made.coefficients, made.strings
        self.hilbert, self.hermitian = made.hilbert, made.hermitian

    @classmethod
    def _kind(cls) -> type[LadderStrings]:
        return FermionStrings

    @classmethod
    def _check_statistics(cls, hilbert: AbstractHilbert) -> None:
        if not getattr(hilbert, "fermionic", False) or hilbert.local_states != (0, 1):
            raise SpaceError(
                "Fermion operators act on fermions.",
                got=f"{hilbert}",
                expected="a space of fermion modes",
                try_="SpinlessFermion(n_sites) or SpinfulFermion(n_orbitals)",
            )

    def diagonal(self, x: Configurations) -> Inexact[Array, "..."]:
        """Diagonal elements of `x[..., modes]`."""
        return _diagonal(self, rows_of(self, x))

    def connected(self, x: Configurations) -> tuple[Int[Array, "... groups sites"], Inexact[Array, "... groups"]]:
        """Off-diagonal neighbours, one for each set of flipped modes: a hop and its conjugate share it.

        Args:
            x: configurations `int8[..., modes]`.

        Returns:
            Neighbours `[..., groups, modes]` in the dtype of `x`, and the elements `<x|O|x'>` `[..., groups]`.
        """
        return _connected(self, rows_of(self, x))

    def bound(self) -> tuple[float, float]:
        """Centre and radius of an interval that holds the spectrum.

        Products of numbers lie between 0 and 1; any other string S has norm 1 and $S^2 = 0$, so $aS + bS^\\dagger$
        has norm max(|a|, |b|).
        """
        values = np.asarray(self.coefficients)
        centre = radius = 0.0
        for k, ((created, gone), partner) in enumerate(zip(self.strings.keys, self.strings.partners)):
            if created == gone == 0:
                centre, radius = centre + values[k].real, radius + abs(values[k].imag)
            elif created == gone:
                centre += values[k].real / 2
                radius += abs(values[k].real) / 2 + abs(values[k].imag)
            elif partner < 0 or partner > k:
                radius += max(abs(values[k]), abs(values[partner]) if partner >= 0 else 0.0)
        return float(centre), float(radius)

    def linear_map(self) -> OccupationMap:
        """The matrix-free product with a vector in basis order, prepared once."""
        rules, n = self.strings.rules, self.hilbert.n_sites
        return occupation_map(self, [int(f) for f in self.strings.layout.moves], _code_elements, rules_at(rules, n))


def rules_at(rules: Rules, n_modes: int) -> Any:
    """The rules of chosen strings as arrays of codes (integers of up to 64 bits)."""
    bits = np.dtype(np.uint32 if n_modes <= WORD else np.uint64)

    def pick(terms: np.ndarray) -> tuple[np.ndarray, ...]:
        masks = tuple(
            np.array([column[k] for k in terms.ravel()], dtype=bits).reshape(terms.shape) for column in rules[:3]
        )
        return (*masks, rules.signs[terms])

    return pick


def _code_elements(codes: Array, rule: tuple[Array, ...], value: Array) -> Array:
    """Element in the row of each code, for one string."""
    need, wanted, parity, sign = rule
    value = value * sign.astype(value.real.dtype)
    odd = (jax.lax.population_count(codes & parity) & 1).astype(bool)
    return jnp.where((codes & need) == wanted, jnp.where(odd, -value, value), 0)


def _sign(exponent: int) -> float:
    return -1.0 if exponent % 2 else 1.0


def _pack(x: Array) -> Array:
    """Configurations `[..., modes]` of 0 and 1 as words `uint32[..., words]`, the last mode in the lowest bit."""
    n = x.shape[-1]
    words = -(-n // WORD)
    lead = (1,) * (x.ndim - 1)
    padded = jnp.concatenate([jnp.zeros((*x.shape[:-1], words * WORD - n), jnp.uint32), x.astype(jnp.uint32)], axis=-1)
    powers = np.uint32(1) << np.arange(WORD, dtype=np.uint32)[::-1]
    return jnp.sum(
        padded.reshape(*x.shape[:-1], words, WORD) * powers.reshape(*lead, 1, WORD), axis=-1, dtype=jnp.uint32
    )


def _words(masks: tuple[int, ...], terms: np.ndarray, n_modes: int) -> np.ndarray:
    """Masks of some strings as words `uint32[words, terms]`."""
    count = -(-n_modes // WORD)
    rows = [[masks[k] >> WORD * (count - 1 - w) & 0xFFFFFFFF for k in terms] for w in range(count)]
    return np.array(rows, dtype=np.uint32).reshape(count, len(terms))


def _elements(operator: FermionSum, x: Array, terms: np.ndarray) -> Array:
    """The element of each string in the rows `x[..., modes]`: `[..., terms]`."""
    rules, n = operator.strings.rules, operator.hilbert.n_sites
    words, lead = _pack(x), (1,) * (x.ndim - 1)
    needs, values, parities = (_words(masks, terms, n) for masks in rules[:3])
    met = jnp.ones((*x.shape[:-1], len(terms)), bool)
    odd = jnp.zeros((*x.shape[:-1], len(terms)), jnp.uint32)
    for w in range(words.shape[-1]):
        word = words[..., w, None]
        met = met & ((word & needs[w].reshape(*lead, -1)) == values[w].reshape(*lead, -1))
        odd = odd ^ (word & parities[w].reshape(*lead, -1))
    weights = operator.coefficients[terms] * rules.signs[terms].astype(operator.coefficients.real.dtype)
    weights = weights.reshape(*lead, -1)
    return jnp.where(met, jnp.where((jax.lax.population_count(odd) & 1).astype(bool), -weights, weights), 0)


@jax.jit
def _diagonal(operator: FermionSum, x: Array) -> Array:
    return jnp.sum(_elements(operator, x, operator.strings.layout.diagonal), axis=-1)


@jax.jit
def _connected(operator: FermionSum, x: Array) -> tuple[Array, Array]:
    layout = operator.strings.layout
    flips = mask_rows(layout.moves, operator.hilbert.n_sites).astype(bool)
    lead = (1,) * (x.ndim - 1)
    neighbours = jnp.where(flips.reshape(*lead, *flips.shape), 1 - x[..., None, :], x[..., None, :])
    terms = _elements(operator, x, layout.order)
    return neighbours, layout.sum_groups(terms)
