"""The momenta of a cluster: their labels, names and Cartesian vectors in the Brillouin zone."""

import itertools
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from symmetries._descriptor import descriptor
from symmetries._errors import SymmetryError
from symmetries.torus import Quotient

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


@descriptor
class Zone:
    r"""The momenta of a cluster, $k \cdot T_i = 2\pi n_i$ for its torus vectors $T_i = \sum_j S_{ij} a_j$.

    The label of a momentum is the whole numbers $n$, 0 on open axes: $0 \le n_i < L_i$ on a straight cluster. On a
    tilted one $n$ and $n + S m$ are the same momentum for all whole $m$; the label has $n = S f$, $0 \le f_i < 1$.

    Args:
        cell: `[d, d]`, rows are the primitive vectors $a_i$.
        supercell: `[d, d]`, the matrix $S$ of whole numbers, with a row of the identity for an open axis.
        periodic: whether each axis closes upon itself.

    Example:
        >>> import numpy as np
        >>> from symmetries.zone import Zone
        >>> zone = Zone(np.eye(2), np.array([[4, 2], [-2, 4]]), (True, True))
        >>> zone.momentum("M"), zone.wavevector((3, 1)) / np.pi
        ((3, 1), array([1., 1.]))
    """

    cell: Float[np.ndarray, "d d"]
    supercell: Int[np.ndarray, "d d"]
    periodic: tuple[bool, ...]

    @cached_property
    def torus(self) -> Quotient:
        """The translations: whole vectors modulo the torus vectors."""
        return Quotient(self.supercell)

    @cached_property
    def dual(self) -> Quotient:
        """The momenta: labels modulo $S$ times whole vectors."""
        return Quotient(np.ascontiguousarray(self.supercell.T))

    def momenta(self) -> tuple[tuple[int, ...], ...]:
        """Labels of all momenta, in lexicographic order."""
        return tuple(sorted(tuple(row) for row in self.dual.vectors.tolist()))

    def momentum(self, name: Any = None) -> tuple[int, ...]:
        """Label of a momentum, see `SpaceGroup.momentum`."""
        rows = self.supercell
        if name is None or isinstance(name, str):
            numbers = rows @ self._named("Gamma" if name is None else name)
        else:
            numbers = np.atleast_1d(np.asarray(name, float))
        reach = np.abs(rows).sum(axis=1)
        straight = np.count_nonzero(rows, axis=1) + np.count_nonzero(rows, axis=0) == 2
        fits = numbers.shape == reach.shape and (np.abs(numbers - np.round(numbers)) < 1e-9).all()
        if not fits or (np.abs(numbers) >= reach)[straight].any():
            bound = ", ".join(f"|n_{i}| < {reach[i]}" for i in np.flatnonzero(straight))
            raise SymmetryError(
                "This momentum is not on the lattice.",
                got=repr(name),
                expected=f"{len(rows)} whole numbers n with k . T = 2 pi n for the torus vectors T"
                + (f", {bound}" if bound else ""),
                try_=f"momentum={(0,) * len(rows)}",
            )
        return tuple(self.dual.canonical(np.round(numbers).astype(np.int64)).tolist())

    def named_momenta(self) -> dict[str, tuple[int, ...]]:
        """Labels of the points with names that this cluster has."""
        found = {}
        for name, point in special_points(self.cell).items():
            numbers = self.supercell @ point
            if name != "Γ" and (np.abs(numbers - np.round(numbers)) < 1e-9).all():
                found[name] = self.momentum(name)
        return found

    def turns(self, momentum: Any = None) -> Int[np.ndarray, " d"]:
        r"""Whole numbers $q_i$ with $k \cdot a_i = 2\pi q_i / e$, $e$ the exponent of the group of translations.

        They stand for the image in the first Brillouin zone, the same that `wavevector` gives.
        """
        e, closed = self.torus.exponent, np.asarray(self.periodic, bool)
        whole = self.torus.inverse @ np.asarray(self.momentum(momentum))
        whole[closed] += e * to_first_zone(whole[closed] / e, reciprocal(self.cell[closed]))
        return whole

    def wavevector(self, momentum: Any = None) -> Float[np.ndarray, " d"]:
        """Cartesian $k$ of a momentum, in the first Brillouin zone."""
        closed = np.asarray(self.periodic, bool)
        return self.turns(momentum)[closed] / self.torus.exponent @ reciprocal(self.cell[closed])

    def momentum_of(self, wavevector: Any) -> tuple[int, ...]:
        """Label of a Cartesian wave vector, in any Brillouin zone; its part along open axes does not count."""
        k = np.asarray(wavevector, float)
        fits = k.shape == self.cell.shape[:1]
        numbers = np.where(self.periodic, self.supercell @ self.cell @ k / (2 * np.pi), 0.0) if fits else k
        if not fits or np.abs(numbers - np.round(numbers)).max() > 1e-6:
            raise SymmetryError(
                "This wave vector is not on the lattice.",
                got=repr(wavevector),
                expected=f"{len(self.cell)} Cartesian components of a k with k . T = 2 pi n for the torus vectors T",
                try_="one of momenta()",
            )
        return tuple(self.dual.canonical(np.round(numbers).astype(np.int64)).tolist())

    def images(self, steps: Int[np.ndarray, "p d d"], momentum: Any = None) -> Int[np.ndarray, "p d"]:
        r"""Labels of the images $R^{-1} k$, $R^{-1} k \cdot a_i = k \cdot R\,a_i$ with $R\,a_i = \sum_j W_{ij} a_j$."""
        turned = self.supercell @ (steps @ self.turns(momentum))[..., None]
        return self.dual.canonical(turned[..., 0] // self.torus.exponent)

    def _named(self, name: str) -> np.ndarray:
        """Reduced coordinates of a special point of the Brillouin zone."""
        known = special_points(self.cell)
        if name not in known:
            raise SymmetryError(
                f"The Brillouin zone of this lattice has no point named {name!r} here.",
                got=repr(name),
                expected=f"one of {', '.join(known)}",
                try_=f"whole numbers, e.g. momentum={(0,) * len(self.cell)}",
            )
        return known[name]
