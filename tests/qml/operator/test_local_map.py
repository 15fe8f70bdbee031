"""Products of local matrices with vectors without a list of elements, against dense matrices."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml.hilbert import Boson, Spin
from qml.lattice import Chain
from qml.operator import Heisenberg, LocalOperator
from qml.operator.local_map import DigitMap, RowMap, TableMap

RNG = np.random.default_rng(0)


def scattered(space, sets, kind=float):
    """Random matrices on some sites each, some of their elements zero, and a constant."""
    terms = []
    for sites in sets:
        side = int(np.prod([len(space.site_states[i]) for i in sites]))
        matrix = RNG.normal(size=(side, side)) * (RNG.random((side, side)) < 0.4)
        terms.append((matrix if kind is float else matrix * (1 + 1j), sites, 0.7))
    return LocalOperator.from_terms(terms, space) + 0.3


SETS = ((0,), (2, 0), (1, 2), (3, 1), (3, 1, 0))
MIXED = Boson(2, n_max=1) * Boson(2, n_max=3)  # two and four states on a site
OPERATORS = {
    "spin 1": scattered(Spin(4, 1), SETS),
    "spin 1/2, complex": scattered(Spin(4), SETS, complex),
    "different sites": scattered(MIXED, SETS),
    "one site": scattered(Spin(1, 1.5), ((0,),)),
    "diagonal": LocalOperator.from_terms([(np.diag([1.0, 2.0, 3.0]), (1,), 1.0)], Spin(3, 1)),
    "fixed total": Heisenberg(Spin(5, 1, magnetisation=1), Chain(5)),
}


def dense(operator):
    """The matrix element by element, from the connected states."""
    space = operator.hilbert

    @jax.jit
    def parts(operator, x):
        states, elements = operator.connected(x)
        return elements, operator.diagonal(x), space.contains(states), space.states_to_indices(states)

    elements, diagonal, inside, index = (np.asarray(a) for a in parts(operator, space.all_states()))
    matrix = np.diag(diagonal).astype(elements.dtype)
    index = np.where(inside, index, 0)
    rows = np.broadcast_to(np.arange(space.size)[:, None], index.shape)
    np.add.at(matrix, (rows, index), np.where(inside, elements, 0))
    return matrix


SLOW = ("spin 1", "different sites", "spin 1/2, complex")
NAMES = [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in (*OPERATORS, "made anew")]


@pytest.mark.parametrize("name", NAMES)
def test_products(name, monkeypatch):
    """The kind of product that the space asks for, and what it gives, on real and complex vectors."""
    operator = OPERATORS["fixed total" if name == "made anew" else name]
    if name == "made anew":
        monkeypatch.setattr(sys.modules["qml.operator.local_map"], "_TABLE_BYTES", 0)
        monkeypatch.setattr(sys.modules["qml.operator.local_map"], "_CHUNK", 7)
    found = operator.linear_map()
    assert isinstance(found, {"fixed total": TableMap, "made anew": RowMap}.get(name, DigitMap))
    vector = RNG.normal(size=operator.hilbert.size) + 1j * RNG.normal(size=operator.hilbert.size)
    product = jax.jit(lambda found, vector: found(vector))
    np.testing.assert_allclose(product(found, vector), dense(operator) @ vector, atol=1e-12)
    if operator.dtype == float:
        assert product(found, vector.real).dtype == float


def test_couplings_are_traced():
    """One program for all couplings, with derivatives."""
    z, x = np.diag([1.0, 0.0, -1.0]), np.eye(3)[::-1]
    vector = jnp.asarray(RNG.normal(size=9))

    @jax.jit
    def energy(c):
        operator = LocalOperator.from_terms([(np.kron(z, z), (0, 1), 1.0), (x, (0,), c)], Spin(2, 1))
        return vector @ operator.linear_map()(vector)

    slope = vector @ np.kron(x, np.eye(3)) @ vector
    np.testing.assert_allclose(energy(1.5) - energy(0.5), slope, atol=1e-12)
    np.testing.assert_allclose(jax.grad(energy)(0.3), slope, atol=1e-12)
