"""A run directory: settings, environment, metrics, checkpoints, the program itself, and the result, written last."""

import json
import os
import pathlib
import platform
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import jax
import numpy as np

from drivers.io import checkpoint
from drivers.io.compiled import Program
from drivers.io.history import History, to_line
from drivers.io.layout import Layout
from drivers.io.toml import to_toml
from qml._core.errors import ConfigError, DataError

FORMAT = 2
_PACKAGES = (
    "gradket", "jax", "jaxlib", "flax", "optax", "equinox", "lineax", "numpy", "scipy", "orbax-checkpoint", "qdk",
)  # fmt: skip


def environment(seed: Sequence[int] | None) -> dict:
    """Versions, devices, commit, host, seed and time: what a run depends on besides its settings."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "start": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "devices": [f"{d.platform}:{d.device_kind}" for d in jax.devices()],
        "x64": bool(jax.config.jax_enable_x64),  # type: ignore[attr-defined]
        "seed": list(seed) if seed is not None else None,
        "git": _commit(),
        "command": sys.argv,
        "cores": os.cpu_count(),
    }


def _commit() -> str | None:
    """The commit of the source tree this package runs from; nothing for an installed wheel."""
    top = pathlib.Path(__file__).resolve().parents[2]
    if not (top / ".git").exists():
        return None
    try:
        out = subprocess.run(
            ["git", "-C", str(top), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return out.stdout.strip() or None


class RunDir:
    """One run on disk.

    ```
    config.toml         every setting
    environment.json    versions, devices, commit, host, seed, x64, start
    metrics.jsonl       one line a step
    checkpoints/000100/ all arrays of the run after that step
    program/            the step itself (StableHLO), its inputs, the names of its numbers
    result.json         status and final numbers; its absence means "not finished"
    plots/
    ```

    Args:
        path: the folder; use `RunDir.create` for a new one and `RunDir.open` for one that is there.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)

    @classmethod
    def create(cls, path: str | os.PathLike, settings: Mapping[str, Any], seed: Sequence[int] | None) -> "RunDir":
        """Make the folder and write settings and environment.

        Raises:
            ConfigError: the folder holds something already.
        """
        here = cls(path)
        if here.path.exists() and (not here.path.is_dir() or any(here.path.iterdir())):
            raise ConfigError(
                "The run directory is not empty.",
                got=str(here.path),
                expected="a new or an empty folder",
                try_=f"drivers.resume({str(here.path)!r}, steps=...) to go on with it, or another name",
            )
        here.checkpoints.mkdir(parents=True)
        (here.path / "plots").mkdir()
        checkpoint.write_atomic(here.path / "config.toml", to_toml(settings) + "\n")
        checkpoint.write_atomic(here.path / "environment.json", json.dumps(environment(seed), indent=1) + "\n")
        here.metrics.touch()
        return here

    @classmethod
    def open(cls, path: str | os.PathLike) -> "RunDir":
        """A run directory that exists.

        Raises:
            DataError: the folder is no run directory.
        """
        here = cls(path)
        if not (here.path / "config.toml").is_file():
            raise DataError(
                "This is no run directory.",
                got=str(here.path),
                expected="a folder with config.toml, written by run(..., out=DIR)",
                try_="the folder that was given as out=",
            )
        return here

    @property
    def checkpoints(self) -> pathlib.Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> pathlib.Path:
        """File with one line a step."""
        return self.path / "metrics.jsonl"

    @property
    def plots(self) -> pathlib.Path:
        """Folder of the figures."""
        return self.path / "plots"

    def settings(self) -> dict:
        """The table of config.toml.

        Raises:
            ConfigError: the file is no TOML.
        """
        try:
            return tomllib.loads((self.path / "config.toml").read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The file {self.path / 'config.toml'} is no TOML.",
                got=str(error),
                expected="a file as written by run(..., out=DIR)",
                try_="mending the line that is named",
            ) from None

    def history(self) -> History:
        """The recorded steps."""
        return History.load(self.metrics)

    # ------------------------------------------------------------------------------------------ program

    def write_program(self, programs: Mapping[str, Program], tables: Mapping[str, Layout], inputs: list, plan: dict):
        """Write the exported programs, their inputs and the names of their numbers."""
        record = {
            "format": FORMAT,
            "plan": plan,
            "programs": {n: {"names": p.names} for n, p in programs.items()},
            "tables": {n: t.to_json() for n, t in tables.items()},
        }
        files = {f"{name}.bin": program.blob for name, program in programs.items()}
        checkpoint.save(self.path / "program", tables["inputs"], inputs, record, files)

    def read_program(self) -> tuple[dict, dict[str, Layout], list[np.ndarray]]:
        """The record of `write_program`, its layouts, and the inputs.

        Raises:
            DataError: the program was not exported, or is damaged.
        """
        folder = self.path / "program"
        if not folder.is_dir():
            raise DataError(
                "The folder holds no program, so it cannot be resumed alone.",
                got=f"no {folder}",
                expected="a run whose step could be exported",
                try_="driver.run(state, ..., out=another folder) from the last state you have",
            )
        _, inputs, record = checkpoint.restore(folder)
        if record["format"] != FORMAT:
            raise DataError(
                "The folder was written in another format.",
                got=record["format"],
                expected=FORMAT,
                try_="the version named in environment.json",
            )
        return record, {n: Layout.from_json(t) for n, t in record["tables"].items()}, inputs

    def read_blob(self, name: str) -> bytes:
        """The bytes of one exported program, which `read_program` has checked."""
        return (self.path / "program" / f"{name}.bin").read_bytes()

    # ------------------------------------------------------------------------------------------ result

    def write_result(self, result: dict) -> None:
        """Write result.json, the last file of a run."""
        checkpoint.write_atomic(self.path / "result.json", json.dumps(result, indent=1, allow_nan=False) + "\n")

    def result(self) -> dict | None:
        """What result.json says, or `None` while the run is not finished.

        Raises:
            DataError: the file is damaged.
        """
        file = self.path / "result.json"
        if not file.is_file():
            return None
        try:
            return dict(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:
            raise DataError(
                f"The file {file} is damaged.",
                got=str(error),
                expected="the JSON written at the end of the run",
                try_="deleting it and calling drivers.resume on the folder",
            ) from None

    def unfinish(self) -> None:
        """Delete result.json: the run goes on."""
        (self.path / "result.json").unlink(missing_ok=True)


class MetricsFile:
    """The open `metrics.jsonl` of a run.

    Args:
        path: the file.
        size: keep only so many bytes of it, the cursor of the checkpoint the run goes on from.
    """

    def __init__(self, path: pathlib.Path, size: int | None = None):
        if size is not None:
            if path.stat().st_size < size:
                raise DataError(
                    "metrics.jsonl is shorter than its checkpoint says.",
                    got=f"{path.stat().st_size} bytes",
                    expected=f"at least {size} bytes",
                    try_="an earlier checkpoint: resume(DIR, checkpoint=...)",
                )
            os.truncate(path, size)
        self._file = path.open("a", encoding="utf-8", newline="\n")

    def write(self, step: int, row: Mapping[str, Any]) -> None:
        """Add the line of one step, at once on its way to the disk."""
        self._file.write(to_line(step, row))
        self._file.flush()

    def sync(self) -> int:
        """Force the lines to the disk; the number of bytes so far."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
