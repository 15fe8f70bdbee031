"""Which terms lead out of a constrained space: decided by algebra for totals, tried out for predicates; traces."""

import math
from typing import Any

import jax
import numpy as np

from qml._core.errors import DataError, SpaceError
from qml.hilbert import AbstractHilbert
from qml.operator.coefficients import is_traced
from qml.operator.occupation import configurations
from qml.operator.strings import PHASES, PauliStrings, mask_of, sites_of

_LONGEST = 16  # flipped sites whose patterns are all worked out; longer strings must keep the space one by one
_ROUNDING = 1e-12
_SHOWN = 8


def _downs(hilbert: AbstractHilbert) -> list[tuple[int, int]]:
    """For each part with a fixed total the mask of its sites and its number of down spins."""
    totals = hilbert._block.totals  # numbers of up spins
    return [(mask_of(part, hilbert.n_sites), len(part) - up) for part, up in zip(hilbert.parts, totals)]


def leaving_terms(strings: PauliStrings, coefficients: np.ndarray | None, hilbert: AbstractHilbert) -> list[int]:
    r"""Positions of the strings that leave the space after all cancellations.

    Strings with the same flips and the same Z outside them act as $\sum_t c_t\, i^{y_t} (-1)^{|y_t \wedge p|}$ on the
    pattern p of the flipped sites. Patterns with as many up as down on every part keep its total; the others must
    cancel, where the space has configurations with them.

    Args:
        strings: the strings.
        coefficients: their coefficients, `None` where unknown: then nothing cancels.
        hilbert: a spin-1/2 space with fixed totals.
    """
    classes: dict[tuple[int, int], list[int]] = {}
    for k, (flip, sign) in enumerate(zip(strings.flips, strings.signs)):
        if flip:
            classes.setdefault((flip, sign & ~flip), []).append(k)
    bad: list[int] = []
    for (flip, _), terms in classes.items():
        held = []  # on each part: its flipped sites, and how many of them may be down
        for mask, down in _downs(hilbert):
            width = (flip & mask).bit_count()
            held.append((flip & mask, range(max(0, down - (mask.bit_count() - width)), min(width, down) + 1)))
        if any(not counts for _, counts in held):
            continue
        if all(2 * count == mask.bit_count() for mask, counts in held for count in counts):
            continue
        wide = flip.bit_count() > _LONGEST
        if coefficients is None or (wide and np.any(coefficients[terms] != 0)):
            bad += terms
        elif not wide and _any_element(strings, coefficients, flip, terms, held):
            bad += [k for k in terms if coefficients[k] != 0]
    return sorted(bad)


def _any_element(
    strings: PauliStrings, coefficients: np.ndarray, flip: int, terms: list[int], held: list[tuple[int, range]]
) -> bool:
    """True if some pattern that occurs and changes a total has a non-zero element."""
    n = strings.n_sites
    support = sites_of(flip, n)
    ys = np.array([[strings.signs[k] >> (n - 1 - i) & 1 for i in support] for k in terms])
    weights = coefficients[terms] * PHASES[strings.quarter_turns[terms]]
    patterns = np.arange(2 ** len(support))[:, None] >> np.arange(len(support))[None, :] & 1
    occurs, changes = np.ones(len(patterns), bool), np.zeros(len(patterns), bool)
    for mask, counts in held:
        inside = np.array([mask >> (n - 1 - i) & 1 for i in support], dtype=int)
        down = patterns @ inside
        occurs &= np.isin(down, list(counts))
        changes |= 2 * down != inside.sum()
    amplitudes = (1 - 2 * (patterns[occurs & changes] @ ys.T % 2)) @ weights
    return bool(np.any(np.abs(amplitudes) > _ROUNDING * np.sum(np.abs(weights))))


def sector_traces(strings: PauliStrings, hilbert: AbstractHilbert) -> np.ndarray:
    r"""Trace of each string over a space without predicate.

    A free site has the trace 2 of the identity and none of Z. On a part of n sites with m spins down a string of w
    letters Z has $\sum_j (-1)^j \binom{w}{j} \binom{n-w}{m-j}$; a string that flips sites has no trace.
    """
    parts = _downs(hilbert)
    free = (1 << hilbert.n_sites) - 1
    for mask, _ in parts:
        free &= ~mask
    traces = []
    for flip, sign in zip(strings.flips, strings.signs):
        trace = 0 if flip or sign & free else 2 ** free.bit_count()
        for mask, down in parts:
            w, n = (sign & mask).bit_count(), mask.bit_count()
            trace *= sum((-1) ** j * math.comb(w, j) * math.comb(n - w, down - j) for j in range(min(w, down) + 1))
        traces.append(float(trace))
    return np.array(traces)


def check_terms(strings: PauliStrings, coefficients: Any, hilbert: AbstractHilbert) -> None:
    """Raise if the sum is not finite or leads out of its space; terms with traced coefficients must stay one by one.

    Raises:
        SpaceError: with the terms that leave the space.
        DataError: a coefficient is NaN or infinite.
    """
    traced = is_traced(coefficients)
    broken = () if traced else np.flatnonzero(~np.isfinite(np.asarray(coefficients))).tolist()
    if broken:
        wrong = ", ".join(repr(strings.short(k)) for k in broken[:_SHOWN])
        raise DataError(
            "A coefficient is not finite.", got=wrong, expected="finite numbers", try_="check the data it came from"
        )
    if not hilbert.parts:
        return
    bad = leaving_terms(strings, None if traced else np.asarray(coefficients), hilbert)
    if bad:
        names = ", ".join(repr(strings.short(k)) for k in bad[:_SHOWN]) + (", ..." if len(bad) > _SHOWN else "")
        more = " (their coefficients are traced, so whether they cancel is unknown)" if traced else ""
        total = "magnetisation" if len(hilbert.parts[0]) == hilbert.n_sites else "totals"
        raise SpaceError(
            f"The operator leaves a space of fixed {total}{more}.",
            got=f"terms {names}",
            expected=f"terms that keep every total of {hilbert}",
            try_="a space without that total, or c * operator with a traced c for an operator built outside",
        )


def check_predicate(operator: Any, hilbert: AbstractHilbert) -> None:
    """Raise if an operator leads to configurations that a predicate of a space forbids.

    Elements are worked out on all configurations, or on some at random where there are too many to list. Where the
    elements are traced, every element that its pattern of zeros allows counts.

    Raises:
        SpaceError: with a configuration and the sites that change.
    """
    if hilbert.envelope == hilbert:
        return
    with jax.ensure_compile_time_eval():
        operator = operator._untraced()
        for x in configurations(hilbert):
            neighbours, elements = operator.connected(x)
            size = np.abs(np.asarray(elements)) * ~np.asarray(hilbert.contains(neighbours))
            if np.any(size > _ROUNDING * np.max(np.abs(elements), initial=0.0)):
                row, slot = np.unravel_index(np.argmax(size), size.shape)
                sites = np.flatnonzero(np.asarray(neighbours[row, slot] != x[row])).tolist()
                raise SpaceError(
                    "The operator leaves a constrained space.",
                    got=f"an element from {x[row].tolist()} that changes sites {sites}",
                    expected=f"configurations of {hilbert}",
                    try_="terms with projectors, or a space without the predicate",
                )
