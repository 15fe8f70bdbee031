"""Metropolis-Hastings sampling of |psi|^2 with many chains in one compiled loop."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from qml._core.compile import once
from qml._core.errors import ShapeError
from qml._core.types import Array, Int, Params, RandomKey
from qml.ansatz.bridge import Ansatz
from qml.sampler.base import AbstractSampler, SamplerState
from qml.sampler.kernel import Chains, Network, Updates, by_best_wave, quick_first, sweep
from qml.sampler.rules import AbstractRule
from qml.sampler.thermalise import Thermalised, thermalise

_LIGHT = 2**20  # chains times parameters below which local updates are hardly any work


class Metropolis(AbstractSampler):
    r"""Markov chains that accept a proposal with probability $\min(1, |\psi(x')/\psi(x)|^2 T(x' \to x) / T(x \to x'))$.

    One move in `sites + 1` is left out at random, so that no chain can have a period (flips that are all accepted would
    keep the parity of an even sweep for ever). A chain on a zero of the wave function takes every proposal until it has
    left it. Where the ansatz knows local updates they give the same chains without the network; their log psi is
    compared with the network's at the end, and the chains are run again by the network if it has drifted; by more than
    rounding does, and `SamplerState.refused` says so.

    Args:
        rule: the proposal, e.g. `LocalFlip()` or `Exchange()`.
        hilbert: the space.
        chains: number of chains, >= 1.
        sweep: moves between two kept configurations; `None` is the number of sites.
        burn: sweeps that `init` does from the random start, >= 0; `None` goes on until diagnostics say that the chains
            are thermalised, for 20 to 1260 sweeps (`SamplerState.settled` says how it ended).
        power: the exponent $n > 0$ of the law $|\psi|^n$ that is drawn from. Below 2 the chains visit unlikely
            configurations more often, and the samples of a state have weights in proportion to $|\psi|^{2-n}$.

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
    burn: int | None = eqx.field(static=True)
    power: float = eqx.field(static=True)

    def __init__(
        self,
        rule: AbstractRule,
        hilbert: Any,
        *,
        chains: int = 16,
        sweep: int | None = None,
        burn: int | None = None,
        power: float | int = 2.0,
    ):
        self.rule, self.hilbert, self.chains, self.burn, self.power = rule, hilbert, chains, burn, float(power)
        self.sweep = hilbert.n_sites if sweep is None else sweep
        if chains < 1 or self.sweep < 1 or (burn is not None and burn < 0) or not 0 < power < math.inf:
            raise ShapeError(
                "A Metropolis sampler has chains >= 1, sweep >= 1, burn >= 0 and power > 0.",
                got=f"chains={chains}, sweep={sweep}, burn={burn}, power={power}",
                expected="positive sizes",
                try_="Metropolis(rule, hilbert, chains=16)",
            )
        rule.check_space(hilbert)

    @property
    def exponent(self) -> float:
        """The power of $|\\psi|$ that is drawn from."""
        return self.power

    @property
    def names(self) -> tuple[str, ...]:
        """The rules that moves are counted for."""
        return self.rule.names

    def init(self, ansatz: Ansatz, params: Params, key: RandomKey) -> SamplerState:
        """Chains from uniformly random configurations, thermalised by diagnostics or for `burn` sweeps."""
        if self.burn is None:
            light = self.chains * sum(p.size for p in jax.tree.leaves(params)) < _LIGHT

            def make(ansatz: Ansatz, key: RandomKey) -> SamplerState:
                run = _thermalised if ansatz.fallback else _at_once if light else _soon
                return run(self, ansatz, params, key)

            return quick_first(make, ansatz, key)
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
        # the type that scans count by: their loops then share kernels with this one
        return _sample(self, ansatz, params, state, length, jnp.asarray(burn, int))


@jax.jit(static_argnums=(1, 4))
def _sample(
    sampler: Metropolis, ansatz: Ansatz, params: Params, state: SamplerState, length: int, burn: Array
) -> tuple[SamplerState, Array]:
    start = Chains.start(state.x, ansatz.log_psi(params, state.x), state.key, len(sampler.rule.names), state.still)

    def run(chains: Chains, wave: Network | Updates) -> tuple[Chains, Array]:
        def one_sweep(i: Array, carry: tuple[Chains, Array]) -> tuple[Chains, Array]:
            chains = sweep(sampler.rule, sampler.hilbert, sampler.sweep, sampler.power, carry[0], wave)
            return chains, jax.lax.dynamic_update_index_in_dim(carry[1], chains.x, jnp.maximum(i - burn, 0), 0)

        kept = jnp.zeros((length, *state.x.shape), state.x.dtype)
        return jax.lax.fori_loop(0, length + burn, one_sweep, (chains, kept))

    chains, kept, wrong = by_best_wave(ansatz, params, sampler.rule.width, start, run)
    settled = jnp.asarray(True) if state.settled is None else state.settled
    refused = wrong if state.refused is None else wrong | state.refused
    return chains.close((length + burn) * sampler.sweep, state.longest, settled, refused=refused), kept


def _thermalise(sampler: Metropolis, ansatz: Ansatz, params: Params, key: RandomKey) -> SamplerState:
    start, key = jax.random.split(key)
    x = sampler.hilbert.random_state(start, sampler.chains)
    chains = Chains.start(x, ansatz.log_psi(params, x), key, len(sampler.rule.names))

    def run(chains: Chains, wave: Network | Updates) -> tuple[Chains, Thermalised]:
        def one_sweep(chains: Chains) -> Chains:
            return sweep(sampler.rule, sampler.hilbert, sampler.sweep, sampler.power, chains, wave)

        return thermalise(one_sweep, chains, lambda chains: 2 * chains.log_psi.real)

    chains, seen, wrong = by_best_wave(ansatz, params, sampler.rule.width, chains, run)
    return chains.close(seen.sweeps * sampler.sweep, None, seen.settled, refused=wrong)


_thermalised = jax.jit(_thermalise, static_argnums=1)
_soon = once(_thermalise, static_argnums=1)  # by local updates it takes less time than its compilation
_at_once = once(_thermalise, light=True, static_argnums=1)
