"""Metrics as linear operators: the same products dense and matrix-free, for free and for tied couplings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml._core.errors import ConfigError
from qml.gibbs import KOBE, Circuit, LatentGibbs, PauliGibbs, TiedGibbs, metric_operator


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        PauliGibbs(("XY", "ZI", "IZ", "YY"), jnp.array([0.3, -0.8, 0.2, 1.1])),
        TiedGibbs([["ZZ"], ["XI", "IX"]], jnp.array([-0.7, 0.4])),
    ],
)
def test_products(model):
    dense, free = metric_operator(model), metric_operator(model, matrix_free=True)
    np.testing.assert_allclose(dense.as_matrix(), model.metric(), atol=1e-14)
    np.testing.assert_allclose(free.as_matrix(), model.metric(), atol=1e-13)
    np.testing.assert_allclose(metric_operator(model, "sld").as_matrix(), model.metric("sld"), atol=1e-14)
    for kind in ("sld", "wy"):
        product = metric_operator(model, kind, matrix_free=True).mv(jnp.arange(1.0, 1 + len(model.params)))
        np.testing.assert_allclose(product, model.metric(kind) @ jnp.arange(1.0, 1 + len(model.params)), atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bkm", "sld", "wy"])
def test_latent_models_have_one_block_for_each_part(kind):
    """Products on its parameters, leaf by leaf."""
    model = LatentGibbs(KOBE(2, 2), Circuit.layered(2, 2)).random(jax.random.key(0), 0.5)
    operator, params = metric_operator(model, kind), model.params
    v = {name: jnp.sin(jnp.arange(1.0, 1 + len(p))) for name, p in params.items()}
    product = operator.mv(v)
    for name, block in model.metric_blocks(kind).items():
        np.testing.assert_allclose(product[name], block @ v[name], atol=1e-13)


def test_bad_input():
    model = PauliGibbs(("X",))
    with pytest.raises(ConfigError, match="metric"):
        metric_operator(model, "bures")
