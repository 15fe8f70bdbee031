"""Which terms lead out of a space of fixed magnetisation, decided by algebra; traces over such a space."""

import math
from typing import Any

import numpy as np

from qml._core.errors import DataError, SpaceError
from qml.hilbert import AbstractHilbert
from qml.operator.coefficients import is_traced
from qml.operator.strings import PHASES, PauliStrings, sites_of

_LONGEST = 16  # flipped sites whose patterns are all worked out; longer strings must keep the space one by one
_ROUNDING = 1e-12
_SHOWN = 8


def _down(hilbert: AbstractHilbert) -> int:
    """Number of down spins of every configuration of a constrained spin-1/2 space."""
    return (hilbert.n_sites - round(2 * hilbert.magnetisation)) // 2  # type: ignore[attr-defined]


def leaving_terms(strings: PauliStrings, coefficients: np.ndarray | None, hilbert: AbstractHilbert) -> list[int]:
    r"""Positions of the strings that leave the space after all cancellations.

    Strings with the same flips and the same Z outside them act as $\sum_t c_t\, i^{y_t} (-1)^{|y_t \wedge p|}$ on the
    pattern p of the flipped sites. Patterns with as many up as down keep the magnetisation; the others must cancel.

    Args:
        strings: the strings.
        coefficients: their coefficients, `None` where unknown: then nothing cancels.
        hilbert: a spin-1/2 space of fixed magnetisation.
    """
    classes: dict[tuple[int, int], list[int]] = {}
    for k, (flip, sign) in enumerate(zip(strings.flips, strings.signs)):
        if flip:
            classes.setdefault((flip, sign & ~flip), []).append(k)
    down, n = _down(hilbert), hilbert.n_sites
    bad: list[int] = []
    for (flip, _), terms in classes.items():
        width = flip.bit_count()
        counts = range(max(0, down - (n - width)), min(width, down) + 1)  # down spins the flipped sites may hold
        if all(2 * count == width for count in counts):
            continue
        if coefficients is None or (width > _LONGEST and np.any(coefficients[terms] != 0)):
            bad += terms
        elif width <= _LONGEST and _any_element(strings, coefficients, flip, terms, counts):
            bad += [k for k in terms if coefficients[k] != 0]
    return sorted(bad)


def _any_element(strings: PauliStrings, coefficients: np.ndarray, flip: int, terms: list[int], counts: range) -> bool:
    """True if some pattern that changes the magnetisation has a non-zero element."""
    support = sites_of(flip, strings.n_sites)
    ys = np.array([[strings.signs[k] >> (strings.n_sites - 1 - i) & 1 for i in support] for k in terms])
    weights = coefficients[terms] * PHASES[strings.quarter_turns[terms]]
    patterns = np.arange(2 ** len(support))[:, None] >> np.arange(len(support))[None, :] & 1
    held = patterns.sum(axis=1)
    changing = (2 * held != len(support)) & np.isin(held, list(counts))
    amplitudes = (1 - 2 * (patterns[changing] @ ys.T % 2)) @ weights
    return bool(np.any(np.abs(amplitudes) > _ROUNDING * np.sum(np.abs(weights))))


def sector_traces(strings: PauliStrings, hilbert: AbstractHilbert) -> np.ndarray:
    r"""Trace of each string over the space.

    Without a constraint only the identity has one, $2^n$. With m spins down a string of w letters Z has
    $\sum_j (-1)^j \binom{w}{j} \binom{n-w}{m-j}$; a string that flips sites has none.
    """
    n = hilbert.n_sites
    down = _down(hilbert) if hilbert.is_constrained else None
    traces = []
    for flip, sign in zip(strings.flips, strings.signs):
        w = sign.bit_count()
        if flip:
            traces.append(0)
        elif down is None:
            traces.append(0 if sign else 2**n)
        else:
            traces.append(
                sum((-1) ** j * math.comb(w, j) * math.comb(n - w, down - j) for j in range(min(w, down) + 1))
            )
    return np.array([float(t) for t in traces])


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
    if not hilbert.is_constrained:
        return
    bad = leaving_terms(strings, None if traced else np.asarray(coefficients), hilbert)
    if bad:
        names = ", ".join(repr(strings.short(k)) for k in bad[:_SHOWN]) + (", ..." if len(bad) > _SHOWN else "")
        more = " (their coefficients are traced, so whether they cancel is unknown)" if traced else ""
        raise SpaceError(
            f"The operator leaves a space of fixed magnetisation{more}.",
            got=f"terms {names}",
            expected=f"terms that keep the total S^z of {hilbert}",
            try_="a space with magnetisation=None, or c * operator with a traced c for an operator built outside",
        )
