"""A machine that runs the statements of a program on many shots at once."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping

import equinox as eqx
import equinox.internal as internal
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
from diffquantum.simulate.draws import commuting_groups, threefry
from diffquantum.simulate.evaluate import evaluate
from diffquantum.simulate.gates import fixed
from diffquantum.transform.simplify import variable_types
from qml._core.types import Array

APART = 4  # qubits from which on gates are compiled one by one: fused, long programs on many blocks compile for minutes
CHECKPOINTS = 32  # states kept of a loop that is differentiated backwards


class Run(eqx.Module):
    """What changes while shots run; everything has the shots on the last axis."""

    state: sv.State
    memory: dict[str, Array]
    draws: Array  # random numbers used so far
    turns: Array  # turns of loops so far
    likelihood: Array  # of the coins, over itself


@dataclasses.dataclass(frozen=True)
class Machine:
    """Runs statements on all shots of a chunk at once; a mask says which shots take part (`None` is all)."""

    theta: Array
    words: Array
    index: Array
    types: dict[str, type]
    limit: Array
    dtype: np.dtype
    place: dict[int, int]  # where a qubit is in the state; coins are not in it
    chances: dict[int, Array]  # of the coins between turn and measurement
    scored: bool = False  # whether probabilities of outcomes are differentiated
    reverse: bool = False  # whether loops can be differentiated backwards

    def start(self, given: Mapping[str, Array]) -> Run:
        lanes, qubits = self.index.shape[0], max(len(self.place), 1)
        memory = {name: jnp.zeros(lanes, kind) for name, kind in self.types.items()} | dict(given)
        nothing = jnp.zeros(lanes, jnp.uint32)
        sure = jnp.ones(lanes if self.scored else ())
        return Run(sv.zero(qubits, lanes, self.dtype), memory, nothing, jnp.zeros(lanes, jnp.int32), sure)

    # ------------------------------------------------------------------------------------ statements

    def run(self, block: tuple, run: Run, mask: Array | None) -> Run:
        for statement in block:
            run = self.step(statement, run, mask)
        return run

    def step(self, statement, run: Run, mask: Array | None) -> Run:
        match statement:
            case Gate(_, (Const(int(q)),), angle) if q not in self.place and angle is not None:
                self.chances[q] = self.evaluate(chance(angle), run.memory)
                return run
            case Measure(Const(int(q)), target) if q not in self.place:
                value, run = self.uniform(run, mask)
                chance_ = self.chances.pop(q)
                outcome = value < chance_
                return self.write(
                    self.likely(run, jnp.where(outcome, chance_, 1 - chance_), mask), target, outcome, mask
                )
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

    def branch(self, block: Block, run: Run, mask: Array) -> Run:
        """Run a block on the shots of a mask; without any, not at all."""
        if all(isinstance(s, Assign) for s in block):
            return self.run(block, run, mask)
        return jax.lax.cond(jnp.any(mask), lambda r: self.run(block, r, mask), lambda r: r, run)

    def loop(self, before: Block, condition: Expression, body: Block, run: Run, mask: Array | None) -> Run:
        def turn(carry: tuple[Run, Array]) -> tuple[Run, Array]:
            run, active = carry
            run = self.run(before, run, active)
            active = active & self.spread(self.evaluate(condition, run.memory), bool)
            run = self.run(body, run, active)
            turns = run.turns + active
            return eqx.tree_at(lambda r: r.turns, run, turns), active & (turns < self.limit)

        active = jnp.ones(self.index.shape, bool) if mask is None else mask
        active = active & (run.turns < self.limit)
        if self.reverse:
            loop = functools.partial(internal.while_loop, kind="checkpointed", checkpoints=CHECKPOINTS)
        else:
            loop = jax.lax.while_loop
        return loop(lambda carry: jnp.any(carry[1]), turn, (run, active))[0]

    def likely(self, run: Run, chance: Array, mask: Array | None) -> Run:
        """The probability of a coin counts in the likelihood."""
        if not self.scored:
            return run
        factor = chance / jax.lax.stop_gradient(chance)
        factor = factor if mask is None else jnp.where(mask, factor, 1.0)
        return eqx.tree_at(lambda r: r.likelihood, run, run.likelihood * factor)

    def norm(self, none: Array, one: Array, outcome: Array) -> Array:
        """What a collapsed state is divided by; a scored shot keeps its norm, and the derivative of what happened."""
        norm = jnp.where(outcome, one, none)
        return jax.lax.stop_gradient(jnp.where(norm > 0, norm / (none + one), 1)) if self.scored else norm

    def everywhere(self, qubits: tuple[Expression, ...], run: Run, mask: Array | None, act: Callable) -> Run:
        """Act on qubits given by expressions: on each choice of qubits, the shots that chose it."""
        if all(isinstance(q, Const) for q in qubits):
            return act([self.place[q.value] for q in qubits], run, mask)  # type: ignore[union-attr]
        chosen = [self.evaluate(q, run.memory) for q in qubits]
        for numbers in itertools.permutations(range(run.state.qubits), len(qubits)):
            if all(q.value == n for q, n in zip(qubits, numbers) if isinstance(q, Const)):
                here = functools.reduce(jnp.logical_and, [c == n for c, n in zip(chosen, numbers)])
                run = act(list(numbers), run, _both(mask, self.spread(here, bool)))
        return run

    def gate(self, name: str, angle: Expression | None, qubits: list[int], run: Run, mask: Array | None) -> Run:
        if name in ROTATIONS:
            half = self.evaluate(angle, run.memory) / 2  # type: ignore[arg-type]
            cosine, sine = jnp.cos(half).astype(self.dtype), jnp.sin(half).astype(self.dtype)
            if mask is not None:
                cosine, sine = jnp.where(mask, cosine, 1), jnp.where(mask, sine, 0)
            state = sv.rotate(run.state, name, qubits, cosine, sine)
        else:
            state = sv.apply(run.state, fixed(name), qubits, mask)
        if run.state.qubits >= APART:
            state = jax.lax.optimization_barrier(state)
        return eqx.tree_at(lambda r: r.state, run, state)

    def measure(self, target: str | None, reset: bool, qubits: list[int], run: Run, mask: Array | None) -> Run:
        value, run = self.uniform(run, mask)
        none, one = sv.weights(run.state, qubits[0])
        outcome = value.astype(self.dtype) * (none + one) < one
        outcome = jnp.where(none > 0, outcome, True)
        state = sv.collapse(run.state, qubits[0], outcome, self.norm(none, one, outcome), reset, mask)
        run = eqx.tree_at(lambda r: r.state, run, state)
        return run if target is None else self.write(run, target, outcome, mask)

    def write(self, run: Run, name: str, value: Array, mask: Array | None) -> Run:
        value = self.spread(value, self.types.get(name, bool))
        if mask is not None:
            value = jnp.where(mask, value, run.memory[name])
        return eqx.tree_at(lambda r: r.memory, run, {**run.memory, name: value})

    def uniform(self, run: Run, mask: Array | None) -> tuple[Array, Run]:
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

    def observe(self, run: Run, strings, coefficients: Array, register: tuple[int, ...], outcomes: bool):
        """A number for each shot whose mean is that of the observable, and the run after that."""
        if not outcomes:
            means = [c * sv.expect(run.state, s, register) for s, c in zip(strings, coefficients)]
            return self.spread(sum(means, jnp.zeros(())), float), run
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
        return total + constant, run

    def measure_basis(self, run: Run, group: tuple[str, ...], register: tuple[int, ...], mask: Array | None):
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
                state = sv.collapse(run.state, qubit, outcome, self.norm(none, one, outcome), False, mask)
                run = eqx.tree_at(lambda r: r.state, run, state)
                signs[i] = 1.0 - 2.0 * outcome
        return signs, run


def machine_of(
    program: Program, theta: Array, words: Array, index: Array, limit: Array, dtype: np.dtype, kinds: dict, **how
) -> Machine:
    """The machine that runs a program on the shots of an index; `coins=False` gives coins amplitudes too."""
    coins = coin_qubits(program) if how.pop("coins", True) else frozenset()
    place = {q: i for i, q in enumerate(q for q in range(program.qubits) if q not in coins)}
    return Machine(theta, words, index, variable_types(program) | kinds, limit, dtype, place, {}, **how)


def kind_of(dtype: np.dtype) -> type:
    """`bool`, `int` or `float`."""
    return {"b": bool, "i": int, "f": float}[np.dtype(dtype).kind]


def _both(mask: Array | None, holds: Array) -> Array:
    return holds if mask is None else mask & holds
