"""Bad input of every kind gets an error in four parts: what, got, expected, try."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import diffquantum
import drivers
import qml
import symmetries
from drivers import config
from qml._core.errors import GradketError

LOOP = """
operation Count(t : Double) : Int {
    use r = Qubit();
    mutable n = 0;
    Ry(t, r);
    while M(r) == Zero { Ry(t, r); n += 1; }
    Reset(r);
    n
}
"""
RUS = """
operation RusZ(theta : Double, phi : Double) : Result {
    use (q, r) = (Qubit(), Qubit());
    Ry(theta, r);
    while M(r) == Zero { Rx(phi, q); Ry(theta, r); }
    Reset(r);
    MResetZ(q)
}
"""
BALANCED = qml.hilbert.Spin(4, magnetisation=0)
CHAIN = qml.lattice.Chain(4)


def rbm(hilbert=None):
    return qml.ansatz.RBM(hilbert or qml.hilbert.Spin(4), alpha=1, dtype=float, rngs=nnx.Rngs(0))


def operator_leaves_the_space():
    qml.operator.Ising(BALANCED, CHAIN, j=1.0, h=1.0)


def operator_of_another_size():
    state = qml.FullSumState(rbm(), qml.hilbert.Spin(4))
    state.expect(qml.operator.PauliSum({"ZZZ": 1.0}))


def rule_leaves_the_space():
    sampler = qml.sampler.Metropolis(qml.sampler.LocalFlip(), BALANCED, chains=4)
    qml.MCState(rbm(), BALANCED, samples=8, chains=4, key=jax.random.key(0), sampler=sampler)


def impossible_magnetisation():
    qml.hilbert.Spin(4, magnetisation=0.5)


def pauli_letter():
    qml.operator.PauliSum({"ZQ": 1.0})


def pauli_lengths():
    qml.operator.PauliSum({"ZZ": 1.0, "X": 1.0})


def pauli_nan():
    state = qml.FullSumState(rbm(), qml.hilbert.Spin(4))
    driver = drivers.VMC(qml.operator.PauliSum({"ZIII": np.nan}), optax.sgd(0.1))
    driver.run(state, steps=1)


def not_hermitian():
    state = qml.FullSumState(rbm(), qml.hilbert.Spin(4))
    driver = drivers.VMC(qml.operator.PauliSum({"ZIII": 1.0j}), optax.sgd(0.1))
    driver.run(state, steps=1)


def model_of_another_size():
    qml.FullSumState(rbm(qml.hilbert.Spin(6)), qml.hilbert.Spin(4))


def unknown_irrep():
    symmetries.Sector(symmetries.space_group(CHAIN), momentum=(0,), irrep="T7")


def momentum_off_the_lattice():
    symmetries.Sector(symmetries.space_group(CHAIN), momentum=(1, 1))


def lattice_of_no_sites():
    qml.lattice.Square(0, 4)


def chunk_of_nothing():
    qml.FullSumState(rbm(), qml.hilbert.Spin(4), chunk=0).expect(qml.operator.Ising(qml.hilbert.Spin(4), CHAIN))


def qsharp_syntax():
    diffquantum.load("operation Broken(t : Double) : Result { use q = Qubit() Ry(t, q); MResetZ(q) }", entry="Broken")


def qsharp_entry():
    diffquantum.load(RUS, entry="RusX")


def parameter_count():
    diffquantum.expectation(diffquantum.load(RUS, entry="RusZ"))(jnp.array([1.0]))


def endless_loop():
    diffquantum.expectation(diffquantum.load(LOOP, entry="Count"))(jnp.array([0.0]))


def branch_on_a_parameter():
    text = "operation Jump(t : Double) : Int { mutable n = 0; if t > 0.5 { set n = 1; } n }"
    diffquantum.expectation(diffquantum.load(text, entry="Jump"))(jnp.array([1.0]))


def observable_on_classical_data():
    diffquantum.expectation(diffquantum.load(RUS, entry="RusZ"), qml.operator.PauliSum({"ZZZ": 1.0}))


def shots_basis_letter():
    qml.gibbs.ShotData(["XQ"], [[0, 1]])


def shots_negative():
    qml.gibbs.ShotData(["XZ"], [[0, 1]], counts=[-3])


def shots_nan():
    qml.gibbs.ShotData(["XZ"], [[0.0, np.nan]])


def beta_not_positive():
    hilbert = qml.hilbert.Spin(4)
    qml.gibbs.ThermalObjective(qml.operator.Heisenberg(hilbert, CHAIN), beta=-1.0)


def thermal_not_hermitian():
    qml.gibbs.ThermalObjective(qml.operator.PauliSum({"ZZ": 1.0j}), beta=1.0)


def no_run_there():
    drivers.resume("/no/such/folder", steps=1)


CASES = [
    operator_leaves_the_space,
    operator_of_another_size,
    rule_leaves_the_space,
    impossible_magnetisation,
    pauli_letter,
    pauli_lengths,
    pauli_nan,
    not_hermitian,
    model_of_another_size,
    unknown_irrep,
    momentum_off_the_lattice,
    lattice_of_no_sites,
    chunk_of_nothing,
    qsharp_syntax,
    qsharp_entry,
    parameter_count,
    endless_loop,
    branch_on_a_parameter,
    observable_on_classical_data,
    shots_basis_letter,
    shots_negative,
    shots_nan,
    beta_not_positive,
    thermal_not_hermitian,
    no_run_there,
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
def test_refused(case):
    with pytest.raises(GradketError) as caught:
        case()
    text = str(caught.value)
    for part in ("\n  got:", "\n  expected:", "\n  try:"):
        assert part in text
    assert all(line.strip() for line in text.splitlines())


def test_corrupt_files(tmp_path):
    """Truncated and flipped files are refused, and what was computed before is still there."""
    shots = qml.gibbs.ShotData(["XZ", "ZZ"], [[0, 1], [1, 1]])
    shots.save(tmp_path / "shots.npz")
    data = (tmp_path / "shots.npz").read_bytes()
    for cut in (0, 10, len(data) // 2, len(data) - 3):
        (tmp_path / "cut.npz").write_bytes(data[:cut])
        with pytest.raises(GradketError, match="try:"):
            qml.gibbs.ShotData.load(tmp_path / "cut.npz")
    result = drivers.VMC(qml.operator.Ising(qml.hilbert.Spin(4), CHAIN), optax.sgd(0.1)).run(
        qml.FullSumState(rbm(), qml.hilbert.Spin(4)), steps=3, out=tmp_path / "run"
    )
    step = tmp_path / "run" / "program" / "step.bin"
    step.write_bytes(step.read_bytes()[:1000])
    with pytest.raises(GradketError, match="try:"):
        drivers.resume(tmp_path / "run", steps=1)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(result.history.steps)


def test_unknown_configuration_key(tmp_path):
    (tmp_path / "job.toml").write_text('kind = "ground_state"\nstepz = 3\n')
    with pytest.raises(GradketError, match="stepz"):
        config.load(tmp_path / "job.toml")
