"""Variational Monte Carlo: ground states by stochastic reconfiguration or plain gradients."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from drivers.base import AbstractDriver, whole_steps
from drivers.io.result import Status
from drivers.measure import check_job, energy_info, fresh_energy, observed, reseeded, settled
from qml._core import tree
from qml._core.errors import ConfigError
from qml.estimate import AbstractPreconditioner, forces
from qml.operator import AbstractOperator
from qml.state import AbstractState


class VMC(AbstractDriver):
    r"""Minimise $E(\theta) = \langle\psi_\theta|H|\psi_\theta\rangle / \langle\psi_\theta|\psi_\theta\rangle$.

    One step draws samples, takes local energies, and hands the optimiser either the solution $x$ of
    $(S + \lambda)\,x = F$, or without a preconditioner the gradient $2F$. Coefficients of the Hamiltonian are inputs of
    the compiled step: other couplings compile nothing.

    Each step records `energy` (Stats with error, variance, tau and R-hat), `v_score`, `acceptance` (of chains) and
    `update_norm`, the Euclidean norm of what the optimiser is given; of a metric that is solved by conjugate gradients
    also the `residual` and the number of `steps` (`solve`). `result.energy` is measured after the run: new
    chains from random starts, thermalised, four times the samples of a step. It is never the minimum of the trace.

    An energy below every eigenvalue by more than five error bars can only come from broken sampling: the run stops
    with status `diverged`.

    Args:
        hamiltonian: Hermitian operator on the space of the state.
        optimizer: an Optax optimiser; with a preconditioner usually `optax.sgd(0.02)`.
        precondition: `qml.estimate.SR(...)` or another preconditioner, or `None` for plain gradients. What it remembers
            is part of the carry: saved, resumed and undone with it.

    Example:
        >>> import optax, qml, drivers
        >>> from flax import nnx
        >>> space, chain = qml.hilbert.Spin(4), qml.lattice.Chain(4)
        >>> ising = qml.operator.Ising(space, chain, j=-1.0, h=2.0)
        >>> state = qml.FullSumState(qml.ansatz.RBM(space, rngs=nnx.Rngs(0)), space)
        >>> driver = drivers.VMC(ising, optax.sgd(0.1), precondition=qml.estimate.SR(shift=1e-3))
        >>> result = driver.run(state, steps=60)
        >>> print(f"{float(result.energy.mean):.1f}")
        -8.5

    Source: Becca and Sorella, Quantum Monte Carlo Approaches for Correlated Systems (2017), ch. 5-6.
    """

    hamiltonian: AbstractOperator
    optimizer: Any
    precondition: AbstractPreconditioner | None = None
    observe: Mapping[str, AbstractOperator] = eqx.field(default_factory=dict)

    def plan(
        self, steps: int | None, time: float | int | None, every: float | int | None, observe: Any
    ) -> tuple["VMC", int]:
        """See `AbstractDriver.plan`; `observe` adds operators that are measured at every step."""
        if time is not None or every is not None:
            raise ConfigError(
                "VMC does not evolve in time.",
                got=f"time={time}, every={every}",
                expected="steps=",
                try_="drivers.TDVP(hamiltonian, drivers.Heun(0.01)) for time evolution",
            )
        driver = self if observe is None else dataclasses.replace(self, observe=dict(observe))
        return driver, whole_steps(steps)

    def init(self, thing: Any, key: Any) -> dict:
        """The state, the optimiser's state, and the lower end of the spectrum's bound."""
        check_job(thing, self.hamiltonian, self.observe)
        if not isinstance(self.optimizer, optax.GradientTransformation | optax.GradientTransformationExtraArgs):
            raise ConfigError(
                "The optimizer is no Optax optimiser.",
                got=type(self.optimizer).__name__,
                expected="an optax.GradientTransformation",
                try_="optax.sgd(0.02), optax.adam(1e-3)",
            )
        centre, radius = self.hamiltonian.bound()
        state = settled(reseeded(thing, key))
        return {
            "state": state,
            "memory": self.optimizer.init(thing.params),
            "metric": () if self.precondition is None else self.precondition.init(thing.params),
            "floor": jnp.asarray(centre - radius),
        }

    def step(self, carry: dict) -> tuple[dict, dict]:
        """Sample, measure, solve, update."""
        floor, metric, solve = carry["floor"], carry["metric"], {}
        state, samples = carry["state"].sample()
        local = state.local_values(self.hamiltonian, samples)
        if self.precondition is None:
            half = forces(state.ansatz, state.params, samples, local, chunk=state.chunk)
            gradient = jax.tree.map(lambda f: 2 * f, half)
        else:
            found, metric = self.precondition.step(state.ansatz, state.params, samples, local, metric)
            gradient = found.update
            solve = {"solve": {"residual": found.residual, "steps": found.steps}} if "cg" in found.form else {}
        updates, memory = self.optimizer.update(gradient, carry["memory"], state.params)
        moved = state.with_params(optax.apply_updates(state.params, updates))
        info = {**energy_info(state, samples, local), **observed(state, samples, self.observe)}
        energy = info["energy"]
        error = jnp.where(jnp.isfinite(energy.error), energy.error, jnp.inf)
        slack = 5 * error + 1e-6 * jnp.abs(floor)
        status = jnp.where(energy.mean < floor - slack, int(Status.DIVERGED), int(Status.RUNNING))
        info = {**info, **solve, "update_norm": tree.norm(gradient), "status": status}
        return {"state": settled(moved), "memory": memory, "metric": metric, "floor": floor}, info

    def final(self, carry: dict) -> dict:
        """Energy and observables from fresh samples."""
        return fresh_energy(carry["state"], self.hamiltonian, self.observe)

    def finish(self, thing: AbstractState, carry: dict) -> AbstractState:
        """The state with its last parameters and chains."""
        return carry["state"]
