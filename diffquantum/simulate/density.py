"""Exact semantics: classical memory times density matrices, all loops of a program as one linear system."""

import contextlib
import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import threadpoolctl

from diffquantum.errors import TerminationError, UnsupportedError
from diffquantum.ir import Const, Expression, Program, variables
from diffquantum.probing import kept
from diffquantum.simulate.contract import contract
from diffquantum.simulate.graph import Graph, explore
from diffquantum.simulate.moments import Payload, analyse
from diffquantum.simulate.noise import Noise
from diffquantum.simulate.reach import Reach, coordinates
from diffquantum.simulate.system import System
from diffquantum.simulate.whole import Whole
from diffquantum.tidy import substitute

MOST_QUBITS = 10
MOST_INPUTS = 4  # qubits of a register whose states are all followed
RADIUS = 1 - 1e-8  # a larger spectral radius means that a loop does not end
VISITS = 1e8  # more visits of the heads of loops on average, likewise
LOST = 1e-7  # probability that may be missing at the end


@dataclasses.dataclass(frozen=True)
class Termination:
    """How the loops of a program end at some parameters.

    Args:
        radius: largest spectral radius of one turn of a loop, on the space it reaches; below 1 it ends.
        mean_iterations: mean number of turns of each unbounded loop in one run, in textual order.
        dimensions: number of unknowns at the head of each; 0 where it is solved iteratively on the whole space.
        radii: spectral radius of each of these loops.
        loops: their numbers in the text.
    """

    radius: float
    mean_iterations: tuple[float, ...]
    dimensions: tuple[int, ...]
    radii: tuple[float, ...] = ()
    loops: tuple[int, ...] = ()


class Exact:
    """The explored program: exact means of its outputs, or of Pauli strings on its register, as functions of theta.

    Args:
        program: without calls.
        outputs: expressions whose means are wanted; `None` for those of the program.
        limit: most configurations of control variables.
        noise: what follows every gate.
        strings: Pauli strings on the register, each a word of I, X, Y, Z; the means of the outputs are taken with each.
        inputs: whether the register may start in any state, not only |0...0>; see `heisenberg`.
        solver: "gmres" or "anderson", where too many directions are reached to store them.

    Raises:
        UnsupportedError: too many qubits, or a control variable with too many values.
        TerminationError: a loop ends for no parameters.
    """

    def __init__(
        self,
        program: Program,
        outputs: tuple[Expression, ...] | None = None,
        limit: int = 4096,
        noise: Noise | None = None,
        strings: tuple[str, ...] = ("",),
        inputs: bool = False,
        solver: str = "gmres",
    ):
        self.program = program
        self.payload: Payload = analyse(program, program.outputs if outputs is None else outputs)
        self.graph: Graph = explore(program, self.payload, limit, noise)
        self.weights = _weights(self.payload, self.graph)
        self.letters = np.array([_letters(program, self.graph, s) for s in strings], int).reshape(len(strings), -1)
        begin, open_qubits = _start(self.graph, program.register if inputs else ())
        with _quietly():
            graph, moments = contract(self.graph), len(self.payload.monomials)
            reach = Reach(graph, moments, len(program.parameters), begin, open_qubits)
            self.system = None if reach.too_large else System(graph, coordinates(reach, begin, open_qubits))
        if self.system is None and len(self.graph.qubits) > MOST_QUBITS:
            raise UnsupportedError(
                f"The exact semantics holds density matrices, and the program {program.name} is too large for them.",
                got=f"{len(self.graph.qubits)} qubits, of which too many are in use at once",
                expected=f"at most {MOST_QUBITS}, or more of which most are in |0> most of the time",
                try_="expectation(program, observable, shots=1000)",
            )
        self.whole = None
        if self.system is None:
            self.whole = Whole(self.graph, len(self.payload.monomials), len(program.parameters), solver)
        if self.system is not None:
            self.check(len(program.parameters))
        self.reading = {} if self.system is None else _reading(reach, self.system, self.letters)

    def check(self, parameters: int) -> None:
        """Refuse a program that ends for none of a few generic parameters."""
        assert self.system is not None
        rng, tried = np.random.default_rng(5), False
        for _ in range(4):
            numbers = self.graph.numbers.evaluate(rng.uniform(0.2, 1.9, parameters), np)
            with _quietly():
                y = self.system.solve(numbers)
                if abs(self.system.ends @ y - 1.0) < LOST and self.system.visits @ y < VISITS:
                    return
            tried |= bool(np.all(np.isfinite(numbers)))
        if tried:
            raise never_ends(1.0)

    # ------------------------------------------------------------------------------------------ in JAX

    def arrays(self) -> dict[str, np.ndarray]:
        """What a compiled function needs beside theta."""
        return {**self.reading, **self.weights} | ({} if self.system is None else self.system.arrays())

    def values(self, theta: Any, arrays: dict) -> tuple[Any, Any]:
        """Means `[strings, outputs]`, and whether the loops end and the means exist (JAX).

        Args:
            theta: the parameters `[params]`.
            arrays: what `arrays()` returned, or the same on a device.
        """
        numbers = self.graph.numbers.evaluate(kept(self.program, theta), jnp)
        parts, mass, visits = self.run(numbers, arrays, jnp)
        ends = (jnp.abs(mass - 1.0) < LOST) & (visits < VISITS)
        if self.system is not None and self.graph.scales:
            ends = ends & (self.system.radius(numbers, arrays) < 1.0)
        return self.outputs(parts, numbers, arrays, jnp), ends

    def run(self, numbers: Any, arrays: dict, xp: Any) -> tuple[Any, Any, Any]:
        """Components of the strings at the ends `[strings, ends * moments]`, probability there, visits of heads."""
        if self.whole is not None:
            return self.sweep(numbers, xp)
        assert self.system is not None
        if xp is np:
            y = self.system.solve(numbers)
        else:
            y = self.system.flow(numbers, arrays, arrays["start"][:, 0])
        shape = len(self.letters), len(self.graph.ends) * len(self.payload.monomials)
        parts = _collect(shape, arrays["part"], arrays["components"] * y[arrays["at"]][None, :], xp)
        return parts, xp.dot(arrays["ends"], y), xp.dot(arrays["visits"], y)

    def sweep(self, numbers: Any, xp: Any) -> tuple[Any, Any, Any]:
        """The same on the whole space."""
        assert self.whole is not None
        at_cuts, states, sound = self.whole.solve(numbers, xp, self.graph.scales)
        zero = xp.zeros((len(self.payload.monomials), 4 ** len(self.graph.qubits)))
        ends = xp.concatenate([self.whole.full(states[e]) if e in states else zero for e in self.graph.ends])
        ends = xp.where(sound, ends, xp.nan)
        visits = sum(self.whole.at(c, at_cuts).reshape(-1)[0] for c in self.whole.cuts)
        mass = xp.sum(ends[:: len(self.payload.monomials), 0])
        places = self.letters @ 4 ** np.arange(self.letters.shape[1])[::-1]
        return ends[:, places].T, mass, visits

    def outputs(self, parts: Any, numbers: Any, arrays: dict, xp: Any) -> Any:
        """Means `[strings, outputs]` from the components at the ends."""
        value = arrays["factor"] * numbers[arrays["factor_number"]]
        terms = parts[:, arrays["factor_part"]] * value[None, :]
        return _collect((len(self.letters), len(self.payload.outputs)), arrays["output"], terms, xp)

    # ------------------------------------------------------------------------------------------ on the host

    def means(self, theta: Any) -> np.ndarray:
        """Means of the outputs at concrete parameters, in NumPy; of the first string.

        Raises:
            TerminationError: a loop does not end there.
        """
        numbers = self.graph.numbers.evaluate(kept(self.program, np.asarray(theta, float)), np)
        with _quietly():
            arrays = self.arrays()
            parts, mass, visits = self.run(numbers, arrays, np)
            good = abs(mass - 1.0) < LOST and visits < VISITS
            if good and self.system is not None and self.graph.scales:
                good = self.system.spectral_radius(numbers) < 1.0
            if not good:
                raise never_ends(self.termination(theta).radius, float(mass))
            return self.outputs(parts, numbers, arrays, np)[0]

    def backwards(self, theta: Any, coefficients: np.ndarray) -> np.ndarray:
        """The mean of a sum of strings times the first output, for each input `[inputs]`: the adjoint."""
        assert self.system is not None
        numbers = self.graph.numbers.evaluate(kept(self.program, np.asarray(theta, float)), np)
        reading, weights = self.reading, self.weights
        part = np.zeros(len(self.graph.ends) * len(self.payload.monomials))
        first = weights["output"] == 0
        value = (weights["factor"] * numbers[weights["factor_number"]])[first]
        np.add.at(part, weights["factor_part"][first], value)
        right = np.zeros(self.system.space.unknowns)
        np.add.at(right, reading["at"], (coefficients @ reading["components"]) * part[reading["part"]])
        with _quietly():
            return self.system.space.start.T @ self.system.solve(numbers, right)

    def ending(self, theta: Any) -> Termination:
        """`termination`, where all loops end.

        Raises:
            TerminationError: a loop does not end there.
        """
        ends = self.termination(theta)
        if not ends.radius <= RADIUS:
            raise never_ends(ends.radius)
        return ends

    def termination(self, theta: Any) -> Termination:
        """Spectral radius and mean number of turns of the loops at concrete parameters."""
        numbers = self.graph.numbers.evaluate(kept(self.program, np.asarray(theta, float)), np)
        with _quietly():
            found = self.whole_loops(numbers) if self.system is None else self.system_loops(numbers)
        radii = tuple(r for _, r, _, _ in found)
        turns = tuple(t if r < RADIUS else np.inf for _, r, t, _ in found)
        return Termination(
            max(radii, default=0.0), turns, tuple(s for *_, s in found), radii, tuple(f[0] for f in found)
        )

    def system_loops(self, numbers: np.ndarray) -> list[tuple[int, float, float, int]]:
        assert self.system is not None
        y = self.system.solve(numbers)
        found = [(i, self.system.loop(i, numbers, y)) for i in range(len(self.graph.loops))]
        return [(i, *f) for i, f in found if f is not None]

    def whole_loops(self, numbers: np.ndarray) -> list[tuple[int, float, float, int]]:
        assert self.whole is not None
        x, states, _ = self.whole.solve(numbers, np)
        out = []
        for i in range(len(self.graph.loops)):
            radius = self.whole.radius(numbers, i, x)
            if radius is not None:
                out.append((i, radius, self.whole.turns(i, numbers, x, states), 0))
        return out


@contextlib.contextmanager
def _quietly():
    """One thread for small matrices (more stall on a busy machine), and no warnings where a number is not finite."""
    with np.errstate(all="ignore"), threadpoolctl.threadpool_limits(1, "blas"):
        yield


def _collect(shape: tuple[int, int], column: Any, terms: Any, xp: Any) -> Any:
    """Add up columns of terms by number."""
    if xp is np:
        out = np.zeros(shape)
        np.add.at(out.T, column, terms.T)
        return out
    return jnp.zeros(shape, terms.dtype).at[:, column].add(terms)


def _start(graph: Graph, register: tuple[int, ...]) -> tuple[np.ndarray, tuple[int, ...]]:
    """Inputs `[inputs, 4^k]` on k qubits, and their positions: all Pauli strings of a register; the rest is in |0>."""
    positions = tuple(i for i, q in enumerate(graph.qubits) if q in register)
    if len(positions) > MOST_INPUTS:
        raise UnsupportedError(
            "The register is too large to follow every state of it.",
            got=f"{len(positions)} qubits",
            expected=f"at most {MOST_INPUTS}",
            try_="expectation(program, observable) for one input",
        )
    return np.eye(4 ** len(positions)), positions


def _letters(program: Program, graph: Graph, string: str) -> list[int]:
    """A Pauli string on the register as numbers of its letters, one a qubit."""
    letters = dict(zip(program.register, string))
    return ["IXYZ".index(letters.get(q, "I")) for q in graph.qubits]


def _weights(payload: Payload, graph: Graph) -> dict[str, np.ndarray]:
    """The coefficient of each moment of each final configuration in each output."""
    found: list[tuple[int, int, int, float]] = []
    for k, polynomial in enumerate(payload.outputs):
        for e, node in enumerate(graph.ends):
            for monomial, coefficient in polynomial.items():
                value = substitute(coefficient, dict(graph.configurations[node]))
                assert not variables(value)
                part = e * len(payload.monomials) + payload.monomials.index(monomial)
                constant = isinstance(value, Const)
                found.append(
                    (k, part, 0 if constant else graph.numbers(value), float(value.value) if constant else 1.0)
                )
    output, part, number, factor = (np.array(c) for c in (zip(*found) if found else ((),) * 4))
    return {
        "output": output.astype(int), "factor_part": part.astype(int),
        "factor_number": number.astype(int), "factor": factor.astype(float),
    }  # fmt: skip


def _reading(reach: Reach, system: System, letters: np.ndarray) -> dict[str, np.ndarray]:
    """Where the components of the strings are among the unknowns."""
    at, part, components = [], [], [np.zeros((len(letters), 0))]
    for e, node in enumerate(reach.graph.ends):
        for m, basis in enumerate(reach.basis[node]):
            first = system.space.offsets[node, m]
            at += range(first, first + len(basis))
            part += [e * reach.moments + m] * len(basis)
            components.append(reach.components(node, m, letters))
    return {"at": np.array(at, int), "part": np.array(part, int), "components": np.concatenate(components, axis=1)}


def never_ends(radius: float, mass: float = 1.0) -> TerminationError:
    """The error for parameters at which a loop does not end."""
    lost = "" if radius > RADIUS else f", probability {mass:.10g} at the end"
    return TerminationError(
        "A loop of the program does not end with probability one, or its mean does not exist or cannot be resolved.",
        got=f"spectral radius {radius:.10g} of one turn{lost}",
        expected="a radius below 1 - 1e-8, and all probability at the end",
        try_="choose other parameters; near such points the mean number of turns grows without bound",
    )
