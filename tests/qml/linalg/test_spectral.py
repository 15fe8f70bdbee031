"""Matrix functions against `expm` and closed forms, at degenerate spectra, in every mode of differentiation."""

import decimal
import json
import pathlib

import hypothesis
import hypothesis.strategies as strategies
import jax
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np
import pytest
import scipy.linalg

from qml._core.errors import ConfigError, ShapeError
from qml.linalg import expm_h, frechet, gibbs, log_partition, logm_h, spectral, sqrtm_h, trace_spectral

REFERENCE = json.loads((pathlib.Path(__file__).parents[2] / "reference" / "gibbs.json").read_text())
PAULI = {"X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}


def string(sites: int, letters: dict[int, str]) -> np.ndarray:
    out = np.eye(1)
    for i in range(sites):
        out = np.kron(out, PAULI[letters[i]] if i in letters else np.eye(2))
    return out


def ring(sites: int, real: bool) -> np.ndarray:
    """XX, YY and ZZ of a ring: at equal couplings the Heisenberg model, with degenerate multiplets."""
    terms = np.stack([sum(string(sites, {i: a, (i + 1) % sites: a}) for i in range(sites)) for a in "XYZ"])
    return terms.real if real else terms + 0j


def rows_backward(function):
    return jax.jacrev(jax.jacrev(function))


def rows_forward(function):
    return jax.jacfwd(jax.jacfwd(function))


def plain_exp(x):
    return jnp.exp(x)


def random_hermitian(seed: int, size: int, real: bool) -> np.ndarray:
    a, b = np.random.default_rng(seed).normal(size=(2, size, size))
    matrix = a if real else a + 1j * b
    return (matrix + matrix.conj().T) / 2


@pytest.mark.slow
@pytest.mark.parametrize("real", [True, False])
def test_degenerate_ring_to_third_order(real):
    reference = REFERENCE["P4"]
    terms = ring(6, real)

    def log_z(t):
        return log_partition(jnp.tensordot(t, terms, 1))

    def all_orders(t):
        hessians = [f(log_z)(t) for f in (jax.hessian, rows_backward, rows_forward)]
        batch = jax.vmap(jax.hessian(log_z))(jnp.stack([t, 2 * t]))
        return log_z(t), jax.grad(log_z)(t), hessians, jax.jacfwd(jax.hessian(log_z))(t), batch

    value, slope, hessians, third, batch = jax.tree.map(np.asarray, jax.jit(all_orders)(np.full(3, 0.25)))
    assert abs(value - reference["log_partition"]) < 1e-10
    np.testing.assert_allclose(slope, reference["gradient"], atol=1e-10)
    for hessian in hessians:
        np.testing.assert_allclose(hessian, reference["hessian"], atol=1e-10)
    for name, index in (("xxx", (0, 0, 0)), ("xxy", (0, 0, 1)), ("xyz", (0, 1, 2))):
        assert abs(third[index] - reference["third"][name]) < 1e-6
    assert np.abs(third - np.transpose(third, (2, 0, 1))).max() < 1e-10
    assert np.isfinite(batch).all()
    np.testing.assert_allclose(batch[0], reference["hessian"], atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("real", [pytest.param(True, marks=pytest.mark.slow), False])
def test_third_derivatives_in_every_mode_agree_with_expm(real):
    terms = ring(4, real)
    terms = np.concatenate([terms, (string(4, {0: "Z"}) + 0 * terms[0])[None]])
    point = jnp.array([0.3, 0.3, 0.3, 0.0])

    def twin(t):
        return jnp.log(jnp.trace(jax.scipy.linalg.expm(-jnp.tensordot(t, terms, 1))).real)

    def log_z(t):
        return log_partition(jnp.tensordot(t, terms, 1))

    def third(t):
        modes = jax.jacfwd, jax.jacrev
        return [outer(inner(jax.grad(log_z)))(t) for outer in modes for inner in modes]

    exact = jax.jit(jax.jacfwd(jax.jacfwd(jax.jacfwd(twin))))(point)
    for found in jax.jit(third)(point):
        np.testing.assert_allclose(found, exact, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "real"),
    [("exp", False), *(pytest.param(*c, marks=pytest.mark.slow) for c in (("exp", True), ("cosh", False)))],
)
def test_second_derivatives_of_a_matrix_function(name, real):
    terms = ring(3, real)
    point = jnp.array([0.4, 0.4, 0.4])
    probe = random_hermitian(1, 8, real)

    def twin(t):
        e = jax.scipy.linalg.expm
        a = jnp.tensordot(t, terms, 1)
        return jnp.sum(probe.conj() * (e(a) if name == "exp" else (e(a) + e(-a)) / 2)).real

    def ours(t):
        a = jnp.tensordot(t, terms, 1)
        return jnp.sum(probe.conj() * (expm_h(a) if name == "exp" else spectral(jnp.cosh)(a))).real

    def all_orders(t):
        forms = jax.hessian, lambda f: jax.jacrev(jax.grad(f)), rows_forward, lambda f: jax.jacrev(jax.jacfwd(f))
        batch = jax.vmap(jax.hessian(ours))(t[None])
        return ours(t), jax.grad(ours)(t), [*(form(ours)(t) for form in forms), batch[0]]

    exact = jax.jit(lambda t: (twin(t), jax.grad(twin)(t), rows_forward(twin)(t)))(point)
    value, slope, hessians = jax.jit(all_orders)(point)
    np.testing.assert_allclose(value, exact[0], rtol=1e-12)
    np.testing.assert_allclose(slope, exact[1], atol=1e-11)
    for hessian in hessians:
        np.testing.assert_allclose(hessian, exact[2], atol=1e-10)


def test_log_and_root_undo_exp_and_square():
    exponential, logarithm, square_root = jax.jit(expm_h), jax.jit(logm_h), jax.jit(sqrtm_h)
    matrix = random_hermitian(2, 6, False) / 3
    np.testing.assert_allclose(logarithm(exponential(matrix)), matrix, atol=1e-12)
    positive = matrix @ matrix + np.eye(6)
    root = np.asarray(square_root(positive))
    np.testing.assert_allclose(root @ root, positive, atol=1e-12)
    np.testing.assert_allclose(logarithm(positive), scipy.linalg.logm(positive), atol=1e-12)
    # the Fréchet derivatives of inverse functions are inverse maps, also where levels coincide
    level = np.diag([1.0, 1.0, 1.0 + 1e-9, 2.0, 2.0, 5.0]) + 0j
    direction = random_hermitian(3, 6, False)
    there = jax.jit(frechet(jnp.log))(level, direction)
    np.testing.assert_allclose(jax.jit(frechet(jnp.exp))(logarithm(level), there), direction, atol=1e-11)
    root = np.asarray(square_root(level))
    there = np.asarray(jax.jit(frechet(jnp.sqrt))(level, direction))
    np.testing.assert_allclose(there @ root + root @ there, direction, atol=1e-11)


def test_second_derivatives_of_log_and_root_at_degenerate_levels():
    level = np.diag([1.0, 1.0, 1.0 + 1e-9, 3.0]) + 0j
    left, right = (random_hermitian(k, 4, False) for k in (4, 5))

    def chain(inverse, function):
        """f(inverse f(A)) = A has no second derivative; the chain rule crosses both of them."""

        def first(a):
            return jax.jvp(lambda b: function(inverse(b)), (a,), (left,))[1]

        return jax.jit(lambda a: jax.jvp(first, (a,), (right,))[1])(level)

    assert np.abs(chain(logm_h, expm_h)).max() < 1e-9
    assert np.abs(chain(sqrtm_h, lambda b: b @ b)).max() < 1e-9


@pytest.mark.parametrize("gap", [0.0, 1e-14, 1e-9, 1e-5, 1e-2, 0.5, 0.99, 1.01, 3.0, 40.0])
def test_divided_differences_at_any_gap(gap):
    """Second divided differences of exp, read off a second derivative, against 80-digit arithmetic."""
    decimal.getcontext().prec = 80
    a, b, c = (decimal.Decimal(v) for v in (0.3, 0.3 - gap, 0.3 - gap / 3))
    if gap == 0:
        exact = a.exp() / 2
    else:
        exact = ((a.exp() - b.exp()) / (a - b) - (b.exp() - c.exp()) / (b - c)) / (a - c)
    level = np.diag([float(a), float(b), float(c)])
    one, two = np.zeros((2, 3, 3))
    one[0, 1] = one[1, 0] = two[1, 2] = two[2, 1] = 1.0

    def second(function):
        return jax.jit(lambda a: jax.jvp(lambda m: frechet(function)(m, one), (a,), (two,))[1])

    for function in (jnp.exp, plain_exp):  # the closed kernel, then the generic one
        found = second(function)(level)[0, 2]
        assert abs(found - float(exact)) < 3e-13 * abs(float(exact))


@jax.jit
def all_of_one(matrix):
    value, slope = jax.value_and_grad(log_partition)(matrix)
    return expm_h(matrix), value, slope, gibbs(matrix), trace_spectral(jnp.exp)(-matrix)


@hypothesis.given(
    seed=strategies.integers(0, 10**6), real=strategies.booleans(), size=strategies.sampled_from([1, 2, 5])
)
@hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
def test_random_matrices(seed, real, size):
    matrix = random_hermitian(seed, size, real)
    exponential, value, slope, state, total = jax.tree.map(np.asarray, all_of_one(matrix))
    np.testing.assert_allclose(exponential, scipy.linalg.expm(matrix), atol=1e-11)
    np.testing.assert_allclose(np.trace(state).real, 1, atol=1e-13)
    np.testing.assert_allclose(-slope, state.T, atol=1e-12)
    np.testing.assert_allclose(total, np.exp(value), rtol=1e-12)


def test_trace_of_a_generic_function_to_third_order():
    matrix = np.diag([1.0, 1.0, 2.0, 5.0])
    direction = random_hermitian(7, 4, True) / 4

    def along(function):
        def line(t):
            return function(matrix + t * direction)

        return jax.jit(lambda t: [f(t) for f in (jax.grad(line), jax.hessian(line), jax.grad(jax.hessian(line)))])(0.0)

    ours = along(trace_spectral(lambda x: x**5 - 1 / x))
    exact = along(lambda a: jnp.trace(a @ a @ a @ a @ a) - jnp.trace(jnp.linalg.inv(a)))
    np.testing.assert_allclose(ours, exact, rtol=1e-10)


def test_low_temperature():
    terms = ring(4, True)
    point = np.full(3, 0.3)
    ground = -np.linalg.eigvalsh(np.tensordot(point, terms, 1))[0]

    def log_z(t):
        return log_partition(1000 * jnp.tensordot(t, terms, 1))

    def element(t):
        return gibbs(1000 * jnp.tensordot(t, terms, 1))[0, 0]

    @jax.jit
    def all_orders(t):
        return log_z(t), jax.grad(log_z)(t), jax.jacfwd(jax.hessian(log_z))(t), jax.hessian(element)(t)

    value, *derivatives = all_orders(point)
    np.testing.assert_allclose(value / 1000, ground, rtol=1e-12)
    for derivative in derivatives:
        assert np.isfinite(derivative).all()


def test_zero_matrix_and_frechet():
    direction = random_hermitian(8, 5, False)
    np.testing.assert_allclose(frechet(jnp.exp)(np.zeros((5, 5), complex), direction), direction, atol=1e-14)
    matrix = random_hermitian(9, 5, False)
    twin = scipy.linalg.expm_frechet(np.asarray(matrix), np.asarray(direction), compute_expm=False)
    np.testing.assert_allclose(frechet(jnp.exp)(matrix, direction), twin, atol=1e-12)


def test_a_derivative_too_many_raises_and_is_never_silent():
    matrix = jnp.eye(2)
    fourth = jax.grad(jax.grad(jax.grad(jax.grad(lambda t: log_partition(t * matrix)))))
    with pytest.raises(ConfigError, match="more often"):
        fourth(1.0)
    with pytest.raises(ConfigError, match="more often"):
        jax.hessian(lambda t: expm_h(t * matrix, order=1)[0, 0])(1.0)
    with pytest.raises(ConfigError, match="more often"):
        jax.jit(jax.jacfwd(jax.jit(jax.jacrev(jax.hessian(lambda t: expm_h(t * matrix)[0, 0])))))(1.0)
    assert jnp.isfinite(jax.grad(lambda t: log_partition(t * matrix, order=1))(1.0))


def test_bad_input():
    with pytest.raises(ShapeError, match="square"):
        spectral(jnp.exp)(jnp.zeros((2, 3)))
    with pytest.raises(ConfigError, match="order"):
        spectral(jnp.exp, order=3)
    with pytest.raises(ConfigError, match="order"):
        log_partition(jnp.eye(2), order=4)
