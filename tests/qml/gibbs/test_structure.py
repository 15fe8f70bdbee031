"""Which couplings are there, how good a fit is, and what a measurement can tell: against known truth and laws."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml._core.errors import ConfigError, DataError
from qml.gibbs import PauliGibbs, ShotData, candidate_terms, goodness_of_fit, identifiability, select
from qml.gibbs.family import measured
from qml.gibbs.shots import basis_codes
from qml.hilbert import Spin

TRUE = {"X0 Y4": 0.5783, "Z3 Z4": 0.4289, "Y0 Y2": -0.3635, "X0 X4": -0.4935, "Y0 X1": 0.4029, "X3 Z5": 0.7312}
TRUE |= {"Y4": -0.3672, "X2 Z5": -0.4008, "Z4 X5": -0.694, "Z1 X5": -0.3976, "Z0 Y2": 0.3974, "Z3": 0.289}


def word(name, sites):
    letters = {int(part[1:]): part[0] for part in name.split()}
    return "".join(letters.get(i, "I") for i in range(sites))


def random_bases(truth: PauliGibbs, count: int, seed: int) -> ShotData:
    """Every shot in a uniformly random local basis."""
    rng, sites = np.random.default_rng(seed), truth.hilbert.n_sites
    bases = ["".join(b) for b in itertools.product("XYZ", repeat=sites)]
    law = np.clip(np.asarray(measured(truth, jnp.asarray(basis_codes(bases)))), 0, None)
    table = rng.multinomial(count, (law / law.sum()).ravel()).reshape(law.shape)
    rows = np.argwhere(table)
    bits = rows[:, 1][:, None] >> np.arange(sites - 1, -1, -1)[None, :] & 1
    return ShotData(bases, bits, table[table > 0], rows[:, 0])


@pytest.mark.slow
def test_the_true_terms_are_found():
    truth = PauliGibbs(("XXI", "IZZ", "YII"), jnp.array([0.6, -0.5, 0.4]))
    candidates = PauliGibbs(candidate_terms(Spin(3)))
    found = select(candidates, random_bases(truth, 6000, 0))
    assert set(found.model.terms) == set(truth.terms)
    assert int(found.kept.sum()) == 3 and found.full.terms == candidates.terms
    for k, name in enumerate(found.model.terms):
        exact = float(truth.theta[truth.terms.index(name)])
        error = float(jnp.sqrt(found.model.covariance[k, k]))
        assert abs(float(found.model.theta[k]) - exact) < 4.5 * error < 0.3
    # errors of the refit are not larger than those of all candidates together
    kept = np.flatnonzero(found.kept)
    full = np.diagonal(found.full.covariance)[kept]
    assert np.all(np.diagonal(found.model.covariance) <= full * 1.05)


@pytest.mark.slow
def test_published_structure_problem():
    """Twelve of 153 terms from 10 000 shots: F1 of at least 0.98."""
    strings = {word(name, 6): value for name, value in TRUE.items()}
    truth = PauliGibbs(strings, jnp.array(list(strings.values())))
    candidates = PauliGibbs(candidate_terms(Spin(6)))
    scores = []
    for seed in range(5):
        found = set(select(candidates, random_bases(truth, 10_000, seed)).model.terms)
        scores.append(2 * len(found & set(strings)) / (len(found) + len(strings)))
    assert np.mean(scores) >= 0.98, scores


@pytest.mark.slow
def test_goodness_of_fit_has_the_law_it_says():
    """Of the true state z has mean zero and variance one, also with few shots; of a wrong one it is large."""
    truth = PauliGibbs(("ZZ", "XI", "IY"), jnp.array([-0.8, 0.5, 0.3]))
    bases = ("ZZ", "XX", "ZY", "XY")
    z = np.array([goodness_of_fit(truth, truth.sample(jax.random.key(k), bases, 12)).z for k in range(60)])
    assert z.shape == (60, 4)
    assert abs(z.mean()) < 4.5 / np.sqrt(z.size) and abs(z.std() - 1) < 0.35
    shots = truth.sample(jax.random.key(0), bases, 5000)
    good, bad = (goodness_of_fit(model, shots) for model in (truth, truth.with_theta(jnp.array([-0.8, 0.5, 0.0]))))
    assert abs(float(good.total)) < 4.5 and float(bad.total) > 20
    seen = dict(zip(shots.letters, np.asarray(bad.z)))
    assert abs(seen["XX"]) < 4.5 < min(seen["ZY"], seen["XY"])  # the missing field shows where it is measured
    assert np.all(np.abs(np.asarray(good.deviance - good.pearson)) < 1) and float(good.freedom) == 3


@pytest.mark.slow
def test_identifiability():
    """The information of one shot is that of all over their number; blind couplings are named."""
    truth = PauliGibbs(("ZI", "IX", "ZX", "YY"), jnp.array([0.3, -0.2, 0.1, 0.4]))
    shots = ShotData.from_counts({"ZX": {"00": 30, "11": 10}, "ZZ": {"01": 60}})
    found = identifiability(truth.with_theta(jnp.zeros(4)), shots)
    # at infinite temperature every measured string has information one for each shot that measures it
    np.testing.assert_allclose(found.errors[:3], np.sqrt([1, 100 / 40, 100 / 40]), rtol=1e-12)
    assert found.blind.tolist() == [False, False, False, True]
    np.testing.assert_allclose(found.levels, [0, 0.4, 0.4, 1], atol=1e-12)
    np.testing.assert_allclose(np.abs(found.directions[:, 0]), [0, 0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(found.shots_for(0.05)[:3], [400, 1000, 1000])


def test_bad_input():
    model = PauliGibbs(("ZZ", "XI"))
    shots = ShotData.from_counts({"ZZ": {"00": 7, "01": 9, "10": 5, "11": 5}, "XX": {"00": 2, "01": 3, "10": 3}})
    with pytest.raises(DataError, match="do not prove any"):
        select(model, shots)
    with pytest.raises(ConfigError, match="fraction"):
        select(model, shots, discoveries=1.0)
    with pytest.raises(DataError, match="do not tell some candidates"):
        select(PauliGibbs(("ZZ", "YY")), shots)
    for function in (goodness_of_fit, identifiability, select):
        with pytest.raises(DataError, match="different numbers"):
            function(PauliGibbs(("ZZZ",)), shots)
    with pytest.raises(ConfigError, match="positive"):
        identifiability(model, shots).shots_for(0.0)
    with pytest.raises(ConfigError, match="so many sites"):
        candidate_terms(Spin(2), 3)
