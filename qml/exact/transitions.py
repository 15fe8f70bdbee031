"""What an operator makes of a ground level: its vectors, in a space or in symmetry sectors."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.chunk import map_chunks
from qml._core.errors import ConvergenceError, ShapeError, SpaceError
from qml._core.types import Array
from qml.exact.basis import SectorBasis
from qml.exact.between import checked_shares, real_part
from qml.exact.sectormap import sector_map
from qml.exact.spectrum import EigenResult, ground_state
from qml.hilbert import AbstractHilbert
from qml.operator import AbstractOperator, PauliSum

_CHUNK = 2**14
_EIGENSTATE = 1e-6  # largest residual of a given ground state, relative to the norm of H
_DEGENERATE = 1e-9  # levels that lie so close, relative to the norm of H, are one
_MOST = 64  # vectors of one level


class Level(NamedTuple):
    """A level: its energy, and orthonormal vectors, of the space of H or in the basis of a sector."""

    energy: float
    vectors: list[Array]


def ground_level(hamiltonian: AbstractOperator, ground: Any, basis: SectorBasis | None) -> Level:
    """All vectors of the lowest level of the space, or of the sector of a basis.

    Args:
        hamiltonian: Hermitian operator.
        ground: `EigenResult`, one vector that is taken as it is, or `None`; in the basis of the sector if there is one.
        basis: of the sector, or `None`.

    Raises:
        ShapeError: a vector does not fit.
        ConvergenceError: a vector is no eigenstate.
        SpaceError: the level has more than 64 vectors.
    """
    size = hamiltonian.hilbert.size if basis is None else basis.size
    radius = max(max(abs(b) for b in hamiltonian.bound()), 1e-300)
    if not size:
        raise SpaceError(
            "The sector has no states.", got=repr(basis), expected="a sector of the space", try_="another sector"
        )
    if ground is None or isinstance(ground, EigenResult):
        rows = _lowest(hamiltonian, ground, basis, size, _DEGENERATE * radius)
    else:
        rows = [np.asarray(ground)]
    linear_map = hamiltonian.apply if basis is None else functools.partial(_product, sector_map(hamiltonian, basis))
    vectors, images = [], []
    for row in rows:
        if row.shape != (size,):
            raise ShapeError(
                "The ground state does not fit the space of the Hamiltonian, or the sector.",
                got=f"shape {row.shape}",
                expected=f"({size},)",
                try_="ground_state(hamiltonian, sector=sector)",
            )
        vectors.append(row / np.linalg.norm(row))
        images.append(np.asarray(linear_map(jnp.asarray(vectors[-1]))))
    energies = [float(np.vdot(vector, image).real) for vector, image in zip(vectors, images)]
    residual = max(float(np.linalg.norm(i - e * v)) for v, i, e in zip(vectors, images, energies))
    if not residual <= _EIGENSTATE * radius:
        raise ConvergenceError(
            "The given vector is no eigenstate of the Hamiltonian.",
            got=f"|H v - E v| = {residual:.1e}",
            expected=f"at most {_EIGENSTATE * radius:.1e}",
            try_="ground_state(hamiltonian)",
        )
    return Level(min(energies), [jnp.asarray(vector) for vector in vectors])


_product = jax.jit(lambda linear_map, vector: linear_map(vector))


def _lowest(hamiltonian: AbstractOperator, known: Any, basis: SectorBasis | None, size: int, close: float) -> list:
    """Vectors of the lowest level, from known levels as far as a higher one is among them."""
    count = 2 if known is None else 2 * len(known.energies)
    while True:
        if known is not None:
            energies = np.asarray(known.energies)
            number = int(np.sum(energies <= energies[0] + close))
            if number > _MOST:
                raise SpaceError(
                    "The ground state is too degenerate to average over.",
                    got=f"more than {_MOST} vectors with the same energy",
                    expected=f"at most {_MOST}",
                    try_="sector=, or one vector as ground",
                )
            if number < len(energies) or len(energies) >= size or known.vectors.shape[-1] != size:
                return list(np.asarray(known.vectors)[:number])
        known = ground_state(hamiltonian, k=min(count, size), sector=basis)
        count *= 2


def whole_vectors(basis: SectorBasis, vectors: list[Array]) -> list[Array]:
    """Vectors of a sector, each with its partners in the irrep, as vectors of the space."""
    index, weights = _everywhere(basis)
    return [jnp.asarray(np.sum(w * np.asarray(v)[index], axis=1)) for v in vectors for w in weights]


def amplitudes(vector: Array, bases: list[SectorBasis]) -> list[list[np.ndarray]]:
    """A vector of a space in sectors: for each of them the rows of its irrep, each in the basis of the first row.

    Raises:
        SpaceError: the sectors together do not hold the vector.
    """
    found, whole = [], np.asarray(vector)
    for basis in bases:
        index, weights = _everywhere(basis)
        rows = np.zeros((basis.dimension, basis.size), np.result_type(weights, whole))
        for row, weight in zip(rows, weights):
            if basis.size:
                np.add.at(row, index, weight.conj() * whole[:, None])
        found.append([real_part(row) for row in rows] if basis.size else [])
    shares = [sum(float(np.linalg.norm(row)) ** 2 for row in rows) for rows in found]
    checked_shares(shares, float(np.linalg.norm(whole)) ** 2, bases)
    return found


def _everywhere(basis: SectorBasis) -> tuple[np.ndarray, np.ndarray]:
    """Basis states and amplitudes, for all rows of the irrep, on all configurations of the space."""
    digits = basis.orbits.action.digits(np.asarray(basis.hilbert.all_states()))
    return basis.amplitudes_at(basis.orbits.codes(digits), range(basis.dimension))


def target_space(operator: AbstractOperator, source: AbstractHilbert, target: AbstractHilbert | None) -> Any:
    """The space that holds the products, checked.

    Raises:
        SpaceError: the operator leads out of the target, or is not known on it.
    """
    _check_covers(operator, source)
    if target is None:
        if not operator.hilbert.is_constrained and not source.is_constrained:
            return source
        if _stays(operator, source):
            return source
        target = operator.hilbert
    if target.site_states != source.site_states:
        raise SpaceError(
            "The target is a space of other sites.",
            got=target,
            expected=f"the sites and local states of {source}",
            try_="target=None",
        )
    _check_covers(operator, target)
    lost = 0.0 if target == source and _stays(operator, source) else float(_outside(operator, source, target))
    if lost:
        raise SpaceError(
            "The operator leads out of the target space.",
            got=f"an element of size {lost:.3g} from {source} to outside of {target}",
            expected="all products with the ground state inside the target",
            try_="the operator on the space of all configurations, and target= with the quantum numbers of A|0>",
        )
    return target


def _stays(operator: AbstractOperator, space: AbstractHilbert) -> bool:
    """Whether an operator leads nowhere out of a space; of Pauli sums the strings tell."""
    if not isinstance(operator, PauliSum):
        return float(_outside(operator, space, space)) == 0
    try:
        operator.check_space(space)
    except SpaceError:
        return False
    return True


def _check_covers(operator: AbstractOperator, space: AbstractHilbert) -> None:
    """Refuse an operator that is only known on a part of a space: it may have been simplified there."""
    if operator.hilbert.is_constrained and operator.hilbert != space:
        inside = map_chunks(operator.hilbert.contains, space.all_states(), chunk=_CHUNK)
        if not bool(jnp.all(inside)):
            raise SpaceError(
                "The operator is not known on all of this space.",
                got=f"an operator on {operator.hilbert}",
                expected=f"one that acts on {space}",
                try_="the operator on the space of all configurations",
            )


@functools.partial(jax.jit, static_argnums=(1, 2))
def _outside(operator: AbstractOperator, source: AbstractHilbert, target: AbstractHilbert) -> Array:
    """The largest element that leads from the source to outside of the target, zero if it is rounding."""
    back = operator.adjoint()  # type: ignore[attr-defined]

    def rows(x: Array) -> tuple[Array, Array]:
        states, elements = back.connected(x)
        sizes, diagonal = jnp.abs(elements), jnp.abs(back.diagonal(x))
        lost = jnp.max(jnp.where(target.contains(states), 0, sizes), axis=-1, initial=0)
        lost = jnp.maximum(lost, jnp.where(target.contains(x), 0, diagonal))
        return lost, jnp.maximum(jnp.max(sizes, axis=-1, initial=0), diagonal)

    def larger(i: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
        index = jnp.minimum(i * _CHUNK + jnp.arange(_CHUNK), source.size - 1)
        lost, sizes = rows(source.indices_to_states(index))
        return jnp.maximum(found[0], jnp.max(lost)), jnp.maximum(found[1], jnp.max(sizes))

    if source.size <= _CHUNK:
        lost, largest = (jnp.max(part) for part in rows(source.all_states()))
    else:  # nothing of the size of the space
        zero = jnp.zeros((), jnp.finfo(operator.dtype).dtype)
        lost, largest = jax.lax.fori_loop(0, -(-source.size // _CHUNK), larger, (zero, zero))
    return jnp.where(lost > 1e-12 * largest, lost, 0)


@functools.partial(jax.jit, static_argnums=(2, 3))
def product(operator: AbstractOperator, vector: Array, source: AbstractHilbert, target: AbstractHilbert) -> Array:
    """The product of an operator with a vector of one space, as a vector of another."""

    def rows(x: Array) -> Array:
        def amplitudes(states: Array) -> Array:
            inside = source.contains(states)
            return jnp.where(inside, vector[jnp.where(inside, source.states_to_indices(states), 0)], 0)

        states, elements = operator.connected(x)
        return jnp.sum(elements * amplitudes(states), axis=-1) + operator.diagonal(x) * amplitudes(x)

    return map_chunks(rows, target.all_states(), chunk=_CHUNK)
