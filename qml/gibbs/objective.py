"""What a Gibbs model is fitted to: a thermal state, marginals, or measured shots; each with its mirror-descent step."""

import abc
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from qml import linalg
from qml._core.errors import ConfigError, SpaceError, unknown_name
from qml._core.types import Array, Float, PyTree
from qml.gibbs import engine
from qml.gibbs.family import AbstractGibbs, AbstractLinear, pull, push
from qml.gibbs.learn import bias, divergence, known_to, lost, score_and_fisher, small_bias
from qml.gibbs.metric import natural
from qml.gibbs.shots import ShotData
from qml.gibbs.steps import Marginals, line_search, mirror_step, sandwich, split
from qml.operator import AbstractOperator, PauliSum
from qml.operator.strings import PauliStrings

METHODS = ("auto", "corrected", "likelihood", "moments")
_MEMORY = 2**32  # bytes of the derivatives of all Pauli expectations


class AbstractObjective(eqx.Module):
    """A function of a Gibbs model to minimise, and the step that mirror descent takes on it."""

    @property
    def own_steps(self) -> bool:
        """The steps of `advance` are part of the answer, so that no optimiser can take others."""
        return False

    @abc.abstractmethod
    def loss(self, model: AbstractGibbs, data: PyTree) -> Float[Array, ""]:
        """The function, which may be differentiated in the parameters of the model."""

    def report(self, model: AbstractGibbs, data: PyTree) -> dict[str, Array]:
        """Further numbers to record of a step that an optimiser has taken."""
        return {}

    @abc.abstractmethod
    def prepare(self, model: AbstractGibbs) -> PyTree:
        """Check that the model fits, on the host, and return the arrays that change from step to step."""

    @abc.abstractmethod
    def advance(
        self, model: AbstractLinear, data: PyTree, step_size: Array, damping: Array
    ) -> tuple[AbstractLinear, PyTree, dict[str, Array]]:
        """One pure step: the new model and data, and numbers about it.

        The numbers are `loss`, `gradient_norm`, `natural_gradient` (the largest entry of the direction taken, zero at
        the optimum), `stalled` (no step length lowers the loss), and what else is known.
        """

    @abc.abstractmethod
    def finish(self, model: AbstractGibbs, data: PyTree) -> AbstractGibbs:
        """The model with the covariance of its couplings, pure."""


def linear(model: AbstractGibbs) -> AbstractLinear:
    """The model, where its couplings enter K linearly.

    Raises:
        ConfigError: it is of another family.
    """
    if not isinstance(model, AbstractLinear):
        raise ConfigError(
            "Marginals of strings are matched by couplings of those strings.",
            got=type(model).__name__,
            expected="a PauliGibbs or TiedGibbs",
            try_="a StateObjective, or a DataObjective with method='likelihood'",
        )
    return model


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

    def loss(self, model: AbstractGibbs, data: PyTree) -> Float[Array, ""]:
        """The free energy."""
        return self.beta * model.expect(self.hamiltonian).mean - model.entropy()

    def report(self, model: AbstractGibbs, data: PyTree) -> dict[str, Array]:
        """Energy, entropy and the relative entropy to the target."""
        energy, entropy = model.expect(self.hamiltonian).mean, model.entropy()
        return {"relative_entropy": self.beta * energy - entropy + data, "energy": energy, "entropy": entropy}

    def prepare(self, model: AbstractGibbs) -> Float[Array, ""]:
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
        return linalg.jitted(lambda c, b: engine.solve(strings, b * c).log_partition)(couplings, self.beta)

    def advance(
        self, model: AbstractLinear, data: PyTree, step_size: Array, damping: Array
    ) -> tuple[AbstractLinear, PyTree, dict[str, Array]]:
        """A step of the geometric path, halved until the free energy falls (inside the model it always does)."""
        strings, theta, tie = model.strings, model.params, model.tie
        couplings = self.hamiltonian.coefficients.real
        if tie is not None:
            return self._tied(model, data, step_size, damping)
        inside, outside, rest = split(self.hamiltonian.strings, strings)
        goal = jnp.zeros_like(theta).at[inside[1]].set(couplings[inside[0]])
        if len(rest):
            state = engine.solve(strings, theta)
            missing = engine.covariances(strings, state, engine.assemble(rest, couplings[outside]))
            goal = goal + natural(engine.metric(strings, state, "bkm"), missing, damping)
        direction = self.beta * goal - theta
        free = line_search(lambda t: self._numbers(strings, t)[0])
        theta, stalled = (
            free(theta, direction, step_size) if len(rest) else (theta + step_size * direction, jnp.array(False))
        )
        return model.with_params(theta), data, self._info(model, theta, data, direction, stalled)

    def _tied(self, model: AbstractLinear, data: Array, step_size: Array, damping: Array) -> tuple:
        """The same step in tied couplings: what is lacking to beta H, projected in the Kubo-Mori metric."""
        strings, params, tie = model.strings, model.params, model.tie
        state, slope = self._slope(model, params)
        direction = -natural(pull(tie, engine.metric(strings, state, "bkm")), slope, damping)
        free = line_search(lambda t: self._numbers(strings, push(tie, t))[0])
        params, stalled = free(params, direction, step_size)
        return model.with_params(params), data, self._info(model, params, data, direction, stalled)

    def _slope(self, model: AbstractLinear, params: Array) -> tuple[engine.Thermal, Array]:
        """The state, and the derivatives of the free energy."""
        theta, target = push(model.tie, params), self.hamiltonian
        state = engine.solve(model.strings, theta)
        excess = engine.assemble(model.strings, theta)
        excess = excess - self.beta * engine.assemble(target.strings, target.coefficients.real)
        return state, pull(model.tie, engine.covariances(model.strings, state, excess))

    def _info(
        self, model: AbstractLinear, params: Array, data: Array, direction: Array, stalled: Array
    ) -> dict[str, Array]:
        loss, energy, entropy, _ = self._numbers(model.strings, push(model.tie, params))
        return {
            "loss": loss,
            "relative_entropy": loss + data,
            "energy": energy,
            "entropy": entropy,
            "gradient_norm": jnp.linalg.norm(self._slope(model, params)[1]),
            "natural_gradient": jnp.max(jnp.abs(direction)),
            "stalled": stalled,
        }

    def finish(self, model: AbstractGibbs, data: PyTree) -> AbstractGibbs:
        """The model; its couplings are exact."""
        if not isinstance(model, AbstractLinear):
            return model
        return eqx.tree_at(lambda m: m.covariance, model, jnp.zeros_like(model.covariance))

    def _numbers(self, strings: PauliStrings, theta: Array) -> tuple[Array, Array, Array, engine.Thermal]:
        state = engine.solve(strings, theta)
        means = engine.traces(self.hamiltonian.strings, engine.in_basis(state, state.weights))
        energy, entropy = jnp.sum(means * self.hamiltonian.coefficients.real), engine.entropy(state)
        return self.beta * energy - entropy, energy, entropy, state


@final
class DataObjective(AbstractObjective):
    r"""Couplings from measured shots.

    `"likelihood"` maximises the probability of every outcome, not only of the averages: Fisher scoring steps
    $\theta \leftarrow \theta + \lambda F^{-1} s$, error bars from $F^{-1}$ of the measurement that was made.
    `"auto"` does the same, and at the end takes off the bias b of order 1/N (Cox and Snell), whole where no coupling's
    is above half its standard error, and not at all where one's is above a whole one: there the expansion says nothing.
    So where the data leave directions open, it is the likelihood.
    `"corrected"` shifts the score so that no bias arises (Firth), steps
    $\theta \leftarrow \theta + \lambda (F^{-1} s - b)$: finite couplings where the maximum is at infinity, from few
    shots too. It is for shots that measure every string of the model: where some are known only through others, a
    correction of first order may be worse than none.
    `"moments"` matches the averages of the model's strings (maximum entropy), with sandwich errors; it needs 1.3 to 6
    times the shots. For a `VectorGibbs` it is what `"auto"` means.

    Args:
        shots: the data.
        method: `"auto"`, `"likelihood"`, `"corrected"` or `"moments"`.

    Raises:
        ConfigError: no such method.

    Source: Cox and Snell, J. R. Stat. Soc. B 30, 248 (1968); Firth, Biometrika 80, 27 (1993), for the corrected form.

    Example:
        >>> from qml.gibbs import DataObjective, ShotData
        >>> DataObjective(ShotData.from_counts({"ZZ": {"00": 7, "11": 5}})).method
        'auto'
    """

    shots: ShotData
    method: str = eqx.field(static=True)

    def __init__(self, shots: ShotData, method: str = "auto"):
        if method not in METHODS:
            unknown_name("learning method", method, METHODS)
        self.shots, self.method = shots, method

    @property
    def own_steps(self) -> bool:
        """See `AbstractObjective.own_steps`: the corrected likelihood has no function that it minimises."""
        return self.method == "corrected"

    def loss(self, model: AbstractGibbs, data: PyTree) -> Float[Array, ""]:
        """Log-likelihood lost per shot; for `"moments"`, log Z + theta . eta of the averages."""
        if self.method == "moments":
            return model.log_partition() + jnp.sum(linear(model).params * data.target)
        return lost(model.density(), *self._columns())

    def _columns(self) -> tuple[Array, Array, Array | None]:
        return self.shots.table(), engine.setting_index(self.shots.bases), self.shots.readout

    def report(self, model: AbstractGibbs, data: PyTree) -> dict[str, Array]:
        """The deviance, for the likelihood."""
        return {} if self.method == "moments" else {"deviance": 2 * self.shots.total() * self.loss(model, data)}

    def prepare(self, model: AbstractGibbs) -> PyTree:
        """Averages for `"moments"`, nothing for the others.

        Raises:
            DataError: the shots have another number of sites, or do not measure some string (moments, corrected).
            SpaceError: the likelihood would need more than 4 GiB.
        """
        self.shots.check_sites(model.hilbert)
        if self.method == "moments":
            tie = linear(model).tie
            mean, covariance = self.shots.moments(linear(model).strings)
            return Marginals(pull(tie, mean), pull(tie, covariance), jnp.ones(()))
        if self.method == "corrected":
            self.shots.check_measured(linear(model).strings)
        if isinstance(model, AbstractLinear) and 8 * len(model.strings) * 4**model.hilbert.n_sites > _MEMORY:
            raise SpaceError(
                "The likelihood of this model does not fit into memory.",
                got=f"{len(model.strings)} strings on {model.hilbert.n_sites} sites",
                expected="8 * strings * 4^sites <= 4 GiB",
                try_="fewer strings, fewer sites, or method='moments'",
            )
        return ()

    def advance(
        self, model: AbstractLinear, data: PyTree, step_size: Array, damping: Array
    ) -> tuple[AbstractLinear, PyTree, dict[str, Array]]:
        """A step of Fisher scoring, its length halved until the likelihood rises; or a mirror step in the averages."""
        if self.method == "moments":
            return mirror_step(model, data, step_size, damping)
        columns, strings, tie = self._columns(), model.strings, model.tie
        table = columns[0]
        score, fisher = score_and_fisher(strings, push(tie, model.params), *columns)
        score, fisher = pull(tie, score), pull(tie, fisher)
        corrected = self.method == "corrected"
        if corrected:
            score = score - fisher @ bias(strings, push(tie, model.params), *columns, tie)
        direction = natural(fisher, score, damping)
        if corrected:  # a root of a modified score, not a minimum: no line search
            theta = model.params + step_size / jnp.maximum(jnp.max(jnp.abs(direction)), 1.0) * direction
            stalled = jnp.array(False)
        else:
            lower = line_search(lambda t: divergence(strings, push(tie, t), *columns))
            theta, stalled = lower(model.params, direction, step_size)
        loss = divergence(strings, push(tie, theta), *columns)
        info = {
            "loss": loss,
            "deviance": 2 * jnp.sum(table) * loss,
            "gradient_norm": jnp.linalg.norm(score) / jnp.sum(table),
            "natural_gradient": jnp.max(jnp.abs(direction)),
            "stalled": stalled,
        }
        return model.with_params(theta), data, info

    def finish(self, model: AbstractGibbs, data: PyTree) -> AbstractGibbs:
        """The model with the covariance of its couplings; infinite where the shots say nothing."""
        if not isinstance(model, AbstractLinear):
            return model
        if self.method == "moments":
            return sandwich(model, data)
        columns, strings, tie = self._columns(), model.strings, model.tie
        covariance = known_to(strings, push(tie, model.params), *columns, tie)
        if self.method == "auto":
            off = small_bias(strings, push(tie, model.params), *columns, tie, covariance)
            model = model.with_params(model.params - off)
            covariance = known_to(strings, push(tie, model.params), *columns, tie)
        return eqx.tree_at(lambda m: m.covariance, model, covariance)
