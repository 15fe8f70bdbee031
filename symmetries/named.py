"""Point groups of space by their names, Schoenflies's or international ones, and the names of point groups."""

import re

import numpy as np

from symmetries import axial, cubic
from symmetries._errors import SymmetryError
from symmetries.names import axis_and_angle
from symmetries.point_group import PointGroup

INTERNATIONAL = {
    "1": "C1",
    "-1": "Ci",
    "2": "C2",
    "m": "Cs",
    "2/m": "C2h",
    "222": "D2",
    "mm2": "C2v",
    "mmm": "D2h",
    "4": "C4",
    "-4": "S4",
    "4/m": "C4h",
    "422": "D4",
    "4mm": "C4v",
    "-42m": "D2d",
    "4/mmm": "D4h",
    "3": "C3",
    "-3": "S6",
    "32": "D3",
    "3m": "C3v",
    "-3m": "D3d",
    "6": "C6",
    "-6": "C3h",
    "6/m": "C6h",
    "622": "D6",
    "6mm": "C6v",
    "-6m2": "D3h",
    "6/mmm": "D6h",
    "23": "T",
    "m-3": "Th",
    "432": "O",
    "-43m": "Td",
    "m-3m": "Oh",
}
SOLIDS = {"T": cubic.T, "Td": cubic.Td, "Th": cubic.Th, "O": cubic.O, "Oh": cubic.Oh, "I": cubic.I, "Ih": cubic.Ih}
FAMILIES = {
    "C": axial.C,
    "Cv": axial.Cv,
    "Ch": axial.Ch,
    "S": axial.S,
    "D": axial.D,
    "Dh": axial.Dh,
    "Dd": axial.Dd,
}


def named_point_group(name: str) -> PointGroup:
    """A point group of space by its name; the main axis is z, twofold axes and mirror lines start at x.

    Args:
        name: Schoenflies's, such as `"C4v"`, `"D3d"`, `"S8"`, `"Cs"`, `"Oh"`, with any number; or the international one
            of the 32 of crystals, such as `"4mm"`, `"-3m"`, `"m-3m"`.

    Raises:
        SymmetryError: there is no such name.

    Example:
        >>> import symmetries
        >>> symmetries.named_point_group("D3d") == symmetries.named_point_group("-3m")
        True
        >>> symmetries.named_point_group("Oh").order
        48
    """
    symbol = INTERNATIONAL.get(name, name)
    if symbol in SOLIDS:
        return SOLIDS[symbol]()
    if symbol in ("Cs", "Ci"):
        return axial.Ch(1) if symbol == "Cs" else axial.S(2)
    parts = re.fullmatch(r"([CDS])([1-9][0-9]*)([vhd]?)", symbol)
    if parts and parts[1] + parts[3] in FAMILIES:
        return FAMILIES[parts[1] + parts[3]](int(parts[2]))
    raise SymmetryError(
        "There is no point group of this name.",
        got=repr(name),
        expected=f"Cn Cnv Cnh Sn Dn Dnh Dnd with a number n, Cs Ci {' '.join(SOLIDS)}; or {' '.join(INTERNATIONAL)}",
        try_='symmetries.named_point_group("C4v")',
    )


def schoenflies(group: PointGroup) -> str:
    """Schoenflies's name of a point group of space, whatever its axes; `Cn` and `Dn` in the plane, as `symmetries.D`.

    Raises:
        SymmetryError: more than three dimensions.

    Example:
        >>> import qml, symmetries
        >>> symmetries.schoenflies(symmetries.point_group(qml.lattice.Cubic(3)))
        'Oh'
        >>> symmetries.schoenflies(symmetries.axial.S(6, axis=(1, 1, 1)))
        'S6'
    """
    if group.dimension > 3:
        raise SymmetryError(
            "Only point groups of one to three dimensions have names.",
            got=f"dimension {group.dimension}",
            expected="1, 2 or 3",
            try_="group.order",
        )
    proper = np.linalg.det(group.matrices) > 0
    order = int(proper.sum())
    if group.dimension < 3:
        line = "C1" if proper.all() else "Ci"
        return line if group.dimension == 1 else f"{'C' if proper.all() else 'D'}{order}"
    turns = [axis_and_angle(r) for r in group.matrices[proper]]
    highest = max(round(2 * np.pi / abs(angle)) if abs(angle) > 1e-4 else 1 for _, angle in turns)
    solid = {(12, 3): "T", (24, 4): "O", (60, 5): "I"}.get((order, highest))
    has_inversion = bool((np.abs(group.matrices + np.eye(3)).max(axis=(1, 2)) < 1e-5).any())
    if solid:
        return solid + ("" if proper.all() else "h" if has_inversion else "d")
    main = min(turns, key=lambda turn: abs(turn[1]) if abs(turn[1]) > 1e-4 else 9.0)[0]
    mirrors = [axis_and_angle(-m)[0] for m in group.matrices[~proper] if abs(np.trace(m) - 1) < 1e-4]
    flat = any(abs(abs(normal @ main) - 1) < 1e-4 for normal in mirrors)
    if order == highest:
        return _cyclic(highest, bool(proper.all()), has_inversion, flat, bool(mirrors))
    return f"D{highest}" + ("" if proper.all() else "h" if flat else "d")


def _cyclic(n: int, proper: bool, has_inversion: bool, flat: bool, mirrors: bool) -> str:
    """Names of the groups whose rotations are about one axis."""
    if proper:
        return f"C{n}"
    if n == 1:
        return "Ci" if has_inversion else "Cs"
    if flat:
        return f"C{n}h"
    return f"C{n}v" if mirrors else f"S{2 * n}"
