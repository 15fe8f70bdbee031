"""The interface of a sampler and the record it carries from call to call."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from qml._core.types import Array, Bool, Inexact, Int, Params, RandomKey
from qml.ansatz.bridge import Ansatz


class SamplerState(eqx.Module):
    r"""Markov chains between two calls of a sampler.

    Args:
        x: configurations of the chains.
        log_psi: log psi of the chains, for the parameters of the last call.
        key: random key of the next call.
        accepted: moves that changed the configuration in the last call, for each chain.
        proposed: moves proposed in the last call, for each chain.
    """

    x: Int[Array, "chains sites"]
    log_psi: Inexact[Array, " chains"]
    key: RandomKey
    accepted: Int[Array, " chains"]
    proposed: Int[Array, ""]

    @property
    def acceptance(self) -> Array:
        """Share of the moves of the last call that changed each chain, `[chains]`; NaN before the first call."""
        return self.accepted / jnp.where(self.proposed > 0, self.proposed, jnp.nan)


class AbstractSampler(eqx.Module):
    r"""Draws configurations with probability $|\psi(x)|^2 / \sum_y |\psi(y)|^2$; all fields are static.

    `sample` is pure: the configurations depend on the parameters, the state and its key, and on nothing else.
    """

    chains: eqx.AbstractVar[int]

    @abc.abstractmethod
    def check_space(self, hilbert: Any) -> None:
        """Raise `SpaceError` unless the sampler was made for this space."""

    @abc.abstractmethod
    def init(self, ansatz: Ansatz, params: Params, key: RandomKey) -> SamplerState:
        """Thermalised chains from a random start."""

    @abc.abstractmethod
    def sample(
        self, ansatz: Ansatz, params: Params, state: SamplerState, length: int, burn: int | Int[Array, ""] = 0
    ) -> tuple[SamplerState, Int[Array, "length chains sites"]]:
        """Throw away `burn` sweeps of each chain, then keep `length` configurations of each."""


def finite(log_psi: Array) -> Bool[Array, "..."]:
    """True where log psi is neither NaN nor infinite: not on a zero of the wave function."""
    return jnp.isfinite(log_psi.real)
