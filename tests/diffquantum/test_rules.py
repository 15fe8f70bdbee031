"""Noise as statements, finite differences, independent turns, information of records: each with an exact twin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffquantum
from diffquantum.errors import UnsupportedError
from diffquantum.estimate import FiniteDifference, Regenerative, gradient, sampled
from diffquantum.ir import While, walk
from diffquantum.metric import fisher_information, natural_gradient
from diffquantum.simulate.density import Exact
from diffquantum.simulate.noise import Noise
from diffquantum.transform.noisy import noisy
from diffquantum.transform.renewal import one_turn
from diffquantum.unroll import unrolled
from qml._core.errors import ConfigError
from tests.diffquantum.cases import REFERENCE, loop
from tests.helpers import programs as lib
from tests.helpers.zscore import assert_z

BOTH = Noise(depolarising=0.03, damping=0.05)


LONG = [pytest.param(n, x, marks=pytest.mark.slow) for x in (Noise(depolarising=0.1), BOTH) for n in ("T08_Zeno",)]


@pytest.mark.parametrize(("name", "noise"), [("T02_RusZ", BOTH), ("T02_RusZ", Noise(damping=0.2)), *LONG])
def test_noise_as_statements(name, noise):
    """The exact means of the program with coins and ancillas are those of the channels."""
    theta = REFERENCE[name]["theta"]
    expected = Exact(loop(name), noise=noise).means(theta)
    np.testing.assert_allclose(Exact(noisy(loop(name), noise)).means(theta), expected, rtol=1e-11)
    assert abs(expected[0] - REFERENCE[name]["value"]) > 1e-3


@pytest.mark.slow
def test_shots_with_noise():
    """Values and gradients of noisy runs against the exact channels."""
    theta = jnp.array([1.0, 0.7])
    exact = diffquantum.expectation(lib.RUS, noise=BOTH)
    shots = diffquantum.expectation(lib.RUS, shots=40_000, noise=BOTH)
    assert_z(shots(theta, jax.random.key(0)), exact(theta))
    assert_z(shots.gradient(theta, jax.random.key(1)), jax.grad(exact)(theta))


def test_loops_written_out():
    """Loops whose counter picks qubits go, others stay, and so does the mean."""
    for name, left in (("T07_WalkTime", 1), ("T09_ExpPair", 1)):
        program = loop(name)
        whole = unrolled(program)
        assert sum(isinstance(s, While) for s in walk(whole.body)) == left
        theta = REFERENCE[name]["theta"]
        np.testing.assert_allclose(Exact(whole).means(theta), Exact(program).means(theta), rtol=1e-12)
    assert sum(isinstance(s, While) for s in walk(loop("T07_WalkTime").body)) > 1
    assert unrolled(loop("T02_RusZ")) is loop("T02_RusZ")


@pytest.mark.slow
def test_finite_difference():
    """Unbiased up to the step; the shots are all counted; higher orders are nearer."""
    theta, known = jnp.array([1.0, 0.7]), np.array(REFERENCE["T02_RusZ"]["gradient"])
    found = jax.jit(lambda k: gradient(lib.RUS, None, theta, k, 40_000, FiniteDifference(0.2, 4)))(jax.random.key(0))
    assert_z(found, known, limit=5)
    assert 39_900 < int(found.samples) <= 40_000
    with pytest.raises(ConfigError):
        FiniteDifference(0.1, 3)


def test_information_of_records():
    """Repeat until success: N tries tell N about theta, n turns and then a result n^2 about phi, nothing of both."""
    theta = jnp.array([1.0, 0.7])
    found = jax.jit(lambda k: fisher_information(lib.RUS, theta, k, 20_000))(jax.random.key(0))
    p = np.sin(0.5) ** 2
    turns = np.arange(400)
    square = np.sum(turns**2 * p * (1 - p) ** turns)
    assert_z(found, np.array([[1 / p, 0.0], [0.0, square]]))
    step = natural_gradient(jnp.array([[2.0, 1.0], [1.0, 2.0]]), jnp.array([3.0, 3.0]), 0.0)
    np.testing.assert_allclose(step, [1.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(natural_gradient(jnp.zeros((2, 2)), jnp.ones(2)), [1.0, 1.0], atol=1e-2)


def test_one_turn():
    """N / p of one turn is the mean of the program, exactly."""
    theta = REFERENCE["T05_Extractor"]["theta"]
    turn = one_turn(loop("T05_Extractor"))
    added = Exact(turn.program, turn.program.outputs[:1]).means(theta)[0]
    last = Exact(turn.last).means(theta)[0]
    assert abs(turn.offset + added / last - REFERENCE["T05_Extractor"]["value"]) < 1e-12
    for name in ("T02_RusZ", "T04_Ruin", "T12_Discount", "T08_Zeno"):
        with pytest.raises(UnsupportedError, match="independent trials"):
            one_turn(loop(name))


@pytest.mark.slow
def test_gradient_from_single_turns():
    """Right, with honest errors, and far less scattered than shifts in whole runs."""
    theta = jnp.array(REFERENCE["T05_Extractor"]["theta"])
    program, known = loop("T05_Extractor"), REFERENCE["T05_Extractor"]
    rule = Regenerative()
    found = gradient(program, None, theta, jax.random.key(0), 20_000, rule)
    assert_z(found, np.array(known["gradient"]))
    assert_z(sampled(program, None, 20_000, rule)(theta, jax.random.key(1)), known["value"])
    assert found.variance[0] < gradient(program, None, theta, jax.random.key(0), 20_000).variance[0]
    keys = jax.random.split(jax.random.key(2), 64)
    many = jax.jit(lambda keys: jax.lax.map(lambda k: gradient(program, None, theta, k, 2000, rule), keys))(keys)
    z = (many.mean[:, 0] - known["gradient"][0]) / many.error[:, 0]
    assert abs(np.mean(z)) < 4.5 / 8 and 0.7 < np.std(z) < 1.3
