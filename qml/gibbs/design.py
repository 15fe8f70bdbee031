"""Which bases to measure next."""

from collections.abc import Sequence
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml import linalg
from qml._core.errors import ConfigError, DataError
from qml._core.types import Array, Float
from qml.gibbs import engine
from qml.gibbs.family import AbstractLinear, pull, push
from qml.gibbs.learn import score_and_fisher
from qml.gibbs.metric import inverse
from qml.gibbs.shots import ShotData, basis_codes, brick_bases

_ROUNDS = 400


@final
class Design(eqx.Module):
    """How to share out further shots.

    Args:
        bases: letters of each basis, as strings.
        weights: share of the shots `[settings]`.
        errors: standard errors of the couplings to expect after them `[params]`; infinite where they stay blind.
        even: the same with equal shares.
    """

    bases: tuple[str, ...] = eqx.field(static=True)
    weights: Float[Array, " settings"]
    errors: Float[Array, " params"]
    even: Float[Array, " params"]

    def shots(self, total: int) -> dict[str, int]:
        """Whole numbers of shots of each basis, those without any left out."""
        share = np.asarray(self.weights) * total
        low = np.floor(share).astype(int)
        low[np.argsort(low - share)[: total - low.sum()]] += 1
        return {basis: int(n) for basis, n in zip(self.bases, low, strict=True) if n}


def next_bases(
    model: AbstractLinear, shots: int, *, bases: Sequence[str] | None = None, known: ShotData | None = None
) -> Design:
    r"""Shares of the next shots that make the mean variance of the couplings smallest (A-optimal design).

    Minimises $\mathrm{Tr}\,(F_0 + N \sum_b w_b F_b)^{-1}$ over weights of sum one, $F_b$ the information of a shot in
    basis b at the state of the model; it is convex, and solved by multiplicative updates.

    Args:
        model: the state, fitted to the shots so far or expected.
        shots: N, further shots.
        bases: those to choose from; `None` is the nine `brick_bases`.
        known: shots that are there already, $F_0$.

    Raises:
        ConfigError: the number of shots is not positive.
        DataError: bases or known shots have another number of sites, or leave a coupling blind.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import PauliGibbs, next_bases
        >>> plan = next_bases(PauliGibbs(("ZZ", "XI", "IX")), 300, bases=["ZZ", "XX", "XZ"])
        >>> plan.shots(300), bool(plan.errors.mean() < plan.even.mean())
        ({'ZZ': 124, 'XX': 176}, True)

    Source: Silvey, Titterington, Torsney, Commun. Stat. 7, 1379 (1978).
    """
    if isinstance(shots, bool) or not isinstance(shots, int | np.integer) or shots < 1:
        raise ConfigError("Shots are counted.", got=shots, expected="an int >= 1", try_="shots=10_000")
    words = tuple(brick_bases(model.hilbert.n_sites) if bases is None else bases)
    codes = basis_codes(words)
    sites = {codes.shape[1], model.hilbert.n_sites} | ({known.n_sites} if known is not None else set())
    if len(sites) != 1:
        raise DataError(
            "Model, bases and known shots have the same number of sites.",
            got=f"{sorted(sites)}",
            expected=f"{model.hilbert.n_sites}",
            try_="one letter for each site of the model",
        )
    prior = jnp.zeros((len(model.params),) * 2)
    if known is not None:
        prior = _information(model, known.table(), engine.setting_index(known.bases), known.readout)
    each = jnp.stack(
        [
            _information(
                model, jnp.full((1, 2 ** codes.shape[1]), 2.0 ** -codes.shape[1]), engine.setting_index(row), None
            )
            for row in codes[:, None]
        ]
    )
    found = _shares(prior, each, jnp.asarray(float(shots)))
    blind = ~np.isfinite(np.asarray(found[1]))
    if blind.any():
        raise DataError(
            "No basis to choose from tells some couplings.",
            got=f"couplings {np.flatnonzero(blind)[:6].tolist()} stay blind",
            expected="bases that measure every string",
            try_="bases=None for strings on neighbouring sites, or more bases",
        )
    return Design(words, *found)


@linalg.jitted
def _information(model: AbstractLinear, table: Array, index: Array, readout: Any) -> Array:
    _, fisher = score_and_fisher(model.strings, push(model.tie, model.params), table, index, readout)
    return pull(model.tie, fisher)


@linalg.jitted
def _shares(prior: Array, each: Array, shots: Array) -> tuple[Array, Array, Array]:
    """Weights, and the errors with them and with equal ones."""
    even = jnp.full(each.shape[0], 1 / each.shape[0])

    def covariance(weights: Array) -> Array:
        return inverse(prior + shots * jnp.tensordot(weights, each, 1))

    def step(weights: Array, _: None) -> tuple[Array, None]:
        root = covariance(weights)
        gain = jnp.einsum("ij,bjk,ki->b", root, each, root)  # how fast the trace falls with each weight
        weights = weights * jnp.sqrt(jnp.maximum(gain, 0.0))
        return weights / jnp.sum(weights), None

    weights = jax.lax.scan(step, even, None, length=_ROUNDS)[0]
    weights = jnp.where(weights > 1e-4, weights, 0.0)
    weights = weights / jnp.sum(weights)
    return weights, jnp.sqrt(jnp.diagonal(covariance(weights))), jnp.sqrt(jnp.diagonal(covariance(even)))
