"""Fermion modes: without spin, and with spin 1/2."""

import functools
from dataclasses import dataclass
from typing import final

from qml._core.errors import SpaceError
from qml.hilbert.base import AbstractHilbert, check_count
from qml.hilbert.block import Block


@final
@dataclass(frozen=True)
class SpinlessFermion(AbstractHilbert):
    r"""Fermions without spin: one mode on each site, occupied (1) or empty (0), optionally with fixed number.

    The state of a configuration is $\prod_i (c_i^\dagger)^{n_i} |0\rangle$ with mode 0 leftmost.
    Configurations are `int8[..., sites]`, numbered with site 0 slowest and the empty one first.

    Args:
        n_sites: number of modes, at least 1.
        n_fermions: number of fermions of every configuration; `None` allows all.

    Raises:
        SpaceError: a number is out of range.

    Example:
        >>> from qml.hilbert import SpinlessFermion
        >>> SpinlessFermion(3, n_fermions=2).all_states().tolist()
        [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    """

    n_sites: int
    n_fermions: int | None = None

    def __post_init__(self):
        check_count(self, "n_sites", 1)
        if self.n_fermions is not None:
            check_count(self, "n_fermions", 0, self.n_sites)

    @property
    def fermionic(self) -> bool:
        """True: the entries are occupations of fermion modes."""
        return True

    @functools.cached_property
    def _block(self) -> Block:
        sites = (range(2),) * self.n_sites
        if self.n_fermions is None:
            return Block(sites)
        return Block(sites, (tuple(range(self.n_sites)),), (self.n_fermions,))


@final
@dataclass(frozen=True)
class SpinfulFermion(AbstractHilbert):
    r"""Fermions with spin 1/2: two modes on each orbital, optionally with fixed numbers.

    A configuration is `int8[..., 2 * orbitals]`: the occupations of all up modes, then of all down modes. Its state is
    $\prod_i (c_{i\uparrow}^\dagger)^{n_{i\uparrow}} \prod_i (c_{i\downarrow}^\dagger)^{n_{i\downarrow}} |0\rangle$.

    Args:
        n_orbitals: number of orbitals, at least 1.
        n_up: number of fermions with spin up; `None` allows all.
        n_down: number of fermions with spin down; `None` allows all.
        n_fermions: number of fermions of both spins; `None` allows all. Two of the three numbers give the third.

    Raises:
        SpaceError: a number is out of range, or the three contradict each other.

    Example:
        >>> from qml.hilbert import SpinfulFermion
        >>> space = SpinfulFermion(2, n_up=1, n_down=1)
        >>> space.n_sites, space.size, space.n_fermions
        (4, 4, 2)
        >>> space.all_states()[0].tolist()
        [0, 1, 0, 1]
    """

    n_orbitals: int
    n_up: int | None = None
    n_down: int | None = None
    n_fermions: int | None = None

    def __post_init__(self):
        check_count(self, "n_orbitals", 1)
        for name, top in (("n_up", 1), ("n_down", 1), ("n_fermions", 2)):
            if getattr(self, name) is not None:
                check_count(self, name, 0, top * self.n_orbitals)
        up, down, both = self.n_up, self.n_down, self.n_fermions
        if up is not None and down is not None:
            both = up + down
        elif both is not None and up is not None:
            down = both - up
        elif both is not None and down is not None:
            up = both - down
        inside = all(n is None or 0 <= n <= self.n_orbitals for n in (up, down))
        if not inside or self.n_fermions not in (None, both):
            raise SpaceError(
                "No configuration has these numbers of fermions.",
                got=self,
                expected="n_up + n_down = n_fermions, with at most one fermion in each mode",
                try_="two of the three numbers",
            )
        for name, value in (("n_up", up), ("n_down", down), ("n_fermions", both)):
            object.__setattr__(self, name, value)

    @property
    def n_sites(self) -> int:  # type: ignore[override]
        """Length of a configuration: two modes for each orbital."""
        return 2 * self.n_orbitals

    @property
    def components(self) -> int:
        """Two: the up modes, then the down modes."""
        return 2

    @property
    def fermionic(self) -> bool:
        """True: the entries are occupations of fermion modes."""
        return True

    @functools.cached_property
    def _block(self) -> Block:
        n, sites = self.n_orbitals, (range(2),) * self.n_sites
        if self.n_fermions is not None and self.n_up is None:
            return Block(sites, (tuple(range(2 * n)),), (self.n_fermions,))
        fixed = [(range(n), self.n_up), (range(n, 2 * n), self.n_down)]
        parts = [(tuple(modes), number) for modes, number in fixed if number is not None]
        return Block(sites, tuple(p for p, _ in parts), tuple(t for _, t in parts))
