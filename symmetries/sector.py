"""Symmetry sectors: a little group, one of its irreps, and what follows from them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int

from symmetries import permutation
from symmetries._errors import SymmetryError
from symmetries.characters import Irrep
from symmetries.group import FiniteGroup
from symmetries.space_group import SpaceGroup


class Representatives(NamedTuple):
    """What `Sector.representatives` gives.

    `states` `[..., sites]`: the largest configuration of each orbit. `elements` `[...]`: an element of the little
    group that brings the given configuration there. `norms` `[...]`: length of the projected configuration,
    $\\sqrt{\\langle x|P|x\\rangle}$, the same all over an orbit when the irrep has dimension one.
    """

    states: np.ndarray
    elements: Int[np.ndarray, "*batch"]
    norms: Float[np.ndarray, "*batch"]


@dataclass(frozen=True, init=False)
class Sector:
    r"""States of one momentum that transform like one irrep of its little group.

    The little group holds the elements of the space group that keep $k$; its irreps are
    $e^{-i k \cdot t}\,\chi(R)$ with an irrep $\chi$ of the isometries that keep $k$. The projector is

    $$P = \frac{d}{|G_k|} \sum_{g \in G_k} \overline{\chi(g)}\, g, \qquad (g x)_{g(s)} = x_s .$$

    It projects on one arm of the star of $k$: the whole irrep of the space group is `len(star)` times as large.

    Args:
        space_group: from `space_group` or `translation_group`.
        momentum: whole numbers $n_i$ with $k \cdot a_i = 2\pi n_i / L_i$, or a name such as `"M"`; zero if left out.
        irrep: label of an irrep of the isometries that keep $k$; the trivial one if left out.

    Raises:
        SymmetryError: the crystal has no such momentum, or no such irrep there.

    Example:
        >>> import qml, symmetries
        >>> sector = symmetries.Sector(symmetries.space_group(qml.lattice.Chain(4)), momentum=2, irrep="B")
        >>> sector.label, sector.dimension, sector.sector_dimension()
        ('k=(2,) B', 1, 1)
        >>> sector.characters.real
        array([ 1., -1., -1.,  1.,  1., -1., -1.,  1.])
    """

    space_group: SpaceGroup
    momentum: tuple[int, ...]
    irrep: str
    _irrep: Irrep = field(repr=False, compare=False)

    def __init__(self, space_group: SpaceGroup, momentum: Any = None, irrep: str | None = None):
        object.__setattr__(self, "space_group", space_group)
        object.__setattr__(self, "momentum", space_group.momentum(momentum))
        table = space_group.little_point_group(self.momentum).characters
        chosen = table.irreps[0] if irrep is None else table.irrep(irrep)
        object.__setattr__(self, "irrep", chosen.label)
        object.__setattr__(self, "_irrep", chosen)

    def __repr__(self) -> str:
        return f"Sector({self.label}, group of order {self.group.order} on {self.n_sites} sites)"

    @cached_property
    def elements(self) -> Int[np.ndarray, " g"]:
        """The elements of the space group that keep the momentum."""
        return np.flatnonzero(np.isin(self.space_group.point_parts, self.space_group.little_group(self.momentum)))

    @cached_property
    def group(self) -> FiniteGroup:
        """The little group."""
        return self.space_group.group.subgroup(self.elements)

    @cached_property
    def permutations(self) -> Int[np.ndarray, "g sites"]:
        """Element `g` of the little group moves site `s` to `permutations[g, s]`."""
        return _closed(self.space_group.permutations[self.elements])

    @cached_property
    def characters(self) -> Complex[np.ndarray, " g"]:
        """Character of each element of the little group."""
        points = self.space_group.little_group(self.momentum)
        place = np.searchsorted(points, self.space_group.point_parts[self.elements])
        return _closed(self.space_group.phases(self.momentum)[self.elements] * self._irrep.characters[place])

    @property
    def weights(self) -> Complex[np.ndarray, " g"]:
        r"""Coefficients of the projector, $w_g = d\,\overline{\chi(g)}/|G_k|$."""
        return self.dimension / len(self.characters) * self.characters.conj()

    @property
    def dimension(self) -> int:
        """Dimension of the irrep of the little group."""
        return self._irrep.dimension

    @property
    def label(self) -> str:
        """Momentum and irrep, e.g. `k=(0, 0) A1`."""
        return f"k={self.momentum} {self.irrep}"

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return self.space_group.n_sites

    @property
    def star(self) -> tuple[tuple[int, ...], ...]:
        """All momenta that the point group makes of this one."""
        return self.space_group.star(self.momentum)

    @property
    def is_real(self) -> bool:
        """Whether all characters are real."""
        return bool((np.imag(self.characters) == 0).all())

    def apply(self, x: Any) -> np.ndarray:
        """Configurations moved by every element of the little group.

        Args:
            x: `[..., sites]`.

        Returns:
            `[..., g, sites]`, with `result[..., g, permutations[g, s]] = x[..., s]`.
        """
        return self._checked(x)[..., self._inverse]

    def project(self, vector: Any, local_states: int = 2) -> Complex[np.ndarray, " states"]:
        """The projector applied to a state vector of the whole space.

        Args:
            vector: `[local_states ** sites]`, site 0 slowest.
            local_states: states of one site.

        Returns:
            $P v$, of the same length.
        """
        tensor = np.asarray(vector).reshape((local_states,) * self.n_sites)
        total = np.zeros(tensor.shape, complex)
        for weight, axes in zip(self.weights, self._inverse):
            total += weight * tensor.transpose(axes)  # site s of the input becomes site g(s)
        return total.reshape(-1)

    def sector_dimension(self, magnetisation: float | int | None = None, local_states: int = 2) -> int:
        """Number of states: the trace of the projector, counted by cycles, exact for any size.

        An element has trace `local_states ** cycles`. The characters of all elements with the same cycles add up
        to a whole number, so nothing but whole numbers is ever multiplied.

        Args:
            magnetisation: total $S^z$ of the states to count; `None` counts all.
            local_states: states of one site, $2 s + 1$ for spin $s$.

        Raises:
            SymmetryError: no state has this magnetisation.

        Example:
            >>> import qml, symmetries
            >>> group = symmetries.translation_group(qml.lattice.Chain(8))
            >>> [symmetries.Sector(group, n).sector_dimension() for n in range(5)]
            [36, 30, 33, 30, 34]
            >>> symmetries.Sector(group).sector_dimension(magnetisation=0)
            10
        """
        raised = None if magnetisation is None else self._raised(magnetisation, local_states)
        kinds, index = np.unique(permutation.cycle_counts(self.permutations), axis=0, return_inverse=True)
        sums = np.bincount(index, weights=np.real(self.characters))
        total = 0
        for kind, weight in zip(kinds.tolist(), sums.tolist()):
            trace = local_states ** sum(kind) if raised is None else _fixed(kind, raised, local_states)
            total += round(weight) * trace
        return total * self.dimension // len(self.elements)

    def representatives(self, x: Any) -> Representatives:
        """The largest configuration of the orbit of each one, how to get there, and the length after projection.

        Configurations are compared site by site from site 0, so for spin 1/2 the largest is the one with the
        lowest basis index. A configuration survives the projection if its norm is not zero.

        Args:
            x: `[..., sites]` whole numbers.

        Returns:
            `Representatives`.

        Example:
            >>> import numpy as np, qml, symmetries
            >>> sector = symmetries.Sector(symmetries.translation_group(qml.lattice.Chain(4)), momentum=2)
            >>> states, elements, norms = sector.representatives(np.array([[-1, 1, -1, 1], [-1, -1, -1, -1]]))
            >>> states[0], elements[0], norms.round(3)
            (array([ 1, -1,  1, -1]), np.int64(1), array([0.707, 0.   ]))
        """
        configurations = self._checked(x)
        flat = configurations.reshape(-1, self.n_sites)
        low, high = (int(flat.min()), int(flat.max())) if flat.size else (0, 0)
        base, elements, norms = high - low + 1, np.zeros(len(flat), np.int64), np.zeros(len(flat))
        digits = max(int(52 // np.log2(max(base, 2))), 1)
        rows = max(1, 2**22 // self.group.order)
        words = [self._word(start, digits, base) for start in range(0, self.n_sites, digits)]
        for start in range(0, len(flat), rows):
            batch = (flat[start : start + rows] - low).astype(float)
            largest = np.ones((len(batch), self.group.order), bool)
            fixed = np.ones_like(largest)
            for word in words:  # numbers below 2^53: exact in floating point
                values = batch @ word
                fixed &= values == values[:, self.group.identity, None]
                values = np.where(largest, values, -1.0)
                largest &= values == values.max(axis=1, keepdims=True)
            elements[start : start + rows] = largest.argmax(axis=1)
            norms[start : start + rows] = fixed @ np.real(self.weights)
        states = np.take_along_axis(flat, self._inverse[elements], axis=1)
        norms = np.sqrt(np.where(norms < 1e-9, 0.0, norms))
        shape = configurations.shape[:-1]
        return Representatives(states.reshape(configurations.shape), elements.reshape(shape), norms.reshape(shape))

    @cached_property
    def _inverse(self) -> np.ndarray:
        return permutation.inverse(self.permutations)

    def _word(self, start: int, digits: int, base: int) -> np.ndarray:
        """Weights `[sites, g]` that turn a configuration into the digits `start .. start + digits` of its images."""
        place = np.arange(self.n_sites)
        inside = (place >= start) & (place < start + digits)
        powers = np.where(inside, float(base) ** (min(start + digits, self.n_sites) - 1 - place), 0.0)
        return powers[self.permutations].T

    def _checked(self, x: Any) -> np.ndarray:
        array = np.asarray(x)
        if array.ndim == 0 or array.shape[-1] != self.n_sites:
            raise SymmetryError(
                "The configurations do not fit the lattice.",
                got=f"shape {array.shape}",
                expected=f"[..., {self.n_sites}]",
                try_="one entry for each site, sites last",
            )
        return array

    def _raised(self, magnetisation: float | int, local_states: int) -> int:
        """How many steps above the lowest state of all sites a magnetisation is."""
        steps = magnetisation + self.n_sites * (local_states - 1) / 2
        if steps != round(steps) or not 0 <= steps <= self.n_sites * (local_states - 1):
            top = self.n_sites * (local_states - 1) / 2
            raise SymmetryError(
                "No state has this magnetisation.",
                got=f"magnetisation={magnetisation} with {local_states} states on each of {self.n_sites} sites",
                expected=f"one of {-top:g}, {1 - top:g} ... {top:g}",
                try_=f"magnetisation={top % 1:g}",
            )
        return round(steps)


def sectors(space_group: SpaceGroup) -> Iterator[Sector]:
    """All sectors, one for each star of momenta and irrep of its little group.

    Together they are the whole space: $\\sum_S |\\mathrm{star}(S)|\\, \\dim S = q^n$.

    Example:
        >>> import qml, symmetries
        >>> group = symmetries.space_group(qml.lattice.Chain(4))
        >>> [(s.label, len(s.star), s.sector_dimension()) for s in symmetries.sectors(group)]
        [('k=(0,) A', 1, 6), ('k=(0,) B', 1, 0), ('k=(1,) A', 2, 3), ('k=(2,) A', 1, 3), ('k=(2,) B', 1, 1)]
        >>> sum(len(s.star) * s.sector_dimension() for s in symmetries.sectors(group))
        16
    """
    for momentum in np.ndindex(*space_group.extent):
        if momentum == space_group.star(momentum)[0]:
            yield from (Sector(space_group, momentum, label) for label in space_group.irreps(momentum))


def _fixed(cycles: list[int], raised: int, local_states: int) -> int:
    """How many configurations, constant on every cycle, of numbers 0 .. local_states - 1 have a given sum."""
    ways = [1] + [0] * raised
    for length, number in enumerate(cycles):
        for _ in range(number):
            ways = [
                sum(ways[total - length * b] for b in range(min(local_states - 1, total // length) + 1))
                for total in range(raised + 1)
            ]
    return ways[raised]


def _closed(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
