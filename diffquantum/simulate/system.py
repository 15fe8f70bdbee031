r"""The program as one linear system: $(1 - M(\theta))\, y = s$, solved, not truncated.

$M(\theta) = \sum_f n_f(\theta) M_f$ is sparse. The solution holds the state at every node of the graph, summed over all
turns of all loops. Derivatives of any order use the same matrix and its transpose, whatever the mean number of turns,
and all parameters together one adjoint.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
import scipy.sparse.linalg
from jax import lax

from diffquantum.simulate.graph import Graph
from diffquantum.simulate.reach import Coordinates

DENSE = 160  # unknowns of a system that is solved in JAX; larger ones are solved as sparse ones on the host


class System:
    """The linear system of a program.

    Args:
        graph: the explored program.
        space: the program in coordinates.
    """

    def __init__(self, graph: Graph, space: Coordinates):
        self.graph, self.space = graph, space
        visits = np.zeros(space.unknowns)
        for v in graph.heads():
            visits[space.of(v)] = space.traces[space.of(v)]
        self.visits = visits
        ends = np.zeros(space.unknowns)
        for v in graph.ends:
            ends[space.of(v)] = space.traces[space.of(v)]
        self.ends = ends

    # ------------------------------------------------------------------------------------------ on the host

    def matrix(self, numbers: np.ndarray) -> Any:
        r"""$M$ as a sparse matrix."""
        s = self.space
        return _sparse(s.rows, s.columns, s.values * numbers[s.which], s.unknowns)

    def solve(self, numbers: np.ndarray, adjoint: np.ndarray | None = None) -> np.ndarray:
        """The solution for the first input, or of the transposed system; not a number where there is none."""
        s, matrix = self.space, self.matrix(numbers)
        solve = functools.partial(_host_solve, rows=s.rows, columns=s.columns, data=s.values * numbers[s.which])
        if adjoint is not None:
            matrix = matrix.T
        right = s.start[:, 0] if adjoint is None else adjoint
        return _refined(lambda t, b: solve(t, right=b), adjoint is not None, lambda y: y - matrix @ y, right)

    def spectral_radius(self, numbers: np.ndarray) -> float:
        """Largest absolute eigenvalue of $M$."""
        s = self.space
        return float(_host_radius(s.unknowns, s.rows, s.columns, s.values * numbers[s.which]))

    def loop(self, number: int, numbers: np.ndarray, y: np.ndarray) -> tuple[float, float, int] | None:
        """Spectral radius, mean number of turns and unknowns of a loop of the text; `None` if it never goes round."""
        graph, space = self.graph, self.space
        first, stop = graph.loops[number]
        inside = [v for v, pc in enumerate(graph.places) if first <= pc < stop]
        heads = [v for v in graph.heads() if graph.places[v] == first]
        if not heads:
            return None
        m = self.matrix(numbers)
        h = np.concatenate([space.of(v) for v in heads])
        i = np.concatenate([space.of(v) for v in inside if v not in heads] or [np.zeros(0, int)]).astype(int)
        turn = m[h][:, h].toarray()
        if len(i):
            inner = scipy.sparse.identity(len(i), format="csc") - m[i][:, i]
            try:
                turn = turn + m[h][:, i] @ scipy.sparse.linalg.splu(inner).solve(m[i][:, h].toarray())
            except RuntimeError:  # singular: one of the loops inside never ends
                return np.inf, np.inf, len(h)
        radius = float(np.max(np.abs(np.linalg.eigvals(turn)), initial=0.0)) if np.all(np.isfinite(turn)) else np.inf
        visits = float(space.traces[h] @ y[h])
        outside = np.setdiff1d(np.arange(space.unknowns), np.concatenate([h, i]))
        entries = float(space.traces[h] @ (space.start[h, 0] + m[h][:, outside] @ y[outside]))
        return radius, visits - (entries if graph.bodies[number] else 0.0), len(h)

    # ------------------------------------------------------------------------------------------ in JAX

    def arrays(self) -> dict[str, np.ndarray]:
        """What a compiled solve needs beside the numbers."""
        s = self.space
        return {
            "rows": s.rows, "columns": s.columns, "which": s.which, "values": s.values,
            "start": s.start, "visits": self.visits, "ends": self.ends,
        }  # fmt: skip

    def flow(self, numbers: Any, arrays: dict, right: Any, transpose: bool = False) -> Any:
        r"""The solution of $(1 - M) y = b$, or of the transposed system, with all derivatives.

        Args:
            numbers: the numbers of the program `[numbers]`.
            arrays: see `arrays`.
            right: `[unknowns]`.
            transpose: solve with $M^T$.
        """
        rows, columns = (arrays["columns"], arrays["rows"]) if transpose else (arrays["rows"], arrays["columns"])
        data = arrays["values"] * numbers[arrays["which"]]
        still = lax.stop_gradient(data)

        def matvec(y: Any) -> Any:
            return y - jnp.zeros_like(y).at[rows].add(data * y[columns])

        if self.space.unknowns <= DENSE:
            matrix = jnp.eye(self.space.unknowns).at[rows, columns].add(-still)
            solve = functools.partial(_dense_solve, jax.scipy.linalg.lu_factor(matrix))
        else:
            solve = functools.partial(_outside, rows, columns, still)
        return lax.custom_linear_solve(
            matvec, right, functools.partial(_refined, solve, False), functools.partial(_refined, solve, True)
        )

    def radius(self, numbers: Any, arrays: dict) -> Any:
        """Largest absolute eigenvalue of $M$; its derivative is not defined."""
        data = lax.stop_gradient(arrays["values"] * numbers[arrays["which"]])
        size = self.space.unknowns
        like = jax.ShapeDtypeStruct((), data.dtype)
        call = functools.partial(_host_radius, size)
        return jax.pure_callback(call, like, arrays["rows"], arrays["columns"], data, vmap_method="sequential")


def _sparse(rows: np.ndarray, columns: np.ndarray, data: np.ndarray, size: int) -> Any:
    return scipy.sparse.csc_matrix((data, (rows, columns)), shape=(size, size))


def _refined(solve: Any, transpose: bool, apply: Any, right: Any) -> Any:
    """A solution and one step of refinement: moments of very different size meet in one system."""
    y = solve(transpose, right)
    return y + solve(transpose, right - apply(y))


def _dense_solve(factors: Any, transpose: bool, right: Any) -> Any:
    return jax.scipy.linalg.lu_solve(factors, right, trans=int(transpose))


def _outside(rows: Any, columns: Any, data: Any, transpose: bool, right: Any) -> Any:
    call = functools.partial(_host_solve, transpose)
    return jax.pure_callback(call, right, rows, columns, data, right, vmap_method="sequential")


@functools.lru_cache(maxsize=4)
def _factors(rows: bytes, columns: bytes, data: bytes, size: int) -> Any:
    """Sparse factors of $1 - M$; `None` where it is singular. A value and its derivatives ask for the same ones."""
    matrix = _sparse(np.frombuffer(rows, int), np.frombuffer(columns, int), np.frombuffer(data), size)
    matrix = scipy.sparse.identity(size, format="csc") - matrix
    try:
        return scipy.sparse.linalg.splu(matrix)
    except (RuntimeError, ValueError):
        return None


def _host_solve(transpose: bool, rows: Any, columns: Any, data: Any, right: Any) -> np.ndarray:
    rows, columns, data, right = (np.asarray(a) for a in (rows, columns, data, right))
    if not np.all(np.isfinite(data)):
        return np.full(right.shape, np.nan)
    factors = _factors(rows.astype(int).tobytes(), columns.astype(int).tobytes(), data.tobytes(), len(right))
    return np.full(right.shape, np.nan) if factors is None else factors.solve(right, trans="T" if transpose else "N")


def _host_radius(size: int, rows: Any, columns: Any, data: Any) -> np.ndarray:
    """Largest absolute eigenvalue, cycle by cycle."""
    m = _sparse(np.asarray(rows), np.asarray(columns), np.asarray(data), size)
    if not np.all(np.isfinite(m.data)):
        return np.array(np.inf)
    _, label = scipy.sparse.csgraph.connected_components(m, connection="strong")
    order = np.argsort(label, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(label))[:-1])
    radius = float(np.max(np.abs(m.diagonal()), initial=0.0))
    for group in groups:
        if len(group) > 1:
            found = float(np.max(np.abs(np.linalg.eigvals(m[group][:, group].toarray()))))
            radius = max(radius, found) if np.isfinite(found) else np.inf  # not a number where it overflows
    return np.array(radius)
