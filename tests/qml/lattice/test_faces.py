"""Triangles and plaquettes: how many, which way around, what the boundaries leave of them."""

import collections

import networkx as nx
import numpy as np
import pytest

from qml.lattice import (
    BCC,
    FCC,
    Chain,
    Cubic,
    Diamond,
    GeometryWarning,
    Graph,
    Honeycomb,
    Kagome,
    Ladder,
    Lattice,
    Pyrochlore,
    ShastrySutherland,
    Square,
    Triangular,
    from_networkx,
)

ROOT3 = 3**0.5
STAR = Lattice(
    np.array([[1, 0], [0.5, ROOT3 / 2]]) * (2 + ROOT3),
    (2, 2),
    [
        (np.cos(angle) / ROOT3, side + np.sin(angle) / ROOT3)
        for side, turn in ((0.5 + 1 / ROOT3, 0), (-0.5 - 1 / ROOT3, np.pi))
        for angle in turn - np.pi / 2 + np.array([0, 2, 4]) * np.pi / 3
    ],
)
PLANAR = [
    (Square(4), {4: 16}),
    (Square([[4, 2], [-2, 4]]), {4: 20}),
    (Square(3, 4, periodic=False), {4: 6}),
    (Square(3, 4, periodic=(True, False)), {4: 9}),
    (Triangular(3), {3: 18}),
    (Triangular([[2, 2], [-2, 4]]), {3: 24}),
    (Honeycomb(3), {6: 9}),
    (Honeycomb(2), {6: 4}),
    (Kagome(2), {3: 8, 6: 4}),
    (Kagome(3, periodic=False), {3: 13, 6: 4}),
    (ShastrySutherland(2), {3: 16, 4: 8}),
    (Ladder(4), {4: 4}),
    (Lattice(2 * np.eye(2), (3, 3), [[0, 0], [1, 0], [0, 1]]), {8: 9}),
]


@pytest.mark.parametrize(("lattice", "count"), PLANAR, ids=lambda x: repr(x))
def test_planar(lattice, count):
    """Faces by number of corners; counter-clockwise; they cover a torus once; no winding around any of them."""
    faces = lattice.plaquettes()
    assert collections.Counter(map(len, faces)) == count
    assert lattice.triangles() == tuple(face for face in faces if len(face) == 3)
    winding = dict(zip(lattice.edges(), lattice.windings().tolist()))
    torus = np.asarray(lattice.supercell) @ np.asarray(lattice.cell)
    area = 0.0
    for face in faces:
        assert face[0] == min(face) and len(set(face)) == len(face)
        points, copy = [lattice.positions[face[0]]], np.zeros(2, int)
        for i, j in zip(face, face[1:] + face[:1]):
            copy = copy + (np.array(winding[i, j]) if i < j else -np.array(winding[j, i]))
            points.append(lattice.positions[j] + copy @ torus)
        assert not copy.any()  # back to where it began
        x, y = np.array(points).T
        size = (x[:-1] * y[1:] - y[:-1] * x[1:]).sum() / 2
        assert size > 0.4
        area += size
    if all(lattice.periodic):
        np.testing.assert_allclose(area, abs(np.linalg.det(torus)), rtol=1e-12)
        assert lattice.n_sites - len(lattice.edges()) + len(faces) == 0  # Euler's number of a torus


@pytest.mark.parametrize(
    ("lattice", "count"),
    [
        (Cubic(3), {4: 81}),
        (Cubic(3, periodic=False), {4: 36}),
        (Diamond(3), {6: 108}),
        (Pyrochlore(2), {3: 64, 6: 32}),
        (FCC(3), {3: 27 * 8, 4: 27 * 3}),
        (BCC(3), {4: 27 * 12}),
        (Chain(6), {}),
    ],
    ids=lambda x: repr(x),
)
def test_other_dimensions(lattice, count):
    """Rings of the crystals by hand: 3 squares a site of the cubic lattice, 2 hexagons of diamond, 1 of pyrochlore."""
    faces = lattice.plaquettes(longest=6 if lattice.name != "FCC" else 4)
    assert collections.Counter(map(len, faces)) == count
    assert all(face[0] == min(face) and face[1] < face[-1] for face in faces)


def test_long_rings():
    """Dodecagons of the star lattice, found when asked for."""
    assert collections.Counter(map(len, STAR.plaquettes())) == {3: 8}
    assert collections.Counter(map(len, STAR.plaquettes(longest=12))) == {3: 8, 12: 4}


def test_narrow():
    """Rings that coincide are listed once and told."""
    with pytest.warns(GeometryWarning, match="coincide"):
        assert Square(2).plaquettes() == ((0, 2, 3, 1),)
    with pytest.warns(GeometryWarning, match="coincide"):
        assert len(Triangular(2).triangles()) == 4
    assert Square(2, periodic=False).plaquettes() == ((0, 2, 3, 1),)


def test_custom_edges():
    """Rings of the edges that were given: the diagonals of a square cut it in triangles."""
    square = Square(3, periodic=False)
    cut = square.with_edges({"side": square.edges(), "cut": [(0, 4)]})
    assert cut.triangles() == ((0, 3, 4), (0, 4, 1)) and len(cut.plaquettes()) == 5
    line = Chain(3, periodic=False).with_edges({"all": [(0, 1), (1, 2), (0, 2)]})
    assert line.triangles() == ((0, 1, 2),)


def test_graphs():
    """Without geometry: rings of polyhedra and of a complete graph."""
    assert collections.Counter(map(len, from_networkx(nx.dodecahedral_graph()).plaquettes())) == {5: 12}
    assert len(from_networkx(nx.truncated_tetrahedron_graph()).plaquettes()) == 8
    assert from_networkx(nx.complete_graph(4)).triangles() == ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3))
    assert Graph(3, ((1, 2),)).plaquettes() == ()
    honeycomb = from_networkx(Honeycomb(4).to_networkx())
    assert [sorted(f) for f in honeycomb.plaquettes(6)] == [sorted(f) for f in Honeycomb(4).plaquettes()]
