"""Proposals that change many sites at once: groups of sites, and whole configurations by a symmetry."""

from collections.abc import Iterable
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError, SpaceError
from qml._core.types import Array, Float, Int
from qml.sampler.rules import AbstractRule, choose, refuse_predicate


class MultiFlip(AbstractRule):
    """Change all sites of one group, chosen uniformly, each to one of its other local states, chosen uniformly.

    For moves that single flips make only through unlikely configurations: pairs, stars, plaquettes. Keeps no total. Use
    `Repeated(LocalFlip(), 2)` for any two sites.

    Args:
        groups: the sites of each group, all groups of one length.

    Raises:
        ShapeError: the groups are no table of sites, or one has a site twice.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.sampler import LocalFlip, Metropolis, Mixture, MultiFlip
        >>> pairs = MultiFlip(((0, 1), (1, 2), (2, 3)))
        >>> sampler = Metropolis(Mixture((pairs, LocalFlip())), Spin(4))
    """

    groups: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    n_uniforms: ClassVar[int] = 2

    def __init__(self, groups: Iterable[Any]):
        try:
            table = np.asarray(list(groups))
        except (TypeError, ValueError):
            table = np.empty(0)
        if table.ndim != 2 or table.dtype.kind not in "iu" or table.size == 0 or table.min() < 0 or _repeats(table):
            raise ShapeError(
                "A group is a list of different sites, and all groups are of one length.",
                got=groups,
                expected="((i, j, ...), (k, l, ...), ...)",
                try_="MultiFlip(lattice.edges())",
            )
        rows: Any = table.tolist()
        self.groups = tuple(tuple(int(site) for site in row) for row in rows)

    @property
    def width(self) -> int:  # type: ignore[override]
        """The length of a group."""
        return len(self.groups[0])

    def check_moves(self, hilbert: Any) -> None:
        """Raise `SpaceError` on a constrained space, and for sites that are not there or have one state."""
        if hilbert.parts:
            raise SpaceError(
                "MultiFlip leaves this space: changing sites breaks the constraint.",
                got=hilbert,
                expected="a space without constraint",
                try_="qml.sampler.Repeated(qml.sampler.Exchange(), 2)",
            )
        refuse_predicate("MultiFlip", hilbert)
        sites = {i for group in self.groups for i in group}
        if max(sites) >= hilbert.n_sites or any(len(hilbert.site_states[i]) < 2 for i in sites):
            raise SpaceError(
                "A group has a site that cannot be changed.",
                got=f"sites up to {max(sites)}",
                expected=f"sites 0 ... {hilbert.n_sites - 1} with two local states or more",
                try_="groups of sites of the space",
            )

    def check_reach(self, hilbert: Any) -> bool:
        """False: the list of configurations, or the parities that all groups keep, decide."""
        return False

    def changes(
        self, uniforms: Float[Array, "chains draws"], x: Int[Array, "chains sites"], hilbert: Any
    ) -> tuple[Int[Array, "chains width"], Int[Array, "chains width"]]:
        """The flips of one group."""
        sites = jnp.asarray(np.array(self.groups, np.int32))[choose(uniforms[:, 0], len(self.groups))]
        now = jnp.take_along_axis(x, sites, axis=1)
        counts = np.array([len(states) for states in hilbert.site_states], np.int32)
        table = np.array([[*s, *[s[0]] * (counts.max() - len(s))] for s in hilbert.site_states], np.int8)
        states, count = jnp.asarray(table)[sites], jnp.asarray(counts)[sites]
        ways = jnp.prod(count - 1, axis=1)
        rest, values = choose(uniforms[:, 1], ways), []
        for k in range(self.width):
            level = jnp.argmax(now[:, k, None] == states[:, k], axis=1)
            new = (level + 1 + rest % (count[:, k] - 1)) % count[:, k]
            values.append(jnp.take_along_axis(states[:, k], new[:, None], axis=1))
            rest = rest // (count[:, k] - 1)
        return sites, jnp.concatenate(values, axis=1).astype(x.dtype)

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
        """The number of groups, and that of new values of one group."""
        counts = [[len(hilbert.site_states[i]) - 1 for i in group] for group in self.groups]
        return len(self.groups), max(int(np.prod(c)) for c in counts)


def _repeats(table: np.ndarray) -> bool:
    ordered = np.sort(table, axis=1)
    return bool(np.any(ordered[:, 1:] == ordered[:, :-1]))


class GlobalFlip(AbstractRule):
    r"""Change the whole configuration by a symmetry of the space.

    Without arguments every site goes to its reversed local state: spin inversion, particle-hole. Else $x' = g x$ with
    an element $g$ of a group, chosen uniformly: as $g$ and $g^{-1}$ are equally likely the proposal is symmetric. It
    takes chains from one well of $|\psi|^2$ into its mirror images, and reaches nothing else: use it in a `Mixture`.

    Args:
        symmetry: a `symmetries.Sector`, whose characters play no role; or permutations `[g, sites]` (element g moves
            site s to `permutations[g, s]`) with the inverse of each among them.

    Raises:
        ShapeError: there is no permutation, or the inverse of one is missing.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.sampler import Exchange, GlobalFlip, Metropolis, Mixture
        >>> turns = GlobalFlip(((1, 2, 3, 0), (3, 0, 1, 2)))
        >>> rule = Mixture((Exchange(), GlobalFlip(), turns), weights=(8, 1, 1))
        >>> sampler = Metropolis(rule, Spin(4, magnetisation=0))
    """

    symmetry: Any = eqx.field(static=True)
    n_uniforms: ClassVar[int] = 1

    def __init__(self, symmetry: Any = None):
        if symmetry is not None and not hasattr(symmetry, "on"):
            table = np.asarray(symmetry)
            whole = table.ndim == 2 and table.size > 0 and table.dtype.kind in "iu"
            rows = {tuple(row) for row in table.tolist()} if whole else set()
            inverses = {tuple(np.argsort(row).tolist()) for row in rows}
            if not rows or any(sorted(row) != list(range(len(row))) for row in rows) or rows != inverses:
                raise ShapeError(
                    "A symmetry is given by permutations of the sites, with the inverse of each.",
                    got=symmetry,
                    expected="int[g, sites], a set that is closed under inversion",
                    try_="GlobalFlip(((1, 2, 0), (2, 0, 1)))",
                )
            symmetry = tuple(sorted(rows))
        self.symmetry = symmetry

    width: ClassVar[int] = 2**30  # all sites

    def _elements(self, hilbert: Any) -> tuple[np.ndarray, np.ndarray]:
        """Source of each entry `[g, sites]`, and whether local states are reversed `[g]`."""
        if self.symmetry is None:
            return np.arange(hilbert.n_sites)[None, :], np.array([True])
        if isinstance(self.symmetry, tuple):
            table = np.array(self.symmetry)
            return np.argsort(table, axis=1), np.zeros(len(table), bool)
        action = self.symmetry.on(hilbert)
        return np.asarray(action.inverse_permutations), np.asarray(action.reversed)

    def check_moves(self, hilbert: Any) -> None:
        """Raise `SpaceError` where an element does not map the space to itself."""
        refuse_predicate("GlobalFlip", hilbert)
        sources, reverse = self._elements(hilbert)
        states = [tuple(sorted(s)) for s in hilbert.site_states]
        wrong = sources.shape[1] != hilbert.n_sites
        wrong = wrong or any(states[i] != states[s] for row in sources for i, s in enumerate(row))
        if wrong or not all(_keeps(row, bool(flip), hilbert) for row, flip in zip(sources, reverse, strict=True)):
            raise SpaceError(
                "GlobalFlip leaves this space: an element breaks its totals, or moves a site to an unlike one.",
                got=hilbert,
                expected="a space that every element maps to itself, such as one of zero magnetisation under inversion",
                try_="another symmetry, or a space without that total",
            )

    def check_reach(self, hilbert: Any) -> bool:
        """False: the list of configurations, or what a sample of moves conserves, decides."""
        return False

    def changes(
        self, uniforms: Float[Array, "chains draws"], x: Int[Array, "chains sites"], hilbert: Any
    ) -> tuple[Int[Array, "chains width"], Int[Array, "chains width"]]:
        """All sites, and their values after one element."""
        sources, reverse = self._elements(hilbert)
        g = choose(uniforms[:, 0], len(sources))
        moved = jnp.take_along_axis(x, jnp.asarray(sources.astype(np.int32))[g], axis=1)
        sums = np.array([min(s) + max(s) for s in hilbert.site_states], np.int8)[None, :]
        moved = jnp.where(jnp.asarray(reverse)[g][:, None], sums - moved, moved).astype(x.dtype)
        return jnp.broadcast_to(jnp.arange(x.shape[1], dtype=jnp.int32)[None, :], x.shape), moved

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
        """The number of elements."""
        return (len(self._elements(hilbert)[0]),)


def _keeps(sources: np.ndarray, reverse: bool, hilbert: Any) -> bool:
    """True if an element maps the totals of a space to themselves."""
    targets = np.argsort(sources)
    totals = {frozenset(part): charge for part, charge in zip(hilbert.parts, hilbert.charges, strict=True)}
    for part, charge in totals.items():
        levels = sum(len(hilbert.site_states[i]) - 1 for i in part)
        wanted = levels - charge if reverse else charge
        if totals.get(frozenset(targets[list(part)].tolist())) != wanted:
            return False
    return True
