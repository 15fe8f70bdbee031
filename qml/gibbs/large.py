"""Numbers of thermal states of any size, by the engine that the size allows, each with its error."""

from collections.abc import Iterable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp

from qml import linalg
from qml._core.errors import ConfigError, ShapeError
from qml._core.types import Array, RandomKey
from qml.estimate.stats import Stats
from qml.exact import finite_temperature
from qml.gibbs import engine
from qml.gibbs.model import PauliGibbs
from qml.gibbs.vectors import VectorGibbs, one_for_each
from qml.operator import PauliSum
from qml.operator.strings import merge, parse

ENGINES = ("dense", "products", "lanczos", "chebyshev")
_MATRICES = 14  # sites, on an accelerator: a complex matrix is 4 GiB


@final
class ThermalNumbers(eqx.Module):
    r"""Numbers of $\rho = e^{-K}/Z$.

    Args:
        log_partition: $\log Z$.
        entropy: in nats.
        marginals: $\mathrm{Tr}\,\rho P_j$ `[terms]`.
        engine: `"dense"` or `"products"`, exact; or `"lanczos"` or `"chebyshev"`, with errors of a jackknife over the
            random vectors.
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
    r"""$\log Z$, entropy and marginals of $\rho = e^{-\sum_j \theta_j P_j}/Z$, by an engine that fits size and device.

    | engine | how | chosen |
    | --- | --- | --- |
    | `"dense"` | eigendecompositions of parity blocks | up to 12 sites |
    | `"products"` | scaling and squaring, products of matrices alone | up to 14 sites on an accelerator |
    | `"lanczos"` | Lanczos steps from random vectors (`qml.exact.finite_temperature`) | beyond |
    | `"chebyshev"` | polynomials of K on random vectors (`VectorGibbs`): less memory, and metrics too | by name |

    The relative error of random vectors is $1/\sqrt{R\, Z_{\mathrm{eff}}}$: large and warm systems need few of them.

    Args:
        terms: Pauli strings, letters in site order.
        theta: couplings `[terms]`.
        key: typed key of the random vectors; not needed for matrices.
        vectors: random vectors R, at least 2.
        steps: Lanczos steps for each.
        method: `"auto"` or one of the engines.

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
    words, values = one_for_each(terms, theta)
    couplings = jnp.asarray(values)
    chosen = _chosen(len(words[0])) if method == "auto" else method
    if chosen not in ENGINES or (chosen in ("lanczos", "chebyshev") and key is None):
        raise ConfigError(
            "The engine is unknown, or lacks a key for its random vectors.",
            got=f"method={method!r}, {len(words[0])} sites, key={key}",
            expected=f"auto or one of {', '.join(ENGINES)}; a key where random vectors are used",
            try_="key=jax.random.key(0)",
        )
    if chosen == "chebyshev":
        model = VectorGibbs(words, couplings, key=key, vectors=vectors)
        return ThermalNumbers(model.log_partition(), model.entropy(), model.marginals(), chosen)
    if chosen in ("dense", "products") or key is None:
        found = _by_matrices(words, couplings, chosen == "products")
        return ThermalNumbers(
            Stats.exact(found.log_partition), Stats.exact(found.entropy), Stats.exact(found.marginals), chosen
        )
    operator = PauliSum(dict(zip(words, values.tolist(), strict=True)))
    seen = {str(k): PauliSum({word: 1.0}, operator.hilbert) for k, word in enumerate(words)}
    run = finite_temperature(operator, [1.0], seen, key=key, vectors=vectors, steps=steps)
    columns = [run.observables[str(k)] for k in range(len(words))]
    mean, error, variance = (
        jnp.concatenate([getattr(c, name) for c in columns]) for name in ("mean", "error", "variance")
    )
    marginals = Stats(mean, error, variance, columns[0].tau, columns[0].r_hat, columns[0].samples)
    return ThermalNumbers(run.log_partition[0], run.entropy[0], marginals, chosen)


def _chosen(sites: int) -> str:
    """Eigenvalue solvers are slow on accelerators, products of matrices are what they do best."""
    if jax.default_backend() != "cpu" and sites <= _MATRICES:
        return "products"
    return "dense" if sites <= engine.LARGEST else "lanczos"


def _by_matrices(words: tuple[str, ...], couplings: Array, products: bool) -> engine.Numbers:
    if not products:
        return PauliGibbs(words, couplings).numbers()
    sites = len(words[0])
    strings, _ = merge(sites, [parse(word, range(sites), sites) for word in words])
    if len(strings) < len(words) or sites > _MATRICES:
        raise ShapeError(
            "Matrices need distinct strings on few sites.",
            got=f"{len(words)} strings, {len(strings)} distinct, on {sites} sites",
            expected=f"distinct strings on at most {_MATRICES} sites",
            try_='method="lanczos"',
        )
    bound = float(jnp.sum(jnp.abs(couplings)))
    return _products(strings, couplings, linalg.squarings_for(bound))


_products = linalg.jitted(engine.numbers, static_argnums=(0, 2))
