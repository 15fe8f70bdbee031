r"""Linear maps on stacks of Pauli components that are affine in numbers computed from the parameters.

A state is an array `[rows, moments, 4, ..., 4]`. Every step of a program is a sum $\sum_f n_f(\theta)\, K_f$ of
constant maps with numbers in front, like $\cos\phi$ and $\sin\phi$ of a rotation. The same maps run in NumPy
(exploration) and in JAX (large spaces).
"""

import dataclasses
from types import ModuleType
from typing import Any

import numpy as np

from diffquantum.ir import Binary, Const, Expression, Parameter, Select, Unary, parts
from diffquantum.simulate.gates import OUTCOME, RESET, transfer_fixed, transfer_rotation

_FUNCTION = {
    "neg": "negative", "sin": "sin", "cos": "cos", "tan": "tan", "asin": "arcsin", "acos": "arccos", "atan": "arctan",
    "sqrt": "sqrt", "exp": "exp", "log": "log", "abs": "abs",
    "add": "add", "sub": "subtract", "mul": "multiply", "div": "divide", "mod": "fmod", "pow": "power",
    "min": "minimum", "max": "maximum",
}  # fmt: skip


def evaluate(expression: Expression, theta: Any, xp: ModuleType) -> Any:
    """The number an expression of constants and parameters stands for."""
    match expression:
        case Const(value):
            return float(value)
        case Parameter(index):
            return theta[index]
        case Unary("float", x):
            return evaluate(x, theta, xp)
        case Unary(op, x):
            return getattr(xp, _FUNCTION[op])(evaluate(x, theta, xp))
        case Binary(op, x, y):
            return getattr(xp, _FUNCTION[op])(evaluate(x, theta, xp), evaluate(y, theta, xp))
        case Select(Const(value), yes, no):
            return evaluate(yes if value else no, theta, xp)
    raise TypeError(f"not a number of constants and parameters: {expression!r}")


def affine(expression: Expression) -> tuple[float, dict[int, float]] | None:
    """Constant and slopes of an expression that is affine in the parameters, else `None`."""
    match expression:
        case Const(value):
            return float(value), {}
        case Parameter(index):
            return 0.0, {index: 1.0}
        case Unary("float", x):
            return affine(x)
        case Unary("neg", x):
            return _scaled(affine(x), -1.0)
        case Binary("add" | "sub" as op, x, y):
            a, b = affine(x), _scaled(affine(y), 1.0 if op == "add" else -1.0)
            if a is None or b is None:
                return None
            return a[0] + b[0], {i: a[1].get(i, 0.0) + b[1].get(i, 0.0) for i in a[1] | b[1]}
        case Binary("mul", Const(value), x) | Binary("mul", x, Const(value)):
            return _scaled(affine(x), float(value))
        case Binary("div", x, Const(value)) if value:
            return _scaled(affine(x), 1.0 / value)
    return None


def _scaled(form: tuple[float, dict[int, float]] | None, by: float) -> tuple[float, dict[int, float]] | None:
    return None if form is None else (by * form[0], {i: by * v for i, v in form[1].items()})


class Numbers:
    """The numbers $n_f(\\theta)$ of a program; number 0 is 1. Cosines and sines of affine angles go together."""

    def __init__(self):
        self.place: dict[Expression, int] = {Const(1.0): 0}

    def __call__(self, expression: Expression) -> int:
        """The number of an expression."""
        return self.place.setdefault(expression, len(self.place))

    def evaluate(self, theta: Any, xp: ModuleType) -> Any:
        """All numbers `[numbers]` at some parameters `[params]`."""
        waves: dict[Expression, tuple[float, dict[int, float]]] = {}
        others: list[Expression] = []
        for e in self.place:
            form = affine(e.x) if isinstance(e, Unary) and e.op in ("cos", "sin") else None
            if form is None:
                others.append(e)
            else:
                waves[e] = form
        order = [*others, *waves]
        parts = [xp.stack([xp.asarray(evaluate(e, theta, xp), dtype=float) for e in others])]
        if waves:
            slopes, shift = np.zeros((len(waves), len(theta))), np.zeros(len(waves))
            for row, (constant, slope) in enumerate(waves.values()):
                shift[row] = constant
                slopes[row, list(slope)] = list(slope.values())
            angle = slopes @ theta + shift
            cosine = np.array([e.op == "cos" for e in waves])  # type: ignore[union-attr]
            parts.append(xp.where(cosine, xp.cos(angle), xp.sin(angle)))
        place = {e: i for i, e in enumerate(order)}
        return xp.concatenate(parts)[np.array([place[e] for e in self.place])]

    def generic(self, theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The numbers at some parameters; random ones where a formula has pieces that these may not see."""
        numbers = self.evaluate(theta, np)
        rough = np.array([_has_pieces(e) for e in self.place])
        return np.where(rough, rng.uniform(-0.9, 0.9, len(numbers)), numbers)


def _has_pieces(expression: Expression) -> bool:
    """Whether an expression is not analytic, so that it may be constant here and not there."""
    sharp = isinstance(expression, Unary | Binary) and expression.op in ("abs", "trunc", "mod", "min", "max")
    return sharp or any(_has_pieces(part) for part in parts(expression))


@dataclasses.dataclass(frozen=True, eq=False)
class Term:
    """One number times a constant map: a matrix on the moments, times a transfer matrix on some qubits."""

    number: int
    moments: np.ndarray | None
    local: np.ndarray | None


@dataclasses.dataclass(frozen=True, eq=False)
class Op:
    """A sum of terms that act on the same qubits."""

    qubits: tuple[int, ...]
    terms: tuple[Term, ...]

    @property
    def used(self) -> frozenset[int]:
        """The numbers it reads, but for number 0."""
        return frozenset(t.number for t in self.terms) - {0}

    def apply(self, x: Any, numbers: Any, xp: ModuleType) -> Any:
        """The image of `[rows, moments, 4, ..., 4]`."""
        if all(t.moments is None for t in self.terms):
            return on_qubits(x, _sum([(t.number, t.local) for t in self.terms], numbers), self.qubits, xp)
        if all(t.local is None for t in self.terms):
            return on_moments(x, _sum([(t.number, t.moments) for t in self.terms], numbers), xp)
        out: Any = 0.0
        for t in self.terms:
            y = x if t.moments is None else on_moments(x, t.moments, xp)
            y = y if t.local is None else on_qubits(y, t.local, self.qubits, xp)
            out = out + (y if t.number == 0 else y * numbers[t.number])
        return out


@dataclasses.dataclass(frozen=True, eq=False)
class Either:
    """The sum of several ways, each some maps in order, of which at most one in a way depends on parameters."""

    ways: "tuple[tuple[Op | Either, ...], ...]"

    @property
    def used(self) -> frozenset[int]:
        return frozenset().union(*(op.used for way in self.ways for op in way))

    def apply(self, x: Any, numbers: Any, xp: ModuleType) -> Any:
        """The image of `[rows, moments, 4, ..., 4]`."""
        out: Any = 0.0
        for way in self.ways:
            y = x
            for op in way:
                y = op.apply(y, numbers, xp)
            out = out + y
        return out


def _sum(terms: list[tuple[int, Any]], numbers: Any) -> Any:
    total: Any = None
    for number, matrix in terms:
        value = matrix if number == 0 else numbers[number] * matrix
        total = value if total is None else total + value
    return total


def on_qubits(x: Any, matrix: Any, qubits: tuple[int, ...], xp: ModuleType) -> Any:
    """Apply a transfer matrix `[4^k, 4^k]` to some qubits."""
    k = len(qubits)
    axes = [2 + q for q in qubits]
    square = matrix.reshape((4,) * (2 * k))
    return xp.moveaxis(xp.tensordot(square, x, axes=(list(range(k, 2 * k)), axes)), list(range(k)), axes)


def on_moments(x: Any, matrix: Any, xp: ModuleType) -> Any:
    """Apply a matrix `[moments, moments]` to the moments."""
    return xp.moveaxis(xp.tensordot(matrix, x, axes=([1], [1])), 0, 1)


# ---------------------------------------------------------------------------------------------------- steps


def rotate(name: str, qubits: tuple[int, ...], cosine: int, sine: int) -> Op:
    """A rotation by an angle whose cosine and sine are two numbers of the program."""
    constant, even, odd = transfer_rotation(name)
    return Op(qubits, (Term(0, None, constant), Term(cosine, None, even), Term(sine, None, odd)))


def rotate_by(name: str, qubits: tuple[int, ...], angle: float) -> Op:
    """A rotation by a constant angle."""
    constant, even, odd = transfer_rotation(name)
    return constantly(qubits, constant + np.cos(angle) * even + np.sin(angle) * odd)


def fixed(name: str, qubits: tuple[int, ...]) -> Op:
    """A gate without angle."""
    return constantly(qubits, transfer_fixed(name))


def constantly(qubits: tuple[int, ...], matrix: np.ndarray) -> Op:
    """A constant transfer matrix."""
    return Op(qubits, (Term(0, None, matrix),))


def reset(qubit: int) -> Op:
    """Put a qubit back to |0>."""
    return constantly((qubit,), RESET)


def forget(qubit: int) -> Op:
    """Measure and do not look."""
    return constantly((qubit,), OUTCOME[False, False] + OUTCOME[True, False])


def outcome(qubit: int, one: bool, clear: bool) -> Op:
    """The part of the state where the outcome is One (or Zero); then reset if `clear`."""
    return constantly((qubit,), OUTCOME[one, clear])


def record(qubit: int, clear: bool, rest: tuple[int, ...]) -> Op:
    """Measure into a payload variable; `rest[i]` is moment `i` without it."""
    without, took = record_moments(rest)
    return Op((qubit,), (Term(0, without, OUTCOME[False, clear]), Term(0, took, OUTCOME[True, clear])))


def record_moments(rest: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """What happens to the moments where a payload bit becomes 0, and where it becomes 1."""
    size = len(rest)
    without = np.diag([float(i == r) for i, r in enumerate(rest)])
    took = np.zeros((size, size))
    took[np.arange(size), rest] = 1.0
    return without, took


def toss(cosine: int | float, one: np.ndarray | None, zero: np.ndarray | None, size: int) -> Op:
    r"""A coin of chance $\sin^2\tfrac\phi2 = (1 - \cos\phi)/2$: moment maps for both sides; `None` drops a side.

    Args:
        cosine: the cosine, or which number of the program it is (an `int`).
        one: what the side One does to the moments.
        zero: what the side Zero does to them.
        size: number of moments.
    """
    nothing = np.zeros((size, size))
    a, b = (nothing if m is None else m for m in (zero, one))
    if isinstance(cosine, int):
        return Op((), (Term(0, (a + b) / 2, None), Term(cosine, (a - b) / 2, None)))
    return Op((), (Term(0, (a + b) / 2 + cosine * (a - b) / 2, None),))
