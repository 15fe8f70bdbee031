"""Whether moves reach all of a space: on a list of it where that is short, by conserved numbers where it is long."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import SpaceError
from qml._core.types import Array, Int

_LIMIT = 2**25


def check_reach(rule: Any, hilbert: Any) -> None:
    """Raise `SpaceError` where the moves of a rule are found not to reach all of a space.

    All moves are followed on the list of all configurations where there are few. On longer spaces a random sample of
    moves is searched for conserved numbers: a sum, or the parity of a sum, of local states that no move changes and
    that the space leaves free. What has none may still fall into pieces, but that takes unusual moves.

    Raises:
        SpaceError: there are configurations without a path of moves between them.
    """
    if can_list(rule, hilbert):
        pieces = count_pieces(rule, hilbert)
        if pieces > 1:
            _refuse(rule, hilbert, f"{pieces} sets of configurations without a move between them")
        return
    found = _conserved(rule, hilbert)
    if found:
        _refuse(rule, hilbert, f"moves that conserve {found}")


def _refuse(rule: Any, hilbert: Any, got: str) -> None:
    raise SpaceError(
        f"The moves of {' and '.join(rule.names)} do not reach all of this space.",
        got=f"{got}, on {hilbert}",
        expected="a path of moves between any two configurations",
        try_="qml.sampler.Mixture((rule, another)), or ExactSampler(hilbert)",
    )


def can_list(rule: Any, hilbert: Any) -> bool:
    """True where all moves from all configurations are few enough to be listed."""
    values = rule.resolution(hilbert)
    return hilbert.envelope.size <= 2**24 and hilbert.size * int(np.prod(np.array(values, object))) <= _LIMIT


def count_pieces(rule: Any, hilbert: Any) -> int:
    """Number of sets of configurations that the moves do not leave; all moves are met on a grid of uniform numbers."""
    lines = [(np.arange(n) + 0.5) / n for n in rule.resolution(hilbert)]
    grid = np.stack(np.meshgrid(*lines, indexing="ij"), -1).reshape(-1, len(lines))
    size, chunk = hilbert.size, max(1, 2**20 // len(grid))

    @eqx.filter_jit
    def targets(rule: Any, numbers: Array) -> Array:
        x = jnp.repeat(hilbert.indices_to_states(numbers), len(grid), axis=0)
        uniforms = jnp.tile(jnp.asarray(grid), (len(numbers), 1))
        return hilbert.states_to_indices(rule.propose(uniforms, x, hilbert))

    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = [], []
    for start in range(0, size, chunk):
        numbers = np.minimum(np.arange(start, start + chunk), size - 1)
        moves = np.unique(np.repeat(numbers, len(grid)) * size + np.asarray(targets(rule, jnp.asarray(numbers))))
        rows.append(moves // size)
        columns.append(moves % size)
    row, column = np.concatenate(rows), np.concatenate(columns)
    graph = coo_array((np.ones(len(row), np.int8), (row, column)), shape=(size, size))
    return connected_components(graph.tocsr(), directed=True, connection="strong")[0]


def _conserved(rule: Any, hilbert: Any) -> str:
    """What a random sample of moves never changes, in words; empty where nothing is found."""
    free, count = _freedom(hilbert), 64 * hilbert.n_sites
    steps = np.array([abs(s[1] - s[0]) if len(s) > 1 else 1 for s in hilbert.site_states])

    @eqx.filter_jit
    def differences(rule: Any, key: Array) -> Array:
        start, draw = jax.random.split(key)
        x = hilbert.random_state(start, count)
        moved = rule.propose(jax.random.uniform(draw, (count, rule.n_uniforms)), x, hilbert)
        return moved.astype(jnp.int32) - x

    rows = np.zeros((0, hilbert.n_sites), np.int64)
    for key in jax.random.split(jax.random.key(0), 8):
        rows = np.unique(np.concatenate([rows, np.asarray(differences(rule, key)) // steps]), axis=0)
        parity, total = _rank_mod_2(rows % 2), int(np.linalg.matrix_rank(rows.astype(float)))
        if parity >= free:
            return ""
    return "a sum of local states" if total < free else "the parity of a sum of local states"


def _freedom(hilbert: Any) -> int:
    """Number of independent changes of the sites that the fixed totals of a space allow."""
    bound, free = set(), 0
    for part, charge in zip(hilbert.parts, hilbert.charges, strict=True):
        bound |= set(part)
        levels = sum(len(hilbert.site_states[i]) - 1 for i in part)
        movable = sum(len(hilbert.site_states[i]) > 1 for i in part)
        free += movable - 1 if 0 < charge < levels else 0
    return free + sum(len(s) > 1 for i, s in enumerate(hilbert.site_states) if i not in bound)


def _rank_mod_2(rows: Int[np.ndarray, "rows sites"]) -> int:
    """Rank of a matrix of zeros and ones over the numbers 0 and 1."""
    rows, rank = rows.astype(bool), 0
    for column in range(rows.shape[1]):
        candidates = np.flatnonzero(rows[rank:, column])
        if len(candidates):
            pivot = rank + candidates[0]
            rows[[rank, pivot]] = rows[[pivot, rank]]
            others = rows[:, column].copy()
            others[rank] = False
            rows[others] ^= rows[rank]
            rank += 1
            if rank == len(rows):
                break
    return rank
