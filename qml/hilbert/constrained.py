"""Spaces with totals fixed on parts of the sites, and with any predicate of the user."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from qml._core.errors import ShapeError, SpaceError
from qml._core.types import Array
from qml.hilbert import block
from qml.hilbert.base import AbstractHilbert, index_dtype
from qml.hilbert.block import Block

_LIMIT = 2**28
_TRIES = 4096


@final
@dataclass(frozen=True, init=False, repr=False)
class Constrained(AbstractHilbert):
    r"""The configurations of a space that obey a predicate, or have given totals on parts of the sites, or both.

    Totals are counted by formula for any number of sites. The total of a part is $\sum_i s^z_i$ over its spins plus the
    sum of the occupations of its other entries; parts are disjoint or one inside another. A predicate is tried on
    all configurations of the space below, so there must be at most 268435456 (not counting other predicates); above
    that only `contains` and `random_state` work, the latter by at most 4096 tries for each configuration.

    Args:
        space: the space below.
        predicate: function that maps configurations `int8[..., sites]` to `bool[...]` and can be jitted. Spaces with
            equal predicates are equal: functions are so if they are the same object, frozen dataclasses by content.
        totals: total of each part, as `{(site, ...): total, ...}` or pairs `((site, ...), total)`.

    Raises:
        SpaceError: no configuration has these totals, parts cross, or the predicate is no such function.
        ShapeError: the answers of the predicate have the wrong shape.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.hilbert import Constrained, Spin
        >>> sublattices = Constrained(Spin(4), totals={(0, 2): 1, (1, 3): -1})
        >>> sublattices.all_states().tolist()
        [[1, -1, 1, -1]]
        >>> def blockade(x):
        ...     return ~jnp.any((x[..., 1:] == 1) & (x[..., :-1] == 1), axis=-1)
        >>> Constrained(Spin(5), blockade).size
        13
    """

    space: AbstractHilbert
    predicate: Callable[[Array], Array] | None
    totals: tuple[tuple[tuple[int, ...], float], ...]

    def __init__(self, space: AbstractHilbert, predicate: Callable[[Array], Array] | None = None, totals: Any = ()):
        object.__setattr__(self, "space", space)
        object.__setattr__(self, "predicate", predicate)
        object.__setattr__(self, "totals", _as_totals(space, totals))
        if predicate is None and not self.totals:
            raise SpaceError(
                "Nothing is constrained.", got=space, expected="a predicate or totals", try_="the space itself"
            )
        if self.totals and space.envelope != space:
            raise SpaceError(
                "Totals are fixed before a predicate.",
                got=f"totals on {space!r}",
                expected="a space without predicate",
                try_="Constrained(space, predicate, totals) in one",
            )
        if predicate is not None:
            _check_predicate(predicate, space.n_sites)
        if self._block.size == 0:
            _no_such_totals(self.totals)

    def __repr__(self) -> str:
        words = [repr(self.space)]
        if self.predicate is not None:
            words.append(getattr(self.predicate, "__qualname__", repr(self.predicate)))
        return f"Constrained({', '.join(words)}{f', totals={self.totals}' if self.totals else ''})"

    @property
    def n_sites(self) -> int:  # type: ignore[override]
        """Length of a configuration, as in the space below."""
        return self.space.n_sites

    @property
    def components(self) -> int:
        """As in the space below."""
        return self.space.components

    @property
    def fermionic(self) -> bool:
        """As in the space below."""
        return self.space.fermionic

    @property
    def fermionic_modes(self) -> tuple[bool, ...]:
        """As in the space below."""
        return self.space.fermionic_modes

    @functools.cached_property
    def _block(self) -> Block:
        return _restrict(self.space._block, self.totals)

    @functools.cached_property
    def _below(self) -> AbstractHilbert:
        """The space on which the predicate is tried."""
        return Constrained(self.space, totals=self.totals) if self.totals else self.space

    @property
    def envelope(self) -> AbstractHilbert:
        """This space without its predicates."""
        return self if self.predicate is None else self._below.envelope

    @property
    def is_constrained(self) -> bool:
        """True."""
        return True

    @property
    def size(self) -> int:
        """The number of configurations, an exact Python int.

        Raises:
            SpaceError: the predicate allows no configuration, or there are too many to try.
        """
        return self._block.size if self.predicate is None else len(self._allowed)

    @functools.cached_property
    def _is_listed(self) -> bool:
        """True where the predicate can be tried on all configurations."""
        return self._block.size <= _LIMIT

    @functools.cached_property
    def _allowed(self) -> np.ndarray:
        """Numbers of the allowed configurations in the space below, in increasing order."""
        if not self._is_listed:
            raise SpaceError(
                "This space is too large to try its predicate on all configurations, so it cannot be numbered.",
                got=f"{self._block.size} configurations below the predicate",
                expected=f"at most {_LIMIT}",
                try_="random_state and contains, or totals that leave fewer",
            )
        size, chunks, found = self._below.size, np.arange(2**20).reshape(64, -1), []
        with jax.ensure_compile_time_eval():
            for start in range(0, size, chunks.size):
                number = (start + chunks[: -(-(size - start) // chunks.shape[1])]).astype(index_dtype())
                keep = np.asarray(_tried(self._below, self.predicate, jnp.asarray(np.minimum(number, size - 1))))
                found.append(number[keep & (number < size)])
        allowed = np.concatenate(found)
        if not len(allowed):
            raise SpaceError(
                "The predicate allows no configuration.",
                got=self,
                expected="at least one",
                try_="predicate(space.all_states()) to see its answers",
            )
        return allowed

    def _rank(self, x: Array) -> Array:
        if self.predicate is None:
            return block.rank(self._block, x, index_dtype())
        return _find(jnp.asarray(self._allowed), self._below._rank(x))

    def _unrank(self, indices: Array) -> Array:
        if self.predicate is None:
            return block.unrank(self._block, indices)
        return self._below._unrank(jnp.asarray(self._allowed)[indices])

    def _accept(self, x: Array) -> Array:
        if self.predicate is None:
            return block.contains(self._block, x)
        return self._below._accept(x) & _holds(self.predicate, x.astype(jnp.int8))

    def _draw(self, key: Array, batch: tuple[int, ...]) -> Array:
        if self.predicate is None:
            return block.draw(self._block, key, batch)
        if self._is_listed:
            return self._unrank(jax.random.randint(key, batch, 0, self.size, index_dtype()))
        x, found = _reject(self, key, batch)
        if isinstance(found, Tracer):
            return eqx.error_if(x, ~found, "random_state: the predicate refused all tries")
        if not bool(found):
            raise SpaceError(
                "The predicate refuses nearly all configurations, so none was found at random.",
                got=f"{_TRIES} tries without one",
                expected="a predicate that allows a fair share of the space below",
                try_="totals, which need no tries, or fewer sites",
            )
        return x


@functools.partial(jax.jit, static_argnums=0)
def _holds(predicate: Callable, x: Array) -> Array:
    return predicate(x.reshape(-1, x.shape[-1])).reshape(x.shape[:-1])


@functools.partial(jax.jit, static_argnums=(0, 1))
def _tried(below: AbstractHilbert, predicate: Callable, numbers: Array) -> Array:
    return jax.lax.map(lambda chunk: _holds(predicate, below._unrank(chunk)), numbers)


@jax.jit
def _find(allowed: Array, numbers: Array) -> Array:
    return jnp.minimum(jnp.searchsorted(allowed, numbers), len(allowed) - 1).astype(allowed.dtype)


@functools.partial(jax.jit, static_argnums=(0, 2))
def _reject(space: Constrained, key: Array, batch: tuple[int, ...]) -> tuple[Array, Array]:
    """The first allowed of at most `_TRIES` draws, for each configuration; and whether all are found."""

    def again(carry: tuple[Array, Array, Array, Array]) -> Array:
        return ~jnp.all(carry[2]) & (carry[3] < _TRIES)

    def draw(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        key, x, done, tries = carry
        key, now = jax.random.split(key)
        new = space._below._draw(now, batch)
        good = space._accept(new)
        return key, jnp.where((good & ~done)[..., None], new, x), done | good, tries + 1

    start = (key, jnp.zeros((*batch, space.n_sites), jnp.int8), jnp.zeros(batch, bool), jnp.zeros((), jnp.int32))
    _, x, done, _ = jax.lax.while_loop(again, draw, start)
    return x, jnp.all(done)


def _check_predicate(predicate: Any, n_sites: int) -> None:
    try:
        hash(predicate)
        answers = [jax.eval_shape(predicate, jax.ShapeDtypeStruct((k, n_sites), jnp.int8)) for k in (3, 5)]
    except Exception as error:
        raise SpaceError(
            "The predicate cannot be hashed or traced.",
            got=f"{type(error).__name__}: {error}".splitlines()[0],
            expected="a hashable function of configurations `x[..., sites]` made of jax.numpy",
            try_="lambda x: jnp.sum(x, axis=-1) > 0",
        ) from None
    shapes = [(getattr(a, "shape", None), getattr(a, "dtype", None)) for a in answers]
    if shapes != [((3,), bool), ((5,), bool)]:
        raise ShapeError(
            "The predicate does not answer once for each configuration.",
            got=f"shape {shapes[0][0]}, dtype {shapes[0][1]} for 3 configurations",
            expected="bool [3]",
            try_="reduce over the last axis only: jnp.all(..., axis=-1)",
        )


def _as_totals(space: AbstractHilbert, totals: Any) -> tuple[tuple[tuple[int, ...], float], ...]:
    pairs = []
    for pair in totals.items() if isinstance(totals, Mapping) else totals:
        try:
            sites, total = pair
            sites, total = (
                tuple(int(i) for i in np.asarray(sites).reshape(-1).astype("i8", casting="safe")),
                float(total),
            )
            good = bool(sites) and len(set(sites)) == len(sites) and all(0 <= i < space.n_sites for i in sites)
        except (TypeError, ValueError):
            good = False
        if not good:
            raise SpaceError(
                "A total belongs to a part: some different sites of the space.",
                got=pair,
                expected=f"((site, ...), number) with sites in 0 ... {space.n_sites - 1}",
                try_="totals={(0, 1): 1}",
            )
        pairs.append((tuple(sorted(sites)), total))
    return tuple(sorted(pairs))


def _restrict(below: Block, totals: tuple[tuple[tuple[int, ...], float], ...]) -> Block:
    """The block with more totals; a part inside another leaves the difference for the rest of the other."""
    wanted = [(set(part), total) for part, total in zip(below.parts, below.totals)]
    for part, total in totals:
        lowest = sum(min(below.sites[i]) / abs(below.sites[i].step) for i in part)
        steps = total - lowest
        if not steps.is_integer() or steps < 0:
            _no_such_totals(((part, total),))
        wanted.append((set(part), int(steps)))
    done: list[tuple[set[int], int]] = []
    while wanted:
        part, total = wanted.pop()
        other = next((k for k, (q, _) in enumerate(done) if q & part), None)
        if other is None:
            done.append((part, total))
            continue
        q, t = done.pop(other)
        small, large = ((part, total), (q, t)) if part <= q else ((q, t), (part, total))
        if not small[0] <= large[0]:
            raise SpaceError(
                "Two parts with fixed totals cross.",
                got=f"{sorted(part)} and {sorted(q)}",
                expected="parts that are disjoint, or one inside the other",
                try_="a predicate",
            )
        rest = (large[0] - small[0], large[1] - small[1])
        if rest[1] < 0 or (not rest[0] and rest[1]):
            _no_such_totals(totals)
        wanted += [small, rest] if rest[0] else [small]
    done.sort(key=lambda pair: min(pair[0]))
    return Block(below.sites, tuple(tuple(sorted(p)) for p, _ in done), tuple(t for _, t in done))


def _no_such_totals(totals: Any) -> None:
    raise SpaceError(
        "No configuration has these totals.",
        got=totals,
        expected="for each part a sum of s^z and occupations, in steps of 1",
        try_="the totals of one configuration of the space",
    )
