r"""The Jordan-Wigner transform, exactly and both ways: $c_m = \tfrac12 (X_m + iY_m) \prod_{k<m} Z_k$.

An empty mode is up (qubit |0>), an occupied one is down (|1>), so both operators have the same matrix in basis order.
"""

from typing import Any

import numpy as np

from qml._core.errors import SpaceError
from qml.hilbert import AbstractHilbert, Spin, SpinlessFermion
from qml.operator.coefficients import collect, is_traced, on_host, sum_to
from qml.operator.fermion import FermionStrings, FermionSum
from qml.operator.pauli import PauliSum, build
from qml.operator.strings import PHASES

_LONGEST = 20  # a string becomes up to 2^20 strings


def jordan_wigner(operator: FermionSum) -> PauliSum:
    r"""A sum of fermion strings as a sum of Pauli strings on as many spins 1/2, without constraint.

    A string of k modes becomes $2^k$ Pauli strings.

    Args:
        operator: a sum on any space of fermions; its totals are left behind.

    Raises:
        SpaceError: a string of more than 20 modes.

    Example:
        >>> from qml.hilbert import SpinlessFermion
        >>> from qml.operator import FermionSum
        >>> from qml.operator.jordan_wigner import jordan_wigner
        >>> jordan_wigner(FermionSum({"0^ 2": 1.0, "2^ 0": 1.0}, SpinlessFermion(3))).terms
        {'XZX': 0.5, 'YZY': 0.5}

    Source:
        P. Jordan, E. Wigner, Z. Phys. 47, 631 (1928).
    """
    strings, n = operator.strings, operator.hilbert.n_sites
    pairs, rows, weights = [], [], []
    for k, (created, gone) in enumerate(strings.keys):
        need, occupied, parity = (strings.rules[part][k] for part in range(3))
        _check_length(need.bit_count())
        flip = created ^ gone
        scale = float(strings.rules.signs[k]) / 2 ** need.bit_count()
        for chosen in _subsets(need):  # the row's projector prod_i (1 +- Z_i) / 2, and then X^flip
            z = parity | chosen
            pairs.append((flip, z))
            rows.append(k)
            weights.append(scale * (-1) ** (chosen & occupied).bit_count() * PHASES[(flip & z).bit_count() % 4])
    found, coefficients = collect(n, pairs, _scaled(operator.coefficients, rows, weights))
    made = build(found, coefficients, Spin(n))
    return made if is_traced(coefficients) else made.simplify(1e-15 * float(np.max(np.abs(coefficients), initial=0.0)))


def inverse_jordan_wigner(operator: PauliSum, hilbert: AbstractHilbert | None = None) -> FermionSum:
    r"""A sum of Pauli strings as a sum of fermion strings.

    Args:
        operator: a sum on spins 1/2.
        hilbert: a space of as many modes; `SpinlessFermion(n_sites)` if left out.

    Raises:
        SpaceError: a string that becomes more than $2^{20}$, or a term that leaves the space.

    Example:
        >>> from qml.operator import PauliSum
        >>> from qml.operator.jordan_wigner import inverse_jordan_wigner
        >>> inverse_jordan_wigner(PauliSum({"XX": 0.5, "YY": 0.5, "ZI": -0.5, "II": 0.5})).terms
        {'1^ 0': 1.0, '0^ 1': 1.0, 'n0': 1.0}
    """
    n, strings = operator.hilbert.n_sites, operator.strings
    hilbert = SpinlessFermion(n) if hilbert is None else hilbert
    FermionSum._check_statistics(hilbert)
    index: dict[tuple[int, int], int] = {}
    rows, parities, outside, signs = [], [], [], []
    for k, (flip, z) in enumerate(zip(strings.flips, strings.signs)):
        crossed = _before(flip, n)
        rest = (z | flip) ^ flip ^ ((crossed | flip) ^ flip)  # letters Z that are left outside the flipped modes
        _check_length(flip.bit_count() + rest.bit_count())
        for created in _subsets(flip):
            for numbers in _subsets(rest):
                key = (created | numbers, (flip ^ created) | numbers)
                index.setdefault(key, len(index))
                rows.append((k, index[key]))
                parities.append((z & created).bit_count())
                outside.append((numbers.bit_count(), (crossed & numbers).bit_count()))
                signs.append((created, flip ^ created))
    made = FermionStrings(n, tuple(index))
    bare = FermionStrings(n, tuple(dict.fromkeys(signs)))
    sign_of = dict(zip(bare.keys, bare.rules.signs.tolist()))
    factors = [
        (-1) ** (parity + crossed) * (-2.0) ** count * sign_of[key] * made.rules.signs[target] * strings.phases[k]
        for (k, target), parity, (count, crossed), key in zip(rows, parities, outside, signs)
    ]
    values = _scaled(operator.coefficients, [k for k, _ in rows], factors)
    coefficients = sum_to(values, np.array([t for _, t in rows], int), len(index))
    free = FermionSum._build(made, coefficients, SpinlessFermion(n))
    if not is_traced(coefficients):
        free = free.simplify(1e-15 * float(np.max(np.abs(coefficients), initial=0.0)))
    return free.on(hilbert)  # type: ignore[return-value]


def _scaled(coefficients: Any, rows: list[int], weights: list) -> Any:
    """`coefficients[rows] * weights`, real where both are."""
    factors = np.array(weights)
    if not np.any(np.imag(factors)):
        factors = np.real(factors)
    values = on_host(coefficients)[np.array(rows, int)]
    small = np.complex64 if np.iscomplexobj(factors) else np.float32
    return values * factors.astype(np.result_type(values.dtype, small))


def _before(mask: int, n: int) -> int:
    """Modes that lie before an odd number of the modes of a mask."""
    total = 0
    for place in range(n):
        if mask >> place & 1:
            total ^= (1 << n) - (2 << place)
    return total


def _subsets(mask: int) -> list[int]:
    """All masks inside a mask."""
    found = [0]
    while mask:
        low = mask & -mask
        found += [part | low for part in found]
        mask ^= low
    return found


def _check_length(length: int) -> None:
    if length > _LONGEST:
        raise SpaceError(
            "A string is too long for the Jordan-Wigner transform.",
            got=f"2^{length} strings from one",
            expected=f"at most 2^{_LONGEST}",
            try_="an order of the modes in which strings are short",
        )
