"""Run a program many times: one compiled function for all shots, loops and all."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from diffquantum.errors import UnsupportedError
from diffquantum.ir import (
    ROTATIONS,
    Assign,
    Block,
    Const,
    Expression,
    Gate,
    If,
    Measure,
    Program,
    Reset,
    While,
)
from diffquantum.simulate import statevector as sv
from diffquantum.simulate.coins import chance, coin_qubits
from diffquantum.simulate.evaluate import evaluate
from diffquantum.simulate.gates import fixed
from diffquantum.transform.simplify import type_of, variable_types
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
    """

    outputs: tuple[Array, ...]
    observable: Array | None
    finished: Array


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
    return _sample(program, theta, key, jnp.asarray(coefficients), dict(given or {}), *how)


@functools.partial(jax.jit, static_argnums=(0, 5, 6, 7, 8, 9))
def _sample(program, theta, key, coefficients, given, strings, shots, outcomes, limit, dtype) -> Samples:
    words = jax.random.bits(key, (2,), jnp.uint32)
    coins = coin_qubits(program)
    place = {q: i for i, q in enumerate(q for q in range(program.qubits) if q not in coins)}
    types = variable_types(program) | {name: kind_of(values.dtype) for name, values in given.items()}
    lanes = min(max(AMPLITUDES >> len(place), 32), 1024, max(shots, 1))
    chunks = -(-shots // lanes)

    given = {k: jnp.pad(v, (0, chunks * lanes - shots)).reshape(chunks, lanes) for k, v in given.items()}

    def chunk(lost: Array, each: tuple[Array, dict]) -> tuple[Array, Samples]:
        number, known = each
        index = number * np.uint32(lanes) + jnp.arange(lanes, dtype=jnp.uint32)
        machine = _Machine(theta, words, index, types, jnp.where(lost, 0, limit), dtype, place, {})
        run = machine.run(program.body, machine.start(known), None)
        outputs = tuple(machine.spread(machine.evaluate(e, run.memory), type_of(e, types)) for e in program.outputs)
        found = None
        if strings is not None:
            register = tuple(place[q] for q in program.register)
            found = machine.observe(run, strings, coefficients, register, outcomes)
        finished = run.turns < machine.limit
        return lost | ~jnp.all(finished), Samples(outputs, found, finished)

    _, out = jax.lax.scan(chunk, jnp.array(False), (jnp.arange(chunks, dtype=jnp.uint32), given))
    return jax.tree.map(lambda x: x.reshape(chunks * lanes)[:shots], out)


class _Run(eqx.Module):
    """What changes while shots run; everything has the shots on the last axis."""

    state: sv.State
    memory: dict[str, Array]
    draws: Array  # random numbers used so far
    turns: Array  # turns of loops so far


@dataclasses.dataclass(frozen=True)
class _Machine:
    """Runs statements on all shots of a chunk at once; a mask says which shots take part (`None` is all)."""

    theta: Array
    words: Array
    index: Array
    types: dict[str, type]
    limit: Array
    dtype: np.dtype
    place: dict[int, int]  # where a qubit is in the state; coins are not in it
    chances: dict[int, Array]  # of the coins between turn and measurement

    def start(self, given: Mapping[str, Array]) -> _Run:
        lanes, qubits = self.index.shape[0], max(len(self.place), 1)
        memory = {name: jnp.zeros(lanes, kind) for name, kind in self.types.items()} | dict(given)
        nothing = jnp.zeros(lanes, jnp.uint32)
        return _Run(sv.zero(qubits, lanes, self.dtype), memory, nothing, jnp.zeros(lanes, jnp.int32))

    # ------------------------------------------------------------------------------------ statements

    def run(self, block: tuple, run: _Run, mask: Array | None) -> _Run:
        for statement in block:
            run = self.step(statement, run, mask)
        return run

    def step(self, statement, run: _Run, mask: Array | None) -> _Run:
        match statement:
            case Gate(_, (Const(int(q)),), angle) if q not in self.place and angle is not None:
                self.chances[q] = self.evaluate(chance(angle), run.memory)
                return run
            case Measure(Const(int(q)), target) if q not in self.place:
                value, run = self.uniform(run, mask)
                return self.write(run, target, value < self.chances.pop(q), mask)
            case Reset(Const(int(q))) if q not in self.place:
                return run
            case Gate(name, qubits, angle):
                return self.everywhere(qubits, run, mask, functools.partial(self.gate, name, angle))
            case Measure(qubit, target, reset):
                return self.everywhere((qubit,), run, mask, functools.partial(self.measure, target, reset))
            case Reset(qubit):
                return self.everywhere((qubit,), run, mask, functools.partial(self.measure, None, True))
            case Assign(target, value):
                return self.write(run, target, self.evaluate(value, run.memory), mask)
            case If(condition, then, otherwise):
                holds = self.spread(self.evaluate(condition, run.memory), bool)
                run = self.branch(then, run, _both(mask, holds))
                return self.branch(otherwise, run, _both(mask, ~holds)) if otherwise else run
            case While(before, condition, body):
                return self.loop(before, condition, body, run, mask)
        raise UnsupportedError(
            "The simulator does not know this statement.",
            got=type(statement).__name__,
            expected="gates, measurements, resets, assignments, branches and loops",
            try_="load the program from Q#: the front end writes calls out",
        )

    def branch(self, block: Block, run: _Run, mask: Array) -> _Run:
        """Run a block on the shots of a mask; without any, not at all."""
        if all(isinstance(s, Assign) for s in block):
            return self.run(block, run, mask)
        return jax.lax.cond(jnp.any(mask), lambda r: self.run(block, r, mask), lambda r: r, run)

    def loop(self, before: Block, condition: Expression, body: Block, run: _Run, mask: Array | None) -> _Run:
        def turn(carry: tuple[_Run, Array]) -> tuple[_Run, Array]:
            run, active = carry
            run = self.run(before, run, active)
            active = active & self.spread(self.evaluate(condition, run.memory), bool)
            run = self.run(body, run, active)
            turns = run.turns + active
            return eqx.tree_at(lambda r: r.turns, run, turns), active & (turns < self.limit)

        active = jnp.ones(self.index.shape, bool) if mask is None else mask
        active = active & (run.turns < self.limit)
        return jax.lax.while_loop(lambda carry: jnp.any(carry[1]), turn, (run, active))[0]

    def everywhere(self, qubits: tuple[Expression, ...], run: _Run, mask: Array | None, act: Callable) -> _Run:
        """Act on qubits given by expressions: on each choice of qubits, the shots that chose it."""
        if all(isinstance(q, Const) for q in qubits):
            return act([self.place[q.value] for q in qubits], run, mask)  # type: ignore[union-attr]
        chosen = [self.evaluate(q, run.memory) for q in qubits]
        for numbers in itertools.permutations(range(run.state.qubits), len(qubits)):
            if all(q.value == n for q, n in zip(qubits, numbers) if isinstance(q, Const)):
                here = functools.reduce(jnp.logical_and, [c == n for c, n in zip(chosen, numbers)])
                run = act(list(numbers), run, _both(mask, self.spread(here, bool)))
        return run

    def gate(self, name: str, angle: Expression | None, qubits: list[int], run: _Run, mask: Array | None) -> _Run:
        if name in ROTATIONS:
            half = self.evaluate(angle, run.memory) / 2  # type: ignore[arg-type]
            cosine, sine = jnp.cos(half).astype(self.dtype), jnp.sin(half).astype(self.dtype)
            if mask is not None:
                cosine, sine = jnp.where(mask, cosine, 1), jnp.where(mask, sine, 0)
            state = sv.rotate(run.state, name, qubits, cosine, sine)
        else:
            state = sv.apply(run.state, fixed(name), qubits, mask)
        return eqx.tree_at(lambda r: r.state, run, state)

    def measure(self, target: str | None, reset: bool, qubits: list[int], run: _Run, mask: Array | None) -> _Run:
        value, run = self.uniform(run, mask)
        none, one = sv.weights(run.state, qubits[0])
        outcome = value.astype(self.dtype) * (none + one) < one
        outcome = jnp.where(none > 0, outcome, True)
        state = sv.collapse(run.state, qubits[0], outcome, jnp.where(outcome, one, none), reset, mask)
        run = eqx.tree_at(lambda r: r.state, run, state)
        return run if target is None else self.write(run, target, outcome, mask)

    def write(self, run: _Run, name: str, value: Array, mask: Array | None) -> _Run:
        value = self.spread(value, self.types.get(name, bool))
        if mask is not None:
            value = jnp.where(mask, value, run.memory[name])
        return eqx.tree_at(lambda r: r.memory, run, {**run.memory, name: value})

    def uniform(self, run: _Run, mask: Array | None) -> tuple[Array, _Run]:
        """A random number in [0, 1) for each shot, and the count of draws gone up where the mask holds."""
        bits, more = threefry(self.words, self.index, run.draws)
        real = jnp.result_type(float)
        if real == jnp.float64:
            value = (bits.astype(real) + more.astype(real) * 2.0**-32) * 2.0**-32
            value = jnp.minimum(value, 1 - 2.0**-53)
        else:
            value = (bits >> np.uint32(8)).astype(real) * 2.0**-24
        used = jnp.ones((), jnp.uint32) if mask is None else mask.astype(jnp.uint32)
        return value, eqx.tree_at(lambda r: r.draws, run, run.draws + used)

    def spread(self, value: Array, kind: type) -> Array:
        """A value for each shot, in the type of its variable."""
        return jnp.broadcast_to(jnp.asarray(value).astype(jnp.result_type(kind)), self.index.shape)

    def evaluate(self, e: Expression, memory: dict[str, Array]) -> Array:
        return evaluate(e, memory, self.theta)

    # ------------------------------------------------------------------------------------ observables

    def observe(self, run: _Run, strings, coefficients: Array, register: tuple[int, ...], outcomes: bool) -> Array:
        """A number for each shot whose mean is that of the observable."""
        if not outcomes:
            means = [c * sv.expect(run.state, s, register) for s, c in zip(strings, coefficients)]
            return self.spread(sum(means, jnp.zeros(())), float)
        constant = sum((c for s, c in zip(strings, coefficients) if not s.strip("I")), jnp.zeros(()))
        groups = commuting_groups(tuple(s for s in strings if s.strip("I")))
        where = {s: i for i, s in enumerate(strings)}
        if len(where) < len(strings):
            coefficients = jnp.zeros_like(coefficients).at[jnp.array([where[s] for s in strings])].add(coefficients)
        size = jnp.stack([sum(jnp.abs(coefficients[where[s]]) for s in g) for g in groups]) if groups else jnp.ones(1)
        chance = jnp.where(jnp.sum(size) > 0, size / jnp.sum(size), 1 / size.shape[0])
        chosen = jnp.zeros(self.index.shape, int)
        if len(groups) > 1:
            value, run = self.uniform(run, None)
            chosen = jnp.sum(value[None, :] >= jnp.cumsum(chance)[:-1, None], axis=0)
        total = jnp.zeros(self.index.shape)
        for number, group in enumerate(groups):
            mask = chosen == number if len(groups) > 1 else None
            signs, run = self.measure_basis(run, group, register, mask)
            for s in group:
                parity = functools.reduce(jnp.multiply, [signs[i] for i, letter in enumerate(s) if letter != "I"])
                value = coefficients[where[s]] / chance[number] * parity
                total = total + (value if mask is None else jnp.where(mask, value, 0))
        return total + constant

    def measure_basis(self, run: _Run, group: tuple[str, ...], register: tuple[int, ...], mask: Array | None):
        """Outcomes +1 or -1 of the qubits that a group of strings needs, by position in the register."""
        signs: dict[int, Array] = {}
        for i, qubit in enumerate(register):
            letters = {s[i] for s in group} - {"I"}
            for name in {"X": ("h",), "Y": ("s_adj", "h")}.get(next(iter(letters), "I"), ()):
                run = self.gate(name, None, [qubit], run, mask)
            if letters:
                value, run = self.uniform(run, mask)
                none, one = sv.weights(run.state, qubit)
                outcome = value.astype(self.dtype) * (none + one) < one
                state = sv.collapse(run.state, qubit, outcome, jnp.where(outcome, one, none), False, mask)
                run = eqx.tree_at(lambda r: r.state, run, state)
                signs[i] = 1.0 - 2.0 * outcome
        return signs, run


def commuting_groups(strings: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Pauli strings in groups whose members agree wherever both are not I, so that one basis measures a group."""
    groups: list[tuple[str, list[str]]] = []
    for s in dict.fromkeys(strings):
        for i, (basis, members) in enumerate(groups):
            if all("I" in (a, b) or a == b for a, b in zip(basis, s)):
                groups[i] = ("".join(b if a == "I" else a for a, b in zip(basis, s)), [*members, s])
                break
        else:
            groups.append((s, [s]))
    return tuple(tuple(members) for _, members in groups)


def kind_of(dtype: np.dtype) -> type:
    """`bool`, `int` or `float`."""
    return {"b": bool, "i": int, "f": float}[np.dtype(dtype).kind]


def _both(mask: Array | None, holds: Array) -> Array:
    return holds if mask is None else mask & holds


def threefry(words: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Two random words for each counter (x, y): Threefry-2x32 with 20 rounds.

    Source: Salmon et al., SC 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    schedule = (words[0], words[1], words[0] ^ words[1] ^ np.uint32(0x1BD11BDA))
    x, y = x + schedule[0], y + schedule[1]
    for i in range(5):
        for shift in ((13, 15, 26, 6), (17, 29, 16, 24))[i % 2]:
            x = x + y
            y = ((y << np.uint32(shift)) | (y >> np.uint32(32 - shift))) ^ x
        x, y = x + schedule[(i + 1) % 3], y + schedule[(i + 2) % 3] + np.uint32(i + 1)
    return x, y
