"""Spins of any size, with or without a fixed magnetisation."""

import functools
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError, SpaceError
from qml._core.precision import real_dtype
from qml._core.types import Array, Bool, Configurations, Int, RandomKey
from qml.hilbert.base import AbstractHilbert


@final
@dataclass(frozen=True)
class Spin(AbstractHilbert):
    r"""Spins $s$ on `n_sites` sites, optionally with fixed total $S^z = \sum_i s^z_i$.

    Configurations are `int8[..., sites]` of doubled quantum numbers $2 s^z_i \in \{2s, 2s-2, \ldots, -2s\}$, so
    spin-1/2 is +1 or -1. States are numbered with site 0 slowest and all up first.

    Args:
        n_sites: number of sites, at least 1.
        s: spin of a site, a positive multiple of 1/2.
        magnetisation: total $S^z$ of every configuration; `None` allows all.

    Raises:
        SpaceError: `s` is no spin, or no configuration has this magnetisation.

    Example:
        >>> from qml.hilbert import Spin
        >>> space = Spin(4, magnetisation=0)
        >>> space.size
        6
        >>> space.all_states()[0].tolist()
        [1, 1, -1, -1]
        >>> [1, -1, 1, -1] in space, [1, 1, 1, -1] in space
        (True, False)
    """

    n_sites: int
    s: float | int = 0.5
    magnetisation: float | int | None = None

    def __post_init__(self):
        if isinstance(self.n_sites, bool) or not isinstance(self.n_sites, (int, np.integer)) or self.n_sites < 1:
            raise SpaceError(
                "There is no such number of sites.", got=self.n_sites, expected="an int >= 1", try_="Spin(4)"
            )
        if not (self.s > 0 and float(2 * self.s).is_integer() and self.s <= 63):
            raise SpaceError("There is no such spin.", got=self.s, expected="0.5, 1, 1.5, ... 63", try_="s=0.5")
        object.__setattr__(self, "n_sites", int(self.n_sites))
        object.__setattr__(self, "s", float(self.s))
        if self.magnetisation is None:
            return
        top, doubled = self.n_sites * (self._base - 1), 2 * self.magnetisation
        if not float(doubled).is_integer() or (top - int(doubled)) % 2 or abs(doubled) > top:
            raise SpaceError(
                f"No configuration of {self.n_sites} spins {self.s:g} has this total S^z.",
                got=f"magnetisation={self.magnetisation}",
                expected=f"one of {top / 2:g}, {top / 2 - 1:g}, ... {-top / 2:g} (total S^z, steps of 1)",
                try_=f"magnetisation={top % 2 / 2:g}",
            )
        object.__setattr__(self, "magnetisation", float(self.magnetisation))

    @property
    def _base(self) -> int:
        return int(2 * self.s) + 1

    @property
    def _total(self) -> int | None:
        """Sum of the digits `(2 s - x) / 2` of every configuration: the number of down steps from all up."""
        if self.magnetisation is None:
            return None
        return (self.n_sites * (self._base - 1) - int(2 * self.magnetisation)) // 2

    @property
    def local_states(self) -> tuple[int, ...]:
        """Doubled quantum numbers of one site in basis order, from up to down."""
        return tuple(range(self._base - 1, -self._base, -2))

    @property
    def is_constrained(self) -> bool:
        """True if the magnetisation is fixed."""
        return self.magnetisation is not None

    @property
    def size(self) -> int:
        """Number of configurations, an exact Python int."""
        if self._total is None:
            return self._base**self.n_sites
        return _counts(self.n_sites, self._base, self._total)[self.n_sites][self._total]

    def all_states(self) -> Int[Array, "size sites"]:
        """All configurations in basis order.

        Raises:
            SpaceError: there are more of them than memory holds (over 4 GiB).
        """
        if self.size * self.n_sites > 2**32:
            raise SpaceError(
                "This space is too large to list.",
                got=f"{self.size} configurations of {self.n_sites} sites",
                expected="at most 4 GiB",
                try_="random_state(key, batch) for some of them",
            )
        return self.indices_to_states(jnp.arange(self.size))

    def states_to_indices(self, x: Configurations) -> Int[Array, "..."]:
        r"""Number of each configuration.

        Without a constraint the index is $\sum_i d_i (2s+1)^{n-1-i}$ with digits $d_i = (2s - x_i)/2$. With one it is
        the rank $\sum_i \#\{\text{completions with a smaller digit at } i\}$, from a table of size n * n * (2s+1).

        Args:
            x: configurations `int8[..., sites]` of this space.

        Returns:
            Indices `[...]`; meaningless, but in range, where `contains(x)` is False.

        Raises:
            ShapeError: the last axis is not `n_sites` long.
            SpaceError: the space has more states than an integer can number.
        """
        _check_numbered(self)
        return _rank(self, _as_configurations(self, x))

    def indices_to_states(self, indices: Any) -> Int[Array, "... sites"]:
        """Configuration of each index, the inverse of `states_to_indices`.

        Args:
            indices: ints `[...]` in `0 ... size - 1`.

        Returns:
            Configurations `int8[..., sites]`.

        Raises:
            SpaceError: the space has more states than an integer can number.
        """
        _check_numbered(self)
        return _unrank(self, jnp.asarray(indices))

    def random_state(self, key: RandomKey, batch: int | tuple[int, ...] = ()) -> Int[Array, "... sites"]:
        """Configurations drawn uniformly and independently from this space, for any number of sites.

        Args:
            key: a typed key; used up.
            batch: leading shape, an int or a tuple.

        Returns:
            Configurations `int8[*batch, sites]`.
        """
        return _random(self, key, batch if isinstance(batch, tuple) else (batch,))

    def contains(self, x: Configurations) -> Bool[Array, "..."]:
        """True for each row of `x[..., sites]` with allowed local states and the right magnetisation.

        Raises:
            ShapeError: the last axis is not `n_sites` long.
        """
        return _contains(self, _as_configurations(self, x))

    def __contains__(self, x: object) -> bool:
        x = np.asarray(x)
        return x.shape == (self.n_sites,) and bool(self.contains(x))


def _as_configurations(space: Spin, x: Any) -> Array:
    x = jnp.asarray(x)
    if x.ndim == 0 or x.shape[-1] != space.n_sites:
        raise ShapeError(
            "The configurations do not fit the space.",
            got=f"shape {x.shape}",
            expected=f"[..., {space.n_sites}], one entry per site",
            try_=f"x.reshape(-1, {space.n_sites})",
        )
    return x


def _index_dtype() -> np.dtype:
    return np.dtype(np.int64 if real_dtype() == np.float64 else np.int32)


def _check_numbered(space: Spin) -> None:
    limit = int(np.iinfo(_index_dtype()).max)
    if space.size > limit:
        raise SpaceError(
            "This space has too many states to number them.",
            got=f"{space.size} states",
            expected=f"at most {limit}",
            try_="work with configurations, or fewer sites",
        )


@functools.lru_cache(maxsize=64)
def _counts(n_sites: int, base: int, total: int) -> list[list[int]]:
    """`counts[k][d]`: number of strings of k digits below `base` with digit sum d <= total; exact ints."""
    counts = [[1] + [0] * total]
    for _ in range(n_sites):
        last = counts[-1]
        counts.append([sum(last[d - l] for l in range(min(base - 1, d) + 1)) for d in range(total + 1)])
    return counts


@functools.lru_cache(maxsize=64)
def _below(n_sites: int, base: int, total: int) -> list[list[list[int]]]:
    """`below[i][r][l]`: completions at site i with a digit below l, when the digits from i on must sum to r."""
    counts = _counts(n_sites, base, total)
    table = []
    for i in range(n_sites):
        left = counts[n_sites - 1 - i]
        rows = []
        for r in range(total + 1):
            row = [0]
            for l in range(base - 1):
                row.append(row[-1] + (left[r - l] if l <= r else 0))
            rows.append(row)
        table.append(rows)
    return table


@functools.lru_cache(maxsize=64)
def _rank_table(space: Spin, dtype: str) -> np.ndarray:
    """`below` as integers; entries that no state reaches are cut to the size of the space."""
    table = np.array(_below(space.n_sites, space._base, space._total), dtype=object)
    return np.minimum(table, space.size).astype(dtype)


@functools.lru_cache(maxsize=64)
def _law_table(space: Spin, dtype: str) -> np.ndarray:
    """`law[i][r][l]`: probability of a digit below l at site i under the uniform law."""
    counts = _counts(space.n_sites, space._base, space._total)
    below = _below(space.n_sites, space._base, space._total)
    law = [
        [[b / max(1, counts[space.n_sites - i][r]) for b in row] for r, row in enumerate(rows)]
        for i, rows in enumerate(below)
    ]
    return np.array(law, dtype=dtype)


@functools.partial(jax.jit, static_argnums=0)
def _rank(space: Spin, x: Array) -> Array:
    dtype, base, n = _index_dtype(), space._base, space.n_sites
    digits = (base - 1 - x.astype(jnp.int32)) // 2
    if space._total is None:
        powers = np.array([base ** (n - 1 - i) for i in range(n)], dtype=dtype)
        return jnp.sum(digits.astype(dtype) * powers.reshape((1,) * (x.ndim - 1) + (n,)), axis=-1)
    rest = jnp.clip(space._total - (jnp.cumsum(digits, axis=-1) - digits), 0, space._total)
    site = np.arange(n).reshape((1,) * (x.ndim - 1) + (n,))
    flat = (site * (space._total + 1) + rest) * base + jnp.clip(digits, 0, base - 1)
    rank = jnp.sum(jnp.asarray(_rank_table(space, dtype.name).reshape(-1))[flat], axis=-1, dtype=dtype)
    return jnp.clip(rank, 0, space.size - 1)


@functools.partial(jax.jit, static_argnums=0)
def _unrank(space: Spin, indices: Array) -> Array:
    base, n = space._base, space.n_sites
    indices = indices.astype(_index_dtype())
    if space._total is None:
        powers = np.array([base ** (n - 1 - i) for i in range(n)], dtype=indices.dtype)
        digits = indices[..., None] // powers.reshape((1,) * indices.ndim + (n,)) % base
        return (base - 1 - 2 * digits).astype(jnp.int8)

    def site(carry, table):
        index, rest = carry
        row = table[rest]
        digit = jnp.sum(row[..., 1:] <= index[..., None], axis=-1, dtype=jnp.int32)
        below = jnp.take_along_axis(row, digit[..., None], axis=-1)[..., 0]
        return (index - below, rest - digit), (base - 1 - 2 * digit).astype(jnp.int8)

    start = (indices, jnp.full(indices.shape, space._total, jnp.int32))
    _, x = jax.lax.scan(site, start, jnp.asarray(_rank_table(space, indices.dtype.name)))
    return jnp.moveaxis(x, 0, -1)


@functools.partial(jax.jit, static_argnums=(0, 2))
def _random(space: Spin, key: Array, batch: tuple[int, ...]) -> Array:
    base = space._base
    if space._total is None:
        digits = jax.random.randint(key, (*batch, space.n_sites), 0, base, dtype=jnp.int32)
        return (base - 1 - 2 * digits).astype(jnp.int8)
    dtype = real_dtype()

    def site(rest, inputs):
        table, u = inputs
        digit = jnp.sum(table[rest][..., 1:] <= u[..., None], axis=-1, dtype=jnp.int32)
        return rest - digit, (base - 1 - 2 * digit).astype(jnp.int8)

    u = jax.random.uniform(key, (space.n_sites, *batch), dtype)
    start = jnp.full(batch, space._total, jnp.int32)
    _, x = jax.lax.scan(site, start, (jnp.asarray(_law_table(space, dtype.name)), u))
    return jnp.moveaxis(x, 0, -1)


@functools.partial(jax.jit, static_argnums=0)
def _contains(space: Spin, x: Array) -> Array:
    top = space._base - 1
    allowed = jnp.all((jnp.abs(x) <= top) & ((x + top) % 2 == 0), axis=-1)
    if space.magnetisation is None:
        return allowed
    return allowed & (jnp.sum(x.astype(jnp.int32), axis=-1) == int(2 * space.magnetisation))
