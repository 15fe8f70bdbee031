"""Products, sums and phases of models; product states, sign rules, many-body Jastrow factors; NetKet's numbers."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import symmetries
from qml import MCState
from qml._core.errors import GradketError
from qml.ansatz import (
    MLP,
    RBM,
    Autoregressive,
    CausalConv,
    Jastrow,
    MarshallSign,
    MeanField,
    Phase,
    Product,
    Sum,
    Symmetrised,
    to_ansatz,
)
from qml.estimate.local import local_values
from qml.exact import ground_state
from qml.hilbert import Boson, Spin
from qml.lattice import Chain, Square, Triangular
from qml.operator import Heisenberg, Ising
from qml.sampler import DirectSampler
from qml.sampler.library import default_sampler
from tests.qml.ansatz.test_updates import assert_steps_follow, some, start

SPACE, SPIN_ONE = Spin(4), Spin(4, s=1)
SECTOR = symmetries.Sector(symmetries.space_group(Chain(4)), momentum=(0,), internal=(symmetries.SpinFlip(+1),))


def rbm(space=SPACE, seed=0, **settings):
    """A small RBM far from trivial."""
    return RBM(space, std=0.4, rngs=nnx.Rngs(seed), **settings)


MODELS = {
    "mean field": lambda: (MeanField(SPIN_ONE, dtype=complex, std=0.5, rngs=nnx.Rngs(0)), SPIN_ONE),
    "three bodies": lambda: (Jastrow(SPIN_ONE, order=3, std=0.2, rngs=nnx.Rngs(0)), SPIN_ONE),
    "four bodies": lambda: (Jastrow(SPACE, dtype=complex, order=4, std=0.2, rngs=nnx.Rngs(0)), SPACE),
    "marshall": lambda: (MarshallSign(SPIN_ONE, Chain(4)) * Phase(Jastrow(SPIN_ONE, rngs=nnx.Rngs(0))), SPIN_ONE),
    "sum": lambda: (Sum(rbm(), rbm(seed=1) * MarshallSign(SPACE, (0, 2)), coefficients=(1, 0.5j)), SPACE),
    "zeros": lambda: (Symmetrised((rbm() - rbm()) + rbm(seed=1), SECTOR) + (rbm() - rbm()), SPACE),
    "symmetrised": lambda: (Symmetrised(rbm(dtype=complex) + MeanField(SPACE, rngs=nnx.Rngs(3)), SECTOR), SPACE),
}


@pytest.mark.parametrize("name", some(MODELS, "three bodies", "mean field", "zeros"))
def test_steps_follow_the_network(name):
    """Local updates, composed in every way, against the whole model."""
    model, space = MODELS[name]()
    assert_steps_follow(model, space, rtol=1e-10)


@pytest.mark.slow
def test_chains_and_energies_are_those_of_the_network():
    """A projected sum of products: the same chains, move for move, and the same local energies."""
    model, space = MODELS["symmetrised"]()
    ansatz, params = to_ansatz(model * MarshallSign(SPACE, Chain(4)), space)
    plain = to_ansatz((params, ansatz.apply), space)[0]
    assert ansatz.updates is not None and plain.updates is None
    sampler = default_sampler(space, 8)
    states = [start(space, plain) for _ in range(2)]
    ours, exact = (sampler.sample(a, params, s, 20) for a, s in zip((ansatz, plain), states, strict=True))
    np.testing.assert_array_equal(ours[1], exact[1])
    np.testing.assert_array_equal(ours[0].accepted, exact[0].accepted)
    hamiltonian = Heisenberg(space, Chain(4))
    x = exact[1].reshape(-1, 4)
    energies = [local_values(a, params, hamiltonian, x) for a in (ansatz, plain)]
    np.testing.assert_allclose(*energies, rtol=1e-10, atol=1e-10)


def test_products_and_sums():
    """Amplitudes of products, sums and differences from those of the parts, for real and complex ones."""
    x = SPACE.all_states()
    one, two = rbm(), rbm(seed=1, dtype=complex)
    psi = [jnp.exp(jax.jit(a.log_psi)(p, x)) for a, p in (to_ansatz(m, SPACE) for m in (one, two))]
    for model, expected in [
        (one * two * one, psi[0] ** 2 * psi[1]),
        (one + two, psi[0] + psi[1]),
        (one - two, psi[0] - psi[1]),
        (Sum(one, two, coefficients=(0.5j, -2), trainable=False), 0.5j * psi[0] - 2 * psi[1]),
        (Sum(one, one, trainable=False), 2 * psi[0]),
    ]:
        ansatz, params = to_ansatz(model, SPACE)
        np.testing.assert_allclose(jnp.exp(jax.jit(ansatz.log_psi)(params, x)), expected, rtol=1e-12)
    assert not ansatz.is_complex  # positive coefficients of positive parts
    assert Product(one * two, one).models == (one, two, one)


def test_sums_survive_zeros_and_signs():
    """psi = e^(t x) - e^(-t x) through its zero: derivatives of log psi are those of psi over psi, on every branch."""
    up = (jnp.array(1.0), lambda t, x: t * x[:, 0] + 3.0 * x[:, 1])
    down = (jnp.array(1.0), lambda t, x: -t * x[:, 0] + 3.0 * x[:, 1])
    ansatz, params = to_ansatz(Sum(up, down, coefficients=(1.0, -1.0)), Spin(2))
    x = Spin(2).all_states()

    @jax.jit
    def both(t, turn):
        moved = {"models": (t, t), "coefficients": params["coefficients"] * jnp.exp(1j * turn)}
        parts = lambda v: jnp.stack([v.real, v.imag])  # noqa: E731
        return ansatz.log_psi(moved, x), jax.jacfwd(lambda t: parts(ansatz.log_psi({**moved, "models": (t, t)}, x)))(t)

    for t, turn in itertools.product((-0.7, -1e-4, 1e-4, 0.7, 300.0), (0.0, np.pi - 1e-12, np.pi, -3 * np.pi / 2)):
        log_psi, slope = both(t, turn)
        sign = x[:, 0]
        exact = sign / np.tanh(t * sign)  # d/dt log(2 sinh(t x))
        np.testing.assert_allclose(slope[0] + 1j * slope[1], exact, rtol=1e-9, atol=1e-9)
        phase = np.sign(np.sinh(t * sign)) * np.exp(1j * turn)
        np.testing.assert_allclose(np.exp(1j * log_psi.imag), phase, atol=1e-9)
    log_psi, slope = both(0.0, 0.0)
    assert bool(jnp.all(log_psi.real == -jnp.inf)) and bool(jnp.all(jnp.isfinite(slope)))


def test_zeros_of_a_part():
    """A part that vanishes exactly (log psi = -inf) leaves the others and their derivatives alone."""
    space = Spin(4, magnetisation=0)
    part = Autoregressive(space, CausalConv(layers=1, kernel=2), rngs=nnx.Rngs(0))
    ansatz, params = to_ansatz(part + rbm(), SPACE)
    other, alone = to_ansatz(rbm(), SPACE)
    x = SPACE.all_states()
    outside = ~space.contains(x)
    values, slopes = jax.jit(lambda p: (ansatz.log_psi(p, x), jax.jacrev(lambda p: ansatz.log_psi(p, x).real)(p)))(
        params
    )
    np.testing.assert_allclose(jnp.exp(values[outside]), jnp.exp(other.log_psi(alone, x))[outside], rtol=1e-13)
    assert all(bool(jnp.all(jnp.isfinite(s))) for s in jax.tree.leaves(slopes))
    assert all(bool(jnp.all(s[outside] == 0)) for s in jax.tree.leaves(slopes["models"][0]))


@pytest.mark.slow
def test_zeros_of_parts_are_left_again():
    """A sum over two momenta is a sum over two translations, also where one of its parts vanishes: every number."""
    group = symmetries.translation_group(Chain(4))
    zero, pi = (symmetries.Sector(group, momentum=(k,)) for k in (0, 2))
    ansatz = to_ansatz(Symmetrised(rbm(), zero) + Symmetrised(rbm(), pi), SPACE)[0]
    one, alone = to_ansatz(rbm(), SPACE)

    def written_otherwise(p, x):
        return jnp.log(2 * (jnp.exp(one.log_psi(p, x)) + jnp.exp(one.log_psi(p, jnp.roll(x, 2, axis=1)))) + 0j)

    other = to_ansatz((alone, written_otherwise), SPACE)[0]
    x, operator = SPACE.all_states(), Heisenberg(SPACE, Chain(4)) + Ising(SPACE, Chain(4), j=0.3, h=0.8)
    vanishes = to_ansatz(Symmetrised(rbm(), pi), SPACE)[0].log_psi(alone, x).real == -jnp.inf
    assert ansatz.updates is not None and 0 < vanishes.sum() < 16

    @functools.partial(jax.jit, static_argnums=(0, 2))
    def numbers(ansatz, p, make):
        log_psi, slope = jax.jvp(lambda p: ansatz.log_psi(make(p), x), (p,), (jax.tree.map(jnp.sin, p),))
        back = jax.grad(lambda p: jnp.sum(jnp.cos(ansatz.log_psi(make(p), x).real)))(p)
        return local_values(ansatz, make(p), operator, x), jnp.exp(log_psi), slope, back

    ours = numbers(ansatz, alone, lambda p: {"models": (p, p), "coefficients": np.ones(2)})
    theirs = numbers(other, alone, lambda p: p)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


def test_products_of_conditionals_and_phases_are_sampled_directly():
    """An autoregressive amplitude times a sign rule and a phase network keeps its direct sampler; times an RBM not."""
    space = Spin(4, magnetisation=0)
    amplitude = Autoregressive(space, CausalConv(layers=1, kernel=2), rngs=nnx.Rngs(0))
    network = MLP(space, layers=1, features=2, phase=False, rngs=nnx.Rngs(1))
    model = MarshallSign(space, Chain(4)) * amplitude * Phase(network)
    state = MCState(model, space, samples=32, key=jax.random.key(0))
    assert isinstance(state.sampler, DirectSampler) and state.ansatz.is_complex
    np.testing.assert_allclose(jnp.sum(jnp.exp(2 * state.log_psi(space.all_states()).real)), 1, rtol=1e-12)
    assert to_ansatz(amplitude * rbm(space), space)[0].conditionals is None
    mean_field = to_ansatz(MeanField(SPACE, rngs=nnx.Rngs(0)), SPACE)[0]
    assert mean_field.conditionals is not None and to_ansatz(MeanField(space, rngs=nnx.Rngs(0)), space)[0].updates


def test_mean_field():
    """A product of single-site amplitudes, on sites of several kinds, with independent samples."""
    space = Spin(1) * Boson(2, n_max=2)
    model = MeanField(space, dtype=complex, std=0.7, rngs=nnx.Rngs(0))
    ansatz, params = to_ansatz(model, space)
    logs = np.asarray(params["logs"])
    sites = [np.exp([0, logs[0]]), np.exp([0, *logs[1:3]]), np.exp([0, *logs[3:]])]
    expected = np.kron(np.kron(*sites[:2]), sites[2])
    np.testing.assert_allclose(jnp.exp(ansatz.log_psi(params, space.all_states())), expected, rtol=1e-13)
    sampler = DirectSampler(space, chains=20_000)
    x = sampler.init(ansatz, params, jax.random.key(0)).x
    law = np.abs(expected) ** 2 / np.sum(np.abs(expected) ** 2)
    counts = np.bincount(np.asarray(space.states_to_indices(x)), minlength=18)
    assert np.sum((counts - 20_000 * law) ** 2 / (20_000 * law)) < 17 + 4.5 * np.sqrt(34)


@pytest.mark.slow
def test_marshall_sign_of_the_ground_state():
    """The signs of the exact ground state of the Heisenberg antiferromagnet on 3 x 2 open and 2 x 2 sites."""
    for lattice in (Square(3, 2, periodic=False), Chain(4)):
        space = Spin(lattice.n_sites, magnetisation=0)
        vector = ground_state(Heisenberg(space, lattice)).vectors[0]
        signs = jnp.exp(MarshallSign(space, lattice)(space.all_states().astype(float)))
        turned = jnp.real(vector * signs)
        np.testing.assert_allclose(MarshallSign(space, lattice)(space.all_states()), jnp.log(signs), atol=1e-12)
        assert bool(jnp.all(turned * turned[0] > 1e-3 * turned[0] ** 2 / vector.size))


def test_many_bodies():
    """Jastrow factors of order three and four against sums over groups of sites."""
    x = np.asarray(SPIN_ONE.all_states(), float)
    ansatz, params = to_ansatz(Jastrow(4, order=4, std=0.3, rngs=nnx.Rngs(0)), SPIN_ONE)
    expected = 0
    for size, name in enumerate(("field", "pairs", "bodies3", "bodies4"), 1):
        for number, sites in zip(params[name], itertools.combinations(range(4), size), strict=True):
            expected = expected + float(number) * np.prod(x[:, sites], axis=1)
    np.testing.assert_allclose(ansatz.log_psi(params, jnp.asarray(x)), expected, rtol=1e-12, atol=1e-12)


def formula(shape, dtype, bias=False):
    """0.4 sin(a) for kernels, 0.3 cos(a) for biases, a = 0.9 + sum_d (0.7 + 0.6 d) index_d; plus 0.2 i cos(1.1 a)."""
    angle = 0.9 + sum((0.7 + 0.6 * d) * index for d, index in enumerate(np.indices(shape)))
    values = 0.3 * np.cos(angle) if bias else 0.4 * np.sin(angle)
    return jnp.asarray(values + 0.2j * np.cos(1.1 * angle) if dtype is complex else values)


# log psi of NetKet 3.23 (RBM(alpha=1), Jastrow()) for parameters by the formula
NETKET = {
    ("RBM", float): [1.3146346933273942, 0.6535864475454491, 0.0056457407583992425, 0.24611618057902696],
    ("RBM", complex): [
        1.1400273017460185 - 0.5762615993137921j,
        0.5307771694395498 + 0.37822501248704976j,
        -0.08578712820333928 - 0.1559638022148188j,
        0.154316727313206 - 0.8242693644929656j,
    ],
    ("Jastrow", float): [0.47531500724302705, -0.09952503753661729, -0.15962638581994054, -1.063901409340058],
    ("Jastrow", complex): [
        0.47531500724302705 - 0.38348926417443346j,
        -0.09952503753661729 + 0.06861455805420733j,
        -0.15962638581994054 - 0.03167067011955152j,
        -1.063901409340058 - 0.13274256488637037j,
    ],
}


@pytest.mark.parametrize(("kind", "dtype"), NETKET)
def test_netket(kind, dtype):
    """The same log psi as NetKet's RBM and Jastrow."""
    x = jnp.array([[1, 1, 1, 1], [1, -1, 1, -1], [-1, -1, 1, -1], [-1, 1, 1, 1]])
    if kind == "RBM":
        ansatz, params = to_ansatz(RBM(4, dtype=dtype, rngs=nnx.Rngs(0)), SPACE)
        biases = {name: formula((4,), dtype, bias=True) for name in ("visible_bias", "hidden_bias")}
        params = {**biases, "kernel": formula((4, 4), dtype)}
    else:
        ansatz, params = to_ansatz(Jastrow(4, dtype=dtype, rngs=nnx.Rngs(0)), SPACE)
        lower = list(zip(*np.tril_indices(4, -1), strict=True))  # their order of pairs (i, j), i > j
        order = [lower.index((j, i)) for i, j in itertools.combinations(range(4), 2)]
        params = {"field": jnp.zeros(4, dtype), "pairs": formula((6,), dtype)[np.array(order)]}
    np.testing.assert_allclose(ansatz.log_psi(params, x), NETKET[kind, dtype], rtol=1e-12)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Product(),
        lambda: Sum(),
        lambda: Sum(rbm(), rbm(), coefficients=(1,)),
        lambda: Sum(rbm(), coefficients=("a",)),
        lambda: Sum(rbm(), coefficients=(np.nan,)),
        lambda: to_ansatz(Phase(rbm(dtype=complex)), SPACE),
        lambda: MarshallSign(SPACE, Chain(5)),
        lambda: MarshallSign(Spin(9), Triangular(3, 3)),
        lambda: MarshallSign(SPACE, (0, 4)),
        lambda: MarshallSign(SPACE, (0, 0)),
        lambda: to_ansatz(MarshallSign(SPACE, (0, 2)), SPIN_ONE),
        lambda: MeanField(4, rngs=nnx.Rngs(0)),
        lambda: to_ansatz(MeanField(SPACE, rngs=nnx.Rngs(0)), SPIN_ONE),
        lambda: Jastrow(4, order=5, rngs=nnx.Rngs(0)),
        lambda: Jastrow(4, order=1, rngs=nnx.Rngs(0)),
    ],
)
def test_bad_input(wrong):
    """Errors of this project that name what was wrong."""
    with pytest.raises(GradketError, match="got"):
        wrong()
