"""Bravais lattices with a basis on finite clusters."""

import itertools
import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
from jaxtyping import Float, Int

from qml._core.errors import ShapeError
from qml.lattice.graph import Edges, adjacency, checked_order, frozen

TOLERANCE = 1e-5  # of the shortest cell vector: two lengths closer than this are the same length


@dataclass(frozen=True, init=False)
class Lattice:
    r"""A finite piece of a Bravais lattice with a basis, open or periodic along each axis.

    Site `s` of the basis of cell $n$ sits at $r = \sum_i n_i a_i + \delta_s$. Sites are numbered with the cell index
    slowest, its first axis slowest of all, then the basis: on `Square(4, 4)` the site at $(x, y)$ is `4 * x + y`.

    Args:
        cell: `[d, d]`, the rows are the primitive vectors $a_i$ (length in any unit).
        extent: number of cells along each primitive vector, at least 1 each.
        offsets: `[basis, d]`, Cartesian positions $\delta_s$ of the sites of a cell; one at the origin if left out.
        periodic: one answer for all axes, or one per axis.
        name: what to print; two lattices that differ in the name alone are equal.

    Raises:
        ShapeError: vectors that are dependent or of different lengths, sites that coincide, an extent below 1.

    Example:
        >>> from qml.lattice import Lattice
        >>> ladder = Lattice([[1.0, 0.0], [0.0, 1.0]], extent=(3, 2), periodic=(True, False))
        >>> ladder.n_sites, len(ladder.edges()), ladder.neighbours()[0]
        (6, 9, (1, 2, 4))
    """

    cell: tuple[tuple[float, ...], ...]
    extent: tuple[int, ...]
    offsets: tuple[tuple[float, ...], ...]
    periodic: tuple[bool, ...]
    name: str

    def __init__(self, cell: Any, extent: Any, offsets: Any = None, periodic: Any = True, name: str = "Lattice"):
        vectors = np.asarray(cell, float)
        dimension = len(vectors)
        if vectors.shape != (dimension, dimension) or dimension == 0:
            raise ShapeError(
                "The cell of a lattice is a square matrix.",
                got=f"shape {vectors.shape}",
                expected="[d, d]: d rows, one primitive vector each",
                try_="cell=[[1, 0], [0, 1]]",
            )
        scale = np.linalg.norm(vectors, axis=1)
        if not np.all(np.isfinite(vectors)) or abs(np.linalg.det(vectors)) < 1e-9 * scale.prod() or not scale.all():
            raise ShapeError(
                "The primitive vectors are linearly dependent.",
                got=vectors.tolist(),
                expected=f"{dimension} independent rows",
                try_="drop the dependent vector and lower the dimension",
            )
        basis = np.zeros((1, dimension)) if offsets is None else np.asarray(offsets, float)
        if basis.ndim != 2 or basis.shape[1] != dimension or len(basis) == 0 or not np.all(np.isfinite(basis)):
            raise ShapeError(
                "The offsets do not fit the cell.",
                got=f"shape {basis.shape}",
                expected=f"[basis, {dimension}] finite Cartesian positions",
                try_=f"offsets=[[{', '.join(['0'] * dimension)}]]",
            )
        # + 0.0 turns -0.0 into 0.0, so that equal lattices hash alike
        object.__setattr__(self, "cell", tuple(tuple(row) for row in (vectors + 0.0).tolist()))
        object.__setattr__(self, "extent", _extent(extent, dimension))
        object.__setattr__(self, "offsets", tuple(tuple(row) for row in (basis + 0.0).tolist()))
        object.__setattr__(self, "periodic", _periodic(periodic, dimension))
        object.__setattr__(self, "name", name)
        self._check_distinct()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lattice) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"{self.name}(extent={self.extent}, periodic={self.periodic}, sites={self.n_sites})"

    @property
    def _key(self) -> tuple:
        return self.cell, self.extent, self.offsets, self.periodic

    @property
    def dimension(self) -> int:
        """Dimension of space, the number of primitive vectors."""
        return len(self.cell)

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return math.prod(self.extent) * len(self.offsets)

    @property
    def cell_volume(self) -> float:
        """Volume (area, length) of one primitive cell, $|\\det(a_1 \\ldots a_d)|$."""
        return float(abs(np.linalg.det(np.asarray(self.cell))))

    @cached_property
    def cells(self) -> Int[np.ndarray, "sites d"]:
        """Integer coordinates $n$ of the cell of each site."""
        grid = np.indices(self.extent).reshape(self.dimension, -1).T
        return frozen(np.repeat(grid, len(self.offsets), axis=0))

    @cached_property
    def sublattices(self) -> Int[np.ndarray, " sites"]:
        """Index into the basis of each site."""
        return frozen(np.tile(np.arange(len(self.offsets)), math.prod(self.extent)))

    @cached_property
    def positions(self) -> Float[np.ndarray, "sites d"]:
        """Cartesian positions of the sites."""
        return frozen(self.cells @ np.asarray(self.cell) + np.asarray(self.offsets)[self.sublattices])

    @cached_property
    def _distances(self) -> Float[np.ndarray, "sites sites"]:
        return frozen(_shortest(self.positions[None, :] - self.positions[:, None], self._torus))

    def distances(self) -> Float[np.ndarray, "sites sites"]:
        """Distance between every two sites, by the nearest periodic image.

        Returns:
            `[sites, sites]`, symmetric, zero on the diagonal, in the unit of `cell`.
        """
        return self._distances

    def edges(self, order: int = 1) -> Edges:
        """Pairs of sites that are `order`-th neighbours of each other.

        The shells are those of the infinite lattice: `order=2` on a square lattice is the diagonal, whatever the size
        of the torus. Each pair is listed once, also where a torus two cells wide joins it in two ways. (An open axis of
        one cell does not repeat: `Square(8, 1, periodic=(True, False))` has the shells of a chain.)

        Args:
            order: 1 for nearest neighbours, 2 for next-nearest, and so on.

        Returns:
            Sorted pairs `(i, j)` with `i < j`.

        Raises:
            ShapeError: the cluster is too small to hold one such pair, or `order` is below 1.

        Example:
            >>> from qml.lattice import Chain, Square
            >>> Chain(4).edges()
            ((0, 1), (0, 3), (1, 2), (2, 3))
            >>> Chain(4, periodic=False).edges(order=2)
            ((0, 2), (1, 3))
            >>> len(Square(4, 4).edges()), len(Square(2, 2).edges())
            (32, 4)
        """
        length = checked_order(order) and self._shell(order)
        near = np.abs(self.distances() - length) < TOLERANCE * self._scale
        rows, columns = np.nonzero(np.triu(near, 1))
        if len(rows) == 0 and self.n_sites > 1:
            raise ShapeError(
                f"No two sites of this lattice are neighbours of order {order}, at distance {length:.6g}.",
                got=repr(self),
                expected="a pair of sites whose nearest images are that far apart",
                try_="a larger extent or a smaller order",
            )
        return tuple(zip(rows.tolist(), columns.tolist()))

    def neighbours(self, order: int = 1) -> tuple[tuple[int, ...], ...]:
        """Neighbours of every site.

        Args:
            order: which shell, as in `edges`.

        Returns:
            For each site the sorted sites that share an edge with it.
        """
        return adjacency(self.edges(order), self.n_sites)

    def to_networkx(self, order: int = 1) -> nx.Graph:
        """The lattice as a graph: nodes `0 .. n_sites - 1` with their position as `pos`, edges of the given order."""
        graph = nx.Graph()
        graph.add_nodes_from((i, {"pos": tuple(r)}) for i, r in enumerate(self.positions.tolist()))
        graph.add_edges_from(self.edges(order))
        return graph

    def draw(self, ax: Any = None, order: int = 1) -> Any:
        """Draw sites and edges with Matplotlib; see `qml.lattice.draw`."""
        from qml.lattice.draw import draw

        return draw(self, ax=ax, order=order)

    @property
    def _scale(self) -> float:
        return float(np.linalg.norm(np.asarray(self.cell), axis=1).min())

    @property
    def _torus(self) -> Float[np.ndarray, "p d"]:
        """Vectors that lead from a site to its periodic images."""
        wrapped = np.flatnonzero(self.periodic)
        return np.asarray(self.cell)[wrapped] * np.asarray(self.extent)[wrapped, None]

    def _check_distinct(self):
        near = np.argwhere(np.triu(self.distances() < TOLERANCE * self._scale, 1))
        if len(near):
            raise ShapeError(
                "Two sites of the lattice coincide.",
                got=f"sites {near[0].tolist()} at {self.positions[near[0]].tolist()}",
                expected="offsets that differ by more than a lattice vector",
                try_="remove the offset that is listed twice",
            )

    def _shell(self, order: int) -> float:
        """Distance of the `order`-th neighbours on the infinite lattice."""
        repeats = [i for i in range(self.dimension) if self.periodic[i] or self.extent[i] > 1]
        vectors, offsets = np.asarray(self.cell)[repeats], np.asarray(self.offsets)
        between = offsets[None, :] - offsets[:, None]
        if repeats:  # every shell up to `order` lies within `order` steps along the shortest vector
            radius = order * np.linalg.norm(vectors, axis=1).min() * (1 + TOLERANCE)
            images = _images(vectors, radius + np.linalg.norm(between, axis=-1).max())
        else:
            radius, images = np.inf, np.zeros((1, self.dimension))
        lengths = np.sort(np.linalg.norm(between[:, :, None] + images[None, None, :], axis=-1), axis=None)
        lengths = lengths[(lengths > TOLERANCE * self._scale) & (lengths <= radius)]
        shells = lengths[np.diff(lengths, prepend=-np.inf) > TOLERANCE * self._scale]
        if len(shells) < order:
            if self.n_sites == 1:
                return np.inf
            raise ShapeError(
                f"This cluster has only {len(shells)} different distances.",
                got=f"order={order}",
                expected=f"1 <= order <= {len(shells)}",
                try_="a smaller order",
            )
        return float(shells[order - 1])


def _extent(extent: Any, dimension: int) -> tuple[int, ...]:
    """Whole numbers of cells, one per axis."""
    try:
        sizes = tuple(operator.index(size) for size in extent)
    except TypeError:
        sizes = ()
    if len(sizes) != dimension or min(sizes) < 1:
        raise ShapeError(
            "The extent is the number of cells along each axis.",
            got=repr(extent),
            expected=f"{dimension} whole numbers, each at least 1",
            try_=f"extent={(4,) * dimension}",
        )
    return sizes


def _periodic(periodic: Any, dimension: int) -> tuple[bool, ...]:
    """One answer per axis."""
    flags = (periodic,) * dimension if isinstance(periodic, bool | np.bool_) else periodic
    if (
        not isinstance(flags, Sequence | np.ndarray)
        or len(flags) != dimension
        or not all(isinstance(flag, bool | np.bool_) for flag in flags)
    ):
        raise ShapeError(
            "The boundary must be open or periodic along each axis.",
            got=repr(periodic),
            expected=f"True, False, or {dimension} of them",
            try_=f"periodic={(True,) * dimension}",
        )
    return tuple(bool(flag) for flag in flags)


def _images(vectors: Float[np.ndarray, "p d"], radius: float, margin: float = 0.0) -> Float[np.ndarray, "images d"]:
    """Integer combinations of the rows that cover a radius about any point up to `margin` cells from the origin."""
    dual = np.linalg.norm(np.linalg.pinv(vectors), axis=0)  # a vector of length r has |n_i| <= r |b_i|
    reach = [range(-int(n), int(n) + 1) for n in np.floor(radius * dual + margin + 1e-9)]
    return np.array(list(itertools.product(*reach)), float) @ vectors


def _reduced(
    differences: Float[np.ndarray, "*batch d"], torus: Float[np.ndarray, "p d"]
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors brought into the cell about the origin, and the shifts among which the shortest image is found."""
    if len(torus) == 0:
        return differences, np.zeros((1, differences.shape[-1]))
    inside = differences - np.round(differences @ np.linalg.pinv(torus)) @ torus
    corners = np.array(list(itertools.product((-0.5, 0.5), repeat=len(torus)))) @ torus
    return inside, _images(torus, float(np.linalg.norm(corners, axis=1).max()), margin=0.5)


def _shortest(
    differences: Float[np.ndarray, "*batch d"], torus: Float[np.ndarray, "p d"]
) -> Float[np.ndarray, "*batch"]:
    """Length of the shortest periodic image of each vector."""
    inside, images = _reduced(differences, torus)
    return np.sqrt(_minimum(((inside + image) ** 2).sum(-1) for image in images))


def _minimum(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """Smallest entry over a stream of arrays, with two of them in memory at a time."""
    stream = iter(arrays)
    best = next(stream)
    for array in stream:
        np.minimum(best, array, out=best)
    return best
