"""Checkpoints: named arrays written by Orbax, summed by SHA-256 file by file, put in place by one rename."""

import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from drivers.io.layout import Layout
from qml._core.errors import DataError

KEEP = 3


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _file_sums(folder: pathlib.Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): _digest(p.read_bytes()) for p in files}


def _sync(path: pathlib.Path) -> None:
    """Force a file or a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path: pathlib.Path, text: str) -> None:
    """Write a text file so that a reader sees the old one or the new one, never a part."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    _sync(part)
    part.replace(path)
    _sync(path.parent)


def save(
    folder: pathlib.Path, layout: Layout, leaves: Sequence[Any], meta: dict, files: Mapping[str, bytes] | None = None
) -> None:
    """Write arrays and a small record into a new folder, atomically.

    Args:
        folder: where; what is there already is replaced.
        layout: names of the arrays.
        leaves: the arrays.
        meta: plain data kept beside them.
        files: further files by name.
    """
    import orbax.checkpoint as ocp

    arrays = [np.asarray(x) for x in leaves]
    part = folder.with_name(folder.name + ".part").absolute()
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, data in (files or {}).items():
        (part / name).write_bytes(data)
    stored = {f"{i:05d}": a for i, a in enumerate(arrays) if a.size}
    if stored:
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as writer:
            writer.save(part / "arrays", stored)
    body = json.dumps({"format": 1, "meta": meta, "arrays": layout.to_json(), "files": _file_sums(part)}, indent=1)
    write_atomic(part / "manifest.json", body + "\n" + _digest(body.encode()))
    for file in sorted(part.rglob("*")):
        _sync(file)
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
    _sync(folder.parent)


def restore(folder: pathlib.Path) -> tuple[Layout, list[np.ndarray], dict]:
    """Read what `save` wrote, and check every file against its sum.

    Returns:
        The layout (without structure), the arrays and the small record.

    Raises:
        DataError: something is missing, truncated or changed.
    """
    import orbax.checkpoint as ocp

    manifest = _read_manifest(folder)
    try:
        layout, meta = Layout.from_json(manifest["arrays"]), dict(manifest["meta"])
        full = [i for i, s in enumerate(layout.shapes) if np.prod(s, dtype=int)]
        stored: dict = {}
        if full:
            with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
                stored = reader.restore((folder / "arrays").absolute())
        empty = [np.zeros(s, d) for s, d in zip(layout.shapes, layout.dtypes, strict=True)]
        arrays = [np.asarray(stored[f"{i:05d}"]) if i in full else empty[i] for i in range(len(layout))]
    except Exception as error:  # whatever the readers below meet in a broken file
        raise _broken(folder, f"{type(error).__name__}: {str(error)[:200]}") from None
    return layout, arrays, meta


def _read_manifest(folder: pathlib.Path) -> dict:
    """The record of a checkpoint, once its own sum and those of all its files agree; Orbax sees intact files only."""
    try:
        body, own = (folder / "manifest.json").read_text(encoding="utf-8").rsplit("\n", 1)
        manifest = json.loads(body) if _digest(body.encode()) == own else {}
    except (OSError, ValueError) as error:
        raise _broken(folder, f"manifest.json: {error}") from None
    if not manifest:
        raise _broken(folder, "manifest.json does not match its sum")
    have = {k: v for k, v in _file_sums(folder).items() if k != "manifest.json"}
    bad = [n for n in {**manifest["files"], **have} if manifest["files"].get(n) != have.get(n)]
    if bad:
        raise _broken(folder, f"{bad[0]} does not match its sum")
    return manifest


def _broken(folder: pathlib.Path, got: str) -> DataError:
    others = [str(s) for s in saved_steps(folder.parent) if f"{s:06d}" != folder.name]
    return DataError(
        f"The checkpoint {folder} is damaged.",
        got=got,
        expected="the arrays that were written, bit for bit",
        try_=f"resume(DIR, checkpoint={others[-1]})" if others else "a copy of the run directory that is intact",
    )


def saved_steps(folder: pathlib.Path) -> list[int]:
    """Steps of the checkpoints in a folder, in order; unfinished ones are left out."""
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if p.is_dir() and p.name.isdigit())


def prune(folder: pathlib.Path, best: int | None) -> None:
    """Delete all checkpoints but the last three and the best."""
    steps = saved_steps(folder)
    for step in steps[:-KEEP]:
        if step != best:
            shutil.rmtree(folder / f"{step:06d}", ignore_errors=True)


def drop_after(folder: pathlib.Path, step: int) -> None:
    """Delete the checkpoints of later steps: the run goes on from `step`."""
    for later in saved_steps(folder):
        if later > step:
            shutil.rmtree(folder / f"{later:06d}")
