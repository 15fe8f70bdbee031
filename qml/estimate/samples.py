"""Weighted configurations: what a state hands to the estimators."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from qml._core.types import Array, Float, Inexact, Int
from qml.estimate.stats import Stats, statistics


class Samples(eqx.Module):
    r"""Configurations with weights: $1/N$ from Markov chains, $|\psi|^2$ from a full sum.

    Chains that draw from $|\psi|^n$ have weights in proportion to $|\psi|^{2-n}$.

    Args:
        x: configurations; row `step * chains + chain` from Markov chains.
        weights: sum to one.
        log_psi: log psi of each row.
        chains: number of chains, or `None` for a full sum, whose means have no statistical error.
        used: how many rows count, the first ones, whole sweeps of all chains; the others have weight zero and repeat a
            row that counts. `None`: all.
    """

    x: Int[Array, "samples sites"]
    weights: Float[Array, " samples"]
    log_psi: Inexact[Array, " samples"]
    chains: int | None = eqx.field(static=True)
    used: Int[Array, ""] | None = None

    @property
    def count(self) -> Any:
        """How many rows count."""
        return self.weights.shape[0] if self.used is None else self.used

    @property
    def steps(self) -> Any:
        """Sweeps of each chain that count, where not all do."""
        return None if self.used is None or self.chains is None else self.used // self.chains

    @property
    def weight_share(self) -> Array:
        r"""Effective share of the samples by their weights, $1 / (N \sum_s w_s^2)$: 1 where all are equal."""
        return 1.0 / (self.count * jnp.sum(self.weights**2))

    def mean(self, values: Any) -> Array:
        r"""Weighted mean $\sum_s w_s v_s$ of `values[samples, ...]`."""
        return jnp.tensordot(self.weights, jnp.asarray(values), 1)

    def means(self, *values: Array) -> tuple[Array, ...]:
        """Weighted means of several `values[samples]` by one sum, which compiles to less than each by itself."""
        dtype = jnp.result_type(*values)
        found = jnp.sum(jnp.stack([v.astype(dtype) for v in values]) * self.weights[None], axis=1)
        return tuple(m if jnp.iscomplexobj(v) else m.real for m, v in zip(found, values, strict=True))

    def statistics(self, values: Any, *, hermitian: bool = False) -> Stats:
        """Mean with error, variance, autocorrelation time and R-hat of `values[samples, ...]`.

        Args:
            values: local values of an operator.
            hermitian: the mean is known to be real: imaginary parts count in the variance alone.
        """
        return _statistics(self, jnp.asarray(values), hermitian)


@jax.jit(static_argnums=2)
def _statistics(samples: Samples, values: Array, hermitian: bool) -> Stats:
    if hermitian and jnp.iscomplexobj(values):
        real, imaginary = samples.statistics(values.real), samples.statistics(values.imag)
        return eqx.tree_at(lambda s: s.variance, real, real.variance + imaginary.variance)
    if samples.chains is None:
        mean = samples.mean(values)
        variance = samples.mean(jnp.abs(values - mean[None]) ** 2)
        exact = Stats.exact(mean)
        return Stats(mean, exact.error, variance, exact.tau, exact.r_hat, exact.samples)
    shape = (-1, samples.chains)
    return statistics(values.reshape(*shape, *values.shape[1:]), samples.weights.reshape(shape), samples.used)
