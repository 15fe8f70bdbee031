"""Samplers that are wrong on purpose: rules with wrong proposals, and a Metropolis loop with a fault to choose."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from qml.sampler import AbstractSampler, LocalFlip
from qml.sampler.kernel import Chains, Network, attempt, counted, log_share
from qml.sampler.rules import AbstractRule


class WrongRule(AbstractRule):
    """A right rule; the wrong ones below replace one of its answers."""

    rule: AbstractRule

    @property
    def n_uniforms(self):
        return self.rule.n_uniforms

    @property
    def width(self):
        return self.rule.width

    def check_moves(self, hilbert):
        pass

    def check_reach(self, hilbert):
        return True

    def changes(self, uniforms, x, hilbert):
        return self.rule.changes(uniforms, x, hilbert)

    def log_ratio(self, uniforms, x, proposal, hilbert):
        return self.rule.log_ratio(uniforms, x, proposal, hilbert)

    def resolution(self, hilbert):
        return self.rule.resolution(hilbert)


class Biased(WrongRule):
    """Two percent too likely to raise the sum of the configuration."""

    def log_ratio(self, uniforms, x, proposal, hilbert):
        rises = jnp.sum(proposal.astype(int), axis=1) > jnp.sum(x.astype(int), axis=1)
        return self.rule.log_ratio(uniforms, x, proposal, hilbert) + jnp.where(rises, jnp.log(1.02), 0.0)


class NoHastings(WrongRule):
    """Forgets that the proposals are not symmetric."""

    def log_ratio(self, uniforms, x, proposal, hilbert):
        return 0.0


class Inverted(WrongRule):
    """The ratio of the proposals upside down."""

    def log_ratio(self, uniforms, x, proposal, hilbert):
        return -self.rule.log_ratio(uniforms, x, proposal, hilbert)


class OffByOne(WrongRule):
    """Never finds the last site."""

    def changes(self, uniforms, x, hilbert):
        n = x.shape[1]
        return self.rule.changes(uniforms.at[:, 0].multiply((n - 1) / n), x, hilbert)


class OneWay(WrongRule):
    """Goes to the next configuration in the list, and never back."""

    def changes(self, uniforms, x, hilbert):
        after = hilbert.indices_to_states((hilbert.states_to_indices(x) + 1) % hilbert.size)
        return jnp.broadcast_to(jnp.arange(x.shape[1])[None, :], x.shape), after


class Asymmetric(WrongRule):
    """Prefers the first site where it is down, and says that the proposal is symmetric."""

    def changes(self, uniforms, x, hilbert):
        down = (x[:, 0] == -1) & (uniforms[:, 0] < 0.5)
        sites, values = self.rule.changes(uniforms, x, hilbert)
        return jnp.where(down[:, None], 0, sites), jnp.where(down[:, None], 1, values).astype(x.dtype)


class Leaking(WrongRule):
    """Flips single sites where the magnetisation is fixed."""

    def changes(self, uniforms, x, hilbert):
        return LocalFlip().changes(uniforms[:, :1], x, hilbert)


FAULTS = (
    "none",
    "wrong exponent",
    "accepts and refuses swapped",
    "log psi of refused moves",
    "square of the random number",
    "stuck chains",
    "one dead chain",
    "one key for all chains",
    "no thermalisation",
)


class Faulty(AbstractSampler):
    """A Metropolis loop with one of the `FAULTS`; the number of the fault is traced, so all are one program."""

    hilbert: Any = eqx.field(static=True)
    chains: int = eqx.field(static=True)
    fault: Any

    rule = LocalFlip()

    def check_space(self, hilbert):
        assert hilbert == self.hilbert

    def init(self, ansatz, params, key):
        start, key = jax.random.split(key)
        x = self.hilbert.random_state(start, self.chains)
        cold = self._is("no thermalisation")
        x = jnp.where(cold, jnp.ones_like(x), x)
        state = Chains.start(x, ansatz.log_psi(params, x), key, 1).close(jnp.array(0), None, jnp.array(True))
        return self.sample(ansatz, params, state, 1, jnp.where(cold, 0, 20))[0]

    def sample(self, ansatz, params, state, length, burn=0):
        return _sample(self, ansatz, params, state, length, burn)

    def _is(self, name):
        return self.fault == FAULTS.index(name)


@jax.jit(static_argnums=(1, 4))
def _sample(sampler, ansatz, params, state, length, burn):
    rule, space, faulty = sampler.rule, sampler.hilbert, sampler._is
    wave, n = Network(ansatz, params), sampler.hilbert.n_sites
    exponent = jnp.where(faulty("wrong exponent"), 1.0, 2.0)
    chain = jnp.arange(sampler.chains)

    def move(now, key):
        u = jax.random.uniform(key, (sampler.chains, 2))
        u = jnp.where(faulty("one key for all chains"), u[:1], u)
        new = attempt(rule, space, wave, exponent, now.x, now.log_psi, None, u[:, :1])
        threshold = jnp.log(u[:, 1]) * jnp.where(faulty("square of the random number"), 2, 1) - log_share(space)
        take = threshold < jnp.minimum(new.log_ratio, 0)
        take = jnp.where(faulty("accepts and refuses swapped"), ~take, take)
        take &= ~(faulty("one dead chain") & (chain == 3)) & ~faulty("stuck chains")
        x = jnp.where(take[:, None], new.proposal, now.x)
        kept = jnp.where(faulty("log psi of refused moves"), new.log_psi, now.log_psi)
        log_psi = jnp.where(take, new.log_psi, kept)
        new = Chains(x, log_psi, now.key, now.accepted + (take & new.moves), now.still, now.longest, now.by_rule)
        return counted(new, now.accepted, 1)

    def one_sweep(i, carry):
        now, kept = carry
        key, draw = jax.random.split(now.key)
        now = eqx.tree_at(lambda c: c.key, now, key)
        now = jax.lax.scan(lambda c, k: (move(c, k), None), now, jax.random.split(draw, n))[0]
        return now, jax.lax.dynamic_update_index_in_dim(kept, now.x, jnp.maximum(i - burn, 0), 0)

    start = Chains.start(state.x, state.log_psi, state.key, 1, state.still)
    kept = jnp.zeros((length, *state.x.shape), state.x.dtype)
    chains, kept = jax.lax.fori_loop(0, length + burn, one_sweep, (start, kept))
    return chains.close((length + burn) * n, state.longest, state.settled), kept
