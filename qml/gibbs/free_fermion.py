"""Exact thermal state of an Ising chain in a transverse field, for any number of sites."""

from typing import Any, final

import equinox as eqx
import jax.numpy as jnp

from qml import linalg
from qml._core.errors import ConfigError, ShapeError
from qml._core.precision import require_x64
from qml._core.types import Array, Float


@final
class IsingThermal(eqx.Module):
    r"""Thermal averages of $H = \sum_i J_i Z_i Z_{i+1} + \sum_i h_i X_i$ on an open chain; totals, in nats.

    Args:
        log_partition: $\log Z$.
        energy: $\langle H\rangle$.
        entropy: $S = \log Z + \beta E$.
        heat_capacity: $\beta^2(\langle H^2\rangle - E^2)$.
        zz: $\langle Z_i Z_{i+1}\rangle$ of each bond.
        x: $\langle X_i\rangle$ of each site.
    """

    log_partition: Float[Array, ""]
    energy: Float[Array, ""]
    entropy: Float[Array, ""]
    heat_capacity: Float[Array, ""]
    zz: Float[Array, " bonds"]
    x: Float[Array, " sites"]


def ising_chain(couplings: Any, fields: Any, beta: Any = 1.0) -> IsingThermal:
    r"""Exact thermal averages of $H = \sum_i J_i Z_i Z_{i+1} + \sum_i h_i X_i$ on an open chain, by free fermions.

    The one-particle energies are the singular values $\sigma_k$ of the bidiagonal matrix B of fields and couplings:
    $\log Z = \sum_k \log 2\cosh\beta\sigma_k$, and the averages are entries of $-U \tanh(\beta\sigma) V^T$.

    Args:
        couplings: $J_i$, `[sites - 1]`.
        fields: $h_i$, `[sites]`.
        beta: inverse temperature > 0.

    Raises:
        ShapeError: there is not one coupling fewer than fields, or numbers are not finite.
        ConfigError: `beta` is not positive.
        PrecisionError: JAX runs in 32-bit mode.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import ising_chain
        >>> print(ising_chain(-jnp.ones(99), -jnp.ones(100)).log_partition.round(6))
        141.219293

    Source: Pfeuty, Ann. Phys. 57, 79 (1970).
    """
    require_x64("gibbs.ising_chain")
    couplings, fields = (jnp.asarray(a, dtype=float) for a in (couplings, fields))
    finite = bool(jnp.all(jnp.isfinite(fields))) and bool(jnp.all(jnp.isfinite(couplings)))
    if not finite or couplings.ndim != 1 or fields.shape != (couplings.shape[0] + 1,):
        raise ShapeError(
            "An open chain has one coupling fewer than fields.",
            got=f"shapes {couplings.shape} and {fields.shape}",
            expected="finite numbers [sites - 1] and [sites]",
            try_="ising_chain(-jnp.ones(9), -jnp.ones(10), beta=1.0)",
        )
    if not (jnp.ndim(beta) == 0 and jnp.isfinite(beta) and beta > 0):
        raise ConfigError("There is no such inverse temperature.", got=beta, expected="beta > 0", try_="beta=1.0")
    return _ising_chain(couplings, fields, jnp.asarray(beta, dtype=float))


@linalg.jitted
def _ising_chain(couplings: Array, fields: Array, beta: Array) -> IsingThermal:
    u, levels, vt = jnp.linalg.svd(jnp.diag(fields) + jnp.diag(couplings, 1))
    size = beta * levels
    log_partition = jnp.sum(size + jnp.log1p(jnp.exp(-2 * size)))
    energy = -jnp.sum(levels * jnp.tanh(size))
    means = -(u * jnp.tanh(size)[None, :]) @ vt
    heat = jnp.sum((size * 2 * jnp.exp(-size) / (1 + jnp.exp(-2 * size))) ** 2)
    zz, x = jnp.diagonal(means, 1), jnp.diagonal(means)
    return IsingThermal(log_partition, energy, log_partition + beta * energy, heat, zz, x)
