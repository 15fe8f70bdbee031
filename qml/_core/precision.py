"""Precision is said, never assumed: 64-bit numbers are only handed out where JAX can hold them."""

from typing import Any

import jax
import numpy as np

from qml._core.errors import PrecisionError

X64_LINE = 'jax.config.update("jax_enable_x64", True)'


def require_x64(what: str) -> None:
    """Raise unless JAX runs in 64-bit mode.

    Args:
        what: who needs it, for the message.

    Raises:
        PrecisionError: 64-bit mode is off.
    """
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise PrecisionError(
            f"{what} needs 64-bit numbers, and JAX runs in 32-bit mode.",
            got="jax_enable_x64 = False",
            expected="jax_enable_x64 = True",
            try_=f"put this first, before any array is made: {X64_LINE}",
        )


def check_dtype(dtype: Any, what: str) -> np.dtype:
    """Return `dtype` as a NumPy dtype; 64-bit floats and 128-bit complex need 64-bit mode.

    Raises:
        PrecisionError: the dtype would be cut to 32 bits silently.
    """
    dtype = np.dtype(dtype)
    if dtype in (np.dtype(np.float64), np.dtype(np.complex128), np.dtype(np.int64)):
        require_x64(f"{what} with dtype {dtype.name}")
    return dtype


def real_dtype() -> np.dtype:
    """The widest real dtype JAX holds now: float64 in 64-bit mode, else float32."""
    return np.dtype(np.float64 if jax.config.jax_enable_x64 else np.float32)  # type: ignore[attr-defined]


def complex_dtype() -> np.dtype:
    """The widest complex dtype JAX holds now: complex128 in 64-bit mode, else complex64."""
    return np.dtype(np.complex128 if jax.config.jax_enable_x64 else np.complex64)  # type: ignore[attr-defined]
