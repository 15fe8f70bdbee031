r"""Optimisers without step size for circuits, and certified minima.

Along a line $h(x) = E(\theta + xv)$ the mean of a circuit of Pauli rotations is a trigonometric polynomial of
frequencies up to $\sigma = \sum_j |v_j| w_j$, with $w_j$ the number of gates that turn with $\theta_j$, and
$|h - c| \le M$ where $[c - M, c + M]$ holds the spectrum of the observable. Bernstein's inequality
$|h^{(k)}| \le \sigma^k M$ then gives steps that never go up and bounds that prove a minimum. None of it holds inside
loops without a bound.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffquantum.errors import UnsupportedError
from diffquantum.ir import ROTATIONS, Const, Gate, Program, walk
from diffquantum.transform.derivative import has_unbounded_occurrences
from diffquantum.transform.shift import differentiate
from diffquantum.transform.simplify import is_zero
from qml._core.errors import ConfigError
from qml._core.types import Array

MOST = 3  # parameters of a certified minimum


@dataclass(frozen=True)
class Band:
    r"""What bounds the mean of a circuit.

    Args:
        weights: for each parameter $w_j$, the sum of $|\partial_j\phi|$ over the gates.
        centre: $c$, the middle of an interval that holds the spectrum of the observable.
        size: $M$, half its length.
    """

    weights: tuple[float, ...]
    centre: float
    size: float

    def __post_init__(self):
        if not (self.size > 0 and all(w >= 0 for w in self.weights)):
            raise ConfigError(
                "A band has a positive size and weights that are not negative.",
                got=f"weights={self.weights}, size={self.size}",
                expected="size > 0, weights >= 0",
                try_="band(program, observable)",
            )


def band(program: Program, observable: Any = None) -> Band:
    r"""The band of a circuit: gates counted for each parameter, the spectrum bounded by $\sum |c_P|$.

    Args:
        program: a circuit of rotations with angles that are affine in the parameters, no loop around them.
        observable: a `PauliSum` on its register, or `None` for a program that returns a Result or a Bool.

    Raises:
        UnsupportedError: a parameter turns a gate in a loop, an angle is not affine, or the number has no known bound.

    Example:
        >>> from diffquantum.estimate.circuits import band
        >>> from diffquantum.ir import Const, Gate, Measure, Parameter, Program, Var
        >>> body = (Gate("ry", (Const(0),), Parameter(0)), Measure(Const(0), "m"))
        >>> band(Program("Flip", ("angle",), 1, body, outputs=(Var("m"),), kind="result"))
        Band(weights=(1.0,), centre=0.5, size=0.5)
    """
    weights = _weights(program)
    if observable is None:
        if program.kind not in ("result", "bool"):
            raise _refused(program, f"it returns {program.kind}, a number without a known bound")
        return Band(weights, 0.5, 0.5)
    words = [observable.strings.word(k) for k in range(len(observable.strings))]
    numbers = np.real(np.asarray(observable.coefficients))
    centre = sum(c for w, c in zip(words, numbers) if not w.strip("I"))
    size = sum(abs(c) for w, c in zip(words, numbers) if w.strip("I"))
    return Band(weights, float(centre), float(size))


def _weights(program: Program) -> tuple[float, ...]:
    """The sum of the slopes of all angles in each parameter."""
    count = len(program.parameters)
    if has_unbounded_occurrences(program, tuple(range(count))):
        raise _refused(program, "a parameter turns a gate inside a loop, where the mean has no highest frequency")
    weights = np.zeros(count)
    for s in walk(program.body):
        if isinstance(s, Gate) and s.name in ROTATIONS and s.angle is not None:
            for j in range(count):
                slope = differentiate(s.angle, j)
                if not isinstance(slope, Const):
                    raise _refused(program, "an angle is not affine in the parameters")
                weights[j] += 0.0 if is_zero(slope) else abs(float(slope.value))
    return tuple(weights.tolist())


def _refused(program: Program, why: str) -> UnsupportedError:
    return UnsupportedError(
        f"There are no closed-form steps for {program.name}: {why}.",
        got=program.name,
        expected="a circuit of rotations with affine angles, and a Result, a Bool or an observable",
        try_="optax.adam(0.05) with drivers.ProgramFit",
    )


def rotosolve(mean: Callable[[Array], Array], theta: Array, program: Program, sweeps: int = 1) -> Array:
    r"""Exact minimisation in one parameter after the other.

    If $\theta_j$ turns one gate, once, $E = a \cos x + b \sin x + c$ along it, with
    $a = E_0 - \tfrac12(E_+ + E_-)$, $b = \tfrac12(E_+ - E_-)$ from shifts of $\pm\pi/2$: the minimum is at
    $x = \mathrm{atan2}(-b, -a)$.

    Args:
        mean: the mean as a function of theta `[params]`.
        theta: where to start.
        program: the circuit.
        sweeps: times through all parameters.

    Returns:
        The new parameters.

    Raises:
        UnsupportedError: a parameter does not turn exactly one gate, or stands in a loop.

    Source: Ostaszewski, Grant and Benedetti, Quantum 5, 391 (2021).
    """
    if any(w != 1.0 for w in _weights(program)):
        raise _refused(program, "a parameter does not turn exactly one gate, once")
    theta = jnp.asarray(theta)
    e = float(mean(theta))
    for j in itertools.chain.from_iterable(range(len(theta)) for _ in range(sweeps)):
        up, down = (float(mean(theta.at[j].add(s * np.pi / 2))) for s in (1, -1))
        a, b = e - (up + down) / 2, (up - down) / 2
        theta = theta.at[j].add(float(np.arctan2(-b, -a)))
        e = (up + down) / 2 - float(np.hypot(a, b))
    return theta


def safe_step(mean: Callable[[Array], Array], theta: Array, direction: Array, limits: Band) -> Array:
    r"""The best step along a direction that is proved not to go up.

    $h(x) \le h_0 + h_1 x + h_2 x^2 / 2 + \sigma^3 M |x|^3 / 6$, so that with $h_1 < 0$ the step
    $x = (-h_2 + \sqrt{h_2^2 - 2\sigma^3 M h_1}) / (\sigma^3 M)$ lowers the mean. One Hessian-vector
    product; no step size.

    Args:
        mean: the mean, a JAX function of theta `[params]`.
        theta: where to start.
        direction: where to go `[params]`; turned round if the mean rises along it.
        limits: see `band`.

    Returns:
        The new parameters.

    Source: Streeter, arXiv 2308.00190, for steps from bounds; Bernstein's inequality for the bound.
    """

    def along(x: Array) -> Array:
        return mean(theta + x * direction)

    slope = jax.grad(along)
    h1, h2 = jax.jvp(slope, (jnp.zeros(()),), (jnp.ones(()),))
    third = jnp.sum(jnp.abs(direction) * jnp.asarray(limits.weights)) ** 3 * limits.size
    third = jnp.maximum(third, 1e-300)
    x = 2 * jnp.abs(h1) / (h2 + jnp.sqrt(h2**2 + 2 * third * jnp.abs(h1)) + 1e-300)
    x = jnp.where(h2 > 0, x, (-h2 + jnp.sqrt(h2**2 + 2 * third * jnp.abs(h1))) / third)
    return theta - jnp.sign(h1) * x * direction


@dataclass(frozen=True)
class Certificate:
    """A minimum with its proof, up to rounding.

    Args:
        theta: the best parameters found.
        lower: no parameters have a mean below.
        upper: the mean at `theta`.
        boxes: boxes that were looked at.
    """

    theta: tuple[float, ...]
    lower: float
    upper: float
    boxes: int


def certify_minimum(
    mean: Callable[[Array], Array], limits: Band, tolerance: float = 1e-4, boxes: int = 20_000
) -> Certificate:
    r"""The global minimum over one period, by branch and bound, for at most three parameters.

    In a box of half widths $r$ around $\theta$ (in units where $w_j = 1$) the mean is at least
    $c + M \cos \min(\pi, \arccos\frac{E - c}{M} + \sum_j r_j)$ and at least
    $E - |g| \cdot r + \tfrac12 \min(\lambda_{\min}, 0) |r|^2 - M (\sum_j r_j)^3 / 6$.

    Args:
        mean: the exact mean, a JAX function of theta `[params]`; every angle must have whole-number slopes, so that
            $2\pi$ is a period.
        limits: see `band`.
        tolerance: gap between the bounds at the end.
        boxes: give up after as many.

    Raises:
        UnsupportedError: more than three parameters.

    Source: Bernstein-Szego inequality for trigonometric polynomials; branch and bound.
    """
    count = len(limits.weights)
    if not 1 <= count <= MOST:
        raise UnsupportedError(
            "A minimum is certified for few parameters only: the number of boxes grows exponentially.",
            got=f"{count} parameters",
            expected=f"1 to {MOST}",
            try_="safe_step or rotosolve",
        )
    weights, centre, size = np.asarray(limits.weights), limits.centre, limits.size
    look = jax.jit(jax.vmap(lambda t: (mean(t), jax.grad(mean)(t), jax.hessian(mean)(t))))

    def bounds(points: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        padded = np.zeros((64, count))
        padded[: len(points)] = points
        e, g, h = (np.asarray(x)[: len(points)] for x in look(jnp.asarray(padded)))
        r = half * np.maximum(weights, 1e-12)
        scaled = h / np.maximum(np.outer(weights, weights), 1e-24)[None]
        lowest = np.minimum(np.linalg.eigvalsh(scaled)[:, 0], 0)
        total = r.sum(axis=1)
        first = centre + size * np.cos(np.minimum(np.pi, np.arccos(np.clip((e - centre) / size, -1, 1)) + total))
        second = e - np.sum(np.abs(g) / np.maximum(weights, 1e-12)[None] * r, axis=1)
        second += lowest * np.sum(r**2, axis=1) / 2 - size * total**3 / 6
        return e, np.maximum(first, second)

    start, half = np.zeros((1, count)), np.full((1, count), np.pi)
    e, low = bounds(start, half)
    best, where, seen = float(e[0]), start[0], 1
    queue = [(float(low[0]), 0, start[0], half[0])]
    ticket = itertools.count(1)
    while queue and best - queue[0][0] > tolerance and seen < boxes:
        taken = [heapq.heappop(queue) for _ in range(min(32, len(queue)))]
        points, halves = [], []
        for _, _, point, half_ in taken:
            j = int(np.argmax(half_ * weights))
            step = np.eye(count)[j] * half_[j] / 2
            points += [point + step, point - step]
            halves += [half_ - step] * 2
        e, low = bounds(np.array(points), np.array(halves))
        seen += len(points)
        if e.min() < best:
            best, where = float(e.min()), points[int(np.argmin(e))]
        for value, point, half_ in zip(low, points, halves):
            if value < best - tolerance:
                heapq.heappush(queue, (float(value), next(ticket), point, half_))
    lower = min(best - tolerance, queue[0][0]) if queue else best - tolerance
    return Certificate(tuple(where.tolist()), min(lower, best), best, seen)
