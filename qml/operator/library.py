"""Ising, Heisenberg and their relatives on lattices; totals, local operators and correlators.

Couplings may be numbers, arrays with one entry per bond (or site), or traced: they never change the compiled program.
A lattice is anything with `n_sites` and `edges(order)`; where it has a twist, `edge_phases(order)` turn the exchange.
"""

from typing import Any

from qml.hilbert import AbstractHilbert
from qml.operator.coefficients import on_host
from qml.operator.pauli import PauliSum
from qml.operator.spin_terms import Block, SpinOperator, assemble_spins, refuse_twist, sites_as_places, transverse


def Ising(hilbert: AbstractHilbert, lattice: Any, *, j: Any = 1.0, h: Any = 0.0) -> PauliSum:
    r"""Transverse-field Ising model in Pauli matrices, $H = j \sum_{\langle ab\rangle} Z_a Z_b - h \sum_a X_a$.

    Args:
        hilbert: spin-1/2 space of the lattice's sites.
        lattice: gives `n_sites` and `edges(order=1)`.
        j: bond coupling, a scalar or `[bonds]`; negative is ferromagnetic.
        h: transverse field, a scalar or `[sites]`.

    Raises:
        SpaceError: a field on a space of fixed magnetisation, which X leaves, or on a twisted lattice; other spins.
        ShapeError: a coupling that is neither a scalar nor one number for each bond or site.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.operator import Ising
        >>> class Pair:
        ...     n_sites = 2
        ...     def edges(self, order=1):
        ...         return ((0, 1),)
        >>> Ising(Spin(2), Pair(), j=-1.0, h=0.5)
        PauliSum(2 sites, 3 terms: - 1 Z0 Z1 - 0.5 X0 - 0.5 X1)
    """
    refuse_twist(lattice, "The Ising model")
    blocks = [
        Block({"ZZ": 1.0}, lattice.edges(order=1), j),
        Block({"X": -1.0}, sites_as_places(lattice.n_sites), h),
    ]
    return assemble_spins(hilbert, blocks, lattice=lattice, pauli=True)  # type: ignore[return-value]


def XXZ(hilbert: AbstractHilbert, lattice: Any, *, j: Any = 1.0, delta: Any = 1.0) -> SpinOperator:
    r"""XXZ model in spin operators, $H = j \sum_{\langle ab\rangle} (S^x_a S^x_b + S^y_a S^y_b + \Delta S^z_a S^z_b)$.

    On a twisted lattice $S^x S^x + S^y S^y$ is $\frac12 (e^{i\phi} S^+_a S^-_b + h.c.)$, a < b, where a bond crosses.

    Args:
        hilbert: space of the lattice's sites, of any spin.
        lattice: gives `n_sites` and `edges(order=1)`.
        j: bond coupling, a scalar or `[bonds]`; positive is antiferromagnetic.
        delta: anisotropy, a scalar or `[bonds]`.

    Returns:
        A `PauliSum` for spins 1/2, else a `LocalOperator`.

    Raises:
        SpaceError: a space without spins.
        ShapeError: other sites, or a coupling that is neither a scalar nor one number for each bond.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import Chain
        >>> from qml.operator import XXZ
        >>> XXZ(Spin(2), Chain(2, periodic=False), delta=2.0)
        PauliSum(2 sites, 3 terms: 0.25 X0 X1 + 0.25 Y0 Y1 + 0.5 Z0 Z1)
    """
    zz = Block({"ZZ": 1.0}, lattice.edges(order=1), on_host(j) * on_host(delta))
    return assemble_spins(hilbert, [*transverse(lattice, 1, j), zz], lattice=lattice)


def Heisenberg(hilbert: AbstractHilbert, lattice: Any, j: Any = 1.0) -> SpinOperator:
    r"""Heisenberg model $H = j \sum_{\langle ab\rangle} \mathbf S_a \cdot \mathbf S_b$, for spins of any size.

    There is no hidden rotation of signs: amplitudes of a bipartite antiferromagnet alternate in sign. `rotate_signs`
    changes that where you ask for it. On a twisted lattice the exchange turns as in `XXZ`.

    Args:
        hilbert: space of the lattice's sites, of any spin.
        lattice: gives `n_sites` and `edges(order=1)`.
        j: bond coupling, a scalar or `[bonds]`; positive is antiferromagnetic.

    Returns:
        A `PauliSum` for spins 1/2, else a `LocalOperator`.

    Raises:
        SpaceError: a space without spins.
        ShapeError: other sites, or a coupling that is neither a scalar nor one number for each bond.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import Chain
        >>> from qml.operator import Heisenberg
        >>> Heisenberg(Spin(4, s=1), Chain(4))
        LocalOperator(4 sites, 4 matrices)
    """
    return assemble_spins(hilbert, exchange(lattice, 1, j), lattice=lattice)


def J1J2(hilbert: AbstractHilbert, lattice: Any, *, j1: Any = 1.0, j2: Any = 0.5) -> SpinOperator:
    r"""$H = j_1 \sum_{nn} \mathbf S_a \cdot \mathbf S_b + j_2 \sum_{nnn} \mathbf S_a \cdot \mathbf S_b$, no sign rule.

    Args:
        hilbert: space of the lattice's sites, of any spin.
        lattice: gives `n_sites`, `edges(order=1)` and `edges(order=2)`.
        j1: coupling of nearest neighbours, a scalar or `[bonds]`.
        j2: coupling of next-nearest neighbours, a scalar or `[bonds]`.

    Returns:
        A `PauliSum` for spins 1/2, else a `LocalOperator`.

    Raises:
        SpaceError: a space without spins.
        ShapeError: other sites, or a coupling that is neither a scalar nor one number for each bond.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import Chain
        >>> from qml.operator import J1J2
        >>> len(J1J2(Spin(6), Chain(6), j1=1.0, j2=0.5).strings)
        36
    """
    blocks = exchange(lattice, 1, j1) + exchange(lattice, 2, j2)
    return assemble_spins(hilbert, blocks, lattice=lattice)


def exchange(lattice: Any, order: int, j: Any) -> list[Block]:
    r"""$j\,\mathbf S_a \cdot \mathbf S_b$ on the edges of one order, with the twist of the lattice."""
    return [*transverse(lattice, order, j), Block({"ZZ": 1.0}, lattice.edges(order=order), j)]


def total(hilbert: AbstractHilbert, letter: str) -> PauliSum:
    """Sum of one Pauli matrix over all sites, `"X"`, `"Y"` or `"Z"`.

    Raises:
        SpaceError: an unknown letter, or X or Y on a space of fixed magnetisation.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.operator import total
        >>> total(Spin(3), "X") / 3
        PauliSum(3 sites, 3 terms: 0.333333 X0 + 0.333333 X1 + 0.333333 X2)
    """
    return PauliSum.from_terms([(letter, (i,), 1.0) for i in range(hilbert.n_sites)], hilbert)


def local(hilbert: AbstractHilbert, letters: str, *sites: int) -> PauliSum:
    """One Pauli string on some sites: `local(hilbert, "Z", 3)`, or the correlator `local(hilbert, "ZZ", 0, 5)`.

    Raises:
        SpaceError: an unknown letter or site, or a string that leaves a space of fixed magnetisation.
        ShapeError: there are not as many letters as sites.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.operator import local
        >>> local(Spin(6), "ZZ", 0, 5)
        PauliSum(6 sites, 1 term: 1 Z0 Z5)
    """
    return PauliSum.from_terms([(letters, sites, 1.0)], hilbert)
