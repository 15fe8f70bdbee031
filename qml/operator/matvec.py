"""Matrix-free products of Pauli sums with vectors in basis order.

A basis state is its integer index (or, under a constraint, the integer that its bits spell), so a string flips bits of
the index and multiplies by the parity of a bitwise and. In the full space all strings that fit in a window of a few
neighbouring sites are one small matrix, applied to the vector as a tensor: the vector is read once for all of them.
"""

import functools
from typing import TYPE_CHECKING, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import SpaceError
from qml._core.types import Array, Inexact
from qml.hilbert import AbstractHilbert
from qml.operator.strings import PauliStrings

if TYPE_CHECKING:
    from qml.operator.pauli import PauliSum

_WIDTH = 5  # sites of a window
_WORTH = 3  # groups that a window must take over from the index path to pay for its matrix product
_TABLE_BYTES = 2**30  # partner tables of a constrained space are stored up to this size
_UNROLLED = 8  # strings of one group written out; more are looped over


@final
class PauliMap(eqx.Module):
    """A Pauli sum prepared for products with vectors: diagonal, window matrices, and groups by index."""

    diagonal: Inexact[Array, " size"]
    matrices: tuple[Array, ...]
    runs: tuple[tuple[Array, Array, Array], ...]  # flips [groups] or partners [groups, size]; masks, values
    codes: Array | None  # bits of each state of a constrained space
    hilbert: AbstractHilbert = eqx.field(static=True)
    shapes: tuple[tuple[int, int, int], ...] = eqx.field(static=True)  # the vector as a tensor around each window
    stored: bool = eqx.field(static=True)  # the runs hold partners

    def __call__(self, vector: Array) -> Array:
        """The product, `[size] -> [size]`."""
        out = self.diagonal * vector
        for shape, matrix in zip(self.shapes, self.matrices):
            out = out + _window(matrix, vector, shape)
        codes = _count(self.hilbert.size) if self.codes is None else self.codes

        def add(out: Array, group: tuple[Array, Array, Array]) -> tuple[Array, None]:
            flip, masks, values = group
            partner = flip if self.stored else _partner(self.hilbert, codes, flip)
            return out + signed_sum(codes, masks, values) * vector.at[partner].get(mode="fill", fill_value=0), None

        for run in self.runs:
            out = out.astype(jnp.result_type(out.dtype, run[2].dtype))
            out, _ = jax.lax.scan(add, out, run)
        return out


def prepare(operator: "PauliSum") -> PauliMap:
    """Everything that many products with vectors of the operator's space share.

    Raises:
        SpaceError: the space has too many states for a vector.
    """
    from qml.operator.pauli import elements

    hilbert, strings, layout = operator.hilbert, operator.strings, operator.strings.layout
    n, size = hilbert.n_sites, hilbert.size
    if size > 2**34 or n > 63:
        raise SpaceError(
            "This space is too large for vectors.",
            got=f"{size} states of {n} sites",
            expected="at most 2^34 states of at most 63 sites",
            try_="a variational state, or a smaller space",
        )
    bits = np.dtype(np.uint32 if n <= 32 else np.uint64)
    values = elements(operator)
    codes = _spell(hilbert.all_states(), bits) if hilbert.is_constrained else None
    stored = codes is not None and size * len(layout.flips) * 4 <= _TABLE_BYTES
    windows = {} if codes is not None else _windows(strings)
    covered = {g for groups in windows.values() for g in groups}
    runs, position, first = [], 0, 0
    for count, terms in layout.runs:
        keep = [g for g in range(count) if first + g not in covered]
        order = layout.order[position : position + count * terms].reshape(count, terms)[keep]
        flips = jnp.asarray(np.array([layout.flips[first + g] for g in keep], dtype=bits))
        masks = jnp.asarray(np.array([[strings.signs[k] for k in row] for row in order], dtype=bits))
        position, first = position + count * terms, first + count
        if keep and stored and codes is not None:
            partners = jax.lax.map(functools.partial(_partner, hilbert, codes), flips)
            runs.append((partners, masks, values[order]))
        elif keep:
            runs.append((flips, masks, values[order]))
    masks = jnp.asarray(np.array([strings.signs[k] for k in layout.diagonal], dtype=bits))
    return PauliMap(
        diagonal=signed_sum(_count(size) if codes is None else codes, masks, operator.coefficients[layout.diagonal]),
        matrices=tuple(_matrix(strings, values, start, groups) for start, groups in windows.items()),
        runs=tuple(runs),
        codes=codes,
        hilbert=hilbert,
        shapes=tuple((2**start, 2 ** min(_WIDTH, n), 2 ** (n - start - min(_WIDTH, n))) for start in windows),
        stored=stored,
    )


def signed_sum(codes: Array, masks: Array, values: Array) -> Array:
    r"""$\sum_t v_t (-1)^{|m_t \wedge b|}$ for each code b."""

    def term(mask: Array, value: Array) -> Array:
        odd = (jax.lax.population_count(codes & mask) & 1).astype(bool)
        return jnp.where(odd, -value, value)

    zero = jnp.zeros(codes.shape, values.dtype)
    if masks.shape[0] <= _UNROLLED:
        return sum((term(masks[t], values[t]) for t in range(masks.shape[0])), start=zero)
    return jax.lax.fori_loop(0, masks.shape[0], lambda t, total: total + term(masks[t], values[t]), zero)


def _count(size: int) -> Array:
    return jax.lax.iota(jnp.uint32 if size <= 2**32 else jnp.uint64, size)


def _spell(x: Array, bits: np.dtype) -> Array:
    """The integer that each configuration spells, site 0 highest, down = 1."""
    powers = np.array([1 << i for i in range(x.shape[-1])][::-1], dtype=bits)
    return jnp.sum((x < 0).astype(bits) * powers[None, :], axis=-1, dtype=bits)


def _partner(hilbert: AbstractHilbert, codes: Array, flip: Array) -> Array:
    """Index of each state after a flip; the size of the space where it leaves the space."""
    if not hilbert.is_constrained:
        return codes ^ flip
    shifts = np.arange(hilbert.n_sites)[::-1].astype(codes.dtype)
    x = (1 - 2 * ((codes ^ flip)[:, None] >> shifts[None, :] & 1).astype(jnp.int8)).astype(jnp.int8)
    index = jnp.where(hilbert.contains(x), hilbert.states_to_indices(x), hilbert.size)
    return index.astype(jnp.int32 if hilbert.size < 2**31 else jnp.int64)


def _windows(strings: PauliStrings) -> dict[int, list[int]]:
    """First site of each window, and the groups of flips whose strings all lie in it."""
    layout, n = strings.layout, strings.n_sites
    spans, position, group = [], 0, 0
    for count, terms in layout.runs:
        for row in layout.order[position : position + count * terms].reshape(count, terms):
            support = 0
            for k in row:
                support |= strings.flips[k] | strings.signs[k]
            spans.append((n - support.bit_length(), n - (support & -support).bit_length(), group))
            group += 1
        position += count * terms
    windows: dict[int, list[int]] = {}
    start = -n
    for first, last, group in sorted(spans):
        if last - first >= _WIDTH:
            continue
        if last >= start + _WIDTH or start < 0:
            start = max(0, min(first, n - _WIDTH))
        windows.setdefault(start, []).append(group)
    return {start: groups for start, groups in windows.items() if len(groups) >= _WORTH}


def _matrix(strings: PauliStrings, values: Array, start: int, groups: list[int]) -> Array:
    """The strings of some groups as one matrix on the sites of a window."""
    layout, n = strings.layout, strings.n_sites
    width = min(_WIDTH, n)
    chosen = {layout.flips[g] for g in groups}
    terms = [k for k in layout.order if strings.flips[k] in chosen]
    shift = n - start - width
    rows = np.arange(2**width)
    flips = np.array([strings.flips[k] >> shift for k in terms])
    masks = np.array([strings.signs[k] >> shift for k in terms])
    signs = 1 - 2 * (np.bitwise_count(rows[None, :] & masks[:, None]) & 1).astype(np.int8)
    columns = rows[None, :] ^ flips[:, None]
    entries = values[np.array(terms)][:, None] * signs
    matrix = jnp.zeros((2**width, 2**width), values.dtype)
    return matrix.at[np.broadcast_to(rows[None, :], columns.shape), columns].add(entries)


def _window(matrix: Array, vector: Array, shape: tuple[int, int, int]) -> Array:
    if shape[2] == 1:
        return (vector.reshape(shape[:2]) @ matrix.T).reshape(-1)
    return jnp.einsum("ab,xbl->xal", matrix, vector.reshape(shape)).reshape(-1)
