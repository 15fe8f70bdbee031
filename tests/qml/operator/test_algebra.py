"""Algebra of local matrices and across kinds, against dense matrices; embedding; operators that depend on time."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qml._core.errors import DataError, ShapeError, SpaceError
from qml.hilbert import Boson, Constrained, Spin, SpinlessFermion
from qml.lattice import Chain
from qml.operator import (
    BosonSum,
    Heisenberg,
    Ising,
    LocalOperator,
    PauliSum,
    TimeDependent,
    anticommutator,
    as_local,
    commutator,
    spin_matrices,
    total,
)
from tests.helpers.compiled import Counted
from tests.qml.operator.kron import dense
from tests.qml.operator.test_compact import off_diagonal, rows_of

SPACES = (Spin(3), Spin(2, s=1), Boson(2, n_max=3), Spin(1, s=1.5) * Boson(2, n_max=1))


def random_terms(seed: int, space, terms: int = 3) -> list:
    """Random complex matrices, with zeros, on random sites in random order, with coefficients."""
    rng = np.random.default_rng(seed)
    dims, made = [len(s) for s in space.site_states], []
    for _ in range(terms):
        sites = rng.permutation(space.n_sites)[: rng.integers(1, min(2, space.n_sites) + 1)]
        side = int(np.prod([dims[i] for i in sites]))
        local = (rng.normal(size=(side, side)) + 1j * rng.normal(size=(side, side))) * (rng.random((side, side)) < 0.5)
        made.append((local, sites.tolist(), complex(*rng.normal(size=2))))
    return made


def random_local(seed: int, space, terms: int = 3) -> tuple[LocalOperator, np.ndarray]:
    """The sum of `random_terms`, and its matrix on the whole space."""
    dims, made = [len(s) for s in space.site_states], random_terms(seed, space, terms)
    zero = np.zeros((space.size, space.size), complex)
    matrix = sum((c * embedded(local, sites, dims) for local, sites, c in made), start=zero)
    return LocalOperator.from_terms(made, space), matrix


def on_all_sites(operator: LocalOperator) -> np.ndarray:
    """The matrix of a sum of local matrices from its terms, without a compiled program."""
    dims = [len(s) for s in operator.hilbert.site_states]
    zero = np.zeros((operator.hilbert.size,) * 2, complex)
    return sum((embedded(t.matrix, list(t.sites), dims) for t in operator.terms()), start=zero)


def embedded(local: np.ndarray, sites: list, dims: list) -> np.ndarray:
    """A local matrix on all sites, by a product with the identity and a transposition."""
    rest = [i for i in range(len(dims)) if i not in sites]
    order = [*sites, *rest]
    wide = np.kron(local, np.eye(int(np.prod([dims[i] for i in rest]))))
    back, n = np.argsort(order), len(dims)
    tensor = wide.reshape([dims[i] for i in order] * 2).transpose(*back, *(back + n))
    return tensor.reshape(wide.shape)


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_forms_of_local_matrices(space):
    """Dense, sparse, matrix-free and compacted forms of a random complex sum are the dense matrix."""
    a, m = random_local(5, space, 4)
    np.testing.assert_allclose(a.to_dense(), m, atol=1e-12)
    np.testing.assert_allclose(a.to_sparse().toarray(), m, atol=1e-12)
    vector = np.random.default_rng(0).normal(size=len(m))
    np.testing.assert_allclose(a.apply(vector), m @ vector, atol=1e-11)
    np.testing.assert_allclose(a.trace(), np.trace(m), atol=1e-11)
    x = space.all_states()
    found = a.compacted(x)
    np.testing.assert_allclose(rows_of(found, a), off_diagonal(a, x), atol=1e-12)
    used = int(found.count)
    pairs = np.concatenate([np.asarray(found.rows[:used])[:, None], np.asarray(found.states[:used])], axis=1)
    assert len(np.unique(pairs, axis=0)) == used  # each neighbour in one slot


@pytest.mark.slow
@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.sampled_from(SPACES), st.integers(0, 10**6))
def test_local_matrices(space, seed):
    """Every operation on sums of local matrices is that of the dense matrices; Hermiticity is exact."""
    (a, m), (b, n) = random_local(seed, space), random_local(seed + 1, space, 2)
    for operator, expected in (
        (a, m),
        (a + b, m + n),
        (2.0 * a - b / 4 + 1.5, 2 * m - n / 4 + 1.5 * np.eye(len(m))),
        (1j - a, 1j * np.eye(len(m)) - m),
        (a @ b, m @ n),
        (a**3, m @ m @ m),
        (b**0, np.eye(len(m))),
        (a.commutator(b), m @ n - n @ m),
        (anticommutator(a, b), m @ n + n @ m),
        (a.adjoint() @ b, m.conj().T @ n),
    ):
        np.testing.assert_allclose(on_all_sites(operator), expected, atol=1e-11)
        assert operator.is_hermitian == np.allclose(expected, expected.conj().T, atol=1e-10)
    assert (a + a.adjoint()).is_hermitian and (1j * (a - a.adjoint())).is_hermitian
    assert not np.any(on_all_sites(a - a)) and not (a - a).connected(space.all_states()[:1])[1].size


def test_no_wasted_slots():
    """Fields and bonds share their slots: as many as neighbours, whichever matrices they come from."""
    m, chain = spin_matrices(1), Chain(5)
    bond = sum(np.kron(m[a], m[a]) for a in "XYZ").real
    field = [(m["X"], (i,), 0.3) for i in range(5)]
    wide = [(np.kron(m["X"], m["Z"]), b, 0.2) for b in chain.edges()]
    operator = LocalOperator.from_terms([*((bond, b, 1.0) for b in chain.edges()), *field, *field, *wide], Spin(5, s=1))
    slots = operator.connected(operator.hilbert.all_states())[0].shape[1]
    assert slots == 5 * 2 + 5 * 2  # one site: up or down; a bond: up-down or down-up
    assert sum(len(p.sites) for p in operator.places) == 10
    cancelled = LocalOperator.from_terms([(m["X"], (0,), 1.0), (m["X"], (0,), -1.0)], Spin(2, s=1))
    assert cancelled.connected(np.zeros(2, np.int8))[0].shape == (0, 2)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(1, 3), st.integers(0, 10**6))
def test_across_kinds(n, seed):
    """A PauliSum with a LocalOperator, in either order: sums, differences, products, commutators."""
    rng = np.random.default_rng(seed)
    terms = {"".join(rng.choice(list("IXYZ"), n)): complex(*rng.normal(size=2)) for _ in range(5)}
    pauli, p = PauliSum(terms), dense(terms)
    local, m = random_local(seed, Spin(n))
    for operator, expected in (
        (as_local(pauli), p),
        (pauli + local, p + m),
        (local + pauli, p + m),
        (pauli - local, p - m),
        (local - pauli, m - p),
        (pauli @ local, p @ m),
        (local @ pauli, m @ p),
        (commutator(pauli, local), p @ m - m @ p),
        (pauli.commutator(local), p @ m - m @ p),
        (commutator(local, pauli), m @ p - p @ m),
        (anticommutator(pauli, local), m @ p + p @ m),
        (pauli**2, p @ p),
    ):
        matrix = dense({"I" * n: 0.0, **operator.terms}) if isinstance(operator, PauliSum) else on_all_sites(operator)
        np.testing.assert_allclose(matrix, expected, atol=1e-11)


def test_embedding():
    """On sites of a larger space: the Kronecker product with identities, in the order given."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("IXYZ"), 2)) for _ in range(6)]
    pauli = PauliSum({w: complex(*rng.normal(size=2)) for w in words})
    wide = pauli.on_sites(Spin(4), (3, 1))
    np.testing.assert_allclose(wide.to_dense(), embedded(dense(pauli.terms), [3, 1], [2] * 4), atol=1e-13)
    local, matrix = random_local(3, Spin(2, s=1))
    wide = local.on_sites(Spin(3, s=1), (2, 0))
    np.testing.assert_allclose(wide.to_dense(), embedded(matrix, [2, 0], [3] * 3), atol=1e-12)
    bond = Heisenberg(Spin(2), Chain(2, periodic=False))
    ring = [bond.on_sites(Spin(4, magnetisation=0), b) for b in Chain(4).edges()]
    expected = Heisenberg(Spin(4, magnetisation=0), Chain(4))
    np.testing.assert_allclose(functools.reduce(lambda a, b: a + b, ring).to_dense(), expected.to_dense(), atol=1e-13)
    for sites in ((0,), (0, 0), (0, 4)):
        with pytest.raises(SpaceError):
            pauli.on_sites(Spin(4), sites)
    with pytest.raises(SpaceError):
        pauli.on_sites(Spin(4, magnetisation=0), (0, 1))
    with pytest.raises(SpaceError):
        local.on_sites(Spin(4), (0, 1))


def test_traced_matrices():
    """Products, sums and adjoints of traced matrices: one program, gradients, Hermiticity known."""
    m = spin_matrices(1)
    space, vector = Spin(2, s=1), jnp.arange(9.0)

    @Counted
    def value(a, b):
        one = LocalOperator.from_terms([(m["X"], (0,), a), (m["Z"], (1,), b)], space)
        two = one @ one + 0.5 * one.adjoint() + b
        assert one.is_hermitian and not (1j * one).is_hermitian
        return jnp.real(jnp.conj(vector) @ two.apply(vector))

    x, z = np.kron(m["X"], np.eye(3)), np.kron(np.eye(3), m["Z"])

    def expected(a, b):
        one = a * x + b * z
        return np.arange(9) @ (one @ one + 0.5 * one + b * np.eye(9)) @ np.arange(9)

    for a, b in ((0.3, 0.7), (1.0, -2.0)):
        np.testing.assert_allclose(value(a, b), expected(a, b), rtol=1e-12)
    assert value.traces == 1
    slope = (expected(0.3 + 1e-5, 0.7) - expected(0.3 - 1e-5, 0.7)) / 2e-5
    np.testing.assert_allclose(jax.grad(value)(0.3, 0.7), slope, rtol=1e-8)


@pytest.mark.slow
def test_predicates_and_parts():
    """Spaces with a predicate or several totals: exact blocks, refusals, traces."""
    blockade = Constrained(Spin(4), predicate=_no_neighbours)
    assert PauliSum({"ZZII": 1.0}, blockade).diagonal(jnp.array([[1, -1, -1, 1]])).tolist() == [-1.0]
    free = sum((_pxp(i) for i in range(4)), start=PauliSum({}, Spin(4)))
    operator = free.on(blockade)
    index = np.asarray(Spin(4).states_to_indices(blockade.all_states()))
    block = np.asarray(free.to_dense())[np.ix_(index, index)]
    np.testing.assert_allclose(operator.to_dense(), block, atol=1e-13)
    np.testing.assert_allclose((operator @ operator).trace(), np.trace(block @ block), atol=1e-12)
    with pytest.raises(SpaceError, match="leaves"):
        total(blockade, "X")
    flip = [(spin_matrices(0.5)["X"], (1,), 1.0)]
    with pytest.raises(SpaceError, match="leaves"):
        LocalOperator.from_terms(flip, blockade)
    halves = Constrained(Spin(4), totals={(0, 1): 0.0, (2, 3): 1.0})
    inside = PauliSum.from_terms([("XX", (0, 1), 1.0), ("YY", (0, 1), 1.0), ("Z", (2,), 0.5)], halves)
    index = np.asarray(Spin(4).states_to_indices(halves.all_states()))
    full = dense(inside.terms).real
    np.testing.assert_allclose(inside.to_dense(), full[np.ix_(index, index)], atol=1e-13)
    np.testing.assert_allclose(inside.trace(), np.trace(full[np.ix_(index, index)]), atol=1e-13)
    for sites in ((1, 2), (0, 3)):
        with pytest.raises(SpaceError, match="leaves"):
            PauliSum.from_terms([("XX", sites, 1.0), ("YY", sites, 1.0)], halves)
        with pytest.raises(SpaceError, match="leaves"):
            LocalOperator.from_terms([(np.diag([1.0, 1.0], k=2) + np.diag([1.0, 1.0], k=-2), sites, 1.0)], halves)


def _no_neighbours(x):
    return ~jnp.any((x[..., 1:] < 0) & (x[..., :-1] < 0), axis=-1)


def _pxp(i: int) -> PauliSum:
    """P X P with the projectors on up to both sides."""
    out = PauliSum.from_terms([("X", (i,), 1.0)], Spin(4))
    for j in (i - 1, i + 1):
        if 0 <= j < 4:
            out = out @ PauliSum.from_terms([("Z", (j,), 0.5), ("I", (j,), 0.5)], Spin(4))
    return out


@pytest.mark.slow
def test_time_dependence():
    """The operator at a time, its derivative, one program for all times, gradients in the functions' parameters."""
    space, chain = Spin(4), Chain(4)
    static, drive, probe = Ising(space, chain, j=-1.0, h=0.2), total(space, "X"), total(space, "Y")
    ramp = TimeDependent(static, [(jnp.cos, drive), (lambda t: t**2, probe)])
    vector = jnp.asarray(np.random.default_rng(0).normal(size=16))
    for t in (0.0, 0.4):
        expected = static.to_dense() + np.cos(t) * drive.to_dense() + t**2 * probe.to_dense()
        np.testing.assert_allclose(ramp(t).to_dense(), expected, atol=1e-13)
        slope = -np.sin(t) * drive.to_dense() + 2 * t * probe.to_dense()
        np.testing.assert_allclose(ramp.derivative(t).to_dense(), slope, atol=1e-13)
    assert ramp(0.0).strings == ramp(0.7).strings and ramp.hilbert == space

    by_time = Counted(lambda ramp, t: ramp(t).apply(vector))
    for t in (0.1, 0.2, 0.3):
        np.testing.assert_allclose(by_time(ramp, t), ramp(t).apply(vector), atol=1e-13)
    assert by_time.traces == 1
    use = Counted(lambda operator: operator.apply(vector))
    for t in (0.1, 0.2):
        use(ramp(t))
    assert use.traces == 1

    def end(rate):
        pulse = TimeDependent(None, [(lambda t: rate * t, drive)])
        return vector @ pulse(2.0).apply(vector)

    np.testing.assert_allclose(jax.grad(end)(0.3), 2 * vector @ drive.apply(vector), rtol=1e-12)
    local = TimeDependent(as_local(static), [(jnp.sin, as_local(drive))])
    np.testing.assert_allclose(local(0.5).to_dense(), (static + np.sin(0.5) * drive).to_dense(), atol=1e-13)


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: TimeDependent(), ShapeError),
        (lambda: TimeDependent(None, [(1.0, PauliSum({"X": 1.0}))]), ShapeError),
        (lambda: TimeDependent(PauliSum({"X": 1.0}), [(jnp.sin, PauliSum({"XX": 1.0}))]), SpaceError),
        (lambda: TimeDependent(None, [(lambda t: jnp.ones(2), PauliSum({"X": 1.0}))])(0.0), ShapeError),
        (lambda: as_local(PauliSum({"X" * 11: 1.0})), SpaceError),
        (lambda: as_local(BosonSum({"n0": 1.0}, Boson(1, n_max=1))), SpaceError),
        (lambda: as_local(PauliSum({"XX": 1.0})) + as_local(PauliSum({"X": 1.0})), SpaceError),
        (lambda: PauliSum({"X": 1.0}) ** -1, DataError),
        (lambda: LocalOperator.from_terms([(np.eye(2) * np.nan, (0,), 1.0)], Spin(1)), DataError),
        (lambda: LocalOperator.from_terms([(np.eye(2)[::-1], (0,), 1.0)], SpinlessFermion(2)), SpaceError),
        (lambda: _two_sites() ** 2 @ _wide() @ _wide(), SpaceError),
    ],
)
def test_bad_input(build, error):
    """Every wrong use says what is wrong, got, expected and what to try."""
    with pytest.raises(error, match=r"got:(.|\n)*expected:(.|\n)*try:"):
        build()


def _two_sites() -> LocalOperator:
    """A random matrix on sites of eight; its matrix on all of them would have 6561 rows."""
    space = Spin(8, s=1)
    return LocalOperator.from_terms(random_terms(0, space, 1), space)


def _wide() -> LocalOperator:
    """A string on eight sites."""
    x = spin_matrices(1)["X"]
    four = functools.reduce(np.kron, [x] * 4)
    high = LocalOperator.from_terms([(four, (4, 5, 6, 7), 1.0)], Spin(8, s=1))
    return LocalOperator.from_terms([(four, (0, 1, 2, 3), 1.0)], Spin(8, s=1)) @ high
