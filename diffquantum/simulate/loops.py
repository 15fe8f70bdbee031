r"""Cycles of a loop as linear systems: $x = b + L x$, solved, not truncated.

Most programs reach only a small space. Its orthonormal basis $V$ is found once, for generic parameters: the span of
all that enters the cycle, closed under $L_\theta$ for all $\theta$ (so under its derivatives too). Then
$(1 - V^T L V)\, y = V^T b$ is a small dense system, block triangular in the moments. Larger ones are solved by GMRES on
the whole space. Derivatives use one more solve with the same matrix, whatever the mean number of turns.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.sparse.linalg
from jax import lax
from jax.scipy.sparse.linalg import gmres

from diffquantum.errors import TerminationError
from diffquantum.simulate.plan import Run, Stage

DENSE = 300  # largest reduced system
STORED = 2**24  # most numbers in one basis
RADIUS = 1 - 1e-8  # a larger spectral radius means that the loop does not end
RESIDUAL = 1e-9  # relative residual an iterative solution must reach
TURNS = 400  # turns whose growth is looked at
NOISE = 1e-13  # shorter vectors are rounding
NEW = 1e-9  # length of what a unit vector must have outside a basis to be a new direction


class Bases:
    """The basis of each cycle, grown while generic parameters run through the program (NumPy)."""

    def __init__(self):
        self.basis: dict[Stage, np.ndarray | None] = {}
        self.shapes: dict[Stage, tuple[int, ...]] = {}
        self.grown = False

    def solve(self, run: Run, stage: Stage, b: np.ndarray) -> np.ndarray:
        """Enlarge the basis so that it holds `b` and is closed at these parameters; then solve."""
        shape = self.shapes[stage] = b.shape[1:]
        if self.basis.setdefault(stage, np.zeros((0, int(np.prod(shape))))) is None:
            return _iterate(run, stage, b, 1e-2)
        self.add(stage, _rows(b), shape)
        pending, images = self.basis[stage], []
        while pending is not None and len(pending):
            images.append(_rows(stage.turn(run, pending.reshape(len(pending), *shape))))
            pending = self.add(stage, images[-1], shape)
        basis = self.basis[stage]
        if basis is None or not images:
            return b if not images else _iterate(run, stage, b, 1e-2)  # any vector of the reached space will do
        matrix = np.eye(len(basis)) - basis @ np.concatenate(images).T
        if 1.0 / np.linalg.cond(matrix, 1) < 1e-14:
            raise never_ends(1.0)
        return (np.linalg.solve(matrix, basis @ _rows(b).T).T @ basis).reshape(b.shape)

    def add(self, stage: Stage, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        """Add the directions of `rows` that are new; returns them, `None` if the basis has become too large.

        Moments are kept apart, so that the rounding of a large one does not reach the density matrix.
        """
        start = len(self.basis[stage])  # type: ignore[arg-type]
        for moment in range(shape[1]):
            basis = self.basis[stage]
            assert basis is not None
            part = np.zeros((len(rows), *shape))
            part[:, :, moment] = rows.reshape(len(rows), *shape)[:, :, moment]
            new = _directions(_rows(part), basis)
            if not len(new):
                continue
            self.grown = True
            if (len(basis) + len(new)) > DENSE or (len(basis) + len(new)) * basis.shape[1] > STORED:
                self.basis[stage] = None
                return None
            self.basis[stage] = np.concatenate([basis, new])
        return self.basis[stage][start:]  # type: ignore[index]


def _directions(rows: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Orthonormal directions of some rows that a basis lacks."""
    norms = np.linalg.norm(rows, axis=1)
    rows = rows[norms > NOISE] / norms[norms > NOISE, None]
    for _ in range(2):
        rows = rows - (rows @ basis.T) @ basis
    rows = rows[np.linalg.norm(rows, axis=1) > NEW]
    if not len(rows):
        return rows
    factors: Any = scipy.linalg.qr(rows.T, mode="economic", pivoting=True, check_finite=False)
    q, r, _ = factors
    new = q[:, np.abs(np.diag(r)) > NEW].T
    new = new - (new @ basis.T) @ basis
    return new / np.linalg.norm(new, axis=1, keepdims=True)


def _iterate(run: Run, stage: Stage, b: np.ndarray, tolerance: float = 1e-12) -> np.ndarray:
    """GMRES in NumPy, one right side after the other."""
    size = b[0].size

    def matvec(v: np.ndarray) -> np.ndarray:
        state = v.reshape(1, *b.shape[1:])
        return (state - stage.turn(run, state)).ravel()

    system = scipy.sparse.linalg.LinearOperator((size, size), matvec=matvec, dtype=float)  # type: ignore[call-arg]
    out = [scipy.sparse.linalg.gmres(system, x.ravel(), rtol=tolerance, atol=0.0, restart=60, maxiter=50)[0] for x in b]
    return np.array(out).reshape(b.shape)


@dataclasses.dataclass(frozen=True)
class Space:
    """The space a cycle reaches.

    Args:
        basis: orthonormal rows `[reached, components]`, each in one moment; `None` where it is too large to store.
        blocks: rows whose moments depend on each other and on earlier blocks only.
        moments: the moments of each block.
    """

    basis: Any
    blocks: tuple[slice, ...]
    moments: tuple[tuple[int, ...], ...]


def spaces(bases: Bases, order: list[list[int]]) -> dict[Stage, Space]:
    """Sort the rows of each basis by blocks of moments, given in an order of dependence."""
    out = {}
    for stage, basis in bases.basis.items():
        rows, blocks, start = [], [], 0
        if basis is not None:
            shape = bases.shapes[stage]
            parts = basis.reshape(len(basis), shape[0], shape[1], int(np.prod(shape[2:])))
            moment = np.argmax(np.sum(parts**2, axis=(1, 3)), axis=1)
            for block in order:
                chosen = [i for i in range(len(basis)) if moment[i] in block]
                if chosen:
                    rows += chosen
                    blocks.append(slice(start, start + len(chosen)))
                    start += len(chosen)
            basis = basis[rows]
        out[stage] = Space(basis, tuple(blocks), tuple(map(tuple, order)))
    return out


class _Dense:
    """Factors of $1 - V^T L V$, block by block.

    Args:
        image: $V^T L V$.
        blocks: its diagonal blocks; what is above them is zero.
        linear: `scipy.linalg` or `jax.scipy.linalg`.
        xp: `numpy` or `jax.numpy`.
    """

    def __init__(self, image: Any, blocks: tuple[slice, ...], linear: Any, xp: Any):
        self.image, self.blocks, self.linear, self.xp = image, blocks, linear, xp
        self.factors = [linear.lu_factor(xp.eye(b.stop - b.start) - image[b, b]) for b in blocks]

    def radius(self) -> Any:
        """The spectral radius of one turn."""
        radii = [spectral_radius(self.image[b, b], self.xp) for b in self.blocks]
        return self.xp.max(self.xp.stack(radii)) if radii else self.xp.zeros(())

    def solve(self, right: Any) -> Any:
        """The solution for rows of right sides `[batch, reached]`."""
        out: list[Any] = []
        for i, b in enumerate(self.blocks):
            y = right[:, b]
            for j, c in enumerate(self.blocks[:i]):
                y = y + out[j] @ self.image[b, c].T
            out.append(self.linear.lu_solve(self.factors[i], y.T).T)
        return self.xp.concatenate(out, axis=1) if out else right

    def solve_transposed(self, right: Any) -> Any:
        """The solution of the transposed system."""
        out: list[Any] = []
        for i in reversed(range(len(self.blocks))):
            b = self.blocks[i]
            y = right[:, b]
            for c, x in zip(self.blocks[:i:-1], out):
                y = y + x @ self.image[c, b]
            out.append(self.linear.lu_solve(self.factors[i], y.T, trans=1).T)
        return self.xp.concatenate(out[::-1], axis=1) if out else right


class HostSolver:
    """Solves cycles in NumPy and keeps the spectral radius of each; for reports and checks."""

    def __init__(self, spaces: dict[Stage, Space]):
        self.spaces = spaces
        self.radius: dict[Stage, float] = {}

    def solve(self, run: Run, stage: Stage, b: np.ndarray) -> np.ndarray:
        basis, run = self.spaces[stage].basis, dataclasses.replace(run, count=None)
        if basis is None:
            self.radius[stage] = max(_largest(run, stage, b, moments) for moments in self.spaces[stage].moments)
            x = _iterate(run, stage, b) if self.radius[stage] < RADIUS else np.full(b.shape, np.nan)
        else:
            dense = _Dense(reduced(run, stage, basis, b.shape[1:]), self.spaces[stage].blocks, scipy.linalg, np)
            self.radius[stage] = float(dense.radius())
            x = np.full(b.shape, np.nan)
            if self.radius[stage] < RADIUS:
                x = (dense.solve(_rows(b) @ basis.T) @ basis).reshape(b.shape)
        return x

    def size(self, stage: Stage) -> int:
        """Number of unknowns of a cycle; 0 where it is solved on the whole space."""
        basis = self.spaces[stage].basis
        return 0 if basis is None else len(basis)


def _largest(run: Run, stage: Stage, b: np.ndarray, moments: tuple[int, ...]) -> float:
    """Largest absolute eigenvalue of one turn on some moments, by Arnoldi iteration."""
    shape = (1, *b.shape[1:])
    keep = np.zeros((1, 1, shape[2]) + (1,) * (len(shape) - 3))
    keep[:, :, list(moments)] = 1.0

    def matvec(v: np.ndarray) -> np.ndarray:
        return (stage.turn(run, v.reshape(shape) * keep) * keep).ravel()

    size = int(np.prod(shape))
    system = scipy.sparse.linalg.LinearOperator((size, size), matvec=matvec, dtype=float)  # type: ignore[call-arg]
    start = b[:1].sum(axis=2, keepdims=True) * keep  # what enters the cycle, in these moments
    vector = matvec(np.broadcast_to(start, shape).ravel()) + np.broadcast_to(start, shape).ravel()
    try:
        settings: Any = {"v0": vector, "ncv": min(30, size), "maxiter": 20, "tol": 1e-10, "return_eigenvectors": False}
        values = scipy.sparse.linalg.eigs(system, 1, **settings)
    except scipy.sparse.linalg.ArpackNoConvergence:
        return _growth(matvec, vector)
    return float(np.abs(values[0]))


def _growth(matvec: Any, vector: np.ndarray, turns: int = 1000) -> float:
    """Growth of a vector in one turn, on average over the second half of many turns."""
    log, half = 0.0, turns // 2
    for i in range(turns):
        vector = matvec(vector)
        norm = np.linalg.norm(vector)
        if norm == 0.0:
            return 0.0
        vector, log = vector / norm, log + (np.log(norm) if i >= half else 0.0)
    return float(np.exp(log / (turns - half)))


class TraceSolver:
    """Solves cycles in JAX; differentiable through `lax.custom_linear_solve`.

    Factors are made once, from parameters whose derivative is stopped: only the product with the matrix carries
    derivatives. `radius` collects the spectral radius of each cycle (infinite where a solve failed).

    Args:
        spaces: the space each cycle reaches.
        scales: whether a payload variable is multiplied by a number that may exceed 1; then an equation of the whole
            space can have a solution though the mean does not exist, and the growth of many turns is looked at.
    """

    def __init__(self, spaces: dict[Stage, Space], scales: bool = False):
        self.spaces, self.scales = spaces, scales
        self.factors: dict[Stage, Any] = {}
        self.radius: list[Any] = []

    def solve(self, run: Run, stage: Stage, b: Any) -> Any:
        basis = self.spaces[stage].basis
        frozen = Run(run.xp, lax.stop_gradient(run.theta), self)
        if basis is None:
            return self.whole(run, frozen, stage, b)
        if stage not in self.factors:
            image = reduced(frozen, stage, basis, b.shape[1:])
            self.factors[stage] = _Dense(image, self.spaces[stage].blocks, jax.scipy.linalg, jnp)
            self.radius.append(self.factors[stage].radius())
        dense = self.factors[stage]

        def matvec(y: Any) -> Any:
            state = (y @ basis).reshape(b.shape)
            return y - _rows(stage.turn(run, state)) @ basis.T

        y = lax.custom_linear_solve(
            matvec,
            _rows(b) @ basis.T,
            lambda _, y: dense.solve(y),
            lambda _, y: dense.solve_transposed(y),
        )
        return (y @ basis).reshape(b.shape)

    def whole(self, run: Run, frozen: Run, stage: Stage, b: Any) -> Any:
        """GMRES on the whole space."""
        outer = stage not in self.factors
        if outer:
            stage.turn(frozen, b)  # factors of inner cycles belong to this level of the trace
            self.factors[stage] = ()

        def matvec(x: Any) -> Any:
            return x - stage.turn(run, x)

        def solve(apply: Any, y: Any) -> Any:
            x = gmres(apply, y, tol=1e-13, atol=0.0, restart=60, maxiter=60, solve_method="batched")[0]
            error = jnp.linalg.norm((y - apply(x)).ravel())
            return jnp.where(error <= RESIDUAL * jnp.linalg.norm(y.ravel()), x, jnp.nan)

        x = lax.custom_linear_solve(matvec, b, solve, solve)
        if outer:
            solved = jnp.all(jnp.isfinite(lax.stop_gradient(x)))
            self.radius.append(jnp.where(solved, self.growth(frozen, stage, b) if self.scales else 0.0, jnp.inf))
        return x

    def growth(self, frozen: Run, stage: Stage, b: Any) -> Any:
        """Growth of what enters a cycle in one turn, on average over the second half of many turns."""

        def turn(i: Any, carry: Any) -> Any:
            log, x = carry
            x = stage.turn(frozen, x)
            norm = jnp.sqrt(jnp.sum(x * x))
            safe = jnp.where(norm > 0.0, norm, 1.0)
            return log + jnp.where((i >= TURNS // 2) & (norm > 0.0), jnp.log(safe), 0.0), x / safe

        log, x = lax.fori_loop(0, TURNS, turn, (jnp.zeros(()), lax.stop_gradient(b)))
        return jnp.where(jnp.any(x != 0.0), jnp.exp(log / (TURNS - TURNS // 2)), 0.0)


def _rows(x: Any) -> Any:
    """Each state of a batch as one row."""
    return x.reshape(len(x), math.prod(x.shape[1:]))


def reduced(run: Run, stage: Stage, basis: Any, shape: tuple[int, ...]) -> Any:
    """One turn in the basis: $V^T L V$."""
    image = stage.turn(run, basis.reshape(len(basis), *shape))
    return basis @ _rows(image).T


def _norm(matrix: Any, xp: Any) -> Any:
    return xp.sqrt(xp.sum(matrix * matrix))


def _square(i: Any, carry: Any, xp: Any) -> Any:
    """One squaring of a normalised power, with the logarithm of its norm."""
    log, power, empty = carry
    norm = _norm(power, xp)
    empty = empty | (norm < 1e-200)
    norm = xp.where(empty, 1.0, norm)
    power = power / norm
    return log + xp.log(norm) * 0.5**i, power @ power, empty


def spectral_radius(matrix: Any, xp: Any = jnp) -> Any:
    """Largest absolute eigenvalue of a matrix, by repeated squaring (on every device, under jit, of defective ones)."""
    carry = (xp.zeros(()), matrix, xp.zeros((), bool))
    if xp is np:
        for i in range(44):
            carry = _square(i, carry, np)
    else:
        carry = lax.fori_loop(0, 44, functools.partial(_square, xp=xp), carry)
    log, power, empty = carry
    return xp.where(empty, 0.0, xp.exp(log + xp.log(xp.maximum(_norm(power, xp), 1e-300)) * 0.5**44))


def never_ends(radius: float, mass: float = 1.0) -> TerminationError:
    """The error for parameters at which a loop does not end."""
    lost = "" if radius > RADIUS else f", probability {mass:.10g} at the end"
    return TerminationError(
        "A loop of the program does not end with probability one, or its mean does not exist or cannot be resolved.",
        got=f"spectral radius {radius:.10g} of one turn{lost}",
        expected="a radius below 1 - 1e-8, and all probability at the end",
        try_="choose other parameters; near such points the mean number of turns grows without bound",
    )
