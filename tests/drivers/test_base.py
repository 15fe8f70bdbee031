"""The run loop on a toy: steps, status, guards, callbacks, compilation."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import drivers
from drivers.io import compiled
from qml._core.errors import ConfigError, DataError, ShapeError
from qml.estimate.stats import Stats
from tests.drivers.toy import Toy, toy


def by_hand(steps: int):
    """The toy's trace without the loop."""
    driver, carry, rows = toy(), None, []
    carry = driver.init(jnp.zeros(3), None)
    for _ in range(steps):
        carry, info = jax.jit(lambda c: driver.step(c))(carry)
        rows.append(info)
    return carry, rows


def test_run_is_the_step_repeated():
    result = toy().run(jnp.zeros(3), steps=9)
    carry, rows = by_hand(9)
    np.testing.assert_allclose(result.state, carry["x"], rtol=1e-13)
    np.testing.assert_allclose(result.history["energy"], [r["energy"].mean for r in rows], rtol=1e-13)
    np.testing.assert_allclose(result.history["spectrum.all"], [r["spectrum"]["all"] for r in rows], rtol=1e-12)
    assert result.status is drivers.Status.FINISHED
    assert result.steps == 9 and list(result.history.steps) == list(range(1, 10))
    assert isinstance(result.energy, Stats) and result.energy.error == 0  # the final one, not the last of the trace


def test_zero_steps_changes_nothing():
    start = jnp.array([4.0, 5.0, 6.0])
    result = toy().run(start, steps=0)
    np.testing.assert_array_equal(result.state, start)
    assert len(result.history) == 0


def test_other_couplings_compile_nothing():
    toy().run(jnp.zeros(3), steps=1)
    before = compiled._call._cache_size()
    again = Toy(jnp.array([3.0, 2.0, 1.0])).run(jnp.ones(3), steps=2)
    assert compiled._call._cache_size() == before
    assert again.compile_time < 0.2


def test_divergence_keeps_the_last_good_state(tmp_path):
    good = toy().run(jnp.zeros(3), steps=4)
    for out in (None, tmp_path / "run"):
        bad = toy(poison=5).run(jnp.zeros(3), steps=9, out=out)
        assert bad.status is drivers.Status.DIVERGED
        assert "x" in bad.message and "step 5" in bad.message and bad.steps == 4
        np.testing.assert_array_equal(bad.state, good.state)
        np.testing.assert_array_equal(bad.history["energy"], good.history["energy"])


def test_keys_decide_the_noise():
    runs = [toy().run(jnp.zeros(3), steps=3, key=jax.random.key(s)).state for s in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[0] - runs[2]).max() > 1e-6


def test_callbacks_stop_with_their_reason():
    seen = []

    def callback(record):
        seen.append((record.step, float(record.info["energy"]["mean"])))
        return "low enough" if record.history["energy"][-1] < 8 else None

    result = toy().run(jnp.zeros(3), steps=50, callbacks=[callback])
    assert result.status is drivers.Status.STOPPED and result.message == "low enough"
    assert len(seen) == result.steps == len(result.history) < 50
    np.testing.assert_array_equal(result.state, toy().run(jnp.zeros(3), steps=result.steps).state)


def test_a_step_may_end_the_run():
    class Ends(drivers.AbstractDriver):
        code: int

        def init(self, thing, key):
            return thing

        def step(self, carry):
            return carry + 1, {"value": carry, "status": jnp.where(carry == 3, self.code, 0)}

        def finish(self, thing, carry):
            return carry

    for code in (drivers.Status.CONVERGED, drivers.Status.STALLED):
        result = Ends(int(code)).run(jnp.array(0), steps=10)
        assert result.status is code and result.steps == 4 and int(result.state) == 4
        assert "status" not in result.history.names


def test_numpy_and_weak_carries_are_accepted():
    class Counts(drivers.AbstractDriver):
        def init(self, thing, key):
            return (np.zeros(2), jnp.asarray(1.0) * 1)

        def step(self, carry):
            return (carry[0] + 1, carry[1] * 2), {}

        def finish(self, thing, carry):
            return carry[1]

    assert float(Counts().run(jnp.array(0.0), steps=3).state) == 8.0


def test_a_step_that_changes_its_form_is_refused():
    class Grows(drivers.AbstractDriver):
        def init(self, thing, key):
            return {"a": thing}

        def step(self, carry):
            return {"a": jnp.concatenate([carry["a"], carry["a"]])}, {}

        def finish(self, thing, carry):
            return thing

    class NoInfo(Grows):
        def step(self, carry):
            return carry, None

    with pytest.raises(ShapeError, match=r"a is float64\[4\], a is float64\[2\]"):
        Grows().run(jnp.zeros(2), steps=1)
    with pytest.raises(ShapeError, match="no dictionary"):
        NoInfo().run(jnp.zeros(2), steps=1)


def test_runs_outside_the_main_thread():
    results = []
    worker = threading.Thread(target=lambda: results.append(toy().run(jnp.zeros(3), steps=2)))
    worker.start()
    worker.join()
    assert results[0].steps == 2


@pytest.mark.parametrize("steps", [None, -1, 2.5, True, "3"])
def test_bad_steps(steps):
    with pytest.raises((ConfigError, Exception), match="steps"):
        toy().run(jnp.zeros(3), steps=steps)


def test_bad_options():
    with pytest.raises(ConfigError, match="takes no time"):
        toy().run(jnp.zeros(3), time=1.0)
    with pytest.raises(ConfigError, match="checkpoint_every"):
        toy().run(jnp.zeros(3), steps=1, checkpoint_every=0)
    with pytest.raises(DataError, match="no energy"):
        _ = Quiet().run(jnp.zeros(3), steps=1).energy
    with pytest.raises(DataError, match="column named 'enrgy'"):
        _ = toy().run(jnp.zeros(3), steps=1).history["enrgy"]


class Quiet(drivers.AbstractDriver):
    """A driver that measures nothing."""

    def init(self, thing, key):
        return thing

    def step(self, carry):
        return carry, {}

    def finish(self, thing, carry):
        return carry


def test_summary():
    text = str(toy().run(jnp.zeros(3), steps=2))
    assert "energy" in text and "finished" in text and "out=None" in text
