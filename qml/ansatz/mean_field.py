"""Product states."""

import dataclasses
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from qml._core.errors import SpaceError
from qml._core.types import Array, Bool, Params
from qml.ansatz.combine import Combinable
from qml.ansatz.conditionals import Alphabet, Conditionals
from qml.ansatz.layers import normal, parameter_dtype
from qml.ansatz.updates import LocalUpdate
from qml.hilbert import AbstractHilbert


class MeanField(Combinable, nnx.Module):
    r"""A product of wave functions of single sites, $\psi(x) = \prod_i \phi_i(x_i)$.

    $\phi_i = 1$ in the first local state; its logarithms in the others are the parameters, one site after the other.
    On a space with fixed totals this is a projected product state.

    Args:
        space: the space.
        dtype: of the parameters, real or complex.
        std: standard deviation of the initial parameters.
        rngs: random streams of Flax.

    Raises:
        SpaceError: this is no space.

    Example:
        >>> from flax import nnx
        >>> import qml
        >>> space = qml.hilbert.Spin(4)
        >>> state = qml.FullSumState(qml.ansatz.MeanField(space, std=0.0, rngs=nnx.Rngs(0)), space)
        >>> print(state.expect(qml.operator.total(space, "X")))
        4
    """

    def __init__(self, space: Any, dtype: Any = float, *, std: float | int = 0.01, rngs: nnx.Rngs):
        if not isinstance(space, AbstractHilbert):
            raise SpaceError(
                "A mean field needs its space.", got=space, expected="a space", try_="MeanField(qml.hilbert.Spin(4))"
            )
        self.rule = MeanFieldRule(space, tuple(range(space.n_sites)))
        free = int(np.sum(self.rule.alphabet.base - 1))
        self.logs = nnx.Param(normal(rngs.params, (free,), parameter_dtype(dtype, "MeanField"), std))

    def __call__(self, x: Array) -> Array:
        table = self.rule.table(self.logs[...])
        digits = jnp.clip(self.rule.alphabet.digits(x), 0, table.shape[1] - 1)
        return jnp.sum(jnp.take_along_axis(table[None], digits[..., None], axis=2)[..., 0], axis=1)

    def check_space(self, hilbert: Any) -> None:
        """Raise if the sites of a space have other local states.

        Raises:
            SpaceError: they have.
        """
        if hilbert.site_states != self.rule.hilbert.site_states:
            raise SpaceError(
                "This mean field was made for other local states.",
                got=hilbert,
                expected=self.rule.hilbert,
                try_="MeanField(hilbert) with the space of the state",
            )

    def local_update(self, hilbert: Any) -> LocalUpdate:
        """Differences of logarithms."""
        return MeanFieldUpdate(self.rule)

    def autoregressive(self, hilbert: Any) -> Conditionals | None:
        """The sites are independent where nothing constrains them."""
        return None if hilbert.is_constrained else self.rule


@final
@dataclasses.dataclass(frozen=True)
class MeanFieldRule(Conditionals):
    """The independent laws of the sites of a product state."""

    hilbert: AbstractHilbert
    order: tuple[int, ...]

    @property
    def alphabet(self) -> Alphabet:
        """The local states."""
        return Alphabet(self.hilbert, self.order)

    def table(self, logs: Array) -> Array:
        """Logarithms `[sites, states]` of all local states; minus infinity for those that a site does not have."""
        base, states = self.alphabet.base, self.alphabet.states
        place = np.cumsum(base - 1) - (base - 1)
        inside = (np.arange(1, states)[None, :] < base[:, None]).astype(int)
        index = np.where(inside, place[:, None] + np.arange(states - 1)[None, :], 0)
        others = jnp.where(inside, logs[index], -jnp.inf) if logs.size else jnp.zeros((len(base), 0), logs.dtype)
        return jnp.concatenate([jnp.zeros((len(base), 1), logs.dtype), others], axis=1)

    def prepare(self, params: Params) -> Array:
        return jax.nn.log_softmax(2 * self.table(params["logs"]).real, axis=1)

    def init(self, tables: Array, batch: int) -> tuple[Array]:
        return (jnp.zeros((batch, 1), tables.dtype),)

    def step(self, tables: Array, cache: tuple[Array], k: Array, last: Array) -> tuple[Array, tuple[Array]]:
        return tables[k][None] + cache[0], cache


@final
@dataclasses.dataclass(frozen=True)
class MeanFieldUpdate(LocalUpdate):
    """Differences of the logarithms of local states."""

    rule: MeanFieldRule

    def prepare(self, params: Params) -> Array:
        return self.rule.table(params["logs"])

    def reliable(self, tables: Array) -> Bool[Array, ""]:
        return jnp.array(True)

    def init(self, tables: Array, x: Array) -> tuple:
        return ()

    def step(self, tables: Array, cache: tuple, x: Array, sites: Array, values: Array) -> tuple[Array, tuple]:
        first, step = jnp.asarray(self.rule.alphabet.values)

        def logs(now: Array) -> Array:
            return tables[sites, (now.astype(jnp.int32) - first[sites]) // step[sites]]

        return jnp.sum(logs(values) - logs(jnp.take_along_axis(x, sites, axis=1)), axis=1), cache
