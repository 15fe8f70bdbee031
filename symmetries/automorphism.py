"""Automorphisms of graphs: all permutations of the nodes that keep edges, colours and directions.

Nodes are told apart by colours that are refined until nodes of one colour have neighbours of the same colours. Fixing
node after node (a *base*) makes all colours different. From the last fixed node upwards, each node of its colour that
the automorphisms known so far do not reach is tried as its image; those found are a strong generating set, so the order
is the product of the orbits' lengths (Schreier and Sims).
"""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from symmetries import permutation
from symmetries._descriptor import descriptor
from symmetries._errors import SymmetryError
from symmetries.permutation_group import LIMIT, PermutationGroup


@descriptor
class Automorphisms:
    """The automorphism group of a graph, by generators; build it by `automorphisms`.

    Args:
        nodes: the nodes of the graph; node `i` is the point `i` of the permutations.
        generators: `[k, nodes]`, a strong generating set for `base`.
        base: nodes (their numbers) that only the identity leaves in place, all of them.

    Example:
        >>> import networkx as nx
        >>> from symmetries import automorphisms
        >>> found = automorphisms(nx.petersen_graph())
        >>> found.order, len(found.orbits)
        (120, 1)
    """

    nodes: tuple[Hashable, ...]
    generators: Int[np.ndarray, "k nodes"]
    base: tuple[int, ...]

    @cached_property
    def order(self) -> int:
        """Number of automorphisms, exact however large."""
        result = 1
        for level in range(len(self.base)):
            result *= len(_orbit(self._fixing(level), self.base[level]))
        return result

    @cached_property
    def orbits(self) -> tuple[tuple[int, ...], ...]:
        """Nodes (their numbers) that automorphisms move to each other."""
        labels = permutation.orbits(self.generators)
        return tuple(tuple(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels))

    def elements(self, limit: int = LIMIT) -> PermutationGroup:
        """All automorphisms.

        Args:
            limit: the largest order.

        Raises:
            SymmetryError: there are more.

        Example:
            >>> import networkx as nx
            >>> from symmetries import automorphisms
            >>> automorphisms(nx.path_graph(3)).elements().permutations
            array([[0, 1, 2],
                   [2, 1, 0]])
        """
        if self.order > limit:
            raise SymmetryError(
                "This graph has more automorphisms than wanted.",
                got=f"{self.order} automorphisms",
                expected=f"at most {limit}",
                try_=f"limit={self.order}, colours on nodes or edges, or a subgroup of the generators",
            )
        return PermutationGroup(permutation.generate(self.generators))

    def _fixing(self, level: int) -> np.ndarray:
        """The generators that leave the first nodes of the base in place."""
        first = list(self.base[:level])
        return self.generators[(self.generators[:, first] == first).all(axis=1)]


def automorphisms(graph: Any, color: str | None = "color") -> Automorphisms:
    """Generators and order of the automorphism group of a graph.

    Args:
        graph: any NetworkX graph, directed or not, multiple edges and loops included.
        color: the attribute of nodes and edges that automorphisms must keep, where it is set; `None` for none. (Edges
            of the graph of a `qml.lattice.Lattice` are coloured by their direction: `None` lets directions mix.)

    Returns:
        `Automorphisms`; nodes are numbered in the order of the graph.

    Raises:
        SymmetryError: the graph has no nodes.

    Example:
        >>> import networkx as nx
        >>> from symmetries import automorphisms
        >>> square = nx.cycle_graph(4)
        >>> automorphisms(square).order
        8
        >>> square.edges[0, 1]["color"] = square.edges[2, 3]["color"] = "red"
        >>> automorphisms(square).order
        4

    Source:
        McKay and Piperno, J. Symb. Comput. 60, 94 (2014), for the method of refined colours.
    """
    search = _Search(*_tables(graph, color))
    path = [_refined(search, search.colors)]
    base: list[int] = []
    while (target := _target(path[-1].colors)) is not None:
        base.append(int(target[0]))
        path.append(_refined(search, _fixed(path[-1].colors, base[-1])))
    n = len(search.colors)
    generators: list[np.ndarray] = []
    orbits = np.arange(n)
    for level in reversed(range(len(base))):
        failed: set[int] = set()  # orbits without an image of this node of the base
        for node in np.flatnonzero(path[level].colors == path[level].colors[base[level]]).tolist():
            if orbits[node] == orbits[base[level]] or orbits[node] in {orbits[other] for other in failed}:
                continue
            found = _mapping(search, path, level, _fixed(path[level].colors, node), base)
            if found is None:
                failed.add(node)
            else:
                generators.append(found)
                orbits = permutation.orbits(np.array(generators))
    return Automorphisms(tuple(graph.nodes), np.array(generators, int).reshape(-1, n), tuple(base))


@dataclass(frozen=True)
class _Search:
    """A graph as arrays: start colours of the nodes; ends, tails and kinds of all directed pairs, by tails."""

    colors: np.ndarray
    tails: np.ndarray
    heads: np.ndarray
    kinds: np.ndarray
    arcs: np.ndarray  # sorted numbers of (kind, tail, head), to compare with those of the image


class _Colors(NamedTuple):
    colors: np.ndarray
    trace: bytes


def _tables(graph: Any, color: str | None) -> tuple[np.ndarray, ...]:
    nodes = list(graph.nodes)
    if not nodes:
        raise SymmetryError(
            "A graph without nodes has no automorphisms.",
            got=repr(graph),
            expected="at least one node",
            try_="networkx.cycle_graph(4)",
        )
    number = {node: i for i, node in enumerate(nodes)}
    pairs: dict[tuple[int, int], list[tuple[str, Any]]] = {}
    for a, b, data in graph.edges(data=True):
        shade = repr(data.get(color)) if color is not None else ""
        ways = ("out", "in") if graph.is_directed() else ("", "")
        pairs.setdefault((number[a], number[b]), []).append((ways[0], shade))
        pairs.setdefault((number[b], number[a]), []).append((ways[1], shade))
    keys = {pair: tuple(sorted(kinds)) for pair, kinds in pairs.items()}
    known = {kinds: i for i, kinds in enumerate(sorted(set(keys.values())))}
    order = sorted(keys)
    ends = np.array(order, np.int64).reshape(-1, 2)
    kinds = np.array([known[keys[pair]] for pair in order], np.int64)
    shades = [repr(graph.nodes[node].get(color)) if color is not None else "" for node in nodes]
    colors = np.unique(np.array(shades), return_inverse=True)[1]
    n = len(nodes)
    return colors, ends[:, 0], ends[:, 1], kinds, np.sort((kinds * n + ends[:, 0]) * n + ends[:, 1])


def _refined(search: _Search, colors: np.ndarray) -> _Colors:
    """Colours split by the colours of neighbours until nothing changes, numbered without regard to names of nodes.

    Neighbours enter as sums of mixed numbers modulo 2^64; two that agree by accident only make colours coarser.
    """
    trace = []
    count = -1
    while True:
        colors = np.unique(colors, return_inverse=True)[1]
        sums = np.zeros(len(colors), np.uint64)
        np.add.at(sums, search.tails, _hash(colors[search.heads], search.kinds))
        rows = np.rec.fromarrays([colors.astype(np.int64), sums])
        keys, colors, sizes = np.unique(rows, return_inverse=True, return_counts=True)
        trace += [keys.tobytes(), sizes.tobytes()]
        if len(keys) in (count, len(colors)):
            return _Colors(colors, b"".join(trace))
        count = len(keys)


def _hash(colors: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Well mixed 64-bit numbers of pairs of small ones."""
    x = colors.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + kinds.astype(np.uint64) * np.uint64(
        0xD1B54A32D192ED03
    )
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _target(colors: np.ndarray) -> np.ndarray | None:
    """The nodes of the first of the largest colours; `None` if all are different."""
    sizes = np.bincount(colors)
    return None if sizes.max() == 1 else np.flatnonzero(colors == sizes.argmax())


def _fixed(colors: np.ndarray, node: int) -> np.ndarray:
    """Colours with one node set apart, before the others of its colour."""
    colors = 2 * colors + 1
    colors[node] -= 1
    return colors


def _mapping(
    search: _Search, path: list[_Colors], level: int, colors: np.ndarray, base: list[int]
) -> np.ndarray | None:
    """An automorphism that maps the base's colours to these, with as many nodes set apart; `None` if there is none."""
    stack = [(level + 1, colors)]
    while stack:
        depth, colors = stack.pop()
        refined = _refined(search, colors)
        if refined.trace != path[depth].trace:
            continue
        if depth == len(base):
            image = np.argsort(refined.colors)[path[depth].colors]
            if _is_automorphism(search, image):
                return image
            continue
        candidates = np.flatnonzero(refined.colors == path[depth].colors[base[depth]])
        stack += [(depth + 1, _fixed(refined.colors, node)) for node in candidates[::-1].tolist()]
    return None


def _is_automorphism(search: _Search, image: np.ndarray) -> bool:
    n = len(image)
    arcs = np.sort((search.kinds * n + image[search.tails]) * n + image[search.heads])
    return np.array_equal(arcs, search.arcs) and np.array_equal(search.colors[image], search.colors)


def _orbit(generators: np.ndarray, point: int) -> np.ndarray:
    labels = permutation.orbits(generators)
    return np.flatnonzero(labels == labels[point])
