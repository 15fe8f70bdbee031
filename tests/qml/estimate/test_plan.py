"""Planned memory: the count is right, and a tight budget changes no number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from qml import FullSumState
from qml.ansatz import ResConv, ViT, to_ansatz
from qml.estimate import forces, jacobian, local_values, plan
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Ising
from tests.qml.ansatz.models import model


def test_count(monkeypatch):
    """A row of 8 numbers: its outer product has 512 bytes, the sum of that 64; both are held at once."""
    x = jnp.ones((1000, 8))

    def outer(rows):
        return rows[:, :, None] * rows[:, None, :]

    shared = jax.jit(lambda rows: outer(rows) + jnp.ones((100, 100))[:8, :8][None])
    assert plan.working_set(outer, x) == 512
    assert plan.working_set(shared, x) == 512  # what rows share is not counted, what is jitted is
    assert plan.working_set(lambda rows: jnp.sum(jnp.sin(outer(rows)) ** 2, axis=2), x) == 64  # fused, never written
    assert plan.working_set(lambda rows: jnp.cumsum(outer(rows), axis=2), x) == 1024
    monkeypatch.setattr(plan, "BUDGET", 512 * 100)
    assert plan.rows_at_once(outer, x, chunk=7) == 7
    assert plan.rows_at_once(outer, x[:1], chunk=None) is None
    assert plan.rows_at_once(outer, x, chunk=None) == 100
    assert plan.rows_at_once(outer, x[:101], chunk=None) == 51  # pieces of like size: one row is done twice
    monkeypatch.setattr(plan, "BUDGET", 10)
    assert plan.rows_at_once(outer, x, chunk=None) == 1
    monkeypatch.setattr(plan, "BUDGET", 2**30)
    assert plan.rows_at_once(outer, x, chunk=None) is None
    monkeypatch.setattr(plan, "cache_bytes", lambda: 512 * 8)
    assert plan.rows_at_once(outer, x, chunk=None) is None
    assert plan.rows_at_once(outer, x, chunk=None, cached=True) == 24
    assert plan.rows_that_suit(lambda rows: jnp.sort(jnp.tile(outer(rows), 90), axis=1), x, cached=True) == plan.FEWEST


def test_accelerators_take_what_fits(monkeypatch):
    """A quarter of the memory that the device reports."""

    class Device:
        def memory_stats(self):
            return {"bytes_limit": 4 * 512 * 300}

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
    x = jnp.ones((1000, 8))
    assert plan.rows_that_suit(lambda rows: rows[:, :, None] * rows[:, None, :], x, cached=True) == 300


@pytest.mark.parametrize("name", ["conv", "jacobian"])
def test_working_set_against_the_compiler(name):
    """The bytes that XLA allocates for temporaries of the compiled program, within a factor of 2.5 either way."""
    net = ViT(Chain(8), layers=2, features=8, heads=2, rngs=nnx.Rngs(0))
    net = ResConv(Chain(8), layers=2, features=8, rngs=nnx.Rngs(0)) if name == "conv" else net
    ansatz, params = to_ansatz(net, Spin(8))

    def function(x):
        return ansatz.log_psi(params, x)

    def gradient(x):
        return jax.vmap(lambda row: jax.grad(lambda p: ansatz.log_psi(p, row[None])[0].real)(params))(x)

    traced = gradient if name == "jacobian" else function
    sizes = [jax.jit(traced).lower(jnp.ones((n, 8))).compile().memory_analysis().temp_size_in_bytes for n in (256, 512)]
    allocated = (sizes[1] - sizes[0]) / 256
    assert 0.4 < plan.working_set(traced, jnp.ones((2, 8))) / allocated < 2.5


def test_a_tight_budget_changes_nothing(monkeypatch):
    space = Spin(5)
    operator = Ising(space, Chain(5), j=-1.0, h=0.7)
    params, log_psi = model("mixed", 5)
    samples = FullSumState((params, log_psi), space).sample()[1]

    def everything():
        state = FullSumState((params, lambda p, x: log_psi(p, x)), space)  # a new function: planned and compiled again
        local = local_values(state.ansatz, state.params, operator, samples.x)
        tree = forces(state.ansatz, state.params, samples, local)
        return [local, jacobian(state.ansatz, state.params, samples), *jax.tree.leaves(tree)]

    free = everything()
    monkeypatch.setattr(plan, "BUDGET", 1000)
    monkeypatch.setattr(plan, "cache_bytes", lambda: 100)
    assert plan.rows_at_once(operator.connected, samples.x, chunk=None) < 32
    for a, b in zip(free, everything(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
