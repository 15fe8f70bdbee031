"""Samplers: the sampled law by chi-square, detailed balance by enumeration, constraints, reproducibility, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from qml._core.errors import ShapeError, SpaceError
from qml.ansatz import to_ansatz
from qml.hilbert import Boson, Constrained, Product, Spin, SpinfulFermion, SpinlessFermion
from qml.sampler import ExactSampler, Exchange, LocalFlip, Metropolis, Restricted, default_sampler


def blockade(x):
    return ~jnp.any((x[..., 1:] == 1) & (x[..., :-1] == 1), axis=-1)


def single(x):
    n = x.shape[-1] // 2
    return jnp.all(x[..., :n] + x[..., n:] < 2, axis=-1)


RING = ((0, 1), (1, 2), (2, 3), (3, 0))
LINE = ((0, 1), (1, 2))
CAVITY = Constrained(Product(Spin(2), Boson(1, 2), Spin(2, s=1), Boson(1, 1)), totals={(0, 1, 2): 1})
CASES = {
    "flip": (LocalFlip(), Spin(4)),
    "flip spin 1": (LocalFlip(), Spin(3, s=1)),
    "exchange": (Exchange(), Spin(6, magnetisation=0)),
    "exchange on edges": (Exchange(RING), Spin(4, magnetisation=0)),
    "exchange spin 1": (Exchange(), Spin(4, s=1, magnetisation=1)),
    "exchange spin 1 on edges": (Exchange(RING), Spin(4, s=1, magnetisation=0)),
    "flip bosons": (LocalFlip(), Boson(3, 3)),
    "flip a product": (LocalFlip(), Product(Spin(2), Boson(1, 3), SpinlessFermion(1), Spin(1, s=1))),
    "bosons": (Exchange(), Boson(4, 2, n_particles=4)),
    "bosons on edges": (Exchange(RING), Boson(4, 3, n_particles=3)),
    "fermions": (Exchange(), SpinlessFermion(6, n_fermions=2)),
    "fermions with spin": (Exchange(), SpinfulFermion(3, n_up=1, n_down=2)),
    "fermions with spin on edges": (Exchange(LINE), SpinfulFermion(3, n_up=1, n_down=2)),
    "fermions with spin, both": (Exchange(), SpinfulFermion(3, n_fermions=2)),
    "fermions with spin, up": (Exchange(), SpinfulFermion(3, n_up=1)),
    "fermions with spin, up on edges": (Exchange(LINE), SpinfulFermion(3, n_up=1)),
    "sublattices": (Exchange(), Constrained(Spin(6), totals={(0, 2, 4): 0.5, (1, 3, 5): -0.5})),
    "excitations and free sites": (Exchange(), CAVITY),
    "blockade": (Restricted(LocalFlip()), Constrained(Spin(5), blockade)),
    "blocked bosons": (Restricted(Exchange()), Constrained(Boson(4, 3, n_particles=4), blockade)),
    "no double occupation": (Restricted(Exchange()), Constrained(SpinfulFermion(3, n_up=1, n_down=1), single)),
}


def uneven(space):
    """An ansatz with a generic law, and that law in basis order."""
    weights = 0.7 * jax.random.normal(jax.random.key(1), (space.n_sites, space.n_sites))
    top = max(max(abs(d) for d in states) for states in space.site_states)

    def log_psi(p, x):
        return 0.2 * jnp.sum((x @ p) * x, axis=-1) / top + 0.3 * x[:, 0]

    ansatz, params = to_ansatz((weights, log_psi), space)
    law = np.asarray(jax.nn.softmax(2 * ansatz.log_psi(params, space.all_states())))
    return ansatz, params, law


def chi_square(space, law, x):
    counts = np.bincount(np.asarray(space.states_to_indices(x)), minlength=space.size)
    return stats.chisquare(counts, law * len(x)).pvalue


@pytest.mark.parametrize("name", CASES)
def test_law_of_markov_chains(name):
    """Last configurations of many independent chains, so a chi-square test is exact."""
    rule, space = CASES[name]
    ansatz, params, law = uneven(space)
    sampler = Metropolis(rule, space, chains=20000, burn=60 if name == "blockade" else 30)
    state = sampler.init(ansatz, params, jax.random.key(2))
    assert bool(jnp.all(space.contains(state.x)))
    assert chi_square(space, law, state.x) > 1e-4
    assert chi_square(space, 0.8 * law + 0.2 * law[::-1], state.x) < 1e-6


def test_a_biased_sampler_fails():
    """The test above has the power to see a law that is wrong by a few percent."""
    _, _, law = uneven(Spin(4))
    wrong = 0.9 * law + 0.1 * np.roll(law, 1)
    x = Spin(4).indices_to_states(jax.random.categorical(jax.random.key(0), jnp.log(wrong), shape=(20000,)))
    assert chi_square(Spin(4), law, x) < 1e-4


@pytest.mark.parametrize("name", CASES)
def test_detailed_balance_and_reach(name):
    """The proposals, enumerated over a grid of their uniform numbers, have the ratio they say and connect the space."""
    rule, space = CASES[name]
    grid = (np.arange(60) + 0.5) / 60  # resolves every choice among 2, 3, 4, 5, 6 exactly
    uniforms = jnp.asarray(np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2))
    proposal, ratio = np.zeros((space.size, space.size)), np.zeros((space.size, space.size))

    @jax.jit
    def move(x):
        before = jnp.broadcast_to(x, (len(uniforms), space.n_sites))
        moved = rule.propose(uniforms, before, space)
        log_ratio = jnp.broadcast_to(rule.log_ratio(uniforms, before, moved, space), len(uniforms))
        return jnp.all(space.contains(moved)), space.states_to_indices(moved), log_ratio

    for i, x in enumerate(space.all_states()):
        inside, target, log_ratio = map(np.asarray, move(x))
        assert inside
        proposal[i] = np.bincount(target, minlength=space.size) / len(uniforms)
        ratio[i, target] = np.exp(log_ratio)
    off = ~np.eye(space.size, dtype=bool)
    np.testing.assert_allclose((proposal * ratio)[off], proposal.T[off], atol=1e-12)
    symmetric = all(len(s) == 2 for s in space.site_states) or "flip" in name or "edges" in name
    assert np.allclose(proposal, proposal.T) == symmetric
    assert np.all(np.linalg.matrix_power(proposal + np.eye(space.size), space.size) > 0)


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
        assert chi_square(space, law, x.reshape(-1, space.n_sites)) > 1e-4
        np.testing.assert_allclose(state.log_psi, ansatz.log_psi(params, state.x), atol=1e-14)


def test_default_rules():
    """Each kind of space gets moves that fit; a full space stays as it is; long spaces are sampled without a list."""
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
    for space, rule in (
        (SpinfulFermion(60, n_up=20, n_down=31), Exchange()),
        (Boson(80, 4, n_particles=50), Exchange()),
        (Constrained(Spin(40), blockade, totals={tuple(range(40)): -14}), Restricted(Exchange(), reaches_all=True)),
    ):
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
