"""Exact expectations: values and derivatives against closed forms, JAX transformations, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import diffquantum
from diffquantum import TerminationError, UnsupportedError
from diffquantum.estimate import Roulette, SampledExpectation
from diffquantum.simulate.gates import pauli
from qml._core.errors import ConfigError, PrecisionError, ShapeError, SpaceError
from qml.operator import PauliSum
from tests.diffquantum.cases import FEATURES, PREPARE, REFERENCE, Propagation, expectation, feature, loop

ALIKE = ("T03b_NeuronTries", "T05b_ExtractorBit", "T14_CondBody", "T15_Race")  # other outputs of loops of the same kind


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in ALIKE else n for n in REFERENCE])
def test_value_and_gradient(name):
    """The 18 programs: values to 1e-10, gradients to 1e-8 (relative where above 1)."""
    known = REFERENCE[name]
    theta, gradient = jnp.array(known["theta"]), np.array(known["gradient"])
    value, slope = jax.jit(jax.value_and_grad(expectation(name)))(theta)
    assert abs(value - known["value"]) <= 1e-10 * max(1, abs(known["value"]))
    assert np.all(np.abs(slope - gradient) <= 1e-8 * np.maximum(1, np.abs(gradient)))


def test_hessian():
    """Second derivatives of <Z> = 1 - 2 P(One) of the repeat-until-success program."""
    hessian = jax.jit(jax.hessian(expectation("T02_RusZ")))(jnp.array([1.0, 0.7]))
    known = [[0.85463159, -0.78071021], [-0.78071021, 0.96813559]]
    np.testing.assert_allclose(-2 * hessian, known, atol=6e-9)


def test_hessian_of_nested_loops():
    """E = 1 / (p(t) p(s)) with p = sin^2(t/2), by finite differences of the closed form's own derivatives."""

    def closed(x):
        return 1 / (jnp.sin(x[0] / 2) ** 2 * jnp.sin(x[1] / 2) ** 2)

    theta, mean = jnp.array([1.0, 1.3]), expectation("T06_Nested")
    found, exact = jax.jit(lambda t: (jax.hessian(mean)(t), jax.hessian(closed)(t)))(theta)
    np.testing.assert_allclose(found, exact, rtol=1e-10)


def test_derivative_program():
    """The value of a derivative program with a table of 64 hazards compiles like any other; so does its gradient."""
    program = diffquantum.derivative(loop("T02_RusZ"), 1)
    theta = jnp.array([1.0, 0.7])
    value, slope = jax.jit(jax.value_and_grad(diffquantum.expectation(program)))(theta)
    assert abs(value - REFERENCE["T02_RusZ"]["gradient"][1]) < 1e-9
    np.testing.assert_allclose(-2 * slope, [-0.78071021, 0.96813559], atol=1e-8)


def test_descent_and_both_modes():
    """A step of optax under jit; the Hessian by forward and reverse mode in any order."""
    mean = expectation("T02_RusZ")
    rule = optax.sgd(0.1)

    @jax.jit
    def step(theta):
        update, _ = rule.update(jax.grad(mean)(theta), rule.init(theta))
        return (
            optax.apply_updates(theta, update),
            jax.jacfwd(jax.jacrev(mean))(theta),
            jax.jacrev(jax.jacfwd(mean))(theta),
        )

    theta = jnp.array([1.0, 0.7])
    after, forward, reverse = step(theta)
    np.testing.assert_allclose(after, theta - 0.1 * np.array(REFERENCE["T02_RusZ"]["gradient"]), atol=1e-10)
    np.testing.assert_allclose(forward, reverse, atol=1e-11)


def test_transformations_agree():
    """jit, vmap, forward and reverse mode."""
    mean = expectation("T12_Discount")
    points = jnp.array([[1.0, 0.9], [0.7, 0.8], [2.0, -0.5]])
    one_by_one = jnp.stack([mean(x) for x in points])
    np.testing.assert_allclose(jax.vmap(mean)(points), one_by_one, atol=1e-13)
    np.testing.assert_allclose(jax.jit(jax.vmap(mean))(points), one_by_one, atol=1e-13)
    slope = jax.jit(jax.grad(mean))
    reverse = np.stack([slope(x) for x in points])
    for batch in jax.jit(lambda x: (jax.vmap(jax.grad(mean))(x), jax.vmap(jax.jacfwd(mean))(x)))(points):
        np.testing.assert_allclose(batch, reverse, atol=1e-12)


@pytest.mark.parametrize("t", [0.25, 0.02])
def test_heavy_tail(t):
    """10^4 turns on average cost the same as three."""
    mean = expectation("T16_Heavy")
    value, slope = jax.value_and_grad(mean)(jnp.array([t]))
    assert abs(value * np.tan(t / 2) ** 2 - 1) < 1e-11
    assert abs(slope[0] * np.tan(t / 2) * np.sin(t / 2) ** 2 + 1) < 1e-10


def test_observable():
    """<O> of a prepared state against the measured program, and its gradient against finite differences."""
    program = diffquantum.load(PREPARE, parameters=2, qubits=2)
    assert program.register == (0, 1)
    theta = jnp.array([0.9, 0.6])
    mean = diffquantum.expectation(program, PauliSum({"ZZ": 1.0, "XI": 0.5, "YX": -0.3, "II": 2.0}))
    reference = Propagation(program, theta)
    matrix = np.asarray(PauliSum({"ZZ": 1.0, "XI": 0.5, "YX": -0.3, "II": 2.0}).to_dense())
    exact = reference.mean(matrix)
    assert abs(mean(theta) - exact) < 1e-9
    gradient, step = jax.jit(jax.grad(mean))(theta), 1e-4
    for i in range(2):
        e = step * np.eye(2)[i]
        slope = (8 * (mean(theta + e) - mean(theta - e)) - (mean(theta + 2 * e) - mean(theta - 2 * e))) / (12 * step)
        assert abs(gradient[i] - slope) < 1e-9


def test_order_of_the_register():
    """Letter i of a string is qubit i of the arguments, single qubits and arrays in order."""
    program = feature("Entangle", qubits=3)
    assert program.register == (0, 1, 2)
    theta = jnp.array([0.8])
    reference = Propagation(program, theta)
    words = ("ZII", "IZI", "IIZ", "XYI", "IXY")
    mean = diffquantum.expectation(program, PauliSum(dict.fromkeys(words, 1.0)))
    rows = {}  # the mean is linear in the coefficients: all strings from one compiled program
    for word in words:
        chosen = np.array(PauliSum({w: 1.0 + (w == word) for w in words}).coefficients).real - 1.0
        rows[word] = mean.function(theta, jnp.asarray(chosen), mean.arrays)
        assert abs(rows[word] - reference.mean(pauli(word))) < 1e-9
    assert len({round(float(x), 6) for x in rows.values()}) > 2


def test_radius_one():
    """At t = 0 the counting loop never ends: an error, or NaN where nothing can be raised."""
    mean = expectation("T01_GeoCount")
    for t in (0.0, 1e-5, 2 * np.pi):
        with pytest.raises(TerminationError, match="does not end"):
            mean(jnp.array([t]))
        assert np.isnan(jax.jit(mean)(jnp.array([t])))
        assert np.isnan(jax.grad(mean)(jnp.array([t]))[0])
    batch = jax.vmap(mean)(jnp.array([[0.0], [1.0]]))
    assert np.isnan(batch[0]) and abs(batch[1] - REFERENCE["T01_GeoCount"]["value"]) < 1e-10


def test_mean_that_does_not_exist():
    """E[g^T] is infinite for g^2 (1 - p) > 1, though the loop ends and (1 - gL) has an inverse."""
    mean = expectation("T12_Discount")
    with pytest.raises(TerminationError, match="spectral radius"):
        mean(jnp.array([1.0, 2.0]))
    assert np.isnan(jax.jit(mean)(jnp.array([1.0, 2.0])))


def test_unreachable_trap():
    """A part of the space that would never end does not matter as long as nothing gets there."""
    text = """operation Trap(t : Double) : Int {
        use (q, lock) = (Qubit(), Qubit());
        mutable n = 0;
        repeat { Ry(t, q); n += 1; if M(lock) == One { Reset(q); } }
        until MResetZ(q) == One;
        n }"""
    mean = diffquantum.expectation(diffquantum.load(text))
    value, slope = jax.jit(jax.value_and_grad(mean))(jnp.array([1.0]))
    assert abs(value - 1 / np.sin(0.5) ** 2) < 1e-10
    np.testing.assert_allclose(slope[0], -np.cos(0.5) / np.sin(0.5) ** 3, rtol=1e-10)


def test_termination():
    report = expectation("T02_RusZ").termination([1.0, 0.7])
    assert abs(report.radius - np.cos(0.5) ** 2) < 1e-10
    np.testing.assert_allclose(report.mean_iterations, [1 / np.tan(0.5) ** 2], rtol=1e-12)
    nested = expectation("T06_Nested").termination([1.0, 1.3])
    outer = 1 / np.sin(0.5) ** 2
    np.testing.assert_allclose(nested.mean_iterations, [outer, outer / np.sin(0.65) ** 2], rtol=1e-12)
    assert expectation("T01_GeoCount").termination([0.0]).mean_iterations == (np.inf,)


def test_sampled():
    sampled = diffquantum.expectation(loop("T02_RusZ"), shots=100, loops=Roulette())
    assert isinstance(sampled, SampledExpectation) and sampled.shots == 100


def test_errors():
    program = diffquantum.load(PREPARE, parameters=2, qubits=2)
    with pytest.raises(SpaceError, match="does not fit the register"):
        diffquantum.expectation(program, PauliSum({"ZZZ": 1.0}))
    with pytest.raises(SpaceError, match="does not fit the register"):
        diffquantum.expectation(program, PauliSum({"Z": 1.0}), shots=10)
    with pytest.raises(SpaceError, match="needs an observable"):
        diffquantum.expectation(program)
    with pytest.raises(SpaceError, match="returns data"):
        diffquantum.expectation(loop("T02_RusZ"), PauliSum({"Z": 1.0}))
    with pytest.raises(SpaceError, match="Hermitian"):
        diffquantum.expectation(program, PauliSum({"ZZ": 1.0j}))
    with pytest.raises(ShapeError, match="2 parameters"):
        expectation("T02_RusZ")(jnp.array([1.0]))
    with pytest.raises(ConfigError, match="does not sample"):
        diffquantum.expectation(loop("T02_RusZ"), loops=Roulette())
    with pytest.raises(UnsupportedError, match="several values"):
        diffquantum.expectation(feature("Several"))
    silent = "operation Nothing(t : Double) : Unit { use q = Qubit(); Ry(t, q); Reset(q); }"
    with pytest.raises(UnsupportedError, match="returns nothing"):
        diffquantum.expectation(diffquantum.load(silent))


def test_too_many_values():
    """A counter that decides an angle and grows without bound has no finite exact semantics; the error names it."""
    text = """operation Grow(t : Double) : Int { use q = Qubit(); mutable n = 1;
        repeat { Ry(t / Std.Convert.IntAsDouble(n), q); n += 1; } until MResetZ(q) == One; n }"""
    program = diffquantum.load(text)
    with pytest.raises(UnsupportedError, match="takes too many values"):
        diffquantum.simulate.density.Exact(program, limit=50)


def test_needs_64_bits():
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(PrecisionError):
            diffquantum.expectation(loop("T02_RusZ"))
    finally:
        jax.config.update("jax_enable_x64", True)


def test_name_is_the_function():
    """`diffquantum.expectation` stays the function after its module of the same name has been imported."""
    import diffquantum.expectation

    assert callable(diffquantum.expectation) and FEATURES.exists()
    assert {"load", "derivative", "expectation", "Roulette", "Program"} <= set(dir(diffquantum))
