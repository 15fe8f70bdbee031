"""Derivatives along trajectories: scores both ways, means over exits, and all estimators over many seeds."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from diffquantum.errors import UnsupportedError
from diffquantum.estimate import ExitMean, Roulette, Score, gradient, sampled, value
from diffquantum.ir import Assign, Binary, Const, Gate, If, Measure, Parameter, Program, Unary, Var, While
from diffquantum.simulate.density import Exact
from diffquantum.simulate.exits import exits
from diffquantum.simulate.trajectory import scores
from qml._core.errors import ConfigError
from qml.operator import PauliSum
from tests.helpers import programs as lib
from tests.helpers.zscore import assert_z

Q0, Q1 = Const(0), Const(1)
BODY = Program(  # a loop that measures inside, and whose two outcomes both go on at first
    "Body",
    ("t", "p"),
    2,
    (
        Assign("n", Const(0)),
        Assign("first", Const(True)),
        Gate("h", (Q1,)),
        Measure(Q1, "start", reset=True),
        While(
            (Gate("ry", (Q0,), Parameter(0)), Measure(Q0, "m", reset=True)),
            Binary("or", Unary("not", Var("m")), Var("first")),
            (
                Assign("first", Const(False)),
                Assign("n", Binary("add", Var("n"), Const(1))),
                Gate("ry", (Q1,), Parameter(1)),
                Measure(Q1, "s", reset=True),
                If(Var("s"), (Assign("n", Binary("add", Var("n"), Const(1))),)),
            ),
        ),
    ),
    (Binary("add", Unary("float", Var("n")), Unary("float", Var("start"))),),
    "double",
)


def test_scores_backwards_are_those_forwards():
    """Coins, discounts and loops: the same runs, the same derivatives."""
    theta = jnp.array([1.0, 0.9])
    program = dataclasses.replace(lib.DISCOUNT, kind="double")
    one, two = (scores(program, theta, jax.random.key(0), jnp.zeros(0), shots=64, reverse=r) for r in (False, True))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("rule", [Score(), ExitMean()])
def test_loop_that_measures_inside(rule):
    """Against the exact mean and a four-point difference of it."""
    theta, exact, h = np.array([1.0, 0.8]), Exact(BODY), 1e-3

    def slope(j):
        f = [exact.means(theta + s * h * np.eye(2)[j])[0] for s in (1, -1, 2, -2)]
        return (8 * (f[0] - f[1]) - (f[2] - f[3])) / (12 * h)

    e = sampled(BODY, None, 4000, rule)
    assert_z(e.gradient(jnp.array(theta), jax.random.key(1)), [slope(0), slope(1)])
    if isinstance(rule, ExitMean):
        assert_z(e(jnp.array(theta), jax.random.key(2)), exact.means(theta)[0])


@pytest.mark.slow
def test_mean_over_exits_has_no_scatter():
    """Observable and number; to rounding from two runs; roulette with a high floor stays unbiased."""
    theta, known = jnp.array([1.0, 0.7]), lib.reference()["T02_RusZ"]
    z = PauliSum({"Z": 1.0})
    found = gradient(lib.RUS_STATE, z, theta, jax.random.key(0), 2, ExitMean())
    np.testing.assert_allclose(found.mean, -2 * np.array(known["gradient"]), atol=1e-9)
    assert np.all(found.error < 1e-9)
    rough = value(lib.RUS_STATE, z, theta, jax.random.key(0), 3000)
    cheap = sampled(lib.RUS_STATE, z, 3000, ExitMean(floor=0.3))(theta, jax.random.key(1))
    assert_z(cheap, 1 - 2 * known["value"])
    assert 0 < cheap.variance < rough.variance


def test_what_has_no_exit_to_average():
    theta = jnp.array([1.3])
    with pytest.raises(UnsupportedError):
        exits(lib.RUIN, theta, jax.random.key(0), jnp.zeros(0), shots=1)
    many = dataclasses.replace(lib.GEOMETRIC, qubits=8)
    many = dataclasses.replace(many, body=(*many.body, *(Measure(Const(q), f"m{q}") for q in range(1, 8))))
    with pytest.raises(UnsupportedError):
        exits(many, theta, jax.random.key(0), jnp.zeros(0), shots=1)
    inside = (*lib.GEOMETRIC.body, If(Var("m"), (Measure(Const(0), "again"),)))
    with pytest.raises(UnsupportedError):
        exits(dataclasses.replace(lib.GEOMETRIC, body=inside), theta, jax.random.key(0), jnp.zeros(0), shots=1)


def test_bad_rules():
    with pytest.raises(ConfigError):
        ExitMean(floor=0.0)
    with pytest.raises(ConfigError):
        sampled(lib.RUS, None, 10, "score")


METHODS = {
    "random": Roulette(stratified=False),
    "stratified": Roulette(),
    "coins": Roulette.mixture(0.88, 0.2, 32),
    "score": Score(),
    "score without baseline": Score(baseline=False),
    "score backwards": Score(reverse=True),
    "exits": ExitMean(floor=0.2),
}


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("method", METHODS)
def test_z_scores_of_a_thousand_seeds(method):
    """Uniform z-scores (Kolmogorov-Smirnov) and error bars that cover: 68 and 95 of 100."""
    theta, known, rule = jnp.array([1.0, 0.7]), np.array(lib.reference()["T02_RusZ"]["gradient"]), METHODS[method]
    keys = jax.random.split(jax.random.key(11), 1000)
    runs = jax.jit(lambda keys: jax.lax.map(lambda k: gradient(lib.RUS, None, theta, k, 5000, rule), keys))(keys)
    for j in range(2):
        z = (np.asarray(runs.mean[:, j]) - known[j]) / np.asarray(runs.error[:, j])
        assert stats.kstest(z, "norm").pvalue > 0.01, (method, j, z.mean(), z.std())
        for limit, share in ((1.0, 0.6827), (1.96, 0.95)):
            assert abs(np.mean(np.abs(z) < limit) - share) < 4.5 * np.sqrt(share * (1 - share) / 1000)
