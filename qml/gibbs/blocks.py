r"""Parity blocks: a sum of Pauli strings that commutes with a string of X, or of Z, falls into blocks of half its size.

The parities are found from the bit masks alone: a string of X with mask f commutes with all strings whose sign masks
meet f in an even number of sites, and one of Z with mask z with those whose flip masks do. One of each kind is used, if
they commute with each other, so matrices have one, two or four blocks.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from qml._core.types import Array, Inexact
from qml.operator.strings import PauliStrings


class Parities(NamedTuple):
    """How the basis falls into blocks."""

    flip: int  # mask of the string of X, 0 for none
    order: np.ndarray  # basis states: those of each block's representatives, then their flipped partners
    inverse: np.ndarray
    sets: int  # number of values of the other parity, 1 or 2

    @property
    def count(self) -> int:
        """Number of blocks."""
        return self.sets * (2 if self.flip else 1)


def _orthogonal(masks: list[int], n_sites: int) -> list[int]:
    """A basis of the masks that meet all given ones in an even number of sites."""
    pivots: dict[int, int] = {}  # highest bit -> reduced mask
    for mask in masks:
        for bit, row in pivots.items():
            mask = mask ^ row if mask >> bit & 1 else mask
        if mask:
            top = mask.bit_length() - 1
            pivots = {bit: row ^ mask if row >> top & 1 else row for bit, row in pivots.items()} | {top: mask}
    free = [bit for bit in range(n_sites) if bit not in pivots]
    return [(1 << bit) | sum(1 << p for p, row in pivots.items() if row >> bit & 1) for bit in free]


@functools.lru_cache(maxsize=64)
def parities(strings: PauliStrings) -> Parities:
    """The parities that all strings keep."""
    n = strings.n_sites
    flips = _orthogonal(list(strings.signs), n)
    flip = max(flips, default=0, key=int.bit_count)
    signs = _orthogonal([*strings.flips, flip], n)
    sign = max(signs, default=0, key=int.bit_count)
    states = np.arange(2**n)
    first = states[states >> (flip.bit_length() - 1) & 1 == 0] if flip else states
    odd = np.array([(int(b) & sign).bit_count() & 1 for b in first])
    first = first[np.argsort(odd, kind="stable")]
    order = np.concatenate([first, first ^ flip]) if flip else first
    return Parities(flip, order, np.argsort(order), 2 if sign else 1)


def blocks(strings: PauliStrings, matrix: Inexact[Array, "size size"]) -> Inexact[Array, "blocks part part"]:
    """The blocks of a matrix that keeps the parities: even and odd under the flip, each for both of the others."""
    p = parities(strings)
    if p.count == 1:
        return matrix[None]
    sorted_ = matrix[p.order][:, p.order]
    half = len(p.order) // 2 if p.flip else len(p.order)
    part = half // p.sets
    near = [sorted_[k * part : (k + 1) * part, k * part : (k + 1) * part] for k in range(p.sets)]
    if not p.flip:
        return jnp.stack(near)
    far = [sorted_[k * part : (k + 1) * part, half + k * part : half + (k + 1) * part] for k in range(p.sets)]
    return jnp.stack([a + b for a, b in zip(near, far)] + [a - b for a, b in zip(near, far)])


def joined(strings: PauliStrings, parts: Inexact[Array, "blocks part part"]) -> Inexact[Array, "size size"]:
    """The matrix with these blocks: the inverse of `blocks`."""
    p = parities(strings)
    if p.count == 1:
        return parts[0]
    if not p.flip:
        return _diagonal(parts)[p.inverse][:, p.inverse]
    even, odd = parts[: p.sets], parts[p.sets :]
    near, far = _diagonal((even + odd) / 2), _diagonal((even - odd) / 2)
    whole = jnp.block([[near, far], [far, near]])
    return whole[p.inverse][:, p.inverse]


def vectors(strings: PauliStrings, parts: Inexact[Array, "blocks part part"]) -> Inexact[Array, "size size"]:
    """Columns of the blocks as columns of whole vectors, block after block."""
    p = parities(strings)
    if p.count == 1:
        return parts[0]
    if not p.flip:
        return _diagonal(parts)[p.inverse]
    even, odd = _diagonal(parts[: p.sets] / np.sqrt(2)), _diagonal(parts[p.sets :] / np.sqrt(2))
    return jnp.block([[even, odd], [even, -odd]])[p.inverse]


def _diagonal(parts: Array) -> Array:
    if len(parts) == 1:
        return parts[0]
    zero = jnp.zeros_like(parts[0])
    return jnp.block([[parts[0], zero], [zero, parts[1]]])
