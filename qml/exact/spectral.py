"""Spectral functions of ground states by Lanczos, with a bound on their error at every frequency."""

import functools
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from qml._core.errors import ShapeError, SpaceError
from qml._core.types import Array, Complex, Float
from qml.exact.basis import SectorBasis
from qml.exact.between import images
from qml.exact.fastmap import fast_map
from qml.exact.sectormap import sector_map
from qml.exact.spectrum import dense_eigh, prepared, sector_basis, sector_matrix
from qml.exact.transitions import amplitudes, ground_level, product, target_space, whole_vectors
from qml.hilbert import AbstractHilbert
from qml.linalg.krylov import Map
from qml.operator import AbstractOperator

_KEPT_BYTES = 2**31  # Lanczos vectors are kept, and made orthogonal to each other, up to this size
_DENSE = 256  # sectors up to this size are diagonalised whole
_NOTHING = 1e-14  # part of A|0> that is rounding


@final
class SpectralFunction(eqx.Module):
    r"""Poles and weights of $A(\omega) = \sum_n |\langle n|A|0\rangle|^2\, \delta(\omega - \omega_n)$.

    `poles` are Ritz values: those of large weight at the edges of the spectrum are excitation energies, those inside
    a dense spectrum stand for all levels near them. `values` are $A(\omega)$ with broadening $\eta$ at the
    frequencies asked for, and `error` bounds their distance from the exact ones, rounding aside. `total` is
    $\langle 0|A^\dagger A|0\rangle = \int A\, d\omega$. Of a degenerate ground state all is averaged over its vectors.

    Example:
        >>> from qml.exact import spectral_function
        >>> from qml.operator import PauliSum
        >>> found = spectral_function(PauliSum({"X": -1.0}), PauliSum({"Z": 1.0}))
        >>> float(found.moment(1).round(10)), complex(found.correlation([0.0])[0].round(10))
        (2.0, (1+0j))
    """

    omega: Float[Array, " frequencies"]
    values: Float[Array, " frequencies"]
    error: Float[Array, " frequencies"]
    poles: Float[Array, " poles"]
    weights: Float[Array, " poles"]
    leaks: Float[Array, "runs poles"]  # of each Lanczos run, on its own poles
    ground_energy: Float[Array, ""]
    hole: bool = eqx.field(static=True)

    @property
    def total(self) -> Float[Array, ""]:
        r"""The sum rule of order 0: $\langle 0|A^\dagger A|0\rangle$."""
        return jnp.sum(self.weights)

    def moment(self, order: int) -> Float[Array, ""]:
        r"""$\int \omega^k A(\omega)\, d\omega = \langle 0|A^\dagger (H - E_0)^k A|0\rangle$, exact for k < 2 steps."""
        return jnp.sum(self.weights * self.poles**order)

    def at(self, omega: Any, broadening: Any) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        r"""$A(\omega)$ and the bound on its error at other frequencies; differentiable, works under `jax.jit`.

        With $y = [(z - T)^{-1}]_{m1}$ after m steps the error is $\beta_m^2 y^2 G_{m+1,m+1}(z)$ for a unit vector,
        and $|G(\omega + i\eta)| \le 1/\eta$.
        """
        omega, eta = jnp.asarray(omega, float), jnp.asarray(broadening, float)
        z = omega[..., None] + 1j * eta[..., None]
        poles = jnp.broadcast_to(self.poles, (*omega.shape, self.poles.shape[0]))
        resolvent = 1 / (z - poles)
        values = -jnp.sum(jnp.broadcast_to(self.weights, poles.shape) * resolvent, axis=-1).imag / jnp.pi
        leak = resolvent @ self.leaks.T.astype(resolvent.dtype)
        return values, jnp.sum(jnp.abs(leak) ** 2, axis=-1) / (jnp.pi * eta)

    def correlation(self, times: Any) -> Complex[Array, " times"]:
        r"""$\langle 0|A^\dagger(t) A(0)|0\rangle = \sum_n w_n e^{-i\omega_n t}$; of the hole part the conjugate.

        Exact for times up to about (steps) / (half the width of the spectrum).
        """
        return jnp.exp(-1j * jnp.asarray(times, float)[:, None] * self.poles[None, :]) @ self.weights


def spectral_function(
    hamiltonian: AbstractOperator,
    operator: AbstractOperator,
    ground: Any = None,
    *,
    omega: Any = (),
    broadening: float | int = 0.1,
    steps: int = 200,
    hole: bool = False,
    sector: Any = None,
    target: Any = None,
) -> SpectralFunction:
    r"""The spectral function of an operator in the ground state, with its poles and weights.

    $A(\omega) = -\frac1\pi \mathrm{Im}\,\langle 0|A^\dagger (\omega + E_0 + i\eta - H)^{-1} A|0\rangle$,
    the mean over the vectors $|0\rangle$ of a degenerate ground state.

    Lanczos from $A|0\rangle$ gives a tridiagonal matrix T: its resolvent is the continued fraction of A, its
    eigenvalues are the poles. Vectors are made orthogonal to all earlier ones where they fit in 2 GiB; beyond that a
    pole may come as several close ones that share its weight, which leaves $A(\omega)$ as it is.

    The operator may lead to another space, as $S^+$ and $c^\dagger$ do: give it on the space of all configurations,
    and as `target` the space that holds $A|0\rangle$, so that no larger one is used. It may lead from one symmetry
    sector to others, as $S^z_q$ does: `sector` is where the ground state is looked for, `target` the sectors that hold
    $A|0\rangle$, and Lanczos runs in their bases. All rows of the irreps are counted, so that a target that holds
    $A|0\rangle$ gives what the whole space gives; one that does not is refused with the share that it holds. With
    both given no vector of the whole space is made, and an operator that every symmetry of the target turns into a
    multiple of itself, such as $S^z_q$, is looked at on one configuration of each orbit only.

    Args:
        hamiltonian: Hermitian operator H, with known coefficients, on the space of the ground state.
        operator: A, on the same sites and local states.
        ground: the ground state: a result of `ground_state` or `spectrum`, or one vector `[size]`, which is taken as
            it is; in the basis of the sector where there is one. `None` finds it. All vectors of the lowest level
            are averaged over, in a sector with their partners in its irrep (those on other arms of the star are other
            sectors). A result must hold a higher level to show that it holds them all; else they are found anew.
        omega: frequencies `[frequencies]` above the ground state, in units of H.
        broadening: $\eta > 0$.
        steps: Lanczos steps, at most the size of the space.
        hole: take $A^\dagger|0\rangle$ with poles at $-(E_n - E_0)$; added to the first part it is the spectral
            function of fermions (the anticommutator), subtracted that of bosons (the commutator).
        sector: a `symmetries.Sector` of the ground state, or its `SectorBasis`; `None` is the whole space.
        target: of $A|0\rangle$: a space; a `Sector` on the space that A leads to by itself, or a `SectorBasis` on any;
            or a list of those. `None` is the sector of the ground state, or where there is none the space of H where A
            stays in it, else that of the operator.

    Raises:
        SpaceError: H is not Hermitian, A leaves the target, or the spaces differ in sites or local states; or the
            ground state has more than 64 vectors.
        SymmetryError: H does not commute with a sector.
        ShapeError: the vector, the frequencies, the broadening or the steps do not fit.
        ConvergenceError: the given ground state is no eigenstate.
        PrecisionError: JAX runs in 32-bit mode.

    Example:
        >>> from qml.exact import spectral_function
        >>> from qml.operator import PauliSum
        >>> found = spectral_function(PauliSum({"X": -1.0}), PauliSum({"Z": 1.0}), omega=[2.0], broadening=0.1)
        >>> found.poles[:1].round(10).tolist(), round(float(found.values[0]), 6), float(found.total.round(10))
        ([2.0], 3.183099, 1.0)

    Source:
        E. R. Gagliano, C. A. Balseiro, Phys. Rev. Lett. 59, 2999 (1987).
    """
    hamiltonian = prepared(hamiltonian, None, "spectral_function")
    source = hamiltonian.hilbert
    frequencies = _checked_numbers(omega, broadening, steps)
    if operator.hilbert.site_states != source.site_states:
        raise SpaceError(
            "The operator acts on other sites than the Hamiltonian.",
            got=f"{operator.hilbert} for {source}",
            expected="the same sites and local states",
            try_="an operator on the space of all configurations of the same sites",
        )
    basis = None if sector is None else sector_basis(hamiltonian, sector)
    level = ground_level(hamiltonian, ground, basis)
    operator = operator.adjoint() if hole else operator  # type: ignore[attr-defined]
    space, goals = _targets(operator, source, basis if target is None else target)
    moved = hamiltonian if space == source else prepared(hamiltonian, space, "spectral_function")
    bases = [sector_basis(moved, goal) for goal in goals]
    methods = [_method(moved, goal, int(steps)) for goal in bases or [None]]
    if basis is not None and bases:
        starts = images(operator, basis, level.vectors, bases)
    else:
        vectors = level.vectors if basis is None else whole_vectors(basis, level.vectors)
        moves = (product(operator, vector, source, space) for vector in vectors)
        starts = [amplitudes(start, bases) if bases else [[start]] for start in moves]
    runs = []
    for parts in starts:
        norms = [[float(np.linalg.norm(row)) for row in rows] for rows in parts]
        small = _NOTHING * float(np.sqrt(sum(norm**2 for some in norms for norm in some)))
        runs += [m(r) for m, rows, some in zip(methods, parts, norms) for r, norm in zip(rows, some) if norm > small]
    found = _joined(runs, len(starts), level.energy, frequencies, bool(hole))
    values, error = _at(found, frequencies, float(broadening))
    return eqx.tree_at(lambda f: (f.values, f.error), found, (values, error))


def _targets(operator: AbstractOperator, source: AbstractHilbert, target: Any) -> tuple[AbstractHilbert, list]:
    """The space of the products, and the sectors in it."""
    if target is None or isinstance(target, AbstractHilbert):
        return target_space(operator, source, target), []
    goals = list(target) if isinstance(target, list | tuple) else [target]
    spaces = {goal.hilbert for goal in goals if isinstance(goal, SectorBasis)}
    if not goals or len(spaces) > 1:
        raise SpaceError(
            "The targets are no sectors of one space.",
            got=" and ".join(map(repr, spaces)) or "none",
            expected="sectors of the space of A|0>",
            try_="[SectorBasis(space, sector), ...] on one space",
        )
    space = target_space(operator, source, next(iter(spaces), None))
    return space, [goal if isinstance(goal, SectorBasis) else SectorBasis(space, goal) for goal in goals]


def _method(hamiltonian: AbstractOperator, basis: SectorBasis | None, steps: int) -> Any:
    """From a first vector to poles, weights and leaks: Lanczos, or all levels of a sector with fewer than steps."""
    if basis is None:
        return functools.partial(_chain, fast_map(hamiltonian), steps)
    if basis.size > min(steps, _DENSE):
        return functools.partial(_chain, sector_map(hamiltonian, basis), steps)
    levels, states = dense_eigh(sector_matrix(hamiltonian, basis))
    return lambda start: (levels, np.abs(states.conj().T @ np.asarray(start)) ** 2, np.zeros(len(levels)))


def _chain(linear_map: Map, steps: int, start: Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Poles, weights and leaks of a Lanczos run."""
    norm = float(np.linalg.norm(start))
    dtype = jax.eval_shape(lambda m, v: m(v), linear_map, start).dtype
    start, count = start.astype(jnp.result_type(start, dtype)), min(steps, len(start))
    alphas, betas, _ = tridiagonal(linear_map, start, count, start.nbytes * count <= _KEPT_BYTES)
    alphas, betas = np.asarray(alphas, float), np.asarray(betas, float)
    length = int(np.min(np.flatnonzero(betas == 0) + 1, initial=count))  # where the space of all products is exhausted
    ritz, rows = scipy.linalg.eigh_tridiagonal(alphas[:length], betas[: length - 1])
    return ritz, norm**2 * rows[0] ** 2, norm * betas[length - 1] * rows[0] * rows[-1]


def _joined(runs: list, count: int, energy: float, frequencies: Array, hole: bool) -> SpectralFunction:
    """The mean of runs from each of `count` vectors, without its values; one pole without weight if there is no run."""
    runs = runs or [(np.array([energy]), np.zeros(1), np.zeros(1))]
    levels = np.concatenate([run[0] for run in runs])
    order = np.argsort(levels, kind="stable")
    leaks = scipy.linalg.block_diag(*(run[2] for run in runs)) / np.sqrt(count)
    return SpectralFunction(
        omega=frequencies,
        values=jnp.zeros(frequencies.shape),
        error=jnp.zeros(frequencies.shape),
        poles=jnp.asarray((-1.0 if hole else 1.0) * (levels[order] - energy)),
        weights=jnp.asarray(np.concatenate([run[1] for run in runs])[order] / count),
        leaks=jnp.asarray(leaks[:, order]),
        ground_energy=jnp.asarray(energy),
        hole=hole,
    )


_at = jax.jit(lambda found, omega, broadening: found.at(omega, jnp.broadcast_to(broadening, omega.shape)))


@functools.partial(jax.jit, static_argnums=(2, 3))
def tridiagonal(linear_map: Map, start: Array, steps: int, keep: bool) -> tuple[Array, Array, Array]:
    """Lanczos steps of a Hermitian map: diagonal `[steps]`, couplings `[steps]` (the last one to the next vector).

    Where the space of all products is exhausted, the couplings, vectors and diagonal after it are zero.

    Args:
        linear_map: Hermitian map on vectors `[size]`.
        start: first vector, of any norm but zero.
        steps: number of steps.
        keep: make each vector orthogonal to all before, and return all of them `[steps, size]` (else none).
    """
    real = start.real.dtype
    start = start / jnp.linalg.norm(start)
    basis = jnp.zeros((steps if keep else 0, *start.shape), start.dtype)

    def step(state: tuple, k: Array) -> tuple[tuple, tuple]:
        previous, current, beta, scale, basis = state
        new = linear_map(current) - beta * previous
        alpha = jnp.vdot(current, new).real
        new = new - alpha * current
        if keep:
            basis = basis.at[k].set(current)
            for _ in range(2):
                new = new - (basis @ new.conj()).conj() @ basis
        size = jnp.linalg.norm(new)
        scale = jnp.maximum(scale, jnp.abs(alpha) + beta + size)
        beta = jnp.where(size > 500 * jnp.finfo(real).eps * scale, size, 0)
        new = jnp.where(beta > 0, new / jnp.where(beta > 0, beta, 1), 0)
        return (current, new.astype(start.dtype), beta.astype(real), scale, basis), (alpha, beta)

    state = (jnp.zeros_like(start), start, jnp.zeros((), real), jnp.zeros((), real), basis)
    (*_, basis), (alphas, betas) = jax.lax.scan(step, state, jnp.arange(steps))
    return alphas, betas, basis


def _checked_numbers(omega: Any, broadening: Any, steps: Any) -> Array:
    frequencies = np.asarray(omega, float)
    if frequencies.ndim != 1 or not np.all(np.isfinite(frequencies)) or not 0 < float(broadening) < np.inf:
        raise ShapeError(
            "A spectral function needs a list of frequencies and a positive broadening.",
            got=f"omega of shape {frequencies.shape}, broadening={broadening}",
            expected="finite omega [frequencies], broadening > 0",
            try_="omega=numpy.linspace(0, 8, 200), broadening=0.1",
        )
    if isinstance(steps, bool) or int(steps) != steps or steps < 1:
        raise ShapeError("There is no such number of steps.", got=steps, expected="an int >= 1", try_="steps=200")
    return jnp.asarray(frequencies)
