"""Metropolis moves of many chains: one attempt, one sweep, and runs of sweeps with or without local updates."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from qml._core.precision import real_dtype
from qml._core.types import Array, Inexact, Int, Params, RandomKey
from qml.ansatz.bridge import Ansatz
from qml.ansatz.updates import LocalUpdate, values_at
from qml.sampler.base import SamplerState, finite
from qml.sampler.rules import AbstractRule, changed

_FEW = 4  # sites of a move up to which local updates are used
_LONG = 2**30
_WRONG, _MANY = 64, 0.25  # drift in units of what is rounding, and the share of chains that must have it


@final
class Chains(eqx.Module):
    """Chains between two sweeps: where they are, and what is counted of their moves.

    Args:
        x: configurations.
        log_psi: log psi of the chains.
        key: random key of the next sweep.
        accepted: moves that changed each chain.
        still: moves since each chain changed last, in steps of a sweep.
        longest: longest time that each chain waited for a change that came, up to the end of the sweep.
        by_rule: moves of each rule of a mixture, proposed and changing the chain.
    """

    x: Int[Array, "chains sites"]
    log_psi: Inexact[Array, " chains"]
    key: RandomKey
    accepted: Int[Array, " chains"]
    still: Int[Array, " chains"]
    longest: Int[Array, " chains"]
    by_rule: Int[Array, "chains rules 2"] | None

    @classmethod
    def start(cls, x: Array, log_psi: Array, key: Array, rules: int, still: Array | None = None) -> "Chains":
        """Chains of which nothing is counted yet, but how long they have waited."""
        zero = jnp.zeros(x.shape[:1], jnp.int32)
        counts = jnp.zeros((x.shape[0], rules, 2), jnp.int32) if rules > 1 else None
        return cls(x, log_psi, key, zero, zero if still is None else still, zero, counts)

    def close(
        self,
        proposed: Array,
        longest: Array | None,
        settled: Array,
        memory: Any = None,
        refused: Array | None = None,
    ) -> SamplerState:
        """The state of the sampler after a call of so many moves, with the longest wait known before it."""
        zero = jnp.zeros((), jnp.int32)
        longest = jnp.maximum(jnp.max(self.longest), (zero if longest is None else longest) // 2)
        proposed = jnp.asarray(proposed, jnp.int32)  # one type always: programs over states are traced once
        counts = jnp.stack([jnp.broadcast_to(proposed, self.accepted.shape), self.accepted], axis=1)[:, None]
        by_rule = jnp.sum((counts if self.by_rule is None else self.by_rule).astype(real_dtype()), axis=0)
        counts = self.accepted, proposed, self.still, longest, by_rule
        return SamplerState(self.x, self.log_psi, self.key, *counts, settled, memory, refused)


class Network(NamedTuple):
    """Moves by evaluating the whole wave function."""

    ansatz: Ansatz
    params: Params

    def start(self, x: Array) -> None:
        return None

    def step(self, cache: None, x: Array, sites: Array, values: Array, log_psi: Array) -> tuple[Array, None]:
        return self.ansatz.log_psi(self.params, changed(x, sites, values)), cache


class Updates(NamedTuple):
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
    return jnp.where(jnp.stack(again, axis=1), values_at(x, sites), values)


class Attempt(NamedTuple):
    """A proposed move of each chain, and log of the ratio that it is accepted by."""

    proposal: Array
    moves: Array  # whether the proposal is another configuration
    log_psi: Array
    log_ratio: Array
    cache: Any


def attempt(
    rule: AbstractRule,
    hilbert: Any,
    wave: Network | Updates,
    exponent: float | Array,
    x: Array,
    log_psi: Array,
    cache: Any,
    uniforms: Array,
) -> Attempt:
    r"""Propose one move of each chain; it has the ratio $|\psi(x')/\psi(x)|^n T(x' \to x) / T(x \to x')$."""
    sites, values = rule.changes(uniforms, x, hilbert)
    proposal = changed(x, sites, values)
    log_new, cache = wave.step(cache, x, sites, values, log_psi)
    log_ratio = exponent * (log_new - log_psi).real + rule.log_ratio(uniforms, x, proposal, hilbert)
    if sites.shape[1] == 1:
        moves = (values_at(x, sites) != values)[:, 0]
    else:  # of a site that comes twice the first value counts
        moves = jnp.any(proposal != x, axis=1)
    return Attempt(proposal, moves, log_new, log_ratio, cache)


def log_share(hilbert: Any) -> float:
    """Log of the share of moves that are tried at all; the others are left out, so that no chain has a period."""
    return -math.log1p(1 / hilbert.n_sites)


def sweep(
    rule: AbstractRule,
    hilbert: Any,
    moves: int,
    exponent: float | Array,
    chains: Chains,
    wave: Network | Updates,
) -> Chains:
    """So many moves of every chain, with the random numbers of all of them drawn at once."""
    shape = (moves, chains.x.shape[0], rule.n_uniforms + 1)
    key, uniforms = drawn(chains.key, math.prod(shape))
    uniforms = uniforms.reshape(shape)
    thresholds = jnp.log(uniforms[..., -1]) - log_share(hilbert)

    def move(carry: tuple, inputs: tuple[Array, Array]) -> tuple[tuple, None]:
        (x, log_psi, accepted, by_rule, cache), (u, threshold) = carry, inputs
        new = attempt(rule, hilbert, wave, exponent, x, log_psi, cache, u)
        take = (threshold < jnp.minimum(new.log_ratio, 0)) | ~finite(log_psi)
        x, log_psi = jnp.where(take[:, None], new.proposal, x), jnp.where(take, new.log_psi, log_psi)
        cache = jax.tree.map(lambda a, b: jnp.where(take.reshape(-1, *[1] * (a.ndim - 1)), a, b), new.cache, cache)
        moved = take & new.moves
        if by_rule is not None:
            here = rule.kind(u)[:, None] == jnp.arange(by_rule.shape[1])[None, :]
            by_rule = by_rule + jnp.stack([here, here & moved[:, None]], axis=-1)
        return (x, log_psi, accepted + moved, by_rule, cache), None

    start = (chains.x, chains.log_psi, chains.accepted, chains.by_rule, wave.start(chains.x))
    (x, log_psi, accepted, by_rule, _), _ = jax.lax.scan(move, start, (uniforms[..., :-1], thresholds))
    return counted(Chains(x, log_psi, key, accepted, chains.still, chains.longest, by_rule), chains.accepted, moves)


def drawn(key: Array, count: int) -> tuple[Array, Array]:
    """The next key and so many uniform numbers, in a row and by one call of the generator: that compiles to least.

    The key is made of the first 16 bits of the first numbers drawn, as a split makes it of the first words.
    """
    words = jax.random.key_data(key).shape[-1]
    uniforms = jax.random.uniform(key, (2 * words + count,), real_dtype())
    halves = (uniforms[: 2 * words] * 2**16).astype(jnp.uint32).reshape(words, 2)
    data = halves[:, 0] * 2**16 + halves[:, 1]
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(key)), uniforms[2 * words :]


def counted(chains: Chains, before: Array, moves: int) -> Chains:
    """The chains with their waiting times after so many moves, from the accepted ones before; in steps of a sweep."""
    moved, waited = chains.accepted > before, jnp.minimum(chains.still + moves, _LONG)
    longest = jnp.where(moved, jnp.maximum(chains.longest, waited), chains.longest)
    return eqx.tree_at(lambda c: (c.still, c.longest), chains, (jnp.where(moved, 0, waited), longest))


def quick_first(make: Callable[[Ansatz, RandomKey], SamplerState], ansatz: Ansatz, key: RandomKey) -> SamplerState:
    """Chains by local updates alone, whose program is half as large; where that fails, by one that holds both ways.

    Args:
        make: the chains, in one program.
        ansatz: the wave function.
        key: inside another program, where nothing can be looked at, there is one program alone.
    """
    if isinstance(key, Tracer) or not ansatz.fallback or ansatz.updates is None:
        return make(ansatz, key)
    state = make(dataclasses.replace(ansatz, fallback=False), key)
    return state if np.all(np.isfinite(np.asarray(state.log_psi))) else make(ansatz, jax.random.clone(key))


def by_best_wave(
    ansatz: Ansatz,
    params: Params,
    width: int,
    start: Chains,
    run: Callable[[Chains, Network | Updates], tuple[Chains, Any]],
) -> tuple[Chains, Any, Array]:
    """Run chains by local updates where the ansatz knows them and they are reliable, else by the network.

    Chains whose log psi has drifted from the network's, or that met a zero, are thrown away and run again by the
    network, with the same keys: the chains are those of the network in any case. Where a quarter of the chains drifts
    by far more than rounding, the rule of the updates is wrong, and so are the local values that use it: that is said.

    Args:
        ansatz: the wave function.
        params: its parameters.
        width: sites that a move changes at most.
        start: the chains at the start.
        run: the chains at the end and whatever was seen of them on the way.

    Returns:
        The chains, what was seen, and whether the rule of the updates is wrong. Without the way by the network a drift
        makes log psi NaN, and is no more looked at.
    """
    no = jnp.asarray(False)

    def by_network() -> tuple[Chains, Any]:
        return run(start, Network(ansatz, params))

    updates = ansatz.updates
    if updates is None or width > _FEW:
        return *by_network(), no
    tables = updates.prepare(params)
    twin = eqx.tree_at(lambda c: c.key, start, jax.random.clone(start.key))
    small, reliable = math.sqrt(jnp.finfo(start.log_psi.dtype).eps), updates.reliable(tables)

    def by_updates() -> tuple[tuple[Chains, Any], Array, Array]:
        chains, seen = run(twin, Updates(updates, tables))
        exact = ansatz.log_psi(params, chains.x)
        gap = chains.log_psi - exact  # not finite on a zero, and ever after
        drift = jnp.abs(jnp.exp(gap) - 1)
        wrong = jnp.mean(jnp.isfinite(gap) & (drift > _WRONG * small)) >= _MANY if ansatz.fallback else no
        return (eqx.tree_at(lambda c: c.log_psi, chains, exact), seen), jnp.max(drift), wrong

    if not ansatz.fallback:  # without a branch: that compiles to less
        (chains, seen), drift, _ = by_updates()
        known = jnp.where(reliable & (drift < small), chains.log_psi, jnp.nan)
        return eqx.tree_at(lambda c: c.log_psi, chains, known), seen, no
    shapes = jax.eval_shape(lambda: run(twin, Updates(updates, tables))[1])

    def nothing() -> tuple[tuple[Chains, Any], Array, Array]:
        seen = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
        return (start, seen), jnp.full_like(start.log_psi[0].real, jnp.inf), no

    result, drift, wrong = jax.lax.cond(reliable, by_updates, nothing)
    return *jax.lax.cond(drift < small, lambda: result, by_network), wrong
