"""Couplings learned with random vectors in place of matrices: against fits with matrices, and free fermions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import drivers
from drivers import Status
from qml._core.errors import ConfigError, DataError
from qml.gibbs import (
    DataObjective,
    MarginalObjective,
    PauliGibbs,
    ShotData,
    StreamObjective,
    VectorGibbs,
    ising_chain,
    vector_fit,
)  # fmt: skip
from qml.hilbert import Spin
from qml.lattice import Chain
from tests.qml.gibbs.systems import word

LOCAL = PauliGibbs.local(Spin(4), Chain(4, periodic=False))


@pytest.mark.slow
def test_with_a_whole_basis_it_is_the_fit_with_matrices(tmp_path):
    """Vectors that make traces exact: couplings and data errors of maximum entropy; tables, also after a resume."""
    truth = LOCAL.with_theta(0.4 * jax.random.normal(jax.random.key(0), LOCAL.theta.shape))
    objective = DataObjective(truth.sample(jax.random.key(1), shots=3000), "moments")
    want = drivers.QPMD(objective, step_size=1.0).run(LOCAL, steps=60).state
    start = VectorGibbs(LOCAL.terms, np.zeros(len(LOCAL.terms)), starts=4 * jnp.eye(16))
    driver = drivers.QPMD(objective, step_size=1.0)
    found = driver.run(start, steps=300, out=tmp_path / "run")
    assert found.status is Status.CONVERGED and found.steps < 150
    np.testing.assert_allclose(found.state.theta, want.theta, atol=1e-8)
    np.testing.assert_allclose(found.history["loss"][-1], want.log_partition() + want.theta @ want.marginals())
    data = vector_fit.begin(objective, found.state)
    quiet = eqx.tree_at(lambda d: d.means, data, data.weights[:, None] * jnp.mean(data.means, axis=0)[None, :])
    np.testing.assert_allclose(vector_fit.finish(found.state, quiet).covariance, want.covariance, rtol=1e-6, atol=1e-9)
    rows = (tmp_path / "run" / "couplings.csv").read_text().splitlines()
    assert rows[1].split(",")[0] == LOCAL.terms[0] and float(rows[1].split(",")[1]) == float(found.state.theta[0])
    assert str(found.state.hamiltonian(beta=2.0)).count("(") == len(LOCAL.terms)


@pytest.mark.slow
def test_error_bars_hold_the_vectors():
    """Exact averages of seven sites, 30 sets of 12 vectors: all errors are those of the vectors."""
    words = [word(7, {i: "Z", i + 1: "Z"}) for i in range(6)] + [word(7, {i: "X"}) for i in range(7)]
    truth = PauliGibbs(words, jnp.linspace(-0.5, 0.4, 13))
    driver, pulls = drivers.QPMD(MarginalObjective(truth.marginals()), step_size=1.0, tolerance=1e-8), []
    for key in jax.random.split(jax.random.key(3), 30):
        found = driver.run(VectorGibbs(words, np.zeros(13), key=key, vectors=12), steps=100).state
        pulls.append((found.theta - truth.theta) / np.sqrt(np.diagonal(found.covariance)))
    pulls = np.array(pulls)
    assert abs(np.sqrt(np.mean(pulls**2)) - 1) < 0.25 and np.abs(pulls).max() < 6, np.sqrt(np.mean(pulls**2))


@pytest.mark.slow
def test_fourteen_sites():
    """Noisy averages of a chain that has no matrix here: all couplings within their errors, which are small."""
    n, random = 14, np.random.default_rng(0)
    words = [word(n, {i: "Z", i + 1: "Z"}) for i in range(n - 1)] + [word(n, {i: "X"}) for i in range(n)]
    theta = np.concatenate([-0.5 - 0.1 * random.random(n - 1), -0.4 - 0.1 * random.random(n)])
    exact = ising_chain(jnp.asarray(theta[: n - 1]), jnp.asarray(theta[n - 1 :]))
    averages = np.concatenate([exact.zz, exact.x])
    errors = np.sqrt((1 - averages**2) / 20_000)
    objective = MarginalObjective(averages + errors * random.normal(size=len(words)), np.diag(errors**2))
    start = VectorGibbs(words, np.zeros(len(words)), key=jax.random.key(1), vectors=16)
    found = drivers.QPMD(objective, step_size=1.0, tolerance=1e-6).run(start, steps=60)
    spread = np.sqrt(np.diagonal(found.state.covariance))
    pulls = (found.state.theta - theta) / spread
    assert found.status is Status.CONVERGED and np.all(np.abs(pulls) < 4.5) and np.all(spread < 0.03)
    assert 0.3 < np.mean(pulls**2) < 2.2


def test_bad_input():
    start = VectorGibbs(("ZZ", "XI"), np.zeros(2), starts=2 * jnp.eye(4))
    shots = ShotData.from_counts({"ZZ": {"00": 7, "11": 5}, "XX": {"01": 3}})
    for objective in (DataObjective(shots, "likelihood"), StreamObjective([shots])):
        with pytest.raises(ConfigError, match="averages of their strings"):
            drivers.QPMD(objective).run(start, steps=1)
    with pytest.raises(ConfigError, match="VectorGibbs without an optimizer"):
        drivers.QPMD(MarginalObjective([0.1, 0.2]), optimizer=drivers.qpmd.levenberg_marquardt()).run(start, steps=1)
    with pytest.raises(DataError, match="one marginal for each"):
        drivers.QPMD(MarginalObjective([0.1])).run(start, steps=1)
