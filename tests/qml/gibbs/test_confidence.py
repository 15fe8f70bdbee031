"""Errors of what fitted models say: those of couplings from the Fisher information, of latent models by repetition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import drivers
from qml.gibbs import KOBE, Circuit, DataObjective, LatentGibbs, PauliGibbs, brick_bases, confidence
from qml.operator import PauliSum


@pytest.mark.slow
def test_couplings_and_expectations_have_the_errors_of_the_fit():
    """One site: the information of couplings is known, and what is not measured has no error that is finite."""
    model = PauliGibbs(("Z", "X"), jnp.array([0.5, 0.0]))
    shots = model.sample(jax.random.key(0), ["Z"], 400)
    found = confidence(model, shots)
    slope = 1 - np.tanh(0.5) ** 2
    np.testing.assert_allclose(found.information, np.diag([400 * slope, 0.0]), atol=1e-9)
    learned = found.hamiltonian(["Z", "X", "Y"])
    np.testing.assert_allclose(learned.values, [0.5, 0, 0], atol=1e-12)
    np.testing.assert_allclose(learned.coefficients.error, [1 / np.sqrt(400 * slope), np.inf, 0.0], atol=1e-9)
    mean = found.expect(PauliSum({"Z": 1.0}))
    np.testing.assert_allclose([mean.mean, mean.error], [-np.tanh(0.5), np.sqrt(slope / 400)], atol=1e-12)


@pytest.mark.slow
def test_intervals_of_a_latent_model_cover():
    """Two sites with every parity and circuits that reach the truth: 95 % intervals of couplings and of an average."""
    family = LatentGibbs(KOBE(2, 2), Circuit.layered(2, 2))
    truth = family.random(jax.random.key(4), 0.5)
    words, operator = ["ZZ", "XX", "ZI", "IX"], PauliSum({"ZZ": 1.0, "XI": 0.5})
    exact = confidence(truth, truth.sample(jax.random.key(0), brick_bases(2), 100)).hamiltonian(words).values
    mean, inside, spread = float(truth.expect(operator).mean), [], []
    for seed in range(60):
        shots = truth.sample(jax.random.key(seed), brick_bases(2), 3000)
        fit = drivers.QPMD(DataObjective(shots)).run(truth, steps=15, progress=False).state
        found = confidence(fit, shots)
        learned, average = found.hamiltonian(words), found.expect(operator)
        inside.append(np.abs(learned.values - exact) < 1.96 * np.asarray(learned.coefficients.error))
        inside[-1] = np.append(inside[-1], abs(float(average.mean) - mean) < 1.96 * float(average.error))
        spread.append(
            np.append((learned.values - exact) / learned.coefficients.error, (average.mean - mean) / average.error)
        )
    share = np.mean(inside)
    assert abs(share - 0.95) < 4.5 * np.sqrt(0.95 * 0.05 / 120)
    assert np.all(np.abs(np.std(spread, axis=0) - 1) < 4.5 / np.sqrt(120))
