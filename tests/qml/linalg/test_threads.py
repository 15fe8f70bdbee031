"""BLAS is held to one thread while a compiled solve runs, and given back afterwards."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from qml import linalg


def _threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_one_thread_inside_and_what_was_before_outside():
    with threadpool_limits(2, "blas"):
        with linalg.one_thread():
            assert _threads() == {1}
        assert _threads() == {2}


def test_a_jitted_solve_waits_on_one_thread_and_may_be_traced():
    seen = []

    @linalg.jitted
    def total(matrix):
        seen.append(_threads())  # while it is traced
        return jnp.sum(jnp.linalg.eigvalsh(matrix) ** 2)

    matrix = jnp.array([[1.0, 2.0], [2.0, -1.0]])
    with threadpool_limits(2, "blas"):
        np.testing.assert_allclose(total(matrix), 10.0)
        assert seen == [{1}]
    np.testing.assert_allclose(jax.grad(total)(matrix), 2 * matrix, atol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.vmap(total))(matrix[None]), [10.0])


PROGRAM = """
import jax; jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
from qml import linalg

a = jax.random.normal(jax.random.key(0), (2, 128, 128))
a = a + jnp.swapaxes(a, 1, 2)

@jax.jit
def twice(a):
    found = [jax.vmap(linalg.eigh)(scale * a) for scale in (1.0, 1.5)]
    return sum(jnp.sum(jnp.einsum("bij,bj->bi", vectors, jnp.exp(-levels))) for levels, vectors in found)

for i in range(60):
    jax.block_until_ready(twice((1 + 0.01 * i) * a))
levels, vectors = jax.vmap(linalg.eigh)(a)
assert jnp.abs(a @ vectors - vectors * levels[:, None, :]).max() < 1e-11
print("done")
"""


def test_two_calls_for_several_matrices_on_two_threads():
    """With `jnp.linalg.eigh` this waits for ever on two cores (jaxlib 0.10.2)."""
    settings = {**os.environ, "NPROC": "2", "JAX_PLATFORMS": "cpu"}
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=settings, capture_output=True, text=True, timeout=120)
    assert run.stdout.split() == ["done"], run.stderr[-1000:]
