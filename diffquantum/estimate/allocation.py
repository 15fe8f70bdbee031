"""How many shots each of several programs gets."""

from typing import Any

import numpy as np

from qml._core.errors import ConfigError


def allocate(variances: Any, shots: int, weights: Any = None, least: int = 2) -> np.ndarray:
    r"""Shots for independent estimates with $\sum_j w_j \sigma_j^2 / n_j$ least: $n_j \propto \sqrt{w_j}\, \sigma_j$.

    For derivative programs of several parameters, each run by itself on hardware; the gradient of one program for all
    parameters (`diffquantum.estimate.gradient`) has such shares in its law already.

    Args:
        variances: variance of one shot of each estimate, for instance `Stats.variance` of a pilot run `[programs]`.
        shots: shots in all.
        weights: how much each error matters, not negative `[programs]`; `None` is 1 each.
        least: shots that every estimate gets at least.

    Returns:
        Whole numbers with the sum `shots`.

    Raises:
        ConfigError: variances or weights that are negative or not finite, or too few shots.

    Example:
        >>> from diffquantum.estimate.allocation import allocate
        >>> allocate([1.0, 9.0], 400).tolist()
        [100, 300]

    Source: Neyman, J. R. Stat. Soc. 97, 558 (1934).
    """
    variances = np.atleast_1d(np.asarray(variances, float))
    weights = np.ones_like(variances) if weights is None else np.asarray(weights, float)
    fits = weights.shape == variances.shape and variances.ndim == 1 and len(variances) > 0
    if not fits or not np.all(np.isfinite(variances * weights)) or np.any(variances < 0) or np.any(weights < 0):
        raise ConfigError(
            "Variances and weights are finite numbers of 0 or more, one of each for every estimate.",
            got=f"variances {variances}, weights {weights}",
            expected="two lists of the same length",
            try_="allocate(pilot.variance, shots)",
        )
    if shots < least * len(variances) or least < 1:
        raise ConfigError(
            "There are too few shots.",
            got=f"{shots} shots for {len(variances)} estimates of at least {least}",
            expected=f"{max(least, 1) * len(variances)} shots or more, least >= 1",
            try_="more shots",
        )
    share = np.sqrt(variances * weights)
    share = share if share.sum() > 0 else np.ones_like(share)
    found, free = np.full(len(share), float(least)), np.ones(len(share), bool)
    while True:  # who would get less than the least gets the least, and the others share what is left
        found[free] = (shots - least * np.sum(~free)) * share[free] / share[free].sum()
        low = free & (found < least)
        if not np.any(low):
            break
        found[low], free = least, free & ~low
    whole = np.floor(found + 1e-9).astype(int)
    rest = np.argsort(whole - found)[: shots - whole.sum()]
    whole[rest] += 1
    return whole
