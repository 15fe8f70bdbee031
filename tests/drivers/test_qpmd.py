"""Mirror descent from end to end: thermal states against `expm`, couplings learned from shots against the truth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import drivers
import qml
from drivers import Status, config
from qml._core.errors import ConfigError, DataError
from qml.gibbs import DataObjective, MarginalObjective, PauliGibbs, ThermalObjective, brick_bases
from tests.helpers.zscore import assert_z

LATTICE = qml.lattice.Chain(4)
HILBERT = qml.hilbert.Spin(4)


@pytest.mark.slow
def test_fit_a_thermal_state(tmp_path):
    """The contract: 50 steps give the exact thermal state."""
    hamiltonian = qml.operator.Heisenberg(HILBERT, LATTICE)
    model = qml.gibbs.PauliGibbs.local(HILBERT, LATTICE, body=2)
    driver = drivers.QPMD(qml.gibbs.ThermalObjective(hamiltonian, beta=1.0), step_size=0.5)
    result = driver.run(model, steps=50, key=jax.random.key(0), out=tmp_path / "thermal")
    weight = scipy.linalg.expm(-np.asarray(hamiltonian.to_dense()))
    state = weight / np.trace(weight)
    np.testing.assert_allclose(result.state.log_partition(), np.log(np.trace(weight)), atol=1e-8)
    np.testing.assert_allclose(
        result.state.expect(hamiltonian).mean, np.trace(state @ hamiltonian.to_dense()), atol=1e-8
    )
    np.testing.assert_allclose(result.state.entropy(), -np.trace(state @ scipy.linalg.logm(state)), atol=1e-8)
    np.testing.assert_allclose(result.state.density(), state, atol=1e-8)
    assert result.status is Status.CONVERGED and result.steps <= 50
    distance = result.history["relative_entropy"]
    assert np.all(np.diff(distance) < 1e-14) and distance[-1] < 1e-15 < distance[0]
    np.testing.assert_allclose(
        result.history["natural_gradient"][1:], result.history["natural_gradient"][:-1] / 2, rtol=1e-4
    )
    assert (tmp_path / "thermal" / "result.json").exists()


@pytest.mark.slow
def test_learn_a_hamiltonian(tmp_path):
    """The contract: couplings within their error bars, which are as small as the measurement allows."""
    chain = qml.lattice.Chain(3, periodic=False)
    model = qml.gibbs.PauliGibbs.local(qml.hilbert.Spin(3), chain, body=2)
    truth = model.with_theta(0.5 * jax.random.uniform(jax.random.key(1), model.theta.shape, minval=-1, maxval=1))
    truth.sample(jax.random.key(2), brick_bases(3), 20_000).save(tmp_path / "shots.npz")
    shots = qml.gibbs.ShotData.load(tmp_path / "shots.npz")
    driver = drivers.QPMD(qml.gibbs.DataObjective(shots), step_size=0.5)
    result = driver.run(model, steps=200, key=jax.random.key(0), out=tmp_path / "learned")
    assert result.status is Status.CONVERGED
    learned = result.state.hamiltonian(beta=1.0)
    assert_z(learned.coefficients, truth.theta)
    off = learned.values - truth.theta
    chi = off @ jnp.linalg.solve(learned.covariance, off)
    assert abs(chi - 27) < 4.5 * np.sqrt(2 * 27)
    assert jnp.all(learned.coefficients.error < 0.1)
    deviance = result.history["deviance"][-1]
    assert abs(deviance - (9 * 7 - 27)) < 4.5 * np.sqrt(2 * (9 * 7 - 27))
    assert np.all(np.diff(result.history["loss"]) <= 1e-13)
    text = str(learned)
    assert text.count("(") == 27 and " Z1 Z2" in text
    np.testing.assert_allclose(result.state.hamiltonian(beta=2.0).values, learned.values / 2)
    # energies of the learned state come with errors, too
    ising = qml.operator.Ising(qml.hilbert.Spin(3), chain, j=1.0, h=0.5)
    assert_z(result.state.expect(ising), truth.expect(ising).mean)


@pytest.mark.slow
def test_tables_of_couplings_from_files(tmp_path):
    """`learn` files: tied couplings from shots, couplings from a table of averages; both leave tables with errors."""
    ring = qml.gibbs.TiedGibbs([["ZZI", "IZZ", "ZIZ"], ["XII", "IXI", "IIX"]], jnp.array([-0.4, 0.5]))
    shots = ring.sample(jax.random.key(0), shots=3_000)
    shots.save(tmp_path / "shots.npz")
    terms = ring.free().terms
    mean, spread = shots.moments(ring.strings)
    rows = [f"{w},{m},{e}" for w, m, e in zip(terms, mean.tolist(), np.sqrt(np.diagonal(spread)).tolist())]
    (tmp_path / "averages.csv").write_text("\n".join(["term,value,error", *rows]))
    table = {"kind": "learn", "lattice": {"name": "Chain", "length": 3}, "run": {"steps": 30}}
    for name, objective, model in (
        ("tied", {"file": "shots.npz"}, {"name": "symmetric"}),
        ("averages", {"name": "expectations", "file": "averages.csv"}, {"body": 1}),
    ):
        job = config.build({**table, "objective": objective, "model": model}, tmp_path)
        result = job.run(out=tmp_path / name)
        learned = result.state.hamiltonian()
        lines = (tmp_path / name / "couplings.csv").read_text().split()
        assert lines[0] == "term,value,error" and len(lines) == 1 + len(learned.terms)
        word, value, error = lines[-1].split(",")
        assert word == learned.terms[-1]
        np.testing.assert_allclose([float(value), float(error)], [learned.values[-1], learned.coefficients[-1].error])
        with np.load(tmp_path / name / "couplings.npz") as file:
            np.testing.assert_allclose(file["covariance"], learned.covariance)
        for form in ("csv", "npz"):  # resuming needs only the folder, and writes the tables again
            (tmp_path / name / f"couplings.{form}").unlink()
        drivers.resume(tmp_path / name, steps=0)
        words = [line.split(",")[0] for line in (tmp_path / name / "couplings.csv").read_text().split()]
        assert tuple(words[1:]) == learned.terms
        with np.load(tmp_path / name / "couplings.npz") as file:
            np.testing.assert_allclose(file["values"], learned.values, rtol=1e-9)
            np.testing.assert_allclose(file["covariance"], learned.covariance, rtol=1e-7, atol=1e-12)
    (tmp_path / "averages.csv").write_text("term,value\nZZI,0.1")
    with pytest.raises(ConfigError, match="cannot be read"):
        config.build({**table, "objective": {"name": "expectations", "file": "averages.csv"}}, tmp_path)
    with pytest.raises(ConfigError, match="two forms"):
        learned.save(tmp_path / "couplings.txt")


@pytest.mark.slow
def test_learn_from_averages():
    model = PauliGibbs.local(qml.hilbert.Spin(2), qml.lattice.Chain(2, periodic=False))
    truth = model.with_theta(0.7 * jax.random.uniform(jax.random.key(3), (15,), minval=-1, maxval=1))
    shots = truth.sample(jax.random.key(4), brick_bases(2), 10_000)
    result = drivers.QPMD(DataObjective(shots, "moments")).run(model, steps=200)
    assert result.status is Status.CONVERGED and result.history["kept"][-1] == 1
    assert_z(result.state.hamiltonian().coefficients, truth.theta)
    np.testing.assert_allclose(result.state.marginals(), shots.moments(model.strings)[0], atol=1e-9)


@pytest.mark.slow
def test_exact_marginals_in_one_newton_step():
    truth = PauliGibbs(("XX", "ZI", "IY"), jnp.array([0.8, -0.4, 1.2]))
    driver = drivers.QPMD(MarginalObjective(truth.marginals()), step_size=1.0)
    result = driver.run(truth.with_theta(jnp.zeros(3)), steps=10)
    np.testing.assert_allclose(result.state.theta, truth.theta, atol=1e-9)
    assert result.status is Status.CONVERGED and result.steps == 2
    halves = drivers.QPMD(MarginalObjective(truth.marginals()), step_size=0.5)
    gap = halves.run(truth.with_theta(jnp.zeros(3)), steps=8).history["gradient_norm"]
    np.testing.assert_allclose(gap[1:], gap[:-1] / 2, rtol=1e-8)


def test_infeasible_marginals_end_with_a_status_of_their_own():
    model = PauliGibbs(("XI", "ZI", "ZZ"))
    result = drivers.QPMD(MarginalObjective([0.9, 0.9, 0.1])).run(model, steps=200)
    kept = result.history["kept"]
    assert np.isfinite(result.state.theta).all() and 0.5 < kept[-1] < 1
    assert kept[-1] * 0.9 * np.sqrt(2) < 1  # inside the Bloch sphere
    assert jnp.all(jnp.isinf(jnp.diagonal(result.state.covariance)))
    assert result.status is Status.INFEASIBLE and "no state has these marginals" in result.message


@pytest.mark.slow
def test_a_model_without_all_strings_of_the_hamiltonian():
    """The divergence falls to a minimum of the family: its gradient vanishes, and it stays above zero."""
    hamiltonian = qml.operator.PauliSum({"ZZI": -1.0, "IZZ": -0.7, "XII": 0.6, "IXI": 0.4, "III": 2.0})
    model = PauliGibbs(("ZII", "IZI", "IIZ", "XII", "IXI", "IIX", "ZZI"))
    result = drivers.QPMD(ThermalObjective(hamiltonian, beta=1.5), step_size=0.5).run(model, steps=200)
    assert result.status is Status.CONVERGED
    distance = result.history["relative_entropy"]
    assert np.all(np.diff(distance) < 1e-13) and distance[-1] > 1e-3
    assert result.history["gradient_norm"][-1] < 1e-9

    def free_energy(theta):
        state = model.with_theta(theta)
        return 1.5 * state.expect(hamiltonian).mean - state.entropy()

    np.testing.assert_allclose(jax.jit(jax.grad(free_energy))(result.state.theta), np.zeros(7), atol=1e-8)
    np.testing.assert_allclose(result.history["loss"][-1], free_energy(result.state.theta), atol=1e-11)
    weight = scipy.linalg.expm(-1.5 * np.asarray(hamiltonian.to_dense()))
    np.testing.assert_allclose(result.history["loss"] + np.log(np.trace(weight).real), distance, atol=1e-11)


@pytest.mark.slow
def test_low_temperature_and_full_steps():
    hamiltonian = qml.operator.Ising(HILBERT, LATTICE, j=-1.0, h=0.8)
    model = PauliGibbs(hamiltonian.terms.keys())
    result = drivers.QPMD(ThermalObjective(hamiltonian, beta=50.0), step_size=1.0).run(model, steps=5)
    levels = jnp.linalg.eigvalsh(hamiltonian.to_dense())
    np.testing.assert_allclose(result.state.expect(hamiltonian).mean, levels @ jax.nn.softmax(-50 * levels), atol=1e-12)
    assert result.status is Status.CONVERGED


@pytest.mark.slow
def test_resume_goes_on_from_the_folder(tmp_path):
    hamiltonian = qml.operator.Heisenberg(HILBERT, LATTICE)
    model = PauliGibbs.local(HILBERT, LATTICE)
    driver = drivers.QPMD(ThermalObjective(hamiltonian, beta=0.5), step_size=0.25, tolerance=0.0)
    whole = driver.run(model, steps=8)
    driver.run(model, steps=4, out=tmp_path / "run")
    again = drivers.resume(tmp_path / "run", steps=4, like=model)
    np.testing.assert_array_equal(again.state.theta, whole.state.theta)


def test_bad_input():
    objective = ThermalObjective(qml.operator.PauliSum({"ZZ": 1.0}))
    with pytest.raises(ConfigError, match="out of range"):
        drivers.QPMD(objective, step_size=1.5)
    with pytest.raises(ConfigError, match="out of range"):
        drivers.QPMD(objective, damping=-1.0)
    with pytest.raises(ConfigError, match="needs an objective"):
        drivers.QPMD(qml.operator.PauliSum({"ZZ": 1.0}))
    with pytest.raises(ConfigError, match="fits Gibbs models"):
        drivers.QPMD(objective).run(jnp.zeros(3), steps=1)
    shots = qml.gibbs.ShotData(["ZZ"], [[0, 1]])
    for own in (DataObjective(shots, "corrected"), qml.gibbs.StreamObjective([shots])):
        with pytest.raises(ConfigError, match="its own steps"):
            drivers.QPMD(own, optimizer=qml.gibbs.levenberg_marquardt()).run(PauliGibbs(("ZZ",)), steps=1)
    with pytest.raises(DataError, match="one marginal"):
        drivers.QPMD(MarginalObjective([0.1])).run(PauliGibbs(("X", "Z")), steps=1)


@pytest.mark.slow
def test_a_latent_model_with_the_unitary_of_a_program():
    """Gates of a program make the same states as rotations, and are fitted to the same thermal state."""
    from diffquantum.errors import UnsupportedError
    from diffquantum.ir import Const, Gate, Measure, Parameter, Program

    body = (
        *(Gate("ry", (Const(q),), Parameter(q)) for q in (0, 1)),
        Gate("cx", (Const(1), Const(0))),
        *(Gate("rx", (Const(q),), Parameter(2 + q)) for q in (0, 1)),
        Gate("rzz", (Const(0), Const(1)), Parameter(4)),
    )
    program = Program("Ansatz", tuple("abcde"), 2, body, register=(0, 1))
    circuit = drivers.program_circuit(program)
    angles = jnp.linspace(0.3, 1.1, 5)
    ry, rx = (
        lambda t, p=p: scipy.linalg.expm(-0.5j * float(t) * np.array(p))
        for p in ([[0, -1j], [1j, 0]], [[0, 1], [1, 0]])
    )
    cnot = np.eye(4)[[0, 3, 2, 1]]  # the second qubit controls the first
    rzz = np.diag(np.exp(-0.5j * float(angles[4]) * np.array([1, -1, -1, 1])))
    expected = rzz @ np.kron(rx(angles[2]), rx(angles[3])) @ cnot @ np.kron(ry(angles[0]), ry(angles[1]))
    np.testing.assert_allclose(circuit.unitary(angles), expected, atol=1e-14)
    step = 1e-6 * np.eye(5)[2]
    slope = (circuit.unitary(angles + step) - circuit.unitary(angles - step)) / 2e-6
    np.testing.assert_allclose(circuit.generators(angles)[1][2], 1j * expected.conj().T @ slope, atol=1e-8)
    h = qml.operator.PauliSum({"ZZ": -1.0, "XI": -0.5, "IX": -0.5})
    start = qml.gibbs.LatentGibbs(qml.gibbs.KOBE(2, 2), circuit).random(jax.random.key(3), 0.5)
    fit = drivers.QPMD(ThermalObjective(h, beta=1.0)).run(start, steps=60)
    assert fit.history["relative_entropy"][-1] < 0.2 * fit.history["relative_entropy"][0]
    measured = Program("Bad", ("a",), 1, (Measure(Const(0), "m"),), register=(0,))
    with pytest.raises(UnsupportedError, match="not a unitary"):
        drivers.program_circuit(measured)
