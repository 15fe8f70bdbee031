"""Programs of a driver on plain arrays: traced once, compiled once, exported as StableHLO where a folder is given."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from drivers.io.layout import Layout, flatten, names_of
from qml._core import tree
from qml._core.compile import compiled
from qml._core.errors import DataError, ShapeError
from qml._core.lazy import uncollected
from qml.estimate.stats import Stats
from qml.state.base import with_fallback

DIVERGED = 5  # the code of `Status.DIVERGED`
REASON = 256  # a code is the status, plus so many times the number of a sentence


def guarded_step(driver: Any, old: list, layout: Layout, quick: bool = False) -> tuple[list, dict, Any, Any]:
    """One step, and whether its numbers are finite.

    A quick one holds no slow ways (see `Ansatz.fallback`), and where it needs one that is as if it were not finite.

    Returns:
        The new arrays, the info without status and reason, the code, and whether the carry and all means are finite.

    Raises:
        ShapeError: the step changes the structure, a shape or a dtype of the carry, or its info is no dictionary.
    """
    carry = layout.unflatten(old)
    new, info = driver.step(with_fallback(carry, False) if quick else carry)
    if not isinstance(info, dict):
        raise ShapeError(
            "The info of a step is no dictionary.",
            got=type(info).__name__,
            expected="a dict of Stats and arrays",
            try_='return carry, {"energy": energy}',
        )
    leaves, changed = flatten(with_fallback(new, True) if quick else new)
    if changed != layout:
        raise ShapeError(
            "A step changes the form of its carry.",
            got=changed.difference(layout),
            expected="the structure, shapes and dtypes of what `init` returned",
            try_="casting what `init` returns to the dtypes of the step",
        )
    info = dict(info)
    status, reason = (jnp.asarray(info.pop(name, 0), jnp.int32) for name in ("status", "reason"))
    refused = ~jnp.all(jnp.asarray(info.get("taken", True), bool))  # the driver has seen to it: means may be NaN
    means = [x.mean for x in jax.tree.leaves(info, is_leaf=_is_stats) if _is_stats(x)]
    sound = jnp.asarray(info.pop("sound", True), bool) | (not quick)
    good = sound & tree.all_finite(leaves) & (tree.all_finite(means) | refused)
    return leaves, info, jnp.where(good, status + REASON * reason, DIVERGED), good


def _is_stats(thing: Any) -> bool:
    return isinstance(thing, Stats)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _call(kind: str, quick: bool, outer: Layout, inner: Layout, inputs: list, leaves: list) -> Any:
    """The one jitted function of all drivers: couplings are inputs, so a run with other couplings compiles nothing."""
    driver, thing = outer.unflatten(inputs)
    if kind == "step":
        return guarded_step(driver, leaves, inner, quick)
    carry = inner.unflatten(leaves)
    if kind in ("start", "final"):
        carry = with_fallback(carry, False) if quick else carry
        return dict(driver.final(carry) if kind == "final" else driver.start(carry))
    return flatten(driver.finish(thing, carry))[0]


class Program:
    """An executable on plain arrays, `program(inputs, leaves)`, compiled at its first use.

    Args:
        make: makes the compiled function.
        names: dotted names of the info leaves it returns.
        blob: the serialised StableHLO, empty where there is none.
        seconds: time spent on tracing and compiling so far.
    """

    def __init__(self, make: Callable[[], Callable], names: list[str], blob: bytes, seconds: float):
        self._make, self.names, self.blob, self.seconds = make, names, blob, seconds
        self._call: Callable | None = None

    def compile(self) -> Callable:
        """Compile, unless it is done."""
        if self._call is None:
            start = time.perf_counter()
            self._call = self._make()
            self.seconds += time.perf_counter() - start
        return self._call

    def __call__(self, inputs: list, leaves: list) -> Any:
        return self.compile()(inputs, leaves)


def _flat(kind: str, out: Any) -> Any:
    """What a program returns as plain lists."""
    return (out[0], jax.tree.leaves(out[1]), *out[2:]) if kind == "step" else jax.tree.leaves(out)


def build(kind: str, outer: Layout, inner: Layout, *, export: bool, quick: bool = False) -> Program:
    """Trace a function of a driver; with `export` the program that runs is the serialised one.

    Args:
        kind: which function of the driver: `step`, `start`, `final` or `finish`.
        outer: layout of `(driver, thing)`.
        inner: layout of the carry.
        export: write the program as StableHLO and compile that.
        quick: without the slow ways, see `Ansatz.fallback`.

    Raises:
        NotImplementedError, ValueError: the program cannot be exported (it calls back to the host).
    """
    start = time.perf_counter()
    inputs, leaves = outer.structs(), inner.structs()
    with uncollected():
        traced = _call.trace(kind, quick, outer, inner, inputs, leaves)
    info = traced.out_info[1] if kind == "step" else {} if kind == "finish" else traced.out_info
    names = names_of(info)
    if not export:

        def make() -> Callable:
            with uncollected():
                lowered = traced.lower()
            run = compiled(lowered, often=kind == "step")
            return lambda inputs, leaves: _flat(kind, run(inputs, leaves))

        return Program(make, names, b"", time.perf_counter() - start)
    whole = jax.jit(lambda inputs, leaves: _flat(kind, _call(kind, quick, outer, inner, inputs, leaves)))
    blob = bytes(jax.export.export(whole)(inputs, leaves).serialize())
    return load(blob, outer, inner, names, time.perf_counter() - start, often=kind == "step")


def load(
    blob: bytes, outer: Layout, inner: Layout, names: list[str], seconds: float = 0.0, *, often: bool = True
) -> Program:
    """A serialised program; `often` as in `compiled`.

    Raises:
        DataError: the bytes are no program, or a program for other arrays or another kind of device.
    """
    expected = [(s.shape, s.dtype.name) for s in (*outer.structs(), *inner.structs())]
    try:
        exported = jax.export.deserialize(bytearray(blob))
        have = [(tuple(a.shape), a.dtype.name) for a in exported.in_avals]
        trouble = "" if have == expected else "a program for other arrays"
        if jax.default_backend() not in exported.platforms and not trouble:
            trouble = f"a program for {', '.join(exported.platforms)}"
    except Exception as error:  # the reader raises what its flatbuffer layer meets: struct.error, ValueError, ...
        trouble = f"{type(error).__name__}: {str(error)[:200]}"
    if trouble:
        raise DataError(
            "The exported program of the run cannot be loaded here.",
            got=trouble,
            expected=f"an intact program for {jax.default_backend()}",
            try_="an intact copy of the folder, on the kind of device it was written on",
        )

    def make() -> Callable:
        return compiled(jax.jit(exported.call).lower(outer.structs(), inner.structs()), often=often)

    return Program(make, names, blob, seconds)
