"""The interface of an operator, and what follows from its connected states alone."""

import abc
import functools
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.chunk import map_chunks
from qml._core.errors import DataError, ShapeError, SpaceError
from qml._core.types import Array, Configurations, Inexact, Int
from qml.hilbert import AbstractHilbert
from qml.operator.coefficients import is_traced
from qml.operator.compact import Compacted, capacity_for, checked_batch, compact_generic

_DENSE_LIMIT = 2**14
_TABLE_CHUNK = 2**14


class AbstractOperator(eqx.Module):
    r"""A linear operator on the functions of a Hilbert space, given by its matrix elements.

    `connected(x)` lists configurations $x'$ and elements $\langle x|O|x'\rangle$, so the local value of a state is
    $O_{loc}(x) = D(x) + \sum_{x'} \langle x|O|x'\rangle\, \psi(x') / \psi(x)$ with the diagonal $D$.

    Example:
        >>> import numpy as np
        >>> from qml.operator import AbstractOperator, PauliSum
        >>> operator = PauliSum({"ZZ": 1.0, "XI": 0.5})
        >>> x = np.array([1, -1])
        >>> neighbours, elements = operator.connected(x)
        >>> isinstance(operator, AbstractOperator), float(operator.diagonal(x)), neighbours.tolist(), elements.tolist()
        (True, -1.0, [[-1, -1]], [0.5])
    """

    hilbert: eqx.AbstractVar[AbstractHilbert]

    @property
    @abc.abstractmethod
    def dtype(self) -> np.dtype:
        """The dtype of the matrix elements: real where the matrix is known to be real."""

    @property
    @abc.abstractmethod
    def is_hermitian(self) -> bool:
        """True if the operator is known to be Hermitian."""

    @abc.abstractmethod
    def diagonal(self, x: Configurations) -> Inexact[Array, "..."]:
        """Diagonal elements at configurations `x[..., sites]`."""

    @abc.abstractmethod
    def connected(self, x: Configurations) -> tuple[Int[Array, "... groups sites"], Inexact[Array, "... groups"]]:
        """Off-diagonal neighbours of `x[..., sites]`: configurations and elements; zero elements are allowed."""

    @abc.abstractmethod
    def check_space(self, hilbert: AbstractHilbert) -> None:
        """Raise `SpaceError` where the operator does not act on this space or leaves it."""

    @abc.abstractmethod
    def on(self, hilbert: AbstractHilbert) -> "AbstractOperator":
        """The same operator on another space of the same sites; raises `SpaceError` where it leaves it."""

    @abc.abstractmethod
    def bound(self) -> tuple[float, float]:
        """Centre c and radius r with every eigenvalue of a Hermitian operator in `[c - r, c + r]`."""

    @abc.abstractmethod
    def linear_map(self) -> Any:
        """A module `vector[size] -> vector[size]` with everything prepared that many products share."""

    def compacted(self, x: Configurations, capacity: int | None = None) -> Compacted:
        r"""The non-zero off-diagonal elements of a batch, one after another, row after row, without padding between.

        Of a J1-J2 model half of all neighbours have a zero element, of a model on few particles nearly all: a network
        that is evaluated on `states` is called for none of them.

        Args:
            x: configurations `[batch, sites]`.
            capacity: number of slots, a static int, at best from `qml.operator.compact.capacity_for`. `None` finds it
                here, which only works outside `jax.jit`.

        Returns:
            Rows `int[capacity]`, configurations `[capacity, sites]`, elements $\langle x_r|O|x'\rangle$
            `[capacity]`, and their number `count`. If `count > capacity` the elements are NaN.

        Raises:
            ShapeError: `x` is no batch of configurations, or the capacity is not a positive int.

        Example:
            >>> import numpy as np
            >>> from qml.operator import PauliSum
            >>> exchange = PauliSum({"XX": 0.5, "YY": 0.5, "ZZ": 0.25})
            >>> found = exchange.compacted(np.array([[1, 1], [1, -1], [-1, 1]]))
            >>> found.rows.tolist(), found.states.tolist(), found.elements.tolist(), int(found.count)
            ([1, 2], [[-1, 1], [1, -1]], [1.0, 1.0], 2)
            >>> found.sum(np.ones(2)).tolist()  # the off-diagonal part of O on equal amplitudes
            [0.0, 1.0, 1.0]
        """
        return self._compacted(checked_batch(self, x, 1 if capacity is None else capacity), self._capacity(x, capacity))

    def _capacity(self, x: Any, capacity: int | None) -> int:
        if capacity is not None:
            return int(capacity)
        if is_traced(x):
            raise ShapeError(
                "The number of non-zero elements is unknown while a program is traced.",
                got="capacity=None",
                expected="a static int",
                try_="qml.operator.compact.capacity_for(operator, x) outside jit",
            )
        return capacity_for(self, x)

    def _compacted(self, x: Array, capacity: int) -> Compacted:
        return compact_generic(self, x, capacity)

    def commutator(self, other: Any) -> Any:
        """`self @ other - other @ self`."""
        return self @ other - other @ self  # type: ignore[operator]

    def anticommutator(self, other: Any) -> Any:
        """`self @ other + other @ self`."""
        return self @ other + other @ self  # type: ignore[operator]

    def __pow__(self, exponent: int) -> Any:
        """The product of `exponent` copies, by repeated squaring; 0 is the identity."""
        if isinstance(exponent, bool) or not isinstance(exponent, (int, np.integer)):
            return NotImplemented
        if exponent < 0:
            raise DataError(
                "Operators have no negative powers here.",
                got=exponent,
                expected="an int >= 0",
                try_="numpy.linalg.inv(operator.to_dense())",
            )
        if exponent == 0:
            return 0 * self + 1  # type: ignore[operator]
        half = self ** (exponent // 2) if exponent > 1 else None
        if half is None:
            return self
        return half @ half @ self if exponent % 2 else half @ half

    def trace(self) -> Inexact[Array, ""]:
        """The trace over this operator's space: the sum of the diagonal over all configurations.

        Raises:
            SpaceError: the space is too large to list.
        """
        return _trace(self)

    def apply(self, vector: Any) -> Inexact[Array, " size"]:
        """Product of the operator with a vector in basis order, without a matrix.

        For many products with one operator, `linear_map()` prepares what they share once.

        Args:
            vector: amplitudes `[size]` of this operator's space.

        Returns:
            Amplitudes `[size]`.

        Raises:
            ShapeError: the vector has another length.
        """
        vector = jnp.asarray(vector)
        if vector.shape != (self.hilbert.size,):
            raise ShapeError(
                "The vector does not fit the space.",
                got=f"shape {vector.shape}",
                expected=f"({self.hilbert.size},)",
                try_="jax.vmap(operator.apply) for a stack of vectors",
            )
        return _apply(self, vector)

    def to_dense(self) -> Inexact[Array, "size size"]:
        """The matrix in basis order, differentiable in the coefficients.

        Raises:
            SpaceError: the space has more than 16384 states.
        """
        if self.hilbert.size > _DENSE_LIMIT:
            raise SpaceError(
                "This space is too large for a dense matrix.",
                got=f"{self.hilbert.size} states",
                expected=f"at most {_DENSE_LIMIT}",
                try_="apply(vector), or to_sparse()",
            )
        return _dense(*table(self), self.dtype)

    def to_sparse(self) -> Any:
        """The matrix as `scipy.sparse.csr_array`, without stored zeros."""
        import scipy.sparse

        columns, elements, diagonal = (np.asarray(a) for a in table(self))
        size, groups = elements.shape
        data = np.concatenate([diagonal[:, None], elements], axis=1)
        columns = np.concatenate([np.arange(size)[:, None], columns], axis=1)
        row_starts = np.arange(size + 1) * (groups + 1)
        matrix = scipy.sparse.csr_array((data.reshape(-1), columns.reshape(-1), row_starts), shape=(size, size))
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return matrix


@jax.jit
def _apply(operator: AbstractOperator, vector: Array) -> Array:
    return operator.linear_map()(vector)


@functools.partial(jax.jit, static_argnums=3)
def _dense(columns: Array, elements: Array, diagonal: Array, dtype: Any) -> Array:
    size = diagonal.shape[0]
    rows = jnp.arange(size)
    matrix = jnp.zeros((size, size), dtype).at[rows, rows].set(diagonal)
    return matrix.at[jnp.broadcast_to(rows[:, None], columns.shape), columns].add(elements)


@jax.jit
def _trace(operator: AbstractOperator) -> Array:
    return jnp.sum(map_chunks(operator.diagonal, operator.hilbert.all_states(), chunk=_TABLE_CHUNK))


@jax.jit
def table(operator: AbstractOperator) -> tuple[Array, Array, Array]:
    """Every matrix element of an operator: columns and elements `[size, groups]`, diagonal `[size]`.

    Neighbours outside a constrained space get column 0 and element 0.
    """
    hilbert = operator.hilbert

    def rows(x: Array) -> tuple[Array, Array, Array]:
        neighbours, elements = operator.connected(x)
        inside = hilbert.contains(neighbours)
        columns = jnp.where(inside, hilbert.states_to_indices(neighbours), 0)
        return columns, jnp.where(inside, elements, 0), operator.diagonal(x)

    return map_chunks(rows, hilbert.all_states(), chunk=_TABLE_CHUNK)


def rows_of(operator: AbstractOperator, x: Any) -> Array:
    """Configurations `[..., sites]` as an array, checked against the sites of the operator.

    Raises:
        ShapeError: there is not one entry for each site.
    """
    x = jnp.asarray(x)
    if x.ndim == 0 or x.shape[-1] != operator.hilbert.n_sites:
        raise ShapeError(
            "The configurations do not fit the operator.",
            got=f"shape {x.shape}",
            expected=f"[..., {operator.hilbert.n_sites}], one entry per site",
            try_="configurations of operator.hilbert",
        )
    return x


def checked_sites(small: AbstractHilbert, large: AbstractHilbert, sites: Sequence[int]) -> tuple[int, ...]:
    """The places of the sites of one space in another, checked.

    Raises:
        SpaceError: they do not exist, come twice, are not as many, or have other local states.
    """
    sites = tuple(int(i) for i in sites)
    exist = len(set(sites)) == len(sites) == small.n_sites and all(0 <= i < large.n_sites for i in sites)
    if not exist or any(large.site_states[j] != small.site_states[i] for i, j in enumerate(sites)):
        raise SpaceError(
            "The operator does not fit these sites.",
            got=f"sites {sites} of {large} for {small}",
            expected=f"{small.n_sites} distinct sites in 0 ... {large.n_sites - 1} with the same local states",
            try_=f"sites={tuple(range(small.n_sites))}",
        )
    return sites
