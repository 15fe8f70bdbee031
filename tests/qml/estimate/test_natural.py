"""Natural gradients: both forms of the solve, the dense twin, exact time evolution, known numbers of a fixed state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from flax import nnx

from qml import FullSumState, MCState
from qml._core.errors import ConfigError, SpaceError
from qml._core.tree import realify
from qml.ansatz import RBM
from qml.estimate import SR, Samples, forces, jacobian, qgt, residual
from qml.estimate.solve import solve_shifted
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Ising
from tests.helpers.zscore import assert_z
from tests.qml.ansatz.models import model

flat = jax.jit(lambda tree: realify(tree)[0])

SPACE = Spin(6)
OPERATOR = Ising(SPACE, Chain(6), j=-1.0, h=0.7)


@pytest.mark.parametrize(
    "shape", [(7, 12), (12, 7), *(pytest.param(s, marks=pytest.mark.slow) for s in ((9, 9), (1, 3)))]
)
@pytest.mark.parametrize("rule", [{"shift": 1e-3}, {"cutoff": 1e-6}])
def test_over_parameters_and_over_samples(shape, rule):
    """The two forms are one vector; a shift solves (S + shift) x = F; a cutoff keeps the solution of S x = F."""
    rows, right = np.random.default_rng(0).normal(size=shape), np.random.default_rng(1).normal(size=shape[:1])
    forms = [SR(**rule, method=m).solve(jnp.asarray(rows), jnp.asarray(right)) for m in ("sr", "minsr", "auto")]
    np.testing.assert_allclose(forms[0], forms[1], atol=1e-10)
    np.testing.assert_allclose(forms[0], forms[2], atol=1e-10)
    metric = rows.T @ rows + rule.get("shift", 0) * np.eye(shape[1])
    np.testing.assert_allclose(metric @ np.asarray(forms[0]), rows.T @ right, atol=1e-10)


def test_cutoff_is_a_smooth_truncation():
    """Each mode is weighted by 1 / (l (1 + (cutoff l_max / l)^6))."""
    random = np.random.default_rng(0)
    vectors, right = np.linalg.qr(random.normal(size=(5, 5)))[0], random.normal(size=5)
    values = np.array([1.0, 1e-1, 1e-2, 1e-3, 0.0])
    rows = np.sqrt(values)[:, None] * vectors.T
    x = np.asarray(SR(cutoff=1e-2).solve(jnp.asarray(rows), jnp.asarray(right)))
    weight = np.where(values > 0, 1 / (np.maximum(values, 1e-30) * (1 + (1e-2 / np.maximum(values, 1e-30)) ** 6)), 0)
    np.testing.assert_allclose(vectors.T @ x, weight * np.sqrt(values) * right, atol=1e-10)
    assert np.all(SR(cutoff=1e-2).solve(jnp.zeros((3, 4)), jnp.zeros(3)) == 0)


def test_fallback_where_cholesky_fails():
    """A matrix that rounding made slightly indefinite is still solved, and NaN stays NaN."""
    metric = jnp.diag(jnp.array([1.0, 2.0, -1e-6]))
    x = solve_shifted(lambda: metric, jnp.array([1.0, 1.0, 1.0]), jnp.array(1e-7))
    np.testing.assert_allclose(x, [1 / (1 + 1e-7), 1 / (2 + 1e-7), 1e7], rtol=1e-12)
    assert np.all(np.isnan(solve_shifted(lambda: metric * jnp.nan, jnp.ones(3), jnp.array(1e-3))))


@pytest.mark.parametrize(
    "name", ["complex rbm", "mixed", *(pytest.param(n, marks=pytest.mark.slow) for n in ("rbm", "gcnn"))]
)
def test_direction(name):
    """(S + shift) x = F with metric and force from their own functions."""
    state = FullSumState(model(name, 6), SPACE)
    samples = state.sample()[1]
    local = state.local_values(OPERATOR, samples)
    metric = np.asarray(qgt(state.ansatz, state.params, samples))
    force = np.asarray(flat(forces(state.ansatz, state.params, samples, local)))
    x = np.linalg.solve(metric + 1e-3 * np.eye(len(force)), force)
    for method in ("sr", "minsr"):
        rule = SR(shift=1e-3, method=method, chunk=10)
        direction = jax.jit(lambda s, x, l, r=rule: r.direction(s.ansatz, s.params, x, l))(state, samples, local)
        np.testing.assert_allclose(flat(direction.update), x, atol=1e-10)
        np.testing.assert_allclose(direction.metric_norm, x @ metric @ x, rtol=1e-9)
        np.testing.assert_allclose(direction.force_dot, x @ force, rtol=1e-9)
    rows = jacobian(state.ansatz, state.params, samples)
    np.testing.assert_allclose(np.asarray(rows).T @ residual(state.ansatz, samples, local), force, atol=1e-12)


def lookup(space):
    """One complex log amplitude for each configuration: an ansatz that can follow any evolution."""
    params = 0.3 * jax.random.normal(jax.random.key(0), (space.size,), complex)
    return params, lambda p, x: p[space.states_to_indices(x)]


def test_real_time_is_the_schroedinger_equation():
    """Runge-Kutta with thetadot from SR against expm(-i H t), for an ansatz that holds every state."""
    space = Spin(3)
    operator = Ising(space, Chain(3), j=-1.0, h=0.7)
    state = FullSumState(lookup(space), space)
    rule = SR(cutoff=1e-10)

    @jax.jit
    def velocity(params):
        now = state.with_params(params)
        samples = now.sample()[1]
        local = now.local_values(operator, samples)
        direction = rule.direction(now.ansatz, params, samples, local, real_time=True)
        variance = samples.statistics(local, hermitian=True).variance
        return direction.update, (variance + direction.metric_norm - 2 * direction.force_dot) / variance

    start, dt, params = np.asarray(state.to_array()), 0.01, state.params
    for _ in range(20):
        k1, error = velocity(params)
        assert abs(float(error)) < 1e-9  # nothing of H psi is lost
        k2 = velocity(params + 0.5 * dt * k1)[0]
        k3 = velocity(params + 0.5 * dt * k2)[0]
        k4 = velocity(params + dt * k3)[0]
        params = params + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    exact = scipy.linalg.expm(-0.2j * np.asarray(operator.to_dense())) @ start
    overlap = np.vdot(exact, np.asarray(state.with_params(params).to_array()))
    assert 1 - abs(overlap) < 1e-11


def test_imaginary_time_descends():
    """theta <- theta - dtau x follows exp(-H tau)."""
    space = Spin(3)
    operator = Ising(space, Chain(3), j=-1.0, h=0.7)
    state = FullSumState(lookup(space), space)
    samples = state.sample()[1]
    x = SR(cutoff=1e-10).direction(state.ansatz, state.params, samples, state.local_values(operator, samples)).update
    dt = 1e-5
    ahead, back = (np.asarray(state.with_params(state.params - s * dt * x).to_array()) for s in (1, -1))
    start = np.asarray(state.to_array())
    exact = [scipy.linalg.expm(-s * dt * np.asarray(operator.to_dense())) @ start for s in (1, -1)]
    for a, b in zip((ahead, back), exact, strict=True):
        assert 1 - abs(np.vdot(a, b)) / np.linalg.norm(b) < 1e-15
    assert state.with_params(state.params - 0.05 * x).expect(operator).mean < state.expect(operator).mean


def jastrow_chain(p, x):
    return sum(p[k] * jnp.sum(x * jnp.roll(x, -k - 1, axis=1), axis=1) for k in range(3))


FORCE = [1.6808063738637136, 1.766807456103606, 1.5132475043755371]
METRIC = [
    [8.631827671170539, 9.488234580065535, 10.419202565030558],
    [9.488234580065534, 13.718505288168023, 15.279597063192837],
    [10.419202565030558, 15.279597063192838, 19.6756612739114],
]
STEP = [0.2102240999276919, 0.16067843298563053, -0.15918461196162795]


def test_fixed_state_full_sum():
    """Jastrow state on the critical Ising chain of 10 sites: energy, variance, force, metric and step, to 1e-10."""
    space = Spin(10)
    operator = Ising(space, Chain(10), j=-1.0, h=1.0)
    state = FullSumState((jnp.array([0.25, 0.1, 0.05]), jastrow_chain), space)
    samples = state.sample()[1]
    local = state.local_values(operator, samples)
    stats = state.expect(operator)
    assert abs(stats.mean + 12.635339350161454) < 1e-10 and abs(stats.variance - 0.6917977249392616) < 1e-10
    np.testing.assert_allclose(forces(state.ansatz, state.params, samples, local), FORCE, atol=1e-10)
    np.testing.assert_allclose(qgt(state.ansatz, state.params, samples), METRIC, atol=1e-10)
    step = SR(shift=1e-3).direction(state.ansatz, state.params, samples, local).update
    np.testing.assert_allclose(step, STEP, atol=1e-10)


def test_update_of_another_code():
    """Force and step of a complex RBM on eight given samples: NetKet 3.23, `srt_onthefly` in complex mode."""
    k, n = np.arange(16.0).reshape(4, 4), np.arange(4.0)
    params = {
        "visible_bias": jnp.asarray(0.02 * n + 0.01j * (n - 1.5)),
        "hidden_bias": jnp.asarray(0.05 * np.cos(n) + 0.03j * np.sin(n + 1)),
        "kernel": jnp.asarray(0.1 * np.sin(k + 1) + 0.1j * np.cos(2 * k + 1)),
    }
    state = FullSumState(RBM(4, dtype=complex, rngs=nnx.Rngs(0)), Spin(4)).with_params(params)
    codes = ["1111", "1011", "1101", "0011", "1111", "0110", "1100", "0000"]
    x = jnp.asarray([[2 * int(c) - 1 for c in code] for code in codes], jnp.int8)
    samples = Samples(x, jnp.full(8, 1 / 8), state.log_psi(x), 8)
    local = state.local_values(Ising(Spin(4), Chain(4), j=-1.0, h=0.7), samples)
    assert abs(local[3] - (-2.77474272711945 + 0.18548085938672149j)) < 1e-12
    force = forces(state.ansatz, params, samples, local)
    np.testing.assert_allclose(force["hidden_bias"], NETKET_FORCE, atol=1e-10)
    for form in ("dense", "assembled"):
        step = SR(shift=1e-2, method=form).direction(state.ansatz, params, samples, local).update
        np.testing.assert_allclose(step["visible_bias"], NETKET_VISIBLE, atol=1e-10)
        np.testing.assert_allclose(step["hidden_bias"], NETKET_HIDDEN, atol=1e-10)
        np.testing.assert_allclose(step["kernel"][3], NETKET_KERNEL, atol=1e-10)


NETKET_FORCE = [
    0.020583721163412002 + 0.0008203901141590215j,
    0.0030520088151859974 + 0.006575492503102999j,
    -0.01588375774994238 + 0.011328375531860672j,
    0.0022673099208860657 - 0.01677902322710455j,
]
NETKET_VISIBLE = [
    0.2617190116981494 + 0.02147241723888416j,
    0.030718177673048075 - 0.07399662404351366j,
    -0.43686177052841657 + 0.20176429340790597j,
    0.470393647967402 - 0.011602866397756182j,
]
NETKET_HIDDEN = [
    0.024650549873256544 - 0.018549750207166246j,
    0.10507113385064315 + 0.0665452662945138j,
    0.050546553071701084 - 0.017644456932321556j,
    0.0076454515039035 - 0.06670794978576824j,
]
NETKET_KERNEL = [
    0.5174280686562818 - 1.083932438714569j,
    0.1732226962189305 - 0.013677028808848968j,
    -0.34405162812966594 + 1.1102158202018133j,
    -0.4755538481473114 - 0.954860984223948j,
]


@pytest.mark.slow
def test_fixed_state_sampled():
    """The same from Markov chains, by z-score."""
    space = Spin(10)
    operator = Ising(space, Chain(10), j=-1.0, h=1.0)
    pair = (jnp.array([0.25, 0.1, 0.05]), jastrow_chain)
    state = MCState(pair, space, samples=16384, chains=128, key=jax.random.key(0))
    samples = state.sample()[1]
    local = state.local_values(operator, samples)
    assert_z(samples.statistics(local), -12.635339350161454)
    assert_z(samples.statistics(jnp.abs(local + 12.635339350161454) ** 2), 0.6917977249392616)
    rows = jacobian(state.ansatz, state.params, samples) * np.sqrt(state.n_samples)
    assert_z(samples.statistics(rows * (local - samples.mean(local))[:, None]), np.array(FORCE))
    assert_z(samples.statistics(rows[:, :, None] * rows[:, None, :]), np.array(METRIC))


def test_bad_rules():
    with pytest.raises(ConfigError, match="not both"):
        SR(shift=1e-3, cutoff=1e-8)
    for bad in ({"shift": 0.0}, {"shift": -1.0}, {"cutoff": float("inf")}, {"cutoff": float("nan")}):
        with pytest.raises(ConfigError, match="positive number"):
            SR(**bad)
    with pytest.raises(ConfigError, match="minsr"):
        SR(method="min_sr")
    state = FullSumState(model("rbm", 6), SPACE)
    with pytest.raises(SpaceError, match="no phase"):
        samples = state.sample()[1]
        SR().direction(state.ansatz, state.params, samples, samples.weights, real_time=True)
