"""Excited states: several states at once, each kept away from those below it by a penalty on their overlap."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from drivers.base import AbstractDriver, whole_steps
from drivers.measure import check_job, energy_info, fresh_samples, observed, reseeded, settled
from drivers.subspace import Drawn, fidelity, levels, ratio
from qml._core import tree
from qml._core.errors import ConfigError, SpaceError
from qml._core.types import Array
from qml.estimate import AbstractPreconditioner, forces
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

    Each step records `energy` (one `Stats` entry a state), `v_score`, `overlap` (with the states before it, `lower`
    first), `acceptance`, and `objective`, the sum of the energies. `result.final` is measured with fresh samples:
    `energy` are the levels of the Hamiltonian in the span of all states, `lower` included, lowest first; `gap` their
    differences to the lowest, with errors that know what the levels share; `overlap` the squared overlaps.

    Args:
        hamiltonian: Hermitian operator on the space of the states.
        optimizer: an Optax optimiser; every state has a memory of its own.
        precondition: `qml.estimate.SR(...)`, or `None` for plain gradients.
        lower: states below those that are sought, held fixed.
        penalty: $a_{ij}$, larger than the gap; `None` follows the run: $2 \max(E_i - E_j,\, 2 r / n)$ with $n$ sites
            and the radius $r$ of the bound of the spectrum.

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

    def plan(
        self, steps: int | None, time: float | int | None, every: float | int | None, observe: Any
    ) -> tuple["Excited", int]:
        """See `AbstractDriver.plan`; `observe` adds operators that are measured in every state."""
        driver, steps = AbstractDriver.plan(self, steps, time, every, None)
        return driver if observe is None else dataclasses.replace(driver, observe=dict(observe)), whole_steps(steps)

    def init(self, thing: Any, key: Any) -> dict:
        """The states with chains of their own, the memory of the optimiser for each, and the states below them."""
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
        if not isinstance(self.optimizer, optax.GradientTransformation | optax.GradientTransformationExtraArgs):
            raise ConfigError(
                "The optimizer is no Optax optimiser.",
                got=type(self.optimizer).__name__,
                expected="an optax.GradientTransformation",
                try_="optax.sgd(0.02), optax.adam(1e-3)",
            )
        if not states or (self.penalty is not None and not self.penalty > 0):
            raise ConfigError(
                "There is nothing to do, or nothing that keeps the states apart.",
                got=f"{len(states)} states, penalty={self.penalty}",
                expected="at least one state, a penalty > 0",
                try_="penalty=None",
            )
        everyone = tuple(settled(_own_chains(s, i, key)) for i, s in enumerate((*lower, *states)))
        return {
            "states": everyone[len(lower) :],
            "lower": everyone[: len(lower)],
            "memory": tuple(self.optimizer.init(s.params) for s in states),
            "metric": tuple(() if self.precondition is None else self.precondition.init(s.params) for s in states),
            "scale": jnp.asarray(self.hamiltonian.bound()[1] / states[0].hilbert.n_sites),
        }

    def step(self, carry: dict) -> tuple[dict, dict]:
        """Sample all states, then move each away from those before it and down."""
        drawn = [s.sample() for s in (*carry["lower"], *carry["states"])]
        first = len(carry["lower"])
        locals_ = [self._local(one) for one in drawn]
        means = [jnp.real(one[1].mean(local)) for one, local in zip(drawn, locals_, strict=True)]
        moved, memories, metrics, infos, norms, overlaps = [], [], [], [], [], []
        for i, (memory, metric) in enumerate(zip(carry["memory"], carry["metric"], strict=True), first):
            (state, samples), before, local = drawn[i], drawn[:i], locals_[i]
            infos.append({**energy_info(state, samples, local), **observed(state, samples, self.observe)})
            for j, other in enumerate(before):
                strength = self._strength(means[i] - means[j], carry["scale"])
                local = local + strength * ratio(other, drawn[i]) * other[1].mean(ratio(drawn[i], other))
            gradient, metric = self._gradient(state, samples, local, metric)
            update, memory = self.optimizer.update(gradient, memory, state.params)
            moved.append(settled(state.with_params(optax.apply_updates(state.params, update))))
            memories.append(memory)
            metrics.append(metric)
            norms.append(tree.norm(gradient))
            row = [fidelity(other, drawn[i]) for other in before]
            overlaps.append(jnp.stack([*row, *[jnp.zeros(())] * (len(drawn) - len(row))]))
        info = {**jax.tree.map(lambda *a: jnp.stack(a), *infos), "update_norm": jnp.stack(norms)}
        info = {**info, "overlap": jnp.stack(overlaps), "objective": jnp.sum(info["energy"].mean)}
        below = tuple(settled(state) for state, _ in drawn[:first])
        kept = {"states": tuple(moved), "lower": below, "memory": tuple(memories), "metric": tuple(metrics)}
        return {**kept, "scale": carry["scale"]}, info

    def final(self, carry: dict) -> dict:
        """Levels, gaps and overlaps from fresh samples of all states."""
        drawn = [fresh_samples(s) for s in (*carry["lower"], *carry["states"])]
        infos = [{**energy_info(*one, self._local(one)), **observed(*one, self.observe)} for one in drawn]
        info = jax.tree.map(lambda *a: jnp.stack(a), *infos)
        if len(drawn) == 1:
            return info
        found = levels(self.hamiltonian, drawn)
        return {**info, "energy": found.energy, "gap": found.gap, "overlap": found.overlap, "single": info["energy"]}

    def finish(self, thing: Any, carry: dict) -> Any:
        """The states, as they were given: one, or a list or tuple of them."""
        states = carry["states"]
        return states[0] if isinstance(thing, AbstractState) else type(thing)(states)

    def _local(self, drawn: Drawn) -> Array:
        return drawn[0].local_values(self.hamiltonian, drawn[1])

    def _gradient(self, state: AbstractState, samples: Any, local: Array, metric: Any) -> tuple[Any, Any]:
        if self.precondition is not None:
            found, metric = self.precondition.step(state.ansatz, state.params, samples, local, metric)
            return found.update, metric
        half = forces(state.ansatz, state.params, samples, local, chunk=state.chunk)
        return jax.tree.map(lambda f: 2 * f, half), metric

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
