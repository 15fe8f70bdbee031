"""OpenQASM 3: read by way of Q#, with real numbers for its angles, and written from programs."""

import math
import os
import re

from diffquantum.compiler import Source, double, source_error
from diffquantum.errors import UnsupportedError

# Gates with angles and the arithmetic of angles, with `Double` for the fixed-point numbers that no derivative passes.
# U is that of OpenQASM 3: U(a, b, c) = exp(i (a + b + c) / 2) Rz(b) Ry(a) Rz(c).
_TURNS = """
    operation gphase(a : Double) : Unit is Adj + Ctl { body ... { Exp([], a, []); } adjoint auto; controlled auto;
        controlled adjoint auto; }
    operation U(a : Double, b : Double, c : Double, q : Qubit) : Unit is Adj + Ctl {
        Rz(c, q); Ry(a, q); Rz(b, q); gphase((a + b + c) / 2.0); }
    operation p(a : Double, q : Qubit) : Unit is Adj + Ctl { R1(a, q); }
    operation rx(a : Double, q : Qubit) : Unit is Adj + Ctl { Rx(a, q); }
    operation ry(a : Double, q : Qubit) : Unit is Adj + Ctl { Ry(a, q); }
    operation rz(a : Double, q : Qubit) : Unit is Adj + Ctl { Rz(a, q); }
    operation crx(a : Double, c : Qubit, q : Qubit) : Unit is Adj + Ctl { Controlled Rx([c], (a, q)); }
    operation cry(a : Double, c : Qubit, q : Qubit) : Unit is Adj + Ctl { Controlled Ry([c], (a, q)); }
    operation crz(a : Double, c : Qubit, q : Qubit) : Unit is Adj + Ctl { Controlled Rz([c], (a, q)); }
    operation cp(a : Double, c : Qubit, q : Qubit) : Unit is Adj + Ctl { Controlled R1([c], (a, q)); }
    operation phase(a : Double, q : Qubit) : Unit is Adj + Ctl { R1(a, q); }
    operation cphase(a : Double, c : Qubit, q : Qubit) : Unit is Adj + Ctl { Controlled R1([c], (a, q)); }
    operation u1(a : Double, q : Qubit) : Unit is Adj + Ctl { R1(a, q); }
    operation cu1(a : Double, c : Qubit, q : Qubit) : Unit is Adj + Ctl { Controlled R1([c], (a, q)); }
    operation u2(b : Double, c : Double, q : Qubit) : Unit is Adj + Ctl { u3(Std.Math.PI() / 2.0, b, c, q); }
    operation u3(a : Double, b : Double, c : Double, q : Qubit) : Unit is Adj + Ctl {
        Rz(c, q); Ry(a, q); Rz(b, q); }
    operation cu3(a : Double, b : Double, c : Double, d : Qubit, q : Qubit) : Unit is Adj + Ctl {
        R1((b + c) / 2.0, d); Controlled u3([d], (a, b, c, q)); }
    operation cu(a : Double, b : Double, c : Double, g : Double, d : Qubit, q : Qubit) : Unit is Adj + Ctl {
        R1(g + (b + c) / 2.0, d); Controlled u3([d], (a, b, c, q)); }
    operation rxx(a : Double, q : Qubit, r : Qubit) : Unit is Adj + Ctl { Rxx(a, q, r); }
    operation ryy(a : Double, q : Qubit, r : Qubit) : Unit is Adj + Ctl { Ryy(a, q, r); }
    operation rzz(a : Double, q : Qubit, r : Qubit) : Unit is Adj + Ctl { Rzz(a, q, r); }
    operation rzx(a : Double, q : Qubit, r : Qubit) : Unit is Adj + Ctl {
        within { H(r); } apply { Rzz(a, q, r); } }
    operation r(a : Double, b : Double, q : Qubit) : Unit is Adj + Ctl {
        within { Adjoint Rz(b, q); } apply { Rx(a, q); } }
"""
_NUMBERS = """
    function DoubleAsAngle(a : Double, size : Int) : Double { a }
    function AngleAsDouble(a : Double) : Double { a }
    function AddAngles(a : Double, b : Double) : Double { a + b }
    function SubtractAngles(a : Double, b : Double) : Double { a - b }
    function MultiplyAngleByInt(a : Double, n : Int) : Double { a * Std.Convert.IntAsDouble(n) }
    function DivideAngleByInt(a : Double, n : Int) : Double { a / Std.Convert.IntAsDouble(n) }
    function NegAngle(a : Double) : Double { -a }
"""
_PLAIN = (
    "CX x y z h s sdg t tdg sx cx cy cz ch swap ccx cswap id dcx ecr cs csdg sxdg csx rccx c3sqrtx c3x rc3x ccz "
    "__quantum__qis__barrier__body"
)
_SPACES = (
    "namespace GradketQasm { import "
    + ", ".join(f"Std.OpenQASM.Intrinsic.{name}" for name in _PLAIN.split())
    + f"; export {', '.join(_PLAIN.split())};"
    + _TURNS
    + "} namespace GradketAngle {"
    + _NUMBERS
    + "}"
)
_KNOWN = set(re.findall(r"function (\w+)", _NUMBERS))


_MATH = {
    "sin": "Sin", "cos": "Cos", "tan": "Tan", "arcsin": "ArcSin", "arccos": "ArcCos", "arctan": "ArcTan",
    "sqrt": "Sqrt", "log": "Log",
}  # fmt: skip


def to_source(text: str, name: str, file: str | None = None) -> tuple[Source, dict[str, int]]:
    """OpenQASM 3 as Q#: an operation `name` of the inputs and the qubits.

    Args:
        text: the OpenQASM text.
        name: name of the operation.
        file: where it was read from, for messages and for `include`.

    Returns:
        The Q# text, and the lengths of its registers by name.

    Raises:
        SourceError: the text is not OpenQASM 3; with line and column.
        UnsupportedError: it looks at the digits of an angle.
    """
    os.environ.setdefault("QDK_PYTHON_TELEMETRY", "none")
    from qdk import _fs, _http, _native, openqasm

    real = _angles_as_floats(text)

    def convert(text: str) -> str:
        files = (_fs.read_file, _fs.list_directory, _fs.resolve, _http.fetch_github)
        settings = {"name": name, "search_path": os.path.dirname(file) if file else "."}
        return _native.compile_qasm_to_qsharp(text, *files, program_type=openqasm.ProgramType.Operation, **settings)

    try:
        try:
            out = convert(real)
        except BaseException as error:
            if "must be const" not in str(error):
                raise
            real = _functions_as_subroutines(real)
            out = convert(real)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:
        place = re.search(r"program\.qasm:(\d+):(\d+)\]", str(error))
        at = (int(place.group(1)), int(place.group(2))) if place else None
        raise source_error(error, Source(text, file), at) from None
    for word in set(re.findall(r"\w+ gradket_(\w+)\(x : Double\)", out)):
        out, found = re.subn(
            rf"(gradket_{word}\(x : Double\) : Double \{{\s*return )x;", rf"\1Std.Math.{_MATH[word]}(x);", out
        )
        assert found == 1, out
    out = _numbers_for_angles(out)
    out = "import GradketQasm.*;\n" + re.sub(r" *import Std\.OpenQASM\.Intrinsic\.\*;\n", "", out)
    lengths = {n: int(k) for n, k in re.findall(r"if Std\.Core\.Length\((\w+)\) != (\d+) \{", out)}
    for bits in dict.fromkeys(re.findall(r"mutable (\w+) = (?:\[Zero|Std\.Measurement\.MeasureEachZ)", out)):
        out = _split_bits(out, bits, lengths)
    return Source(out, None, None, _SPACES), lengths


def _angles_as_floats(text: str) -> str:
    """The type `angle` as `float`, and numbers as sums, which the reader does not turn into angles below 2 pi."""
    skip = r'//[^\n]*|/\*.*?\*/|"[^"\n]*"|\bOPENQASM[^;]*;'
    number = r"(?<![\w.])(?P<number>\d+\.\d*(?:[eE][+-]?\d+)?)(?![\w.])"

    def change(found: re.Match) -> str:
        if found["number"]:
            return f"({found['number']} + 0.0)"
        return "float".ljust(len(found.group())) if found["angle"] else found.group()

    return re.sub(rf"{skip}|{number}|(?P<angle>\bangle\b(?:\s*\[[^\]]*\])?)", change, text, flags=re.DOTALL)


def _functions_as_subroutines(text: str) -> str:
    """Functions of numbers that are not constant, which the reader has none of, as subroutines to be filled in."""
    used = [w for w in _MATH if re.search(rf"\b{w}\s*\(", text)]
    text = re.sub(rf"\b({'|'.join(used)})\s*\(", r"gradket_\1(", text) if used else text
    head = re.search(r"OPENQASM[^;]*;", text)
    defs = "".join(f" def gradket_{w}(float x) -> float {{ return x; }}" for w in used)
    at = head.end() if head else 0
    return text[:at] + defs + text[at:]


def _numbers_for_angles(text: str) -> str:
    """Real numbers for the fixed-point angles of a Q# text."""

    def constant(found: re.Match) -> str:
        return f"({double(int(found.group(1)) / 2 ** int(found.group(2)) * 2 * math.pi)})"

    text = re.sub(r"new Std\.OpenQASM\.Angle\.Angle \{\s*Value = (\d+),\s*Size = (\d+)\s*\}", constant, text)
    text = re.sub(r"Std\.OpenQASM\.Angle\.Angle\b", "Double", text)
    for name in set(re.findall(r"Std\.OpenQASM\.Angle\.(\w+)", text)) - _KNOWN:
        raise UnsupportedError(
            "The program looks at the digits of an angle.",
            got=name,
            expected="sums, multiples and parts of angles",
            try_="use float in place of angle",
        )
    return text.replace("Std.OpenQASM.Angle.", "GradketAngle.")


def _split_bits(text: str, name: str, lengths: dict[str, int]) -> str:
    """One variable for each bit of a `bit[n]`, where its bits are always named by numbers: loops may then set them."""
    start = re.search(rf"mutable {name} = \[([^\]]*)\];", text)
    whole = re.search(rf"mutable {name} = Std\.Measurement\.MeasureEachZ\((\w+)\);", text)
    count = len(start.group(1).split(",")) if start else lengths.get(whole.group(1), 0) if whole else 0
    indices = re.findall(rf"(?<![.\w]){name}\[([^\]]*)\]", text)
    if not count or len(re.findall(rf"mutable {name} =", text)) > 1 or re.search(rf"(?<![.\w]){name}\s*:", text):
        return text
    if not all(i.isdigit() and int(i) < count for i in indices):
        return text
    each = [f"{name}_bit{i}" for i in range(count)]
    if whole and not start:
        text = text.replace(
            whole.group(),
            f"let {name}_bits = {whole.group().split(' = ')[1]}"
            + "".join(f" mutable {bit} = {name}_bits[{i}];" for i, bit in enumerate(each)),
        )
    else:
        values = start.group(1).split(",") if start else []
        text = text.replace(
            start.group() if start else "", " ".join(f"mutable {b} = {v.strip()};" for b, v in zip(each, values))
        )
    sets = " ".join(f"set {bit} = {name}_bits[{i}];" for i, bit in enumerate(each))
    text = re.sub(rf"set {name} = ([^;]*);", rf"let {name}_bits = \1; {sets}", text)
    text = re.sub(rf"(?<![.\w]){name}\[(\d+)\]", rf"{name}_bit\1", text)
    return re.sub(rf"(?<![.\w]){name}(?![\w\[(.])", f"[{', '.join(each)}]", text)
