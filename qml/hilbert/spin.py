"""Spins of any size, with or without a fixed magnetisation."""

import functools
from dataclasses import dataclass
from typing import final

import numpy as np

from qml._core.errors import SpaceError
from qml.hilbert.base import AbstractHilbert
from qml.hilbert.block import Block


@final
@dataclass(frozen=True)
class Spin(AbstractHilbert):
    r"""Spins $s$ on `n_sites` sites, optionally with fixed total $S^z = \sum_i s^z_i$.

    Configurations are `int8[..., sites]` of doubled quantum numbers $2 s^z_i \in \{2s, 2s-2, \ldots, -2s\}$, so
    spin-1/2 is +1 or -1. States are numbered with site 0 slowest and all up first: without a constraint the index is
    $\sum_i d_i (2s+1)^{n-1-i}$ with digits $d_i = (2s - x_i)/2$, with one it is the rank
    $\sum_i \#\{\text{completions with a smaller digit at } i\}$.

    Args:
        n_sites: number of sites, at least 1.
        s: spin of a site, a positive multiple of 1/2.
        magnetisation: total $S^z$ of every configuration; `None` allows all. `Constrained` fixes it on parts.

    Raises:
        SpaceError: `s` is no spin, or no configuration has this magnetisation.

    Example:
        >>> from qml.hilbert import Spin
        >>> space = Spin(4, magnetisation=0)
        >>> space.size
        6
        >>> space.all_states()[0].tolist()
        [1, 1, -1, -1]
        >>> [1, -1, 1, -1] in space, [1, 1, 1, -1] in space
        (True, False)
    """

    n_sites: int
    s: float | int = 0.5
    magnetisation: float | int | None = None

    def __post_init__(self):
        if isinstance(self.n_sites, bool) or not isinstance(self.n_sites, (int, np.integer)) or self.n_sites < 1:
            raise SpaceError(
                "There is no such number of sites.", got=self.n_sites, expected="an int >= 1", try_="Spin(4)"
            )
        if not (self.s > 0 and float(2 * self.s).is_integer() and self.s <= 63):
            raise SpaceError("There is no such spin.", got=self.s, expected="0.5, 1, 1.5, ... 63", try_="s=0.5")
        object.__setattr__(self, "n_sites", int(self.n_sites))
        object.__setattr__(self, "s", float(self.s))
        if self.magnetisation is None:
            return
        top, doubled = int(2 * self.s) * self.n_sites, 2 * self.magnetisation
        if not float(doubled).is_integer() or (top - int(doubled)) % 2 or abs(doubled) > top:
            raise SpaceError(
                f"No configuration of {self.n_sites} spins {self.s:g} has this total S^z.",
                got=f"magnetisation={self.magnetisation}",
                expected=f"one of {top / 2:g}, {top / 2 - 1:g}, ... {-top / 2:g} (total S^z, steps of 1)",
                try_=f"magnetisation={top % 2 / 2:g}",
            )
        object.__setattr__(self, "magnetisation", float(self.magnetisation))

    @functools.cached_property
    def _block(self) -> Block:
        top = int(2 * self.s)
        sites = (range(top, -top - 1, -2),) * self.n_sites
        if self.magnetisation is None:
            return Block(sites)
        return Block(sites, (tuple(range(self.n_sites)),), ((top * self.n_sites + int(2 * self.magnetisation)) // 2,))
