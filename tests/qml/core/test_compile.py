"""Programs that are compiled fast give the numbers of those that are compiled as usual."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml._core import compile as options
from qml._core.compile import compiled, once
from qml.ansatz.layers import normal


def polynomial(x, degree):
    return sum(jnp.sin(x) ** k for k in range(degree))


@pytest.mark.parametrize("light", [False, True])
def test_the_same_numbers_eager_in_a_program_and_mapped(light):
    fast, x = once(polynomial, light=light, static_argnums=1), jnp.linspace(0, 1, 5)
    expected = polynomial(np.linspace(0, 1, 5), 3)
    inside = jax.jit(lambda x: fast(x, 3))
    constant = jax.jit(lambda: fast(np.linspace(0, 1, 5), 3))
    for found in (fast(x, 3), inside(x), constant(), jax.vmap(lambda x: fast(x, 3))(x)):
        np.testing.assert_allclose(found, expected, atol=1e-14)
    np.testing.assert_allclose(
        jax.grad(lambda x: fast(x, 3).sum())(x), np.cos(x) + np.sin(2 * np.asarray(x)), atol=1e-14
    )


def test_the_compiler_takes_the_options_and_sums_stay_exact():
    x = jax.random.normal(jax.random.key(0), (1000,))
    total = compiled(jax.jit(jnp.sum).lower(x))(x)
    np.testing.assert_allclose(total, np.sum(np.asarray(x)), rtol=1e-13)


def test_options_that_the_compiler_does_not_know_are_left_out(monkeypatch):
    monkeypatch.setattr(options, "_STEADY", {"xla_no_such_option": 1})
    monkeypatch.setattr(options, "_LIGHT", {"xla_no_such_option": 1})
    x = jnp.arange(3.0)
    assert compiled(jax.jit(jnp.sum).lower(x))(x) == 3
    assert once(jnp.max, light=True)(x) == 2


def test_flags_of_the_user_stand(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=3")
    assert options._with_options(dict, options._STEADY).keys() == {"xla_disable_hlo_passes"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_initial_values_are_those_of_their_own_shape(dtype):
    key = jax.random.key(3)
    found = normal(key, (7, 5), np.dtype(dtype), 0.1)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, 0.1 * jax.random.normal(jax.random.clone(key), (7, 5), dtype), rtol=2e-6)
    traced = jax.jit(lambda key: normal(key, (7, 5), np.dtype(dtype), 0.1))(jax.random.clone(key))
    np.testing.assert_allclose(found, traced, rtol=2e-6)
