"""Bosons with a largest occupation, with or without a fixed number of particles."""

import functools
from dataclasses import dataclass
from typing import final

from qml.hilbert.base import AbstractHilbert, check_count
from qml.hilbert.block import Block


@final
@dataclass(frozen=True)
class Boson(AbstractHilbert):
    r"""Bosons with occupations $0 \le n_i \le n_{\max}$ on `n_sites` sites, optionally with fixed $\sum_i n_i$.

    Configurations are `int8[..., sites]` of occupations, numbered with site 0 slowest and the empty one first.

    Args:
        n_sites: number of sites, at least 1.
        n_max: largest occupation of a site, 1 to 127.
        n_particles: number of particles of every configuration; `None` allows all.

    Raises:
        SpaceError: a number is out of range.

    Example:
        >>> from qml.hilbert import Boson
        >>> space = Boson(3, n_max=2, n_particles=2)
        >>> space.all_states().tolist()
        [[0, 0, 2], [0, 1, 1], [0, 2, 0], [1, 0, 1], [1, 1, 0], [2, 0, 0]]
    """

    n_sites: int
    n_max: int
    n_particles: int | None = None

    def __post_init__(self):
        check_count(self, "n_sites", 1)
        check_count(self, "n_max", 1, 127)
        if self.n_particles is not None:
            check_count(self, "n_particles", 0, self.n_sites * self.n_max)

    @functools.cached_property
    def _block(self) -> Block:
        sites = (range(self.n_max + 1),) * self.n_sites
        if self.n_particles is None:
            return Block(sites)
        return Block(sites, (tuple(range(self.n_sites)),), (self.n_particles,))
