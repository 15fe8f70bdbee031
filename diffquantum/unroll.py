"""Loops over constants written out where their counter picks qubits: a gate on a known qubit is less to simulate."""

import dataclasses
import functools

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
    While,
    walk,
    written,
)
from diffquantum.tidy import rewrite, substitute

LONGEST = 2000  # statements that one loop may become

Known = dict[str, Expression]


@functools.lru_cache(maxsize=256)
def unrolled(program: Program) -> Program:
    """The same program without those loops that pick qubits by a counter and go round a known number of times.

    Args:
        program: without calls.

    Example:
        >>> from diffquantum.ir import Assign, Binary, Const, Gate, Program, Var, While
        >>> from diffquantum.unroll import unrolled
        >>> turn = (Gate("h", (Var("i"),)), Assign("i", Binary("add", Var("i"), Const(1))))
        >>> loop = While((), Binary("lt", Var("i"), Const(2)), turn)
        >>> body = unrolled(Program("Both", (), 2, (Assign("i", Const(0)), loop))).body
        >>> [s.qubits for s in body if isinstance(s, Gate)]
        [(Const(value=0),), (Const(value=1),)]
    """
    if not any(isinstance(s, While) and _picks(s) for s in walk(program.body)):
        return program
    return dataclasses.replace(program, body=tuple(_block(program.body, {})))


class _NotConstantError(Exception):
    """The loop depends on what is measured, or is too long."""


def _picks(loop: While) -> bool:
    """Whether a gate in the loop has a qubit that is not fixed."""
    return any(
        not isinstance(q, Const)
        for s in walk((loop,))
        if isinstance(s, Gate | Measure | Reset)
        for q in (s.qubits if isinstance(s, Gate) else (s.qubit,))
    )


def _block(block: Block, known: Known) -> list[Statement]:
    """Statements with what is known put in; `known` is what is known after them."""
    out: list[Statement] = []
    for statement in block:
        out += _statement(statement, known)
    return out


def _statement(statement: Statement, known: Known) -> list[Statement]:
    match statement:
        case While():
            if _picks(statement):
                after = dict(known)
                try:
                    turns = _turns(statement, after)
                except _NotConstantError:
                    pass
                else:
                    known.clear()
                    known.update(after)
                    return turns
            _forget(known, written((statement,)))
            inside = dict(known)
            before = tuple(_block(statement.before, inside))
            condition = substitute(statement.condition, inside)
            return [While(before, condition, tuple(_block(statement.body, inside)))]
        case If(condition, then, otherwise):
            condition = substitute(condition, known)
            if isinstance(condition, Const):
                return _block(then if condition.value else otherwise, known)
            branches = tuple(tuple(_block(b, dict(known))) for b in (then, otherwise))
            _forget(known, written((statement,)))
            return [If(condition, *branches)]
        case Assign(target, value):
            value = substitute(value, known)
            _forget(known, frozenset((target,)))
            if isinstance(value, Const):
                known[target] = value
            return [Assign(target, value)]
        case Measure(target=target):
            new = rewrite(statement, lambda e: substitute(e, known))
            _forget(known, frozenset((target,)))
            return [new]
        case _:
            return [rewrite(statement, lambda e: substitute(e, known))]


def _turns(loop: While, known: Known) -> list[Statement]:
    """All turns of a loop, if what is known decides them."""
    out: list[Statement] = []
    while True:
        out += _block(loop.before, known)
        condition = substitute(loop.condition, known)
        if not isinstance(condition, Const) or len(out) > LONGEST:
            raise _NotConstantError
        if not condition.value:
            return out
        out += _block(loop.body, known)


def _forget(known: Known, names: frozenset[str]) -> None:
    for name in names:
        known.pop(name, None)
