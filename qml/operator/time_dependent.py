"""Operators with coefficients that depend on time: callables in front of operators."""

import functools
from typing import Any, final

import equinox as eqx
import jax
import numpy as np

from qml._core.errors import ShapeError, SpaceError
from qml.hilbert import AbstractHilbert
from qml.operator.base import AbstractOperator


@final
class TimeDependent(eqx.Module):
    r"""$O(t) = O_0 + \sum_i f_i(t)\, O_i$; `operator(t)` is the operator at a time.

    The operators at all times have the same strings and places, so a program that takes t as a traced number compiles
    once. The functions may be plain functions of t, or modules with parameters of their own (then gradients reach
    them).

    Args:
        static: the part without time dependence, or `None`.
        terms: pairs (function, operator); a function maps a time to one number, real or complex.

    Raises:
        ShapeError: there is nothing to add up, or a pair is none.
        SpaceError: the operators act on different spaces.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import Chain
        >>> from qml.operator import Ising, TimeDependent, total
        >>> space = Spin(3)
        >>> ramp = TimeDependent(Ising(space, Chain(3), j=-1.0), [(lambda t: -2.0 * t, total(space, "X"))])
        >>> ramp(0.25).terms["XII"]
        -0.5
        >>> energy = jax.jit(lambda t: jnp.ones(8) @ ramp(t).apply(jnp.ones(8)) / 8)
        >>> [round(float(energy(t)), 12) for t in (0.0, 0.5, 1.0)]
        [0.0, -3.0, -6.0]
    """

    static: AbstractOperator | None
    operators: tuple[AbstractOperator, ...]
    functions: tuple[Any, ...]

    def __init__(self, static: AbstractOperator | None = None, terms: Any = ()):
        try:
            pairs = [(f, o) for f, o in terms]
            good = all(callable(f) and isinstance(o, AbstractOperator) for f, o in pairs)
        except (TypeError, ValueError):
            good, pairs = False, []
        if not good or (static is None and not pairs):
            raise ShapeError(
                "The terms of a time-dependent operator are pairs of a function and an operator.",
                got=repr(terms),
                expected="[(f, operator), ...]",
                try_="TimeDependent(h, [(jnp.sin, drive)])",
            )
        spaces = {o.hilbert for o in ([] if static is None else [static]) + [o for _, o in pairs]}
        if len(spaces) > 1:
            raise SpaceError(
                "The operators act on different spaces.",
                got=" and ".join(map(repr, spaces)),
                expected="one space",
                try_="build all on the same space",
            )
        self.static = static
        self.operators = tuple(o for _, o in pairs)
        # a plain function is a static part of the record, a module with arrays is not
        self.functions = tuple(f if isinstance(f, eqx.Module) else jax.tree_util.Partial(f) for f, _ in pairs)

    @property
    def hilbert(self) -> AbstractHilbert:
        """The space of all parts."""
        return (self.static or self.operators[0]).hilbert

    def __call__(self, t: Any) -> AbstractOperator:
        """The operator at time t.

        Raises:
            ShapeError: a function does not return one number.
        """
        parts: list[Any] = [] if self.static is None else [self.static]
        for function, operator in zip(self.functions, self.operators):
            value = function(t)
            if np.ndim(value):
                raise ShapeError(
                    "The function of time in front of an operator does not return one number.",
                    got=f"shape {np.shape(value)}",
                    expected="shape ()",
                    try_="one pair (function, operator) for each coefficient",
                )
            parts.append(value * operator)
        return functools.reduce(lambda a, b: a + b, parts)

    def derivative(self, t: Any) -> AbstractOperator:
        r"""$\partial_t O(t) = \sum_i f_i'(t)\, O_i$, by differentiation of the (real) functions.

        Example:
            >>> import jax.numpy as jnp
            >>> from qml.operator import PauliSum, TimeDependent
            >>> TimeDependent(None, [(jnp.sin, PauliSum({"X": 2.0}))]).derivative(0.0).terms
            {'X': 2.0}
        """
        slopes = [jax.jvp(f, (t * 1.0,), (1.0,))[1] for f in self.functions]
        static: Any = self.static
        zero = [] if static is None else [0.0 * static]
        return functools.reduce(lambda a, b: a + b, [*zero, *(s * o for s, o in zip(slopes, self.operators))])

    def __repr__(self) -> str:
        return f"TimeDependent({self.static!r}, {len(self.operators)} driven)"
