"""Sums of strings of creation and annihilation operators: the algebra that fermions and bosons share."""

import abc
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import DataError, ShapeError, SpaceError
from qml._core.types import Array, Inexact
from qml.hilbert import AbstractHilbert
from qml.operator.base import AbstractOperator
from qml.operator.coefficients import coefficient_dtype, is_scalar, is_traced, on_host, per_term, stack, sum_to
from qml.operator.ladder_strings import Expansion, Key, LadderStrings, expand, products
from qml.operator.occupation import check_predicate

_SHOWN = 8
_ROUNDING = 1e-12


class LadderSum(AbstractOperator):
    """A sum of normal-ordered strings with traced coefficients; what does not depend on the statistics."""

    coefficients: eqx.AbstractVar[Inexact[Array, " terms"]]
    strings: eqx.AbstractVar[Any]
    hilbert: eqx.AbstractVar[AbstractHilbert]
    hermitian: eqx.AbstractVar[bool]

    __array_ufunc__ = None  # numpy scalars leave products with operators to the operator

    @classmethod
    @abc.abstractmethod
    def _kind(cls) -> type[LadderStrings]:
        """The class of the strings."""

    @classmethod
    @abc.abstractmethod
    def _check_statistics(cls, hilbert: AbstractHilbert) -> None:
        """Raise `SpaceError` if the space holds particles of another kind."""

    @classmethod
    def from_terms(cls, terms: Iterable[tuple[Any, Any]], hilbert: AbstractHilbert) -> "LadderSum":
        """A sum from pairs (string, coefficient); equal strings are added up.

        Args:
            terms: a string is text such as `"0^ 1"`, or a sequence of ladder operators (site, dagger) such as
                `((0, True), (1, False))`, the leftmost first.
            hilbert: the space.

        Raises:
            SpaceError: text that is no string, a site that does not exist, or a string that leaves the space.
        """
        terms = list(terms)
        cls._check_statistics(hilbert)
        operators = [expand(cls._kind(), string, hilbert.n_sites) for string, _ in terms]
        return cls._assemble(hilbert, operators, stack(c for _, c in terms))

    @classmethod
    def _assemble(
        cls, hilbert: AbstractHilbert, operators: Sequence[Expansion], values: Any, hermitian: bool | None = None
    ) -> "LadderSum":
        """The sum of `values[k] * operators[k]`, checked to stay in the space."""
        index: dict[Key, int] = {}
        rows, factors, target = [], [], []
        for k, operator in enumerate(operators):
            for key, factor in operator.items():
                rows.append(k)
                factors.append(factor)
                target.append(index.setdefault(key, len(index)))
        strings = cls._kind()(hilbert.n_sites, tuple(index))
        factors, row, to = np.array(factors).astype(coefficient_dtype(np.zeros(1))), np.array(rows, int), target
        coefficients = sum_to(values[row] * factors, np.array(to, int), len(index))
        made = cls._build(strings, coefficients, hilbert, check=not is_traced(values), hermitian=hermitian)
        if is_traced(values):  # any values of the couplings must keep the space
            generic = np.random.default_rng(0).uniform(1.0, 2.0, len(operators))
            check_totals(strings, None, hilbert)
            check_predicate(made, hilbert, sum_to(generic[row] * factors, np.array(to, int), len(index)))
        return made

    @classmethod
    def _build(
        cls, strings: Any, coefficients: Any, hilbert: AbstractHilbert, *, check: bool = False, hermitian: Any = None
    ) -> "LadderSum":
        """A sum from its parts. `hermitian` is asked only where the coefficients are traced and cannot be looked at."""
        traced = is_traced(coefficients)
        if not traced:
            host = np.asarray(coefficients)
            check_finite(strings, host)
            hermitian = _is_hermitian(strings, host)
        if check:
            check_totals(strings, None if traced else np.asarray(coefficients), hilbert)
        new = object.__new__(cls)
        coefficients = jnp.asarray(coefficients, dtype=coefficient_dtype(coefficients))  # never weakly typed
        parts = (("coefficients", coefficients), ("strings", strings), ("hilbert", hilbert))
        for name, value in (*parts, ("hermitian", bool(hermitian))):
            object.__setattr__(new, name, value)
        if check:
            check_predicate(new, hilbert)
        return new

    def with_coefficients(self, coefficients: Any) -> "LadderSum":
        """The same strings with other coefficients.

        Args:
            coefficients: `[terms]`, in the order of `strings`.

        Raises:
            ShapeError: there is not one coefficient for each string.
            SpaceError: the new sum leaves a constrained space.
        """
        coefficients = per_term(coefficients, len(self.strings))
        return self._build(self.strings, coefficients, self.hilbert, check=True)

    @property
    def dtype(self) -> np.dtype:
        """Real if all coefficients are: the strings themselves have real matrices."""
        return np.dtype(self.coefficients.dtype)

    @property
    def is_hermitian(self) -> bool:
        """True if every string has its conjugate with the conjugate coefficient, to rounding.

        It is decided when the coefficients are known and kept while they are traced.
        """
        return self.hermitian

    @property
    def terms(self) -> dict[str, Any]:
        """Coefficient of each string."""
        values = self.coefficients if is_traced(self.coefficients) else self.coefficients.tolist()
        return {word: values[k] for k, word in enumerate(self.strings.words())}

    @property
    def conserves_number(self) -> bool:
        """True if every string creates as many particles as it annihilates."""
        return all(self.strings.gain(key) == 0 for key in self.strings.keys)

    def check_space(self, hilbert: AbstractHilbert) -> None:
        """Raise where this sum does not act on a space, or leads out of it.

        Every string changes each total of the space by a fixed number, so it is exact string by string; strings
        without a single element in the space, and those with coefficient zero, are let through. A predicate is tried
        on all configurations (on 4096 at random where they cannot be listed).

        Raises:
            SpaceError: with the terms that leave the space.
        """
        self._check_statistics(hilbert)
        if hilbert.n_sites != self.hilbert.n_sites:
            raise SpaceError(
                "The operator acts on another number of modes.",
                got=f"{self.hilbert.n_sites} modes",
                expected=f"{hilbert.n_sites} modes",
                try_="build the operator on the same space",
            )
        traced = is_traced(self.coefficients)
        if not (traced and self.hilbert == hilbert):  # else checked when it was built
            check_totals(self.strings, None if traced else np.asarray(self.coefficients), hilbert)
            check_predicate(self, hilbert)

    def on(self, hilbert: AbstractHilbert) -> "LadderSum":
        """The same sum on another space of the same modes.

        Raises:
            SpaceError: with the terms that leave the space.
        """
        self.check_space(hilbert)
        return self._build(self.strings, self.coefficients, hilbert, hermitian=self.hermitian)

    def simplify(self, tolerance: float = 0.0) -> "LadderSum":
        """Without strings whose coefficient is at most `tolerance` in size, and real if no imaginary part is left.

        Not for traced coefficients: the number of strings depends on their values.
        """
        values = np.asarray(self.coefficients)
        keep = np.flatnonzero(np.abs(values) > tolerance)
        if np.iscomplexobj(values) and np.all(np.abs(np.imag(values[keep])) <= tolerance):
            values = np.real(values)
        strings = type(self.strings)(self.strings.n_sites, tuple(self.strings.keys[k] for k in keep))
        return self._build(strings, values[keep], self.hilbert)

    def adjoint(self) -> "LadderSum":
        """The Hermitian conjugate."""
        kind = type(self.strings)
        strings = kind(self.strings.n_sites, tuple(kind.dagger(key) for key in self.strings.keys))
        return self._build(strings, on_host(self.coefficients).conj(), self.hilbert, hermitian=self.hermitian)

    def commutator(self, other: "LadderSum") -> "LadderSum":
        """`self @ other - other @ self`; strings that cancel do not appear."""
        return self._product(other, -1)

    def anticommutator(self, other: "LadderSum") -> "LadderSum":
        """`self @ other + other @ self`."""
        return self._product(other, 1)

    def __matmul__(self, other: "LadderSum") -> "LadderSum":
        if not isinstance(other, type(self)):
            return NotImplemented
        return self._product(other, 0)

    def _product(self, other: "LadderSum", reverse: int) -> "LadderSum":
        self._check_same_space(other)
        pairs = products(self.strings, other.strings, reverse)
        values = on_host(self.coefficients)[pairs.left] * on_host(other.coefficients)[pairs.right]
        values = values * pairs.factor.astype(np.real(np.zeros(1, values.dtype)).dtype)
        both = self.hermitian and other.hermitian and reverse == 1
        summed = sum_to(values, pairs.target, len(pairs.strings))
        product = self._build(pairs.strings, summed, self.hilbert, hermitian=both)
        return product if is_traced(summed) or np.all(summed) else product.simplify()

    def _check_same_space(self, other: "LadderSum") -> None:
        if self.hilbert != other.hilbert:
            raise SpaceError(
                "The operators act on different spaces.",
                got=f"{self.hilbert} and {other.hilbert}",
                expected="one space",
                try_="build both with the same hilbert, or move one with .on(hilbert)",
            )

    def __add__(self, other: Any) -> "LadderSum":
        if is_scalar(other):
            real = not jnp.iscomplexobj(other)
            one = type(self.strings)(self.strings.n_sites, (self.strings.identity(),))
            other = self._build(one, stack([other]), self.hilbert, hermitian=real)
        if not isinstance(other, type(self)):
            return NotImplemented
        self._check_same_space(other)
        index: dict[Key, int] = {}
        target = np.array([index.setdefault(key, len(index)) for s in (self, other) for key in s.strings.keys], int)
        parts = [on_host(self.coefficients), on_host(other.coefficients)]
        values = jnp.concatenate(parts) if any(is_traced(c) for c in parts) else np.concatenate(parts)
        strings = type(self.strings)(self.strings.n_sites, tuple(index))
        both = self.hermitian and other.hermitian
        return self._build(strings, sum_to(values, target, len(index)), self.hilbert, hermitian=both)

    def __radd__(self, other: Any) -> "LadderSum":
        return self if isinstance(other, int) and other == 0 else self + other

    def __neg__(self) -> "LadderSum":
        return self * -1.0

    def __sub__(self, other: Any) -> "LadderSum":
        return self + (-other)

    def __rsub__(self, other: Any) -> "LadderSum":
        return (-self) + other

    def __mul__(self, other: Any) -> "LadderSum":
        if not is_scalar(other):
            return NotImplemented
        both = self.hermitian and not jnp.iscomplexobj(other)
        values = on_host(self.coefficients) * stack([other])[0]
        return self._build(self.strings, values, self.hilbert, hermitian=both)

    def __rmul__(self, other: Any) -> "LadderSum":
        return self * other

    def __truediv__(self, other: Any) -> "LadderSum":
        if not is_scalar(other):
            return NotImplemented
        return self * (1 / stack([other])[0])

    def __repr__(self) -> str:
        strings, values = self.strings, self.coefficients
        count, kind = len(strings), type(self).__name__
        head = f"{strings.n_sites} modes, {count} term{'s' * (count != 1)}"
        words = [strings.name(key, strings.n_sites) or "1" for key in strings.keys[:_SHOWN]]
        more = " + ..." if count > _SHOWN else ""
        if not isinstance(values, (np.ndarray, jax.Array)) or is_traced(values):
            return f"{kind}({head}: {', '.join(words)}{more})"
        if values.ndim != 1 or not count:
            return f"{kind}({head})"
        text = " ".join(_signed(v, f"[{word}]") for v, word in zip(values.tolist(), words)) + more
        return f"{kind}({head}: {text.removeprefix('+ ')})"


def check_finite(strings: LadderStrings, coefficients: np.ndarray) -> None:
    """Raise `DataError` with the terms whose coefficient is NaN or infinite."""
    broken = np.flatnonzero(~np.isfinite(coefficients))[:_SHOWN]
    if len(broken):
        wrong = ", ".join(repr(strings.name(strings.keys[k], strings.n_sites)) for k in broken)
        raise DataError(
            "A coefficient is not finite.", got=wrong, expected="finite numbers", try_="check the data it came from"
        )


def check_totals(strings: LadderStrings, coefficients: np.ndarray | None, hilbert: AbstractHilbert) -> None:
    """Raise `SpaceError` with the terms that lead out of a constrained space; unknown coefficients count."""
    if not hilbert.is_constrained:
        return
    present = range(len(strings)) if coefficients is None else np.flatnonzero(coefficients).tolist()
    bad = [k for k in present if strings.leaves(strings.keys[k], hilbert)]
    if bad:
        names = ", ".join(repr(strings.name(strings.keys[k], strings.n_sites)) for k in bad[:_SHOWN])
        raise SpaceError(
            "The operator leaves a constrained space.",
            got=f"terms {names}{', ...' if len(bad) > _SHOWN else ''}",
            expected=f"terms that keep every total of {hilbert}",
            try_="a space without that total, or terms that conserve it",
        )


def _is_hermitian(strings: LadderStrings, values: np.ndarray) -> bool:
    """Whether each coefficient is the conjugate of that of the conjugate string."""
    partner = np.append(values, 0)[strings.partners]  # position -1 is the zero at the end
    return bool(np.all(np.abs(partner - values.conj()) <= _ROUNDING * np.max(np.abs(values), initial=0)))


def _signed(value: float | complex, word: str) -> str:
    if isinstance(value, complex):
        return f"+ {value:.6g} {word}"
    return f"{'-' if value < 0 else '+'} {abs(value):.6g} {word}"


def ladder_terms(terms: Any, what: str) -> Mapping[str, Any]:
    """The argument of a constructor, checked to be a mapping.

    Raises:
        ShapeError: it is not.
    """
    if isinstance(terms, Mapping):
        return terms
    raise ShapeError(
        f"The terms of a {what} are a mapping from strings to coefficients.",
        got=repr(terms),
        expected='a dict such as {"0^ 1": -1.0, "1^ 0": -1.0}',
        try_=f"{what}.from_terms for a list of pairs",
    )
