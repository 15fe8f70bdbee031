"""Moves on spaces with a predicate: those that leave the space are not made."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from qml._core.errors import SpaceError
from qml._core.types import Array, Float, Int
from qml.sampler.reach import can_list
from qml.sampler.rules import AbstractRule, changed


class Restricted(AbstractRule):
    r"""A rule on a space with a predicate: a move that the predicate forbids leaves the chain where it is.

    Whether the moves that are left reach all of the space depends on the predicate. It is checked on the list of all
    configurations; where that is too long, whoever knows that they do says so.

    Args:
        rule: the rule for the space without its predicate.
        reaches_all: take for granted that the allowed moves reach all of the space.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.hilbert import Constrained, Spin
        >>> from qml.sampler import LocalFlip, Metropolis, Restricted
        >>> def blockade(x):
        ...     return ~jnp.any((x[..., 1:] == 1) & (x[..., :-1] == 1), axis=-1)
        >>> sampler = Metropolis(Restricted(LocalFlip()), Constrained(Spin(6), blockade))
        >>> long = Metropolis(Restricted(LocalFlip(), reaches_all=True), Constrained(Spin(60), blockade))
    """

    rule: AbstractRule
    reaches_all: bool = eqx.field(static=True, default=False)

    @property
    def n_uniforms(self) -> int:  # type: ignore[override]
        """As many as the rule needs."""
        return self.rule.n_uniforms

    @property
    def width(self) -> int:  # type: ignore[override]
        """As many sites as the rule changes."""
        return self.rule.width

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the rule."""
        return self.rule.names

    def kind(self, uniforms: Float[Array, "chains draws"]) -> Int[Array, " chains"]:
        """As for the rule."""
        return self.rule.kind(uniforms)

    def check_moves(self, hilbert: Any) -> None:
        """Raise `SpaceError` unless the space has a predicate, and the rule fits the space without it."""
        if hilbert.envelope == hilbert:
            raise SpaceError(
                "There is no predicate that restricts the moves.",
                got=hilbert,
                expected="a space with a predicate",
                try_=f"{type(self.rule).__name__}() itself",
            )
        self.rule.check_moves(hilbert.envelope)

    def check_reach(self, hilbert: Any) -> bool:
        """True if that is taken for granted; raises `SpaceError` where it is not and the space is too long to check."""
        if self.reaches_all:
            self.rule.check_space(hilbert.envelope)
            return True
        if not can_list(self, hilbert):
            raise SpaceError(
                "This space is too large to check that the allowed moves reach all of it.",
                got=hilbert,
                expected="at most 33554432 moves",
                try_="Restricted(rule, reaches_all=True) if you know that they do",
            )
        return False

    def changes(
        self, uniforms: Float[Array, "chains draws"], x: Int[Array, "chains sites"], hilbert: Any
    ) -> tuple[Int[Array, "chains width"], Int[Array, "chains width"]]:
        """One move of each chain, or none."""
        sites, values = self.rule.changes(uniforms, x, hilbert.envelope)
        allowed = hilbert.contains(changed(x, sites, values))
        return sites, jnp.where(allowed[:, None], values, jnp.take_along_axis(x, sites, axis=1))

    def log_ratio(
        self,
        uniforms: Float[Array, "chains draws"],
        x: Int[Array, "chains sites"],
        proposal: Int[Array, "chains sites"],
        hilbert: Any,
    ) -> Float[Array, " chains"] | float:
        """As for the rule."""
        return self.rule.log_ratio(uniforms, x, proposal, hilbert.envelope)

    def resolution(self, hilbert: Any) -> tuple[int, ...]:
        """As for the rule."""
        return self.rule.resolution(hilbert.envelope)
