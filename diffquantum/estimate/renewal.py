"""Values and gradients of loops whose turns are independent trials, from single turns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from diffquantum.ir import Program
from diffquantum.probing import kept
from diffquantum.simulate.shots import sample
from diffquantum.transform.gadget import Roulette
from diffquantum.transform.renewal import Turn, one_turn
from qml._core.types import Array, RandomKey
from qml.estimate.stats import Stats


@dataclass(frozen=True)
class Regenerative:
    r"""Gradients from single turns, where every turn of the loop starts anew: each shot runs one turn.

    $E = N / p$ and $\partial E = (\partial N - E\, \partial p) / p$, $p$ the chance of a turn to be the last and $N$
    the mean of what a turn adds: no price for long loops. A ratio of means has a bias of the order of one over the
    shots, smaller than its error.

    Args:
        inner: how shifts go into the turn.

    Source: renewal theory; Cox, Renewal Theory (1962).
    """

    inner: Roulette = field(default_factory=Roulette)

    def value(self, program: Program, theta: Array, key: RandomKey, shots: int, **settings: Any) -> Stats:
        """The mean, with its error."""
        turn = one_turn(program)
        added, last = _turns(turn, jnp.asarray(theta), key, shots, settings)
        chance, mean = jnp.mean(last), jnp.mean(added) / jnp.mean(last)
        found = Stats.of((added - mean * last) / chance)
        return Stats(mean + turn.offset, found.error, found.variance, found.tau, found.r_hat, found.samples)

    def gradient(
        self,
        program: Program,
        theta: Array,
        key: RandomKey,
        shots: int,
        gradient: Callable[..., Stats],
        **settings: Any,
    ) -> Stats:
        """Means and errors `[params]`; `gradient` estimates those of one turn."""
        theta, turn = kept(program, jnp.asarray(theta)), one_turn(program)
        first, second, third = jax.random.split(key, 3)
        few, some = shots * 3 // 10, shots // 10
        added, last = _turns(turn, theta, first, few, settings)
        chance = jnp.mean(last)
        mean = jnp.mean(added) / chance
        known = jnp.concatenate([theta, jnp.stack([mean, 1 / chance]).astype(theta.dtype)])
        every = tuple(range(len(theta)))
        rest = shots - few - some
        slope = gradient(turn.combined, None, known, second, rest, self.inner, parameters=every, **settings)
        ending = gradient(turn.last, None, theta, third, some, self.inner, parameters=every, **settings)
        centred = (added - mean * last)[:, None] / chance**2 * ending.mean[None, :]
        moved = centred + (last[:, None] / chance - 1) * slope.mean[None, :]
        error = jnp.sqrt(slope.error**2 + jnp.var(moved, axis=0) / few)
        return Stats.independent(slope.mean, error, shots)


def _turns(turn: Turn, theta: Array, key: RandomKey, shots: int, settings: dict) -> tuple[Array, Array]:
    """What single turns add, and which are the last, `[shots]`."""
    out = sample(turn.program, theta, key, shots, **settings)
    added, last = (x.astype(jnp.result_type(float)) for x in out.outputs)
    return jnp.where(out.finished, added, jnp.nan), last
