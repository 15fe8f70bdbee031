"""Run a program many times: one compiled function for all shots, loops and all."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from diffquantum.ir import (
    Program,
)
from diffquantum.probing import kept
from diffquantum.simulate import statevector as sv
from diffquantum.simulate.coins import coin_qubits
from diffquantum.simulate.machine import Machine, Run, kind_of, machine_of
from diffquantum.transform.simplify import type_of
from diffquantum.unroll import unrolled
from qml._core.errors import ShapeError
from qml._core.types import Array, RandomKey

LIMIT = 1_000_000
AMPLITUDES = 2**13  # of the states of all shots held at once, so that they stay in the cache


class Samples(eqx.Module):
    """What the shots returned.

    Args:
        outputs: for each output of the program its values `[shots]`.
        observable: a number per shot whose mean is that of the observable `[shots]`; `None` where none was asked for.
        finished: which shots ended within the limit `[shots]`; the values of the others mean nothing.
        likelihood: for scored shots, 1, with the derivatives of the probability of what was measured over that
            probability `[shots]`.
    """

    outputs: tuple[Array, ...]
    observable: Array | None
    finished: Array
    likelihood: Array | None = None


def sample(
    program: Program,
    theta: Array,
    key: RandomKey,
    shots: int,
    *,
    observable: tuple[tuple[str, ...], Array] | None = None,
    outcomes: bool = True,
    limit: int = LIMIT,
    dtype: Any = np.float32,
    given: Mapping[str, Array] | None = None,
) -> Samples:
    """Run a program `shots` times.

    Shot `i` depends on the key and `i` alone, so more shots repeat the first ones. All of it is one compiled program.

    Args:
        program: the program.
        theta: the parameters `[params]`.
        key: a typed key.
        shots: number of runs.
        observable: Pauli strings in register order and their coefficients `[terms]`, real.
        outcomes: measure the observable as hardware does: each shot picks one set of strings that can be measured
            together, with chance proportional to the sum of their coefficients, and returns its outcomes; if False,
            each shot returns the mean of the observable in its final state.
        limit: most turns of loops in a shot; a shot that needs more is given up (see `Samples.finished`), and after the
            first such shot the rest are not run.
        dtype: precision of the amplitudes.
        given: values `[shots]` of variables that the program reads and does not set first.

    Returns:
        The outputs and the observable of each shot.

    Raises:
        ShapeError: `theta` has the wrong length, or a string the wrong number of letters.
        UnsupportedError: the program has calls that have not been written out.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from diffquantum.ir import Const, Gate, Measure, Parameter, Program, Var
        >>> from diffquantum.simulate.shots import sample
        >>> body = (Gate("rx", (Const(0),), Parameter(0)), Measure(Const(0), "m"))
        >>> program = Program("Flip", ("angle",), 1, body, outputs=(Var("m"),), kind="result")
        >>> sample(program, jnp.array([jnp.pi]), jax.random.key(0), 3).outputs[0].tolist()
        [True, True, True]
    """
    theta = jnp.asarray(theta)
    if theta.shape != (len(program.parameters),):
        raise ShapeError(
            f"The program {program.name} has {len(program.parameters)} parameters.",
            got=f"theta of shape {theta.shape}",
            expected=f"shape ({len(program.parameters)},)",
            try_="one number for each of " + ", ".join(program.parameters),
        )
    strings, coefficients = ((), jnp.zeros(0)) if observable is None else observable
    width = len(program.register)
    if any(len(s) != width or set(s) - set("IXYZ") for s in strings):
        raise ShapeError(
            f"A Pauli string does not fit the register of {program.name}.",
            got=strings,
            expected=f"{width} letters of I, X, Y, Z",
            try_="Z" * width,
        )
    asked = None if observable is None else tuple(strings)
    how = (asked, int(shots), outcomes, int(limit), np.dtype(dtype))
    return _sample(unrolled(program), kept(program, theta), key, jnp.asarray(coefficients), dict(given or {}), *how)


@functools.partial(jax.jit, static_argnums=(0, 5, 6, 7, 8, 9))
def _sample(program, theta, key, coefficients, given, strings, shots, outcomes, limit, dtype) -> Samples:
    words = jax.random.bits(key, (2,), jnp.uint32)
    kinds = {name: kind_of(values.dtype) for name, values in given.items()}

    def one(index: Array, limit: Array, known: dict) -> Samples:
        machine = machine_of(program, theta, words, index, limit, dtype, kinds)
        return ending(
            machine, program, machine.run(program.body, machine.start(known), None), strings, coefficients, outcomes
        )

    return in_chunks(one, program, theta, shots, limit, given)


def in_chunks(one: Callable, program: Program, theta: Array, shots: int, limit: int, given: Mapping[str, Array]) -> Any:
    """Run chunks of shots one after another, and none after the first that holds a shot that does not end.

    Args:
        one: index of the shots, limit of turns, given variables `[lanes]` to a record with `finished`.
        program: the program.
        theta: the parameters `[params]`; where one is not a number no shot runs.
        shots: number of shots.
        limit: most turns of loops in a shot.
        given: values of given variables `[shots]`.

    Returns:
        The records of all shots, each array `[shots, ...]`.
    """
    lanes = min(max(AMPLITUDES >> (program.qubits - len(coin_qubits(program))), 32), 1024, max(shots, 1))
    chunks = -(-shots // lanes)
    given = {k: jnp.pad(v, (0, chunks * lanes - shots)).reshape(chunks, lanes) for k, v in given.items()}

    def chunk(lost: Array, each: tuple[Array, dict]) -> tuple[Array, Any]:
        number, known = each
        index = number * np.uint32(lanes) + jnp.arange(lanes, dtype=jnp.uint32)
        out = one(index, jnp.where(lost, 0, limit), known)
        return lost | ~jnp.all(out.finished), out

    _, out = jax.lax.scan(chunk, jnp.any(jnp.isnan(theta)), (jnp.arange(chunks, dtype=jnp.uint32), given))
    return jax.tree.map(lambda x: x.reshape(chunks * lanes, *x.shape[2:])[:shots], out)


def ending(
    machine: Machine, program: Program, run: Run, strings: Sequence[str] | None, coefficients: Array, outcomes: bool
) -> Samples:
    """What shots that have run return."""
    outputs = tuple(machine.spread(machine.evaluate(e, run.memory), type_of(e, machine.types)) for e in program.outputs)
    finished = run.turns < machine.limit
    found = None
    if strings is not None:
        register = tuple(machine.place[q] for q in program.register)
        found, run = machine.observe(run, strings, coefficients, register, outcomes)
    likelihood = None
    if machine.scored:
        weight = sum(sv.weights(run.state, 0)).astype(jnp.result_type(float))  # type: ignore[union-attr]
        likelihood = run.likelihood * weight / jax.lax.stop_gradient(weight)
    return Samples(outputs, found, finished, likelihood)
