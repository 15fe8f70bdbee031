"""A program as a flat list of instructions, and which control variables still matter before each of them.

What matters depends on what is known: after a flag has been set, the branch that it closes is not looked at.
"""

import dataclasses

from diffquantum.ir import (
    Assign,
    Block,
    Const,
    Expression,
    Gate,
    If,
    Measure,
    Program,
    Reset,
    Statement,
    Var,
    While,
    variables,
)
from diffquantum.ir import reads as reads_of
from diffquantum.tidy import substitute

MOST_FACTS = 20_000  # pairs of instruction and facts; more, and facts are not used

Facts = frozenset[tuple[str, bool]]


@dataclasses.dataclass(frozen=True)
class Branch:
    """Go to instruction `yes` or `no`."""

    condition: Expression
    yes: int
    no: int


@dataclasses.dataclass(frozen=True)
class Toss:
    """Throw a coin with the angle in a variable into `target`."""

    angle: str
    target: str


Instruction = Statement | Branch | Toss


@dataclasses.dataclass(frozen=True)
class Code:
    """The instructions of a program.

    Args:
        instructions: statements without inner blocks, branches and coins.
        joins: instructions that several others lead to.
        loops: for each loop of the text, its first instruction and the one after its last.
        bodies: for each loop, whether something is done after its test.
    """

    instructions: tuple[Instruction, ...]
    joins: frozenset[int]
    loops: tuple[tuple[int, int], ...]
    bodies: tuple[bool, ...]

    @property
    def end(self) -> int:
        return len(self.instructions)


def lower(program: Program, coins: frozenset[int] = frozenset()) -> Code:
    """Write a program as a list; gates and measurements of coins become assignments and tosses."""
    out: list[Instruction] = []
    joins: set[int] = set()
    loops: list[tuple[int, int]] = []
    bodies: list[bool] = []

    def emit(block: Block) -> None:
        for s in block:
            match s:
                case If(condition, then, otherwise):
                    at = _hole(out)
                    emit(then)
                    jump = _hole(out) if otherwise else None
                    no = len(out)
                    emit(otherwise)
                    out[at] = Branch(condition, at + 1, no)
                    if jump is not None:
                        out[jump] = Branch(Const(True), len(out), len(out))
                    joins.add(len(out))
                case While(before, condition, body):
                    number, head = len(loops), len(out)
                    loops.append((head, head))
                    bodies.append(bool(body))
                    joins.add(head)
                    out.append(Branch(Const(True), head + 1, head + 1))  # the head of an inner loop is another place
                    emit(before)
                    at = _hole(out)
                    emit(body)
                    out.append(Branch(Const(True), head, head))
                    out[at] = Branch(condition, at + 1, len(out))
                    loops[number] = head, len(out)
                    joins.add(len(out))
                case Gate(_, (Const(q),), angle) if q in coins and angle is not None:
                    out.append(Assign(f"coin {q}", angle))
                case Measure(Const(q), target) if q in coins:
                    out.append(Toss(f"coin {q}", target))
                case Reset(Const(q)) if q in coins:
                    pass
                case _:
                    out.append(s)

    emit(program.body)
    return Code(tuple(out), frozenset(joins), tuple(loops), tuple(bodies))


def _hole(out: list[Instruction]) -> int:
    out.append(Branch(Const(True), 0, 0))
    return len(out) - 1


class Liveness:
    """Which control variables matter before an instruction.

    Args:
        code: the instructions.
        control: variables that are followed by value.
        monomials: the moments carried.
        needed: control variables that matter at the end.
    """

    def __init__(self, code: Code, control: frozenset[str], monomials: tuple, needed: frozenset[str]):
        self.code, self.control, self.needed = code, control, needed
        self.counted = frozenset(n for m in monomials for n in m)
        conditions = [i.condition for i in code.instructions if isinstance(i, Branch)]
        self.deciding = frozenset(n for c in conditions for n in variables(c))
        self.known: dict[tuple[int, Facts], frozenset[str]] = {}

    def live(self, pc: int, configuration: tuple[tuple[str, Expression], ...]) -> frozenset[str]:
        """The variables that matter, given those that are known to be true or false."""
        facts = frozenset(
            (n, v.value) for n, v in configuration
            if n in self.deciding and isinstance(v, Const) and isinstance(v.value, bool)
        )  # fmt: skip
        start = pc, facts if len(self.known) < MOST_FACTS else frozenset()
        if start not in self.known:
            self.solve(start)
        return self.known[start]

    def solve(self, start: tuple[int, Facts]) -> None:
        """Least solution on all that can be reached from a place."""
        followers: dict[tuple[int, Facts], list[tuple[int, Facts]]] = {}
        todo = [start]
        while todo:
            place = todo.pop()
            if place not in followers and place not in self.known:
                followers[place] = self.next(*place)
                todo += followers[place]
        value = {place: frozenset() for place in followers}
        leaders: dict[tuple[int, Facts], list[tuple[int, Facts]]] = {}
        for place, after in followers.items():
            for q in after:
                leaders.setdefault(q, []).append(place)
        todo = list(followers)
        while todo:
            place = todo.pop()
            after = frozenset().union(*(value.get(q) or self.known.get(q, frozenset()) for q in followers[place]))
            new = self.before(place[0], after)
            if new != value[place]:
                value[place] = new
                todo += leaders.get(place, [])
        self.known.update(value)

    def next(self, pc: int, facts: Facts) -> list[tuple[int, Facts]]:
        """Where a place leads to, with what is known there."""
        if pc == self.code.end:
            return []
        match self.code.instructions[pc]:
            case Branch(condition, yes, no):
                value = substitute(condition, {n: Const(v) for n, v in facts})
                if isinstance(value, Const):
                    return [(yes if value.value else no, facts)]
                return [(yes, facts), (no, facts)]
            case Assign(target, value):
                rest = _without(facts, target)
                if isinstance(value, Var):
                    value = next((Const(v) for n, v in facts if n == value.name), value)
                if target in self.deciding and isinstance(value, Const) and isinstance(value.value, bool):
                    rest |= {(target, value.value)}
                return [(pc + 1, rest)]
            case Measure(_, target) | Toss(_, target):
                return [(pc + 1, _without(facts, target))]
        return [(pc + 1, facts)]

    def before(self, pc: int, after: frozenset[str]) -> frozenset[str]:
        """What matters before an instruction, from what matters after it."""
        if pc == self.code.end:
            return self.needed
        match self.code.instructions[pc]:
            case Branch(condition):
                return after | variables(condition) & self.control
            case Toss(angle, target):
                return after - {target} | {angle}
            case Measure(qubit, target):
                return after - {target} | variables(qubit) & self.control
            case Assign(target, value) if target in self.control:
                return after - {target} | variables(value) & self.control if target in after else after
            case Assign(target, value):
                return after | variables(value) & self.control if target in self.counted else after
            case statement:
                return after | frozenset(n for e in reads_of(statement) for n in variables(e)) & self.control


def _without(facts: Facts, name: str) -> Facts:
    return frozenset(f for f in facts if f[0] != name)
