"""Finite temperature from a few random vectors, with error bars: the Lanczos method for traces."""

import functools
from collections.abc import Mapping
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ConvergenceError, DataError, ShapeError, SpaceError
from qml._core.types import Array, Float, RandomKey
from qml.estimate.stats import Stats
from qml.exact.fastmap import fast_map
from qml.exact.spectral import tridiagonal
from qml.exact.spectrum import prepared
from qml.hilbert import AbstractHilbert
from qml.operator import AbstractOperator

_KEPT_BYTES = 2**32  # Lanczos vectors of one random vector
_TRUNCATION = 1e-8  # largest relative error of a vector exp(-beta H / 2) |r>


@final
class FiniteTemperature(eqx.Module):
    r"""Thermal averages at some inverse temperatures ($k_B = 1$, entropy in nats), each a `Stats` of shape `[betas]`.

    The errors are those of a jackknife over the random vectors; numbers at different temperatures share the vectors,
    so they are correlated. `truncation` bounds the relative error of the vectors $e^{-\beta H/2}|r\rangle$.
    """

    betas: Float[Array, " betas"]
    log_partition: Stats
    energy: Stats
    specific_heat: Stats
    entropy: Stats
    observables: dict[str, Stats]
    truncation: Float[Array, " betas"]

    @property
    def free_energy(self) -> Stats:
        r"""$F = -\log Z / \beta$; not finite at $\beta = 0$."""
        return self.log_partition * (-1 / self.betas)


def finite_temperature(
    hamiltonian: AbstractOperator,
    betas: Any,
    observables: Mapping[str, Any] | None = None,
    *,
    key: RandomKey,
    vectors: int = 20,
    steps: int = 100,
    hilbert: AbstractHilbert | None = None,
) -> FiniteTemperature:
    r"""Thermal averages without a spectrum: $\mathrm{Tr}\, e^{-\beta H} O \approx \frac{D}{R} \sum_r \langle r|
    e^{-\beta H/2}\, O\, e^{-\beta H/2}|r\rangle$ with R random vectors in a space of D states.

    Lanczos from each vector gives $e^{-\beta H/2}|r\rangle$ at all temperatures at once. The symmetric form is right
    for any observable, whether it commutes with H or not, and has small errors at low temperature too (one vector is a
    thermal pure state). The relative error of log Z falls as $1/\sqrt{R\, Z_{\mathrm{eff}}}$ with
    $Z_{\mathrm{eff}} = \mathrm{Tr}\, e^{-\beta (H - E_0)}$: large systems need few vectors.

    Args:
        hamiltonian: Hermitian operator H with known coefficients.
        betas: inverse temperatures `[betas]`, at least 0, in units of 1/H.
        observables: Hermitian operators on the same space by name.
        key: typed key of the random vectors.
        vectors: number R of random vectors, at least 2.
        steps: Lanczos steps for each vector, at most the size of the space.
        hilbert: a space to work in instead of the operator's own: a canonical ensemble.

    Raises:
        SpaceError: an operator is not Hermitian or leaves the space, or the Lanczos vectors do not fit in memory.
        ShapeError: the betas are no list of numbers at least 0, or there are too few vectors or steps.
        DataError: the observables are not given by name.
        ConvergenceError: the largest beta needs more steps.
        PrecisionError: JAX runs in 32-bit mode.

    Example:
        >>> import jax
        >>> from qml.exact import finite_temperature
        >>> from qml.operator import PauliSum
        >>> h = PauliSum({"ZZ": -1.0, "XI": -0.5, "IX": -0.5})
        >>> found = finite_temperature(h, [0.0, 50.0], {"x": PauliSum({"XI": 1.0})}, key=jax.random.key(0))
        >>> round(float(found.log_partition.mean[0]), 10), round(float(found.energy.mean[1]), 6)
        (1.3862943611, -1.414214)

    Source:
        J. Jaklic, P. Prelovsek, Phys. Rev. B 49, 5065 (1994); M. Aichhorn et al., Phys. Rev. B 67, 161103 (2003).
    """
    hamiltonian = prepared(hamiltonian, hilbert, "finite_temperature")
    space = hamiltonian.hilbert
    grid = _checked_numbers(betas, vectors, steps)
    measured = {name: _checked(operator, space) for name, operator in _named(observables).items()}
    count = min(int(steps), space.size)
    dtype = np.result_type(hamiltonian.dtype, float)
    if count * space.size * dtype.itemsize > _KEPT_BYTES:
        raise SpaceError(
            "The Lanczos vectors do not fit in memory.",
            got=f"{count} vectors of {space.size} states",
            expected=f"at most {_KEPT_BYTES / 2**30:g} GiB",
            try_="fewer steps, or a smaller space",
        )
    keys = jax.random.split(key, vectors)
    maps = tuple(fast_map(operator) for operator in measured.values())
    lowest, moments, values, leaks = _run(fast_map(hamiltonian), maps, keys, grid, space.size, count, dtype.name)
    truncation = np.max(np.asarray(leaks), axis=0)
    if not np.all(truncation <= _TRUNCATION):
        raise ConvergenceError(
            "The Lanczos steps do not reach the lowest temperature.",
            got=f"a relative error of {np.max(truncation):.1e} at beta={grid[np.argmax(truncation)]:g}",
            expected=f"at most {_TRUNCATION:.0e}",
            try_=f"steps={2 * count}",
        )
    return _averages(grid, space.size, lowest, moments, values, tuple(measured), jnp.asarray(truncation))


@functools.partial(jax.jit, static_argnums=(4, 5, 6))
def _run(linear_map: Any, maps: tuple, keys: Array, betas: Array, size: int, steps: int, dtype: str) -> tuple:
    """For each random vector: lowest Ritz value, moments 0, 1, 2 of H and observables `[betas]` above it, errors."""

    def one(key: Array) -> tuple[Array, Array, Array, Array]:
        start = jax.random.normal(key, (size,), dtype)
        alphas, couplings, basis = tridiagonal(linear_map, start, steps, True)
        matrix = jnp.diag(alphas) + jnp.diag(couplings[:-1], 1) + jnp.diag(couplings[:-1], -1)
        # after the space of all products is exhausted come rows of zeros: their levels must not be the lowest
        dead = jnp.cumsum(couplings == 0) - (couplings == 0) > 0
        matrix = matrix + jnp.diag(jnp.where(dead, 1 + 4 * jnp.sum(jnp.abs(alphas) + couplings), 0))
        levels, rows = jnp.linalg.eigh(matrix)
        above = levels - levels[0]
        weights = rows[0] ** 2

        def at(beta: Array) -> tuple[Array, Array, Array]:
            boltzmann = weights * jnp.exp(-beta * above)
            moments = jnp.stack([jnp.sum(boltzmann * above**k) for k in range(3)])
            vector = (rows @ (rows[0] * jnp.exp(-beta * above / 2))).astype(basis.dtype) @ basis
            values = jnp.stack([jnp.vdot(vector, product(vector)).real for product in maps]) if maps else jnp.zeros(0)
            # |error| <= beta_m int_0^t |[exp(-s T)]_{m1}| ds, an entry of one sign, for t = beta / 2
            safe = jnp.where(above > 0, above, 1)
            grown = jnp.where(above > 0, -jnp.expm1(-beta / 2 * safe) / safe, beta / 2)
            leak = couplings[-1] * jnp.abs(jnp.sum(rows[-1] * rows[0] * grown)) / jnp.sqrt(moments[0])
            return moments, values, leak

        moments, values, leaks = jax.lax.map(at, betas)
        return levels[0], moments, values, leaks

    return jax.lax.map(one, keys)


@functools.partial(jax.jit, static_argnums=(1, 5))
def _averages(
    betas: Array, size: int, lowest: Array, moments: Array, values: Array, names: tuple[str, ...], truncation: Array
) -> FiniteTemperature:
    """Ratios of means over the random vectors, with jackknife errors."""
    base = jnp.min(lowest)
    shift = (lowest - base)[:, None]
    factor = jnp.exp(-betas[None, :] * shift)
    z, first, second = (moments[:, :, k] * factor for k in range(3))
    first, second = first + shift * z, second + 2 * shift * first + shift**2 * z
    values = values * factor[:, :, None]

    def numbers(mean: tuple[Array, ...]) -> tuple[Array, ...]:
        z, first, second, values = mean
        log_partition = jnp.log(z) + np.log(size) - betas * base
        energy = first / z
        heat = betas**2 * (second / z - energy**2)
        return log_partition, energy + base, heat, log_partition + betas * (energy + base), values / z[:, None]

    sums = (z, first, second, values)
    count = len(lowest)
    mean = numbers(tuple(jnp.mean(s, axis=0) for s in sums))
    left_out = jax.vmap(numbers)(tuple((jnp.sum(s, axis=0)[None] - s) / (count - 1) for s in sums))
    log_partition, energy, heat, entropy, observed = map(_jackknife, mean, left_out)
    found = {name: observed[:, k] for k, name in enumerate(names)}
    return FiniteTemperature(betas, log_partition, energy, heat, entropy, found, truncation)


def _jackknife(value: Array, left_out: Array) -> Stats:
    count = left_out.shape[0]
    centre = jnp.mean(left_out, axis=0)
    error = jnp.sqrt((count - 1) * jnp.mean((left_out - centre[None]) ** 2, axis=0))
    unbiased = count * value - (count - 1) * centre
    half, unknown = jnp.full(value.shape, 0.5), jnp.full(value.shape, jnp.nan)
    return Stats(unbiased, error, error**2 * count, half, unknown, jnp.array(count))


def _checked_numbers(betas: Any, vectors: int, steps: int) -> np.ndarray:
    grid = np.asarray(betas, float)
    if grid.ndim != 1 or not grid.size or not np.all((grid >= 0) & np.isfinite(grid)):
        raise ShapeError(
            "Inverse temperatures are a list of numbers that are not negative.",
            got=grid.tolist(),
            expected="[0.5, 1.0, ...]",
            try_="numpy.linspace(0, 4, 21)",
        )
    if vectors < 2 or steps < 1:
        raise ShapeError(
            "There are too few random vectors or steps.",
            got=f"vectors={vectors}, steps={steps}",
            expected="at least 2 vectors, for an error bar, and 1 step",
            try_="vectors=20, steps=100",
        )
    return grid


def _named(observables: Any) -> dict[str, AbstractOperator]:
    observables = {} if observables is None else observables
    if not isinstance(observables, Mapping) or not all(isinstance(o, AbstractOperator) for o in observables.values()):
        raise DataError(
            "Observables are operators by name.",
            got=type(observables).__name__,
            expected="a mapping of names to operators",
            try_='{"x": total(hilbert, "X")}',
        )
    return {str(name): operator for name, operator in observables.items()}


def _checked(operator: AbstractOperator, space: AbstractHilbert) -> AbstractOperator:
    if operator.hilbert == space:
        return prepared(operator, None, "finite_temperature")
    return prepared(operator, space, "finite_temperature")
