r"""Thermal states known by products with vectors alone: traces and metrics from random vectors, each with an error."""

from collections.abc import Callable, Iterable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from qml import linalg
from qml._core.errors import ConfigError, ConvergenceError, ShapeError, unknown_name
from qml._core.types import Array, Float, Inexact, RandomKey
from qml.estimate.stats import Stats
from qml.gibbs.engine import METRICS
from qml.gibbs.learned import LearnedHamiltonian
from qml.gibbs.model import distinct
from qml.hilbert import AbstractHilbert, Spin
from qml.linalg.krylov import chebyshev
from qml.operator.matvec import elements, prepare
from qml.operator.strings import PauliStrings

LOST = 1e-7  # largest relative error of a vector exp(-K / 2) |r>
_NODES = 24  # at most, of the integrals over powers of the state
_FIT = 1e-9  # largest error of a kernel that is made of powers of the state, or of times


@final
class VectorGibbs(eqx.Module):
    r"""$\rho = e^{-K}/Z$, $K = \sum_j \theta_j P_j$, by Chebyshev series of K times random vectors; no matrix is made.

    $\mathrm{Tr}\,A \approx \frac1R \sum_r \langle r|A|r\rangle$, and $e^{-\tau K}|r\rangle$ is a series of Chebyshev
    polynomials, $|\theta|_1$ bounding the spectrum. Errors are those of a jackknife over the vectors. All numbers
    of an object share its vectors, so that differences between couplings (`with_theta`) are more precise than each.

    Args:
        terms: Pauli strings, letters in site order.
        theta: couplings `[terms]`.
        key: typed key of real (complex, for complex K) normal vectors; used up.
        vectors: R, at least 2.
        starts: these vectors instead `[vectors, size]`, with a mean of $|r\rangle\langle r|$ of one: an orthonormal
            basis times the root of its size makes all numbers exact.
        covariance: of the couplings `[terms, terms]`, from learning; `None` is zero, exactly known.

    Raises:
        ShapeError: there is not one finite coupling for each string, or starts do not fit.
        ConfigError: neither key nor starts, or fewer than two vectors.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from qml.gibbs import VectorGibbs
        >>> found = VectorGibbs(("ZZ", "XI"), [-0.5, 0.3], starts=2 * jnp.eye(4))
        >>> print(f"{found.log_partition().mean:.6f}")
        1.547453

    Source: Weisse, Wellein, Alvermann, Fehske, Rev. Mod. Phys. 78, 275 (2006); Hams and De Raedt, Phys. Rev. E 62,
    4365 (2000).
    """

    theta: Float[Array, " terms"]
    starts: Inexact[Array, "vectors size"]
    covariance: Float[Array, "terms terms"]
    strings: PauliStrings = eqx.field(static=True)
    hilbert: AbstractHilbert = eqx.field(static=True)

    def __init__(
        self,
        terms: Iterable[str],
        theta: Any,
        *,
        key: RandomKey | None = None,
        vectors: int = 16,
        starts: Any = None,
        covariance: Any = None,
    ):
        words, couplings = one_for_each(terms, theta)
        sites = len(words[0])
        self.strings, self.hilbert = distinct(words, sites), Spin(sites)
        self.theta = jnp.asarray(couplings)
        self.covariance = jnp.zeros((len(words),) * 2) if covariance is None else jnp.asarray(covariance, float)
        if starts is None and (key is None or vectors < 2):
            raise ConfigError(
                "Random vectors need a key, and an error needs two of them.",
                got=f"key={key}, vectors={vectors}",
                expected="key=jax.random.key(...), vectors >= 2",
                try_="key=jax.random.key(0)",
            )
        dtype = float if self.strings.is_real else complex
        shape = (vectors, self.hilbert.size)
        if key is not None and starts is None:
            starts = jax.random.normal(key, shape, dtype)
        self.starts = jnp.asarray(starts, dtype)
        if self.starts.ndim != 2 or self.starts.shape[1] != shape[1]:
            raise ShapeError(
                "The vectors do not fit the space.",
                got=f"shape {self.starts.shape}",
                expected=f"[vectors, {shape[1]}]",
                try_="starts=None",
            )

    def with_theta(self, theta: Any) -> "VectorGibbs":
        """Other couplings with the same vectors."""
        return eqx.tree_at(lambda m: m.theta, self, jnp.asarray(theta, float))

    def hamiltonian(self, beta: float = 1.0) -> LearnedHamiltonian:
        """See `PauliGibbs.hamiltonian`; learned couplings have the errors of the data and of the random vectors."""
        return LearnedHamiltonian.of(self, beta)

    def log_partition(self) -> Stats:
        r"""$\log Z$."""
        z, _ = self._moments()
        return jackknife(lambda z: jnp.log(z) + self._bound(), (z,))

    def marginals(self) -> Stats:
        r"""$\eta_j = \mathrm{Tr}\,\rho P_j$ `[terms]`."""
        return jackknife(lambda z, m: m / z, self._moments())

    def entropy(self) -> Stats:
        r"""$S = \log Z + \theta \cdot \eta$ in nats."""
        return jackknife(lambda z, m: jnp.log(z) + self._bound() + self.theta @ m / z, self._moments())

    def metric_product(self, direction: Any, kind: str = "bkm") -> Stats:
        r"""A metric of the couplings times a direction v, without the metric.

        For `"bkm"`, `"wy"` and `"sym"` the kernel is $\sum_s w_s\, p_a^s p_b^{1-s}$ with positive weights, and
        $(Iv)_j = \sum_s w_s \mathrm{Re}\,\mathrm{Tr}(\rho^s G \rho^{1-s} P_j) - (\eta \cdot v)\, \eta_j$ with
        $G = \sum_j v_j P_j$. For `"sld"` it is
        $\mathrm{Re}\,\mathrm{Tr}\,\rho\, \Phi(G) \Phi(P_j) - (\eta \cdot v)\, \eta_j$ with
        $\Phi(G) = \int p(t)\, e^{-iKt} G e^{iKt} dt$, a sum over times: a hundred times the work.

        Args:
            direction: v `[terms]`.
            kind: see `PauliGibbs.metric`.

        Raises:
            ConfigError: no such metric.

        Source: Patel and Wilde, arXiv:2410.24058 (the integral over times).
        """
        parts = (*self._moments(), self._second(jnp.asarray(direction, float), self._plan(kind)))
        v = jnp.asarray(direction, float)
        return jackknife(lambda z, m, q: (q - (m @ v) * m / z) / z, parts)

    def products(self, kind: str = "bkm") -> Callable[[Array], Array]:
        """The mean of `metric_product` as a pure, symmetric, positive semidefinite function of the direction."""
        plan, (z, m) = self._plan(kind), (jnp.mean(a, axis=0) for a in self._moments())

        def times(direction: Array) -> Array:
            q = jnp.mean(self._second(direction, plan), axis=0)
            return (q - (m @ direction) * m / z) / z

        return times

    def _bound(self) -> Array:
        return jnp.sum(jnp.abs(self.theta))

    def _host_bound(self) -> float:
        return float(np.sum(np.abs(np.asarray(self.theta))))

    def _moments(self) -> tuple[Array, Array]:
        """For each vector <r|exp(-K)|r> and <r|exp(-K/2) P_j exp(-K/2)|r>, times exp(-bound)."""
        z, m = _moments(self, self._series(0.5))
        lost = np.finfo(float).eps * np.sqrt(np.max(np.sum(np.abs(self.starts) ** 2, axis=1) / z))
        if not lost <= LOST:
            raise ConvergenceError(
                "The state is too cold for a Chebyshev series of its exponential.",
                got=f"a relative error of {lost:.1e}",
                expected=f"at most {LOST:.0e}",
                try_='thermal_numbers(..., method="lanczos")',
            )
        return z, m

    def _series(self, power: float) -> Array:
        r"""Coefficients of $e^{-\tau (K + b)}$ in Chebyshev polynomials of K / b."""
        reach = power * self._host_bound()
        count = int(reach + 12 + 4 * np.sqrt(2 * reach)) + 2
        values = 2 * scipy.special.ive(np.arange(count), reach) * (-1.0) ** np.arange(count)
        values[0] /= 2
        return jnp.asarray(values)

    def _plan(self, kind: str) -> Any:
        """Nodes: (weight, series of the power on the vector, series of the power in between), or those in time."""
        if kind not in METRICS:
            unknown_name("metric", kind, METRICS)
        if kind == "sld":
            return *_times(self._host_bound()), self._series(0.5)
        if kind == "sym":
            return jnp.ones(1), self._series(0.5)[None], jnp.ones((1, 2)) * jnp.array([[1.0, 0.0]])
        nodes, weights = _nodes(kind, 2 * self._host_bound())
        return jnp.asarray(weights), self._padded((1 - nodes) / 2), self._padded(nodes)

    def _padded(self, powers: np.ndarray) -> Array:
        """Series of several powers, filled up with zeros."""
        rows = [np.asarray(self._series(float(p))) for p in powers]
        count = max(len(row) for row in rows)
        return jnp.asarray(np.array([np.pad(row, (0, count - len(row))) for row in rows]))

    def _second(self, direction: Array, plan: Any) -> Array:
        if plan[1].dtype.kind == "c":
            return _in_time(self, direction, *plan)
        return _powers(self, direction, *plan)


def one_for_each(terms: Iterable[str], theta: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """Strings and their couplings.

    Raises:
        ShapeError: there is not one finite coupling for each string.
    """
    words, couplings = tuple(terms), np.asarray(theta, float)
    if not words or couplings.shape != (len(words),) or not np.all(np.isfinite(couplings)):
        raise ShapeError(
            "There is one finite coupling for each string.",
            got=f"{len(words)} strings, couplings of shape {couplings.shape}",
            expected=f"[{len(words)}]",
            try_="theta in the order of the strings",
        )
    return words, couplings


def _nodes(kind: str, width: float) -> tuple[np.ndarray, np.ndarray]:
    r"""Powers s in (0, 1/2) and weights, so that $\sum_s w_s (e^{-sx} + e^{-(1-s)x})/2$ is the kernel over max p."""
    x = np.geomspace(1e-2, max(width, 1.0), 60)
    mean = -np.expm1(-x) / x
    wanted = mean if kind == "bkm" else 4 * mean**2 / (1 + np.exp(-x / 2)) ** 2
    for count in range(3, _NODES):  # 1 - s gives what s gives in exact traces, so that half of the powers do
        nodes, weights = np.polynomial.legendre.leggauss(count)
        nodes, weights = (nodes + 1) / 4, weights / 2
        weights = weights * 4 * nodes if kind == "wy" else weights
        made = (np.exp(-np.outer(x, nodes)) + np.exp(-np.outer(x, 1 - nodes))) @ weights / 2
        if np.max(np.abs(made - wanted)) < _FIT:
            break
    return nodes, weights


def jackknife(function: Callable, parts: tuple) -> Stats:
    """A function of means over the vectors, with the error of leaving one out."""
    count = parts[0].shape[0]
    value = function(*(jnp.mean(a, axis=0) for a in parts))
    left_out = jax.vmap(function)(*((jnp.sum(a, axis=0)[None] - a) / (count - 1) for a in parts))
    centre = jnp.mean(left_out, axis=0)
    error = jnp.sqrt((count - 1) * jnp.mean(jnp.abs(left_out - centre[None]) ** 2, axis=0))
    return Stats.independent(value, error, count)


def _map(model: VectorGibbs, couplings: Array) -> Any:
    return prepare(model.strings, couplings, model.hilbert)


def string_products(strings: PauliStrings, vector: Array, left: Array | None = None) -> Array:
    r"""$P_j|v\rangle$ of all strings `[terms, size]`; with u only $\langle u|P_j|v\rangle$ `[terms]`."""
    index = jnp.arange(vector.shape[0], dtype=jnp.uint32)
    phases = elements(strings, jnp.ones(len(strings)))
    masks = jnp.asarray(np.array([strings.flips, strings.signs], dtype=np.uint32))

    def one(string: tuple[Array, Array, Array]) -> Array:
        flip, sign, phase = string
        odd = (jax.lax.population_count(index & sign) & 1).astype(bool)
        moved = vector[index ^ flip]
        moved = jnp.where(odd, -moved, moved)
        return phase * (moved if left is None else jnp.vdot(left, moved))

    return jax.lax.map(one, (masks[0], masks[1], phases))


def brackets(strings: PauliStrings, left: Array, right: Array) -> Array:
    r"""$\mathrm{Re}\,\langle u|P_j|v\rangle$ of all strings."""
    return string_products(strings, right, left).real


@linalg.jitted
def _moments(model: VectorGibbs, half: Array) -> tuple[Array, Array]:
    k, bound = _map(model, model.theta), model._bound()

    def one(start: Array) -> tuple[Array, Array]:
        vector = chebyshev(k, start, half, jnp.zeros(()), bound)
        return jnp.vdot(vector, vector).real, brackets(model.strings, vector, vector)

    return jax.lax.map(one, model.starts)


@linalg.jitted
def _powers(model: VectorGibbs, direction: Array, weights: Array, outer: Array, inner: Array) -> Array:
    r"""Of each vector $\sum_s w_s \mathrm{Re}\langle P_j a_s | e^{-sK} G a_s\rangle$, $a_s = e^{(s-1)K/2}|r\rangle$."""
    k, g, bound = _map(model, model.theta), _map(model, direction), model._bound()

    def one(start: Array) -> Array:
        def add(total: Array, node: tuple[Array, Array, Array]) -> tuple[Array, None]:
            weight, above, between = node
            near = chebyshev(k, start, above, jnp.zeros(()), bound)
            far = chebyshev(k, g(near), between, jnp.zeros(()), bound)
            return total + weight * brackets(model.strings, near, far), None

        return jax.lax.scan(add, jnp.zeros(direction.shape), (weights, outer, inner))[0]

    return jax.lax.map(one, model.starts)


def _times(bound: float) -> tuple[Array, Array, Array]:
    r"""$\tanh(\omega/2)/(\omega/2) = \sum_k c_k \cos kh\omega$ on $|\omega| \le 2b$: c, and series of $e^{\pm ihK}$."""
    width = max(2 * bound, 1.0)
    step = np.pi / (1.3 * width)
    omega = width * np.cos(np.linspace(0, np.pi / 2, 801))
    wanted = np.where(omega > 1e-12, np.tanh(omega / 2) / np.maximum(omega / 2, 1e-300), 1.0)
    for count in range(8, 8 + int(12 / step), max(1, int(0.5 / step))):
        table = np.cos(step * omega[:, None] * np.arange(count)[None, :])
        weights = np.linalg.lstsq(table, wanted, rcond=1e-13)[0]
        if np.max(np.abs(table @ weights - wanted)) < _FIT:
            break
    reach = step * bound
    order = np.arange(int(reach + 30))
    series = 2 * (1j**order) * scipy.special.jv(order, reach)
    series[0] /= 2
    return jnp.asarray(weights), jnp.asarray(series), jnp.asarray(series.conj())


@linalg.jitted
def _in_time(model: VectorGibbs, direction: Array, weights: Array, on: Array, back: Array, half: Array) -> Array:
    r"""$\mathrm{Re} \langle \Phi(P_j) a | \Phi(G) a\rangle$ with $a = e^{-K/2}|r\rangle$, for each vector."""
    k, g, bound = _map(model, model.theta), _map(model, direction), model._bound()

    def go(vector: Array, series: Array) -> Array:
        return chebyshev(k, vector, series, jnp.zeros(()), bound)

    def one(start: Array) -> Array:
        near = go(start, half).astype(complex)
        total, out = jnp.zeros_like(near), jnp.zeros(direction.shape)
        for forth, home in ((on, back), (back, on)):  # times of either sign, each with half the weight
            last = jax.lax.fori_loop(0, weights.shape[0] - 1, lambda _, u, forth=forth: go(u, forth), near)

            def collect(loop: tuple, weight: Array, home: Array = home) -> tuple[tuple, None]:
                moved, summed = loop
                summed = go(summed, home) + weight / 2 * g(moved)
                return (go(moved, home), summed), None

            (_, summed), _ = jax.lax.scan(collect, (last, jnp.zeros_like(near)), weights[::-1])
            total = total + summed
        for forth in (on, back):

            def add(loop: tuple, weight: Array, forth: Array = forth) -> tuple[tuple, None]:
                left, right, out = loop
                out = out + weight / 2 * brackets(model.strings, left, right)
                return (go(left, forth), go(right, forth), out), None

            (_, _, out), _ = jax.lax.scan(add, (near, total, out), weights)
        return out

    return jax.lax.map(one, model.starts)
