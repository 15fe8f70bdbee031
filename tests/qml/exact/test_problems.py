"""Ground states of common models in the sectors they lie in, against energies of another code; excited levels."""

import numpy as np
import pytest

import symmetries
from qml.exact import SectorBasis, ground_state
from symmetries import Sector, SpinFlip
from tests.qml.exact.problems import PROBLEMS, QUICK, chain, ising, j1j2, square

# literals computed once by exact diagonalisation with NumPy and SciPy, without lattice symmetries (residuals < 3e-12)


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in PROBLEMS])
def test_ground_state_in_its_sector(name):
    """The lowest level of the sector is that of the whole space; the operator is checked to commute with it."""
    problem = PROBLEMS[name]
    found = ground_state(problem.hamiltonian(), sector=problem.sector())
    assert abs(float(found.energies[0]) - problem.energy) < 1e-9


def spectrum_of(operator, group, sectors, count):
    """The lowest levels of some sectors `(momentum, irrep, flip, levels)`, each as often as it occurs."""
    levels = []
    for momentum, irrep, flip, number in sectors:
        sector = Sector(group, momentum, irrep, (SpinFlip(flip),) if flip else ())
        energies = ground_state(operator, k=number, sector=SectorBasis(operator.hilbert, sector)).energies
        levels += np.asarray(energies).tolist() * (len(sector.star) * sector.dimension)
    return np.sort(levels)[:count]


def test_excited_ising_chain():
    """The eight lowest levels of the critical chain of ten sites, and where they lie."""
    expected = [
        *(-12.784906442999322, -12.62750302935009, -11.533430722677483),
        *(-11.391435051850305, -11.391435051850296, -10.343206583880214, -10.34320658388021, -10.34320658388021),
    ]
    lattice = chain(10)()
    sectors = [(0, "A", 1, 2), (0, "A", -1, 1), (1, "A", -1, 1), (1, "A", 1, 1), (2, "A", 1, 1)]
    found = spectrum_of(ising(1.0)(lattice), symmetries.space_group(lattice), sectors, 8)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.slow
def test_excited_frustrated_square():
    """J1-J2 on 4 x 4 at J2 = 0.5: eight levels with total spin projection 0, and eight with 1."""
    lattice = square(4, 4)()
    group = symmetries.space_group(lattice)
    neutral = [
        *(-8.457923351394847, -8.138989060843302, -7.6278302625296295, -7.627830262529629),
        *(-7.592768213371341, -7.559821355304156, -7.5598213553041544, -7.55982135530415),
    ]
    raised = [
        *(-7.592768213371344, -7.33032554135801, -7.3303255413580075, -7.3303255413580075),
        *(-7.330325541357999, -7.330058654853101, -7.330058654853097, -7.132969718997142),
    ]
    sectors = [
        ((0, 0), "A1", 1, 1),
        ((0, 0), "B1", 1, 1),
        ((0, 2), "B2", 1, 1),
        ((2, 2), "A1", -1, 1),
        ((0, 1), "A'", 1, 1),
    ]
    found = spectrum_of(j1j2(0.5)(lattice), group, sectors, 8)
    np.testing.assert_allclose(found, neutral, atol=1e-9)
    sectors = [((2, 2), "A1", 0, 1), ((1, 2), "A'", 0, 1), ((0, 2), "A1", 0, 1), ((2, 2), "B1", 0, 1)]
    np.testing.assert_allclose(spectrum_of(j1j2(0.5, 1)(lattice), group, sectors, 8), raised, atol=1e-9)
