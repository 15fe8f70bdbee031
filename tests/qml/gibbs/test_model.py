"""Thermal states against free fermions, exact diagonalisation and dense linear algebra."""

import itertools

import hypothesis
import hypothesis.strategies as strategies
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import qml
from qml._core.errors import ConfigError, DataError, PrecisionError, ShapeError, SpaceError
from qml.gibbs import PauliGibbs, blocks, engine
from qml.gibbs.family import measured
from qml.gibbs.shots import basis_codes
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import PauliSum
from tests.helpers.zscore import assert_z
from tests.qml.gibbs.systems import REFERENCE, ROTATION, dense, ising, kron, local_model, random_model, thermal, word

SLOW_SIZES = [(6, "pbc"), (8, "obc"), (10, "obc"), (10, "pbc")]
SIZES = [(6, "obc"), (8, "pbc"), *(pytest.param(*x, marks=pytest.mark.slow) for x in SLOW_SIZES)]


@pytest.mark.parametrize(("sites", "boundary"), SIZES)
def test_ising_thermodynamics(sites, boundary):
    """Every row: log Z, energy, entropy and heat capacity of the transverse Ising chain."""
    rows = {k: v for k, v in REFERENCE["P1"].items() if k.startswith(f"n={sites} {boundary}")}
    assert len(rows) == 12
    strings = thermal(ising(sites, boundary == "pbc", 1.0), 1.0).strings

    @jax.jit
    def numbers(theta, beta):
        state = engine.solve(strings, theta)
        means = engine.traces(strings, engine.in_basis(state, state.weights))
        capacity = theta @ engine.covariances(strings, state, engine.assemble(strings, theta))
        return jnp.stack([state.log_partition, means @ theta / beta, engine.entropy(state), capacity])

    for name, row in rows.items():
        h, beta = (float(part.split("=")[1]) for part in name.split()[2:])
        model = thermal(ising(sites, boundary == "pbc", h), beta)
        assert model.strings == strings
        exact = [row[k] for k in ("log_partition", "energy", "entropy", "heat_capacity")]
        np.testing.assert_allclose(numbers(model.theta, beta), exact, rtol=5e-12, atol=1e-10)


XXZ = ["n=8 Delta=1.0 beta=0.5", "n=8 Delta=0.5 beta=4.0"]


@pytest.mark.parametrize("name", [*XXZ, pytest.param("n=10 Delta=1.0 beta=2.0", marks=pytest.mark.slow)])
def test_xxz_chain(name):
    row = REFERENCE["P2"][name]
    sites, delta, beta = (float(part.split("=")[1]) for part in name.split())
    sites, middle = int(sites), int(sites) // 2 - 1
    hilbert = Spin(sites)
    hamiltonian = qml.operator.XXZ(hilbert, Chain(sites, periodic=False), j=1.0, delta=delta)
    model = thermal(hamiltonian, beta)
    total = 0.5 * qml.operator.total(hilbert, "Z")
    mid = PauliSum({word(sites, {middle: a, middle + 1: a}): 0.25 for a in "XYZ"}, hilbert)
    np.testing.assert_allclose(model.log_partition(), row["log_partition"], atol=1e-10)
    np.testing.assert_allclose(model.entropy(), row["entropy"], atol=1e-10)
    np.testing.assert_allclose(model.expect(hamiltonian).mean, row["energy"], atol=1e-10)
    np.testing.assert_allclose(beta * model.expect(total @ total).mean / sites, row["chi_zz_per_site"], atol=1e-10)
    np.testing.assert_allclose(model.expect(mid).mean, row["ss_mid_bond"], atol=1e-10)


def slow_at(sites, rows):
    """Names of the rows of a table, those of one size slow: the same at another size."""
    return [pytest.param(n, marks=pytest.mark.slow) if n.startswith(f"n={sites} ") else n for n in sorted(rows)]


@pytest.mark.parametrize("name", slow_at(6, REFERENCE["P3"]))
def test_information_matrices(name):
    """Metrics in the two couplings of the Ising chain, and their order."""
    row = REFERENCE["P3"][name]
    sites, beta, _, h = (float(part.split("=")[1]) for part in name.split())
    hamiltonian = ising(int(sites), False, h)
    model = thermal(hamiltonian, beta)
    group = np.array([[w.count("Z") == 2, w.count("X") == 1] for w in model.terms], dtype=float) * -beta
    found = {kind: group.T @ np.asarray(model.metric(kind)) @ group for kind in ("sld", "wy", "bkm", "sym")}
    for kind, matrix in found.items():
        np.testing.assert_allclose(matrix, row[kind], atol=1e-9)
    ladder = list(found.values())
    for small, large in itertools.pairwise(ladder):
        assert np.linalg.eigvalsh(large - small).min() > -1e-11
    bkm, sym, sld = (np.diagonal(found[k]) for k in ("bkm", "sym", "sld"))
    assert np.all(bkm**2 <= sym * sld * (1 + 1e-12))


@pytest.mark.parametrize("name", slow_at(6, REFERENCE["P5"]))
def test_marginals_of_random_chains(name):
    row = REFERENCE["P5"][name]
    model = local_model(int(name[2]), row["theta"])
    assert [model.strings.short(k) for k in range(len(model.terms))] == row["terms"]
    np.testing.assert_allclose(model.log_partition(), row["logZ"], atol=2e-11)
    np.testing.assert_allclose(model.entropy(), row["S"], atol=2e-11)
    np.testing.assert_allclose(model.marginals(), row["marginals"], atol=1e-11)
    levels = np.linalg.eigvalsh(model.metric())
    np.testing.assert_allclose(levels[[0, -1]], [row["bkm_eig_min"], row["bkm_eig_max"]], atol=1e-11)


@pytest.mark.parametrize(
    ("words", "count"),
    [
        pytest.param(("ZZI", "IZZ", "XII", "IXI", "IIX"), 2, marks=pytest.mark.slow),
        (("XXI", "YYI", "IZZ", "ZIZ"), 4),
        pytest.param(("XX", "YY", "ZZ"), 4, marks=pytest.mark.slow),
        pytest.param(("ZY", "XX"), 2, marks=pytest.mark.slow),
    ],
)
def test_parity_blocks(words, count):
    """Blocks found from the bit masks: the state, its levels and the lowest one are those of the whole matrix."""
    model = PauliGibbs(words, jnp.asarray(np.random.default_rng(3).normal(size=len(words))))
    matrix = sum(t * dense(w) for t, w in zip(np.asarray(model.theta), words, strict=True))
    parts = blocks.blocks(model.strings, jnp.asarray(matrix))
    assert parts.shape[0] == count == blocks.parities(model.strings).count
    np.testing.assert_allclose(blocks.joined(model.strings, parts), matrix, atol=1e-14)
    weight = scipy.linalg.expm(-matrix)
    state = engine.solve(model.strings, model.theta)
    np.testing.assert_allclose(engine.in_basis(state, state.weights), weight / np.trace(weight), atol=1e-14)
    np.testing.assert_allclose(state.levels, np.linalg.eigvalsh(matrix), atol=1e-13)
    np.testing.assert_allclose(model.density(), weight / np.trace(weight), atol=1e-14)
    found = model.numbers()
    np.testing.assert_allclose(found.density, weight / np.trace(weight), atol=1e-14)
    np.testing.assert_allclose(found.log_partition, np.log(np.trace(weight).real), atol=1e-13)
    np.testing.assert_allclose(found.entropy, model.entropy(), atol=1e-12)
    np.testing.assert_allclose(found.marginals, model.marginals(), atol=1e-13)


def test_against_dense_matrices():
    model = random_model(0)
    matrix = sum(t * dense(w) for t, w in zip(np.asarray(model.theta), model.terms, strict=True))
    weight = scipy.linalg.expm(-matrix)
    state = weight / np.trace(weight)
    np.testing.assert_allclose(model.density(), state, atol=1e-13)
    np.testing.assert_allclose(model.marginals(), [np.trace(state @ dense(w)).real for w in model.terms], atol=1e-13)
    np.testing.assert_allclose(model.log_partition(), np.log(np.trace(weight).real), atol=1e-12)
    np.testing.assert_allclose(model.entropy(), -np.trace(state @ scipy.linalg.logm(state)).real, atol=1e-12)
    operator = PauliSum({"XYZ": 0.3, "III": 2.0, "YYI": -0.7, "ZIX": 0.1})
    np.testing.assert_allclose(model.expect(operator).mean, np.trace(state @ operator.to_dense()).real, atol=1e-13)
    lopsided = PauliSum({"XYZ": 0.3j, "YII": 1.0})
    np.testing.assert_allclose(model.expect(lopsided).mean, np.trace(state @ lopsided.to_dense()), atol=1e-13)


@pytest.mark.slow
def test_derivatives_in_the_couplings():
    model = random_model(1)

    def of(method):
        return lambda t: getattr(model.with_theta(t), method)()

    @jax.jit
    def derivatives(t):
        log = of("log_partition")
        hessians = jax.hessian(log)(t), jax.jacrev(jax.grad(log))(t)
        batch = jax.vmap(log)(jnp.stack([t, 2 * t]))
        return jax.grad(log)(t), hessians, jax.jacrev(of("marginals"))(t), jax.grad(of("entropy"))(t), batch

    theta, metric = np.asarray(model.theta), np.asarray(model.metric())
    slope, hessians, jacobian, heat, batch = derivatives(theta)
    np.testing.assert_allclose(slope, -model.marginals(), atol=1e-12)
    for hessian in hessians:
        np.testing.assert_allclose(hessian, metric, atol=1e-11)
    np.testing.assert_allclose(jacobian, -metric, atol=1e-11)
    np.testing.assert_allclose(heat, -metric @ theta, atol=1e-11)
    np.testing.assert_allclose(batch[1], model.with_theta(2 * theta).log_partition(), atol=1e-12)


def test_derivatives_at_the_mixed_and_the_heisenberg_point():
    """Degenerate levels: no NaN, and the metric of the mixed state is the identity."""
    mixed = local_model(2)
    np.testing.assert_allclose(mixed.metric(), np.eye(15), atol=1e-13)
    ring = qml.operator.Heisenberg(Spin(4), Chain(4))
    model = thermal(ring, 0.7)

    def energy(t):
        return model.with_theta(t).expect(ring).mean

    exact = -np.asarray(model.metric()) @ np.asarray(model.theta) / 0.7
    slope, hessian = jax.jit(lambda t: (jax.grad(energy)(t), jax.hessian(energy)(t)))(model.theta)
    np.testing.assert_allclose(slope, exact, atol=1e-11)
    assert np.isfinite(hessian).all()


@hypothesis.given(seed=strategies.integers(0, 10**6), scale=strategies.sampled_from([0.1, 1.0, 30.0]))
@hypothesis.settings(max_examples=15, deadline=None, derandomize=True)
def test_order_of_the_metrics_and_the_third_law(seed, scale):
    model = random_model(seed, 2, scale)
    metrics = [np.asarray(model.metric(kind)) for kind in ("sld", "wy", "bkm", "sym")]
    for small, large in itertools.pairwise(metrics):
        assert np.linalg.eigvalsh(large - small).min() > -1e-13
    assert np.linalg.eigvalsh(metrics[0]).min() > -1e-13
    assert -1e-12 < model.entropy() <= 2 * np.log(2)


def test_expectation_carries_the_error_of_the_couplings():
    model = random_model(2)
    operator = ising(3, False, 0.7)
    spread = 1e-3 * np.eye(len(model.terms)) + 1e-4
    learned = model.with_theta(model.theta, spread)
    slope = np.asarray(jax.jit(jax.grad(lambda t: model.with_theta(t).expect(operator).mean))(model.theta))
    np.testing.assert_allclose(learned.expect(operator).error, np.sqrt(slope @ spread @ slope), rtol=1e-10)
    assert model.expect(operator).error == 0
    mixed = PauliSum({"XYZ": 1.0, "ZII": 2.0j})  # real and imaginary parts err on their own
    parts = [learned.expect(PauliSum({"XYZ": 1.0})).error, learned.expect(PauliSum({"ZII": 2.0})).error]
    np.testing.assert_allclose(learned.expect(mixed).error, np.hypot(*parts), rtol=1e-10)
    inside = jax.jit(lambda m: m.expect(operator).error)(learned)
    np.testing.assert_allclose(inside, learned.expect(operator).error, rtol=1e-12)
    blind = model.with_theta(model.theta, np.diag(np.full(len(model.terms), np.inf)))
    assert jnp.isinf(blind.expect(operator).error)


def test_hamiltonian_prints_with_error_bars():
    model = PauliGibbs(("ZZ", "XI"), jnp.array([-1.0, 0.5]), covariance=jnp.diag(jnp.array([1e-4, 4e-4])))
    learned = model.hamiltonian(beta=2.0)
    assert str(learned) == "-0.5000(50) Z0 Z1 + 0.250(10) X0"
    assert learned.operator.terms == {"XI": 0.25, "ZZ": -0.5}
    assert_z(learned.coefficients, np.array([-0.5, 0.25]))
    np.testing.assert_allclose(learned.coefficients.error, [0.005, 0.01])
    with pytest.raises(DataError, match="temperature"):
        model.hamiltonian(beta=0.0)


def test_measured_laws_and_samples():
    model = random_model(3)
    bases = ["XYZ", "ZZZ", "YXY"]
    state = np.asarray(model.density())
    laws = np.asarray(measured(model, jnp.asarray(basis_codes(bases))))
    for basis, law in zip(bases, laws, strict=True):
        rotation = kron(ROTATION[a] for a in basis)
        np.testing.assert_allclose(law, np.diagonal(rotation @ state @ rotation.conj().T).real, atol=1e-14)
    shots = model.sample(jax.random.key(5), bases, [3000, 5000, 4000])
    assert shots.letters == ("XYZ", "YXY", "ZZZ") and shots.shots == 12000
    table = np.asarray(shots.table())
    expected = laws[[0, 2, 1]] * np.array([[3000], [4000], [5000]])
    chi = np.sum((table - expected) ** 2 / expected)
    assert abs(chi - 21) < 4.5 * np.sqrt(2 * 21)
    assert np.array_equal(table, model.sample(jax.random.key(5), bases, [3000, 5000, 4000]).table())


def test_bad_input():
    with pytest.raises(ShapeError, match="distinct"):
        PauliGibbs(("ZZ", "ZZ"))
    with pytest.raises(ShapeError, match="identity"):
        PauliGibbs(("ZZ", "II"))
    with pytest.raises(ShapeError, match="needs Pauli strings"):
        PauliGibbs(())
    with pytest.raises(SpaceError, match="unknown letter"):
        PauliGibbs(("QZ",))
    with pytest.raises(ShapeError, match="theta"):
        PauliGibbs(("ZZ",), jnp.zeros(2))
    with pytest.raises(ShapeError, match="finite"):
        PauliGibbs(("ZZ",), jnp.array([jnp.nan]))
    with pytest.raises(ShapeError, match="covariance"):
        PauliGibbs(("ZZ",), covariance=jnp.zeros(1))
    with pytest.raises(SpaceError, match="magnetisation"):
        PauliGibbs(("ZZ",), hilbert=Spin(2, magnetisation=0))
    with pytest.raises(SpaceError, match="too large"):
        PauliGibbs(("Z" * 13,))
    with pytest.raises(SpaceError, match="local strings"):
        PauliGibbs.local(Spin(3), Chain(4))
    with pytest.raises(SpaceError, match="local strings"):
        PauliGibbs.local(Spin(4), Chain(4), body=3)
    model = PauliGibbs(("ZZ",))
    with pytest.raises(SpaceError, match="another space"):
        model.expect(PauliSum({"ZZZ": 1.0}))
    with pytest.raises(ConfigError, match="metric"):
        model.metric("fisher")
    with pytest.raises(DataError, match="sites"):
        model.sample(jax.random.key(0), ["XYZ"], 10)
    with pytest.raises(DataError, match="number of shots"):
        model.sample(jax.random.key(0), ["XX"], -3)
    with pytest.raises(DataError, match="number of shots"):
        model.sample(jax.random.key(0), ["XX"], [5, 5])
    with pytest.raises(ShapeError, match="theta"):
        PauliGibbs(("ZZ",), jnp.array([jnp.inf]))
    with pytest.raises(DataError, match="no shots"):
        model.sample(jax.random.key(0), ["XX"], 0)
    with jax.enable_x64(False), pytest.raises(PrecisionError, match="64-bit"):
        PauliGibbs(("ZZ",))
