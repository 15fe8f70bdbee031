"""The one progress line: shown on a terminal after two seconds, or when it is asked for."""

import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from qml.estimate.stats import format_error

DELAY = 2.0


def headline(row: Mapping[str, Any]) -> str:
    """The most telling number of a step: energy, objective, or the first mean there is.

    Example:
        >>> from drivers.io.progress import headline
        >>> headline({"energy.mean": -13.2713, "energy.error": 0.0042})
        'energy -13.2713(42)'
    """
    means = [n for n in row if n.endswith(".mean") and np.ndim(row[n]) == 0]
    for name in ("energy.mean", "objective.mean", *means):
        if name in row:
            stem = name.removesuffix(".mean")
            return f"{stem} {format_error(np.asarray(row[name]).item(), float(row.get(f'{stem}.error', 0.0)))}"
    for name in ("objective", "loss"):
        if name in row:
            return f"{name} {np.asarray(row[name]).item():.6g}"
    return ""


class ProgressLine:
    """Steps done, the headline number and the time left, on one line.

    Args:
        total: number of steps of the run.
        show: `True` always, `False` never, `None` on a terminal only.
    """

    def __init__(self, total: int, show: bool | None):
        self._wanted = sys.stderr.isatty() if show is None else show
        self._since = -np.inf if show else time.monotonic()
        self._total = total
        self._bar: Any = None
        self._task: Any = None

    def update(self, step: int, row: Mapping[str, Any]) -> None:
        """Show one step; costs nothing until the line is due."""
        if not self._wanted:
            return
        if self._bar is None:
            if time.monotonic() - self._since < DELAY:
                return
            self._bar, self._task = self._open(step)
        self._bar.update(self._task, completed=step, headline=headline(row))

    def _open(self, step: int) -> tuple[Any, Any]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[headline]}"), TimeRemainingColumn())
        bar = Progress(*columns, console=Console(stderr=True), transient=True)
        bar.start()
        return bar, bar.add_task("run", total=self._total, completed=step, headline="")

    def close(self) -> None:
        """Take the line away."""
        if self._bar is not None:
            self._bar.stop()
