"""Detailed balance and irreducibility of every rule, by enumeration of all outcomes of its uniform numbers."""

import numpy as np
import pytest

from tests.qml.sampler.cases import CASES, uneven
from tests.qml.sampler.checks import balanced, enumerate_moves, irreducible

LONG = {  # of the same kind as others, on another space or on edges
    "flip spin 1",
    "flip bosons",
    "exchange spin 1",
    "exchange spin 1 on edges",
    "bosons on edges",
    "fermions",
    "fermions with spin on edges",
    "fermions with spin, both",
    "fermions with spin, up",
    "fermions with spin, up on edges",
    "no double occupation",
    "moves of heisenberg",
    "moves of bosons",
    "two exchanges",
    "holes",
    "blocked bosons",
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in CASES])
def test_detailed_balance(name):
    rule, space, grid = CASES[name]
    assert space.size <= 64
    rule.check_space(space)
    ansatz, params, law = uneven(space)
    exponent = 1.3 if "moves" in name else 2.0
    found = enumerate_moves(rule, space, grid, ansatz, params, exponent)
    target = law ** (exponent / 2)
    assert balanced(found, target / target.sum())
    assert irreducible(found)
    np.testing.assert_allclose(found.proposals.sum(axis=1), 1, atol=1e-12)
    assert not balanced(found, np.roll(law, 1))
