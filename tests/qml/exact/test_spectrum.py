"""Lowest levels and whole spectra against published and free-fermion energies, multiplicities, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml._core.errors import ConvergenceError, ShapeError, SpaceError
from qml.exact import basis_vector, expect, full_vector, ground_state, spectrum
from qml.hilbert import Spin
from qml.lattice import Chain, Square
from qml.linalg import krylov
from qml.operator import Heisenberg, Ising, PauliSum, local, total
from tests.qml.exact.reference import hamiltonian, problems

GROUND = [name for name, p in problems().items() if p["kind"] == "ground" and not name.startswith("spin1")]
CONSERVING = ("heisenberg", "j1j2", "xxz", "xy_")


def test_there_are_enough_problems():
    """The list was not emptied by a change of names."""
    assert len(GROUND) == 13


@pytest.mark.parametrize("name", GROUND)
def test_ground_energies(name):
    """Every spin-1/2 energy of up to 16 sites to 1e-9, with small residuals; the first gap too."""
    problem = problems()[name]
    magnetisation = 0 if name.startswith(CONSERVING) else None
    operator = hamiltonian(name, Spin(problem["N"], magnetisation=magnetisation))
    result = ground_state(operator)
    assert abs(float(result.energies[0]) - problem["reference"]["energy"]) < 1e-9
    assert float(result.residuals[0]) < 1e-10
    np.testing.assert_allclose(jnp.linalg.norm(result.vectors[0]), 1, atol=1e-12)
    np.testing.assert_allclose(expect(result.vectors[0], operator), result.energies[0], atol=1e-11)
    if "sx_per_site" in problem["reference"]:
        mx = expect(result.vectors[0], total(operator.hilbert, "X")) / problem["N"]
        assert abs(float(mx) - problem["reference"]["sx_per_site"]) < 1e-9
    for pair in ("0_8", "0_10"):
        if f"SzSz_{pair}" in problem["reference"]:
            zz = local(operator.hilbert, "ZZ", 0, int(pair[2:]))
            assert abs(float(expect(result.vectors[0], zz)) / 4 - problem["reference"][f"SzSz_{pair}"]) < 1e-9


def test_excited_levels_with_multiplicity():
    """The eight lowest levels of a critical chain, degenerate ones as often as they occur."""
    reference = problems()["excited_tfim_chain_L10_h1.0"]["reference"]["levels"]
    operator = hamiltonian("excited_tfim_chain_L10_h1.0")
    result = ground_state(operator, k=8)
    np.testing.assert_allclose(result.energies, reference, atol=1e-9)
    gram = result.vectors.conj() @ result.vectors.T
    np.testing.assert_allclose(gram, np.eye(8), atol=1e-10)
    other = ground_state(operator, k=8, key=jax.random.key(5))
    np.testing.assert_allclose(other.energies, result.energies, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize(("magnetisation", "levels"), [(0, "levels_Sz0"), (1, "levels_Sz1")])
def test_excited_levels_of_sectors(magnetisation, levels):
    """Multiplets of the frustrated square lattice in two magnetisation sectors."""
    name = "excited_j1j2_4x4_J2_0.5"
    result = ground_state(hamiltonian(name, Spin(16, magnetisation=magnetisation)), k=8)
    np.testing.assert_allclose(result.energies, problems()[name]["reference"][levels], atol=1e-9)


@pytest.mark.slow
def test_lanczos_is_dense_diagonalisation():
    """The Lanczos path agrees with the whole spectrum, complex Hamiltonians and near degeneracy included."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("IXYZ"), 9)) for _ in range(60)]
    complex_sum = PauliSum(dict(zip(words, rng.normal(size=60))))
    assert complex_sum.dtype == jnp.complex128
    nearly = Ising(Spin(10), Chain(10), j=-1.0, h=0.15)
    for operator in (complex_sum, nearly):
        whole = spectrum(operator)
        found = ground_state(operator, k=3)
        np.testing.assert_allclose(found.energies, whole.energies[:3], atol=1e-11)
        assert float(jnp.max(found.residuals)) < 1e-10 and float(jnp.max(whole.residuals)) < 1e-11
    assert 0 < float(whole.energies[1] - whole.energies[0]) < 1e-7


@pytest.mark.slow
def test_sectors_make_up_the_spectrum():
    """The spectra of all magnetisations together are the full spectrum."""
    operator = Heisenberg(Spin(6), Square(3, 2, periodic=(True, False)))
    parts = [spectrum(operator, Spin(6, magnetisation=m)).energies for m in range(-3, 4)]
    np.testing.assert_allclose(np.sort(np.concatenate(parts)), spectrum(operator).energies, atol=1e-12)
    sector = ground_state(operator, Spin(6, magnetisation=0))
    embedded = full_vector(sector.vectors[0], Spin(6, magnetisation=0))
    np.testing.assert_allclose(operator.apply(embedded), sector.energies[0] * embedded, atol=1e-12)


def test_small_krylov_spaces():
    """A map with few distinct levels ends a run early and still gives every multiplicity."""
    operator = PauliSum({"Z" + "I" * 8: 1.0})
    result = ground_state(operator, k=5)
    np.testing.assert_allclose(result.energies, -np.ones(5), atol=1e-12)
    identity = PauliSum({"I" * 9: 2.5})
    np.testing.assert_allclose(ground_state(identity, k=3).energies, 2.5 * np.ones(3), atol=1e-12)
    zero = PauliSum({}, Spin(9))
    np.testing.assert_allclose(ground_state(zero, k=2).energies, np.zeros(2), atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("block", [2, 3])
def test_blocks_with_thick_restarts(block):
    """Degenerate levels of more copies than the block has vectors, complex matrices, maps with few levels."""
    chain = Heisenberg(Spin(9), Chain(9))
    expected = np.linalg.eigvalsh(chain.to_dense())[:10]  # four times the lowest, then four times the next
    found = ground_state(chain, k=10, block=block)
    np.testing.assert_allclose(found.energies, expected, atol=1e-10)
    vectors = np.asarray(found.vectors)
    np.testing.assert_allclose(vectors @ vectors.conj().T, np.eye(10), atol=1e-10)
    assert float(found.residuals.max()) < 1e-10
    turning = chain + PauliSum.from_terms([("XY", (i, (i + 1) % 9), 0.2) for i in range(9)], Spin(9))
    expected = np.linalg.eigvalsh(turning.to_dense())[:3]
    np.testing.assert_allclose(ground_state(turning, k=3, block=block).energies, expected, atol=1e-10)
    np.testing.assert_allclose(ground_state(PauliSum({"Z" + "I" * 8: 1.0}), k=5, block=block).energies, -np.ones(5))
    np.testing.assert_allclose(ground_state(PauliSum({}, Spin(9)), k=2, block=block).energies, np.zeros(2))


def test_couplings_do_not_recompile():
    """Lanczos on the same model with another field compiles nothing new."""
    chain = Chain(10)
    ground_state(Ising(Spin(10), chain, j=-1.0, h=1.0))
    before = krylov._step._cache_size()
    ground_state(Ising(Spin(10), chain, j=-1.0, h=0.7))
    assert krylov._step._cache_size() == before


def test_gradient_of_an_expectation():
    """Hellmann-Feynman: the derivative of <v|H|v> with respect to the field is -<total X>."""
    chain, space = Chain(8), Spin(8)
    vector = ground_state(Ising(space, chain, j=-1.0, h=0.9)).vectors[0]
    slope = jax.grad(lambda h: expect(vector, Ising(space, chain, j=-1.0, h=h)))(0.9)
    np.testing.assert_allclose(slope, -expect(vector, total(space, "X")), atol=1e-12)
    step = 1e-5
    energies = [ground_state(Ising(space, chain, j=-1.0, h=0.9 + s)).energies[0] for s in (-step, step)]
    np.testing.assert_allclose(slope, (energies[1] - energies[0]) / (2 * step), atol=1e-7)


def test_bad_input():
    """Not Hermitian, leaving the space, too many levels, too large, and a tolerance that cannot be reached."""
    ising = Ising(Spin(4), Chain(4), j=1.0, h=1.0)
    with pytest.raises(SpaceError):
        ground_state(PauliSum({"X": 1j}))
    with pytest.raises(SpaceError):
        ground_state(ising, Spin(4, magnetisation=0))
    with pytest.raises(SpaceError):
        ground_state(ising, k=17)
    with pytest.raises(SpaceError):
        ground_state(ising, block=0)
    with pytest.raises(SpaceError):
        spectrum(PauliSum({"X" * 15: 1.0}))
    with pytest.raises(ShapeError):
        expect(jnp.ones(3), ising)
    with pytest.raises(ShapeError):
        full_vector(jnp.ones(3), Spin(4, magnetisation=0))
    with pytest.raises(SpaceError):
        basis_vector(Spin(2, magnetisation=0), [1, 1])


def test_no_convergence_is_an_error(monkeypatch):
    """Too few steps raise instead of returning a wrong energy."""
    monkeypatch.setattr(krylov, "_LONGEST", 1)
    monkeypatch.setattr(krylov, "_RESTARTS", 0)
    with pytest.raises(ConvergenceError):
        ground_state(Ising(Spin(10), Chain(10), j=-1.0, h=1.0))
