r"""A step of the parameters that is only tried: its length, and the energy after it from the samples before it.

For a change $d$ the Fubini-Study length is $\ell^2 = \langle|O d - \langle O d\rangle|^2\rangle$, and the energy at
$\theta + d$ is estimated on the *same* samples with weights $w' \propto w\,|\psi'/\psi|^2$, so that what is compared
hardly has noise. `drivers.Trust` judges steps by both.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from qml._core.compile import as_one
from qml._core.types import Array, Float, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.metric import turn
from qml.estimate.samples import Samples


class Trial(eqx.Module):
    """What a change does to the energy by reweighting: its change, the error of it, the share of effective samples.

    Besides, the energy before it.
    """

    change: Float[Array, ""]
    error: Float[Array, ""]
    effective: Float[Array, ""]
    before: Float[Array, ""]


def reweigh(samples: Samples, log_psi: Any, local: Any, moved_local: Any, tau: Any = 0.5) -> Trial:
    r"""The change of the energy from samples of the old state, with weights $\propto w\,|\psi'/\psi|^2$.

    Args:
        samples: of the old state.
        log_psi: of the new state, at the samples.
        local: local energies of the old state.
        moved_local: local energies of the new state (with the new log psi, not that of the samples).
        tau: autocorrelation time of the local energies, in sweeps; 0.5 for independent samples.

    Returns:
        The change, its standard error $\sqrt{2\tau \sum_s w_s^2 f_s^2}$ from the influence $f_s$ of each sample (delta
        method; zero for a full sum), and the effective samples $1/\sum_s w'^2_s$ relative to those of the old weights.
    """
    log_ratio = 2 * (jnp.asarray(log_psi) - samples.log_psi).real
    ratio = jnp.exp(log_ratio - jnp.max(log_ratio))
    old, new = jnp.asarray(local).real, jnp.asarray(moved_local).real
    size, before, after, change, effective = _reweighed(jnp.stack(samples.means(ratio, ratio**2, old, ratio * new)))
    influence = ratio / size * (new - after) - (old - before)
    square_sum = jnp.sum((samples.weights * influence) ** 2)
    error = jnp.zeros_like(after) if samples.chains is None else jnp.sqrt(2 * tau * square_sum)
    return Trial(change, error, effective, before)


@as_one
def _reweighed(means: Array) -> tuple[Array, ...]:
    """Of the means of ratio, its square, old energy, and ratio times new energy: what a trial is made of."""
    size, square, before, after = means
    after = after / size
    return size, before, after, after - before, size**2 / square


def fubini_study(
    ansatz: Ansatz, params: Params, samples: Samples, change: Params, *, chunk: int | None = None
) -> Float[Array, ""]:
    r"""Length $\sqrt{\langle|O d - \langle O d\rangle|^2\rangle} = \sqrt{d^T S d}$ of a change of the parameters.

    Args:
        ansatz: the wave function.
        params: its parameters.
        samples: weighted configurations.
        change: a tree like `params`.
        chunk: rows held at once; `None` plans.
    """
    moved = turn(ansatz, params, samples.x, change, chunk)
    return jnp.sqrt(samples.mean(jnp.abs(moved - samples.mean(moved)) ** 2))


def shortening(length: Any, longest: Any) -> Array:
    """The factor of a change that makes its Fubini-Study length no longer than `longest`; 0.1 to 0.3 is usual."""
    return jnp.where(length > longest, longest / jnp.where(length > 0, length, 1.0), 1.0)
