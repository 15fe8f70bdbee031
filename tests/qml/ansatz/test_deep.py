"""Deep networks on patches: against loops over tokens, their symmetry, their precision, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import symmetries
from qml._core.errors import ShapeError, SpaceError, SymmetryError
from qml.ansatz import ConvNeXt, ResConv, Symmetrised, ViT, log_cosh, to_ansatz
from qml.ansatz.tokens import Tokens
from qml.hilbert import Boson, Spin, SpinfulFermion
from qml.lattice import Chain, Graph, Kagome, Lattice, Square

TILTED = Lattice([[1.0, 0.0], [0.0, 1.0]], [[4, 2], [-2, 4]])
RIBBON = Lattice([[1.0, 0.0], [0.5, 3**0.5 / 2]], (4, 2), periodic=(True, False))
CASES = {
    "tilted": (TILTED, [[2, 1], [-1, 2]]),
    "ribbon": (RIBBON, (2, 1)),
    "kagome": (Kagome(2, 2), (2, 1)),
    "open": (Chain(6, periodic=False), 2),
}


def random_parameters(model):
    """The same network with every parameter random, biases and scales too."""
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(3), len(leaves))

    @jax.jit
    def moved(leaves, keys):
        return [v + 0.3 * jax.random.normal(key, v.shape, v.dtype) for key, v in zip(keys, leaves, strict=True)]

    return nnx.merge(graph, jax.tree.unflatten(treedef, moved(leaves, keys)), rest)


def value(model, x):
    """log psi, compiled as one program."""
    return jax.jit(lambda x: model(x))(jnp.asarray(x, float))


def log_psi(ansatz, params, x):
    """log psi, compiled as one program."""
    return np.asarray(jax.jit(ansatz.log_psi)(params, x))


def numbers(param):
    return np.asarray(param[...])


def normed(y, layer=None):
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6)
    return y if layer is None else y * numbers(layer.scale) + numbers(layer.shift)


def dense(layer, y):
    return y @ numbers(layer.kernel) + numbers(layer.bias)


def gelu(y):
    return 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))


def head(layer, y):
    z = normed(y.sum(0), layer.norm)
    return np.prod(np.cosh(dense(layer.amplitude, z) + 1j * dense(layer.phase, z)))


def apart(lattice, tokens):
    """Displacement from token j to token i by the torus alone, `[i, j, d]`, wrapped along periodic axes only."""
    first = lattice.positions[tokens.modes[:, 0]]
    vectors = np.array(lattice.supercell) @ np.array(lattice.cell)
    turns = (first[:, None] - first[None]) @ np.linalg.inv(vectors)
    turns = turns - np.floor(turns + 1e-9) * np.asarray(lattice.periodic)
    return np.round(turns @ vectors, 6) + 0.0


@pytest.mark.parametrize("name", CASES)
def test_tokens(name):
    """Patches have one shape, equal translations one number, and translations keep all distances."""
    lattice, patch = CASES[name]
    tokens = Tokens.of(lattice, patch)
    assert sorted(tokens.modes.ravel().tolist()) == list(range(lattice.n_sites))
    vectors, kinds = apart(lattice, tokens), {}
    for i, j in np.ndindex(tokens.count, tokens.count):
        kinds.setdefault(tuple(vectors[i, j]), set()).add(tokens.differences[i, j])
    assert all(len(found) == 1 for found in kinds.values())
    assert len(kinds) == tokens.differences.max() + 1 == len(tokens.lengths)
    assert (np.diagonal(tokens.differences) == 0).all()
    distances = lattice.distances()
    for moved in tokens.translations:
        np.testing.assert_allclose(distances[np.ix_(moved, moved)], distances, atol=1e-12)
    periodic = np.asarray(lattice.periodic).all()
    assert len(tokens.translations) == (tokens.count if periodic else 1 if name == "open" else 2)
    inside = distances[tokens.modes[0, 0], tokens.modes[0]]
    for modes in tokens.modes:
        np.testing.assert_allclose(distances[modes[0], modes], inside, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "spatial"),
    [
        ("tilted", False),
        *(pytest.param(*c, marks=pytest.mark.slow) for c in (("open", True), ("tilted", True), ("open", False))),
    ],
)
def test_vit(name, spatial):
    """Attention and MLP token by token."""
    lattice, patch = CASES[name]
    model = ViT(lattice, patch=patch, layers=1, features=4, heads=2, expansion=3, spatial=spatial, rngs=nnx.Rngs(0))
    model = random_parameters(model)
    tokens, x = model.tokens, np.asarray(Spin(lattice.n_sites).random_state(jax.random.key(0), 3), float)
    distance = lattice.distances()[np.ix_(tokens.modes[:, 0], tokens.modes[:, 0])]
    distance = distance / distance[distance > 0].min()
    block, psi = model.blocks[0], []
    for row in x:
        y = dense(model.embed, row[tokens.modes])
        content, mixed = dense(block.attention.value, normed(y, block.before_attention)), np.zeros((tokens.count, 4))
        for h in range(2):
            part = slice(2 * h, 2 * h + 2)
            for i in range(tokens.count):
                share = np.ones(tokens.count)
                if spatial:
                    share = np.exp(-numbers(block.attention.decay)[h] * distance[i])
                    share /= share.sum()
                for j in range(tokens.count):
                    weight = numbers(block.attention.weights)[h, tokens.differences[i, j]] * share[j]
                    mixed[i, part] += weight * content[j, part]
        y = y + dense(block.attention.out, mixed)
        y = y + dense(block.mlp.down, gelu(dense(block.mlp.up, normed(y, block.before_mlp))))
        psi.append(head(model.head, y))
    np.testing.assert_allclose(np.exp(value(model, x)), psi, rtol=1e-11)


@pytest.mark.parametrize("name", [pytest.param("tilted", marks=pytest.mark.slow), "ribbon"])
@pytest.mark.parametrize("kind", [ResConv, ConvNeXt])
def test_convolutions(name, kind):
    """Sums over the sites at the displacements of the box, found by their positions."""
    lattice, patch = CASES[name]
    model = random_parameters(kind(lattice, patch=patch, layers=1, features=3, kernel=3, rngs=nnx.Rngs(0)))
    tokens, x = model.tokens, np.asarray(Spin(lattice.n_sites).random_state(jax.random.key(0), 3), float)
    table = tokens.neighbours(3)
    vectors, steps = apart(lattice, tokens), np.array(tokens.patch) @ np.array(lattice.cell)
    box = {tuple(np.round(i * steps[0] + j * steps[1], 6)) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    for k in range(table.shape[1]):  # one displacement a column, all of them in the box, none twice
        moves = {tuple(vectors[table[i, k], i]) for i in range(tokens.count) if table[i, k] < tokens.count}
        assert len(moves) == 1
    assert len({tuple(column) for column in table.T.tolist()}) == table.shape[1] <= len(box)

    def convolved(layer, y):
        y, kernel = np.vstack([y, 0 * y[:1]]), numbers(layer.kernel)
        near = y[table]  # [tokens, box, width]
        out = np.einsum("ikw,kwf->if", near, kernel) if kernel.ndim == 3 else np.einsum("ikf,kf->if", near, kernel)
        return out + numbers(layer.bias)

    block, psi = model.blocks[0], []
    for row in x:
        picked = row[tokens.modes]
        if kind is ResConv:
            y = convolved(model.embed, picked)
            y = y + convolved(block.second, gelu(convolved(block.first, normed(y, block.norm))))
        else:
            y = dense(model.embed, picked)
            y = y + dense(block.mlp.down, gelu(dense(block.mlp.up, normed(convolved(block.mix, y), block.norm))))
        psi.append(head(model.head, y))
    np.testing.assert_allclose(np.exp(value(model, x)), psi, rtol=1e-11)


def vit(lattice, **settings):
    return ViT(lattice, **{"layers": 1, "features": 4, "heads": 2, "rngs": nnx.Rngs(0), **settings})


@pytest.mark.slow
def test_cosets_give_the_whole_projection():
    """The patch translations are left out of the sum over the group, and the value is that of the whole sum."""
    lattice = Chain(8)
    model, x = vit(lattice), Spin(8).random_state(jax.random.key(0), 5)
    moved = jnp.stack([x[:, p] for p in model.invariances()])
    values = value(model, moved.reshape(-1, 8)).reshape(4, 5)
    np.testing.assert_allclose(values, np.tile(values[:1], (4, 1)), atol=1e-13)
    for momentum, irrep, calls in ((0, "A", 4), (0, "B", 4), (4, "B", 4)):
        sector = symmetries.Sector(symmetries.space_group(lattice), momentum, irrep)
        ansatz, params = to_ansatz(Symmetrised(model, sector), Spin(8))
        assert len(ansatz.apply.cosets) == calls and len(sector.characters) == 16
        images = jnp.concatenate([x[:, p] for p in sector.permutations])
        psi = np.exp(value(model, images)).reshape(16, 5)
        np.testing.assert_allclose(np.exp(log_psi(ansatz, params, x)), sector.characters.conj() @ psi, atol=1e-12)
    with pytest.raises(SymmetryError, match="no part in this sector"):
        to_ansatz(Symmetrised(model, symmetries.Sector(symmetries.space_group(lattice), 1)), Spin(8))


def test_cosets_of_fermions():
    """Signs of fermions depend on the configuration; the projection is the sector's own."""
    space, lattice = SpinfulFermion(4, n_up=2, n_down=1), Chain(4)
    sector = symmetries.Sector(symmetries.translation_group(lattice), 2)
    model = vit(lattice, hilbert=space)
    assert (model.tokens.components, model.tokens.width) == (2, 4)
    plain, params = to_ansatz(model, space)
    ansatz, _ = to_ansatz(Symmetrised(model, sector), space)
    psi, full = (np.exp(log_psi(a, params, space.all_states())) for a in (ansatz, plain))
    wanted = sector.project(full, hilbert=space) * len(sector.characters)
    np.testing.assert_allclose(psi, wanted, atol=1e-12)
    assert np.abs(wanted).max() > 1e-3 and len(ansatz.apply.cosets) == 2


def test_precision_of_trunk_and_head():
    """A 32-bit trunk with a 64-bit head: log psi in 64 bits, close to that of the whole network in 64 bits."""
    x = Spin(8).random_state(jax.random.key(0), 20)
    exact, exact_params = to_ansatz(vit(Chain(8)), Spin(8))
    mixed, params = to_ansatz(vit(Chain(8), dtype=jnp.float32), Spin(8))
    dtypes = {leaf.dtype.name for leaf in jax.tree.leaves(params)}
    assert mixed.dtype == np.complex128 and dtypes == {"float32", "float64"}
    assert params["embed"]["kernel"].dtype == np.float32 and params["head"]["amplitude"]["kernel"].dtype == np.float64
    same = jax.tree.map(lambda p, q: q.astype(p.dtype), params, exact_params)
    np.testing.assert_allclose(log_psi(mixed, same, x), log_psi(exact, exact_params, x), atol=1e-5)
    assert to_ansatz(vit(Chain(8), dtype=jnp.float32, head_dtype=jnp.float32), Spin(8))[0].dtype == np.complex64
    real = to_ansatz(vit(Chain(8), phase=False), Spin(8))[0]
    assert real.dtype == np.float64


def test_zeros_and_sign_changes():
    """At a zero of cosh log psi is minus infinity; across it the sign changes and the derivative is tanh, no jump."""
    step = 1e-6
    b = jnp.array([np.pi / 2 - step, np.pi / 2 + step])
    values = np.exp(log_cosh(1j * b))
    np.testing.assert_allclose(values, np.cos(b), rtol=1e-12)
    slopes = jax.jit(jax.vmap(jax.grad(lambda b: log_cosh(1j * b).real)))(b)
    np.testing.assert_allclose(slopes, -np.tan(b), rtol=1e-9)
    assert log_cosh(1j * jnp.array(np.pi / 2)).real < -36  # cos is 6e-17 there
    wide = jnp.array([3.0 + 4.0j, -3.0 + 4.0j, 3.0 - 4.0j])  # beyond the first branch
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(log_cosh, holomorphic=True)))(wide), np.tanh(wide), rtol=1e-13)


def test_local_states():
    """More than two local states enter as flags; a space with other ones is refused."""
    boson = Boson(4, n_max=2)
    model = vit(Chain(4), hilbert=boson)
    assert model.tokens.channels == 6
    x = jnp.array([[0, 1, 2, 0]])
    flags = np.eye(3)[np.array([[0, 1], [2, 0]])].reshape(1, 2, 6)
    np.testing.assert_array_equal(model.tokens.embed(x, np.dtype(float)), flags)
    assert to_ansatz(model, boson)[0].n_sites == 4
    for other in (Spin(4), Boson(4, n_max=3), Spin(8)):
        with pytest.raises(SpaceError):
            to_ansatz(model, other)
    with pytest.raises(ShapeError, match="another number of sites"):
        model(jnp.ones((2, 5)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vit(Graph(4, ((0, 1),))), "patches of a lattice"),
        (lambda: vit(Chain(5)), "do not tile"),
        (lambda: vit(Chain(4), patch=0), "positive size|whole number"),
        (lambda: vit(Chain(4), patch=(2, 2)), "whole number"),
        (lambda: vit(Chain(4), patch=1.5), "whole number"),
        (lambda: vit(Square(4, 4), patch=[[1, 1], [2, 2]]), "whole number"),
        (lambda: vit(RIBBON, patch=[[2, 1], [0, 1]]), "straight along open"),
        (lambda: vit(Chain(4), heads=3), "equal share"),
        (lambda: vit(Chain(4), layers=0), "layers of ViT"),
        (lambda: vit(Chain(4), dtype=complex), "are real"),
        (lambda: vit(Chain(4), head_dtype=complex), "are real"),
        (lambda: ResConv(Chain(4), kernel=2, rngs=nnx.Rngs(0)), "box about a token"),
        (lambda: ConvNeXt(Chain(4), kernel=(3, 3), rngs=nnx.Rngs(0)), "box about a token"),
        (lambda: ConvNeXt(Chain(4), features=0, rngs=nnx.Rngs(0)), "features of ConvNeXt"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ShapeError, match=message) as caught:
        make()
    assert caught.value.try_
