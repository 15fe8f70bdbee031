"""Group elements as maps of configurations: fermions against Jordan-Wigner matrices, the law on the full space."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symmetries
from qml.lattice import Chain
from symmetries import Internal, ParticleHole, PermutationGroup, Sector, SpinFlip, SymmetryError, TimeReversal
from symmetries.action import as_action, product
from symmetries.elements import group_maps, internal_maps
from symmetries.modes import Space

FEW = settings(max_examples=15, deadline=None, derandomize=True)


def occupations(n, top=1):
    return np.array(list(itertools.product(range(top + 1), repeat=n)), np.int8)


def creators(n):
    """Jordan-Wigner matrices of c_m^+, basis index = sum n_m 2^(n-1-m), |x> = prod (c_m^+)^x_m |0>."""
    z, up, one = np.diag([1.0, -1.0]), np.array([[0.0, 0.0], [1.0, 0.0]]), np.eye(2)
    result = []
    for m in range(n):
        matrix = np.eye(1)
        for k in range(n):
            matrix = np.kron(matrix, z if k < m else up if k == m else one)
        result.append(matrix)
    return result


def matrices(action, states):
    return [action.matrix(g, states) for g in range(action.order)]


def check_law(sector, action, states):
    found = matrices(action, states)
    table = sector.group.product_table
    for g, h in itertools.product(range(action.order), repeat=2):
        np.testing.assert_allclose(found[g] @ found[h], found[table[g, h]], atol=1e-12)


@given(seed=st.integers(0, 2**16), components=st.sampled_from([1, 2]))
@FEW
def test_fermions_by_conjugation(seed, components):
    """g c_m^+ g^-1 is what the permutation, the phase and the reversal say; the empty state gets its constant."""
    random = np.random.default_rng(seed)
    sites = int(random.integers(2, 4))
    group = PermutationGroup.from_generators(random.permutation(sites)[None])
    kind = random.integers(3)
    signs = random.choice([-1, 1], sites) if kind == 2 else np.full(sites, random.choice([-1, 1]))
    one = ParticleHole(1, signs=signs) if kind else Internal("turn", 1, phases=np.exp(2j * np.pi / 3), order=3)
    internal = (one, SpinFlip(1)) if components == 2 and random.random() < 0.5 else (one,)
    sector = Sector(group, internal=internal)
    space = Space(components, True, (0, 1), ())
    maps = group_maps(sector, sector.elements, space)
    n = sites * components
    states, made = occupations(n), creators(n)
    found = matrices(as_action(maps, True, (0, 1)), states)
    for g, matrix in enumerate(found):
        np.testing.assert_allclose(matrix @ matrix.conj().T, np.eye(2**n), atol=1e-12)
        for m in range(n):
            image = made[maps.permutations[g, m]]
            wanted = maps.phases[g, m] * (image.T if maps.reversed[g] else image)
            np.testing.assert_allclose(matrix @ made[m] @ matrix.conj().T, wanted, atol=1e-12)
        assert abs(matrix[-1 if maps.reversed[g] else 0, 0] - maps.constants[g]) < 1e-12
    for g, h in itertools.product(range(len(found)), repeat=2):  # products are those of the matrices
        both = product(maps.take([g]), maps.take([h]), 1, True)
        np.testing.assert_allclose(as_action(both, True, (0, 1)).matrix(0, states), found[g] @ found[h], atol=1e-12)


@pytest.mark.parametrize("components", [1, 2])
@pytest.mark.parametrize("twist", [0.0, np.pi, 0.7])
def test_law_on_the_full_space(components, twist):
    """Translations and inversions with twists, of fermions, bosons and spins."""
    lattice = Chain(3, twist=twist)
    group = symmetries.space_group(lattice)
    internal = (SpinFlip(-1),) if components == 2 else ()
    for momentum in range(3):
        sector = Sector(group, momentum, internal=internal)
        for fermionic in (False, True):
            action = sector.action(components, fermionic, (0, 1))
            check_law(sector, action, occupations(3 * components))
    if components == 1:
        sector = Sector(group)
        check_law(sector, sector.action(local_states=(2, 0, -2)), 2 - 2 * occupations(3, 2))
        check_law(sector, sector.action(local_states=(0, 1, 2)), occupations(3, 2))


@given(seed=st.integers(0, 2**16))
@FEW
def test_law_is_kept_or_refused(seed):
    """Whatever is asked for, on full and on constrained spaces: a representation or an error, never another thing."""
    random = np.random.default_rng(seed)
    sites, components = int(random.integers(2, 5)), int(random.integers(1, 3))
    sites = min(sites, 3) if components == 2 else sites
    shift = np.roll(np.arange(sites), 1)
    group = PermutationGroup.from_generators(np.stack([shift, np.arange(sites)[::-1]])[: random.integers(1, 3)])
    signs = [None, (-1) ** np.arange(sites), random.choice([-1, 1], sites)][random.integers(3)]
    choices = (
        ParticleHole(1, signs=signs),
        SpinFlip(1),
        Internal("p", 1, phases=-1),
        Internal("e", 1, exchange=True, phases=signs),
    )
    internal = (
        choices[:1] if components == 1 else random.permutation(np.array(choices, object))[: random.integers(1, 3)]
    )
    sector = Sector(group, internal=tuple(internal))
    states, n = occupations(sites * components), sites * components
    totals = ()
    if random.random() < 0.5 and n % 2 == 0:
        totals = ((tuple(range(n)), n // 2),)
        states = states[states.sum(axis=1) == n // 2]
    space = Space(components, True, (0, 1), totals)
    free = as_action(group_maps(sector, sector.elements, space), True, (0, 1))
    found, table = matrices(free, states), sector.group.product_table
    holds = all(
        np.allclose(found[g] @ found[h], found[table[g, h]]) for g in range(len(found)) for h in range(len(found))
    )
    if holds:
        check_law(sector, sector.action(components, True, totals=totals), states)
    else:
        with pytest.raises(SymmetryError, match="no representation"):
            sector.action(components, True, totals=totals)


def test_particle_hole_at_half_filling():
    """T P = -P T on four sites half filled, T P = P T on six: known from T P T^-1 = sgn(T) (-1)^N P."""
    for sites, right in ((4, False), (6, True)):
        group = symmetries.translation_group(Chain(sites))
        sector = Sector(group, internal=ParticleHole(1, signs=(-1) ** np.arange(sites)))
        totals = ((tuple(range(sites)), sites // 2),)
        with pytest.raises(SymmetryError, match="no representation"):
            sector.action(fermionic=True)
        if right:
            states = occupations(sites)
            check_law(sector, sector.action(fermionic=True, totals=totals), states[states.sum(axis=1) == sites // 2])
        else:
            with pytest.raises(SymmetryError, match="no representation"):
                sector.action(fermionic=True, totals=totals)


def test_spin_flip_of_fermions():
    """The exchange of the spins in |100;010> gives the sign of two fermions that change places."""
    sector = Sector(PermutationGroup(np.arange(3)[None]), internal=SpinFlip(1))
    moved, factors = sector.action(components=2, fermionic=True).apply(np.array([1, 0, 0, 0, 1, 0]))
    assert moved[1].tolist() == [0, 1, 0, 1, 0, 0] and factors.tolist() == [1, -1]


def test_time_reversal_squares():
    """T^2 = (-1)^(2 s n) of spins, (-1)^N of fermions with spin; T is Theta K with Theta S* = -S Theta."""
    for s2, sites in ((1, 2), (1, 3), (2, 3)):
        space = Space(1, False, tuple(range(s2, -s2 - 1, -2)), ())
        maps = internal_maps(TimeReversal(), sites, space)
        states = np.array(list(itertools.product(space.local_states, repeat=sites)))
        matrix = as_action(maps, False, space.local_states).matrix(0, states)
        np.testing.assert_allclose(matrix @ matrix.conj(), (-1) ** (s2 * sites) * np.eye(len(states)), atol=1e-12)
    space = Space(2, True, (0, 1), ())
    matrix = as_action(internal_maps(TimeReversal(), 2, space), True, (0, 1)).matrix(0, occupations(4))
    np.testing.assert_allclose(matrix @ matrix.conj(), np.diag((-1.0) ** occupations(4).sum(axis=1)), atol=1e-12)
    half = Space(1, False, (1, -1), ())
    theta = as_action(internal_maps(TimeReversal(), 1, half), False, (1, -1)).matrix(0, np.array([[1], [-1]]))
    for spin in (np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])):
        np.testing.assert_allclose(theta @ spin.conj(), -spin @ theta, atol=1e-14)


def test_bad_input():
    sector = Sector(symmetries.translation_group(Chain(3)))
    action = sector.action()
    with pytest.raises(SymmetryError, match="do not fit"):
        action.apply(np.ones(4))
    with pytest.raises(SymmetryError, match="no local state"):
        action.apply(np.zeros(3, int))
    with pytest.raises(SymmetryError, match="leads out"):
        action.matrix(1, np.array([[1, 1, -1]]))
    with pytest.raises(SymmetryError, match="has no spin"):
        Sector(symmetries.translation_group(Chain(3)), internal=SpinFlip(1)).action(fermionic=True)
    with pytest.raises(SymmetryError, match="changes a total"):
        flip = Sector(symmetries.translation_group(Chain(3)), internal=SpinFlip(1))
        flip.action(totals=(((0, 1, 2), 1),))
