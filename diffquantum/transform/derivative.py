r"""The derivative of a program, as a program: its mean is the derivative of the mean of the original.

$$\partial\,[\![P]\!] = \sum_k \tfrac12 \left( [\![P_{k,+}]\!] - [\![P_{k,-}]\!] \right)$$

with $P_{k,\pm}$ the program with the angle shifted by $\pm\pi/2$ at occurrence $k$ of the parameter, and $k$ over all
occurrences in a run, infinitely many where there is an unbounded loop. The sum is drawn at random inside the program
(see `gadget`), so a quantum computer runs it as it stands.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from diffquantum.check import check
from diffquantum.ir import Assign, Block, Const, Expression, Gate, If, Program, Select, Statement, Var, While
from diffquantum.ir import walk as statements_of
from diffquantum.transform.gadget import Counter, Insertion, Roulette
from diffquantum.transform.shift import differentiate
from diffquantum.transform.simplify import (
    ONE,
    ZERO,
    as_float,
    fresh,
    is_zero,
    loops_in,
    multiply,
    number,
    subtract,
    variable_types,
)
from diffquantum.transform.simplify import names as names_of
from qml._core.errors import ConfigError, unknown_name


def derivative(program: Program, parameter: int | str, loops: Roulette | None = None, gadget: str = "shift") -> Program:
    r"""The derivative program $\partial P / \partial\theta_j$.

    Its mean (the mean of its output times the observable, if the program has a register) is $\partial
    E/\partial\theta_j$, exactly. It uses one qubit more, keeps loops as loops, and is again a program with the same
    parameters: its derivative gives second derivatives.

    Args:
        program: a program; outputs that depend on the parameter directly are differentiated too.
        parameter: number or name of the parameter.
        loops: where to insert the shift; `None` is `Roulette()`, which chooses for the program.
        gadget: what goes in: "shift", the angle moved by pi/2; or "commutator", an exchange with a qubit in the state
            that the generator stands for, which needs no shift of the angle but one qubit more and four times the
            variance (`transform.rules.commutator` is the same for any generator).

    Returns:
        A program that returns one number: value times weight (of a program without outputs: the weight), or a tuple
        of such.

    Raises:
        ConfigError: there is no such parameter or gadget, or the law misses occurrences.
        DifferentiationError: a parameter reaches a condition.

    Example:
        >>> from diffquantum.ir import Const, Gate, Measure, Parameter, Program, Var
        >>> from diffquantum.transform.derivative import derivative
        >>> body = (Gate("ry", (Const(0),), Parameter(0)), Measure(Const(0), "m"))
        >>> program = Program("Flip", ("angle",), 1, body, outputs=(Var("m"),), kind="result")
        >>> d = derivative(program, "angle")
        >>> d.name, d.parameters, d.qubits, d.kind
        ('Flip_d_angle', ('angle',), 2, 'double')

    Source: Zhu et al., arXiv 2004.01122 (rules); Fang et al., arXiv 2211.04507 (unbounded loops).
    """
    j = parameter_number(program, parameter)
    if gadget not in ("shift", "commutator"):
        unknown_name("gadget", gadget, ("shift", "commutator"))
    label = "".join(c if c.isalnum() else "_" for c in program.parameters[j]).strip("_")
    out, _ = _transform(program, (j,), loops, gadget == "commutator")
    return dataclasses.replace(out, name=f"{program.name}_d_{label}")


def gradient_program(program: Program, parameters: Sequence[int], loops: Roulette | None = None) -> Program:
    """One program for several parameters: it returns a tuple, entry `i` having the mean d/d theta[parameters[i]].

    Raises:
        UnsupportedError: the program returns several values.
    """
    single = dataclasses.replace(program, outputs=(number(program),) if program.outputs else (), kind="double")
    out, _ = _transform(single, tuple(parameters), loops)
    return dataclasses.replace(out, name=f"{program.name}_gradient", kind="tuple")


def occurrence_program(program: Program, parameters: Sequence[int]) -> Program:
    """The program itself, returning its number and how many gates of a run depended on the parameters.

    Raises:
        UnsupportedError: the program returns several values.
    """
    taken = set(names_of(program))
    count = fresh("occurrences", taken)
    tangents = tuple(tangents_of(program, j, lambda name: fresh(name, taken)) for j in parameters)
    rules = _Rules(tuple(parameters), tangents, Counter(count), ())
    body = (Assign(count, Const(0)), *rules.d(program.body))
    return dataclasses.replace(program, body=body, outputs=(number(program), Var(count)), kind="tuple")


def insertion_program(program: Program, parameters: Sequence[int], loops: Roulette) -> Program:
    """The program with shifts inserted, returning its number, whether one went in, and at which entry of the table.

    Raises:
        UnsupportedError: the program returns several values.
    """
    out, insertion = _transform(program, tuple(parameters), loops)
    outputs = (number(program), Var(insertion.fired), Var(insertion.occurrence))
    return dataclasses.replace(out, outputs=outputs, kind="tuple")


def has_unbounded_occurrences(program: Program, parameters: Sequence[int]) -> bool:
    """Whether a gate that depends on the parameters stands in a loop."""
    body = occurrence_program(program, parameters)
    count = body.body[0].target  # type: ignore[union-attr]
    return any(inside for s, inside in loops_in(body.body) if isinstance(s, Assign) and s.target == count)


def parameter_number(program: Program, parameter: int | str) -> int:
    """The number of a parameter given by number or name.

    Raises:
        ConfigError: there is no such parameter.
    """
    if isinstance(parameter, str) and parameter in program.parameters:
        return program.parameters.index(parameter)
    if isinstance(parameter, int) and 0 <= parameter < len(program.parameters):
        return parameter
    unknown_name("parameter", parameter, (*program.parameters, *range(len(program.parameters))))


# ------------------------------------------------------------------------------------------ the rules


@dataclass(frozen=True)
class _Rules:
    """What the rules need to know: the parameters, the tangents of the variables, the insertion and its slopes."""

    parameters: tuple[int, ...]
    tangents: tuple[dict[str, str], ...]
    insertion: Insertion | Counter
    slopes: tuple[str, ...]

    def d(self, block: Block) -> Block:
        """The derivative of a block: one rule for every construct."""
        return tuple(s for statement in block for s in self.rule(statement))  # d(P; Q) = d(P); Q + P; d(Q)

    def rule(self, statement: Statement) -> Block:
        match statement:
            case Gate(angle=angle) if angle is not None and not all(map(is_zero, self.jacobian(angle))):
                return (self.insertion.before(statement, self.on_fire(angle)), statement)  # d(R(angle)) = sum of shifts
            case Assign(x, value):
                return (*self.pushed(x, value), statement)  # d(x := e) = (dx := de)
            case If(condition, p, q):
                return (If(condition, self.d(p), self.d(q)),)  # d(case) = case of d
            case While(p, condition, q):
                return (While(self.d(p), condition, self.d(q)),)  # d(while) = sum over k of d at the k-th occurrence
            case _:
                return (statement,)  # d(skip) = d(q := |0>) = d(measure) = 0

    def jacobian(self, e: Expression) -> tuple[Expression, ...]:
        return tuple(differentiate(e, j, t) for j, t in zip(self.parameters, self.tangents, strict=True))

    def on_fire(self, angle: Expression) -> Block:
        """Chain rule: the shift counts as often as the angle moves with each parameter."""
        slopes = self.jacobian(angle)
        if not self.slopes:
            scaled = multiply(Var(self.insertion.weight), slopes[0])
            return () if scaled == Var(self.insertion.weight) else (Assign(self.insertion.weight, scaled),)
        return tuple(Assign(name, slope) for name, slope in zip(self.slopes, slopes, strict=True))

    def pushed(self, x: str, value: Expression) -> Block:
        """Tangents move before the variable does, all from its old value."""
        moves = tuple((t[x], differentiate(value, j, t)) for j, t in zip(self.parameters, self.tangents) if x in t)
        return tuple(Assign(dx, slope) for dx, slope in moves)


def _transform(
    program: Program, parameters: tuple[int, ...], loops: Roulette | None, exchanged: bool = False
) -> tuple[Program, Insertion]:
    """The derivative program for some parameters, and how it inserts."""
    check(program)
    types = variable_types(program)
    taken = set(names_of(program))

    def new(name: str) -> str:
        taken.add(name := fresh(name, taken))
        return name

    tangents = tuple(tangents_of(program, j, new) for j in parameters)
    variables_ = [new(v) for v in ("fired", "occurrence", "weight", "thrown", "level")]
    slopes = tuple(new(f"slope_{j}") for j in parameters) if len(parameters) > 1 else ()
    probe = _Rules(parameters, tangents, Insertion(Roulette((1.0,)), 0, *variables_), slopes)
    sites = [inside for s, inside in loops_in(program.body) if _is_site(probe, s)]
    values = [as_float(e, types) for e in program.outputs] or [ONE]
    if program.kind == "results":
        values = [number(program)]
    direct = any(not is_zero(slope) for value in values for slope in probe.jacobian(value))
    law = _law(loops, len(sites), any(sites), direct)
    insertion = Insertion(law, program.qubits, *variables_, copy=program.qubits + 1 if exchanged else None)
    rules = dataclasses.replace(probe, insertion=insertion)
    start = [Assign(t, ZERO) for table in tangents for t in table.values()]
    start += [*(insertion.start() if sites else ()), *(Assign(s, ZERO) for s in slopes if sites)]
    outputs = tuple(
        _output(rules, insertion if sites else None, value, i) for value in values for i in range(len(parameters))
    )
    out = Program(
        name=program.name,
        parameters=program.parameters,
        qubits=program.qubits + bool(sites) * (1 + exchanged),
        body=(*start, *rules.d(program.body)),
        outputs=outputs,
        kind="double" if len(outputs) == 1 else "tuple",
        register=program.register,
        source=program.source,
        guard=program.guard,
    )
    return out, insertion


def _output(rules: _Rules, insertion: Insertion | None, value: Expression, i: int) -> Expression:
    """d(P; return e) = d(P); return e + P; return de: the output is the last place where the derivative can go in."""
    direct = differentiate(value, rules.parameters[i], rules.tangents[i])
    if insertion is None:
        return direct
    centred = subtract(value, Var(insertion.level)) if insertion.law.baseline else value
    inserted = multiply(centred, Var(rules.slopes[i])) if rules.slopes else centred
    weight = Var(insertion.weight)
    return Select(Var(insertion.fired), multiply(inserted, weight), multiply(direct, weight))


def _is_site(rules: _Rules, s: Statement) -> bool:
    return isinstance(s, Gate) and s.angle is not None and not all(map(is_zero, rules.jacobian(s.angle)))


def tangents_of(program: Program, parameter: int, new) -> dict[str, str]:
    """A tangent variable for every variable that depends on a parameter, directly or through others."""
    tangents: dict[str, str] = {}
    assignments = [s for s in statements_of(program.body) if isinstance(s, Assign)]
    types = variable_types(program)
    while True:
        found = [
            s.target
            for s in assignments
            if s.target not in tangents
            and types[s.target] is float
            and not is_zero(differentiate(s.value, parameter, tangents))
        ]
        if not found:
            return tangents
        for x in dict.fromkeys(found):
            tangents[x] = new(f"d{parameter}_{x}")


def _law(loops: Roulette | None, sites: int, in_loops: bool, direct: bool) -> Roulette:
    """The law for a program: the one given, or equal chances where the number of occurrences is bounded, or a mixture.

    An output that depends on the parameters directly counts as one more occurrence, at the end.
    """
    most = sites + direct
    if loops is None or not loops.hazards:
        return Roulette.mixture() if in_loops else Roulette.uniform(max(most, 1))
    if 1.0 in loops.hazards and sites and (in_loops or loops.hazards.index(1.0) + 1 < most):
        raise ConfigError(
            "The law always inserts before the last occurrence, so the later ones would be lost.",
            got=f"hazard 1 at occurrence {loops.hazards.index(1.0) + 1}",
            expected="hazards below 1" if in_loops else f"no hazard of 1 before occurrence {most}",
            try_="Roulette()",
        )
    return loops
