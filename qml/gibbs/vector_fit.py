r"""Couplings of large systems from averages of strings: mirror descent whose traces are means over random vectors.

All steps use the same vectors, so that the fit is a root of a fixed function; what the vectors are off by is part of
the error of the couplings.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml import linalg
from qml._core.errors import ConfigError, SpaceError
from qml._core.types import Array, Bool, Float
from qml.gibbs.marginal import MarginalObjective
from qml.gibbs.metric import inverse, natural
from qml.gibbs.objective import AbstractObjective, DataObjective
from qml.gibbs.vectors import LOST, VectorGibbs, brackets, string_products
from qml.operator.matvec import prepare

_LONGEST = 512  # terms of a Chebyshev series
_MEMORY = 2**32  # bytes of all strings times one vector


class VectorData(eqx.Module):
    """Averages to reach with their covariance, and what the random vectors say at the present couplings."""

    target: Float[Array, " terms"]
    covariance: Float[Array, "terms terms"]
    log_partition: Float[Array, ""]
    weights: Float[Array, " vectors"]  # <r|exp(-K)|r> over the mean of it
    means: Float[Array, "vectors terms"]  # the same with a string in the middle
    metric: Float[Array, "terms terms"]
    warm: Bool[Array, ""]  # the series of exp(-K) have not lost their precision


def begin(objective: AbstractObjective, model: VectorGibbs) -> VectorData:
    """Averages and covariance of an objective, and the numbers of a model.

    Raises:
        ConfigError: the objective needs more than averages of the model's strings.
        DataError: the averages do not fit the strings.
        SpaceError: there are too many strings for the memory.
    """
    size = 8 * len(model.strings) * model.hilbert.size * (1 if model.strings.is_real else 2)
    if size > _MEMORY:
        raise SpaceError(
            "The products of all strings with a vector do not fit into memory.",
            got=f"{len(model.strings)} strings on {model.hilbert.n_sites} sites",
            expected="8 * strings * 2^sites <= 4 GiB (16 for strings with an odd number of Y)",
            try_="fewer strings, or qml.gibbs.window_couplings",
        )
    matched = isinstance(objective, MarginalObjective | DataObjective)
    if not matched or (isinstance(objective, DataObjective) and objective.method not in ("auto", "moments")):
        raise ConfigError(
            "Beyond matrices, couplings are learned from averages of their strings.",
            got=f"{type(objective).__name__} {getattr(objective, 'method', '')}".strip(),
            expected="DataObjective(shots), with the method 'auto' or 'moments', or a MarginalObjective",
            try_="DataObjective(shots); up to 12 sites a PauliGibbs takes every objective",
        )
    if isinstance(objective, MarginalObjective):
        objective.check_count(len(model.strings))
        goal = objective.marginals, objective.covariance
    else:
        objective.shots.check_sites(model.hilbert)
        goal = objective.shots.moments(model.strings)
    return measured(model, *goal)


def step(model: VectorGibbs, data: VectorData, step_size: Array) -> tuple[VectorGibbs, VectorData, dict[str, Array]]:
    r"""$\theta \leftarrow \theta + \lambda V^{-1} (\eta - \hat\eta)$ with the symmetric covariance V of the strings.

    V is not less than the derivative of the averages (the Kubo-Mori metric), and needs no further series; so a full
    step does not go too far near the goal. Couplings move by at most one.
    """
    direction = natural(data.metric, jnp.mean(data.means, axis=0) - data.target)
    length = step_size / jnp.maximum(jnp.max(jnp.abs(direction)), 1.0)
    moved = model.with_theta(model.theta + length * direction)
    after = measured(moved, data.target, data.covariance)
    theta = jnp.where(after.warm, moved.theta, model.theta)
    found = jax.tree.map(lambda a, b: jnp.where(after.warm, a, b), after, data)
    means = jnp.mean(found.means, axis=0)
    numbers = final(model.with_theta(theta), found)
    info = {
        "loss": found.log_partition + theta @ found.target,
        "entropy": numbers["entropy"],
        "gradient_norm": jnp.linalg.norm(means - found.target),
        "natural_gradient": jnp.max(jnp.abs(direction)),
        "stalled": ~after.warm,
    }
    return model.with_theta(theta), found, info


def final(model: VectorGibbs, data: VectorData) -> dict[str, Array]:
    """Entropy and log Z, without the errors of the vectors; `model.entropy()` has them."""
    energy = model.theta @ jnp.mean(data.means, axis=0)
    return {"entropy": data.log_partition + energy, "log_partition": data.log_partition}


def finish(model: VectorGibbs, data: VectorData) -> VectorGibbs:
    r"""The model with the covariance $J^{-1} (\Sigma + \Sigma_R) J^{-1}$ of the data and of the random vectors.

    J are the derivatives of the averages, by forward mode along every coupling.
    """
    return eqx.tree_at(lambda m: m.covariance, model, _spread(model, data))


@linalg.jitted
def measured(model: VectorGibbs, target: Array, covariance: Array) -> VectorData:
    """A goal with the numbers of a model."""
    cooled = _cooling(model, model.theta)

    def add(total: Array, start: Array) -> tuple[Array, tuple[Array, Array]]:
        vector = cooled(start)
        rows = string_products(model.strings, vector)
        total = total + (rows.conj() @ rows.T).real
        return total, (jnp.vdot(vector, vector).real, (rows @ vector.conj()).real)

    total, (z, m) = jax.lax.scan(add, jnp.zeros((len(model.strings),) * 2), model.starts)
    means = jnp.sum(m, axis=0) / jnp.sum(z)
    metric = total / jnp.sum(z) - means[:, None] * means[None, :]
    size = jnp.max(jnp.sum(jnp.abs(model.starts) ** 2, axis=1) / z)
    warm = (jnp.finfo(float).eps * jnp.sqrt(size) <= LOST) & jnp.all(jnp.isfinite(m))
    logs = jnp.log(jnp.mean(z)) + jnp.sum(jnp.abs(model.theta))
    return VectorData(target, covariance, logs, z / jnp.mean(z), m / jnp.mean(z), metric, warm)


def _cooling(model: VectorGibbs, theta: Array) -> Callable[[Array], Array]:
    r"""$e^{-(K + b)/2}$ times a vector, $b = |\theta|_1$, by as many terms as these couplings need."""
    k, bound = prepare(model.strings, theta, model.hilbert), jax.lax.stop_gradient(jnp.sum(jnp.abs(theta)))
    bound = jnp.maximum(bound, 1e-3)
    reach = bound / 2
    count = jnp.minimum((reach + 14 + 4 * jnp.sqrt(2 * reach)).astype(int), _LONGEST)
    turns = 2 * np.pi * np.arange(2 * _LONGEST) / (2 * _LONGEST)
    waves = jnp.asarray(np.cos(np.outer(np.arange(_LONGEST), turns)) * (-1.0) ** np.arange(_LONGEST)[:, None])
    series = waves @ jnp.exp(reach * (jnp.cos(turns) - 1)) / _LONGEST  # scaled Bessel functions of all orders, twice

    def cooled(start: Array) -> Array:
        first = k(start).astype(start.dtype) / bound
        total = series[0] / 2 * start + series[1] * first

        def term(order: Array, loop: tuple) -> tuple:
            older, old, total = loop
            new = 2 / bound * k(old).astype(start.dtype) - older
            return old, new, total + series[order] * new

        return jax.lax.fori_loop(2, count, term, (start, first, total))[2]

    return cooled


@linalg.jitted
def _spread(model: VectorGibbs, data: VectorData) -> Array:
    def means(theta: Array) -> Array:
        cooled = _cooling(model, theta)

        def add(total: tuple[Array, Array], start: Array) -> tuple[tuple[Array, Array], None]:
            vector = cooled(start)
            parts = jnp.vdot(vector, vector).real, brackets(model.strings, vector, vector)
            return jax.tree.map(jnp.add, total, parts), None

        (z, m), _ = jax.lax.scan(add, (jnp.zeros(()), jnp.zeros_like(theta)), model.starts)
        return m / z

    slopes = jax.lax.map(lambda v: -jax.jvp(means, (model.theta,), (v,))[1], jnp.eye(model.theta.shape[0]))
    bread = inverse((slopes + slopes.T) / 2)
    blind = jnp.isinf(jnp.diagonal(bread))
    bread = jnp.where(jnp.isinf(bread), 0.0, bread)
    count = data.weights.shape[0]
    off = data.means - data.weights[:, None] * jnp.mean(data.means, axis=0)[None, :]
    noise = off.T @ off / (count * (count - 1))
    spread = bread @ (data.covariance + noise) @ bread
    return jnp.where(blind[:, None] & jnp.eye(len(blind), dtype=bool), jnp.inf, spread)
