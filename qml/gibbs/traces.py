"""Hamiltonians from time traces of observables: forward-mode Jacobians and Levenberg-Marquardt steps."""

import functools
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml import linalg
from qml._core.errors import ConfigError, DataError
from qml._core.types import Array, Complex, Float
from qml.gibbs import engine
from qml.gibbs.learned import LearnedHamiltonian
from qml.gibbs.metric import inverse
from qml.gibbs.model import PauliGibbs
from qml.hilbert import AbstractHilbert
from qml.operator.strings import PauliStrings, merge, parse

_ORDER = 16  # of the Taylor series of one short step, whose norm is at most one
_SPACE = 2**14  # largest space: 14 sites


@final
class Traces(eqx.Module):
    r"""Measured expectation values $\langle\psi(t)|O_j|\psi(t)\rangle$ after a known start.

    Args:
        state: vectors $\psi(0)$ in basis order, one `[size]` or several `[starts, size]`.
        times: ascending, the first at least 0 `[times]`.
        observables: Pauli strings, letters in site order.
        values: `[times, observables]`, or `[starts, times, observables]` for several starts.
        errors: standard errors, a number or of the shape of the values; `None` estimates one from the residuals.

    Raises:
        DataError: arrays do not fit, are not finite, times do not ascend, errors are not positive, or a state is not
            normalised.
    """

    state: Complex[Array, "starts size"]
    times: Float[Array, " times"]
    values: Float[Array, "starts times observables"]
    weights: Float[Array, "starts times observables"]
    strings: PauliStrings = eqx.field(static=True)
    calibrated: bool = eqx.field(static=True)

    def __init__(self, state: Any, times: Any, observables: Any, values: Any, errors: Any = None):
        vectors, grid = np.atleast_2d(np.asarray(state, complex)), np.asarray(times, float)
        words, table = tuple(observables), np.asarray(values, float)
        table = table[None] if table.ndim == 2 else table
        sites = int(np.log2(max(vectors.shape[1], 1)))
        spread = np.asarray(1.0 if errors is None else errors, float)
        good = vectors.shape[1] == 2**sites and sites >= 1 and vectors.shape[1] <= _SPACE
        good = good and bool(np.all(np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-8))
        good = good and grid.ndim == 1 and grid.size > 0 and grid[0] >= 0 and bool(np.all(np.diff(grid) > 0))
        good = good and bool(words) and all(isinstance(w, str) and len(w) == sites for w in words)
        good = good and table.shape == (len(vectors), len(grid), len(words)) and bool(np.isfinite(table).all())
        good = good and spread.shape in ((), table.shape, table.shape[1:])
        if not good or not np.all(np.isfinite(spread) & (spread > 0)) or not np.all(np.isfinite(grid)):
            raise DataError(
                "Time traces are finite values of strings at ascending times after normalised states.",
                got=f"states {vectors.shape}, times {grid.shape}, {len(words)} strings, values {table.shape}, "
                f"errors {spread.shape}",
                expected="[starts, size], [times], values [starts, times, strings], errors above zero",
                try_="Traces(psi, times, ['ZI', 'XX'], values, errors=0.01)",
            )
        self.strings = merge(sites, [parse(word, range(sites), sites) for word in words])[0]
        self.state, self.times, self.values = jnp.asarray(vectors), jnp.asarray(grid), jnp.asarray(table)
        self.weights = jnp.broadcast_to(jnp.asarray(1 / spread), table.shape)
        self.calibrated = errors is not None


@final
class TraceFit(eqx.Module):
    """What time traces say of a Hamiltonian.

    Args:
        hamiltonian: coefficients with errors.
        chi_square: sum of squared residuals over their errors (residuals themselves where no errors were given).
        freedom: number of values less coefficients.
        steps: Levenberg-Marquardt steps taken.
        converged: the last step moved no coefficient.
    """

    hamiltonian: LearnedHamiltonian
    chi_square: float
    freedom: int
    steps: int
    converged: bool


def expectations(
    strings: PauliStrings, couplings: Array, traces: Traces, pieces: int
) -> Float[Array, "starts times observables"]:
    r"""$\langle O_j \rangle(t)$ under $H = \sum_k c_k P_k$; differentiable, in forward mode with few parameters.

    Args:
        strings: those of H.
        couplings: c.
        traces: starts, times and observables.
        pieces: short Taylor steps of each interval; H times an interval over them should be at most one.
    """

    def measure(psi: Array) -> Array:
        each = [engine.apply(_one(traces.strings, k), jnp.ones(1), psi) for k in range(len(traces.strings))]
        return jnp.stack([jnp.sum(psi.conj() * moved, axis=0).real for moved in each], axis=-1)

    def interval(psi: Array, span: Array) -> tuple[Array, Array]:
        def piece(psi: Array, _: None) -> tuple[Array, None]:
            def term(state: tuple, order: Array) -> tuple[tuple, None]:
                power, total = state
                power = -1j * span / pieces / order * engine.apply(strings, couplings, power)
                return (power, total + power), None

            return jax.lax.scan(term, (psi, psi), jnp.arange(1.0, _ORDER + 1))[0][1], None

        psi = jax.lax.scan(piece, psi, None, length=pieces)[0]
        return psi, measure(psi)

    spans = jnp.diff(traces.times, prepend=0.0)
    return jnp.moveaxis(jax.lax.scan(interval, traces.state.T, spans)[1], 1, 0)


def _one(strings: PauliStrings, k: int) -> PauliStrings:
    return PauliStrings(strings.n_sites, (strings.flips[k],), (strings.signs[k],))


@functools.partial(linalg.jitted, static_argnums=(0, 3))
def _system(strings: PauliStrings, couplings: Array, traces: Traces, pieces: int) -> tuple[Array, Array]:
    """Weighted residuals, and their Jacobian by forward mode."""

    def residuals(c: Array) -> Array:
        return ((expectations(strings, c, traces, pieces) - traces.values) * traces.weights).reshape(-1)

    return residuals(couplings), jax.jacfwd(residuals)(couplings)


def fit_traces(
    terms: Any, start: Any, traces: Traces, *, steps: int = 30, tolerance: float = 1e-10, hilbert: Any = None
) -> TraceFit:
    r"""Coefficients of $H = \sum_k c_k P_k$ from time traces: $d = -(J^T J + \mu\,\mathrm{diag} J^T J)^{-1} J^T r$.

    With fewer coefficients than values, forward mode is the cheap way to J. Errors are those of $(J^T J)^{-1}$, times
    the residual variance where the traces have no errors of their own.

    Args:
        terms: Pauli strings of H, letters in site order.
        start: first coefficients; far from the truth there may be other minima.
        traces: the data.
        steps: at most.
        tolerance: stop when no coefficient moves by more.
        hilbert: space of the answer; `None` is spins 1/2.

    Raises:
        ConfigError: steps or tolerance out of range.
        DataError: the strings have another number of sites than the states, or there is not one finite start for each.

    Example:
        >>> import numpy as np
        >>> from qml.gibbs import Traces, fit_traces
        >>> t = np.linspace(0.1, 1.0, 10)
        >>> data = Traces([1.0, 0.0], t, ["Z"], np.cos(2 * 0.8 * t)[:, None], errors=0.01)
        >>> print(fit_traces(["X"], [0.7], data).hamiltonian)
        0.8000(28) X0

    Source: Levenberg, Q. Appl. Math. 2, 164 (1944); Marquardt, J. SIAM 11, 431 (1963).
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1 or not tolerance >= 0:
        raise ConfigError(
            "Steps are counted, and a tolerance is not negative.",
            got=f"steps={steps}, tolerance={tolerance}",
            expected="steps >= 1, tolerance >= 0",
            try_="steps=30",
        )
    model, couplings = PauliGibbs(terms, hilbert=hilbert), np.asarray(start, float)
    fits = model.hilbert.n_sites == traces.strings.n_sites and couplings.shape == model.theta.shape
    if not fits or not np.all(np.isfinite(couplings)):
        raise DataError(
            "The Hamiltonian and the traces do not fit each other.",
            got=f"{model.hilbert.n_sites} sites, start of shape {couplings.shape}",
            expected=f"{traces.strings.n_sites} sites, {len(model.strings)} finite numbers",
            try_="one first coefficient for each string",
        )
    longest = float(jnp.max(jnp.diff(traces.times, prepend=0.0)))

    def at(c: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        pieces = 2 ** int(np.ceil(np.log2(max(longest * float(np.sum(np.abs(c))), 1.0))))
        r, jacobian = (np.asarray(a) for a in _system(model.strings, jnp.asarray(c), traces, pieces))
        return float(r @ r), r, jacobian

    mu, taken, moved = 1e-3, 0, np.inf
    value, r, jacobian = at(couplings)
    while taken < steps and moved > tolerance:
        gram = jacobian.T @ jacobian
        ridge = np.diag(mu * np.diagonal(gram) + 1e-14 * max(np.trace(gram), 1e-300))
        change = -np.linalg.solve(gram + ridge, jacobian.T @ r)
        trial = at(couplings + change)
        taken += 1
        if trial[0] < value:
            couplings, (value, r, jacobian), mu, moved = couplings + change, trial, mu / 10, np.max(np.abs(change))
        elif np.max(np.abs(change)) <= tolerance or mu > 1e8:
            moved = np.max(np.abs(change))
            break
        else:
            mu *= 10
    covariance = np.asarray(inverse(jnp.asarray(jacobian.T @ jacobian)))
    freedom = len(r) - len(couplings)
    if not traces.calibrated:
        covariance = covariance * (value / max(freedom, 1))
    space: AbstractHilbert = model.hilbert
    found = LearnedHamiltonian(jnp.asarray(couplings), jnp.asarray(covariance), strings=model.strings, hilbert=space)
    return TraceFit(found, value, freedom, taken, bool(moved <= tolerance))
