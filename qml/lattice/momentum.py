r"""Allowed momenta and the Brillouin zone; labels and names are those of `symmetries.SpaceGroup`.

Momenta are labelled by whole numbers $n$, one per axis, with $k \cdot T_i = 2\pi n_i$ for the torus vectors $T_i$; open
axes have $n_i = 0$.
"""

import itertools
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from qml._core.errors import ShapeError
from qml.lattice.torus import reduced_basis
from symmetries.zone import Zone, reciprocal, to_first_zone

if TYPE_CHECKING:
    from qml.lattice.lattice import Lattice


def translations(lattice: "Lattice") -> Int[np.ndarray, "d d"]:
    """The supercell with a row of the identity for each open axis."""
    rows = np.array(lattice.supercell)
    for axis in np.flatnonzero(~np.asarray(lattice.periodic)):
        rows[axis] = np.eye(lattice.dimension, dtype=rows.dtype)[axis]
    return rows


def zone(lattice: "Lattice") -> Zone:
    """The labels of the momenta and their names."""
    return Zone(np.asarray(lattice.cell), translations(lattice), lattice.periodic)


def momenta(lattice: "Lattice", cartesian: bool) -> Float[np.ndarray, "momenta d"]:
    """Momenta of one particle in the order of the labels, in units of the reciprocal vectors or Cartesian.

    Cartesian ones are in the first zone; perpendicular to the periodic axes they are zero.
    """
    shifted = np.array(zone(lattice).momenta()) + np.asarray(lattice.twist) / (2 * np.pi)
    units = np.linalg.solve(translations(lattice).astype(float), shifted.T).T
    closed = np.asarray(lattice.periodic)
    vectors = reciprocal(np.asarray(lattice.cell)[closed])
    return _inside(units[:, closed], vectors) @ vectors if cartesian else units


def first_zone(lattice: "Lattice", k: Float[np.ndarray, "*batch d"]) -> Float[np.ndarray, "*batch d"]:
    """The momentum in the first Brillouin zone that differs by a reciprocal vector."""
    if k.shape[-1:] != (lattice.dimension,):
        raise ShapeError(
            "A momentum has one component for each dimension.",
            got=f"shape {k.shape}",
            expected=f"[..., {lattice.dimension}], Cartesian",
            try_="lattice.momenta()",
        )
    vectors = reciprocal(np.asarray(lattice.cell))
    units = k.reshape(-1, lattice.dimension) @ np.linalg.inv(vectors)
    return (_inside(units, vectors) @ vectors).reshape(k.shape)


def _inside(units: Float[np.ndarray, "points p"], vectors: Float[np.ndarray, "p d"]) -> Float[np.ndarray, "points p"]:
    moves = [to_first_zone(point, vectors) for point in units]
    return units + np.array(moves, float).reshape(units.shape)


def zone_edges(lattice: "Lattice") -> list[Float[np.ndarray, "2 d"]]:
    """Line segments around the first Brillouin zone (two end points in one dimension)."""
    from scipy.spatial import Voronoi

    rows = reduced_basis(reciprocal(np.asarray(lattice.cell)))
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
