"""The mirror map, its inverse and its divergences: exact marginals, infeasible marginals, safe steps."""

import hypothesis
import hypothesis.strategies as strategies
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from qml._core.errors import ConfigError, ShapeError, SpaceError
from qml.gibbs import PauliGibbs, inverse_mirror, relative_entropy
from qml.gibbs.metric import inverse, natural
from qml.gibbs.mirror import safe_step
from tests.qml.gibbs.systems import REFERENCE, local_model, random_model


@pytest.mark.parametrize(
    ("name", "steps"), [pytest.param("n=6 scale=1.0", 10, marks=pytest.mark.slow), ("n=4 scale=2.0", 14)]
)
def test_couplings_from_exact_marginals(name, steps):
    row = REFERENCE["P5"][name]
    model = local_model(int(name[2]))
    exact = model.with_theta(jnp.array(row["theta"])).marginals()
    found = inverse_mirror(model, exact, max_steps=steps)
    assert found.converged and found.feasible and found.steps <= steps
    np.testing.assert_allclose(found.theta, row["theta"], atol=1e-8)


@hypothesis.given(seed=strategies.integers(0, 10**6), scale=strategies.sampled_from([0.01, 1.0, 2.0]))
@hypothesis.settings(max_examples=15, deadline=None, derandomize=True)
def test_the_inverse_undoes_the_mirror_map(seed, scale):
    model = random_model(seed, 2, scale)
    found = inverse_mirror(model.with_theta(jnp.zeros(15)), model.marginals())
    assert found.converged
    np.testing.assert_allclose(found.theta, model.theta, atol=1e-8)


def test_every_newton_step_lowers_the_divergence():
    model = random_model(3, 3, 2.0)
    target, start = model.marginals(), model.with_theta(-model.theta)
    losses = []
    for steps in range(1, 19):
        theta = inverse_mirror(start, target, max_steps=steps).theta
        losses.append(float(relative_entropy(model, start.with_theta(theta))))
    drops = np.diff(losses)
    assert np.all(drops < 1e-13) and losses[-1] < 1e-12 < losses[0]


def test_safe_steps_never_pass_the_minimum_bound():
    """On random lines the safe step lowers the divergence, also where the full Newton step may not."""

    @jax.jit
    def drop(model, target, direction):
        means, metric = model.marginals(), model.metric()
        slope = (means - target.marginals()) @ direction
        direction = direction * jnp.sign(slope)
        lowest = -PauliGibbs.log_partition(model.with_theta(1e3 * direction)) / 1e3
        length = safe_step(jnp.abs(slope), direction @ metric @ direction, means @ direction - lowest)
        after = relative_entropy(target, model.with_theta(model.theta + length * direction))
        return relative_entropy(target, model) - after, length

    for seed in range(12):
        model, target = random_model(seed, 2, 2.0), random_model(100 + seed, 2, 2.0)
        gain, length = drop(model, target, jax.random.normal(jax.random.key(seed), (15,)))
        assert gain > 0 and length > 0


def test_infeasible_marginals_are_proved_infeasible():
    model = PauliGibbs(("XI", "YI", "ZI", "XX", "ZZ"))
    # a Bloch vector outside the sphere, then one outside because X0 and Z0 Z1 exclude each other
    for outside in ([0.8, 0.0, 0.8, 0.0, 0.0], [0.9, 0.0, 0.0, 0.0, 0.9]):
        found = inverse_mirror(model, jnp.array(outside))
        assert not found.feasible and not found.converged
        assert jnp.isfinite(found.theta).all() and 0 < found.scale < 1
        # a cutting plane is exact for one direction only: what it leaves is at most what was there
        shrunk = inverse_mirror(model, 0.98 * found.scale * jnp.array(outside))
        assert shrunk.scale == 1 or shrunk.scale > found.scale
    inside = inverse_mirror(model, jnp.array([0.7, 0.0, 0.7, 0.0, 0.0]))
    assert inside.feasible and inside.converged


@pytest.mark.parametrize("marginals", [(0.6, 0.8), (1.0, 0.0), (0.0, -1.0), (0.28, 0.96)])
def test_marginals_of_a_pure_state_stop_without_nan(marginals):
    """Their couplings are infinite; the search goes as far as rounding lets the marginals tell."""
    found = inverse_mirror(PauliGibbs(("X", "Z")), jnp.array(marginals), max_steps=40)
    assert jnp.isfinite(found.theta).all() and 12 < jnp.linalg.norm(found.theta) < 100 and found.converged
    assert found.residual < 1e-10


def test_divergences():
    first, second = random_model(4), random_model(5)
    a, b = (np.asarray(m.density()) for m in (first, second))
    exact = np.trace(a @ (scipy.linalg.logm(a) - scipy.linalg.logm(b))).real
    np.testing.assert_allclose(relative_entropy(first, second), exact, atol=1e-12)
    np.testing.assert_allclose(relative_entropy(first, first), 0, atol=1e-14)
    # gradients: in the second argument eta_a - eta_b, in the first H(theta_a) (theta_a - theta_b)
    forward = jax.jit(jax.grad(lambda t: relative_entropy(first, second.with_theta(t))))(second.theta)
    np.testing.assert_allclose(forward, first.marginals() - second.marginals(), atol=1e-12)
    reverse = jax.jit(jax.grad(lambda t: relative_entropy(first.with_theta(t), second)))(first.theta)
    np.testing.assert_allclose(reverse, first.metric() @ (first.theta - second.theta), atol=1e-12)
    with pytest.raises(SpaceError, match="same space"):
        relative_entropy(first, PauliGibbs(("ZZ",)))


def test_singular_metrics_are_solved_without_their_null_space():
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    metric = vectors @ np.diag([0, 1e-3, 1.0, 2.0]) @ vectors.T
    inside = metric @ np.arange(1.0, 5.0)
    np.testing.assert_allclose(metric @ np.asarray(natural(metric, inside)), inside, atol=1e-12)
    assert np.all(np.isinf(np.diagonal(inverse(metric))))
    good = metric + np.eye(4)
    np.testing.assert_allclose(inverse(good), np.linalg.inv(good), atol=1e-13)
    np.testing.assert_allclose(natural(good, inside), np.linalg.solve(good, inside), atol=1e-12)
    assert not np.any(natural(np.zeros((4, 4)), np.ones(4)))


def test_bad_input():
    model = PauliGibbs(("X", "Z"))
    with pytest.raises(ShapeError, match="finite marginal"):
        inverse_mirror(model, jnp.zeros(3))
    with pytest.raises(ShapeError, match="finite marginal"):
        inverse_mirror(model, jnp.array([jnp.nan, 0.0]))
    with pytest.raises(ConfigError, match="out of range"):
        inverse_mirror(model, jnp.zeros(2), tolerance=0.0)
