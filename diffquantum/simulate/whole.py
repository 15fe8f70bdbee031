r"""Programs that reach too many directions to store a basis: matrix-free, on all $4^w$ components of $w$ qubits.

Some nodes are cut so that no cycle is left. One sweep carries states from the cuts through the acyclic rest back to the
cuts; $x = b + S(\theta)\, x$ is solved there, see `solvers`, and its derivatives likewise with the
transposed sweep. At each node the state is held on its window, the qubits that are not in |0> there whatever the
parameters.
"""

from typing import Any

import networkx
import numpy as np
from jax import lax

from diffquantum.simulate.graph import Edge, Graph
from diffquantum.simulate.solvers import Kept, Turn, largest, solve_host, solve_traced
from diffquantum.simulate.window import ANY, Qubits, carry, plan, widen

TURNS = 400  # sweeps whose growth is looked at
State = tuple[Any, Qubits]  # components `[rows, moments, 4, ..., 4]` on a window


class Whole:
    """The sweep of a program.

    Args:
        graph: the explored program.
        moments: number of moments.
        parameters: number of parameters.
        solver: "gmres" or "anderson".
    """

    def __init__(self, graph: Graph, moments: int, parameters: int, solver: str = "gmres"):
        self.graph, self.moments, self.solver = graph, moments, solver
        self.cuts = _cuts(graph)
        flow = networkx.DiGraph((e.source, e.target) for e in graph.edges if e.target not in self.cuts)
        flow.add_nodes_from(range(len(graph.places)))
        self.order = list(networkx.topological_sort(flow))
        self.leaving: list[list[tuple[int, Edge]]] = [[] for _ in graph.places]
        for number, edge in enumerate(graph.edges):
            self.leaving[edge.source].append((number, edge))
        self.window: dict[int, Qubits] = dict.fromkeys(self.cuts, ())
        self.steps: dict[int, Any] = {}
        self.alive = np.arange(moments) == 0  # the moments that are not zero at all cuts
        self.look(parameters)
        sizes = [4 ** len(self.window[c]) for c in self.cuts]
        self.first = dict(zip(self.cuts, np.cumsum([0, *sizes]).tolist()))
        self.size = sum(sizes)
        self.kept = Kept()

    def look(self, parameters: int) -> None:
        """Find the windows: sweep generic states at generic parameters until those of the cuts hold what arrives."""
        rng = np.random.default_rng(20220801)
        for _ in range(50):
            numbers = self.graph.numbers.generic(rng.uniform(0.2, 0.95, parameters), rng)
            if np.all(np.isfinite(numbers)):
                break
        while self.wider(numbers, rng):
            pass

    def wider(self, numbers: np.ndarray, rng: np.random.Generator) -> bool:
        """One sweep of generic states of the cuts; does it reach more than their windows hold?"""
        one = np.zeros((1, self.moments))
        one[0, 0] = 1.0
        state: dict[int, State] = {} if 0 in self.cuts else {0: (one, ())}
        before = dict(self.window), self.alive.copy()
        for c in self.cuts:
            x = rng.normal(size=(1, self.moments, *(4,) * len(self.window[c])))
            state[c] = x * self.alive.reshape(1, -1, *(1,) * (x.ndim - 2)), self.window[c]
        for node in self.order:
            if node not in state:
                continue
            self.window[node] = state[node][1]
            for number, edge in self.leaving[node]:
                self.steps[number], x, qubits = plan(edge.ops, *state[node], numbers)
                if edge.target in self.cuts:
                    self.window[edge.target] = tuple(sorted({*self.window[edge.target], *qubits}))
                    self.alive |= np.any(x.reshape(self.moments, -1) != 0.0, axis=1)
                    continue
                old, before_qubits = state.get(edge.target, (np.zeros((1, self.moments)), ()))
                both = tuple(sorted({*before_qubits, *qubits}))
                state[edge.target] = widen(old, before_qubits, both) + widen(x, qubits, both), both
        return any(before[0][c] != self.window[c] for c in self.cuts) or bool(np.any(before[1] != self.alive))

    def start(self) -> State:
        """|0...0>."""
        zero = np.zeros((1, self.moments))
        zero[0, 0] = 1.0
        return zero, ()

    def at(self, cut: int, x: Any) -> Any:
        """The state of a cut among those of all cuts `[rows, moments, size]`."""
        width = len(self.window[cut])
        return x[:, :, self.first[cut] : self.first[cut] + 4**width].reshape(*x.shape[:2], *(4,) * width)

    def full(self, state: State) -> Any:
        """The components `[moments, 4^n]` of a state on all qubits."""
        every = tuple(range(len(self.graph.qubits)))
        return widen(*state, every, ANY).reshape(self.moments, -1)

    def sweep(
        self, numbers: Any, x: Any, start: State | None, xp: Any, inside: frozenset[int] | None = None
    ) -> tuple[Any, dict[int, State]]:
        """Carry states from the cuts, and from the start, to the cuts and to all other nodes.

        Args:
            numbers: the numbers of the program.
            x: states at the cuts `[rows, moments, size]`, or `None`.
            start: the state at the start, or `None`.
            xp: `numpy` or `jax.numpy`.
            inside: the nodes to look at; `None` is all.

        Returns:
            What arrives at the cuts `[rows, moments, size]`, and a dictionary of the states at the other nodes.
        """
        state: dict[int, Any] = {}
        back: dict[int, Any] = {}
        if start is not None:
            (back if 0 in self.cuts else state)[0] = widen(*start, self.window[0], ANY)
        for node in self.order:
            now = state.get(node) if node not in self.cuts else None if x is None else self.at(node, x)
            if now is None or (inside is not None and node not in inside):
                continue
            for number, edge in self.leaving[node]:
                if inside is not None and edge.target not in inside:
                    continue
                y = widen(
                    *carry(self.steps[number], now, self.window[node], numbers, xp), self.window[edge.target], ANY
                )
                store = back if edge.target in self.cuts else state
                store[edge.target] = store[edge.target] + y if edge.target in store else y
        rows = 1 if x is None else len(x)
        sizes = [4 ** len(self.window[c]) for c in self.cuts]
        parts = [
            back[c].reshape(rows, self.moments, n) if c in back else xp.zeros((rows, self.moments, n))
            for c, n in zip(self.cuts, sizes)
        ]
        arrived = xp.concatenate(parts, axis=2) if parts else xp.zeros((rows, self.moments, 0))
        return arrived, {v: (y, self.window[v]) for v, y in state.items()}

    def solve(self, numbers: Any, xp: Any, scales: bool = False) -> tuple[Any, dict[int, State], Any]:
        """States at the cuts and at all nodes, summed over all turns; and whether they are to be trusted."""
        start = self.start()
        right, first = self.sweep(numbers, None, start, xp)
        if not self.cuts:
            return right, first, True
        solve = solve_host if xp is np else solve_traced
        x = solve(self.turn(numbers), right, self.solver)
        _, rest = self.sweep(numbers, x, start, xp)
        sound = xp.all(xp.isfinite(x))
        if scales:
            sound = sound & (self.growth(numbers, right, xp) < 1.0)
        return x, rest, sound

    def turn(self, numbers: Any) -> Turn:
        """One sweep from the cuts to the cuts, as the solvers see it."""
        groups = networkx.DiGraph(self.graph.dependence)
        groups.add_nodes_from(range(self.moments))
        together = tuple(
            tuple(sorted(g)) for g in networkx.strongly_connected_components(groups) if self.alive[list(g)].any()
        )
        return Turn(
            lambda n, x, xp: self.sweep(n, x, None, xp)[0], numbers, together, self.moments, self.size, self.kept
        )

    def growth(self, numbers: Any, b: Any, xp: Any) -> Any:
        """Growth of what enters the cuts in one sweep, on average over the second half of many sweeps."""

        def turn(i: Any, carry: Any) -> Any:
            log, x = carry
            x, _ = self.sweep(numbers, x, None, xp)
            norm = xp.sqrt(xp.sum(x * x))
            safe = xp.where(norm > 0.0, norm, 1.0)
            return log + xp.where((i >= TURNS // 2) & (norm > 0.0), xp.log(safe), 0.0), x / safe

        carry = (xp.zeros(()), b)
        if xp is np:
            for i in range(TURNS):
                carry = turn(i, carry)
        else:
            numbers, carry = lax.stop_gradient((numbers, carry))
            carry = lax.fori_loop(0, TURNS, turn, carry)
        return xp.where(xp.any(carry[1] != 0.0), xp.exp(carry[0] / (TURNS - TURNS // 2)), 0.0)

    def radius(self, numbers: np.ndarray, number: int, x: np.ndarray) -> float | None:
        """Spectral radius of one sweep of a loop of the text, its inner loops included; `None` without cuts."""
        first, stop = self.graph.loops[number]
        inside = frozenset(v for v, pc in enumerate(self.graph.places) if first <= pc < stop)
        mask = np.concatenate([np.full(4 ** len(self.window[c]), c in inside) for c in self.cuts] or [np.zeros(0)])
        if not mask.any():
            return None

        def turn(v: np.ndarray) -> np.ndarray:
            return (self.sweep(numbers, v.reshape(x.shape) * mask[None, None], None, np, inside)[0] * mask).ravel()

        begin = np.where(np.isfinite(x), x, 1.0) * mask[None, None]
        return largest(turn, turn(begin.ravel()) + begin.ravel(), x.size)

    def turns(self, number: int, numbers: np.ndarray, x: np.ndarray, states: dict[int, State]) -> float:
        """Mean number of turns of a loop of the text, from the states at the cuts and at the other nodes."""
        first, stop = self.graph.loops[number]
        heads = [v for v in self.graph.heads() if self.graph.places[v] == first]
        at = {v: self.at(v, x) if v in self.cuts else states[v][0] if v in states else None for v in heads}
        visits = sum(_trace(state) for state in at.values() if state is not None)
        if not self.graph.bodies[number]:
            return visits
        inside = {v for v, pc in enumerate(self.graph.places) if first <= pc < stop}
        entries = 1.0 if 0 in heads else 0.0
        for node in (v for v in range(len(self.graph.places)) if v not in inside):
            state = self.at(node, x) if node in self.cuts else states[node][0] if node in states else None
            for edge_number, edge in self.leaving[node]:
                if edge.target in heads and state is not None:
                    entries += _trace(carry(self.steps[edge_number], state, self.window[node], numbers, np)[0])
        return visits - entries


def _trace(state: np.ndarray) -> float:
    """The component I...I of moment 0."""
    return float(state[(0,) * state.ndim])


def _cuts(graph: Graph) -> tuple[int, ...]:
    """Nodes that every cycle passes: heads of loops that are on a cycle."""
    parts = networkx.strongly_connected_components(graph.flow())
    cyclic = {v for part in parts for v in part if len(part) > 1} | {
        e.source for e in graph.edges if e.source == e.target
    }
    return tuple(sorted(cyclic.intersection(graph.heads())))
