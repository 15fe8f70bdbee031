"""What XLA's compiler is asked for: its default settings spend time that no program here gets back."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.core

# On a CPU only. LLVM's first level of optimisation gives the same speed as its third, and one stage less of sums by
# halves a program of half the kernels. Without XLA's newer emitters, in one piece, it compiles in half of that time and
# runs half as long again; not optimised at all in a tenth, and runs six times as long (docs/benchmarks.md, Start-up).
_STEADY = {"xla_backend_optimization_level": 1, "xla_disable_hlo_passes": "tree_reduction_rewriter"}
_ONCE = {**_STEADY, "xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
_LIGHT = {**_ONCE, "xla_backend_optimization_level": 0}


def steady() -> dict[str, Any]:
    """Options for `lowered.compile(...)` of a program that runs many times, on the present backend."""
    return _STEADY if jax.default_backend() == "cpu" else {}


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
    plain = jax.jit(function, static_argnums=static_argnums)
    quick = jax.jit(function, static_argnums=static_argnums, compiler_options=_LIGHT if light else _ONCE)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        inside = any(isinstance(x, jax.core.Tracer) for x in [jax.device_put(0), *jax.tree.leaves(args)])
        return (plain if inside or jax.default_backend() != "cpu" else quick)(*args)

    return call
