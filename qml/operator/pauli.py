"""Sums of Pauli strings: static strings, traced coefficients."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError, SpaceError
from qml._core.types import Array, Configurations, Inexact, Int
from qml.hilbert import AbstractHilbert, Spin
from qml.operator.base import AbstractOperator, checked_sites, rows_of
from qml.operator.coefficients import coefficient_dtype, collect, is_scalar, is_traced, on_host, per_term, stack, sum_to
from qml.operator.compact import Compacted, compact_pauli, parities
from qml.operator.conserve import check_predicate, check_terms, sector_traces
from qml.operator.matvec import elements, prepare
from qml.operator.signs import StringSigns, flip_factors
from qml.operator.strings import PHASES, PauliStrings, mask_of, multiply, parse, sites_of

_SHOWN = 8
_ROUNDING = 1e-12


@final
class PauliSum(AbstractOperator):
    r"""A sum of Pauli strings $\sum_k c_k P_k$ on spins 1/2.

    The strings are static, the coefficients are traced: changing a coupling never recompiles. On a space with fixed
    magnetisation the sum must stay inside, which is checked exactly when it is built.

    Args:
        terms: coefficient of each string, letters in site order: `{"ZZ": 1.0, "XI": 0.5}`.
        hilbert: spin-1/2 space; `None` is all configurations of as many sites as the strings have letters.

    Raises:
        SpaceError: an unknown letter, a space that is not spin-1/2, or terms that leave a constrained space.
        ShapeError: a string whose length is not the number of sites.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.operator import PauliSum
        >>> h = PauliSum({"ZZ": 1.0, "XI": 0.5})
        >>> h
        PauliSum(2 sites, 2 terms: 1 Z0 Z1 + 0.5 X0)
        >>> (h @ h).terms
        {'II': 1.25}
        >>> x, elements = h.connected(jnp.array([1, 1], dtype=jnp.int8))
        >>> x.tolist(), elements.tolist(), float(h.diagonal(jnp.array([1, -1])))
        ([[-1, 1]], [0.5], -1.0)
    """

    coefficients: Inexact[Array, " terms"]
    strings: PauliStrings = eqx.field(static=True)
    hilbert: AbstractHilbert = eqx.field(static=True)

    __array_ufunc__ = None  # numpy scalars leave products with operators to the operator

    def __init__(self, terms: Mapping[str, Any], hilbert: AbstractHilbert | None = None):
        if not isinstance(terms, Mapping) or (not terms and hilbert is None):
            raise ShapeError(
                "The terms of a PauliSum are a mapping from strings to coefficients.",
                got=repr(terms),
                expected="a non-empty dict, or an empty one with hilbert=",
                try_='PauliSum({"ZZ": 1.0, "XI": 0.5}), or PauliSum.from_terms([("ZZ", (0, 1), 1.0)], hilbert)',
            )
        if hilbert is None:
            hilbert = Spin(max(1, len(next(iter(terms)))))
        _check_spin_half(hilbert)
        sites = range(hilbert.n_sites)
        pairs = [parse(word, sites, hilbert.n_sites) for word in terms]
        self.strings, coefficients = collect(hilbert.n_sites, pairs, stack(terms.values()))
        self.coefficients, self.hilbert = build(self.strings, coefficients, hilbert, check=True).coefficients, hilbert

    @staticmethod
    def from_terms(terms: Iterable[tuple[str, Sequence[int], Any]], hilbert: AbstractHilbert) -> "PauliSum":
        """A sum from short strings.

        Args:
            terms: triples (letters, sites, coefficient) such as `("ZZ", (0, 3), 1.0)`; equal strings are added up.
            hilbert: spin-1/2 space.

        Raises:
            SpaceError: an unknown letter or site, a space that is not spin-1/2, or terms that leave the space.
            ShapeError: there are not as many letters as sites.

        Example:
            >>> from qml.hilbert import Spin
            >>> from qml.operator import PauliSum
            >>> PauliSum.from_terms([("X", (2,), 1.0), ("ZZ", (1, 0), -0.5)], Spin(3))
            PauliSum(3 sites, 2 terms: 1 X2 - 0.5 Z0 Z1)
        """
        terms = list(terms)
        _check_spin_half(hilbert)
        pairs = [parse(letters, tuple(sites), hilbert.n_sites) for letters, sites, _ in terms]
        strings, coefficients = collect(hilbert.n_sites, pairs, stack(c for _, _, c in terms))
        return build(strings, coefficients, hilbert, check=True)

    def with_coefficients(self, coefficients: Any) -> "PauliSum":
        """The same strings with other coefficients.

        Args:
            coefficients: `[terms]`, in the order of `strings`.

        Raises:
            ShapeError: there is not one coefficient for each string.
            SpaceError: the new sum leaves a constrained space.
        """
        coefficients = per_term(coefficients, len(self.strings))
        return build(self.strings, coefficients, self.hilbert, check=True)

    @property
    def dtype(self) -> np.dtype:
        """Real if all coefficients are real and every string has an even number of Y."""
        return np.result_type(self.coefficients.dtype, np.float32 if self.strings.is_real else np.complex64)

    @property
    def is_hermitian(self) -> bool:
        """True if all coefficients are real to rounding; False for traced complex ones, which nobody knows."""
        if not jnp.iscomplexobj(self.coefficients):
            return True
        if is_traced(self.coefficients):
            return False
        values = np.asarray(self.coefficients)
        return bool(np.all(np.abs(np.imag(values)) <= _ROUNDING * np.max(np.abs(values), initial=0)))

    @property
    def terms(self) -> dict[str, Any]:
        """Coefficient of each string, sorted by string."""
        values = self.coefficients if is_traced(self.coefficients) else self.coefficients.tolist()
        words = [self.strings.word(k) for k in range(len(self.strings))]
        return {words[k]: values[k] for k in sorted(range(len(words)), key=words.__getitem__)}

    def trace(self) -> Inexact[Array, ""]:
        """The trace over this operator's space, fixed totals and predicates included."""
        if self.hilbert.envelope != self.hilbert:
            return AbstractOperator.trace(self)
        return jnp.sum(self.coefficients * sector_traces(self.strings, self.hilbert))

    def bound(self) -> tuple[float, float]:
        """Centre and radius of an interval that holds the spectrum: the identity's coefficient, the sum of the rest."""
        values = np.asarray(self.coefficients)
        one = np.array([f == 0 and z == 0 for f, z in zip(self.strings.flips, self.strings.signs)], dtype=bool)
        return float(np.real(np.sum(values[one]))), float(np.sum(np.abs(values[~one])))

    def diagonal(self, x: Configurations) -> Inexact[Array, "..."]:
        """Diagonal elements of `x[..., sites]`."""
        return _diagonal(self, rows_of(self, x))

    def connected(self, x: Configurations) -> tuple[Int[Array, "... groups sites"], Inexact[Array, "... groups"]]:
        """Off-diagonal neighbours, one for each flip mask: all strings that flip the same sites share it.

        Args:
            x: configurations `int8[..., sites]`.

        Returns:
            Neighbours `[..., groups, sites]` in the dtype of `x`, and the elements `<x|O|x'>` `[..., groups]`.
        """
        return _connected(self, rows_of(self, x))

    def _compacted(self, x: Array, capacity: int) -> Compacted:
        return compact_pauli(self, x, capacity)

    def linear_map(self) -> Any:
        """The matrix-free product with a vector in basis order, prepared once."""
        return prepare(self.strings, self.coefficients, self.hilbert)

    def check_space(self, hilbert: AbstractHilbert) -> None:
        r"""Raise where this sum does not act on a space, or leads out of it.

        Exact: the elements $\langle b \oplus f|O|b\rangle$ of each flip mask f are worked out for all patterns of the
        flipped sites that occur in the space; those that change the magnetisation must cancel.

        Raises:
            SpaceError: with the terms that leave the space.
        """
        _check_spin_half(hilbert)
        if hilbert.n_sites != self.hilbert.n_sites:
            raise SpaceError(
                "The operator acts on another number of sites.",
                got=f"{self.hilbert.n_sites} sites",
                expected=f"{hilbert.n_sites} sites",
                try_="build the operator on the same space",
            )
        if not (is_traced(self.coefficients) and self.hilbert == hilbert):  # else checked when it was built
            check_terms(self.strings, on_host(self.coefficients), hilbert)
            check_predicate(self, hilbert)

    def _untraced(self) -> "PauliSum":
        """The same strings with known coefficients that do not cancel, if these are traced."""
        known = np.sqrt(np.arange(2.0, 2.0 + len(self.strings)))
        return build(self.strings, known, self.hilbert) if is_traced(self.coefficients) else self

    def on_sites(self, hilbert: AbstractHilbert, sites: Sequence[int]) -> "PauliSum":
        """The same sum on some sites of a larger space, times the identity on the others.

        Args:
            hilbert: the larger space.
            sites: the site in it of each site of this sum.

        Raises:
            SpaceError: sites that do not exist or come twice, or a sum that leaves the space.

        Example:
            >>> from qml.hilbert import Spin
            >>> from qml.operator import PauliSum
            >>> PauliSum({"XZ": 0.5}).on_sites(Spin(4), (3, 0))
            PauliSum(4 sites, 1 term: 0.5 Z0 X3)
        """
        sites = checked_sites(self.hilbert, hilbert, sites)
        n, m = self.hilbert.n_sites, hilbert.n_sites
        moved = [
            tuple(mask_of((sites[i] for i in sites_of(mask, n)), m) for mask in masks)
            for masks in (self.strings.flips, self.strings.signs)
        ]
        return build(PauliStrings(m, *moved), self.coefficients, hilbert, check=True)

    def on(self, hilbert: AbstractHilbert) -> "PauliSum":
        """The same sum on another space of the same sites.

        Raises:
            SpaceError: with the terms that leave the space.
        """
        self.check_space(hilbert)
        return build(self.strings, self.coefficients, hilbert)

    def simplify(self, tolerance: float = 0.0) -> "PauliSum":
        """Without strings whose coefficient is at most `tolerance` in size, and real if no imaginary part is left.

        Not for traced coefficients: the number of strings depends on their values.
        """
        values = np.asarray(self.coefficients)
        keep = np.flatnonzero(np.abs(values) > tolerance)
        if np.iscomplexobj(values) and np.all(np.abs(np.imag(values[keep])) <= tolerance):
            values = np.real(values)
        strings = PauliStrings(
            self.strings.n_sites,
            tuple(self.strings.flips[k] for k in keep),
            tuple(self.strings.signs[k] for k in keep),
        )
        return build(strings, values[keep], self.hilbert)

    def adjoint(self) -> "PauliSum":
        """The Hermitian conjugate."""
        return build(self.strings, on_host(self.coefficients).conj(), self.hilbert)

    def commutator(self, other: "PauliSum") -> "PauliSum":
        """`self @ other - other @ self`, from the pairs of strings that anticommute."""
        if not isinstance(other, PauliSum):
            return AbstractOperator.commutator(self, other)
        return _times(self, other, "anticommuting", 2)

    def anticommutator(self, other: "PauliSum") -> "PauliSum":
        """`self @ other + other @ self`, from the pairs of strings that commute."""
        if not isinstance(other, PauliSum):
            return AbstractOperator.anticommutator(self, other)
        return _times(self, other, "commuting", 2)

    def __matmul__(self, other: "PauliSum") -> "PauliSum":
        if not isinstance(other, PauliSum):
            return NotImplemented
        if other is self:  # a square: pairs that anticommute cancel
            return _times(self, self, "commuting", 1)
        return _times(self, other, "all", 1)

    def __add__(self, other: Any) -> "PauliSum":
        if is_scalar(other):
            other = build(PauliStrings(self.hilbert.n_sites, (0,), (0,)), stack([other]), self.hilbert)
        if not isinstance(other, PauliSum):
            return NotImplemented
        _check_same_space(self, other)
        a, b = self.strings, other.strings
        pairs = [*zip(a.flips, a.signs), *zip(b.flips, b.signs)]
        parts = [on_host(self.coefficients), on_host(other.coefficients)]
        coefficients = jnp.concatenate(parts) if any(is_traced(c) for c in parts) else np.concatenate(parts)
        return build(*collect(a.n_sites, pairs, coefficients), self.hilbert)

    def __radd__(self, other: Any) -> "PauliSum":
        return self if isinstance(other, int) and other == 0 else self + other

    def __neg__(self) -> "PauliSum":
        return build(self.strings, -on_host(self.coefficients), self.hilbert)

    def __sub__(self, other: Any) -> "PauliSum":
        return self + (-other)

    def __rsub__(self, other: Any) -> "PauliSum":
        return (-self) + other

    def __mul__(self, other: Any) -> "PauliSum":
        if not is_scalar(other):
            return NotImplemented
        return build(self.strings, on_host(self.coefficients) * stack([other])[0], self.hilbert)

    def __rmul__(self, other: Any) -> "PauliSum":
        return self * other

    def __truediv__(self, other: Any) -> "PauliSum":
        if not is_scalar(other):
            return NotImplemented
        return build(self.strings, on_host(self.coefficients) / stack([other])[0], self.hilbert)

    def __repr__(self) -> str:
        count = len(self.strings)
        head = f"{self.hilbert.n_sites} sites, {count} term{'s' * (count != 1)}"
        values = self.coefficients
        if not isinstance(values, (np.ndarray, jax.Array)) or is_traced(values):
            return f"PauliSum({head}: {', '.join(self.strings.short(k) for k in range(min(count, _SHOWN)))})"
        if values.ndim != 1 or not count:
            return f"PauliSum({head})"
        shown = [_signed(v, self.strings.short(k)) for k, v in enumerate(np.asarray(values)[:_SHOWN].tolist())]
        text = " ".join(shown) + (" + ..." if count > _SHOWN else "")
        return f"PauliSum({head}: {text.removeprefix('+ ')})"


def build(strings: PauliStrings, coefficients: Any, hilbert: AbstractHilbert, *, check: bool = False) -> PauliSum:
    """A sum from its parts; `check` proves that it stays in a constrained space (results of algebra always do)."""
    if check:
        check_terms(strings, coefficients, hilbert)
    new = object.__new__(PauliSum)
    coefficients = jnp.asarray(coefficients, dtype=coefficient_dtype(coefficients))  # never weakly typed
    parts = (("coefficients", coefficients), ("strings", strings), ("hilbert", hilbert))
    for name, value in parts:
        object.__setattr__(new, name, value)
    if check:
        check_predicate(new, hilbert)
    return new


def _signed(value: float | complex, word: str) -> str:
    if isinstance(value, complex):
        return f"+ {value:.6g} {word}"
    return f"{'-' if value < 0 else '+'} {abs(value):.6g} {word}"


def _check_spin_half(hilbert: AbstractHilbert) -> None:
    if hilbert.local_states != (1, -1):
        raise SpaceError(
            "Pauli strings act on spins 1/2.",
            got=f"{hilbert}",
            expected="a space with local states (1, -1)",
            try_="Spin(n_sites), or a LocalOperator",
        )


def _check_same_space(a: PauliSum, b: PauliSum) -> None:
    if a.hilbert != b.hilbert:
        raise SpaceError(
            "The operators act on different spaces.",
            got=f"{a.hilbert} and {b.hilbert}",
            expected="one space",
            try_="build both with the same hilbert=",
        )


def _times(a: PauliSum, b: PauliSum, keep: str, factor: int) -> PauliSum:
    _check_same_space(a, b)
    pairs = multiply(a.strings, b.strings, keep)
    phases = factor * PHASES[pairs.turns]
    if not np.any(pairs.turns % 2):
        phases = np.real(phases)
    values = on_host(a.coefficients)[pairs.left] * on_host(b.coefficients)[pairs.right]
    values = values * phases.astype(
        np.result_type(values.dtype, np.complex64 if np.iscomplexobj(phases) else np.float32)
    )
    return build(pairs.strings, sum_to(values, pairs.target, len(pairs.strings)), a.hilbert)


@jax.jit
def _diagonal(operator: PauliSum, x: Array) -> Array:
    terms = operator.strings.layout.diagonal
    odd = parities(operator.strings, terms, x.reshape(-1, x.shape[-1]))
    one = jnp.ones((), operator.dtype)
    return (jnp.where(odd, -one, one) @ operator.coefficients[terms].astype(operator.dtype)).reshape(x.shape[:-1])


@jax.jit
def _connected(operator: PauliSum, x: Array) -> tuple[Array, Array]:
    strings = operator.strings
    layout = strings.layout
    factors = jnp.asarray(flip_factors(strings), dtype=x.dtype)
    lead = (1,) * (x.ndim - 1)
    neighbours = x[..., None, :] * factors.reshape(*lead, *factors.shape)
    weighted = StringSigns.of(strings, layout.order)(x) * elements(strings, operator.coefficients)[
        layout.order
    ].reshape(*lead, -1)
    parts, start = [jnp.zeros((*x.shape[:-1], 0), operator.dtype)], 0
    for groups, size in layout.runs:
        part = weighted[..., start : start + groups * size]
        parts.append(jnp.sum(part.reshape(*x.shape[:-1], groups, size), axis=-1))
        start += groups * size
    return neighbours, jnp.concatenate(parts, axis=-1)
