"""What a Monte Carlo state and a full-sum state share."""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from qml._core.errors import GradketError, SpaceError
from qml._core.types import Array, Complex, Inexact, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.correlators import correlations, order_parameter, structure_factor
from qml.estimate.covariance import Joint, combine, joint
from qml.estimate.entropy import renyi2
from qml.estimate.fidelity import infidelity, overlap
from qml.estimate.local import local_values, log_psi_of
from qml.estimate.samples import Samples
from qml.estimate.stats import Stats
from qml.estimate.zero_variance import v_score
from qml.operator.base import AbstractOperator
from qml.sampler.base import check_updates

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
        known = {"log_psi": samples.log_psi, "used": samples.used}
        return local_values(self.ansatz, self.params, operator, samples.x, chunk=self.chunk, **known)

    def expect(self, operators: Any) -> Any:
        r"""Expectation value $\langle\psi|O|\psi\rangle/\langle\psi|\psi\rangle$.

        Args:
            operators: an operator, or any tree of them (a dict of names, a list), all taken on the same samples.

        Returns:
            `Stats`, or the same tree of them. The same state gives the same samples every time.

        Raises:
            SpaceError: an operator does not act on the space of the state, or leaves it.
            GradketError: the local updates of the ansatz disagree with its network.
        """
        for operator in jax.tree.leaves(operators, is_leaf=is_operator):
            check_operator(operator, self.hilbert)
        wrong, found = _expect(self, operators)
        check_updates(wrong)
        return found

    def correlations(self, operators: Any, *, sites: Sequence[int] | None = None, connected: bool = False) -> Stats:
        r"""Correlations $\langle A_i B_j\rangle$ of all pairs of sites, see `estimate.correlations`."""
        return correlations(
            *self._parts(), self.sample()[1], operators, sites=sites, connected=connected, chunk=self.chunk
        )

    def structure_factor(
        self,
        lattice: Any,
        operators: Any,
        *,
        momenta: Any = None,
        sublattices: bool = False,
        connected: bool = False,
    ) -> Stats:
        """Static structure factor on the momenta of a lattice, see `estimate.structure_factor`."""
        options = {"momenta": momenta, "sublattices": sublattices, "connected": connected, "chunk": self.chunk}
        return structure_factor(*self._parts(), self.sample()[1], lattice, operators, **options)

    def order_parameter(self, weights: Any, operators: Any) -> Stats:
        """Squared order parameter with a weight for each site, see `estimate.order_parameter`."""
        return order_parameter(*self._parts(), self.sample()[1], weights, operators, chunk=self.chunk)

    def renyi2(self, sites: Sequence[int]) -> Stats:
        """Renyi-2 entropy of some sites, see `estimate.renyi2`."""
        return renyi2(*self._parts(), self.sample()[1], sites, chunk=self.chunk)

    def infidelity(self, other: "AbstractState", *, control: bool = True) -> Stats:
        """Infidelity with another state, sampled independently of this one, see `estimate.infidelity`."""
        return infidelity(*_meet(self, other), control=control)

    def overlap(self, other: "AbstractState") -> Stats:
        r"""$\langle\psi|\phi\rangle$ of normalised states, this one first, see `estimate.overlap`."""
        return overlap(*_meet(self, other))

    def v_score(self, hamiltonian: Any, *, size: float | None = None) -> Stats:
        """Variance in units of the energy squared, see `estimate.v_score`."""
        check_operator(hamiltonian, self.hilbert)
        _, samples = self.sample()
        return v_score(self.hilbert, samples, self.local_values(hamiltonian, samples), hamiltonian, size=size)

    def combine(self, function: Callable[[Any], Any], operators: Any) -> Any:
        """A function of the expectation values of a tree of operators, with its error, see `estimate.combine`."""
        return combine(function, self._local_tree(operators))

    def joint(self, operators: Any) -> Joint:
        """Expectation values of a tree of operators with their covariance, see `estimate.joint`."""
        return joint(*self._local_tree(operators))

    def _local_tree(self, operators: Any) -> tuple[Samples, Any]:
        for operator in jax.tree.leaves(operators, is_leaf=is_operator):
            check_operator(operator, self.hilbert)
        wrong, samples, found = _local_tree(self, operators)
        check_updates(wrong)
        return samples, found

    def _parts(self) -> tuple[Ansatz, Params, Any]:
        return self.ansatz, self.params, self.hilbert

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


def with_fallback(thing: Any, fallback: bool) -> Any:
    """A tree whose states have an ansatz with or without the slow ways, see `Ansatz.fallback`."""

    def swap(state: Any) -> Any:
        if not isinstance(state, AbstractState):
            return state
        new = object.__new__(type(state))
        for name, value in ((f.name, getattr(state, f.name)) for f in dataclasses.fields(state)):
            there = dataclasses.replace(value, fallback=fallback) if name == "ansatz" else value
            object.__setattr__(new, name, there)
        return new

    return jax.tree.map(swap, thing, is_leaf=lambda node: isinstance(node, AbstractState))


def refused(state: AbstractState) -> Array | None:
    """Whether chains have found the local updates of the ansatz to be wrong; `None` where there is nothing to find."""
    chains = getattr(state, "sampler_state", None)
    return None if chains is None or state.ansatz.updates is None else chains.refused


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


def _meet(first: AbstractState, second: AbstractState) -> tuple[Samples, Array, Samples, Array]:
    """Samples of two states, and log psi of the other one at each."""
    if first.hilbert != second.hilbert:
        raise SpaceError(
            "These states are on different spaces.",
            got=second.hilbert,
            expected=first.hilbert,
            try_="two states of one space",
        )
    wrong, *found = _met(first, second)
    for flag in wrong:
        check_updates(flag)
    return tuple(found)


@jax.jit
def _met(first: AbstractState, second: AbstractState) -> tuple[tuple, Samples, Array, Samples, Array]:
    # states made of each other have the same key and chains: the second draw of one is independent of the other
    (one, x), (two, y) = first.sample(), second.sample()[0].sample()
    return (refused(one), refused(two)), x, second.log_psi(x.x), y, first.log_psi(y.x)


@jax.jit
def _local_tree(state: AbstractState, operators: Any) -> tuple[Array | None, Samples, Any]:
    drawn, samples = state.sample()

    def one(operator: Any) -> Array:
        local = state.local_values(operator, samples)
        return local.real if operator.is_hermitian else local

    return refused(drawn), samples, jax.tree.map(one, operators, is_leaf=is_operator)


@jax.jit
def _expect(state: AbstractState, operators: Any) -> tuple[Array | None, Any]:
    drawn, samples = state.sample()

    def one(operator: Any) -> Stats:
        return samples.statistics(state.local_values(operator, samples), hermitian=operator.is_hermitian)

    return refused(drawn), jax.tree.map(one, operators, is_leaf=is_operator)
