r"""Laws of the random insertion fitted to a program by a pilot run.

The second moment of the estimator is $\sum_k v_k / \mu(k)$ with $v_k$ the mean square of the (centred) output of runs
that reach occurrence $k$. Best is $\mu(k) \propto \sqrt{v_k}$; a share of heavy tail guards against what the pilot
did not see.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffquantum.estimate.sampled import pauli_terms
from diffquantum.ir import Program
from diffquantum.simulate.shots import sample
from diffquantum.transform.derivative import (
    has_unbounded_occurrences,
    insertion_program,
    occurrence_program,
    parameter_number,
)
from diffquantum.transform.gadget import Roulette, heavy_tail
from qml._core.errors import ConvergenceError
from qml._core.types import Array, RandomKey

__all__ = ["Roulette", "tuned"]

ENOUGH = 30  # pilot runs that must reach an occurrence before we trust their mean


def tuned(
    program: Program,
    observable: Any,
    theta: Array,
    key: RandomKey,
    shots: int = 4000,
    *,
    parameter: int | str | None = None,
    heavy: float = 0.1,
    table: int = 512,
) -> Roulette:
    r"""A law for a program at given parameters, from a pilot run of the program itself.

    Args:
        program: the program.
        observable: a `PauliSum` on the register, or `None`.
        theta: the parameters `[params]`; the law stays valid elsewhere, only less sharp.
        key: a typed key.
        shots: runs of the pilot, and as many again to fit the baselines.
        parameter: the parameter to differentiate; `None` is all together.
        heavy: share of the heavy tail, in (0, 1].
        table: largest number of hazards.

    Returns:
        Hazards, and for programs that return numbers baselines near $E[f | \text{shift at } k]$.

    Raises:
        ConvergenceError: a run of the pilot did not end.
    """
    which = range(len(program.parameters)) if parameter is None else (parameter_number(program, parameter),)
    if not has_unbounded_occurrences(program, which):
        return Roulette()
    first, second = jax.random.split(key)
    values, (reached,) = _pilot(occurrence_program(program, which), observable, theta, first, shots)
    count = sum(np.sum(reached >= k) >= ENOUGH for k in range(1, min(int(reached.max()), table) + 1))
    count = max(int(count), 1)
    rows = [values[reached > k] for k in range(count)]
    centre = np.array([row.mean() if observable is None and len(row) else 0.0 for row in rows])
    spread = np.array([np.sqrt(np.sum((row - b) ** 2) / shots) for row, b in zip(rows, centre)])
    spread = np.maximum(spread, 1e-3 * spread.max(initial=1e-300) / np.arange(1, count + 1))
    half = count // 2
    left = np.mean(reached[reached > half] - half) if np.any(reached > half) else 1.0  # 1 / (1 - chance to go on)
    ratio = float(np.clip(np.sqrt(1 - 1 / left), 0.3, 0.9999))
    size = int(min(table, max(count, count + np.log(0.01) / np.log(ratio))))
    law = np.concatenate([spread, spread[-1] * ratio ** np.arange(1, size - count + 1)])
    tail = np.cumsum(law[::-1])[::-1] + law[-1] * ratio / (1 - ratio)
    mass, rest = heavy_tail(size)
    hazards = ((1 - heavy) * law / tail[0] + heavy * mass) / ((1 - heavy) * tail / tail[0] + heavy * rest)
    found = Roulette(tuple(hazards.tolist()))
    if observable is not None:
        return found
    centre = _continued(centre, np.array([len(row) for row in rows]), size)
    values, (fired, place) = _pilot(insertion_program(program, which, found), None, theta, second, shots)
    moved = values[fired] - centre[place[fired]]  # a shift moves the output; on average over all places:
    centre = centre + (moved.mean() if len(moved) else 0.0)
    return Roulette(found.hazards, tuple(centre.tolist()))


def _continued(centre: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
    """Mean outputs by occurrence, where few runs get that far along a straight line."""
    k = np.arange(len(centre))
    late = k >= len(k) // 2
    slope, start = 0.0, centre[-1]
    if np.sum(late) > 1:
        slope, start = np.polyfit(k[late], centre[late], 1, w=np.sqrt(rows[late]))
    few = np.arange(size) >= np.sum(rows >= 10 * ENOUGH)
    line = start + slope * np.arange(size)
    return np.where(few, line, np.concatenate([centre, np.zeros(size - len(centre))]))


def _pilot(
    program: Program, observable: Any, theta: Array, key: RandomKey, shots: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """First output of the pilot's runs, times the observable, and the other outputs."""
    samples = sample(program, jnp.asarray(theta), key, shots, observable=pauli_terms(program, observable))
    if not np.all(np.asarray(samples.finished)):
        raise ConvergenceError(
            f"A run of {program.name} did not end.",
            got="more turns of its loops than the limit",
            expected="a program that ends with probability 1 at this theta",
            try_="another theta, or Roulette.mixture()",
        )
    first, *others = (np.asarray(x) for x in samples.outputs)
    return first if samples.observable is None else first * np.asarray(samples.observable), others
