"""Sums of dense matrices on a few sites each, for sites with any number of local states."""

from collections.abc import Iterable, Sequence
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import SpaceError
from qml._core.types import Array, Configurations, Inexact, Int
from qml.hilbert import AbstractHilbert
from qml.operator.base import AbstractOperator, checked_sites, rows_of
from qml.operator.coefficients import is_scalar, is_traced, on_host, stack
from qml.operator.conserve import check_predicate
from qml.operator.local_map import local_map
from qml.operator.local_slots import Places, check_totals, slots_of
from qml.operator.local_terms import Term, checked_term, is_hermitian, merge_terms, negative, product, sort_sites


@final
class LocalOperator(AbstractOperator):
    r"""A sum $\sum_t c_t M_t$ of matrices on a few sites, whatever the number of local states.

    The places and the pattern of zeros are static, the matrix elements are traced. Matrices on the same sites are
    added up, and elements of different matrices that lead to the same neighbour share one slot. Build it with
    `from_terms`.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.operator import LocalOperator, spin_matrices
        >>> raising = spin_matrices(1)["X"] + 1j * spin_matrices(1)["Y"]
        >>> LocalOperator.from_terms([(raising, (0,), 0.5)], Spin(1, s=1)).is_hermitian
        False
    """

    blocks: tuple[Inexact[Array, "_ _ _"], ...]  # terms, rows, rows of each
    places: tuple[Places, ...] = eqx.field(static=True)
    hilbert: AbstractHilbert = eqx.field(static=True)
    hermitian: bool = eqx.field(static=True)

    __array_ufunc__ = None  # numpy scalars leave products with operators to the operator

    @staticmethod
    def from_terms(terms: Iterable[tuple[Any, Sequence[int], Any]], hilbert: AbstractHilbert) -> "LocalOperator":
        r"""A sum of local matrices.

        Args:
            terms: triples (matrix, sites, coefficient). On k sites with d local states the matrix is `[d^k, d^k]`,
                rows in Kronecker order of the sites as given, local states in basis order (of spins from up to down);
                it is known, the coefficient may be traced.
            hilbert: the space.

        Raises:
            ShapeError: a matrix of the wrong shape.
            SpaceError: a site that does not exist, or a matrix that leaves a constrained space.
            DataError: an element is NaN or infinite.

        Example:
            >>> import numpy as np
            >>> from qml.hilbert import Spin
            >>> from qml.operator import LocalOperator, spin_matrices
            >>> z = spin_matrices(1)["Z"]
            >>> LocalOperator.from_terms([(np.kron(z, z), (0, 1), 2.0)], Spin(2, s=1)).to_dense()[0, 0].item()
            2.0
        """
        made = []
        for matrix, sites, coefficient in terms:
            matrix, sites = checked_term(np.asarray(matrix), tuple(int(i) for i in sites), hilbert)
            scale = stack([coefficient])[0]
            real = not np.issubdtype(scale.dtype, np.complexfloating)
            present, hermitian = matrix != 0, real and is_hermitian(matrix)
            made.append(sort_sites(Term(sites, scale * matrix, present, hermitian), hilbert))
        return assemble(made, hilbert, check=True)

    @property
    def dtype(self) -> np.dtype:
        """Real if all matrix elements are."""
        return np.result_type(np.float32, *(b.dtype for b in self.blocks))

    @property
    def is_hermitian(self) -> bool:
        """True if the sum of the matrices on each set of sites is Hermitian to rounding.

        While elements are traced: True if it was before, or if all matrices are Hermitian and coefficients real.
        """
        return self.hermitian

    def terms(self) -> list[Term]:
        """The matrix on each set of sites, coefficients included."""
        found = []
        for block, place in zip(self.blocks, self.places):
            present = np.eye(len(place.pattern), dtype=bool)
            for row, columns in enumerate(place.pattern):
                present[row, list(columns)] = True
            values = on_host(block)
            found += [Term(s, values[t], present, self.hermitian) for t, s in enumerate(place.sites)]
        return found

    def diagonal(self, x: Configurations) -> Inexact[Array, "..."]:
        """Diagonal elements of `x[..., sites]`."""
        return _diagonal(self, rows_of(self, x))

    def connected(self, x: Configurations) -> tuple[Int[Array, "... groups sites"], Inexact[Array, "... groups"]]:
        """Off-diagonal neighbours, each in one slot; where a slot has no neighbour it is `x` with element zero."""
        return _connected(self, rows_of(self, x))

    def linear_map(self) -> Any:
        """The product with a vector, without a list of all matrix elements where that would be large."""
        return local_map(self)

    def bound(self) -> tuple[float, float]:
        """Centre and radius from the extreme eigenvalues of all matrices (from their norms if not Hermitian)."""
        centre = radius = 0.0
        for term in self.terms():
            if is_hermitian(term.matrix):
                levels = np.linalg.eigvalsh(term.matrix)
                centre, radius = centre + (levels[0] + levels[-1]) / 2, radius + (levels[-1] - levels[0]) / 2
            else:
                radius += np.linalg.norm(term.matrix, ord=2)
        return float(centre), float(radius)

    def check_space(self, hilbert: AbstractHilbert) -> None:
        """Raise where a matrix does not fit the space, or changes one of its totals.

        Each matrix is checked by itself: parts of different matrices that would cancel are refused. A predicate is
        tried on all configurations, or on some at random where they cannot be listed.

        Raises:
            SpaceError: with the sites of a matrix that leaves the space.
        """
        if hilbert.site_states != self.hilbert.site_states:
            raise SpaceError(
                "The operator acts on another space.",
                got=f"{self.hilbert}",
                expected=f"{hilbert}",
                try_="build the operator on the same space",
            )
        check_totals(self.places, hilbert)
        check_predicate(self, hilbert)

    def _untraced(self) -> "LocalOperator":
        """The same pattern with known elements, if these are traced."""
        if not any(is_traced(b) for b in self.blocks):
            return self
        terms = [
            t._replace(matrix=np.sqrt(2.0 + np.arange(t.present.size)).reshape(t.present.shape) * t.present)
            for t in self.terms()
        ]
        return assemble(terms, self.hilbert)

    def on(self, hilbert: AbstractHilbert) -> "LocalOperator":
        """The same operator on another space of the same sites.

        Raises:
            SpaceError: a matrix leaves the space.
        """
        self.check_space(hilbert)
        return LocalOperator(blocks=self.blocks, places=self.places, hilbert=hilbert, hermitian=self.hermitian)

    def on_sites(self, hilbert: AbstractHilbert, sites: Sequence[int]) -> "LocalOperator":
        """The same operator on some sites of a larger space, times the identity on the others.

        Args:
            hilbert: the larger space.
            sites: the site in it of each site of this operator.

        Raises:
            SpaceError: sites that do not exist, come twice or have other local states, or an operator that leaves it.
        """
        sites = checked_sites(self.hilbert, hilbert, sites)
        moved = [sort_sites(t._replace(sites=tuple(sites[i] for i in t.sites)), hilbert) for t in self.terms()]
        return assemble(moved, hilbert, check=True)

    def trace(self) -> Inexact[Array, ""]:
        """The trace over this operator's space, a constrained one included."""
        if self.hilbert.is_constrained:
            return AbstractOperator.trace(self)
        size = float(self.hilbert.size)
        traces = [jnp.sum(jnp.trace(b, axis1=1, axis2=2)) * (size / b.shape[1]) for b in self.blocks]
        return jnp.asarray(sum(traces), self.dtype)

    def adjoint(self) -> "LocalOperator":
        """The Hermitian conjugate."""
        terms = [t._replace(matrix=t.matrix.conj().T, present=t.present.T) for t in self.terms()]
        return assemble(terms, self.hilbert)

    def commutator(self, other: Any) -> "LocalOperator":
        """`self @ other - other @ self`, from the pairs of matrices that share a site."""
        other = self._partner(other)
        pairs = [(a, b) for a in self.terms() for b in other.terms() if set(a.sites) & set(b.sites)]
        both = [product(a, b, self.hilbert) for a, b in pairs]
        both += [negative(product(b, a, self.hilbert)) for a, b in pairs]
        return assemble(both, self.hilbert)

    def __matmul__(self, other: Any) -> "LocalOperator":
        if not isinstance(other, AbstractOperator):
            return NotImplemented
        other = self._partner(other)
        terms = [product(a, b, self.hilbert) for a in self.terms() for b in other.terms()]
        return assemble(terms, self.hilbert)

    def __rmatmul__(self, other: Any) -> "LocalOperator":
        return self._partner(other) @ self if isinstance(other, AbstractOperator) else NotImplemented

    def __add__(self, other: Any) -> "LocalOperator":
        if is_scalar(other):
            value = stack([other])
            real = not np.issubdtype(value.dtype, np.complexfloating)
            one = Term((), value[:, None], np.ones((1, 1), bool), real)
            return assemble([*self.terms(), one], self.hilbert)
        if not isinstance(other, AbstractOperator):
            return NotImplemented
        return assemble([*self.terms(), *self._partner(other).terms()], self.hilbert)

    def __radd__(self, other: Any) -> "LocalOperator":
        return self if isinstance(other, int) and other == 0 else self + other

    def __neg__(self) -> "LocalOperator":
        return self * -1.0

    def __sub__(self, other: Any) -> "LocalOperator":
        return self + (-other)

    def __rsub__(self, other: Any) -> "LocalOperator":
        return (-self) + other

    def __mul__(self, other: Any) -> "LocalOperator":
        if not is_scalar(other):
            return NotImplemented
        factor = stack([other])[0]
        real = not np.issubdtype(factor.dtype, np.complexfloating)
        blocks = tuple(jnp.asarray(on_host(b) * factor) for b in self.blocks)
        hermitian = self.hermitian and real
        if not hermitian and not any(is_traced(b) for b in blocks):
            hermitian = all(is_hermitian(m) for b in blocks for m in np.asarray(b))
        return LocalOperator(blocks=blocks, places=self.places, hilbert=self.hilbert, hermitian=hermitian)

    def __rmul__(self, other: Any) -> "LocalOperator":
        return self * other

    def __truediv__(self, other: Any) -> "LocalOperator":
        return self * (1 / stack([other])[0]) if is_scalar(other) else NotImplemented

    def __repr__(self) -> str:
        count = sum(len(p.sites) for p in self.places)
        return f"LocalOperator({self.hilbert.n_sites} sites, {count} matrices)"

    def _partner(self, other: AbstractOperator) -> "LocalOperator":
        """Another operator of the same space as local matrices."""
        from qml.operator.algebra import as_local

        if self.hilbert != other.hilbert:
            raise SpaceError(
                "The operators act on different spaces.",
                got=f"{self.hilbert} and {other.hilbert}",
                expected="one space",
                try_="build both on the same space, or on_sites to embed one",
            )
        return as_local(other)


def spin_matrices(s: float | int) -> dict[str, np.ndarray]:
    r"""Spin matrices $S^x, S^y, S^z$ and ladder operators $S^\pm$ of one spin, from up to down.

    Args:
        s: a positive multiple of 1/2.

    Returns:
        Matrices `[2s+1, 2s+1]` under `"X"`, `"Y"`, `"Z"`, `"+"`, `"-"`.

    Example:
        >>> from qml.operator import spin_matrices
        >>> spin_matrices(0.5)["X"].tolist()
        [[0.0, 0.5], [0.5, 0.0]]
    """
    m = s - np.arange(int(2 * s) + 1)
    plus = np.diag(np.sqrt(s * (s + 1) - m[1:] * (m[1:] + 1)), k=1)
    return {"X": (plus + plus.T) / 2, "Y": (plus - plus.T) / 2j, "Z": np.diag(m), "+": plus, "-": plus.T}


def assemble(terms: Sequence[Term], hilbert: AbstractHilbert, *, check: bool = False) -> LocalOperator:
    """The sum of terms; `check` proves that it stays in a constrained space (results of algebra always do)."""
    blocks, places, hermitian = merge_terms(terms, hilbert)
    made = LocalOperator(blocks=blocks, places=places, hilbert=hilbert, hermitian=hermitian)
    if check:
        check_totals(places, hilbert)
        check_predicate(made, hilbert)
    return made


def _rows(operator: LocalOperator, sites: np.ndarray, x: Array) -> Array:
    """Number of the local configuration of each list of sites: `[..., terms]`."""
    states = operator.hilbert.site_states
    total = jnp.zeros((*x.shape[:-1], len(sites)), jnp.int32)
    wide, lead = x.astype(jnp.int32), (1,) * (x.ndim - 1)
    for column in sites.T:
        first, step, base = (
            np.array([pick(states[i]) for i in column], np.int32).reshape(*lead, -1)
            for pick in (lambda s: s[0], lambda s: s[1] - s[0] if len(s) > 1 else 1, len)
        )
        total = total * base + (wide[..., column] - first) // step
    return total


@jax.jit
def _diagonal(operator: LocalOperator, x: Array) -> Array:
    total = jnp.zeros(x.shape[:-1], operator.dtype)
    for block, place in zip(operator.blocks, operator.places):
        at = np.arange(len(place.sites))
        rows = _rows(operator, np.array(place.sites, int).reshape(len(at), -1), x)
        total = total + jnp.sum(jnp.diagonal(block, axis1=1, axis2=2)[at, rows], axis=-1)
    return total


@jax.jit
def _connected(operator: LocalOperator, x: Array) -> tuple[Array, Array]:
    lead, n = x.shape[:-1], x.shape[-1]
    slots, states = slots_of(operator.places, operator.hilbert), operator.hilbert.site_states
    neighbours = [jnp.zeros((*lead, 0, n), x.dtype)]
    for change in slots.changes:
        rows = _rows(operator, change.sites, x)  # [..., sets]
        new = jnp.broadcast_to(x[..., None, None, :], (*rows.shape, change.digits.shape[1], n))
        for q in range(change.sites.shape[1]):
            here = change.sites[:, q, None] == np.arange(n)[None, :]
            values = np.array([states[i] for i in change.sites[:, q]], x.dtype)  # [sets, local states]
            digit = jnp.asarray(change.digits[:, :, q])[rows]  # [..., sets, slots]
            value = jnp.asarray(values)[np.arange(len(values))[:, None], digit]
            new = jnp.where(here.reshape((1,) * len(lead) + (len(here), 1, n)), value[..., None], new)
        neighbours.append(new.reshape(*lead, -1, n))
    parts = []
    for part in slots.contributions:
        block, place = operator.blocks[part.block], operator.places[part.block]
        rows = _rows(operator, np.array([place.sites[t] for t in part.terms]), x)  # [..., terms]
        columns = jnp.asarray(part.columns)[rows]  # [..., terms, slots]
        value = block[part.terms[:, None], rows[..., None], columns]
        parts.append(jnp.where(columns >= 0, value, 0).astype(operator.dtype).reshape(*lead, -1))
    values = jnp.concatenate([*parts, jnp.zeros((*lead, 1), operator.dtype)], axis=-1)
    total = jnp.zeros((*lead, slots.count), operator.dtype)
    for sources in slots.rounds:
        total = total + values[..., sources]
    return jnp.concatenate(neighbours, axis=-2), total
