"""Point groups as sets of orthogonal matrices, by name and by the geometry of a crystal."""

from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from symmetries._descriptor import descriptor
from symmetries._errors import SymmetryError
from symmetries.characters import CharacterTable, character_table, roots_of_unity
from symmetries.crystal import Crystal
from symmetries.group import FiniteGroup
from symmetries.isometries import cleaned, find_isometries
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
        return cls(cleaned(elements))

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
        return PointGroup(cleaned(products[np.sort(first)]))


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


def point_group(crystal: Crystal, origin: Any = None) -> PointGroup:
    """The isometries about one point that map a finite crystal, with its boundary, to itself.

    Args:
        crystal: lattice with positions.
        origin: `[d]`, the fixed point. If left out, one that as many isometries as possible keep: a site where that is
            possible, the middle of a hexagon on the honeycomb and kagome lattices. (Glide planes and screw axes keep
            no point: they are in the space group alone.)

    Raises:
        SymmetryError: the object has no geometry, or the origin does not fit its dimension.

    Example:
        >>> import qml, symmetries
        >>> [symmetries.point_group(qml.lattice.Square(*size)).order for size in ((4, 4), (4, 6))]
        [8, 4]
    """
    found = find_isometries(crystal, origin)
    return PointGroup(found.matrices[(found.shifts == 0).all(axis=1)])
