r"""Random insertion: which of the occurrences $k = 1, 2, 3, \ldots$ of a gate in a run gets the shift.

Before each occurrence a coin is thrown, from one ancilla qubit. With the hazard $h_k$ the shift goes in here, with a
random sign; otherwise the run goes on. The law $\mu(k) = h_k \prod_{l<k} (1 - h_l)$ sums to one for any hazards whose
last entry repeats for ever, and a run weighted with $\pm 1/\mu(k)$ is unbiased for the sum over all occurrences.
"""

import functools
import math
from dataclasses import dataclass, field

import numpy as np

from diffquantum.ir import (
    Assign,
    Binary,
    Block,
    Const,
    Expression,
    Gate,
    If,
    Index,
    Measure,
    Reset,
    Select,
    Unary,
    Var,
)
from diffquantum.transform.rules import exchange
from diffquantum.transform.shift import shifted
from diffquantum.transform.simplify import ONE, ZERO
from qml._core.errors import ConfigError


@dataclass(frozen=True)
class Roulette:
    r"""The law of the random insertion: hazards $h_1, \ldots, h_K$, the last for all later occurrences, and baselines
    $b_k$.

    Without hazards the law is chosen for the program. A derivative program takes equal chances where the number of
    occurrences is bounded, else `Roulette.mixture()`. A sampled gradient fits the law to its first runs, which count as
    shots, mixes it with a heavy tail, deals out the places before the runs, and fits its baselines: no coins.

    Args:
        hazards: probability to insert at occurrence $k$ if nothing was inserted before, each in $(0, 1]$; empty
            leaves the choice to the program.
        baseline: numbers $b_k$ subtracted from the output where the shift went in at $k$: the mean stays, the
            variance drops if $b_k$ is near the mean output of such runs. Used for outputs, not for observables.
        stratified: without hazards, whether a sampled gradient deals out the places in equal parts of the law, or
            draws each at random.
        heavy: without hazards, the share of the heavy tail in the law of a sampled gradient, in (0, 1].

    Raises:
        ConfigError: a hazard outside (0, 1], or tables of different length.

    Example:
        >>> from diffquantum.transform.gadget import Roulette
        >>> law = Roulette((0.5, 0.25))
        >>> law.probability(1), law.probability(2), law.probability(3)
        (0.5, 0.125, 0.09375)

    Source: unbiasedness and variance, Fang et al., arXiv 2211.04507 (there with one fixed law).
    """

    hazards: tuple[float, ...] = ()
    baseline: tuple[float, ...] = ()
    stratified: bool = True
    heavy: float = 0.05

    def __post_init__(self):
        if not 0 < self.heavy <= 1:
            raise ConfigError(
                "The share of the heavy tail is a part of 1, and without one later occurrences would be lost.",
                got=self.heavy,
                expected="0 < heavy <= 1",
                try_="heavy=0.05",
            )
        if not all(0 < h <= 1 for h in self.hazards):
            raise ConfigError(
                "A hazard is a probability, and one of 0 would lose later occurrences.",
                got=self.hazards,
                expected="numbers in (0, 1]",
                try_="Roulette.mixture()",
            )
        if self.baseline and len(self.baseline) != len(self.hazards):
            raise ConfigError(
                "Hazards and baselines are two columns of one table.",
                got=f"{len(self.hazards)} hazards, {len(self.baseline)} baselines",
                expected="equal lengths, or no baselines",
                try_="baseline=()",
            )

    @classmethod
    def mixture(cls, ratio: float = 0.85, heavy: float = 0.25, table: int = 64) -> "Roulette":
        r"""A geometric law mixed with the heavy tail $1 / (k \ln^{1.25}(k + e))$, which no loop length can defeat.

        Args:
            ratio: ratio of the geometric part, in (0, 1); best is $\sqrt{\rho}$ where the loop goes on with
                probability $\rho$.
            heavy: share of the heavy part, in (0, 1].
            table: number of hazards K; from there on the last hazard holds.

        Raises:
            ConfigError: a number out of its range.
        """
        if not (0 < ratio < 1 and 0 < heavy <= 1 and table >= 1):
            raise ConfigError(
                "A number of the mixture is out of its range.",
                got=f"ratio={ratio}, heavy={heavy}, table={table}",
                expected="0 < ratio < 1, 0 < heavy <= 1, table >= 1",
                try_="Roulette.mixture()",
            )
        mass, tail = heavy_tail(table)
        k = np.arange(table)
        mass = (1 - heavy) * (1 - ratio) * ratio**k + heavy * mass
        tail = (1 - heavy) * ratio**k + heavy * tail
        return cls(tuple((mass / tail).tolist()))

    @classmethod
    def uniform(cls, count: int) -> "Roulette":
        """Equal chances for `count` occurrences: for programs that have no more."""
        return cls(tuple(1 / (count - k) for k in range(count)))

    def probability(self, k: int) -> float:
        r"""$\mu(k)$, the probability to insert at occurrence $k \ge 1$."""
        last = len(self.hazards) - 1
        survive = math.prod(1 - h for h in self.hazards[: min(k - 1, last)])
        return survive * (1 - self.hazards[last]) ** max(k - 1 - last, 0) * self.hazards[min(k - 1, last)]


@functools.cache
def heavy_tail(count: int) -> tuple[np.ndarray, np.ndarray]:
    r"""The law $\mu(k) = 1 / (S\, k \ln^{1.25}(k + e))$ with the true sum $S = 4.7912$, and its tails.

    Args:
        count: how many $k = 1, 2, \ldots$ to return.
    """
    terms = max(count, 200_000)
    k = np.arange(1, terms + 1)
    mass = 1 / (k * np.log(k + math.e) ** 1.25)
    rest = 4 / math.log(terms + 0.5 + math.e) ** 0.25  # integral of the tail; relative error of the sum below 1e-6
    tail = rest + np.cumsum(mass[::-1])[::-1]
    return mass[:count] / tail[0], tail[:count] / tail[0]


@dataclass(frozen=True)
class Insertion:
    """The statements that insert one shift at random, and the variables they use.

    Args:
        law: hazards and baselines.
        coin: the ancilla qubit, |0> before and after each throw.
        fired: bool variable, whether a shift has gone in.
        occurrence: int variable, which entry of the table holds for the next occurrence.
        weight: float variable, 1/probability of what has been decided so far, with the sign of the shift.
        thrown: bool variable, the last throw of the coin.
        level: float variable, the baseline of the occurrence that fired; unused without baselines.
        copy: the qubit that the rotation is exchanged with, |0> before and after; `None` shifts the angle instead.
    """

    law: Roulette
    coin: int
    fired: str
    occurrence: str
    weight: str
    thrown: str
    level: str
    copy: int | None = field(default=None, kw_only=True)

    def start(self) -> Block:
        """The statements at the start of a run."""
        level = (Assign(self.level, ZERO),) if self.law.baseline else ()
        first = (Assign(self.fired, Const(False)), Assign(self.occurrence, Const(0)), Assign(self.weight, ONE))
        return (*first, *level)

    def before(self, gate: Gate, on_fire: Block) -> If:
        """The statements before an occurrence of `gate`: throw the coin unless a shift has gone in.

        Args:
            gate: the rotation.
            on_fire: further assignments where the shift goes in.
        """
        last = len(self.law.hazards) - 1
        hazards = self.law.hazards
        loss = tuple(1 / (1 - h) if h < 1 else 1.0 for h in hazards)
        later = Select(Binary("lt", Var(self.occurrence), Const(last)), _next(Var(self.occurrence)), Const(last))
        level = (Assign(self.level, self._entry(self.law.baseline)),) if self.law.baseline else ()
        half = 1.0 if self.copy is None else 2.0  # a shift has a half in its rule, and the coin of the sign another
        fire = (
            Assign(self.fired, Const(True)),
            *level,
            *on_fire,
            self._scale(self._entry(tuple(half / h for h in hazards))),
            *self._throw(Const(math.pi / 2)),
            If(
                Var(self.thrown),
                self._moved(gate, +1),
                (*self._moved(gate, -1), Assign(self.weight, Unary("neg", Var(self.weight)))),
            ),
        )
        go_on = (self._scale(self._entry(loss)), *((Assign(self.occurrence, later),) if last else ()))
        throw = self._throw(self._entry(tuple(2 * math.asin(math.sqrt(h)) for h in hazards)))
        return If(Unary("not", Var(self.fired)), (*throw, If(Var(self.thrown), fire, go_on)))

    def _moved(self, gate: Gate, sign: int) -> Block:
        if self.copy is None:
            return (shifted(gate, sign),)
        return (*exchange(gate, self.copy, self.coin, sign), Reset(Const(self.copy)))

    def _entry(self, table: tuple[float, ...]) -> Expression:
        return Index(table, Var(self.occurrence)) if len(set(table)) > 1 else Const(table[0])

    def _scale(self, factor: Expression) -> Assign:
        return Assign(self.weight, Binary("mul", Var(self.weight), factor))

    def _throw(self, angle: Expression) -> Block:
        """True with probability sin^2(angle / 2)."""
        qubit = Const(self.coin)
        return (Gate("ry", (qubit,), angle), Measure(qubit, self.thrown, reset=True))


@dataclass(frozen=True)
class Counter:
    """Counts occurrences instead of inserting: for pilot runs.

    Args:
        weight: int variable that counts.
    """

    weight: str

    def before(self, gate: Gate, on_fire: Block) -> Assign:
        """The statement before an occurrence of `gate`."""
        return Assign(self.weight, _next(Var(self.weight)))


def _next(k: Expression) -> Expression:
    return Binary("add", k, Const(1))
