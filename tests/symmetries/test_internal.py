"""Internal symmetries in sectors: labels, dimensions, completeness, Kramers classes, rotations of signs."""

import itertools

import numpy as np
import pytest

import symmetries
from qml.hilbert import Boson, Spin, SpinfulFermion, SpinlessFermion
from qml.lattice import Chain, Honeycomb, Pyrochlore, Square, Triangular
from qml.operator import FermionSum, Heisenberg, PauliSum, commutes, tV
from symmetries import Internal, ParticleHole, PermutationGroup, Sector, SpinFlip, SymmetryError, TimeReversal, sectors


def projector(sector, space):
    """Dense P from the matrices of all elements."""
    action, states = sector.on(space), np.asarray(space.all_states())
    return sum(w * action.matrix(g, states) for g, w in enumerate(sector.weights))


def staggered(sites):
    return tuple((-1) ** np.arange(sites))


CHAIN6 = symmetries.space_group(Chain(6))
SPACES = {
    "chain 8": (Spin(8, magnetisation=0), symmetries.space_group(Chain(8)), SpinFlip()),
    "triangular 6": (Spin(6), symmetries.space_group(Triangular(2, 3)), SpinFlip()),
    "spin one": (Spin(4, s=1), symmetries.space_group(Chain(4)), SpinFlip()),
    "fermions": (SpinlessFermion(6), CHAIN6, ()),
    "hole": (SpinlessFermion(6, n_fermions=3), CHAIN6, ParticleHole(signs=staggered(6))),
    "twist": (SpinlessFermion(5, n_fermions=2), symmetries.space_group(Chain(5, twist=0.7)), ()),
    "antiperiodic": (SpinlessFermion(4), symmetries.space_group(Chain(4, twist=np.pi)), ()),
    "two spins": (SpinfulFermion(3, n_fermions=3), symmetries.space_group(Chain(3)), SpinFlip()),
    "hubbard": (
        SpinfulFermion(4, n_up=2, n_down=2),
        symmetries.space_group(Chain(4)),
        (SpinFlip(), ParticleHole(signs=staggered(4))),
    ),
    "bosons": (Boson(4, n_max=2, n_particles=4), symmetries.space_group(Chain(4)), ParticleHole()),
    "rotor": (
        Boson(3, n_max=2),
        symmetries.translation_group(Chain(3)),
        Internal("z3", 1, phases=np.exp(2j * np.pi / 3), order=3),
    ),
    "all permutations": (Spin(4), PermutationGroup.from_generators(np.array([[1, 2, 3, 0], [1, 0, 2, 3]])), SpinFlip()),
    "glide": (Spin(16, magnetisation=7), symmetries.space_group(Pyrochlore((1, 2, 2))), ()),
    "screw, two magnons": (SpinlessFermion(16, n_fermions=1), symmetries.space_group(Pyrochlore((2, 2, 1))), ()),
    "pyrochlore": (Spin(32, magnetisation=15), symmetries.space_group(Pyrochlore(2)), ()),
    "4x4 two magnons": (Spin(16, magnetisation=6), symmetries.space_group(Square(4)), ()),
}


LONG = [pytest.param(name, marks=pytest.mark.slow) for name in ("pyrochlore", "4x4 two magnons")]
REPRESENTED = ["hole", "antiperiodic", "hubbard", "two spins", "all permutations", LONG[0]]


@pytest.mark.parametrize("name", [*(name for name in SPACES if name not in ("pyrochlore", "4x4 two magnons")), *LONG])
def test_projectors_are_complete(name):
    """Hermitian, idempotent, orthogonal to the others, and of the counted rank; all arms together fill the space."""
    space, group, internal = SPACES[name]
    total, found = 0, []
    for sector in sectors(group, internal=internal):
        count = sector.sector_dimension(hilbert=space)
        total += len(sector.star) * count
        p = projector(sector, space)
        np.testing.assert_allclose(p, p.conj().T, atol=1e-12)
        np.testing.assert_allclose(p @ p, p, atol=1e-12)
        assert round(np.trace(p).real) == count and abs(np.trace(p) - count) < 1e-9
        if count and space.size <= 100:
            assert np.linalg.matrix_rank(p, tol=1e-6) == count
            found.append(p)
    assert total == space.size
    for p, q in itertools.combinations(found[:12], 2):
        np.testing.assert_allclose(p @ q, 0, atol=1e-12)


@pytest.mark.parametrize("name", REPRESENTED)
def test_representatives_and_matrices(name):
    """Norms are the diagonal of P; images are first in their orbits; matrices of the irrep project like characters."""
    space, group, internal = SPACES[name]
    x = np.asarray(space.all_states())
    for sector in sectors(group, internal=internal):
        states, elements, norms = sector.representatives(x, hilbert=space)
        moved, _ = sector.on(space).apply(x)
        np.testing.assert_allclose(norms**2, projector(sector, space).diagonal().real, atol=1e-12)
        assert np.array_equal(moved[np.arange(len(x)), elements], states)
        index = np.asarray(space.states_to_indices(moved.reshape(-1, x.shape[1]))).reshape(len(x), -1)
        assert np.array_equal(np.asarray(space.states_to_indices(states)), index.min(axis=1))
        matrices, table = sector.irrep_matrices, sector.group.product_table
        np.testing.assert_allclose(np.trace(matrices, axis1=1, axis2=2), sector.characters, atol=1e-10)
        np.testing.assert_allclose(matrices[3] @ matrices, matrices[table[3]], atol=1e-10)
    vector = np.random.default_rng(0).normal(size=space.size)
    np.testing.assert_allclose(sector.project(vector, hilbert=space), projector(sector, space) @ vector, atol=1e-12)


def test_published_dimensions():
    """Dimensions of representations that NetKet 3.23 tests or prints, and necklace counting."""
    ring = symmetries.translation_group(Chain(8))
    assert [Sector(ring, n).sector_dimension() for n in range(8)] == [36, 30, 33, 30, 34, 30, 33, 30]
    assert [Sector(ring, n).sector_dimension(0) for n in range(8)] == [10, 8, 9, 8, 10, 8, 9, 8]
    three = PermutationGroup.from_generators(np.array([[1, 2, 0], [1, 0, 2]]))
    assert [(s.dimension, s.sector_dimension()) for s in sectors(three)] == [(1, 4), (1, 0), (2, 4)]
    four = symmetries.translation_group(Chain(4))
    assert [Sector(four, n).sector_dimension(particles=2, fermionic=True) for n in range(4)] == [1, 2, 1, 2]
    orbitals = PermutationGroup(np.arange(4)[None])
    flips = [Sector(orbitals, internal=SpinFlip(value)) for value in (1, -1)]
    assert [s.sector_dimension(particles=(2, 2), components=2, fermionic=True) for s in flips] == [21, 15]


@pytest.mark.slow
def test_large_counts_are_exact():
    """2^36 spins in the sectors with spin flip; all Hubbard states of 4 x 4 at half filling, 12870^2."""
    group = symmetries.space_group(Square(6))
    assert sum(len(s.star) * s.sector_dimension() for s in sectors(group, internal=SpinFlip())) == 2**36
    flips = list(sectors(symmetries.space_group(Square(4)), internal=SpinFlip()))
    count = {"particles": (8, 8), "components": 2, "fermionic": True}
    assert sum(len(s.star) * s.sector_dimension(**count) for s in flips) == 12870**2


@pytest.mark.slow
def test_ground_state_of_the_square_is_where_it_should_be():
    """4 x 4 Heisenberg: the ground state is at Gamma A1 flip=+1; the first excited one in Sz=0 has flip=-1 at M."""
    lattice, space = Square(4), Spin(16, magnetisation=0)
    import scipy.sparse.linalg

    levels, vectors = scipy.sparse.linalg.eigsh(4 * Heisenberg(space, lattice).to_sparse(), k=2, which="SA")
    assert levels[0] == pytest.approx(-44.913932834, abs=1e-8) and levels[1] == pytest.approx(-42.599539491, abs=1e-8)
    group = symmetries.space_group(lattice)
    first = Sector(group, internal=SpinFlip(1)).project(vectors[:, 0], hilbert=space)
    np.testing.assert_allclose(first, vectors[:, 0], atol=1e-8)
    second = Sector(group, "M", internal=SpinFlip(-1)).project(vectors[:, 1], hilbert=space)
    np.testing.assert_allclose(second, vectors[:, 1], atol=1e-8)


def levels_in(sector, space, matrix):
    weights, vectors = np.linalg.eigh(projector(sector, space))
    basis = vectors[:, weights > 0.5]
    return np.linalg.eigvalsh(basis.conj().T @ matrix @ basis)


KRAMERS = [
    (Spin(3), Chain(3), 0, (), "pseudoreal"),
    (Spin(5), Chain(5), 1, (), "pseudoreal"),
    (Spin(4), Chain(4), 1, (), "real"),
    (Spin(3), Chain(3), 0, (SpinFlip(1),), "complex"),
    (Spin(4), Chain(4), 0, (SpinFlip(-1),), "real"),
    (Spin(3, s=1), Chain(3), 1, (), "real"),
    (SpinfulFermion(2, n_fermions=1), Chain(2, periodic=False), 0, (), "pseudoreal"),
    (SpinfulFermion(2, n_fermions=2), Chain(2, periodic=False), 0, (), "real"),
]


@pytest.mark.parametrize(("space", "lattice", "momentum", "internal", "kind"), KRAMERS)
def test_kramers(space, lattice, momentum, internal, kind):
    """With T^2 = -1 every level of a pseudoreal sector is even times degenerate, in a generic symmetric operator."""
    sector = Sector(symmetries.space_group(lattice), momentum, internal=(*internal, TimeReversal()))
    assert sector.kramers(space) == kind
    random, states = np.random.default_rng(0), np.asarray(space.all_states())
    matrix = random.normal(size=(len(states),) * 2) + 1j * random.normal(size=(len(states),) * 2)
    full = Sector(symmetries.space_group(lattice), internal=internal)
    action = full.on(space)
    elements = [action.matrix(g, states) for g in range(action.order)]
    from symmetries.action import as_action
    from symmetries.elements import internal_maps
    from symmetries.modes import Space

    shape = Space.of(space, lattice.n_sites)
    theta = as_action(internal_maps(TimeReversal(), lattice.n_sites, shape), shape.fermionic, shape.local_states)
    theta = theta.matrix(0, states)
    matrix = sum(u @ (matrix + matrix.conj().T) @ u.conj().T for u in elements)
    matrix = matrix + theta @ matrix.conj() @ theta.conj().T
    levels = np.sort(
        np.concatenate(
            [levels_in(Sector(s.space_group, s.momentum, s.irrep, s.internal), space, matrix) for s in [sector]]
        )
    )
    d = sector.dimension
    multiplicity = 2 * d if kind == "pseudoreal" else d
    groups = np.split(levels, np.flatnonzero(np.diff(levels) > 1e-8) + 1)
    assert {len(group) for group in groups} == {multiplicity}


def test_momentum_pairs():
    """Translations alone: T joins k and -k; with inversion in the group it need not."""
    ring = symmetries.translation_group(Chain(6))
    kinds = [Sector(ring, k, internal=TimeReversal()).kramers() for k in range(6)]
    assert kinds == ["real", "complex", "complex", "real", "complex", "complex"]
    assert Sector(CHAIN6, 1, internal=TimeReversal()).kramers() == "real"
    odd = symmetries.translation_group(Chain(3))
    assert [Sector(odd, k, internal=TimeReversal()).kramers() for k in range(3)] == ["pseudoreal", "complex", "complex"]


@pytest.mark.slow
@pytest.mark.parametrize("lattice", [Chain(8), Chain(6), Honeycomb(2)], ids=str)
def test_rotated_sectors(lattice):
    """The spectrum of H in a sector is that of U H U+ in the rotated one; its ground state is positive by Marshall."""
    space, n = Spin(lattice.n_sites, magnetisation=0), lattice.n_sites
    signs = np.ones(n, int)
    colours = {0: 1}
    while len(colours) < n:
        for i, j in lattice.edges():
            if i in colours:
                colours[j] = -colours[i]
            elif j in colours:
                colours[i] = -colours[j]
    signs[:] = [colours[i] for i in range(n)]
    matrix = np.asarray(Heisenberg(space, lattice).to_dense())
    down = (1 - np.asarray(space.all_states())) // 2
    u = np.prod(np.where(down == 1, signs[None, :], 1), axis=1)
    turned = u[:, None] * matrix * u[None, :]
    group = symmetries.space_group(lattice)
    for label in group.irreps():
        sector = Sector(group, None, label, SpinFlip(1))
        there = sector.rotated(signs)
        assert there != sector and there.label.endswith("(rotated)") and there.rotated(signs) == sector
        p = projector(there, space)
        np.testing.assert_allclose(p @ turned, turned @ p, atol=1e-12)
        np.testing.assert_allclose(levels_in(there, space, turned), levels_in(sector, space, matrix), atol=1e-10)
    assert np.linalg.eigh(turned)[1][:, 0].prod() != 0 and np.ptp(np.sign(np.linalg.eigh(turned)[1][:, 0])) == 0


@pytest.mark.parametrize(
    ("lattice", "momentum", "irrep", "flip", "label"),
    [
        (Chain(6), 3, "A", -1, "k=(0,) A flip=+1"),
        (Chain(8), 0, "A", 1, "k=(0,) A flip=+1"),
        (Square(2, 3, periodic=(False, True)), None, "A1", 1, None),
    ],
    ids=str,
)
def test_labels_after_a_rotation(lattice, momentum, irrep, flip, label):
    """The sector found holds U psi of every psi of the other; on a triangular ladder no label does."""
    space = Spin(lattice.n_sites, magnetisation=0)
    signs = (-1) ** np.rint(lattice.positions.sum(axis=1)).astype(int)
    sector = Sector(symmetries.space_group(lattice), momentum, irrep, SpinFlip(flip)).rotated(signs)
    if label is None:
        with pytest.raises(SymmetryError, match="none of the sectors"):
            sector.relabelled(space)
        return
    found = sector.relabelled(space)
    assert found.label == label and found.rotation is None
    np.testing.assert_allclose(projector(found, space), projector(sector, space), atol=1e-12)


def test_flips_tied_to_shifts():
    """In a staggered field a shift is a symmetry with a spin flip: the sectors have the whole spectrum, 2^6 states."""
    signs, space = staggered(6), Spin(6)
    field = PauliSum.from_terms([("Z", (i,), 0.3 * sign) for i, sign in enumerate(signs)], space)
    operator = Heisenberg(space, Chain(6)) + field
    matrix, levels = np.asarray(operator.to_dense()), []
    for sector in sectors(CHAIN6, SpinFlip(pattern=signs)):
        assert sector.label.endswith("with flip") and commutes(operator, sector)
        found = levels_in(sector, space, matrix)
        assert len(found) == sector.dimension * sector.sector_dimension()
        levels += found.tolist() * len(sector.star)
    np.testing.assert_allclose(np.sort(levels), np.linalg.eigvalsh(matrix), atol=1e-12)
    assert not commutes(operator, Sector(CHAIN6)) and not commutes(operator, Sector(CHAIN6, internal=SpinFlip()))
    tied = Sector(CHAIN6, 3, internal=SpinFlip(pattern=signs))
    half = CHAIN6.permutations[:, 0] % 2 == 1
    assert tied.exchanged.tolist() == half.tolist() and (tied.apply(np.ones(6, int))[half] == -1).all()


def test_holes_tied_to_shifts():
    """Fermions in a staggered potential with the particle-hole exchange of half of the shifts."""
    signs, space = staggered(6), SpinlessFermion(6, n_fermions=3)
    hop = tV(space, Chain(6), t=1.0, v=0.7)
    operator = hop + FermionSum({f"n{i}": 0.4 * sign for i, sign in enumerate(signs)}, space)
    hole, matrix = ParticleHole(signs=signs, pattern=signs), np.asarray(operator.to_dense())
    found = [levels_in(s, space, matrix) for s in sectors(CHAIN6, hole) for _ in s.star]
    np.testing.assert_allclose(np.sort(np.concatenate(found)), np.linalg.eigvalsh(matrix), atol=1e-12)


def test_time_reversal_tied_to_a_shift():
    """A random matrix with the shift by two sites and T times the shift by one: all levels of k = pi come in pairs."""
    shifts, space = PermutationGroup(np.array([[0, 1, 2, 3], [2, 3, 0, 1]])), Spin(4)
    states = np.asarray(space.all_states())
    index = {tuple(x): i for i, x in enumerate(states.tolist())}
    turn = np.zeros((16, 16))
    for i, x in enumerate(states):
        turn[index[tuple(-x[[3, 0, 1, 2]])], i] = (-1) ** (x < 0).sum()  # x at s goes to s + 1
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(16, 16)) + 1j * rng.normal(size=(16, 16))
    matrix = matrix + matrix.conj().T
    matrix = matrix + turn @ turn @ matrix @ turn.T @ turn.T
    matrix = matrix + turn @ matrix.conj() @ turn.T
    np.testing.assert_allclose(turn @ matrix.conj() @ turn.T, matrix, atol=1e-12)
    time = TimeReversal(moves=[1, 2, 3, 0])
    for label, kind in (("1a", "real"), ("1b", "pseudoreal")):
        sector = Sector(shifts, irrep=label, internal=time)
        levels = levels_in(sector, space, matrix)
        assert sector.kramers() == kind
        assert (np.diff(levels)[::2] < 1e-10).all() == (kind == "pseudoreal") and np.diff(levels)[1::2].min() > 1e-3


def test_labels_and_equality():
    sector = Sector(CHAIN6, 3, "A", (SpinFlip(-1), TimeReversal()))
    assert sector.label == "k=(3,) A flip=-1" and sector.group.order == 24 and sector.dimension == 1
    assert sector == Sector(CHAIN6, "X", internal=(SpinFlip(-1), TimeReversal())) and hash(sector) == hash(sector)
    assert sector != Sector(CHAIN6, 3, "A", SpinFlip(1))
    assert sector.exchanged.tolist() == [False, True] * 12 and not sector.reversed.any()
    hole = Sector(CHAIN6, internal=ParticleHole(signs=staggered(6)))
    assert hole.reversed[1] and hole.site_phases[1].real.tolist() == list(staggered(6))
    free = Sector(PermutationGroup(np.arange(3)[None]), internal=SpinFlip(-1))
    assert free.label == "1a flip=-1" and free.star == ((),) and free.momentum is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SpinFlip(2), "does not belong"),
        (lambda: SpinFlip(-1, pattern=(1, -1)), "cannot be tied"),
        (lambda: SpinFlip(pattern=(1, 1)), "cannot be tied"),
        (lambda: Internal("f", moves=(1, 0)), "cannot be tied"),
        (lambda: TimeReversal(moves=(1, 1)), "not a permutation"),
        (lambda: Sector(CHAIN6, internal=SpinFlip(pattern=(1, -1))), "does not fit the lattice"),
        (lambda: Sector(CHAIN6, internal=SpinFlip(pattern=(1, -1, 1, 1, 1, 1))).action(), "keeps nor reverses"),
        (lambda: Sector(CHAIN6, internal=TimeReversal(moves=(1, 0, 2, 3, 4, 5))).kramers(), "do not fit the lattice"),
        (lambda: Internal("z3", 1j, order=3), "does not belong"),
        (lambda: ParticleHole(signs=(1, 2)), r"\+1 or -1"),
        (lambda: Internal("p", phases=2.0), "modulus one"),
        (lambda: Sector(CHAIN6, internal="flip"), "not an internal symmetry"),
        (lambda: Sector(CHAIN6, internal=(SpinFlip(1), SpinFlip(-1))), "given twice"),
        (lambda: Sector(CHAIN6, internal=ParticleHole(signs=(1, -1))), "do not fit the lattice"),
        (lambda: Sector(PermutationGroup(np.arange(3)[None]), 1), "no translations"),
        (lambda: Sector(PermutationGroup(np.arange(3)[None]), irrep="A1"), "one of 1a"),
        (lambda: Sector("D6"), "group that permutes sites"),
        (lambda: Sector(CHAIN6).on(Spin(5)), "another number of sites"),
        (lambda: Sector(CHAIN6).kramers(), "no time reversal"),
        (lambda: Sector(CHAIN6, internal=TimeReversal()).kramers(SpinfulFermion(6)), "does not fit"),
        (lambda: Sector(CHAIN6).rotated((1, -1)), "a sign for each site"),
        (lambda: Sector(CHAIN6).sector_dimension(particles=7, fermionic=True), "numbers of particles"),
        (lambda: Sector(CHAIN6, internal=SpinFlip()).sector_dimension(1), "changes a total"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(SymmetryError, match=message):
        call()
