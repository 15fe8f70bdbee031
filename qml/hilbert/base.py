"""The interface of a Hilbert space of many sites, and the product of spaces."""

import abc
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError, SpaceError
from qml._core.precision import real_dtype
from qml._core.types import Array, Bool, Configurations, Int, RandomKey
from qml.hilbert import block
from qml.hilbert.block import Block


class AbstractHilbert(abc.ABC):
    """A finite set of configurations `int8[sites]`, numbered in one fixed order.

    Implementations are frozen dataclasses without device arrays, so a space may be a constant of a compiled program.
    Site 0 is the slowest index; in a constrained space the order is the same with the forbidden states left out.
    """

    n_sites: int

    @property
    @abc.abstractmethod
    def _block(self) -> Block:
        """The local states of all sites and the fixed totals: all of the space but a predicate."""

    @property
    def local_states(self) -> tuple[int, ...]:
        """The values one site may take, in basis order (spin-1/2: `(1, -1)`).

        Raises:
            SpaceError: the sites of this space differ; `site_states` has the values of each.
        """
        if len(set(self.site_states)) > 1:
            raise SpaceError(
                "The sites of this space have different local states.",
                got=self,
                expected="a space of like sites",
                try_="site_states, the local states of each site",
            )
        return self.site_states[0]

    @property
    def site_states(self) -> tuple[tuple[int, ...], ...]:
        """The values each site may take, in basis order; one tuple for each site."""
        return tuple(tuple(states) for states in self._block.sites)

    @property
    def components(self) -> int:
        """Modes of each lattice site: 2 for fermions with spin (all up modes, then all down), else 1."""
        return 1

    @property
    def fermionic(self) -> bool:
        """True where all entries are occupations of fermion modes; a space that mixes kinds raises `SpaceError`."""
        return False

    @property
    def fermionic_modes(self) -> tuple[bool, ...]:
        """True for each entry that is the occupation of a fermion mode; the modes are ordered by their number."""
        return (self.fermionic,) * self.n_sites

    @property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """Disjoint groups of sites whose total (magnetisation, number of particles) is fixed."""
        return self._block.parts

    @property
    def envelope(self) -> "AbstractHilbert":
        """This space without its predicates: local states and totals alone."""
        return self

    @property
    def is_constrained(self) -> bool:
        """True where not every product of local states is a configuration."""
        return bool(self._block.parts)

    @property
    def size(self) -> int:
        """The number of configurations, an exact Python int."""
        return self._block.size

    def all_states(self) -> Int[Array, "size sites"]:
        """All configurations, in basis order.

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
        return self._unrank(jnp.arange(self.size, dtype=index_dtype()))

    def states_to_indices(self, x: Configurations) -> Int[Array, "..."]:
        """Number of each configuration, counted without a list of them.

        Args:
            x: configurations `int8[..., sites]` of this space.

        Returns:
            Indices `[...]`; meaningless, but in range, where `contains(x)` is False.

        Raises:
            ShapeError: the last axis is not `n_sites` long.
            SpaceError: the entries are no whole numbers, or the space has more states than an integer can number.
        """
        _check_numbered(self)
        x = _as_configurations(self, x)
        _check_whole(self, x)
        return self._rank(x)

    def indices_to_states(self, indices: Any) -> Int[Array, "... sites"]:
        """Configuration of each index, the inverse of `states_to_indices`.

        Args:
            indices: ints `[...]` in `0 ... size - 1`.

        Returns:
            Configurations `int8[..., sites]`.

        Raises:
            SpaceError: an index is no whole number or out of range, or the space has more states than an integer can
                number.
        """
        _check_numbered(self)
        indices = jnp.asarray(indices)
        bad = not jnp.issubdtype(indices.dtype, jnp.integer)
        if not bad and not isinstance(indices, jax.core.Tracer) and indices.size:
            bad = int(indices.min()) < 0 or int(indices.max()) >= self.size
        if bad:
            raise SpaceError(
                "There are no configurations with these numbers.",
                got=f"{indices.dtype} {_extremes(indices)}",
                expected=f"ints in 0 ... {self.size - 1}",
                try_="jnp.arange(space.size)",
            )
        return self._unrank(indices.astype(index_dtype()))

    def random_state(self, key: RandomKey, batch: int | tuple[int, ...] = ()) -> Int[Array, "... sites"]:
        """Configurations drawn uniformly and independently from this space, for any number of sites.

        Args:
            key: a typed key; used up.
            batch: leading shape, an int or a tuple.

        Returns:
            Configurations `int8[*batch, sites]`.
        """
        return self._draw(key, batch if isinstance(batch, tuple) else (batch,))

    def contains(self, x: Configurations) -> Bool[Array, "..."]:
        """True for each row of `x[..., sites]` that is a configuration of this space.

        Raises:
            ShapeError: the last axis is not `n_sites` long.
        """
        return self._accept(_as_configurations(self, x))

    def __contains__(self, x: object) -> bool:
        x = np.asarray(x)
        return x.dtype.kind in "biuf" and x.shape == (self.n_sites,) and bool(self.contains(x))

    def _rank(self, x: Array) -> Array:
        return rank_block(self._block, x)

    def _unrank(self, indices: Array) -> Array:
        return unrank_block(self._block, indices)

    def _draw(self, key: Array, batch: tuple[int, ...]) -> Array:
        return draw_block(self._block, key, batch)

    def _accept(self, x: Array) -> Array:
        return accept_block(self._block, x)


@functools.partial(jax.jit, static_argnums=0)
def rank_block(description: Block, x: Array) -> Array:
    """Numbers of configurations of a block."""
    return block.rank(description, x, index_dtype())


@functools.partial(jax.jit, static_argnums=0)
def unrank_block(description: Block, indices: Array) -> Array:
    """Configurations of numbers of a block."""
    return block.unrank(description, indices)


@functools.partial(jax.jit, static_argnums=(0, 2))
def draw_block(description: Block, key: Array, batch: tuple[int, ...]) -> Array:
    """Uniform configurations of a block."""
    return block.draw(description, key, batch)


@functools.partial(jax.jit, static_argnums=0)
def accept_block(description: Block, x: Array) -> Array:
    """Membership in a block."""
    return block.contains(description, x)


def check_count(space: Any, name: str, least: int, most: int | None = None) -> None:
    """Make a field of a space an int, or refuse it.

    Raises:
        SpaceError: it is no whole number from `least` to `most`.
    """
    value = getattr(space, name)
    whole = not isinstance(value, bool) and isinstance(value, (int, np.integer))
    if not whole or value < least or (most is not None and value > most):
        raise SpaceError(
            f"There is no {type(space).__name__} space with this {name}.",
            got=f"{name}={value!r}",
            expected=f"an int >= {least}" if most is None else f"an int from {least} to {most}",
            try_=f"{name}={least}",
        )
    object.__setattr__(space, name, int(value))


def index_dtype() -> np.dtype:
    """The widest integer JAX holds now."""
    return np.dtype(np.int64 if real_dtype() == np.float64 else np.int32)


def _as_configurations(space: AbstractHilbert, x: Any) -> Array:
    x = jnp.asarray(x)
    if x.ndim == 0 or x.shape[-1] != space.n_sites:
        raise ShapeError(
            "The configurations do not fit the space.",
            got=f"shape {x.shape}",
            expected=f"[..., {space.n_sites}], one entry per site",
            try_=f"x.reshape(-1, {space.n_sites})",
        )
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise SpaceError(
            "Configurations are whole numbers.", got=x.dtype, expected="int8", try_="x.real.astype('int8')"
        )
    return x.astype(jnp.int8) if x.dtype == bool else x


def _check_whole(space: AbstractHilbert, x: Array) -> None:
    if isinstance(x, jax.core.Tracer) or jnp.issubdtype(x.dtype, jnp.integer):
        return
    if not bool(jnp.all(jnp.isfinite(x) & (x == jnp.round(x)))):
        raise SpaceError(
            "Configurations are whole numbers.",
            got="entries that are NaN, infinite or fractions",
            expected=f"local states, e.g. {space.site_states[0]}",
            try_="space.contains(x) to find the rows",
        )


def _check_numbered(space: AbstractHilbert) -> None:
    limit = int(np.iinfo(index_dtype()).max)
    if space.size > limit:
        raise SpaceError(
            "This space has too many states to number them.",
            got=f"{space.size} states",
            expected=f"at most {limit}",
            try_="work with configurations, or fewer sites",
        )


def _extremes(indices: Array) -> str:
    if isinstance(indices, jax.core.Tracer) or not indices.size:
        return f"of shape {indices.shape}"
    return f"from {indices.min()} to {indices.max()}"
