"""What every family of thermal states can do: one protocol for couplings of Pauli strings and for latent states."""

import abc
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml import linalg
from qml._core.errors import DataError
from qml._core.types import Array, Float, Inexact, PyTree, RandomKey
from qml.estimate.stats import Stats
from qml.gibbs import engine
from qml.gibbs.shots import ShotData, basis_codes, brick_bases
from qml.gibbs.tables import confusion, whole_numbers
from qml.hilbert import AbstractHilbert
from qml.operator import AbstractOperator
from qml.operator.strings import PauliStrings


class AbstractGibbs(eqx.Module):
    r"""Thermal states $\rho = e^{-K} / \mathrm{Tr}\,e^{-K}$ with a modular Hamiltonian K of some parameters.

    All numbers may be differentiated in the parameters.
    """

    hilbert: eqx.AbstractVar[AbstractHilbert]

    @property
    @abc.abstractmethod
    def params(self) -> PyTree:
        """The parameters, a tree of real vectors."""

    @abc.abstractmethod
    def with_params(self, params: PyTree) -> "AbstractGibbs":
        """The same family with other parameters; nothing is checked, so it may be traced."""

    @abc.abstractmethod
    def log_partition(self) -> Float[Array, ""]:
        r"""$\log \mathrm{Tr}\,e^{-K}$."""

    @abc.abstractmethod
    def entropy(self) -> Float[Array, ""]:
        """Von Neumann entropy in nats."""

    @abc.abstractmethod
    def density(self) -> Inexact[Array, "size size"]:
        """The density matrix in basis order."""

    @abc.abstractmethod
    def expect(self, operator: AbstractOperator) -> Stats:
        """Expectation of an operator on this model's space, with the error it is known to."""

    @abc.abstractmethod
    def modular(self, density: Inexact[Array, "size size"]) -> Float[Array, ""]:
        r"""$\mathrm{Tr}(\sigma K)$ of another state; $D(\sigma\|\rho) = \mathrm{Tr}(\sigma K) + \log Z - S(\sigma)$."""

    @abc.abstractmethod
    def metric_blocks(self, kind: str = "bkm") -> PyTree:
        """The information metric of each leaf of `params`; there is none between two leaves."""

    @abc.abstractmethod
    def hvp(self, direction: PyTree) -> PyTree:
        """The Kubo-Mori metric times a direction in the parameters."""

    def sample(
        self, key: RandomKey, bases: Sequence[str] | None = None, shots: Any = 1000, readout: Any = None
    ) -> ShotData:
        """Measure the state in local Pauli bases.

        Args:
            key: a typed key; used up.
            bases: letters X, Y, Z in site order, one string for each setting; `None` is the nine `brick_bases`.
            shots: shots of each setting, one number or one for each basis.
            readout: errors of the readout of each site, see `ShotData`.

        Raises:
            DataError: wrong letters, or no shots at all.

        Example:
            >>> import jax, jax.numpy as jnp
            >>> from qml.gibbs import PauliGibbs
            >>> PauliGibbs(("ZZ",), jnp.array([-20.0])).sample(jax.random.key(0), ["ZZ"], 100).outcomes.tolist()
            [[0, 0], [1, 1]]
        """
        bases = brick_bases(self.hilbert.n_sites) if bases is None else bases
        codes = basis_codes(bases)
        if codes.shape[1] != self.hilbert.n_sites:
            raise DataError(
                "The bases have another number of sites than the model.",
                got=f"{codes.shape[1]} letters",
                expected=f"{self.hilbert.n_sites} letters",
                try_="one letter X, Y or Z for each site",
            )
        shots = [shots] * len(codes) if np.ndim(shots) == 0 else shots
        shots = whole_numbers(shots, "number of shots", len(codes))
        errors = None if readout is None else jnp.asarray(confusion(readout, self.hilbert.n_sites))
        laws = np.asarray(measured(self, jnp.asarray(codes), errors))
        keys = jax.random.split(key, len(codes))
        rows = [_draw(k, law, int(count)) for k, law, count in zip(keys, laws, shots, strict=True)]
        place = np.arange(self.hilbert.n_sites - 1, -1, -1)
        outcomes = np.concatenate([index for index, _ in rows])[:, None] >> place[None, :] & 1
        setting = np.repeat(np.arange(len(codes)), [len(index) for index, _ in rows])
        return ShotData(bases, outcomes, np.concatenate([n for _, n in rows]), setting, readout)


class AbstractLinear(AbstractGibbs):
    r"""Thermal states with $K = \sum_j \theta_j P_j$ and $\theta = A t$, linear in the parameters t."""

    covariance: eqx.AbstractVar[Array]
    strings: eqx.AbstractVar[PauliStrings]
    tie: eqx.AbstractVar[Array | None]  # A [terms, params]; None is one parameter for each string

    @abc.abstractmethod
    def with_params(self, params: PyTree) -> "AbstractLinear":
        """See `AbstractGibbs.with_params`."""

    @abc.abstractmethod
    def marginals(self) -> Float[Array, " params"]:
        r"""$-\partial \log Z / \partial t$."""


def push(tie: Array | None, params: Array) -> Array:
    """Couplings of the strings from parameters."""
    return params if tie is None else tie @ params


def pull(tie: Array | None, values: Array) -> Array:
    """Derivatives in the parameters from those in the couplings: of a vector, or of a symmetric matrix."""
    if tie is None:
        return values
    return tie.T @ values @ tie if values.ndim == 2 else values @ tie


def metric_product(model: AbstractLinear, state: engine.Thermal, direction: Array, kind: str = "bkm") -> Array:
    """A metric of a solved state times a direction in the parameters, without the matrix of the metric."""
    matrix = engine.assemble(model.strings, push(model.tie, direction))
    return pull(model.tie, engine.covariances(model.strings, state, matrix, kind))


@linalg.jitted
def measured(model: AbstractGibbs, bases: Array, readout: Array | None = None) -> Array:
    r"""The law $p(x|b)$ of every local basis `[settings, size]`.

    Args:
        model: the state.
        bases: letters as numbers, X = 0, Y = 1, Z = 2 `[settings, sites]`.
        readout: errors of the readout, see `engine.outcomes`.
    """
    table = engine.pauli_table(model.density())
    return jax.lax.map(lambda index: engine.probabilities(table, index, readout), engine.setting_index(bases))


def _draw(key: RandomKey, law: np.ndarray, shots: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct outcomes of `shots` draws and how often each came."""
    edges = np.cumsum(np.clip(law, 0, None))
    draws = np.asarray(jax.random.uniform(key, (shots,))) * edges[-1]
    return np.unique(np.minimum(np.searchsorted(edges, draws, side="right"), len(law) - 1), return_counts=True)
