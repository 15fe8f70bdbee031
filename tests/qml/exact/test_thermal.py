"""Thermal states against reference values and matrix exponentials."""

import numpy as np
import pytest
import scipy.linalg

import symmetries
from qml._core.errors import SpaceError
from qml.exact import thermal_state
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Heisenberg, PauliSum, total
from tests.qml.exact.reference import hamiltonian, problems

REFERENCE = problems()["thermal_tfim_chain_L10"]["reference"]["beta"]


@pytest.mark.parametrize("beta", list(REFERENCE))
def test_thermal_ising_chain(beta):
    """Energy, free energy, entropy, magnetisation and specific heat at five temperatures."""
    operator = hamiltonian("thermal_tfim_chain_L10")
    state = thermal_state(operator, float(beta))
    expected = REFERENCE[beta]
    for name in ("energy", "free_energy", "entropy", "specific_heat"):
        np.testing.assert_allclose(getattr(state, name), expected[name], atol=1e-9, err_msg=name)
    np.testing.assert_allclose(state.expect(total(operator.hilbert, "X")) / 10, expected["sx"], atol=1e-9)
    np.testing.assert_allclose(state.expect(operator), expected["energy"], atol=1e-9)


def test_density_matrix():
    """The density matrix is the normalised exponential, in a sector too, and gives the expectation values."""
    for operator in (
        PauliSum({"XY": 0.5, "ZI": -1.0, "YY": 0.3, "IY": 0.2, "II": 3.0}),
        Heisenberg(Spin(6, magnetisation=1), Chain(6)),
    ):
        state = thermal_state(operator, 0.8)
        matrix = scipy.linalg.expm(-0.8 * np.asarray(operator.to_dense()))
        np.testing.assert_allclose(state.log_partition, np.log(np.trace(matrix).real), atol=1e-12)
        rho = matrix / np.trace(matrix)
        np.testing.assert_allclose(state.density(), rho, atol=1e-12)
        probe = total(operator.hilbert, "Z") @ operator
        expected = np.trace(rho @ np.asarray(probe.to_dense()))
        np.testing.assert_allclose(state.expect(probe), expected, atol=1e-12)
        levels = np.linalg.eigvalsh(rho)
        np.testing.assert_allclose(state.entropy, -np.sum(levels * np.log(levels)), atol=1e-11)


def test_limits():
    """Infinite temperature is uniform; very low temperature is the ground state without overflow."""
    operator = PauliSum({"ZZ": 1.0, "XI": 0.5})
    hot, cold = thermal_state(operator, 0), thermal_state(operator, 1e4)
    np.testing.assert_allclose(hot.entropy, np.log(4), atol=1e-14)
    assert float(hot.free_energy) == -np.inf
    np.testing.assert_allclose(cold.energy, cold.levels[0], atol=1e-12)
    np.testing.assert_allclose(cold.free_energy, cold.levels[0], atol=1e-3)


def test_bad_input():
    """Negative temperature, an operator of another space, an operator that is not Hermitian."""
    operator = PauliSum({"ZZ": 1.0})
    with pytest.raises(SpaceError):
        thermal_state(operator, -1.0)
    with pytest.raises(SpaceError):
        thermal_state(operator, 1.0).expect(PauliSum({"Z": 1.0}))
    with pytest.raises(SpaceError):
        thermal_state(PauliSum({"X": 1j}), 1.0)


def test_sectors_make_up_the_space():
    """Partition functions and averages of all sectors, as often as their levels occur, are those of the space."""
    lattice, beta = Chain(4), 0.7
    operator = Heisenberg(Spin(4), lattice) + 0.3 * total(Spin(4), "Z")
    probe = total(Spin(4), "X") @ total(Spin(4), "X")
    whole, norm, mean = thermal_state(operator, beta), 0.0, 0.0
    found = list(symmetries.sectors(symmetries.space_group(lattice)))
    assert max(sector.dimension for sector in found) == 1 < max(len(sector.star) for sector in found)
    for sector in found:
        if not sector.sector_dimension():
            continue
        state = thermal_state(operator, beta, sector=sector)
        share = len(sector.star) * sector.dimension * np.exp(float(state.log_partition))
        norm, mean = norm + share, mean + share * float(state.expect(probe))
    np.testing.assert_allclose(np.log(norm), whole.log_partition, atol=1e-12)
    np.testing.assert_allclose(mean / norm, whole.expect(probe), atol=1e-12)
    with pytest.raises(symmetries.SymmetryError, match="Z0"):
        state.expect(PauliSum({"ZIII": 1.0}))
    with pytest.raises(SpaceError, match="no states"):
        polarised = Heisenberg(Spin(4, magnetisation=2), lattice)
        thermal_state(polarised, beta, sector=symmetries.Sector(symmetries.translation_group(lattice), 1))
