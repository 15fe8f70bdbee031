r"""Reciprocal lattice, allowed momenta, points of the Brillouin zone with names.

Momenta are labelled by whole numbers $n$, one per axis, with $k \cdot T_i = 2\pi n_i$ for the torus vectors $T_i$; open
axes have $n_i = 0$. These are the labels of `symmetries.SpaceGroup`.
"""

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from qml._core.errors import ShapeError
from qml.lattice.torus import TOLERANCE, cells_of, images_within, reduced_basis

if TYPE_CHECKING:
    from qml.lattice.lattice import Lattice

ORTHOGONAL = {
    1: {"X": (1 / 2,)},
    2: {"X": (1 / 2, 0), "Y": (0, 1 / 2), "M": (1 / 2, 1 / 2)},
    3: {
        "X": (1 / 2, 0, 0),
        "Y": (0, 1 / 2, 0),
        "Z": (0, 0, 1 / 2),
        "M": (1 / 2, 1 / 2, 0),
        "R": (1 / 2, 1 / 2, 1 / 2),
    },
}
# in units of the reciprocal vectors of the primitive cells with this matrix of scalar products (diagonal 1)
OTHERS = (
    (((1, 1 / 2), (1 / 2, 1)), {"M": (1 / 2, 0), "K": (1 / 3, 2 / 3)}),
    (((1, -1 / 2), (-1 / 2, 1)), {"M": (1 / 2, 0), "K": (1 / 3, 1 / 3)}),
    (
        ((1, 1 / 2, 1 / 2), (1 / 2, 1, 1 / 2), (1 / 2, 1 / 2, 1)),
        {
            "X": (1 / 2, 0, 1 / 2),
            "L": (1 / 2, 1 / 2, 1 / 2),
            "W": (1 / 2, 1 / 4, 3 / 4),
            "K": (3 / 8, 3 / 8, 3 / 4),
            "U": (5 / 8, 1 / 4, 5 / 8),
        },
    ),
    (
        ((1, -1 / 3, -1 / 3), (-1 / 3, 1, -1 / 3), (-1 / 3, -1 / 3, 1)),
        {"H": (1 / 2, -1 / 2, 1 / 2), "P": (1 / 4, 1 / 4, 1 / 4), "N": (0, 0, 1 / 2)},
    ),
)


def reciprocal(lattice: "Lattice") -> Float[np.ndarray, "d d"]:
    r"""Rows $b_j$ with $a_i \cdot b_j = 2\pi\delta_{ij}$."""
    return 2 * np.pi * np.linalg.inv(np.asarray(lattice.cell)).T


def special_points(lattice: "Lattice") -> dict[str, Float[np.ndarray, " d"]]:
    """Points of high symmetry of the Bravais lattice, in units of the reciprocal vectors."""
    cell, d = np.asarray(lattice.cell), lattice.dimension
    gram = cell @ cell.T / (cell**2).sum(axis=1).max()
    known: dict[str, Any] = {"Gamma": (0.0,) * d}
    if np.abs(gram - np.diag(gram.diagonal())).max() < TOLERANCE:
        known |= ORTHOGONAL.get(d, {})
    for pattern, points in OTHERS:
        if len(pattern) == d and np.abs(gram - np.asarray(pattern)).max() < TOLERANCE:
            known |= points
    return {name: np.asarray(point, float) for name, point in known.items()}


def translations(lattice: "Lattice") -> Int[np.ndarray, "d d"]:
    """The supercell with a row of the identity for each open axis."""
    rows = np.array(lattice.supercell)
    for axis in np.flatnonzero(~np.asarray(lattice.periodic)):
        rows[axis] = np.eye(lattice.dimension, dtype=rows.dtype)[axis]
    return rows


def momentum_numbers(lattice: "Lattice") -> Int[np.ndarray, "momenta d"]:
    """The labels of all momenta, one for each, in lexicographic order."""
    return cells_of(translations(lattice).T)


def momenta(lattice: "Lattice") -> Float[np.ndarray, "momenta d"]:
    """Momenta of one particle, in units of the reciprocal vectors, in the order of the labels."""
    shifted = momentum_numbers(lattice) + np.asarray(lattice.twist) / (2 * np.pi)
    return np.linalg.solve(translations(lattice).astype(float), shifted.T).T


def named_momenta(lattice: "Lattice") -> dict[str, tuple[int, ...]]:
    """Labels of the named points that are allowed on this cluster, leaving a twist aside."""
    rows = translations(lattice)
    labels = {name: rows @ point for name, point in special_points(lattice).items()}
    known = momentum_numbers(lattice)
    inverse = np.linalg.inv(rows.astype(float))
    allowed = {}
    for name, label in labels.items():
        whole = np.round(label)
        if np.abs(label - whole).max() < 1e-9:
            turns = (known - whole) @ inverse.T
            same = np.abs(turns - np.round(turns)).max(axis=1) < 1e-9
            allowed[name] = tuple(known[same.argmax()].tolist())
    return allowed


def first_zone(lattice: "Lattice", k: Float[np.ndarray, "*batch d"]) -> Float[np.ndarray, "*batch d"]:
    """The momentum in the first Brillouin zone that differs by a reciprocal vector."""
    if k.shape[-1:] != (lattice.dimension,):
        raise ShapeError(
            "A momentum has one component for each dimension.",
            got=f"shape {k.shape}",
            expected=f"[..., {lattice.dimension}], Cartesian",
            try_="lattice.momenta()",
        )
    rows = reduced_basis(reciprocal(lattice))
    inside = k - np.round(k @ np.linalg.inv(rows)) @ rows
    corners = np.array(list(itertools.product((-0.5, 0.5), repeat=len(rows)))) @ rows
    shifts = images_within(rows, float(np.linalg.norm(corners, axis=1).max()), margin=0.5)
    candidates = inside[..., None, :] + shifts
    lengths = np.linalg.norm(candidates, axis=-1)
    scale = np.linalg.norm(rows, axis=1).min()
    near = lengths < lengths.min(axis=-1, keepdims=True) + 1e-9 * scale
    # among equally short ones on the boundary of the zone: the largest first component, then the second, ...
    for axis in range(lattice.dimension):
        component = np.where(near, candidates[..., axis], -np.inf)
        near &= component > component.max(axis=-1, keepdims=True) - 1e-9 * scale
    return np.take_along_axis(candidates, near.argmax(axis=-1)[..., None, None], axis=-2)[..., 0, :]


def zone_edges(lattice: "Lattice") -> list[Float[np.ndarray, "2 d"]]:
    """Line segments around the first Brillouin zone (two end points in one dimension)."""
    from scipy.spatial import Voronoi

    rows = reduced_basis(reciprocal(lattice))
    if lattice.dimension == 1:
        return [np.array([-rows[0] / 2, rows[0] / 2])]
    points = np.array(list(itertools.product(range(-2, 3), repeat=len(rows)))) @ rows
    diagram = Voronoi(points)
    middle = int(np.linalg.norm(points, axis=1).argmin())
    segments = {}
    for pair, ridge in zip(diagram.ridge_points, diagram.ridge_vertices):
        if middle in pair and -1 not in ridge:
            sides = [ridge] if lattice.dimension == 2 else zip(ridge, ridge[1:] + ridge[:1])
            for one, two in sides:
                segments[min(one, two), max(one, two)] = diagram.vertices[[one, two]]
    return [segment for segment in segments.values() if np.ptp(segment, axis=0).max() > 1e-9]
