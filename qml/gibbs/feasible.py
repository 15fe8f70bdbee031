"""Whether marginals belong to some quantum state, and the nearest ones that do, with bounds on the distance."""

import functools
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml import linalg
from qml._core.errors import ConfigError, DataError
from qml._core.types import Array, Bool, Float
from qml.gibbs import engine
from qml.gibbs.model import PauliGibbs
from qml.operator.strings import PauliStrings

_SHRINK = 0.25  # of the temperature from round to round
_ROUNDS = 24
_STEPS = 40  # Newton steps of one round


@final
class Feasibility(eqx.Module):
    r"""The marginals nearest to given ones that a quantum state has.

    Args:
        marginals: those of a state, `[terms]`.
        theta: couplings of that state.
        distance: from the given ones: this state has it, so the nearest one is not farther.
        bound: the nearest one is not nearer; a proof of infeasibility where it is above zero.
        feasible: False where there is such a proof beyond rounding.
        converged: distance and bound agree within the tolerance.
    """

    marginals: Float[Array, " terms"]
    theta: Float[Array, " terms"]
    distance: Float[Array, ""]
    bound: Float[Array, ""]
    feasible: Bool[Array, ""]
    converged: Bool[Array, ""]


def nearest_feasible(
    model: PauliGibbs, marginals: Any, *, covariance: Any = None, tolerance: float = 1e-6
) -> Feasibility:
    r"""The expectation values $\mathrm{Tr}\,\rho P_j$ of a quantum state that are nearest to given numbers t.

    $\min_\rho \frac12|\eta(\rho) - t|^2$ is the limit $\epsilon \to 0$ of ridge-regularised maximum entropy,
    $\min_\theta \log Z(\theta) + \theta \cdot t + \frac\epsilon2 |\theta|^2$, whose solution has
    $\eta = t + \epsilon\theta$; it is followed down by Newton's method. Every direction v is a bound on the distance
    from below, $(\lambda_{min}(\sum_j v_j P_j) - v \cdot t) / |v|$. The distance is Euclidean, or in units of errors,
    $|x|^2 = x^T \Sigma^{-1} x$.

    Args:
        model: its strings; the couplings are not used.
        marginals: t, `[terms]`.
        covariance: $\Sigma$, positive definite `[terms, terms]`; `None` is the identity.
        tolerance: of the distance, > 0.

    Raises:
        DataError: the arrays do not fit, are not finite, or the covariance is not positive definite.
        ConfigError: the tolerance is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import PauliGibbs, nearest_feasible
        >>> found = nearest_feasible(PauliGibbs(("X", "Z")), [0.9, 0.9])
        >>> print(found.feasible, found.marginals.round(4), round(float(found.distance), 4))
        False [0.7071 0.7071] 0.2728
    """
    target = np.asarray(marginals, dtype=float)
    count = len(model.strings)
    spread = np.eye(count) if covariance is None else np.asarray(covariance, dtype=float)
    good = target.shape == (count,) and spread.shape == (count, count)
    good = good and bool(np.all(np.isfinite(target))) and bool(np.all(np.isfinite(spread)))
    if not good or np.linalg.eigvalsh((spread + spread.T) / 2)[0] <= 0:
        raise DataError(
            "There must be one finite marginal for each string, with a positive definite covariance.",
            got=f"shapes {target.shape} and {spread.shape}",
            expected=f"[{count}] and [{count}, {count}]",
            try_="the order of model.terms",
        )
    if not tolerance > 0:
        raise ConfigError("A tolerance is positive.", got=tolerance, expected="> 0", try_="tolerance=1e-6")
    spread = jnp.asarray((spread + spread.T) / 2)
    return _nearest(model.strings, jnp.asarray(target), spread, jnp.asarray(float(tolerance)))


@functools.partial(linalg.jitted, static_argnums=0)
def _nearest(strings: PauliStrings, target: Array, spread: Array, tolerance: Array) -> Feasibility:
    factor = jnp.linalg.cholesky(spread)

    def length(gap: Array) -> Array:
        return jnp.linalg.norm(jax.scipy.linalg.solve_triangular(factor, gap, lower=True))

    def below(theta: Array) -> Array:
        """The bound of a direction."""
        size = jnp.sqrt(theta @ spread @ theta)
        safe = jnp.where(size > 0, size, 1.0)
        return jnp.where(size > 0, (engine.lowest_level(strings, theta) - theta @ target) / safe, -jnp.inf)

    def objective(theta: Array, epsilon: Array) -> Array:
        return engine.solve(strings, theta).log_partition + theta @ target + epsilon / 2 * theta @ spread @ theta

    def newton(theta: Array, epsilon: Array) -> Array:
        def go_on(loop: tuple[Array, Array, Array]) -> Array:
            _, decrement, steps = loop
            return (decrement > 1e-10) & (steps < _STEPS)

        def step(loop: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            theta, _, steps = loop
            state = engine.solve(strings, theta)
            means = engine.traces(strings, engine.in_basis(state, state.weights))
            slope = target + epsilon * spread @ theta - means
            direction = -jnp.linalg.solve(engine.metric(strings, state, "bkm") + epsilon * spread, slope)
            drop = -slope @ direction
            now = objective(theta, epsilon)
            floor = 1e-13 * (1 + jnp.abs(now))

            def long(t: Array) -> Array:
                return (objective(theta + t * direction, epsilon) > now - 0.1 * t * drop + floor) & (t > 1e-8)

            t = jax.lax.while_loop(long, lambda t: t / 2, jnp.ones(()))
            return theta + t * direction, jnp.where(drop > floor, drop, 0.0), steps + 1

        return jax.lax.while_loop(go_on, step, (theta, jnp.array(jnp.inf), jnp.array(0)))[0]

    def go_on(loop: tuple) -> Array:
        _, _, distance, bound, rounds = loop
        return (distance - jnp.maximum(bound, 0.0) > tolerance) & (rounds < _ROUNDS)

    def cool(loop: tuple) -> tuple:
        theta, epsilon, _, bound, rounds = loop
        theta = newton(theta, epsilon)
        state = engine.solve(strings, theta)
        reached = length(engine.traces(strings, engine.in_basis(state, state.weights)) - target)
        return theta, _SHRINK * epsilon, reached, jnp.maximum(bound, below(theta)), rounds + 1

    scale = jnp.linalg.norm(spread, ord=2)
    start = (jnp.zeros_like(target), 1 / scale, jnp.array(jnp.inf), jnp.array(-jnp.inf), jnp.array(0))
    theta, _, distance, bound, _ = jax.lax.while_loop(go_on, cool, start)
    state = engine.solve(strings, theta)
    means = engine.traces(strings, engine.in_basis(state, state.weights))
    feasible = bound <= 1e-12 * (1 + length(target))
    converged = distance - jnp.maximum(bound, 0.0) <= tolerance
    return Feasibility(means, theta, distance, jnp.maximum(bound, 0.0), feasible, converged)
