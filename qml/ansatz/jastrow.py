"""Two-body Jastrow factor."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from qml._core.types import Array
from qml.ansatz.layers import normal, parameter_dtype, sites_of


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
        sites = x.shape[-1]
        rows, columns = np.triu_indices(sites, 1)
        w = jnp.zeros((sites, sites), self.pairs[...].dtype).at[rows, columns].set(self.pairs[...])
        return x @ self.field[...] + jnp.sum((x @ w) * x, axis=-1)
