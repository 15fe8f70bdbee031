"""Expressions kept small, types of variables, the number a program stands for."""

import itertools
from collections.abc import Iterator, Mapping

from diffquantum.errors import UnsupportedError
from diffquantum.ir import (
    Assign,
    Binary,
    Block,
    Call,
    Const,
    Expression,
    Index,
    Measure,
    Parameter,
    Program,
    Select,
    Statement,
    Unary,
    Var,
    While,
    children,
    walk,
    written,
)

ZERO, ONE = Const(0.0), Const(1.0)


# ------------------------------------------------------------------------------------------ building expressions


def is_zero(x: Expression) -> bool:
    """Whether an expression is the literal 0."""
    return isinstance(x, Const) and not isinstance(x.value, bool) and x.value == 0


def is_one(x: Expression) -> bool:
    """Whether an expression is the literal 1."""
    return isinstance(x, Const) and not isinstance(x.value, bool) and x.value == 1


def add(x: Expression, y: Expression) -> Expression:
    """`x + y` of numbers, without zeros."""
    if isinstance(x, Const) and isinstance(y, Const):
        return Const(x.value + y.value)
    return y if is_zero(x) else x if is_zero(y) else Binary("add", x, y)


def multiply(x: Expression, y: Expression) -> Expression:
    """`x y` of floats, without zeros and ones."""
    if is_zero(x) or is_zero(y):
        return ZERO
    if isinstance(x, Const) and isinstance(y, Const):
        return Const(x.value * y.value)
    return y if is_one(x) else x if is_one(y) else Binary("mul", x, y)


def divide(x: Expression, y: Expression) -> Expression:
    """`x / y` of floats, without zeros and ones."""
    return ZERO if is_zero(x) else x if is_one(y) else Binary("div", x, y)


def negate(x: Expression) -> Expression:
    """`-x`, without double signs."""
    if isinstance(x, Const):
        return x if is_zero(x) else Const(-x.value)
    return x.x if isinstance(x, Unary) and x.op == "neg" else Unary("neg", x)


def subtract(x: Expression, y: Expression) -> Expression:
    """`x - y` of numbers, without zeros."""
    if isinstance(x, Const) and isinstance(y, Const):
        return Const(x.value - y.value)
    return x if is_zero(y) else negate(y) if is_zero(x) else Binary("sub", x, y)


def select(condition: Expression, yes: Expression, no: Expression) -> Expression:
    """`yes` where `condition` holds, else `no`; equal branches need no condition."""
    return yes if yes == no else Select(condition, yes, no)


# ------------------------------------------------------------------------------------------ types

_LOGIC = ("and", "or", "xor")
_COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")


def type_of(e: Expression, types: Mapping[str, type]) -> type:
    """`bool`, `int` or `float`: the type of an expression whose variables have the given types."""
    match e:
        case Const(value):
            return type(value)
        case Var(name):
            return types.get(name, bool)
        case Parameter():
            return float
        case Unary("not"):
            return bool
        case Unary("trunc"):
            return int
        case Unary("neg" | "abs", x):
            return _widest((type_of(x, types), int))
        case Unary():
            return float
        case Binary(op) if op in _COMPARE:
            return bool
        case Binary(op, x, y):
            least = bool if op in (*_LOGIC, "min", "max") else int
            return _widest((type_of(x, types), type_of(y, types), least))
        case Select(_, yes, no):
            return _widest((type_of(yes, types), type_of(no, types)))
        case Index(table):
            return _widest(tuple(map(type, table)))
    raise AssertionError(e)


def _widest(types: tuple[type, ...]) -> type:
    return max(types, key=(bool, int, float).index)


def variable_types(program: Program) -> dict[str, type]:
    """The type of every variable of a program without calls: the widest of what is assigned to it."""
    types: dict[str, type] = {}
    while True:
        before = dict(types)
        for statement in walk(program.body):
            match statement:
                case Call(function):
                    raise UnsupportedError(
                        f"The program {program.name} calls the function {function}.",
                        got=f"a call of {function}",
                        expected="a program whose calls have been written out",
                        try_="load it from Q#: the front end writes calls out",
                    )
                case Measure(_, target):
                    types.setdefault(target, bool)
                case Assign(target, value):
                    types[target] = _widest((types.get(target, bool), type_of(value, types)))
        if types == before:
            return types


def names(program: Program) -> frozenset[str]:
    """Every name a program uses: variables, parameters and itself."""
    return written(program.body) | {program.name, *program.parameters}


def fresh(name: str, taken: frozenset[str] | set[str]) -> str:
    """`name`, or `name_2`, `name_3`, ... if that is taken."""
    candidates = itertools.chain((name,), (f"{name}_{i}" for i in itertools.count(2)))
    return next(c for c in candidates if c not in taken)


def number(program: Program) -> Expression:
    """The number whose mean is the value of a program: what it returns, as a float.

    A result or a bool counts 0 or 1, a `Result[]` is the number with those bits, first bit lowest. A program that
    returns nothing has the number 1: its value is the observable alone.

    Raises:
        UnsupportedError: the program returns several values.
    """
    if not program.outputs:
        return ONE
    as_floats = [as_float(e, variable_types(program)) for e in program.outputs]
    if program.kind == "results":
        total = ZERO
        for i, bit in enumerate(as_floats):
            total = add(total, multiply(Const(2.0**i), bit))
        return total
    if len(as_floats) > 1:
        raise UnsupportedError(
            f"The operation {program.name} returns several values, and an expectation needs one number.",
            got=f"{len(as_floats)} outputs",
            expected="Unit, Result, Bool, Int, Double or Result[]",
            try_="return one number, for instance the first entry of the tuple",
        )
    return as_floats[0]


def as_float(e: Expression, types: Mapping[str, type]) -> Expression:
    """The expression as a float."""
    if isinstance(e, Const):
        return Const(float(e.value))
    return e if type_of(e, types) is float else Unary("float", e)


def loops_in(block: Block, inside: bool = False) -> Iterator[tuple[Statement, bool]]:
    """All statements of a block, each with whether it stands inside a loop."""
    for s in block:
        yield s, inside
        for inner in children(s):
            yield from loops_in(inner, inside or isinstance(s, While))
