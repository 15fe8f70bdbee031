"""A stochastic number carries its error: one record for energies, shots, Gibbs fits and loop estimators."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.types import Array


class Stats(eqx.Module):
    """A mean with its statistical error; prints as `-13.2713(42)`.

    Args:
        mean: the estimate; an array of any shape, real or complex.
        error: one standard error of the mean, same shape, real.
        variance: variance of one sample, same shape, real.
        tau: integrated autocorrelation time in samples (0.5 for independent ones), same shape or scalar.
        r_hat: split R-hat over chains; 1 is perfect, above 1.02 the chains disagree; NaN where there are no chains.
        samples: number of samples behind the mean.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.estimate.stats import Stats
        >>> print(Stats.exact(jnp.array(2.0)), Stats.of(jnp.array([1.0, 2.0, 3.0])))
        2 2.00(58)
    """

    mean: Array
    error: Array
    variance: Array
    tau: Array
    r_hat: Array
    samples: Array

    @classmethod
    def exact(cls, value: Array) -> "Stats":
        """A number without statistical error."""
        value = jnp.asarray(value)
        zero = jnp.zeros(value.shape, value.real.dtype)
        return cls(value, zero, zero, zero, jnp.full(value.shape, jnp.nan, zero.dtype), jnp.array(0))

    @classmethod
    def of(cls, values: Array, weights: Array | None = None) -> "Stats":
        r"""Statistics of independent samples along the first axis.

        Args:
            values: `[samples, ...]`, real or complex.
            weights: normalised weights `[samples]`; `None` is $1/N$ each.

        Returns:
            The mean, with error $\sqrt{s^2/N}$ ($s^2$ unbiased; with weights $N$ is the effective number of samples).
        """
        values = jnp.asarray(values)
        count = values.shape[0]
        w = jnp.full((count,), 1.0 / count) if weights is None else weights
        mean = jnp.tensordot(w, values, 1)
        effective = 1.0 / jnp.sum(w**2)
        variance = jnp.tensordot(w, jnp.abs(values - mean[None]) ** 2, 1) * effective / jnp.maximum(effective - 1, 1)
        nan = jnp.full(mean.shape, jnp.nan, variance.dtype)
        error = jnp.sqrt(variance / effective) if count > 1 else nan
        return cls(mean, error, variance, jnp.full(mean.shape, 0.5, variance.dtype), nan, jnp.array(count))

    def __mul__(self, factor: float | Array) -> "Stats":
        scale = jnp.abs(jnp.asarray(factor))
        return Stats(
            self.mean * factor, self.error * scale, self.variance * scale**2, self.tau, self.r_hat, self.samples
        )

    __rmul__ = __mul__

    def __truediv__(self, factor: float | Array) -> "Stats":
        return self * (1.0 / factor)

    def __getitem__(self, index) -> "Stats":
        """One entry of an array of estimates."""
        shape = self.mean.shape

        def entry(a: Array) -> Array:
            return a[index] if a.shape == shape else a

        return Stats(*(entry(a) for a in (self.mean, self.error, self.variance, self.tau, self.r_hat, self.samples)))

    def __str__(self) -> str:
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(self)):
            return "Stats(traced)"
        mean, error = np.asarray(self.mean), np.asarray(self.error)
        if mean.ndim == 0:
            return format_error(mean.item(), error.item())
        flat = [format_error(m, e) for m, e in zip(mean.ravel().tolist(), error.ravel().tolist(), strict=True)]
        return "[" + ", ".join(flat) + "]"

    __repr__ = __str__


def format_error(mean: float | complex, error: float) -> str:
    """`-13.2713(42)`: the error's two leading digits in units of the last digit shown.

    Args:
        mean: the number; of a complex one both parts are shown.
        error: one standard error; zero prints the mean alone.
    """
    if isinstance(mean, complex):
        if mean.imag == 0:
            return format_error(mean.real, error)
        sign = "-" if mean.imag < 0 else "+"
        return f"{format_error(mean.real, error)}{sign}{format_error(abs(mean.imag), error)}i"
    if not math.isfinite(mean) or not math.isfinite(error):
        return f"{mean:.6g}({error:.2g})" if math.isfinite(mean) else f"{mean}"
    if error == 0:
        return f"{mean:.12g}"
    digits = 1 - math.floor(math.log10(error))
    if round(error * 10**digits) >= 100:
        digits -= 1
    if digits <= 0:
        return f"{round(mean, digits):.0f}({round(error, digits):.0f})"
    if digits == 1 and error >= 1:
        return f"{mean:.1f}({error:.1f})"
    return f"{mean:.{digits}f}({round(error * 10**digits):d})"
