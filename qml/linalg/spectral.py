r"""Functions of Hermitian matrices whose derivatives are right at degenerate spectra, in every mode.

With $A = U w U^\dagger$ frozen and $\Delta = U^\dagger A U - w$ (zero, but it carries all derivatives),

$$(U^\dagger f(A) U)_{ac} = f(w_a)\delta_{ac} + f[w_a, w_c]\,\Delta_{ac}
  + \sum_b f[w_a, w_b, w_c]\,\Delta_{ab}\Delta_{bc} + \dots$$

Only divided differences appear, and they are smooth where levels cross. A derivative beyond the order asked for
raises; it is never silently wrong. A value alone costs one eigendecomposition.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ConfigError, ShapeError
from qml._core.types import Array, Float, Inexact
from qml.linalg.threads import eigh

_SERIES = 18  # terms of the exponential series: 19 / 20! < 1e-17 on a gap of one


class _Kernel(NamedTuple):
    """A scalar function with its first and second divided differences, all elementwise."""

    value: Callable[[Array], Array]
    first: Callable[[Array, Array], Array]
    second: Callable[[Array, Array, Array], Array]


def _exp_first(a: Array, b: Array) -> Array:
    gap = jnp.abs(a - b)
    safe = jnp.where(gap == 0, 1.0, gap)
    return jnp.exp(jnp.maximum(a, b)) * jnp.where(gap == 0, 1.0, -jnp.expm1(-safe) / safe)


def _sorted(a: Array, b: Array, c: Array) -> tuple[Array, Array, Array]:
    low, high = jnp.minimum(a, b), jnp.maximum(a, b)
    return jnp.minimum(low, c), jnp.maximum(low, jnp.minimum(high, c)), jnp.maximum(high, c)


def _exp_second(a: Array, b: Array, c: Array) -> Array:
    low, middle, high = _sorted(a, b, c)
    gap = high - low
    x, y = jnp.where(gap < 1, middle - high, 0.0), jnp.where(gap < 1, low - high, 0.0)
    total, homogeneous, power = jnp.full_like(gap, 0.5), jnp.ones_like(gap), jnp.ones_like(gap)
    for k in range(1, _SERIES):
        power = power * y
        homogeneous = homogeneous * x + power
        total = total + homogeneous / math.factorial(k + 2)
    far = (_exp_first(high, middle) - _exp_first(middle, low)) / jnp.where(gap < 1, 1.0, gap)
    return jnp.where(gap < 1, jnp.exp(high) * total, far)


_EXP = _Kernel(jnp.exp, _exp_first, _exp_second)


def _nodes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    x, weight = np.polynomial.legendre.leggauss(count)
    return (x + 1) / 2, weight / 2


def _average(function: Callable[[Array], Array], weights: np.ndarray, points: list[tuple[np.ndarray, Array]]) -> Array:
    """Weighted sum of a function over the points `sum_i coefficient_i[nodes] * level_i`."""
    shape = jnp.broadcast_shapes(*(level.shape for _, level in points))
    parts = [jnp.multiply.outer(c.astype(level.dtype), jnp.broadcast_to(level, shape)) for c, level in points]
    x = functools.reduce(jnp.add, parts)
    return jnp.tensordot(weights.astype(x.dtype), function(x), 1)


def _derivative(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: jax.jvp(function, (x,), (jnp.ones_like(x),))[1]


def _converged(fine: Array, coarse: Array) -> Array:
    return jnp.abs(fine - coarse) <= 1e-9 * jnp.abs(fine)


def _generic(function: Callable[[Array], Array]) -> _Kernel:
    """Divided differences of any smooth function: Gauss quadrature of its derivatives over the levels where that has
    converged, differences of its values where it has not (the function then varies too much to cancel)."""
    slope = _derivative(function)
    curvature = _derivative(slope)

    def first(a: Array, b: Array) -> Array:
        gap = b - a
        rules = [_nodes(count) for count in (10, 7)]
        fine, coarse = (_average(slope, weights, [(1 - t, a), (t, b)]) for t, weights in rules)
        far = (function(b) - function(a)) / jnp.where(gap == 0, 1.0, gap)
        return jnp.where(_converged(fine, coarse) | (gap == 0), fine, far)

    def second(a: Array, b: Array, c: Array) -> Array:
        low, middle, high = _sorted(a, b, c)

        def simplex(count: int) -> Array:
            x, weights = _nodes(count)
            s, t = np.repeat(x, count), np.tile(x, count)
            points = [(1 - s, low), (s * (1 - t), middle), (s * t, high)]
            return _average(curvature, np.outer(weights, weights).ravel() * s, points)

        fine, gap = simplex(6), high - low
        far = (first(middle, high) - first(low, middle)) / jnp.where(gap == 0, 1.0, gap)
        return jnp.where(_converged(fine, simplex(4)) | (gap == 0), fine, far)

    return _Kernel(function, first, second)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _limit(matrix: Array, more: int) -> Array:
    """Zero, and an error once it is differentiated more often than `more` times."""
    return jnp.zeros((), matrix.real.dtype)


@_limit.defjvp
def _limit_jvp(more: int, primals: tuple, tangents: tuple) -> tuple:
    if more == 0:
        raise ConfigError(
            "This matrix function was differentiated more often than it was built for.",
            got="a derivative beyond its order",
            expected="at most 2 derivatives of a matrix, 3 of a trace or of log_partition",
            try_="a larger order=, or log_partition where only the trace is needed",
        )
    return _limit(primals[0], more), _limit(primals[0], more - 1) * tangents[0][0, 0].real


def _check_order(order: int, largest: int) -> None:
    if order not in range(1, largest + 1):
        raise ConfigError(
            "There is no such order of differentiation.", got=order, expected=f"1 to {largest}", try_=f"order={largest}"
        )


def _eigenbasis(matrix: Array) -> tuple[Array, Array, Array]:
    """The Hermitian part, its levels and its eigenvectors; the last two are constants to differentiation."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ShapeError(
            "A function of a Hermitian matrix needs a square matrix.",
            got=f"shape {matrix.shape}",
            expected="shape [n, n]",
            try_="jax.vmap over the leading axes",
        )
    hermitian = (matrix + matrix.conj().T) / 2
    levels, vectors = eigh(jax.lax.stop_gradient(hermitian))
    return hermitian, jax.lax.stop_gradient(levels), jax.lax.stop_gradient(vectors)


def _rotate(matrix: Array, vectors: Array) -> Array:
    return vectors.conj().T @ matrix @ vectors


def _deviation(matrix: Array, vectors: Array) -> Array:
    return _rotate(matrix - jax.lax.stop_gradient(matrix), vectors)


def _contract(second: Callable, levels: Array, left: Array, right: Array) -> Array:
    r"""$\sum_b f[w_a, w_b, w_c]\, L_{ab} R_{bc}$, one $b$ at a time: memory stays quadratic."""

    @jax.checkpoint
    def add(total: Array, b: Array) -> tuple[Array, None]:
        kernel = second(levels[:, None], levels[b], levels[None, :])
        return total + kernel * left[:, b][:, None] * right[b][None, :], None

    return jax.lax.scan(add, jnp.zeros_like(left * right), jnp.arange(levels.shape[0]))[0]


def _matrix_core(kernel: _Kernel, order: int) -> Callable[[Array, Array, Array], Array]:
    @jax.custom_jvp
    def core(matrix: Array, levels: Array, vectors: Array) -> Array:
        return (vectors * kernel.value(levels)[None, :]) @ vectors.conj().T

    @core.defjvp
    def _(primals: tuple, tangents: tuple) -> tuple:
        matrix, levels, vectors = primals
        direction = _rotate(tangents[0], vectors)
        out = kernel.first(levels[:, None], levels[None, :]) * direction
        if order == 2:
            delta = _deviation(matrix, vectors)
            out = out + _contract(kernel.second, levels, direction, delta)
            out = out + _contract(kernel.second, levels, delta, direction)
        out = out + _limit(matrix, order - 1) * direction[0, 0]
        return core(matrix, levels, vectors), vectors @ out @ vectors.conj().T

    return core


def _trace_core(kernel: _Kernel, slope: _Kernel, order: int) -> Callable[[Array, Array, Array], Array]:
    """Trace of a function; `slope` is the kernel of its derivative."""

    @jax.custom_jvp
    def core(matrix: Array, levels: Array, vectors: Array) -> Array:
        return jnp.sum(kernel.value(levels))

    @core.defjvp
    def _(primals: tuple, tangents: tuple) -> tuple:
        matrix, levels, vectors = primals
        direction = _rotate(tangents[0], vectors)
        out = jnp.sum(slope.value(levels) * jnp.diagonal(direction).real)
        if order >= 2:
            delta = _deviation(matrix, vectors)
            weighted = slope.first(levels[:, None], levels[None, :]) * direction
            if order == 3:
                weighted = weighted + _contract(slope.second, levels, direction, delta)
            out = out + jnp.sum(weighted * delta.T).real
        return core(matrix, levels, vectors), out + _limit(matrix, order - 1) * direction[0, 0].real

    return core


@functools.lru_cache(maxsize=128)
def _compiled(function: Callable[[Array], Array], order: int, trace: bool) -> Callable[[Array], Array]:
    known = function is jnp.exp
    kernel = _EXP if known else _generic(function)
    slope = _EXP if known else _generic(_derivative(function))
    core = _trace_core(kernel, slope, order) if trace else _matrix_core(kernel, order)
    return jax.jit(lambda matrix: core(*_eigenbasis(matrix)))


def spectral(function: Callable[[Array], Array], order: int = 2) -> Callable[[Array], Array]:
    r"""The matrix function $f(A) = U f(w) U^\dagger$ of a Hermitian matrix, safe to differentiate at degenerate levels.

    Args:
        function: elementwise `jax.numpy` function, smooth on the spectrum.
        order: how often the result may be differentiated, 1 or 2; order 2 costs $n^3$ kernel evaluations a derivative.

    Returns:
        A function of one matrix `[n, n]`, real symmetric or complex Hermitian (its Hermitian part is what counts).

    Raises:
        ConfigError: no such order; or, while tracing, one derivative too many.
        ShapeError: the matrix is not square.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from qml.linalg import spectral
        >>> cosine = spectral(jnp.cos)
        >>> slope = jax.grad(lambda t: cosine(t * jnp.eye(2))[0, 0])(0.5)  # -sin(0.5)
        >>> print(f"{slope:.6f}")
        -0.479426

    Source: Daleckii and Krein (1965); Higham, Functions of Matrices (2008), theorem 3.11.
    """
    _check_order(order, 2)
    return _compiled(function, order, False)


def trace_spectral(function: Callable[[Array], Array], order: int = 3) -> Callable[[Array], Array]:
    r"""The trace $\mathrm{Tr} f(A) = \sum_a f(w_a)$ of a Hermitian matrix, safe to differentiate up to three times.

    Args:
        function: elementwise `jax.numpy` function, smooth on the spectrum.
        order: how often the result may be differentiated, 1 to 3; order 3 costs $n^3$ kernel evaluations a derivative.

    Returns:
        A function of one matrix `[n, n]`, real symmetric or complex Hermitian, to a real number.

    Raises:
        ConfigError: no such order; or, while tracing, one derivative too many.
        ShapeError: the matrix is not square.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.linalg import trace_spectral
        >>> print(f"{trace_spectral(jnp.log)(2 * jnp.eye(3)):.6f}")
        2.079442
    """
    _check_order(order, 3)
    return _compiled(function, order, True)


def expm_h(matrix: Inexact[Array, "n n"], order: int = 2) -> Inexact[Array, "n n"]:
    r"""Exponential $e^A$ of a Hermitian matrix.

    Args:
        matrix: real symmetric or complex Hermitian.
        order: how often it may be differentiated, 1 or 2.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.linalg import expm_h
        >>> print(expm_h(jnp.zeros((2, 2))))
        [[1. 0.]
         [0. 1.]]
    """
    return spectral(jnp.exp, order)(matrix)


def logm_h(matrix: Inexact[Array, "n n"], order: int = 2) -> Inexact[Array, "n n"]:
    r"""Logarithm of a positive definite Hermitian matrix (NaN where a level is negative).

    Args:
        matrix: real symmetric or complex Hermitian, levels > 0.
        order: how often it may be differentiated, 1 or 2.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.linalg import logm_h
        >>> print(logm_h(jnp.eye(2)))
        [[0. 0.]
         [0. 0.]]
    """
    return spectral(jnp.log, order)(matrix)


def sqrtm_h(matrix: Inexact[Array, "n n"], order: int = 2) -> Inexact[Array, "n n"]:
    r"""Square root of a positive definite Hermitian matrix (its derivative is infinite at a zero level).

    Args:
        matrix: real symmetric or complex Hermitian, levels >= 0.
        order: how often it may be differentiated, 1 or 2.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.linalg import sqrtm_h
        >>> print(sqrtm_h(4 * jnp.eye(2)))
        [[2. 0.]
         [0. 2.]]
    """
    return spectral(jnp.sqrt, order)(matrix)


def log_partition(hamiltonian: Inexact[Array, "n n"], order: int = 3) -> Float[Array, ""]:
    r"""$\log\mathrm{Tr}\,e^{-K}$ without overflow at any norm of $K$.

    Args:
        hamiltonian: $K$, real symmetric or complex Hermitian, dimensionless ($\beta H$).
        order: how often it may be differentiated, 1 to 3; order 3 costs $n^3$ kernel evaluations per derivative.

    Returns:
        A real number; its gradient is $-\rho^T$ and its Hessian the Bogoliubov-Kubo-Mori metric.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.linalg import log_partition
        >>> print(log_partition(1e4 * jnp.diag(jnp.array([1.0, -1.0]))))
        10000.0
    """
    _check_order(order, 3)
    return _log_partition(hamiltonian, order)


@functools.partial(jax.jit, static_argnames="order")
def _log_partition(hamiltonian: Array, order: int) -> Array:
    hermitian, levels, vectors = _eigenbasis(hamiltonian)
    shift = levels[0]
    return jnp.log(_trace_core(_EXP, _EXP, order)(-hermitian, shift - levels, vectors)) - shift


def gibbs(hamiltonian: Inexact[Array, "n n"], order: int = 2) -> Inexact[Array, "n n"]:
    r"""Gibbs state $\rho = e^{-K} / \mathrm{Tr}\,e^{-K}$ without overflow at any norm of $K$.

    Args:
        hamiltonian: $K$, real symmetric or complex Hermitian, dimensionless ($\beta H$).
        order: how often it may be differentiated, 1 or 2.

    Returns:
        The density matrix `[n, n]`, trace one.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.linalg import gibbs
        >>> print(gibbs(jnp.zeros((2, 2))))
        [[0.5 0. ]
         [0.  0.5]]
    """
    _check_order(order, 2)
    return _gibbs(hamiltonian, order)


@functools.partial(jax.jit, static_argnames="order")
def _gibbs(hamiltonian: Array, order: int) -> Array:
    hermitian, levels, vectors = _eigenbasis(hamiltonian)
    weight = _matrix_core(_EXP, order)(-hermitian, levels[0] - levels, vectors)
    return weight / jnp.trace(weight).real


def frechet(function: Callable[[Array], Array]) -> Callable[[Array, Array], Array]:
    r"""Fréchet derivative $L_f(A)[E] = U\,(f[w_a, w_b] \circ U^\dagger E U)\,U^\dagger$ of a matrix function.

    Args:
        function: elementwise `jax.numpy` function, smooth on the spectrum.

    Returns:
        A function of the matrix $A$ and the direction $E$, `[n, n]` of one dtype; it may be differentiated once more.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.linalg import frechet
        >>> direction = jnp.array([[0.0, 1.0], [1.0, 0.0]])
        >>> print(frechet(jnp.exp)(jnp.zeros((2, 2)), direction))
        [[0. 1.]
         [1. 0.]]
    """
    matrix_function = spectral(function)
    return lambda matrix, direction: jax.jvp(matrix_function, (matrix,), (direction,))[1]
