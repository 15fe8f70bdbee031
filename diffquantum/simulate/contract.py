"""Fewer nodes: places that only pass on what arrives are taken out of the graph."""

import dataclasses
import heapq

from diffquantum.simulate.graph import Edge, Graph
from diffquantum.simulate.operations import Either, Op

TWICE = 12  # most maps that are written twice to save a node


def contract(graph: Graph) -> Graph:
    """The same program with fewer nodes, and at most one edge from a node to another.

    The start, the ends and the heads of loops stay.
    A node goes where that makes no more edges, and no edge with two maps that depend on parameters.
    """
    keep = {0, *graph.ends, *graph.heads()}
    around = [frozenset(i for i, (a, b) in enumerate(graph.loops) if a <= pc < b) for pc in graph.places]
    coming: list[list[Edge]] = [[] for _ in graph.places]
    leaving: list[list[Edge]] = [[] for _ in graph.places]

    def link(edge: Edge) -> None:
        twin = next((e for e in leaving[edge.source] if e.target == edge.target), None)
        if twin is not None:
            cut(twin)
            edge = Edge(edge.source, (Either((*_ways(twin), edge.ops)),), edge.target)
        leaving[edge.source].append(edge)
        coming[edge.target].append(edge)

    def cut(edge: Edge) -> None:
        leaving[edge.source].remove(edge)
        coming[edge.target].remove(edge)

    for edge in graph.edges:
        link(edge)
    todo = [(len(coming[v]) * len(leaving[v]), v) for v in range(len(graph.places)) if v not in keep]
    heapq.heapify(todo)
    gone: set[int] = set()
    while todo:
        _, v = heapq.heappop(todo)
        before, after = coming[v], leaving[v]
        pairs = [(a, b) for a in before for b in after]
        if v in gone or not pairs or len(pairs) > len(before) + len(after):
            continue
        twice = sum(map(_weight, before)) * (len(after) - 1) + sum(map(_weight, after)) * (len(before) - 1)
        if twice > TWICE:
            continue
        if any(_parametric(a) and _parametric(b) for a, b in pairs) or any(a.source == v for a in before):
            continue
        if any(not (around[a.source] & around[b.target]) <= around[v] for a, b in pairs):
            continue
        gone.add(v)
        near = {u for a, b in pairs for u in (a.source, b.target)}
        for edge in [*before, *after]:
            cut(edge)
        for a, b in pairs:
            link(Edge(a.source, (*a.ops, *b.ops), b.target))
        for u in near - keep - gone:
            heapq.heappush(todo, (len(coming[u]) * len(leaving[u]), u))
    stay = [v for v in range(len(graph.places)) if v not in gone]
    place = {v: i for i, v in enumerate(stay)}
    return dataclasses.replace(
        graph,
        places=tuple(graph.places[v] for v in stay),
        configurations=tuple(graph.configurations[v] for v in stay),
        edges=tuple(Edge(place[e.source], e.ops, place[e.target]) for v in stay for e in leaving[v]),
        ends=tuple(place[v] for v in graph.ends),
    )


def _parametric(edge: Edge) -> bool:
    return any(op.used for op in edge.ops)


def _ways(edge: Edge) -> tuple:
    return edge.ops[0].ways if len(edge.ops) == 1 and isinstance(edge.ops[0], Either) else (edge.ops,)


def _weight(edge: Edge) -> int:
    """Number of maps of an edge."""
    return sum(_size(op) for op in edge.ops)


def _size(op: Op | Either) -> int:
    return sum(_size(inner) for way in op.ways for inner in way) if isinstance(op, Either) else 1
