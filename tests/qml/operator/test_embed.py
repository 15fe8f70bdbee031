"""Operators on products of spaces against Kronecker products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml._core.errors import SpaceError
from qml.ansatz import to_ansatz
from qml.estimate import local_values
from qml.exact import ground_state
from qml.hilbert import Boson, Constrained, Product, Spin, SpinfulFermion, SpinlessFermion
from qml.operator import BosonSum, FermionSum, LocalOperator, PauliSum
from qml.operator.embed import TensorSum, embed, product_below
from tests.qml.operator.fock import bosons, fermions
from tests.qml.operator.kron import dense

A, B, C = Spin(2), SpinlessFermion(2), Boson(1, n_max=2)
SPACE = Product(A, B, C)
S = {"XY": 0.5, "ZI": 1.0 + 0.5j, "YY": -0.3j}
F = {"0^ 1": 1.0, "n0": 0.5j, "1^ 0 ": 0.25, "n0 n1": 2.0}
N = {"0": 1.0, "0^": 0.5, "n0": 0.7j}
ONE = (np.eye(4), np.eye(4), np.eye(3))


def parts() -> tuple[list[TensorSum], list[np.ndarray]]:
    """One operator on each part, and its matrix."""
    operators = [embed(PauliSum(S, A), SPACE, 0), embed(FermionSum(F, B), SPACE, 1), embed(BosonSum(N, C), SPACE, 2)]
    matrices = [dense(S), fermions(F, 2), bosons(N, 1, 2)]
    full = []
    for k, matrix in enumerate(matrices):
        factors = [matrix if k == m else one for m, one in enumerate(ONE)]
        full.append(np.kron(np.kron(factors[0], factors[1]), factors[2]))
    return operators, full


@pytest.mark.slow
def test_products():
    """Every form of sums of products, complex and not Hermitian."""
    (a, b, c), (p, q, r) = parts()
    vector = np.random.default_rng(0).normal(size=SPACE.size)
    for operator, matrix in [
        (b, q),
        (2.0 * a @ b @ c - 1j * c + 0.5, 2 * p @ q @ r - 1j * r + 0.5 * np.eye(SPACE.size)),
        ((a @ c).adjoint() / 2, (p @ r).conj().T / 2),
        (a @ b - b @ a, np.zeros((SPACE.size, SPACE.size))),
        (a @ a, p @ p),
    ]:
        np.testing.assert_allclose(operator.to_dense(), matrix, atol=1e-13)
        np.testing.assert_allclose(operator.to_sparse().toarray(), matrix, atol=1e-13)
        np.testing.assert_allclose(operator.apply(vector), matrix @ vector, atol=1e-13)
    hermitian = a @ c + (a @ c).adjoint()
    assert hermitian.is_hermitian and not (a @ c).is_hermitian and (hermitian * 2.0).is_hermitian
    centre, radius = hermitian.bound()
    assert np.max(np.abs(np.linalg.eigvalsh(hermitian.to_dense()) - centre)) <= radius
    assert np.all(SPACE.contains(hermitian.connected(SPACE.all_states())[0]))


def test_local_matrices():
    """A factor may be a sum of matrices."""
    spins = Spin(1, s=1)
    space = spins * B
    matrix = np.diag([1.0, 0.0, -1.0])
    operator = embed(LocalOperator.from_terms([(matrix, (0,), 1.0)], spins), space, 0) @ embed(
        FermionSum(F, B), space, 1
    )
    np.testing.assert_allclose(operator.to_dense(), np.kron(matrix, fermions(F, 2)), atol=1e-14)


def test_fermions_of_different_factors():
    """Modes of all factors anticommute: odd strings get the signs of the modes before them."""
    space = SpinlessFermion(2) * SpinlessFermion(2)
    left, right = (embed(FermionSum({"1": 1.0}, SpinlessFermion(2)), space, k) for k in (0, 1))
    assert isinstance(right, FermionSum) and left.anticommutator(right).terms == {}
    np.testing.assert_allclose(right.to_dense(), fermions({"3": 1.0}, 4))
    mixed = SpinlessFermion(1) * Spin(1) * SpinlessFermion(1)
    with pytest.raises(SpaceError, match="odd"):
        embed(FermionSum({"0": 1.0}, SpinlessFermion(1)), mixed, 2)
    embed(FermionSum({"n0": 1.0}, SpinlessFermion(1)), mixed, 2)
    embed(FermionSum({"0": 1.0}, SpinlessFermion(1)), Spin(1) * SpinlessFermion(1), 1)


def kondo(space, j: float = 0.8) -> TensorSum:
    """A spin coupled to the first of two orbitals, j S.s, and a hop."""
    product = product_below(space)
    spin, electrons = product.spaces
    s = {a: embed(PauliSum({a: 0.5}, spin), product, 0) for a in "XYZ"}

    def electron(terms):
        return embed(FermionSum(terms, electrons), product, 1)

    exchange = s["X"] @ electron({"0^ 2": 0.5, "2^ 0": 0.5}) + s["Y"] @ electron({"0^ 2": -0.5j, "2^ 0": 0.5j})
    exchange = exchange + s["Z"] @ electron({"n0": 0.5, "n2": -0.5})
    hop = electron({"0^ 1": -1.0, "1^ 0": -1.0, "2^ 3": -1.0, "3^ 2": -1.0})
    return (j * exchange + hop).on(space)


@pytest.mark.slow
def test_kondo():
    """A Kondo spin with joint total S^z: the union of its sectors is the full spectrum; a flip alone is refused."""
    product = Spin(1) * SpinfulFermion(2, n_fermions=1)
    full = kondo(product)
    assert full.is_hermitian
    levels = np.linalg.eigvalsh(full.to_dense())
    sectors = []
    for total in (-2, 0, 2):
        space = Constrained(product, lambda x, t=total: x[..., 0] + jnp.sum(x[..., 1:3] - x[..., 3:5], axis=-1) == t)
        block = kondo(space)
        sectors.append(np.linalg.eigvalsh(block.to_dense()))
    vector = np.arange(1.0, space.size + 1)
    np.testing.assert_allclose(block.apply(vector), block.to_dense() @ vector, atol=1e-13)
    with pytest.raises(SpaceError, match="leaves"):
        embed(PauliSum({"X": 1.0}, Spin(1)), space, 0)
    np.testing.assert_allclose(np.sort(np.concatenate(sectors)), levels, atol=1e-12)
    assert abs(float(ground_state(full).energies[0]) - levels[0]) < 1e-10


def test_holstein():
    """One electron on one site: the polaron shift g^2 / w, for many phonons."""
    space = SpinlessFermion(1) * Boson(1, n_max=40)
    n = embed(FermionSum({"n0": 1.0}, space.spaces[0]), space, 0)
    shift = embed(BosonSum({"0": 0.5, "0^": 0.5}, space.spaces[1]), space, 1)
    h = embed(BosonSum({"n0": 2.0}, space.spaces[1]), space, 1) + n @ shift
    assert h.is_hermitian and abs(float(ground_state(h).energies[0]) + 0.25 / 2.0) < 1e-10


@pytest.mark.slow
def test_traced_coefficients():
    """One program for all couplings, derivatives, local values."""
    h = kondo(Spin(1) * SpinfulFermion(2, n_fermions=1))
    vector, count = jnp.arange(1.0, h.hilbert.size + 1), []

    @jax.jit
    def energy(operator):
        count.append(operator.is_hermitian)
        return jnp.vdot(vector, operator.apply(vector)).real

    np.testing.assert_allclose(energy(3.0 * h), 3 * energy(h))
    assert count == [True]
    gradient = jax.grad(energy)(h).coefficients
    np.testing.assert_allclose(gradient @ h.coefficients, energy(h))
    ansatz, params = to_ansatz((jnp.arange(5.0), lambda w, x: jnp.sin(x.astype(float)) @ w), h.hilbert)
    x = h.hilbert.all_states()
    psi = np.exp(np.sin(np.asarray(x, float)) @ np.arange(5.0))
    np.testing.assert_allclose(local_values(ansatz, params, h, x), h.to_dense() @ psi / psi, atol=1e-11)


def test_bad_input():
    """No product, no such part, another space."""
    x = PauliSum({"XI": 1.0})
    with pytest.raises(SpaceError):
        embed(x, Spin(2), 0)
    with pytest.raises(SpaceError):
        embed(x, SPACE, 3)
    with pytest.raises(SpaceError):
        embed(x, SPACE, 1)
    with pytest.raises(SpaceError):
        embed(x, SPACE, 0) + embed(x, A * B, 0)
