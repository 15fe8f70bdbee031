"""Space groups of finite crystals: translations times point group, as permutations of sites."""

from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Int

from symmetries._descriptor import descriptor
from symmetries._errors import SymmetryError
from symmetries.characters import roots_of_unity
from symmetries.crystal import TOLERANCE, Crystal, check_crystal, scale, site_map
from symmetries.group import FiniteGroup
from symmetries.point_group import PointGroup, point_operations

__all__ = ["Crystal", "SpaceGroup", "space_group", "translation_group"]


@descriptor
class SpaceGroup:
    r"""Translations and point group of a finite crystal, $g = \{R|t\}: r \mapsto R(r - o) + o + t$.

    Element `t * point_group.order + p` is the isometry `p` about the origin $o$, then the translation `t`; element
    0 is the identity. This is the abstract group: its order is always translations times isometries. On tori one
    or two cells wide different elements may be the same permutation (`is_faithful` tells); projectors are right
    all the same, and irreps that cannot occur have dimension zero.

    Build it by `space_group` or `translation_group`.

    Args:
        cell: `[d, d]`, rows are the primitive vectors $a_i$.
        extent: number of translations along each axis; 1 on open axes.
        origin: `[d]`, fixed point of the isometries.
        point_group: the isometries.
        steps: `[p, d, d]`, the isometries on lattice vectors, $R\,a_i = \sum_j W_{ij} a_j$.
        permutations: `[g, sites]`; element `g` moves site `s` to `permutations[g, s]`.
    """

    cell: Float[np.ndarray, "d d"]
    extent: tuple[int, ...]
    origin: Float[np.ndarray, " d"]
    point_group: PointGroup
    steps: Int[np.ndarray, "p d d"]
    permutations: Int[np.ndarray, "g sites"]

    @property
    def order(self) -> int:
        """Number of elements."""
        return len(self.permutations)

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return self.permutations.shape[1]

    @cached_property
    def translations(self) -> Int[np.ndarray, "g d"]:
        """The translation part $t$ of each element, in primitive vectors."""
        return np.repeat(self._grid, self.point_group.order, axis=0)

    @cached_property
    def point_parts(self) -> Int[np.ndarray, " g"]:
        """Which isometry of `point_group` each element contains."""
        return np.tile(np.arange(self.point_group.order), len(self._grid))

    @cached_property
    def group(self) -> FiniteGroup:
        r"""The abstract group, $\{R|t\}\{R'|t'\} = \{R R'|t + R\,t'\}$."""
        grid, p = self._grid, self.point_group.order
        moved = self._number((grid[None, :, None, :] @ self.steps[:, None])[:, :, 0])  # [p, t']
        added = self._number(grid[:, None] + grid[None])  # [t, t']
        translation = added[:, moved]  # [t, p, t']
        isometry = self.point_group.group.product_table
        table = translation[:, :, :, None] * p + isometry[None, :, None, :]
        return FiniteGroup(table.reshape(self.order, self.order))

    @cached_property
    def is_faithful(self) -> bool:
        """Whether different elements are different permutations."""
        return len(np.unique(self.permutations, axis=0)) == self.order

    def little_group(self, momentum: tuple[int, ...]) -> Int[np.ndarray, " p"]:
        """Isometries that keep a momentum, up to reciprocal lattice vectors; indices into `point_group`.

        Args:
            momentum: whole numbers $n_i$, $k \\cdot a_i = 2\\pi n_i / L_i$.
        """
        images = self._images(momentum)
        return np.flatnonzero((images == images[0]).all(axis=1))

    def irreps(self, momentum: Any = None) -> tuple[str, ...]:
        """Labels of the irreps of the isometries that keep a momentum: what `Sector` takes as `irrep` there.

        Example:
            >>> import qml, symmetries
            >>> symmetries.space_group(qml.lattice.Square(4, 4)).irreps("X")
            ('A1', 'A2', 'B1', 'B2')
        """
        return self.little_point_group(self.momentum(momentum)).characters.labels

    def little_point_group(self, momentum: tuple[int, ...]) -> PointGroup:
        """The isometries that keep a momentum, as a point group."""
        return self.point_group.subgroup(self.little_group(momentum))

    def star(self, momentum: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """All momenta that the point group makes of one, sorted."""
        return tuple(sorted({tuple(image) for image in self._images(momentum).tolist()}))

    def phases(self, momentum: tuple[int, ...]) -> Complex[np.ndarray, " g"]:
        r"""Character $e^{-i k \cdot t}$ of the translation part of every element."""
        whole = int(np.lcm.reduce(self.extent))
        turns = (self.translations * (np.asarray(momentum) * (whole // np.asarray(self.extent)))).sum(axis=1) % whole
        return roots_of_unity(whole)[-turns]

    def momentum(self, name: Any = None) -> tuple[int, ...]:
        """Whole numbers $0 \\le n_i < L_i$ of a momentum $k \\cdot a_i = 2\\pi n_i / L_i$.

        Args:
            name: whole numbers between $-L_i$ and $L_i$, one per axis (a bare one for a chain); or a name: `Gamma`
                anywhere, `X`, `Y`, `M`, `R` where the primitive vectors are orthogonal, `M`, `K` where they are
                hexagonal; `None` is `Gamma`.

        Raises:
            SymmetryError: this crystal has no such momentum.

        Example:
            >>> import qml, symmetries
            >>> group = symmetries.space_group(qml.lattice.Square(4, 6))
            >>> group.momentum("M"), group.momentum((-1, 0))
            ((2, 3), (3, 0))
        """
        extent = np.asarray(self.extent)
        if name is None or isinstance(name, str):
            numbers = self._named("Gamma" if name is None else name) * extent
        else:
            numbers = np.atleast_1d(np.asarray(name, float))
        fits = numbers.shape == extent.shape
        if not fits or (np.abs(numbers - np.round(numbers)) > 1e-9).any() or (np.abs(numbers) >= extent).any():
            raise SymmetryError(
                "This momentum is not on the lattice.",
                got=repr(name),
                expected=f"whole numbers n with k = 2 pi n / L, |n| < {self.extent} (1 where an axis is open)",
                try_=f"momentum={(0,) * len(extent)}",
            )
        return tuple((np.round(numbers).astype(int) % extent).tolist())

    def _named(self, name: str) -> np.ndarray:
        """Reduced coordinates of a special point of the Brillouin zone."""
        d = len(self.cell)
        gram = self.cell @ self.cell.T / (self.cell**2).sum(axis=1).max()
        known = {"Gamma": (0.0,) * d, "Γ": (0.0,) * d}
        if np.abs(gram - np.diag(gram.diagonal())).max() < TOLERANCE:
            points = {"X": (0.5, 0, 0), "Y": (0, 0.5, 0), "M": (0.5, 0.5, 0), "R": (0.5, 0.5, 0.5)}
            known |= {key: point[:d] for key, point in points.items() if not any(point[d:])}
        elif d == 2 and np.allclose(np.abs(gram), [[1, 0.5], [0.5, 1]], atol=TOLERANCE):
            known |= {"M": (0.5, 0), "K": (1 / 3, 2 / 3 if gram[0, 1] > 0 else 1 / 3)}
        if name not in known:
            raise SymmetryError(
                f"The Brillouin zone of this lattice has no point named {name!r} here.",
                got=repr(name),
                expected=f"one of {', '.join(known)}",
                try_=f"whole numbers, e.g. momentum={(0,) * d}",
            )
        return np.asarray(known[name], float)

    @cached_property
    def _grid(self) -> np.ndarray:
        return np.indices(self.extent).reshape(len(self.extent), -1).T

    def _number(self, translations: np.ndarray) -> np.ndarray:
        wrapped = np.moveaxis(translations % np.asarray(self.extent), -1, 0)
        return np.asarray(np.ravel_multi_index(tuple(wrapped), self.extent))

    def _images(self, momentum: tuple[int, ...]) -> np.ndarray:
        """The momentum $k \\cdot R\\,a_i$ of each isometry; the set of all is the star."""
        extent = np.asarray(self.extent)
        numbers = np.asarray(momentum)
        turned = (self.steps * extent[None, :, None] * numbers[None, None, :] / extent[None, None, :]).sum(axis=-1)
        return np.round(turned).astype(int) % extent


def space_group(crystal: Crystal, origin: Any = None) -> SpaceGroup:
    """Translations and isometries that map a finite crystal to itself.

    Translations are those by the primitive vectors of the periodic axes. Isometries are found from the positions,
    about the point with the most of them (see `point_operations`). Screw axes and glide planes are not in the
    group unless they are products of the two.

    Args:
        crystal: lattice with positions.
        origin: `[d]`, fixed point of the isometries, if the best one is not wanted.

    Raises:
        SymmetryError: the object has no geometry.

    Example:
        >>> import qml, symmetries
        >>> group = symmetries.space_group(qml.lattice.Square(4, 4))
        >>> group.order, group.point_group.characters.labels
        (128, ('A1', 'A2', 'B1', 'B2', 'E'))
    """
    return _build(crystal, *point_operations(crystal, origin))


def translation_group(crystal: Crystal) -> SpaceGroup:
    """The translations along the periodic axes alone.

    Example:
        >>> import qml, symmetries
        >>> symmetries.translation_group(qml.lattice.Chain(8)).permutations[1]
        array([1, 2, 3, 4, 5, 6, 7, 0])
    """
    check_crystal(crystal)
    d = len(crystal.cell)
    return _build(crystal, np.eye(d, dtype=int)[None], np.eye(d)[None], np.zeros(d))


def _build(crystal: Crystal, steps: np.ndarray, matrices: np.ndarray, origin: np.ndarray) -> SpaceGroup:
    cell, positions = np.asarray(crystal.cell, float), np.asarray(crystal.positions, float)
    periodic = np.asarray(crystal.periodic, bool)
    extent = np.where(periodic, np.asarray(crystal.extent), 1)
    torus = (cell * extent[:, None])[periodic]
    tolerance = TOLERANCE * scale(crystal)

    def moved(points: np.ndarray) -> np.ndarray:
        sites = site_map(points, positions, torus, tolerance)
        if sites is None or len(np.unique(sites)) != len(positions):
            raise SymmetryError(
                "The sites of this crystal do not repeat as its cell says.",
                got=f"{len(positions)} positions",
                expected="positions that translations by the cell vectors map to each other",
                try_="a qml.lattice.Lattice with this cell, extent and offsets",
            )
        return sites

    translations = np.arange(len(positions))[None]
    for axis in range(len(cell)):
        step = moved(positions + cell[axis]) if periodic[axis] else None
        powers = [np.arange(len(positions))]
        for _ in range(extent[axis] - 1):
            powers.append(step[powers[-1]])  # type: ignore[index]
        translations = np.stack([power[rows] for rows in translations for power in powers])
    isometries = np.stack([moved((positions - origin) @ matrix.T + origin) for matrix in matrices])
    permutations = translations[:, isometries].reshape(-1, len(positions))
    return SpaceGroup(cell, tuple(extent.tolist()), origin, PointGroup(matrices), steps, permutations)
