"""Traces of symmetries on spaces with fixed totals, counted cycle by cycle in whole numbers."""

from typing import Any

import numpy as np

from symmetries import permutation
from symmetries._errors import SymmetryError
from symmetries.action import Action, Totals, parity

Polynomial = dict[tuple[int, ...], Any]  # exponents of the fixed totals -> weight


def dimension(action: Action, characters: np.ndarray, irrep_dimension: int, totals: Totals) -> int:
    r"""Number of states of a sector, $\frac{d}{|G|} \sum_g \overline{\chi(g)}\, \mathrm{tr}\, g$.

    Where all traces are whole numbers, the characters of all elements with the same trace add up to a whole number
    (powers prime to the order of the group permute these elements and act on characters as Galois does). So nothing
    but whole numbers is ever multiplied, and the result is exact for any size.

    Raises:
        SymmetryError: there are too many states to count them in floating point, which twists need.
    """
    values = traces(action, totals)
    groups: dict[Any, complex] = {}
    for value, character in zip(values, characters.conj().tolist()):
        groups[value] = groups.get(value, 0) + character
    if all(isinstance(value, int) for value in groups):
        total = sum(value * round(weight.real) for value, weight in groups.items()) * irrep_dimension
        result, rest = divmod(total, action.order)
        if rest == 0 and all(abs(weight - round(weight.real)) < 1e-6 for weight in groups.values()):
            return result
    estimate = sum(complex(value) * weight for value, weight in groups.items()) * irrep_dimension / action.order
    if abs(estimate - round(estimate.real)) > 0.01 or max(abs(complex(value)) for value in groups) > 1e13:
        raise SymmetryError(
            "The states of this sector cannot be counted.",
            got=f"about {estimate:.6g} states",
            expected="a whole number below 1e13, where elements have phases other than +1 and -1",
            try_="a smaller lattice, or fixed totals",
        )
    return round(estimate.real)


def traces(action: Action, totals: Totals) -> list[Any]:
    """Trace of every element over the configurations with these totals: an int, or a complex number.

    Args:
        action: the elements.
        totals: groups of modes and the sum of the digits on each.
    """
    labels = np.full(action.n_modes, -1)
    for number, (modes, _) in enumerate(totals):
        labels[list(modes)] = number
    targets = tuple(total for _, total in totals)
    kinds, memo, result = _kinds(action, labels), {}, []
    for g in range(action.order):
        if kinds[g] not in memo:
            memo[kinds[g]] = _trace(action, g, labels, targets)
        weight = memo[kinds[g]]
        factor = complex(action.constants[g])
        value = 0 if weight == 0 else weight if factor == 1 else -weight if factor == -1 else factor * weight
        result.append(value)
    return result


def _kinds(action: Action, labels: np.ndarray) -> list[Any]:
    """Equal keys for elements that have the same trace, but for their constants, at a glance."""
    plain = (action.phases == 1).all(axis=1) & ~(action.reversed & action.fermionic)
    first, jump = np.broadcast_to(np.arange(action.n_modes), action.permutations.shape), action.permutations
    for _ in range(action.n_modes.bit_length()):
        first = np.minimum(first, np.take_along_axis(first, jump, axis=1))
        jump = permutation.product(jump, jump)
    members = np.zeros((*first.shape, 1 + len(set(labels.tolist()))), np.int64)  # [g, cycle, label]
    rows = np.arange(len(first))[:, None]
    np.add.at(members, (rows, first, labels[None, :]), 1)
    codes = members @ (action.n_modes + 1) ** np.arange(members.shape[-1])
    keys = np.concatenate([np.sort(codes, axis=1), action.reversed[:, None]], axis=1)
    return [row.tobytes() if same else g for g, (row, same) in enumerate(zip(keys, plain))]


def _trace(action: Action, g: int, labels: np.ndarray, targets: tuple[int, ...]) -> Any:
    """Trace of one element without its constant."""
    cycles = permutation.cycles(action.permutations[g])
    total: Polynomial = {(0,) * len(targets): 1}
    for cycle in cycles:
        factor = _cycle(action, g, cycle, labels, len(targets))
        new: Polynomial = {}
        for one, weight in total.items():
            for two, other in factor.items():
                powers = tuple(a + b for a, b in zip(one, two))
                if all(power <= target for power, target in zip(powers, targets)):
                    new[powers] = new.get(powers, 0) + weight * other
        total = new
    value = total.get(targets, 0)
    if action.fermionic and action.reversed[g]:  # the full state with the modes sorted by cycles
        value *= int(parity(np.concatenate([np.array(cycle) for cycle in cycles])))
    return value


def _cycle(action: Action, g: int, cycle: tuple[int, ...], labels: np.ndarray, n_totals: int) -> Polynomial:
    """Configurations of one cycle that an element keeps: their totals, and the factors they get.

    Modes count as sorted by cycles, and along each cycle in its order, so that the signs of fermions are products.
    """
    length, top, back = len(cycle), action.highest, bool(action.reversed[g])
    result: Polynomial = {}
    for start in range(top + 1):
        digits = [top - start if back and i % 2 else start for i in range(length)]
        if back and length % 2 and 2 * start != top:
            continue
        factor: Any = 1
        for mode, digit in zip(cycle, digits):
            factor *= _power(action.phases[g, mode], digit)
        if action.fermionic:
            if back:  # the phases hold (-1)^(place of the image); here the places are those along the cycle
                swaps = sum(action.permutations[g, mode] * d for mode, d in zip(cycle, digits))
                swaps += sum((i + 1) % length * d for i, d in enumerate(digits))
                factor = -factor if swaps % 2 else factor
            if digits[-1] and sum(digits) % 2 == 0:  # the last comes to the front
                factor = -factor
        powers = [0] * n_totals
        for mode, digit in zip(cycle, digits):
            if labels[mode] >= 0:
                powers[labels[mode]] += digit
        result[tuple(powers)] = result.get(tuple(powers), 0) + factor
    return result


def _power(phase: complex, digit: int) -> Any:
    if digit == 0 or phase == 1:
        return 1
    if phase == -1:
        return -1 if digit % 2 else 1
    return complex(phase) ** digit
