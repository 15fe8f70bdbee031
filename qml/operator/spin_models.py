"""More spin models on lattices: anisotropic, chiral, bond-directional, of any spin.

Couplings may be numbers, arrays with one entry per bond (site, triangle, pair), or traced. Models of the Heisenberg
kind are in spin matrices S (a `PauliSum` for spins 1/2, a `LocalOperator` for larger ones); the Kitaev model is of
spins 1/2 and in Pauli matrices. Add models to combine them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from qml._core.errors import ShapeError
from qml.hilbert import AbstractHilbert
from qml.operator.coefficients import is_traced, on_host
from qml.operator.library import exchange
from qml.operator.matrices import LocalOperator, spin_matrices
from qml.operator.pauli import PauliSum
from qml.operator.spin_terms import (
    EXCHANGE,
    Block,
    SpinOperator,
    assemble_spins,
    refuse_twist,
    sites_as_places,
    spin_of,
    spread,
    transverse,
)

_SCALAR_CHIRALITY = {"XYZ": 1.0, "YZX": 1.0, "ZXY": 1.0, "XZY": -1.0, "ZYX": -1.0, "YXZ": -1.0}


def XY(hilbert: AbstractHilbert, lattice: Any, *, j: Any = 1.0) -> SpinOperator:
    r"""XY model $H = j \sum_{\langle ab\rangle} (S^x_a S^x_b + S^y_a S^y_b)$, hard-core bosons that hop by $j/2$.

    Args:
        hilbert: space of the lattice's sites, of any spin.
        lattice: gives `n_sites` and `edges(order=1)`; a twist turns the exchange as in `XXZ`.
        j: bond coupling, a scalar or `[bonds]`.

    Raises:
        SpaceError: a space without spins.
        ShapeError: other sites, or a coupling that is neither a scalar nor one number for each bond.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import Chain
        >>> from qml.operator import XY
        >>> XY(Spin(2), Chain(2, periodic=False), j=-1.0)
        PauliSum(2 sites, 2 terms: - 0.25 X0 X1 - 0.25 Y0 Y1)
    """
    return assemble_spins(hilbert, transverse(lattice, 1, j), lattice=lattice)


def XYZ(hilbert: AbstractHilbert, lattice: Any, *, jx: Any = 1.0, jy: Any = 1.0, jz: Any = 1.0) -> SpinOperator:
    r"""XYZ model $H = \sum_{\langle ab\rangle} (j_x S^x_a S^x_b + j_y S^y_a S^y_b + j_z S^z_a S^z_b)$.

    Args:
        hilbert: space of the lattice's sites, of any spin.
        lattice: gives `n_sites` and `edges(order=1)`.
        jx: coupling of the x components, a scalar or `[bonds]`.
        jy: coupling of the y components.
        jz: coupling of the z components.

    Raises:
        SpaceError: a space of fixed magnetisation, or a twisted lattice (use `XXZ` where $j_x = j_y$).
        ShapeError: other sites, or a coupling that is neither a scalar nor one number for each bond.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import Chain
        >>> from qml.operator import XYZ
        >>> XYZ(Spin(2), Chain(2, periodic=False), jx=1.0, jy=2.0, jz=-4.0)
        PauliSum(2 sites, 3 terms: 0.25 X0 X1 + 0.5 Y0 Y1 - 1 Z0 Z1)
    """
    refuse_twist(lattice, "The XYZ model")
    bonds = lattice.edges(order=1)
    blocks = [Block({2 * axis: 1.0}, bonds, j) for axis, j in (("X", jx), ("Y", jy), ("Z", jz))]
    return assemble_spins(hilbert, blocks, lattice=lattice)


def J1J2J3(hilbert: AbstractHilbert, lattice: Any, *, j1: Any = 1.0, j2: Any = 0.0, j3: Any = 0.0) -> SpinOperator:
    r"""Heisenberg model $\sum_{k=1}^3 j_k \sum_{\langle ab\rangle_k} \mathbf S_a \cdot \mathbf S_b$ on three shells.

    Args:
        hilbert: space of the lattice's sites, of any spin.
        lattice: gives `n_sites` and `edges(order)` for orders 1, 2 and 3.
        j1: coupling of nearest neighbours, a scalar or `[bonds]`.
        j2: coupling of second neighbours.
        j3: coupling of third neighbours.

    Raises:
        SpaceError: a space without spins.
        ShapeError: other sites, a cluster without third neighbours, or a coupling of the wrong shape.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import Chain
        >>> from qml.operator import J1J2J3
        >>> len(J1J2J3(Spin(8), Chain(8), j1=1.0, j2=0.5, j3=0.2).strings)
        72
    """
    blocks = exchange(lattice, 1, j1) + exchange(lattice, 2, j2) + exchange(lattice, 3, j3)
    return assemble_spins(hilbert, blocks, lattice=lattice)


def DzyaloshinskiiMoriya(hilbert: AbstractHilbert, lattice: Any, *, d: Any) -> SpinOperator:
    r"""$H = \sum_{\langle ab\rangle} \mathbf D_{ab} \cdot (\mathbf S_a \times \mathbf S_b)$ with $a < b$ on every bond.

    The vector belongs to the bond as `lattice.edges()` lists it, from the lower to the higher site: read the other way
    it changes sign, $\mathbf D_{ba} = -\mathbf D_{ab}$. Mind this on a torus, where the bond from the last site to the
    first is listed as (0, L-1): a uniform vector around a ring has the opposite sign there.

    Args:
        hilbert: space of the lattice's sites, of any spin; a fixed magnetisation needs $D^x = D^y = 0$.
        lattice: gives `n_sites` and `edges(order=1)`; on a twisted one only $D^z$ is allowed.
        d: three entries $(D^x, D^y, D^z)$, each a scalar or `[bonds]`; or an array `[bonds, 3]`.

    Raises:
        SpaceError: $D^x$ or $D^y$ on a space of fixed magnetisation or on a twisted lattice.
        ShapeError: other sites, or vectors of the wrong shape.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import Chain
        >>> from qml.operator import DzyaloshinskiiMoriya
        >>> DzyaloshinskiiMoriya(Spin(2, magnetisation=0), Chain(2, periodic=False), d=(0.0, 0.0, 1.0))
        PauliSum(2 sites, 2 terms: 0.25 X0 Y1 - 0.25 Y0 X1)

    Source: T. Moriya, Phys. Rev. 120, 91 (1960).
    """
    bonds = lattice.edges(order=1)
    x, y, z = _components(d, len(bonds))
    if any(is_traced(c) or np.any(c) for c in (x, y)):
        refuse_twist(lattice, "A Dzyaloshinskii-Moriya vector that is not along z")
    blocks = [Block({"YZ": 1.0, "ZY": -1.0}, bonds, x), Block({"ZX": 1.0, "XZ": -1.0}, bonds, y)]
    blocks += [b for b in transverse(lattice, 1, 0.0, z) if b.words is not EXCHANGE or np.any(np.asarray(b.coupling))]
    return assemble_spins(hilbert, blocks, lattice=lattice)


def Chiral(hilbert: AbstractHilbert, lattice: Any, *, k: Any = 1.0) -> SpinOperator:
    r"""Scalar chirality $H = k \sum_{(abc)} \mathbf S_a \cdot (\mathbf S_b \times \mathbf S_c)$ of all triangles.

    Each triangle counts once, in the order of its corners in `lattice.triangles()`: counter-clockwise in two
    dimensions, so the sign is the same all over the lattice.

    Args:
        hilbert: space of the lattice's sites, of any spin.
        lattice: gives `n_sites` and `triangles()`.
        k: coupling, a scalar or `[triangles]`.

    Raises:
        SpaceError: a space without spins, or a twisted lattice.
        ShapeError: other sites, a lattice without triangles, or a coupling of the wrong shape.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import Triangular
        >>> from qml.operator import Chiral
        >>> chiral = Chiral(Spin(9, magnetisation=0.5), Triangular(3, 3))
        >>> len(chiral.strings), chiral.is_hermitian
        (108, True)

    Source: X.-G. Wen, F. Wilczek, A. Zee, Phys. Rev. B 39, 11413 (1989).
    """
    refuse_twist(lattice, "The chirality of triangles")
    triangles = lattice.triangles()
    if not len(triangles):
        raise ShapeError(
            "This lattice has no triangles.",
            got=repr(lattice),
            expected="triangles of nearest neighbours",
            try_="Triangular(4), Kagome(2)",
        )
    return assemble_spins(hilbert, [Block(_SCALAR_CHIRALITY, triangles, k)], lattice=lattice)


def Kitaev(hilbert: AbstractHilbert, lattice: Any, *, kx: Any = -1.0, ky: Any = -1.0, kz: Any = -1.0) -> PauliSum:
    r"""Kitaev model, $H = \sum_\gamma k_\gamma \sum_{\langle ab\rangle_\gamma} \sigma^\gamma_a \sigma^\gamma_b$.

    In Pauli matrices; Kitaev's $J_\gamma$ is $-k_\gamma$.

    Args:
        hilbert: spin-1/2 space of the lattice's sites.
        lattice: gives `n_sites` and `edges(color=)` for the colours `"x"`, `"y"` and `"z"`: `KitaevHoneycomb`.
        kx: coupling of the x bonds, a scalar or `[bonds of this colour]`.
        ky: coupling of the y bonds.
        kz: coupling of the z bonds.

    Raises:
        SpaceError: another space than spins 1/2 without fixed magnetisation; a twisted lattice.
        ShapeError: other sites, a colour that is missing, or a coupling of the wrong shape.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import KitaevHoneycomb
        >>> from qml.operator import Kitaev
        >>> len(Kitaev(Spin(18), KitaevHoneycomb(3)).strings)
        27

    Source: A. Kitaev, Annals of Physics 321, 2 (2006), equation 4.
    """
    refuse_twist(lattice, "The Kitaev model")
    blocks = [
        Block({2 * c.upper(): 1.0}, lattice.edges(order=1, color=c), k) for c, k in (("x", kx), ("y", ky), ("z", kz))
    ]
    return assemble_spins(hilbert, blocks, lattice=lattice, pauli=True)  # type: ignore[return-value]


def Field(hilbert: AbstractHilbert, *, x: Any = 0.0, y: Any = 0.0, z: Any = 0.0) -> SpinOperator:
    r"""Magnetic field $H = -\sum_a \mathbf h_a \cdot \mathbf S_a$.

    Args:
        hilbert: space of spins of any size; a fixed magnetisation allows only `z`.
        x: x component of the field, a scalar or `[sites]`.
        y: y component.
        z: z component.

    Raises:
        SpaceError: a component that leaves a space of fixed magnetisation, or a space without spins.
        ShapeError: a component that is neither a scalar nor one number for each site.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.operator import Field
        >>> Field(Spin(2), z=[1.0, -1.0]).simplify()
        PauliSum(2 sites, 2 terms: - 0.5 Z0 + 0.5 Z1)
    """
    sites = sites_as_places(hilbert.n_sites)
    return assemble_spins(hilbert, [Block({a: -1.0}, sites, h) for a, h in (("X", x), ("Y", y), ("Z", z))])


def SingleIon(hilbert: AbstractHilbert, *, d: Any = 1.0, e: Any = 0.0) -> LocalOperator:
    r"""Single-ion anisotropy $H = \sum_a d_a (S^z_a)^2 + e_a \big((S^x_a)^2 - (S^y_a)^2\big)$.

    For spins 1/2 it is the constant $d/4$ a site.

    Args:
        hilbert: space of spins of any size; a fixed magnetisation needs $e = 0$.
        d: axial anisotropy, a scalar or `[sites]`; positive is easy-plane.
        e: rhombic anisotropy, a scalar or `[sites]`.

    Raises:
        SpaceError: a rhombic part on a space of fixed magnetisation, or a space without spins.
        ShapeError: a coupling that is neither a scalar nor one number for each site.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.operator import SingleIon
        >>> SingleIon(Spin(1, s=1), d=2.0, e=0.5).to_dense().round(12).tolist()
        [[2.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.5, 0.0, 2.0]]
    """
    m = spin_matrices(spin_of(hilbert) / 2)
    parts = [(m["Z"] @ m["Z"], d), (np.real(m["X"] @ m["X"] - m["Y"] @ m["Y"]), e)]
    terms = []
    for matrix, coupling in parts:
        if not hilbert.is_constrained or is_traced(coupling) or np.any(np.asarray(coupling)):
            values = spread(coupling, "single-ion", hilbert.n_sites)
            terms += [(matrix, (i,), values[i]) for i in range(hilbert.n_sites)]
    return LocalOperator.from_terms(terms, hilbert)


def _components(d: Any, bonds: int) -> list[Any]:
    """x, y and z components of one vector or of one for each bond."""
    if not isinstance(d, (list, tuple)) or (len(d) == bonds != 3 and all(np.ndim(v) == 1 for v in d)):
        d = on_host(d)
        if d.shape == (bonds, 3):
            return [d[:, 0], d[:, 1], d[:, 2]]
        d = [d[0], d[1], d[2]] if d.shape == (3,) else d
    if not isinstance(d, Sequence) or len(d) != 3:
        raise ShapeError(
            "A Dzyaloshinskii-Moriya vector has three components.",
            got=f"shape {np.shape(d)}",
            expected=f"(D_x, D_y, D_z), or an array of shape ({bonds}, 3)",
            try_="d=(0.0, 0.0, 1.0)",
        )
    return [spread(c, "Dzyaloshinskii-Moriya", bonds) for c in d]
