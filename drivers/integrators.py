"""Runge-Kutta methods for trees, with fixed steps or with steps chosen from an embedded error."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from qml._core.errors import ConfigError, unknown_name
from qml._core.tree import norm
from qml._core.types import Array, Float, PyTree

Row = tuple[float, ...]
METRICS = ("state", "euclid")
MAX_STEPS = 100_000
SMALLEST = 1e-9  # of the span: a step below it is a stall
SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0


class Flow(eqx.Module):
    """The right side of an equation of motion at one step, and how an error of it is measured.

    Args:
        slope: function from parameters and the time to their time derivative and a tree of numbers to average over
            steps.
        norm: length of a change of the parameters, in the metric of the state.
    """

    slope: Callable[[PyTree, Any], tuple[PyTree, PyTree]]
    norm: Callable[[PyTree], Float[Array, ""]]


class Progress(eqx.Module):
    """What an integrator did over one span.

    Args:
        dt: the step to try next.
        steps: steps taken.
        rejected: steps taken back.
        stalled: the step became too small, or there were too many.
        mean: average over time of the numbers of the first stage of each step.
    """

    dt: Float[Array, ""]
    steps: Array
    rejected: Array
    stalled: Array
    mean: PyTree


class RungeKutta(eqx.Module):
    r"""An explicit Runge-Kutta method $y' = y + h\sum_i b_i k_i$, $k_i = f(y + h\sum_{j<i} a_{ij} k_j, t + c_i h)$ with
    $c_i = \sum_j a_{ij}$.

    With `rtol` the step is chosen so that the distance $e$ between the method and its embedded companion keeps
    $e \le \mathrm{atol} + \mathrm{rtol}\cdot s$. In the metric `"state"`, $e^2 = \delta^T S \delta$ is the squared
    angle between the two wave functions and $s = 1$; in `"euclid"`, $e$ and $s$ are lengths of parameter vectors.

    Use `Euler`, `Heun` or `RK4`.

    Args:
        name: for messages.
        a: rows of the tableau, one shorter each.
        b: weights.
        companion: weights of the embedded method, or `None`.
        order: order of the method.
        dt: step, > 0; with `rtol` the first step tried, or `None`.
        rtol: relative tolerance, or `None` for a fixed step.
        atol: absolute tolerance.
        metric: `"state"` or `"euclid"`.

    Raises:
        ConfigError: a number is out of range, or an unknown metric.
    """

    name: str = eqx.field(static=True)
    a: tuple[Row, ...] = eqx.field(static=True)
    b: Row = eqx.field(static=True)
    companion: Row | None = eqx.field(static=True)
    order: int = eqx.field(static=True)
    dt: float | int | None = eqx.field(static=True)
    rtol: float | int | None = eqx.field(static=True)
    atol: float | int = eqx.field(static=True)
    metric: str = eqx.field(static=True)

    def __check_init__(self):
        for label, value in (("dt", self.dt), ("rtol", self.rtol), ("atol", self.atol or None)):
            if value is not None and not (isinstance(value, float | int) and 0 < value < float("inf")):
                raise ConfigError(
                    f"{label} of {self.name} is a positive number.",
                    got=f"{label}={value!r}",
                    expected="a float > 0",
                    try_="RK4(0.01), Heun(rtol=1e-3)",
                )
        if self.dt is None and self.rtol is None:
            raise ConfigError(
                f"{self.name} needs a step or a tolerance.",
                got="neither",
                expected="dt= or rtol=",
                try_="Heun(0.01) or Heun(rtol=1e-3)",
            )
        if self.metric not in METRICS:
            unknown_name("metric of an integrator", self.metric, METRICS)

    def first_step(self, span: float) -> float:
        """The step to begin with on a span of time."""
        return span if self.dt is None else min(float(self.dt), span)

    def stages(self, slope: Callable, y: PyTree, t: Any, h: Any) -> tuple[PyTree, PyTree, PyTree]:
        """A step of size `h` from time `t`: new value, its distance to the embedded method, first stage's numbers."""
        slopes: list[PyTree] = []
        numbers: PyTree = None
        for row in ((), *self.a):
            k, extra = slope(_combine(y, h, row, slopes), t + sum(row) * h)
            numbers = extra if not slopes else numbers
            slopes.append(k)
        new = _combine(y, h, self.b, slopes)
        if self.companion is None:
            return new, jax.tree.map(jnp.zeros_like, y), numbers
        gaps = tuple(p - q for p, q in zip(self.b, self.companion, strict=True))
        return new, _combine(jax.tree.map(jnp.zeros_like, y), h, gaps, slopes), numbers

    def advance(
        self,
        begin: Callable[[Any], tuple[Any, PyTree, Flow]],
        end: Callable,
        thing: Any,
        dt: Any,
        span: float,
        start: Any = 0.0,
    ) -> tuple[Any, Progress]:
        """Go forward by exactly `span`.

        Args:
            begin: `begin(thing) -> (thing, parameters, Flow)`, called once a step; it may draw samples.
            end: `end(thing, parameters) -> thing`.
            thing: what moves.
            dt: the step to try first; a fixed step is shortened to divide the span.
            span: time to cover, > 0.
            start: the time at which it begins.

        Returns:
            The thing, and what was done.
        """
        if self.rtol is None:
            return self._fixed(begin, end, thing, span, start)
        return self._adaptive(begin, end, thing, jnp.asarray(dt), span, start)

    def _fixed(self, begin: Callable, end: Callable, thing: Any, span: float, start: Any) -> tuple[Any, Progress]:
        count = max(1, -(-span // (self.first_step(span) * (1 + 1e-9))))
        h = span / count

        def one(step: Any, carry: tuple) -> tuple:
            thing, total = carry
            thing, y, flow = begin(thing)
            y, _, numbers = self.stages(flow.slope, y, start + step * h, h)
            return end(thing, y), jax.tree.map(lambda t, v: t + v / count, total, numbers)

        thing, mean = jax.lax.fori_loop(0, int(count), one, (thing, _zeros(begin, thing)))
        zero = jnp.array(0, jnp.int32)
        return thing, Progress(jnp.asarray(h), zero + int(count), zero, jnp.array(False), mean)

    def _adaptive(
        self, begin: Callable, end: Callable, thing: Any, dt: Array, span: float, start: Any
    ) -> tuple[Any, Progress]:
        assert self.rtol is not None
        rtol, atol = self.rtol, self.atol
        low = SMALLEST * span

        def going(carry: tuple) -> Array:
            _, t, done = carry
            return (t < span - low) & ~done.stalled

        def one(carry: tuple) -> tuple:
            thing, t, done = carry
            thing, y, flow = begin(thing)
            left = span - t
            h = jnp.minimum(done.dt, left)
            new, gap, numbers = self.stages(flow.slope, y, start + t, h)
            if self.metric == "state":
                error, scale = flow.norm(gap), jnp.ones(())
            else:
                error, scale = norm(gap), jnp.maximum(norm(y), norm(new))
            ratio = error / (atol + rtol * scale)
            good = ratio <= 1
            factor = jnp.clip(SAFETY / jnp.sqrt(jnp.maximum(ratio, 1e-12)), SHRINK, GROW)
            factor = jnp.where(jnp.isfinite(ratio), factor, SHRINK)
            wanted = h * factor
            cut = good & (h < done.dt)  # the end of the span cut this step short: it says little about the next one
            wanted = jnp.where(cut, jnp.maximum(wanted, done.dt), wanted)
            thing = end(thing, jax.tree.map(lambda p, q: jnp.where(good, p, q), new, y))
            mean = jax.tree.map(lambda m, v: m + jnp.where(good, h / span, 0.0) * v, done.mean, numbers)
            steps, rejected = done.steps + good, done.rejected + ~good
            stalled = (wanted < low) | (steps + rejected >= MAX_STEPS)
            return thing, jnp.where(good, t + h, t), Progress(wanted, steps, rejected, stalled, mean)

        zero = jnp.array(0, jnp.int32)
        nothing = Progress(dt, zero, zero, jnp.array(False), _zeros(begin, thing))
        thing, t, done = jax.lax.while_loop(going, one, (thing, jnp.zeros_like(dt), nothing))
        return thing, eqx.tree_at(lambda p: p.stalled, done, t < span - low)


def _combine(y: PyTree, h: Any, weights: Row, slopes: list[PyTree]) -> PyTree:
    """`y + h * sum_i weights_i slopes_i`, in the dtypes of `y`."""
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            y = jax.tree.map(lambda a, k, w=weight: (a + (h * w) * k).astype(a.dtype), y, slope)
    return y


def _zeros(begin: Callable, thing: Any) -> PyTree:
    """Zeros of the form of the numbers that a stage reports."""

    def first(thing: Any) -> PyTree:
        _, y, flow = begin(thing)
        return flow.slope(y, jnp.zeros(()))[1]

    return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(first, thing))


def Euler(dt: float | int) -> RungeKutta:
    """Euler's method, first order, with a fixed step `dt`.

    Example:
        >>> import drivers
        >>> drivers.Euler(0.1).order
        1
    """
    return RungeKutta("Euler", (), (1.0,), None, 1, dt, None, 0.0, "state")


def Heun(
    dt: float | int | None = None, *, rtol: float | int | None = None, atol: float | int = 0.0, metric: str = "state"
) -> RungeKutta:
    """Heun's method, second order; with `rtol` its steps are chosen from the distance to Euler's.

    Args:
        dt: fixed step; with `rtol`, the first step tried.
        rtol: tolerance of one step, see `RungeKutta`.
        atol: absolute tolerance, added.
        metric: `"state"` measures errors as angles between wave functions, `"euclid"` in parameters.

    Example:
        >>> import drivers
        >>> drivers.Heun(rtol=1e-3).rtol
        0.001
    """
    return RungeKutta("Heun", ((1.0,),), (0.5, 0.5), (1.0, 0.0), 2, dt, rtol, atol, metric)


def RK4(dt: float | int) -> RungeKutta:
    """The classical fourth-order method with a fixed step `dt`.

    Example:
        >>> import drivers
        >>> drivers.RK4(0.01).b
        (0.16666666666666666, 0.3333333333333333, 0.3333333333333333, 0.16666666666666666)
    """
    rows = ((0.5,), (0.0, 0.5), (0.0, 0.0, 1.0))
    return RungeKutta("RK4", rows, (1 / 6, 1 / 3, 1 / 3, 1 / 6), None, 4, dt, None, 0.0, "state")
