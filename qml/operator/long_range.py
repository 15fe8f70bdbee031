"""Spin models whose couplings fall off with distance, on any lattice.

Each pair of sites interacts once, at the distance of the nearest periodic image, in the unit of the positions. Rydberg
and Ising models are of spins 1/2 and in Pauli matrices; `LongRangeXXZ` is in spin matrices S of any spin.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from qml.hilbert import AbstractHilbert
from qml.operator.coefficients import is_traced, on_host
from qml.operator.pauli import PauliSum
from qml.operator.spin_terms import EXCHANGE, Block, SpinOperator, assemble_spins, refuse_twist, sites_as_places


def Rydberg(
    hilbert: AbstractHilbert, lattice: Any, *, c6: Any, rabi: Any = 1.0, detuning: Any = 0.0, cutoff: Any = None
) -> PauliSum:
    r"""Rydberg atoms, $H = \frac{\Omega}{2} \sum_a X_a - \Delta \sum_a n_a + \sum_{a<b} \frac{C_6}{r_{ab}^6} n_a n_b$.

    The Rydberg state is down (qubit 1), $n = (1 - Z)/2$. Each pair interacts once, at the distance of the nearest
    periodic image, in the unit of the lattice's positions. The Rydberg blockade itself is a space, `Constrained`.

    Args:
        hilbert: spin-1/2 space of the lattice's sites.
        lattice: gives `n_sites` and `distances()`.
        c6: van der Waals coefficient, energy times length to the sixth; a scalar.
        rabi: Rabi frequency $\Omega$, a scalar or `[sites]`.
        detuning: laser detuning $\Delta$, a scalar or `[sites]`.
        cutoff: pairs farther apart are left out; `None` keeps all.

    Raises:
        SpaceError: a drive on a space of fixed magnetisation; another space than spins 1/2; a twisted lattice.
        ShapeError: other sites, or a coupling of the wrong shape.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import Chain
        >>> from qml.operator import Rydberg
        >>> h = Rydberg(Spin(3), Chain(3, periodic=False), c6=64.0, rabi=2.0, detuning=1.0)
        >>> h.diagonal([[1, 1, 1], [-1, 1, 1], [-1, 1, -1]]).tolist()  # none, one, two atoms excited
        [0.0, -1.0, -1.0]

    Source: H. Bernien et al., Nature 551, 579 (2017), equation 1.
    """
    refuse_twist(lattice, "The Rydberg Hamiltonian")
    pairs, distance = _pairs(lattice, cutoff)
    sites = sites_as_places(lattice.n_sites)
    blocks = [
        Block({"X": 0.5}, sites, rabi),
        Block({"I": -0.5, "Z": 0.5}, sites, detuning),
        Block({"II": 0.25, "ZI": -0.25, "IZ": -0.25, "ZZ": 0.25}, pairs, on_host(c6) * distance**-6.0),
    ]
    return assemble_spins(hilbert, blocks, lattice=lattice, pauli=True)  # type: ignore[return-value]


def LongRangeIsing(
    hilbert: AbstractHilbert, lattice: Any, *, alpha: Any, j: Any = 1.0, h: Any = 0.0, kac: bool = False
) -> PauliSum:
    r"""Long-range Ising model in Pauli matrices, $H = \frac{j}{N} \sum_{a<b} r_{ab}^{-\alpha} Z_a Z_b - h \sum_a X_a$.

    Each pair counts once, at the distance of the nearest periodic image in the unit of the lattice's positions.
    $N = 1$, or with `kac=True` the mean over sites of $\sum_{b \neq a} r_{ab}^{-\alpha}$, which keeps the energy
    extensive for any $\alpha \geq 0$.

    Args:
        hilbert: spin-1/2 space of the lattice's sites.
        lattice: gives `n_sites` and `distances()`.
        alpha: power of the distance, a scalar.
        j: coupling, a scalar; negative is ferromagnetic.
        h: transverse field, a scalar or `[sites]`.
        kac: divide by Kac's normalisation.

    Raises:
        SpaceError: a field on a space of fixed magnetisation; another space than spins 1/2; a twisted lattice.
        ShapeError: other sites, or a coupling of the wrong shape.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import Chain
        >>> from qml.operator import LongRangeIsing
        >>> LongRangeIsing(Spin(3), Chain(3, periodic=False), alpha=3.0, j=-8.0)
        PauliSum(3 sites, 6 terms: - 8 Z0 Z1 - 1 Z0 Z2 - 8 Z1 Z2 + 0 X0 + 0 X1 + 0 X2)
    """
    refuse_twist(lattice, "The Ising model")
    pairs, weights = _power_law(lattice, alpha, kac)
    blocks = [
        Block({"ZZ": 1.0}, pairs, on_host(j) * weights),
        Block({"X": -1.0}, sites_as_places(lattice.n_sites), h),
    ]
    return assemble_spins(hilbert, blocks, lattice=lattice, pauli=True)  # type: ignore[return-value]


def LongRangeXXZ(
    hilbert: AbstractHilbert, lattice: Any, *, alpha: Any, j: Any = 1.0, delta: Any = 0.0, kac: bool = False
) -> SpinOperator:
    r"""$H = \frac{j}{N} \sum_{a<b} r_{ab}^{-\alpha} (S^x_a S^x_b + S^y_a S^y_b + \Delta S^z_a S^z_b)$; XY by default.

    Distances and $N$ are those of `LongRangeIsing`.

    Args:
        hilbert: space of the lattice's sites, of any spin.
        lattice: gives `n_sites` and `distances()`.
        alpha: power of the distance, a scalar.
        j: coupling, a scalar.
        delta: anisotropy, a scalar; 0 is the XY model, 1 Heisenberg's.
        kac: divide by Kac's normalisation.

    Raises:
        SpaceError: a space without spins, or a twisted lattice.
        ShapeError: other sites, or a coupling of the wrong shape.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import Chain
        >>> from qml.operator import LongRangeXXZ
        >>> LongRangeXXZ(Spin(4, s=1, magnetisation=0), Chain(4), alpha=2.0)
        LocalOperator(4 sites, 6 matrices)
    """
    refuse_twist(lattice, "A power law between nearest images")
    pairs, weights = _power_law(lattice, alpha, kac)
    blocks = [
        Block(EXCHANGE, pairs, on_host(j) * weights),
        Block({"ZZ": 1.0}, pairs, on_host(j) * on_host(delta) * weights),
    ]
    return assemble_spins(hilbert, blocks, lattice=lattice)


def _pairs(lattice: Any, cutoff: Any = None) -> tuple[list[tuple[int, int]], np.ndarray]:
    """All pairs of sites with i < j, and their distances."""
    distances = np.asarray(lattice.distances())
    rows, columns = np.triu_indices(lattice.n_sites, 1)
    far = distances[rows, columns]
    keep = np.ones(len(far), bool) if cutoff is None else far <= float(cutoff) * (1 + 1e-9)
    return list(zip(rows[keep].tolist(), columns[keep].tolist())), far[keep]


def _power_law(lattice: Any, alpha: Any, kac: bool) -> tuple[list[tuple[int, int]], Any]:
    """All pairs, and their distance to the power `-alpha`."""
    pairs, far = _pairs(lattice)
    weights = jnp.asarray(far) ** (-alpha) if is_traced(alpha) else far ** -float(alpha)
    if kac and len(pairs):
        weights = weights * (lattice.n_sites / (2 * weights.sum()))
    return pairs, weights
