"""Products in the basis of a sector without tables: neighbours are led to their first images in every product."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.types import Array, Float, Inexact, Int, UInt
from qml.exact.basis import SectorBasis
from qml.exact.fastmap import elements as string_elements
from qml.operator import AbstractOperator, PauliSum
from qml.operator.matvec import signed_sum

_CHUNK = 2**14  # states worked on at once


@final
class DirectMap(eqx.Module):
    """A Pauli sum in the basis of a sector with an irrep of one dimension: nothing is held for each element.

    A product looks up the first image of every neighbour anew: some hundred times the work of a table, and the memory
    of a few vectors.
    """

    codes: UInt[Array, " size"]  # first images, ascending
    norms: Float[Array, " size"]
    diagonal: Inexact[Array, " size"]
    characters: Inexact[Array, " order"]
    images: UInt[Array, "pieces order contents"]  # of pieces of a code under each element
    chosen: Int[Array, " classes"]  # an element that brings the modes of a class to the front
    smallest: UInt[Array, "classes parts"]  # leading part that is reached from each content of a class
    starts: Int[Array, "classes ends"]  # where the elements that reach it begin in the list, for each content
    reach: Int[Array, " listed"]
    runs: tuple[tuple[Array, Array, Array], ...]  # flips [groups]; masks, values [groups, strings]
    shifts: tuple[int, ...] = eqx.field(static=True)  # of the pieces
    low: int = eqx.field(static=True)  # bits below the leading part

    @property
    def values(self) -> Inexact[Array, " none"]:
        """No numbers, of the dtype of the elements."""
        return jnp.zeros(0, jnp.result_type(self.characters, self.diagonal, *(run[2] for run in self.runs)))

    def __call__(self, vector: Array) -> Array:
        """The product, `[size] -> [size]`."""
        size, weighted = self.codes.shape[0], self.norms * vector
        chunk = min(_CHUNK, size)
        codes = jnp.pad(self.codes, (0, -size % chunk), mode="edge").reshape(-1, chunk)
        dtype = jnp.result_type(vector, self.values)

        def rows(codes: Array) -> Array:
            def add(out: Array, group: tuple[Array, Array, Array]) -> tuple[Array, None]:
                first, element = self._first(codes ^ group[0])
                at = jnp.minimum(jnp.searchsorted(self.codes, first), size - 1)
                known = self.codes[at] == first  # else its orbit has no state
                term = signed_sum(codes, group[1], group[2]) * self.characters[element] * weighted[at]
                return out + jnp.where(known, term, 0), None

            out = jnp.zeros(chunk, dtype)
            for run in self.runs:
                out, _ = jax.lax.scan(add, out, run)
            return out

        return self.diagonal * vector + jax.lax.map(rows, codes).reshape(-1)[:size] / self.norms

    def _image(self, element: Array, codes: Array) -> Array:
        """Images of codes, each under its own element."""
        contents = self.images.shape[2]
        out = jnp.zeros_like(codes)
        for shift, table in zip(self.shifts, self.images):
            out = out | table[element, (codes >> shift & (contents - 1)).astype(jnp.int32)]
        return out

    def _first(self, codes: Array) -> tuple[Array, Array]:
        """The smallest image of each code, and an element that leads there."""

        def part(element: Array) -> Array:
            image = self._image(jnp.broadcast_to(element, codes.shape), codes)
            return (image >> self.low).astype(jnp.int32) if self.smallest.shape[1] > 1 else jnp.zeros(codes.shape, int)

        contents = jax.lax.map(part, self.chosen)
        smallest = jnp.take_along_axis(self.smallest, contents, axis=1)
        lead = jnp.min(smallest, axis=0)

        def try_class(found: tuple[Array, Array], own: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], None]:
            starts, content, here = own
            begin = starts[content]
            count = jnp.where(here == lead, starts[content + 1] - begin, 0)

            def one(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
                k, best, element = state
                tried = self.reach[begin + jnp.minimum(k, count - 1)]
                image = self._image(tried, codes)
                better = (k < count) & (image < best)
                return k + 1, jnp.where(better, image, best), jnp.where(better, tried, element)

            state = jax.lax.while_loop(lambda state: state[0] < jnp.max(count), one, (jnp.zeros((), int), *found))
            return state[1:], None

        nothing = (jnp.full(codes.shape, jnp.iinfo(codes.dtype).max, codes.dtype), jnp.zeros(codes.shape, int))
        return jax.lax.scan(try_class, nothing, (self.starts, contents, smallest))[0]


def direct_map(operator: AbstractOperator, basis: SectorBasis) -> DirectMap | None:
    """The map without tables, or `None` where there is none: other operators, irreps, and elements with phases.

    Args:
        operator: on the space of the basis; that it commutes is not checked here.
        basis: from `SectorBasis`, not empty.
    """
    orbits = basis.orbits
    if not isinstance(operator, PauliSum) or basis.dimension > 1 or not orbits.action.is_trivial:
        return None
    strings, layout, values = operator.strings, operator.strings.layout, string_elements(operator)
    n, dtype = strings.n_sites, orbits.dtype

    def words(masks: Any) -> np.ndarray:
        spelled = [sum(1 << int(orbits.place[m]) for m in range(n) if mask >> (n - 1 - m) & 1) for mask in masks]
        return np.array(spelled, dtype)

    runs, position, first = [], 0, 0
    for count, size in layout.runs:
        terms = layout.order[position : position + count * size].reshape(count, size)
        masks = np.stack([words(strings.signs[k] for k in row) for row in terms])
        runs.append((words(layout.flips[first : first + count]), masks, values[terms]))
        position, first = position + count * size, first + count
    diagonal = np.zeros(len(basis.codes), values.dtype)
    for mask, value in zip(words(strings.signs[k] for k in layout.diagonal), values[layout.diagonal]):
        diagonal += np.where(np.bitwise_count(basis.codes & mask) & 1, -value, value)
    order = orbits.action.order
    everything = [(0, np.zeros(1, dtype), np.array([0, order]), np.arange(order))]  # no leading part: all are tried
    classes = orbits.classes or everything
    offsets = np.cumsum([0, *(len(c[3]) for c in classes)])
    parts = (
        basis.codes,
        basis.norms,
        diagonal,
        basis.matrices[:, 0, 0],
        orbits.table,
        np.array([c[0] for c in classes]),
        np.stack([c[1] for c in classes]),
        np.stack([c[2] + offset for c, offset in zip(classes, offsets)]),
        np.concatenate([c[3] for c in classes]),
        tuple(runs),
    )
    return DirectMap(*jax.device_put(parts), shifts=tuple(int(s) for s in orbits.shifts), low=orbits.low)
