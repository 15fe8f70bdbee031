"""The bridge: one wave function from four frameworks, and refusal of what is no wave function."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from qml._core.errors import GradketError, ShapeError, SpaceError
from qml.ansatz import RBM, Ansatz, Jastrow, log_cosh, to_ansatz
from qml.hilbert import Spin

SPACE = Spin(4)
X = SPACE.all_states()


class LinenRBM(linen.Module):
    @linen.compact
    def __call__(self, x):
        a = self.param("a", linen.initializers.normal(0.3), (x.shape[-1],), float)
        hidden = linen.Dense(x.shape[-1], param_dtype=float, bias_init=linen.initializers.normal(0.3))(x)
        return x @ a + jnp.sum(log_cosh(hidden), axis=-1)


class EquinoxRBM(eqx.Module):
    a: jax.Array
    b: jax.Array
    w: jax.Array
    order: np.ndarray  # an integer table: a constant, not a parameter

    def __call__(self, x):
        return x @ self.a + jnp.sum(log_cosh((x @ self.w + self.b[None, :])[:, self.order]), axis=-1)


def pair_log_psi(p, x):
    return x @ p["a"] + jnp.sum(log_cosh(x @ p["w"] + p["b"][None, :]), axis=-1)


def test_four_frameworks_agree():
    """NNX, Linen, Equinox and both kinds of pairs are the same function, value and derivative."""
    reference = RBM(4, std=0.3, rngs=nnx.Rngs(0))
    a, b, w = reference.visible_bias[...], reference.hidden_bias[...], reference.kernel[...]
    pair = {"a": a, "b": b, "w": w}
    variables = {"params": {"a": a, "Dense_0": {"kernel": w, "bias": b}}}
    models = [
        reference,
        (LinenRBM(), variables),
        EquinoxRBM(a, b, w, np.array([2, 0, 1, 3])),
        (pair, pair_log_psi),
        (lambda key: pair, pair_log_psi),
    ]
    exact = reference(X.astype(float))
    gradient = sizes(jax.grad(total(pair_log_psi))(pair))
    for model in models:
        ansatz, params = to_ansatz(model, SPACE, key=jax.random.key(0))
        np.testing.assert_allclose(ansatz.log_psi(params, X), exact, atol=1e-14)
        np.testing.assert_allclose(jax.jit(ansatz.log_psi)(params, X), exact, atol=1e-14)
        grads = jax.jit(jax.grad(total(ansatz.log_psi)))(params)
        np.testing.assert_allclose(sizes(grads), gradient, atol=1e-12)
        rows = jax.vmap(lambda row, f=ansatz.log_psi, p=params: f(p, row[None])[0])(X)
        np.testing.assert_allclose(rows, exact, atol=1e-14)


def sizes(tree):
    return np.sort(np.abs(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])))


def total(function):
    return lambda params: jnp.sum(function(params, X.astype(float)) * jnp.arange(16.0))


def test_linen_is_initialised_with_the_key():
    ansatz, params = to_ansatz(LinenRBM(), SPACE, key=jax.random.key(3))
    again = to_ansatz(LinenRBM(), SPACE, key=jax.random.key(3))
    assert ansatz == again[0]
    np.testing.assert_array_equal(params["a"], again[1]["a"])
    assert not np.allclose(params["a"], to_ansatz(LinenRBM(), SPACE, key=jax.random.key(4))[1]["a"])


def test_description_is_hashable_and_compared_by_value():
    """Two models of one structure share one description, so nothing is compiled twice."""
    tables = np.array([1, 0, 2, 3]), np.arange(4)
    models = [RBM(4, rngs=nnx.Rngs(0)), Jastrow(4, rngs=nnx.Rngs(0))]
    models += [EquinoxRBM(jnp.ones(4), jnp.ones(4), jnp.eye(4), t) for t in tables]
    descriptions = [to_ansatz(m, SPACE)[0] for m in models]
    assert len(set(descriptions)) == 4
    for model, first in zip(models, descriptions, strict=True):
        assert to_ansatz(model, SPACE)[0] == first and hash(to_ansatz(model, SPACE)[0]) == hash(first)
    assert to_ansatz(RBM(4, rngs=nnx.Rngs(1)), SPACE)[0] == descriptions[0]


def test_constants_of_a_module_are_kept():
    """Variables that are no parameters, and integer tables, are part of the description."""

    class Shifted(nnx.Module):
        def __init__(self):
            self.scale = nnx.Param(jnp.array(2.0))
            self.shift = nnx.Variable(jnp.array(0.5))
            self.table = np.array([3, 2, 1, 0])
            self.rngs = nnx.Rngs(0)

        def __call__(self, x):
            return self.scale[...] * x[:, self.table][:, 0] + self.shift[...]

    ansatz, params = to_ansatz(Shifted(), SPACE)
    assert params.keys() == {"scale"}
    np.testing.assert_allclose(ansatz.log_psi(params, X), 2.0 * X[:, 3] + 0.5)


def test_precision_of_the_network_is_that_of_its_parameters():
    """Configurations come as reals of the parameters' precision: no integer overflow, no hidden 64-bit network."""
    ansatz, params = to_ansatz((jnp.ones((64, 64)), lambda p, x: jnp.sum((x @ p) * x, axis=-1)), Spin(64))
    assert ansatz.log_psi(params, jnp.ones((1, 64), jnp.int8))[0] == 4096
    small, params = to_ansatz(RBM(4, dtype=jnp.float32, rngs=nnx.Rngs(0)), SPACE)
    assert small.dtype == np.float32 and small.log_psi(params, X).dtype == np.float32


def test_an_ansatz_is_given_back():
    ansatz, params = to_ansatz(RBM(4, rngs=nnx.Rngs(0)), SPACE)
    assert to_ansatz((ansatz, params), SPACE)[0] is ansatz
    with pytest.raises(SpaceError, match="another number of sites"):
        to_ansatz((ansatz, params), Spin(5))


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (3, GradketError, "known kind"),
        ((lambda key: jnp.ones(4), None), GradketError, "known kind"),
        (LinenRBM(), GradketError, "not initialised"),
        ((lambda key: jnp.ones(4), pair_log_psi), GradketError, "not initialised"),
        ((jnp.ones(4), lambda p, x: x * p[None]), ShapeError, "one log psi per row"),
        ((jnp.ones(4), lambda p, x: jnp.sum(x, axis=1) > 0), ShapeError, "one log psi per row"),
        ((jnp.ones(4), lambda p, x: (x @ p, x @ p)), ShapeError, "one log psi per row"),
        ((jnp.ones(5), lambda p, x: x @ p), ShapeError, "cannot be called"),
        ((jnp.arange(4), lambda p, x: x @ p), ShapeError, "not a real or complex number"),
    ],
)
def test_bad_models(model, error, message):
    with pytest.raises(error, match=message) as caught:
        to_ansatz(model, SPACE)
    assert caught.value.try_


def test_layers_that_mix_rows_are_refused():
    class Noisy(nnx.Module):
        def __init__(self, layer):
            self.layer, self.scale = layer, nnx.Param(jnp.array(1.0))

        def __call__(self, x):
            return jnp.sum(self.layer(x), axis=-1) * self.scale[...]

    for layer in (nnx.Dropout(0.5, rngs=nnx.Rngs(0)), nnx.BatchNorm(4, rngs=nnx.Rngs(0))):
        with pytest.raises(GradketError, match="chance or on the other rows"):
            to_ansatz(Noisy(layer), SPACE)
    to_ansatz(Noisy(nnx.Dropout(0.5, deterministic=True, rngs=nnx.Rngs(0))), SPACE)


def test_wrong_shape_of_x():
    ansatz, params = to_ansatz(RBM(4, rngs=nnx.Rngs(0)), SPACE)
    for bad in (X[0], X[:, :3], X[None]):
        with pytest.raises(ShapeError, match="batch of configurations"):
            ansatz.log_psi(params, bad)
    assert isinstance(ansatz, Ansatz) and "RBM" in repr(ansatz)
