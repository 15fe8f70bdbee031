"""Learning rates by stages, and a factor that is changed where a run is resumed."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import drivers
from drivers.rates import staged, with_factor
from qml._core.errors import ConfigError


class Descent(drivers.AbstractDriver):
    """x goes down its slope, which is one: x says which rates were used."""

    optimizer: optax.GradientTransformation

    def init(self, thing, key):
        return {"x": thing, "memory": self.optimizer.init(thing)}

    def step(self, carry):
        change, memory = self.optimizer.update(jnp.ones(()), carry["memory"], carry["x"])
        return {"x": carry["x"] + change, "memory": memory}, {"x": carry["x"]}

    def finish(self, thing, carry):
        return carry["x"]


STAGES = [[2, 0.5], [3, 0.25], [1, 0.125]]
RATES = [0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125]


def test_stages_go_on_where_a_run_is_resumed_and_the_factor_is_kept(tmp_path):
    """Three parts of one run: as planned, at half the rate, and on at that half without saying so again."""
    driver = Descent(drivers.adjustable(optax.sgd(staged(STAGES, None, 6))))
    driver.run(jnp.zeros(()), steps=1, out=tmp_path / "run")
    drivers.resume(tmp_path / "run", steps=3, rate=0.5)
    result = drivers.resume(tmp_path / "run", steps=3)
    factors = np.array([1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    assert result.state["value"] == -np.sum(factors * RATES)  # powers of two: exact
    np.testing.assert_array_equal(np.diff(result.history["x"]), -(factors * RATES)[:-1])


def test_a_rate_that_is_a_constant_of_the_program_is_not_changed():
    with pytest.raises(ConfigError, match="adjustable"):
        with_factor(["x", "memory.count"], [jnp.zeros(3), jnp.zeros(())], 0.5)
    for rate in (0, -1.0, np.nan, True):
        with pytest.raises(ConfigError, match="positive number"):
            with_factor(["memory.rate_factor"], [jnp.zeros(())], rate)


@pytest.mark.parametrize("rate", [[[0, 0.1]], [0.1, 0.2], [[3, 0.1], [2, -1.0]], [], [[1.5, 0.1]]])
def test_stages_that_are_none(rate):
    with pytest.raises(ConfigError, match=r"Stages|positive"):
        staged(rate, None, 10)


def test_stages_have_no_final_rate():
    with pytest.raises(ConfigError, match="of their own"):
        staged(STAGES, 0.01, 10)
