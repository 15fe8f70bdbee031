"""Steps that the objectives share: line search, mirror step in the marginals, errors of moment matching."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.types import Array, Float
from qml.gibbs import engine
from qml.gibbs.family import AbstractLinear, pull, push
from qml.gibbs.metric import inverse, natural
from qml.gibbs.mirror import newton
from qml.operator.strings import PauliStrings


class Marginals(eqx.Module):
    """Marginals to reach, their covariance, and how far they were shrunk towards the mixed state."""

    target: Float[Array, " terms"]
    covariance: Float[Array, "terms terms"]
    kept: Float[Array, ""]


def split(hamiltonian: PauliStrings, model: PauliStrings) -> tuple[np.ndarray, np.ndarray, PauliStrings]:
    """Pairs (term of H, term of the model) they share, terms of H outside the model, and the strings of those."""
    known = {pair: k for k, pair in enumerate(zip(model.flips, model.signs, strict=True))}
    pairs = list(zip(hamiltonian.flips, hamiltonian.signs, strict=True))
    inside = [(k, known[pair]) for k, pair in enumerate(pairs) if pair in known]
    outside = [k for k, pair in enumerate(pairs) if pair not in known and pair != (0, 0)]
    rest = PauliStrings(model.n_sites, tuple(pairs[k][0] for k in outside), tuple(pairs[k][1] for k in outside))
    return np.array(inside, dtype=int).reshape(-1, 2).T, np.array(outside, dtype=int), rest


def line_search(loss: Any) -> Any:
    """A search along a direction: the step length is halved until the loss does not rise."""

    def search(theta: Array, direction: Array, length: Array) -> tuple[Array, Array]:
        start = loss(theta)
        ceiling = start + 1e-14 * (1 + jnp.abs(start))
        length = length * jnp.minimum(1.0, 10.0 / jnp.maximum(jnp.max(jnp.abs(direction)), 1e-300))

        def bad(now: tuple[Array, Array, Array]) -> Array:
            _, value, tries = now
            return ~(value <= ceiling) & (tries < 30)

        def halve(now: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            t, _, tries = now
            return t / 2, loss(theta + t / 2 * direction), tries + 1

        t, value, _ = jax.lax.while_loop(bad, halve, (length, loss(theta + length * direction), jnp.array(0)))
        good = value <= ceiling
        return jnp.where(good, theta + t * direction, theta), ~good

    return search


def mirror_step(
    model: AbstractLinear, data: Marginals, step_size: Array, damping: Array
) -> tuple[AbstractLinear, Marginals, dict[str, Array]]:
    r"""$\eta \leftarrow \eta + \lambda(\eta_\sigma - \eta)$, mapped back; infeasible targets are shrunk."""
    tie, start = model.tie, model.params
    means = _means(model, engine.solve(model.strings, push(tie, start)))
    goal = means + step_size * (data.target - means)
    found = newton(model.strings, goal, start, 1e-12, 30, damping, tie)
    theta = jnp.where(found.feasible, found.theta, start)
    shrink = jnp.where(found.feasible, 1.0, found.shrunk(step_size))
    data = Marginals(data.target * shrink, data.covariance, data.kept * shrink)
    state = engine.solve(model.strings, push(tie, theta))
    gap = _means(model, state) - data.target
    moved = jnp.max(jnp.abs(theta - start)) / step_size
    info = {
        "loss": state.log_partition + jnp.sum(theta * data.target),
        "entropy": engine.entropy(state),
        "gradient_norm": jnp.linalg.norm(gap),
        "natural_gradient": jnp.where(found.feasible & found.converged, moved, 1.0),
        "kept": data.kept,
        "stalled": jnp.array(False),
    }
    return model.with_params(theta), data, info


def _means(model: AbstractLinear, state: engine.Thermal) -> Array:
    return pull(model.tie, engine.traces(model.strings, engine.in_basis(state, state.weights)))


def sandwich(model: AbstractLinear, data: Marginals) -> AbstractLinear:
    r"""The model with the covariance $H^{-1} \Sigma H^{-1}$; infinite where the metric is blind or data were shrunk."""
    state = engine.solve(model.strings, push(model.tie, model.params))
    bread = inverse(pull(model.tie, engine.metric(model.strings, state, "bkm")))
    blind = jnp.isinf(jnp.diagonal(bread)) | (data.kept < 1)
    bread = jnp.where(jnp.isinf(bread), 0.0, bread)
    covariance = bread @ data.covariance @ bread
    covariance = jnp.where(blind[:, None] & jnp.eye(len(blind), dtype=bool), jnp.inf, covariance)
    return eqx.tree_at(lambda m: m.covariance, model, covariance)


def bias_of_moments(model: AbstractLinear, covariance: Array) -> Array:
    r"""Bias of couplings from averages to order 1/N, $\frac12 \sum_m H^{-1}\, \partial_{v_m}^2 \eta$ with
    $\sum_m v_m v_m^T$ the covariance of the couplings (finite).

    Args:
        model: the fitted state.
        covariance: of its couplings `[params, params]`.
    """
    strings, tie, params = model.strings, model.tie, model.params
    metric = pull(tie, engine.metric(strings, engine.solve(strings, push(tie, params)), "bkm"))
    levels, vectors = jnp.linalg.eigh(covariance)
    roots = vectors * jnp.sqrt(jnp.maximum(levels, 0.0))[None, :]

    def means(t: Array) -> Array:
        return pull(tie, engine.traces(strings, engine.density(strings, push(tie, t))))

    def add(total: Array, v: Array) -> tuple[Array, None]:
        slope = lambda t: jax.jvp(means, (t,), (v,))[1]  # noqa: E731
        return total + jax.jvp(slope, (params,), (v,))[1], None

    bend = jax.lax.scan(add, jnp.zeros_like(params), roots.T)[0]
    return natural(metric, bend) / 2


def less_bias(model: AbstractLinear) -> AbstractLinear:
    """A fit of averages without its bias of order 1/N, as far as one standard error of each coupling at most."""
    error = jnp.sqrt(jnp.diagonal(model.covariance))
    known = jnp.all(jnp.isfinite(error))
    covariance = jnp.where(known, model.covariance, 0.0)
    shift = bias_of_moments(model, covariance)
    far = jnp.max(jnp.abs(shift) / jnp.where(known & (error > 0), error, jnp.inf), initial=0.0)
    return model.with_params(model.params - jnp.where(known, shift, 0.0) / jnp.maximum(far, 1.0))
