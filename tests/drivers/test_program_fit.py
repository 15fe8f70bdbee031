"""Program fits: exact and sampled, against functions with known minima."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import diffquantum
import drivers
from qml._core.errors import ConfigError, ShapeError
from tests.helpers.zscore import assert_z

LOOP = """operation Tries(t : Double) : Bool {
    use (q, r) = (Qubit(), Qubit()); Ry(0.9, r); Ry(t, q);
    while M(r) == Zero { Ry(0.9, r); Ry(t, q); } Reset(r); MResetZ(q) == One }"""


@pytest.fixture(scope="module")
def program():
    return diffquantum.load(LOOP)


def test_plain_function_is_gradient_descent():
    def energy(theta):
        return jnp.sum(jnp.cos(theta)) + theta[0] * theta[1]

    theta = jnp.array([0.3, -0.7])
    result = drivers.ProgramFit(energy, optax.sgd(0.1)).run(theta, steps=3)
    for row in range(3):
        value, gradient = jax.value_and_grad(energy)(theta)
        assert abs(result.history["energy"][row] - value) < 1e-12
        assert abs(result.history["gradient_norm"][row] - jnp.linalg.norm(gradient)) < 1e-12
        theta = theta - 0.1 * gradient
        np.testing.assert_allclose(result.history["theta"][row], theta, atol=1e-12)
    np.testing.assert_allclose(result.state, theta, atol=1e-12)
    assert abs(float(result.energy.mean) - float(energy(theta))) < 1e-12


def test_exact_program_finds_its_minimum(program):
    energy = diffquantum.expectation(program)
    grid = jnp.linspace(-0.6, 1.2, 61)
    best = min(float(energy(jnp.array([t]))) for t in grid)
    result = drivers.ProgramFit(energy, optax.adam(0.05)).run(jnp.array([0.5]), steps=150)
    assert float(result.energy.mean) <= best + 1e-6
    assert np.all(result.history.errors("energy") == 0)


@pytest.mark.slow
def test_shots_descend_and_resume(program, tmp_path):
    energy = diffquantum.expectation(program, shots=4000)
    exact = diffquantum.expectation(program)
    driver = drivers.ProgramFit(energy, optax.adam(0.02))
    result = driver.run(jnp.array([0.3]), steps=12, key=jax.random.key(2), out=tmp_path / "one")
    assert float(exact(result.state)) < float(exact(jnp.array([0.3]))) - 0.05
    assert_z(result.energy, exact(result.state))
    driver.run(jnp.array([0.3]), steps=5, key=jax.random.key(2), out=tmp_path / "two")
    again = drivers.resume(tmp_path / "two", steps=7, like=jnp.array([0.0]))
    np.testing.assert_array_equal(again.state, result.state)
    assert (tmp_path / "one" / "metrics.jsonl").read_bytes() == (tmp_path / "two" / "metrics.jsonl").read_bytes()


def test_bad_input():
    fit = drivers.ProgramFit(lambda theta: jnp.sum(theta), optax.sgd(0.1))
    for theta in (jnp.zeros((2, 2)), jnp.array([1j])):
        with pytest.raises(ShapeError, match="vector of real"):
            fit.run(theta, steps=1)
    with pytest.raises(ConfigError, match="function of theta"):
        drivers.ProgramFit(3.0, optax.sgd(0.1)).run(jnp.zeros(2), steps=1)
    with pytest.raises(ConfigError, match="Optax"):
        drivers.ProgramFit(jnp.sum, 0.1).run(jnp.zeros(2), steps=1)
    bad = drivers.ProgramFit(lambda theta: jnp.log(theta[0]), optax.sgd(1.0)).run(jnp.array([1.5]), steps=9)
    assert bad.status is drivers.Status.DIVERGED and bool(jnp.isfinite(bad.state[0]))
