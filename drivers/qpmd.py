"""Quantum-probabilistic mirror descent: fit Gibbs states and learn Hamiltonians."""

from typing import Any, final

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax

from drivers.base import AbstractDriver
from drivers.io.result import Status
from qml._core.errors import ConfigError
from qml._core.types import Array, Float, PyTree
from qml.gibbs import AbstractGibbs, MatrixCircuit, PauliGibbs, TiedGibbs, VectorGibbs, levenberg_marquardt, vector_fit
from qml.gibbs.family import AbstractLinear
from qml.gibbs.objective import AbstractObjective, linear

SENTENCES = (
    "the driver ended the run",
    "no state has these marginals: fitted are marginals shrunk by the factor `kept`, and the couplings have infinite "
    "error bars; qml.gibbs.nearest_feasible gives the nearest marginals that a state has; "
    "try more shots or method='likelihood'",
    "the state would be too cold for series of random vectors, so the couplings went no further: few states have such "
    "averages, if any; try more shots, or fewer strings",
)


class _Carry(eqx.Module):
    model: Any  # AbstractGibbs or VectorGibbs
    data: PyTree
    memory: PyTree


def program_circuit(program: Any) -> MatrixCircuit:
    r"""The unitary of a program of gates, for latent thermal states: sites are the qubits of its register, in order.

    Args:
        program: a `diffquantum.Program` of gates alone, on constant qubits and without further ones.

    Raises:
        UnsupportedError: it measures, resets, branches, loops, has qubits beside its register, or was probed.

    Example:
        >>> import jax, drivers, qml
        >>> from diffquantum.ir import Const, Gate, Parameter, Program
        >>> turn = Program("Turn", ("t",), 1, (Gate("ry", (Const(0),), Parameter(0)),), register=(0,))
        >>> start = qml.gibbs.LatentGibbs(qml.gibbs.KOBE(1, 1), drivers.program_circuit(turn)).random(jax.random.key(0))
        >>> fit = drivers.QPMD(qml.gibbs.ThermalObjective(qml.operator.PauliSum({"X": 1.0}))).run(start, steps=30)
        >>> print(f"{fit.state.expect(qml.operator.PauliSum({'X': 1.0})).mean:.6f}")
        -0.761594
    """
    from diffquantum.errors import UnsupportedError
    from diffquantum.ir import Const, Gate, variables
    from diffquantum.simulate.gates import unitary
    from diffquantum.simulate.operations import evaluate

    register = tuple(program.register or range(program.qubits))
    for statement in program.body:
        plain = isinstance(statement, Gate) and all(isinstance(q, Const) for q in statement.qubits)
        plain = plain and (statement.angle is None or not variables(statement.angle))
        if not plain or program.guard is not None or sorted(register) != list(range(program.qubits)):
            raise UnsupportedError(
                f"The program {program.name} is not a unitary on its register.",
                got=f"{type(statement).__name__}, {program.qubits} qubits with a register of {len(register)}",
                expected="gates on constant qubits of the register, no measurement, branch or loop",
                try_="diffquantum.load(..., qubits=n) of an operation of gates",
            )

    def matrix(theta: Array) -> Array:
        count = program.qubits
        columns = jnp.eye(2**count, dtype=complex).reshape((2,) * count + (2**count,))
        for statement in program.body:
            angle = None if statement.angle is None else evaluate(statement.angle, theta, jnp)
            axes = [register.index(int(q.value)) for q in statement.qubits]
            square = jnp.asarray(unitary(statement.name, angle, jnp)).reshape((2,) * (2 * len(axes)))
            columns = jnp.tensordot(square, columns, axes=(list(range(len(axes), 2 * len(axes))), axes))
            columns = jnp.moveaxis(columns, np.arange(len(axes)).tolist(), axes)
        return columns.reshape(2**count, 2**count)

    return MatrixCircuit(len(register), len(program.parameters), matrix)


@final
class QPMD(AbstractDriver):
    r"""Quantum-probabilistic mirror descent on the couplings of a Gibbs state.

    One step minimises $\langle g, \theta\rangle + D/\lambda$ with a divergence of the state family in place of the
    squared distance, so it follows the natural gradient of the Kubo-Mori metric (for a likelihood: of the Fisher metric
    of the measurement). The error shrinks by $1 - \lambda$ a step at any temperature; $\lambda = 1$ is Newton's method.

    Args:
        objective: `ThermalObjective`, `DataObjective`, `MarginalObjective`, `StateObjective` or `StreamObjective`.
        step_size: $\lambda$ in (0, 1].
        damping: added to metrics with unit diagonal before they are inverted, >= 0.
        tolerance: stop when no coupling would move by more than this in a full step; 0 never stops early.
        optimizer: takes the steps instead, on the gradient of the objective: one of `qml.gibbs` (`levenberg_marquardt`,
            `natural_gradient`, `mirror`, `safe_newton`, `published_mirror`) or any other of Optax; `step_size` and
            `damping` are not used then. `None` is mirror descent, and `levenberg_marquardt()` for latent models.

    Raises:
        ConfigError: a setting is out of range.

    Example:
        >>> import drivers, qml
        >>> target = qml.operator.PauliSum({"ZZ": -1.0, "XI": 0.5})
        >>> model = qml.gibbs.PauliGibbs(("ZZ", "XI", "IX"))
        >>> driver = drivers.QPMD(qml.gibbs.ThermalObjective(target, beta=2.0), step_size=1.0)
        >>> result = driver.run(model, steps=5)
        >>> print(result.state.hamiltonian(beta=2.0))
        -1 Z0 Z1 + 0.5 X0 + 0 X1

    Source: Sbahi, Martinez, Patel, Saberi, Yoo, Roeder, Verdon, arXiv:2206.04663.
    """

    objective: AbstractObjective
    step_size: Float[Array, ""]
    damping: Float[Array, ""]
    tolerance: Float[Array, ""]
    optimizer: Any

    def __init__(
        self,
        objective: Any,
        step_size: float = 0.5,
        *,
        damping: float = 0.0,
        tolerance: float = 1e-10,
        optimizer: Any = None,
    ):
        if not isinstance(objective, AbstractObjective):
            raise ConfigError(
                "Mirror descent needs an objective for Gibbs models.",
                got=type(objective).__name__,
                expected="ThermalObjective, MarginalObjective or DataObjective",
                try_="QPMD(qml.gibbs.ThermalObjective(hamiltonian, beta=1.0))",
            )
        if not (0 < step_size <= 1 and 0 <= damping < np.inf and 0 <= tolerance < np.inf):
            raise ConfigError(
                "A setting of mirror descent is out of range.",
                got=f"step_size={step_size}, damping={damping}, tolerance={tolerance}",
                expected="0 < step_size <= 1, damping >= 0, tolerance >= 0",
                try_="step_size=0.5",
            )
        if optimizer is not None and not isinstance(optimizer, optax.GradientTransformation):
            raise ConfigError(
                "The optimizer is no Optax optimiser.",
                got=type(optimizer).__name__,
                expected="an optax.GradientTransformation",
                try_="qml.gibbs.levenberg_marquardt(), optax.adam(1e-2)",
            )
        self.objective = objective
        self.optimizer = optimizer
        self.step_size, self.damping, self.tolerance = (jnp.asarray(float(x)) for x in (step_size, damping, tolerance))

    def init(self, thing: Any, key: Any) -> _Carry:
        """The model and what the objective keeps beside it; no randomness is used.

        Raises:
            ConfigError: the thing to fit is not a Gibbs model, or the objective takes its own steps only.
        """
        if isinstance(thing, VectorGibbs) and self.optimizer is None:
            return _Carry(thing, vector_fit.begin(self.objective, thing), ())
        if not isinstance(thing, AbstractGibbs):
            raise ConfigError(
                "Mirror descent fits Gibbs models.",
                got=type(thing).__name__ + ("" if self.optimizer is None else " with an optimizer"),
                expected="a PauliGibbs, TiedGibbs or LatentGibbs; a VectorGibbs without an optimizer",
                try_="qml.gibbs.PauliGibbs.local(hilbert, lattice, body=2)",
            )
        rule = self._rule(thing)
        if rule is not None and self.objective.own_steps:
            raise ConfigError(
                "This objective takes its own steps, with couplings that enter K linearly.",
                got=f"{type(self.objective).__name__} with {type(thing).__name__} and optimizer={self.optimizer!r:.40}",
                expected="a PauliGibbs or TiedGibbs, and no optimizer",
                try_="optimizer=None; qml.gibbs.streaming() is the optimiser for streams",
            )
        memory = () if rule is None else rule.init(thing.params)
        model = thing.with_theta(thing.theta) if isinstance(thing, PauliGibbs) else thing
        return _Carry(model, self.objective.prepare(thing), memory)

    def facts(self, thing: Any) -> dict:
        """See `AbstractDriver.facts`: the strings of couplings, of which a run leaves tables in its folder."""
        strings = thing.strings if isinstance(thing, PauliGibbs | TiedGibbs | VectorGibbs) else ()
        return {"couplings": [strings.word(k) for k in range(len(strings))]} if strings else {}

    def _rule(self, model: AbstractGibbs) -> Any:
        """The optimiser, if not the objective takes its own steps."""
        if self.optimizer is not None:
            return optax.with_extra_args_support(self.optimizer)
        return None if isinstance(model, AbstractLinear) else levenberg_marquardt()

    def step(self, carry: _Carry) -> tuple[_Carry, dict[str, Array]]:
        """One mirror step, or one of the optimiser."""
        if isinstance(carry.model, VectorGibbs):
            return self._by_vectors(carry.model, carry.data)
        rule = self._rule(carry.model)
        if rule is not None:
            return self._optimised(rule, carry)
        model, data, info = self.objective.advance(linear(carry.model), carry.data, self.step_size, self.damping)
        stalled, moved = info.pop("stalled"), info["natural_gradient"]
        status = jnp.where(stalled, int(Status.STALLED), int(Status.RUNNING))
        # marginals that no state has were shrunk until some state has them: that fit is not the one asked for
        shrunk = info.get("kept", jnp.ones(())) < 1
        reached = jnp.where(shrunk, int(Status.INFEASIBLE), int(Status.CONVERGED))
        status = jnp.where(moved <= self.tolerance, reached, status)
        reason = jnp.where(shrunk, 1, 0)
        return _Carry(model, data, ()), info | {"status": status.astype(jnp.int32), "reason": reason}

    def _by_vectors(self, model: VectorGibbs, data: PyTree) -> tuple[_Carry, dict[str, Array]]:
        model, data, info = vector_fit.step(model, data, self.step_size)
        stalled = info.pop("stalled")
        moving = jnp.where(info["natural_gradient"] <= self.tolerance, int(Status.CONVERGED), int(Status.RUNNING))
        status = jnp.where(stalled, int(Status.STALLED), moving).astype(jnp.int32)
        return _Carry(model, data, ()), info | {"status": status, "reason": jnp.where(stalled, 2, 0)}

    def _optimised(self, rule: Any, carry: _Carry) -> tuple[_Carry, dict[str, Array]]:
        model, data = carry.model, carry.data

        def value_fn(params: PyTree) -> Array:
            return self.objective.loss(model.with_params(params), data)

        value, gradient = jax.value_and_grad(value_fn)(model.params)
        change, memory = rule.update(
            gradient, carry.memory, model.params, model=model, value=value, grad=gradient, value_fn=value_fn
        )
        found = model.with_params(optax.apply_updates(model.params, change))
        moved = jnp.max(jnp.abs(jax.flatten_util.ravel_pytree(change)[0]))
        slope = jnp.linalg.norm(jax.flatten_util.ravel_pytree(gradient)[0])
        flat = slope <= 1e-8 * (1 + jnp.abs(value))  # what rounding leaves of the loss cannot be lowered
        stopped = jnp.where(flat, int(Status.CONVERGED), int(Status.STALLED))
        status = jnp.where((moved <= self.tolerance) & (self.tolerance > 0), stopped, int(Status.RUNNING))
        info = {
            "loss": self.objective.loss(found, data),
            **self.objective.report(found, data),
            "gradient_norm": slope,
            "natural_gradient": moved,
            "status": status.astype(jnp.int32),
            "reason": jnp.zeros_like(status),
        }
        return _Carry(found, data, memory), info

    def sentences(self) -> tuple[str, ...]:
        """See `AbstractDriver.sentences`."""
        return SENTENCES

    def finish(self, thing: AbstractGibbs | VectorGibbs, carry: _Carry) -> AbstractGibbs | VectorGibbs:
        """The fitted model, with the covariance of its couplings."""
        if isinstance(carry.model, VectorGibbs):
            return vector_fit.finish(carry.model, carry.data)
        return self.objective.finish(carry.model, carry.data)

    def final(self, carry: _Carry) -> dict[str, Array]:
        """Entropy and logarithm of the partition function of the fitted state."""
        if isinstance(carry.model, VectorGibbs):
            return vector_fit.final(carry.model, carry.data)
        return {"entropy": carry.model.entropy(), "log_partition": carry.model.log_partition()}
