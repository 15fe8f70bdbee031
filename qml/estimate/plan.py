"""Memory is planned: how many rows of a function fit at once."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

from qml._core.types import Array

BUDGET = 2**30  # bytes of intermediate values


def rows_at_once(function: Callable[..., Any], *rows: Array, chunk: int | None) -> int | None:
    """The chunk for a function of rows: as asked, or as many rows as keep all its intermediate values in 1 GiB.

    The memory of a row is counted in the traced program, as the difference between two rows and one; values that are
    freed early count too, so this is an upper bound.

    Args:
        function: traced on `[1, ...]` and `[2, ...]` slices of `rows`.
        rows: arrays with one common leading axis.
        chunk: rows asked for; `None` plans.

    Returns:
        A number of rows, or `None` for all.
    """
    count = rows[0].shape[0]
    if chunk is not None or count < 2:
        return chunk

    def size(batch: int) -> int:
        some = [jax.ShapeDtypeStruct((batch, *r.shape[1:]), r.dtype) for r in rows]
        return _bytes(jax.make_jaxpr(function)(*some).jaxpr)

    fitting = BUDGET // max(1, size(2) - size(1))
    return None if fitting >= count else max(1, fitting)


def _bytes(program: Jaxpr) -> int:
    """Bytes of every value that a program computes, those of inner programs included."""
    total = 0
    for equation in program.eqns:
        inner = [p for value in equation.params.values() for p in _programs(value)]
        total += sum(_bytes(p) for p in inner)
        if not inner:
            total += sum(_size(v.aval) for v in equation.outvars)
    return total


def _size(aval: Any) -> int:
    return int(np.prod(aval.shape)) * getattr(aval.dtype, "itemsize", 8) if hasattr(aval, "shape") else 0


def _programs(value: Any) -> list[Jaxpr]:
    if isinstance(value, ClosedJaxpr):
        return [value.jaxpr]
    if isinstance(value, Jaxpr):
        return [value]
    if isinstance(value, (tuple, list)):
        return [p for v in value for p in _programs(v)]
    return []
