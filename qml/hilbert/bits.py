"""Configurations of two local states as words of bits, numbered by two small tables."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import PrecisionError, SpaceError
from qml._core.precision import real_dtype
from qml._core.types import Array, Int, UInt

_WORD = 62
_TABLE = 20


class Bits(eqx.Module):
    r"""The configurations of a space of two local states as unsigned integers; made by `space.bits`.

    Bit `n_sites - 1 - i` of a word is the digit of site i: 0 for the first local state (up, empty), 1 for the second
    (down, occupied). So words are in the order of the indices; without a constraint a word is its index. With fixed
    totals the index is the sum of an entry for the high half of the word and one for the low half (tables of
    $2^{n/2}$ entries); with a predicate it is found in the sorted list of words. A record of arrays: hand it to a
    jitted function as an argument, and no table becomes a constant of the program.

    Args:
        space: the space.
        shift: length of the low half, in bits; zero where there are no tables.
        high: number of configurations before each high half.
        low: rank of each low half among those with the same totals.
        start: where in `order` the low halves begin that complete each high half.
        order: low halves, sorted by their totals and then by value.
        words: the sorted list of words.

    Example:
        >>> from qml.hilbert import Spin
        >>> bits = Spin(4, magnetisation=0).bits
        >>> words = bits.all_bits()
        >>> [f"{int(w):04b}" for w in words]
        ['0011', '0101', '0110', '1001', '1010', '1100']
        >>> bits.bits_to_indices(words[2:4]).tolist(), bits.indices_to_bits(3).item()
        ([2, 3], 9)
        >>> bits.unpack(words[0]).tolist()
        [1, 1, -1, -1]

    Source: H. Q. Lin, Phys. Rev. B 42, 6561 (1990).
    """

    space: Any = eqx.field(static=True)
    shift: int = eqx.field(static=True)
    high: Array | None = None
    low: Array | None = None
    start: Array | None = None
    order: Array | None = None
    words: Array | None = None

    @property
    def n_bits(self) -> int:
        """Length of a word: one bit for each site."""
        return self.space.n_sites

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the words: uint32 up to 32 sites, else uint64."""
        return _word_dtype(self.n_bits)

    def pack(self, x: Any) -> UInt[Array, "..."]:
        """Word of each configuration `x[..., sites]`."""
        x = jnp.asarray(x)
        digits = jnp.moveaxis((x != _firsts(self.space, x.ndim)).astype(jnp.int8), -1, 0)
        start = jnp.zeros(x.shape[:-1], self.dtype)
        return jax.lax.scan(lambda word, bit: ((word << 1) | bit.astype(self.dtype), None), start, digits)[0]

    def unpack(self, words: UInt[Array, "..."]) -> Int[Array, "... sites"]:
        """Configuration `int8[..., sites]` of each word."""
        places = np.arange(self.n_bits - 1, -1, -1, dtype=self.dtype).reshape((1,) * words.ndim + (-1,))
        digits = ((words[..., None] >> places) & np.ones((), self.dtype)).astype(jnp.int8)
        block, shape = self.space._block, (1,) * words.ndim + (-1,)
        return digits * block.step.astype(np.int8).reshape(shape) + block.first.astype(np.int8).reshape(shape)

    def bits_to_indices(self, words: UInt[Array, "..."]) -> Int[Array, "..."]:
        """Index of each word; meaningless where the word is not in the space."""
        if self.words is not None:
            return jnp.searchsorted(self.words, words).astype(_index_dtype())
        if self.high is not None and self.low is not None:
            below = words & np.array((1 << self.shift) - 1, self.dtype)
            index = self.high[_places(words >> self.shift)] + self.low[_places(below)]
            return index.astype(_index_dtype())
        if not self.space.is_constrained:
            return words.astype(_index_dtype())
        return self.space.states_to_indices(self.unpack(words))

    def indices_to_bits(self, indices: Any) -> UInt[Array, "..."]:
        """Word of each index, the inverse of `bits_to_indices`."""
        indices = jnp.asarray(indices)
        if self.words is not None:
            return self.words[indices]
        if self.high is not None and self.order is not None and self.start is not None:
            half = jnp.searchsorted(self.high, indices.astype(self.high.dtype), side="right") - 1
            low = self.order[self.start[half] + (indices.astype(self.high.dtype) - self.high[half])]
            return (half.astype(self.dtype) << self.shift) | low.astype(self.dtype)
        if not self.space.is_constrained:
            return indices.astype(self.dtype)
        return self.pack(self.space.indices_to_states(indices))

    def all_bits(self) -> UInt[Array, " size"]:
        """All words in the order of their indices: sorted."""
        return self.words if self.words is not None else self.indices_to_bits(jnp.arange(self.space.size))


def make_bits(space: Any) -> Bits:
    """The view of a space as words.

    Raises:
        SpaceError: a site has not two local states, or there are more than 62 sites.
        PrecisionError: more than 32 sites while JAX runs in 32-bit mode.
    """
    n = space.n_sites
    if any(len(states) != 2 for states in space.site_states) or n > _WORD:
        raise SpaceError(
            "The configurations of this space are no words of bits.",
            got=f"{n} sites with {sorted({len(s) for s in space.site_states})} local states",
            expected=f"two local states on each of at most {_WORD} sites",
            try_="states_to_indices, which numbers any space",
        )
    _word_dtype(n)
    if space.envelope != space:
        return Bits(space, 0, words=Bits(space, 0).pack(space.all_states()))
    if not space.is_constrained or n > 2 * _TABLE:
        return Bits(space, 0)
    shift = n - n // 2
    return Bits(space, shift, *jax.device_put(_tables(space._block, shift)))  # compiles nothing, unlike jnp.asarray


@functools.lru_cache(maxsize=8)
def _tables(block: Any, shift: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lin's tables for any totals: low halves are classed by their charges on all parts."""
    n = len(block.sites)
    halves = [np.arange(1 << (n - shift), dtype=np.uint64), np.arange(1 << shift, dtype=np.uint64)]
    flip = sum(1 << (n - 1 - i) for i in range(n) if block.sites[i].step < 0)
    have, want, radix = np.zeros(1 << shift, np.int64), np.zeros(1 << (n - shift), np.int64), 1
    possible = np.ones(1 << (n - shift), bool)
    for part, total in zip(block.parts, block.totals):
        mask = sum(1 << (n - 1 - i) for i in part)
        above = np.bitwise_count((halves[0] ^ np.uint64(flip >> shift)) & np.uint64(mask >> shift)).astype(np.int64)
        cut = (1 << shift) - 1
        below = np.bitwise_count((halves[1] ^ np.uint64(flip & cut)) & np.uint64(mask & cut)).astype(np.int64)
        top = (mask & cut).bit_count()
        need = total - above
        possible &= (need >= 0) & (need <= top)
        have, want, radix = have + radix * below, want + radix * np.clip(need, 0, top), radix * (top + 1)
    number = np.bincount(have, minlength=radix)
    first = np.cumsum(number) - number
    completions = np.where(possible, number[want], 0)
    order = np.argsort(have, kind="stable")
    low = np.empty(len(have), np.int64)
    low[order] = np.arange(len(have)) - first[have[order]]
    high = np.cumsum(completions) - completions
    index = np.int32 if block.size < 2**31 else np.int64
    return high.astype(index), low.astype(np.int32), first[want].astype(np.int32), order.astype(np.uint32)


def _firsts(space: Any, ndim: int) -> np.ndarray:
    return space._block.first.astype(np.int8).reshape((1,) * (ndim - 1) + (-1,))


def _places(words: Array) -> Array:
    return words.astype(jnp.int32)


def _index_dtype() -> np.dtype:
    return np.dtype(np.int64 if real_dtype() == np.float64 else np.int32)


def _word_dtype(n_bits: int) -> np.dtype:
    if n_bits > 32 and real_dtype() != np.float64:
        raise PrecisionError(
            "Words of more than 32 bits need 64-bit mode.",
            got=f"{n_bits} sites",
            expected="at most 32 sites, or 64-bit mode",
            try_='jax.config.update("jax_enable_x64", True)',
        )
    return np.dtype(np.uint32 if n_bits <= 32 else np.uint64)
