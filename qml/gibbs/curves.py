"""Thermodynamics at many temperatures from random vectors, the lowest levels taken out of them and added exactly."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml import linalg
from qml._core.errors import ConvergenceError, ShapeError, SpaceError
from qml._core.types import Array, Float, RandomKey
from qml.estimate.stats import Stats
from qml.exact.fastmap import fast_map
from qml.exact.spectral import tridiagonal
from qml.gibbs.vectors import jackknife
from qml.linalg.krylov import Map, lowest
from qml.operator import AbstractOperator

_LEVEL = 1e-8  # residuals of the levels; what is left of them in the random vectors counts with the square
_LOST = 1e-8  # largest relative error of a vector exp(-beta H / 2) |r>
_SMALLEST = 64  # states


@final
class ThermalCurves(eqx.Module):
    r"""Numbers of $e^{-\beta H}/Z$ at some inverse temperatures, each `[betas]`, with errors of a jackknife.

    Args:
        betas: inverse temperatures.
        log_partition: $\log Z$.
        energy: $\langle H \rangle$.
        entropy: in nats.
        heat_capacity: $\beta^2 (\langle H^2\rangle - \langle H\rangle^2)$.
        levels: the lowest levels, which have no error.
    """

    betas: Float[Array, " betas"]
    log_partition: Stats
    energy: Stats
    entropy: Stats
    heat_capacity: Stats
    levels: Float[Array, " levels"]


def thermal_curves(
    hamiltonian: AbstractOperator, betas: Any, *, key: RandomKey, vectors: int = 32, steps: int = 60, levels: int = 4
) -> ThermalCurves:
    r"""$\log Z$, energy, entropy and heat capacity from Lanczos steps on random vectors, without keeping any vector.

    $Z(\beta) = \sum_{k<L} e^{-\beta E_k} + (D - L)\, \overline{\langle r|e^{-\beta H}|r\rangle}$ with unit vectors r
    orthogonal to the lowest L levels. These are what random vectors estimate worst: at low temperature few states
    carry the sum, and their weight in a real vector follows chi-square with one degree of freedom. The variance of
    $\log Z$ falls from $2 Z(2\beta) / (R\, Z(\beta)^2)$ to that of the other states in the same sum.

    Args:
        hamiltonian: Hermitian H with known coefficients.
        betas: at least 0 `[betas]`.
        key: typed key of the random vectors; used up.
        vectors: R, at least 2.
        steps: Lanczos steps of each.
        levels: L, at least 0 and small against the number of states D; 0 is the plain estimate.

    Raises:
        SpaceError: the operator is not Hermitian, or its space has fewer than 64 states.
        ShapeError: a number is out of range.
        ConvergenceError: the largest beta needs more steps.

    Example:
        >>> import jax, qml
        >>> from qml.gibbs import thermal_curves
        >>> h = qml.operator.Ising(qml.hilbert.Spin(6), qml.lattice.Chain(6), j=-1.0, h=1.0)
        >>> found = thermal_curves(h, [0.0, 8.0], key=jax.random.key(0))
        >>> print(f"{found.log_partition.mean[0]:.6f} {found.energy.mean[1]:.2f}")
        4.158883 -7.70

    Source: Jaklic and Prelovsek, Phys. Rev. B 49, 5065 (1994); for exact low levels Morita and Tohyama, Phys. Rev.
    Research 2, 013205 (2020).
    """
    size = hamiltonian.hilbert.size
    if not hamiltonian.is_hermitian or size < _SMALLEST:
        raise SpaceError(
            "Thermal curves from random vectors need a Hermitian operator on many states.",
            got=f"Hermitian: {hamiltonian.is_hermitian}, {size} states",
            expected=f"a Hermitian operator, at least {_SMALLEST} states",
            try_="qml.exact.thermal_state for few states",
        )
    grid = np.asarray(betas, float)
    good = grid.ndim == 1 and grid.size and np.all(np.isfinite(grid) & (grid >= 0))
    if not good or vectors < 2 or steps < 1 or not 0 <= levels <= size // 8:
        raise ShapeError(
            "A number is out of range.",
            got=f"betas={np.array2string(grid)}, vectors={vectors}, steps={steps}, levels={levels}",
            expected=f"betas >= 0 in a list, vectors >= 2, steps >= 1, 0 <= levels <= {size // 8}",
            try_="betas=[0.5, 1.0], vectors=32, steps=60, levels=4",
        )
    product, dtype = fast_map(hamiltonian), np.result_type(hamiltonian.dtype, float)
    first, rest = jax.random.split(key)
    known, states = np.zeros(0), jnp.zeros((0, size), dtype)
    if levels:
        seed = np.asarray(jax.random.key_data(first)).tolist()
        known, states, _ = lowest(product, size, levels, dtype, seed, _LEVEL)
    numbers = _compiled(product, states, jnp.asarray(known), jax.random.split(rest, vectors), jnp.asarray(grid), steps)
    lost = np.max(np.asarray(numbers[-1]), axis=0)
    if not np.all(lost <= _LOST):
        raise ConvergenceError(
            "The Lanczos steps do not reach the lowest temperature.",
            got=f"a relative error of {lost.max():.1e} at beta={grid[np.argmax(lost)]:g}",
            expected=f"at most {_LOST:.0e}",
            try_=f"steps={2 * steps}",
        )
    logs, energy, entropy, capacity, _ = numbers
    return ThermalCurves(jnp.asarray(grid), logs, energy, entropy, capacity, jnp.asarray(known))


def _curves(product: Map, states: Array, known: Array, keys: Array, betas: Array, steps: int) -> tuple[Any, ...]:
    """The four numbers, and the relative error of each vector at each temperature."""
    size, count = states.shape[1], states.shape[0]

    def one(key: Array) -> tuple[Array, ...]:
        start = jax.random.normal(key, (size,), states.dtype)
        for _ in range(2 if count else 0):
            start = start - (states.conj() @ start) @ states
        alphas, couplings, _ = tridiagonal(product, start, min(steps, size - count), False)
        matrix = jnp.diag(alphas) + jnp.diag(couplings[:-1], 1) + jnp.diag(couplings[:-1], -1)
        dead = jnp.cumsum(couplings == 0) - (couplings == 0) > 0  # rows of zeros after the space is exhausted
        matrix = matrix + jnp.diag(jnp.where(dead, 1 + 4 * jnp.sum(jnp.abs(alphas) + couplings), 0))
        values, rows = jnp.linalg.eigh(matrix)
        return values, rows[0] ** 2, rows[-1] * rows[0], couplings[-1]

    values, weights, ends, last = jax.lax.map(one, keys)
    base = jnp.min(jnp.concatenate([known, values.reshape(-1)]))
    weights = weights * (size - count)

    def at(beta: Array) -> tuple[Array, Array]:
        def moments(weights: Array, above: Array) -> Array:
            boltzmann = weights * jnp.exp(-beta * above)
            return jnp.stack([jnp.sum(boltzmann * above**k, axis=-1) for k in range(3)], axis=-1)

        above = values - base
        parts = moments(weights, above)
        # |error| <= beta_m int_0^t |[exp(-s T)]_{m1}| ds, an entry of one sign, for t = beta / 2
        low = values - values[:, :1]
        safe = jnp.where(low > 0, low, 1.0)
        grown = jnp.where(low > 0, -jnp.expm1(-beta / 2 * safe) / safe, beta / 2)
        alone = jnp.sum(weights * jnp.exp(-beta * low), axis=1) / (size - count)
        lost = last * jnp.abs(jnp.sum(ends * grown, axis=1)) / jnp.sqrt(alone)
        return parts + moments(jnp.ones_like(known), known - base)[None, :], lost

    parts, lost = jax.lax.map(at, betas)  # [betas, vectors, 3]

    def numbers(mean: Array) -> Array:
        z, first, second = mean[:, 0], mean[:, 1], mean[:, 2]
        logs, energy = jnp.log(z) - betas * base, first / z
        capacity = betas**2 * (second / z - energy**2)
        return jnp.stack([logs, energy + base, logs + betas * (energy + base), capacity])

    found = jackknife(numbers, (jnp.moveaxis(parts, 1, 0),))
    return *(found[k] for k in range(4)), lost.T


_compiled = linalg.jitted(_curves, static_argnums=5)
