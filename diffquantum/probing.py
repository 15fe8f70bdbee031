"""Programs that compile only with numbers for their parameters: every number in them as an affine function of those."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from diffquantum.errors import SourceError, UnsupportedError
from diffquantum.ir import Binary, Const, Expression, Index, Parameter, Program
from diffquantum.opcodes import choose

TOLERANCE = 1e-12
STEP = 0.5
NEAR = 1e-5  # how far from a point the program must be the same, relative to its size
REMEMBERED = 4096  # points whose answer is kept


class NotAffine(Exception):
    """The programs differ in more than numbers, or a number is not affine."""


def probe_points(count: int) -> np.ndarray:
    """Points `[points, params]`: one and its two neighbours in each parameter, and six far apart, of both signs."""
    base = (np.arange(count) * 5 % 11 + 3.0) / 8  # binary fractions, so that differences are exact
    points = [base, *(base + s * STEP * unit for unit in np.eye(count) for s in (1.0, -1.0))]
    way = np.random.default_rng(7).uniform(0.5, 1.0, count)
    return np.array([*points, *(scale * way for scale in (0.4, -0.4, 7.0, -7.0, 500.0, -500.0))])


def merge(programs: Sequence[Program], points: np.ndarray) -> Program:
    r"""The program that has these values at `probe_points`.

    $c_k(\theta) = c_k(b) + \sum_j J_{kj} (\theta_j - b_j)$ from differences at the first $2P + 1$ points, compared at
    the others. A branch on a parameter shows only where two of the points are on its two sides; see `Guard`.

    Args:
        programs: the program with numbers for its parameters, at each point.
        points: from `probe_points`, `[points, params]`.

    Returns:
        The program with expressions of the parameters for those numbers that change.

    Raises:
        NotAffine: it is no such program.
    """
    return _merge(programs, points)


@runtime_checkable
class Job(Protocol):
    """What compiles a program with numbers for its parameters."""

    def at_points(self, points: np.ndarray) -> list[Program]:
        """The program at each point `[points, params]`."""
        ...


@dataclasses.dataclass(frozen=True)
class Guard:
    """Compiles a probed program again where it is evaluated, and compares: no branch on a parameter goes unseen.

    A branch that none of `probe_points` takes makes another program elsewhere. So wherever the program is given
    parameters, what the compiler makes of them there and close by must be what the affine numbers say.

    Args:
        job: compiles it.
        programs: the program at the first $2P + 1$ of `probe_points`.
        known: what was found before, by the bytes of the parameters.
    """

    job: Job
    programs: tuple[Program, ...] = dataclasses.field(compare=False, repr=False)
    known: dict[bytes, str] = dataclasses.field(default_factory=dict, compare=False, repr=False)

    def trouble(self, theta: np.ndarray) -> str:
        """What is different at some parameters `[params]`; empty where nothing is."""
        theta = np.asarray(theta, float)
        key = theta.tobytes()
        if key not in self.known:
            if len(self.known) >= REMEMBERED:
                self.known.clear()
            self.known[key] = self.compared(theta)
        return self.known[key]

    def compared(self, theta: np.ndarray) -> str:
        if not np.all(np.isfinite(theta)):
            return "parameters that are not finite"
        way = np.random.default_rng(np.frombuffer(theta.tobytes(), np.uint8)).uniform(0.5, 1.0, len(theta))
        way *= NEAR * (1 + np.abs(theta))
        here = np.array([theta, theta + way, theta - way])
        points = np.concatenate([probe_points(len(theta))[: len(self.programs)], here])
        try:
            _merge([*self.programs, *self.job.at_points(here)], points)
        except NotAffine:
            return "another program, or another number in it"
        except (SourceError, UnsupportedError) as error:
            return error.what
        return ""

    def check(self, name: str, theta: np.ndarray) -> None:
        """Refuse parameters at which the program is another one.

        Raises:
            UnsupportedError: it is.
        """
        trouble = self.trouble(theta)
        if trouble:
            raise UnsupportedError(
                f"The program {name} was found by compiling it at some parameters, and is another one at these.",
                got=f"{trouble}, at {np.asarray(theta).tolist()}",
                expected="the same text of gates for all parameters, with angles that are affine in them",
                try_="pass the angles as arguments Double or Double[], without a struct or a local array",
            )


def caution(program: Program) -> str:
    """A comment for the text of a program that is only known to hold where it was compiled; else empty."""
    if program.guard is None:
        return ""
    return "// Found by compiling it at some parameters; a branch on a parameter that was not met there is missing.\n"


def kept(program: Program, theta: Any) -> Any:
    """The parameters `[params]` of an evaluation, as they are; of a program found by probing only where it holds.

    Under a transformation of JAX the parameters become NaN where it does not.

    Raises:
        UnsupportedError: the program is another one at these parameters.
    """
    guard = program.guard
    if guard is None:
        return theta
    if not isinstance(theta, Tracer):
        guard.check(program.name, np.asarray(theta))
        return theta
    still = jax.lax.stop_gradient(theta)
    like = jax.ShapeDtypeStruct((), np.bool_)
    good = jax.pure_callback(
        lambda t: np.array(not guard.trouble(np.asarray(t))), like, still, vmap_method="sequential"
    )
    return jnp.where(good, theta, jnp.nan)


def _merge(nodes: Sequence[Any], points: np.ndarray) -> Any:
    first = nodes[0]
    if all(type(n) is type(first) and n == first for n in nodes):
        return first
    if all(isinstance(n, Const) and isinstance(n.value, float) for n in nodes):
        return _affine(np.array([n.value for n in nodes]), points)
    if any(type(n) is not type(first) for n in nodes):
        raise NotAffine
    if isinstance(first, Index) and len({len(n.table) for n in nodes}) == 1:
        tables = [[Const(v) for v in n.table] for n in nodes]
        index = _merge([n.index for n in nodes], points)
        return choose(index, [_merge(entries, points) for entries in zip(*tables)])
    if isinstance(first, tuple):
        if len({len(n) for n in nodes}) > 1:
            raise NotAffine
        return tuple(_merge(parts, points) for parts in zip(*nodes))
    if not dataclasses.is_dataclass(first) or isinstance(first, type):
        raise NotAffine
    names = [f.name for f in dataclasses.fields(first)]
    return dataclasses.replace(first, **{n: _merge([getattr(node, n) for node in nodes], points) for n in names})


def _affine(values: np.ndarray, points: np.ndarray) -> Expression:
    """The expression with these values at these points."""
    count = points.shape[1]
    slopes = np.array([_neat((values[1 + 2 * j] - values[2 + 2 * j]) / (2 * STEP)) for j in range(count)])
    offset = _neat(values[0] - points[0] @ slopes)
    scale = 1 + abs(offset) + np.abs(points) @ np.abs(slopes)
    if not np.all(np.abs(points @ slopes + offset - values) <= TOLERANCE * scale):
        raise NotAffine
    out: Expression | None = Const(offset) if offset else None
    for j, slope in enumerate(slopes):
        if slope:
            term = Parameter(j) if slope == 1 else Binary("mul", Const(float(slope)), Parameter(j))
            out = term if out is None else Binary("add", out, term)
    return Const(0.0) if out is None else out


def _neat(value: float) -> float:
    """The number with few digits that is nearest, if it is near enough to be meant."""
    short = round(float(value), 9)
    return short if abs(short - value) <= TOLERANCE * max(1.0, abs(value)) else float(value)
