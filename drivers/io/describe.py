"""What a run was made of, as plain data for config.toml."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

_SMALL = 16


def describe(value: Any) -> Any:
    """Plain data for a setting: numbers and strings as they are, records as tables, arrays by value or by shape.

    What cannot be described (a function, an object of another library) becomes the string `custom: NAME`.

    Example:
        >>> import dataclasses
        >>> from drivers.io.describe import describe
        >>> @dataclasses.dataclass(frozen=True)
        ... class Chain:
        ...     length: int
        >>> describe(Chain(4))
        {'class': 'Chain', 'length': 4}
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        return _array(value)
    if isinstance(value, Mapping):
        return {str(k): describe(v) for k, v in value.items()}
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return [_flat(describe(v)) for v in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: describe(getattr(value, f.name, None)) for f in dataclasses.fields(value)}
        return {"class": type(value).__name__, **{k: v for k, v in fields.items() if v is not None}}
    name = getattr(value, "__qualname__", None) or type(value).__qualname__
    return f"custom: {name}"


def _flat(value: Any) -> Any:
    """No `None` inside a list: TOML has none."""
    return "none" if value is None else value


def _array(value: Any) -> Any:
    if jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        return {"key": np.asarray(jax.random.key_data(value)).tolist()}
    array = np.asarray(value)
    if array.size > _SMALL:
        return f"array {array.dtype.name}{list(array.shape)}"
    if np.iscomplexobj(array):
        return {"real": np.real(array).tolist(), "imag": np.imag(array).tolist()}
    if array.dtype.kind not in "biuf":
        return f"array {array.dtype.name}{list(array.shape)}"
    return array.tolist()
