"""Families of thermal states over conditions: weights between the anchors, fits that tell about other conditions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml._core.errors import ConfigError, DataError, ShapeError
from qml.gibbs import ConditionalGibbs, PauliGibbs, fit_conditional, mean_state, relative_entropy

WORDS = ("ZZ", "XI", "IX")


@pytest.mark.slow
def test_the_state_is_the_mean_of_its_anchors():
    family = ConditionalGibbs(WORDS, 3, features=2, anchors=4, key=jax.random.key(0))
    weights = np.asarray(family.weights([0.3, -0.7]))
    assert np.all(weights > 0) and abs(weights.sum() - 1) < 1e-14
    parts = [family.base.with_theta(row) for row in family.anchors]
    np.testing.assert_allclose(family.at([0.3, -0.7]).theta, mean_state(parts, weights).theta, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("mean", [True, False])
def test_a_fit_at_some_temperatures_and_fields_tells_about_others(mean):
    def couplings(c):
        return -c[0] * np.array([1.0, c[1], c[1]])

    grid = np.array([(b, h) for b in (0.3, 0.7, 1.1) for h in (0.4, 0.8, 1.2)])
    like = PauliGibbs(WORDS)
    marginals = np.array([like.with_theta(couplings(c)).marginals() for c in grid])
    start = ConditionalGibbs(WORDS, 6, features=2, anchors=3, key=jax.random.key(1), mean=mean)
    fit = fit_conditional(start, grid, marginals, steps=150)
    assert np.all(np.diff(fit.losses) <= 1e-14) and float(fit.gap) < 0.01
    entropies = np.mean([like.with_theta(couplings(c)).entropy() for c in grid])
    assert float(fit.losses[-1]) - entropies < 1e-5
    for c in ((0.5, 0.6), (0.9, 1.0)):  # not among those learned
        away = float(relative_entropy(like.with_theta(couplings(np.array(c))), fit.model.at(c)))
        far = float(relative_entropy(like.with_theta(couplings(np.array(c))), start.at(c)))
        assert away < 1e-3 < 30 * away < far


def test_bad_input():
    key = [jax.random.key(k) for k in range(3)]
    with pytest.raises(ConfigError, match="no such family"):
        ConditionalGibbs(WORDS, 0, features=1, anchors=2, key=key[0])
    with pytest.raises(ShapeError, match="do not fit the strings"):
        ConditionalGibbs(WORDS, lambda c: c, features=1, anchors=jnp.ones((2, 3)), key=key[1])
    family = ConditionalGibbs(WORDS, lambda c: c, features=2, anchors=jnp.ones((2, 3)), key=key[2])
    for conditions, marginals in (([[0.1]], [[0.0] * 3]), ([[0.1, np.nan]], [[0.0] * 3]), ([[0.1, 0.2]], [[0.0]])):
        with pytest.raises(DataError, match="do not fit the family"):
            fit_conditional(family, conditions, marginals)
