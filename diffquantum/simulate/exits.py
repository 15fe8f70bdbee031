r"""Trajectories that take the mean over the exit of a loop instead of drawing it.

At the measurement that decides the loop the state splits: the part that leaves runs through the rest of the program and
adds its mean, the part that stays goes on, not normalised, so that its norm is the probability to be there. What is
measured elsewhere in the loop is drawn. A body that measures nothing else gives the mean without any scatter.
"""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from diffquantum.errors import UnsupportedError
from diffquantum.ir import Assign, Block, Const, Gate, Measure, Program, Reset, Statement, While, walk
from diffquantum.probing import kept
from diffquantum.simulate import statevector as sv
from diffquantum.simulate.machine import Machine, Run, machine_of
from diffquantum.simulate.shots import LIMIT, in_chunks
from diffquantum.unroll import unrolled
from qml._core.types import Array, RandomKey

BRANCHES = 6  # most measurements after the loop, each of which doubles the work


class Exits(eqx.Module):
    """What the shots returned.

    Args:
        value: an unbiased estimate of the mean by each shot `[shots]`.
        slope: and of its derivative `[shots, params]`.
        finished: which shots ended within the limit `[shots]`.
    """

    value: Array
    slope: Array
    finished: Array


class _Turn(eqx.Module):
    """What a loop carries."""

    run: Run
    active: Array
    total: Array


def parts_of(program: Program) -> tuple[Block, While, Block]:
    """What comes before the last loop of a program, the loop, and what comes after it.

    Raises:
        UnsupportedError: the loop is not left at a measurement, or the rest measures too much or in branches.
    """
    places = [i for i, s in enumerate(program.body) if isinstance(s, While) and _decider(s) is not None]
    if not places:
        raise _refused(program, "its last loop is not decided right after a measurement of one qubit")
    before, loop, rest = program.body[: places[-1]], program.body[places[-1]], program.body[places[-1] + 1 :]
    inner = [s for s in rest if not isinstance(s, Measure | Reset)]
    if any(isinstance(s, Measure | Reset) for s in walk(tuple(inner))):
        raise _refused(program, "a branch or a loop after its last loop measures")
    resets = [i for i, s in enumerate(rest) if isinstance(s, Reset) and _needed(rest, i, program)]
    if sum(isinstance(s, Measure) for s in rest) + len(resets) > BRANCHES:
        raise _refused(program, f"more than {BRANCHES} qubits are measured after its last loop")
    return before, loop, rest  # type: ignore[return-value]


def _decider(loop: While) -> int | None:
    """Where in the block before the condition the last measurement stands, with nothing but assignments after it."""
    for i in range(len(loop.before) - 1, -1, -1):
        match loop.before[i]:
            case Assign():
                continue
            case Measure(Const(), _):
                return i
        return None
    return None


def _refused(program: Program, why: str) -> UnsupportedError:
    return UnsupportedError(
        f"The mean over exits of {program.name} cannot be taken: {why}.",
        got=program.name,
        expected="while M(q) == Zero { .. } or repeat { .. } until M(q) == One, and few measurements after it",
        try_="Score()",
    )


def _needed(rest: Block, i: int, program: Program) -> bool:
    """Whether a reset matters: something later touches the qubit, or the observable does."""
    qubit = rest[i].qubit  # type: ignore[union-attr]
    if not isinstance(qubit, Const) or qubit.value in program.register:
        return True
    later = [e for s in walk(rest[i + 1 :]) for e in _qubits(s)]
    return any(not isinstance(e, Const) or e == qubit for e in later)


def _qubits(s: Statement) -> tuple:
    return s.qubits if isinstance(s, Gate) else (s.qubit,) if isinstance(s, Measure | Reset) else ()


@functools.partial(
    jax.jit, static_argnums=(0,), static_argnames=("shots", "strings", "floor", "limit", "dtype", "derivative")
)
def exits(
    program: Program,
    theta: Array,
    key: RandomKey,
    coefficients: Array,
    *,
    shots: int,
    strings: tuple[str, ...] | None = None,
    floor: float = 1e-15,
    derivative: bool = True,
    limit: int = LIMIT,
    dtype: Any = None,
) -> Exits:
    """Run a program with one output, with the mean over the exits of its last loop.

    Args:
        program: a program with one output, a number.
        theta: the parameters `[params]`.
        key: a typed key.
        coefficients: of the observable `[terms]`.
        shots: number of runs; one is enough where the loop measures nothing else.
        strings: Pauli strings of the observable, or `None`.
        floor: a shot whose remaining probability is below goes on with chance 1/2 and twice that.
        derivative: whether slopes are wanted.
        limit: most turns of loops in a shot.
        dtype: precision of the amplitudes; `None` is that of `theta`.

    Returns:
        Values and slopes.

    Raises:
        UnsupportedError: see `parts_of`.
    """
    program, theta = unrolled(program), kept(program, theta)
    before, loop, rest = parts_of(program)
    words = jax.random.bits(key, (2,), jnp.uint32)
    dtype = np.dtype(dtype or theta.dtype)

    def one(index: Array, limit: Array, known: dict) -> Exits:
        def mean(theta: Array) -> tuple[Array, Array]:
            machine = machine_of(program, theta, words, index, limit, dtype, {}, scored=True, coins=False)
            run = machine.run(before, machine.start(known), None)
            walker = _Walker(machine, program, strings, coefficients)
            turn = walker.loop(loop, rest, run, floor)
            return turn.total, turn.run.turns < machine.limit

        if not derivative:
            value, finished = mean(theta)
            return Exits(value, jnp.zeros((*value.shape, len(theta)), value.dtype), finished)

        def push(direction: Array):
            return jax.jvp(mean, (theta,), (direction,), has_aux=True)

        value, slope, finished = jax.vmap(push, out_axes=(None, -1, None))(jnp.eye(len(theta), dtype=theta.dtype))
        return Exits(value, slope, finished)

    return in_chunks(one, program, theta, shots, limit, {})


class _Walker(eqx.Module):
    """Walks through the loop and what comes after it."""

    machine: Machine = eqx.field(static=True)
    program: Program = eqx.field(static=True)
    strings: tuple[str, ...] | None = eqx.field(static=True)
    coefficients: Array

    def loop(self, loop: While, rest: Block, run: Run, floor: float) -> _Turn:
        machine = self.machine
        where = _decider(loop)
        measured: Measure = loop.before[where]  # type: ignore[index, assignment]

        def turn(t: _Turn) -> _Turn:
            run = machine.run(loop.before[:where], t.run, t.active)
            value, run = machine.uniform(run, t.active)
            sides = [self.side(measured, bit, run, t.active) for bit in (False, True)]
            sides = [machine.run(loop.before[where + 1 :], side, t.active) for side in sides]  # type: ignore[operator]
            stays = [t.active & machine.spread(machine.evaluate(loop.condition, side.memory), bool) for side in sides]
            total = t.total
            for side, stay in zip(sides, stays):
                gone = t.active & ~stay
                total = total + jnp.where(gone, self.rest(rest, side, gone), 0.0)
            none, one = (jax.lax.stop_gradient(_weight(side)) for side in sides)
            both, chance = stays[0] & stays[1], one / jnp.where(none + one > 0, none + one, 1)
            picked = jnp.where(both, value < chance, stays[1])
            run = jax.tree.map(lambda a, b: jnp.where(picked, b, a), *sides)
            run = self.scaled(run, jnp.where(both, jnp.where(picked, 1 / _safe(chance), 1 / _safe(1 - chance)), 1.0))
            active = stays[0] | stays[1]
            run = machine.run(loop.body, run, active)
            return self.roulette(run, active, total, floor)

        active = jnp.ones(machine.index.shape, bool) & (run.turns < machine.limit)
        start = _Turn(run, active, jnp.zeros(machine.index.shape))
        return jax.lax.while_loop(lambda t: jnp.any(t.active), turn, start)

    def roulette(self, run: Run, active: Array, total: Array, floor: float) -> _Turn:
        """Shots of little weight go on with chance 1/2, and then count twice."""
        weight = jax.lax.stop_gradient(_weight(run))
        small = active & (weight < floor)
        value, run = self.machine.uniform(run, small)
        run = self.scaled(run, jnp.where(small, 2.0, 1.0))
        turns = run.turns + active
        active = active & (weight > 0) & (~small | (value < 0.5)) & (turns < self.machine.limit)
        return _Turn(eqx.tree_at(lambda r: r.turns, run, turns), active, total)

    def scaled(self, run: Run, factor: Array) -> Run:
        """The weight of each shot times a factor."""
        root = jnp.sqrt(factor).astype(self.machine.dtype)
        state = jax.tree.map(lambda x: x * root.reshape((1,) * (x.ndim - 1) + root.shape), run.state)
        return eqx.tree_at(lambda r: r.state, run, state)

    def side(self, measured: Measure | Reset, bit: bool, run: Run, mask: Array) -> Run:
        """One outcome of a measurement, not normalised."""
        qubit = self.machine.place[measured.qubit.value]  # type: ignore[union-attr]
        outcome = jnp.full(self.machine.index.shape, bit)
        reset = isinstance(measured, Reset) or measured.reset
        ones = jnp.ones(self.machine.index.shape, self.machine.dtype)
        state = sv.collapse(run.state, qubit, outcome, ones, reset, mask)
        run = eqx.tree_at(lambda r: r.state, run, state)
        return run if isinstance(measured, Reset) else self.machine.write(run, measured.target, outcome, mask)

    def rest(self, rest: Block, run: Run, mask: Array) -> Array:
        """The mean of the number at the end, times the weight `[lanes]`."""
        for i, s in enumerate(rest):
            if isinstance(s, Reset) and not _needed(rest, i, self.program):
                continue
            if isinstance(s, Measure | Reset):
                none, one = (self.rest(rest[i + 1 :], self.side(s, bit, run, mask), mask) for bit in (False, True))
                return none + one
            run = self.machine.run((s,), run, mask)
        machine = self.machine
        weight = _weight(run).astype(jnp.result_type(float))
        value = machine.evaluate(self.program.outputs[0], run.memory) * weight * run.likelihood
        if self.strings is not None:
            register = tuple(machine.place[q] for q in self.program.register)
            found, _ = machine.observe(run, self.strings, self.coefficients, register, False)
            value = value * found
        return machine.spread(value, float)


def _weight(run: Run) -> Array:
    """The norm of each state: the probability to be here."""
    none, one = sv.weights(run.state, 0)
    return none + one


def _safe(x: Array) -> Array:
    return jnp.where(x > 0, x, 1.0)
