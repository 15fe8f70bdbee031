"""The exact mean of a derivative program is the exact gradient."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffquantum import expectation
from diffquantum.ir import Assign, Binary, Const, Gate, Measure, Parameter, Program, Reset, Select, Unary, Var, While
from diffquantum.simulate.density import Exact
from diffquantum.simulate.shots import sample
from diffquantum.transform import Roulette, derivative
from diffquantum.transform.derivative import gradient_program, has_unbounded_occurrences
from qml._core.errors import ConfigError
from qml.operator import PauliSum
from tests.helpers import programs as lib

LAW = Roulette.mixture(table=4)


@pytest.mark.parametrize("name", lib.NAMES)
def test_mean_of_the_derivative_program_is_the_gradient(name):
    program, theta = lib.NAMES[name], lib.THETA[name]
    known = lib.reference()[name]
    assert abs(Exact(program).means(theta)[0] - known["value"]) < 1e-10
    for j, slope in enumerate(known["gradient"]):
        mean = Exact(derivative(program, j, LAW)).means(theta)[0]
        assert abs(mean - slope) < 1e-9 * max(1, abs(slope)), (j, mean, slope)


@pytest.mark.parametrize("law", [Roulette((0.5,)), Roulette((0.9, 0.01, 0.3)), Roulette((0.3, 0.2), (5.0, -2.0))])
def test_any_law_and_any_baseline_give_the_same_mean(law):
    slope = lib.closed_gradient("T01_GeoCount", [1.0])[0]
    assert abs(Exact(derivative(lib.GEOMETRIC, 0, law)).means([1.0])[0] - slope) < 1e-8


def test_parameter_after_the_loop():
    """One occurrence, in no loop: no law, one shift; the derivative in it and in those of the loop."""
    *loop, last = lib.RUS.body
    turned = dataclasses.replace(
        lib.RUS, parameters=("t", "p", "s"), body=(*loop, Gate("ry", (Const(0),), Parameter(2)), last)
    )
    assert isinstance(last, Measure) and not has_unbounded_occurrences(turned, (2,))
    z, s = 1 - 2 * lib.reference()["T02_RusZ"]["value"], 0.9
    slope = lib.reference()["T02_RusZ"]["gradient"][1]
    theta = [1.0, 0.7, s]
    assert abs(Exact(turned).means(theta)[0] - (1 - np.cos(s) * z) / 2) < 1e-12
    assert abs(Exact(derivative(turned, 2)).means(theta)[0] - np.sin(s) * z / 2) < 1e-12
    assert abs(Exact(derivative(turned, 1, LAW)).means(theta)[0] - np.cos(s) * slope) < 1e-9


def test_commutator_gadget():
    """Exchange with a prepared qubit instead of a shift: the same mean, four times the second moment."""
    z = dataclasses.replace(lib.RUS, outputs=(Select(lib.RUS.outputs[0], Const(-1.0), Const(1.0)),), kind="double")
    law, theta = Roulette((0.1,)), [1.0, 0.7]
    for j in range(2):
        squares = []
        for gadget in ("shift", "commutator"):
            d = derivative(z, j, law, gadget)
            (out,) = d.outputs
            mean, square = Exact(d, (out, Binary("mul", out, out))).means(theta)
            assert abs(mean + 2 * lib.reference()["T02_RusZ"]["gradient"][j]) < 1e-9
            squares.append(square)
        assert abs(squares[1] / squares[0] - 4) < 1e-9
    body = (Gate("ry", (Const(0),), Const(1.1)), Gate("ryy", (Const(1), Const(0)), Parameter(0)))
    body = (*body, Gate("rxx", (Const(0), Const(1)), Parameter(0)), Measure(Const(1), "m"))
    two = Program("Two", ("t",), 2, body, (Var("m"),), "result")
    mean = Exact(two).means
    difference = (mean([0.5 + 1e-5]) - mean([0.5 - 1e-5])) / 2e-5
    assert abs(Exact(derivative(two, 0, gadget="commutator")).means([0.5]) - difference) < 1e-9
    assert abs(difference) > 0.05
    with pytest.raises(ConfigError, match="gadget"):
        derivative(two, 0, gadget="other")


def test_gradient_program():
    means = Exact(gradient_program(lib.DISCOUNT, (0, 1), LAW)).means([1.0, 0.9])
    np.testing.assert_allclose(means, lib.reference()["T12_Discount"]["gradient"], atol=1e-9)


def test_second_derivative():
    """Known Hessian of <Z> at (1, 0.7); the program returns (1 - Z) / 2."""
    hessian = np.array([[0.85463159, -0.78071021], [-0.78071021, 0.96813559]])
    law = Roulette((0.2,))
    for i, j in ((1, 1),):
        twice = derivative(derivative(lib.RUS, i, law), j, law)
        assert abs(-2 * Exact(twice).means([1.0, 0.7])[0] - hessian[i, j]) < 1e-7


def test_observable():
    """Register programs: the weight multiplies the observable."""
    z = PauliSum({"Z": 1.0})
    theta = [1.0, 0.7]
    for j, slope in enumerate(lib.reference()["T02_RusZ"]["gradient"]):
        mean = expectation(derivative(lib.RUS_STATE, j, Roulette((0.3, 0.2))), z)(jnp.array(theta))
        assert abs(mean + 2 * slope) < 1e-9


def test_circuit_without_loop():
    """Bounded programs insert with equal chances; the exact mean agrees with differences of the exact value."""
    observable = PauliSum({"ZZ": 1.0, "XI": 0.5, "YX": 0.3})
    exact = expectation(lib.CIRCUIT, observable)
    theta = jnp.array([0.4, 1.1])
    for j in range(2):
        h = 1e-4 * jnp.eye(2)[j]
        difference = (exact(theta + h) - exact(theta - h)) / 2e-4
        mean = expectation(derivative(lib.CIRCUIT, j), observable)(theta)
        assert abs(mean - difference) < 1e-7


def test_angles_that_change_from_turn_to_turn():
    """The angle is a variable that a loop multiplies by a parameter: the chain rule runs through the loop (shots)."""
    angle = Var("a")
    body = (
        Gate("ry", (Const(0),), Const(0.4)),
        Assign("a", Parameter(0)),
        Assign("k", Const(0)),
        While(
            (),
            Binary("lt", Var("k"), Const(3)),
            (
                Gate("rx", (Const(0),), angle),
                Gate("ry", (Const(0),), Unary("sin", angle)),
                Assign("a", Binary("mul", angle, Parameter(1))),
                Assign("k", Binary("add", Var("k"), Const(1))),
            ),
        ),
        Measure(Const(0), "m"),
        Reset(Const(0)),
    )
    program = Program("Turns", ("x", "y"), 1, body, (Var("m"),), "result")
    theta = np.array([0.8, 0.9])

    def mean(theta):
        state = np.array([1.0, 0.0], complex)
        y = np.array([[0, -1j], [1j, 0]])
        x = np.array([[0, 1], [1, 0]])

        def turn(p, angle, state):
            return np.cos(angle / 2) * state - 1j * np.sin(angle / 2) * p @ state

        state, a = turn(y, 0.4, state), theta[0]
        for _ in range(3):
            state, a = turn(y, np.sin(a), turn(x, a, state)), a * theta[1]
        return abs(state[1]) ** 2

    for j in range(2):
        h = 1e-5 * np.eye(2)[j]
        slope = (mean(theta + h) - mean(theta - h)) / 2e-5
        x = np.asarray(sample(derivative(program, j), jnp.asarray(theta), jax.random.key(j), 100_000).outputs[0])
        assert abs(x.mean() - slope) < 4.5 * x.std() / np.sqrt(len(x)) < 0.1
