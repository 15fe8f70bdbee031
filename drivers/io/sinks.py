"""Other places for the record of a run: TensorBoard, Weights & Biases, HDF5; each behind its extra."""

import os
from typing import Any

import numpy as np

from drivers.io.history import History
from drivers.io.result import Record
from qml._core.errors import need


def _scalars(row: dict, prefix: str = "") -> dict[str, float]:
    out: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            out.update(_scalars(value, f"{prefix}{name}."))
        elif np.ndim(value) == 0 and not np.iscomplexobj(value):
            out[f"{prefix}{name}"] = float(value)
    return out


class TensorBoard:
    """A callback that writes every scalar of every step as TensorBoard events (extra `tensorboard`).

    Args:
        folder: where the event files go.

    Raises:
        MissingExtraError: tensorboardX is not installed.
    """

    def __init__(self, folder: str | os.PathLike):
        self._writer: Any = need("tensorboardX", "tensorboard").SummaryWriter(os.fspath(folder))

    def __call__(self, record: Record) -> None:
        for name, value in _scalars(record.info).items():
            self._writer.add_scalar(name, value, record.step)
        self._writer.flush()


class WandB:
    """A callback that sends every scalar of every step to Weights & Biases (extra `wandb`).

    Args:
        settings: arguments of `wandb.init`.

    Raises:
        MissingExtraError: wandb is not installed.
    """

    def __init__(self, **settings: Any):
        self._run: Any = need("wandb", "wandb").init(**settings)

    def __call__(self, record: Record) -> None:
        self._run.log(_scalars(record.info), step=record.step)


def to_hdf5(history: History, path: str | os.PathLike) -> None:
    """Write all columns of a record into an HDF5 file, one dataset a dotted name (extra `hdf5`).

    Args:
        history: the record.
        path: a new file.

    Raises:
        MissingExtraError: h5py is not installed.
    """
    h5py = need("h5py", "hdf5")
    with h5py.File(os.fspath(path), "w") as file:
        file["steps"] = history.steps
        for name in history.names:
            file[name.replace(".", "/")] = history[name]
