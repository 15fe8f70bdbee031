"""Rigorous lower bounds of the spectrum: an energy below one can only come from broken sampling."""

from typing import NamedTuple

import numpy as np

from qml.operator import AbstractOperator, PauliSum
from qml.operator.strings import sites_of

CLUSTER = 6  # sites of a cluster: a matrix of 64 x 64
CLUSTERS = 2048


class LowerBound(NamedTuple):
    """A number below every eigenvalue, and how it was found.

    Args:
        value: the bound.
        kind: `"anderson"` (sum over overlapping clusters) or `"term by term"`.
    """

    value: float
    kind: str


def lower_bound(hamiltonian: AbstractOperator) -> LowerBound:
    r"""A number below every eigenvalue of a Hermitian operator.

    $H = \sum_c H_c$ over overlapping clusters of a few sites has $E_0(H) \ge \sum_c E_0(H_c)$. The clusters grow from
    every site along the strongest terms to at most six sites, in two ways, of which the better one counts. A term is
    shared equally by all clusters that hold it, and counts with its norm where none does. Operators that are no Pauli
    sums are bounded term by term.

    Args:
        hamiltonian: Hermitian; its coefficients must be known numbers.

    Example:
        >>> import qml
        >>> from drivers.bounds import lower_bound
        >>> chain = qml.lattice.Chain(12)
        >>> ising = qml.operator.Ising(qml.hilbert.Spin(12), chain, j=-1.0, h=1.0)  # E_0 = -15.32, sum of terms -24
        >>> found = lower_bound(ising)
        >>> print(f"{found.value:.2f}", found.kind)
        -16.23 anderson

    Source: Anderson, Phys. Rev. 83, 1260 (1951).
    """
    centre, radius = hamiltonian.bound()
    plain = LowerBound(centre - radius, "term by term")
    if not isinstance(hamiltonian, PauliSum) or hamiltonian.strings.n_sites > CLUSTERS:
        return plain
    value = max(_anderson(hamiltonian, loops) for loops in (False, True))
    return plain if value < plain.value else LowerBound(value, "anderson")


def _anderson(hamiltonian: PauliSum, loops: bool) -> float:
    strings, n = hamiltonian.strings, hamiltonian.strings.n_sites
    coefficients = np.real(np.asarray(hamiltonian.coefficients))
    supports = [frozenset(sites_of(f | z, n)) for f, z in zip(strings.flips, strings.signs, strict=True)]
    through: list[list[int]] = [[] for _ in range(n)]  # terms through each site
    for k, support in enumerate(supports):
        for site in support:
            through[site].append(k)
    clusters = [_grow(site, supports, np.abs(coefficients), through, loops) for site in range(n)]
    held = [sorted({k for s in c for k in through[s] if supports[k] <= set(c)}) for c in clusters]
    holders = np.bincount([k for terms in held for k in terms], minlength=len(supports))
    empty = np.array([not support for support in supports], dtype=bool)
    total = np.sum(coefficients[empty]) - np.sum(np.abs(coefficients[~empty & (holders == 0)]))
    known: dict[tuple, float] = {}
    for cluster, terms in zip(clusters, held, strict=True):
        words = [tuple(strings._letter(k, site) for site in cluster) for k in terms]
        key = tuple(sorted(zip(words, (coefficients[terms] / holders[terms]).tolist(), strict=True)))
        if key not in known:
            known[key] = _lowest(key, len(cluster))
        total += known[key]
    return float(total - 1e-9 * np.sum(np.abs(coefficients)))  # what rounding may have added


def _grow(
    start: int, supports: list[frozenset], sizes: np.ndarray, through: list[list[int]], loops: bool
) -> tuple[int, ...]:
    """Sites around one, each the most strongly coupled to those before it; of equal ones the one that closes loops."""
    cluster: list[int] = [start]
    weights: dict[int, float] = {}
    while len(cluster) < CLUSTER:
        for k in through[cluster[-1]]:
            for site in supports[k].difference(cluster):
                weights[site] = weights.get(site, 0.0) + sizes[k]
        if not weights:
            break
        near = {s: set().union(*(supports[k] for k in through[s])) for s in weights}
        closing = {s: len(near[s] & weights.keys()) if loops else 0 for s in weights}
        cluster.append(max(weights, key=lambda s: (round(weights[s], 9), closing[s], -abs(s - start), -s)))
        del weights[cluster[-1]]
    return tuple(cluster)


def _lowest(terms: tuple, sites: int) -> float:
    """The lowest eigenvalue of Pauli strings on a few sites."""
    states = np.arange(2**sites)
    matrix: np.ndarray = np.zeros((2**sites, 2**sites), complex)
    for word, coefficient in terms:
        flip = sum(1 << i for i, letter in enumerate(word) if letter in "XY")
        sign = sum(1 << i for i, letter in enumerate(word) if letter in "YZ")
        parity = np.array([(b & sign).bit_count() % 2 for b in states.tolist()])
        matrix[states ^ flip, states] += coefficient * 1j ** word.count("Y") * (1 - 2 * parity)
    return float(np.linalg.eigvalsh(matrix if np.any(np.imag(matrix)) else np.real(matrix))[0])
