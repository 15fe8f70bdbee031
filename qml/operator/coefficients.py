"""Coefficients of operators: on the host where they are known, so that algebra compiles nothing; traced otherwise."""

import numbers
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from qml._core.errors import ShapeError
from qml._core.precision import complex_dtype, real_dtype
from qml.operator.strings import PauliStrings, merge


def collect(n_sites: int, pairs: Sequence[tuple[int, int]], coefficients: Any) -> tuple[PauliStrings, Any]:
    """Distinct strings, with the coefficients of equal ones added up."""
    strings, target = merge(n_sites, pairs)
    if len(strings) < len(pairs):
        coefficients = sum_to(coefficients, target, len(strings))
    return strings, coefficients


def sum_to(values: Any, target: np.ndarray, count: int) -> Any:
    """Sum of the values of each target, `[count]`."""
    if isinstance(values, np.ndarray):
        out = np.zeros(count, values.dtype)
        np.add.at(out, target, values)
        return out
    return jax.ops.segment_sum(values, target, num_segments=count)


def is_traced(values: Any) -> bool:
    """True for a value that is not known while a program is traced."""
    return isinstance(values, Tracer)


def is_scalar(value: Any) -> bool:
    """True for a number, or an array of one."""
    return isinstance(value, numbers.Number) or (isinstance(value, (jax.Array, np.ndarray)) and value.ndim == 0)


def on_host(values: Any) -> Any:
    """Coefficients as a NumPy array of the widest dtype, or untouched if traced."""
    if is_traced(values):
        return values
    host = np.asarray(values)
    return host.astype(coefficient_dtype(host))


def per_term(coefficients: Any, count: int) -> Any:
    """New coefficients of a sum of `count` strings.

    Raises:
        ShapeError: there is not one coefficient for each string.
    """
    coefficients = on_host(coefficients)
    if coefficients.shape != (count,):
        raise ShapeError(
            "There must be one coefficient for each string.",
            got=f"shape {coefficients.shape}",
            expected=f"({count},)",
            try_="the order of operator.strings",
        )
    return coefficients


def stack(values: Iterable[Any]) -> Any:
    """Coefficients as one array, real where all are: on the host if all are known."""
    values = list(values)
    if not any(is_traced(v) for v in values):
        host = np.array([np.asarray(v) for v in values]) if values else np.zeros(0)
        if host.ndim != 1 or host.dtype.kind not in "biufc":
            raise ShapeError("A coefficient is not one number.", got=repr(values), expected="scalars", try_="1.0")
        return host.astype(coefficient_dtype(host))
    distinct = list({id(v): v for v in values}.values())
    where = {id(v): i for i, v in enumerate(distinct)}
    arrays = [jnp.asarray(v) for v in distinct]
    if any(a.ndim for a in arrays):
        shapes = [a.shape for a in arrays]
        raise ShapeError("A coefficient is not one number.", got=shapes, expected="shape ()", try_="one number a term")
    dtype = np.result_type(*(coefficient_dtype(a) for a in arrays))
    return jnp.stack([a.astype(dtype) for a in arrays])[np.array([where[id(v)] for v in values])]


def coefficient_dtype(values: Any) -> np.dtype:
    """The widest real dtype, or complex dtype for complex values."""
    return complex_dtype() if np.issubdtype(jnp.result_type(values), np.complexfloating) else real_dtype()
