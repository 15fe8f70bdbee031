"""Latent thermal states: against dense matrices, their metric against Hessians, and closed forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import drivers
import qml
from drivers import Status
from qml._core.errors import ConfigError, ShapeError, SpaceError
from qml.gibbs import (
    KOBE,
    MLP,
    Autoregressive,
    Bernoulli,
    Circuit,
    DataObjective,
    LatentGibbs,
    PauliGibbs,
    ThermalObjective,
    relative_entropy,
)
from qml.operator import PauliSum
from tests.qml.gibbs.systems import dense, kron

H3 = PauliSum({"ZZI": -1.0, "IZZ": -0.7, "XII": 0.6, "IXI": 0.4, "IIY": 0.3})


@pytest.fixture(scope="module")
def model() -> LatentGibbs:
    return LatentGibbs(KOBE(3, 2), Circuit.layered(3, 2)).random(jax.random.key(0), 0.4)


def gate(matrix, power):
    levels, vectors = np.linalg.eigh(matrix)
    return (vectors * np.exp(power * np.log(levels.astype(complex)))) @ vectors.conj().T


def by_hand(circuit_angles, sites, layers):
    """Layers of X^a, Z^b on every site and CZ^c on even, then odd neighbours, from powers of dense gates."""
    x, z, eye = np.array([[0, 1], [1, 0]]), np.diag([1, -1]), np.eye(2)
    angles, out = iter(np.asarray(circuit_angles)), np.eye(2**sites)
    for _ in range(layers):
        for i in range(sites):
            for g in (x, z):
                out = kron([gate(g, next(angles)) if k == i else eye for k in range(sites)]) @ out
        for i in [*range(0, sites - 1, 2), *range(1, sites - 1, 2)]:
            cz = kron([np.diag([1, 1, 1, -1]) if k == i else eye for k in range(sites) if k != i + 1])
            out = gate(cz, next(angles)) @ out
    return out


def test_against_dense_matrices(model):
    unitary = np.asarray(model.circuit.unitary(model.phi))
    twin = by_hand(model.phi, 3, 2)
    phase = np.vdot(twin, unitary)
    np.testing.assert_allclose(unitary, twin * phase / abs(phase), atol=1e-12)
    levels = [
        sum(
            t * np.prod([s[i] for i in c])
            for t, c in zip(np.asarray(model.theta), [c for k in (1, 2) for c in itertools.combinations(range(3), k)])
        )
        for s in itertools.product([1, -1], repeat=3)
    ]
    k = unitary @ np.diag(levels) @ unitary.conj().T
    weight = scipy.linalg.expm(-k)
    rho = weight / np.trace(weight)
    np.testing.assert_allclose(model.density(), rho, atol=1e-13)
    np.testing.assert_allclose(model.log_partition(), np.log(np.trace(weight).real), atol=1e-12)
    np.testing.assert_allclose(model.entropy(), -np.trace(rho @ scipy.linalg.logm(rho)).real, atol=1e-12)
    matrix = np.asarray(H3.to_dense())
    np.testing.assert_allclose(model.expect(H3).mean, np.trace(rho @ matrix).real, atol=1e-13)
    np.testing.assert_allclose(model.modular(jnp.asarray(matrix)), np.trace(k @ matrix).real, atol=1e-12)
    # the bound on the free energy: above the exact one, not above the loss
    bound, energies = model.project(H3, 1.3)
    exact = -np.log(np.trace(scipy.linalg.expm(-1.3 * matrix)).real)
    loss = 1.3 * float(model.expect(H3).mean) - float(model.entropy())
    assert exact < float(bound) < loss
    np.testing.assert_allclose(energies, 1.3 * np.diagonal(unitary.conj().T @ matrix @ unitary).real, atol=1e-12)


@pytest.mark.slow
def test_metric_is_the_curvature_of_the_divergence(model):
    """Both blocks are the Hessian of D(rho' || rho) at rho' = rho, and nothing couples them."""
    flat, unravel = jax.flatten_util.ravel_pytree(model.params)

    @jax.jit
    def curvature(p):
        return jax.hessian(lambda q: relative_entropy(model.with_params(unravel(q)), model))(p)

    hessian = np.asarray(curvature(flat))
    blocks = model.metric_blocks()
    first = len(blocks["phi"])  # leaves in the order of their names
    np.testing.assert_allclose(hessian[:first, :first], blocks["phi"], atol=1e-9)
    np.testing.assert_allclose(hessian[first:, first:], blocks["theta"], atol=1e-9)
    np.testing.assert_allclose(hessian[:first, first:], 0, atol=1e-9)
    vector = jax.tree.map(lambda p: jnp.cos(jnp.arange(p.size)), model.params)
    np.testing.assert_allclose(model.hvp(vector)["phi"], blocks["phi"] @ vector["phi"], atol=1e-12)
    for smaller, larger in (("sld", "wy"), ("wy", "bkm")):
        low, high = (np.asarray(model.metric_blocks(kind)["phi"]) for kind in (smaller, larger))
        assert np.linalg.eigvalsh(high - low).min() > -1e-10


def test_quantum_fisher_information_of_the_angles(model):
    """The sld block against 2 |<a|d rho|b>|^2 / (p_a + p_b) from derivatives of the density matrix."""
    turned = lambda phi: model.with_params({"theta": model.theta, "phi": phi}).density()  # noqa: E731
    slopes = np.asarray(jax.jit(jax.jacfwd(turned))(model.phi))
    levels, vectors = np.linalg.eigh(np.asarray(model.density()))
    inner = np.einsum("ia,ijk,jb->kab", vectors.conj(), slopes, vectors)
    exact = np.einsum("kab,lab,ab->kl", inner, inner.conj(), 2 / (levels[:, None] + levels[None, :])).real
    np.testing.assert_allclose(model.metric_blocks("sld")["phi"], exact, atol=1e-9)


def test_energy_models():
    """A complete set of parities reaches any spectrum; autoregressive tables are laws; small sums by hand."""
    target = np.random.default_rng(0).normal(size=8)
    full = KOBE(3, 3)
    theta = np.asarray(full.parities) @ target / 8
    np.testing.assert_allclose(full.table(jnp.asarray(theta)), target - target.mean(), atol=1e-12)
    chain = Autoregressive(3)
    table = chain.table(jnp.asarray(np.random.default_rng(1).normal(size=chain.couplings)))
    np.testing.assert_allclose(np.exp(-np.asarray(table)).sum(), 1, atol=1e-12)
    net = MLP(2, 2)
    numbers = np.random.default_rng(2).normal(size=net.couplings)
    w, b, v = numbers[:4].reshape(2, 2), numbers[4:6], numbers[6:]
    exact = [v @ np.tanh(w @ np.array(s) + b) for s in itertools.product([1, -1], repeat=2)]
    np.testing.assert_allclose(net.table(jnp.asarray(numbers)), exact, atol=1e-12)


def test_product_state_against_its_closed_form():
    """One qubit, X rotation, H = Y: loss beta tanh(t) sin(f) + t tanh(t) - log 2 cosh t, up to the sign convention."""
    t, f, beta = 0.7, 0.4, 1.3
    one = LatentGibbs(Bernoulli(1), Circuit(1, ((1, 0, 0.5, 0),), 1), jnp.array([t]), jnp.array([f]))
    objective = ThermalObjective(PauliSum({"Y": 1.0}), beta)
    found = objective.loss(one, None)
    assert abs(float(found) - (beta * np.tanh(t) * np.sin(f) + t * np.tanh(t) - np.log(2 * np.cosh(t)))) < 1e-12
    slope = jax.jit(jax.grad(lambda p: objective.loss(one.with_params(p), None)))(one.params)
    np.testing.assert_allclose(slope["theta"], (1 - np.tanh(t) ** 2) * (beta * np.sin(f) + t), atol=1e-12)
    np.testing.assert_allclose(slope["phi"], beta * np.tanh(t) * np.cos(f), atol=1e-12)


@pytest.mark.slow
def test_fit_a_thermal_state():
    """Three layers reach the thermal state of two sites exactly; the loss falls at every step."""
    h = PauliSum({"ZZ": -1.0, "XI": -0.8, "IX": -0.8})
    start = LatentGibbs(KOBE(2, 2), Circuit.layered(2, 3)).random(jax.random.key(2), 0.1)
    result = drivers.QPMD(ThermalObjective(h, beta=1.0)).run(start, steps=40)
    assert np.all(np.diff(result.history["loss"]) <= 1e-14) and result.status is Status.CONVERGED
    assert abs(result.history["relative_entropy"][-1]) < 1e-12
    exact = PauliGibbs(h.terms.keys(), jnp.array(list(h.terms.values())))
    np.testing.assert_allclose(result.state.density(), exact.density(), atol=1e-7)


@pytest.mark.slow
def test_learn_from_shots():
    """The likelihood of a latent model falls to that of the truth, up to the degrees of freedom."""
    truth = PauliGibbs(("ZZ", "XI", "IX"), jnp.array([-0.8, -0.5, 0.4]))
    shots = truth.sample(jax.random.key(5), shots=2000)
    start = LatentGibbs(KOBE(2, 2), Circuit.layered(2, 2)).random(jax.random.key(6), 0.1)
    objective = DataObjective(shots)
    result = drivers.QPMD(objective).run(start, steps=60)
    deviance = float(result.history["deviance"][-1])
    assert deviance < 2 * shots.shots * float(objective.loss(truth, ()))  # better than the truth: it was fitted
    assert deviance < 27 + 4.5 * np.sqrt(2 * 27)


@pytest.mark.slow
def test_circuits():
    hamiltonian = PauliSum({"ZZ": -1.0, "XI": -0.8, "IX": -0.8})
    every, tied = (Circuit.alternating(hamiltonian, 2, tied=t) for t in (False, True))
    assert (every.angles, tied.angles) == (6, 6)  # X on unlike sites have unlike flip masks
    joined = every + Circuit.layered(2, 1)
    angles = jnp.linspace(0.1, 0.9, joined.angles)
    product = Circuit.layered(2, 1).unitary(angles[6:]) @ every.unitary(angles[:6])
    np.testing.assert_allclose(joined.unitary(angles), product, atol=1e-13)
    zz = scipy.linalg.expm(1j * 0.3 * dense("ZZ"))
    np.testing.assert_allclose(Circuit.alternating(PauliSum({"ZZ": -1.0}), 1).unitary(jnp.array([0.3])), zz, atol=1e-13)


def test_samples(model):
    """Shots of a latent state follow its law."""
    shots = model.sample(jax.random.key(1), ["XYZ"], 20_000)
    rotated = PauliGibbs(("ZZZ",)).with_theta(jnp.zeros(1))
    assert shots.shots == 20_000 and rotated.hilbert == model.hilbert
    word = PauliSum({"XYZ": 1.0})
    mean = float(model.expect(word).mean)
    parity = 1 - 2 * (np.asarray(shots.outcomes).sum(axis=1) % 2)
    found = np.sum(parity * np.asarray(shots.counts)) / 20_000
    assert abs(found - mean) < 4.5 * np.sqrt((1 - mean**2) / 20_000)


def test_bad_input():
    with pytest.raises(ConfigError, match="parities"):
        KOBE(2, 3)
    with pytest.raises(ConfigError, match="energy model"):
        MLP(2, 0)
    with pytest.raises(ConfigError, match="no such circuit"):
        Circuit.layered(2, 0)
    with pytest.raises(ConfigError, match="Hermitian sum"):
        Circuit.alternating(PauliSum({"Z": 1j}), 1)
    with pytest.raises(SpaceError, match="different numbers of sites"):
        Circuit.layered(2, 1) + Circuit.layered(3, 1)
    with pytest.raises(SpaceError, match="different numbers"):
        LatentGibbs(KOBE(2, 2), Circuit.layered(3, 1))
    with pytest.raises(ShapeError, match="theta"):
        LatentGibbs(KOBE(2, 2), Circuit.layered(2, 1), theta=jnp.zeros(2))
    with pytest.raises(ShapeError, match="phi"):
        LatentGibbs(KOBE(2, 2), Circuit.layered(2, 1), phi=jnp.full(5, jnp.nan))
    small = LatentGibbs(KOBE(2, 2), Circuit.layered(2, 1))
    with pytest.raises(ConfigError, match="metric"):
        small.metric_blocks("sym")
    with pytest.raises(SpaceError, match="another space"):
        small.expect(H3)
    with pytest.raises(ConfigError, match="matched by couplings"):
        drivers.QPMD(qml.gibbs.MarginalObjective([0.1])).run(small, steps=1)
