r"""Do two devices, or a device and a model, make the same records of measurements? A test on the order of events.

A record is how often each channel clicked in each interval of time. As a path
$X(t) = (t/T, N_1(t), N_2(t), \ldots)$ it has a signature, the iterated integrals
$S_m = \int dX \otimes \cdots \otimes dX$, which tells the order of events of different channels.
"""

import math
from typing import Any

import numpy as np

from qml._core.errors import ConfigError, ShapeError

CAP, POWER = 4.0, 1.0  # of the robust normalisation


def signature(paths: np.ndarray, level: int) -> list[np.ndarray]:
    r"""Signatures of piecewise linear paths, by Chen's identity $S(x * y) = S(x) \otimes S(y)$.

    Args:
        paths: `[records, times, channels]`.
        level: the highest number of integrals.

    Returns:
        For each $m = 1, \ldots,$ `level` an array `[records, channels ** m]`.

    Example:
        >>> import numpy as np
        >>> from diffquantum.estimate.records import signature
        >>> [s.tolist() for s in signature(np.array([[[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]]]), 2)]
        [[[1.0, 2.0]], [[0.5, 2.0, 0.0, 2.0]]]

    Source: Chen, Ann. Math. 65, 163 (1957).
    """
    paths = np.asarray(paths, float)
    if paths.ndim != 3 or level < 1:
        raise ShapeError(
            "Signatures are of paths [records, times, channels], to a level of 1 or more.",
            got=f"shape {paths.shape}, level {level}",
            expected="three axes, level >= 1",
            try_="paths[None], for one path",
        )
    records, _, channels = paths.shape
    total = [np.ones((records, 1))] + [np.zeros((records, channels**m)) for m in range(1, level + 1)]
    for step in np.moveaxis(np.diff(paths, axis=1), 1, 0):
        piece = [np.ones((records, 1))]
        for m in range(1, level + 1):
            piece.append((piece[-1][:, :, None] * step[:, None, :]).reshape(records, -1) / m)
        total = [
            np.sum(
                [(total[k][:, :, None] * piece[m - k][:, None, :]).reshape(records, -1) for k in range(m + 1)], axis=0
            )
            for m in range(level + 1)
        ]
    return total[1:]


def robust_normalise(parts: list[np.ndarray]) -> np.ndarray:
    r"""Features $\lambda^m S_m$ `[records, features]` with $\lambda$ such that no record has a norm above a bound.

    $1 + \sum_m \lambda^{2m} |S_m|^2 = \psi(1 + \sum_m |S_m|^2)$, $\psi(x) = x$ up to $C = 4$ and
    $C + C^2 (1/C - 1/x)$ beyond.

    Source: Chevyrev and Oberhauser, J. Mach. Learn. Res. 23 (2022), arXiv 1810.10971.
    """
    squares = np.stack([np.sum(s**2, axis=1) for s in parts], axis=1)
    whole = 1 + squares.sum(axis=1)
    wanted = np.where(whole <= CAP, whole, CAP + CAP ** (1 + POWER) * (CAP**-POWER - whole**-POWER) / POWER)
    low, high = np.zeros(len(whole)), np.ones(len(whole))
    powers = 2 * np.arange(1, len(parts) + 1)
    for _ in range(60):
        middle = (low + high) / 2
        above = 1 + np.sum(squares * middle[:, None] ** powers[None, :], axis=1) > wanted
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.concatenate([s * high[:, None] ** m for m, s in enumerate(parts, 1)], axis=1)


def two_sample_test(first: Any, second: Any, level: int = 4, permutations: int = 500, seed: int = 0) -> float:
    r"""The p-value of "both samples of records come from the same source".

    The maximum mean discrepancy of their robust signatures, with a Gaussian kernel of median width, against random
    exchanges of records. It sees the order of events of several channels; for the waiting times of one channel a
    Kolmogorov-Smirnov test is better, and noise without events it does not see.

    Args:
        first: counts `[records, times, channels]` of one source.
        second: and of the other, with the same times and channels.
        level: highest number of integrals of the signature.
        permutations: random exchanges; the smallest p-value is one over this plus one.
        seed: of the exchanges.

    Returns:
        The p-value.

    Raises:
        ShapeError: the records do not fit together.
        ConfigError: fewer than two records, or no permutations.

    Example:
        >>> import numpy as np
        >>> from diffquantum.estimate.records import two_sample_test
        >>> a_first = np.zeros((20, 4, 2)); a_first[:, 0, 0] = a_first[:, 2, 1] = 1
        >>> two_sample_test(a_first, a_first[:, :, ::-1]) < 0.01, two_sample_test(a_first, a_first)
        (True, 1.0)

    Source: Gretton et al., J. Mach. Learn. Res. 13, 723 (2012); signatures as in `robust_normalise`.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.ndim != 3 or second.ndim != 3 or first.shape[1:] != second.shape[1:]:
        raise ShapeError(
            "Records that are compared have the same times and channels.",
            got=f"shapes {first.shape} and {second.shape}",
            expected="[records, times, channels] twice",
            try_="the same intervals of time for both",
        )
    n, m = len(first), len(second)
    if min(n, m) < 2 or permutations < 1:
        raise ConfigError(
            "A test needs at least two records of each kind and one permutation.",
            got=f"{n} and {m} records, {permutations} permutations",
            expected="2 or more, 1 or more",
            try_="permutations=500",
        )
    counts = np.concatenate([first, second])
    scale = np.maximum(counts.sum(axis=1).mean(axis=0), 1e-300)
    events = np.concatenate([np.zeros((n + m, 1, counts.shape[2])), np.cumsum(counts, axis=1)], axis=1) / scale
    clock = np.broadcast_to(np.linspace(0, 1, events.shape[1])[None, :, None], (*events.shape[:2], 1))
    features = robust_normalise(signature(np.concatenate([clock, events], axis=2), level))
    squares = np.sum(features**2, axis=1)
    distance = np.maximum(squares[:, None] + squares[None, :] - 2 * features @ features.T, 0.0)
    off = distance[np.triu_indices(n + m, 1)]
    width = np.median(off[off > 0]) if np.any(off > 1e-20) else 1.0
    kernel = np.exp(-distance / width)
    np.fill_diagonal(kernel, 0.0)
    rng = np.random.default_rng(seed)
    sides = np.array([np.arange(n + m) < n, *(rng.permutation(n + m) < n for _ in range(permutations))], float)
    inside = np.einsum("pi,ij,pj->p", sides, kernel, sides, optimize=True)
    others = 1 - sides
    outside = np.einsum("pi,ij,pj->p", others, kernel, others, optimize=True)
    across = np.einsum("pi,ij,pj->p", sides, kernel, others, optimize=True)
    found = inside / (n * (n - 1)) + outside / (m * (m - 1)) - 2 * across / (n * m)
    least = found[0] - 1e-12 * max(1.0, math.fabs(found[0]))
    return float((1 + np.sum(found[1:] >= least)) / (permutations + 1))
