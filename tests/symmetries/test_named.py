"""Point groups by name: classes, irreps, labels, elements; names of isometries."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symmetries
from qml.lattice import Cubic, Grid, Honeycomb, Pyrochlore, Square
from symmetries import PointGroup, SymmetryError, axial, cubic, isometry_name, named_point_group, schoenflies
from symmetries.named import INTERNATIONAL
from tests.symmetries.test_point_group import SOLIDS, compile_and_run

FEW = settings(max_examples=25, deadline=None, derandomize=True)
TABLE = {  # sizes of classes, dimensions of irreps (the tables of Wikipedia)
    "C3": ([1] * 3, [1] * 3),
    "C4": ([1] * 4, [1] * 4),
    "D3": ([1, 2, 3], [1, 1, 2]),
    "C4v": ([1, 1, 2, 2, 2], [1, 1, 1, 1, 2]),
    "D4": ([1, 1, 2, 2, 2], [1, 1, 1, 1, 2]),
    "D6": ([1, 1, 2, 2, 3, 3], [1, 1, 1, 1, 2, 2]),
    "C4h": ([1] * 8, [1] * 8),
    "D4h": ([1, 1, 2, 2, 2] * 2, [1, 1, 1, 1, 2] * 2),
    "D4d": ([1, 1, 2, 2, 2, 4, 4], [1, 1, 1, 1, 2, 2, 2]),
    "T": ([1, 3, 4, 4], [1, 1, 1, 3]),
    "Td": ([1, 3, 6, 6, 8], [1, 1, 2, 3, 3]),
    "Th": ([1, 3, 4, 4] * 2, [1, 1, 1, 3] * 2),
    "O": ([1, 3, 6, 6, 8], [1, 1, 2, 3, 3]),
    "Oh": ([1, 3, 6, 6, 8] * 2, [1, 1, 2, 3, 3] * 2),
    "I": ([1, 12, 12, 15, 20], [1, 3, 3, 4, 5]),
    "Ih": ([1, 12, 12, 15, 20] * 2, [1, 3, 3, 4, 5] * 2),
}
VECTORS = {  # irreps of (x, y) and z, and of rotations about them, beyond the crystals' groups
    "D4d": ("A1 A2 B1 B2 E1 E2 E3", ["E1", "B2"], ["E3", "A2"]),
    "D6d": ("A1 A2 B1 B2 E1 E2 E3 E4 E5", ["E1", "B2"], ["E5", "A2"]),
    "D5d": ("A1g A2g E1g E2g A1u A2u E1u E2u", ["E1u", "A2u"], ["E1g", "A2g"]),
    "D5h": ("A1' A2' E1' E2' A1'' A2'' E1'' E2''", ["E1'", "A2''"], ["E1''", "A2'"]),
    "D5": ("A1 A2 E1 E2", ["E1", "A2"], ["E1", "A2"]),
    "C5v": ("A1 A2 E1 E2", ["E1", "A1"], ["E1", "A2"]),
    "C8v": ("A1 A2 B1 B2 E1 E2 E3", ["E1", "A1"], ["E1", "A2"]),
    "D8h": (
        "A1g A2g B1g B2g E1g E2g E3g A1u A2u B1u B2u E1u E2u E3u",
        ["E1u", "A2u"],
        ["E1g", "A2g"],
    ),
    "S8": ("A B E1+ E1- E2+ E2- E3+ E3-", ["E1+", "E1-", "B"], ["E3+", "E3-", "A"]),
    "S12": (
        "A B E1+ E1- E2+ E2- E3+ E3- E4+ E4- E5+ E5-",
        ["E1+", "E1-", "B"],
        ["E5+", "E5-", "A"],
    ),
    "I": ("A T1 T2 G H", ["T1"], ["T1"]),
    "Ih": ("Ag T1g T2g Gg Hg Au T1u T2u Gu Hu", ["T1u"], ["T1g"]),
    "Oh": ("A1g A2g Eg T1g T2g A1u A2u Eu T1u T2u", ["T1u"], ["T1g"]),
    "Td": ("A1 A2 E T1 T2", ["T2"], ["T1"]),
    "D3d": ("A1g A2g Eg A1u A2u Eu", ["Eu", "A2u"], ["Eg", "A2g"]),
    "D2d": ("A1 A2 B1 B2 E", ["E", "B2"], ["E", "A2"]),
    "C6v": ("A1 A2 B1 B2 E1 E2", ["E1", "A1"], ["E1", "A2"]),
}


@pytest.mark.parametrize("name", TABLE)
def test_table(name):
    """Sizes of classes and dimensions."""
    sizes, dimensions = TABLE[name]
    group = named_point_group(name)
    assert sorted(len(members) for members in group.group.classes) == sorted(sizes)
    assert sorted(group.characters.dimensions) == sorted(dimensions)


@pytest.mark.parametrize("name", VECTORS)
def test_vectors(name):
    """Labels in their order, and those of the vector and of the axial vector."""
    labels, polar, turning = VECTORS[name]
    group = named_point_group(name)
    assert " ".join(group.characters.labels) == labels
    trace = np.trace(group.matrices, axis1=1, axis2=2)
    for traces, expected in ((trace, polar), (trace * np.linalg.det(group.matrices), turning)):
        assert {k: n for k, n in group.characters.decompose(traces).items() if n} == dict.fromkeys(expected, 1)


@pytest.mark.parametrize("name", SOLIDS)
def test_crystallographic(name):
    """The 32 by both names: the same elements as their generators give; each label on the functions of the tables."""
    generators, labels, functions = SOLIDS[name]
    group = named_point_group(name)
    expected = PointGroup.generate(generators)
    rows = {tuple(np.round(m, 6).reshape(-1) + 0.0) for m in group.matrices}
    assert rows == {tuple(np.round(m, 6).reshape(-1) + 0.0) for m in expected.matrices}
    assert " ".join(group.characters.labels) == labels
    [international] = [key for key, symbol in INTERNATIONAL.items() if symbol == name]
    assert named_point_group(international) == group
    points = np.random.default_rng(0).normal(size=(20, 3))
    for label, text in functions.items():
        weights = group.characters.irrep(label).weights
        projected = sum(w * compile_and_run(text, points @ m) for w, m in zip(weights, group.matrices))
        np.testing.assert_allclose(projected, compile_and_run(text, points), atol=1e-12)


def test_hyperoctahedral():
    """2^n n! symmetries of the cube in n dimensions, also as those of a crystal."""
    for n in range(1, 5):
        group = cubic.hyperoctahedral(n)
        assert group.order == 2**n * math.factorial(n)
        assert sum(d * d for d in group.characters.dimensions) == group.order
        if n < 4:
            assert symmetries.point_group(Grid((3,) * n)).order == group.order


ORDERS = {"C": 1, "Cv": 2, "Ch": 2, "D": 2, "Dh": 4, "Dd": 4}


@given(
    family=st.sampled_from([*ORDERS, "S"]),
    n=st.integers(1, 8),
    axis=st.sampled_from([(0, 0, 1), (1, 0, 0), (1, 1, 1), (1, -2, 0.5)]),
)
@FEW
def test_axes(family, n, axis):
    """About any axis: the order, the name, the labels of the same group about z."""
    group = getattr(axial, family)(n, axis)
    assert group.order == (ORDERS[family] * n if family != "S" else n if n % 2 == 0 else 2 * n)
    upright = getattr(axial, family)(n)
    assert schoenflies(group) == schoenflies(upright)
    assert group.group.order == upright.group.order
    assert sorted(group.characters.labels) == sorted(upright.characters.labels)
    direction = np.array(axis) / np.linalg.norm(axis)
    np.testing.assert_allclose(np.abs(group.matrices @ direction @ direction), 1, atol=1e-12)


def test_names():
    """The name of every named group, and of crystals."""
    same = {"D1": "C2", "C1v": "Cs", "C1h": "Cs", "S2": "Ci", "S1": "Cs", "D1h": "C2v", "D1d": "C2h", "S3": "C3h"}
    families = [f"{f[0]}{n}{f[1:]}" for f in ("C", "Cv", "Ch", "D", "Dh", "Dd") for n in range(1, 9)]
    for name in [*families, *(f"S{n}" for n in (1, 2, 3, 4, 6, 8)), "Cs", "Ci", "T", "Td", "Th", "O", "Oh", "I", "Ih"]:
        assert schoenflies(named_point_group(name)) == same.get(name, name)
    assert schoenflies(symmetries.point_group(Pyrochlore(2))) in ("D3d", "Td", "Oh")
    assert [schoenflies(symmetries.point_group(x)) for x in (Square(4), Honeycomb(3), Cubic(3))] == ["D4", "D6", "Oh"]
    assert schoenflies(symmetries.C(5)) == "C5" and schoenflies(symmetries.inversion(1)) == "Ci"


def test_across():
    """A twofold axis and a mirror line along the direction given."""
    direction = np.array([1.0, 1.0, 0.0]) / 2**0.5
    half = 2 * np.outer(direction, direction) - np.eye(3)
    assert any(np.allclose(m, half) for m in axial.D(3, across=direction).matrices)
    assert any(np.allclose(m, axial.reflection((1, -1, 0))) for m in axial.Cv(3, across=direction).matrices)
    assert any(np.allclose(m, half) for m in axial.Dd(3, across=(1, 1, 5)).matrices)


def turn(degrees, axis=None):
    """A rotation of the plane, or about an axis in space, by Rodrigues' formula."""
    angle = np.deg2rad(degrees)
    if axis is None:
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    unit = np.array(axis) / np.linalg.norm(axis)
    cross = np.cross(np.eye(3), unit)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


@pytest.mark.parametrize(
    ("matrix", "shift", "name"),
    [
        (turn(47), None, "Rot(47°)"),
        (turn(78) @ np.diag([1.0, -1.0]) @ turn(-78), None, "Refl(78°)"),
        (turn(34, (1, 1, 2)), None, "Rot(34°)[1,1,2]"),
        (turn(-30, (0, 0, 1)), [(1 - 3**0.5 / 2) / 3, 1 / 6, 1], "Screw(-30°)[0,0,1]O[1/3,0,0]"),
        (np.eye(2), None, "Id"),
        (np.eye(2), [1, 0.5], "Translation[1,1/2]"),
        (symmetries.C(4).matrices[1], None, "Rot(90°)"),
        (symmetries.C(4).matrices[3], None, "Rot(-90°)"),
        (symmetries.C(6).matrices[1], [1, 0], "Rot(60°)O[1/2,√3/2]"),
        (np.array([[0.0, 1], [1, 0]]), None, "Refl(45°)"),
        (np.diag([1.0, -1]), None, "Refl(0°)"),
        (np.diag([1.0, -1]), [0.5, 1], "Glide[1/2,0]O[0,1/2]"),
        (-np.eye(1), [1.0], "ReflO[1/2]"),
        (-np.eye(3), None, "Inv"),
        (-np.eye(3), [0.25, 0.25, 0.25], "InvO[1/8,1/8,1/8]"),
        (axial.rotation(3, (1, 1, 1)), None, "Rot(120°)[1,1,1]"),
        (axial.rotation(4).T, None, "Rot(-90°)[0,0,1]"),
        (axial.rotation(4), [0, 0, 0.25], "Screw(90°)[0,0,1/4]"),
        (axial.rotation(4), [0, 0, -0.25], "Screw(-90°)[0,0,-1/4]"),
        (axial.rotation(12).T, [0, 0, 1], "Screw(-30°)[0,0,1]"),
        (axial.reflection((0, 0, 1)), None, "Refl[0,0,1]"),
        (axial.reflection((1, 1, 0)), None, "Refl[1,1,0]"),
        (axial.reflection((0, 0, 1)), [1, 3**0.5 / 12, 2], "Glide[1,√3/12,0]ax[0,0,1]O[0,0,1]"),
        (-axial.rotation(4), None, "RotoRefl(-90°)[0,0,1]"),
        (axial.rotation(8) @ axial.reflection((0, 0, 1)), None, "RotoRefl(45°)[0,0,1]"),
    ],
)
def test_isometry_names(matrix, shift, name):
    """Kind, angle, axis and fixed point, written in fractions and square roots."""
    assert isometry_name(matrix, shift) == name


@pytest.mark.parametrize("name", ["Ih", "D6h", "D4d", "S8", "C5v"])
def test_names_tell_elements_apart(name):
    """No two elements of a group have the same name."""
    group = named_point_group(name)
    assert len(set(group.names)) == group.order and group.names[0] == "Id"


@pytest.mark.parametrize(
    "call",
    [
        lambda: named_point_group("C4x"),
        lambda: named_point_group("Sh"),
        lambda: named_point_group("C0"),
        lambda: named_point_group("C"),
        lambda: named_point_group("S4v"),
        lambda: axial.C(0),
        lambda: axial.C(4, axis=(0, 0, 0)),
        lambda: axial.D(4, across=(0, 0, 1)),
        lambda: axial.D(4, axis=(1, 0)),
        lambda: cubic.hyperoctahedral(5),
        lambda: axial.C(3) @ symmetries.C(3),
        lambda: axial.C(4) @ axial.C(4, (1, 0, 0)),
        lambda: isometry_name(2 * np.eye(2)),
        lambda: isometry_name(np.eye(4)),
        lambda: schoenflies(cubic.hyperoctahedral(4)),
    ],
)
def test_bad_input(call):
    """Names that are none, directions that are none, products that are no groups."""
    with pytest.raises(SymmetryError, match="expected:"):
        call()
