"""Wrong samplers fail the checks that right ones pass, each with a probability above 99 %."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from qml.hilbert import Boson, Spin
from qml.sampler import Exchange, LocalFlip, Metropolis
from tests.qml.sampler.cases import uneven
from tests.qml.sampler.checks import LEVEL, balanced, enumerate_moves, inspect, irreducible, power
from tests.qml.sampler.wrong import (
    FAULTS,
    Asymmetric,
    Biased,
    Faulty,
    Inverted,
    Leaking,
    NoHastings,
    OffByOne,
    OneWay,
)

SPACE = Spin(4)
WRONG_RULES = {
    "two percent": (Biased(LocalFlip()), SPACE, (60,)),
    "no Hastings factor": (NoHastings(Exchange()), Boson(4, 2, n_particles=3), (60, 60)),
    "Hastings factor upside down": (Inverted(Exchange()), Boson(4, 2, n_particles=3), (60, 60)),
    "off by one": (OffByOne(LocalFlip()), SPACE, (60,)),
    "one way": (OneWay(LocalFlip()), SPACE, (1,)),
    "asymmetric": (Asymmetric(LocalFlip()), SPACE, (60,)),
    "leak": (Leaking(Exchange()), Spin(4, magnetisation=0), (60, 1)),
}


def stationary(matrix):
    """The law that moves lead to."""
    full = matrix + np.diag(1 - matrix.sum(axis=1))
    values, vectors = np.linalg.eig(full.T)
    law = np.abs(vectors[:, np.argmax(values.real)].real)
    return law / law.sum()


@pytest.mark.parametrize("name", WRONG_RULES)
def test_wrong_rules(name):
    """The enumeration sees each of them for sure; chi-square with a million samples all but surely."""
    rule, space, grid = WRONG_RULES[name]
    ansatz, params, law = uneven(space)
    found = enumerate_moves(rule, space, grid, ansatz, params)
    assert not (balanced(found, law) and irreducible(found))
    if name in ("off by one", "leak"):  # no law of their own: pieces, or outside of the space
        assert found.inside == (name == "off by one")
        return
    shift = 1e6 * np.sum((stationary(found.moves) - law) ** 2 / law)
    assert stats.ncx2.sf(stats.chi2.isf(LEVEL, space.size - 1), space.size - 1, shift) > 0.99


@pytest.fixture(scope="module")
def setting():
    return uneven(SPACE)


def test_right_samplers_pass(setting):
    ansatz, params, law = setting
    wide, few = (Metropolis(LocalFlip(), SPACE, chains=n, burn=20) for n in (20000, 16))
    assert inspect(wide, few, ansatz, params, law, jax.random.key(5)).failed == set()


SEEN_BY = {
    "none": None,
    "wrong exponent": "law",
    "accepts and refuses swapped": "law",
    "log psi of refused moves": "stale",
    "square of the random number": "law",
    "stuck chains": "frozen",
    "one dead chain": "frozen",
    "one key for all chains": "together",
    "no thermalisation": "law",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_samplers(fault, setting):
    """The same checks on a loop with a fault; the law and the meeting of chains fail by far."""
    ansatz, params, law = setting
    number = jnp.asarray(FAULTS.index(fault))
    wide, few = (Faulty(SPACE, n, number) for n in (20000, 16))
    seen = inspect(wide, few, ansatz, params, law, jax.random.key(5))
    if fault == "none":
        assert seen.failed == set()
        return
    assert SEEN_BY[fault] in seen.failed
    if "law" in seen.failed:
        assert power(seen.law, SPACE.size) > 0.99
    if SEEN_BY[fault] == "together":
        assert seen.together > 3
