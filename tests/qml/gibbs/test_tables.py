"""Readout errors against explicit matrices, and tables of other programs against the same shots in our order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import drivers
from qml._core.errors import DataError
from qml.gibbs import DataObjective, PauliGibbs, ShotData, goodness_of_fit
from qml.gibbs.family import measured
from qml.gibbs.shots import basis_codes
from qml.gibbs.tables import confusion
from tests.qml.gibbs.systems import kron

MODEL = PauliGibbs(("ZZ", "XI", "IY"), jnp.array([-0.7, 0.5, 0.3]))
ERRORS = np.array([[[0.97, 0.08], [0.03, 0.92]], [[0.9, 0.05], [0.1, 0.95]]])
BASES = ("ZZ", "XY", "ZY")


@pytest.mark.slow
def test_laws_with_readout_errors():
    codes = jnp.asarray(basis_codes(BASES))
    ideal, read = (np.asarray(measured(MODEL, codes, e)) for e in (None, jnp.asarray(ERRORS)))
    np.testing.assert_allclose(read, ideal @ kron(ERRORS).T, atol=1e-14)
    # averages with the errors taken out are those of the state
    rows = np.array([[a, b] for _ in BASES for a in (0, 1) for b in (0, 1)])
    counts = np.round(read.ravel() * 1e13)
    shots = ShotData(BASES, rows, counts, np.repeat(np.arange(3), 4), readout=ERRORS)
    np.testing.assert_allclose(shots.moments(MODEL.strings)[0], MODEL.marginals(), atol=1e-11)
    assert DataObjective(shots).loss(MODEL, ()) < 1e-12 < DataObjective(shots).loss(MODEL.with_theta(jnp.ones(3)), ())


def test_what_readout_errors_are():
    np.testing.assert_allclose(confusion([0.03, 0.1], 2)[1], [[0.9, 0.1], [0.1, 0.9]])
    np.testing.assert_allclose(confusion([[0.03, 0.08], [0.1, 0.05]], 2), ERRORS)
    np.testing.assert_allclose(confusion(ERRORS, 2), ERRORS)
    for bad in (-0.1, 1.5, np.nan, 0.5, [0.1, 0.1, 0.1], "none", ERRORS * 0.9, np.ones((2, 2, 2)) / 2):
        with pytest.raises(DataError, match="readout errors"):
            confusion(bad, 2)


def test_files_and_batches_keep_readout_errors(tmp_path):
    shots = ShotData(["XZ"], [[0, 1]], readout=0.1)
    shots.save(tmp_path / "shots.npz")
    np.testing.assert_allclose(ShotData.load(tmp_path / "shots.npz").readout, shots.readout)
    assert ShotData.merged([shots, shots]).readout is not None
    with pytest.raises(DataError, match="different readout"):
        ShotData.merged([shots, ShotData(["XZ"], [[0, 1]])])


@pytest.mark.slow
def test_learning_through_readout_errors():
    """With the errors known the couplings are right within their bars; without, they are far off."""
    shots = MODEL.sample(jax.random.key(1), shots=40_000, readout=ERRORS)
    start = MODEL.with_theta(jnp.zeros(3))
    for method in ("likelihood", "corrected", "moments"):
        found = drivers.QPMD(DataObjective(shots, method), step_size=1.0).run(start, steps=30).state
        assert np.all(np.abs(found.theta - MODEL.theta) < 4.5 * np.sqrt(np.diagonal(found.covariance)))
    assert abs(goodness_of_fit(found, shots, 3).total) < 4.5
    blunt = ShotData(np.array(list("XYZ"))[shots.bases], shots.outcomes, shots.counts, shots.setting)
    wrong = drivers.QPMD(DataObjective(blunt), step_size=1.0).run(start, steps=30).state
    assert np.max(np.abs(wrong.theta - MODEL.theta) / np.sqrt(np.diagonal(wrong.covariance))) > 10


def test_counts_of_qiskit():
    ours = ShotData.from_counts({"XYZ": {"001": 3, "110": 4}, "ZZZ": {"100": 5}})
    theirs = ShotData.from_qiskit({"XYZ": {"100": 3, "0x3": 4}, "ZZZ": {"0 01": 5}})
    assert ours.letters == theirs.letters
    for name in ("outcomes", "counts", "setting"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    for bad in ({"ZZ": {"012": 1}}, {"ZZ": {"0": 1}}, {"ZZ": {"0x4": 1}}, {"ZZ": {"00": -1}}, {"ZA": {"00": 1}}):
        with pytest.raises(DataError):
            ShotData.from_qiskit(bad)
    with pytest.raises(DataError, match="maps bases"):
        ShotData.from_qiskit({"ZZ": [1]})


def test_results_of_q_sharp():
    qsharp = pytest.importorskip("qdk.qsharp")
    qsharp.init()
    body = "use q = Qubit[2]; X(q[1]); let r = [M(q[0]), M(q[1])]; ResetAll(q); return r;"
    qsharp.eval(f"operation TwoBits() : Result[] {{ {body} }}")
    shots = ShotData.from_qsharp({"ZZ": qsharp.run("TwoBits()", 5)})
    assert shots.outcomes.tolist() == [[0, 1]] and shots.counts.tolist() == [5]
    for bad in ([["Zero"]], [["Zero", "Loss"]], [[0.5, 1]]):
        with pytest.raises(DataError, match="one result for each site"):
            ShotData.from_qsharp({"ZZ": bad})


def test_classical_shadows():
    bits, recipes = [[0, 1], [1, 1], [0, 1]], [[0, 2], [2, 1], [0, 2]]
    shots = ShotData.from_shadow(bits, recipes)
    assert shots.letters == ("XZ", "ZY") and shots.counts.tolist() == [2, 1]
    assert shots.outcomes.tolist() == [[0, 1], [1, 1]]
    for bad in ([[0, 3]], [0, 1], [[0.0, 1.0]]):
        with pytest.raises(DataError, match="recipe"):
            ShotData.from_shadow([[0, 1]], bad)
    with pytest.raises(DataError, match="bits"):
        ShotData.from_shadow([[0, 2]], [[0, 1]])
