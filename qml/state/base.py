"""What a Monte Carlo state and a full-sum state share."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from qml._core.errors import GradketError, SpaceError
from qml._core.types import Array, Complex, Inexact, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.local import local_values, log_psi_of
from qml.estimate.samples import Samples
from qml.estimate.stats import Stats
from qml.operator.base import AbstractOperator

_LIMIT = 2**22


class AbstractState(eqx.Module):
    """A wave function with its parameters, and a way to get weighted configurations from it."""

    ansatz: eqx.AbstractVar[Ansatz]
    hilbert: eqx.AbstractVar[Any]
    chunk: eqx.AbstractVar[int | None]
    params: eqx.AbstractVar[Params]

    @abc.abstractmethod
    def sample(self) -> tuple["AbstractState", Samples]:
        """The state after drawing, and the configurations with their weights."""

    def log_psi(self, x: Any) -> Inexact[Array, "..."]:
        r"""$\log\psi(x)$ of configurations `x[..., sites]`."""
        return _log_psi(self, jnp.asarray(x))

    def local_values(self, operator: Any, samples: Samples) -> Inexact[Array, " samples"]:
        """Local values of an operator at samples of this state, see `estimate.local_values`."""
        return local_values(self.ansatz, self.params, operator, samples.x, log_psi=samples.log_psi, chunk=self.chunk)

    def expect(self, operators: Any) -> Any:
        r"""Expectation value $\langle\psi|O|\psi\rangle/\langle\psi|\psi\rangle$.

        Args:
            operators: an operator, or any tree of them (a dict of names, a list), all taken on the same samples.

        Returns:
            `Stats`, or the same tree of them. The same state gives the same samples every time.

        Raises:
            SpaceError: an operator does not act on the space of the state, or leaves it.
        """
        for operator in jax.tree.leaves(operators, is_leaf=is_operator):
            check_operator(operator, self.hilbert)
        return _expect(self, operators)

    def with_params(self, params: Params) -> "AbstractState":
        """The same state with other parameters."""
        if jax.tree.structure(params) != jax.tree.structure(self.params):
            raise GradketError(
                "These parameters do not belong to this ansatz.",
                got=jax.tree.structure(params),
                expected=jax.tree.structure(self.params),
                try_="a tree like state.params",
            )
        return eqx.tree_at(lambda s: s.params, self, params, is_leaf=lambda leaf: leaf is self.params)

    def to_array(self) -> Complex[Array, " size"] | Inexact[Array, " size"]:
        r"""Normalised amplitudes $\psi(x)/\|\psi\|$ in basis order.

        Raises:
            SpaceError: the space has more than 4194304 states.
        """
        check_size(self.hilbert, _LIMIT)
        return _amplitudes(self)


def is_operator(thing: Any) -> bool:
    """True for anything with connected states."""
    return isinstance(thing, AbstractOperator)


def check_operator(operator: Any, hilbert: Any) -> None:
    """Raise unless the operator acts on the space and stays in it.

    Raises:
        SpaceError: it does not, or it is no operator.
    """
    if not is_operator(operator):
        raise SpaceError(
            "This is not an operator.",
            got=type(operator).__name__,
            expected="an operator, or a tree of operators",
            try_="qml.operator.PauliSum({...}), qml.operator.Ising(hilbert, lattice, ...)",
        )
    operator.check_space(hilbert)


def check_size(hilbert: Any, limit: int) -> None:
    """Raise where a space is too large to list.

    Raises:
        SpaceError: more than `limit` states.
    """
    if hilbert.size > limit:
        raise SpaceError(
            "This space is too large to list.",
            got=f"{hilbert.size} states",
            expected=f"at most {limit}",
            try_="qml.MCState(model, hilbert, ...), which samples",
        )


@jax.jit
def _log_psi(state: AbstractState, x: Array) -> Array:
    values = log_psi_of(state.ansatz, state.params, x.reshape(-1, x.shape[-1]), state.chunk)
    return values.reshape(x.shape[:-1])


@jax.jit
def _amplitudes(state: AbstractState) -> Array:
    log_psi = state.log_psi(state.hilbert.all_states())
    psi = jnp.exp(log_psi - jnp.max(log_psi.real))
    return psi / jnp.linalg.norm(psi)


@jax.jit
def _expect(state: AbstractState, operators: Any) -> Any:
    _, samples = state.sample()

    def one(operator: Any) -> Stats:
        return samples.statistics(state.local_values(operator, samples), hermitian=operator.is_hermitian)

    return jax.tree.map(one, operators, is_leaf=is_operator)
