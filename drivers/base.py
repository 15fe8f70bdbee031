"""The one run loop: a driver is a pure step, and a run is that step compiled, recorded, saved and resumed."""

import abc
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from drivers.io import checkpoint as checkpoints
from drivers.io.compiled import Program, build, load
from drivers.io.describe import describe
from drivers.io.layout import Layout, flatten
from drivers.io.result import Result, SavedState
from drivers.io.run_dir import RunDir
from drivers.loop import SENTENCES, Callback, Loop
from drivers.rates import with_factor
from qml._core.errors import ConfigError, DataError
from qml._core.types import PyTree


class AbstractDriver(eqx.Module):
    """A rule that improves or evolves a thing, one pure step at a time.

    A driver implements `init`, `step` and `finish`. Its array fields are inputs of the compiled step, so a run with
    other couplings compiles nothing new; all its other fields are constants of the step.

    Example:
        >>> import jax.numpy as jnp, drivers
        >>> class Halve(drivers.AbstractDriver):
        ...     def init(self, thing, key):
        ...         return thing
        ...     def step(self, carry):
        ...         return carry / 2, {"loss": carry}
        ...     def finish(self, thing, carry):
        ...         return carry
        >>> result = Halve().run(jnp.array(8.0), steps=3)
        >>> float(result.state), result.history["loss"]
        (1.0, array([8., 4., 2.]))
    """

    quick: ClassVar[bool] = False  # steps are compiled without the slow ways first; see `Loop`

    @abc.abstractmethod
    def init(self, thing: Any, key: Any) -> PyTree:
        """The carry before the first step: a tree of finite arrays and typed keys; `key` may be `None`."""

    @abc.abstractmethod
    def step(self, carry: PyTree) -> tuple[PyTree, dict]:
        """One step: the new carry of the same form, and a dictionary of `Stats` and small arrays. Pure, traced."""

    @abc.abstractmethod
    def finish(self, thing: Any, carry: PyTree) -> Any:
        """The thing after the run, of the structure of `thing`. Pure, traceable."""

    def start(self, carry: PyTree) -> dict:
        """Numbers recorded as step 0, before the first step."""
        return {}

    def final(self, carry: PyTree) -> dict:
        """Numbers measured after the last step. Pure, traced."""
        return {}

    def sentences(self) -> Sequence[str]:
        """Why a step may end the run: `info["reason"]` is a place in this list."""
        return SENTENCES

    def facts(self, thing: Any) -> dict:
        """What the result file says of the problem: plain numbers and strings."""
        return {}

    def plan(
        self, steps: int | None, time: float | int | None, every: float | int | None, observe: Any
    ) -> tuple[Any, int]:
        """The driver with the options of this run, and the number of its steps.

        Raises:
            ConfigError: this driver takes no `time`, `every` or `observe`, or `steps` is missing.
        """
        for name, value in (("time", time), ("every", every), ("observe", observe)):
            if value is not None:
                raise ConfigError(
                    f"{type(self).__name__} takes no {name}=.",
                    got=f"{name}={value!r}",
                    expected="steps=",
                    try_="run(thing, steps=100)",
                )
        return self, whole_steps(steps)

    def run(
        self,
        thing: Any,
        steps: int | None = None,
        *,
        time: float | int | None = None,
        every: float | int | None = None,
        observe: Mapping[str, Any] | None = None,
        key: Any = None,
        out: str | os.PathLike | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool | None = None,
        checkpoint_every: int = 100,
        settings: Mapping[str, Any] | None = None,
    ) -> Result:
        """Run the driver on a thing and return a new thing; the old one is not changed.

        With `out` the step is exported as StableHLO into that folder and the run executes the exported program, so
        that `drivers.resume(out)` needs nothing but the folder and goes on bit for bit. Ctrl-C (or SIGTERM) finishes
        the step, saves, and returns with status `interrupted`; a second one stops at once. A step whose numbers are
        not finite is undone, and the run stops with status `diverged`. While the loop runs, BLAS is held to one thread.

        Args:
            thing: what the driver acts on: a state, a model, a parameter vector.
            steps: number of steps.
            time: total time, for drivers that evolve.
            every: time of one recorded step, for drivers that evolve.
            observe: operators by name, measured at every step.
            key: typed key, for drivers that draw random numbers of their own.
            out: a new folder for the run; `None` keeps everything in memory.
            callbacks: functions of a `Record`; a true answer stops the run, a string says why.
            progress: show a progress line; `None`: on a terminal, after two seconds.
            checkpoint_every: steps between checkpoints (and one at the latest every five minutes).
            settings: the table for `config.toml`; `None` describes the driver and the thing.

        Returns:
            The result with the new thing.

        Raises:
            ConfigError: an option does not fit this driver, or the folder is not empty.
            ShapeError: the step changes the form of its carry.
        """
        if checkpoint_every < 1:
            raise ConfigError(
                "checkpoint_every is a positive number of steps.",
                got=checkpoint_every,
                expected="an int >= 1",
                try_="checkpoint_every=100",
            )
        driver, total = self.plan(steps, time, every, observe)
        carry = driver.init(thing, key)
        inputs, outer = flatten((driver, thing))
        leaves, inner = flatten(carry)
        folder = None
        if out is not None:
            options = {"steps": total, "time": time, "every": every, "checkpoint_every": checkpoint_every}
            default = {"kind": "custom", "driver": describe(driver), "thing": describe(thing), "run": options}
            seed = None if key is None else np.asarray(jax.random.key_data(key)).ravel().tolist()
            folder = RunDir.create(out, default if settings is None else settings, seed)
        words = {"sentences": list(driver.sentences()), "facts": driver.facts(thing)}
        plan = {"steps": total, "checkpoint_every": checkpoint_every, **words}
        make = partial(build, outer=outer, inner=inner, export=False)
        quick = driver.quick and folder is None
        if folder is None:
            step, final = make("step", quick=quick), partial(make, "final", quick=quick)
        else:
            step, final = _exported(folder, thing, (inputs, outer), inner, plan)
        opening, careful = make("start"), make if quick else None
        loop = Loop(step, inputs, leaves, inner, folder, checkpoint_every, **words, final=final, careful=careful)
        if opening.names:
            loop.record(0, dict(zip(opening.names, jax.device_get(opening(inputs, leaves)), strict=True)))
        status, message = loop.run(total, callbacks, progress)
        numbers, status, message = loop.close(status, message)
        carry = inner.unflatten(loop.leaves)
        return loop.result(driver.finish(thing, carry), status, message, numbers)


def whole_steps(steps: Any) -> int:
    """Check a number of steps.

    Raises:
        ConfigError: it is missing, no integer, or negative.
    """
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 0:
        raise ConfigError(
            "The number of steps is missing or no whole number.",
            got=f"steps={steps!r}",
            expected="an int >= 0",
            try_="run(thing, steps=100)",
        )
    return int(steps)


def _exported(
    folder: RunDir, thing: Any, outer: tuple, inner: Layout, plan: dict
) -> tuple[Program, Callable[[], Program]]:
    """The step and final measurement, exported to a folder; the exported ones run."""
    inputs, layout = outer
    try:
        made = {kind: build(kind, layout, inner, export=True) for kind in ("step", "final", "finish")}
    except (NotImplementedError, ValueError) as error:
        make = partial(build, outer=layout, inner=inner, export=False)
        step = make("step")  # an error of the step itself is raised here
        warnings.warn(
            f"The step cannot be exported ({str(error)[:150]}), so the folder alone cannot be resumed. "
            "Try: take callbacks to the host (pure_callback, error_if, debug.print) out of the step.",
            stacklevel=3,
        )
        return step, partial(make, "final")
    tables = {"inputs": layout, "carry": inner, "thing": flatten(thing)[1]}
    folder.write_program(made, tables, inputs, plan)
    return made["step"], lambda: made["final"]


def resume(
    out: str | os.PathLike,
    steps: int | None = None,
    *,
    like: Any = None,
    checkpoint: int | None = None,
    rate: float | int | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool | None = None,
) -> Result:
    """Go on with the run in a folder, from its last checkpoint, bit for bit.

    Nothing but the folder is needed: the step is executed from the program that the run left there.

    Args:
        out: the run directory.
        steps: steps to do from the checkpoint on; `None` does what is left of the planned number.
        like: an object like the one the run was started with, to get the full object back as `result.state`.
        checkpoint: step of the checkpoint to start from; `None` is the last one.
        rate: factor of the learning rate from here on, of runs from files and of `drivers.adjustable` optimisers;
            `None` leaves it.
        callbacks: as in `run`.
        progress: as in `run`.

    Returns:
        The result. Its `state` is of the type of `like`; without `like`, a `SavedState`: arrays by name.

    Raises:
        DataError: the folder, a checkpoint or the program is missing or damaged.
        ConfigError: 64-bit mode is not that of the run, `steps` is no whole number, or the learning rate cannot be
            changed.
    """
    folder = RunDir.open(out)
    record, tables, inputs = folder.read_program()
    _same_precision(tables)
    at, leaves, meta = _load_checkpoint(folder, checkpoint, tables["carry"])
    total = int(record["plan"]["steps"]) if steps is None else at + whole_steps(steps)
    programs = {
        name: load(folder.read_blob(name), tables["inputs"], tables["carry"], entry["names"], often=name == "step")
        for name, entry in record["programs"].items()
    }
    arrays, leaves = [jnp.asarray(x) for x in inputs], [jnp.asarray(x) for x in leaves]
    leaves = leaves if rate is None else with_factor(tables["carry"].names, leaves, rate)
    folder.unfinish()
    checkpoints.drop_after(folder.checkpoints, at)
    metrics_size = int(meta["bytes"])
    loop = Loop(
        programs["step"], arrays, leaves, tables["carry"], folder, int(record["plan"]["checkpoint_every"]),
        done=at, size=metrics_size, best=tuple(meta["best"]) if meta["best"] else None, spent=float(meta["seconds"]),
        sentences=record["plan"].get("sentences", SENTENCES), facts=record["plan"].get("facts"),
        final=lambda: programs["final"],
    )  # fmt: skip
    loop.history = folder.history()
    status, message = loop.run(max(total, at), callbacks, progress)
    numbers, status, message = loop.close(status, message)
    saved = SavedState(tables["thing"], jax.device_get(programs["finish"](arrays, loop.leaves)))
    return loop.result(saved if like is None else saved.into(like), status, message, numbers)


def _load_checkpoint(folder: RunDir, step: int | None, layout: Layout) -> tuple[int, list, dict]:
    """The asked or the last checkpoint, checked against the program's carry."""
    have = checkpoints.saved_steps(folder.checkpoints)
    at = have[-1] if step is None and have else step
    if at not in have:
        raise DataError(
            "There is no such checkpoint.",
            got=f"step {step}",
            expected=f"one of {have}" if have else "a folder with checkpoints",
            try_=f"checkpoint={have[-1]}" if have else "starting the run again from config.toml",
        )
    saved, leaves, meta = checkpoints.restore(folder.checkpoints / f"{at:06d}")
    if saved.rows() != layout.rows():
        raise DataError(
            "The checkpoint does not belong to the program of this folder.",
            got=layout.difference(saved),
            expected="the arrays of the program's carry",
            try_="an intact copy of the folder",
        )
    return int(at), leaves, meta


def _same_precision(tables: Mapping[str, Layout]) -> None:
    wide = {"float64", "complex128", "int64", "uint64"}
    needed = any(d in wide for t in tables.values() for d in t.dtypes)
    if needed and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise ConfigError(
            "The run used 64-bit numbers, and JAX runs in 32-bit mode.",
            got="jax_enable_x64 = False",
            expected="jax_enable_x64 = True",
            try_='jax.config.update("jax_enable_x64", True) as the first line',
        )
