"""Lattices: positions, neighbour shells, images, graphs, pictures, bad input."""

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qml._core.errors import ShapeError
from qml.lattice import (
    Chain,
    Cubic,
    GeometryWarning,
    Grid,
    Honeycomb,
    Kagome,
    KitaevHoneycomb,
    Lattice,
    Square,
    Triangular,
    draw_zone,
    from_networkx,
)

FEW = settings(max_examples=25, deadline=None, derandomize=True)


def test_site_numbers():
    """Cell index slowest, its first axis slowest of all, then the basis."""
    np.testing.assert_allclose(Square(4, 3).positions[3 * 2 + 1], [2.0, 1.0])
    honeycomb = Honeycomb(2, 3)
    assert honeycomb.cells[2 * (3 * 1 + 2) + 1].tolist() == [1, 2]
    assert honeycomb.sublattices.tolist() == [0, 1] * 6
    assert honeycomb.n_sites == len(honeycomb.positions) == 12


@pytest.mark.parametrize(
    ("lattice", "coordination"),
    [
        (Chain(6), (2, 2)),
        (Square(6), (4, 4, 4, 8)),
        (Triangular(7), (6, 6, 6, 12)),
        (Honeycomb(4), (3, 6, 3)),
        (Kagome(4), (4, 4, 6)),
        (Cubic(5), (6, 12, 8, 6)),
        (Grid((3, 3, 3, 3)), (8, 24)),
        (Lattice(np.eye(3), (3, 3, 3), [[0, 0, 0], [0.5, 0.5, 0.5]]), (8, 6)),
        (Lattice([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], (4, 4, 4)), (12, 6)),
    ],
    ids=repr,
)
def test_coordination(lattice, coordination):
    """Coordination numbers of the first shells, from the crystallographer's tables."""
    for order, neighbours in enumerate(coordination, 1):
        assert {len(row) for row in lattice.neighbours(order)} == {neighbours}
        assert len(lattice.edges(order)) == lattice.n_sites * neighbours // 2


@given(
    rows=st.lists(st.lists(st.floats(-1.5, 1.5), min_size=2, max_size=2), min_size=2, max_size=2),
    extent=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    periodic=st.tuples(st.booleans(), st.booleans()),
)
@FEW
def test_distances_are_the_nearest_images(rows, extent, periodic):
    """Against a plain search over many images, for cells as skewed as they come."""
    if abs(np.linalg.det(rows)) < 0.1 or min(np.linalg.norm(rows, axis=1)) < 0.3:
        return
    lattice = Lattice(rows, extent, [[0.0, 0.0], [0.1, 0.05]], periodic)
    torus = np.asarray(rows) * np.asarray(extent)[:, None]
    reach = [range(-40, 41) if wrap else range(1) for wrap in periodic]
    images = np.array(list(itertools.product(*reach))) @ torus
    step = lattice.positions[None, 1:2] - lattice.positions[:, None]
    brute = np.linalg.norm(step + images[None], axis=-1).min(axis=1)
    np.testing.assert_allclose(lattice.distances()[:, 1], brute, atol=1e-12)
    np.testing.assert_allclose(lattice.distances(), lattice.distances().T, atol=1e-12)


def test_each_pair_once():
    """On narrow tori two images of a pair are one edge, and the caller is told."""
    narrow = {Square(2, 2): 4, Chain(2): 1, Grid((3, 2)): 9, Square(10, 2): 30}
    for lattice, count in narrow.items():
        with pytest.warns(GeometryWarning, match="two or more ways"):
            assert len(lattice.edges()) == count
    with pytest.warns(GeometryWarning, match="joins 2 pairs"):
        assert Chain(4).edges(2) == ((0, 2), (1, 3))
    assert Square(2, 2, periodic=False).edges() == ((0, 1), (0, 2), (1, 3), (2, 3))
    with pytest.warns(GeometryWarning, match="left out"):
        assert Chain(1).edges() == ()
    with pytest.warns(GeometryWarning, match="left out"):
        assert Square(4, 1).edges() == Chain(4).edges() == Square(4, 1, periodic=(True, False)).edges()
    with pytest.warns(GeometryWarning, match="left out"):
        assert len(Square(3, 6).edges(3)) == 18


def test_shells_belong_to_the_infinite_lattice():
    """The fifth shell of the square lattice is (2, 2), also on a torus where it cannot exist."""
    assert len(Square(6).edges(5)) == 72
    with pytest.raises(ShapeError, match="order 5"):
        Square(2, 10).edges(5)
    with pytest.raises(ShapeError, match="order 3"):
        Square(3, 3).edges(3)
    with pytest.warns(GeometryWarning):
        assert len(Cubic(4, 4, 1, periodic=(True, True, False)).edges(3)) == 32 - 16 + 0


def test_open_boundaries():
    """An open axis has fewer edges, a mixed one wraps one way."""
    assert len(Square(3, 3, periodic=False).edges()) == 12
    assert len(Square(3, 3, periodic=(True, False)).edges()) == 9 + 6
    assert Chain(4, periodic=False).edges(3) == ((0, 3),)


TORUS_4X4 = nx.grid_2d_graph(4, 4, periodic=True)
SHIFTS = {
    "square": (Square(4, 4), 1, (4, 4), [(0, (1, 0), 0), (0, (0, 1), 0)]),
    "diagonals": (Square(4, 4), 2, (4, 4), [(0, (1, 1), 0), (0, (1, -1), 0)]),
    "triangular": (Triangular(3, 4), 1, (3, 4), [(0, (1, 0), 0), (0, (0, 1), 0), (0, (1, -1), 0)]),
    "honeycomb": (Honeycomb(3, 3), 1, (3, 3), [(0, (0, 0), 1), (0, (-1, 0), 1), (0, (0, -1), 1)]),
    "kagome": (
        Kagome(3, 2),
        1,
        (3, 2),
        [(0, (0, 0), 2), (1, (0, 0), 2), (0, (0, 0), 1), (2, (1, 0), 1), (2, (0, 1), 0), (0, (1, -1), 1)],
    ),
}


@pytest.mark.parametrize("name", SHIFTS)
def test_bonds_by_hand(name):
    """The same graph as a list of bond vectors written down by hand."""
    lattice, order, extent, bonds = SHIFTS[name]
    graph = nx.Graph()
    for cell in np.ndindex(*extent):
        for start, step, end in bonds:
            other = tuple((np.array(cell) + step) % extent)
            graph.add_edge((cell, start), (other, end))
    assert nx.is_isomorphic(graph, lattice.to_networkx(order))
    assert graph.number_of_edges() == len(lattice.edges(order))


def test_descriptor():
    """Hashable, equal by content, closed to writing."""
    one, two = Square(4, 4), Lattice([[1, -0.0], [0, 1]], [4, 4])
    assert one == two and hash(one) == hash(two) and one != Square(4, 4, periodic=False)
    assert len({one, two, Chain(4)}) == 2
    with pytest.raises(ValueError, match="read-only"):
        one.positions[0, 0] = 1.0
    with pytest.raises(AttributeError):
        one.extent = (2, 2)
    assert one.cell_volume == pytest.approx(1.0)
    assert Triangular(3).cell_volume == pytest.approx(np.sqrt(3) / 2)
    assert repr(one) == "Square(extent=(4, 4), periodic=(True, True), sites=16)"


def test_graphs():
    """From NetworkX and back, neighbours by steps."""
    petersen = nx.petersen_graph()
    graph = from_networkx(petersen)
    assert nx.is_isomorphic(graph.to_networkx(), petersen)
    assert len(graph.edges()) == 15 and len(graph.edges(2)) == 30
    assert graph == from_networkx(petersen) and hash(graph) == hash(from_networkx(petersen))
    named = from_networkx(nx.Graph([("b", "a"), ("c", "b")]))
    assert named.edges() == ((0, 1), (0, 2)) and named.neighbours() == ((1, 2), (0,), (0,))
    assert nx.get_node_attributes(Chain(2).to_networkx(), "pos") == {0: (0.0,), 1: (1.0,)}
    torus = nx.convert_node_labels_to_integers(TORUS_4X4)
    assert from_networkx(torus).edges() == Square(4, 4).edges()


def test_graphs_with_colors_and_phases():
    """To NetworkX and back: edges, colours and phases stay, for lattices and for graphs."""
    lattice = KitaevHoneycomb(3, twist=(0.4, -1.0))
    network = lattice.to_networkx()
    graph = from_networkx(network)
    assert graph.edges() == lattice.edges() and graph.edge_colors() == lattice.edge_colors()
    assert np.array_equal(graph.edge_phases(), lattice.edge_phases())
    assert np.array_equal(graph.edge_phases(color="y"), lattice.edge_phases(color="y"))
    assert graph.edges(color="z") == lattice.edges(color="z")
    assert from_networkx(graph.to_networkx()) == graph
    (i, j), winding = lattice.edges()[1], lattice.windings()[1]
    assert network.edges[i, j]["winding"] == tuple(winding.tolist())
    assert set(network.edges[i, j]) == {"color", "winding", "phase"} and set(network.nodes[0]) == {"pos"}
    plain = from_networkx(nx.path_graph(4))
    assert plain.edge_colors(2) == ("edge",) * 2 and plain.edge_phases(2).tolist() == [1, 1]
    assert plain.with_edges({"a": [(3, 0)], "b": [(1, 0)]}).neighbours() == ((1, 3), (0,), (), (0,))
    assert not from_networkx(nx.path_graph(4)).phases and plain == from_networkx(plain.to_networkx())
    turned = nx.Graph()
    turned.add_edge("b", "a", color=1, phase=1j)  # b is site 0
    assert from_networkx(turned).edge_colors() == ("1",) and from_networkx(turned).edge_phases().tolist() == [1j]
    for call in (
        lambda: graph.edge_phases(2),
        lambda: graph.edges(color="w"),
        lambda: plain.edges(2, color="w"),
        lambda: from_networkx(nx.Graph([(0, 1, {"color": "a"}), (1, 2, {})])),
        lambda: from_networkx(nx.Graph([(0, 1, {"phase": 2.0})])),
    ):
        with pytest.raises(ShapeError, match="expected:"):
            call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: Chain(0),
        lambda: Grid((2.5,)),
        lambda: Lattice(np.eye(2), 4),
        lambda: Square(4, 4, periodic=(True,)),
        lambda: Square(4, 4, periodic="yes"),
        lambda: Square(4, 4, periodic=(1, 0)),
        lambda: Lattice([[1, 0], [2, 0]], (2, 2)),
        lambda: Lattice([[1, 0]], (2, 2)),
        lambda: Lattice([[np.nan, 0], [0, 1]], (2, 2)),
        lambda: Lattice(np.eye(2), (2, 2), [[0.0, 0.0], [1.0, 0.0]]),
        lambda: Lattice(np.eye(2), (2, 2), [[0.0]]),
        lambda: Lattice(np.eye(2), (2, 2, 2)),
        lambda: Chain(4).edges(0),
        lambda: Chain(4).edges(3),
        lambda: Chain(3, periodic=False).edges(3),
        lambda: from_networkx(nx.DiGraph([(0, 1)])),
        lambda: from_networkx(nx.Graph([(0, 0)])),
        lambda: from_networkx(nx.Graph()),
        lambda: from_networkx(nx.path_graph(3)).edges(3),
    ],
)
def test_bad_input(call):
    """Each mistake is named."""
    with pytest.raises(ShapeError, match="expected:"):
        call()


@pytest.mark.parametrize(
    "lattice", [Chain(4), Square(3, 3), Cubic(2, periodic=False), from_networkx(nx.cycle_graph(4))], ids=repr
)
def test_draw(lattice):
    """One line for an edge inside, two stubs for one that wraps, a number at every site."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    ax = lattice.draw()
    wrapped = {"Chain": 1, "Square": 6, "Cubic": 0}.get(getattr(lattice, "name", ""), 0)
    assert len(ax.lines) == len(lattice.edges()) + wrapped
    assert [text.get_text() for text in ax.texts] == [str(i) for i in range(lattice.n_sites)]
    assert lattice.draw(ax=ax) is ax
    pyplot.close("all")


def test_draw_colors():
    """A legend entry for each colour; custom edges and both ends of a wrapped edge in one colour; zones to 3-D."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    ax = KitaevHoneycomb(2, periodic=False).draw()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["x", "y", "z"]
    assert len({line.get_color() for line in ax.lines}) == 3
    assert len(Square([[2, 1], [-1, 2]]).draw().lines) == 5 + 2 * 5
    for lattice, points in ((Chain(4), 5), (Square(4), 16 + 9), (Triangular(3), 9 + 4), (Cubic(2), 27)):
        ax = lattice.draw_zone()
        assert len(ax.collections[0].get_offsets()) == points, lattice
        assert draw_zone(lattice, ax=ax) is ax
    assert [text.get_text() for text in Chain(4).draw_zone().texts] == ["Γ", "X"]
    with pytest.raises(ShapeError, match="Brillouin"):
        Grid((2, 2, 2, 2)).draw_zone()
    pyplot.close("all")
