"""Sums of dense matrices on a few sites each, for spins of any size."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError, SpaceError
from qml._core.types import Array, Configurations, Inexact, Int
from qml.hilbert import AbstractHilbert
from qml.operator.base import AbstractOperator, rows_of, table
from qml.operator.coefficients import coefficient_dtype, is_traced, stack

_ROUNDING = 1e-12


@final
@dataclass(frozen=True)
class Places:
    """Where matrices of one shape act: the sites of each, and the off-diagonal columns that their rows may reach."""

    sites: tuple[tuple[int, ...], ...]
    columns: tuple[tuple[int, ...], ...]  # [rows][slots]; the row itself fills up


@final
class LocalOperator(AbstractOperator):
    r"""A sum $\sum_t c_t M_t$ of matrices on a few sites, on spins of any size.

    The places and the pattern of zeros are static, the matrix elements are traced. Build it with `from_terms`.
    """

    diagonals: tuple[Inexact[Array, "_ _"], ...]  # terms, rows of each block
    elements: tuple[Inexact[Array, "_ _ _"], ...]  # terms, rows, slots of each block
    places: tuple[Places, ...] = eqx.field(static=True)
    hilbert: AbstractHilbert = eqx.field(static=True)

    @staticmethod
    def from_terms(terms: Iterable[tuple[Any, Sequence[int], Any]], hilbert: AbstractHilbert) -> "LocalOperator":
        r"""A sum of local matrices.

        Args:
            terms: triples (matrix, sites, coefficient). On k sites with d local states the matrix is `[d^k, d^k]`,
                rows in Kronecker order of the sites as given, local states from up to down; it is known, the
                coefficient may be traced.
            hilbert: the space.

        Raises:
            ShapeError: a matrix of the wrong shape.
            SpaceError: a site that does not exist, or a matrix that leaves a constrained space.

        Example:
            >>> import numpy as np
            >>> from qml.hilbert import Spin
            >>> from qml.operator import LocalOperator, spin_matrices
            >>> z = spin_matrices(1)["Z"]
            >>> LocalOperator.from_terms([(np.kron(z, z), (0, 1), 2.0)], Spin(2, s=1)).to_dense()[0, 0].item()
            2.0
        """
        groups: dict[tuple, list] = {}
        for matrix, sites, coefficient in terms:
            matrix, sites = _checked(np.asarray(matrix), tuple(int(i) for i in sites), hilbert)
            groups.setdefault((len(sites), _columns(matrix)), []).append((matrix, sites, coefficient))
        diagonals, elements, places = [], [], []
        for (_, columns), members in groups.items():
            matrices = np.stack([m for m, _, _ in members])
            scale = jnp.asarray(stack(c for _, _, c in members))
            rows = np.arange(matrices.shape[1])
            picked = matrices[:, rows[:, None], np.array(columns, dtype=int).reshape(len(rows), -1)]
            picked = np.where(np.array(columns, dtype=int).reshape(len(rows), -1) == rows[:, None], 0, picked)
            dtype = np.result_type(coefficient_dtype(matrices), scale.dtype)
            diagonals.append((scale[:, None] * matrices[:, rows, rows]).astype(dtype))
            elements.append((scale[:, None, None] * picked).astype(dtype))
            places.append(Places(tuple(s for _, s, _ in members), columns))
        return _build(diagonals, elements, places, hilbert)

    @property
    def dtype(self) -> np.dtype:
        """Real if all matrix elements are."""
        return np.result_type(np.float32, *(d.dtype for d in self.diagonals), *(e.dtype for e in self.elements))

    @property
    def is_hermitian(self) -> bool:
        """True if the sum of the matrices on each set of sites is; False for traced elements, which nobody knows."""
        if any(is_traced(a) for a in (*self.diagonals, *self.elements)):
            return False
        return all(
            np.allclose(m, m.conj().T, rtol=0, atol=_ROUNDING * np.max(np.abs(m))) for m in self._matrices().values()
        )

    def _matrices(self) -> dict[tuple[int, ...], np.ndarray]:
        """The sum of all matrices on each set of sites, coefficients included, sites in order."""
        found: dict[tuple[int, ...], np.ndarray] = {}
        base = len(self.hilbert.local_states)
        for diagonals, elements, places in zip(self.diagonals, self.elements, self.places):
            columns = np.array(places.columns, dtype=int).reshape(diagonals.shape[1], -1)
            for sites, diagonal, row_elements in zip(places.sites, np.asarray(diagonals), np.asarray(elements)):
                matrix = np.diag(diagonal).astype(self.dtype)
                np.add.at(matrix, (np.arange(len(matrix))[:, None], columns), row_elements)
                order, k = np.argsort(sites), len(sites)
                tensor = matrix.reshape((base,) * (2 * k)).transpose(*order, *(order + k))
                key = tuple(sorted(sites))
                found[key] = found.get(key, 0) + tensor.reshape(matrix.shape)
        return found

    def diagonal(self, x: Configurations) -> Inexact[Array, "..."]:
        """Diagonal elements of `x[..., sites]`."""
        return _diagonal(self, rows_of(self, x))

    def connected(self, x: Configurations) -> tuple[Int[Array, "... groups sites"], Inexact[Array, "... groups"]]:
        """Off-diagonal neighbours, one slot for each term and column that some row of its matrix reaches."""
        return _connected(self, rows_of(self, x))

    def linear_map(self) -> Any:
        """The product with a vector, from the list of all matrix elements."""
        return TableMap(*table(self))

    def bound(self) -> tuple[float, float]:
        """Centre 0 and the sum of the norms of all matrices."""
        return 0.0, float(sum(np.linalg.norm(m, ord=2) for m in self._matrices().values()))

    def check_space(self, hilbert: AbstractHilbert) -> None:
        """Raise where a matrix does not fit the space, or takes it to another magnetisation.

        Each matrix is checked by itself: parts of different matrices that would cancel are refused.

        Raises:
            SpaceError: with the sites of a matrix that leaves the space.
        """
        if (hilbert.n_sites, hilbert.local_states) != (self.hilbert.n_sites, self.hilbert.local_states):
            raise SpaceError(
                "The operator acts on another space.",
                got=f"{self.hilbert}",
                expected=f"{hilbert}",
                try_="build the operator on the same space",
            )
        _check_leaving(self.places, hilbert)

    def on(self, hilbert: AbstractHilbert) -> "LocalOperator":
        """The same operator on another space of the same sites.

        Raises:
            SpaceError: a matrix leaves the space.
        """
        self.check_space(hilbert)
        return _build(self.diagonals, self.elements, self.places, hilbert)

    def adjoint(self) -> "LocalOperator":
        """The Hermitian conjugate, for known elements."""
        terms = [(matrix.conj().T, sites, 1.0) for sites, matrix in self._matrices().items()]
        return LocalOperator.from_terms(terms, self.hilbert)

    def __add__(self, other: "LocalOperator") -> "LocalOperator":
        if not isinstance(other, LocalOperator):
            return NotImplemented
        if self.hilbert != other.hilbert:
            raise SpaceError(
                "The operators act on different spaces.",
                got=f"{self.hilbert} and {other.hilbert}",
                expected="one space",
                try_="build both on the same space",
            )
        diagonals, elements = self.diagonals + other.diagonals, self.elements + other.elements
        return _build(diagonals, elements, self.places + other.places, self.hilbert)

    def __neg__(self) -> "LocalOperator":
        return self * -1.0

    def __sub__(self, other: "LocalOperator") -> "LocalOperator":
        return self + (-other)

    def __mul__(self, scalar: Any) -> "LocalOperator":
        factor = stack([scalar])[0]
        diagonals, elements = ([a * factor for a in part] for part in (self.diagonals, self.elements))
        return _build(diagonals, elements, self.places, self.hilbert)

    def __rmul__(self, scalar: Any) -> "LocalOperator":
        return self * scalar

    def __truediv__(self, scalar: Any) -> "LocalOperator":
        return self * (1 / stack([scalar])[0])

    def __repr__(self) -> str:
        count = sum(len(p.sites) for p in self.places)
        return f"LocalOperator({self.hilbert.n_sites} sites, {count} matrices)"


@final
class TableMap(eqx.Module):
    """All matrix elements of an operator, ready for products."""

    columns: Int[Array, "size groups"]
    elements: Inexact[Array, "size groups"]
    diagonal: Inexact[Array, " size"]

    def __call__(self, vector: Array) -> Array:
        """The product, `[size] -> [size]`."""
        return self.diagonal * vector + jnp.sum(self.elements * vector[self.columns], axis=-1)


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


def _build(diagonals: Any, elements: Any, places: Any, hilbert: AbstractHilbert) -> LocalOperator:
    _check_leaving(places, hilbert)
    return LocalOperator(diagonals=tuple(diagonals), elements=tuple(elements), places=tuple(places), hilbert=hilbert)


def _checked(
    matrix: np.ndarray, sites: tuple[int, ...], hilbert: AbstractHilbert
) -> tuple[np.ndarray, tuple[int, ...]]:
    side = len(hilbert.local_states) ** len(sites)
    if matrix.shape != (side, side):
        raise ShapeError(
            "A local matrix has the wrong shape.",
            got=f"shape {matrix.shape} on {len(sites)} sites",
            expected=f"({side}, {side})",
            try_="numpy.kron of one matrix for each site",
        )
    if not sites or len(set(sites)) != len(sites) or any(not 0 <= i < hilbert.n_sites for i in sites):
        raise SpaceError(
            "A local matrix acts on a site that does not exist, or twice on one site.",
            got=f"sites {sites}",
            expected=f"distinct sites in 0 ... {hilbert.n_sites - 1}",
            try_="distinct sites",
        )
    return matrix, sites


def _columns(matrix: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Off-diagonal columns of each row with an element, as many for each row."""
    reached = [[c for c in np.flatnonzero(row) if c != r] for r, row in enumerate(matrix)]
    most = max(len(row) for row in reached)
    return tuple((*(int(c) for c in row), *[r] * (most - len(row))) for r, row in enumerate(reached))


def _check_leaving(places: Iterable[Places], hilbert: AbstractHilbert) -> None:
    """Raise if an element changes the sum of the quantum numbers of a constrained space."""
    if not hilbert.is_constrained:
        return
    for place in places:
        local = np.array(hilbert.local_states)
        sums = np.zeros(1, dtype=int)
        for _ in place.sites[0]:
            sums = (sums[:, None] + local[None, :]).reshape(-1)
        for row, columns in enumerate(place.columns):
            if any(sums[c] != sums[row] for c in columns):
                raise SpaceError(
                    "The operator leaves a space of fixed magnetisation.",
                    got=f"a matrix on sites {place.sites[0]}",
                    expected=f"matrices that keep the total S^z of {hilbert}",
                    try_="a space with magnetisation=None, or one matrix for the terms that cancel",
                )


def _local_rows(operator: LocalOperator, places: Places, x: Array) -> Array:
    """Row of each matrix at configurations x: `[..., terms]`."""
    top, base = operator.hilbert.local_states[0], len(operator.hilbert.local_states)
    digits = (top - x.astype(jnp.int32)) // 2
    sites = np.array(places.sites)
    row = jnp.zeros((*x.shape[:-1], len(sites)), jnp.int32)
    for column in sites.T:
        row = row * base + digits[..., column]
    return row


@jax.jit
def _diagonal(operator: LocalOperator, x: Array) -> Array:
    total = jnp.zeros(x.shape[:-1], operator.dtype)
    for values, places in zip(operator.diagonals, operator.places):
        total = total + jnp.sum(values[np.arange(len(places.sites)), _local_rows(operator, places, x)], axis=-1)
    return total


@jax.jit
def _connected(operator: LocalOperator, x: Array) -> tuple[Array, Array]:
    lead, n = x.shape[:-1], x.shape[-1]
    states, base = np.array(operator.hilbert.local_states), len(operator.hilbert.local_states)
    neighbours, found = [jnp.zeros((*lead, 0, n), x.dtype)], [jnp.zeros((*lead, 0), operator.dtype)]
    for values, places in zip(operator.elements, operator.places):
        terms, width = len(places.sites), len(places.sites[0])
        rows = _local_rows(operator, places, x)
        columns = jnp.asarray(np.array(places.columns, dtype=np.int32).reshape(len(places.columns), -1))[rows]
        new = jnp.broadcast_to(x[..., None, None, :], (*columns.shape, n))
        for q in range(width):
            here = np.array([s[q] for s in places.sites])[:, None] == np.arange(n)[None, :]
            value = jnp.asarray(states)[columns // base ** (width - 1 - q) % base].astype(x.dtype)
            here = here.reshape((1,) * len(lead) + (terms, 1, n))
            new = jnp.where(here, value[..., None], new)
        neighbours.append(new.reshape(*lead, -1, n))
        found.append(values[np.arange(terms), rows].reshape(*lead, -1).astype(operator.dtype))
    return jnp.concatenate(neighbours, axis=-2), jnp.concatenate(found, axis=-1)
