r"""Expected values and gradients from shots, unbiased and with error bars, loops and all."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from diffquantum.errors import UnsupportedError
from diffquantum.estimate.insertion import gradient_of
from diffquantum.estimate.renewal import Regenerative
from diffquantum.estimate.rules import ExitMean, FiniteDifference, Score
from diffquantum.ir import Program
from diffquantum.simulate.shots import Samples, sample
from diffquantum.transform.derivative import gradient_program, parameter_number
from diffquantum.transform.gadget import Roulette
from diffquantum.transform.placed import placed
from diffquantum.transform.simplify import number
from qml._core.errors import ConfigError, SpaceError
from qml._core.types import Array, RandomKey
from qml.estimate.stats import Stats

Rule = Roulette | Score | ExitMean | FiniteDifference | Regenerative


def value(program: Program, observable: Any, theta: Array, key: RandomKey, shots: int, **settings: Any) -> Stats:
    r"""The mean of a program from shots: of what it returns, of an observable, or of their product.

    Args:
        program: the program.
        observable: a `PauliSum` on the register, or `None` for a program that returns a number.
        theta: the parameters `[params]`.
        key: a typed key.
        shots: number of runs.
        settings: `outcomes`, `limit` and `dtype` of `simulate.shots.sample`.

    Returns:
        The mean; NaN if a shot did not end within the limit.

    Raises:
        SpaceError: an observable is missing, not wanted, or not Hermitian.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from diffquantum.ir import Const, Gate, Measure, Parameter, Program, Var
        >>> from diffquantum.estimate.sampled import value
        >>> body = (Gate("rx", (Const(0),), Parameter(0)), Measure(Const(0), "m"))
        >>> program = Program("Flip", ("angle",), 1, body, outputs=(Var("m"),), kind="result")
        >>> abs(value(program, None, jnp.array([jnp.pi / 2]), jax.random.key(0), 1000).mean - 0.5) < 0.1
        Array(True, dtype=bool)
    """
    return _statistics(_single(program), observable, theta, key, shots, settings)[0]


def gradient(
    program: Program,
    observable: Any,
    theta: Array,
    key: RandomKey,
    shots: int,
    loops: Rule | None = None,
    parameters: Sequence[int | str] | None = None,
    **settings: Any,
) -> Stats:
    r"""The gradient of `value` with respect to all parameters, from shots of one program.

    Each shot inserts one shift at one occurrence of a parameter; $X_j = \pm (f - b)\, \partial_j\phi / \mu(k)$ has the
    mean $\partial_j E$ exactly, for unbounded loops too. Without hazards in `loops` the first 4 to 25 % of shots are
    a pilot that fits the law; with hazards, every shot is a run of the derivative program with its coins. Entries
    are correlated, as they come from the same shots.

    Args:
        program: the program.
        observable: a `PauliSum` on the register, or `None` for a program that returns a number.
        theta: the parameters `[params]`.
        key: a typed key.
        shots: number of runs, for all parameters together, the pilot counted.
        loops: `Roulette` with where to insert, as on hardware; or `FiniteDifference` or `Regenerative`; or on the
            simulator `Score` or `ExitMean`; `None` is `Roulette()`.
        parameters: the parameters to differentiate in; `None` is all.
        settings: `outcomes`, `limit` and `dtype` of `simulate.shots.sample`.

    Returns:
        Means and errors `[params]`, of the chosen parameters in that order.

    Raises:
        SpaceError: an observable is missing, not wanted, or not Hermitian.

    Source: Fang et al., arXiv 2211.04507; variance as in the documentation of `Roulette`.
    """
    if not program.parameters:
        raise UnsupportedError(
            f"The program {program.name} has no parameters.",
            got="()",
            expected="at least one Double argument",
            try_="its mean without gradient",
        )
    chosen = range(len(program.parameters)) if parameters is None else parameters
    every, loops = tuple(parameter_number(program, j) for j in chosen), loops or Roulette()
    _check_rule(loops)
    terms = pauli_terms(program, observable)
    if not isinstance(loops, Roulette):
        if isinstance(loops, Regenerative):
            found = loops.gradient(program, theta, key, shots, gradient, **settings)
        else:
            found = loops.gradient(_single(program), terms, jnp.asarray(theta), key, shots, **settings)
        return found if parameters is None else found[jnp.array(every)]
    if loops.hazards:
        return _statistics(gradient_program(program, every, loops), observable, theta, key, shots, settings)
    whole = placed(program, every)

    def run(key: RandomKey, given: dict[str, Array], shots: int) -> Samples:
        return sample(whole.program, theta, key, shots, observable=terms, given=given, **settings)

    return gradient_of(whole, run, key, shots, loops)


def sampled(
    program: Program,
    observable: Any,
    shots: int,
    loops: Any = None,
    **settings: Any,
) -> "SampledExpectation":
    """The expectation of a program as a function of parameters and key, from `shots` shots a call.

    Args:
        program: the program.
        observable: a `PauliSum` on the register, or `None` for a program that returns a number.
        shots: runs for one value, and for one gradient.
        loops: how gradients are estimated, a `Rule`; `None` is `Roulette()`.
        settings: `outcomes`, `limit` and `dtype` of the simulator.

    Raises:
        ConfigError: `loops` is no way to estimate a gradient.
    """
    _check_rule(loops or Roulette())
    pauli_terms(program, observable)
    return SampledExpectation(program, observable, int(shots), loops or Roulette(), tuple(sorted(settings.items())))


class SampledExpectation(eqx.Module):
    """An expected value from shots.

    Args:
        program: the program.
        observable: a `PauliSum`, or `None`.
        shots: runs for one value, and for one gradient.
        loops: how gradients are estimated.
        settings: settings of the simulator, as pairs.
    """

    program: Program = eqx.field(static=True)
    observable: Any
    shots: int = eqx.field(static=True)
    loops: Rule = eqx.field(static=True)
    settings: tuple = eqx.field(static=True, default=())

    def __call__(self, theta: Array, key: RandomKey) -> Stats:
        """The value at `theta` `[params]`, with its error."""
        if isinstance(self.loops, ExitMean):
            terms = pauli_terms(self.program, self.observable)
            theta, settings = jnp.asarray(theta), dict(self.settings)
            return self.loops.value(_single(self.program), terms, theta, key, self.shots, **settings)
        if isinstance(self.loops, Regenerative):
            return self.loops.value(self.program, theta, key, self.shots, **dict(self.settings))
        return value(self.program, self.observable, theta, key, self.shots, **dict(self.settings))

    def gradient(self, theta: Array, key: RandomKey) -> Stats:
        """The gradient at `theta`, means and errors `[params]`."""
        return gradient(self.program, self.observable, theta, key, self.shots, self.loops, **dict(self.settings))


def _check_rule(rule: object) -> None:
    if not isinstance(rule, Rule):
        raise ConfigError(
            "This is no way to estimate a gradient.",
            got=repr(rule),
            expected="Roulette(), Score(), ExitMean(), FiniteDifference() or Regenerative()",
            try_="Roulette()",
        )


def _single(program: Program) -> Program:
    """The program with one output: its number."""
    return dataclasses.replace(program, outputs=(number(program),), kind="double")


def _statistics(program: Program, observable: Any, theta: Array, key: RandomKey, shots: int, settings: dict) -> Stats:
    """Statistics `[outputs]` of the outputs of a program, each times the observable."""
    samples = sample(program, jnp.asarray(theta), key, shots, observable=pauli_terms(program, observable), **settings)
    values = jnp.stack([x.astype(jnp.result_type(float)) for x in samples.outputs], axis=1)
    if samples.observable is not None:
        values = values * samples.observable[:, None]
    return Stats.of(jnp.where(jnp.all(samples.finished), values, jnp.nan))


def pauli_terms(program: Program, observable: Any) -> tuple[tuple[str, ...], Array] | None:
    """Strings and real coefficients of an observable that fits the program.

    Raises:
        SpaceError: an observable is missing, not wanted, or not Hermitian.
    """
    if (observable is None) == bool(program.register):
        raise SpaceError(
            f"The program {program.name} "
            + ("prepares a state, and needs an observable." if program.register else "returns data, not a state."),
            got=f"observable = {observable}",
            expected=f"a PauliSum on {len(program.register)} qubits" if program.register else "observable = None",
            try_='qml.operator.PauliSum({"' + "Z" * max(len(program.register), 1) + '": 1.0})'
            if program.register
            else "leave the observable out: the value is the mean of what the operation returns",
        )
    if observable is None:
        return None
    strings = tuple(observable.strings.word(k) for k in range(len(observable.strings)))
    coefficients = jnp.asarray(observable.coefficients)
    if not jnp.iscomplexobj(coefficients):
        return strings, coefficients
    if not isinstance(coefficients, jax.core.Tracer) and np.any(np.imag(coefficients)):  # type: ignore[attr-defined]
        raise SpaceError(
            "An observable is Hermitian, and this one has complex coefficients.",
            got=str(observable),
            expected="real coefficients of Pauli strings",
            try_="the real part, (observable + observable.adjoint()) / 2",
        )
    return strings, coefficients.real
