"""Reduced density matrices and entanglement of state vectors, in any space."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError, SpaceError
from qml._core.precision import require_x64
from qml._core.types import Array, Float, Inexact
from qml.hilbert import AbstractHilbert

_DENSE_LIMIT = 2**12  # states of a part with a dense density matrix
_TABLE_LIMIT = 2**28  # amplitudes of a Schmidt matrix


def reduced_density(vector: Any, hilbert: AbstractHilbert, sites: Sequence[int]) -> Inexact[Array, "part part"]:
    r"""The density matrix $\rho_A = \mathrm{Tr}_B |v\rangle\langle v| / \langle v|v\rangle$ of some sites.

    It acts on all configurations of the part, also where the whole space is constrained; its basis is that of the
    sites in the given order, the first one slowest. $\mathrm{Tr}\,\rho_A O = \langle v|O|v\rangle$ for every O of
    the part. Fermion modes of the part are moved before all others, with the sign of that reordering, so this holds for
    any modes, next to each other or not, and for odd operators too.

    Differentiable in the vector, and works under `jax.jit` with `hilbert` and `sites` as constants.

    Args:
        vector: amplitudes `[size]` in basis order; need not be normalised.
        hilbert: its space.
        sites: the sites (or modes) of the part, distinct, in any order, at least one.

    Raises:
        ShapeError: the vector does not fit the space.
        SpaceError: the sites do not exist or come twice, or the part has more than 4096 configurations.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.exact import reduced_density
        >>> from qml.hilbert import Spin
        >>> singlet = jnp.array([1.0, -1.0])  # up-down minus down-up
        >>> reduced_density(singlet, Spin(2, magnetisation=0), [1]).round(12).tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    sites = _checked_sites(hilbert, sites)
    dimension = math.prod(len(hilbert.site_states[i]) for i in sites)
    if dimension > _DENSE_LIMIT:
        raise SpaceError(
            "This part is too large for a dense density matrix.",
            got=f"{dimension} configurations of {len(sites)} sites",
            expected=f"at most {_DENSE_LIMIT}",
            try_="entanglement_entropy or entanglement_spectrum, which need only the smaller part",
        )
    table = _table(hilbert, sites)
    compact = _density(_schmidt_matrix(_checked_vector(vector, hilbert), table))
    at = np.ix_(table.states, table.states)
    return jnp.zeros((dimension, dimension), compact.dtype).at[at].set(compact)


def entanglement_spectrum(vector: Any, hilbert: AbstractHilbert, sites: Sequence[int]) -> Float[Array, " levels"]:
    r"""Levels $\xi_k = -\log p_k$, ascending, of the density matrix of some sites with eigenvalues $p_k$.

    One for each configuration of the smaller part that occurs; infinite where $p_k = 0$. They come from the singular
    values of the amplitudes, so that small $p_k$ are accurate.

    Args:
        vector: amplitudes `[size]` in basis order; need not be normalised.
        hilbert: its space.
        sites: the sites (or modes) of the part.

    Raises:
        ShapeError: the vector does not fit the space.
        SpaceError: the sites do not exist or come twice, or both parts are too large.
        PrecisionError: JAX runs in 32-bit mode.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.exact import entanglement_spectrum
        >>> from qml.hilbert import Spin
        >>> print(entanglement_spectrum(jnp.array([0.8, 0.0, 0.0, 0.6]), Spin(2), [0]).round(6))
        [0.446287 1.021651]

    Source:
        H. Li, F. D. M. Haldane, Phys. Rev. Lett. 101, 010504 (2008).
    """
    require_x64("exact.entanglement_spectrum")
    return -jnp.log(_probabilities(vector, hilbert, sites))


def entanglement_entropy(
    vector: Any, hilbert: AbstractHilbert, sites: Sequence[int], order: float | int = 1
) -> Float[Array, ""]:
    r"""Entanglement entropy of some sites, in nats: von Neumann's, or Renyi's of order n.

    $S_1 = -\mathrm{Tr}\,\rho_A \log\rho_A$, $S_n = \frac{1}{1-n} \log \mathrm{Tr}\,\rho_A^n$, and of infinite order
    $-\log$ of the largest eigenvalue. Differentiable in the vector. A part and its complement have the same entropy,
    of fermions where the vector has a definite parity of their number.

    Args:
        vector: amplitudes `[size]` in basis order; need not be normalised.
        hilbert: its space.
        sites: the sites (or modes) of the part; none or all of them have entropy 0.
        order: n > 0; 1 is von Neumann's.

    Raises:
        ShapeError: the vector does not fit the space, or the order is not positive.
        SpaceError: the sites do not exist or come twice, or both parts are too large.
        PrecisionError: JAX runs in 32-bit mode.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.exact import entanglement_entropy
        >>> from qml.hilbert import Spin
        >>> ghz = jnp.zeros(8).at[jnp.array([0, 7])].set(1.0)
        >>> entropy = entanglement_entropy(ghz, Spin(3), [0, 2])
        >>> bool(jnp.isclose(entropy, jnp.log(2.0), rtol=1e-12))
        True
    """
    require_x64("exact.entanglement_entropy")
    if isinstance(order, bool) or not order > 0:
        raise ShapeError("There is no entropy of this order.", got=order, expected="a number > 0", try_="order=1")
    if len(sites) in (0, hilbert.n_sites):
        _checked_vector(vector, hilbert)
        if len(sites):
            _checked_sites(hilbert, sites)
        return jnp.zeros(())
    p = _probabilities(vector, hilbert, sites)
    if order == 1:
        safe = jnp.where(p > 0, p, 1)
        return -jnp.sum(p * jnp.log(safe))
    if order == math.inf:
        return -jnp.log(p[0])
    safe = jnp.where(p > 0, p, 1)
    return jnp.log(jnp.sum(jnp.where(p > 0, safe**order, 0))) / (1 - order)


def mutual_information(
    vector: Any, hilbert: AbstractHilbert, first: Sequence[int], second: Sequence[int], order: float | int = 1
) -> Float[Array, ""]:
    r"""Mutual information $I(A, B) = S(A) + S(B) - S(AB)$ of two parts, in nats.

    Args:
        vector: amplitudes `[size]` in basis order; need not be normalised.
        hilbert: its space.
        first: the sites of A.
        second: the sites of B, none of them in A.
        order: of the entropies; 1 is von Neumann's, for which it is never negative.

    Raises:
        ShapeError: the vector does not fit the space, or the order is not positive.
        SpaceError: the sites do not exist or come twice.
        PrecisionError: JAX runs in 32-bit mode.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.exact import mutual_information
        >>> from qml.hilbert import Spin
        >>> bell = jnp.array([1.0, 0.0, 0.0, 1.0])
        >>> round(float(mutual_information(bell, Spin(2), [0], [1]) / jnp.log(2.0)), 12)
        2.0
    """
    both = [*first, *second]
    _checked_sites(hilbert, both)
    one, two, union = (entanglement_entropy(vector, hilbert, part, order) for part in (first, second, both))
    return one + two - union


class _Table(NamedTuple):
    """Where each amplitude stands in the Schmidt matrix, and its sign; states of the part that occur."""

    rows: np.ndarray
    columns: np.ndarray
    signs: np.ndarray | None
    states: np.ndarray
    shape: tuple[int, int]


@functools.lru_cache(maxsize=16)
def _table(hilbert: AbstractHilbert, sites: tuple[int, ...]) -> _Table:
    with jax.ensure_compile_time_eval():
        x = np.asarray(hilbert.all_states())
    rest = tuple(i for i in range(hilbert.n_sites) if i not in sites)
    states, rows = np.unique(_numbers(hilbert, x, sites), return_inverse=True)
    others, columns = np.unique(_numbers(hilbert, x, rest), return_inverse=True)
    if len(states) * len(others) > _TABLE_LIMIT:
        raise SpaceError(
            "The amplitudes do not fit in memory as a matrix of both parts.",
            got=f"{len(states)} x {len(others)}",
            expected=f"at most {_TABLE_LIMIT} entries",
            try_="a space with fewer states",
        )
    signs = _signs(hilbert, x, sites + rest)
    return _Table(rows, columns, signs, states, (len(states), len(others)))


def _numbers(hilbert: AbstractHilbert, x: np.ndarray, sites: tuple[int, ...]) -> np.ndarray:
    """The number of each configuration of some sites, the first one slowest."""
    total = np.zeros(len(x), np.int64)
    if math.prod(len(hilbert.site_states[i]) for i in sites) >= 2**63:  # too many to number: by order of appearance
        return np.unique(x[:, list(sites)], axis=0, return_inverse=True)[1].reshape(-1)
    for i in sites:
        values = np.array(hilbert.site_states[i])
        order = np.argsort(values)
        total = total * len(values) + order[np.searchsorted(values[order], x[:, i])]
    return total


def _signs(hilbert: AbstractHilbert, x: np.ndarray, order: tuple[int, ...]) -> np.ndarray | None:
    """Sign of bringing the occupied fermion modes of each configuration into a new order."""
    modes = [i for i in order if hilbert.fermionic_modes[i]]
    later = np.array(modes)[:, None] > np.array(modes)[None, :] if modes else np.zeros((0, 0), bool)
    swapped = np.triu(later, 1)  # pairs that change their order
    if not swapped.any():
        return None
    occupied = x[:, modes].astype(np.float32)
    return 1.0 - 2.0 * (np.sum((occupied @ swapped.astype(np.float32)) * occupied, axis=1) % 2)


def _schmidt_matrix(vector: Array, table: _Table) -> Array:
    return _filled(vector, table.rows, table.columns, table.signs, table.shape)


@jax.jit(static_argnums=4)
def _filled(vector: Array, rows: Array, columns: Array, signs: Array | None, shape: tuple[int, int]) -> Array:
    vector = vector if signs is None else vector * signs.astype(vector.real.dtype)
    matrix = jnp.zeros(shape, vector.dtype).at[rows, columns].set(vector)
    return matrix / jnp.linalg.norm(vector)


_density = jax.jit(lambda matrix: matrix @ matrix.conj().T)
_singular = jax.jit(lambda matrix: jnp.linalg.svd(matrix, compute_uv=False))


def _probabilities(vector: Any, hilbert: AbstractHilbert, sites: Sequence[int]) -> Array:
    """Eigenvalues of the density matrix, descending, zeros beyond the smaller part left out."""
    table = _table(hilbert, _checked_sites(hilbert, sites))
    return _singular(_schmidt_matrix(_checked_vector(vector, hilbert), table)) ** 2


def _checked_vector(vector: Any, hilbert: AbstractHilbert) -> Array:
    vector = jnp.asarray(vector)
    if vector.shape != (hilbert.size,):
        raise ShapeError(
            "The vector does not fit the space.",
            got=f"shape {vector.shape}",
            expected=f"({hilbert.size},)",
            try_="a vector in basis order",
        )
    return vector if jnp.issubdtype(vector.dtype, jnp.inexact) else vector.astype(float)


def _checked_sites(hilbert: AbstractHilbert, sites: Sequence[int]) -> tuple[int, ...]:
    wanted = tuple(int(i) for i in sites)
    inside = all(0 <= i < hilbert.n_sites and i == j for i, j in zip(wanted, sites))
    if not wanted or not inside or len(set(wanted)) != len(wanted):
        raise SpaceError(
            "These sites are no part of the space.",
            got=tuple(sites),
            expected=f"distinct sites in 0 ... {hilbert.n_sites - 1}, at least one",
            try_=f"sites={tuple(range(max(1, hilbert.n_sites // 2)))}",
        )
    return wanted
