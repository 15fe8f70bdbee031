"""Symmetries that do not move sites: spin flip, particle-hole, time reversal, and others of the same kind."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from symmetries._errors import SymmetryError


@dataclass(frozen=True)
class Internal:
    r"""A symmetry that acts on every site alike, and the eigenvalue that a sector has under it.

    It may reverse the local states (up and down, empty and full), exchange two components (spin up and down of
    fermions), and multiply by a phase for each lowered step or particle of a site. `SpinFlip`, `ParticleHole` and
    `TimeReversal` make the usual ones; write another as in the example.

    Args:
        name: short word for labels.
        eigenvalue: of the states of the sector; a root of unity whose power `order` is 1.
        reverse: local states are reversed: $m \to -m$ of spins, $n \to n_{\max} - n$ of particles.
        exchange: the two components are exchanged; where a site has one component its states are reversed instead
            (`reverse` and `exchange` together leave it alone).
        phases: one factor of modulus one for each site, to the power of the lowered steps $s - m$ of a spin or of
            the occupation; one for all sites, or `None` for 1.
        order: how often the operation gives the identity.
        antiunitary: the operation contains complex conjugation. It has no eigenvalue.

    Raises:
        SymmetryError: the eigenvalue is impossible, or a phase has not modulus one.

    Example:
        >>> import qml, symmetries
        >>> parity = symmetries.Internal("parity", -1, phases=-1)  # (-1)^N
        >>> group = symmetries.translation_group(qml.lattice.Chain(4))
        >>> [s.sector_dimension() for s in symmetries.sectors(group, internal=(parity,))]
        [4, 2, 1, 2, 2, 2, 1, 2]
    """

    name: str
    eigenvalue: complex | float | int = 1
    reverse: bool = False
    exchange: bool = False
    phases: Any = None
    order: int = 2
    antiunitary: bool = False

    def __post_init__(self):
        if self.order < 1 or abs(self.eigenvalue**self.order - 1) > 1e-9:
            raise SymmetryError(
                "The eigenvalue does not belong to this symmetry.",
                got=f"{self.name} = {self.eigenvalue}, of order {self.order}",
                expected=f"a number whose power {self.order} is 1",
                try_="eigenvalue=1 or -1",
            )
        if self.phases is not None:
            values = np.atleast_1d(np.asarray(self.phases, complex))
            if values.ndim != 1 or np.abs(np.abs(values) - 1).max(initial=0) > 1e-9:
                raise SymmetryError(
                    "The phases of a symmetry have modulus one.",
                    got=self.phases,
                    expected="one number of modulus one, or one for each site",
                    try_="signs such as (1, -1, 1, -1)",
                )
            object.__setattr__(self, "phases", tuple(values.tolist()))

    @property
    def signs(self) -> tuple[complex, ...] | None:
        """The phases: one for all sites, or one for each site."""
        return self.phases

    @property
    def label(self) -> str:
        """Name and eigenvalue, e.g. `flip=+1`."""
        turns = round(np.angle(complex(self.eigenvalue)) / (2 * np.pi) * self.order) % self.order
        value = "+1" if turns == 0 else "-1" if 2 * turns == self.order else f"exp(2i pi {turns}/{self.order})"
        return f"{self.name}={value}"

    def eigenvalues(self) -> tuple["Internal", ...]:
        """The same symmetry with each of its eigenvalues, +1 first.

        Example:
            >>> import symmetries
            >>> [one.label for one in symmetries.SpinFlip().eigenvalues()]
            ['flip=+1', 'flip=-1']
        """
        from symmetries.characters import roots_of_unity

        return tuple(replace(self, eigenvalue=value) for value in map(_plain, roots_of_unity(self.order).tolist()))


def SpinFlip(eigenvalue: int = 1) -> Internal:
    r"""Every spin up becomes down and every spin down up.

    Of spins: $|m\rangle \to |{-m}\rangle$ on every site, for spin 1/2 the product of all $X$. Of fermions with spin:
    $c_{i\uparrow} \leftrightarrow c_{i\downarrow}$, with the sign of bringing the modes back in order.

    Args:
        eigenvalue: +1 or -1.

    Raises:
        SymmetryError: another eigenvalue.

    Example:
        >>> import qml, symmetries
        >>> group = symmetries.translation_group(qml.lattice.Chain(4))
        >>> sector = symmetries.Sector(group, momentum=2, internal=(symmetries.SpinFlip(-1),))
        >>> sector.label, sector.sector_dimension()
        ('k=(2,) A flip=-1', 2)
    """
    return Internal("flip", eigenvalue, exchange=True)


def ParticleHole(eigenvalue: int = 1, signs: Any = None) -> Internal:
    r"""Particles become holes: $c_i \to \eta_i c_i^\dagger$; of bosons $n_i \to n_{\max} - n_i$.

    The empty state becomes the full one (times $i$ where only then the square is one). For hopping between two
    sublattices $\eta_i = \pm 1$ is the sublattice: then $c_i^\dagger c_j + h.c.$ stays itself.

    Args:
        eigenvalue: +1 or -1.
        signs: $\eta_i$, one for each site; 1 if left out.

    Raises:
        SymmetryError: another eigenvalue, or a sign that is not +1 or -1.

    Example:
        >>> import qml, symmetries
        >>> group = symmetries.translation_group(qml.lattice.Chain(6))
        >>> hole = symmetries.ParticleHole(signs=(1, -1, 1, -1, 1, -1))
        >>> count = dict(particles=3, fermionic=True)
        >>> sum(s.sector_dimension(**count) for s in symmetries.sectors(group, internal=(hole,)))
        20
    """
    if signs is not None and not np.isin(np.asarray(signs), (-1, 1)).all():
        raise SymmetryError(
            "The signs of a particle-hole symmetry are +1 or -1.",
            got=signs,
            expected="one of +1 and -1 for each site",
            try_="signs=(1, -1, 1, -1) for a chain of four",
        )
    return Internal("hole", eigenvalue, reverse=True, phases=signs)


def TimeReversal() -> Internal:
    r"""Time reversal: complex conjugation times a rotation by $\pi$ of all spins.

    Of spins: $T|m\rangle = (-1)^{s-m}|{-m}\rangle$ on every site. Of fermions with spin:
    $c_{i\uparrow} \to c_{i\downarrow}$, $c_{i\downarrow} \to -c_{i\uparrow}$, so $T^2 = (-1)^N$. Of particles
    without spin: complex conjugation alone. It has no eigenvalue; a sector that contains it has a class instead,
    see `Sector.kramers`.

    Example:
        >>> import qml, symmetries
        >>> group = symmetries.space_group(qml.lattice.Chain(5))
        >>> symmetries.Sector(group, internal=(symmetries.TimeReversal(),)).kramers()
        'pseudoreal'
    """
    return Internal("time", 1, exchange=True, antiunitary=True)


def _plain(value: complex) -> complex | int:
    return int(value.real) if value.imag == 0 and value.real in (-1.0, 1.0) else value
