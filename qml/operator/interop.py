"""Operators from and to matrices of NumPy, SciPy and QuTiP."""

from typing import Any

import numpy as np

from qml._core.errors import ShapeError, need
from qml.hilbert import AbstractHilbert, Spin
from qml.operator.base import AbstractOperator
from qml.operator.coefficients import stack
from qml.operator.pauli import PauliSum, build
from qml.operator.strings import PHASES, PauliStrings

_LARGEST = 10


def from_matrix(matrix: Any, *, tolerance: float = 1e-12) -> PauliSum:
    r"""A matrix on spins 1/2 as a sum of Pauli strings, $c_k = \mathrm{Tr}(P_k M) / 2^n$, by fast Walsh transforms.

    Args:
        matrix: a NumPy array, a SciPy sparse matrix or a QuTiP operator `[2^n, 2^n]`, n at most 10, site 0 slowest.
        tolerance: strings with smaller coefficients, relative to the largest, are left out.

    Returns:
        The sum, with real coefficients if the matrix is Hermitian to the tolerance.

    Raises:
        ShapeError: the matrix is not square of a power of two, or too large.

    Example:
        >>> import numpy as np
        >>> from qml.operator.interop import from_matrix
        >>> from_matrix(np.diag([1.0, -1.0, -1.0, 1.0])).terms
        {'ZZ': 1.0}
    """
    matrix = _as_array(matrix)
    n = max(1, matrix.shape[0].bit_length() - 1) if matrix.ndim == 2 else 0
    if matrix.shape != (2**n, 2**n) or not 1 <= n <= _LARGEST:
        raise ShapeError(
            "The matrix is not one of spins 1/2.",
            got=f"shape {matrix.shape}",
            expected=f"(2^n, 2^n) with n from 1 to {_LARGEST}",
            try_="PauliSum.from_terms for larger operators",
        )
    rows = np.arange(2**n)
    # row f holds the elements <b|M|b ^ f>; its Walsh transform over b gives the strings with flips f
    transform = matrix[rows[None, :], rows[None, :] ^ rows[:, None]].astype(complex)
    for bit in range(n):
        parts = transform.reshape(2**n, -1, 2, 2**bit)
        transform = np.stack([parts[:, :, 0] + parts[:, :, 1], parts[:, :, 0] - parts[:, :, 1]], axis=2)
    turns = np.bitwise_count(rows[:, None] & rows[None, :]) % 4
    values = PHASES[turns] * transform.reshape(2**n, 2**n) / 2**n
    largest = np.max(np.abs(values))
    if np.max(np.abs(values.imag)) <= tolerance * largest:
        values = np.real(values)
    flips, signs = np.nonzero(np.abs(values) > tolerance * largest)
    strings = PauliStrings(n, tuple(flips.tolist()), tuple(signs.tolist()))
    return build(strings, stack(values[flips, signs].tolist()), Spin(n))


def to_qutip(operator: AbstractOperator) -> Any:
    """The operator as a QuTiP `Qobj`, with one factor for each site where the space is unconstrained.

    Raises:
        MissingExtraError: QuTiP is not installed.
    """
    qutip = need("qutip", "interop")
    hilbert: AbstractHilbert = operator.hilbert
    factors = [hilbert.size] if hilbert.is_constrained else [len(hilbert.local_states)] * hilbert.n_sites
    return qutip.Qobj(operator.to_sparse().tocsr(), dims=[factors, factors])


def _as_array(matrix: Any) -> np.ndarray:
    for name in ("full", "toarray"):  # QuTiP, SciPy
        method = getattr(matrix, name, None)
        if callable(method):
            return np.asarray(method())
    return np.asarray(matrix)
