"""What a program does, before it is run: where its parameters are, how loops end, what is followed or counted."""

import dataclasses
from typing import Any

from diffquantum.check import parameter_sites
from diffquantum.ir import (
    Assign,
    Binary,
    Block,
    Const,
    Expression,
    Gate,
    If,
    Measure,
    Program,
    Reset,
    Statement,
    Var,
    While,
    children,
    parameter_indices,
    variables,
    walk,
    written,
)
from diffquantum.simulate.density import Exact

__all__ = ["Analysis", "LoopReport", "Occurrence", "Resources", "analyse", "resources"]


@dataclasses.dataclass(frozen=True)
class Occurrence:
    """One gate whose angle depends on parameters.

    Args:
        gate: its name.
        parameters: numbers of the parameters in its angle.
        depth: number of loops around it.
    """

    gate: str
    parameters: tuple[int, ...]
    depth: int


@dataclasses.dataclass(frozen=True)
class LoopReport:
    """One loop of the text that may go round without bound.

    Args:
        number: its number among the loops of the text.
        depth: number of loops around it.
        regenerative: whether every turn starts from the same state, so that turns are independent trials.
        radius: spectral radius of one turn on the space it reaches; `None` without parameters.
        mean_iterations: mean number of turns in one run; `None` without parameters.
    """

    number: int
    depth: int
    regenerative: bool
    radius: float | None
    mean_iterations: float | None


@dataclasses.dataclass(frozen=True)
class Resources:
    """What one run of a program costs on average.

    Args:
        gates: gates of any kind.
        rotations: those of them that turn by an angle.
        entangling: those of them on two qubits or more.
        measurements: measurements.
        resets: resets, alone or with a measurement.
    """

    gates: float
    rotations: float
    entangling: float
    measurements: float
    resets: float

    def __str__(self) -> str:
        return ", ".join(f"{value:.6g} {name}" for name, value in dataclasses.asdict(self).items())


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What `analyse` found; printed as a table.

    Args:
        name: name of the program.
        parameters: names of the parameters.
        occurrences: the gates that depend on parameters, in the order of the text.
        loops: the unbounded loops.
        accumulators: variables of which only averages are carried, with what they are: count, sum, product or value.
        control: variables whose values are followed.
        moments: number of averages carried, the state itself included.
        qubits: qubits of the program, and those that have amplitudes (the others are only coins).
        gates: gates in the text.
        measurements: measurements in the text.
        nodes: places and memories of the program.
        unknowns: size of its linear system; 0 where it is solved iteratively on the whole space.
        resources: what a run costs on average; `None` without parameters.
    """

    name: str
    parameters: tuple[str, ...]
    occurrences: tuple[Occurrence, ...]
    loops: tuple[LoopReport, ...]
    accumulators: tuple[tuple[str, str], ...]
    control: tuple[str, ...]
    moments: int
    qubits: tuple[int, int]
    gates: int
    measurements: int
    nodes: int
    unknowns: int
    resources: Resources | None

    def __str__(self) -> str:
        rows = [
            ("program", self.name),
            ("qubits", f"{self.qubits[0]}, of which {self.qubits[1]} have amplitudes"),
            ("text", f"{self.gates} gates, {self.measurements} measurements"),
            ("memory", f"{self.nodes} places and memories, {self.moments} moments"),
            ("system", f"{self.unknowns} unknowns" if self.unknowns else "iterative, on the whole space"),
        ]
        if self.resources is not None:
            rows.append(("a run, on average", str(self.resources)))
        for i, name in enumerate(self.parameters):
            found = [o for o in self.occurrences if i in o.parameters]
            gates = ", ".join(f"{o.gate} in {o.depth} loops" if o.depth else o.gate for o in found)
            rows.append((f"parameter {name}", gates or "in no gate"))
        for loop in self.loops:
            kind = "independent turns" if loop.regenerative else "turns that depend on each other"
            turns = "" if loop.radius is None else f", radius {loop.radius:.6f}, {loop.mean_iterations:.6g} turns"
            rows.append((f"loop {loop.number}, depth {loop.depth}", kind + turns))
        rows += [(kind, f"{name} (averages only)") for name, kind in self.accumulators]
        rows.append(("followed by value", ", ".join(self.control) or "nothing"))
        width = max(len(a) for a, _ in rows)
        return "\n".join(f"{a:<{width}}  {b}" for a, b in rows)


def analyse(program: Program, theta: Any = None) -> Analysis:
    """Analyse a program: parameters, loops, what is counted, resources.

    Args:
        program: the program.
        theta: parameters `[params]` at which to look how the loops end and what a run costs; `None` leaves that out.

    Returns:
        The findings; `print` shows them as a table.

    Raises:
        TerminationError: a loop does not end with probability one at these parameters.
        UnsupportedError: the program is too large for the exact semantics.

    Example:
        >>> import diffquantum
        >>> text = "operation Flips(t : Double) : Int { use q = Qubit(); mutable n = 0; Ry(t, q);"
        >>> text += " while M(q) == Zero { n += 1; Ry(t, q); } Reset(q); n }"
        >>> report = diffquantum.analyse(diffquantum.load(text), [1.0])
        >>> [o.depth for o in report.occurrences], round(report.loops[0].mean_iterations, 6)
        ([0, 1], 3.350685)

    Source: spectral radius and ends of loops, Perron and Frobenius; quantum while programs.
    """
    exact = Exact(program)
    depth = _depths(program)
    radii: dict[int, tuple[float, float]] = {}
    if theta is not None:
        ends = exact.ending(theta)
        radii = {n: (r, t) for n, r, t in zip(ends.loops, ends.radii, ends.mean_iterations)}
    loops = []
    unbounded = _unbounded(exact)
    numbers = [i for i in range(len(_loops(program))) if i in unbounded]
    for number in numbers:
        radius, turns = radii.get(number, (None, None))
        loops.append(LoopReport(number, depth[number], _regenerative(exact, number), radius, turns))
    counted = sorted({name for m in exact.payload.monomials for name in m})
    return Analysis(
        name=program.name,
        parameters=program.parameters,
        occurrences=_occurrences(program),
        loops=tuple(loops),
        accumulators=tuple((name, _kind(program, name)) for name in counted),
        control=tuple(sorted(exact.payload.control)),
        moments=len(exact.payload.monomials),
        qubits=(program.qubits, len(exact.graph.qubits)),
        gates=sum(isinstance(s, Gate) for s in walk(program.body)),
        measurements=sum(isinstance(s, Measure) for s in walk(program.body)),
        nodes=len(exact.graph.places),
        unknowns=0 if exact.system is None else exact.system.space.unknowns,
        resources=None if theta is None else resources(program, theta),
    )


def resources(program: Program, theta: Any) -> Resources:
    """What one run of a program costs on average at some parameters, loops included: exact means of counters.

    Of a derivative program (`derivative`) it is what its shots cost.

    Args:
        program: the program.
        theta: the parameters `[params]`.

    Raises:
        TerminationError: a loop does not end with probability one at these parameters.
        UnsupportedError: the program is too large for the exact semantics.

    Example:
        >>> import diffquantum
        >>> text = "operation Flips(t : Double) : Int { use q = Qubit(); mutable n = 0; Ry(t, q);"
        >>> text += " while M(q) == Zero { n += 1; Ry(t, q); } Reset(q); n }"
        >>> print(diffquantum.resources(diffquantum.load(text), [1.0]))
        4.35069 gates, 4.35069 rotations, 0 entangling, 4.35069 measurements, 1 resets
    """
    kinds = tuple(field.name for field in dataclasses.fields(Resources))
    names = dict(zip(kinds, (f" {kind}" for kind in kinds)))  # no name of a program begins with a space

    def counted(block: Block) -> Block:
        out: list[Statement] = []
        for s in block:
            found = []
            match s:
                case Gate(qubits=qubits, angle=angle):
                    found = ["gates", *["rotations"] * (angle is not None), *["entangling"] * (len(qubits) > 1)]
                case Measure(reset=reset):
                    found = ["measurements", *["resets"] * reset]
                case Reset():
                    found = ["resets"]
                case If(condition, then, otherwise):
                    s = If(condition, counted(then), counted(otherwise))
                case While(before, condition, body):
                    s = While(counted(before), condition, counted(body))
            out += [Assign(names[k], Binary("add", Var(names[k]), Const(1.0))) for k in found]
            out.append(s)
        return tuple(out)

    body = (*(Assign(name, Const(0.0)) for name in names.values()), *counted(program.body))
    every = dataclasses.replace(program, body=body, outputs=tuple(Var(n) for n in names.values()), kind="tuple")
    return Resources(*(float(x) for x in Exact(every).means(theta)))


def _loops(program: Program) -> list[While]:
    return [s for s in walk(program.body) if isinstance(s, While)]


def _unbounded(exact: Exact) -> frozenset[int]:
    """The loops that some node at their head can come back to."""
    at_heads = {exact.graph.places[v] for v in exact.graph.heads()}
    return frozenset(i for i, (first, _) in enumerate(exact.graph.loops) if first in at_heads)


def _regenerative(exact: Exact, number: int) -> bool:
    """Whether the head of a loop is reached in one state and one memory only."""
    if exact.system is None:
        return False
    graph = exact.system.graph
    heads = [v for v in graph.heads() if graph.places[v] == graph.loops[number][0]]
    return len(heads) == 1 and int(exact.system.space.sizes[heads[0], 0]) == 1


def _depths(program: Program) -> list[int]:
    """Number of loops around each loop, in the order of the text."""
    out: list[int] = []

    def visit(block: Block, depth: int) -> None:
        for s in block:
            if isinstance(s, While):
                out.append(depth)
            for inner in children(s):
                visit(inner, depth + isinstance(s, While))

    visit(program.body, 0)
    return out


def _occurrences(program: Program) -> tuple[Occurrence, ...]:
    through = _parameters_of(program)
    wanted = {(g.name, g.qubits, g.angle) for g in parameter_sites(program)}
    out: list[Occurrence] = []

    def visit(block: Block, depth: int) -> None:
        for s in block:
            if isinstance(s, Gate) and (s.name, s.qubits, s.angle) in wanted and s.angle is not None:
                out.append(Occurrence(s.name, tuple(sorted(_parameters(s.angle, through))), depth))
            for inner in children(s):
                visit(inner, depth + isinstance(s, While))

    visit(program.body, 0)
    return tuple(out)


def _parameters(expression: Expression, through: dict[str, frozenset[int]]) -> frozenset[int]:
    return parameter_indices(expression).union(*(through.get(n, frozenset()) for n in variables(expression)))


def _parameters_of(program: Program) -> dict[str, frozenset[int]]:
    """The parameters that the value of each variable is computed from."""
    found: dict[str, frozenset[int]] = {}
    while True:
        before = dict(found)
        for s in walk(program.body):
            if isinstance(s, Assign):
                found[s.target] = found.get(s.target, frozenset()) | _parameters(s.value, found)
        if found == before:
            return found


def _kind(program: Program, name: str) -> str:
    """What a payload variable is, from how loops change it."""
    kinds = set()
    for loop in _loops(program):
        if name not in written((loop,)):
            continue
        for s in walk((*loop.before, *loop.body)):
            if isinstance(s, Assign) and s.target == name and name in variables(s.value):
                match s.value:
                    case Binary("add" | "sub", Var(x), y) | Binary("add", y, Var(x)) if x == name:
                        kinds.add("sum" if variables(y) or parameter_indices(y) else "count")
                    case Binary("mul" | "div", Var(x), _) | Binary("mul", _, Var(x)) if x == name:
                        kinds.add("product")
                    case _:
                        kinds.add("value")
    order = ("value", "product", "sum", "count")
    return next((k for k in order if k in kinds), "value")
