r"""Programs whose shift goes in at a place chosen before the run: no coin, no ancilla.

Each site (a gate whose angle depends on the parameters) counts its occurrences; the angle of occurrence `place_i` of
site `i` gets `turn` added. The program reads `place_i` and `turn` and never sets them: whoever runs it gives them.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from diffquantum.check import check
from diffquantum.ir import (
    Assign,
    Binary,
    Block,
    Const,
    Expression,
    Gate,
    If,
    Program,
    Select,
    Statement,
    Unary,
    Var,
    While,
)
from diffquantum.transform.derivative import tangents_of
from diffquantum.transform.shift import differentiate
from diffquantum.transform.simplify import ZERO, add, as_float, fresh, is_zero, multiply, names, number, variable_types


@dataclass(frozen=True)
class Site:
    """One gate whose angle depends on the parameters.

    Args:
        count: int variable, its occurrences so far.
        place: int variable that is given, which occurrence gets the shift; 0 is none.
        looped: whether it stands inside a loop.
        slopes: the derivative of its angle in each parameter; `None` where it changes from run to run.
    """

    count: str
    place: str
    looped: bool
    slopes: tuple[float | None, ...]


@dataclass(frozen=True)
class PlacedProgram:
    r"""A program with one shift at a given place.

    Args:
        program: outputs the number of the program; the count of each site; $\sum_j (\partial_j\phi)^2$ summed over the
            occurrences of each site; the slope in each parameter at the place; the derivative of the number itself in
            each parameter.
        sites: the sites, in textual order.
        turn: float variable that is given, what is added to the angle.
        direct: whether the number depends on the parameters other than through angles.
    """

    program: Program
    sites: tuple[Site, ...]
    turn: str
    direct: bool

    @property
    def given(self) -> dict[str, type]:
        """The variables that whoever runs the program gives, with their types."""
        return {site.place: int for site in self.sites} | {self.turn: float}


def placed(program: Program, parameters: tuple[int, ...]) -> PlacedProgram:
    r"""The program with a shift at a given place, for derivatives in some parameters.

    With $d_{i,k} = \tfrac12 (\mathrm{E}[f \mid +\tfrac\pi2 \text{ at } (i, k)] - \mathrm{E}[f \mid -\tfrac\pi2])$ the
    derivative of the mean is $\sum_{i,k} d_{i,k}$, each weighted with the slope of the angle.

    Args:
        program: the program.
        parameters: numbers of the parameters.

    Raises:
        UnsupportedError: the program returns several values.
        DifferentiationError: a parameter reaches a condition.

    Example:
        >>> from diffquantum.ir import Const, Gate, Measure, Parameter, Program, Var
        >>> from diffquantum.transform.placed import placed
        >>> body = (Gate("ry", (Const(0),), Parameter(0)), Measure(Const(0), "m"))
        >>> program = Program("Flip", ("angle",), 1, body, outputs=(Var("m"),), kind="result")
        >>> placed(program, (0,)).sites
        (Site(count='count_0', place='place_0', looped=False, slopes=(1.0,)),)
    """
    check(program)
    taken = set(names(program))

    def new(name: str) -> str:
        taken.add(name := fresh(name, taken))
        return name

    tangents = tuple(tangents_of(program, j, new) for j in parameters)
    rules = _Rules(parameters, tangents, new, new("turn"), tuple(new(f"slope_{j}") for j in parameters), [], {})
    body = rules.block(program.body, False)
    value = as_float(number(program), variable_types(program))
    direct = tuple(differentiate(value, j, t) for j, t in zip(parameters, tangents, strict=True))
    squares = tuple(
        Var(rules.squares[i])
        if i in rules.squares
        else multiply(Const(sum(x * x for x in site.slopes if x)), Unary("float", Var(site.count)))
        for i, site in enumerate(rules.sites)
    )
    slopes = tuple(Var(name) if rules.squares else ZERO for name in rules.slopes)
    floats = [*(t for table in tangents for t in table.values()), *rules.squares.values()]
    floats += rules.slopes if rules.squares else ()
    start = [*(Assign(x, ZERO) for x in floats), *(Assign(site.count, Const(0)) for site in rules.sites)]
    outputs = (value, *(Var(site.count) for site in rules.sites), *squares, *slopes, *direct)
    whole = dataclasses.replace(program, body=(*start, *body), outputs=outputs, kind="tuple")
    return PlacedProgram(whole, tuple(rules.sites), rules.turn, not all(map(is_zero, direct)))


@dataclass(frozen=True)
class _Rules:
    """Adds counts, slopes and turns to the sites it meets, and collects them."""

    parameters: tuple[int, ...]
    tangents: tuple[dict[str, str], ...]
    new: Callable[[str], str]
    turn: str
    slopes: tuple[str, ...]
    sites: list[Site]
    squares: dict[int, str]  # of the sites whose slopes change

    def block(self, block: Block, looped: bool) -> Block:
        return tuple(s for statement in block for s in self.rule(statement, looped))

    def rule(self, statement: Statement, looped: bool) -> Block:
        match statement:
            case Gate(angle=angle) if angle is not None:
                slopes = self.jacobian(angle)
                return (statement,) if all(map(is_zero, slopes)) else self.site(statement, slopes, looped)
            case Assign(x, value):
                moves = zip(self.tangents, self.jacobian(value), strict=True)
                return (*(Assign(t[x], slope) for t, slope in moves if x in t), statement)
            case If(condition, then, otherwise):
                return (If(condition, self.block(then, looped), self.block(otherwise, looped)),)
            case While(before, condition, body):
                return (While(self.block(before, True), condition, self.block(body, True)),)
            case _:
                return (statement,)

    def jacobian(self, e: Expression) -> tuple[Expression, ...]:
        return tuple(differentiate(e, j, t) for j, t in zip(self.parameters, self.tangents, strict=True))

    def site(self, gate: Gate, slopes: tuple[Expression, ...], looped: bool) -> Block:
        i = len(self.sites)
        count, place = self.new(f"count_{i}"), self.new(f"place_{i}")
        constant = all(isinstance(s, Const) for s in slopes)
        known = tuple(float(s.value) if constant else None for s in slopes)  # type: ignore[union-attr]
        self.sites.append(Site(count, place, looped, known))
        here = Binary("eq", Var(count), Var(place))
        out: list[Statement] = [Assign(count, Binary("add", Var(count), Const(1)))]
        if not constant:
            square = self.squares[i] = self.new(f"squares_{i}")
            total: Expression = Var(square)
            for name, slope in zip(self.slopes, slopes, strict=True):
                out.append(Assign(name, Select(here, slope, Var(name))))
                total = add(total, multiply(slope, slope))
            out.append(Assign(square, total))
        turned = add(gate.angle, Select(here, Var(self.turn), ZERO))  # type: ignore[arg-type]
        return (*out, dataclasses.replace(gate, angle=turned))
