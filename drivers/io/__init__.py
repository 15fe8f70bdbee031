"""Run directories: settings, metrics, checkpoints, programs, progress."""

from drivers.io.history import History
from drivers.io.result import Record, Result, SavedState, Status
from drivers.io.run_dir import RunDir

__all__ = ["History", "Record", "Result", "RunDir", "SavedState", "Status"]
