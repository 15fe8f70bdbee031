"""Programs and derivative programs on the simulators of the Q# compiler, as a quantum computer would run them."""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffquantum.compiler import PARAMETER, PRELUDE, context, double
from diffquantum.emit import to_qsharp
from diffquantum.errors import UnsupportedError
from diffquantum.estimate.allocation import allocate
from diffquantum.estimate.insertion import gradient_by
from diffquantum.estimate.sampled import pauli_terms
from diffquantum.ir import Gate, Program, walk
from diffquantum.probing import kept
from diffquantum.simulate.crosscheck import flat
from diffquantum.simulate.operations import affine
from diffquantum.transform.derivative import gradient_program, parameter_number
from diffquantum.transform.gadget import Roulette
from diffquantum.transform.measured import measured
from diffquantum.transform.placed import placed
from diffquantum.transform.simplify import number
from qml._core.errors import ConfigError
from qml.estimate.stats import Stats

KINDS = {"sparse": "sparse", "clifford": "stabilizer", "full": "cpu"}
GIVEN_INT = "GradketPlace"  # an opaque function for a number that is given to a run
GIVEN = f"operation {GIVEN_INT}(i : Int) : Int {{ body intrinsic; }}"
NOT_CLIFFORD = ("t", "t_adj", "ccx")


@dataclasses.dataclass(frozen=True)
class Simulator:
    """A simulator of the Q# compiler as the device that runs a program and its derivative programs.

    Nothing is taken from our own simulator: programs are written as Q#, compiled and run there, shot by shot, and what
    they return becomes `Stats`. Gradients insert one shift a run at places that a pilot run on the device chose.

    Args:
        kind: "sparse" (state vectors without zeros, from Q# itself), "full" (state vectors, from QIR) or "clifford"
            (stabilisers: many qubits, all angles multiples of pi/2).
        noise: a noise model of `qdk`, for instance `qdk.DepolarizingNoise(0.01)`; "full" takes a
            `qdk.simulation.NoiseConfig`.

    Raises:
        ConfigError: no such simulator.

    Example:
        >>> import diffquantum
        >>> text = "operation Flip(t : Double) : Result { use q = Qubit(); Ry(t, q); MResetZ(q) }"
        >>> device = diffquantum.Simulator("sparse")
        >>> slope = device.gradient(diffquantum.load(text), None, [0.8], shots=2000)
        >>> bool(abs(slope.mean[0] - 0.3587) < 5 * slope.error[0] < 0.2)
        True

    Source: simulators of Microsoft's Quantum Development Kit.
    """

    kind: str = "sparse"
    noise: Any = None

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ConfigError(
                "There is no such simulator.", got=self.kind, expected=", ".join(KINDS), try_='Simulator("sparse")'
            )

    def samples(self, program: Program, theta: Any, shots: int, seed: int = 0) -> np.ndarray:
        """What a program without register returns, One and true as 1, `[shots, outputs]`.

        Raises:
            UnsupportedError: the program is none of stabilisers, for "clifford".
            ConfigError: fewer than two shots, or a number of parameters that does not fit.
        """
        theta = self._checked(program, theta, shots)
        with _Runner(self, program, theta, {}) as run:
            return _numbered(run, seed)(np.zeros(0), shots)

    def value(self, program: Program, observable: Any, theta: Any, shots: int, seed: int = 0) -> Stats:
        """The mean of what a program returns, or of a `PauliSum` on its register, from shots of the device."""
        parts, each = self._programs(program, observable, shots)
        values = (self.samples(p, theta, n, seed + i) for i, (p, n) in enumerate(zip(parts, each)))
        return _sum([Stats.of(jnp.asarray(x[:, 0])) for x in values], shots)

    def gradient(
        self,
        program: Program,
        observable: Any,
        theta: Any,
        shots: int,
        seed: int = 0,
        loops: Roulette | None = None,
        parameters: Sequence[int | str] | None = None,
    ) -> Stats:
        """The gradient from shots of derivative programs on the device.

        Args:
            program: the program.
            observable: a `PauliSum` on the register, or `None` for a program that returns a number.
            theta: the parameters `[params]`.
            shots: runs in all, the pilot counted; strings that need bases of their own share them.
            seed: of the device.
            loops: with hazards, the coins are in the program, which has no argument but the parameters; without, the
                places are dealt out before the runs, and go in as arguments.
            parameters: the parameters to differentiate in; `None` is all.

        Returns:
            Means and errors `[params]`.

        Raises:
            SpaceError: an observable is missing, not wanted, or not Hermitian.
            UnsupportedError: the program is none of stabilisers, for "clifford"; or it returns several values.
        """
        rule = loops or Roulette()
        chosen = range(len(program.parameters)) if parameters is None else parameters
        which = tuple(parameter_number(program, j) for j in chosen)
        found = []
        for i, (one, n) in enumerate(zip(*self._programs(program, observable, shots))):
            theta = self._checked(one, theta, n)
            if rule.hazards:
                values = self.samples(gradient_program(one, which, rule), theta, n, seed + i)
                found.append(Stats.of(jnp.asarray(values)))
                continue
            whole = placed(one, which)
            with _Runner(self, whole.program, theta, whole.given) as run:
                found.append(gradient_by(whole, _numbered(run, seed + i), jax.random.key(seed + i), n, rule))
        return _sum(found, shots)

    def _programs(self, program: Program, observable: Any, shots: int) -> tuple[list[Program], list[int]]:
        """Programs that return numbers, whose means are to be added, and the shots of each."""
        terms = pauli_terms(program, observable)
        if terms is None:
            return [dataclasses.replace(program, outputs=(number(program),), kind="double", register=())], [shots]
        groups = measured(program, terms[0], np.asarray(terms[1], float).tolist())
        shares = np.array([size for _, size in groups])
        return [p for p, _ in groups], allocate(shares**2, shots).tolist()

    def _checked(self, program: Program, theta: Any, shots: int) -> np.ndarray:
        theta = np.asarray(theta, float)
        if theta.shape != (len(program.parameters),) or shots < 2:
            raise ConfigError(
                "A device needs a number for each parameter and two shots or more.",
                got=f"theta of shape {theta.shape}, {shots} shots",
                expected=f"{len(program.parameters)} numbers, shots >= 2",
                try_="shots=1000",
            )
        kept(program, theta)
        if self.kind == "clifford":
            _refuse_other_than_clifford(program, theta)
        return theta


class _Runner:
    """A program in a compiler, to be run with different given numbers.

    Args:
        device: the simulator.
        program: without register.
        theta: its parameters.
        given: variables that the program reads and does not set, with their types.
    """

    def __init__(self, device: Simulator, program: Program, theta: np.ndarray, given: Mapping[str, type]):
        self.device, self.name, self.kinds = device, program.name, tuple(given.values())
        self.text, self.angles = to_qsharp(program, given), [double(t) for t in theta]
        self.manager = context(target=device.kind == "full")

    def __enter__(self) -> "_Runner":
        self.compiler = self.manager.__enter__()
        self.compiler.eval(f"{PRELUDE} {GIVEN}")
        self.compiler.eval(self.text)
        if self.device.kind == "full":
            names = (PARAMETER if kind is float else GIVEN_INT for kind in self.kinds)
            self.qir = str(self.compiler.compile(self.call([f"{name}({i})" for i, name in enumerate(names)])))
        return self

    def __exit__(self, *error: Any) -> None:
        self.manager.__exit__(*error)

    def call(self, numbers: Sequence[str]) -> str:
        return f"{self.name}({', '.join([*self.angles, *numbers])})"

    def __call__(self, given: Sequence[float], shots: int, seed: int) -> np.ndarray:
        """Outputs `[shots, outputs]` of runs with the given numbers."""
        values = [double(x) if kind is float else str(int(x)) for kind, x in zip(self.kinds, given, strict=True)]
        if self.device.kind == "full":
            from qdk.simulation import run_qir

            def number(found: re.Match) -> str:
                add = "fadd double 0.0" if found[2] == "double" else "add i64 0"
                return f"{found[1]} = {add}, {values[int(found[3])]}"

            pattern = rf"(%\w+) = call (double|i64) @(?:{PARAMETER}|{GIVEN_INT})\(i64 (\d+)\)"
            out = run_qir(re.sub(pattern, number, self.qir), shots, self.device.noise, seed, "cpu")
        else:
            settings = {"noise": self.device.noise, "type": KINDS[self.device.kind]}
            out = self.compiler.run(self.call(values), shots, seed=seed, **settings)
        return np.array([list(flat(x)) for x in out], float)


def _numbered(run: _Runner, seed: int) -> Callable[[np.ndarray, int], np.ndarray]:
    """Runs one after another, each with a seed of its own, far from the others: shot i of seed s is shot 0 of s + i."""
    seeds = np.random.default_rng(seed)
    return lambda given, shots: run(given.tolist(), shots, int(seeds.integers(2**31)))


def _sum(found: Sequence[Stats], shots: int) -> Stats:
    """The sum of independent estimates."""
    mean, square = found[0].mean, found[0].error ** 2
    for one in found[1:]:
        mean, square = mean + one.mean, square + one.error**2
    return Stats.independent(mean, jnp.sqrt(square), shots)


def _refuse_other_than_clifford(program: Program, theta: np.ndarray) -> None:
    """The simulator of stabilisers takes any angle, and rounds it."""
    for s in walk(program.body):
        if not isinstance(s, Gate):
            continue
        angle = 0.0
        if s.angle is not None:
            form = affine(s.angle)
            angle = math.nan if form is None else form[0] + sum(v * theta[i] for i, v in form[1].items())
        turns = angle / (math.pi / 2)
        if s.name in NOT_CLIFFORD or not abs(turns - round(turns) if math.isfinite(turns) else 1.0) < 1e-9:
            raise UnsupportedError(
                f"The program {program.name} has gates that stabilisers do not follow.",
                got=f"{s.name} at an angle of {angle:.6g}" if s.angle is not None else s.name,
                expected="Clifford gates, and rotations by multiples of pi/2",
                try_='Simulator("sparse")',
            )
