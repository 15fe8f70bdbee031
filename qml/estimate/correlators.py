"""Correlations of all pairs of sites, structure factors and order parameters, with errors."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError, SpaceError
from qml._core.types import Array, Float, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.covariance import combine
from qml.estimate.pairs import pair_values
from qml.estimate.samples import Samples
from qml.estimate.site import Products, products
from qml.estimate.stats import Stats
from qml.hilbert import AbstractHilbert
from qml.lattice import Lattice


def correlations(
    ansatz: Ansatz,
    params: Params,
    hilbert: AbstractHilbert,
    samples: Samples,
    operators: Any,
    *,
    sites: Sequence[int] | None = None,
    connected: bool = False,
    chunk: int | None = None,
) -> Stats:
    r"""Correlations $\langle A_i B_j\rangle$ of all pairs of sites, i = j included.

    Diagonal operators take one pass over the samples and no network call. Others take one call for each configuration
    that some pair reaches: two flipped spins serve $X_i X_j$ and $X_j X_i$, and all of $S_i \cdot S_j$. In a space
    with fixed totals the parts of $A_i B_j$ that leave it have expectation value zero, as they must.

    Args:
        ansatz: the wave function.
        params: its parameters.
        hilbert: its space.
        samples: weighted configurations.
        operators: one operator for both sites, or a pair `(A, B)`, each a name or a matrix `[d, d]` in the order of
            the local states: `"X"`, `"Y"`, `"Z"` on spins 1/2; `"Sx"`, `"Sy"`, `"Sz"`, `"S+"`, `"S-"` on all spins and
            `"SS"` for $S_i \cdot S_j$; `"n"`, `"create"`, `"annihilate"` on bosons and fermion modes, with the signs of
            the modes. Of fermions with spin `"n"` and `"Sz"` are counted by site.
        sites: some sites alone, of one kind; `None` is all.
        connected: subtract $\langle A_i\rangle\langle B_j\rangle$; the error counts their covariance.
        chunk: rows held at once; `None` plans.

    Returns:
        `[sites, sites]`; real where every $A_i B_j$ is Hermitian or all numbers are real.

    Raises:
        SpaceError: no such operator or sites.
        ShapeError: a matrix does not fit the local states.

    Example:
        >>> import jax.numpy as jnp
        >>> import qml
        >>> state = qml.FullSumState((jnp.zeros(4), lambda params, x: x @ params), qml.hilbert.Spin(4, magnetisation=0))
        >>> state.correlations("SS").mean[0].round(4).tolist()
        [0.75, 0.25, 0.25, 0.25]
    """
    return _correlations(ansatz, hilbert, products(hilbert, operators, sites), connected, chunk, params, samples)


@jax.jit(static_argnums=(0, 1, 2, 3, 4))
def _correlations(
    ansatz: Ansatz,
    hilbert: AbstractHilbert,
    terms: Products,
    connected: bool,
    chunk: int | None,
    params: Params,
    samples: Samples,
) -> Stats:
    values = pair_values(ansatz, params, hilbert, samples.x, samples.log_psi, terms, means=connected, chunk=chunk)
    pairs = values.pairs.real if terms.is_hermitian else values.pairs
    if not connected:
        return _rows(samples.statistics, jnp.moveaxis(pairs, 1, 0))

    def one(row: tuple[Array, Array]) -> Stats:
        """All pairs with one first site."""
        pair, left = row
        return combine(_cumulant, (samples, {"pairs": pair, "left": left, "right": values.right}))

    def _cumulant(mean: dict) -> Array:
        c = mean["pairs"] - mean["left"] @ mean["right"]
        return c.real if terms.is_hermitian else c

    return _rows(one, (jnp.moveaxis(pairs, 1, 0), jnp.moveaxis(values.left, 2, 0)))


def _rows(function: Callable[[Any], Stats], rows: Any) -> Stats:
    """Statistics of one first site after another: those of all pairs at once would not fit in memory."""
    stats = jax.lax.map(function, rows)
    return eqx.tree_at(lambda s: s.samples, stats, stats.samples[0])


def structure_factor(
    ansatz: Ansatz,
    params: Params,
    hilbert: AbstractHilbert,
    samples: Samples,
    lattice: Lattice,
    operators: Any,
    *,
    momenta: Any = None,
    sublattices: bool = False,
    connected: bool = False,
    chunk: int | None = None,
) -> Stats:
    r"""Static structure factor $S(q) = \frac1N \sum_{ij} e^{-i q \cdot (r_i - r_j)} \langle A_i B_j\rangle$.

    Positions are those of the sites, so the phases of a lattice with a basis are in $S(q)$; it repeats in the extended
    zone only where they do, and momenta there can be given. Resolved by sublattice it is
    $S_{ab}(q) = \frac1{N_c} \sum_{i \in a, j \in b}$ with the number $N_c$ of cells, and
    $S = \frac{N_c}{N} \sum_{ab} S_{ab}$.

    Args:
        ansatz: the wave function.
        params: its parameters.
        hilbert: its space, one place for each site of the lattice.
        samples: weighted configurations.
        lattice: gives positions and momenta; a twist has no effect.
        operators: as for `correlations`.
        momenta: Cartesian `[momenta, d]`, allowed on the cluster; `None` is all in the first zone, in the order of
            `lattice.momentum_numbers`.
        sublattices: resolve by sublattice, `[momenta, basis, basis]`.
        connected: subtract $\langle A_i\rangle\langle B_j\rangle$.
        chunk: rows held at once; `None` plans.

    Returns:
        `[momenta]`, real where $B = A^\dagger$; or `[momenta, basis, basis]`.

    Raises:
        SpaceError: no such operator, or the lattice does not fit the space.
        ShapeError: a momentum is not allowed on the cluster.

    Example:
        >>> import jax.numpy as jnp
        >>> import qml
        >>> state = qml.FullSumState((jnp.zeros(4), lambda params, x: x @ params), qml.hilbert.Spin(4, magnetisation=0))
        >>> state.structure_factor(qml.lattice.Chain(4), "Z").mean.round(2).tolist()
        [0.0, 1.33, 1.33, 1.33]
    """
    terms = products(hilbert, operators)
    if terms.n_values != lattice.n_sites:
        raise SpaceError(
            "The lattice does not fit the space.",
            got=f"{lattice.n_sites} sites for {terms.n_values} places of {hilbert}",
            expected="one place for each site",
            try_="the lattice of the Hamiltonian",
        )
    q = _momenta(lattice, momenta)
    waves = np.exp(1j * q @ lattice.positions.T)[:, None, :] / np.sqrt(lattice.n_sites)
    if sublattices:
        parts = np.arange(len(lattice.offsets))[:, None] == lattice.sublattices[None, :]
        waves = np.sqrt(len(lattice.offsets)) * waves * parts[None, :, :]
    stats = _weighted(ansatz, hilbert, terms, connected, chunk, not sublattices, params, samples, jnp.asarray(waves))
    return stats if sublattices else stats[:, 0, 0]


def order_parameter(
    ansatz: Ansatz,
    params: Params,
    hilbert: AbstractHilbert,
    samples: Samples,
    weights: Any,
    operators: Any,
    *,
    chunk: int | None = None,
) -> Stats:
    r"""Squared order parameter $\langle|m|^2\rangle = \frac1{N^2}\sum_{ij}\bar w_i w_j\langle A_i B_j\rangle$.

    With the signs of `staggered(lattice)` and `"SS"` it is the squared staggered magnetisation.

    Args:
        ansatz: the wave function.
        params: its parameters.
        hilbert: its space.
        samples: weighted configurations.
        weights: real or complex numbers $w_i$, `[sites]`.
        operators: as for `correlations`.
        chunk: rows held at once; `None` plans.

    Raises:
        SpaceError: no such operator.
        ShapeError: there is not one weight for each site.

    Example:
        >>> import jax.numpy as jnp
        >>> import qml
        >>> from qml.estimate import staggered
        >>> chain = qml.lattice.Chain(4)
        >>> model = (20 * jnp.array(staggered(chain)), lambda params, x: x @ params)
        >>> neel = qml.FullSumState(model, qml.hilbert.Spin(4))
        >>> print(neel.order_parameter(staggered(chain), "Z"))
        1
    """
    terms = products(hilbert, operators)
    waves = _weights(weights, terms.n_values)[None, None, :] / terms.n_values
    stats = _weighted(ansatz, hilbert, terms, False, chunk, True, params, samples, jnp.asarray(waves))
    return stats[0, 0, 0]


def binder(
    hilbert: AbstractHilbert, samples: Samples, weights: Any, operator: Any, *, sites: Sequence[int] | None = None
) -> Stats:
    r"""Binder cumulant $U = 1 - \langle|m|^4\rangle / 3\langle|m|^2\rangle^2$ of $m = \frac1N\sum_i w_i A_i$.

    2/3 where the order parameter has one size, 0 where it is Gaussian (real m). The error is that of the delta method.

    Args:
        hilbert: the space.
        samples: weighted configurations.
        weights: real or complex numbers $w_i$, `[sites]`.
        operator: a diagonal one: `"Z"`, `"Sz"`, `"n"` or a diagonal matrix.
        sites: some sites alone, of one kind; `None` is all.

    Raises:
        SpaceError: no such operator, or one that is not diagonal.
        ShapeError: there is not one weight for each site.

    Example:
        >>> import jax.numpy as jnp
        >>> import qml
        >>> from qml.estimate import binder
        >>> state = qml.FullSumState((jnp.zeros(2), lambda params, x: x @ params), qml.hilbert.Spin(2))
        >>> print(binder(state.hilbert, state.sample()[1], jnp.ones(2), "Z"))
        0.333333333333
    """
    terms = products(hilbert, (operator, operator), sites)
    table = np.array(terms.left[0])
    if np.any(table != np.diag(np.diag(table))):
        raise SpaceError(
            "A Binder cumulant needs an operator that is diagonal in the configurations.",
            got=operator,
            expected='"Z", "Sz", "n" or a diagonal matrix',
            try_='order_parameter, for "X" or "SS"',
        )
    return _binder(hilbert, terms, samples, jnp.asarray(_weights(weights, terms.n_values)))


def staggered(lattice: Any) -> Float[np.ndarray, " sites"]:
    """Signs +1 and -1 of the two sublattices that nearest neighbours belong to; site 0 has +1.

    Raises:
        SpaceError: the lattice has no two such sublattices.

    Example:
        >>> from qml.estimate import staggered
        >>> from qml.lattice import Square
        >>> staggered(Square(2, 2, periodic=False)).tolist()
        [1.0, -1.0, -1.0, 1.0]
    """
    import networkx as nx

    try:
        graph = lattice.to_networkx()
        color: dict = {}
        for part in sorted(nx.connected_components(graph), key=min):
            found = nx.bipartite.color(graph.subgraph(part))
            color.update({i: (c != found[min(part)]) for i, c in found.items()})
    except nx.NetworkXError:
        raise SpaceError(
            "The nearest neighbours of this lattice do not form two sublattices.",
            got=lattice,
            expected="a bipartite lattice with even circumferences",
            try_="signs of your own, or structure_factor at the ordering momentum",
        ) from None
    return np.array([-1.0 if color[i] else 1.0 for i in range(lattice.n_sites)])


@jax.jit(static_argnums=(0, 1, 2, 3, 4, 5))
def _weighted(
    ansatz: Ansatz,
    hilbert: AbstractHilbert,
    terms: Products,
    connected: bool,
    chunk: int | None,
    trace: bool,
    params: Params,
    samples: Samples,
    weights: Array,
) -> Stats:
    """Statistics of weighted sums over all pairs, `[combinations, parts, parts]`."""
    values = pair_values(
        ansatz, params, hilbert, samples.x, samples.log_psi, terms, weights=weights, means=connected, chunk=chunk
    )
    real = trace and terms.is_positive
    pairs = values.pairs.real if real else values.pairs
    if not connected:
        return samples.statistics(pairs)

    def cumulant(mean: dict) -> Array:
        left, right = (jnp.einsum("qai,pi->qap", w, m) for w, m in ((weights.conj(), mean["a"]), (weights, mean["b"])))
        c = mean["pairs"] - jnp.einsum("qap,qbp->qab", left, right)
        return c.real if real else c

    return combine(cumulant, (samples, {"pairs": pairs, "a": values.left, "b": values.right}))


@jax.jit(static_argnums=(0, 1))
def _binder(hilbert: AbstractHilbert, terms: Products, samples: Samples, weights: Array) -> Stats:
    levels = np.array(hilbert.site_states[terms.sites[0]], np.int8)
    table = np.diag(np.array(terms.left[0]))
    chosen = samples.x[:, list(terms.sites)]
    values = jnp.asarray(table)[jnp.argmax(chosen[..., None] == levels[None, None, :], axis=-1)]
    if terms.fold:
        up, down = jnp.split(values, 2, axis=1)
        values = terms.fold[0] * up + terms.fold[1] * down
    square = jnp.abs(values @ weights.astype(values.dtype) / terms.n_values) ** 2
    return combine(lambda m: 1 - m["4"] / (3 * m["2"] ** 2), (samples, {"2": square, "4": square**2}))


def _weights(weights: Any, count: int) -> np.ndarray:
    found = np.asarray(weights)
    if found.shape != (count,) or not np.all(np.isfinite(found)):
        raise ShapeError(
            "An order parameter has one weight for each site.",
            got=f"shape {found.shape}",
            expected=f"finite numbers [{count}]",
            try_="staggered(lattice)",
        )
    return found


def _momenta(lattice: Lattice, momenta: Any) -> np.ndarray:
    """Momenta of a pair of sites, checked: a twist of the boundary does not shift them."""
    plain = lattice.with_twist(0.0) if np.any(np.asarray(lattice.twist)) else lattice
    if momenta is None:
        return plain.momenta()
    q = np.asarray(momenta, float)
    if q.ndim != 2 or q.shape[1] != lattice.dimension:
        raise ShapeError(
            "Momenta are a list of Cartesian vectors.",
            got=f"shape {q.shape}",
            expected=f"[momenta, {lattice.dimension}]",
            try_="lattice.momenta()",
        )
    torus = np.array(lattice.supercell)[np.asarray(lattice.periodic)] @ np.asarray(lattice.cell)
    turns = q @ torus.T / (2 * np.pi)
    if torus.size and np.any(np.abs(turns - np.round(turns)) > 1e-8):
        raise ShapeError(
            "A momentum does not fit the cluster.",
            got=q[np.any(np.abs(turns - np.round(turns)) > 1e-8, axis=1)][0],
            expected="q . T a multiple of 2 pi for every torus vector T",
            try_="lattice.momenta(), plus reciprocal vectors",
        )
    return q
