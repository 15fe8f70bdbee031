"""Forms of the metric solve: one vector from all of them, the choice and what is said of it, and its numbers."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from qml import FullSumState
from qml._core.errors import ConfigError
from qml._core.tree import realify
from qml.ansatz import RBM, to_ansatz
from qml.estimate import SR, Samples, UnsolvedWarning, jacobian, residual
from qml.estimate import rows as rows_of_derivatives
from qml.estimate.forms import MEMORY, Cost, choose_form, form_costs
from qml.estimate.kernel import groups_of, kernel
from qml.estimate.rows import centred, derivatives
from qml.estimate.solve import signal_to_noise, solve_refined
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Ising
from tests.qml.ansatz.models import mixed

SPACE = Spin(6)
OPERATOR = Ising(SPACE, Chain(6), j=-1.0, h=0.7)
FORMS = ("dense", "jacobian", "assembled", "streamed", "cg")


def twisted(params, x):
    """Real and complex weights, one of them shared: nothing of it is known to the kernel but its bias."""
    inner, bias = mixed(6)[1], params["bias"]
    return inner(params["inner"], x) + jnp.sum(jnp.sin((x + jnp.roll(x, 1, axis=1)) @ params["w"] + bias[None, :]), 1)


@pytest.fixture(scope="module")
def problem():
    """Weighted samples of a mixed tree of parameters in two modules, and their local energies."""
    params = {"inner": mixed(6)[0], "w": 0.2 * jnp.arange(12.0).reshape(6, 2) / 12, "bias": jnp.array([0.1, 0.2])}
    state = FullSumState((params, twisted), SPACE)
    x = SPACE.random_state(jax.random.key(0), 13)
    weights = jax.random.uniform(jax.random.key(1), (13,)) + 0.1
    samples = Samples(x, weights / jnp.sum(weights), state.log_psi(x), 13)
    return state, samples, state.local_values(OPERATOR, samples)


def dense(problem, shift=1e-2):
    state, samples, local = problem
    rows = np.asarray(jacobian(state.ansatz, state.params, samples))
    return rows, np.linalg.solve(
        rows.T @ rows + shift * np.eye(rows.shape[1]), rows.T @ residual(state.ansatz, samples, local)
    )


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_are_one_vector(problem, form):
    """To 1e-10, with its norms, its residual and its name; under jit and with one block too."""
    state, samples, local = problem
    rows, x = dense(problem)
    rule = SR(shift=1e-2, method=form, tolerance=1e-13)
    found = rule.direction(state.ansatz, state.params, samples, local)
    np.testing.assert_allclose(realify(found.update)[0], x, atol=1e-10)
    np.testing.assert_allclose(found.metric_norm, np.sum((rows @ x) ** 2), rtol=1e-10)
    assert found.form == form and bool(found.converged) and found.residual < 1e-10
    assert (int(found.steps) > 0) is (form == "cg")


@pytest.mark.parametrize("blocks", ["layer", "leaf"])
def test_blocks(problem, blocks):
    """The metric without what couples two modules, or two arrays; the norms are of the whole metric."""
    state, samples, local = problem
    rows, _ = dense(problem)
    force = rows.T @ residual(state.ansatz, samples, local)
    sizes = {"bias": 2, "inner.a": 18, "inner.c": 6, "inner.z": 12, "w": 12}
    names = [name.split(".")[0] if name.startswith("inner") and blocks == "layer" else name for name in sizes]
    names = ["" if name in ("bias", "w") and blocks == "layer" else name for name in names]
    label = np.repeat(names, list(sizes.values()))
    metric = (rows.T @ rows) * (label[:, None] == label[None, :])
    x = np.linalg.solve(metric + 1e-2 * np.eye(len(force)), force)
    found = SR(shift=1e-2, blocks=blocks).direction(state.ansatz, state.params, samples, local)
    np.testing.assert_allclose(realify(found.update)[0], x, atol=1e-10)
    np.testing.assert_allclose(found.metric_norm, np.sum((rows @ x) ** 2), rtol=1e-10)
    assert found.form.startswith(f"{len(set(names))} blocks, ")


def test_one_block_is_the_whole():
    """A network of one module has one block."""
    state = FullSumState(RBM(4, std=0.2, rngs=nnx.Rngs(0)), Spin(4))
    samples = state.sample()[1]
    local = state.local_values(Ising(Spin(4), Chain(4), j=-1.0, h=0.7), samples)
    a, b = (
        SR(shift=1e-2, blocks=blocks).direction(state.ansatz, state.params, samples, local)
        for blocks in (None, "layer")
    )
    np.testing.assert_allclose(realify(a.update)[0], realify(b.update)[0], atol=1e-12)
    assert a.form == b.form


def test_not_converged_is_said(problem):
    state, samples, local = problem
    rule = SR(shift=1e-4, method="cg", max_steps=2)
    with pytest.warns(UnsolvedWarning, match="after 2 steps"):
        found = rule.direction(state.ansatz, state.params, samples, local)
    assert not found.converged and found.residual > 1e-3 and found.steps == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = jax.jit(lambda s: rule.direction(state.ansatz, state.params, s, local))(samples)
    assert not again.converged
    with pytest.warns(UnsolvedWarning, match="nan"):
        broken = SR(method="cg").direction(state.ansatz, state.params, samples, local * jnp.nan)
    assert not np.any(np.isfinite(realify(broken.update)[0]))


@pytest.mark.slow
def test_single_precision_derivatives(problem):
    """The refined solve is that of the matrix it is given; the step differs by single precision alone."""
    state, samples, local = problem
    rows, x = dense(problem)
    right = jnp.asarray(residual(state.ansatz, samples, local))
    short = jnp.asarray(rows, jnp.float32)
    wide = np.asarray(short, float)
    y = np.linalg.solve(wide @ wide.T + 1e-4 * np.eye(len(wide)), right)
    exact = jnp.asarray(wide @ wide.T)
    refined = solve_refined(lambda: short @ short.T, lambda: exact, lambda y: exact @ y, right, jnp.array(1e-4))
    np.testing.assert_allclose(refined, y, rtol=1e-9, atol=1e-9 * np.abs(y).max())
    for method in ("jacobian", "assembled"):
        found = SR(shift=1e-2, single=True, method=method).direction(state.ansatz, state.params, samples, local)
        assert realify(found.update)[0].dtype == np.float64
        error = np.linalg.norm(realify(found.update)[0] - x) / np.linalg.norm(x)
        assert error < 1e-4


@pytest.mark.slow
def test_networks_in_single_precision():
    """Parameters in single precision, sums and solves in double: the step of the same network in double precision."""
    space = Spin(4)
    operator = Ising(space, Chain(4), j=-1.0, h=0.7)
    wide = FullSumState(RBM(space, std=0.2, rngs=nnx.Rngs(0)), space)
    params = jax.tree.map(lambda p: p.astype(jnp.float32), wide.params)
    wide = wide.with_params(jax.tree.map(lambda p: p.astype(float), params))
    samples = wide.sample()[1]
    local = wide.local_values(operator, samples)
    exact = realify(SR(shift=1.0).direction(wide.ansatz, wide.params, samples, local).update)[0]
    for method in ("jacobian", "assembled", "cg"):
        found = SR(shift=1.0, method=method).direction(wide.ansatz, params, samples, local)
        vector = realify(found.update)[0]
        assert vector.dtype == np.float32
        np.testing.assert_allclose(vector, exact, atol=2e-6 * np.abs(exact).max())


def test_tiles_are_one_matrix(problem, monkeypatch):
    """Products, the Gram matrix and scaled columns of derivatives in four tiles, two of them of several arrays."""
    state, samples, _ = problem
    few = Samples(samples.x[:5], samples.weights[:5] / jnp.sum(samples.weights[:5]), samples.log_psi[:5], None)
    whole = np.asarray(jacobian(state.ansatz, state.params, few))
    monkeypatch.setattr(rows_of_derivatives, "_NARROWEST", 7)
    rng = np.random.default_rng(0)
    v, y = rng.normal(size=whole.shape[1]), rng.normal(size=whole.shape[0])

    @jax.jit
    def made(params, few, v, y):
        held = centred(derivatives(state.ansatz, params, few.x, 3), few)
        assert len(held.tiles) > 2 and any(len(spans) > 1 for spans in held.spans)
        return held.whole(), held.push(v), held.pull(y), jnp.triu(held.gram()), held.scaled(v).whole()

    expected = (whole, whole @ v, y @ whole, np.triu(whole @ whole.T), whole * v)
    for found, exact in zip(made(state.params, few, v, y), expected, strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-13)


def test_groups_one_after_another(problem, monkeypatch):
    """The kernel from one array of parameters at a time is that of the matrix; a NaN in it is not lost."""
    state, samples, _ = problem
    few = Samples(samples.x[:4], samples.weights[:4] / jnp.sum(samples.weights[:4]), samples.log_psi[:4], None)
    whole = np.asarray(jacobian(state.ansatz, state.params, few))
    monkeypatch.setattr("qml.estimate.kernel.GROUP", 1)
    made = jax.jit(lambda params, few: kernel(state.ansatz, params, few, layers=False))
    np.testing.assert_allclose(made(state.params, few), whole @ whole.T, rtol=1e-10, atol=1e-13)
    assert np.any(np.isnan(made({**state.params, "w": state.params["w"] * jnp.nan}, few)))


def test_noise_is_filtered(problem):
    """Modes are weighted by 1 / (1 + (snr / ratio)^6), the same over samples and over parameters."""
    state, samples, local = problem
    rows, x = dense(problem)
    right = np.asarray(residual(state.ansatz, samples, local))
    values, vectors = np.linalg.eigh(rows @ rows.T)
    terms = (vectors * right[:, None]).reshape(2, 13, -1).sum(0)
    ratio = np.abs(terms.sum(0)) / np.sqrt((terms**2).sum(0) - terms.sum(0) ** 2 / 13)
    np.testing.assert_allclose(signal_to_noise(jnp.asarray(vectors), jnp.asarray(right), 2, 13), ratio, rtol=1e-9)
    weight = 1 / (1 + (0.5 / ratio) ** 6) / (np.maximum(values, 0) + 1e-2)
    hand = rows.T @ (vectors @ (weight * (vectors.T @ right)))
    for method in ("sr", "minsr"):
        rule = SR(shift=1e-2, snr=0.5, method=method)
        found = realify(rule.direction(state.ansatz, state.params, samples, local).update)[0]
        np.testing.assert_allclose(found, hand, atol=1e-8)
    assert np.linalg.norm(hand - x) > 1e-2 * np.linalg.norm(x)
    with pytest.raises(ConfigError, match="no noise"):
        SR(snr=0.5).direction(
            state.ansatz, state.params, Samples(samples.x, samples.weights, samples.log_psi, None), local
        )


class Convolution(linen.Module):
    """Weights that enter at every site: their kernel is not a product of activations and cotangents."""

    features: int = 16
    layers: int = 2

    @linen.compact
    def __call__(self, x):
        for _ in range(self.layers):
            x = linen.gelu(
                linen.Conv(self.features, (8,), padding="CIRCULAR", param_dtype=float)(x.reshape(len(x), 64, -1))
            )
        return jnp.sum(x, axis=(1, 2))


def test_the_cheapest_form_is_chosen():
    """Few weights: the metric. Weights that enter once: by layers. Shared ones: derivatives, in pieces where large."""
    space = Spin(64)

    def chosen(model, samples, **how):
        costs = form_costs(*to_ansatz(model, space, key=jax.random.key(0)), samples)
        return choose_form(costs, FORMS, **how)

    rbm = RBM(space, alpha=4, rngs=nnx.Rngs(0))
    assert chosen((jnp.ones(64), lambda p, x: jnp.tanh(x) @ p), 4096) == "dense"
    assert chosen(rbm, 1008) == "assembled"
    assert chosen(Convolution(), 512) == "jacobian"
    assert chosen(Convolution(32, 4), 8192) == "streamed"
    assert chosen(Convolution(32, 4), 8192, memory=2**30) == "cg"
    costs = form_costs(*to_ansatz(rbm, space), 1008)
    assert costs["jacobian"].work > 10 * costs["assembled"].work and costs["assembled"].memory < 2**27 < MEMORY
    assert costs["jacobian"].memory > 8 * 1008 * 16960 > costs["assembled"].memory
    assert choose_form({"dense": Cost(1.0, 3.0), "jacobian": Cost(2.0, 2.0)}, ("dense", "jacobian"), 1.0) == "jacobian"
    with pytest.raises(ConfigError, match="assembled"):
        choose_form(
            form_costs(*to_ansatz(((jnp.ones((64, 1)), lambda p, x: jnp.sum(jnp.exp(p.T) * x, 1))), space), 8),
            ("assembled",),
        )


def test_groups_of_leaves():
    leaves = [jnp.zeros(2**20), jnp.zeros(2**20, complex), jnp.zeros(3)]
    assert groups_of(leaves, [0, 1, 2], 64) == [[0], [1, 2]] or groups_of(leaves, [0, 1, 2], 64) == [[0], [1], [2]]
    assert groups_of(leaves, [0, 2], 64) == [[0, 2]]
    assert groups_of(leaves, [], 64) == []


def test_bad_settings():
    for bad in ({"method": "cg", "cutoff": 1e-8}, {"method": "cg", "snr": 1.0}):
        with pytest.raises(ConfigError, match="eigenvalues"):
            SR(**bad)
    for bad in ({"trust": 0.0}, {"snr": -1.0}, {"tolerance": 0.0}, {"max_steps": 0}):
        with pytest.raises(ConfigError, match="positive number"):
            SR(**bad)
    with pytest.raises(ConfigError, match="blocks"):
        SR(blocks="layers")
