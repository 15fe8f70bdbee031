r"""Means over all configurations of a space, exactly and without listing them: the state of infinite temperature."""

import functools
import itertools
import math
from collections import Counter
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from qml._core.errors import SpaceError
from qml._core.types import Array
from qml.hilbert import AbstractHilbert
from qml.operator import BosonSum, FermionSum, LocalOperator, PauliSum
from qml.operator.base import AbstractOperator
from qml.operator.strings import sites_of

_LISTED = 2**16  # states of a space that is summed over
_WIDEST = 2**20  # configurations of the sites of one term

Term = tuple[tuple[int, ...], np.ndarray]


def infinite_temperature(operator: AbstractOperator, hilbert: AbstractHilbert | None = None) -> float | Array:
    r"""The energy at infinite temperature, $E_\infty = \mathrm{Tr} H / \dim$ over the configurations of a space.

    Exact for any number of sites: the mean of a term over a space with fixed totals is counted with whole numbers.

    Args:
        operator: Hermitian; `PauliSum`, `LocalOperator`, `FermionSum` or `BosonSum`, or any operator on a space of at
            most 65536 states.
        hilbert: the space; `None` is that of the operator.

    Returns:
        A number; an array while the coefficients are traced (not for a `LocalOperator` on more states).

    Raises:
        SpaceError: the operator does not act on the space, or the space has a predicate or the operator is of another
            kind and there are too many states to list.

    Example:
        >>> from qml.estimate import infinite_temperature
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import Chain
        >>> from qml.operator import Heisenberg
        >>> infinite_temperature(Heisenberg(Spin(100), Chain(100)))
        0.0
        >>> space = Spin(100, magnetisation=0)
        >>> round(infinite_temperature(Heisenberg(space, Chain(100))), 12), round(-100 / 4 / 99, 12)
        (-0.252525252525, -0.252525252525)
    """
    space = operator.hilbert if hilbert is None else hilbert
    operator.check_space(space)
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(operator)):
        return _mean(operator, space)
    with jax.ensure_compile_time_eval():
        return float(_mean(operator, space))


def _mean(operator: AbstractOperator, space: AbstractHilbert) -> Array:
    if space.size <= _LISTED:
        return jnp.mean(operator.diagonal(space.all_states())).real
    if space.envelope != space:
        raise _too_large(space, "a space with a predicate")
    values, terms = _terms(operator, space)
    means = np.array([np.sum(table * _law(space, sites).reshape(table.shape)) for sites, table in terms])
    return jnp.sum(values * means).real if len(terms) else jnp.zeros(())


def degrees_of_freedom(hilbert: AbstractHilbert) -> float:
    """Number of spins plus mean number of particles over the space, which is the fixed one where it is fixed.

    Raises:
        SpaceError: the space has a predicate and too many states to list.

    Example:
        >>> from qml.estimate import degrees_of_freedom
        >>> from qml.hilbert import Spin, SpinfulFermion
        >>> degrees_of_freedom(Spin(10)), degrees_of_freedom(SpinfulFermion(4, n_up=2, n_down=1))
        (10.0, 3.0)
    """
    levels = [np.array(states, float) for states in hilbert.site_states]
    spins = [i for i, v in enumerate(levels) if v[0] == -v[-1]]
    rest = [i for i in range(hilbert.n_sites) if i not in spins]
    if not rest:
        return float(len(spins))
    if hilbert.envelope != hilbert:
        if hilbert.size > _LISTED:
            raise _too_large(hilbert, "a space with a predicate")
        return len(spins) + float(np.mean(np.sum(np.asarray(hilbert.all_states())[:, rest], axis=1, dtype=float)))
    return len(spins) + float(sum(np.sum(levels[i] * _law(hilbert, (i,))) for i in rest))


def _terms(operator: AbstractOperator, space: AbstractHilbert) -> tuple[Any, list[Term]]:
    """The diagonal part: coefficients, and of each term its sites and values on all local configurations of them."""
    if isinstance(operator, PauliSum):
        strings = operator.strings
        chosen = [k for k, flip in enumerate(strings.flips) if not flip]
        sites = [tuple(sites_of(strings.signs[k], strings.n_sites)) for k in chosen]
        terms = [(s, _outer([np.array([1.0, -1.0])] * len(s))) for s in sites]
        return operator.coefficients[np.array(chosen, int)], terms
    if isinstance(operator, LocalOperator):
        found = [(tuple(term.sites), np.diag(term.matrix)) for term in operator.terms()]
        return np.ones(len(found)), found
    if not isinstance(operator, (FermionSum, BosonSum)):
        raise _too_large(space, f"a {type(operator).__name__}")
    terms = []
    for k in operator.strings.layout.diagonal:
        key = operator.strings.keys[k]
        if isinstance(operator, FermionSum):
            powers = dict.fromkeys(sites_of(key[0], space.n_sites), 1)
        else:
            powers = {i: p for i, p, _ in key}
        factors = [np.array([math.perm(n, p) for n in space.site_states[i]], float) for i, p in powers.items()]
        terms.append((tuple(powers), _outer(factors)))
    return operator.coefficients[operator.strings.layout.diagonal], terms


def _outer(factors: list[np.ndarray]) -> np.ndarray:
    size = math.prod(len(f) for f in factors)
    if size > _WIDEST:
        raise SpaceError(
            "A term acts on too many sites to take its mean.",
            got=f"{len(factors)} sites",
            expected=f"at most {_WIDEST} configurations of them",
            try_="a sum of terms on fewer sites",
        )
    return functools.reduce(np.multiply.outer, factors, np.ones(()))


def _too_large(space: AbstractHilbert, what: str) -> SpaceError:
    return SpaceError(
        f"The mean over {what} is taken by listing its configurations.",
        got=f"{space.size} states",
        expected=f"at most {_LISTED}",
        try_="an operator of Pauli, fermion or boson strings or local matrices, and a space without predicate",
    )


def _law(space: AbstractHilbert, sites: tuple[int, ...]) -> np.ndarray:
    """Probability of each local configuration of some sites under the uniform law, first site slowest."""
    parts = {i: number for number, part in enumerate(space.parts) for i in part}
    return _cached_law(space, tuple((parts.get(i, -1), space.site_states[i]) for i in sites))


@functools.lru_cache(maxsize=256)
def _cached_law(space: AbstractHilbert, kinds: tuple[tuple[int, tuple[int, ...]], ...]) -> np.ndarray:
    """The law for sites of these parts and local states: sites of one part with like local states are alike."""
    completions = {}
    for number in {part for part, _ in kinds if part >= 0}:
        levels = Counter(len(space.site_states[i]) for i in space.parts[number])
        levels.subtract(Counter(len(states) for part, states in kinds if part == number))
        completions[number] = _counts(tuple(sorted((d, m) for d, m in levels.items() if m)))
    found = []
    for local in itertools.product(*[range(len(states)) for _, states in kinds]):
        ways = 1
        for number, counts in completions.items():
            rest = space.charges[number]
            for (part, states), digit in zip(kinds, local):
                if part == number:
                    rest -= digit if states[-1] > states[0] else len(states) - 1 - digit
            ways *= counts[rest] if 0 <= rest < len(counts) else 0
        found.append(ways)
    total = sum(found)
    return np.array([float(Fraction(w, total)) for w in found])


@functools.lru_cache(maxsize=64)
def _counts(levels: tuple[tuple[int, int], ...]) -> list[int]:
    """How many configurations of sites with so many levels have each charge; exact."""
    counts = [1]
    for d, times in levels:
        for _ in range(times):
            new, window = [], 0
            for r in range(len(counts) + d - 1):
                window += (counts[r] if r < len(counts) else 0) - (counts[r - d] if 0 <= r - d < len(counts) else 0)
                new.append(window)
            counts = new
    return counts
