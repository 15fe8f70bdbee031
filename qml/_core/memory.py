"""One budget of memory for all that is planned, and what compilers make of it."""

import functools
import os
import warnings
from typing import Any

import jax

from qml._core.errors import ConfigError

VARIABLE = "GRADKET_MEMORY"  # GiB that the temporaries of one program may hold
_GIB = 2**30


class OverBudgetWarning(UserWarning):
    """A compiled program holds more memory than there is, or than it was given."""


def budget() -> int | None:
    """Bytes that the temporaries of a program may hold, where the environment says so; `None` where it does not.

    `GRADKET_MEMORY=6 python job.py` gives 6 GiB. Pieces of samples and groups of derivatives are planned to hold an
    eighth of it each, stored metrics a half. It is read once: compiled programs are made for it.

    Raises:
        ConfigError: it is no positive number, or it was changed after it was read.
    """
    now = os.environ.get(VARIABLE, "")
    if now != _first():
        raise ConfigError(
            "The budget of memory was changed after programs had been planned with it.",
            got=f"{VARIABLE}={now}, before {_first() or 'not set'}",
            expected="one budget for the whole process",
            try_=f"{VARIABLE}={now} in front of the command, or os.environ before anything else",
        )
    return _bytes(now)


def planned(share: float, otherwise: int) -> int:
    """A share of the budget, or a number of bytes where there is none."""
    given = budget()
    return otherwise if given is None else max(1, int(share * given))


def check_memory(program: jax.stages.Compiled) -> None:
    """Warn where the temporaries of a compiled program exceed the budget, or without one the memory of the device."""
    analysis: Any = program.memory_analysis()
    held = getattr(analysis, "temp_size_in_bytes", 0)
    given = budget()
    limit = _device() if given is None else given
    if held <= limit:
        return
    source = "the memory of the device" if given is None else f"the budget {VARIABLE}"
    warnings.warn(
        f"A compiled program holds {held / _GIB:.3g} GiB of temporaries, more than {source}, {limit / _GIB:.3g} GiB. "
        "Try: fewer samples, chunk= (rows held at once) on the state and the preconditioner, method='cg' or 'streamed' "
        "for the metric, a 32-bit network (dtype=).",
        OverBudgetWarning,
        stacklevel=3,
    )


@functools.cache
def _first() -> str:
    return os.environ.get(VARIABLE, "")


@functools.cache
def _bytes(text: str) -> int | None:
    try:
        size = float(text) if text else None
    except ValueError:
        size = 0.0
    if size is None:
        return None
    if not 0 < size < float("inf"):
        raise ConfigError(
            "The budget of memory is a positive number of GiB.",
            got=f"{VARIABLE}={text}",
            expected="a number > 0",
            try_=f"{VARIABLE}=6",
        )
    return int(size * _GIB)


@functools.cache
def _device() -> int:
    """Bytes of memory of the first device; of a CPU those of the machine."""
    if jax.default_backend() == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**62
    return int((jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", 2**62))
