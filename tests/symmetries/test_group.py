"""Permutations, finite groups, characters."""

import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symmetries import FiniteGroup, SymmetryError, character_table, permutation

FEW = settings(max_examples=25, deadline=None, derandomize=True)
SYMMETRIC = {n: np.array(list(itertools.permutations(range(n)))) for n in (1, 2, 3, 4, 5)}
QUATERNIONS = np.array([[2, 3, 1, 0, 7, 6, 4, 5], [4, 5, 6, 7, 1, 0, 3, 2]])  # left multiplication by i and j


def rows(points):
    return st.permutations(list(range(points))).map(np.array)


@given(a=rows(6), b=rows(6), c=rows(6))
@FEW
def test_permutations(a, b, c):
    """Products associate and act as compositions; inverses, orders and cycles fit."""
    left = permutation.product(permutation.product(a, b), c)
    assert np.array_equal(left, permutation.product(a, permutation.product(b, c)))
    assert [a[b[s]] for s in range(6)] == permutation.product(a, b).tolist()
    assert np.array_equal(permutation.product(a, permutation.inverse(a)), np.arange(6))
    power, n = a, 1
    while not np.array_equal(power, np.arange(6)):
        power, n = permutation.product(a, power), n + 1
    assert permutation.order(a) == n
    found = permutation.cycles(a)
    assert sorted(s for cycle in found for s in cycle) == list(range(6))
    assert all(a[cycle[i - 1]] == cycle[i] for cycle in found for i in range(len(cycle)))
    counts = permutation.cycle_counts(np.stack([a, b]))
    assert counts[0].tolist() == [sum(len(cycle) == length for cycle in found) for length in range(7)]
    assert (counts @ np.arange(7) == 6).all()


@given(generators=st.lists(rows(5), min_size=1, max_size=3))
@FEW
def test_group_axioms(generators):
    """The table is that of the permutations, with its inverses, classes and element orders."""
    elements = permutation.generate(np.array(generators))
    group = FiniteGroup.from_permutations(elements)
    table = group.product_table
    assert math.factorial(5) % group.order == 0
    assert np.array_equal(elements[table], elements[:, elements].reshape(group.order, group.order, 5))
    assert np.array_equal(table[table], table[:, table])  # (a b) c = a (b c)
    assert (table[np.arange(group.order), group.inverse] == group.identity).all()
    assert [permutation.order(row) for row in elements] == group.element_orders.tolist()
    lengths = [sorted(map(len, permutation.cycles(row))) for row in elements]
    for members in group.classes:
        conjugates = {table[table[g, members[0]], group.inverse[g]] for g in range(group.order)}
        assert conjugates == set(members)
        assert all(lengths[m] == lengths[members[0]] for m in members)
    assert sorted(x for members in group.classes for x in members) == list(range(group.order))


@pytest.mark.parametrize(
    ("group", "dimensions"),
    [
        (FiniteGroup.cyclic(1), [1]),
        (FiniteGroup.cyclic(6), [1] * 6),
        (FiniteGroup.from_permutations(SYMMETRIC[3]), [1, 1, 2]),
        (FiniteGroup.from_permutations(SYMMETRIC[4]), [1, 1, 2, 3, 3]),
        (FiniteGroup.from_permutations(SYMMETRIC[5]), [1, 1, 4, 4, 5, 5, 6]),
        (FiniteGroup.from_generators(QUATERNIONS), [1, 1, 1, 1, 2]),
        (FiniteGroup.from_generators(np.array([[1, 2, 3, 4, 0], [0, 2, 4, 1, 3]])), [1, 1, 1, 1, 4]),
        (FiniteGroup.from_generators(np.array([[1, 2, 3, 4, 0], [1, 2, 0, 3, 4]])), [1, 3, 3, 4, 5]),
    ],
)
def test_characters(group, dimensions):
    """Known dimensions; both orthogonalities; the irreps multiply as the classes do."""
    table = character_table(group)
    assert list(table.dimensions) == dimensions
    assert sum(d * d for d in dimensions) == group.order
    chi = np.array([irrep.characters for irrep in table.irreps])
    np.testing.assert_allclose(chi @ chi.conj().T, group.order * np.eye(len(chi)), atol=1e-12 * group.order)
    same = group.class_index[:, None] == group.class_index[None, :]
    columns = same * (group.order / same.sum(axis=0))
    np.testing.assert_allclose(chi.T.conj() @ chi, columns, atol=1e-12 * group.order)
    assert (table.values[0] == 1).all()
    products = chi[:, None] * chi[None]  # tensor products decompose into whole numbers of irreps
    parts = np.einsum("abg,cg->abc", products, chi.conj()) / group.order
    np.testing.assert_allclose(parts, np.round(parts.real), atol=1e-12 * group.order)
    assert parts.real.min() > -0.5


def test_projectors_in_the_regular_representation():
    """Weights of an irrep make an idempotent of trace d^2; all of them together make the identity."""
    group = FiniteGroup.from_permutations(SYMMETRIC[4])
    left = np.zeros((24, 24, 24))
    left[np.arange(24)[:, None], group.product_table, np.arange(24)[None, :]] = 1.0
    total = np.zeros((24, 24), complex)
    for irrep in character_table(group).irreps:
        projector = np.einsum("g,gab->ab", irrep.weights, left)
        np.testing.assert_allclose(projector @ projector, projector, atol=1e-14)
        np.testing.assert_allclose(np.trace(projector), irrep.dimension**2, atol=1e-12)
        total += projector
    np.testing.assert_allclose(total, np.eye(24), atol=1e-13)


def test_products_and_subgroups():
    """Direct products have products of characters, subgroups keep the table."""
    two, three = FiniteGroup.cyclic(2), FiniteGroup.from_permutations(SYMMETRIC[3])
    both = two.direct_product(three)
    assert both.order == 12 and len(both.classes) == 6 and not both.is_abelian
    rows = both.subgroup(np.arange(6))
    assert rows == three and hash(rows) == hash(three)
    assert both.subgroup(np.array([0, 6])) == two
    with pytest.raises(SymmetryError, match="missing"):
        three.subgroup(np.array([0, 3]))


def test_descriptor():
    """Equal by content, hashable, closed to writing, pickled."""
    table = np.array([[0, 1], [1, 0]])
    one, two = FiniteGroup(table), FiniteGroup.cyclic(2)
    assert one == two and hash(one) == hash(two) and one != FiniteGroup.cyclic(3) and one != "C2"
    with pytest.raises(ValueError, match="read-only"):
        one.product_table[0, 0] = 1
    table[0, 0] = 1  # the caller's array stays the caller's
    assert one == two
    assert pickle.loads(pickle.dumps(two)) == one
    error = pickle.loads(pickle.dumps(SymmetryError("What.", got=1, expected=2, try_="3")))
    assert str(error) == "What.\n  got:      1\n  expected: 2\n  try:      3"


@pytest.mark.parametrize(
    "call",
    [
        lambda: FiniteGroup(np.array([[0, 1], [1, 1]])),
        lambda: FiniteGroup(np.array([[0, 1], [1, 2]])),
        lambda: FiniteGroup(np.array([[1, 0], [1, 0]])),
        lambda: FiniteGroup(np.zeros((0, 0), int)),
        lambda: FiniteGroup(  # a loop of order five: a Latin square with identity that is not associative
            np.array([[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]])
        ),
        lambda: FiniteGroup.from_permutations(np.array([[0, 1, 2], [1, 2, 0]])),
        lambda: FiniteGroup.from_permutations(np.array([[0, 1, 2], [0, 1, 2]])),
        lambda: FiniteGroup.from_permutations(np.array([[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 2, 1]])),
        lambda: FiniteGroup.from_generators(np.array([[0, 0, 1]])),
        lambda: character_table(FiniteGroup.cyclic(2)).irrep("A1"),
    ],
)
def test_bad_input(call):
    """What is no group is refused."""
    with pytest.raises(SymmetryError, match="expected:"):
        call()
