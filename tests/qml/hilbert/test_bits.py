"""Words of bits: packing, and both directions of the numbering, against the numbering of configurations."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml._core.errors import SpaceError
from qml.hilbert import Boson, Constrained, Product, Spin, SpinfulFermion, SpinlessFermion

SPACES = [
    Spin(5),
    Spin(1, magnetisation=0.5),
    Spin(7, magnetisation=-0.5),
    SpinlessFermion(8, n_fermions=3),
    SpinfulFermion(4, n_up=3, n_down=1),
    SpinfulFermion(3, n_down=1),
    SpinfulFermion(4, n_fermions=3),
    Constrained(Spin(7), totals={(0, 2, 4, 6): 1, (1, 3): 0}),
    Constrained(Product(Spin(3), Boson(4, 1)), totals={(0, 1, 2, 4, 5): 1.5}),
    Constrained(Spin(8, magnetisation=0), lambda x: x[..., 0] == x[..., -1]),
]


@eqx.filter_jit
def numbered(bits, states):
    """Words of all configurations, the list of words, and both directions of the numbering, from one program."""
    words = bits.pack(states)
    back = bits.indices_to_bits(jnp.arange(len(states)))
    return words, bits.all_bits(), bits.unpack(words), bits.bits_to_indices(words), back


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_numbering_of_words(space):
    bits, states = space.bits, space.all_states()
    words, every, unpacked, numbers, back = numbered(bits, states)
    assert words.dtype == bits.dtype == np.uint32 and bits.n_bits == space.n_sites
    assert np.all(np.diff(np.asarray(words).astype(int)) > 0)
    np.testing.assert_array_equal(words, every)
    np.testing.assert_array_equal(unpacked, states)
    np.testing.assert_array_equal(numbers, np.arange(space.size))
    np.testing.assert_array_equal(back, words)
    assert unpacked.dtype == jnp.int8 and numbers.dtype == jnp.int64


def test_a_word_is_its_index():
    """Without a constraint nothing is looked up."""
    words = jnp.arange(32, dtype=jnp.uint32)
    np.testing.assert_array_equal(Spin(5).bits.bits_to_indices(words), Spin(5).states_to_indices(Spin(5).all_states()))
    assert jax.tree.leaves(Spin(5).bits) == []


@pytest.mark.parametrize(
    "space", [SpinlessFermion(36, 18), Spin(33), SpinlessFermion(60, 3), Spin(62, magnetisation=0)]
)
def test_long_words(space):
    """Tables of half words up to 40 sites, formulas beyond; indices above 2^31."""
    bits = space.bits
    assert bits.dtype == np.uint64
    index = np.unique(np.random.default_rng(0).integers(0, space.size, 200))
    words = eqx.filter_jit(lambda bits, index: bits.indices_to_bits(index))(bits, index)
    numbers, states = eqx.filter_jit(lambda bits, words: (bits.bits_to_indices(words), bits.unpack(words)))(bits, words)
    np.testing.assert_array_equal(numbers, index)
    np.testing.assert_array_equal(states, space.indices_to_states(index))
    assert space.size in (2**33, math.comb(36, 18), math.comb(60, 3), math.comb(62, 31))


def test_refusals():
    for space in (Spin(63), Spin(3, s=1), Boson(3, 2), Product(Spin(2), Boson(1, 2))):
        with pytest.raises(SpaceError, match="no words of bits"):
            _ = space.bits
    with pytest.raises(SpaceError, match="too large to try"):
        _ = Constrained(Spin(40), lambda x: x[..., 0] == 1).bits
