"""The record of a result with everything a public leaderboard of variational energies asks for."""

import resource
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from qml.estimate.stats import Stats

HOW = {
    True: "{samples} samples of {chains} new Markov chains from random starts, thermalised by diagnostics, after the "
    "last step; error with autocorrelation",
    False: "sum over all configurations: no statistical error",
}


def entry(numbers: Mapping[str, Any], facts: Mapping[str, Any], seconds: float) -> dict:
    """The fields of one submission.

    Energy and variance are of the whole system in the units of the Hamiltonian. Variational energies are upper bounds:
    `bound_type` is `variational`, or `none` where the run is doubtful or ended early. Of several energies there is one
    submission for each of the `levels`, lowest first.

    Args:
        numbers: final numbers by name; `energy` and `v_score` count here.
        facts: what the driver knows: `hilbert`, `dof`, `parameters`, `chains`, `hamiltonian`, `ansatz`, `sound`.
        seconds: wall time of the steps.
    """
    energy = numbers.get("energy")
    if not isinstance(energy, Stats) or energy.mean.ndim > 1:
        return {}
    if energy.mean.ndim:
        return {"levels": [_level(numbers, facts, seconds, k) for k in range(len(energy.mean))]}
    chains = facts.get("chains")
    how = HOW[chains is not None].format(samples=int(energy.samples), chains=chains)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "energy": _number(np.real(energy.mean)),
        "sigma": _number(energy.error),
        "how": how,
        "variance": _number(energy.variance),
        "v_score": _number(numbers.get("v_score")),
        "r_hat": _number(energy.r_hat),
        "tau": _number(energy.tau),
        "dof": facts.get("dof"),
        "einf": facts.get("einf"),
        "bound_type": "variational" if facts.get("sound") else "none",
        "lower_bound": _number(numbers.get("lower_bound")),
        "parameters": facts.get("parameters"),
        "space": facts.get("space"),
        "hamiltonian": facts.get("hamiltonian"),
        "ansatz": facts.get("ansatz"),
        "compute": {
            "devices": [f"{d.platform}:{d.device_kind}" for d in jax.devices()],
            "wall_seconds": round(seconds, 3),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
            "peak_mib": round(usage.ru_maxrss / 1024, 1),
        },
        "date": time.strftime("%Y-%m-%d"),
    }


def _level(numbers: Mapping[str, Any], facts: Mapping[str, Any], seconds: float, k: int) -> dict:
    """One of the levels in the span of several states, with the variance of the state whose energy has its place."""
    single, energy = numbers.get("single", numbers["energy"]), numbers["energy"][k]
    place = int(np.argsort(np.real(single.mean), kind="stable")[k])
    score = numbers.get("v_score")
    alike = Stats(energy.mean, energy.error, single[place].variance, energy.tau, energy.r_hat, energy.samples)
    found = entry({**numbers, "energy": alike, "v_score": None if score is None else score[place]}, facts, seconds)
    span = f"; level {k} of the Hamiltonian in the span of {len(single.mean)} states, variance and V-score of the state"
    return {**found, "level": k, "how": f"{found['how']}{span} whose own energy has that place"}


def _number(value: Any) -> float | None:
    """A finite number, or nothing."""
    value = np.nan if value is None else float(np.asarray(value))
    return value if np.isfinite(value) else None
