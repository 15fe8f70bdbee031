"""Q# text to programs: the real compiler with opaque parameters."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

from diffquantum.check import check, with_sites
from diffquantum.compiler import PARAMETER, compile_qir, double
from diffquantum.errors import SourceError
from diffquantum.ir import Program
from diffquantum.qir import read
from diffquantum.simulate.crosscheck import crosscheck

WRAPPER = "GradketEntry"


@dataclasses.dataclass(frozen=True)
class Operation:
    """The signature of an operation in a Q# text.

    Args:
        name: its name.
        arguments: pairs of name and type, as written.
        returns: the type it returns, as written.
    """

    name: str
    arguments: tuple[tuple[str, str], ...]
    returns: str


def load(
    source: str | os.PathLike,
    entry: str | None = None,
    parameters: int | None = None,
    qubits: int | None = None,
    fixed: dict[str, Any] | None = None,
    check_shots: int = 0,
) -> Program:
    """Load a Q# operation as a differentiable program.

    The `Double` and `Double[]` arguments are the parameters, by name and in order. `Qubit` and `Qubit[]` arguments
    start in |0>; of an operation that returns `Unit` they are the register an observable acts on.

    Args:
        source: a path of a `.qs` file, or Q# text.
        entry: name of the operation; may be left out where the text has only one.
        parameters: number of parameters in all; needed where an argument is a `Double[]`.
        qubits: number of qubits of the register; needed where an argument is a `Qubit[]`.
        fixed: values of the `Int`, `Bool` and, if wanted, `Double` arguments, by name.
        check_shots: if positive, the exact mean is compared with that many shots of the Q# simulator.

    Returns:
        The program.

    Raises:
        SourceError: the text does not compile, or the operation or its arguments do not fit; with line and column.
        UnsupportedError: it compiles but has no meaning here.
        DifferentiationError: a parameter reaches a condition.

    Example:
        >>> import diffquantum
        >>> text = "operation Turn(angle : Double) : Result { use q = Qubit(); Ry(angle, q); MResetZ(q) }"
        >>> diffquantum.load(text, entry="Turn").parameters
        ('angle',)
    """
    text, file = _text(source)
    operation = find_operation(text, entry, file)
    values, names, register, allocate = _bind(operation, parameters, qubits, fixed or {}, file)
    call = f"{operation.name}({', '.join(values)})"
    unit = operation.returns == "Unit"
    if allocate:
        uses = " ".join(f"use {name} = {what};" for name, what in allocate)
        body = f"{call};" if unit else f"let out = {call}; {_resets(allocate)} out"
        wrapper = f"operation {WRAPPER}() : {operation.returns} {{ {uses} {body} }}"
        qir = compile_qir(text, wrapper, f"{WRAPPER}()", file)
        call = f"{{ {uses} {call}; {_readout(allocate)} }}" if unit else f"{{ {uses} {body} }}"
    else:
        qir = compile_qir(text, None, call, file)
    program = read(qir, operation.name.split(".")[-1], names, register if unit else (), text)
    program = with_sites(check(program))
    if check_shots:
        crosscheck(program, text, call, check_shots)
    return program


# ---------------------------------------------------------------------------------------------------- text


def _text(source: str | os.PathLike) -> tuple[str, str | None]:
    if isinstance(source, str) and ("\n" in source or "{" in source):
        return source, None
    path = Path(source)
    if not path.is_file():
        raise SourceError(
            "There is no such Q# file.",
            got=str(path),
            expected="a path of a .qs file, or Q# text",
            try_="check the path",
        )
    return path.read_text(encoding="utf-8"), str(path)


def _blank_comments(text: str) -> str:
    """The text with comments and strings replaced by spaces, so that places stay."""
    return re.sub(r'//[^\n]*|"(?:\\.|[^"\\])*"', lambda m: " " * len(m.group()), text)


def operations(text: str) -> tuple[Operation, ...]:
    """All operations and functions of a Q# text, in order."""
    plain = _blank_comments(text)
    found = []
    for start in re.finditer(r"\b(?:operation|function)\s+(\w+)\s*(?:<[^>]*>)?\s*\(", plain):
        end = _closing(plain, start.end() - 1)
        tail = re.match(r"\s*:\s*([^{]*?)\s*(?:\bis\b[^{]*)?\{", plain[end + 1 :])
        if tail:
            arguments = []
            for argument in _split(plain[start.end() : end]):
                name, _, kind = argument.partition(":")
                arguments.append((name.strip(), "".join(kind.split())))
            found.append(Operation(start.group(1), tuple(arguments), "".join(tail.group(1).split())))
    return tuple(found)


def _closing(text: str, start: int) -> int:
    depth = 0
    for i in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i
    return len(text)


def _split(text: str) -> list[str]:
    """Split at commas outside brackets."""
    out, depth, last = [], 0, 0
    for i, letter in enumerate(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            out.append(text[last:i])
            last = i + 1
    return [part for part in (*out, text[last:]) if part.strip()]


def find_operation(text: str, entry: str | None, file: str | None = None) -> Operation:
    """The operation with this name, or the only one.

    Raises:
        SourceError: there is none, or several and no name.
    """
    known = operations(text)
    names = [o.name for o in known]
    if entry is None and len(known) == 1:
        return known[0]
    for operation in known:
        if entry is not None and operation.name == entry.split(".")[-1]:
            return dataclasses.replace(operation, name=entry)
    raise SourceError(
        "No entry operation was named." if entry is None else f"There is no operation named {entry!r}.",
        got=repr(entry),
        expected=f"one of {', '.join(names)}" if names else "a text with an operation",
        try_=f'entry="{names[-1]}"' if names else "check the text",
        file=file,
    )


# ---------------------------------------------------------------------------------------------------- arguments


def _bind(
    operation: Operation, parameters: int | None, qubits: int | None, fixed: dict[str, Any], file: str | None
) -> tuple[list[str], tuple[str, ...], tuple[int, ...], list[tuple[str, str]]]:
    """Texts of the arguments, names of the parameters, register, and what to allocate."""
    arguments = [(name, kind) for name, kind in operation.arguments]
    free = [(name, kind) for name, kind in arguments if name not in fixed]
    unknown = set(fixed) - {name for name, _ in arguments}
    if unknown:
        raise _argument_error(operation, f"has no argument named {sorted(unknown)[0]!r}", sorted(fixed), file)
    scalars = sum(kind == "Double" for _, kind in free)
    length = _length(operation, free, "Double", parameters, scalars, file)
    width = _length(operation, free, "Qubit", qubits, sum(kind == "Qubit" for _, kind in free), file)
    texts: list[str] = []
    names: list[str] = []
    allocate: list[tuple[str, str]] = []
    count = 0
    for name, kind in arguments:
        if name in fixed:
            texts.append(_literal(operation, name, kind, fixed[name], file))
        elif kind == "Double":
            texts.append(f"{PARAMETER}({len(names)})")
            names.append(name)
        elif kind == "Double[]":
            texts.append("[" + ", ".join(f"{PARAMETER}({len(names) + i})" for i in range(length)) + "]")
            names.extend(f"{name}_{i}" for i in range(length))
        elif kind in ("Qubit", "Qubit[]"):
            texts.append(name)
            allocate.append((name, "Qubit()" if kind == "Qubit" else f"Qubit[{width}]"))
            count += 1 if kind == "Qubit" else width
        else:
            raise _argument_error(operation, f"needs a value for {name} : {kind}", sorted(fixed), file)
    return texts, tuple(names), tuple(range(count)), allocate


def _length(operation: Operation, free, kind: str, total: int | None, scalars: int, file: str | None) -> int:
    """Length of the only array argument of a kind, from the total number."""
    word = {"Double": "parameters", "Qubit": "qubits"}[kind]
    arrays = [name for name, k in free if k == f"{kind}[]"]
    if len(arrays) > 1:
        raise _argument_error(operation, f"has {len(arrays)} arrays of {kind}", arrays, file)
    if not arrays:
        if total is not None and total != scalars:
            raise SourceError(
                f"The number of {word} of {operation.name} is wrong.",
                got=f"{word}={total}",
                expected=f"{scalars}, the number of its {kind} arguments",
                try_=f"leave {word} out",
                file=file,
            )
        return 0
    if total is None or total <= scalars:
        raise SourceError(
            f"The length of {arrays[0]} : {kind}[] of {operation.name} is not known.",
            got=f"{word}={total}",
            expected=f"the number of {word} in all, more than {scalars}",
            try_=f"load(..., {word}={scalars + 2})",
            file=file,
        )
    return total - scalars


def _literal(operation: Operation, name: str, kind: str, value: Any, file: str | None) -> str:
    """A value as Q# text."""
    import numpy as np

    array = kind.endswith("[]")
    if array and isinstance(value, list | tuple | np.ndarray):
        return "[" + ", ".join(_literal(operation, name, kind[:-2], v, file) for v in value) + "]"
    if kind == "Bool" and isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if kind == "Int" and isinstance(value, int | np.integer) and not isinstance(value, bool):
        return str(int(value))
    if kind == "Double" and isinstance(value, int | float | np.floating) and np.isfinite(value):
        return double(float(value))
    raise _argument_error(operation, f"has an argument {name} : {kind}", repr(value), file)


def _argument_error(operation: Operation, what: str, got: Any, file: str | None) -> SourceError:
    signature = ", ".join(f"{name} : {kind}" for name, kind in operation.arguments)
    return SourceError(
        f"The operation {operation.name} {what}.",
        got=got,
        expected=f"arguments that fit {operation.name}({signature})",
        try_="fixed={name: value} for Int, Bool and constant arguments; at most one Double[] and one Qubit[]",
        file=file,
    )


def _resets(allocate: list[tuple[str, str]]) -> str:
    return " ".join(f"Reset({n});" if what == "Qubit()" else f"ResetAll({n});" for n, what in allocate)


def _readout(allocate: list[tuple[str, str]]) -> str:
    """Measurement of the whole register, as an expression."""
    return " + ".join(f"[MResetZ({n})]" if what == "Qubit()" else f"MResetEachZ({n})" for n, what in allocate)
