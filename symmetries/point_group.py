"""Point groups as sets of orthogonal matrices, by name and by the geometry of a crystal."""

import itertools
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from symmetries._descriptor import descriptor
from symmetries._errors import SymmetryError
from symmetries.characters import CharacterTable, character_table, roots_of_unity
from symmetries.crystal import TOLERANCE, Crystal, check_crystal, lattice_isometries, scale, site_map, wrap
from symmetries.group import FiniteGroup
from symmetries.names import isometry_name


@descriptor
class PointGroup:
    """A finite group of isometries that fix the origin.

    Args:
        matrices: `[g, d, d]`, orthogonal, acting on column vectors.

    Raises:
        SymmetryError: the matrices are not orthogonal, not all different, or not closed.

    Example:
        >>> import symmetries
        >>> square = symmetries.D(4)
        >>> square.order, square.group.is_abelian, square.characters.labels
        (8, False, ('A1', 'A2', 'B1', 'B2', 'E'))
    """

    matrices: Float[np.ndarray, "g d d"]

    def __post_init__(self):
        eye = np.eye(self.dimension)
        if len(self.matrices) == 0 or np.abs(self.matrices @ self.matrices.transpose(0, 2, 1) - eye).max() > 1e-6:
            raise SymmetryError(
                "The elements of a point group are orthogonal matrices.",
                got=f"an array of shape {self.matrices.shape}",
                expected="R R^T = 1 for every element",
                try_="symmetries.D(4), or PointGroup.generate([...])",
            )
        self.group  # noqa: B018  (raises if the set is not closed)

    @classmethod
    def generate(cls, generators: Any) -> "PointGroup":
        """All products of some orthogonal matrices, the identity first.

        Raises:
            SymmetryError: they generate more than 1000 elements.

        Example:
            >>> import numpy as np
            >>> from symmetries import PointGroup
            >>> PointGroup.generate([np.diag([-1.0, 1.0]), np.array([[0.0, 1.0], [1.0, 0.0]])]).order
            8
        """
        steps = np.asarray(generators, float)
        elements = frontier = np.eye(steps.shape[-1])[None]
        while len(frontier):
            images = (frontier[:, None] @ steps[None]).reshape(-1, *steps.shape[1:])
            known = len(elements)
            for image in images:
                if (np.abs(elements - image).max(axis=(1, 2)) > 1e-6).all():
                    elements = np.concatenate([elements, image[None]])
            frontier = elements[known:]
            if len(elements) > 1000:
                raise SymmetryError(
                    "These matrices generate no finite group of moderate size.",
                    got=f"{len(elements)} elements and more",
                    expected="rotations by fractions of a turn about axes that fit together",
                    try_="symmetries.C(n), symmetries.D(n)",
                )
        return cls(_clean(elements))

    @property
    def order(self) -> int:
        """Number of elements."""
        return len(self.matrices)

    @property
    def dimension(self) -> int:
        """Dimension of space."""
        return self.matrices.shape[-1]

    @cached_property
    def group(self) -> FiniteGroup:
        """The abstract group, elements in the same order."""
        flat = self.matrices.reshape(self.order, -1)
        products = (self.matrices[:, None] @ self.matrices[None]).reshape(self.order, self.order, -1)
        direction = np.random.default_rng(0).normal(size=flat.shape[1])  # on which no two elements fall together
        shadows = flat @ direction
        order = np.argsort(shadows)
        places = np.searchsorted((shadows[order][1:] + shadows[order][:-1]) / 2, products @ direction)
        table = order[places]
        if np.abs(products - flat[table]).max() > 1e-5 or (np.diff(np.sort(table, axis=1)) != 1).any():
            raise SymmetryError(
                "The product of two isometries is missing, or an isometry is listed twice.",
                got=f"{self.order} matrices",
                expected="a group",
                try_="PointGroup.generate([...])",
            )
        return FiniteGroup(table)

    @cached_property
    def characters(self) -> CharacterTable:
        """Characters of the irreps, with Mulliken's labels; see `symmetries.mulliken` for what they mean."""
        return character_table(self.group, self.matrices)

    def subgroup(self, elements: Any) -> "PointGroup":
        """The group formed by some of the elements."""
        return PointGroup(self.matrices[np.asarray(elements, int)])

    @property
    def names(self) -> tuple[str, ...]:
        """What each element does; see `isometry_name`.

        Example:
            >>> import symmetries
            >>> symmetries.D(2).names
            ('Id', 'Rot(180°)', 'Refl(0°)', 'Refl(90°)')
        """
        return tuple(isometry_name(matrix) for matrix in self.matrices)

    def __matmul__(self, other: "PointGroup") -> "PointGroup":
        """All products of an element of this group and one of the other, each once.

        Raises:
            SymmetryError: the products are no group, or the dimensions differ.

        Example:
            >>> import symmetries
            >>> (symmetries.C(3) @ symmetries.inversion(2)).order
            6
        """
        if self.dimension != other.dimension:
            raise SymmetryError(
                "Point groups of different dimensions have no product.",
                got=f"dimensions {self.dimension} and {other.dimension}",
                expected="one dimension",
                try_="symmetries.axial.C(4) @ symmetries.inversion(3)",
            )
        products = (self.matrices[:, None] @ other.matrices[None]).reshape(-1, self.dimension, self.dimension)
        first = np.unique(np.round(products, 5) + 0.0, axis=0, return_index=True)[1]
        return PointGroup(_clean(products[np.sort(first)]))


def C(n: int) -> PointGroup:
    """Rotations of the plane by multiples of $2\\pi/n$.

    Example:
        >>> import symmetries
        >>> symmetries.C(4).characters.labels
        ('A', 'B', 'E+', 'E-')
    """
    turns = roots_of_unity(n)
    return PointGroup(np.array([[[z.real, -z.imag], [z.imag, z.real]] for z in turns]))


def D(n: int) -> PointGroup:
    """Rotations by multiples of $2\\pi/n$ and $n$ mirrors of the plane, one of them along the x axis ($C_{nv}$).

    Example:
        >>> import symmetries
        >>> symmetries.D(6).characters.labels
        ('A1', 'A2', 'B1', 'B2', 'E1', 'E2')
    """
    rotations = C(n).matrices
    return PointGroup(np.concatenate([rotations, rotations @ np.diag([1.0, -1.0])]))


def inversion(dimension: int) -> PointGroup:
    """The identity and $r \\to -r$.

    Example:
        >>> import symmetries
        >>> symmetries.inversion(1).characters.labels, symmetries.inversion(3).characters.labels
        (('A', 'B'), ('Ag', 'Au'))
    """
    return PointGroup(np.stack([np.eye(dimension), -np.eye(dimension)]))


def point_operations(
    crystal: Crystal, origin: Any = None
) -> tuple[Int[np.ndarray, "g d d"], Float[np.ndarray, "g d d"], Float[np.ndarray, " d"]]:
    """The isometries about one point that map a finite crystal, with its boundary, to itself.

    The lattice vectors must go to lattice vectors, the periodic directions to periodic directions, the torus to
    itself and the sites to sites.

    Args:
        crystal: lattice with positions.
        origin: `[d]`, the fixed point. If left out, a point with the most isometries: a site where that is
            possible, the middle of a hexagon on the honeycomb and kagome lattices. (For crystals without any
            mirror, inversion or rotation-inversion the search tries sites and rotation axes only, and may miss a
            better point: give it then.)

    Returns:
        The isometries on lattice vectors ($R\\, a_i = \\sum_j W_{ij} a_j$), as matrices, and the origin. The
        identity is first.

    Raises:
        SymmetryError: the object has no geometry, or the origin does not fit its dimension.
    """
    check_crystal(crystal)
    cell, extent = np.asarray(crystal.cell, float), np.asarray(crystal.extent)
    steps = _on_torus(lattice_isometries(cell), extent, np.asarray(crystal.periodic))
    matrices = _clean((np.linalg.inv(cell) @ steps @ cell).transpose(0, 2, 1))
    order = _sorted(matrices)
    steps, matrices = steps[order], matrices[order]
    vectors, tolerance = cell[np.asarray(crystal.periodic)], TOLERANCE * scale(crystal)
    shifts = [_shifts(crystal, matrix, vectors, tolerance) for matrix in matrices]
    points = (
        _modulo(np.asarray(crystal.positions, float), vectors, tolerance) if origin is None else _point(origin, cell)
    )
    fixing = _fixing(points, matrices, shifts, vectors, tolerance)
    if origin is None and fixing.sum(axis=1).max() < sum(len(shift) > 0 for shift in shifts):  # no site will do
        points = np.concatenate([points, _fixed_points(matrices, shifts, vectors, tolerance)])
        fixing = _fixing(points, matrices, shifts, vectors, tolerance)
    best = int(fixing.sum(axis=1).argmax())
    return steps[fixing[best]], matrices[fixing[best]], points[best]


def point_group(crystal: Crystal, origin: Any = None) -> PointGroup:
    """The isometries about one point that map a finite crystal to itself; see `point_operations`.

    Example:
        >>> import qml, symmetries
        >>> [symmetries.point_group(qml.lattice.Square(*size)).order for size in ((4, 4), (4, 6))]
        [8, 4]
    """
    return PointGroup(point_operations(crystal, origin)[1])


def _on_torus(steps: np.ndarray, extent: np.ndarray, periodic: np.ndarray) -> np.ndarray:
    """Those maps of the lattice that keep the periodic directions and the torus."""
    from_periodic = steps[:, periodic]
    whole = extent[periodic][:, None] * from_periodic
    stays = (from_periodic[:, :, ~periodic] == 0).all(axis=(1, 2))
    closes = (whole[:, :, periodic] % extent[periodic] == 0).all(axis=(1, 2))
    return steps[stays & closes]


def _sorted(matrices: np.ndarray) -> np.ndarray:
    """The identity first, then rotations, then reflections, each by decreasing trace and entries."""
    trace = matrices.trace(axis1=1, axis2=2)
    keys = [np.sign(np.linalg.det(matrices)), trace, *matrices.reshape(len(matrices), -1).T]
    return np.lexsort(np.round(-np.array(keys), 6)[::-1] + 0.0)


def _clean(matrices: np.ndarray) -> np.ndarray:
    """Entries that are whole or half to rounding made so."""
    halves = np.round(2 * matrices) / 2 + 0.0
    return np.where(np.abs(matrices - halves) < 1e-9, halves, matrices)


def _shifts(crystal: Crystal, matrix: np.ndarray, vectors: np.ndarray, tolerance: float) -> np.ndarray:
    """Translations that after an isometry bring the sites back onto sites, one for each class modulo `vectors`."""
    sites = _modulo(np.asarray(crystal.positions, float), vectors, tolerance)
    images = sites @ matrix.T
    shifts = _modulo(sites - images[0], vectors, tolerance)
    open_part = np.eye(sites.shape[1]) - (np.linalg.pinv(vectors) @ vectors if len(vectors) else 0.0)
    centre = (sites.mean(axis=0) - images.mean(axis=0)) @ open_part  # along open directions the middle stays the middle
    near = np.linalg.norm(shifts @ open_part - centre, axis=1) < 10 * tolerance
    kept = [shift for shift in shifts[near] if site_map(images + shift, sites, vectors, tolerance) is not None]
    return np.array(kept).reshape(-1, sites.shape[1])


def _modulo(points: np.ndarray, vectors: np.ndarray, tolerance: float) -> np.ndarray:
    """The points without those that differ from an earlier one by a combination of vectors."""
    if len(vectors) == 0:
        return points
    away = np.round(points @ np.linalg.pinv(vectors) + 1e-7)  # a first sieve: the same point of the cell to many digits
    keys = np.round((points - away @ vectors) / tolerance)
    first = np.sort(np.unique(keys + 0.0, axis=0, return_index=True)[1])
    points, kept = points[first], []
    for i, point in enumerate(points):
        gaps = wrap(points[kept] - point, vectors)
        if not ((gaps**2).sum(-1) < tolerance**2).any():
            kept.append(i)
    return points[kept]


def _fixing(
    points: np.ndarray, matrices: np.ndarray, shifts: list, vectors: np.ndarray, tolerance: float
) -> np.ndarray:
    """`[points, matrices]`: whether the isometry about the point is a symmetry."""
    result = np.zeros((len(points), len(matrices)), bool)
    for i, (matrix, shift) in enumerate(zip(matrices, shifts)):
        miss = wrap((points - points @ matrix.T)[:, None] - shift[None], vectors)
        result[:, i] = ((miss**2).sum(-1) < tolerance**2).any(axis=1)
    return result


def _fixed_points(matrices: np.ndarray, shifts: list, vectors: np.ndarray, tolerance: float) -> np.ndarray:
    """A point that each isometry with each of its shifts leaves in place; the nearest to zero first."""
    d, p = matrices.shape[1], len(vectors)
    combos = np.array(list(itertools.product((0, 1, -1, 2), repeat=p)), float).reshape(4**p, p) @ vectors
    found = []
    for matrix, shift in zip(matrices, shifts):
        targets = (shift[:, None] + combos[None]).reshape(-1, d)
        points = targets @ np.linalg.pinv(np.eye(d) - matrix, rcond=1e-6).T
        solved = np.linalg.norm(points - points @ matrix.T - targets, axis=1) < tolerance
        found.append(_modulo(points[solved], vectors, tolerance))
    points = wrap(_modulo(np.concatenate(found), vectors, tolerance), vectors)
    distance = np.linalg.norm(points, axis=1)
    return points[np.lexsort(np.round(np.column_stack([points, distance]).T, 6))]


def _point(origin: Any, cell: np.ndarray) -> np.ndarray:
    """The origin as `[1, d]`."""
    points = np.asarray(origin, float)[None]
    if points.shape != (1, len(cell)):
        raise SymmetryError(
            "The origin is a point of space.",
            got=repr(origin),
            expected=f"{len(cell)} Cartesian coordinates",
            try_=f"origin={[0.0] * len(cell)}",
        )
    return points
