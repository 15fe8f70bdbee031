"""Pictures of lattices and graphs."""

from typing import Any

import networkx as nx
import numpy as np

from qml._core.errors import need
from qml.lattice.graph import Edges, Graph
from qml.lattice.lattice import Lattice
from qml.lattice.torus import TOLERANCE, brought_inside


def draw(lattice: Lattice | Graph, ax: Any = None, order: int = 1) -> Any:
    """Draw the sites with their numbers and the edges of one order.

    Edges that wrap around the torus are dashed stubs towards the nearest image. Three dimensions and more are projected
    at a slant; a graph without positions is placed by a spring layout.

    Args:
        lattice: what to draw.
        ax: Matplotlib axes; new ones if left out.
        order: which neighbour shell to draw.

    Returns:
        The axes.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    if ax is None:
        ax = need("matplotlib.pyplot", "plot").subplots()[1]
    if isinstance(lattice, Graph):
        layout = nx.spring_layout(lattice.to_networkx(), seed=0)
        positions = np.array([layout[i] for i in range(lattice.n_sites)])
    else:
        positions = _project(lattice.positions)
    for i, j in _edges(lattice, order):
        straight = positions[j] - positions[i]
        step = _nearest(lattice, i, j) if isinstance(lattice, Lattice) else straight
        if np.allclose(step, straight):
            ax.plot(*zip(positions[i], positions[j]), color="0.6", linewidth=1.0, zorder=1)
        else:
            for start, way in ((positions[i], step), (positions[j], -step)):
                ax.plot(*zip(start, start + 0.4 * way), color="0.6", linewidth=1.0, linestyle="--", zorder=1)
    ax.scatter(*positions.T, s=80, color="tab:blue", zorder=2)
    for i, position in enumerate(positions):
        ax.annotate(str(i), position, ha="center", va="center", fontsize=6, color="white", zorder=3)
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax


def _edges(lattice: Lattice | Graph, order: int) -> Edges:
    return lattice._bonds(order).edges if isinstance(lattice, Lattice) else lattice.edges(order)


def _nearest(lattice: Lattice, i: int, j: int) -> np.ndarray:
    """Projected vector from site i to an image of site j at the shortest distance, the direct one if it is as short."""
    straight = lattice.positions[j] - lattice.positions[i]
    inside, images = brought_inside(straight, lattice._torus)
    steps = np.concatenate([straight[None], inside + images])
    lengths = np.linalg.norm(steps, axis=1)
    return _project(steps[lengths < lengths.min() + TOLERANCE * lattice._scale][:1])[0]


def _project(points: np.ndarray) -> np.ndarray:
    """Points of any dimension in the plane; depth goes along a diagonal."""
    flat = np.zeros((len(points), 2))
    for axis in range(points.shape[1]):
        direction = np.eye(2)[axis] if axis < 2 else np.array([0.45, 0.3]) / (axis - 1)
        flat += points[:, axis, None] * direction[None, :]
    return flat
