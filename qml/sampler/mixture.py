"""Rules made of rules: one of several at random, and one several times over."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError, SpaceError
from qml._core.types import Array, Float, Int
from qml.sampler.rules import AbstractRule, changed


class Mixture(AbstractRule):
    r"""Each move is made by one of several rules, chosen with fixed probabilities.

    Each rule has detailed balance by itself, so the mixture has it too; only together they have to reach all of the
    space. Local updates of the wave function are used where every rule changes at most four sites.

    Args:
        rules: at least one; every one stays in the space.
        weights: their positive shares of the moves; `None` is equal shares.

    Raises:
        ShapeError: there is no rule, or not one positive weight for each.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.sampler import Exchange, GlobalFlip, Metropolis, Mixture
        >>> rule = Mixture((Exchange(), GlobalFlip()), weights=(0.9, 0.1))
        >>> Metropolis(rule, Spin(6, magnetisation=0)).rule.names
        ('Exchange', 'GlobalFlip')
    """

    rules: tuple[AbstractRule, ...]
    weights: tuple[float, ...] = eqx.field(static=True)

    def __init__(self, rules: Sequence[Any], weights: Sequence[Any] | None = None):
        self.rules = tuple(rules)
        numbers = np.ones(len(self.rules)) if weights is None else np.asarray(weights, float)
        rules_only = all(isinstance(rule, AbstractRule) for rule in self.rules)
        if not (self.rules and rules_only and numbers.shape == (len(self.rules),)) or not np.all(
            (numbers > 0) & np.isfinite(numbers)
        ):
            raise ShapeError(
                "A mixture has rules, and one positive weight for each.",
                got=f"rules={rules}, weights={weights}",
                expected="as many positive numbers as rules",
                try_="Mixture((Exchange(), GlobalFlip()), weights=(0.9, 0.1))",
            )
        self.weights = tuple((numbers / numbers.sum()).tolist())

    @property
    def n_uniforms(self) -> int:  # type: ignore[override]
        """One to choose, and as many as any rule needs."""
        return 1 + max(rule.n_uniforms for rule in self.rules)

    @property
    def width(self) -> int:  # type: ignore[override]
        """As many sites as any rule changes."""
        return max(rule.width for rule in self.rules)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the rules; where one comes twice, with its number."""
        names = [" and ".join(rule.names) for rule in self.rules]
        return tuple(f"{name} {k}" if names.count(name) > 1 else name for k, name in enumerate(names))

    def kind(self, uniforms: Float[Array, "chains draws"]) -> Int[Array, " chains"]:
        """The number of the rule that makes the move of each chain."""
        edges = np.cumsum(self.weights)[:-1]
        return jnp.sum(uniforms[:, :1] >= jnp.asarray(edges, uniforms.dtype)[None, :], axis=1, dtype=jnp.int32)

    def check_moves(self, hilbert: Any) -> None:
        """Raise `SpaceError` where one of the rules leaves the space."""
        for rule in self.rules:
            rule.check_moves(hilbert)

    def check_reach(self, hilbert: Any) -> bool:
        """True where one of the rules alone reaches all of the space."""
        return any(_surely_reaches(rule, hilbert) for rule in self.rules)

    def changes(
        self, uniforms: Float[Array, "chains draws"], x: Int[Array, "chains sites"], hilbert: Any
    ) -> tuple[Int[Array, "chains width"], Int[Array, "chains width"]]:
        """One move of each chain by the rule that was chosen."""
        kind, width = self.kind(uniforms)[:, None], min(self.width, x.shape[1])
        sites = jnp.zeros((x.shape[0], width), jnp.int32)
        values = jnp.zeros((x.shape[0], width), x.dtype)
        for k, rule in enumerate(self.rules):
            s, v = rule.changes(uniforms[:, 1 : 1 + rule.n_uniforms], x, hilbert)
            s, v = (s, v) if s.shape[1] <= width else (jnp.arange(width)[None, :], changed(x, s, v))
            some = jnp.minimum(jnp.arange(width), s.shape[1] - 1)  # a site that comes again changes nothing
            sites = jnp.where(kind == k, s[:, some].astype(sites.dtype), sites)
            values = jnp.where(kind == k, v[:, some].astype(values.dtype), values)
        return sites, values

    def log_ratio(
        self,
        uniforms: Float[Array, "chains draws"],
        x: Int[Array, "chains sites"],
        proposal: Int[Array, "chains sites"],
        hilbert: Any,
    ) -> Float[Array, " chains"] | float:
        """That of the rule which made the move."""
        kind, ratio = self.kind(uniforms), 0.0
        for k, rule in enumerate(self.rules):
            one = rule.log_ratio(uniforms[:, 1 : 1 + rule.n_uniforms], x, proposal, hilbert)
            ratio = ratio if isinstance(one, float) and one == 0.0 else jnp.where(kind == k, one, ratio)
        return ratio

    def resolution(self, hilbert: Any) -> tuple[int, ...]:
        """Enough to meet every rule, and every move of each."""
        each = [rule.resolution(hilbert) for rule in self.rules]
        longest = [max((r[i] for r in each if len(r) > i), default=1) for i in range(self.n_uniforms - 1)]
        return int(np.ceil(1 / min(self.weights))), *longest


def _surely_reaches(rule: AbstractRule, hilbert: Any) -> bool:
    try:
        return rule.check_reach(hilbert)
    except SpaceError:
        return False


class Repeated(AbstractRule):
    r"""Several moves of one rule after each other, accepted or refused together: changes of many sites.

    The ratio of the proposals is the product of those along the way, and the way back is the same in reverse.

    Args:
        rule: makes the single moves.
        times: their number, >= 1.

    Raises:
        ShapeError: the number is no positive int.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.sampler import Exchange, Metropolis, Repeated
        >>> Metropolis(Repeated(Exchange(), 2), Spin(6, magnetisation=0)).rule.width
        4
    """

    rule: AbstractRule
    times: int = eqx.field(static=True)

    def __init__(self, rule: AbstractRule, times: int):
        if isinstance(times, bool) or not isinstance(times, int) or times < 1:
            raise ShapeError("A move is repeated.", got=times, expected="an int >= 1", try_="Repeated(rule, 2)")
        self.rule, self.times = rule, times

    @property
    def n_uniforms(self) -> int:  # type: ignore[override]
        """As many as the rule needs for all moves."""
        return self.times * self.rule.n_uniforms

    @property
    def width(self) -> int:  # type: ignore[override]
        """As many sites as all moves change."""
        return self.times * self.rule.width

    def check_moves(self, hilbert: Any) -> None:
        """Raise `SpaceError` where the rule leaves the space."""
        self.rule.check_moves(hilbert)

    def check_reach(self, hilbert: Any) -> bool:
        """As for the rule if the number is one; else not known: an even number of flips keeps the parity."""
        return self.times == 1 and self.rule.check_reach(hilbert)

    def changes(
        self, uniforms: Float[Array, "chains draws"], x: Int[Array, "chains sites"], hilbert: Any
    ) -> tuple[Int[Array, "chains width"], Int[Array, "chains width"]]:
        """All moves of each chain; the last one comes first, as its values count."""
        done = []
        for u in self._split(uniforms):
            done.insert(0, self.rule.changes(u, x, hilbert))
            x = changed(x, *done[0])
        sites, values = zip(*done, strict=True)
        return jnp.concatenate(sites, axis=1), jnp.concatenate(values, axis=1)

    def log_ratio(
        self,
        uniforms: Float[Array, "chains draws"],
        x: Int[Array, "chains sites"],
        proposal: Int[Array, "chains sites"],
        hilbert: Any,
    ) -> Float[Array, " chains"] | float:
        """The sum over the moves."""
        total = 0.0
        for u in self._split(uniforms):
            after = self.rule.propose(u, x, hilbert)
            total = total + self.rule.log_ratio(u, x, after, hilbert)
            x = after
        return total

    def resolution(self, hilbert: Any) -> tuple[int, ...]:
        """That of the rule for each move."""
        return self.rule.resolution(hilbert) * self.times

    def _split(self, uniforms: Array) -> list[Array]:
        each = self.rule.n_uniforms
        return [uniforms[:, k * each : (k + 1) * each] for k in range(self.times)]
