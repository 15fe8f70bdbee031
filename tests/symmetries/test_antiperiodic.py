"""Antiperiodic boundaries with all their mirrors: the law, the hopping, momenta, the union of all sectors."""

import numpy as np
import pytest

import symmetries
from qml.exact import SectorBasis, ground_state, spectrum
from qml.hilbert import SpinfulFermion, SpinlessFermion
from qml.lattice import Chain, Honeycomb, Square
from qml.operator import Hubbard, tV
from symmetries import SymmetryError, antiperiodic_group

PI = np.pi


@pytest.mark.parametrize(
    ("lattice", "isometries", "without"),
    [
        (Chain(6, twist=PI), 2, 1),
        (Chain(5, twist=-PI), 2, 1),
        (Square(3, 4, twist=(PI, 0.0)), 4, 2),
        (Square(3, twist=(PI, 3 * PI)), 8, 1),
        (Square([[2, 1], [-1, 2]], twist=PI), 4, 1),
        (Square(3, 4, periodic=(True, False), twist=(PI, 0.0)), 4, 2),
        (Honeycomb(3, twist=(PI, 0.0)), 4, 2),
        (Square(3), 8, 8),
    ],
    ids=str,
)
def test_elements(lattice, isometries, without):
    """Signs that multiply as the elements do and keep the hopping; the isometries that only turn pi into -pi."""
    group, plain = antiperiodic_group(lattice), symmetries.space_group(lattice)
    assert group.point_group.order == isometries and plain.point_group.order == without
    assert set(np.unique(group.site_phases)) <= {-1, 1}
    n, twisted = lattice.n_sites, any(lattice.twist)
    matrices = np.zeros((group.order, n, n))
    matrices[np.arange(group.order)[:, None], group.permutations, np.arange(n)[None]] = group.site_phases.real
    hop = np.zeros((n, n), complex)
    for (i, j), phase in zip(lattice.edges(), lattice.edge_phases()):
        hop[i, j], hop[j, i] = phase, np.conj(phase)
    np.testing.assert_allclose(matrices @ hop, hop @ matrices, atol=1e-12)
    table = group.group.product_table
    for one, two in np.random.default_rng(0).integers(0, group.order, (30, 2)):
        np.testing.assert_array_equal(matrices[one] @ matrices[two], matrices[table[one, two]])
    translations = n // len(lattice.offsets) if all(lattice.periodic) else 3
    assert len(np.unique(matrices, axis=0)) == group.order == translations * isometries * (1 + twisted)
    if not twisted:
        np.testing.assert_array_equal(group.permutations, plain.permutations)


def levels(operator, group):
    found, sizes = [], []
    for sector in symmetries.sectors(group):
        if sector.sector_dimension(hilbert=operator.hilbert):
            basis = SectorBasis(operator.hilbert, sector)
            found += [np.asarray(spectrum(operator, sector=basis).energies)] * (len(sector.star) * sector.dimension)
            sizes.append(sector.dimension)
    return np.sort(np.concatenate(found)), sizes


@pytest.mark.parametrize(
    ("lattice", "operator"),
    [
        (Chain(6, twist=PI), lambda lattice: tV(SpinlessFermion(6, n_fermions=3), lattice, t=1.0, v=1.3)),
        (Chain(6, twist=PI), lambda lattice: tV(SpinlessFermion(6), lattice, t=1.0, v=1.3)),
        (Chain(6, twist=PI), lambda lattice: Hubbard(SpinfulFermion(6, n_up=2, n_down=1), lattice, t=1.0, u=3.0)),
        pytest.param(
            Square(3, twist=PI),
            lambda lattice: tV(SpinlessFermion(9, n_fermions=2), lattice, t=1.0, v=1.3),
            marks=pytest.mark.slow,
        ),
        (Square([[2, 1], [-1, 2]], twist=PI), lambda x: Hubbard(SpinfulFermion(5, n_up=2, n_down=1), x, t=1.0, u=3.0)),
    ],
    ids=["chain t-V", "chain t-V all numbers", "chain Hubbard", "square t-V", "square Hubbard"],
)
def test_union_of_sectors(lattice, operator):
    """Every level of every sector, as often as star and irrep say, is the full spectrum."""
    operator = operator(lattice)
    found, dimensions = levels(operator, antiperiodic_group(lattice))
    np.testing.assert_allclose(found, np.linalg.eigvalsh(np.asarray(operator.to_dense())), atol=1e-11)
    if lattice == Square(3, twist=PI):
        assert max(dimensions) == 2


def test_momenta_of_one_and_two_fermions():
    """The momenta are the true ones: of one fermion odd multiples of pi / L, of two free ones their sums."""
    lattice = Chain(4, twist=PI)
    group = antiperiodic_group(lattice)
    one = tV(SpinlessFermion(4, n_fermions=1), lattice, t=1.0)
    for n in range(8):
        basis = SectorBasis(one.hilbert, symmetries.Sector(group, n))
        assert basis.size == n % 2
        if n % 2:
            k = float(group.wavevector(n)[0])
            np.testing.assert_allclose(ground_state(one, sector=basis).energies, [-2 * np.cos(k)], atol=1e-12)
    two = tV(SpinlessFermion(4, n_fermions=2), lattice, t=1.0)
    sector = symmetries.Sector(group, "Gamma", "A")  # k = pi/4 and -pi/4: the closed shell, even under the mirror ...
    odd = symmetries.Sector(group, "Gamma", "B")  # ... but for the sign of exchanging both
    with pytest.raises(symmetries.SymmetryError):
        symmetries.Sector(symmetries.space_group(lattice), 0, "B")
    energies = [ground_state(two, sector=s).energies for s in (sector, odd) if s.sector_dimension(hilbert=two.hilbert)]
    np.testing.assert_allclose(np.min(np.concatenate(energies)), -2 * 2**0.5, atol=1e-12)


def test_bad_twist():
    """Other angles have no such group."""
    with pytest.raises(SymmetryError, match="not antiperiodic"):
        antiperiodic_group(Chain(4, twist=0.5))
