"""The interface of a Hilbert space of many sites."""

import abc
from typing import Any

from qml._core.types import Array, Bool, Configurations, Int, RandomKey


class AbstractHilbert(abc.ABC):
    """A finite set of configurations `int8[sites]`, numbered in one fixed order.

    Implementations are frozen dataclasses without device arrays, so a space may be a constant of a compiled program.
    Site 0 is the slowest index; in a constrained space the order is the same with the forbidden states left out.
    """

    n_sites: int

    @property
    @abc.abstractmethod
    def local_states(self) -> tuple[int, ...]:
        """The values one site may take, in basis order (spin-1/2: `(1, -1)`)."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """The number of configurations, an exact Python int."""

    @property
    @abc.abstractmethod
    def is_constrained(self) -> bool:
        """True where not every product of local states is a configuration."""

    @abc.abstractmethod
    def all_states(self) -> Int[Array, "size sites"]:
        """All configurations, in basis order."""

    @abc.abstractmethod
    def states_to_indices(self, x: Configurations) -> Int[Array, "..."]:
        """The number of each configuration `x[..., sites]`; meaningless where `contains` is False."""

    @abc.abstractmethod
    def indices_to_states(self, indices: Any) -> Int[Array, "... sites"]:
        """The configuration of each number `indices[...]`."""

    @abc.abstractmethod
    def random_state(self, key: RandomKey, batch: int | tuple[int, ...] = ()) -> Int[Array, "... sites"]:
        """Configurations `[*batch, sites]` drawn uniformly from the space."""

    @abc.abstractmethod
    def contains(self, x: Configurations) -> Bool[Array, "..."]:
        """True for each row of `x[..., sites]` that is a configuration of this space."""

    @abc.abstractmethod
    def __contains__(self, x: object) -> bool:
        """True if `x` is one configuration of this space."""
