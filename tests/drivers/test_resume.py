"""Runs on disk: kill, interrupt, damage, resume; the record must be the same to the last bit."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import drivers
from qml._core.errors import ConfigError, DataError
from tests.drivers.toy import toy

ROOT = pathlib.Path(__file__).parents[2]
ZERO = np.zeros(3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run of 20 steps."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return toy().run(jnp.zeros(3), steps=20, out=out, checkpoint_every=4), out


def copy(whole, tmp_path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(whole[1], tmp_path / "copy"))


def bits(array) -> bytes:
    return np.asarray(array).tobytes()


def test_layout_of_the_folder(whole):
    result, out = whole
    names = {p.name for p in out.iterdir()}
    assert names == {
        "config.toml",
        "environment.json",
        "metrics.jsonl",
        "checkpoints",
        "program",
        "plots",
        "result.json",
    }
    assert len(list((out / "checkpoints").iterdir())) in (3, 4)  # the last three and the best
    environment = json.loads((out / "environment.json").read_text())
    assert environment["x64"] is True and environment["versions"]["jax"] == jax.__version__
    stored = json.loads((out / "result.json").read_text())
    assert stored["status"] == "finished" and stored["steps"] == 20
    assert stored["final"]["energy"]["mean"] == float(result.energy.mean)
    assert result.out == out


def test_a_run_on_disk_has_the_numbers_of_a_run_in_memory(whole):
    memory = toy().run(jnp.zeros(3), steps=20)
    np.testing.assert_allclose(memory.state, whole[0].state, rtol=1e-13)
    np.testing.assert_allclose(memory.history["energy"], whole[0].history["energy"], rtol=1e-12)
    loaded = drivers.History.load(whole[1] / "metrics.jsonl")
    assert loaded.names == whole[0].history.names
    for name in loaded.names:
        np.testing.assert_array_equal(loaded[name], whole[0].history[name])


def test_resume_from_the_folder_alone_is_bit_identical(whole, tmp_path):
    half = toy().run(jnp.zeros(3), steps=9, out=tmp_path / "half", checkpoint_every=4)
    assert half.steps == 9
    rest = drivers.resume(tmp_path / "half", steps=11)
    assert (tmp_path / "half" / "metrics.jsonl").read_bytes() == (whole[1] / "metrics.jsonl").read_bytes()
    assert bits(rest.state["value"]) == bits(whole[0].state)
    assert bits(rest.energy.mean) == bits(whole[0].energy.mean)
    assert len(rest.history) == 20 and rest.status is drivers.Status.FINISHED
    again = drivers.resume(tmp_path / "half", steps=0, like=jnp.zeros(3))
    assert bits(again.state) == bits(whole[0].state)


def start(out, steps: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.drivers.toy", str(out), str(steps)]
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=environment, text=True)


def wait_for(process: subprocess.Popen, step: int) -> None:
    for line in process.stdout:
        if line.strip() == str(step):
            return
    raise AssertionError("the run ended too early")


def resume_elsewhere(out, steps) -> None:
    """Resume in a fresh process that knows nothing of the driver."""
    code = (
        "import jax; jax.config.update('jax_enable_x64', True); import drivers; "
        f"r = drivers.resume({str(out)!r}, steps={steps}); print(r)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_kill_and_resume_is_bit_identical(tmp_path):
    straight = start(tmp_path / "straight", 20)
    text = straight.communicate()[0]
    assert "finished" in text
    killed = start(tmp_path / "killed", 20)
    wait_for(killed, 11)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    assert not (tmp_path / "killed" / "result.json").exists()
    resume_elsewhere(tmp_path / "killed", None)
    one, two = ((tmp_path / n / "metrics.jsonl").read_bytes() for n in ("straight", "killed"))
    assert one == two and one.count(b"\n") == 20


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_leaves_a_folder_that_resumes(tmp_path, number):
    process = start(tmp_path / "run", 400)
    wait_for(process, 6)
    process.send_signal(number)
    text = process.communicate(timeout=60)[0]
    assert process.returncode == 0 and "interrupted" in text and number.name in text
    assert not (tmp_path / "run" / "result.json").exists()
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    done = json.loads(lines[-1])["step"]
    rest = drivers.resume(tmp_path / "run", steps=2)
    assert rest.steps == done + 2 and list(rest.history.steps) == list(range(1, done + 3))


def test_a_cut_line_is_dropped(whole, tmp_path):
    out = copy(whole, tmp_path)
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 21, "energy": {"me')
    assert len(drivers.History.load(out / "metrics.jsonl")) == 20
    rest = drivers.resume(out, steps=1)
    assert list(rest.history.steps) == list(range(1, 22))


def test_resume_from_an_earlier_checkpoint(whole, tmp_path):
    out = copy(whole, tmp_path)
    (out / "result.json").unlink()
    rest = drivers.resume(out, steps=8, checkpoint=12)
    assert (out / "metrics.jsonl").read_bytes() == (whole[1] / "metrics.jsonl").read_bytes()
    assert bits(rest.state["value"]) == bits(whole[0].state)
    with pytest.raises(DataError, match="no such checkpoint"):
        drivers.resume(out, steps=1, checkpoint=13)


def flip(path: pathlib.Path, at: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] ^= 0x10
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["cut", "flip", "gone", "manifest"])
def test_damaged_checkpoints_are_never_loaded(whole, tmp_path, how):
    out = copy(whole, tmp_path)
    last = out / "checkpoints" / "000020"
    files = [p for p in sorted((last / "arrays").rglob("*")) if p.parent.name == "d"]
    assert files
    for file in files:
        if how == "cut":
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        elif how == "flip":
            for at in (0.1, 0.3, 0.5, 0.7, 0.9):
                flip(file, at)
        elif how == "gone":
            file.unlink()
    if how == "manifest":
        (last / "manifest.json").write_text("{}")
    with pytest.raises(DataError, match="damaged"):
        drivers.resume(out, steps=1)


def test_every_single_flip_is_found(whole, tmp_path):
    from drivers.io import checkpoint

    random = np.random.default_rng(0)
    out = pathlib.Path(shutil.copytree(whole[1] / "checkpoints" / "000020", tmp_path / "000020"))
    files = [p for p in sorted(out.rglob("*")) if p.is_file() and p.stat().st_size]
    for _ in range(200):
        file = files[random.integers(len(files))]
        good = file.read_bytes()
        flip(file, random.uniform())
        with pytest.raises(DataError, match="damaged"):
            checkpoint.restore(out)
        file.write_bytes(good)
    checkpoint.restore(out)


def test_other_damage(whole, tmp_path):
    out = copy(whole, tmp_path)
    (out / "config.toml").write_text("kind = \n")
    with pytest.raises(ConfigError, match="no TOML"):
        drivers.io.RunDir(out).settings()
    flip(out / "program" / "step.bin", 0.7)
    with pytest.raises(DataError, match=r"step.bin does not match its sum"):
        drivers.resume(out, steps=1)
    shutil.rmtree(out / "program")
    with pytest.raises(DataError, match="no program"):
        drivers.resume(out, steps=1)
    with pytest.raises(DataError, match="no run directory"):
        drivers.resume(tmp_path / "nowhere", steps=1)
    (out / "metrics.jsonl").write_text('{"step": 1}\nrubbish\n{"step": 2}\n')
    with pytest.raises(DataError, match="Line 2"):
        drivers.History.load(out / "metrics.jsonl")


def test_a_folder_is_never_overwritten(whole):
    with pytest.raises(ConfigError, match="not empty"):
        toy().run(jnp.zeros(3), steps=1, out=whole[1])


def test_the_saved_state_fits_only_its_like(whole, tmp_path):
    out = copy(whole, tmp_path)
    with pytest.raises(DataError, match="does not fit"):
        drivers.resume(out, steps=0, like=jnp.zeros(4))


def test_a_step_with_a_host_callback_runs_but_says_that_it_cannot_be_resumed(tmp_path):
    class Calls(drivers.AbstractDriver):
        def init(self, thing, key):
            return thing

        def step(self, carry):
            shape = jax.ShapeDtypeStruct((), carry.dtype)
            return jax.pure_callback(lambda x: np.asarray(x) + 1, shape, carry), {"value": carry}

        def finish(self, thing, carry):
            return carry

    with pytest.warns(UserWarning, match="cannot be exported"):
        result = Calls().run(jnp.array(0.0), steps=3, out=tmp_path / "run")
    assert float(result.state) == 3.0 and len(drivers.History.load(tmp_path / "run" / "metrics.jsonl")) == 3
    with pytest.raises(DataError, match="no program"):
        drivers.resume(tmp_path / "run", steps=1)


def test_an_error_of_a_callback_loses_nothing(whole, tmp_path):
    def breaks(record):
        if record.step == 7:
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        toy().run(jnp.zeros(3), steps=20, out=tmp_path / "run", callbacks=[breaks])
    rest = drivers.resume(tmp_path / "run")
    assert rest.steps == 20
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (whole[1] / "metrics.jsonl").read_bytes()
