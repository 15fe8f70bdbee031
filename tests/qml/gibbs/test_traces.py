"""Hamiltonians from time traces: against exact evolution, to rounding, and with calibrated errors."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from qml._core.errors import ConfigError, DataError
from qml.gibbs import PauliGibbs, Traces, fit_traces
from qml.gibbs.traces import expectations
from tests.qml.gibbs.systems import dense, word

TERMS = [word(4, {i: "Z", i + 1: "Z"}) for i in range(3)] + [word(4, {i: "X"}) for i in range(4)]
SEEN = [word(4, {i: a}) for a in "ZX" for i in range(4)]
TIMES = np.linspace(0.02, 3.0, 150)


def problem(seed=0):
    rng = np.random.default_rng(seed)
    true = rng.uniform(0.7, 1.3, 7)
    empty = Traces(np.eye(16)[0], TIMES, SEEN, np.zeros((150, 8)))
    values = jax.jit(lambda c: expectations(PauliGibbs(TERMS).strings, c, empty, 1))(jnp.asarray(true))
    return true, true * (1 + rng.uniform(-0.3, 0.3, 7)), np.asarray(values[0])


def test_one_spin_and_starts():
    """Two starts of one spin in a field along X: cos(2 h t), and a constant."""
    t = np.linspace(0.0, 2.0, 9)
    values = np.stack([np.cos(1.4 * t)[:, None], np.zeros((9, 1))])
    data = Traces([[1, 0], [2**-0.5, 2**-0.5]], t, ["Z"], values, 0.01)
    found = fit_traces(["X"], [0.5], data)
    assert found.converged and found.freedom == 17 and found.chi_square < 1e-20
    np.testing.assert_allclose(found.hamiltonian.values, [0.7], atol=1e-12)
    slope = -2 * t * np.sin(1.4 * t)
    np.testing.assert_allclose(found.hamiltonian.covariance, [[1e-4 / np.sum(slope**2)]], rtol=1e-9)


@pytest.mark.slow
def test_four_sites_to_rounding():
    """Seven couplings from 1200 values, started 30 % off: at most ten steps, 1e-10; forward mode 20 times faster."""
    true, start, values = problem()
    h = sum(c * dense(w) for c, w in zip(true, TERMS))
    psi = scipy.linalg.expm(-1j * h * TIMES[-1])[:, 0]
    np.testing.assert_allclose([(psi.conj() @ dense(w) @ psi).real for w in SEEN], values[-1], atol=1e-13)
    data = Traces(np.eye(16)[0], TIMES, SEEN, values)
    found = fit_traces(TERMS, start, data)
    assert found.converged and found.steps <= 10
    assert np.abs(np.asarray(found.hamiltonian.values) - true).max() < 1e-10
    strings = PauliGibbs(TERMS).strings
    seconds = []
    for derivative in (jax.jacfwd, jax.jacrev):
        function = jax.jit(derivative(lambda c: expectations(strings, c, data, 1).reshape(-1)))
        function(jnp.asarray(start)).block_until_ready()
        begin = time.process_time()
        function(jnp.asarray(start)).block_until_ready()
        seconds.append(time.process_time() - begin)
    assert seconds[1] > 20 * seconds[0], seconds


@pytest.mark.slow
def test_noisy_traces():
    """Errors are right whether the noise is known or estimated; chi-square has its law."""
    true, start, values = problem(1)
    rng, pulls, chi = np.random.default_rng(2), [], []
    for k in range(24):
        noisy = values + 0.02 * rng.normal(size=values.shape)
        data = Traces(np.eye(16)[0], TIMES, SEEN, noisy, None if k % 2 else 0.02)
        found = fit_traces(TERMS, start, data)
        off = np.asarray(found.hamiltonian.values) - true
        pulls.append(off @ np.linalg.solve(found.hamiltonian.covariance, off))
        chi.append(found.chi_square / (0.02**2 if k % 2 else 1.0))
    assert abs(np.mean(pulls) - 7) < 4.5 * np.sqrt(14 / 24)
    assert abs(np.mean(chi) - 1193) < 4.5 * np.sqrt(2 * 1193 / 24)


def test_bad_input():
    good = {"state": [1.0, 0.0], "times": [0.1, 0.2], "observables": ["Z"], "values": [[0.1], [0.2]]}
    for change in (
        {"state": [1.0, 1.0]}, {"state": [1.0, 0.0, 0.0]}, {"times": [0.2, 0.1]}, {"times": [-0.1, 0.2]},
        {"observables": ["ZZ"]}, {"observables": []}, {"values": [[0.1], [np.nan]]}, {"values": [[0.1]]},
        {"errors": 0.0}, {"errors": [0.1, 0.1]}, {"errors": np.nan},
    ):  # fmt: skip
        with pytest.raises(DataError, match="Time traces"):
            Traces(**(good | change))
    data = Traces(**good)
    for start in ([0.1, 0.2], [np.nan]):
        with pytest.raises(DataError, match="do not fit each other"):
            fit_traces(["X"], start, data)
    with pytest.raises(ConfigError, match="Steps are counted"):
        fit_traces(["X"], [0.1], data, steps=0)
