"""Matrices on a few sites as the terms of a sum: sorted, merged, widened, multiplied; on the host or traced."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from qml._core.errors import DataError, ShapeError, SpaceError
from qml.hilbert import AbstractHilbert
from qml.operator.coefficients import coefficient_dtype, is_traced
from qml.operator.local_slots import Places, dims_of, pattern_of

_ROUNDING = 1e-12
_WIDEST = 2**12  # rows of the largest matrix that algebra makes


class Term(NamedTuple):
    """One matrix on its sites, in ascending order."""

    sites: tuple[int, ...]
    matrix: Any  # [rows, rows], on the host or traced
    present: np.ndarray  # bool[rows, rows]: where it may have elements
    hermitian: bool


def merge_terms(terms: Sequence[Term], hilbert: AbstractHilbert) -> tuple[tuple[Any, ...], tuple[Places, ...], bool]:
    """Matrices on the same sites added up, those of one pattern in one block; and whether the sum is Hermitian.

    Raises:
        DataError: an element is NaN or infinite.
    """
    merged: dict[tuple[int, ...], list[Term]] = {}
    for term in terms:
        merged.setdefault(term.sites, []).append(term)
    groups: dict[tuple, list[tuple[tuple[int, ...], Any]]] = {}
    hermitian = True
    for sites, members in merged.items():
        matrix, present = sum(m.matrix for m in members), np.any([m.present for m in members], axis=0)
        if is_traced(matrix):
            hermitian &= all(m.hermitian for m in members)
        else:
            if not np.all(np.isfinite(matrix)):
                raise DataError(
                    "A matrix element is not finite.",
                    got=f"a matrix on sites {sites}",
                    expected="finite numbers",
                    try_="check the data it came from",
                )
            size = np.max([np.max(np.abs(m.matrix)) for m in members])
            matrix = np.where(np.abs(matrix) > _ROUNDING * 1e-3 * size, matrix, 0)  # what cancels is exactly zero
            present, hermitian = matrix != 0, hermitian and is_hermitian(matrix)
        groups.setdefault((dims_of(hilbert, sites), pattern_of(present)), []).append((sites, matrix))
    blocks, places = [], []
    for (_, pattern), members in sorted(groups.items(), key=lambda item: item[0]):
        matrices = [m for _, m in members]
        known = not any(is_traced(m) for m in matrices)
        stacked = np.stack(matrices) if known else jnp.stack([jnp.asarray(m) for m in matrices])
        blocks.append(jnp.asarray(stacked, coefficient_dtype(stacked)))
        places.append(Places(tuple(sites for sites, _ in members), pattern))
    return tuple(blocks), tuple(places), hermitian


def is_hermitian(matrix: Any) -> bool:
    """True if a known matrix is Hermitian to rounding."""
    matrix = np.asarray(matrix)
    return bool(np.all(np.abs(matrix - matrix.conj().T) <= _ROUNDING * np.max(np.abs(matrix), initial=0)))


def checked_term(
    matrix: np.ndarray, sites: tuple[int, ...], hilbert: AbstractHilbert
) -> tuple[np.ndarray, tuple[int, ...]]:
    """A matrix and its sites, checked.

    Raises:
        SpaceError: sites that do not exist, or twice.
        ShapeError: a matrix of another size.
    """
    if not sites or len(set(sites)) != len(sites) or any(not 0 <= i < hilbert.n_sites for i in sites):
        raise SpaceError(
            "A local matrix acts on a site that does not exist, or twice on one site.",
            got=f"sites {sites}",
            expected=f"distinct sites in 0 ... {hilbert.n_sites - 1}",
            try_="distinct sites",
        )
    side = int(np.prod(dims_of(hilbert, sites)))
    if matrix.shape != (side, side):
        raise ShapeError(
            "A local matrix has the wrong shape.",
            got=f"shape {matrix.shape} on {len(sites)} sites",
            expected=f"({side}, {side})",
            try_="numpy.kron of one matrix for each site",
        )
    return matrix, sites


def sort_sites(term: Term, hilbert: AbstractHilbert) -> Term:
    """The same matrix with its sites in ascending order."""
    order = tuple(int(q) for q in np.argsort(term.sites))
    k, dims = len(order), dims_of(hilbert, term.sites)
    if order == tuple(range(k)):
        return term
    axes = (*order, *(q + k for q in order))
    matrix, present = (
        m.reshape(dims * 2).transpose(axes).reshape(term.present.shape) for m in (term.matrix, term.present)
    )
    return Term(tuple(sorted(term.sites)), matrix, present, term.hermitian)


def _widened(term: Term, union: tuple[int, ...], hilbert: AbstractHilbert) -> Term:
    """The same matrix on more sites."""
    rest = tuple(i for i in union if i not in term.sites)
    if not rest:
        return term
    side = int(np.prod(dims_of(hilbert, rest)))
    kron = jnp.kron if is_traced(term.matrix) else np.kron
    wide = Term(
        term.sites + rest, kron(term.matrix, np.eye(side)), np.kron(term.present, np.eye(side, dtype=bool)), False
    )
    return sort_sites(wide, hilbert)


def product(a: Term, b: Term, hilbert: AbstractHilbert) -> Term:
    """The product of two matrices, on all sites of both.

    Raises:
        SpaceError: it acts on too many sites.
    """
    union = tuple(sorted({*a.sites, *b.sites}))
    side = int(np.prod(dims_of(hilbert, union)))
    if side > _WIDEST:
        raise SpaceError(
            "A product of local matrices acts on too many sites for one matrix.",
            got=f"{len(union)} sites, a matrix of {side} rows",
            expected=f"at most {_WIDEST} rows",
            try_="apply one operator after the other to a vector",
        )
    a, b = _widened(a, union, hilbert), _widened(b, union, hilbert)
    present = (a.present.astype(np.float32) @ b.present.astype(np.float32)) > 0
    return Term(union, a.matrix @ b.matrix, present, False)


def negative(term: Term) -> Term:
    """Minus a matrix."""
    return term._replace(matrix=-term.matrix)
