"""Thermal states whose couplings are tied to each other, by symmetry or by hand."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from qml import linalg
from qml._core.errors import DataError, ShapeError
from qml._core.types import Array, Float, Inexact
from qml.estimate.stats import Stats
from qml.gibbs.family import AbstractLinear
from qml.gibbs.learned import LearnedHamiltonian
from qml.gibbs.model import PauliGibbs, with_arrays
from qml.hilbert import AbstractHilbert
from qml.operator import AbstractOperator
from qml.operator.strings import PauliStrings


@final
class TiedGibbs(AbstractLinear):
    r"""Thermal states $\rho = e^{-K}/Z$, $K = \sum_k t_k G_k$, of fixed sums of strings $G_k = \sum_j A_{jk} P_j$.

    Fewer couplings from the same shots: their errors are smaller by about the root of the number of strings they share.
    All objectives and optimisers for couplings take it like a `PauliGibbs`; its marginals are $\mathrm{Tr}\,\rho G_k$.

    Args:
        groups: for each coupling its strings, a list of them or `{string: factor}`.
        couplings: t `[params]`; `None` is zero.
        hilbert: unconstrained spin-1/2 space; `None` is one of as many sites as the strings have letters.
        covariance: of the couplings `[params, params]`, from learning; `None` is zero.

    Raises:
        ShapeError: there are no groups, a string comes twice, groups are linearly dependent, or shapes do not fit.
        SpaceError: see `PauliGibbs`.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import TiedGibbs
        >>> ring = TiedGibbs([["ZZI", "IZZ", "ZIZ"], ["XII", "IXI", "IIX"]], jnp.array([-0.5, 0.3]))
        >>> print(ring.hamiltonian())
        -0.5 Z0 Z1 - 0.5 Z1 Z2 - 0.5 Z0 Z2 + 0.3 X0 + 0.3 X1 + 0.3 X2
    """

    couplings: Float[Array, " params"]
    covariance: Float[Array, "params params"]
    tie: Float[Array, "terms params"]
    base: PauliGibbs

    def __init__(
        self,
        groups: Iterable[Any],
        couplings: Any = None,
        *,
        hilbert: AbstractHilbert | None = None,
        covariance: Any = None,
    ):
        tables = [dict(g) if isinstance(g, Mapping) else dict.fromkeys(g, 1.0) for g in groups]
        words = list(dict.fromkeys(word for table in tables for word in table))
        tie = np.array([[float(table.get(word, 0.0)) for table in tables] for word in words])
        if not words or not np.all(np.isfinite(tie)) or np.linalg.matrix_rank(tie) < len(tables):
            raise ShapeError(
                "The sums of strings that share a coupling are linearly independent.",
                got=f"{len(tables)} groups of {len(words)} strings",
                expected="one group or more, none of them empty or a sum of the others",
                try_='[["ZZI", "IZZ"], ["XII", "IXI", "IIX"]]',
            )
        self.base = PauliGibbs(words, hilbert=hilbert)
        self.tie = jnp.asarray(tie)
        self.couplings = jnp.zeros(len(tables)) if couplings is None else jnp.asarray(couplings, float)
        self.covariance = jnp.zeros((len(tables),) * 2) if covariance is None else jnp.asarray(covariance, float)
        if self.couplings.shape != (len(tables),) or self.covariance.shape != (len(tables),) * 2:
            raise ShapeError(
                "There is one coupling for each group.",
                got=f"shapes {self.couplings.shape} and {self.covariance.shape}",
                expected=f"[{len(tables)}] and [{len(tables)}, {len(tables)}]",
                try_="couplings=None",
            )

    @classmethod
    def symmetric(
        cls, terms: Iterable[str], permutations: Any, *, hilbert: AbstractHilbert | None = None
    ) -> "TiedGibbs":
        """Strings that a symmetry turns into each other share a coupling; couplings zero.

        Args:
            terms: strings; those that the symmetry makes of them are added.
            permutations: site s goes to `permutations[g, s]` `[elements, sites]`: the `permutations` of a space group.
            hilbert: see above.

        Raises:
            DataError: the permutations are none, or not of as many sites as the strings have letters.

        Example:
            >>> from qml.gibbs import TiedGibbs
            >>> ring = [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
            >>> TiedGibbs.symmetric(["ZZI", "XII"], ring).groups
            ({'ZZI': 1.0, 'IZZ': 1.0, 'ZIZ': 1.0}, {'XII': 1.0, 'IXI': 1.0, 'IIX': 1.0})
        """
        moves, words = np.asarray(permutations), tuple(terms)
        sites = len(words[0]) if words else 0
        if (
            moves.ndim != 2
            or len(moves) == 0
            or not np.array_equal(np.sort(moves), np.tile(np.arange(sites), (len(moves), 1)))
        ):
            raise DataError(
                "These are no permutations of the sites.",
                got=f"shape {moves.shape}",
                expected=f"rows that hold 0 to {sites - 1} once [elements, {sites}]",
                try_="symmetries.space_group(lattice).permutations",
            )
        seen: set[str] = set()
        groups = []
        for word in words:
            if word not in seen:
                orbit = list(dict.fromkeys("".join(np.array(list(word))[np.argsort(move)]) for move in moves))
                seen.update(orbit)
                groups.append(dict.fromkeys(orbit, 1.0))
        return cls(groups, hilbert=hilbert)

    @property
    def groups(self) -> tuple[dict[str, float], ...]:
        """The strings of each coupling, with their factors."""
        columns = np.asarray(self.tie).T.tolist()
        return tuple({w: a for w, a in zip(self.base.terms, column, strict=True) if a} for column in columns)

    @property
    def hilbert(self) -> AbstractHilbert:  # type: ignore[override]
        """The space."""
        return self.base.hilbert

    @property
    def strings(self) -> PauliStrings:
        """All strings."""
        return self.base.strings

    @property
    def params(self) -> Float[Array, " params"]:
        """See `AbstractGibbs.params`: the couplings t."""
        return self.couplings

    def with_params(self, params: Any) -> "TiedGibbs":
        """See `AbstractGibbs.with_params`; the covariance is left as it is."""
        return eqx.tree_at(lambda m: m.couplings, self, params)

    def free(self) -> PauliGibbs:
        r"""The same state with one coupling for each string, $\theta = A t$, and their covariance."""
        return _free(self)

    def log_partition(self) -> Float[Array, ""]:
        """See `AbstractGibbs.log_partition`."""
        return self.free().log_partition()

    def entropy(self) -> Float[Array, ""]:
        """See `AbstractGibbs.entropy`."""
        return self.free().entropy()

    def density(self) -> Inexact[Array, "size size"]:
        """See `AbstractGibbs.density`."""
        return self.free().density()

    def expect(self, operator: AbstractOperator) -> Stats:
        """See `PauliGibbs.expect`."""
        return self.free().expect(operator)

    def modular(self, density: Inexact[Array, "size size"]) -> Float[Array, ""]:
        """See `AbstractGibbs.modular`."""
        return self.free().modular(density)

    def marginals(self) -> Float[Array, " params"]:
        r"""$\mathrm{Tr}\,\rho G_k$, minus the derivatives of $\log Z$ in the couplings."""
        return self.free().marginals() @ self.tie

    def metric(self, kind: str = "bkm") -> Float[Array, "params params"]:
        """The metric in the couplings, see `PauliGibbs.metric`."""
        return self.tie.T @ self.free().metric(kind) @ self.tie

    def metric_blocks(self, kind: str = "bkm") -> Float[Array, "params params"]:
        """See `AbstractGibbs.metric_blocks`: one block, the `metric`."""
        return self.metric(kind)

    def hvp(self, direction: Float[Array, " params"]) -> Float[Array, " params"]:
        """See `AbstractGibbs.hvp`."""
        return self.free().hvp(self.tie @ direction) @ self.tie

    def hamiltonian(self, beta: float = 1.0) -> LearnedHamiltonian:
        """See `PauliGibbs.hamiltonian`: an error bar on the coefficient of every string."""
        return self.free().hamiltonian(beta)


@linalg.jitted
def _free(model: TiedGibbs) -> PauliGibbs:
    blind = jnp.isinf(jnp.diagonal(model.covariance))
    known = jnp.where(blind[:, None] | blind[None, :], 0.0, model.covariance)
    lost = (jnp.abs(model.tie) @ blind.astype(float)) > 0
    covariance = model.tie @ known @ model.tie.T
    covariance = jnp.where(jnp.diag(lost), jnp.inf, covariance)
    return with_arrays(model.base, model.tie @ model.couplings, covariance)


def mean_state(models: Sequence[PauliGibbs], weights: Any) -> PauliGibbs:
    r"""The log-Euclidean mean $\rho \propto e^{-\sum_i w_i K_i}$ of thermal states of the same strings.

    Args:
        models: the states.
        weights: w `[states]`, of any sign; for weights of sum one, between (or beyond) the states.

    Raises:
        ShapeError: there are no states, their strings differ, or there is not one finite weight for each.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import PauliGibbs, mean_state
        >>> cold, hot = PauliGibbs(("Z",), jnp.array([2.0])), PauliGibbs(("Z",), jnp.array([0.5]))
        >>> print(mean_state([cold, hot], [0.5, 0.5]).theta)
        [1.25]

    Source: Arsigny, Fillard, Pennec, Ayache, SIAM J. Matrix Anal. Appl. 29, 328 (2007).
    """
    parts = np.asarray(weights, float)
    same = len({model.strings for model in models}) == 1
    if not (same and parts.shape == (len(models),) and np.all(np.isfinite(parts))):
        raise ShapeError(
            "A mean is of states with the same strings, with one weight for each.",
            got=f"{len(models)} states, weights of shape {parts.shape}",
            expected="the same strings in the same order, finite weights",
            try_="models made by with_theta",
        )
    return models[0].with_theta(sum(w * model.theta for w, model in zip(parts, models, strict=True)))
