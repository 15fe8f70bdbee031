r"""The metric of a circuit's states, for natural gradients."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffquantum.errors import UnsupportedError
from diffquantum.ir import Const, Gate, Program, variables
from diffquantum.simulate.gates import unitary
from diffquantum.simulate.operations import evaluate
from qml._core.errors import ShapeError
from qml._core.types import Array


def fubini_study(program: Program, theta: Any) -> Array:
    r"""The Fubini-Study metric of the state a circuit prepares: a quarter of its quantum Fisher information.

    $$g_{ij} = \mathrm{Re}\left(\langle\partial_i\psi|\partial_j\psi\rangle
    - \langle\partial_i\psi|\psi\rangle\langle\psi|\partial_j\psi\rangle\right)$$

    The natural gradient solves $(g + \epsilon)\, x = \nabla E$. A JAX function of theta.

    Args:
        program: gates only, on constant qubits.
        theta: the parameters `[params]`.

    Returns:
        Symmetric matrix `[params, params]`, positive semidefinite.

    Raises:
        UnsupportedError: the program measures, resets, branches or loops.
        ShapeError: the number of parameters is wrong.

    Example:
        >>> import jax.numpy as jnp
        >>> from diffquantum.ir import Const, Gate, Parameter, Program
        >>> from diffquantum.metric import fubini_study
        >>> turn = Program("Turn", ("t",), 1, (Gate("ry", (Const(0),), Parameter(0)),), register=(0,))
        >>> fubini_study(turn, jnp.array([0.3])).round(12).tolist()
        [[0.25]]

    Source: Stokes et al., arXiv 1909.02108.
    """
    theta = jnp.asarray(theta, float)
    if theta.shape != (len(program.parameters),):
        raise ShapeError(
            f"The program {program.name} has {len(program.parameters)} parameters.",
            got=f"an array of shape {theta.shape}",
            expected=f"({len(program.parameters)},)",
            try_="one number for each parameter, in order",
        )

    def state(t: Array) -> tuple[Array, Array]:
        psi = jnp.zeros((2,) * program.qubits, complex).at[(0,) * program.qubits].set(1)
        for statement in program.body:
            psi = _apply(program, statement, t, psi)
        return psi.ravel().real, psi.ravel().imag

    psi = jax.lax.complex(*state(theta))
    slopes = jax.lax.complex(*jax.jacfwd(state)(theta))
    overlap = slopes.conj().T @ psi
    return (slopes.conj().T @ slopes - overlap[:, None] * overlap.conj()[None, :]).real


def _apply(program: Program, statement: Any, theta: Array, psi: Array) -> Array:
    plain = isinstance(statement, Gate) and all(isinstance(q, Const) for q in statement.qubits)
    if not plain or (statement.angle is not None and variables(statement.angle)):
        raise UnsupportedError(
            f"The program {program.name} does not prepare one pure state.",
            got=type(statement).__name__,
            expected="gates on constant qubits, no measurement, branch or loop",
            try_="the gradient itself, or a program of gates only",
        )
    angle = None if statement.angle is None else evaluate(statement.angle, theta, jnp)
    matrix = jnp.asarray(unitary(statement.name, angle, jnp))
    axes = [int(q.value) for q in statement.qubits if isinstance(q, Const)]
    square = matrix.reshape((2,) * (2 * len(axes)))
    moved = jnp.tensordot(square, psi, axes=(list(range(len(axes), 2 * len(axes))), axes))
    return jnp.moveaxis(moved, np.arange(len(axes)).tolist(), axes)
