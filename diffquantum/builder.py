"""Programs written in Python: the same representation that the compilers give."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

from diffquantum.check import check, with_sites
from diffquantum.errors import ProgramError
from diffquantum.ir import (
    Assign,
    Binary,
    Const,
    Expression,
    Gate,
    If,
    Measure,
    Parameter,
    Program,
    Reset,
    Select,
    Statement,
    Unary,
    Var,
    While,
)

_NUMBERS = bool | int | float


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """A classical number of a program: a parameter, a measured bit, a variable, or arithmetic of those.

    `+ - * / %` and comparisons give values (`==` too); `&`, `|` and `~` are and, or and not of bits.

    Args:
        expression: what it is in the representation.
    """

    expression: Expression

    def _with(self, op: str, other: "Value | _NUMBERS", swapped: bool = False) -> "Value":
        sides = (_expression(other), self.expression) if swapped else (self.expression, _expression(other))
        return Value(Binary(op, *sides))

    def __add__(self, other):
        return self._with("add", other)

    def __radd__(self, other):
        return self._with("add", other, True)

    def __sub__(self, other):
        return self._with("sub", other)

    def __rsub__(self, other):
        return self._with("sub", other, True)

    def __mul__(self, other):
        return self._with("mul", other)

    def __rmul__(self, other):
        return self._with("mul", other, True)

    def __truediv__(self, other):
        return self._with("div", other)

    def __rtruediv__(self, other):
        return self._with("div", other, True)

    def __mod__(self, other):
        return self._with("mod", other)

    def __neg__(self):
        return Value(Unary("neg", self.expression))

    def __invert__(self):
        return Value(Unary("not", self.expression))

    def __and__(self, other):
        return self._with("and", other)

    def __or__(self, other):
        return self._with("or", other)

    def __eq__(self, other):  # type: ignore[override]
        return self._with("eq", other)

    def __ne__(self, other):  # type: ignore[override]
        return self._with("ne", other)

    def __lt__(self, other):
        return self._with("lt", other)

    def __le__(self, other):
        return self._with("le", other)

    def __gt__(self, other):
        return self._with("gt", other)

    def __ge__(self, other):
        return self._with("ge", other)

    def __bool__(self):
        raise ProgramError(
            "A value of a program is not known while the program is written.",
            got="a value used as a condition of Python",
            expected="a condition of the program",
            try_="with program.if_(condition): ... or with program.while_(condition): ...",
        )


class Builder:
    """Writes a program statement by statement; `build` gives it.

    Qubits are numbers and start in |0>. Angles come first, as in Q#. Branches and loops are `with` blocks.

    Args:
        name: name of the program.
        parameters: names of its real parameters, in order.
        qubits: number of qubits.

    Example:
        >>> import diffquantum
        >>> flips = diffquantum.Builder("Flips", ["t"], qubits=1)
        >>> (t,) = flips.parameters
        >>> n = flips.variable(0)
        >>> flips.ry(t, 0)
        >>> with flips.loop():
        ...     flips.leave_if(flips.measure(0))
        ...     flips.set(n, n + 1)
        ...     flips.ry(t, 0)
        >>> flips.reset(0)
        >>> mean = diffquantum.expectation(flips.build(n))
        >>> print(round(float(mean([1.0])), 6))
        3.350685
    """

    def __init__(self, name: str = "Program", parameters: Sequence[str] = (), qubits: int = 1):
        self.name, self.qubits = name, qubits
        self.names = tuple(parameters)
        self.parameters = tuple(Value(Parameter(i)) for i in range(len(self.names)))
        self._blocks: list[list] = [[]]
        self._count = 0

    def _add(self, statement: Statement) -> None:
        self._blocks[-1].append(statement)

    def _fresh(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count - 1}"

    # ------------------------------------------------------------------------------------ quantum

    def gate(self, name: str, *qubits: "int | Value", angle: "Value | float | None" = None) -> None:
        """Any gate of the representation: a name of `ir.ROTATIONS` (with an angle) or of `ir.FIXED`."""
        self._add(Gate(name, tuple(map(_expression, qubits)), None if angle is None else _expression(angle, float)))

    def rx(self, angle: "Value | float", qubit: "int | Value") -> None:
        """exp(-i angle X / 2); `ry`, `rz` and, on two qubits, `rxx`, `ryy`, `rzz` likewise."""
        self.gate("rx", qubit, angle=angle)

    def ry(self, angle: "Value | float", qubit: "int | Value") -> None:
        """exp(-i angle Y / 2)."""
        self.gate("ry", qubit, angle=angle)

    def rz(self, angle: "Value | float", qubit: "int | Value") -> None:
        """exp(-i angle Z / 2)."""
        self.gate("rz", qubit, angle=angle)

    def rxx(self, angle: "Value | float", a: "int | Value", b: "int | Value") -> None:
        """exp(-i angle XX / 2)."""
        self.gate("rxx", a, b, angle=angle)

    def ryy(self, angle: "Value | float", a: "int | Value", b: "int | Value") -> None:
        """exp(-i angle YY / 2)."""
        self.gate("ryy", a, b, angle=angle)

    def rzz(self, angle: "Value | float", a: "int | Value", b: "int | Value") -> None:
        """exp(-i angle ZZ / 2)."""
        self.gate("rzz", a, b, angle=angle)

    def h(self, qubit: "int | Value") -> None:
        """Hadamard; `gate` has all others."""
        self.gate("h", qubit)

    def x(self, qubit: "int | Value") -> None:
        """Not."""
        self.gate("x", qubit)

    def cx(self, control: "int | Value", target: "int | Value") -> None:
        """Controlled not."""
        self.gate("cx", control, target)

    def measure(self, qubit: "int | Value", reset: bool = False) -> Value:
        """Measure a qubit, and put it back to |0> if `reset`: a bit, true for |1>."""
        target = self._fresh("r")
        self._add(Measure(_expression(qubit), target, reset))
        return Value(Var(target))

    def reset(self, qubit: "int | Value") -> None:
        """Put a qubit back to |0>."""
        self._add(Reset(_expression(qubit)))

    # ------------------------------------------------------------------------------------ classical

    def variable(self, value: "Value | _NUMBERS") -> Value:
        """A new variable with a first value."""
        name = self._fresh("v")
        self._add(Assign(name, _expression(value)))
        return Value(Var(name))

    def set(self, variable: Value, value: "Value | _NUMBERS") -> None:
        """Give a variable a new value.

        Raises:
            ProgramError: it is not a variable.
        """
        if not isinstance(variable.expression, Var):
            raise _error("set a value that is no variable", variable.expression, "n = program.variable(0)")
        self._add(Assign(variable.expression.name, _expression(value)))

    def choose(self, condition: Value, yes: "Value | _NUMBERS", no: "Value | _NUMBERS") -> Value:
        """`yes` where the condition holds, else `no`."""
        return Value(Select(condition.expression, _expression(yes), _expression(no)))

    # ------------------------------------------------------------------------------------ control

    @contextlib.contextmanager
    def if_(self, condition: Value) -> Iterator[None]:
        """What is written inside happens where the condition holds."""
        self._blocks.append([])
        yield
        then = tuple(self._blocks.pop())
        self._add(If(condition.expression, then))

    @contextlib.contextmanager
    def else_(self) -> Iterator[None]:
        """What is written inside happens where the condition of the `if_` right before does not hold.

        Raises:
            ProgramError: the statement before is no `if_`.
        """
        last = self._blocks[-1][-1] if self._blocks[-1] else None
        if not isinstance(last, If) or last.otherwise:
            raise _error("has an else_ without an if_ right before it", last, "with program.if_(condition): ...")
        self._blocks.append([])
        yield
        otherwise = tuple(self._blocks.pop())
        self._blocks[-1][-1] = dataclasses.replace(last, otherwise=otherwise)

    @contextlib.contextmanager
    def loop(self) -> Iterator[None]:
        """What is written inside happens again and again, until its one `leave_if` ends it.

        Raises:
            ProgramError: there is no `leave_if` in the block itself, or more than one.
        """
        self._blocks.append([])
        yield
        block = self._blocks.pop()
        places = [i for i, s in enumerate(block) if isinstance(s, _Leave)]
        if len(places) != 1:
            raise _error(
                f"has a loop with {len(places)} leave_if", len(places), "one leave_if in each loop, not in an if_"
            )
        i = places[0]
        leave = block[i].condition
        stay = leave.x if isinstance(leave, Unary) and leave.op == "not" else Unary("not", leave)
        self._add(While(tuple(block[:i]), stay, tuple(block[i + 1 :])))

    def leave_if(self, condition: Value) -> None:
        """Leave the loop here where the condition holds."""
        self._blocks[-1].append(_Leave(condition.expression))

    @contextlib.contextmanager
    def while_(self, condition: Value) -> Iterator[None]:
        """A loop that a condition of variables, or of bits measured before and set inside, keeps going."""
        with self.loop():
            self.leave_if(~condition)
            yield

    def build(self, *outputs: Value, register: Sequence[int] | None = None) -> Program:
        """The program, checked.

        Args:
            outputs: what it returns; none for a program that prepares a state.
            register: qubits an observable acts on; by default all where it returns nothing, else none.

        Raises:
            ProgramError: it is not well formed.
            DifferentiationError: a parameter reaches a condition.
        """
        if any(isinstance(s, _Leave) for s in self._blocks[0]):
            raise _error("has a leave_if outside of its loops", "leave_if", "with program.loop(): ...")
        from diffquantum.transform.simplify import type_of, variable_types

        qubits = tuple(range(self.qubits)) if register is None and not outputs else tuple(register or ())
        returned = tuple(v.expression for v in outputs)
        program = Program(self.name, self.names, self.qubits, tuple(self._blocks[0]), returned, "unit", qubits)
        program = check(program)
        if len(returned) == 1:
            kind = {bool: "bool", int: "int", float: "double"}[type_of(returned[0], variable_types(program))]
            program = dataclasses.replace(program, kind=kind)
        elif returned:
            program = dataclasses.replace(program, kind="tuple")
        return with_sites(program)


@dataclasses.dataclass(frozen=True)
class _Leave:
    condition: Expression


def _expression(value: "Value | _NUMBERS", kind: type | None = None) -> Expression:
    if isinstance(value, Value):
        return value.expression
    return Const(value if kind is None else kind(value))


def _error(what: str, got: object, try_: str) -> ProgramError:
    return ProgramError(f"The program {what}.", got=got, expected="a well-formed program", try_=try_)
