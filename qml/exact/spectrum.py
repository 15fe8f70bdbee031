"""Lowest levels by Lanczos without a matrix, whole spectra by dense diagonalisation."""

from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from threadpoolctl import threadpool_limits

from qml._core.errors import SpaceError
from qml._core.precision import require_x64
from qml._core.types import Array, Float, Inexact, RandomKey
from qml.exact.fastmap import fast_map
from qml.exact.positive import positive_start
from qml.hilbert import AbstractHilbert
from qml.linalg import krylov
from qml.operator import AbstractOperator

_DENSE = 256  # spaces up to this size are diagonalised whole


@final
class EigenResult(eqx.Module):
    """Eigenpairs in ascending order: vector `vectors[i]` belongs to `energies[i]`.

    `residuals` are the norms of $H v - E v$: every energy lies within its residual of a true one.
    """

    energies: Float[Array, " levels"]
    vectors: Inexact[Array, "levels size"]
    residuals: Float[Array, " levels"]


def ground_state(
    operator: AbstractOperator,
    hilbert: AbstractHilbert | None = None,
    k: int = 1,
    *,
    tolerance: float = 1e-12,
    key: RandomKey | None = None,
) -> EigenResult:
    """The `k` lowest levels with their multiplicity, by Lanczos without a matrix; a few vectors of memory.

    Args:
        operator: a Hermitian operator with known coefficients.
        hilbert: a space to work in instead of the operator's own, such as one of fixed magnetisation.
        k: number of levels, at least 1 and at most the size of the space.
        tolerance: residual norm relative to the norm of the operator.
        key: typed key of the random start vectors; the answer does not depend on it.

    Returns:
        Energies, vectors as rows, residual norms.

    Raises:
        SpaceError: the operator is not Hermitian or leaves `hilbert`, or there are not `k` levels.
        PrecisionError: JAX runs in 32-bit mode.
        ConvergenceError: a residual stays above the tolerance.

    Example:
        >>> from qml.exact import ground_state
        >>> from qml.operator import PauliSum
        >>> print(ground_state(PauliSum({"ZZ": -1.0, "XI": -0.5, "IX": -0.5})).energies)
        [-1.41421356]

    Source:
        C. Lanczos, J. Res. Natl. Bur. Stand. 45, 255 (1950).
    """
    operator = prepared(operator, hilbert, "ground_state")
    size = operator.hilbert.size
    if not 1 <= k <= size:
        raise SpaceError("There are not so many levels.", got=f"k={k}", expected=f"1 ... {size}", try_="k=1")
    if size <= max(_DENSE, 4 * k):
        full = spectrum(operator)
        return EigenResult(full.energies[:k], full.vectors[:k], full.residuals[:k])
    seed = 0 if key is None else np.asarray(jax.random.key_data(key))
    start = positive_start(operator) if k == 1 else None
    pairs = krylov.lowest(fast_map(operator), size, k, np.dtype(operator.dtype), seed, tolerance, start)
    return EigenResult(jnp.asarray(pairs.values), pairs.vectors, jnp.asarray(pairs.residuals))


def spectrum(operator: AbstractOperator, hilbert: AbstractHilbert | None = None) -> EigenResult:
    """All levels by dense diagonalisation, for spaces of up to some thousand states.

    Args:
        operator: a Hermitian operator with known coefficients.
        hilbert: a space to work in instead of the operator's own.

    Raises:
        SpaceError: the operator is not Hermitian or leaves `hilbert`, or the space is too large.
        PrecisionError: JAX runs in 32-bit mode.

    Example:
        >>> from qml.exact import spectrum
        >>> from qml.operator import PauliSum
        >>> spectrum(PauliSum({"ZZ": 1.0})).energies.tolist()
        [-1.0, -1.0, 1.0, 1.0]
    """
    operator = prepared(operator, hilbert, "spectrum")
    matrix = np.asarray(operator.to_dense())
    energies, vectors = dense_eigh(matrix)
    residuals = np.linalg.norm(matrix @ vectors - vectors * energies, axis=0)
    return EigenResult(jnp.asarray(energies), jnp.asarray(vectors.T), jnp.asarray(residuals))


def dense_eigh(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and column vectors of a Hermitian matrix on one thread: many threads can stall a small machine."""
    with threadpool_limits(1, "blas"):
        return np.linalg.eigh(matrix)


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
