r"""The space that a program reaches at each node of its graph, and the program in coordinates of these spaces.

The basis $V_v$ of a node holds all that arrives there for any parameters: the span of what enters, closed under the
maps for generic parameters. Most programs reach a few directions of the $4^n$. In these coordinates
$y_v = s_v + \sum_{u \to v} \sum_f n_f(\theta)\, V_v K_f V_u^T\, y_u$: one sparse linear system for the whole program.
"""

import dataclasses
import heapq
from typing import Any

import networkx
import numpy as np
import scipy.linalg

from diffquantum.simulate.graph import Edge, Graph

WIDEST = 300  # most directions at one node
UNKNOWNS = 40_000  # most directions in all
STORED = 2**25  # most numbers in all bases
NOISE = 1e-13  # shorter vectors are rounding
NEW = 1e-9  # length of what a unit vector must have outside a basis to be a new direction
TRIALS = 200  # parameters tried at most


class Reach:
    """Bases of the nodes, grown while generic parameters run through the graph.

    Args:
        graph: the explored program.
        moments: number of moments.
        parameters: number of parameters.
        start: components of what the program starts from `[rows, 4^n]`, of moment 0.
    """

    def __init__(self, graph: Graph, moments: int, parameters: int, start: np.ndarray):
        self.graph, self.moments, self.shape = graph, moments, (4,) * len(graph.qubits)
        self.basis = [[np.zeros((0, 4 ** len(graph.qubits))) for _ in range(moments)] for _ in graph.places]
        self.total, self.too_large, self.grown = 0, False, False
        self.leaving: list[list[Edge]] = [[] for _ in graph.places]
        for edge in graph.edges:
            self.leaving[edge.source].append(edge)
        self.rank = _order(graph)
        self.add(0, 0, start)
        self.grow(parameters)

    def grow(self, parameters: int) -> None:
        """Push the bases through the graph at generic parameters until two of them find nothing new."""
        rng, quiet = np.random.default_rng(20220801), 0
        for trial in range(TRIALS):
            theta = rng.uniform(0.2, 0.95, parameters) * (1 if trial % 2 == 0 else 1.9)
            numbers = self.graph.numbers.evaluate(theta, np)
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
            rows = self.rows(fresh)
            for edge in self.leaving[v]:
                image = self.image(edge, rows, numbers)
                new = [self.add(edge.target, m, image[:, m]) for m in range(self.moments)]
                if any(new) and edge.target not in waiting:
                    waiting.add(edge.target)
                    heapq.heappush(todo, (self.rank[edge.target], edge.target))

    def rows(self, parts: list[np.ndarray]) -> np.ndarray:
        """Directions of several moments as states `[rows, moments, 4, ..., 4]`."""
        out = np.zeros((sum(map(len, parts)), self.moments, *self.shape))
        start = 0
        for m, part in enumerate(parts):
            out[start : start + len(part), m] = part.reshape(-1, *self.shape)
            start += len(part)
        return out

    def image(self, edge: Edge, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """What an edge makes of states `[rows, moments, 4^n]`."""
        for op in edge.ops:
            rows = op.apply(rows, numbers, np)
        return rows.reshape(len(rows), self.moments, -1)

    def add(self, node: int, moment: int, rows: np.ndarray) -> bool:
        """Add the directions of `rows` that a basis lacks; whether there were some."""
        basis = self.basis[node][moment]
        if len(basis) == basis.shape[1] or not rows.any():
            return False
        new = directions(rows, basis)
        if not len(new):
            return False
        self.grown = True
        self.basis[node][moment] = np.concatenate([basis, new])
        self.total += len(new)
        widest = sum(map(len, self.basis[node]))
        self.too_large |= widest > WIDEST or self.total > UNKNOWNS or self.total * basis.shape[1] > STORED
        return True


def directions(rows: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Orthonormal directions of some rows that an orthonormal basis lacks."""
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


def coordinates(reach: Reach, start: np.ndarray) -> Coordinates:
    """The program in the bases of its nodes; `start` has the components of each input `[inputs, 4^n]`."""
    sizes = np.array([[len(b) for b in node] for node in reach.basis])
    offsets = (np.cumsum(sizes) - sizes.ravel()).reshape(sizes.shape)
    total = int(sizes.sum())
    parts: list[tuple[np.ndarray, np.ndarray, int, np.ndarray]] = []
    for edge in reach.graph.edges:
        if not sizes[edge.source].sum() or not sizes[edge.target].sum():
            continue
        rows = reach.rows(reach.basis[edge.source])
        used = (0, *sorted(frozenset().union(*(op.used for op in edge.ops))))
        numbers = np.zeros(len(reach.graph.numbers.place))
        constant = reach.image(edge, rows, numbers)
        for number in used:
            image = constant
            if number:
                numbers[number] = 1.0
                image = reach.image(edge, rows, numbers) - constant
                numbers[number] = 0.0
            for moment in range(reach.moments):
                block = reach.basis[edge.target][moment] @ image[:, moment].T
                i, j = np.nonzero(np.abs(block) > NOISE)
                at = offsets[edge.target, moment] + i, offsets[edge.source, 0] + j
                parts.append((*at, number, block[i, j]))
    lengths = [len(p[3]) for p in parts]
    join = [np.concatenate([p[k] for p in parts] or [np.zeros(0)]) for k in (0, 1, 3)]
    which = np.repeat([p[2] for p in parts], lengths) if parts else np.zeros(0)
    first = np.zeros((total, len(start)))
    first[: sizes[0, 0]] = reach.basis[0][0] @ start.T
    traces = np.zeros(total)
    for node, node_basis in enumerate(reach.basis):
        traces[offsets[node, 0] : offsets[node, 0] + sizes[node, 0]] = node_basis[0][:, 0]
    return Coordinates(
        offsets, sizes, join[0].astype(int), join[1].astype(int), which.astype(int), join[2], first, traces
    )  # fmt: skip
