"""Pictures of lattices, graphs and Brillouin zones."""

import itertools
from typing import Any

import numpy as np

from qml._core.errors import ShapeError, need
from qml.lattice.graph import Graph
from qml.lattice.lattice import Lattice
from qml.lattice.momentum import translations, zone_edges

PALETTE = ("0.55", "tab:red", "tab:green", "tab:purple", "tab:orange", "tab:cyan", "tab:brown", "tab:pink")
GREEK = {"Gamma": "Γ"}


def draw(lattice: Lattice | Graph, ax: Any = None, order: int = 1) -> Any:
    """Draw the sites with their numbers and the edges of one order, one colour for each colour of edges.

    Edges that wrap around the torus are dashed stubs towards the nearest image; of two equally short ways one is drawn.
    A dotted line outlines the supercell of a periodic lattice. Three dimensions and more are projected at a slant; a
    graph without positions is placed by a spring layout.

    Args:
        lattice: what to draw.
        ax: Matplotlib axes; new ones if left out.
        order: which neighbour shell to draw.

    Returns:
        The axes.

    Raises:
        MissingExtraError: Matplotlib is not installed.

    Example:
        >>> from qml.lattice import Kagome, draw
        >>> len(draw(Kagome(2, periodic=False)).lines)
        17
    """
    if ax is None:
        ax = need("matplotlib.pyplot", "plot").subplots()[1]
    if isinstance(lattice, Graph):
        import networkx as nx

        layout = nx.spring_layout(lattice.to_networkx(), seed=0)
        positions = np.array([layout[i] for i in range(lattice.n_sites)]).reshape(-1, 2)
        edges = lattice.edges(order)
        steps = np.array([positions[j] - positions[i] for i, j in edges])
        wraps = np.zeros(len(edges), bool)
    else:
        positions, bonds = _project(lattice.positions), lattice._bonds(order)
        edges, wraps = bonds.edges, np.any(lattice.windings(order) != 0, axis=1)
        steps = _project(bonds.ways.steps[bonds.ways.first])
    colors = lattice.edge_colors(order)
    paint = {name: PALETTE[k % len(PALETTE)] for k, name in enumerate(sorted(set(colors)))}
    seen: set[str] = set()
    for (i, j), step, wrap, name in zip(edges, steps, np.asarray(wraps).tolist(), colors):
        style = {"color": paint[name], "zorder": 1, "label": "_" if name in seen else name}
        seen.add(name)
        if wrap:
            for start, way in ((positions[i], step), (positions[j], -step)):
                ax.plot(*zip(start, start + 0.4 * way), linewidth=1.0, linestyle="--", **style)
                style["label"] = "_"
        else:
            ax.plot(*zip(positions[i], positions[j]), linewidth=1.5, **style)
    if isinstance(lattice, Lattice) and any(lattice.periodic):
        lines = need("matplotlib.collections", "plot").LineCollection
        ax.add_collection(lines(_outline(lattice), colors="0.7", linestyles=":", linewidths=1.0, zorder=0))
    ax.scatter(*positions.T, s=80, color="tab:blue", zorder=2)
    for i, position in enumerate(positions):
        ax.annotate(str(i), position, ha="center", va="center", fontsize=6, color="white", zorder=3)
    if len(paint) > 1:
        handles, labels = ax.get_legend_handles_labels()
        known = dict(zip(labels, handles))
        names = sorted(known)
        place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False, "fontsize": 7}
        legend = ax.legend([known[name] for name in names], names, **place)
        for line in legend.get_lines():
            line.set_linestyle("-")
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax


def draw_zone(lattice: Lattice, ax: Any = None) -> Any:
    """Draw the first Brillouin zone, the momenta that the cluster allows, and the special points by name.

    Momenta on the boundary are drawn at all their places; open circles are special points that this cluster lacks.
    Three dimensions are projected at a slant.

    Args:
        lattice: one to three dimensions.
        ax: Matplotlib axes; new ones if left out.

    Returns:
        The axes.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        ShapeError: the lattice has more than three dimensions.

    Example:
        >>> from qml.lattice import Square, draw_zone
        >>> axes = draw_zone(Square([[4, 2], [-2, 4]]))
    """
    if lattice.dimension > 3:
        raise ShapeError(
            "There is no picture of a Brillouin zone in so many dimensions.",
            got=f"{lattice.dimension} dimensions",
            expected="one to three",
            try_="lattice.momenta()",
        )
    if ax is None:
        ax = need("matplotlib.pyplot", "plot").subplots()[1]
    for segment in zone_edges(lattice):
        ax.plot(*_project(segment).T, color="0.6", linewidth=1.0, zorder=1)
    momenta = lattice.momenta()
    points = _project(_copies(lattice, momenta))
    ax.scatter(*points.T, s=20, color="tab:blue", zorder=2)
    for name, point in lattice.special_points.items():
        inside = lattice.first_zone(point)
        place = _project(inside[None])[0]
        here = np.linalg.norm(momenta - inside, axis=1).min() < 1e-6 * np.linalg.norm(lattice.reciprocal)
        face = "tab:red" if here else "none"
        ax.scatter(*place, s=40, edgecolors="tab:red", facecolors=face, zorder=3)
        ax.annotate(
            GREEK.get(name, name), place, xytext=(5, 5), textcoords="offset points", color="tab:red", fontsize=9
        )
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax


def _outline(lattice: Lattice) -> list[np.ndarray]:
    """Sides of the parallelogram of the torus vectors, projected; open axes are left out."""
    vectors = (translations(lattice) @ np.asarray(lattice.cell))[np.asarray(lattice.periodic)]
    middle = lattice.positions.mean(axis=0) - vectors.sum(axis=0) / 2
    sides = []
    for axis in range(len(vectors)):
        others = [v for k, v in enumerate(vectors) if k != axis]
        for picks in itertools.product((0, 1), repeat=len(others)):
            start = middle + sum((p * v for p, v in zip(picks, others)), np.zeros(lattice.dimension))
            sides.append(_project(np.array([start, start + vectors[axis]])))
    return sides


def _copies(lattice: Lattice, momenta: np.ndarray) -> np.ndarray:
    """Momenta, those on the boundary of the zone at all their places there."""
    steps = np.array(list(itertools.product((-1, 0, 1), repeat=lattice.dimension))) @ lattice.reciprocal
    images = momenta[:, None] + steps[None]
    lengths = np.linalg.norm(images, axis=-1)
    return images[lengths < lengths.min(axis=1)[:, None] + 1e-9 * np.linalg.norm(lattice.reciprocal)]


def _project(points: np.ndarray) -> np.ndarray:
    """Points of any dimension in the plane; depth goes along a diagonal."""
    flat = np.zeros((len(points), 2))
    for axis in range(points.shape[1]):
        direction = np.eye(2)[axis] if axis < 2 else np.array([0.45, 0.3]) / (axis - 1)
        flat += points[:, axis, None] * direction[None, :]
    return flat
