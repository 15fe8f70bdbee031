r"""Errors of everything that a model fitted to shots says, whatever its family: the Fisher information carried over."""

from collections.abc import Callable, Iterable
from typing import final

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp

from qml import linalg
from qml._core.types import Array, Float
from qml.estimate.stats import Stats
from qml.gibbs import engine
from qml.gibbs.family import AbstractGibbs, measured
from qml.gibbs.learned import LearnedHamiltonian
from qml.gibbs.metric import modes_of
from qml.gibbs.model import PauliGibbs
from qml.gibbs.shots import ShotData
from qml.gibbs.structure import candidate_terms
from qml.operator import AbstractOperator

_FLOOR = 1e-15  # of probabilities: below this they are rounding
_BLIND = 1e-6  # share of a derivative in directions that the shots do not see, from which on it is unknown


@final
class Confidence(eqx.Module):
    r"""What shots tell about a model: $F_{ij} = \sum_b N_b \sum_x \partial_i p\,\partial_j p / p$ of all parameters.

    Parameters of latent models are not determined by their state (a circuit has angles that do nothing), so their own
    errors mean little. Functions f of the state have errors: $\Sigma_f = J F^{+} J^T$ with J the derivatives of f,
    infinite where J has a part that the shots do not see.

    Args:
        model: the fitted model.
        information: F, parameters in the order of `jax.flatten_util.ravel_pytree(model.params)` `[params, params]`.
    """

    model: AbstractGibbs
    information: Float[Array, "params params"]

    def of(self, function: Callable[[AbstractGibbs], Array]) -> tuple[Array, Array]:
        """A real function of the model, and its covariance.

        Args:
            function: model to numbers, a scalar or a vector, pure.

        Returns:
            Values `[...]` and covariance `[values, values]`.
        """
        return _carried(self.model, self.information, function)

    def expect(self, operator: AbstractOperator) -> Stats:
        """Expectation of a Hermitian operator, with its error.

        Raises:
            SpaceError: it acts on another space.
        """
        engine.check_operator(self.model.hilbert, operator)
        value, covariance = self.of(lambda m: jnp.real(m.expect(operator).mean))
        return eqx.tree_at(lambda s: s.error, Stats.exact(value), jnp.sqrt(covariance[0, 0]))

    def hamiltonian(self, terms: Iterable[str] | None = None, beta: float = 1.0) -> LearnedHamiltonian:
        r"""Couplings $\mathrm{Tr}(K P)/2^n$ of the model's K over beta, with an error bar on each.

        Args:
            terms: Pauli strings, letters in site order; `None` is all on up to two sites.
            beta: inverse temperature > 0.

        Raises:
            DataError: beta is not positive.
        """
        words = (
            candidate_terms(self.model.hilbert, min(2, self.model.hilbert.n_sites)) if terms is None else tuple(terms)
        )
        like = PauliGibbs(words, hilbert=self.model.hilbert)
        strings, size = like.strings, 2**self.model.hilbert.n_sites

        def couplings(model: AbstractGibbs) -> Array:
            def one(unit: Array) -> Array:
                return model.modular(engine.assemble(strings, unit)) / size

            return jax.lax.map(one, jnp.eye(len(strings)))

        value, covariance = self.of(couplings)
        return like.with_theta(value, covariance).hamiltonian(beta)


def confidence(model: AbstractGibbs, shots: ShotData) -> Confidence:
    r"""The Fisher information of shots in all parameters of a model fitted to them, for errors of what it says.

    It is that of the model: where the family does not hold the true state, errors are those of the nearest one.

    Args:
        model: of any family, fitted to the shots by likelihood.
        shots: the data; only the number of shots of each basis matters.

    Raises:
        DataError: the shots have another number of sites.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from qml.gibbs import KOBE, Circuit, LatentGibbs, PauliGibbs, confidence
        >>> shots = PauliGibbs(("Z",), jnp.array([0.5])).sample(jax.random.key(0), ["Z"], 400)
        >>> model = LatentGibbs(KOBE(1, 1), Circuit.layered(1, 1), theta=jnp.array([0.5]))
        >>> print(confidence(model, shots).hamiltonian(["Z"]))
        0.500(56) Z0

    Source: Rao, Linear Statistical Inference (1973), section 6a.
    """
    shots.check_sites(model.hilbert)
    return Confidence(model, _information(model, shots))


@linalg.jitted
def _information(model: AbstractGibbs, shots: ShotData) -> Array:
    start, unravel = jax.flatten_util.ravel_pytree(model.params)

    def law(flat: Array) -> Array:
        return measured(model.with_params(unravel(flat)), shots.bases, shots.readout)

    chance, slopes = jnp.maximum(law(start), _FLOOR), jax.jacfwd(law)(start)
    weighted = slopes * (jnp.sum(shots.table(), axis=1)[:, None] / chance)[:, :, None]
    flat = slopes.reshape(-1, start.shape[0])
    return flat.T @ weighted.reshape(-1, start.shape[0])


def _carried(model: AbstractGibbs, information: Array, function: Callable) -> tuple[Array, Array]:
    start, unravel = jax.flatten_util.ravel_pytree(model.params)

    def values(flat: Array) -> Array:
        return function(model.with_params(unravel(flat)))

    @linalg.jitted
    def run(start: Array, information: Array) -> tuple[Array, Array]:
        found = values(start)
        slopes = jax.jacfwd(values)(start).reshape(-1, start.shape[0])
        scale, levels, vectors, seen = modes_of(information, 0.0)
        inner = (slopes * scale[None, :]) @ vectors
        roots = inner * jnp.where(seen, 1 / jnp.sqrt(jnp.where(seen, levels, 1.0)), 0.0)[None, :]
        lost = jnp.sum(jnp.where(seen[None, :], 0.0, inner**2), axis=1)
        nowhere = jnp.sum(jnp.where(scale[None, :] == 0, slopes**2, 0.0), axis=1)
        blind = (lost > _BLIND**2 * jnp.sum(inner**2, axis=1)) | (nowhere > _BLIND**2 * jnp.sum(slopes**2, axis=1))
        covariance = jnp.where(blind[:, None] | blind[None, :], 0.0, roots @ roots.T)
        return found, covariance + jnp.diag(jnp.where(blind, jnp.inf, 0.0))

    return run(start, information)
