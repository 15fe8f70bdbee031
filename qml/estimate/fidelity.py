"""Overlap of two states from samples of both, with a control variate whose mean is known."""

from typing import Any

import jax
import jax.numpy as jnp

from qml._core.errors import ShapeError
from qml._core.types import Array, Inexact
from qml.estimate.covariance import combine, influence
from qml.estimate.samples import Samples
from qml.estimate.stats import Stats


def infidelity(first: Samples, log_second: Any, second: Samples, log_first: Any, *, control: bool = True) -> Stats:
    r"""Infidelity of two states, $1 - |\langle\psi|\phi\rangle|^2 / \langle\psi|\psi\rangle\langle\phi|\phi\rangle$.

    The fidelity is $\mathrm{Re}\, a b$ with $a = \langle\phi/\psi\rangle_\psi$, $b = \langle\psi/\phi\rangle_\phi$:
    each sample of one state meets each of the other. The control variate is
    $g = \alpha\beta - p q$ with $\alpha = \langle|\phi/\psi|^2\rangle_\psi$, $\beta = \langle|\psi/\phi|^2\rangle_\phi$
    and the shares p, q of samples of one state on which the other one does not vanish; $g = 0$ for exact means, also
    where the states have different zeros. It is subtracted with the coefficient of least variance, measured on the same
    samples: near 1/2 for close states, where it takes away the leading fluctuation, and near 0 for unlike ones.

    Args:
        first: samples of $\psi$.
        log_second: log of $\phi$ at them, `[samples]`; $-\infty$ where it vanishes.
        second: samples of $\phi$, independent of the first.
        log_first: log of $\psi$ at them.
        control: use the control variate.

    Returns:
        With its error; the estimate may be slightly negative within it.

    Raises:
        ShapeError: there is not one logarithm for each sample.

    Example:
        >>> import jax.numpy as jnp
        >>> import qml
        >>> space = qml.hilbert.Spin(2)
        >>> up, plus = (qml.FullSumState((a * jnp.ones(2), lambda p, x: x @ p), space) for a in (30.0, 0.0))
        >>> print(up.infidelity(plus))
        0.75

    Source: Sinibaldi et al., Quantum 7, 1131 (2023) (the control variate for pairs of samples).
    """
    values = _ratios(first, log_second, second, log_first)

    def both(m: dict, n: dict) -> dict:
        return {"f": (m["r"] * n["r"]).real, "g": m["square"] * n["square"] - m["share"] * n["share"]}

    coefficient = jnp.zeros(())
    if control:
        _, changes = influence(both, *values)
        spread = [jnp.sum(s.weights**2) if s.chains is not None else jnp.zeros(()) for s, _ in values]
        above = sum(w * s.mean(z["f"] * z["g"]) for w, (s, _), z in zip(spread, values, changes, strict=True))
        below = sum(w * s.mean(z["g"] ** 2) for w, (s, _), z in zip(spread, values, changes, strict=True))
        coefficient = jnp.where(below > 0, above / jnp.where(below > 0, below, 1.0), 0.0)

    def one(m: dict, n: dict) -> Array:
        parts = both(m, n)
        return 1 - parts["f"] + coefficient * parts["g"]

    return combine(one, *values)


def overlap(first: Samples, log_second: Any, second: Samples, log_first: Any) -> Stats:
    r"""Overlap $\langle\psi|\phi\rangle / \|\psi\|\|\phi\|$ of two states, with its phase.

    $a\,|b|^{1/2} / |a|^{1/2}$ with a, b as for `infidelity`; the error is that of the complex number.

    Args:
        first: samples of $\psi$.
        log_second: log of $\phi$ at them.
        second: samples of $\phi$, independent of the first.
        log_first: log of $\psi$ at them.

    Raises:
        ShapeError: there is not one logarithm for each sample.

    Example:
        >>> import jax.numpy as jnp
        >>> import qml
        >>> space = qml.hilbert.Spin(2)
        >>> up, plus = (qml.FullSumState((a * jnp.ones(2), lambda p, x: x @ p), space) for a in (30.0, 0.0))
        >>> print(up.overlap(plus))
        0.5
    """
    values = _ratios(first, log_second, second, log_first)
    return combine(lambda m, n: m["r"] * jnp.sqrt(jnp.abs(n["r"]) / jnp.abs(m["r"])), *values)


def _ratios(first: Samples, log_second: Any, second: Samples, log_first: Any) -> list[tuple[Samples, dict]]:
    """Ratios of the amplitudes at the samples of both, scaled so that neither overflows where the product does not."""
    logs = [jnp.asarray(log_second), jnp.asarray(log_first)]
    for samples, log in zip((first, second), logs, strict=True):
        if log.shape != samples.log_psi.shape:
            raise ShapeError(
                "The other state is evaluated at each sample.",
                got=f"shape {log.shape}",
                expected=f"{samples.log_psi.shape}",
                try_="other.log_psi(samples.x)",
            )
    known = [jnp.isfinite(s.log_psi.real) for s in (first, second)]  # in a full sum zeros have no weight
    logs = [jnp.where(k, log, -jnp.inf) for k, log in zip(known, logs, strict=True)]
    owns = [jnp.where(k, s.log_psi, 0) for k, s in zip(known, (first, second), strict=True)]
    differences = [log - own for log, own in zip(logs, owns, strict=True)]
    finite = jnp.isfinite(differences[0].real)
    scale = jnp.max(jnp.where(finite, differences[0].real, -jnp.inf))
    scale = jax.lax.stop_gradient(jnp.where(jnp.isfinite(scale), scale, 0.0))
    found = []
    for samples, difference, sign in zip((first, second), differences, (-1, 1), strict=True):
        ratio = _exp(difference + sign * scale)
        found.append((samples, {"r": ratio, "square": jnp.abs(ratio) ** 2, "share": (ratio != 0) * 1.0}))
    return found


def _exp(log: Array) -> Inexact[Array, " samples"]:
    """The exponential, zero at minus infinity whatever the phase there."""
    vanishes = log.real == -jnp.inf
    return jnp.where(vanishes, 0, jnp.exp(jnp.where(vanishes, 0, log)))
