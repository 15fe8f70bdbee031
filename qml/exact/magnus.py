"""Evolution under operators that depend on time: products of exponentials, with steps chosen from their error."""

import functools
from typing import Any, NamedTuple, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ConvergenceError, SpaceError
from qml._core.precision import require_x64
from qml._core.types import Array, Float
from qml.exact.basis import SectorBasis
from qml.exact.fastmap import fast_map
from qml.exact.sectormap import sector_map
from qml.exact.spectrum import sector_basis
from qml.linalg.krylov import Map
from qml.operator import TimeDependent

_NODES = (0.5 - np.sqrt(3) / 6, 0.5 + np.sqrt(3) / 6)  # Gauss points of a step
_WEIGHTS = (0.25 + np.sqrt(3) / 6, 0.25 - np.sqrt(3) / 6)
_POINTS = np.array([0, *(n / 2 for n in _NODES), 0.5, *(0.5 + n / 2 for n in _NODES), 1])
_RULE = np.linalg.solve(np.vander(_POINTS, increasing=True).T, 1 / np.arange(1, 8))  # an integral by these points
_RULE = _RULE - np.array([0, 0.25, 0.25, 0, 0.25, 0.25, 0])  # less that by the nodes of both half steps
_TERMS = 64  # of one exponential
_LONGEST = 6.0  # norm of the exponent of one step
_PARTS = 32  # fewest steps of the whole time
_SMALLEST = 1e-13  # of the whole time: a step below it is a stall
_FLOOR = 50 * np.finfo(float).eps  # an error of one step that is rounding
_JUMP = 1e-6  # of the whole time: a step below it is at a jump, and may err by
_AT_JUMPS = 0.01  # of the tolerance
_SAFETY, _SHRINK, _GROW = 0.85, 0.2, 4.0
_CHECKED = 7  # times at which the operator is checked to be Hermitian


@final
class Drive(eqx.Module):
    """The parts of an operator as maps, with the functions in front of them; the first has none if it is static."""

    maps: tuple[Map, ...]
    functions: tuple[Any, ...]
    shift: Float[Array, ""]  # of the static part, taken out
    radii: Float[Array, " parts"]

    def coefficients(self, t: Any) -> Array:
        """The numbers in front of the maps at a time."""
        ones = [jnp.ones(())] * (len(self.maps) - len(self.functions))
        return jnp.stack([jnp.asarray(c) for c in (*ones, *(f(t) for f in self.functions))])

    def product(self, weights: Array, vector: Array) -> Array:
        """The sum of the maps with some weights, times a vector."""
        total = weights[0] * (self.maps[0](vector) - self.shift * vector)
        for weight, linear_map in zip(weights[1:], self.maps[1:]):
            total = total + weight * linear_map(vector)
        return total


class _State(NamedTuple):
    vector: Array
    time: Array
    step: Array  # to try next, positive
    log_norm: Array
    error: Array
    stalled: Array


def prepared_drive(operator: TimeDependent, basis: SectorBasis | None, times: np.ndarray) -> Drive:
    """The parts of an operator as maps in its space or in a sector, after the checks.

    Raises:
        SpaceError: the operator is not Hermitian at one of some times.
        SymmetryError: a part does not commute with the sector.
        PrecisionError: JAX runs in 32-bit mode.
    """
    require_x64("exact.evolve")
    for t in np.linspace(min(0.0, times[0]), max(0.0, times[-1]), _CHECKED):
        if not operator(float(t)).is_hermitian:
            raise SpaceError(
                "Only a Hermitian operator keeps probabilities.",
                got=f"an operator that is not Hermitian at t={t:g}",
                expected="real functions of Hermitian operators, or (f, O) with (conj f, O.adjoint())",
                try_="TimeDependent(h, [(f, operator + operator.adjoint())])",
            )
    static: Any = [] if operator.static is None else [operator.static]
    parts = [*static, *operator.operators]
    for part in [] if basis is None else parts:
        sector_basis(part, basis)
    maps = tuple(fast_map(part) if basis is None else sector_map(part, basis) for part in parts)
    bounds = [part.bound() for part in parts]
    shift = bounds[0][0] if static else 0.0
    radii = [abs(centre - (shift if k == 0 else 0.0)) + radius for k, (centre, radius) in enumerate(bounds)]
    return Drive(maps, operator.functions, jnp.asarray(float(shift)), jnp.asarray(radii, float))


def driven(drive: Drive, vector: Array, times: np.ndarray, imaginary: bool, tolerance: float) -> tuple[Array, ...]:
    """Vectors at the times, the logarithms of their norms relative to the first, and the estimated error.

    Raises:
        ConvergenceError: the steps become too small.
    """
    span = max(float(np.max(np.abs(times - np.r_[0.0, times[:-1]]))), float(np.ptp(np.r_[0.0, times])))
    norm = jnp.linalg.norm(vector)
    dtypes = [jax.eval_shape(lambda m, v: m(v), linear_map, vector).dtype for linear_map in drive.maps]
    first = drive.coefficients(0.0)
    start = (vector / norm).astype(jnp.result_type(first, *dtypes, vector, float if imaginary else complex))
    vectors, log_norms, errors, stalled = _run(drive, start, times, span, tolerance, imaginary)
    if bool(jnp.any(stalled)):
        first = times[int(np.argmax(np.asarray(stalled)))]
        raise ConvergenceError(
            "The steps in time become too small.",
            got=f"no step of {_SMALLEST * span:.0e} reaches the tolerance before t={first:g}",
            expected="functions of time that are finite, and smooth but for a few jumps",
            try_="a larger tolerance",
        )
    if not imaginary:
        vectors = norm * jnp.exp(-1j * drive.shift * jnp.asarray(times))[:, None] * vectors
    log_norms = log_norms + jnp.log(norm) - (drive.shift * jnp.asarray(times) if imaginary else 0.0)
    return vectors, log_norms, errors[-1] * (1.0 if imaginary else norm)


@functools.partial(jax.jit, static_argnums=5)
def _run(drive: Drive, start: Array, times: Array, span: Any, tolerance: Any, imaginary: bool) -> tuple[Array, ...]:
    """Steps from time to time; each accepted one may err by its share of the tolerance."""
    factor = -1.0 if imaginary else -1j

    def advance(state: _State, end: Array) -> tuple[_State, tuple]:
        state = jax.lax.while_loop(lambda s: (s.time != end) & ~s.stalled, lambda s: one(s, end), state)
        return state, (state.vector, state.log_norm, state.error, state.stalled)

    def one(state: _State, end: Array) -> _State:
        left = jnp.abs(end - state.time)
        room = _LONGEST / jnp.maximum(jnp.abs(drive.coefficients(state.time)) @ drive.radii, 1e-300)
        tried = jnp.minimum(jnp.minimum(state.step, span / _PARTS), room)
        step = jnp.minimum(tried, left)
        h = jnp.where(end > state.time, step, -step)
        whole, size = _step(drive, state.vector, state.time, h, factor)
        half, _ = _step(drive, state.vector, state.time, h / 2, factor)
        half, _ = _step(drive, half, state.time + h / 2, h / 2, factor)
        gap = (half - whole) / 15
        new = half + gap  # the symmetric method errs in even powers: of sixth order
        norm = jnp.linalg.norm(new)
        unseen = jnp.linalg.norm(drive.product(_unseen(drive, state.time, h), state.vector))
        error = jnp.maximum(jnp.linalg.norm(gap) / norm, unseen)
        share = jnp.where(step < _JUMP * span, _AT_JUMPS, step / span)
        ratio = error / jnp.maximum(tolerance * share, _FLOOR)
        good = (ratio <= 1) & (size <= 2 * _LONGEST)
        change = jnp.clip(_SAFETY * jnp.maximum(ratio, 1e-12) ** -0.2, _SHRINK, _GROW)
        change = jnp.where(jnp.isfinite(ratio) & (size <= 2 * _LONGEST), change, _SHRINK)
        wanted = step * change
        wanted = jnp.where(good & (step < tried), jnp.maximum(wanted, tried), wanted)  # the end cut this step short
        return _State(
            jnp.where(good, new / norm, state.vector),
            jnp.where(good, jnp.where(step < left, state.time + h, end), state.time),
            wanted,
            state.log_norm + jnp.where(good & imaginary, jnp.log(norm), 0.0),
            state.error + jnp.where(good, error, 0.0),
            ~good & (wanted < _SMALLEST * span),
        )

    zero = jnp.zeros(())
    state = _State(start, zero, jnp.asarray(span / _PARTS), zero, zero, jnp.array(False))
    return jax.lax.scan(advance, state, jnp.asarray(times))[1]


def _step(drive: Drive, vector: Array, t: Array, h: Array, factor: complex | float) -> tuple[Array, Array]:
    """One step of fourth order by two exponentials, and a bound on the norm of the exponents."""
    one, two = (drive.coefficients(t + node * h) for node in _NODES)
    size = jnp.zeros(())
    for first, second in (_WEIGHTS, _WEIGHTS[::-1]):
        weights = h * (first * one + second * two)
        vector = _exponential(drive, weights, vector, factor)
        size = size + jnp.abs(weights) @ drive.radii
    return vector, size


def _unseen(drive: Drive, t: Array, h: Array) -> Array:
    """What other points add to the integrals of the functions: not zero wherever in the step a jump is."""
    return h * jnp.asarray(_RULE) @ jnp.stack([drive.coefficients(t + point * h) for point in _POINTS])


def _exponential(drive: Drive, weights: Array, vector: Array, factor: complex | float) -> Array:
    """The exponential of `factor` times a sum of the maps, by its series, ended where terms are rounding."""
    small = 0.5 * jnp.finfo(vector.dtype).eps * jnp.linalg.norm(vector)

    def going(state: tuple) -> Array:
        k, term, _ = state
        return (k <= _TERMS) & (jnp.linalg.norm(term) > small)

    def add(state: tuple) -> tuple:
        k, term, total = state
        term = (factor / k * drive.product(weights, term)).astype(vector.dtype)
        return k + 1, term, total + term

    return jax.lax.while_loop(going, add, (jnp.ones(()), vector, vector))[2]
