r"""The mirror map between couplings $\theta$ and marginals $\eta = -\nabla \log Z$, its inverse, and divergences."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp

from qml import linalg
from qml._core.errors import ConfigError, ShapeError, SpaceError
from qml._core.types import Array, Bool, Float, Int
from qml.gibbs import engine
from qml.gibbs.family import AbstractGibbs, AbstractLinear, pull, push
from qml.gibbs.metric import natural
from qml.gibbs.model import PauliGibbs
from qml.operator.strings import PauliStrings


class Mirrored(eqx.Module):
    r"""Answer of the inverse mirror map.

    Args:
        theta: couplings reached `[terms]`.
        residual: largest error of a marginal.
        steps: Newton steps taken.
        converged: the Newton decrement fell below the tolerance.
        feasible: False if the marginals were proved to belong to no state.
        scale: the marginals times this number are not excluded by the proof; 1 where there is none.
    """

    theta: Float[Array, " terms"]
    residual: Float[Array, ""]
    steps: Int[Array, ""]
    converged: Bool[Array, ""]
    feasible: Bool[Array, ""]
    scale: Float[Array, ""]

    def shrunk(self, step_size: float | Array = 1.0) -> Array:
        """A little less than `scale` allows, of a goal a step away, so that the proof is not found again and again."""
        return jnp.clip(1 - 1.1 * (1 - self.scale) / step_size - 1e-3, 0.5, 1.0)


def safe_step(slope: Array, curvature: Array, reach: Array) -> Array:
    r"""Step length that provably lowers $D(\sigma\|\rho_\theta)$ along a descent direction; near the minimum Newton's.

    $\log Z$ along a line is the cumulant generating function of a bounded variable (Stahl); Bennett's inequality gives
    $t = \log\frac{1 + s b / k}{1 - s / b} \big/ (b + k / b)$.

    Args:
        slope: $s > 0$, minus the derivative of the divergence along the line.
        curvature: $k$, the second derivative of $\log Z$ along it.
        reach: $b > s$, how far the variable's largest value lies above its mean.

    Source: Stahl, Acta Math. 211, 255 (2013); Bennett, J. Am. Stat. Assoc. 57, 33 (1962).
    """
    return (jnp.log1p(slope * reach / curvature) - jnp.log1p(-slope / reach)) / (reach + curvature / reach)


def safe_length(slope: Array, curvature: Array, reach: Array) -> Array:
    """`safe_step` where there is one, zero where the line leads nowhere.

    On the edge of what states have, slope equals reach but for rounding, and a smaller slope is as safe.

    Args:
        slope: see `safe_step`; not above zero gives zero.
        curvature: see `safe_step`.
        reach: see `safe_step`.
    """
    open_line = (slope > 0) & (reach > 0) & (curvature > 0)
    length = safe_step(
        jnp.where(open_line, jnp.minimum(slope, (1 - 1e-10) * reach), 0.5),
        jnp.where(open_line, curvature, 1.0),
        jnp.where(open_line, reach, 1.0),
    )
    return jnp.where(open_line, length, 0.0)


@functools.partial(linalg.jitted, static_argnames="strings")
def newton(
    strings: PauliStrings,
    target: Array,
    start: Array,
    tolerance: float | Array,
    max_steps: int | Array,
    damping: float | Array,
    tie: Array | None = None,
) -> Mirrored:
    r"""Couplings whose marginals are `target`, by damped Newton steps in the Kubo-Mori metric with safe step lengths.

    Every step lowers $D(\sigma\|\rho_\theta) = \log Z + \theta\cdot\eta - S(\sigma)$. A direction v with
    $v\cdot\eta < \lambda_{min}(\sum_j v_j P_j)$ proves that no state has these marginals, and ends the search. With
    `tie` all vectors are of the tied parameters.
    """

    def go_on(loop: tuple[Mirrored, Array]) -> Array:
        now, _ = loop
        return ~now.converged & now.feasible & (now.steps < max_steps)

    def step(loop: tuple[Mirrored, Array]) -> tuple[Mirrored, Array]:
        now, _ = loop
        state = engine.solve(strings, push(tie, now.theta))
        means = pull(tie, engine.traces(strings, engine.in_basis(state, state.weights)))
        metric = pull(tie, engine.metric(strings, state, "bkm"))
        gap = means - target
        direction = natural(metric, gap, damping)
        slope = gap @ direction
        lowest = engine.lowest_level(strings, push(tie, direction))
        reach = means @ direction - lowest
        size = jnp.max(jnp.abs(direction))
        residual = jnp.max(jnp.abs(gap))
        reached = residual <= 4 * jnp.finfo(gap.dtype).eps
        converged = (slope <= tolerance**2) | reached
        bounds = jnp.stack([lowest, state.levels[0]])
        values = jnp.stack([target @ direction, target @ now.theta])
        margin = 1e-10 * jnp.stack([jnp.maximum(size, 1e-3), 1 + jnp.max(jnp.abs(now.theta))])
        broken = (values < bounds - margin) & ~converged
        scale = jnp.min(jnp.where(broken, bounds / jnp.where(broken, values, 1.0), 1.0))
        feasible = ~jnp.any(broken)
        length = jnp.where(feasible & ~reached, safe_length(slope, direction @ metric @ direction, reach), 0.0)
        # the last step is taken, then the search ends
        theta = now.theta + length * direction
        taken = now.steps + jnp.where(length > 0, 1, 0)
        stuck = (length == 0) & ~converged & feasible
        return Mirrored(theta, residual, taken, converged, feasible, scale), stuck

    begin = Mirrored(
        start, jnp.array(jnp.inf), jnp.array(0), jnp.array(False), jnp.array(True), jnp.ones_like(target[0])
    )
    return jax.lax.while_loop(lambda loop: go_on(loop) & ~loop[1], step, (begin, jnp.array(False)))[0]


def inverse_mirror(
    model: AbstractLinear,
    marginals: Float[Array, " terms"],
    *,
    tolerance: float = 1e-11,
    max_steps: int = 60,
    damping: float = 0.0,
) -> Mirrored:
    r"""The couplings whose thermal state has given marginals: the state of largest entropy among all that have them.

    Args:
        model: strings, and couplings to start from.
        marginals: $\eta_j$ to reach `[terms]`; of the tied sums where couplings are tied.
        tolerance: stop when the Newton decrement $\sqrt{g^T H^{-1} g}$ is below this.
        max_steps: Newton steps at most.
        damping: added to the metric, relative to a unit diagonal.

    Returns:
        Couplings with status: `feasible` is False if no state has these marginals (a proof was found).

    Raises:
        ShapeError: there is not one finite marginal for each string.
        ConfigError: tolerance or step number out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import PauliGibbs, inverse_mirror
        >>> model = PauliGibbs(("XX", "ZI"), jnp.array([0.3, -0.8]))
        >>> print(inverse_mirror(model.with_theta(jnp.zeros(2)), model.marginals()).theta.round(8))
        [ 0.3 -0.8]
        >>> inverse_mirror(model, jnp.array([0.9, 0.9])).feasible.item()
        False
    """
    marginals = jnp.asarray(marginals)
    if marginals.shape != model.params.shape or not bool(jnp.all(jnp.isfinite(marginals))):
        raise ShapeError(
            "There must be one finite marginal for each string.",
            got=f"shape {marginals.shape}",
            expected=f"finite numbers of shape {model.params.shape}",
            try_="the order of model.terms",
        )
    if not (tolerance > 0 and max_steps >= 1 and damping >= 0):
        raise ConfigError(
            "The inverse mirror map has a setting out of range.",
            got=f"tolerance={tolerance}, max_steps={max_steps}, damping={damping}",
            expected="tolerance > 0, max_steps >= 1, damping >= 0",
            try_="the default settings",
        )
    return newton(model.strings, marginals, model.params, tolerance, max_steps, damping, model.tie)


@linalg.jitted
def relative_entropy(first: AbstractGibbs, second: AbstractGibbs) -> Float[Array, ""]:
    r"""$D(\rho_a\|\rho_b) = \mathrm{Tr}(\rho_a K_b) + \log Z_b - S(\rho_a)$ of two models, of any families.

    For couplings of the same strings it is $\log Z_b - \log Z_a + \eta_a\cdot(\theta_b - \theta_a)$, the Bregman
    divergence of log Z, and that of minus the entropy in the marginals with the arguments exchanged.

    Args:
        first: $\rho_a$.
        second: $\rho_b$, on the same space.

    Raises:
        SpaceError: the models live on different spaces.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import PauliGibbs, relative_entropy
        >>> hot, cold = PauliGibbs(("Z",), jnp.array([0.0])), PauliGibbs(("Z",), jnp.array([1.0]))
        >>> print(f"{relative_entropy(hot, cold):.6f} {relative_entropy(cold, hot):.6f}")
        0.433781 0.327813
    """
    if first.hilbert != second.hilbert:
        raise SpaceError(
            "Only models on the same space can be compared.",
            got=f"{first.hilbert} and {second.hilbert}",
            expected="one space",
            try_="build both with the same hilbert",
        )
    if isinstance(first, PauliGibbs) and isinstance(second, PauliGibbs) and first.strings == second.strings:
        step = second.theta - first.theta  # nothing large is subtracted
        return second.log_partition() - first.log_partition() + jnp.sum(first.marginals() * step)
    return second.modular(first.density()) + second.log_partition() - first.entropy()
