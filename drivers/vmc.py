"""Variational Monte Carlo: ground states by stochastic reconfiguration or plain gradients."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from drivers.base import AbstractDriver, whole_steps
from drivers.bounds import lower_bound
from drivers.measure import (
    FRESH,
    chains_of,
    check_job,
    check_rules,
    energy_info,
    facts_of,
    fresh_energy,
    observed,
    opened,
    settled,
)
from drivers.reasons import sentences
from drivers.trust import Point, Trust, below_floor, copied, decide, plain_outcome, propose
from qml._core import tree
from qml._core.errors import ConfigError
from qml._core.precision import real_dtype
from qml._core.types import Array, Params
from qml.estimate import SR, AbstractPreconditioner, Samples
from qml.estimate.health import watch
from qml.estimate.phase import added_forces, check_phases
from qml.operator import AbstractOperator
from qml.state import AbstractState


class VMC(AbstractDriver):
    r"""Minimise $E(\theta) = \langle\psi_\theta|H|\psi_\theta\rangle / \langle\psi_\theta|\psi_\theta\rangle$.

    One step draws samples, takes local energies, and hands the optimiser either the solution $x$ of
    $(S + \lambda)\,x = F$, or without a preconditioner the gradient $2F$. Coefficients of the Hamiltonian are inputs of
    the compiled step: other couplings compile nothing.

    Each step records `energy` (Stats with error, variance, tau and R-hat), `v_score`, `acceptance` (of chains) and
    `update_norm`, the Euclidean norm of what the optimiser is given; whether the step was `taken`, its `step_length`
    and the effective share of the samples after it, `step_effective`; of a metric that is solved by conjugate gradients
    also the `residual` and the number of `steps` (`solve`). `result.energy` is measured after the run: new
    chains from random starts, thermalised, `fresh` times the samples of a step. It is never the minimum of the trace.

    Every step is judged before it is taken, see `drivers.Trust`: one that leaves its samples, or changes the energy far
    from what the gradient predicts, is undone and tried again with stronger damping. The run ends, with a sentence that
    says what happened and what to try, when five steps in a row fail, when chains are frozen, or when the energy lies
    more than five error bars below a rigorous lower bound, which only broken sampling can give.

    Args:
        hamiltonian: Hermitian operator on the space of the state.
        optimizer: an Optax optimiser; with a preconditioner usually `optax.sgd(0.02)`.
        precondition: `qml.estimate.SR(...)` or another preconditioner, or `None` for plain gradients. What it remembers
            is part of the carry: saved, resumed and undone with it.
        trust: the judge of the steps; `None` takes every step.
        phases: take the forces on parameters of the phase alone from two estimates, mixed for the least variance, see
            `qml.estimate.phase_forces`: `True` for the phases of a product, `amplitude * Phase(network)`, or the
            beginnings of paths of parameters. With plain gradients, and with SR, SPRING and MARCH that have a shift.
        fresh: how many times the samples of a step the final numbers are made of, >= 1.

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

    quick: ClassVar[bool] = True
    hamiltonian: AbstractOperator
    optimizer: Any
    precondition: AbstractPreconditioner | None = None
    observe: Mapping[str, AbstractOperator] = eqx.field(default_factory=dict)
    trust: Trust | None = eqx.field(default_factory=Trust)
    fresh: int = eqx.field(default=FRESH, static=True)
    phases: bool | tuple[str, ...] = eqx.field(default=False, static=True)

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
        check_rules(self.optimizer, self.fresh)
        state = opened(thing, key)
        self._check_phases(state)
        memory = self.optimizer.init(thing.params)
        metric = () if self.precondition is None else self.precondition.init(thing.params)
        point = {"state": state, "memory": memory, "metric": metric}
        guard = {} if self.trust is None else {"guard": self.trust.init(), "anchor": copied(point)}
        return {**point, **guard, "floor": jax.device_put(np.array(lower_bound(self.hamiltonian).value, real_dtype()))}

    def step(self, carry: dict) -> tuple[dict, dict]:
        """Sample, measure, solve; take the step if it can be trusted."""
        here = {name: carry[name] for name in ("state", "memory", "metric")}
        state, samples = carry["state"].sample()
        local = state.local_values(self.hamiltonian, samples)
        samples, local = jax.lax.optimization_barrier((samples, local))  # the kernel of the solve is not made before
        chains = chains_of(state)
        seen = watch(chains)
        info = {**energy_info(state, samples, local), **observed(state, samples, self.observe)}
        energy, floor = info["energy"], carry["floor"]
        below = below_floor(energy, floor)
        added = self._added(state, samples, local) if self.phases else None
        change, memory, metric, extra = propose(self, state, samples, local, carry, added)
        known = () if chains is None else chains.log_psi
        sound = True if state.ansatz.fallback else tree.all_finite((known, local, change))
        if self.trust is None:
            status, reason = plain_outcome(below, seen)
            moved = settled(state.with_params(optax.apply_updates(state.params, change)))
            info = {**info, **extra, "status": status, "reason": reason, "sound": sound}
            return {"state": moved, "memory": memory, "metric": metric, "floor": floor}, info
        change, verdict = self.trust.judge(state, samples, local, self.hamiltonian, change, energy.tau)
        moved = settled(state.with_params(optax.apply_updates(state.params, change)))
        there = {"state": moved, "memory": memory, "metric": metric}
        new, step = decide(self.trust, carry, Point(here, there, energy, energy, verdict, below, seen))
        return new, {**info, **extra, **step, "sound": sound & jnp.isfinite(verdict.change)}

    def _added(self, state: AbstractState, samples: Samples, local: Array) -> Params:
        """What the second estimate adds to the forces on phases."""
        return added_forces(state.ansatz, state.params, self.hamiltonian, samples, local, self.phases, state.chunk)

    def _check_phases(self, state: AbstractState) -> None:
        if not self.phases:
            return
        rule = self.precondition
        inner = getattr(rule, "rule", rule)
        if rule is not None and not (isinstance(inner, SR) and inner.shift is not None and inner.snr is None):
            raise ConfigError(
                "Forces on phases are mixed of two estimates for plain gradients, or for a metric that has a shift.",
                got=f"phases={self.phases!r} and {rule}",
                expected="precondition=None, or SR, SPRING or MARCH with a shift and without snr",
                try_="precondition=qml.estimate.SR(shift=1e-3)",
            )
        x = state.hilbert.random_state(jax.random.key(0), 16)
        check_phases(state.ansatz, state.params, x, self.phases)

    def final(self, carry: dict) -> dict:
        """Energy and observables from fresh samples, and the bound they must not fall below."""
        return {
            **fresh_energy(carry["state"], self.hamiltonian, self.observe, self.fresh),
            "lower_bound": carry["floor"],
        }

    def sentences(self) -> tuple[str, ...]:
        """See `AbstractDriver.sentences`."""
        return sentences(self.trust)

    def facts(self, thing: AbstractState) -> dict:
        """See `AbstractDriver.facts`."""
        return facts_of(self.hamiltonian, [thing])

    def finish(self, thing: AbstractState, carry: dict) -> AbstractState:
        """The state with its last parameters and chains."""
        return carry["state"]
