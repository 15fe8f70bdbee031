"""Burn-in by diagnostics: chains run until their mean has come to rest and they agree with each other."""

from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp

from qml._core.types import Array, Bool, Float, Int

FIRST = 10  # sweeps of one half of the first stage; each stage is twice as long as the one before
STAGES = 6  # at most: 2 * 10 * (2^6 - 1) = 1260 sweeps
_DRIFT = 3.0  # standard errors that the mean may differ by between two halves
_R_HAT = 1.2


@final
class Thermalised(eqx.Module):
    """How a burn-in ended.

    Args:
        sweeps: sweeps that were done.
        settled: the last stage was stationary; False where the burn-in ended at its bound.
    """

    sweeps: Int[Array, ""]
    settled: Bool[Array, ""]


def thermalise(
    one_sweep: Callable[[Any], Any], carry: Any, look: Callable[[Any], Float[Array, " chains"]]
) -> tuple[Any, Thermalised]:
    r"""Run chains in stages of 20, 40, 80, ... sweeps until a number is the same in both halves of a stage.

    Args:
        one_sweep: one sweep of all chains.
        carry: the chains at the start, and whatever goes with them.
        look: the number that is looked at, $\log|\psi|^2$ of each chain.

    Returns:
        The chains after at most 1260 sweeps, and how it ended.
    """

    def sweeps(carry: Any, length: Array) -> tuple[Any, Array, Array]:
        def body(_: Array, state: tuple) -> tuple:
            carry, count, mean, square = state
            carry = one_sweep(carry)
            value = look(carry)  # Welford's sums: exact for a constant
            step = value - mean
            mean = mean + step / (count + 1)
            return carry, count + 1, mean, square + step * (value - mean)

        zero = jnp.zeros_like(look(carry))
        carry, count, mean, square = jax.lax.fori_loop(0, length, body, (carry, zero[0], zero, zero))
        return carry, mean, square / (count - 1)

    def half(state: tuple) -> tuple:  # one loop body for both halves, so that the sweep is compiled once
        carry, length, second, done, last, _ = state
        carry, mean, variance = sweeps(carry, length)
        now = jnp.stack([mean, variance])
        both = jnp.stack([last, now], axis=1)
        settled = second & stationary(both[0], both[1], length)
        return carry, jnp.where(second, 2 * length, length), ~second, done + length, now, settled

    def going_on(state: tuple) -> Array:
        return ~state[5] & (state[1] < FIRST * 2**STAGES)

    value = look(carry)
    start = (carry, jnp.asarray(FIRST), jnp.asarray(False), jnp.asarray(0), jnp.zeros((2, *value.shape), value.dtype))
    carry, _, _, done, _, settled = jax.lax.while_loop(going_on, half, (*start, jnp.asarray(False)))
    return carry, Thermalised(done, settled)


def stationary(
    means: Float[Array, "halves chains"], variances: Float[Array, "halves chains"], length: Int[Array, ""] | int
) -> Bool[Array, ""]:
    r"""Whether two halves of chains have one mean, by a t-test over chains, and the half chains a split R-hat < 1.2.

    Args:
        means: of each half of each chain.
        variances: within each half of each chain.
        length: values in one half.
    """
    chains = means.shape[1]
    step = means[1] - means[0]
    within = jnp.mean(variances)
    rounding = 1e-12 * jnp.max(jnp.abs(means)) ** 2 + jnp.finfo(means.dtype).tiny
    between = jnp.var(means, ddof=1)
    agree = between + (length - 1) / length * within <= _R_HAT**2 * within + rounding
    rest = jnp.abs(jnp.mean(step)) <= _DRIFT * jnp.sqrt(jnp.var(step, ddof=1) / chains) if chains > 1 else True
    return (agree & rest) | (within + between <= rounding)
