"""Local matrices on spins of any size against Kronecker products and against Pauli sums."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml._core.errors import ShapeError, SpaceError
from qml.exact import evolve, expect, ground_state, spectrum
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Heisenberg, LocalOperator, spin_matrices
from tests.helpers.compiled import Counted


def embedded(matrix: np.ndarray, sites: tuple, n: int, base: int) -> np.ndarray:
    """A local matrix on the whole space, element by element."""
    full = np.zeros((base**n, base**n), complex)
    states = list(itertools.product(range(base), repeat=n))
    index = {state: k for k, state in enumerate(states)}
    number = {digits: k for k, digits in enumerate(itertools.product(range(base), repeat=len(sites)))}
    for state in states:
        row = number[tuple(state[i] for i in sites)]
        for digits, column in number.items():
            other = list(state)
            for i, d in zip(sites, digits):
                other[i] = d
            full[index[state], index[tuple(other)]] += matrix[row, column]
    return full


def exchange(s: float) -> np.ndarray:
    """S.S of two spins."""
    m = spin_matrices(s)
    return sum(np.kron(m[a], m[a]) for a in "XYZ").real


@pytest.mark.parametrize(("s", "n"), [(0.5, 4), pytest.param(1, 3, marks=pytest.mark.slow), (1.5, 2)])
def test_matrix(s, n):
    """Random matrices on one and two sites, in any order of sites, dense, sparse, matrix-free."""
    rng, base = np.random.default_rng(0), int(2 * s) + 1
    one = rng.normal(size=(base, base))
    two = rng.normal(size=(base**2, base**2)) * (rng.random((base**2, base**2)) < 0.3) * (1 + 0.5j)
    terms = [(one, (1,), 0.5), (two, (0, n - 1), 1.0), (two, (n - 1, 0), -2.0), (np.diag(np.arange(base)), (0,), 1.5)]
    operator = LocalOperator.from_terms(terms, Spin(n, s=s))
    expected = sum(c * embedded(m, sites, n, base) for m, sites, c in terms)
    np.testing.assert_allclose(operator.to_dense(), expected, atol=1e-12)
    np.testing.assert_allclose(operator.to_sparse().toarray(), expected, atol=1e-12)
    vector = rng.normal(size=base**n)
    np.testing.assert_allclose(operator.apply(vector), expected @ vector, atol=1e-11)
    np.testing.assert_allclose(operator.adjoint().to_dense(), expected.conj().T, atol=1e-12)
    assert not operator.is_hermitian
    hermitian = operator + operator.adjoint()
    assert hermitian.is_hermitian
    np.testing.assert_allclose((hermitian / 2 - operator).to_dense(), (expected.conj().T - expected) / 2, atol=1e-12)
    centre, radius = hermitian.bound()
    assert np.max(np.abs(np.linalg.eigvalsh(expected + expected.conj().T) - centre)) <= radius + 1e-12


def test_spin_matrices():
    """Commutation relations and S^2 for several spins."""
    for s in (0.5, 1, 1.5, 2):
        m = spin_matrices(s)
        np.testing.assert_allclose(m["X"] @ m["Y"] - m["Y"] @ m["X"], 1j * m["Z"], atol=1e-14)
        square = sum(m[a] @ m[a] for a in "XYZ")
        np.testing.assert_allclose(square, s * (s + 1) * np.eye(int(2 * s) + 1), atol=1e-13)
        np.testing.assert_allclose(m["+"], m["X"] + 1j * m["Y"], atol=1e-14)


def test_spin_half_is_the_pauli_sum():
    """The Heisenberg chain from matrices and from Pauli strings, in a sector."""
    space, chain = Spin(6, magnetisation=1), Chain(6)
    local = LocalOperator.from_terms([(exchange(0.5), bond, 1.0) for bond in chain.edges()], space)
    pauli = Heisenberg(space, chain)
    np.testing.assert_allclose(local.to_dense(), pauli.to_dense(), atol=1e-13)
    x = space.random_state(jax.random.key(0), (2, 3))
    np.testing.assert_allclose(local.diagonal(x), pauli.diagonal(x), atol=1e-14)
    assert local.connected(x)[0].shape == (2, 3, 6, 6)


@pytest.mark.slow
def test_spin_one_reference():
    """The reference energy of the spin-1 Heisenberg chain of eight sites, without a matrix."""
    from tests.qml.exact.reference import problems

    problem = problems()["spin1_heisenberg_chain_L8"]
    space = Spin(8, s=1, magnetisation=0)
    operator = LocalOperator.from_terms([(exchange(1), tuple(b), 1.0) for b in problem["bonds"]], space)
    result = ground_state(operator, k=2)
    assert abs(float(result.energies[0]) - problem["reference"]["energy"]) < 1e-9


@pytest.mark.slow
def test_spin_one_chain():
    """Dense energies of the sectors of a spin-1 Heisenberg chain are those of the whole; energy is conserved."""
    small = LocalOperator.from_terms([(exchange(1), b, 1.0) for b in Chain(3).edges()], Spin(3, s=1))
    parts = [spectrum(small, Spin(3, s=1, magnetisation=m)).energies for m in range(-3, 4)]
    np.testing.assert_allclose(np.sort(np.concatenate(parts)), spectrum(small).energies, atol=1e-12)
    vector = jnp.arange(27.0) / np.linalg.norm(np.arange(27.0))
    run = evolve(small, vector, [0.3])
    np.testing.assert_allclose(expect(run.vectors[0], small), expect(vector, small), atol=1e-12)


def test_traced_coefficients():
    """One program for all couplings, and the gradient."""
    space = Spin(3, s=1)
    vector = jnp.arange(27.0)

    @Counted
    def energy(j):
        operator = LocalOperator.from_terms([(exchange(1), (0, 1), j), (exchange(1), (1, 2), 2 * j)], space)
        return vector @ operator.apply(vector)

    slope = jax.grad(energy)(1.0)
    np.testing.assert_allclose(energy(2.0), 2 * slope, rtol=1e-12)
    energy(3.0)
    assert energy.traces == 1


def test_bad_input():
    """Wrong shapes and sites, and matrices that change the magnetisation."""
    with pytest.raises(ShapeError):
        LocalOperator.from_terms([(np.eye(2), (0,), 1.0)], Spin(2, s=1))
    with pytest.raises(SpaceError):
        LocalOperator.from_terms([(np.eye(4), (0, 0), 1.0)], Spin(2))
    with pytest.raises(SpaceError):
        LocalOperator.from_terms([(np.eye(2), (2,), 1.0)], Spin(2))
    flip = LocalOperator.from_terms([(spin_matrices(1)["X"], (0,), 1.0)], Spin(3, s=1))
    with pytest.raises(SpaceError, match="leaves"):
        flip.on(Spin(3, s=1, magnetisation=0))
    with pytest.raises(SpaceError):
        flip.check_space(Spin(3))
    with pytest.raises(ShapeError):
        flip.diagonal(np.ones(2, np.int8))
    with pytest.raises(SpaceError):
        flip + LocalOperator.from_terms([], Spin(3))
