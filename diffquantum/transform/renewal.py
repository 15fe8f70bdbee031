r"""Loops whose turns are independent trials: one turn says everything.

If every turn starts anew, with chance $p$ to be the last, the mean is $E = N / p$, $N$ the mean of what one turn adds.
"""

import dataclasses

from diffquantum.errors import UnsupportedError
from diffquantum.ir import (
    Assign,
    Binary,
    Block,
    Const,
    Expression,
    Gate,
    If,
    Measure,
    Parameter,
    Program,
    Reset,
    Unary,
    Var,
    While,
    reads,
    variables,
    walk,
    writes,
    written,
)
from diffquantum.transform.simplify import as_float, fresh, names, number, variable_types


@dataclasses.dataclass(frozen=True)
class Turn:
    r"""One turn of a loop that begins anew each time.

    Args:
        program: outputs what the turn adds to the number of the program, and 1 if it is the last turn.
        combined: with two more parameters $a, b$ it outputs $(\text{added} - a\, \text{last})\, b$.
        last: outputs 1 if the turn is the last.
        offset: what the number is before the first turn.
    """

    program: Program
    combined: Program
    last: Program
    offset: float


def one_turn(program: Program) -> Turn:
    """One turn of the loop of a program whose turns are independent trials.

    The quantum part: at the end of a turn the qubits of the loop are reset, or else the loop begins in one state only
    (which the exact semantics finds). The classical part: what is kept from turn to turn is only added to.

    Args:
        program: without calls, that returns one number.

    Raises:
        UnsupportedError: the turns of its loop depend on each other, or it has no loop, or a register.

    Example:
        >>> from diffquantum.ir import Assign, Binary, Const, Gate, Measure, Parameter, Program, Unary, Var, While
        >>> from diffquantum.transform.renewal import one_turn
        >>> q, n = Const(0), Assign("n", Binary("add", Var("n"), Const(1)))
        >>> loop = While((Gate("ry", (q,), Parameter(0)), Measure(q, "m", True), n), Unary("not", Var("m")), ())
        >>> count = Program("Count", ("t",), 1, (Assign("n", Const(0)), loop), (Var("n"),), "int")
        >>> [type(s).__name__ for s in one_turn(count).program.body]
        ['Assign', 'Gate', 'Measure', 'Assign', 'If']
    """
    prefix, loop, suffix = _parts(program)
    value = as_float(number(program), variable_types(program))
    carried = _carried(loop, suffix, value)
    slopes = _linear(program, value, carried)
    _check_sums(program, loop, suffix, carried)
    if not (_fresh_qubits(prefix, loop) or _one_state(program)):
        raise _refused(program, "its turns start from different quantum states")
    starts = {s.target: s.value for s in prefix if isinstance(s, Assign) and s.target in carried}
    if set(starts) != set(carried) or not all(isinstance(v, Const) for v in starts.values()):
        raise _refused(program, "what is counted does not start at a constant")
    taken = set(names(program))
    added, last = fresh("added", taken), fresh("last", taken)
    begin = tuple(
        Assign(s.target, _zero_like(s.value)) if isinstance(s, Assign) and s.target in carried else s for s in prefix
    )
    types = variable_types(program)
    sofar: Expression = Const(0.0)
    for name, slope in slopes.items():
        sofar = Binary("add", sofar, Binary("mul", Const(slope), as_float(Var(name), types)))
    going_on = (*loop.body, Assign(added, sofar), Assign(last, Const(0.0)))
    ending = (*suffix, Assign(added, value), Assign(last, Const(1.0)))
    body = (*begin, *loop.before, If(loop.condition, going_on, ending))
    plain = dataclasses.replace(program, body=body, outputs=(Var(added), Var(last)), kind="tuple", register=())
    count = len(program.parameters)
    level, scale = (fresh(n, set(program.parameters)) for n in ("level", "scale"))
    centred = Binary("sub", Var(added), Binary("mul", Parameter(count), Var(last)))
    combined = dataclasses.replace(
        plain,
        parameters=(*program.parameters, level, scale),
        outputs=(Binary("mul", centred, Parameter(count + 1)),),
        kind="double",
        guard=None,
    )
    offset = sum(slopes[n] * float(v.value) for n, v in starts.items())  # type: ignore[union-attr]
    return Turn(plain, combined, dataclasses.replace(plain, outputs=(Var(last),), kind="double"), offset)


def _refused(program: Program, why: str) -> UnsupportedError:
    return UnsupportedError(
        f"The loop of the program {program.name} is no repetition of independent trials: {why}.",
        got=program.name,
        expected="one loop that resets its qubits, and sums that only grow",
        try_="Roulette(), which needs no such thing",
    )


def _parts(program: Program) -> tuple[Block, While, Block]:
    """What comes before the only loop that measures, the loop, and what comes after it."""
    loops = [
        i
        for i, s in enumerate(program.body)
        if isinstance(s, While) and any(isinstance(inner, Measure) for inner in walk((s,)))
    ]
    if len(loops) != 1 or program.register:
        raise _refused(program, f"it has {len(loops)} loops" + (" and a register" if program.register else ""))
    (i,) = loops
    loop = program.body[i]
    assert isinstance(loop, While)
    return program.body[:i], loop, program.body[i + 1 :]


# ---------------------------------------------------------------------------------------------------- classical part


def _first_reads(block: Block, known: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Variables that may be read before the block sets them, and those that are set after it."""
    found: frozenset[str] = frozenset()
    for s in block:
        match s:
            case If(condition, then, otherwise):
                found |= variables(condition) - known
                (a, one), (b, two) = _first_reads(then, known), _first_reads(otherwise, known)
                found, known = found | a | b, one & two
            case While(before, condition, body):
                a, known = _first_reads(before, known)
                found |= a | (variables(condition) - known) | _first_reads(body, known)[0]
            case _:
                found |= frozenset().union(*(variables(e) for e in reads(s))) - known
                known |= frozenset(writes(s))
    return found, known


def _carried(loop: While, suffix: Block, value: Expression) -> frozenset[str]:
    """The variables that one turn leaves to the next, or to the end."""
    first, known = _first_reads(loop.before, frozenset())
    again, _ = _first_reads(loop.body, known)
    after, end = _first_reads(suffix, known)
    read = first | again | after | (variables(value) - end) | (variables(loop.condition) - known)
    return read & written((loop,))


def _linear(program: Program, e: Expression, carried: frozenset[str], factor: float = 1.0) -> dict[str, float]:
    """Constant slopes of an expression in some variables."""
    if not variables(e) & carried:
        return {}
    match e:
        case Var(name):
            return {name: factor}
        case Unary("float", x):
            return _linear(program, x, carried, factor)
        case Unary("neg", x):
            return _linear(program, x, carried, -factor)
        case Binary("mul", Const(c), x) | Binary("mul", x, Const(c)):
            return _linear(program, x, carried, factor * float(c))
        case Binary("add" | "sub" as op, x, y):
            a = _linear(program, x, carried, factor)
            b = _linear(program, y, carried, factor if op == "add" else -factor)
            return {n: a.get(n, 0.0) + b.get(n, 0.0) for n in a | b}
    raise _refused(program, "its number is not linear in what is summed up")


def _check_sums(program: Program, loop: While, suffix: Block, carried: frozenset[str]) -> None:
    """Refuse what is kept from turn to turn and is not only added to."""
    for s in walk((loop, *suffix)):
        match s:
            case Assign(x, Binary("add" | "sub", Var(y), more)) if x == y and x in carried:
                used = variables(more)
            case Assign(x, Binary("add", more, Var(y))) if x == y and x in carried:
                used = variables(more)
            case _:
                used = frozenset().union(*(variables(e) for e in reads(s))) | (carried & frozenset(writes(s)))
        if used & carried:
            raise _refused(program, f"{', '.join(sorted(used & carried))} is kept from turn to turn")
    if written(suffix) & carried:
        raise _refused(program, "a sum is changed after the loop")


def _zero_like(value: Expression) -> Const:
    assert isinstance(value, Const)
    return Const(type(value.value)(0))


# ---------------------------------------------------------------------------------------------------- quantum part


def _fresh_qubits(prefix: Block, loop: While) -> bool:
    """Whether all qubits of the loop are untouched before it, and reset last in every turn."""
    clean: dict[Expression, bool] = {}
    for s in walk((*prefix, *loop.before, *loop.body)):
        match s:
            case Gate(_, qubits):
                clean |= dict.fromkeys(qubits, False)
            case Measure(qubit, _, reset):
                clean[qubit] = reset
            case Reset(qubit):
                clean[qubit] = True
    plain = all(isinstance(q, Const) for q in clean)
    straight = not any(isinstance(s, If | While) and _quantum(s) for s in (*loop.before, *loop.body))
    return plain and straight and all(clean.values()) and not any(_quantum(s) for s in prefix)


def _quantum(statement) -> bool:
    return any(isinstance(s, Gate | Measure | Reset) for s in walk((statement,)))


def _one_state(program: Program) -> bool:
    """Whether the exact semantics finds one state and one memory at the head of the loop."""
    from diffquantum.simulate.density import Exact

    exact = Exact(program)
    if exact.system is None:
        return False
    graph = exact.system.graph
    heads = graph.heads()
    return len(heads) == 1 and int(exact.system.space.sizes[heads[0], 0]) == 1
