"""Proposals along the elements of an operator."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import SpaceError
from qml._core.types import Array, Float, Int
from qml.operator.base import AbstractOperator
from qml.sampler.rules import AbstractRule, changes_between, choose, refuse_predicate


class HamiltonianMoves(AbstractRule):
    r"""Go to one of the configurations that an operator connects, $\langle x|H|x'\rangle \neq 0$, chosen uniformly.

    $$T(x \to x') = \frac{m(x, x')}{\sum_y m(x, y)}, \qquad
      \frac{T(x' \to x)}{T(x \to x')} = \frac{m(x', x)\, \sum_y m(x, y)}{m(x, x')\, \sum_y m(x', y)}$$

    with $m(x, x')$ the number of non-zero elements that the operator lists. It keeps whatever the operator conserves;
    where that is more than the totals of the space, the moves do not reach all of it and are refused. A move costs two
    calls of `operator.connected`.

    Args:
        operator: with off-diagonal elements, best Hermitian: an element without its reverse is never used.

    Example:
        >>> import qml
        >>> from qml.sampler import HamiltonianMoves, Metropolis
        >>> space, ring = qml.hilbert.Spin(4, magnetisation=0), qml.lattice.Chain(4)
        >>> sampler = Metropolis(HamiltonianMoves(qml.operator.Heisenberg(space, ring)), space)
    """

    operator: AbstractOperator
    size: int = eqx.field(static=True)
    n_uniforms: ClassVar[int] = 1

    def __init__(self, operator: Any):
        if not isinstance(operator, AbstractOperator):
            raise SpaceError(
                "This is not an operator.",
                got=type(operator).__name__,
                expected="an operator with off-diagonal elements",
                try_="qml.sampler.HamiltonianMoves(qml.operator.Heisenberg(space, lattice))",
            )
        self.operator = operator
        x = operator.hilbert.random_state(jax.random.key(0), 256)
        states, elements = operator.connected(x)
        differ = np.sum(np.asarray(states != x[:, None, :]) & (np.asarray(elements) != 0)[..., None], axis=-1)
        self.size = max(1, int(np.max(differ, initial=0)))

    @property
    def width(self) -> int:  # type: ignore[override]
        """The sites that an element changes, found on random configurations; wider elements are left out."""
        return self.size

    def check_moves(self, hilbert: Any) -> None:
        """Raise `SpaceError` where the operator does not act on the space, or leaves it."""
        refuse_predicate("HamiltonianMoves", hilbert)
        self.operator.check_space(hilbert)

    def check_reach(self, hilbert: Any) -> bool:
        """False: the list of configurations, or what the elements conserve, decides."""
        return False

    def changes(
        self, uniforms: Float[Array, "chains draws"], x: Int[Array, "chains sites"], hilbert: Any
    ) -> tuple[Int[Array, "chains width"], Int[Array, "chains width"]]:
        """One element of each chain; none where there is none."""
        states, there = self._ways(x)
        rank = jnp.cumsum(there, axis=1, dtype=jnp.int32)
        chosen = choose(uniforms[:, 0], rank[:, -1]) + 1
        slot = jnp.argmax(there & (rank == chosen[:, None]), axis=1)
        target = jnp.take_along_axis(states, slot[:, None, None], axis=1)[:, 0].astype(x.dtype)
        return changes_between(x, jnp.where(rank[:, -1:] > 0, target, x), self.width)

    def log_ratio(
        self,
        uniforms: Float[Array, "chains draws"],
        x: Int[Array, "chains sites"],
        proposal: Int[Array, "chains sites"],
        hilbert: Any,
    ) -> Float[Array, " chains"] | float:
        """From the numbers of elements before and after."""

        def log_share(start: Array, end: Array) -> Array:
            states, there = self._ways(start)
            hits = jnp.sum(there & jnp.all(states == end[:, None, :], axis=-1), axis=1)
            return jnp.log(hits) - jnp.log(jnp.sum(there, axis=1))

        moved = jnp.any(proposal != x, axis=1)
        ratio = log_share(proposal, jnp.where(moved[:, None], x, proposal)) - log_share(x, proposal)
        return jnp.where(moved, ratio, 0.0)

    def resolution(self, hilbert: Any) -> tuple[int, ...]:
        """The number of slots."""
        x = jax.ShapeDtypeStruct((1, hilbert.n_sites), jnp.int8)
        return (jax.eval_shape(lambda x: self._ways(x)[1], x).shape[1],)

    def _ways(self, x: Array) -> tuple[Array, Array]:
        """Connected configurations `[chains, slots, sites]`, and which slots are moves that can be made."""
        states, elements = self.operator.connected(x)
        differ = jnp.sum(states != x[:, None, :], axis=-1)
        return states, (elements != 0) & (differ > 0) & (differ <= self.width)
