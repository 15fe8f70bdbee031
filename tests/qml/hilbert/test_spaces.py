"""Every kind of space against enumeration: order, ranking, membership, random states, bad input."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from qml.hilbert import Boson, Constrained, Product, Spin, SpinfulFermion, SpinlessFermion


def blockade(x):
    return ~jnp.any((x[..., 1:] == 1) & (x[..., :-1] == 1), axis=-1)


def apart(x):
    """The same, for one configuration in Python."""
    return not any(a == b == 1 for a, b in itertools.pairwise(x))


def single(x):
    n = x.shape[-1] // 2
    return jnp.all(x[..., :n] + x[..., n:] < 2, axis=-1)


BLOCKED = Constrained(Spin(3), blockade)
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
    "product": (Spin(2) * Boson(2, 2, n_particles=2), lambda x: sum(x[2:]) == 2),
    "product of three": (Product(Boson(1, 3), Spin(2, s=1), SpinlessFermion(2, 1)), lambda x: sum(x[3:]) == 1),
    "product with predicate": (BLOCKED * Spin(2, magnetisation=0), lambda x: apart(x[:3]) and sum(x[3:]) == 0),
    "sublattices": (
        Constrained(Spin(6), totals={(0, 2, 5): 0.5, (1, 3): -1}),
        lambda x: x[0] + x[2] + x[5] == 1 and x[1] + x[3] == -2,
    ),
    "three interleaved parts": (
        Constrained(Boson(6, 2), totals=(((0, 3), 2), ((5, 1), 1), ((2, 4), 3))),
        lambda x: x[0] + x[3] == 2 and x[1] + x[5] == 1 and x[2] + x[4] == 3,
    ),
    "part of a total": (
        Constrained(Spin(6, magnetisation=0), totals={(0, 1, 4): 0.5}),
        lambda x: sum(x) == 0 and x[0] + x[1] + x[4] == 1,
    ),
    "excitations of spins and a cavity": (
        Constrained(Product(Spin(2), Boson(1, 4), Spin(1, s=1)), totals={(0, 1, 2, 3): 1}),
        lambda x: (x[0] + x[1] + x[3]) / 2 + x[2] == 1,
    ),
    "blockade": (Constrained(Spin(6), blockade), apart),
    "blockade in a part": (
        Constrained(Boson(6, 2, n_particles=4), blockade, totals={(0, 1, 2): 2}),
        lambda x: apart(x) and sum(x[:3]) == 2 and sum(x) == 4,
    ),
    "no double occupation": (
        Constrained(SpinfulFermion(4, n_up=2, n_down=1), single),
        lambda x: sum(x[:4]) == 2 and sum(x[4:]) == 1 and all(x[i] + x[i + 4] < 2 for i in range(4)),
    ),
    "two predicates": (
        Constrained(Constrained(Spin(5), blockade), lambda x: x[..., 0] == 1),
        lambda x: apart(x) and x[0] == 1,
    ),
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
