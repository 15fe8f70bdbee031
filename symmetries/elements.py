"""From groups and internal symmetries to maps of configurations, and the proof that these form a representation."""

from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Complex, Int

from symmetries._errors import SymmetryError
from symmetries.action import TOLERANCE, Action, Maps, as_action, product, ratio
from symmetries.characters import character_table
from symmetries.internal import Internal
from symmetries.modes import Space
from symmetries.representation import irrep_matrices


def check_internal(internal: tuple[Any, ...], n_sites: int) -> None:
    """Raise if an entry is no internal symmetry, comes twice, or has phases for other sites."""
    for one in internal:
        if not isinstance(one, Internal):
            raise SymmetryError(
                "This is not an internal symmetry.",
                got=repr(one),
                expected="SpinFlip(1), ParticleHole(1), TimeReversal() or another Internal",
                try_="internal=(symmetries.SpinFlip(1),)",
            )
        if one.phases is not None and len(one.phases) not in (1, n_sites):
            raise SymmetryError(
                "The phases of an internal symmetry do not fit the lattice.",
                got=f"{len(one.phases)} phases",
                expected=f"one, or one for each of {n_sites} sites",
                try_="phases in the order of the sites",
            )
        for sites, what in ((one.pattern, "pattern"), (one.moves, "moves")):
            if sites is not None and len(sites) != n_sites:
                raise SymmetryError(
                    f"The {what} of an internal symmetry does not fit the lattice.",
                    got=f"{len(sites)} entries",
                    expected=f"one for each of {n_sites} sites",
                    try_=f"{what} in the order of the sites",
                )
    names = [one.name for one in internal]
    if len(set(names)) < len(names) or sum(one.antiunitary for one in internal) > 1:
        raise SymmetryError(
            "An internal symmetry is given twice.",
            got=", ".join(names),
            expected="different names, and at most one antiunitary symmetry",
            try_="each of them once, with one eigenvalue",
        )


def momentum_of(source: Any, momentum: Any) -> tuple[int, ...] | None:
    """The momentum in whole numbers; `None` of a group without translations."""
    if hasattr(source, "momentum"):
        return source.momentum(momentum)
    if not (hasattr(source, "permutations") and hasattr(source, "group")):
        raise SymmetryError(
            "A sector needs a group that permutes sites.",
            got=type(source).__name__,
            expected="a SpaceGroup or a PermutationGroup",
            try_="symmetries.space_group(lattice)",
        )
    if momentum is not None:
        raise SymmetryError(
            "This group has no translations, so no momentum.",
            got=f"momentum={momentum!r}",
            expected="momentum=None",
            try_="symmetries.space_group(lattice), or irrep= alone",
        )
    return None


def little_elements(source: Any, momentum: tuple[int, ...] | None) -> Int[np.ndarray, " l"]:
    """The elements that keep a momentum."""
    if momentum is None:
        return np.arange(len(source.permutations))
    return np.asarray(source.little_elements(momentum))


@lru_cache(maxsize=256)
def irreps(source: Any, momentum: tuple[int, ...] | None) -> tuple[Any, ...]:
    """The irreps that a sector may have at a momentum, with their characters on the little group."""
    if momentum is None:
        return character_table(source.group).irreps
    return tuple(source.little_irreps(momentum))


def irrep_of(source: Any, momentum: tuple[int, ...] | None, label: str | None) -> Any:
    """The irrep of a label, the first one if there is no label.

    Raises:
        SymmetryError: there is none; the error lists those there are.
    """
    found = irreps(source, momentum)
    for one in found:
        if label is None or one.label == label:
            return one
    raise SymmetryError(
        f"This group has no irrep {label!r}" + ("." if momentum is None else " at this momentum."),
        got=repr(label),
        expected=f"one of {', '.join(one.label for one in found)}",
        try_=f"irrep={found[0].label!r}",
    )


def matrices_of(source: Any, momentum: Any, irrep: Any, elements: np.ndarray) -> Complex[np.ndarray, "l d d"]:
    """Matrices of an irrep of the little group."""
    if irrep.dimension == 1:
        return np.asarray(irrep.characters, complex)[:, None, None]
    known = getattr(irrep, "matrices", None)
    if known is not None:
        return np.asarray(known, complex)
    return irrep_matrices(source.group.subgroup(elements), irrep)


def lattice_maps(source: Any, elements: np.ndarray, space: Space) -> Maps:
    """Elements of the lattice group on all components."""
    sites, n = source.permutations[elements], source.permutations.shape[1]
    phases = getattr(source, "site_phases", None)
    phases = np.ones(sites.shape, complex) if phases is None else np.asarray(phases, complex)[elements]
    moves = np.concatenate([sites + n * c for c in range(space.components)], axis=1)
    no = np.zeros(len(sites), bool)
    return Maps(moves, no, np.tile(phases, (1, space.components)), np.ones(len(sites), complex), no)


def tied_powers(source: Any, one: Internal) -> Int[np.ndarray, " g"]:
    """One for each element of the lattice group that reverses the pattern of a symmetry, zero if it keeps it.

    Raises:
        SymmetryError: an element does neither.
    """
    pattern = np.array(one.pattern)
    images = pattern[source.permutations] * pattern[None, :]
    powers = (1 - images[:, 0]) // 2
    if (images != images[:, :1]).any():
        raise SymmetryError(
            "An element of the lattice group neither keeps nor reverses the pattern.",
            got=f"pattern {one.pattern} under {source.permutations[(images != images[:, :1]).any(axis=1).argmax()]}",
            expected="a group of which every element maps the pattern to itself or its negative",
            try_="symmetries.space_group(lattice, keep=[...]) without the other elements",
        )
    return powers


def odd_flags(sector: Any, kind: str) -> np.ndarray:
    """For each element of the group of a sector whether it contains a flag of internal symmetries an odd time."""
    flags = np.array([getattr(one, kind) for one in sector.unitary], np.int64)
    odd = np.broadcast_to(sector.powers @ flags, (len(sector.elements), len(sector.powers)))
    for one in sector.tied:
        odd = odd + (tied_powers(sector.space_group, one)[sector.elements] * getattr(one, kind))[:, None]
    return (odd % 2 == 1).reshape(-1)


def internal_maps(one: Internal, n_sites: int, space: Space) -> Maps:
    """An internal symmetry as one element, with the constant that makes its power `order` the identity.

    Raises:
        SymmetryError: the space has nothing that the symmetry could act on.
    """
    sites = np.arange(n_sites) if one.moves is None else np.array(one.moves)
    move, back = np.concatenate([sites + n_sites * c for c in range(space.components)]), one.reverse
    phases = np.ones(n_sites) if one.phases is None else np.broadcast_to(np.array(one.phases), n_sites)
    phases = np.tile(phases, space.components).astype(complex)
    if one.exchange and space.components == 2:
        move = np.roll(move, n_sites)
        if one.antiunitary:
            phases[n_sites:] *= -1
    elif one.exchange and space.has_spins:
        back = not back
        if one.antiunitary:
            phases *= -1
    elif one.exchange and not one.antiunitary:
        raise SymmetryError(
            f"The space has no spin for {one.name!r} to act on.",
            got=f"{space.components} component(s) with local states {space.local_states}",
            expected="spins, or two components",
            try_="symmetries.ParticleHole for particles without spin",
        )
    maps = Maps(move[None], np.array([back]), phases[None], np.ones(1, complex), np.array([one.antiunitary]))
    if one.antiunitary:
        return maps
    power = maps
    for _ in range(one.order - 1):
        power = product(power, maps, space.highest, space.fermionic)
    return maps._replace(constants=clean(np.exp(-1j * np.angle(power.constants) / one.order)))


def group_maps(sector: Any, elements: np.ndarray, space: Space) -> Maps:
    """Elements of the lattice group times all powers of the internal symmetries of a sector."""
    inner = lattice_maps(sector.space_group, np.arange(1), space)  # the identity
    identity = inner._replace(permutations=np.arange(inner.permutations.shape[1])[None], phases=inner.phases * 0 + 1)
    inner = identity
    for one in sector.unitary:
        step, power = internal_maps(one, sector.n_sites, space), identity
        powers = []
        for _ in range(one.order):
            powers.append(power)
            power = product(power, step, space.highest, space.fermionic)
        steps = Maps(*(np.concatenate(parts) for parts in zip(*powers)))
        inner = _pairs(inner, steps, space)
    lattice = lattice_maps(sector.space_group, elements, space)
    for one in sector.tied:
        step, odd = internal_maps(one, sector.n_sites, space), tied_powers(sector.space_group, one)[elements]
        both = Maps(*(np.concatenate(parts) for parts in zip(identity, step)))
        lattice = product(lattice, both.take(odd), space.highest, space.fermionic)
    maps = _pairs(lattice, inner, space)
    if sector.rotation is not None:
        turn = identity._replace(phases=np.tile(np.array(sector.rotation, complex), space.components)[None])
        maps = product(product(turn, maps, space.highest, space.fermionic), turn, space.highest, space.fermionic)
    return maps


def _pairs(left: Maps, right: Maps, space: Space) -> Maps:
    """All products, the right element running fastest."""
    n, m = len(left.reversed), len(right.reversed)
    return product(
        left.take(np.repeat(np.arange(n), m)), right.take(np.tile(np.arange(m), n)), space.highest, space.fermionic
    )


@lru_cache(maxsize=64)
def action_of(sector: Any, space: Space) -> Action:
    """The action of the group of a sector, proven to be a representation on the configurations of the space.

    Raises:
        SymmetryError: it is none, or an element changes a fixed total.
    """
    maps = group_maps(sector, sector.elements, space)
    _check_totals(sector, maps, space)
    table = sector.group.product_table
    for s in sector.group.generators:
        products = product(maps, maps.take([s]), space.highest, space.fermionic)
        found = ratio(products, maps.take(table[:, s]), space.totals)
        if found is None or np.abs(found - 1).max() > TOLERANCE:
            _no_representation(sector, s, found)
    return as_action(maps, space.fermionic, space.local_states)


def _no_representation(sector: Any, generator: int, found: np.ndarray | None) -> None:
    count = len(sector.powers)

    def name(g: int) -> str:
        powers = zip(sector.unitary, sector.powers[g % count])
        parts = [one.name for one, power in powers if power]
        if g // count != int(np.flatnonzero(sector.elements == sector.space_group.group.identity)[0]):
            parts.append(f"lattice element {sector.elements[g // count]}")
        return " * ".join(parts) or "the identity"

    if found is None:
        got = f"products with {name(generator)} that are right only up to a factor that depends on the configuration"
    else:
        worst = int(np.abs(found - 1).argmax())
        got = f"{name(worst)} times {name(generator)} is {complex(np.round(found[worst], 6)):g} times their product"
    raise SymmetryError(
        "These symmetries form no representation of their group on this space.",
        got=got,
        expected="g h = (g h) for all elements, as operators",
        try_="a space with fixed numbers of particles for which they do (half filling), another twist, or fewer "
        "internal symmetries",
    )


def _check_totals(sector: Any, maps: Maps, space: Space) -> None:
    """Every element must map each fixed total to itself, or to another one that has the same value."""
    parts = {frozenset(modes): total for modes, total in space.totals}
    for g in range(len(maps.reversed)) if parts else ():
        for modes, total in parts.items():
            image = frozenset(maps.permutations[g, list(modes)].tolist())
            wanted = space.highest * len(modes) - total if maps.reversed[g] else total
            if parts.get(image) != wanted:
                raise SymmetryError(
                    "A symmetry of the sector changes a total that the space fixes.",
                    got=f"a total of {total} on {len(modes)} modes, which {sector.label} would make {wanted} elsewhere",
                    expected="totals that every element keeps: equal numbers of both spins, or one half of the room",
                    try_="a space without this total, or a sector without this symmetry",
                )


def site_phases(sector: Any) -> Complex[np.ndarray, "g sites"]:
    """Phases of a sector on the sites, one component."""
    space = Space(2, False, (0, 1), ())  # bosons with two components: every symmetry acts, no signs of fermions
    return group_maps(sector, sector.elements, space).phases[:, : sector.n_sites]


def clean(values: np.ndarray) -> np.ndarray:
    """Complex numbers whose parts are whole or half to rounding made so."""
    parts = np.stack([np.real(values), np.imag(values)])
    halves = np.round(2 * parts) / 2 + 0.0
    real, imaginary = np.where(np.abs(parts - halves) < 1e-14, halves, parts)
    return real + 1j * imaginary


def momenta(source: Any) -> list[Any]:
    """One momentum of each star; `None` alone of a group without translations."""
    if not hasattr(source, "momentum"):
        return [None]
    return [one for one in source.momenta() if one == source.star(one)[0]]


def checked(x: np.ndarray, n_modes: int) -> np.ndarray:
    """The same configurations, or an error if they do not fit the lattice."""
    if x.ndim == 0 or x.shape[-1] != n_modes:
        raise SymmetryError(
            "The configurations do not fit the lattice.",
            got=f"shape {x.shape}",
            expected=f"[..., {n_modes}]",
            try_="one entry for each site, sites last",
        )
    return x
