"""Local values, forces and metric by full sum, against dense linear algebra and automatic derivatives of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml import FullSumState
from qml._core.errors import ShapeError
from qml._core.tree import realify
from qml.estimate import forces, local_values, qgt, qgt_apply
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Heisenberg, Ising, PauliSum, total
from tests.qml.ansatz.models import NAMES, model

SPACE, FIXED = Spin(6), Spin(6, magnetisation=0)
OPERATORS = {
    "ising": Ising(SPACE, Chain(6), j=-1.0, h=0.7),
    "heisenberg": Heisenberg(FIXED, Chain(6)),
    "complex": PauliSum({"YIZIII": 0.3, "XXYIIZ": -0.4, "ZZIIII": 1.0, "IIXXII": 0.2, "IIIIYY": 0.5}),
}
KINDS = ("complex rbm", "mixed")  # complex parameters, and complex and real ones; slow: more of the kind


def cases(*fast):
    """All pairs of a model and an operator, slow but for those listed."""
    every = [(name, "ising") for name in NAMES] + [(n, "heisenberg") for n in ("rbm", "mixed", "gcnn")]
    every += [("complex rbm", "complex"), ("rbm", "complex")]
    return [pytest.param(*case, marks=[] if case in fast else [pytest.mark.slow]) for case in every]


def setup(name, operator):
    operator = OPERATORS[operator]
    state = FullSumState(model(name, 6), operator.hilbert)
    return state, operator, state.sample()[1]


@jax.jit
def flat(tree):
    """The real parameter vector of a tree."""
    return realify(tree)[0]


def normalised(state):
    """The state vector as a function of the real parameter vector."""
    vector, unravel = realify(state.params)
    x = state.hilbert.all_states()

    @jax.jit
    def psi(v):
        log_psi = state.ansatz.log_psi(unravel(v), x)
        amplitudes = jnp.exp(log_psi - jax.lax.stop_gradient(jnp.max(log_psi.real)))
        return amplitudes / jnp.linalg.norm(amplitudes)

    return vector, psi


@pytest.mark.parametrize(
    ("name", "operator"),
    cases(("complex rbm", "complex"), ("mixed", "heisenberg")),
)
def test_local_values(name, operator):
    """O_loc = (O psi) / psi, row by row, for every chunk."""
    state, operator, samples = setup(name, operator)
    psi = np.asarray(state.to_array())
    exact = np.asarray(operator.to_dense()) @ psi / psi
    for chunk in (None, 7):
        local = local_values(state.ansatz, state.params, operator, samples.x, chunk=chunk)
        np.testing.assert_allclose(local, exact, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(state.local_values(operator, samples), exact, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "operator"),
    cases(("rbm", "complex"), ("mixed", "heisenberg")),
)
def test_energy_and_forces(name, operator):
    """2 F is the gradient of the Rayleigh quotient of the dense vector."""
    state, operator, samples = setup(name, operator)
    matrix = np.asarray(operator.to_dense())
    vector, psi = normalised(state)
    energy, gradient = jax.jit(jax.value_and_grad(lambda v: jnp.vdot(p := psi(v), matrix @ p).real))(vector)
    stats = state.expect(operator)
    np.testing.assert_allclose(stats.mean, energy, rtol=1e-11)
    np.testing.assert_allclose(
        stats.variance,
        np.linalg.norm(matrix @ np.asarray(psi(vector))) ** 2 - float(energy) ** 2,
        rtol=1e-9,
        atol=1e-10,
    )
    local = state.local_values(operator, samples)
    for chunk in (None, 5):
        tree = forces(state.ansatz, state.params, samples, local, chunk=chunk)
        assert jax.tree.structure(tree) == jax.tree.structure(state.params)
        np.testing.assert_allclose(2 * np.asarray(flat(tree)), gradient, atol=1e-10)


@pytest.mark.parametrize("name", [n if n in KINDS else pytest.param(n, marks=pytest.mark.slow) for n in NAMES])
def test_metric(name):
    """S = Re <d psi| 1 - |psi><psi| |d psi>, from forward derivatives of the normalised vector."""
    state, _, samples = setup(name, "ising")
    vector, psi = normalised(state)
    parts = jax.jit(jax.jacfwd(lambda v: (jnp.stack([(p := psi(v)).real, p.imag]), p), has_aux=True))
    (real, imaginary), now = (np.asarray(a) for a in parts(vector))
    tangent = real + 1j * imaginary
    tangent = tangent - now[:, None] * (now.conj() @ tangent)[None, :]
    exact = (tangent.conj().T @ tangent).real
    for chunk in (None, 9):
        np.testing.assert_allclose(qgt(state.ansatz, state.params, samples, chunk=chunk), exact, atol=1e-10)
    direction = np.random.default_rng(0).normal(size=vector.shape)
    tree = jax.jit(realify(state.params)[1])(direction)
    product = qgt_apply(state.ansatz, state.params, samples, tree, chunk=9)
    np.testing.assert_allclose(flat(product), exact @ direction, atol=1e-10)


def test_zero_elements_are_never_evaluated_into_the_result():
    """Neighbours outside the space have element zero; a wave function that is NaN there must not be felt."""
    operator = OPERATORS["heisenberg"]

    def log_psi(p, x):
        return jnp.where(jnp.sum(x, axis=-1) == 0, x @ p, jnp.nan)

    state = FullSumState((jnp.arange(6.0) / 7, log_psi), FIXED)
    psi = np.asarray(state.to_array())
    local = local_values(state.ansatz, state.params, operator, FIXED.all_states(), chunk=3)
    np.testing.assert_allclose(local, np.asarray(operator.to_dense()) @ psi / psi, rtol=1e-12)


def test_diagonal_operators_need_no_network():
    state, _, samples = setup("rbm", "ising")
    local = local_values(state.ansatz, state.params, total(SPACE, "Z"), samples.x)
    np.testing.assert_allclose(local, np.sum(samples.x, axis=1, dtype=float))


def test_local_values_over_many_states():
    """vmap over parameters."""
    state, operator, samples = setup("mixed", "ising")
    half = jax.tree.map(lambda p: jnp.asarray(0.5 * np.asarray(p)), state.params)
    stack = jax.tree.map(lambda p, q: jnp.asarray(np.stack([p, q])), state.params, half)
    both = jax.jit(jax.vmap(lambda p: local_values(state.ansatz, p, operator, samples.x)))(stack)
    half = local_values(state.ansatz, half, operator, samples.x)
    np.testing.assert_allclose(both[1], half, rtol=1e-12)


def test_bad_input():
    state, operator, samples = setup("rbm", "ising")
    with pytest.raises(ShapeError, match="batch of configurations"):
        local_values(state.ansatz, state.params, operator, samples.x[0])
    for chunk in (0, -3, 2.5):
        with pytest.raises((ShapeError, TypeError), match=r"chunk|type"):
            forces(state.ansatz, state.params, samples, samples.weights, chunk=chunk)
