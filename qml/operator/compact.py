"""Compacted connected elements: the non-zero off-diagonal elements of a batch, one after another, without padding."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, final

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
_UNROLLED = 8  # strings of one flip mask written out


@final
class Compacted(eqx.Module):
    r"""The non-zero elements $\langle x_r|O|x'\rangle$, $x' \neq x_r$, of a batch of configurations.

    Slots that are not used come last: their row is `batch` (out of range, so that a scatter with `mode="drop"` leaves
    them out), their element zero and their configuration a copy of the last one of the batch. If there are more
    elements than slots, `count > capacity` and all elements are NaN: nothing that is computed from them looks right.

    Example:
        >>> import numpy as np
        >>> from qml.operator import PauliSum
        >>> found = PauliSum({"XX": 0.5, "YY": 0.5}).compacted(np.array([[1, 1], [1, -1]]), 2)
        >>> int(found.count), found.rows.tolist(), found.states[0].tolist(), found.elements.tolist()
        (1, [1, 2], [-1, 1], [1.0, 0.0])
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
        return _row_sums(self, jnp.asarray(values))


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
    return bucket(int(np.ceil(int(np.sum(np.asarray(count_connected(operator, x)))) * (1 + headroom))))


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
    slots = _slots(elements != 0, capacity)
    at = jnp.where(slots.group < groups, slots.place, batch * groups)
    flat = jnp.concatenate([neighbours.reshape(batch * groups, x.shape[1]), x[-1:]])
    return _packed(slots, flat[at], elements)


@functools.partial(jax.jit, static_argnums=2)
def compact_pauli(operator: Any, x: Array, capacity: int) -> Compacted:
    """Compacted elements of a sum of Pauli strings, on words of 32 sites."""
    elements = flip_elements(operator.strings, operator.coefficients, operator.dtype, x)
    slots = _slots(elements != 0, capacity)
    flips = mask_rows((*operator.strings.layout.flips, 0), operator.hilbert.n_sites)
    if jnp.issubdtype(x.dtype, jnp.signedinteger):  # 1 and -1 differ in all bits but the lowest
        states = _pick(x, slots.row) ^ _pick(jnp.asarray(-2 * flips, x.dtype), slots.group)
    else:
        states = _pick(x, slots.row) * _pick(jnp.asarray(1 - 2 * flips, x.dtype), slots.group)
    return _packed(slots, states, elements)


class _Slots(NamedTuple):
    """Place `row * groups + group`, row and group of the element of each slot `[capacity]`, and the number of elements.

    Slots beyond the count have the last place and row, which exist, and group `groups`.
    """

    place: Array
    row: Array
    group: Array
    count: Array


def _packed(slots: _Slots, states: Array, elements: Array) -> Compacted:
    """The record, from elements `[batch, groups]`; zero beyond the count and NaN if they do not fit."""
    capacity, batch = len(slots.row), elements.shape[0]
    used = jax.lax.iota(jnp.int32, capacity) < slots.count
    picked = _pick(elements.reshape(-1), slots.place) if elements.size else jnp.zeros(capacity, elements.dtype)
    picked = jnp.where(slots.count <= capacity, jnp.where(used, picked, 0), jnp.nan)
    rows = jnp.where(used, slots.row, batch)
    return Compacted(rows=rows, states=states, elements=picked, count=slots.count, batch=batch)


def _slots(present: Array, capacity: int) -> _Slots:
    r"""The slots of the elements of a batch, row after row, from flags `[batch, groups]`.

    The flags are packed to words. A running sum over the words and a population count give the slot of each element,
    and one scatter writes its place there.
    """
    batch, groups = present.shape
    if (groups + _WORD) * batch >= 2**31:
        raise ShapeError(
            "This batch has too many elements to number them.",
            got=f"{batch} configurations with {groups} neighbours",
            expected="fewer than 2^31 elements",
            try_="smaller batches",
        )
    if groups * batch == 0:
        zero = jnp.zeros(capacity, jnp.int32)
        return _Slots(zero, zero + max(0, batch - 1), zero + groups, jnp.zeros((), jnp.int32))
    words = _words(present)
    ends = jnp.cumsum(jax.lax.population_count(words).astype(jnp.int32).reshape(-1))
    bit = (np.uint32(1) << np.arange(_WORD, dtype=np.uint32))[None, None, :]

    def slot_of(words: Array, ends: Array) -> Array:
        """Slot of each flag; the last, for which there is no room, of those that are not there."""
        starts = ends.reshape(words.shape) - jax.lax.population_count(words).astype(jnp.int32)
        below = jax.lax.population_count(words[:, :, None] & (bit - 1)).astype(jnp.int32)
        slot = starts[:, :, None] + below
        return jnp.where((words[:, :, None] & bit != 0) & (slot < capacity), slot, capacity)

    def parts(place: Array, count: Array) -> _Slots:
        used, place = jax.lax.iota(jnp.int32, capacity) < count, place[:-1]
        return _Slots(place, place // groups, jnp.where(used, place % groups, groups), count)

    slot = _apart(slot_of, words, ends)
    own = jax.lax.iota(jnp.int32, slot.size)
    own = own // (slot.size // batch) * groups + own % (slot.size // batch)
    place = jnp.full(capacity + 1, groups * batch - 1, jnp.int32)
    place = place.at[slot.reshape(-1)].set(own, mode="promise_in_bounds")
    return _apart(parts, place, ends[-1])


def flip_elements(strings: PauliStrings, coefficients: Array, dtype: Any, x: Array) -> Array:
    r"""Elements of each flip mask at each configuration, `[batch, groups]`.

    The sum over the strings of a mask of $c_t\,(-i)^{n_Y} (-1)^{|z_t \wedge b|}$; parities are counted in words of 32
    sites, the groups being the contiguous axis.
    """
    layout, values = strings.layout, string_elements(strings, coefficients).astype(dtype)

    def make(down: Array, values: Array) -> Array:
        parts, start = [jnp.zeros((len(x), 0), dtype)], 0
        for groups, size in layout.runs:
            terms = layout.order[start : start + groups * size].reshape(groups, size)
            parts.append(_sums(strings, terms, down, values))
            start += groups * size
        return jnp.concatenate(parts, axis=1) if len(parts) != 2 else parts[1]

    return _apart(make, _words(x < 0), values)


def _sums(strings: PauliStrings, terms: np.ndarray, down: Array, values: Array) -> Array:
    """Sum over the strings of each group, `[batch, groups]`; few strings are written out."""

    def term(own: np.ndarray) -> Array:
        value = values[own]
        return jnp.where(_odd(strings, own, down), -value[None, :], value[None, :])

    groups, size = terms.shape
    if size <= _UNROLLED:
        return functools.reduce(jnp.add, map(term, terms.T))
    return jnp.sum(term(terms.reshape(-1)).reshape(-1, groups, size), axis=2)


def parities(strings: PauliStrings, terms: np.ndarray, x: Array) -> Array:
    """True where the Z part of a string is -1: `[batch, terms]`."""
    return _odd(strings, terms, _words(x < 0))


def _odd(strings: PauliStrings, terms: np.ndarray, down: Array) -> Array:
    n, n_words = strings.n_sites, down.shape[1]
    masks = np.pad(mask_rows([strings.signs[k] for k in terms], n), ((0, 0), (0, n_words * _WORD - n)))
    masks = masks.reshape(len(terms), n_words, _WORD).astype(np.uint32)
    packed = np.bitwise_or.reduce(masks << np.arange(_WORD, dtype=np.uint32)[None, None, :], axis=2)
    crossed = jnp.zeros((len(down), len(terms)), jnp.uint32)
    for w in range(n_words):
        crossed = crossed ^ (down[:, w, None] & jnp.asarray(packed[:, w])[None, :])
    return (jax.lax.population_count(crossed) & 1).astype(bool)


def _words(flags: Array) -> Array:
    """Flags `[batch, bits]` as words `uint32[batch, words]`, flag i being bit i % 32 of word i // 32.

    A reduction, not a chain of shifts: XLA fuses chains into every use of a word and works them out again each time.
    """
    batch, bits = flags.shape
    padded = jnp.pad(flags, ((0, 0), (0, -bits % _WORD))).reshape(batch, -1, _WORD).astype(jnp.uint32)
    shifted = padded << np.arange(_WORD, dtype=np.uint32)[None, None, :]
    return _apart(lambda words: words, jnp.sum(shifted, axis=2, dtype=jnp.uint32))


def _apart(make: Callable[..., Any], *arrays: Array) -> Any:
    """`make(*arrays)`, written to memory as the result of a branch that is always taken; the first holds integers.

    XLA fuses what makes an array into everything that uses it and does the work again each time; it does not look into
    a branch. (An optimisation barrier does not help: it is gone before fusion.) No integer has 65 bits set.
    """
    if not arrays[0].size:
        return make(*arrays)
    made = jax.eval_shape(make, *arrays)
    always = jax.lax.population_count(jnp.ravel(arrays[0])[0]) < 65
    return jax.lax.cond(always, make, lambda *_: jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), made), *arrays)


def _pick(table: Array, at: Array) -> Array:
    """Rows of a table by positions that are known to exist."""
    return table.at[at.astype(jnp.uint32)].get(mode="promise_in_bounds")


@jax.jit
def _row_sums(found: Compacted, values: Array) -> Array:
    weighted = found.elements * values
    used = jnp.arange(found.capacity) < found.count
    total = jnp.zeros((found.batch,), weighted.dtype)
    return total.at[found.rows].add(jnp.where(used, weighted, 0), mode="drop")


@jax.jit
def _count(operator: Any, x: Array) -> Array:
    return jnp.sum(operator.connected(x)[1] != 0, axis=-1, dtype=jnp.int32)
