"""Two set-ups that blow up where nobody looks: a finite, plausible number must not come out of them unmarked."""

import jax
import numpy as np
import optax
import pytest
from flax import nnx

import drivers
import qml
from drivers import Status

BAD = (Status.DIVERGED, Status.STALLED, Status.DOUBTFUL)


def outcome(result, exact: float) -> None:
    """Converged, or ended with a status that names the trouble; and no number below the exact one in either case."""
    energy, error = float(result.energy.mean), float(result.energy.error)
    assert np.isfinite(energy) and all(np.all(np.isfinite(x)) for x in jax.tree.leaves(result.state.params))
    assert energy > exact - 5 * error - 1e-9 * abs(exact)
    if result.status in BAD:
        assert "ry" in result.message and len(result.message) > 40  # what happened, and what to try
    else:
        assert abs(energy - exact) < 0.1 * abs(exact)


@pytest.mark.slow
def test_large_initial_parameters_and_a_large_step():
    """Learning rate and initial parameters far too large on a chain: rolled back, or said."""
    space = qml.hilbert.Spin(6)
    operator = qml.operator.Ising(space, qml.lattice.Chain(6), j=-1.0, h=1.0)
    model = qml.ansatz.RBM(space, alpha=4, std=1.0, rngs=nnx.Rngs(0))
    state = qml.MCState(model, space, samples=256, chains=32, key=jax.random.key(0))
    driver = drivers.VMC(operator, optax.sgd(1.0), precondition=qml.estimate.SR(shift=1e-6))
    result = driver.run(state, steps=60)
    outcome(result, -7.727406610312546)


@pytest.mark.slow
@pytest.mark.parametrize("std", [0.01, 0.5])
def test_heisenberg_square_with_many_parameters(std):
    """Heisenberg 4x4 with Marshall's signs in the operator, SR(1e-3), learning rate 0.02."""
    lattice = qml.lattice.Square(4, 4)
    space = qml.hilbert.Spin(16, magnetisation=0)
    operator = qml.operator.XXZ(space, lattice, j=-1.0, delta=-1.0)  # rotated on a sublattice: no sign is left
    exact = -11.228483208429
    model = qml.ansatz.RBM(space, alpha=16, std=std, rngs=nnx.Rngs(0))
    state = qml.MCState(model, space, samples=1024, chains=256, key=jax.random.key(0))
    driver = drivers.VMC(operator, optax.sgd(0.02), precondition=qml.estimate.SR(shift=1e-3))
    outcome(driver.run(state, steps=150), exact)


@pytest.mark.slow
@pytest.mark.parametrize("std", [0.01, 0.5])
def test_critical_chain_of_64(std):
    """TFIM chain of 64 sites, SR(1e-3), learning rate 0.02."""
    space = qml.hilbert.Spin(64)
    operator = qml.operator.Ising(space, qml.lattice.Chain(64), j=-1.0, h=1.0)
    model = qml.ansatz.RBM(space, alpha=4, std=std, rngs=nnx.Rngs(0))
    state = qml.MCState(model, space, samples=1024, chains=512, key=jax.random.key(0))
    driver = drivers.VMC(operator, optax.sgd(0.02), precondition=qml.estimate.SR(shift=1e-3))
    outcome(driver.run(state, steps=100), -81.495512668926)
