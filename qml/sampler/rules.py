"""Proposals of Metropolis moves; each says on which spaces it is ergodic."""

import abc
import math
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError, SpaceError
from qml._core.types import Array, Float, Int
from qml.ansatz.updates import values_at
from qml.sampler.reach import check_reach


class AbstractRule(eqx.Module):
    r"""A proposal $T(x \to x')$ that stays in the space and reaches all of it, on the spaces it allows."""

    n_uniforms: ClassVar[int]
    width: ClassVar[int]  # a move changes at most so many sites

    @abc.abstractmethod
    def check_moves(self, hilbert: Any) -> None:
        """Raise `SpaceError` where the moves make no sense on the space, or leave it."""

    @abc.abstractmethod
    def check_reach(self, hilbert: Any) -> bool:
        """True where moves that stay in the space surely reach all of it, False where that is not known.

        Raises:
            SpaceError: they surely do not.
        """

    def check_space(self, hilbert: Any) -> None:
        """Raise `SpaceError` where the moves leave the space or do not reach all of it."""
        self.check_moves(hilbert)
        if not self.check_reach(hilbert):
            check_reach(self, hilbert)

    @abc.abstractmethod
    def changes(
        self, uniforms: Float[Array, "chains draws"], x: Int[Array, "chains sites"], hilbert: Any
    ) -> tuple[Int[Array, "chains width"], Int[Array, "chains width"]]:
        """Sites that one move of each chain changes, and their new values, from uniform numbers in [0, 1).

        A value that is already there changes nothing; of a site that comes twice the first value counts.
        """

    def propose(
        self, uniforms: Float[Array, "chains draws"], x: Int[Array, "chains sites"], hilbert: Any
    ) -> Int[Array, "chains sites"]:
        """One move of each chain, from `n_uniforms` uniform numbers in [0, 1) a chain."""
        return changed(x, *self.changes(uniforms, x, hilbert))

    @abc.abstractmethod
    def log_ratio(
        self,
        uniforms: Float[Array, "chains draws"],
        x: Int[Array, "chains sites"],
        proposal: Int[Array, "chains sites"],
        hilbert: Any,
    ) -> Float[Array, " chains"] | float:
        r"""$\log T(x' \to x) / T(x \to x')$ of the proposed moves; zero for symmetric proposals.

        The uniform numbers are those of the proposal. They tell a mixture which of its rules made it: it is enough that
        each has detailed balance by itself.
        """

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the rules that moves are counted for: one, but for mixtures."""
        return (type(self).__name__,)

    def kind(self, uniforms: Float[Array, "chains draws"]) -> Int[Array, " chains"]:
        """Which of `names` makes the moves of these uniform numbers."""
        return jnp.zeros(uniforms.shape[:1], jnp.int32)

    @abc.abstractmethod
    def resolution(self, hilbert: Any) -> tuple[int, ...]:
        """So many equally spaced values of each uniform number together meet every move."""


class LocalFlip(AbstractRule):
    """Change one site, chosen uniformly, to one of its other local states, chosen uniformly.

    Keeps no constraint: for unconstrained spaces.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.sampler import LocalFlip
        >>> LocalFlip().check_space(Spin(4))
    """

    n_uniforms: ClassVar[int] = 1
    width: ClassVar[int] = 1

    def check_moves(self, hilbert: Any) -> None:
        """Raise `SpaceError` on a constrained space, which the flips would leave."""
        if hilbert.parts:
            raise SpaceError(
                "LocalFlip leaves this space: changing one site breaks the constraint.",
                got=hilbert,
                expected="a space without constraint",
                try_="qml.sampler.Exchange()",
            )
        refuse_predicate("LocalFlip", hilbert)

    def check_reach(self, hilbert: Any) -> bool:
        """True."""
        return True

    def changes(
        self, uniforms: Float[Array, "chains draws"], x: Int[Array, "chains sites"], hilbert: Any
    ) -> tuple[Int[Array, "chains width"], Int[Array, "chains width"]]:
        """One flip of each chain."""
        site, value = _flip(uniforms[:, 0], x, hilbert, tuple(range(x.shape[1])))
        return site[:, None], value[:, None]

    def log_ratio(
        self,
        uniforms: Float[Array, "chains draws"],
        x: Int[Array, "chains sites"],
        proposal: Int[Array, "chains sites"],
        hilbert: Any,
    ) -> Float[Array, " chains"] | float:
        """Zero."""
        return 0.0

    def resolution(self, hilbert: Any) -> tuple[int, ...]:
        """The number of sites times that of local states."""
        return (hilbert.n_sites * max(map(len, hilbert.site_states)),)


class Exchange(AbstractRule):
    r"""Move one quantum from one site to another of the same part; all totals stay.

    Swaps an up and a down spin, moves one boson, or lets one fermion hop to an empty mode of the same spin. Without
    edges the source is chosen uniformly among the sites that can give, then the target among the other sites of the
    part that can take; where their numbers differ after the move, the proposal ratio says so. With edges: on a random
    edge, either way, and a move that cannot be done leaves the chain where it is. Sites in no part are changed one by
    one, as by `LocalFlip`.

    Args:
        edges: pairs of sites that exchange; `None` is all pairs. They must connect all sites of each part. For fermions
            with spin they are pairs of orbitals and hold for both spins.

    Raises:
        ShapeError: an edge is not a pair of two sites.

    Example:
        >>> from qml.hilbert import Boson, Spin
        >>> from qml.sampler import Exchange
        >>> Exchange(edges=((0, 1), (1, 2), (2, 3))).check_space(Spin(4, magnetisation=0))
        >>> Exchange().check_space(Boson(4, n_max=3, n_particles=4))
    """

    edges: tuple[tuple[int, int], ...] | None = eqx.field(static=True)
    n_uniforms: ClassVar[int] = 2
    width: ClassVar[int] = 2

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

    def check_moves(self, hilbert: Any) -> None:
        """Raise `SpaceError` unless totals are the only constraint and the edges lie within the parts."""
        if not hilbert.parts:
            raise SpaceError(
                "Exchange keeps totals, so it fits only spaces where some total is fixed.",
                got=hilbert,
                expected="a space with fixed magnetisation or number of particles",
                try_="qml.sampler.LocalFlip()",
            )
        refuse_predicate("Exchange", hilbert)
        labels, edges = _labels(hilbert), self._edges_on(hilbert)
        if self.edges is not None and (not edges or any(labels[i] != labels[j] for i, j in edges)):
            self._refuse_edges(hilbert)

    def check_reach(self, hilbert: Any) -> bool:
        """True; raises `SpaceError` where the edges do not connect all sites of each part."""
        if self.edges is not None and not _connects(self._edges_on(hilbert), hilbert):
            self._refuse_edges(hilbert)
        return True

    def _refuse_edges(self, hilbert: Any) -> None:
        raise SpaceError(
            "These edges do not connect all sites, so Exchange does not reach all of this space.",
            got=f"{len(self.edges or ())} edges on {hilbert.n_sites // hilbert.components} sites",
            expected="edges between sites of the space that connect all sites of each part, and no two parts",
            try_="Exchange() for all pairs",
        )

    def _edges_on(self, hilbert: Any) -> list[tuple[int, int]]:
        """The edges as pairs of entries of a configuration, for each component."""
        n = hilbert.n_sites // hilbert.components
        if self.edges is None or any(not 0 <= i < n for edge in self.edges for i in edge):
            return []
        free = set(_free_sites(hilbert))
        edges = [(i + k * n, j + k * n) for k in range(hilbert.components) for i, j in self.edges]
        return [(i, j) for i, j in edges if not {i, j} <= free]

    def changes(
        self, uniforms: Float[Array, "chains draws"], x: Int[Array, "chains sites"], hilbert: Any
    ) -> tuple[Int[Array, "chains width"], Int[Array, "chains width"]]:
        """One exchange of each chain."""
        low, high, step = _levels(hilbert)
        free = _free_sites(hilbert)
        groups = [g for g in (*hilbert.parts, free) if g] if self.edges is None else [sum(hilbert.parts, ()), free]
        first, group = _share(uniforms[:, 0], [len(g) for g in groups if g])
        if self.edges is not None:
            pairs = [*(edges := self._edges_on(hilbert)), *((j, i) for i, j in edges)]
            pair = jnp.asarray(np.array(pairs))[choose(first, len(pairs))]
            sites = jnp.arange(x.shape[1])[None, :]
            up, down = sites == pair[:, :1], sites == pair[:, 1:]
        else:
            labels = _labels(hilbert)[None, :] == group[:, None]
            down = _pick(uniforms[:, 1], (x > low) & labels)
            up = _pick(first, (x < high) & labels & ~down)
        moved = (x + step * (up.astype(x.dtype) - down.astype(x.dtype))).astype(x.dtype)
        allowed = jnp.any(up, axis=1) & jnp.any(down, axis=1) & jnp.all((moved >= low) & (moved <= high), axis=1)
        sites, values = changes_between(x, jnp.where(allowed[:, None], moved, x), 2)
        if not free:
            return sites, values
        site, value = _flip(first, x, hilbert, free)
        alone = (group == len(groups) - 1)[:, None]
        return jnp.where(alone, site[:, None], sites), jnp.where(alone, value[:, None], values)

    def log_ratio(
        self,
        uniforms: Float[Array, "chains draws"],
        x: Int[Array, "chains sites"],
        proposal: Int[Array, "chains sites"],
        hilbert: Any,
    ) -> Float[Array, " chains"] | float:
        """Zero with edges or two local states; else from the numbers of sources and targets before and after."""
        if self.edges is not None or all(len(states) == 2 for states in hilbert.site_states):
            return 0.0
        low, high, _ = _levels(hilbert)
        down, up, labels = proposal < x, proposal > x, _labels(hilbert)
        label = jnp.sum(jnp.where(down, labels[None, :], 0), axis=1)
        part = labels[None, :] == label[:, None]

        def ways(y: Array, source: Array) -> Array:
            give = jnp.sum((y > low) & part, axis=1)
            return jnp.log(jnp.maximum(give * jnp.sum((y < high) & part & ~source, axis=1), 1))

        exchanged = jnp.any(down, axis=1) & jnp.any(up, axis=1)
        return jnp.where(exchanged, ways(x, down) - ways(proposal, up), 0.0)

    def resolution(self, hilbert: Any) -> tuple[int, ...]:
        """The number of sites, of local states, or of edges by their share of the moves."""
        least = max(hilbert.n_sites, *map(len, hilbert.site_states))
        if self.edges is None:
            return least, least
        bound = hilbert.n_sites - len(_free_sites(hilbert))
        values = max(least, math.ceil(2 * len(self._edges_on(hilbert)) * hilbert.n_sites / bound))
        return values, values


def _levels(hilbert: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lowest and highest local state, and their step, of each site, `[1, sites]`."""
    rows = [(min(s), max(s), abs(s[1] - s[0])) for s in hilbert.site_states]
    low, high, step = np.array(rows, np.int8).T
    return low[None, :], high[None, :], step[None, :]


def _free_sites(hilbert: Any) -> tuple[int, ...]:
    bound = {i for part in hilbert.parts for i in part}
    return tuple(i for i in range(hilbert.n_sites) if i not in bound)


def _labels(hilbert: Any) -> np.ndarray:
    """The part of each site; free sites come last."""
    labels = np.full(hilbert.n_sites, len(hilbert.parts), np.int32)
    for k, part in enumerate(hilbert.parts):
        labels[list(part)] = k
    return labels


def refuse_predicate(name: str, hilbert: Any) -> None:
    """Raise `SpaceError` on a space with a predicate."""
    if hilbert.envelope != hilbert:
        raise SpaceError(
            f"{name} leaves this space: it knows nothing of the predicate.",
            got=hilbert,
            expected="a space without predicate",
            try_=f"qml.sampler.Restricted(qml.sampler.{name}())",
        )


def _flip(uniforms: Array, x: Array, hilbert: Any, free: tuple[int, ...]) -> tuple[Array, Array]:
    """One of some sites, chosen uniformly, and one of its other local states, chosen uniformly."""
    chosen = choose(uniforms, len(free))
    site = chosen if free == tuple(range(x.shape[1])) else jnp.asarray(np.array(free, np.int32))[chosen]
    now = values_at(x, site[:, None])[:, 0]
    site_states = hilbert.site_states
    if all(len(states) == 2 for states in site_states):
        totals = np.array([sum(s) for s in site_states], np.int8)
        total = totals[0] if np.all(totals == totals[0]) else jnp.asarray(totals)[site]
        return site, (total - now).astype(x.dtype)
    counts = np.array([len(states) for states in site_states], np.int32)
    table = np.array([[*states, *[states[0]] * (counts.max() - len(states))] for states in site_states], np.int8)
    states, count = jnp.asarray(table)[site], jnp.asarray(counts)[site]
    level = jnp.argmax(now[:, None] == states, axis=1)
    step = 1 + choose(uniforms * len(free) - chosen, count - 1)  # what is left of the number is uniform again
    return site, jnp.take_along_axis(states, ((level + step) % count)[:, None], axis=1)[:, 0].astype(x.dtype)


def changed(x: Array, sites: Array, values: Array) -> Array:
    """Configurations with new values on some sites of each; of a site that comes twice the first value counts."""
    place = jnp.arange(x.shape[1], dtype=jnp.int32)[None, :]
    for k in reversed(range(sites.shape[1])):
        x = jnp.where(place == sites[:, k, None].astype(jnp.int32), values[:, k, None].astype(x.dtype), x)
    return x


def changes_between(x: Array, proposal: Array, width: int) -> tuple[Array, Array]:
    """Sites `[chains, width]` that hold all differences, and their new values."""
    differs = proposal != x
    sites = [jnp.argmax(differs, axis=1)]
    for _ in range(width - 1):
        differs = differs & (jnp.arange(x.shape[1])[None, :] != sites[-1][:, None])
        sites.append(jnp.argmax(differs, axis=1))
    where = jnp.stack(sites, axis=1)
    return where, jnp.take_along_axis(proposal, where, axis=1)


def _share(uniforms: Array, sizes: list[int]) -> tuple[Array, Array]:
    """Split a uniform number into a group, with probability by size, and a new uniform number."""
    if len(sizes) == 1:
        return uniforms, jnp.zeros(uniforms.shape, jnp.int32)
    edges = np.cumsum([0, *sizes]) / sum(sizes)
    group = jnp.sum(uniforms[:, None] >= edges[None, 1:-1], axis=1, dtype=jnp.int32)
    start, end = jnp.asarray(edges)[group], jnp.asarray(edges)[group + 1]
    return ((uniforms - start) / (end - start)).astype(uniforms.dtype), group


def choose(uniforms: Array, count: Any) -> Array:
    """Uniform int in `0 ... count - 1` from a uniform number in [0, 1)."""
    return jnp.minimum((uniforms * count).astype(jnp.int32), count - 1)


def _pick(uniforms: Array, candidates: Array) -> Array:
    """Mask of one candidate of each row, chosen uniformly; empty where there is none."""
    rank = jnp.cumsum(candidates, axis=1, dtype=jnp.int32)
    count = rank[:, -1]
    chosen = jnp.minimum((uniforms * count).astype(jnp.int32), count - 1) + 1
    return candidates & (rank == chosen[:, None])


def _connects(edges: list[tuple[int, int]], hilbert: Any) -> bool:
    """True if the edges connect all sites of each part."""
    group = list(range(hilbert.n_sites))

    def root(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    for i, j in edges:
        group[root(i)] = root(j)
    return all(len({root(i) for i in part}) == 1 for part in hilbert.parts)
