"""Spectral functions against full diagonalisation, exact time evolution and sum rules."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symmetries
from qml._core.errors import ConvergenceError, GradketError, ShapeError, SpaceError, SymmetryError
from qml.exact import EigenResult, SectorBasis, between, ground_state, spectral_function, spectrum, transitions
from qml.exact.transitions import product
from qml.hilbert import Boson, Spin, SpinlessFermion
from qml.lattice import Chain
from qml.operator import J1J2, Heisenberg, Ising, PauliSum, annihilate, create, tV
from tests.qml.exact.reference import FILE, hamiltonian

streamed = between._streamed
NAME = "spectral_tfim_chain_L12_h1.5"
OMEGA = np.linspace(-1.0, 7.0, 33)


def lehmann(operator, moved, probe, omega, eta):
    """The spectral function by full diagonalisation of the whole space of all configurations."""
    energies, vectors = np.linalg.eigh(operator)
    levels, states = np.linalg.eigh(moved)
    weights = np.abs(states.conj().T @ probe @ vectors[:, 0]) ** 2
    gaps = levels - energies[0]
    return (weights[None, :] * eta / np.pi / ((omega[:, None] - gaps[None, :]) ** 2 + eta**2)).sum(axis=1)


@functools.cache
def reference():
    numbers = json.loads((FILE.parent / "spectra_open_systems.json").read_text())["problems"][NAME]["reference"]
    return numbers, hamiltonian(NAME)


@pytest.mark.slow
def test_reference_correlations():
    """C(0, t) and C(r, t) of the Ising chain with 12 sites: the time signal of the spectral function."""
    expected, operator = reference()
    ground = ground_state(operator)
    np.testing.assert_allclose(ground.energies[0], expected["E0"], atol=1e-9)
    signal = np.asarray(expected["C_re"]) + 1j * np.asarray(expected["C_im"])  # [times, distances]
    local = spectral_function(operator, PauliSum({"Z" + "I" * 11: 1.0}), ground, steps=60)
    np.testing.assert_allclose(local.correlation(expected["t"]), signal[:, 0], atol=1e-9)
    np.testing.assert_allclose(local.total, 1.0, atol=1e-12)
    np.testing.assert_allclose(local.moment(1), expected["fsum_rule"]["value"], atol=1e-9)
    # Z_q = sum_r cos(q r) Z_r / sqrt(12): S(q, t) = sum_r cos(q r) C(r, t) for q = 0 and pi
    for sign in (1, -1):
        terms = {"I" * r + "Z" + "I" * (11 - r): sign**r / np.sqrt(12) for r in range(12)}
        found = spectral_function(operator, PauliSum(terms), ground, steps=60)
        both = signal[:, 0] + sign**6 * signal[:, 6] + 2 * sum(sign**r * signal[:, r] for r in range(1, 6))
        np.testing.assert_allclose(found.correlation(expected["t"]), both, atol=1e-9)
        strongest = found.poles[np.argmax(found.weights)]
        # one magnon: 2 (h - J) and 2 (h + J), up to the energy between the even and the odd vacuum
        np.testing.assert_allclose(strongest, 2 * (1.5 - sign), atol=5e-3)


@pytest.mark.slow
def test_error_bound():
    """The distance from full diagonalisation stays below the bound, which falls with the steps to rounding."""
    operator = Ising(Spin(7), Chain(7), j=-1.0, h=0.8)
    probe = PauliSum({"ZIIIIII": 1.0, "IXIIIII": 0.4, "YIIIIII": -0.3})
    matrix = np.asarray(operator.to_dense())
    exact = lehmann(matrix, matrix, np.asarray(probe.to_dense()), OMEGA, 0.2)
    last = np.inf
    for steps in (4, 12, 30, 128):
        found = spectral_function(operator, probe, omega=OMEGA, broadening=0.2, steps=steps)
        assert np.all(np.abs(found.values - exact) <= found.error + 1e-12)
        assert np.max(found.error) < last
        last = float(np.max(found.error))
    assert last < 1e-12
    np.testing.assert_allclose(found.values, exact, atol=1e-12)
    vector = np.asarray(ground_state(operator).vectors[0])
    shifted = matrix - float(found.ground_energy) * np.eye(128)
    image = np.asarray(probe.to_dense()) @ vector
    for order in range(4):
        expected = np.vdot(image, np.linalg.matrix_power(shifted, order) @ image).real
        np.testing.assert_allclose(found.moment(order), expected, atol=1e-10)


@pytest.mark.slow
def test_other_magnetisation():
    """S^+ from magnetisation 0 to 1, S^- as its hole part, against the space of all configurations."""
    n = 6
    operator = Heisenberg(Spin(n, magnetisation=0), Chain(n))
    everything = Heisenberg(Spin(n), Chain(n))
    raising = PauliSum({"X" + "I" * (n - 1): 0.5, "Y" + "I" * (n - 1): 0.5j})
    settings = {"omega": OMEGA, "broadening": 0.1}
    matrix, probe = np.asarray(everything.to_dense()), np.asarray(raising.to_dense())
    exact = lehmann(matrix, matrix, probe, OMEGA, 0.1)
    for target in (Spin(n, magnetisation=1), None):
        found = spectral_function(operator, raising, target=target, **settings)
        np.testing.assert_allclose(found.values, exact, atol=1e-11)
    np.testing.assert_allclose(found.total, 0.5, atol=1e-12)
    # the ground state is a singlet: both transverse parts are equal
    hole = spectral_function(operator, raising, target=Spin(n, magnetisation=-1), hole=True, **settings)
    np.testing.assert_allclose(hole.values, lehmann(matrix, matrix, probe.conj().T, -OMEGA, 0.1), atol=1e-11)
    with pytest.raises(SpaceError):
        spectral_function(operator, raising, target=Spin(n, magnetisation=-1), **settings)


@pytest.mark.slow
@pytest.mark.parametrize("hole", [pytest.param(False, marks=pytest.mark.slow), True])
def test_fermions(hole):
    """Adding and removing a fermion next to others: signs of the modes count; both parts sum to one."""
    space = SpinlessFermion(6, n_fermions=3)
    lattice = Chain(6, periodic=False)
    operator, everything = (tV(s, lattice, t=1.0, v=1.3) for s in (space, SpinlessFermion(6)))
    adding = create(SpinlessFermion(6), 2) + 0.5 * create(SpinlessFermion(6), 4)
    ground = ground_state(operator)
    target = SpinlessFermion(6, n_fermions=2 if hole else 4)
    found = spectral_function(operator, adding, ground, omega=OMEGA, broadening=0.3, hole=hole, target=target)
    index = np.asarray(SpinlessFermion(6).states_to_indices(space.all_states()))
    vector = np.zeros(64)
    vector[index] = ground.vectors[0]
    probe = np.asarray(adding.to_dense())
    image = (probe.conj().T if hole else probe) @ vector
    levels, states = np.linalg.eigh(np.asarray(everything.to_dense()))
    poles = (levels - float(ground.energies[0])) * (-1 if hole else 1)
    weights = np.abs(states.conj().T @ image) ** 2
    exact = (weights[None, :] * 0.3 / np.pi / ((OMEGA[:, None] - poles[None, :]) ** 2 + 0.09)).sum(axis=1)
    np.testing.assert_allclose(found.values, exact, atol=1e-11)
    other = spectral_function(operator, adding, ground, hole=not hole, target=SpinlessFermion(6, 4 if hole else 2))
    np.testing.assert_allclose(found.total + other.total, 1.25, atol=1e-11)


def averaged(matrix, probe, vectors, omega, eta):
    """The mean over some orthonormal columns, which are eigenvectors of one level, by full diagonalisation."""
    levels, states = np.linalg.eigh(matrix)
    energy = np.vdot(vectors[:, 0], matrix @ vectors[:, 0]).real
    weights = np.mean(np.abs(states.conj().T @ probe @ vectors) ** 2, axis=1)
    return (weights[None, :] * eta / np.pi / ((omega[:, None] - (levels - energy)[None, :]) ** 2 + eta**2)).sum(axis=1)


@pytest.mark.slow
def test_structure_factor_between_momenta():
    """S^z_q takes the ground state to momentum q: the answer of the sector is that of the space; others refuse."""
    lattice, space = Chain(8), Spin(8, magnetisation=0)
    operator, settings = Heisenberg(space, lattice), {"omega": OMEGA, "broadening": 0.1}
    group, shifts = symmetries.space_group(lattice), symmetries.translation_group(lattice)
    for momentum in (1, 4):
        wave = {"I" * r + "Z" + "I" * (7 - r): np.exp(2j * np.pi * momentum * r / 8) / 2 for r in range(8)}
        moved = PauliSum(wave)
        whole = spectral_function(operator, moved, **settings)
        arms = symmetries.Sector(shifts, momentum), symmetries.Sector(shifts, -momentum % 8)
        kept = [arm for arm in arms if _holds(operator, moved, symmetries.Sector(shifts), arm)]
        assert len(kept) == (1 if momentum == 1 else 2)  # q and -q are the same at the edge of the zone
        found = spectral_function(operator, moved, sector=symmetries.Sector(shifts), target=kept[0], **settings)
        np.testing.assert_allclose(found.values, whole.values, atol=1e-11)
        np.testing.assert_allclose(found.total, whole.total, atol=1e-12)
        little = symmetries.Sector(group, kept[0].momentum)  # with the mirrors, from the fully symmetric sector
        inside = spectral_function(operator, moved, sector=symmetries.Sector(group), target=little, **settings)
        np.testing.assert_allclose(inside.values, whole.values, atol=1e-11)
    with pytest.raises(SpaceError, match="share of 0 in"):
        spectral_function(operator, moved, sector=symmetries.Sector(shifts))


def _holds(operator, moved, sector, target, hole=False):
    try:
        spectral_function(operator, moved, sector=sector, target=target, hole=hole)
    except SpaceError:
        return False
    return True


def test_all_targets_and_irreps_of_two_dimensions():
    """A local operator in a level of an irrep of two dimensions: both rows, and all sectors that it leads to."""
    lattice, space = Chain(6), Spin(6, magnetisation=1)
    operator, probe = Heisenberg(space, lattice), PauliSum.from_terms([("Z", (0,), 0.5), ("Z", (2,), 0.3)], Spin(6))
    group = symmetries.PermutationGroup(symmetries.space_group(lattice).permutations)  # the dihedral group, as a whole
    targets = list(symmetries.sectors(group))
    assert sorted(target.dimension for target in targets) == [1, 1, 1, 1, 2, 2]
    source = next(target for target in targets if target.dimension == 2)
    found = spectral_function(operator, probe, sector=source, target=targets, omega=OMEGA, broadening=0.2)
    matrix, basis = np.asarray(operator.to_dense()), SectorBasis(space, source)
    first = np.asarray(basis.to_full(ground_state(operator, sector=basis).vectors[0]))
    vectors = np.linalg.svd(np.stack(all_images(source, space, first)))[2][:2].conj().T  # all that the group makes
    index = np.asarray(Spin(6).states_to_indices(space.all_states()))
    moved = np.asarray(probe.to_dense())[np.ix_(index, index)]
    np.testing.assert_allclose(found.values, averaged(matrix, moved, vectors, OMEGA, 0.2), atol=1e-10)
    assert float(found.error.max()) < 1e-8
    for wrong in (targets[1:], [*targets, *targets]):
        with pytest.raises(SpaceError, match="leads out of the target sectors"):
            spectral_function(operator, probe, sector=source, target=wrong)


def all_images(sector, space, vector):
    action, digits = sector.on(space), sector.on(space).digits(np.asarray(space.all_states()))
    images = []
    for g in range(action.order):
        image = np.zeros(len(digits), complex)
        image[action.targets(g, digits)] = action.factors(g, digits) * vector
        images.append(image)
    return images


@pytest.mark.slow
def test_degenerate_ground_states_are_averaged():
    """Majumdar and Ghosh: two ground states. A result without a higher level is completed, one vector taken as is."""
    operator = J1J2(Spin(6, magnetisation=0), Chain(6), j1=1.0, j2=0.5)
    probe, settings = PauliSum({"ZIIIII": 1.0}), {"omega": OMEGA, "broadening": 0.2}
    matrix = np.asarray(operator.to_dense())
    levels, states = np.linalg.eigh(matrix)
    assert levels[1] - levels[0] < 1e-12 < levels[2] - levels[1]
    index = np.asarray(Spin(6).states_to_indices(operator.hilbert.all_states()))
    dense = np.asarray(probe.to_dense())[np.ix_(index, index)]
    exact = averaged(matrix, dense, states[:, :2], OMEGA, 0.2)
    whole = ground_state(operator, k=3)
    one = EigenResult(whole.energies[:1], whole.vectors[:1], whole.residuals[:1])
    for ground in (None, whole, one):
        found = spectral_function(operator, probe, ground, **settings)
        np.testing.assert_allclose(found.values, exact, atol=1e-11)
        np.testing.assert_allclose(found.total, 1.0, atol=1e-12)
    alone = spectral_function(operator, probe, states[:, 0], **settings)
    np.testing.assert_allclose(alone.values, averaged(matrix, dense, states[:, :1], OMEGA, 0.2), atol=1e-11)
    with pytest.raises(SpaceError, match="too degenerate"):
        spectral_function(0.0 * Ising(Spin(7), Chain(7)), PauliSum({"ZIIIIII": 1.0}))


@pytest.mark.slow
@pytest.mark.parametrize("hole", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_fermion_with_a_momentum(hole):
    """Adding and removing a fermion with a momentum, between sectors of spaces with other numbers."""
    lattice, space = Chain(6), SpinlessFermion(6, n_fermions=3)
    operator, everything = tV(space, lattice, t=1.0, v=1.3), SpinlessFermion(6)
    group = symmetries.translation_group(lattice)
    waves = [create(everything, r) * np.exp(2j * np.pi * r / 6) for r in range(6)]
    adding = functools.reduce(lambda a, b: a + b, waves) * 6**-0.5
    goal = SpinlessFermion(6, n_fermions=2 if hole else 4)
    settings = {"omega": OMEGA, "broadening": 0.3, "hole": hole}
    whole = spectral_function(operator, adding, target=goal, **settings)
    bases = [SectorBasis(goal, symmetries.Sector(group, k)) for k in range(6)]
    found = spectral_function(operator, adding, sector=symmetries.Sector(group), target=bases, **settings)
    np.testing.assert_allclose(found.values, whole.values, atol=1e-11)
    assert float(whole.total) > 0.01
    assert [_holds(operator, adding, symmetries.Sector(group), bases[k], hole) for k in (1, 5)] == [not hole, hole]


@pytest.mark.parametrize("kind", ["spins", "fermions"])
def test_first_configurations_of_orbits_say_all(kind, monkeypatch):
    """Products by one configuration of each orbit, by all configurations, and in the whole space."""
    lattice, source = Chain(6), SpinlessFermion(6, n_fermions=3) if kind == "fermions" else Spin(6, magnetisation=1)
    everything = SpinlessFermion(6) if kind == "fermions" else Spin(6)
    goal = SpinlessFermion(6, n_fermions=4) if kind == "fermions" else Spin(6, magnetisation=0)
    letters = {"X": 0.5, "Y": -0.5j}
    lowering = [PauliSum({"I" * r + a + "I" * (5 - r): c for a, c in letters.items()}) for r in range(6)]
    sites = [create(everything, r) for r in range(6)] if kind == "fermions" else lowering
    moved = functools.reduce(lambda a, b: a + b, [o * np.exp(2j * np.pi * r / 6) for r, o in enumerate(sites)])
    group = symmetries.translation_group(lattice)
    start = SectorBasis(source, symmetries.Sector(group, 2))
    targets = [SectorBasis(goal, symmetries.Sector(group, k)) for k in range(6)]
    vector = np.random.default_rng(3).normal(size=start.size) + 0j
    whole = product(moved, start.to_full(vector), source, goal)
    looked = []
    monkeypatch.setattr(between, "_streamed", lambda *a: (looked.append(1), streamed(*a))[1])
    for keeps in (between._keeps, lambda *_: None):
        monkeypatch.setattr(between, "_keeps", keeps)
        found = between.images(moved, start, [jnp.asarray(vector)], targets)[0]
        for rows, target in zip(found, targets):
            np.testing.assert_allclose(rows[0], target.project(whole), atol=1e-13)
    assert looked == [1] and max(float(np.linalg.norm(rows[0])) for rows in found) > 0.1


def test_leaks_are_found_in_pieces(monkeypatch):
    """The largest element that leads out of a target, looked for in batches of eight of twenty states."""
    monkeypatch.setattr(transitions, "_CHUNK", 8)
    raising = PauliSum.from_terms([("X", (5,), 0.5), ("Y", (5,), 0.5j)], Spin(6))
    for magnetisation, lost in ((1, 0.0), (-1, 1.0)):
        target = Spin(6, magnetisation=magnetisation)
        assert float(transitions._outside.__wrapped__(raising, Spin(6, magnetisation=0), target)) == lost


def test_without_a_basis(monkeypatch):
    """Where the Lanczos vectors are not kept, poles come twice and share their weight: the values stay."""
    operator, probe = Ising(Spin(6), Chain(6), j=-1.0, h=0.8), PauliSum({"ZIIIII": 1.0})
    kept = spectral_function(operator, probe, omega=OMEGA, broadening=0.1)
    monkeypatch.setattr("qml.exact.spectral._KEPT_BYTES", 0)
    again = spectral_function(operator, probe, omega=OMEGA, broadening=0.1)
    np.testing.assert_allclose(again.values, kept.values, atol=1e-9)
    np.testing.assert_allclose(again.total, kept.total, atol=1e-12)


@pytest.mark.slow
def test_differentiable():
    """Values at other frequencies work under jit and have derivatives."""
    found = spectral_function(Ising(Spin(4), Chain(4), j=-1.0, h=0.7), PauliSum({"ZIII": 1.0}))
    value = jax.jit(lambda w: found.at(w, jnp.asarray(0.2))[0])
    slope = jax.grad(value)(1.1)
    np.testing.assert_allclose(slope, (value(1.1 + 1e-5) - value(1.1 - 1e-5)) / 2e-5, rtol=1e-6)
    grid = np.linspace(-2000, 2000, 20001)
    np.testing.assert_allclose(np.trapezoid(found.at(grid, np.full(20001, 0.5))[0], grid), found.total, rtol=1e-3)
    nothing = spectral_function(PauliSum({"Z": 1.0}), PauliSum({"X": 0.0}), omega=[0.0])
    assert float(nothing.total) == 0 == float(nothing.values[0])


def test_bad_input():
    """Another space, a vector that is no eigenstate, no broadening, no steps."""
    operator, probe = Ising(Spin(3), Chain(3), j=-1.0, h=0.7), PauliSum({"ZII": 1.0})
    bad: list[tuple[type[GradketError], dict]] = [
        (ShapeError, {"broadening": 0.0}),
        (ShapeError, {"omega": 1.0}),
        (ShapeError, {"omega": [np.nan]}),
        (ShapeError, {"steps": 0}),
        (ShapeError, {"ground": np.ones(3)}),
        (ConvergenceError, {"ground": np.eye(8)[0]}),
        (SpaceError, {"target": Boson(3, n_max=1)}),
    ]
    for error, settings in bad:
        with pytest.raises(error):
            spectral_function(operator, probe, **settings)
    with pytest.raises(SpaceError):
        spectral_function(operator, PauliSum({"Z": 1.0}))
    balanced = [Heisenberg(Spin(4, magnetisation=m), Chain(4)) for m in (0, 1)]
    with pytest.raises(SpaceError):
        spectral_function(*balanced)
    with pytest.raises(SpaceError):
        spectral_function(PauliSum({"X": 1j}), PauliSum({"Z": 1.0}))
    group = symmetries.translation_group(Chain(3))
    with pytest.raises(SymmetryError, match="Z0"):
        spectral_function(operator + probe, probe, sector=symmetries.Sector(group))
    with pytest.raises(SpaceError, match="no sectors"):
        spectral_function(operator, probe, target=[])
    with pytest.raises(SpaceError, match="no states"):
        polarised = Heisenberg(Spin(3, magnetisation=1.5), Chain(3))
        spectral_function(polarised, polarised, sector=symmetries.Sector(group, 1))
    with pytest.raises(SpaceError):
        spectral_function(operator, annihilate(SpinlessFermion(3), 0))
    assert float(spectrum(operator).energies[0]) < 0
