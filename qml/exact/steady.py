"""Steady states of open systems, which must be the only ones."""

import math
from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.sparse.linalg
from threadpoolctl import threadpool_limits

from qml._core.errors import ConvergenceError
from qml._core.precision import require_x64
from qml._core.types import Array, Complex, Float, Inexact
from qml.exact.lindblad import Lindbladian, apply_generator, expect_density, generator_action, generator_bound
from qml.operator import AbstractOperator

_DENSE = 2**10  # entries of a density matrix up to which the steady state comes from a dense matrix
_DIAGONALISED = 2**10  # states up to which the part without jumps is diagonalised, to precondition
_SHIFT = 1e-3  # of the mean decay rate: keeps the preconditioner regular where a state does not decay
_RIGHT = 1e8  # largest condition number of its eigenvectors


@final
class SteadyState(eqx.Module):
    r"""A density matrix with $\mathcal L \rho = 0$: `residual` is the Frobenius norm of $\mathcal L \rho$.

    `lowest` is the smallest eigenvalue of the density matrix, as found (negative only by rounding).

    Example:
        >>> from qml.exact import Lindbladian, steady_state
        >>> from qml.operator import PauliSum
        >>> state = steady_state(Lindbladian(PauliSum({"Z": 0.5}), [PauliSum({"X": 0.5, "Y": -0.5j})]))
        >>> state.density.real.round(12).tolist(), bool(state.residual < 1e-12)
        ([[0.0, 0.0], [0.0, 1.0]], True)
    """

    density: Complex[Array, "size size"]
    residual: Float[Array, ""]
    lowest: Float[Array, ""]

    def expect(self, operator: AbstractOperator) -> Inexact[Array, ""]:
        r"""$\mathrm{Tr}\,\rho O$, real for a Hermitian operator."""
        return expect_density(self.density[None], operator)[0]


def steady_state(lindbladian: Lindbladian, *, tolerance: float = 1e-10, key: Any = None) -> SteadyState:
    r"""The steady state, which must be the only one.

    Up to 32 states it is the null vector of a dense matrix, whose singular values tell how many there are. Beyond that
    $(\mathcal L + \omega\, |\mathbb 1/D\rangle\langle \mathbb 1|)\,\rho = \omega\, \mathbb 1/D$ is solved by GMRES,
    without a matrix, from two random density matrices: two steady states would keep the difference of the starts, so
    different answers show that there are several.

    Up to 1024 states the part without jumps, $\rho \mapsto M\rho + \rho M^\dagger$ with
    $M = -iH - \frac12 \sum_k \gamma_k L_k^\dagger L_k$, is the preconditioner, by the eigenvectors of M. What it leaves
    counts jumps instead of time, so that weak, strong and very different rates converge alike: 20 to 60 products,
    instead of up to thousands.

    Args:
        lindbladian: the generator, with known coefficients.
        tolerance: bound on $|\mathcal L \rho|$ relative to the norm of the generator.
        key: typed key of the random starts; the answer does not depend on it.

    Raises:
        ConvergenceError: there are several steady states, or the residual stays above the tolerance.
        PrecisionError: JAX runs in 32-bit mode.

    Example:
        >>> from qml.exact import Lindbladian, steady_state
        >>> from qml.operator import PauliSum
        >>> decay = Lindbladian(PauliSum({"X": 0.5}), [PauliSum({"X": 0.5, "Y": -0.5j})])
        >>> state = steady_state(decay)
        >>> round(float(state.expect(PauliSum({"Z": 1.0}))), 12)  # -1 / (1 + 2 omega^2 / gamma^2)
        -0.333333333333
    """
    require_x64("exact.steady_state")
    scale = generator_bound(lindbladian)
    size = lindbladian.hamiltonian.hilbert.size
    solve = _dense_null if size**2 <= _DENSE else _iterative_null
    density = solve(lindbladian, scale, tolerance, 0 if key is None else np.asarray(jax.random.key_data(key)))
    density = density / jnp.trace(density).real
    residual = float(jnp.linalg.norm(apply_generator(lindbladian, density)))
    lowest = float(jnp.linalg.eigvalsh(density)[0])
    if not residual <= tolerance * scale or lowest < -1e4 * tolerance:
        raise ConvergenceError(
            "The steady state did not reach its tolerance.",
            got=f"|L rho| = {residual:.1e}, lowest eigenvalue {lowest:.1e}",
            expected=f"at most {tolerance * scale:.1e}, and no negative eigenvalue",
            try_="a larger tolerance, or evolve_density from a start of your choice to a late time",
        )
    return SteadyState(density, jnp.asarray(residual), jnp.asarray(lowest))


def _hermitian(real: Any) -> Any:
    """The Hermitian matrix whose real part plus imaginary part is a real matrix: keeps the Frobenius norm."""
    return (real + real.T) / 2 + 0.5j * (real - real.T)


@jax.jit
def _real_action(lindbladian: Lindbladian, flat: Array) -> Array:
    size = math.isqrt(flat.shape[-1])
    action = generator_action(lindbladian)

    def one(real: Array) -> Array:
        out = action(_hermitian(real.reshape(size, size)))
        return (out.real + out.imag).reshape(-1)

    return one(flat) if flat.ndim == 1 else jax.lax.map(one, flat)


def _dense_null(lindbladian: Lindbladian, scale: float, tolerance: float, seed: Any) -> Array:
    """The null vector of the generator on Hermitian matrices, a real matrix."""
    size = lindbladian.hamiltonian.hilbert.size
    matrix = np.asarray(_real_action(lindbladian, jnp.eye(size**2))).T
    with threadpool_limits(1, "blas"):
        _, values, rows = scipy.linalg.svd(matrix)
    count = int(np.sum(values <= 1e-11 * max(scale, 1e-300)))
    if count > 1:
        raise _several(f"{count} independent solutions of L rho = 0")
    return jnp.asarray(_hermitian(rows[-1].reshape(size, size)))


def _iterative_null(lindbladian: Lindbladian, scale: float, tolerance: float, seed: Any) -> Array:
    size = lindbladian.hamiltonian.hilbert.size
    uniform, weight = np.eye(size).reshape(-1) / size, scale / 10
    random, found = np.random.default_rng(seed), []

    def product(flat: np.ndarray) -> np.ndarray:
        return np.asarray(_real_action(lindbladian, jnp.asarray(flat))) + weight * uniform * (flat @ uniform) * size

    undo = _without_jumps(lindbladian)
    bordered = scipy.sparse.linalg.LinearOperator((size**2,) * 2, matvec=lambda z: product(undo(z)), dtype=float)  # type: ignore[call-arg]
    for _ in range(2):
        factor = random.standard_normal((size, 4)) + 1j * random.standard_normal((size, 4))
        start = factor @ factor.conj().T / np.sum(np.abs(factor) ** 2)
        flat = (start.real + start.imag).reshape(-1)
        change, _ = scipy.sparse.linalg.gmres(
            bordered,
            weight * uniform - product(flat),
            rtol=0.0,
            atol=0.01 * tolerance * scale,
            restart=120,
            maxiter=30,
        )
        found.append(_hermitian((flat + undo(change)).reshape(size, size)))
    if np.linalg.norm(found[0] - found[1]) > 1e-5:
        residual = max(float(jnp.linalg.norm(apply_generator(lindbladian, jnp.asarray(m)))) for m in found)
        if residual <= tolerance * scale:
            raise _several("two steady states from two starts")
    return jnp.asarray(found[0])


def _without_jumps(lindbladian: Lindbladian) -> Callable[[np.ndarray], np.ndarray]:
    """The inverse of the generator without its jumps on Hermitian matrices as real ones; the identity if too large."""
    size = lindbladian.hamiltonian.hilbert.size
    if size > _DIAGONALISED:
        return lambda flat: flat
    matrix = -1j * lindbladian.hamiltonian.to_sparse().toarray().astype(complex)
    for rate, jump in zip(np.asarray(lindbladian.rates), lindbladian.jumps):
        sparse = jump.to_sparse()
        matrix -= 0.5 * rate * (sparse.conj().T @ sparse).toarray()
    with threadpool_limits(1, "blas"):
        values, right = np.linalg.eig(matrix)
        if not np.linalg.cond(right) < _RIGHT:
            return lambda flat: flat
        left = np.linalg.inv(right)
    rates = values[:, None] + values.conj()[None, :] + 2 * _SHIFT * np.mean(np.real(values))

    def solve(flat: np.ndarray) -> np.ndarray:
        image = left @ _hermitian(flat.reshape(size, size)) @ left.conj().T
        solved = right @ (image / rates) @ right.conj().T
        solved = (solved + solved.conj().T) / 2
        return (solved.real + solved.imag).reshape(-1)

    return solve


def _several(got: str) -> ConvergenceError:
    return ConvergenceError(
        "The steady state is not unique, as far as the tolerance tells.",
        got=got,
        expected="one",
        try_="evolve_density from a start of your choice to a late time, or a sector of the conserved quantities",
    )
