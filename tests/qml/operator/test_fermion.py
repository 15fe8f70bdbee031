"""Sums of fermion strings against Jordan-Wigner matrices."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qml._core.errors import DataError, ShapeError, SpaceError
from qml.hilbert import Boson, Spin, SpinfulFermion, SpinlessFermion
from qml.hilbert.constrained import Constrained
from qml.operator.fermion import FermionSum
from tests.qml.operator.fock import annihilator, block, fermions

N = 4
SPACE = SpinlessFermion(N)
operators = st.tuples(st.integers(0, N - 1), st.booleans()).map(lambda o: f"{o[0]}{'^' * o[1]}")
words = st.lists(operators, max_size=5).map(" ".join)
numbers = st.tuples(st.integers(-8, 8), st.integers(-8, 8)).map(lambda v: (v[0] + 1j * v[1]) / 4)
sums = st.dictionaries(words, numbers, max_size=6)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(sums, sums)
def test_algebra(a, b):
    """Random complex sums, not Hermitian, in any order of their operators: every operation is that of the matrices."""
    f, g, p, q = FermionSum(a, SPACE), FermionSum(b, SPACE), fermions(a, N), fermions(b, N)
    np.testing.assert_allclose(f.to_dense(), p, atol=1e-12)
    for operator, matrix in [
        (f, p),
        (f.adjoint(), p.conj().T),
        (f @ g, p @ q),
        (f.commutator(g), p @ q - q @ p),
        (f.anticommutator(g), p @ q + q @ p),
        (f + 2.0 * g - 1.5, p + 2 * q - 1.5 * np.eye(2**N)),
        (f / (1 + 1j) - g, p / (1 + 1j) - q),
        (f + f.adjoint(), p + p.conj().T),
    ]:
        np.testing.assert_allclose(fermions(operator.terms, N), matrix, atol=1e-11)
        assert operator.is_hermitian == np.allclose(matrix, matrix.conj().T, atol=1e-11)


PART = Constrained(SPACE, totals={(0, 1): 1})


@pytest.mark.parametrize(
    "space",
    [SPACE, SpinfulFermion(2, 1, 1)]
    + [pytest.param(s, marks=pytest.mark.slow) for s in (SpinlessFermion(N, n_fermions=2), SpinfulFermion(2), PART)],
)
def test_every_form(space):
    """Dense, sparse, matrix-free and configuration by configuration, in constrained spaces too."""
    rng = np.random.default_rng(0)
    pairs = [
        ("0^ 1", 1),
        ("1^ 0", 0.3j),
        ("2^ 3", 2),
        ("3^ 0^ 1 2", 1.5),
        ("2^ 1^ 1 3", -0.7),
        ("n0 n2", 0.4),
        ("n3", 1j),
    ]
    terms = {w: v * (1.0 + rng.normal()) for w, v in pairs}
    matrix = block(fermions(terms, N), SPACE, space)
    operator = FermionSum(terms, space)
    vector = rng.normal(size=space.size) + 1j * rng.normal(size=space.size)
    np.testing.assert_allclose(operator.to_dense(), matrix, atol=1e-13)
    np.testing.assert_allclose(operator.to_sparse().toarray(), matrix, atol=1e-13)
    np.testing.assert_allclose(operator.apply(vector), matrix @ vector, atol=1e-13)
    np.testing.assert_allclose(FermionSum(terms, SPACE).on(space).to_dense(), matrix, atol=1e-13)
    x = space.all_states()
    neighbours, elements = operator.connected(x[None])
    assert neighbours.shape == (1, space.size, len(operator.strings.layout.moves), N) and neighbours.dtype == x.dtype
    assert elements.shape == neighbours.shape[:-1] and operator.diagonal(x[0]).shape == ()
    np.testing.assert_allclose(operator.diagonal(x), np.diag(matrix), atol=1e-13)


def test_anticommutation():
    """The canonical relations, exactly, and their signs against Jordan-Wigner matrices."""
    c = [FermionSum({f"{i}": 1.0}, SPACE) for i in range(N)]
    for i, j in itertools.product(range(N), repeat=2):
        assert c[i].anticommutator(c[j]).terms == {}
        assert c[i].adjoint().anticommutator(c[j]).terms == ({"": 1.0} if i == j else {})
        assert (c[i] @ c[j]).terms == FermionSum.from_terms([(((i, False), (j, False)), 1.0)], SPACE).terms
    for i in range(N):
        np.testing.assert_array_equal(c[i].to_dense(), annihilator(i, N))


def test_words():
    """Text is read, normal ordered and written back; equal strings are merged."""
    assert FermionSum({"1 0^": 1.0}, SPACE).terms == {"0^ 1": -1.0}
    assert FermionSum({"0^ 1": 1.0, "1 0^": 0.25, "0^ 0^": 3.0}, SPACE).terms == {"0^ 1": 0.75}
    assert FermionSum({"0 0^": 1.0}, SPACE).terms == {"n0": -1.0, "": 1.0}
    assert FermionSum({"n0 n2": 1.0}, SPACE).terms == FermionSum({"0^ 0 2^ 2": 1.0}, SPACE).terms == {"n0 n2": 1.0}
    assert FermionSum({}, SPACE).terms == {}
    assert repr(FermionSum({"0^ 1": -1.0, "": 2.0}, SPACE)) == "FermionSum(4 modes, 2 terms: - 1 [0^ 1] + 2 [1])"
    hop = FermionSum({"0^ 1": 1.0, "1^ 0": 1.0}, SPACE)
    assert hop.conserves_number and not FermionSum({"0^ 1^": 1.0}, SPACE).conserves_number
    assert (hop - hop).simplify().terms == {} and (hop * 1j + 0.0).is_hermitian is False


def test_more_than_one_word():
    """Seventy modes: parities run through all words; two fermions hop around a ring with the sign of the other one."""
    n = 70
    space = SpinlessFermion(n, n_fermions=2)
    operator = FermionSum({f"0^ {n - 1}": 1.0, f"{n - 1}^ 0": 1.0, "n35 n69": 2.5}, space)
    x = np.zeros((3, n), np.int8)
    x[0, [0, 35]] = x[1, [0, n - 1]] = x[2, [35, 69]] = 1
    neighbours, elements = operator.connected(jnp.asarray(x))
    assert elements.tolist() == [[-1.0], [0.0], [-1.0]]
    assert np.flatnonzero(neighbours[0, 0]).tolist() == [35, 69]
    assert operator.diagonal(jnp.asarray(x)).tolist() == [0.0, 0.0, 2.5]


def test_spaces_refused():
    """Terms that change a fixed number are refused by name, those without an element in the space are not."""
    space = SpinfulFermion(2, n_up=1, n_down=1)
    with pytest.raises(SpaceError, match=r"'0\^ 2'"):
        FermionSum({"0^ 2": 1.0, "n0": 1.0}, space)
    FermionSum({"0^ 2": 1.0, "2^ 0": 1.0}, SpinfulFermion(2, n_fermions=2))
    with pytest.raises(SpaceError, match="leaves"):
        FermionSum({"0^ 2": 1.0}, SpinfulFermion(2)).on(space)
    with pytest.raises(SpaceError):
        FermionSum({"0": 1.0}, SpinlessFermion(3, n_fermions=1))
    assert not np.any(FermionSum({"0 1": 1.0, "2": 0.0}, SpinlessFermion(3, n_fermions=1)).to_dense())
    assert not np.any(FermionSum({"0^": 1.0}, SpinlessFermion(3, n_fermions=3)).to_dense())
    for bad in (Spin(2), Boson(2, n_max=1)):
        with pytest.raises(SpaceError):
            FermionSum({"0": 1.0}, bad)
    for word in ("x", "0 ^", "-1", "9", "n", "0^^"):
        with pytest.raises(SpaceError):
            FermionSum({word: 1.0}, SPACE)
    with pytest.raises(ShapeError):
        FermionSum([("0", 1.0)], SPACE)
    with pytest.raises(DataError):
        FermionSum({"n0": np.nan}, SPACE)
    with pytest.raises(SpaceError):
        FermionSum({"n0": 1.0}, SPACE) + FermionSum({"n0": 1.0}, SpinlessFermion(N, n_fermions=1))
    with pytest.raises(SpaceError):
        FermionSum({"n0": 1.0}, SPACE).check_space(SpinlessFermion(5))
    with pytest.raises(ShapeError):
        FermionSum({"n0": 1.0}, SPACE).with_coefficients([1.0, 2.0])


def no_double(x):
    """At most one fermion on each of two orbitals."""
    return jnp.all(x[..., :2] + x[..., 2:] < 2, axis=-1)


@pytest.mark.slow
def test_predicates():
    """A bare hop leaves the space without double occupancy and is refused; with projectors it stays."""
    space = Constrained(SpinfulFermion(2, n_fermions=2), no_double)
    with pytest.raises(SpaceError, match=r"'0\^ 1'"):
        FermionSum({"0^ 1": 1.0, "n0": 1.0}, space)
    spin_flip = {"0^ 2 3^ 1": 1.0, "2^ 0 1^ 3": 1.0}
    operator = FermionSum(spin_flip, space)
    matrix = block(fermions(spin_flip, N), SPACE, space)
    vector = np.arange(1.0, space.size + 1)
    assert space.size == 4 and np.any(matrix)
    np.testing.assert_allclose(operator.to_dense(), matrix, atol=1e-14)
    np.testing.assert_allclose(operator.apply(vector), matrix @ vector, atol=1e-14)
    jax.jit(lambda j: FermionSum(dict.fromkeys(spin_flip, j), space).apply(vector))(1.0)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(sums)
def test_bound(a):
    """Every eigenvalue of a Hermitian sum lies in its interval."""
    operator = FermionSum(a, SPACE)
    operator = operator + operator.adjoint()
    centre, radius = operator.bound()
    levels = np.linalg.eigvalsh(fermions(operator.terms, N))
    assert centre - radius - 1e-10 <= levels[0] and levels[-1] <= centre + radius + 1e-10


def test_tight_bound():
    """A hop and its conjugate count once, a number as an interval from 0."""
    assert FermionSum({"0^ 1": -2.0, "1^ 0": -2.0, "n2": 3.0, "": 1.0}, SPACE).bound() == (2.5, 3.5)


def test_traced_coefficients():
    """One program for all couplings; derivatives; Hermiticity known before tracing is kept."""
    operator = FermionSum({"0^ 1": 1.0, "1^ 0": 1.0, "n0 n1": 2.0}, SPACE)
    vector, count = jnp.arange(16.0), []

    @jax.jit
    def energy(operator):
        count.append(operator.is_hermitian)
        return vector @ operator.apply(vector)

    for scale in (1.0, 2.0, -3.0):
        expected = scale * (vector @ operator.apply(vector))
        np.testing.assert_allclose(energy(scale * operator), expected)
    assert count == [True]
    gradient = jax.grad(energy)(operator).coefficients
    one = [FermionSum({w: 1.0}, SPACE) for w in operator.terms]
    np.testing.assert_allclose(gradient, [vector @ o.apply(vector) for o in one])
    traced = jax.jit(lambda t: FermionSum({"0^ 1": t, "1^ 0": t}, SPACE).to_dense())(0.5)
    np.testing.assert_allclose(traced, fermions({"0^ 1": 0.5, "1^ 0": 0.5}, N))
    with pytest.raises(SpaceError):
        jax.jit(lambda t: FermionSum({"0^ 2": t}, SpinfulFermion(2, 1, 1)).to_dense())(1.0)
    batched = jax.vmap(lambda t: (t * operator).apply(vector))(jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(batched[1], 2 * batched[0])
