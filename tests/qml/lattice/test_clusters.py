"""Tilted and twisted clusters: numbering, images, windings, phases, against brute force and free particles."""

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qml._core.errors import ShapeError
from qml.lattice import Chain, Cubic, GeometryWarning, Honeycomb, Kagome, Ladder, Lattice, Square, Triangular

FEW = settings(max_examples=25, deadline=None, derandomize=True)
PLANAR = {"square": (Square, 4), "triangular": (Triangular, 6), "honeycomb": (Honeycomb, 3), "kagome": (Kagome, 4)}
MATRICES = st.lists(st.lists(st.integers(-4, 4), min_size=2, max_size=2), min_size=2, max_size=2)


def test_numbering():
    """Cells in lexicographic order inside the parallelogram of the torus vectors; straight clusters as ever."""
    assert Square([[2, 1], [-1, 2]]).cells.tolist() == [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2]]
    straight = Lattice(np.eye(2), [[4, 0], [0, 3]])
    assert straight == Square(4, 3) and straight.extent == (4, 3) and straight.is_straight
    assert np.array_equal(straight.cells, np.indices((4, 3)).reshape(2, -1).T)
    tilted = Square([[4, 2], [-2, 4]])
    assert tilted.n_sites == tilted.n_cells == 20 and len(tilted.edges()) == 40 and not tilted.is_straight
    assert Square([[6, 2], [-2, 6]]).n_sites == 40 and len(Square([[6, 2], [-2, 6]]).edges(2)) == 80
    assert repr(tilted) == "Square(extent=((4, 2), (-2, 4)), periodic=(True, True), sites=20)"
    assert Triangular([[2, 2], [-2, 4]]).n_sites == 12 and Triangular([[4, 1], [-1, 5]]).n_sites == 21
    assert Cubic([[1, 1, 0], [0, 1, 1], [1, 0, 1]]).n_sites == 2
    with pytest.raises(ShapeError, match="tilted"):
        _ = tilted.extent


@given(rows=MATRICES)
@FEW
def test_cells_are_a_transversal(rows):
    """Every whole-number point differs from exactly one cell by a combination of the torus vectors."""
    volume = rows[0][0] * rows[1][1] - rows[0][1] * rows[1][0]
    assume(volume != 0)
    cells = Square(rows).cells
    assert len(cells) == abs(volume) and cells.tolist() == sorted(cells.tolist())
    adjugate = np.array([[rows[1][1], -rows[0][1]], [-rows[1][0], rows[0][0]]])
    classes = {tuple(row) for row in (cells @ adjugate % volume).tolist()}
    assert len(classes) == abs(volume)


@given(rows=MATRICES, name=st.sampled_from(sorted(PLANAR)))
@FEW
def test_random_supercells(rows, name):
    """Nearest images by brute force; every site has the same number of bonds; translations map bonds to bonds."""
    make, coordination = PLANAR[name]
    assume(0 < abs(round(np.linalg.det(rows))) <= 24)
    lattice = make(rows)
    torus = np.array(rows) @ np.asarray(lattice.cell)
    images = np.array(list(itertools.product(range(-9, 10), repeat=2))) @ torus
    straight = lattice.positions[None, :1] - lattice.positions[:, None]
    brute = np.linalg.norm(straight + images[None], axis=-1).min(axis=1)
    np.testing.assert_allclose(lattice.distances()[:, 0], brute, atol=1e-12)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        edges = lattice.edges()
    degree = np.bincount(np.array(edges, int).ravel(), minlength=lattice.n_sites)
    if not caught:
        assert (degree == coordination).all() and len(edges) == lattice.n_sites * coordination // 2
    if not any("left out" in str(warning.message) for warning in caught):  # all bonds are there, some pairs twice
        ends = np.array(edges)[lattice._bonds(1).ways.owner]
        assert (np.bincount(ends.ravel(), minlength=lattice.n_sites) == coordination).all()
    cells, basis = lattice.cells, lattice.sublattices
    adjugate = np.array([[rows[1][1], -rows[0][1]], [-rows[1][0], rows[0][0]]])
    volume = abs(round(np.linalg.det(rows)))
    number = {(*key, b): i for i, (key, b) in enumerate(zip((cells @ adjugate % volume).tolist(), basis.tolist()))}
    for shift in ((1, 0), (0, 1)):
        moved = ((cells + shift) @ adjugate % volume).tolist()
        site = [number[(*key, b)] for key, b in zip(moved, basis.tolist())]
        assert {tuple(sorted((site[i], site[j]))) for i, j in edges} == set(edges)


@given(rows=MATRICES, name=st.sampled_from(["square", "triangular"]), twist=st.tuples(*[st.floats(-4, 4)] * 2))
@FEW
def test_free_particles(rows, name, twist):
    """One particle with hopping -1 has the energies of its allowed momenta, whatever the tilt and the twist."""
    assume(6 <= abs(round(np.linalg.det(rows))) <= 24)
    lattice = PLANAR[name][0](rows, twist=twist)
    try:
        edges = np.array(lattice.with_twist(0.0).edges())
    except GeometryWarning:
        assume(False)
    hopping = np.zeros((lattice.n_sites,) * 2, complex)
    hopping[edges[:, 0], edges[:, 1]] = -lattice.edge_phases()
    hopping += hopping.conj().T
    bonds = [[1, 0], [0, 1]] if name == "square" else [[1, 0], [0, 1], [1, -1]]
    k = lattice.momenta() @ (np.array(bonds) @ np.asarray(lattice.cell)).T
    np.testing.assert_allclose(np.linalg.eigvalsh(hopping), np.sort(-2 * np.cos(k).sum(axis=1)), atol=1e-12)


def test_free_particles_on_a_basis():
    """Two sites a cell: plus and minus the modulus of the structure factor, on a tilted and twisted honeycomb."""
    lattice = Honeycomb([[3, 1], [-1, 4]], twist=(0.7, -1.9))
    hopping = np.zeros((lattice.n_sites,) * 2, complex)
    hopping[tuple(np.array(lattice.edges()).T)] = -lattice.edge_phases()
    a1, a2 = np.asarray(lattice.cell)
    factor = np.abs(1 + np.exp(-1j * lattice.momenta() @ a1) + np.exp(-1j * lattice.momenta() @ a2))
    energies = np.linalg.eigvalsh(hopping + hopping.conj().T)
    np.testing.assert_allclose(energies, np.sort([*factor, *-factor]), atol=1e-12)


def test_twist_and_windings():
    """Each boundary gives its angle to the bonds that cross it; pi is exactly -1."""
    ring = Chain(5, twist=math.pi)
    assert ring.edge_phases().tolist() == [1, -1, 1, 1, 1] and ring.twist == (math.pi,)
    assert ring.windings().tolist() == [[0], [-1], [0], [0], [0]]
    torus = Square(3, 4, twist=(0.3, -0.2))
    for (i, j), w, phase in zip(torus.edges(), torus.windings(), torus.edge_phases()):
        step = torus.positions[j] + w * np.array([3, 4]) - torus.positions[i]
        assert np.isclose(np.linalg.norm(step), 1) and np.isclose(phase, np.exp(1j * (0.3 * w[0] - 0.2 * w[1])))
    assert Square(3, 4, periodic=(True, False), twist=0.5).twist == (0.5, 0.0)
    assert Square(3).edge_phases().tolist() == [1.0] * 18
    assert Chain(5).with_twist(math.pi) == ring != Chain(5) and "twist=(3.14" in repr(ring)
    assert Chain(8, twist=2 * math.pi).edge_phases().tolist() == [1.0] * 8
    second = Chain(6, twist=math.pi / 2)
    assert dict(zip(second.edges(2), second.edge_phases(2).tolist()))[0, 4] == -1j
    with pytest.raises(ValueError, match="read-only"):
        ring.edge_phases()[0] = 1


def test_narrow_axes():
    """Two ways between two sites: one edge with a warning, an error if the twist tells them apart."""
    with pytest.raises(ShapeError, match="different phases"):
        Square(4, 2, twist=(0.0, 0.1)).edges()
    with pytest.raises(ShapeError, match="different phases"):
        Chain(4, twist=0.1).edge_phases(2)
    with pytest.warns(GeometryWarning):
        assert len(Square(4, 2, twist=(0.1, 0.0)).edges()) == 12
    with pytest.warns(GeometryWarning):  # both ways gain -1
        assert Chain(4, twist=math.pi).with_edges({"far": [(0, 2)]}).with_twist(2 * math.pi).edges() == ((0, 2),)
    assert Square(2, 4).windings().shape == (12, 2) and not Square(2, 2).windings().any()


def test_large_and_skew():
    """Bonds need no table of distances; a skew choice of the same cell and torus changes nothing."""
    assert len(Square(100).edges()) == 20000 and len(Cubic(20).edges(2)) == 48000
    straight, skew = Triangular(6), Lattice([[1, 0], [7.5, 3**0.5 / 2]], [[6, 0], [0, 6]])
    assert len(skew.edges()) == 108 and len(skew.edges(3)) == 108
    np.testing.assert_allclose(np.sort(skew.distances()[0]), np.sort(straight.distances()[0]), atol=1e-9)


def test_colors():
    """Directions as colours, of every order; custom ones replace order 1 alone."""
    square = Square(3, 4)
    assert len(square.edges(color="x")) == len(square.edges(color="y")) == 12
    assert all(j - i in (4, 8) for i, j in square.edges(color="x"))
    assert sorted(set(square.edge_colors(2))) == ["0", "1"]
    phases = square.with_twist((0.1, 0.0))
    assert len(phases.edge_phases(color="x")) == 12 and (phases.edge_phases(color="y") == 1).all()
    assert sorted(set(Cubic(3).edge_colors())) == ["x", "y", "z"]
    assert sorted(set(Kagome(3).edge_colors())) == ["1", "2", "x"]
    custom = square.with_edges({"b": [(3, 0), (1, 2)], "a": [(11, 0)]})
    assert custom.edges() == ((0, 3), (0, 11), (1, 2)) and custom.edge_colors() == ("b", "a", "b")
    assert custom.windings().tolist() == [[0, -1], [-1, -1], [0, 0]] and custom.edges(2) == square.edges(2)
    assert custom != square and hash(custom) != hash(square) and custom.with_twist(0.2).edge_colors() == ("b", "a", "b")
    assert custom.edges(color="a") == ((0, 11),) and custom.neighbours()[0] == (3, 11)
    same = square.with_edges({"x": square.edges(color="x"), "y": square.edges(color="y")})
    assert same.edges() == square.edges() and same.edge_colors() == square.edge_colors()
    assert np.array_equal(same.windings(), square.windings())


@pytest.mark.parametrize(
    "call",
    [
        lambda: Square([[4, 2], [2, 1]]),
        lambda: Square([[4, 2], [-2, 4]], 3),
        lambda: Square([[4, 2], [-2, 4]], periodic=(True, False)),
        lambda: Square([[4, 2.5], [-2, 4]]),
        lambda: Square([[4, 2], [-2]]),
        lambda: Square([4, 2, 1]),
        lambda: Lattice(np.eye(2), [[4], [4]]),
        lambda: Lattice(np.eye(3), [[4, 0, 1], [0, 4, 0], [0, 0, 4]], periodic=(True, True, False)),
        lambda: Lattice(np.eye(2), [[-4, 0], [0, 4]], periodic=(False, True)),
        lambda: Chain(4, periodic=False, twist=(0.1,)),
        lambda: Chain(4, twist=math.inf),
        lambda: Chain(4, twist="pi"),
        lambda: Square(4, twist=(0.1, 0.2, 0.3)),
        lambda: Square(4).edges(color="z"),
        lambda: Square(4).windings(color=""),
        lambda: Square(4).with_edges({}),
        lambda: Square(4).with_edges({"x": [(0, 0)]}),
        lambda: Square(4).with_edges({"x": [(0, 16)]}),
        lambda: Square(4).with_edges({"x": [(0, 1, 2)]}),
        lambda: Square(4).with_edges({"x": [(0, 1)], "y": [(1, 0)]}),
        lambda: Square(4).with_edges({1: [(0, 1)]}),
        lambda: Square(4).with_edges([(0, 1)]),
        lambda: Ladder(4, 1),
    ],
)
def test_bad_input(call):
    """Each mistake is named."""
    with pytest.raises(ShapeError, match="expected:"):
        call()
