"""Networks over groups: the ways to convolve, the symmetric RBM, and the numbers that NetKet gives for both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import symmetries
from qml._core.errors import ConfigError, ShapeError, SymmetryError
from qml.ansatz import GCNN, RBM, to_ansatz
from qml.ansatz.group_fourier import MODES, AbelianFourier, IrrepFourier, group_convolution
from qml.ansatz.rbm_symm import RBMSymm
from qml.hilbert import Spin
from qml.lattice import Chain

CHAIN = symmetries.space_group(Chain(6))
S4 = symmetries.PermutationGroup.from_generators(np.array([[1, 2, 3, 0], [1, 0, 2, 3]]))
SECTORS = {
    "chain": symmetries.Sector(CHAIN, 0, internal=symmetries.SpinFlip(1)),
    "permutations": symmetries.Sector(S4),
}
X = np.array([[1, 1, 1, -1, -1, -1], [1, -1, 1, 1, -1, -1], [1, -1, 1, -1, 1, -1]])


def formula(shape, shift):
    """Numbers that both packages can make."""
    return (0.3 * np.sin(1.7 * np.arange(np.prod(shape)) + shift)).reshape(shape)


@pytest.mark.parametrize("name", SECTORS)
def test_group_convolution(name):
    """All ways are the sum over products of elements, and so are their derivatives."""
    sector = SECTORS[name]
    table, order = np.asarray(sector.group.product_table), sector.group.order
    keys = jax.random.split(jax.random.key(0), 3)
    kernel, y = jax.random.normal(keys[0], (3, 2, order)), jax.random.normal(keys[1], (4, 2, order))
    back = jax.random.normal(keys[2], (4, 3, order))
    z = np.einsum("ock,bcgk->bog", kernel, np.asarray(y)[:, :, table])
    dot_kernel = np.einsum("bog,bcgk->ock", back, np.asarray(y)[:, :, table])
    dot_y = np.zeros_like(y)
    for g in range(order):
        dot_y[:, :, table[g]] += np.einsum("bo,ock->bck", back[:, :, g], kernel)
    for mode in MODES:
        way = group_convolution(sector, 4, mode)
        at = way.elements
        assert sorted(at.tolist()) == list(range(order))

        def both(kernel, y, way=way, at=at):
            out, pull = jax.vjp(way, kernel, y[:, :, at])
            return out, *pull(back[:, :, at])

        out, by_kernel, by_y = jax.jit(both)(kernel, y)
        np.testing.assert_allclose(out, z[:, :, at], atol=1e-12)
        np.testing.assert_allclose(by_kernel, dot_kernel, atol=1e-12)
        np.testing.assert_allclose(by_y, dot_y[:, :, at], atol=1e-12)


def test_the_cheapest_way_is_taken():
    square = symmetries.space_group(Chain(6))
    assert isinstance(group_convolution(symmetries.Sector(square), 4), AbelianFourier)
    assert len(group_convolution(symmetries.Sector(square), 4, "fft").subgroup) == 6
    assert isinstance(group_convolution(symmetries.Sector(S4), 4, "irreps"), IrrepFourier)
    assert len(group_convolution(symmetries.Sector(S4), 4, "fft").subgroup) == 4  # Klein's four-group
    ways = [group_convolution(symmetries.Sector(square), 4, mode) for mode in MODES]
    assert ways[0].operations(4) == min(way.operations(4) for way in ways)
    assert group_convolution(symmetries.Sector(square), 4) == ways[0] and ways[1] != ways[2]
    assert len({hash(way) for way in ways}) > 1
    with pytest.raises(ConfigError, match="no way to convolve"):
        group_convolution(symmetries.Sector(square), 4, "fastest")


@pytest.mark.parametrize("mode", ["fft", "irreps", "dense"])
@pytest.mark.parametrize("momentum", [0, 3])
def test_gcnn_of_netket(mode, momentum):
    """`netket.models.GCNN(layers=2, features=2)` over the space group of a chain of 6, numbers of NetKet 3.23."""
    wanted = {
        0: [3.2420559254317283, 3.3618429767304905, 3.527720770442696],
        3: [0.6499973642570526, 0.36639320949828946, 1.9088905791866757],
    }
    sector = next(
        s
        for s in symmetries.sectors(CHAIN)
        if s.momentum == (momentum,) and s.dimension == 1 and s.characters[_at(s, [0, 5, 4, 3, 2, 1])].real > 0
    )
    model = GCNN(
        sector,
        layers=2,
        features=2,
        mode=mode,
        residual=False,
        head=False,
        activation=lambda x: 1.0507009873554805 * jnp.where(x > 0, x, 1.6732632423543772 * jnp.expm1(x)),
        rngs=nnx.Rngs(0),
    )
    # element 2t of NetKet is the translation by t, 2t + 1 the reflection r -> t - r; their kernel is at the inverse
    theirs = [[sign * (r - t) % 6 for r in range(6)] for t in range(6) for sign in (1, -1)]
    at = [theirs.index(p) for p in sector.permutations.tolist()]
    model.lift[...] = jnp.asarray(formula((2, 6), 1.0))
    model.kernels[0][...] = jnp.asarray(formula((2, 2, 12), 2.0)[:, :, at])
    for k in range(2):
        model.biases[k][...] = jnp.asarray(formula((2,), 1.5 + k))
    value = jax.jit(lambda x: model(x))(jnp.asarray(X, float))
    np.testing.assert_allclose(np.exp(value), np.exp(wanted[momentum]), rtol=1e-12)


def _at(sector, permutation):
    return sector.permutations.tolist().index(permutation)


RBM_NUMBERS = {
    float: [1.2401044999269946, 2.506851281068574, 0.8971549232391712],
    complex: [
        0.47341662771741155 + 1.8502430012792237j,
        0.569402031932235 + 5.062595534561237j,
        -0.042231445135711976 + 2.0315987079846045j,
    ],
}


def symmetric(group, alpha, dtype=float):
    """Numbers from a formula."""
    model = RBMSymm(group, alpha, dtype, rngs=nnx.Rngs(0))
    for name, shift in (("kernel", 1.0), ("hidden_bias", 2.0), ("visible_bias", 3.0)):
        param = getattr(model, name)
        imag = 1j * formula(param.shape, shift + 0.5) if dtype is complex else 0
        param[...] = jnp.asarray(formula(param.shape, shift) + imag)
    return model


@pytest.mark.parametrize("dtype", [float, complex])
def test_rbm_symm_of_netket(dtype):
    """`netket.models.RBMSymm(alpha=2)` over the translations of a chain of 6, numbers of NetKet 3.23."""
    model = symmetric(symmetries.translation_group(Chain(6)), 2, dtype)
    np.testing.assert_allclose(
        np.exp(jax.jit(lambda x: model(x))(jnp.asarray(X, float))), np.exp(RBM_NUMBERS[dtype]), rtol=1e-12
    )


def test_rbm_symm_of_any_group():
    """Two orbits of sites: every image has one amplitude, local updates are those of the network."""
    group = np.array([[0, 1, 2, 3, 4, 5], [1, 2, 0, 3, 4, 5], [2, 0, 1, 3, 4, 5]])
    model, space = symmetric(group, 1), Spin(6)
    assert model.visible_bias.shape == (4,) and model.kernel.shape == (2, 6)
    ansatz, params = to_ansatz(model, space)
    x = space.random_state(jax.random.key(0), 8)
    images = jnp.concatenate([x[:, p] for p in model.invariances()])
    values = np.asarray(ansatz.log_psi(params, images)).reshape(3, 8)
    np.testing.assert_allclose(values, np.tile(values[:1], (3, 1)), atol=1e-13)
    assert np.ptp(values[0]) > 0.1
    plain = RBM(6, alpha=1, rngs=nnx.Rngs(0))
    for name, numbers in model.images.expanded(params).items():
        getattr(plain, name)[...] = numbers
    np.testing.assert_allclose(jax.jit(lambda x: plain(x))(x.astype(float)), values[0], atol=1e-13)
    tables = jax.jit(ansatz.updates.prepare)(params)
    cache = jax.jit(ansatz.updates.init)(tables, x)
    sites = jnp.tile(jnp.array([[1, 4]]), (8, 1))
    ratio, _ = jax.jit(ansatz.updates.step)(tables, cache, x, sites, -x[:, np.array([1, 4])])
    moved = x.at[:, jnp.array([1, 4])].multiply(-1)
    np.testing.assert_allclose(ratio, ansatz.log_psi(params, moved) - values[0], atol=1e-12)
    assert bool(ansatz.updates.reliable(tables)) and hash(ansatz) == hash(to_ansatz(model, space)[0])


def test_bad_input():
    rngs = nnx.Rngs(0)
    with pytest.raises(ShapeError, match="at least one hidden unit"):
        RBMSymm(CHAIN, alpha=0.5, rngs=rngs)
    with pytest.raises(SymmetryError, match="group of permutations"):
        RBMSymm(SECTORS["chain"], rngs=rngs)
    with pytest.raises(SymmetryError):
        RBMSymm(np.array([[0, 1, 2], [1, 2, 0]]), rngs=rngs)  # not closed
    with pytest.raises(ShapeError, match="another number of sites"):
        RBMSymm(CHAIN, alpha=2, rngs=rngs)(jnp.ones((2, 4)))
    with pytest.raises(ShapeError, match="another number of sites"):
        GCNN(SECTORS["chain"], rngs=rngs)(jnp.ones((2, 4)))
