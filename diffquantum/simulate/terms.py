r"""An algebra of linear maps on states, each with its symbolic adjoint, `term.H`.

A state is a density matrix for each value of the classical memory, an observable an operator for each. Both carry one
matrix for every monomial of the variables that only flow into what is returned; see `moments`. A term applied to a
state gives a state; a term that is an adjoint, applied to an observable, gives an observable, which finds its value
only at the memories it is asked for.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse.linalg

from diffquantum.errors import TerminationError, UnsupportedError
from diffquantum.ir import Assign, Const, Expression, Index, Parameter, Program, Var, parts, walk
from diffquantum.simulate.gates import fixed, unitary
from diffquantum.simulate.moments import Payload
from diffquantum.simulate.operations import evaluate
from diffquantum.simulate.solvers import growth
from diffquantum.tidy import resolve

Memory = tuple[tuple[str, Expression], ...]  # the variables that steer the program, by name
State = dict[Memory, np.ndarray]  # moments of the density matrix `[moments, 2^n, 2^n]`, the first is itself
Observable = Callable[[Memory], np.ndarray]  # an operator for each monomial of the other variables, likewise
OUTCOMES = {"zero": np.diag([1.0, 0.0]), "one": np.diag([0.0, 1.0]), "lower": np.array([[0.0, 1.0], [0.0, 0.0]])}
MOST = 4096  # memories at the head of a loop
RESIDUAL = 1e-12  # relative residual of a loop


@dataclasses.dataclass(frozen=True, eq=False)
class World:
    """What turns a term into numbers: the program it is of, its parameters, and how its variables are carried."""

    program: Program
    payload: Payload
    theta: np.ndarray

    def value(self, e: Expression, memory: Memory) -> Expression:
        return resolve(self.program.name, e, memory)

    def number(self, e: Expression, memory: Memory) -> float:
        return float(evaluate(self.value(e, memory), self.theta, np))

    @functools.cached_property
    def scales(self) -> bool:
        """Whether some monomial is multiplied by anything but 0 and 1."""
        updates = (
            self.payload.update(s.target, s.value)
            for s in walk(self.program.body)
            if isinstance(s, Assign) and s.target not in self.payload.control
        )
        return any(i == j and v not in (Const(0.0), Const(1.0)) for u in updates for (i, j), v in u.items())


# ---------------------------------------------------------------------------------------------------- the algebra


@dataclasses.dataclass(frozen=True)
class Conjugate:
    r"""$K \cdot K^\dagger$ on some qubits, $K$ a gate by name or "zero", "one", "lower" for |0><0|, |1><1|, |0><1|."""

    name: str
    qubits: tuple[Expression, ...]
    angle: Expression | None = None
    kraus: tuple[tuple[complex, ...], ...] | None = None  # a matrix that has no name
    dagger: bool = False

    @property
    def H(self) -> "Conjugate":
        return dataclasses.replace(self, dagger=not self.dagger)

    def __call__(self, x: Any, world: World) -> Any:
        return _pointwise(lambda memory, a: self.around(a, memory, world), x)

    def around(self, a: np.ndarray, memory: Memory, world: World) -> np.ndarray:
        if self.kraus is not None:
            k = np.array(self.kraus)
        elif self.angle is not None:
            k = unitary(self.name, world.number(self.angle, memory))
        else:
            k = OUTCOMES[self.name] if self.name in OUTCOMES else fixed(self.name)
        k = k.conj().T if self.dagger else k
        qubits = [1 + int(world.number(q, memory)) for q in self.qubits]
        for _ in range(2):  # K a, then (K (K a)^dagger)^dagger
            b = a.reshape(len(a), *(2,) * world.program.qubits, -1)
            b = np.tensordot(k.reshape((2,) * (2 * len(qubits))), b, (range(len(qubits), 2 * len(qubits)), qubits))
            a = np.moveaxis(b, range(len(qubits)), qubits).reshape(a.shape).conj().transpose(0, 2, 1)
        return a

    def __str__(self) -> str:
        inside = ", ".join(filter(None, ("" if self.angle is None else _text(self.angle), *map(_text, self.qubits))))
        return f"{self.name}{'^' if self.dagger else ''}({inside})"


@dataclasses.dataclass(frozen=True)
class Guard:
    """Only the memories where a condition holds."""

    condition: Expression

    @property
    def H(self) -> "Guard":
        return self

    def __call__(self, x: Any, world: World) -> Any:
        if isinstance(x, dict):
            return {memory: a for memory, a in x.items() if world.number(self.condition, memory)}
        nothing = np.zeros(_shape(world), complex)
        return lambda memory: x(memory) if world.number(self.condition, memory) else nothing

    def __str__(self) -> str:
        return f"[{_text(self.condition)}]"


@dataclasses.dataclass(frozen=True)
class Put:
    """Set a variable; the adjoint substitutes."""

    target: str
    value: Expression
    dagger: bool = False

    @property
    def H(self) -> "Put":
        return dataclasses.replace(self, dagger=not self.dagger)

    def __call__(self, x: Any, world: World) -> Any:
        if self.target not in world.payload.control:
            return _pointwise(lambda memory, a: np.tensordot(self.matrix(memory, world), a, 1), x)
        if self.dagger:
            return lambda memory: x(self.after(memory, world))
        out: State = {}
        for memory, a in x.items():
            _add(out, self.after(memory, world), a)
        return out

    def after(self, memory: Memory, world: World) -> Memory:
        kept = {name: value for name, value in memory if name != self.target}
        return tuple(sorted({**kept, self.target: world.value(self.value, memory)}.items()))

    def matrix(self, memory: Memory, world: World) -> np.ndarray:
        """What happens to the moments; transposed, to the coefficients of the monomials."""
        out = np.zeros((len(world.payload.monomials),) * 2)
        for place, value in world.payload.update(self.target, self.value).items():
            out[place] = world.number(value, memory)
        return out.T if self.dagger else out

    def __str__(self) -> str:
        return f"{{{self.target} {'=:' if self.dagger else ':='} {_text(self.value)}}}"


@dataclasses.dataclass(frozen=True)
class Then:
    """One after another, the first of the tuple first; the empty one is the identity."""

    parts: "tuple[Term, ...]"

    @property
    def H(self) -> "Then":
        return Then(tuple(part.H for part in reversed(self.parts)))

    def __call__(self, x: Any, world: World) -> Any:
        return functools.reduce(lambda x, part: part(x, world), self.parts, x)

    def __str__(self) -> str:
        return " ; ".join(map(str, self.parts)) or "1"


@dataclasses.dataclass(frozen=True)
class Sum:
    """The sum of some terms."""

    parts: "tuple[Term, ...]"

    @property
    def H(self) -> "Sum":
        return Sum(tuple(part.H for part in self.parts))

    def __call__(self, x: Any, world: World) -> Any:
        x = x if isinstance(x, dict) else functools.cache(x)  # each part asks for it
        images = [part(x, world) for part in self.parts]
        if not isinstance(x, dict):
            return lambda memory: sum(image(memory) for image in images)
        out: State = {}
        for image in images:
            for memory, a in image.items():
                _add(out, memory, a)
        return out

    def __str__(self) -> str:
        return f"({' + '.join(map(str, self.parts))})"


@dataclasses.dataclass(frozen=True)
class Star:
    r"""$(1 - A)^{-1} = 1 + A + A^2 + \dots$, solved and not summed: GMRES, its residual checked."""

    turn: "Term"

    @property
    def H(self) -> "Star":
        return Star(self.turn.H)

    def __call__(self, x: Any, world: World) -> Any:
        if not isinstance(x, dict):
            known: State = {}

            def solved(memory: Memory) -> np.ndarray:
                if memory not in known:
                    known.update(self.solve(x, self.asked(memory, world), world))
                return known[memory]

            return solved
        seen, new = dict(x), x
        while new := {m: a for m, a in self.turn(new, world).items() if m not in seen}:
            seen.update(_few(new, seen))
        zero = np.zeros(_shape(world), complex)
        return self.solve(lambda memory: x.get(memory, zero), tuple(seen), world, states=True)

    def asked(self, memory: Memory, world: World) -> tuple[Memory, ...]:
        """The memories at which the turns of a loop that begin at one ask for the observable."""
        zero, seen, todo = np.zeros(_shape(world), complex), {memory}, [memory]

        def note(memory: Memory) -> np.ndarray:
            if memory not in seen:
                seen.update(_few((memory,), seen))
                todo.append(memory)
            return zero

        turned = self.turn(note, world)
        while todo:
            turned(todo.pop())
        return tuple(seen)

    def solve(self, right: Any, memories: tuple[Memory, ...], world: World, states: bool = False) -> State:
        """The solution of $X = b + A X$ on some memories that are closed under $A$."""
        b = np.stack([right(memory) for memory in memories])

        def rest(v: np.ndarray) -> np.ndarray:
            x = dict(zip(memories, v.reshape(b.shape)))
            image = self.turn(x if states else x.__getitem__, world)
            zero = np.zeros(_shape(world), complex)
            turned = [image.get(m, zero) if isinstance(image, dict) else image(m) for m in memories]
            return v - np.stack(turned).ravel()

        system: Any = scipy.sparse.linalg.LinearOperator((b.size,) * 2, matvec=rest, dtype=complex)  # type: ignore
        v = b.ravel()
        for _ in range(2):  # and one refinement
            settings: Any = {"rtol": 1e-14, "atol": 0.0, "restart": min(b.size, 150), "maxiter": 20}
            left = b.ravel() - rest(v)
            v = v + scipy.sparse.linalg.gmres(system, left, **settings)[0]
        good = np.linalg.norm(b.ravel() - rest(v)) <= RESIDUAL * np.linalg.norm(b)
        if not good or (world.scales and not growth(lambda v: v - rest(v), b.ravel()) < 1.0):
            raise TerminationError(
                f"A loop of the program {world.program.name} does not end, or takes too many turns to be solved here.",
                got="equations of the loop without solution",
                expected="a loop that ends from every input",
                try_="choose other parameters; or expectation(program) for one input",
            )
        return dict(zip(memories, v.reshape(b.shape)))

    def __str__(self) -> str:
        return f"star({self.turn})"


Term = Conjugate | Guard | Put | Then | Sum | Star


def _pointwise(change: Callable[[Memory, np.ndarray], np.ndarray], x: Any) -> Any:
    """Change a state, or an observable, memory by memory."""
    if isinstance(x, dict):
        return {memory: change(memory, a) for memory, a in x.items()}
    return lambda memory: change(memory, x(memory))


def _add(out: State, memory: Memory, a: np.ndarray) -> None:
    out[memory] = out[memory] + a if memory in out else a


def _few(new: Any, seen: Any) -> Any:
    if len(seen) + len(new) > MOST:
        raise UnsupportedError(
            "The variables that steer a loop take too many values to follow them one by one.",
            got=f"more than {MOST} memories",
            expected="counters that decide nothing, or a bound on those that do",
            try_="bound the counter in the loop condition",
        )
    return new


def _shape(world: World) -> tuple[int, int, int]:
    return len(world.payload.monomials), 2**world.program.qubits, 2**world.program.qubits


def _text(e: Expression) -> str:
    """An expression for people."""
    match e:
        case Const(value):
            return f"{value:.6g}" if isinstance(value, float) else str(value)
        case Var(name):
            return name
        case Parameter(index):
            return f"theta[{index}]"
        case Index(table, index):
            return f"{list(table)}[{_text(index)}]"
    return f"{getattr(e, 'op', 'select')}({', '.join(map(_text, parts(e)))})"
