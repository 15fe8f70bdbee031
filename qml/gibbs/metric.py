"""Solving with information metrics: directions the data cannot see are left alone and reported, never divided by."""

import jax.numpy as jnp

from qml import linalg
from qml._core.types import Array, Float

_CUTOFF = 1e-13


def modes_of(metric: Array, damping: float | Array) -> tuple[Array, Array, Array, Array]:
    """Scaled eigenmodes: (scale, levels plus damping, vectors, which levels are seen)."""
    diagonal = jnp.diagonal(metric)
    scale = jnp.where(diagonal > 0, 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0)), 0.0)
    levels, vectors = jnp.linalg.eigh(metric * (scale[:, None] * scale[None, :]))
    return scale, levels + damping, vectors, levels > _CUTOFF * levels[-1]


@linalg.jitted
def natural(
    metric: Float[Array, "terms terms"], gradient: Float[Array, " terms"], damping: float | Array = 0.0
) -> Float[Array, " terms"]:
    r"""The natural gradient $x = D(D M D + \lambda)^{-1} D g$ with $D = \mathrm{diag}(M)^{-1/2}$.

    Modes of $DMD$ below $10^{-13}$ of the largest are left out: they carry no information.

    Args:
        metric: positive semidefinite.
        gradient: right side.
        damping: $\lambda \ge 0$, relative to a unit diagonal.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs.metric import natural
        >>> print(natural(jnp.diag(jnp.array([2.0, 0.0])), jnp.array([1.0, 0.0])))
        [0.5 0. ]
    """
    scale, levels, vectors, seen = modes_of(metric, damping)
    inner = jnp.where(seen, (vectors.T @ (scale * gradient)) / jnp.where(seen, levels, 1.0), 0.0)
    return scale * (vectors @ inner)


@linalg.jitted
def inverse(metric: Float[Array, "terms terms"]) -> Float[Array, "terms terms"]:
    """Inverse of an information matrix, a covariance; infinite variance for parameters with a part in an unseen mode.

    Args:
        metric: positive semidefinite.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs.metric import inverse
        >>> print(inverse(jnp.diag(jnp.array([4.0, 0.0]))))
        [[0.25 0.  ]
         [0.    inf]]
    """
    scale, levels, vectors, seen = modes_of(metric, 0.0)
    scaled = scale[:, None] * vectors
    covariance = (scaled * jnp.where(seen, 1 / jnp.where(seen, levels, 1.0), 0.0)[None, :]) @ scaled.T
    unseen = (jnp.sum(jnp.where(seen, 0.0, vectors**2), axis=1) > 1e-6) | (scale == 0)
    blind = unseen[:, None] | unseen[None, :]
    return jnp.where(blind, jnp.where(jnp.eye(len(unseen), dtype=bool), jnp.inf, 0.0), covariance)


def root_of_inverse(metric: Float[Array, "terms terms"]) -> Float[Array, "terms terms"]:
    r"""W with $W W^T = M^{-1}$ on the directions that M sees, zero on all others.

    Args:
        metric: positive semidefinite.
    """
    scale, levels, vectors, seen = modes_of(metric, 0.0)
    return scale[:, None] * vectors * jnp.where(seen, 1 / jnp.sqrt(jnp.where(seen, levels, 1.0)), 0.0)[None, :]
