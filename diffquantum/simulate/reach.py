r"""The space that a program reaches at each node of its graph, and the program in coordinates of these spaces.

The basis $V_v$ of a node holds all that arrives there for any parameters: the span of what enters, closed under the
maps for generic parameters. Most programs reach a few directions of the $4^n$, and most ancillas are in |0> most
of the time. In these coordinates
$y_v = s_v + \sum_{u \to v} \sum_f n_f(\theta)\, V_v K_f V_u^T\, y_u$: one sparse linear system for the whole program.
"""

import dataclasses
import heapq
from collections.abc import Iterator
from typing import Any

import networkx
import numpy as np
import scipy.linalg

from diffquantum.errors import UnsupportedError
from diffquantum.simulate.graph import Edge, Graph
from diffquantum.simulate.window import Qubits, TooWideError, fit, pieces, widen

WIDEST = 300  # most directions at one node
UNKNOWNS = 40_000  # most directions in all
STORED = 2**25  # most numbers in all bases
NOISE = 1e-13  # shorter vectors are rounding
NEW = 1e-9  # length of what a unit vector must have outside a basis to be a new direction
TRIALS = 200  # parameters tried at most


class Reach:
    """Bases of the nodes, grown while generic parameters run through the graph.

    `window[node]` are the qubits that are not in |0> there; `basis[node][moment]` has orthonormal rows on it.

    Args:
        graph: the explored program.
        moments: number of moments.
        parameters: number of parameters.
        start: components of what the program starts from `[rows, 4^k]`, of moment 0, on the qubits `inputs`.
        inputs: positions of the qubits that may start in any state; the others start in |0>.
    """

    def __init__(self, graph: Graph, moments: int, parameters: int, start: np.ndarray, inputs: Qubits = ()):
        self.graph, self.moments = graph, moments
        self.window: list[Qubits] = [() for _ in graph.places]
        self.basis = [[np.zeros((0, 1)) for _ in range(moments)] for _ in graph.places]
        self.too_large, self.grown = False, False
        self.leaving: list[list[Edge]] = [[] for _ in graph.places]
        for edge in graph.edges:
            self.leaving[edge.source].append(edge)
        self.rank = _order(graph)
        try:
            first = np.zeros((len(start), moments, *(4,) * len(inputs)))
            first[:, 0] = start.reshape(-1, *(4,) * len(inputs))
            self.add(0, first, inputs)
            self.grow(parameters)
        except TooWideError:
            self.too_large = True

    def grow(self, parameters: int) -> None:
        """Push the bases through the graph at generic parameters until two of them find nothing new."""
        rng, quiet = np.random.default_rng(20220801), 0
        for trial in range(TRIALS):
            theta = rng.uniform(0.2, 0.95, parameters) * (1 if trial % 2 == 0 else 1.9)
            numbers = self.graph.numbers.generic(theta, rng)
            if not np.all(np.isfinite(numbers)):
                continue
            self.grown = False
            self.push(numbers)
            quiet = 0 if self.grown else quiet + 1
            if quiet == 2 or self.too_large or (trial == 0 and len(self.graph.numbers.place) == 1):
                return

    def push(self, numbers: np.ndarray) -> None:
        """Close the bases under the maps at one choice of numbers."""
        done = [[0] * self.moments for _ in self.basis]
        todo = [(self.rank[v], v) for v in range(len(self.basis))]
        heapq.heapify(todo)
        waiting = set(range(len(self.basis)))
        while todo and not self.too_large:
            _, v = heapq.heappop(todo)
            waiting.discard(v)
            fresh = [self.basis[v][m][done[v][m] :] for m in range(self.moments)]
            done[v] = [len(b) for b in self.basis[v]]
            if not sum(map(len, fresh)):
                continue
            rows, here = self.rows(v, fresh), self.window[v]
            for edge in self.leaving[v]:
                added = [self.add(edge.target, image, q) for _, image, q in pieces(edge.ops, rows, here, numbers)]
                if any(added) and edge.target not in waiting:
                    waiting.add(edge.target)
                    heapq.heappush(todo, (self.rank[edge.target], edge.target))

    def rows(self, node: int, parts: list[np.ndarray]) -> np.ndarray:
        """Directions of several moments as states `[rows, moments, 4, ..., 4]` on the window of a node."""
        shape = (4,) * len(self.window[node])
        out = np.zeros((sum(map(len, parts)), self.moments, *shape))
        start = 0
        for m, part in enumerate(parts):
            out[start : start + len(part), m] = part.reshape(-1, *shape)
            start += len(part)
        return out

    def add(self, node: int, states: np.ndarray, qubits: Qubits) -> bool:
        """Add directions of states `[rows, moments, 4, ..., 4]` that the bases of a node lack; were there some?"""
        if not states.any():
            return False
        if not np.all(np.isfinite(states)):
            raise UnsupportedError(
                "The program makes numbers that overflow.",
                got="a product of large factors",
                expected="factors whose products are finite",
                try_="smaller factors, or shots= instead of the exact semantics",
            )
        window = tuple(sorted({*self.window[node], *qubits}))
        states = widen(states, qubits, window).reshape(len(states), self.moments, -1)
        if window != self.window[node]:
            self.basis[node] = [self.widened(node, b, window) for b in self.basis[node]]
            self.window[node] = window
        found = False
        for m in range(self.moments):
            basis, rows = self.basis[node][m], states[:, m]
            if len(basis) == basis.shape[1] or not rows.any():
                continue
            new = directions(rows, basis)
            if len(new):
                self.basis[node][m] = np.concatenate([basis, new])
                found = True
        if found:
            self.grown = True
            widest = sum(map(len, self.basis[node]))
            total = sum(len(b) for node in self.basis for b in node)
            stored = sum(b.size for node in self.basis for b in node)
            self.too_large |= widest > WIDEST or total > UNKNOWNS or stored > STORED
        return found

    def widened(self, node: int, basis: np.ndarray, window: Qubits) -> np.ndarray:
        """An orthonormal basis on a larger window."""
        old = self.window[node]
        out = widen(basis.reshape(-1, *(4,) * len(old)), old, window)
        return out.reshape(len(basis), 4 ** len(window)) / np.sqrt(2.0) ** (len(window) - len(old))

    def components(self, node: int, moment: int, strings: np.ndarray) -> np.ndarray:
        """Components `[strings, directions]` of a basis at Pauli strings `[strings, qubits]`, I X Y Z being 0 to 3."""
        window = np.array(self.window[node], int)
        outside = np.delete(strings, window, axis=1)
        place = strings[:, window] @ 4 ** np.arange(len(window))[::-1]
        there = np.all((outside == 0) | (outside == 3), axis=1)
        return self.basis[node][moment][:, place].T * there[:, None]


def directions(rows: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Orthonormal directions of some rows that an orthonormal basis lacks."""
    rows = rows / np.maximum(np.max(np.abs(rows), axis=1, keepdims=True), 1.0)  # squares of large numbers overflow
    norms = np.linalg.norm(rows, axis=1)
    rows = rows[norms > NOISE] / norms[norms > NOISE, None]
    for _ in range(2):
        rows = rows - (rows @ basis.T) @ basis
    rows = rows[np.linalg.norm(rows, axis=1) > NEW]
    if len(rows) < 2:
        return rows / np.linalg.norm(rows, axis=1, keepdims=True) if len(rows) else rows
    factors: Any = scipy.linalg.qr(rows.T, mode="economic", pivoting=True, check_finite=False)
    q, r, _ = factors
    new = q[:, np.abs(np.diag(r)) > NEW].T
    new = new - (new @ basis.T) @ basis
    return new / np.linalg.norm(new, axis=1, keepdims=True)


def _order(graph: Graph) -> list[int]:
    """An order of the nodes in which most edges go up."""
    order = list(networkx.dfs_postorder_nodes(graph.flow(), 0))[::-1]
    rank = {v: i for i, v in enumerate(order)}
    return [rank.get(v, len(rank)) for v in range(len(graph.places))]


# ---------------------------------------------------------------------------------------------------- coordinates


@dataclasses.dataclass(frozen=True, eq=False)
class Coordinates:
    """The linear system of a program: entries `value * number[which]` at (row, column).

    Args:
        offsets: first unknown of each node and moment `[nodes, moments]`.
        sizes: number of unknowns of each node and moment.
        rows, columns, which, values: the entries.
        start: the start in these coordinates `[unknowns, inputs]`.
        traces: component I...I of each unknown that belongs to moment 0, else zero.
    """

    offsets: np.ndarray
    sizes: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    which: np.ndarray
    values: np.ndarray
    start: np.ndarray
    traces: np.ndarray

    @property
    def unknowns(self) -> int:
        return len(self.traces)

    def of(self, node: int) -> np.ndarray:
        """The unknowns of a node."""
        first = self.offsets[node, 0]
        return np.arange(first, first + self.sizes[node].sum())


def coordinates(reach: Reach, start: np.ndarray, inputs: Qubits = ()) -> Coordinates:
    """The program in the bases of its nodes; `start` has the components of each input `[inputs, 4^k]`."""
    sizes = np.array([[len(b) for b in node] for node in reach.basis])
    offsets = (np.cumsum(sizes) - sizes.ravel()).reshape(sizes.shape)
    total = int(sizes.sum())
    parts: list[tuple[np.ndarray, np.ndarray, int, np.ndarray]] = []
    for edge in reach.graph.edges:
        if not sizes[edge.source].sum() or not sizes[edge.target].sum():
            continue
        for number, image in _images(reach, edge):
            for moment in range(reach.moments):
                block = reach.basis[edge.target][moment] @ image[:, moment].T
                i, j = np.nonzero(np.abs(block) > NOISE)
                at = offsets[edge.target, moment] + i, offsets[edge.source, 0] + j
                parts.append((*at, number, block[i, j]))
    lengths = [len(p[3]) for p in parts]
    join = [np.concatenate([p[k] for p in parts] or [np.zeros(0)]) for k in (0, 1, 3)]
    which = np.repeat([p[2] for p in parts], lengths) if parts else np.zeros(0)
    first = np.zeros((total, len(start)))
    begin = fit(start.reshape(-1, *(4,) * len(inputs)), inputs, reach.window[0])
    first[: sizes[0, 0]] = reach.basis[0][0] @ begin.reshape(len(start), -1).T
    traces = np.zeros(total)
    for node, node_basis in enumerate(reach.basis):
        traces[offsets[node, 0] : offsets[node, 0] + sizes[node, 0]] = node_basis[0][:, 0]
    return Coordinates(
        offsets, sizes, join[0].astype(int), join[1].astype(int), which.astype(int), join[2], first, traces
    )  # fmt: skip


def _images(reach: Reach, edge: Edge) -> Iterator[tuple[int, np.ndarray]]:
    """What an edge makes of the basis of its source, on the window of its target: constant part, and one a number."""
    window = reach.window[edge.target]
    rows = reach.rows(edge.source, reach.basis[edge.source])
    numbers = np.zeros(len(reach.graph.numbers.place))

    def image() -> np.ndarray:
        out = np.zeros((*rows.shape[:2], 4 ** len(window)))
        for first, part, qubits in pieces(edge.ops, rows, reach.window[edge.source], numbers):
            out[first : first + len(part)] = fit(part, qubits, window).reshape(len(part), reach.moments, -1)
        return out

    constant = image()
    yield 0, constant
    for number in sorted(frozenset().union(*(op.used for op in edge.ops))):
        numbers[number] = 1.0
        yield number, image() - constant
        numbers[number] = 0.0
