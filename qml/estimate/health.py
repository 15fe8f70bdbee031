"""The trust layer: numbers that tell whether an estimate can be believed."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from qml._core.types import Array, Bool, Float, Int
from qml.estimate.samples import Samples
from qml.estimate.stats import Stats, chains_disagree

TROUBLES = (
    "a local value is not finite",
    "a chain is frozen",
    "hardly any move is accepted",
    "the chains disagree",
    "too few effective samples",
    "a few samples have nearly all the weight",
    "the chains were not thermalised",
    "the local updates of the ansatz disagree with its network",
)
ACCEPTANCE, EFFECTIVE, SHARE = 1e-3, 30.0, 0.1


class Health(eqx.Module):
    r"""Diagnosis of one estimate of the energy.

    Args:
        acceptance: smallest share of moves that changed a chain; NaN without chains.
        frozen: number of frozen chains.
        r_hat: split R-hat of the energy; well above 1 where the chains disagree.
        tau: autocorrelation time of the energy in sweeps (0.5 for independent samples).
        effective: effective number of samples, $N / 2\tau$ with the loss by unequal weights.
        v_score: $n\,\mathrm{Var}\,H / (E - E_\infty)^2$; comparable between systems, 1e-3 is good.
        finite: every local energy is a number.
        acceptance_by_rule: share of the moves of each rule of a mixture that changed a chain.
        still: moves since each chain changed last.
        frozen_chains: chains that wait for a change far longer than any other did, see `SamplerState.frozen`.
        weight_share: effective share of the samples by their weights, $1 / (N \sum_s w_s^2)$; 1 for equal weights.
        settled: the burn-in of the chains ended by its diagnostics, not at its bound.
        troubles: one flag for each of the sentences in `TROUBLES`.
    """

    acceptance: Float[Array, ""]
    frozen: Int[Array, ""]
    r_hat: Float[Array, ""]
    tau: Float[Array, ""]
    effective: Float[Array, ""]
    v_score: Float[Array, ""]
    finite: Bool[Array, ""]
    acceptance_by_rule: Float[Array, " rules"]
    still: Int[Array, " chains"]
    frozen_chains: Bool[Array, " chains"]
    weight_share: Float[Array, ""]
    settled: Bool[Array, ""]
    troubles: Bool[Array, " troubles"]

    @property
    def ok(self) -> Array:
        """True where there is no trouble."""
        return ~jnp.any(self.troubles)

    @property
    def named_troubles(self) -> tuple[str, ...]:
        """The sentences of the troubles there are; not inside `jax.jit`."""
        return tuple(name for name, there in zip(TROUBLES, np.asarray(self.troubles), strict=True) if there)


def diagnose(
    samples: Samples, local: Any, sampler_state: Any = None, *, mean_field: float | int | Array = 0.0
) -> Health:
    r"""Diagnose an estimate of the energy.

    Args:
        samples: weighted configurations.
        local: local energies `[samples]`.
        sampler_state: the chains behind the samples, if any.
        mean_field: $E_\infty$, the energy at infinite temperature; zero for traceless Hamiltonians.

    Returns:
        A record of arrays; it can be made inside a compiled program.

    Example:
        >>> import jax.numpy as jnp
        >>> import qml
        >>> from qml.estimate import diagnose
        >>> state = qml.FullSumState((jnp.zeros(2), lambda params, x: x @ params), qml.hilbert.Spin(2))
        >>> _, samples = state.sample()
        >>> float(diagnose(samples, jnp.array([1.0, 1.0, 1.0, 1.0])).v_score)
        0.0

    Source: Wu et al., arXiv:2302.04919 (V-score).
    """
    return _diagnose(samples, jnp.asarray(local), sampler_state, jnp.asarray(mean_field))


@eqx.filter_jit
def _diagnose(samples: Samples, local: Array, sampler_state: Any, mean_field: Array) -> Health:
    stats = samples.statistics(local)
    finite, share = jnp.all(jnp.isfinite(local)), samples.weight_share
    weighted = 1.0 / jnp.sum(samples.weights**2)
    chained = samples.chains is not None
    effective = weighted / jnp.maximum(2 * stats.tau, 1e-300) if chained else weighted
    nan, no, none = jnp.full((), jnp.nan, share.dtype), jnp.array(False), jnp.zeros(0, int)
    acceptance, by_rule, still, frozen, settled = nan, jnp.zeros(0, share.dtype), none, none > 0, ~no
    if sampler_state is not None:
        acceptance = jnp.min(sampler_state.acceptance).astype(share.dtype)
        by_rule, frozen = sampler_state.acceptance_by_rule.astype(share.dtype), sampler_state.frozen
        still = jnp.zeros(frozen.shape, int) if sampler_state.still is None else sampler_state.still
        settled = settled if sampler_state.settled is None else sampler_state.settled
    seen = watch(sampler_state)
    disagree = chains_disagree(local.reshape(-1, samples.chains).real, samples.steps) if chained else no
    few, uneven = (effective < EFFECTIVE, share < SHARE) if chained else (no, no)
    troubles = jnp.stack([~finite, seen.frozen, seen.idle, disagree, few, uneven, ~settled, seen.refused])
    return Health(
        acceptance,
        jnp.sum(frozen),
        stats.r_hat,
        stats.tau,
        effective,
        plain_v_score(stats, samples.x.shape[1], mean_field),
        finite,
        by_rule,
        still,
        frozen,
        share,
        settled,
        troubles,
    )


class Watch(NamedTuple):
    """What chains show of themselves, whatever is measured: what must be known after every step.

    Args:
        frozen: a chain is frozen.
        idle: hardly any move is accepted.
        refused: local updates were found to be wrong, see `SamplerState.refused`.
    """

    frozen: Array
    idle: Array
    refused: Array


def watch(sampler_state: Any) -> Watch:
    """What chains show of themselves; of a state without any, nothing."""
    no = jnp.array(False)
    if sampler_state is None:
        return Watch(no, no, no)
    refused = no if sampler_state.refused is None else sampler_state.refused
    return Watch(jnp.any(sampler_state.frozen), jnp.mean(sampler_state.acceptance) < ACCEPTANCE, refused)


def plain_v_score(stats: Stats, sites: int, mean_field: Any = 0.0) -> Array:
    r"""V-score $n\,\mathrm{Var}\,H / (E - E_\infty)^2$ from statistics of the energy."""
    gap = jnp.abs(stats.mean - mean_field) ** 2
    return sites * stats.variance / jnp.where(gap > 0, gap, jnp.nan)


def health(state: Any, samples: Samples, local: Any = None, *, mean_field: float | int | Array = 0.0) -> Health:
    r"""Diagnose samples of a state.

    Args:
        state: the state that `state.sample()` returned with the samples.
        samples: its samples.
        local: local energies `[samples]`; `None` looks at $\log|\psi|^2$ instead, and has no V-score to tell.
        mean_field: $E_\infty$, the energy at infinite temperature.

    Example:
        >>> import jax, jax.numpy as jnp, qml
        >>> from qml.estimate.health import health
        >>> field = 1e4 * jnp.ones(4)  # a wave function so peaked that no chain moves
        >>> state = qml.MCState((field, lambda params, x: x @ params), qml.hilbert.Spin(4), 160, key=jax.random.key(0))
        >>> health(*state.sample()).named_troubles[0]
        'a chain is frozen'
    """
    chains = getattr(state, "sampler_state", None)
    if local is not None:
        return diagnose(samples, local, chains, mean_field=mean_field)
    blind = diagnose(samples, 2 * samples.log_psi.real, chains)
    return eqx.tree_at(lambda h: h.v_score, blind, jnp.full_like(blind.v_score, jnp.nan))
