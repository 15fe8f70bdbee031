r"""Point groups of space with one main axis, in Schoenflies's notation: `C`, `Cv`, `Ch`, `S`, `D`, `Dh`, `Dd`.

`axis` is the main axis. `across` is another direction, of which the part perpendicular to the axis counts: one of the
twofold axes of `D`, `Dh` and `Dd`, a line of one of the mirrors of `Cv`. If it is left out: x, or y for the axis x.
The groups of the plane are `symmetries.C` and `symmetries.D`.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from symmetries._errors import SymmetryError
from symmetries.characters import roots_of_unity
from symmetries.point_group import PointGroup

Z = (0.0, 0.0, 1.0)


def rotation(n: int, axis: Any = Z) -> Float[np.ndarray, "3 3"]:
    r"""The rotation by $2\pi/n$ about an axis, counterclockwise seen from its tip.

    Example:
        >>> from symmetries import axial
        >>> axial.rotation(4)
        array([[ 0., -1.,  0.],
               [ 1.,  0.,  0.],
               [ 0.,  0.,  1.]])
    """
    frame, turn = _frame(axis, None), roots_of_unity(_checked(n))[1 % n]
    flat = np.array([[turn.real, -turn.imag, 0], [turn.imag, turn.real, 0], [0, 0, 1]])
    return frame.T @ flat @ frame


def reflection(normal: Any) -> Float[np.ndarray, "3 3"]:
    """The reflection across the plane with a normal.

    Example:
        >>> from symmetries import axial
        >>> axial.reflection((1, 1, 0))
        array([[ 0., -1.,  0.],
               [-1.,  0.,  0.],
               [ 0.,  0.,  1.]])
    """
    unit = _frame(normal, None)[2]
    return np.round(np.eye(3) - 2 * unit[:, None] * unit[None, :], 15) + 0.0


def C(n: int, axis: Any = Z) -> PointGroup:
    """Rotations about an axis.

    Example:
        >>> from symmetries import axial
        >>> axial.C(3).characters.labels
        ('A', 'E+', 'E-')
    """
    return PointGroup.generate([rotation(n, axis)])


def Cv(n: int, axis: Any = Z, across: Any = None) -> PointGroup:
    """Rotations about an axis and mirrors that contain it, one of them the direction `across`.

    Example:
        >>> from symmetries import axial
        >>> axial.Cv(2).characters.labels
        ('A1', 'A2', 'B1', 'B2')
    """
    return PointGroup.generate([rotation(n, axis), reflection(_frame(axis, across)[1])])


def Ch(n: int, axis: Any = Z) -> PointGroup:
    """Rotations about an axis and the mirror perpendicular to it; `Ch(1)` is $C_s$.

    Example:
        >>> from symmetries import axial
        >>> axial.Ch(2).characters.labels
        ('Ag', 'Bg', 'Au', 'Bu')
    """
    return PointGroup.generate([rotation(n, axis), reflection(axis)])


def S(n: int, axis: Any = Z) -> PointGroup:
    r"""Powers of the rotary reflection, rotation by $2\pi/n$ and reflection across its axis; `S(2)` is $C_i$.

    Example:
        >>> from symmetries import axial
        >>> axial.S(4).characters.labels
        ('A', 'B', 'E+', 'E-')
    """
    return PointGroup.generate([rotation(n, axis) @ reflection(axis)])


def D(n: int, axis: Any = Z, across: Any = None) -> PointGroup:
    """Rotations about an axis and twofold ones perpendicular to it, one of them about `across`.

    Example:
        >>> from symmetries import axial
        >>> axial.D(2).characters.labels
        ('A', 'B1', 'B2', 'B3')
    """
    return PointGroup.generate([rotation(n, axis), rotation(2, _frame(axis, across)[0])])


def Dh(n: int, axis: Any = Z, across: Any = None) -> PointGroup:
    """`D` and the mirror perpendicular to the axis.

    Example:
        >>> from symmetries import axial
        >>> axial.Dh(3).characters.labels
        ("A1'", "A2'", "E'", "A1''", "A2''", "E''")
    """
    return PointGroup.generate([rotation(n, axis), rotation(2, _frame(axis, across)[0]), reflection(axis)])


def Dd(n: int, axis: Any = Z, across: Any = None) -> PointGroup:
    """`D` and mirrors that contain the axis, halfway between the twofold axes.

    Example:
        >>> from symmetries import axial
        >>> axial.Dd(3).characters.labels
        ('A1g', 'A2g', 'Eg', 'A1u', 'A2u', 'Eu')
    """
    twisted = rotation(2 * _checked(n), axis) @ reflection(axis)
    return PointGroup.generate([twisted, rotation(2, _frame(axis, across)[0])])


def _checked(n: int) -> int:
    if n < 1 or n != int(n):
        raise SymmetryError(
            "An axis has a whole number of steps a turn.",
            got=repr(n),
            expected="n = 1, 2, 3 ...",
            try_="symmetries.axial.C(4)",
        )
    return int(n)


def _frame(axis: Any, across: Any) -> np.ndarray:
    """Rows: `across` made perpendicular, the third direction, the axis; a right-handed frame."""
    main = np.asarray(axis, float)
    along_x = main.shape == (3,) and np.abs(main[1:]).max() < 1e-6
    wanted = np.asarray(((0, 1, 0) if along_x else (1, 0, 0)) if across is None else across, float)
    fits = main.shape == wanted.shape == (3,)
    if not fits or not np.linalg.norm(np.cross(main, wanted)) > 1e-6 * np.linalg.norm(wanted) > 0:
        raise SymmetryError(
            "An axis is a direction of space, and `across` another one.",
            got=f"axis {axis!r}, across {across!r}",
            expected="three numbers each, not all zero, not parallel",
            try_="axis=(0, 0, 1), across=(1, 0, 0)",
        )
    main = main / np.linalg.norm(main)
    first = wanted - (wanted @ main) * main
    first = first / np.linalg.norm(first)
    return np.stack([first, np.cross(main, first), main])
