"""Emitted derivative programs: compiled by the real compiler, read back, and their exact mean is the gradient."""

import dataclasses

import numpy as np
import pytest

import diffquantum
from diffquantum.emit import to_qir, to_qsharp
from diffquantum.ir import Assign, Const
from diffquantum.simulate.density import Exact
from diffquantum.transform import Roulette, derivative
from diffquantum.transform.placed import placed
from qml._core.errors import ShapeError
from tests.diffquantum.cases import REFERENCE, loop
from tests.diffquantum.test_insertion import POINT, TURNS
from tests.helpers import programs as lib

LAW = Roulette.mixture(table=4)
SOME = ("T02_RusZ", "T12_Discount")


@pytest.mark.parametrize("name", [n if n in SOME else pytest.param(n, marks=pytest.mark.slow) for n in REFERENCE])
def test_exact_mean_of_the_emitted_program_is_the_gradient(name):
    """From the Q# source by the derivative to Q# again, on all programs and parameters, to 1e-9 of the slope."""
    known = REFERENCE[name]
    for j, slope in enumerate(known["gradient"]):
        back = diffquantum.load(to_qsharp(derivative(loop(name), j, LAW)))
        mean = Exact(back).means(known["theta"])[0]
        assert abs(mean - slope) < 1e-9 * max(1, abs(slope)), (j, mean, slope)


LONG = pytest.mark.slow


@pytest.mark.parametrize("place", [pytest.param((0, 0), marks=LONG), (0, 1), pytest.param((1, 1), marks=LONG)])
def test_second_derivatives(place):
    """Known Hessian of <Z> at (1, 0.7), by the derivative of the derivative, emitted and read back."""
    hessian = np.array([[0.85463159, -0.78071021], [-0.78071021, 0.96813559]])
    law = Roulette((0.3, 0.2))
    i, j = place
    twice = diffquantum.load(to_qsharp(derivative(derivative(loop("T02_RusZ"), i, law), j, law)))
    assert abs(-2 * Exact(twice).means([1.0, 0.7])[0] - hessian[i, j]) < 6e-9


@pytest.mark.slow
def test_qir_runs():
    """QIR of a derivative program with numbers in it: shots of the simulator for QIR; with a register, too."""
    from qdk.simulation import run_qir

    law = Roulette.mixture(0.88, 0.2, 24)
    slope = REFERENCE["T02_RusZ"]["gradient"][1]
    x = np.array(run_qir(to_qir(derivative(lib.RUS, "p", law), [1.0, 0.7]), shots=20_000, seed=3), float)
    assert abs(x.mean() - slope) < 4.5 * x.std() / np.sqrt(len(x)) < 1
    pairs = run_qir(to_qir(derivative(lib.RUS_STATE, "p", law), [1.0, 0.7]), shots=20_000, seed=3)
    x = np.array([w * (1 - 2 * int(str(bits[0]) == "One")) for w, bits in pairs])
    assert abs(x.mean() + 2 * slope) < 4.5 * x.std() / np.sqrt(len(x)) < 2
    assert "GradketParameter(i64 1)" in to_qir(lib.RUS)
    assert len(run_qir(to_qir(lib.RUS_STATE, [1.0, 0.7]), shots=2, seed=1)) == 2
    with pytest.raises(ShapeError):
        to_qir(lib.RUS, [1.0])


def test_program_with_a_given_place():
    """Places are Int arguments, and there is no ancilla: read back, the means are those of the program itself."""
    whole = placed(TURNS, (0, 1))
    text = to_qsharp(whole.program, whole.given)
    assert "Turns(x : Double, y : Double, place_0 : Int, place_1 : Int, turn : Double)" in text
    assert text.count("Qubit()") == 1
    given = dict(zip((site.place for site in whole.sites), (0, 2), strict=True))
    back = diffquantum.load(text, fixed=given)
    start = tuple(Assign(name, Const(value)) for name, value in (given | {whole.turn: 0.4}).items())
    here = dataclasses.replace(whole.program, body=(*start, *whole.program.body))
    np.testing.assert_allclose(Exact(back).means([*POINT, 0.4]), Exact(here).means(POINT), atol=1e-10)
