"""Bonds: which pairs of sites are joined, in which direction, and how often the way crosses each boundary."""

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from qml._core.errors import ShapeError
from qml.lattice.graph import Edges, frozen
from qml.lattice.torus import TOLERANCE, brought_inside, exact_phases, images_within, inverse, reduced_basis, shortest

if TYPE_CHECKING:
    from qml.lattice.lattice import Lattice


class GeometryWarning(UserWarning):
    """A cluster is so narrow that bonds of the infinite lattice coincide on it or vanish from it.

    Example:
        >>> import warnings
        >>> from qml.lattice import Chain, GeometryWarning
        >>> with warnings.catch_warnings(record=True) as found:
        ...     warnings.simplefilter("always")
        ...     Chain(2).edges()
        ((0, 1),)
        >>> found[0].category is GeometryWarning
        True
    """


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


class Shell(NamedTuple):
    """Bonds of the infinite lattice from site `starts` of one cell to `ends` of the cell that is `shifts` away."""

    starts: Int[np.ndarray, " vectors"]
    ends: Int[np.ndarray, " vectors"]
    shifts: Int[np.ndarray, "vectors d"]
    steps: Float[np.ndarray, "vectors d"]


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
    length, found = shell(lattice, order)
    kept = shortest(found.steps, lattice._torus) > length - TOLERANCE * lattice._scale
    start, end, windings, way = _on_cluster(lattice, found, np.flatnonzero(kept))
    if len(start) == 0 and lattice.n_sites > 1:
        raise ShapeError(
            f"No two sites of this lattice are neighbours of order {order}, at distance {length:.6g}.",
            got=repr(lattice),
            expected="a pair of sites whose nearest images are that far apart",
            try_="a larger extent or a smaller order",
        )
    sort = np.lexsort((*windings.T[::-1], np.abs(windings).sum(axis=1), end, start))
    pairs, windings, way = np.stack([start, end], axis=1)[sort], windings[sort], way[sort]
    owner = np.cumsum(np.diff(pairs, axis=0, prepend=-1).any(axis=1)) - 1
    ways = Ways(owner, frozen(windings), found.steps[way])
    oriented = _oriented(found.steps)
    known = _distinct(oriented)
    color = np.abs(oriented[:, None] - known[None]).sum(axis=-1).argmin(axis=1) if len(known) else np.zeros(0, int)
    names = color_names(known)
    edges = tuple(map(tuple, pairs[ways.first].tolist()))
    return Bonds(edges, tuple(names[color[k]] for k in way[ways.first].tolist()), ways, not kept.all())


def _on_cluster(lattice: "Lattice", found: Shell, which: Int[np.ndarray, " kept"]) -> tuple[np.ndarray, ...]:
    """Both sites, the windings and the bond vector of every bond of the cluster, from the lower to the higher site."""
    rows, basis = np.asarray(lattice.supercell), len(lattice.offsets)
    cells = lattice.cells[::basis]
    whole, count = inverse(rows)
    target = cells[:, None] + found.shifts[None, which]
    windings = (target @ whole) // count
    place = target - windings @ rows
    low, span = cells.min(axis=0), np.ptp(cells, axis=0) + 1
    radix = np.append(np.cumprod(span[::-1])[-2::-1], 1)
    number = np.searchsorted((cells - low) @ radix, (place - low) @ radix)
    start = np.arange(len(cells))[:, None] * basis + found.starts[None, which]
    end = number * basis + found.ends[None, which]
    inside = (windings[..., ~np.asarray(lattice.periodic)] == 0).all(axis=-1) & (start < end)
    way = np.broadcast_to(which[None], inside.shape)
    return start[inside], end[inside], windings[inside], way[inside]


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


def shell(lattice: "Lattice", order: int) -> tuple[float, Shell]:
    """Distance of the `order`-th neighbours on the infinite lattice, and all bonds of that length from one cell."""
    repeats = [i for i, wrap in enumerate(lattice.periodic) if wrap or lattice.supercell[i][i] > 1]
    vectors, offsets = reduced_basis(np.asarray(lattice.cell)[repeats]), np.asarray(lattice.offsets)
    between = offsets[None, :] - offsets[:, None]
    if repeats:  # every shell up to `order` lies within `order` steps along the shortest vector
        radius = order * np.linalg.norm(vectors, axis=1).min() * (1 + TOLERANCE)
        images = images_within(vectors, radius + np.linalg.norm(between, axis=-1).max())
    else:
        radius, images = np.inf, np.zeros((1, lattice.dimension))
    steps = between[:, :, None] + images[None, None, :]
    lengths = np.linalg.norm(steps, axis=-1)
    inside = np.sort(lengths[(lengths > TOLERANCE * lattice._scale) & (lengths <= radius)])
    shells = inside[np.diff(inside, prepend=-np.inf) > TOLERANCE * lattice._scale]
    if len(shells) < order and lattice.n_sites > 1:
        raise ShapeError(
            f"This cluster has only {len(shells)} different distances.",
            got=f"order={order}",
            expected=f"1 <= order <= {len(shells)}",
            try_="a smaller order",
        )
    length = float(shells[order - 1]) if len(shells) >= order else np.inf
    starts, ends, image = np.nonzero(np.abs(lengths - length) < TOLERANCE * lattice._scale)
    shifts = np.rint(images[image] @ np.linalg.inv(np.asarray(lattice.cell))).astype(np.int64)
    return length, Shell(starts, ends, shifts, steps[starts, ends, image])


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
