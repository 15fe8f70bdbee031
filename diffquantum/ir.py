"""The intermediate representation: a structured program on qubits and classical variables.

Every front end ends here and every job starts here: exact semantics, trajectories, derivative programs and emitted text
all read these frozen dataclasses. A program is a tree of statements; loops that depend on measurements stay loops.
"""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, Literal

# ---------------------------------------------------------------------------------------------------- expressions

UNARY = ("neg", "not", "float", "sin", "cos", "tan", "asin", "acos", "atan", "sqrt", "exp", "log", "abs", "trunc")
BINARY = (
    "add", "sub", "mul", "div", "mod", "pow", "and", "or", "xor", "shl", "shr",
    "eq", "ne", "lt", "le", "gt", "ge", "min", "max",
)  # fmt: skip


@dataclass(frozen=True)
class Const:
    """A literal: bool, int or float."""

    value: bool | int | float


@dataclass(frozen=True)
class Var:
    """The value of a classical variable (a measurement result is a bool variable, One is True)."""

    name: str


@dataclass(frozen=True)
class Parameter:
    """The number `index` of the vector `theta`."""

    index: int


@dataclass(frozen=True)
class Unary:
    """`op` of `UNARY` applied to one expression; `float` turns an integer or a bool into a number."""

    op: str
    x: "Expression"


@dataclass(frozen=True)
class Binary:
    """`op` of `BINARY` applied to two expressions; `div` and `mod` of integers truncate towards zero."""

    op: str
    x: "Expression"
    y: "Expression"


@dataclass(frozen=True)
class Select:
    """`yes` where `condition` holds, else `no`; both are defined."""

    condition: "Expression"
    yes: "Expression"
    no: "Expression"


@dataclass(frozen=True)
class Index:
    """Entry `index` of a constant table (floats or ints; qubit numbers too)."""

    table: tuple[bool | int | float, ...]
    index: "Expression"


Expression = Const | Var | Parameter | Unary | Binary | Select | Index

# ---------------------------------------------------------------------------------------------------- statements

ROTATIONS = {"rx": "X", "ry": "Y", "rz": "Z", "rxx": "XX", "ryy": "YY", "rzz": "ZZ"}  # exp(-i angle/2 P)
FIXED = ("h", "x", "y", "z", "s", "s_adj", "t", "t_adj", "sx", "sx_adj", "cx", "cy", "cz", "swap", "ccx")


@dataclass(frozen=True)
class Gate:
    """A unitary gate: a name of `ROTATIONS` (with an angle) or of `FIXED`, on qubits given by integer expressions."""

    name: str
    qubits: tuple[Expression, ...]
    angle: Expression | None = None
    site: int | None = None  # the number of this textual occurrence, set by `number_sites`


@dataclass(frozen=True)
class Measure:
    """Measure a qubit in the computational basis into a bool variable (One is True), then reset it if `reset`."""

    qubit: Expression
    target: str
    reset: bool = False


@dataclass(frozen=True)
class Reset:
    """Put a qubit back to |0>."""

    qubit: Expression


@dataclass(frozen=True)
class Assign:
    """`target = value`."""

    target: str
    value: Expression


@dataclass(frozen=True)
class If:
    """`then` where `condition` holds, else `otherwise`."""

    condition: Expression
    then: "Block"
    otherwise: "Block" = ()


@dataclass(frozen=True)
class While:
    """`loop { before; if not condition: break; body }`.

    `while c { B }` has an empty (or condition-computing) `before`; `repeat { A } until d fixup { B }` is
    `While(before=A, condition=not d, body=B)`.
    """

    before: "Block"
    condition: Expression
    body: "Block"


@dataclass(frozen=True)
class Call:
    """Call an IR function by name; arguments are by value, `targets` receive what it returns."""

    function: str
    arguments: tuple[Expression, ...]
    targets: tuple[str, ...] = ()


Statement = Gate | Measure | Reset | Assign | If | While | Call
Block = tuple[Statement, ...]

# ---------------------------------------------------------------------------------------------------- programs

OutputKind = Literal["unit", "result", "bool", "int", "double", "results", "tuple"]


@dataclass(frozen=True)
class Function:
    """A named block with arguments (value variables) and result expressions, evaluated at its end."""

    name: str
    arguments: tuple[str, ...]
    body: Block
    returns: tuple[Expression, ...] = ()


@dataclass(frozen=True)
class Program:
    """A whole program: the entry block, its outputs, and the functions it calls.

    Args:
        name: name of the operation.
        parameters: names of the real parameters, in the order of `theta`.
        qubits: number of qubits the program uses; all start in |0>.
        body: the statements.
        outputs: expressions for what the operation returns, in order.
        kind: type of what it returns; `results` is a `Result[]` (bits, first bit lowest), `tuple` anything else.
        register: the qubits (in order) an observable acts on; empty where the operation returns classical data.
        functions: functions that `Call` may name.
        source: the text it was compiled from, for messages.
        guard: says at which parameters the program holds, where it was found by probing; `None` is everywhere.
    """

    name: str
    parameters: tuple[str, ...]
    qubits: int
    body: Block
    outputs: tuple[Expression, ...] = ()
    kind: OutputKind = "unit"
    register: tuple[int, ...] = ()
    functions: tuple[Function, ...] = ()
    source: str = dataclasses.field(default="", compare=False, repr=False)
    guard: Any = dataclasses.field(default=None, repr=False)

    @property
    def sites(self) -> tuple[Gate, ...]:
        """The gates whose angle depends on a parameter, in textual order."""
        from diffquantum.check import parameter_sites

        return parameter_sites(self)

    def to_qsharp(self) -> str:
        """The program as Q# text that the compiler accepts (Adaptive profile)."""
        from diffquantum.emit import to_qsharp

        return to_qsharp(self)


def children(statement: Statement) -> tuple[Block, ...]:
    """The blocks inside a statement."""
    match statement:
        case If(_, then, otherwise):
            return (then, otherwise)
        case While(before, _, body):
            return (before, body)
        case _:
            return ()


def walk(block: Block):
    """All statements of a block, outer before inner, in textual order."""
    for statement in block:
        yield statement
        for inner in children(statement):
            yield from walk(inner)


def number_sites(program: Program) -> Program:
    """Give every parameter-dependent rotation its occurrence number `site`, in textual order.

    Which gates depend on a parameter is decided by `diffquantum.check.parameter_sites`.
    """
    from diffquantum.check import with_sites

    return with_sites(program)


# ---------------------------------------------------------------------------------------------------- tools


def parts(expression: Expression) -> tuple[Expression, ...]:
    """The expressions directly inside an expression."""
    match expression:
        case Unary(_, x):
            return (x,)
        case Binary(_, x, y):
            return (x, y)
        case Select(condition, yes, no):
            return (condition, yes, no)
        case Index(_, index):
            return (index,)
        case _:
            return ()


def rebuild(expression: Expression, inner: tuple[Expression, ...]) -> Expression:
    """The same operation on other parts."""
    match expression:
        case Unary(op, _):
            return Unary(op, *inner)
        case Binary(op, _, _):
            return Binary(op, *inner)
        case Select():
            return Select(*inner)
        case Index(table, _):
            return Index(table, *inner)
        case _:
            return expression


@functools.lru_cache(maxsize=8192)
def variables(expression: Expression) -> frozenset[str]:
    """Names of the variables an expression reads."""
    if isinstance(expression, Var):
        return frozenset((expression.name,))
    return frozenset().union(*(variables(part) for part in parts(expression)))


@functools.lru_cache(maxsize=8192)
def parameter_indices(expression: Expression) -> frozenset[int]:
    """Indices of the parameters that appear in an expression itself (not through variables)."""
    if isinstance(expression, Parameter):
        return frozenset((expression.index,))
    return frozenset().union(*(parameter_indices(part) for part in parts(expression)))


def reads(statement: Statement) -> tuple[Expression, ...]:
    """The expressions a statement evaluates itself, without those of its inner blocks."""
    match statement:
        case Gate(_, qubits, angle):
            return qubits if angle is None else (*qubits, angle)
        case Measure(qubit) | Reset(qubit):
            return (qubit,)
        case Assign(_, value):
            return (value,)
        case If(condition) | While(_, condition):
            return (condition,)
        case Call(_, arguments):
            return arguments
    raise TypeError(f"not a statement: {statement!r}")


def writes(statement: Statement) -> tuple[str, ...]:
    """The variables a statement sets itself, without those of its inner blocks."""
    match statement:
        case Measure(_, target) | Assign(target):
            return (target,)
        case Call(_, _, targets):
            return targets
        case _:
            return ()


def written(block: Block) -> frozenset[str]:
    """All variables that a block sets, inner blocks included."""
    return frozenset(name for statement in walk(block) for name in writes(statement))
