"""Sums of boson strings against matrices of untruncated bosons."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qml._core.errors import SpaceError
from qml.hilbert import Boson, Spin, SpinlessFermion
from qml.operator.boson import BosonSum
from tests.qml.operator.fock import block, bosons

N, TOP = 2, 2
SPACE = Boson(N, n_max=TOP)
operators = st.tuples(st.integers(0, N - 1), st.booleans()).map(lambda o: f"{o[0]}{'^' * o[1]}")
words = st.lists(operators, max_size=4).map(" ".join)
numbers = st.tuples(st.integers(-8, 8), st.integers(-8, 8)).map(lambda v: (v[0] + 1j * v[1]) / 4)
sums = st.dictionaries(words, numbers, min_size=1, max_size=5)


def check_algebra(a, b):
    f, g = BosonSum(a, SPACE), BosonSum(b, SPACE)
    products = {f"{v} {w}": (v, w) for v in a for w in b}
    p, q = bosons(a, N, TOP), bosons(b, N, TOP)
    pq = sum(a[v] * b[w] * bosons({k: 1.0}, N, TOP, spare=8) for k, (v, w) in products.items())
    qp = sum(a[v] * b[w] * bosons({f"{w} {v}": 1.0}, N, TOP, spare=8) for v, w in products.values())
    np.testing.assert_allclose(f.to_dense(), p, atol=1e-11)
    for operator, matrix in [
        (f.adjoint(), p.conj().T),
        (f @ g, pq),
        (f.commutator(g), pq - qp),
        (f - 2j * g + 1.0, p - 2j * q + np.eye((TOP + 1) ** N)),
    ]:
        np.testing.assert_allclose(bosons({"": 0.0} | operator.terms, N, TOP, spare=8), matrix, atol=1e-10)


@settings(max_examples=4, deadline=None, derandomize=True)
@given(sums, sums)
def test_algebra(a, b):
    """Random complex sums: products are those of untruncated bosons, restricted to the space at the end."""
    check_algebra(a, b)


@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True)
@given(sums, sums)
def test_more_algebra(a, b):
    """The same for more sums."""
    check_algebra(a, b)


@pytest.mark.parametrize(
    "space", [pytest.param(Boson(3, 3), marks=pytest.mark.slow), Boson(3, 3, n_particles=4), Boson(3, 2, n_particles=3)]
)
def test_every_form(space):
    """Dense, sparse, matrix-free and configuration by configuration, with and without a fixed number."""
    rng = np.random.default_rng(0)
    terms = {"0^ 1": 1.0, "1^ 0": 0.5j, "2^ 2^ 0 1": 0.7, "1^ 1 1^ 1": 0.4, "n0 n2": -1.0, "0^ 1^ 1 2": 2.0}
    free = Boson(3, space.n_max)
    matrix = block(bosons(terms, 3, space.n_max, spare=3), free, space)
    operator = BosonSum(terms, space)
    vector = rng.normal(size=space.size)
    np.testing.assert_allclose(operator.to_dense(), matrix, atol=1e-12)
    np.testing.assert_allclose(operator.to_sparse().toarray(), matrix, atol=1e-12)
    np.testing.assert_allclose(operator.apply(vector), matrix @ vector, atol=1e-12)
    np.testing.assert_allclose(operator.diagonal(space.all_states()), np.diag(matrix), atol=1e-12)
    neighbours, elements = operator.connected(space.all_states())
    assert np.all(space.contains(neighbours)) and elements.shape == neighbours.shape[:-1]
    centre, radius = (operator + operator.adjoint()).bound()
    levels = np.linalg.eigvalsh(matrix + matrix.conj().T)
    assert centre - radius <= levels[0] and levels[-1] <= centre + radius


def test_truncation():
    """A full site: creation gives zero, and yet b b^+ = n + 1 there, unlike for products of truncated matrices."""
    space = Boson(1, n_max=2)
    b = BosonSum({"0": 1.0}, space)
    up = b.adjoint()
    np.testing.assert_allclose(up.to_dense()[:, 2], 0.0)
    np.testing.assert_allclose(np.diag((b @ up).to_dense()), [1.0, 2.0, 3.0])
    np.testing.assert_allclose(np.diag(b.to_dense() @ up.to_dense()), [1.0, 2.0, 0.0])
    assert b.commutator(up).terms == {"": 1.0}
    assert (up @ up @ b @ b).terms == {"0^ 0^ 0 0": 1.0} and (up @ b @ up @ b).terms == {"n0": 1.0, "0^ 0^ 0 0": 1.0}


def test_spaces_refused():
    """Terms that change the number, other kinds of spaces."""
    with pytest.raises(SpaceError, match=r"'0\^'"):
        BosonSum({"0^": 1.0}, Boson(2, 2, n_particles=2))
    assert not np.any(BosonSum({"0^ 0^ 0^": 1.0}, Boson(2, 2, n_particles=2)).to_dense())
    for bad in (Spin(2), SpinlessFermion(2)):
        with pytest.raises(SpaceError):
            BosonSum({"0": 1.0}, bad)


def test_traced_coefficients():
    """One program for all couplings, and a derivative."""
    space = Boson(3, 3, n_particles=3)
    operator = BosonSum({"0^ 1": 1.0, "1^ 0": 1.0, "0^ 0^ 0 0": 2.0}, space)
    vector, count = jnp.arange(1.0, space.size + 1), []

    @jax.jit
    def energy(operator):
        count.append(operator.is_hermitian)
        return vector @ operator.apply(vector)

    np.testing.assert_allclose(energy(3 * operator), 3 * energy(operator))
    assert count == [True]
    gradient = jax.grad(energy)(operator).coefficients
    np.testing.assert_allclose(operator.coefficients @ gradient, energy(operator))
