"""Exploration: follow the control variables of a program through all their values, without knowing the parameters.

Branches are decided by measurement results only, so the configurations are the same for all parameters. The result is a
tree of linear maps (`plan`), in which a loop is a finite graph of head configurations.
"""

import networkx

from diffquantum.errors import ProgramError, UnsupportedError
from diffquantum.ir import (
    Assign,
    Block,
    Const,
    Expression,
    Gate,
    If,
    Measure,
    Parameter,
    Program,
    Reset,
    Statement,
    While,
    parts,
    reads,
    variables,
    walk,
)
from diffquantum.simulate.moments import Payload
from diffquantum.simulate.plan import Branch, Loop, Merge, Moments, Op, Record, Rotate, Split, Stage, forget, reset
from diffquantum.tidy import size, substitute

Configuration = tuple[tuple[str, Expression], ...]  # live control variables with constants or expressions of parameters
Ops = tuple[Op, ...]


class Explorer:
    """Turns a program into a tree of linear maps.

    Args:
        program: without calls.
        payload: how its variables are carried.
        limit: most head configurations of one loop, and most configurations at one place.
    """

    def __init__(self, program: Program, payload: Payload, limit: int = 4096):
        self.program, self.payload, self.limit = program, payload, limit
        self.lives: dict[tuple[int, frozenset[str]], tuple[frozenset[str], ...]] = {}
        self.work = 0
        self.number = {id(s): i for i, s in enumerate(s for s in walk(program.body) if isinstance(s, While))}
        self.dependence: set[tuple[int, int]] = set()  # moment i is computed from moment j
        self.scales = False  # a payload variable is multiplied by a number that may exceed 1

    def run(self) -> tuple[Ops, list[Configuration]]:
        """The maps of the whole program from the empty configuration, and the final configurations."""
        needed = frozenset(
            name
            for p in self.payload.outputs
            for c in p.values()
            for name in variables(c)
            if name in self.payload.control
        )
        return self.block(self.program.body, [()], needed)

    # ------------------------------------------------------------------------------------------ liveness

    def live(self, block: Block, after: frozenset[str]) -> tuple[frozenset[str], ...]:
        """The control variables that matter before each statement, and after the last."""
        key = id(block), after
        if key not in self.lives:
            out = [after]
            for statement in reversed(block):
                out.append(self.before(statement, out[-1]))
            self.lives[key] = tuple(reversed(out))
        return self.lives[key]

    def before(self, statement: Statement, after: frozenset[str]) -> frozenset[str]:
        control = self.payload.control
        read = frozenset(n for e in reads(statement) for n in variables(e)) & control
        match statement:
            case Assign(target):
                if target in control:
                    return after - {target} | read if target in after else after
                return after | read if any(target in m for m in self.payload.monomials) else after
            case Measure(_, target):
                return after - {target} | read
            case If(_, then, otherwise):
                return read | self.live(then, after)[0] | self.live(otherwise, after)[0]
            case While():
                return self.head(statement, after)
            case _:
                return after | read

    def head(self, loop: While, after: frozenset[str]) -> frozenset[str]:
        """The control variables that matter at the head of a loop."""
        tested = variables(loop.condition) & self.payload.control
        head: frozenset[str] = frozenset()
        while True:
            body = self.live(loop.body, head)[0]
            new = self.live(loop.before, tested | after | body)[0]
            if new == head:
                return head
            head = head | new

    # ------------------------------------------------------------------------------------------ statements

    def block(
        self, block: Block, configurations: list[Configuration], after: frozenset[str]
    ) -> tuple[Ops, list[Configuration]]:
        lives = self.live(block, after)
        ops: list[Op] = []
        more, configurations = self.prune(configurations, lives[0])
        ops += more
        for statement, live in zip(block, lives[1:]):
            new, configurations = self.statement(statement, configurations, live)
            ops += new
            more, configurations = self.prune(configurations, live)
            ops += more
            self.work += len(new) + len(more)
            if len(configurations) > self.limit or self.work > 100 * self.limit:
                raise self.too_many(configurations)
        return tuple(ops), configurations

    def prune(self, configurations: list[Configuration], live: frozenset[str]) -> tuple[Ops, list[Configuration]]:
        """Forget variables that no longer matter, and add up configurations that have become equal."""
        places: dict[Configuration, int] = {}
        target = []
        for configuration in configurations:
            kept = tuple((n, v) for n, v in configuration if n in live)
            target.append(places.setdefault(kept, len(places)))
        if len(places) == len(configurations):
            return (), list(places)
        return (Merge(tuple(target)),), list(places)

    def statement(
        self, statement: Statement, configurations: list[Configuration], live: frozenset[str]
    ) -> tuple[Ops, list[Configuration]]:
        match statement:
            case Gate(name, qubits, angle):
                return self.gate(name, qubits, angle, configurations), configurations
            case Reset(qubit):
                return self.grouped((qubit,), configurations, lambda q, chosen: (reset(q[0]),)), configurations
            case Measure():
                return self.measure(statement, configurations, live)
            case Assign():
                return self.assign(statement, configurations, live)
            case If(condition, then, otherwise):
                return self.split(condition, configurations, (then, live), (otherwise, live))
            case While():
                return self.loop(statement, configurations, live)
        raise UnsupportedError(
            "A call is not a statement the exact semantics knows.",
            got=statement,
            expected="a program whose functions are written out where they are called",
            try_="load the program from Q#, which does so",
        )

    def resolve(self, expression: Expression, configuration: Configuration) -> Expression:
        value = substitute(expression, dict(configuration))
        if missing := variables(value):
            raise ProgramError(
                f"The program {self.program.name} reads the variable {sorted(missing)[0]!r} before it is set.",
                got=sorted(missing),
                expected="a value on every path that reads it",
                try_="give the variable a value where it is declared",
            )
        return value

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

    def grouped(self, qubits: tuple[Expression, ...], configurations: list[Configuration], make) -> Ops:
        """Maps on qubits that may differ from configuration to configuration."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, configuration in enumerate(configurations):
            numbers = tuple(int(self.constant(q, configuration, "A qubit number")) for q in qubits)
            if len(set(numbers)) < len(numbers) or not all(0 <= q < self.program.qubits for q in numbers):
                raise ProgramError(
                    f"The program {self.program.name} applies a gate to impossible qubits.",
                    got=numbers,
                    expected=f"different numbers below {self.program.qubits}",
                    try_="check the qubit indices",
                )
            groups.setdefault(numbers, []).append(i)
        if len(groups) == 1:
            ((numbers, chosen),) = groups.items()
            return tuple(make(numbers, chosen))
        split = Split(tuple((tuple(chosen), tuple(make(q, chosen))) for q, chosen in groups.items()))
        order = [i for chosen in groups.values() for i in chosen]
        return split, Merge(tuple(order))

    def gate(self, name: str, qubits, angle: Expression | None, configurations: list[Configuration]) -> Ops:
        def make(numbers, chosen):
            if angle is None:
                return (Rotate(name, numbers, ()),)
            angles = tuple(self.resolve(angle, configurations[i]) for i in chosen)
            return (Rotate(name, numbers, angles[:1] if len(set(angles)) == 1 else angles),)

        return self.grouped(qubits, configurations, make)

    def measure(self, statement: Measure, configurations: list[Configuration], live: frozenset[str]):
        target, monomials = statement.target, self.payload.monomials
        if target in self.payload.control and target in live:
            groups: dict[int, list[int]] = {}
            for i, configuration in enumerate(configurations):
                qubit = int(self.constant(statement.qubit, configuration, "A qubit number"))
                groups.setdefault(qubit, []).append(i)
            split = tuple((tuple(c), (Branch(q, statement.reset),)) for q, c in groups.items())
            after = [
                _set(configurations[i], target, Const(outcome))
                for chosen in groups.values()
                for outcome in (False, True)
                for i in chosen
            ]
            return (split[0][1] if len(split) == 1 else (Split(split),)), after
        if target not in self.payload.control and any(target in m for m in monomials):
            rest = tuple(monomials.index(tuple(n for n in m if n != target)) for m in monomials)
            self.dependence |= set(enumerate(rest))
            return self.grouped(
                (statement.qubit,), configurations, lambda q, chosen: (Record(q[0], statement.reset, rest),)
            ), configurations
        blind = reset if statement.reset else forget
        return self.grouped((statement.qubit,), configurations, lambda q, chosen: (blind(q[0]),)), configurations

    def assign(self, statement: Assign, configurations: list[Configuration], live: frozenset[str]):
        target = statement.target
        if target in self.payload.control:
            if target not in live:
                return (), configurations
            after = []
            for configuration in configurations:
                value = self.resolve(statement.value, configuration)
                if size(value) > 400:
                    raise self.too_many(configurations)
                after.append(_set(configuration, target, value))
            return (), after
        if not any(target in m for m in self.payload.monomials):
            return (), configurations
        update = self.payload.update(target, statement.value)
        self.dependence |= set(update)
        self.scales |= any(i == j and not (isinstance(v, Const) and abs(v.value) <= 1) for (i, j), v in update.items())
        entries = tuple(
            tuple((i, j, self.resolve(value, c)) for (i, j), value in update.items()) for c in configurations
        )
        return (Moments(entries),), configurations

    def split(self, condition: Expression, configurations: list[Configuration], yes, no):
        """Different blocks for the configurations where a condition holds and where it does not."""
        chosen: dict[bool, list[int]] = {True: [], False: []}
        for i, configuration in enumerate(configurations):
            chosen[bool(self.constant(condition, configuration, "A condition"))].append(i)
        sides = []
        after: list[Configuration] = []
        for value, (block, live) in ((True, yes), (False, no)):
            if chosen[value]:
                ops, out = self.block(block, [configurations[i] for i in chosen[value]], live)
                sides.append((tuple(chosen[value]), ops))
                after += out
        if len(sides) == 1:
            return sides[0][1], after
        return (Split(tuple(sides)),), after

    # ------------------------------------------------------------------------------------------ loops

    def turn(self, loop: While, heads: list[Configuration], live: frozenset[str]):
        """One turn from some head configurations: maps, configurations where it goes on and where it ends."""
        head = self.head(loop, live)
        tested = variables(loop.condition) & self.payload.control
        ops, there = self.block(loop.before, heads, tested | live | self.live(loop.body, head)[0])
        inside, outside = [], []
        for i, configuration in enumerate(there):
            (inside if self.constant(loop.condition, configuration, "A condition") else outside).append(i)
        ops_in, nexts = self.block(loop.body, [there[i] for i in inside], head) if inside else ((), [])
        ops_out, exits = self.prune([there[i] for i in outside], live) if outside else ((), [])
        split = Split(((tuple(inside), ops_in), (tuple(outside), ops_out)))
        return (*ops, split), nexts, exits

    def loop(self, loop: While, configurations: list[Configuration], live: frozenset[str]):
        head = self.head(loop, live)
        first, heads = self.prune(configurations, head)
        number = {h: i for i, h in enumerate(heads)}
        graph = networkx.DiGraph()
        graph.add_nodes_from(range(len(heads)))
        exits: dict[Configuration, int] = {}
        known = list(heads)
        done = 0
        while done < len(known):
            _, nexts, leaving = self.turn(loop, [known[done]], live)
            for configuration in nexts:
                if configuration not in number:
                    number[configuration] = len(known)
                    known.append(configuration)
                graph.add_edge(done, number[configuration])
            for configuration in leaving:
                exits.setdefault(configuration, len(exits))
            done += 1
            if len(known) > self.limit:
                raise self.too_many(known)
        if not exits:
            raise UnsupportedError(
                f"A loop of the program {self.program.name} never ends, whatever is measured.",
                got="a condition that always holds",
                expected="a condition that a measurement result can end",
                try_="check the condition of the loop",
            )
        stages = tuple(self.stage(loop, group, cyclic, known, number, exits, live) for group, cyclic in _layers(graph))
        return (*first, Loop(tuple(range(len(heads))), stages, len(exits))), list(exits)

    def stage(self, loop: While, group: list[int], cyclic: bool, known, number, exits, live) -> Stage:
        ops, nexts, leaving = self.turn(loop, [known[i] for i in group], live)
        exit_places = (*(-1 for _ in nexts), *(exits[c] for c in leaving))
        next_places = (*(number[c] for c in nexts), *(-1 for _ in leaving))
        return Stage(tuple(group), ops, exit_places, next_places, cyclic, self.number[id(loop)])

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


def _layers(graph: "networkx.DiGraph") -> list[tuple[list[int], bool]]:
    """Strongly connected groups in topological order; single steps of one depth are taken together."""
    condensed = networkx.condensation(graph)
    depth: dict[int, int] = {}
    for node in networkx.topological_sort(condensed):
        depth[node] = max((depth[p] + 1 for p in condensed.predecessors(node)), default=0)
    out: list[tuple[list[int], bool]] = []
    for level in range(max(depth.values()) + 1):
        single: list[int] = []
        for node in (n for n in depth if depth[n] == level):
            members = sorted(condensed.nodes[node]["members"])
            if len(members) > 1 or graph.has_edge(members[0], members[0]):
                out.append((members, True))
            else:
                single += members
        if single:
            out.append((sorted(single), False))
    return out
