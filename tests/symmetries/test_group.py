"""Permutations, finite groups, characters."""

import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symmetries import FiniteGroup, SymmetryError, permutation

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


def brute_force_subgroups(group):
    """All subgroups of a small group, by closing all sets of up to three elements."""
    sets = itertools.combinations_with_replacement(range(group.order), 3)
    return {tuple(group.generated_by(np.array(s)).tolist()) for s in sets}


@pytest.mark.parametrize(
    ("group", "classes", "normal"),
    [
        (FiniteGroup.cyclic(12), 6, 6),
        (FiniteGroup.symmetric(3), 4, 3),
        (FiniteGroup.symmetric(4), 11, 4),
        (FiniteGroup.symmetric(5), 19, 3),
        (FiniteGroup.from_generators(QUATERNIONS), 6, 6),
        (FiniteGroup.from_generators(np.array([[1, 2, 3, 4, 0], [1, 2, 0, 3, 4]])), 9, 2),
        (FiniteGroup.cyclic(2).direct_product(FiniteGroup.symmetric(4)), 33, 9),
    ],
)
def test_subgroups(group, classes, normal):
    """Numbers of classes of subgroups and of normal subgroups as published; small groups against brute force."""
    assert len(group.subgroups) == classes
    assert len(group.normal_subgroups) == normal
    for elements in group.subgroups:
        chosen = np.array(elements)
        assert group.is_subgroup(chosen) and group.order % len(chosen) == 0
        assert group.is_normal(chosen) == (elements in group.normal_subgroups)
        assert len(group.normalizer(chosen)) == group.order if group.is_normal(chosen) else True
        for side in ("left", "right"):
            rows = group.cosets(chosen, side)
            assert sorted(rows.reshape(-1).tolist()) == list(range(group.order))
            assert set(rows[0]) == set(elements) and len(group.transversal(chosen, side)) == len(rows)
            for row, first in zip(rows, group.transversal(chosen, side)):
                table = group.product_table
                assert np.array_equal(row, table[first, chosen] if side == "left" else table[chosen, first])
    if group.order <= 24:
        everything = brute_force_subgroups(group)
        count = sum(group.order // len(group.normalizer(np.array(elements))) for elements in group.subgroups)
        assert count == len(everything)
        assert {e for e in everything if group.is_normal(np.array(e))} == set(group.normal_subgroups)


@given(generators=st.lists(rows(5), min_size=1, max_size=2))
@FEW
def test_structure(generators):
    """Centre, commutators, centralizers and quotients from their definitions."""
    group = FiniteGroup.from_generators(np.array(generators))
    table, everything = group.product_table, range(group.order)
    assert group.centre.tolist() == [a for a in everything if all(table[a, b] == table[b, a] for b in everything)]
    commutators = [table[table[a, b], group.inverse[table[b, a]]] for a in everything for b in everything]
    assert np.array_equal(group.commutator_subgroup, group.generated_by(np.unique(commutators)))
    abelian, coset = group.quotient(group.commutator_subgroup)
    assert abelian.is_abelian and np.array_equal(coset[table], abelian.product_table[np.ix_(coset, coset)])
    assert all(
        len(group.classes[i]) * len(group.centralizer(np.array([m[0]]))) == group.order
        for i, m in enumerate(group.classes)
    )
    power = np.full(group.order, group.identity)
    for _ in range(group.exponent):
        power = table[power, np.arange(group.order)]
    assert (power == group.identity).all()


def test_semidirect_product():
    """Dihedral groups, the affine group of five points; no action gives the direct product."""
    for n in (3, 4, 7):
        flip = np.stack([np.arange(n), -np.arange(n) % n])
        dihedral = FiniteGroup.cyclic(n).semidirect_product(FiniteGroup.cyclic(2), flip)
        assert len(dihedral.classes) == (n // 2 + 3 if n % 2 == 0 else (n - 1) // 2 + 2)
    powers = np.stack([np.arange(5) * 2**k % 5 for k in range(4)])
    affine = FiniteGroup.cyclic(5).semidirect_product(FiniteGroup.cyclic(4), powers)
    assert sorted(len(c) for c in affine.classes) == [1, 4, 5, 5, 5] and len(affine.centre) == 1
    two, three = FiniteGroup.cyclic(2), FiniteGroup.symmetric(3)
    assert two.semidirect_product(three, np.tile(np.arange(2), (6, 1))) == two.direct_product(three)


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
        lambda: FiniteGroup.cyclic(4).generated_by(np.array([4])),
        lambda: FiniteGroup.cyclic(4).subgroup(np.array([0, 0])),
        lambda: FiniteGroup.cyclic(4).cosets(np.array([0, 1])),
        lambda: FiniteGroup.cyclic(4).cosets(np.array([0, 2]), side="both"),
        lambda: FiniteGroup.symmetric(3).quotient(np.array([0, 1])),
        lambda: FiniteGroup.cyclic(201).subgroups,
        lambda: FiniteGroup.cyclic(3).semidirect_product(FiniteGroup.cyclic(2), np.array([[0, 1, 2]])),
        lambda: FiniteGroup.cyclic(4).semidirect_product(FiniteGroup.cyclic(2), np.array([[0, 1, 2, 3], [0, 2, 1, 3]])),
        lambda: FiniteGroup.cyclic(5).semidirect_product(
            FiniteGroup.cyclic(2), np.array([[0, 1, 2, 3, 4], [0, 2, 4, 1, 3]])
        ),
    ],
)
def test_bad_input(call):
    """What is no group is refused."""
    with pytest.raises(SymmetryError, match="expected:"):
        call()
