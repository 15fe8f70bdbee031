"""Spin spaces: order, ranking, uniform random states, membership, bad input."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qml._core.errors import ShapeError, SpaceError
from qml.hilbert import AbstractHilbert, Spin
from tests.helpers.compiled import Counted

SPACES = [
    Spin(5),
    Spin(6, magnetisation=0),
    Spin(5, magnetisation=-1.5),
    Spin(4, magnetisation=2),
    Spin(3, s=1),
    Spin(4, s=1, magnetisation=-1),
    Spin(3, s=1.5, magnetisation=0.5),
    Spin(1),
    Spin(1, s=2, magnetisation=2),
]


def listed(space: Spin) -> np.ndarray:
    """All configurations by enumeration in Kronecker order."""
    rows = itertools.product(space.local_states, repeat=space.n_sites)
    return np.array(
        [r for r in rows if space.magnetisation is None or sum(r) == 2 * space.magnetisation], dtype=np.int8
    )


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_order_ranking_and_membership(space):
    """The list is the enumeration, and both directions of the numbering agree with it, jitted and vmapped."""
    states = space.all_states()
    assert states.dtype == jnp.int8
    assert space.size == len(listed(space))
    np.testing.assert_array_equal(states, listed(space))
    number = np.arange(space.size)
    np.testing.assert_array_equal(space.states_to_indices(states), number)
    np.testing.assert_array_equal(jax.jit(jax.vmap(space.states_to_indices))(states), number)
    np.testing.assert_array_equal(jax.jit(jax.vmap(space.indices_to_states))(number), listed(space))
    every = np.array(list(itertools.product(space.local_states, repeat=space.n_sites)), dtype=np.int8)
    inside = {tuple(r) for r in listed(space).tolist()}
    np.testing.assert_array_equal(space.contains(every), [tuple(r) in inside for r in every.tolist()])
    index = np.asarray(space.states_to_indices(every))
    assert np.all((index >= 0) & (index < space.size))


def test_index_is_binary_number():
    """Spin-1/2 index: sum of b_i 2^(n-1-i) with b = (1 - x) / 2, all up first."""
    space = Spin(7)
    x = np.asarray(space.random_state(jax.random.key(0), 50))
    bits = (1 - x.astype(int)) // 2
    np.testing.assert_array_equal(space.states_to_indices(x), bits @ 2 ** np.arange(6, -1, -1))


@pytest.mark.slow
@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(2, 60), st.data())
def test_ranking_of_large_spaces(n, data):
    """Ranking and unranking agree with exact binomials at sizes far beyond enumeration."""
    down = data.draw(st.integers(0, n))
    space = Spin(n, magnetisation=(n - 2 * down) / 2)
    assert space.size == math.comb(n, down)
    rank = data.draw(st.integers(0, space.size - 1))
    x = np.asarray(space.indices_to_states(rank))
    assert x in space
    positions = np.flatnonzero(x < 0)
    assert sum(math.comb(n - 1 - int(p), down - i) for i, p in enumerate(positions)) == rank
    assert int(space.states_to_indices(x)) == rank


@pytest.mark.parametrize("space", [s for s in SPACES if s.size > 2], ids=str)
def test_random_states_are_uniform(space):
    """Chi-square of the drawn indices against the uniform law, within 4.5 sigma."""
    draws = 20000
    x = space.random_state(jax.random.key(7), draws)
    assert x.shape == (draws, space.n_sites) and bool(jnp.all(space.contains(x)))
    counts = np.bincount(np.asarray(space.states_to_indices(x)), minlength=space.size)
    chi2 = np.sum((counts - draws / space.size) ** 2) / (draws / space.size)
    freedom = space.size - 1
    assert abs(chi2 - freedom) < 4.5 * np.sqrt(2 * freedom)


def test_random_states_of_many_sites():
    """Hundreds of sites: in the space, right shapes, every site up half of the time."""
    space = Spin(300, magnetisation=0)
    x = space.random_state(jax.random.key(1), (40, 50))
    assert x.shape == (40, 50, 300) and bool(jnp.all(space.contains(x)))
    assert abs(float(jnp.mean(x[..., 17].astype(float)))) < 4.5 / np.sqrt(2000)
    assert abs(float(jnp.mean(x[..., 299].astype(float)))) < 4.5 / np.sqrt(2000)
    assert space.size == math.comb(300, 150)
    assert Spin(300).random_state(jax.random.key(1)).shape == (300,)


def test_membership_of_one():
    """`in` takes one configuration of any kind of sequence."""
    space = Spin(4, magnetisation=0)
    assert [1, -1, 1, -1] in space
    assert [1, 1, 1, -1] not in space
    assert [1, 0, 0, -1] not in space
    assert [1, -1] not in space
    assert [[1, -1, 1, -1]] not in space
    assert [2, 0, -2] in Spin(3, s=1)
    assert [1, 0, -2] not in Spin(3, s=1)


def test_descriptor():
    """Spaces are hashable values, equal by content, and the interface cannot be instantiated."""
    assert Spin(4, magnetisation=1) == Spin(4, 0.5, 1.0) and hash(Spin(4, magnetisation=1)) == hash(Spin(4, 0.5, 1.0))
    assert Spin(4) != Spin(4, magnetisation=0)
    assert Spin(4).local_states == (1, -1) and Spin(4, s=1).local_states == (2, 0, -2)
    assert Spin(2, s=1.5).local_states == (3, 1, -1, -3)
    assert not Spin(4).is_constrained and Spin(4, magnetisation=0).is_constrained
    with pytest.raises(TypeError):
        AbstractHilbert()


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_sites": 0},
        {"n_sites": 4, "s": 0.3},
        {"n_sites": 4, "s": 0},
        {"n_sites": 4, "magnetisation": 0.5},
        {"n_sites": 3, "magnetisation": 0},
        {"n_sites": 3, "magnetisation": 2.5},
        {"n_sites": 3, "s": 1, "magnetisation": 0.5},
        {"n_sites": 2, "s": 1, "magnetisation": -3},
    ],
)
def test_bad_spaces(arguments):
    """Impossible spins and magnetisations are refused with the four parts."""
    with pytest.raises(SpaceError, match=r"got:(.|\n)*expected:(.|\n)*try:"):
        Spin(**arguments)


def test_bad_use():
    """Wrong shapes, and numbering of spaces beyond integers."""
    with pytest.raises(ShapeError):
        Spin(4).states_to_indices(np.ones(3, np.int8))
    with pytest.raises(ShapeError):
        Spin(4).contains(np.ones((2, 5), np.int8))
    with pytest.raises(SpaceError):
        Spin(64).states_to_indices(np.ones(64, np.int8))
    with pytest.raises(SpaceError):
        Spin(100, magnetisation=0).indices_to_states(0)
    with pytest.raises(SpaceError):
        Spin(33).all_states()


def test_no_recompilation():
    """A second call with other numbers compiles nothing."""
    space = Spin(10, magnetisation=0)
    rank = Counted(space.states_to_indices)
    for seed in range(3):
        rank(space.random_state(jax.random.key(seed), 5))
    assert rank.traces == 1
