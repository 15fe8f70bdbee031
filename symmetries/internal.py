"""Symmetries of local states: spin flip, particle-hole, time reversal, and others; alone or tied to moves of sites."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from symmetries import permutation
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
        pattern: +1 or -1 for each site: no symmetry of its own, but part of those elements of the lattice group that
            reverse the pattern (the others must keep it). For a spin flip in a staggered field, where only the product
            with a shift is a symmetry. The sector has the labels of the lattice group, and no eigenvalue.
        moves: of antiunitary symmetries: site `s` also moves to `moves[s]`, for the same case; the lattice group is
            then that of the elements which are symmetries by themselves.

    Raises:
        SymmetryError: the eigenvalue is impossible, a phase has not modulus one, a pattern or moves where they do not
            belong.

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
    pattern: Any = None
    moves: Any = None

    def __post_init__(self):
        self._check_ties()
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

    def _check_ties(self) -> None:
        if self.moves is not None:
            moves = permutation.check(np.asarray(self.moves, int)[None])[0]
            object.__setattr__(self, "moves", tuple(moves.tolist()))
        if self.pattern is not None:
            object.__setattr__(self, "pattern", tuple(int(sign) for sign in self.pattern))
        plain = self.order == 2 and self.eigenvalue == 1 and not self.antiunitary and self.pattern is not None
        if (self.pattern is not None and not (plain and set(self.pattern) == {1, -1})) or (
            self.moves is not None and not self.antiunitary
        ):
            raise SymmetryError(
                "This symmetry cannot be tied to the lattice in that way.",
                got=f"{self.name} with pattern={self.pattern}, moves={self.moves}",
                expected="a pattern of +1 and -1 for a unitary symmetry of order 2 without eigenvalue, moves for an "
                "antiunitary one",
                try_="SpinFlip(pattern=signs), TimeReversal(moves=permutation)",
            )

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


def SpinFlip(eigenvalue: int = 1, pattern: Any = None) -> Internal:
    r"""Every spin up becomes down and every spin down up.

    Of spins: $|m\rangle \to |{-m}\rangle$ on every site, for spin 1/2 the product of all $X$. Of fermions with spin:
    $c_{i\uparrow} \leftrightarrow c_{i\downarrow}$, with the sign of bringing the modes back in order.

    Args:
        eigenvalue: +1 or -1.
        pattern: signs of the sites; only lattice symmetries that reverse them contain the flip. See `Internal`.

    Raises:
        SymmetryError: another eigenvalue, or one other than +1 with a pattern.

    Example:
        >>> import qml, symmetries
        >>> group = symmetries.translation_group(qml.lattice.Chain(4))
        >>> sector = symmetries.Sector(group, momentum=2, internal=(symmetries.SpinFlip(-1),))
        >>> sector.label, sector.sector_dimension()
        ('k=(2,) A flip=-1', 2)
        >>> signs = (1, -1, 1, -1)  # of a staggered field: a shift by one site is a symmetry with the flip alone
        >>> symmetries.Sector(group, momentum=2, internal=symmetries.SpinFlip(pattern=signs)).label
        'k=(2,) A with flip'
    """
    return Internal("flip", eigenvalue, exchange=True, pattern=pattern)


def ParticleHole(eigenvalue: int = 1, signs: Any = None, pattern: Any = None) -> Internal:
    r"""Particles become holes: $c_i \to \eta_i c_i^\dagger$; of bosons $n_i \to n_{\max} - n_i$.

    The empty state becomes the full one (times $i$ where only then the square is one). For hopping between two
    sublattices $\eta_i = \pm 1$ is the sublattice: then $c_i^\dagger c_j + h.c.$ stays itself.

    Args:
        eigenvalue: +1 or -1.
        signs: $\eta_i$, one for each site; 1 if left out.
        pattern: signs of the sites; only lattice symmetries that reverse them contain the exchange. See `Internal`.

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
    return Internal("hole", eigenvalue, reverse=True, phases=signs, pattern=pattern)


def TimeReversal(moves: Any = None) -> Internal:
    r"""Time reversal: complex conjugation times a rotation by $\pi$ of all spins.

    Of spins: $T|m\rangle = (-1)^{s-m}|{-m}\rangle$ on every site. Of fermions with spin:
    $c_{i\uparrow} \to c_{i\downarrow}$, $c_{i\downarrow} \to -c_{i\uparrow}$, so $T^2 = (-1)^N$. Of particles
    without spin: complex conjugation alone. It has no eigenvalue; a sector that contains it has a class instead,
    see `Sector.kramers`.

    Args:
        moves: site `s` moves to `moves[s]` at the same time: of an antiferromagnet in a staggered field only time
            reversal with a shift by one site is a symmetry.

    Example:
        >>> import numpy as np, qml, symmetries
        >>> group = symmetries.space_group(qml.lattice.Chain(5))
        >>> symmetries.Sector(group, internal=(symmetries.TimeReversal(),)).kramers()
        'pseudoreal'
        >>> shifts = symmetries.PermutationGroup(np.array([[0, 1, 2, 3], [2, 3, 0, 1]]))
        >>> time = symmetries.TimeReversal(moves=[1, 2, 3, 0])  # its square is the shift by two sites
        >>> [symmetries.Sector(shifts, irrep=label, internal=time).kramers() for label in ("1a", "1b")]
        ['real', 'pseudoreal']
    """
    return Internal("time", 1, exchange=True, antiunitary=True, moves=moves)


def _plain(value: complex) -> complex | int:
    return int(value.real) if value.imag == 0 and value.real in (-1.0, 1.0) else value
