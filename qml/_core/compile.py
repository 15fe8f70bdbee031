"""What XLA's compiler is asked for: its default settings spend time that no program here gets back."""

import functools
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import jaxlib
from jax.experimental.xla_metadata import set_xla_metadata

from qml._core.lazy import uncollected
from qml._core.memory import check_memory

# On a CPU only. LLVM's first level of optimisation gives the same speed as its third, and so it is without sums by
# halves: the long ones here are products of matrices. Without XLA's newer emitters, in one piece, a program compiles in
# half the time and runs half as long again; not optimised at all in a tenth, and runs six times as long
# (docs/benchmarks.md, Start-up).
_STEADY = {"xla_backend_optimization_level": 1, "xla_disable_hlo_passes": "tree_reduction_rewriter"}
_ONCE = {**_STEADY, "xla_cpu_parallel_codegen_split_count": 1}
if jaxlib.version.__version_info__ < (0, 11):  # newer ones have no other emitters
    _ONCE["xla_cpu_use_fusion_emitters"] = False
_LIGHT = {**_ONCE, "xla_backend_optimization_level": 0}
# As XLA marks the small loops that it makes one kernel of. No sum of an array, sort, FFT or call can be in one.
_KERNEL = {"xla_cpu_small_call": "true", "inlineable": "false"}
_ROW = 8  # numbers in a row that are still taken one by one


def compiled(lowered: jax.stages.Lowered, *, often: bool = True) -> jax.stages.Compiled:
    """A lowered program, compiled for the present backend; a warning if it is too large.

    Args:
        lowered: the program.
        often: it will run many times; else it is compiled as fast as can be.
    """
    made = _with_options(lambda options: lowered.compile(compiler_options=options), _STEADY if often else _ONCE)
    check_memory(made)
    return made


def once(
    function: Callable[..., Any], *, light: bool = False, static_argnums: int | tuple[int, ...] = ()
) -> Callable[..., Any]:
    """A jitted function for what happens once a run: compiled as fast as can be, run not quite as fast.

    Inside another program, where options have no place, it is an ordinary jitted function.

    Args:
        function: of arrays.
        light: it has so little to do that it is not optimised at all.
        static_argnums: as for `jax.jit`.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml._core.compile import once
        >>> float(once(jnp.sum)(jnp.arange(4.0)))
        6.0
    """

    @functools.cache
    def jitted(*options: tuple[str, Any]) -> Callable[..., Any]:
        return jax.jit(function, static_argnums=static_argnums, compiler_options=dict(options) or None)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        if any(isinstance(x, jax.core.Tracer) for x in [jax.device_put(0), *jax.tree.leaves(args)]):
            return jitted()(*args)
        with uncollected():
            return _with_options(lambda options: jitted(*options.items())(*args), _LIGHT if light else _ONCE)

    return call


def as_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of single numbers, or of a few in a row, that is one kernel on a CPU.

    Left to itself XLA makes a kernel of nearly every number in it, and takes some 15 ms to compile each.

    Args:
        function: element by element, of numbers in any tree; given longer arrays it is an ordinary function. Not to be
            mapped over tens of thousands of them, which XLA would share out to threads.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from qml._core.compile import as_one
        >>> float(jax.jit(as_one(jnp.hypot))(3.0, 4.0))
        5.0
    """
    kernel = jax.jit(function)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        if jax.default_backend() != "cpu" or any(jnp.size(x) > _ROW for x in jax.tree.leaves(args)):
            return function(*args)
        with set_xla_metadata(**_KERNEL):
            return kernel(*args)

    return call


def _with_options(run: Callable[[dict[str, Any]], Any], wanted: dict[str, Any]) -> Any:
    """Run with the options that this backend has and `XLA_FLAGS` does not set; without any where XLA knows one not."""
    flags = os.environ.get("XLA_FLAGS", "")
    options = {k: v for k, v in wanted.items() if k not in flags and jax.default_backend() == "cpu"}
    try:
        return run(options)
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        return run({})
