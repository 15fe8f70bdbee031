"""Deep convolutional networks on the patches of any lattice: a residual network, and one in the manner of ConvNeXt."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from qml._core.types import Array, Float
from qml.ansatz.blocks import Dense, Expansion, LayerNorm, LogCoshHead, checked_dtypes, checked_sizes
from qml.ansatz.layers import normal
from qml.ansatz.patches import PatchNetwork
from qml.ansatz.tokens import Tokens
from qml.ansatz.updates import LocalUpdate
from qml.ansatz.window_updates import Windows, WindowUpdate, at, padded


class Convolution(nnx.Module):
    r"""$z_i = b + \sum_\delta W_\delta\, y_{i+\delta}$ over a box $\delta$ of neighbours; zero beyond open boundaries.

    Args:
        tokens: the tokens.
        kernel: length of the box along every axis, an odd int or one for each.
        width: numbers of a token that come in.
        features: numbers that go out.
        dtype: of the parameters.
        rngs: random streams of Flax.
    """

    def __init__(self, tokens: Tokens, kernel: Any, width: int, features: int, dtype: np.dtype, rngs: nnx.Rngs):
        self.tokens, self.box = tokens, kernel
        size = tokens.neighbours(kernel).shape[1]
        self.kernel = nnx.Param(normal(rngs.params, (size, width, features), dtype, (size * width) ** -0.5))
        self.bias = nnx.Param(jnp.zeros((features,), dtype))

    def __call__(self, y: Float[Array, "batch tokens width"]) -> Float[Array, "batch tokens features"]:
        return self.mixed(_near(self.tokens, self.box, y))

    def mixed(self, near: Float[Array, "batch tokens box width"]) -> Float[Array, "batch tokens features"]:
        """The sum over the box of some tokens."""
        kernel, flat = self.kernel[...], near.reshape(*near.shape[:2], -1)
        return flat @ kernel.reshape(-1, kernel.shape[2]) + self.bias[...][None, None, :]

    def moved(self, y: Array, changed: Array, windows: Windows) -> tuple[Array, int]:
        """Of new features, the result in the window that changed tokens reach, and its depth."""
        return self.mixed(windows.seen(y, windows.after(changed, 1))), 1


class DepthwiseConvolution(nnx.Module):
    r"""$z_{ic} = b_c + \sum_\delta w_{\delta c}\, y_{i+\delta,c}$: every feature by itself.

    Args:
        tokens: the tokens.
        kernel: length of the box along every axis, an odd int or one for each.
        features: numbers of a token.
        dtype: of the parameters.
        rngs: random streams of Flax.
    """

    def __init__(self, tokens: Tokens, kernel: Any, features: int, dtype: np.dtype, rngs: nnx.Rngs):
        self.tokens, self.box = tokens, kernel
        size = tokens.neighbours(kernel).shape[1]
        self.kernel = nnx.Param(normal(rngs.params, (size, features), dtype, size**-0.5))
        self.bias = nnx.Param(jnp.zeros((features,), dtype))

    def __call__(self, y: Float[Array, "batch tokens features"]) -> Float[Array, "batch tokens features"]:
        kernel, table = self.kernel[...], self.tokens.neighbours(self.box)
        padded = _padded(self.tokens, table, y)
        total = jnp.broadcast_to(self.bias[...][None, None, :], y.shape)
        for k in range(table.shape[1]):
            total = total + padded[:, table[:, k]] * kernel[k][None, None, :]
        return total

    def mixed(self, near: Float[Array, "batch tokens box features"]) -> Float[Array, "batch tokens features"]:
        """The sum over the box of some tokens."""
        return jnp.sum(near * self.kernel[...][None, None], axis=2) + self.bias[...][None, None, :]


def _hashable(kernel: Any) -> Any:
    return kernel if isinstance(kernel, int) else tuple(kernel)


def _near(tokens: Tokens, box: Any, y: Array) -> Array:
    """Features of all tokens in the box about each, `[batch, tokens, box, width]`."""
    table = tokens.neighbours(box)
    return _padded(tokens, table, y)[:, table]


def _padded(tokens: Tokens, table: np.ndarray, y: Array) -> Array:
    """The features, with a row of zeros at the end where the box crosses an open boundary."""
    return jnp.pad(y, ((0, 0), (0, 1), (0, 0))) if (table == tokens.count).any() else y


class ResConv(PatchNetwork):
    r"""Deep residual convolutional network on the cells, or patches, of any lattice.

    $y = K_e * x$; in each block $y \leftarrow y + K_2 * g(K_1 * \mathrm{LN}\,y)$ with $g$ = GELU; then
    $\log\psi = \sum_a \log\cosh(b_a + W_a \cdot z)$ with $z = \mathrm{LN} \sum_i y_i$.

    The amplitude does not change under translations by whole patches along periodic axes.

    Args:
        lattice: a `qml.lattice.Lattice` of 1 to 3 dimensions, straight or tilted, with any basis.
        layers: number of blocks of two convolutions, >= 1.
        features: numbers of a token, >= 1.
        kernel: length of the box of a convolution along every axis, an odd int or one for each, in tokens.
        patch: cells of a token along every axis, see `ViT`.
        phase: complex log psi; without it the wave function is positive.
        dtype: of the blocks, real.
        head_dtype: of the head and of log psi; the widest real numbers JAX holds if left out.
        hilbert: the space; spins 1/2 on the sites if left out.
        rngs: random streams of Flax.

    Raises:
        ShapeError: a size is out of range, a dtype is complex, or patches do not tile the lattice.
        SpaceError: the space is not one of this lattice.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import qml
        >>> kagome = qml.lattice.Kagome(2, 2)
        >>> qml.ansatz.ResConv(kagome, layers=1, features=4, rngs=nnx.Rngs(0))(jnp.ones((3, 12))).shape
        (3,)

    Source: He et al., arXiv:1603.05027; for quantum states Chen and Heyl, arXiv:2302.01941.
    """

    def __init__(
        self,
        lattice: Any,
        *,
        layers: int = 4,
        features: int = 16,
        kernel: Any = 3,
        patch: Any = 1,
        phase: bool = True,
        dtype: Any = float,
        head_dtype: Any = None,
        hilbert: Any = None,
        rngs: nnx.Rngs,
    ):
        trunk, head = checked_dtypes(dtype, head_dtype, "ResConv")
        checked_sizes("ResConv", layers=layers, features=features)
        tokens = self.tokens = Tokens.of(lattice, patch, hilbert)
        self.embed = Convolution(tokens, kernel, tokens.channels, features, trunk, rngs)
        self.blocks = nnx.List([_ResidualBlock(tokens, kernel, features, trunk, rngs) for _ in range(layers)])
        self.head = LogCoshHead(features, phase, head, rngs)

    def local_update(self, hilbert: Any) -> LocalUpdate | None:
        """Windows about the sites that change, where they are small beside the lattice."""
        layers = len(self.blocks)
        return WindowUpdate.of(self, _hashable(self.embed.box), 1 + 2 * layers, 1 + 3 * layers)


class ConvNeXt(PatchNetwork):
    r"""Convolutional network in the manner of ConvNeXt, on the cells, or patches, of any lattice.

    $y_i = W_e x_{(i)} + b_e$ on patch $i$; in each block $y \leftarrow y + \mathrm{MLP}(\mathrm{LN}(k * y))$ with a
    depthwise convolution $k$, every feature by itself, and an MLP with a GELU on each token; then the head of `ViT`. It
    is a `ViT` whose attention reaches as far as the kernel.

    The amplitude does not change under translations by whole patches along periodic axes.

    Args:
        lattice: a `qml.lattice.Lattice` of 1 to 3 dimensions, straight or tilted, with any basis.
        patch: cells of a token along every axis, see `ViT`.
        layers: number of blocks, >= 1.
        features: numbers of a token, >= 1.
        kernel: length of the box of a convolution along every axis, an odd int or one for each, in tokens.
        expansion: hidden width of the MLP over `features`, >= 1.
        phase: complex log psi; without it the wave function is positive.
        dtype: of the blocks, real.
        head_dtype: of the head and of log psi; the widest real numbers JAX holds if left out.
        hilbert: the space; spins 1/2 on the sites if left out.
        rngs: random streams of Flax.

    Raises:
        ShapeError: a size is out of range, a dtype is complex, or patches do not tile the lattice.
        SpaceError: the space is not one of this lattice.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import qml
        >>> chain = qml.lattice.Chain(6)
        >>> qml.ansatz.ConvNeXt(chain, patch=2, layers=1, features=4, rngs=nnx.Rngs(0))(jnp.ones((3, 6))).shape
        (3,)

    Source: Liu et al., arXiv:2201.03545; for quantum states arXiv:2503.10462 and arXiv:2505.03466.
    """

    def __init__(
        self,
        lattice: Any,
        *,
        patch: Any = 2,
        layers: int = 4,
        features: int = 32,
        kernel: Any = 3,
        expansion: int = 4,
        phase: bool = True,
        dtype: Any = float,
        head_dtype: Any = None,
        hilbert: Any = None,
        rngs: nnx.Rngs,
    ):
        trunk, head = checked_dtypes(dtype, head_dtype, "ConvNeXt")
        checked_sizes("ConvNeXt", layers=layers, features=features, expansion=expansion)
        tokens = self.tokens = Tokens.of(lattice, patch, hilbert)
        self.embed = Dense(tokens.channels, features, trunk, rngs.params)
        self.blocks = nnx.List(
            [_ConvNeXtBlock(tokens, kernel, features, expansion, trunk, rngs) for _ in range(layers)]
        )
        self.head = LogCoshHead(features, phase, head, rngs)
        self.box = _hashable(kernel)

    def local_update(self, hilbert: Any) -> LocalUpdate | None:
        """Windows about the sites that change, where they are small beside the lattice."""
        layers = len(self.blocks)
        return WindowUpdate.of(self, self.box, layers, 1 + layers)


class _ResidualBlock(nnx.Module):
    """Two convolutions behind a layer norm, beside a shortcut."""

    def __init__(self, tokens: Tokens, kernel: Any, features: int, dtype: np.dtype, rngs: nnx.Rngs):
        self.norm = LayerNorm(features, dtype)
        self.first = Convolution(tokens, kernel, features, features, dtype, rngs)
        self.second = Convolution(tokens, kernel, features, features, dtype, rngs)

    def __call__(self, y: Array) -> Array:
        return self.kept(y)[1]

    def kept(self, y: Array) -> tuple[tuple[Array, ...], Array]:
        """What local updates keep, and the result."""
        u = self.norm(y)
        g = jax.nn.gelu(self.first(u))
        return (padded(y), padded(u), padded(g)), y + self.second(g)

    def moved(self, before: tuple, y: Array, changed: Array, depth: int, windows: Windows) -> tuple[tuple, Array, int]:
        """The same after `y` has changed in the window of that depth: what is kept, and the result in its window."""
        first, second, third = (windows.after(changed, depth + k) for k in range(3))
        whole, u, g = before
        whole, u = windows.put(whole, first, y), windows.put(u, first, self.norm(y))
        g = windows.put(g, second, jax.nn.gelu(self.first.mixed(windows.seen(u, second))))
        return (whole, u, g), at(whole, third) + self.second.mixed(windows.seen(g, third)), depth + 2


class _ConvNeXtBlock(nnx.Module):
    """A depthwise convolution, a layer norm and an MLP, beside a shortcut."""

    def __init__(self, tokens: Tokens, kernel: Any, features: int, expansion: int, dtype: np.dtype, rngs: nnx.Rngs):
        self.mix = DepthwiseConvolution(tokens, kernel, features, dtype, rngs)
        self.norm = LayerNorm(features, dtype)
        self.mlp = Expansion(features, expansion * features, dtype, rngs)

    def __call__(self, y: Array) -> Array:
        return self.kept(y)[1]

    def kept(self, y: Array) -> tuple[tuple[Array, ...], Array]:
        """What local updates keep, and the result."""
        return (padded(y),), y + self.mlp(self.norm(self.mix(y)))

    def moved(self, before: tuple, y: Array, changed: Array, depth: int, windows: Windows) -> tuple[tuple, Array, int]:
        """The same after `y` has changed in the window of that depth: what is kept, and the result in its window."""
        whole, window = windows.put(before[0], windows.after(changed, depth), y), windows.after(changed, depth + 1)
        mixed = self.mlp(self.norm(self.mix.mixed(windows.seen(whole, window))))
        return (whole,), at(whole, window) + mixed, depth + 1
