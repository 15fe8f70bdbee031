"""The interface of a sampler and the record it carries from call to call."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer

from qml._core.errors import GradketError, SpaceError
from qml._core.types import Array, Bool, Float, Inexact, Int, Params, RandomKey
from qml.ansatz.bridge import Ansatz


class SamplerState(eqx.Module):
    r"""Markov chains between two calls of a sampler.

    Args:
        x: configurations of the chains.
        log_psi: log psi of the chains, for the parameters of the last call.
        key: random key of the next call.
        accepted: moves that changed the configuration in the last call, for each chain.
        proposed: moves proposed in the last call, for each chain.
        still: moves since each chain changed last, in steps of a sweep, counted on from call to call.
        longest: longest time (moves) any change was waited for in the last call, or half of the one before if larger.
        by_rule: moves of each rule of a mixture that were proposed, and that changed a chain, in the last call.
        settled: the diagnostics said that the chains were thermalised when they were made.
        memory: what a sampler needs besides, such as the chains at other temperatures.
        refused: in some call since the chains were made the local updates of the ansatz disagreed with its network by
            far more than rounding; the chains are those of the network, local values are not.

    The last six are `None` for samplers without Markov chains.
    """

    x: Int[Array, "chains sites"]
    log_psi: Inexact[Array, " chains"]
    key: RandomKey
    accepted: Int[Array, " chains"]
    proposed: Int[Array, ""]
    still: Int[Array, " chains"] | None = None
    longest: Int[Array, ""] | None = None
    by_rule: Float[Array, "rules 2"] | None = None
    settled: Bool[Array, ""] | None = None
    memory: Any = None
    refused: Bool[Array, ""] | None = None

    @property
    def acceptance(self) -> Array:
        """Share of the moves of the last call that changed each chain, `[chains]`; NaN before the first call."""
        return self.accepted / jnp.where(self.proposed > 0, self.proposed, jnp.nan)

    @property
    def acceptance_by_rule(self) -> Array:
        """Share of the moves of each rule that changed a chain, over all chains; without rules of no length."""
        counts = jnp.zeros((0, 2)) if self.by_rule is None else self.by_rule
        return counts[:, 1] / jnp.where(counts[:, 0] > 0, counts[:, 0], jnp.nan)

    @property
    def frozen(self) -> Array:
        """True for each chain that has waited for a change far longer than any other chain did, `[chains]`.

        Counted are the moves since its last change, also those of earlier calls: more than `PATIENCE` times the longest
        wait of any chain that did end in the last call, and more than `SWEEPS` moves of each site. Where nothing moves
        at all the second alone decides.
        """
        if self.still is None or self.longest is None:
            return jnp.zeros(self.x.shape[:1], bool)
        return self.still > jnp.maximum(PATIENCE * self.longest, SWEEPS * self.x.shape[1])


PATIENCE, SWEEPS = 4, 10


class AbstractSampler(eqx.Module):
    r"""Draws configurations with probability $|\psi(x)|^n / \sum_y |\psi(y)|^n$, nearly always with $n = 2$.

    `sample` is pure: the configurations depend on the parameters, the state and its key, and on nothing else.
    """

    hilbert: eqx.AbstractVar[Any]
    chains: eqx.AbstractVar[int]

    @property
    def exponent(self) -> float:
        """The power $n$ of $|\\psi|$ that is drawn from; samples have weights in proportion to $|\\psi|^{2-n}$."""
        return 2.0

    @property
    def names(self) -> tuple[str, ...]:
        """The rules that moves are counted for in `SamplerState.by_rule`; none without Markov chains."""
        return ()

    @property
    def independent(self) -> bool:
        """True where all samples are independent of each other, so that chains have no meaning for their statistics."""
        return False

    def check_space(self, hilbert: Any) -> None:
        """Raise `SpaceError` unless the sampler was made for this space."""
        if hilbert != self.hilbert:
            raise SpaceError(
                "The sampler was made for another space.",
                got=self.hilbert,
                expected=hilbert,
                try_=f"a {type(self).__name__} made with the space of the state",
            )

    @abc.abstractmethod
    def init(self, ansatz: Ansatz, params: Params, key: RandomKey) -> SamplerState:
        """Thermalised chains from a random start."""

    @abc.abstractmethod
    def sample(
        self, ansatz: Ansatz, params: Params, state: SamplerState, length: int, burn: int | Int[Array, ""] = 0
    ) -> tuple[SamplerState, Int[Array, "length chains sites"]]:
        """Throw away `burn` sweeps of each chain, then keep `length` configurations of each.

        Less than no burn-in leaves out so many sweeps: only the last `length + burn` of the configurations count.
        """


class IndependentSampler(AbstractSampler):
    """Draws that do not depend on each other: nothing is thermalised, and chains are only a count."""

    @property
    def independent(self) -> bool:
        """True: no sample depends on another."""
        return True

    def init(self, ansatz: Ansatz, params: Params, key: RandomKey) -> SamplerState:
        """A state that holds the key and one draw of each chain."""
        zero = jnp.zeros((self.chains,), jnp.int32)
        x = jnp.zeros((self.chains, ansatz.n_sites), jnp.int8)
        state = SamplerState(x, jnp.zeros((self.chains,), ansatz.dtype), key, zero, jnp.zeros((), jnp.int32))
        return self.sample(ansatz, params, state, 1)[0]


def check_updates(refused: Any) -> None:
    """Raise where local updates were found to be wrong, see `SamplerState.refused`; not inside a compiled program.

    Raises:
        GradketError: they were.
    """
    if refused is None or isinstance(refused, Tracer) or not bool(refused):
        return
    raise GradketError(
        "The local updates of this wave function disagree with its network by far more than rounding.",
        got="log psi(x') - log psi(x) that adds up to another log psi than the network's, in a quarter of the chains",
        expected="the differences of the network's log psi",
        try_="mending local_update of the model; or MCState((dataclasses.replace(ansatz, updates=None), params), ...)",
    )


def finite(log_psi: Array) -> Bool[Array, "..."]:
    """True where log psi is neither NaN nor infinite: not on a zero of the wave function."""
    return jnp.isfinite(log_psi.real)
