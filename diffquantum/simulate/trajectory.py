r"""Derivatives along trajectories: one run of the simulator gives an unbiased derivative in all parameters.

The probability of what a run measured is the norm of its state if nothing is normalised:
$p_h(\theta) = \langle\psi_h|\psi_h\rangle$. With $\mathrm{E} = \sum_h p_h f_h$ the derivative is the mean of
$f_h\, \partial_j \log p_h + \partial_j f_h$ over runs: no shift, no weight, all parameters at once.
"""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from diffquantum.ir import Program
from diffquantum.probing import kept
from diffquantum.simulate.machine import machine_of
from diffquantum.simulate.shots import LIMIT, ending, in_chunks
from diffquantum.unroll import unrolled
from qml._core.types import Array, RandomKey


class Scores(eqx.Module):
    r"""What scored shots returned.

    Args:
        value: the number of each shot, $f_h$ `[shots]`.
        score: $\partial_j \log p_h$ `[shots, params]`.
        slope: $\partial_j f_h$ `[shots, params]`.
        finished: which shots ended within the limit `[shots]`.
    """

    value: Array
    score: Array
    slope: Array
    finished: Array


@functools.partial(
    jax.jit, static_argnums=(0,), static_argnames=("shots", "strings", "reverse", "outcomes", "limit", "dtype")
)
def scores(
    program: Program,
    theta: Array,
    key: RandomKey,
    coefficients: Array,
    *,
    shots: int,
    strings: tuple[str, ...] | None = None,
    reverse: bool = False,
    outcomes: bool = False,
    limit: int = LIMIT,
    dtype: Any = np.float32,
) -> Scores:
    r"""Run a program with one output `shots` times, with the derivatives of what happened.

    Args:
        program: a program with one output, a number.
        theta: the parameters `[params]`.
        key: a typed key.
        coefficients: of the observable `[terms]`.
        shots: number of runs.
        strings: Pauli strings of the observable, or `None`.
        reverse: go back through each run once, instead of carrying one tangent for each parameter: cheaper above about
            four parameters; loops keep 32 states and compute the others again.
        outcomes: whether an observable is measured, or its mean in the final state taken.
        limit: most turns of loops in a shot.
        dtype: precision of the amplitudes.

    Returns:
        Values, scores and slopes.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from diffquantum.ir import Const, Gate, Measure, Parameter, Program, Unary, Var
        >>> from diffquantum.simulate.trajectory import scores
        >>> body = (Gate("rx", (Const(0),), Parameter(0)), Measure(Const(0), "m"))
        >>> program = Program("Flip", ("angle",), 1, body, outputs=(Unary("float", Var("m")),), kind="double")
        >>> out = scores(program, jnp.array([jnp.pi / 2]), jax.random.key(0), jnp.zeros(0), shots=100)
        >>> bool(jnp.all(jnp.abs(out.score[:, 0] - (2 * out.value - 1)) < 1e-6))
        True

    Source: likelihood ratio (score function) derivatives of stochastic simulations, Glynn, Commun. ACM 33, 75 (1990).
    """
    program, theta = unrolled(program), kept(program, theta)
    words = jax.random.bits(key, (2,), jnp.uint32)

    def one(index: Array, limit: Array, known: dict) -> Scores:
        def both(theta: Array) -> tuple[tuple[Array, Array], Array]:
            machine = machine_of(program, theta, words, index, limit, np.dtype(dtype), {}, scored=True, reverse=reverse)
            run = machine.run(program.body, machine.start(known), None)
            out = ending(machine, program, run, strings, coefficients, outcomes)
            value = out.outputs[0].astype(jnp.result_type(float))
            value = value if out.observable is None else value * out.observable
            return (out.likelihood, value), out.finished  # type: ignore[return-value]

        if not reverse:
            (_, value), (score, slope), finished = _forward(both, theta)
            return Scores(value, score, slope, finished)
        each = jnp.broadcast_to(theta[:, None], (*theta.shape, *index.shape))
        (ones, value), back, finished = jax.vjp(both, each, has_aux=True)
        nothing = jnp.zeros_like(value)
        return Scores(value, back((ones, nothing))[0].T, back((nothing, jnp.ones_like(value)))[0].T, finished)

    return in_chunks(one, program, theta, shots, limit, {})


def _forward(both, theta: Array):
    """Values, tangents `[lanes, params]` and what comes along."""

    def push(direction: Array):
        return jax.jvp(both, (theta,), (direction,), has_aux=True)

    values, tangents, finished = jax.vmap(push, out_axes=(None, -1, None))(jnp.eye(len(theta), dtype=theta.dtype))
    return values, tangents, finished
