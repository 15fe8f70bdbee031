"""Numbers of thermal states of any size, by the engine that the size allows, each with its error."""

from collections.abc import Iterable
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ConfigError, ShapeError
from qml._core.types import RandomKey
from qml.estimate.stats import Stats
from qml.exact import finite_temperature
from qml.gibbs import engine
from qml.gibbs.model import PauliGibbs
from qml.operator import PauliSum

ENGINES = ("dense", "lanczos")


@final
class ThermalNumbers(eqx.Module):
    r"""Numbers of $\rho = e^{-K}/Z$.

    Args:
        log_partition: $\log Z$.
        entropy: in nats.
        marginals: $\mathrm{Tr}\,\rho P_j$ `[terms]`.
        engine: `"dense"`, exact; or `"lanczos"`, with errors of a jackknife over the random vectors.
    """

    log_partition: Stats
    entropy: Stats
    marginals: Stats
    engine: str = eqx.field(static=True)


def thermal_numbers(
    terms: Iterable[str],
    theta: Any,
    *,
    key: RandomKey | None = None,
    vectors: int = 16,
    steps: int = 40,
    method: str = "auto",
) -> ThermalNumbers:
    r"""$\log Z$, entropy and marginals of $\rho = e^{-\sum_j \theta_j P_j}/Z$, dense where it fits (12 sites).

    Beyond 12 sites nothing of the size of a matrix is made: Lanczos steps from random vectors give the traces (see
    `qml.exact.finite_temperature`), with a relative error of $1/\sqrt{R\, Z_{\mathrm{eff}}}$: large and warm systems
    need few vectors.

    Args:
        terms: Pauli strings, letters in site order.
        theta: couplings `[terms]`.
        key: typed key of the random vectors; not needed for dense ones.
        vectors: random vectors R, at least 2.
        steps: Lanczos steps for each.
        method: `"auto"`, `"dense"` or `"lanczos"`.

    Raises:
        ConfigError: no such method, or random vectors without a key.
        ShapeError: see `PauliGibbs`.
        ConvergenceError: the state is too cold for so few steps.

    Example:
        >>> from qml.gibbs import thermal_numbers
        >>> found = thermal_numbers(("Z",), [0.5])
        >>> found.engine, round(float(found.log_partition.mean), 6)
        ('dense', 0.813262)
    """
    words, couplings = tuple(terms), jnp.asarray(theta, float)
    if couplings.shape != (len(words),) or not words or not bool(jnp.all(jnp.isfinite(couplings))):
        raise ShapeError(
            "There is one finite coupling for each string.",
            got=f"{len(words)} strings, couplings of shape {couplings.shape}",
            expected=f"[{len(words)}]",
            try_="theta in the order of the strings",
        )
    small = len(words[0]) <= engine.LARGEST
    chosen = ("dense" if small else "lanczos") if method == "auto" else method
    if chosen not in ENGINES or (chosen == "lanczos" and key is None):
        raise ConfigError(
            "The engine is unknown, or lacks a key for its random vectors.",
            got=f"method={method!r}, {len(words[0])} sites, key={key}",
            expected="auto, dense or lanczos; a key where random vectors are used",
            try_="key=jax.random.key(0)",
        )
    if chosen == "dense" or key is None:
        found = PauliGibbs(words, couplings).numbers()
        return ThermalNumbers(
            Stats.exact(found.log_partition), Stats.exact(found.entropy), Stats.exact(found.marginals), chosen
        )
    operator = PauliSum(dict(zip(words, np.asarray(couplings).tolist(), strict=True)))
    seen = {str(k): PauliSum({word: 1.0}, operator.hilbert) for k, word in enumerate(words)}
    run = finite_temperature(operator, [1.0], seen, key=key, vectors=vectors, steps=steps)
    columns = [run.observables[str(k)] for k in range(len(words))]
    mean, error, variance = (
        jnp.concatenate([getattr(c, name) for c in columns]) for name in ("mean", "error", "variance")
    )
    marginals = Stats(mean, error, variance, columns[0].tau, columns[0].r_hat, columns[0].samples)
    return ThermalNumbers(run.log_partition[0], run.entropy[0], marginals, chosen)
