"""Gibbs states of Pauli Hamiltonians as records: strings are static, couplings are traced."""

import functools
from collections.abc import Iterable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer

from qml import linalg
from qml._core.errors import ShapeError, SpaceError
from qml._core.precision import real_dtype, require_x64
from qml._core.types import Array, Float, Inexact
from qml.estimate.stats import Stats
from qml.gibbs import engine
from qml.gibbs.family import AbstractLinear, metric_product
from qml.gibbs.learned import LearnedHamiltonian
from qml.hilbert import AbstractHilbert, Spin
from qml.operator import AbstractOperator, PauliSum
from qml.operator.strings import PauliStrings, merge, parse


@final
class PauliGibbs(AbstractLinear):
    r"""The thermal state $\rho_\theta = e^{-K} / Z$ with $K = \sum_j \theta_j P_j$, exact and dense (at most 12 sites).

    Every method costs one eigendecomposition of a $2^n$ matrix. `log_partition`, `density`, `expect`, `entropy` and
    `marginals` may be differentiated twice with respect to `theta`, also where levels are degenerate.

    Args:
        terms: Pauli strings in site order, such as `("XI", "ZZ")`; distinct, without the identity.
        theta: couplings `[terms]`, real, dimensionless ($\beta$ times an energy); `None` is zero, the mixed state.
        hilbert: unconstrained spin-1/2 space; `None` is one of as many sites as the strings have letters.
        covariance: covariance of `theta` `[terms, terms]`, from learning; `None` is zero, exactly known.

    Raises:
        SpaceError: the space is constrained, not spin-1/2 or too large, or a string is unknown.
        ShapeError: strings repeat, or array shapes do not fit.
        PrecisionError: JAX runs in 32-bit mode.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import PauliGibbs
        >>> model = PauliGibbs(("Z",), jnp.array([0.5]))
        >>> print(f"{model.marginals()[0]:.6f} {model.log_partition():.6f}")
        -0.462117 0.813262
    """

    theta: Float[Array, " terms"]
    covariance: Float[Array, "terms terms"]
    strings: PauliStrings = eqx.field(static=True)
    hilbert: AbstractHilbert = eqx.field(static=True)

    def __init__(
        self,
        terms: Iterable[str],
        theta: Any = None,
        *,
        hilbert: AbstractHilbert | None = None,
        covariance: Any = None,
    ):
        require_x64("PauliGibbs")
        terms = tuple(terms)
        if not terms or not all(isinstance(word, str) for word in terms):
            raise ShapeError(
                "A Gibbs model needs Pauli strings.",
                got=repr(terms)[:80],
                expected="at least one string",
                try_='("XI", "ZZ")',
            )
        hilbert = Spin(max(1, len(terms[0]))) if hilbert is None else hilbert
        engine.check_space(hilbert)
        self.strings, self.hilbert = distinct(terms, hilbert.n_sites), hilbert
        self.theta = _array(theta, (len(terms),), "theta")
        self.covariance = _array(covariance, (len(terms), len(terms)), "covariance")

    @classmethod
    def local(cls, hilbert: AbstractHilbert, lattice: Any, body: int = 2) -> "PauliGibbs":
        """All Pauli strings on single sites and, for `body=2`, on the bonds of a lattice; couplings zero.

        Args:
            hilbert: unconstrained spin-1/2 space.
            lattice: an object with `n_sites` and `edges()`.
            body: 1 or 2.

        Raises:
            SpaceError: the space is not unconstrained spin-1/2, or has another number of sites than the lattice.

        Example:
            >>> from qml.gibbs import PauliGibbs
            >>> from qml.hilbert import Spin
            >>> from qml.lattice import Chain
            >>> len(PauliGibbs.local(Spin(4), Chain(4, periodic=False)).terms)
            39
        """
        if body not in (1, 2) or lattice.n_sites != hilbert.n_sites:
            raise SpaceError(
                "There are no such local strings.",
                got=f"body={body} on {lattice.n_sites} lattice sites and {hilbert.n_sites} spins",
                expected="body 1 or 2, and one spin for each site of the lattice",
                try_="PauliGibbs(terms, hilbert=hilbert) for any list of strings",
            )
        n = hilbert.n_sites
        words = [_word(n, {i: a}) for i in range(n) for a in "XYZ"]
        bonds = lattice.edges() if body == 2 else ()
        words += [_word(n, {i: a, j: b}) for i, j in bonds for a in "XYZ" for b in "XYZ"]
        return cls(words, hilbert=hilbert)

    @property
    def terms(self) -> tuple[str, ...]:
        """The Pauli strings, letters in site order."""
        return tuple(self.strings.word(k) for k in range(len(self.strings)))

    @property
    def params(self) -> Float[Array, " terms"]:
        """See `AbstractGibbs.params`: `theta`."""
        return self.theta

    @property
    def tie(self) -> None:
        """One parameter for each string."""
        return None

    def with_params(self, params: Any) -> "PauliGibbs":
        """See `AbstractGibbs.with_params`; the covariance is left as it is."""
        return eqx.tree_at(lambda m: m.theta, self, params)

    def with_theta(self, theta: Any, covariance: Any = None) -> "PauliGibbs":
        """The same strings with other couplings.

        Raises:
            ShapeError: there is not one finite coupling for each string.
        """
        shape = self.theta.shape
        return with_arrays(self, _array(theta, shape, "theta"), _array(covariance, shape * 2, "covariance"))

    def log_partition(self) -> Float[Array, ""]:
        r"""$\log Z$; its gradient in `theta` is minus the marginals, its Hessian the Kubo-Mori metric."""
        return _log_partition(self)

    def entropy(self) -> Float[Array, ""]:
        r"""Von Neumann entropy $S = \log Z + \theta \cdot \eta$ in nats."""
        return _entropy(self)

    def marginals(self) -> Float[Array, " terms"]:
        r"""Expectations $\eta_j = \mathrm{Tr}(\rho P_j)$, the dual coordinates of `theta`."""
        return _marginals(self)

    def density(self) -> Inexact[Array, "size size"]:
        """The density matrix in basis order."""
        return _density(self)

    def expect(self, operator: AbstractOperator) -> Stats:
        r"""Expectation of an operator, with the error that the couplings' covariance C gives it.

        $\langle O\rangle = \mathrm{Tr}(\rho O)$ with error $\sqrt{g^T C g}$, $g_j = -\mathrm{Cov}_{KM}(P_j, O)$.

        Args:
            operator: on this model's space.

        Raises:
            SpaceError: the operator acts on another space.
        """
        engine.check_operator(self.hilbert, operator)
        return _expect(self, operator, operator.is_hermitian)

    def numbers(self) -> engine.Numbers:
        r"""State, $\log Z$, entropy and marginals from one eigendecomposition; not to be differentiated.

        Example:
            >>> import jax.numpy as jnp
            >>> from qml.gibbs import PauliGibbs
            >>> found = PauliGibbs(("Z",), jnp.array([0.5])).numbers()
            >>> print(f"{found.marginals[0]:.6f} {found.log_partition:.6f} {found.entropy:.6f}")
            -0.462117 0.813262 0.582203
        """
        return _numbers(self)

    def metric(self, kind: str = "bkm") -> Float[Array, "terms terms"]:
        r"""A monotone information metric in the couplings; $I_{sld} \le I_{wy} \le I_{bkm} \le I_{sym}$.

        Args:
            kind: `"bkm"` (Bogoliubov-Kubo-Mori, the Hessian of $\log Z$), `"sld"` (quantum Fisher information),
                `"wy"` (Wigner-Yanase) or `"sym"` (symmetric covariance).

        Raises:
            ConfigError: no such metric.

        Source: Petz, Linear Algebra Appl. 244, 81 (1996); Patel and Wilde, arXiv:2410.24058.
        """
        return _metric(self, kind)

    def metric_blocks(self, kind: str = "bkm") -> Float[Array, "terms terms"]:
        """See `AbstractGibbs.metric_blocks`: one block, the `metric`."""
        return self.metric(kind)

    def hvp(self, direction: Float[Array, " terms"]) -> Float[Array, " terms"]:
        r"""The Kubo-Mori metric times a direction, $-\partial_t \eta(\theta + t v)$, at the cost of one state."""
        return _hvp(self, direction)

    def modular(self, density: Inexact[Array, "size size"]) -> Float[Array, ""]:
        """See `AbstractGibbs.modular`."""
        return _modular(self, density)

    def hamiltonian(self, beta: float = 1.0) -> LearnedHamiltonian:
        r"""The Hamiltonian $H = K / \beta$ with an error bar on every coefficient.

        Args:
            beta: inverse temperature, > 0; with 1 the coefficients are the couplings themselves.

        Raises:
            DataError: `beta` is not positive.
        """
        return LearnedHamiltonian.of(self, beta)


def with_arrays(model: PauliGibbs, theta: Array, covariance: Array) -> PauliGibbs:
    """The same strings with other arrays, unchecked, so also under tracing."""
    return eqx.tree_at(lambda m: (m.theta, m.covariance), model, (theta, covariance))


def distinct(words: tuple[str, ...], n_sites: int) -> PauliStrings:
    """The strings of a model, in the order of the words.

    Raises:
        ShapeError: a string is there twice, or is the identity.
    """
    pairs = [parse(word, range(n_sites), n_sites) for word in words]
    strings, _ = merge(n_sites, pairs)
    if len(strings) < len(pairs) or (0, 0) in pairs:
        raise ShapeError(
            "The strings of a Gibbs model are distinct and not the identity, whose coupling is not observable.",
            got=f"{len(words)} strings, {len(strings)} distinct",
            expected="distinct strings with at least one letter X, Y or Z",
            try_="leave out repeated strings and the identity",
        )
    return strings


def _word(n_sites: int, letters: dict[int, str]) -> str:
    return "".join(letters.get(i, "I") for i in range(n_sites))


def _array(values: Any, shape: tuple[int, ...], what: str) -> Array:
    if values is None:
        return jnp.zeros(shape, real_dtype())
    array = jnp.asarray(values)
    good = array.shape == shape and not jnp.iscomplexobj(array)
    if good and not isinstance(array, Tracer):
        bad = jnp.isnan(array) if what == "covariance" else ~jnp.isfinite(array)
        good = not bool(jnp.any(bad))
    if not good:
        raise ShapeError(
            f"The array {what} does not fit the strings.",
            got=f"shape {array.shape}, dtype {array.dtype}",
            expected=f"finite real numbers of shape {shape} (variances may be infinite)",
            try_="one entry for each string",
        )
    return array.astype(real_dtype())


@linalg.jitted
def _log_partition(model: PauliGibbs) -> Array:
    return engine.log_partition(model.strings, model.theta)


@linalg.jitted
def _density(model: PauliGibbs) -> Array:
    return engine.density(model.strings, model.theta)


@linalg.jitted
def _marginals(model: PauliGibbs) -> Array:
    return engine.traces(model.strings, engine.density(model.strings, model.theta))


@linalg.jitted
def _entropy(model: PauliGibbs) -> Array:
    return engine.log_partition(model.strings, model.theta) + jnp.sum(_marginals(model) * model.theta)


@functools.partial(linalg.jitted, static_argnames="hermitian")
def _expect(model: PauliGibbs, operator: AbstractOperator, hermitian: bool) -> Stats:
    state = engine.density(model.strings, model.theta)
    if isinstance(operator, PauliSum):
        mean = jnp.sum(engine.traces(operator.strings, state) * operator.coefficients)
    else:
        mean = jnp.sum(state * operator.to_dense().T)
    mean = mean.real if hermitian else mean
    theta, covariance, frozen = jax.lax.stop_gradient((model.theta, model.covariance, operator))

    def error() -> Array:
        matrix = frozen.to_dense()
        parts = [(matrix + matrix.conj().T) / 2] + ([] if hermitian else [(matrix - matrix.conj().T) / 2j])
        thermal = engine.solve(model.strings, theta)
        slopes = [engine.covariances(model.strings, thermal, part) for part in parts]
        variance = sum((slope @ covariance @ slope for slope in slopes), start=jnp.zeros(()))
        return jnp.where(jnp.isnan(variance), jnp.inf, jnp.sqrt(jnp.abs(variance)))

    spread = jax.lax.cond(jnp.any(covariance != 0), error, lambda: jnp.zeros(()))
    return eqx.tree_at(lambda s: s.error, Stats.exact(mean), spread)


@linalg.jitted
def _numbers(model: PauliGibbs) -> engine.Numbers:
    return engine.numbers(model.strings, model.theta)


@linalg.jitted
def _hvp(model: PauliGibbs, direction: Array) -> Array:
    state = engine.solve(model.strings, model.theta)
    return metric_product(model, state, direction)


@linalg.jitted
def _modular(model: PauliGibbs, density: Array) -> Array:
    return jnp.sum(model.theta * engine.traces(model.strings, density))


@functools.partial(linalg.jitted, static_argnames="kind")
def _metric(model: PauliGibbs, kind: str) -> Array:
    return engine.metric(model.strings, engine.solve(model.strings, model.theta), kind)
