r"""Laws of the random insertion fitted to a program by a pilot run.

The second moment of the estimator is $\sum_k v_k / \mu(k)$ with $v_k$ the mean square of the (centred) output of runs
that reach occurrence $k$. Best is $\mu(k) \propto \sqrt{v_k}$; a share of heavy tail guards against what the pilot
did not see.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from diffquantum.estimate.sampled import pauli_terms
from diffquantum.ir import Program
from diffquantum.simulate.shots import sample
from diffquantum.transform.derivative import has_unbounded_occurrences, occurrence_program, parameter_number
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
        shots: runs of the pilot.
        parameter: the parameter to differentiate; `None` is all together.
        heavy: share of the heavy tail, in (0, 1].
        table: largest number of hazards.

    Returns:
        Hazards, and for programs that return numbers baselines $b_k = E[f | k \text{ reached}]$.

    Raises:
        ConvergenceError: a run of the pilot did not end.
    """
    which = range(len(program.parameters)) if parameter is None else (parameter_number(program, parameter),)
    if not has_unbounded_occurrences(program, which):
        return Roulette()
    values, reached = _pilot(occurrence_program(program, which), observable, theta, key, shots)
    longest = int(reached.max(initial=1))
    count = max(int(np.sum([np.sum(reached >= k) >= ENOUGH for k in range(1, min(longest, table) + 1)])), 1)
    baseline = np.zeros(count)
    spread = np.zeros(count)
    for k in range(count):
        here = values[reached > k]
        baseline[k] = here.mean() if observable is None and len(here) else 0.0
        spread[k] = np.sqrt(np.sum((here - baseline[k]) ** 2) / shots)
    spread = np.maximum(spread, 1e-3 * spread.max(initial=1e-300) / np.arange(1, count + 1))
    half = count // 2
    left = np.mean(reached[reached > half] - half)  # 1 / (1 - chance to go on)
    ratio = float(np.clip(np.sqrt(1 - 1 / left), 0.3, 0.9999))
    size = int(min(table, max(count, count + np.log(0.01) / np.log(ratio))))
    law = np.concatenate([spread, spread[-1] * ratio ** np.arange(1, size - count + 1)])
    beyond = law[-1] * ratio / (1 - ratio)
    tail = np.cumsum(law[::-1])[::-1] + beyond
    mass, rest = heavy_tail(size)
    hazards = ((1 - heavy) * law / tail[0] + heavy * mass) / ((1 - heavy) * tail / tail[0] + heavy * rest)
    levels = np.concatenate([baseline, np.full(size - count, baseline[-1])])
    return Roulette(tuple(hazards.tolist()), tuple(levels.tolist()) if observable is None else ())


def _pilot(
    program: Program, observable: Any, theta: Array, key: RandomKey, shots: int
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of the pilot's runs, and how many occurrences each passed."""
    samples = sample(program, jnp.asarray(theta), key, shots, observable=pauli_terms(program, observable))
    if not np.all(np.asarray(samples.finished)):
        raise ConvergenceError(
            f"A run of {program.name} did not end.",
            got="more turns of its loops than the limit",
            expected="a program that ends with probability 1 at this theta",
            try_="another theta, or Roulette.mixture()",
        )
    values = np.asarray(samples.outputs[0], float)
    if samples.observable is not None:
        values = values * np.asarray(samples.observable)
    return values, np.asarray(samples.outputs[1])
