"""Exact semantics: classical configurations times density matrices, loops solved as linear systems."""

import contextlib
import dataclasses
from typing import Any

import jax.numpy as jnp
import networkx
import numpy as np
import threadpoolctl

from diffquantum.errors import UnsupportedError
from diffquantum.ir import Expression, Program, While, variables, walk
from diffquantum.simulate.explore import Configuration, Explorer
from diffquantum.simulate.loops import RADIUS, Bases, HostSolver, Space, TraceSolver, never_ends, spaces
from diffquantum.simulate.moments import Payload, analyse
from diffquantum.simulate.plan import Op, Run, Stage, evaluate
from diffquantum.tidy import substitute

MOST_QUBITS = 10


@dataclasses.dataclass(frozen=True)
class Termination:
    """How the loops of a program end at some parameters.

    Args:
        radius: largest spectral radius of one turn of a loop, on the space it reaches; below 1 it ends.
        mean_iterations: mean number of turns of each unbounded loop in one run, in textual order.
        dimensions: size of its largest dense linear system; 0 where it is solved iteratively on the whole space.
    """

    radius: float
    mean_iterations: tuple[float, ...]
    dimensions: tuple[int, ...]


class Exact:
    """The explored program: exact means of its outputs, or of Pauli strings on its register, as functions of theta.

    Args:
        program: without calls.
        outputs: expressions whose means are wanted; `None` for those of the program.
        limit: most configurations of control variables.

    Raises:
        UnsupportedError: too many qubits, or a control variable with too many values.
        TerminationError: a loop ends for no parameters.
    """

    def __init__(self, program: Program, outputs: tuple[Expression, ...] | None = None, limit: int = 4096):
        if program.qubits > MOST_QUBITS:
            raise UnsupportedError(
                f"The exact semantics holds density matrices, and the program {program.name} is too large for them.",
                got=f"{program.qubits} qubits",
                expected=f"at most {MOST_QUBITS}",
                try_="expectation(program, observable, shots=1000)",
            )
        self.program = program
        self.payload: Payload = analyse(program, program.outputs if outputs is None else outputs)
        explorer = Explorer(program, self.payload, limit)
        self.ops: tuple[Op, ...]
        self.final: list[Configuration]
        self.ops, self.final = explorer.run()
        self.weights = _weights(self.payload, self.final)
        self.scales = explorer.scales
        self.spaces = self._spaces(explorer.dependence)

    def _spaces(self, dependence: set[tuple[int, int]]) -> dict[Stage, Space]:
        """Run generic parameters through the program until no basis grows."""
        rng = np.random.default_rng(20220801)
        bases, quiet = Bases(), 0
        for trial in range(200):
            theta = rng.uniform(0.2, 0.95, len(self.program.parameters)) * (1 if trial % 2 == 0 else 1.9)
            bases.grown = False
            with _quietly():
                end = Run(np, theta, bases).apply(self.ops, self.start(np))
            quiet = 0 if bases.grown or not np.all(np.isfinite(end)) else quiet + 1
            if quiet == 2:
                break
        graph = networkx.DiGraph([(j, i) for i, j in dependence])
        graph.add_nodes_from(range(len(self.payload.monomials)))
        condensed = networkx.condensation(graph)
        order = [sorted(condensed.nodes[n]["members"]) for n in networkx.topological_sort(condensed)]
        return spaces(bases, order)

    def start(self, xp: Any) -> Any:
        """All qubits in |0>: components 1 for strings of I and Z."""
        x = np.zeros((1, 1, len(self.payload.monomials)) + (4,) * self.program.qubits)
        one = np.ones(())
        for _ in range(self.program.qubits):
            one = np.multiply.outer(one, np.array([1.0, 0.0, 0.0, 1.0]))
        x[0, 0, 0] = one
        return xp.asarray(x)

    def arrays(self) -> dict:
        """The bases as arguments for a compiled function, in order of the loops."""
        return {i: s.basis for i, s in enumerate(self.spaces.values()) if s.basis is not None}

    def end(self, theta: Any, arrays: dict) -> tuple[Any, Any, Any]:
        """Final components `[configurations, moments, 4, ..., 4]`, largest radius, and total probability (JAX)."""
        found = {t: Space(arrays.get(i), s.blocks, s.moments) for i, (t, s) in enumerate(self.spaces.items())}
        solver = TraceSolver(found, self.scales)
        x = Run(jnp, theta, solver).apply(self.ops, self.start(jnp))[0]
        radius = jnp.max(jnp.stack(solver.radius)) if solver.radius else jnp.zeros(())
        return x, radius, jnp.sum(x[(slice(None), 0) + (0,) * self.program.qubits])

    def outputs(self, x: Any, theta: Any, xp: Any, pauli: tuple[int, ...] | None = None) -> Any:
        """Means `[outputs]` from the final components: of each output times a Pauli string (one digit a qubit)."""
        traces = x[(slice(None), slice(None)) + (pauli or (0,) * self.program.qubits)]
        out = []
        for terms in self.weights:
            total = xp.zeros(())
            for (e, m), value in terms.items():
                total = total + evaluate(value, theta, xp) * traces[e, m]
            out.append(total)
        return xp.stack(out) if out else xp.zeros((0,))

    def means(self, theta: Any) -> np.ndarray:
        """Means of the outputs at concrete parameters, in NumPy.

        Raises:
            TerminationError: a loop does not end there.
        """
        x, _ = self.host(theta)
        return np.asarray(self.outputs(x, np.asarray(theta, float), np))

    def host(self, theta: Any) -> tuple[np.ndarray, HostSolver]:
        """Final components and the solver with its reports, in NumPy."""
        solver = HostSolver(self.spaces)
        with _quietly():
            x = Run(np, np.asarray(theta, float), solver).apply(self.ops, self.start(np))[0]
        if not np.all(np.isfinite(x)):
            raise never_ends(max(solver.radius.values(), default=np.nan))
        return x, solver

    def termination(self, theta: Any) -> Termination:
        """Spectral radius and mean number of turns of the loops at concrete parameters."""
        solver, count = HostSolver(self.spaces), {}
        with _quietly():
            Run(np, np.asarray(theta, float), solver, count).apply(self.ops, self.start(np))
        loops = [s for s in walk(self.program.body) if isinstance(s, While)]
        radius, sizes = {}, {}
        for stage, value in solver.radius.items():
            radius[stage.loop] = max(radius.get(stage.loop, 0.0), value)
            sizes[stage.loop] = max(sizes.get(stage.loop, 0), solver.size(stage))
        order = sorted(radius)
        turns = [count[i][0] - (count[i][1] if loops[i].body else 0.0) for i in order]
        mean = tuple(float(t) if radius[i] < RADIUS else np.inf for i, t in zip(order, turns))
        return Termination(max(radius.values(), default=0.0), mean, tuple(sizes[i] for i in order))


@contextlib.contextmanager
def _quietly():
    """One thread for small matrices (more stall on a busy machine), and no warnings where a number is not finite."""
    with np.errstate(all="ignore"), threadpoolctl.threadpool_limits(1, "blas"):
        yield


def _weights(payload: Payload, final: list[Configuration]) -> list[dict[tuple[int, int], Expression]]:
    """For each output: the coefficient of each moment of each final configuration."""
    out = []
    for polynomial in payload.outputs:
        terms = {}
        for e, configuration in enumerate(final):
            for monomial, coefficient in polynomial.items():
                value = substitute(coefficient, dict(configuration))
                assert not variables(value)
                terms[e, payload.monomials.index(monomial)] = value
        out.append(terms)
    return out
