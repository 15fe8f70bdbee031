"""Lattices: where the sites are and which of them are neighbours."""

from qml.lattice.bonds import GeometryWarning
from qml.lattice.draw import draw, draw_zone
from qml.lattice.graph import Graph, from_networkx
from qml.lattice.lattice import Lattice
from qml.lattice.library import (
    BCC,
    FCC,
    Chain,
    Cubic,
    Diamond,
    Grid,
    Honeycomb,
    Hypercube,
    Kagome,
    KitaevHoneycomb,
    Ladder,
    Pyrochlore,
    ShastrySutherland,
    Square,
    Triangular,
)

__all__ = [
    "BCC",
    "FCC",
    "Chain",
    "Cubic",
    "Diamond",
    "GeometryWarning",
    "Graph",
    "Grid",
    "Honeycomb",
    "Hypercube",
    "Kagome",
    "KitaevHoneycomb",
    "Ladder",
    "Lattice",
    "Pyrochlore",
    "ShastrySutherland",
    "Square",
    "Triangular",
    "draw",
    "draw_zone",
    "from_networkx",
]
