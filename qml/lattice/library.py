"""Lattices by name, with nearest neighbours at distance 1."""

import math
from typing import Any

import numpy as np

from qml.lattice.lattice import Lattice

ROOT3 = math.sqrt(3)
HEXAGONAL = ((1.0, 0.0), (0.5, ROOT3 / 2))


def Chain(length: int, *, periodic: Any = True, twist: Any = 0.0) -> Lattice:
    """A chain of `length` sites.

    Example:
        >>> from qml.lattice import Chain
        >>> Chain(3, periodic=False).edges()
        ((0, 1), (1, 2))
    """
    return Grid((length,), periodic=periodic, twist=twist, name="Chain")


def Square(length_x: int, length_y: int | None = None, *, periodic: Any = True, twist: Any = 0.0) -> Lattice:
    """A square lattice; site `x * length_y + y` sits at $(x, y)$.

    Args:
        length_x: sites along x.
        length_y: sites along y; as many as along x if left out.
        periodic: one answer, or one per axis.

    Example:
        >>> from qml.lattice import Square
        >>> Square(4, 4).edges()[:4]
        ((0, 1), (0, 3), (0, 4), (0, 12))
    """
    return Grid((length_x, length_x if length_y is None else length_y), periodic=periodic, twist=twist, name="Square")


def Cubic(
    length_x: int, length_y: int | None = None, length_z: int | None = None, *, periodic: Any = True, twist: Any = 0.0
) -> Lattice:
    """A simple cubic lattice; lengths left out equal the first.

    Example:
        >>> from qml.lattice import Cubic
        >>> len(Cubic(3).edges())
        81
    """
    lengths = tuple(length_x if length is None else length for length in (length_x, length_y, length_z))
    return Grid(lengths, periodic=periodic, twist=twist, name="Cubic")


def Grid(lengths: Any, *, periodic: Any = True, twist: Any = 0.0, name: str = "Grid") -> Lattice:
    """A hypercubic lattice in as many dimensions as there are lengths.

    Example:
        >>> from qml.lattice import Grid
        >>> Grid((3, 2), periodic=True).n_sites
        6
    """
    return Lattice(np.eye(len(lengths)), lengths, periodic=periodic, twist=twist, name=name)


def Triangular(length_x: int, length_y: int | None = None, *, periodic: Any = True, twist: Any = 0.0) -> Lattice:
    """A triangular lattice with $a_1 = (1, 0)$, $a_2 = (1/2, \\sqrt 3/2)$: bonds along $a_1$, $a_2$ and $a_1 - a_2$.

    Example:
        >>> from qml.lattice import Triangular
        >>> len(Triangular(3, 4).edges())
        36
    """
    return _planar(HEXAGONAL, ((0.0, 0.0),), length_x, length_y, periodic, twist, "Triangular")


def Honeycomb(length_x: int, length_y: int | None = None, *, periodic: Any = True, twist: Any = 0.0) -> Lattice:
    """A honeycomb lattice, two sites a cell; the middle of a hexagon is a corner of the cell.

    Example:
        >>> from qml.lattice import Honeycomb
        >>> len(Honeycomb(3, 3).edges())
        27
    """
    cell = np.asarray(HEXAGONAL) * ROOT3
    offsets = np.array([[1 / 3, 1 / 3], [2 / 3, 2 / 3]]) @ cell
    return _planar(cell, offsets, length_x, length_y, periodic, twist, "Honeycomb")


def Kagome(length_x: int, length_y: int | None = None, *, periodic: Any = True, twist: Any = 0.0) -> Lattice:
    """A kagome lattice, three sites a cell; the middle of a hexagon is a corner of the cell.

    Example:
        >>> from qml.lattice import Kagome
        >>> Kagome(2, 2).n_sites, len(Kagome(2, 2).edges())
        (12, 24)
    """
    cell = np.asarray(HEXAGONAL) * 2.0
    offsets = np.array([[0.5, 0.0], [0.0, 0.5], [0.5, 0.5]]) @ cell
    return _planar(cell, offsets, length_x, length_y, periodic, twist, "Kagome")


def _planar(
    cell: Any, offsets: Any, length_x: int, length_y: int | None, periodic: Any, twist: Any, name: str
) -> Lattice:
    return Lattice(cell, (length_x, length_x if length_y is None else length_y), offsets, periodic, twist, name)
