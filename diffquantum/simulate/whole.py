r"""Programs that reach too many directions to store a basis: matrix-free, on all $4^n$ components.

Some nodes are cut so that no cycle is left. One sweep carries states from the cuts through the acyclic rest back to the
cuts; $x = b + S(\theta)\, x$ is solved by GMRES or Anderson acceleration, and its derivatives likewise with the
transposed sweep. The residual of the result is the certificate: not a number where it is
large.
"""

import functools
from typing import Any

import jax.numpy as jnp
import networkx
import numpy as np
import scipy.sparse.linalg
from jax import lax
from jax.scipy.sparse.linalg import gmres

from diffquantum.simulate.graph import Edge, Graph

RESIDUAL = 1e-9  # relative residual a solution must reach
TURNS = 400  # sweeps whose growth is looked at
SOLVERS = ("gmres", "anderson")
WINDOW, MOST = 12, 2000  # earlier iterates that Anderson acceleration mixes, and sweeps at most


class Whole:
    """The sweep of a program.

    Args:
        graph: the explored program.
        moments: number of moments.
        solver: "gmres" or "anderson".
    """

    def __init__(self, graph: Graph, moments: int, solver: str = "gmres"):
        self.graph, self.moments, self.solver = graph, moments, solver
        self.cuts = _cuts(graph)
        self.shape = (len(self.cuts), moments, *(4,) * len(graph.qubits))
        flow = networkx.DiGraph((e.source, e.target) for e in graph.edges if e.target not in self.cuts)
        flow.add_nodes_from(range(len(graph.places)))
        self.order = list(networkx.topological_sort(flow))
        self.leaving: list[list[Edge]] = [[] for _ in graph.places]
        for edge in graph.edges:
            self.leaving[edge.source].append(edge)

    def start(self) -> np.ndarray:
        """|0...0> `[moments, 4, ..., 4]`."""
        zero = np.zeros(self.shape[1:])
        zero[0] = functools.reduce(np.multiply.outer, [np.array([1.0, 0.0, 0.0, 1.0])] * (len(self.shape) - 2), 1.0)
        return zero

    def sweep(self, numbers: Any, x: Any, start: Any, xp: Any, inside: frozenset[int] | None = None) -> tuple[Any, Any]:
        """Carry states from the cuts, and from the start, to the cuts and to all other nodes.

        Args:
            numbers: the numbers of the program.
            x: states at the cuts `[cuts, moments, 4, ..., 4]`, or `None`.
            start: the state at the start `[moments, 4, ..., 4]`, or `None`.
            xp: `numpy` or `jax.numpy`.
            inside: the nodes to look at; `None` is all.

        Returns:
            What arrives at the cuts, and a dictionary of the states at the other nodes.
        """
        state: dict[int, Any] = {}
        back: dict[int, Any] = {}
        if start is not None:
            (back if 0 in self.cuts else state)[0] = start
        for node in self.order:
            now = state.get(node) if node not in self.cuts else None if x is None else x[self.cuts.index(node)]
            if now is None or (inside is not None and node not in inside):
                continue
            for edge in self.leaving[node]:
                if inside is not None and edge.target not in inside:
                    continue
                y = now[None]
                for op in edge.ops:
                    y = op.apply(y, numbers, xp)
                store = back if edge.target in self.cuts else state
                store[edge.target] = store[edge.target] + y[0] if edge.target in store else y[0]
        zero = xp.zeros(self.shape[1:])
        arrived = xp.stack([back.get(c, zero) for c in self.cuts]) if self.cuts else xp.zeros(self.shape)
        return arrived, state

    def solve(self, numbers: Any, start: Any, xp: Any, scales: bool = False) -> tuple[Any, dict[int, Any], Any]:
        """States at the cuts and at all nodes, summed over all turns; and whether they are to be trusted."""
        right, first = self.sweep(numbers, None, start, xp)
        if not self.cuts:
            return right, first, True
        x = _host(self, numbers, right) if xp is np else _traced(self, numbers, right)
        _, rest = self.sweep(numbers, x, start, xp)
        sound = xp.all(xp.isfinite(x))
        if scales:
            sound = sound & (self.growth(numbers, right, xp) < 1.0)
        return x, rest, sound

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
        mask = np.array([c in inside for c in self.cuts]).reshape(-1, *(1,) * (len(self.shape) - 1))
        if not mask.any():
            return None

        def turn(v: np.ndarray) -> np.ndarray:
            return (self.sweep(numbers, v.reshape(self.shape) * mask, None, np, inside)[0] * mask).ravel()

        size = int(np.prod(self.shape))
        begin = np.where(np.isfinite(x), x, 1.0) * mask
        return largest(turn, turn(begin.ravel()) + begin.ravel(), size)

    def turns(self, number: int, numbers: np.ndarray, start: np.ndarray, x: np.ndarray, states: dict) -> float:
        """Mean number of turns of a loop of the text, from the states at the cuts and at the other nodes."""
        first, stop = self.graph.loops[number]
        trace = (0,) * (len(self.shape) - 1)
        heads = [v for v in self.graph.heads() if self.graph.places[v] == first]
        at = {v: x[self.cuts.index(v)] if v in self.cuts else states.get(v) for v in heads}
        visits = sum(float(state[trace]) for state in at.values() if state is not None)
        if not self.graph.bodies[number]:
            return visits
        inside = {v for v, pc in enumerate(self.graph.places) if first <= pc < stop}
        entries = float(start[trace]) if 0 in heads else 0.0
        for node in (v for v in range(len(self.graph.places)) if v not in inside):
            state = x[self.cuts.index(node)] if node in self.cuts else states.get(node)
            for edge in self.leaving[node]:
                if edge.target in heads and state is not None:
                    y = state[None]
                    for op in edge.ops:
                        y = op.apply(y, numbers, np)
                    entries += float(y[(0, *trace)])
        return visits - entries


def _cuts(graph: Graph) -> tuple[int, ...]:
    """Nodes that every cycle passes: heads of loops that are on a cycle."""
    parts = networkx.strongly_connected_components(graph.flow())
    cyclic = {v for part in parts for v in part if len(part) > 1} | {
        e.source for e in graph.edges if e.source == e.target
    }
    return tuple(sorted(cyclic.intersection(graph.heads())))


def _host(whole: Whole, numbers: np.ndarray, right: np.ndarray) -> np.ndarray:
    """GMRES in NumPy."""

    def matvec(v: np.ndarray) -> np.ndarray:
        x = v.reshape(whole.shape)
        return (x - whole.sweep(numbers, x, None, np)[0]).ravel()

    if whole.solver == "anderson":
        x = _anderson_host(matvec, right.ravel())
    else:
        system: Any = scipy.sparse.linalg.LinearOperator((right.size,) * 2, matvec=matvec, dtype=float)  # type: ignore
        x = scipy.sparse.linalg.gmres(system, right.ravel(), rtol=1e-13, atol=0.0, restart=60, maxiter=60)[0]
    error = np.linalg.norm(right.ravel() - matvec(x))
    good = error <= RESIDUAL * np.linalg.norm(right.ravel())
    return x.reshape(whole.shape) if good else np.full(whole.shape, np.nan)


def _anderson_host(matvec: Any, right: np.ndarray) -> np.ndarray:
    """`anderson` in NumPy."""
    x, r, dx, dr = right, right - matvec(right), [], []
    goal = 1e-12 * np.linalg.norm(right)
    for _ in range(MOST):
        if not np.linalg.norm(r) > goal:
            break
        step = x + r
        if dr:
            gamma = np.linalg.lstsq(np.stack(dr, axis=1), r, rcond=None)[0]
            step = step - np.stack(dx, axis=1) @ gamma - np.stack(dr, axis=1) @ gamma
        left = right - matvec(step)
        dx, dr = [*dx, step - x][-WINDOW:], [*dr, left - r][-WINDOW:]
        x, r = step, left
    return x


def _traced(whole: Whole, numbers: Any, right: Any) -> Any:
    """The solution in JAX, with derivatives of any order; not a number where the residual stays too large."""

    def matvec(x: Any) -> Any:
        return x - whole.sweep(numbers, x, None, jnp)[0]

    def solve(apply: Any, y: Any) -> Any:
        if whole.solver == "anderson":
            x = anderson(apply, y)
        else:
            x = gmres(apply, y, tol=1e-13, atol=0.0, restart=30, maxiter=12, solve_method="batched")[0]
            x = gmres(apply, y, x, tol=1e-12, atol=0.0, restart=60, maxiter=60, solve_method="batched")[0]
        error = jnp.linalg.norm((y - apply(x)).ravel())
        return jnp.where(error <= RESIDUAL * jnp.linalg.norm(y.ravel()), x, jnp.nan)

    return lax.custom_linear_solve(matvec, right, solve, solve)


def anderson(apply: Any, right: Any, window: int = WINDOW, tolerance: float = 1e-12) -> Any:
    r"""The solution of $A x = b$, $A = 1 - S$, by Anderson acceleration of the turns $x \to b + S x$.

    $x_{k+1} = x_k + r_k - (\Delta X + \Delta R)\,\gamma$ with $\gamma$ the least squares solution of
    $\Delta R\,\gamma = r_k$, $r = b - A x$, over the last changes of $x$ and $r$.

    Args:
        apply: $A$.
        right: $b$.
        window: number of changes.
        tolerance: residual to reach, relative to $b$.

    Source: Walker and Ni, SIAM J. Numer. Anal. 49, 1715 (2011).
    """
    goal = tolerance * jnp.linalg.norm(right.ravel())

    def turn(carry: tuple) -> tuple:
        k, x, r, dx, dr = carry
        q, square = jnp.linalg.qr(dr.T)
        gamma = jnp.linalg.lstsq(square, q.T @ r.ravel())[0]
        new = x + r - ((dx + dr).T @ gamma).reshape(x.shape)
        left = right - apply(new)
        at = k % window
        return k + 1, new, left, dx.at[at].set((new - x).ravel()), dr.at[at].set((left - r).ravel())

    def going(carry: tuple) -> Any:
        return (carry[0] < MOST) & (jnp.linalg.norm(carry[2].ravel()) > goal)

    none = jnp.zeros((window, right.size), right.dtype)
    return lax.while_loop(going, turn, (jnp.array(0), right, right - apply(right), none, none))[1]


def largest(matvec: Any, vector: np.ndarray, size: int) -> float:
    """Largest absolute eigenvalue of a linear map, by Arnoldi iteration; by many turns where that does not converge."""
    if size < 20:
        return float(np.max(np.abs(np.linalg.eigvals(np.stack([matvec(e) for e in np.eye(size)], axis=1)))))
    system = scipy.sparse.linalg.LinearOperator((size, size), matvec=matvec, dtype=float)  # type: ignore[call-arg]
    try:
        settings: Any = {"v0": vector, "ncv": min(30, size), "maxiter": 20, "tol": 1e-10, "return_eigenvectors": False}
        return float(np.abs(scipy.sparse.linalg.eigs(system, 1, **settings)[0]))
    except scipy.sparse.linalg.ArpackNoConvergence:
        pass
    log, turns = 0.0, 1000
    for i in range(turns):
        vector = matvec(vector)
        norm = np.linalg.norm(vector)
        if norm == 0.0:
            return 0.0
        vector, log = vector / norm, log + (np.log(norm) if i >= turns // 2 else 0.0)
    return float(np.exp(log / (turns - turns // 2)))
