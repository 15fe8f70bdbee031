"""Shift rules of any spectrum, the gadget of any generator, steps without step size, certified minima, records."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from diffquantum.errors import UnsupportedError
from diffquantum.estimate.allocation import allocate
from diffquantum.estimate.circuits import Band, band, certify_minimum, rotosolve, safe_step
from diffquantum.estimate.records import robust_normalise, signature, two_sample_test
from diffquantum.ir import Binary, Const, Gate, Measure, Parameter, Program, Var
from diffquantum.simulate.density import Exact
from diffquantum.simulate.gates import pauli, unitary
from diffquantum.transform.rules import commutator, shift_rule
from qml._core.errors import ConfigError, ShapeError
from qml.operator import PauliSum
from tests.helpers import programs as lib

T, P = Parameter(0), Parameter(1)


@pytest.mark.parametrize("gaps", [(1.0,), (0.5, 1.0), (1.0, 2.0, 3.0), (0.7, 1.9, 3.1)])
def test_shift_rule_of_a_spectrum(gaps):
    """A random trigonometric polynomial with these frequencies; and the two-term rule."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, len(gaps)))
    omega = np.array(gaps)
    shifts, numbers = shift_rule(gaps)

    def f(x):
        return 0.3 + np.sum(a * np.cos(omega * x) + b * np.sin(omega * x))

    found = sum(c * (f(0.4 + s) - f(0.4 - s)) for s, c in zip(shifts, numbers))
    assert abs(found - np.sum(omega * (b * np.cos(omega * 0.4) - a * np.sin(omega * 0.4)))) < 1e-12


def test_shift_rule_of_a_controlled_rotation():
    """One gate with two gaps, taken whole: a controlled Ry."""

    def mean(x):
        body = (
            Gate("h", (Const(0),)),
            Gate("rx", (Const(1),), Const(0.7)),
            Gate("ry", (Const(1),), Const(x / 2)),  # controlled Ry(x)
            Gate("cx", (Const(0), Const(1))),
            Gate("ry", (Const(1),), Const(-x / 2)),
            Gate("cx", (Const(0), Const(1))),
            Gate("rx", (Const(0),), Const(0.4)),
            Gate("cx", (Const(1), Const(0))),
            Measure(Const(0), "m"),
        )
        return Exact(Program("Controlled", (), 2, body, (Var("m"),), "result")).means([])[0]

    shifts, numbers = shift_rule((0.5, 1.0))
    found = sum(c * (mean(0.9 + s) - mean(0.9 - s)) for s, c in zip(shifts, numbers))
    h = 1e-3
    slope = (8 * (mean(0.9 + h) - mean(0.9 - h)) - mean(0.9 + 2 * h) + mean(0.9 - 2 * h)) / (12 * h)
    assert abs(found - slope) < 1e-10 and abs(slope) > 1e-3
    for bad in ((), (0.0,), (1.0, 1.0 + 1e-12)):
        with pytest.raises(ConfigError):
            shift_rule(bad)


@pytest.mark.parametrize("size", [1, 2])
def test_gadget_of_any_generator(size):
    """Density matrices: f' = l (f+ - f-) for a random state as generator, drawn by its eigenvectors."""
    rng = np.random.default_rng(size)
    dim = 2**size

    def hermitian():
        a = rng.normal(size=(dim, dim)) + 1j * rng.normal(size=(dim, dim))
        return a + a.conj().T

    g, o, state = hermitian(), hermitian(), hermitian()
    shift = np.linalg.eigvalsh(g)[0]
    scale = np.trace(g - shift * np.eye(dim)).real
    sigma = (g - shift * np.eye(dim)) / scale
    rho = expm(state)
    rho /= np.trace(rho)
    exact = np.trace(-1j * o @ (g @ rho - rho @ g)).real
    n = 2 * size + 1
    zero = np.diag([1.0, 0.0])
    means = []
    for sign in (1, -1):
        whole = np.kron(np.kron(rho, sigma), zero)
        for gate in commutator(range(size), range(size, 2 * size), 2 * size, sign):
            u = _full(unitary(gate.name, None if gate.angle is None else gate.angle.value), gate.qubits, n)
            whole = u @ whole @ u.conj().T
        means.append(np.trace(np.kron(o, np.eye(2 ** (size + 1))) @ whole).real)
        assert abs(np.trace(np.kron(np.eye(2 ** (n - 1)), zero) @ whole).real - 1) < 1e-12  # the switch is |0> again
    assert abs(scale * (means[0] - means[1]) - exact) < 1e-10
    with pytest.raises(ConfigError):
        commutator((0,), (0,), 1, 1)


def _full(matrix, qubits, n):
    """A gate on some of n qubits."""
    where = [q.value for q in qubits]
    rest = [q for q in range(n) if q not in where]
    order = [*where, *rest]
    big = np.kron(matrix, np.eye(2 ** len(rest))).reshape((2,) * (2 * n))
    inverse = np.argsort(order)
    return big.transpose([*inverse, *(n + inverse)]).reshape(2**n, 2**n)


Z = np.diag([1.0, -1.0])
OBSERVABLE = {"ZZ": 1.0, "XI": 0.5, "IX": 0.3}
ROTATIONS = (("Y", 0), ("Y", 1), ("X", 0))


def mean(theta):
    """A circuit of three rotations and a CZ, by matrices."""
    state = jnp.array([1, 0, 0, 0], complex)
    for j, (letter, q) in enumerate(ROTATIONS[: len(theta)]):
        p = pauli(letter + "I" if q == 0 else "I" + letter)
        state = jnp.cos(theta[j] / 2) * state - 1j * jnp.sin(theta[j] / 2) * (p @ state)
        state = jnp.array([1, 1, 1, -1]) * state if j == 1 else state
    return jnp.real(sum(c * jnp.vdot(state, pauli(s) @ state) for s, c in OBSERVABLE.items()))


CIRCUIT = Program(
    "Three",
    ("a", "b", "c"),
    2,
    (
        Gate("ry", (Const(0),), T),
        Gate("ry", (Const(1),), P),
        Gate("cz", (Const(0), Const(1))),
        Gate("rx", (Const(0),), Parameter(2)),
    ),
    register=(0, 1),
)


def test_steps_without_step_size_never_go_up():
    limits = band(CIRCUIT, PauliSum(OBSERVABLE))
    assert limits == Band((1.0, 1.0, 1.0), 0.0, 1.8)
    step = jax.jit(lambda t: (safe_step(mean, t, jax.grad(mean)(t), limits), mean(t)))
    theta, values = jnp.array([0.3, 2.0, -1.0]), []
    for _ in range(60):
        theta, value = step(theta)
        values.append(float(value))
    assert np.all(np.diff(values) < 1e-12) and values[-1] < values[0] - 0.5
    swept = rotosolve(jax.jit(mean), jnp.array([0.3, 2.0, -1.0]), CIRCUIT, sweeps=20)
    proof = certify_minimum(mean, limits, 1e-3)
    assert proof.lower <= proof.upper <= min(values[-1], float(mean(swept))) + 1e-3
    assert proof.upper - proof.lower <= 1e-3 and proof.boxes < 10_000
    grid = np.stack(np.meshgrid(*[np.linspace(0, 2 * np.pi, 25)] * 3), -1).reshape(-1, 3)
    assert proof.lower <= float(np.min(jax.jit(jax.vmap(mean))(jnp.asarray(grid))))


@pytest.mark.slow
def test_safe_steps_against_tuned_rates():
    """Four sites of the Ising chain, 12 parameters: no step goes up, and the end is near the best of five rates."""
    from benchmarks.circuit_optimisers import compare

    found = compare(100, sites=4, layers=3)
    ends = {name: values[-1] for name, values in found.items()}
    best = min(value for name, value in ends.items() if name.startswith("rate"))
    for name in ("safe steps", "safe steps, bound from the spectrum", "rotosolve, sweeps"):
        assert np.max(np.diff(found[name])) < 1e-12
        assert ends["exact"] < ends[name] <= best + (1e-2 if name.startswith("safe") else 0.1)


def test_bounds_hold_on_random_lines():
    """The cubic bound of safe_step on 200 lines of 41 points."""
    limits = band(CIRCUIT, PauliSum(OBSERVABLE))
    rng = np.random.default_rng(3)
    theta, v = rng.uniform(0, 2 * np.pi, (200, 3)), rng.normal(size=(200, 3))
    x = np.linspace(-1.5, 1.5, 41)

    @jax.jit
    @jax.vmap
    def line(theta, v):
        h = jax.vmap(lambda x: mean(theta + x * v))(jnp.asarray(x))
        slope = jax.grad(lambda x: mean(theta + x * v))
        return h, mean(theta), *jax.jvp(slope, (0.0,), (1.0,))

    h, h0, h1, h2 = (np.asarray(a) for a in line(jnp.asarray(theta), jnp.asarray(v)))
    third = np.abs(v).sum(axis=1) ** 3 * limits.size
    bound = h0[:, None] + h1[:, None] * x + h2[:, None] * x**2 / 2 + third[:, None] * np.abs(x) ** 3 / 6
    assert np.all(h <= bound + 1e-12)


def test_what_has_no_closed_form_is_refused():
    z = PauliSum({"Z": 1.0})
    for program, observable in ((lib.RUS_STATE, z), (lib.CHAIN, None), (lib.CIRCUIT, PauliSum({"ZZ": 1.0}))):
        with pytest.raises(UnsupportedError):
            band(program, observable)
    twice = Program("Twice", ("t",), 1, (Gate("rx", (Const(0),), Binary("mul", Const(2.0), T)),), register=(0,))
    assert band(twice, z).weights == (2.0,)
    with pytest.raises(UnsupportedError):
        rotosolve(lambda t: t[0], jnp.zeros(1), twice)
    with pytest.raises(UnsupportedError):
        certify_minimum(lambda t: jnp.sum(t), Band((1.0,) * 4, 0.0, 1.0))
    with pytest.raises(ConfigError):
        Band((1.0,), 0.0, 0.0)


def test_signatures_obey_chen():
    """S(x * y) = S(x) S(y), and time reversal inverts."""
    rng = np.random.default_rng(0)
    path = np.cumsum(rng.normal(size=(2, 9, 3)), axis=1)
    whole, one, two = signature(path, 3), signature(path[:, :5], 3), signature(path[:, 4:], 3)
    second = one[1] + (one[0][:, :, None] * two[0][:, None]).reshape(2, -1) + two[1]
    np.testing.assert_allclose(whole[1], second, atol=1e-12)
    back = signature(path[:, ::-1], 3)
    level2 = whole[1] + (whole[0][:, :, None] * back[0][:, None]).reshape(2, -1) + back[1]
    np.testing.assert_allclose(level2, 0, atol=1e-12)
    features = robust_normalise(whole)
    assert np.all(np.sum(features**2, axis=1) < 8)
    with pytest.raises(ShapeError):
        signature(path[0], 2)


def cascade(rng, count: int, rates: tuple[float, float], steps: int = 24) -> np.ndarray:
    """Clicks of a three-level cascade: a at one rate, then b at the other, again and again."""
    level = np.zeros(count, int)
    out = np.zeros((count, steps, 2))
    for k in range(steps):
        click = rng.random(count) < np.where(level == 0, *rates)
        out[np.arange(count)[click], k, level[click]] = 1
        level = np.where(click, 1 - level, level)
    return out


@pytest.mark.parametrize("repeats", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_order_of_events_is_seen(repeats):
    """A cascade with its two rates exchanged; under the null hypothesis p-values are as they should be."""
    rng = np.random.default_rng(5)
    power = [
        two_sample_test(cascade(rng, 50, (0.1, 0.4)), cascade(rng, 50, (0.4, 0.1)), 3, 100) for _ in range(repeats)
    ]
    null = [two_sample_test(cascade(rng, 50, (0.1, 0.4)), cascade(rng, 50, (0.1, 0.4)), 3, 100) for _ in range(repeats)]
    assert np.mean(np.array(power) < 0.05) >= 0.9
    assert np.mean(np.array(null) < 0.05) <= (0.4 if repeats < 10 else 0.11)
    with pytest.raises(ShapeError):
        two_sample_test(np.zeros((5, 3, 2)), np.zeros((5, 4, 2)))
    with pytest.raises(ConfigError):
        two_sample_test(np.zeros((1, 3, 2)), np.zeros((5, 3, 2)))


def test_shots_are_allocated_by_spread():
    """The best of all splits of 40 shots, the least for those without spread, and bad input."""
    variances = np.array([4.0, 1.0, 0.25])
    found = allocate(variances, 40)
    splits = [(a, b, 40 - a - b) for a in range(2, 37) for b in range(2, 39 - a)]
    cost = min(np.sum(variances / np.array(s)) for s in splits)
    assert found.sum() == 40 and np.sum(variances / found) <= cost * 1.01
    assert allocate([0.0, 1.0, 2.0], 10, least=3).tolist() == [3, 3, 4]
    assert allocate([0.0, 0.0], 7).sum() == 7
    assert allocate([1.0, 1.0], 100, weights=[1.0, 9.0]).tolist() == [25, 75]
    for bad in (([1.0, -1.0], 10), ([1.0, np.nan], 10), ([1.0, 1.0], 3), ([], 3)):
        with pytest.raises(ConfigError):
            allocate(*bad)
