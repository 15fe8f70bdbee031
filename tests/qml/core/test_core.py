"""The shared core: errors, tree algebra, chunking, precision, devices."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qml._core import chunk, errors, mesh, precision, tree


def test_error_has_four_parts():
    error = errors.ShapeError("Wrong.", got=1, expected=2, try_="three")
    for part in ("Wrong.", "got:", "expected:", "try:"):
        assert part in str(error)
    assert str(copy.copy(error)) == str(error)
    assert isinstance(error, ValueError)


def test_missing_extra_names_the_extra():
    with pytest.raises(errors.MissingExtraError, match=r'pip install "gradket\[plot\]"'):
        errors.need("no_such_package_here", "plot")


def test_unknown_name_suggests():
    with pytest.raises(errors.ConfigError, match="try:      'square'"):
        errors.unknown_name("lattice", "sqare", ["square", "chain"])


PARAMS = {"a": jnp.arange(3.0), "b": (jnp.array([1 + 2j, 3 - 1j]), jnp.array(2.0))}


def test_realify_round_trip():
    vector, back = tree.realify(PARAMS)
    assert vector.shape == (3 + 4 + 1,)
    assert vector.dtype == jnp.float64
    again = back(vector)
    assert jax.tree.structure(again) == jax.tree.structure(PARAMS)
    for x, y in zip(jax.tree.leaves(again), jax.tree.leaves(PARAMS), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def test_inner_product_conjugates_the_first():
    assert tree.inner(1j, 1.0) == -1j
    np.testing.assert_allclose(tree.norm(PARAMS) ** 2, tree.inner(PARAMS, PARAMS).real, rtol=1e-14)


def test_all_finite():
    assert tree.all_finite(PARAMS)
    assert not tree.all_finite({"a": jnp.array([1.0, jnp.nan])})


def check_chunks(rows, size):
    x = np.linspace(0.0, 1.0, rows * 3).reshape(rows, 3)

    def by_row(x):
        return {"s": jnp.sin(x).sum(1), "x": x**2}

    def total(mask, x):
        return (mask[:, None] * jnp.exp(x)).sum(0)

    @jax.jit
    def both(x):
        return chunk.map_chunks(by_row, x, chunk=size), chunk.sum_chunks(total, x, chunk=size)

    pieces, summed = both(x)
    np.testing.assert_allclose(np.sin(x).sum(1), pieces["s"], rtol=1e-14)
    np.testing.assert_allclose(x**2, pieces["x"], rtol=1e-14)
    np.testing.assert_allclose(np.exp(x).sum(0), summed, rtol=1e-13)


@pytest.mark.parametrize(("rows", "size"), [(1, 1), (1, 15), (7, 7), (7, 3), (12, 4), (13, 1), (13, 12), (3, 15)])
def test_chunks_change_nothing(rows, size):
    """Chunks that divide the rows or not, of one row, of all and of more than there are."""
    check_chunks(rows, size)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 13), st.integers(1, 15))
def test_any_chunks_change_nothing(rows, size):
    check_chunks(rows, size)


def test_chunks_differentiate():
    x = jnp.linspace(0.0, 1.0, 7)[:, None]

    def loss(w, size):
        return chunk.map_chunks(lambda x: jnp.tanh(w * x).sum(1), x, chunk=size).sum()

    np.testing.assert_allclose(jax.grad(loss)(1.3, None), jax.grad(loss)(1.3, 3), rtol=1e-14)


@pytest.mark.parametrize("bad", [0, -1])
def test_bad_chunk(bad):
    with pytest.raises(errors.ShapeError, match="try:      chunk=256"):
        chunk._check(bad)


def test_precision_is_said():
    assert precision.check_dtype(complex, "test") == np.complex128
    with jax.enable_x64(False):
        assert precision.real_dtype() == np.float32
        with pytest.raises(errors.PrecisionError, match="jax_enable_x64"):
            precision.check_dtype(float, "A network")
        assert precision.check_dtype(np.float32, "A network") == np.float32


def test_mesh_shards_rows():
    devices = mesh.chains_mesh(2)
    x = mesh.shard_rows(jnp.arange(8.0), devices)
    assert len(x.sharding.device_set) == 2
    with pytest.raises(errors.ShapeError, match="multiple of 2 rows"):
        mesh.shard_rows(jnp.arange(7.0), devices)
    with pytest.raises(errors.ShapeError, match="devices"):
        mesh.chains_mesh(99)
