"""Space groups and sectors: permutations, little groups, projectors, counting, representatives."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symmetries
from qml.lattice import Chain, Cubic, Grid, Honeycomb, Kagome, Lattice, Square, Triangular
from symmetries import Sector, SymmetryError, permutation, sectors

FEW = settings(max_examples=25, deadline=None, derandomize=True)
HEXAGONS = [Triangular(3), Honeycomb(3), Kagome(3)]


def spins(n):
    """All configurations, site 0 slowest, index 0 all up."""
    return 1 - 2 * np.array(list(itertools.product((0, 1), repeat=n)), np.int8)


def index(x):
    return ((1 - x.astype(int)) // 2) @ (2 ** np.arange(x.shape[-1])[::-1])


def projector(sector, x=None):
    """Dense P on some configurations, from the definition: (g x)[permutations[g, s]] = x[s]."""
    x = spins(sector.n_sites) if x is None else x
    place = np.full(2**sector.n_sites, -1)
    place[index(x)] = np.arange(len(x))
    matrix = np.zeros((len(x), len(x)), complex)
    for sites, character in zip(sector.permutations, sector.characters):
        moved = np.empty_like(x)
        moved[:, sites] = x
        matrix[place[index(moved)], np.arange(len(x))] += character.conj()
    return matrix * sector.dimension / len(sector.characters)


def lowest(lattice):
    """The configurations with total Sz = 0 or 1/2."""
    x = spins(lattice.n_sites)
    return x[x.sum(axis=1) == lattice.n_sites % 2]


@pytest.mark.parametrize(
    ("lattice", "order", "classes", "counts"),
    [
        (Chain(8), 16, 7, {1: 4, 2: 3}),
        (Square(3), 72, 9, {1: 4, 2: 1, 4: 4}),
        (Square(4), 128, 20, {1: 8, 2: 6, 4: 6}),
        (Square(6), 288, 27, {1: 8, 2: 6, 4: 12, 8: 1}),
        *[(lattice, 108, 11, {1: 4, 2: 4, 4: 1, 6: 2}) for lattice in HEXAGONS],
        (Triangular(6), 432, 20, {1: 4, 2: 4, 3: 4, 4: 1, 6: 6, 12: 1}),
        (Cubic(3), 1296, 22, {1: 4, 2: 2, 3: 4, 6: 4, 8: 2, 12: 5, 16: 1}),
    ],
    ids=str,
)
def test_space_groups(lattice, order, classes, counts):
    """Orders, classes and irreps as published; stars times little irreps give the same irreps (Mackey)."""
    group = symmetries.space_group(lattice)
    assert group.order == order and group.is_faithful
    assert len(group.group.classes) == classes
    dimensions = symmetries.character_table(group.group).dimensions
    assert {d: dimensions.count(d) for d in set(dimensions)} == counts
    assert sorted(len(s.star) * s.dimension for s in sectors(group)) == sorted(dimensions)


@pytest.mark.parametrize(
    "lattice",
    [
        Chain(5),
        Chain(1),
        Chain(2),
        Square(2),
        Square(4, periodic=False),
        Square(3, 4, periodic=(False, True)),
        Square(2, 5),
        Triangular(3, 4),
        Triangular(4),
        Honeycomb(2),
        Honeycomb(2, 3, periodic=(True, False)),
        Kagome(3, 2),
        Cubic(2),
        Grid((1, 2, 1, 3), periodic=(True, True, False, True)),
        Lattice([[1, 0], [3, 1]], (4, 4)),
        Lattice([[1, 0], [0, 1]], (2, 3), [[0.1, 0.2], [0.4, 0.7], [0.8, 0.3]]),
    ],
    ids=str,
)
def test_product_table(lattice):
    """The table is the product of the permutations; the translations commute; the identity is element 0."""
    group = symmetries.space_group(lattice)
    elements, table = group.permutations, group.group.product_table
    products = permutation.product(elements[:, None], elements[None])
    assert np.array_equal(elements[table], products)
    assert group.group.identity == 0 and np.array_equal(elements[0], np.arange(lattice.n_sites))
    translations = symmetries.translation_group(lattice)
    assert translations.group.is_abelian
    assert np.array_equal(translations.permutations, elements[group.point_parts == 0])
    shift = translations.permutations[-1]
    assert np.array_equal(lattice.cells[shift] % np.where(lattice.periodic, lattice.extent, 99), _last(lattice))


def _last(lattice):
    """Cells after the translation by the largest step along each periodic axis."""
    extent = np.asarray(lattice.extent)
    return np.where(lattice.periodic, (lattice.cells - 1) % extent, lattice.cells)


def test_faithful():
    """On narrow tori different elements may be the same permutation; nowhere else."""
    assert not symmetries.space_group(Square(2)).is_faithful
    assert not symmetries.space_group(Chain(2)).is_faithful
    assert symmetries.space_group(Square(3)).is_faithful
    distinct = symmetries.space_group(Square(2)).permutations
    assert len(np.unique(distinct, axis=0)) == 8


LITTLE = [
    (Square(6), (0, 0), 8, [1, 1, 1, 1, 2]),
    (Square(6), (3, 3), 8, [1, 1, 1, 1, 2]),
    (Square(6), (3, 0), 4, [2, 2, 2, 2]),
    (Square(6), (1, 1), 2, [4, 4]),
    (Square(6), (1, 0), 2, [4, 4]),
    (Square(6), (2, 1), 1, [8]),
    (Triangular(6), "Gamma", 12, [1, 1, 1, 1, 2, 2]),
    (Triangular(6), "K", 6, [2, 2, 4]),
    (Triangular(6), "M", 4, [3, 3, 3, 3]),
    (Square(3), (1, 0), 2, [4, 4]),
    (Cubic(4), (2, 0, 0), 16, [3] * 8 + [6, 6]),
    (Cubic(4), "M", 16, [3] * 8 + [6, 6]),
    (Cubic(4), "R", 48, [1, 1, 2, 3, 3, 1, 1, 2, 3, 3]),
]


@pytest.mark.parametrize(("lattice", "momentum", "order", "dimensions"), LITTLE, ids=str)
def test_little_groups(lattice, momentum, order, dimensions):
    """Order of the little point group, and dimensions of the irreps of the space group that it induces."""
    group = symmetries.space_group(lattice)
    numbers = group.momentum(momentum)
    assert len(group.little_group(numbers)) == order
    here = [s for s in sectors(group) if s.momentum == group.star(numbers)[0]]
    assert sorted(len(s.star) * s.dimension for s in here) == sorted(dimensions)
    assert len(group.star(numbers)) * order == group.point_group.order


def test_names_of_momenta():
    """Special points, where the lattice has them."""
    square = symmetries.space_group(Square(4, 6))
    assert [square.momentum(k) for k in ("X", "Y", "M", "Gamma", None)] == [(2, 0), (0, 3), (2, 3), (0, 0), (0, 0)]
    assert symmetries.space_group(Triangular(3)).momentum("K") == (1, 2)
    assert symmetries.space_group(Chain(4)).momentum("X") == symmetries.space_group(Chain(4)).momentum(-2) == (2,)
    other = Lattice([[1, 0], [-0.5, 3**0.5 / 2]], (3, 3))
    assert len(symmetries.space_group(other).little_group(symmetries.space_group(other).momentum("K"))) == 6


SMALL = [
    (Chain(7), None),
    (Triangular(2, 3), None),
    (Kagome(2, 1), None),
    (Square(2), None),
    (Chain(8), 0),
    (Square(3), 0.5),
    (Triangular(3), 0.5),
    (Honeycomb(2), 0),
]


@pytest.mark.parametrize(("lattice", "magnetisation"), SMALL, ids=str)
def test_projectors(lattice, magnetisation):
    """Hermitian, idempotent, orthogonal; traces are the counted dimensions; all arms together are the identity."""
    x = spins(lattice.n_sites) if magnetisation is None else lowest(lattice)
    group = symmetries.space_group(lattice)
    found, trace = [], 0
    for sector in sectors(group):
        p = projector(sector, x)
        np.testing.assert_allclose(p @ p, p, atol=1e-12)
        np.testing.assert_allclose(p, p.conj().T, atol=1e-12)
        assert abs(np.trace(p) - sector.sector_dimension(magnetisation)) < 1e-9
        trace += len(sector.star) * sector.sector_dimension(magnetisation)
        found.append(p)
    for p, q in itertools.combinations(found, 2):
        np.testing.assert_allclose(p @ q, 0, atol=1e-12)
    assert trace == len(x)
    arms = [Sector(group, k, label) for k in np.ndindex(*group.extent) for label in group.irreps(k)]
    np.testing.assert_allclose(sum(projector(sector, x) for sector in arms), np.eye(len(x)), atol=1e-11)


def test_chain_dimensions():
    """Momentum by momentum, as counted by necklaces."""
    group = symmetries.translation_group(Chain(8))
    assert [Sector(group, n).sector_dimension() for n in range(8)] == [36, 30, 33, 30, 34, 30, 33, 30]
    assert [Sector(group, n).sector_dimension(magnetisation=0) for n in range(8)] == [10, 8, 9, 8, 10, 8, 9, 8]
    spin_one = [Sector(group, n).sector_dimension(local_states=3) for n in range(8)]
    assert sum(spin_one) == 3**8 and spin_one[0] == 834  # necklaces of 8 beads in 3 colours
    fixed = [Sector(group, 3).sector_dimension(m, local_states=3) for m in range(-8, 9)]
    assert sum(fixed) == spin_one[3]
    halves = [sum(s.sector_dimension(m) for s in sectors(group)) for m in range(-4, 5)]
    assert halves == [1, 8, 28, 56, 70, 56, 28, 8, 1]


def test_large_counts_are_exact():
    """All states of a 10 x 10 lattice, 2^100 of them, found again in its sectors."""
    group = symmetries.space_group(Square(10))
    assert sum(len(s.star) * s.sector_dimension() for s in sectors(group)) == 2**100


@pytest.mark.parametrize("lattice", [Chain(8), Square(3), Triangular(3), Honeycomb(2)], ids=str)
def test_spectra(lattice):
    """The Heisenberg spectrum is the union of those of the sectors, arm by arm."""
    x = lowest(lattice)
    place = np.full(2**lattice.n_sites, -1)
    place[index(x)] = np.arange(len(x))
    hamiltonian = np.zeros((len(x), len(x)))
    for i, j in lattice.edges():
        swapped = x.copy()
        swapped[:, [i, j]] = x[:, [j, i]]
        hamiltonian[place[index(swapped)], np.arange(len(x))] += 0.5
    levels = []
    for sector in sectors(symmetries.space_group(lattice)):
        weights, vectors = np.linalg.eigh(projector(sector, x))
        basis = vectors[:, weights > 0.5]
        inside = basis.conj().T @ hamiltonian @ basis
        np.testing.assert_allclose(hamiltonian @ basis, basis @ inside, atol=1e-10)
        levels += [np.linalg.eigvalsh(inside)] * len(sector.star)
    np.testing.assert_allclose(np.sort(np.concatenate(levels)), np.linalg.eigvalsh(hamiltonian), atol=1e-10)


def test_bloch_waves():
    """A single flipped spin at momentum k: psi(r + a) = e^{i k a} psi(r)."""
    group = symmetries.translation_group(Chain(6))
    x = 1 - 2 * np.eye(6, dtype=np.int8)
    wave = np.zeros(64, complex)
    wave[index(x)] = np.exp(2j * np.pi * np.arange(6) * 2 / 6)
    np.testing.assert_allclose(Sector(group, 2).project(wave), wave, atol=1e-14)
    np.testing.assert_allclose(Sector(group, -2).project(wave), 0, atol=1e-14)


ANY = [(lattice, momentum) for lattice in (Chain(6), Square(3), Triangular(3), Square(2, 4)) for momentum in (0, 1, -1)]


@pytest.mark.slow
@given(which=st.sampled_from(ANY), seed=st.integers(0, 2**16))
@FEW
def test_action(which, seed):
    """apply, project and representatives agree with the definition, for every irrep at one momentum."""
    lattice, step = which
    group = symmetries.space_group(lattice)
    momentum = (step,) + (0,) * (lattice.dimension - 1)
    random = np.random.default_rng(seed)
    x = random.choice(np.array([-1, 1], np.int8), size=(2, 3, lattice.n_sites))
    vector = random.normal(size=2**lattice.n_sites) + 1j * random.normal(size=2**lattice.n_sites)
    for label in group.irreps(momentum):
        sector = Sector(group, momentum, label)
        p = projector(sector)
        moved = sector.apply(x)
        assert moved.shape == (2, 3, len(sector.permutations), lattice.n_sites)
        g = random.integers(len(sector.permutations))
        assert np.array_equal(moved[..., g, sector.permutations[g]], x)
        np.testing.assert_allclose(sector.project(vector), p @ vector, atol=1e-11)
        states, elements, norms = sector.representatives(x)
        assert np.array_equal(np.take_along_axis(moved, elements[..., None, None], 2)[..., 0, :], states)
        assert (index(states) == index(moved).min(axis=-1)).all()
        np.testing.assert_allclose(norms**2, p.diagonal().real[index(x)], atol=1e-12)


@pytest.mark.parametrize("lattice", [Chain(8), Square(3), Triangular(2, 3)], ids=str)
@pytest.mark.parametrize("magnetisation", [None, 1.0, 0.5])
def test_representatives_span_the_sector(lattice, magnetisation):
    """In irreps of dimension one each orbit with a norm is one state."""
    x = spins(lattice.n_sites)
    if magnetisation is not None:
        x = x[x.sum(axis=1) == 2 * magnetisation]
        if len(x) == 0:
            return
    for sector in sectors(symmetries.space_group(lattice)):
        states, _, norms = sector.representatives(x)
        kept = np.unique(states[norms > 0], axis=0)
        if sector.dimension == 1:
            assert len(kept) == sector.sector_dimension(magnetisation)


def test_representatives_of_long_and_wide_configurations():
    """More sites than fit one machine word, and more than two states a site."""
    sector = Sector(symmetries.space_group(Square(10)))
    x = np.random.default_rng(0).choice([-2, 0, 2], size=(4, 100))
    states, elements, _ = sector.representatives(x)
    moved = sector.apply(x)
    for row in range(4):
        assert tuple(states[row]) == max(map(tuple, moved[row]))
        assert np.array_equal(moved[row, elements[row]], states[row])
    again = sector.representatives(moved[:, 17])
    assert np.array_equal(again.states, states)
    one = sector.representatives(np.ones((1, 100), np.int8))
    assert one.norms[0] == pytest.approx(1.0)


def test_descriptor():
    """Equal by content, hashable, momentum folded into the zone, arrays closed to writing."""
    group = symmetries.space_group(Square(4))
    one, two = Sector(group, (-1, 0)), Sector(symmetries.space_group(Square(4)), (3, 0), "A'")
    assert one == two and hash(one) == hash(two) and one != Sector(group)
    assert one.label == "k=(3, 0) A'" and len(one.star) == 4 and one.dimension == 1
    assert Sector(group).label == "k=(0, 0) A1" and (Sector(group).characters == 1).all()
    assert Sector(group, (2, 2), "E").dimension == 2 and Sector(group, "M", "E").is_real and not one.is_real
    assert np.array_equal(one.group.product_table, group.group.subgroup(one.elements).product_table)
    assert repr(Sector(group)) == "Sector(k=(0, 0) A1, group of order 128 on 16 sites)"
    for array in (one.characters, one.permutations, group.permutations):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_characters_are_a_representation():
    """Characters of one-dimensional irreps multiply; a complex momentum obeys e^{-i k t}."""
    group = symmetries.space_group(Square(4))
    for sector in sectors(group):
        chi = sector.characters
        assert np.abs(np.vdot(chi, chi) - len(chi)) < 1e-10
        if sector.dimension == 1:
            np.testing.assert_allclose(chi[sector.group.product_table], chi[:, None] * chi[None], atol=1e-13)
    one = symmetries.translation_group(Square(4))
    np.testing.assert_allclose(Sector(one, (1, 0)).characters, np.exp(-0.5j * np.pi * one.translations[:, 0]), atol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: Sector(g, irrep="A3"), "one of A1, A2, B1, B2, E"),
        (lambda g: Sector(g, (1, 1), "B1"), "one of A', A''"),
        (lambda g: Sector(g, (0.5, 0)), "not on the lattice"),
        (lambda g: Sector(g, (4, 0)), "not on the lattice"),
        (lambda g: Sector(g, (1, 0, 0)), "not on the lattice"),
        (lambda g: Sector(g, 1), "not on the lattice"),
        (lambda g: Sector(g, "K"), "no point named 'K'"),
        (lambda g: Sector(symmetries.space_group(Chain(5)), "X"), "not on the lattice"),
        (lambda g: Sector(symmetries.space_group(Chain(5, periodic=False)), 1), "not on the lattice"),
        (lambda g: Sector(g).apply(np.ones(3)), "do not fit"),
        (lambda g: Sector(g).sector_dimension(0.5), "No state has this"),
        (lambda g: Sector(g).sector_dimension(9), "No state has this"),
    ],
)
def test_bad_input(call, message):
    """Each mistake is named, and what there is instead."""
    with pytest.raises(SymmetryError, match=message):
        call(symmetries.space_group(Square(4)))
