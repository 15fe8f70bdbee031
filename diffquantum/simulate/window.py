"""States without the qubits that wait in |0>: only reached directions need room.

A state on a *window*, some qubits in order, is an array `[rows, moments, 4, ..., 4]` with one axis for each of them;
the other qubits are in |0> and not entangled, with components (1, 0, 0, 1). A gate on such a qubit opens its axis, and
where all rows are in |0> again, after a reset or when an ancilla is given back, the axis goes.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from diffquantum.simulate.operations import Either, Op

CLEAN = 1e-14  # what a component may differ from that of |0>, beside the largest of its row
LARGEST = 2**23  # most numbers in a state
SMALL = 3  # windows that are not worth a look
ANY = 2**62

Qubits = tuple[int, ...]


class TooWideError(Exception):
    """A state needs too much room."""


def widen(x: Any, qubits: Qubits, wanted: Qubits, most: int = LARGEST) -> Any:
    """A state on a larger window: the new qubits are in |0>."""
    if qubits == wanted:
        return x
    new = [q for q in wanted if q not in qubits]
    if x.size * 4 ** len(new) > most:
        raise TooWideError
    lead = x.ndim - len(qubits)
    shape = [1 if q in new else 4 for q in wanted]
    out = x.reshape(*x.shape[:lead], *shape)
    zero = np.array([1.0, 0.0, 0.0, 1.0])
    for q in new:
        axis = lead + wanted.index(q)
        out = out * zero.reshape([4 if a == axis else 1 for a in range(out.ndim)])
    return out


def narrow(x: np.ndarray, qubits: Qubits, looked_at: Sequence[int]) -> tuple[np.ndarray, Qubits]:
    """A state without those of some qubits that are in |0> in all rows."""
    if len(qubits) <= SMALL:
        return x, qubits
    lead = x.ndim - len(qubits)
    for q in looked_at:
        if q not in qubits:
            continue
        parts = np.moveaxis(x, lead + qubits.index(q), 0)
        if _clean(parts, lead):
            x, qubits = parts[0], tuple(p for p in qubits if p != q)
    return x, qubits


def _clean(parts: np.ndarray, lead: int) -> bool:
    """Whether one qubit, the first axis, is in |0>; a glance at a few rows first."""
    first = parts[(slice(None), *(slice(0, 1),) * lead)]
    for some in (first, parts) if parts.size > 4096 else (parts,):
        rest = tuple(range(lead, some.ndim - 1))
        scale = CLEAN * np.max(np.abs(some[0]), axis=rest, keepdims=True)
        wrong = (np.abs(some[1]) > scale) | (np.abs(some[2]) > scale) | (np.abs(some[3] - some[0]) > scale)
        if wrong.any():
            return False
    return True


def fit(x: np.ndarray, qubits: Qubits, wanted: Qubits) -> np.ndarray:
    """A state on a given window: other qubits are projected on |0>."""
    both = tuple(sorted({*qubits, *wanted}))
    x = widen(x, qubits, both)
    for q in sorted(set(both) - set(wanted), reverse=True):
        axis = x.ndim - len(both) + both.index(q)
        x = (np.take(x, 0, axis) + np.take(x, 3, axis)) / 2
        both = tuple(p for p in both if p != q)
    return x


def run(ops: tuple[Op | Either, ...], x: np.ndarray, qubits: Qubits, numbers: np.ndarray) -> tuple[np.ndarray, Qubits]:
    """The image of a state under some maps.

    Raises:
        TooWideError: too many qubits are in use at once.
    """
    for op in ops:
        if isinstance(op, Either):
            ways = [run(way, x, qubits, numbers) for way in op.ways]
            wanted = tuple(sorted(frozenset().union(*(q for _, q in ways))))
            x, qubits = sum(widen(y, q, wanted) for y, q in ways), wanted  # type: ignore[assignment]
            continue
        wanted = tuple(sorted({*qubits, *op.qubits}))
        x, qubits = widen(x, qubits, wanted), wanted
        here = dataclasses.replace(op, qubits=tuple(qubits.index(q) for q in op.qubits))
        x, qubits = narrow(here.apply(x, numbers, np), qubits, op.qubits)
    return x, qubits


def pieces(
    ops: tuple[Op | Either, ...], x: np.ndarray, qubits: Qubits, numbers: np.ndarray, first: int = 0
) -> Iterator[tuple[int, np.ndarray, Qubits]]:
    """The image of a state, some rows at a time where it needs much room: number of the first row, rows, window."""
    try:
        yield first, *run(ops, x, qubits, numbers)
    except TooWideError:
        if len(x) < 2:
            raise
        half = len(x) // 2
        yield from pieces(ops, x[:half], qubits, numbers, first)
        yield from pieces(ops, x[half:], qubits, numbers, first + half)


# ---------------------------------------------------------------------------------------------------- fixed windows


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """A map, or the sum of several ways, on windows that are the same for all parameters.

    Args:
        op: the map, its qubits being places in `wide`; `None` for a sum.
        ways: the steps of each way of a sum.
        wide: the window it acts on, or that of the sum.
        left: the window without what is in |0> afterwards.
    """

    op: Op | None
    ways: "tuple[tuple[Step, ...], ...]"
    wide: Qubits
    left: Qubits


def plan(
    ops: tuple[Op | Either, ...], x: np.ndarray, qubits: Qubits, numbers: np.ndarray
) -> tuple[tuple[Step, ...], np.ndarray, Qubits]:
    """The steps of some maps, with the windows that a generic state has, and its image."""
    steps = []
    for op in ops:
        if isinstance(op, Either):
            found = [plan(way, x, qubits, numbers) for way in op.ways]
            qubits = tuple(sorted(frozenset().union(*(q for _, _, q in found))))
            x = sum(widen(y, q, qubits) for _, y, q in found)  # type: ignore[assignment]
            steps.append(Step(None, tuple(way for way, _, _ in found), qubits, qubits))
            continue
        wide = tuple(sorted({*qubits, *op.qubits}))
        here = dataclasses.replace(op, qubits=tuple(wide.index(q) for q in op.qubits))
        x, qubits = narrow(here.apply(widen(x, qubits, wide), numbers, np), wide, op.qubits)
        steps.append(Step(here, (), wide, qubits))
    return tuple(steps), x, qubits


def carry(steps: tuple[Step, ...], x: Any, qubits: Qubits, numbers: Any, xp: ModuleType) -> tuple[Any, Qubits]:
    """The image of a state under steps, in NumPy or JAX, and its window."""
    for step in steps:
        if step.op is None:
            ways = [carry(way, x, qubits, numbers, xp) for way in step.ways]
            x = sum(widen(y, q, step.wide, ANY) for y, q in ways)
        else:
            x = step.op.apply(widen(x, qubits, step.wide, ANY), numbers, xp)
            x = x[(slice(None), slice(None), *(slice(None) if q in step.left else 0 for q in step.wide))]
        qubits = step.left
    return x, qubits
