"""Products of sums of local matrices with vectors: from a list of all elements, from digits, or made anew each time."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.chunk import map_chunks
from qml._core.types import Array, Inexact, Int
from qml.operator.base import AbstractOperator, table
from qml.operator.local_slots import digits_of, dims_of

_TABLE_BYTES = 2**30  # the list of all elements of a constrained space is stored up to this size
_CHUNK = 2**13  # rows made at once where it is not
_UNROLLED = 4  # columns written out; more are looped over


@final
class TableMap(eqx.Module):
    """All matrix elements of an operator, ready for products."""

    columns: Int[Array, "size groups"]
    elements: Inexact[Array, "size groups"]
    diagonal: Inexact[Array, " size"]

    def __call__(self, vector: Array) -> Array:
        """The product, `[size] -> [size]`."""
        return self.diagonal * vector + jnp.sum(self.elements * vector[self.columns], axis=-1)


@final
class DigitMap(eqx.Module):
    """Local matrices on all configurations: a byte for each digit of each state, and the matrices themselves.

    A state and its neighbour differ in their index by the differences of digits times strides. Of each block: sites
    `[terms, k]`, number of a row for the digits `[k]`, differences of digits `[rows, columns, k]`, elements
    `[terms, rows, columns]`.
    """

    diagonal: Inexact[Array, " size"]
    digits: Int[Array, "sites size"]
    strides: Int[Array, " sites"]
    blocks: tuple[tuple[Array, Array, Array, Array], ...]

    def __call__(self, vector: Array) -> Array:
        """The product, `[size] -> [size]`."""
        index = jax.lax.iota(self.strides.dtype, vector.shape[0])
        kinds = [vector, self.diagonal, *(values for *_, values in self.blocks)]
        out = (self.diagonal * vector).astype(jnp.result_type(*kinds))
        for sites, weights, moves, values in self.blocks:

            def term(out: Array, one: tuple[Array, Array], weights: Array = weights, moves: Array = moves) -> tuple:
                here, elements = one
                row = jnp.zeros(vector.shape, jnp.int32)
                for q in range(here.shape[0]):
                    row = row + self.digits[here[q]].astype(jnp.int32) * weights[q]
                shifts = jnp.sum(moves * self.strides[here][None, None, :], axis=-1)

                def column(out: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
                    shift, element = pair
                    partner = index + shift.at[row].get(mode="promise_in_bounds")
                    value = element.at[row].get(mode="promise_in_bounds")
                    return out + value * vector.at[partner].get(mode="promise_in_bounds"), None

                if shifts.shape[1] > _UNROLLED:
                    return jax.lax.scan(column, out, (shifts.T, elements.T))[0], None
                for c in range(shifts.shape[1]):
                    out, _ = column(out, (shifts[:, c], elements[:, c]))
                return out, None

            out, _ = jax.lax.scan(term, out, (sites, values))
        return out


@final
class RowMap(eqx.Module):
    """An operator whose elements are made anew, some rows at a time: of a constrained space too large for a list."""

    operator: AbstractOperator

    def __call__(self, vector: Array) -> Array:
        """The product, `[size] -> [size]`."""
        hilbert = self.operator.hilbert

        def rows(index: Array) -> Array:
            x = hilbert.indices_to_states(index)
            states, elements = self.operator.connected(x)
            inside = hilbert.contains(states)
            columns = jnp.where(inside, hilbert.states_to_indices(states), 0)
            products = jnp.where(inside, elements, 0) * vector[columns]
            return jnp.sum(products, axis=-1) + self.operator.diagonal(x) * vector[index]

        return map_chunks(rows, jnp.arange(hilbert.size), chunk=_CHUNK)


def local_map(operator: Any) -> DigitMap | TableMap | RowMap:
    """The quickest product of a `LocalOperator` that fits in memory.

    On all configurations it is `DigitMap`, a byte for each site and state. On a constrained space it is the list of all
    elements up to 1 GiB, beyond that the elements are made anew in each product.
    """
    hilbert = operator.hilbert
    if not hilbert.is_constrained:
        return _digit_map(operator)
    x = jax.ShapeDtypeStruct((1, hilbert.n_sites), np.int8)
    groups = jax.eval_shape(lambda o, x: o.connected(x)[1], operator, x).shape[-1]
    stored = hilbert.size * groups * (np.dtype(operator.dtype).itemsize + 4)
    return TableMap(*table(operator)) if stored <= _TABLE_BYTES else RowMap(operator)


def _digit_map(operator: Any) -> DigitMap:
    hilbert = operator.hilbert
    dims = dims_of(hilbert, range(hilbert.n_sites))
    integer = np.int32 if hilbert.size < 2**31 else np.int64
    strides = np.array([*np.cumprod(dims[::-1])[-2::-1], 1], integer)[-hilbert.n_sites :]
    index = jax.lax.iota(integer, hilbert.size)
    digits = jnp.stack([(index // int(s) % d).astype(jnp.int8) for s, d in zip(strides, dims)])
    diagonal, blocks = jnp.zeros(hilbert.size, operator.dtype), []
    for block, place in zip(operator.blocks, operator.places):
        small = dims_of(hilbert, place.sites[0])
        sites = np.array(place.sites, np.int32).reshape(len(place.sites), len(small))
        weights = np.array([int(np.prod(small[q + 1 :])) for q in range(len(small))], np.int32)
        width, rows = max(map(len, place.pattern)), np.arange(len(place.pattern))
        columns = np.repeat(rows[:, None], width, axis=1)
        for row, found in enumerate(place.pattern):
            columns[row, : len(found)] = found
        local = digits_of(rows, small)
        moves = local[columns] - local[:, None, :]
        values = jnp.where(columns != rows[:, None], block[:, rows[:, None], columns], 0)

        def add(total: Array, one: tuple[Array, Array], weights: np.ndarray = weights) -> tuple[Array, None]:
            here, matrix = one
            row = jnp.zeros(total.shape, jnp.int32)
            for q in range(len(weights)):
                row = row + digits[here[q]].astype(jnp.int32) * weights[q]
            return total + jnp.diagonal(matrix)[row], None

        diagonal, _ = jax.lax.scan(add, diagonal.astype(jnp.result_type(diagonal, block)), (jnp.asarray(sites), block))
        if width:
            parts = (sites, weights, moves.astype(integer))
            blocks.append((*(jnp.asarray(part) for part in parts), values))
    return DigitMap(diagonal, digits, jnp.asarray(strides), tuple(blocks))
