"""What a wave function tells about drawing from it site by site."""

import abc
import dataclasses
import functools
from typing import Any, Protocol, final, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.types import Array, Bool, Float, Int, Params
from qml.hilbert import AbstractHilbert


class Conditionals(abc.ABC):
    r"""How to draw from $|\psi|^2 = \prod_k p(d_k \mid d_0 \dots d_{k-1})$ site by site.

    Implementations are frozen dataclasses without arrays. Sites are visited in the order `order`; $d_k$ is the number
    of the local state in `site_states` of the k-th site visited.
    """

    order: tuple[int, ...]

    @abc.abstractmethod
    def prepare(self, params: Params) -> Any:
        """Tables that serve all configurations, a tree of arrays."""

    @abc.abstractmethod
    def init(self, tables: Any, batch: int) -> Any:
        """The cache before the first site, a tree of arrays."""

    @abc.abstractmethod
    def step(
        self, tables: Any, cache: Any, k: Int[Array, ""], last: Int[Array, " batch"]
    ) -> tuple[Float[Array, "batch states"], Any]:
        """Logarithms of the probabilities of the local states of the k-th site visited; minus infinity for none.

        Args:
            tables: from `prepare`.
            cache: from `init`, or the step before.
            k: 0, 1, 2, ... in turn.
            last: number of the local state chosen in the step before; anything where k = 0.
        """


@runtime_checkable
class DirectlySampled(Protocol):
    """A model that can be sampled directly."""

    def autoregressive(self, hilbert: Any) -> Conditionals | None:
        """Its conditionals on a space; `None` where $|\\psi|^2$ is not their product on exactly that space."""
        ...


@final
@dataclasses.dataclass(frozen=True)
class Alphabet:
    """Local states as numbers, and which of them keep the totals within reach, along an order of the sites.

    Args:
        hilbert: the space.
        order: the sites in the order they are visited.
    """

    hilbert: AbstractHilbert
    order: tuple[int, ...]

    @functools.cached_property
    def base(self) -> np.ndarray:
        """Number of local states of each site visited."""
        return np.array([len(self.hilbert.site_states[i]) for i in self.order], np.int32)

    @property
    def states(self) -> int:
        """The largest number of local states."""
        return int(self.base.max())

    @property
    def features(self) -> int:
        """Numbers that stand for one local state: a sign where there are two, else one for each."""
        return 1 if self.states == 2 else self.states

    @functools.cached_property
    def values(self) -> np.ndarray:
        """First local state and step of each site visited, `[2, sites]`."""
        states = [self.hilbert.site_states[i] for i in self.order]
        return np.array([[s[0] for s in states], [s[1] - s[0] if len(s) > 1 else 1 for s in states]], np.int32)

    @functools.cached_property
    def charges(self) -> np.ndarray:
        """Steps of each local state above the lowest of its site, `[sites, states]`."""
        number, up = np.arange(self.states)[None, :], self.values[1][:, None] > 0
        return np.where(up, number, self.base[:, None] - 1 - number).astype(np.int32)

    @functools.cached_property
    def members(self) -> np.ndarray:
        """1 where a site visited is in a part with a fixed total, `[sites, parts]`."""
        return np.array([[i in part for part in self.hilbert.parts] for i in self.order], np.int32)

    @functools.cached_property
    def room(self) -> np.ndarray:
        """The largest charge that the sites visited later can take, for the part of each site, `[sites]`."""
        tops = (self.base - 1)[:, None] * self.members
        later = np.cumsum(tops[::-1], axis=0)[::-1] - tops
        return np.sum(later * self.members, axis=1).astype(np.int32)

    def digits(self, x: Array) -> Array:
        """Numbers of local states `[..., sites]` in the order visited, of configurations."""
        first, step = jnp.asarray(self.values, x.dtype)
        moved = x if self.order == tuple(range(len(self.order))) else x[..., np.array(self.order)]
        shape = (1,) * (x.ndim - 1) + (-1,)
        return jnp.round((moved - first.reshape(shape)) / step.reshape(shape)).astype(jnp.int32)

    def configurations(self, digits: Array) -> Array:
        """The inverse of `digits`, `int8[batch, sites]`."""
        first, step = self.values
        x = (first[None, :] + step[None, :] * digits).astype(jnp.int8)
        return x[:, np.argsort(self.order)]

    def embedded(self, digits: Array, dtype: np.dtype) -> Array:
        """Inputs of a network `[..., features]`."""
        if self.states == 2:
            return (1 - 2 * digits[..., None]).astype(dtype)
        return jax.nn.one_hot(digits, self.states, dtype=dtype)

    def totals(self, batch: int) -> Array:
        """Charge that each part has yet to place before the first site, `[batch, parts]`."""
        return jnp.broadcast_to(jnp.asarray(self.hilbert.charges, jnp.int32)[None, :], (batch, len(self.hilbert.parts)))

    def allowed(self, digits: Array) -> Bool[Array, "batch sites states"]:
        """True for the local states that are possible given those of the sites before."""
        there = np.arange(self.states)[None, :] < self.base[:, None]
        if not self.hilbert.parts:
            return jnp.broadcast_to(jnp.asarray(there)[None], (*digits.shape, self.states))
        clipped = jnp.clip(digits, 0, self.states - 1)
        taken = jnp.take_along_axis(jnp.asarray(self.charges)[None], clipped[..., None], axis=2) * self.members[None]
        rest = self.totals(digits.shape[0])[:, None, :] - (jnp.cumsum(taken, axis=1) - taken)
        mine = jnp.sum(rest * self.members[None], axis=2)
        return self._within(mine[..., None], there[None], self.charges[None], self.room[None], self.members[None])

    def allowed_now(self, rest: Array, k: Array) -> Bool[Array, "batch states"]:
        """The same at the k-th site visited, from the charge that each part has yet to place."""
        tables = (np.arange(self.states)[None, :] < self.base[:, None], self.charges, self.room, self.members)
        there, charges, room, members = (jnp.asarray(t)[k] for t in tables)
        mine = jnp.sum(rest * members[None, :], axis=1)
        return self._within(mine[:, None], there[None], charges[None], room[None], members[None])

    @staticmethod
    def _within(mine: Array, there: Any, charges: Any, room: Any, members: Any) -> Array:
        left = mine - charges
        return there & ((left >= 0) & (left <= room[..., None]) | (jnp.sum(members, axis=-1) == 0)[..., None])

    def spend(self, rest: Array, k: Array, digit: Array) -> Array:
        """The charges yet to place after the k-th site visited has taken a local state."""
        charge = jnp.asarray(self.charges)[k][digit]
        return rest - charge[:, None] * jnp.asarray(self.members)[k][None, :]
