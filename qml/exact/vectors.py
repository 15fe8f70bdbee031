"""State vectors in basis order: expectation values, basis states, embedding in the full space."""

from typing import Any

import jax
import jax.numpy as jnp

from qml._core.errors import ShapeError, SpaceError
from qml._core.types import Array, Configurations, Inexact
from qml.hilbert import AbstractHilbert, Spin
from qml.operator import AbstractOperator


def expect(vector: Inexact[Array, " size"], operator: AbstractOperator) -> Inexact[Array, ""]:
    r"""Expectation value $\langle v|O|v\rangle / \langle v|v\rangle$, real for a Hermitian operator.

    Differentiable in the vector and in the coefficients of the operator.

    Args:
        vector: amplitudes `[size]` in basis order; need not be normalised.
        operator: an operator on the vector's space.

    Raises:
        ShapeError: the vector does not fit the operator's space.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.exact import expect
        >>> from qml.operator import PauliSum
        >>> float(expect(jnp.array([1.0, 0.0, 0.0, 2.0]), PauliSum({"XX": 1.0})))
        0.8
    """
    if vector.shape != (operator.hilbert.size,):
        raise ShapeError(
            "The vector does not fit the operator's space.",
            got=f"shape {vector.shape}",
            expected=f"({operator.hilbert.size},)",
            try_="full_vector(vector, hilbert) for a vector of a constrained space",
        )
    value = _mean(operator, vector)
    return value.real if operator.is_hermitian else value


@jax.jit
def _mean(operator: AbstractOperator, vector: Array) -> Array:
    return jnp.vdot(vector, operator.apply(vector)) / jnp.vdot(vector, vector).real


def basis_vector(hilbert: AbstractHilbert, x: Configurations) -> Inexact[Array, " size"]:
    """The vector of one configuration `x[sites]`.

    Raises:
        SpaceError: the configuration does not belong to the space.

    Example:
        >>> from qml.exact import basis_vector
        >>> from qml.hilbert import Spin
        >>> basis_vector(Spin(2), [1, -1]).tolist()
        [0.0, 1.0, 0.0, 0.0]
    """
    if x not in hilbert:
        raise SpaceError(
            "The configuration does not belong to the space.",
            got=x,
            expected=f"{hilbert.n_sites} values of {hilbert.local_states} in {hilbert}",
            try_="hilbert.random_state(key)",
        )
    return jnp.zeros(hilbert.size).at[hilbert.states_to_indices(jnp.asarray(x))].set(1.0)


def full_vector(vector: Inexact[Array, " size"], hilbert: Any) -> Inexact[Array, " full"]:
    """A vector of a space with fixed magnetisation as a vector of the space of all configurations.

    Args:
        vector: amplitudes `[size]` of `hilbert`.
        hilbert: a `Spin` space.

    Returns:
        Amplitudes of the unconstrained space, zero outside `hilbert`.

    Raises:
        ShapeError: the vector does not fit the space.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.exact import full_vector
        >>> from qml.hilbert import Spin
        >>> full_vector(jnp.array([1.0, 2.0]), Spin(2, magnetisation=0)).tolist()
        [0.0, 1.0, 2.0, 0.0]
    """
    if vector.shape != (hilbert.size,):
        raise ShapeError(
            "The vector does not fit the space.",
            got=f"shape {vector.shape}",
            expected=f"({hilbert.size},)",
            try_="a vector in basis order",
        )
    everything = Spin(hilbert.n_sites, hilbert.s)
    index = everything.states_to_indices(hilbert.all_states())
    return jnp.zeros(everything.size, vector.dtype).at[index].set(vector)
