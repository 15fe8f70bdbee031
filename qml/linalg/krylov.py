"""Krylov methods for Hermitian maps that are known only by their products: Lanczos and Chebyshev.

A map is any callable that is a pytree (an `equinox.Module`), so that its arrays are traced and one compiled program
serves all couplings. Lanczos keeps as much of its basis as is small, and does the steps of the rest twice.

One step is one program, called from a Python loop: on vectors worth it a call and the two numbers it gives back are
nothing beside a product, while a compiled loop over steps takes longer to compile than most runs last.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ConvergenceError
from qml._core.types import Array, Inexact
from qml.linalg.restarted import thick_restart

_CHUNK = 5  # Lanczos steps between two looks at the tridiagonal matrix
_LONGEST = 400  # steps of one run
_RESTARTS = 12
_GUARDS = 4  # runs beyond the wanted levels that may be used to resolve nearly degenerate ones
_AT_ONCE = 4  # levels taken from one run
_SPARE = 8  # rows kept for vectors beyond the wanted levels
_KEPT_BYTES = 2**27  # the first Lanczos vectors of a run are kept up to this size
_PIECE = 2**15  # entries of a vector that are added up at once, in the cache

Map = Callable[[Array], Array]


class Pairs(NamedTuple):
    """Approximate eigenpairs: values `[k]`, orthonormal vectors `[k, size]`, residual norms `[k]`."""

    values: np.ndarray
    vectors: Any
    residuals: np.ndarray


def lowest(
    linear_map: Map,
    size: int,
    count: int,
    dtype: np.dtype,
    seed: Any,
    tolerance: float,
    start: np.ndarray | None = None,
    block: int = 1,
) -> Pairs:
    r"""The `count` lowest eigenpairs of a Hermitian map, degenerate levels with their multiplicity.

    A run of Lanczos from a random vector in the complement of the known vectors gives up to four further ones. Its
    lowest level bounds what is left from below, so the levels are complete when the `count` lowest known ones do not
    exceed it: a degenerate level is found as often as it occurs. Levels closer than the tolerance mix; a
    Rayleigh-Ritz step in the span of all vectors separates them, and gives the residuals.

    Memory: for one level six vectors, and for each further one three more. A run also keeps the first 128 MiB of its
    basis; the steps beyond are done twice, the second time to add up the answers.

    Args:
        linear_map: Hermitian map on vectors `[size]`.
        size: length of the vectors.
        count: number of levels.
        dtype: dtype of the vectors.
        seed: of the random start vectors, an int or ints.
        tolerance: residual norm relative to the norm of the map.
        start: first vector of the first run, where one is known that is not orthogonal to the lowest level.
        block: vectors worked on at once; more than one begin with block Lanczos in thick restarts, which holds
            `2 count + 9 block` vectors. Then a run as above makes sure that no level is missing.

    Raises:
        ConvergenceError: a residual stays above the tolerance.

    Source:
        Y. Saad, Numerical Methods for Large Eigenvalue Problems (2011), chapters 5 and 6.
    """
    tolerance = max(tolerance, 100 * float(np.finfo(dtype).eps))
    rounds = min(count + _GUARDS, size)
    random = np.random.default_rng(seed)
    if count == 1 and block == 1:
        pairs, limit = _single(linear_map, _drawn(random, size, dtype) if start is None else start, tolerance)
        if pairs.residuals[0] <= limit:
            return pairs
    pairs = Pairs(
        np.zeros(0), np.zeros((0 if count == 1 and block == 1 else min(count + _SPARE, size), size), dtype), np.zeros(0)
    )
    settled, scale = 0, 0.0
    if block > 1 and count + 3 * block < size:
        first = np.stack([_drawn(random, size, dtype) for _ in range(block)])
        values, vectors, scale = thick_restart(linear_map, first, count, tolerance)
        pairs, settled = Pairs(values, vectors, np.zeros(count)), count
    for _ in range(rounds):
        free = size - len(pairs.values)
        if not free:
            break
        wanted = 1 if min(count - settled, free) < 2 else _AT_ONCE
        run = _Run(linear_map, pairs.vectors, wanted, free, tolerance)
        first = jax.device_put(_drawn(random, size, dtype)[None])
        found, bottom, norm = _levels(run, _orthonormal(run.locked, first)[0])
        scale = max(scale, norm)
        pairs = _polished(run, pairs, found, count, scale)
        settled = int(np.sum(pairs.values[:count] <= bottom + tolerance * scale))
        complete = settled == count or len(pairs.values) == size
        if complete and np.all(pairs.residuals[:count] <= tolerance * scale):
            return Pairs(pairs.values[:count], pairs.vectors[:count], pairs.residuals[:count])
    raise ConvergenceError(
        "Lanczos did not reach its tolerance.",
        got=f"residual norms {pairs.residuals[:count]} for levels {pairs.values[:count]}",
        expected=f"at most {tolerance * scale:.1e}",
        try_="a larger tolerance, or more levels (k=) where levels lie very close together",
    )


def _single(linear_map: Map, start: np.ndarray, tolerance: float) -> tuple[Pairs, float]:
    """The lowest level alone, restarted from itself while that helps: nearly all of it one program."""
    run = _Run(linear_map, np.zeros((0, len(start)), start.dtype), 1, len(start), tolerance)
    vector, best, energy = start / np.linalg.norm(start), np.inf, 0.0
    for _ in range(_RESTARTS + 1):
        found, _, norm = _levels(run, vector)
        vector = np.asarray(found[0]) / np.linalg.norm(found[0])
        first = next(_steps(run, vector))  # a first step from the vector itself gives its energy and its residual
        energy, residual = first.alpha, first.beta
        if residual <= tolerance * norm or residual > 0.5 * best:
            break
        best = residual
    return Pairs(np.array([energy]), jax.device_put(vector[None]), np.array([residual])), tolerance * norm


class _Run(NamedTuple):
    """What the runs of one round share: the known vectors, how many levels to look for and how many there are."""

    linear_map: Map
    locked: Any
    wanted: int
    free: int
    tolerance: float


def _polished(run: _Run, pairs: Pairs, found: list[Any], count: int, scale: float) -> Pairs:
    """Best eigenpairs with further vectors; runs from the poor ones of the lowest levels, while that helps."""
    known = len(pairs.values)
    vectors, rows = pairs.vectors, max(1, len(pairs.vectors))
    if known == rows or not len(vectors):  # room for the first vector, or for more than was expected
        rows = 1 if not known else min(rows + _SPARE, vectors.shape[1])
        more = jnp.zeros((rows - len(vectors), found[0].shape[0]), found[0].dtype)
        vectors = jnp.concatenate([vectors, more]) if known else more
    found = found[: rows - known]
    for row, vector in enumerate(found):
        vectors = _place(vectors, vector, known + row)
    known, best, limit = known + len(found), np.inf, run.tolerance * scale
    for _ in range(_RESTARTS + 1):
        values, vectors, residuals = (part[:rows] for part in _ritz(run.linear_map, vectors))
        pairs = Pairs(np.asarray(values[:known]), vectors, np.asarray(residuals[:known]))
        poor = np.flatnonzero(pairs.residuals[:count] > limit)
        worst = float(np.max(pairs.residuals[:count]))
        if not len(poor) or worst > 0.5 * best:
            break
        best = worst
        for row in poor:
            others = _place(vectors, jnp.zeros_like(vectors[row]), row) if rows > 1 else vectors[:0]
            again = _Run(run.linear_map, others, 1, vectors.shape[1] - known + 1, run.tolerance)
            vectors = _place(vectors, _levels(again, vectors[row])[0][0], row)
    return pairs


@jax.jit
def _place(vectors: Array, vector: Array, row: Any) -> Array:
    return jax.lax.dynamic_update_index_in_dim(vectors, vector, row, 0)


def _levels(run: _Run, start: Any) -> tuple[list[Any], float, float]:
    """Lowest levels in the complement of the known vectors: orthonormal vectors, a lower bound, the size of the map."""
    kept: list[_Step] = []
    alphas, betas, last, norm, ended = [], [], _LONGEST, 0.0, False
    import scipy.linalg

    for step in _steps(run, start):
        alphas.append(step.alpha)
        betas.append(step.beta)
        if start.nbytes * len(betas) <= _KEPT_BYTES:
            kept.append(step)
        norm = max(norm, abs(step.alpha) + 2 * step.beta)
        ended = step.beta <= 10 * np.finfo(start.dtype).eps * norm or len(alphas) == run.free
        if len(alphas) % _CHUNK and not ended and len(alphas) < last:
            continue
        levels = (0, min(run.wanted, len(alphas)) - 1)
        values, weights = scipy.linalg.eigh_tridiagonal(
            np.array(alphas), np.array(betas[:-1]), select="i", select_range=levels
        )
        errors = 0 * values if ended else betas[-1] * np.abs(weights[-1])
        good = np.asarray(errors <= 0.3 * run.tolerance * norm)
        if good[0] and last == _LONGEST:  # give the further levels half as many steps again
            last = min(last, len(alphas) * 3 // 2)
        if good.all() or len(alphas) >= last:
            break
    apart = np.diff(values, prepend=-np.inf) > 1e-9 * norm  # a second copy of a level in one run is a ghost
    take = np.asarray(good & apart)
    take[0] = True
    found = _combine(run, start, weights[:, take], kept)
    return list(found), float(values[0] - errors[0]), norm


class _Step(NamedTuple):
    """A Lanczos vector `scale * vector`, its diagonal element, and its coupling to the next one."""

    vector: Any
    scale: float
    alpha: float
    beta: float


def _steps(run: _Run, start: Any, done: Sequence[_Step] = ()) -> Iterator[_Step]:
    """Lanczos steps from a normalised vector in the complement of the known ones, until the next vector is zero.

    Where the first of them are known, from the last known one on.
    """
    last, vector, scale, coupling = np.zeros(start.shape, start.dtype), start, 1.0, 0.0
    if len(done) > 1:
        before, step = done[-2:]
        last, vector, scale, coupling = before.vector, step.vector, step.scale, before.beta * before.scale
    while True:
        rest, alpha, square = _step(run.linear_map, run.locked, last, vector, scale, coupling)
        beta = math.sqrt(float(square))
        yield _Step(vector, scale, scale * float(alpha), beta)
        if not beta:
            return
        last, vector, scale, coupling = vector, rest, 1 / beta, beta * scale


@jax.jit
def _step(linear_map: Map, locked: Array, last: Array, vector: Array, scale: Any, coupling: Any) -> tuple[Array, ...]:
    """The next vector, not normalised; the last one's product with its image, and the square of the next one's norm.

    Vectors are scaled where they are added up, and numbers between programs: every kernel costs time to compile.
    """
    image = _project(locked, scale * linear_map(vector) - coupling * last)
    alpha = jnp.vdot(vector, image).real
    rest = image - (alpha * scale * scale) * vector
    return rest, alpha, jnp.vdot(rest, rest).real


def _combine(run: _Run, start: Any, weights: np.ndarray, kept: list[_Step]) -> Any:
    """Orthonormal sums of the Lanczos vectors of a run: from those that are kept, and from the same steps once more."""
    total: Any = np.zeros((weights.shape[1], *start.shape), start.dtype)
    missing = len(weights) - len(kept)
    steps = itertools.chain(kept[:-1], _steps(run, start, kept)) if missing else kept
    for row, step in zip(weights, steps):
        row = (row * step.scale).astype(total.real.dtype)
        if _on_host(step.vector):
            _add_on_host(total, row, np.asarray(step.vector))
        else:
            total = _add(total, row, step.vector)
    return total if len(total) == 1 and not len(run.locked) else _orthonormal(run.locked, total)


def _add_on_host(total: np.ndarray, weights: np.ndarray, vector: np.ndarray) -> None:
    part = np.empty(min(_PIECE, len(vector)), vector.dtype)
    for start in range(0, len(vector), _PIECE):
        piece = vector[start : start + _PIECE]
        for row, weight in zip(total, weights):
            row[start : start + _PIECE] += np.multiply(piece, weight, out=part[: len(piece)])


def _on_host(vector: Any) -> bool:
    """True on a CPU, where NumPy reads the vector in place and nothing is compiled."""
    return isinstance(vector, np.ndarray) or next(iter(vector.devices())).platform == "cpu"


@functools.partial(jax.jit, donate_argnums=0)
def _add(total: Array, weights: Array, vector: Array) -> Array:
    return total + weights[:, None] * vector[None, :]


def _project(locked: Array, vector: Array) -> Array:
    return vector - (locked.conj() @ vector) @ locked if locked.shape[0] else vector


@jax.jit
def _orthonormal(locked: Array, vectors: Array) -> Array:
    """The rows made orthogonal to the known vectors and to each other, one after another and twice."""
    done: list[Array] = []
    for vector in vectors:
        for _ in range(2):
            vector = _project(locked, vector)
            for other in done:
                vector = vector - jnp.vdot(other, vector) * other
            norm = jnp.linalg.norm(vector)
            vector = vector / jnp.where(norm > 0, norm, 1)
        done.append(vector)
    return jnp.stack(done)


def _drawn(random: np.random.Generator, size: int, dtype: np.dtype) -> np.ndarray:
    parts = random.standard_normal((2 if np.issubdtype(dtype, np.complexfloating) else 1, size))
    return parts[0].astype(dtype) if len(parts) == 1 else (parts[0] + 1j * parts[1]).astype(dtype)


@jax.jit
def _ritz(linear_map: Map, vectors: Array) -> tuple[Array, Array, Array]:
    """Best eigenpairs in the span of orthonormal vectors, with true residual norms; rows of zeros come last."""
    if len(vectors) == 1:
        image = linear_map(vectors[0])
        value = jnp.vdot(vectors[0], image).real
        return value[None], vectors, jnp.linalg.norm(image - value * vectors[0])[None]
    images = jax.lax.map(linear_map, vectors)
    gram = vectors.conj() @ images.T
    empty = jnp.sum(jnp.abs(vectors), axis=1) == 0
    gram = gram + jnp.diag(jnp.where(empty, 4 * jnp.sum(jnp.abs(gram)) + 1, 0))
    values, rotation = jnp.linalg.eigh((gram + gram.conj().T) / 2)
    vectors, images = rotation.T @ vectors, rotation.T @ images
    return values, vectors, jnp.linalg.norm(images - values[:, None] * vectors, axis=1)


@jax.jit
def chebyshev(
    linear_map: Map, vector: Inexact[Array, " size"], coefficients: Array, centre: Array, radius: Array
) -> Array:
    r"""$\sum_k c_k T_k((A - a)/r)\, v$ by the three-term recurrence, for a map with spectrum in $[a - r, a + r]$.

    Args:
        linear_map: Hermitian map on vectors `[size]`.
        vector: the vector v.
        coefficients: $c_k$, at least two, real or complex.
        centre: a.
        radius: r > 0.
    """

    def scaled(v: Array) -> Array:
        return (linear_map(v) - centre * v) / radius

    def term(state: tuple, c: Array) -> tuple[tuple, None]:
        older, old, total = state
        new = 2 * scaled(old) - older
        return (old, new, total + c * new), None

    vector = vector.astype(jnp.result_type(vector, coefficients))
    first = scaled(vector).astype(vector.dtype)
    start = (vector, first, coefficients[0] * vector + coefficients[1] * first)
    return jax.lax.scan(term, start, coefficients[2:])[0][2]
