"""Reasons to stop a run early: pure functions of the record so far."""

import dataclasses
from collections.abc import Callable

import numpy as np

from drivers.io.result import Record
from qml._core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Timeout:
    """Stop after a number of seconds in the loop; the step under way is finished first.

    Args:
        seconds: > 0.

    Example:
        >>> import drivers
        >>> drivers.Timeout(3600.0).seconds
        3600.0
    """

    seconds: float | int

    def __post_init__(self):
        _positive("seconds", self.seconds)

    def __call__(self, record: Record) -> str | None:
        return f"{self.seconds:g} s are over" if record.elapsed >= self.seconds else None


@dataclasses.dataclass(frozen=True)
class StopWhen:
    """Stop when a recorded number satisfies a condition.

    Args:
        name: column, such as `"v_score"` or `"energy"`.
        condition: function of the number that says yes.

    Example:
        >>> import drivers
        >>> stop = drivers.StopWhen("v_score", lambda v: v < 1e-4)
    """

    name: str
    condition: Callable[[np.ndarray], bool]

    def __call__(self, record: Record) -> str | None:
        value = record.history[self.name][-1]
        return f"{self.name} = {value} meets its condition" if self.condition(value) else None


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    """Stop when a number has not fallen for a while.

    The means of the last two windows of `patience` steps are compared, so noise does not count as progress.

    Args:
        name: column that should fall.
        patience: length of a window, >= 1 steps.
        least: smallest fall between windows that counts.

    Example:
        >>> import drivers
        >>> drivers.EarlyStopping("energy", patience=20).patience
        20
    """

    name: str = "energy"
    patience: int = 20
    least: float | int = 0.0

    def __post_init__(self):
        _positive("patience", self.patience)

    def __call__(self, record: Record) -> str | None:
        values = record.history[self.name]
        values = values[np.isfinite(values)]
        if len(values) < 2 * self.patience:
            return None
        before, now = values[-2 * self.patience : -self.patience].mean(), values[-self.patience :].mean()
        stale = before - now <= self.least
        return f"{self.name} has not fallen for {self.patience} steps" if stale else None


def _positive(name: str, value: float | int) -> None:
    if not value > 0:
        raise ConfigError(f"{name} is positive.", got=value, expected="> 0", try_=f"{name}=10")
