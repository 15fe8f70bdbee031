"""Operators on products of spaces: spins with fermions (Kondo), fermions with bosons (Holstein), and the like."""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import SpaceError
from qml._core.types import Array, Configurations, Inexact, Int
from qml.hilbert import AbstractHilbert, Product
from qml.operator.base import AbstractOperator, rows_of, table
from qml.operator.coefficients import coefficient_dtype, is_scalar, is_traced, on_host, stack
from qml.operator.fermion import FermionStrings, FermionSum
from qml.operator.ladder import LadderSum
from qml.operator.local_map import TableMap
from qml.operator.occupation import configurations
from qml.operator.pauli import PauliSum

_ROUNDING = 1e-12
Factors = tuple[AbstractOperator | None, ...]  # one for each part; None is the identity


@final
class TensorSum(AbstractOperator):
    r"""A sum $\sum_t c_t\, A_t^{(1)} \otimes A_t^{(2)} \otimes \cdots$ of products of operators on parts of a space.

    `embed` makes one with a single factor; `@` multiplies, and everything else follows. The space is the product, or
    one with joint totals or a predicate, `Constrained(product, ...)`, on which the sum must stay.

    Example:
        >>> from qml.hilbert import Boson, SpinlessFermion
        >>> from qml.operator import BosonSum, FermionSum, embed
        >>> electron, phonon = SpinlessFermion(2, n_fermions=1), Boson(1, n_max=3)
        >>> space = electron * phonon
        >>> displacement = embed(BosonSum({"0": 1.0, "0^": 1.0}, phonon), space, 1)
        >>> h = embed(FermionSum({"0^ 1": -1.0, "1^ 0": -1.0}, electron), space, 0)
        >>> h = h + 0.5 * embed(FermionSum({"n0": 1.0}, electron), space, 0) @ displacement
        >>> h
        TensorSum(2 parts, 2 terms)
        >>> h.is_hermitian, h.to_dense().shape
        (True, (8, 8))
    """

    coefficients: Inexact[Array, " terms"]
    terms: tuple[Factors, ...]
    hilbert: AbstractHilbert = eqx.field(static=True)
    hermitian: bool = eqx.field(static=True)

    __array_ufunc__ = None  # numpy scalars leave products with operators to the operator

    @property
    def dtype(self) -> np.dtype:
        """Real if all coefficients and factors are."""
        return np.result_type(self.coefficients.dtype, *(f.dtype for term in self.terms for f in term if f is not None))

    @property
    def is_hermitian(self) -> bool:
        """True if the sum is known to be: compared string by string, or because all factors are Hermitian."""
        return self.hermitian

    def diagonal(self, x: Configurations) -> Inexact[Array, "..."]:
        """Diagonal elements of `x[..., sites]`."""
        return _diagonal(self, rows_of(self, x))

    def connected(self, x: Configurations) -> tuple[Int[Array, "... groups sites"], Inexact[Array, "... groups"]]:
        """Off-diagonal neighbours: of each term, all ways in which its parts move or stay, but all staying."""
        return _connected(self, rows_of(self, x))

    def bound(self) -> tuple[float, float]:
        """Centre 0 and the sum of the products of the bounds of all factors."""
        values = np.abs(np.asarray(self.coefficients))
        norms = [math.prod(_norm(f) for f in term if f is not None) for term in self.terms]
        return 0.0, float(np.sum(values * np.array(norms)))

    def linear_map(self) -> Any:
        """The product with a vector: factor by factor on a product of spaces, from all elements on a part of it."""
        if self.hilbert != product_below(self.hilbert):
            return TableMap(*table(self))
        maps = tuple(tuple(None if f is None else f.linear_map() for f in term) for term in self.terms)
        sizes = tuple(space.size for space in product_below(self.hilbert).spaces)
        return TensorMap(self.coefficients, maps, sizes)

    def check_space(self, hilbert: AbstractHilbert) -> None:
        """Raise where the sum does not act on a space, or leads out of it.

        Elements are worked out on all configurations of a space with joint totals or a predicate (on some at random
        where they cannot be listed).

        Raises:
            SpaceError: the space is no product of these parts, or is left.
        """
        if product_below(hilbert).spaces != product_below(self.hilbert).spaces:
            raise SpaceError(
                "The operator acts on another product of spaces.",
                got=f"{self.hilbert}",
                expected=f"{hilbert}",
                try_="embed the factors in the same product",
            )
        if self.hilbert == hilbert or hilbert == product_below(hilbert):
            return
        if any(is_traced(a) for a in jax.tree.leaves(self)):
            raise SpaceError(
                "Whether a sum with traced coefficients keeps a constrained space is not known.",
                got=f"{hilbert}",
                expected="known coefficients",
                try_="operator.on(hilbert) before tracing, then c * operator",
            )
        scale = _ROUNDING * max(self.bound()[1], 1.0)
        if any(_leak(self, hilbert, x) > scale for x in configurations(hilbert)):
            raise SpaceError(
                "The operator leaves a constrained space.",
                got=repr(self),
                expected=f"terms that keep {hilbert}",
                try_="the product without the constraint",
            )

    def on(self, hilbert: AbstractHilbert) -> "TensorSum":
        """The same sum on the product with joint totals or a predicate, or without.

        Raises:
            SpaceError: the space is no product of these parts, or is left.
        """
        self.check_space(hilbert)
        return TensorSum(coefficients=self.coefficients, terms=self.terms, hilbert=hilbert, hermitian=self.hermitian)

    def adjoint(self) -> "TensorSum":
        """The Hermitian conjugate."""
        terms = tuple(tuple(None if f is None else f.adjoint() for f in term) for term in self.terms)  # type: ignore[attr-defined]
        return _build(on_host(self.coefficients).conj(), terms, self.hilbert, self.hermitian)

    def __matmul__(self, other: "TensorSum") -> "TensorSum":
        if not isinstance(other, TensorSum):
            return NotImplemented
        self._check_same_space(other)
        pairs = list(itertools.product(range(len(self.terms)), range(len(other.terms))))
        terms = tuple(
            tuple(b if a is None else a if b is None else a @ b for a, b in zip(self.terms[i], other.terms[j]))  # type: ignore[operator]
            for i, j in pairs
        )
        left, right = (np.array(side, int) for side in (zip(*pairs) if pairs else ((), ())))
        return _build(on_host(self.coefficients)[left] * on_host(other.coefficients)[right], terms, self.hilbert, False)

    def _check_same_space(self, other: "TensorSum") -> None:
        if self.hilbert != other.hilbert:
            raise SpaceError(
                "The operators act on different spaces.",
                got=f"{self.hilbert} and {other.hilbert}",
                expected="one space",
                try_="embed both in the same product",
            )

    def __add__(self, other: Any) -> "TensorSum":
        if is_scalar(other):
            none = (None,) * len(product_below(self.hilbert).spaces)
            other = _build(stack([other]), (none,), self.hilbert, not jnp.iscomplexobj(other))
        if not isinstance(other, TensorSum):
            return NotImplemented
        self._check_same_space(other)
        parts = [on_host(self.coefficients), on_host(other.coefficients)]
        values = jnp.concatenate(parts) if any(is_traced(c) for c in parts) else np.concatenate(parts)
        return _build(values, self.terms + other.terms, self.hilbert, self.hermitian and other.hermitian)

    def __radd__(self, other: Any) -> "TensorSum":
        return self if isinstance(other, int) and other == 0 else self + other

    def __neg__(self) -> "TensorSum":
        return self * -1.0

    def __sub__(self, other: Any) -> "TensorSum":
        return self + (-other)

    def __rsub__(self, other: Any) -> "TensorSum":
        return (-self) + other

    def __mul__(self, other: Any) -> "TensorSum":
        if not is_scalar(other):
            return NotImplemented
        both = self.hermitian and not jnp.iscomplexobj(other)
        return _build(on_host(self.coefficients) * stack([other])[0], self.terms, self.hilbert, both)

    def __rmul__(self, other: Any) -> "TensorSum":
        return self * other

    def __truediv__(self, other: Any) -> "TensorSum":
        return self * (1 / stack([other])[0]) if is_scalar(other) else NotImplemented

    def __repr__(self) -> str:
        parts, count = len(product_below(self.hilbert).spaces), len(self.terms)
        return f"TensorSum({parts} parts, {count} term{'s' * (count != 1)})"


@final
class TensorMap(eqx.Module):
    """A sum of products of maps on the axes of a tensor."""

    coefficients: Inexact[Array, " terms"]
    maps: tuple[tuple[Any, ...], ...]
    sizes: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, vector: Array) -> Array:
        """The product, `[size] -> [size]`."""
        out: Any = jnp.zeros_like(vector)
        for k, term in enumerate(self.maps):
            part = vector.reshape(self.sizes)
            for axis, one in enumerate(term):
                if one is not None:
                    rows = jnp.moveaxis(part, axis, -1)
                    rows = jax.vmap(one)(rows.reshape(-1, rows.shape[-1])).reshape(rows.shape)
                    part = jnp.moveaxis(rows, -1, axis)
            out = out + self.coefficients[k] * part.reshape(-1)
        return out


def embed(operator: AbstractOperator, space: AbstractHilbert, part: int) -> TensorSum | FermionSum:
    r"""An operator on one factor of a product of spaces as an operator on the product.

    Operators on different parts are multiplied with `@`. Fermion modes of different factors anticommute. So in a
    product of fermions alone the result is a `FermionSum` with shifted modes, and where other kinds join, a sum with
    strings of odd length cannot be embedded beside another factor of fermions.

    Args:
        operator: a sum on the space of the factor (its totals may be left out).
        space: the product, or one with joint totals or a predicate on it.
        part: which factor.

    Raises:
        SpaceError: no such part, an operator of another space or one that leaves the space.

    Example:
        >>> from qml.hilbert import Spin, SpinfulFermion
        >>> from qml.operator import FermionSum, PauliSum, embed
        >>> spin, electron = Spin(1), SpinfulFermion(1, n_fermions=1)
        >>> space = spin * electron
        >>> flip = embed(PauliSum({"X": 0.5, "Y": 0.5j}, spin), space, 0)  # S^+
        >>> lower = embed(FermionSum({"1^ 0": 1.0}, electron), space, 1)  # c_down^+ c_up
        >>> kondo = flip @ lower
        >>> (kondo + kondo.adjoint()).is_hermitian
        True
    """
    product = product_below(space)
    if not 0 <= part < len(product.spaces):
        raise SpaceError(
            "There is no such part.", got=part, expected=f"0 ... {len(product.spaces) - 1}", try_="another part"
        )
    operator = operator.on(product.spaces[part])
    if isinstance(operator, FermionSum) and all(product.fermionic_modes):
        below = product.n_sites - product.offsets[part] - operator.hilbert.n_sites
        keys = tuple((a << below, b << below) for a, b in operator.strings.keys)
        strings = FermionStrings(product.n_sites, keys)
        return FermionSum._build(strings, operator.coefficients, space, check=True, hermitian=operator.hermitian)  # type: ignore[return-value]
    others = any(any(s.fermionic_modes) for k, s in enumerate(product.spaces) if k != part)
    if isinstance(operator, FermionSum) and others and any(operator.strings.gain(k) % 2 for k in operator.strings.keys):
        raise SpaceError(
            "Strings of odd length anticommute with the other fermions, so they are no operators on one factor.",
            got=repr(operator),
            expected="strings with an even number of operators",
            try_="all fermions in one factor",
        )
    factors = tuple(operator if k == part else None for k in range(len(product.spaces)))
    made = _build(np.ones(1, coefficient_dtype(np.ones(1))), (factors,), product, operator.is_hermitian)
    return made.on(space)


def product_below(hilbert: AbstractHilbert) -> Product:
    """The product of spaces that a space is, or that lies below its totals and predicates.

    Raises:
        SpaceError: there is none.
    """
    below: Any = hilbert
    while not isinstance(below, Product):
        below = getattr(below, "space", None)
        if below is None:
            raise SpaceError(
                "The space is no product.", got=hilbert, expected="a Product", try_="Spin(2) * Boson(2, 3)"
            )
    return below


def _build(coefficients: Any, terms: tuple[Factors, ...], hilbert: AbstractHilbert, hermitian: bool) -> TensorSum:
    """A sum from its parts; `hermitian` says that it is known to be so, else it is looked at."""
    coefficients = jnp.asarray(coefficients, dtype=coefficient_dtype(coefficients))
    new = TensorSum(coefficients=coefficients, terms=terms, hilbert=hilbert, hermitian=hermitian)
    if hermitian or any(is_traced(a) for a in jax.tree.leaves(new)):
        return new
    return TensorSum(coefficients=coefficients, terms=terms, hilbert=hilbert, hermitian=_is_hermitian(new))


def _is_hermitian(operator: TensorSum) -> bool:
    """Whether the sum is its conjugate, string by string; where a factor has no strings, whether all factors are."""
    values = np.asarray(operator.coefficients)
    if not all(f is None or isinstance(f, PauliSum | LadderSum) for term in operator.terms for f in term):
        good = all(f is None or f.is_hermitian for term in operator.terms for f in term)
        return good and not np.any(np.imag(values))
    found: dict[tuple[str, ...], complex] = {}
    for sign, conjugate in ((1, False), (-1, True)):
        for value, term in zip(values, operator.terms):
            factors = [[("", 1.0)] if f is None else (f.adjoint() if conjugate else f).terms.items() for f in term]  # type: ignore[attr-defined]
            for words in itertools.product(*factors):
                key = tuple(word if set(word) - {"I"} else "" for word, _ in words)
                weight = math.prod((v for _, v in words), start=value.conj() if conjugate else value)
                found[key] = found.get(key, 0) + sign * weight
    scale = max((abs(v) for v in values), default=0.0)
    return all(abs(v) <= _ROUNDING * scale for v in found.values())


def _norm(factor: AbstractOperator) -> float:
    if isinstance(factor, PauliSum):
        return float(np.sum(np.abs(np.asarray(factor.coefficients))))
    centre, radius = factor.bound()
    return abs(centre) + radius


def _parts(operator: TensorSum, x: Array) -> list[Array]:
    """Configurations split into those of the parts."""
    product = product_below(operator.hilbert)
    return [x[..., a : a + s.n_sites] for a, s in zip(product.offsets, product.spaces)]


def _stays(factor: AbstractOperator) -> bool:
    """False where a factor is known to have no diagonal."""
    layout = getattr(getattr(factor, "strings", None), "layout", None)
    return layout is None or len(layout.diagonal) > 0


@jax.jit
def _diagonal(operator: TensorSum, x: Array) -> Array:
    parts, total = _parts(operator, x), jnp.zeros(x.shape[:-1], operator.dtype)
    for k, term in enumerate(operator.terms):
        if all(f is None or _stays(f) for f in term):
            values = [f.diagonal(part) for f, part in zip(term, parts) if f is not None]
            one = jnp.ones(x.shape[:-1], operator.dtype)
            total = total + functools.reduce(jnp.multiply, values, one) * operator.coefficients[k]
    return total


@jax.jit
def _connected(operator: TensorSum, x: Array) -> tuple[Array, Array]:
    neighbours, found = [x[..., None, :][..., :0, :]], [jnp.zeros((*x.shape[:-1], 0), operator.dtype)]
    for k, term in enumerate(operator.terms):
        rows, elements = _moves(operator, term, x)
        neighbours.append(rows)
        found.append(elements * operator.coefficients[k])
    return jnp.concatenate(neighbours, axis=-2), jnp.concatenate(found, axis=-1)


def _moves(operator: TensorSum, term: Sequence[AbstractOperator | None], x: Array) -> tuple[Array, Array]:
    """Off-diagonal neighbours of one term: the choices of its parts, those where all stay left out."""
    parts, lead = _parts(operator, x), x.shape[:-1]
    rows: list[tuple[list[Array], Array]] = [([], jnp.ones(lead, operator.dtype)[..., None])]
    moved = [False]
    for factor, part in zip(term, parts):
        choices: list[tuple[Array, Array, bool]] = []
        if factor is None:
            choices.append((part[..., None, :], jnp.ones((*lead, 1), operator.dtype), False))
        else:
            if _stays(factor):
                choices.append((part[..., None, :], factor.diagonal(part)[..., None], False))
            there, elements = factor.connected(part)
            choices.append((there, elements, True))
        new, flags = [], []
        for (pieces, weight), before in zip(rows, moved):
            for there, elements, moves in choices:
                old, fresh = weight.shape[-1], elements.shape[-1]
                spread = [jnp.repeat(piece, fresh, axis=-2) for piece in pieces]
                tiled = jnp.tile(there, (1,) * len(lead) + (old, 1))
                product = (weight[..., :, None] * elements[..., None, :]).reshape(*lead, old * fresh)
                new.append(([*spread, tiled], product))
                flags.append(before or moves)
        rows, moved = new, flags
    kept = [row for row, moves in zip(rows, moved) if moves]
    if not kept:
        return x[..., None, :][..., :0, :], jnp.zeros((*lead, 0), operator.dtype)
    together = [jnp.concatenate(pieces, axis=-1) for pieces, _ in kept]
    return jnp.concatenate(together, axis=-2), jnp.concatenate([w for _, w in kept], axis=-1)


def _leak(operator: TensorSum, hilbert: AbstractHilbert, x: Array) -> float:
    """Largest element from configurations of a space to one outside, those of all terms added up."""
    import scipy.sparse

    neighbours, elements = operator.connected(x)
    product = product_below(hilbert)
    columns = np.asarray(product.states_to_indices(neighbours)).ravel()
    outside = np.where(np.asarray(hilbert.contains(neighbours)), 0, np.asarray(elements)).ravel()
    rows = np.repeat(np.arange(len(x)), elements.shape[-1])
    found = scipy.sparse.coo_array((outside, (rows, columns)), shape=(len(x), product.size)).tocsr()
    return float(np.max(np.abs(found.data), initial=0.0))
