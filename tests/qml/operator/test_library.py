"""Models on lattices: definitions, units, couplings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml._core.errors import ShapeError
from qml.hilbert import Spin
from qml.lattice import Chain, Square
from qml.operator import J1J2, XXZ, Heisenberg, Ising, local, total
from tests.helpers.compiled import Counted

S = {"X": np.array([[0, 1], [1, 0]]) / 2, "Y": np.array([[0, -1j], [1j, 0]]) / 2, "Z": np.diag([1, -1]) / 2}


def on(n: int, **letters: str) -> np.ndarray:
    """Product of spin matrices on sites `s0=..., s1=...`."""
    matrix = np.eye(1)
    for i in range(n):
        matrix = np.kron(matrix, S[letters[f"s{i}"]] if f"s{i}" in letters else np.eye(2))
    return matrix


def exchange(n: int, i: int, j: int, delta: float = 1.0) -> np.ndarray:
    """S.S of two sites, with an anisotropy."""
    pairs = {a: on(n, **{f"s{i}": a, f"s{j}": a}) for a in "XYZ"}
    return (pairs["X"] + pairs["Y"] + delta * pairs["Z"]).real


def test_definitions():
    """Ising in Pauli matrices, the others in spin matrices, each bond once, no rotated signs."""
    space, chain = Spin(5), Chain(5)
    bonds = chain.edges()
    zz = sum(4 * on(5, **{f"s{i}": "Z", f"s{j}": "Z"}) for i, j in bonds)
    x = sum(2 * on(5, **{f"s{i}": "X"}) for i in range(5))
    np.testing.assert_allclose(Ising(space, chain, j=0.7, h=1.3).to_dense(), 0.7 * zz - 1.3 * x, atol=1e-13)
    heisenberg = sum(exchange(5, i, j) for i, j in bonds)
    np.testing.assert_allclose(Heisenberg(space, chain).to_dense(), heisenberg, atol=1e-13)
    np.testing.assert_allclose(Heisenberg(space, chain, -2.0).to_dense(), -2 * heisenberg, atol=1e-13)
    xxz = sum(0.9 * exchange(5, i, j, 1.5) for i, j in bonds)
    np.testing.assert_allclose(XXZ(space, chain, j=0.9, delta=1.5).to_dense(), xxz, atol=1e-13)
    next_bonds = chain.edges(order=2)
    j1j2 = heisenberg + 0.4 * sum(exchange(5, i, j) for i, j in next_bonds)
    np.testing.assert_allclose(J1J2(space, chain, j1=1.0, j2=0.4).to_dense(), j1j2, atol=1e-13)
    np.testing.assert_allclose(total(space, "X").to_dense(), x, atol=1e-13)
    correlator = local(space, "ZX", 3, 1).to_dense()
    np.testing.assert_allclose(correlator, 4 * on(5, s3="Z", s1="X"), atol=1e-13)


def test_one_coupling_for_each_bond():
    """Arrays of couplings follow the order of the edges, in constrained spaces too."""
    chain, rng = Chain(4), np.random.default_rng(0)
    j, h = rng.normal(size=len(chain.edges())), rng.normal(size=4)
    expected = sum(c * exchange(4, a, b) for c, (a, b) in zip(j, chain.edges()))
    np.testing.assert_allclose(Heisenberg(Spin(4), chain, j).to_dense(), expected, atol=1e-13)
    Heisenberg(Spin(4, magnetisation=0), chain, j)
    terms = Ising(Spin(4), chain, j=1.0, h=h).terms
    np.testing.assert_allclose([terms[w] for w in ("XIII", "IXII", "IIXI", "IIIX")], -h)
    with pytest.raises(ShapeError):
        Heisenberg(Spin(4), chain, np.ones(3))
    with pytest.raises(ShapeError):
        Heisenberg(Spin(5), chain)


def test_couplings_are_traced():
    """One program for all couplings, differentiable, on full and on constrained spaces."""
    space, lattice = Spin(8, magnetisation=0), Square(4, 2, periodic=(True, False))
    vector = jnp.asarray(np.random.default_rng(0).normal(size=space.size))

    @Counted
    def energy(j1, j2):
        return vector @ J1J2(space, lattice, j1=j1, j2=j2).apply(vector)

    first, second = jax.grad(energy, argnums=(0, 1))(1.0, 0.5)
    for j2 in (0.1, 0.2, 0.3):
        energy(1.0, j2)
    assert energy.traces == 1
    np.testing.assert_allclose(first, energy(1.0, 0.0), rtol=1e-12)
    np.testing.assert_allclose(second, energy(0.0, 1.0), rtol=1e-12)

    use = Counted(lambda operator, x: operator.connected(x)[1])
    x = Spin(6).random_state(jax.random.key(0), 3)
    for h in (0.1, 0.7):
        use(Ising(Spin(6), Chain(6), j=-1.0, h=h), x)
    assert use.traces == 1


def test_traced_couplings_keep_all_digits():
    """A Python float under jit gives the same 64-bit elements as outside."""
    vector = jnp.asarray(np.random.default_rng(1).normal(size=8))
    outside = Ising(Spin(3), Chain(3), j=0.1, h=0.3)
    inside = jax.jit(lambda j, h: Ising(Spin(3), Chain(3), j=j, h=h))(0.1, 0.3)
    assert inside.coefficients.dtype == jnp.float64 and not inside.coefficients.weak_type
    np.testing.assert_allclose(inside.coefficients, outside.coefficients, rtol=1e-15)
    np.testing.assert_allclose(inside.apply(vector), outside.apply(vector), rtol=1e-14)
