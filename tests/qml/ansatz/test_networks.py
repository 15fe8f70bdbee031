"""Networks against formulas written out by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from qml._core.errors import PrecisionError, ShapeError
from qml.ansatz import MLP, RBM, Jastrow, log_cosh
from qml.ansatz.layers import log_sum_exp, parameter_dtype
from qml.hilbert import Spin

X = Spin(4).all_states().astype(float)
LOG_COSH = jax.jit(jax.value_and_grad(log_cosh, holomorphic=True))


def value(model, x=X):
    """log psi, compiled as one program."""
    return jax.jit(lambda x: model(x))(x)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.floats(-30, 30), st.floats(-3, 3))
def test_log_cosh_complex(re, im):
    """exp(log cosh z) = cosh z, and the derivative is tanh."""
    z = complex(re, im)
    if abs(np.cosh(z)) < 1e-3:
        return
    value, slope = LOG_COSH(jnp.array(z))
    assert abs(np.exp(value) / np.cosh(z) - 1) < 1e-10
    assert abs(slope - np.tanh(z)) < 1e-9 * max(1, abs(np.tanh(z)))


def test_log_cosh_real():
    x = jnp.array([-1000.0, -2.0, 0.0, 1e-9, 3.0, 1000.0])
    np.testing.assert_allclose(log_cosh(x), np.logaddexp(x, -x) - np.log(2), atol=1e-15, rtol=1e-15)
    np.testing.assert_allclose(jax.vmap(jax.grad(log_cosh))(x), np.tanh(x), atol=1e-15)
    assert log_cosh(jnp.float32(1.0)).dtype == np.float32


@pytest.mark.parametrize("dtype", [float, complex])
def test_rbm(dtype):
    model = RBM(4, alpha=1.5, dtype=dtype, std=0.3, rngs=nnx.Rngs(0))
    a, b, w = (np.asarray(p[...]) for p in (model.visible_bias, model.hidden_bias, model.kernel))
    assert w.shape == (4, 6)
    psi = [np.exp(a @ x) * np.prod(np.cosh(b + x @ w)) for x in np.asarray(X)]
    np.testing.assert_allclose(np.exp(value(model)), psi, rtol=1e-12)


def test_jastrow():
    model = Jastrow(4, std=0.3, rngs=nnx.Rngs(0))
    pairs = dict(zip(itertools.combinations(range(4), 2), np.asarray(model.pairs[...]), strict=True))
    for x, found in zip(np.asarray(X), np.asarray(value(model)), strict=True):
        expected = x @ np.asarray(model.field[...]) + sum(w * x[i] * x[j] for (i, j), w in pairs.items())
        assert abs(found - expected) < 1e-13


def test_mlp():
    real = value(MLP(4, layers=2, features=6, phase=False, rngs=nnx.Rngs(0)))
    both = value(MLP(4, layers=2, features=6, rngs=nnx.Rngs(0)))
    assert real.dtype == float and both.dtype == complex and np.ptp(np.asarray(both).imag) > 0.1
    np.testing.assert_allclose(MLP(4, layers=0, rngs=nnx.Rngs(0))(X[3:5]), MLP(4, layers=0, rngs=nnx.Rngs(0))(X)[3:5])


def test_log_sum_exp():
    values = jnp.array([[1000.0, 1001.0], [-1000.0, -1000.0]])
    out = log_sum_exp(np.array([1.0, 2.0]), values, False)
    np.testing.assert_allclose(out, [1000 + np.log(1 + 2 * np.e), -1000 + np.log(3)])
    signed = log_sum_exp(np.array([1.0, -1.0]), values, True)
    assert np.isneginf(signed[1].real) and abs(signed[0] - (1000 + np.log(np.e - 1) + 1j * np.pi)) < 1e-12
    slope = jax.jit(jax.grad(lambda v: log_sum_exp(np.array([1.0, -1.0]), v, True).real[0]))
    assert np.all(np.isfinite(slope(values)))


def test_bad_sizes():
    with pytest.raises(ShapeError, match="hidden unit"):
        RBM(4, alpha=0, rngs=nnx.Rngs(0))
    with pytest.raises(ShapeError, match="number of sites"):
        RBM("4", rngs=nnx.Rngs(0))
    with pytest.raises(ShapeError, match="real or complex numbers"):
        Jastrow(4, dtype=int, rngs=nnx.Rngs(0))
    for bad in ({"layers": -1}, {"features": 0}, {"dtype": complex}):
        with pytest.raises(ShapeError, match="real parameters"):
            MLP(4, rngs=nnx.Rngs(0), **bad)


def test_precision_is_never_cut_silently():
    with jax.enable_x64(False):
        assert parameter_dtype(float, "x") == np.float32 and parameter_dtype(complex, "x") == np.complex64
        with pytest.raises(PrecisionError, match="64-bit"):
            RBM(4, dtype=jnp.float64, rngs=nnx.Rngs(0))
