"""Open systems: Lindblad's equation and its solution, without a matrix of the size of the density matrix squared."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ConvergenceError, ShapeError, SpaceError
from qml._core.precision import require_x64
from qml._core.types import Array, Complex, Float, Inexact
from qml.operator import AbstractOperator
from qml.operator.base import table
from qml.operator.coefficients import is_traced

_LARGEST = 2**12  # states of a space whose density matrices are used
_LONGEST = 3.0  # norm of the generator times a step
_PHYSICAL = 1e-8  # how far from a density matrix an input may be


@final
class Lindbladian(eqx.Module):
    r"""The generator of Lindblad's equation, with a Hamiltonian and jumps.

    $\dot\rho = -i[H, \rho] + \sum_k \gamma_k (L_k \rho L_k^\dagger - \frac12 \{L_k^\dagger L_k, \rho\})$.

    It acts on density matrices `[size, size]` by products with the connected states of H and of the jumps;
    differentiable in all coefficients and rates.

    Args:
        hamiltonian: Hermitian operator H ($\hbar = 1$).
        jumps: operators $L_k$ on the same space, each alone (rate 1, or the rate inside it) or as `(rate, operator)`.

    Raises:
        SpaceError: H is not Hermitian, a jump acts on another space, or the space has more than 4096 states.
        ShapeError: there is no jump, or a rate is negative or no number.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.exact import Lindbladian
        >>> from qml.operator import PauliSum
        >>> decay = Lindbladian(PauliSum({"Z": 0.5}), [(2.0, PauliSum({"X": 0.5, "Y": -0.5j}))])  # sigma^-
        >>> decay.apply(jnp.array([[1.0, 0.0], [0.0, 0.0]])).real.tolist()
        [[-2.0, 0.0], [0.0, 2.0]]

    Source:
        G. Lindblad, Commun. Math. Phys. 48, 119 (1976).
    """

    hamiltonian: AbstractOperator
    jumps: tuple[AbstractOperator, ...]
    rates: Float[Array, " jumps"]

    def __init__(self, hamiltonian: AbstractOperator, jumps: Sequence[Any]):
        pairs = [jump if isinstance(jump, tuple) else (1.0, jump) for jump in jumps]
        _check_parts(hamiltonian, pairs)
        self.hamiltonian = hamiltonian
        self.jumps = tuple(operator for _, operator in pairs)
        self.rates = jnp.stack([jnp.asarray(rate, float) for rate, _ in pairs])

    def apply(self, matrix: Any) -> Complex[Array, "size size"]:
        r"""$\mathcal L \rho$ for any matrix.

        Raises:
            ShapeError: the matrix does not fit the space.
        """
        return apply_generator(self, _checked_matrix(self, matrix))

    def to_dense(self) -> Complex[Array, "squared squared"]:
        r"""The matrix on density matrices read row by row, $\rho_{ab}$ at index `a * size + b`; for small spaces.

        Raises:
            SpaceError: it has more than 4096 rows.
        """
        size = self.hamiltonian.hilbert.size
        if size**2 > 2**12:
            raise SpaceError(
                "The matrix of this generator is too large.",
                got=f"{size**2} rows",
                expected="at most 4096",
                try_="apply(matrix), steady_state or evolve_density",
            )
        unit = jnp.eye(size**2, dtype=complex).reshape(-1, size, size)
        return jax.lax.map(lambda m: apply_generator(self, m).reshape(-1), unit).T


@final
class DensityEvolution(eqx.Module):
    r"""Density matrices at some times; `error` bounds the trace norm of their error, rounding aside.

    `traces` and `lowest` (the smallest eigenvalue) tell how far rounding has brought them from density matrices.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.exact import Lindbladian, evolve_density
        >>> from qml.operator import PauliSum
        >>> decay = Lindbladian(PauliSum({"Z": 0.5}), [PauliSum({"X": 0.5, "Y": -0.5j})])
        >>> run = evolve_density(decay, jnp.array([1.0, 0.0]), [0.0, 1.0])
        >>> run.traces.round(12).tolist(), bool(run.error < 1e-10)
        ([1.0, 1.0], True)
    """

    times: Float[Array, " times"]
    densities: Complex[Array, "times size size"]
    error: Float[Array, ""]
    traces: Float[Array, " times"]
    lowest: Float[Array, " times"]

    def expect(self, operator: AbstractOperator) -> Inexact[Array, " times"]:
        r"""$\mathrm{Tr}\,\rho(t) O$ at all times, real for a Hermitian operator."""
        return expect_density(self.densities, operator)


def evolve_density(
    lindbladian: Lindbladian,
    density: Any,
    times: Any,
    *,
    tolerance: float = 1e-13,
    bound: float | None = None,
) -> DensityEvolution:
    r"""$\rho(t) = e^{\mathcal L t} \rho(0)$ at some times, with a bound on the error.

    In the trace norm $e^{\mathcal L t}$ increases no distance, so a step h of a Taylor sum of m terms errs by at most
    $(\Lambda h)^{m+1} / (m+1)!$, with $\Lambda \ge \|\mathcal L\|$; the errors of all steps add.

    Differentiable in the density matrix, the coefficients and the rates, in both modes; there `bound` is needed.

    Args:
        lindbladian: the generator.
        density: density matrix `[size, size]` at time 0, or the vector `[size]` of a pure state.
        times: ascending times `[times]`, none negative.
        tolerance: bound on the error of one step.
        bound: $\Lambda$, a bound on the norm of the generator; `None` works one out from known coefficients.

    Raises:
        ShapeError: the density matrix does not fit or is none, or the times are no ascending list.
        ConvergenceError: rounding has brought the result too far from a density matrix.
        PrecisionError: JAX runs in 32-bit mode.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.exact import Lindbladian, evolve_density
        >>> from qml.operator import PauliSum
        >>> decay = Lindbladian(PauliSum({"Z": 0.5}), [PauliSum({"X": 0.5, "Y": -0.5j})])
        >>> run = evolve_density(decay, jnp.array([1.0, 0.0]), [0.0, 1.0])
        >>> bool(jnp.isclose(run.expect(PauliSum({"Z": 1.0}))[1], 2 * jnp.exp(-1.0) - 1, rtol=1e-12))
        True

    Source:
        C. Moler, C. Van Loan, SIAM Rev. 45, 3 (2003), methods 1 and 3.
    """
    require_x64("exact.evolve_density")
    start, grid = _checked_density(lindbladian, density), np.asarray(times, float)
    if grid.ndim != 1 or not grid.size or np.any(np.diff(grid, prepend=0.0) < 0) or not np.all(np.isfinite(grid)):
        raise ShapeError(
            "The times are not an ascending list.",
            got=grid.tolist(),
            expected="[0.0, 0.1, ...], none negative",
            try_="numpy.linspace(0, 2, 21)",
        )
    norm = generator_bound(lindbladian) if bound is None else float(bound)
    lengths = np.diff(grid, prepend=0.0)
    parts = np.maximum(np.ceil(norm * lengths / _LONGEST), lengths > 0).astype(int)
    steps = np.where(
        np.arange(max(1, parts.max()))[None, :] < parts[:, None], (lengths / np.maximum(parts, 1))[:, None], 0.0
    )
    reach = norm * float(steps.max())
    terms = next(m for m in range(1, 200) if reach ** (m + 1) / math.factorial(m + 1) <= tolerance)
    error = int(parts.sum()) * reach ** (terms + 1) / math.factorial(terms + 1)
    densities = _evolve(lindbladian, start, steps, terms)
    traces = jnp.trace(densities, axis1=1, axis2=2).real
    lowest = jnp.linalg.eigvalsh(densities)[:, 0]
    if not is_traced(densities):
        worst = max(float(jnp.max(jnp.abs(traces - 1))), -float(jnp.min(lowest)))
        if not worst <= _PHYSICAL + error:
            raise ConvergenceError(
                "Rounding has brought the evolution too far from a density matrix.",
                got=f"traces and lowest eigenvalues off by {worst:.1e}",
                expected=f"at most {_PHYSICAL:.0e}",
                try_="a larger bound=, or shorter times",
            )
    return DensityEvolution(jnp.asarray(grid), densities, jnp.asarray(error), traces, lowest)


def generator_bound(lindbladian: Lindbladian) -> float:
    r"""A bound on the norm of $\mathcal L$ on matrices with the trace norm: $2 r + 2 \sum_k \gamma_k \|L_k\|^2$.

    The spectrum of H lies in an interval of half width r; $\|L\|^2$ is bounded by the largest sum of a row times the
    largest sum of a column.

    Raises:
        SpaceError: coefficients or rates are traced.

    Example:
        >>> from qml.exact.lindblad import Lindbladian, generator_bound
        >>> from qml.operator import PauliSum
        >>> round(generator_bound(Lindbladian(PauliSum({"X": 0.5}), [(2.0, PauliSum({"Z": 1.0}))])), 12)
        5.0
    """
    if any(is_traced(leaf) for leaf in jax.tree.leaves(lindbladian)):
        raise SpaceError(
            "The norm of a generator with traced coefficients is unknown.",
            got="coefficients or rates inside jit or grad",
            expected="known numbers",
            try_="bound=generator_bound(...) worked out outside, for the largest coefficients",
        )
    radius = max(float(lindbladian.hamiltonian.bound()[1]), 0.0)
    return 2 * radius + 2 * float(jnp.sum(lindbladian.rates * _norms(lindbladian)))


class _Rows(NamedTuple):
    """An operator as its connected states: columns and elements `[size, groups]`, and the diagonal `[size]`."""

    columns: Array
    elements: Array
    diagonal: Array

    def left(self, matrix: Array) -> Array:
        """The product O m."""

        def add(total: Array, group: tuple[Array, Array]) -> tuple[Array, None]:
            return total + group[1][:, None] * matrix[group[0]], None

        return jax.lax.scan(add, self.diagonal[:, None] * matrix, (self.columns.T, self.elements.T))[0]

    def left_adjoint(self, matrix: Array) -> Array:
        r"""The product $O^\dagger m$."""

        def add(total: Array, group: tuple[Array, Array]) -> tuple[Array, None]:
            return total.at[group[0]].add(group[1].conj()[:, None] * matrix), None

        return jax.lax.scan(add, self.diagonal.conj()[:, None] * matrix, (self.columns.T, self.elements.T))[0]


def _rows(operator: AbstractOperator) -> _Rows:
    columns, elements, diagonal = table(operator)
    return _Rows(columns, elements.astype(complex), diagonal.astype(complex))


def _stacked(jumps: tuple[AbstractOperator, ...]) -> _Rows:
    """All jumps in one, with as many groups each."""
    rows = [_rows(jump) for jump in jumps]
    groups = max(r.columns.shape[1] for r in rows)

    def wide(a: Array) -> Array:
        return jnp.pad(a, ((0, 0), (0, groups - a.shape[1])))

    return _Rows(
        jnp.stack([wide(r.columns) for r in rows]),
        jnp.stack([wide(r.elements) for r in rows]),
        jnp.stack([r.diagonal for r in rows]),
    )


def generator_action(lindbladian: Lindbladian) -> Any:
    """The generator on Hermitian matrices, with everything prepared that many products share."""
    hamiltonian, jumps, rates = _rows(lindbladian.hamiltonian), _stacked(lindbladian.jumps), lindbladian.rates

    def action(rho: Array) -> Array:
        def add(total: Array, jump: tuple[_Rows, Array]) -> tuple[Array, None]:
            rows, rate = jump
            moved = rows.left(rho)  # L rho ; (L (L rho)^+)^+ = L rho L^+ for Hermitian rho
            return total + rate * (rows.left(moved.conj().T).conj().T / 2 - rows.left_adjoint(moved) / 2), None

        half, _ = jax.lax.scan(add, -1j * hamiltonian.left(rho), (jumps, rates))
        return half + half.conj().T

    return action


@jax.jit
def apply_generator(lindbladian: Lindbladian, matrix: Array) -> Array:
    """The generator on any matrix: on its two Hermitian parts."""
    action, adjoint = generator_action(lindbladian), matrix.conj().T
    return action((matrix + adjoint) / 2) + 1j * action((matrix - adjoint) / 2j)


@functools.partial(jax.jit, static_argnums=3)
def _evolve(lindbladian: Lindbladian, start: Array, steps: Any, terms: int) -> Array:
    action = generator_action(lindbladian)

    def taylor(rho: Array, length: Array) -> Array:
        def term(state: tuple, k: Array) -> tuple[tuple, None]:
            total, power = state
            power = action(power) * (length / k)
            return (total + power, power), None

        return jax.lax.scan(term, (rho, rho), jnp.arange(1, terms + 1))[0][0]

    def part(rho: Array, length: Array) -> tuple[Array, None]:
        return jax.lax.cond(length > 0, taylor, lambda rho, _: rho, rho, length), None

    def interval(rho: Array, lengths: Array) -> tuple[Array, Array]:
        rho, _ = jax.lax.scan(part, rho, lengths)
        return rho, rho

    return jax.lax.scan(interval, start, jnp.asarray(steps))[1]


@jax.jit
def _norms(lindbladian: Lindbladian) -> Array:
    """A bound on the square of the norm of each jump."""

    def one(rows: _Rows) -> Array:
        sizes, diagonal = jnp.abs(rows.elements), jnp.abs(rows.diagonal)
        columns = diagonal.at[rows.columns.reshape(-1)].add(sizes.reshape(-1))
        return jnp.max(jnp.sum(sizes, axis=1) + diagonal) * jnp.max(columns)

    return jax.lax.map(one, _stacked(lindbladian.jumps))


@jax.jit
def expect_density(densities: Array, operator: AbstractOperator) -> Array:
    r"""$\mathrm{Tr}\,\rho O$ of density matrices `[times, size, size]`, real for a Hermitian operator."""
    if densities.shape[-1] != operator.hilbert.size:
        raise SpaceError(
            "The operator does not act on the space of the density matrix.",
            got=f"{operator.hilbert.size} states",
            expected=f"{densities.shape[-1]} states",
            try_="operator.on(hilbert)",
        )
    rows = _rows(operator)
    at = jnp.arange(densities.shape[-1])

    def one(rho: Array) -> Array:
        return jnp.sum(rows.diagonal * jnp.diag(rho)) + jnp.sum(rows.elements * rho[rows.columns, at[:, None]])

    values = jax.lax.map(one, densities)
    return values.real if operator.is_hermitian else values


def _check_parts(hamiltonian: AbstractOperator, pairs: list[tuple]) -> None:
    hilbert = hamiltonian.hilbert
    if not hamiltonian.is_hermitian or hilbert.size > _LARGEST:
        raise SpaceError(
            "An open system needs a Hermitian Hamiltonian on a small space.",
            got=f"{hamiltonian} on {hilbert.size} states",
            expected=f"real coefficients, at most {_LARGEST} states",
            try_="(operator + operator.adjoint()) / 2",
        )
    good = [len(p) == 2 and isinstance(p[1], AbstractOperator) and jnp.ndim(p[0]) == 0 for p in pairs]
    known = [float(p[0]) for p, fine in zip(pairs, good) if fine and not is_traced(p[0])]
    if not pairs or not all(good) or not all(0 <= rate < math.inf for rate in known):
        raise ShapeError(
            "Jumps are operators, or pairs of a rate and an operator.",
            got=pairs,
            expected="at least one, with rates >= 0",
            try_='[(0.5, PauliSum({"X": 0.5, "Y": -0.5j}))]',
        )
    for _, operator in pairs:
        if operator.hilbert != hilbert:
            raise SpaceError(
                "A jump acts on another space than the Hamiltonian.",
                got=operator.hilbert,
                expected=hilbert,
                try_="operators on one space",
            )


def _checked_matrix(lindbladian: Lindbladian, matrix: Any) -> Array:
    matrix, size = jnp.asarray(matrix), lindbladian.hamiltonian.hilbert.size
    if matrix.shape != (size, size):
        raise ShapeError(
            "The matrix does not fit the space.",
            got=f"shape {matrix.shape}",
            expected=f"({size}, {size})",
            try_="jnp.outer(vector, vector.conj()) for a pure state",
        )
    return matrix.astype(complex)


def _checked_density(lindbladian: Lindbladian, density: Any) -> Array:
    density = jnp.asarray(density)
    if density.ndim == 1:
        density = jnp.outer(density, density.conj()) / jnp.vdot(density, density).real
    density = _checked_matrix(lindbladian, density)
    if not is_traced(density):
        values = np.linalg.eigvalsh(np.asarray(density))
        off = [float(jnp.max(jnp.abs(density - density.conj().T))), abs(float(np.sum(values)) - 1), -float(values[0])]
        if not max(off) <= _PHYSICAL:
            raise ShapeError(
                "This is no density matrix.",
                got=f"not Hermitian by {off[0]:.1e}, trace off by {off[1]:.1e}, lowest eigenvalue {-off[2]:.1e}",
                expected="a Hermitian matrix of trace 1 without negative eigenvalues",
                try_="a vector for a pure state",
            )
    return (density + density.conj().T) / 2
