"""Couplings from measured expectation values with errors: more of them than couplings, or fewer, correlated or not."""

from collections.abc import Mapping
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from qml._core.errors import DataError
from qml._core.types import Array, Float, PyTree
from qml.gibbs import engine
from qml.gibbs.family import AbstractGibbs, AbstractLinear, push
from qml.gibbs.metric import inverse, natural
from qml.gibbs.objective import AbstractObjective, linear
from qml.gibbs.shots import ShotData
from qml.gibbs.steps import line_search
from qml.operator.strings import PauliStrings, merge, parse


@final
class ExpectationObjective(AbstractObjective):
    r"""Generalised moments: $\frac12 (m - \eta(\theta))^T \Sigma^{-1} (m - \eta(\theta))$ of measured values m.

    The strings need not be those of the model: more of them make the couplings more precise, and test the model, for
    twice the minimum follows chi-square. Steps are those of Gauss and Newton, and the couplings have the covariance
    $(J^T \Sigma^{-1} J)^{-1}$ with $J = \partial\eta/\partial\theta$. Values that no state has do no harm.

    Args:
        values: measured expectation by string, letters in site order: `{"ZZI": 0.31, "XII": -0.2}`.
        covariance: $\Sigma$, positive definite `[strings, strings]`; or the errors `[strings]` of independent values.

    Raises:
        DataError: there are no values, a string is unknown, the identity or comes twice, a number is not finite, or the
            covariance is not positive definite.

    Example:
        >>> import drivers
        >>> from qml.gibbs import ExpectationObjective, PauliGibbs
        >>> table = ExpectationObjective({"Z": -0.46, "X": 0.003}, [0.01, 0.01])
        >>> print(drivers.QPMD(table, step_size=1.0).run(PauliGibbs(("Z",)), steps=20).state.hamiltonian())
        0.497(13) Z0

    Source: Hansen, Econometrica 50, 1029 (1982).
    """

    mean: Float[Array, " strings"]
    whitening: Float[Array, "strings strings"]
    strings: PauliStrings = eqx.field(static=True)

    def __init__(self, values: Mapping[str, Any], covariance: Any):
        words = list(values)
        good = bool(words) and all(isinstance(w, str) and w and len(w) == len(words[0]) for w in words)
        good = good and set("".join(words)) <= set("IXYZ")
        pairs = [parse(word, range(len(word)), len(word)) for word in words] if good else []
        strings = merge(len(words[0]), pairs)[0] if pairs else None
        if strings is None or len(strings) < len(pairs) or (0, 0) in pairs:
            raise DataError(
                "Expectation values are those of distinct Pauli strings.",
                got=f"{words[:4]}",
                expected="strings of the same number of letters I, X, Y, Z, not the identity",
                try_='{"ZZI": 0.31, "XII": -0.2}',
            )
        mean, spread = np.array([float(values[w]) for w in words]), np.asarray(covariance, float)
        spread = np.diag(spread**2) if spread.shape == mean.shape else spread
        fits = spread.shape == mean.shape * 2 and bool(np.isfinite(spread).all() and np.isfinite(mean).all())
        levels = np.linalg.eigvalsh((spread + spread.T) / 2) if fits else np.zeros(1)
        if not fits or levels[0] <= 1e-14 * max(levels[-1], 1e-300):
            raise DataError(
                "Expectation values and their covariance are finite, and the covariance is positive definite.",
                got=f"{len(mean)} values, covariance of shape {spread.shape}, lowest level {levels[0]:.3g}",
                expected=f"errors [{len(mean)}] above zero, or a matrix [{len(mean)}, {len(mean)}]",
                try_="fewer strings, where some are determined by others",
            )
        factor = np.linalg.cholesky((spread + spread.T) / 2)
        self.mean, self.strings = jnp.asarray(mean), strings
        self.whitening = jnp.asarray(np.linalg.inv(factor))

    @classmethod
    def from_shots(cls, shots: ShotData, words: Any) -> "ExpectationObjective":
        """Averages of strings over shots, with their covariance.

        Args:
            shots: the data.
            words: the strings, such as `candidate_terms(hilbert)`.

        Raises:
            DataError: no setting measures some string, or the shots are too few to tell the covariance.
        """
        words = tuple(words)
        strings = merge(shots.n_sites, [parse(word, range(shots.n_sites), shots.n_sites) for word in words])[0]
        mean, covariance = shots.moments(strings)
        return cls(dict(zip(words, mean.tolist(), strict=True)), covariance)

    def loss(self, model: AbstractGibbs, data: PyTree) -> Float[Array, ""]:
        """Half of chi-square."""
        gap = self.whitening @ (self.mean - engine.traces(self.strings, model.density()))
        return jnp.sum(gap**2) / 2

    def report(self, model: AbstractGibbs, data: PyTree) -> dict[str, Array]:
        """Chi-square, of as many degrees of freedom as there are strings less the couplings."""
        return {"chi_square": 2 * self.loss(model, data)}

    def prepare(self, model: AbstractGibbs) -> PyTree:
        """Nothing.

        Raises:
            DataError: the strings have another number of sites than the model.
        """
        if self.strings.n_sites != model.hilbert.n_sites:
            raise DataError(
                "The expectation values and the model have different numbers of sites.",
                got=f"{self.strings.n_sites} sites",
                expected=f"{model.hilbert.n_sites} sites",
                try_="a model on as many spins as were measured",
            )
        return ()

    def _slopes(self, model: AbstractLinear, params: Array) -> tuple[Array, Array]:
        """Whitened gaps, and the whitened derivatives of the expectations in the parameters."""
        count, theta = len(self.strings), push(model.tie, params)
        both = PauliStrings(
            self.strings.n_sites,
            self.strings.flips + model.strings.flips,
            self.strings.signs + model.strings.signs,
        )
        state = engine.solve(model.strings, theta)
        gap = self.mean - engine.traces(self.strings, engine.in_basis(state, state.weights))
        slopes = -engine.metric(both, state, "bkm")[:count, count:]
        return self.whitening @ gap, self.whitening @ (slopes if model.tie is None else slopes @ model.tie)

    def advance(
        self, model: AbstractLinear, data: PyTree, step_size: Array, damping: Array
    ) -> tuple[AbstractLinear, PyTree, dict[str, Array]]:
        """A step of Gauss and Newton, its length halved until chi-square falls."""
        params, tie = model.params, model.tie
        gap, slopes = self._slopes(model, params)
        score = slopes.T @ gap
        direction = natural(slopes.T @ slopes, score, damping)

        def chi(p: Array) -> Array:
            state = engine.solve(model.strings, push(tie, p))
            means = engine.traces(self.strings, engine.in_basis(state, state.weights))
            return jnp.sum((self.whitening @ (self.mean - means)) ** 2) / 2

        params, stalled = line_search(chi)(params, direction, step_size)
        loss = chi(params)
        info = {
            "loss": loss,
            "chi_square": 2 * loss,
            "gradient_norm": jnp.linalg.norm(score),
            "natural_gradient": jnp.max(jnp.abs(direction)),
            "stalled": stalled,
        }
        return model.with_params(params), data, info

    def finish(self, model: AbstractGibbs, data: PyTree) -> AbstractGibbs:
        """The model with the covariance of its couplings; infinite where the expectations say nothing."""
        if not isinstance(model, AbstractLinear):
            return model
        _, slopes = self._slopes(linear(model), model.params)
        return eqx.tree_at(lambda m: m.covariance, model, inverse(slopes.T @ slopes))
