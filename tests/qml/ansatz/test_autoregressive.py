"""Autoregressive wave functions: norm, conditionals, direct samples, cost, and NetKet's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from qml import MCState
from qml._core.errors import GradketError, ShapeError, SpaceError
from qml.ansatz import RBM, Autoregressive, CausalConv, CausalDense, CausalRNN, CausalTransformer, to_ansatz
from qml.ansatz.causal import _unfolded
from qml.ansatz.causal_deep import _recurrence
from qml.hilbert import Boson, Constrained, Spin
from qml.lattice import Chain
from qml.operator import Ising
from qml.sampler import DirectSampler, Metropolis

NETWORKS = {
    "dense": CausalDense(layers=2, features=3),
    "convolution": CausalConv(layers=2, features=3, kernel=3),
    "dilated": CausalConv(layers=2, features=3, kernel=2, dilation=2),
    "recurrent": CausalRNN(layers=2, features=3),
    "transformer": CausalTransformer(layers=1, features=4, heads=2),
    "grid": CausalConv(layers=2, features=3, kernel=(2, 3), extent=(2, 3)),
}
SPACES = {
    "spins": Spin(6),
    "spin one": Spin(4, s=1, magnetisation=1),
    "mixed": Spin(3, magnetisation=0.5) * Boson(3, n_max=2),
}


def build(network, space, **settings):
    """Ansatz and random parameters of order one."""
    ansatz, params = to_ansatz(Autoregressive(space, network, rngs=nnx.Rngs(0), **settings), space)
    keys = jax.random.split(jax.random.key(5), len(jax.tree.leaves(params)))

    @jax.jit
    def moved(leaves, keys):
        return [v + 0.4 * jax.random.normal(k, v.shape, v.dtype) for v, k in zip(leaves, keys)]

    return ansatz, jax.tree.unflatten(jax.tree.structure(params), moved(jax.tree.leaves(params), keys))


def stepwise(ansatz, params, x):
    """Logarithms of |psi|^2 by the conditionals, one site after the other."""
    rule = ansatz.conditionals
    tables, digits = rule.prepare(params), rule.alphabet.digits(x)

    def visit(carry, inputs):
        (cache, last, log_p), (k, digit) = carry, inputs
        conditional, cache = rule.step(tables, cache, k, last)
        return (cache, digit, log_p + jnp.take_along_axis(conditional, digit[:, None], axis=1)[:, 0]), None

    start = (rule.init(tables, len(x)), digits[:, 0], jnp.zeros(len(x)))
    return jax.lax.scan(visit, start, (jnp.arange(digits.shape[1]), digits.T))[0][2]


CASES = [
    *((network, "spins") for network in NETWORKS if network not in ("dense", "dilated")),
    pytest.param("dense", "spins", marks=pytest.mark.slow),
    pytest.param("dilated", "spins", marks=pytest.mark.slow),
    pytest.param("dense", "spin one", marks=pytest.mark.slow),
    ("dense", "mixed"),
]


@pytest.mark.parametrize(("network", "space"), CASES)
def test_norm_and_steps(network, space):
    """The sum of |psi|^2 over the space is one, and the steps give the same law."""
    space = SPACES[space]
    order = tuple(np.random.default_rng(0).permutation(space.n_sites).tolist()) if network == "dense" else None
    ansatz, params = build(NETWORKS[network], space, phase=True, order=order)
    x = space.all_states()

    log_psi, steps = jax.jit(lambda params: (ansatz.log_psi(params, x), stepwise(ansatz, params, x)))(params)
    log_psi, steps = np.asarray(log_psi), np.asarray(steps)
    assert abs(np.sum(np.exp(2 * log_psi.real)) - 1) < 1e-12
    np.testing.assert_allclose(steps, 2 * log_psi.real, rtol=0, atol=1e-12)
    assert np.std(log_psi.imag) > 0.1 and np.std(steps) > 0.1
    if space.parts:
        site = space.parts[0][0]
        first, second, *_ = space.site_states[site]
        bad = np.array(x)
        bad[:, site] = np.where(bad[:, site] == first, second, first)
        assert np.all(np.asarray(ansatz.log_psi(params, bad)).real == -np.inf)


@pytest.mark.parametrize(
    ("network", "space"), [pytest.param("convolution", "spins", marks=pytest.mark.slow), ("dense", "mixed")]
)
def test_samples_have_the_law(network, space):
    """A chi-square test of 40 000 draws; every sample lies in the space, and none follows the one before."""
    space = SPACES[space]
    ansatz, params = build(NETWORKS[network], space)
    sampler = DirectSampler(space, chains=10_000)
    state, x = sampler.sample(ansatz, params, sampler.init(ansatz, params, jax.random.key(1)), 4)
    assert bool(jnp.all(space.contains(x)))
    np.testing.assert_allclose(state.log_psi, ansatz.log_psi(params, x[-1]), rtol=1e-14)
    law = np.exp(2 * np.asarray(ansatz.log_psi(params, space.all_states())))
    index = np.asarray(space.states_to_indices(x))
    counts = np.bincount(index.reshape(-1), minlength=space.size)
    keep = law * index.size > 10
    assert 1e-3 < stats.chisquare(counts[keep], law[keep] / law[keep].sum() * counts[keep].sum()).pvalue < 1 - 1e-3
    assert abs(counts[keep].sum() / index.size - law[keep].sum()) < 5e-3
    again = np.mean(index[1:] == index[:-1])
    assert abs(again - np.sum(law**2)) < 4.5 * np.sqrt(np.sum(law**2) / index[1:].size)


def matrix_flops(jaxpr) -> float:
    """Multiplications of all matrix products of a program, those of a loop as often as it runs."""
    count = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (left, _), _ = equation.params["dimension_numbers"]
            summed = np.prod([equation.invars[0].aval.shape[i] for i in left])
            count += float(np.prod(equation.outvars[0].aval.shape) * summed)
        inner = [
            v for v in jax.tree.leaves(list(equation.params.values())) if hasattr(v, "eqns") or hasattr(v, "jaxpr")
        ]
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        count += times * sum(matrix_flops(getattr(v, "jaxpr", v)) for v in inner)
    return count


@pytest.mark.parametrize("network", [n if n == "dense" else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS])
def test_sampling_costs_one_forward_pass(network):
    """The matrix products of the whole loop over the sites against those of one evaluation of the same rows."""
    space, settings = Spin(6), {"chains": 32}
    ansatz, params = build(NETWORKS[network], space)
    sampler = DirectSampler(space, **settings)
    state = sampler.init(ansatz, params, jax.random.key(0))
    x = jax.ShapeDtypeStruct((32 * 4, 6), jnp.int8)
    forward = matrix_flops(jax.make_jaxpr(lambda p, x: ansatz.log_psi(p, x))(params, x).jaxpr)
    drawing = matrix_flops(jax.make_jaxpr(lambda p, s: sampler.sample(ansatz, p, s, 4))(params, state).jaxpr)
    assert (
        0.5 * forward < drawing - forward / 4 <= 1.05 * forward
    )  # log psi of the last chains is a quarter of the rows


@pytest.mark.slow
def test_states_choose_direct_sampling():
    """Independent samples in every estimate; Metropolis where the conditionals are those of another space."""
    space = Spin(4, magnetisation=0)
    model = Autoregressive(space, NETWORKS["convolution"], phase=True, rngs=nnx.Rngs(0))
    state = MCState(model, space, samples=320, key=jax.random.key(0))
    assert isinstance(state.sampler, DirectSampler)
    _, samples = state.sample()
    assert samples.chains == 320 and bool(jnp.all(space.contains(samples.x)))
    energy = state.expect(Ising(space, Chain(4), j=1.0, h=0.0))
    assert energy.tau == pytest.approx(0.5) and int(energy.samples) == 320
    for other in (Spin(4), Constrained(Spin(4), lambda x: x[..., 0] > 0)):
        assert to_ansatz(model, other)[0].conditionals is None
    wide = Autoregressive(Spin(4), NETWORKS["convolution"], rngs=nnx.Rngs(0))
    assert isinstance(MCState(wide, space, samples=16, key=jax.random.key(0)).sampler, Metropolis)
    with pytest.raises(SpaceError, match="other local states"):
        to_ansatz(model, Boson(4, n_max=1))


def test_precision_of_the_network():
    """A network in 32 bits is normalised and sampled too."""
    space = Spin(4, s=1, magnetisation=0)
    ansatz, params = to_ansatz(Autoregressive(space, NETWORKS["dense"], dtype=jnp.float32, rngs=nnx.Rngs(0)), space)
    assert abs(jnp.sum(jnp.exp(2 * ansatz.log_psi(params, space.all_states()))) - 1) < 1e-6
    sampler = DirectSampler(space, chains=64)
    assert bool(jnp.all(space.contains(sampler.init(ansatz, params, jax.random.key(0)).x)))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: CausalDense(layers=0),
        lambda: CausalDense(features=-1),
        lambda: CausalRNN(layers=0),
        lambda: CausalTransformer(features=5, heads=2),
        lambda: CausalConv(kernel=1),
        lambda: CausalConv(kernel=(2, 3)),
        lambda: CausalConv(kernel=(1, 1), extent=(2, 2)),
        lambda: CausalConv(dilation=0),
        lambda: Autoregressive(4, CausalDense(), rngs=nnx.Rngs(0)),
        lambda: Autoregressive(Spin(4), RBM(4, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(0)),
        lambda: Autoregressive(Spin(4), CausalDense(), order=(0, 1, 2, 2), rngs=nnx.Rngs(0)),
        lambda: Autoregressive(Spin(4), CausalDense(), dtype=complex, rngs=nnx.Rngs(0)),
        lambda: Autoregressive(Spin(4), CausalConv(kernel=(2, 3), extent=(2, 3)), rngs=nnx.Rngs(0)),
        lambda: DirectSampler(Spin(4), chains=0),
        lambda: MCState(RBM(4, rngs=nnx.Rngs(0)), Spin(4), key=jax.random.key(0), sampler=DirectSampler(Spin(4))),
        lambda: MCState(RBM(4, rngs=nnx.Rngs(0)), Spin(4), key=jax.random.key(0), sampler=DirectSampler(Spin(5))),
    ],
)
def test_bad_input(wrong):
    """Errors of this project that name what was wrong."""
    with pytest.raises((GradketError, ShapeError, SpaceError), match="got"):
        wrong()


def test_parallel_scan():
    """The recurrence by a parallel scan against a loop."""
    keep, add = jax.random.uniform(jax.random.key(0), (2, 3, 7, 2))
    h, rows = jnp.zeros((3, 2)), []
    for i in range(7):
        h = keep[:, i] * h + add[:, i]
        rows.append(h)
    np.testing.assert_allclose(jax.jit(_recurrence)(keep, add), jnp.stack(rows, axis=1), rtol=1e-14)


# log psi of NetKet 3.23 for parameters given by a formula of their indices, see `formula`
CONFIGURATIONS = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [-1, -1, 1, -1], [-1, 1, 1, 1]])
LARGER = np.array([[1] * 9, [1, -1, 1, -1, 1, -1, -1, -1, 1], [-1, -1, 1, 1, 1, -1, 1, -1, -1]])
NETKET = [
    # ARNNDense(layers=3, features=2)
    (
        CausalDense(layers=3, features=2),
        CONFIGURATIONS,
        [-1.941076116956081, -2.3629012386393686, -1.7639372093372474, -2.0268420662984945],
    ),
    # ARNNConv1D(layers=3, features=2, kernel_size=3)
    (
        CausalConv(layers=3, features=2, kernel=3),
        CONFIGURATIONS,
        [-0.402842313714116, -2.1123598199187685, -1.844641274752829, -0.9911784288889856],
    ),
    # ARNNConv1D(layers=2, features=2, kernel_size=2, kernel_dilation=2)
    (
        CausalConv(layers=2, features=2, kernel=2, dilation=2),
        CONFIGURATIONS,
        [-0.7021093728234888, -1.2987678187668281, -1.7356688350798928, -1.1390103891365533],
    ),
    # ARNNConv2D(layers=2, features=2, kernel_size=(2, 3))
    (
        CausalConv(layers=2, features=2, kernel=(2, 3), extent=(3, 3)),
        LARGER,
        [-0.8742929659732495, -3.2147025086658587, -5.238567717807703],
    ),
]


def formula(shape, layer, bias=False):
    """0.4 sin(a) for kernels, 0.3 cos(a) for biases, a = 0.9 (1 + layer) + sum_d (0.7 + 0.6 d) index_d."""
    angle = 0.9 * (1 + layer) + sum((0.7 + 0.6 * d) * index for d, index in enumerate(np.indices(shape)))
    return jnp.asarray(0.3 * np.cos(angle) if bias else 0.4 * np.sin(angle))


@pytest.mark.parametrize(("network", "x", "expected"), NETKET, ids=["Dense", "Conv1D", "dilated", "Conv2D"])
def test_netket(network, x, expected):
    """The same log psi as NetKet's ARNNDense, ARNNConv1D and ARNNConv2D."""
    sites = x.shape[1]
    ansatz, params = to_ansatz(Autoregressive(Spin(sites), network, rngs=nnx.Rngs(0)), Spin(sites))
    weights = {}
    for k in range(network.layers):
        old = params["weights"][f"layer{k}"]
        kernel, bias = old["kernel"], formula(old["bias"].shape, k, bias=True)
        if isinstance(network, CausalDense):
            full = formula((sites * kernel.shape[1], sites * kernel.shape[3]), k)
            place = _unfolded(1.0 + jnp.arange(kernel.size).reshape(kernel.shape), sites, k == 0).reshape(full.shape)
            kernel = jnp.zeros(kernel.size + 1).at[place.astype(int)].set(full)[1:].reshape(kernel.shape)
        elif network.extent is not None:
            kernel = formula((2, 3, *kernel.shape[1:]), k).reshape(6, *kernel.shape[1:])[: kernel.shape[0]]
        else:
            kernel = formula(kernel.shape, k)
        weights[f"layer{k}"] = {"kernel": kernel, "bias": bias}
    np.testing.assert_allclose(ansatz.log_psi({"weights": weights}, jnp.asarray(x)), expected, rtol=1e-12)


@pytest.mark.parametrize(("network", "total"), [pytest.param("dense", None, marks=pytest.mark.slow), ("grid", 1)])
def test_derivatives(network, total):
    """The norm does not depend on the parameters, each one matters, and derivatives are finite outside the space."""
    space = Spin(6, magnetisation=total)
    ansatz, params = build(NETWORKS[network], space, phase=True)
    x = Spin(6).all_states()
    derivative = jax.jit(jax.jacrev(lambda params: _parts(ansatz.log_psi(params, x))))
    law = np.where(space.contains(x), np.exp(2 * np.asarray(ansatz.log_psi(params, x)).real), 0)
    for rows in map(np.asarray, jax.tree.leaves(derivative(params))):
        assert np.all(np.isfinite(rows))
        np.testing.assert_allclose(np.tensordot(law, rows[0], 1), 0, atol=1e-13)
        assert np.all(np.any(rows != 0, axis=(0, 1)))


def _parts(values):
    """Real and imaginary part."""
    return jnp.stack([values.real, values.imag])
