"""Rotation of signs, explicit and never hidden: the same operator in another basis of the same states."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from qml._core.errors import SpaceError
from qml.operator.coefficients import on_host
from qml.operator.ladder import LadderSum
from qml.operator.local_slots import digits_of, dims_of
from qml.operator.matrices import LocalOperator, assemble
from qml.operator.pauli import PauliSum, build
from qml.operator.strings import mask_of


def rotate_signs(operator: Any, sites: Sequence[int]) -> Any:
    r"""$U O U^\dagger$ with $U = \prod_{s \in \text{sites}} (-1)^{d_s}$.

    $d_s$ is the number of steps of a spin below its top state, or of particles. For spins 1/2 U is a product of Z; with
    the sites of one sublattice it is Marshall's rule, which makes the off-diagonal elements of a bipartite Heisenberg
    antiferromagnet negative and its ground state positive; of particles that hop between two sublattices it changes
    the sign of the hopping. Energies stay as they are; amplitudes, $\psi \to U \psi$, and labels of symmetries that
    move the sites to others change: `Sector.rotated(signs)` is the sector that goes with the rotated operator, and
    `Sector.relabelled` gives its label without a rotation.

    Args:
        operator: a `PauliSum`, `LocalOperator`, `FermionSum` or `BosonSum`.
        sites: the entries of a configuration that get a sign (of fermions with spin: i and i + orbitals).

    Returns:
        The rotated operator, on the same space.

    Raises:
        SpaceError: a site that does not exist, or comes twice; an operator of another kind.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import Chain
        >>> from qml.operator import Heisenberg, rotate_signs
        >>> rotate_signs(Heisenberg(Spin(2), Chain(2, periodic=False)), [0])
        PauliSum(2 sites, 3 terms: - 0.25 X0 X1 - 0.25 Y0 Y1 + 0.25 Z0 Z1)

    Source: W. Marshall, Proc. R. Soc. A 232, 48 (1955).
    """
    if not isinstance(operator, (PauliSum, LocalOperator, LadderSum)):
        raise SpaceError(
            "The signs of this kind of operator cannot be rotated.",
            got=type(operator).__name__,
            expected="a PauliSum, a LocalOperator, a FermionSum or a BosonSum",
            try_="the rotation of each part before they are put together, or as_local(operator)",
        )
    hilbert = operator.hilbert
    sites = tuple(int(i) for i in sites)
    if len(set(sites)) != len(sites) or any(not 0 <= i < hilbert.n_sites for i in sites):
        raise SpaceError(
            "A site does not exist, or comes twice.",
            got=f"sites {sites}",
            expected=f"distinct sites in 0 ... {hilbert.n_sites - 1}",
            try_="range(0, n_sites, 2)",
        )
    if isinstance(operator, PauliSum):
        mask = mask_of(sites, hilbert.n_sites)
        signs = np.array([1.0 - 2 * ((flip & mask).bit_count() % 2) for flip in operator.strings.flips])
        return build(operator.strings, on_host(operator.coefficients) * signs, hilbert)
    if isinstance(operator, LadderSum):
        moves = [operator.strings.move(key) for key in operator.strings.keys]
        signs = np.array([1.0 - 2 * (_changed(move, sites, hilbert.n_sites) % 2) for move in moves])
        return operator._build(operator.strings, operator.coefficients * signs, hilbert, hermitian=operator.hermitian)
    terms = []
    for term in operator.terms():
        digits = digits_of(np.arange(len(term.present)), dims_of(hilbert, term.sites))
        inside = np.array([i in sites for i in term.sites], dtype=int)
        signs = 1.0 - 2 * ((digits @ inside) % 2) if len(inside) else np.ones(1)
        terms.append(term._replace(matrix=signs[:, None] * term.matrix * signs[None, :]))
    return assemble(terms, hilbert)


def _changed(move: Any, sites: tuple[int, ...], n_sites: int) -> int:
    """By how much a string changes the particles on some sites, up to an even number."""
    if isinstance(move, int):  # the mask of the modes that fermions enter or leave
        return (move & mask_of(sites, n_sites)).bit_count()
    return sum(change for site, change in move if site in sites)
