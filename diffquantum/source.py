"""Q# and OpenQASM to programs: the real compiler with opaque parameters."""

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffquantum.check import check, with_sites
from diffquantum.compiler import PARAMETER, UNROLLED, Source, compile_qir, double, may_be_probed
from diffquantum.errors import SourceError, UnsupportedError
from diffquantum.ir import Program
from diffquantum.openqasm import to_source
from diffquantum.probing import Guard, NotAffine, merge, probe_points
from diffquantum.qir import read
from diffquantum.signature import Operation, find_operation, operations
from diffquantum.simulate.crosscheck import crosscheck
from diffquantum.tidy import tidy

WRAPPER = "GradketEntry"


def load(
    source: str | os.PathLike,
    entry: str | None = None,
    parameters: int | Mapping[str, int] | None = None,
    qubits: int | Mapping[str, int] | None = None,
    fixed: Mapping[str, Any] | None = None,
    check_shots: int = 0,
    register: bool | None = None,
    time_limit: float | None = None,
) -> Program:
    """Load a Q# operation or an OpenQASM 3 program as a differentiable program.

    The `Double` and `Double[]` arguments (OpenQASM: `input float`, `input angle`) are the parameters, by name and in
    order. `Qubit` and `Qubit[]` arguments start in |0>; of an operation that returns `Unit` they are the register an
    observable acts on. An OpenQASM program returns its `output` variables, or else all its classical variables; one
    that has none prepares a state of all its qubits.

    Args:
        source: a path of a `.qs` or `.qasm` file or of a folder with `qsharp.json`; or a text in Q#, or in OpenQASM if
            it begins with `OPENQASM`.
        entry: name of the operation, with its namespace where that is needed; may be left out where there is only one.
        parameters: number of parameters in all, or the lengths of the `Double[]` arguments by name.
        qubits: number of qubits of the register, or the lengths of the `Qubit[]` arguments by name.
        fixed: values of the `Int`, `Bool`, `Pauli` and, if wanted, `Double` arguments, by name.
        check_shots: if positive, the exact mean is compared with that many shots of the Q# simulator.
        register: whether the qubits it is given are a register for observables; by default where it returns `Unit`.
        time_limit: seconds the compiler may take, then in a process of its own; `None` is no limit. It works through
            loops of constants, and one that never ends keeps it for ever.

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
    given, operation, sizes = _find(source, entry)
    if sizes is not None:  # the text says them
        named = {
            kind: {n: sizes[n] for n, k in operation.arguments if k == f"{kind}[]"} for kind in ("Double", "Qubit")
        }
        parameters, qubits = named["Double"] or parameters, named["Qubit"] or qubits
    bound = _bind(operation, parameters, qubits, fixed or {}, given.file)
    unit = operation.returns == "Unit"
    keep = unit if register is None else register
    call = f"{operation.name}({', '.join(bound.values)})"
    wrapper, checked = None, call
    if bound.allocate:
        uses = " ".join(f"use {name} = {what};" for name, what in bound.allocate)
        clean = f"let out = {call}; {_resets(bound.allocate)} out"
        body = f"{call};" if unit else f"let out = {call}; out" if keep else clean
        wrapper = f"operation {WRAPPER}() : {operation.returns} {{ {uses} {body} }}"
        checked = f"{{ {uses} {call}; {_readout(bound.allocate)} }}" if unit else f"{{ {uses} {clean} }}"
        call = f"{WRAPPER}()"
    job = _Job(given, operation, wrapper, call, bound.names, bound.register if keep else (), time_limit)
    program = with_sites(check(job.program()))
    if check_shots:
        crosscheck(program, given, checked, check_shots, measured=unit)
    return program


@dataclasses.dataclass(frozen=True)
class _Job:
    """What to compile, and how to name what comes out."""

    source: Source
    operation: Operation
    wrapper: str | None
    call: str
    names: tuple[str, ...]
    register: tuple[int, ...]
    seconds: float | None

    def program(self) -> Program:
        """The program: with opaque parameters; or with loops written out; or from numbers for the parameters."""
        try:
            return self.compiled()
        except SourceError as error:
            if not may_be_probed(error):
                raise
            for other in (lambda: self.compiled(UNROLLED), self.probed):
                try:
                    return other()
                except (SourceError, UnsupportedError, NotAffine):
                    continue
            raise

    def compiled(self, profile: str = "Adaptive") -> Program:
        return self.read(self.compile([(self.wrapper, self.call)], profile)[0])

    def probed(self) -> Program:
        """The program from those with numbers for the parameters."""
        points = probe_points(len(self.names))
        programs = self.at_points(points)
        guard = Guard(self, tuple(programs[: 2 * len(self.names) + 1]))
        return dataclasses.replace(tidy(merge(programs, points)), guard=guard)

    def at_points(self, points: np.ndarray) -> list[Program]:
        """The program with numbers for its parameters, for points `[points, params]`."""
        qirs = self.compile([(self.at(p, self.wrapper or "") or None, self.at(p, self.call)) for p in points])
        return [self.read(q) for q in qirs]

    def at(self, theta: np.ndarray, text: str) -> str:
        for i, value in enumerate(theta):
            text = text.replace(f"{PARAMETER}({i})", double(value))
        return text

    def compile(self, calls: list[tuple[str | None, str]], profile: str = "Adaptive") -> list[str]:
        place = (self.operation.line, self.operation.column) if self.operation.line else None
        return compile_qir(self.source, calls, profile, place, self.seconds)

    def read(self, qir: str) -> Program:
        return read(qir, self.operation.name.split(".")[-1], self.names, self.register, self.source.text)


# ---------------------------------------------------------------------------------------------------- text


def _find(source: str | os.PathLike, entry: str | None) -> tuple[Source, Operation, dict[str, int] | None]:
    """The text, the operation in it, and the lengths of its registers where the text says them."""
    if isinstance(source, str) and ("\n" in source or "{" in source or ";" in source):
        text, path = source, None
    else:
        path = Path(source)
        folder = path.parent if path.name == "qsharp.json" else path
        if (folder / "qsharp.json").is_file():
            return *_project(folder, entry), None
        if not path.is_file():
            raise SourceError(
                "There is no such Q# file.",
                got=str(path),
                expected="a path of a .qs or .qasm file or of a folder with qsharp.json, or a text",
                try_="check the path",
            )
        text = path.read_text(encoding="utf-8")
    file = None if path is None else str(path)
    qasm = (path is not None and path.suffix == ".qasm") or re.match(r"\s*(//[^\n]*\s*)*OPENQASM\b", text)
    if not qasm:
        return Source(text, file), find_operation(operations(text), entry, file), None
    name = entry or (re.sub(r"\W", "_", path.stem) if path else "Program")
    given, sizes = to_source(text, name, file)
    known = operations(given.text)
    found = next((o for o in known if o.name == name), known[-1] if name in given.text else known[0])
    return given, dataclasses.replace(found, line=0), sizes


def _project(folder: Path, entry: str | None) -> tuple[Source, Operation]:
    """The file of a project that has the operation."""
    known, files = [], {}
    for file in sorted((folder / "src").rglob("*.qs")):
        text = file.read_text(encoding="utf-8")
        space = ".".join(file.relative_to(folder / "src").with_suffix("").parts)
        for operation in operations(text, space):
            known.append(operation)
            files[operation] = (text, str(file))
    operation = find_operation(tuple(known), entry, str(folder))
    text, file = files[operation]
    return Source(text, file, str(folder)), operation


# ---------------------------------------------------------------------------------------------------- arguments


@dataclasses.dataclass(frozen=True)
class _Bound:
    """Texts of the arguments, names of the parameters, register, and what to allocate."""

    values: tuple[str, ...]
    names: tuple[str, ...]
    register: tuple[int, ...]
    allocate: tuple[tuple[str, str], ...]


def _bind(operation: Operation, parameters, qubits, fixed: Mapping[str, Any], file: str | None) -> _Bound:
    free = [(name, kind) for name, kind in operation.arguments if name not in fixed]
    unknown = set(fixed) - {name for name, _ in operation.arguments}
    if unknown:
        raise _argument_error(operation, f"has no argument named {sorted(unknown)[0]!r}", sorted(fixed), file)
    lengths = _lengths(operation, free, "Double", parameters, file) | _lengths(operation, free, "Qubit", qubits, file)
    texts: list[str] = []
    names: list[str] = []
    allocate: list[tuple[str, str]] = []
    count = 0
    for name, kind in operation.arguments:
        if name in fixed:
            texts.append(_literal(operation, name, kind, fixed[name], file))
        elif kind == "Double":
            texts.append(f"{PARAMETER}({len(names)})")
            names.append(name)
        elif kind == "Double[]":
            texts.append("[" + ", ".join(f"{PARAMETER}({len(names) + i})" for i in range(lengths[name])) + "]")
            names.extend(f"{name}_{i}" for i in range(lengths[name]))
        elif kind in ("Qubit", "Qubit[]"):
            texts.append(name)
            allocate.append((name, "Qubit()" if kind == "Qubit" else f"Qubit[{lengths[name]}]"))
            count += 1 if kind == "Qubit" else lengths[name]
        else:
            raise _argument_error(operation, f"needs a value for {name} : {kind}", sorted(fixed), file)
    return _Bound(tuple(texts), tuple(names), tuple(range(count)), tuple(allocate))


def _lengths(operation: Operation, free, kind: str, total, file: str | None) -> dict[str, int]:
    """Lengths of the array arguments of a kind: given by name, or what the total number leaves for the only one."""
    word = {"Double": "parameters", "Qubit": "qubits"}[kind]
    arrays = [name for name, k in free if k == f"{kind}[]"]
    scalars = sum(k == kind for _, k in free)
    if isinstance(total, Mapping):
        wrong = set(total) ^ set(arrays)
        if wrong or any(n < 1 for n in total.values()):
            raise SourceError(
                f"The lengths of the {kind}[] arguments of {operation.name} are wrong.",
                got=f"{word}={dict(total)}",
                expected=f"a positive number for each of {', '.join(arrays) or 'none'}",
                try_=f"{word}=" + str(dict.fromkeys(arrays, 2)),
                file=file,
            )
        return dict(total)
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
        return {}
    if total is None or total <= scalars:
        raise SourceError(
            f"The length of {arrays[0]} : {kind}[] of {operation.name} is not known.",
            got=f"{word}={total}",
            expected=f"the number of {word} in all, more than {scalars}",
            try_=f"load(..., {word}={scalars + 2})",
            file=file,
        )
    return {arrays[0]: total - scalars}


def _literal(operation: Operation, name: str, kind: str, value: Any, file: str | None) -> str:
    """A value as Q# text."""
    array = kind.endswith("[]")
    if array and isinstance(value, list | tuple | np.ndarray):
        return "[" + ", ".join(_literal(operation, name, kind[:-2], v, file) for v in value) + "]"
    if kind == "Bool" and isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if kind == "Int" and isinstance(value, int | np.integer) and not isinstance(value, bool):
        return str(int(value))
    if kind == "Double" and isinstance(value, int | float | np.floating) and np.isfinite(value):
        return double(float(value))
    if kind == "Pauli" and value in ("I", "X", "Y", "Z"):
        return f"Pauli{value}"
    raise _argument_error(operation, f"has an argument {name} : {kind}", repr(value), file)


def _argument_error(operation: Operation, what: str, got: Any, file: str | None) -> SourceError:
    signature = ", ".join(f"{name} : {kind}" for name, kind in operation.arguments)
    return SourceError(
        f"The operation {operation.name} {what}.",
        got=got,
        expected=f"arguments that fit {operation.name}({signature})",
        try_="fixed={name: value} for constants; parameters= and qubits={name: length} for several arrays",
        file=file,
    )


def _resets(allocate: tuple[tuple[str, str], ...]) -> str:
    return " ".join(f"Reset({n});" if what == "Qubit()" else f"ResetAll({n});" for n, what in allocate)


def _readout(allocate: tuple[tuple[str, str], ...]) -> str:
    """Measurement of the whole register, as an expression."""
    return " + ".join(f"[MResetZ({n})]" if what == "Qubit()" else f"MResetEachZ({n})" for n, what in allocate)
