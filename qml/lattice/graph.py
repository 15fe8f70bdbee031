"""Graphs without geometry, and what they share with lattices."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Complex, Float

from qml._core.errors import ShapeError, unknown_name
from qml.lattice.faces import Cover, elementary_rings

Edges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Graph:
    """Sites and pairs without geometry: good for operators, refused where positions are needed (space groups).

    Args:
        n_sites: number of sites.
        pairs: sorted pairs `(i, j)`, `i < j`, the edges of order 1.
        colors: name of the colour of each pair; all `edge` if left out.
        phases: phase of the hop from `j` to `i` along each pair, of modulus 1; all 1 if left out.

    Example:
        >>> import networkx as nx
        >>> from qml.lattice import from_networkx
        >>> star = from_networkx(nx.star_graph(3))
        >>> star.edges(), star.edges(order=2)
        (((0, 1), (0, 2), (0, 3)), ((1, 2), (1, 3), (2, 3)))
    """

    n_sites: int
    pairs: Edges
    colors: tuple[str, ...] = ()
    phases: tuple[complex, ...] = ()

    @cached_property
    def _distances(self) -> Float[np.ndarray, "sites sites"]:
        import networkx as nx

        steps = np.full((self.n_sites, self.n_sites), np.inf)
        for source, lengths in nx.all_pairs_shortest_path_length(self.to_networkx()):
            steps[source, list(lengths)] = list(lengths.values())
        return frozen(steps)

    def distances(self) -> Float[np.ndarray, "sites sites"]:
        """Number of edges on the shortest path between every two sites; infinite where there is none."""
        return self._distances

    def edges(self, order: int = 1, color: str | None = None) -> Edges:
        """Sorted pairs `(i, j)`, `i < j`, whose shortest path has `order` edges.

        Args:
            order: number of edges on the shortest path.
            color: only the edges of this colour.

        Raises:
            ShapeError: `order` is below 1, or above 1 with no such pair, or no edge has this colour.
        """
        if checked_order(order) == 1:
            return tuple(self.pairs[i] for i in picked(self.edge_colors(), color))
        rows, columns = np.nonzero(np.triu(self.distances() == order, 1))
        if len(rows) == 0:
            raise ShapeError(
                f"No two sites of this graph are {order} steps apart.",
                got=f"order={order}",
                expected="at most the diameter of the graph",
                try_="a smaller order",
            )
        pairs = tuple(zip(rows.tolist(), columns.tolist()))
        return tuple(pairs[i] for i in picked(("edge",) * len(pairs), color))

    def edge_colors(self, order: int = 1) -> tuple[str, ...]:
        """Name of the colour of each edge of `edges(order)`; `edge` where none was given."""
        if checked_order(order) == 1 and self.colors:
            return self.colors
        return ("edge",) * len(self.edges(order) if order > 1 else self.pairs)

    def edge_phases(self, order: int = 1, color: str | None = None) -> Complex[np.ndarray, " edges"]:
        """Phase of the hop from `j` to `i` ($c_i^\\dagger c_j$, $i < j$) along each edge.

        Raises:
            ShapeError: `order` is above 1 on a graph with phases, where it depends on the path.
        """
        places = picked(self.edge_colors(order), color)
        if order > 1 and any(phase != 1 for phase in self.phases):
            raise ShapeError(
                "Phases are known for the edges of this graph alone.",
                got=f"order={order}",
                expected="order=1",
                try_="a graph with all the hops as edges",
            )
        return frozen(np.array([self.phases[i] if self.phases else 1.0 for i in places], complex))

    def with_edges(self, edges: Any) -> "Graph":
        """The same sites with other edges, each with the name of a colour, and no phases.

        Args:
            edges: a table: for each colour its pairs of sites, each pair once.

        Example:
            >>> import networkx as nx
            >>> from qml.lattice import from_networkx
            >>> path = from_networkx(nx.path_graph(3)).with_edges({"strong": [(0, 1)], "weak": [(2, 1)]})
            >>> path.edges(), path.edge_colors()
            (((0, 1), (1, 2)), ('strong', 'weak'))
        """
        listed = sorted((pair, name) for name, pairs in checked_colors(edges, self.n_sites) for pair in pairs)
        return Graph(self.n_sites, tuple(pair for pair, _ in listed), tuple(name for _, name in listed))

    def neighbours(self, order: int = 1) -> tuple[tuple[int, ...], ...]:
        """For each site the sorted sites that share an edge of the given order with it."""
        return adjacency(self.edges(order), self.n_sites)

    def triangles(self) -> tuple[tuple[int, ...], ...]:
        """All triangles of edges, as sorted sites; without geometry they have no orientation."""
        return self.plaquettes(longest=3)

    def plaquettes(self, longest: int = 8) -> tuple[tuple[int, ...], ...]:
        """Elementary rings of edges, see `Lattice.plaquettes`; without geometry they have no orientation.

        Example:
            >>> import networkx as nx
            >>> from qml.lattice import from_networkx
            >>> len(from_networkx(nx.dodecahedral_graph()).plaquettes())
            12
        """
        cover = Cover(self.n_sites, [(i, j, ()) for i, j in self.pairs], longest // 2)
        return elementary_rings(cover, longest, lambda ring: 0.0)[0]

    def to_networkx(self) -> Any:
        """The same graph in NetworkX; colours and phases are the attributes `color` and `phase` of its edges."""
        import networkx as nx

        graph = nx.Graph()
        graph.add_nodes_from(range(self.n_sites))
        graph.add_edges_from(self.pairs)
        for name, values in (("color", self.colors), ("phase", self.phases)):
            nx.set_edge_attributes(graph, dict(zip(self.pairs, values)), name)
        return graph

    def draw(self, ax: Any = None, order: int = 1) -> Any:
        """Draw sites and edges with Matplotlib, placed by a spring layout; see `qml.lattice.draw`."""
        from qml.lattice.draw import draw

        return draw(self, ax=ax, order=order)


def from_networkx(graph: Any) -> Graph:
    """Sites and edges of a NetworkX graph.

    Args:
        graph: undirected, no loops, no double edges. Nodes `0 .. n - 1` keep their number, others are numbered in the
            order of the graph. Edges may have the attributes `color` (all or none) and `phase` (1 where it is missing):
            the phase of the hop from the site with the higher number to the one with the lower.

    Returns:
        A `Graph`, which has `edges`, `neighbours` and `distances` (in steps) but no positions.

    Raises:
        ShapeError: a directed graph, a multigraph, a loop, no node at all, colours on some edges alone, a phase of
            modulus other than 1.

    Example:
        >>> from qml.lattice import Chain, from_networkx
        >>> ring = from_networkx(Chain(3, twist=3.141592653589793).to_networkx())
        >>> ring.edges(color="x"), ring.edge_phases().real.tolist()
        (((0, 1), (0, 2), (1, 2)), [1.0, -1.0, 1.0])
    """
    import networkx as nx

    if graph.is_directed() or graph.is_multigraph() or nx.number_of_selfloops(graph) or len(graph) == 0:
        raise ShapeError(
            "Only simple graphs have bonds that can be listed once.",
            got=f"{type(graph).__name__} with {len(graph)} nodes, {nx.number_of_selfloops(graph)} loops",
            expected="an undirected graph without loops and double edges, with at least one node",
            try_="networkx.Graph(graph) after remove_edges_from(networkx.selfloop_edges(graph))",
        )
    keep = set(graph.nodes) == set(range(len(graph)))
    number = {node: node if keep else i for i, node in enumerate(graph.nodes)}
    listed = [(number[a], number[b], values) for a, b, values in graph.edges(data=True)]
    data = {(min(i, j), max(i, j)): values for i, j, values in listed}
    pairs = tuple(sorted(data))
    colors = tuple(str(data[pair]["color"]) for pair in pairs if "color" in data[pair])
    phases = tuple(complex(data[pair].get("phase", 1)) for pair in pairs)
    if len(colors) not in (0, len(pairs)) or any(abs(abs(phase) - 1) > 1e-9 for phase in phases):
        raise ShapeError(
            "The attributes of the edges are incomplete or out of range.",
            got=f"{len(colors)} colours for {len(pairs)} edges, phases {sorted(set(map(abs, phases)))} in modulus",
            expected="a color on all edges or on none, phases of modulus 1",
            try_='networkx.set_edge_attributes(graph, "edge", "color")',
        )
    return Graph(len(graph), pairs, colors, () if all(phase == 1 for phase in phases) else phases)


def checked_order(order: int) -> int:
    """The order of a neighbour shell, which is at least 1."""
    if order < 1:
        raise ShapeError("Neighbours are counted from 1.", got=order, expected="order >= 1", try_="order=1")
    return order


def checked_colors(edges: Any, n_sites: int) -> tuple[tuple[str, Edges], ...]:
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


def picked(colors: tuple[str, ...], color: str | None) -> list[int]:
    """Places of one colour in a list of them; all places for `None`."""
    if color is not None and color not in colors:
        unknown_name("colour of edges", color, sorted(set(colors)), ShapeError)
    return [i for i, name in enumerate(colors) if color is None or name == color]
