"""Programs that compile only with numbers for their parameters: every number in them as an affine function of those."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from diffquantum.ir import Binary, Const, Expression, Index, Parameter, Program
from diffquantum.opcodes import choose

TOLERANCE = 1e-12
STEP = 0.5


class NotAffine(Exception):
    """The programs differ in more than numbers, or a number is not affine."""


def probe_points(count: int) -> np.ndarray:
    """Points `[points, params]`: one and its two neighbours in each parameter, and six far apart, of both signs."""
    base = (np.arange(count) * 5 % 11 + 3.0) / 8  # binary fractions, so that differences are exact
    points = [base, *(base + s * STEP * unit for unit in np.eye(count) for s in (1.0, -1.0))]
    way = np.random.default_rng(7).uniform(0.5, 1.0, count)
    return np.array([*points, *(scale * way for scale in (0.4, -0.4, 7.0, -7.0, 500.0, -500.0))])


def merge(programs: Sequence[Program], points: np.ndarray) -> Program:
    r"""The program that has these values at `probe_points`.

    $c_k(\theta) = c_k(b) + \sum_j J_{kj} (\theta_j - b_j)$ from differences at the first $2P + 1$ points, compared at
    the others. A branch on a parameter shows only where two of the points are on its two sides.

    Args:
        programs: the program with numbers for its parameters, at each point.
        points: from `probe_points`, `[points, params]`.

    Returns:
        The program with expressions of the parameters for those numbers that change.

    Raises:
        NotAffine: it is no such program.
    """
    return _merge(programs, points)


def _merge(nodes: Sequence[Any], points: np.ndarray) -> Any:
    first = nodes[0]
    if all(type(n) is type(first) and n == first for n in nodes):
        return first
    if all(isinstance(n, Const) and isinstance(n.value, float) for n in nodes):
        return _affine(np.array([n.value for n in nodes]), points)
    if any(type(n) is not type(first) for n in nodes):
        raise NotAffine
    if isinstance(first, Index) and len({len(n.table) for n in nodes}) == 1:
        tables = [[Const(v) for v in n.table] for n in nodes]
        index = _merge([n.index for n in nodes], points)
        return choose(index, [_merge(entries, points) for entries in zip(*tables)])
    if isinstance(first, tuple):
        if len({len(n) for n in nodes}) > 1:
            raise NotAffine
        return tuple(_merge(parts, points) for parts in zip(*nodes))
    if not dataclasses.is_dataclass(first) or isinstance(first, type):
        raise NotAffine
    names = [f.name for f in dataclasses.fields(first)]
    return dataclasses.replace(first, **{n: _merge([getattr(node, n) for node in nodes], points) for n in names})


def _affine(values: np.ndarray, points: np.ndarray) -> Expression:
    """The expression with these values at these points."""
    count = points.shape[1]
    slopes = np.array([_neat((values[1 + 2 * j] - values[2 + 2 * j]) / (2 * STEP)) for j in range(count)])
    offset = _neat(values[0] - points[0] @ slopes)
    scale = 1 + abs(offset) + np.abs(points) @ np.abs(slopes)
    if not np.all(np.abs(points @ slopes + offset - values) <= TOLERANCE * scale):
        raise NotAffine
    out: Expression | None = Const(offset) if offset else None
    for j, slope in enumerate(slopes):
        if slope:
            term = Parameter(j) if slope == 1 else Binary("mul", Const(float(slope)), Parameter(j))
            out = term if out is None else Binary("add", out, term)
    return Const(0.0) if out is None else out


def _neat(value: float) -> float:
    """The number with few digits that is nearest, if it is near enough to be meant."""
    short = round(float(value), 9)
    return short if abs(short - value) <= TOLERANCE * max(1.0, abs(value)) else float(value)
