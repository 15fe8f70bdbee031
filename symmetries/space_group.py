"""Space groups of finite crystals: translations times isometries, as permutations of sites."""

from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Int

from symmetries._descriptor import descriptor
from symmetries._errors import SymmetryError
from symmetries.characters import CharacterTable, Irrep, roots_of_unity
from symmetries.crystal import Crystal, check_crystal, torus_rows
from symmetries.group import FiniteGroup
from symmetries.isometries import Isometries, find_isometries, site_permutations
from symmetries.little_group import LittleIrrep, full_table, induced, little_irreps
from symmetries.names import isometry_name
from symmetries.point_group import PointGroup
from symmetries.zone import Zone

__all__ = ["Crystal", "SpaceGroup", "space_group", "translation_group"]


@descriptor
class SpaceGroup:
    r"""Translations and isometries of a finite crystal, $g = \{R|w+t\}: r \mapsto R(r - o) + o + w_R + t$.

    Element `t * point_group.order + p` is the isometry `p` about the origin $o$ with its fractional shift $w$, then the
    translation `t`; element 0 is the identity. Shifts other than zero belong to glide planes and screw axes: the group
    is non-symmorphic. This is the abstract group: its order is always translations times isometries. On tori one
    or two cells wide different elements may be the same permutation (`is_faithful` tells); projectors are right
    all the same, and irreps that cannot occur have dimension zero.

    **Momenta** are labelled by whole numbers $n_i$, one per axis, with $k \cdot T_i = 2\pi n_i$ for the torus vectors
    $T_i = \sum_j S_{ij} a_j$; see `symmetries.zone.Zone`. They are the labels of `Lattice.momentum_numbers`.

    **A twist** $\phi$ is in the phases of the elements (`site_phases`), and only isometries that keep it,
    $V \phi = \phi$, are in the group. The translations still close: $T^L = 1$. So $N$ particles in the sector of
    label $n$ have $k \cdot T_i = 2\pi n_i + N \phi_i$. A mirror that turns $\pi$ into $-\pi$ is left out: it would
    send $n$ to $-n - N$, a different one for each number of particles. `antiperiodic_group` has it.

    Build it by `space_group` or `translation_group`.

    Args:
        cell: `[d, d]`, rows are the primitive vectors $a_i$.
        supercell: `[d, d]`, rows are the torus vectors in units of the primitive vectors; the identity on open axes.
        origin: `[d]`, Cartesian, of the isometries.
        point_group: the isometries.
        steps: `[p, d, d]`, the isometries on lattice vectors, $R\,a_i = \sum_j W_{ij} a_j$.
        shifts: `[p, d]`, the fractional shifts $w$ in primitive vectors, times `denominator`.
        denominator: see `shifts`; 1 for a symmorphic group.
        periodic: whether each axis closes upon itself.
        permutations: `[g, sites]`; element `g` moves site `s` to `permutations[g, s]`.
        site_phases: `[g, sites]`, $g\,c_s^\dagger g^{-1} = \mathrm{site\_phases}[g, s]\; c_{g(s)}^\dagger$. With a
            twist $\phi$ they are $e^{i\phi\cdot(f_{g(s)} - f_s)}$ for positions $f$ in units of the torus vectors, else
            one: the hopping $\sum e^{i \phi \cdot w_{ij}} c_i^\dagger c_j$ over edges with windings $w_{ij}$ is
            invariant, and they multiply as the elements do.

    Example:
        >>> import qml, symmetries
        >>> tilted = symmetries.space_group(qml.lattice.Square([[4, 2], [-2, 4]]))
        >>> tilted.order, tilted.point_group.characters.labels, len(tilted.momenta())
        (80, ('A', 'B', 'E+', 'E-'), 20)
        >>> symmetries.translation_group(qml.lattice.Chain(4, twist=3.141592653589793)).site_phases[1].round(3)
        array([ 0.707+0.707j,  0.707+0.707j,  0.707+0.707j, -0.707-0.707j])
    """

    cell: Float[np.ndarray, "d d"]
    supercell: Int[np.ndarray, "d d"]
    origin: Float[np.ndarray, " d"]
    point_group: PointGroup
    steps: Int[np.ndarray, "p d d"]
    shifts: Int[np.ndarray, "p d"]
    denominator: int
    periodic: tuple[bool, ...]
    permutations: Int[np.ndarray, "g sites"]
    site_phases: Complex[np.ndarray, "g sites"]

    @property
    def order(self) -> int:
        """Number of elements."""
        return len(self.permutations)

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return self.permutations.shape[1]

    @property
    def is_symmorphic(self) -> bool:
        """Whether all isometries keep the origin: no glide planes, no screw axes."""
        return not self.shifts.any()

    @property
    def extent(self) -> tuple[int, ...]:
        """Number of translations along each axis of a straight cluster, 1 where it is open.

        Raises:
            SymmetryError: the cluster is tilted.
        """
        rows = self.supercell
        if (rows != np.diag(np.diagonal(rows))).any():
            raise SymmetryError(
                "A tilted cluster has no number of translations along each axis.",
                got=f"supercell={rows.tolist()}",
                expected="a straight cluster",
                try_="momenta(), or supercell",
            )
        return tuple(np.abs(np.diagonal(rows)).tolist())

    @cached_property
    def zone(self) -> Zone:
        """The momenta."""
        return Zone(self.cell, self.supercell, self.periodic)

    @cached_property
    def translations(self) -> Int[np.ndarray, "g d"]:
        """The translation part $t$ of each element, in primitive vectors; the shift of the isometry is not in it."""
        return np.repeat(self.zone.torus.vectors, self.point_group.order, axis=0)

    @cached_property
    def point_parts(self) -> Int[np.ndarray, " g"]:
        """Which isometry of `point_group` each element contains."""
        return np.tile(np.arange(self.point_group.order), self.zone.torus.order)

    @cached_property
    def group(self) -> FiniteGroup:
        r"""The abstract group, $\{R|t\}\{R'|t'\} = \{R R'|t + R\,t' + (w_R + R\,w_{R'} - w_{RR'})\}$."""
        grid, number, p = self.zone.torus.vectors, self.zone.torus.number, self.point_group.order
        moved = number((grid[None, :, None, :] @ self.steps[:, None])[:, :, 0])  # [p, t']
        added = number(grid[:, None] + grid[None])  # [t, t']
        inner = added[moved[:, :, None], number(self._defects)[:, None, :]]  # [p, t', p']
        isometry = self.point_group.group.product_table
        table = added[:, inner] * p + isometry[None, :, None, :]
        return FiniteGroup(table.reshape(self.order, self.order))

    @cached_property
    def is_faithful(self) -> bool:
        """Whether different elements are different permutations."""
        return len(np.unique(self.permutations, axis=0)) == self.order

    def name(self, element: int) -> str:
        """What an element does, in Cartesian terms; see `symmetries.names.isometry_name`.

        Example:
            >>> import qml, symmetries
            >>> group = symmetries.space_group(qml.lattice.Square(4))
            >>> group.name(0), group.name(2), group.name(8), group.name(10)
            ('Id', 'Rot(90°)', 'Translation[0,1]', 'Rot(90°)O[-1/2,1/2]')
        """
        matrix = self.point_group.matrices[self.point_parts[element]]
        moves = self.translations[element] + self.shifts[self.point_parts[element]] / self.denominator
        return isometry_name(matrix, self.origin - matrix @ self.origin + moves @ self.cell)

    def momenta(self) -> tuple[tuple[int, ...], ...]:
        """Labels of all momenta, in lexicographic order; those of `qml.lattice.Lattice.momentum_numbers`.

        Example:
            >>> import qml, symmetries
            >>> symmetries.space_group(qml.lattice.Chain(4)).momenta()
            ((0,), (1,), (2,), (3,))
        """
        return self.zone.momenta()

    def momentum(self, name: Any = None) -> tuple[int, ...]:
        """Label of a momentum: the whole numbers $n_i$ that stand for it, see `SpaceGroup`.

        Args:
            name: whole numbers, one per axis (a bare one for a chain), on a straight cluster between $-L_i$ and $L_i$;
                or the name of a point, see `symmetries.zone.special_points`; `None` is `Gamma`. Names are those of
                $2\\pi n$ without the twist.

        Raises:
            SymmetryError: this crystal has no such momentum.

        Example:
            >>> import qml, symmetries
            >>> group = symmetries.space_group(qml.lattice.Square(4, 6))
            >>> group.momentum("M"), group.momentum((-1, 0))
            ((2, 3), (3, 0))
        """
        return self.zone.momentum(name)

    def named_momenta(self) -> dict[str, tuple[int, ...]]:
        """Labels of the points with names that this cluster has.

        Example:
            >>> import qml, symmetries
            >>> symmetries.space_group(qml.lattice.Triangular(6)).named_momenta()
            {'Gamma': (0, 0), 'M': (3, 0), 'K': (2, 4)}
        """
        return self.zone.named_momenta()

    def wavevector(self, momentum: Any = None) -> Float[np.ndarray, " d"]:
        """Cartesian $k$ of a momentum (without the twist), in the first Brillouin zone.

        Of several equally short vectors on the boundary of the zone the one with the largest first component is
        taken, then the second.

        Example:
            >>> import numpy as np, qml, symmetries
            >>> (symmetries.space_group(qml.lattice.Chain(4)).wavevector(3) / np.pi).round(6)
            array([-0.5])
        """
        return self.zone.wavevector(momentum)

    def momentum_of(self, wavevector: Any) -> tuple[int, ...]:
        """Label of a Cartesian wave vector, in any Brillouin zone.

        Raises:
            SymmetryError: the cluster has no such momentum.

        Example:
            >>> import numpy as np, qml, symmetries
            >>> symmetries.space_group(qml.lattice.Square(4)).momentum_of([np.pi, -np.pi / 2])
            (2, 3)
        """
        return self.zone.momentum_of(wavevector)

    def little_group(self, momentum: Any = None) -> Int[np.ndarray, " p"]:
        """Isometries that keep a momentum, up to reciprocal lattice vectors; indices into `point_group`.

        Example:
            >>> import qml, symmetries
            >>> len(symmetries.space_group(qml.lattice.Square(4)).little_group("X"))
            4
        """
        images = self.zone.images(self.steps, momentum)
        return np.flatnonzero((images == images[0]).all(axis=1))

    def little_point_group(self, momentum: Any = None) -> PointGroup:
        """The isometries that keep a momentum, as a point group (the little co-group)."""
        elements = tuple(self.little_group(momentum).tolist())
        if elements not in self._point_groups:
            self._point_groups[elements] = self.point_group.subgroup(elements)
        return self._point_groups[elements]

    def little_elements(self, momentum: Any = None) -> Int[np.ndarray, " h"]:
        """The elements that keep a momentum, translations included: the little group of the momentum."""
        return np.flatnonzero(np.isin(self.point_parts, self.little_group(momentum)))

    def little_irreps(self, momentum: Any = None) -> tuple[LittleIrrep, ...]:
        """Irreps of the little group of a momentum in which the translations are $e^{-i k \\cdot t}$.

        Their labels are those of `irreps`, see `symmetries.little_group`; characters and matrices are in the order of
        `little_elements`.

        Example:
            >>> import qml, symmetries
            >>> group = symmetries.space_group(qml.lattice.Chain(4))
            >>> [(irrep.label, irrep.dimension, irrep.characters.real.tolist()) for irrep in group.little_irreps(1)][0]
            ('A', 1, [1.0, 0.0, -1.0, 0.0])
        """
        label = self.momentum(momentum)
        if label not in self._little:
            self._little[label] = little_irreps(self, label)
        return self._little[label]

    def irreps(self, momentum: Any = None) -> tuple[str, ...]:
        """Labels of the irreps of the little group of a momentum: what `Sector` takes as `irrep` there.

        Example:
            >>> import qml, symmetries
            >>> symmetries.space_group(qml.lattice.Square(4, 4)).irreps("X")
            ('A1', 'A2', 'B1', 'B2')
        """
        return tuple(irrep.label for irrep in self.little_irreps(momentum))

    def space_group_irreps(self, momentum: Any = None) -> tuple[Irrep, ...]:
        """Irreps of the whole group that the little group of a momentum induces, one for each of `little_irreps`.

        Their dimension is that of the little irrep times the number of momenta in the star.

        Example:
            >>> import qml, symmetries
            >>> [irrep.dimension for irrep in symmetries.space_group(qml.lattice.Square(6)).space_group_irreps((1, 1))]
            [4, 4]
        """
        return induced(self, self.momentum(momentum))

    @cached_property
    def characters(self) -> CharacterTable:
        """Characters of the whole group, star by star; labels `k=(0, 0) A1`, with the first momentum of the star.

        Example:
            >>> import qml, symmetries
            >>> symmetries.space_group(qml.lattice.Chain(3)).characters.labels
            ('k=(0,) A', 'k=(0,) B', 'k=(1,) A')
        """
        return full_table(self)

    def star(self, momentum: Any = None) -> tuple[tuple[int, ...], ...]:
        """All momenta that the point group makes of one, sorted."""
        return tuple(sorted({tuple(image) for image in self.zone.images(self.steps, momentum).tolist()}))

    def phases(self, momentum: Any = None) -> Complex[np.ndarray, " g"]:
        r"""Character $e^{-i k \cdot t}$ of the translation part of every element."""
        e = self.zone.torus.exponent
        return roots_of_unity(e)[-(self.translations @ self.zone.turns(momentum)) % e]

    @cached_property
    def _little(self) -> dict[tuple[int, ...], tuple[LittleIrrep, ...]]:
        return {}

    @cached_property
    def _point_groups(self) -> dict[tuple[int, ...], PointGroup]:
        return {}

    @cached_property
    def _defects(self) -> Int[np.ndarray, "p p d"]:
        """The lattice vectors $w_p + R_p w_q - w_{pq}$, in primitive vectors."""
        turned = (self.shifts[None, :, None, :] @ self.steps[:, None])[:, :, 0]
        total = self.shifts[:, None] + turned - self.shifts[self.point_group.group.product_table]
        if (total % self.denominator).any():
            raise SymmetryError(
                "The isometries with these shifts are no group.",
                got=f"shifts of denominator {self.denominator}",
                expected="shifts of products that differ from the products by lattice vectors",
                try_="symmetries.space_group(crystal)",
            )
        return total // self.denominator


def space_group(crystal: Crystal, origin: Any = None, keep: Any = None) -> SpaceGroup:
    """Translations and isometries that map a finite crystal to itself, glide planes and screw axes included.

    Translations are those by all primitive vectors of the periodic axes. Isometries are found from the positions; those
    that do not keep the torus of a tilted cluster, an open boundary or the twist are left out. The origin is a point
    that as many isometries as possible keep.

    Args:
        crystal: lattice with positions.
        origin: `[d]`, Cartesian, a point that all isometries must keep; the group is then symmorphic.
        keep: sets of pairs of sites that must go to themselves, in a list or by name, e.g. the edges of each colour of
            a Kitaev model. Where left out the positions alone decide.

    Raises:
        SymmetryError: the object has no geometry, or a translation does not keep the pairs.

    Example:
        >>> import qml, symmetries
        >>> group = symmetries.space_group(qml.lattice.Square(4, 4))
        >>> group.order, group.point_group.characters.labels
        (128, ('A1', 'A2', 'B1', 'B2', 'E'))
        >>> honeycomb = qml.lattice.Honeycomb(3)
        >>> colors = [honeycomb.edges(color=color) for color in sorted(set(honeycomb.edge_colors()))]
        >>> symmetries.space_group(honeycomb).order, symmetries.space_group(honeycomb, keep=colors).order
        (108, 18)
    """
    return _build(crystal, find_isometries(crystal, origin, keep))


def translation_group(crystal: Crystal) -> SpaceGroup:
    """The translations by all primitive vectors of the periodic axes alone.

    Example:
        >>> import qml, symmetries
        >>> symmetries.translation_group(qml.lattice.Chain(8)).permutations[1]
        array([1, 2, 3, 4, 5, 6, 7, 0])
    """
    check_crystal(crystal)
    d = len(crystal.cell)
    eye, zero = np.eye(d, dtype=np.int64)[None], np.zeros((1, d), np.int64)
    return _build(crystal, Isometries(eye, np.eye(d)[None], np.zeros(d), zero, 1))


def _build(crystal: Crystal, found: Isometries) -> SpaceGroup:
    periodic = np.asarray(crystal.periodic, bool)
    rows, positions = torus_rows(crystal), np.asarray(crystal.positions, float)
    fractions = np.where(periodic[None, :], positions @ np.linalg.inv(rows @ np.asarray(crystal.cell, float)), 0.0)
    angles, permutations = fractions @ np.asarray(crystal.twist, float), site_permutations(crystal, found)
    return SpaceGroup(
        np.asarray(crystal.cell, float),
        rows,
        found.origin,
        PointGroup(found.matrices),
        found.steps,
        found.shifts,
        found.denominator,
        tuple(periodic.tolist()),
        permutations,
        np.exp(1j * (angles[permutations] - angles[None, :])),
    )
