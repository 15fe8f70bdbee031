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


def ring(sites: int, real: bool) -> jax.Array:
    """XX, YY and ZZ of a ring: at equal couplings the Heisenberg model, with degenerate multiplets."""
    terms = np.stack([sum(string(sites, {i: a, (i + 1) % sites: a}) for i in range(sites)) for a in "XYZ"])
    return jnp.asarray(terms.real if real else terms + 0j)


def plain_exp(x):
    return jnp.exp(x)


def random_hermitian(key: jax.Array, size: int, real: bool) -> jax.Array:
    a, b = jax.random.split(key)
    matrix = jax.random.normal(a, (size, size)) + (0 if real else 1j) * jax.random.normal(b, (size, size))
    return (matrix + matrix.conj().T) / 2


@pytest.mark.parametrize("real", [True, False])
def test_degenerate_ring_to_third_order(real):
    reference = REFERENCE["P4"]
    terms = ring(6, real)

    def log_z(t):
        return log_partition(jnp.tensordot(t, terms, 1))

    point = jnp.full(3, 0.25)
    assert abs(log_z(point) - reference["log_partition"]) < 1e-10
    np.testing.assert_allclose(jax.jit(jax.grad(log_z))(point), reference["gradient"], atol=1e-10)
    for hessian in (jax.hessian(log_z), jax.jacrev(jax.jacrev(log_z)), jax.jacfwd(jax.jacfwd(log_z))):
        np.testing.assert_allclose(jax.jit(hessian)(point), reference["hessian"], atol=1e-10)
    third = jax.jit(jax.jacfwd(jax.hessian(log_z)))(point)
    for name, index in (("xxx", (0, 0, 0)), ("xxy", (0, 0, 1)), ("xyz", (0, 1, 2))):
        assert abs(third[index] - reference["third"][name]) < 1e-6
    assert jnp.abs(third - jnp.transpose(third, (2, 0, 1))).max() < 1e-10
    batch = jax.jit(jax.vmap(jax.hessian(log_z)))(jnp.stack([point, 2 * point]))
    assert jnp.isfinite(batch).all()
    np.testing.assert_allclose(batch[0], reference["hessian"], atol=1e-10)


@pytest.mark.parametrize("real", [True, False])
def test_third_derivatives_in_every_mode_agree_with_expm(real):
    terms = ring(4, real)
    terms = jnp.concatenate([terms, jnp.asarray(string(4, {0: "Z"}) + 0 * terms[0])[None]])
    point = jnp.array([0.3, 0.3, 0.3, 0.0])

    def twin(t):
        return jnp.log(jnp.trace(jax.scipy.linalg.expm(-jnp.tensordot(t, terms, 1))).real)

    def log_z(t):
        return log_partition(jnp.tensordot(t, terms, 1))

    exact = jax.jit(jax.jacfwd(jax.jacfwd(jax.jacfwd(twin))))(point)
    for outer in (jax.jacfwd, jax.jacrev):
        for inner in (jax.jacfwd, jax.jacrev):
            np.testing.assert_allclose(jax.jit(outer(inner(jax.grad(log_z))))(point), exact, atol=1e-11)


@pytest.mark.parametrize(("name", "real"), [("exp", True), ("exp", False), ("cosh", False)])
def test_second_derivatives_of_a_matrix_function(name, real):
    terms = ring(3, real)
    point = jnp.array([0.4, 0.4, 0.4])
    probe = random_hermitian(jax.random.key(1), 8, real)

    def twin(t):
        e = jax.scipy.linalg.expm
        a = jnp.tensordot(t, terms, 1)
        return jnp.sum(probe.conj() * (e(a) if name == "exp" else (e(a) + e(-a)) / 2)).real

    def ours(t):
        a = jnp.tensordot(t, terms, 1)
        return jnp.sum(probe.conj() * (expm_h(a) if name == "exp" else spectral(jnp.cosh)(a))).real

    np.testing.assert_allclose(ours(point), twin(point), rtol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.grad(ours))(point), jax.jit(jax.grad(twin))(point), atol=1e-11)
    exact = jax.jit(jax.jacfwd(jax.jacfwd(twin)))(point)
    modes = (jax.hessian(ours), jax.jacrev(jax.grad(ours)), jax.jacfwd(jax.jacfwd(ours)), jax.jacrev(jax.jacfwd(ours)))
    for hessian in modes:
        np.testing.assert_allclose(jax.jit(hessian)(point), exact, atol=1e-10)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.hessian(ours)))(point[None])[0], exact, atol=1e-10)


def test_log_and_root_undo_exp_and_square():
    matrix = random_hermitian(jax.random.key(2), 6, False) / 3
    np.testing.assert_allclose(logm_h(expm_h(matrix)), matrix, atol=1e-12)
    positive = matrix @ matrix + jnp.eye(6)
    np.testing.assert_allclose(sqrtm_h(positive) @ sqrtm_h(positive), positive, atol=1e-12)
    np.testing.assert_allclose(logm_h(positive), scipy.linalg.logm(np.asarray(positive)), atol=1e-12)
    # the Fréchet derivatives of inverse functions are inverse maps, also where levels coincide
    level = jnp.diag(jnp.array([1.0, 1.0, 1.0 + 1e-9, 2.0, 2.0, 5.0])) + 0j
    direction = random_hermitian(jax.random.key(3), 6, False)
    there = frechet(jnp.log)(level, direction)
    np.testing.assert_allclose(frechet(jnp.exp)(logm_h(level), there), direction, atol=1e-11)
    root = sqrtm_h(level)
    there = frechet(jnp.sqrt)(level, direction)
    np.testing.assert_allclose(there @ root + root @ there, direction, atol=1e-11)


def test_second_derivatives_of_log_and_root_at_degenerate_levels():
    level = jnp.diag(jnp.array([1.0, 1.0, 1.0 + 1e-9, 3.0])) + 0j
    left, right = (random_hermitian(jax.random.key(k), 4, False) for k in (4, 5))

    def chain(inverse, function):
        """f(inverse f(A)) = A has no second derivative; the chain rule crosses both of them."""

        def first(a):
            return jax.jvp(lambda b: function(inverse(b)), (a,), (left,))[1]

        return jax.jit(lambda a: jax.jvp(first, (a,), (right,))[1])(level)

    assert jnp.abs(chain(logm_h, expm_h)).max() < 1e-9
    assert jnp.abs(chain(sqrtm_h, lambda b: b @ b)).max() < 1e-9


@pytest.mark.parametrize("gap", [0.0, 1e-14, 1e-9, 1e-5, 1e-2, 0.5, 0.99, 1.01, 3.0, 40.0])
def test_divided_differences_at_any_gap(gap):
    """Second divided differences of exp, read off a second derivative, against 80-digit arithmetic."""
    decimal.getcontext().prec = 80
    a, b, c = (decimal.Decimal(v) for v in (0.3, 0.3 - gap, 0.3 - gap / 3))
    if gap == 0:
        exact = a.exp() / 2
    else:
        exact = ((a.exp() - b.exp()) / (a - b) - (b.exp() - c.exp()) / (b - c)) / (a - c)
    level = jnp.diag(jnp.array([float(a), float(b), float(c)]))
    one = jnp.zeros((3, 3)).at[0, 1].set(1.0).at[1, 0].set(1.0)
    two = jnp.zeros((3, 3)).at[1, 2].set(1.0).at[2, 1].set(1.0)

    def second(function):
        return jax.jit(lambda a: jax.jvp(lambda m: frechet(function)(m, one), (a,), (two,))[1])

    for function in (jnp.exp, plain_exp):  # the closed kernel, then the generic one
        found = second(function)(level)[0, 2]
        assert abs(found - float(exact)) < 3e-13 * abs(float(exact))


@hypothesis.given(
    seed=strategies.integers(0, 10**6), real=strategies.booleans(), size=strategies.sampled_from([1, 2, 5])
)
@hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
def test_random_matrices(seed, real, size):
    matrix = random_hermitian(jax.random.key(seed), size, real)
    np.testing.assert_allclose(expm_h(matrix), scipy.linalg.expm(np.asarray(matrix)), atol=1e-11)
    state = gibbs(matrix)
    np.testing.assert_allclose(jnp.trace(state).real, 1, atol=1e-13)
    np.testing.assert_allclose(-jax.grad(log_partition)(matrix), state.T, atol=1e-12)
    np.testing.assert_allclose(trace_spectral(jnp.exp)(-matrix), jnp.exp(log_partition(matrix)), rtol=1e-12)


def test_trace_of_a_generic_function_to_third_order():
    matrix = jnp.diag(jnp.array([1.0, 1.0, 2.0, 5.0]))
    direction = random_hermitian(jax.random.key(7), 4, True) / 4

    def along(function):
        def line(t):
            return function(matrix + t * direction)

        return [jax.jit(f)(0.0) for f in (jax.grad(line), jax.hessian(line), jax.grad(jax.hessian(line)))]

    ours = along(trace_spectral(lambda x: x**5 - 1 / x))
    exact = along(lambda a: jnp.trace(a @ a @ a @ a @ a) - jnp.trace(jnp.linalg.inv(a)))
    np.testing.assert_allclose(ours, exact, rtol=1e-10)


def test_low_temperature():
    terms = ring(4, True)
    point = jnp.full(3, 0.3)
    value = log_partition(1000 * jnp.tensordot(point, terms, 1)) / 1000
    ground = -jnp.linalg.eigvalsh(jnp.tensordot(point, terms, 1))[0]
    np.testing.assert_allclose(value, ground, rtol=1e-12)

    def log_z(t):
        return log_partition(1000 * jnp.tensordot(t, terms, 1))

    assert jnp.isfinite(jax.grad(log_z)(point)).all()
    assert jnp.isfinite(jax.jit(jax.jacfwd(jax.hessian(log_z)))(point)).all()
    hessian = jax.jit(jax.hessian(lambda t: gibbs(1000 * jnp.tensordot(t, terms, 1))[0, 0]))
    assert jnp.isfinite(hessian(point)).all()


def test_zero_matrix_and_frechet():
    direction = random_hermitian(jax.random.key(8), 5, False)
    np.testing.assert_allclose(frechet(jnp.exp)(jnp.zeros((5, 5), complex), direction), direction, atol=1e-14)
    matrix = random_hermitian(jax.random.key(9), 5, False)
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
