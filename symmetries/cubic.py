"""Point groups of the regular solids: tetrahedron, octahedron and cube, icosahedron; and the cube in any dimension.

The fourfold axes of the cube (twofold ones of the tetrahedron and of the icosahedron) are x, y, z.
"""

import numpy as np

from symmetries._errors import SymmetryError
from symmetries.point_group import PointGroup, inversion

CYCLE = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # x -> y -> z -> x
HALF = np.diag([-1.0, -1.0, 1.0])
QUARTER = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def T() -> PointGroup:
    """The 12 rotations of the tetrahedron.

    Example:
        >>> from symmetries import cubic
        >>> cubic.T().characters.labels
        ('A', 'E+', 'E-', 'T')
    """
    return PointGroup.generate([CYCLE, HALF])


def Td() -> PointGroup:
    """All 24 symmetries of the tetrahedron.

    Example:
        >>> from symmetries import cubic
        >>> cubic.Td().characters.labels
        ('A1', 'A2', 'E', 'T1', 'T2')
    """
    return PointGroup.generate([CYCLE, -QUARTER])


def Th() -> PointGroup:
    """The rotations of the tetrahedron and their products with the inversion, 24 elements.

    Example:
        >>> from symmetries import cubic
        >>> cubic.Th().order
        24
    """
    return T() @ inversion(3)


def O() -> PointGroup:  # noqa: E743
    """The 24 rotations of the cube.

    Example:
        >>> from symmetries import cubic
        >>> cubic.O().characters.dimensions
        (1, 1, 2, 3, 3)
    """
    return PointGroup.generate([CYCLE, QUARTER])


def Oh() -> PointGroup:
    """All 48 symmetries of the cube.

    Example:
        >>> from symmetries import cubic
        >>> cubic.Oh().characters.labels
        ('A1g', 'A2g', 'Eg', 'T1g', 'T2g', 'A1u', 'A2u', 'Eu', 'T1u', 'T2u')
    """
    return O() @ inversion(3)


def I() -> PointGroup:  # noqa: E743
    """The 60 rotations of the icosahedron with corners at (0, 1, golden ratio), its even permutations and signs.

    Example:
        >>> from symmetries import cubic
        >>> cubic.I().characters.labels
        ('A', 'T1', 'T2', 'G', 'H')
    """
    golden = (1 + 5**0.5) / 2
    fifth = np.array([[golden - 1, -golden, 1], [golden, 1, golden - 1], [-1, golden - 1, golden]]) / 2
    return PointGroup.generate([CYCLE, HALF, fifth])


def Ih() -> PointGroup:
    """All 120 symmetries of the icosahedron.

    Example:
        >>> from symmetries import cubic
        >>> cubic.Ih().characters.dimensions
        (1, 3, 3, 4, 5, 1, 3, 3, 4, 5)
    """
    return I() @ inversion(3)


def hyperoctahedral(dimension: int) -> PointGroup:
    r"""All $2^n\, n!$ symmetries of the cube in n dimensions: permutations of the axes with signs.

    Raises:
        SymmetryError: the dimension is not between 1 and 4.

    Example:
        >>> from symmetries import cubic
        >>> [cubic.hyperoctahedral(n).order for n in (1, 2, 3)]
        [2, 8, 48]
    """
    if dimension not in (1, 2, 3, 4):
        raise SymmetryError(
            "This group of the cube is not available.",
            got=f"dimension {dimension}",
            expected="1, 2, 3 or 4",
            try_="symmetries.cubic.hyperoctahedral(3)",
        )
    eye = np.eye(dimension)
    flip = eye.copy()
    flip[0, 0] = -1.0
    swap = eye[[1, 0, *range(2, dimension)]] if dimension > 1 else eye
    return PointGroup.generate([flip, swap, np.roll(eye, 1, axis=0)])
