"""Vision transformer with factored attention, on the patches of any lattice."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from qml._core.errors import ShapeError
from qml._core.types import Array, Float
from qml.ansatz.blocks import Dense, Expansion, LayerNorm, LogCoshHead, checked_dtypes, checked_sizes
from qml.ansatz.layers import normal
from qml.ansatz.patches import PatchNetwork
from qml.ansatz.tokens import Tokens


class FactoredAttention(nnx.Module):
    r"""$y_i = W_o \bigoplus_h \sum_j \alpha^h_{i-j}\, V^h x_j$: attention by the translation alone.

    With `spatial`, $\alpha^h_{i-j}$ is weighted by $e^{-\gamma_h d_{ij}} / \sum_j e^{-\gamma_h d_{ij}}$ with one
    trained decay $\gamma_h$ a head; $d$ is the distance of the tokens in units of that to the nearest one.

    Args:
        tokens: the tokens.
        features: numbers of a token.
        heads: number of heads, a divisor of `features`.
        spatial: whether weights decay with the distance.
        dtype: of the parameters.
        rngs: random streams of Flax.

    Source: Rende, Viteritti, Bardone, Becca, Goldt, arXiv:2310.05715; decay: arXiv:2602.02665.
    """

    def __init__(self, tokens: Tokens, features: int, heads: int, spatial: bool, dtype: np.dtype, rngs: nnx.Rngs):
        self.tokens, self.heads = tokens, heads
        self.value = Dense(features, features, dtype, rngs.params)
        self.out = Dense(features, features, dtype, rngs.params)
        std = 1.0 if spatial else tokens.count**-0.5
        self.weights = nnx.Param(normal(rngs.params, (heads, len(tokens.lengths)), dtype, std))
        self.decay = nnx.Param(jnp.linspace(0.0, 1.0, heads, dtype=dtype)) if spatial else None

    def table(self) -> Float[Array, "heads tokens tokens"]:
        r"""The weights $\alpha^h_{ij}$."""
        table = self.weights[...][:, self.tokens.differences]
        if self.decay is None:
            return table
        lengths = jnp.asarray(self.tokens.lengths[self.tokens.differences], table.dtype)
        log_share = -self.decay[...][:, None, None] * lengths[None]
        share = jnp.exp(log_share - jnp.max(log_share, axis=2, keepdims=True))
        return table * share / jnp.sum(share, axis=2, keepdims=True)

    def __call__(self, y: Float[Array, "batch tokens features"]) -> Float[Array, "batch tokens features"]:
        value = self.value(y)
        split = value.reshape(*value.shape[:2], self.heads, -1)
        return self.out(jnp.einsum("hij,bjhe->bihe", self.table(), split).reshape(value.shape))


class ViT(PatchNetwork):
    r"""Vision transformer: patches of the lattice as tokens, blocks of factored attention and of an MLP.

    $y_i = W_e x_{(i)} + b_e$ on patch $i$; in each block $y \leftarrow y + \mathrm{Attention}(\mathrm{LN}\,y)$,
    $y \leftarrow y + \mathrm{MLP}(\mathrm{LN}\,y)$ with a GELU; then
    $\log\psi = \sum_a \log\cosh(b_a + W_a \cdot z)$ with $z = \mathrm{LN} \sum_i y_i$.

    The amplitude does not change under translations by whole patches along periodic axes. `Symmetrised` over a space
    group adds the translations inside a patch and the point group, and does the work of their cosets only.

    Args:
        lattice: a `qml.lattice.Lattice` of 1 to 3 dimensions, straight or tilted, with any basis.
        patch: cells of a patch along every axis, an int or one for each, that divide the extent; or a whole matrix
            whose rows are the vectors from patch to patch in units of the primitive ones (tilted clusters).
        layers: number of blocks, >= 1.
        features: numbers of a token, >= 1.
        heads: heads of the attention, a divisor of `features`.
        expansion: hidden width of the MLP over `features`, >= 1.
        spatial: weights of the attention decay with the distance, with one trained rate a head.
        phase: complex log psi; without it the wave function is positive.
        dtype: of the blocks, real. `jnp.float32` halves time and memory.
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
        >>> square = qml.lattice.Square(4, 4)
        >>> model = qml.ansatz.ViT(square, patch=2, layers=1, features=8, heads=2, rngs=nnx.Rngs(0))
        >>> model(jnp.ones((3, 16))).dtype
        dtype('complex128')

    Source: Viteritti, Rende, Becca, arXiv:2211.05504; Rende et al., arXiv:2310.05715; decay: arXiv:2602.02665.
    """

    def __init__(
        self,
        lattice: Any,
        *,
        patch: Any = 2,
        layers: int = 4,
        features: int = 32,
        heads: int = 8,
        expansion: int = 4,
        spatial: bool = False,
        phase: bool = True,
        dtype: Any = float,
        head_dtype: Any = None,
        hilbert: Any = None,
        rngs: nnx.Rngs,
    ):
        trunk, head = checked_dtypes(dtype, head_dtype, "ViT")
        checked_sizes("ViT", layers=layers, features=features, heads=heads, expansion=expansion)
        if features % heads:
            raise ShapeError(
                "Each head takes an equal share of the features.",
                got=f"features={features}, heads={heads}",
                expected="heads that divide the features",
                try_=f"features={heads * max(1, round(features / heads))}, heads={heads}",
            )
        self.tokens = Tokens.of(lattice, patch, hilbert)
        self.embed = Dense(self.tokens.channels, features, trunk, rngs.params)
        self.blocks = nnx.List(
            [_Block(self.tokens, features, heads, expansion, spatial, trunk, rngs) for _ in range(layers)]
        )
        self.head = LogCoshHead(features, phase, head, rngs)


class _Block(nnx.Module):
    """Attention and MLP, each behind a layer norm and beside a shortcut."""

    def __init__(
        self,
        tokens: Tokens,
        features: int,
        heads: int,
        expansion: int,
        spatial: bool,
        dtype: np.dtype,
        rngs: nnx.Rngs,
    ):
        self.before_attention = LayerNorm(features, dtype)
        self.attention = FactoredAttention(tokens, features, heads, spatial, dtype, rngs)
        self.before_mlp = LayerNorm(features, dtype)
        self.mlp = Expansion(features, expansion * features, dtype, rngs)

    def __call__(self, y: Array) -> Array:
        y = y + self.attention(self.before_attention(y))
        return y + self.mlp(self.before_mlp(y))
