"""Excited states and overlaps against exact diagonalisation and full sums."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import drivers
import qml
from drivers import subspace
from qml._core.errors import ConfigError, SpaceError
from tests.helpers.zscore import assert_z

SPACE = qml.hilbert.Spin(4)
ISING = qml.operator.Ising(SPACE, qml.lattice.Chain(4), j=-1.0, h=1.0)
EXACT = np.linalg.eigvalsh(np.asarray(ISING.to_dense()))


def model(seed: int, **settings):
    return qml.ansatz.RBM(SPACE, alpha=2, dtype=complex, std=0.3, rngs=nnx.Rngs(seed), **settings)


def full(seed: int):
    return qml.FullSumState(model(seed), SPACE)


def sampled(seed: int, samples: int = 2048):
    return qml.MCState(model(seed), SPACE, samples=samples, chains=64, key=jax.random.key(seed))


@pytest.mark.slow
def test_levels_in_a_span_are_those_of_the_dense_pencil():
    states = [full(seed) for seed in range(3)]
    found = subspace.levels(ISING, [s.sample() for s in states])
    vectors = np.stack([np.asarray(s.to_array()) for s in states], axis=1)
    basis, _ = np.linalg.qr(vectors)
    exact = np.linalg.eigvalsh(basis.conj().T @ np.asarray(ISING.to_dense()) @ basis)
    np.testing.assert_allclose(found.energy.mean, exact, atol=1e-10)
    np.testing.assert_allclose(found.gap.mean, exact[1:] - exact[0], atol=1e-10)
    np.testing.assert_allclose(found.overlap, np.abs(vectors.conj().T @ vectors) ** 2, atol=1e-12)
    pair = jax.jit(subspace.fidelity)(states[0].sample(), states[1].sample())
    np.testing.assert_allclose(pair, found.overlap[0, 1], atol=1e-12)
    np.testing.assert_array_equal(found.energy.error, np.zeros(3))


@pytest.mark.slow
def test_sampled_levels_and_gap_agree_with_full_sums_in_their_errors():
    states = [sampled(seed) for seed in range(2)]
    twins = [qml.FullSumState((s.ansatz, s.params), SPACE) for s in states]
    found, exact = jax.jit(lambda a, b: tuple(subspace.levels(ISING, [s.sample() for s in group]) for group in (a, b)))(
        states, twins
    )
    assert_z(found.energy, exact.energy.mean)
    assert_z(found.gap, exact.gap.mean)
    assert np.all(np.asarray(found.energy.error) > 0) and float(found.gap.error[0]) > 0
    separate = np.hypot(*np.asarray(found.energy.error))
    assert float(found.gap.error[0]) != pytest.approx(separate, rel=1e-6)  # the gap knows what the levels share


@pytest.mark.slow
def test_penalised_step_follows_the_dense_gradient():
    """Energy of the second state plus penalty, differentiated through the dense vectors."""
    states, strength, rate = [full(0), full(1)], 3.0, 0.01
    driver = drivers.Excited(ISING, optax.sgd(rate), penalty=strength)
    result = driver.run(states, steps=1)
    below = states[0].to_array()

    def objective(params):
        psi = states[1].with_params(params).to_array()
        return jnp.vdot(psi, ISING.to_dense() @ psi).real + strength * jnp.abs(jnp.vdot(below, psi)) ** 2

    gradient = jax.jit(jax.grad(objective))(states[1].params)
    expected = jax.tree.map(lambda p, g: p - rate * jnp.conj(g), states[1].params, gradient)
    for ours, theirs in zip(jax.tree.leaves(result.state[1].params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.slow
def test_two_lowest_levels_at_once_and_one_above_a_given_state():
    driver = drivers.Excited(ISING, optax.sgd(0.1), precondition=qml.estimate.SR(shift=1e-3))
    result = driver.run([full(0), full(1)], steps=150)
    gap = EXACT[1] - EXACT[0]
    assert abs(float(result.final["gap"].mean[0]) - gap) < 1e-2 * gap
    np.testing.assert_allclose(result.final["energy"].mean, EXACT[:2], atol=1e-2)
    assert float(result.final["overlap"][0, 1]) < 1e-4
    assert result.history["taken"].mean() > 0.95 and result.status is drivers.Status.FINISHED
    assert result.history["energy"].shape == (150, 2) and result.history["overlap"].shape == (150, 2, 2)
    assert isinstance(result.state, list) and "gap" in str(result)
    driver = drivers.Excited(
        ISING, optax.sgd(0.1), precondition=qml.estimate.SR(shift=1e-3), lower=(result.state[0],), penalty=8.0
    )
    above = driver.run(full(1), steps=150)
    assert isinstance(above.state, qml.FullSumState)
    assert abs(float(above.final["gap"].mean[0]) - gap) < 1e-2 * gap


@pytest.mark.slow
def test_a_rate_far_too_large_is_shortened_and_one_that_is_infinite_ends_the_run():
    """Steps that overshoot are refused, and the run says so; without the judge it is lost at its first step."""
    settings = {"precondition": qml.estimate.SR(shift=1e-3), "penalty": 8.0}
    wild = drivers.Excited(ISING, optax.sgd(1e6), **settings).run([full(0), full(1)], steps=30)
    taken = wild.history["taken"] == 1
    assert taken.ndim == 2 and np.all(wild.history["step_length"][taken] <= 0.3 + 1e-12)
    assert np.all(np.isfinite(wild.history["energy"])) and wild.history["energy"][-1, 0] < wild.history["energy"][0, 0]
    assert wild.status is drivers.Status.FINISHED or "smaller learning rate" in wild.message
    broken = drivers.Excited(ISING, optax.sgd(np.inf), **settings).run([full(0), full(1)], steps=30)
    assert broken.status is drivers.Status.DIVERGED and "not finite" in broken.message and broken.steps == 5
    lost = drivers.Excited(ISING, optax.sgd(np.inf), trust=None, **settings).run([full(0), full(1)], steps=3)
    assert lost.status is drivers.Status.DIVERGED and lost.steps == 0


@pytest.mark.slow
def test_the_promise_of_a_step_is_what_the_next_one_finds():
    """Full sums: the judge's energy after the step, penalty included, is exact where the states below stand still."""
    below = full(0)
    driver = drivers.Excited(ISING, optax.sgd(0.02), lower=(below,), penalty=3.0)
    driver = dataclasses.replace(driver, precondition=qml.estimate.SR(shift=1e-3))
    carry = driver.init([full(1)], None)
    step = jax.jit(lambda carry: driver.step(carry))
    for _ in range(3):
        carry, info = step(carry)
        assert bool(info["taken"][0])
        moved = carry["points"][0]
        psi, phi = moved["state"].to_array(), below.to_array()
        found = jnp.vdot(psi, ISING.to_dense() @ psi).real + 3.0 * jnp.abs(jnp.vdot(phi, psi)) ** 2
        before = float(info["energy"].mean[0] + 3.0 * info["overlap"][0, 0])
        np.testing.assert_allclose(moved["guard"].highest, max(before, float(found)), rtol=1e-10)


def test_chains_of_equal_keys_are_made_independent():
    driver = drivers.Excited(ISING, optax.sgd(0.01))
    carry = driver.init([sampled(0, 64), sampled(0, 64)], None)
    one, two = (jax.random.key_data(s.sampler_state.key) for s in (p["state"] for p in carry["points"]))
    assert not np.array_equal(one, two)
    again = driver.init([sampled(0, 64), sampled(0, 64)], jax.random.key(5))
    assert not np.array_equal(jax.random.key_data(again["points"][0]["state"].sampler_state.key), one)


def test_bad_input():
    driver = drivers.Excited(ISING, optax.sgd(0.1))
    other = qml.hilbert.Spin(4, magnetisation=0)
    with pytest.raises(SpaceError, match="acts on a variational state"):
        driver.run([jnp.zeros(2)], steps=1)
    with pytest.raises(SpaceError, match="different spaces"):
        field = qml.operator.total(SPACE, "Z")
        inside = qml.FullSumState(qml.ansatz.RBM(other, rngs=nnx.Rngs(0)), other)
        drivers.Excited(field, optax.sgd(0.1)).run([full(0), inside], steps=1)
    for wrong in (drivers.Excited(ISING, optax.sgd(0.1), penalty=-1.0), driver):
        with pytest.raises(ConfigError):
            wrong.run([] if wrong is driver else [full(0)], steps=1)
    with pytest.raises(ConfigError, match="Optax"):
        drivers.Excited(ISING, 0.1).run([full(0)], steps=1)
    with pytest.raises(ConfigError, match="takes no time"):
        driver.run([full(0)], time=1.0)


@pytest.mark.slow
def test_first_excited_state_of_the_critical_chain():
    """The published problem: TFIM, 10 sites, at its critical field; 1e-2 of the exact gap is asked."""
    space = qml.hilbert.Spin(10)
    operator = qml.operator.Ising(space, qml.lattice.Chain(10), j=-1.0, h=1.0)
    states = [
        qml.MCState(
            qml.ansatz.RBM(space, alpha=2, dtype=complex, std=0.1, rngs=nnx.Rngs(seed)),
            space, samples=1024, chains=32, key=jax.random.key(seed),
        )
        for seed in (0, 1)
    ]  # fmt: skip
    driver = drivers.Excited(operator, optax.sgd(0.03), precondition=qml.estimate.SR(shift=1e-3))
    result = driver.run(states, steps=300)
    exact = 12.784906442999322 - 12.62750302935009
    assert abs(float(result.final["gap"].mean[0]) - exact) < 1e-2
    assert_z(result.final["gap"], [exact])
