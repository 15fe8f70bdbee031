"""Time-dependent variational principle: real and imaginary time evolution of variational states."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from drivers.base import AbstractDriver, whole_steps
from drivers.integrators import Flow, RungeKutta
from drivers.io.result import Status
from drivers.measure import check_job, energy_info, observed, reseeded, settled
from drivers.reasons import SENTENCES, Reason
from qml._core.errors import ConfigError, SpaceError
from qml._core.types import Array, Params
from qml.estimate import SR, Samples
from qml.operator import AbstractOperator, TimeDependent
from qml.state import AbstractState, MCState
from qml.state.base import refused

DEFAULT_RECORDS = 100


class TDVP(AbstractDriver):
    r"""Follow $i\,\partial_t\psi = H\psi$ as closely as the parameters can.

    $$S\,\dot\theta = F, \qquad F = \mathrm{Re}\langle\bar O\,(-i)(E_{loc}-E)\rangle,$$

    and in imaginary time $F = -\mathrm{Re}\langle\bar O\,(E_{loc}-E)\rangle$, which lowers the energy. Norm and
    global phase are not followed. Real parameters with a complex log psi are treated as such, complex ones as pairs of
    real ones.

    One driver step covers exactly `every`, in as many steps of the integrator as it needs. Each step of the integrator
    draws samples once; its later stages use the same configurations, reweighted by $|\psi_{\theta'}/\psi_\theta|^2$, so
    the right side is smooth within a step and the order and the error estimate of the integrator survive the noise.
    (A full sum is summed anew.)

    Each record holds `time`, `energy`, `v_score`, `acceptance`, the observables, `tdvp_error` (time average of
    $r^2 = [\mathrm{Var}\,H + \dot\theta^T S\dot\theta - 2\dot\theta^T F]/\mathrm{Var}\,H$: 0 where the ansatz can
    follow, 1 where it stands still), `dt` (the step to try next), `substeps` and `rejected`.

    The Hamiltonian may depend on time: each stage of the integrator takes it at its own time, and `energy` is that of
    the Hamiltonian at the time of the record. The observables may depend on time too.

    Args:
        hamiltonian: Hermitian operator on the space of the state, or a `qml.operator.TimeDependent`.
        integrator: `Euler(dt)`, `Heun(dt)`, `RK4(dt)` or `Heun(rtol=1e-3)`.
        precondition: how $S$ is inverted; `SR(cutoff=1e-8)` suits time evolution.
        imaginary: evolve in imaginary time.

    Example:
        >>> import jax.numpy as jnp, qml, drivers
        >>> space = qml.hilbert.Spin(1)
        >>> ansatz = (jnp.zeros(2, complex), lambda theta, x: theta[(1 - x[:, 0].astype(int)) // 2])
        >>> state = qml.FullSumState(ansatz, space)  # both amplitudes are parameters: nothing is approximated
        >>> z, x = qml.operator.PauliSum({"Z": 0.5}), {"x": qml.operator.total(space, "X")}
        >>> result = drivers.TDVP(z, drivers.RK4(0.05)).run(state, time=1.0, every=0.5, observe=x)
        >>> result.history["x"].round(4), result.history["time"]  # cos(t)
        (array([1.    , 0.8776, 0.5403]), array([0. , 0.5, 1. ]))

    Source: Carleo and Troyer, Science 355, 602 (2017); error: Schmitt and Heyl, Phys. Rev. Lett. 125, 100503 (2020).
    """

    hamiltonian: AbstractOperator | TimeDependent
    integrator: RungeKutta
    precondition: SR = eqx.field(default_factory=lambda: SR(cutoff=1e-8))
    imaginary: bool = eqx.field(default=False, static=True)
    observe: Mapping[str, Any] = eqx.field(default_factory=dict)
    every: float = eqx.field(default=0.0, static=True)

    def plan(
        self, steps: int | None, time: float | int | None, every: float | int | None, observe: Any
    ) -> tuple["TDVP", int]:
        """The driver with its record interval, and the number of records; see `AbstractDriver.plan`.

        Raises:
            ConfigError: times are missing, not positive, or `time` is no multiple of `every`.
        """
        if (time is None) == (steps is None):
            raise ConfigError(
                "Time evolution takes a total time, or a number of records.",
                got=f"time={time}, steps={steps}",
                expected="one of them",
                try_="run(state, time=2.0, every=0.02)",
            )
        for name, value in (("time", time), ("every", every)):
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(
                    f"{name} is a positive number.", got=value, expected="a float > 0", try_="run(state, time=2.0)"
                )
        if every is None:
            every = self.integrator.dt if time is None else time / DEFAULT_RECORDS
        if every is None:
            raise ConfigError(
                "A number of records needs the time of one.",
                got=f"steps={steps}, every=None",
                expected="every=",
                try_="run(state, steps=100, every=0.02)",
            )
        count = whole_steps(steps) if time is None else round(time / every)
        if time is not None and (count < 1 or abs(count * every - time) > 1e-9 * time):
            raise ConfigError(
                "The total time is no multiple of the time of one record.",
                got=f"time={time}, every={every}",
                expected="a whole number of records",
                try_=f"every={time / max(1, count):.12g}",
            )
        options = {"every": float(every)} if observe is None else {"every": float(every), "observe": dict(observe)}
        return dataclasses.replace(self, **options), count

    def init(self, thing: Any, key: Any) -> dict:
        """The state, the number of records so far, and the step to try."""
        check_job(thing, at(self.hamiltonian, 0.0), {name: at(o, 0.0) for name, o in self.observe.items()})
        if not self.imaginary and not thing.ansatz.is_complex:
            raise SpaceError(
                "A real log psi cannot follow real time evolution: it has no phase.",
                got=f"{thing.ansatz.name} with dtype {thing.ansatz.dtype}",
                expected="a complex log psi, or imaginary=True",
                try_="RBM(hilbert, dtype=complex, rngs=nnx.Rngs(0))",
            )
        dt = jnp.asarray(self.integrator.first_step(self.every), jnp.result_type(float))
        return {"state": settled(reseeded(thing, key)), "count": jnp.array(0, jnp.int32), "dt": dt}

    def start(self, carry: dict) -> dict:
        """Energy and observables at time zero."""
        dt = carry["dt"]
        none = jnp.array(0, jnp.int32)
        rest = {"tdvp_error": jnp.zeros_like(dt), "dt": dt, "substeps": none, "rejected": none}
        return {**self._measure(carry["state"], carry["count"])[1], **rest}

    def step(self, carry: dict) -> tuple[dict, dict]:
        """Evolve by `every`, then measure."""
        start = carry["count"] * self.every
        state, done = self.integrator.advance(
            self._begin, AbstractState.with_params, carry["state"], carry["dt"], self.every, start
        )
        count = carry["count"] + 1
        state, info = self._measure(state, count)
        wrong = refused(state)
        wrong = jnp.asarray(False) if wrong is None else wrong
        status = jnp.where(done.stalled | wrong, int(Status.STALLED), int(Status.RUNNING))
        info = {**info, "tdvp_error": done.mean, "dt": done.dt, "substeps": done.steps, "rejected": done.rejected}
        outcome = {"status": status, "reason": wrong.astype(jnp.int32)}
        return {"state": settled(state), "count": count, "dt": done.dt}, {**info, **outcome}

    def sentences(self) -> tuple[str, ...]:
        """See `AbstractDriver.sentences`."""
        return (SENTENCES[Reason.NONE], SENTENCES[Reason.UPDATES])

    def finish(self, thing: AbstractState, carry: dict) -> AbstractState:
        """The state at the last time."""
        return carry["state"]

    def _measure(self, state: AbstractState, count: Array) -> tuple[AbstractState, dict]:
        state, samples = state.sample()
        time = count * self.every
        local = state.local_values(at(self.hamiltonian, time), samples)
        observe = {name: at(operator, time) for name, operator in self.observe.items()}
        return state, {"time": time, **energy_info(state, samples, local), **observed(state, samples, observe)}

    def _begin(self, state: AbstractState) -> tuple[AbstractState, Params, Flow]:
        """Draw samples; the slope at any parameters, and the length of a change of them, on those samples."""
        state, samples = state.sample()

        def slope(params: Params, time: Array) -> tuple[Params, Array]:
            moved = state.with_params(params)
            rows = reweighted(moved, samples) if isinstance(state, MCState) else moved.sample()[1]
            local = moved.local_values(at(self.hamiltonian, time), rows)
            real_time = not self.imaginary
            found = self.precondition.direction(state.ansatz, params, rows, local, real_time=real_time)
            variance = rows.mean(jnp.abs(local - rows.mean(local)) ** 2)
            rest = variance + found.metric_norm - 2 * found.force_dot
            error = jnp.where(variance > 0, rest / jnp.where(variance > 0, variance, 1.0), 0.0)
            sign = 1.0 if real_time else -1.0
            return jax.tree.map(lambda u: sign * u, found.update), error

        def length(change: Params) -> Array:
            turn = jax.jvp(lambda p: state.ansatz.log_psi(p, samples.x), (state.params,), (change,))[1]
            turn = turn - samples.mean(turn)
            return jnp.sqrt(samples.mean(jnp.abs(turn) ** 2))

        return state, state.params, Flow(slope, length)


def at(operator: Any, time: Any) -> Any:
    """The operator at a time, where it depends on time."""
    return operator(time) if isinstance(operator, TimeDependent) else operator


def reweighted(state: AbstractState, samples: Samples) -> Samples:
    r"""Samples of a nearby state as samples of this one, with weights $\propto w\,|\psi(x)/\psi_0(x)|^2$."""
    log_psi = state.log_psi(samples.x)
    weights = jax.nn.softmax(jnp.log(samples.weights) + 2 * (log_psi - samples.log_psi).real)
    return Samples(samples.x, weights, log_psi, samples.chains, samples.used)
