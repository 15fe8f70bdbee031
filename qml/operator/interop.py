"""Operators from and to NumPy, SciPy, QuTiP, OpenFermion, Qiskit, stim and NetKet.

Site 0 is the leftmost factor here. All conversions keep site numbers; where another package orders its factors the
other way round (Qiskit), or its local states (NetKet), that is accounted for.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import numpy as np

from qml._core.errors import ShapeError, SpaceError, need
from qml.hilbert import AbstractHilbert, Spin, SpinlessFermion
from qml.operator.base import AbstractOperator
from qml.operator.boson import BosonSum
from qml.operator.coefficients import stack
from qml.operator.fermion import FermionSum
from qml.operator.jordan_wigner import inverse_jordan_wigner
from qml.operator.ladder_strings import read
from qml.operator.pauli import PauliSum, build
from qml.operator.strings import PHASES, PauliStrings

_LARGEST = 10


def from_matrix(matrix: Any, hilbert: AbstractHilbert | None = None, *, tolerance: float = 1e-12) -> Any:
    r"""A matrix on spins 1/2 or fermion modes as a sum of strings, by fast Walsh transforms.

    The coefficients of Pauli strings are $c_k = \mathrm{Tr}(P_k M) / 2^n$; fermion strings follow from them.

    Args:
        matrix: a NumPy array, a SciPy sparse matrix or a QuTiP operator `[2^n, 2^n]`, n at most 10, site 0 slowest.
        hilbert: an unconstrained space of n spins or fermion modes; spins if left out.
        tolerance: strings with smaller coefficients, relative to the largest, are left out.

    Returns:
        A `PauliSum`, or a `FermionSum` on fermions; coefficients are real if the matrix is Hermitian to the tolerance.

    Raises:
        ShapeError: the matrix is not square of a power of two, or too large.
        SpaceError: the space is constrained, or of another kind.

    Example:
        >>> import numpy as np
        >>> from qml.hilbert import SpinlessFermion
        >>> from qml.operator.interop import from_matrix
        >>> from_matrix(np.diag([1.0, -1.0, -1.0, 1.0])).terms
        {'ZZ': 1.0}
        >>> from_matrix(np.diag([0.0, 0.0, 0.0, 4.0]), SpinlessFermion(2)).terms
        {'n0 n1': 4.0}
    """
    matrix = as_array(matrix)
    n = max(1, matrix.shape[0].bit_length() - 1) if matrix.ndim == 2 else 0
    if matrix.shape != (2**n, 2**n) or not 1 <= n <= _LARGEST:
        raise ShapeError(
            "The matrix is not one of spins 1/2.",
            got=f"shape {matrix.shape}",
            expected=f"(2^n, 2^n) with n from 1 to {_LARGEST}",
            try_="PauliSum.from_terms for larger operators",
        )
    if hilbert is not None and (hilbert.is_constrained or hilbert.size != 2**n):
        raise SpaceError(
            "The matrix does not fit the space.",
            got=f"shape {matrix.shape} on {hilbert}",
            expected="an unconstrained space of as many states",
            try_="the space without totals, then .on(hilbert)",
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
    spins = build(strings, stack(values[flips, signs].tolist()), Spin(n))
    if hilbert is None or isinstance(hilbert, Spin):
        return spins
    return inverse_jordan_wigner(spins, hilbert).simplify(tolerance * largest)


def to_qutip(operator: AbstractOperator) -> Any:
    """The operator as a QuTiP `Qobj`, with one factor for each site where the space is unconstrained.

    Raises:
        MissingExtraError: QuTiP is not installed.

    Example:
        >>> from qml.operator import PauliSum
        >>> from qml.operator.interop import from_matrix, to_qutip
        >>> from_matrix(to_qutip(PauliSum({"XY": 0.5}))).terms
        {'XY': 0.5}
    """
    qutip = need("qutip", "interop")
    hilbert: AbstractHilbert = operator.hilbert
    factors = [hilbert.size] if hilbert.is_constrained else [len(states) for states in hilbert.site_states]
    return qutip.Qobj(operator.to_sparse().tocsr(), dims=[factors, factors])


def to_openfermion(operator: PauliSum | FermionSum | BosonSum) -> Any:
    """A sum of strings as an OpenFermion `QubitOperator`, `FermionOperator` or `BosonOperator`.

    Raises:
        MissingExtraError: OpenFermion is not installed.
        SpaceError: the operator is of another kind.

    Example:
        >>> from qml.operator import PauliSum
        >>> from qml.operator.interop import to_openfermion
        >>> to_openfermion(PauliSum({"XZ": 0.5}))  # doctest: +SKIP
        0.5 [X0 Z1]
    """
    openfermion = need("openfermion", "interop")
    if isinstance(operator, PauliSum):
        total = openfermion.QubitOperator()
        for word, value in operator.terms.items():
            total += openfermion.QubitOperator(tuple((i, a) for i, a in enumerate(word) if a != "I"), value)
        return total
    if not isinstance(operator, FermionSum | BosonSum):
        refuse(operator, "a PauliSum, FermionSum or BosonSum")
    kind = openfermion.FermionOperator if isinstance(operator, FermionSum) else openfermion.BosonOperator
    total = kind()
    for word, value in operator.terms.items():
        total += kind(tuple((site, int(dagger)) for site, dagger in read(word)), value)
    return total


def from_openfermion(operator: Any, hilbert: AbstractHilbert | None = None) -> PauliSum | FermionSum | BosonSum:
    """A sum of strings from an OpenFermion `QubitOperator`, `FermionOperator` or `BosonOperator`.

    Args:
        operator: the operator.
        hilbert: its space; for qubits and fermions, as many sites as the operator needs if left out.

    Raises:
        SpaceError: the operator is of another kind, or no space is given for bosons.

    Example:
        >>> from openfermion import FermionOperator  # doctest: +SKIP
        >>> from qml.operator.interop import from_openfermion
        >>> from_openfermion(FermionOperator("0^ 1", 2.0))  # doctest: +SKIP
        FermionSum(2 modes, 1 term: 2 [0^ 1])
    """
    name, terms = type(operator).__name__, real_if_possible(operator.terms if hasattr(operator, "terms") else {})
    last = max((ladder[0] for word in terms for ladder in word), default=0)
    if name == "QubitOperator":
        hilbert = Spin(last + 1) if hilbert is None else hilbert
        triples = [("".join(a for _, a in word), tuple(i for i, _ in word), value) for word, value in terms.items()]
        return PauliSum.from_terms(triples, hilbert)
    if name == "FermionOperator":
        return FermionSum.from_terms(terms.items(), SpinlessFermion(last + 1) if hilbert is None else hilbert)  # type: ignore[return-value]
    if name == "BosonOperator" and hilbert is not None:
        return BosonSum.from_terms(terms.items(), hilbert)  # type: ignore[return-value]
    refuse(operator, "a QubitOperator, a FermionOperator, or a BosonOperator with hilbert=Boson(n_sites, n_max)")


def to_qiskit(operator: PauliSum) -> Any:
    """A sum of Pauli strings as a Qiskit `SparsePauliOp`; site i is qubit i, the last letter but i of its labels.

    Raises:
        MissingExtraError: Qiskit is not installed.

    Example:
        >>> from qml.operator import PauliSum
        >>> from qml.operator.interop import to_qiskit
        >>> to_qiskit(PauliSum({"XZI": 0.5}))  # doctest: +SKIP
        SparsePauliOp(['IZX'], coeffs=[0.5+0.j])
    """
    info = need("qiskit.quantum_info", "interop")
    terms = [(word[::-1], value) for word, value in operator.terms.items()]
    return info.SparsePauliOp.from_list(terms, num_qubits=operator.hilbert.n_sites)


def from_qiskit(operator: Any, hilbert: AbstractHilbert | None = None) -> PauliSum:
    """A sum of Pauli strings from a Qiskit `SparsePauliOp` (or `Pauli`); qubit i is site i.

    Raises:
        MissingExtraError: Qiskit is not installed.
        SpaceError: the space has other sites, or a term leaves it.

    Example:
        >>> from qiskit.quantum_info import SparsePauliOp  # doctest: +SKIP
        >>> from qml.operator.interop import from_qiskit
        >>> from_qiskit(SparsePauliOp(["IZX"], [0.5]))  # doctest: +SKIP
        PauliSum(3 sites, 1 term: 0.5 X0 Z1)
    """
    operator = need("qiskit.quantum_info", "interop").SparsePauliOp(operator)
    terms: dict[str, Any] = {}
    for label, value in zip(operator.paulis.to_labels(), operator.coeffs):
        terms[label[::-1]] = terms.get(label[::-1], 0) + complex(value)
    return PauliSum(real_if_possible(terms), Spin(operator.num_qubits) if hilbert is None else hilbert)


def to_stim(operator: PauliSum) -> list[tuple[Any, Any]]:
    """A sum of Pauli strings as pairs (coefficient, `stim.PauliString`).

    Raises:
        MissingExtraError: stim is not installed.

    Example:
        >>> from qml.operator import PauliSum
        >>> from qml.operator.interop import to_stim
        >>> to_stim(PauliSum({"XZI": 0.5}))  # doctest: +SKIP
        [(0.5, stim.PauliString("+XZ_"))]
    """
    stim = need("stim", "interop")
    return [(value, stim.PauliString(word.replace("I", "_"))) for word, value in operator.terms.items()]


def from_stim(strings: Any, hilbert: AbstractHilbert | None = None) -> PauliSum:
    """A sum of Pauli strings from a `stim.PauliString`, or from pairs (coefficient, `stim.PauliString`).

    The sign of a string multiplies its coefficient. Strings may differ in length: the longest counts.

    Raises:
        MissingExtraError: stim is not installed.
        SpaceError: the space has other sites, or a term leaves it.

    Example:
        >>> import stim  # doctest: +SKIP
        >>> from qml.operator.interop import from_stim
        >>> from_stim(stim.PauliString("-XZ"))  # doctest: +SKIP
        PauliSum(2 sites, 1 term: - 1 X0 Z1)
    """
    stim = need("stim", "interop")
    pairs: Iterable[tuple[Any, Any]] = [(1.0, strings)] if isinstance(strings, stim.PauliString) else list(strings)
    terms = [("".join("IXYZ"[a] for a in string), complex(value * string.sign)) for value, string in pairs]
    length = max((len(word) for word, _ in terms), default=1)
    values = real_if_possible(dict(enumerate(value for _, value in terms)))
    triples = [(word, tuple(range(len(word))), values[k]) for k, (word, _) in enumerate(terms)]
    return PauliSum.from_terms(triples, Spin(length) if hilbert is None else hilbert)


def real_if_possible(terms: Mapping[Any, Any]) -> dict[Any, Any]:
    """Coefficients as floats if none has an imaginary part."""
    values = {key: complex(value) for key, value in terms.items()}
    return values if any(v.imag for v in values.values()) else {key: v.real for key, v in values.items()}


def refuse(operator: Any, expected: str) -> NoReturn:
    """Raise `SpaceError` for an operator without a conversion."""
    raise SpaceError(
        "There is no conversion of this operator.", got=type(operator).__name__, expected=expected, try_="from_matrix"
    )


def as_array(matrix: Any) -> np.ndarray:
    """A matrix of NumPy, SciPy or QuTiP as a NumPy array."""
    for name in ("full", "toarray"):  # QuTiP, SciPy
        method = getattr(matrix, name, None)
        if callable(method):
            return np.asarray(method())
    return np.asarray(matrix)
