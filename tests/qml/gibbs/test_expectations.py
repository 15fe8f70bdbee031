"""Measured expectation values: closed forms, laws of the errors, and which bases to measure next."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import drivers
from drivers import Status
from qml._core.errors import ConfigError, DataError
from qml.gibbs import (
    ExpectationObjective,
    PauliGibbs,
    ShotData,
    TiedGibbs,
    candidate_terms,
    identifiability,
    next_bases,
)
from qml.gibbs.shots import brick_bases
from qml.hilbert import Spin
from tests.qml.gibbs.systems import random_model


@pytest.mark.slow
def test_one_spin():
    """theta = -artanh(m) with the error that the slope gives; a second, correlated value pulls it."""
    data = ExpectationObjective({"Z": 0.3}, [0.01])
    found = drivers.QPMD(data, step_size=1.0).run(PauliGibbs(("Z",)), steps=20)
    assert found.status is Status.CONVERGED
    np.testing.assert_allclose(found.state.theta, [-np.arctanh(0.3)], atol=1e-12)
    np.testing.assert_allclose(found.state.covariance, [[(0.01 / 0.91) ** 2]], rtol=1e-9)


@pytest.mark.slow
def test_more_values_than_couplings():
    """Chi-square has its law and the couplings their covariance; tied and latent starts agree on the minimum."""
    truth = random_model(5, 2, 0.6)
    model = PauliGibbs(truth.terms[:9], truth.theta[:9])
    words = candidate_terms(Spin(2))
    exact = np.asarray(jax.jit(lambda m: jnp.stack([m.expect(_one(w)).mean for w in words]))(model))
    root = np.random.default_rng(0).normal(size=(15, 15)) * 0.002 + 0.01 * np.eye(15)
    rng, pulls, chi = np.random.default_rng(1), [], []
    for _ in range(60):
        data = ExpectationObjective(dict(zip(words, exact + root @ rng.normal(size=15))), root @ root.T)
        result = drivers.QPMD(data, step_size=1.0).run(model.with_theta(jnp.zeros(9)), steps=30)
        off = np.asarray(result.state.theta - model.theta)
        pulls.append(off @ np.linalg.solve(result.state.covariance, off))
        chi.append(result.history["chi_square"][-1])
    assert abs(np.mean(chi) - 6) < 4.5 * np.sqrt(12 / 60) and abs(np.mean(pulls) - 9) < 4.5 * np.sqrt(18 / 60) + 0.3


def _one(word):
    from qml.operator import PauliSum

    return PauliSum({word: 1.0})


@pytest.mark.slow
def test_averages_of_shots():
    """All two-site strings of some shots, weighted by their covariance, beat the model's strings alone."""
    truth = TiedGibbs([["ZZI", "IZZ"], ["XII", "IXI", "IIX"]], jnp.array([-0.9, 0.6]))
    shots = truth.sample(jax.random.key(0), shots=4_000)
    words = [w for w in candidate_terms(Spin(3)) if w[0] == "I" or w[2] == "I"]
    many = ExpectationObjective.from_shots(shots, words)
    few = ExpectationObjective.from_shots(shots, truth.free().terms)
    fits = [
        drivers.QPMD(data, step_size=1.0).run(truth.with_params(jnp.zeros(2)), steps=30).state for data in (many, few)
    ]
    errors = [np.sqrt(np.diagonal(fit.covariance)) for fit in fits]
    bound = identifiability(truth, shots).errors / np.sqrt(shots.shots)
    assert np.all(errors[0] < errors[1]) and np.all(errors[0] > bound)
    assert np.all(np.abs(fits[0].couplings - truth.couplings) < 4.5 * errors[0])


@pytest.mark.slow
def test_shares_of_bases():
    """Two fields that need a basis each: shots in proportion to the error; the plan is exact to whole shots."""
    model = PauliGibbs(("X", "Z"), jnp.array([0.0, 0.0]))
    plan = next_bases(model, 1000, bases=["X", "Y", "Z"])
    np.testing.assert_allclose(plan.weights, [0.5, 0.0, 0.5], atol=1e-6)
    np.testing.assert_allclose(plan.errors, [500**-0.5] * 2, rtol=1e-6)
    np.testing.assert_allclose(plan.even, [(3 / 1000) ** 0.5] * 2, rtol=1e-9)
    assert plan.shots(7) in ({"X": 4, "Z": 3}, {"X": 3, "Z": 4})
    # what is known already is not measured again
    known = ShotData.from_counts({"X": {"0": 5000, "1": 5000}})
    assert next_bases(model, 1000, bases=["X", "Z"], known=known).shots(1000) == {"Z": 1000}


@pytest.mark.slow
def test_plans_are_optimal():
    """No basis would lower the trace further (the equivalence theorem), and the plan beats equal shares."""
    truth = random_model(2, 3, 0.8)
    plan = next_bases(truth, 9000)
    assert np.mean(plan.errors**2) < np.mean(plan.even**2)
    shots = ShotData(plan.bases, np.zeros((9, 3), int), np.round(np.asarray(plan.weights) * 1e9), np.arange(9))
    again = identifiability(truth, shots).errors / np.sqrt(9000)
    np.testing.assert_allclose(again, plan.errors, rtol=1e-6)
    for k, basis in enumerate(brick_bases(3)):
        moved = np.asarray(plan.weights) * 0.999 + 0.001 * (np.arange(9) == k)
        trial = ShotData(plan.bases, np.zeros((9, 3), int), np.round(moved * 1e9), np.arange(9))
        worse = np.mean((identifiability(truth, trial).errors / np.sqrt(9000)) ** 2)
        assert worse > np.mean(plan.errors**2) * (1 - 1e-6), basis


def test_bad_input():
    good = {"ZZ": 0.3, "XI": 0.1}
    for values in ({}, {"ZZ": 0.3, "Q": 0.1}, {"ZZ": 0.3, "X": 0.1}, {"II": 1.0}):
        with pytest.raises(DataError, match="distinct Pauli strings"):
            ExpectationObjective(values, [0.01] * max(len(values), 1))
    for bad in ([0.01], [0.01, 0.0], [0.01, np.nan], np.eye(3), -np.eye(2), np.ones((2, 2))):
        with pytest.raises(DataError, match="positive definite"):
            ExpectationObjective(good, bad)
    with pytest.raises(DataError, match="positive definite"):
        ExpectationObjective({"ZZ": np.nan}, [0.01])
    with pytest.raises(DataError, match="different numbers of sites"):
        ExpectationObjective(good, [0.01, 0.01]).prepare(PauliGibbs(("Z",)))
    model = PauliGibbs(("ZZ", "XI"))
    for shots in (0, -1, 2.5, True):
        with pytest.raises((ConfigError, TypeError), match=r"counted|type"):
            next_bases(model, shots)
    with pytest.raises(DataError, match="stay blind"):
        next_bases(model, 100, bases=["ZZ"])
    with pytest.raises(DataError, match="number of sites"):
        next_bases(model, 100, bases=["ZZZ"])
