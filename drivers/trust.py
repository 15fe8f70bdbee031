"""Which steps are taken: a proposed step is judged before it is made, and looked at again by the samples after it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from drivers.io.result import Status
from drivers.rates import factor_info
from drivers.reasons import PERSISTS, Reason
from qml._core import tree
from qml._core.compile import as_one
from qml._core.errors import ConfigError
from qml._core.precision import real_dtype
from qml._core.types import Array, Bool, Float, Int, Params, PyTree
from qml.estimate import AbstractPreconditioner, Samples, Stats, forces
from qml.estimate.health import Watch
from qml.estimate.metric import turn
from qml.estimate.trial import Trial, reweigh, shortening
from qml.state import AbstractState, MCState

_JUMP = 10.0  # error bars by which fresh samples may exceed what was promised
_TARGET, _SOFTEST = 0.9, 1e-3  # of an adaptive shift: the ratio at which it stays, its smallest share of what was asked


class Guard(eqx.Module):
    """What the judge remembers from step to step.

    Args:
        stiffness: factor of the preconditioner's shift; >= 1 unless the shift is adaptive.
        scale: factor of the updates where there is no shift, <= 1.
        highest: the energy that fresh samples may show, before error bars.
        error: its error bar.
        known: there is such an energy.
        rejected: steps in a row that were not taken.
        stuck: steps in a row with chains that are frozen or hardly move.
    """

    stiffness: Float[Array, ""]
    scale: Float[Array, ""]
    highest: Float[Array, ""]
    error: Float[Array, ""]
    known: Bool[Array, ""]
    rejected: Int[Array, ""]
    stuck: Int[Array, ""]


class Verdict(NamedTuple):
    """A judged step: whether it is taken, why not, and what was predicted and found."""

    taken: Array
    reason: Array
    predicted: Array
    change: Array
    error: Array
    effective: Array
    length: Array


class Trust(eqx.Module):
    r"""What a step must satisfy to be taken.

    The update is shortened to the Fubini-Study length `length`. The energy after it is estimated by reweighting a share
    of the same samples. The step is taken if all its numbers are finite, the reweighted samples count as at least
    `effective` of them, and the change of the energy differs from the predicted one,
    $2\,\mathrm{Re}\langle\overline{Od}(E_{loc}-E)\rangle$ with the change $d$ of the parameters, by no more than
    $2\sigma_H$ times the length (the largest first-order change there is) and three error bars.
    Fresh samples must not find an energy ten error bars above both the old one and the promised one.

    Otherwise the state goes back: parameters, chains, memory of the optimiser and of the preconditioner are those
    before the step, the random key is a new one derived from the old. The shift of the preconditioner grows tenfold
    (without one, updates shrink to a quarter) and comes back to what was asked as steps are taken. After `patience`
    steps in a row that were not taken the run ends with status `diverged`, a sentence that says why, and the last good
    state.

    An adaptive shift (Levenberg and Marquardt) follows how well the energy is predicted: with the ratio $\rho$ of the
    change found to the change predicted, each step that is taken multiplies it by
    $\mathrm{clip}(1 + (0.9-\rho)|0.9-\rho|, \tfrac12, 2)$, down to a thousandth of what was asked; where the difference
    of the two is within three error bars it stays.

    Args:
        length: longest step, in radians; 0.1 to 0.3 is usual.
        effective: least effective share of the samples after the step.
        share: share of the samples that judge a step.
        patience: steps in a row that may be refused.
        adaptive: whether the shift follows the predictions.

    Raises:
        ConfigError: a setting out of range.

    Source: arXiv:2410.10720, appendix (the shift); Nocedal and Wright, Numerical Optimization (2006), ch. 4 and 10.
    """

    length: float | int | Array = 0.3
    effective: float | int | Array = 0.5
    share: float | int = eqx.field(default=0.25, static=True)
    patience: int = eqx.field(default=5, static=True)
    adaptive: bool = eqx.field(default=False, static=True)

    def __check_init__(self):
        known = {n: v for n, v in vars(self).items() if not isinstance(v, jax.Array)}
        counted = isinstance(self.patience, int) and self.patience >= 1
        if counted and known.get("length", 1) > 0 and 0 <= known.get("effective", 0) <= 1 and 0 < self.share <= 1:
            return
        raise ConfigError(
            "A setting of the judge of steps is out of range.",
            got=", ".join(f"{n}={v}" for n, v in known.items()),
            expected="length > 0, 0 <= effective <= 1, 0 < share <= 1, patience an int >= 1",
            try_="Trust(length=0.3)",
        )

    def init(self) -> Guard:
        """Nothing remembered."""
        numbers = (np.array(v, real_dtype()) for v in (1, 1, 0, 0))
        return Guard(*jax.device_put((*numbers, np.array(False), np.array(0, np.int32), np.array(0, np.int32))))

    def believed(self, guard: Guard, energy: Stats) -> tuple[Array, Array]:
        """Whether fresh samples confirm the step before, and the reason if not."""
        finite = jnp.isfinite(energy.mean) & jnp.isfinite(energy.variance)
        slack = _JUMP * jnp.hypot(guard.error, _known(energy.error)) + 1e-9 * jnp.abs(guard.highest)
        jump = guard.known & (energy.mean > guard.highest + slack)
        return finite & ~jump, jnp.where(finite, int(Reason.JUMP), int(Reason.NOT_FINITE))

    def damped(self, rule: AbstractPreconditioner | None, guard: Guard) -> tuple[AbstractPreconditioner | None, Array]:
        """The preconditioner with its shift grown, or a factor of the updates where it has none."""
        inner = getattr(rule, "rule", rule)  # of a rule with momentum: what it solves with
        shift = getattr(inner, "shift", None)
        if rule is None or shift is None:
            return rule, guard.scale
        return rule.with_shift(jnp.asarray(shift) * guard.stiffness), jnp.ones(())

    def judge(
        self,
        state: AbstractState,
        samples: Samples,
        local: Array,
        hamiltonian: Any,
        change: Params,
        tau: Array | float,
        further: Callable[[AbstractState, Samples], Array] | None = None,
    ) -> tuple[Params, Verdict]:
        """Shorten a change of the parameters, and judge the step by the energy after it.

        Args:
            state: before the step.
            samples: of it.
            local: local values of what is lowered, at the samples.
            hamiltonian: an operator.
            change: a tree like the parameters.
            tau: autocorrelation time of the local values.
            further: local values of what is lowered besides the operator, at samples with the state after the step.
        """
        rows, local = _some(samples, local, self.share)
        turned = turn(state.ansatz, state.params, rows.x, change, state.chunk)
        turned, apart = (v - m for v, m in zip((turned, local), rows.means(turned, local), strict=True))
        means = rows.means(jnp.real(jnp.conj(turned) * apart), jnp.abs(turned) ** 2, jnp.abs(apart) ** 2)
        slope, length, sigma, scale = _first_order(jnp.stack(means), self.length)
        change = tree.scaled(scale, change)
        moved = state.with_params(tree.axpy(1.0, change, state.params))
        log_new = moved.log_psi(rows.x)
        there = Samples(rows.x, rows.weights, log_new, rows.chains, rows.used)
        new = moved.local_values(hamiltonian, there)
        new = new if further is None else new + further(moved, there)
        trial = reweigh(rows, log_new, local, new, tau)
        return change, _verdict(trial, slope, length, sigma, tree.all_finite(change), self.effective)

    def remember(
        self, guard: Guard, energy: Stats, verdict: Verdict, believed: Array, taken: Array, seen: Watch
    ) -> Guard:
        """The guard after a step; refusals count until fresh samples have confirmed a step that was taken."""
        promised = energy.mean + jnp.where(taken, verdict.change, 0.0)
        error = jnp.hypot(_known(energy.error), jnp.where(taken, _known(verdict.error), 0.0))
        stuck = seen.frozen | seen.idle
        kept = jnp.where(guard.known, 0, guard.rejected)
        soft = self._softened(guard.stiffness, verdict) if self.adaptive else jnp.maximum(guard.stiffness / 2, 1.0)
        return Guard(
            stiffness=jnp.where(taken, soft, guard.stiffness * 10),
            scale=jnp.where(taken, jnp.minimum(guard.scale * 2, 1.0), guard.scale / 4),
            highest=jnp.where(believed, jnp.maximum(energy.mean, promised), 0.0),
            error=jnp.where(believed, error, 0.0),
            known=believed,
            rejected=jnp.where(taken, kept, guard.rejected + 1),
            stuck=jnp.where(stuck, guard.stuck + 1, 0),
        )

    @staticmethod
    def _softened(stiffness: Array, verdict: Verdict) -> Array:
        """The factor of an adaptive shift after a step that was taken."""
        gap = _TARGET - verdict.change / jnp.where(verdict.predicted == 0, 1.0, verdict.predicted)
        factor = jnp.clip(1 + gap * jnp.abs(gap), 0.5, 2.0)
        noise = jnp.abs(verdict.change - verdict.predicted) <= 3 * _known(verdict.error)
        return jnp.maximum(stiffness * jnp.where(noise | ~jnp.isfinite(factor), 1.0, factor), _SOFTEST)

    def outcome(self, guard: Guard, reason: Array, below: Array, seen: Watch) -> tuple[Array, Array]:
        """Status and reason after a step."""
        sampling = jnp.where(seen.frozen, int(Reason.FROZEN), int(Reason.STILL))
        status, why = jnp.array(int(Status.RUNNING)), jnp.array(int(Reason.NONE))
        for there, code, cause in (
            (guard.stuck >= PERSISTS, Status.STALLED, sampling),
            (guard.rejected >= self.patience, Status.DIVERGED, reason),
        ):
            status, why = jnp.where(there, int(code), status), jnp.where(there, cause, why)
        return plain_outcome(below, seen, status, why)


@as_one
def _first_order(means: Array, limit: Any) -> tuple[Array, Array, Array, Array]:
    """Of the means of slope, squared length and variance: how a step that is kept short changes the energy, its length,
    the spread of the energy, and the factor that keeps it short."""
    slope, square, variance = means
    length = jnp.sqrt(square)
    scale = shortening(length, limit)
    return 2 * slope * scale, length * scale, jnp.sqrt(variance), scale


@as_one
def _verdict(trial: Trial, slope: Array, length: Array, sigma: Array, finite: Array, effective: Any) -> Verdict:
    """Whether a step that was tried can be trusted."""
    slack = 2 * sigma * length + 3 * _known(trial.error) + 1e-9 * jnp.abs(trial.before)
    finite = finite & jnp.isfinite(trial.change) & jnp.isfinite(length)
    near, covered = jnp.abs(trial.change - slope) <= slack, trial.effective >= effective
    reason = jnp.where(covered, int(Reason.PREDICTION), int(Reason.OVERLAP))
    reason = jnp.where(finite, reason, int(Reason.NOT_FINITE))
    return Verdict(finite & near & covered, reason, slope, trial.change, trial.error, trial.effective, length)


def plain_outcome(below: Array, seen: Watch, status: Any = 0, reason: Any = 0) -> tuple[Array, Array]:
    """Status and reason after a step that no one judges: a broken bound, or wrong local updates, end any run."""
    for there, code, cause in (
        (below, Status.DIVERGED, Reason.BELOW_BOUND),
        (seen.refused, Status.STALLED, Reason.UPDATES),
    ):
        status, reason = jnp.where(there, int(code), status), jnp.where(there, int(cause), reason)
    return status, reason


def gone_on(taken: Array, believed: Array, there: dict, here: dict, anchor: dict) -> tuple[dict, dict]:
    """The point to go on from and the anchor behind it: after a step that is taken, that is tried again, or undone.

    Chains that go back have the random key that was left after the step, so that nothing is drawn twice. Branches that
    only pass trees on compile to nothing, where a selection is a kernel for each array.
    """

    def again(point: dict, there: dict) -> dict:
        if not isinstance(point["state"], MCState):
            return point
        key = jax.random.clone(there["state"].sampler_state.key)
        return {**point, "state": eqx.tree_at(lambda s: s.sampler_state.key, point["state"], key)}

    branches = [
        lambda there, here, anchor: (there, here),
        lambda there, here, anchor: (again(here, there), anchor),
        lambda there, here, anchor: (again(anchor, there), anchor),
    ]
    return jax.lax.switch(jnp.where(taken, 0, jnp.where(believed, 1, 2)), branches, there, here, anchor)


def copied(point: PyTree) -> PyTree:
    """The same numbers in a tree that shares no random key with the first; on the host, where nothing is compiled."""

    def copy(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf
        data = jax.device_put(np.array(jax.random.key_data(leaf)))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))

    return jax.tree.map(copy, point)


def propose(
    driver: Any, state: AbstractState, samples: Samples, local: Array, carry: dict, added: Params | None = None
) -> tuple:
    """What a driver with `optimizer`, `precondition` and `trust` would change; `added` is added to the forces.

    Returns:
        The change of the parameters, the new memories of optimiser and preconditioner, and what to record of the solve.
    """
    metric, rule, extra, scale = carry["metric"], driver.precondition, {}, 1.0
    if driver.trust is not None:
        rule, scale = driver.trust.damped(rule, carry["guard"])
    if rule is None:
        half = forces(state.ansatz, state.params, samples, local, chunk=state.chunk)
        half = half if added is None else tree.axpy(1.0, added, half)
        gradient = jax.tree.map(lambda f: 2 * f, half)
    else:
        more = {} if added is None else {"added": added}
        found, metric = rule.step(state.ansatz, state.params, samples, local, metric, **more)
        gradient = found.update
        extra = {"solve": {"residual": found.residual, "steps": found.steps}} if "cg" in found.form else {}
    change, memory = driver.optimizer.update(gradient, carry["memory"], state.params)
    change = tree.scaled(scale, change)
    return change, memory, metric, {**extra, **factor_info(memory), "update_norm": tree.norm(gradient)}


class Point(NamedTuple):
    """A proposed step: what is there before and after it, what fresh samples showed, and the verdict.

    Args:
        here: state and memories with the samples drawn.
        there: the same after the step.
        checked: what the promise of the step before is compared with.
        energy: what the promise of this step is made from; the same where nothing but this state changed.
        verdict: of the judge.
        below: the energy breaks a rigorous bound.
        seen: of the chains.
    """

    here: dict
    there: dict
    checked: Stats
    energy: Stats
    verdict: Verdict
    below: Array
    seen: Watch


def decide(trust: Trust, carry: dict, step: Point) -> tuple[dict, dict]:
    """Go on, stay, or go back to the point before, and say so.

    Args:
        trust: the judge.
        carry: has the `guard`, the `anchor` to go back to, and the `floor` of the energy.
        step: what is decided on.

    Returns:
        The point to go on from, with its guard, anchor and floor, and what to record.
    """
    finite = tree.all_finite({n: step.there[n] for n in ("memory", "metric")})
    seen = step._replace(here=None, there=None)
    guard, believed, taken, status, reason = _decided(trust, carry["guard"], seen, finite)
    point, anchor = gone_on(taken, believed, step.there, step.here, carry["anchor"])
    info = {"taken": taken, "step_length": step.verdict.length, "step_effective": step.verdict.effective}
    new = {**point, "guard": guard, "anchor": anchor, "floor": carry["floor"]}
    return new, {**info, "status": status, "reason": reason}


@as_one
def _decided(trust: Trust, guard: Guard, step: Point, finite: Array) -> tuple[Guard, Array, Array, Array, Array]:
    """The guard after a step, whether the step before is believed and this one taken, status and reason."""
    believed, doubt = trust.believed(guard, step.checked)
    taken = believed & step.verdict.taken & finite & ~step.below
    reason = jnp.where(believed, jnp.where(finite, step.verdict.reason, int(Reason.NOT_FINITE)), doubt)
    guard = trust.remember(guard, step.energy, step.verdict, believed, taken, step.seen)
    return guard, believed, taken, *trust.outcome(guard, reason, step.below, step.seen)


def below_floor(energy: Stats, floor: Array) -> Array:
    """Whether the energy lies more than five error bars below a rigorous lower bound."""
    return energy.mean < floor - 5 * jnp.nan_to_num(energy.error, nan=jnp.inf) - 1e-9 * jnp.abs(floor)


def _known(error: Array) -> Array:
    """An error bar, zero where there is none."""
    return jnp.where(jnp.isfinite(error), error, 0.0)


def _some(samples: Samples, local: Array, share: float | int) -> tuple[Samples, Array]:
    """Whole sweeps of all chains, or of one sweep a part of the chains; a full sum is taken whole."""
    if samples.chains is None:
        return samples, local
    length = samples.x.shape[0] // samples.chains
    if length > 1:
        rows, chains = samples.chains * max(1, round(share * length)), samples.chains
    else:
        rows = chains = min(samples.chains, max(64, round(share * samples.chains)))
    weights, used = samples.weights[:rows], None
    if samples.steps is not None:  # the share of those that count
        used = jnp.asarray(
            rows if length == 1 else chains * jnp.maximum(1, jnp.round(share * samples.steps).astype(int))
        )
        weights = jnp.where(jnp.arange(rows) < used, weights, 0.0)
    return Samples(samples.x[:rows], weights / jnp.sum(weights), samples.log_psi[:rows], chains, used), local[:rows]
