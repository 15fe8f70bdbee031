"""Metropolis-Hastings sampling of |psi|^2 with many chains in one compiled loop."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from qml._core.errors import ShapeError, SpaceError
from qml._core.precision import real_dtype
from qml._core.types import Array, Int, Params, RandomKey
from qml.ansatz.bridge import Ansatz
from qml.sampler.base import AbstractSampler, SamplerState, finite
from qml.sampler.rules import AbstractRule


class Metropolis(AbstractSampler):
    r"""Markov chains that accept a proposal with probability $\min(1, |\psi(x')/\psi(x)|^2 T(x' \to x) / T(x \to x'))$.

    One move in `sites + 1` is left out at random, so that no chain can have a period (flips that are all accepted would
    keep the parity of an even sweep for ever). A chain on a zero of the wave function takes every proposal until it has
    left it.

    Args:
        rule: the proposal, e.g. `LocalFlip()` or `Exchange()`.
        hilbert: the space.
        chains: number of chains, >= 1.
        sweep: moves between two kept configurations; `None` is the number of sites.
        burn: sweeps that `init` does from the random start, >= 0.

    Raises:
        SpaceError: the rule leaves the space or does not reach all of it.
        ShapeError: a size is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from qml.ansatz import to_ansatz
        >>> from qml.hilbert import Spin
        >>> from qml.sampler import LocalFlip, Metropolis
        >>> ansatz, params = to_ansatz((jnp.zeros(4), lambda params, x: x @ params), Spin(4))
        >>> sampler = Metropolis(LocalFlip(), Spin(4), chains=8)
        >>> state, x = sampler.sample(ansatz, params, sampler.init(ansatz, params, jax.random.key(0)), 5)
        >>> x.shape, state.acceptance.shape
        ((5, 8, 4), (8,))

    Source: Hastings, Biometrika 57, 97 (1970).
    """

    rule: AbstractRule
    hilbert: Any = eqx.field(static=True)
    chains: int = eqx.field(static=True)
    sweep: int = eqx.field(static=True)
    burn: int = eqx.field(static=True)

    def __init__(self, rule: AbstractRule, hilbert: Any, *, chains: int = 16, sweep: int | None = None, burn: int = 20):
        self.rule, self.hilbert, self.chains, self.burn = rule, hilbert, chains, burn
        self.sweep = hilbert.n_sites if sweep is None else sweep
        if chains < 1 or self.sweep < 1 or burn < 0:
            raise ShapeError(
                "A Metropolis sampler has chains >= 1, sweep >= 1 and burn >= 0.",
                got=f"chains={chains}, sweep={sweep}, burn={burn}",
                expected="positive sizes",
                try_="Metropolis(rule, hilbert, chains=16)",
            )
        rule.check_space(hilbert)

    def check_space(self, hilbert: Any) -> None:
        """Raise `SpaceError` unless the sampler was made for this space."""
        if hilbert != self.hilbert:
            raise SpaceError(
                "The sampler was made for another space.",
                got=self.hilbert,
                expected=hilbert,
                try_="Metropolis(rule, hilbert) with the space of the state",
            )

    def init(self, ansatz: Ansatz, params: Params, key: RandomKey) -> SamplerState:
        """Chains from uniformly random configurations, after `burn` sweeps."""
        start, key = jax.random.split(key)
        x = self.hilbert.random_state(start, self.chains)
        zero = jnp.zeros((self.chains,), jnp.int32)
        state = SamplerState(x, jnp.zeros((self.chains,), ansatz.dtype), key, zero, jnp.zeros((), jnp.int32))
        return self.sample(ansatz, params, state, 1, self.burn)[0]

    def sample(
        self, ansatz: Ansatz, params: Params, state: SamplerState, length: int, burn: int | Int[Array, ""] = 0
    ) -> tuple[SamplerState, Int[Array, "length chains sites"]]:
        """Do `burn` sweeps, then keep one configuration of each chain after each of `length` sweeps.

        Args:
            ansatz: the wave function.
            params: its parameters.
            state: the chains; their log psi is evaluated anew.
            length: configurations kept of each chain, >= 1.
            burn: sweeps before the first; may be traced, so that thermalisation is no other program.

        Returns:
            The new state, and the configurations.
        """
        return _sample(self, ansatz, params, state, length, jnp.asarray(burn, jnp.int32))


@jax.jit(static_argnums=(1, 4))
def _sample(
    sampler: Metropolis, ansatz: Ansatz, params: Params, state: SamplerState, length: int, burn: Array
) -> tuple[SamplerState, Array]:
    state = eqx.tree_at(
        lambda s: (s.log_psi, s.accepted), state, (ansatz.log_psi(params, state.x), jnp.zeros_like(state.accepted))
    )

    def one_sweep(i: Array, carry: tuple[SamplerState, Array]) -> tuple[SamplerState, Array]:
        state, kept = carry
        state = _sweep(sampler, ansatz, params, state)
        return state, jax.lax.dynamic_update_index_in_dim(kept, state.x, jnp.maximum(i - burn, 0), 0)

    kept = jnp.zeros((length, *state.x.shape), state.x.dtype)
    state, kept = jax.lax.fori_loop(0, length + burn, one_sweep, (state, kept))
    return eqx.tree_at(lambda s: s.proposed, state, (length + burn) * sampler.sweep), kept


def _sweep(sampler: Metropolis, ansatz: Ansatz, params: Params, state: SamplerState) -> SamplerState:
    """`sampler.sweep` moves of every chain, with the random numbers of all of them drawn at once."""
    key, draw = jax.random.split(state.key)
    chains, draws = state.x.shape[0], sampler.rule.n_uniforms + 1
    log_share = -math.log1p(1 / sampler.hilbert.n_sites)
    uniforms = jax.random.uniform(draw, (sampler.sweep, chains, draws), real_dtype())

    def move(carry: tuple[Array, Array, Array], u: Array) -> tuple[tuple[Array, Array, Array], None]:
        x, log_psi, accepted = carry
        proposal = sampler.rule.propose(u[:, :-1], x, sampler.hilbert)
        log_new = ansatz.log_psi(params, proposal)
        log_ratio = 2 * (log_new - log_psi).real + sampler.rule.log_ratio(x, proposal, sampler.hilbert)
        log_ratio = jnp.minimum(log_ratio, 0)
        take = (jnp.log(u[:, -1]) < log_share + log_ratio) | ~finite(log_psi)
        changed = take & jnp.any(proposal != x, axis=1)
        x = jnp.where(take[:, None], proposal, x)
        return (x, jnp.where(take, log_new, log_psi), accepted + changed), None

    (x, log_psi, accepted), _ = jax.lax.scan(move, (state.x, state.log_psi, state.accepted), uniforms)
    return SamplerState(x, log_psi, key, accepted, state.proposed)
