"""Point groups: tables, labels against the functions the textbooks list, geometry of crystals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symmetries
from qml.lattice import Chain, Cubic, Grid, Honeycomb, Kagome, Lattice, Square, Triangular, from_networkx
from symmetries import PointGroup, SymmetryError
from symmetries.crystal import check_crystal

FEW = settings(max_examples=12, deadline=None, derandomize=True)
X, Y, Z = np.eye(3)


def turn(axis, n):
    """Rotation by a 1/n turn."""
    axis, angle = np.asarray(axis) / np.linalg.norm(axis), 2 * np.pi / n
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def mirror(normal):
    return -turn(normal, 2)


FLIP = -np.eye(3)
DIAGONAL = (1, 1, 1)
# name: generators, irreps, functions of their irreps as in the usual character tables
SOLIDS = {
    "C1": ([np.eye(3)], "A", {"A": "x"}),
    "Ci": ([FLIP], "Ag Au", {"Ag": "x*y", "Au": "z"}),
    "C2": ([turn(Z, 2)], "A B", {"A": "z", "B": "x"}),
    "Cs": ([mirror(Z)], "A' A''", {"A'": "x", "A''": "z"}),
    "C2h": ([turn(Z, 2), FLIP], "Ag Bg Au Bu", {"Au": "z", "Bu": "x", "Bg": "x*z"}),
    "D2": ([turn(Z, 2), turn(X, 2)], "A B1 B2 B3", {"A": "x*y*z", "B1": "z", "B2": "y", "B3": "x"}),
    "C2v": ([turn(Z, 2), mirror(Y)], "A1 A2 B1 B2", {"A1": "z", "A2": "x*y", "B1": "x", "B2": "y"}),
    "D2h": (
        [turn(Z, 2), turn(X, 2), FLIP],
        "Ag B1g B2g B3g Au B1u B2u B3u",
        {"B1g": "x*y", "B2g": "x*z", "B3g": "y*z", "Au": "x*y*z", "B1u": "z", "B2u": "y", "B3u": "x"},
    ),
    "C4": ([turn(Z, 4)], "A B E+ E-", {"B": "x*y", "E+": "x-1j*y", "E-": "x+1j*y"}),
    "S4": ([-turn(Z, 4)], "A B E+ E-", {"B": "z", "A": "x*y*z*(x*x-y*y)*0+z*z"}),
    "C4h": ([turn(Z, 4), FLIP], "Ag Bg E+g E-g Au Bu E+u E-u", {"Au": "z", "Bg": "x*y"}),
    "D4": ([turn(Z, 4), turn(X, 2)], "A1 A2 B1 B2 E", {"A2": "z", "B1": "x*x-y*y", "B2": "x*y", "E": "x"}),
    "C4v": ([turn(Z, 4), mirror(Y)], "A1 A2 B1 B2 E", {"A1": "z", "B1": "x*x-y*y", "B2": "x*y", "E": "y*z"}),
    "D2d": ([-turn(Z, 4), turn(X, 2)], "A1 A2 B1 B2 E", {"B1": "x*x-y*y", "B2": "z", "E": "x"}),
    "D4h": (
        [turn(Z, 4), turn(X, 2), FLIP],
        "A1g A2g B1g B2g Eg A1u A2u B1u B2u Eu",
        {"A2u": "z", "B1g": "x*x-y*y", "B2g": "x*y", "Eg": "x*z", "Eu": "y", "B1u": "x*y*z"},
    ),
    "C3": ([turn(Z, 3)], "A E+ E-", {"A": "z", "E-": "x+1j*y"}),
    "S6": ([turn(Z, 3), FLIP], "Ag E+g E-g Au E+u E-u", {"Au": "z", "E+u": "x-1j*y"}),
    "D3": ([turn(Z, 3), turn(X, 2)], "A1 A2 E", {"A2": "z", "E": "x"}),
    "C3v": ([turn(Z, 3), mirror(Y)], "A1 A2 E", {"A1": "x*(x*x-3*y*y)", "A2": "y*(3*x*x-y*y)", "E": "x*z"}),
    "D3d": ([turn(Z, 3), turn(X, 2), FLIP], "A1g A2g Eg A1u A2u Eu", {"A2u": "z", "Eu": "x", "Eg": "x*z"}),
    "C6": ([turn(Z, 6)], "A B E1+ E1- E2+ E2-", {"B": "x*(x*x-3*y*y)", "E1-": "x+1j*y", "E2+": "(x-1j*y)**2"}),
    "C3h": ([turn(Z, 3), mirror(Z)], "A' E+' E-' A'' E+'' E-''", {"A''": "z", "A'": "y*(3*x*x-y*y)"}),
    "C6h": ([turn(Z, 6), FLIP], "Ag Bg E1+g E1-g E2+g E2-g Au Bu E1+u E1-u E2+u E2-u", {"Au": "z", "E1-u": "x+1j*y"}),
    "D6": (
        [turn(Z, 6), turn(X, 2)],
        "A1 A2 B1 B2 E1 E2",
        {"A2": "z", "B1": "x*(x*x-3*y*y)", "B2": "y*(3*x*x-y*y)", "E1": "x", "E2": "x*y"},
    ),
    "C6v": ([turn(Z, 6), mirror(Y)], "A1 A2 B1 B2 E1 E2", {"A1": "z", "B1": "x*(x*x-3*y*y)", "E2": "x*x-y*y"}),
    "D3h": (
        [turn(Z, 3), turn(X, 2), mirror(Z)],
        "A1' A2' E' A1'' A2'' E''",
        {"A2''": "z", "E'": "x", "E''": "x*z", "A1'": "x*(x*x-3*y*y)", "A2'": "y*(3*x*x-y*y)"},
    ),
    "D6h": (
        [turn(Z, 6), turn(X, 2), FLIP],
        "A1g A2g B1g B2g E1g E2g A1u A2u B1u B2u E1u E2u",
        {"A2u": "z", "E1u": "x", "E1g": "y*z", "E2g": "x*y", "B1u": "x*(x*x-3*y*y)"},
    ),
    "T": ([turn(Z, 2), turn(DIAGONAL, 3)], "A E+ E- T", {"A": "x*y*z", "T": "x"}),
    "Th": ([turn(Z, 2), turn(DIAGONAL, 3), FLIP], "Ag E+g E-g Tg Au E+u E-u Tu", {"Tu": "x", "Au": "x*y*z"}),
    "O": ([turn(Z, 4), turn(DIAGONAL, 3)], "A1 A2 E T1 T2", {"T1": "x", "T2": "x*y", "A2": "x*y*z", "E": "x*x-y*y"}),
    "Td": ([-turn(Z, 4), turn(DIAGONAL, 3)], "A1 A2 E T1 T2", {"T2": "z", "A1": "x*y*z", "E": "x*x-y*y"}),
    "Oh": (
        [turn(Z, 4), turn(DIAGONAL, 3), FLIP],
        "A1g A2g Eg T1g T2g A1u A2u Eu T1u T2u",
        {"T1u": "z", "T2g": "x*y", "Eg": "x*x-y*y", "A2u": "x*y*z", "T2u": "z*(x*x-y*y)", "T1g": "x*y*(x*x-y*y)"},
    ),
}
CLASSES = {
    "T": [1, 3, 4, 4],
    "Td": [1, 3, 6, 6, 8],
    "O": [1, 3, 6, 6, 8],
    "D3": [1, 2, 3],
    "C4v": [1, 1, 2, 2, 2],
    "D6": [1, 1, 2, 2, 3, 3],
    "D4h": [1, 1, 1, 1, 2, 2, 2, 2, 2, 2],
    "C4h": [1] * 8,
}


@pytest.mark.parametrize("name", SOLIDS)
def test_crystallographic_point_groups(name):
    """All 32: the labels in order, and each label on the functions that the tables list for it."""
    generators, labels, functions = SOLIDS[name]
    group = PointGroup.generate(generators)
    table = group.characters
    assert list(table.labels) == labels.split()
    assert sum(d * d for d in table.dimensions) == group.order
    if name in CLASSES:
        assert sorted(len(c) for c in group.group.classes) == CLASSES[name]
    points = np.random.default_rng(0).normal(size=(20, 3))
    for label, text in functions.items():
        moved = [compile_and_run(text, points @ matrix) for matrix in group.matrices]  # f(R^-1 r), R^-1 = R^T
        projected = sum(w * f for w, f in zip(table.irrep(label).weights, moved))
        np.testing.assert_allclose(projected, compile_and_run(text, points), atol=1e-12)


def compile_and_run(text, points):
    """A polynomial of x, y, z at some points."""
    x, y, z = points.T
    return eval(text, {"x": x, "y": y, "z": z})  # texts of this file


def test_there_are_32():
    """The list above is complete: C1 Ci C2 Cs C2h ... Oh, with C2, S6 and so on, each once."""
    assert len(SOLIDS) == 32


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 8, 12])
def test_planar_groups(n):
    """C(n) is cyclic, D(n) has the n mirrors; orthogonality to 1e-12."""
    rotations, mirrors = symmetries.C(n), symmetries.D(n)
    assert rotations.group == symmetries.FiniteGroup.cyclic(n)
    assert mirrors.order == 2 * n
    assert sorted(mirrors.characters.dimensions) == [1] * (2 + 2 * (n % 2 == 0)) * (n > 1) + [1, 1] * (n == 1) + [2] * (
        (n - 1) // 2
    )
    for group in (rotations, mirrors):
        chi = np.array([irrep.characters for irrep in group.characters.irreps])
        np.testing.assert_allclose(chi @ chi.conj().T / group.order, np.eye(len(chi)), atol=1e-12)
        assert len(set(group.characters.labels)) == len(chi)


def test_icosahedron():
    """Class sizes and dimensions of I."""
    golden = (1 + 5**0.5) / 2
    group = PointGroup.generate([turn((0, 1, golden), 5), turn(DIAGONAL, 3)])
    assert sorted(len(c) for c in group.group.classes) == [1, 12, 12, 15, 20]
    assert group.characters.labels == ("A", "T1", "T2", "G", "H")
    points = np.random.default_rng(0).normal(size=(5, 3))
    weights = group.characters.irrep("T1").weights
    moved = sum(w * (points @ m)[:, 0] for w, m in zip(weights, group.matrices))
    np.testing.assert_allclose(moved, points[:, 0], atol=1e-12)


BCC = Lattice([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]], (3, 3, 3))
FCC = Lattice([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], (3, 3, 3))
ZINCBLENDE = Lattice(FCC.cell, (2, 2, 2), [[0, 0, 0], [0.25, 0.25, 0.25]])
LIEB = Lattice(np.eye(2), (3, 3), [[0, 0], [0.5, 0], [0, 0.5]])
SHASTRY = Lattice(2 * np.eye(2), (2, 2), [[0.3, 0.3], [1.7, 1.7], [0.7, 1.3], [1.3, 0.7]])


@pytest.mark.parametrize(
    ("lattice", "order", "origin"),
    [
        (Chain(6), 2, [0]),
        (Chain(6, periodic=False), 2, [2.5]),
        (Square(4, 4), 8, [0, 0]),
        (Square(4, 6), 4, [0, 0]),
        (Square(4, 4, periodic=False), 8, [1.5, 1.5]),
        (Square(3, 5, periodic=False), 4, [1, 2]),
        (Square(4, 4, periodic=(True, False)), 4, [0, 1.5]),
        (Triangular(3), 12, [0, 0]),
        (Triangular(3, 4), 2, [0, 0]),
        (Triangular(3, 3, periodic=False), 4, None),
        (Honeycomb(3), 12, [0, 0]),
        (Kagome(2), 12, [0, 0]),
        (Cubic(2), 48, [0, 0, 0]),
        (Grid((3, 3, 3), periodic=(True, True, False)), 16, [0, 0, 1]),
        (Grid((3, 3, 3, 3)), 384, [0, 0, 0, 0]),
        (BCC, 48, [0, 0, 0]),
        (FCC, 48, [0, 0, 0]),
        (ZINCBLENDE, 48, [0, 0, 0]),  # one kind of sites: diamond, whose glides exchange the two
        (LIEB, 8, [0, 0]),
        (SHASTRY, 8, None),  # p4g: fourfold axes and glides
        (Lattice([[1, 0], [3, 1]], (4, 4)), 8, [0, 0]),
        (Lattice([[1, 0], [0.3, 1.1]], (3, 3)), 2, [0, 0]),
        (Lattice([[1, 0], [0, 1.5]], (4, 4)), 4, [0, 0]),
    ],
    ids=str,
)
def test_crystals(lattice, order, origin):
    """Orders known from the plane and space groups, at the expected point, each element a symmetry of the distances."""
    group = symmetries.space_group(lattice)
    assert group.point_group.order == order
    assert np.allclose(group.point_group.matrices[0], np.eye(lattice.dimension))
    if origin is not None:
        np.testing.assert_allclose(group.origin, origin, atol=1e-9)
    distances = lattice.distances()
    for sites in group.permutations[: 2 * order]:
        np.testing.assert_allclose(distances[np.ix_(sites, sites)], distances, atol=1e-9)


def test_origin():
    """A site of the honeycomb lattice has three mirrors; a wrong origin has the identity alone."""
    lattice = Honeycomb(3)
    assert symmetries.point_group(lattice, origin=lattice.positions[0]).order == 6
    assert symmetries.point_group(lattice, origin=[0.1, 0.2]).order == 1
    assert symmetries.point_group(Square(4), origin=[0.5, 0.5]).order == 8
    assert symmetries.point_group(Square(4), origin=[0.5, 0.0]).order == 4


TWELFTHS = st.integers(0, 11)


@given(
    cell=st.sampled_from([[[1, 0], [0, 1]], [[1, 0], [0.5, 3**0.5 / 2]], [[1, 0], [0, 1.3]], [[1, 0], [0.5, 1.3]]]),
    extent=st.sampled_from([(3, 3), (2, 4)]),
    seats=st.lists(st.tuples(TWELFTHS, TWELFTHS), min_size=1, max_size=4, unique=True),
    periodic=st.sampled_from([True, (True, False)]),
)
@FEW
@pytest.mark.slow
def test_best_origin(cell, extent, seats, periodic):
    """No point of a fine grid has more isometries than the one found; elements keep distances and multiply."""
    lattice = Lattice(cell, extent, np.array(seats) / 12 @ np.array(cell), periodic)
    group = symmetries.space_group(lattice)
    distances = lattice.distances()
    moved = group.permutations
    np.testing.assert_allclose(distances[moved[:, :, None], moved[:, None, :]], distances[None] + 0 * moved[:, :, None])
    assert np.array_equal(moved[group.group.product_table], moved[:, moved].reshape(len(moved), len(moved), -1))
    height = [0] if periodic is True else lattice.positions.mean(axis=0)[1:] * 24 / cell[1][1]
    points = [(x, y) for x in range(24) for y in (range(24) if periodic is True else height)]
    for place in np.random.default_rng(0).permutation(len(points))[:40]:
        origin = np.array(points[place]) / 24 @ np.array(cell)
        assert symmetries.point_group(lattice, origin).order <= group.point_group.order


def test_irreps_do_not_depend_on_a_turned_crystal():
    """Turned by any angle a square crystal has the same labels and orders."""
    c, s = np.cos(0.3), np.sin(0.3)
    group = symmetries.space_group(Lattice([[c, s], [-s, c]], (4, 4)))
    assert group.order == 128 and group.point_group.characters.labels == ("A1", "A2", "B1", "B2", "E")


@pytest.mark.parametrize(
    "call",
    [
        lambda: symmetries.point_group(Square(4), origin=[0.0]),
        lambda: check_crystal(from_networkx(Square(3).to_networkx())),
        lambda: PointGroup(np.array([[[2.0]]])),
        lambda: PointGroup(np.stack([np.eye(2), -np.eye(2), -np.eye(2)])),
        lambda: PointGroup(symmetries.C(4).matrices[:3]),
        lambda: PointGroup.generate([[[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]]]),
        lambda: symmetries.D(4).subgroup([0, 1]),
        lambda: symmetries.D(4).characters.irrep("T1"),
    ],
)
def test_bad_input(call):
    """Each mistake is named."""
    with pytest.raises(SymmetryError, match="expected:"):
        call()
