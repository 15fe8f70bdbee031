"""Building blocks of deep networks on tokens: dense maps, layer norm, and the head that makes log psi of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from qml._core.errors import ShapeError
from qml._core.precision import real_dtype
from qml._core.types import Array, Float
from qml.ansatz.layers import log_cosh, normal, parameter_dtype


class Dense(nnx.Module):
    """A linear map of the last axis, with a bias.

    Args:
        width: numbers that come in.
        features: numbers that go out.
        std: standard deviation of the initial weights; `None` is that of Glorot, $\\sqrt{2/(in + out)}$.
        dtype: of the parameters and of the result.
        key: random key, or a stream of them.
    """

    def __init__(
        self, width: int, features: int, dtype: np.dtype, key: Array | nnx.RngStream, std: float | None = None
    ):
        spread = float((2 / (width + features)) ** 0.5) if std is None else std
        self.kernel = nnx.Param(normal(key, (width, features), dtype, spread))
        self.bias = nnx.Param(jnp.zeros((features,), dtype))

    def __call__(self, y: Array) -> Array:
        bias = self.bias[...]
        return y @ self.kernel[...] + bias.reshape((1,) * (y.ndim - 1) + bias.shape)

    def moved(self, y: Array, changed: Array, windows: Any) -> tuple[Array, int]:
        """Of new features of tokens, the result for those that changed, and the depth of their window: none."""
        return self(y[jnp.arange(len(changed))[:, None], changed]), 0


class LayerNorm(nnx.Module):
    """Mean zero and variance one over the last axis, then a trained scale and shift.

    Args:
        features: length of the axis.
        dtype: of the parameters.

    Source: Ba, Kiros, Hinton, arXiv:1607.06450.
    """

    def __init__(self, features: int, dtype: np.dtype):
        self.scale = nnx.Param(jnp.ones((features,), dtype))
        self.shift = nnx.Param(jnp.zeros((features,), dtype))

    def __call__(self, y: Array) -> Array:
        lead = (1,) * (y.ndim - 1) + (-1,)
        centred = y - jnp.mean(y, axis=-1, keepdims=True)
        size = jax.lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + 1e-6)
        return centred * size * self.scale[...].reshape(lead) + self.shift[...].reshape(lead)


class Expansion(nnx.Module):
    """Two dense maps with a GELU between them: the part of a block that acts on each token by itself.

    Args:
        features: numbers of a token.
        hidden: numbers between the maps.
        dtype: of the parameters.
        rngs: random streams of Flax.
    """

    def __init__(self, features: int, hidden: int, dtype: np.dtype, rngs: nnx.Rngs):
        self.up = Dense(features, hidden, dtype, rngs.params)
        self.down = Dense(hidden, features, dtype, rngs.params)

    def __call__(self, y: Array) -> Array:
        return self.down(jax.nn.gelu(self.up(y)))


class LogCoshHead(nnx.Module):
    r"""$\log\psi = \sum_a \log\cosh(b_a + W_a \cdot z)$ of the real features $z$, the layer-normed sum over all tokens.

    With complex $b$ and $W$ (pairs of real numbers) the amplitude has zeros and signs: where one factor vanishes
    $\log\psi = -\infty$, and a change of sign is a jump of the phase by $\pi$.

    Args:
        features: numbers of a token.
        phase: complex weights; without them log psi is real and the wave function positive.
        dtype: of the parameters and of the sums.
        rngs: random streams of Flax.

    Source: Viteritti, Rende, Becca, Phys. Rev. Lett. 130, 236401 (2023), arXiv:2211.05504.
    """

    def __init__(self, features: int, phase: bool, dtype: np.dtype, rngs: nnx.Rngs):
        self.norm = LayerNorm(features, dtype)
        std = 0.5 * features**-0.5  # log psi then differs by about one between configurations
        self.amplitude = Dense(features, features, dtype, rngs.params, std)
        self.phase = Dense(features, features, dtype, rngs.params, std) if phase else None

    def __call__(self, y: Float[Array, "batch tokens features"]) -> Array:
        z = self.norm(jnp.sum(y, axis=1, dtype=self.amplitude.bias.dtype))
        units = self.amplitude(z)
        if self.phase is not None:
            units = jax.lax.complex(units, self.phase(z))
        return jnp.sum(log_cosh(units), axis=-1)


def checked_dtypes(dtype: Any, head_dtype: Any, what: str) -> tuple[np.dtype, np.dtype]:
    """Real dtypes of the trunk and of the head; the head is in the widest numbers JAX holds if it is left out.

    Raises:
        ShapeError: a dtype is complex.
        PrecisionError: a 64-bit dtype in 32-bit mode.
    """
    found = parameter_dtype(dtype, what), parameter_dtype(real_dtype() if head_dtype is None else head_dtype, what)
    if any(jnp.issubdtype(one, jnp.complexfloating) for one in found):
        raise ShapeError(
            f"The parameters of {what} are real; a complex log psi is made by its head.",
            got=f"dtype={found[0]}, head_dtype={found[1]}",
            expected="real dtypes",
            try_="phase=True",
        )
    return found


def checked_sizes(what: str, **sizes: Any) -> None:
    """Raise unless all sizes are positive whole numbers.

    Raises:
        ShapeError: one is not.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ShapeError(
                f"{name} of {what} is a positive whole number.",
                got=repr(size),
                expected="an int >= 1",
                try_=f"{name}=2",
            )
