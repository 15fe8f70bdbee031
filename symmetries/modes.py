"""What the action of a symmetry must know about a Hilbert space: modes, statistics, local states, fixed totals."""

from dataclasses import dataclass
from typing import Any

from symmetries._errors import SymmetryError
from symmetries.action import Totals


@dataclass(frozen=True)
class Space:
    """What the action of a symmetry depends on: modes of a site, statistics, local states, fixed totals.

    Args:
        components: modes of each site; all modes of the first component come first.
        fermionic: whether the modes are those of fermions.
        local_states: values of one mode in basis order.
        totals: groups of modes, each with the sum of its digits (occupations, or lowered steps of spins).
    """

    components: int
    fermionic: bool
    local_states: tuple[int, ...]
    totals: Totals

    @property
    def highest(self) -> int:
        """The largest digit of a mode."""
        return len(self.local_states) - 1

    @property
    def has_spins(self) -> bool:
        """Whether modes are spins: local states go down from the highest."""
        return not self.fermionic and self.local_states[0] > self.local_states[-1]

    @classmethod
    def of(cls, hilbert: Any, n_sites: int) -> "Space":
        """The facts about a space of `qml.hilbert`, or one that looks like it.

        Raises:
            SymmetryError: it has not one configuration entry for each site and component.
        """
        components = getattr(hilbert, "components", 1)
        if hilbert.n_sites != components * n_sites:
            raise SymmetryError(
                "The space has another number of sites than the lattice of the sector.",
                got=f"{hilbert.n_sites} entries in a configuration, {components} for each site",
                expected=f"{components} x {n_sites} entries",
                try_="a space on the lattice of the sector",
            )
        states = tuple(hilbert.local_states)
        block, top = getattr(hilbert, "_block", None), len(states) - 1
        totals = zip(block.parts, block.totals) if block is not None else ()
        falling = states[0] > states[-1]  # totals count steps above the lowest state
        sums = ((tuple(modes), top * len(modes) - total if falling else total) for modes, total in totals)
        return cls(components, bool(getattr(hilbert, "fermionic", False)), states, tuple(sums))


def counted(
    n_sites: int, magnetisation: Any, local_states: int, particles: Any, components: int, fermionic: bool
) -> Space:
    """The space that the arguments of `Sector.sector_dimension` speak of."""
    if particles is None and not fermionic:
        states = tuple(range(local_states - 1, -local_states, -2)) if local_states > 1 else (0,)
        n = n_sites * components
        totals = () if magnetisation is None else ((tuple(range(n)), _lowered(magnetisation, n, local_states)),)
        return Space(components, False, states, totals)
    top = 1 if fermionic else local_states - 1
    if particles is None:
        return Space(components, fermionic, tuple(range(top + 1)), ())
    numbers = tuple(particles) if isinstance(particles, (tuple, list)) else (particles,)
    size = n_sites * components // len(numbers)
    if len(numbers) not in (1, components) or not all(0 <= number <= top * size for number in numbers):
        raise SymmetryError(
            "No state has these numbers of particles.",
            got=f"particles={particles} with {components} component(s) of {n_sites} sites, at most {top} on each",
            expected="one number for each component, or one for all",
            try_=f"particles={(n_sites // 2,) * components if components > 1 else n_sites // 2}",
        )
    totals = tuple((tuple(range(i * size, (i + 1) * size)), number) for i, number in enumerate(numbers))
    return Space(components, fermionic, tuple(range(top + 1)), totals)


def _lowered(magnetisation: Any, n_sites: int, local_states: int) -> int:
    """How many steps below the highest state of all sites a magnetisation is."""
    top = n_sites * (local_states - 1) / 2
    steps = top - magnetisation
    if steps != round(steps) or not 0 <= steps <= 2 * top:
        raise SymmetryError(
            "No state has this magnetisation.",
            got=f"magnetisation={magnetisation} with {local_states} states on each of {n_sites} sites",
            expected=f"one of {-top:g}, {1 - top:g} ... {top:g}",
            try_=f"magnetisation={top % 1:g}",
        )
    return round(steps)
