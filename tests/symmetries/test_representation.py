"""Matrices of irreps, ordinary and projective."""

import itertools

import numpy as np
import pytest

import symmetries
from symmetries import FiniteGroup, SymmetryError, character_table, irrep_matrices, projective_irreps
from tests.symmetries.test_characters import special_linear

QUATERNIONS = FiniteGroup.from_generators(np.array([[2, 3, 1, 0, 7, 6, 4, 5], [4, 5, 6, 7, 1, 0, 3, 2]]))
KLEIN = FiniteGroup(np.array([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]))
PAULI = np.array([np.eye(2), [[0, 1], [1, 0]], [[1, 0], [0, -1]], [[0, -1j], [1j, 0]]])
GROUPS = {
    "trivial": FiniteGroup.cyclic(1),
    "C7": FiniteGroup.cyclic(7),
    "Q8": QUATERNIONS,
    "D5": symmetries.D(5).group,
    "D12": symmetries.D(12).group,
    "S4": FiniteGroup.from_permutations(np.array(list(itertools.permutations(range(4))))),
    "A5": FiniteGroup.from_generators(np.array([[1, 2, 3, 4, 0], [1, 2, 0, 3, 4]])),
    "S5": FiniteGroup.from_permutations(np.array(list(itertools.permutations(range(5))))),
    "Q8 x D3": QUATERNIONS.direct_product(symmetries.D(3).group),
}


def multiplier_of(group, matrices):
    """The cocycle of matrices that multiply like a group up to phases."""
    inverses = np.linalg.inv(matrices[group.product_table])
    return np.einsum("aij,bjk,abki->ab", matrices, matrices, inverses) / matrices.shape[1]


def spin_half(matrices):
    """One of the two spin-1/2 matrices of each rotation of space."""
    result = []
    for rotation in matrices:
        proper = rotation * np.linalg.det(rotation)
        angle = np.arccos(np.clip((np.trace(proper) - 1) / 2, -1, 1))
        axis = np.linalg.svd(proper - np.eye(3))[2][-1] if angle > 1e-6 else np.zeros(3)
        twist = proper - proper.T
        if np.dot(axis, [twist[2, 1], twist[0, 2], twist[1, 0]]) < 0:
            axis = -axis
        sigma = np.tensordot(axis, PAULI[[1, 3, 2]], 1)
        result.append(np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * sigma)
    return np.array(result)


def check_projective(group, multiplier):
    irreps = projective_irreps(group, multiplier)
    assert sum(irrep.dimension**2 for irrep in irreps) == group.order
    chi = np.array([irrep.characters for irrep in irreps])
    np.testing.assert_allclose(chi @ chi.conj().T / group.order, np.eye(len(chi)), atol=1e-12)
    for irrep in irreps:
        d = irrep.matrices
        np.testing.assert_allclose(np.trace(d, axis1=1, axis2=2), irrep.characters, atol=1e-12)
        products = np.einsum("aij,bjk->abik", d, d)
        expected = np.asarray(multiplier)[:, :, None, None] * d[group.product_table]
        np.testing.assert_allclose(products, expected, atol=1e-12)
        np.testing.assert_allclose(d @ d.conj().transpose(0, 2, 1), np.eye(irrep.dimension)[None] + 0 * d, atol=1e-12)
    return [irrep.dimension for irrep in irreps]


@pytest.mark.parametrize("name", GROUPS)
def test_homomorphism(name):
    """Unitary, multiply like the group, have the characters; real exactly where the indicator is +1."""
    group = GROUPS[name]
    for number, irrep in enumerate(character_table(group).irreps):
        d = irrep_matrices(group, irrep)
        assert d.shape == (group.order, irrep.dimension, irrep.dimension)
        np.testing.assert_allclose(np.einsum("aij,bjk->abik", d, d), d[group.product_table], atol=1e-12)
        np.testing.assert_allclose(d @ d.conj().transpose(0, 2, 1), np.eye(irrep.dimension)[None] + 0 * d, atol=1e-12)
        np.testing.assert_allclose(np.trace(d, axis1=1, axis2=2), irrep.characters, atol=1e-12)
        everything = np.arange(group.order)
        indicator = round(irrep.characters[group.product_table[everything, everything]].mean().real)
        assert (np.abs(d.imag).max() == 0) == (indicator == 1)
        assert np.array_equal(d, irrep_matrices(group, number))


def test_great_orthogonality():
    """Matrix elements of all irreps are orthogonal functions on the group."""
    group = GROUPS["Q8 x D3"]
    columns = [
        irrep_matrices(group, i).reshape(group.order, -1) * np.sqrt(d / group.order)
        for i, d in enumerate(character_table(group).dimensions)
    ]
    unitary = np.concatenate(columns, axis=1)
    np.testing.assert_allclose(unitary.conj().T @ unitary, np.eye(group.order), atol=1e-12)


def test_large_space_group():
    """Order 1296, dimension 16: the cube of three cells."""
    from qml.lattice import Cubic

    group = symmetries.space_group(Cubic(3)).group
    table = character_table(group)
    d = irrep_matrices(group, len(table.irreps) - 1)
    assert d.shape == (1296, 16, 16)
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 1296, (2, 3000))
    np.testing.assert_allclose(d[a] @ d[b], d[group.product_table[a, b]], atol=1e-12)
    np.testing.assert_allclose(np.trace(d, axis1=1, axis2=2), table.irreps[-1].characters, atol=1e-12)


def test_pauli():
    """The Klein four-group with the multiplier of the Pauli matrices has one irrep, of dimension two."""
    multiplier = multiplier_of(KLEIN, PAULI)
    assert check_projective(KLEIN, multiplier) == [2]
    assert check_projective(KLEIN, np.ones((4, 4))) == [1, 1, 1, 1]
    both = KLEIN.direct_product(KLEIN)
    assert check_projective(both, np.kron(multiplier, multiplier)) == [4]
    assert check_projective(both, np.kron(multiplier, np.ones((4, 4)))) == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("generators", "dimensions"),
    [
        ([[[0, -1, 0], [1, 0, 0], [0, 0, 1]], [[0, 0, 1], [1, 0, 0], [0, 1, 0]]], [2, 2, 4]),  # O: Gamma6 7 8
        ([[[-1, 0, 0], [0, -1, 0], [0, 0, 1]], [[0, 0, 1], [1, 0, 0], [0, 1, 0]]], [2, 2, 2]),  # T: Gamma5 6 7
        ([[[0, -1, 0], [1, 0, 0], [0, 0, 1]], [[1, 0, 0], [0, -1, 0], [0, 0, -1]]], [2, 2]),  # D4: Gamma6 7
        ([[[-1, 0, 0], [0, -1, 0], [0, 0, 1]], [[1, 0, 0], [0, -1, 0], [0, 0, -1]]], [2]),  # D2: Gamma5
    ],
)
def test_double_groups(generators, dimensions):
    """Spin one half of the point groups: the extra irreps of the double groups (Koster's tables)."""
    points = symmetries.PointGroup.generate(generators)
    multiplier = multiplier_of(points.group, spin_half(points.matrices))
    assert check_projective(points.group, multiplier) == dimensions


@pytest.mark.parametrize(
    "group",
    [
        QUATERNIONS,
        symmetries.D(8).group,
        special_linear(3),
        special_linear(5),
        QUATERNIONS.direct_product(symmetries.D(4).group),
        FiniteGroup.cyclic(3).direct_product(QUATERNIONS),
        FiniteGroup.cyclic(6),
    ],
    ids=["Q8", "D8", "SL(2,3)", "SL(2,5)", "Q8 x D4", "C3 x Q8", "C6"],
)
def test_central_extensions(group):
    """Irreps over one character of the centre are the projective irreps of the quotient with its multiplier."""
    quotient, _ = group.quotient(group.centre)
    section = group.cosets(group.centre)[:, 0]
    table = group.product_table
    products = table[section[:, None], section[None, :]]
    central = table[products, group.inverse[section[quotient.product_table]]]
    irreps = character_table(group).irreps
    over: dict[tuple, list] = {}
    for irrep in irreps:
        scalars = irrep.characters / irrep.dimension
        over.setdefault(tuple(np.round(scalars[group.centre], 6)), []).append(irrep)
    assert len(over) == len(group.centre)
    for members in over.values():
        multiplier = members[0].characters[central] / members[0].dimension
        assert check_projective(quotient, multiplier) == sorted(irrep.dimension for irrep in members)
        rows = {tuple(np.round(irrep.characters[section], 6) + 0.0) for irrep in members}
        found = projective_irreps(quotient, multiplier)
        assert {tuple(np.round(irrep.characters, 6) + 0.0) for irrep in found} == rows


def test_gauge():
    """Phases put on the elements change no dimension: a coboundary; the identity need not be one."""
    group = GROUPS["S4"]
    phases = np.exp(1j * np.random.default_rng(0).uniform(0, 2 * np.pi, group.order))
    coboundary = phases[:, None] * phases[None, :] / phases[group.product_table]
    assert check_projective(group, coboundary) == [1, 1, 2, 3, 3]
    again = projective_irreps(group, coboundary)
    assert all(one == two for one, two in zip(again, projective_irreps(group, coboundary)))
    ordinary = np.array([irrep.characters for irrep in character_table(group).irreps])
    lifted = np.array([irrep.characters for irrep in again]) / phases[None, :]
    overlaps = np.abs(ordinary.conj() @ lifted.T) / group.order  # the same irreps, another one-dimensional factor
    np.testing.assert_allclose(np.sort(overlaps.max(axis=1)), 1.0, atol=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: projective_irreps(KLEIN, np.ones((3, 3))),
        lambda: projective_irreps(KLEIN, 2 * np.ones((4, 4))),
        lambda: projective_irreps(KLEIN, np.exp(1j * np.arange(16).reshape(4, 4))),
        lambda: projective_irreps(KLEIN, np.full((4, 4), np.nan)),
        lambda: irrep_matrices(KLEIN, 4),
        lambda: irrep_matrices(KLEIN, character_table(QUATERNIONS).irreps[0]),
        lambda: irrep_matrices(KLEIN, symmetries.Irrep("x", 2, np.array([2.0, 2, 2, 2]) + 0j)),
    ],
)
def test_bad_input(call):
    """What is no cocycle or no irrep is refused."""
    with pytest.raises(SymmetryError, match="expected:"):
        call()
