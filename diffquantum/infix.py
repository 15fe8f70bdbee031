"""Classical expressions as Q# text."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from diffquantum.ir import Binary, Const, Expression, Index, Parameter, Select, Unary, Var
from diffquantum.transform.simplify import type_of

FUNCTIONS = {
    "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "ArcSin", "acos": "ArcCos", "atan": "ArcTan", "sqrt": "Sqrt",
    "log": "Log", "trunc": "Truncate",
}  # fmt: skip
# sign in the text, how strongly it binds, how strongly the left and the right side must bind to stand without brackets
BOOL = {"or": ("or", 1, 1, 2), "and": ("and", 2, 2, 3), "xor": ("!=", 3, 4, 4)}
NUMBER = {
    "eq": ("==", 3, 4, 4), "ne": ("!=", 3, 4, 4), "lt": ("<", 3, 4, 4), "le": ("<=", 3, 4, 4), "gt": (">", 3, 4, 4),
    "ge": (">=", 3, 4, 4), "or": ("|||", 4, 6, 6), "xor": ("^^^", 4, 6, 6), "and": ("&&&", 4, 6, 6),
    "shl": ("<<<", 5, 6, 6), "shr": (">>>", 5, 6, 6), "add": ("+", 6, 6, 7), "sub": ("-", 6, 6, 7),
    "mul": ("*", 7, 7, 8), "div": ("/", 7, 7, 8), "mod": ("%", 7, 7, 8), "pow": ("^", 9, 10, 10),
}  # fmt: skip
CHOICE, PREFIX, ATOM = 0, 8, 10
ANGLES = {
    sign * math.pi / divisor: ("-" if sign < 0 else "") + "Std.Math.PI()" + (f" / {divisor}.0" if divisor > 1 else "")
    for sign in (1, -1)
    for divisor in (1, 2, 4)
}
_WORDS = (
    "adj and apply as auto body borrow break continue controlled Controlled Adjoint distribute elif else export fail "
    "false fixup for function functor if import in internal intrinsic invert is let mutable namespace new newtype not "
    "open operation or qs repeat return self set struct true until use while within Std One Zero PauliI PauliX PauliY "
    "PauliZ Qubit Result Int Double Bool Unit M MResetZ Reset H X Y Z S T SX CNOT CY CZ SWAP CCNOT Rx Ry Rz Rxx Ryy "
    "Rzz"
)
RESERVED = frozenset(_WORDS.split())


@dataclass(frozen=True)
class Infix:
    """Writes expressions; collects the tables they look up.

    Args:
        types: type of every variable.
        names: what a variable is called in the text.
        parameters: what a parameter is called in the text.
        results: the variables that the text holds as `Result`, not `Bool`.
        taken: names in use; names of tables are added.
        tables: the tables found so far with their names; filled.
    """

    types: Mapping[str, type]
    names: Mapping[str, str]
    parameters: tuple[str, ...]
    results: frozenset[str]
    taken: set[str]
    tables: dict[tuple, str] = field(default_factory=dict)

    def write(self, e: Expression, wanted: type, level: int = 0, hint: str = "table") -> str:
        """The text of an expression, as a value of the wanted type.

        Args:
            e: the expression.
            wanted: `bool`, `int` or `float`.
            level: how strongly the text must bind to stand without brackets.
            hint: what to call a table that is new.
        """
        kind = type_of(e, self.types)
        if isinstance(e, Const):
            text = literal(wanted(e.value))
            return f"({text})" if level and text.startswith("-") else text
        if kind is bool and wanted is not bool:
            yes, no = literal(wanted(1)), literal(wanted(0))
            return f"({self.write(e, bool, 2, hint)} ? {yes} | {no})"
        if kind is int and wanted is float:
            return f"Std.Convert.IntAsDouble({self.write(e, int, 0, hint)})"
        text, own = self._plain(e, kind, hint)
        return f"({text})" if own < level else text

    def angle(self, e: Expression) -> str:
        """The text of an angle; simple parts of pi by name."""
        if isinstance(e, Const) and e.value in ANGLES:
            return ANGLES[float(e.value)]
        return self.write(e, float, 0, "angles")

    def _plain(self, e: Expression, kind: type, hint: str) -> tuple[str, int]:
        """The text of an expression in its own type, and how strongly it binds."""
        match e:
            case Var(name):
                return (f"{self.names[name]} == One", 3) if name in self.results else (self.names[name], ATOM)
            case Unary("not", Var(name)) if name in self.results:
                return f"{self.names[name]} == Zero", 3
            case Parameter(index):
                return self.parameters[index], ATOM
            case Unary(op, x):
                return self._unary(op, x, kind, hint)
            case Binary(op, x, y):
                return self._binary(op, x, y, kind, hint)
            case Select(condition, yes, no):
                chosen = [self.write(part, kind, 1, hint) for part in (yes, no)]
                return f"{self.write(condition, bool, 1, hint)} ? {chosen[0]} | {chosen[1]}", CHOICE
            case Index(table, index):
                key = (kind, table)
                if key not in self.tables:
                    self.tables[key] = identifier(hint, self.taken)
                return f"{self.tables[key]}[{self.write(index, int)}]", ATOM
        raise AssertionError(e)

    def _unary(self, op: str, x: Expression, kind: type, hint: str) -> tuple[str, int]:
        if op == "not":
            return f"not {self.write(x, bool, PREFIX, hint)}", PREFIX
        if op == "neg":
            return f"-{self.write(x, kind, PREFIX, hint)}", PREFIX
        if op == "float":
            return self.write(x, float, PREFIX, hint), PREFIX
        if op == "exp":
            return f"Std.Math.E()^{self.write(x, float, ATOM, hint)}", 9
        name = {float: "AbsD", int: "AbsI"}[kind] if op == "abs" else FUNCTIONS[op]
        return f"Std.Math.{name}({self.write(x, int if name == 'AbsI' else float, 0, hint)})", ATOM

    def _binary(self, op: str, x: Expression, y: Expression, kind: type, hint: str) -> tuple[str, int]:
        sides = {type_of(x, self.types), type_of(y, self.types)}
        inner = float if float in sides else int if int in sides else bool
        if op in ("min", "max"):
            return self._plain(Select(Binary("le" if op == "min" else "ge", x, y), x, y), kind, hint)
        if op == "mod" and inner is float:
            turns = Unary("float", Unary("trunc", Binary("div", x, y)))
            return self._plain(Binary("sub", x, Binary("mul", y, turns)), float, hint)
        if op == "pow" and isinstance(y, Const) and y.value in (2, 3, 4):
            return " * ".join([self.write(x, inner, PREFIX, hint)] * int(y.value)), 7
        if inner is bool and op not in (*BOOL, "eq", "ne"):
            inner = int
        sign, level, left, right = BOOL[op] if inner is bool and op in BOOL else NUMBER[op]
        return f"{self.write(x, inner, left, hint)} {sign} {self.write(y, inner, right, hint)}", level


def literal(value: bool | int | float) -> str:
    """A value as a Q# literal that reads back exactly."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if isinstance(value, int) or "." in text else text.replace("e", ".0e") if "e" in text else text + ".0"


def identifier(wanted: str, taken: set[str]) -> str:
    """An identifier of Q# near `wanted` that is not taken, which it then is."""
    base = re.sub(r"\W", "_", wanted).strip("_") or "v"
    base = base if base[0].isalpha() else f"v_{base}"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    taken.add(name)
    return name
