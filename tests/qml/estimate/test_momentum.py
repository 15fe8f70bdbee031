"""SPRING and MARCH: all solves against dense algebra written by hand, the bound, and few samples a step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from qml import FullSumState
from qml._core.errors import ConfigError
from qml._core.tree import realify
from qml.ansatz import RBM
from qml.estimate import MARCH, SPRING, SR, Samples, jacobian, residual
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Ising
from tests.qml.ansatz.models import model

SPACE = Spin(6)
OPERATOR = Ising(SPACE, Chain(6), j=-1.0, h=0.7)


@pytest.fixture(scope="module")
def problem():
    """Three batches of weighted samples of a network of real and complex parameters, and their local energies."""
    state = FullSumState(model("mixed", 6), SPACE)

    def batch(key):
        x = SPACE.random_state(key, 9)
        weights = jax.random.uniform(jax.random.fold_in(key, 1), (9,)) + 0.1
        samples = Samples(x, weights / jnp.sum(weights), state.log_psi(x), None)
        return samples, state.local_values(OPERATOR, samples)

    return state, [batch(key) for key in jax.random.split(jax.random.key(0), 3)]


def by_hand(rows, right, shift, phi, scale):
    """phi + D^-2 O^T (O D^-2 O^T + shift)^-1 (eps - O phi), with D^-2 = scale^2."""
    kernel = (rows * scale**2) @ rows.T + shift * np.eye(len(rows))
    return phi + scale**2 * (rows.T @ np.linalg.solve(kernel, right - rows @ phi))


@pytest.mark.parametrize("method", ["sr", "streamed", "cg"])
@pytest.mark.parametrize("kind", [SPRING, MARCH])
def test_steps_by_hand(problem, kind, method):
    """Three steps of each form against the formulas, with the memory."""
    state, batches = problem
    rule = kind(shift=1e-2, mu=0.8, method=method, tolerance=1e-13)
    memory, size = rule.init(state.params), len(realify(state.params)[0])
    last, squares = np.zeros(size), np.zeros(size)
    for t, (samples, local) in enumerate(batches):
        direction, memory = rule.step(state.ansatz, state.params, samples, local, memory)
        rows = np.asarray(jacobian(state.ansatz, state.params, samples))
        right = np.asarray(residual(state.ansatz, samples, local))
        scale = np.ones(size)
        if kind is MARCH and t > 0:
            scale = 1 / ((squares / (1 - 0.995**t)) ** 0.25 + 1e-8)
        x = by_hand(rows, right, 1e-2, 0.8 * last, scale)
        np.testing.assert_allclose(realify(direction.update)[0], x, rtol=1e-10, atol=1e-10 * np.abs(x).max())
        np.testing.assert_allclose(direction.metric_norm, np.sum((rows @ x) ** 2), rtol=1e-9)
        np.testing.assert_allclose(direction.force_dot, (rows @ x) @ right, rtol=1e-9)
        assert bool(direction.converged) and direction.residual < 1e-9
        last, squares = x, 0.995 * squares + 0.005 * (x - last) ** 2
    assert direction.form == ("dense" if method == "sr" else method)


def test_no_memory_is_sr(problem):
    state, [(samples, local), *_] = problem
    plain = SR(shift=1e-2).direction(state.ansatz, state.params, samples, local).update
    for rule in (SPRING(shift=1e-2, mu=0), MARCH(shift=1e-2, mu=0)):
        found, memory = rule.step(state.ansatz, state.params, samples, local, rule.init(state.params))
        for a, b in zip(jax.tree.leaves(found.update), jax.tree.leaves(plain), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-10)
        last = memory if isinstance(rule, SPRING) else memory.last
        np.testing.assert_allclose(last, realify(found.update)[0], atol=1e-10)


def test_growth_is_bounded(problem):
    """Each step is at most as long as the bound says, and without the bound's first term it would not be."""
    state, batches = problem
    rule, size = SPRING(shift=1e-2, mu=0.95), len(realify(state.params)[0])
    memory, seen, exceeded = rule.init(state.params), [], False
    step = jax.jit(lambda s, x, m: rule.step(state.ansatz, state.params, s, x, m)[1])
    for samples, local in batches * 6:
        rows, right = jacobian(state.ansatz, state.params, samples), residual(state.ansatz, samples, local)
        new = right @ np.linalg.solve(rows @ rows.T + 1e-2 * np.eye(len(rows)), right)
        before, memory = memory, step(samples, local, memory)
        assert memory @ memory <= (0.95**2 * (before @ before) + new) * (1 + 1e-12)
        seen.append(float(new))
        exceeded |= bool(memory @ memory > new)
    assert exceeded and np.linalg.norm(memory) <= np.sqrt(max(seen) / (1 - 0.95**2))
    assert memory.shape == (size,)


def final_errors(rule, rates, steps=100, samples=12):
    """Relative error of the exact energy at the end of runs with few exact samples a step; median over four seeds."""
    space = Spin(6)
    operator = Ising(space, Chain(6), j=-1.0, h=1.0)
    start = FullSumState(RBM(6, alpha=3, std=0.1, rngs=nnx.Rngs(7)), space)
    assert sum(p.size for p in jax.tree.leaves(start.params)) >= 10 * samples

    def run(rate, seed):
        def step(carry, i):
            params, memory = carry
            key = jax.random.fold_in(jax.random.key(seed), i)
            state = start.with_params(params)
            everything = state.sample()[1]
            drawn = jax.random.categorical(key, jnp.log(everything.weights), shape=(samples,))
            weights = jnp.full(samples, 1 / samples)
            some = Samples(everything.x[drawn], weights, everything.log_psi[drawn], samples)
            local = state.local_values(operator, some)
            direction, memory = rule.step(state.ansatz, params, some, local, memory)
            params = jax.tree.map(lambda p, u: p - rate * u, params, direction.update)
            return (params, memory), state.expect(operator).mean.real

        return jax.lax.scan(step, (start.params, rule.init(start.params)), jnp.arange(steps))[1][-10:].mean()

    exact = np.linalg.eigvalsh(np.asarray(operator.to_dense()))[0]
    found = jax.jit(jax.vmap(jax.vmap(run, (None, 0)), (0, None)))(jnp.asarray(rates), jnp.arange(4))
    return np.median(np.asarray(found) - exact, axis=1) / abs(exact)


@pytest.mark.slow
def test_memory_pays_where_parameters_are_many():
    """11 times as many parameters as samples: lower energies than SR at the same and at its best learning rate."""
    plain = final_errors(SR(shift=1e-3, method="jacobian"), [0.2, 0.1, 0.05, 0.02])
    spring = final_errors(SPRING(shift=1e-3, mu=0.95, method="jacobian"), [0.02])[0]
    march = final_errors(MARCH(shift=1e-2, mu=0.9, method="jacobian"), [0.02])[0]
    assert max(spring, march) < plain[-1] / 3
    assert spring < 0.6 * plain.min() and march < 0.85 * plain.min()


def test_bad_settings():
    for bad in ({"mu": 1.0}, {"mu": -0.1}, {"shift": 0.0}, {"method": "minres"}):
        with pytest.raises(ConfigError):
            SPRING(**bad)
    with pytest.raises(ConfigError, match="beta"):
        MARCH(beta=1.0)
