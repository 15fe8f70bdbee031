"""Ways to estimate on a simulator what a quantum computer would need shifts for."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from diffquantum.ir import Program
from diffquantum.simulate.exits import exits
from diffquantum.simulate.shots import sample
from diffquantum.simulate.trajectory import scores
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


STENCILS = {2: (1 / 2,), 4: (2 / 3, -1 / 12), 6: (3 / 4, -3 / 20, 1 / 60)}


@dataclass(frozen=True)
class FiniteDifference:
    r"""Gradients from values at steps to both sides: biased, and at moderate accuracy the fewest shots.

    $\partial_j E \approx \tfrac1h \sum_k c_k\, [E(\theta + k h e_j) - E(\theta - k h e_j)]$. The error bar knows
    nothing of the bias, of order $h^{order}$. Where it crosses over with unbiased ways is among the benchmarks.

    Args:
        step: the step $h$, positive.
        order: 2, 4 or 6.

    Raises:
        ConfigError: a step or an order that is none.

    Source: central differences, Fornberg, Math. Comput. 51, 699 (1988).
    """

    step: float = 0.1
    order: int = 2

    def __post_init__(self):
        if not self.step > 0 or self.order not in STENCILS:
            raise ConfigError(
                "A finite difference has a positive step and an order.",
                got=f"step={self.step}, order={self.order}",
                expected="step > 0, order 2, 4 or 6",
                try_="FiniteDifference(0.1)",
            )

    def gradient(self, program: Program, terms: Terms, theta: Array, key: RandomKey, shots: int, **settings) -> Stats:
        """Means and errors `[params]`; the shots are shared out by the size of the coefficients."""
        size, count = np.array(STENCILS[self.order]), len(theta)
        each = np.maximum((shots * np.abs(size) / np.sum(np.abs(size)) / (2 * count)).astype(int), 2)
        keys = jax.random.split(key, (count, len(size), 2))
        mean, square = [], []
        for j in range(count):
            for k, weight in enumerate(size):
                for side, sign in enumerate((1.0, -1.0)):
                    moved = theta.at[j].add(sign * (k + 1) * self.step)
                    out = sample(program, moved, keys[j, k, side], int(each[k]), observable=terms, **settings)
                    value = out.outputs[0].astype(jnp.result_type(float))
                    value = value if out.observable is None else value * out.observable
                    found = Stats.of(jnp.where(jnp.all(out.finished), value, jnp.nan))
                    mean.append(sign * weight / self.step * found.mean)
                    square.append((weight / self.step * found.error) ** 2)
        total = jnp.sum(jnp.stack(mean).reshape(count, -1), axis=1)
        error = jnp.sqrt(jnp.sum(jnp.stack(square).reshape(count, -1), axis=1))
        return Stats.independent(total, error, int(2 * count * np.sum(each)))
