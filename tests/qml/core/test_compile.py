"""Programs that are compiled fast give the numbers of those that are compiled as usual."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml._core import compile as options
from qml._core.compile import as_one, compiled, once
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


def decision(a, b, trials):
    size = jnp.hypot(a, b)
    finite = jnp.isfinite(size) & (trials > 2)
    return {"size": size, "taken": finite, "trials": jnp.where(finite, 0, trials + 1), "root": jnp.sqrt(a) / b}


@pytest.mark.parametrize("a, b", [(3.0, 4.0), (0.0, 0.0), (-1.0, 2.0), (np.inf, 1.0), (np.nan, 1.0)])
@pytest.mark.parametrize("trials", [2, 3])
def test_one_kernel_of_numbers_gives_the_same(a, b, trials):
    plain = jax.jit(decision)(a, b, trials)
    for found in (as_one(decision)(a, b, trials), jax.jit(as_one(decision))(a, b, trials)):
        jax.tree.map(
            lambda x, y: np.testing.assert_array_max_ulp(np.asarray(x) * 1.0, np.asarray(y) * 1.0, 1), found, plain
        )
    mapped = jax.vmap(as_one(decision), in_axes=(0, None, None))(jnp.array([a, a]), b, trials)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[1], y), mapped, as_one(decision)(a, b, trials))


def test_numbers_are_one_kernel_and_arrays_an_ordinary_function():
    def kernels(*args):
        text = jax.jit(lambda *args: as_one(decision)(*args)).lower(*args).compile().as_text()
        entry = text[text.index("ENTRY") :]
        return entry.count(" fusion("), entry.count(" call(")

    assert kernels(3.0, 4.0, 3) == (0, 1)
    assert kernels(jnp.ones(3), 4.0, 3) == (0, 1)
    fusions, calls = kernels(jnp.ones(100), 4.0, 3)
    assert fusions > 1 and calls == 0


def test_one_kernel_is_differentiated():
    def size(a):
        return as_one(decision)(a, 4.0, 3)["size"]

    np.testing.assert_allclose([jax.grad(size)(3.0), jax.jit(jax.grad(size))(3.0)], 0.6, rtol=1e-14)


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
