"""Operators on spaces of fixed magnetisation: exact checks, restriction, traces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qml._core.errors import SpaceError
from qml.hilbert import Spin
from qml.lattice import Chain, Square
from qml.operator import J1J2, XXZ, Heisenberg, Ising, PauliSum, local, total
from tests.qml.operator.kron import dense


def restricted(operator: PauliSum, space: Spin) -> tuple[np.ndarray, float]:
    """The block of a space, and the largest element that leads out of it."""
    index = np.asarray(operator.hilbert.states_to_indices(space.all_states()))
    matrix = dense(operator.terms)
    outside = np.delete(matrix[:, index], index, axis=0)
    return matrix[np.ix_(index, index)], float(np.max(np.abs(outside), initial=0))


@pytest.mark.parametrize("magnetisation", [0, -2, *(pytest.param(m, marks=pytest.mark.slow) for m in (1, 3))])
def test_block_of_the_full_matrix(magnetisation):
    """In a constrained space every form of the operator is the block of the full matrix."""
    space, lattice = Spin(6, magnetisation=magnetisation), Square(3, 2, periodic=(True, False))
    full = J1J2(Spin(6), lattice, j1=1.0, j2=0.4) + 0.3 * local(Spin(6), "Z", 1)
    operator = J1J2(space, lattice, j1=1.0, j2=0.4) + 0.3 * local(space, "Z", 1)
    block, outside = restricted(full, space)
    assert outside < 1e-14
    vector = np.random.default_rng(0).normal(size=space.size)
    for form in (operator, full.on(space)):
        np.testing.assert_allclose(form.to_dense(), block, atol=1e-14)
        np.testing.assert_allclose(form.to_sparse().toarray(), block, atol=1e-14)
        np.testing.assert_allclose(form.apply(vector), block @ vector, atol=1e-13)
        np.testing.assert_allclose(form.trace(), np.trace(block), atol=1e-12)
    np.testing.assert_allclose((operator @ operator).apply(vector), block @ block @ vector, atol=1e-12)
    np.testing.assert_allclose((operator @ operator).trace(), np.trace(block @ block), atol=1e-11)


def test_partners_without_table(monkeypatch):
    """Partners worked out on the fly give the same product as the stored table."""
    from qml.operator import matvec

    operator = Heisenberg(Spin(8, magnetisation=1), Chain(8))
    vector = jnp.asarray(np.random.default_rng(0).normal(size=56))
    stored = operator.linear_map()
    monkeypatch.setattr(matvec, "_TABLE_BYTES", 0)
    computed = operator.linear_map()
    assert stored.stored and not computed.stored
    np.testing.assert_allclose(stored(vector), computed(vector), atol=1e-14)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data())
def test_check_is_exact(data):
    """The check refuses exactly the sums with an element that leads out of the space."""
    n = data.draw(st.integers(2, 4))
    space = Spin(n, magnetisation=n / 2 - data.draw(st.integers(0, n)))
    i, j = data.draw(st.permutations(range(n)))[:2]
    a, b = data.draw(st.sampled_from([(1, 1), (1, -1), (1, 0), (0, 0), (2, 2)]))
    terms = [("XX", (i, j), a), ("YY", (i, j), b)]
    if data.draw(st.booleans()):
        terms += [("XY", (i, j), 0.5), ("YX", (i, j), -0.5 if data.draw(st.booleans()) else 0.5)]
    if data.draw(st.booleans()):
        terms.append(("X" * n, range(n), 1.0))
    if data.draw(st.booleans()):
        terms.append(("Z", (j,), 0.7))
    operator = PauliSum.from_terms(terms, Spin(n))
    _, outside = restricted(operator, space)
    if outside > 1e-12:
        with pytest.raises(SpaceError, match="leaves"):
            operator.check_space(space)
    else:
        assert operator.on(space).hilbert == space


def test_spin_flip_stays_at_zero_magnetisation():
    """The product of all X maps magnetisation 0 to itself, though it does not commute with the total Z."""
    flip = PauliSum({"XXXX": 1.0}, Spin(4, magnetisation=0))
    np.testing.assert_array_equal(flip.to_dense(), np.fliplr(np.eye(6)))
    with pytest.raises(SpaceError):
        PauliSum({"XXXX": 1.0}, Spin(4, magnetisation=1))


def test_names_of_the_leaving_terms():
    """The error names the terms that leave, and only these."""
    with pytest.raises(SpaceError, match=r"'X2'") as error:
        PauliSum.from_terms([("XX", (0, 1), 1.0), ("YY", (0, 1), 1.0), ("X", (2,), 0.1)], Spin(4, magnetisation=0))
    assert "X0 X1" not in str(error.value)
    with pytest.raises(SpaceError, match="'X0 X1', 'Y0 Y1'"):
        PauliSum.from_terms([("XX", (0, 1), 1.0), ("YY", (0, 1), 0.9)], Spin(4, magnetisation=0))


def test_models_on_constrained_spaces():
    """A transverse field is refused at construction, concrete or traced; without it the Ising model is diagonal."""
    space, chain = Spin(4, magnetisation=0), Chain(4)
    with pytest.raises(SpaceError, match="X0"):
        Ising(space, chain, j=1.0, h=0.5)
    with pytest.raises(SpaceError, match="X0"):
        jax.jit(lambda h: Ising(space, chain, j=1.0, h=h).apply(jnp.ones(6)))(0.5)
    with pytest.raises(SpaceError):
        total(space, "X")
    assert Ising(space, chain, j=1.0, h=0.0).connected(np.ones(4, np.int8))[0].shape == (0, 4)
    for operator in (Heisenberg(space, chain), XXZ(space, chain, j=1.0, delta=0.2), total(space, "Z")):
        operator.check_space(space)
        operator.check_space(Spin(4, magnetisation=1))


def test_traced_coefficients():
    """Inside jit a checked operator may be scaled and used; a sum nobody can check is refused."""
    space = Spin(4, magnetisation=0)
    heisenberg = Heisenberg(space, Chain(4))
    vector = jnp.arange(6.0)

    @jax.jit
    def scaled(c):
        operator = c * heisenberg
        operator.check_space(space)
        return operator.apply(vector)

    np.testing.assert_allclose(scaled(2.0), 2 * heisenberg.apply(vector), atol=1e-14)
    with pytest.raises(SpaceError, match="traced"):
        jax.jit(lambda c: PauliSum.from_terms([("XX", (0, 1), c), ("YY", (0, 1), c)], space).apply(vector))(1.0)


def test_bad_spaces():
    """Other numbers of sites, and spins that are not 1/2."""
    operator = Heisenberg(Spin(4), Chain(4))
    with pytest.raises(SpaceError):
        operator.check_space(Spin(5))
    with pytest.raises(SpaceError):
        operator.check_space(Spin(4, s=1))
