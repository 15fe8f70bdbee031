"""Vocabulary of QIR: opcodes, gates, constant tables, and the order of blocks."""

import math
import re
import struct

import pyqir

from diffquantum.errors import SourceError, UnsupportedError
from diffquantum.ir import FIXED, ROTATIONS, Binary, Const, Expression, Gate, Measure, OutputKind, Reset, Select

MATH = {
    "Sin": "sin", "Cos": "cos", "Tan": "tan", "ArcSin": "asin", "ArcCos": "acos", "ArcTan": "atan", "Sqrt": "sqrt",
    "Log": "log", "AbsD": "abs", "AbsI": "abs", "llvm.fabs.f64": "abs", "Truncate": "trunc",
}  # fmt: skip
INTEGER = {
    "ADD": "add", "SUB": "sub", "MUL": "mul", "SDIV": "div", "SREM": "mod", "AND": "and", "OR": "or", "XOR": "xor",
    "SHL": "shl", "ASHR": "shr",
}  # fmt: skip
FLOAT = {"FADD": "add", "FSUB": "sub", "FMUL": "mul", "FDIV": "div", "FREM": "mod"}
PREDICATE = {
    "EQ": "eq", "NE": "ne", "SLT": "lt", "SLE": "le", "SGT": "gt", "SGE": "ge",
    "OEQ": "eq", "ONE": "ne", "UNE": "ne", "OLT": "lt", "OLE": "le", "OGT": "gt", "OGE": "ge",
}  # fmt: skip
GATES = {"cnot": "cx", "s__adj": "s_adj", "t__adj": "t_adj", "sx__adj": "sx_adj", "ccnot": "ccx"}


def quantum(name: str, arguments: list[Expression]) -> list:
    """A gate, measurement or reset."""
    name = GATES.get(name, name)
    if name in ("m", "mz", "mresetz"):
        qubit, result = arguments
        if not isinstance(result, Const):
            raise unsupported("a measurement into a result chosen at run time")
        return [Measure(qubit, f"r{result.value}", name == "mresetz")]
    if name in ("barrier", "id"):
        return []
    if name == "reset":
        return [Reset(arguments[0])]
    if name in ROTATIONS:
        return [Gate(name, tuple(arguments[1:]), arguments[0])]
    if name in FIXED:
        return [Gate(name, tuple(arguments))]
    raise unsupported(f"the gate {name}")


def choose(index: Expression, choices: list[Expression]) -> Expression:
    """`choices[index]` as nested selections."""
    if isinstance(index, Const):
        return choices[int(index.value)]
    out = choices[-1]
    for i, choice in reversed(list(enumerate(choices[:-1]))):
        out = Select(Binary("eq", index, Const(i)), choice, out)
    return out


def opcode_of(instruction) -> str:
    """Name of the operation of an instruction, such as `FADD`."""
    return str(instruction.opcode).split(".")[-1]


def order(entry: str, blocks: dict[str, list]) -> list[str]:
    """Reachable blocks in reverse post-order: a definition comes before its uses."""
    seen, out = {entry}, []

    def targets(name: str) -> list[str]:
        last = blocks[name][-1]
        return [o.name for o in last.operands if isinstance(o, pyqir.BasicBlock)] if opcode_of(last) == "BR" else []

    stack = [(entry, iter(targets(entry)))]
    while stack:
        name, rest = stack[-1]
        for target in rest:
            if target not in seen:
                seen.add(target)
                stack.append((target, iter(targets(target))))
                break
        else:
            out.append(name)
            stack.pop()
    return out[::-1]


def tail_calls(name: str, blocks: dict[str, list]) -> dict[tuple[str, int], tuple[str, ...]]:
    """Places (block, position) where a function calls itself last, with the names of the arguments."""
    found = {}
    for block, instructions in blocks.items():
        for position, instruction in enumerate(instructions):
            if isinstance(instruction, pyqir.Call) and instruction.callee.name == name:
                rest, here = instructions[position + 1 :], block
                while len(rest) == 1 and opcode_of(rest[0]) == "BR" and len(rest[0].operands) == 1:
                    here = rest[0].operands[0].name
                    rest = blocks[here]
                returned = [o.name for o in rest[0].operands] if opcode_of(rest[0]) == "RET" else None
                if returned is not None and returned in ([], [instruction.name]):
                    found[block, position] = tuple(a.name for a in instruction.args)
    return found


def tables(text: str) -> dict[str, tuple[bool | int | float, ...]]:
    """Global constant arrays of numbers, qubits and results."""
    out = {}
    for found in re.finditer(r"@([\w.]+) = internal constant \[\d+ x (\w+)\] \[(.*)\]", text):
        name, kind, entries = found.groups()
        values: list[bool | int | float] = []
        for entry in entries.split(","):
            entry = entry.strip().removeprefix(kind).strip()
            if kind == "ptr":
                number = re.search(r"i64 (\d+)", entry)
                values.append(int(number.group(1)) if number else 0)
            elif kind == "i1":
                values.append(entry == "true")
            else:
                values.append(_double(entry) if kind == "double" else int(entry))
        out[name] = tuple(values)
    return out


def result_names(functions: dict[str, tuple[list[str], list]]) -> dict[str, frozenset[str]]:
    """Names of variables, arguments and values of each function that hold measurement results, as their uses show.

    A variable of results is read as one of bools: what it was set to stays when the result is measured again.

    Args:
        functions: names of the arguments, and instructions, of each function.

    Returns:
        The names by function; "return" is what it returns.
    """
    found: dict[str, set[str]] = {name: set() for name in functions}
    while True:
        before = sum(map(len, found.values()))
        for name, (arguments, code) in functions.items():
            for i in code:
                _note_results(i, found[name], set(arguments), found, functions)
        if sum(map(len, found.values())) == before:
            return {name: frozenset(names) for name, names in found.items()}


def _note_results(i, here: set[str], arguments: set[str], found: dict[str, set[str]], functions) -> None:
    """Add what one instruction tells."""
    opcode = opcode_of(i)

    def note(*values: pyqir.Value) -> None:
        here.update(v.name for v in values if isinstance(v, pyqir.Instruction) or v.name in arguments)

    if isinstance(i, pyqir.Call):
        callee = i.callee.name
        if callee in ("__quantum__rt__read_result", "__quantum__rt__result_record_output"):
            note(i.args[0])
        elif callee in functions:
            note(*(v for v, p in zip(i.args, functions[callee][0]) if p in found[callee]))
            if "return" in found[callee]:
                note(i)
            elif i.name in here:
                found[callee].add("return")
    elif opcode in ("LOAD", "GET_ELEMENT_PTR") and i.name in here:
        note(i.operands[0])
    elif opcode in ("LOAD", "GET_ELEMENT_PTR") and i.operands[0].name in here and i.operands[0].name:
        note(i)
    elif opcode == "STORE" and here & {i.operands[0].name, i.operands[1].name} - {""}:
        note(*i.operands)
    elif isinstance(i, pyqir.Phi) and i.name in here:
        note(*(v for v, _ in i.incoming))
    elif opcode == "SELECT" and i.name in here:
        note(*i.operands[1:])
    elif opcode == "RET" and i.operands and "return" in here:
        note(i.operands[0])


def plain_pointers(text: str) -> str:
    """QIR with typed pointers, as older profiles write it, with plain ones."""
    if "%Qubit" not in text and "%Result" not in text:
        return text
    text = re.sub(r"^%(Qubit|Result) = type .*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"(%Qubit|%Result|\bi8|\bi64|\bdouble|\bi1)\*", "ptr", text)
    return re.sub(r"ptr getelementptr inbounds \(\[\d+ x i8\], \[\d+ x i8\]\* (@\w+), i64 0, i64 0\)", r"ptr \1", text)


def _double(text: str) -> float:
    if text.startswith("0x"):
        return struct.unpack(">d", int(text, 16).to_bytes(8, "big"))[0]
    value = float(text)
    assert math.isfinite(value)
    return value


def kind_of(shape: list[tuple[str, int]], kinds: list[str]) -> OutputKind:
    """The type of what the operation returns, from the order of its records."""
    if shape == [("tuple", 0)]:
        return "unit"
    if not shape and len(kinds) == 1 and kinds[0] in ("result", "bool", "int", "double"):
        return kinds[0]  # type: ignore[return-value]
    if shape == [("array", len(kinds))] and set(kinds) == {"result"}:
        return "results"
    return "tuple"


NONSENSE = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def nonsense(error: Exception) -> SourceError:
    """The error for a text that the parser refuses, or that contradicts itself."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return SourceError(
        f"The text is no QIR that makes sense: {lines[0].removeprefix('error: ')}.",
        got=lines[1].strip() if len(lines) > 1 else type(error).__name__,
        expected="QIR of one entry point, with every value defined before it is used",
        try_="compile the program again, or correct this line",
    )


def unsupported(what: str) -> UnsupportedError:
    """The error for a construct that the compiler lets through and the reader does not know."""
    return UnsupportedError(
        f"The compiled program uses {what}.",
        got=what,
        expected="gates, measurements, resets, arithmetic, branches and loops",
        try_="write this part of the operation with simpler means",
    )
