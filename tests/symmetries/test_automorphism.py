"""Automorphisms of graphs and groups of permutations."""

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networkx.algorithms.isomorphism import DiGraphMatcher, GraphMatcher, categorical_edge_match, categorical_node_match

import symmetries
from qml.lattice import Pyrochlore, Square
from symmetries import PermutationGroup, SymmetryError, automorphisms, permutation

FEW = settings(max_examples=25, deadline=None, derandomize=True)


def torus(*extent):
    return nx.grid_graph(list(extent), periodic=True)


def matched(graph):
    """The automorphisms that NetworkX's matcher lists."""
    matcher = DiGraphMatcher if graph.is_directed() else GraphMatcher
    nodes, edges = categorical_node_match("color", None), categorical_edge_match("color", None)
    return sum(1 for _ in matcher(graph, graph, nodes, edges).isomorphisms_iter())


def check(graph, found):
    """Generators keep edges with their colours, and the colours of nodes."""
    for row in found.generators:
        image = dict(zip(found.nodes, (found.nodes[i] for i in row)))
        moved = nx.relabel_nodes(graph, image)
        assert {frozenset(e) for e in moved.edges} == {frozenset(e) for e in graph.edges}
        assert all(moved.edges[e].get("color") == graph.edges[e].get("color") for e in graph.edges)
        assert all(moved.nodes[v].get("color") == graph.nodes[v].get("color") for v in graph.nodes)


@pytest.mark.parametrize(
    ("graph", "order"),
    [
        (nx.petersen_graph(), 120),
        (nx.hypercube_graph(4), 384),
        (nx.hypercube_graph(7), 2**7 * math.factorial(7)),
        (torus(4, 4), 384),
        (torus(3, 3), 72),
        (torus(10, 10), 800),
        (torus(5, 5, 5), 125 * 48),
        (nx.icosahedral_graph(), 120),
        (nx.dodecahedral_graph(), 120),
        (nx.path_graph(7), 2),
        (nx.complete_graph(20), math.factorial(20)),
        (nx.complete_bipartite_graph(7, 9), math.factorial(7) * math.factorial(9)),
        (nx.empty_graph(5), 120),
        (nx.empty_graph(1), 1),
        (nx.paley_graph(13), 13 * 6),
        (nx.hoffman_singleton_graph(), 252000),
        (nx.cycle_graph(5, create_using=nx.DiGraph), 5),
        (nx.disjoint_union_all([nx.cycle_graph(3), nx.cycle_graph(3), nx.cycle_graph(6)]), 72 * 12),
        (nx.balanced_tree(2, 3), 2**7),
        (nx.frucht_graph(), 1),
    ],
)
def test_known(graph, order):
    """Orders from the literature; orbits; the elements generated are as many."""
    found = automorphisms(graph)
    assert found.order == order
    if not graph.is_directed():
        check(graph, found)
    if order <= 800:
        group = found.elements()
        assert group.order == order
        assert group.orbits == found.orbits


@given(n=st.integers(1, 7), seed=st.integers(0, 10**6), colors=st.integers(1, 3), directed=st.booleans())
@FEW
def test_random(n, seed, colors, directed):
    """As many as NetworkX finds, with colours on nodes and edges and with directions."""
    rng = np.random.default_rng(seed)
    graph = nx.gnp_random_graph(n, 0.4, seed=seed, directed=directed)
    for node in graph.nodes:
        graph.nodes[node]["color"] = int(rng.integers(0, colors)) if n > 4 else 0
    for edge in graph.edges:
        graph.edges[edge]["color"] = int(rng.integers(0, colors))
    assert automorphisms(graph).order == matched(graph)
    for edge in graph.edges:
        del graph.edges[edge]["color"]
    for node in graph.nodes:
        del graph.nodes[node]["color"]
    assert automorphisms(graph).order == matched(graph)


@pytest.mark.parametrize("seed", range(5))
def test_trees(seed):
    """Random trees, counted by NetworkX; some have many symmetries, all of them are kept."""
    graph = nx.random_labeled_tree(11, seed=seed)
    found = automorphisms(graph)
    assert found.order == matched(graph) == found.elements().order
    check(graph, found)


def test_multiple_edges_and_loops():
    """A double edge is not a single one, a loop is seen."""
    graph = nx.MultiGraph([(0, 1), (0, 1), (1, 2), (2, 3), (3, 0)])
    assert automorphisms(graph).order == 2
    graph.add_edge(2, 3)
    assert automorphisms(graph).order == 4
    graph.add_edge(0, 0)
    assert automorphisms(graph).order == 1


def test_space_groups():
    """The torus of four has more symmetries than its space group, that of three not; a cluster of 108 sites."""
    for extent, order in ((3, 72), (4, 384)):
        lattice = Square(extent)
        found = automorphisms(lattice.to_networkx(), color=None)
        space = symmetries.space_group(lattice)
        assert found.order == order and (space.order == order) == (extent == 3)
        rows = {row.tobytes() for row in found.elements().permutations}
        assert {np.ascontiguousarray(row).tobytes() for row in space.permutations} <= rows
    assert automorphisms(Pyrochlore(3).to_networkx(), color=None).order == 1296


def test_permutation_group():
    """Orbits, stabilizers, subgroups; the table fits the rows."""
    group = PermutationGroup.from_generators(np.array([[1, 2, 3, 0, 4, 6, 5], [3, 2, 1, 0, 4, 5, 6]]))
    assert group.order == 8 and group.n_sites == 7
    assert group.orbits == ((0, 1, 2, 3), (4,), (5, 6))
    table, rows = group.group.product_table, group.permutations
    assert np.array_equal(rows[table], rows[:, rows])
    assert all(group.stabilizer(orbit[0]).order == 8 // len(orbit) for orbit in group.orbits)
    assert PermutationGroup.from_generators(np.zeros((0, 3), int)).order == 1
    assert hash(group) == hash(PermutationGroup(rows)) and group == PermutationGroup(rows)


@given(rows=st.lists(st.permutations(list(range(6))), min_size=1, max_size=3))
@FEW
def test_generate(rows):
    """Closed, sorted, each once, and nothing that is not a product."""
    generators = np.array(rows)
    elements = permutation.generate(generators)
    members = {tuple(row) for row in elements.tolist()}
    assert len(members) == len(elements) and list(members) != [] and elements.tolist() == sorted(elements.tolist())
    assert all(tuple(row[g]) in members for row in elements for g in generators)
    reached, frontier = {tuple(range(6))}, [tuple(range(6))]
    while frontier:
        frontier = list({tuple(row[i] for i in g) for row in frontier for g in generators.tolist()} - reached)
        reached.update(frontier)
    assert reached == members


@pytest.mark.parametrize(
    "call",
    [
        lambda: automorphisms(nx.empty_graph(0)),
        lambda: automorphisms(nx.complete_graph(9)).elements(),
        lambda: PermutationGroup.from_generators(np.array([[1, 2, 3, 4, 5, 6, 7, 0], [1, 0, 2, 3, 4, 5, 6, 7]])),
        lambda: PermutationGroup.from_generators(np.array([[0, 0, 1]])),
        lambda: PermutationGroup(np.array([[0, 1, 2], [1, 2, 0]])),
        lambda: PermutationGroup(np.zeros((0, 2), int)),
    ],
)
def test_bad_input(call):
    """Graphs without nodes, groups too large, rows that are no group."""
    with pytest.raises(SymmetryError, match="expected:"):
        call()
