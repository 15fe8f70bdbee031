"""Exploration: a program as a finite graph of places and classical memories, without knowing the parameters.

Branches are decided by measurement results only, so the graph is the same for all parameters. A node is a place in the
program with the values of the control variables that still matter there; an edge is a list of linear maps, at most one
of which depends on parameters. Loops are cycles of the graph: nested or not, they are one system of linear equations.
"""

import dataclasses

import networkx
import numpy as np

from diffquantum.errors import ProgramError, UnsupportedError
from diffquantum.ir import (
    Assign,
    Const,
    Expression,
    Gate,
    Measure,
    Parameter,
    Program,
    Reset,
    Unary,
    Var,
    parts,
    variables,
)
from diffquantum.simulate import operations as op
from diffquantum.simulate.coins import coin_qubits
from diffquantum.simulate.liveness import Branch, Code, Liveness, Toss, lower
from diffquantum.simulate.moments import Payload
from diffquantum.simulate.noise import Noise
from diffquantum.tidy import resolve, size

Configuration = tuple[tuple[str, Expression], ...]  # live control variables with constants or expressions of parameters
Place = tuple[int, Configuration]  # number of an instruction, and the memory before it
Ops = tuple[op.Op, ...]
LARGEST_VALUE = 400  # nodes of the expression of a control variable


@dataclasses.dataclass(frozen=True, eq=False)
class Edge:
    """Linear maps from one node to another, in order."""

    source: int
    ops: tuple[op.Op | op.Either, ...]
    target: int


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """All places and memories of a program.

    Args:
        places: instruction number of each node; node 0 is the start.
        configurations: the control variables at each node.
        edges: the maps between nodes.
        ends: the nodes where the program ends.
        loops: for each loop of the text, first instruction and the one after the last.
        bodies: for each loop, whether its turn does something after the test.
        qubits: the qubits that have amplitudes, in order.
        numbers: what the maps compute from the parameters.
        dependence: pairs (moment, moment it is computed from).
        scales: whether some moment may grow by a factor larger than 1 in one turn.
    """

    places: tuple[int, ...]
    configurations: tuple[Configuration, ...]
    edges: tuple[Edge, ...]
    ends: tuple[int, ...]
    loops: tuple[tuple[int, int], ...]
    bodies: tuple[bool, ...]
    qubits: tuple[int, ...]
    numbers: op.Numbers
    dependence: frozenset[tuple[int, int]]
    scales: bool

    def inside(self, node: int) -> bool:
        """Whether a node is between two maps of one place."""
        return bool(self.configurations[node]) and self.configurations[node][-1][0] == ""

    def flow(self) -> networkx.DiGraph:
        """Which nodes lead to which."""
        flow = networkx.DiGraph((e.source, e.target) for e in self.edges)
        flow.add_nodes_from(range(len(self.places)))
        return flow

    def heads(self) -> tuple[int, ...]:
        """The nodes at the heads of the loops that may go round more than a given number of times."""
        return tuple(v for first, stop in self.loops for v in self._heads(first, stop))

    def _heads(self, first: int, stop: int) -> tuple[int, ...]:
        there = [v for v, pc in enumerate(self.places) if first <= pc < stop]
        flow = self.flow().subgraph(there)
        heads = tuple(v for v in there if self.places[v] == first and not self.inside(v))
        parts = networkx.strongly_connected_components(flow)
        cyclic = {v for part in parts for v in part if len(part) > 1 or flow.has_edge(v, v)}
        return heads if cyclic.intersection(heads) else ()


def explore(program: Program, payload: Payload, limit: int, noise: Noise | None) -> Graph:
    """The graph of a program.

    Args:
        program: without calls.
        payload: how its variables are carried.
        limit: most configurations at one place.
        noise: what follows every gate.

    Raises:
        ProgramError: a variable without value, or impossible qubits.
        UnsupportedError: calls, a variable with too many values, or a loop that no measurement can end.
    """
    return _Explorer(program, payload, limit, noise).run()


class _Explorer:
    """The state of an exploration."""

    def __init__(self, program: Program, payload: Payload, limit: int, noise: Noise | None):
        self.program, self.payload, self.limit, self.noise = program, payload, limit, noise
        coins = coin_qubits(program) if noise is None else frozenset()
        self.code: Code = lower(program, coins)
        self.amplitudes = tuple(q for q in range(program.qubits) if q not in coins)
        self.position = {q: i for i, q in enumerate(self.amplitudes)}
        self.control = payload.control | {f"coin {q}" for q in coins}
        needed = frozenset(n for p in payload.outputs for c in p.values() for n in variables(c)) & payload.control
        self.liveness = Liveness(self.code, self.control, payload.monomials, needed)
        self.numbers = op.Numbers()
        self.number: dict[Place, int] = {}
        self.nodes: list[Place] = []
        self.queue: list[int] = []
        self.edges: list[Edge] = []
        self.at: dict[int, list[Configuration]] = {}
        self.updates: dict[int, dict[tuple[int, int], Expression]] = {}
        self.dependence: set[tuple[int, int]] = set()
        self.rest: dict[str, tuple[int, ...]] = {}  # of a payload bit: the moments without it
        self.records: dict[tuple[int, bool, str], op.Op] = {}

    def run(self) -> Graph:
        self.node(0, ())
        while self.queue:
            self.leave(self.queue.pop())
        ends = tuple(i for i, (pc, _) in enumerate(self.nodes) if pc == self.code.end)
        if not ends:
            raise UnsupportedError(
                f"A loop of the program {self.program.name} never ends, whatever is measured.",
                got="a condition that always holds",
                expected="a condition that a measurement result can end",
                try_="check the condition of the loop",
            )
        places, configurations = zip(*self.nodes)
        return Graph(
            places, configurations, tuple(self.edges), ends, self.code.loops, self.code.bodies,
            self.amplitudes, self.numbers, frozenset(self.dependence), self.grows(),
        )  # fmt: skip

    def grows(self) -> bool:
        """Whether some update of moments has, within a group that feeds itself, a row of sum larger than 1."""
        groups = networkx.strongly_connected_components(networkx.DiGraph(self.dependence))
        group = {i: k for k, members in enumerate(groups) for i in members}
        for update in self.updates.values():
            rows: dict[int, float] = {}
            for (i, j), value in update.items():
                if group[i] == group[j]:
                    rows[i] = rows.get(i, 0.0) + (abs(float(value.value)) if isinstance(value, Const) else np.inf)
            if any(total > 1 for total in rows.values()):
                return True
        return False

    # ------------------------------------------------------------------------------------------ nodes

    def node(self, pc: int, configuration: Configuration) -> int:
        """The number of a place and memory, which is to be left later if it is new."""
        place = pc, configuration
        if place not in self.number:
            self.number[place] = len(self.nodes)
            self.queue.append(len(self.nodes))
            self.nodes.append(place)
            self.at.setdefault(pc, []).append(configuration)
            if len(self.at[pc]) > self.limit:
                raise self.too_many(self.at[pc])
        return self.number[place]

    def leave(self, start: int) -> None:
        """Follow the program from a node to the next ones."""
        pc, configuration = self.nodes[start]
        if self.forks(pc):
            step = self.code.instructions[pc]
            assert isinstance(step, Measure | Toss)
            for one in (False, True):
                after = _set(configuration, step.target, Const(one))
                self.follow(start, (self.side(step, configuration, one),), pc + 1, after)
        elif pc != self.code.end:
            self.follow(start, (), pc, configuration)

    def forks(self, pc: int) -> bool:
        """Whether a measurement here decides what happens next."""
        step = self.code.instructions[pc] if pc != self.code.end else None
        return isinstance(step, Measure | Toss) and step.target in self.control

    def follow(self, source: int, start: Ops, pc: int, configuration: Configuration) -> None:
        """Go on until there is a node; add the edge."""
        ops, moved = list(start), bool(start)
        while True:
            kept = self.prune(pc, configuration)
            dropped, configuration = len(kept) < len(configuration), kept
            if moved and (pc == self.code.end or dropped or pc in self.code.joins or self.forks(pc)):
                self.edges.append(Edge(source, tuple(ops), self.node(pc, configuration)))
                return
            moved = True
            new, after, configuration = self.step(pc, configuration)
            for one in new:
                if one.used and any(o.used for o in ops):
                    self.edges.append(Edge(source, tuple(ops), len(self.nodes)))
                    source, ops = len(self.nodes), []
                    self.nodes.append((pc, (*configuration, ("", Const(len(self.nodes))))))  # inside an instruction
                ops.append(one)
            pc = after

    def prune(self, pc: int, configuration: Configuration) -> Configuration:
        """The variables that still matter."""
        live = self.liveness.live(pc, configuration)
        return tuple((n, v) for n, v in configuration if n in live)

    # ------------------------------------------------------------------------------------------ steps

    def step(self, pc: int, configuration: Configuration) -> tuple[Ops, int, Configuration]:
        """The maps of one instruction, the next instruction, and the memory after it."""
        match self.code.instructions[pc]:
            case Branch(condition, yes, no):
                return (), yes if self.constant(condition, configuration, "A condition") else no, configuration
            case Gate(name, qubits, angle):
                return self.gate(name, self.qubits(qubits, configuration), angle, configuration), pc + 1, configuration
            case Reset(qubit):
                return (op.reset(*self.qubits((qubit,), configuration)),), pc + 1, configuration
            case Measure() | Toss() as measure:
                return self.blind(measure, configuration), pc + 1, configuration
            case Assign(target, value) if target in self.control:
                without = tuple(item for item in configuration if item[0] != target)
                if target not in self.liveness.live(pc + 1, without):
                    return (), pc + 1, without
                new = self.resolve(value, configuration)
                if size(new) > LARGEST_VALUE:
                    raise self.too_many([*self.at.get(pc, []), _set(configuration, target, new)])
                return (), pc + 1, _set(configuration, target, new)
            case Assign() as assign:
                return self.update(pc, assign, configuration), pc + 1, configuration
        raise UnsupportedError(
            "A call is not a statement the exact semantics knows.",
            got=self.code.instructions[pc],
            expected="a program whose functions are written out where they are called",
            try_="load the program from Q#, which does so",
        )

    def gate(self, name: str, qubits: tuple[int, ...], angle: Expression | None, configuration: Configuration) -> Ops:
        noise = () if self.noise is None else tuple(op.constantly((q,), self.noise.transfer()) for q in qubits)
        if angle is None:
            return (op.fixed(name, qubits), *noise)
        value = self.resolve(angle, configuration)
        if isinstance(value, Const):
            return (op.rotate_by(name, qubits, float(value.value)), *noise)
        return (op.rotate(name, qubits, self.numbers(Unary("cos", value)), self.numbers(Unary("sin", value))), *noise)

    def side(self, step: Measure | Toss, configuration: Configuration, one: bool) -> op.Op:
        """The part of the state with one outcome of a measurement."""
        if isinstance(step, Measure):
            return op.outcome(self.qubits((step.qubit,), configuration)[0], one, step.reset)
        keep = np.eye(len(self.payload.monomials))
        return self.toss(step, configuration, keep if one else None, None if one else keep)

    def toss(self, step: Toss, configuration: Configuration, one: np.ndarray | None, zero: np.ndarray | None) -> op.Op:
        angle = self.resolve(Var(step.angle), configuration)
        if isinstance(angle, Const):
            return op.toss(float(np.cos(angle.value)), one, zero, len(self.payload.monomials))
        return op.toss(self.numbers(Unary("cos", angle)), one, zero, len(self.payload.monomials))

    def blind(self, step: Measure | Toss, configuration: Configuration) -> Ops:
        """A measurement whose result only flows into averages, or nowhere."""
        monomials = self.payload.monomials
        if step.target not in self.rest:
            left = (tuple(n for n in m if n != step.target) for m in monomials)
            self.rest[step.target] = tuple(monomials.index(m) for m in left)
        rest = self.rest[step.target]
        counted = rest != tuple(range(len(rest)))
        if counted:
            self.dependence |= set(enumerate(rest))
        if isinstance(step, Toss):
            without, took = op.record_moments(rest)
            return (self.toss(step, configuration, took, without),) if counted else ()
        (qubit,) = self.qubits((step.qubit,), configuration)
        if counted:
            key = qubit, step.reset, step.target
            if key not in self.records:
                self.records[key] = op.record(qubit, step.reset, rest)
            return (self.records[key],)
        return (op.reset(qubit) if step.reset else op.forget(qubit),)

    def update(self, pc: int, assign: Assign, configuration: Configuration) -> Ops:
        """A payload variable is set: the moments change."""
        if not any(assign.target in m for m in self.payload.monomials):
            return ()
        if pc not in self.updates:
            self.updates[pc] = self.payload.update(assign.target, assign.value)
            self.dependence |= set(self.updates[pc])
        matrices: dict[int, np.ndarray] = {0: np.zeros((len(self.payload.monomials),) * 2)}
        for place, expression in self.updates[pc].items():
            value = self.resolve(expression, configuration)
            if isinstance(value, Const):
                matrices[0][place] = float(value.value)
            else:
                matrices.setdefault(self.numbers(value), np.zeros_like(matrices[0]))[place] = 1.0
        return (op.Op((), tuple(op.Term(number, matrix, None) for number, matrix in matrices.items())),)

    def resolve(self, expression: Expression, configuration: Configuration) -> Expression:
        return resolve(self.program.name, expression, configuration)

    def constant(self, expression: Expression, configuration: Configuration, what: str) -> bool | int | float:
        value = self.resolve(expression, configuration)
        if not isinstance(value, Const):
            raise ProgramError(
                f"{what} of the program {self.program.name} has no value here.",
                got=value,
                expected="a constant for each measurement record",
                try_="check divisions by zero and indices out of range",
            )
        return value.value

    def qubits(self, qubits: tuple[Expression, ...], configuration: Configuration) -> tuple[int, ...]:
        """Positions of qubits among those with amplitudes."""
        numbers = tuple(int(self.constant(q, configuration, "A qubit number")) for q in qubits)
        if len(set(numbers)) < len(numbers) or not all(0 <= q < self.program.qubits for q in numbers):
            raise ProgramError(
                f"The program {self.program.name} applies a gate to impossible qubits.",
                got=numbers,
                expected=f"different numbers below {self.program.qubits}",
                try_="check the qubit indices",
            )
        return tuple(self.position[q] for q in numbers)

    def too_many(self, configurations: list[Configuration]) -> UnsupportedError:
        values: dict[str, set] = {}
        for configuration in configurations:
            for name, value in configuration:
                values.setdefault(name, set()).add(value)
        worst = max(values, key=lambda n: (len(values[n]), max(size(v) for v in values[n])), default="-")
        symbolic = any(_parametric(v) for v in values.get(worst, ()))
        return UnsupportedError(
            f"The variable {worst} of the program {self.program.name} takes too many values to follow them one by one.",
            got=f"more than {self.limit} configurations"
            + (" with values that depend on parameters" if symbolic else ""),
            expected="a variable that decides branches, qubits or angles with few values, or a pure sum or product",
            try_="bound the counter in the loop condition, or use shots= instead of the exact semantics",
        )


def _parametric(expression: Expression) -> bool:
    return isinstance(expression, Parameter) or any(_parametric(part) for part in parts(expression))


def _set(configuration: Configuration, name: str, value: Expression) -> Configuration:
    return tuple(sorted((*((n, v) for n, v in configuration if n != name), (name, value)), key=lambda item: item[0]))
