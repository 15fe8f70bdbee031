r"""Does an operator commute with the symmetries of a sector? If not: which term breaks which symmetry.

Sums of strings (Pauli, fermions, bosons that are not reversed) are mapped string by string, which decides exactly.
Any other operator, and a sum that is symmetric only inside a constrained space, is compared row by row:
$\langle g x|O|g x'\rangle = f_g(x)\, \overline{f_g(x')}\, \langle x|O|x'\rangle$ with $g|x\rangle = f_g(x)|g x\rangle$.
That is exact on all rows of a small space, and a test by sampling on a large one.
"""

import itertools
from typing import Any

import jax
import numpy as np

from qml._core.errors import SymmetryError
from qml._core.types import Array
from qml.operator.base import AbstractOperator
from qml.operator.boson import BosonStrings, BosonSum
from qml.operator.coefficients import is_traced
from qml.operator.fermion import FermionSum
from qml.operator.ladder import LadderSum
from qml.operator.ladder_strings import expand
from qml.operator.pauli import PauliSum
from qml.operator.strings import sites_of
from symmetries.elements import tied_powers

_ALL = 4096  # spaces up to this size are compared on all rows
_SHOWN = 4
_ROUNDING = 1e-10

Terms = dict[Any, Any]  # string -> coefficient


def check_commutes(operator: AbstractOperator, sector: Any, *, samples: int = 64) -> None:
    """Raise if an operator breaks a symmetry of a sector, with the terms that do and the element they break.

    Args:
        operator: any operator; its space says how the symmetries act.
        sector: a `symmetries.Sector` on the lattice of the operator.
        samples: random rows compared, where neither strings decide nor all rows can be compared (more than 4096). A
            symmetry that few rows break may then pass.

    Raises:
        SymmetryError: the operator does not commute with an element of the group, or the group has no representation
            on its space.

    Example:
        >>> import qml, symmetries
        >>> chain, spins = qml.lattice.Chain(4), qml.hilbert.Spin(4)
        >>> sector = symmetries.Sector(symmetries.space_group(chain), internal=(symmetries.SpinFlip(1),))
        >>> qml.operator.check_commutes(qml.operator.Heisenberg(spins, chain), sector)
        >>> field = qml.operator.PauliSum({"ZIII": 0.5}, spins)
        >>> qml.operator.check_commutes(field, sector)
        Traceback (most recent call last):
        ...
        symmetries._errors.SymmetryError: The operator breaks a symmetry of the sector.
          got:      Z0: 0.5, under flip becomes -0.5
          expected: an operator that commutes with every element of k=(0,) A flip=+1
          try:      another sector, or an operator without these terms
    """
    if is_traced(getattr(operator, "coefficients", None)):
        raise SymmetryError(
            "Whether an operator with traced coefficients commutes cannot be known.",
            got="coefficients inside jax.jit or jax.grad",
            expected="numbers",
            try_="check_commutes outside, once: couplings of symmetric terms keep the symmetry",
        )
    action = sector.on(operator.hilbert)
    for g in sector.group.generators:
        broken = _broken_strings(operator, action, g)
        if broken == []:
            continue
        if broken is None or operator.hilbert.is_constrained:
            rows = _broken_rows(operator, action, g, samples)
            broken = [] if not rows else broken or rows
        if broken:
            name = element_name(sector, g)
            shown = "; ".join(text.replace("{g}", name) for text in broken[:_SHOWN])
            raise SymmetryError(
                "The operator breaks a symmetry of the sector.",
                got=shown + (f"; and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""),
                expected=f"an operator that commutes with every element of {sector.label}",
                try_="another sector, or an operator without these terms",
            )


def commutes(operator: AbstractOperator, sector: Any, *, samples: int = 64) -> bool:
    """Whether `check_commutes` lets an operator pass.

    Example:
        >>> import qml, symmetries
        >>> sector = symmetries.Sector(symmetries.translation_group(qml.lattice.Chain(3)))
        >>> qml.operator.commutes(qml.operator.PauliSum({"ZII": 1.0}), sector)
        False
    """
    sector.on(operator.hilbert)  # no representation is another error
    try:
        check_commutes(operator, sector, samples=samples)
    except SymmetryError:
        return False
    return True


def element_name(sector: Any, g: int) -> str:
    """An element of the group of a sector in words: `flip`, or `the symmetry that moves sites 0, 1, 2 to 1, 2, 0`."""
    moves = sector.permutations[g]
    powers = zip(sector.unitary, sector.powers[g % len(sector.powers)])
    parts = [one.name for one, power in powers if power]
    lattice = sector.elements[g // len(sector.powers)]
    parts += [one.name for one in sector.tied if tied_powers(sector.space_group, one)[lattice]]
    if (moves != np.arange(len(moves))).any():
        some = range(min(len(moves), 6))
        more = ", ..." if len(moves) > 6 else ""
        parts.append(
            f"the symmetry that moves sites {', '.join(map(str, some))}{more} to "
            f"{', '.join(str(moves[s]) for s in some)}{more}"
        )
    return " times ".join(parts) or "the identity"


def image_terms(operator: AbstractOperator, action: Any, g: int) -> tuple[Terms, Terms] | None:
    r"""Coefficients of the strings of O and of $g O g^{-1}$; `None` if the operator has none that tell."""
    if isinstance(operator, PauliSum):
        keys, maps = list(zip(operator.strings.flips, operator.strings.signs)), _pauli_terms(operator, action, g)
    elif isinstance(operator, FermionSum) or (isinstance(operator, BosonSum) and not action.reversed[g]):
        keys, maps = list(operator.strings.keys), _ladder_terms(operator, action, g)
    else:
        return None
    return dict(zip(keys, np.asarray(operator.coefficients).tolist())), maps


def _broken_strings(operator: Any, action: Any, g: int) -> list[str] | None:
    """What an element does to the strings of a sum, where that differs; `None` if the strings do not tell."""
    terms = image_terms(operator, action, g)
    if terms is None:
        return None
    before, maps = terms
    scale = _ROUNDING * max(map(abs, before.values()), default=0)
    name = operator.strings.short if isinstance(operator, PauliSum) else list(operator.strings.words()).__getitem__
    broken = [
        f"{name(k) or 'the identity'}: {_short(value)}, under {{g}} becomes {_short(maps.get(key, 0))}"
        for k, (key, value) in enumerate(before.items())
        if abs(maps.get(key, 0) - value) > scale
    ]
    if not broken and any(abs(value) > scale for key, value in maps.items() if key not in before):
        broken = ["terms that {g} makes are missing"]
    return broken


def _short(value: Any) -> str:
    value = complex(value)
    return f"{value.real:.6g}" if abs(value.imag) < _ROUNDING * abs(value) or value.imag == 0 else f"{value:.6g}"


def _pauli_terms(operator: PauliSum, action: Any, g: int) -> Terms:
    r"""Strings of $g O g^{-1}$: $Z \to \pm Z$, $X \to c X \pm s Y$, $Y \to -s X \pm c Y$, on the images of the sites.

    $\phi = c + i s$ is the phase of a lowered step; the lower sign where the spins are reversed.
    """
    n, moves, sign = operator.hilbert.n_sites, action.permutations[g].tolist(), -1 if action.reversed[g] else 1
    cosines, sines = action.phases[g].real, action.phases[g].imag
    result: Terms = {}
    for flip, z, value in zip(
        operator.strings.flips, operator.strings.signs, np.asarray(operator.coefficients).tolist()
    ):
        letters = []
        for site in sites_of(flip | z, n):
            bit, place = 1 << n - 1 - site, 1 << n - 1 - moves[site]
            c, s = float(cosines[site]), float(sines[site])
            x, y = ((place, 0), c), ((place, place), sign * s)
            if not flip & bit:
                choice = [((0, place), float(sign))]
            elif not z & bit:
                choice = [x, y]
            else:
                choice = [((place, 0), -s), ((place, place), sign * c)]
            letters.append([one for one in choice if one[1] != 0])
        for chosen in itertools.product(*letters):
            key = (sum(k[0] for k, _ in chosen), sum(k[1] for k, _ in chosen))
            result[key] = result.get(key, 0) + value * np.prod([factor for _, factor in chosen], initial=1.0)
    return result


def _ladder_terms(operator: LadderSum, action: Any, g: int) -> Terms:
    r"""Strings of $g O g^{-1}$ in normal order, with $c_m^\dagger \to \phi_m c_{g(m)}^\dagger$ or $\phi_m c_{g(m)}$."""
    kind, n, moves, back = type(operator.strings), operator.hilbert.n_sites, action.permutations[g], action.reversed[g]
    phases = action.phases[g]
    if action.fermionic and back:
        phases = phases * (1 - 2 * (moves % 2))  # without the sign that the full state gives
    result: Terms = {}
    for key, value in zip(operator.strings.keys, np.asarray(operator.coefficients).tolist()):
        ladder, factor = [], complex(value)
        for site, dagger in _ladder(kind, key, n):
            factor *= phases[site] if dagger else np.conj(phases[site])
            ladder.append((int(moves[site]), bool(dagger != back)))
        for image, sign in expand(kind, ladder, n).items():
            result[image] = result.get(image, 0) + factor * sign
    return result


def _ladder(kind: Any, key: Any, n_sites: int) -> list[tuple[int, bool]]:
    """The ladder operators of a normal-ordered string, the leftmost first."""
    if kind is BosonStrings:
        return [(i, dagger) for i, p, q in key for dagger in [True] * p + [False] * q]
    created, gone = (sites_of(mask, n_sites) for mask in key)
    return [(i, True) for i in created] + [(i, False) for i in gone[::-1]]


def _broken_rows(operator: AbstractOperator, action: Any, g: int, samples: int) -> list[str]:
    """Matrix elements that differ from those between the images."""
    space = operator.hilbert
    few = space.size <= _ALL
    x = np.asarray(space.all_states() if few else space.random_state(jax.random.key(0), samples))
    moved, factors = (part[:, g] for part in action.apply(x))
    row, columns, elements = _rows_of(operator, x)
    images, turned = (part[:, g] for part in action.apply(columns))
    values = elements * factors[row] * turned.conj()
    other, neighbours, others = _rows_of(operator, moved)
    keys = np.concatenate([np.c_[row, images], np.c_[other, neighbours]])
    unique, place = np.unique(keys, axis=0, return_inverse=True)
    total = np.zeros(len(unique), complex)
    np.add.at(total, place.reshape(-1), np.concatenate([values, -others]))
    bad = np.flatnonzero(
        np.abs(total) > _ROUNDING * max(np.abs(elements).max(initial=0), np.abs(others).max(initial=0))
    )
    return [
        f"the element between {moved[unique[k, 0]].tolist()} and {unique[k, 1:].tolist()}, off by "
        f"{_short(-total[k])} from its image under {{g}}"
        for k in bad
    ]


@jax.jit
def _parts_of_rows(operator: AbstractOperator, x: Array) -> tuple[Array, Array, Array, Array]:
    neighbours, elements = operator.connected(x)
    return neighbours, elements, operator.hilbert.contains(neighbours), operator.diagonal(x)


def _rows_of(operator: AbstractOperator, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The non-zero elements of some rows: number of the row, configuration of the column, element."""
    neighbours, elements, inside, diagonal = (np.asarray(part) for part in _parts_of_rows(operator, x))
    inside = inside & (elements != 0)
    rows = np.broadcast_to(np.arange(len(x))[:, None], elements.shape)
    return (
        np.concatenate([np.arange(len(x)), rows[inside]]),
        np.concatenate([x, neighbours[inside]]),
        np.concatenate([diagonal, elements[inside]]),
    )
