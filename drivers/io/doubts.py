"""Reasons not to believe the numbers of a run, each with what to try."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from drivers.io.history import History
from qml.estimate.health import TROUBLES
from qml.estimate.stats import Stats

R_HAT = 1.05
ACCEPTANCE = 1e-3
REMEDIES = (
    "a smaller learning rate, or an ansatz without zeros on the configurations that are sampled",
    "another rule (exchanges, global flips), parallel tempering, more chains",
    "another rule, or importance sampling (power=1)",
    "longer chains (samples=), more sweeps between them, parallel tempering",
    "more samples, more sweeps between them (sweep=)",
    "a power nearer to 2",
    "another rule, more sweeps (burn=)",
    "mending local_update of the model, or a state of dataclasses.replace(ansatz, updates=None)",
)


def doubts(numbers: Mapping[str, Any], history: History | None = None) -> list[str]:
    """Reasons not to believe final numbers: troubles of the sampling, a broken bound, an inconsistent variance.

    Args:
        numbers: final numbers by name; `troubles`: the flags of a `qml.estimate.Health`, `lower_bound`: a rigorous one.
        history: the record of the run.
    """
    found = []
    if "troubles" in numbers:
        flags = np.asarray(numbers["troubles"]).ravel()  # fewer in folders of older programs
        found = [f"{name}; try {fix}" for name, fix, flag in zip(TROUBLES, REMEDIES, flags, strict=False) if flag]
    else:
        found = _without_health(numbers)
    energy = numbers.get("energy")
    if isinstance(energy, Stats) and "lower_bound" in numbers:
        floor, error = float(np.asarray(numbers["lower_bound"])), np.nan_to_num(np.asarray(energy.error))
        if np.any(np.asarray(energy.mean) < floor - 5 * error - 1e-9 * abs(floor)):
            found.append(f"the energy lies below the rigorous bound {floor:.6g}; try another sampler")
    if history is not None and (text := consistency(history)):
        found.append(text)
    return found


def _without_health(numbers: Mapping[str, Any]) -> list[str]:
    found = []
    for name, value in numbers.items():
        if isinstance(value, Stats) and value.r_hat.ndim == 0 and value.r_hat > R_HAT:
            found.append(f"the chains disagree on {name}: R-hat = {float(value.r_hat):.3f}, should be below {R_HAT}")
    acceptance = numbers.get("acceptance")
    if acceptance is not None and np.ndim(acceptance) == 0 and np.asarray(acceptance) < ACCEPTANCE:
        found.append(f"the chains hardly move: acceptance = {float(np.asarray(acceptance)):.1e}")
    return found


def consistency(history: History) -> str:
    """Whether the energy has fallen while the V-score has risen since its best time, at the end of a run.

    A lower energy with a larger variance can be a crossing to another state; it is also what chains show that have lost
    touch with the wave function. Compared are the medians of the last tenth of the steps with those of the tenth with
    the smallest V-score, past the first quarter.

    Returns:
        A sentence, empty where all is well.
    """
    if not all(name in history.names for name in ("energy.mean", "energy.error", "v_score")):
        return ""
    energy, error, score = (history[name] for name in ("energy.mean", "energy.error", "v_score"))
    count = len(energy)
    width = max(10, count // 10)
    if count < 4 * width or energy.ndim != 1:
        return ""
    starts = range(count // 4, count - 2 * width + 1, width)
    best = min(starts, key=lambda i: np.median(score[i : i + width]))
    then, now = slice(best, best + width), slice(count - width, count)
    fall = np.median(energy[then]) - np.median(energy[now])
    noise = np.hypot(np.median(error[then]), np.median(error[now])) / np.sqrt(width) * 1.25
    rise = np.median(score[now]) / max(np.median(score[then]), 1e-300)
    if not (fall > 5 * noise + 1e-9 * abs(np.median(energy[now])) and rise > 3):
        return ""
    return (
        f"the energy has fallen by {fall:.2g} since step {history.steps[best]} while the V-score has grown "
        f"{rise:.1f} times; try a run from other initial parameters, and another sampler"
    )
