"""Sampled values and gradients: unbiased, with honest errors, in one compiled function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffquantum.errors import UnsupportedError
from diffquantum.estimate import Roulette, gradient, sampled, value
from diffquantum.ir import Const, Gate, Program
from qml._core.errors import SpaceError
from qml.operator import PauliSum
from tests.helpers import programs as lib
from tests.helpers.compiled import Counted
from tests.helpers.zscore import assert_z, assert_z_uniform

Z = PauliSum({"Z": 1.0})


# counts and walks are fitted in test_roulette and test_insertion too
SLOW = ("T01_GeoCount", "T04_Ruin", "T10_Chain", "T12_Discount")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in lib.NAMES])
def test_values_and_gradients(name):
    program, theta, known = lib.NAMES[name], jnp.array(lib.THETA[name]), lib.reference()[name]
    assert_z(value(program, None, theta, jax.random.key(5), 20_000), known["value"])
    assert_z(gradient(program, None, theta, jax.random.key(6), 50_000), jnp.array(known["gradient"]))


@pytest.mark.slow
def test_observable_of_a_prepared_state():
    theta, known = jnp.array([1.0, 0.7]), lib.reference()["T02_RusZ"]
    e = sampled(lib.RUS_STATE, Z, 40_000)
    shots = e(theta, jax.random.key(0))
    assert_z(shots, 1 - 2 * known["value"])
    assert_z(e.gradient(theta, jax.random.key(1)), -2 * jnp.array(known["gradient"]))
    exact = sampled(lib.RUS_STATE, Z, 4000, outcomes=False)
    assert exact(theta, jax.random.key(0)).variance < 0.6 * shots.variance


def test_coefficients_are_traced():
    """Another observable with the same strings compiles nothing anew, and gradients in the coefficients exist."""
    theta = jnp.array([0.4, 1.1])

    @Counted
    def mean(scale):
        return value(lib.CIRCUIT, scale * PauliSum({"ZI": 1.0, "IZ": 0.5}), theta, jax.random.key(0), 500).mean

    np.testing.assert_allclose(mean(2.0), 2 * mean(1.0))
    assert mean.traces == 1
    np.testing.assert_allclose(jax.grad(mean)(1.0), mean(1.0))


@pytest.mark.slow
def test_runs_scatter_as_their_errors_say():
    """200 seeds each: z-scores have mean 0 and variance 1."""
    theta, known = jnp.array([1.0, 0.7]), lib.reference()["T02_RusZ"]
    law = Roulette.mixture(0.88, 0.2, 32)
    keys = jax.random.split(jax.random.key(7), 200)

    @jax.jit
    def runs(keys):
        return jax.lax.map(lambda k: gradient(lib.RUS, None, theta, k, 1500, law), keys)

    @jax.jit
    def values(keys):
        return jax.lax.map(lambda k: value(lib.RUS, None, theta, k, 500), keys)

    out = runs(keys)
    for j in range(2):
        assert_z_uniform(out.mean[:, j], out.error[:, j], known["gradient"][j])
    out = values(jax.random.split(jax.random.key(8), 200))
    assert_z_uniform(out.mean, out.error, known["value"])


@pytest.mark.slow
def test_gradient_where_nothing_ends_is_nan():
    out = gradient(lib.GEOMETRIC, None, jnp.array([0.0]), jax.random.key(0), 100, limit=100)
    assert bool(jnp.all(jnp.isnan(out.mean)))


def test_bad_input():
    theta, key = jnp.array([1.0, 0.7]), jax.random.key(0)
    with pytest.raises(SpaceError):
        value(lib.RUS, Z, theta, key, 10)
    with pytest.raises(SpaceError):
        value(lib.RUS_STATE, None, theta, key, 10)
    with pytest.raises(SpaceError):
        value(lib.RUS_STATE, PauliSum({"Z": 1j}), theta, key, 10)
    with pytest.raises(UnsupportedError):
        gradient(Program("None", (), 1, (Gate("h", (Const(0),)),), register=(0,)), Z, jnp.zeros(0), key, 10)
