"""Pieces that several ansaetze share: stable log cosh, activations, dtypes, initial values."""

import math
from typing import Any, Protocol, runtime_checkable

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from flax import nnx

from qml._core.compile import once
from qml._core.errors import ShapeError
from qml._core.precision import check_dtype, complex_dtype, real_dtype
from qml._core.types import Array, Inexact

_SHARED = 4096  # initial values of smaller arrays are cut from so many


@runtime_checkable
class MadeForSpace(Protocol):
    """A model that was made for the configurations of one kind of space."""

    def check_space(self, hilbert: Any) -> None:
        """Raise if the model would misread the configurations of a space."""
        ...


def log_cosh(x: Inexact[Array, "..."]) -> Inexact[Array, "..."]:
    r"""$\log\cosh x$ without overflow, real or complex.

    With $y = x$ where $\mathrm{Re}\,x \ge 0$ and $y = -x$ elsewhere: $\log\cosh x = y + \log(1 + e^{-2y}) - \log 2$.

    Args:
        x: real or complex numbers.

    Returns:
        Same shape; of a complex number the branch with an imaginary part from $-\pi$ to $\pi$.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.ansatz import log_cosh
        >>> float(log_cosh(jnp.array(1000.0)))
        999.3068528194401
    """
    return _log_cosh_complex(x) if jnp.iscomplexobj(x) else _log_cosh_real(x)


@jax.custom_jvp
def _log_cosh_real(x: Array) -> Array:
    y = jnp.abs(x)
    return y + jnp.log1p(jnp.exp(-2.0 * y)) - math.log(2.0)


_log_cosh_real.defjvps(lambda dot, value, x: jnp.tanh(x) * dot)


@jax.custom_jvp
def _log_cosh_complex(z: Array) -> Array:
    r"""$\log\cosh(a + ib) = |a| - \log 2 + \log\bigl[(1+e)\cos b \pm i(1-e)\sin b\bigr]$ with $e = e^{-2|a|}$.

    In real numbers: accurate at the zeros too, and its derivative, tanh, knows no branches.
    """
    a, decay = jnp.abs(z.real), jnp.expm1(-2.0 * jnp.abs(z.real))
    x, y = (2.0 + decay) * jnp.cos(z.imag), -jnp.where(z.real < 0, -decay, decay) * jnp.sin(z.imag)
    return jax.lax.complex(a - math.log(2.0) + 0.5 * jnp.log(x * x + y * y), jnp.arctan2(y, x))


@_log_cosh_complex.defjvp
def _log_cosh_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (z,), (dot,) = primals, tangents
    decay = jnp.expm1(-2.0 * jnp.abs(z.real))
    e, sine, cosine = 1.0 + decay, jnp.sin(z.imag), jnp.cos(z.imag)
    size = decay * decay + 4.0 * e * cosine * cosine  # |2 cosh z|^2 e^(-2|a|)
    real = jnp.where(z.real < 0, decay, -decay) * (2.0 + decay)
    return _log_cosh_complex(z), jax.lax.complex(real / size, 4.0 * e * sine * cosine / size) * dot


def log_sum_exp(coefficients: Any, log_values: Inexact[Array, "batch terms"], complex_out: bool) -> Array:
    r"""$\log\sum_k c_k e^{f_k}$ along the last axis, with signs or phases.

    Args:
        coefficients: `[terms]`, `[1, terms]` or `[batch, terms]`, real or complex.
        log_values: $f$.
        complex_out: if False, the coefficients are positive and the result is as real as $f$.

    Returns:
        `[batch]`; $-\infty$ where the sum is zero.
    """
    shift = jax.lax.stop_gradient(jnp.max(log_values.real, axis=-1, keepdims=True))
    shift = jnp.where(jnp.isfinite(shift), shift, 0.0)
    values = jnp.exp(log_values - shift)
    if complex_out:
        values = values.astype(jnp.result_type(values.dtype, jnp.complex64))
    weights = jnp.asarray(coefficients)
    weights = (weights if jnp.iscomplexobj(values) else weights.real).astype(values.dtype)
    weights = jnp.atleast_2d(weights)
    total = values @ weights[0] if weights.shape[0] == 1 else jnp.sum(weights * values, axis=-1)
    zero = total == 0
    safe = jnp.log(jnp.where(zero, 1.0, total)) + shift[:, 0]
    return jnp.where(zero, -jnp.inf, safe)


def parameter_dtype(dtype: Any, what: str) -> np.dtype:
    """`float` and `complex` are the widest JAX holds now; any other dtype is taken at its word.

    Raises:
        PrecisionError: a 64-bit dtype in 32-bit mode.
        ShapeError: neither real nor complex.
    """
    found = real_dtype() if dtype is float else complex_dtype() if dtype is complex else check_dtype(dtype, what)
    if not jnp.issubdtype(found, jnp.inexact):
        raise ShapeError(
            f"Parameters of {what} are real or complex numbers.",
            got=found,
            expected="a float or complex dtype",
            try_="dtype=float",
        )
    return found


def normal(key: Array | nnx.RngStream, shape: tuple[int, ...], dtype: np.dtype, std: float | int) -> Array:
    """Normal numbers of standard deviation `std` (of the modulus, for complex ones).

    Of a stream of keys the next one is taken. The first numbers of a longer row are those of a shorter one, so that
    small arrays of all shapes share a program.
    """
    size, kind = math.prod(shape), jnp.dtype(dtype)
    cut = jax.config.jax_threefry_partitionable  # type: ignore[attr-defined]
    stream = isinstance(key, nnx.RngStream)
    source = key.key[...] if stream else key
    if isinstance(source, jax.core.Tracer) or size > _SHARED or not cut:
        return _normal(key() if stream else key, None, shape, kind, std)
    count = None
    if stream:  # as the stream takes it, but by the same program as the numbers
        count = key.count[...]
        key.count[...] = jax.device_put(np.asarray(count) + np.uint32(1))
    return jax.device_put(np.asarray(_few_normal(source, count, (_SHARED,), kind, std))[:size].reshape(shape))


def _drawn(key: Array, count: Array | None, shape: tuple[int, ...], dtype: np.dtype, std: Any) -> Array:
    key = key if count is None else jax.random.fold_in(key, count)
    return std * jax.random.normal(key, shape, dtype)


_normal = jax.jit(_drawn, static_argnums=(2, 3))
_few_normal = once(_drawn, light=True, static_argnums=(2, 3))


def sites_of(space: Any) -> int:
    """Number of sites of a space, a lattice or an int."""
    count = space if isinstance(space, int) else getattr(space, "n_sites", None)
    if not isinstance(count, int) or count < 1:
        raise ShapeError(
            "An ansatz needs a number of sites.",
            got=repr(space),
            expected="a space, a lattice or an int >= 1",
            try_="RBM(hilbert, ...)",
        )
    return count


def scaled_gelu(x: Array) -> Array:
    """The Gaussian error linear unit, scaled so that a normal input keeps unit variance."""
    return 1.5335 * jax.nn.gelu(x)
