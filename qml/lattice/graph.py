"""Graphs without geometry, and what they share with lattices."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
from jaxtyping import Float

from qml._core.errors import ShapeError

Edges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Graph:
    """Sites and pairs without geometry: good for operators, refused where positions are needed (space groups).

    Args:
        n_sites: number of sites.
        pairs: sorted pairs `(i, j)`, `i < j`, the edges of order 1.

    Example:
        >>> import networkx as nx
        >>> from qml.lattice import from_networkx
        >>> star = from_networkx(nx.star_graph(3))
        >>> star.edges(), star.edges(order=2)
        (((0, 1), (0, 2), (0, 3)), ((1, 2), (1, 3), (2, 3)))
    """

    n_sites: int
    pairs: Edges

    @cached_property
    def _distances(self) -> Float[np.ndarray, "sites sites"]:
        steps = np.full((self.n_sites, self.n_sites), np.inf)
        for source, lengths in nx.all_pairs_shortest_path_length(self.to_networkx()):
            steps[source, list(lengths)] = list(lengths.values())
        return frozen(steps)

    def distances(self) -> Float[np.ndarray, "sites sites"]:
        """Number of edges on the shortest path between every two sites; infinite where there is none."""
        return self._distances

    def edges(self, order: int = 1) -> Edges:
        """Sorted pairs `(i, j)`, `i < j`, whose shortest path has `order` edges.

        Raises:
            ShapeError: `order` is below 1, or above 1 with no such pair.
        """
        if checked_order(order) == 1:
            return self.pairs
        rows, columns = np.nonzero(np.triu(self.distances() == order, 1))
        if len(rows) == 0:
            raise ShapeError(
                f"No two sites of this graph are {order} steps apart.",
                got=f"order={order}",
                expected="at most the diameter of the graph",
                try_="a smaller order",
            )
        return tuple(zip(rows.tolist(), columns.tolist()))

    def neighbours(self, order: int = 1) -> tuple[tuple[int, ...], ...]:
        """For each site the sorted sites that share an edge of the given order with it."""
        return adjacency(self.edges(order), self.n_sites)

    def to_networkx(self) -> nx.Graph:
        """The same graph in NetworkX."""
        graph = nx.Graph()
        graph.add_nodes_from(range(self.n_sites))
        graph.add_edges_from(self.pairs)
        return graph

    def draw(self, ax: Any = None, order: int = 1) -> Any:
        """Draw sites and edges with Matplotlib, placed by a spring layout; see `qml.lattice.draw`."""
        from qml.lattice.draw import draw

        return draw(self, ax=ax, order=order)


def from_networkx(graph: nx.Graph) -> Graph:
    """Sites and edges of a NetworkX graph.

    Args:
        graph: undirected, no loops, no double edges. Nodes `0 .. n - 1` keep their number, others are numbered in the
            order of the graph.

    Returns:
        A `Graph`, which has `edges`, `neighbours` and `distances` (in steps) but no positions.

    Raises:
        ShapeError: a directed graph, a multigraph, a loop, or no node at all.
    """
    if graph.is_directed() or graph.is_multigraph() or nx.number_of_selfloops(graph) or len(graph) == 0:
        raise ShapeError(
            "Only simple graphs have bonds that can be listed once.",
            got=f"{type(graph).__name__} with {len(graph)} nodes, {nx.number_of_selfloops(graph)} loops",
            expected="an undirected graph without loops and double edges, with at least one node",
            try_="networkx.Graph(graph) after remove_edges_from(networkx.selfloop_edges(graph))",
        )
    keep = set(graph.nodes) == set(range(len(graph)))
    number = {node: node if keep else i for i, node in enumerate(graph.nodes)}
    pairs = ((number[a], number[b]) for a, b in graph.edges)
    return Graph(len(graph), tuple(sorted((min(pair), max(pair)) for pair in pairs)))


def checked_order(order: int) -> int:
    """The order of a neighbour shell, which is at least 1."""
    if order < 1:
        raise ShapeError("Neighbours are counted from 1.", got=order, expected="order >= 1", try_="order=1")
    return order


def checked_colors(edges: Mapping[str, Any], n_sites: int) -> tuple[tuple[str, Edges], ...]:
    """Coloured pairs, sorted, each once in all."""
    if not isinstance(edges, Mapping) or not edges or not all(isinstance(name, str) and name for name in edges):
        raise ShapeError(
            "Coloured edges are a table of names and pairs.",
            got=repr(edges),
            expected="a dict from names of colours to lists of pairs of sites",
            try_='{"x": [(0, 1)], "y": [(1, 2)]}',
        )
    colored, seen = [], set()
    for name, pairs in edges.items():
        row = []
        for pair in pairs:
            try:
                i, j = sorted(operator.index(site) for site in pair)
            except (TypeError, ValueError):
                i = j = -1
            if not 0 <= i < j < n_sites or (i, j) in seen:
                raise ShapeError(
                    f"The colour {name!r} has a pair that cannot be an edge.",
                    got=repr(pair) + (" a second time" if (i, j) in seen else ""),
                    expected=f"two different sites below {n_sites}, each pair once over all colours",
                    try_="lattice.edges() lists the nearest neighbours",
                )
            seen.add((i, j))
            row.append((i, j))
        colored.append((name, tuple(sorted(row))))
    return tuple(sorted(colored))


def adjacency(edges: Edges, n_sites: int) -> tuple[tuple[int, ...], ...]:
    """For each site the sorted sites that share an edge with it."""
    near: list[list[int]] = [[] for _ in range(n_sites)]
    for i, j in edges:
        near[i].append(j)
        near[j].append(i)
    return tuple(tuple(sorted(row)) for row in near)


def frozen(array: np.ndarray) -> np.ndarray:
    """The same array, closed to writing."""
    array.setflags(write=False)
    return array
