"""Nearest feasible marginals: closed forms, optimality, certificates; and free fermions against dense states."""

import jax.numpy as jnp
import numpy as np
import pytest

from qml._core.errors import ConfigError, DataError, ShapeError
from qml.gibbs import PauliGibbs, ising_chain, nearest_feasible
from tests.qml.gibbs.systems import REFERENCE

QUBIT = PauliGibbs(("X", "Z"))


def test_the_bloch_disc():
    """Outside: the radial projection; inside and on the edge: the point itself."""
    found = nearest_feasible(QUBIT, [0.9, 0.9])
    np.testing.assert_allclose(found.marginals, np.full(2, np.sqrt(0.5)), atol=1e-6)
    np.testing.assert_allclose([found.distance, found.bound], 0.9 * np.sqrt(2) - 1, atol=1e-6)
    assert not found.feasible and found.converged
    for point in ([0.3, -0.4], [0.6, 0.8], [0.0, 0.0]):
        found = nearest_feasible(QUBIT, point)
        np.testing.assert_allclose(found.marginals, point, atol=2e-6)
        assert found.feasible and found.converged


def test_distance_in_units_of_the_errors():
    """The projection onto the disc in another metric: the gap is the covariance times the outward normal."""
    spread = np.array([[1.0, 0.3], [0.3, 0.2]])
    found = nearest_feasible(QUBIT, [0.9, 0.9], covariance=spread)
    eta = np.asarray(found.marginals)
    assert abs(np.linalg.norm(eta) - 1) < 1e-5
    normal = np.linalg.solve(spread, np.array([0.9, 0.9]) - eta)
    assert abs(normal @ np.array([-eta[1], eta[0]])) < 1e-4 * np.linalg.norm(normal) and normal @ eta > 0


def test_no_state_is_nearer():
    """Of many states of three spins none is nearer than the bound, and the reported one is a state."""
    model = PauliGibbs(("XII", "ZZI", "IZZ", "IXI", "YYI", "IIX"))
    target = np.array([0.9, 0.8, -0.9, 0.7, 0.5, -0.3])
    found = nearest_feasible(model, target)
    assert not found.feasible and found.converged and 0 < float(found.bound) <= float(found.distance)
    np.testing.assert_allclose(model.with_theta(found.theta).marginals(), found.marginals, atol=1e-10)
    rng = np.random.default_rng(0)
    direction = np.asarray(found.theta) / np.linalg.norm(found.theta)
    for _ in range(20):
        theta = 30 * direction + rng.normal(size=6)
        other = np.asarray(model.with_theta(jnp.asarray(theta)).marginals())
        assert np.linalg.norm(other - target) > float(found.bound)


def test_ising_chain_against_dense_states():
    """All numbers of the reference table of open chains, and averages of an inhomogeneous chain."""
    rows = {k: v for k, v in REFERENCE["P1"].items() if "obc" in k}
    assert len(rows) == 36
    for name, row in rows.items():
        n, h, beta = (float(p.split("=")[1]) for p in name.split() if "=" in p)
        found = ising_chain(-np.ones(int(n) - 1), np.full(int(n), -h), beta)
        got = [found.log_partition, found.energy, found.entropy, found.heat_capacity]
        np.testing.assert_allclose(
            got, [row[k] for k in ("log_partition", "energy", "entropy", "heat_capacity")], rtol=1e-10, atol=1e-10
        )
    rng = np.random.default_rng(1)
    j, h = rng.normal(size=3), rng.normal(size=4)
    terms = ("ZZII", "IZZI", "IIZZ", "XIII", "IXII", "IIXI", "IIIX")
    model = PauliGibbs(terms, jnp.concatenate([0.8 * j, 0.8 * h]))
    found = ising_chain(j, h, 0.8)
    np.testing.assert_allclose(jnp.concatenate([found.zz, found.x]), model.marginals(), atol=1e-12)


def test_large_ising_chains():
    """A chain of 100 sites against values of another program."""
    critical = ising_chain(-np.ones(99), -np.ones(100))
    np.testing.assert_allclose(critical.log_partition, 141.219292841, rtol=1e-11)
    np.testing.assert_allclose([critical.zz.mean(), critical.x.mean()], [0.558510996, 0.560965385], atol=1e-9)


@pytest.mark.slow
def test_a_thousand_sites():
    np.testing.assert_allclose(ising_chain(-np.ones(999), -np.ones(1000), 2.0).log_partition, 2612.67026439, rtol=1e-11)


def test_bad_input():
    for marginals, spread in (([0.1], None), ([0.1, np.nan], None), ([0.1, 0.2], np.diag([1.0, 0.0]))):
        with pytest.raises(DataError, match="one finite marginal"):
            nearest_feasible(QUBIT, marginals, covariance=spread)
    with pytest.raises(ConfigError, match="positive"):
        nearest_feasible(QUBIT, [0.1, 0.2], tolerance=0.0)
    with pytest.raises(ShapeError, match="one coupling fewer"):
        ising_chain(np.ones(3), np.ones(3))
    with pytest.raises(ConfigError, match="inverse temperature"):
        ising_chain(np.ones(2), np.ones(3), -1.0)
