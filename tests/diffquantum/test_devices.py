"""Derivative programs on the simulators of the Q# compiler: unbiased, with errors, from Q# and shots alone."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import stats

import diffquantum
from diffquantum.errors import UnsupportedError
from diffquantum.estimate import Roulette
from diffquantum.ir import Const, Gate, Measure, Program, Var
from diffquantum.simulate.density import Exact
from diffquantum.transform.measured import measured
from qml._core.errors import ConfigError, SpaceError
from qml.operator import PauliSum
from tests.helpers import programs as lib
from tests.helpers.zscore import assert_z

THETA = [1.0, 0.7]
SLOPE = np.array(lib.reference()["T02_RusZ"]["gradient"])
OBSERVABLE = {"Z": 1.0, "X": 0.5, "I": 2.0}


def test_measured_observable():
    """Means of programs that measure in each basis add up to that of the observable; times what is returned."""
    circuit = dataclasses.replace(lib.CIRCUIT, body=(*lib.CIRCUIT.body, Gate("rx", (Const(1),), Const(0.4))))
    strings, numbers = ("II", "ZZ", "XI", "YY", "IZ"), (0.3, 1.0, -0.5, 0.7, 0.2)
    theta = [0.4, 1.1][: len(circuit.parameters)]
    groups = measured(circuit, strings, numbers)
    assert [size for _, size in groups] == [1.2, 0.5, 0.7]
    found = sum(Exact(p).means(theta)[0] for p, _ in groups)
    each = [_mean(circuit, s, theta) for s in strings]
    assert abs(found - np.dot(numbers, each)) < 1e-12
    returns = dataclasses.replace(circuit, body=(*circuit.body, Measure(Const(0), "m")), outputs=(Var("m"),))
    returns = dataclasses.replace(returns, kind="result")
    ((program, _),) = measured(returns, ("ZI",), (1.0,))
    m = (1 - _mean(circuit, "ZI", theta)) / 2
    assert abs(Exact(program).means(theta)[0] + m) < 1e-12  # Z is -1 where the result is One


def _mean(program, string, theta):
    one = dataclasses.replace(program, outputs=(Const(1.0),), kind="double")
    exact = Exact(one, strings=(string,))
    numbers = exact.graph.numbers.evaluate(np.asarray(theta, float), np)
    arrays = exact.arrays()
    parts, _, _ = exact.run(numbers, arrays, np)
    return exact.outputs(parts, numbers, arrays, np)[0, 0]


def test_what_cannot_run():
    with pytest.raises(ConfigError):
        diffquantum.Simulator("dense")
    clifford = diffquantum.Simulator("clifford")
    with pytest.raises(UnsupportedError, match="stabilisers"):
        clifford.gradient(lib.RUS, None, [1.0, np.pi / 2], 100)
    with pytest.raises(UnsupportedError, match="stabilisers"):
        clifford.samples(Program("T", (), 1, (Gate("t", (Const(0),)), Measure(Const(0), "m")), (Var("m"),)), [], 10)
    with pytest.raises(UnsupportedError):
        clifford.gradient(lib.RUS, None, [np.pi / 2] * 2, 100, loops=Roulette((0.3,)))
    with pytest.raises(ConfigError):
        diffquantum.Simulator().value(lib.RUS, None, [1.0], 100)
    with pytest.raises(SpaceError):
        diffquantum.Simulator().value(lib.RUS_STATE, None, THETA, 100)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sparse", "full"])
@pytest.mark.parametrize("loops", [None, Roulette.mixture(0.88, 0.2, 24)])
def test_gradients(kind, loops):
    """Places dealt out, and coins in the program; a number, and an observable that needs two bases."""
    device, z = diffquantum.Simulator(kind), PauliSum(OBSERVABLE)
    assert_z(device.gradient(lib.RUS, None, THETA, 6000, 1, loops), SLOPE)
    exact = diffquantum.expectation(lib.RUS_STATE, z)
    assert_z(device.gradient(lib.RUS_STATE, z, THETA, 6000, 2, loops), jax.grad(exact)(np.array(THETA)))
    if loops is None:
        assert_z(device.value(lib.RUS_STATE, z, THETA, 6000, 3), exact(THETA))
        assert_z(device.gradient(lib.RUS, None, THETA, 6000, 4, parameters=["p"]), SLOPE[1:])


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_errors_cover():
    """Two hundred gradients from the interpreter of Q#: z-scores are normal."""
    device = diffquantum.Simulator()
    found = [device.gradient(lib.RUS, None, THETA, 2000, seed) for seed in range(200)]
    z = np.array([(np.asarray(f.mean) - SLOPE) / np.asarray(f.error) for f in found])
    assert all(stats.kstest(z[:, j], "norm").pvalue > 0.01 for j in range(2)), z.std(axis=0)


@pytest.mark.slow
def test_stabilisers_and_noise():
    """Clifford angles; and depolarising noise of the device, which moves values and slopes towards zero."""
    from qdk import DepolarizingNoise

    half = [np.pi / 2] * 2
    exact = jax.grad(diffquantum.expectation(lib.RUS))(np.array(half))
    assert_z(diffquantum.Simulator("clifford").gradient(lib.RUS, None, half, 20_000, 1), exact)
    flip = diffquantum.load("operation Flip(t : Double) : Result { use q = Qubit(); Ry(t, q); MResetZ(q) }")
    noisy = diffquantum.Simulator(noise=DepolarizingNoise(0.3))
    plain, damped = (d.gradient(flip, None, [1.0], 20_000, 1) for d in (diffquantum.Simulator(), noisy))
    assert_z(plain, [np.sin(1.0) / 2])
    assert damped.mean[0] + 5 * damped.error[0] < plain.mean[0]
