"""Spectral functions of ground states by Lanczos, with a bound on their error at every frequency."""

import functools
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from qml._core.chunk import map_chunks
from qml._core.errors import ConvergenceError, ShapeError, SpaceError
from qml._core.types import Array, Complex, Float
from qml.exact.fastmap import fast_map
from qml.exact.spectrum import EigenResult, ground_state, prepared
from qml.hilbert import AbstractHilbert
from qml.linalg.krylov import Map
from qml.operator import AbstractOperator

_KEPT_BYTES = 2**31  # Lanczos vectors are kept, and made orthogonal to each other, up to this size
_CHUNK = 2**14
_EIGENSTATE = 1e-6  # largest residual of a given ground state, relative to the norm of H


@final
class SpectralFunction(eqx.Module):
    r"""Poles and weights of $A(\omega) = \sum_n |\langle n|A|0\rangle|^2\, \delta(\omega - \omega_n)$.

    `poles` are Ritz values: those of large weight at the edges of the spectrum are excitation energies, those inside
    a dense spectrum stand for all levels near them. `values` are $A(\omega)$ with broadening $\eta$ at the
    frequencies asked for, and `error` bounds their distance from the exact ones, rounding aside. `total` is
    $\langle 0|A^\dagger A|0\rangle = \int A\, d\omega$.
    """

    omega: Float[Array, " frequencies"]
    values: Float[Array, " frequencies"]
    error: Float[Array, " frequencies"]
    poles: Float[Array, " poles"]
    weights: Float[Array, " poles"]
    leaks: Float[Array, " poles"]
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
        leak = jnp.sum(jnp.broadcast_to(self.leaks, poles.shape) * resolvent, axis=-1)
        return values, jnp.abs(leak) ** 2 / (jnp.pi * eta)

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
    target: AbstractHilbert | None = None,
) -> SpectralFunction:
    r"""The spectral function of an operator in the ground state, with its poles and weights.

    $A(\omega) = -\frac1\pi \mathrm{Im}\,\langle 0|A^\dagger (\omega + E_0 + i\eta - H)^{-1} A|0\rangle$.

    Lanczos from $A|0\rangle$ gives a tridiagonal matrix T: its resolvent is the continued fraction of A, its
    eigenvalues are the poles. Vectors are made orthogonal to all earlier ones where they fit in 2 GiB; beyond that a
    pole may come as several close ones that share its weight, which leaves $A(\omega)$ as it is.

    The operator may lead to another space, as $S^+$ and $c^\dagger$ do: give it on the space of all configurations,
    and as `target` the space that holds $A|0\rangle$, so that no larger one is used.

    Args:
        hamiltonian: Hermitian operator H, with known coefficients, on the space of the ground state.
        operator: A, on the same sites and local states.
        ground: the ground state: a result of `ground_state` or `spectrum` (its first level), or a vector `[size]`.
            `None` finds it. Of a degenerate level one vector is taken: average over all of them where that matters.
        omega: frequencies `[frequencies]` above the ground state, in units of H.
        broadening: $\eta > 0$.
        steps: Lanczos steps, at most the size of the space.
        hole: take $A^\dagger|0\rangle$ with poles at $-(E_n - E_0)$; added to the first part it is the spectral
            function of fermions (the anticommutator), subtracted that of bosons (the commutator).
        target: space of $A|0\rangle$. `None` is the space of H where A stays in it, else that of the operator.

    Raises:
        SpaceError: H is not Hermitian, A leaves the target, or the spaces differ in sites or local states.
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
    energy, vector = _checked_ground(hamiltonian, ground)
    operator = operator.adjoint() if hole else operator  # type: ignore[attr-defined]
    space = _target(operator, source, target)
    start = _between(operator, vector, source, space)
    moved = hamiltonian if space == source else prepared(hamiltonian, space, "spectral_function")
    start = start.astype(jnp.result_type(start, moved.dtype))
    norm = float(jnp.linalg.norm(start))
    count = min(int(steps), space.size)
    if norm == 0:
        start = start.at[0].set(1.0)  # any vector: all weights are zero
    alphas, betas, _ = tridiagonal(fast_map(moved), start, count, start.nbytes * count <= _KEPT_BYTES)
    alphas, betas = np.asarray(alphas, float), np.asarray(betas, float)
    length = int(np.min(np.flatnonzero(betas == 0) + 1, initial=count))  # where the space of all products is exhausted
    ritz, rows = scipy.linalg.eigh_tridiagonal(alphas[:length], betas[: length - 1])
    sign = -1.0 if hole else 1.0
    found = SpectralFunction(
        omega=frequencies,
        values=jnp.zeros(frequencies.shape),
        error=jnp.zeros(frequencies.shape),
        poles=jnp.asarray(sign * (ritz - energy)),
        weights=jnp.asarray(norm**2 * rows[0] ** 2),
        leaks=jnp.asarray(norm * betas[length - 1] * rows[0] * rows[-1]),
        ground_energy=jnp.asarray(energy),
        hole=bool(hole),
    )
    values, error = _at(found, frequencies, float(broadening))
    return eqx.tree_at(lambda f: (f.values, f.error), found, (values, error))


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


def _checked_ground(hamiltonian: AbstractOperator, ground: Any) -> tuple[float, Array]:
    if ground is None:
        ground = ground_state(hamiltonian)
    vector = jnp.asarray(ground.vectors[0] if isinstance(ground, EigenResult) else ground)
    if vector.shape != (hamiltonian.hilbert.size,):
        raise ShapeError(
            "The ground state does not fit the space of the Hamiltonian.",
            got=f"shape {vector.shape}",
            expected=f"({hamiltonian.hilbert.size},)",
            try_="ground_state(hamiltonian)",
        )
    vector = vector / jnp.linalg.norm(vector)
    image = hamiltonian.apply(vector)
    energy = float(jnp.vdot(vector, image).real)
    residual, radius = float(jnp.linalg.norm(image - energy * vector)), max(abs(b) for b in hamiltonian.bound())
    if not residual <= _EIGENSTATE * max(radius, 1e-300):
        raise ConvergenceError(
            "The given vector is no eigenstate of the Hamiltonian.",
            got=f"|H v - E v| = {residual:.1e}",
            expected=f"at most {_EIGENSTATE * radius:.1e}",
            try_="ground_state(hamiltonian)",
        )
    return energy, vector


def _target(operator: AbstractOperator, source: AbstractHilbert, target: AbstractHilbert | None) -> AbstractHilbert:
    """The space that holds the products, checked."""
    _check_covers(operator, source)
    if target is None:
        if not operator.hilbert.is_constrained and not source.is_constrained:
            return source
        if float(_outside(operator, source, source)) == 0:
            return source
        target = operator.hilbert
    if target.site_states != source.site_states:
        raise SpaceError(
            "The target is a space of other sites.",
            got=target,
            expected=f"the sites and local states of {source}",
            try_="target=None",
        )
    _check_covers(operator, target)
    lost = float(_outside(operator, source, target))
    if lost:
        raise SpaceError(
            "The operator leads out of the target space.",
            got=f"an element of size {lost:.3g} from {source} to outside of {target}",
            expected="all products with the ground state inside the target",
            try_="the operator on the space of all configurations, and target= with the quantum numbers of A|0>",
        )
    return target


def _check_covers(operator: AbstractOperator, space: AbstractHilbert) -> None:
    """Refuse an operator that is only known on a part of a space: it may have been simplified there."""
    if operator.hilbert.is_constrained and operator.hilbert != space:
        inside = map_chunks(operator.hilbert.contains, space.all_states(), chunk=_CHUNK)
        if not bool(jnp.all(inside)):
            raise SpaceError(
                "The operator is not known on all of this space.",
                got=f"an operator on {operator.hilbert}",
                expected=f"one that acts on {space}",
                try_="the operator on the space of all configurations",
            )


@functools.partial(jax.jit, static_argnums=(1, 2))
def _outside(operator: AbstractOperator, source: AbstractHilbert, target: AbstractHilbert) -> Array:
    """The largest element that leads from the source to outside of the target, zero if it is rounding."""
    back = operator.adjoint()  # type: ignore[attr-defined]

    def rows(x: Array) -> tuple[Array, Array]:
        states, elements = back.connected(x)
        sizes, diagonal = jnp.abs(elements), jnp.abs(back.diagonal(x))
        lost = jnp.max(jnp.where(target.contains(states), 0, sizes), axis=-1, initial=0)
        lost = jnp.maximum(lost, jnp.where(target.contains(x), 0, diagonal))
        return lost, jnp.maximum(jnp.max(sizes, axis=-1, initial=0), diagonal)

    lost, largest = map_chunks(rows, source.all_states(), chunk=_CHUNK)
    return jnp.where(jnp.max(lost) > 1e-12 * jnp.max(largest), jnp.max(lost), 0)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _between(operator: AbstractOperator, vector: Array, source: AbstractHilbert, target: AbstractHilbert) -> Array:
    """The product of an operator with a vector of one space, as a vector of another."""

    def rows(x: Array) -> Array:
        def amplitudes(states: Array) -> Array:
            inside = source.contains(states)
            return jnp.where(inside, vector[jnp.where(inside, source.states_to_indices(states), 0)], 0)

        states, elements = operator.connected(x)
        return jnp.sum(elements * amplitudes(states), axis=-1) + operator.diagonal(x) * amplitudes(x)

    return map_chunks(rows, target.all_states(), chunk=_CHUNK)
