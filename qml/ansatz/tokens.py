"""Tokens: the patches of a lattice that a deep network works on, and how they are translated into each other."""

import dataclasses
import itertools
from functools import cached_property
from typing import Any, final

import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError, SpaceError
from qml._core.types import Array, Float, Int
from qml.lattice import Lattice
from qml.lattice.torus import cells_of, determinant, inverse

Matrix = tuple[tuple[int, ...], ...]


@final
@dataclasses.dataclass(frozen=True)
class Tokens:
    r"""The cells of a lattice in groups of equal shape, one token each.

    The patches sit at the points $t P$, $t$ whole, with the rows of $P$ as the vectors from patch to patch, and a token
    holds the configuration on the sites of its patch (of all components, where a site has several modes). Tokens are
    translated into each other along periodic axes; along open ones they are only told apart by their distance.

    A constant of compiled programs: compared and hashed by what it was made from.

    Args:
        lattice: any `qml.lattice.Lattice`, straight or tilted, open or periodic.
        patch: rows of $P$ in units of the primitive vectors.
        states: local states of a mode.
        components: modes of a site.

    Example:
        >>> from qml.ansatz.tokens import Tokens
        >>> from qml.lattice import Square
        >>> tokens = Tokens.of(Square(4, 4), 2)
        >>> tokens.count, tokens.width, tokens.modes[1].tolist()
        (4, 4, [2, 3, 6, 7])
    """

    lattice: Lattice
    patch: Matrix
    states: tuple[int, ...] = (1, -1)
    components: int = 1

    @classmethod
    def of(cls, lattice: Any, patch: Any = 1, hilbert: Any = None) -> "Tokens":
        """The tokens of a lattice.

        Args:
            lattice: the lattice.
            patch: cells in a patch along every axis, an int or one for each; or a whole matrix whose rows are the
                vectors from patch to patch in units of the primitive ones.
            hilbert: the space of the configurations; spins 1/2 if left out.

        Raises:
            ShapeError: this is no lattice, or patches of this shape do not tile it.
            SpaceError: the space is not one of this lattice, or its sites differ.
        """
        if not isinstance(lattice, Lattice):
            raise ShapeError(
                "The tokens of a network are patches of a lattice.",
                got=type(lattice).__name__,
                expected="a qml.lattice.Lattice: translations tell which weights are shared",
                try_="qml.lattice.Square(6, 6); for any graph: qml.ansatz.MLP, or GCNN over its automorphisms",
            )
        tokens = cls(lattice, _patch_matrix(patch, lattice), *_modes_of(lattice, hilbert))
        tokens._coordinates  # noqa: B018  (raises where the patches do not tile)
        return tokens

    @property
    def n_modes(self) -> int:
        """Length of a configuration."""
        return self.lattice.n_sites * self.components

    @property
    def count(self) -> int:
        """Number of tokens."""
        return self.lattice.n_cells // abs(determinant(np.array(self.patch)))

    @property
    def width(self) -> int:
        """Modes in a patch."""
        return self.n_modes // self.count

    @property
    def channels(self) -> int:
        """Numbers that describe a token: one a mode, or one for each local state where there are more than two."""
        return self.width * (len(self.states) if len(self.states) > 2 else 1)

    @cached_property
    def _torus(self) -> np.ndarray:
        """The torus vectors in units of the patches."""
        whole, count = inverse(np.array(self.patch))
        rows = np.array(self.lattice.supercell) @ whole
        if (rows % count).any():
            raise ShapeError(
                "Patches of this shape do not tile the lattice.",
                got=f"patches with vectors {self.patch} on {self.lattice}",
                expected="torus vectors that are whole combinations of the vectors from patch to patch",
                try_="patch=1, a patch of one cell, or sizes that divide the extent of the lattice",
            )
        return rows // count

    @cached_property
    def _wide(self) -> np.ndarray:
        """A torus that does not wrap differences of tokens along open axes."""
        open_axes = ~np.asarray(self.lattice.periodic, bool)
        return np.where(np.diag(open_axes), 2 * self._torus, self._torus)

    @cached_property
    def _coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        """Whole coordinates of the tokens `[tokens, d]` in units of the patches, and their modes `[tokens, width]`."""
        patch = np.array(self.patch)
        whole, count = inverse(patch)
        place = self.lattice.cells @ whole // count
        inside = self.lattice.cells - place @ patch
        box = np.array([np.flatnonzero((cells_of(patch) == r).all(axis=1))[0] for r in inside])
        places, token = np.unique(_reduced(place, self._torus), axis=0, return_inverse=True)
        order = np.lexsort((self.lattice.sublattices, box, token.reshape(-1)))
        sites = order.reshape(self.count, -1)
        modes = sites[:, None, :] + np.arange(self.components)[None, :, None] * self.lattice.n_sites
        return places, modes.reshape(self.count, -1)

    @property
    def modes(self) -> Int[np.ndarray, "tokens width"]:
        """Numbers of the modes in each patch."""
        return self._coordinates[1]

    @cached_property
    def differences(self) -> Int[np.ndarray, "tokens tokens"]:
        """Number of the translation from token j to token i, 0 for none; equal translations have one number."""
        places = self._coordinates[0]
        apart = _reduced((places[:, None] - places[None, :]).reshape(-1, places.shape[1]), self._wide)
        kinds, number = np.unique(apart, axis=0, return_inverse=True)
        zero = np.flatnonzero((kinds == 0).all(axis=1))[0]
        rank = np.roll(np.arange(len(kinds)), -zero)  # the translation by nothing comes first
        ranks = np.empty_like(rank)
        ranks[rank] = np.arange(len(kinds))
        return ranks[number.reshape(self.count, self.count)]

    @cached_property
    def lengths(self) -> Float[np.ndarray, " differences"]:
        """Distance that each translation moves, by the nearest image, in units of that to the nearest patch."""
        table = self.lattice.distances()[np.ix_(self.modes[:, 0], self.modes[:, 0])]
        lengths = np.zeros(self.differences.max() + 1)
        lengths[self.differences.reshape(-1)] = table.reshape(-1)
        return lengths / min(lengths[1:], default=1.0)

    def neighbours(self, kernel: Any) -> Int[np.ndarray, "tokens kernel"]:
        """The tokens in a box about each, in one order for all; the number of tokens where an open boundary is crossed.

        Args:
            kernel: length of the box along every axis in tokens, an odd int or one for each.

        Raises:
            ShapeError: a length is not odd and positive.
        """
        places = self._coordinates[0]
        sizes = [kernel] * places.shape[1] if isinstance(kernel, int) else list(kernel)
        if len(sizes) != places.shape[1] or any(not isinstance(n, int) or n < 1 or n % 2 == 0 for n in sizes):
            raise ShapeError(
                "The kernel of a convolution is a box about a token.",
                got=repr(kernel),
                expected=f"an odd int >= 1, or {places.shape[1]} of them",
                try_="kernel=3",
            )
        box = np.array(list(itertools.product(*(range(-(n // 2), n // 2 + 1) for n in sizes))))
        first = np.unique(_reduced(box, self._wide), axis=0, return_index=True)[1]
        box = box[np.sort(first)]  # a box that is wider than the torus meets itself
        there = places[:, None] + box[None]
        found = _reduced(there.reshape(-1, places.shape[1]), self._wide)
        numbers = {tuple(place): i for i, place in enumerate(_reduced(places, self._wide).tolist())}
        return np.array([numbers.get(tuple(p), self.count) for p in found.tolist()]).reshape(self.count, -1)

    @cached_property
    def translations(self) -> Int[np.ndarray, "g modes"]:
        """Permutations of the modes by the translations of all tokens, along periodic axes."""
        places, modes = self._coordinates
        periodic = np.asarray(self.lattice.periodic, bool)
        steps = places[(places[:, ~periodic] == places[:, ~periodic].min(axis=0)).all(axis=1)] * periodic
        numbers = {tuple(place): i for i, place in enumerate(places.tolist())}
        out = np.empty((len(steps), self.n_modes), np.int64)
        for g, step in enumerate(steps):
            moved = [numbers[tuple(p)] for p in _reduced(places + step, self._torus).tolist()]
            out[g, modes.reshape(-1)] = modes[moved].reshape(-1)
        return out

    def embed(self, x: Array, dtype: Any) -> Float[Array, "batch tokens channels"]:
        """The numbers that describe the tokens: two local states as -1 and 1, more as one flag for each.

        Raises:
            ShapeError: the configurations have another length.
        """
        self.check_length(x)
        picked = x[:, self.modes]
        if len(self.states) <= 2:
            low, high = min(self.states), max(self.states)
            return ((2 * picked - (low + high)) / max(high - low, 1)).astype(dtype)
        flags = picked[..., None] == jnp.asarray(self.states, picked.dtype)[None, None, None, :]
        return flags.astype(dtype).reshape(*picked.shape[:2], self.channels)

    def check_length(self, x: Array) -> None:
        """Raise unless `x` is a batch of configurations of this length (an index beyond the end would not be seen).

        Raises:
            ShapeError: it is not.
        """
        if x.ndim != 2 or x.shape[1] != self.n_modes:
            raise ShapeError(
                "This network was made for another number of sites.",
                got=f"x of shape {x.shape}",
                expected=f"[batch, {self.n_modes}]",
                try_="the lattice of the space, and hilbert=... where a site has several modes",
            )

    def check_space(self, hilbert: Any) -> None:
        """Raise if the configurations of a space are not those of these tokens.

        Raises:
            SpaceError: other sites or local states.
        """
        states, components = _modes_of(self.lattice, hilbert)
        if (states, components) != (self.states, self.components):
            raise SpaceError(
                "This network was made for another space.",
                got=f"local states {states}, {components} modes a site",
                expected=f"local states {self.states}, {self.components} modes a site",
                try_="the same hilbert=... for the network and the state",
            )


def _reduced(places: np.ndarray, torus: np.ndarray) -> np.ndarray:
    """Whole points brought into the cell of a torus with whole rows."""
    whole, count = inverse(torus)
    return places - (places @ whole // count) @ torus


def _patch_matrix(patch: Any, lattice: Lattice) -> Matrix:
    """Rows of the patch lattice, checked; straight along open axes."""
    d = lattice.dimension
    try:
        rows = np.diag(np.broadcast_to(np.asarray(patch), (d,))) if np.ndim(patch) < 2 else np.asarray(patch)
    except ValueError:
        rows = np.zeros((0, 0), int)
    if rows.shape != (d, d) or not np.issubdtype(rows.dtype, np.integer) or determinant(rows) == 0:
        raise ShapeError(
            "A patch is a whole number of cells along each axis.",
            got=repr(patch),
            expected=f"an int >= 1, {d} of them, or {d} independent rows of {d} whole numbers",
            try_="patch=2",
        )
    open_axes = ~np.asarray(lattice.periodic, bool)
    tilted = rows - np.diag(np.diagonal(rows))
    if (np.ndim(patch) < 2 and (np.diagonal(rows) < 1).any()) or tilted[open_axes].any() or tilted[:, open_axes].any():
        raise ShapeError(
            "A patch has a positive size, and is straight along open axes.",
            got=repr(patch),
            expected=f"positive sizes; open axes: {np.flatnonzero(open_axes).tolist()}",
            try_="patch=1",
        )
    return tuple(tuple(row) for row in rows.tolist())


def _modes_of(lattice: Lattice, hilbert: Any) -> tuple[tuple[int, ...], int]:
    """Local states of the modes of a space on a lattice, and the modes of a site."""
    if hilbert is None:
        return (1, -1), 1
    kinds = {tuple(states) for states in hilbert.site_states}
    if hilbert.n_sites != lattice.n_sites * hilbert.components or len(kinds) != 1:
        raise SpaceError(
            "This is no space of the sites of the lattice.",
            got=f"{hilbert.n_sites} modes with local states {sorted(kinds)}",
            expected=f"{lattice.n_sites} like sites",
            try_="qml.hilbert.Spin(lattice.n_sites)",
        )
    return kinds.pop(), hilbert.components
