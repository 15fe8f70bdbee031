"""Callbacks, figures and other sinks."""

import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest

import drivers
import qml
from drivers.io import History, Record, sinks
from qml._core.errors import ConfigError, DataError, MissingExtraError
from tests.drivers.toy import toy


def record(values, elapsed=0.0) -> Record:
    rows = [(i, {"energy.mean": v, "energy.error": 0.1, "time": 0.5 * i}) for i, v in enumerate(values)]
    return Record(len(values), History(rows), elapsed)


def test_timeout():
    assert not drivers.Timeout(2.0)(record([1.0], 1.9))
    assert "2 s" in drivers.Timeout(2.0)(record([1.0], 2.1))
    result = toy().run(jnp.zeros(3), steps=10, callbacks=[drivers.Timeout(1e-9)])
    assert result.status is drivers.Status.STOPPED and result.steps == 1


def test_stop_when():
    stop = drivers.StopWhen("energy", lambda e: e < -1)
    assert not stop(record([0.0, -0.9])) and "energy = -1.1" in stop(record([0.0, -1.1]))


def test_early_stopping():
    stop = drivers.EarlyStopping("energy", patience=3, least=0.05)
    assert not stop(record([1.0] * 5))  # too few steps to tell
    assert not stop(record([3.0, 2.9, 2.8, 2.0, 1.9, 1.8]))
    assert stop(record([1.0, 0.9, 1.1, 1.0, 1.0, 0.95]))


@pytest.mark.parametrize("make", [lambda: drivers.Timeout(0.0), lambda: drivers.EarlyStopping(patience=0)])
def test_bad_callbacks(make):
    with pytest.raises(ConfigError):
        make()


def test_energy_figure(tmp_path):
    history = record(np.exp(-np.arange(40.0)) - 2).history
    figure = drivers.plot.energy(history, exact=-2.0, out=tmp_path / "plots" / "energy.png", title="chain")
    assert (tmp_path / "plots" / "energy.png").stat().st_size > 5000
    lines = figure.axes[0].get_lines()
    np.testing.assert_allclose(lines[0].get_ydata(), history["energy"])
    assert "time" in figure.axes[-1].get_xlabel() and len(figure.axes) == 2
    with pytest.raises(DataError, match="column"):
        drivers.plot.energy(History([(1, {"a": 1.0})]))


def test_observable_figure():
    history = record([1.0, 0.5]).history
    figure = drivers.plot.observable(history, "energy", exact=[1.0, 0.4], label="E")
    assert figure.axes[0].get_ylabel() == "E" and len(figure.axes[0].get_lines()) == 2
    with pytest.raises(DataError, match="one exact value"):
        drivers.plot.observable(history, "energy", exact=[1.0])
    with pytest.raises(DataError, match="scalar"):
        drivers.plot.observable(History([(1, {"v": np.zeros(3)})]), "v")


def test_coefficients_figure():
    model = qml.gibbs.PauliGibbs(("ZZ", "XI"), jnp.array([1.0, -0.5]), covariance=jnp.diag(jnp.array([0.01, 0.04])))
    figure = drivers.plot.coefficients(model, exact=[0.9, -0.4])
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["Z0 Z1", "X0"]
    assert len(drivers.plot.coefficients(model.hamiltonian(beta=2.0)).axes) == 1


def test_figures_of_a_folder(tmp_path):
    toy().run(jnp.zeros(3), steps=5, out=tmp_path / "run")
    files = drivers.plot.run_directory(tmp_path / "run")
    assert [f.name for f in files] == ["energy.png"] and all(f.stat().st_size > 0 for f in files)


def test_sinks(tmp_path, monkeypatch):
    seen = []

    class Writer:
        def __init__(self, folder):
            seen.append(folder)

        def add_scalar(self, name, value, step):
            seen.append((name, value, step))

        def flush(self):
            pass

    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    sinks.TensorBoard(tmp_path)(record([1.5]))
    assert ("energy.mean", 1.5, 1) in seen
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match=r"gradket\[wandb\]"):
        sinks.WandB(project="x")


def test_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    sinks.to_hdf5(record([1.5, 2.5]).history, tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5") as file:
        np.testing.assert_array_equal(file["energy/mean"][:], [1.5, 2.5])
