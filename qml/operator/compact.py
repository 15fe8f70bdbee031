"""Compacted connected elements: the non-zero off-diagonal elements of a batch, one after another, without padding."""

import functools
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError
from qml._core.types import Array, Inexact, Int
from qml.operator.matvec import elements as string_elements
from qml.operator.strings import PauliStrings, mask_rows

_WORD = 32  # groups, or sites, held by one word
_STEPS = 32  # buckets in an octave: at most 1/32 of a bucket is empty


@final
class Compacted(eqx.Module):
    r"""The non-zero elements $\langle x_r|O|x'\rangle$, $x' \neq x_r$, of a batch of configurations.

    Slots that are not used come last: their row is `batch` (out of range, so that a scatter with `mode="drop"` leaves
    them out), their element zero and their configuration a copy of the last one of the batch. If there are more
    elements than slots, `count > capacity` and all elements are NaN: nothing that is computed from them looks right.
    """

    rows: Int[Array, " capacity"]
    states: Int[Array, "capacity sites"]
    elements: Inexact[Array, " capacity"]
    count: Int[Array, ""]
    batch: int = eqx.field(static=True)

    @property
    def capacity(self) -> int:
        """Number of slots."""
        return self.rows.shape[0]

    @property
    def fits(self) -> Any:
        """True if no element was left out."""
        return self.count <= self.capacity

    def sum(self, values: Any) -> Inexact[Array, " batch"]:
        r"""$\sum_{x'} \langle x_r|O|x'\rangle\, v(x')$ for each row r.

        Args:
            values: one number for each slot, `[capacity]`, such as $\psi(x') / \psi(x_r)$.

        Returns:
            `[batch]`; NaN if elements were left out.
        """
        weighted = self.elements * jnp.asarray(values)
        used = jnp.arange(self.capacity) < self.count
        total = jnp.zeros((self.batch,), weighted.dtype)
        return total.at[self.rows].add(jnp.where(used, weighted, 0), mode="drop")


def bucket(count: int) -> int:
    """The smallest capacity of a fixed list that holds `count` elements: $m 2^k$ with $m$ from 32 to 63.

    Capacities from this list change only now and then while counts fluctuate, so a program compiled for one serves
    many batches; at most one slot in 32 is empty (of more than 32).

    Args:
        count: number of elements, at least 0.

    Raises:
        ShapeError: the count is negative.

    Example:
        >>> from qml.operator.compact import bucket
        >>> [bucket(n) for n in (0, 5, 64, 65, 51_000, 51_648, 53_000)]
        [1, 5, 64, 66, 51200, 52224, 53248]
    """
    count = int(count)
    if count < 0:
        raise ShapeError("A number of elements is not negative.", got=count, expected=">= 0", try_="count_connected")
    step = 2 ** max(0, (count - 1).bit_length() - _STEPS.bit_length()) if count else 1
    return max(1, -(-count // step) * step)


def count_connected(operator: Any, x: Any) -> Int[Array, " batch"]:
    """Number of non-zero off-diagonal elements of each configuration.

    Args:
        operator: any operator.
        x: configurations `[batch, sites]`.

    Returns:
        `[batch]`.

    Raises:
        ShapeError: `x` is no batch of configurations of the operator.

    Example:
        >>> import numpy as np
        >>> from qml.operator import PauliSum
        >>> from qml.operator.compact import count_connected
        >>> count_connected(PauliSum({"XX": 0.5, "YY": 0.5}), np.array([[1, 1], [1, -1]])).tolist()
        [0, 1]
    """
    return _count(operator, checked_batch(operator, x))


def capacity_for(operator: Any, x: Any, *, headroom: float = 0.0) -> int:
    """The bucket that holds all elements of a batch, for `operator.compacted(x, capacity)`. Not inside `jax.jit`.

    Args:
        operator: any operator.
        x: configurations `[batch, sites]`.
        headroom: extra share of slots for later batches with more elements, such as 0.02.

    Raises:
        ShapeError: `x` is no batch of configurations of the operator.

    Example:
        >>> import numpy as np
        >>> from qml.operator import PauliSum
        >>> from qml.operator.compact import capacity_for
        >>> capacity_for(PauliSum({"XI": 0.5, "IX": 0.5}), np.array([[1, 1], [1, -1]]))
        4
    """
    return bucket(int(np.ceil(int(jnp.sum(count_connected(operator, x))) * (1 + headroom))))


def checked_batch(operator: Any, x: Any, capacity: Any = 1) -> Array:
    """A batch of configurations, checked together with the capacity.

    Raises:
        ShapeError: `x` is no batch of configurations, or the capacity is not a positive int.
    """
    x = jnp.asarray(x)
    if x.ndim != 2 or x.shape[1] != operator.hilbert.n_sites:
        raise ShapeError(
            "Elements are compacted for a batch of configurations.",
            got=f"shape {x.shape}",
            expected=f"[batch, {operator.hilbert.n_sites}]",
            try_=f"x.reshape(-1, {operator.hilbert.n_sites})",
        )
    if isinstance(capacity, bool) or not isinstance(capacity, (int, np.integer)) or not 0 < capacity < 2**31:
        raise ShapeError(
            "A capacity is a positive number of slots, known before the program is compiled.",
            got=repr(capacity),
            expected="an int >= 1",
            try_="qml.operator.compact.capacity_for(operator, x), outside jit",
        )
    return x


@functools.partial(jax.jit, static_argnums=2)
def compact_generic(operator: Any, x: Array, capacity: int) -> Compacted:
    """Compacted elements of any operator, from its list of neighbours."""
    neighbours, elements = operator.connected(x)
    batch, groups = elements.shape
    row, group, count = slots_of((elements != 0).T, capacity)
    at = jnp.minimum(row, batch - 1) * groups + group
    flat = jnp.concatenate([neighbours.reshape(batch * groups, x.shape[1]), x[-1:]])
    states = flat[jnp.where(row < batch, at, batch * groups)]
    return pack(row, states, elements.reshape(-1), at, count, batch)


@functools.partial(jax.jit, static_argnums=2)
def compact_pauli(operator: Any, x: Array, capacity: int) -> Compacted:
    """Compacted elements of a sum of Pauli strings, on words of 32 sites."""
    batch, groups = x.shape[0], len(operator.strings.layout.flips)
    elements = flip_elements(operator.strings, operator.coefficients, operator.dtype, x)
    row, group, count = slots_of(elements != 0, capacity)
    rows = jnp.minimum(row, batch - 1)
    factors = 1 - 2 * mask_rows((*operator.strings.layout.flips, 0), operator.hilbert.n_sites)
    states = _pick(x, rows) * _pick(jnp.asarray(factors, x.dtype), jnp.where(row < batch, group, groups))
    return pack(row, states, elements.reshape(-1), group * batch + rows, count, batch)


def pack(row: Array, states: Array, elements: Array, at: Array, count: Array, batch: int) -> Compacted:
    """The record, with the elements at positions `at`; zero beyond the count and NaN if they do not fit."""
    capacity = row.shape[0]
    if elements.size:
        picked = jnp.where(row < batch, _pick(elements, at), 0)
    else:
        picked = jnp.zeros((capacity,), elements.dtype)
    picked = jnp.where(count <= capacity, picked, jnp.nan)
    return Compacted(rows=row, states=states, elements=picked, count=count, batch=batch)


def slots_of(present: Array, capacity: int) -> tuple[Array, Array, Array]:
    r"""Row and group of each non-zero element, row after row, and their number.

    The flags are packed to words; a running sum over the slots tells the word of each slot, and five steps of halving
    find its bit. That is a few passes over the slots instead of a running sum and a scatter over all flags.

    Args:
        present: flags `[groups, batch]`.
        capacity: number of slots.

    Returns:
        Rows and groups `[capacity]`, `(batch, 0)` for slots beyond the count, and the count.
    """
    groups, batch = present.shape
    if groups * batch >= 2**31:
        raise ShapeError(
            "This batch has too many elements to number them.",
            got=f"{batch} configurations with {groups} neighbours",
            expected="fewer than 2^31 elements",
            try_="smaller batches",
        )
    slot = jax.lax.iota(jnp.int32, capacity)
    if groups * batch == 0:
        return jnp.full(capacity, batch, jnp.int32), jnp.zeros(capacity, jnp.int32), jnp.zeros((), jnp.int32)
    n_words = -(-groups // _WORD)
    words = _words(present, groups).T.reshape(-1)  # row after row
    size = jax.lax.population_count(words).astype(jnp.int32)
    ends = jnp.cumsum(size)
    count, starts = ends[-1], _stored(ends - size)
    # word of each slot: how many words end at or before it
    passed = jnp.zeros(capacity, jnp.int32).at[ends].add(1, mode="drop")
    word = jnp.minimum(jax.lax.associative_scan(jnp.add, passed), words.shape[0] - 1)
    bit = _bit_of(words[word], slot - starts[word])
    used = slot < count
    row, group = jnp.where(used, word // n_words, batch), jnp.where(used, (word % n_words) * _WORD + bit, 0)
    row, group = _held(row, group)
    return row, group, count


def flip_elements(strings: PauliStrings, coefficients: Array, dtype: Any, x: Array) -> Array:
    r"""Elements of each flip mask at each configuration, `[groups, batch]`.

    The sum over the strings of a mask of $c_t\,(-i)^{n_Y} (-1)^{|z_t \wedge b|}$; parities are counted in words of 32
    sites, the configurations being the contiguous axis.
    """
    layout = strings.layout
    values = string_elements(strings, coefficients)[layout.order].astype(dtype)
    odd = parities(strings, layout.order, x)
    signed = jnp.where(odd, -values[:, None], values[:, None])
    parts, start = [jnp.zeros((0, x.shape[0]), dtype)], 0
    for groups, size in layout.runs:
        part = signed[start : start + groups * size].reshape(groups, size, x.shape[0])
        total = jnp.sum(part, axis=1) if size > 1 else part[:, 0]
        parts.append(total)
        start += groups * size
    return jnp.concatenate(parts)


def parities(strings: PauliStrings, terms: np.ndarray, x: Array) -> Array:
    """True where the Z part of a string is -1: `[terms, batch]`."""
    n = strings.n_sites
    n_words = -(-n // _WORD)
    down = _words(x.T < 0, n)
    masks = np.pad(mask_rows([strings.signs[k] for k in terms], n), ((0, 0), (0, n_words * _WORD - n)))
    masks = masks.reshape(len(terms), n_words, _WORD).astype(np.uint32)
    packed = np.bitwise_or.reduce(masks << np.arange(_WORD, dtype=np.uint32)[None, None, :], axis=2)
    crossed = jnp.zeros((len(terms), x.shape[0]), jnp.uint32)
    for w in range(n_words):
        crossed = crossed ^ (down[w][None, :] & jnp.asarray(packed[:, w])[:, None])
    return (jax.lax.population_count(crossed) & 1).astype(bool)


def _words(flags: Array, bits: int) -> Array:
    """Flags `[bits, batch]` as words `uint32[words, batch]`, flag i being bit i % 32 of word i // 32.

    Reductions, not chains of shifts: XLA fuses chains into every use of a word and works them out again each time.
    """
    shift, full = np.arange(_WORD, dtype=np.uint32), bits // _WORD
    whole = flags[: full * _WORD].reshape(full, _WORD, flags.shape[1]).astype(jnp.uint32) << shift[None, :, None]
    words = [jnp.sum(whole, axis=1, dtype=jnp.uint32)]
    if bits % _WORD:
        rest = flags[full * _WORD :].astype(jnp.uint32) << shift[: bits % _WORD, None]
        words.append(jnp.sum(rest, axis=0, dtype=jnp.uint32)[None, :])
    return _held(jnp.concatenate(words))[0]


def _held(*arrays: Array) -> tuple[Array, ...]:
    """The same whole numbers, written to memory as the results of a branch that is always taken.

    XLA fuses what makes them into everything that uses them and does the work again each time; it does not look into
    a branch. (An optimisation barrier does not help: it is gone before fusion.) No word of 32 bits has 33 of them set.
    """
    always = jax.lax.population_count(jnp.ravel(arrays[0])[0]) < 33
    return jax.lax.cond(always, lambda *a: a, lambda *a: tuple(jnp.zeros_like(v) for v in a), *arrays)


def _stored(values: Array) -> Array:
    """The same numbers, written to memory by a scatter: XLA would work out the running sum again for every slot."""
    at = jax.lax.iota(jnp.int32, values.shape[0])
    return jnp.zeros_like(values).at[at].set(values, unique_indices=True, indices_are_sorted=True)


def _pick(table: Array, at: Array) -> Array:
    """Rows of a table by positions that are known to exist."""
    return table.at[at].get(mode="promise_in_bounds")


def _bit_of(words: Array, rank: Array) -> Array:
    """Position of the set bit with `rank` set bits below it."""
    position = jnp.zeros_like(rank)
    for half in (16, 8, 4, 2, 1):
        low = jax.lax.population_count(words & np.uint32(2**half - 1)).astype(rank.dtype)
        above = rank >= low
        rank = jnp.where(above, rank - low, rank)
        position = jnp.where(above, position + half, position)
        words = jnp.where(above, words >> half, words)
    return position


@jax.jit
def _count(operator: Any, x: Array) -> Array:
    return jnp.sum(operator.connected(x)[1] != 0, axis=-1, dtype=jnp.int32)
