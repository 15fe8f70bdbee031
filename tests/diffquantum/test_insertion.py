"""Shifts at given places: exact sums over places, laws that miss nothing, gradients from a pilot and its runs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffquantum.estimate import Roulette, gradient
from diffquantum.estimate.insertion import EDGES, START, WIDTH, Law, _draw
from diffquantum.ir import Assign, Binary, Const, Gate, Measure, Parameter, Program, Unary, Var, While
from diffquantum.simulate.density import Exact
from diffquantum.transform.placed import placed
from qml._core.errors import ConfigError
from tests.helpers import programs as lib
from tests.helpers.zscore import assert_z, assert_z_uniform

TURNS = Program(  # three turns; the angle shrinks from turn to turn, and the output depends on a parameter directly
    "Turns",
    ("x", "y"),
    1,
    (
        Assign("a", Parameter(0)),
        Assign("k", Const(0)),
        While(
            (),
            Binary("lt", Var("k"), Const(3)),
            (
                Gate("ry", (Const(0),), Var("a")),
                Gate("rx", (Const(0),), Unary("sin", Parameter(1))),
                Assign("a", Binary("mul", Var("a"), Parameter(1))),
                Assign("k", Binary("add", Var("k"), Const(1))),
            ),
        ),
        Measure(Const(0), "m"),
    ),
    (Binary("mul", Binary("add", Unary("float", Var("m")), Const(0.5)), Parameter(1)),),
    "double",
)
POINT = (0.8, 0.6)


def mean(theta) -> float:
    """Mean of `TURNS` by matrices."""
    x, y = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]])
    state, a = np.array([1, 0], complex), theta[0]
    for _ in range(3):
        for p, angle in ((y, a), (x, np.sin(theta[1]))):
            state = np.cos(angle / 2) * state - 1j * np.sin(angle / 2) * p @ state
        a *= theta[1]
    return (abs(state[1]) ** 2 + 0.5) * theta[1]


def slopes_of(theta) -> np.ndarray:
    """Its gradient by a four-point difference."""
    h = 1e-3
    f = [[mean(theta + s * h * np.eye(2)[j]) for s in (1, -1, 2, -2)] for j in range(2)]
    return np.array([(8 * (a - b) - (c - d)) / (12 * h) for a, b, c, d in f])


def test_sum_over_places_is_the_gradient():
    """The exact mean of every placed program, summed by hand: halves of differences, plus the direct part."""
    whole = placed(TURNS, (0, 1))
    assert whole.direct and [s.looped for s in whole.sites] == [True, True]
    total = np.zeros(2)

    def run(places, turn) -> np.ndarray:
        given = [*zip((s.place for s in whole.sites), map(Const, places)), (whole.turn, Const(turn))]
        body = (*(Assign(name, value) for name, value in given), *whole.program.body)
        return Exact(dataclasses.replace(whole.program, body=body)).means(POINT)

    plain = run((0, 0), 0.0)
    np.testing.assert_allclose(plain[:3], [mean(POINT), 3, 3], atol=1e-12)
    a = POINT[0] ** 2
    squares = [1 + POINT[1] ** 2 * (1 + POINT[1] ** 2) + a * (1 + 4 * POINT[1] ** 2), 3 * np.cos(POINT[1]) ** 2]
    np.testing.assert_allclose(plain[3:5], squares, atol=1e-12)
    total += plain[-2:]
    for places in ((1, 0), (2, 0), (3, 0), (0, 1), (0, 2), (0, 3)):
        up, down = run(places, np.pi / 2), run(places, -np.pi / 2)
        np.testing.assert_allclose(up[5:7], down[5:7], atol=1e-14)
        total += (up[0] - down[0]) / 2 * up[5:7]
    np.testing.assert_allclose(total, slopes_of(np.array(POINT)), atol=1e-9)


@pytest.mark.slow
def test_gradient_with_slopes_that_change():
    for rule in (Roulette(), Roulette(stratified=False, heavy=0.3)):
        found = gradient(TURNS, None, jnp.array(POINT), jax.random.key(0), 20_000, rule)
        assert_z(found, slopes_of(np.array(POINT)))
        assert np.all(found.error < 0.03) and int(found.samples) == 20_000


@pytest.mark.parametrize("stratified", [False, True])
def test_places_follow_the_law(stratified):
    """Bins of the law by frequency; weights are one over the chance of a place."""
    assert EDGES[-1] > 1e9 and np.sum(WIDTH) == EDGES[-1] - 1
    mass = jnp.zeros((2, len(WIDTH))).at[0, :3].set(jnp.array([0.2, 0.1, 0.1])).at[1, 40].set(0.4)
    size = 20_000
    site, place, sign, weight = _draw(Law(mass, jnp.array(0.2)), jax.random.key(0), size, stratified)
    site, place, sign, weight = map(np.asarray, (site, place, sign, weight))
    tolerance = (1e-4 + 2 / size) if stratified else 4.5 * np.sqrt(0.25 / size)
    for chance, here in ((0.1, (site == 0) & (place == 1) & (sign > 0)), (0.2, site == 2), (0.4, site == 1)):
        assert abs(here.mean() - chance) <= tolerance
    assert np.all(weight[site == 2] == pytest.approx(5)) and np.all(sign[site == 2] == 0)
    assert np.all(weight[(site == 0) & (place == 1)] == pytest.approx(5))
    assert np.all(weight[site == 1] == pytest.approx(WIDTH[40] / 0.4))
    far = place[site == 1]
    assert far.min() >= START[40] and far.max() < EDGES[41] and len(np.unique(far)) == WIDTH[40]
    assert abs((far - START[40]).mean() - (WIDTH[40] - 1) / 2) < 4.5 * WIDTH[40] / np.sqrt(12 * len(far))


@pytest.mark.slow
def test_chosen_parameters_and_few_shots():
    """One parameter of two; with few shots the error stays honest on average."""
    known = lib.reference()["T12_Discount"]["gradient"][1]
    one = gradient(lib.DISCOUNT, None, jnp.array([1.0, 0.9]), jax.random.key(0), 5000, parameters=("g",))
    assert one.mean.shape == (1,)
    assert_z(one, [known])
    few = jax.jit(
        lambda keys: jax.lax.map(lambda k: gradient(lib.DISCOUNT, None, jnp.array([1.0, 0.9]), k, 200), keys)
    )(jax.random.split(jax.random.key(1), 300))
    assert_z_uniform(few.mean[:, 1], few.error[:, 1], known, limit=6)


def test_bad_share():
    with pytest.raises(ConfigError):
        Roulette(heavy=0.0)
