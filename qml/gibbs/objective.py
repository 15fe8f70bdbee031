"""What a Gibbs model is fitted to: a thermal state, marginals, or measured shots; each with its mirror-descent step."""

import abc
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ConfigError, DataError, SpaceError, unknown_name
from qml._core.types import Array, Float, PyTree
from qml.gibbs import engine
from qml.gibbs.learn import divergence, score_and_fisher
from qml.gibbs.metric import inverse, natural
from qml.gibbs.mirror import newton
from qml.gibbs.model import PauliGibbs
from qml.gibbs.shots import ShotData
from qml.operator import AbstractOperator, PauliSum
from qml.operator.strings import PauliStrings

METHODS = ("likelihood", "moments")
_MEMORY = 2**32  # bytes of the derivatives of all Pauli expectations


class AbstractObjective(eqx.Module):
    """A function of a Gibbs model to minimise, and the step that mirror descent takes on it."""

    @abc.abstractmethod
    def prepare(self, model: PauliGibbs) -> PyTree:
        """Check that the model fits, on the host, and return the arrays that change from step to step."""

    @abc.abstractmethod
    def advance(
        self, model: PauliGibbs, data: PyTree, step_size: Array, damping: Array
    ) -> tuple[PauliGibbs, PyTree, dict[str, Array]]:
        """One pure step: the new model and data, and numbers about it.

        The numbers are `loss`, `gradient_norm`, `natural_gradient` (the largest entry of the direction taken, zero at
        the optimum), `stalled` (no step length lowers the loss), and what else is known.
        """

    @abc.abstractmethod
    def finish(self, model: PauliGibbs, data: PyTree) -> PauliGibbs:
        """The model with the covariance of its couplings, pure."""


@final
class ThermalObjective(AbstractObjective):
    r"""Free energy $\beta\,\mathrm{Tr}(\rho H) - S(\rho) = D(\rho\|\sigma_\beta) - \log Z_\beta$ of a model.

    The step is the geometric path $K \leftarrow (1-\lambda) K + \lambda \beta H$, with the part of H outside the model
    projected onto it in the Kubo-Mori metric. If the model holds all strings of H the divergence falls by at least
    $(1-\lambda)^2$ asymptotically, and the couplings converge to $\beta$ times those of H.

    Args:
        hamiltonian: Hermitian sum of Pauli strings on the model's space.
        beta: inverse temperature > 0, in inverse units of the Hamiltonian.

    Raises:
        ConfigError: `beta` is not positive, or the Hamiltonian is no Hermitian `PauliSum`.

    Example:
        >>> from qml.gibbs import ThermalObjective
        >>> from qml.operator import PauliSum
        >>> print(ThermalObjective(PauliSum({"ZZ": -1.0, "XI": 0.5}), beta=2.0).beta)
        2.0

    Source: Sbahi, Martinez, Patel, Saberi, Yoo, Roeder, Verdon, arXiv:2206.04663.
    """

    hamiltonian: PauliSum
    beta: Float[Array, ""]

    def __init__(self, hamiltonian: AbstractOperator, beta: Any = 1.0):
        if not isinstance(hamiltonian, PauliSum) or not hamiltonian.is_hermitian:
            raise ConfigError(
                "A thermal objective needs a Hermitian sum of Pauli strings.",
                got=type(hamiltonian).__name__,
                expected="a PauliSum with real coefficients",
                try_="qml.operator.PauliSum({...}), or Heisenberg(hilbert, lattice)",
            )
        if not (np.ndim(beta) == 0 and np.isfinite(beta) and beta > 0):
            raise ConfigError("There is no such inverse temperature.", got=beta, expected="beta > 0", try_="beta=1.0")
        self.hamiltonian, self.beta = hamiltonian, jnp.asarray(float(beta))

    def prepare(self, model: PauliGibbs) -> Float[Array, ""]:
        r"""$\log Z_\beta$ of the target, so that the relative entropy is known.

        Raises:
            SpaceError: the Hamiltonian acts on another space than the model.
        """
        if self.hamiltonian.hilbert != model.hilbert:
            raise SpaceError(
                "The Hamiltonian acts on another space than the model.",
                got=f"{self.hamiltonian.hilbert}",
                expected=f"{model.hilbert}",
                try_="build both with the same hilbert",
            )
        strings, couplings = self.hamiltonian.strings, self.hamiltonian.coefficients.real
        return jax.jit(lambda c, b: engine.solve(strings, b * c).log_partition)(couplings, self.beta)

    def advance(
        self, model: PauliGibbs, data: PyTree, step_size: Array, damping: Array
    ) -> tuple[PauliGibbs, PyTree, dict[str, Array]]:
        """A step of the geometric path, halved until the free energy falls (inside the model it always does)."""
        strings, theta = model.strings, model.theta
        inside, outside, rest = _split(self.hamiltonian.strings, strings)
        couplings = self.hamiltonian.coefficients.real
        goal = jnp.zeros_like(theta).at[inside[1]].set(couplings[inside[0]])
        if len(rest):
            state = engine.solve(strings, theta)
            missing = engine.covariances(strings, state, engine.assemble(rest, couplings[outside]))
            goal = goal + natural(engine.metric(strings, state, "bkm"), missing, damping)
        direction = self.beta * goal - theta
        free = _line_loss(lambda t: self._numbers(strings, t)[0])
        theta, stalled = (
            free(theta, direction, step_size) if len(rest) else (theta + step_size * direction, jnp.array(False))
        )
        loss, energy, entropy, state = self._numbers(strings, theta)
        excess = engine.assemble(strings, theta) - self.beta * engine.assemble(self.hamiltonian.strings, couplings)
        slope = engine.covariances(strings, state, excess)
        info = {
            "loss": loss,
            "relative_entropy": loss + data,
            "energy": energy,
            "entropy": entropy,
            "gradient_norm": jnp.linalg.norm(slope),
            "natural_gradient": jnp.max(jnp.abs(direction)),
            "stalled": stalled,
        }
        return eqx.tree_at(lambda m: m.theta, model, theta), data, info

    def finish(self, model: PauliGibbs, data: PyTree) -> PauliGibbs:
        """The model; its couplings are exact."""
        return eqx.tree_at(lambda m: m.covariance, model, jnp.zeros_like(model.covariance))

    def _numbers(self, strings: PauliStrings, theta: Array) -> tuple[Array, Array, Array, engine.Thermal]:
        state = engine.solve(strings, theta)
        means = engine.traces(self.hamiltonian.strings, engine.in_basis(state, state.weights))
        energy, entropy = jnp.sum(means * self.hamiltonian.coefficients.real), engine.entropy(state)
        return self.beta * energy - entropy, energy, entropy, state


class _Marginals(eqx.Module):
    """Marginals to reach, their covariance, and how far they were shrunk towards the mixed state."""

    target: Float[Array, " terms"]
    covariance: Float[Array, "terms terms"]
    kept: Float[Array, ""]


@final
class MarginalObjective(AbstractObjective):
    r"""Forward divergence $D(\sigma\|\rho_\theta)$ for known marginals of $\sigma$; its minimum has the most entropy.

    The step is mirror descent in the dual coordinates, $\eta \leftarrow \eta + \lambda(\eta_\sigma - \eta)$, mapped
    back by Newton's method. Marginals proved to belong to no state are shrunk towards zero until they do; the info then
    shows `kept` < 1, the couplings get infinite error bars, and the run ends with the status `infeasible`.
    `nearest_feasible` gives the nearest marginals that a state has.

    Args:
        marginals: expectation of each string of the model `[terms]`.
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
        if not (good and np.isfinite(target).all() and np.isfinite(spread).all()):
            raise DataError(
                "The marginals are not finite numbers, or do not fit their covariance.",
                got=f"shapes {target.shape} and {spread.shape}",
                expected="finite numbers [terms] and [terms, terms]",
                try_="one expectation for each string, in the order of model.terms",
            )
        self.marginals, self.covariance = jnp.asarray(target), jnp.asarray(spread)

    def prepare(self, model: PauliGibbs) -> _Marginals:
        """The marginals to reach.

        Raises:
            DataError: there is not one marginal for each string of the model.
        """
        if self.marginals.shape != model.theta.shape:
            raise DataError(
                "There must be one marginal for each string of the model.",
                got=f"{self.marginals.shape[0]} marginals",
                expected=f"{model.theta.shape[0]}",
                try_="the order of model.terms",
            )
        return _Marginals(self.marginals, self.covariance, jnp.ones(()))

    def advance(
        self, model: PauliGibbs, data: PyTree, step_size: Array, damping: Array
    ) -> tuple[PauliGibbs, PyTree, dict[str, Array]]:
        """A mirror step in the marginals."""
        return _mirror_step(model, data, step_size, damping)

    def finish(self, model: PauliGibbs, data: PyTree) -> PauliGibbs:
        r"""The model with the covariance $H^{-1} \Sigma H^{-1}$ of moment matching."""
        return _sandwich(model, data)


@final
class DataObjective(AbstractObjective):
    r"""Couplings from measured shots.

    `"likelihood"` maximises the probability of every outcome, not only of the averages: Fisher scoring steps
    $\theta \leftarrow \theta + \lambda F^{-1} s$, error bars from $F^{-1}$ of the measurement that was made.
    `"moments"` matches the averages of the model's strings (maximum entropy), with sandwich errors; it needs 1.3 to 6
    times the shots.

    Args:
        shots: the data.
        method: `"likelihood"` or `"moments"`.

    Raises:
        ConfigError: no such method.

    Example:
        >>> from qml.gibbs import DataObjective, ShotData
        >>> DataObjective(ShotData.from_counts({"ZZ": {"00": 7, "11": 5}})).method
        'likelihood'
    """

    shots: ShotData
    method: str = eqx.field(static=True)

    def __init__(self, shots: ShotData, method: str = "likelihood"):
        if method not in METHODS:
            unknown_name("learning method", method, METHODS)
        self.shots, self.method = shots, method

    def prepare(self, model: PauliGibbs) -> PyTree:
        """Averages for `"moments"`, nothing for `"likelihood"`.

        Raises:
            DataError: the shots have another number of sites, or do not measure some string (moments).
            SpaceError: the likelihood would need more than 4 GiB.
        """
        if self.shots.n_sites != model.hilbert.n_sites:
            raise DataError(
                "The shots and the model have different numbers of sites.",
                got=f"{self.shots.n_sites} sites",
                expected=f"{model.hilbert.n_sites} sites",
                try_="a model on as many spins as were measured",
            )
        if self.method == "moments":
            mean, covariance = self.shots.moments(model.strings)
            return _Marginals(mean, covariance, jnp.ones(()))
        if 8 * len(model.strings) * 4**model.hilbert.n_sites > _MEMORY:
            raise SpaceError(
                "The likelihood of this model does not fit into memory.",
                got=f"{len(model.strings)} strings on {model.hilbert.n_sites} sites",
                expected="8 * strings * 4^sites <= 4 GiB",
                try_="fewer strings, fewer sites, or method='moments'",
            )
        return ()

    def advance(
        self, model: PauliGibbs, data: PyTree, step_size: Array, damping: Array
    ) -> tuple[PauliGibbs, PyTree, dict[str, Array]]:
        """A step of Fisher scoring, its length halved until the likelihood rises; or a mirror step in the averages."""
        if self.method == "moments":
            return _mirror_step(model, data, step_size, damping)
        table, index, strings = self.shots.table(), engine.setting_index(self.shots.bases), model.strings
        score, fisher = score_and_fisher(strings, model.theta, table, index)
        direction = natural(fisher, score, damping)
        theta, stalled = _line_loss(lambda t: divergence(strings, t, table, index))(model.theta, direction, step_size)
        loss = divergence(strings, theta, table, index)
        info = {
            "loss": loss,
            "deviance": 2 * jnp.sum(table) * loss,
            "gradient_norm": jnp.linalg.norm(score) / jnp.sum(table),
            "natural_gradient": jnp.max(jnp.abs(direction)),
            "stalled": stalled,
        }
        return eqx.tree_at(lambda m: m.theta, model, theta), data, info

    def finish(self, model: PauliGibbs, data: PyTree) -> PauliGibbs:
        """The model with the covariance of its couplings; infinite where the shots say nothing."""
        if self.method == "moments":
            return _sandwich(model, data)
        table, index = self.shots.table(), engine.setting_index(self.shots.bases)
        _, fisher = score_and_fisher(model.strings, model.theta, table, index)
        return eqx.tree_at(lambda m: m.covariance, model, inverse(fisher))


def _split(hamiltonian: PauliStrings, model: PauliStrings) -> tuple[np.ndarray, np.ndarray, PauliStrings]:
    """Pairs (term of H, term of the model) they share, terms of H outside the model, and the strings of those."""
    known = {pair: k for k, pair in enumerate(zip(model.flips, model.signs, strict=True))}
    pairs = list(zip(hamiltonian.flips, hamiltonian.signs, strict=True))
    inside = [(k, known[pair]) for k, pair in enumerate(pairs) if pair in known]
    outside = [k for k, pair in enumerate(pairs) if pair not in known and pair != (0, 0)]
    rest = PauliStrings(model.n_sites, tuple(pairs[k][0] for k in outside), tuple(pairs[k][1] for k in outside))
    return np.array(inside, dtype=int).reshape(-1, 2).T, np.array(outside, dtype=int), rest


def _line_loss(loss: Any) -> Any:
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


def _mirror_step(
    model: PauliGibbs, data: _Marginals, step_size: Array, damping: Array
) -> tuple[PauliGibbs, _Marginals, dict[str, Array]]:
    state = engine.solve(model.strings, model.theta)
    means = engine.traces(model.strings, engine.in_basis(state, state.weights))
    goal = means + step_size * (data.target - means)
    found = newton(model.strings, goal, model.theta, 1e-12, 30, damping)
    theta = jnp.where(found.feasible, found.theta, model.theta)
    # shrink a little more than the proof asks for, so that it does not have to be found again and again
    shrink = jnp.where(found.feasible, 1.0, jnp.clip(1 - 1.1 * (1 - found.scale) / step_size - 1e-3, 0.5, 1.0))
    data = _Marginals(data.target * shrink, data.covariance, data.kept * shrink)
    state = engine.solve(model.strings, theta)
    gap = engine.traces(model.strings, engine.in_basis(state, state.weights)) - data.target
    moved = jnp.max(jnp.abs(theta - model.theta)) / step_size
    info = {
        "loss": state.log_partition + jnp.sum(theta * data.target),
        "entropy": engine.entropy(state),
        "gradient_norm": jnp.linalg.norm(gap),
        "natural_gradient": jnp.where(found.feasible & found.converged, moved, 1.0),
        "kept": data.kept,
        "stalled": jnp.array(False),
    }
    return eqx.tree_at(lambda m: m.theta, model, theta), data, info


def _sandwich(model: PauliGibbs, data: _Marginals) -> PauliGibbs:
    bread = inverse(engine.metric(model.strings, engine.solve(model.strings, model.theta), "bkm"))
    blind = jnp.isinf(jnp.diagonal(bread)) | (data.kept < 1)
    bread = jnp.where(jnp.isinf(bread), 0.0, bread)
    covariance = bread @ data.covariance @ bread
    covariance = jnp.where(blind[:, None] & jnp.eye(len(blind), dtype=bool), jnp.inf, covariance)
    return eqx.tree_at(lambda m: m.covariance, model, covariance)
