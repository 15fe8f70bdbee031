"""Time evolution against the exact propagator, orders of the integrators, and adaptive steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from flax import nnx

import drivers
import qml
from drivers.integrators import Flow
from qml._core.errors import ConfigError, SpaceError
from tests.helpers.zscore import assert_z

N = 3
SPACE = qml.hilbert.Spin(N)
HAMILTONIAN = qml.operator.Ising(SPACE, qml.lattice.Chain(N), j=-1.0, h=1.3)
OBSERVE = {"mx": qml.operator.total(SPACE, "X"), "mz": qml.operator.total(SPACE, "Z")}
SR = qml.estimate.SR(cutoff=1e-10)


def apply_table(theta, x):
    return theta[SPACE.states_to_indices(x)]


@pytest.fixture(scope="module")
def table():
    """All amplitudes are parameters: the variational equations are the Schroedinger equation."""
    rng = np.random.default_rng(0)
    theta = jnp.asarray(0.3 * rng.normal(size=8) + 0.3j * rng.normal(size=8))
    return qml.FullSumState((theta, apply_table), SPACE)


def exact(state, time: float, factor: complex = -1j) -> np.ndarray:
    psi = scipy.linalg.expm(factor * time * np.asarray(HAMILTONIAN.to_dense())) @ np.asarray(state.to_array())
    return psi / np.linalg.norm(psi)


def angle(state, psi: np.ndarray) -> float:
    overlap = abs(np.vdot(np.asarray(state.to_array()), psi)) ** 2
    return float(np.sqrt(max(0.0, 1 - overlap)))


@pytest.mark.parametrize("method, order", [(drivers.Euler, 1), (drivers.Heun, 2), (drivers.RK4, 4)])
def test_orders_of_the_integrators(method, order):
    """On y' = -y^2, whose solution is 1 / (1 + t)."""

    def begin(y):
        return y, y, Flow(lambda p, t: (jax.tree.map(lambda v: -(v**2), p), p["a"]), lambda change: change["a"])

    errors = []
    for dt in (0.1, 0.05):
        integrator = method(dt)
        y, done = integrator.advance(begin, lambda _, p: p, {"a": jnp.ones(())}, dt, 1.0)
        errors.append(abs(float(y["a"]) - 0.5))
        assert int(done.steps) == round(1 / dt) and not bool(done.stalled)
        assert abs(float(done.mean) - np.log(2)) < 0.6 * dt  # first stages: a left Riemann sum of 1 / (1 + t)
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.2


@pytest.mark.parametrize("method, order", [(drivers.Heun, 2), (drivers.RK4, 4)])
def test_stages_know_their_time(method, order):
    """On y' = 2 t y from time 1, whose solution is exp(t^2 - 1)."""

    def begin(y):
        return y, y, Flow(lambda p, t: (2 * t * p, jnp.zeros(())), jnp.abs)

    errors = []
    for dt in (0.1, 0.05):
        y, _ = method(dt).advance(begin, lambda _, p: p, jnp.ones(()), dt, 0.5, 1.0)
        errors.append(abs(float(y) - np.exp(1.25)))
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.3
    if order == 2:
        y, _ = method(rtol=1e-6, metric="euclid").advance(begin, lambda _, p: p, jnp.ones(()), 0.1, 0.5, 1.0)
        assert abs(float(y) - np.exp(1.25)) < 1e-4


def test_fixed_steps_divide_the_span():
    def begin(y):
        return y, y, Flow(lambda p, t: (jnp.ones(()), jnp.zeros(())), lambda change: change)

    y, done = drivers.RK4(0.3).advance(begin, lambda _, p: p, jnp.zeros(()), 0.3, 1.0)
    assert abs(float(y) - 1.0) < 1e-14 and int(done.steps) == 4 and abs(float(done.dt) - 0.25) < 1e-15


def test_adaptive_steps_stall_where_there_is_no_solution():
    def begin(y):
        return y, y, Flow(lambda p, t: (p**2, jnp.zeros(())), jnp.abs)

    driver = drivers.Heun(rtol=1e-3)
    y, done = driver.advance(begin, lambda _, p: p, jnp.ones(()), 0.1, 2.0)  # 1 / (1 - t) ends at t = 1
    assert bool(done.stalled) and float(y) > 100


@pytest.mark.slow
def test_observables_follow_the_exact_evolution(table):
    result = drivers.TDVP(HAMILTONIAN, drivers.RK4(0.005), precondition=SR).run(
        table, time=1.0, every=0.25, observe=OBSERVE
    )
    history = result.history
    np.testing.assert_allclose(history["time"], [0, 0.25, 0.5, 0.75, 1.0], atol=1e-14)
    for name, operator in OBSERVE.items():
        matrix = np.asarray(operator.to_dense())
        states = [exact(table, t) for t in history["time"]]
        np.testing.assert_allclose(history[name], [np.vdot(p, matrix @ p).real for p in states], atol=1e-6)
    np.testing.assert_allclose(history["energy"], history["energy"][0], atol=1e-6)
    assert history["tdvp_error"].max() < 1e-8
    assert result.history["substeps"][-1] == 50


@pytest.mark.slow
def test_driven_evolution(table, tmp_path):
    """A Hamiltonian that depends on time against exact evolution; one compiled step; a resumed run is the same."""
    times = []

    def field(t):
        times.append(t)
        return jnp.cos(4 * t)

    driven = qml.operator.TimeDependent(HAMILTONIAN, [(field, OBSERVE["mx"])])
    driver = drivers.TDVP(driven, drivers.RK4(0.01), precondition=SR)
    observe = {**OBSERVE, "drive": qml.operator.TimeDependent(None, [(jnp.sin, OBSERVE["mz"])])}
    result = driver.run(table, time=0.4, every=0.2, observe=observe, out=tmp_path / "run")
    traced = len(times)
    run = qml.exact.evolve(driven, table.to_array(), result.history["time"])
    assert angle(result.state, np.asarray(run.vectors[-1])) < 1e-6
    for time, vector, energy, drive in zip(run.times, run.vectors, *(result.history[k] for k in ("energy", "drive"))):
        np.testing.assert_allclose(energy, qml.exact.expect(vector, driven(time)), atol=1e-6)
        np.testing.assert_allclose(drive, jnp.sin(time) * qml.exact.expect(vector, OBSERVE["mz"]), atol=1e-6)
    drivers.resume(tmp_path / "run", steps=1)
    assert traced < 40 and len(result.history["time"]) == 3  # traced, not called at each of 160 stages
    with pytest.raises(ConfigError, match="not Hermitian"):
        drivers.TDVP(qml.operator.TimeDependent(None, [(lambda t: 1j, HAMILTONIAN)]), drivers.RK4(0.1)).run(
            table, time=0.1, every=0.1
        )


def test_imaginary_time_lowers_the_energy(table):
    driver = drivers.TDVP(HAMILTONIAN, drivers.RK4(0.02), precondition=SR, imaginary=True)
    result = driver.run(table, time=0.6, every=0.1)
    assert np.all(np.diff(result.history["energy"]) < 0)
    assert angle(result.state, exact(table, 0.6, -1.0)) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["state", "euclid"])
def test_adaptive_steps_keep_their_tolerance(table, metric):
    errors, work = [], []
    for rtol in (1e-2, 1e-3):
        driver = drivers.TDVP(HAMILTONIAN, drivers.Heun(rtol=rtol, metric=metric))
        result = driver.run(table, time=1.0, every=0.25)
        errors.append(angle(result.state, exact(table, 1.0)))
        work.append(int(result.history["substeps"].sum()))
    assert errors[0] < 0.04 and errors[1] < 0.004 and errors[1] < 0.3 * errors[0]
    assert 2 < work[1] / work[0] < 5  # the step goes as the square root of the tolerance


def test_a_first_step_that_is_too_large_is_taken_back(table):
    driver = drivers.TDVP(HAMILTONIAN, drivers.Heun(0.5, rtol=1e-3))
    result = driver.run(table, time=0.5, every=0.5)
    assert int(result.history["rejected"][-1]) >= 1
    assert angle(result.state, exact(table, 0.5)) < 2e-3


def test_tdvp_error_sees_what_the_ansatz_cannot_do():
    space = qml.hilbert.Spin(4)
    quench = qml.operator.Ising(space, qml.lattice.Chain(4), j=-1.0, h=0.5)
    product = (jnp.zeros(4, complex), lambda theta, x: x @ theta)
    result = drivers.TDVP(quench, drivers.RK4(0.02)).run(qml.FullSumState(product, space), time=0.02, every=0.02)
    assert 0.3 < result.history["tdvp_error"][-1] < 1.0001  # a product state cannot build the entanglement


@pytest.mark.slow
def test_rbm_quench_against_the_exact_evolution():
    space = qml.hilbert.Spin(6)
    quench = qml.operator.Ising(space, qml.lattice.Chain(6), j=-1.0, h=2.0)
    model = qml.ansatz.RBM(space, alpha=2, dtype=complex, std=0.05, rngs=nnx.Rngs(2))
    state = qml.FullSumState(model, space)
    observe = {"mx": qml.operator.total(space, "X") / 6}
    driver = drivers.TDVP(quench, drivers.Heun(rtol=1e-3), precondition=qml.estimate.SR(cutoff=1e-8))
    result = driver.run(state, time=0.5, every=0.1, observe=observe)
    psi, matrix = np.asarray(state.to_array()), np.asarray(quench.to_dense())
    mx = np.asarray(observe["mx"].to_dense())
    for time, value in zip(result.history["time"], result.history["mx"], strict=True):
        evolved = scipy.linalg.expm(-1j * time * matrix) @ psi
        assert abs(value - np.vdot(evolved, mx @ evolved).real) < 5e-3


def test_samples_follow_too(table):
    state = qml.MCState((table.params, apply_table), SPACE, samples=4000, chains=100, key=jax.random.key(0))
    driver = drivers.TDVP(HAMILTONIAN, drivers.Heun(rtol=2e-3), precondition=qml.estimate.SR(cutoff=1e-6))
    result = driver.run(state, time=0.5, every=0.1, observe=OBSERVE)
    psi = exact(table, 0.5)
    assert angle(result.state, psi) < 0.05
    now = qml.FullSumState((result.state.ansatz, result.state.params), SPACE)
    last = result.history.last()
    mean = qml.Stats.exact(jnp.asarray(last["mx"]["mean"]))
    assert_z(
        qml.Stats(mean.mean, jnp.asarray(last["mx"]["error"]), mean.variance, mean.tau, mean.r_hat, mean.samples),
        now.expect(OBSERVE["mx"]).mean.real,
    )
    assert result.history["substeps"][1:].max() < 60  # noise does not make the steps collapse


@pytest.mark.slow
def test_runs_on_disk_resume_bit_for_bit(table, tmp_path):
    driver = drivers.TDVP(HAMILTONIAN, drivers.Heun(rtol=1e-2))
    driver.run(table, time=1.0, every=0.1, observe=OBSERVE, out=tmp_path / "one")
    driver.run(table, steps=4, every=0.1, observe=OBSERVE, out=tmp_path / "two")
    drivers.resume(tmp_path / "two", steps=6)
    one, two = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("one", "two"))
    assert one == two


def test_bad_input(table):
    driver = drivers.TDVP(HAMILTONIAN, drivers.RK4(0.05))
    with pytest.raises(ConfigError, match="no multiple"):
        driver.run(table, time=1.0, every=0.3)
    with pytest.raises(ConfigError, match="takes a total time"):
        driver.run(table)
    with pytest.raises(ConfigError, match="positive"):
        driver.run(table, time=-1.0)
    with pytest.raises(ConfigError, match="needs the time of one"):
        drivers.TDVP(HAMILTONIAN, drivers.Heun(rtol=1e-3)).run(table, steps=3)
    with pytest.raises(SpaceError, match="no phase"):
        real = qml.FullSumState((table.params.real, apply_table), SPACE)
        driver.run(real, time=0.1, every=0.1)
    for call in (lambda: drivers.RK4(0.0), lambda: drivers.Heun(), lambda: drivers.Heun(rtol=-1.0)):
        with pytest.raises(ConfigError):
            call()
    with pytest.raises(ConfigError, match="metric"):
        drivers.Heun(rtol=1e-3, metric="stat")
