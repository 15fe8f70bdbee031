"""Infidelity and overlap against published pairs of states, dense vectors, and over repeated runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml import FullSumState, MCState
from qml._core.errors import ShapeError, SpaceError
from qml.estimate import infidelity
from qml.hilbert import Spin
from qml.sampler import ExactSampler
from tests.helpers.zscore import assert_z, assert_z_uniform

SPACE = Spin(8)
# Jastrow states on a ring of 8: theta . (C_1, C_2) + i phi C_1 with C_d = sum_i s_i s_{i+d}
FIRST, FAR, CLOSE = (0.25, 0.1, 0.0), (0.3, -0.05, 0.2), (0.26, 0.095, 0.01)


def log_psi(params, x):
    one, two = (jnp.sum(x * jnp.roll(x, d, axis=1), axis=1) for d in (1, 2))
    return params[0] * one + params[1] * two + 1j * params[2] * one


def sampled(params, samples, seed, sampler=None):
    sampler = ExactSampler(SPACE, chains=50)
    return MCState((jnp.array(params), log_psi), SPACE, samples=samples, key=jax.random.key(seed), sampler=sampler)


def full(params):
    return FullSumState((jnp.array(params), log_psi), SPACE)


@jax.jit
def compared(first, second):
    """Infidelity without and with the control variate."""
    return first.infidelity(second, control=False), first.infidelity(second, control=True)


@pytest.mark.slow
@pytest.mark.parametrize(("other", "exact"), [(FAR, 0.3785197886092295), (CLOSE, 0.0010103116658183309)])
def test_full_sum(other, exact):
    """Reference values by full summation of the same pairs, computed independently."""
    first, second = full(FIRST), full(other)
    for stats in compared(first, second):
        np.testing.assert_allclose(stats.mean, exact, atol=1e-13)
    inner = np.vdot(first.to_array(), second.to_array())
    np.testing.assert_allclose(first.overlap(second).mean, inner, atol=1e-13)


@pytest.mark.slow
def test_sampled_and_control():
    """Two sampled states, and one sampled with one summed; the control variate pays where the states are close."""
    first = sampled(FIRST, 10000, 0)
    for other, seed in ((FAR, 1), (CLOSE, 2)):
        exact = compared(full(FIRST), full(other))[0].mean
        plain, controlled = compared(first, sampled(other, 10000, seed))
        assert_z(plain, exact)
        assert_z(controlled, exact)
        gain = float(plain.error / controlled.error) ** 2
        assert gain > 100 if other is CLOSE else gain > 1 - 1e-9
    assert_z(first.overlap(full(FAR)), full(FIRST).overlap(full(FAR)).mean)


@pytest.mark.slow
def test_states_of_one_origin_are_sampled_independently():
    """The same key and chains in both states must not correlate their samples: no false confidence."""
    state = sampled(FIRST, 2000, 3)
    same = state.infidelity(state)
    assert abs(float(same.mean)) < 1e-12
    assert_z(state.infidelity(state.with_params(jnp.array(CLOSE))), compared(full(FIRST), full(CLOSE))[1].mean)


@pytest.mark.slow
def test_coverage():
    """With the coefficient of the control variate measured on the same samples the errors still cover."""
    first, second = full(FIRST).sample()[1], full(CLOSE).sample()[1]
    logs = [full(p).log_psi(SPACE.all_states()) for p in (FIRST, CLOSE)]

    def one(key):
        drawn = []
        for k, record in zip(jax.random.split(key), (first, second)):
            row = jax.random.categorical(k, jnp.log(record.weights), shape=(500,))
            drawn.append((record.x[row], row))
        (x, i), (y, j) = drawn
        make = type(first)
        a, b = (make(z, jnp.full(500, 2e-3), log[k], 100) for z, log, k in ((x, logs[0], i), (y, logs[1], j)))
        return infidelity(a, logs[1][i], b, logs[0][j])

    stats = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(4), 200))
    assert_z_uniform(stats.mean, stats.error, 0.0010103116658183309)


@pytest.mark.slow
def test_different_zeros():
    """States that vanish in different places: the control variate still has mean zero."""
    space = Spin(3)

    def zero_at(site):
        def log_psi(params, x):
            return jnp.where((x[:, site] == -1) & (x[:, 2] == -1), -jnp.inf, x @ params)

        return log_psi

    params = jnp.array([0.2, -0.1, 0.3])
    pair = [FullSumState((params, zero_at(i)), space) for i in (0, 1)]
    exact = 1 - abs(np.vdot(pair[0].to_array(), pair[1].to_array())) ** 2
    np.testing.assert_allclose(pair[0].infidelity(pair[1]).mean, exact, atol=1e-13)
    sampler = ExactSampler(space, chains=80)
    keys = jax.random.split(jax.random.key(5))
    drawn = [MCState((params, zero_at(i)), space, samples=8000, key=k, sampler=sampler) for i, k in enumerate(keys)]
    assert_z(drawn[0].infidelity(drawn[1]), exact)


def test_bad_input():
    samples = full(FIRST).sample()[1]
    with pytest.raises(ShapeError, match="at each sample"):
        infidelity(samples, samples.log_psi[:3], samples, samples.log_psi)
    with pytest.raises(SpaceError, match="different spaces"):
        full(FIRST).infidelity(FullSumState((jnp.array(FIRST), log_psi), Spin(8, magnetisation=0)))
