"""Exact time evolution: Chebyshev expansion with a rigorous error bound, or driven with an estimated one."""

import functools
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from qml._core.errors import ShapeError
from qml._core.types import Array, Float, Inexact
from qml.exact.basis import SectorBasis
from qml.exact.fastmap import fast_map
from qml.exact.magnus import driven, prepared_drive
from qml.exact.sectormap import sector_map
from qml.exact.spectrum import prepared, sector_basis
from qml.linalg import krylov
from qml.operator import AbstractOperator, TimeDependent

_TOLERANCE, _DRIVEN = 1e-13, 1e-10  # of one step of a constant operator; of all steps of one that depends on time
_LONGEST = 3.0  # largest radius * time of one step in imaginary time, which keeps the small components


@final
class Evolution(eqx.Module):
    r"""State vectors at given times.

    In real time `vectors[i]` is $e^{-iHt_i} v$. In imaginary time it is $e^{-H t_i} v$ divided by its norm, and
    `log_norms[i]` is the logarithm of that norm. `error` is the sum of the errors of all steps, rounding aside: in real
    time a rigorous bound on the distance of every vector from the exact one; in imaginary time each step's error is
    relative to the vector it started from. Of an operator that depends on time, it is the sum of the estimated errors
    of all steps.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.exact import evolve
        >>> from qml.operator import PauliSum
        >>> run = evolve(PauliSum({"Z": 1.0}), jnp.array([2.0, 0.0]), [0.0, 1.0], imaginary=True)
        >>> run.vectors[1].tolist(), (run.log_norms - jnp.log(2.0)).round(12).tolist()
        ([1.0, 0.0], [0.0, -1.0])
    """

    times: Float[Array, " times"]
    vectors: Inexact[Array, "times size"]
    log_norms: Float[Array, " times"]
    error: Float[Array, ""]


def evolve(
    operator: AbstractOperator | TimeDependent,
    vector: Any,
    times: Any,
    *,
    sector: Any = None,
    imaginary: bool = False,
    tolerance: float | None = None,
) -> Evolution:
    r"""Evolution $e^{-iHt} v$, or in imaginary time $e^{-Ht} v$ normalised, at each of some times ($\hbar = 1$).

    With the spectrum in $[a - r, a + r]$ one step is
    $e^{-iHt} = e^{-iat} \sum_k (2 - \delta_{k0}) (-i)^k J_k(rt)\, T_k((H - a)/r)$, cut where the sum of all further
    coefficients is below the tolerance; as $|T_k| \le 1$ this bounds the error.

    An operator that depends on time is taken as well, for $\mathcal{T} e^{-i\int H dt}\, v$. A step of length h is a
    product of two exponentials of sums of H at its two Gauss points; what half steps change is the estimate of its
    error, from which h is chosen, and is used to extrapolate to sixth order.
    The functions are looked at in at least 32 steps over the whole time, at points that shorten where they
    vary: give times around pulses narrower than that.

    Args:
        operator: Hermitian operator with known coefficients, in units of inverse time; or a `TimeDependent`.
        vector: amplitudes `[size]` at time 0.
        times: ascending times `[times]`, in real time of any sign.
        sector: a `symmetries.Sector` or its `SectorBasis`: all vectors are in that basis.
        imaginary: evolve in imaginary time.
        tolerance: bound on the error of one step, relative to the norm of the vector, 1e-13 if left out. Of an
            operator that depends on time: estimated error at the last time, 1e-10 if left out.

    Returns:
        The vectors at the times, with the bound or the estimate.

    Raises:
        ShapeError: the vector does not fit, or the times are no ascending list (negative in imaginary time).
        SpaceError: the operator is not Hermitian.
        SymmetryError: the operator does not commute with the sector; the term that breaks it is named.
        ConvergenceError: no step in time is short enough for the functions in front of the operators.
        PrecisionError: JAX runs in 32-bit mode.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.exact import evolve, expect
        >>> from qml.operator import PauliSum, TimeDependent
        >>> run = evolve(PauliSum({"X": 1.0}), jnp.array([1.0, 0.0]), [0.0, jnp.pi / 4])
        >>> round(float(expect(run.vectors[1], PauliSum({"Y": 1.0}))), 12)
        -1.0
        >>> pulse = TimeDependent(None, [(jnp.sin, PauliSum({"X": jnp.pi / 8}))])  # area pi / 4 at time pi
        >>> run = evolve(pulse, jnp.array([1.0, 0.0]), [jnp.pi])
        >>> round(float(expect(run.vectors[0], PauliSum({"Y": 1.0}))), 9)
        -1.0

    Source:
        H. Tal-Ezer, R. Kosloff, J. Chem. Phys. 81, 3967 (1984); A. Alvermann, H. Fehske, J. Comput. Phys. 230, 5930
        (2011).
    """
    if isinstance(operator, TimeDependent):
        known = sector is None or isinstance(sector, SectorBasis)
        basis = sector if known else SectorBasis(operator.hilbert, sector)
        vector, grid = _checked(vector, times, operator.hilbert.size if basis is None else basis.size, imaginary)
        drive = prepared_drive(operator, basis, grid)
        return Evolution(jnp.asarray(grid), *driven(drive, vector, grid, bool(imaginary), tolerance or _DRIVEN))
    operator = prepared(operator, None, "evolve")
    basis = None if sector is None else sector_basis(operator, sector)
    vector, grid = _checked(vector, times, operator.hilbert.size if basis is None else basis.size, imaginary)
    tolerance = tolerance or _TOLERANCE
    centre, radius = operator.bound()
    radius = max(radius * (1 + 1e-12), 1e-300)
    lengths = np.diff(grid, prepend=0.0)
    parts = np.maximum(1, np.ceil(radius * lengths / _LONGEST)).astype(int) if imaginary else np.ones(len(grid), int)
    coefficients, cut = _coefficients(radius * lengths / parts, imaginary, tolerance)
    if not imaginary:
        coefficients = coefficients * np.exp(-1j * centre * lengths)[:, None]
    norm = jnp.linalg.norm(vector)
    linear_map = fast_map(operator) if basis is None else sector_map(operator, basis)
    dtype = jax.eval_shape(lambda m, v: m(v), linear_map, vector).dtype
    start = vector.astype(jnp.result_type(vector, dtype, operator.dtype, coefficients, float))
    vectors, shrinking = _run(linear_map, start, coefficients, parts, centre, radius, imaginary)
    log_norms = jnp.log(norm) + (
        shrinking + jnp.asarray((radius - centre) * grid) if imaginary else jnp.zeros(len(grid))
    )
    error = jnp.asarray(np.sum(parts * cut)) * (1.0 if imaginary else norm)
    return Evolution(jnp.asarray(grid), vectors, log_norms, error)


def _checked(vector: Any, times: Any, size: int, imaginary: bool) -> tuple[Array, np.ndarray]:
    vector, grid = jnp.asarray(vector), np.asarray(times, dtype=float)
    if vector.shape != (size,):
        raise ShapeError(
            "The vector does not fit the operator's space, or the sector.",
            got=f"shape {vector.shape}",
            expected=f"({size},)",
            try_="basis_vector(operator.hilbert, x), or SectorBasis.project of a vector",
        )
    if grid.ndim != 1 or not grid.size or np.any(np.diff(grid) < 0) or (imaginary and grid[0] < 0):
        raise ShapeError(
            "The times are not an ascending list.",
            got=grid.tolist(),
            expected="[0.0, 0.1, ...]" + (", none negative" if imaginary else ""),
            try_="numpy.linspace(0, 2, 21)",
        )
    return vector, grid


@functools.partial(jax.jit, static_argnums=6)
def _run(
    linear_map: krylov.Map, vector: Array, coefficients: Any, parts: Any, centre: Any, radius: Any, imaginary: bool
):
    """Vectors at the ends of the steps; in imaginary time normalised, with the logarithms of their norms."""

    def part(_: Any, state: tuple) -> tuple:
        vector, log_norm, row = state
        vector = krylov.chebyshev(linear_map, vector, row, centre, radius)
        if not imaginary:
            return vector, log_norm, row
        norm = jnp.linalg.norm(vector)
        return vector / norm, log_norm + jnp.log(norm), row

    def step(state: tuple, inputs: tuple) -> tuple:
        row, count = inputs
        vector, log_norm, _ = jax.lax.fori_loop(0, count, part, (*state, row))
        return (vector, log_norm), (vector, log_norm)

    if imaginary:
        vector = vector / jnp.linalg.norm(vector)
    start = (vector, jnp.zeros((), vector.real.dtype))
    return jax.lax.scan(step, start, (jnp.asarray(coefficients), jnp.asarray(parts)))[1]


def _coefficients(arguments: np.ndarray, imaginary: bool, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev coefficients `[steps, terms]` of one step for each argument, and the sum of what is left out."""
    largest = float(np.max(np.abs(arguments)))
    orders = np.arange(int(1.5 * largest) + 60)
    z = arguments[:, None]
    values = scipy.special.ive(orders, np.abs(z)) if imaginary else scipy.special.jv(orders, z)
    weights = np.where(orders == 0, 1, 2)[None, :] * values
    # a step in imaginary time is e^{-z} sum_k (-1)^k I_k T_k; it shrinks no vector by more than e^{-2 z}
    tail = np.cumsum(np.abs(weights[:, ::-1]), axis=1)[:, ::-1] * (np.exp(2 * np.abs(z)) if imaginary else 1.0)
    enough = np.all(tail <= tolerance, axis=0)
    count = max(2, int(np.argmax(enough)) if enough.any() else len(orders) - 1)
    signs = (-1.0) ** orders if imaginary else np.array([1, -1j, -1, 1j])[orders % 4]
    return (weights * signs[None, :])[:, :count], tail[:, count]
