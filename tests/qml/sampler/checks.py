"""The checks that a sampler has to pass, and that wrong ones must fail."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats
from scipy.sparse.csgraph import connected_components

from qml.estimate.stats import chains_disagree
from qml.sampler.kernel import Network, attempt, log_share


class Enumerated(NamedTuple):
    """What all outcomes of the uniform numbers of a rule do."""

    proposals: np.ndarray  # T[i, j]
    moves: np.ndarray  # P[i, j] without the diagonal
    inside: bool


def enumerate_moves(rule, space, grid, ansatz, params, exponent=2.0) -> Enumerated:
    """Transition matrices of one move as the sampler makes it, from every outcome of the rule's uniform numbers."""
    lines = [(np.arange(n) + 0.5) / n for n in grid]
    uniforms = np.stack(np.meshgrid(*lines, indexing="ij"), -1).reshape(-1, len(lines))
    wave = Network(ansatz, params)

    @jax.jit
    def outcomes(uniforms, states):
        def one(x):
            before = jnp.broadcast_to(x, (len(uniforms), space.n_sites))
            log_psi = ansatz.log_psi(params, before)
            move = attempt(rule, space, wave, exponent, before, log_psi, None, uniforms)
            accepted = jnp.exp(jnp.minimum(move.log_ratio, 0) + log_share(space))
            target = space.states_to_indices(move.proposal)
            return target, accepted, move.moves, jnp.all(space.contains(move.proposal))

        return jax.lax.map(one, states)

    target, accepted, moves, inside = map(np.asarray, outcomes(jnp.asarray(uniforms), space.all_states()))
    start = np.broadcast_to(np.arange(space.size)[:, None], target.shape)
    assert not np.all(inside) or np.array_equal(moves, target != start)
    proposals, matrix = np.zeros((2, space.size, space.size))
    np.add.at(proposals, (start, target), 1 / len(uniforms))
    np.add.at(matrix, (start, target), accepted / len(uniforms))
    np.fill_diagonal(matrix, 0)
    return Enumerated(proposals, matrix, bool(np.all(inside)))


def balanced(found: Enumerated, law, tolerance=1e-12) -> bool:
    """pi_i P_ij = pi_j P_ji, probabilities in range, and nothing outside of the space."""
    flow = law[:, None] * found.moves
    return (
        found.inside and bool(np.all(found.moves.sum(axis=1) <= 1 + 1e-12)) and np.abs(flow - flow.T).max() < tolerance
    )


def irreducible(found: Enumerated) -> bool:
    """A path of moves between any two configurations."""
    return connected_components(found.moves > 0, directed=True, connection="strong")[0] == 1


def law_pvalue(space, law, x) -> float:
    """Chi-square of independent configurations `[samples, sites]`; zero if one is outside of the space."""
    if not bool(jnp.all(space.contains(x))):
        return 0.0
    counts = np.bincount(np.asarray(space.states_to_indices(x)), minlength=space.size)
    return float(stats.chisquare(counts, law * len(x)).pvalue)


def holm(pvalues: dict, level=1e-3) -> list:
    """Names of the cases that fail at a family level, by Holm's method."""
    failed = []
    for rank, (name, p) in enumerate(sorted(pvalues.items(), key=lambda item: item[1])):
        if p > level / (len(pvalues) - rank):
            break
        failed.append(name)
    return failed


class Verdict(NamedTuple):
    """What the checks of a running sampler say; each is by how much it fails in units of its limit: above 1 it does."""

    outside: float
    law: float
    together: float
    stale: float
    frozen: float
    unmixed: float

    @property
    def failed(self) -> set:
        return {name for name, value in self._asdict().items() if not value <= 1}


LEVEL = 1e-4  # of each check on numbers that scatter


def inspect(wide, few, ansatz, params, law, key) -> Verdict:
    """Check many chains once and some chains for long.

    Args:
        wide: the sampler with so many chains that their last configurations tell the law.
        few: the same with a few chains.
        ansatz: the wave function.
        params: its parameters.
        law: the probabilities of the configurations.
        key: random key.
    """
    space, keys = wide.hilbert, jax.random.split(key)
    state, x = wide.sample(ansatz, params, wide.init(ansatz, params, keys[0]), 1)
    x, inside = np.asarray(x[-1]), bool(jnp.all(space.contains(x)))
    stale = float(jnp.max(jnp.abs(state.log_psi - ansatz.log_psi(params, state.x))) / 1e-9)
    where = np.asarray(space.states_to_indices(x))
    counts, expected = np.bincount(where, minlength=space.size), law * len(x)
    chi2 = np.sum((counts - expected) ** 2 / expected)
    pairs, meet = len(x) // 2, np.sum(law**2)
    z = (np.mean(where[: 2 * pairs : 2] == where[1 : 2 * pairs : 2]) - meet) / np.sqrt(meet * (1 - meet) / pairs)
    state, x = few.sample(ansatz, params, few.init(ansatz, params, keys[1]), 200)
    rows = ansatz.log_psi(params, x.reshape(-1, space.n_sites)).real.reshape(x.shape[:2])
    return Verdict(
        outside=float(not inside) * 2,
        law=chi2 / stats.chi2.isf(LEVEL, space.size - 1),
        together=abs(z) / stats.norm.isf(LEVEL / 2),
        stale=stale,
        frozen=2 * float(jnp.any(state.frozen)),
        unmixed=2 * float(chains_disagree(rows)),
    )


def power(chi2_over_limit: float, size: int) -> float:
    """Chance that a chi-square test fails again, from a statistic that is three deviations less than the one seen."""
    limit, dof = stats.chi2.isf(LEVEL, size - 1), size - 1
    excess = max(chi2_over_limit * limit - dof, 0)
    return float(stats.ncx2.sf(limit, dof, max(excess - 3 * np.sqrt(2 * (dof + 2 * excess)), 1e-9)))
