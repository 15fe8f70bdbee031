r"""Irreps of the little group of a momentum, and those that they induce on the whole space group.

The elements that keep $k$, $\{R|w_R + t\}$, are represented by

$$D(\{R|w_R + t\}) = e^{-i k \cdot (w_R + t)}\, \Gamma(R), \qquad
\Gamma(R)\,\Gamma(R') = e^{i (k - R^{-1} k) \cdot w_{R'}}\, \Gamma(R R') .$$

In a symmorphic group, and inside the Brillouin zone, the factor is one: $\Gamma$ is an irrep of the isometries that
keep $k$ and has Mulliken's label. On the boundary of the zone of a non-symmorphic group it may be one about another
origin $o + s$, where $w_R$ becomes $w_R + R s - s$. Taken is the nearest point that all isometries of the little group
keep, else the nearest where the factor is one; `LittleIrrep.shift` tells it.
Where there is none $\Gamma$ is projective, with labels `P1`, `P2` ..., by dimension and then by the characters of
$\Gamma$ in the order of the isometries.
"""

from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Int

from symmetries._descriptor import descriptor
from symmetries.characters import CharacterTable, Irrep, roots_of_unity
from symmetries.group import FiniteGroup
from symmetries.projective import ProjectiveIrrep, projective_irreps
from symmetries.representation import irrep_matrices

GRID = 200_000  # points to try as origins of a label


@descriptor
class LittleIrrep:
    r"""One irrep of the little group of a momentum, with $D(t) = e^{-i k \cdot t}$ for translations.

    Args:
        label: Mulliken's name, or `P1`, `P2` ... where the isometries are represented up to phases.
        momentum: label of the momentum.
        shift: `[d]`, Cartesian, from the origin of the group to that of the label.
        phases: `[h]`, $e^{-i k \cdot (w + t)}$ of every element of the little group, with $w$ about that point.
        point_parts: `[h]`, place of its isometry among those that keep the momentum.
        point_group: the isometries that keep the momentum, as an abstract group.
        point_irrep: $\Gamma$, their irrep.

    Example:
        >>> import qml, symmetries
        >>> irrep = symmetries.space_group(qml.lattice.Square(4)).little_irreps("M")[4]
        >>> irrep.label, irrep.dimension, irrep.matrices.shape
        ('E', 2, (128, 2, 2))
    """

    label: str
    momentum: tuple[int, ...]
    shift: Float[np.ndarray, " d"]
    phases: Complex[np.ndarray, " h"]
    point_parts: Int[np.ndarray, " h"]
    point_group: FiniteGroup
    point_irrep: Irrep | ProjectiveIrrep

    @property
    def dimension(self) -> int:
        """Dimension of the irrep."""
        return self.point_irrep.dimension

    @property
    def is_projective(self) -> bool:
        """Whether the isometries alone are represented up to phases only."""
        return isinstance(self.point_irrep, ProjectiveIrrep)

    @cached_property
    def characters(self) -> Complex[np.ndarray, " h"]:
        """Trace of every element of the little group, in the order of `SpaceGroup.little_elements`."""
        return self.phases * self.point_irrep.characters[self.point_parts]

    @cached_property
    def matrices(self) -> Complex[np.ndarray, "h d d"]:
        """Unitary matrix of every element of the little group, in the order of `SpaceGroup.little_elements`."""
        irrep = self.point_irrep
        points = irrep.matrices if isinstance(irrep, ProjectiveIrrep) else irrep_matrices(self.point_group, irrep)
        return self.phases[:, None, None] * points[self.point_parts].astype(complex)


def little_irreps(group: Any, momentum: tuple[int, ...]) -> tuple[LittleIrrep, ...]:
    """All irreps of the little group of a momentum; see `SpaceGroup.little_irreps`.

    Example:
        >>> import qml, symmetries
        >>> from symmetries.little_group import little_irreps
        >>> [irrep.label for irrep in little_irreps(symmetries.space_group(qml.lattice.Chain(4)), (2,))]
        ['A', 'B']
    """
    points, elements = group.little_group(momentum), group.little_elements(momentum)
    isometries = group.little_point_group(momentum)
    places = np.searchsorted(points, group.point_parts[elements])
    shifts, move, denominator = _best_origin(group, momentum)
    turns, whole = group.zone.turns(momentum), group.zone.torus.exponent * denominator
    moves = denominator * group.translations[elements] + shifts[places]
    phases = roots_of_unity(whole)[-(moves @ turns) % whole]
    factors = _factors(group, momentum, shifts, denominator)
    if (factors == 1).all():
        found = [(irrep.label, irrep) for irrep in isometries.characters.irreps]
    else:
        found = [(f"P{n}", irrep) for n, irrep in enumerate(projective_irreps(isometries.group, factors), 1)]
    return tuple(LittleIrrep(label, momentum, move, phases, places, isometries.group, irrep) for label, irrep in found)


def multiplier(group: Any, momentum: Any = None) -> Complex[np.ndarray, "p p"]:
    r"""The factors $e^{i (k - R^{-1} k) \cdot w_{R'}}$ of the isometries that keep a momentum, in their order.

    Args:
        group: a `SpaceGroup`.
        momentum: label or name.

    Example:
        >>> import qml, symmetries
        >>> from symmetries.little_group import multiplier
        >>> (multiplier(symmetries.space_group(qml.lattice.Square(4)), "M") == 1).all()
        np.True_
    """
    return _factors(group, momentum, group.shifts[group.little_group(momentum)], group.denominator)


def _factors(group: Any, momentum: Any, shifts: np.ndarray, denominator: int) -> np.ndarray:
    """The multiplier for some shifts `[p, d]`, whole numbers over the denominator, of the isometries that keep `k`."""
    return roots_of_unity(denominator)[_umklapp(group, momentum) @ shifts.T % denominator]


def _umklapp(group: Any, momentum: Any) -> np.ndarray:
    """The reciprocal vectors $k - R^{-1} k$ in units of the basic ones, for the isometries that keep `k`."""
    points, turns = group.little_group(momentum), group.zone.turns(momentum)
    return (turns - group.steps[points] @ turns) // group.zone.torus.exponent


def _best_origin(group: Any, momentum: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Shifts about the point where labels hold, as whole numbers over a denominator, and the way there.

    The origin if the multiplier is one there or nowhere. Points are tried on a grid of half the denominator of shifts.
    """
    points, fine = group.little_group(momentum), 2 * group.denominator
    shifts, steps, umklapp = 2 * group.shifts[points], group.steps[points], _umklapp(group, momentum)
    if (umklapp @ shifts.T % fine == 0).all() or fine ** len(group.cell) > GRID:
        return group.shifts[points], np.zeros(len(group.cell)), group.denominator
    axes = [np.arange(1 - fine // 2, fine // 2 + 1) if wrap else np.zeros(1, int) for wrap in group.periodic]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    grid = grid[np.argsort(np.round(np.linalg.norm(grid @ group.cell, axis=1), 6), kind="stable")]
    moved = shifts[None] + (grid[:, None, None] @ steps[None])[:, :, 0] - grid[:, None]  # [s, p, d]
    kept = (moved % fine == 0).all(axis=(1, 2))
    ordinary = (umklapp @ moved.transpose(0, 2, 1) % fine == 0).all(axis=(1, 2))
    for good in (kept, ordinary):
        if good.any():
            best = int(good.argmax())
            return moved[best], grid[best] @ group.cell / fine, fine
    return group.shifts[points], np.zeros(len(group.cell)), group.denominator


def induced(group: Any, momentum: tuple[int, ...]) -> tuple[Irrep, ...]:
    r"""Irreps of the whole group from those of the little group, one for each.

    $\chi(g) = \sum_c \chi_k(c^{-1} g\, c)$ over one $c$ for each momentum of the star, where $c^{-1} g\,c$ keeps $k$.

    Example:
        >>> import qml, symmetries
        >>> from symmetries.little_group import induced
        >>> [irrep.dimension for irrep in induced(symmetries.space_group(qml.lattice.Square(4)), (1, 0))]
        [4, 4]
    """
    values = _induced(group, momentum, np.arange(group.order))
    labels = [f"k={momentum} {irrep.label}" for irrep in group.little_irreps(momentum)]
    return tuple(Irrep(label, round(row[0].real), row) for label, row in zip(labels, values))


def full_table(group: Any) -> CharacterTable:
    """Character table of a space group through its little groups; see `SpaceGroup.characters`.

    Example:
        >>> import qml, symmetries
        >>> from symmetries.little_group import full_table
        >>> full_table(symmetries.space_group(qml.lattice.Square(3))).dimensions
        (1, 1, 1, 1, 2, 4, 4, 4, 4)
    """
    members = np.array([members[0] for members in group.group.classes])
    labels, rows = [], []
    for momentum in group.momenta():
        if momentum == group.star(momentum)[0]:
            labels += [f"k={momentum} {irrep.label}" for irrep in group.little_irreps(momentum)]
            rows.append(_induced(group, momentum, members))
    return CharacterTable(group.group, np.concatenate(rows), tuple(labels))


def _induced(group: Any, momentum: tuple[int, ...], members: np.ndarray) -> np.ndarray:
    """Characters `[irreps, members]` of the induced irreps."""
    table, inverse = group.group.product_table, group.group.inverse
    elements, points = group.little_elements(momentum), group.little_group(momentum)
    place = np.full(group.order, len(elements))
    place[elements] = np.arange(len(elements))
    characters = np.stack([irrep.characters for irrep in group.little_irreps(momentum)])
    characters = np.concatenate([characters, np.zeros((len(characters), 1))], axis=1)
    cosets = np.unique(group.point_group.group.product_table[:, points].min(axis=1))  # element p is isometry p
    conjugates = table[inverse[cosets][:, None], table[members[None, :], cosets[:, None]]]
    return characters[:, place[conjugates]].sum(axis=1)
