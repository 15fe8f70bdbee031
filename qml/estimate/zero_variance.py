"""V-score, and the energy of zero variance from a fit to several states."""

from collections.abc import Sequence
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import DataError
from qml._core.types import Array, Bool, Float, RandomKey
from qml.estimate.covariance import combine
from qml.estimate.samples import Samples
from qml.estimate.stats import Stats, format_error
from qml.estimate.uniform import degrees_of_freedom, infinite_temperature
from qml.hilbert import AbstractHilbert

_DRAWS = 2000
_STEPS = 60  # of the iteration for the slope; it converges within about ten


def v_score(
    hilbert: AbstractHilbert, samples: Samples, local: Any, hamiltonian: Any, *, size: float | int | None = None
) -> Stats:
    r"""V-score $N\,\mathrm{Var} H / (E - E_\infty)^2$ with its error: comparable between systems, 0 for an eigenstate.

    N counts the degrees of freedom: spins, and particles of fermions or bosons (their mean number over the space where
    it is not fixed). $E_\infty = \mathrm{Tr} H / \dim$ is taken over the space with its fixed totals, such as
    $U N_\uparrow N_\downarrow / N_{sites}$ for the Hubbard model, so the score does not change with the zero of energy.

    Args:
        hilbert: the space of the samples.
        samples: weighted configurations.
        local: local energies `[samples]`.
        hamiltonian: the Hermitian operator of the local energies; gives $E_\infty$, see `infinite_temperature`.
        size: N; `None` counts it.

    Returns:
        By the delta method, with the covariance of energy and variance.

    Raises:
        SpaceError: $E_\infty$ cannot be taken on this space.

    Example:
        >>> import jax.numpy as jnp
        >>> import qml
        >>> space = qml.hilbert.Spin(4)
        >>> state = qml.FullSumState((jnp.zeros(4), lambda params, x: x @ params), space)
        >>> print(state.v_score(qml.operator.Ising(space, qml.lattice.Chain(4), j=-0.5, h=1.0)))
        0.25

    Source: Wu et al., Science 386, 296 (2024), arXiv:2302.04919.
    """
    count = degrees_of_freedom(hilbert) if size is None else float(size)
    zero = infinite_temperature(hamiltonian, hilbert)
    return _v_score(samples, jnp.asarray(local), count, zero)


@jax.jit
def _v_score(samples: Samples, local: Array, size: Any, zero: Any) -> Stats:
    shifted = local - samples.mean(local).real  # no digits are lost where the energy is large
    energy = samples.mean(local).real

    def score(mean: dict) -> Array:
        return size * (mean["square"] - mean["shift"] ** 2) / (energy + mean["shift"] - zero) ** 2

    return combine(score, (samples, {"shift": shifted.real, "square": jnp.abs(shifted) ** 2}))


@final
class Extrapolation(eqx.Module):
    r"""The energy of zero variance, $E = E_0 + b\,\mathrm{Var}$.

    Args:
        energy: $E_0$.
        error: its standard deviation over the bootstrap.
        interval: central 95 % of the bootstrap.
        slope: b.
        chi_square: of the fit, for `points - 2` degrees of freedom; NaN where no point has an error.
        upper: True where $E_0$ lies below all energies, as it must for a trustworthy fit of a ground state.
    """

    energy: Float[Array, ""]
    error: Float[Array, ""]
    interval: Float[Array, " 2"]
    slope: Float[Array, ""]
    chi_square: Float[Array, ""]
    upper: Bool[Array, ""]

    def __str__(self) -> str:
        low, high = np.asarray(self.interval)
        return f"{format_error(float(self.energy), float(self.error))} in [{low:.8g}, {high:.8g}]"

    __repr__ = __str__


def extrapolate(
    energies: Sequence[Stats] | Stats,
    variances: Sequence[Stats] | Stats,
    *,
    key: RandomKey,
) -> Extrapolation:
    r"""The energy of zero variance from a straight line through several states of one family.

    $E = E_0 + b\,\mathrm{Var} H$ holds close to an eigenstate. The line is that of least
    $\chi^2 = \sum_i (E_i - E_0 - b V_i)^2 / (\sigma_{E,i}^2 + b^2 \sigma_{V,i}^2)$: both have errors. The bootstrap
    draws the points anew around the line with their errors, made larger where they do not explain the scatter
    ($\chi^2$ above its degrees of freedom: the states are not on one line). Exact points without errors get equal
    ones from the scatter.

    Args:
        energies: of at least 4 states.
        variances: $\langle H^2\rangle - \langle H\rangle^2$ of the same states, as `Stats` with their own errors.
        key: random key of the bootstrap.

    Raises:
        DataError: fewer than 4 states, or numbers that are not finite, or all variances equal.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from qml.estimate import Stats, extrapolate
        >>> variances = jnp.array([0.4, 0.3, 0.2, 0.1])
        >>> line = extrapolate(Stats.exact(-8.0 + 0.5 * variances), Stats.exact(variances), key=jax.random.key(0))
        >>> print(line.energy.round(9), line.slope.round(9))
        -8.0 0.5

    Source: York et al., Am. J. Phys. 72, 367 (2004) (straight line with errors in both coordinates).
    """
    (e, de), (v, dv) = (_points(p) for p in (energies, variances))
    numbers = np.concatenate([e, de, v, dv])
    if not len(e) == len(v) >= 4 or not np.all(np.isfinite(numbers)) or np.ptp(v) == 0:
        raise DataError(
            "An extrapolation to zero variance needs several states with different variances.",
            got=f"{len(e)} energies, {len(v)} variances between {v.min(initial=0):g} and {v.max(initial=0):g}",
            expected="at least 4 of each, finite numbers with errors",
            try_="states from one run at different steps, or networks of different size",
        )
    if np.any((de == 0) & (dv == 0)) and np.any((de > 0) | (dv > 0)):
        raise DataError(
            "Some points have errors and some have none.",
            got=f"errors of the energies {de.tolist()}",
            expected="errors for all points, or for none",
            try_="all states sampled, or all by full sum",
        )
    return _fit(jnp.asarray(e), jnp.asarray(v), jnp.asarray(de), jnp.asarray(dv), key)


def _points(points: Sequence[Stats] | Stats) -> tuple[np.ndarray, np.ndarray]:
    found = [points] if isinstance(points, Stats) else list(points)
    mean, error = (np.concatenate([np.ravel(np.real(getattr(p, f))) for p in found]) for f in ("mean", "error"))
    return mean.astype(float), error.astype(float)


@jax.jit
def _fit(e: Array, v: Array, de: Array, dv: Array, key: Array) -> Extrapolation:
    freedom = e.shape[0] - 2
    known = jnp.any((de > 0) | (dv > 0))
    de = jnp.where(known, de, 1.0)
    intercept, slope, x = _line(e, v, de, dv)
    chi = jnp.sum((e - intercept - slope * v) ** 2 / (de**2 + (slope * dv) ** 2))
    larger = jnp.sqrt(chi / freedom)
    scale = jnp.where(known, jnp.maximum(1.0, larger), larger)
    noise = scale * jax.random.normal(key, (2, _DRAWS, e.shape[0]))
    around = (intercept + slope * x)[None] + noise[0] * de[None]
    draws, _, _ = jax.vmap(_line, in_axes=(0, 0, None, None))(around, x[None] + noise[1] * dv[None], de, dv)
    interval = jnp.quantile(draws, jnp.array([0.025, 0.975]))
    chi = jnp.where(known, chi, jnp.nan)
    return Extrapolation(intercept, jnp.std(draws), interval, slope, chi, intercept < jnp.min(e))


def _line(e: Array, v: Array, de: Array, dv: Array) -> tuple[Array, Array, Array]:
    """Intercept, slope and the adjusted variances of York's line."""
    start = jnp.sum((v - v.mean()) * (e - e.mean())) / jnp.sum((v - v.mean()) ** 2)

    def parts(slope: Array) -> tuple[Array, Array, Array, Array]:
        w = 1 / (de**2 + (slope * dv) ** 2)
        w = w / jnp.sum(w)
        x, y = v - jnp.sum(w * v), e - jnp.sum(w * e)
        beta = w / jnp.max(w) * (de**2 * x + slope * dv**2 * y)
        return w, x, y, beta

    def improve(_: Any, slope: Array) -> Array:
        w, x, y, beta = parts(slope)
        return jnp.sum(w * beta * y) / jnp.sum(w * beta * x)

    slope = jax.lax.fori_loop(0, _STEPS, improve, start)
    w, _, _, _ = parts(slope)
    mean_v, mean_e = jnp.sum(w * v), jnp.sum(w * e)
    intercept = mean_e - slope * mean_v
    adjusted = v + (e - intercept - slope * v) * slope * dv**2 / (de**2 + (slope * dv) ** 2)
    return intercept, slope, adjusted
