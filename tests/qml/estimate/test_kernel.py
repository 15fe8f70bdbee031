"""The kernel without derivatives of each sample against the matrix of derivatives."""

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
    return jax.random.normal(jax.random.key(sum(shape)), shape)


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


@pytest.mark.parametrize("name", MODELS)
def test_kernel_is_that_of_the_jacobian(name):
    """Real, complex, mixed, shared and unknown weights; batches as long as an axis of the weights too."""
    make, share = MODELS[name]
    ansatz, params = qml.ansatz.to_ansatz(make(), SPACE, key=jax.random.key(0))
    if share is not None:
        assert abs(structured_share(ansatz, params) - share) < 1e-12
    for rows in (5, 8):
        x = SPACE.random_state(jax.random.key(1), rows)
        weights = jax.random.uniform(jax.random.key(2), (rows,)) + 0.1
        samples = Samples(x, weights / jnp.sum(weights), ansatz.log_psi(params, x), None)
        o = jacobian(ansatz, params, samples)
        np.testing.assert_allclose(kernel(ansatz, params, samples), o @ o.T, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", ["rbm", "complex rbm", "mlp", "mixed"])
@pytest.mark.parametrize("real_time", [False, True])
def test_direction_is_that_of_the_jacobian(name, real_time):
    """The step over samples with and without the matrix of derivatives, and its norms."""
    ansatz, params = qml.ansatz.to_ansatz(MODELS[name][0](), SPACE)
    if real_time and not ansatz.is_complex:
        return
    x = SPACE.random_state(jax.random.key(1), 9)
    samples = Samples(x, jnp.full(9, 1 / 9), ansatz.log_psi(params, x), None)
    local = jax.random.normal(jax.random.key(3), (9,), complex if ansatz.is_complex else float)
    rule = SR(shift=1e-2, method="minsr")
    ours = rule.direction(ansatz, params, samples, local, real_time=real_time)
    o, right = jacobian(ansatz, params, samples), residual(ansatz, samples, -1j * local if real_time else local)
    x = rule.solve(o, right)
    np.testing.assert_allclose(realify(ours.update)[0], x, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours.metric_norm, jnp.sum((o @ x) ** 2), rtol=1e-10)
    np.testing.assert_allclose(ours.force_dot, (o @ x) @ right, rtol=1e-10)
