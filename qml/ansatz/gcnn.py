"""Group-equivariant convolutional network over any finite group that permutes the sites."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from qml._core.errors import ShapeError, SymmetryError
from qml._core.types import Array
from qml.ansatz.combine import Combinable
from qml.ansatz.layers import log_sum_exp, normal, parameter_dtype, scaled_gelu
from qml.ansatz.symmetrise import Images


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
        dtype: of the parameters, real.
        hilbert: the space of the configurations; spins 1/2 if left out. Needed for particles and higher spins.
        rngs: random streams of Flax.

    Raises:
        ShapeError: a size is out of range, or the dtype is complex.
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
        products = np.asarray(sector.group.product_table)
        self.products = products
        self.relative = products[np.asarray(sector.group.inverse)]
        self.complex_out = bool(phase or not self.images.positive)
        self.lift = nnx.Param(normal(rngs.params(), (features, sites), dtype, sites**-0.5))
        std = (features * order) ** -0.5
        self.kernels = nnx.List(
            [nnx.Param(normal(rngs.params(), (features, features, order), dtype, std)) for _ in range(layers - 1)]
        )
        self.biases = nnx.List([nnx.Param(jnp.zeros((features,), dtype)) for _ in range(layers)])
        self.head = nnx.Param(normal(rngs.params(), (2 if phase else 1, features), dtype, 0.1 * features**-0.5))

    def check_space(self, hilbert: Any) -> None:
        """Raise if the sector acts otherwise on a space than on the one this network was made for.

        Raises:
            SymmetryError: signs, phases or local states differ.
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

    def __call__(self, x: Array) -> Array:
        moved = self.images.configurations(x, list(self.images.inverse))
        y = jnp.einsum("cs,bgs->bcg", self.lift[...], moved)
        y = y + self.biases[0][...][None, :, None]
        for kernel, bias in zip(self.kernels, list(self.biases)[1:], strict=True):
            z = group_convolution(kernel[...], scaled_gelu(y), jnp.asarray(self.relative), jnp.asarray(self.products))
            y = y + z + bias[...][None, :, None]
        out = jnp.einsum("oc,bcg->obg", self.head[...], jax.nn.gelu(y))
        log_values = jax.lax.complex(out[0], out[1]) if out.shape[0] == 2 else out[0]
        weights = self.images.coefficients(x, list(self.images.inverse))
        return log_sum_exp(weights, log_values, self.complex_out)


@jax.custom_jvp
def group_convolution(kernel: Array, y: Array, relative: Array, products: Array) -> Array:
    r"""$z_{og} = \sum_{ck} V_{ock}\,y_{c,gk}$: a matrix product with the kernel spread over pairs of group elements.

    Its derivative by the kernel instead gathers the features, which costs `order` times less memory a sample.

    Args:
        kernel: `[out, in, order]`.
        y: `[batch, in, order]`.
        relative: `relative[g, h]` is the element $g^{-1}h$.
        products: `products[g, k]` is the element $gk$.

    Returns:
        `[batch, out, order]`.
    """
    return jnp.einsum("ocgh,bch->bog", kernel[:, :, relative], y)


@group_convolution.defjvp
def _group_convolution_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    kernel, y, relative, products = primals
    kernel_dot, y_dot, _, _ = tangents
    by_kernel = jnp.einsum("ock,bcgk->bog", kernel_dot, y[:, :, products])
    by_features = jnp.einsum("ocgh,bch->bog", kernel[:, :, relative], y_dot)
    return group_convolution(kernel, y, relative, products), by_features + by_kernel
