"""Functions of several means from the same samples, and the covariance of the means."""

from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp

from qml._core.errors import ShapeError
from qml._core.tree import realify
from qml._core.types import Array, Float, Int, PyTree
from qml.estimate.samples import Samples
from qml.estimate.stats import Stats

_BATCHES = 256  # batch means behind a correlation: it is then known to 1/16


def combine(function: Callable[..., PyTree], *sets: tuple[Samples, PyTree]) -> PyTree:
    r"""A function of means with its error, by the delta method: $f(\bar v)$ with all correlations of the $\bar v$.

    The error is that of the mean of the linearised values $z_s = f(\bar v) + f'(\bar v)(v_s - \bar v)$, so
    covariances and autocorrelation are those of the very combination that is asked for, and no matrix is made. The bias
    $\frac12 \mathrm{Tr} f'' C = O(1/N)$ is not removed; it is small where the error is.

    Args:
        function: maps one tree of means for each set to a number, an array or a tree of them; real or complex,
            differentiable (it may use `conj` and `abs`).
        sets: pairs `(samples, values)` with a tree of `values[samples, ...]`; the sets are independent of each other.

    Returns:
        `Stats` for each array that the function returns. Of several sets the errors and variances add in squares, the
        autocorrelation time and R-hat are the largest.

    Raises:
        ShapeError: there is no set, or values have not one row for each sample.

    Example:
        >>> import jax.numpy as jnp
        >>> import qml
        >>> from qml.estimate import combine
        >>> state = qml.FullSumState((jnp.zeros(2), lambda params, x: x @ params), qml.hilbert.Spin(2))
        >>> _, samples = state.sample()
        >>> m = jnp.sum(samples.x, axis=1) / 2.0
        >>> print(combine(lambda mean: mean["m2"] - mean["m"] ** 2, (samples, {"m": m, "m2": m**2})))
        0.5
    """
    result, changes = influence(function, *sets)
    parts = [
        jax.tree.map(lambda z, f, s=samples: s.statistics(z + f[None]), change, result)
        for (samples, _), change in zip(sets, changes, strict=True)
    ]
    return jax.tree.map(_merge, result, *parts)


def influence(function: Callable[..., PyTree], *sets: tuple[Samples, PyTree]) -> tuple[PyTree, list[PyTree]]:
    r"""The value $f(\bar v)$ and, of each set, how much each sample changes it: $f'(\bar v)(v_s - \bar v)$.

    Args:
        function: as for `combine`.
        sets: as for `combine`.

    Returns:
        The value, and for each set a tree like it of `[samples, ...]` with weighted mean zero.

    Raises:
        ShapeError: there is no set, or values have not one row for each sample.
    """
    if not sets:
        raise ShapeError("There is nothing to combine.", got="no set", expected="(samples, values)", try_="one set")
    checked = [(samples, _checked(samples, values)) for samples, values in sets]
    means = [jax.tree.map(samples.mean, values) for samples, values in checked]
    result, linear = jax.linearize(function, *means)
    changes = []
    for k, (_, values) in enumerate(checked):
        others = [jax.tree.map(jnp.zeros_like, m) for m in means]

        def along(deviation: PyTree, k: int = k, others: list = others) -> PyTree:
            return linear(*others[:k], deviation, *others[k + 1 :])

        changes.append(jax.vmap(along)(jax.tree.map(lambda v, m: v - m[None], values, means[k])))
    return result, changes


@final
class Joint(eqx.Module):
    r"""Several means from the same samples, with their covariance.

    Args:
        mean: tree of means.
        covariance: of all real numbers in it, leaf by leaf, a complex leaf as its real, then its imaginary parts; that
            of the means, not of one sample.
        samples: number of samples behind them.
    """

    mean: PyTree
    covariance: Float[Array, "means means"]
    samples: Int[Array, ""]


def joint(samples: Samples, values: PyTree) -> Joint:
    r"""Means and their covariance $C = D R D$, autocorrelation included.

    The errors $D$ are those of `Samples.statistics`; the correlations $R$ are those of the means of about 256 batches
    of consecutive samples, so $C$ is never indefinite. To combine means whose samples are at hand `combine` is better.

    Args:
        samples: weighted configurations.
        values: tree of `values[samples, ...]`.

    Raises:
        ShapeError: values have not one row for each sample.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from qml.estimate import Samples, joint
        >>> z = jax.random.normal(jax.random.key(0), (4000, 2))
        >>> samples = Samples(jnp.ones((4000, 1), jnp.int8), jnp.full(4000, 1 / 4000), jnp.zeros(4000), 100)
        >>> both = joint(samples, {"a": z[:, 0], "b": z[:, 0] + z[:, 1]})
        >>> (4000 * both.covariance).round(0).tolist()
        [[1.0, 1.0], [1.0, 2.0]]
    """
    values = _checked(samples, values)
    mean = jax.tree.map(samples.mean, values)
    rows = jax.vmap(lambda v: realify(v)[0])(values)
    count = jnp.asarray(samples.count)
    if samples.chains is None:
        return Joint(mean, jnp.zeros((rows.shape[1],) * 2), count)
    error = samples.statistics(rows).error
    residual = samples.count * samples.weights[:, None] * (rows - samples.mean(rows)[None])
    chains = residual.reshape(-1, samples.chains, rows.shape[1])
    length = min(chains.shape[0], max(1, rows.shape[0] // _BATCHES))
    batches = chains[chains.shape[0] % length :].reshape(-1, length, samples.chains, rows.shape[1])
    batches = jnp.mean(batches, axis=1).reshape(-1, rows.shape[1])
    batches = batches - jnp.mean(batches, axis=0)[None]
    norm = jnp.linalg.norm(batches, axis=0)
    scaled = batches / jnp.where(norm > 0, norm, 1.0)[None] * jnp.where(norm > 0, error, 0.0)[None]
    return Joint(mean, scaled.T @ scaled, count)


def propagate(function: Callable[[PyTree], PyTree], means: Joint) -> PyTree:
    r"""A function of jointly estimated means with its error $\sqrt{\nabla f^T C\, \nabla f}$.

    Args:
        function: maps the tree of means to a number, an array or a tree of them.
        means: with their covariance, from `joint`.

    Returns:
        `Stats` for each array that the function returns, without autocorrelation time and R-hat (NaN); the variance is
        the squared error times the number of samples.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.estimate import Joint, propagate
        >>> both = Joint((jnp.array(3.0), jnp.array(2.0)), jnp.array([[0.04, 0.01], [0.01, 0.04]]), jnp.array(100))
        >>> print(propagate(lambda mean: mean[0] - mean[1], both))
        1.00(24)
    """
    vector, back = realify(means.mean)
    result, linear = jax.linearize(lambda v: function(back(v)), vector)
    columns = jax.vmap(linear)(jnp.eye(vector.shape[0], dtype=vector.dtype))

    def one(value: Array, slope: Array) -> Stats:
        flat = slope.reshape(slope.shape[0], -1)
        square = jnp.einsum("kf,kl,lf->f", flat.conj(), means.covariance, flat).real.reshape(value.shape)
        square = jnp.maximum(square, 0.0)
        nan = jnp.full(value.shape, jnp.nan, square.dtype)
        return Stats(value, jnp.sqrt(square), square * means.samples, nan, nan, means.samples)

    return jax.tree.map(one, result, columns)


def _checked(samples: Samples, values: PyTree) -> PyTree:
    def one(v: Any) -> Array:
        v = jnp.asarray(v)
        if v.ndim == 0 or v.shape[0] != samples.weights.shape[0]:
            raise ShapeError(
                "Values have one row for each sample.",
                got=f"shape {v.shape}",
                expected=f"[{samples.weights.shape[0]}, ...]",
                try_="values of samples.x",
            )
        return v.astype(jnp.result_type(v.dtype, samples.weights.dtype))

    return jax.tree.map(one, values)


def _merge(value: Array, *parts: Stats) -> Stats:
    """One estimate from the contributions of independent sets of samples."""

    def largest(field: str) -> Array:
        entries = [getattr(p, field) for p in parts]
        total = entries[0]
        for entry in entries[1:]:
            total = jnp.fmax(total, entry)
        return total

    error = jnp.sqrt(sum((p.error**2 for p in parts), start=jnp.zeros(())))
    variance = sum((p.variance for p in parts), start=jnp.zeros(()))
    samples = sum((p.samples for p in parts), start=jnp.array(0))
    return Stats(value, error, variance, largest("tau"), largest("r_hat"), samples)
