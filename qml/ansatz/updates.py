"""Local updates: how log psi changes when few sites change, without evaluating the whole network."""

import abc
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.types import Array, Bool, Inexact, Int, Params


class LocalUpdate(abc.ABC):
    r"""What an ansatz knows of $\psi(x')/\psi(x)$ where $x'$ differs from $x$ on few sites.

    Implementations are frozen dataclasses without arrays. `tables` depend on the parameters alone, a `cache` on one
    configuration a row too. A change is a list of sites and their new values; a value that is already there changes
    nothing. The sampler and the local energies use updates where `reliable` says so, and the whole network elsewhere.
    """

    @abc.abstractmethod
    def prepare(self, params: Params) -> Any:
        """Tables that serve all configurations, a tree of arrays."""

    @abc.abstractmethod
    def reliable(self, tables: Any) -> Bool[Array, ""]:
        """False where rounding or overflow could spoil the ratios of these parameters."""

    @abc.abstractmethod
    def init(self, tables: Any, x: Int[Array, "batch sites"]) -> Any:
        """The cache of configurations, a tree of arrays with the batch first."""

    @abc.abstractmethod
    def step(
        self,
        tables: Any,
        cache: Any,
        x: Int[Array, "batch sites"],
        sites: Int[Array, "batch k"],
        values: Int[Array, "batch k"],
    ) -> tuple[Inexact[Array, " batch"], Any]:
        r"""Change `sites` of each row to `values`.

        Returns:
            $\log\psi(x') - \log\psi(x)$, and the cache of $x'$.
        """

    def sum_ratios(
        self,
        tables: Any,
        cache: Any,
        x: Int[Array, "batch sites"],
        moves: Int[np.ndarray, "groups k"],
        elements: Inexact[Array, "batch groups"],
        total: int = 0,
    ) -> Inexact[Array, " batch"]:
        r"""$\sum_g e_{sg}\, \psi(x_s^g) / \psi(x_s)$, where $x^g$ has the other local state on the sites `moves[g]`.

        Args:
            tables: from `prepare`.
            cache: from `init`.
            x: configurations of sites with two local states.
            moves: static sites of each group; -1 is no site.
            elements: matrix elements.
            total: sum of the two local states: 0 for spins, 1 for occupations.
        """

        def group(sum_: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
            move, element = inputs
            sites = jnp.broadcast_to(jnp.maximum(move, 0)[None, :], (x.shape[0], move.shape[0]))
            now = values_at(x, sites)
            values = jnp.where(move[None, :] < 0, now, total - now)
            log_ratio, _ = self.step(tables, cache, x, sites, values)
            return sum_ + element * jnp.exp(log_ratio).astype(sum_.dtype), None

        ratio = jax.eval_shape(lambda: self.step(tables, cache, x, x[:, :1].astype(jnp.int32), x[:, :1])[0])
        start = jnp.zeros(x.shape[0], jnp.result_type(ratio.dtype, elements.dtype))
        return jax.lax.scan(group, start, (jnp.asarray(moves), elements.T))[0]


def values_at(x: Int[Array, "batch sites"], sites: Int[Array, "batch k"]) -> Int[Array, "batch k"]:
    """What each row has on sites of its own, which are there: nothing is checked inside a loop of moves."""
    rows = jnp.arange(x.shape[0], dtype=jnp.int32)[:, None]
    return x.at[rows, sites].get(mode="promise_in_bounds", wrap_negative_indices=False)


def rows_at(table: Array, rows: Int[Array, " batch"]) -> Array:
    """Rows of a table, for numbers of rows that are there: nothing is checked inside a loop of moves."""
    return table.at[rows].get(mode="promise_in_bounds", wrap_negative_indices=False)


@runtime_checkable
class LocallyUpdated(Protocol):
    """A model that knows local updates."""

    def local_update(self, hilbert: Any) -> LocalUpdate | None:
        """The rule for this model's parameters on a space; `None` where there is none."""
        ...
