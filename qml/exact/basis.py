"""The basis of a symmetry sector: one state for each orbit, or several where the irrep has several dimensions."""

import functools
from collections.abc import Iterable
from typing import Any, final

import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError, SymmetryError
from qml._core.types import Array, Inexact
from qml.exact.candidates import batches
from qml.exact.orbits import Orbits
from qml.hilbert import AbstractHilbert

_ROUNDING = 1e-8


@final
class SectorBasis:
    r"""The states of a space that belong to a symmetry sector, by orbits of configurations.

    For an irrep D of dimension d the basis spans $P_{11}$, the states that transform like its first row, so that every
    multiplet of d levels appears once. With $P_{1k} = \frac{d}{|G|} \sum_g \overline{D_{1k}(g)}\, g$ a state is

    $$|r, \mu\rangle = \lambda_r^{-1/2} \sum_k u^\mu_k P_{1k} |r\rangle, \qquad \lambda_r = d\, |S_r| / |G|,$$

    for the first configuration r of an orbit; the $u^\mu$ span the image of the average of $\overline{D(g)} f_g$ over
    the elements $S_r$ that keep r with factor $f_g$. Orbits whose average is zero have no state. For d = 1 this is
    the usual basis of normalised sums over orbits. Signs of fermions, twists, spin flip and particle-hole are in the
    factors.

    The list is made on the host, from parts of configurations: nothing of the size of the space is held.

    Args:
        hilbert: space that the sector maps to itself.
        sector: a `symmetries.Sector`.

    Raises:
        SymmetryError: the sector does not act on the space, or does not map it to itself.
        SpaceError: the space is too large.

    Example:
        >>> import qml, symmetries
        >>> from qml.exact import SectorBasis
        >>> sector = symmetries.Sector(symmetries.space_group(qml.lattice.Chain(4)))
        >>> basis = SectorBasis(qml.hilbert.Spin(4, magnetisation=0), sector)
        >>> basis.size, basis.representatives.tolist()
        (2, [[1, 1, -1, -1], [1, -1, 1, -1]])
        >>> basis.to_full([0.0, 1.0]).round(3).tolist()
        [0.0, 0.707, 0.0, 0.0, 0.707, 0.0]

    Source:
        A. Weisse, Phys. Rev. E 87, 043305 (2013); M. Tinkham, Group Theory and Quantum Mechanics (1964), chapter 3.
    """

    def __init__(self, hilbert: AbstractHilbert, sector: Any):
        self.hilbert, self.sector = hilbert, sector
        action = sector.on(hilbert)
        if np.any(action.antiunitary):
            raise SymmetryError(
                "A basis has no antiunitary symmetry.", got=sector.label, expected="unitary elements", try_="kramers()"
            )
        self.orbits, self.matrices = Orbits(action), _real(np.asarray(sector.irrep_matrices))
        self.order, self.dimension = len(self.matrices), self.matrices.shape[1]
        codes, rows, elements = self._list()
        self._vectors(codes, rows, elements)
        self._check()

    def _list(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First configurations of all orbits, and what keeps each."""
        found = []
        for batch in batches(self.hilbert, self.orbits):
            batch = batch[self.orbits.are_first(batch)]
            if self.hilbert.envelope != self.hilbert and len(batch):
                batch = batch[np.asarray(self.hilbert.contains(self._configurations(batch)))]
            found.append(batch)
        codes = np.sort(np.concatenate(found)) if found else np.zeros(0, self.orbits.dtype)
        rows, elements = self.orbits.keeping(codes)
        sizes = self.order / np.bincount(rows, minlength=len(codes))
        if round(float(np.sum(sizes))) != self.hilbert.size:
            raise SymmetryError(
                "The sector does not map the space to itself.",
                got=f"orbits with {np.sum(sizes):g} configurations",
                expected=f"{self.hilbert.size}, the size of {self.hilbert}",
                try_="a space whose totals the symmetry keeps: magnetisation 0 for the spin flip",
            )
        return codes, rows, elements

    def _vectors(self, codes: np.ndarray, rows: np.ndarray, elements: np.ndarray) -> None:
        """The vectors u of each orbit, and the norms."""
        counts, d = np.bincount(rows, minlength=len(codes)), self.dimension
        number = np.full(len(codes), d)  # states of each orbit
        factors = self.orbits.factors(elements, codes[rows])
        average = np.zeros((0, d, d), complex)
        special = np.flatnonzero(counts > 1)
        if len(special):
            where = np.full(len(codes), -1)
            where[special] = np.arange(len(special))
            take = where[rows] >= 0
            average = np.zeros((len(special), d, d), complex)
            terms = self.matrices[elements[take]].conj() * factors[take][:, None, None]
            np.add.at(average, where[rows[take]], terms)
            average /= counts[special][:, None, None]
        values, columns = np.linalg.eigh((average + np.swapaxes(average, 1, 2).conj()) / 2)
        if len(special) and np.max(np.abs(values * (1 - values))) > _ROUNDING:
            raise SymmetryError(
                "The elements of the sector are no representation on this space.",
                got=f"averages with eigenvalues {np.unique(values.round(6))[:8].tolist()}",
                expected="0 and 1",
                try_="another sector, or a space with fixed totals",
            )
        number[special] = np.sum(values > 0.5, axis=1)
        starts = np.cumsum(number) - number
        self.owner = np.repeat(np.arange(len(codes)), number)  # orbit of each state
        place = np.arange(len(self.owner)) - starts[self.owner]
        vectors = np.eye(d, dtype=complex)[place]
        if len(special):
            mine = np.flatnonzero(where[self.owner] >= 0)
            order = where[self.owner[mine]]  # eigenvalue one comes last
            column = d - number[self.owner[mine]] + place[mine]
            vectors[mine] = columns[order, :, column]
        self.vectors = _real(vectors) if d > 1 else np.ones((len(self.owner), 1))
        keep = number > 0
        self.owner = (np.cumsum(keep) - 1)[self.owner]
        self.codes, self.number, self.norms = codes[keep], number[keep], np.sqrt(d * counts[keep] / self.order)
        self.starts = np.cumsum(self.number) - self.number

    def _check(self) -> None:
        if self.hilbert.envelope != self.hilbert:
            return
        expected = self.sector.sector_dimension(hilbert=self.hilbert)
        if self.size * self.dimension != expected:
            raise SymmetryError(
                "The basis has another size than the sector.",
                got=f"{self.size} states for each row of the irrep",
                expected=f"{expected} / {self.dimension}",
                try_="report this with the lattice and the sector",
            )

    @property
    def size(self) -> int:
        """Number of states: levels of the sector, each multiplet of the irrep counted once."""
        return len(self.owner)

    @functools.cached_property
    def representatives(self) -> np.ndarray:
        """Configuration `int8[size, sites]` whose orbit each state lives on."""
        return self._configurations(self.codes)[self.owner]

    @property
    def is_real(self) -> bool:
        """Whether real operators have real matrices in this basis."""
        real = not np.iscomplexobj(self.matrices) and not np.iscomplexobj(self.vectors)
        action = self.orbits.action
        return real and bool(np.all(np.imag(action.phases) == 0) and np.all(np.imag(action.constants) == 0))

    def _configurations(self, codes: np.ndarray) -> np.ndarray:
        first, last = self.orbits.action.local_states[0], self.orbits.action.local_states[-1]
        step = (last - first) // max(1, self.orbits.action.highest)
        return (first + step * self.orbits.digits(codes)).astype(np.int8)

    def locate(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For packed states: their orbit (-1: it has no states), an element to its first configuration, its factor."""
        first, elements = self.orbits.first(codes)
        place = np.minimum(np.searchsorted(self.codes, first), max(0, len(self.codes) - 1))
        known = self.codes[place] == first if len(self.codes) else np.zeros(len(codes), bool)
        return np.where(known, place, -1), elements, self.orbits.factors(elements, codes)

    def amplitudes_at(self, codes: np.ndarray, rows: Iterable[int] = (0,)) -> tuple[np.ndarray, np.ndarray]:
        r"""The basis states on packed configurations, and amplitudes of their partners $P_{k1}|r, \mu\rangle$ there.

        Args:
            codes: packed states, in the space or not.
            rows: k, rows of the irrep; 0 is that of the basis.

        Returns:
            Numbers of basis states `[codes, d]`, and for each row their amplitudes `[rows, codes, d]`, zero where there
            are fewer than d of them.
        """
        orbit, elements, factors = self.locate(codes)
        d, rows = self.dimension, list(rows)
        index, amplitude = np.zeros((len(codes), d), np.int64), np.zeros((len(rows), len(codes), d), complex)
        for mu in range(d):
            there = np.flatnonzero((orbit >= 0) & (mu < (self.number[orbit] if self.size else 0)))
            state = self.starts[orbit[there]] + mu
            index[there, mu] = state
            for out, k in zip(amplitude, rows):
                total = np.sum(self.matrices[elements[there], :, k] * self.vectors[state], axis=1)  # D_ik(g) u_i
                out[there, mu] = factors[there].conj() * self.norms[orbit[there]] * total
        return index, _real(amplitude)

    @functools.cached_property
    def _amplitudes(self) -> tuple[np.ndarray, np.ndarray]:
        """For each state of the space: the basis states on its orbit, and its amplitude in each (as many as rows)."""
        digits = self.orbits.action.digits(np.asarray(self.hilbert.all_states()))
        index, amplitude = self.amplitudes_at(self.orbits.codes(digits))
        return index, amplitude[0]

    def to_full(self, vector: Any) -> Inexact[Array, " states"]:
        """A vector of the sector as a vector of the space, in basis order.

        Args:
            vector: amplitudes `[size]`.

        Raises:
            ShapeError: the vector has another length.
        """
        vector = self._checked(vector, self.size)
        index, amplitude = self._amplitudes
        return jnp.asarray(np.sum(amplitude * vector[index], axis=1)) if self.size else jnp.zeros(self.hilbert.size)

    def project(self, vector: Any) -> Inexact[Array, " levels"]:
        """Amplitudes in the sector of a vector of the space: the adjoint of `to_full`.

        Args:
            vector: amplitudes `[hilbert.size]` in basis order.

        Raises:
            ShapeError: the vector has another length.
        """
        vector = self._checked(vector, self.hilbert.size)
        index, amplitude = self._amplitudes
        terms = amplitude.conj() * vector[:, None]
        out = np.zeros(self.size, terms.dtype)
        if self.size:
            np.add.at(out, index.reshape(-1), terms.reshape(-1))
        return jnp.asarray(out)

    def _checked(self, vector: Any, size: int) -> np.ndarray:
        array = np.asarray(vector)
        if array.shape != (size,):
            raise ShapeError(
                "The vector does not fit the sector.",
                got=f"shape {array.shape}",
                expected=f"({size},)",
                try_="to_full for vectors of the sector, project for vectors of the space",
            )
        return array

    def __repr__(self) -> str:
        return f"SectorBasis({self.size} states of {self.sector.label} in {self.hilbert})"


def _real(values: np.ndarray) -> np.ndarray:
    """Real numbers where nothing else is left."""
    return np.real(values) if np.all(np.abs(np.imag(values)) < 1e-14) else values
