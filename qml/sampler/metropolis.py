"""Metropolis-Hastings sampling of |psi|^2 with many chains in one compiled loop."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from qml._core.errors import ShapeError, SpaceError
from qml._core.precision import real_dtype
from qml._core.types import Array, Int, Params, RandomKey
from qml.ansatz.bridge import Ansatz
from qml.ansatz.updates import LocalUpdate
from qml.sampler.base import AbstractSampler, SamplerState, finite
from qml.sampler.rules import AbstractRule, changed

_FEW = 4  # sites of a move up to which local updates are used


class Metropolis(AbstractSampler):
    r"""Markov chains that accept a proposal with probability $\min(1, |\psi(x')/\psi(x)|^2 T(x' \to x) / T(x \to x'))$.

    One move in `sites + 1` is left out at random, so that no chain can have a period (flips that are all accepted would
    keep the parity of an even sweep for ever). A chain on a zero of the wave function takes every proposal until it has
    left it. Where the ansatz knows local updates they give the same chains without the network; their log psi is
    compared with the network's at the end, and the chains are run again by the network if it has drifted.

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
    start = eqx.tree_at(
        lambda s: (s.log_psi, s.accepted), state, (ansatz.log_psi(params, state.x), jnp.zeros_like(state.accepted))
    )
    updates = ansatz.updates

    def run(sweep: Callable[[SamplerState], SamplerState], key: RandomKey) -> tuple[SamplerState, Array]:
        def one_sweep(i: Array, carry: tuple[SamplerState, Array]) -> tuple[SamplerState, Array]:
            state, kept = carry
            state = sweep(state)
            return state, jax.lax.dynamic_update_index_in_dim(kept, state.x, jnp.maximum(i - burn, 0), 0)

        kept = jnp.zeros((length, *state.x.shape), state.x.dtype)
        return jax.lax.fori_loop(0, length + burn, one_sweep, (eqx.tree_at(lambda s: s.key, start, key), kept))

    def by_network() -> tuple[SamplerState, Array]:
        return run(lambda state: _sweep(sampler, state, _Network(ansatz, params)), start.key)

    if updates is None or sampler.rule.width > _FEW:
        state, kept = by_network()
    else:
        tables, key = updates.prepare(params), jax.random.clone(start.key)  # the same keys in both: the same chains

        def by_updates() -> tuple[SamplerState, Array, Array]:
            state, kept = run(lambda state: _sweep(sampler, state, _Updates(updates, tables)), key)
            exact = ansatz.log_psi(params, state.x)
            drift = jnp.max(jnp.abs(jnp.exp(state.log_psi - exact) - 1))
            return eqx.tree_at(lambda s: s.log_psi, state, exact), kept, drift

        def nothing() -> tuple[SamplerState, Array, Array]:
            return (
                start,
                jnp.zeros((length, *state.x.shape), state.x.dtype),
                jnp.full_like(start.log_psi[0].real, jnp.inf),
            )

        # a chain that has drifted from the network's value, or met a zero, is thrown away and run by the network
        moved, kept, drift = jax.lax.cond(updates.reliable(tables), by_updates, nothing)
        small = jnp.sqrt(jnp.finfo(drift.dtype).eps)
        state, kept = jax.lax.cond(drift < small, lambda: (moved, kept), by_network)
    return eqx.tree_at(lambda s: s.proposed, state, (length + burn) * sampler.sweep), kept


class _Network(NamedTuple):
    """Moves by evaluating the whole wave function."""

    ansatz: Ansatz
    params: Params

    def start(self, x: Array) -> None:
        return None

    def step(self, cache: None, x: Array, sites: Array, values: Array, log_psi: Array) -> tuple[Array, None]:
        return self.ansatz.log_psi(self.params, changed(x, sites, values)), cache


class _Updates(NamedTuple):
    """Moves by the local updates of the wave function, from tables and a cache of each chain."""

    rule: LocalUpdate
    tables: Any

    def start(self, x: Array) -> Any:
        return self.rule.init(self.tables, x)

    def step(self, cache: Any, x: Array, sites: Array, values: Array, log_psi: Array) -> tuple[Array, Any]:
        values = _first(x, sites, values) if sites.shape[1] > 1 else values
        log_ratio, cache = self.rule.step(self.tables, cache, x, sites, values)
        return log_psi + log_ratio.astype(log_psi.dtype), cache


def _first(x: Array, sites: Array, values: Array) -> Array:
    """Values of which only the first of each site is new."""
    again = [jnp.any(sites[:, :k] == sites[:, k : k + 1], axis=1) for k in range(sites.shape[1])]
    return jnp.where(jnp.stack(again, axis=1), jnp.take_along_axis(x, sites, axis=1), values)


def _sweep(sampler: Metropolis, state: SamplerState, wave: _Network | _Updates) -> SamplerState:
    """`sampler.sweep` moves of every chain, with the random numbers of all of them drawn at once."""
    key, draw = jax.random.split(state.key)
    rule, hilbert = sampler.rule, sampler.hilbert
    log_share = -math.log1p(1 / hilbert.n_sites)
    uniforms = jax.random.uniform(draw, (sampler.sweep, state.x.shape[0], rule.n_uniforms + 1), real_dtype())
    thresholds = jnp.log(uniforms[..., -1]) - log_share

    def move(carry: tuple, inputs: tuple[Array, Array]) -> tuple[tuple, None]:
        (x, log_psi, accepted, cache), (u, threshold) = carry, inputs
        sites, values = rule.changes(u, x, hilbert)
        proposal = changed(x, sites, values)
        log_new, cache_new = wave.step(cache, x, sites, values, log_psi)
        log_ratio = 2 * (log_new - log_psi).real + rule.log_ratio(x, proposal, hilbert)
        take = (threshold < jnp.minimum(log_ratio, 0)) | ~finite(log_psi)
        moved = take & jnp.any(jnp.take_along_axis(x, sites, axis=1) != values, axis=1)
        x, log_psi = jnp.where(take[:, None], proposal, x), jnp.where(take, log_new, log_psi)
        cache = jax.tree.map(lambda a, b: jnp.where(take.reshape(-1, *[1] * (a.ndim - 1)), a, b), cache_new, cache)
        return (x, log_psi, accepted + moved, cache), None

    start = (state.x, state.log_psi, state.accepted, wave.start(state.x))
    (x, log_psi, accepted, _), _ = jax.lax.scan(move, start, (uniforms[..., :-1], thresholds))
    return SamplerState(x, log_psi, key, accepted, state.proposed)
