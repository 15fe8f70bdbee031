"""Bonds: which pairs of sites are joined, in which direction, and how often the way crosses each boundary."""

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from qml._core.errors import ShapeError
from qml.lattice.graph import Edges, frozen
from qml.lattice.torus import TOLERANCE, brought_inside, exact_phases, images_within, shortest

if TYPE_CHECKING:
    from qml.lattice.lattice import Lattice


class GeometryWarning(UserWarning):
    """A cluster is so narrow that bonds of the infinite lattice coincide on it or vanish from it."""


class Ways(NamedTuple):
    """All shortest ways between the two sites of each pair.

    Way `k` belongs to pair `owner[k]`, crosses the boundaries `windings[k]` times and is the vector `steps[k]`. The
    ways of a pair follow each other, and the one that crosses the fewest boundaries (then the lexicographically first)
    leads.
    """

    owner: Int[np.ndarray, " ways"]
    windings: Int[np.ndarray, "ways d"]
    steps: Float[np.ndarray, "ways d"]

    @property
    def first(self) -> Int[np.ndarray, " pairs"]:
        """The leading way of each pair."""
        return np.flatnonzero(np.diff(self.owner, prepend=-1))


class Bonds(NamedTuple):
    """The edges of one order, sorted, with the name of the colour of each, and their ways; `lost`: see `find_bonds`."""

    edges: Edges
    colors: tuple[str, ...]
    ways: Ways
    lost: bool

    @property
    def doubled(self) -> Edges:
        """The pairs that are joined in more than one way."""
        count = np.bincount(self.ways.owner, minlength=len(self.edges))
        return tuple(self.edges[i] for i in np.flatnonzero(count > 1))


def find_bonds(lattice: "Lattice", order: int) -> Bonds:
    """The pairs whose shortest way is as long as the `order`-th shell of the infinite lattice.

    `lost` says that a bond vector of the infinite lattice joins two sites here that are nearer by another way (or the
    same site twice), so that it is in no list.
    """
    length, vectors = shell(lattice, order)
    tolerance = TOLERANCE * lattice._scale
    near = np.abs(lattice.distances() - length) < tolerance
    rows, columns = np.nonzero(np.triu(near, 1))
    if len(rows) == 0 and lattice.n_sites > 1:
        raise ShapeError(
            f"No two sites of this lattice are neighbours of order {order}, at distance {length:.6g}.",
            got=repr(lattice),
            expected="a pair of sites whose nearest images are that far apart",
            try_="a larger extent or a smaller order",
        )
    ways = find_ways(lattice, np.stack([rows, columns], axis=1))
    known = _distinct(_oriented(vectors))
    at = _oriented(ways.steps[ways.first])
    which = np.abs(at[:, None] - known[None]).sum(axis=-1).argmin(axis=1) if len(at) else np.zeros(0, int)
    names = color_names(known)
    lost = bool(len(vectors)) and bool((shortest(vectors, lattice._torus) < length - tolerance).any())
    return Bonds(tuple(zip(rows.tolist(), columns.tolist())), tuple(names[i] for i in which), ways, lost)


def custom_bonds(lattice: "Lattice", colored: tuple[tuple[str, Edges], ...]) -> Bonds:
    """The bonds that a user listed; each goes the shortest way."""
    listed = sorted((pair, name) for name, pairs in colored for pair in pairs)
    edges = tuple(pair for pair, _ in listed)
    ways = find_ways(lattice, np.array(edges, int).reshape(-1, 2))
    return Bonds(edges, tuple(name for _, name in listed), ways, False)


def warn_doubled(lattice: "Lattice", bonds: Bonds) -> None:
    """Tell the caller of the caller about pairs that are joined in several ways."""
    if bonds.doubled:
        i, j = bonds.doubled[0]
        warnings.warn(
            f"{lattice!r} joins {len(bonds.doubled)} pairs of sites in two or more ways (the first is {i}, {j}): each "
            "is one edge. Use at least three cells along a periodic axis, or periodic=False there, for the same edges.",
            GeometryWarning,
            stacklevel=3,
        )


def warn_lost(lattice: "Lattice", bonds: Bonds) -> None:
    """Tell the caller of the caller about bonds of the infinite lattice that are not on this cluster."""
    if bonds.lost:
        warnings.warn(
            f"{lattice!r} is too narrow for some bonds of this length: their ends are the same site, or nearer by "
            "another way, and they are left out. Use more cells along the periodic axes, or periodic=False.",
            GeometryWarning,
            stacklevel=3,
        )


def refuse_ambiguous(lattice: "Lattice", bonds: Bonds) -> None:
    """Raise if two ways between the same two sites gain different phases by the twist."""
    if not any(lattice.twist):
        return
    phases = exact_phases(bonds.ways.windings @ np.asarray(lattice.twist))
    different = np.abs(phases - phases[bonds.ways.first][bonds.ways.owner]) > 1e-9
    if different.any():
        pair = bonds.edges[bonds.ways.owner[different.argmax()]]
        raise ShapeError(
            "Two ways to join a pair of sites gain different phases by the twist.",
            got=f"sites {pair} of {lattice!r}",
            expected="a twist along axes of at least three cells, where each bond goes one way",
            try_="a larger extent, or twist=0 on the narrow axis",
        )


def find_ways(lattice: "Lattice", pairs: Int[np.ndarray, "pairs 2"]) -> Ways:
    """All shortest ways from the first to the second site of each pair."""
    straight = lattice.positions[pairs[:, 1]] - lattice.positions[pairs[:, 0]]
    inside, images = brought_inside(straight, lattice._torus)
    steps = inside[:, None] + images[None]
    lengths = np.linalg.norm(steps, axis=-1)
    owner, image = np.nonzero(lengths < lengths.min(axis=1, initial=np.inf)[:, None] + TOLERANCE * lattice._scale)
    windings = np.zeros((len(owner), lattice.dimension), np.int64)
    wrapped = np.flatnonzero(lattice.periodic)
    shift = steps[owner, image] - straight[owner]
    windings[:, wrapped] = np.rint(shift @ np.linalg.pinv(lattice._torus)) if len(wrapped) else 0
    sort = np.lexsort((*windings.T[::-1], np.abs(windings).sum(axis=1), owner))
    return Ways(owner[sort], frozen(windings[sort]), (straight[owner] + windings[:, wrapped] @ lattice._torus)[sort])


def shell(lattice: "Lattice", order: int) -> tuple[float, Float[np.ndarray, "vectors d"]]:
    """Distance of the `order`-th neighbours on the infinite lattice, and all bond vectors of that length."""
    repeats = [i for i, wrap in enumerate(lattice.periodic) if wrap or lattice.supercell[i][i] > 1]
    vectors, offsets = np.asarray(lattice.cell)[repeats], np.asarray(lattice.offsets)
    between = offsets[None, :] - offsets[:, None]
    if repeats:  # every shell up to `order` lies within `order` steps along the shortest vector
        radius = order * np.linalg.norm(vectors, axis=1).min() * (1 + TOLERANCE)
        images = images_within(vectors, radius + np.linalg.norm(between, axis=-1).max())
    else:
        radius, images = np.inf, np.zeros((1, lattice.dimension))
    steps = (between[:, :, None] + images[None, None, :]).reshape(-1, lattice.dimension)
    lengths = np.linalg.norm(steps, axis=1)
    inside = np.sort(lengths[(lengths > TOLERANCE * lattice._scale) & (lengths <= radius)])
    shells = inside[np.diff(inside, prepend=-np.inf) > TOLERANCE * lattice._scale]
    if len(shells) < order:
        if lattice.n_sites == 1:
            return np.inf, np.zeros((0, lattice.dimension))
        raise ShapeError(
            f"This cluster has only {len(shells)} different distances.",
            got=f"order={order}",
            expected=f"1 <= order <= {len(shells)}",
            try_="a smaller order",
        )
    length = float(shells[order - 1])
    return length, steps[np.abs(lengths - length) < TOLERANCE * lattice._scale]


def color_names(directions: Float[np.ndarray, "directions d"]) -> list[str]:
    """`x`, `y`, `z` for directions along the coordinate axes, and the place in the list for others."""
    if directions.shape[1] > 3:
        return [str(i) for i in range(len(directions))]
    along = np.abs(directions) > 1 - 1e-6
    return ["xyz"[row.argmax()] if row.any() else str(i) for i, row in enumerate(along)]


def _oriented(vectors: Float[np.ndarray, "vectors d"]) -> Float[np.ndarray, "vectors d"]:
    """Unit vectors, the first component that is not zero positive."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.where(np.abs(unit) < 1e-9, 0.0, unit)
    leading = unit[np.arange(len(unit)), (unit != 0).argmax(axis=1)] if len(unit) else np.zeros(0)
    return unit * np.where(leading < 0, -1.0, 1.0)[:, None]


def _distinct(directions: Float[np.ndarray, "vectors d"]) -> Float[np.ndarray, "directions d"]:
    """Different directions, the one nearest to the first axis first."""
    return np.unique(np.round(directions, 6), axis=0)[::-1]
