"""Two-body Jastrow factor."""

import dataclasses
from typing import Any, final

import jax.numpy as jnp
import numpy as np
from flax import nnx

from qml._core.types import Array, Bool, Params
from qml.ansatz.layers import normal, parameter_dtype, sites_of
from qml.ansatz.updates import LocalUpdate


class Jastrow(nnx.Module):
    r"""Two-body Jastrow factor: one number per pair of sites, and per site.

    $\log\psi(x) = \sum_i v_i x_i + \sum_{i<j} w_{ij} x_i x_j$.

    Args:
        space: a space, or the number of sites.
        dtype: of the parameters, real or complex.
        std: standard deviation of the initial parameters.
        rngs: random streams of Flax.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from qml.ansatz import Jastrow
        >>> Jastrow(4, rngs=nnx.Rngs(0))(jnp.ones((3, 4))).shape
        (3,)

    Source: Jastrow, Phys. Rev. 98, 1479 (1955).
    """

    def __init__(self, space: Any, dtype: Any = float, *, std: float | int = 0.01, rngs: nnx.Rngs):
        sites = sites_of(space)
        dtype = parameter_dtype(dtype, "Jastrow")
        self.field = nnx.Param(normal(rngs.params(), (sites,), dtype, std))
        self.pairs = nnx.Param(normal(rngs.params(), (sites * (sites - 1) // 2,), dtype, std))

    def __call__(self, x: Array) -> Array:
        w = _upper(self.pairs[...], x.shape[-1])
        return x @ self.field[...] + jnp.sum((x @ w) * x, axis=-1)

    def local_update(self, hilbert: Any) -> LocalUpdate:
        """Ratios from the running field on each site."""
        return JastrowUpdate()


@final
@dataclasses.dataclass(frozen=True)
class JastrowUpdate(LocalUpdate):
    r"""With the field $f_i = v_i + \sum_{j \neq i} w_{ij} x_j$ a change of $x_i$ by $d$ adds $d f_i$ to $\log\psi$,
    and $d\, w_{ij}$ to every $f_j$."""

    def prepare(self, params: Params) -> tuple[Array, Array]:
        w = _upper(params["pairs"], params["field"].shape[0])
        return params["field"], w + w.T

    def reliable(self, tables: tuple[Array, Array]) -> Bool[Array, ""]:
        return jnp.array(True)

    def init(self, tables: tuple[Array, Array], x: Array) -> Array:
        field, w = tables
        return x.astype(w.real.dtype) @ w + field[None, :]

    def step(
        self, tables: tuple[Array, Array], cache: Array, x: Array, sites: Array, values: Array
    ) -> tuple[Array, Array]:
        _, w = tables
        log_ratio = jnp.zeros(x.shape[0], w.dtype)
        for i in range(sites.shape[1]):
            site = sites[:, i, None]
            change = (values[:, i, None] - jnp.take_along_axis(x, site, axis=1)).astype(w.real.dtype)
            log_ratio = log_ratio + (change * jnp.take_along_axis(cache, site, axis=1))[:, 0]
            cache = cache + change * w[site[:, 0]]
        return log_ratio, cache


def _upper(pairs: Array, sites: int) -> Array:
    """The numbers of pairs i < j as an upper triangle."""
    rows, columns = np.triu_indices(sites, 1)
    return jnp.zeros((sites, sites), pairs.dtype).at[rows, columns].set(pairs)
