"""What follows from the maps of a sector: its class under time reversal, and its label after a rotation of signs."""

import itertools
from typing import Any

import numpy as np
from jaxtyping import Int

from symmetries import permutation
from symmetries._errors import SymmetryError
from symmetries.action import TOLERANCE, product, ratio
from symmetries.elements import group_maps, internal_maps, irreps, little_elements
from symmetries.internal import Internal
from symmetries.modes import Space


def kramers(sector: Any, space: Space) -> str:
    """The class of a sector under its antiunitary symmetry; see `Sector.kramers`."""
    times = [one for one in sector.internal if one.antiunitary]
    if not times:
        raise SymmetryError(
            "This sector knows no time reversal.",
            got=sector.label,
            expected="an antiunitary symmetry among the internal ones",
            try_="internal=(symmetries.TimeReversal(),)",
        )
    lattice = sector.space_group.group
    everything = group_maps(sector, np.arange(lattice.order), space)
    n, m = lattice.order, len(sector.powers)
    turned = product(internal_maps(times[0], sector.n_sites, space), everything, space.highest, space.fermionic)
    squares = product(turned, turned, space.highest, space.fermionic)
    inner = sector.group.product_table[:m, :m].diagonal() % m if m > 1 else np.zeros(1, int)
    target = (_squares(times[0], sector.space_group)[:, None] * m + inner[None, :]).reshape(-1)
    factors = ratio(squares, everything.take(target), space.totals)
    if factors is None:
        raise SymmetryError(
            "Time reversal does not fit the other symmetries on this space.",
            got="(T g)^2 is no number times g^2 for some element g of the group",
            expected="T g T^-1 = g up to a number; fermions need a fixed number since T^2 = (-1)^N",
            try_="a space with n_fermions given, and no twist but 0 or pi",
        )
    place = np.full(n, -1)
    place[sector.elements] = np.arange(len(sector.elements))
    row = place[target // m]
    characters = np.where(row < 0, 0, sector.characters.reshape(-1, m)[row, target % m])
    indicator = (factors * characters).sum() / len(sector.characters)
    if abs(indicator - round(indicator.real)) > 1e-6 or abs(round(indicator.real)) > 1:
        raise SymmetryError(
            "Time reversal maps this sector to none of the group.",
            got=f"indicator {indicator:.3g}",
            expected="1, -1 or 0",
            try_="a lattice without twist",
        )
    return ("complex", "real", "pseudoreal")[round(indicator.real)]


def _squares(time: Internal, source: Any) -> Int[np.ndarray, " g"]:
    """The element of the lattice group that moves sites like the square of each one after a time reversal."""
    if time.moves is None:
        return source.group.product_table.diagonal()
    turned = np.array(time.moves)[source.permutations]
    squares = permutation.product(turned, turned)
    number = {row.tobytes(): g for g, row in enumerate(source.permutations)}
    found = np.array([number.get(row.tobytes(), -1) for row in squares.astype(source.permutations.dtype)])
    if len(number) < len(source.permutations) or (found < 0).any():
        raise SymmetryError(
            "The moves of time reversal do not fit the lattice group.",
            got=f"moves {time.moves} with a group of {len(source.permutations)} elements, {len(number)} different",
            expected="moves whose square, and whose square after any element, is in the group",
            try_="the group of all symmetries of the Hamiltonian that need no time reversal",
        )
    return found


def rotated(sector: Any, signs: Any) -> Any:
    """A sector after a rotation of signs; see `Sector.rotated`."""
    array = np.asarray(signs)
    if array.shape != (sector.n_sites,) or not np.isin(array, (-1, 1)).all():
        raise SymmetryError(
            "A rotation of signs needs a sign for each site.",
            got=f"{signs!r}"[:60],
            expected=f"{sector.n_sites} numbers +1 or -1",
            try_="-1 on one sublattice",
        )
    if sector.rotation is not None:
        array = array * np.array(sector.rotation)
    new = object.__new__(type(sector))
    for name in sector.__dataclass_fields__:
        object.__setattr__(new, name, getattr(sector, name))
    object.__setattr__(new, "rotation", None if (array == 1).all() else tuple(array.tolist()))
    return new


def relabelled(sector: Any, space: Space) -> Any:
    """The sector without rotation that has the same states; see `Sector.relabelled`."""
    plain = rotated(sector, sector.rotation or (1,) * sector.n_sites)
    turned, still = (group_maps(one, sector.elements, space) for one in (sector, plain))
    numbers = ratio(turned, still, space.totals)
    if numbers is not None:
        wanted = sector.characters * numbers.conj()
        source = sector.space_group
        for momentum in [None] if sector.momentum is None else source.momenta():
            if not np.array_equal(little_elements(source, momentum), sector.elements):
                continue
            choices = [one.eigenvalues() if one in sector.unitary else (one,) for one in sector.internal]
            for irrep, chosen in itertools.product(irreps(source, momentum), itertools.product(*choices)):
                found = type(sector)(source, momentum, irrep.label, chosen)
                if np.abs(found.characters - wanted).max() < TOLERANCE:
                    return found
    raise SymmetryError(
        "The rotated sector is none of the sectors without a rotation.",
        got=f"{sector.label} on this space",
        expected="signs that every element of the group keeps or reverses, and totals that fix what a reversal gives",
        try_="the rotated sector itself, or a space of fixed magnetisation or number",
    )
