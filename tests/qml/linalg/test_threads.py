"""BLAS is held to one thread while a compiled solve runs, and given back afterwards."""

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
