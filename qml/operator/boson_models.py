"""Models of bosons on lattices."""

from typing import Any

import jax.numpy as jnp

from qml._core.errors import SpaceError
from qml.hilbert import AbstractHilbert
from qml.operator.boson import BosonSum
from qml.operator.particles import Block, assemble, densities, hops, is_zero, repulsion, spread


def BoseHubbard(
    hilbert: AbstractHilbert, lattice: Any, *, j: Any = 1.0, u: Any = 0.0, mu: Any = 0.0, v: Any = 0.0
) -> BosonSum:
    r"""The Bose-Hubbard model.

    $$H = -\sum_{\langle ij\rangle} (j\,b_i^\dagger b_j + h.c.) + \tfrac u2 \sum_i n_i (n_i - 1) - \mu \sum_i n_i
        + v \sum_{\langle ij\rangle} n_i n_j$$

    Args:
        hilbert: `Boson` on the lattice's sites.
        lattice: gives `n_sites`, `edges()` and the phases of its twist.
        j: hopping, a scalar or `[bonds]`.
        u: repulsion on a site, a scalar or `[sites]`.
        mu: chemical potential, a scalar or `[sites]`.
        v: repulsion of neighbours, a scalar or `[bonds]`.

    Raises:
        SpaceError: the space holds other particles.
        ShapeError: the space has other sites, or a coupling the wrong shape.

    Example:
        >>> from qml.exact import ground_state
        >>> from qml.hilbert import Boson
        >>> from qml.lattice import Chain
        >>> from qml.operator import BoseHubbard
        >>> h = BoseHubbard(Boson(2, n_max=2, n_particles=2), Chain(2, periodic=False), j=1.0, u=2.0)
        >>> print(f"{ground_state(h).energies[0]:.8f}")  # 1 - sqrt(1 + 4) for two bosons on two sites
        -1.23606798
    """
    if hilbert.fermionic:
        raise SpaceError(
            "The model is one of bosons.", got=f"{hilbert}", expected="bosons", try_="Boson(lattice.n_sites, n_max)"
        )
    n = lattice.n_sites
    blocks = [*hops(hilbert, lattice, j), *repulsion(hilbert, lattice.edges(order=1), v)]
    if not is_zero(u):
        values = 0.5 * spread(u, "u", n)
        blocks.append(Block([f"{i}^ {i}^ {i} {i}" for i in range(n)], values, not jnp.iscomplexobj(u)))
    if not is_zero(mu):
        blocks.append(Block(densities(hilbert), -spread(mu, "mu", n), not jnp.iscomplexobj(mu)))
    if isinstance(made := assemble(hilbert, blocks), BosonSum):
        return made
    raise TypeError  # the space was checked
