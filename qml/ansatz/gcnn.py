"""Group-equivariant convolutional network over any finite group that permutes the sites."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from qml._core.errors import ShapeError, SymmetryError
from qml._core.types import Array
from qml.ansatz.combine import Combinable
from qml.ansatz.group_fourier import group_convolution
from qml.ansatz.layers import log_sum_exp, normal, parameter_dtype, scaled_gelu
from qml.ansatz.symmetrise import Images, check_not_empty


class GCNN(Combinable, nnx.Module):
    r"""Group-equivariant convolutional network that transforms in the irrep of its sector.

    Features live on group elements. With $(g^{-1}x)_s = x_{g(s)}$: lifting $y_g = \sum_s W_s (g^{-1}x)_s + b$,
    layers $y'_g = y_g + \sum_k V_k\,\sigma(y)_{gk} + b$, amplitudes and phases $f_g = A_g + i\phi_g$, and

    $\psi(x) = \sum_g \bar\chi_g\, \overline{\gamma_g(x)}\, e^{f_g(x)}$,

    so that $\psi(g^{-1}x) = \chi_g\,\psi(x)$ for a one-dimensional irrep, i.e. $g|\psi\rangle = \chi_g|\psi\rangle$.
    The factor in $g^{-1}|x\rangle = \gamma_g(x)\,|g^{-1}x\rangle$ holds signs of fermions and phases of twists; it is
    1 for spins on a plain lattice.

    Args:
        sector: a `symmetries.Sector`.
        layers: number of layers, the lifting one included, >= 1.
        features: features per group element, >= 1.
        phase: whether there is a phase $\phi$. Without it, and with positive characters, log psi is real.
        mode: how layers convolve: `"fft"` in the irreps of an abelian normal subgroup, such as the translations,
            `"irreps"` in those of the whole group, `"dense"` by a matrix, `"auto"` the one with the fewest operations.
            The value is the same.
        residual: whether layers add to the features, or replace them.
        head: False leaves out $A$ and $\phi$: every feature is a log amplitude,
            $\psi(x) = \sum_{gc} \bar\chi_g\, \overline{\gamma_g(x)}\, e^{y_{gc}}$, and `phase` is not used.
        activation: $\sigma$, applied to numbers one by one.
        std: scale of $A$ and $\phi$ at the start. Signs are learnt where images interfere: near 1, phases of images
            differ from the first step on; near 0, a wave function without signs stays so for long.
        dtype: of the parameters, real.
        hilbert: the space of the configurations; spins 1/2 if left out. Needed for particles and higher spins.
        rngs: random streams of Flax.

    Raises:
        ShapeError: a size is out of range, or the dtype is complex.
        ConfigError: there is no such mode.
        SymmetryError: this is no sector, or it has no representation on the space.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import qml, symmetries
        >>> sector = symmetries.Sector(symmetries.space_group(qml.lattice.Chain(4)), momentum=(0,))
        >>> GCNN = qml.ansatz.GCNN(sector, layers=2, features=2, rngs=nnx.Rngs(0))
        >>> GCNN(jnp.ones((3, 4))).shape
        (3,)

    Source: Roth and MacDonald, arXiv:2104.05085; Roth, Szabo and MacDonald, arXiv:2211.07749.
    """

    def __init__(
        self,
        sector: Any,
        *,
        layers: int = 2,
        features: int = 4,
        phase: bool = True,
        mode: str = "auto",
        residual: bool = True,
        head: bool = True,
        activation: Callable[[Array], Array] = scaled_gelu,
        std: float | int = 0.1,
        dtype: Any = float,
        hilbert: Any = None,
        rngs: nnx.Rngs,
    ):
        dtype = parameter_dtype(dtype, "GCNN")
        if layers < 1 or features < 1 or jnp.issubdtype(dtype, jnp.complexfloating):
            raise ShapeError(
                "A GCNN has real parameters, layers >= 1 and features >= 1.",
                got=f"layers={layers}, features={features}, dtype={dtype}",
                expected="a real dtype and positive sizes",
                try_="GCNN(sector, layers=2, features=4, rngs=nnx.Rngs(0))",
            )
        self.sector, self.images = sector, Images.of(sector, hilbert)
        order, sites = self.images.action.permutations.shape
        self.convolution = group_convolution(sector, features, mode)
        self.residual, self.activation = residual, activation
        self.complex_out = bool((phase and head) or not self.images.positive)
        self.lift = nnx.Param(normal(rngs.params, (features, sites), dtype, sites**-0.5))
        shape = (features, features, order)
        self.kernels = nnx.List(
            [nnx.Param(normal(rngs.params, shape, dtype, (features * order) ** -0.5)) for _ in range(layers - 1)]
        )
        self.biases = nnx.List([nnx.Param(jnp.zeros((features,), dtype)) for _ in range(layers)])
        heads = 2 if phase else 1
        self.head = nnx.Param(normal(rngs.params, (heads, features), dtype, std * features**-0.5)) if head else None

    def check_space(self, hilbert: Any) -> None:
        """Raise if the sector acts otherwise on a space than on the one this network was made for, or is empty there.

        Raises:
            SymmetryError: signs, phases or local states differ; no state of the space lies in the sector.
        """
        mine, there = self.images.action, self.sector.on(hilbert)
        plain = mine.is_trivial and there.is_trivial and not mine.reversed.any()
        if mine != there and not (plain and np.array_equal(mine.permutations, there.permutations)):
            raise SymmetryError(
                "This GCNN was made for another space.",
                got=f"{hilbert}",
                expected=f"local states {mine.local_states}{', fermions' if mine.fermionic else ''}, the same totals",
                try_="GCNN(sector, hilbert=hilbert, ...)",
            )
        check_not_empty(self.sector, self.images, hilbert)

    def __call__(self, x: Array) -> Array:
        elements = self.convolution.elements
        y = self._lifted(x, elements) + self.biases[0][...][None, :, None]
        for kernel, bias in zip(self.kernels, list(self.biases)[1:], strict=True):
            z = self.convolution(kernel[...], self.activation(y)) + bias[...][None, :, None]
            y = y + z if self.residual else z
        weights = self.images.coefficients(x, np.asarray(self.images.inverse)[elements])
        if self.head is None:
            terms = jnp.tile(weights, (1, y.shape[1]))
            return log_sum_exp(terms, y.reshape(y.shape[0], -1), self.complex_out)
        out = jnp.einsum("oc,bcg->obg", self.head[...], jax.nn.gelu(y))
        log_values = jax.lax.complex(out[0], out[1]) if out.shape[0] == 2 else out[0]
        return log_sum_exp(weights, log_values, self.complex_out)

    def _lifted(self, x: Array, elements: np.ndarray) -> Array:
        """$\\sum_s W_s (g^{-1}x)_s$ `[batch, features, g]`: a product of the configurations with the spread weights."""
        action, weights = self.images.action, self.lift[...]
        if x.shape[1] != weights.shape[1]:
            raise ShapeError(
                "This GCNN was made for another number of sites.",
                got=f"x of shape {x.shape}",
                expected=f"[batch, {weights.shape[1]}]",
                try_="the space of the sector",
            )
        spread = weights[:, action.inverse_permutations[elements]]
        turned = np.asarray(action.reversed)[elements]
        if turned.any():
            spread = jnp.where(turned[None, :, None], -spread, spread)
        lifted = jnp.einsum("bs,cgs->bcg", x, spread)
        if self.images.sums and turned.any():  # a reversed local state is the sum minus the state
            lifted = lifted + self.images.sums * jnp.sum(weights, axis=1)[None, :, None] * turned[None, None, :]
        return lifted
