"""Restricted Boltzmann machine."""

from typing import Any

import jax.numpy as jnp
from flax import nnx

from qml._core.errors import ShapeError
from qml._core.types import Array
from qml.ansatz.layers import log_cosh, normal, parameter_dtype, sites_of


class RBM(nnx.Module):
    r"""Restricted Boltzmann machine with `alpha * sites` hidden units.

    $\log\psi(x) = \sum_i a_i x_i + \sum_j \log\cosh\bigl(b_j + \sum_i x_i W_{ij}\bigr)$.

    Args:
        space: a space, or the number of sites.
        alpha: hidden units per site, > 0.
        dtype: of the parameters; complex ones let the wave function have phases.
        std: standard deviation of the initial parameters.
        rngs: random streams of Flax.

    Raises:
        ShapeError: fewer than one hidden unit.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from qml.ansatz import RBM
        >>> RBM(4, alpha=2, dtype=complex, rngs=nnx.Rngs(0))(jnp.ones((3, 4))).shape
        (3,)

    Source: Carleo and Troyer, Science 355, 602 (2017), arXiv:1606.02318.
    """

    def __init__(
        self, space: Any, alpha: float | int = 1, dtype: Any = float, *, std: float | int = 0.01, rngs: nnx.Rngs
    ):
        sites = sites_of(space)
        hidden = round(alpha * sites)
        if hidden < 1:
            raise ShapeError(
                "An RBM has at least one hidden unit.",
                got=f"alpha={alpha} on {sites} sites",
                expected="alpha > 0",
                try_="alpha=1",
            )
        dtype = parameter_dtype(dtype, "RBM")
        self.visible_bias = nnx.Param(normal(rngs.params(), (sites,), dtype, std))
        self.hidden_bias = nnx.Param(normal(rngs.params(), (hidden,), dtype, std))
        self.kernel = nnx.Param(normal(rngs.params(), (sites, hidden), dtype, std))

    def __call__(self, x: Array) -> Array:
        a, b, w = self.visible_bias[...], self.hidden_bias[...], self.kernel[...]
        return x @ a + jnp.sum(log_cosh(x @ w + b[None, :]), axis=-1)
