"""Every construct of the language: gradients against finite differences, values against the interpreter of Q#."""

import dataclasses

import jax
import numpy as np
import pytest

import diffquantum
from diffquantum import SourceError, UnsupportedError
from diffquantum.emit import to_qir, to_qsharp
from diffquantum.estimate import Roulette, value
from diffquantum.expectation import Expectation
from diffquantum.heisenberg import carried_back
from diffquantum.ir import Binary, Const
from diffquantum.probing import NotAffine, merge, probe_points
from diffquantum.simulate.density import Exact
from diffquantum.transform import derivative
from diffquantum.transform.simplify import as_float, variable_types
from tests.diffquantum.probes import NAMES, PROBED, REFUSED, probe

FAST = ("ArrayZipped",)


def check_gradient(name):
    """The gradient of a weighted sum of all outputs is not zero, and agrees with differences of the exact value."""
    program = probe(name, check_shots=20_000)
    theta = np.linspace(0.5, 0.8, len(program.parameters))
    types = variable_types(program)
    terms = [Binary("mul", Const(float(i + 1)), as_float(e, types)) for i, e in enumerate(program.outputs)]
    total = terms[0]
    for term in terms[1:]:
        total = Binary("add", total, term)
    single = dataclasses.replace(program, outputs=(total,), kind="double")
    gradient = jax.grad(Expectation(single, None))(theta)
    exact, h = Exact(single), 1e-5
    steps = h * np.eye(len(theta))
    differences = [(exact.means(theta + d)[0] - exact.means(theta - d)[0]) / (2 * h) for d in steps]
    np.testing.assert_allclose(gradient, differences, atol=1e-5, rtol=1e-6)
    assert np.max(np.abs(gradient)) > 0.01


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in NAMES])
def test_compiled_with_parameters(name):
    check_gradient(name)


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in PROBED])
def test_probed(name, capfd):
    check_gradient(name)
    capfd.readouterr()  # the compiler writes when it panics


ADVICE = {
    "ReturnInLoop": "break",
    "ArrayUpdate": "variable of its own",
    "GrowingArray": "length",
    "DynamicRange": "while with a counter",
    "Fails": "instead of fail",
    "CheckZero": "measure the qubit",
    "Random": "MResetZ",
    "RecursionWithValue": "return Unit",
    "NotAffine": "products",
    "BranchInStruct": "arguments of their own",
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "Fails" else pytest.mark.slow) for n in REFUSED])
def test_refused(name, capfd):
    """The place in the text, and what to change."""
    with pytest.raises(SourceError) as caught:
        probe(name)
    error = caught.value
    assert ADVICE[name] in error.try_ and error.line and error.got and error.expected
    capfd.readouterr()


HIDDEN = """struct Angle { Value : Double }
    operation Hidden(t : Double) : Result { use q = Qubit(); let a = new Angle { Value = t };
        if a.Value > 0.11 and a.Value < 0.12 { X(q); } if a.Value > 600.0 { H(q); } Ry(a.Value, q); MResetZ(q) }"""


def test_branch_that_probing_misses(capfd):
    """A window between the points, and one beyond them: right outside, an error or NaN inside, never a wrong number."""
    program = diffquantum.load(HIDDEN)
    mean = diffquantum.expectation(program)
    assert (
        abs(mean([0.5]) - np.sin(0.25) ** 2) < 1e-12
        and abs(jax.grad(mean)(np.array([0.5]))[0] - np.sin(0.5) / 2) < 1e-12
    )
    slope = derivative(program, 0, Roulette((0.5,)))
    assert (
        to_qsharp(slope).startswith("// Found by compiling")
        and abs(Exact(slope).means([0.5])[0] - np.sin(0.5) / 2) < 1e-12
    )
    for theta in ([0.115], [0.12 - 1e-9], [601.0]):
        for run in (mean, Exact(slope).means, lambda t: to_qir(program, t), lambda t: carried_back(program, None, t)):
            with pytest.raises(UnsupportedError, match="another one at these"):
                run(theta)
        assert np.isnan(jax.jit(mean)(np.array(theta)))
    few = jax.jit(lambda t: value(program, None, t, jax.random.key(0), 50).mean)
    assert np.isnan(few(np.array([0.115]))) and not np.isnan(few(np.array([0.5])))
    capfd.readouterr()


@pytest.mark.slow
def test_merge():
    """Numbers that change become affine expressions; what else changes is refused."""
    program = probe("Struct")
    points = probe_points(2)
    assert len(points) == 11 and np.all(np.min(points, 0) < -100) and np.all(np.max(points, 0) > 100)
    assert merge([program] * len(points), points) is program
    with pytest.raises(NotAffine):
        merge([program] * 10 + [dataclasses.replace(program, qubits=7)], points)
    outputs = [dataclasses.replace(program, outputs=(Const(float(x @ x)),)) for x in points]
    with pytest.raises(NotAffine):
        merge(outputs, points)
