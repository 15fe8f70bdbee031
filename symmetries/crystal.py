"""What a crystal must offer, and how its sites are found by position."""

import itertools
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from symmetries._errors import SymmetryError

TOLERANCE = 1e-5  # of the shortest primitive vector: two points closer than this are one


@runtime_checkable
class Crystal(Protocol):
    """Sites in space, with translations: anything with these fields, such as `qml.lattice.Lattice`.

    `cell` `[d, d]`: rows are the primitive vectors. `offsets` `[basis, d]`: Cartesian positions of the sites of
    one cell. `supercell` `[d, d]` whole numbers: rows are the torus vectors in units of the primitive vectors; a
    multiple of its own vector for an open axis. `periodic`: whether each axis closes upon itself. `twist`: the angle
    that a particle gains across each boundary, zero on open axes. `n_sites`, and `positions` `[sites, d]`: Cartesian
    positions of all sites, in any order.

    Example:
        >>> import qml
        >>> from symmetries import Crystal
        >>> isinstance(qml.lattice.Square(4), Crystal), isinstance(qml.lattice.Graph(2, ((0, 1),)), Crystal)
        (True, False)
    """

    @property
    def cell(self) -> Any: ...
    @property
    def offsets(self) -> Any: ...
    @property
    def supercell(self) -> Any: ...
    @property
    def periodic(self) -> Any: ...
    @property
    def twist(self) -> Any: ...
    @property
    def n_sites(self) -> int: ...
    @property
    def positions(self) -> Any: ...


def check_crystal(crystal: Any) -> Crystal:
    """The same object, or an error if it has no geometry.

    Raises:
        SymmetryError: a field of `Crystal` is missing, or an axis that is not straight is open.
    """
    if not isinstance(crystal, Crystal):
        raise SymmetryError(
            "Space groups need a lattice with positions.",
            got=type(crystal).__name__,
            expected="an object with cell, offsets, supercell, periodic, twist, n_sites and positions",
            try_="a lattice such as qml.lattice.Square(4, 4), not a bare graph",
        )
    rows, open_ = np.asarray(crystal.supercell), ~np.asarray(crystal.periodic, bool)
    tilted = rows - np.diag(np.diagonal(rows))
    if tilted[open_].any() or tilted[:, open_].any() or np.asarray(crystal.twist)[open_].any():
        raise SymmetryError(
            "An open axis is tilted or twisted.",
            got=f"supercell={rows.tolist()}, periodic={tuple(crystal.periodic)}, twist={tuple(crystal.twist)}",
            expected="open axes with a number on the diagonal of the supercell alone, and no twist",
            try_="periodic=True",
        )
    return crystal


def torus_rows(crystal: Crystal) -> Int[np.ndarray, "d d"]:
    """The torus vectors in units of the primitive vectors, with a row of the identity for each open axis.

    Example:
        >>> import qml
        >>> from symmetries.crystal import torus_rows
        >>> torus_rows(qml.lattice.Square(4, 3, periodic=(True, False)))
        array([[4, 0],
               [0, 1]])
    """
    rows, eye = np.array(crystal.supercell, np.int64), np.eye(len(crystal.cell), dtype=np.int64)
    return np.where(np.asarray(crystal.periodic, bool)[:, None], rows, eye)


def scale(crystal: Crystal) -> float:
    """Length of the shortest primitive vector."""
    return float(np.linalg.norm(np.asarray(crystal.cell), axis=1).min())


def site_map(
    points: Float[np.ndarray, "points d"],
    sites: Float[np.ndarray, "sites d"],
    torus: Float[np.ndarray, "p d"],
    tolerance: float,
) -> Int[np.ndarray, " points"] | None:
    """Which site each point lies on, up to combinations of the vectors of `torus`; `None` if a point is on no site."""
    away = wrap(points[:, None] - sites[None], torus)
    hit = (away**2).sum(-1) < tolerance**2
    return hit.argmax(axis=1) if hit.any(axis=1).all() else None


def wrap(vectors: Float[np.ndarray, "*batch d"], torus: Float[np.ndarray, "p d"]) -> Float[np.ndarray, "*batch d"]:
    """Vectors less the nearest combination of those of `torus`: zero exactly for the combinations themselves."""
    return vectors - np.round(vectors @ np.linalg.pinv(torus)) @ torus if len(torus) else vectors


def lattice_isometries(cell: Float[np.ndarray, "d d"]) -> Int[np.ndarray, "g d d"]:
    """All orthogonal maps of a Bravais lattice to itself.

    Args:
        cell: `[d, d]`, rows are the primitive vectors $a_i$.

    Returns:
        `[g, d, d]`, integers with $R\\, a_i = \\sum_j W_{ij} a_j$; they form a group, $W(R R') = W(R') W(R)$.

    Example:
        >>> import numpy as np
        >>> from symmetries.crystal import lattice_isometries
        >>> len(lattice_isometries(np.eye(3)))
        48
    """
    gram = cell @ cell.T
    tolerance = TOLERANCE * gram.diagonal().min()
    dual = np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = np.floor(np.sqrt(gram.diagonal().max()) * dual + TOLERANCE).astype(int)
    steps = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))))
    products = steps @ gram @ steps.T
    chosen = [np.array([], int)]  # images of the first vectors that keep all scalar products
    for i in range(len(cell)):
        longer = []
        for images in chosen:
            fits = np.abs(products.diagonal() - gram[i, i]) < tolerance
            for j, image in enumerate(images):
                fits &= np.abs(products[image] - gram[i, j]) < tolerance
            longer += [np.append(images, new) for new in np.flatnonzero(fits)]
        chosen = longer
    return steps[np.array(chosen)]
