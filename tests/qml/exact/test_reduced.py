"""Reduced density matrices and entropies against closed forms, QuTiP, free fermions and expectation values."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml._core.errors import ShapeError, SpaceError
from qml.exact import (
    entanglement_entropy,
    entanglement_spectrum,
    ground_state,
    mutual_information,
    reduced_density,
)
from qml.hilbert import Boson, Spin, SpinfulFermion, SpinlessFermion
from qml.lattice import Chain
from qml.operator import XXZ, tV

RNG = np.random.default_rng(5)


def random_vector(size):
    return RNG.standard_normal(size) + 1j * RNG.standard_normal(size)


def test_against_qutip():
    """Partial traces of random vectors: unlike local dimensions, any order of the sites."""
    qutip = pytest.importorskip("qutip")
    hilbert = Spin(2) * Boson(1, n_max=2) * Spin(1, s=1.5)
    vector = random_vector(hilbert.size)
    ket = qutip.Qobj(vector / np.linalg.norm(vector), dims=[[2, 2, 3, 4], [1, 1, 1, 1]])
    parts = [0], [2], [1, 3], [0, 1, 2], [3, 1]
    densities, found = jax.jit(
        lambda v: tuple([f(v, hilbert, sites) for sites in parts] for f in (reduced_density, entanglement_entropy))
    )(vector)
    for sites, density, entropy in zip(parts[:4], densities, found):
        np.testing.assert_allclose(density, ket.ptrace(sites).full(), atol=1e-14)
        np.testing.assert_allclose(entropy, qutip.entropy_vn(ket.ptrace(sites)), atol=1e-12)
    swapped = np.asarray(densities[4]).reshape(4, 2, 4, 2).transpose(1, 0, 3, 2)
    np.testing.assert_allclose(swapped.reshape(8, 8), ket.ptrace([1, 3]).full(), atol=1e-14)


def test_constrained():
    """A vector of fixed magnetisation and the same vector among all configurations have the same parts."""
    small, large = Spin(7, s=1, magnetisation=1), Spin(7, s=1)
    vector = random_vector(small.size)
    full = np.zeros(large.size, complex)
    full[np.asarray(large.states_to_indices(small.all_states()))] = vector

    def parts(v, hilbert):
        places, orders = ((0, 1), (4, 2, 6)), (0.5, 1, 2, np.inf)
        entropies = [[entanglement_entropy(v, hilbert, sites, order) for order in orders] for sites in places]
        return [reduced_density(v, hilbert, sites) for sites in places], entropies

    densities, entropies = jax.jit(lambda v: parts(v, small))(vector)
    expected, exact = jax.jit(lambda v: parts(v, large))(full)
    for found, density in zip(densities, expected):
        np.testing.assert_allclose(found, density, atol=1e-14)
    np.testing.assert_allclose(entropies, exact, atol=1e-12)


def test_closed_forms():
    """Products have no entropy, GHZ has log 2 of every order, a Bell pair beside a product, none and all sites."""
    product = np.kron(np.kron([0.6, 0.8], [1.0, 1j]), [3.0, -1.0])
    np.testing.assert_allclose(entanglement_entropy(product, Spin(3), [1]), 0, atol=1e-14)
    ghz = np.zeros(32)
    ghz[[0, 31]] = [1, -1]
    for order in (0.3, 1, 2, 3, np.inf):
        np.testing.assert_allclose(entanglement_entropy(ghz, Spin(5), [3, 0], order), np.log(2), atol=1e-14)
    np.testing.assert_allclose(mutual_information(ghz, Spin(5), [1], [4]), np.log(2), atol=1e-14)
    assert float(entanglement_entropy(ghz, Spin(5), [])) == 0 == float(entanglement_entropy(ghz, Spin(5), range(5)))
    levels = entanglement_spectrum(ghz, Spin(5), [0, 1])
    np.testing.assert_allclose(levels[:2], np.log(2), atol=1e-14)
    assert np.all(np.asarray(levels[2:]) > 60)
    bell = np.kron([1, 0, 0, 1], [0.6, 0.8])
    np.testing.assert_allclose(mutual_information(bell, Spin(3), [0], [1]), 2 * np.log(2), atol=1e-14)
    np.testing.assert_allclose(mutual_information(bell, Spin(3), [0], [2]), 0, atol=1e-14)


def block_entropies(correlations, sites):
    """Entropies of order 1 and 2 of free fermions from their correlation matrix (Peschel 2003)."""
    n = np.clip(np.linalg.eigvalsh(correlations[np.ix_(sites, sites)]), 1e-300, 1 - 1e-16)
    return -np.sum(n * np.log(n) + (1 - n) * np.log(1 - n)), -np.sum(np.log(n**2 + (1 - n) ** 2))


def free_correlations(n, filled):
    hopping = -(np.eye(n, k=1) + np.eye(n, k=-1))
    orbitals = np.linalg.eigh(hopping)[1][:, :filled]
    return orbitals @ orbitals.T


def test_free_fermions():
    """Blocks of an XX chain, and any modes of a chain of fermions, by correlation matrices."""
    n = 8
    correlations = free_correlations(n, n // 2)
    spins = Spin(n, magnetisation=0)
    vector = ground_state(XXZ(spins, Chain(n, periodic=False), j=1.0, delta=0.0)).vectors[0]
    blocks = [range(length) for length in (1, 3, 4, 6)]
    found = jax.jit(lambda v: [[entanglement_entropy(v, spins, b, order) for order in (1, 2)] for b in blocks])(vector)
    np.testing.assert_allclose(found, [block_entropies(correlations, block) for block in blocks], atol=1e-9)
    space = SpinlessFermion(n, n_fermions=4)
    vector = ground_state(tV(space, Chain(n, periodic=False), t=1.0, v=0.0)).vectors[0]
    blocks = [[0, 1, 2], [1, 3, 6], [7, 2], [5, 4, 3, 0], [0, 2, 4, 6, 7]]
    found = jax.jit(lambda v: [[entanglement_entropy(v, space, b, order) for order in (1, 2)] for b in blocks])(vector)
    np.testing.assert_allclose(found, [block_entropies(correlations, block) for block in blocks], atol=1e-9)


def lowering(hilbert, mode):
    """The matrix of a fermion's annihilation: signs of all fermion modes before it."""
    matrix = np.ones((1, 1))
    for i, fermionic in enumerate(hilbert.fermionic_modes):
        sign = np.diag([1.0, -1.0]) if fermionic and i < mode else np.eye(2)
        matrix = np.kron(matrix, np.eye(2, k=1) if i == mode else sign)
    return matrix


@pytest.mark.parametrize("hilbert", [SpinlessFermion(5), SpinfulFermion(2), Spin(1) * SpinlessFermion(4)])
def test_fermion_operators(hilbert):
    """Tr rho O = <O> for even and odd operators of any modes of a vector without any symmetry."""
    vector = random_vector(hilbert.size)
    vector /= np.linalg.norm(vector)
    sites = [3, 1]
    rho = np.asarray(reduced_density(vector, hilbert, sites))
    part = SpinlessFermion(2)
    (a, small_a), (b, small_b) = ((lowering(hilbert, i), lowering(part, k)) for k, i in enumerate(sites))
    words = [
        (a, small_a),
        (b, small_b),
        (a.conj().T @ b, small_a.conj().T @ small_b),
        (a @ b, small_a @ small_b),
        (a.conj().T @ a @ b, small_a.conj().T @ small_a @ small_b),
    ]
    for large, small in words:
        np.testing.assert_allclose(np.trace(rho @ small), vector.conj() @ large @ vector, atol=1e-13)


def test_derivatives():
    """Entropies have derivatives, also where some probabilities are zero, and work under jit."""
    hilbert, sites = Spin(4, magnetisation=0), (0, 1)
    vector = jnp.asarray(RNG.standard_normal(6))

    def entropy(order, v):
        return entanglement_entropy(v, hilbert, sites, order)

    for order in (1, 2):
        function = jax.jit(functools.partial(entropy, order))
        step = np.zeros(6)
        step[2] = 1e-5
        slope = (function(vector + step) - function(vector - step)) / 2e-5
        np.testing.assert_allclose(jax.jit(jax.grad(function))(vector)[2], slope, rtol=1e-6)
    flat = jax.jit(jax.grad(lambda v: entanglement_entropy(v, Spin(2), (0,))))(np.array([1.0, 0.0, 0.0, 0.0]))
    assert np.all(np.isfinite(np.asarray(flat)))
    power = jax.grad(lambda v: jnp.trace(reduced_density(v, hilbert, sites) @ reduced_density(v, hilbert, sites)))
    assert np.all(np.isfinite(np.asarray(jax.jit(power)(vector))))


def test_bad_input():
    """Sites that do not exist or come twice, wrong lengths, orders that are not positive, parts too large."""
    vector = np.ones(8)
    for sites in ([0, 0], [3], [-1]):
        with pytest.raises(SpaceError):
            entanglement_entropy(vector, Spin(3), sites)
    with pytest.raises(SpaceError):
        reduced_density(vector, Spin(3), [])
    with pytest.raises(SpaceError):
        mutual_information(vector, Spin(3), [0, 1], [1])
    with pytest.raises(ShapeError):
        reduced_density(np.ones(7), Spin(3), [0])
    with pytest.raises(ShapeError):
        entanglement_entropy(np.ones(7), Spin(3), [])
    with pytest.raises(ShapeError):
        entanglement_entropy(vector, Spin(3), [0], order=0)
    with pytest.raises(SpaceError):
        reduced_density(np.ones(14), Spin(14, magnetisation=6), range(13))
