"""Ways to estimate on a simulator what a quantum computer would need shifts for."""

from dataclasses import dataclass

import jax.numpy as jnp

from diffquantum.ir import Program
from diffquantum.simulate.exits import exits
from diffquantum.simulate.trajectory import scores
from diffquantum.transform.gadget import Roulette
from qml._core.errors import ConfigError
from qml._core.types import Array, RandomKey
from qml.estimate.stats import Stats

Terms = tuple[tuple[str, ...], Array] | None


@dataclass(frozen=True)
class Score:
    r"""Gradients from the probabilities of what was measured: $\partial_j E = \mathrm{E}[(f - b_j)\,
    \partial_j \log p + \partial_j f]$, all parameters from the same runs, on a simulator.

    Args:
        baseline: whether the best constants $b_j$ are fitted, by each half of the runs for the other one.
        reverse: go back through each run instead of carrying one tangent a parameter along: for many parameters.

    Source: Glynn, Commun. ACM 33, 75 (1990).
    """

    baseline: bool = True
    reverse: bool = False

    def gradient(self, program: Program, terms: Terms, theta: Array, key: RandomKey, shots: int, **settings) -> Stats:
        """Means and errors `[params]`."""
        strings, coefficients = terms or (None, jnp.zeros(0))
        out = scores(program, theta, key, coefficients, shots=shots, strings=strings, reverse=self.reverse, **settings)
        value = out.value[:, None]
        if self.baseline:
            side = (jnp.arange(shots) % 2)[None, :] == jnp.arange(2)[:, None]
            square = jnp.where(side[..., None], out.score[None] ** 2, 0.0)
            size = jnp.sum(square, axis=1)
            level = jnp.sum(square * value[None], axis=1) / jnp.where(size > 0, size, 1.0)
            value = value - jnp.where(side[0][:, None], level[1], level[0])
        return Stats.of(jnp.where(jnp.all(out.finished), value * out.score + out.slope, jnp.nan))


@dataclass(frozen=True)
class ExitMean:
    """Values and gradients with the mean over the exits of the last loop: exact from one run where the loop measures
    nothing but its end, on a simulator.

    Args:
        floor: a run goes on until the probability to be still in the loop is below, then by chance; in (0, 1).

    Raises:
        ConfigError: the floor is out of its range.
    """

    floor: float = 1e-15

    def __post_init__(self):
        if not 0 < self.floor < 1:
            raise ConfigError(
                "The floor is a probability.", got=self.floor, expected="0 < floor < 1", try_="ExitMean()"
            )

    def value(self, program: Program, terms: Terms, theta: Array, key: RandomKey, shots: int, **settings) -> Stats:
        """The mean."""
        strings, coefficients = terms or (None, jnp.zeros(0))
        how = {"strings": strings, "floor": self.floor, "derivative": False}
        out = exits(program, theta, key, coefficients, shots=shots, **how, **settings)
        return Stats.of(jnp.where(jnp.all(out.finished), out.value, jnp.nan))

    def gradient(self, program: Program, terms: Terms, theta: Array, key: RandomKey, shots: int, **settings) -> Stats:
        """Means and errors `[params]`."""
        strings, coefficients = terms or (None, jnp.zeros(0))
        out = exits(program, theta, key, coefficients, shots=shots, strings=strings, floor=self.floor, **settings)
        return Stats.of(jnp.where(jnp.all(out.finished), out.slope, jnp.nan))


def check_rule(rule: object) -> None:
    """Refuse what is no way to estimate.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(rule, Roulette | Score | ExitMean):
        raise ConfigError(
            "This is no way to estimate a gradient.",
            got=repr(rule),
            expected="Roulette(), Score() or ExitMean()",
            try_="Roulette()",
        )
