"""Symmetric proposals of Metropolis moves; each says on which spaces it is ergodic."""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError, SpaceError
from qml._core.types import Array, Float, Int
from qml.hilbert import Spin


class AbstractRule(eqx.Module):
    r"""A proposal $T(x \to x') = T(x' \to x)$ that reaches every configuration of the spaces it allows."""

    n_uniforms: ClassVar[int]

    @abc.abstractmethod
    def check_space(self, hilbert: Any) -> None:
        """Raise `SpaceError` where the moves leave the space or do not reach all of it."""

    @abc.abstractmethod
    def propose(
        self, uniforms: Float[Array, "chains draws"], x: Int[Array, "chains sites"], hilbert: Any
    ) -> Int[Array, "chains sites"]:
        """One move of each chain, from `n_uniforms` uniform numbers in [0, 1) a chain."""


class LocalFlip(AbstractRule):
    """Change one site, chosen uniformly, to one of its other local states, chosen uniformly.

    Keeps no constraint: for unconstrained spaces.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.sampler import LocalFlip
        >>> LocalFlip().check_space(Spin(4))
    """

    n_uniforms: ClassVar[int] = 2

    def check_space(self, hilbert: Any) -> None:
        """Raise `SpaceError` on a constrained space, which the flips would leave."""
        if hilbert.is_constrained:
            raise SpaceError(
                "LocalFlip leaves this space: changing one site breaks the constraint.",
                got=hilbert,
                expected="a space without constraint",
                try_="qml.sampler.Exchange()",
            )

    def propose(
        self, uniforms: Float[Array, "chains draws"], x: Int[Array, "chains sites"], hilbert: Any
    ) -> Int[Array, "chains sites"]:
        """One flip of each chain."""
        site = _choose(uniforms[:, 0], x.shape[1])
        here = jnp.arange(x.shape[1])[None, :] == site[:, None]
        if len(hilbert.local_states) == 2:
            return jnp.where(here, sum(hilbert.local_states) - x, x).astype(x.dtype)
        states = jnp.asarray(hilbert.local_states, x.dtype)
        now = jnp.argmax(jnp.take_along_axis(x, site[:, None], axis=1) == states[None, :], axis=1)
        step = 1 + _choose(uniforms[:, 1], len(hilbert.local_states) - 1)
        return jnp.where(here, states[(now + step) % states.shape[0]][:, None], x)


class Exchange(AbstractRule):
    r"""Move one quantum from one site to another; the total quantum number stays.

    With two local states and no edges: swap an up and a down site, both chosen uniformly. With more local states: raise
    one site and lower another by one level, chosen uniformly. With edges: the same on a random edge, either way.
    A move that cannot be done leaves the chain where it is.

    Args:
        edges: pairs of sites that exchange; `None` is all pairs. They must connect all sites.

    Raises:
        ShapeError: an edge is not a pair of two sites.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.sampler import Exchange
        >>> Exchange(edges=((0, 1), (1, 2), (2, 3))).check_space(Spin(4, magnetisation=0))
    """

    edges: tuple[tuple[int, int], ...] | None = eqx.field(static=True)
    n_uniforms: ClassVar[int] = 2

    def __init__(self, edges: Any = None):
        if edges is not None:
            table = np.asarray(edges)
            pairs = table.ndim == 2 and table.shape[1] == 2 and table.dtype.kind in "iu"
            if not pairs or np.any(table[:, 0] == table[:, 1]):
                raise ShapeError(
                    "An edge is a pair of two sites.",
                    got=edges,
                    expected="((i, j), ...) with i != j",
                    try_="Exchange(lattice.edges())",
                )
            edges = tuple((int(i), int(j)) for i, j in table)
        self.edges = edges

    def check_space(self, hilbert: Any) -> None:
        """Raise `SpaceError` unless the total quantum number is fixed and the edges connect all sites."""
        if not isinstance(hilbert, Spin) or hilbert.magnetisation is None:
            raise SpaceError(
                "Exchange keeps the total magnetisation, so it fits only spaces where exactly that is fixed.",
                got=hilbert,
                expected="a spin space with fixed magnetisation",
                try_="qml.sampler.LocalFlip()",
            )
        if self.edges is not None and not _connected(self.edges, hilbert.n_sites):
            raise SpaceError(
                "These edges do not connect all sites, so Exchange does not reach all of this space.",
                got=f"{len(self.edges)} edges on {hilbert.n_sites} sites",
                expected="edges between sites of the space that form one connected graph",
                try_="Exchange() for all pairs",
            )

    def propose(
        self, uniforms: Float[Array, "chains draws"], x: Int[Array, "chains sites"], hilbert: Any
    ) -> Int[Array, "chains sites"]:
        """One exchange of each chain."""
        states = hilbert.local_states
        low, high, step = min(states), max(states), abs(states[1] - states[0])
        sites = jnp.arange(x.shape[1])[None, :]
        if self.edges is not None:
            pairs = np.array([*self.edges, *((j, i) for i, j in self.edges)])
            pair = jnp.asarray(pairs)[_choose(uniforms[:, 0], len(pairs))]
            up, down = sites == pair[:, :1], sites == pair[:, 1:]
        elif len(states) == 2:
            up, down = _pick(uniforms[:, 0], x == low), _pick(uniforms[:, 1], x == high)
        else:
            first = _choose(uniforms[:, 0], x.shape[1])
            second = (first + 1 + _choose(uniforms[:, 1], x.shape[1] - 1)) % x.shape[1]
            up, down = sites == first[:, None], sites == second[:, None]
        moved = x + step * (up.astype(x.dtype) - down.astype(x.dtype))
        allowed = jnp.all((moved >= low) & (moved <= high), axis=1)
        return jnp.where(allowed[:, None], moved, x).astype(x.dtype)


def _choose(uniforms: Array, count: int) -> Array:
    """Uniform int in `0 ... count - 1` from a uniform number in [0, 1)."""
    return jnp.minimum((uniforms * count).astype(jnp.int32), count - 1)


def _pick(uniforms: Array, candidates: Array) -> Array:
    """Mask of one candidate of each row, chosen uniformly; empty where there is none."""
    rank = jnp.cumsum(candidates, axis=1, dtype=jnp.int32)
    count = rank[:, -1]
    chosen = jnp.minimum((uniforms * count).astype(jnp.int32), count - 1) + 1
    return candidates & (rank == chosen[:, None])


def _connected(edges: tuple[tuple[int, int], ...], n_sites: int) -> bool:
    if any(not 0 <= i < n_sites for edge in edges for i in edge):
        return False
    group = list(range(n_sites))

    def root(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    for i, j in edges:
        group[root(i)] = root(j)
    return len({root(i) for i in range(n_sites)}) == 1
