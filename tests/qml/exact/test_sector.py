"""Sectors: the union of their spectra, embedding, ground states of larger problems, commuting, bad input."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qml
import symmetries
from qml._core.errors import ShapeError, SpaceError, SymmetryError
from qml.exact import SectorBasis, evolve, expect, ground_state, sectormap, spectrum
from qml.exact import basis as basis_module
from qml.exact.orbits import Orbits
from qml.exact.positive import positive_start, sector_start
from qml.exact.sectordirect import DirectMap
from qml.exact.sectormap import sector_map

L, H, O, S = qml.lattice, qml.hilbert, qml.operator, symmetries


def chain_spins():
    space = H.Spin(8)
    return O.Heisenberg(space, L.Chain(8)), S.space_group(L.Chain(8)), ()


def square_magnons():
    space = H.Spin(16, magnetisation=6)
    return O.J1J2(space, L.Square(4, 4), j1=1.0, j2=0.4), S.space_group(L.Square(4, 4)), ()


def triangular():
    space = H.Spin(9, magnetisation=0.5)
    return O.Heisenberg(space, L.Triangular(3, 3)), S.space_group(L.Triangular(3, 3)), ()


def triangular_six():
    space = H.Spin(6, magnetisation=0)
    lattice = L.Triangular(3, 2)
    return O.Heisenberg(space, lattice), S.space_group(lattice), (S.SpinFlip(),)


def spinless():
    space = H.SpinlessFermion(6, n_fermions=2)
    return O.tV(space, L.Chain(6), t=1.0, v=1.3), S.space_group(L.Chain(6)), ()


def spinful():
    space = H.SpinfulFermion(4, n_up=2, n_down=2)
    return O.Hubbard(space, L.Chain(4), t=1.0, u=3.0), S.space_group(L.Chain(4)), (S.SpinFlip(),)


def spin_one():
    space = H.Spin(6, s=1, magnetisation=0)
    return O.Heisenberg(space, L.Chain(6)), S.space_group(L.Chain(6)), (S.SpinFlip(),)


def bosons():
    space = H.Boson(5, n_max=3, n_particles=4)
    return O.BoseHubbard(space, L.Chain(5), j=1.0, u=3.0), S.space_group(L.Chain(5)), ()


SYSTEMS = [triangular, triangular_six, spinless, spinful, bosons]
SYSTEMS += [pytest.param(system, marks=pytest.mark.slow) for system in (chain_spins, square_magnons, spin_one)]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("system", SYSTEMS, ids=lambda f: f.__name__)
def test_union_of_sectors(system):
    """Every level of every sector, as often as star and irrep say, is the full spectrum; vectors are eigenvectors."""
    h, group, internal = system()
    matrix = np.asarray(h.to_dense())
    found, dimensions = [], set()
    for sector in S.sectors(group, internal=internal):
        basis = SectorBasis(h.hilbert, sector)
        if not basis.size:
            continue
        dimensions.add(sector.dimension)
        levels = spectrum(h, sector=basis)
        full = np.asarray(basis.to_full(levels.vectors[0]))
        np.testing.assert_allclose(np.linalg.norm(full), 1, atol=1e-12)
        np.testing.assert_allclose(matrix @ full, float(levels.energies[0]) * full, atol=1e-10)
        np.testing.assert_allclose(basis.project(full), levels.vectors[0], atol=1e-12)
        found += [np.asarray(levels.energies)] * (len(sector.star) * sector.dimension)
    np.testing.assert_allclose(np.sort(np.concatenate(found)), np.linalg.eigvalsh(matrix), atol=1e-9)
    assert max(dimensions) >= 2 or system not in (square_magnons, triangular)


def test_basis_is_isometric_and_projects():
    """In an irrep of dimension two: an isometry, its image the first row of the irrep, H of it the map's."""
    lattice = L.Square(3, 3)
    space = H.Spin(9, magnetisation=0.5)
    sector = S.Sector(S.space_group(lattice), irrep="E")
    basis = SectorBasis(space, sector)
    embed = np.stack([np.asarray(basis.to_full(row)) for row in np.eye(basis.size)], axis=1)
    np.testing.assert_allclose(embed.conj().T @ embed, np.eye(basis.size), atol=1e-12)
    action, states = sector.on(space), np.asarray(space.all_states())
    first = sum(sector.irrep_matrices[g, 0, 0].conj() * action.matrix(g, states) for g in range(action.order))
    np.testing.assert_allclose(embed @ embed.conj().T, 2 / action.order * first, atol=1e-12)
    h = O.Heisenberg(space, lattice)
    dense = np.asarray(jax.vmap(sector_map(h, basis))(jnp.eye(basis.size))).T
    np.testing.assert_allclose(dense, embed.conj().T @ np.asarray(h.to_dense()) @ embed, atol=1e-12)


@pytest.mark.parametrize("case", ["momentum", "flip", "field"])
def test_products_without_tables(case, monkeypatch):
    """Where tables do not fit: the same product in sectors of one dimension, complex characters and odd flips too."""
    chain = L.Chain(8)
    group = S.space_group(chain)
    space = H.Spin(8) if case == "field" else H.Spin(8, magnetisation=0)
    sector = {
        "momentum": S.Sector(group, momentum=(1,)),
        "flip": S.Sector(group, momentum=(4,), irrep="A", internal=S.SpinFlip(-1)),
        "field": S.Sector(group),
    }[case]
    h = O.Ising(space, chain, j=-1.0, h=0.7) if case == "field" else O.J1J2(space, chain, j1=1.0, j2=0.3)
    basis = SectorBasis(space, sector)
    table = sector_map(h, basis)
    monkeypatch.setattr(sectormap, "_TABLE_BYTES", 0)
    direct = sector_map(h, basis)
    assert isinstance(direct, DirectMap) and basis.size
    parts = np.random.default_rng(0).normal(size=(2, basis.size))
    vector = jnp.asarray(parts[0] + 1j * parts[1])
    np.testing.assert_allclose(direct(vector), table(vector), atol=1e-13)
    assert direct.values.dtype == np.result_type(table.values.dtype, float)


def test_levels_without_tables(monkeypatch):
    """Levels and spectra of a sector without tables; what needs tables is refused."""
    lattice = L.Chain(12)
    space = H.Spin(12, magnetisation=0)
    basis = SectorBasis(space, S.Sector(S.space_group(lattice)))
    h = O.Heisenberg(space, lattice)
    expected = ground_state(h, sector=basis).energies
    monkeypatch.setattr(sectormap, "_TABLE_BYTES", 0)
    monkeypatch.setattr(sys.modules["qml.exact.spectrum"], "_DENSE", 2)
    np.testing.assert_allclose(ground_state(h, sector=basis).energies, expected, atol=1e-11)
    np.testing.assert_allclose(spectrum(h, sector=basis).energies[:1], expected, atol=1e-11)
    square, ninth = L.Square(3, 3), H.Spin(9, magnetisation=0.5)
    with pytest.raises(SpaceError, match="does not fit"):
        sector_map(O.Heisenberg(ninth, square), SectorBasis(ninth, S.Sector(S.space_group(square), irrep="E")))


@pytest.mark.parametrize(
    ("lattice", "sites", "local", "fermionic"),
    [(L.Square(4, 4), 16, (1, -1), False), (L.Chain(7), 7, (2, 0, -2), False), (L.Triangular(3, 3), 9, (0, 1), True)],
)
def test_orbits(lattice, sites, local, fermionic):
    """First images, the elements that lead there, and what keeps them, against all images."""
    sector = S.Sector(S.space_group(lattice), internal=() if fermionic else S.SpinFlip())
    action = sector.action(local_states=local, fermionic=fermionic)
    orbits = Orbits(action)
    digits = np.random.default_rng(0).integers(0, len(local), (200, sites))
    codes = orbits.codes(digits)
    np.testing.assert_array_equal(orbits.digits(codes), digits)
    images, factors = action.apply(np.array(local)[digits])
    moved = orbits.codes(action.digits(images))
    first, elements = orbits.first(codes)
    np.testing.assert_array_equal(first, moved.min(axis=1))
    np.testing.assert_array_equal(moved[np.arange(200), elements], first)
    np.testing.assert_array_equal(orbits.factors(elements, codes), factors[np.arange(200), elements])
    np.testing.assert_array_equal(orbits.are_first(codes), codes == first)
    np.testing.assert_array_equal(orbits.are_first(np.unique(first)), True)
    rows, kept = orbits.keeping(first)
    counted = np.bincount(rows, minlength=200)
    np.testing.assert_array_equal(counted, (moved == first[:, None]).sum(axis=1))
    np.testing.assert_array_equal(orbits.image(kept, first[rows]), first[rows])


def cluster(cell, torus, energy):
    return pytest.param(L.Lattice(cell, torus), energy, id=str(torus))


SQUARE = ((1.0, 0.0), (0.0, 1.0))


@pytest.mark.parametrize(
    ("lattice", "energy"),
    [
        cluster(SQUARE, ((4, 0), (0, 4)), -0.7017802005268),
        cluster(SQUARE, ((4, 2), (-2, 4)), -0.6908078896380),  # without symmetry, 184756 states: the same
        cluster(SQUARE, ((4, 0), (0, 6)), -0.6896880747491),  # without symmetry, 2.7 million states: the same
    ],
)
def test_symmetric_sectors_of_square_clusters(lattice, energy):
    """Energy for each site in the fully symmetric sector; 16, 20 (tilted) and 24 sites."""
    space = H.Spin(lattice.n_sites, magnetisation=0)
    sector = S.Sector(S.space_group(lattice), internal=S.SpinFlip())
    found = ground_state(O.Heisenberg(space, lattice), sector=sector)
    assert abs(float(found.energies[0]) / lattice.n_sites - energy) < 1e-11
    assert float(found.residuals[0]) < 1e-9


@pytest.mark.slow
def test_known_energies_in_sectors():
    """The Heisenberg chain of 20 sites and the kagome cluster of 18, to 1e-9."""
    for lattice, energy in ((L.Chain(20), -8.904386529876414), (L.Kagome(3, 2), -8.048270773541159)):
        space = H.Spin(lattice.n_sites, magnetisation=0)
        h, group = O.Heisenberg(space, lattice), S.translation_group(lattice)
        lowest = [
            ground_state(h, sector=S.Sector(group, sector.momentum)).energies[0]
            for sector in S.sectors(group)
            if lattice.n_sites == 18 or sector.momentum == (0,)
        ]
        assert abs(float(min(lowest)) - energy) < 1e-9


def test_start_without_nodes():
    """The signs of the ground state, where the operator has no sign problem: every amplitude positive."""
    space = H.Spin(8, magnetisation=0)
    h = O.Heisenberg(space, L.Chain(8))
    ground = np.asarray(ground_state(h).vectors[0])
    assert np.all(ground * positive_start(h) > 0) or np.all(ground * positive_start(h) < 0)
    basis = SectorBasis(space, S.Sector(S.space_group(L.Chain(8))))
    start = sector_start(h, basis)
    np.testing.assert_allclose(np.abs(basis.to_full(start)), 1, atol=1e-12)
    inside = np.asarray(ground_state(h, sector=basis).vectors[0])
    assert np.all(inside * start > 0) or np.all(inside * start < 0)
    assert positive_start(O.J1J2(space, L.Chain(8), j1=1.0, j2=0.3)) is None
    other = SectorBasis(space, S.Sector(S.space_group(L.Chain(8)), 4))
    assert sector_start(h, other) is None
    ising = O.Ising(H.Spin(4), L.Chain(4), j=1.0, h=-0.5)
    vector = np.asarray(ground_state(ising).vectors[0])
    assert np.all(vector * positive_start(ising) * vector[0] > 0)


def test_evolution_in_a_sector():
    """Real and imaginary time in a momentum sector are those of the whole space."""
    space = H.Spin(6, magnetisation=0)
    lattice = L.Chain(6)
    h = O.Heisenberg(space, lattice)
    basis = SectorBasis(space, S.Sector(S.translation_group(lattice), 1))
    vector = np.random.default_rng(0).normal(size=basis.size) + 0j
    for imaginary in (False, True):
        inside = evolve(h, vector, [0.3, 0.9], sector=basis, imaginary=imaginary)
        whole = evolve(h, basis.to_full(vector), [0.3, 0.9], imaginary=imaginary)
        np.testing.assert_allclose(basis.to_full(inside.vectors[1]), whole.vectors[1], atol=1e-11)
        np.testing.assert_allclose(inside.log_norms, whole.log_norms, atol=1e-11)


@pytest.mark.slow
def test_predicates():
    """A space with a predicate: the PXP chain, blockaded neighbours, against the dense matrix."""
    space = H.Constrained(H.Spin(8), _no_neighbours)
    assert space.size == 47
    terms = []
    for i in range(8):
        left, right = (i - 1) % 8, (i + 1) % 8
        terms += [("X", (i,), 0.25), ("XZ", (i, left), 0.25), ("XZ", (i, right), 0.25), ("XZZ", (i, left, right), 0.25)]
    h = O.PauliSum.from_terms(terms, space)
    found = []
    for sector in S.sectors(S.space_group(L.Chain(8))):
        basis = SectorBasis(space, sector)
        found += [np.asarray(spectrum(h, sector=basis).energies)] * len(sector.star) if basis.size else []
    np.testing.assert_allclose(np.sort(np.concatenate(found)), spectrum(h).energies, atol=1e-12)


def _no_neighbours(x):
    return jnp.all((x > 0) | (jnp.roll(x, 1, axis=-1) > 0), axis=-1)


def test_bad_input(monkeypatch):
    """Operators that break the symmetry, spaces that it leaves, vectors and bases that do not fit."""
    lattice, space = L.Chain(6), H.Spin(6, magnetisation=0)
    h, sector = O.Heisenberg(space, lattice), S.Sector(S.space_group(lattice))
    with pytest.raises(SymmetryError):
        ground_state(h + O.local(space, "Z", 2), sector=sector)
    with pytest.raises(SymmetryError):
        SectorBasis(H.Spin(6, magnetisation=1), S.Sector(S.space_group(lattice), internal=S.SpinFlip()))
    basis = SectorBasis(space, sector)
    ground = ground_state(h, sector=basis)
    np.testing.assert_allclose(expect(basis.to_full(ground.vectors[0]), h), ground.energies[0], atol=1e-12)
    with pytest.raises(SpaceError):
        spectrum(O.Heisenberg(H.Spin(6), lattice), sector=basis)
    with pytest.raises(ShapeError):
        basis.to_full(np.ones(basis.size + 1))
    with pytest.raises(ShapeError):
        basis.project(np.ones(basis.size))
    with pytest.raises(ShapeError):
        evolve(h, np.ones(space.size), [0.1], sector=sector)
    with pytest.raises(SpaceError):
        ground_state(h, k=basis.size + 1, sector=sector)
    monkeypatch.setattr(basis_module, "batches", lambda *_: iter(()))
    with pytest.raises(SymmetryError):
        SectorBasis(space, sector)
