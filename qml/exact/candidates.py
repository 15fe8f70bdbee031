"""All packed states of a space, made from leading and trailing parts with the right totals."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from qml._core.errors import SpaceError
from qml.exact.orbits import Orbits

_HALF = 24  # largest part, in bits
_BATCH = 2**21


def batches(hilbert: Any, orbits: Orbits) -> Iterator[np.ndarray]:
    """Packed states of a space that may be first images, in batches in ascending order.

    Leading parts that are not the smallest of their own images are left out; the predicate of a space is not looked at.

    Raises:
        SpaceError: the space has too many modes to list its parts.
    """
    low = orbits.low if orbits.classes else orbits.width * (orbits.n // 2)
    high = orbits.total - low
    if max(low, high) > _HALF:
        raise SpaceError(
            "This space is too large to list the states of a sector.",
            got=f"{orbits.n} modes of {orbits.width} bits, parts of {max(low, high)} bits",
            expected=f"parts of at most {_HALF} bits",
            try_="a smaller cluster, or a variational state",
        )
    leading, trailing = (np.arange(2**bits, dtype=orbits.dtype) for bits in (high, low))
    if orbits.classes:
        for chosen, smallest, *_ in orbits.classes:
            images = orbits.image(chosen, leading << orbits.dtype.type(low)) >> orbits.dtype.type(low)
            front = orbits.place[np.argsort(orbits.action.permutations[chosen])][orbits.place >= orbits.low]
            if np.all(front >= orbits.low):
                leading = leading[smallest[images] >= leading]
    leading, have = _classed(hilbert, orbits, leading, low, orbits.total)
    trailing, key = _classed(hilbert, orbits, trailing, 0, low)
    wanted, order = _wanted(hilbert, orbits), np.argsort(key, kind="stable")
    begin = np.searchsorted(key[order], wanted - have, side="left")
    end = np.searchsorted(key[order], wanted - have, side="right")
    trailing = trailing[order]
    counts = end - begin
    bounds = np.searchsorted(np.cumsum(counts), np.arange(0, counts.sum() + _BATCH, _BATCH))
    for a, b in zip(bounds, [*bounds[1:], len(leading)]):
        if a == b:
            continue
        here = counts[a:b]
        place = np.arange(here.sum()) - np.repeat(np.cumsum(here) - here - begin[a:b], here)
        yield np.repeat(leading[a:b] << orbits.dtype.type(low), here) | trailing[place]


def _classed(hilbert: Any, orbits: Orbits, parts: np.ndarray, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Parts whose digits exist, with one number for their sums on the parts of the space with fixed totals."""
    mask, key, radix = orbits.dtype.type(2**orbits.width - 1), np.zeros(len(parts), np.int64), 1
    good = np.ones(len(parts), bool)
    inside = [m for m in range(orbits.n) if start <= orbits.place[m] < stop]
    digits = {m: (parts >> orbits.dtype.type(orbits.place[m] - start) & mask).astype(np.int64) for m in inside}
    for digit in digits.values():
        good &= digit <= orbits.action.highest
    for modes in hilbert._block.parts:
        key += radix * sum((digits[m] for m in modes if m in digits), start=np.zeros(len(parts), np.int64))
        radix *= orbits.action.highest * len(modes) + 1
    return parts[good], key[good]


def _wanted(hilbert: Any, orbits: Orbits) -> int:
    block, key, radix = hilbert._block, 0, 1
    for modes, total in zip(block.parts, block.totals):
        down = block.step[modes[0]] < 0
        key += radix * (orbits.action.highest * len(modes) - total if down else total)
        radix *= orbits.action.highest * len(modes) + 1
    return key
