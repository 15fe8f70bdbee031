"""Tied couplings: the derivatives of free ones pulled back; symmetry orbits; learning with fewer parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import drivers
import symmetries
from drivers import Status
from qml._core.errors import DataError, ShapeError
from qml.gibbs import (
    DataObjective,
    MarginalObjective,
    PauliGibbs,
    ThermalObjective,
    TiedGibbs,
    identifiability,
    inverse_mirror,
    mean_state,
    relative_entropy,
)
from qml.lattice import Square
from qml.operator import PauliSum

GROUPS = ({"ZZI": 1.0, "IZZ": -0.5}, ["XII", "IXI", "IIX"], ["YII"])


def test_against_free_couplings():
    tied = TiedGibbs(GROUPS, jnp.array([-0.5, 0.4, 0.2]), covariance=np.diag([0.04, 0.01, np.inf]))
    tie = np.array([[1, 0, 0], [-0.5, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]])
    free = PauliGibbs(("ZZI", "IZZ", "XII", "IXI", "IIX", "YII"), jnp.array([-0.5, 0.25, 0.4, 0.4, 0.4, 0.2]))
    assert tied.free().terms == free.terms
    np.testing.assert_allclose(tied.free().theta, free.theta, atol=1e-15)
    np.testing.assert_allclose(tied.marginals(), np.asarray(free.marginals()) @ tie, atol=1e-13)
    np.testing.assert_allclose(tied.metric(), tie.T @ np.asarray(free.metric()) @ tie, atol=1e-12)
    np.testing.assert_allclose(
        tied.hvp(jnp.array([1.0, -2.0, 0.5])), tied.metric() @ np.array([1, -2, 0.5]), atol=1e-12
    )
    errors = np.asarray(tied.hamiltonian().coefficients.error)
    np.testing.assert_allclose(errors, [0.2, 0.1, 0.1, 0.1, 0.1, np.inf])
    found = inverse_mirror(tied.with_params(jnp.zeros(3)), tied.marginals())
    np.testing.assert_allclose(found.theta, tied.couplings, atol=1e-10)


def test_orbits_of_a_space_group():
    """The strings of a bond on a torus are one orbit; every orbit of the group is whole."""
    lattice = Square(2, 3, periodic=False)
    group = symmetries.space_group(lattice)
    bond = "".join("Z" if i in lattice.edges()[0] else "I" for i in range(6))
    ring = TiedGibbs.symmetric([bond, "XIIIII"], group.permutations)
    for table in ring.groups:
        for move in np.asarray(group.permutations):
            moved = set()
            for word in table:
                out = ["I"] * 6
                for site, letter in enumerate(word):
                    out[move[site]] = letter
                moved.add("".join(out))
            assert moved == set(table)


@pytest.mark.slow
def test_learning_and_thermal_states():
    """Tied fits have the smaller error of the Fisher information pulled back; a thermal state is found exactly."""
    truth = TiedGibbs([["ZZI", "IZZ"], ["XII", "IXI", "IIX"]], jnp.array([-0.6, 0.5]))
    start = truth.with_params(jnp.zeros(2))
    shots = truth.sample(jax.random.key(0), shots=3_000)
    for method in ("likelihood", "corrected", "moments"):
        result = drivers.QPMD(DataObjective(shots, method), step_size=1.0).run(start, steps=40)
        error = np.sqrt(np.diagonal(result.state.covariance))
        assert result.status is Status.CONVERGED
        assert np.all(np.abs(result.state.couplings - truth.couplings) < 4.5 * error) and np.all(error < 0.02)
        free = drivers.QPMD(DataObjective(shots, method), step_size=1.0).run(start.free(), steps=40)
        assert np.all(np.sqrt(np.diagonal(free.state.covariance))[2:] > 1.5 * error[1])
    bound = identifiability(truth, shots).errors / np.sqrt(float(shots.total()))
    np.testing.assert_allclose(bound, error, rtol=0.35)
    h = PauliSum({"ZZI": -1.0, "IZZ": -1.0, "XII": 0.7, "IXI": 0.7, "IIX": 0.7})
    thermal = drivers.QPMD(ThermalObjective(h, beta=2.0), step_size=1.0).run(start, steps=40)
    np.testing.assert_allclose(thermal.state.couplings, [-2.0, 1.4], atol=1e-8)
    weight = scipy.linalg.expm(-2 * np.asarray(h.to_dense()))
    np.testing.assert_allclose(thermal.state.density(), weight / np.trace(weight), atol=1e-8)
    exact = drivers.QPMD(MarginalObjective(truth.marginals()), step_size=1.0).run(start, steps=10)
    np.testing.assert_allclose(exact.state.couplings, truth.couplings, atol=1e-9)


def test_the_mean_of_thermal_states_of_a_field_is_that_of_the_mean_field():
    """h = 0.4 and 1.6 with equal weights give h = 1 (log-Euclidean), which the mixture of the states is far from."""

    def at(h):
        return PauliGibbs(("ZZI", "IZZ", "XII", "IXI", "IIX"), -3 * jnp.array([1.0, 1.0, h, h, h]))

    mean = mean_state([at(0.4), at(1.6)], [0.5, 0.5])
    assert float(relative_entropy(at(1.0), mean)) < 1e-12


def test_bad_input():
    for groups in ([], [["ZZ"], ["ZZ"]], [["ZZ"], []], [{"ZZ": np.nan}]):
        with pytest.raises(ShapeError, match="linearly independent"):
            TiedGibbs(groups)
    with pytest.raises(ShapeError, match="one coupling"):
        TiedGibbs([["ZZ"]], [0.1, 0.2])
    for moves in ([[0, 0]], [[0, 1, 2]], np.zeros((0, 2), int)):
        with pytest.raises(DataError, match="no permutations"):
            TiedGibbs.symmetric(["ZZ"], moves)
    with pytest.raises(ShapeError, match="same strings"):
        mean_state([PauliGibbs(("Z",)), PauliGibbs(("X",))], [0.5, 0.5])
    with pytest.raises(DataError, match="one marginal"):
        MarginalObjective([0.1]).prepare(TiedGibbs(GROUPS))
