"""Moves on spaces with a predicate: those that leave the space are not made."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from qml._core.errors import SpaceError
from qml._core.types import Array, Float, Int
from qml.sampler.rules import AbstractRule, changed

_LIMIT = 2**25


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

    def check_space(self, hilbert: Any) -> None:
        """Raise `SpaceError` unless the space has a predicate and the allowed moves reach all of it."""
        if hilbert.envelope == hilbert:
            raise SpaceError(
                "There is no predicate that restricts the moves.",
                got=hilbert,
                expected="a space with a predicate",
                try_=f"{type(self.rule).__name__}() itself",
            )
        self.rule.check_space(hilbert.envelope)
        if self.reaches_all:
            return
        values = self.resolution(hilbert)
        if hilbert.envelope.size > 2**24 or hilbert.size * values**self.n_uniforms > _LIMIT:
            raise SpaceError(
                "This space is too large to check that the allowed moves reach all of it.",
                got=hilbert,
                expected=f"at most {_LIMIT} moves",
                try_="Restricted(rule, reaches_all=True) if you know that they do",
            )
        pieces = _pieces(self, hilbert)
        if pieces > 1:
            raise SpaceError(
                "The moves that the predicate allows do not reach all of this space.",
                got=f"{pieces} sets of configurations without a move between them",
                expected="one",
                try_="another rule, or ExactSampler(hilbert)",
            )

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

    def resolution(self, hilbert: Any) -> int:
        """As for the rule."""
        return self.rule.resolution(hilbert.envelope)


def _pieces(rule: Restricted, hilbert: Any) -> int:
    """Number of sets of configurations that the moves do not leave; all moves are met on a grid of uniform numbers."""
    values = rule.resolution(hilbert)
    line = (np.arange(values) + 0.5) / values
    grid = np.stack(np.meshgrid(*[line] * rule.n_uniforms, indexing="ij"), -1).reshape(-1, rule.n_uniforms)
    size, chunk = hilbert.size, max(1, 2**20 // len(grid))

    @jax.jit
    def targets(numbers: Array) -> Array:
        x = jnp.repeat(hilbert.indices_to_states(numbers), len(grid), axis=0)
        uniforms = jnp.tile(jnp.asarray(grid), (len(numbers), 1))
        return hilbert.states_to_indices(rule.propose(uniforms, x, hilbert))

    rows, columns = [], []
    for start in range(0, size, chunk):
        numbers = np.minimum(np.arange(start, start + chunk), size - 1)
        moves = np.unique(np.repeat(numbers, len(grid)) * size + np.asarray(targets(jnp.asarray(numbers))))
        rows.append(moves // size)
        columns.append(moves % size)
    row, column = np.concatenate(rows), np.concatenate(columns)
    graph = coo_array((np.ones(len(row), np.int8), (row, column)), shape=(size, size))
    return connected_components(graph.tocsr(), directed=True, connection="strong")[0]
