"""Algebra across kinds of operators: promotion to local matrices, commutators, embedding."""

from typing import Any

import numpy as np

from qml._core.errors import SpaceError
from qml.operator.base import AbstractOperator
from qml.operator.coefficients import on_host
from qml.operator.local_terms import Term
from qml.operator.matrices import LocalOperator, assemble
from qml.operator.pauli import PauliSum
from qml.operator.strings import sites_of

_WIDEST = 10  # sites of the longest Pauli string that becomes a matrix
_PAULI = {
    "I": np.eye(2),
    "X": np.array([[0.0, 1.0], [1.0, 0.0]]),
    "Y": np.array([[0.0, -1j], [1j, 0.0]]),
    "Z": np.diag([1.0, -1.0]),
}


def as_local(operator: AbstractOperator) -> LocalOperator:
    """An operator as a sum of local matrices, so that it can be added to and multiplied with others.

    Sums and products of a `PauliSum` and a `LocalOperator` are `LocalOperator`s by this rule. Sums of fermion and
    boson strings are not: their elements are not those of products of local matrices.

    Args:
        operator: a `PauliSum`, whose coefficients may be traced, or a `LocalOperator`.

    Raises:
        SpaceError: an operator of another kind, or a string on more than ten sites.

    Example:
        >>> import numpy as np
        >>> from qml.hilbert import Spin
        >>> from qml.operator import LocalOperator, PauliSum, as_local
        >>> ising = PauliSum({"ZZ": 1.0, "XI": 0.5})
        >>> as_local(ising)
        LocalOperator(2 sites, 2 matrices)
        >>> mixed = ising + LocalOperator.from_terms([(np.diag([1.0, 0.0]), (1,), 2.0)], Spin(2))
        >>> bool(np.all(mixed.to_dense() == ising.to_dense() + np.diag([2.0, 0.0, 2.0, 0.0])))
        True
    """
    if isinstance(operator, LocalOperator):
        return operator
    if not isinstance(operator, PauliSum):
        raise SpaceError(
            "Operators of these kinds cannot be added or multiplied.",
            got=type(operator).__name__,
            expected="operators of one kind, or a PauliSum and a LocalOperator",
            try_="build both as one kind; embed(...) for the parts of a product of spaces",
        )
    strings, values, terms = operator.strings, on_host(operator.coefficients), []
    real = not np.issubdtype(values.dtype, np.complexfloating)
    for k, (flip, sign) in enumerate(zip(strings.flips, strings.signs)):
        sites = tuple(sites_of(flip | sign, strings.n_sites))
        if len(sites) > _WIDEST:
            raise SpaceError(
                "A Pauli string acts on too many sites for one matrix.",
                got=repr(strings.short(k)),
                expected=f"at most {_WIDEST} sites",
                try_="operators of one kind: everything as a PauliSum",
            )
        word = strings.word(k)
        matrix = np.ones((1, 1))
        for i in sites:
            matrix = np.kron(matrix, _PAULI[word[i]])
        terms.append(Term(sites, values[k] * matrix, matrix != 0, real))
    return assemble(terms, operator.hilbert)


def commutator(a: Any, b: Any) -> Any:
    """`a @ b - b @ a` of two operators on one space, of one kind or of kinds that can be promoted.

    Example:
        >>> from qml.operator import PauliSum, commutator
        >>> commutator(PauliSum({"X": 1.0}), PauliSum({"Y": 1.0})).terms
        {'Z': 2j}
    """
    return _either(a, b, "commutator", -1)


def anticommutator(a: Any, b: Any) -> Any:
    """`a @ b + b @ a` of two operators on one space, of one kind or of kinds that can be promoted.

    Example:
        >>> from qml.operator import PauliSum, anticommutator
        >>> anticommutator(PauliSum({"XX": 1.0}), PauliSum({"XX": 0.5, "ZI": 1.0})).terms
        {'II': 1.0}
    """
    return _either(a, b, "anticommutator", 1)


def _either(a: Any, b: Any, name: str, sign: int) -> Any:
    if type(a) is type(b):
        return getattr(a, name)(b)
    if isinstance(b, LocalOperator) and isinstance(a, PauliSum):
        return getattr(as_local(a), name)(b)
    if isinstance(a, LocalOperator):
        return getattr(a, name)(b)
    return a @ b + sign * (b @ a)
