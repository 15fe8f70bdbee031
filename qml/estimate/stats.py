"""A stochastic number carries its error: one record for energies, shots, Gibbs fits and loop estimators."""

import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

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
        error = jnp.sqrt(variance / effective) if count > 1 else jnp.full(mean.shape, jnp.nan, variance.dtype)
        return cls.independent(mean, error, count, variance)

    @classmethod
    def independent(cls, mean: Array, error: Array, count: int, variance: Array | None = None) -> "Stats":
        """The mean of `count` independent samples, its error known; so is the variance of one, if not given."""
        half, unknown = (jnp.full(mean.shape, number, error.dtype) for number in (0.5, jnp.nan))
        return cls(mean, error, count * error**2 if variance is None else variance, half, unknown, jnp.array(count))

    def __mul__(self, factor: int | float | Array) -> "Stats":
        scale = jnp.abs(jnp.asarray(factor))
        return Stats(
            self.mean * factor, self.error * scale, self.variance * scale**2, self.tau, self.r_hat, self.samples
        )

    __rmul__ = __mul__

    def __truediv__(self, factor: int | float | Array) -> "Stats":
        return self * (1.0 / factor)

    def __getitem__(self, index) -> "Stats":
        """One entry of an array of estimates."""
        shape = self.mean.shape

        def entry(a: Array) -> Array:
            return a[index] if a.shape == shape else a

        return Stats(*(entry(a) for a in (self.mean, self.error, self.variance, self.tau, self.r_hat, self.samples)))

    def __str__(self) -> str:
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(self)):
            return "Stats(traced)"
        mean, error = np.asarray(self.mean), np.asarray(self.error)
        if mean.ndim == 0:
            return format_error(mean.item(), error.item())
        flat = [format_error(m, e) for m, e in zip(mean.ravel().tolist(), error.ravel().tolist(), strict=True)]
        return "[" + ", ".join(flat) + "]"

    __repr__ = __str__

    def __pdoc__(self, **settings: Any) -> Any:
        """How it is printed inside other records."""
        from wadler_lindig import TextDoc

        return TextDoc(str(self))


def statistics(values: Any, weights: Any = None, used: Any = None) -> Stats:
    r"""Statistics of samples from Markov chains.

    The error is $\sqrt{2\tau\sigma^2/N}$. With at least 64 chains it comes from the scatter of the chain means, else
    $\tau$ sums the autocorrelation over all chains (initial monotone sequence). $\hat R$ compares half chains.

    Args:
        values: `[length, chains, ...]`, real or complex.
        weights: normalised weights `[length, chains]`; `None` is $1/N$ each.
        used: how many of the `length * chains` values count, the first ones, whole sweeps; the others have weight
            zero. May be traced; `None` is all.

    Returns:
        Entries of shape `[...]`; the variance of a complex number is $\langle|v-\bar v|^2\rangle$.

    Example:
        >>> import jax
        >>> from qml.estimate import statistics
        >>> stats = statistics(jax.random.normal(jax.random.key(0), (1000, 8)))
        >>> abs(float(stats.mean)) < 0.05, 0.4 < float(stats.tau) < 0.7, float(stats.r_hat) < 1.01
        (True, True, True)

    Source: Geyer, Statist. Sci. 7, 473 (1992), section 3.3; Vehtari et al., Bayesian Anal. 16, 667 (2021).
    """
    return _statistics(jnp.asarray(values), weights, used)


@jax.jit
def _statistics(values: Array, weights: Any, used: Any) -> Stats:
    length, chains = values.shape[:2]
    count, shape, steps = length * chains, values.shape[2:], None
    flat = values.reshape(count, -1)
    w = jnp.full((count,), 1.0 / count) if weights is None else jnp.asarray(weights).reshape(count)
    if used is not None:
        count = jnp.asarray(used, int)
        steps = count // chains
    fewer = _larger(count - 1, 1)
    mean = (w[None] @ flat)[0]  # sums as products with matrices compile to nothing
    apart = flat - mean[None]
    share, square = count * w[:, None], jnp.abs(apart) ** 2
    residual = share * apart
    squares = (w[None] @ jnp.concatenate([square, count * share * square], axis=1))[0]
    variance, scatter = squares[: mean.size] * (count / fewer), squares[mean.size :] / fewer
    # what rounding alone makes of a constant is no autocorrelation
    rounding = count * (4 * jnp.finfo(scatter.dtype).eps * jnp.abs(mean)) ** 2
    constant = scatter <= rounding
    residual = residual.reshape(length, chains, -1)
    tau = _tau_between(residual, scatter, steps) if chains >= _MANY_CHAINS else _tau_within(residual, scatter, steps)
    tau = jnp.where(constant, 0.5, tau)
    error = jnp.sqrt(2 * tau * scatter / count)
    if used is not None or count == 1:
        error = jnp.where(count > 1, error, jnp.nan)
    r_hat = jnp.where(constant, 1.0, _split_r_hat(values.reshape(length, chains, -1), steps))
    mean, error, variance, tau, r_hat = (a.reshape(shape) for a in (mean, error, variance, tau, r_hat))
    return Stats(mean, error, variance, tau, r_hat, jnp.array(count))


_MANY_CHAINS = 64
_SHORT = 128  # numbers that are compared each with each, which compiles to less than a loop


def _larger(a: Any, b: int) -> Any:
    """The larger of two numbers, known or traced."""
    return max(a, b) if isinstance(a, int) else jnp.maximum(a, b)


def _tau_between(residual: Array, scatter: Array, steps: Array | None) -> Array:
    """Autocorrelation time from the scatter of independent chain means."""
    length, chains = residual.shape[:2]
    means = jnp.mean(residual, axis=0) if steps is None else jnp.sum(residual, axis=0) / steps
    length = length if steps is None else steps
    between = jnp.sum(jnp.abs(means) ** 2, axis=0) / (chains - 1)
    return 0.5 * length * between / jnp.where(scatter > 0, scatter, 1.0)


def _tau_within(residual: Array, scatter: Array, steps: Array | None = None) -> Array:
    """Autocorrelation time from the initial monotone sequence of pair sums of the autocorrelation over all chains.

    Residuals from `steps` on are zero.
    """
    length = residual.shape[0]
    power = jnp.mean(jnp.abs(jnp.fft.fft(residual, 2 * length, axis=0)) ** 2, axis=1)
    covariance = jnp.fft.ifft(power, axis=0).real[:length]
    count: Any = length if steps is None else steps
    rho = covariance / count / jnp.where(scatter > 0, scatter, 1.0)[None]
    pairs = rho[: length // 2 * 2].reshape(length // 2, 2, *rho.shape[1:]).sum(axis=1) if length > 1 else rho
    if steps is not None:
        inside = jnp.arange(len(pairs)) < _larger(steps // 2, 1)
        pairs = jnp.where(inside.reshape(-1, *[1] * (pairs.ndim - 1)), pairs, 0.0)
    total = jnp.sum(jnp.maximum(_lowest(pairs), 0.0), axis=0)  # up to the first pair that is not positive
    return jnp.maximum(total - 0.5, 0.5 / count)


def _lowest(values: Array) -> Array:
    """The lowest of the values so far, along the first axis."""
    length = len(values)
    if length > _SHORT:

        def lower(low: Array, x: Array) -> tuple[Array, Array]:
            low = jnp.minimum(low, x)
            return low, low

        return jax.lax.scan(lower, jnp.full_like(values[0], jnp.inf), values)[1]
    so_far = np.tri(length, dtype=bool).reshape(length, length, *[1] * (values.ndim - 1))
    return jnp.min(jnp.where(so_far, values[None], jnp.inf), axis=1)


def _halves(values: Array, steps: Array | None) -> tuple[Array, Array, Any]:
    """Deviations of half chains, side by side, from their means, those means, and the length of a half.

    Of chains of which only the first `steps` values count, deviations beyond the half are zero.
    """
    half = values.shape[0] // 2
    if steps is None:
        halves = jnp.concatenate([values[:half], values[-half:]], axis=1)
        means = jnp.mean(halves, axis=0)
        return halves - means[None], means, half
    row, half = jnp.arange(half), steps // 2
    second = values[jnp.minimum(steps - half + row, values.shape[0] - 1)]
    halves = jnp.concatenate([values[: len(row)], second], axis=1)
    inside = (row < half).reshape(-1, *[1] * (values.ndim - 1))
    means = jnp.sum(jnp.where(inside, halves, 0), axis=0) / jnp.maximum(half, 1)
    return jnp.where(inside, halves - means[None], 0), means, half


def _split_r_hat(values: Array, steps: Array | None = None) -> Array:
    """Split R-hat: half chains against each other; NaN below two values a half chain, infinite for stuck chains."""
    if values.shape[0] < 4:
        return jnp.full(values.shape[2:], jnp.nan, values.real.dtype)
    apart, means, half = _halves(values, steps)
    within = jnp.mean(jnp.sum(jnp.abs(apart) ** 2, axis=0) / _larger(half - 1, 1), axis=0)
    between = jnp.sum(jnp.abs(means - jnp.mean(means, axis=0)[None]) ** 2, axis=0) / (len(means) - 1)
    ratio = between / jnp.where(within > 0, within, 1.0)
    ratio = jnp.where(within > 0, ratio, jnp.where(between > 0, jnp.inf, 1.0 / half))
    r_hat = jnp.sqrt((half - 1) / half + ratio)
    return r_hat if steps is None else jnp.where(half < 2, jnp.nan, r_hat)


def chains_disagree(values: Any, steps: Any = None) -> Array:
    r"""Whether chains have different means, beyond what their own autocorrelation makes of finite chains.

    The means of half chains of $h$ values should scatter by $2\tau\sigma^2/h$ and a little less for small $h$, with
    $\tau$ and $\sigma^2$ from within them. They disagree where they scatter by more than a fluctuation of one in a
    thousand of that, and R-hat is above 1.02. The error of $\tau$ is allowed for.

    Args:
        values: `[length, chains]`, real.
        steps: how many of the `length` count, the first ones; may be traced; `None` is all.

    Returns:
        A flag; False where half a chain has less than four values, which tells nothing.

    Source: Vehtari et al., Bayesian Anal. 16, 667 (2021), for R-hat.
    """
    values = jnp.asarray(values)
    if values.shape[0] < 8:
        return jnp.array(False)
    steps = None if steps is None else jnp.asarray(steps, int)  # quotients of 32-bit integers have 32 bits
    residual, means, half = _halves(values, steps)
    freedom, count = len(means) - 1, half * len(means)
    scatter = jnp.mean(residual**2) if steps is None else jnp.sum(residual**2) / _larger(count, 1)
    positive = jnp.where(scatter > 0, scatter, 1.0)
    tau = jnp.maximum(_tau_within(residual, scatter, None if steps is None else _larger(half, 1)), 0.5)
    # a residual from a mean of its own lacks the share 2 tau / h of the variance
    own = 1 - jnp.minimum(2 * tau / half, 0.75)
    share = 2 * tau / half / own**2
    if steps is None:
        neighbours, root = jnp.mean(residual[1:] * residual[:-1]) * (half - 1) / half, math.sqrt(count)
        (known, expected), longest = _short_chains(min(half, 64)), min(half, 64)
    else:
        neighbours, root = jnp.sum(residual[1:] * residual[:-1]) / _larger(count, 1), jnp.sqrt(count)
        tables = np.array([_short_chains(h) for h in range(4, 65)])
        longest = jnp.clip(half, 4, 64)
        known, expected = jnp.asarray(tables)[longest - 4]
    correlation = 1 / root + neighbours / positive
    width, rise = known[1:] - known[:-1], expected[1:] - expected[:-1]  # linear between them, without a search
    short = (expected[0] + jnp.sum(jnp.clip(correlation - known[:-1], 0, width) * rise / width)) * (longest / half)
    limit = (1 - 2 / (9 * freedom) + 3.1 * math.sqrt(2 / (9 * freedom))) ** 3  # chi-square over its mean
    limit = limit * (1 + 2 * jnp.sqrt(8 * tau / count))
    between = jnp.sum((means - jnp.mean(means)) ** 2) / freedom
    rounding = (8 * jnp.finfo(means.dtype).eps * jnp.max(jnp.abs(means))) ** 2
    alarm = between > limit * jnp.maximum(share, short) * scatter + rounding
    alarm &= _split_r_hat(values, steps) > 1.02
    return alarm if steps is None else alarm & (half >= 4)


@functools.lru_cache
def _short_chains(half: int) -> tuple[np.ndarray, np.ndarray]:
    """Of short autoregressive chains: correlation of neighbours as it seems, and variance of the mean over that within.

    Both are smaller, and larger, than in long chains, as residuals are taken from a mean of their own.
    """
    seen, ratio = [], []
    for phi in np.linspace(0, 0.98, 50):
        covariance = phi ** np.abs(np.arange(half)[:, None] - np.arange(half)[None, :])
        mean = covariance.mean()
        inner = covariance - covariance.mean(axis=0)[None, :] - covariance.mean(axis=1)[:, None] + mean
        seen.append(np.trace(inner, 1) / np.trace(inner))
        ratio.append(mean / (np.trace(inner) / half))
    return np.array(seen), np.array(ratio)


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
