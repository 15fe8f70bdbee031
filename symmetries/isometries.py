r"""The isometries of a finite crystal: which there are, about which point, with which fractional translations.

An isometry of a crystal is $r \mapsto R(r - o) + o + w$ with an orthogonal $R$, the origin $o$, and a shift $w$ that is
a fraction of lattice vectors: half of one for a glide plane or a twofold screw axis, zero where $o$ itself stays in
place.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from symmetries._errors import SymmetryError
from symmetries.crystal import (
    TOLERANCE,
    Crystal,
    check_crystal,
    lattice_isometries,
    scale,
    site_map,
    torus_rows,
    wrap,
)
from symmetries.torus import Quotient, whole_multiple


class Isometries(NamedTuple):
    r"""A group of isometries modulo the translations by primitive vectors, the identity first.

    `steps` `[p, d, d]`: on lattice vectors, $R\,a_i = \sum_j W_{ij} a_j$. `matrices` `[p, d, d]`: orthogonal, on column
    vectors. `origin` `[d]`: Cartesian. `shifts` `[p, d]` and `denominator`: whole numbers,
    $w = \sum_i \mathrm{shifts}_i\, a_i / \mathrm{denominator}$, between zero and one.
    """

    steps: Int[np.ndarray, "p d d"]
    matrices: Float[np.ndarray, "p d d"]
    origin: Float[np.ndarray, " d"]
    shifts: Int[np.ndarray, "p d"]
    denominator: int


def find_isometries(crystal: Crystal, origin: Any = None, keep: Any = None) -> Isometries:
    """All isometries of a finite crystal, with its boundary, modulo translations by primitive vectors.

    Lattice vectors must go to lattice vectors, periodic directions to periodic directions, the torus to itself, the
    sites to sites, the twist to itself.

    Args:
        crystal: lattice with positions.
        origin: `[d]`, a point that must stay in place. If left out, no point must, and the origin is one that as many
            isometries as possible keep: a site if possible, the middle of a hexagon on the honeycomb and kagome
            lattices.
        keep: sets of pairs of sites that must go to themselves, e.g. the edges of each colour.

    Raises:
        SymmetryError: the object has no geometry, the origin does not fit its dimension, a translation does not keep
            the pairs.

    Example:
        >>> import qml
        >>> from symmetries.isometries import find_isometries
        >>> cell = [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
        >>> diamond = qml.lattice.Lattice(cell, (2, 2, 2), [[0, 0, 0], [0.25, 0.25, 0.25]])
        >>> found = find_isometries(diamond)
        >>> len(found.matrices), (found.shifts == 0).all(axis=1).sum(), found.denominator
        (48, np.int64(24), 4)
    """
    check_crystal(crystal)
    cell, vectors = np.asarray(crystal.cell, float), np.asarray(crystal.cell, float)[np.asarray(crystal.periodic)]
    tolerance = TOLERANCE * scale(crystal)
    steps = _on_torus(lattice_isometries(cell), crystal)
    matrices = cleaned((np.linalg.inv(cell) @ steps @ cell).transpose(0, 2, 1))
    order = _sorted(matrices)
    steps, matrices = steps[order], matrices[order]
    kept = _Kept(crystal, keep, tolerance)
    shifts = [_shifts(crystal, matrix, vectors, tolerance, kept) for matrix in matrices]
    sites = _modulo(np.asarray(crystal.positions, float), vectors, tolerance)
    points = sites if origin is None else _point(origin, cell)
    fixing = _fixing(points, matrices, shifts, vectors, tolerance)
    if origin is None and fixing.sum(axis=1).max() < sum(len(shift) > 0 for shift in shifts):  # no site will do
        points = np.concatenate([points, _fixed_points(matrices, shifts, vectors, tolerance)])
        fixing = _fixing(points, matrices, shifts, vectors, tolerance)
    best = int(fixing.sum(axis=1).argmax())
    chosen = {int(p): np.zeros(len(cell)) for p in np.flatnonzero(fixing[best])}
    if origin is None:
        relative = [shift + points[best] @ matrix.T - points[best] for matrix, shift in zip(matrices, shifts)]
        chosen = _completed(chosen, matrices, relative, vectors, tolerance)
    members = np.array(sorted(chosen))
    chosen_shifts = np.array([chosen[p] for p in members])
    return _about(crystal, steps[members], matrices[members], points[best], chosen_shifts)


def site_permutations(crystal: Crystal, found: Isometries) -> Int[np.ndarray, "g sites"]:
    """Where every translation times every isometry moves each site, the translation slowest.

    Raises:
        SymmetryError: the sites do not repeat as the cell says.

    Example:
        >>> import qml
        >>> from symmetries.isometries import find_isometries, site_permutations
        >>> lattice = qml.lattice.Chain(3)
        >>> site_permutations(lattice, find_isometries(lattice))[:3].tolist()
        [[0, 1, 2], [0, 2, 1], [1, 2, 0]]
    """
    cell, positions = np.asarray(crystal.cell, float), np.asarray(crystal.positions, float)
    torus, tolerance, everything = torus_vectors(crystal), TOLERANCE * scale(crystal), np.arange(crystal.n_sites)

    def moved(points: np.ndarray) -> np.ndarray:
        sites = site_map(points, positions, torus, tolerance)
        if sites is None or len(np.unique(sites)) != len(positions):
            raise SymmetryError(
                "The sites of this crystal do not repeat as its cell says.",
                got=f"{len(positions)} positions",
                expected="positions that translations by the cell vectors map to each other",
                try_="a qml.lattice.Lattice with this cell, extent and offsets",
            )
        return sites

    quotient = Quotient(torus_rows(crystal))
    translations = np.tile(everything, (quotient.order, 1))
    for axis in np.flatnonzero(crystal.periodic):
        step, powers = moved(positions + cell[axis]), [everything]
        for _ in range(quotient.exponent - 1):
            powers.append(step[powers[-1]])
        times = quotient.vectors[:, axis] % quotient.exponent
        translations = np.take_along_axis(np.stack(powers)[times], translations, axis=1)
    about, shifts = positions - found.origin, found.origin + found.shifts @ cell / found.denominator
    isometries = np.stack([moved(about @ matrix.T + shift) for matrix, shift in zip(found.matrices, shifts)])
    return translations[:, isometries].reshape(-1, len(positions))


def cleaned(matrices: Float[np.ndarray, "g d d"]) -> Float[np.ndarray, "g d d"]:
    """Entries that are whole or half to rounding made so."""
    halves = np.round(2 * matrices) / 2 + 0.0
    return np.where(np.abs(matrices - halves) < 1e-9, halves, matrices)


class _Kept:
    """Tells whether a map of the sites keeps some sets of pairs."""

    def __init__(self, crystal: Crystal, keep: Any, tolerance: float):
        cell, self.torus = np.asarray(crystal.cell, float), torus_vectors(crystal)
        self.positions, self.tolerance = np.asarray(crystal.positions, float), tolerance
        sets = [] if keep is None else list(keep.values() if hasattr(keep, "values") else keep)
        self.marks = np.zeros((len(sets), crystal.n_sites, crystal.n_sites), bool)
        for mark, pairs in zip(self.marks, sets):
            for i, j in pairs:
                mark[i, j] = mark[j, i] = True
        for axis in np.flatnonzero(crystal.periodic):
            if not self.allows(np.eye(len(cell)), cell[axis]):
                raise SymmetryError(
                    "The translations by the primitive vectors do not keep the pairs.",
                    got=f"translation along axis {axis}",
                    expected="sets of pairs that repeat from cell to cell",
                    try_="a lattice with a larger cell",
                )

    def allows(self, matrix: np.ndarray, shift: np.ndarray) -> bool:
        """Whether the isometry keeps all sets."""
        if len(self.marks) == 0:
            return True
        sites = site_map(self.positions @ matrix.T + shift, self.positions, self.torus, self.tolerance)
        return sites is not None and np.array_equal(self.marks[:, sites[:, None], sites[None, :]], self.marks)


def torus_vectors(crystal: Crystal) -> Float[np.ndarray, "p d"]:
    """Cartesian vectors that lead from a site to its periodic images."""
    return (torus_rows(crystal) @ np.asarray(crystal.cell, float))[np.asarray(crystal.periodic, bool)]


def on_torus(steps: Int[np.ndarray, "g d d"], crystal: Crystal) -> Int[np.ndarray, "g d d"]:
    r"""Isometries on torus vectors, $R\,T_i = \sum_j V_{ij} T_j$, for those that keep the torus; zero on open axes."""
    periodic = np.asarray(crystal.periodic, bool)
    result = np.zeros_like(steps)
    if periodic.any():
        torus = Quotient(torus_rows(crystal)[np.ix_(periodic, periodic)])
        turned = torus.rows @ steps[:, periodic][:, :, periodic] @ torus.inverse
        result[np.ix_(np.arange(len(steps)), np.flatnonzero(periodic), np.flatnonzero(periodic))] = (
            turned // torus.exponent
        )
    return result


def _on_torus(steps: np.ndarray, crystal: Crystal) -> np.ndarray:
    """Those maps of the lattice that keep the periodic directions, the torus and the twist."""
    periodic, twist = np.asarray(crystal.periodic, bool), np.asarray(crystal.twist, float)
    stays = (steps[:, periodic][:, :, ~periodic] == 0).all(axis=(1, 2))
    torus = Quotient(torus_rows(crystal))
    closes = ((torus.rows @ steps @ torus.inverse)[:, periodic] % torus.exponent == 0).all(axis=(1, 2))
    steps = steps[stays & closes]
    turned = on_torus(steps, crystal) @ twist
    return steps[(np.abs(turned - twist) <= 1e-12 * np.abs(twist).max(initial=0.0)).all(axis=1)]


def _sorted(matrices: np.ndarray) -> np.ndarray:
    """The identity first, then rotations, then reflections, each by decreasing trace and entries."""
    trace = matrices.trace(axis1=1, axis2=2)
    keys = [np.sign(np.linalg.det(matrices)), trace, *matrices.reshape(len(matrices), -1).T]
    return np.lexsort(np.round(-np.array(keys), 6)[::-1] + 0.0)


def _shifts(crystal: Crystal, matrix: np.ndarray, vectors: np.ndarray, tolerance: float, kept: _Kept) -> np.ndarray:
    """Translations that after an isometry bring the sites back onto sites, one for each class modulo `vectors`."""
    sites = _modulo(np.asarray(crystal.positions, float), vectors, tolerance)
    images = sites @ matrix.T
    shifts = _modulo(sites - images[0], vectors, tolerance)
    open_part = np.eye(sites.shape[1]) - (np.linalg.pinv(vectors) @ vectors if len(vectors) else 0.0)
    centre = (sites.mean(axis=0) - images.mean(axis=0)) @ open_part  # along open directions the middle stays the middle
    near = np.linalg.norm(shifts @ open_part - centre, axis=1) < 10 * tolerance
    good = [
        shift
        for shift in shifts[near]
        if site_map(images + shift, sites, vectors, tolerance) is not None and kept.allows(matrix, shift)
    ]
    return np.array(good).reshape(-1, sites.shape[1])


def _modulo(points: np.ndarray, vectors: np.ndarray, tolerance: float) -> np.ndarray:
    """The points without those that differ from an earlier one by a combination of vectors."""
    if len(vectors) == 0:
        return points
    away = np.round(points @ np.linalg.pinv(vectors) + 1e-7)  # a first sieve: the same point of the cell to many digits
    keys = np.round((points - away @ vectors) / tolerance)
    first = np.sort(np.unique(keys + 0.0, axis=0, return_index=True)[1])
    points, kept = points[first], []
    for i, point in enumerate(points):
        gaps = wrap(points[kept] - point, vectors)
        if not ((gaps**2).sum(-1) < tolerance**2).any():
            kept.append(i)
    return points[kept]


def _fixing(
    points: np.ndarray, matrices: np.ndarray, shifts: list, vectors: np.ndarray, tolerance: float
) -> np.ndarray:
    """`[points, matrices]`: whether the isometry about the point is a symmetry."""
    result = np.zeros((len(points), len(matrices)), bool)
    for i, (matrix, shift) in enumerate(zip(matrices, shifts)):
        miss = wrap((points - points @ matrix.T)[:, None] - shift[None], vectors)
        result[:, i] = ((miss**2).sum(-1) < tolerance**2).any(axis=1)
    return result


def _fixed_points(matrices: np.ndarray, shifts: list, vectors: np.ndarray, tolerance: float) -> np.ndarray:
    """A point that each isometry with each of its shifts leaves in place; the nearest to zero first."""
    d, p = matrices.shape[1], len(vectors)
    combos = np.array(list(itertools.product((0, 1, -1, 2), repeat=p)), float).reshape(4**p, p) @ vectors
    found = []
    for matrix, shift in zip(matrices, shifts):
        targets = (shift[:, None] + combos[None]).reshape(-1, d)
        points = targets @ np.linalg.pinv(np.eye(d) - matrix, rcond=1e-6).T
        solved = np.linalg.norm(points - points @ matrix.T - targets, axis=1) < tolerance
        found.append(_modulo(points[solved], vectors, tolerance))
    points = wrap(_modulo(np.concatenate(found), vectors, tolerance), vectors)
    distance = np.linalg.norm(points, axis=1)
    return points[np.lexsort(np.round(np.column_stack([points, distance]).T, 6))]


def _completed(
    chosen: dict[int, np.ndarray], matrices: np.ndarray, shifts: list, vectors: np.ndarray, tolerance: float
) -> dict[int, np.ndarray]:
    """The isometries that keep the origin, and the others with one shift each, such that all form a group.

    There is a choice only where the cell is not primitive, so that an isometry has several shifts.
    """
    single = len(shifts[0]) == 1
    for p, options in enumerate(shifts):
        for shift in options if p not in chosen else ():
            if single:
                chosen[p] = shift
                continue
            grown = _generated(chosen, p, shift, matrices, vectors, tolerance)
            if grown is not None:
                chosen = grown
                break
    return chosen


def _generated(
    known: dict[int, np.ndarray], new: int, shift: np.ndarray, matrices: np.ndarray, vectors: np.ndarray, tol: float
) -> dict[int, np.ndarray] | None:
    """The group with one more element, modulo `vectors`; `None` if it would hold a pure translation."""
    group, waiting = dict(known), {new: shift}
    while waiting:
        p, w = waiting.popitem()
        if p in group:
            if np.linalg.norm(wrap(w - group[p], vectors)) > tol:
                return None
            continue
        group[p] = w
        for q, v in list(group.items()):
            for (a, left), (b, right) in (((p, w), (q, v)), ((q, v), (p, w))):
                c = int(np.abs(matrices - matrices[a] @ matrices[b]).sum(axis=(1, 2)).argmin())
                product = left + matrices[a] @ right
                if c in group or c in waiting:
                    if np.linalg.norm(wrap(product - group.get(c, waiting.get(c)), vectors)) > tol:
                        return None
                else:
                    waiting[c] = product
    return group


def _about(
    crystal: Crystal, steps: np.ndarray, matrices: np.ndarray, origin: np.ndarray, shifts: np.ndarray
) -> Isometries:
    r"""Shifts as fractions of primitive vectors; where they are none, about another origin.

    The mean of the shifts, $s$, obeys $w_p + (R_p - 1) s \in \Lambda / |P|$; averaged over the isometries that keep the
    origin it is kept by them.
    """
    cell, periodic = np.asarray(crystal.cell, float), np.asarray(crystal.periodic, bool)
    inside, limit = np.linalg.inv(cell), 24
    for _ in range(2):
        parts = shifts @ inside
        denominator = whole_multiple(parts, limit, 10 * TOLERANCE)
        if denominator is not None and (np.abs(parts[:, ~periodic]) < 10 * TOLERANCE).all():
            whole = np.rint(parts * denominator).astype(np.int64) % denominator
            return Isometries(steps, matrices, origin, whole, denominator)
        fixing = (np.abs(wrap(shifts, cell[periodic])) < TOLERANCE * scale(crystal)).all(axis=1)
        move = (shifts.mean(axis=0) @ matrices[fixing].transpose(0, 2, 1)).mean(axis=0)
        origin, limit = origin + move, 2 * len(matrices) * int(fixing.sum())
        shifts = shifts + move @ matrices.transpose(0, 2, 1) - move
    raise SymmetryError(
        "The shifts of the isometries are no fractions of the primitive vectors.",
        got=(shifts @ inside).round(4).tolist(),
        expected="positions exact to 1e-5 of a primitive vector",
        try_="origin= with a point of high symmetry",
    )


def _point(origin: Any, cell: np.ndarray) -> np.ndarray:
    """The origin as `[1, d]`."""
    points = np.asarray(origin, float)[None]
    if points.shape != (1, len(cell)):
        raise SymmetryError(
            "The origin is a point of space.",
            got=repr(origin),
            expected=f"{len(cell)} Cartesian coordinates",
            try_=f"origin={[0.0] * len(cell)}",
        )
    return points
