"""Forces on phase parameters: exact in a full sum, unbiased and of lower variance from samples, and in SR solves."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import drivers
import qml
from qml import FullSumState
from qml._core.errors import ConfigError, SpaceError
from qml.estimate import MARCH, SPRING, SR, Samples, forces, phase_forces
from qml.estimate.metric import qgt
from qml.estimate.phase import _blocks_of, added_forces
from qml.hilbert import Spin
from qml.operator import PauliSum

SPACE = Spin(4)
OPERATOR = PauliSum({"XYII": 1.0, "IXYI": 0.7, "ZZII": 0.5, "IIXX": -0.8, "IYIY": 0.4})
PHASE = ("phase",)


def log_psi(p, x):
    features = jnp.concatenate([x, x * jnp.roll(x, 1, axis=1)], 1)
    return features @ p["size"] + 1j * jnp.tanh(features @ p["phase"]).sum(1)


@pytest.fixture(scope="module")
def state():
    draw = np.random.default_rng(0)
    params = {"size": jnp.asarray(0.3 * draw.normal(size=8)), "phase": jnp.asarray(0.4 * draw.normal(size=(8, 2)))}
    return FullSumState((params, log_psi), SPACE)


@pytest.fixture(scope="module")
def full(state):
    samples = state.sample()[1]
    return samples, state.local_values(OPERATOR, samples)


@pytest.fixture(scope="module")
def exact(state):
    """Half the gradient of the dense energy, by hand in NumPy."""
    x = np.asarray(SPACE.all_states(), float)
    features = np.concatenate([x, x * np.roll(x, 1, axis=1)], 1)
    size, phase = (np.asarray(state.params[name]) for name in ("size", "phase"))
    turned = np.tanh(features @ phase)
    psi = np.exp(features @ size + 1j * turned.sum(1))
    psi /= np.linalg.norm(psi)
    above = np.asarray(OPERATOR.to_dense()) @ psi
    slope = features[:, :, None] * (1 - turned**2)[:, None, :]  # d arg psi
    return np.einsum("x,xij->ij", (np.conj(psi) * above).imag, slope)


@pytest.mark.parametrize("chunk", [None, pytest.param(5, marks=pytest.mark.slow)])
def test_full_sum(state, full, exact, chunk):
    """Both estimates, one by one, are the derivative of the dense energy."""
    blocks = _blocks_of(state.ansatz, state.params, OPERATOR, *full, [0], chunk)
    np.testing.assert_allclose(blocks.direct[0][0], exact, atol=1e-10)
    np.testing.assert_allclose(blocks.score[0][0] - blocks.imag[0] * blocks.turned[0][0], exact, atol=1e-10)


@pytest.mark.slow
def test_public_full_sum(state, full, exact):
    found = phase_forces(state.ansatz, state.params, OPERATOR, *full, PHASE)
    np.testing.assert_allclose(found["phase"].mean, exact, atol=1e-10)
    assert found["size"] is None and not np.any(found["phase"].error)


@pytest.mark.slow
def test_samples(state, full, exact):
    """Over 800 sets of 128 samples: no bias, errors that are true, and the variance of the better estimate."""
    everything, local = full

    @jax.jit
    @jax.vmap
    def sets(key):
        drawn = jax.random.categorical(key, jnp.log(everything.weights), shape=(128,))
        rows = Samples(everything.x[drawn], jnp.full(128, 1 / 128), everything.log_psi[drawn], 128)
        few = (state.ansatz, state.params, OPERATOR, rows, local[drawn])
        ours, usual = phase_forces(*few, PHASE)["phase"], forces(state.ansatz, state.params, rows, local[drawn])
        added = added_forces(*few, PHASE, None)
        direct = _blocks_of(*few, [0], None).direct[0].sum(0)
        return ours.mean, ours.error, usual["phase"], direct, usual["phase"] + added["phase"] - ours.mean, added["size"]

    ours, error, usual, direct, rest, size = map(np.asarray, sets(jax.random.split(jax.random.key(1), 800)))
    for estimate in (ours, direct):
        assert np.all(np.abs(estimate.mean(0) - exact) < 4.5 * estimate.std(0, ddof=1) / np.sqrt(800))
    np.testing.assert_allclose((error**2).mean(0), ours.var(0), rtol=0.3)
    ours, usual, direct = (v.var(0) for v in (ours, usual, direct))
    assert np.all(ours < 1.1 * usual) and ours.sum() < 0.6 * usual.sum() and ours.sum() < 1.05 * direct.sum()
    assert np.abs(rest).max() < 1e-12 and not np.any(size)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dense", "jacobian", "streamed", "cg"])
def test_solves_of_added_forces(state, full, method):
    """Every form of the solve, with and without blocks, against the matrix; rules with memory too."""
    samples, local = full
    names = (state.ansatz, state.params, samples, local)
    added = {"size": jnp.zeros(8), "phase": jnp.asarray(np.random.default_rng(1).normal(size=(8, 2)))}
    force = np.concatenate([np.ravel(f + a) for f, a in zip(*map(jax.tree.leaves, (forces(*names), added)))])
    metric = np.asarray(qgt(*names[:3]))
    rule = SR(shift=1e-2, method=method, tolerance=1e-12)
    found = jax.tree.leaves(rule.step(*names, added=added)[0].update)
    vector = np.concatenate([np.ravel(f) for f in found])
    np.testing.assert_allclose(vector, np.linalg.solve(metric + 1e-2 * np.eye(24), force), atol=1e-9)
    blocks = jax.tree.leaves(SR(shift=1e-2, method=method, tolerance=1e-12, blocks="leaf").step(*names, added=added)[0])
    np.testing.assert_allclose(
        np.ravel(blocks[0]), np.linalg.solve(metric[:16, :16] + 1e-2 * np.eye(16), force[:16]), atol=1e-9
    )
    last = np.random.default_rng(2).normal(size=24)
    for momentum in (
        SPRING(1e-2, 0.9, method=method, tolerance=1e-12),
        MARCH(1e-2, 0.9, method=method, tolerance=1e-12),
    ):
        memory = momentum.init(state.params)
        scale = np.ones(24)
        if isinstance(momentum, MARCH):
            squares = np.abs(last) / 10
            memory = type(memory)(jnp.asarray(last), jnp.asarray(squares), jnp.array(3.0))
            scale = (squares / (1 - 0.995**3)) ** 0.25 + 1e-8
        else:
            memory = jnp.asarray(last)
        direction, _ = momentum.step(*names, memory, added=added)
        vector = np.concatenate([np.ravel(f) for f in jax.tree.leaves(direction.update)])
        start = 0.9 * last
        want = start + np.linalg.solve(metric + 1e-2 * np.diag(scale**2), force - metric @ start)
        np.testing.assert_allclose(vector, want, atol=1e-8)


def product():
    amplitude = qml.ansatz.RBM(SPACE, rngs=nnx.Rngs(0))
    return amplitude * qml.ansatz.Phase(qml.ansatz.Jastrow(SPACE, std=0.5, rngs=nnx.Rngs(1)))


@pytest.mark.slow
@pytest.mark.parametrize("rule", [None, SR(shift=1e-2), SPRING(shift=1e-2)])
def test_driver(rule):
    """Through VMC: a full sum takes the step it takes without, samples another, and the energy is found."""
    full = [
        drivers.VMC(OPERATOR, optax.sgd(0.05), precondition=rule, phases=p).run(FullSumState(product(), SPACE), steps=3)
        for p in (False, True)
    ]
    np.testing.assert_allclose(*(r.history["energy"] for r in full), atol=1e-10)
    state = qml.MCState(product(), SPACE, samples=256, chains=32, key=jax.random.key(0))
    traces = [
        drivers.VMC(OPERATOR, optax.sgd(0.05), precondition=rule, phases=p).run(state, steps=40).history["energy"]
        for p in (False, True)
    ]
    assert traces[0][0] == traces[1][0] and traces[0][-1] != traces[1][-1]
    assert traces[1][-5:].mean() < traces[1][0] - 0.5


def test_what_is_refused(state, full):
    """Parameters that change the modulus, or are not there."""
    names = (state.ansatz, state.params, OPERATOR, *full)
    with pytest.raises(SpaceError, match=r"modulus of the wave function.*\n.*size"):
        phase_forces(*names, ("size", "phase"))
    for phases in (True, ("phases",)):
        with pytest.raises(SpaceError, match="no such parameters"):
            phase_forces(*names, phases)


@pytest.mark.slow
def test_what_the_driver_refuses(state, full):
    names = (state.ansatz, state.params, OPERATOR, *full)
    driver = drivers.VMC(OPERATOR, optax.sgd(0.1), precondition=SR(cutoff=1e-6), phases=PHASE)
    with pytest.raises(ConfigError, match="has a shift"):
        driver.init(state, None)
    samples, local = full
    chains = Samples(samples.x[:13], samples.weights[:13], samples.log_psi[:13], 37)
    with pytest.raises(ConfigError, match="37 chains"):
        jax.eval_shape(lambda: phase_forces(*names[:3], chains, local[:13], PHASE))
