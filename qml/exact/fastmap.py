"""Products of common operators with vectors, chosen by their structure: prepared on the host, so little is compiled."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.types import Array, Inexact, Int
from qml.linalg.krylov import Map
from qml.operator import AbstractOperator, PauliSum
from qml.operator.coefficients import is_traced
from qml.operator.matvec import signed_sum
from qml.operator.strings import PHASES

_WINDOW = 4  # bits of a window; its matrix is dense
_TABLE_BYTES = 2**30  # partner tables of an exchange are stored up to this size
_LARGEST = 2**30  # states
_BLOCKED = 2**19  # states beyond which a window map works block by block, in the cache
_WRITTEN_OUT = 24  # exchanges in one pass over the vector; more are looped over


def fast_map(operator: AbstractOperator) -> Map:
    """The product of an operator with vectors, by the quickest way its structure allows.

    On all configurations of spins 1/2, strings that touch a few neighbouring bits are small dense matrices on an axis
    of the vector. In a space of fixed magnetisation an exchange of two spins is a table of partners. Anything else is
    `operator.linear_map()`.

    Args:
        operator: an operator with known coefficients.

    Returns:
        A module `vector[size] -> vector[size]`.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.exact.fastmap import fast_map
        >>> from qml.operator import PauliSum
        >>> fast_map(PauliSum({"ZI": 1.0, "IX": -2.0}))(jnp.array([1.0, 0.0, 0.0, 3.0])).tolist()
        [1.0, -2.0, -6.0, -3.0]
    """
    if isinstance(operator, PauliSum) and not is_traced(operator.coefficients) and operator.hilbert.size <= _LARGEST:
        if not operator.hilbert.is_constrained:
            return _windows(operator)
        exchange = _exchanges(operator)
        if exchange is not None:
            return exchange
    return _plain_map(operator)


_plain_map = jax.jit(lambda operator: operator.linear_map())


@final
class WindowMap(eqx.Module):
    """A Pauli sum on all configurations: diagonal, dense matrices on windows of bits, strings across windows."""

    diagonal: Inexact[Array, " size"] | Int[Array, " size"]
    scale: Inexact[Array, ""]  # of a diagonal of small whole numbers
    matrices: tuple[Inexact[Array, "..."], ...]  # [side, side], of inner windows once for each pattern of higher bits
    crossing: tuple[Array, Array, Array]  # flips, masks, values [groups] of what touches several windows
    blocked: bool = eqx.field(static=True)  # the patterns of the first window one after another

    def __call__(self, vector: Array) -> Array:
        """The product, `[size] -> [size]`."""
        if self.blocked:
            side = self.matrices[0].shape[0]
            rows = vector.reshape(side, -1)
            parts = (self.matrices[0] @ rows, self.diagonal.reshape(side, -1), rows)
            out = jax.lax.map(lambda part: part[0] + self._inside(self.matrices[1:], *part[1:]), parts).reshape(-1)
        else:
            out = self._inside(self.matrices, self.diagonal, vector)
        if not self.crossing[0].shape[0]:
            return out
        codes = jax.lax.iota(self.crossing[0].dtype, vector.shape[0])

        def add(out: Array, group: tuple[Array, Array, Array]) -> tuple[Array, None]:
            flip, mask, value = group
            return out + signed_sum(codes, mask[None], value[None]) * vector[codes ^ flip], None

        return jax.lax.scan(add, out.astype(jnp.result_type(out.dtype, self.crossing[2].dtype)), self.crossing)[0]

    def _inside(self, matrices: tuple[Array, ...], diagonal: Array, vector: Array) -> Array:
        """Diagonal and windows on the lower bits of the configurations of one block, or on all bits."""
        out = self.scale * diagonal.astype(self.scale.dtype) * vector
        left, right = 1, vector.shape[0]
        for matrix in matrices:  # the first window holds the highest bits
            side = matrix.shape[-1]
            right //= side
            if left == 1:
                new = matrix @ vector.reshape(side, right)
            elif right == 1:
                new = vector.reshape(left, side) @ matrix.T
            else:
                new = matrix @ vector.reshape(left, side, right)
            out, left = out + new.reshape(-1), left * side
        return out


@final
class ExchangeMap(eqx.Module):
    """Exchanges of spins in a space of fixed magnetisation; parallel spins are their own partners."""

    diagonal: Inexact[Array, " size"]  # without what the exchanges of parallel spins add
    partners: Int[Array, "bonds size"]
    values: Inexact[Array, " bonds"]

    def __call__(self, vector: Array) -> Array:
        """The product, `[size] -> [size]`."""

        def add(out: Array, bond: tuple[Array, Array]) -> tuple[Array, None]:
            return out + bond[1] * vector.at[bond[0].astype(jnp.uint32)].get(mode="promise_in_bounds"), None

        out, bonds = self.diagonal * vector, (self.partners, self.values)
        if len(self.values) > _WRITTEN_OUT:
            return jax.lax.scan(add, out, bonds)[0]
        for bond in zip(*bonds):
            out, _ = add(out, bond)
        return out


def elements(operator: PauliSum) -> np.ndarray:
    """Element of each string up to the sign of its row."""
    phases = PHASES[-operator.strings.quarter_turns % 4]
    values = np.asarray(operator.coefficients) * phases
    return np.real(values) if np.all(np.imag(values) == 0) else values


def _windows(operator: PauliSum) -> WindowMap:
    strings, n = operator.strings, operator.hilbert.n_sites
    values = elements(operator)
    count = -(-n // _WINDOW)
    widths = [(n + i) // count for i in range(count)]  # the last is the widest: copies for inner windows stay small
    ends = n - np.cumsum(widths)  # lowest bit of each window
    matrices = [np.zeros((2**w, 2**w), values.dtype) for w in widths]
    touched, crossing = [False] * count, []
    for k, (flip, sign) in enumerate(zip(strings.flips, strings.signs)):
        if not flip:
            continue
        place = [w for w in range(count) if (flip | sign) >> int(ends[w]) & (2 ** widths[w] - 1)]
        if len(place) > 1:
            crossing.append(k)
            continue
        w = place[0]
        rows = np.arange(2 ** widths[w])
        odd = np.bitwise_count(rows & (sign >> int(ends[w]))) & 1
        matrices[w][rows, rows ^ (flip >> int(ends[w]))] += np.where(odd, -values[k], values[k])
        touched[w] = True
    diagonal, scale = _diagonal(operator, values)
    bits = np.uint32
    across = (
        np.array([strings.flips[k] for k in crossing], bits),
        np.array([strings.signs[k] for k in crossing], bits),
        values[crossing],
    )
    blocked = 2**n > _BLOCKED
    top = widths[0] if blocked else 0
    for w in range(1 + blocked, count - 1):  # to copy them here takes no compiler
        matrices[w] = np.repeat(matrices[w][None], 2 ** (n - int(ends[w]) - widths[w] - top), axis=0)
    return WindowMap(*jax.device_put((diagonal, scale, tuple(matrices), across)), blocked=blocked)


def _diagonal(operator: PauliSum, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The diagonal in basis order and its factor: signs of the high and of the low half, multiplied as matrices."""
    n = operator.hilbert.n_sites
    terms, low = operator.strings.layout.diagonal, n // 2
    masks = np.array([operator.strings.signs[k] for k in terms], np.int64)
    high_signs = 1.0 - 2.0 * (np.bitwise_count(masks[:, None] >> low & np.arange(2 ** (n - low))[None, :]) & 1)
    low_signs = 1.0 - 2.0 * (np.bitwise_count(masks[:, None] & np.arange(2**low)[None, :]) & 1)
    weights = np.real(values[terms])
    scale = np.min(np.abs(weights), initial=np.inf, where=weights != 0)
    whole = np.round(weights / scale) if np.isfinite(scale) else weights
    if np.isfinite(scale) and np.array_equal(whole * scale, weights) and np.sum(np.abs(whole)) <= 127:
        return ((high_signs * whole[:, None]).T @ low_signs).astype(np.int8).reshape(-1), np.asarray(scale)
    return ((high_signs * weights[:, None]).T @ low_signs).reshape(-1), np.asarray(1.0)


def _exchanges(operator: PauliSum) -> ExchangeMap | None:
    """The map of a sum of diagonal strings and exchanges c (X X + Y Y) / 2, where partners fit in memory."""
    hilbert, strings, layout = operator.hilbert, operator.strings, operator.strings.layout
    groups = len(layout.flips)
    plain = all(f.bit_count() == 2 for f in layout.flips)
    plain = plain and all(z & ~f == 0 for f, z in zip(strings.flips, strings.signs) if f)
    if not plain or hilbert.envelope != hilbert or hilbert.size * groups * 4 > _TABLE_BYTES:
        return None
    bits = hilbert.bits
    if bits.high is None:
        return None
    values, couplings, position = elements(operator), [], 0
    for count, size in layout.runs:
        for terms in layout.order[position : position + count * size].reshape(count, size):
            even = [not strings.signs[k].bit_count() % 2 for k in terms]
            if not all(even):  # X Y: another element for up-down than for down-up
                return None
            # on antiparallel spins Z Z = -1
            couplings.append(sum(-values[k] if strings.signs[k] else values[k] for k in terms))
        position += count * size
    high, low = np.asarray(bits.high), np.asarray(bits.low)
    codes = all_codes(bits)
    cut, below = bits.shift, (1 << bits.shift) - 1
    diagonal = np.zeros(len(codes), np.result_type(values.dtype, float))
    for k in layout.diagonal:
        diagonal += np.where(np.bitwise_count(codes & codes.dtype.type(strings.signs[k])) & 1, -values[k], values[k])
    partners = np.empty((groups, len(codes)), np.int32)
    for row, (flip, coupling) in enumerate(zip(layout.flips, couplings)):
        both = codes & codes.dtype.type(flip)
        apart = (both != 0) & (both != flip)
        new = np.where(apart, codes ^ codes.dtype.type(flip), codes)
        partners[row] = high[new >> cut] + low[new & below]
        diagonal -= np.where(apart, 0, coupling)
    return ExchangeMap(
        jax.device_put(diagonal), jax.device_put(partners), jax.device_put(np.array(couplings, diagonal.dtype))
    )


def all_codes(bits: Any) -> np.ndarray:
    """Words of all configurations of a space with split ranks, in basis order, made on the host."""
    high, start, order = (np.asarray(a) for a in (bits.high, bits.start, bits.order))
    counts = np.diff(high, append=bits.space.size)
    half = np.repeat(np.arange(len(high)), counts)
    place = np.arange(bits.space.size) - np.repeat(high, counts) + np.repeat(start, counts)
    return (half.astype(bits.dtype) << bits.shift) | order[place].astype(bits.dtype)
