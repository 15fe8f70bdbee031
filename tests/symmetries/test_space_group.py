"""Space groups of clusters: tilted, twisted, open, with glides and screws; momenta, little groups, induced irreps.

Published numbers: character tables of NetKet 3.23 and the tables of its tests (netket/test/graph/test_space_group.py,
test/groups): orders, classes, dimensions, little groups at given momenta.
"""

import itertools
import time
import warnings
from dataclasses import dataclass

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symmetries
from qml.lattice import (
    BCC,
    FCC,
    Chain,
    Cubic,
    Diamond,
    GeometryWarning,
    Grid,
    Honeycomb,
    Hypercube,
    Kagome,
    KitaevHoneycomb,
    Lattice,
    Pyrochlore,
    ShastrySutherland,
    Square,
    Triangular,
)
from symmetries import SymmetryError, permutation
from symmetries.crystal import check_crystal
from symmetries.isometries import find_isometries
from symmetries.little_group import multiplier
from symmetries.torus import Quotient, smith_factors
from symmetries.zone import to_first_zone

FEW = settings(max_examples=15, deadline=None, derandomize=True)
TILTED = {20: [[4, 2], [-2, 4]], 32: [[4, 4], [-4, 4]], 40: [[6, 2], [-2, 6]]}
PGG = Lattice([[1, 0], [0, 1.3]], (3, 2), [[0.1, 0.2], [0.9, 1.1], [0.6, 0.45], [0.4, 0.85]])
P4 = Lattice(np.eye(2), (3, 3), [[0.1, 0.25], [-0.25, 0.1], [-0.1, -0.25], [0.25, -0.1]])
ZIGZAG = Lattice([[1, 0], [0, 1]], (4, 1), [[0.1, 0], [0.6, 0.5]], periodic=(True, False))
SCREW = Lattice(
    np.diag([1, 1.4, 1.7]), (2, 1, 2), [[0.1, 0.2, 0.3], [0.9, -0.2, 1.15], [0.35, 0.1, 0.2], [0.65, -0.1, 1.05]]
)
HCP = Lattice(
    [[1, 0, 0], [-0.5, 0.75**0.5, 0], [0, 0, (8 / 3) ** 0.5]], (2, 2, 2), [[0, 0, 0], [0, 3**-0.5, (2 / 3) ** 0.5]]
)


def counted(values):
    return {d: list(values).count(d) for d in sorted(set(values))}


def rows(values):
    """Rows of a complex table as a sorted list, to compare tables up to the order of rows."""
    parts = np.round(np.stack([values.real, values.imag], axis=-1).reshape(len(values), -1), 9) + 0.0
    return sorted(map(tuple, parts.tolist()))


@pytest.mark.parametrize(
    ("lattice", "order", "classes", "counts"),
    [
        (Chain(8), 16, 7, {1: 4, 2: 3}),
        (Square(3), 72, 9, {1: 4, 2: 1, 4: 4}),
        (Square(4), 128, 20, {1: 8, 2: 6, 4: 6}),
        (Square(6), 288, 27, {1: 8, 2: 6, 4: 12, 8: 1}),
        (Triangular(3), 108, 11, {1: 4, 2: 4, 4: 1, 6: 2}),
        (Honeycomb(3), 108, 11, {1: 4, 2: 4, 4: 1, 6: 2}),
        (Kagome(3), 108, 11, {1: 4, 2: 4, 4: 1, 6: 2}),
        (Triangular(6), 432, 20, {1: 4, 2: 4, 3: 4, 4: 1, 6: 6, 12: 1}),
        (Cubic(3), 1296, 22, {1: 4, 2: 2, 3: 4, 6: 4, 8: 2, 12: 5, 16: 1}),
        (Pyrochlore(2), 384, 20, {1: 4, 2: 2, 3: 4, 4: 4, 6: 4, 8: 2}),
        # from here on: little groups against the characters of the finite group, orders by hand
        (Square(TILTED[20]), 80, 14, {1: 8, 2: 2, 4: 4}),
        (Square(TILTED[32]), 256, 25, {1: 8, 2: 6, 4: 10, 8: 1}),
        (Square(TILTED[40]), 160, 19, {1: 8, 2: 2, 4: 9}),
        (Triangular([[2, 1], [-1, 3]]), 42, 7, {1: 6, 6: 1}),
        (Diamond(2), 384, 20, {1: 4, 2: 2, 3: 4, 4: 4, 6: 4, 8: 2}),
        (HCP, 192, 25, None),
        (ShastrySutherland(2), 32, 11, {1: 8, 2: 2, 4: 1}),
        (PGG, 24, None, None),
        (ZIGZAG, 16, None, None),
        (SCREW, 8, None, None),
    ],
    ids=str,
)
def test_character_tables(lattice, order, classes, counts):
    """Orders, classes and dimensions as published; stars of little irreps give the table of the finite group."""
    group = symmetries.space_group(lattice)
    assert group.order == order
    table, direct = group.characters, symmetries.character_table(group.group)
    assert sum(d * d for d in table.dimensions) == order
    assert rows(table.values) == rows(direct.values)
    sizes = [len(c) for c in group.group.classes]
    np.testing.assert_allclose((table.values * sizes) @ table.values.conj().T / order, np.eye(len(sizes)), atol=1e-12)
    assert classes is None or len(sizes) == classes
    assert counts is None or counted(table.dimensions) == counts
    induced = [i for k in group.momenta() if group.star(k)[0] == k for i in group.space_group_irreps(k)]
    np.testing.assert_allclose([i.characters for i in induced], table.values[:, group.group.class_index], atol=1e-12)
    assert [i.label for i in induced] == list(table.labels) and len(set(table.labels)) == len(table.labels)


ALL = [
    Square(TILTED[20]),
    Triangular([[3, 1], [-1, 4]]),
    Triangular([[2, 1], [-1, 3]]),
    Honeycomb([[2, 1], [-1, 3]]),
    Cubic([[1, 1, 0], [0, 2, 1], [2, 0, 1]]),
    Lattice(np.eye(3), [[2, 1, 0], [-1, 2, 0], [0, 0, 3]], periodic=(True, True, False)),
    Lattice(np.eye(2), [[-3, 0], [0, 2]]),
    Pyrochlore(2),
    Diamond(2),
    ShastrySutherland(2),
    PGG,
    P4,
    ZIGZAG,
    SCREW,
    HCP,
]


@pytest.mark.parametrize("lattice", ALL, ids=str)
def test_elements(lattice):
    """Permutations multiply as the table says, keep all distances, and contain every translation by a cell vector."""
    group = symmetries.space_group(lattice)
    moved, table = group.permutations, group.group.product_table
    assert np.array_equal(moved[table], permutation.product(moved[:, None], moved[None]))
    distances = lattice.distances()
    np.testing.assert_allclose(distances[moved[:, :, None], moved[:, None, :]], distances[None] + 0 * moved[:, :, None])
    assert group.group.identity == 0 and np.array_equal(moved[0], np.arange(lattice.n_sites))
    # the isometry written out: r -> R (r - o) + o + w + t, modulo the torus
    inverse = np.linalg.inv(group.supercell @ group.cell)
    shifts = group.shifts[group.point_parts] / group.denominator + group.translations
    turned = (lattice.positions - group.origin) @ group.point_group.matrices[group.point_parts].transpose(0, 2, 1)
    miss = (turned + group.origin + (shifts @ group.cell)[:, None] - lattice.positions[moved]) @ inverse
    miss = np.where(lattice.periodic, miss - np.round(miss), miss)
    assert np.abs(miss).max() < 1e-9
    for axis in np.flatnonzero(lattice.periodic):
        step = group.permutations[group.point_parts == 0][
            group.zone.torus.number(np.eye(lattice.dimension, dtype=int)[axis])
        ]
        gap = (lattice.positions + group.cell[axis] - lattice.positions[step]) @ inverse
        assert np.abs(gap - np.round(gap)).max() < 1e-9


def test_tilted_clusters_keep_rotations_only():
    """The 20- and 40-site squares have the fourfold axis but no mirror, the 32-site one has both."""
    labels = {n: symmetries.space_group(Square(t)).point_group.characters.labels for n, t in TILTED.items()}
    assert labels == {20: ("A", "B", "E+", "E-"), 32: ("A1", "A2", "B1", "B2", "E"), 40: ("A", "B", "E+", "E-")}
    assert symmetries.space_group(Square([[4, 1], [0, 4]])).point_group.order == 2


@pytest.mark.parametrize(
    ("lattice", "order", "symmorphic", "denominator"),
    [
        (Pyrochlore(2), 48, 24, 4),
        (Diamond(2), 48, 24, 4),
        (HCP, 24, 12, 6),
        (ShastrySutherland(2), 8, 4, 2),
        (PGG, 4, 2, 2),
        (P4, 4, 4, 1),
        (ZIGZAG, 4, 2, 2),
        (SCREW, 2, 1, 2),
        (Lattice([[1, 0], [0, 1]], (3, 3), [[0.13, 0.21], [0.63, -0.21]]), 4, 2, 2),
    ],
    ids=str,
)
def test_glides_and_screws(lattice, order, symmorphic, denominator):
    """How many isometries there are, how many keep the origin, and the fractions of the others."""
    group = symmetries.space_group(lattice)
    assert (group.point_group.order, group.denominator) == (order, denominator)
    assert (~group.shifts.any(axis=1)).sum() == symmorphic
    assert group.is_symmorphic == (order == symmorphic)
    about = symmetries.space_group(lattice, origin=group.origin)
    assert about.is_symmorphic and about.point_group.order == symmorphic


def test_screw_axis_where_no_point_is_kept():
    """A lone twofold screw axis: the shift is half of the third vector although every site is off the axis."""
    group = symmetries.space_group(SCREW)
    assert group.shifts.tolist() == [[0, 0, 0], [0, 0, 1]] and group.denominator == 2
    np.testing.assert_allclose(group.point_group.matrices[1], np.diag([-1, -1, 1]))


def test_cells_that_are_not_primitive():
    """Only translations by the given cell vectors count; the isometries still form a group."""
    doubled = Lattice(2 * np.eye(2), (2, 2), [[0, 0], [1, 0], [0, 1], [1, 1]])
    group = symmetries.space_group(doubled)
    assert group.order == 4 * 8 and group.is_symmorphic
    flat = Lattice([[2, 0], [0, 1.3]], (2, 2), [[0.1, 0.2], [1.1, 0.2], [0.6, -0.2], [1.6, -0.2]])  # a glide, doubled
    group = symmetries.space_group(flat)
    moved = group.permutations
    assert np.array_equal(moved[group.group.product_table], permutation.product(moved[:, None], moved[None]))


@pytest.mark.parametrize("lattice", ALL, ids=str)
def test_irreps_of_little_groups(lattice):
    """Matrices multiply, their traces are the characters, translations are e^{-ikt}; sum d^2 is the order."""
    group = symmetries.space_group(lattice)
    for k in group.momenta():
        if group.star(k)[0] != k:
            continue
        elements, points = group.little_elements(k), group.little_group(k)
        table = group.group.subgroup(elements).product_table
        irreps = group.little_irreps(k)
        assert sum(i.dimension**2 for i in irreps) == len(points)
        assert [i.label for i in irreps] == list(group.irreps(k))
        translations = group.point_parts[elements] == 0
        plain = np.exp(-1j * (group.translations[elements][translations] @ group.cell) @ group.wavevector(k))
        np.testing.assert_allclose(group.phases(k)[elements][translations], plain, atol=1e-12)
        for irrep in irreps:
            np.testing.assert_allclose(np.trace(irrep.matrices, axis1=1, axis2=2), irrep.characters, atol=1e-11)
            np.testing.assert_allclose(irrep.characters[translations], irrep.dimension * plain, atol=1e-12)
            some = np.random.default_rng(0).permutation(len(elements))[:24]
            products = irrep.matrices[some][:, None] @ irrep.matrices[None]
            np.testing.assert_allclose(products, irrep.matrices[table[some]], atol=1e-11)
            assert irrep.is_projective == irrep.label.startswith("P") and irrep.momentum == k


@pytest.mark.parametrize("lattice", [*ALL, Square(4, twist=(0.3, 0.3)), Chain(5, twist=0.7)], ids=str)
def test_projectors_on_one_particle(lattice):
    """Idempotent, orthogonal, complete, and of the rank that the characters say, with the phases of a twist."""
    group = symmetries.space_group(lattice)
    n = group.n_sites
    matrices = np.zeros((group.order, n, n), complex)
    matrices[np.arange(group.order)[:, None], group.permutations, np.arange(n)[None]] = group.site_phases
    found = []
    for k in group.momenta():
        elements = group.little_elements(k)
        for irrep in group.little_irreps(k):
            weights = irrep.dimension / len(elements) * irrep.characters.conj()
            found.append(np.tensordot(weights, matrices[elements], 1))
    total = np.sum(found, axis=0)
    np.testing.assert_allclose(total, np.eye(n), atol=1e-11)
    for p in found:
        np.testing.assert_allclose(p @ p, p, atol=1e-11)
        np.testing.assert_allclose(p, p.conj().T, atol=1e-11)
    assert round(sum(np.trace(p).real for p in found)) == n


@pytest.mark.parametrize(
    ("lattice", "wavevector", "order", "irreps"),
    [
        (P4, [0, 0], 4, 4),
        (Square(3), [2 * np.pi / 3, 0], 2, 2),
        (Triangular(3), [4 * np.pi / 3, 0], 6, 3),
        (Honeycomb(3), [4 * np.pi / 3 / 3**0.5, 0], 6, 3),
        (Kagome(3), [2 * np.pi / 3, 0], 6, 3),
        (Cubic(3), [4 * np.pi / 3, 0, 0], 8, 5),
        (Cubic(3), [2 * np.pi / 3, 0, 0], 8, 5),
    ],
    ids=str,
)
def test_little_groups_at_given_momenta(lattice, wavevector, order, irreps):
    """The momenta of NetKet's tests (lengths in units of the nearest-neighbour distance here)."""
    group = symmetries.space_group(lattice)
    k = group.momentum_of(wavevector)
    assert len(group.little_group(k)) == order and len(group.little_irreps(k)) == irreps
    assert group.momentum_of(group.wavevector(k)) == k
    assert group.little_point_group(k).order * len(group.star(k)) == group.point_group.order


@pytest.mark.parametrize("lattice", [BCC(3), FCC(3), Diamond(3), Pyrochlore(3)], ids=str)
def test_little_groups_on_the_axis(lattice):
    """(4 pi/3, 0, 0) in units of the cubic cell: order 8 with 5 irreps, on the symmorphic and other lattices."""
    group = symmetries.space_group(lattice)
    cubic = (np.abs(np.linalg.det(group.cell)) * (2 if lattice.name == "BCC" else 4)) ** (1 / 3)
    k = group.momentum_of([4 * np.pi / 3 / cubic, 0, 0])
    assert len(group.little_group(k)) == 8
    assert [i.dimension for i in group.little_irreps(k)] == [1, 1, 1, 1, 2]
    assert not any(i.is_projective for i in group.little_irreps(k))


def test_pyrochlore_on_the_boundary_of_the_zone():
    """(2 pi, 0, 0) of the cubic cell: 16 isometries but only 4 irreps, of dimension 2. (NetKet: the same.)"""
    group = symmetries.space_group(Pyrochlore(2))
    cubic = (4 * np.abs(np.linalg.det(group.cell))) ** (1 / 3)
    k = group.momentum_of([2 * np.pi / cubic, 0, 0])
    assert k in group.star("X") and len(group.little_group(k)) == 16
    irreps = group.little_irreps(k)
    assert [(i.label, i.dimension) for i in irreps] == [("P1", 2), ("P2", 2), ("P3", 2), ("P4", 2)]
    assert sorted(set(np.round(multiplier(group, k).real, 12).ravel())) == [-1, 1]
    assert group.irreps("L") == ("A1g", "A2g", "Eg", "A1u", "A2u", "Eu")  # ordinary, about a site
    sites = Pyrochlore(2).positions - group.origin - group.little_irreps("L")[0].shift
    inverse = np.linalg.inv(group.cell)
    assert np.abs(sites @ inverse - np.round(sites @ inverse)).max(axis=1).min() < 1e-9


def test_pgg_on_the_boundary_of_the_zone():
    """Two glides: at (pi, 0) and (0, pi) one irrep of dimension 2, at (pi, pi) four of dimension 1."""
    group = symmetries.space_group(Lattice(PGG.cell, (2, 2), PGG.offsets))
    assert [[i.dimension for i in group.little_irreps(k)] for k in ("Gamma", "X", "Y", "M")] == [
        [1, 1, 1, 1],
        [2],
        [2],
        [1, 1, 1, 1],
    ]


def test_large_pyrochlore_is_quick():
    """3 x 3 x 3 pyrochlore: 1296 elements, permutations, product table and characters in under 10 s of CPU time."""
    start = time.process_time()
    group = symmetries.space_group(Pyrochlore(3))
    table = group.characters
    assert time.process_time() - start < 10
    assert group.order == 1296 and sum(d * d for d in table.dimensions) == 1296
    assert rows(table.values) == rows(symmetries.character_table(group.group).values)
    moved, product = group.permutations, group.group.product_table
    for a in group.group.generators:
        assert np.array_equal(moved[product[:, a]], moved[:, moved[a]])


@pytest.mark.parametrize(
    ("lattice", "rotations", "isometries", "order"),
    [
        (Grid((3, 3, 3), periodic=(True, True, False)), 8, 16, 144),
        (Grid((3, 3, 3, 3), periodic=(True, True, False, False)), 32, 64, 576),
        (Triangular(3), 6, 12, 108),
        *[(Hypercube(3, n), 2**n * f // 2, 2**n * f, 6**n * f) for n, f in ((1, 1), (2, 2), (3, 6), (4, 24))],
    ],
    ids=str,
)
def test_grids(lattice, rotations, isometries, order):
    """Mixed boundaries and hypercubes: 2^n n! isometries."""
    group = symmetries.space_group(lattice)
    assert (np.linalg.det(group.point_group.matrices) > 0).sum() == rotations
    assert (group.point_group.order, group.order) == (isometries, order)


@pytest.mark.parametrize(("extent", "order"), [((3, 3), 18), ((2, 4), 16)])
def test_kitaev_honeycomb(extent, order):
    """Isometries that keep the three kinds of bonds: the identity and the twofold axis; little group 1 off Gamma."""
    lattice = KitaevHoneycomb(*extent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeometryWarning)
        kinds = {color: lattice.edges(color=color) for color in sorted(set(lattice.edge_colors()))}
    assert len(kinds) == 3
    group = symmetries.space_group(lattice, keep=kinds)
    assert (group.point_group.order, group.order) == (2, order)
    assert len(group.little_group((1, 1))) == 1
    for sites in group.permutations:
        for pairs in kinds.values():
            assert {tuple(sorted(sites[list(pair)])) for pair in pairs} == set(pairs)


def test_shastry_sutherland():
    """Dimers and squares are kept without being told: the fourfold axis and the glides of p4g."""
    lattice = ShastrySutherland(2)
    group = symmetries.space_group(lattice)
    kinds = {color: lattice.edges(color=color) for color in ("dimer", "square")}
    assert np.array_equal(symmetries.space_group(lattice, keep=kinds).permutations, group.permutations)
    assert sorted(group.name(p).split("[")[0].split("O")[0] for p in range(8)) == [
        *["Glide", "Glide", "Id"],
        *["Refl(135°)", "Refl(45°)", "Rot(-90°)", "Rot(180°)", "Rot(90°)"],
    ]


def test_pairs_that_do_not_repeat():
    """Dimers on a chain break the translation by one site; with a cell of two sites they are kept."""
    with pytest.raises(SymmetryError, match="do not keep the pairs"):
        symmetries.space_group(Chain(4), keep=[[(0, 1), (2, 3)]])
    chain = Lattice([[2.0]], (3,), [[0.0], [1.0]])
    assert symmetries.space_group(chain).order == 6
    group = symmetries.space_group(chain, keep={"strong": [(0, 1), (2, 3), (4, 5)]})
    assert group.order == 6 and group.origin[0] % 1 == 0.5


def test_automorphisms():
    """Square(4) is the graph of a hypercube and has more automorphisms than isometries; Square(3) has no more."""
    for size, automorphisms in ((4, 384), (3, 72)):
        assert symmetries.automorphisms(nx.Graph(Square(size).edges())).order == automorphisms
    assert symmetries.space_group(Square(4)).order == 128 and symmetries.space_group(Square(3)).order == 72


@pytest.mark.parametrize(
    "lattice", [Chain(6), Square(4, 6), Square(TILTED[20]), Triangular(6), Honeycomb([[2, 1], [-1, 3]]), FCC(4), BCC(4)]
)
def test_labels_of_momenta(lattice):
    """The labels, vectors and names of the lattice; phases are those of the vectors; names are what they say."""
    group = symmetries.space_group(lattice)
    assert [list(k) for k in group.momenta()] == lattice.momentum_numbers.tolist()
    np.testing.assert_allclose([group.wavevector(k) for k in group.momenta()], lattice.momenta(), atol=1e-9)
    assert group.named_momenta() == lattice.named_momenta()
    torus = group.supercell @ group.cell
    for name, k in group.named_momenta().items():
        assert group.momentum(name) == k
        assert len(group.little_group(k)) >= 2
    for k in group.momenta():
        np.testing.assert_allclose(np.exp(1j * (torus @ group.wavevector(k) - 2 * np.pi * np.array(k))), 1, atol=1e-9)
        moves = np.random.default_rng(0).integers(-3, 4, lattice.dimension)
        other = np.array(k) + group.supercell @ moves
        straight = np.count_nonzero(group.supercell) == len(group.supercell)
        assert straight or group.momentum(other) == k
        assert group.momentum(k) == k and k in group.star(k)
    everything = sorted(k for first in {group.star(k) for k in group.momenta()} for k in first)
    assert everything == sorted(group.momenta())


@pytest.mark.slow
def test_names_on_cubic_lattices():
    """X, L, W, K of the face-centred cubic zone have little groups of order 16, 12, 8 and 4; H, P, N: 48, 24, 8."""
    group = symmetries.space_group(FCC(8))
    assert {name: len(group.little_group(k)) for name, k in group.named_momenta().items()} == {
        "Gamma": 48,
        "X": 16,
        "L": 12,
        "W": 8,
        "K": 4,
        "U": 4,
    }
    group = symmetries.space_group(BCC(4))
    assert [len(group.little_group(name)) for name in "HPN"] == [48, 24, 8]


def hopping(lattice):
    """One-particle matrix of the hopping with the phases of the lattice, i < j: j -> i."""
    matrix = np.zeros((lattice.n_sites, lattice.n_sites), complex)
    for (i, j), phase in zip(lattice.edges(), lattice.edge_phases()):
        matrix[i, j], matrix[j, i] = phase, np.conj(phase)
    return matrix


ANGLES = st.floats(-7, 7, allow_nan=False)


@given(
    make=st.sampled_from(
        [
            lambda a, b: (Chain(5, twist=a), 1),
            lambda a, b: (Square(4, 3, twist=(a, b)), 1),
            lambda a, b: (Square(3, twist=(a, a)), 2),
            lambda a, b: (Square(3, 4, twist=(a, 0)), 2),
            lambda a, b: (Square(TILTED[20], twist=(a, b)), 1),
            lambda a, b: (Square(TILTED[32], twist=(a, a)), 2),
            lambda a, b: (Triangular(3, twist=(a, b)), 1),
            lambda a, b: (Triangular(3, twist=(a, a)), 2),
            lambda a, b: (Triangular([[2, 1], [-1, 3]], twist=(a, b)), 1),
            lambda a, b: (Kagome(3, twist=(a, b)), 1),
            lambda a, b: (Honeycomb(3, 4, periodic=(True, False), twist=(a, 0)), 1),
        ]
    ),
    a=ANGLES.filter(lambda x: abs(x) > 1e-3),
    b=ANGLES,
)
@FEW
def test_twist(make, a, b):
    """Every element with its phases commutes with the hopping; the phases multiply; isometries keep the twist."""
    lattice, least = make(a, b + np.pi / 50)
    group = symmetries.space_group(lattice)
    assert group.point_group.order >= least and group.order >= lattice.n_cells / lattice.supercell[-1][-1]
    h, n = hopping(lattice), lattice.n_sites
    matrices = np.zeros((group.order, n, n), complex)
    matrices[np.arange(group.order)[:, None], group.permutations, np.arange(n)[None]] = group.site_phases
    np.testing.assert_allclose(matrices @ h, h @ matrices, atol=1e-9)
    some = np.random.default_rng(0).integers(0, group.order, (20, 2))
    table = group.group.product_table
    for one, two in some:
        np.testing.assert_allclose(matrices[one] @ matrices[two], matrices[table[one, two]], atol=1e-9)


def test_what_a_twist_leaves():
    """Random angles: translations alone; along one axis: the mirror that keeps it; without: everything, phases one."""
    assert symmetries.space_group(Square(4, twist=(0.3, 0.7))).point_group.order == 1
    assert symmetries.space_group(Square(4, twist=(0.3, 0.0))).point_group.order == 2
    assert symmetries.space_group(Square(4, twist=np.pi)).point_group.order == 2
    plain = symmetries.space_group(Square(4))
    assert plain.order == 128 and (plain.site_phases == 1).all()


@pytest.mark.parametrize("twist", [0.0, 0.9, np.pi, -2.0])
def test_momentum_of_a_twisted_chain(twist):
    """The sector of label n has the level 2 cos((2 pi n + twist) / L), and T^L = 1."""
    lattice = Chain(6, twist=twist)
    group, h = symmetries.translation_group(lattice), hopping(lattice)
    step = np.zeros((6, 6), complex)
    step[group.permutations[1], np.arange(6)] = group.site_phases[1]
    np.testing.assert_allclose(np.linalg.matrix_power(step, 6), np.eye(6), atol=1e-12)
    for n in range(6):
        weights = group.little_irreps(n)[0].characters.conj() / 6
        projector = sum(w * np.linalg.matrix_power(step, t) for t, w in enumerate(weights))
        level = 2 * np.cos((2 * np.pi * n + twist) / 6)
        np.testing.assert_allclose(h @ projector, level * projector, atol=1e-12)


@dataclass
class Pentagon:
    """A crystal of its own: five cells of a tilted square lattice, sites in a strange order."""

    cell: object
    offsets: object
    supercell: object
    periodic: object
    twist: object
    n_sites: int
    positions: object


def test_any_crystal():
    """All that is asked for are the fields of the protocol; sites may come in any order and in any image."""
    places = np.array([[1.0, 0.0], [0.0, 0.0], [4.0, 1.0], [0.0, 1.0], [-1.0, 0.0]])  # (4, 1) is (0, -1)
    crystal = Pentagon(np.eye(2), np.zeros((1, 2)), [[2, 1], [-1, 2]], (True, True), (0.0, 0.0), 5, places)
    assert isinstance(crystal, symmetries.Crystal)
    group = symmetries.space_group(crystal)
    assert group.order == 20 and group.is_faithful and group.point_group.characters.labels == ("A", "B", "E+", "E-")
    assert counted(group.characters.dimensions) == {1: 4, 4: 1}


@given(st.lists(st.integers(-6, 6), min_size=9, max_size=9), st.lists(st.integers(-30, 30), min_size=3, max_size=3))
@FEW
def test_quotients(entries, vector):
    """Classes of whole vectors: as many as the determinant says; Smith's divisors divide; canonical is canonical."""
    rows_ = np.array(entries).reshape(3, 3)
    factors = smith_factors(rows_)
    determinant = round(abs(np.linalg.det(rows_)))
    assert np.prod(factors) == determinant and all(b % a == 0 for a, b in itertools.pairwise(factors) if a)
    if determinant == 0:
        with pytest.raises(SymmetryError, match="linearly dependent"):
            Quotient(rows_)
        return
    torus = Quotient(rows_)
    assert len(torus.vectors) == determinant and np.array_equal(torus.number(torus.vectors), np.arange(determinant))
    moved = np.array(vector) + np.array([2, -1, 3]) @ rows_
    assert torus.number(moved) == torus.number(np.array(vector))
    assert np.array_equal(torus.canonical(moved), torus.vectors[torus.number(moved)])
    gap = (np.array(vector) - torus.canonical(np.array(vector))) @ np.linalg.inv(rows_)
    np.testing.assert_allclose(gap, np.round(gap), atol=1e-9)


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=2), st.floats(0.2, 2.5), st.floats(0.5, 3))
@FEW
def test_first_zone(point, angle, length):
    """No image within four reciprocal vectors is shorter, on any oblique lattice."""
    vectors = np.array([[1.0, 0.0], [length * np.cos(angle), length * np.sin(angle)]])
    best = np.linalg.norm((np.array(point) + to_first_zone(np.array(point), vectors)) @ vectors)
    grid = np.stack(np.meshgrid(*[np.arange(-25, 26)] * 2), axis=-1).reshape(-1, 2)
    assert best <= np.linalg.norm((np.array(point) + grid) @ vectors, axis=1).min() + 1e-9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: symmetries.space_group(Square(TILTED[20])).extent, "no number of translations"),
        (lambda: symmetries.space_group(Square([[2, 1], [-1, 2]])).momentum("X"), "not on the lattice"),
        (lambda: symmetries.space_group(Square(TILTED[20])).momentum((0.5, 1)), "not on the lattice"),
        (lambda: symmetries.space_group(Square(TILTED[20])).momentum((0, 1, 2)), "not on the lattice"),
        (lambda: symmetries.space_group(Square(4)).momentum("W"), "no point named"),
        (lambda: symmetries.space_group(Square(4)).momentum_of([0.3, 0.0]), "not on the lattice"),
        (lambda: symmetries.space_group(Square(4)).momentum_of([0.0]), "not on the lattice"),
        (lambda: symmetries.space_group(Square(4), origin=[0.0]), "point of space"),
        (lambda: check_crystal(object()), "need a lattice with positions"),
        (
            lambda: symmetries.space_group(wrong(supercell=[[2, 1], [-1, 2]], periodic=(True, False))),
            "tilted or twisted",
        ),
        (lambda: symmetries.space_group(wrong(twist=(0.1, 0.2), periodic=(False, True))), "tilted or twisted"),
        (
            lambda: symmetries.space_group(wrong(positions=np.random.default_rng(0).normal(size=(4, 2)))),
            "do not repeat",
        ),
    ],
)
def test_bad_input(call, message):
    """Each mistake is named."""
    with pytest.raises(SymmetryError, match=message):
        call()


def wrong(**fields):
    base = {"supercell": [[2, 0], [0, 2]], "periodic": (True, True), "twist": (0.0, 0.0), "n_sites": 4}
    base |= {"positions": np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])} | fields
    return Pentagon(cell=np.eye(2), offsets=np.zeros((1, 2)), **base)


def test_isometries_are_a_group_for_random_crystals():
    """Random sites, doubled by a glide or a screw axis: found again, with products that close."""
    random = np.random.default_rng(3)
    for _ in range(6):
        cell = np.diag(random.uniform(0.8, 1.6, 2))
        sites = random.uniform(0, 1, (2, 2)) @ cell
        glide = sites * [1, -1] + [cell[0, 0] / 2, 2 * random.uniform()]
        lattice = Lattice(cell, (2, 3), np.concatenate([sites, glide]))
        found = find_isometries(lattice)
        assert len(found.steps) == 2 and found.denominator == 2
        assert found.shifts[1].tolist() == [1, 0]
        assert symmetries.space_group(lattice).order == 12


def orbit(cell, generators, seed, extent, sites):
    """A crystal of generic sites, moved by all products of some isometries, about an arbitrary point; their number."""
    inverse, random = np.linalg.inv(cell), np.random.default_rng(seed)
    found = [(np.eye(len(cell)), np.zeros(len(cell)))]
    for matrix, move in found:  # grows while it is read
        for turn, shift in generators:
            new = (turn @ matrix, (shift + turn @ (move @ cell) @ inverse) % 1)
            gaps = [np.abs(new[0] - r).max() + np.abs((new[1] - t + 0.5) % 1 - 0.5).max() for r, t in found]
            if min(gaps) > 1e-6:
                found.append(new)
    points = random.uniform(size=(sites, len(cell))) @ cell
    places = np.concatenate([points @ matrix.T + move @ cell for matrix, move in found]) + random.uniform(
        size=len(cell)
    )
    return Lattice(cell, extent, random.permutation((places @ inverse) % 1 @ cell)), len(found)


def about_z(n):
    c, s = np.cos(2 * np.pi / n), np.sin(2 * np.pi / n)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


FLAT, BOX, TALL = np.diag([1, 1.2]), np.diag([1, 1.2, 1.5]), np.diag([1, 1, 1.3])
HEXAGONAL = np.array([[1, 0, 0], [-0.5, 0.75**0.5, 0], [0, 0, 1.4]])
HALF_X, HALF_Y, HALF_Z = np.diag([1.0, -1, -1]), np.diag([-1.0, 1, -1]), np.diag([-1.0, -1, 1])
NAMED = {  # name: cell, generators, order, irreps at X (1/2, 0[, 0])
    "pg": (FLAT, [(np.diag([1.0, -1]), [0.5, 0])], 2, [1, 1]),
    "pmg": (FLAT, [(np.diag([1.0, -1]), [0.5, 0]), (-np.eye(2), [0, 0])], 4, [2]),
    "pgg": (FLAT, [(np.diag([1.0, -1]), [0.5, 0.5]), (-np.eye(2), [0, 0])], 4, [2]),
    "p4g": (np.eye(2), [(about_z(4)[:2, :2], [0, 0]), (np.diag([1.0, -1]), [0.5, 0.5])], 8, [2]),
    "P2_1": (BOX, [(HALF_Z, [0, 0, 0.5])], 2, [1, 1]),
    "P2_1 2_1 2_1": (BOX, [(HALF_Z, [0.5, 0, 0.5]), (HALF_Y, [0, 0.5, 0.5])], 4, [2]),
    "P4_1": (TALL, [(about_z(4), [0, 0, 0.25])], 4, [1, 1]),
    "P4_1 2_1 2": (TALL, [(about_z(4), [0.5, 0.5, 0.25]), (HALF_X @ about_z(4), [0, 0, 0])], 8, [2]),
    "P4_2/mnm": (TALL, [(about_z(4), [0.5] * 3), (-np.eye(3), [0] * 3), (HALF_X, [0.5] * 3)], 16, [2, 2]),
    "P6_1": (HEXAGONAL, [(about_z(6), [0, 0, 1 / 6])], 6, [1, 1]),
    "P6_3/mmc": (HEXAGONAL, [(about_z(6), [0, 0, 0.5]), (-np.eye(3), [0] * 3), (HALF_X, [0] * 3)], 24, [1] * 8),
}


@pytest.mark.parametrize("name", NAMED)
def test_groups_of_the_tables(name):
    """Crystals made by a group of the International Tables about any point: found again, with the same characters.

    Irreps at X as in Bradley and Cracknell: the glides and screws of pmg, pgg, p4g, P2_1 2_1 2_1 ... pair them up.
    """
    cell, generators, order, at_x = NAMED[name]
    extent = (2, 2) if len(cell) == 2 else (2, 2, 1)
    moves = [(matrix, np.array(shift, float)) for matrix, shift in generators]
    for seed in range(2):
        lattice, made = orbit(np.asarray(cell, float), moves, seed, extent, 3 if order < 4 else 1)
        group = symmetries.space_group(lattice)
        assert (made, group.point_group.order) == (order, order) and not group.is_symmorphic
        table, moved = group.group.product_table, group.permutations
        for a in group.group.generators:
            assert np.array_equal(moved[table[:, a]], moved[:, moved[a]])
        assert rows(group.characters.values) == rows(symmetries.character_table(group.group).values)
        x = (1, *[0] * (len(cell) - 1))
        assert [irrep.dimension for irrep in group.little_irreps(x)] == at_x
