"""Values of classical expressions, as JAX arrays: one number, or one for each shot."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from diffquantum.ir import Binary, Const, Expression, Index, Parameter, Select, Unary, Var
from qml._core.types import Array


def evaluate(e: Expression, memory: Mapping[str, Array], theta: Array) -> Array:
    """The value of an expression.

    Args:
        e: the expression.
        memory: the values of the variables, of one shape.
        theta: the parameters `[params]`.

    Returns:
        A value of that shape, or a scalar where no variable is read; an index outside its table is clipped.
    """

    def value(e: Expression) -> Array:
        match e:
            case Const(number):
                return jnp.asarray(number, jnp.result_type(type(number)))
            case Var(name):
                return memory[name]
            case Parameter(index):
                return theta[index].astype(jnp.result_type(float))
            case Unary(op, x):
                return _UNARY[op](value(x))
            case Binary(op, x, y):
                return _BINARY[op](value(x), value(y))
            case Select(condition, yes, no):
                return jnp.where(value(condition), value(yes), value(no))
            case Index(table, index):
                return jnp.take(jnp.asarray(np.asarray(table)), value(index), mode="clip")
        raise AssertionError(e)

    return value(e)


_UNARY: dict[str, Callable] = {
    "neg": jnp.negative, "not": jnp.logical_not, "float": lambda x: x.astype(jnp.result_type(float)), "sin": jnp.sin,
    "cos": jnp.cos, "tan": jnp.tan, "asin": jnp.arcsin, "acos": jnp.arccos, "atan": jnp.arctan, "sqrt": jnp.sqrt,
    "exp": jnp.exp, "log": jnp.log, "abs": jnp.abs, "trunc": lambda x: jnp.trunc(x).astype(jnp.result_type(int)),
}  # fmt: skip


def _divide(x: Array, y: Array) -> Array:
    """Division of numbers; of whole numbers towards zero."""
    return jnp.divide(x, y) if _floats(x, y) else jax.lax.div(*jnp.broadcast_arrays(x, jnp.where(y == 0, 1, y)))


def _remainder(x: Array, y: Array) -> Array:
    """What division towards zero leaves, with the sign of `x`."""
    return jnp.fmod(x, y) if _floats(x, y) else x - y * _divide(x, y)


def _floats(*values: Array) -> bool:
    return any(jnp.issubdtype(v.dtype, jnp.floating) for v in values)


_BINARY: dict[str, Callable] = {
    "add": jnp.add, "sub": jnp.subtract, "mul": jnp.multiply, "div": _divide, "mod": _remainder, "pow": jnp.power,
    "and": jnp.bitwise_and, "or": jnp.bitwise_or, "xor": jnp.bitwise_xor, "shl": jnp.left_shift,
    "shr": jnp.right_shift, "eq": jnp.equal, "ne": jnp.not_equal, "lt": jnp.less, "le": jnp.less_equal,
    "gt": jnp.greater, "ge": jnp.greater_equal, "min": jnp.minimum, "max": jnp.maximum,
}  # fmt: skip
