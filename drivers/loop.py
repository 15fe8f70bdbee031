"""The bookkeeping of one run: record, check, save, stop on a signal."""

import contextlib
import functools
import pathlib
import signal
import threading
import time as clock
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from drivers.io import checkpoint as checkpoints
from drivers.io import couplings
from drivers.io.compiled import REASON, Program
from drivers.io.doubts import doubts
from drivers.io.history import History, to_json
from drivers.io.layout import Layout
from drivers.io.leaderboard import entry
from drivers.io.progress import ProgressLine
from drivers.io.result import Record, Result, Status, records
from drivers.io.run_dir import MetricsFile, RunDir

CHECKPOINT_SECONDS = 300.0
_ENDS = (Status.FINISHED, Status.CONVERGED, Status.STOPPED)
SENTENCES = ("the driver ended the run",)
_BEST = ("energy.mean", "objective.mean", "objective", "loss")
Callback = Callable[[Record], Any]


class Loop:
    """The bookkeeping of one run: what is done, recorded and saved. Only this object changes while a run goes on.

    Args:
        program: the compiled step.
        inputs: arrays of driver and thing.
        leaves: arrays of the carry.
        layout: their names.
        folder: the run directory, or `None`.
        every: steps between checkpoints.
        done: steps done before; `size` bytes of metrics.jsonl belong to them.
        history: what was recorded before.
        best: `(value, step)` of the best checkpoint so far.
        spent: seconds spent before.
        sentences: why the driver may end the run, by number.
        facts: what the result file says of the problem.
        final: makes the program of the last measurement; while the second step runs, for what is wrong with it is
            best known early.
        careful: makes the program of a kind that takes over where a quick one was not sound.
    """

    def __init__(
        self,
        program: Program,
        inputs: list,
        leaves: list,
        layout: Layout,
        folder: RunDir | None,
        every: int,
        *,
        done: int = 0,
        size: int | None = None,
        history: History | None = None,
        best: tuple[float, int] | None = None,
        spent: float = 0.0,
        sentences: Sequence[str] = SENTENCES,
        facts: Mapping[str, Any] | None = None,
        final: Callable[[], Program],
        careful: Callable[[str], Program] | None = None,
    ):
        self._final = functools.cache(final)
        self._careful = careful
        self.program, self.inputs, self.leaves, self.layout = program, inputs, leaves, layout
        self.folder, self.every, self.done, self.best, self.spent = folder, every, done, best, spent
        self.sentences, self.facts = tuple(sentences), facts or {}
        self.history = History() if history is None else history
        self.seconds = 0.0
        self._metrics = None if folder is None else MetricsFile(folder.metrics, size)
        self._saved_at, self._saved_step = clock.monotonic(), done if size is not None else -1
        self._row: Mapping[str, Any] = {}

    def record(self, step: int, row: Mapping[str, Any]) -> None:
        """Add the numbers of one step to the history and to the disk."""
        self.history.append(step, row)
        if self._metrics is not None:
            self._metrics.write(step, row)
        self._row = row

    def run(self, total: int, callbacks: Sequence[Callback], progress: bool | None) -> tuple[Status, str]:
        """Go on to step `total`; one step is always under way while the one before is recorded."""
        import threadpoolctl

        self.program.compile()
        begin = clock.monotonic()
        line = ProgressLine(total, progress)
        if self._saved_step < 0:
            self.save()
        try:
            with threadpoolctl.threadpool_limits(limits=1, user_api="blas"), _signals() as stop:
                leaves, pending, end = self.leaves, None, None
                for step in range(self.done + 1, total + 1):
                    out = self.program(self.inputs, leaves)
                    sure = self._sure(pending)
                    if sure is not pending:
                        pending, out = sure, self.program(self.inputs, sure[1][0])
                    end = pending and self._settle(pending, callbacks, line, stop, begin)
                    if end:
                        return end
                    if pending:
                        self._final()
                    leaves, pending = out[0], (step, out)
                pending = self._sure(pending)
                end = pending and self._settle(pending, callbacks, line, stop, begin)
            return end or (Status.FINISHED, f"{self.done} steps done")
        except BaseException:  # an error of a callback, or a second Ctrl-C: what is done stays
            self.save()
            if self._metrics is not None:
                self._metrics.close()
            raise
        finally:
            line.close()
            self.seconds = clock.monotonic() - begin

    def _sure(self, pending: Any) -> Any:
        """A finished step; where the quick program was not sound, the careful one does it again, and all after it."""
        if pending is None or self._careful is None or bool(pending[1][3]):
            return pending
        quick, make, self._careful = self.program, self._careful, None
        self.program, self._final = make("step"), functools.cache(functools.partial(make, "final"))
        self.program.compile()
        self.program.seconds += quick.seconds
        return pending[0], self.program(self.inputs, self.leaves)

    def _settle(
        self, pending: tuple, callbacks: Sequence[Callback], line: ProgressLine, stop: list, begin: float
    ) -> tuple[Status, str] | None:
        """Record one finished step; an answer ends the run."""
        step, (leaves, info, code, finite) = pending
        info, code, finite = jax.device_get((info, code, finite))
        if not finite:
            means = [n for n in _not_finite(self.program.names, info) if n.endswith(".mean")]
            bad = [*_not_finite(self.layout.names, leaves), *(n.removesuffix(".mean") for n in means)]
            return (
                Status.DIVERGED,
                f"{', '.join(bad[:4])} not finite in step {step}; the state is that of step {step - 1}",
            )
        self.leaves, self.done = leaves, step
        row = dict(zip(self.program.names, info, strict=True))
        self.record(step, row)
        line.update(step, row)
        if step % self.every == 0 or clock.monotonic() - self._saved_at > CHECKPOINT_SECONDS:
            self.save()
        status, reason = Status(int(code) % REASON), int(code) // REASON
        if status != Status.RUNNING:
            return status, f"{self.sentences[reason]} (step {step})"
        for callback in callbacks:
            answer = callback(Record(step, self.history, clock.monotonic() - begin))
            if answer:
                return Status.STOPPED, answer if isinstance(answer, str) else f"a callback ended the run at step {step}"
        if stop:
            return Status.INTERRUPTED, f"signal {stop[0]} after step {step}"
        return None

    def save(self) -> None:
        """Write a checkpoint of the last good step, and remove old ones."""
        self._saved_at, self._saved_step = clock.monotonic(), self.done
        if self.folder is None or self._metrics is None:
            return
        value = next(
            (float(np.real(self._row[n])) for n in _BEST if n in self._row and np.ndim(self._row[n]) == 0), None
        )
        if value is not None and np.isfinite(value) and (self.best is None or value < self.best[0]):
            self.best = (value, self.done)
        meta = {"step": self.done, "bytes": self._metrics.sync(), "best": self.best, "seconds": self.spent}
        checkpoints.save(self.folder.checkpoints / f"{self.done:06d}", self.layout, jax.device_get(self.leaves), meta)
        checkpoints.prune(self.folder.checkpoints, self.best[1] if self.best else None)

    def close(self, status: Status, message: str) -> tuple[dict, Status, str]:
        """Save, measure the final numbers, and write the result; an interrupted run is left unfinished.

        Returns:
            The numbers, and status and message: a run that came to its end may turn out to be doubtful.
        """
        self.spent += self.seconds
        self.compile_time = self.program.seconds
        if self._saved_step != self.done:
            self.save()
        if self._metrics is not None:
            self._metrics.close()
        row, final = {}, self._final()
        if final.names and status != Status.INTERRUPTED:
            row = self._measured(final)
            if self._careful is not None and any(n.endswith(".mean") for n in _not_finite(row.keys(), row.values())):
                row = self._measured(self._careful("final"))
        numbers = records(row, row.values())
        found = doubts(numbers, self.history) if status in _ENDS else []
        if found:
            status, message = Status.DOUBTFUL, f"{message}, but {'; '.join(found)}"
        if self.folder is not None and status != Status.INTERRUPTED:
            self.folder.write_result(
                {
                    "status": str(status),
                    "message": message,
                    "steps": self.done,
                    "final": to_json(row),
                    "leaderboard": entry(numbers, {**self.facts, "sound": status in _ENDS}, self.spent),
                    "last": to_json(self._row),
                    "best_step": self.best[1] if self.best else None,
                    "wall_time": round(self.spent, 3),
                    "compile_time": round(self.compile_time, 3),
                }
            )
        return numbers, status, message

    def _measured(self, final: Program) -> dict:
        """The final numbers."""
        row = dict(zip(final.names, jax.device_get(final(self.inputs, self.leaves)), strict=True))
        self.compile_time += final.seconds
        return row

    def result(self, state: Any, status: Status, message: str, final: dict) -> Result:
        """The result of this run; where its facts name couplings, the folder gets tables of them."""
        out = None if self.folder is None else pathlib.Path(self.folder.path)
        if out is not None:
            couplings.write(out, self.facts, state)
        return Result(
            state=state,
            history=self.history,
            status=status,
            message=message,
            final=final,
            steps=self.done,
            out=out,
            wall_time=self.spent,
            compile_time=self.compile_time,
        )


def _not_finite(names: Iterable[str], arrays: Iterable[Any]) -> list[str]:
    """Names of the arrays that hold NaN or infinity."""
    return [n for n, x in zip(names, jax.device_get(list(arrays)), strict=True) if not np.all(np.isfinite(x))]


@contextlib.contextmanager
def _signals() -> Iterator[list]:
    """The first SIGINT or SIGTERM is noted in the list, the second one interrupts at once."""
    noted: list = []

    def note(number: int, frame: Any) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    old = [signal.signal(n, note) for n in numbers]
    try:
        yield noted
    finally:
        for number, handler in zip(numbers, old, strict=True):
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
