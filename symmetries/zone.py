"""The Brillouin zone of a Bravais lattice: its reciprocal vectors, the points with names, the shortest image."""

import itertools

import numpy as np
from jaxtyping import Float, Int

TOLERANCE = 1e-5

# in units of the reciprocal vectors, where the primitive vectors are orthogonal
ORTHOGONAL = {
    "X": (1 / 2, 0, 0),
    "Y": (0, 1 / 2, 0),
    "Z": (0, 0, 1 / 2),
    "M": (1 / 2, 1 / 2, 0),
    "R": (1 / 2, 1 / 2, 1 / 2),
}
# the same where they have these scalar products: hexagonal (60, 120 degrees), face-centred and body-centred cubic
OTHERS = (
    (((1, 1 / 2), (1 / 2, 1)), {"M": (1 / 2, 0), "K": (1 / 3, 2 / 3)}),
    (((1, -1 / 2), (-1 / 2, 1)), {"M": (1 / 2, 0), "K": (1 / 3, 1 / 3)}),
    (
        ((1, 1 / 2, 1 / 2), (1 / 2, 1, 1 / 2), (1 / 2, 1 / 2, 1)),
        {
            "X": (1 / 2, 0, 1 / 2),
            "L": (1 / 2, 1 / 2, 1 / 2),
            "W": (1 / 2, 1 / 4, 3 / 4),
            "K": (3 / 8, 3 / 8, 3 / 4),
            "U": (5 / 8, 1 / 4, 5 / 8),
        },
    ),
    (
        ((1, -1 / 3, -1 / 3), (-1 / 3, 1, -1 / 3), (-1 / 3, -1 / 3, 1)),
        {"H": (1 / 2, -1 / 2, 1 / 2), "P": (1 / 4, 1 / 4, 1 / 4), "N": (0, 0, 1 / 2)},
    ),
)


def special_points(cell: Float[np.ndarray, "d d"]) -> dict[str, Float[np.ndarray, " d"]]:
    """Points of high symmetry by name, in units of the reciprocal vectors.

    `Gamma` (also `Γ`) everywhere; `X`, `Y`, `Z`, `M`, `R` where the primitive vectors are orthogonal, `M`, `K` where
    they are hexagonal, `X`, `L`, `W`, `K`, `U` for face-centred and `H`, `P`, `N` for body-centred cubic.

    Args:
        cell: `[d, d]`, rows are the primitive vectors.

    Example:
        >>> import numpy as np
        >>> from symmetries.zone import special_points
        >>> special_points(np.eye(2))["M"]
        array([0.5, 0.5])
    """
    d = len(cell)
    gram = cell @ cell.T / (cell**2).sum(axis=1).max()
    known: dict[str, tuple] = {"Gamma": (0,) * d, "Γ": (0,) * d}
    if np.abs(gram - np.diag(gram.diagonal())).max() < TOLERANCE:
        known |= {name: point[:d] for name, point in ORTHOGONAL.items() if not any(point[d:])}
        known = {name: (*point, *[0] * (d - len(point))) for name, point in known.items()}
    for pattern, points in OTHERS:
        if len(pattern) == d and np.abs(gram - np.asarray(pattern)).max() < TOLERANCE:
            known |= points
    return {name: np.asarray(point, float) for name, point in known.items()}


def reciprocal(vectors: Float[np.ndarray, "p d"]) -> Float[np.ndarray, "p d"]:
    r"""Rows $b_j$ in the span of the vectors with $a_i \cdot b_j = 2\pi\delta_{ij}$."""
    return 2 * np.pi * np.linalg.pinv(vectors).T


def to_first_zone(point: Float[np.ndarray, " p"], vectors: Float[np.ndarray, "p d"]) -> Int[np.ndarray, " p"]:
    """Which whole combination of the reciprocal vectors brings a point into the first zone.

    Of several equally short images the one with the largest first Cartesian component is taken, then the second.

    Args:
        point: `[p]`, in units of the reciprocal vectors.
        vectors: `[p, d]`, the reciprocal vectors.

    Returns:
        `[p]`: `point` plus this is as short as can be.

    Example:
        >>> import numpy as np
        >>> from symmetries.zone import to_first_zone
        >>> to_first_zone(np.array([0.75, 0.5]), 2 * np.pi * np.eye(2))
        array([-1,  0])
    """
    if len(vectors) == 0:
        return np.zeros(0, np.int64)
    change = _reduced(vectors)
    short = change @ vectors
    start = -np.rint(point @ vectors @ np.linalg.pinv(short)).astype(np.int64)
    moves = start + np.array(list(itertools.product(range(-2, 3), repeat=len(vectors))))
    images = point @ vectors + moves @ short
    lengths, scale = np.linalg.norm(images, axis=1), 1e-9 * np.linalg.norm(short, axis=1).min()
    near = lengths < lengths.min() + scale
    for component in images.T:
        near &= component > component[near].max() - scale
    return moves[near.argmax()] @ change


def _reduced(vectors: Float[np.ndarray, "p d"]) -> Int[np.ndarray, "p p"]:
    """Whole combinations of the rows that span the same lattice and are short: no pair can be shortened."""
    change = np.eye(len(vectors), dtype=np.int64)
    while True:
        rows = change @ vectors
        for i, j in itertools.permutations(range(len(rows)), 2):
            steps = int(np.round(rows[i] @ rows[j] / (rows[j] @ rows[j])))
            shorter = rows[i] - steps * rows[j]
            if shorter @ shorter < (rows[i] @ rows[i]) * (1 - 1e-9):
                change[i] -= steps * change[j]
                break
        else:
            return change
