"""The trust layer: numbers that tell whether an estimate can be believed."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from qml._core.types import Array, Bool, Float, Int
from qml.estimate.samples import Samples


class Health(eqx.Module):
    r"""Diagnosis of one estimate of the energy.

    Args:
        acceptance: smallest share of moves that changed a chain; NaN without chains.
        frozen: number of chains that never moved.
        r_hat: split R-hat of the energy; above 1.02 the chains disagree.
        tau: autocorrelation time of the energy in sweeps (0.5 for independent samples).
        effective: effective number of samples, $N / 2\tau$ with the loss by unequal weights.
        v_score: $n\,\mathrm{Var}\,H / (E - E_\infty)^2$; comparable between systems, 1e-3 is good.
        finite: every local energy is a number.
    """

    acceptance: Float[Array, ""]
    frozen: Int[Array, ""]
    r_hat: Float[Array, ""]
    tau: Float[Array, ""]
    effective: Float[Array, ""]
    v_score: Float[Array, ""]
    finite: Bool[Array, ""]


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
        A record of scalars.

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
    local = jnp.asarray(local)
    stats = samples.statistics(local)
    nan = jnp.full((), jnp.nan, stats.error.dtype)
    if sampler_state is None:
        acceptance, frozen = nan, jnp.array(0)
    else:
        acceptance = jnp.min(sampler_state.acceptance).astype(nan.dtype)
        frozen = jnp.sum((sampler_state.accepted == 0) & (sampler_state.proposed > 0))
    gap = jnp.abs(stats.mean - mean_field) ** 2
    v_score = samples.x.shape[1] * stats.variance / jnp.where(gap > 0, gap, jnp.nan)
    weighted = 1.0 / jnp.sum(samples.weights**2)
    effective = weighted / jnp.maximum(2 * stats.tau, 1e-300) if samples.chains is not None else weighted
    return Health(acceptance, frozen, stats.r_hat, stats.tau, effective, v_score, jnp.all(jnp.isfinite(local)))
