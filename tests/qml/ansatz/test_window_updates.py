"""Local updates of convolutions against the whole network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from qml.ansatz import ConvNeXt, ResConv, Symmetrised, to_ansatz
from qml.ansatz.window_updates import Windows, WindowUpdate
from qml.estimate.local import local_values
from qml.hilbert import Boson, Spin
from qml.lattice import Chain, Square
from qml.operator import Heisenberg, Ising
from qml.sampler.library import default_sampler
from symmetries import Sector, space_group
from tests.qml.ansatz.test_updates import assert_steps_follow, start

MODELS = {
    "residual": (lambda: ResConv(Chain(9), layers=1, features=3, rngs=nnx.Rngs(0)), Spin(9)),
    "two blocks": (lambda: ResConv(Chain(12), layers=2, features=3, rngs=nnx.Rngs(0)), Spin(12)),
    "open": (lambda: ResConv(Chain(9, periodic=False), layers=1, features=3, kernel=5, rngs=nnx.Rngs(0)), Spin(9)),
    "box": (lambda: ResConv(Square(3, 5), layers=1, features=3, kernel=(1, 3), rngs=nnx.Rngs(0)), Spin(15)),
    "patches": (lambda: ConvNeXt(Chain(12), layers=2, features=4, rngs=nnx.Rngs(0)), Spin(12)),
    "real": (lambda: ConvNeXt(Square(4, 4), layers=1, features=4, phase=False, rngs=nnx.Rngs(0)), Spin(16)),
    "three states": (
        lambda: ResConv(Chain(7), layers=1, features=3, hilbert=Boson(7, 2), rngs=nnx.Rngs(0)),
        Boson(7, 2),
    ),
}


@pytest.fixture(autouse=True)
def everywhere(monkeypatch):
    """Updates on small lattices too, where windows hold most of them."""
    monkeypatch.setattr("qml.ansatz.window_updates.SHARE", 10.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_steps_follow_the_network(name):
    """Steps of up to three sites and what is kept, against the whole network."""
    model, space = MODELS[name]
    assert_steps_follow(model(), space)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two blocks", "patches"])
def test_chains_and_local_values_are_those_of_the_network(name):
    """The same keys give the same chains, move for move; flips and exchanges give the same local energies."""
    model, _ = MODELS[name]
    for space in (Spin(12), Spin(12, magnetisation=0)):
        ansatz, params = to_ansatz(model(), space)
        plain = to_ansatz((params, ansatz.apply), space)[0]
        assert isinstance(ansatz.updates, WindowUpdate) and plain.updates is None
        sampler = default_sampler(space, 8)
        runs = [sampler.sample(a, params, start(space, plain), 30) for a in (ansatz, plain)]
        np.testing.assert_array_equal(runs[0][1], runs[1][1])
        np.testing.assert_allclose(runs[0][0].log_psi, runs[1][0].log_psi, rtol=1e-11)
        x = space.random_state(jax.random.key(1), 10)
        model_of = Heisenberg(space, Chain(12)) if space.parts else Ising(space, Chain(12), j=-1.0, h=0.7)
        ours, exact = (local_values(a, params, model_of, x) for a in (ansatz, plain))
        np.testing.assert_allclose(ours, exact, rtol=1e-10)


@pytest.mark.slow
def test_images_of_a_convolution():
    """A projected network takes its steps from the windows of its images."""
    sector = Sector(space_group(Chain(9)), momentum=(0,), irrep="A")
    model, space = MODELS["residual"]
    ansatz, _ = to_ansatz(Symmetrised(model(), sector), space)
    assert ansatz.updates is not None
    assert_steps_follow(Symmetrised(model(), sector), space, rtol=1e-10)


def test_windows_grow_by_the_kernel():
    """Tokens reached on a ring, and at the ends of an open chain, where lists are filled up."""
    tokens = ResConv(Chain(9, periodic=False), layers=1, features=2, rngs=nnx.Rngs(0)).tokens
    first, second = Windows(tokens, 3, 2).reached[1:]
    assert sorted(first[0].tolist()) == [0, 1, 9] and sorted(first[4].tolist()) == [3, 4, 5]
    assert sorted(second[0].tolist()) == [0, 1, 2, 9, 9] and sorted(second[8].tolist()) == [6, 7, 8, 9, 9]


@pytest.mark.slow
def test_where_updates_are_used(monkeypatch):
    """On long chains; not where windows hold most of the lattice, or the trunk is in single precision."""
    monkeypatch.undo()
    for model, used in (
        (ResConv(Chain(64), layers=2, features=4, rngs=nnx.Rngs(0)), True),
        (ResConv(Square(6, 6), layers=1, features=4, rngs=nnx.Rngs(0)), False),
        (ResConv(Chain(64), layers=2, features=4, dtype=jnp.float32, rngs=nnx.Rngs(0)), False),
    ):
        space = Spin(model.tokens.n_modes)
        assert (to_ansatz(model, space)[0].updates is not None) == used
