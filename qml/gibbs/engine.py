r"""Exact dense thermal states of Pauli Hamiltonians: one eigendecomposition, and bit masks for everything else.

$K = \sum_j \theta_j P_j$ is assembled and its Pauli expectations are read by gathers of $2^n$ entries each; no Pauli
string ever becomes a matrix.
"""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml import linalg
from qml._core.errors import SpaceError, unknown_name
from qml._core.types import Array, Float, Inexact
from qml.gibbs import blocks
from qml.hilbert import AbstractHilbert
from qml.operator import AbstractOperator
from qml.operator.strings import PauliStrings

LARGEST = 12  # sites: one complex matrix is 256 MiB
METRICS = ("bkm", "sld", "wy", "sym")
_BLOCK = 2**22  # entries of the working array of a metric


class Thermal(eqx.Module):
    r"""The eigendecomposition of $K$ and its Boltzmann weights.

    Args:
        levels: eigenvalues of $K$, ascending `[size]`.
        vectors: eigenvectors in columns `[size, size]`.
        weights: $p_a = e^{-E_a} / Z$ `[size]`.
        log_partition: $\log Z$.
    """

    levels: Float[Array, " size"]
    vectors: Inexact[Array, "size size"]
    weights: Float[Array, " size"]
    log_partition: Float[Array, ""]


def check_size(n_sites: int) -> None:
    """Raise where a space is too large for dense matrices.

    Raises:
        SpaceError: more than 12 sites.
    """
    if n_sites > LARGEST:
        raise SpaceError(
            "This space is too large for exact dense Gibbs states.",
            got=f"{n_sites} sites, a matrix of {2**n_sites} x {2**n_sites}",
            expected=f"at most {LARGEST} sites",
            try_="fewer sites, or pieces of the lattice",
        )


def check_space(hilbert: AbstractHilbert) -> None:
    """Raise where a space does not hold all configurations of spins 1/2, or is too large.

    Raises:
        SpaceError: see above.
    """
    if hilbert.local_states != (1, -1) or hilbert.is_constrained:
        raise SpaceError(
            "Gibbs states of Pauli strings live on all configurations of spins 1/2.",
            got=f"{hilbert}",
            expected="Spin(n_sites) without a fixed magnetisation",
            try_=f"Spin({hilbert.n_sites})",
        )
    check_size(hilbert.n_sites)


def check_operator(hilbert: AbstractHilbert, operator: AbstractOperator) -> None:
    """Raise where an operator acts on another space.

    Raises:
        SpaceError: see above.
    """
    if operator.hilbert != hilbert:
        raise SpaceError(
            "The operator acts on another space than the model.",
            got=f"{operator.hilbert}",
            expected=f"{hilbert}",
            try_="build both with the same hilbert",
        )


@functools.lru_cache(maxsize=64)
def _groups(strings: PauliStrings) -> tuple[np.ndarray, np.ndarray]:
    """Distinct flip masks, and the group of each string."""
    return np.unique(np.array(strings.flips, dtype=np.int64), return_inverse=True)


def _parity(rows: Array, masks: Array) -> Array:
    """$(-1)^{|row & mask|}$ as int8, one axis for each argument."""
    bits = jax.lax.population_count(rows[:, None] & masks[None, :])
    return (1 - 2 * (bits & 1)).astype(jnp.int8)


def row_factors(strings: PauliStrings) -> Array:
    """Element of each string in each row, `[terms, size]`; its column is `row ^ flip`."""
    rows = jnp.arange(2**strings.n_sites, dtype=jnp.int32)
    signs = _parity(jnp.asarray(np.array(strings.signs, dtype=np.int32)), rows)
    phases = jnp.asarray(strings.phases)
    return phases[:, None] * signs.astype(phases.dtype)


def _columns(flips: np.ndarray, size: int) -> Array:
    return jnp.arange(size)[None, :] ^ jnp.asarray(flips)[:, None]


def assemble(strings: PauliStrings, coefficients: Array) -> Array:
    """Dense matrix of a sum of strings, real where all strings are."""
    size = 2**strings.n_sites
    flips, group = _groups(strings)
    factors = coefficients[:, None] * row_factors(strings)
    values = jax.ops.segment_sum(factors, jnp.asarray(group), num_segments=len(flips))
    rows = jnp.broadcast_to(jnp.arange(size)[None, :], values.shape)
    return jnp.zeros((size, size), values.dtype).at[rows, _columns(flips, size)].set(values)


def apply(strings: PauliStrings, coefficients: Array, columns: Array) -> Array:
    """A sum of strings times the columns of a matrix `[size, columns]`, without its own matrix."""
    flips, group = _groups(strings)
    factors = jax.ops.segment_sum(coefficients[:, None] * row_factors(strings), jnp.asarray(group), len(flips))
    moved = columns[_columns(flips, columns.shape[0])]
    return jnp.sum(factors[:, :, None] * moved, axis=0)


def solve(strings: PauliStrings, theta: Array) -> Thermal:
    """The thermal state of `theta`, by one eigendecomposition; not for differentiation (see `qml.linalg`)."""
    levels, parts = jax.vmap(linalg.eigh)(blocks.blocks(strings, assemble(strings, theta)))
    vectors, levels = blocks.vectors(strings, parts), levels.reshape(parts.shape[0] * parts.shape[1])
    if len(parts) > 1:
        order = jnp.argsort(levels)
        levels, vectors = levels[order], vectors[:, order]
    boltzmann = jnp.exp(levels[0] - levels)
    total = jnp.sum(boltzmann)
    return Thermal(levels, vectors, boltzmann / total, jnp.log(total) - levels[0])


def lowest_level(strings: PauliStrings, direction: Array) -> Array:
    r"""$\lambda_{min}(\sum_j v_j P_j)$."""
    return jnp.min(jax.vmap(linalg.eigvalsh)(blocks.blocks(strings, assemble(strings, direction))))


def log_partition(strings: PauliStrings, theta: Array) -> Array:
    r"""$\log Z$, to be differentiated twice."""
    return jax.nn.logsumexp(_logs(blocks.blocks(strings, assemble(strings, theta))))


def density(strings: PauliStrings, theta: Array) -> Array:
    r"""$\rho$, to be differentiated twice."""
    parts = blocks.blocks(strings, assemble(strings, theta))
    if len(parts) == 1:
        return linalg.gibbs(parts[0], order=2)
    shares = jax.nn.softmax(_logs(parts))
    each = jax.vmap(functools.partial(linalg.gibbs, order=2))(parts)
    return blocks.joined(strings, shares[:, None, None] * each)


def numbers(strings: PauliStrings, theta: Array, squarings: int | None = None) -> "Numbers":
    """All that one eigendecomposition gives, block by block, not to be differentiated; or that many squarings."""
    if squarings is not None:
        parts = blocks.blocks(strings, assemble(strings, theta))
        states, each = jax.vmap(functools.partial(linalg.gibbs_by_products, squarings=squarings))(parts)
        state = blocks.joined(strings, jax.nn.softmax(each)[:, None, None] * states)
        logs, means = jax.nn.logsumexp(each), traces(strings, state)
        return Numbers(state, logs, logs + theta @ means, means)
    levels, parts = jax.vmap(linalg.eigh)(blocks.blocks(strings, assemble(strings, theta)))
    lowest = jnp.min(levels)
    boltzmann = jnp.exp(lowest - levels)
    total = jnp.sum(boltzmann)
    weights = boltzmann / total
    state = blocks.joined(strings, (parts * weights[:, None, :]) @ parts.conj().transpose(0, 2, 1))
    logs = jnp.log(total) - lowest
    return Numbers(state, logs, logs + jnp.sum(weights * levels), traces(strings, state))


class Numbers(eqx.Module):
    r"""A thermal state and its numbers; $-\eta_j$ are the derivatives of $\log Z$ in the couplings.

    Args:
        density: the density matrix `[size, size]`.
        log_partition: $\log Z$.
        entropy: in nats.
        marginals: $\eta_j = \mathrm{Tr}\,\rho P_j$ `[terms]`.
    """

    density: Inexact[Array, "size size"]
    log_partition: Float[Array, ""]
    entropy: Float[Array, ""]
    marginals: Float[Array, " terms"]


def _logs(parts: Array) -> Array:
    return jax.vmap(functools.partial(linalg.log_partition, order=2))(parts)


def in_basis(state: Thermal, diagonal: Array) -> Array:
    """The matrix that is diagonal in the eigenbasis of a thermal state."""
    return (state.vectors * diagonal[None, :]) @ state.vectors.conj().T


def entropy(state: Thermal) -> Array:
    r"""$S = \log Z + \langle K \rangle$ in nats."""
    return state.log_partition + jnp.sum(state.weights * state.levels)


def traces(strings: PauliStrings, matrix: Array) -> Array:
    r"""$\mathrm{Re}\,\mathrm{Tr}(A P_j)$ of each string, $O(2^n)$ each."""
    size = matrix.shape[0]
    flips, group = _groups(strings)
    entries = matrix[_columns(flips, size), jnp.arange(size)[None, :]]
    return jnp.sum(row_factors(strings) * entries[jnp.asarray(group)], axis=1).real


def kernel(state: Thermal, kind: str) -> Array:
    r"""Weights $k_{ab}$ of a monotone metric in the eigenbasis, free of cancellation and of $0/0$ at low temperature.

    With $p = \max(p_a, p_b)$, $x = |E_a - E_b|$ and $\varphi = (1 - e^{-x})/x$: bkm $p\varphi$; sld
    $2p\varphi^2/(1+e^{-x})$; wy $4p\varphi^2/(1+e^{-x/2})^2$; sym $p(1+e^{-x})/2$.
    """
    top = jnp.maximum(state.weights[:, None], state.weights[None, :])
    gap = jnp.abs(state.levels[:, None] - state.levels[None, :])
    safe = jnp.where(gap == 0, 1.0, gap)
    mean = jnp.where(gap == 0, 1.0, -jnp.expm1(-safe) / safe)
    if kind == "bkm":
        return top * mean
    if kind == "sld":
        return 2 * top * mean**2 / (1 + jnp.exp(-gap))
    if kind == "wy":
        return 4 * top * mean**2 / (1 + jnp.exp(-gap / 2)) ** 2
    if kind == "sym":
        return top * (1 + jnp.exp(-gap)) / 2
    unknown_name("metric", kind, METRICS)


def _rotated(strings: PauliStrings, state: Thermal, columns: Array) -> Array:
    r"""$U^\dagger P_j u$ for the given columns u `[size, block]`: `[terms, size, block]`."""
    flips, group = _groups(strings)
    gathered = columns[_columns(flips, columns.shape[0])][jnp.asarray(group)]
    moved = row_factors(strings)[:, :, None] * gathered
    return jnp.einsum("ia,tib->tab", state.vectors.conj(), moved)


def metric(strings: PauliStrings, state: Thermal, kind: str) -> Array:
    r"""$I_{ij} = \sum_{ab} k_{ab} (P_i - \eta_i)_{ab} (P_j - \eta_j)_{ba}$, one block of columns b at a time."""
    size, terms = state.weights.shape[0], len(strings)
    block = max(1, min(size, _BLOCK // (terms * size)))
    block = 2 ** int(np.log2(block))
    means = traces(strings, in_basis(state, state.weights))
    root = jnp.sqrt(kernel(state, kind))

    def add(total: Array, start: Array) -> tuple[Array, None]:
        columns = jax.lax.dynamic_slice_in_dim(state.vectors, start, block, axis=1)
        ones = jnp.arange(size)[:, None] == start + jnp.arange(block)[None, :]
        centred = _rotated(strings, state, columns) - means[:, None, None] * ones[None]
        flat = (centred * jax.lax.dynamic_slice_in_dim(root, start, block, axis=1)[None]).reshape(terms, -1)
        total = total + flat.real @ flat.real.T
        return (total + flat.imag @ flat.imag.T if jnp.iscomplexobj(flat) else total), None

    zero = jnp.zeros((terms, terms), state.weights.dtype)
    return jax.lax.scan(add, zero, jnp.arange(0, size, block))[0]


def covariances(strings: PauliStrings, state: Thermal, matrix: Array, kind: str = "bkm") -> Array:
    r"""Covariance of every string with a Hermitian matrix in a metric; bkm: $-\partial \langle P_j\rangle$ along it."""
    inner = state.vectors.conj().T @ matrix @ state.vectors
    mean = jnp.sum(state.weights * jnp.diagonal(inner).real)
    inner = kernel(state, kind) * (inner - mean * jnp.eye(inner.shape[0], dtype=inner.dtype))
    return traces(strings, state.vectors @ inner @ state.vectors.conj().T)


def responses(strings: PauliStrings, state: Thermal) -> Array:
    r"""$\partial R_{xz} / \partial \theta_j$ of every Pauli expectation (see `pauli_table`), `[terms, size, size]`."""
    weight = kernel(state, "bkm")
    means = traces(strings, in_basis(state, state.weights))
    size = weight.shape[0]
    flips, group = _groups(strings)
    columns = _columns(flips, size)

    def response(string: tuple[Array, Array, Array]) -> Array:
        factors, which, mean = string
        inner = state.vectors.conj().T @ (factors[:, None] * state.vectors[columns[which]])
        inner = weight * (inner - mean * jnp.eye(size, dtype=inner.dtype))
        return pauli_table(-(state.vectors @ inner @ state.vectors.conj().T))

    return jax.lax.map(response, (row_factors(strings), jnp.asarray(group), means))


def hadamard(size: int) -> Array:
    r"""The matrix $(-1)^{|i \wedge j|}$."""
    index = jnp.arange(size, dtype=jnp.int32)
    return _parity(index, index)


def pauli_table(matrix: Array) -> Array:
    r"""$R_{xz} = \mathrm{Tr}(A P_{xz})$ of all $4^n$ strings with flip mask x and sign mask z, for Hermitian A."""
    size = matrix.shape[0]
    index = jnp.arange(size, dtype=jnp.int32)
    entries = matrix[_columns(np.arange(size), size), index[None, :]]
    sums = entries @ hadamard(size).astype(entries.dtype)
    turns = jax.lax.population_count(index[:, None] & index[None, :]) % 4
    real = jnp.array([1, 0, -1, 0])[turns].astype(sums.real.dtype)
    if not jnp.iscomplexobj(sums):
        return real * sums
    imaginary = jnp.array([0, -1, 0, 1])[turns].astype(sums.real.dtype)
    return real * sums.real - imaginary * sums.imag


def setting_index(bases: Any) -> Array:
    """Positions, in a flattened `pauli_table`, of the strings that each local basis measures `[settings, size]`.

    Args:
        bases: letters of each setting, 0, 1, 2 for X, Y, Z `[settings, sites]`.
    """
    bases = jnp.asarray(bases)
    n_sites = bases.shape[1]
    place = 2 ** jnp.arange(n_sites - 1, -1, -1)
    flips = jnp.sum(jnp.where(bases != 2, place[None, :], 0), axis=1)
    signs = jnp.sum(jnp.where(bases != 0, place[None, :], 0), axis=1)
    subset = jnp.arange(2**n_sites)
    return (subset[None, :] & flips[:, None]) * 2**n_sites + (subset[None, :] & signs[:, None])


def outcomes(size: int, readout: Array | None) -> Array:
    r"""What $\langle P_S\rangle$ adds to each outcome, `[size, size]`: $\prod_s \sum_t A^s_{x_s t} (-1)^{t S_s}$.

    Args:
        size: number of outcomes.
        readout: $A^s_{xt}$, probability to read x where t is right `[sites, 2, 2]`; `None` is without errors.
    """
    if readout is None:
        return hadamard(size)
    signs = jnp.array([[1.0, 1.0], [1.0, -1.0]])
    each = jnp.einsum("St,sxt->sSx", signs, readout)
    total = jnp.ones((1, 1))
    for site in range(readout.shape[0]):
        total = jnp.kron(total, each[site])
    return total


def probabilities(table: Array, index: Array, readout: Array | None = None) -> Array:
    r"""$p(x|b) = 2^{-n} \sum_{S} (-1)^{|x \wedge S|} \langle P_S \rangle$ of one setting, and what is read of it.

    Args:
        table: Pauli expectations `[..., size, size]`.
        index: one row of `setting_index`.
        readout: see `outcomes`.

    Returns:
        `[..., size]`; outcome bits are in site order, site 0 the highest.
    """
    size = index.shape[-1]
    picked = table.reshape(*table.shape[:-2], size * size)[..., index]
    return picked @ outcomes(size, readout).astype(picked.dtype) / size
