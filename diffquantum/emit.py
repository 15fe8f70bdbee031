"""Programs and derivative programs as Q# text that the compiler accepts (Adaptive profile)."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from diffquantum.compiler import PARAMETER, PRELUDE, context, double
from diffquantum.errors import UnsupportedError
from diffquantum.infix import RESERVED, Infix, identifier, literal
from diffquantum.ir import (
    Assign,
    Block,
    Const,
    Expression,
    Gate,
    If,
    Index,
    Measure,
    Program,
    Reset,
    Statement,
    Unary,
    Var,
    While,
    children,
    parts,
    reads,
    walk,
    writes,
)
from diffquantum.probing import caution, kept
from diffquantum.transform.simplify import type_of, variable_types
from qml._core.errors import ShapeError

_GATES = {
    "rx": "Rx", "ry": "Ry", "rz": "Rz", "rxx": "Rxx", "ryy": "Ryy", "rzz": "Rzz", "h": "H", "x": "X", "y": "Y",
    "z": "Z", "s": "S", "s_adj": "Adjoint S", "t": "T", "t_adj": "Adjoint T", "sx": "SX", "sx_adj": "Adjoint SX",
    "cx": "CNOT", "cy": "CY", "cz": "CZ", "swap": "SWAP", "ccx": "CCNOT",
}  # fmt: skip
WRAPPER = "GradketRun"
_START = {bool: "false", int: "0", float: "0.0"}
_TYPES = {bool: "Bool", int: "Int", float: "Double"}


def to_qsharp(program: Program, given: Mapping[str, type] | None = None) -> str:
    """Write a program as Q#: one operation whose `Double` arguments are the parameters.

    A program with a register takes the register as its last argument `qs : Qubit[]`. Qubits of its own are released
    clean.

    Args:
        program: a program without calls, also a derivative program.
        given: variables that the program reads and does not set, with their types: further arguments, in that order,
            after the parameters.

    Returns:
        Q# text; `diffquantum.load` of it gives a program with the same meaning.

    Raises:
        UnsupportedError: the program has calls, or a function that Q# does not have.

    Example:
        >>> from diffquantum.emit import to_qsharp
        >>> from diffquantum.ir import Const, Gate, Measure, Parameter, Program, Var
        >>> body = (Gate("rx", (Const(0),), Parameter(0)), Measure(Const(0), "m", reset=True))
        >>> print(to_qsharp(Program("Flip", ("angle",), 1, body, outputs=(Var("m"),), kind="result")))
        operation Flip(angle : Double) : Result {
            use q0 = Qubit();
            Rx(angle, q0);
            let m = MResetZ(q0);
            m
        }
        <BLANKLINE>
    """
    return caution(program) + _Writer(program, given or {}).text()


def to_qir(program: Program, theta: Any = None) -> str:
    """Compile a program, also a derivative program, to QIR by way of its Q#.

    Args:
        program: a program without calls. One with a register starts it in |0>, and returns what it returns together
            with its register measured.
        theta: the parameters `[params]`; `None` leaves them open, as calls of a function that stands for them.

    Returns:
        QIR text (Adaptive profile); with `theta`, `qdk.simulation.run_qir` runs it.

    Raises:
        ShapeError: `theta` has the wrong length.
        UnsupportedError: the program has calls, or a function that Q# does not have.

    Example:
        >>> from diffquantum.emit import to_qir
        >>> from diffquantum.ir import Const, Gate, Measure, Parameter, Program, Var
        >>> body = (Gate("rx", (Const(0),), Parameter(0)), Measure(Const(0), "m", reset=True))
        >>> text = to_qir(Program("Flip", ("angle",), 1, body, outputs=(Var("m"),), kind="result"), [0.5])
        >>> "__quantum__qis__rx__body" in text and "double 0.5" in text
        True
    """
    count = len(program.parameters)
    if theta is not None and len(theta) != count:
        raise ShapeError(
            f"The program {program.name} has {count} parameters.",
            got=f"{len(theta)} numbers",
            expected=f"{count} numbers for {', '.join(program.parameters)}",
            try_="one number for each parameter, in order",
        )
    if theta is not None:
        kept(program, np.asarray(theta, float))
    values = [f"{PARAMETER}({i})" if theta is None else double(theta[i]) for i in range(count)]
    call = f"{program.name}({', '.join([*values, 'qs'] if program.register else values)})"
    with context() as compiler:
        compiler.eval(PRELUDE)
        compiler.eval(to_qsharp(program))
        if program.register:
            _, _, kind = _Writer(program, {})._answer()
            kind, run, first = ("", f"{call};", "") if kind == "Unit" else (f"{kind}, ", f"let x = {call};", "x, ")
            body = f"use qs = Qubit[{len(program.register)}]; {run} ({first}Std.Measurement.MResetEachZ(qs))"
            compiler.eval(f"operation {WRAPPER}() : ({kind}Result[]) {{ {body} }}")
            call = f"{WRAPPER}()"
        return str(compiler.compile(call))


class _Writer:
    """One program, with the names its parts get in the text."""

    def __init__(self, program: Program, given: Mapping[str, type]):
        self.program, self.given = program, given
        self.types = variable_types(program) | dict(given)
        every = [e for s in walk(program.body) for e in reads(s)] + list(program.outputs)
        self.uses = Counter(name for e in every for name in _occurrences(e))
        outside = Counter(name for e in program.outputs for name in _occurrences(e))
        self.merged = _merged(program.body, self.uses)
        self.lets = _lets(program.body, self.uses, outside) - self.merged
        self.taken = set(RESERVED) | {program.name}
        parameters = tuple(identifier(p, self.taken) for p in program.parameters)
        self.names = {v: identifier(v, self.taken) for v in self.types}
        results = self.lets & {s.target for s in walk(program.body) if isinstance(s, Measure)}
        self.infix = Infix(self.types, self.names, parameters, frozenset(results), self.taken)
        self.expression = self.infix.write
        self.own = [q for q in range(program.qubits) if q not in program.register]
        dynamic = any(not isinstance(q, Const) for s in walk(program.body) for q in _qubits(s))
        self.allocate, self.qubits = self._allocate_array() if dynamic else self._allocate()

    def _allocate(self) -> tuple[list[str], dict[int, str]]:
        """Lines that allocate the qubits, and the text of each qubit."""
        place = {q: f"qs[{i}]" for i, q in enumerate(self.program.register)}
        place |= {q: identifier(f"q{q}", self.taken) for q in self.own}
        return [f"use {place[q]} = Qubit();" for q in self.own], place

    def _allocate_array(self) -> tuple[list[str], dict[int, str]]:
        """The same where a qubit is chosen by a number: all qubits in one array."""
        self.array = identifier("all", self.taken)
        own = identifier("own", self.taken)
        order = [*self.program.register, *self.own]
        self.order = tuple(order.index(q) for q in range(self.program.qubits))
        whole = " + ".join((["qs"] if self.program.register else []) + ([own] if self.own else []))
        lines = [f"use {own} = Qubit[{len(self.own)}];"] if self.own else []
        return [*lines, f"let {self.array} = {whole};"], {q: f"{self.array}[{self.order[q]}]" for q in order}

    # ------------------------------------------------------------------------------------ the operation

    def text(self) -> str:
        program = self.program
        arguments = [f"{p} : Double" for p in self.infix.parameters]
        arguments += [f"{self.names[v]} : {_TYPES[kind]}" for v, kind in self.given.items()]
        arguments += ["qs : Qubit[]"] if program.register else []
        body, started = self._starts()
        lines = self.lines(body)
        lines += [f"Reset({self.qubits[q]});" for q in self.own if not self._clean(q)]
        before, answer, kind = self._answer()
        lines += before
        tables = [f"let {name} = [{', '.join(map(literal, t))}];" for (_, t), name in self.infix.tables.items()]
        lines = [
            *self.allocate,
            *(line for t in tables for line in _wrapped(t)),
            *started,
            *lines,
            *([answer] if answer else []),
        ]
        first = f"operation {program.name}({', '.join(arguments)}) : {kind} {{"
        return "\n".join([first, *("    " + line for line in lines), "}"]) + "\n"

    def _starts(self) -> tuple[Block, list[str]]:
        """Declarations of the variables; assignments of constants at the very start become their first values."""
        body = list(self.program.body)
        first: dict[str, str] = {}
        while body and isinstance(body[0], Assign) and isinstance(body[0].value, Const):
            first[body[0].target] = self.expression(body[0].value, self.types[body[0].target])
            body.pop(0)
        lines = [
            f"mutable {self.names[v]} = {first.get(v, _START[self.types[v]])};"
            for v in dict.fromkeys((*first, *self.types))
            if self.uses[v] and v not in self.merged and v not in self.lets and v not in self.given
        ]
        return tuple(body), lines

    def _clean(self, qubit: int) -> bool:
        """Whether a qubit is |0> at the end: the last statement that touches it puts it there."""
        last = [s for s in self.program.body if any(_touches(t, qubit) for t in walk((s,)))]
        if not last:
            return True
        return _leaves_clean(last[-1], qubit)

    def _answer(self) -> tuple[list[str], str, str]:
        """Lines before the answer, the answer, and its type."""
        program = self.program
        if not program.outputs:
            return [], "", "Unit"
        if program.kind in ("result", "results"):
            lines, bits = [], []
            for e in program.outputs:
                if isinstance(e, Var) and e.name in self.infix.results:
                    bits.append(self.names[e.name])
                    continue
                qubit = identifier("bit", self.taken)  # a bool becomes a result by way of a qubit
                lines += [f"use {qubit} = Qubit();", f"if {self.expression(e, bool)} {{", f"    X({qubit});", "}"]
                bits.append(f"MResetZ({qubit})")
            whole = bits[0] if program.kind == "result" else f"[{', '.join(bits)}]"
            return lines, whole, "Result" if program.kind == "result" else "Result[]"
        kinds = [type_of(e, self.types) for e in program.outputs]
        texts = [self.expression(e, k) for e, k in zip(program.outputs, kinds)]
        words = [_TYPES[k] for k in kinds]
        if len(texts) == 1:
            return [], texts[0], words[0]
        return [], f"({', '.join(texts)})", f"({', '.join(words)})"

    # ------------------------------------------------------------------------------------ statements

    def statement(self, s: Statement) -> list[str]:
        match s:
            case Gate(name, qubits, angle):
                arguments = [] if angle is None else [self.infix.angle(angle)]
                return [f"{_GATES[name]}({', '.join([*arguments, *map(self.qubit, qubits)])});"]
            case Measure(qubit, target, reset):
                if not self.uses[target]:
                    return [f"Reset({self.qubit(qubit)});"] if reset else [f"let _ = M({self.qubit(qubit)});"]
                if target in self.lets:
                    return [f"let {self.names[target]} = {self.measured(s)};"]
                return [f"set {self.names[target]} = {self.measured(s)} == One;"]
            case Reset(qubit):
                return [f"Reset({self.qubit(qubit)});"]
            case Assign(target, value):
                if not self.uses[target]:
                    return []
                word, name = "let" if target in self.lets else "set", self.names[target]
                return [f"{word} {name} = {self.expression(value, self.types[target], hint=f'{name}_table')};"]
            case If(condition, then, otherwise):
                return self.branch(condition, then, otherwise)
            case While():
                return self.loop(s)
        raise UnsupportedError(
            f"The program {self.program.name} has a statement that Q# text is not written for.",
            got=type(s).__name__,
            expected="gates, measurements, resets, assignments, branches and loops",
            try_="load the program from Q#: the front end writes calls out",
        )

    def branch(self, condition: Expression, then: Block, otherwise: Block) -> list[str]:
        lines = [f"if {self.expression(condition, bool)} {{", *self.block(then)]
        if otherwise:
            rest = self.block(otherwise)
            if len(otherwise) == 1 and isinstance(otherwise[0], If):
                inner = self.statement(otherwise[0])
                return [*lines, "} el" + inner[0], *inner[1:]]
            lines += ["} else {", *rest]
        return [*lines, "}"]

    def loop(self, s: While) -> list[str]:
        measure = s.before[0] if len(s.before) == 1 else None
        if isinstance(measure, Measure) and measure.target in self.merged:
            return [f"while {self.measured(measure)} == {_outcome(s.condition)} {{", *self.block(s.body), "}"]
        if not s.before:
            return [f"while {self.expression(s.condition, bool)} {{", *self.block(s.body), "}"]
        done = (
            s.condition.x if isinstance(s.condition, Unary) and s.condition.op == "not" else Unary("not", s.condition)
        )
        until = f"}} until {self.expression(done, bool)}"
        lines = ["repeat {", *self.block(s.before)]
        return [*lines, until + " fixup {", *self.block(s.body), "}"] if s.body else [*lines, until + ";"]

    def block(self, block: Block) -> list[str]:
        return ["    " + line for line in self.lines(block)]

    def lines(self, block: Block) -> list[str]:
        """The lines of a block; a measurement that only decides the next branch is written into its condition."""
        out: list[str] = []
        held: Measure | None = None
        for s in block:
            if isinstance(s, Measure) and s.target in self.merged:
                held = s
            elif held is not None and isinstance(s, If):
                start = f"if {self.measured(held)} == {_outcome(s.condition)} {{"
                out += [start, *self.statement(s)[1:]]
                held = None
            else:
                out += self.statement(s)
        return out

    def measured(self, s: Measure) -> str:
        return f"{'MResetZ' if s.reset else 'M'}({self.qubit(s.qubit)})"

    def qubit(self, e: Expression) -> str:
        if isinstance(e, Const):
            return self.qubits[int(e.value)]
        if self.order != tuple(range(len(self.order))):
            e = Index(self.order, e)
        return f"{self.array}[{self.expression(e, int, hint='places')}]"


# ------------------------------------------------------------------------------------------ text


def _wrapped(line: str, width: int = 112) -> list[str]:
    """A long table over several lines."""
    out = [""]
    for word in line.split(" "):
        if len(out[-1]) + len(word) > width:
            out.append("   ")
        out[-1] += (" " if out[-1] else "") + word
    return out


def _occurrences(e: Expression) -> list[str]:
    return [e.name] if isinstance(e, Var) else [name for part in parts(e) for name in _occurrences(part)]


def _qubits(s: Statement) -> tuple[Expression, ...]:
    match s:
        case Gate(_, qubits):
            return qubits
        case Measure(qubit) | Reset(qubit):
            return (qubit,)
        case _:
            return ()


def _touches(s: Statement, qubit: int) -> bool:
    return any(not isinstance(q, Const) or q.value == qubit for q in _qubits(s))


def _leaves_clean(s: Statement, qubit: int) -> bool:
    match s:
        case Reset(Const()) | Measure(Const(), _, True):
            return True
        case While(before, _, body):
            return all(_block_clean(b, qubit) for b in (before, body))
        case If(_, then, otherwise):
            return all(_block_clean(b, qubit) for b in (then, otherwise))
        case _:
            return False


def _block_clean(block: Block, qubit: int) -> bool:
    """Whether a block that starts with a clean qubit ends with one."""
    last = [s for s in block if any(_touches(t, qubit) for t in walk((s,)))]
    return not last or _leaves_clean(last[-1], qubit)


def _decides(block: Block, i: int, condition: Expression) -> str | None:
    """The variable that statement `i` of a block measures and that a condition right after it is about."""
    match block[i], condition:
        case Measure(_, target), Unary("not", Var(name)) | Var(name) if target == name:
            return target
    return None


def _outcome(condition: Expression) -> str:
    return "Zero" if isinstance(condition, Unary) else "One"


def _merged(body: Block, uses: Counter) -> set[str]:
    """Variables that only carry measurements into the conditions right after them."""
    pairs: Counter = Counter()
    sets: Counter = Counter(w for s in walk(body) for w in writes(s))
    blocks = [body, *(b for s in walk(body) for b in children(s))]
    for block in blocks:
        for i, s in enumerate(block):
            if isinstance(s, If) and i and (name := _decides(block, i - 1, s.condition)):
                pairs[name] += 1
            if isinstance(s, While) and len(s.before) == 1 and (name := _decides(s.before, 0, s.condition)):
                pairs[name] += 1
    return {v for v in pairs if pairs[v] == uses[v] == sets[v]}


def _lets(body: Block, uses: Counter, outside: Counter) -> set[str]:
    """Variables that are set once, and read only later in the same block."""
    sets: Counter = Counter(w for s in walk(body) for w in writes(s))
    found = set()
    for number, block in enumerate([body, *(b for s in walk(body) for b in children(s))]):
        later: Counter = Counter() if number else Counter(outside)
        for s in reversed(block):
            if isinstance(s, Assign | Measure) and sets[s.target] == 1 and later[s.target] == uses[s.target]:
                found.add(s.target)
            later.update(n for t in walk((s,)) for e in reads(t) for n in _occurrences(e))
    return found
