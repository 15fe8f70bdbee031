"""Signs of Z strings on rows of configurations, and the flips of groups."""

from dataclasses import dataclass
from typing import final

import jax.numpy as jnp
import numpy as np

from qml._core.types import Array
from qml.operator.strings import PauliStrings, mask_rows

_SHORT = 8  # up to this many sites a sign is a product of spins, beyond it a parity


@final
@dataclass(frozen=True, eq=False)
class StringSigns:
    """Evaluates the Z part of strings: the product of the spins of each string, equal ones once."""

    rows: np.ndarray  # the distinct masks, int8 [masks, sites] of 0 and 1
    inverse: np.ndarray  # the mask of each string

    @staticmethod
    def of(strings: PauliStrings, terms: np.ndarray) -> "StringSigns":
        masks = [strings.signs[k] for k in terms]
        index: dict[int, int] = {}
        inverse = np.array([index.setdefault(mask, len(index)) for mask in masks], dtype=int)
        return StringSigns(mask_rows(list(index), strings.n_sites), inverse)

    def __call__(self, x: Array) -> Array:
        """Signs `int8[..., terms]` of configurations `x[..., sites]`."""
        x = x.astype(jnp.int8)
        width = int(self.rows.sum(axis=1).max(initial=0))
        if width > _SHORT:
            down = (x < 0).astype(jnp.float32)
            odd = jnp.matmul(down, jnp.asarray(self.rows.T, dtype=jnp.float32)).astype(jnp.int32) & 1
            signs = (1 - 2 * odd).astype(jnp.int8)
        else:
            n_sites = x.shape[-1]
            sites = np.full((len(self.rows), width), n_sites)
            for k, row in enumerate(self.rows):
                support = np.flatnonzero(row)
                sites[k, : len(support)] = support
            padded = jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1)
            signs = jnp.ones((*x.shape[:-1], len(self.rows)), jnp.int8)
            for column in sites.T:
                signs = signs * padded[..., column]
        return signs if np.array_equal(self.inverse, np.arange(len(self.rows))) else signs[..., self.inverse]


def flip_factors(strings: PauliStrings) -> np.ndarray:
    """`-1` on the flipped sites of each off-diagonal group, `int8[groups, sites]`."""
    return 1 - 2 * mask_rows(strings.layout.flips, strings.n_sites)
