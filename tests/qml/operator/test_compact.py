"""Compacted elements: the same set as the neighbours and as the dense matrix, for every batch and capacity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qml._core.errors import ShapeError
from qml.hilbert import Boson, Spin
from qml.lattice import Chain, Square
from qml.operator import J1J2, BosonSum, Heisenberg, Ising, LocalOperator, PauliSum, spin_matrices
from qml.operator.compact import Compacted, bucket, capacity_for, compact_generic, count_connected
from tests.helpers.compiled import Counted


def pauli(seed: int, n: int, terms: int, *, imaginary: bool = True) -> PauliSum:
    """Random strings with random coefficients."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("IXYZ"), n)) for _ in range(terms)]
    return PauliSum({w: complex(*rng.normal(size=2)) if imaginary else float(rng.normal()) for w in words})


def off_diagonal(operator, x) -> np.ndarray:
    """Rows `x` of the matrix without its diagonal."""
    at = np.asarray(operator.hilbert.states_to_indices(x))
    matrix = np.array(operator.to_dense())
    np.fill_diagonal(matrix, 0)
    return matrix[at]


def rows_of(found: Compacted, operator) -> np.ndarray:
    """The same rows from compacted elements, added up where a neighbour comes twice."""
    used = int(found.count)
    out = np.zeros((found.batch, operator.hilbert.size), found.elements.dtype)
    columns = np.asarray(operator.hilbert.states_to_indices(found.states))[:used]
    np.add.at(out, (np.asarray(found.rows)[:used], columns), np.asarray(found.elements)[:used])
    return out


def operators() -> dict:
    """One operator of each kind."""
    s1 = spin_matrices(1)
    bond = sum(np.kron(s1[a], s1[a]) for a in "XYZ").real
    hops = {f"{i}^ {j}": -1.0 for i in range(3) for j in range(3) if i != j}
    return {
        "pauli": pauli(0, 5, 30),
        "sector": J1J2(Spin(6, magnetisation=1), Square(3, 2, periodic=(True, False)), j1=1.0, j2=0.4),
        "field": Ising(Spin(4), Chain(4), j=-1.0, h=0.5),
        "diagonal": PauliSum({"ZZI": 1.0}),
        "spin 1": LocalOperator.from_terms([(bond, b, 1.0) for b in Chain(4).edges()], Spin(4, s=1, magnetisation=0)),
        "complex": LocalOperator.from_terms([(s1["X"] + 2j * s1["+"], (i,), 1.0) for i in range(3)], Spin(3, s=1)),
        "boson": BosonSum(hops, Boson(3, n_max=2, n_particles=3)),
    }


SLOW = {
    ("spin 1", 1),
    ("spin 1", 7),
    ("complex", 1),
    ("boson", 7),
    ("pauli", 1),
    ("sector", 1),
    ("field", 1),
    ("diagonal", 7),
    ("pauli", 7),
    ("field", 7),
    ("complex", 7),
}
CASES = [pytest.param(b, n, marks=pytest.mark.slow if (n, b) in SLOW else ()) for n in operators() for b in (1, 7)]


@pytest.mark.parametrize(("batch", "name"), CASES)
def test_same_set_as_the_matrix(name, batch):
    """Rows of the matrix come out whatever the batch and the capacity; unused slots are marked and valid."""
    operator = operators()[name]
    x = operator.hilbert.random_state(jax.random.key(batch), batch)
    expected = off_diagonal(operator, x)
    count, last = int(np.sum(count_connected(operator, x))), np.asarray(x)[-1]
    for capacity in (None, max(1, count), count + 9, 3 * bucket(count)):
        found = operator.compacted(x, capacity)
        assert int(found.count) == count and bool(found.fits)
        assert found.states.dtype == x.dtype and found.elements.dtype == operator.dtype
        np.testing.assert_allclose(rows_of(found, operator), expected, atol=1e-13)
        rows, states, elements = (np.asarray(a) for a in (found.rows, found.states, found.elements))
        assert np.all(np.diff(rows) >= 0) and np.all(elements[:count] != 0)
        assert np.all(rows[count:] == batch) and np.all(elements[count:] == 0)
        assert np.all(operator.hilbert.contains(found.states))
        np.testing.assert_array_equal(states[count:], np.broadcast_to(last, states[count:].shape))
        values = np.random.default_rng(0).normal(size=found.capacity)
        by_hand = [np.sum((elements * values)[rows == r]) for r in range(batch)]
        np.testing.assert_allclose(found.sum(values), by_hand, atol=1e-13)


def check_random_sum(n, terms, seed):
    operator = pauli(seed, n, terms)
    x = operator.hilbert.all_states()
    found = operator.compacted(x)
    np.testing.assert_allclose(rows_of(found, operator), off_diagonal(operator, x), atol=1e-13)
    generic = compact_generic(operator, x, found.capacity)
    for fast, slow in zip(jax.tree.leaves(found), jax.tree.leaves(generic)):
        np.testing.assert_allclose(fast, slow, atol=1e-14)
    used = int(found.count)
    pairs = np.concatenate([np.asarray(found.rows)[:used, None], np.asarray(found.states)[:used]], axis=1)
    assert len(np.unique(pairs, axis=0)) == used


@pytest.mark.slow
@settings(max_examples=4, deadline=None, derandomize=True)
@given(st.integers(1, 5), st.integers(1, 40), st.integers(0, 10**6))
def test_random_sums(n, terms, seed):
    """Random complex sums: compacted is connected without zeros is the dense matrix; each neighbour comes once."""
    check_random_sum(n, terms, seed)


@pytest.mark.slow
@settings(max_examples=24, deadline=None, derandomize=True)
@given(st.integers(1, 5), st.integers(1, 40), st.integers(0, 10**6))
def test_more_random_sums(n, terms, seed):
    """The same for more sums."""
    check_random_sum(n, terms, seed)


def test_only_antiparallel_bonds():
    """Of J1-J2 on 200 bonds only the antiparallel ones are listed, each with half its coupling."""
    lattice = Square(5, 4)
    operator = J1J2(Spin(20, magnetisation=0), lattice, j1=1.0, j2=0.5)
    x = operator.hilbert.random_state(jax.random.key(0), 16)
    found = operator.compacted(x)
    bonds = np.array([*lattice.edges(), *lattice.edges(order=2)])
    anti = np.asarray(x[:, bonds[:, 0]] != x[:, bonds[:, 1]])
    assert int(found.count) == anti.sum()
    np.testing.assert_array_equal(count_connected(operator, x), anti.sum(axis=1))
    halves = np.repeat([0.5, 0.25], [len(lattice.edges()), len(lattice.edges(order=2))])
    np.testing.assert_allclose(np.sum(found.elements), np.sum(anti * halves), rtol=1e-13)


def test_many_sites_and_long_strings():
    """Strings over several words of bits, and groups of many strings."""
    n = 77
    rng = np.random.default_rng(1)
    words = ["X" + "".join(rng.choice(list("IZY"), n - 1)) for _ in range(3)] + ["Y" * n, "I" * (n - 1) + "X"]
    words += ["XX" + "".join(rng.choice(list("IZ"), n - 2)) for _ in range(40)]
    operator = PauliSum({w: complex(*rng.normal(size=2)) for w in words})
    x = operator.hilbert.random_state(jax.random.key(0), 9)
    found = operator.compacted(x)
    neighbours, elements = operator.connected(x)
    keep = np.flatnonzero(np.asarray(elements).reshape(-1))
    np.testing.assert_array_equal(np.asarray(found.states)[: len(keep)], np.asarray(neighbours).reshape(-1, n)[keep])
    np.testing.assert_allclose(
        np.asarray(found.elements)[: len(keep)], np.asarray(elements).reshape(-1)[keep], atol=1e-13
    )


def test_overflow_shows():
    """Too few slots: the count says so and every number is NaN."""
    operator = Heisenberg(Spin(6), Chain(6))
    x = jnp.array([[1, -1] * 3, [1] * 6], jnp.int8)
    found = operator.compacted(x, 5)
    assert int(found.count) == 6 and not bool(found.fits)
    assert np.all(np.isnan(found.elements)) and np.all(np.isnan(found.sum(jnp.ones(5))[:1]))
    assert bool(operator.compacted(x, 6).fits)


def test_one_program_for_all_coefficients():
    """jit, grad and vmap; couplings and batches of one bucket share a program."""
    space, chain = Spin(6), Chain(6)
    x = space.random_state(jax.random.key(3), (4, 8))
    capacity = max(capacity_for(Heisenberg(space, chain), batch) for batch in x)

    @Counted
    def energy(j, x):
        found = Heisenberg(space, chain, j).compacted(x, capacity)
        return jnp.sum(found.elements * jnp.cos(found.states @ jnp.arange(6.0)))

    for j, batch in zip((0.5, 1.0, 2.0, 3.0), x):
        energy(j, batch)
    assert energy.traces == 1
    np.testing.assert_allclose(jax.grad(energy)(2.0, x[0]), energy(1.0, x[0]), rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(energy, (None, 0))(1.0, x), [energy(1.0, b) for b in x], rtol=1e-12)

    use = Counted(lambda operator, x: operator.compacted(x, capacity).elements)
    for h in (0.3, 0.4):
        use(Ising(space, chain, j=1.0, h=h), x[0])
    assert use.traces == 1


def test_buckets():
    """Increasing, holding the count, at most one slot in 32 empty, and few of them."""
    sizes = [bucket(n) for n in range(5000)]
    assert all(size >= n for n, size in enumerate(sizes)) and sizes == sorted(sizes) and sizes[0] == 1
    assert all(32 * (size - n) < size for n, size in enumerate(sizes) if n > 32)
    assert len(set(sizes[2048:4096])) <= 33 and all(bucket(size) == size for size in sizes)
    assert bucket(2**40 + 1) - 2**40 == 2**35


def test_bad_input():
    """Capacities that are no ints, batches that are none, negative counts."""
    operator = Ising(Spin(3), Chain(3), j=1.0, h=1.0)
    x = np.ones((2, 3), np.int8)
    for bad in (0, -1, True):
        with pytest.raises(ShapeError, match="capacity"):
            operator.compacted(x, bad)
    for rows in (x[0], x[:, :2], x[None]):
        with pytest.raises(ShapeError, match="batch"):
            operator.compacted(rows, 4)
    with pytest.raises(ShapeError, match="traced"):
        jax.jit(lambda x: operator.compacted(x).count)(x)
    with pytest.raises(ShapeError):
        bucket(-1)
