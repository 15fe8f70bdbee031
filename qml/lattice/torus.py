"""The torus of a cluster: its cells, the images of a vector, and the checks of what defines it."""

import itertools
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from qml._core.errors import ShapeError

TOLERANCE = 1e-5  # of the shortest cell vector: two lengths closer than this are the same length

Matrix = tuple[tuple[int, ...], ...]


def checked_cell(cell: Any, offsets: Any) -> tuple[np.ndarray, np.ndarray]:
    """The primitive vectors and the positions of the sites of a cell, as arrays."""
    vectors = np.asarray(cell, float)
    dimension = len(vectors)
    if vectors.shape != (dimension, dimension) or dimension == 0:
        raise ShapeError(
            "The cell of a lattice is a square matrix.",
            got=f"shape {vectors.shape}",
            expected="[d, d]: d rows, one primitive vector each",
            try_="cell=[[1, 0], [0, 1]]",
        )
    scale = np.linalg.norm(vectors, axis=1)
    if not np.all(np.isfinite(vectors)) or abs(np.linalg.det(vectors)) < 1e-9 * scale.prod() or not scale.all():
        raise ShapeError(
            "The primitive vectors are linearly dependent.",
            got=vectors.tolist(),
            expected=f"{dimension} independent rows",
            try_="drop the dependent vector and lower the dimension",
        )
    basis = np.zeros((1, dimension)) if offsets is None else np.asarray(offsets, float)
    if basis.ndim != 2 or basis.shape[1] != dimension or len(basis) == 0 or not np.all(np.isfinite(basis)):
        raise ShapeError(
            "The offsets do not fit the cell.",
            got=f"shape {basis.shape}",
            expected=f"[basis, {dimension}] finite Cartesian positions",
            try_=f"offsets=[[{', '.join(['0'] * dimension)}]]",
        )
    return vectors, basis


def checked_supercell(extent: Any, dimension: int) -> Matrix:
    """The torus vectors in units of the cell vectors, from whole numbers or from an integer matrix."""
    try:
        sizes = list(extent)
        if all(np.ndim(size) == 0 for size in sizes):
            rows = np.diag([operator.index(size) for size in sizes])
            fits = (np.diagonal(rows) >= 1).all()
        else:
            rows = np.array([[operator.index(n) for n in row] for row in sizes])
            fits = True
    except (TypeError, ValueError, OverflowError):
        rows, fits = np.zeros((0, 0), int), False
    if not fits or rows.shape != (dimension, dimension):
        raise ShapeError(
            "The extent is the number of cells along each axis, or a matrix whose rows are the torus vectors.",
            got=repr(extent),
            expected=f"{dimension} whole numbers, each at least 1, or {dimension} rows of {dimension} whole numbers",
            try_=f"extent={(4,) * dimension}",
        )
    if determinant(rows) == 0:
        raise ShapeError(
            "The torus vectors are linearly dependent.",
            got=rows.tolist(),
            expected=f"{dimension} independent rows of whole numbers",
            try_=f"extent={(4,) * dimension}",
        )
    return tuple(tuple(row) for row in rows.tolist())


def checked_periodic(periodic: Any, supercell: Matrix) -> tuple[bool, ...]:
    """One answer per axis; open axes do not take part in a tilt."""
    dimension = len(supercell)
    flags = (periodic,) * dimension if isinstance(periodic, bool | np.bool_) else periodic
    if (
        not isinstance(flags, Sequence | np.ndarray)
        or len(flags) != dimension
        or not all(isinstance(flag, bool | np.bool_) for flag in flags)
    ):
        raise ShapeError(
            "The boundary must be open or periodic along each axis.",
            got=repr(periodic),
            expected=f"True, False, or {dimension} of them",
            try_=f"periodic={(True,) * dimension}",
        )
    rows = np.asarray(supercell)
    tilted = rows - np.diag(np.diagonal(rows))
    for axis in np.flatnonzero(~np.asarray(flags, bool)):
        if tilted[axis].any() or tilted[:, axis].any() or rows[axis, axis] < 1:
            raise ShapeError(
                f"Axis {axis} of a tilted cluster cannot be open.",
                got=f"extent={supercell}, periodic={tuple(flags)}",
                expected="open axes along which the supercell is straight: a positive number on the diagonal alone",
                try_="periodic=True",
            )
    return tuple(bool(flag) for flag in flags)


def checked_twist(twist: Any, periodic: tuple[bool, ...]) -> tuple[float, ...]:
    """One angle per axis, zero on open ones; a bare number is the angle of every periodic axis."""
    try:
        angles = np.asarray(twist, float)
    except (TypeError, ValueError):
        angles = np.array(np.nan)
    if angles.ndim == 0:
        angles = np.where(periodic, angles, 0.0) if np.isfinite(angles) else angles
    if angles.shape != (len(periodic),) or not np.isfinite(angles).all() or angles[~np.asarray(periodic)].any():
        raise ShapeError(
            "The twist is an angle for each periodic axis.",
            got=repr(twist),
            expected=f"a finite angle, or {len(periodic)} of them, 0 where the axis is open: periodic={periodic}",
            try_="twist=math.pi for antiperiodic boundaries",
        )
    return tuple((angles + 0.0).tolist())


def determinant(rows: Int[np.ndarray, "d d"]) -> int:
    """Exact determinant of a matrix of whole numbers (Bareiss)."""
    m, sign, last = [[int(x) for x in row] for row in rows], 1, 1
    for k in range(len(m) - 1):
        pivot = next((i for i in range(k, len(m)) if m[i][k]), None)
        if pivot is None:
            return 0
        if pivot != k:
            m[k], m[pivot], sign = m[pivot], m[k], -sign
        for i, j in itertools.product(range(k + 1, len(m)), repeat=2):
            m[i][j] = (m[i][j] * m[k][k] - m[i][k] * m[k][j]) // last
        last = m[k][k]
    return sign * m[-1][-1]


def inverse(rows: Int[np.ndarray, "d d"]) -> tuple[Int[np.ndarray, "d d"], int]:
    """Whole matrix `w` and `n > 0` with `rows @ w = n * identity`, `n` the absolute determinant."""
    n = determinant(rows)
    whole = np.rint(np.linalg.inv(rows) * n).astype(np.int64)
    if not np.array_equal(rows @ whole, n * np.eye(len(rows), dtype=np.int64)):
        raise ShapeError(
            "The torus vectors are too large for exact arithmetic.",
            got=np.asarray(rows).tolist(),
            expected="a cluster of moderate size",
            try_="shorter vectors of the same lattice",
        )
    return whole * (1 if n > 0 else -1), abs(n)


def cells_of(rows: Int[np.ndarray, "d d"]) -> Int[np.ndarray, "cells d"]:
    """The whole-number points $n = \\sum_i f_i T_i$ with $0 \\le f_i < 1$ for rows $T_i$, in lexicographic order."""
    whole, count = inverse(rows)
    corners = np.array(list(itertools.product((0, 1), repeat=len(rows)))) @ rows
    low, high = corners.min(axis=0), corners.max(axis=0)
    box = np.indices(high - low + 1).reshape(len(rows), -1).T + low
    parts = box @ whole
    return box[((parts >= 0) & (parts < count)).all(axis=1)]


def images_within(
    vectors: Float[np.ndarray, "p d"], radius: float, margin: float = 0.0
) -> Float[np.ndarray, "images d"]:
    """Integer combinations of the rows that cover a radius about any point up to `margin` cells from the origin."""
    dual = np.linalg.norm(np.linalg.pinv(vectors), axis=0)  # a vector of length r has |n_i| <= r |b_i|
    reach = [range(-int(n), int(n) + 1) for n in np.floor(radius * dual + margin + 1e-9)]
    return np.array(list(itertools.product(*reach)), float) @ vectors


def reduced_basis(vectors: Float[np.ndarray, "p d"]) -> Float[np.ndarray, "p d"]:
    """Shorter rows that span the same lattice: each pair is reduced until no row can be shortened by another."""
    rows = np.array(vectors, float)
    while True:
        for i, j in itertools.permutations(range(len(rows)), 2):
            steps = np.round(rows[i] @ rows[j] / (rows[j] @ rows[j]))
            shorter = rows[i] - steps * rows[j]
            if shorter @ shorter < (rows[i] @ rows[i]) * (1 - 1e-9):
                rows[i] = shorter
                break
        else:
            return rows


def brought_inside(
    differences: Float[np.ndarray, "*batch d"], torus: Float[np.ndarray, "p d"]
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors brought into the cell about the origin, and the shifts among which the shortest image is found."""
    if len(torus) == 0:
        return differences, np.zeros((1, differences.shape[-1]))
    torus = reduced_basis(torus)
    inside = differences - np.round(differences @ np.linalg.pinv(torus)) @ torus
    corners = np.array(list(itertools.product((-0.5, 0.5), repeat=len(torus)))) @ torus
    return inside, images_within(torus, float(np.linalg.norm(corners, axis=1).max()), margin=0.5)


def shortest(
    differences: Float[np.ndarray, "*batch d"], torus: Float[np.ndarray, "p d"]
) -> Float[np.ndarray, "*batch"]:
    """Length of the shortest periodic image of each vector."""
    inside, images = brought_inside(differences, torus)
    return np.sqrt(_minimum(((inside + image) ** 2).sum(-1) for image in images))


def exact_phases(angles: Float[np.ndarray, "*batch"]) -> np.ndarray:
    """$e^{i\\phi}$, exact at multiples of a quarter turn."""
    quarters = angles / (math.pi / 2)
    near = np.abs(quarters - np.round(quarters)) < 1e-12
    table = np.array([1, 1j, -1, -1j])[np.round(quarters).astype(np.int64) % 4]
    return np.where(near, table, np.exp(1j * angles))


def _minimum(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """Smallest entry over a stream of arrays, with two of them in memory at a time."""
    stream = iter(arrays)
    best = next(stream)
    for array in stream:
        np.minimum(best, array, out=best)
    return best
