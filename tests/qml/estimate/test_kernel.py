"""The kernel without derivatives of each sample against the matrix of derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import qml
from qml._core.tree import realify
from qml.estimate import SR, Samples
from qml.estimate.kernel import kernel, structured_share
from qml.estimate.metric import jacobian, residual
from tests.qml.ansatz.models import mixed

SITES = 5
SPACE = qml.hilbert.Spin(SITES)


def twice(params, x):
    """One weight used twice, one by an unknown function, one alone."""
    y = jnp.tanh(x @ params["twice"])
    z = jnp.tanh(y @ params["twice"]) + params["bias"][None, :]
    return jnp.sum(z * jnp.exp(params["gain"])[None, :], axis=1) + y @ params["once"]


def product_of_weights(params, x):
    """A product of two weights whose first axis may be as long as the batch."""
    return jnp.sum(jnp.tanh(x @ (params["left"] @ params["right"])), axis=1)


def complex_activation(params, x):
    """Real weights multiplied by complex activations."""
    return jnp.sum(jnp.sin((x * jnp.exp(0.3j)) @ params["w"] + params["b"][None, :]), axis=1)


class Net(linen.Module):
    @linen.compact
    def __call__(self, x):
        y = jnp.tanh(linen.Dense(7, param_dtype=float)(x))
        return linen.Dense(1, param_dtype=float)(linen.LayerNorm(param_dtype=float)(y))[:, 0]


def normal(*shape):
    return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape))


MODELS = {
    "rbm": (lambda: qml.ansatz.RBM(SITES, alpha=2, std=0.3, rngs=nnx.Rngs(0)), 1.0),
    "complex rbm": (lambda: qml.ansatz.RBM(SITES, dtype=complex, std=0.3, rngs=nnx.Rngs(0)), 1.0),
    "mlp": (lambda: qml.ansatz.MLP(SITES, layers=2, features=6, rngs=nnx.Rngs(0)), 1.0),
    "jastrow": (lambda: qml.ansatz.Jastrow(SITES, std=0.3, rngs=nnx.Rngs(0)), SITES / 15),
    "mixed": (lambda: mixed(SITES), None),
    "linen": (Net, None),
    "twice": (
        lambda: ({"twice": normal(5, 5), "bias": normal(5), "gain": 0.1 * normal(5), "once": normal(5)}, twice),
        10 / 40,
    ),
    "weights": (lambda: ({"left": normal(5, 3), "right": normal(3, 4)}, product_of_weights), 0.0),
    "complex activation": (lambda: ({"w": normal(5, 4), "b": normal(4)}, complex_activation), 1.0),
}


@functools.cache
def ansatz_of(name):
    ansatz, params = qml.ansatz.to_ansatz(MODELS[name][0](), SPACE, key=jax.random.key(0))
    return ansatz, jax.tree.map(np.asarray, params)


@functools.cache
def configurations(rows):
    return np.asarray(SPACE.random_state(jax.random.key(1), rows))


@functools.partial(jax.jit, static_argnums=0)
def both(ansatz, params, x, weights):
    samples = Samples(x, weights, ansatz.log_psi(params, x), None)
    return kernel(ansatz, params, samples), jacobian(ansatz, params, samples)


SLOW = ("jastrow", "mlp", "rbm", "linen")  # the others have every kind of layer that these have


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in MODELS])
def test_kernel_is_that_of_the_jacobian(name):
    """Real, complex, mixed, shared and unknown weights; batches as long as an axis of the weights too."""
    share, (ansatz, params) = MODELS[name][1], ansatz_of(name)
    if share is not None:
        assert abs(structured_share(ansatz, params) - share) < 1e-12
    for rows in (5, 8):
        weights = np.random.default_rng(2).uniform(0.1, 1.1, rows)
        found, o = (np.asarray(a) for a in both(ansatz, params, configurations(rows), weights / weights.sum()))
        np.testing.assert_allclose(found, o @ o.T, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    ("name", "real_time"),
    [("rbm", False), ("complex rbm", False), ("complex rbm", True)]
    + [pytest.param(*v, marks=pytest.mark.slow) for v in (("mlp", False), ("mixed", False), ("mixed", True))],
)
def test_direction_is_that_of_the_jacobian(name, real_time):
    """The step over samples with and without the matrix of derivatives, and its norms."""
    ansatz, params = ansatz_of(name)
    x, random = configurations(9), np.random.default_rng(3)
    local = random.normal(size=9) + (1j * random.normal(size=9) if ansatz.is_complex else 0)
    rule = SR(shift=1e-2, method="minsr")

    @jax.jit
    def solve(params, x, local):
        samples = Samples(x, jnp.full(9, 1 / 9), ansatz.log_psi(params, x), None)
        ours = rule.direction(ansatz, params, samples, local, real_time=real_time)
        o, right = jacobian(ansatz, params, samples), residual(ansatz, samples, -1j * local if real_time else local)
        return ours, realify(ours.update)[0], o, right, rule.solve(o, right)

    ours, update, o, right, step = jax.tree.map(np.asarray, solve(params, x, local))
    np.testing.assert_allclose(update, step, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours.metric_norm, np.sum((o @ step) ** 2), rtol=1e-10)
    np.testing.assert_allclose(ours.force_dot, (o @ step) @ right, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["twice", "complex rbm", "mlp"])
def test_shares_of_a_large_kernel_are_made_one_after_another(name, monkeypatch):
    """The same numbers, whether shares of layers and of groups are fused or wait for each other."""
    monkeypatch.setattr("qml.estimate.kernel.GROUP", 1)
    monkeypatch.setattr("qml.estimate.kernel._LARGE", 0)
    ansatz, params = ansatz_of(name)
    samples = Samples(jnp.asarray(configurations(6)), jnp.full(6, 1 / 6), jnp.zeros(6), None)
    rows = np.asarray(jax.jit(lambda p: jacobian(ansatz, p, samples))(params))
    made = jax.jit(lambda p: kernel(ansatz, p, samples))
    assert "cond" in str(jax.make_jaxpr(made)(params))
    np.testing.assert_allclose(made(params), rows @ rows.T, rtol=1e-10, atol=1e-13)
