"""Chains that are free fermions against dense diagonalisation, and against numbers of another code for long ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml._core.errors import ShapeError, SpaceError
from qml.exact import evolve, expect, free_fermions, ground_state
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Ising, PauliSum, total

# energies and <X> a site by momenta k = (2n+1) pi / L, computed once with NumPy
LONG = [
    (64, 1.0, -81.49551266892573, 0.6366836927259822),
    (128, 1.0, -162.97875241340762, 0.6366357516148734),
    (32, 0.5, -34.03342111916818, 0.25865790465194627),
    (64, 0.5, -68.06684223829535, 0.25865790461134164),
]


def chain(n, seed, periodic):
    """A chain with random fields along X and all four random couplings of Y and Z on each bond."""
    rng = np.random.default_rng(seed)
    bonds = [(j, (j + 1) % n) for j in range(n if periodic else n - 1)]
    terms = [("X", (j,), rng.normal()) for j in range(n)]
    terms += [(a + b, bond, rng.normal()) for bond in bonds for a in "YZ" for b in "YZ"]
    return PauliSum.from_terms([*terms, ("I", (0,), 0.3)], Spin(n))


@pytest.mark.parametrize(("n", "h", "energy", "x"), LONG)
def test_long_rings(n, h, energy, x):
    found = free_fermions(Ising(Spin(n), Chain(n), j=-1.0, h=h))
    assert abs(float(found.energy) - energy) < 1e-9
    assert abs(float(found.expect(total(Spin(n), "X"))) / n - x) < 1e-12


@pytest.mark.slow
def test_quench_of_a_long_ring():
    """From all spins along x, at h = 0.5, 1 and 2; times 0.5, 1 and 2."""
    known = {
        0.5: [0.3446307168726406, 0.2817340582981172, 0.5247591448780015],
        1.0: [0.48348916799411273, 0.5293295433567393, 0.5056498234788316],
        2.0: [0.8204335145745293, 0.8811897862195004, 0.8672512247555604],
    }
    start = free_fermions(-total(Spin(64), "X"))
    for h, expected in known.items():
        run = start.evolve(Ising(Spin(64), Chain(64), j=-1.0, h=h), [0.5, 1.0, 2.0])
        np.testing.assert_allclose(run.expect(total(Spin(64), "X")) / 64, expected, atol=1e-9)
        np.testing.assert_allclose(run.energy, -64 * h, atol=1e-9)


def test_random_chains_and_rings():
    """Energy, parity, averages, gap and motion against the whole space, of ground states of both parities."""
    parities = set()
    for seed in range(6):
        h, quench = chain(5, seed, periodic=seed % 2 == 1), chain(5, seed + 10, periodic=True)
        found = free_fermions(h)
        energies, vectors = np.linalg.eigh(np.asarray(h.to_dense()))
        ground = jnp.asarray(vectors[:, 0])
        assert abs(float(found.energy) - energies[0]) < 1e-12
        mean = (vectors[:, 0].conj() @ PauliSum({"XXXXX": 1.0}).to_dense() @ vectors[:, 0]).real
        assert abs(found.parity - mean) < 1e-12
        run = evolve(quench, ground, [0.4, 1.1])
        moved = found.evolve(quench, [0.4, 1.1])
        for probe in (h, quench):
            assert abs(float(found.expect(probe)) - float(expect(ground, probe).real)) < 1e-12
            np.testing.assert_allclose(moved.expect(probe), [expect(v, probe).real for v in run.vectors], atol=1e-9)
        parities.add(found.parity)
    assert parities == {1, -1}


def test_levels_and_modes_without_energy():
    """An open Ising chain without a field has two ground states; one site has one level."""
    found = free_fermions(Ising(Spin(4), Chain(4, periodic=False), j=-1.0, h=0.0))
    assert float(found.energy) == pytest.approx(-3) and found.parity == 1
    np.testing.assert_allclose(found.levels, [0, 2, 2, 2], atol=1e-12)
    assert float(ground_state(PauliSum({"X": -0.7})).energies[0]) == pytest.approx(
        float(free_fermions(PauliSum({"X": -0.7})).energy)
    )


def test_what_is_not_free_is_refused():
    space = Spin(4)
    for word in ("ZIII", "ZZZZ", "XXII", "ZIZI"):
        with pytest.raises(SpaceError, match="not quadratic"):
            free_fermions(PauliSum({word: 1.0}))
    with pytest.raises(SpaceError, match="Hermitian"):
        free_fermions(PauliSum({"XI": 1.0j}))
    with pytest.raises(SpaceError, match="known numbers"):
        free_fermions(PauliSum({"ZZII": 1.0}, Spin(4, magnetisation=0)))
    state = free_fermions(Ising(space, Chain(4), j=-1.0, h=1.0))
    with pytest.raises(SpaceError, match="known numbers"):
        state.expect(total(Spin(5), "X"))
    for times in (1.0, [np.nan]):
        with pytest.raises(ShapeError, match="list of times"):
            state.evolve(total(space, "X"), times)
    with pytest.raises(SpaceError, match="known numbers"):
        jax.jit(lambda c: free_fermions(PauliSum({"XIII": c})).energy)(1.0)
