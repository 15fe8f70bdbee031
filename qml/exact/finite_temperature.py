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
from qml.exact.basis import SectorBasis
from qml.exact.fastmap import fast_map
from qml.exact.sectormap import sector_map
from qml.exact.spectral import tridiagonal
from qml.exact.spectrum import dense_eigh, prepared, sector_basis, sector_matrix
from qml.hilbert import AbstractHilbert
from qml.operator import AbstractOperator, check_commutes

_KEPT_BYTES = 2**32  # Lanczos vectors of one random vector
_DENSE = 256  # sectors up to this size are diagonalised whole
_TRUNCATION = 1e-8  # largest relative error of a vector exp(-beta H / 2) |r>


@final
class FiniteTemperature(eqx.Module):
    r"""Thermal averages at some inverse temperatures ($k_B = 1$, entropy in nats), each a `Stats` of shape `[betas]`.

    The errors are those of a jackknife over the random vectors; numbers at different temperatures share the vectors,
    so they are correlated. `truncation` bounds the relative error of the vectors $e^{-\beta H/2}|r\rangle$.

    Example:
        >>> import jax
        >>> from qml.exact import finite_temperature
        >>> from qml.operator import PauliSum
        >>> h = PauliSum({"ZZ": -1.0, "XI": -0.5, "IX": -0.5})
        >>> found = finite_temperature(h, [50.0], key=jax.random.key(0))
        >>> bool(abs(found.free_energy.mean[0] + 2**0.5) < 0.1), bool(found.truncation[0] < 1e-8)
        (True, True)
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
    sector: Any = None,
) -> FiniteTemperature:
    r"""Thermal averages without a spectrum: $\mathrm{Tr}\, e^{-\beta H} O \approx \frac{D}{R} \sum_r \langle r|
    e^{-\beta H/2}\, O\, e^{-\beta H/2}|r\rangle$ with R random vectors in a space of D states.

    Lanczos from each vector gives $e^{-\beta H/2}|r\rangle$ at all temperatures at once. The symmetric form is right
    for any observable, whether it commutes with H or not, and has small errors at low temperature too (one vector is a
    thermal pure state). The relative error of log Z falls as $1/\sqrt{R\, Z_{\mathrm{eff}}}$ with
    $Z_{\mathrm{eff}} = \mathrm{Tr}\, e^{-\beta (H - E_0)}$: large systems need few vectors.

    In a sector the traces are over its basis, every multiplet once, so that $Z = \sum_s |\mathrm{star}_s|\, d_s Z_s$. A
    list of sectors is taken together with these weights: all of them are the whole space, with less work and smaller
    errors, since every sector has its own random vectors. Sectors of up to 256 states are diagonalised, and have no
    error.

    Args:
        hamiltonian: Hermitian operator H with known coefficients.
        betas: inverse temperatures `[betas]`, at least 0, in units of 1/H.
        observables: Hermitian operators on the same space by name.
        key: typed key of the random vectors.
        vectors: number R of random vectors, at least 2.
        steps: Lanczos steps for each vector, at most the size of the space.
        hilbert: a space to work in instead of the operator's own: a canonical ensemble.
        sector: a `symmetries.Sector` to stay in, or its `SectorBasis`; or a list of those, the ensemble of all of
            them, each as often as `len(star) * dimension`. Observables have its symmetry: of others take the average
            over the group, `sum(...) / n`.

    Raises:
        SpaceError: an operator is not Hermitian or leaves the space, or the Lanczos vectors do not fit in memory.
        SymmetryError: an operator does not commute with a sector; the term that breaks it is named.
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
    if sector is None:
        pieces = [_piece(*_mapped(hamiltonian, measured, None), space.size, 1, key, vectors, steps, grid)]
    else:
        together = isinstance(sector, list | tuple)
        bases = [sector_basis(hamiltonian, one) for one in (sector if together else [sector])]
        pieces = [
            _in_sector(hamiltonian, measured, basis, together, one, vectors, steps, grid)
            for basis, one in zip(bases, jax.random.split(key, len(bases)))
            if basis.size
        ]
        _check_states(pieces, sector)
    truncation = np.max([np.max(np.asarray(piece.leaks), axis=0) for piece in pieces], axis=0)
    if not np.all(truncation <= _TRUNCATION):
        raise ConvergenceError(
            "The Lanczos steps do not reach the lowest temperature.",
            got=f"a relative error of {np.max(truncation):.1e} at beta={grid[np.argmax(truncation)]:g}",
            expected=f"at most {_TRUNCATION:.0e}",
            try_=f"steps={2 * steps}",
        )
    return _averages(grid, tuple(pieces), tuple(measured), jnp.asarray(truncation))


class _Piece(eqx.Module):
    """What the random vectors of one sector give: numbers above the lowest level each, and what they count for."""

    lowest: Float[Array, " vectors"]
    moments: Float[Array, "vectors betas 3"]
    values: Float[Array, "vectors betas observables"]
    leaks: Float[Array, "vectors betas"]
    weight: Float[Array, ""]  # the number of states that one vector stands for


def _mapped(hamiltonian: AbstractOperator, measured: dict, basis: SectorBasis | None) -> tuple[Any, tuple, np.dtype]:
    """The products with vectors of the Hamiltonian and of the observables, and the type of the vectors."""
    if basis is None:
        maps = [fast_map(operator) for operator in (hamiltonian, *measured.values())]
        return maps[0], tuple(maps[1:]), np.result_type(hamiltonian.dtype, float)
    maps = [sector_map(operator, basis) for operator in (hamiltonian, *measured.values())]
    return maps[0], tuple(maps[1:]), np.result_type(maps[0].values.dtype, maps[0].diagonal.dtype, float)


def _piece(
    linear_map: Any,
    maps: tuple,
    dtype: np.dtype,
    size: int,
    copies: int,
    key: RandomKey,
    vectors: int,
    steps: int,
    grid: np.ndarray,
) -> _Piece:
    """A space or sector by random vectors."""
    count = min(int(steps), size)
    if count * size * dtype.itemsize > _KEPT_BYTES:
        raise SpaceError(
            "The Lanczos vectors do not fit in memory.",
            got=f"{count} vectors of {size} states",
            expected=f"at most {_KEPT_BYTES / 2**30:g} GiB",
            try_="fewer steps, or a smaller space or sector",
        )
    keys = jax.random.split(key, vectors)
    lowest, moments, values, leaks = _run(linear_map, maps, keys, grid, size, count, dtype.name)
    return _Piece(lowest, moments, values, leaks, jnp.asarray(float(size * copies)))


def _in_sector(
    hamiltonian: AbstractOperator,
    measured: dict,
    basis: SectorBasis,
    together: bool,
    key: RandomKey,
    vectors: int,
    steps: int,
    grid: np.ndarray,
) -> _Piece:
    """One sector, by its whole spectrum where it is small; checked against the observables."""
    for operator in measured.values():
        check_commutes(operator, basis.sector)
    copies = len(basis.sector.star) * basis.sector.dimension if together else 1
    if basis.size > _DENSE:
        return _piece(*_mapped(hamiltonian, measured, basis), basis.size, copies, key, vectors, steps, grid)
    levels, states = dense_eigh(sector_matrix(hamiltonian, basis))
    above = levels - levels[0]
    boltzmann = np.exp(-grid[:, None] * above[None, :]) / basis.size
    moments = np.stack([boltzmann @ above**k for k in range(3)], axis=-1)
    means = [np.sum(states.conj() * (sector_matrix(o, basis) @ states), axis=0).real for o in measured.values()]
    values = boltzmann @ np.array(means).reshape(len(means), basis.size).T
    same = (np.full(vectors, levels[0]), *(np.repeat(a[None], vectors, axis=0) for a in (moments, values)))
    return _Piece(*map(jnp.asarray, (*same, np.zeros((vectors, len(grid))), float(basis.size * copies))))


def _check_states(pieces: list[_Piece], sector: Any) -> None:
    if not pieces:
        raise SpaceError(
            "The sector has no states.",
            got=sector,
            expected="a sector of the space of the Hamiltonian",
            try_="another sector",
        )


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


@functools.partial(jax.jit, static_argnums=2)
def _averages(betas: Array, pieces: tuple[_Piece, ...], names: tuple[str, ...], truncation: Array) -> FiniteTemperature:
    """Ratios of means over the random vectors, with jackknife errors; vector r of all sectors is one draw."""
    base = jnp.min(jnp.stack([jnp.min(piece.lowest) for piece in pieces]))
    size = jnp.sum(jnp.stack([piece.weight for piece in pieces]))

    def added(piece: _Piece) -> tuple[Array, ...]:
        shift = (piece.lowest - base)[:, None]
        factor = piece.weight / size * jnp.exp(-betas[None, :] * shift)
        z, first, second = (piece.moments[:, :, k] * factor for k in range(3))
        sums = (z, first + shift * z, second + 2 * shift * first + shift**2 * z)
        return *sums, piece.values * factor[:, :, None]

    z, first, second, values = (jnp.sum(jnp.stack(parts), axis=0) for parts in zip(*map(added, pieces)))

    def numbers(mean: tuple[Array, ...]) -> tuple[Array, ...]:
        z, first, second, values = mean
        log_partition = jnp.log(z) + jnp.log(size) - betas * base
        energy = first / z
        heat = betas**2 * (second / z - energy**2)
        return log_partition, energy + base, heat, log_partition + betas * (energy + base), values / z[:, None]

    sums = (z, first, second, values)
    count = z.shape[0]
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
    return Stats.independent(unbiased, error, count)


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
