r"""Optimisers for thermal states in Optax's form: `init(params)`, `update(gradient, memory, params, model=...)`.

`update` takes the model itself beside its parameters, because the geometry is that of the states: the Kubo-Mori metric,
its mirror map, its divergence. Some need `value` and `value_fn` (the loss as a function of the parameters) too, as
line searches of Optax do. `drivers.QPMD(objective, optimizer=...)` passes all of them.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import optax

from qml._core.errors import ConfigError
from qml._core.types import Array
from qml.gibbs import engine
from qml.gibbs.family import AbstractLinear, metric_product, pull, push
from qml.gibbs.metric import natural
from qml.gibbs.mirror import newton, relative_entropy, safe_length

Transformation = optax.GradientTransformationExtraArgs


def _transformation(init: Any, update: Any) -> Transformation:
    """The pair; `Any`, for Optax's types do not know an `update` that needs `model`."""
    return Transformation(init, update)


def _positive(**numbers: Any) -> None:
    bad = {name: x for name, x in numbers.items() if not callable(x) and not x > 0}
    if bad:
        raise ConfigError("A setting of an optimiser is out of range.", got=bad, expected="> 0", try_="step_size=0.5")


def _linear(model: Any, what: str) -> AbstractLinear:
    if not isinstance(model, AbstractLinear):
        raise ConfigError(
            f"{what} is defined for couplings that enter K linearly.",
            got=type(model).__name__,
            expected="a PauliGibbs or TiedGibbs",
            try_="levenberg_marquardt() for latent models",
        )
    return model


def _at(schedule: Any, count: Array) -> Any:
    return schedule(count) if callable(schedule) else jnp.asarray(schedule, float)


def _zero(params: Any) -> Array:
    return jnp.zeros((), jnp.int32)


def natural_gradient(step_size: float | Callable = 0.1, damping: float = 1e-3) -> Transformation:
    r"""Natural gradient in the Kubo-Mori metric, $-\lambda\, (I + \epsilon\,\mathrm{diag} I)^{-1} g$, block by block.

    On couplings it is also mirror descent in the marginals (the reverse form of QPMD): the steps are the same.

    Args:
        step_size: $\lambda$, or a function of the number of steps taken.
        damping: $\epsilon \ge 0$, relative to a unit diagonal.

    Raises:
        ConfigError: the step size is not positive, or the damping negative.
    """
    _positive(step_size=step_size, damping=damping + 1e-300)

    def update(gradient: Any, count: Array, params: Any = None, *, model: Any, **extra: Any) -> tuple[Any, Array]:
        length = _at(step_size, count)
        found = jax.tree.map(lambda g, block: -length * natural(block, g, damping), gradient, model.metric_blocks())
        return found, count + 1

    return _transformation(_zero, update)


def levenberg_marquardt(
    damping: float = 0.1, *, floor: float = 1e-2, raised: float = 3.0, lowered: float = 2.5, tries: int = 12
) -> Transformation:
    r"""Full natural-gradient steps with adaptive damping, $-(I + \mu (\mathrm{diag} I + \epsilon))^{-1} g$.

    The Kubo-Mori metric of every family is block diagonal in the leaves of its parameters, exactly, and is solved so.
    $\mu$ is raised until the loss falls, at most `tries` times, and lowered after; without success nothing moves.

    Args:
        damping: first $\mu$.
        floor: $\epsilon$ of a block, relative to the mean of its diagonal.
        raised: factor on $\mu$ after a try that does not lower the loss, > 1.
        lowered: divisor of $\mu$ after a success, > 1.
        tries: at one step.

    Raises:
        ConfigError: a setting is out of range.

    Example:
        >>> import jax, drivers
        >>> from qml.gibbs import KOBE, Circuit, LatentGibbs, ThermalObjective, levenberg_marquardt
        >>> from qml.operator import PauliSum
        >>> start = LatentGibbs(KOBE(1, 1), Circuit.layered(1, 1)).random(jax.random.key(0))
        >>> driver = drivers.QPMD(ThermalObjective(PauliSum({"X": 1.0})), optimizer=levenberg_marquardt())
        >>> print(f"{driver.run(start, steps=20).state.expect(PauliSum({'X': 1.0})).mean:.6f}")
        -0.761594

    Source: Levenberg, Q. Appl. Math. 2, 164 (1944); Stokes, Izaac, Killoran, Carleo, Quantum 4, 269 (2020).
    """
    _positive(damping=damping, floor=floor, raised=raised - 1, lowered=lowered - 1, tries=tries)

    def init(params: Any) -> Array:
        return jnp.asarray(float(damping))

    def update(
        gradient: Any, mu: Array, params: Any, *, model: Any, value: Array, value_fn: Callable, **extra: Any
    ) -> tuple[Any, Array]:
        blocks = model.metric_blocks()

        def solve(mu: Array, g: Array, block: Array) -> Array:
            diagonal = jnp.diagonal(block)
            ridge = mu * (diagonal + floor * jnp.mean(diagonal)) + 1e-13 * jnp.max(diagonal)
            factor = jax.scipy.linalg.cho_factor(block + jnp.diag(jnp.maximum(ridge, 1e-300)))
            return -jax.scipy.linalg.cho_solve(factor, g)

        def attempt(mu: Array) -> tuple[Any, Array]:
            step = jax.tree.map(lambda g, block: solve(mu, g, block), gradient, blocks)
            return step, value_fn(optax.apply_updates(params, step))

        def bad(loop: tuple) -> Array:
            _, _, after, count = loop
            return ~(after < value) & (count < tries)

        def again(loop: tuple) -> tuple:
            mu, _, _, count = loop
            return mu * raised, *attempt(mu * raised), count + 1

        mu, step, after, _ = jax.lax.while_loop(bad, again, (mu, *attempt(mu), jnp.array(1)))
        good = after < value
        step = jax.tree.map(lambda s: jnp.where(good, s, 0.0), step)
        return step, jnp.where(good, jnp.maximum(mu / lowered, 1e-9), jnp.minimum(mu, 1e9))

    return _transformation(init, update)


def safe_newton(*, matrix_free: bool = False, tolerance: float = 1e-3) -> Transformation:
    r"""Newton's direction with a step length that provably lowers $D(\sigma\|\rho_\theta)$; no settings to tune.

    For losses $\log Z(\theta) + \theta\cdot\eta_\sigma$ of couplings: their Hessian is the Kubo-Mori metric at any
    data. The length is that of Bennett's bound on $\log Z$ (see `mirror.safe_step`); near the minimum it is one.

    Args:
        matrix_free: solve by conjugate gradients on products with the metric, so that the metric is never made.
        tolerance: relative residual of that solve.

    Raises:
        ConfigError: the tolerance is not positive, or the model is not linear in its couplings.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import PauliGibbs, safe_newton
        >>> model, rule = PauliGibbs(("X", "Z")), safe_newton()
        >>> params, memory = model.params, rule.init(model.params)
        >>> for _ in range(5):
        ...     gap = jnp.array([0.3, -0.5]) - model.with_params(params).marginals()
        ...     change, memory = rule.update(gap, memory, params, model=model)
        ...     params = params + change
        >>> print(model.with_params(params).marginals().round(8))
        [ 0.3 -0.5]

    Source: Streeter, arXiv:2308.00190 (safe steps from bounds); `mirror.safe_step` for the bound.
    """
    _positive(tolerance=tolerance)

    def update(gradient: Array, count: Array, params: Any = None, *, model: Any, **extra: Any) -> tuple[Array, Array]:
        model = _linear(model, "The safe step")
        tie = model.tie
        state = engine.solve(model.strings, push(tie, params))
        means = pull(tie, engine.traces(model.strings, engine.in_basis(state, state.weights)))

        times = functools.partial(metric_product, model, state)
        if matrix_free:
            direction = jax.scipy.sparse.linalg.cg(times, -gradient, tol=tolerance, maxiter=200)[0]
        else:
            direction = -natural(pull(tie, engine.metric(model.strings, state, "bkm")), gradient)
        slope, curvature = -gradient @ direction, direction @ times(direction)
        reach = means @ direction - engine.lowest_level(model.strings, push(tie, direction))
        return safe_length(slope, curvature, reach) * direction, count + 1

    return _transformation(_zero, update)


def mirror(step_size: float | Callable = 0.5, *, newton_steps: int = 30) -> Transformation:
    r"""Mirror descent with the forward divergence: $\eta \leftarrow \eta + \lambda g$, mapped back by Newton's method.

    $\theta_{t+1} = \arg\min \langle g, \theta\rangle + D(\rho_t\|\rho_\theta)/\lambda$. A dual point that no state has
    is remembered, and the couplings are those of the point shrunk until some state has it; with $\lambda = 1/t$ and
    gradients $\hat\eta_t - \eta$ of noisy marginals the dual point is their running mean, so streaming through the data
    once gives what maximum entropy gives on all of them (`streaming`).

    Args:
        step_size: $\lambda$, or a function of the number of steps taken.
        newton_steps: at most, in the inverse mirror map.

    Raises:
        ConfigError: a setting is out of range, or the model is not linear in its couplings.

    Source: Sbahi, Martinez, Patel, Saberi, Yoo, Roeder, Verdon, arXiv:2206.04663.
    """
    _positive(step_size=step_size, newton_steps=newton_steps)

    def init(params: Array) -> tuple[Array, Array]:
        return jnp.zeros((), jnp.int32), jnp.zeros_like(params)

    def update(gradient: Array, memory: tuple, params: Any, *, model: Any, **extra: Any) -> tuple[Array, tuple]:
        model = _linear(model, "Mirror descent in the marginals")
        count, excess = memory
        length = _at(step_size, count)
        means = model.with_params(params).marginals()
        goal = means + (1 - length) * excess + length * gradient
        found, _ = nearest(model, goal, params, newton_steps)
        reached = model.with_params(found).marginals()
        gap = goal - reached
        return found - params, (count + 1, jnp.where(jnp.max(jnp.abs(gap)) < 1e-9, 0.0, gap))

    return _transformation(init, update)


def nearest(model: AbstractLinear, goal: Array, start: Array, newton_steps: int = 30) -> tuple[Array, Array]:
    """Couplings of marginals shrunk towards the mixed state until some state has them, and the factor that was kept."""

    def infeasible(loop: tuple) -> Array:
        _, _, feasible, count = loop
        return ~feasible & (count < 40)

    def shrink(loop: tuple) -> tuple:
        scale, _, _, count = loop
        found = newton(model.strings, scale * goal, start, 1e-12, newton_steps, 0.0, model.tie)
        smaller = scale * found.shrunk()
        return jnp.where(found.feasible, scale, smaller), found.theta, found.feasible, count + 1

    first = (jnp.ones(()), start, jnp.array(False), jnp.array(0))
    scale, theta, feasible, _ = jax.lax.while_loop(infeasible, shrink, first)
    return jnp.where(feasible, theta, start), scale


def streaming(*, newton_steps: int = 30) -> Transformation:
    """`mirror` with the step 1/t: one pass over batches of data equals maximum entropy on all of them."""
    return mirror(lambda count: 1.0 / (count + 1.0), newton_steps=newton_steps)


def published_mirror(
    step_size: float = 0.1, *, mix: float = 0.5, inner: Any = None, inner_steps: int = 100
) -> Transformation:
    r"""Mirror descent as published, with the reverse divergence and an approximate inner minimisation.

    $\Omega_{t+1} \approx \arg\min \langle g,\Omega\rangle + \frac1\lambda[(1-f) D(\rho_\Omega\|\rho_t)
    + \frac f2 |\Omega-\Omega_t|^2]$ by a fixed number of steps of an inner optimiser. With f = 0 that objective has
    no minimum (D is bounded), so its few steps are part of the method: `mirror` has no such limit.

    Args:
        step_size: $\lambda$.
        mix: f, the Euclidean part, in [0, 1].
        inner: Optax optimiser of the inner problem; `None` is `optax.adam(2.5e-3)`. Its memory is kept.
        inner_steps: its steps.

    Raises:
        ConfigError: a setting is out of range.

    Source: Sbahi, Martinez, Patel, Saberi, Yoo, Roeder, Verdon, arXiv:2206.04663.
    """
    _positive(step_size=step_size, inner_steps=inner_steps)
    if not 0 <= mix <= 1:
        raise ConfigError("The Euclidean part is a fraction.", got=mix, expected="0 <= mix <= 1", try_="mix=0.5")
    rule = optax.adam(2.5e-3) if inner is None else inner

    def update(gradient: Any, memory: Any, params: Any, *, model: Any, **extra: Any) -> tuple[Any, Any]:
        old = model.with_params(params)
        flat_gradient = jax.flatten_util.ravel_pytree(gradient)[0]
        start = jax.flatten_util.ravel_pytree(params)[0]

        def objective(now: Any) -> Array:
            flat = jax.flatten_util.ravel_pytree(now)[0]
            apart = (1 - mix) * relative_entropy(model.with_params(now), old)
            return flat_gradient @ flat + (apart + mix / 2 * jnp.sum((flat - start) ** 2)) / step_size

        def one(loop: tuple, _: None) -> tuple[tuple, None]:
            now, memory = loop
            change, memory = rule.update(jax.grad(objective)(now), memory, now)
            return (optax.apply_updates(now, change), memory), None

        (now, memory), _ = jax.lax.scan(one, (params, memory), None, length=inner_steps)
        return jax.tree.map(lambda a, b: a - b, now, params), memory

    return _transformation(rule.init, update)
