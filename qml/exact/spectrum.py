"""Lowest levels by Lanczos without a matrix, whole spectra by dense diagonalisation."""

from typing import Any, final

import equinox as eqx
import jax
import numpy as np
from threadpoolctl import threadpool_limits

from qml._core.errors import SpaceError
from qml._core.precision import require_x64
from qml._core.types import Array, Float, Inexact, RandomKey
from qml.exact.basis import SectorBasis
from qml.exact.fastmap import fast_map
from qml.exact.positive import positive_start, sector_start
from qml.exact.sectordirect import DirectMap
from qml.exact.sectormap import sector_map
from qml.hilbert import AbstractHilbert
from qml.linalg import krylov
from qml.operator import AbstractOperator, check_commutes

_LARGEST = 2**14  # largest dense matrix
_DENSE = 256  # spaces up to this size are diagonalised whole


@final
class EigenResult(eqx.Module):
    """Eigenpairs in ascending order: vector `vectors[i]` belongs to `energies[i]`.

    `residuals` are the norms of $H v - E v$: every energy lies within its residual of a true one.

    Example:
        >>> from qml.exact import spectrum
        >>> from qml.operator import PauliSum
        >>> found = spectrum(PauliSum({"X": 2.0}))
        >>> found.energies.tolist(), found.vectors.shape, bool(found.residuals.max() < 1e-12)
        ([-2.0, 2.0], (2, 2), True)
    """

    energies: Float[Array, " levels"]
    vectors: Inexact[Array, "levels size"]
    residuals: Float[Array, " levels"]


def ground_state(
    operator: AbstractOperator,
    hilbert: AbstractHilbert | None = None,
    k: int = 1,
    *,
    sector: Any = None,
    tolerance: float = 1e-12,
    key: RandomKey | None = None,
    block: int = 1,
) -> EigenResult:
    """The `k` lowest levels with their multiplicity, by Lanczos without a matrix; a few vectors of memory.

    In a sector the vectors are in its basis (`SectorBasis.to_full` embeds them), and a multiplet of an irrep of
    several dimensions counts once.

    Args:
        operator: a Hermitian operator with known coefficients.
        hilbert: a space to work in instead of the operator's own, such as one of fixed magnetisation.
        k: number of levels, at least 1 and at most the size of the space or sector.
        sector: a `symmetries.Sector` to stay in, or its `SectorBasis` where that is used again.
        tolerance: residual norm relative to the norm of the operator.
        key: typed key of the random start vectors; the answer does not depend on it.
        block: vectors worked on at once. More than one is block Lanczos with thick restarts, which holds
            `2 k + 9 block` vectors. For ten levels it took a fifth to a third fewer products than the default, for
            three more; each costs more work besides.

    Returns:
        Energies, vectors as rows, residual norms.

    Raises:
        SpaceError: the operator is not Hermitian or leaves `hilbert`, or there are not `k` levels.
        SymmetryError: the operator does not commute with the sector; the term that breaks it is named.
        PrecisionError: JAX runs in 32-bit mode.
        ConvergenceError: a residual stays above the tolerance.

    Example:
        >>> from qml.exact import ground_state
        >>> from qml.operator import PauliSum
        >>> print(ground_state(PauliSum({"ZZ": -1.0, "XI": -0.5, "IX": -0.5})).energies)
        [-1.41421356]

    Source:
        C. Lanczos, J. Res. Natl. Bur. Stand. 45, 255 (1950); K. Wu and H. Simon, SIAM J. Matrix Anal. Appl. 22, 602
        (2000).
    """
    operator = prepared(operator, hilbert, "ground_state")
    basis = None if sector is None else sector_basis(operator, sector)
    size = operator.hilbert.size if basis is None else basis.size
    if not 1 <= k <= size or block < 1:
        raise SpaceError(
            "There are not so many levels, or no vectors to begin with.",
            got=f"k={k}, block={block}",
            expected=f"k of 1 ... {size}, block >= 1",
            try_="k=1, block=1",
        )
    if size <= max(_DENSE, 4 * k):
        return EigenResult(*jax.device_put(tuple(array[:k] for array in _all_levels(operator, basis))))
    seed = 0 if key is None else np.asarray(jax.random.key_data(key))
    linear_map = fast_map(operator) if basis is None else sector_map(operator, basis)
    dtype = (
        np.dtype(operator.dtype)
        if basis is None
        else np.result_type(linear_map.values.dtype, linear_map.diagonal.dtype)
    )
    start = None if k > 1 or block > 1 else positive_start(operator) if basis is None else sector_start(operator, basis)
    pairs = krylov.lowest(linear_map, size, k, dtype, seed, tolerance, start, block)
    return EigenResult(*jax.device_put((pairs.values, pairs.vectors, pairs.residuals)))


def spectrum(operator: AbstractOperator, hilbert: AbstractHilbert | None = None, *, sector: Any = None) -> EigenResult:
    """All levels by dense diagonalisation, for spaces of up to some thousand states.

    Args:
        operator: a Hermitian operator with known coefficients.
        hilbert: a space to work in instead of the operator's own.
        sector: a `symmetries.Sector` to stay in, or its `SectorBasis`; a multiplet of its irrep counts once.

    Raises:
        SpaceError: the operator is not Hermitian or leaves `hilbert`, or the space is too large.
        SymmetryError: the operator does not commute with the sector; the term that breaks it is named.
        PrecisionError: JAX runs in 32-bit mode.

    Example:
        >>> from qml.exact import spectrum
        >>> from qml.operator import PauliSum
        >>> spectrum(PauliSum({"ZZ": 1.0})).energies.tolist()
        [-1.0, -1.0, 1.0, 1.0]
    """
    return EigenResult(*jax.device_put(_all_levels(prepared(operator, hilbert, "spectrum"), sector)))


def _all_levels(operator: AbstractOperator, sector: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energies, vectors as rows, residual norms, of a space or a sector of it."""
    matrix = np.asarray(operator.to_dense() if sector is None else sector_matrix(operator, sector))
    energies, vectors = dense_eigh(matrix)
    residuals = np.linalg.norm(matrix @ vectors - vectors * energies, axis=0)
    return energies, vectors.T, residuals


def dense_eigh(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and column vectors of a Hermitian matrix on one thread: many threads can stall a small machine."""
    with threadpool_limits(1, "blas"):
        return np.linalg.eigh(matrix)


def sector_basis(operator: AbstractOperator, sector: Any) -> SectorBasis:
    """The basis of a sector in the operator's space, after the check that they commute.

    Raises:
        SpaceError: the basis belongs to another space.
        SymmetryError: the operator does not commute with the sector.
    """
    basis = sector if isinstance(sector, SectorBasis) else SectorBasis(operator.hilbert, sector)
    if basis.hilbert != operator.hilbert:
        raise SpaceError(
            "The basis of the sector belongs to another space.",
            got=f"{basis.hilbert}",
            expected=f"{operator.hilbert}",
            try_="SectorBasis(operator.hilbert, sector)",
        )
    check_commutes(operator, basis.sector)
    return basis


def sector_matrix(operator: AbstractOperator, sector: Any) -> np.ndarray:
    """The matrix `[size, size]` of an operator in the basis of a sector.

    Raises:
        SpaceError: the sector has more than 16384 states.
        SymmetryError: the operator does not commute with the sector.
    """
    basis = sector_basis(operator, sector)
    if basis.size > _LARGEST:
        raise SpaceError(
            "This sector is too large for a dense matrix.",
            got=f"{basis.size} states",
            expected=f"at most {_LARGEST}",
            try_="ground_state(operator, k=..., sector=...)",
        )
    linear_map = sector_map(operator, basis)
    dtype = np.result_type(linear_map.values.dtype, linear_map.diagonal.dtype)
    if isinstance(linear_map, DirectMap):
        return np.asarray(jax.lax.map(linear_map, np.eye(basis.size, dtype=dtype))).T
    matrix = np.zeros((basis.size, basis.size), dtype)
    matrix[np.arange(basis.size), np.arange(basis.size)] = linear_map.diagonal
    values = linear_map.values if linear_map.codes is None else np.asarray(linear_map.values)[linear_map.codes]
    norms, partners = np.asarray(linear_map.norms), np.asarray(linear_map.partners)
    for partner, value in zip(partners, np.asarray(values)):
        np.add.at(matrix, (np.arange(basis.size), partner), value * norms[partner] / norms)
    return matrix


def prepared(operator: AbstractOperator, hilbert: AbstractHilbert | None, what: str) -> AbstractOperator:
    """The operator on `hilbert`, after the checks that every exact method needs."""
    require_x64(f"exact.{what}")
    if hilbert is not None:
        operator = operator.on(hilbert)
    if not operator.is_hermitian:
        raise SpaceError(
            "Only a Hermitian operator has a real spectrum.",
            got=repr(operator),
            expected="real coefficients",
            try_="(operator + operator.adjoint()) / 2",
        )
    return operator
