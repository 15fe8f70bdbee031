"""Checks of programs: well-formed, differentiable; and which variables steer them."""

import dataclasses
from typing import Any

from diffquantum.errors import DifferentiationError, ProgramError
from diffquantum.ir import (
    BINARY,
    FIXED,
    ROTATIONS,
    UNARY,
    Assign,
    Binary,
    Block,
    Call,
    Const,
    Expression,
    Function,
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
    children,
    parameter_indices,
    parts,
    reads,
    variables,
    walk,
    writes,
    written,
)
from qml._core.errors import ShapeError

ARITY = {name: len(letters) for name, letters in ROTATIONS.items()} | {
    name: 3 if name == "ccx" else 2 if name in ("cx", "cy", "cz", "swap") else 1 for name in FIXED
}
_BOOL = ("not", "and", "or", "xor", "eq", "ne", "lt", "le", "gt", "ge")


def check(program: Program) -> Program:
    """Return the program if it is well formed and differentiable.

    Raises:
        ProgramError: unknown gate or operation, wrong arity, missing angle, qubit out of range, or a variable that is
            read before any path sets it.
        DifferentiationError: a parameter reaches a condition, a qubit number, a table index or a whole number.
    """
    _well_formed(program)
    dependent = parameter_variables(program)
    for statement in _all(program):
        for expression, use in _steering(statement):
            if parameter_indices(expression) or variables(expression) & dependent:
                raise DifferentiationError(
                    f"A parameter decides {use}, so the expected value is not differentiable.",
                    got=describe(expression, program),
                    expected=f"{use} that depends on measurement results and constants only",
                    try_="let the parameter enter gate angles or returned numbers, or pass it by fixed={...}",
                )
    return program


def _all(program: Program):
    yield from walk(program.body)
    for function in program.functions:
        yield from walk(function.body)


def _steering(statement: Statement) -> list[tuple[Expression, str]]:
    """The expressions that decide what happens next, with a word for what they decide."""
    found: list[tuple[Expression, str]] = []
    match statement:
        case If(condition) | While(_, condition):
            found.append((condition, "a branch"))
        case Gate(_, qubits):
            found += [(q, "a qubit number") for q in qubits]
        case Measure(qubit) | Reset(qubit):
            found.append((qubit, "a qubit number"))
    for expression in reads(statement):
        found += _decisions(expression)
    return found


def _decisions(expression: Expression) -> list[tuple[Expression, str]]:
    found: list[tuple[Expression, str]] = []
    match expression:
        case Select(condition):
            found.append((condition, "a choice"))
        case Index(_, index):
            found.append((index, "a table index"))
        case Unary("trunc", x):
            found.append((x, "a whole number"))
        case Binary(op, x, y) if op in _BOOL:
            found += [(x, "a comparison"), (y, "a comparison")]
    for part in parts(expression):
        found += _decisions(part)
    return found


def parameter_variables(program: Program) -> frozenset[str]:
    """Variables whose value may depend on a parameter (not through measurement statistics)."""
    functions = {f.name: f for f in program.functions}
    found: set[str] = set()
    while True:
        before = len(found)
        for statement in _all(program):
            touched = any(parameter_indices(e) or variables(e) & found for e in reads(statement))
            if isinstance(statement, Assign) and touched:
                found.add(statement.target)
            elif isinstance(statement, Call):
                function = functions.get(statement.function)
                if function is not None:
                    for name, value in zip(function.arguments, statement.arguments):
                        if parameter_indices(value) or variables(value) & found:
                            found.add(name)
                    for name, value in zip(statement.targets, function.returns):
                        if parameter_indices(value) or variables(value) & found:
                            found.add(name)
        if len(found) == before:
            return frozenset(found)


def control_variables(program: Program) -> frozenset[str]:
    """Variables that reach a condition, a qubit number, a table index or a gate angle, directly or through others.

    The others only flow into what the program returns: they are *payload*.
    """
    found: set[str] = set()
    for statement in _all(program):
        for expression, _ in _steering(statement):
            found |= variables(expression)
        if isinstance(statement, Gate) and statement.angle is not None:
            found |= variables(statement.angle)
        if isinstance(statement, Call):
            found |= {name for e in statement.arguments for name in variables(e)}
    return slice_back(program, frozenset(found))


def slice_back(program: Program, names: frozenset[str]) -> frozenset[str]:
    """The variables that the values of `names` are computed from, `names` included."""
    found = set(names)
    while True:
        before = len(found)
        for statement in _all(program):
            if found.intersection(writes(statement)):
                for expression in reads(statement):
                    found |= variables(expression)
        if len(found) == before:
            return frozenset(found)


# ---------------------------------------------------------------------------------------------------- sites


def is_parametric(gate: Gate, dependent: frozenset[str]) -> bool:
    """Whether the angle of a gate depends on a parameter."""
    return gate.angle is not None and bool(parameter_indices(gate.angle) or variables(gate.angle) & dependent)


def parameter_sites(program: Program) -> tuple[Gate, ...]:
    """The gates whose angle depends on a parameter, in textual order, numbered from 0."""
    dependent = parameter_variables(program)
    gates = [s for s in _all(program) if isinstance(s, Gate) and is_parametric(s, dependent)]
    return tuple(dataclasses.replace(gate, site=i) for i, gate in enumerate(gates))


def with_sites(program: Program) -> Program:
    """The program with every parameter-dependent gate numbered in textual order."""
    dependent = parameter_variables(program)
    count = 0

    def change(block: Block) -> Block:
        nonlocal count
        out: list[Statement] = []
        for statement in block:
            match statement:
                case Gate():
                    site = count if is_parametric(statement, dependent) else None
                    count += site is not None
                    statement = dataclasses.replace(statement, site=site)
                case If(condition, then, otherwise):
                    statement = If(condition, change(then), change(otherwise))
                case While(before, condition, body):
                    statement = While(change(before), condition, change(body))
            out.append(statement)
        return tuple(out)

    body = change(program.body)
    functions = tuple(Function(f.name, f.arguments, change(f.body), f.returns) for f in program.functions)
    return dataclasses.replace(program, body=body, functions=functions)


# ---------------------------------------------------------------------------------------------------- well-formed


def _well_formed(program: Program) -> None:
    arguments = frozenset(name for f in program.functions for name in f.arguments)
    known = _defined(program, program.body, arguments)
    for function in program.functions:
        known |= _defined(program, function.body, arguments | known)
    for expression in program.outputs:
        _reads(program, expression, known)
    for statement in _all(program):
        match statement:
            case Gate(name, qubits, angle):
                if name not in ARITY:
                    raise _error(program, f"uses the unknown gate {name!r}", sorted(ARITY))
                if len(qubits) != ARITY[name]:
                    raise _error(program, f"applies {name} to {len(qubits)} qubits, not {ARITY[name]}", qubits)
                if (angle is None) == (name in ROTATIONS):
                    raise _error(program, f"gives {name} {'no' if angle is None else 'an'} angle", angle)
                numbers = [q.value for q in qubits if isinstance(q, Const)]
                if len(set(numbers)) < len(numbers):
                    raise _error(program, f"applies {name} to the same qubit twice", numbers)
                _range(program, qubits)
            case Measure(qubit) | Reset(qubit):
                _range(program, (qubit,))
            case Call(function):
                if function not in {f.name for f in program.functions}:
                    raise _error(program, f"calls the unknown function {function!r}", function)


def _defined(program: Program, block: Block, known: frozenset[str]) -> frozenset[str]:
    """The variables that some path has set after a block; refuses reads of those that none has."""
    for statement in block:
        if isinstance(statement, While):
            known |= written(statement.before) | written(statement.body)
        for expression in reads(statement):
            _reads(program, expression, known)
        inner = [_defined(program, block, known) for block in children(statement)]
        known = known.union(writes(statement), *inner)
    return known


def _reads(program: Program, expression: Expression, known: frozenset[str]) -> None:
    _expression(program, expression)
    if missing := variables(expression) - known:
        raise _error(
            program, f"reads the variable {sorted(missing)[0]!r} before it is set", describe(expression, program)
        )


def _range(program: Program, qubits: tuple[Expression, ...]) -> None:
    for qubit in qubits:
        if isinstance(qubit, Const) and not 0 <= qubit.value < program.qubits:
            raise _error(program, f"uses qubit {qubit.value} of {program.qubits}", qubit.value)


def _expression(program: Program, expression: Expression) -> None:
    match expression:
        case Unary(op) if op not in UNARY:
            raise _error(program, f"uses the unknown operation {op!r}", op)
        case Binary(op) if op not in BINARY:
            raise _error(program, f"uses the unknown operation {op!r}", op)
        case Parameter(index) if not 0 <= index < len(program.parameters):
            raise _error(program, f"uses parameter {index} of {len(program.parameters)}", index)
    for part in parts(expression):
        _expression(program, part)


def _error(program: Program, what: str, got: object) -> ProgramError:
    return ProgramError(
        f"The program {program.name} {what}.",
        got=got,
        expected="a well-formed program",
        try_="check the statements against the description of the intermediate representation",
    )


def describe(expression: Expression, program: Program | None = None) -> str:
    """An expression as short readable text."""
    match expression:
        case Const(value):
            return f"{value}"
        case Var(name):
            return name
        case Parameter(index):
            return program.parameters[index] if program else f"theta[{index}]"
        case Unary(op, x):
            return f"{op}({describe(x, program)})"
        case Binary(op, x, y):
            return f"({describe(x, program)} {op} {describe(y, program)})"
        case Select(condition, yes, no):
            return f"({describe(condition, program)} ? {describe(yes, program)} | {describe(no, program)})"
        case Index(table, index):
            return f"{list(table)}[{describe(index, program)}]"


def check_theta(program: Program, theta: Any) -> None:
    """Raise unless there is one number for each parameter of a program.

    Raises:
        ShapeError: the array has another shape.
    """
    count = len(program.parameters)
    if theta.shape != (count,):
        raise ShapeError(
            f"The program {program.name} has {count} parameters.",
            got=f"an array of shape {theta.shape}",
            expected=f"({count},) for {', '.join(program.parameters) or 'no parameters'}",
            try_="one number for each parameter, in order",
        )
