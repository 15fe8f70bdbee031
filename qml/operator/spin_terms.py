"""Sums of products of spin matrices over the places of a lattice: Pauli strings for spins 1/2, local matrices else."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError, SpaceError
from qml.hilbert import AbstractHilbert
from qml.operator.coefficients import collect, is_traced, on_host
from qml.operator.matrices import LocalOperator, spin_matrices
from qml.operator.pauli import PauliSum, build
from qml.operator.strings import parse

SpinOperator = PauliSum | LocalOperator
EXCHANGE = {"XX": 1.0, "YY": 1.0}  # (S^+ S^- + h.c.) / 2
CURRENT = {"XY": 1.0, "YX": -1.0}  # i (S^+ S^- - h.c.) / 2


class Block(NamedTuple):
    """`coupling * sum_words weight * word` on each of some places; a word has one spin matrix for each site."""

    words: Mapping[str, float]
    places: Sequence[tuple[int, ...]]
    coupling: Any  # one number, or one for each place


def assemble_spins(
    hilbert: AbstractHilbert, blocks: Sequence[Block], *, lattice: Any = None, pauli: bool = False
) -> SpinOperator:
    r"""The sum of all blocks, in spin matrices S or (`pauli=True`, spins 1/2 only) in Pauli matrices $\sigma = 2 S$.

    On a constrained space blocks that are known to be zero are left out; elsewhere they stay, so that changing a
    coupling to or from zero does not change the program.

    Raises:
        ShapeError: a coupling that is neither one number nor one for each place; a lattice of other sites.
        SpaceError: a space without spins, or a block that leaves it.
    """
    if lattice is not None and hilbert.n_sites != lattice.n_sites:
        raise ShapeError(
            "The space and the lattice have different numbers of sites.",
            got=f"{hilbert.n_sites} and {lattice.n_sites} sites",
            expected="the same number",
            try_=f"Spin({lattice.n_sites})",
        )
    double = spin_of(hilbert)
    if pauli and double != 1:
        raise SpaceError(
            "This model is one of spins 1/2.", got=hilbert, expected="a space of spins 1/2", try_="Spin(n_sites)"
        )
    blocks = [b for b in blocks if len(b.places)]
    if hilbert.is_constrained:
        blocks = [b for b in blocks if is_traced(b.coupling) or np.any(np.asarray(b.coupling))]
    if double == 1:
        return _strings(hilbert, blocks, pauli)
    matrices = spin_matrices(double / 2)
    terms = []
    for words, places, coupling in blocks:
        matrix = sum(weight * _kron([_matrix(matrices, letter) for letter in word]) for word, weight in words.items())
        matrix = np.real(matrix) if not np.any(np.imag(matrix)) else matrix
        values = spread(coupling, "/".join(words), len(places))
        terms += [(matrix, place, values[k]) for k, place in enumerate(places)]
    return LocalOperator.from_terms(terms, hilbert)


def _strings(hilbert: AbstractHilbert, blocks: Sequence[Block], pauli: bool) -> PauliSum:
    n, pairs, shape, values = hilbert.n_sites, [], [], []
    for words, places, coupling in blocks:
        spreaded = spread(coupling, "/".join(words), len(places))
        for word, weight in words.items():
            unit = weight if pauli else weight / 2 ** sum(letter != "I" for letter in word)
            pairs += [parse(word, tuple(place), n) for place in places]
            shape += [unit] * len(places)
            values.append(unit * spreaded)
    # one unit of every coupling shows whether the model keeps the space, whatever the (traced) values are
    build(*collect(n, pairs, np.array(shape)), hilbert, check=True)
    coefficients = jnp.concatenate(values) if any(is_traced(v) for v in values) else np.concatenate([*values, []])
    made = build(*collect(n, pairs, coefficients), hilbert, check=False)
    if not is_traced(coefficients):
        made.check_space(hilbert)
    return made


def transverse(lattice: Any, order: int, real: Any, current: Any = 0.0) -> list[Block]:
    r"""$\sum_{i<j} \mathrm{Re}\big[(J + i D)\, e^{i\phi_{ij}} S^+_i S^-_j\big]$ over the edges of a lattice.

    That is $J (S^x S^x + S^y S^y) + D\,(S^x_i S^y_j - S^y_i S^x_j)$ where no boundary is crossed, and otherwise turned
    about the z axis by the phase $\phi$ of the lattice's twist.
    """
    edges = lattice.edges(order=order)
    if not is_twisted(lattice):
        blocks = [Block(EXCHANGE, edges, real)]
        return blocks if _is_zero(current) else [*blocks, Block(CURRENT, edges, current)]
    phases: Any = np.asarray(lattice.edge_phases(order=order))
    count = len(edges)
    j, d = spread(real, "exchange", count), spread(current, "D", count)
    return [
        Block(EXCHANGE, edges, j * phases.real - d * phases.imag),
        Block(CURRENT, edges, j * phases.imag + d * phases.real),
    ]


def is_twisted(lattice: Any) -> bool:
    """True if the boundary conditions of a lattice have a phase."""
    return bool(np.any(np.asarray(getattr(lattice, "twist", 0.0))))


def refuse_twist(lattice: Any, what: str) -> None:
    """Raise `SpaceError` on a lattice with a twist, for a model that does not conserve the total $S^z$ it turns."""
    if is_twisted(lattice):
        raise SpaceError(
            f"{what} cannot be twisted about the z axis.",
            got=f"a twist of {lattice.twist}",
            expected="a lattice without twist",
            try_="lattice.with_twist(0.0), or a model of the XXZ kind",
        )


def spin_of(hilbert: AbstractHilbert) -> int:
    """Twice the spin of every site.

    Raises:
        SpaceError: the sites hold no spins, or different ones.
    """
    states = hilbert.local_states
    top = len(states) - 1
    if top < 1 or states != tuple(range(top, -top - 1, -2)):
        raise SpaceError(
            "This model acts on spins.", got=f"{hilbert}", expected="a space of spins", try_="Spin(n_sites, s=1)"
        )
    return top


def spread(coupling: Any, what: str, count: int) -> Any:
    """A coupling as one number for each place.

    Raises:
        ShapeError: it has another shape.
    """
    coupling = on_host(coupling)
    if coupling.shape not in ((), (count,)):
        raise ShapeError(
            f"The coupling of the {what} terms has the wrong shape.",
            got=f"shape {coupling.shape}",
            expected=f"a scalar or ({count},)",
            try_="one number for all, or one for each bond in the order of lattice.edges()",
        )
    return jnp.broadcast_to(coupling, (count,)) if is_traced(coupling) else np.broadcast_to(coupling, (count,))


def sites_as_places(n_sites: int) -> list[tuple[int, ...]]:
    """Every site as a place."""
    return [(i,) for i in range(n_sites)]


def _is_zero(coupling: Any) -> bool:
    return not is_traced(coupling) and not np.any(np.asarray(coupling))


def _matrix(matrices: Mapping[str, np.ndarray], letter: str) -> np.ndarray:
    return np.eye(len(matrices["Z"])) if letter == "I" else matrices[letter]


def _kron(matrices: Sequence[np.ndarray]) -> np.ndarray:
    out = np.ones((1, 1))
    for matrix in matrices:
        out = np.kron(out, matrix)
    return out
