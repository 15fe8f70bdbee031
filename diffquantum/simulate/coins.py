r"""Qubits that are only coins: turned by an angle from |0>, measured, reset. They need no amplitudes.

$R_y(\phi)$ or $R_x(\phi)$ on |0> and then a measurement gives One with probability $\sin^2\tfrac\phi2$.
"""

import math

from diffquantum.ir import (
    Binary,
    Block,
    Const,
    Expression,
    Gate,
    If,
    Index,
    Measure,
    Program,
    Reset,
    Unary,
    While,
    children,
    variables,
    walk,
    writes,
)


def coin_qubits(program: Program) -> frozenset[int]:
    """The qubits of a program that are only coins."""
    named = [e for s in walk(program.body) for e in _qubits(s)]
    if not all(isinstance(e, Const) for e in named):
        return frozenset()
    free = {int(e.value) for e in named} - set(program.register)  # type: ignore[union-attr]
    return frozenset(q for q in free if _is_coin(program.body, q))


def _qubits(statement) -> tuple[Expression, ...]:
    match statement:
        case Gate(_, qubits):
            return qubits
        case Measure(qubit) | Reset(qubit):
            return (qubit,)
        case _:
            return ()


def _touches(statement, q: int) -> bool:
    return Const(q) in _qubits(statement) or any(_touches(s, q) for b in children(statement) for s in b)


def _is_coin(block: Block, q: int) -> bool:
    """Whether a qubit, clean before the block, is only thrown as a coin in it, and clean after it."""
    angle: Expression | None = None
    for s in block:
        if angle is not None and variables(angle).intersection(*[writes(s)]):
            return False
        if not _touches(s, q):
            if angle is not None and children(s):
                return False
            continue
        match s:
            case Gate("rx" | "ry", _, new) if angle is None:
                angle = new
            case Measure(_, _, True) if angle is not None:
                angle = None
            case Reset() if angle is None:
                pass
            case If() | While() if angle is None:
                if not all(_is_coin(b, q) for b in children(s)):
                    return False
            case _:
                return False
    return angle is None


def chance(angle: Expression) -> Expression:
    r"""$\sin^2\tfrac\phi2$ of an angle; of a table of angles, the table of chances."""
    match angle:
        case Const(value):
            return Const(math.sin(value / 2) ** 2)
        case Index(table, index):
            return Index(tuple(math.sin(a / 2) ** 2 for a in table), index)
    half = Unary("sin", Binary("mul", Const(0.5), angle))
    return Binary("mul", half, half)
