"""Bravais lattices with a basis on finite clusters."""
# long file: one class, most of it docstrings

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Int

from qml._core.errors import ShapeError
from qml.lattice import momentum
from qml.lattice.bonds import (
    Bonds,
    GeometryWarning,
    custom_bonds,
    find_bonds,
    refuse_ambiguous,
    warn_doubled,
    warn_lost,
)
from qml.lattice.faces import Cover, Ring, elementary_rings
from qml.lattice.graph import Edges, adjacency, checked_colors, checked_order, frozen, picked
from qml.lattice.torus import (
    TOLERANCE,
    Matrix,
    cells_of,
    checked_cell,
    checked_periodic,
    checked_supercell,
    checked_twist,
    determinant,
    exact_phases,
    shortest,
)
from symmetries.zone import reciprocal, special_points


@dataclass(frozen=True, init=False)
class Lattice:
    r"""A finite piece of a Bravais lattice with a basis, open, periodic or twisted along each axis.

    Site `s` of the basis of cell $n$ sits at $r = \sum_i n_i a_i + \delta_s$. The torus vectors are
    $T_i = \sum_j S_{ij} a_j$ with the supercell $S$, diagonal for a straight cluster. The cells are the whole-number
    $n = \sum_i f_i S_i$ with $0 \le f_i < 1$, and sites are numbered by cell in lexicographic order (the first
    coordinate slowest), then by basis: on `Square(4, 4)` the site at $(x, y)$ is `4 * x + y`.

    Args:
        cell: `[d, d]`, the rows are the primitive vectors $a_i$ (length in any unit).
        extent: number of cells along each primitive vector, at least 1 each; or `[d, d]` whole numbers, the rows of
            $S$: the torus vectors in units of the primitive vectors (a tilted cluster of $|\det S|$ cells).
        offsets: `[basis, d]`, Cartesian positions $\delta_s$ of the sites of a cell; one at the origin if left out.
        periodic: one answer for all axes, or one per axis. An axis can be open where the supercell is straight.
        twist: angle $\phi_i$ that a particle gains across boundary $i$, in radians, one per axis or one for all
            periodic axes: $c_{r + T_i} = e^{i \phi_i} c_r$. $\pi$ is antiperiodic. See `edge_phases`.
        name: what to print; two lattices that differ in the name alone are equal.

    Raises:
        ShapeError: vectors that are dependent or of different lengths, sites that coincide, an extent below 1, a
            tilted or twisted open axis.

    Example:
        >>> from qml.lattice import Lattice
        >>> ladder = Lattice([[1.0, 0.0], [0.0, 1.0]], extent=(3, 2), periodic=(True, False))
        >>> ladder.n_sites, len(ladder.edges()), ladder.neighbours()[0]
        (6, 9, (1, 2, 4))
        >>> tilted = Lattice([[1.0, 0.0], [0.0, 1.0]], extent=[[4, 2], [-2, 4]])
        >>> tilted.n_sites, len(tilted.edges())
        (20, 40)
    """

    cell: tuple[tuple[float, ...], ...]
    supercell: Matrix
    offsets: tuple[tuple[float, ...], ...]
    periodic: tuple[bool, ...]
    twist: tuple[float, ...]
    colored: tuple[tuple[str, Edges], ...]
    name: str

    def __init__(
        self,
        cell: Any,
        extent: Any,
        offsets: Any = None,
        periodic: Any = True,
        twist: Any = 0.0,
        name: str = "Lattice",
    ):
        vectors, basis = checked_cell(cell, offsets)
        # + 0.0 turns -0.0 into 0.0, so that equal lattices hash alike
        object.__setattr__(self, "cell", tuple(tuple(row) for row in (vectors + 0.0).tolist()))
        object.__setattr__(self, "supercell", checked_supercell(extent, len(vectors)))
        object.__setattr__(self, "offsets", tuple(tuple(row) for row in (basis + 0.0).tolist()))
        object.__setattr__(self, "periodic", checked_periodic(periodic, self.supercell))
        object.__setattr__(self, "twist", checked_twist(twist, self.periodic))
        object.__setattr__(self, "colored", ())
        object.__setattr__(self, "name", name)
        self._check_distinct()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lattice) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        twist = f", twist={self.twist}" if any(self.twist) else ""
        shape = self.extent if self.is_straight else self.supercell
        return f"{self.name}(extent={shape}, periodic={self.periodic}{twist}, sites={self.n_sites})"

    @property
    def _key(self) -> tuple:
        return self.cell, self.supercell, self.offsets, self.periodic, self.twist, self.colored

    @property
    def dimension(self) -> int:
        """Dimension of space, the number of primitive vectors."""
        return len(self.cell)

    @property
    def is_straight(self) -> bool:
        """Whether the torus vectors are multiples of the primitive vectors."""
        rows = np.asarray(self.supercell)
        return bool((rows == np.diag(np.diagonal(rows))).all())

    @property
    def extent(self) -> tuple[int, ...]:
        """Number of cells along each primitive vector of a straight cluster.

        Raises:
            ShapeError: the cluster is tilted; `supercell` describes it.
        """
        if not self.is_straight:
            raise ShapeError(
                "A tilted cluster has no number of cells along each axis.",
                got=f"supercell={self.supercell}",
                expected="a straight cluster",
                try_="lattice.supercell, the torus vectors in units of the primitive vectors, and lattice.n_cells",
            )
        return tuple(abs(row[i]) for i, row in enumerate(self.supercell))

    @property
    def n_cells(self) -> int:
        """Number of primitive cells, $|\\det S|$."""
        return abs(determinant(np.asarray(self.supercell)))

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return self.n_cells * len(self.offsets)

    @property
    def cell_volume(self) -> float:
        """Volume (area, length) of one primitive cell, $|\\det(a_1 \\ldots a_d)|$."""
        return float(abs(np.linalg.det(np.asarray(self.cell))))

    @cached_property
    def cells(self) -> Int[np.ndarray, "sites d"]:
        """Integer coordinates $n$ of the cell of each site."""
        return frozen(np.repeat(cells_of(np.asarray(self.supercell)), len(self.offsets), axis=0))

    @cached_property
    def sublattices(self) -> Int[np.ndarray, " sites"]:
        """Index into the basis of each site."""
        return frozen(np.tile(np.arange(len(self.offsets)), self.n_cells))

    @cached_property
    def positions(self) -> Float[np.ndarray, "sites d"]:
        """Cartesian positions of the sites."""
        return frozen(self.cells @ np.asarray(self.cell) + np.asarray(self.offsets)[self.sublattices])

    @cached_property
    def _distances(self) -> Float[np.ndarray, "sites sites"]:
        return frozen(shortest(self.positions[None, :] - self.positions[:, None], self._torus))

    def distances(self) -> Float[np.ndarray, "sites sites"]:
        """Distance between every two sites, by the nearest periodic image.

        Returns:
            `[sites, sites]`, symmetric, zero on the diagonal, in the unit of `cell`.
        """
        return self._distances

    def edges(self, order: int = 1, color: str | None = None) -> Edges:
        """Pairs of sites that are `order`-th neighbours of each other.

        The shells are those of the infinite lattice: `order=2` on a square lattice is the diagonal, whatever the size
        of the torus. Each pair is listed once, also where a torus two cells wide joins it in two ways. (An open axis of
        one cell does not repeat: `Square(8, 1, periodic=(True, False))` has the shells of a chain.)

        Args:
            order: 1 for nearest neighbours, 2 for next-nearest, and so on. After `with_edges`, order 1 is what was
                given there.
            color: only the edges of this colour; see `edge_colors`.

        Returns:
            Sorted pairs `(i, j)` with `i < j`.

        Raises:
            ShapeError: the cluster is too small to hold one such pair, `order` is below 1, no edge has this colour, or
                there is a twist and two ways to join a pair gain different phases.

        Warns:
            GeometryWarning: two ways join the same pair, which is listed once (a periodic axis two cells wide: with
                `periodic=False` there the edges are the same and the warning is gone), or some bonds of the infinite
                lattice are missing because their ends are nearer by another way.

        Example:
            >>> from qml.lattice import Chain, Square
            >>> Chain(4).edges()
            ((0, 1), (0, 3), (1, 2), (2, 3))
            >>> Chain(4, periodic=False).edges(order=2)
            ((0, 2), (1, 3))
            >>> len(Square(4, 4).edges()), len(Square(4, 4).edges(color="x"))
            (32, 16)
        """
        bonds = self._bonds(order)
        warn_doubled(self, bonds)
        warn_lost(self, bonds)
        return tuple(bonds.edges[i] for i in picked(bonds.colors, color))

    def edge_colors(self, order: int = 1) -> tuple[str, ...]:
        """Name of the colour of each edge of `edges(order)`.

        The colour is the direction of the bond: `x`, `y` or `z` along a coordinate axis; for others the place among
        all directions of this order, sorted by the angle to the first axis. After `with_edges`, the names given there.

        Example:
            >>> from qml.lattice import Triangular
            >>> sorted(set(Triangular(3).edge_colors()))
            ['1', '2', 'x']
        """
        return self._bonds(order).colors

    def windings(self, order: int = 1, color: str | None = None) -> Int[np.ndarray, "edges d"]:
        """How often the way from `i` to `j` of each edge crosses each boundary, forwards less backwards.

        The way is the shortest one, to the image of `j` at $r_j + \\sum_a w_a T_a$. Where two ways are equally short it
        is the one with fewer crossings.

        Args:
            order: which shell, as in `edges`.
            color: only the edges of this colour.

        Example:
            >>> from qml.lattice import Chain
            >>> Chain(4).edges(), Chain(4).windings().ravel().tolist()
            (((0, 1), (0, 3), (1, 2), (2, 3)), [0, -1, 0, 0])
        """
        bonds = self._bonds(order)
        return frozen(bonds.ways.windings[bonds.ways.first][picked(bonds.colors, color)])

    def edge_phases(self, order: int = 1, color: str | None = None) -> Complex[np.ndarray, " edges"]:
        """Phase of the hop from `j` to `i` ($c_i^\\dagger c_j$, $i < j$) along each edge, $e^{i \\phi \\cdot w}$.

        The hop from `i` to `j` gains the conjugate. All ones without a twist.

        Args:
            order: which shell, as in `edges`.
            color: only the edges of this colour.

        Example:
            >>> import math
            >>> from qml.lattice import Chain
            >>> Chain(4, twist=math.pi).edge_phases().real.tolist()
            [1.0, -1.0, 1.0, 1.0]
        """
        return frozen(exact_phases(self.windings(order, color) @ np.asarray(self.twist)))

    def with_edges(self, edges: Any) -> "Lattice":
        """The same sites with other edges of order 1, each with the name of a colour; higher orders stay as they are.

        Args:
            edges: a table: for each colour its pairs of sites, in any order, each pair once.

        Raises:
            ShapeError: a site that does not exist, a site paired with itself, a pair that is listed twice.

        Example:
            >>> from qml.lattice import Chain
            >>> dimers = Chain(4).with_edges({"strong": [(0, 1), (2, 3)], "weak": [(1, 2), (0, 3)]})
            >>> dimers.edges(color="strong"), dimers.edge_colors()
            (((0, 1), (2, 3)), ('strong', 'weak', 'weak', 'strong'))
        """
        other = Lattice(self.cell, self.supercell, self.offsets, self.periodic, self.twist, self.name)
        object.__setattr__(other, "colored", checked_colors(edges, self.n_sites))
        return other

    def with_twist(self, twist: Any) -> "Lattice":
        """The same lattice with other angles across its boundaries.

        Example:
            >>> from qml.lattice import Square
            >>> Square(4).with_twist((0.1, 0.0)).twist
            (0.1, 0.0)
        """
        other = Lattice(self.cell, self.supercell, self.offsets, self.periodic, twist, self.name)
        object.__setattr__(other, "colored", self.colored)
        return other

    def triangles(self) -> tuple[tuple[int, ...], ...]:
        """All triangles of nearest neighbours that do not wind around the torus: `plaquettes(longest=3)`.

        Returns:
            Triples of sites, each triangle once, the lowest site first; counter-clockwise in two dimensions, so that
            $S_i \\cdot (S_j \\times S_k)$ has one sign all over the lattice; ascending in others.

        Example:
            >>> from qml.lattice import Triangular
            >>> len(Triangular(4).triangles()), Triangular(4).triangles()[0]
            (32, (0, 1, 13))
        """
        return self.plaquettes(longest=3)

    def plaquettes(self, longest: int = 8) -> tuple[tuple[int, ...], ...]:
        """Elementary rings of nearest neighbours: squares of `Square`, triangles and hexagons of `Kagome`.

        A ring is elementary if it does not wind around the torus, no way between two of its corners is shorter than
        along it, and no two of its bonds that meet belong to a shorter elementary ring. After `with_edges` these are
        rings of the edges given there.

        Args:
            longest: number of corners of the longest rings to look for.

        Returns:
            Sites around each ring, each ring once, the lowest site first; counter-clockwise in two dimensions, towards
            the lower of its two neighbours in others. Shorter rings come first.

        Warns:
            GeometryWarning: two rings have the same corners, which are listed once, or a ring meets itself.

        Example:
            >>> from qml.lattice import Kagome, Square
            >>> Square(4).plaquettes()[0]
            (0, 1, 13, 12)
            >>> [len(ring) for ring in Kagome(2).plaquettes()]
            [3, 3, 3, 3, 3, 3, 3, 3, 6, 6, 6, 6]
        """
        bonds = self._bonds(1)
        ways = zip(bonds.ways.owner.tolist(), map(tuple, bonds.ways.windings.tolist()))
        cover = Cover(self.n_sites, [(*bonds.edges[k], winding) for k, winding in ways], longest // 2)
        found, merged = elementary_rings(cover, longest, self._area)
        if merged:
            text = (
                f"{self!r} is too narrow: some of its rings of bonds coincide or meet themselves, and are listed once."
            )
            warnings.warn(text, GeometryWarning, stacklevel=2 if longest > 3 else 3)
        return found

    @property
    def reciprocal(self) -> Float[np.ndarray, "d d"]:
        """Rows $b_j$ with $a_i \\cdot b_j = 2\\pi\\delta_{ij}$."""
        return reciprocal(np.asarray(self.cell))

    @property
    def momentum_numbers(self) -> Int[np.ndarray, "momenta d"]:
        """Labels of all momenta: whole numbers with $k \\cdot T_i = 2\\pi n_i$ for the torus vectors, 0 on open axes.

        Each stands for $n + S m$ with any whole $m$; listed are those with $n = S f$, $0 \\le f_i < 1$, in
        lexicographic order: $0 \\le n_i < L_i$ on a straight cluster.

        Example:
            >>> from qml.lattice import Square
            >>> len(Square([[4, 2], [-2, 4]]).momentum_numbers)
            20
        """
        return np.array(momentum.zone(self).momenta())

    def momenta(self, cartesian: bool = True) -> Float[np.ndarray, "momenta d"]:
        """The momenta that one particle can have here, in the order of `momentum_numbers`.

        With a twist they are shifted: $k \\cdot T_i = 2\\pi n_i + \\phi_i$.
        Perpendicular to the periodic axes $k$ is zero.

        Args:
            cartesian: Cartesian components, in the first Brillouin zone; or in units of the rows of `reciprocal`.

        Example:
            >>> import numpy as np
            >>> from qml.lattice import Chain
            >>> (Chain(4).momenta() / np.pi).ravel().tolist(), Chain(4).momenta(cartesian=False).ravel().tolist()
            ([0.0, 0.5, 1.0, -0.5], [0.0, 0.25, 0.5, 0.75])
        """
        return momentum.momenta(self, cartesian)

    @property
    def special_points(self) -> dict[str, Float[np.ndarray, " d"]]:
        """Cartesian points of the Brillouin zone with names, allowed here or not.

        `Gamma` everywhere; `X`, `Y`, `Z`, `M`, `R` where the primitive vectors are orthogonal, `M`, `K` where they are
        hexagonal, `X`, `L`, `W`, `K`, `U` for face-centred and `H`, `P`, `N` for body-centred cubic.

        Example:
            >>> from qml.lattice import Triangular
            >>> sorted(Triangular(3).special_points)
            ['Gamma', 'K', 'M']
        """
        return {
            name: point @ self.reciprocal
            for name, point in special_points(np.asarray(self.cell)).items()
            if name != "Γ"
        }

    def named_momenta(self) -> dict[str, tuple[int, ...]]:
        """Labels, as in `momentum_numbers`, of the special points that are allowed here.

        They are those of $k \\cdot T_i = 2\\pi n_i$, also with a twist, as in `symmetries.SpaceGroup.momentum`.

        Example:
            >>> from qml.lattice import Triangular
            >>> Triangular(6).named_momenta()
            {'Gamma': (0, 0), 'M': (3, 0), 'K': (2, 4)}
        """
        return momentum.zone(self).named_momenta()

    def first_zone(self, k: Any) -> Float[np.ndarray, "*batch d"]:
        """The momentum of the first Brillouin zone that differs from $k$ by a reciprocal vector.

        Args:
            k: `[..., d]`, Cartesian. Of several on the boundary of the zone the one with the largest first component
                is taken, then the second.

        Example:
            >>> from qml.lattice import Chain
            >>> Chain(4).first_zone([7.0]).round(6).tolist()
            [0.716815]
        """
        return momentum.first_zone(self, np.asarray(k, float))

    def neighbours(self, order: int = 1) -> tuple[tuple[int, ...], ...]:
        """Neighbours of every site.

        Args:
            order: which shell, as in `edges`.

        Returns:
            For each site the sorted sites that share an edge with it.
        """
        return adjacency(self._bonds(order).edges, self.n_sites)

    def to_networkx(self, order: int = 1) -> Any:
        """The lattice as a graph: nodes `0 .. n_sites - 1` with their position as `pos`, edges of the given order."""
        import networkx as nx

        graph = nx.Graph()
        graph.add_nodes_from((i, {"pos": tuple(r)}) for i, r in enumerate(self.positions.tolist()))
        bonds = self._bonds(order)
        extra = zip(bonds.colors, map(tuple, self.windings(order).tolist()), self.edge_phases(order).tolist())
        for (i, j), (color, winding, phase) in zip(bonds.edges, extra):
            graph.add_edge(i, j, color=color, winding=winding, phase=phase)
        return graph

    def draw(self, ax: Any = None, order: int = 1) -> Any:
        """Draw sites and edges with Matplotlib; see `qml.lattice.draw`."""
        from qml.lattice.draw import draw

        return draw(self, ax=ax, order=order)

    def draw_zone(self, ax: Any = None) -> Any:
        """Draw the Brillouin zone and the allowed momenta; see `qml.lattice.draw_zone`."""
        from qml.lattice.draw import draw_zone

        return draw_zone(self, ax=ax)

    @property
    def _scale(self) -> float:
        return float(np.linalg.norm(np.asarray(self.cell), axis=1).min())

    @property
    def _torus(self) -> Float[np.ndarray, "p d"]:
        """Vectors that lead from a site to its periodic images."""
        wrapped = np.flatnonzero(self.periodic)
        return np.asarray(self.supercell)[wrapped] @ np.asarray(self.cell)

    @cached_property
    def _known_bonds(self) -> dict[int, Bonds]:
        return {}

    def _bonds(self, order: int) -> Bonds:
        if checked_order(order) not in self._known_bonds:
            custom = order == 1 and self.colored
            self._known_bonds[order] = custom_bonds(self, self.colored) if custom else find_bonds(self, order)
        refuse_ambiguous(self, self._known_bonds[order])
        return self._known_bonds[order]

    def _area(self, ring: Ring) -> float:
        """Signed area of a ring in two dimensions, zero if it has none."""
        if self.dimension != 2:
            return 0.0
        copies = np.array([copy for _, copy in ring]) @ np.asarray(self.supercell) @ np.asarray(self.cell)
        x, y = (self.positions[[site for site, _ in ring]] + copies).T
        area = float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)
        return area if abs(area) > TOLERANCE * self._scale**2 else 0.0

    def _check_distinct(self):
        offsets = np.asarray(self.offsets)
        steps = (offsets[None, :] - offsets[:, None]) @ np.linalg.inv(np.asarray(self.cell))
        whole = np.round(steps)
        apart = np.linalg.norm((steps - whole) @ np.asarray(self.cell), axis=-1)
        reach = np.where(self.periodic, np.inf, np.diagonal(self.supercell))  # cells along open axes
        near = np.argwhere(np.triu((apart < TOLERANCE * self._scale) & (np.abs(whole) < reach).all(axis=-1), 1))
        if len(near):
            raise ShapeError(
                "Two sites of the lattice coincide.",
                got=f"offsets {near[0].tolist()} at {offsets[near[0]].tolist()}",
                expected="offsets that differ by more than a lattice vector",
                try_="remove the offset that is listed twice",
            )
