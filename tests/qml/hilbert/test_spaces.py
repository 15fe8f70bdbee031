"""Every kind of space against enumeration: order, ranking, membership, random states, bad input."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from qml.hilbert import Boson, SpinfulFermion, SpinlessFermion

CASES = {
    "bosons": (Boson(3, 2), lambda x: True),
    "bosons, number": (Boson(4, 2, n_particles=3), lambda x: sum(x) == 3),
    "bosons, full": (Boson(2, 3, n_particles=6), lambda x: sum(x) == 6),
    "bosons, few": (Boson(3, 5, n_particles=2), lambda x: sum(x) == 2),
    "fermions": (SpinlessFermion(4), lambda x: True),
    "fermions, number": (SpinlessFermion(5, n_fermions=2), lambda x: sum(x) == 2),
    "spinful": (SpinfulFermion(2), lambda x: True),
    "spinful, both": (SpinfulFermion(3, n_up=2, n_down=1), lambda x: (sum(x[:3]), sum(x[3:])) == (2, 1)),
    "spinful, up": (SpinfulFermion(3, n_up=1), lambda x: sum(x[:3]) == 1),
    "spinful, down": (SpinfulFermion(3, n_down=2), lambda x: sum(x[3:]) == 2),
    "spinful, total": (SpinfulFermion(3, n_fermions=2), lambda x: sum(x) == 2),
}
IDS = list(CASES)


def listed(space, allowed):
    """All configurations and all products of local states, by enumeration in Kronecker order."""
    every = np.array(list(itertools.product(*space.site_states)), dtype=np.int8)
    return every[[bool(allowed(tuple(map(int, r)))) for r in every]], every


def check_all(space, allowed):
    """The list is the enumeration, and numbering and membership agree with it."""
    states, every = listed(space, allowed)
    assert space.size == len(states) and space.n_sites == states.shape[1]
    found = space.all_states()
    assert found.dtype == jnp.int8
    np.testing.assert_array_equal(found, states)
    number = np.arange(space.size)
    np.testing.assert_array_equal(space.states_to_indices(found), number)
    np.testing.assert_array_equal(space.indices_to_states(number), states)
    inside = {tuple(r) for r in states.tolist()}
    np.testing.assert_array_equal(space.contains(every), [tuple(r) in inside for r in every.tolist()])
    index = np.asarray(space.states_to_indices(every))
    assert np.all((index >= 0) & (index < space.size))
    assert space.is_constrained == (len(states) < len(every))


@pytest.mark.parametrize("name", IDS)
def test_against_enumeration(name):
    check_all(*CASES[name])
