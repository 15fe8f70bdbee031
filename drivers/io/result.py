"""What a run returns: the state, the record, the status, and where it is saved."""

import enum
import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from drivers.io.doubts import doubts
from drivers.io.history import History
from drivers.io.layout import Layout, flatten, nest, unnest
from qml._core.errors import DataError
from qml.estimate.stats import Stats


class Status(enum.IntEnum):
    """How a run stands; the codes a step may report as `info["status"]`.

    A run that is `doubtful` went to its end, and its final numbers are not to be believed: `result.message` says why.
    `infeasible`: no state has the data that were given, and the fit is that of data which some state has.

    Example:
        >>> from drivers import Status
        >>> str(Status.DIVERGED)
        'diverged'
    """

    RUNNING = 0
    FINISHED = 1
    CONVERGED = 2
    STOPPED = 3
    INTERRUPTED = 4
    DIVERGED = 5
    STALLED = 6
    DOUBTFUL = 7
    INFEASIBLE = 8

    def __str__(self) -> str:
        return self.name.lower()


class SavedState:
    """A state read from a run directory alone: arrays by dotted name.

    Args:
        layout: names, shapes and dtypes.
        leaves: the arrays, key data for keys.
    """

    def __init__(self, layout: Layout, leaves: list):
        self._layout, self._leaves = layout, leaves

    @property
    def names(self) -> tuple[str, ...]:
        """Dotted names of the arrays."""
        return self._layout.names

    def __getitem__(self, name: str) -> np.ndarray:
        return np.asarray(self._leaves[self.names.index(name)])

    def into(self, like: Any) -> Any:
        """The full object: `like` with these arrays in it.

        Args:
            like: an object of the same structure, e.g. the state the run was started from.

        Raises:
            DataError: the arrays do not fit into it.
        """
        _, layout = flatten(like)
        if layout.rows() != self._layout.rows():
            raise DataError(
                "The saved state does not fit into this object.",
                got=self._layout.difference(layout),
                expected="an object like the one the run was started with",
                try_="the same constructor with the same sizes",
            )
        return layout.unflatten([jnp.asarray(x) for x in self._leaves])

    def __repr__(self) -> str:
        return f"SavedState({', '.join(self.names)})"


_STATS = {"mean", "error", "variance", "tau", "r_hat", "samples"}


def records(names: Any, values: Any) -> dict:
    """Dotted names and numbers as nested dictionaries, with `Stats` where all its fields are there."""

    def close(tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        if set(tree) == _STATS:
            return Stats(**{k: jnp.asarray(v) for k, v in tree.items()})
        return {k: close(v) for k, v in tree.items()}

    return close(nest(list(names), list(values)))


class Result:
    """What a run returns; `print(result)` is its summary.

    Args:
        state: the thing after the last good step.
        history: columns of all recorded steps.
        status: how the run ended.
        message: a sentence on why it ended.
        final: numbers measured after the last step, e.g. the energy from fresh samples.
        steps: number of steps done.
        out: the run directory, or `None`.
        wall_time: seconds in the loop.
        compile_time: seconds of tracing and compiling before it.
    """

    def __init__(
        self,
        *,
        state: Any,
        history: History,
        status: Status,
        message: str,
        final: dict,
        steps: int,
        out: pathlib.Path | None,
        wall_time: float,
        compile_time: float,
    ):
        self.state, self.history, self.status, self.message, self.final = state, history, status, message, final
        self.steps, self.out, self.wall_time, self.compile_time = steps, out, wall_time, compile_time

    @property
    def energy(self) -> Stats:
        """The final energy: from fresh samples after the last step where the driver measures it, else of the last step.

        Raises:
            DataError: the run has no energy.
        """
        for source in (self.final, self._last()):
            if isinstance(source.get("energy"), Stats):
                return source["energy"]
        raise DataError(
            "This run has no energy.",
            got=f"columns {', '.join(self.history.names) or 'none'}",
            expected="a column energy",
            try_="result.history",
        )

    def _last(self) -> dict:
        row = self.history.last()
        names = unnest(row)
        return records(names, names.values())

    def __str__(self) -> str:
        shown = self.final or self._last()
        plain = {n: v for n, v in shown.items() if isinstance(v, Stats) or not (isinstance(v, dict) or np.ndim(v))}
        first = sorted(plain, key=lambda name: (name != "energy", not isinstance(plain[name], Stats)))
        lines = [f"{name:<14}{_number(plain[name])}" for name in first[:8]]
        if self.status != Status.DOUBTFUL:
            lines += [f"{'doubt':<14}{text}" for text in doubts(shown)]
        lines.append(f"{'status':<14}{self.status}: {self.message}")
        lines.append(f"{'wall time':<14}{self.wall_time:.1f} s, and {self.compile_time:.1f} s to compile")
        lines.append(f"{'saved':<14}{self.out if self.out is not None else 'nowhere (out=None)'}")
        return "\n".join(lines)

    __repr__ = __str__


def _number(value: Any) -> str:
    if isinstance(value, Stats):
        return str(value) if value.mean.size <= 6 else f"{value.mean.size} numbers"
    return f"{np.asarray(value).item():.6g}"


class Record:
    """What a callback sees after a step.

    Args:
        step: number of the step.
        history: all recorded steps, this one last.
        elapsed: seconds since the loop began.
    """

    def __init__(self, step: int, history: History, elapsed: float):
        self.step, self.history, self.elapsed = step, history, elapsed

    @property
    def info(self) -> dict:
        """Numbers of this step, nested by name."""
        return self.history.last()
