"""Local values of all products of two one-site operators, one network call for each configuration they reach."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.chunk import map_chunks
from qml._core.types import Array, Inexact, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.plan import rows_at_once, rows_that_suit
from qml.estimate.site import Products, real_if_real
from qml.hilbert import AbstractHilbert

_FEWEST = 64  # rows of a bucket that are worth a call
_BUCKETS = 16  # of the list of all moves, at least, so that the last one, which is not full, is a small part of it


class PairValues(NamedTuple):
    r"""Local values at each sample: of $A_i B_j$ (or of a weighted sum over i and j), of $A_i$ and of $B_j$."""

    pairs: Inexact[Array, "samples ..."]
    left: Inexact[Array, "samples products places"]
    right: Inexact[Array, "samples products places"]


class _Moves(NamedTuple):
    r"""Moves of one and of two sites that some element needs, and the tables of elements; constants of a program.

    A move takes the local state a to (a + shift) modulo d. `upper[p]`: elements `[a_i, a_j]` of
    $A_i B_j$, $i < j$, for the p-th pair of shifts; `lower[p]`: those of $A_j B_i$.
    """

    first: np.ndarray
    second: np.ndarray
    shifts: tuple[tuple[int, int], ...]
    upper: np.ndarray
    lower: np.ndarray
    same: np.ndarray
    left: np.ndarray
    right: np.ndarray
    singles: tuple[int, ...]


def pair_values(
    ansatz: Ansatz,
    params: Params,
    hilbert: AbstractHilbert,
    x: Any,
    log_psi: Any,
    products: Products,
    *,
    weights: Any = None,
    means: bool = False,
    chunk: int | None = None,
) -> PairValues:
    r"""Local values of $\sum_p A^p_i B^p_j$ for all i and j.

    A move of two sites is evaluated once for both orders of the pair and for all products, a move of one site once for
    all pairs; moves with a zero element, or out of the space, are not evaluated.

    Args:
        ansatz: the wave function.
        params: its parameters.
        hilbert: its space.
        x: configurations `[samples, sites]`.
        log_psi: log psi of `x`.
        products: the operators.
        weights: $w^{qa}_i$ as `[combinations, parts, places]`; the values are then
            $\sum_{ij} \bar w^{qa}_i w^{qb}_j A_i B_j$, `[samples, combinations, parts, parts]`.
        means: local values of $A_i$ and $B_j$ too; zero if not.
        chunk: rows held at once.
    """
    return _pair_values(ansatz, params, hilbert, products, chunk, means, x, log_psi, weights)


@jax.jit(static_argnums=(0, 2, 3, 4, 5))
def _pair_values(
    ansatz: Ansatz,
    params: Params,
    hilbert: AbstractHilbert,
    products: Products,
    chunk: int | None,
    means: bool,
    x: Array,
    log_psi: Array,
    weights: Any,
) -> PairValues:
    moves = _moves(products, means and not products.odd)  # odd fermion operators have no mean
    levels = np.array(hilbert.site_states[products.sites[0]], np.int8)

    def rows(x: Array, log_psi: Array) -> PairValues:
        digits = jnp.argmax(x[:, list(products.sites), None] == levels[None, None, :], axis=-1)
        one, two = _ratios(ansatz, params, hilbert, products, moves, x, digits, log_psi, chunk)
        return _assemble(products, moves, digits, _signs(hilbert, products, moves, x), one, two, weights)

    return map_chunks(rows, x, log_psi, chunk=rows_at_once(rows, x, log_psi, chunk=chunk))


def _moves(products: Products, means: bool) -> _Moves:
    left, right = np.array(products.left), np.array(products.right)
    d, n = left.shape[1], len(products.sites)
    parity = np.diag((-1.0) ** np.arange(d)) if products.odd else np.eye(d)

    def shifted(matrices: np.ndarray) -> np.ndarray:
        """`[products, shift, a]`: element from a to a + shift."""
        a = np.arange(d)
        return np.stack([matrices[:, a, (a + s) % d] for s in range(d)], axis=1)

    # odd operators: A_i B_j = (A P)_i strings B_j and A_j B_i = (P B)_i strings A_j for i < j
    a, b = shifted(left @ parity), shifted(right)
    c, e = shifted(parity @ right), shifted(left)
    upper = np.einsum("psa,ptb->stab", a, b)
    lower = np.einsum("psa,ptb->stab", c, e)
    scale = 1e-14 * max(1e-300, np.abs(upper).max(), np.abs(lower).max())
    upper, lower = (np.where(np.abs(m) > scale, m, 0) for m in (upper, lower))
    shifts = [(s, t) for s in range(d) for t in range(d) if np.any(upper[s, t]) or np.any(lower[s, t])]
    same = shifted(left @ right).sum(axis=0)
    alone = [s for s in range(1, d) if np.any(same[s]) or (means and np.any(e[:, s])) or (means and np.any(b[:, s]))]
    singles = sorted({*alone, *(s for s, t in shifts if s and not t), *(t for s, t in shifts if t and not s)})
    first, second = np.triu_indices(n, 1)
    same, e, b = (real_if_real(m) for m in (same, e, b))
    up, low = (real_if_real(np.array([m[s, t] for s, t in shifts]).reshape(-1, d, d)) for m in (upper, lower))
    return _Moves(first, second, tuple(shifts), up, low, same, e, b, tuple(singles))


def _ratios(
    ansatz: Ansatz,
    params: Params,
    hilbert: AbstractHilbert,
    products: Products,
    moves: _Moves,
    x: Array,
    digits: Array,
    log_psi: Array,
    chunk: int | None,
) -> tuple[dict, dict]:
    """psi(x') / psi(x) of the moves that elements need: `{shift: [samples, sites]}`, `{shifts: [samples, pairs]}`."""
    d, n = moves.same.shape[1], digits.shape[1]
    site = np.arange(n)
    kinds = [(site, site, s, s) for s in moves.singles]
    double = [(k, s, t) for k, (s, t) in enumerate(moves.shifts) if s and t]
    kinds += [(moves.first, moves.second, s, t) for _, s, t in double]
    needed = [_needed_alone(moves, s)[digits] for s in moves.singles]
    for k, _, _ in double:
        table = (moves.upper[k] != 0) | (moves.lower[k] != 0)
        needed.append(jnp.asarray(table)[digits[:, moves.first], digits[:, moves.second]])
    if not kinds or not sum(len(kind[0]) for kind in kinds):
        return {}, {}
    i, j = (np.concatenate([kind[side] for kind in kinds]) for side in (0, 1))
    s, t = (np.concatenate([np.full(len(kind[0]), kind[side]) for kind in kinds]) for side in (2, 3))
    levels = np.array(hilbert.site_states[products.sites[0]], np.int8)
    target = np.array(products.sites)

    def moved(row: Array, move: Array) -> Array:
        """Configurations after moves of rows, `[slots, sites]`."""
        new = x[row]
        for place, shift in ((i, s), (j, t)):
            at = jnp.asarray(place)[move]
            value = jnp.asarray(levels)[(digits[row, at] + jnp.asarray(shift)[move]) % d]
            here = jnp.asarray(target)[at][:, None] == jnp.arange(x.shape[1])[None, :]
            new = jnp.where(here, value[:, None], new)
        return new

    present = jnp.concatenate(needed, axis=1) & _inside(hilbert, products, digits, (i, j, s, t), moved)
    new = log_psi_where(ansatz, params, moved, present, chunk)
    ratio = jnp.where(present, jnp.exp(new - log_psi[:, None]), 0)
    pieces = jnp.split(ratio, np.cumsum([len(kind[0]) for kind in kinds])[:-1], axis=1)
    one = dict(zip(moves.singles, pieces))
    return one, {(s, t): r for (_, s, t), r in zip(double, pieces[len(moves.singles) :])}


def _needed_alone(moves: _Moves, shift: int) -> Array:
    """For each local state, whether some element needs the move of one site by a shift."""
    table = (moves.same[shift] != 0) | np.any(moves.left[:, shift] != 0, axis=0) | np.any(moves.right[:, shift] != 0, 0)
    return jnp.asarray(table)


def _inside(hilbert: AbstractHilbert, products: Products, digits: Array, moves: tuple, moved: Any) -> Array:
    """Whether each move stays in the space, `[samples, moves]`."""
    i, j, s, t = moves
    inside = jnp.ones((digits.shape[0], len(i)), bool)
    if hilbert.parts:
        d, part = len(hilbert.site_states[products.sites[0]]), np.full(hilbert.n_sites, -1)
        for number, sites in enumerate(hilbert.parts):
            part[list(sites)] = number
        p, q = (part[np.array(products.sites)[k]] for k in (i, j))
        a, b = ((digits[:, k] + step[None, :]) % d - digits[:, k] for k, step in ((i, s), (j, t)))
        single, together = i == j, p == q
        alone = ((a == 0) | (p < 0)[None, :]) & ((b == 0) | (q < 0)[None, :])
        inside = jnp.where((together & ~single & (p >= 0))[None, :], a + b == 0, alone)
    if hilbert.envelope != hilbert:
        slot = jnp.arange(inside.size)
        inside = inside & hilbert.contains(moved(slot // len(i), slot % len(i))).reshape(inside.shape)
    return inside


def log_psi_where(
    ansatz: Ansatz, params: Params, moved: Any, present: Array, chunk: int | None
) -> Inexact[Array, "samples moves"]:
    """log psi of the configurations `moved(sample, move)` where present, zero elsewhere.

    The network is called in as many buckets as there are moves to fill.
    """
    samples, count = present.shape
    slots = samples * count
    one = jax.ShapeDtypeStruct((slots, ansatz.n_sites), np.int8)
    suited = rows_that_suit(lambda x: ansatz.log_psi(params, x), one, cached=True)
    bucket = min(slots, chunk or min(suited, max(_FEWEST, slots // _BUCKETS)))
    # the barrier: where all flags are known when compiling, XLA would take seconds to fold this list
    (where,) = jnp.nonzero(jax.lax.optimization_barrier(present.reshape(slots)), size=slots, fill_value=slots)
    where = jnp.concatenate([where, jnp.full((bucket,), slots, where.dtype)])

    def fill(b: Array, found: Array) -> Array:
        slot = jax.lax.dynamic_slice(where, (b * bucket,), (bucket,))
        safe = jnp.minimum(slot, slots - 1)
        new = ansatz.log_psi(params, moved(safe // count, safe % count))
        return found.at[slot].set(new, mode="drop")

    buckets = -(-jnp.sum(present) // bucket)
    return jax.lax.fori_loop(0, buckets, fill, jnp.zeros((slots,), ansatz.dtype)).reshape(samples, count)


def _signs(hilbert: AbstractHilbert, products: Products, moves: _Moves, x: Array) -> Array | None:
    """Sign of the fermions between the two sites of each pair, `[samples, pairs]`, and of the order of the pair."""
    if not products.odd:
        return None
    fermions = jnp.where(np.array(hilbert.fermionic_modes)[None, :], x, 0)
    below = jnp.cumsum(fermions, axis=1) - fermions
    sites = np.array(products.sites)
    i, j = sites[moves.first], sites[moves.second]
    low, high = np.minimum(i, j), np.maximum(i, j)
    between = below[:, high] - below[:, low] - fermions[:, low]
    return 1 - 2 * (between % 2)


def _assemble(
    products: Products,
    moves: _Moves,
    digits: Array,
    signs: Array | None,
    one: dict,
    two: dict,
    weights: Array | None,
) -> PairValues:
    """Local values from the ratios and the tables of elements."""
    left, right = (_alone(table, digits, one) for table in (moves.left, moves.right))
    if products.fold:
        half = products.n_values
        left, right = (products.fold[0] * v[..., :half] + products.fold[1] * v[..., half:] for v in (left, right))
    if not one and not two:  # diagonal operators: every product is that of two numbers
        if weights is None:
            return PairValues(jnp.einsum("rpi,rpj->rij", left, right), left, right)
        sums = [jnp.einsum("qai,rpi->rqap", w, v) for w, v in ((weights.conj(), left), (weights, right))]
        return PairValues(jnp.einsum("rqap,rqbp->rqab", *sums), left, right)
    at = (digits[:, moves.first], digits[:, moves.second])
    upper = lower = jnp.zeros(())
    for k, (s, t) in enumerate(moves.shifts):
        if s and t:
            ratio = two[s, t]
        elif s or t:
            ratio = one[s or t][:, moves.first if s else moves.second]
        else:
            ratio = jnp.ones((), moves.upper.dtype)
        upper = upper + jnp.asarray(moves.upper[k])[at] * ratio
        lower = lower + jnp.asarray(moves.lower[k])[at] * ratio
    if signs is not None:
        upper, lower = upper * signs, lower * signs
    same = _alone(moves.same[None], digits, one)[:, 0]
    place = np.arange(digits.shape[1])
    shape = (digits.shape[0], place.size, place.size)
    pairs = jnp.zeros(shape, jnp.result_type(upper, lower, same)).at[:, place, place].set(same)
    pairs = pairs.at[:, moves.first, moves.second].set(upper).at[:, moves.second, moves.first].set(lower)
    if weights is not None:
        pairs = jnp.einsum("qai,rij,qbj->rqab", weights.conj(), pairs, weights)
    return PairValues(pairs, left, right)


def _alone(table: np.ndarray, digits: Array, one: dict) -> Inexact[Array, "samples products sites"]:
    """Local values of one-site operators with elements `table[products, shift, a]`, where the ratios are known."""
    total = jnp.moveaxis(jnp.asarray(table[:, 0])[:, digits], 0, 1)
    for s, ratio in one.items():
        total = total + jnp.moveaxis(jnp.asarray(table[:, s])[:, digits], 0, 1) * ratio[:, None]
    return total
