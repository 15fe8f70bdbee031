r"""How a group acts on the states of a lattice: configurations move, local states are reversed, factors appear.

Every symmetry here maps a basis state to a basis state times a number of modulus one. For particles it is defined
by what it does to the creation operators and to the empty state,

$$g\, c_m^\dagger\, g^{-1} = \phi_{gm}\, c_{\pi_g(m)}^\dagger \ \text{(or } c_{\pi_g(m)} \text{ if reversed)}, \qquad
g |0\rangle = \gamma_g |0\rangle \ \text{(or the full state)},$$

from which the signs of fermions follow. Modes are ordered by their number,
$|x\rangle = \prod_m (c_m^\dagger)^{x_m} |0\rangle$.
"""

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Complex, Int

from symmetries import permutation
from symmetries._descriptor import descriptor
from symmetries._errors import SymmetryError
from symmetries.characters import roots_of_unity

TOLERANCE = 1e-9
_ROOTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 36, 48, 60, 72, 120, 144, 240, 360, 720)

Totals = tuple[tuple[tuple[int, ...], int], ...]  # groups of modes, and the sum of the digits on each


@descriptor
class Action:
    r"""Elements of a group as maps of basis states, $g|x\rangle = f_g(x)\,|g x\rangle$.

    $$(g x)_{\pi_g(m)} = x_m \ \text{or reversed}, \qquad
    f_g(x) = \gamma_g \prod_m \phi_{gm}^{d_m} \cdot (\text{sign of the order of the occupied modes})$$

    with the digit $d_m$, the number of the local state: the occupation of particles, the lowered steps $s - m$ of a
    spin. The sign counts the pairs of occupied modes whose order $\pi_g$ changes; for bosons and spins there is none.
    An antiunitary element conjugates numbers: $g\, a|x\rangle = \bar a f_g(x) |g x\rangle$.

    Build it by `Sector.action`.

    Args:
        permutations: `[g, modes]`; element `g` moves mode `m` to `permutations[g, m]`.
        reversed: `[g]`, whether the local states are reversed.
        phases: `[g, modes]`, $\phi$.
        constants: `[g]`, $\gamma$.
        antiunitary: `[g]`, whether the element contains complex conjugation.
        fermionic: whether the modes are those of fermions.
        local_states: values of one mode in basis order: `(1, -1)` of spins 1/2, `(0, 1)` of fermions.

    Example:
        >>> import numpy as np, qml, symmetries
        >>> group = symmetries.translation_group(qml.lattice.Chain(3))
        >>> action = symmetries.Sector(group).action(fermionic=True)
        >>> moved, factors = action.apply(np.array([0, 1, 1]))
        >>> moved.tolist(), factors.real.tolist()
        ([[0, 1, 1], [1, 0, 1], [1, 1, 0]], [1.0, -1.0, 1.0])
    """

    permutations: Int[np.ndarray, "g modes"]
    reversed: Bool[np.ndarray, " g"]
    phases: Complex[np.ndarray, "g modes"]
    constants: Complex[np.ndarray, " g"]
    antiunitary: Bool[np.ndarray, " g"]
    fermionic: bool
    local_states: tuple[int, ...]

    @property
    def order(self) -> int:
        """Number of elements."""
        return len(self.permutations)

    @property
    def n_modes(self) -> int:
        """Number of entries of a configuration."""
        return self.permutations.shape[1]

    @property
    def highest(self) -> int:
        """The largest digit of a mode."""
        return len(self.local_states) - 1

    @cached_property
    def is_trivial(self) -> bool:
        """Whether all factors are one."""
        return not self.fermionic and bool((self.phases == 1).all() and (self.constants == 1).all())

    @cached_property
    def inverse_permutations(self) -> Int[np.ndarray, "g modes"]:
        """Entry `m` of $g x$ is entry `inverse_permutations[g, m]` of $x$, before it is reversed."""
        return permutation.inverse(self.permutations)

    @cached_property
    def turns(self) -> tuple[int, np.ndarray] | None:
        """`(n, k)` with phases $e^{2\\pi i k/n}$, whole numbers `k[g, modes]`; `None` if no small n will do."""
        turns = np.angle(self.phases) / (2 * np.pi)
        for n in _ROOTS:
            if np.abs(n * turns - np.round(n * turns)).max(initial=0) < n * TOLERANCE:
                return n, np.round(n * turns).astype(np.int64) % n
        return None

    def digits(self, x: Any) -> Int[np.ndarray, "*batch modes"]:
        """The number of the local state of every entry.

        Raises:
            SymmetryError: there is not one entry for each mode, or an entry is no local state.
        """
        array = np.asarray(x)
        first, step = self.local_states[0], self.local_states[1] - self.local_states[0] if self.highest else 1
        if array.ndim == 0 or array.shape[-1] != self.n_modes:
            raise SymmetryError(
                "The configurations do not fit the lattice.",
                got=f"shape {array.shape}",
                expected=f"[..., {self.n_modes}]",
                try_="one entry for each site, sites last (spin up first, then spin down)",
            )
        digits = (array.astype(np.int64) - first) // step
        if (digits < 0).any() or (digits > self.highest).any() or (first + step * digits != array).any():
            raise SymmetryError(
                "A configuration has an entry that is no local state.",
                got=f"values {np.unique(array)[:8].tolist()}",
                expected=f"values out of {self.local_states}",
                try_="sector.on(hilbert), or action(local_states=...)",
            )
        return digits

    def apply(self, x: Any) -> tuple[np.ndarray, Complex[np.ndarray, "*batch g"]]:
        """Images of configurations under every element, and their factors.

        Args:
            x: `[..., modes]`, in local states.

        Returns:
            $g x$ `[..., g, modes]` and $f_g(x)$ `[..., g]`.

        Raises:
            SymmetryError: the configurations are none of this space.
        """
        digits = self.digits(x)
        array = np.asarray(x)
        sums = self.local_states[0] + self.local_states[-1]
        moved = array[..., self.inverse_permutations]
        moved = np.where(self.reversed[:, None], sums - moved, moved).astype(array.dtype)
        if self.is_trivial:
            return moved, np.ones(moved.shape[:-1], complex)
        return moved, np.stack([self.factors(g, digits) for g in range(self.order)], axis=-1)

    def factors(self, g: int, digits: Int[np.ndarray, "*batch modes"]) -> Complex[np.ndarray, "*batch"]:
        """$f_g$ of configurations given by their digits."""
        if self.turns is None:
            result = np.exp(1j * (digits @ np.angle(self.phases[g])))
        else:
            n, k = self.turns
            result = roots_of_unity(n)[digits @ k[g] % n]
        if self.fermionic and self.inversions[g].any():
            changed = ((digits @ self.inversions[g]) * digits).sum(axis=-1)
            result = np.where(changed % 2, -result, result)
        return np.asarray(self.constants[g] * result)

    @cached_property
    def inversions(self) -> Int[np.ndarray, "g modes modes"]:
        """One for each pair of modes `[m, n]`, m < n, whose order an element changes."""
        upper = np.triu(np.ones((self.n_modes, self.n_modes), bool), 1)
        return (upper & (self.permutations[:, :, None] > self.permutations[:, None, :])).astype(np.int8)

    def matrix(self, g: int, states: Any) -> Complex[np.ndarray, "states states"]:
        """Matrix of one element between given configurations (its linear part, if it is antiunitary).

        Args:
            g: number of the element.
            states: `[states, modes]`, kept by the element as a set.

        Raises:
            SymmetryError: an image is not in the list.
        """
        digits = self.digits(states)
        matrix = np.zeros((len(digits), len(digits)), complex)
        matrix[self.targets(g, digits), np.arange(len(digits))] = self.factors(g, digits)
        return matrix

    def targets(self, g: int, digits: Int[np.ndarray, "states modes"]) -> Int[np.ndarray, " states"]:
        """Place of the image of each row of a list of configurations in the same list."""
        order, numbers = self._sorted(digits)
        images = digits[:, self.inverse_permutations[g]]
        wanted = self._numbers(self.highest - images if self.reversed[g] else images)
        places = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
        if not np.array_equal(numbers[places], wanted):
            raise SymmetryError(
                "The symmetry leads out of this space.",
                got="an image that is no configuration of the space",
                expected="a space that every element of the group maps to itself",
                try_="no total that the symmetry changes, or one half of what there is room for",
            )
        return order[places]

    def _sorted(self, digits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        numbers = self._numbers(digits)
        order = np.argsort(numbers)
        return order, numbers[order]

    def _numbers(self, digits: np.ndarray) -> np.ndarray:
        """One number, or one string of bytes, for each configuration."""
        if self.n_modes * np.log2(self.highest + 1) < 62:
            return digits @ (self.highest + 1) ** np.arange(self.n_modes, dtype=np.int64)[::-1]
        rows = np.ascontiguousarray((digits + 1).astype(np.uint8))
        return rows.view(f"S{self.n_modes}")[:, 0]


class Maps(NamedTuple):
    r"""Elements by what they do to creation operators: `phases` are $\phi$ as in the first line of this module."""

    permutations: np.ndarray
    reversed: np.ndarray
    phases: np.ndarray
    constants: np.ndarray
    antiunitary: np.ndarray

    def take(self, g: Any) -> "Maps":
        """Some of the elements."""
        return Maps(*(array[g] for array in self))


def product(left: Maps, right: Maps, highest: int, fermionic: bool) -> Maps:
    """Products of elements, `right` acting first; leading axes broadcast.

    Args:
        left: `[..., modes]`.
        right: `[..., modes]`.
        highest: largest digit of a mode.
        fermionic: whether the modes are those of fermions.
    """
    shape = np.broadcast_shapes(left.permutations.shape, right.permutations.shape)
    a = Maps(*(np.broadcast_to(part, shape[: len(shape) - (i in (1, 3, 4))]) for i, part in enumerate(left)))
    b = Maps(*(np.broadcast_to(part, shape[: len(shape) - (i in (1, 3, 4))]) for i, part in enumerate(right)))
    later = np.take_along_axis(a.phases, b.permutations, axis=-1)
    earlier = np.where(a.antiunitary[..., None], b.phases.conj(), b.phases)
    constants = a.constants * np.where(a.antiunitary, b.constants.conj(), b.constants)
    full = a.phases.prod(axis=-1) ** highest  # a on the full state
    if fermionic:
        n = shape[-1]
        full = full * parity(a.permutations) * np.where(a.reversed, (-1) ** (n * (n - 1) // 2), 1)
    return Maps(
        np.take_along_axis(a.permutations, b.permutations, axis=-1),
        a.reversed ^ b.reversed,
        _clean(earlier * np.where(b.reversed[..., None], later.conj(), later)),
        _clean(constants * np.where(b.reversed, full, 1)),
        a.antiunitary ^ b.antiunitary,
    )


def parity(permutations: Int[np.ndarray, "*batch points"]) -> Int[np.ndarray, "*batch"]:
    """+1 of even permutations, -1 of odd ones.

    Example:
        >>> import numpy as np
        >>> from symmetries.action import parity
        >>> parity(np.array([[0, 1, 2], [1, 0, 2]]))
        array([ 1, -1])
    """
    flat = permutations.reshape(-1, permutations.shape[-1])
    cycles = permutation.cycle_counts(flat).sum(axis=1)
    return (1 - 2 * ((flat.shape[1] - cycles) % 2)).reshape(permutations.shape[:-1])


def as_action(maps: Maps, fermionic: bool, local_states: tuple[int, ...]) -> Action:
    """The action of elements given as maps of creation operators."""
    phases = maps.phases
    if fermionic:  # c_pi(m) on the full state: the modes before it count
        holes = 1 - 2 * (maps.permutations % 2)
        phases = np.where(maps.reversed[:, None], phases * holes, phases)
    return Action(
        maps.permutations,
        maps.reversed,
        phases.astype(complex),
        maps.constants,
        maps.antiunitary,
        fermionic,
        local_states,
    )


def ratio(one: Maps, two: Maps, totals: Totals) -> np.ndarray | None:
    r"""The number `one / two` `[...]` if elements differ by numbers on the space of these totals; `None` otherwise.

    Elements that move modes alike differ by $\lambda \prod_m \rho_m^{d_m}$. That is a number where $\rho$ is the same
    on all modes that share a fixed total, and one on the others.
    """
    if not np.array_equal(one.permutations, two.permutations) or not np.array_equal(one.reversed, two.reversed):
        return None
    value, rho = one.constants / two.constants, one.phases / two.phases
    free = np.ones(rho.shape[-1], bool)
    for modes, total in totals:
        here = rho[..., list(modes)]
        free[list(modes)] = False
        if np.abs(here - here[..., :1]).max(initial=0) > TOLERANCE:
            return None
        value = value * here[..., 0] ** total
    return None if np.abs(rho[..., free] - 1).max(initial=0) > TOLERANCE else value


def _clean(values: np.ndarray) -> np.ndarray:
    """Numbers of modulus one with the rounding of long products taken out where they are +-1 or +-i."""
    whole = np.round(np.real(values)) + 1j * np.round(np.imag(values))
    return np.where(np.abs(values - whole) < 1e-12, whole, values / np.abs(values))
