"""Numbers of thermal states beyond dense matrices: against dense ones, and against free fermions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml._core.errors import ConfigError, ShapeError
from qml.gibbs import PauliGibbs, ising_chain, thermal_numbers
from tests.qml.gibbs.systems import word


def chain(sites):
    return [word(sites, {i: "Z", i + 1: "Z"}) for i in range(sites - 1)] + [word(sites, {i: "X"}) for i in range(sites)]


@pytest.mark.slow
def test_random_vectors_against_dense_states():
    words = [*chain(6), "YIIIIX"]
    theta = np.linspace(-0.6, 0.5, 12)
    exact, dense = PauliGibbs(words, jnp.asarray(theta)), thermal_numbers(words, theta)
    found = thermal_numbers(words, theta, key=jax.random.key(0), method="lanczos", vectors=64)
    assert dense.engine == "dense" and found.engine == "lanczos"
    np.testing.assert_allclose(dense.marginals.mean, exact.marginals(), atol=1e-12)
    for a, b in ((found.log_partition, exact.log_partition()), (found.entropy, exact.entropy())):
        assert abs(float(a.mean) - float(b)) < 4.5 * float(a.error) < 0.5
    assert np.all(np.abs(found.marginals.mean - exact.marginals()) < 4.5 * np.asarray(found.marginals.error))


@pytest.mark.slow
def test_fourteen_sites_against_free_fermions():
    theta = -0.7 * np.ones(27)
    found = thermal_numbers(chain(14), theta, key=jax.random.key(1))
    exact = ising_chain(-0.7 * jnp.ones(13), -0.7 * jnp.ones(14))
    assert found.engine == "lanczos" and float(found.log_partition.error) < 0.1
    assert abs(float(found.log_partition.mean) - float(exact.log_partition)) < 4.5 * float(found.log_partition.error)
    pulls = (found.marginals.mean - np.concatenate([exact.zz, exact.x])) / np.asarray(found.marginals.error)
    assert np.all(np.abs(pulls) < 4.5)


def test_bad_input():
    with pytest.raises(ConfigError, match="lacks a key"):
        thermal_numbers(chain(13), np.zeros(25))
    with pytest.raises(ConfigError, match="engine is unknown"):
        thermal_numbers(["Z"], [0.1], method="mps")
    for theta in ([0.1, 0.2], [np.nan]):
        with pytest.raises(ShapeError, match="one finite coupling"):
            thermal_numbers(["Z"], theta)
