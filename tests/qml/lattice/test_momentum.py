"""Momenta: duality, labels, named points, the first zone."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import symmetries
from qml._core.errors import ShapeError
from qml.lattice import BCC, FCC, Chain, Cubic, Honeycomb, Hypercube, Kagome, Lattice, Square, Triangular
from qml.lattice.momentum import zone_edges

FEW = settings(max_examples=25, deadline=None, derandomize=True)
MATRICES = st.lists(st.lists(st.integers(-4, 4), min_size=2, max_size=2), min_size=2, max_size=2)


@given(rows=MATRICES, twist=st.tuples(*[st.floats(-3, 3)] * 2))
@FEW
def test_allowed_momenta(rows, twist):
    """Their products with the torus vectors are the labels; plane waves on the sites are orthogonal."""
    assume(0 < abs(round(np.linalg.det(rows))) <= 30)
    lattice = Triangular(rows, twist=twist)
    torus = np.array(rows) @ np.asarray(lattice.cell)
    units = lattice.momenta(cartesian=False)
    np.testing.assert_allclose(
        units @ lattice.reciprocal @ torus.T, 2 * np.pi * lattice.momentum_numbers + twist, atol=1e-10
    )
    difference = (lattice.momenta() - units @ lattice.reciprocal) @ np.asarray(lattice.cell).T / (2 * np.pi)
    np.testing.assert_allclose(difference, np.round(difference), atol=1e-10)
    waves = np.exp(1j * lattice.momenta() @ lattice.positions.T)
    np.testing.assert_allclose(waves @ waves.conj().T, lattice.n_cells * np.eye(lattice.n_cells), atol=1e-9)


@given(
    rows=st.lists(st.lists(st.floats(-2, 2), min_size=2, max_size=2), min_size=2, max_size=2),
    k=st.tuples(*[st.floats(-20, 20)] * 2),
)
@FEW
def test_first_zone(rows, k):
    """No image is shorter, and the difference is a reciprocal vector."""
    assume(abs(np.linalg.det(rows)) > 0.2 and np.linalg.norm(rows, axis=1).min() > 0.3)
    lattice = Lattice(rows, (2, 2))
    inside = lattice.first_zone(k)
    turns = (np.array(k) - inside) @ np.asarray(lattice.cell).T / (2 * np.pi)
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-9)
    images = inside + np.array(list(itertools.product(range(-4, 5), repeat=2))) @ lattice.reciprocal
    assert np.linalg.norm(inside) <= np.linalg.norm(images, axis=1).min() + 1e-9
    with pytest.raises(ShapeError, match="component"):
        lattice.first_zone([1.0])


def test_reciprocal():
    """Dual to the cell, for any dimension."""
    for lattice in (Chain(3), Kagome(2), FCC(2), Hypercube(2, 4)):
        np.testing.assert_allclose(
            np.asarray(lattice.cell) @ lattice.reciprocal.T, 2 * np.pi * np.eye(lattice.dimension), atol=1e-12
        )


def test_named_points():
    """Where the tables put them: corners and middles of the sides of the zones."""
    pi = math.pi
    np.testing.assert_allclose(Square(4).special_points["M"], [pi, pi])
    np.testing.assert_allclose(np.linalg.norm(Triangular(6).special_points["K"]), 4 * pi / 3)
    np.testing.assert_allclose(np.linalg.norm(Triangular(6).special_points["M"]), 2 * pi / 3**0.5)
    side = 2**0.5  # of the cube of FCC
    known = {"X": 1, "L": 0.75**0.5, "W": 1.25**0.5, "K": 1.125**0.5, "U": 1.125**0.5}
    for name, length in known.items():
        point = FCC(4).special_points[name]
        np.testing.assert_allclose(np.linalg.norm(point), length * 2 * pi / side)
        np.testing.assert_allclose(np.linalg.norm(FCC(4).first_zone(point)), length * 2 * pi / side)
    side = 2 / 3**0.5
    for name, length in {"H": 1, "P": 0.75**0.5, "N": 0.5**0.5}.items():
        point = BCC(4).special_points[name]
        np.testing.assert_allclose(np.linalg.norm(point), length * 2 * pi / side)
        np.testing.assert_allclose(np.linalg.norm(BCC(4).first_zone(point)), length * 2 * pi / side)
    assert list(Lattice([[1, 0], [0.3, 1.1]], (2, 2)).special_points) == ["Gamma"]


def test_allowed_names():
    """Only points that the cluster has, with their labels; a twist moves the momenta, not the labels."""
    assert Square(4, 3).named_momenta() == {"Gamma": (0, 0), "X": (2, 0)}
    assert Triangular(4).named_momenta() == {"Gamma": (0, 0), "M": (2, 0)}
    assert Triangular([[2, 2], [-2, 4]]).named_momenta().keys() == {"Gamma", "M", "K"}
    tilted = Square([[4, 2], [-2, 4]])
    for name, label in tilted.named_momenta().items():
        row = tilted.momentum_numbers.tolist().index(list(label))
        np.testing.assert_allclose(
            tilted.first_zone(tilted.special_points[name]), tilted.momenta()[row], atol=1e-12, err_msg=name
        )
    assert Square([[3, 1], [-1, 3]]).named_momenta().keys() == {"Gamma", "M"}  # ten sites
    twisted = Chain(4, twist=math.pi)
    assert twisted.named_momenta() == {"Gamma": (0,), "X": (2,)}  # labels as without the twist
    np.testing.assert_allclose(np.sort(twisted.momenta().ravel()), np.pi / 4 * np.array([-3, -1, 1, 3]))
    assert Chain(4, periodic=False).named_momenta() == {"Gamma": (0,)}
    assert Square(4, 4, periodic=(True, False)).named_momenta() == {"Gamma": (0, 0), "X": (2, 0)}
    assert Square(4, 4, periodic=(True, False)).momenta().shape == (4, 2)


LABELLED = [
    Chain(6),
    Chain(3, twist=math.pi),
    Square(4, 6),
    Square(4, 4, periodic=(True, False)),
    Triangular(4, 3, periodic=(True, False)),
    Square(2, 3, periodic=False),
    Square([[4, 2], [-2, 4]]),
    Triangular(6),
    Triangular([[2, 2], [-2, 4]]),
    Honeycomb(3),
    Cubic(2),
    FCC(4),
    BCC(2),
]


@pytest.mark.parametrize("lattice", LABELLED, ids=repr)
def test_labels_of_space_groups(lattice):
    """The same names for the same labels as the group of translations, which knows the same momenta."""
    group = symmetries.translation_group(lattice)
    assert lattice.named_momenta() == group.named_momenta()
    numbers = [tuple(n) for n in lattice.momentum_numbers.tolist()]
    assert [group.momentum(n) for n in numbers] == numbers
    if not any(lattice.twist):
        known = np.array([group.wavevector(n) for n in numbers])
        np.testing.assert_allclose(lattice.momenta(), known, atol=1e-9)


def test_zone_outline():
    """Number of sides, and distance of their middles: half a reciprocal vector."""
    for lattice, sides in (
        (Chain(4), 1),
        (Square(4), 4),
        (Triangular(3), 6),
        (Cubic(2), 12),
        (FCC(2), 36),
        (BCC(2), 24),
    ):
        assert len(zone_edges(lattice)) == sides
    middles = [np.linalg.norm(segment.mean(axis=0)) for segment in zone_edges(Triangular(3))]
    np.testing.assert_allclose(middles, 2 * math.pi / 3**0.5)
