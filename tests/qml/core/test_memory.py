"""One budget of memory: what is planned keeps it, what is compiled is checked against it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from qml import FullSumState
from qml._core import memory
from qml._core.compile import compiled
from qml._core.errors import ConfigError
from qml.ansatz import ResConv, ViT
from qml.estimate import SR, Samples, forces, local_values, plan
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Ising


@pytest.fixture
def give(monkeypatch):
    """Sets the budget, in bytes, as if the process had started with it."""

    def setter(size):
        monkeypatch.setenv(memory.VARIABLE, str(size if isinstance(size, str) else size / 2**30))
        memory._first.cache_clear()

    yield setter
    monkeypatch.undo()
    memory._first.cache_clear()


def test_shares_of_the_budget(give, monkeypatch):
    x = jnp.ones((1000, 8))

    def outer(rows):
        return rows[:, :, None] * rows[:, None, :]

    assert memory.budget() is None and memory.planned(0.5, 7) == 7
    give(8 * 512 * 100)
    assert memory.budget() == 8 * 512 * 100 and memory.planned(0.5, 7) == 4 * 512 * 100
    assert plan.rows_at_once(outer, x, chunk=None) == 100
    monkeypatch.setenv(memory.VARIABLE, "5")
    with pytest.raises(ConfigError, match="changed"):
        memory.budget()


@pytest.mark.parametrize("text", ["lots", "-1", "nan", "inf"])
def test_budgets_that_are_none(give, text):
    give(text)
    with pytest.raises(ConfigError, match="number of GiB"):
        memory.budget()


def test_programs_are_checked(give):
    lowered = jax.jit(lambda x: jnp.sort(jnp.outer(x, x), axis=0) @ x).lower(jnp.ones(64))
    give(2**20)
    x = np.ones(64)
    np.testing.assert_allclose(compiled(lowered)(x), 64 * x)
    give(2**14)
    with pytest.warns(memory.OverBudgetWarning, match="GRADKET_MEMORY, 1.53e-05 GiB. Try: fewer samples"):
        compiled(lowered)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit", "conv"])
def test_a_network_keeps_the_budget(give, name):
    """Temporaries of forces, local energies and a metric solve, as XLA counts them, with and without a budget."""
    lattice, space, count = Chain(16), Spin(16), 1024
    net = ResConv(lattice, layers=2, features=8, kernel=9, rngs=nnx.Rngs(0))
    net = ViT(lattice, layers=2, features=16, heads=2, rngs=nnx.Rngs(0)) if name == "vit" else net
    operator = Ising(space, lattice, j=-1.0, h=0.7)
    small = FullSumState(net, space)
    ansatz, params = small.ansatz, small.params
    x = space.random_state(jax.random.key(0), count)
    samples = Samples(x, jnp.full(count, 1 / count), ansatz.log_psi(params, x), 16)
    local = jnp.cos(jnp.arange(count))

    def held():
        jax.clear_caches()  # plans are made when functions are traced
        works = (
            lambda p: forces(ansatz, p, samples, local),
            lambda p: local_values(ansatz, p, operator, x, log_psi=samples.log_psi),
            lambda p: SR(shift=1e-3).direction(ansatz, p, samples, local).update,
        )
        programs = [jax.jit(w).lower(params).compile() for w in works]
        return [getattr(p.memory_analysis(), "temp_size_in_bytes", 0) for p in programs]

    budget = 48 * 2**20
    free = held()
    give(budget)
    tight = held()
    print(name, [f"{a / 2**20:.1f} -> {b / 2**20:.1f} MiB" for a, b in zip(free, tight, strict=True)])
    assert all(size <= budget for size in tight)
    assert any(size > budget for size in free)
