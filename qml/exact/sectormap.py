"""Matrices of operators in the basis of a sector, as tables of partners; without tables where they do not fit."""

import concurrent.futures
import os
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from qml._core.errors import SpaceError
from qml._core.types import Array, Float, Inexact, Int, UInt
from qml.exact.basis import SectorBasis
from qml.exact.fastmap import elements as string_elements
from qml.exact.sectordirect import DirectMap, direct_map
from qml.operator import AbstractOperator, PauliSum

_TABLE_BYTES = 2**33  # tables are stored up to this size
_BATCH = 2**18  # elements worked out at once
_CODED = 255  # different values that a byte can number


@final
class SectorMap(eqx.Module):
    """An operator in the basis of a sector: the diagonal, and partners with their elements, slot by slot.

    Element (a, b) is `norms[b] / norms[a]` times a value; values are numbered by bytes where there are few.
    """

    diagonal: Inexact[Array, " size"]
    norms: Float[Array, " size"]
    partners: Int[Array, "slots size"]
    codes: UInt[Array, "slots size"] | None
    values: Inexact[Array, "..."]  # of each code, or [slots, size]

    def __call__(self, vector: Array) -> Array:
        """The product, `[size] -> [size]`."""
        weighted = self.norms * vector

        def add(out: Array, slot: tuple[Array, Array]) -> tuple[Array, None]:
            partner, value = slot
            value = value if self.codes is None else self.values.at[value].get(mode="promise_in_bounds")
            return out + value * weighted.at[partner].get(mode="promise_in_bounds"), None

        start = jnp.zeros(vector.shape, jnp.result_type(vector, self.values))
        total, _ = jax.lax.scan(add, start, (self.partners, self.values if self.codes is None else self.codes))
        return self.diagonal * vector + total / self.norms


def sector_map(operator: AbstractOperator, basis: SectorBasis) -> SectorMap | DirectMap:
    r"""The matrix of an operator that commutes with the sector of a basis.

    $\langle r\mu|H|r'\nu\rangle = \sqrt{\lambda_{r'}/\lambda_r} \sum_x \langle r|H|x\rangle\, \bar f_g(x)\,
    \overline{u^\mu}^T D(g)^T u^\nu$ over the neighbours x of r, with an element g that takes x to r' with factor f.

    A table of all elements where it fits in 8 GiB. Else Pauli sums in sectors with an irrep of one dimension are
    multiplied without one, which takes far longer.

    Args:
        operator: on the space of the basis; that it commutes is not checked here.
        basis: from `SectorBasis`.

    Raises:
        SpaceError: the table does not fit in memory, and there is no way without.
    """
    real = basis.is_real and not np.issubdtype(operator.dtype, np.complexfloating)
    make, groups = _neighbours(operator, basis)
    if _bytes(groups * basis.dimension, basis.size, 1) > _TABLE_BYTES and (direct := direct_map(operator, basis)):
        return direct
    batch = max(1, _BATCH // max(1, groups))
    starts = range(0, len(basis.codes), batch)
    diagonal = np.zeros(len(basis.codes), operator.dtype)

    def block(start: int) -> tuple[int, Any]:
        stop = min(start + batch, len(basis.codes))
        rows, codes, values, diagonal[start:stop] = make(start, stop, batch)
        used = np.flatnonzero(values)
        return start, _block(basis, start, stop, rows[used], codes[used], values[used], real)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as workers:
        for coded in (True, False):
            table = _Table(groups * basis.dimension, basis.size, np.dtype(float if real else complex), coded)
            if all(table.add(int(basis.starts[start]), matrix) for start, matrix in workers.map(block, starts)):
                break
    partners, codes, values = table.arrays()
    return SectorMap(*jax.device_put((diagonal[basis.owner], basis.norms[basis.owner], partners, codes, values)))


def _bytes(slots: int, size: int, each: int) -> int:
    return slots * size * (4 + each)


class _Table:
    """Partners of all states by slots, with values or the numbers of values; filled row by row."""

    def __init__(self, slots: int, size: int, dtype: np.dtype, coded: bool):
        held = _bytes(slots, size, 1 if coded else dtype.itemsize)
        if held > _TABLE_BYTES:
            raise SpaceError(
                "The matrix of this sector does not fit in memory.",
                got=f"{held / 2**30:.1f} GiB for {size} states with {slots} neighbours",
                expected=f"at most {_TABLE_BYTES / 2**30:g} GiB",
                try_="a smaller sector: more symmetries",
            )
        self.partners, self.used, self.coded = np.zeros((slots, size), np.int32), 0, coded
        self.table = np.zeros((slots, size), np.uint8 if coded else dtype)
        self.values, self.dtype = {0.0: 0}, dtype

    def add(self, first: int, block: Any) -> bool:
        """Enter a block of rows; False if there are too many different values for bytes."""
        counts = np.diff(block.indptr)
        row = np.repeat(np.arange(len(counts)), counts)
        slot = np.arange(block.nnz) - block.indptr[row]
        self.used = max(self.used, int(counts.max(initial=0)))
        self.partners[slot, first + row] = block.indices
        data = block.data
        if self.coded:
            found = np.unique(data)
            numbers = [self.values.setdefault(value, len(self.values)) for value in found.tolist()]
            if len(self.values) > _CODED:
                return False
            data = np.array(numbers, np.uint8)[np.searchsorted(found, data)]
        self.table[slot, first + row] = data
        return True

    def arrays(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Partners, numbers of values, values."""
        partners, table = self.partners[: self.used], self.table[: self.used]
        return (partners, table, np.array([*self.values], self.dtype)) if self.coded else (partners, None, table)


def _block(basis: SectorBasis, start: int, stop: int, rows: Any, codes: Any, values: Any, real: bool) -> Any:
    """Off-diagonal elements of the states on some orbits, without the norms, as a sparse matrix."""
    orbit, elements, factors = basis.locate(codes)
    keep = np.flatnonzero(orbit >= 0)
    rows, orbit, elements = rows[keep], orbit[keep], elements[keep]
    weights = values[keep] * factors[keep].conj()
    first = basis.starts[start]
    height = int(basis.starts[stop - 1] + basis.number[stop - 1] - first) if stop > start else 0
    if basis.dimension == 1:
        data, into, out = weights * basis.matrices[elements, 0, 0], basis.starts[rows] - first, basis.starts[orbit]
    else:
        into, out, data = [], [], []
        for mu in range(basis.dimension):
            for nu in range(basis.dimension):
                take = np.flatnonzero((mu < basis.number[rows]) & (nu < basis.number[orbit]))
                a, b = basis.starts[rows[take]] + mu, basis.starts[orbit[take]] + nu
                turned = np.einsum("xk,xlk->xl", basis.vectors[a].conj(), basis.matrices[elements[take]])
                data.append(weights[take] * np.sum(turned * basis.vectors[b], axis=1))
                into.append(a - first)
                out.append(b)
        into, out, data = np.concatenate(into), np.concatenate(out), np.concatenate(data)
    data = np.real(data) if real else data
    matrix = scipy.sparse.csr_array((data, (into, out)), shape=(height, basis.size))
    matrix.sum_duplicates()
    matrix.data[np.abs(matrix.data) < 1e-15 * np.max(np.abs(data), initial=0)] = 0
    matrix.eliminate_zeros()
    return matrix


def _neighbours(operator: AbstractOperator, basis: SectorBasis) -> tuple[Any, int]:
    """A function that gives the neighbours of some orbits: rows, packed states, elements, diagonal; how many a row."""
    if isinstance(operator, PauliSum):
        return _pauli_rows(operator, basis), len(operator.strings.layout.flips)
    x = jax.ShapeDtypeStruct((1, operator.hilbert.n_sites), np.int8)
    return _any_rows(operator, basis), jax.eval_shape(lambda o, x: o.connected(x)[1], operator, x).shape[-1]


def _pauli_rows(operator: PauliSum, basis: SectorBasis) -> Any:
    """Neighbours of packed spins: bits flipped, signs by parity."""
    strings, layout, orbits = operator.strings, operator.strings.layout, basis.orbits
    values = string_elements(operator)

    def word(mask: int) -> Any:
        n = strings.n_sites
        return orbits.dtype.type(sum(1 << int(orbits.place[m]) for m in range(n) if mask >> (n - 1 - m) & 1))

    groups, position = [], 0
    for count, size in layout.runs:
        for terms in layout.order[position : position + count * size].reshape(count, size):
            signs = [(word(strings.signs[k]), values[k]) for k in terms]
            groups += [(word(strings.flips[terms[0]]), signs)]
        position += count * size
    plain = [(word(strings.signs[k]), values[k]) for k in layout.diagonal]

    def summed(codes: np.ndarray, terms: list) -> np.ndarray:
        total = np.zeros(len(codes), values.dtype)
        for mask, value in terms:
            total += np.where(np.bitwise_count(codes & mask) & 1, -value, value)
        return total

    def make(start: int, stop: int, batch: int) -> tuple:
        codes = basis.codes[start:stop]
        parts = [(codes ^ flip, summed(codes, terms)) for flip, terms in groups]
        rows = np.tile(np.arange(start, stop), len(groups))
        if not groups:
            return rows, codes[:0], np.zeros(0, values.dtype), summed(codes, plain)
        return rows, np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), summed(codes, plain)

    return make


@jax.jit
def row_elements(operator: AbstractOperator, x: Any) -> tuple:
    """Neighbours of configurations, the elements that lead there, the diagonal."""
    return *operator.connected(x), operator.diagonal(x)


def _any_rows(operator: AbstractOperator, basis: SectorBasis) -> Any:
    """Neighbours of configurations of any kind."""
    action = basis.orbits.action
    first = action.local_states[0]
    step = (action.local_states[-1] - first) // max(1, action.highest)

    def make(start: int, stop: int, batch: int) -> tuple:
        codes = basis.codes[start:stop]
        length = batch if len(basis.codes) > batch else 1 << (len(codes) - 1).bit_length()  # few lengths, few programs
        filled = np.concatenate([codes, np.repeat(codes[-1:], length - len(codes))]) if len(codes) else codes
        found = row_elements(operator, basis._configurations(filled))
        new, values, diagonal = (np.asarray(a)[: stop - start] for a in found)
        rows = np.repeat(np.arange(start, stop), values.shape[1])
        digits = (new.reshape(-1, new.shape[-1]).astype(np.int64) - first) // step
        values = values.reshape(-1)
        valid = np.all((digits >= 0) & (digits <= action.highest), axis=1)
        return rows, basis.orbits.codes(np.where(valid[:, None], digits, 0)), np.where(valid, values, 0), diagonal

    return make
