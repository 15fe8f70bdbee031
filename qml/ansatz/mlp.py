"""A deep network without symmetry: a residual multi-layer perceptron with an amplitude and a phase."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from qml._core.errors import ShapeError
from qml._core.types import Array
from qml.ansatz.combine import Combinable
from qml.ansatz.layers import parameter_dtype, scaled_gelu, sites_of


class MLP(Combinable, nnx.Module):
    r"""Residual multi-layer perceptron with real parameters, $\log\psi = A(x) + i\,\phi(x)$.

    $y_0 = W_0 x + b_0$, $y_{l+1} = y_l + W_l\,g(y_l) + b_l$ with $g$ = gelu; $A$ and $\phi$ are linear in $g(y)$.

    Args:
        space: a space, or the number of sites.
        layers: number of residual layers, >= 0.
        features: width, >= 1.
        phase: whether there is a phase; without it log psi is real and the wave function positive.
        dtype: of the parameters, real.
        rngs: random streams of Flax.

    Raises:
        ShapeError: a size is out of range, or the dtype is complex.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from qml.ansatz import MLP
        >>> MLP(4, layers=1, features=8, rngs=nnx.Rngs(0))(jnp.ones((3, 4))).dtype
        dtype('complex128')

    Source: He et al., arXiv:1603.05027, for the residual form.
    """

    def __init__(
        self,
        space: Any,
        layers: int = 2,
        features: int = 32,
        *,
        phase: bool = True,
        dtype: Any = float,
        rngs: nnx.Rngs,
    ):
        dtype = parameter_dtype(dtype, "MLP")
        if layers < 0 or features < 1 or jnp.issubdtype(dtype, jnp.complexfloating):
            raise ShapeError(
                "An MLP has real parameters, layers >= 0 and features >= 1.",
                got=f"layers={layers}, features={features}, dtype={dtype}",
                expected="a real dtype and positive sizes",
                try_="MLP(hilbert, layers=2, features=32, rngs=nnx.Rngs(0))",
            )
        self.embed = nnx.Linear(sites_of(space), features, param_dtype=dtype, rngs=rngs)
        self.hidden = nnx.List([nnx.Linear(features, features, param_dtype=dtype, rngs=rngs) for _ in range(layers)])
        self.head = nnx.Linear(features, 2 if phase else 1, param_dtype=dtype, use_bias=False, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        y = self.embed(x)
        for layer in self.hidden:
            y = y + layer(scaled_gelu(y))
        out = self.head(jax.nn.gelu(y))
        return jax.lax.complex(out[:, 0], out[:, 1]) if out.shape[1] == 2 else out[:, 0]
