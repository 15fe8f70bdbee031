"""Matrix-free products of Pauli sums with vectors in basis order.

A basis state is its integer index (or, under a constraint, the integer that its bits spell), so a string flips bits of
the index and multiplies by the parity of a bitwise and. One compiled loop runs over the groups of strings that flip the
same bits: nothing of the size of the matrix is stored.
"""

import functools
from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import SpaceError
from qml._core.types import Array, Inexact
from qml.hilbert import AbstractHilbert
from qml.operator.strings import PauliStrings

_TABLE_BYTES = 2**30  # partner tables of a constrained space are stored up to this size
_UNROLLED = 8  # strings of one group written out; more are looped over


@final
class PauliMap(eqx.Module):
    """A Pauli sum prepared for products with vectors: the diagonal, and groups of strings by flip."""

    diagonal: Inexact[Array, " size"]
    runs: tuple[tuple[Array, Array, Array], ...]  # flips [groups] or partners [groups, size]; masks, values
    codes: Array | None  # bits of each state of a constrained space
    hilbert: AbstractHilbert = eqx.field(static=True)
    stored: bool = eqx.field(static=True)  # the runs hold partners

    def __call__(self, vector: Array) -> Array:
        """The product, `[size] -> [size]`."""
        codes = _count(self.hilbert.size) if self.codes is None else self.codes

        def add(out: Array, group: tuple[Array, Array, Array]) -> tuple[Array, None]:
            flip, masks, values = group
            partner = flip if self.stored else _partner(self.hilbert, codes, flip)
            return out + signed_sum(codes, masks, values) * vector.at[partner].get(mode=mode, fill_value=0), None

        mode = "fill" if self.hilbert.is_constrained else "promise_in_bounds"
        out = self.diagonal * vector
        for run in self.runs:
            out, _ = jax.lax.scan(add, out.astype(jnp.result_type(out.dtype, run[2].dtype)), run)
        return out


def elements(strings: PauliStrings, coefficients: Inexact[Array, " terms"]) -> Inexact[Array, " terms"]:
    r"""$c_k (-i)^{n_Y}$ of each string: its matrix element up to the sign $(-1)^{|z \wedge b|}$ of row b."""
    phases = strings.phases
    return coefficients * jnp.asarray(
        phases, np.result_type(coefficients.dtype, np.float32 if strings.is_real else np.complex64)
    )


def prepare(strings: PauliStrings, coefficients: Inexact[Array, " terms"], hilbert: AbstractHilbert) -> PauliMap:
    """Everything that many products of a sum with vectors of a space share.

    Raises:
        SpaceError: the space has too many states for a vector.
    """
    layout, n, size = strings.layout, hilbert.n_sites, hilbert.size
    if size > 2**34 or n > 63:
        raise SpaceError(
            "This space is too large for vectors.",
            got=f"{size} states of {n} sites",
            expected="at most 2^34 states of at most 63 sites",
            try_="a variational state, or a smaller space",
        )
    bits = np.dtype(np.uint32 if n <= 32 else np.uint64)
    values = elements(strings, coefficients)
    codes = _spell(hilbert.all_states(), bits) if hilbert.is_constrained else None
    stored = codes is not None and size * len(layout.flips) * 4 <= _TABLE_BYTES
    runs, position, first = [], 0, 0
    for count, terms in layout.runs:
        order = layout.order[position : position + count * terms].reshape(count, terms)
        flips = jnp.asarray(np.array(layout.flips[first : first + count], dtype=bits))
        masks = jnp.asarray(np.array([[strings.signs[k] for k in row] for row in order], dtype=bits))
        if stored and codes is not None:
            flips = jax.lax.map(functools.partial(_partner, hilbert, codes), flips)
        runs.append((flips, masks, values[order]))
        position, first = position + count * terms, first + count
    masks = jnp.asarray(np.array([strings.signs[k] for k in layout.diagonal], dtype=bits))
    return PauliMap(
        diagonal=signed_sum(_count(size) if codes is None else codes, masks, coefficients[layout.diagonal]),
        runs=tuple(runs),
        codes=codes,
        hilbert=hilbert,
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
    return jax.lax.scan(lambda total, t: (total + term(*t), None), zero, (masks, values))[0]


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
