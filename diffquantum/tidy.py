"""Rewriting of programs without change of meaning: constants folded, copies followed, unused variables dropped."""

import dataclasses
import math
import operator
from collections import Counter
from collections.abc import Callable, Iterable

from diffquantum.errors import ProgramError
from diffquantum.ir import (
    Assign,
    Binary,
    Block,
    Call,
    Const,
    Expression,
    Gate,
    If,
    Index,
    Measure,
    Parameter,
    Program,
    Reset,
    Select,
    Statement,
    Unary,
    Var,
    While,
    parts,
    reads,
    rebuild,
    variables,
    walk,
    writes,
    written,
)

LARGEST = 60  # nodes of an expression that is copied to where it is used


# ---------------------------------------------------------------------------------------------------- expressions


def size(expression: Expression) -> int:
    """Number of nodes of an expression."""
    return 1 + sum(size(part) for part in parts(expression))


def _divide(x, y):
    if isinstance(x, float) or isinstance(y, float):
        return x / y
    return int(math.copysign(1, x) * math.copysign(1, y)) * (abs(x) // abs(y))


def _remainder(x, y):
    return math.fmod(x, y) if isinstance(x, float) or isinstance(y, float) else x - y * _divide(x, y)


_UNARY: dict[str, Callable] = {
    "neg": operator.neg, "not": operator.not_, "float": float, "sin": math.sin, "cos": math.cos, "tan": math.tan,
    "asin": math.asin, "acos": math.acos, "atan": math.atan, "sqrt": math.sqrt, "exp": math.exp, "log": math.log,
    "abs": abs, "trunc": math.trunc,
}  # fmt: skip
_BINARY: dict[str, Callable] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": _divide, "mod": _remainder,
    "pow": operator.pow, "and": operator.and_, "or": operator.or_, "xor": operator.xor, "shl": operator.lshift,
    "shr": operator.rshift, "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le,
    "gt": operator.gt, "ge": operator.ge, "min": min, "max": max,
}  # fmt: skip


def compute(op: str, *values: bool | int | float) -> bool | int | float:
    """The value of a unary or binary operation on plain numbers.

    Raises:
        ArithmeticError, ValueError: a division by zero or a function outside its domain.
    """
    return (_UNARY if len(values) == 1 else _BINARY)[op](*values)


_COMPARE = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}


def fold(expression: Expression) -> Expression:
    """Fold constants and double negations at the top of an expression whose parts are folded already."""
    match expression:
        case Unary(op, Const(value)):
            return _try(expression, op, value)
        case Binary(op, Const(x), Const(y)):
            return _try(expression, op, x, y)
        case Select(Const(value), yes, no):
            return yes if value else no
        case Select(_, yes, no) if yes == no:
            return yes
        case Index(table, Const(value)) if 0 <= value < len(table):
            return Const(table[int(value)])
        case Unary("not", Unary("not", x)) | Unary("neg", Unary("neg", x)):
            return x
        case Unary("not", Binary(op, x, y)) if op in ("eq", "ne") or (op in _COMPARE and _integer(x, y)):
            return Binary(_COMPARE[op], x, y)
        case Binary("xor" | "ne", x, Const(bool(value))):
            return fold(Unary("not", x)) if value else x
        case Binary("eq", x, Const(bool(value))):
            return x if value else fold(Unary("not", x))
        case Binary("and", x, Const(bool(value))) | Binary("and", Const(bool(value)), x):
            return x if value else Const(False)
        case Binary("or", x, Const(bool(value))) | Binary("or", Const(bool(value)), x):
            return Const(True) if value else x
    return expression


def _integer(x: Expression, y: Expression) -> bool:
    """Whether a comparison is of whole numbers for sure (negating one of floats would mishandle NaN)."""
    return any(isinstance(e, Const) and not isinstance(e.value, float) for e in (x, y))


def _try(expression: Expression, op: str, *values) -> Expression:
    try:
        return Const(compute(op, *values))
    except (ArithmeticError, ValueError, TypeError):
        return expression


def substitute(expression: Expression, values: dict[str, Expression]) -> Expression:
    """Replace variables by expressions and fold."""
    if isinstance(expression, Var):
        return values.get(expression.name, expression)
    inner = parts(expression)
    if not inner:
        return expression
    return fold(rebuild(expression, tuple([substitute(part, values) for part in inner])))


def resolve(name: str, expression: Expression, memory: Iterable[tuple[str, Expression]]) -> Expression:
    """An expression with the variables of a memory put in.

    Raises:
        ProgramError: a variable has no value there; the program is called by its name.
    """
    value = substitute(expression, dict(memory))
    if missing := variables(value):
        raise ProgramError(
            f"The program {name} reads the variable {sorted(missing)[0]!r} before it is set.",
            got=sorted(missing),
            expected="a value on every path that reads it",
            try_="give the variable a value where it is declared",
        )
    return value


# ---------------------------------------------------------------------------------------------------- statements


def rewrite(statement: Statement, change: Callable[[Expression], Expression]) -> Statement:
    """Change the expressions a statement evaluates itself; its inner blocks stay."""
    match statement:
        case Gate(_, qubits, angle):
            new = None if angle is None else change(angle)
            return dataclasses.replace(statement, qubits=tuple(map(change, qubits)), angle=new)
        case Measure(qubit) | Reset(qubit):
            return dataclasses.replace(statement, qubit=change(qubit))
        case Assign(target, value):
            return Assign(target, change(value))
        case If(condition, then, otherwise):
            return If(change(condition), then, otherwise)
        case While(before, condition, body):
            return While(before, change(condition), body)
        case Call(function, arguments, targets):
            return Call(function, tuple(map(change, arguments)), targets)


def tidy(program: Program) -> Program:
    """Follow copies, fold constants and drop unused variables until nothing changes."""
    for _ in range(50):
        before = program
        program = _global(program)
        program = _forward(program)
        program = dataclasses.replace(program, body=_peephole(program.body))
        program = _unused(program)
        if program == before:
            break
    return program


def _global(program: Program) -> Program:
    """Write expressions of constants and parameters at every use of a variable that is set once."""
    sets = Counter(name for s in walk(program.body) for name in writes(s))
    values = {
        s.target: s.value
        for s in walk(program.body)
        if isinstance(s, Assign) and sets[s.target] == 1 and not variables(s.value) and size(s.value) <= LARGEST
    }
    if not values:
        return program

    def change(block: Block) -> Block:
        return tuple(
            _inner(rewrite(s, lambda e: substitute(e, values)), change)
            for s in block
            if not (isinstance(s, Assign) and s.target in values)
        )

    outputs = tuple(substitute(e, values) for e in program.outputs)
    return dataclasses.replace(program, body=change(program.body), outputs=outputs)


def _inner(statement: Statement, change: Callable[[Block], Block]) -> Statement:
    match statement:
        case If(condition, then, otherwise):
            return If(condition, change(then), change(otherwise))
        case While(before, condition, body):
            return While(change(before), condition, change(body))
        case _:
            return statement


class _Forward:
    """Follows straight code, with what is known about each variable at this point."""

    def __init__(self, uses: Counter):
        self.uses = uses

    def keep(self, name: str, value: Expression) -> bool:
        if name in variables(value):
            return False
        if isinstance(value, Const | Var | Parameter):
            return True
        return size(value) <= LARGEST and self.uses[name] == 1

    def block(self, block: Block, known: dict[str, Expression]) -> tuple[Block, dict[str, Expression]]:
        out = []
        for statement in block:
            if not isinstance(statement, While):
                statement = rewrite(statement, lambda e: substitute(e, known))  # noqa: B023
            if isinstance(statement, If):
                then, a = self.block(statement.then, known)
                otherwise, b = self.block(statement.otherwise, known)
                statement = If(statement.condition, then, otherwise)
                known = {name: value for name, value in a.items() if b.get(name) == value}
            elif isinstance(statement, While):
                if not statement.before and substitute(statement.condition, known) == Const(False):
                    continue
                if not statement.before and known.get(_name(statement.condition)) == Const(True):
                    statement = While(statement.body, statement.condition, ())  # the first test always holds
                changed = written(statement.before) | written(statement.body)
                entering = _forget(known, changed)
                before, known = self.block(statement.before, entering)
                condition = substitute(statement.condition, known)
                body, _ = self.block(statement.body, known)
                statement = While(before, condition, body)
            else:
                known = _forget(known, frozenset(writes(statement)))
                if isinstance(statement, Assign) and self.keep(statement.target, statement.value):
                    known = {**known, statement.target: statement.value}
            out.append(statement)
        return tuple(out), known


def _name(expression: Expression) -> str:
    return expression.name if isinstance(expression, Var) else ""


def _forget(known: dict[str, Expression], changed: frozenset[str]) -> dict[str, Expression]:
    return {n: v for n, v in known.items() if n not in changed and not (changed & variables(v))}


def _forward(program: Program) -> Program:
    uses = Counter()
    for expression in (*(e for s in walk(program.body) for e in reads(s)), *program.outputs):
        uses.update(_occurrences(expression))
    body, known = _Forward(uses).block(program.body, {})
    outputs = tuple(substitute(e, known) for e in program.outputs)
    return dataclasses.replace(program, body=body, outputs=outputs)


def _occurrences(expression: Expression) -> list[str]:
    if isinstance(expression, Var):
        return [expression.name]
    return [name for part in parts(expression) for name in _occurrences(part)]


def _unused(program: Program) -> Program:
    """Drop assignments to variables that nothing reads."""
    read = {name for e in program.outputs for name in variables(e)}
    for statement in walk(program.body):
        own = set(writes(statement)) if isinstance(statement, Assign) else set()
        for expression in reads(statement):
            read |= variables(expression) - own

    def change(block: Block) -> Block:
        kept = (s for s in block if not (isinstance(s, Assign) and s.target not in read))
        return tuple(_inner(s, change) for s in kept)

    return dataclasses.replace(program, body=change(program.body))


def _peephole(block: Block) -> Block:
    """Decide constant branches, drop empty ones, and write a bool set by a branch as `and`, `or`, `not`."""
    out: list[Statement] = []
    for statement in block:
        statement = _inner(statement, _peephole)
        match statement:
            case Assign(target, Var(name)) if target == name:
                continue
            case If(Const(value), then, otherwise):
                out.extend(then if value else otherwise)
                continue
            case If(_, (), ()):
                continue
            case If(Unary("not", condition), then, otherwise):
                statement = If(condition, otherwise, then)
            case If(condition, (Assign(target, yes),), (Assign(same, no),)) if target == same:
                value = _extreme(condition, yes, no)
                statement = statement if value is None else Assign(target, value)
        if isinstance(statement, If) and out and isinstance(out[-1], Assign):
            joined = _joined(out[-1], statement)
            if joined is not None:
                out[-1] = joined
                continue
        out.append(statement)
    return tuple(out)


def _extreme(condition: Expression, yes: Expression, no: Expression) -> Expression | None:
    """A smaller or larger number, or a distance from zero, that was written as a branch."""
    match condition:
        case Binary("lt" | "le", x, y):
            pass
        case Binary("gt" | "ge", x, y):
            yes, no = no, yes
        case _:
            return None
    if {yes, no} == {x, y}:
        return Binary("min" if yes == x else "max", x, y)
    if y in (Const(0), Const(0.0)) and no == x and yes in _negatives(x):
        return Unary("abs", x)
    if y in (Const(0), Const(0.0)) and yes == x and no in _negatives(x):
        return Unary("neg", Unary("abs", x))
    return None


def _negatives(x: Expression) -> tuple[Expression, ...]:
    ways: tuple[Expression, ...] = (Unary("neg", x), Binary("mul", Const(-1.0), x), Binary("mul", Const(-1), x))
    return (*ways, Binary("mul", x, Const(-1.0)), Binary("sub", Const(0), x), Binary("sub", Const(0.0), x))


def _joined(first: Assign, branch: If) -> Assign | None:
    """`b = start; if c { b = yes } else { b = no }` of bools as one assignment."""
    if not isinstance(first.value, Const) or not isinstance(first.value.value, bool):
        return None
    arms: list[Expression] = []
    for arm in (branch.then, branch.otherwise):
        match arm:
            case ():
                arms.append(first.value)
            case (Assign(target, value),) if target == first.target:
                arms.append(value)
            case _:
                return None
    condition = branch.condition
    if any(first.target in variables(e) for e in (condition, *arms)):
        return None
    yes, no = arms
    if no == Const(False):
        value = Binary("and", condition, yes)
    elif yes == Const(True):
        value = Binary("or", condition, no)
    elif yes == Const(False):
        value = Binary("and", fold(Unary("not", condition)), no)
    elif no == Const(True):
        value = Binary("or", fold(Unary("not", condition)), yes)
    else:
        return None
    return Assign(first.target, fold(value))
