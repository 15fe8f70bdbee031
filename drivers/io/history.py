"""The record of a run: a line a step on disk, columns of NumPy arrays in memory."""

import json
import math
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from drivers.io.layout import nest, unnest
from qml._core.errors import DataError, unknown_name

Row = dict[str, np.ndarray]


def _plain(value: Any) -> Any:
    """A number or array as JSON; NaN is null, complex numbers are `{"real", "imag"}`."""
    array = np.asarray(value)
    if np.iscomplexobj(array):
        return {"real": _plain(np.real(array)), "imag": _plain(np.imag(array))}
    if array.ndim:
        return [_plain(v) for v in array]
    item = array.item()
    if isinstance(item, float) and not math.isfinite(item):
        return None if math.isnan(item) else "inf" if item > 0 else "-inf"
    return item


def _number(value: Any) -> Any:
    """The inverse of `_plain` on numbers and lists."""
    if isinstance(value, list):
        return [_number(v) for v in value]
    if value is None or isinstance(value, str):
        return float("nan") if value is None else float(value)
    return value


def _join(tree: Mapping) -> dict:
    """Put complex numbers back together, and make arrays of numbers."""
    out: dict = {}
    for name, value in tree.items():
        if not isinstance(value, Mapping):
            out[name] = np.asarray(_number(value))
        elif set(value) == {"real", "imag"}:
            out[name] = np.asarray(_number(value["real"])) + 1j * np.asarray(_number(value["imag"]))
        else:
            out[name] = _join(value)
    return out


def to_json(row: Mapping[str, Any]) -> dict:
    """Dotted names and numbers as nested plain data."""
    return nest(list(row), [_plain(v) for v in row.values()])


def to_line(step: int, row: Mapping[str, Any]) -> str:
    """One line of `metrics.jsonl`, its newline included.

    Example:
        >>> from drivers.io.history import to_line
        >>> to_line(3, {"energy.mean": -1.5, "energy.error": float("nan")})
        '{"step": 3, "energy": {"mean": -1.5, "error": null}}\\n'
    """
    return json.dumps({"step": step, **to_json(row)}, allow_nan=False) + "\n"


class History:
    """Columns of a run by dotted name: `history["energy.mean"]`, an array with one row a step.

    A name that has a mean stands for it: `history["energy"]`. Where a step lacks a column it holds NaN.

    Args:
        rows: `(step, {dotted name: number or array})` in order.

    Example:
        >>> from drivers.io.history import History
        >>> history = History([(1, {"energy.mean": -1.0}), (2, {"energy.mean": -1.5})])
        >>> history["energy"], history.steps, history.names
        (array([-1. , -1.5]), array([1, 2]), ('energy.mean',))
    """

    def __init__(self, rows: list[tuple[int, Mapping[str, Any]]] | None = None):
        self._steps: list[int] = []
        self._rows: list[Mapping[str, Any]] = []
        for step, row in rows or []:
            self.append(step, row)

    def append(self, step: int, row: Mapping[str, Any]) -> None:
        """Add one step; used by the run loop."""
        self._steps.append(step)
        self._rows.append(row)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: object) -> bool:
        return name in self.names or f"{name}.mean" in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    @property
    def steps(self) -> np.ndarray:
        """Number of each recorded step."""
        return np.asarray(self._steps, dtype=int)

    @property
    def names(self) -> tuple[str, ...]:
        """Dotted names of all columns, in order of appearance."""
        return tuple(dict.fromkeys(name for row in self._rows for name in row))

    def __getitem__(self, name: str) -> np.ndarray:
        names = self.names
        if name not in names and f"{name}.mean" in names:
            name = f"{name}.mean"
        if name not in names:
            unknown_name("column", name, names or ("(none: no step was recorded)",), DataError)
        have = [np.asarray(row[name]) if name in row else None for row in self._rows]
        shape = next(v.shape for v in have if v is not None)
        lacking = np.full(shape, np.nan)
        return np.stack([lacking if v is None else v for v in have])

    def values(self, name: str) -> np.ndarray:
        """The column `name`, the same as `history[name]`."""
        return self[name]

    def errors(self, name: str) -> np.ndarray:
        """One standard error for each entry of `values(name)`; zero for numbers without one."""
        return self[f"{name}.error"] if f"{name}.error" in self.names else np.zeros(self[name].shape)

    def last(self) -> dict:
        """The last recorded step as a nested dictionary; empty before the first."""
        return nest(list(self._rows[-1]), list(self._rows[-1].values())) if self._rows else {}

    def save(self, path: str | pathlib.Path) -> None:
        """Write all lines to a file."""
        lines = [to_line(step, row) for step, row in zip(self._steps, self._rows, strict=True)]
        pathlib.Path(path).write_text("".join(lines), encoding="utf-8")

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "History":
        """Read `metrics.jsonl`; a last line that was cut off is left out.

        Raises:
            DataError: there is no such file, or a line before the last is broken.
        """
        path = pathlib.Path(path)
        if not path.is_file():
            raise DataError(
                "There is no record of a run here.",
                got=str(path),
                expected="a file metrics.jsonl",
                try_="the folder that was given as out=",
            )
        history = cls()
        lines = path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            if number == len(lines):
                break  # the text after the last newline: empty, or a line that was cut off
            try:
                data = json.loads(line)
                step = int(data.pop("step"))
                row = unnest(_join(data))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(
                    f"Line {number} of {path} is broken.",
                    got=repr(line[:80]),
                    expected=f"a JSON object with a step ({error})",
                    try_="deleting that line",
                ) from None
            history.append(step, row)
        return history

    def __str__(self) -> str:
        return f"History({len(self)} steps: {', '.join(self.names)})"

    __repr__ = __str__
