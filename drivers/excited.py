"""Excited states: several states at once, each kept away from those below it by a penalty on their overlap."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

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
    fresh_samples,
    observed,
    real,
    reseeded,
    settled,
)
from drivers.reasons import sentences
from drivers.subspace import Drawn, fidelity, levels, ratio
from drivers.trust import Point, Trust, below_floor, copied, decide, plain_outcome, propose
from qml._core.errors import ConfigError, SpaceError
from qml._core.precision import real_dtype
from qml._core.types import Array
from qml.estimate import AbstractPreconditioner, diagnose
from qml.estimate.health import watch
from qml.operator import AbstractOperator
from qml.state import AbstractState, MCState


class Excited(AbstractDriver):
    r"""Find the lowest states of a Hamiltonian at once, or the next ones above given states.

    State $i$ lowers $E_i + \sum_{j<i} a_{ij} F_{ij}$ with
    $F_{ij} = |\langle i|j\rangle|^2 / (\langle i|i\rangle\langle j|j\rangle)$: it feels the states before it and
    `lower`, and they do not feel it. This is the energy of $H + \sum_j a_{ij} |j\rangle\langle j|$, whose ground state
    is the excited state as soon as $a_{ij} > E_i - E_j$. The local value of the projector is
    $\psi_j(x)/\psi_i(x)\,\langle\psi_i/\psi_j\rangle_j$, a product of independent estimates: no bias, and no variance
    at the solution.

    Every step of every state is judged before it is taken, as in `drivers.VMC`; what is predicted and found is the
    energy with the penalties. Each step records `energy` (one `Stats` entry a state), `v_score`, `overlap` (with the
    states before it, `lower` first), `acceptance`, whether the step of each state was `taken`, its `step_length` and
    `step_effective`, and `objective`, the sum of the energies. `result.final` is measured with fresh samples:
    `energy` are the levels of the Hamiltonian in the span of all states, `lower` included, lowest first; `gap` their
    differences to the lowest, with errors that know what the levels share; `overlap` the squared overlaps.

    Args:
        hamiltonian: Hermitian operator on the space of the states.
        optimizer: an Optax optimiser; every state has a memory of its own.
        precondition: `qml.estimate.SR(...)`, or `None` for plain gradients.
        lower: states below those that are sought, held fixed.
        penalty: $a_{ij}$, larger than the gap; `None` follows the run: $2 \max(E_i - E_j,\, 2 r / n)$ with $n$ sites
            and the radius $r$ of the bound of the spectrum.
        trust: the judge of the steps; `None` takes every step.
        fresh: how many times the samples of a step the final numbers are made of, >= 1.

    Example:
        >>> import jax.numpy as jnp, optax, qml, drivers
        >>> space = qml.hilbert.Spin(1)
        >>> def table(theta, x):  # every amplitude is a parameter
        ...     return jnp.log(theta[(1 - x[:, 0].astype(int)) // 2] + 0j)
        >>> states = [qml.FullSumState((jnp.array(a), table), space) for a in ([1.0, 0.4], [1.0, 0.3])]
        >>> field = qml.operator.PauliSum({"X": -1.0})
        >>> driver = drivers.Excited(field, optax.sgd(0.1), precondition=qml.estimate.SR(shift=1e-4))
        >>> result = driver.run(states, steps=60)
        >>> result.final["energy"].mean.round(3) + 0.0, result.final["gap"].mean.round(3)
        (Array([-1.,  1.], dtype=float64), Array([2.], dtype=float64))

    Source: arXiv:2405.17089; Choo, Carleo, Regnault and Neupert, Phys. Rev. Lett. 121, 167204 (2018).
    """

    hamiltonian: AbstractOperator
    optimizer: Any
    precondition: AbstractPreconditioner | None = None
    lower: Sequence[AbstractState] = ()
    penalty: float | int | Array | None = None
    observe: Mapping[str, AbstractOperator] = eqx.field(default_factory=dict)
    trust: Trust | None = eqx.field(default_factory=Trust)
    fresh: int = eqx.field(default=FRESH, static=True)

    def plan(
        self, steps: int | None, time: float | int | None, every: float | int | None, observe: Any
    ) -> tuple["Excited", int]:
        """See `AbstractDriver.plan`; `observe` adds operators that are measured in every state."""
        driver, steps = AbstractDriver.plan(self, steps, time, every, None)
        return driver if observe is None else dataclasses.replace(driver, observe=dict(observe)), whole_steps(steps)

    def init(self, thing: Any, key: Any) -> dict:
        """The states with chains of their own, the memories and the guard of each, and the states below them."""
        states, lower = _several(thing), tuple(self.lower)
        for state in (*states, *lower):
            check_job(state, self.hamiltonian, self.observe)
            if state.hilbert != states[0].hilbert:
                raise SpaceError(
                    "The states live on different spaces, so they are orthogonal already.",
                    got=f"{states[0].hilbert} and {state.hilbert}",
                    expected="one space",
                    try_="one run of drivers.VMC for each space",
                )
        check_rules(self.optimizer, self.fresh)
        if not states or (self.penalty is not None and not self.penalty > 0):
            raise ConfigError(
                "There is nothing to do, or nothing that keeps the states apart.",
                got=f"{len(states)} states, penalty={self.penalty}",
                expected="at least one state, a penalty > 0",
                try_="penalty=None",
            )
        everyone = tuple(settled(_own_chains(s, i, key)) for i, s in enumerate((*lower, *states)))
        floor = jax.device_put(np.array(lower_bound(self.hamiltonian).value, real_dtype()))
        points = tuple(self._point(state, len(lower) + i, floor) for i, state in enumerate(everyone[len(lower) :]))
        scale = jnp.asarray(self.hamiltonian.bound()[1] / states[0].hilbert.n_sites)
        return {"points": points, "lower": everyone[: len(lower)], "scale": scale}

    def _point(self, state: AbstractState, before: int, floor: Array) -> dict:
        """One state with its memories; with a judge also what it remembers, and the penalties of its promise."""
        metric = () if self.precondition is None else self.precondition.init(state.params)
        point = {"state": state, "memory": self.optimizer.init(state.params), "metric": metric}
        if self.trust is None:
            return {**point, "floor": floor}
        guard = {"guard": self.trust.init(), "anchor": copied(point), "promised": jnp.zeros((before,))}
        return {**point, **guard, "floor": floor}

    def step(self, carry: dict) -> tuple[dict, dict]:
        """Sample all states, then move each away from those before it and down, if the step can be trusted."""
        points, lower = carry["points"], carry["lower"]
        drawn = [s.sample() for s in (*lower, *(p["state"] for p in points))]
        locals_ = [one[0].local_values(self.hamiltonian, one[1]) for one in drawn]
        means = [jnp.real(one[1].mean(local)) for one, local in zip(drawn, locals_, strict=True)]
        lengths: list = [0.0] * len(lower)
        moved, infos = [], []
        for i, point in enumerate(points, len(lower)):
            strengths = [self._strength(means[i] - means[j], carry["scale"]) for j in range(i)]
            strengths = jnp.stack(strengths) if strengths else jnp.zeros((0,))
            new, info = self._move(point, drawn[i], locals_[i], drawn[:i], strengths, jnp.array(lengths))
            row = [fidelity(other, drawn[i]) for other in drawn[:i]]
            moved.append(new)
            lengths.append(jnp.where(info["taken"], info["step_length"], 0.0) if self.trust is not None else 0.0)
            infos.append({**info, "overlap": jnp.stack([*row, *[jnp.zeros(())] * (len(drawn) - len(row))])})
        info = jax.tree.map(lambda *a: jnp.stack(a), *infos)
        worst = jnp.argmax(info["status"])
        info |= {"status": info["status"][worst], "reason": info["reason"][worst]}
        below = tuple(settled(state) for state, _ in drawn[: len(lower)])
        new = {"points": tuple(moved), "lower": below, "scale": carry["scale"]}
        return new, {**info, "objective": jnp.sum(info["energy"].mean)}

    def _move(
        self, point: dict, one: Drawn, local: Array, before: Sequence[Drawn], strengths: Array, lengths: Array
    ) -> tuple[dict, dict]:
        """The next point of one state, and what to record; `lengths` are those of the steps of the states before it."""
        state, samples = one
        seen = watch(chains_of(state))
        info = {**energy_info(state, samples, local), **observed(state, samples, self.observe)}
        below = below_floor(info["energy"], point["floor"])

        def pushed(there: Drawn, strengths: Array) -> Array:
            """Local values of the penalty: what the projectors on the states before add."""
            shares = [ratio(other, there) * other[1].mean(ratio(there, other)) for other in before]
            return sum((a * share for a, share in zip(strengths, shares, strict=True)), start=jnp.zeros(()))

        lowered = local + pushed(one, strengths)
        change, memory, metric, extra = propose(self, state, samples, lowered, point)
        if self.trust is None:
            moved = settled(state.with_params(optax.apply_updates(state.params, change)))
            status, reason = plain_outcome(below, seen)
            new = {"state": moved, "memory": memory, "metric": metric, "floor": point["floor"]}
            return new, {**info, **extra, "status": status, "reason": reason}
        energy = real(samples.statistics(lowered))
        change, verdict = self.trust.judge(
            state, samples, lowered, self.hamiltonian, change, energy.tau, lambda *there: pushed(there, strengths)
        )
        moved = settled(state.with_params(optax.apply_updates(state.params, change)))
        here = {"state": state, "memory": point["memory"], "metric": point["metric"]}
        there = {"state": moved, "memory": memory, "metric": metric}
        checked = real(samples.statistics(local + pushed(one, point["promised"])))
        new, step = decide(self.trust, point, Point(here, there, checked, energy, verdict, below, seen))
        # the states before move too: a squared overlap changes by no more than the length of a step
        guard = new["guard"]
        guard = eqx.tree_at(lambda g: g.highest, guard, guard.highest + jnp.sum(strengths * lengths))
        return {**new, "guard": guard, "promised": strengths}, {**info, **extra, **step}

    def final(self, carry: dict) -> dict:
        """Levels, gaps and overlaps from fresh samples of all states, and the bound they must not fall below."""
        states = (*carry["lower"], *(p["state"] for p in carry["points"]))
        drawn = [fresh_samples(s, self.fresh) for s in states]
        infos, flags = [], []
        for state, samples in drawn:
            local = state.local_values(self.hamiltonian, samples)
            infos.append({**energy_info(state, samples, local), **observed(state, samples, self.observe)})
            flags.append(diagnose(samples, local, chains_of(state)).troubles)
        info = jax.tree.map(lambda *a: jnp.stack(a), *infos)
        info |= {"troubles": jnp.any(jnp.stack(flags), axis=0), "lower_bound": carry["points"][0]["floor"]}
        if len(drawn) == 1:
            return info
        found = levels(self.hamiltonian, drawn)
        return {**info, "energy": found.energy, "gap": found.gap, "overlap": found.overlap, "single": info["energy"]}

    def sentences(self) -> tuple[str, ...]:
        """See `AbstractDriver.sentences`."""
        return sentences(self.trust)

    def facts(self, thing: Any) -> dict:
        """See `AbstractDriver.facts`; the parameters are those of all states whose span holds the levels."""
        return facts_of(self.hamiltonian, [*_several(thing), *self.lower])

    def finish(self, thing: Any, carry: dict) -> Any:
        """The states, as they were given: one, or a list or tuple of them."""
        states = tuple(point["state"] for point in carry["points"])
        return states[0] if isinstance(thing, AbstractState) else type(thing)(states)

    def _strength(self, gap: Array, scale: Array) -> Array:
        return 2 * jnp.maximum(gap, 2 * scale) if self.penalty is None else jnp.asarray(self.penalty)


def _several(thing: Any) -> tuple:
    return (thing,) if isinstance(thing, AbstractState) else tuple(thing)


def _own_chains(state: AbstractState, number: int, key: Any) -> AbstractState:
    """The state with a key that no other state has: the estimates of overlaps need independent samples."""
    if not isinstance(state, MCState):
        return state
    base = jax.random.clone(state.sampler_state.key if key is None else key)
    return reseeded(state, jax.random.fold_in(base, number))
