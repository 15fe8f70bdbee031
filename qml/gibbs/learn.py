r"""The likelihood of local Pauli measurements on a Gibbs state: value, score and Fisher information."""

import functools

import jax
import jax.numpy as jnp

from qml._core.types import Array, Float, Inexact, Int
from qml.gibbs import engine
from qml.operator.strings import PauliStrings

_FLOOR = 1e-15  # probabilities are sums of 2^n numbers of size 2^-n: below this they are rounding


@jax.jit
def losses(
    density: Inexact[Array, "size size"], table: Float[Array, "settings size"], index: Int[Array, "settings size"]
) -> Float[Array, " settings"]:
    r"""Log-likelihood that a state loses in each setting, $\sum_x n_{bx} \log\frac{n_{bx}}{N_b\, p(x|b)} \ge 0$.

    Args:
        density: the state.
        table: counts of every outcome.
        index: `engine.setting_index` of the bases.
    """
    paulis = engine.pauli_table(density)

    def one(row: tuple[Array, Array]) -> Array:
        counts, where = row
        law = jnp.maximum(engine.probabilities(paulis, where), _FLOOR)
        share = counts / jnp.maximum(jnp.sum(counts), 1.0)
        return jnp.sum(counts * (jnp.log(jnp.where(counts > 0, share, 1.0)) - jnp.log(law) * (counts > 0)))

    return jax.lax.map(one, (table, index))


def lost(density: Array, table: Array, index: Array) -> Float[Array, ""]:
    """Sum of `losses` per shot."""
    return jnp.sum(losses(density, table, index)) / jnp.sum(table)


@functools.partial(jax.jit, static_argnames="strings")
def divergence(
    strings: PauliStrings,
    theta: Float[Array, " terms"],
    table: Float[Array, "settings size"],
    index: Int[Array, "settings size"],
) -> Float[Array, ""]:
    r"""Log-likelihood lost by the model, $\sum_{b,x} \frac{n_{bx}}{N} \log\frac{n_{bx}}{N_b\, p(x|b)} \ge 0$ per shot.

    $2N$ times it is the deviance.

    Args:
        strings: Pauli strings of the model.
        theta: couplings.
        table: counts of every outcome.
        index: `engine.setting_index` of the bases.
    """
    state = engine.solve(strings, theta)
    return lost(engine.in_basis(state, state.weights), table, index)


@functools.partial(jax.jit, static_argnames="strings")
def score_and_fisher(
    strings: PauliStrings,
    theta: Float[Array, " terms"],
    table: Float[Array, "settings size"],
    index: Int[Array, "settings size"],
) -> tuple[Float[Array, " terms"], Float[Array, "terms terms"]]:
    r"""Gradient of the log-likelihood, and the Fisher information of the measurement that was made.

    $s_j = \sum_{bx} n_{bx}\,\partial_j p / p$ and $F_{ij} = \sum_b N_b \sum_x \partial_i p\,\partial_j p / p$.

    Args:
        strings: Pauli strings of the model.
        theta: couplings.
        table: counts of every outcome.
        index: `engine.setting_index` of the bases.

    Returns:
        Score `[terms]` and expected Fisher information `[terms, terms]` of all shots.
    """
    state = engine.solve(strings, theta)
    paulis = engine.pauli_table(engine.in_basis(state, state.weights))
    slopes = engine.responses(strings, state)

    def add(total: tuple[Array, Array], row: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        score, fisher = total
        counts, where = row
        law = jnp.maximum(engine.probabilities(paulis, where), _FLOOR)
        slope = engine.probabilities(slopes, where)
        weighted = slope / law[None, :]
        return (score + weighted @ counts, fisher + jnp.sum(counts) * (weighted @ slope.T)), None

    zero = (jnp.zeros_like(theta), jnp.zeros((theta.shape[0], theta.shape[0]), theta.dtype))
    (score, fisher), _ = jax.lax.scan(add, zero, (table, index))
    return score, (fisher + fisher.T) / 2
