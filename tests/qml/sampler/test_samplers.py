"""Samplers: the law of acceptance, defaults, zeros of the wave function, reproducibility, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from qml._core.errors import ShapeError, SpaceError
from qml.ansatz import to_ansatz
from qml.hilbert import Boson, Constrained, Spin, SpinfulFermion, SpinlessFermion
from qml.sampler import ExactSampler, Exchange, LocalFlip, Metropolis, Restricted, default_sampler
from qml.sampler.kernel import drawn
from tests.qml.sampler.cases import CAVITY, LINE, blockade, single, uneven
from tests.qml.sampler.checks import law_pvalue


def test_acceptance_law():
    """One move of many chains from one configuration is the Metropolis transition matrix, with the share left out."""
    space = Spin(4)
    ansatz, params, law = uneven(space)
    sampler = Metropolis(LocalFlip(), space, chains=20000, sweep=1, burn=0)
    state = sampler.init(ansatz, params, jax.random.key(3))
    start = np.asarray(space.states_to_indices(state.x))
    state, x = sampler.sample(ansatz, params, state, 1)
    end = np.asarray(space.states_to_indices(x[0]))
    for i in range(space.size):
        row = np.zeros(space.size)
        for site in range(4):
            j = i ^ (1 << site)
            row[j] = 0.25 * min(1, law[j] / law[i]) * 4 / 5
        row[i] = 1 - row.sum()
        counts = np.bincount(end[start == i], minlength=space.size)
        assert np.all(counts[row == 0] == 0)
        assert stats.chisquare(counts[row > 0], row[row > 0] * counts.sum()).pvalue > 1e-5
    assert np.sum(end != start) == int(state.accepted.sum()) and int(state.proposed) == 1


@pytest.mark.parametrize("kind", ["threefry2x32", "rbg"])
def test_numbers_and_the_next_key_of_one_call(kind):
    """Numbers are uniform, neighbours and the draws after them do not go together, and no key comes twice."""

    def draw(key, _):
        key, numbers = drawn(key, 100)
        return key, (jax.random.key_data(key), numbers)

    keys, numbers = map(np.asarray, jax.lax.scan(draw, jax.random.key(5, impl=kind), length=1000)[1])
    assert len(np.unique(keys, axis=0)) == 1000 and keys.std() == pytest.approx(2**32 / np.sqrt(12), rel=0.05)
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 1e-3
    for a, b in ((numbers[1:], numbers[:-1]), (numbers[:, 1:], numbers[:, :-1])):
        assert abs(stats.pearsonr(a.ravel(), b.ravel()).statistic) < 4 / np.sqrt(a.size)


def test_no_period():
    """Under a constant wave function every flip is accepted; the chains still forget their parity."""
    space = Spin(4)
    ansatz, params = to_ansatz((jnp.zeros(4), lambda p, x: x @ p), space)
    sampler = default_sampler(space, 4)
    _, x = sampler.sample(ansatz, params, sampler.init(ansatz, params, jax.random.key(0)), 400)
    parity = np.prod(np.asarray(x), axis=-1)
    assert np.all(np.abs(parity.mean(axis=0)) < 0.35)


def test_exact_sampler():
    for space in (Spin(4), Spin(6, magnetisation=1)):
        ansatz, params, law = uneven(space)
        sampler = ExactSampler(space, chains=8)
        state, x = sampler.sample(ansatz, params, sampler.init(ansatz, params, jax.random.key(0)), 2500)
        assert law_pvalue(space, law, x.reshape(-1, space.n_sites)) > 1e-4
        np.testing.assert_allclose(state.log_psi, ansatz.log_psi(params, state.x), atol=1e-14)


@pytest.mark.slow
def test_default_rules():
    """Each kind of space gets moves that fit; a full space stays as it is."""
    for space, rule in (
        (Boson(3, 2), LocalFlip()),
        (CAVITY, Exchange()),
        (Constrained(Spin(4), blockade), Restricted(LocalFlip())),
        (Constrained(Boson(4, 3, n_particles=4), blockade), Restricted(Exchange())),
    ):
        assert default_sampler(space).rule == rule
    for space in (Spin(4, magnetisation=2), SpinlessFermion(3, 0), Boson(3, 2, n_particles=6)):
        x = space.all_states()
        uniforms = jnp.asarray(np.linspace(0, 0.99, 14).reshape(7, 2))
        moved = Exchange().propose(uniforms, jnp.broadcast_to(x, (7, space.n_sites)), space)
        np.testing.assert_array_equal(moved, np.broadcast_to(x, moved.shape))


@pytest.mark.parametrize(
    ("space", "rule"),
    [
        (SpinfulFermion(60, n_up=20, n_down=31), Exchange()),
        pytest.param(Boson(80, 4, n_particles=50), Exchange(), marks=pytest.mark.slow),
        pytest.param(
            Constrained(Spin(40), blockade, totals={tuple(range(40)): -14}),
            Restricted(Exchange(), reaches_all=True),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["fermions", "bosons", "blockade"],
)
def test_long_spaces(space, rule):
    """They are sampled without a list of their configurations."""
    ansatz, params = to_ansatz((jnp.ones(space.n_sites), lambda p, x: 0.1 * (x @ p)), space)
    sampler = Metropolis(rule, space, chains=4, burn=2)
    state, x = sampler.sample(ansatz, params, sampler.init(ansatz, params, jax.random.key(0)), 3)
    assert bool(jnp.all(space.contains(x))) and bool(jnp.all(state.accepted > 0))


def test_pure_and_reproducible():
    """The same state gives the same samples; burning equals sampling longer; log psi belongs to the chains."""
    space = Spin(4)
    ansatz, params, _ = uneven(space)
    sampler = default_sampler(space, 8)
    with jax.debug_key_reuse(False):
        state = sampler.init(ansatz, params, jax.random.key(0))
        first, x = sampler.sample(ansatz, params, state, 7)
        again, y = sampler.sample(ansatz, params, state, 7)
        burnt, z = sampler.sample(ansatz, params, state, 4, 3)
        traced = jax.jit(lambda s, b: sampler.sample(ansatz, params, s, 4, b)[1])(state, 3)
    np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(x[3:], z)
    np.testing.assert_array_equal(z, traced)
    np.testing.assert_array_equal(first.x, x[-1])
    np.testing.assert_allclose(first.log_psi, ansatz.log_psi(params, first.x), atol=1e-13)
    assert int(burnt.proposed) == int(first.proposed) == 28
    assert np.any(np.asarray(first.x) != np.asarray(state.x)) and bool(jnp.all(first.accepted == again.accepted))


def test_chains_leave_zeros_of_the_wave_function():
    """A wave function that is zero on most configurations; chains that start there still reach the rest."""
    space = Spin(6)

    def log_psi(p, x):
        return jnp.where(jnp.sum(x, axis=-1) >= 2, x @ p, -jnp.inf)

    ansatz, params = to_ansatz((0.1 * jnp.ones(6), log_psi), space)
    sampler = default_sampler(space, 64)
    state, x = sampler.sample(ansatz, params, sampler.init(ansatz, params, jax.random.key(0)), 50)
    assert bool(jnp.all(jnp.sum(x.astype(int), axis=-1) >= 2)) and bool(jnp.all(state.acceptance > 0.1))


def test_refusals():
    """A rule that leaves the space, or does not reach all of it, never becomes a sampler."""
    fixed = Spin(4, magnetisation=0)
    with pytest.raises(SpaceError, match="leaves this space"):
        Metropolis(LocalFlip(), fixed)
    with pytest.raises(SpaceError, match="fits only spaces"):
        Metropolis(Exchange(), Spin(4))
    for space in (Boson(4, 2, n_particles=3), SpinlessFermion(4, 2), SpinfulFermion(3, n_up=1), CAVITY):
        with pytest.raises(SpaceError, match="leaves this space"):
            Metropolis(LocalFlip(), space)
    fermions = SpinfulFermion(3, n_up=1, n_down=1)
    for rule, space in (
        (Exchange(((0, 3), (1, 4), (2, 5), (0, 1), (1, 2))), fermions),  # modes, not orbitals
        (Exchange(LINE), SpinfulFermion(3, n_fermions=2)),
        (Exchange(((0, 1), (1, 2), (2, 3))), Constrained(Spin(4), totals={(0, 1): 0})),
    ):
        with pytest.raises(SpaceError, match="do not connect"):
            Metropolis(rule, space)
    for rule in (LocalFlip(), Exchange()):
        space = fermions if isinstance(rule, Exchange) else Spin(4)
        with pytest.raises(SpaceError, match="knows nothing of the predicate"):
            Metropolis(rule, Constrained(space, lambda x: x[..., 0] == 1))
        with pytest.raises(SpaceError, match="no predicate"):
            Metropolis(Restricted(rule), space)
    with pytest.raises(SpaceError, match="do not reach all"):  # two fermions cannot pass each other on a line
        Metropolis(Restricted(Exchange(LINE)), Constrained(fermions, single))
    with pytest.raises(SpaceError, match="too large to check"):
        default_sampler(Constrained(Spin(40), blockade))
    with pytest.raises(SpaceError, match="do not connect"):
        Metropolis(Exchange(((0, 1), (2, 3))), fixed)
    with pytest.raises(SpaceError, match="do not connect"):
        Metropolis(Exchange(((0, 1), (1, 2), (2, 7))), fixed)
    for edges in (((0, 0),), (0, 1), ((0, 1, 2),), ((0.5, 1.0),)):
        with pytest.raises(ShapeError, match="pair of two sites"):
            Exchange(edges)
    for bad in ({"chains": 0}, {"sweep": 0}, {"burn": -1}):
        with pytest.raises(ShapeError, match="has chains"):
            Metropolis(Exchange(), fixed, **bad)
    with pytest.raises(SpaceError, match="too large"):
        ExactSampler(Spin(30))
    with pytest.raises(ShapeError, match="at least one chain"):
        ExactSampler(fixed, chains=0)
    for sampler in (default_sampler(fixed), ExactSampler(fixed)):
        with pytest.raises(SpaceError, match="another space"):
            sampler.check_space(Spin(4))
