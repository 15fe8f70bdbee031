"""Parallel tempering: chains of flatter laws beside each chain, which exchange configurations with it."""

import math
from collections.abc import Sequence
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError
from qml._core.precision import real_dtype
from qml._core.types import Array, Float, Int, Params, RandomKey
from qml.ansatz.bridge import Ansatz
from qml.sampler.base import AbstractSampler, SamplerState
from qml.sampler.kernel import Chains, Network, Updates, by_best_wave, sweep
from qml.sampler.rules import AbstractRule
from qml.sampler.thermalise import Thermalised, thermalise


@final
class Replicas(eqx.Module):
    r"""The hot chains, and the ladder.

    Args:
        x: configurations at all $\beta < 1$, row `level * chains + chain` with the coldest first.
        betas: 1 and the others, in descending order.
    """

    x: Int[Array, "rows sites"]
    betas: Float[Array, " levels"]


class Tempering(AbstractSampler):
    r"""Metropolis chains at several temperatures, of the laws $|\psi|^{n \beta}$ with $\beta = 1 > \beta_2 > \dots$

    After each sweep neighbours on the ladder exchange their configurations with probability
    $\min(1, |\psi(x')/\psi(x)|^{n(\beta - \beta')})$. Only $\beta = 1$ goes into the samples. Chains at small $\beta$
    cross from one well of the wave function to another and hand over what they find. A sweep costs as much as one of
    `levels * chains` chains.

    Args:
        rule: the proposal.
        hilbert: the space.
        chains: number of chains at $\beta = 1$, >= 1.
        betas: the ladder, descending from 1; or the number of levels, >= 2, from 1 to 0: then the burn-in moves the
            levels until all pairs exchange equally often, and they stay.
        sweep: moves between two exchanges; `None` is the number of sites.
        burn: sweeps that `init` does from the random start; `None` goes by diagnostics as in `Metropolis`.
        power: the exponent $n > 0$ of the law at $\beta = 1$.

    Raises:
        SpaceError: the rule leaves the space or does not reach all of it.
        ShapeError: a size is out of range, or the ladder does not descend from 1.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from qml.ansatz import to_ansatz
        >>> from qml.hilbert import Spin
        >>> from qml.sampler import LocalFlip, Tempering
        >>> ansatz, params = to_ansatz((jnp.array(0.3), lambda p, x: p * jnp.sum(x, axis=-1) ** 2), Spin(4))
        >>> sampler = Tempering(LocalFlip(), Spin(4), chains=8, betas=(1.0, 0.5, 0.2), burn=5)
        >>> state, x = sampler.sample(ansatz, params, sampler.init(ansatz, params, jax.random.key(0)), 5)
        >>> x.shape, sampler.names
        ((5, 8, 4), ('LocalFlip', 'swap 1', 'swap 2'))

    Source: Hukushima and Nemoto, J. Phys. Soc. Jpn. 65, 1604 (1996).
    """

    rule: AbstractRule
    hilbert: Any = eqx.field(static=True)
    chains: int = eqx.field(static=True)
    betas: tuple[float, ...] = eqx.field(static=True)
    adaptive: bool = eqx.field(static=True)
    sweep: int = eqx.field(static=True)
    burn: int | None = eqx.field(static=True)
    power: float = eqx.field(static=True)

    def __init__(
        self,
        rule: AbstractRule,
        hilbert: Any,
        *,
        chains: int = 16,
        betas: int | Sequence[Any] = 8,
        sweep: int | None = None,
        burn: int | None = None,
        power: float | int = 2.0,
    ):
        self.rule, self.hilbert, self.chains, self.burn, self.power = rule, hilbert, chains, burn, float(power)
        self.sweep = hilbert.n_sites if sweep is None else sweep
        self.adaptive = isinstance(betas, int)
        ladder = np.linspace(1, 0, max(betas, 1)) if isinstance(betas, int) else np.asarray(betas, float)
        sizes = chains >= 1 and self.sweep >= 1 and (burn is None or burn >= 0) and 0 < power < math.inf
        descends = ladder.ndim == 1 and len(ladder) > 1 and ladder[0] == 1 and np.all(np.diff(ladder) < 0)
        if not (sizes and descends and ladder[-1] >= 0):
            raise ShapeError(
                "A ladder descends from 1 to at least 0, and all sizes are positive.",
                got=f"betas={betas}, chains={chains}, sweep={sweep}, burn={burn}, power={power}",
                expected="betas like (1.0, 0.7, 0.4, 0.1), or a number of levels >= 2",
                try_="Tempering(rule, hilbert, chains=16, betas=8)",
            )
        self.betas = tuple(ladder.tolist())
        rule.check_space(hilbert)

    @property
    def exponent(self) -> float:
        """The power of the law that samples are drawn from."""
        return self.power

    @property
    def names(self) -> tuple[str, ...]:
        """The rules that moves are counted for at beta = 1, and the swaps of each pair of levels."""
        return (*self.rule.names, *(f"swap {k}" for k in range(1, len(self.betas))))

    def init(self, ansatz: Ansatz, params: Params, key: RandomKey) -> SamplerState:
        """Chains at all temperatures from uniformly random configurations, thermalised, with their ladder."""
        return _thermalised(self, ansatz, params, key)

    def sample(
        self, ansatz: Ansatz, params: Params, state: SamplerState, length: int, burn: int | Int[Array, ""] = 0
    ) -> tuple[SamplerState, Int[Array, "length chains sites"]]:
        """Do `burn` sweeps, then keep one configuration of each chain at beta = 1 after each of `length` sweeps."""
        # the type that scans count by: their loops then share kernels with this one
        return _sample(self, ansatz, params, state, length, jnp.asarray(burn, int))


def swap(
    chains: Chains, betas: Float[Array, " levels"], power: float
) -> tuple[Chains, Float[Array, " pairs"], Float[Array, "pairs 2"]]:
    r"""Exchange the configurations of neighbours on the ladder: of the odd or of the even pairs, at random.

    Args:
        chains: row `level * chains + chain`.
        betas: the ladder.
        power: exponent of the law at $\beta = 1$.

    Returns:
        The chains; the mean probability of an exchange of each pair; and how many were tried and done.
    """
    levels = betas.shape[0]
    key, draw, coin = jax.random.split(chains.key, 3)
    log_psi = chains.log_psi.reshape(levels, -1)
    log_ratio = power * (betas[:-1] - betas[1:])[:, None] * (log_psi[1:] - log_psi[:-1]).real
    chance = jnp.exp(jnp.minimum(jnp.where(jnp.isnan(log_ratio), -jnp.inf, log_ratio), 0))
    turn = (jnp.arange(levels - 1) % 2 == jax.random.bernoulli(coin))[:, None]
    done = turn & (jax.random.uniform(draw, chance.shape, chance.dtype) < chance)
    no = jnp.zeros((1, done.shape[1]), bool)
    up, down = jnp.concatenate([done, no]), jnp.concatenate([no, done])  # takes from the next, or from the last, level
    source = jnp.arange(levels)[:, None] + up.astype(jnp.int32) - down.astype(jnp.int32)
    rows = (source * done.shape[1] + jnp.arange(done.shape[1])[None, :]).reshape(-1)
    x, moved = chains.x[rows], jnp.any(chains.x[rows] != chains.x, axis=1)
    longest = jnp.where(moved, jnp.maximum(chains.longest, chains.still), chains.longest)
    still = jnp.where(moved, 0, chains.still)
    tried = jnp.stack([jnp.broadcast_to(turn, done.shape), done], axis=-1)
    new = Chains(x, chains.log_psi[rows], key, chains.accepted, still, longest, chains.by_rule)
    return new, jnp.mean(chance, axis=1), jnp.sum(tried, axis=1).astype(betas.dtype)


def adapted(betas: Float[Array, " levels"], chance: Float[Array, " pairs"], rate: Array) -> Float[Array, " levels"]:
    """The ladder with wider gaps where exchanges are more likely than on average; both ends stay."""
    gaps = (betas[:-1] - betas[1:]) * jnp.exp(rate * (chance - jnp.mean(chance)))
    gaps = gaps * (betas[0] - betas[-1]) / jnp.sum(gaps)
    return jnp.concatenate([betas[:1], betas[:1] - jnp.cumsum(gaps)[:-1], betas[-1:]])


def _one_sweep(sampler: Tempering, chains: Chains, betas: Array, wave: Network | Updates) -> tuple:
    exponents = sampler.power * jnp.repeat(betas, sampler.chains)
    chains = sweep(sampler.rule, sampler.hilbert, sampler.sweep, exponents, chains, wave)
    return swap(chains, betas, sampler.power)


def _close(
    sampler: Tempering, chains: Chains, proposed: Array, longest: Any, flags: tuple, betas: Array, swaps: Array
) -> SamplerState:
    n = sampler.chains
    key, rows = chains.key, eqx.tree_at(lambda c: c.key, chains, None)
    cold = eqx.tree_at(lambda c: c.key, jax.tree.map(lambda a: a[:n], rows), key, is_leaf=lambda a: a is None)
    settled, refused = flags
    state = cold.close(proposed, longest, settled, Replicas(chains.x[n:], betas), refused)
    by_rule = jnp.concatenate([jnp.asarray(state.by_rule), swaps.astype(real_dtype())])
    return eqx.tree_at(lambda s: s.by_rule, state, by_rule)


@jax.jit(static_argnums=1)
def _thermalised(sampler: Tempering, ansatz: Ansatz, params: Params, key: RandomKey) -> SamplerState:
    start, key = jax.random.split(key)
    betas = jnp.asarray(sampler.betas, real_dtype())
    x = sampler.hilbert.random_state(start, len(sampler.betas) * sampler.chains)
    chains = Chains.start(x, ansatz.log_psi(params, x), key, len(sampler.rule.names))

    def run(chains: Chains, wave: Network | Updates) -> tuple[Chains, tuple]:
        def one_sweep(carry: tuple) -> tuple:
            chains, betas, count, swaps = carry
            chains, chance, tried = _one_sweep(sampler, chains, betas, wave)
            if sampler.adaptive:  # ever smaller steps, so that the ladder comes to rest with the chains
                betas = adapted(betas, chance, 1 / (1 + count / 10))
            return chains, betas, count + 1, swaps + tried

        start = (chains, betas, jnp.zeros((), betas.dtype), jnp.zeros((len(betas) - 1, 2), betas.dtype))
        if sampler.burn is None:
            done, seen = thermalise(one_sweep, start, lambda carry: 2 * carry[0].log_psi[: sampler.chains].real)
        else:
            done = jax.lax.fori_loop(0, sampler.burn, lambda _, carry: one_sweep(carry), start)
            seen = Thermalised(jnp.asarray(sampler.burn), jnp.asarray(True))
        return done[0], (done[1], done[3], seen)

    chains, (betas, swaps, seen), wrong = by_best_wave(ansatz, params, sampler.rule.width, chains, run)
    proposed = (seen.sweeps * sampler.sweep).astype(jnp.int32)
    return _close(sampler, chains, proposed, None, (seen.settled, wrong), betas, swaps)


@jax.jit(static_argnums=(1, 4))
def _sample(
    sampler: Tempering, ansatz: Ansatz, params: Params, state: SamplerState, length: int, burn: Array
) -> tuple[SamplerState, Array]:
    x, betas = jnp.concatenate([state.x, state.memory.x]), state.memory.betas
    still = jnp.concatenate([jnp.asarray(state.still), jnp.zeros(len(state.memory.x), jnp.int32)])
    start = Chains.start(x, ansatz.log_psi(params, x), state.key, len(sampler.rule.names), still)

    def run(chains: Chains, wave: Network | Updates) -> tuple[Chains, tuple[Array, Array]]:
        def one_sweep(i: Array, carry: tuple) -> tuple:
            chains, kept, swaps = carry
            chains, _, tried = _one_sweep(sampler, chains, betas, wave)
            cold = chains.x[: sampler.chains]
            kept = jax.lax.dynamic_update_index_in_dim(kept, cold, jnp.maximum(i - burn, 0), 0)
            return chains, kept, swaps + tried

        kept = jnp.zeros((length, *state.x.shape), state.x.dtype)
        swaps = jnp.zeros((len(betas) - 1, 2), betas.dtype)
        chains, *seen = jax.lax.fori_loop(0, length + burn, one_sweep, (chains, kept, swaps))
        return chains, tuple(seen)

    chains, (kept, swaps), wrong = by_best_wave(ansatz, params, sampler.rule.width, start, run)
    proposed = (length + burn) * sampler.sweep
    flags = jnp.asarray(state.settled), wrong | jnp.asarray(state.refused)
    return _close(sampler, chains, proposed, state.longest, flags, betas, swaps), kept
