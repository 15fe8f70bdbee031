"""Lattices: where the sites are and which of them are neighbours."""

from qml.lattice.bonds import GeometryWarning
from qml.lattice.draw import draw
from qml.lattice.graph import Graph, from_networkx
from qml.lattice.lattice import Lattice
from qml.lattice.library import Chain, Cubic, Grid, Honeycomb, Kagome, Square, Triangular

__all__ = [
    "Chain",
    "Cubic",
    "GeometryWarning",
    "Graph",
    "Grid",
    "Honeycomb",
    "Kagome",
    "Lattice",
    "Square",
    "Triangular",
    "draw",
    "from_networkx",
]
