"""The interface of a Hilbert space of many sites, and the product of spaces."""

import abc
import functools
import math
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from qml._core.errors import ShapeError, SpaceError
from qml._core.precision import real_dtype
from qml._core.types import Array, Bool, Configurations, Int, RandomKey
from qml.hilbert import block
from qml.hilbert.bits import Bits, make_bits
from qml.hilbert.block import Block

_CHUNK = 2**14


class AbstractHilbert(abc.ABC):
    """A finite set of configurations `int8[sites]`, numbered in one fixed order.

    Implementations are frozen dataclasses without device arrays, so a space may be a constant of a compiled program.
    Site 0 is the slowest index; in a constrained space the order is the same with the forbidden states left out.

    Example:
        >>> from qml.hilbert import AbstractHilbert, Spin
        >>> space = Spin(3, magnetisation=0.5)
        >>> isinstance(space, AbstractHilbert), space.size, space.states_to_indices(space.all_states()).tolist()
        (True, 3, [0, 1, 2])
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
    def charges(self) -> tuple[int, ...]:
        """Total of each part, in steps above its lowest states: numbers of particles, or spins raised from all down."""
        return self._block.totals

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

    @property
    def bits(self) -> Bits:
        """The configurations as words of bits, for bit-parallel work on spaces of two local states.

        Raises:
            SpaceError: a site has not two local states, or there are more than 62 sites.
            PrecisionError: more than 32 sites while JAX runs in 32-bit mode.
        """
        return make_bits(self)

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
        numbers = jnp.arange(-(-self.size // _CHUNK) * _CHUNK, dtype=index_dtype())
        if self.size <= _CHUNK:
            return self._unrank(numbers[: self.size])
        chunks = jnp.minimum(numbers, self.size - 1).reshape(-1, _CHUNK)  # each fits into the cache
        return jax.lax.map(self._unrank, chunks).reshape(-1, self.n_sites)[: self.size]

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
        if not bad and not isinstance(indices, Tracer) and indices.size:
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

    def __mul__(self, other: "AbstractHilbert") -> "Product":
        if not isinstance(other, AbstractHilbert):
            return NotImplemented
        return Product(self, other)

    def _rank(self, x: Array) -> Array:
        return block.rank(self._block, x, index_dtype())

    def _unrank(self, indices: Array) -> Array:
        return block.unrank(self._block, indices)

    def _draw(self, key: Array, batch: tuple[int, ...]) -> Array:
        return block.draw(self._block, key, batch)

    def _accept(self, x: Array) -> Array:
        return block.contains(self._block, x)


@final
@dataclass(frozen=True, init=False, repr=False)
class Product(AbstractHilbert):
    r"""Product of spaces: configurations are those of the factors, one after the other; also written `a * b`.

    The first factor is the slowest index, as in a Kronecker product. A product of products is flat. Fermion modes of
    different factors anticommute: all of them are ordered by their place in the configuration.

    Args:
        spaces: the factors, at least one.

    Raises:
        SpaceError: there is no factor, or one is no space.

    Example:
        >>> from qml.hilbert import Boson, Product, Spin
        >>> space = Spin(2, magnetisation=0) * Boson(1, n_max=3)
        >>> space == Product(Spin(2, magnetisation=0), Boson(1, n_max=3)), space.size
        (True, 8)
        >>> space.all_states()[5].tolist()
        [-1, 1, 1]
    """

    spaces: tuple[AbstractHilbert, ...]

    def __init__(self, *spaces: Any):
        if not spaces or not all(isinstance(s, AbstractHilbert) for s in spaces):
            raise SpaceError(
                "A product has spaces as factors.", got=spaces, expected="spaces", try_="Spin(2) * Spin(2)"
            )
        flat = [f for s in spaces for f in (s.spaces if isinstance(s, Product) else (s,))]
        object.__setattr__(self, "spaces", tuple(flat))

    def __repr__(self) -> str:
        return f"Product({', '.join(map(repr, self.spaces))})"

    @functools.cached_property
    def n_sites(self) -> int:  # type: ignore[override]
        """Length of a configuration: the sum over the factors."""
        return sum(s.n_sites for s in self.spaces)

    @property
    def offsets(self) -> tuple[int, ...]:
        """First entry of each factor in a configuration."""
        return tuple(sum(s.n_sites for s in self.spaces[:k]) for k in range(len(self.spaces)))

    @functools.cached_property
    def _block(self) -> Block:
        blocks = [s._block for s in self.spaces]
        moved = [tuple(i + a for i in p) for b, a in zip(blocks, self.offsets) for p in b.parts]
        return Block(sum((b.sites for b in blocks), ()), tuple(moved), sum((b.totals for b in blocks), ()))

    @property
    def fermionic(self) -> bool:
        """True where all factors are fermion modes.

        Raises:
            SpaceError: some entries are fermion modes and some are not; `fermionic_modes` tells which.
        """
        if len(set(self.fermionic_modes)) > 1:
            raise SpaceError(
                "Some entries of this space are fermion modes and some are not.",
                got=self,
                expected="a space of one kind",
                try_="fermionic_modes, one answer for each entry",
            )
        return self.fermionic_modes[0]

    @functools.cached_property
    def fermionic_modes(self) -> tuple[bool, ...]:
        """True for each entry that is the occupation of a fermion mode."""
        return sum((s.fermionic_modes for s in self.spaces), ())

    @property
    def envelope(self) -> AbstractHilbert:
        """The product of the factors without their predicates."""
        return Product(*[s.envelope for s in self.spaces])

    @property
    def is_constrained(self) -> bool:
        """True if a factor is."""
        return any(s.is_constrained for s in self.spaces)

    @property
    def size(self) -> int:
        """Product of the sizes of the factors, an exact Python int."""
        return math.prod(s.size for s in self.spaces)

    def _split(self, x: Array) -> list[Array]:
        return [x[..., a : a + s.n_sites] for s, a in zip(self.spaces, self.offsets)]

    def _rank(self, x: Array) -> Array:
        index: Any = 0
        for space, part in zip(self.spaces, self._split(x)):
            index = index * space.size + space._rank(part)
        return index

    def _unrank(self, indices: Array) -> Array:
        parts = []
        for space in reversed(self.spaces):
            parts.append(space._unrank(indices % space.size))
            indices = indices // space.size
        return jnp.concatenate(parts[::-1], axis=-1)

    def _draw(self, key: Array, batch: tuple[int, ...]) -> Array:
        keys = jax.random.split(key, len(self.spaces))
        return jnp.concatenate([s._draw(k, batch) for s, k in zip(self.spaces, keys)], axis=-1)

    def _accept(self, x: Array) -> Array:
        inside = [s._accept(part) for s, part in zip(self.spaces, self._split(x))]
        return functools.reduce(jnp.logical_and, inside)


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
    if isinstance(x, Tracer) or jnp.issubdtype(x.dtype, jnp.integer):
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
    if isinstance(indices, Tracer) or not indices.size:
        return f"of shape {indices.shape}"
    return f"from {indices.min()} to {indices.max()}"
