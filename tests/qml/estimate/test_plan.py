"""Planned memory: the count is right, and a tight budget changes no number."""

import jax
import jax.numpy as jnp
import numpy as np

from qml import FullSumState
from qml.estimate import forces, jacobian, local_values, plan
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Ising
from tests.qml.ansatz.models import model


def test_count(monkeypatch):
    """A row of 8 numbers whose only intermediate value is its outer product: 512 bytes."""
    x = jnp.ones((1000, 8))
    monkeypatch.setattr(plan, "BUDGET", 512 * 100)

    def outer(rows):
        return rows[:, :, None] * rows[:, None, :]

    shared = jax.jit(lambda rows: outer(rows) + jnp.ones((100, 100))[:8, :8][None])
    assert plan.rows_at_once(outer, x, chunk=7) == 7
    assert plan.rows_at_once(outer, x[:1], chunk=None) is None
    assert 20 <= plan.rows_at_once(outer, x, chunk=None) <= 100
    assert 15 <= plan.rows_at_once(shared, x, chunk=None) <= 50  # what rows share is not counted, what is jitted is
    monkeypatch.setattr(plan, "BUDGET", 10)
    assert plan.rows_at_once(outer, x, chunk=None) == 1
    monkeypatch.setattr(plan, "BUDGET", 2**30)
    assert plan.rows_at_once(outer, x, chunk=None) is None


def test_a_tight_budget_changes_nothing(monkeypatch):
    space = Spin(5)
    operator = Ising(space, Chain(5), j=-1.0, h=0.7)
    state = FullSumState(model("mixed", 5), space)
    samples = state.sample()[1]

    def everything():
        jax.clear_caches()
        local = local_values(state.ansatz, state.params, operator, samples.x)
        tree = forces(state.ansatz, state.params, samples, local)
        return [local, jacobian(state.ansatz, state.params, samples), *jax.tree.leaves(tree)]

    free = everything()
    monkeypatch.setattr(plan, "BUDGET", 1000)
    assert plan.rows_at_once(operator.connected, samples.x, chunk=None) < 32
    for a, b in zip(free, everything(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
