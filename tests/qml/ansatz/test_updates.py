"""Local updates against the whole network."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from qml._core.errors import GradketError
from qml.ansatz import RBM, Jastrow, to_ansatz
from qml.ansatz.jastrow import JastrowUpdate
from qml.estimate.local import local_values, static_moves
from qml.hilbert import Boson, Spin, SpinlessFermion
from qml.lattice import Square
from qml.operator import J1J2, Ising, PauliSum, total
from qml.sampler.base import SamplerState
from qml.sampler.library import default_sampler
from qml.state import MCState

SPACE = Spin(9)
MODELS = {
    "real rbm": lambda: RBM(9, alpha=2, std=0.3, rngs=nnx.Rngs(0)),
    "complex rbm": lambda: RBM(9, alpha=1, dtype=complex, std=0.3, rngs=nnx.Rngs(1)),
    "jastrow": lambda: Jastrow(9, std=0.3, rngs=nnx.Rngs(2)),
    "complex jastrow": lambda: Jastrow(9, dtype=complex, std=0.3, rngs=nnx.Rngs(3)),
}


def some(names, *rest):
    """Parameters of a test: all names, the rest of them slow."""
    return [pytest.param(name, marks=[pytest.mark.slow] * (name in rest)) for name in names]


def assert_steps_follow(model, space, rtol=1e-11):
    """Thirty random changes of up to three sites, null changes among them, on the cache of the step before."""
    ansatz, params = to_ansatz(model, space)
    rule, plain = ansatz.updates, jax.jit(ansatz.log_psi)
    assert rule is not None
    tables = jax.jit(rule.prepare)(params)
    assert jax.jit(rule.reliable)(tables)
    x = space.random_state(jax.random.key(0), 5)
    cache = jax.jit(rule.init)(tables, x)
    step = jax.jit(rule.step)
    draw = np.random.default_rng(0)
    for _ in range(30):
        sites = np.stack([draw.choice(space.n_sites, 3, replace=False) for _ in range(5)])
        values = draw.choice(space.local_states, (5, 3))
        moved = np.array(x)
        moved[np.arange(5)[:, None], sites] = values
        log_ratio, cache = step(tables, cache, x, jnp.asarray(sites), jnp.asarray(values, x.dtype))
        exact = np.asarray(plain(params, moved)) - np.asarray(plain(params, x))
        np.testing.assert_allclose(np.exp(log_ratio), np.exp(exact), rtol=rtol)
        x = jnp.asarray(moved)
    fresh = jax.jit(rule.init)(tables, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(np.exp(a), np.exp(b), rtol=10 * rtol), cache, fresh)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "space", [SPACE, pytest.param(SpinlessFermion(9), marks=pytest.mark.slow)], ids=["spins", "occupations"]
)
def test_steps_follow_the_network(name, space):
    """Steps and caches against the whole network."""
    assert_steps_follow(MODELS[name](), space)


@pytest.mark.parametrize("name", some(MODELS, "complex rbm", "jastrow", "complex jastrow"))
def test_local_values(name):
    """The same numbers with and without updates: single flips, pairs, mixed and long strings."""
    lattice = Square(3, 3)
    ansatz, params = to_ansatz(MODELS[name](), SPACE)
    plain = to_ansatz((params, ansatz.apply), SPACE)[0]
    assert plain.updates is None
    x = SPACE.random_state(jax.random.key(1), 40)
    strings = {"XXYIIIIII": 0.3, "IXXZIIIII": 0.7j, "YIIIIIIII": 1.1, "IIIIIZZII": 0.4}
    for operator in (Ising(SPACE, lattice, j=-1.0, h=0.7), J1J2(SPACE, lattice), PauliSum(strings, SPACE)):
        assert static_moves(operator) is not None
        ours = local_values(ansatz, params, operator, x)
        exact = local_values(plain, params, operator, x)
        assert ours.dtype == exact.dtype
        np.testing.assert_allclose(ours, exact, rtol=1e-11, atol=1e-11)


def start(space, ansatz):
    """Eight chains from random configurations."""
    zero = jnp.zeros(8, jnp.int32)
    x = space.random_state(jax.random.key(3), 8)
    return SamplerState(x, jnp.zeros(8, ansatz.dtype), jax.random.key(4), zero, jnp.zeros((), jnp.int32))


RUNS = [
    pytest.param("real rbm", SPACE, marks=pytest.mark.slow),
    ("complex rbm", Spin(9, magnetisation=0.5)),
    ("jastrow", SpinlessFermion(9, n_fermions=4)),
    pytest.param("complex jastrow", SPACE, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "space"), RUNS, ids=str)
def test_chains_are_those_of_the_network(name, space):
    """The same keys give the same chains, move for move, with and without updates."""
    ansatz, params = to_ansatz(MODELS[name](), space)
    plain = to_ansatz((params, ansatz.apply), space)[0]
    sampler = default_sampler(space, 8)
    states = [start(space, plain) for _ in range(2)]
    runs = [sampler.sample(a, params, s, 30) for a, s in zip((ansatz, plain), states, strict=True)]
    np.testing.assert_array_equal(runs[0][1], runs[1][1])
    np.testing.assert_array_equal(runs[0][0].accepted, runs[1][0].accepted)
    np.testing.assert_allclose(runs[0][0].log_psi, runs[1][0].log_psi, rtol=1e-12)
    assert not runs[0][0].refused


@dataclasses.dataclass(frozen=True)
class Wrong(JastrowUpdate):  # type: ignore[misc]
    """Updates whose ratios are off, by a tenth of a per cent."""

    factor: float = 1.001

    def step(self, tables, cache, x, sites, values):
        log_ratio, cache = super().step(tables, cache, x, sites, values)
        return self.factor * log_ratio, cache


def test_wrong_updates_are_found_out():
    """Chains whose log psi drifts from the network's are thrown away and run by the network, and it is said."""
    ansatz, params = to_ansatz(MODELS["jastrow"](), SPACE)
    wrong = dataclasses.replace(ansatz, updates=Wrong())
    plain = dataclasses.replace(ansatz, updates=None)
    sampler = default_sampler(SPACE, 8)
    states = [start(SPACE, plain) for _ in range(2)]
    (after, ours), (_, exact) = (sampler.sample(a, params, s, 30) for a, s in zip((wrong, plain), states, strict=True))
    np.testing.assert_array_equal(ours, exact)
    assert after.refused


@pytest.mark.slow
def test_drift_like_rounding_is_no_fault():
    """Ratios off by 1e-7: the chains of the network, and no complaint."""
    ansatz, params = to_ansatz(MODELS["jastrow"](), SPACE)
    wrong, sampler = dataclasses.replace(ansatz, updates=Wrong(factor=1 + 1e-7)), default_sampler(SPACE, 8)
    quick = dataclasses.replace(wrong, fallback=False)
    runs = [sampler.sample(a, params, start(SPACE, ansatz), 30) for a in (wrong, quick)]
    assert not runs[0][0].refused and np.all(np.isfinite(runs[0][0].log_psi))
    assert not np.all(np.isfinite(runs[1][0].log_psi))  # it did drift


@pytest.mark.parametrize(
    "calls", [slice(1), pytest.param(slice(1, 3), marks=pytest.mark.slow)], ids=["expect", "others"]
)
def test_states_with_wrong_updates_are_refused(calls):
    """Where the chains are made, and in every call by hand with parameters that show the fault."""
    space = Spin(4)
    ansatz, params = to_ansatz(Jastrow(4, std=0.5, rngs=nnx.Rngs(0)), space)
    wrong = dataclasses.replace(ansatz, updates=Wrong())
    uniform = jax.tree.map(np.zeros_like, params)  # all ratios are one: nothing to see
    moved = MCState((wrong, uniform), space, 64, 8, key=jax.random.key(1)).with_params(params)
    every = (lambda: moved.expect(total(space, "X")), moved.sample, lambda: moved.fresh(jax.random.key(2)))
    for call in every[calls]:
        with pytest.raises(GradketError, match="local updates of this wave function disagree"):
            call()
    with pytest.raises(GradketError, match="updates=None"):
        MCState((wrong, params), space, 64, 8, key=jax.random.key(1))


def test_large_weights_go_through_the_network():
    """Where rounding would spoil the tables, the whole network is evaluated: the energy is as good."""
    space = Spin(9)
    ansatz, params = to_ansatz(RBM(9, std=30.0, rngs=nnx.Rngs(0)), space)
    assert not jax.jit(lambda p: ansatz.updates.reliable(ansatz.updates.prepare(p)))(params)
    plain = to_ansatz((params, ansatz.apply), space)[0]
    x, operator = space.random_state(jax.random.key(1), 40), Ising(space, Square(3, 3), j=-1.0, h=0.7)
    ours, exact = (local_values(a, params, operator, x) for a in (ansatz, plain))
    np.testing.assert_allclose(ours, exact, rtol=1e-13)


def test_no_updates_where_sites_differ():
    """An RBM on a product of unlike sites is evaluated whole."""
    space = Spin(2) * Boson(2, n_max=2)
    ansatz, _ = to_ansatz(RBM(4, rngs=nnx.Rngs(0)), space)
    assert ansatz.updates is None


def test_angles_at_a_zero_of_cosh():
    """Angles, alone and in pairs, that turn by i pi / 2, where tanh has a pole, spoil neither chains nor energies."""
    ansatz, params = to_ansatz(RBM(9, dtype=complex, std=0.2, rngs=nnx.Rngs(0)), SPACE)
    quarter = jnp.array([0.25j * jnp.pi, 0.125j * jnp.pi, 0.125j * jnp.pi + 1e-9])
    params = {**params, "kernel": params["kernel"].at[:3, 0].set(quarter)}
    rule, plain = ansatz.updates, to_ansatz((params, ansatz.apply), SPACE)[0]
    tables, init = jax.jit(rule.prepare)(params), jax.jit(rule.init)
    assert jax.jit(rule.reliable)(tables)
    x, operator = SPACE.random_state(jax.random.key(1), 40), J1J2(SPACE, Square(3, 3))
    ours, exact = (local_values(a, params, operator, x) for a in (ansatz, plain))
    np.testing.assert_allclose(ours, exact, rtol=1e-11)
    sites = jnp.broadcast_to(jnp.array([[1, 2]]), (40, 2))
    log_ratio, cache = jax.jit(rule.step)(tables, init(tables, x), x, sites, -x[:, 1:3])
    moved = x.at[:, 1:3].multiply(-1)
    ratio = np.exp(np.asarray(ansatz.log_psi(params, moved)) - np.asarray(ansatz.log_psi(params, x)))
    np.testing.assert_allclose(np.exp(log_ratio), ratio, rtol=1e-11)
    np.testing.assert_allclose(cache, init(tables, moved), rtol=1e-10)
