"""Lattices by name, with nearest neighbours at distance 1."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from qml._core.errors import ShapeError
from qml.lattice.bonds import warn_lost
from qml.lattice.lattice import Lattice

ROOT3 = math.sqrt(3)
HEXAGONAL = np.array([[1.0, 0.0], [0.5, ROOT3 / 2]])
BODY_CENTRED = np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]])
FACE_CENTRED = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])


def Chain(length: int, *, periodic: Any = True, twist: Any = 0.0) -> Lattice:
    """A chain of `length` sites.

    Example:
        >>> from qml.lattice import Chain
        >>> Chain(3, periodic=False).edges()
        ((0, 1), (1, 2))
    """
    return Grid((length,), periodic=periodic, twist=twist, name="Chain")


def Ladder(length: int, legs: int = 2, *, periodic: Any = True, twist: Any = 0.0) -> Lattice:
    """Chains side by side, open across; site `x * legs + y` sits at $(x, y)$. Edges have the colours `leg` and `rung`.

    Args:
        length: sites along each leg.
        legs: number of chains, at least 2.
        periodic: whether the legs are closed.
        twist: angle along the legs.

    Example:
        >>> from qml.lattice import Ladder
        >>> Ladder(3).edges(color="rung")
        ((0, 1), (2, 3), (4, 5))
    """
    if legs < 2:
        raise ShapeError("A ladder has rungs.", got=f"legs={legs}", expected="legs >= 2", try_="Chain(length)")
    grid = Grid((length, legs), periodic=(periodic, False), twist=(twist, 0.0), name="Ladder")
    return _colored(grid, {"x": "leg", "y": "rung"})


def Square(length_x: Any, length_y: int | None = None, *, periodic: Any = True, twist: Any = 0.0) -> Lattice:
    """A square lattice; site `x * length_y + y` sits at $(x, y)$.

    Args:
        length_x: sites along x; or the two torus vectors of a tilted cluster, such as `[[4, 2], [-2, 4]]`.
        length_y: sites along y; as many as along x if left out.
        periodic: one answer, or one per axis.
        twist: angle across the boundary, one or one per axis.

    Example:
        >>> from qml.lattice import Square
        >>> Square(4, 4).edges()[:4]
        ((0, 1), (0, 3), (0, 4), (0, 12))
        >>> Square([[4, 2], [-2, 4]]).n_sites
        20
    """
    return Lattice(np.eye(2), _extent(length_x, length_y), None, periodic, twist, "Square")


def Cubic(
    length_x: Any, length_y: int | None = None, length_z: int | None = None, *, periodic: Any = True, twist: Any = 0.0
) -> Lattice:
    """A simple cubic lattice; lengths left out equal the first, which can be the torus vectors of a tilted cluster.

    Example:
        >>> from qml.lattice import Cubic
        >>> len(Cubic(3).edges())
        81
    """
    return Lattice(np.eye(3), _extent(length_x, length_y, length_z), None, periodic, twist, "Cubic")


def Grid(lengths: Any, *, periodic: Any = True, twist: Any = 0.0, name: str = "Grid") -> Lattice:
    """A hypercubic lattice in as many dimensions as there are lengths.

    Example:
        >>> from qml.lattice import Grid
        >>> Grid((3, 2), periodic=True).n_sites
        6
    """
    return Lattice(np.eye(len(lengths)), lengths, None, periodic, twist, name)


def Hypercube(length: int, dimension: int, *, periodic: Any = True, twist: Any = 0.0) -> Lattice:
    """A hypercubic lattice with the same length along every axis.

    Example:
        >>> from qml.lattice import Hypercube
        >>> Hypercube(3, 4).n_sites, len(Hypercube(3, 4).edges())
        (81, 324)
    """
    return Grid((length,) * dimension, periodic=periodic, twist=twist, name="Hypercube")


def Triangular(length_x: Any, length_y: int | None = None, *, periodic: Any = True, twist: Any = 0.0) -> Lattice:
    """A triangular lattice with $a_1 = (1, 0)$, $a_2 = (1/2, \\sqrt 3/2)$: bonds along $a_1$, $a_2$ and $a_1 - a_2$.

    Args:
        length_x: cells along $a_1$; or the two torus vectors of a tilted cluster in units of $a_1$ and $a_2$.
        length_y: cells along $a_2$; as many as along $a_1$ if left out.
        periodic: one answer, or one per axis.
        twist: angle across the boundary, one or one per axis.

    Example:
        >>> from qml.lattice import Triangular
        >>> len(Triangular(3, 4).edges()), Triangular([[2, 2], [-2, 4]]).n_sites
        (36, 12)
    """
    return Lattice(HEXAGONAL, _extent(length_x, length_y), None, periodic, twist, "Triangular")


def Honeycomb(length_x: Any, length_y: int | None = None, *, periodic: Any = True, twist: Any = 0.0) -> Lattice:
    """A honeycomb lattice, two sites a cell; the middle of a hexagon is a corner of the cell. Arguments: `Triangular`.

    Example:
        >>> from qml.lattice import Honeycomb
        >>> len(Honeycomb(3, 3).edges())
        27
    """
    cell = HEXAGONAL * ROOT3
    offsets = np.array([[1 / 3, 1 / 3], [2 / 3, 2 / 3]]) @ cell
    return Lattice(cell, _extent(length_x, length_y), offsets, periodic, twist, "Honeycomb")


def KitaevHoneycomb(length_x: Any, length_y: int | None = None, *, periodic: Any = True, twist: Any = 0.0) -> Lattice:
    """A honeycomb lattice with edges of the colours `x`, `y` and `z` by direction; the `z` bonds are vertical.

    Example:
        >>> from qml.lattice import KitaevHoneycomb
        >>> [len(KitaevHoneycomb(3).edges(color=color)) for color in "xyz"]
        [9, 9, 9]

    Source: A. Kitaev, Annals of Physics 321, 2 (2006), figure 3.
    """
    honeycomb = Honeycomb(length_x, length_y, periodic=periodic, twist=twist)
    return _colored(_named(honeycomb, "KitaevHoneycomb"), {"0": "x", "1": "y", "y": "z"})


def Kagome(length_x: Any, length_y: int | None = None, *, periodic: Any = True, twist: Any = 0.0) -> Lattice:
    """A kagome lattice, three sites a cell; the middle of a hexagon is a corner of the cell. Arguments: `Triangular`.

    Example:
        >>> from qml.lattice import Kagome
        >>> Kagome(2, 2).n_sites, len(Kagome(2, 2).edges())
        (12, 24)
    """
    cell = HEXAGONAL * 2.0
    offsets = np.array([[0.5, 0.0], [0.0, 0.5], [0.5, 0.5]]) @ cell
    return Lattice(cell, _extent(length_x, length_y), offsets, periodic, twist, "Kagome")


def ShastrySutherland(length_x: Any, length_y: int | None = None, *, periodic: Any = True, twist: Any = 0.0) -> Lattice:
    """The Shastry-Sutherland lattice: a square lattice with a dimer across every fourth square, four sites a cell.

    Drawn with all bonds equal (the snub square tiling), so that its space group is that of the model. Edges have the
    colours `dimer` (one a site, between sites 0, 1 and 2, 3 of a cell) and `square` (four a site).

    Args:
        length_x: cells of four sites along x; or the two torus vectors of a tilted cluster in units of the cell.
        length_y: cells along y; as many as along x if left out.
        periodic: one answer, or one per axis.
        twist: angle across the boundary, one or one per axis.

    Example:
        >>> from qml.lattice import ShastrySutherland
        >>> lattice = ShastrySutherland(2)
        >>> lattice.n_sites, len(lattice.edges(color="dimer")), len(lattice.edges(color="square"))
        (16, 8, 32)

    Source: B. S. Shastry and B. Sutherland, Physica B+C 108, 1069 (1981).
    """
    half, side = 1 / math.sqrt(8), math.sqrt(2 + ROOT3)  # half a dimer along each axis; the cell
    offsets = np.array([[-half, -half], [half, half], [-half, half], [half, -half]])
    offsets += np.repeat([[side / 4, side / 4], [side * 3 / 4, side * 3 / 4]], 2, axis=0)
    extent = _extent(length_x, length_y)
    lattice = Lattice(side * np.eye(2), extent, offsets, periodic, twist, "ShastrySutherland")
    bonds = lattice._bonds(1)
    warn_lost(lattice, bonds)
    colors: dict[str, list] = {"dimer": [], "square": []}
    for pair in bonds.edges:
        cell, half = lattice.cells[[*pair]], lattice.sublattices[[*pair]] // 2
        same = (cell[0] == cell[1]).all() and half[0] == half[1]
        colors["dimer" if same else "square"].append(pair)
    return lattice.with_edges(colors)


def BCC(
    length_x: Any, length_y: int | None = None, length_z: int | None = None, *, periodic: Any = True, twist: Any = 0.0
) -> Lattice:
    """A body-centred cubic lattice, one site a primitive cell. Arguments: `Cubic`, along the primitive vectors.

    Example:
        >>> from qml.lattice import BCC
        >>> len(BCC(3).neighbours()[0])
        8
    """
    extent = _extent(length_x, length_y, length_z)
    return Lattice(BODY_CENTRED * 2 / ROOT3, extent, None, periodic, twist, "BCC")


def FCC(
    length_x: Any, length_y: int | None = None, length_z: int | None = None, *, periodic: Any = True, twist: Any = 0.0
) -> Lattice:
    """A face-centred cubic lattice, one site a primitive cell. Arguments: `Cubic`, along the primitive vectors.

    Example:
        >>> from qml.lattice import FCC
        >>> len(FCC(3).neighbours()[0])
        12
        >>> FCC([[-2, 2, 2], [2, -2, 2], [2, 2, -2]]).n_sites  # two cubes along each axis
        32
    """
    extent = _extent(length_x, length_y, length_z)
    return Lattice(FACE_CENTRED * math.sqrt(2), extent, None, periodic, twist, "FCC")


def Diamond(
    length_x: Any, length_y: int | None = None, length_z: int | None = None, *, periodic: Any = True, twist: Any = 0.0
) -> Lattice:
    """A diamond lattice, two sites a primitive cell. Arguments: `Cubic`, along the primitive vectors of `FCC`.

    Example:
        >>> from qml.lattice import Diamond
        >>> Diamond(2).n_sites, len(Diamond(2).neighbours()[0])
        (16, 4)
    """
    side = 4 / ROOT3
    offsets = np.array([[0.0] * 3, [0.25] * 3]) * side
    return Lattice(FACE_CENTRED * side, _extent(length_x, length_y, length_z), offsets, periodic, twist, "Diamond")


def Pyrochlore(
    length_x: Any, length_y: int | None = None, length_z: int | None = None, *, periodic: Any = True, twist: Any = 0.0
) -> Lattice:
    """A pyrochlore lattice, four sites a primitive cell. Arguments: `Cubic`, along the primitive vectors of `FCC`.

    Example:
        >>> from qml.lattice import Pyrochlore
        >>> Pyrochlore(2).n_sites, len(Pyrochlore(2).neighbours()[0])
        (32, 6)
    """
    cell = FACE_CENTRED * math.sqrt(8)
    offsets = np.concatenate([np.zeros((1, 3)), cell / 2])
    return Lattice(cell, _extent(length_x, length_y, length_z), offsets, periodic, twist, "Pyrochlore")


def _extent(first: Any, *others: int | None) -> Any:
    """Lengths, those left out equal to the first; or the supercell that was given in place of the first."""
    if not isinstance(first, Iterable):
        return tuple(first if length is None else length for length in (first, *others))
    if any(length is not None for length in others):
        raise ShapeError(
            "A tilted cluster is given by its torus vectors alone.",
            got=repr((first, *others)),
            expected="one matrix of whole numbers, or a length for each axis",
            try_="Square([[4, 2], [-2, 4]])",
        )
    return first


def _named(lattice: Lattice, name: str) -> Lattice:
    return Lattice(lattice.cell, lattice.supercell, lattice.offsets, lattice.periodic, lattice.twist, name)


def _colored(lattice: Lattice, names: dict[str, str]) -> Lattice:
    """The same edges with other names for their colours."""
    bonds = lattice._bonds(1)
    warn_lost(lattice, bonds)
    colors: dict[str, list] = {name: [] for name in names.values()}
    for pair, color in zip(bonds.edges, bonds.colors):
        colors[names[color]].append(pair)
    return lattice.with_edges(colors)
