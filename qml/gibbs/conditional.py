r"""Thermal states that depend on conditions: a network gives the weights of a log-Euclidean mean of anchor states."""

from collections.abc import Iterable
from typing import Any, final

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

from qml import linalg
from qml._core.errors import ConfigError, DataError, ShapeError
from qml._core.types import Array, Float, PyTree, RandomKey
from qml.gibbs import engine
from qml.gibbs.model import PauliGibbs
from qml.hilbert import AbstractHilbert

_TRIES = 12  # of the damping at one step


@final
class ConditionalGibbs(eqx.Module):
    r"""$\rho(c) \propto e^{-\sum_i w_i(c) K_i}$: anchors $K_i = \sum_j a_{ij} P_j$ with weights from a network.

    One model for many temperatures, fields or other conditions c: what is learned at some of them tells about others.
    Anchors and network are learned together (`fit_conditional`).

    Args:
        terms: Pauli strings, letters in site order.
        network: `[features] -> [anchors]`, a module whose arrays are its parameters; or the number of its hidden
            units, for one layer of tanh.
        features: numbers in a condition.
        anchors: couplings a `[anchors, terms]`, or their number.
        key: typed key of random parameters; used up.
        mean: weights are positive with sum one (softmax), for states between anchors; else the network's own numbers.
        hilbert: unconstrained spin-1/2 space; `None` is one of as many sites as the strings have letters.

    Raises:
        ConfigError: numbers of features, hidden units or anchors below one.
        ShapeError: anchors or what the network returns do not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from qml.gibbs import ConditionalGibbs
        >>> family = ConditionalGibbs(("Z",), 4, features=1, anchors=jnp.array([[0.5], [2.0]]), key=jax.random.key(0))
        >>> bool(0.5 < family.at([0.3]).theta[0] < 2.0)
        True

    Source: Arsigny, Fillard, Pennec, Ayache, SIAM J. Matrix Anal. Appl. 29, 328 (2007), for the mean.
    """

    anchors: Float[Array, "anchors terms"]
    network: Any
    base: PauliGibbs
    mean: bool = eqx.field(static=True)
    features: int = eqx.field(static=True)

    def __init__(
        self,
        terms: Iterable[str],
        network: Any,
        *,
        features: int,
        anchors: Any,
        key: RandomKey,
        mean: bool = True,
        hilbert: AbstractHilbert | None = None,
    ):
        self.base = PauliGibbs(terms, hilbert=hilbert)
        first, second = jax.random.split(key)
        if isinstance(anchors, int):
            anchors = 0.1 * jax.random.normal(first, (max(anchors, 0), len(self.base.theta)))
        self.anchors = jnp.asarray(anchors, float)
        count = self.anchors.shape[0]
        whole = [features, count] + ([network] if isinstance(network, int) else [])
        if min(whole) < 1:
            raise ConfigError(
                "There is no such family.",
                got=f"features={features}, anchors={count}, network={network!r:.20}",
                expected="whole numbers >= 1",
                try_="network=8, features=1, anchors=3",
            )
        if isinstance(network, int):
            network = eqx.nn.MLP(features, count, network, depth=1, activation=jnp.tanh, key=second, dtype=float)
        self.network, self.mean, self.features = network, bool(mean), int(features)
        shape = jax.eval_shape(self.network, jnp.zeros(features)).shape
        if self.anchors.shape != (count, len(self.base.theta)) or shape != (count,):
            raise ShapeError(
                "Anchors and network do not fit the strings.",
                got=f"anchors of shape {self.anchors.shape}, a network that returns {shape}",
                expected=f"[anchors, {len(self.base.theta)}] and [anchors]",
                try_="anchors=3, network=8",
            )

    def weights(self, condition: Any) -> Float[Array, " anchors"]:
        """Weights of the anchors at a condition `[features]`."""
        found = self.network(jnp.asarray(condition, float))
        return jax.nn.softmax(found) if self.mean else found

    def at(self, condition: Any) -> PauliGibbs:
        """The thermal state at a condition `[features]`."""
        return self.base.with_params(self.weights(condition) @ self.anchors)


@final
class ConditionalFit(eqx.Module):
    r"""Answer of `fit_conditional`.

    Args:
        model: the fitted family.
        losses: mean of $\log Z + \theta(c)\cdot\eta_c$ over the conditions, before every step and after the last one
            `[steps + 1]`; less the mean entropy of the states it is a relative entropy.
        gap: largest difference of a marginal at the end.
    """

    model: ConditionalGibbs
    losses: Float[Array, " steps"]
    gap: Float[Array, ""]


def fit_conditional(
    model: ConditionalGibbs, conditions: Any, marginals: Any, *, steps: int = 100, damping: float = 1e-2
) -> ConditionalFit:
    r"""Minimise the mean forward divergence $\frac1C \sum_c D(\sigma_c\|\rho(c))$ over anchors and network.

    Steps are those of Gauss and Newton in the Kubo-Mori metric, $(\sum_c J_c^T H_c J_c + \mu D)^{-1} g$ with
    $J = \partial\theta(c)/\partial$ parameters and adaptive damping: the mean divergence falls at every step.

    Args:
        model: where to start.
        conditions: c `[conditions, features]`.
        marginals: $\mathrm{Tr}\,\sigma_c P_j$ of the model's strings `[conditions, terms]`, exact or measured.
        steps: number of steps.
        damping: first $\mu$.

    Raises:
        DataError: the arrays do not fit, or are not finite.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from qml.gibbs import ConditionalGibbs, fit_conditional
        >>> beta = jnp.linspace(0.2, 1.5, 6)
        >>> start = ConditionalGibbs(("Z",), 4, features=1, anchors=2, key=jax.random.key(0), mean=False)
        >>> fit = fit_conditional(start, beta[:, None], -jnp.tanh(beta)[:, None], steps=60)
        >>> bool(abs(fit.model.at([1.0]).theta[0] - 1.0) < 0.01)
        True
    """
    places, targets = np.asarray(conditions, float), np.asarray(marginals, float)
    good = places.shape == (len(targets), model.features) and targets.shape == (len(places), len(model.base.theta))
    if not good or not (np.isfinite(places).all() and np.isfinite(targets).all()):
        raise DataError(
            "Conditions and marginals do not fit the family, or are not finite.",
            got=f"shapes {places.shape} and {targets.shape}",
            expected=f"[conditions, {model.features}] and [conditions, {len(model.base.theta)}]",
            try_="one row for each condition",
        )
    arrays, rest = eqx.partition((model.anchors, model.network), eqx.is_inexact_array)
    found, losses, gap = _fit(model, rest, arrays, jnp.asarray(places), jnp.asarray(targets), damping, int(steps))
    parts = eqx.combine(found, rest)
    return ConditionalFit(eqx.tree_at(lambda m: (m.anchors, m.network), model, parts), losses, gap)


def _fit(
    model: ConditionalGibbs, rest: PyTree, arrays: PyTree, places: Array, targets: Array, damping: float, steps: int
) -> tuple[PyTree, Array, Array]:
    start, unravel = jax.flatten_util.ravel_pytree(arrays)
    strings = model.base.strings

    def couplings(flat: Array) -> Array:
        parts = eqx.combine(unravel(flat), rest)
        return jax.vmap(lambda c: eqx.tree_at(lambda m: (m.anchors, m.network), model, parts).at(c).theta)(places)

    def loss(flat: Array) -> Array:
        theta = couplings(flat)
        logs = jax.lax.map(lambda t: engine.solve(strings, t).log_partition, theta)
        return jnp.mean(logs + jnp.sum(theta * targets, axis=1))

    def curvature(row: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        theta, target, slope = row
        state = engine.solve(strings, theta)
        gap = target - engine.traces(strings, engine.in_basis(state, state.weights))
        return slope.T @ gap, slope.T @ engine.metric(strings, state, "bkm") @ slope, jnp.max(jnp.abs(gap))

    def step(loop: tuple, _: None) -> tuple[tuple, Array]:
        flat, mu, value = loop
        gradient, metric, _ = jax.lax.map(curvature, (couplings(flat), targets, jax.jacfwd(couplings)(flat)))
        gradient, metric = jnp.mean(gradient, axis=0), jnp.mean(metric, axis=0)
        diagonal = jnp.diagonal(metric)
        ridge = diagonal + 1e-2 * jnp.mean(diagonal) + 1e-300

        def attempt(mu: Array) -> tuple[Array, Array]:
            factor = jax.scipy.linalg.cho_factor(metric + jnp.diag((mu + 1e-12) * ridge))
            change = -jax.scipy.linalg.cho_solve(factor, gradient)
            return change, loss(flat + change)

        def bad(loop: tuple) -> Array:
            return ~(loop[2] < value) & (loop[3] < _TRIES)

        def again(loop: tuple) -> tuple:
            return loop[0] * 3, *attempt(loop[0] * 3), loop[3] + 1

        mu, change, after = jax.lax.while_loop(bad, again, (mu, *attempt(mu), jnp.array(1)))[:3]
        good = after < value
        flat, mu = (
            jnp.where(good, flat + change, flat),
            jnp.where(good, jnp.maximum(mu / 2, 1e-9), jnp.minimum(mu, 1e6)),
        )
        return (flat, mu, jnp.where(good, after, value)), value

    @linalg.jitted
    def run(start: Array, damping: Array) -> tuple[PyTree, Array, Array]:
        (flat, _, last), values = jax.lax.scan(step, (start, damping, loss(start)), None, length=steps)
        gaps = jax.lax.map(curvature, (couplings(flat), targets, jax.jacfwd(couplings)(flat)))[2]
        return unravel(flat), jnp.append(values, last), jnp.max(gaps)

    return run(start, jnp.asarray(float(damping)))
