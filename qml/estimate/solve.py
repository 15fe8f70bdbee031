"""Regularised solves with a positive matrix, and with a product by one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from qml._core.types import Array

_SMALL = 64  # rows whose product is taken whole
_KEPT = 512  # rows of a matrix that is kept beside its factor; above 32 MiB in all, memory is given back at each call


class Filter(NamedTuple):
    """What is put in place of an inverse: a shift or a soft cutoff, and a limit on the noise of each mode.

    Without `fallback` the result is NaN where a fast solve fails, in place of a slow one.
    """

    shift: Any = None
    cutoff: Any = None
    snr: Any = None
    fallback: bool = True


def upper_gram(rows: Array, depth: int = 2) -> Array:
    """Upper triangle of `rows @ rows.T`, without most of the lower one: halves of halves."""
    half = rows.shape[0] // 2
    if depth == 0 or half < _SMALL:
        return rows @ rows.T
    top, bottom = rows[:half], rows[half:]
    corner = jnp.zeros((rows.shape[0] - half, half), rows.dtype)
    return jnp.block([[upper_gram(top, depth - 1), top @ bottom.T], [corner, upper_gram(bottom, depth - 1)]])


def invert(
    matrix: Callable[[], Array], right: Array, rule: Filter, signal: Callable[[Array], Array] | None = None
) -> Array:
    r"""The regularised solution of a system with a positive matrix.

    Args:
        matrix: makes the matrix; its upper triangle is read.
        right: right side.
        rule: how it is regularised.
        signal: signal to noise of each mode, from the eigenvectors `[n, modes]`; needed where `rule.snr` is set.

    Returns:
        $\sum_k v_k f(l_k)\, v_k^T b$ with $f(l) = 1/(l + \lambda)$ or the soft inverse of a cutoff.
    """
    if rule.cutoff is None and rule.snr is None:
        return solve_shifted(matrix, right, jnp.asarray(rule.shift, right.dtype), rule.fallback)
    values, vectors = jnp.linalg.eigh(matrix().T, UPLO="L", symmetrize_input=False)
    weight = _inverse(values, rule)
    if rule.snr is not None and signal is not None:
        ratio = signal(vectors)
        weight = weight * jnp.where(ratio > 0, 1.0 / (1.0 + (rule.snr / jnp.where(ratio > 0, ratio, 1.0)) ** 6), 0.0)
    return vectors @ (weight * (vectors.T @ right))


def _inverse(values: Array, rule: Filter) -> Array:
    if rule.cutoff is None:
        return 1.0 / (jnp.maximum(values, 0) + rule.shift)
    relative = values / values[-1]
    safe = jnp.where(relative > 0, relative, 1.0)
    inverse = jnp.where(relative > 0, 1.0 / (safe * (1.0 + (rule.cutoff / safe) ** 6)), 0.0)
    return jnp.where(values[-1] > 0, inverse / values[-1], 0.0)


def signal_to_noise(modes: Array, right: Array, components: int, count: Any) -> Array:
    r"""$|\sum_s f_{sk}| / \sqrt{\sum_s f_{sk}^2 - (\sum_s f_{sk})^2/N}$ with $f_{sk} = u_{sk}\epsilon_s$ of each mode.

    Args:
        modes: $u$, rows of samples (real parts before imaginary parts), `[rows, modes]`.
        right: $\epsilon$, `[rows]`.
        components: 1, or 2 where there are rows of imaginary parts.
        count: samples that count, $N$.
    """
    terms = (modes * right[:, None]).reshape(components, -1, modes.shape[1]).sum(0)
    total = terms.sum(0)
    spread = jnp.maximum((terms**2).sum(0) - total**2 / count, 0)
    return jnp.abs(total) / jnp.sqrt(jnp.maximum(spread, jnp.finfo(spread.dtype).tiny))


def solve_shifted(matrix: Callable[[], Array], right: Array, shift: Array, fallback: bool = True) -> Array:
    """Cholesky solve of a positive matrix given by its upper triangle; by eigenvalues cut at zero where that fails.

    A large matrix is made again where it fails, so that nothing is kept for a case that hardly ever happens. LAPACK
    reads columns: the upper triangle by rows is its lower triangle by columns, and nothing is transposed.
    """
    made = matrix().T
    factor = jnp.linalg.cholesky(made + shift * jnp.eye(made.shape[0], dtype=made.dtype), symmetrize_input=False)
    x = jax.scipy.linalg.cho_solve((factor, True), right)
    if not fallback:
        return x

    def by_eigenvalues() -> Array:
        again = made if made.shape[0] <= _KEPT else matrix().T

        def solve() -> Array:
            values, vectors = jnp.linalg.eigh(again, UPLO="L", symmetrize_input=False)
            return vectors @ ((vectors.T @ right) / (jnp.maximum(values, 0) + shift))

        return jax.lax.cond(jnp.all(jnp.isfinite(again)), solve, lambda: x)

    return jax.lax.cond(jnp.all(jnp.isfinite(x)), lambda: x, by_eigenvalues)


def solve_refined(
    narrow: Callable[[], Array],
    wide: Callable[[], Array],
    product: Callable[[Array], Array],
    right: Array,
    shift: Array,
    rounds: int = 4,
    fallback: bool = True,
) -> Array:
    r"""$(\bar O\bar O^T + \lambda)^{-1}\epsilon$ of rows known in single precision, to full precision.

    The matrix is multiplied and factorised fast, and the solution is refined: the rest of each round is taken with
    exact products, which cost as little as one step of an iterative solver.

    Args:
        narrow: makes the matrix $\bar O\bar O^T$ in single precision; its upper triangle is read.
        wide: makes the same matrix from exact products, for where the refinement fails.
        product: the exact matrix times a vector.
        right: right side.
        shift: $\lambda$.
        rounds: at most.
        fallback: whether a refinement that fails is followed by a solve in full precision, or gives NaN.
    """
    wider = right.dtype
    made = narrow().astype(wider).T
    factor = jnp.linalg.cholesky(made + shift * jnp.eye(made.shape[0], dtype=wider), symmetrize_input=False)

    def refine(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        y, rest, turn = state
        y = y + jax.scipy.linalg.cho_solve((factor, True), rest)
        return y, right - product(y) - shift * y, turn + 1

    enough = 1e-10 * jnp.linalg.norm(right)
    first = jnp.zeros_like(right), right, jnp.zeros((), int)
    y, rest, _ = jax.lax.while_loop(lambda s: (jnp.linalg.norm(s[1]) > enough) & (s[2] < rounds), refine, first)
    fine = jnp.linalg.norm(rest) <= 10 * enough
    if not fallback:
        return jnp.where(fine, y, jnp.nan)
    return jax.lax.cond(fine, lambda: y, lambda: solve_shifted(wide, right, shift))


def solve_by_products(
    product: Callable[[Array], Array], right: Array, shift: Array, tolerance: Any, steps: int
) -> tuple[Array, Array]:
    r"""Conjugate gradients for $(S + \lambda)\,x = F$ from products $S v$; the solution and the number of steps.

    Solved as $(S/\lambda + 1)\,y = F/|F|$, whose solution is never longer than one, so that one tolerance holds for
    the rest and for the step alike. The rest is that of the result, so the caller can say whether it is small.
    """
    import lineax as lx

    size = jnp.linalg.norm(right)
    unit = jnp.where(size > 0, right / jnp.where(size > 0, size, 1.0), right)
    operator = lx.FunctionLinearOperator(
        lambda v: product(v) / shift + v,
        jax.ShapeDtypeStruct(right.shape, right.dtype),
        tags=lx.positive_semidefinite_tag,
    )
    solver = lx.CG(rtol=0.0, atol=tolerance, norm=jnp.linalg.norm, max_steps=steps)
    found = lx.linear_solve(operator, unit, solver, throw=False)
    return found.value * (size / shift), found.stats["num_steps"]
