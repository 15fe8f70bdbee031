"""Character tables of groups of every kind."""

import itertools

import numpy as np
import pytest

import symmetries
from qml.lattice import Chain, Cubic, Honeycomb, Kagome, Pyrochlore, Square, Triangular
from symmetries import FiniteGroup, SymmetryError, character_table, characters

SYMMETRIC = {n: FiniteGroup.symmetric(n) for n in range(1, 7)}
QUATERNIONS = FiniteGroup.from_generators(np.array([[2, 3, 1, 0, 7, 6, 4, 5], [4, 5, 6, 7, 1, 0, 3, 2]]))
A4 = FiniteGroup.from_generators(np.array([[1, 2, 0, 3], [1, 0, 3, 2]]))
A5 = FiniteGroup.from_generators(np.array([[1, 2, 3, 4, 0], [1, 2, 0, 3, 4]]))
AFFINE = FiniteGroup.from_generators(np.array([[1, 2, 3, 4, 0], [0, 2, 4, 1, 3]]))


def special_linear(p):
    """SL(2, p) as permutations of the vectors but zero."""
    vectors = [v for v in itertools.product(range(p), repeat=2) if any(v)]
    place = {v: i for i, v in enumerate(vectors)}
    rows = [
        [place[(a * x + b * y) % p, (c * x + d * y) % p] for x, y in vectors]
        for a, b, c, d in ((1, 1, 0, 1), (1, 0, 1, 1))
    ]
    return FiniteGroup.from_generators(np.array(rows))


def multiplicity(*pairs):
    """Dimensions from pairs `d, count`."""
    return [d for d, count in pairs for _ in range(count)]


KNOWN = {
    "trivial": (FiniteGroup.cyclic(1), [1]),
    "C6": (FiniteGroup.cyclic(6), [1] * 6),
    "C12 x C18": (FiniteGroup.cyclic(12).direct_product(FiniteGroup.cyclic(18)), [1] * 216),
    "S3": (SYMMETRIC[3], [1, 1, 2]),
    "S4": (SYMMETRIC[4], [1, 1, 2, 3, 3]),
    "S5": (SYMMETRIC[5], [1, 1, 4, 4, 5, 5, 6]),
    "S6": (SYMMETRIC[6], [1, 1, 5, 5, 5, 5, 9, 9, 10, 10, 16]),
    "A4": (A4, [1, 1, 1, 3]),
    "A5": (A5, [1, 3, 3, 4, 5]),
    "Q8": (QUATERNIONS, [1, 1, 1, 1, 2]),
    "F20": (AFFINE, [1, 1, 1, 1, 4]),
    "SL(2,3)": (special_linear(3), [1, 1, 1, 2, 2, 2, 3]),
    "SL(2,5)": (special_linear(5), [1, 2, 2, 3, 3, 4, 4, 5, 6]),
    "Q8 x Q8": (QUATERNIONS.direct_product(QUATERNIONS), multiplicity((1, 16), (2, 8), (4, 1))),
    "S4 x A4": (SYMMETRIC[4].direct_product(A4), multiplicity((1, 6), (2, 3), (3, 8), (6, 1), (9, 2))),
    **{f"D{n}": (symmetries.D(n).group, [1] * (2 + 2 * (n % 2 == 0)) + [2] * ((n - 1) // 2)) for n in range(3, 13)},
}
CLUSTERS = {  # order, classes and dimensions as NetKet 3.23 finds them
    "Chain(8)": (Chain(8), 16, multiplicity((1, 4), (2, 3))),
    "Square(3)": (Square(3), 72, multiplicity((1, 4), (2, 1), (4, 4))),
    "Square(4)": (Square(4), 128, multiplicity((1, 8), (2, 6), (4, 6))),
    "Square(6)": (Square(6), 288, multiplicity((1, 8), (2, 6), (4, 12), (8, 1))),
    "Triangular(3)": (Triangular(3), 108, multiplicity((1, 4), (2, 4), (4, 1), (6, 2))),
    "Honeycomb(3)": (Honeycomb(3), 108, multiplicity((1, 4), (2, 4), (4, 1), (6, 2))),
    "Kagome(3)": (Kagome(3), 108, multiplicity((1, 4), (2, 4), (4, 1), (6, 2))),
    "Triangular(6)": (Triangular(6), 432, multiplicity((1, 4), (2, 4), (3, 4), (4, 1), (6, 6), (12, 1))),
    "Cubic(3)": (Cubic(3), 1296, multiplicity((1, 4), (2, 2), (3, 4), (6, 4), (8, 2), (12, 5), (16, 1))),
    "Pyrochlore(2)": (Pyrochlore(2), 384, multiplicity((1, 4), (2, 2), (3, 4), (4, 4), (6, 4), (8, 2))),
}


def check(group, table, dimensions):
    """Both orthogonalities to 1e-12, whole dimensions, whole products, the trivial irrep first."""
    assert list(table.dimensions) == dimensions
    assert sum(d * d for d in dimensions) == group.order
    assert len(set(table.labels)) == len(table.labels) == len(group.classes)
    chi = np.array([irrep.characters for irrep in table.irreps])
    np.testing.assert_allclose(chi @ chi.conj().T / group.order, np.eye(len(chi)), atol=1e-12)
    sizes = np.array([len(members) for members in group.classes])
    values = table.values
    np.testing.assert_allclose(values.conj().T @ values * sizes[:, None] / group.order, np.eye(len(sizes)), atol=1e-12)
    assert (values[0] == 1).all()
    inverse = group.class_index[group.inverse[[members[0] for members in group.classes]]]
    np.testing.assert_allclose(values[:, inverse], values.conj(), atol=1e-14)
    everything = np.arange(group.order)
    squares = group.class_index[group.product_table[everything, everything]]
    indicators = values[:, squares].mean(axis=1)
    np.testing.assert_allclose(indicators, table.indicators, atol=1e-12)
    roots = np.sum(group.product_table[everything, everything] == group.identity)
    assert np.dot(table.indicators, table.dimensions) == roots  # Frobenius and Schur: elements whose square is one
    last = table.irreps[-1].characters
    for irrep in table.irreps[:: max(1, len(chi) // 8)]:
        counts = table.decompose(irrep.characters * last)
        assert sum(n * d for n, d in zip(counts.values(), dimensions)) == irrep.dimension * dimensions[-1]


@pytest.mark.parametrize("name", KNOWN)
def test_known_groups(name):
    """Dimensions from the literature."""
    group, dimensions = KNOWN[name]
    check(group, character_table(group), dimensions)


@pytest.mark.parametrize("name", CLUSTERS)
def test_space_groups(name):
    """Space groups of finite clusters: orders, numbers of classes, dimensions."""
    lattice, order, dimensions = CLUSTERS[name]
    group = symmetries.space_group(lattice).group
    assert group.order == order
    check(group, character_table(group), dimensions)


def test_pyrochlore():
    """The automorphisms of the pyrochlore cluster of 108 sites are its space group, numbered in another way."""
    found = symmetries.automorphisms(Pyrochlore(3).to_networkx(), color=None)
    group = found.elements().group
    space = symmetries.space_group(Pyrochlore(3))
    assert group.order == space.order == 1296
    check(group, character_table(group), sorted(character_table(space.group).dimensions))


def test_indicators():
    """Quaternionic: the pair of Q8 and of SL(2,3); complex: A4 and the cyclic groups."""
    assert character_table(QUATERNIONS).indicators == (1, 1, 1, 1, -1)
    assert sorted(character_table(special_linear(3)).indicators) == [-1, 0, 0, 0, 0, 1, 1]
    assert sorted(character_table(A4).indicators) == [0, 0, 1, 1]
    assert set(character_table(SYMMETRIC[6]).indicators) == {1}
    assert character_table(FiniteGroup.cyclic(5)).indicators == (1, 0, 0, 0, 0)


def test_values():
    """The tables of A5 (golden ratio) and S4, entry for entry."""
    golden = (1 + 5**0.5) / 2
    rows = {
        tuple(np.round(row[np.argsort(A5.class_index)], 9))
        for row in character_table(A5).values.real[:, A5.class_index]
    }
    assert len(rows) == 5
    orders = A5.element_orders
    for irrep in character_table(A5).irreps:
        seen = {int(n): sorted(set(np.round(irrep.characters[orders == n].real, 12))) for n in (1, 2, 3, 5)}
        expected = {
            1: {1: [1], 2: [1], 3: [1], 5: [1]},
            3: {1: [3], 2: [-1], 3: [0], 5: [np.round(1 - golden, 12), np.round(golden, 12)]},
            4: {1: [4], 2: [0], 3: [1], 5: [-1]},
            5: {1: [5], 2: [1], 3: [-1], 5: [0]},
        }[irrep.dimension]
        assert seen == expected
    group = SYMMETRIC[4]
    fixed = np.array([sum(p[i] == i for i in range(4)) for p in itertools.permutations(range(4))])
    assert character_table(group).decompose(fixed.astype(complex)) == {"1a": 1, "1b": 0, "2a": 0, "3a": 1, "3b": 0}


def test_numbering():
    """Another numbering of the elements gives the same table, moved."""
    group = special_linear(3)
    mixed = np.random.default_rng(3).permutation(group.order)
    place = np.argsort(mixed)
    again = FiniteGroup(place[group.product_table[np.ix_(mixed, mixed)]])
    one = np.array([irrep.characters for irrep in character_table(group).irreps])
    two = np.array([irrep.characters for irrep in character_table(again).irreps])
    overlaps = np.abs(one.conj()[:, mixed] @ two.T) / group.order
    np.testing.assert_allclose(np.sort(overlaps, axis=1)[:, -1], 1, atol=1e-12)
    assert character_table(group) == character_table(group)


def test_the_check_fails_for_wrong_tables():
    """Multiplicities of wrong characters do not pass the exact check."""
    group, random = SYMMETRIC[4], np.random.default_rng(0)
    right = characters._multiplicities(group, character_table(group).values)
    assert right is not None and characters._verified(group, right, random)
    for place in range(len(right)):
        wrong = [counts.copy() for counts in right]
        wrong[place][2] = np.roll(wrong[place][2], 1) if wrong[place].shape[1] > 1 else wrong[place][2] + 1
        assert np.array_equal(wrong[place], right[place]) or not characters._verified(group, wrong, random)
    swapped = [counts.copy() for counts in right]
    swapped[1][[3, 4]] = swapped[1][[4, 3]]  # characters of two irreps mixed up on one class
    assert np.array_equal(swapped[1], right[1]) or not characters._verified(group, swapped, random)


def test_projectors_in_the_regular_representation():
    """Weights of an irrep make an idempotent of trace d^2; all of them together make the identity."""
    group = SYMMETRIC[4]
    left = np.zeros((24, 24, 24))
    left[np.arange(24)[:, None], group.product_table, np.arange(24)[None, :]] = 1.0
    total = np.zeros((24, 24), complex)
    for irrep in character_table(group).irreps:
        projector = np.einsum("g,gab->ab", irrep.weights, left)
        np.testing.assert_allclose(projector @ projector, projector, atol=1e-14)
        np.testing.assert_allclose(np.trace(projector), irrep.dimension**2, atol=1e-12)
        total += projector
    np.testing.assert_allclose(total, np.eye(24), atol=1e-13)


@pytest.mark.parametrize(
    "call",
    [
        lambda: character_table(FiniteGroup.cyclic(2)).irrep("A1"),
        lambda: character_table(A4).decompose(np.ones(5)),
        lambda: character_table(A4).decompose(np.arange(12.0)),
        lambda: character_table(A4).decompose(-np.ones(12)),
        lambda: characters.CharacterTable(FiniteGroup.cyclic(2), np.ones((2, 2)) + 0j, ("a", "b")),
    ],
)
def test_bad_input(call):
    """Unknown names, traces of no representation, rows that are no table."""
    with pytest.raises(SymmetryError, match="expected:"):
        call()
