"""Real and imaginary time evolution against reference curves and matrix exponentials."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import symmetries
from qml._core.errors import ShapeError, SpaceError
from qml.exact import SectorBasis, basis_vector, evolve, expect, ground_state
from qml.hilbert import Spin
from qml.lattice import Chain, Square
from qml.operator import Heisenberg, Ising, PauliSum, local, total
from tests.qml.exact.reference import hamiltonian, problems


@pytest.mark.parametrize(
    "name", ["quench_tfim_chain_L10_h0.5", "quench_tfim_square_3x3_hc10", "quench_tfim_square_3x3_2hc"]
)
def test_quench_of_ising_models(name):
    """Magnetisation, bond correlation and energy after a quench from all spins along x, to 1e-9."""
    problem = problems()[name]
    reference, n, bonds = problem["reference"], problem["N"], problem["bonds"]
    operator = hamiltonian(name)
    start = jnp.full(2**n, 2 ** (-n / 2))
    run = evolve(operator, start, reference["t"])
    x = total(operator.hilbert, "X") / n
    zz = PauliSum.from_terms([("ZZ", tuple(b), 1 / len(bonds)) for b in bonds], operator.hilbert)
    np.testing.assert_allclose([expect(v, x) for v in run.vectors], reference["sx"], atol=1e-9)
    np.testing.assert_allclose([expect(v, zz) for v in run.vectors], reference["zz_nn"], atol=1e-9)
    np.testing.assert_allclose([expect(v, operator) for v in run.vectors], reference["energy"], atol=1e-9)
    np.testing.assert_allclose(jnp.linalg.norm(run.vectors, axis=1), 1, atol=1e-12)
    assert 0 < float(run.error) < 1e-11
    if "loschmidt" in reference:
        np.testing.assert_allclose(jnp.abs(run.vectors @ start) ** 2, reference["loschmidt"], atol=1e-9)


@pytest.mark.slow
def test_quench_of_a_square_in_its_sector():
    """The Ising model on 4x4 sites with h = 0.3044 from all spins along x, in the symmetric sector."""
    lattice = Square(4, 4)
    operator = Ising(Spin(16), lattice, j=-1.0, h=0.3044)
    sector = symmetries.Sector(symmetries.space_group(lattice), internal=(symmetries.SpinFlip(1),))
    basis = SectorBasis(Spin(16), sector)
    run = evolve(operator, basis.project(np.full(2**16, 2.0**-8)), [0.5, 1.0, 2.0], sector=basis)
    zz = PauliSum.from_terms([("ZZ", edge, 1 / 32) for edge in lattice.edges()], Spin(16))
    # a matrix exponential by SciPy in the whole space
    known = [
        [0.10396423981106029, 0.06224807899764388, 0.323111395578202],
        [0.13637664270075628, 0.1427258423765585, 0.10302244559299743],
    ]
    for probe, expected in zip((total(Spin(16), "X") / 16, zz), known):
        found = [expect(basis.to_full(vector), probe) for vector in run.vectors]
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_quench_of_a_neel_state():
    """Staggered magnetisation of the Heisenberg chain in the sector of magnetisation zero."""
    name = "quench_heisenberg_chain_L12_neel"
    reference = problems()[name]["reference"]
    space = Spin(12, magnetisation=0)
    start = basis_vector(space, [1, -1] * 6)
    run = evolve(hamiltonian(name, space), start, reference["t"])
    staggered = PauliSum.from_terms([("Z", (i,), (-1) ** i / 24) for i in range(12)], space)
    np.testing.assert_allclose([expect(v, staggered) for v in run.vectors], reference["staggered_Sz"], atol=1e-9)
    np.testing.assert_allclose(jnp.abs(run.vectors @ start) ** 2, reference["loschmidt"], atol=1e-9)


def test_time_correlations():
    """C(r, t) = <0|Z_r(t) Z_0|0> of the paramagnetic chain."""
    name = "spectral_tfim_chain_L12_h1.5"
    reference = problems()[name]["reference"]
    operator = hamiltonian(name)
    ground = ground_state(operator)
    assert abs(float(ground.energies[0]) - reference["E0"]) < 1e-9
    kicked = local(operator.hilbert, "Z", 0).apply(ground.vectors[0])
    run = evolve(operator, kicked, reference["t"])
    left = jnp.stack([local(operator.hilbert, "Z", r).apply(ground.vectors[0]) for r in range(7)])
    phases = jnp.exp(1j * ground.energies[0] * run.times)
    correlation = phases[:, None] * (run.vectors @ left.T)
    expected = np.array(reference["C_re"]) + 1j * np.array(reference["C_im"])
    np.testing.assert_allclose(correlation, expected, atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_matrix_exponential(seed):
    """Random complex Hamiltonians and vectors, uneven times of both signs, real and imaginary time."""
    rng = np.random.default_rng(seed)
    terms = {"".join(rng.choice(list("IXYZ"), 5)): rng.normal() for _ in range(20)} | {"IIIII": 0.7}
    operator = PauliSum(terms)
    matrix = np.asarray(operator.to_dense())
    vector = rng.normal(size=32) + 1j * rng.normal(size=32)
    times = np.array([-1.3, 0.0, 0.02, 0.02, 5.0])
    run = evolve(operator, vector, times)
    exact = np.stack([scipy.linalg.expm(-1j * t * matrix) @ vector for t in times])
    np.testing.assert_allclose(run.vectors, exact, atol=1e-10)
    assert np.max(np.linalg.norm(run.vectors - exact, axis=1)) < float(run.error) + 1e-11
    np.testing.assert_allclose(run.log_norms, np.log(np.linalg.norm(vector)), atol=1e-12)
    cool = evolve(operator, vector, times[1:], imaginary=True)
    exact = np.stack([scipy.linalg.expm(-t * matrix) @ vector for t in times[1:]])
    norms = np.linalg.norm(exact, axis=1)
    np.testing.assert_allclose(cool.vectors, exact / norms[:, None], atol=1e-10)
    np.testing.assert_allclose(cool.log_norms, np.log(norms), atol=1e-10)


def test_imaginary_time_finds_the_ground_state():
    """Long imaginary time: the ground state, and the decay of the norm gives its energy."""
    space = Spin(8, magnetisation=0)
    operator = Heisenberg(space, Chain(8))
    run = evolve(operator, basis_vector(space, [1, -1] * 4), [40.0, 50.0], imaginary=True)
    assert run.vectors.dtype == jnp.float64
    ground = ground_state(operator)
    assert abs(abs(float(run.vectors[1] @ ground.vectors[0])) - 1) < 1e-10
    np.testing.assert_allclose((run.log_norms[0] - run.log_norms[1]) / 10, ground.energies[0], atol=1e-9)


def test_no_field():
    """The zero operator and a multiple of one only change the phase."""
    start = np.array([0.6, 0.8])
    np.testing.assert_allclose(evolve(PauliSum({}, Spin(1)), start, [1.0]).vectors[0], start, atol=1e-14)
    turned = evolve(PauliSum({"I": 2.0}), start, [1.0]).vectors[0]
    np.testing.assert_allclose(turned, np.exp(-2j) * start, atol=1e-14)


def test_bad_input():
    """Wrong length, times that go back, negative imaginary time, operators that are not Hermitian."""
    operator = Ising(Spin(3), Chain(3), j=1.0, h=1.0)
    with pytest.raises(ShapeError):
        evolve(operator, np.ones(7), [0.0])
    with pytest.raises(ShapeError):
        evolve(operator, np.ones(8), [0.1, 0.0])
    with pytest.raises(ShapeError):
        evolve(operator, np.ones(8), [])
    with pytest.raises(ShapeError):
        evolve(operator, np.ones(8), [-1.0], imaginary=True)
    with pytest.raises(SpaceError):
        evolve(1j * operator, np.ones(8), [0.0])
