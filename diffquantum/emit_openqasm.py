"""Programs as OpenQASM 3 text, loops that wait for a measurement included."""

from diffquantum.errors import UnsupportedError
from diffquantum.infix import identifier
from diffquantum.ir import (
    Assign,
    Binary,
    Block,
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
    walk,
)
from diffquantum.opcodes import choose
from diffquantum.transform.simplify import type_of, variable_types

_GATES = {"s_adj": "sdg", "t_adj": "tdg", "sx_adj": "inv @ sx"}
_DEFINITIONS = {
    "rxx": "gate rxx(angle_) a, b { h a; h b; cx a, b; rz(angle_) b; cx a, b; h a; h b; }",
    "ryy": "gate ryy(angle_) a, b { sx a; sx b; cx a, b; rz(angle_) b; cx a, b; inv @ sx a; inv @ sx b; }",
    "rzz": "gate rzz(angle_) a, b { cx a, b; rz(angle_) b; cx a, b; }",
}
_SIGNS = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "mod": "%", "pow": "**", "eq": "==", "ne": "!=", "lt": "<",
    "le": "<=", "gt": ">", "ge": ">=", "shl": "<<", "shr": ">>",
}  # fmt: skip
_LOGIC = {"and": ("&&", "&"), "or": ("||", "|"), "xor": ("!=", "^")}
_FUNCTIONS = {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}
_WORDS = {bool: "bool", int: "int", float: "float"}
_START = {bool: "false", int: "0", float: "0.0"}
_TAKEN = (
    "OPENQASM include defcalgrammar def cal defcal gate extern box let break continue if else end return for while in "
    "switch case default pragma input output const readonly mutable qreg qubit creg bool bit int uint float angle "
    "complex array void duration stretch gphase inv pow ctrl negctrl dim durationof delay reset measure barrier true "
    "false im pi tau euler sin cos tan arcsin arccos arctan exp log sqrt mod popcount ceiling floor rotl rotr real "
    "imag sizeof U CX p x y z h s sdg t tdg sx rx ry rz cx cy cz cp crx cry crz ch swap ccx cswap cu phase cphase id "
    "u1 u2 u3 cu1 cu3 rxx ryy rzz dcx ecr r rzx cs csdg sxdg csx rccx c3sqrtx c3x rc3x ccz"
)


def to_openqasm(program: Program) -> str:
    """Write a program as OpenQASM 3: parameters are `input float`, what it returns `output`.

    The qubits of the register come first, in a register of their own.

    Args:
        program: a program without calls.

    Returns:
        OpenQASM text; `diffquantum.load` of it gives a program with the same mean (a parameter that has the name of a
        gate gets a number behind it).

    Raises:
        UnsupportedError: the program has calls, or truncates a float.

    Example:
        >>> from diffquantum.emit_openqasm import to_openqasm
        >>> from diffquantum.ir import Const, Gate, Measure, Parameter, Program, Var
        >>> body = (Gate("rx", (Const(0),), Parameter(0)), Measure(Const(0), "m"))
        >>> print(to_openqasm(Program("Flip", ("a",), 1, body, outputs=(Var("m"),), kind="result")))
        OPENQASM 3.0;
        include "stdgates.inc";
        input float a;
        qubit[1] q;
        output bit out;
        bool m = false;
        rx(a) q[0];
        m = measure q[0];
        out = m;
        <BLANKLINE>
    """
    return _Writer(program).text()


class _Writer:
    """One program; `before` collects the statements that an expression needs in front of its own."""

    def __init__(self, program: Program):
        self.program = program
        self.types = variable_types(program)
        self.taken: set[str] = {*_TAKEN.split()}
        self.parameters = [identifier(p, self.taken) for p in program.parameters]
        self.own = [q for q in range(program.qubits) if q not in program.register]
        first, rest = identifier("q", self.taken), identifier("own", self.taken)
        place = {q: (first, i) for i, q in enumerate(program.register)}
        place |= {q: (rest if program.register else first, i) for i, q in enumerate(self.own)}
        self.place = {q: f"{name}[{i}]" for q, (name, i) in place.items()}
        lengths = (
            [(first, len(program.register)), (rest, len(self.own))] if program.register else [(first, len(self.own))]
        )
        self.registers = [(name, n) for name, n in lengths if n]
        self.names = {v: identifier(v, self.taken) for v in self.types}
        self.before: list[str] = []

    def text(self) -> str:
        program = self.program
        kinds = [type_of(e, self.types) for e in program.outputs]
        named = [identifier("out" if len(kinds) == 1 else f"out{i}", self.taken) for i in range(len(kinds))]
        words = ["bit" if program.kind == "result" else _WORDS[k] for k in kinds]
        if program.kind == "results":
            name = identifier("out", self.taken)
            outputs = [f"output bit[{len(kinds)}] {name};"]
            named = [f"{name}[{i}]" for i in range(len(kinds))]
        else:
            outputs = [f"output {word} {name};" for word, name in zip(words, named)]
        gates = [
            _DEFINITIONS[g]
            for g in _DEFINITIONS
            if any(isinstance(s, Gate) and s.name == g for s in walk(program.body))
        ]
        body = [f"{_WORDS[k]} {self.names[v]} = {_START[k]};" for v, k in self.types.items()]
        body += self.block(program.body)
        for name, e, kind in zip(named, program.outputs, kinds):
            value = self.value(e, kind)
            body += [*self.taken_before(), f"{name} = {value};"]
        if not program.outputs and self.types:  # variables outside of a block would be what the program returns
            body = ["{", *("    " + line for line in body), "}"]
        head = ["OPENQASM 3.0;", 'include "stdgates.inc";', *gates]
        head += [f"input float {p};" for p in self.parameters] + [f"qubit[{n}] {name};" for name, n in self.registers]
        return "\n".join([*head, *outputs, *body]) + "\n"

    # ------------------------------------------------------------------------------------ statements

    def taken_before(self) -> list[str]:
        """The statements that the expressions since the last call need."""
        lines, self.before = self.before, []
        return lines

    def block(self, block: Block) -> list[str]:
        out = []
        for s in block:
            lines = self.statement(s)
            out += [*self.taken_before(), *lines] if not isinstance(s, If | While) else lines
        return out

    def inner(self, block: Block) -> list[str]:
        return ["    " + line for line in self.block(block)]

    def statement(self, s: Statement) -> list[str]:
        match s:
            case Gate(name, qubits, angle):
                turn = "" if angle is None else f"({self.value(angle, float)})"
                return [f"{_GATES.get(name, name)}{turn} {', '.join(map(self.qubit, qubits))};"]
            case Measure(qubit, target, reset):
                line = f"{self.names[target]} = measure {self.qubit(qubit)};"
                return [line, f"reset {self.qubit(qubit)};"] if reset else [line]
            case Reset(qubit):
                return [f"reset {self.qubit(qubit)};"]
            case Assign(target, value):
                return [f"{self.names[target]} = {self.value(value, self.types[target])};"]
            case If(condition, then, otherwise):
                test = self.value(condition, bool)
                lines = [*self.taken_before(), f"if ({test}) {{", *self.inner(then)]
                return [*lines, "} else {", *self.inner(otherwise), "}"] if otherwise else [*lines, "}"]
            case While(before, condition, body):
                return self.loop(before, condition, body)
        raise _unsupported("a call")

    def loop(self, before: Block, condition: Expression, body: Block) -> list[str]:
        first = self.block(before)
        test = self.value(condition, bool)
        first += self.taken_before()
        if len(first) <= 2:
            again = [*self.inner(body), *("    " + line for line in first)]
            return [*first, f"while ({test}) {{", *again, "}"]
        stop = [f"if ({test[1:] if test[0] == '!' and ' ' not in test else f'!({test})'}) {{", "    break;", "}"]
        return ["while (true) {", *("    " + line for line in [*first, *stop]), *self.inner(body), "}"]

    def qubit(self, e: Expression) -> str:
        if isinstance(e, Const):
            return self.place[int(e.value)]
        if len(self.registers) > 1 or self.program.register not in ((), tuple(range(self.program.qubits))):
            raise _unsupported("a qubit chosen at run time, besides a register")
        return f"{self.registers[0][0]}[{self.value(e, int)}]"

    # ------------------------------------------------------------------------------------ expressions

    def value(self, e: Expression, wanted: type, inside: bool = False) -> str:
        """The text of an expression as a value of the wanted type; in brackets where it is inside another."""
        kind = type_of(e, self.types)
        if isinstance(e, Const):
            text = repr(wanted(e.value)).lower()
            return f"({text})" if inside and text.startswith("-") else text
        if kind is not wanted and wanted is not bool:
            return f"{_WORDS[wanted]}({self.value(e, kind)})"
        match e:
            case Var(name):
                return self.names[name]
            case Parameter(index):
                return self.parameters[index]
            case Unary(op, x):
                return self.unary(op, x, kind)
            case Binary(op, x, y) if op not in ("min", "max"):
                text = self.binary(op, x, y)
                return f"({text})" if inside else text
            case Binary(op, x, y):
                return self.value(Select(Binary("le" if op == "min" else "ge", x, y), x, y), wanted)
            case Select(condition, yes, no):
                return self.select(condition, yes, no, kind)
            case Index(table, index):
                return self.value(choose(index, [Const(v) for v in table]), wanted, inside)
        raise AssertionError(e)

    def select(self, condition: Expression, yes: Expression, no: Expression, kind: type) -> str:
        """A choice becomes a variable that a branch sets."""
        name = identifier("choice", self.taken)
        test = self.value(condition, bool)
        lines, mine = [], self.taken_before()
        for part in (yes, no):
            text = self.value(part, kind)
            lines.append([*("    " + line for line in self.taken_before()), f"    {name} = {text};"])
        self.before = [*mine, f"{_WORDS[kind]} {name} = {_START[kind]};", f"if ({test}) {{", *lines[0]]
        self.before += ["} else {", *lines[1], "}"]
        return name

    def unary(self, op: str, x: Expression, kind: type) -> str:
        if op == "abs":
            return self.select(Binary("lt", x, Const(0)), Unary("neg", x), x, kind)
        if op == "trunc":
            raise _unsupported("the whole part of a float")
        if op == "float":
            return self.value(x, float)
        if op in ("neg", "not"):
            return f"{'-' if op == 'neg' else '!'}{self.value(x, kind, True)}"
        return f"{_FUNCTIONS.get(op, op)}({self.value(x, float)})"

    def binary(self, op: str, x: Expression, y: Expression) -> str:
        sides = {type_of(x, self.types), type_of(y, self.types)}
        inner = float if float in sides else int if int in sides else bool
        if op in _LOGIC:
            sign = _LOGIC[op][inner is not bool]
        else:
            sign = _SIGNS[op]
            inner = int if inner is bool and op not in ("eq", "ne") else inner
        left = self.value(x, inner, True)
        return f"{left} {sign} {self.value(y, inner, True)}"


def _unsupported(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"OpenQASM text is not written for {what}.",
        got=what,
        expected="gates, measurements, resets, arithmetic, branches and loops",
        try_="program.to_qsharp()",
    )
