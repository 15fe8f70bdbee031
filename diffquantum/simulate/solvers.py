r"""Solvers of $x = b + S x$, $S$ being one sweep of a program: GMRES, Anderson acceleration, and $S$ as a matrix.

Krylov methods need few sweeps where a sweep loses much. A body that only turns the state, many thousand times, has its
whole spectrum on a circle just inside the unit circle, and nothing that only looks at some sweeps is of use:
there the sweep is written out as a matrix and factorised, as long as it has at most some thousand unknowns. Whatever
found it, the residual of a solution is its certificate: not a number where it is large.
"""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.sparse.linalg
from jax import lax
from jax.scipy.sparse.linalg import gmres

RESIDUAL = 1e-9  # relative residual a solution must reach
GOAL = 1e-12  # relative residual that is worked for
SOLVERS = ("gmres", "anderson")
WINDOW, MOST = 12, 2000  # earlier iterates that Anderson acceleration mixes, and sweeps at most
LARGEST = 8192  # most unknowns of a matrix that is factorised
STORED = 2**19  # numbers of the states that are swept at once to fill it


@dataclasses.dataclass(frozen=True, eq=False)
class Turn:
    """One sweep, a linear map of `[rows, moments, size]`.

    Args:
        sweep: function of the numbers of the program, states, and `numpy` or `jax.numpy`.
        numbers: the numbers.
        groups: moments that feed each other, without those that are always zero; a group is fed by others too.
        moments: number of moments.
        size: number of components.
        kept: the factors found last.
    """

    sweep: Callable
    numbers: Any
    groups: tuple[tuple[int, ...], ...]
    moments: int
    size: int
    kept: "Kept"

    @property
    def small(self) -> bool:
        """Whether it may be written out as a matrix."""
        return max(map(len, self.groups)) * self.size <= LARGEST

    def rest(self, x: Any, xp: Any) -> Any:
        """$(1 - S)\\, x$."""
        return x - self.sweep(self.numbers, x, xp)


class Kept:
    """The factors of one matrix, found last: a value and its derivatives ask for the same ones, one after another."""

    def __init__(self):
        self.lock, self.key, self.factors = threading.Lock(), b"", {}

    def find(self, turn: Turn, numbers: np.ndarray) -> dict[tuple[int, ...], Any]:
        with self.lock:
            if self.key != numbers.tobytes():
                self.key, self.factors = b"", {}  # frees the old ones
                self.factors = factorised(turn, numbers)
                self.key = numbers.tobytes()
            return self.factors


def factorised(turn: Turn, numbers: np.ndarray) -> dict[tuple[int, ...], Any]:
    """Factors of $1 - S$ within each group of moments, or `None` where it is singular."""
    found: dict[tuple[int, ...], Any] = {}
    marks: list[tuple[np.ndarray, tuple[int, ...]]] = []
    some = np.random.default_rng(0).normal(size=(max(map(len, turn.groups)), turn.size))
    for group in turn.groups:
        mark = within(turn, numbers, group, some[: len(group)].reshape(1, -1))
        twin = next((g for m, g in marks if m.shape == mark.shape and np.allclose(m, mark, 1e-13, 1e-15)), None)
        if twin is not None:  # a counter turns like the state itself
            found[group] = found[twin]
            continue
        marks.append((mark, group))
        count = len(group) * turn.size
        matrix = np.empty((count, count))
        step = max(1, STORED // (turn.moments * turn.size))
        for first in range(0, count, step):
            rows = np.zeros((min(step, count - first), count))
            rows[np.arange(len(rows)), first + np.arange(len(rows))] = 1.0
            matrix[first : first + len(rows)] = rows - within(turn, numbers, group, rows)
        found[group] = _lu(matrix)
    return found


def _lu(transposed: np.ndarray) -> Any:
    """Factors of a matrix whose transpose is given, in its place."""
    if not np.all(np.isfinite(transposed)):
        return None
    lapack: Any = scipy.linalg.lapack
    lu, pivots, info = lapack.dgetrf(transposed.T, overwrite_a=1)
    return (lu, pivots) if info == 0 else None


def within(turn: Turn, numbers: np.ndarray, group: tuple[int, ...], rows: np.ndarray) -> np.ndarray:
    """What a sweep makes of states `[rows, group * size]` of a group of moments, in that group."""
    x = np.zeros((len(rows), turn.moments, turn.size))
    x[:, list(group)] = rows.reshape(len(rows), len(group), turn.size)
    return turn.sweep(numbers, x, np)[:, list(group)].reshape(len(rows), -1)


def corrected(turn: Turn, transpose: bool, needed: Any, numbers: Any, left: Any) -> np.ndarray:
    """What to add to a solution with a residual: each group of moments solved without the others."""
    out = np.array(left)
    if not np.all(needed):
        return np.zeros_like(out)
    numbers = np.asarray(numbers)
    if not (np.all(np.isfinite(numbers)) and np.all(np.isfinite(out))):
        return np.full_like(out, np.nan)
    for group, factors in turn.kept.find(turn, numbers).items():
        part = out[:, list(group)].reshape(-1)
        if factors is None:
            return np.full_like(out, np.nan)
        part = scipy.linalg.lu_solve(factors, part, trans=int(transpose), check_finite=False)
        out[:, list(group)] = part.reshape(out.shape[0], len(group), turn.size)
    return out


# ---------------------------------------------------------------------------------------------------- in NumPy


def solve_host(turn: Turn, right: np.ndarray, solver: str) -> np.ndarray:
    """The solution in NumPy; not a number where the residual stays too large."""
    size = np.linalg.norm(right)

    def matvec(v: np.ndarray) -> np.ndarray:
        return turn.rest(v.reshape(right.shape), np).ravel()

    def iterated(x: np.ndarray | None, restart: int, times: int) -> np.ndarray:
        settings: Any = {"rtol": GOAL / 10, "atol": 0.0, "restart": restart, "maxiter": times}
        system: Any = scipy.sparse.linalg.LinearOperator((right.size,) * 2, matvec=matvec, dtype=float)  # type: ignore
        return scipy.sparse.linalg.gmres(system, right.ravel(), x, **settings)[0]

    x = anderson_host(matvec, right.ravel()) if solver == "anderson" else iterated(None, 30, 12)
    if not np.linalg.norm(right.ravel() - matvec(x)) <= GOAL * size:
        if turn.small:
            x = np.where(np.isfinite(x), x, 0.0)
            for _ in range(len(turn.groups) + 1):
                left = (right.ravel() - matvec(x)).reshape(right.shape)
                x = x + corrected(turn, False, True, turn.numbers, left).ravel()
        elif solver != "anderson":
            x = iterated(x, 60, 60)
    good = np.linalg.norm(right.ravel() - matvec(x)) <= RESIDUAL * size
    return x.reshape(right.shape) if good else np.full(right.shape, np.nan)


def anderson_host(matvec: Any, right: np.ndarray) -> np.ndarray:
    """`anderson` in NumPy."""
    x, r, dx, dr = right, right - matvec(right), [], []
    goal = GOAL * np.linalg.norm(right)
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


# ---------------------------------------------------------------------------------------------------- in JAX


def solve_traced(turn: Turn, right: Any, solver: str) -> Any:
    """The solution in JAX, with derivatives of any order; not a number where the residual stays too large."""
    still = lax.stop_gradient(turn.numbers)

    def solve(transpose: bool, apply: Any, y: Any) -> Any:
        size = jnp.linalg.norm(y.ravel())
        if solver == "anderson":
            x = anderson(apply, y)
        else:
            x = gmres(apply, y, tol=GOAL / 10, atol=0.0, restart=30, maxiter=12, solve_method="batched")[0]
            if not turn.small:
                x = gmres(apply, y, x, tol=GOAL, atol=0.0, restart=60, maxiter=60, solve_method="batched")[0]
        if turn.small:
            needed = ~(jnp.linalg.norm((y - apply(x)).ravel()) <= GOAL * size)

            def better(_: Any, x: Any) -> Any:
                left = y - apply(x)
                call = jax.pure_callback(
                    lambda *given: corrected(turn, transpose, *given),
                    left, needed, still, left, vmap_method="sequential",
                )  # fmt: skip
                return x + call

            x = jnp.where(jnp.isfinite(x), x, 0.0)
            x = lax.fori_loop(0, len(turn.groups) + 1, better, x)
        error = jnp.linalg.norm((y - apply(x)).ravel())
        return jnp.where(error <= RESIDUAL * size, x, jnp.nan)

    return lax.custom_linear_solve(
        lambda x: turn.rest(x, jnp), right, lambda a, y: solve(False, a, y), lambda a, y: solve(True, a, y)
    )


def anderson(apply: Any, right: Any, window: int = WINDOW, tolerance: float = GOAL) -> Any:
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


# ---------------------------------------------------------------------------------------------------- eigenvalues


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
    return growth(matvec, vector, 1000)


def growth(turn: Callable[[np.ndarray], np.ndarray], vector: np.ndarray, turns: int = 400) -> float:
    """Growth of a vector in one turn, on average over the second half of many."""
    log = 0.0
    for i in range(turns):
        vector = turn(vector)
        norm = np.linalg.norm(vector)
        if norm == 0.0:
            return 0.0
        vector, log = vector / norm, log + (np.log(norm) if i >= turns // 2 else 0.0)
    return float(np.exp(log / (turns - turns // 2)))
