"""Random vectors at finite temperature against full diagonalisation, in units of their own error."""

import sys

import jax
import numpy as np
import pytest

import symmetries
from qml._core.errors import ConvergenceError, DataError, ShapeError, SpaceError, SymmetryError
from qml.exact import SectorBasis, finite_temperature, thermal_state
from qml.hilbert import Boson, Spin
from qml.lattice import Chain, Square
from qml.operator import XXZ, BoseHubbard, Heisenberg, Ising, PauliSum, total
from tests.helpers.zscore import assert_z, assert_z_uniform
from tests.qml.exact.reference import hamiltonian, problems


def against_spectrum(operator, betas, observables, key, **settings):
    found = finite_temperature(operator, betas, observables, key=jax.random.key(key), **settings)
    states = [thermal_state(operator, beta) for beta in betas]
    for name in ("log_partition", "energy", "specific_heat", "entropy"):
        assert_z(getattr(found, name), [float(getattr(s, name)) for s in states])
    for name, observable in observables.items():
        assert_z(found.observables[name], [float(s.expect(observable)) for s in states])
    return found, states


def test_reference():
    """The Ising chain with 10 sites at five temperatures."""
    reference = problems()["thermal_tfim_chain_L10"]["reference"]["beta"]
    operator = hamiltonian("thermal_tfim_chain_L10")
    x = total(operator.hilbert, "X") / 10
    found = finite_temperature(operator, [float(b) for b in reference], {"x": x}, key=jax.random.key(1), vectors=24)
    expected = {name: np.array([r[name] for r in reference.values()]) for name in next(iter(reference.values()))}
    assert_z(found.energy, expected["energy"])
    assert_z(found.free_energy, expected["free_energy"])
    assert_z(found.entropy, expected["entropy"])
    assert_z(found.specific_heat, expected["specific_heat"])
    assert_z(found.observables["x"], expected["sx"])  # does not commute with the Hamiltonian
    assert np.all(np.asarray(found.energy.error) < 0.03 * np.abs(expected["energy"]))
    assert np.all(np.asarray(found.truncation) < 1e-10)


@pytest.mark.slow
def test_fixed_magnetisation():
    """A canonical ensemble, on the space of the operator and on one that is asked for."""
    space = Spin(10, magnetisation=1)
    operator = XXZ(space, Chain(10), j=1.0, delta=0.6)
    correlator = PauliSum({"ZIIZIIIIII": 1.0}).on(space)
    betas = [0.0, 0.4, 2.0, 10.0]
    found, states = against_spectrum(operator, betas, {"zz": correlator}, 2, vectors=30)
    np.testing.assert_allclose(found.log_partition.mean[0], np.log(space.size), atol=1e-12)
    assert float(found.log_partition.error[0]) < 1e-12
    full = XXZ(Spin(10), Chain(10), j=1.0, delta=0.6)
    again = finite_temperature(full, betas, {"m": total(Spin(10), "Z")}, key=jax.random.key(3), hilbert=space)
    assert_z(again.energy, [float(s.energy) for s in states])
    np.testing.assert_allclose(again.observables["m"].mean, 2.0, atol=1e-10)


@pytest.mark.slow
def test_complex_and_small():
    """A Hamiltonian with complex elements, and fewer states than steps."""
    twisted = Heisenberg(Spin(7), Chain(7)) + 0.7 * PauliSum({"XYIIIII": 1.0, "YIIIIII": 0.3})
    against_spectrum(twisted, [0.3, 3.0], {"y": PauliSum({"YIIIIII": 1.0})}, 4, vectors=20)
    small, states = against_spectrum(PauliSum({"ZZ": 1.0, "XI": 0.4}), [1.0, 80.0], {}, 6, vectors=10)
    np.testing.assert_allclose(small.energy.mean[1], states[1].energy, atol=1e-9)


@pytest.mark.slow
def test_bosons():
    """Bosons with a fixed number of particles."""
    space = Boson(5, n_max=3, n_particles=4)
    against_spectrum(BoseHubbard(space, Chain(5), u=3.0), [0.5, 2.0], {}, 5, vectors=40)


def test_error_bars():
    """Runs with different keys scatter as their errors say; the same key gives the same numbers."""
    operator = Ising(Spin(6), Chain(6), j=-1.0, h=1.0)
    exact = thermal_state(operator, 0.7)
    runs = [finite_temperature(operator, [0.7], key=jax.random.key(k), vectors=16) for k in range(40)]
    for name in ("energy", "log_partition"):
        means = [float(getattr(r, name).mean[0]) for r in runs]
        errors = [float(getattr(r, name).error[0]) for r in runs]
        assert_z_uniform(means, errors, float(getattr(exact, name)))
    again = finite_temperature(operator, [0.7], key=jax.random.key(0), vectors=16)
    assert float(again.energy.mean[0]) == float(runs[0].energy.mean[0])


def correlator(space, lattice):
    n = lattice.n_sites
    return PauliSum.from_terms([("ZZ", edge, 1 / n) for edge in lattice.edges()], space)


@pytest.mark.slow
def test_sectors_add_up():
    """Every sector of a square cluster, irreps of two dimensions among them: one by one and all together."""
    lattice, space, betas = Square(3, 3), Spin(9, magnetisation=0.5), np.array([0.0, 0.5, 3.0])
    operator = Heisenberg(space, lattice)
    found = list(symmetries.sectors(symmetries.space_group(lattice)))
    settings = {"observables": {"zz": correlator(space, lattice)}, "vectors": 2}
    whole = [thermal_state(operator, float(beta)) for beta in betas]
    together = finite_temperature(operator, betas, key=jax.random.key(0), sector=found, **settings)
    partition, energy = np.zeros(3), np.zeros(3)
    for sector in found:
        basis = SectorBasis(space, sector)
        if basis.size:
            one = finite_temperature(operator, betas, key=jax.random.key(1), sector=basis, **settings)
            copies = len(sector.star) * sector.dimension
            partition += copies * np.exp(one.log_partition.mean)
            energy += copies * np.exp(one.log_partition.mean) * one.energy.mean
    assert max(sector.dimension for sector in found) == 2
    for values in (np.log(partition), np.asarray(together.log_partition.mean)):
        np.testing.assert_allclose(values, [float(s.log_partition) for s in whole], atol=1e-11)
    for values in (energy / partition, np.asarray(together.energy.mean)):
        np.testing.assert_allclose(values, [float(s.energy) for s in whole], atol=1e-11)
    np.testing.assert_allclose(together.specific_heat.mean, [float(s.specific_heat) for s in whole], atol=1e-10)
    exact = [float(s.expect(settings["observables"]["zz"])) for s in whole]
    np.testing.assert_allclose(together.observables["zz"].mean, exact, atol=1e-11)
    assert np.all(np.asarray(together.energy.error) < 1e-11)


@pytest.mark.slow
def test_random_vectors_in_sectors(monkeypatch):
    """The same with random vectors, in momentum sectors of a chain, against the whole spectrum of each and of all."""
    monkeypatch.setattr(sys.modules["qml.exact.finite_temperature"], "_DENSE", 0)
    lattice, space, betas = Chain(5), Spin(5), [0.3, 4.0]
    operator, group = Ising(space, lattice, j=-1.0, h=0.8), symmetries.translation_group(lattice)
    arms = [symmetries.Sector(group, k) for k in range(5)]
    observables = {"zz": correlator(space, lattice)}
    found = finite_temperature(operator, betas, observables, key=jax.random.key(1), sector=arms, vectors=30)
    whole = [thermal_state(operator, beta) for beta in betas]
    for name in ("log_partition", "energy", "specific_heat", "entropy"):
        assert_z(getattr(found, name), [float(getattr(s, name)) for s in whole])
    assert_z(found.observables["zz"], [float(s.expect(observables["zz"])) for s in whole])
    assert np.all(np.asarray(found.energy.error) > 1e-6)
    one = finite_temperature(operator, betas, key=jax.random.key(2), sector=arms[2], vectors=30)
    monkeypatch.undo()
    assert_z(one.energy, finite_temperature(operator, betas, key=jax.random.key(2), sector=arms[2]).energy.mean)


def test_bad_sectors():
    """An observable without the symmetry, a sector without states, no sectors."""
    lattice, space = Chain(4), Spin(4, magnetisation=2)
    operator, group = Heisenberg(space, lattice), symmetries.translation_group(lattice)
    with pytest.raises(SymmetryError, match="Z0"):
        local = {"z": PauliSum({"ZIII": 1.0}, Spin(4))}
        field, sector = Ising(Spin(4), lattice), symmetries.Sector(group)
        finite_temperature(field, [1.0], local, key=jax.random.key(0), sector=sector)
    for sector in (symmetries.Sector(group, 1), []):
        with pytest.raises(SpaceError, match="no states"):
            finite_temperature(operator, [1.0], key=jax.random.key(0), sector=sector)


def test_bad_input():
    """Temperatures, numbers of vectors and steps, observables of other spaces, too few steps."""
    operator, key = Ising(Spin(8), Chain(8), j=-1.0, h=1.0), jax.random.key
    for betas in ([-1.0], 1.0, [], [np.inf], [np.nan]):
        with pytest.raises(ShapeError):
            finite_temperature(operator, betas, key=key(0))
    for settings in ({"vectors": 1}, {"steps": 0}):
        with pytest.raises(ShapeError):
            finite_temperature(operator, [1.0], key=key(1), **settings)
    with pytest.raises(ConvergenceError):
        finite_temperature(operator, [40.0], key=key(2), steps=8)
    with pytest.raises(SpaceError):
        finite_temperature(operator, [1.0], {"z": PauliSum({"Z": 1.0})}, key=key(3))
    with pytest.raises(SpaceError):
        finite_temperature(operator, [1.0], {"z": PauliSum({"ZIIIIIII": 1j})}, key=key(4))
    with pytest.raises(DataError):
        finite_temperature(operator, [1.0], {"z": 1.0}, key=key(5))  # type: ignore[dict-item]
