r"""Automatic damping (Levenberg and Marquardt) and a trust region: steps predicted, tried on the same samples, judged.

For a change $d$ of the parameters, with $E$ from the samples at hand,

$$M(d) = E + g(d) + \min\bigl(\kappa\,\ell(d)^2,\ |g(d)|/2\bigr), \qquad
g = 2\,\mathrm{Re}\langle\overline{O d}\,(E_{loc} - E)\rangle, \qquad
\ell^2 = \langle|O d - \langle O d\rangle|^2\rangle,$$

is the quadratic model: $g$ the change to first order, $\ell$ the Fubini-Study length, and $\kappa \ge 0$ the curvature
per squared length, learned from the steps before. (A step beyond the minimum of the model counts as one to it.)
The energy at $\theta + d$ is estimated on the *same* samples by reweighting, $w' \propto w\,|\psi'/\psi|^2$, so that
what is compared hardly has noise. The ratio $\rho = (E' - E)/(M - E)$ then sets the shift of the next solve,

$$f_t = \mathrm{clip}\bigl(1 + (\rho_0 - \rho)\,|\rho_0 - \rho|^o,\ \tfrac12,\ 2\bigr), \qquad
\lambda \leftarrow \lambda\, f_t^{b_1} / f_{t-1}^{b_2},$$

and the step is taken where $\rho$ is near one, or the rest is within the noise, and enough samples stay effective.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from qml._core.errors import ConfigError
from qml._core.precision import real_dtype
from qml._core.types import Array, Bool, Float, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.metric import turn
from qml.estimate.samples import Samples


class Damping(eqx.Module):
    r"""A rule for the shift of a metric solve and for the steps that are taken.

    Args:
        target: $\rho_0$, the ratio at which the shift stays.
        lowest: smallest ratio of a step that is taken.
        highest: largest ratio of a step that is taken.
        effective: smallest share of effective samples, $1/(N \sum w'^2)$, of a step that is taken.
        smallest: smallest shift.
        largest: largest shift.
        trust: longest step in the Fubini-Study length, in radians; 0.1 to 0.3 is usual.
        gain: $b_1$.
        memory: $b_2$.
        order: $o$.

    Raises:
        ConfigError: bounds that are not in order.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.estimate.damping import Damping, Proposal, Trial
        >>> damping = Damping()
        >>> state = damping.init(1e-2)
        >>> proposal = Proposal(jnp.array(-1.0), jnp.array(0.1), jnp.array(-0.9))
        >>> uphill = Trial(jnp.array(0.3), jnp.array(1e-3), jnp.array(0.9))
        >>> state, accept = damping.judge(state, proposal, uphill)
        >>> bool(accept), float(state.shift)
        (False, 0.02)

    Source: control of the shift: arXiv:2410.10720, appendix; Levenberg and Marquardt: Nocedal and Wright, Numerical
    Optimization (2006), ch. 4 and 10.
    """

    target: float = 0.9
    lowest: float = 0.1
    highest: float = 3.0
    effective: float = 0.5
    smallest: float = 1e-6
    largest: float = 1.0
    trust: float = 0.3
    gain: float = 0.9
    memory: float = 0.1
    order: float = 1.0

    def __check_init__(self):
        ordered = 0 < self.lowest < self.target < self.highest and 0 < self.smallest <= self.largest
        if not ordered or not 0 <= self.effective <= 1 or not self.trust > 0:
            raise ConfigError(
                "The bounds of the damping are not in order.",
                got=f"lowest={self.lowest}, target={self.target}, highest={self.highest}, "
                f"smallest={self.smallest}, largest={self.largest}, effective={self.effective}, trust={self.trust}",
                expected="0 < lowest < target < highest, 0 < smallest <= largest, 0 <= effective <= 1, trust > 0",
                try_="Damping()",
            )

    def init(self, shift: Any) -> "DampingState":
        """The state before the first step, with the shift to begin with."""
        shift = jnp.clip(jnp.asarray(shift, real_dtype()), self.smallest, self.largest)
        return DampingState(shift, jnp.ones_like(shift), jnp.zeros_like(shift), jnp.asarray(self.trust, shift.dtype))

    def propose(
        self,
        state: "DampingState",
        ansatz: Ansatz,
        params: Params,
        samples: Samples,
        local: Any,
        change: Params,
        *,
        chunk: int | None = None,
    ) -> tuple[Params, "Proposal"]:
        """A change of the parameters inside the trust region, and what the quadratic model says of it.

        Costs one forward derivative over the samples.

        Args:
            state: of the damping.
            ansatz: the wave function.
            params: its parameters.
            samples: weighted configurations.
            local: local energies `[samples]`.
            change: what is added to the parameters, a tree like them.
            chunk: rows held at once; `None` plans.

        Returns:
            The change, scaled down where it is longer than `state.radius`, and its numbers.
        """
        local = jnp.asarray(local)
        moved = turn(ansatz, params, samples.x, change, chunk)
        moved = moved - samples.mean(moved)
        slope = 2 * samples.mean(jnp.real(jnp.conj(moved) * (local - samples.mean(local))))
        length = jnp.sqrt(samples.mean(jnp.abs(moved) ** 2))
        change, scale = cap(change, length, state.radius)
        slope, length = scale * slope, scale * length
        bend = jnp.minimum(state.curvature * length**2, jnp.abs(slope) / 2)
        return change, Proposal(slope, length, slope + bend)

    def judge(
        self, state: "DampingState", proposal: "Proposal", trial: "Trial"
    ) -> tuple["DampingState", Bool[Array, ""]]:
        """The state after a step was tried, and whether the step is taken.

        A step that is not taken doubles the shift and halves the radius of the trust region; steps that are taken give
        the radius back. A change lost in its error bar tells nothing: such a step is taken, and the shift stays.
        """
        predicted = jnp.where(proposal.predicted == 0, 1.0, proposal.predicted)
        ratio = trial.change / predicted
        finite = jnp.isfinite(ratio) & jnp.isfinite(proposal.length)
        noise = 3 * jnp.where(jnp.isfinite(trial.error), trial.error, 0.0)
        unknown = jnp.abs(trial.change - proposal.predicted) <= noise
        near = (self.lowest <= ratio) & (ratio <= self.highest) & (proposal.predicted < 0)
        accept = finite & (trial.effective >= self.effective) & (near | unknown)
        gap = jnp.where(finite, self.target - ratio, 1.0)
        factor = jnp.clip(1 + gap * jnp.abs(gap) ** self.order, 0.5, 2.0)
        factor = jnp.where(accept & unknown, 1.0, factor)
        moved = jnp.where(accept, factor**self.gain / state.factor**self.memory, 2.0)
        shift = jnp.clip(state.shift * moved, self.smallest, self.largest)
        square = jnp.where(proposal.length > 0, proposal.length**2, 1.0)
        bend = jnp.maximum((trial.change - proposal.slope) / square, 0.0)
        known = finite & (proposal.length > 0) & (trial.effective >= self.effective) & jnp.isfinite(bend)
        curvature = jnp.where(known, 0.7 * state.curvature + 0.3 * jnp.where(known, bend, 0.0), state.curvature)
        shorter = jnp.minimum(state.radius, jnp.where(finite, proposal.length, state.radius)) / 2
        radius = jnp.where(accept, jnp.minimum(state.radius * jnp.where(factor <= 1.0, 2.0, 1.0), self.trust), shorter)
        return DampingState(shift, jnp.where(accept, factor, 1.0), curvature, radius), accept


class DampingState(eqx.Module):
    """What is remembered: the shift, the last factor, the curvature of the energy, the radius of the trust region."""

    shift: Float[Array, ""]
    factor: Float[Array, ""]
    curvature: Float[Array, ""]
    radius: Float[Array, ""]


class Proposal(eqx.Module):
    """A change of the parameters in numbers: the energy to first order, the length, and the energy of the model."""

    slope: Float[Array, ""]
    length: Float[Array, ""]
    predicted: Float[Array, ""]


class Trial(eqx.Module):
    """What a change does to the energy by reweighting: its change, the error of it, the share of effective samples."""

    change: Float[Array, ""]
    error: Float[Array, ""]
    effective: Float[Array, ""]


def reweigh(samples: Samples, log_psi: Any, local: Any, moved_local: Any) -> Trial:
    r"""The change of the energy from samples of the old state, with weights $\propto w\,|\psi'/\psi|^2$.

    Args:
        samples: of the old state.
        log_psi: of the new state, at the samples.
        local: local energies of the old state.
        moved_local: local energies of the new state (with the new log psi, not that of the samples).

    Returns:
        The change, its standard error (delta method, autocorrelation included; zero for a full sum), and the effective
        samples $1/\sum_s w'^2_s$ relative to those of the old weights.
    """
    log_ratio = 2 * (jnp.asarray(log_psi) - samples.log_psi).real
    ratio = jnp.exp(log_ratio - jnp.max(log_ratio))
    ratio = ratio / samples.mean(ratio)
    old, new = jnp.asarray(local).real, jnp.asarray(moved_local).real
    before, after = samples.mean(old), samples.mean(ratio * new)
    influence = ratio * (new - after) - (old - before)
    error = jnp.zeros_like(after) if samples.chains is None else samples.statistics(influence).error
    return Trial(after - before, error, 1.0 / samples.mean(ratio**2))


def fubini_study(
    ansatz: Ansatz, params: Params, samples: Samples, change: Params, *, chunk: int | None = None
) -> Float[Array, ""]:
    r"""Length $\sqrt{\langle|O d - \langle O d\rangle|^2\rangle} = \sqrt{d^T S d}$ of a change of the parameters.

    Args:
        ansatz: the wave function.
        params: its parameters.
        samples: weighted configurations.
        change: a tree like `params`.
        chunk: rows held at once; `None` plans.
    """
    moved = turn(ansatz, params, samples.x, change, chunk)
    return jnp.sqrt(samples.mean(jnp.abs(moved - samples.mean(moved)) ** 2))


def cap(change: Params, length: Any, trust: Any) -> tuple[Params, Array]:
    """A change no longer than `trust` in the Fubini-Study length, and the factor by which it was scaled.

    Args:
        change: a tree like the parameters.
        length: its length, see `fubini_study`.
        trust: longest length; 0.1 to 0.3 is usual.
    """
    scale = jnp.where(length > trust, trust / jnp.where(length > 0, length, 1.0), 1.0)
    return jax.tree.map(lambda c: (scale * c).astype(c.dtype), change), scale
