"""Symmetry sectors: a group of lattice and internal symmetries, one of its irreps, and what follows from them."""

import itertools
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Complex, Int

from symmetries import classes, orbits, permutation, traces
from symmetries import elements as build
from symmetries.action import Action, Totals
from symmetries.group import FiniteGroup
from symmetries.internal import Internal
from symmetries.modes import Space, counted
from symmetries.orbits import Representatives


@dataclass(frozen=True, init=False)
class Sector:
    r"""States that transform like one irrep of a group of lattice symmetries, with internal eigenvalues.

    Of a space group the sector takes the elements that keep a momentum $k$, and one of the irreps of this little
    group whose translations are $e^{-i k \cdot t}$. Of another group it takes all elements. The group of the sector
    is the product with the cyclic groups of the internal symmetries, element `a * internal_order + b`, and

    $$P = \frac{d}{|G|} \sum_{g \in G} \overline{\chi(g)}\, g, \qquad (g x)_{g(s)} = x_s .$$

    It projects on one arm of the star of $k$: the whole irrep of the space group is `len(star)` times as large.
    Methods that act on configurations are for spins 1/2; `on(hilbert)` gives the action on any other space.

    Args:
        space_group: from `space_group` or `translation_group`, or a `PermutationGroup`.
        momentum: whole numbers $n_i$ with $k \cdot a_i = 2\pi n_i / L_i$, or a name such as `"M"`; zero if left out.
        irrep: label of an irrep of the little group; the first one, which is trivial where it can be, if left out.
        internal: such as `SpinFlip(-1)`; each with the eigenvalue of the sector. `TimeReversal()` has none: it adds
            the class that `kramers` gives.

    Raises:
        SymmetryError: the group has no such momentum, or no such irrep there.

    Example:
        >>> import qml, symmetries
        >>> sector = symmetries.Sector(symmetries.space_group(qml.lattice.Chain(4)), momentum=2, irrep="B")
        >>> sector.label, sector.dimension, sector.sector_dimension()
        ('k=(2,) B', 1, 1)
        >>> sector.characters.real
        array([ 1., -1., -1.,  1.,  1., -1., -1.,  1.])
    """

    space_group: Any
    momentum: tuple[int, ...] | None
    irrep: str
    internal: tuple[Internal, ...]
    rotation: tuple[int, ...] | None
    _irrep: Any = field(repr=False, compare=False)

    def __init__(self, space_group: Any, momentum: Any = None, irrep: str | None = None, internal: Any = ()):
        momentum = build.momentum_of(space_group, momentum)
        internal = (internal,) if isinstance(internal, Internal) else tuple(internal)
        build.check_internal(internal, space_group.n_sites)
        chosen = build.irrep_of(space_group, momentum, irrep)
        values = (space_group, momentum, chosen.label, internal, None, chosen)
        for name, value in zip(("space_group", "momentum", "irrep", "internal", "rotation", "_irrep"), values):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"Sector({self.label}, group of order {self.group.order} on {self.n_sites} sites)"

    @property
    def unitary(self) -> tuple[Internal, ...]:
        """The internal symmetries that have an eigenvalue."""
        return tuple(one for one in self.internal if not one.antiunitary and one.pattern is None)

    @property
    def tied(self) -> tuple[Internal, ...]:
        """The internal symmetries that are part of lattice symmetries; see `Internal`."""
        return tuple(one for one in self.internal if one.pattern is not None)

    @cached_property
    def elements(self) -> Int[np.ndarray, " l"]:
        """The elements of the lattice group that keep the momentum."""
        return build.little_elements(self.space_group, self.momentum)

    @cached_property
    def powers(self) -> Int[np.ndarray, "i internal"]:
        """Powers of the internal symmetries in each element of their group."""
        powers = list(itertools.product(*(range(one.order) for one in self.unitary)))
        return np.array(powers, np.int64).reshape(len(powers), -1)

    @cached_property
    def group(self) -> FiniteGroup:
        """The group of the sector: little group times internal symmetries."""
        little = self.space_group.group.subgroup(self.elements)
        for one in self.unitary:
            little = little.direct_product(FiniteGroup.cyclic(one.order))
        return little

    @cached_property
    def permutations(self) -> Int[np.ndarray, "g sites"]:
        """Element `g` moves site `s` to `permutations[g, s]`."""
        return _closed(np.repeat(self.space_group.permutations[self.elements], len(self.powers), axis=0))

    @cached_property
    def characters(self) -> Complex[np.ndarray, " g"]:
        """Character of each element."""
        return _closed((self._irrep.characters[:, None] * self._eigenvalues[None, :]).reshape(-1))

    @cached_property
    def irrep_matrices(self) -> Complex[np.ndarray, "g d d"]:
        """Unitary matrices of the irrep, $D(g) D(h) = D(g h)$, whose traces are the characters."""
        matrices = build.matrices_of(self.space_group, self.momentum, self._irrep, self.elements)
        d = self.dimension
        return _closed((matrices[:, None] * self._eigenvalues[None, :, None, None]).reshape(-1, d, d))

    @cached_property
    def _eigenvalues(self) -> np.ndarray:
        values = np.array([one.eigenvalue for one in self.unitary], complex)
        return build.clean((values[None, :] ** self.powers).prod(axis=1))

    @cached_property
    def reversed(self) -> Bool[np.ndarray, " g"]:
        """Whether an element reverses the local states by itself (particles become holes); see `action`."""
        return _closed(build.odd_flags(self, "reverse"))

    @cached_property
    def exchanged(self) -> Bool[np.ndarray, " g"]:
        """Whether an element exchanges the two components; of spins it reverses the local states. See `action`."""
        return _closed(build.odd_flags(self, "exchange"))

    @cached_property
    def site_phases(self) -> Complex[np.ndarray, "g sites"]:
        """Factor that an element gives to one particle, or lowered step, on each site."""
        return build.site_phases(self)

    @property
    def weights(self) -> Complex[np.ndarray, " g"]:
        r"""Coefficients of the projector, $w_g = d\,\overline{\chi(g)}/|G|$."""
        return self.dimension / len(self.characters) * self.characters.conj()

    @property
    def dimension(self) -> int:
        """Dimension of the irrep."""
        return self._irrep.dimension

    @property
    def label(self) -> str:
        """Momentum, irrep and internal eigenvalues, e.g. `k=(0, 0) A1 flip=+1`."""
        parts = [] if self.momentum is None else [f"k={self.momentum}"]
        parts += [self.irrep, *(one.label for one in self.unitary), *(f"with {one.name}" for one in self.tied)]
        return " ".join(parts) + (" (rotated)" if self.rotation else "")

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return self.space_group.n_sites

    @property
    def star(self) -> tuple[tuple[int, ...], ...]:
        """All momenta that the point group makes of this one; `((),)` of a group without translations."""
        return ((),) if self.momentum is None else self.space_group.star(self.momentum)

    @property
    def is_real(self) -> bool:
        """Whether all characters are real."""
        return bool((np.imag(self.characters) == 0).all())

    def rotated(self, signs: Any) -> "Sector":
        r"""The sector of a Hamiltonian after a rotation of signs, $U H U^+$ with $U = \prod_s u_s^{d_s}$.

        $d_s$ is the occupation, or the lowered steps of a spin: $u = -1$ on one sublattice is Marshall's sign rule.
        Every element $g$ becomes $U g U^+$: the phases change, the characters and the label do not.

        Args:
            signs: `[sites]` of +1 and -1.

        Raises:
            SymmetryError: there is not one sign for each site.

        Example:
            >>> import qml, symmetries
            >>> sector = symmetries.Sector(symmetries.translation_group(qml.lattice.Chain(4)))
            >>> sector.rotated((1, -1, 1, -1)).site_phases[1].real
            array([-1., -1., -1., -1.])
        """
        return classes.rotated(self, signs)

    def relabelled(self, hilbert: Any) -> "Sector":
        r"""The sector without a rotation of signs that has the states of this rotated one on a space.

        Where $U g U^+ = c_g\, g$ with a number $c_g$ for every element, as on two sublattices of equal size at fixed
        $S^z$, the rotation only changes the labels: $\chi'(g) = \chi(g)\, \overline{c_g}$.

        Args:
            hilbert: the space; its totals decide.

        Raises:
            SymmetryError: some $U g U^+$ is no number times $g$, or no irrep of one momentum has these characters.

        Example:
            >>> import qml, symmetries
            >>> ring, space = symmetries.space_group(qml.lattice.Chain(6)), qml.hilbert.Spin(6, magnetisation=0)
            >>> ground = symmetries.Sector(ring, 3, "A", symmetries.SpinFlip(-1))  # of the antiferromagnet
            >>> ground.rotated([-1, 1] * 3).relabelled(space).label
            'k=(0,) A flip=+1'
        """
        return classes.relabelled(self, Space.of(hilbert, self.n_sites))

    def action(
        self,
        components: int = 1,
        fermionic: bool = False,
        local_states: tuple[int, ...] | None = None,
        totals: Totals = (),
    ) -> Action:
        """The elements as maps of configurations with their factors, checked to be a representation.

        Args:
            components: modes of each site: 2 for spin up and down, all up modes first.
            fermionic: whether the modes are those of fermions.
            local_states: values of one mode in basis order; `(1, -1)`, or `(0, 1)` of fermions, if left out.
            totals: groups of modes whose digits have a fixed sum, each with that sum: where products hold only up to
                a sign that depends on numbers of particles, they tell the sign.

        Raises:
            SymmetryError: on these states the operations form no representation of the group.

        Example:
            >>> import qml, symmetries
            >>> group = symmetries.translation_group(qml.lattice.Chain(3))
            >>> action = symmetries.Sector(group, internal=symmetries.SpinFlip()).action(components=2, fermionic=True)
            >>> action.permutations[1].tolist(), action.order
            ([3, 4, 5, 0, 1, 2], 6)
        """
        states = tuple(local_states) if local_states is not None else (0, 1) if fermionic else (1, -1)
        return build.action_of(self, Space(components, fermionic, states, totals))

    def on(self, hilbert: Any) -> Action:
        """The action on the configurations of a space: its components, statistics, local states and totals.

        Args:
            hilbert: such as `qml.hilbert.SpinlessFermion(8, n_fermions=4)`.

        Raises:
            SymmetryError: the space has other sites, or no representation of the group.

        Example:
            >>> import qml, symmetries
            >>> sector = symmetries.Sector(symmetries.translation_group(qml.lattice.Chain(4)))
            >>> sector.on(qml.hilbert.SpinlessFermion(4)).fermionic
            True
        """
        return build.action_of(self, Space.of(hilbert, self.n_sites))

    def kramers(self, hilbert: Any = None) -> str:
        r"""What time reversal does to the irrep of the whole space group (Wigner; Dimmock and Wheeler).

        With $T$ every level of the sector is, by $\frac{1}{|L|} \sum_g \chi((T g)^2) = 1, -1, 0$ over the elements
        with a square in the group $L$ of the sector:

        * `"real"`: as degenerate as without it.
        * `"pseudoreal"`: twice as degenerate, both in this sector (Kramers).
        * `"complex"`: degenerate with the same level of another sector, the conjugate one.

        Args:
            hilbert: the space; spins 1/2 if left out. Fermions need a fixed number, since $T^2 = (-1)^N$.

        Raises:
            SymmetryError: there is no antiunitary symmetry in `internal`, or it does not fit the others.

        Example:
            >>> import qml, symmetries
            >>> group = symmetries.translation_group(qml.lattice.Chain(4))
            >>> [symmetries.Sector(group, k, internal=symmetries.TimeReversal()).kramers() for k in range(4)]
            ['real', 'complex', 'real', 'complex']
        """
        space = Space(1, False, (1, -1), ()) if hilbert is None else Space.of(hilbert, self.n_sites)
        return classes.kramers(self, space)

    def apply(self, x: Any) -> np.ndarray:
        """Configurations of spins moved by every element; `on(hilbert).apply` gives factors too, on any space.

        Args:
            x: `[..., sites]`.

        Returns:
            `[..., g, sites]`, with `result[..., g, permutations[g, s]] = x[..., s]`, negative where spins are reversed.
        """
        array = build.checked(np.asarray(x), self.n_sites)
        moved = array[..., permutation.inverse(self.permutations)]
        flipped = self.reversed ^ self.exchanged
        return np.where(flipped[:, None], -moved, moved).astype(array.dtype) if flipped.any() else moved

    def project(self, vector: Any, local_states: int = 2, hilbert: Any = None) -> Complex[np.ndarray, " states"]:
        """The projector applied to a state vector.

        Args:
            vector: `[local_states ** sites]`, site 0 slowest; or `[hilbert.size]` in the basis order of `hilbert`.
            local_states: states of one site, for spins.
            hilbert: the space of the vector; all configurations of spins if left out.

        Returns:
            $P v$, of the same length.
        """
        if hilbert is None:
            action = self.action(local_states=tuple(range(local_states - 1, -local_states, -2)))
            digits = np.indices((local_states,) * self.n_sites).reshape(self.n_sites, -1).T
        else:
            action = self.on(hilbert)
            digits = action.digits(np.asarray(hilbert.all_states()))
        values = np.asarray(vector).reshape(-1)
        total = np.zeros(len(digits), complex)
        for g, weight in enumerate(self.weights):
            total[action.targets(g, digits)] += weight * action.factors(g, digits) * values
        return total

    def sector_dimension(
        self,
        magnetisation: float | int | None = None,
        local_states: int = 2,
        *,
        particles: int | tuple[int, ...] | None = None,
        components: int = 1,
        fermionic: bool = False,
        hilbert: Any = None,
    ) -> int:
        """Number of states: the trace of the projector, counted by cycles, exact for any size.

        Args:
            magnetisation: total $S^z$ of spins; `None` counts all.
            local_states: states of one mode, $2 s + 1$ for spin $s$, $n_{max} + 1$ for bosons.
            particles: number of bosons or fermions; one number for each of two components, or both together.
            components: modes of each site.
            fermionic: whether the particles are fermions.
            hilbert: a space, instead of all the other arguments. A predicate of the space is not counted.

        Raises:
            SymmetryError: no state has these numbers, or the symmetries form no representation on them.

        Example:
            >>> import qml, symmetries
            >>> group = symmetries.translation_group(qml.lattice.Chain(8))
            >>> [symmetries.Sector(group, n).sector_dimension() for n in range(5)]
            [36, 30, 33, 30, 34]
            >>> symmetries.Sector(group).sector_dimension(magnetisation=0)
            10
            >>> symmetries.Sector(group).sector_dimension(particles=(4, 4), components=2, fermionic=True)
            618
        """
        if hilbert is not None:
            space = Space.of(hilbert, self.n_sites)
        else:
            space = counted(self.n_sites, magnetisation, local_states, particles, components, fermionic)
        return traces.dimension(build.action_of(self, space), self.characters, self.dimension, space.totals)

    def representatives(self, x: Any, hilbert: Any = None) -> Representatives:
        """The first configuration of the orbit of each one, how to get there, and the length after projection.

        The first is the one with the lowest basis index: for spins the largest, compared site by site from site 0.
        A configuration survives the projection if its norm is not zero.

        Args:
            x: `[..., sites]` whole numbers.
            hilbert: the space of the configurations; spins if left out.

        Returns:
            `Representatives`.

        Example:
            >>> import numpy as np, qml, symmetries
            >>> sector = symmetries.Sector(symmetries.translation_group(qml.lattice.Chain(4)), momentum=2)
            >>> states, elements, norms = sector.representatives(np.array([[-1, 1, -1, 1], [-1, -1, -1, -1]]))
            >>> states[0], elements[0], norms.round(3)
            (array([ 1, -1,  1, -1]), np.int64(1), array([0.707, 0.   ]))
        """
        action = self.action() if hilbert is None else self.on(hilbert)
        array = np.asarray(x)
        flat = build.checked(array, action.n_modes).reshape(-1, action.n_modes)
        if hilbert is None and action.is_trivial:
            heights, mirror = flat.astype(np.int64), 0
        else:
            heights, mirror = -action.digits(flat), -action.highest
        elements, norms = orbits.first(action, heights, mirror, self.weights)
        states = np.take_along_axis(flat, action.inverse_permutations[elements], axis=1)
        sums = 0 if hilbert is None else action.local_states[0] + action.local_states[-1]
        states = np.where(action.reversed[elements][:, None], sums - states, states).astype(array.dtype)
        shape = array.shape[:-1]
        return Representatives(states.reshape(array.shape), elements.reshape(shape), norms.reshape(shape))


def _closed(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
