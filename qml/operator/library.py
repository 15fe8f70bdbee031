"""Models on lattices, and totals, local operators and correlators.

Couplings may be numbers, arrays with one entry per bond (or site), or traced: they never change the compiled program.
A lattice is anything with `n_sites` and `edges(order)`.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError
from qml.hilbert import AbstractHilbert
from qml.operator.coefficients import collect, is_traced, on_host
from qml.operator.conserve import check_terms
from qml.operator.pauli import PauliSum, build
from qml.operator.strings import parse

Bonds = Sequence[tuple[int, int]]


def Ising(hilbert: AbstractHilbert, lattice: Any, *, j: Any = 1.0, h: Any = 0.0) -> PauliSum:
    r"""Transverse-field Ising model in Pauli matrices, $H = j \sum_{\langle ab\rangle} Z_a Z_b - h \sum_a X_a$.

    Args:
        hilbert: spin-1/2 space of the lattice's sites.
        lattice: gives `n_sites` and `edges(order=1)`.
        j: bond coupling, a scalar or `[bonds]`; negative is ferromagnetic.
        h: transverse field, a scalar or `[sites]`.

    Raises:
        SpaceError: a field on a space of fixed magnetisation, which X leaves; or a space of other sites.
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
    blocks = [("ZZ", lattice.edges(order=1), 1.0, j)]
    concrete_zero = not is_traced(h) and not np.any(np.asarray(h))
    if not (hilbert.is_constrained and concrete_zero):
        blocks.append(("X", [(i,) for i in range(lattice.n_sites)], -1.0, h))
    return _assemble(hilbert, lattice, blocks)


def XXZ(hilbert: AbstractHilbert, lattice: Any, *, j: Any = 1.0, delta: Any = 1.0) -> PauliSum:
    r"""XXZ model in spin operators, $H = j \sum_{\langle ab\rangle} (S^x_a S^x_b + S^y_a S^y_b + \Delta S^z_a S^z_b)$.

    Args:
        hilbert: spin-1/2 space of the lattice's sites.
        lattice: gives `n_sites` and `edges(order=1)`.
        j: bond coupling, a scalar or `[bonds]`; positive is antiferromagnetic.
        delta: anisotropy, a scalar or `[bonds]`.

    Raises:
        SpaceError: the space has other sites.
        ShapeError: a coupling that is neither a scalar nor one number for each bond.
    """
    bonds = lattice.edges(order=1)
    blocks = [("XX", bonds, 0.25, j), ("YY", bonds, 0.25, j), ("ZZ", bonds, 0.25, on_host(j) * on_host(delta))]
    return _assemble(hilbert, lattice, blocks)


def Heisenberg(hilbert: AbstractHilbert, lattice: Any, j: Any = 1.0) -> PauliSum:
    r"""Heisenberg model $H = j \sum_{\langle ab\rangle} \mathbf S_a \cdot \mathbf S_b$ with $\mathbf S = \sigma/2$.

    There is no hidden rotation of signs: amplitudes of a bipartite antiferromagnet alternate in sign.

    Args:
        hilbert: spin-1/2 space of the lattice's sites.
        lattice: gives `n_sites` and `edges(order=1)`.
        j: bond coupling, a scalar or `[bonds]`; positive is antiferromagnetic.

    Raises:
        SpaceError: the space has other sites.
        ShapeError: a coupling that is neither a scalar nor one number for each bond.
    """
    return _assemble(hilbert, lattice, _exchange(lattice.edges(order=1), j))


def J1J2(hilbert: AbstractHilbert, lattice: Any, *, j1: Any = 1.0, j2: Any = 0.5) -> PauliSum:
    r"""$H = j_1 \sum_{nn} \mathbf S_a \cdot \mathbf S_b + j_2 \sum_{nnn} \mathbf S_a \cdot \mathbf S_b$, no sign rule.

    Args:
        hilbert: spin-1/2 space of the lattice's sites.
        lattice: gives `n_sites`, `edges(order=1)` and `edges(order=2)`.
        j1: coupling of nearest neighbours, a scalar or `[bonds]`.
        j2: coupling of next-nearest neighbours, a scalar or `[bonds]`.

    Raises:
        SpaceError: the space has other sites.
        ShapeError: a coupling that is neither a scalar nor one number for each bond.
    """
    blocks = _exchange(lattice.edges(order=1), j1) + _exchange(lattice.edges(order=2), j2)
    return _assemble(hilbert, lattice, blocks)


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
    """
    return PauliSum.from_terms([(letters, sites, 1.0)], hilbert)


def _exchange(bonds: Bonds, j: Any) -> list[tuple[str, Bonds, float, Any]]:
    return [(letters, bonds, 0.25, j) for letters in ("XX", "YY", "ZZ")]


def _assemble(hilbert: AbstractHilbert, lattice: Any, blocks: list) -> PauliSum:
    """Sum over blocks (letters, places, weight, coupling) of `weight * coupling * letters` on each place."""
    if hilbert.n_sites != lattice.n_sites:
        raise ShapeError(
            "The space and the lattice have different numbers of sites.",
            got=f"{hilbert.n_sites} and {lattice.n_sites} sites",
            expected="the same number",
            try_=f"Spin({lattice.n_sites})",
        )
    n = hilbert.n_sites
    pairs, shape, values = [], [], []
    for letters, places, weight, coupling in blocks:
        pairs += [parse(letters, tuple(place), n) for place in places]
        shape += [weight] * len(places)
        values.append(weight * _spread(coupling, letters, len(places)))
    # one unit of every coupling shows whether the model keeps the space, whatever the (traced) values are
    check_terms(*collect(n, pairs, np.array(shape)), hilbert)
    coefficients = jnp.concatenate(values) if any(is_traced(v) for v in values) else np.concatenate(values)
    return build(*collect(n, pairs, coefficients), hilbert)


def _spread(coupling: Any, letters: str, count: int) -> Any:
    coupling = on_host(coupling)
    if coupling.shape not in ((), (count,)):
        raise ShapeError(
            f"The coupling of the {letters} terms has the wrong shape.",
            got=f"shape {coupling.shape}",
            expected=f"a scalar or ({count},)",
            try_="one number for all, or one for each bond in the order of lattice.edges()",
        )
    return jnp.broadcast_to(coupling, (count,)) if is_traced(coupling) else np.broadcast_to(coupling, (count,))
