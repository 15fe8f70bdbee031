r"""The likelihood of local Pauli measurements on a Gibbs state: value, score and Fisher information."""

import functools

import jax
import jax.numpy as jnp

from qml import linalg
from qml._core.types import Array, Float, Inexact, Int
from qml.gibbs import engine
from qml.gibbs.family import pull
from qml.gibbs.metric import inverse, root_of_inverse
from qml.operator.strings import PauliStrings

_FLOOR = 1e-15  # probabilities are sums of 2^n numbers of size 2^-n: below this they are rounding


@linalg.jitted
def losses(
    density: Inexact[Array, "size size"],
    table: Float[Array, "settings size"],
    index: Int[Array, "settings size"],
    readout: Float[Array, "sites 2 2"] | None = None,
) -> Float[Array, " settings"]:
    r"""Log-likelihood that a state loses in each setting, $\sum_x n_{bx} \log\frac{n_{bx}}{N_b\, p(x|b)} \ge 0$.

    Args:
        density: the state.
        table: counts of every outcome.
        index: `engine.setting_index` of the bases.
        readout: errors of the readout, see `engine.outcomes`.
    """
    paulis = engine.pauli_table(density)

    def one(row: tuple[Array, Array]) -> Array:
        counts, where = row
        law = jnp.maximum(engine.probabilities(paulis, where, readout), _FLOOR)
        share = counts / jnp.maximum(jnp.sum(counts), 1.0)
        return jnp.sum(counts * (jnp.log(jnp.where(counts > 0, share, 1.0)) - jnp.log(law) * (counts > 0)))

    return jax.lax.map(one, (table, index))


def lost(density: Array, table: Array, index: Array, readout: Array | None = None) -> Float[Array, ""]:
    """Sum of `losses` per shot."""
    return jnp.sum(losses(density, table, index, readout)) / jnp.sum(table)


@functools.partial(linalg.jitted, static_argnames="strings")
def divergence(
    strings: PauliStrings,
    theta: Float[Array, " terms"],
    table: Float[Array, "settings size"],
    index: Int[Array, "settings size"],
    readout: Float[Array, "sites 2 2"] | None = None,
) -> Float[Array, ""]:
    r"""Log-likelihood lost by the model, $\sum_{b,x} \frac{n_{bx}}{N} \log\frac{n_{bx}}{N_b\, p(x|b)} \ge 0$ per shot.

    $2N$ times it is the deviance.

    Args:
        strings: Pauli strings of the model.
        theta: couplings.
        table: counts of every outcome.
        index: `engine.setting_index` of the bases.
        readout: errors of the readout, see `engine.outcomes`.
    """
    state = engine.solve(strings, theta)
    return lost(engine.in_basis(state, state.weights), table, index, readout)


@functools.partial(linalg.jitted, static_argnames="strings")
def score_and_fisher(
    strings: PauliStrings,
    theta: Float[Array, " terms"],
    table: Float[Array, "settings size"],
    index: Int[Array, "settings size"],
    readout: Float[Array, "sites 2 2"] | None = None,
) -> tuple[Float[Array, " terms"], Float[Array, "terms terms"]]:
    r"""Gradient of the log-likelihood, and the Fisher information of the measurement that was made.

    $s_j = \sum_{bx} n_{bx}\,\partial_j p / p$ and $F_{ij} = \sum_b N_b \sum_x \partial_i p\,\partial_j p / p$.

    Args:
        strings: Pauli strings of the model.
        theta: couplings.
        table: counts of every outcome.
        index: `engine.setting_index` of the bases.
        readout: errors of the readout, see `engine.outcomes`.

    Returns:
        Score `[terms]` and expected Fisher information `[terms, terms]` of all shots.
    """
    state = engine.solve(strings, theta)
    paulis = engine.pauli_table(engine.in_basis(state, state.weights))
    slopes = engine.responses(strings, state)

    def add(total: tuple[Array, Array], row: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        score, fisher = total
        counts, where = row
        law = jnp.maximum(engine.probabilities(paulis, where, readout), _FLOOR)
        slope = engine.probabilities(slopes, where, readout)
        weighted = slope / law[None, :]
        return (score + weighted @ counts, fisher + jnp.sum(counts) * (weighted @ slope.T)), None

    zero = (jnp.zeros_like(theta), jnp.zeros((theta.shape[0], theta.shape[0]), theta.dtype))
    (score, fisher), _ = jax.lax.scan(add, zero, (table, index))
    return score, (fisher + fisher.T) / 2


@functools.partial(linalg.jitted, static_argnames="strings")
def bias(
    strings: PauliStrings,
    theta: Float[Array, " terms"],
    table: Float[Array, "settings size"],
    index: Int[Array, "settings size"],
    readout: Float[Array, "sites 2 2"] | None = None,
    tie: Float[Array, "terms params"] | None = None,
) -> Float[Array, " params"]:
    r"""Bias of the most likely couplings to order 1/N, $b = -F^{-1} A$ with
    $A_i = \frac12 \sum_{bx} N_b\, \partial_i p\; \big(\sum_{jk} F^{-1}_{jk}\, \partial_j \partial_k p\big) / p$.

    Directions without information are left out.

    Args:
        strings: Pauli strings of the model.
        theta: couplings.
        table: counts of every outcome; only the number of shots of each setting matters.
        index: `engine.setting_index` of the bases.
        readout: errors of the readout, see `engine.outcomes`.
        tie: couplings are this matrix times fewer parameters; `None` is one parameter for each.

    Source: Cox and Snell, J. R. Stat. Soc. B 30, 248 (1968); Firth, Biometrika 80, 27 (1993).
    """
    tie = jnp.eye(theta.shape[0]) if tie is None else tie
    _, fisher = score_and_fisher(strings, theta, table, index, readout)
    roots = root_of_inverse(tie.T @ fisher @ tie)

    def along(direction: Array) -> Array:
        slope = lambda t: jax.jvp(lambda t: engine.density(strings, t), (t,), (direction,))[1]  # noqa: E731
        return jax.jvp(slope, (theta,), (direction,))[1]

    bend = jax.lax.scan(lambda total, u: (total + along(u), None), along(0 * theta), (tie @ roots).T)[0]
    state = engine.solve(strings, theta)
    paulis, bends = engine.pauli_table(engine.in_basis(state, state.weights)), engine.pauli_table(bend)
    slopes = engine.responses(strings, state)

    def one(row: tuple[Array, Array]) -> Array:
        shots, where = row
        law = jnp.maximum(engine.probabilities(paulis, where, readout), _FLOOR)
        return (
            shots
            / 2
            * engine.probabilities(slopes, where, readout)
            @ (engine.probabilities(bends, where, readout) / law)
        )

    pull = jnp.sum(jax.lax.map(one, (jnp.sum(table, axis=1), index)), axis=0)
    return -roots @ (roots.T @ (tie.T @ pull))


@functools.partial(linalg.jitted, static_argnames="strings")
def known_to(
    strings: PauliStrings, theta: Array, table: Array, index: Array, readout: Array | None, tie: Array | None
) -> Float[Array, "params params"]:
    """Covariance of the most likely couplings, the inverse of `score_and_fisher`; infinite where the shots are blind.

    Args:
        strings: as the others, see `bias`.
        theta: see `bias`.
        table: see `bias`.
        index: see `bias`.
        readout: see `bias`.
        tie: see `bias`.
    """
    return inverse(pull(tie, score_and_fisher(strings, theta, table, index, readout)[1]))


def small_bias(
    strings: PauliStrings,
    theta: Array,
    table: Array,
    index: Array,
    readout: Array | None,
    tie: Array | None,
    covariance: Float[Array, "params params"],
) -> Float[Array, " params"]:
    """`bias` as far as an expansion can be believed.

    All of it where no coupling's is above half its standard error, nothing where one's is above a whole one, or has no
    finite error; a straight line in between.
    """
    error = jnp.sqrt(jnp.diagonal(covariance))
    found = bias(strings, theta, table, index, readout, tie)
    far = jnp.max(jnp.abs(found) / error)
    share = jnp.clip(2 * (1 - far), 0.0, 1.0)
    good = jnp.all(jnp.isfinite(error)) & jnp.isfinite(far) & (share > 0)
    return jnp.where(good, share * found, 0.0)
