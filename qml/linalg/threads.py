"""Dense eigenproblems in compiled programs: one BLAS thread, and one matrix after another.

LAPACK's solvers call BLAS thousands of times on small matrices, and its threads wait for each other by spinning. Where
other jobs want the cores too, a wait lasts as long as the other jobs' time slices: a picture of 40 small states took 24
CPU seconds instead of 0.35 with its two threads on one core. One thread is not slower on the sizes of this package.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from threadpoolctl import ThreadpoolController

from qml._core.types import Array


@functools.cache
def _libraries() -> ThreadpoolController:
    """The BLAS libraries of this process; looking for them takes 30 ms."""
    import scipy.linalg.lapack  # noqa: F401  the one that JAX calls

    return ThreadpoolController().select(user_api="blas")


def one_thread() -> contextlib.AbstractContextManager:
    """Hold BLAS to one thread: for compiled functions of your own that solve dense problems on busy machines.

    A call returns before its work is done: wait for it inside (`jax.block_until_ready`, or a conversion to NumPy).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from qml.linalg import one_thread
        >>> with one_thread():
        ...     print(jax.block_until_ready(jnp.linalg.eigvalsh(jnp.diag(jnp.array([2.0, 1.0])))))
        [1. 2.]
    """
    return _libraries().limit(limits=1)


@jax.custom_batching.sequential_vmap
def eigh(matrix: Array) -> tuple[Array, Array]:
    """Levels and eigenvectors of a Hermitian matrix `[n, n]`; of many, by `jax.vmap`, one after another.

    LAPACK calls for several matrices share them out to the threads of XLA. With two such calls in one program on two
    cores those threads have been seen to wait for ever (jaxlib 0.10), even for matrices of 128 rows. Not to be
    differentiated.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from qml.linalg import eigh
        >>> jax.vmap(eigh)(jnp.array([[[0.0, 1.0], [1.0, 0.0]], [[0.0, 2.0], [2.0, 0.0]]]))[0].tolist()
        [[-1.0, 1.0], [-2.0, 2.0]]
    """
    levels, vectors = jnp.linalg.eigh(matrix)
    return levels, vectors


@jax.custom_batching.sequential_vmap
def eigvalsh(matrix: Array) -> Array:
    """Levels alone, as `eigh` gives them.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.linalg import eigvalsh
        >>> eigvalsh(jnp.array([[0.0, 1.0], [1.0, 0.0]])).tolist()
        [-1.0, 1.0]
    """
    return jnp.linalg.eigvalsh(matrix)


def jitted(function: Callable, **options: Any) -> Callable:
    """`jax.jit` of a function that solves dense problems; called from the host it runs on one BLAS thread.

    Args:
        function: to compile.
        options: of `jax.jit`.
    """
    compiled = jax.jit(function, **options)

    @functools.wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        with one_thread():
            found = compiled(*args, **named)
            traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(found))
            return found if traced else jax.block_until_ready(found)

    return call
