r"""The metric of a circuit's states, or of what a program measures, for natural gradients."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffquantum.errors import UnsupportedError
from diffquantum.ir import Const, Gate, Program, variables
from diffquantum.simulate.gates import unitary
from diffquantum.simulate.operations import evaluate
from diffquantum.simulate.trajectory import scores
from qml._core.errors import ShapeError
from qml._core.types import Array, RandomKey
from qml.estimate.stats import Stats


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


def fisher_information(program: Program, theta: Array, key: RandomKey, shots: int, **settings: Any) -> Stats:
    r"""The Fisher information of the measurement record, from shots: loops, branches and all.

    $$F_{ij} = \mathrm{E}[\partial_i \log p\; \partial_j \log p],\qquad p \text{ the probability of all outcomes}$$

    The natural gradient of a program with loops solves $(F + \epsilon)\, x = \nabla E$. Outcomes of `Reset` count as
    measured. A state that is not measured is not part of the record.

    Args:
        program: without calls.
        theta: the parameters `[params]`.
        key: a typed key.
        shots: number of runs.
        settings: `limit`, `dtype` and `reverse` of `simulate.trajectory.scores`.

    Returns:
        Means and errors `[params, params]`; NaN if a shot did not end.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from diffquantum.ir import Const, Gate, Measure, Parameter, Program, Var
        >>> from diffquantum.metric import fisher_information
        >>> body = (Gate("ry", (Const(0),), Parameter(0)), Measure(Const(0), "m"))
        >>> flip = Program("Flip", ("t",), 1, body, outputs=(Var("m"),), kind="result")
        >>> bool(abs(fisher_information(flip, jnp.array([0.9]), jax.random.key(0), 2000).mean[0, 0] - 1) < 0.2)
        True

    Source: Amari, Neural Comput. 10, 251 (1998).
    """
    one = dataclasses.replace(program, outputs=(Const(1.0),), kind="double")
    out = scores(one, jnp.asarray(theta), key, jnp.zeros(0), shots=shots, **settings)
    values = out.score[:, :, None] * out.score[:, None, :]
    found = Stats.of(jnp.where(jnp.all(out.finished), values, jnp.nan).reshape(shots, -1))
    shape = (out.score.shape[1],) * 2
    return jax.tree.map(lambda x: x.reshape(shape) if x.ndim else x, found)


def natural_gradient(metric: Array, gradient: Array, shift: float = 1e-3) -> Array:
    r"""The step $x$ that solves $(F + \epsilon\, \tfrac1n \mathrm{tr} F)\, x = \nabla E$.

    Args:
        metric: `fisher_information(...).mean`, or `fubini_study(...)`, `[params, params]`.
        gradient: `[params]`.
        shift: $\epsilon$, relative to the mean of the diagonal.

    Returns:
        `[params]`; where the metric is zero, the gradient itself.

    Example:
        >>> import jax.numpy as jnp
        >>> from diffquantum.metric import natural_gradient
        >>> natural_gradient(jnp.diag(jnp.array([4.0, 1.0])), jnp.array([4.0, 1.0]), 0.0).tolist()
        [1.0, 1.0]
    """
    size = jnp.trace(metric) / metric.shape[0]
    size = jnp.where(size > 0, size, 1.0)
    empty = jnp.where(jnp.any(metric != 0), 0.0, 1.0)
    return jnp.linalg.solve(metric + (shift * size + empty) * jnp.eye(metric.shape[0]), gradient)


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
