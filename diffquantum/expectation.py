"""Expected values of programs as JAX functions, exactly or from shots."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from diffquantum.check import check_theta
from diffquantum.errors import UnsupportedError
from diffquantum.estimate import SampledExpectation, sampled
from diffquantum.estimate.sampled import Rule, pauli_terms
from diffquantum.ir import Program
from diffquantum.probing import kept
from diffquantum.simulate.density import Exact, Termination, never_ends
from diffquantum.simulate.noise import Noise
from diffquantum.simulate.solvers import SOLVERS
from diffquantum.transform.noisy import noisy
from diffquantum.transform.simplify import number
from qml._core.errors import ConfigError, SpaceError, unknown_name
from qml._core.precision import require_x64
from qml._core.types import Array


def expectation(
    program: Program,
    observable: Any = None,
    shots: int | None = None,
    loops: Rule | None = None,
    noise: Noise | None = None,
    solver: str = "gmres",
) -> "Expectation | SampledExpectation":
    r"""The expected value of a program as a function of its parameters.

    Without `shots`: exact density semantics, loops solved as linear systems and not truncated,
    $E(\theta) = \mathrm{tr}(O\, [\![P_\theta]\!](\rho_0))$; a JAX function under `jit`, `vmap`, `grad`, `hessian`.
    With `shots`: unbiased estimates with error bars.

    Args:
        program: the program.
        observable: a `PauliSum` on the register of an operation that returns `Unit`; `None` for one that returns data:
            then it is the mean of that (`Result[]`: the number with those bits, first bit lowest). Of an operation
            that returns data and has a register (`load(..., register=True)`) it is the mean of their product.
        shots: shots of one estimate; `None` for the exact value.
        loops: how the sampled gradient is estimated: `Roulette` (shifts, as on a quantum computer), `Score` or
            `ExitMean` (along the trajectories of the simulator), `Regenerative` or `FiniteDifference`; `None` is
            `Roulette()`.
        noise: what follows every gate, exactly or as part of the program that is run; `None` is nothing.
        solver: "gmres" or "anderson": how loops are solved exactly where more directions are reached than can be
            stored; else they are solved directly. Either way the residual is checked, and NaN where it is large.

    Returns:
        `Expectation`, called with theta `[params]`; or with `shots` an object called with theta and a key, and its
        method `gradient`, both giving `Stats`.

    Raises:
        SpaceError: the observable is missing, not wanted, not Hermitian, or of another size than the register.
        UnsupportedError: the program returns several values, or is too large for the exact semantics.
        TerminationError: a loop ends for no parameters.
        PrecisionError: JAX runs in 32-bit mode.

    Example:
        >>> import diffquantum, jax, jax.numpy as jnp
        >>> text = "operation Flips(t : Double) : Int { use q = Qubit(); mutable n = 0; Ry(t, q);"
        >>> text += " while M(q) == Zero { n += 1; Ry(t, q); } Reset(q); n }"
        >>> mean = diffquantum.expectation(diffquantum.load(text))
        >>> bool(abs(mean(jnp.array([1.0])) - 1 / jnp.tan(0.5) ** 2) < 1e-12)
        True
        >>> print(jax.grad(mean)(jnp.array([1.0])).round(6))
        [-7.963876]

    Source: semantics of quantum while programs; derivative by the implicit function theorem.
    """
    terms = _terms(program, observable)
    if shots is not None:
        return sampled(program if noise is None else noisy(program, noise), observable, shots, loops)
    if loops is not None:
        raise ConfigError(
            "The exact expectation does not sample its loops.",
            got=f"loops={loops}",
            expected="loops only together with shots",
            try_="expectation(program, observable, shots=1000, loops=...)",
        )
    require_x64("An exact expectation")
    if solver not in SOLVERS:
        unknown_name("solver", solver, SOLVERS)
    return Expectation(program, terms, noise, solver)


def _terms(program: Program, observable: Any) -> tuple[tuple[str, ...], Array] | None:
    if program.kind == "unit" and not program.outputs and not program.register:
        raise UnsupportedError(
            f"The operation {program.name} returns nothing and has no register.",
            got="Unit, and no Qubit arguments",
            expected="an operation that returns a number, or one on qubits it is given",
            try_="operation Prepare(theta : Double[], qs : Qubit[]) : Unit",
        )
    if observable is not None and program.register and observable.hilbert.n_sites != len(program.register):
        raise SpaceError(
            f"The observable does not fit the register of {program.name}.",
            got=f"strings of {observable.hilbert.n_sites} letters",
            expected=f"{len(program.register)} letters, one a qubit",
            try_="load(..., qubits=...) and observable of the same size",
        )
    return pauli_terms(program, observable)


class Expectation:
    """The exact expected value of a program: a JAX function of theta. Made by `expectation`.

    Args:
        program: the program.
        terms: strings and coefficients of the observable, or `None`.
        noise: what follows every gate.
        solver: see `expectation`.
    """

    def __init__(
        self,
        program: Program,
        terms: tuple[tuple[str, ...], Array] | None,
        noise: Noise | None = None,
        solver: str = "gmres",
    ):
        self.program = program
        strings, self.coefficients = terms or (("",), jnp.ones(1))
        self.exact = Exact(program, (number(program),), noise=noise, strings=strings, solver=solver)
        self.arrays = {name: jnp.asarray(a) for name, a in self.exact.arrays().items()}
        self.function = jax.jit(self._value)

    def __repr__(self) -> str:
        return (
            f"Expectation({self.program.name}, {len(self.program.parameters)} parameters, "
            f"{len(self.coefficients)} terms)"
        )

    def _value(self, theta: Array, coefficients: Array, arrays: dict) -> Array:
        """The value, not a number where a loop does not end."""
        arrays = jax.lax.optimization_barrier(arrays)  # else the compiler folds them as constants
        means, ends = self.exact.values(theta, arrays)
        return jnp.dot(coefficients, means[:, 0]) * jnp.where(ends, 1.0, jnp.nan)

    def __call__(self, theta: Any) -> Array:
        """The value at theta `[params]`.

        Raises:
            ShapeError: the number of parameters is wrong.
            TerminationError: a loop does not end there; under `jit`, `grad` or `vmap` the value is NaN instead.
        """
        theta = self._parameters(theta)
        kept(self.program, theta)
        value = self.function(theta, self.coefficients, self.arrays)
        if not isinstance(value, Tracer) and not np.isfinite(value):
            raise never_ends(self.exact.termination(np.asarray(theta)).radius)
        return value

    def termination(self, theta: Any) -> Termination:
        """Spectral radius, mean number of turns and size of each loop at concrete parameters."""
        return self.exact.termination(np.asarray(self._parameters(theta)))

    def _parameters(self, theta: Any) -> Array:
        theta = jnp.asarray(theta, dtype=float)
        check_theta(self.program, theta)
        return theta


def _digits(program: Program, string: str) -> tuple[int, ...]:
    """The place of a Pauli string on the register among the components of all qubits."""
    digits = [0] * program.qubits
    for qubit, letter in zip(program.register, string):
        digits[qubit] = "IXYZ".index(letter)
    return tuple(digits)
