"""Pauli sums against Kronecker products: elements, algebra, products with vectors, jit, vmap, grad."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qml._core.errors import ShapeError, SpaceError
from qml.hilbert import Spin
from qml.operator import PauliSum
from qml.operator.base import table
from tests.helpers.compiled import Counted
from tests.qml.operator.kron import dense, matrix_of


def numbers(kind: str):
    """Coefficients: real, or complex."""
    real = st.floats(-2, 2, allow_subnormal=False)
    return real if kind == "real" else st.builds(complex, real, real)


@st.composite
def sums(draw, n_sites: int, kind: str = "complex"):
    """Random terms of a sum on some sites."""
    words = st.text("IXYZ", min_size=n_sites, max_size=n_sites)
    return draw(st.dictionaries(words, numbers(kind), min_size=1, max_size=6))


def random_terms(seed: int, n_sites: int, count: int, *, imaginary: bool = True) -> dict:
    """Terms with Gaussian coefficients."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("IXYZ"), n_sites)) for _ in range(count)]
    return {w: complex(*rng.normal(size=2)) if imaginary else float(rng.normal()) for w in words}


def check_matrix(n_sites, data):
    terms = data.draw(sums(n_sites, data.draw(st.sampled_from(["real", "complex"]))))
    operator, expected = PauliSum(terms), dense(terms)
    np.testing.assert_allclose(operator.to_dense(), expected, atol=1e-13)
    np.testing.assert_allclose(operator.to_sparse().toarray(), expected, atol=1e-13)
    np.testing.assert_allclose(operator.trace(), np.trace(expected), atol=1e-12)
    assert operator.is_hermitian == np.allclose(expected, expected.conj().T, atol=1e-12)
    rng = np.random.default_rng(0)
    vector = rng.normal(size=2**n_sites) + 1j * rng.normal(size=2**n_sites)
    np.testing.assert_allclose(operator.apply(vector), expected @ vector, atol=1e-12)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.integers(1, 4), st.data())
def test_matrix(n_sites, data):
    """Dense, sparse and matrix-free forms are the Kronecker product, for real and complex coefficients."""
    check_matrix(n_sites, data)


@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(1, 4), st.data())
def test_more_matrices(n_sites, data):
    """The same for more sums."""
    check_matrix(n_sites, data)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(1, 3), st.data())
def test_algebra(n_sites, data):
    """Sums, products, adjoint, commutators and scalars follow the matrices, non-Hermitian sums too."""
    one, two = data.draw(sums(n_sites)), data.draw(sums(n_sites, "real"))
    a, b, m, n = PauliSum(one), PauliSum(two), dense(one), dense(two)
    for operator, expected in (
        (a + b, m + n),
        (a - b, m - n),
        (2.0 * a - b / 4 + 1.5, 2 * m - n / 4 + 1.5 * np.eye(len(m))),
        (1j - b * 1j, 1j * np.eye(len(m)) - 1j * n),
        (a @ b, m @ n),
        (a @ a, m @ m),
        (a.commutator(b), m @ n - n @ m),
        (a.anticommutator(b), m @ n + n @ m),
        (a.adjoint(), m.conj().T),
        (-(a @ b).adjoint() @ b, -((m @ n).conj().T) @ n),
        (sum([a, b]), m + n),
    ):
        assert sum(abs(c) for c in operator.terms.values()) < 1e4
        np.testing.assert_allclose(dense({"I" * n_sites: 0.0, **operator.terms}), expected, atol=1e-11)


def test_products_are_real_where_they_are():
    """Squares of real sums are real; a commutator of Hermitian sums is imaginary; simplify drops what is zero."""
    a, b = PauliSum({"XX": 1.0, "ZI": 0.3}), PauliSum({"YY": 0.5, "ZZ": 2.0})
    assert (a @ a).coefficients.dtype == jnp.float64 and (a @ a).dtype == jnp.float64
    assert a.commutator(b).coefficients.dtype == jnp.complex128
    assert not a.commutator(b).is_hermitian and (1j * a.commutator(b)).is_hermitian
    assert a.anticommutator(b).coefficients.dtype == jnp.float64
    assert (a - a).simplify().terms == {}
    assert (a * (1 + 0j)).simplify().coefficients.dtype == jnp.float64
    assert len(PauliSum({"XX": 1.0, "ZZ": 1e-9}).simplify(1e-6).strings) == 1


def test_dtype():
    """Elements are real exactly if the coefficients are and the number of Y is even in every string."""
    assert PauliSum({"YY": 1.0, "XI": 1.0}).dtype == jnp.float64
    assert PauliSum({"YI": 1.0}).dtype == jnp.complex128
    assert PauliSum({"XX": 1j}).dtype == jnp.complex128
    x, elements = PauliSum({"YI": 1.0, "XX": 2.0}).connected(jnp.array([1, -1], jnp.int8))
    assert x.dtype == jnp.int8 and elements.dtype == jnp.complex128


def test_connected_groups_by_flip():
    """One slot for each flip mask; elements <x|O|x'> and the diagonal make up every row of the matrix."""
    terms = random_terms(3, 5, 40)
    operator = PauliSum(terms)
    space, expected = operator.hilbert, dense(terms)
    x = space.all_states()
    neighbours, elements = operator.connected(x)
    flips = {tuple(a in "XY" for a in word) for word in terms} - {(False,) * 5}
    assert neighbours.shape == (32, len(flips), 5) and elements.shape == (32, len(flips))
    rows = np.zeros((32, 32), complex)
    rows[np.arange(32), np.arange(32)] = operator.diagonal(x)
    np.add.at(rows, (np.arange(32)[:, None], np.asarray(space.states_to_indices(neighbours))), np.asarray(elements))
    np.testing.assert_allclose(rows, expected, atol=1e-13)
    assert not bool(jnp.any(jnp.all(neighbours == x[:, None, :], axis=-1)))


def test_leading_axes_jit_and_vmap():
    """Any leading axes, jitted or vmapped: the same numbers."""
    operator = PauliSum(random_terms(1, 4, 12))
    x = operator.hilbert.random_state(jax.random.key(0), (3, 2))
    neighbours, elements = operator.connected(x)
    assert neighbours.shape[:2] == (3, 2) and operator.diagonal(x).shape == (3, 2)
    one, values = operator.connected(x[2, 1])
    np.testing.assert_array_equal(one, neighbours[2, 1])
    np.testing.assert_allclose(values, elements[2, 1], atol=1e-15)
    mapped = jax.jit(jax.vmap(jax.vmap(lambda x: operator.connected(x))))(x)
    np.testing.assert_array_equal(mapped[0], neighbours)
    np.testing.assert_allclose(mapped[1], elements, atol=1e-15)
    np.testing.assert_allclose(jax.vmap(operator.diagonal)(x), operator.diagonal(x), atol=1e-15)


def test_long_strings_and_many_sites():
    """Hundreds of sites, strings from one letter to all of them, against signs worked out by hand."""
    n = 301
    rng = np.random.default_rng(2)
    words = ["Z" * n, "X" * n, "Y" * n, "I" * 300 + "Z", "ZZ" + "I" * 298 + "Y", "Y" + "Z" * 299 + "X"]
    operator = PauliSum({w: i + 1.0 for i, w in enumerate(words)})
    x = rng.choice(np.array([1, -1], np.int8), size=(4, n))
    np.testing.assert_allclose(operator.diagonal(x), 1.0 * np.prod(x, axis=1, dtype=int) + 4.0 * x[:, 300], atol=1e-14)
    neighbours, elements = operator.connected(x)
    found = {}
    for y, e in zip(np.moveaxis(np.asarray(neighbours), 1, 0), np.moveaxis(np.asarray(elements), 1, 0)):
        found[tuple(np.flatnonzero(y[0] != x[0]))] = e
    spin = x.astype(complex)
    # <x|Y|x'> = -i x for one flipped site
    every = 2.0 + 3.0 * np.prod(-1j * spin, axis=1)
    np.testing.assert_allclose(found[tuple(range(n))], every, atol=1e-13)
    np.testing.assert_allclose(found[(300,)], 5.0 * spin[:, 0] * spin[:, 1] * (-1j * spin[:, 300]), atol=1e-13)
    middle = np.prod(spin[:, 1:300], axis=1)
    np.testing.assert_allclose(found[(0, 300)], 6.0 * (-1j * spin[:, 0]) * middle, atol=1e-13)


def test_many_strings_in_one_group():
    """More strings with one flip than are written out: loops and sums agree with the matrix."""
    rng = np.random.default_rng(5)
    words = ["X" + "".join(rng.choice(list("IZ"), 5)) for _ in range(60)] + [
        "".join(rng.choice(list("IZ"), 6)) for _ in range(40)
    ]
    terms = {w: float(rng.normal()) for w in words}
    operator, expected = PauliSum(terms), dense(terms)
    vector = rng.normal(size=64)
    np.testing.assert_allclose(operator.apply(vector), expected.real @ vector, atol=1e-12)
    np.testing.assert_allclose(operator.to_dense(), expected.real, atol=1e-12)


def test_coefficients_are_traced():
    """A new coupling does not recompile, and gradients of <psi|H|psi> are the expectation values of the terms."""
    words = ["XXI", "ZIZ", "IYY", "IIX"]
    rng = np.random.default_rng(0)
    vector = jnp.asarray(rng.normal(size=8))

    @Counted
    def energy(c):
        operator = PauliSum(dict(zip(words, c)))
        return vector @ operator.apply(vector)

    values = [0.3, -1.0, 0.2, 0.7]
    gradients = jax.grad(lambda c: energy(list(c)))(jnp.array(values))
    exact = [vector @ matrix_of(w).real @ vector for w in words]
    np.testing.assert_allclose(gradients, exact, atol=1e-12)
    energy(values)
    before = energy.traces
    for scale in (1.0, 2.0, 3.0):
        energy([scale * v for v in values])
    assert energy.traces == before

    by_operator = Counted(lambda operator: vector @ operator.apply(vector))
    operator = PauliSum(dict(zip(words, values)))
    for scale in (1.0, 2.0, 3.0):
        by_operator(scale * operator)
    assert by_operator.traces == 1
    np.testing.assert_allclose(jax.grad(by_operator)(operator).coefficients, exact, atol=1e-12)
    dense_gradient = jax.grad(lambda o: jnp.sum(o.to_dense()[0]))(operator).coefficients
    np.testing.assert_allclose(dense_gradient, [matrix_of(w).real[0].sum() for w in words], atol=1e-12)


def test_merging_of_equal_strings():
    """Equal strings are added up at construction, numbers and traced ones together."""
    space = Spin(3)
    operator = PauliSum.from_terms(
        [("ZZ", (0, 1), 1.0), ("ZZ", (1, 0), 0.5), ("X", (2,), 1.0), ("IX", (0, 2), 2)], space
    )
    assert operator.terms == {"IIX": 3.0, "ZZI": 1.5}

    @jax.jit
    def coefficients(c):
        terms = [("Z", (0,), c), ("Z", (0,), 2.0), ("X", (1,), c), ("Z", (0,), c)]
        return PauliSum.from_terms(terms, space).coefficients

    np.testing.assert_allclose(coefficients(1.5), [5.0, 1.5])
    other = operator.with_coefficients(jnp.array([1.0, 2.0]))
    assert other.terms == {"ZZI": 1.0, "IIX": 2.0}


def test_scalars_of_numpy_and_jax():
    """NumPy and JAX scalars on both sides give a PauliSum."""
    operator = PauliSum({"X": 2.0})
    for two in (np.float64(2), jnp.float64(2), jnp.asarray(2), np.int64(2)):
        assert (two * operator).terms == {"X": 4.0} and (operator * two).terms == {"X": 4.0}
        assert (operator / two).terms == {"X": 1.0}
        assert (two + operator).terms == {"I": 2.0, "X": 2.0}
    with pytest.raises(TypeError):
        operator * np.ones(2)
    with pytest.raises(TypeError):
        operator @ np.ones(2)
    with pytest.raises(TypeError):
        operator + "X"


def test_printing():
    """Short and readable; long sums are cut."""
    assert repr(PauliSum({"ZZ": 1.0, "XI": -0.5})) == "PauliSum(2 sites, 2 terms: 1 Z0 Z1 - 0.5 X0)"
    assert repr(PauliSum({"II": 1j})) == "PauliSum(2 sites, 1 term: 0+1j I)"
    assert repr(PauliSum({}, Spin(2))) == "PauliSum(2 sites, 0 terms)"
    assert repr(PauliSum.from_terms([("X", (i,), 1.0) for i in range(20)], Spin(20))).endswith("1 X7 + ...)")
    assert list(PauliSum({"ZZ": 1.0, "IX": 2.0, "XI": 3.0}).terms) == ["IX", "XI", "ZZ"]
    assert "X0" in str(jax.eval_shape(lambda o: o, PauliSum({"X": 1.0})))


def test_empty_sum():
    """A sum of nothing is the zero operator."""
    zero = PauliSum({}, Spin(2))
    np.testing.assert_array_equal(zero.to_dense(), np.zeros((4, 4)))
    np.testing.assert_array_equal(zero.apply(np.ones(4)), np.zeros(4))
    assert (zero @ PauliSum({"XX": 1.0})).terms == {} and float(zero.trace()) == 0


def test_table_leaves_nothing_out():
    """The list of elements has a row for each state and a column for each flip."""
    columns, elements, diagonal = table(PauliSum({"XI": 1.0, "YI": 1.0, "ZZ": 2.0}))
    assert columns.shape == elements.shape == (4, 1) and diagonal.shape == (4,)


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: PauliSum({"XQ": 1.0}), SpaceError),
        (lambda: PauliSum({"xx": 1.0}), SpaceError),
        (lambda: PauliSum({"XX": 1.0, "X": 1.0}), ShapeError),
        (lambda: PauliSum({"XX": 1.0}, Spin(3)), ShapeError),
        (lambda: PauliSum({}), ShapeError),
        (lambda: PauliSum({"X": 1.0}, Spin(1, s=1)), SpaceError),
        (lambda: PauliSum({"X": "one"}), ShapeError),
        (lambda: PauliSum({"X": np.ones(2)}), ShapeError),
        (lambda: PauliSum.from_terms([("X", (3,), 1.0)], Spin(3)), SpaceError),
        (lambda: PauliSum.from_terms([("XX", (1, 1), 1.0)], Spin(3)), SpaceError),
        (lambda: PauliSum.from_terms([("XX", (1,), 1.0)], Spin(3)), ShapeError),
        (lambda: PauliSum({"X": 1.0}) + PauliSum({"XX": 1.0}), SpaceError),
        (lambda: PauliSum({"X": 1.0}).with_coefficients(np.ones(2)), ShapeError),
        (lambda: PauliSum({"XX": 1.0}).diagonal(np.ones(3)), ShapeError),
        (lambda: PauliSum({"XX": 1.0}).connected(np.ones((2, 1))), ShapeError),
        (lambda: PauliSum({"XX": 1.0}).apply(np.ones(3)), ShapeError),
        (lambda: PauliSum({"X" * 15: 1.0}).to_dense(), SpaceError),
        (lambda: PauliSum({"X" * 70: 1.0}).linear_map(), SpaceError),
    ],
)
def test_bad_input(build, error):
    """Every wrong use says what is wrong, got, expected and what to try."""
    with pytest.raises(error, match=r"got:(.|\n)*expected:(.|\n)*try:"):
        build()
