"""The first configuration of each orbit, found for many configurations at once."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int

from symmetries.action import Action


class Representatives(NamedTuple):
    """What `Sector.representatives` gives.

    `states` `[..., sites]`: the configuration of lowest basis index in each orbit. `elements` `[...]`: an element of
    the group that brings the given configuration there. `norms` `[...]`: length of the projected configuration,
    $\\sqrt{\\langle x|P|x\\rangle}$, the same all over an orbit when the irrep has dimension one.

    Example:
        >>> import qml, symmetries
        >>> sector = symmetries.Sector(symmetries.translation_group(qml.lattice.Chain(3)))
        >>> sector.representatives([[-1, 1, 1], [1, 1, 1]]).states.tolist()
        [[1, 1, -1], [1, 1, 1]]
    """

    states: np.ndarray
    elements: Int[np.ndarray, "*batch"]
    norms: Float[np.ndarray, "*batch"]


def first(
    action: Action, heights: Int[np.ndarray, "batch modes"], mirror: int, weights: Complex[np.ndarray, " g"]
) -> tuple[Int[np.ndarray, " batch"], Float[np.ndarray, " batch"]]:
    r"""Which element brings each configuration to the largest of its orbit, and $\sqrt{\langle x|P|x\rangle}$.

    Args:
        action: the elements.
        heights: `[batch, modes]`, whole numbers that fall where the basis index grows; compared from mode 0 on.
        mirror: a reversed height is `mirror - height`.
        weights: coefficients of the projector.
    """
    low, high = (int(heights.min()), int(heights.max())) if heights.size else (0, 0)
    low, high = min(low, mirror - high), max(high, mirror - low)
    base, elements, norms = high - low + 1, np.zeros(len(heights), np.int64), np.zeros(len(heights))
    span = max(int(52 // np.log2(max(base, 2))), 1)
    rows = max(1, 2**22 // action.order)
    words = [_word(action, start, span, base) for start in range(0, action.n_modes, span)]
    identity = int(np.flatnonzero((action.permutations == np.arange(action.n_modes)).all(1) & ~action.reversed)[0])
    for start in range(0, len(heights), rows):
        batch = (heights[start : start + rows] - low).astype(float)
        largest = np.ones((len(batch), action.order), bool)
        fixed = np.ones_like(largest)
        for word in words:  # numbers below 2^53: exact in floating point
            values = batch @ word
            values = np.where(action.reversed[None, :], (mirror - 2 * low) * word.sum(axis=0)[None, :] - values, values)
            fixed &= values == values[:, identity, None]
            values = np.where(largest, values, -1.0)
            largest &= values == values.max(axis=1, keepdims=True)
        elements[start : start + rows] = largest.argmax(axis=1)
        norms[start : start + rows] = _norms(action, heights[start : start + rows], fixed, weights)
    return elements, np.sqrt(np.where(norms < 1e-9, 0.0, norms))


def _norms(action: Action, heights: np.ndarray, fixed: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """$\\langle x|P|x\\rangle$ from the elements that keep each configuration."""
    if action.is_trivial:
        return fixed @ np.real(weights)
    result = np.zeros(len(heights))
    for g in np.flatnonzero(fixed.any(axis=0)).tolist():
        rows = np.flatnonzero(fixed[:, g])
        result[rows] += np.real(weights[g] * action.factors(g, -heights[rows]))
    return result


def _word(action: Action, start: int, span: int, base: int) -> np.ndarray:
    """Weights `[modes, g]` that turn a configuration into the digits `start .. start + span` of its images."""
    place = np.arange(action.n_modes)
    inside = (place >= start) & (place < start + span)
    powers = np.where(inside, float(base) ** (min(start + span, action.n_modes) - 1 - place), 0.0)
    return powers[action.permutations].T
