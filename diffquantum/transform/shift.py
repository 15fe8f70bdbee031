r"""Derivatives of gates and of classical expressions.

A Pauli rotation $R_P(\phi) = e^{-i \phi P / 2}$ has the two-term rule
$\partial_\phi f = \tfrac12 [f(\phi + \pi/2) - f(\phi - \pi/2)]$; an angle or a classical variable that depends on the
parameters has the chain rule.
"""

import math
from collections.abc import Mapping

from diffquantum.ir import Binary, Const, Expression, Gate, Index, Parameter, Select, Unary, Var
from diffquantum.transform.simplify import ONE, ZERO, add, divide, is_zero, multiply, negate, select, subtract

SHIFT = math.pi / 2


def shifted(gate: Gate, sign: int) -> Gate:
    r"""The rotation by $\pm\pi/2$ about the axis of a rotation: put before it, it shifts the angle."""
    return Gate(gate.name, gate.qubits, Const(sign * SHIFT))


def differentiate(e: Expression, parameter: int, tangents: Mapping[str, str] | None = None) -> Expression:
    r"""The symbolic derivative $\partial e / \partial\theta_j$ of a classical expression.

    Args:
        e: the expression; integers, bools and comparisons have derivative 0 (they are piecewise constant).
        parameter: the number $j$.
        tangents: for each variable that depends on $\theta_j$, the name of the variable that holds its derivative.

    Returns:
        The derivative, with zeros and ones worked out.

    Example:
        >>> from diffquantum.ir import Binary, Parameter, Unary
        >>> from diffquantum.transform.shift import differentiate
        >>> differentiate(Unary("sin", Parameter(0)), 0)
        Unary(op='cos', x=Parameter(index=0))
        >>> differentiate(Binary("mul", Parameter(0), Parameter(1)), 1)
        Parameter(index=0)

    Source: forward-mode differentiation; Zhu et al., arXiv 2004.01122, treat angles that are the parameters themselves.
    """
    tangents = tangents or {}

    def d(e: Expression) -> Expression:
        match e:
            case Parameter(index):
                return ONE if index == parameter else ZERO
            case Var(name):
                return Var(tangents[name]) if name in tangents else ZERO
            case Const() | Index():
                return ZERO
            case Unary(op, x):
                return ZERO if op in ("not", "trunc") else _unary(op, x, d(x))
            case Binary(op, x, y):
                return _binary(op, x, y, d(x), d(y))
            case Select(condition, yes, no):
                return select(condition, d(yes), d(no))
        raise AssertionError(e)

    return d(e)


def _unary(op: str, x: Expression, dx: Expression) -> Expression:
    if is_zero(dx):
        return ZERO
    square = Binary("mul", x, x)
    match op:
        case "float":
            return dx
        case "neg":
            return negate(dx)
        case "sin":
            return multiply(Unary("cos", x), dx)
        case "cos":
            return negate(multiply(Unary("sin", x), dx))
        case "tan":
            return divide(dx, Binary("mul", Unary("cos", x), Unary("cos", x)))
        case "asin":
            return divide(dx, Unary("sqrt", Binary("sub", ONE, square)))
        case "acos":
            return negate(divide(dx, Unary("sqrt", Binary("sub", ONE, square))))
        case "atan":
            return divide(dx, Binary("add", ONE, square))
        case "sqrt":
            return divide(dx, Binary("mul", Const(2.0), Unary("sqrt", x)))
        case "exp":
            return multiply(Unary("exp", x), dx)
        case "log":
            return divide(dx, x)
        case "abs":
            return Select(Binary("lt", x, ZERO), negate(dx), dx)
    raise AssertionError(op)


def _binary(op: str, x: Expression, y: Expression, dx: Expression, dy: Expression) -> Expression:
    if is_zero(dx) and is_zero(dy):
        return ZERO
    match op:
        case "add":
            return add(dx, dy)
        case "sub":
            return subtract(dx, dy)
        case "mul":
            return add(multiply(dx, y), multiply(x, dy))
        case "div":
            return divide(subtract(dx, multiply(Binary("div", x, y), dy)), y)
        case "pow":
            y = Const(float(y.value)) if isinstance(y, Const) else y
            base = multiply(multiply(y, Binary("pow", x, subtract(y, ONE))), dx)
            return add(base, multiply(multiply(Unary("log", x), Binary("pow", x, y)), dy) if not is_zero(dy) else ZERO)
        case "mod":
            turns = Unary("float", Unary("trunc", Binary("div", x, y)))
            return subtract(dx, multiply(turns, dy))
        case "min":
            return select(Binary("le", x, y), dx, dy)
        case "max":
            return select(Binary("ge", x, y), dx, dy)
        case _:
            return ZERO
