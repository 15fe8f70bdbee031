"""Objectives with known marginals or a known state: forward divergences, and streams of measured batches."""

from collections.abc import Sequence
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from qml._core.errors import DataError, SpaceError
from qml._core.types import Array, Float, Inexact, Int, PyTree
from qml.gibbs import engine
from qml.gibbs.family import AbstractGibbs, AbstractLinear, pull
from qml.gibbs.objective import AbstractObjective, linear
from qml.gibbs.optimise import nearest
from qml.gibbs.shots import ShotData
from qml.gibbs.steps import Marginals, less_bias, mirror_step, sandwich


@final
class MarginalObjective(AbstractObjective):
    r"""Forward divergence $D(\sigma\|\rho_\theta)$ for known marginals of $\sigma$; its minimum has the most entropy.

    The step is mirror descent in the dual coordinates, $\eta \leftarrow \eta + \lambda(\eta_\sigma - \eta)$, mapped
    back by Newton's method. Marginals proved to belong to no state are shrunk towards zero until they do; the info then
    shows `kept` < 1, the couplings get infinite error bars, and the run ends with the status `infeasible`.
    `nearest_feasible` gives the nearest marginals that a state has.

    Args:
        marginals: expectation of each string of the model `[terms]`; of the tied sums where couplings are tied.
        covariance: their covariance `[terms, terms]`; `None` is exactly known.

    Raises:
        DataError: the arrays are not finite, or do not fit each other.

    Example:
        >>> from qml.gibbs import MarginalObjective
        >>> print(MarginalObjective([0.5, -0.25]).marginals)
        [ 0.5  -0.25]
    """

    marginals: Float[Array, " terms"]
    covariance: Float[Array, "terms terms"]

    def __init__(self, marginals: Any, covariance: Any = None):
        target = np.asarray(marginals, dtype=float)
        spread = np.zeros(target.shape * 2) if covariance is None else np.asarray(covariance, dtype=float)
        good = target.ndim == 1 and spread.shape == target.shape * 2
        good = good and np.isfinite(target).all() and np.isfinite(spread).all() and np.allclose(spread, spread.T)
        if not (good and np.linalg.eigvalsh(spread).min(initial=0.0) >= -1e-9 * np.abs(spread).max(initial=0.0)):
            raise DataError(
                "The marginals are not finite numbers, or their covariance is none of as many.",
                got=f"shapes {target.shape} and {spread.shape}",
                expected="finite numbers [terms], and a positive semidefinite matrix [terms, terms]",
                try_="one expectation for each string, in the order of model.terms",
            )
        self.marginals, self.covariance = jnp.asarray(target), jnp.asarray(spread)

    def loss(self, model: AbstractGibbs, data: Marginals) -> Float[Array, ""]:
        r"""$\log Z + \theta\cdot\eta$, the divergence and the entropy of the state."""
        return model.log_partition() + jnp.sum(linear(model).params * data.target)

    def prepare(self, model: AbstractGibbs) -> Marginals:
        """The marginals to reach.

        Raises:
            DataError: there is not one marginal for each string of the model.
        """
        self.check_count(linear(model).params.shape[0])
        return Marginals(self.marginals, self.covariance, jnp.ones(()))

    def check_count(self, terms: int) -> None:
        """Raise if there is not one marginal for each string.

        Raises:
            DataError: see above.
        """
        if len(self.marginals) != terms:
            raise DataError(
                "There must be one marginal for each string of the model.",
                got=f"{len(self.marginals)} marginals",
                expected=f"{terms}",
                try_="the order of model.terms",
            )

    def advance(
        self, model: AbstractLinear, data: PyTree, step_size: Array, damping: Array
    ) -> tuple[AbstractLinear, PyTree, dict[str, Array]]:
        """A mirror step in the marginals."""
        return mirror_step(model, data, step_size, damping)

    def finish(self, model: AbstractLinear, data: PyTree) -> AbstractLinear:
        r"""The model with the covariance $H^{-1} \Sigma H^{-1}$ of moment matching."""
        return sandwich(model, data)


@final
class StateObjective(AbstractObjective):
    r"""Forward divergence $D(\sigma\|\rho) = \mathrm{Tr}(\sigma K) + \log Z - S(\sigma)$ of a known state.

    Its minimum over couplings has the marginals of the state (maximum entropy).

    Args:
        density: $\sigma$, Hermitian, positive semidefinite, of trace one `[size, size]`.

    Raises:
        DataError: the matrix is no density matrix; nothing is repaired.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import StateObjective
        >>> print(f"{StateObjective(jnp.eye(4) / 4).entropy:.6f}")
        1.386294
    """

    density: Inexact[Array, "size size"]
    entropy: Float[Array, ""]

    def __init__(self, density: Any):
        matrix = np.asarray(density)
        square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and matrix.dtype.kind in "biufc"
        finite = square and bool(np.all(np.isfinite(matrix)))
        hermitian = finite and np.abs(matrix - matrix.conj().T).max() < 1e-10
        levels = np.linalg.eigvalsh(matrix) if hermitian else np.full(1, np.nan)
        if not (hermitian and abs(levels.sum() - 1) < 1e-8 and levels[0] > -1e-10):
            trace = f"{np.trace(matrix):.6g}" if finite else "unknown"
            raise DataError(
                "This is not a density matrix.",
                got=f"shape {matrix.shape}, trace {trace}, Hermitian: {hermitian}, lowest level {levels[0]:.3g}",
                expected="a Hermitian matrix of trace 1 without negative levels",
                try_="rho / numpy.trace(rho), or PauliGibbs(...).density()",
            )
        seen = levels[levels > 0]
        self.density = jnp.asarray((matrix + matrix.conj().T) / 2)
        self.entropy = jnp.asarray(-np.sum(seen * np.log(seen)))

    def loss(self, model: AbstractGibbs, data: PyTree) -> Float[Array, ""]:
        """The divergence itself."""
        return model.modular(self.density) + model.log_partition() - self.entropy

    def prepare(self, model: AbstractGibbs) -> PyTree:
        """Marginals of the state for couplings, nothing for other families.

        Raises:
            SpaceError: the state lives on another space.
        """
        if len(self.density) != 2**model.hilbert.n_sites:
            raise SpaceError(
                "The state and the model live on different spaces.",
                got=f"{len(self.density)} states",
                expected=f"{2**model.hilbert.n_sites}",
                try_="a density matrix in basis order",
            )
        if not isinstance(model, AbstractLinear):
            return ()
        means = pull(model.tie, engine.traces(model.strings, self.density))
        return Marginals(means, jnp.zeros(means.shape * 2), jnp.ones(()))

    def advance(
        self, model: AbstractLinear, data: PyTree, step_size: Array, damping: Array
    ) -> tuple[AbstractLinear, PyTree, dict[str, Array]]:
        """A mirror step in the marginals."""
        model, data, info = mirror_step(model, data, step_size, damping)
        return model, data, info | {"loss": info["loss"] - self.entropy}

    def finish(self, model: AbstractGibbs, data: PyTree) -> AbstractGibbs:
        """The model; its couplings are exact."""
        return sandwich(model, data) if isinstance(model, AbstractLinear) else model


class _Stream(eqx.Module):
    """What a stream has seen: its place, shots of each string and their mean; and what is to come."""

    place: Int[Array, ""]
    seen: Float[Array, " terms"]
    mean: Float[Array, " terms"]
    covariance: Float[Array, "terms terms"]
    kept: Float[Array, ""]
    means: Float[Array, "batches terms"]
    shots: Float[Array, "batches terms"]


@final
class StreamObjective(AbstractObjective):
    r"""Batches of shots, each looked at once: mirror descent with the step 1/t.

    $\eta_t = \eta_{t-1} + (\hat\eta_t - \eta_{t-1})\, n_t / \sum_{s \le t} n_s$ of each string, mapped back by
    Newton's method from the couplings before: after the last batch they are those of maximum entropy from all shots
    together, less their bias of order 1/N, with their errors. The step size of the driver is not used, and the run ends
    with the stream.

    Args:
        batches: the data, in order; every batch measures every string of the model.
        corrected: take that bias off the couplings at the end; without it they are those of maximum entropy exactly.

    Raises:
        DataError: there are no batches, or they have different numbers of sites.

    Source: Sbahi, Martinez, Patel, Saberi, Yoo, Roeder, Verdon, arXiv:2206.04663.
    """

    batches: tuple[ShotData, ...]
    corrected: bool = eqx.field(static=True)

    def __init__(self, batches: Sequence[ShotData], corrected: bool = True):
        ShotData.merged(batches)
        self.batches, self.corrected = tuple(batches), bool(corrected)

    @property
    def own_steps(self) -> bool:
        """See `AbstractObjective.own_steps`: a step takes in a batch."""
        return True

    def loss(self, model: AbstractGibbs, data: _Stream) -> Float[Array, ""]:
        r"""$\log Z + \theta\cdot\eta_t$."""
        return model.log_partition() + jnp.sum(linear(model).params * pull(linear(model).tie, data.mean))

    def prepare(self, model: AbstractGibbs) -> _Stream:
        """Averages of every batch.

        Raises:
            DataError: a batch does not measure some string, or has another number of sites.
        """
        strings = linear(model).strings
        whole = ShotData.merged(self.batches)
        whole.check_sites(model.hilbert)
        means = jnp.stack([batch.moments(strings)[0] for batch in self.batches])
        shots = jnp.asarray(np.stack([batch.times_measured(strings) for batch in self.batches]))
        zero = jnp.zeros(len(strings))
        return _Stream(jnp.array(0), zero, zero, whole.moments(strings)[1], jnp.ones(()), means, shots)

    def advance(
        self, model: AbstractLinear, data: _Stream, step_size: Array, damping: Array
    ) -> tuple[AbstractLinear, PyTree, dict[str, Array]]:
        """Take in one batch."""
        fresh = data.place < len(self.batches)
        shots = jnp.where(fresh, data.shots[data.place], 0.0)
        seen = data.seen + shots
        mean = data.mean + (data.means[data.place] - data.mean) * shots / jnp.maximum(seen, 1.0)
        goal = pull(model.tie, mean)
        theta, kept = nearest(model, goal, model.params)
        found = model.with_params(theta)
        data = eqx.tree_at(
            lambda d: (d.place, d.seen, d.mean, d.kept), data, (data.place + fresh.astype(int), seen, mean, kept)
        )
        moved = jnp.max(jnp.abs(theta - model.params))
        info = {
            "loss": self.loss(found, data),
            "gradient_norm": jnp.linalg.norm(found.marginals() - goal),
            "natural_gradient": jnp.where(data.place < len(self.batches), jnp.maximum(moved, 1e-300), 0.0),
            "kept": kept,
            "stalled": jnp.array(False),
        }
        return found, data, info

    def finish(self, model: AbstractLinear, data: _Stream) -> AbstractLinear:
        r"""The model with the covariance $H^{-1} \Sigma H^{-1}$ of all shots."""
        tie = model.tie
        found = sandwich(model, Marginals(pull(tie, data.mean), pull(tie, data.covariance), data.kept))
        return less_bias(found) if self.corrected else found
