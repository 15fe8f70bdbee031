"""What a fit is worth: goodness of fit per basis, directions the data cannot resolve, and which couplings are there."""

import itertools
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml import linalg
from qml._core.errors import ConfigError, ConvergenceError, DataError
from qml._core.types import Array, Bool, Float, PyTree
from qml.gibbs import engine
from qml.gibbs.family import AbstractGibbs, AbstractLinear, measured, pull, push
from qml.gibbs.learn import losses, score_and_fisher
from qml.gibbs.metric import inverse
from qml.gibbs.model import PauliGibbs
from qml.gibbs.objective import DataObjective
from qml.gibbs.shots import ShotData
from qml.hilbert import AbstractHilbert

_STEPS = 60
_TOLERANCE = 1e-8


@final
class GoodnessOfFit(eqx.Module):
    r"""How well a state explains the shots of each setting.

    Args:
        deviance: $2 \sum_x n_x \log\frac{n_x}{N p_x}$ of each setting; follows chi-square where all $N p_x$ are large.
        pearson: $\sum_x (n_x - N p_x)^2 / N p_x$ of each setting.
        freedom: outcomes less one, the mean of `pearson` where the state is the true one.
        z: `pearson` less its mean over its standard deviation, which is exact for few shots too.
        total: the same number of all settings together, $2^n - 1$ for each, less the fitted parameters.
    """

    deviance: Float[Array, " settings"]
    pearson: Float[Array, " settings"]
    freedom: Float[Array, ""]
    z: Float[Array, " settings"]
    total: Float[Array, ""]


def goodness_of_fit(model: AbstractGibbs, shots: ShotData, fitted: int = 0) -> GoodnessOfFit:
    r"""Deviance and Pearson's statistic of each setting, of variance $2(k-1) + (\sum_x 1/p_x - k^2 - 2k + 2)/N$.

    Args:
        model: the state.
        shots: the data.
        fitted: parameters that were fitted to these shots.

    Raises:
        DataError: the shots have another number of sites.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from qml.gibbs import PauliGibbs, goodness_of_fit
        >>> model = PauliGibbs(("ZZ", "XI"), jnp.array([-0.5, 0.3]))
        >>> shots = model.sample(jax.random.key(0), ["ZZ", "XX"], 2000)
        >>> wrong = PauliGibbs(("ZZ",))
        >>> bool(abs(goodness_of_fit(model, shots).total) < 4), bool(goodness_of_fit(wrong, shots).total > 20)
        (True, True)
    """
    shots.check_sites(model.hilbert)
    return _goodness(model, shots, jnp.asarray(float(fitted)))


@linalg.jitted
def _goodness(model: AbstractGibbs, shots: ShotData, fitted: Array) -> GoodnessOfFit:
    table = shots.table()
    law = jnp.maximum(measured(model, shots.bases, shots.readout), 1e-15)
    law = law / jnp.sum(law, axis=1, keepdims=True)
    size, count = law.shape[1], jnp.sum(table, axis=1)
    expected = law * count[:, None]
    pearson = jnp.sum((table - expected) ** 2 / expected, axis=1)
    variance = 2 * (size - 1) + (jnp.sum(1 / law, axis=1) - size**2 - 2 * size + 2) / count
    freedom = size - 1.0
    total = jnp.sum(pearson) - (len(pearson) * freedom - fitted)
    deviance = 2 * losses(model.density(), table, engine.setting_index(shots.bases), shots.readout)
    z = (pearson - freedom) / jnp.sqrt(variance)
    return GoodnessOfFit(deviance, pearson, jnp.asarray(freedom), z, total / jnp.sqrt(jnp.sum(variance)))


@final
class Identifiability(eqx.Module):
    r"""What the measurement that was made can tell about the couplings.

    Args:
        levels: Fisher information of one shot along each direction, ascending.
        directions: orthonormal combinations of couplings, in columns, the worst one first.
        errors: standard error of each coupling times the root of the number of shots; infinite where it is blind.
    """

    levels: Float[Array, " terms"]
    directions: Float[Array, "terms terms"]
    errors: Float[Array, " terms"]

    @property
    def blind(self) -> Bool[Array, " terms"]:
        """Couplings that the bases do not measure, at any number of shots."""
        return jnp.isinf(self.errors)

    def shots_for(self, error: float) -> Float[Array, " terms"]:
        """Shots in the same bases for a standard error of each coupling.

        Raises:
            ConfigError: the error is not positive.
        """
        if not error > 0:
            raise ConfigError("An error to reach is positive.", got=error, expected="> 0", try_="error=0.01")
        return jnp.ceil((self.errors / error) ** 2 * (1 - 1e-12))


def identifiability(model: AbstractLinear, shots: ShotData) -> Identifiability:
    """Fisher information of the bases of some shots at a state, and what follows for every coupling.

    Args:
        model: the state, fitted or expected.
        shots: their bases and how often each was used; the outcomes do not matter.

    Raises:
        DataError: the shots have another number of sites.

    Example:
        >>> from qml.gibbs import PauliGibbs, ShotData, identifiability
        >>> found = identifiability(PauliGibbs(("Z", "X")), ShotData(["Z"], [[0]]))
        >>> print(found.blind, found.shots_for(0.1)[0])
        [False  True] 100.0
    """
    shots.check_sites(model.hilbert)
    table, index = shots.table(), engine.setting_index(shots.bases)
    _, fisher = score_and_fisher(model.strings, push(model.tie, model.params), table, index, shots.readout)
    fisher = pull(model.tie, fisher) / shots.total()
    levels, directions = jnp.linalg.eigh(fisher)
    return Identifiability(levels, directions, jnp.sqrt(jnp.diagonal(inverse(fisher))))


@final
class Selection(eqx.Module):
    """Which couplings are there.

    Args:
        model: the kept strings, refitted, with the covariance of their couplings.
        full: all candidates, fitted.
        z: fitted coupling over its error, for each candidate.
        p_values: two-sided, of no coupling.
        kept: which candidates are kept.
    """

    model: PauliGibbs
    full: PauliGibbs
    z: Float[Array, " terms"]
    p_values: Float[Array, " terms"]
    kept: Bool[Array, " terms"]


def select(candidates: PauliGibbs, shots: ShotData, *, discoveries: float = 0.01, dependent: bool = False) -> Selection:
    r"""The couplings that shots prove to be there, with a bound on the expected share of false ones, refitted.

    All candidates are fitted by likelihood, $z_j = \theta_j / \sigma_j$; those with the k smallest p-values are kept,
    k the last one with $p_{(k)} \le k q / m$ (Benjamini and Hochberg). Then the kept ones are fitted alone.

    Args:
        candidates: strings to choose from (`candidate_terms`), and couplings to start from.
        shots: the data.
        discoveries: q, the false share allowed, in (0, 1).
        dependent: divide q by $\sum 1/j$, a bound that holds for any dependence of the errors.

    Raises:
        ConfigError: q is out of range.
        DataError: the shots have another number of sites, do not tell some candidate at all, or prove none to be there.
        ConvergenceError: the likelihood search did not converge.

    Source: Benjamini and Hochberg, J. R. Stat. Soc. B 57, 289 (1995); Benjamini and Yekutieli, Ann. Stat. 29 (2001).
    """
    if not 0 < discoveries < 1:
        raise ConfigError(
            "The share of false discoveries is a fraction.", got=discoveries, expected="0 < q < 1", try_="0.01"
        )
    shots.check_sites(candidates.hilbert)
    _check_told(candidates, shots.times_measured(candidates.strings) > 0)
    full = _fit(candidates, shots)
    error = np.sqrt(np.diagonal(full.covariance))
    _check_told(candidates, np.isfinite(error))
    z = np.asarray(full.theta) / error
    p = np.asarray(jax.scipy.special.erfc(np.abs(z) / np.sqrt(2)))
    count = len(p)
    allowed = discoveries / (np.sum(1 / np.arange(1, count + 1)) if dependent else 1.0)
    below = np.flatnonzero(np.sort(p) <= allowed * np.arange(1, count + 1) / count)
    kept = p <= np.sort(p)[below[-1]] if len(below) else np.zeros(count, bool)
    if not kept.any():
        raise DataError(
            "The shots do not prove any coupling to be there.",
            got=f"largest |z| {np.abs(z).max():.2f} of {count} candidates",
            expected=f"at least one p-value below {allowed / count:.1e}",
            try_="more shots, fewer candidates, or a larger share of false discoveries",
        )
    words = [word for word, good in zip(candidates.terms, kept) if good]
    fewer = PauliGibbs(words, np.asarray(full.theta)[kept], hilbert=candidates.hilbert)
    return Selection(_fit(fewer, shots), full, jnp.asarray(z), jnp.asarray(p), jnp.asarray(kept))


def candidate_terms(hilbert: AbstractHilbert, body: int = 2) -> tuple[str, ...]:
    """All Pauli strings on up to `body` sites, wherever they are.

    Raises:
        ConfigError: there are no strings on so many sites.

    Example:
        >>> from qml.gibbs import candidate_terms
        >>> from qml.hilbert import Spin
        >>> len(candidate_terms(Spin(6)))
        153
    """
    if not 1 <= body <= hilbert.n_sites:
        raise ConfigError("No strings act on so many sites.", got=body, expected=f"1 to {hilbert.n_sites}", try_="2")
    words = []
    for count in range(1, body + 1):
        for sites in itertools.combinations(range(hilbert.n_sites), count):
            for letters in itertools.product("XYZ", repeat=count):
                at = dict(zip(sites, letters))
                words.append("".join(at.get(i, "I") for i in range(hilbert.n_sites)))
    return tuple(words)


def _check_told(candidates: PauliGibbs, told: np.ndarray) -> None:
    if not np.all(told):
        names = [candidates.strings.short(int(k)) for k in np.flatnonzero(~told)[:6]]
        raise DataError(
            "The shots do not tell some candidates at all.",
            got=f"no information about {', '.join(names)}",
            expected="bases that measure every candidate, and not more candidates than outcomes",
            try_="fewer candidates, or more bases: identifiability(model, shots) names the blind ones",
        )


def _fit(model: PauliGibbs, shots: ShotData) -> PauliGibbs:
    objective = DataObjective(shots, "likelihood")  # a coupling is judged by how much its absence would cost
    found, moved, stalled = _scoring(objective, model, objective.prepare(model))
    if not (float(moved) <= _TOLERANCE or bool(stalled)):
        raise ConvergenceError(
            "The likelihood search did not converge.",
            got=f"couplings still move by {float(moved):.1e} after {_STEPS} steps",
            expected=f"at most {_TOLERANCE:g}",
            try_="more shots or fewer candidates",
        )
    return found


@linalg.jitted
def _scoring(objective: DataObjective, model: PauliGibbs, data: PyTree) -> tuple[Any, Array, Array]:
    """Fisher scoring until no coupling moves."""

    def go_on(loop: tuple) -> Array:
        _, moved, stalled, steps = loop
        return (moved > _TOLERANCE) & ~stalled & (steps < _STEPS)

    def step(loop: tuple) -> tuple:
        model, _, _, steps = loop
        model, _, info = objective.advance(model, data, jnp.ones(()), jnp.zeros(()))
        return model, info["natural_gradient"], info["stalled"], steps + 1

    begin = (model, jnp.array(jnp.inf), jnp.array(False), jnp.array(0))
    model, moved, stalled, _ = jax.lax.while_loop(go_on, step, begin)
    return objective.finish(model, data), moved, stalled
