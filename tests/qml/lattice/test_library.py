"""Lattices by name: coordination, bonds of reference problems, symmetry of their drawing."""

import json
import pathlib

import networkx as nx
import numpy as np
import pytest

import symmetries
from qml.lattice import (
    BCC,
    FCC,
    Chain,
    Cubic,
    Diamond,
    GeometryWarning,
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

REFERENCE = pathlib.Path(__file__).parents[2] / "reference"
PROBLEMS = json.loads((REFERENCE / "nqs_energies.json").read_text())["problems"]
BONDS = json.loads((REFERENCE / "lattice_bonds.json").read_text())


@pytest.mark.parametrize(
    ("lattice", "coordination"),
    [
        (Square(4), 4),
        (Triangular(3), 6),
        (Honeycomb(3), 3),
        (Kagome(3), 4),
        (KitaevHoneycomb(3), 3),
        (Cubic(3), 6),
        (BCC(3), 8),
        (FCC(3), 12),
        (Diamond(3), 4),
        (Pyrochlore(3), 6),
        (Pyrochlore(2), 6),
        (ShastrySutherland(2), 5),
        (Hypercube(3, 4), 8),
        (FCC([[-2, 2, 2], [2, -2, 2], [2, 2, -2]]), 12),
        (Diamond([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]), 4),
    ],
    ids=repr,
)
def test_coordination(lattice, coordination):
    """Neighbours of every site, at distance 1."""
    assert {len(row) for row in lattice.neighbours()} == {coordination}
    assert len(lattice.edges()) == lattice.n_sites * coordination // 2
    i, j = lattice.edges()[0]
    np.testing.assert_allclose(lattice.distances()[i, j], 1.0, atol=1e-12)


@pytest.mark.parametrize(
    ("bonds", "edges"),
    [
        (PROBLEMS["heisenberg_triangular_3x4"]["bonds"], Triangular(3, 4).edges()),
        (PROBLEMS["heisenberg_triangular_4x4"]["bonds"], Triangular(4, 4).edges()),
        (PROBLEMS["heisenberg_kagome_12"]["bonds"], Kagome(2, 2).edges()),
        (PROBLEMS["j1j2_square_4x4_J2_0.5"]["bonds"]["J1"], Square(4).edges()),
        (PROBLEMS["j1j2_square_4x4_J2_0.5"]["bonds"]["J2"], Square(4).edges(2)),
        (BONDS["kagome_18"], Kagome(3, 2).edges()),
        (BONDS["honeycomb_18"], Honeycomb(3, 3).edges()),
    ],
    ids=["triangular 3x4", "triangular 4x4", "kagome 12", "square J1", "square J2", "kagome 18", "honeycomb 18"],
)
def test_bonds_of_reference_problems(bonds, edges):
    """The same graphs, up to the numbers of the sites, as those whose energies are known."""
    assert len({tuple(sorted(pair)) for pair in bonds}) == len(bonds) == len(edges)
    assert nx.is_isomorphic(nx.Graph(bonds), nx.Graph(edges))


def test_kitaev():
    """The coloured graph of the reference problem; numbers of bonds of each colour."""
    bonds = PROBLEMS["kitaev_honeycomb_12"]["bonds"]
    known = nx.Graph([(i, j, {"color": color}) for color in "xyz" for i, j in bonds[color]])
    mine = KitaevHoneycomb(3, 2).to_networkx()
    match = nx.algorithms.isomorphism.categorical_edge_match("color", None)
    assert nx.is_isomorphic(known, mine, edge_match=match)
    assert KitaevHoneycomb(3, 2).edges() == Honeycomb(3, 2).edges()
    assert [len(KitaevHoneycomb(3, periodic=False).edges(color=color)) for color in "xyz"] == [9, 6, 6]
    kitaev = KitaevHoneycomb(3)
    group = symmetries.space_group(kitaev, keep={color: kitaev.edges(color=color) for color in "xyz"})
    assert (group.order, group.point_group.order) == (18, 2)
    for site in range(18):
        near = [c for pair, c in zip(KitaevHoneycomb(3).edges(), KitaevHoneycomb(3).edge_colors()) if site in pair]
        assert sorted(near) == ["x", "y", "z"]


def test_shastry_sutherland():
    """Dimers on a square lattice, at the corners of which they alternate; the drawing has its symmetry."""
    lattice = ShastrySutherland(2)
    squares = nx.Graph(lattice.edges(color="square"))
    assert nx.is_isomorphic(squares, nx.Graph(Square(4).edges()))
    assert sorted(site for pair in lattice.edges(color="dimer") for site in pair) == list(range(16))
    diagonal = nx.single_source_shortest_path_length
    assert all(diagonal(squares, i)[j] == 2 for i, j in lattice.edges(color="dimer"))
    dimers = lattice.with_edges({"dimer": lattice.edges(color="dimer")})
    steps = dimers._bonds(1).ways.steps
    assert (np.abs(steps @ steps.T) > 1 - 1e-9).sum(axis=1).tolist() == [4] * 8  # half of them along each diagonal
    whole = {(pair, color) for pair, color in zip(lattice.edges(), lattice.edge_colors())}
    for permutation in symmetries.space_group(lattice).permutations:
        moved = {(tuple(sorted(permutation[[i, j]].tolist())), color) for (i, j), color in whole}
        assert moved == whole
    assert len(ShastrySutherland(3, 2).edges()) == 24 * 5 // 2


def test_simple_ones():
    """Ladders are grids with names; clusters too narrow say so also where the colours are custom."""
    ladder = Ladder(4, 3)
    assert ladder.edges() == Grid((4, 3), periodic=(True, False)).edges()
    assert len(ladder.edges(color="leg")) == 12 and len(ladder.edges(color="rung")) == 8
    assert Ladder(4, twist=0.3).twist == (0.3, 0.0) and Ladder(5, periodic=False).edges(color="leg")[0] == (0, 2)
    assert Hypercube(4, 1).edges() == Chain(4).edges() and Hypercube(3, 3).edges() == Cubic(3).edges()
    with pytest.warns(GeometryWarning, match="left out"):
        Ladder(1)
    with pytest.warns(GeometryWarning, match="two or more ways"):
        assert len(Ladder(2).edges()) == 4
    assert len(Kagome(10, 1, periodic=(True, False)).edges()) == 10 * 3 + 10 + 0 * 2
    assert nx.is_isomorphic(nx.Graph(Diamond(2).edges()), nx.Graph(nx.hypercube_graph(4)))
