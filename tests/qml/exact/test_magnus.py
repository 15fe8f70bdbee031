"""Operators that depend on time: closed forms, products of dense exponentials, QuTiP."""

import itertools

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import symmetries
from qml._core.errors import ConvergenceError, ShapeError, SpaceError, SymmetryError
from qml.exact import SectorBasis, evolve
from qml.hilbert import Spin, SpinlessFermion
from qml.lattice import Chain
from qml.operator import Heisenberg, Ising, PauliSum, TimeDependent, number, total, tV

TRACES: list[bool] = []
X, Z = np.array([[0.0, 1.0], [1.0, 0.0]]), np.diag([1.0, -1.0])


class Ramp(eqx.Module):
    """A linear ramp with a parameter, which counts how often it is traced."""

    rate: jnp.ndarray

    def __call__(self, t):
        TRACES.append(not isinstance(t, float))
        return 0.4 + self.rate * t


def ordered(matrix, vector, end, factor=-1j, steps=20):
    """The time-ordered exponential by products at the middles of steps, extrapolated (errors are even in h)."""
    rows = []
    for count in (steps, 2 * steps, 4 * steps, 8 * steps):
        state, h = vector.astype(complex), end / count
        for k in range(count):
            state = scipy.linalg.expm(factor * h * matrix((k + 0.5) * h)) @ state
        rows.append(state)
    for order in (1, 2, 3):
        rows = [(4**order * b - a) / (4**order - 1) for a, b in itertools.pairwise(rows)]
    return rows[0]


@pytest.mark.parametrize("tolerance", [1e-6, 1e-10])
def test_rotating_field(tolerance):
    """A spin in a field that rotates, in closed form, at times of both signs; complex functions of ladder operators."""
    detuning, strength, frequency = 0.7, 1.3, 2.1
    raising = PauliSum({"X": 0.5, "Y": 0.5j})
    drive = [
        (lambda t: strength / 2 * jnp.exp(-1j * frequency * t), raising),
        (lambda t: strength / 2 * jnp.exp(1j * frequency * t), raising.adjoint()),
    ]
    times, start = [-1.0, 0.0, 0.5, 3.0, 10.0], np.array([1.0, 0.3j])
    run = evolve(TimeDependent(PauliSum({"Z": detuning / 2}), drive), start, times, tolerance=tolerance)
    turned = (detuning - frequency) / 2 * Z + strength / 2 * X
    exact = [scipy.linalg.expm(-0.5j * frequency * t * Z) @ scipy.linalg.expm(-1j * t * turned) @ start for t in times]
    distance = np.abs(np.asarray(run.vectors) - exact).max()
    assert distance < 1e-11 if tolerance < 1e-9 else distance < 1e-7
    assert distance < float(run.error) < 2 * tolerance * np.linalg.norm(start) * 1.2
    np.testing.assert_allclose(np.linalg.norm(run.vectors, axis=1), np.linalg.norm(start), atol=1e-13)


@pytest.mark.slow
def test_ramps_in_real_and_imaginary_time():
    """An Ising chain through a ramp against products of dense exponentials; one program for all rates."""
    space = Spin(4)
    static, field = Ising(space, Chain(4), j=-1.0, h=0.0) + 2.0 * PauliSum({"IIII": 1.0}), total(space, "X")
    start = np.random.default_rng(0).normal(size=16)
    counted = 0
    for rate in (-0.7, 1.1):
        ramp = Ramp(jnp.asarray(rate))
        run = evolve(TimeDependent(static, [(ramp, field)]), start, [0.6, 1.2])
        a, b = np.asarray(static.to_dense()), np.asarray(field.to_dense())

        def matrix(t, rate=rate, a=a, b=b):
            return a + (0.4 + rate * t) * b

        np.testing.assert_allclose(run.vectors[1], ordered(matrix, start, 1.2), atol=1e-10)
        counted = counted or sum(TRACES)
    assert counted == sum(TRACES) > 0
    cooled = evolve(TimeDependent(static, [(ramp, field)]), start, [0.6, 1.2], imaginary=True)
    exact = ordered(matrix, start, 1.2, -1.0).real
    np.testing.assert_allclose(cooled.vectors[1], exact / np.linalg.norm(exact), atol=1e-10)
    np.testing.assert_allclose(cooled.log_norms[1], np.log(np.linalg.norm(exact)), atol=1e-10)
    assert cooled.vectors.dtype == float


@pytest.mark.slow
def test_sectors_and_fermions():
    """A driven interaction in a momentum sector of fermions is that of the whole space."""
    lattice, space = Chain(6), SpinlessFermion(6, n_fermions=3)
    hopping, repulsion = tV(space, lattice, t=1.0, v=0.0), tV(space, lattice, t=0.0, v=1.0)
    driven = TimeDependent(hopping, [(lambda t: 1.0 + jnp.sin(5 * t), repulsion)])
    basis = SectorBasis(space, symmetries.Sector(symmetries.translation_group(lattice), 1))
    vector = np.random.default_rng(1).normal(size=basis.size) + 0j
    inside = evolve(driven, vector, [0.5, 1.0], sector=basis)
    a, b = np.asarray(hopping.to_dense()), np.asarray(repulsion.to_dense())
    exact = ordered(lambda t: a + (1 + np.sin(5 * t)) * b, np.asarray(basis.to_full(vector)), 1.0)
    np.testing.assert_allclose(basis.to_full(inside.vectors[1]), exact, atol=1e-9)
    with pytest.raises(SymmetryError, match="breaks a symmetry"):
        evolve(TimeDependent(hopping, [(jnp.sin, number(space, 0))]), vector, [0.5], sector=basis)


def test_jumps():
    """A pulse with sharp edges, wherever they lie within a step: the area counts."""
    x, start = PauliSum({"X": 1.0}), np.array([1.0, 0.0])

    class Pulse(eqx.Module):
        edges: jnp.ndarray

        def __call__(self, t):
            return jnp.where((t > self.edges[0]) & (t < self.edges[1]), 2.0, 0.0)

    for edges in np.random.default_rng(0).uniform(0.2, 1.0, (12, 2)).cumsum(axis=1):
        run = evolve(TimeDependent(None, [(Pulse(jnp.asarray(edges)), x)]), start, [2.2], tolerance=1e-8)
        angle = 2 * (edges[1] - edges[0])
        np.testing.assert_allclose(run.vectors[0], [np.cos(angle), -1j * np.sin(angle)], atol=1e-8)


def test_against_qutip():
    """A driven chain against the solver of QuTiP."""
    qutip = pytest.importorskip("qutip")
    space = Spin(3)
    static, field = Heisenberg(space, Chain(3, periodic=False)), total(space, "X")
    driven = TimeDependent(static, [(lambda t: 1.5 * jnp.cos(3 * t) * jnp.exp(-t), field)])
    start = np.eye(8)[1]
    dims = [[2] * 3, [1] * 3]
    matrices = [qutip.Qobj(np.asarray(o.to_dense()), dims=[[2] * 3] * 2) for o in (static, field)]
    options = {"atol": 1e-13, "rtol": 1e-12, "nsteps": 100000, "progress_bar": ""}
    problem = [matrices[0], [matrices[1], lambda t: 1.5 * np.cos(3 * t) * np.exp(-t)]]
    expected = qutip.sesolve(problem, qutip.Qobj(start[:, None], dims=dims), [0.0, 1.0, 2.5], options=options).states
    run = evolve(driven, start, [1.0, 2.5])
    np.testing.assert_allclose(run.vectors, [s.full()[:, 0] for s in expected[1:]], atol=1e-9)


def test_bad_input():
    """Operators that are not Hermitian, functions that are not finite, vectors that do not fit."""
    x, start = PauliSum({"X": 1.0}), np.array([1.0, 0.0])
    with pytest.raises(SpaceError, match="not Hermitian at t="):
        evolve(TimeDependent(None, [(lambda t: 1.0 + 1j * t, x)]), start, [1.0])
    with pytest.raises(ConvergenceError, match="too small"):
        evolve(TimeDependent(None, [(lambda t: 1 / jnp.maximum(0.505 - t, 0.0), x)]), start, [0.5, 1.0])
    with pytest.raises(ShapeError):
        evolve(TimeDependent(None, [(jnp.sin, x)]), np.ones(3), [1.0])
    with pytest.raises(ShapeError):
        evolve(TimeDependent(None, [(jnp.sin, x)]), start, [1.0, 0.5])
    still = evolve(TimeDependent(None, [(jnp.sin, x)]), start, [0.0])
    np.testing.assert_array_equal(still.vectors[0], start)
