"""Space groups of clusters with antiperiodic boundaries, where a full turn around the torus is the sign of parity."""

from typing import Any

import numpy as np
from jaxtyping import Int

from symmetries._errors import SymmetryError
from symmetries.crystal import TOLERANCE, Crystal, check_crystal, scale, site_map, torus_rows
from symmetries.isometries import Isometries, find_isometries, on_torus, torus_vectors
from symmetries.point_group import PointGroup
from symmetries.space_group import SpaceGroup
from symmetries.torus import Quotient


class _Periodic:
    """A crystal without its twist."""

    def __init__(self, crystal: Crystal):
        self.cell, self.offsets, self.supercell = crystal.cell, crystal.offsets, crystal.supercell
        self.periodic, self.n_sites, self.positions = crystal.periodic, crystal.n_sites, crystal.positions
        self.twist = np.zeros(len(np.asarray(crystal.cell)))


def antiperiodic_group(crystal: Crystal, origin: Any = None, keep: Any = None) -> SpaceGroup:
    r"""The space group of a cluster with twists of 0 and $\pi$, with the isometries that turn $\pi$ into $-\pi$.

    The elements are those of the infinite crystal, where a particle changes its sign from one image of the cluster to
    the next. So a translation once around an antiperiodic axis is $(-1)^N$, and not one: the group is
    twice as large as that of the permutations, and its torus has an even number of such turns only. The momenta
    are $k \cdot T_i = 2\pi n_i$ for the vectors of that larger torus (the rows of `supercell`), without any shift:
    `wavevector` gives the true total momentum. Those with $e^{i k \cdot T} = -1$ once around belong to odd numbers of
    particles, the others to even ones; a sector of the wrong kind has no states. `space_group`
    keeps the number of labels instead, shifts them with the number of particles, and lacks these isometries.

    Args:
        crystal: lattice with positions; `twist` 0 or $\pi$ on each axis.
        origin: see `space_group`.
        keep: see `space_group`.

    Raises:
        SymmetryError: a twist is another angle, or as in `space_group`.

    Example:
        >>> import numpy as np, qml, symmetries
        >>> lattice = qml.lattice.Chain(4, twist=np.pi)
        >>> group = symmetries.antiperiodic_group(lattice)
        >>> group.order, len(group.momenta()), symmetries.space_group(lattice).order
        (16, 8, 4)
        >>> space = qml.hilbert.SpinlessFermion(4, n_fermions=2)
        >>> [symmetries.Sector(group, k).sector_dimension(hilbert=space) for k in range(8)]
        [0, 0, 1, 0, 1, 0, 1, 0]
    """
    check_crystal(crystal)
    turns = np.asarray(crystal.twist, float) / np.pi
    odd = np.rint(turns).astype(np.int64) % 2
    if np.abs(turns - np.rint(turns)).max() > 1e-9:
        raise SymmetryError(
            "The boundaries are not antiperiodic.",
            got=f"twist={tuple(crystal.twist)}",
            expected="0 or pi on each axis",
            try_="symmetries.space_group(crystal), for other twists",
        )
    found = find_isometries(_Periodic(crystal), origin, keep)
    stays = ((on_torus(found.steps, crystal) @ odd - odd) % 2 == 0).all(axis=1)
    stays |= not odd.any()
    found = Isometries(found.steps[stays], found.matrices[stays], found.origin, found.shifts[stays], found.denominator)
    rows = _even(torus_rows(crystal), odd)
    permutations, phases = _elements(crystal, found, Quotient(rows), odd)
    return SpaceGroup(
        np.asarray(crystal.cell, float),
        rows,
        found.origin,
        PointGroup(found.matrices),
        found.steps,
        found.shifts,
        found.denominator,
        tuple(np.asarray(crystal.periodic, bool).tolist()),
        permutations,
        phases,
    )


def _even(rows: Int[np.ndarray, "d d"], odd: Int[np.ndarray, " d"]) -> Int[np.ndarray, "d d"]:
    """Vectors that span the combinations of the rows with an even number of odd ones."""
    rows, axes = rows.copy(), np.flatnonzero(odd)
    for axis in axes[1:]:
        rows[axis] -= rows[axes[0]]
    for axis in axes[:1]:
        rows[axis] *= 2
    return rows


def _elements(
    crystal: Crystal, found: Isometries, torus: Quotient, odd: Int[np.ndarray, " d"]
) -> tuple[np.ndarray, np.ndarray]:
    """Where each translation times each isometry moves the sites, and the signs of the images that they reach."""
    cell, positions = np.asarray(crystal.cell, float), np.asarray(crystal.positions, float)
    inverse = np.linalg.inv(torus_rows(crystal) @ cell)
    around, tolerance = torus_vectors(crystal), TOLERANCE * scale(crystal)

    def moved(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sites = site_map(points, positions, around, tolerance)
        if sites is None:
            raise SymmetryError(
                "The sites of this crystal do not repeat as its cell says.",
                got=f"{len(positions)} positions",
                expected="positions that translations by the cell vectors map to each other",
                try_="a qml.lattice.Lattice with this cell, extent and offsets",
            )
        windings = np.rint((points - positions[sites]) @ inverse).astype(np.int64)
        return sites, 1 - 2 * (windings @ odd % 2)

    about, shifts = positions - found.origin, found.origin + found.shifts @ cell / found.denominator
    isometries = [moved(about @ matrix.T + shift) for matrix, shift in zip(found.matrices, shifts)]
    permutations, signs = [], []
    for vector in torus.vectors:
        sites, sign = moved(positions + vector @ cell)
        permutations += [sites[first] for first, _ in isometries]
        signs += [sign[first] * one for first, one in isometries]
    return np.array(permutations), np.array(signs).astype(complex)
