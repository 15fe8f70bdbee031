"""The five jobs, written as a user writes them, at small size, against exact answers."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import diffquantum
import drivers
import qml
import symmetries
from tests.helpers.zscore import assert_z

HERE = pathlib.Path(__file__).parent


def is_run_directory(path: pathlib.Path) -> bool:
    lines = (path / "metrics.jsonl").read_text().splitlines()
    json.loads((path / "result.json").read_text())
    json.loads((path / "environment.json").read_text())
    return all("step" in json.loads(line) for line in lines) and len(lines) > 0 and (path / "config.toml").exists()


def test_ground_state(tmp_path):
    lattice = qml.lattice.Square(4, 3)
    hilbert = qml.hilbert.Spin(lattice.n_sites, magnetisation=0)
    hamiltonian = qml.operator.J1J2(hilbert, lattice, j1=1.0, j2=0.5)
    sector = symmetries.Sector(symmetries.space_group(lattice), momentum=(0, 0), irrep="A1")
    ansatz = qml.ansatz.GCNN(sector, layers=2, features=2, rngs=nnx.Rngs(0))
    state = qml.MCState(ansatz, hilbert, samples=128, chains=32, key=jax.random.key(1))
    driver = drivers.VMC(hamiltonian, optax.sgd(0.2), precondition=qml.estimate.SR(shift=1e-3))
    result = driver.run(state, steps=5, out=tmp_path / "j1j2")
    assert "energy" in str(result) and str(tmp_path) in str(result)
    assert is_run_directory(tmp_path / "j1j2")
    figure = drivers.plot.energy(result.history)
    assert figure is not None
    exact = qml.exact.ground_state(hamiltonian)
    energy = result.state.expect(hamiltonian)
    assert energy.mean > exact.energies[0] - 4.5 * energy.error
    assert energy.mean < result.history["energy.mean"][0]
    full = qml.FullSumState(ansatz, hilbert).with_params(result.state.params)
    assert_z(energy, full.expect(hamiltonian).mean)


def test_dynamics(tmp_path):
    lattice = qml.lattice.Chain(6)
    hilbert = qml.hilbert.Spin(lattice.n_sites)
    ansatz = qml.ansatz.RBM(hilbert, alpha=2, dtype=complex, rngs=nnx.Rngs(0))
    state = qml.FullSumState(ansatz, hilbert)
    quench = qml.operator.Ising(hilbert, lattice, j=-1.0, h=3.0)
    observe = {"mx": qml.operator.total(hilbert, "X") / lattice.n_sites}
    driver = drivers.TDVP(quench, drivers.Heun(rtol=1e-3), precondition=qml.estimate.SR(cutoff=1e-8))
    result = driver.run(state, time=0.2, observe=observe, every=0.02, out=tmp_path / "quench")
    figure = drivers.plot.observable(result.history, "mx")
    assert figure is not None and is_run_directory(tmp_path / "quench")
    times = result.history["time"]
    np.testing.assert_allclose(times[-1], 0.2, atol=1e-12)
    exact = qml.exact.evolve(quench, state.to_array(), times)
    mx = [qml.exact.expect(v, observe["mx"]).real for v in exact.vectors]
    np.testing.assert_allclose(result.history["mx.mean"], mx, atol=5e-3)


def test_program(tmp_path):
    program = diffquantum.load(HERE / "prepare.qs", entry="Prepare", parameters=2, qubits=2)
    text = diffquantum.derivative(program, 0).to_qsharp()
    assert "operation" in text and ("while" in text or "repeat" in text)
    observable = qml.operator.PauliSum({"ZZ": 1.0, "XI": 0.5})
    exact = diffquantum.expectation(program, observable)
    theta = jnp.array([1.0, 0.7])
    value, gradient = jax.value_and_grad(exact)(theta)
    step = 1e-5
    for j in range(2):
        shift = jnp.zeros(2).at[j].set(step)
        np.testing.assert_allclose(gradient[j], (exact(theta + shift) - exact(theta - shift)) / (2 * step), atol=1e-8)
    energy = diffquantum.expectation(program, observable, shots=1000, loops=diffquantum.Roulette())
    key = jax.random.key(0)
    sampled = energy.gradient(theta, key)
    assert_z(sampled, gradient)
    assert "(" in str(sampled)
    result = drivers.ProgramFit(energy, optax.adam(0.05)).run(theta, steps=5, key=key, out=tmp_path / "program")
    assert is_run_directory(tmp_path / "program")
    assert result.state.shape == (2,)
    fit = drivers.ProgramFit(exact, optax.adam(0.05)).run(theta, steps=50, key=key)
    assert exact(fit.state) < value - 0.1


def test_gibbs_state(tmp_path):
    lattice = qml.lattice.Chain(4)
    hilbert = qml.hilbert.Spin(lattice.n_sites)
    hamiltonian = qml.operator.Heisenberg(hilbert, lattice)
    model = qml.gibbs.PauliGibbs.local(hilbert, lattice, body=2)
    driver = drivers.QPMD(qml.gibbs.ThermalObjective(hamiltonian, beta=1.0), step_size=0.5)
    result = driver.run(model, steps=50, key=jax.random.key(0), out=tmp_path / "thermal")
    assert is_run_directory(tmp_path / "thermal")
    levels = np.linalg.eigvalsh(hamiltonian.to_dense())
    weights = np.exp(-levels) / np.exp(-levels).sum()
    np.testing.assert_allclose(result.state.expect(hamiltonian).mean, weights @ levels, atol=1e-8)
    np.testing.assert_allclose(result.state.entropy(), -weights @ np.log(weights), atol=1e-8)
    np.testing.assert_allclose(result.state.log_partition(), np.log(np.exp(-levels).sum()), atol=1e-8)


def test_hamiltonian_learning(tmp_path):
    lattice = qml.lattice.Chain(3)
    hilbert = qml.hilbert.Spin(lattice.n_sites)
    truth = qml.gibbs.PauliGibbs.local(hilbert, lattice, body=2)
    theta = 0.4 * jax.random.normal(jax.random.key(3), truth.theta.shape)
    truth = truth.with_theta(theta)
    truth.sample(jax.random.key(4), shots=4_000).save(tmp_path / "shots.npz")

    shots = qml.gibbs.ShotData.load(tmp_path / "shots.npz")
    model = qml.gibbs.PauliGibbs.local(hilbert, lattice, body=2)
    driver = drivers.QPMD(qml.gibbs.DataObjective(shots), step_size=0.5)
    result = driver.run(model, steps=200, key=jax.random.key(0), out=tmp_path / "learned")
    learned = result.state.hamiltonian(beta=1.0)
    assert "(" in str(learned)
    assert_z(learned.coefficients, theta)
    chi_squared = float(jnp.sum(((learned.coefficients.mean - theta) / learned.coefficients.error) ** 2))
    assert chi_squared < theta.size + 4.5 * np.sqrt(2 * theta.size)
    assert drivers.plot.coefficients(result.state) is not None
    assert is_run_directory(tmp_path / "learned")
