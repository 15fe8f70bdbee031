"""Linear maps on stacks of Pauli components: what an explored program does to all its configurations at once.

A state is an array `[batch, configurations, moments, 4, ..., 4]`. The same maps run in NumPy (exploration, spectra)
and in JAX (values and derivatives).
"""

import dataclasses
from types import ModuleType
from typing import Any

import numpy as np

from diffquantum.ir import Binary, Const, Expression, Parameter, Select, Unary
from diffquantum.simulate.gates import OUTCOME, RESET, transfer

_FUNCTION = {
    "neg": "negative", "sin": "sin", "cos": "cos", "tan": "tan", "asin": "arcsin", "acos": "arccos", "atan": "arctan",
    "sqrt": "sqrt", "exp": "exp", "log": "log", "abs": "abs",
    "add": "add", "sub": "subtract", "mul": "multiply", "div": "divide", "mod": "fmod", "pow": "power",
    "min": "minimum", "max": "maximum",
}  # fmt: skip


def evaluate(expression: Expression, theta: Any, xp: ModuleType) -> Any:
    """The number an expression of constants and parameters stands for."""
    match expression:
        case Const(value):
            return float(value)
        case Parameter(index):
            return theta[index]
        case Unary("float", x):
            return evaluate(x, theta, xp)
        case Unary(op, x):
            return getattr(xp, _FUNCTION[op])(evaluate(x, theta, xp))
        case Binary(op, x, y):
            return getattr(xp, _FUNCTION[op])(evaluate(x, theta, xp), evaluate(y, theta, xp))
        case Select(Const(value), yes, no):
            return evaluate(yes if value else no, theta, xp)
    raise TypeError(f"not a number of constants and parameters: {expression!r}")


@dataclasses.dataclass
class Run:
    """One evaluation: where the numbers live, the parameters, and what loops leave behind.

    Args:
        xp: `numpy` or `jax.numpy`.
        theta: the parameters `[params]`.
        solver: solves the equation of a cycle; see `loops`.
        count: adds up the probability that passes each loop, by its number: visits of the head, and exits.
    """

    xp: ModuleType
    theta: Any
    solver: Any
    count: dict[int, tuple[Any, Any]] | None = None

    def number(self, expression: Expression) -> Any:
        return evaluate(expression, self.theta, self.xp)

    def apply(self, ops: "tuple[Op, ...]", x: Any) -> Any:
        for op in ops:
            x = op.apply(self, x)
        return x


def on_qubits(x: Any, matrix: Any, qubits: tuple[int, ...], xp: ModuleType) -> Any:
    """Apply a transfer matrix `[4^k, 4^k]`, or one per configuration `[configurations, 4^k, 4^k]`, to some qubits."""
    k = len(qubits)
    axes, last = [3 + q for q in qubits], list(range(-k, 0))
    moved = xp.moveaxis(x, axes, last)
    flat = moved.reshape(moved.shape[:-k] + (4**k,))
    if matrix.ndim == 2:
        flat = xp.tensordot(flat, matrix, axes=((flat.ndim - 1,), (1,)))
    else:
        flat = xp.einsum("be...p,eqp->be...q", flat, matrix)
    return xp.moveaxis(flat.reshape(moved.shape), last, axes)


@dataclasses.dataclass(frozen=True)
class Rotate:
    """A gate; `angles` is one expression or one for each configuration, empty for a gate without angle."""

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Expression, ...]

    def apply(self, run: Run, x: Any) -> Any:
        if not self.angles:
            angle = None
        elif len(self.angles) == 1:
            angle = run.number(self.angles[0])
        else:
            unique = list(dict.fromkeys(self.angles))
            numbers = run.xp.stack([run.xp.asarray(run.number(a), dtype=x.dtype) for a in unique])
            angle = numbers[np.array([unique.index(a) for a in self.angles])]
        return on_qubits(x, transfer(self.name, angle, run.xp), self.qubits, run.xp)


@dataclasses.dataclass(frozen=True)
class Map:
    """A constant transfer matrix on one qubit."""

    qubit: int
    matrix: tuple[tuple[float, ...], ...]

    def apply(self, run: Run, x: Any) -> Any:
        return on_qubits(x, np.array(self.matrix), (self.qubit,), run.xp)


def reset(qubit: int) -> Map:
    """Put a qubit back to |0>."""
    return Map(qubit, tuple(map(tuple, RESET)))


def forget(qubit: int) -> Map:
    """Measure and do not look."""
    return Map(qubit, tuple(map(tuple, OUTCOME[False, False] + OUTCOME[True, False])))


@dataclasses.dataclass(frozen=True)
class Branch:
    """Measure: the configurations with outcome Zero, then those with outcome One."""

    qubit: int
    reset: bool

    def apply(self, run: Run, x: Any) -> Any:
        parts = [on_qubits(x, OUTCOME[outcome, self.reset], (self.qubit,), run.xp) for outcome in (False, True)]
        return run.xp.concatenate(parts, axis=1)


@dataclasses.dataclass(frozen=True)
class Record:
    """Measure into a payload variable: moments with it become moments of the outcome One."""

    qubit: int
    reset: bool
    rest: tuple[int, ...]  # for each moment, the moment without the variable

    def apply(self, run: Run, x: Any) -> Any:
        without = np.array([i == r for i, r in enumerate(self.rest)], x.dtype)
        keep = without.reshape((1, 1, -1) + (1,) * (x.ndim - 3))
        zero = on_qubits(x * keep, OUTCOME[False, self.reset], (self.qubit,), run.xp)
        one = on_qubits(x[:, :, np.array(self.rest)], OUTCOME[True, self.reset], (self.qubit,), run.xp)
        return zero + one


@dataclasses.dataclass(frozen=True)
class Moments:
    """Set a payload variable: for each configuration, coefficients (row, column) -> number."""

    entries: tuple[tuple[tuple[int, int, Expression], ...], ...]

    def apply(self, run: Run, x: Any) -> Any:
        size = x.shape[2]
        constant = np.zeros((len(self.entries), size, size), x.dtype)
        places, numbers = [], []
        for e, entries in enumerate(self.entries):
            for i, j, value in entries:
                if isinstance(value, Const):
                    constant[e, i, j] = float(value.value)
                else:
                    places.append((e, i, j))
                    numbers.append(value)
        matrix = constant
        if places:
            unique = list(dict.fromkeys(numbers))
            filled = run.xp.stack([run.xp.asarray(run.number(v), dtype=x.dtype) for v in unique])
            pattern = np.zeros((len(unique), *constant.shape), x.dtype)
            for place, value in zip(places, numbers):
                pattern[unique.index(value), *place] = 1.0
            matrix = constant + run.xp.tensordot(filled, pattern, axes=((0,), (0,)))
        return run.xp.einsum("eij,bej...->bei...", matrix, x)


@dataclasses.dataclass(frozen=True)
class Merge:
    """Add up configurations that have become equal: `target[i]` is the place of configuration `i`."""

    target: tuple[int, ...]

    def apply(self, run: Run, x: Any) -> Any:
        groups: list[list[int]] = [[] for _ in range(max(self.target) + 1)]
        for i, place in enumerate(self.target):
            groups[place].append(i)
        out = x[:, np.array([g[0] for g in groups])]
        for depth in range(1, max(map(len, groups))):
            places = [p for p, g in enumerate(groups) if len(g) > depth]
            more = x[:, np.array([groups[p][depth] for p in places])]
            if run.xp is np:
                out[:, places] += more
            else:
                out = out.at[:, np.array(places)].add(more)
        return out


@dataclasses.dataclass(frozen=True)
class Split:
    """Different maps for different configurations; the results are put one after the other."""

    parts: tuple[tuple[tuple[int, ...], "tuple[Op, ...]"], ...]

    def apply(self, run: Run, x: Any) -> Any:
        out = [run.apply(ops, x[:, np.array(chosen)]) for chosen, ops in self.parts if chosen]
        return run.xp.concatenate(out, axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """Some head configurations of a loop: one turn, and whether they lead back to each other.

    Args:
        heads: numbers of the head configurations, in the order of the stack.
        ops: one turn; the result lists where the loop is left and where it goes on.
        exits: for each result, the number of the exit configuration, or -1.
        nexts: for each result, the number of the next head configuration, or -1.
        cyclic: whether some next head is in this stage.
        loop: number of the loop in the text of the program.
    """

    heads: tuple[int, ...]
    ops: "tuple[Op, ...]"
    exits: tuple[int, ...]
    nexts: tuple[int, ...]
    cyclic: bool
    loop: int

    def tally(self, count: dict[int, tuple[Any, Any]], before: Any, after: Any) -> None:
        """Add the probability of visits and of exits to the counts."""
        trace = (slice(None), slice(None), 0) + (0,) * (before.ndim - 3)
        ends = np.array([e >= 0 for e in self.exits])
        visits, exits = count.get(self.loop, (0.0, 0.0))
        count[self.loop] = visits + before[trace].sum(), exits + after[trace][:, ends].sum()

    def turn(self, run: Run, x: Any) -> Any:
        """The part of one turn that comes back to this stage."""
        y = run.apply(self.ops, x)
        places = [self.nexts.index(h) if h in self.nexts else -1 for h in self.heads]
        picked = y[:, np.array([max(p, 0) for p in places])]
        if min(places) >= 0:
            return picked
        keep = np.array([p >= 0 for p in places], x.dtype).reshape((1, -1) + (1,) * (x.ndim - 2))
        return picked * keep


@dataclasses.dataclass(frozen=True, eq=False)
class Loop:
    """A while loop: its stages in an order in which each only leads to itself and to later ones.

    Args:
        entries: for each configuration that comes in, the number of its head configuration.
        stages: the stages.
        exits: number of configurations that come out.
    """

    entries: tuple[int, ...]
    stages: tuple[Stage, ...]
    exits: int

    def apply(self, run: Run, x: Any) -> Any:
        xp = run.xp
        pending: dict[int, Any] = {}
        done: dict[int, Any] = {}

        def put(store: dict[int, Any], place: int, value: Any) -> None:
            store[place] = store[place] + value if place in store else value

        for i, head in enumerate(self.entries):
            put(pending, head, x[:, i])
        zero = xp.zeros_like(x[:, 0])
        for stage in self.stages:
            state = xp.stack([pending.pop(h, zero) for h in stage.heads], axis=1)
            if stage.cyclic:
                state = run.solver.solve(run, stage, state)
            visits, state = state, run.apply(stage.ops, state)
            if run.count is not None:
                stage.tally(run.count, visits, state)
            for i, (exit_, next_) in enumerate(zip(stage.exits, stage.nexts)):
                if exit_ >= 0:
                    put(done, exit_, state[:, i])
                elif next_ not in stage.heads:
                    put(pending, next_, state[:, i])
        return xp.stack([done.get(i, zero) for i in range(self.exits)], axis=1)


Op = Rotate | Map | Branch | Record | Moments | Merge | Split | Loop
