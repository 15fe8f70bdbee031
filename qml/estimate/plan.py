"""Chunks are planned: how many rows of a function suit the memory, and the caches, of the device.

One number decides, the *working set* of a row: the largest number of bytes that are held at once for it while the
program of the function runs. It is read off the traced program, without compiling anything: a value is held from where
it is made to its last use, and values that XLA fuses into what uses them are never written. What
`compiled.memory_analysis()` says of the same function agrees to a factor of about two (see the tests).
"""

import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from qml._core.memory import budget, planned
from qml._core.types import Array

BUDGET = 2**30  # bytes held by a piece on a CPU
CACHE = 2**20  # bytes of cache of a core, where the system does not say
SHARE = 0.25  # of the memory of an accelerator
PIECE = 0.125  # of a budget that is given, see `qml._core.memory`: several pieces are held in one program
CACHES = 3  # caches that a piece may fill: the working set is an upper bound, and the next cache is not much slower
FEWEST = 4  # rows below which matrix products lose their speed

_INLINED = ("pjit", "jit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")
_HEAVY = ("dot_general", "conv_general_dilated", "sort", "cumsum", "cumlogsumexp", "cumprod", "cummax", "scatter")
_HEAVY += ("scatter-add", "while", "scan", "cond", "fft", "cholesky", "triangular_solve", "eigh", "qr", "svd")


def rows_at_once(
    function: Callable[..., Any], *rows: Array, chunk: int | None, cached: bool = False, fewest: int = FEWEST
) -> int | None:
    """The chunk for a function of rows: as asked, or planned for the device.

    As many rows as fit in 1 GiB on a CPU, in a quarter of the memory of an accelerator, or in an eighth of the budget
    that the environment gives (`GRADKET_MEMORY`, in GiB). With `cached`, on a CPU, no
    more than stay near the second-level cache of a core (but at least `fewest`). The pieces are of like size, so that
    hardly any row is done twice.

    Args:
        function: traced on all `rows`, and on two and three of them if all do not fit.
        rows: arrays with one common leading axis.
        chunk: rows asked for; `None` plans.
        cached: whether the function passes over its values many times, as a deep network does.
        fewest: rows below which a piece is not worth its own cost.

    Returns:
        A number of rows, or `None` for all.
    """
    count = rows[0].shape[0]
    if chunk is not None or count < 2:
        return chunk
    small = min(_memory(), CACHES * cache_bytes()) if cached else _memory()
    if _held(function, rows, count) <= small:  # most often: traced once, on the rows themselves
        return None
    fitting = rows_that_suit(function, *rows, cached=cached, fewest=fewest)
    return None if fitting >= count else -(-count // -(-count // fitting))


def rows_that_suit(function: Callable[..., Any], *rows: Any, cached: bool = False, fewest: int = FEWEST) -> int:
    """Rows that suit the device, however many there are; see `rows_at_once`."""
    need = working_set(function, *rows)
    fitting = max(1, _memory() // need)
    if cached and jax.default_backend() == "cpu":
        fitting = min(fitting, max(fewest, CACHES * cache_bytes() // need))
    return fitting


def working_set(function: Callable[..., Any], *rows: Any) -> int:
    """Bytes that a function of rows holds at once for each of them, at least 1; what all rows share is not counted."""
    return max(1, _held(function, rows, 3) - _held(function, rows, 2))


def _held(function: Callable[..., Any], rows: tuple[Any, ...], count: int) -> int:
    some = [jax.ShapeDtypeStruct((count, *r.shape[1:]), r.dtype) for r in rows]
    return peak_bytes(jax.make_jaxpr(function)(*some).jaxpr)


@functools.cache
def cache_bytes() -> int:
    """Size of the second-level cache of a core, 1 MiB where the system does not say."""
    try:
        text = pathlib.Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text().strip()
        return int(text[:-1]) * {"K": 2**10, "M": 2**20}[text[-1]]
    except (OSError, ValueError, KeyError, IndexError):
        return CACHE


def _memory() -> int:
    """Bytes that a piece may hold on the device: a share of the budget, if there is one."""
    if jax.default_backend() == "cpu" or budget() is not None:
        return planned(PIECE, BUDGET)
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", 4 * BUDGET)
    return int(SHARE * limit)


def peak_bytes(program: Jaxpr) -> int:
    """Largest number of bytes of computed values that are held at once; inputs are not counted."""
    names = _Names()
    steps = list(_flat(program, names))
    written = {name for step in steps if step.heavy for name in (*step.out, *step.used)}
    ends = [names[v] for v in program.outvars if not isinstance(v, Literal)]
    written |= set(ends)
    last: dict[int, int] = {}
    last.update(dict.fromkeys(ends, len(steps)))
    for at, step in reversed(list(enumerate(steps))):
        # a fused value is worked out where it is used, so what it is made of is held until then
        fused = not step.heavy and not any(name in written for name in step.out)
        used_at = max([last.get(name, at) for name in step.out], default=at) if fused else at
        for name in step.used:
            last[name] = max(last.get(name, 0), used_at)
    held, peak, leaving = 0, 0, {}
    for at, step in enumerate(steps):
        for name, size in step.out.items():
            if name in written:
                held += size
                leaving.setdefault(last.get(name, at), []).append(size)
        peak = max(peak, held + step.inner)
        held -= sum(leaving.pop(at, []))
    return peak


class _Step(NamedTuple):
    """One equation: names of the values it uses, names and sizes of those it makes, and what it holds inside."""

    used: tuple[int, ...]
    out: dict[int, int]
    heavy: bool
    inner: int


class _Names(dict):
    """A number for each value; values of an inner program are new at each call of it."""

    def __init__(self, counter: Iterator[int] | None = None):
        super().__init__()
        self.counter = itertools.count() if counter is None else counter

    def __missing__(self, variable: Any) -> int:
        self[variable] = next(self.counter)
        return self[variable]


def _flat(program: Jaxpr, names: _Names) -> Iterator[_Step]:
    """The equations of a program, with calls of inner programs written out."""
    for equation in program.eqns:
        inner = [p for value in equation.params.values() for p in _programs(value)]
        if equation.primitive.name in _INLINED and len(inner) == 1 and len(inner[0].invars) == len(equation.invars):
            within = _Names(names.counter)
            for variable, given in zip(inner[0].invars, equation.invars, strict=True):
                if not isinstance(given, Literal):
                    within[variable] = names[given]
            yield from _flat(inner[0], within)
            for variable, result in zip(equation.outvars, inner[0].outvars, strict=True):
                if not isinstance(result, Literal):
                    names[variable] = within[result]
            continue
        used = tuple(names[v] for v in equation.invars if not isinstance(v, Literal))
        out = {names[v]: _size(v.aval) for v in equation.outvars}
        heavy = equation.primitive.name in _HEAVY or bool(inner)
        yield _Step(used, out, heavy, max(map(peak_bytes, inner), default=0))


def _size(aval: Any) -> int:
    return int(np.prod(aval.shape)) * getattr(aval.dtype, "itemsize", 8) if hasattr(aval, "shape") else 0


def _programs(value: Any) -> list[Jaxpr]:
    if isinstance(value, ClosedJaxpr):
        return [value.jaxpr]
    if isinstance(value, Jaxpr):
        return [value]
    if isinstance(value, (tuple, list)):
        return [p for v in value for p in _programs(v)]
    return []
