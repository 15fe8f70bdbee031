"""Models of fermions on lattices: Hubbard and its kin, t-V, t-J.

Each bond is listed once; hops carry a minus sign, $-t$; the twist of the lattice gives their phases.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from qml._core.errors import SpaceError
from qml.hilbert import AbstractHilbert
from qml.operator.fermion import FermionStrings, FermionSum
from qml.operator.ladder_strings import Expansion, expand
from qml.operator.particles import (
    Block,
    amplitudes,
    assemble,
    check_lattice,
    densities,
    hops,
    is_zero,
    repulsion,
    spread,
)


def tV(hilbert: AbstractHilbert, lattice: Any, *, t: Any = 1.0, v: Any = 0.0, mu: Any = 0.0) -> FermionSum:
    r"""Spinless fermions that repel their neighbours.

    $$H = -\sum_{\langle ij\rangle} (t\,c_i^\dagger c_j + h.c.) + v \sum_{\langle ij\rangle} n_i n_j - \mu \sum_i n_i$$

    Args:
        hilbert: `SpinlessFermion` on the lattice's sites.
        lattice: gives `n_sites`, `edges()` and the phases of its twist.
        t: hopping, a scalar or `[bonds]`.
        v: repulsion, a scalar or `[bonds]`.
        mu: chemical potential, a scalar or `[sites]`.

    Raises:
        SpaceError: the space holds other particles.
        ShapeError: the space has other sites, or a coupling the wrong shape.

    Example:
        >>> from qml.exact import ground_state
        >>> from qml.hilbert import SpinlessFermion
        >>> from qml.lattice import Chain
        >>> from qml.operator import tV
        >>> energy = ground_state(tV(SpinlessFermion(8, n_fermions=3), Chain(8), v=0.0)).energies[0]
        >>> print(f"{energy:.8f}")
        -4.82842712
    """
    _check_components(hilbert, 1)
    return _sum(hilbert, [*_base(hilbert, lattice, t, mu), *repulsion(hilbert, lattice.edges(order=1), v)])


def Hubbard(hilbert: AbstractHilbert, lattice: Any, *, t: Any = 1.0, u: Any = 0.0, mu: Any = 0.0) -> FermionSum:
    r"""The Hubbard model.

    $$H = -\sum_{\langle ij\rangle\sigma} (t\,c_{i\sigma}^\dagger c_{j\sigma} + h.c.)
        + u \sum_i n_{i\uparrow} n_{i\downarrow} - \mu \sum_i n_i$$

    For hops to next neighbours add `hopping(hilbert, lattice, t2, order=2)`.

    Args:
        hilbert: `SpinfulFermion` on the lattice's sites.
        lattice: gives `n_sites`, `edges()` and the phases of its twist.
        t: hopping, a scalar or `[bonds]`.
        u: repulsion on a site, a scalar or `[sites]`.
        mu: chemical potential, a scalar or `[sites]`.

    Raises:
        SpaceError: the space holds other particles.
        ShapeError: the space has other sites, or a coupling the wrong shape.

    Example:
        >>> from qml.exact import ground_state
        >>> from qml.hilbert import SpinfulFermion
        >>> from qml.lattice import Chain
        >>> from qml.operator import Hubbard
        >>> h = Hubbard(SpinfulFermion(2, n_up=1, n_down=1), Chain(2, periodic=False), u=4.0)
        >>> print(f"{ground_state(h).energies[0]:.8f}")  # u/2 - sqrt(u^2/4 + 4 t^2)
        -0.82842712
    """
    return ExtendedHubbard(hilbert, lattice, t=t, u=u, mu=mu)


def ExtendedHubbard(
    hilbert: AbstractHilbert, lattice: Any, *, t: Any = 1.0, u: Any = 0.0, v: Any = 0.0, mu: Any = 0.0
) -> FermionSum:
    r"""The Hubbard model plus $v \sum_{\langle ij\rangle} n_i n_j$ with $n_i = n_{i\uparrow} + n_{i\downarrow}$.

    Args:
        hilbert: `SpinfulFermion` on the lattice's sites.
        lattice: gives `n_sites`, `edges()` and the phases of its twist.
        t: hopping, a scalar or `[bonds]`.
        u: repulsion on a site, a scalar or `[sites]`.
        v: repulsion of neighbours, a scalar or `[bonds]`.
        mu: chemical potential, a scalar or `[sites]`.

    Raises:
        SpaceError: the space holds other particles.
        ShapeError: the space has other sites, or a coupling the wrong shape.

    Example:
        >>> from qml.hilbert import SpinfulFermion
        >>> from qml.lattice import Chain
        >>> from qml.operator import ExtendedHubbard
        >>> len(ExtendedHubbard(SpinfulFermion(4), Chain(4), u=4.0, v=1.0).terms)
        36
    """
    _check_components(hilbert, 2)
    blocks = [*_base(hilbert, lattice, t, mu), *repulsion(hilbert, lattice.edges(order=1), v)]
    if not is_zero(u):
        pairs = [f"n{i} n{i + lattice.n_sites}" for i in range(lattice.n_sites)]
        blocks.append(Block(pairs, spread(u, "u", lattice.n_sites), not jnp.iscomplexobj(u)))
    return _sum(hilbert, blocks)


def tJ(hilbert: AbstractHilbert, lattice: Any, *, t: Any = 1.0, j: Any = 0.0) -> FermionSum:
    r"""The t-J model: hops between singly occupied and empty sites, and exchange.

    $$H = -\sum_{\langle ij\rangle\sigma} (t\,P_{i\bar\sigma} c_{i\sigma}^\dagger c_{j\sigma} P_{j\bar\sigma} + h.c.)
        + j \sum_{\langle ij\rangle} \bigl(\mathbf S_i \cdot \mathbf S_j - \tfrac14 n_i n_j\bigr),
        \qquad P_{i\sigma} = 1 - n_{i\sigma}$$

    The hops hold their projectors, so no term makes or moves a double occupancy. The space is one without double
    occupancies, or any spinful space: there the model acts on configurations without them as it should, and leaves
    those with them to themselves (with $n_i n_j$ and no spin).

    Args:
        hilbert: `SpinfulFermion` on the lattice's sites, or
            `Constrained(SpinfulFermion(...), predicate)` with a predicate that forbids double occupancy.
        lattice: gives `n_sites`, `edges()` and the phases of its twist.
        t: hopping, a scalar or `[bonds]`.
        j: exchange, a scalar or `[bonds]`; positive is antiferromagnetic.

    Raises:
        SpaceError: the space holds other particles.
        ShapeError: the space has other sites, or a coupling the wrong shape.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.exact import ground_state
        >>> from qml.hilbert import Constrained, SpinfulFermion
        >>> from qml.lattice import Chain
        >>> from qml.operator import tJ
        >>> def single(x):
        ...     return jnp.all(x[..., :2] + x[..., 2:] < 2, axis=-1)
        >>> space = Constrained(SpinfulFermion(2, n_up=1, n_down=1), single)
        >>> print(ground_state(tJ(space, Chain(2, periodic=False), j=0.4)).energies[:1])  # a singlet: -j
        [-0.4]
    """
    _check_components(hilbert, 2)
    check_lattice(hilbert, lattice)
    bonds, n, blocks = lattice.edges(order=1), lattice.n_sites, []
    if not is_zero(t):
        values = amplitudes(lattice, t)
        for up in (0, n):
            there = [_projected(hilbert, a + up, b + up, n - up + a, n - up + b) for a, b in bonds]
            back = [_projected(hilbert, b + up, a + up, n - up + b, n - up + a) for a, b in bonds]
            blocks += [Block(there, -values, True), Block(back, -values.conj(), True)]
    if not is_zero(j):
        exchange = [_exchange(hilbert, a, b, n) for a, b in bonds]
        blocks.append(Block(exchange, spread(j, "j", len(bonds)), not jnp.iscomplexobj(j)))
    return _sum(hilbert, blocks)


def _projected(hilbert: AbstractHilbert, a: int, b: int, other_a: int, other_b: int) -> Expansion:
    """(1 - n_other_a) c_a^+ c_b (1 - n_other_b)."""
    hop = f"{a}^ {b}"
    return _combine(
        hilbert, {hop: 1.0, f"n{other_a} {hop}": -1.0, f"{hop} n{other_b}": -1.0, f"n{other_a} {hop} n{other_b}": 1.0}
    )


def _exchange(hilbert: AbstractHilbert, a: int, b: int, n: int) -> Expansion:
    """S_a . S_b - n_a n_b / 4."""
    A, B = a + n, b + n
    flips = {f"{a}^ {A} {B}^ {b}": 0.5, f"{A}^ {a} {b}^ {B}": 0.5}
    return _combine(hilbert, {**flips, f"n{a} n{B}": -0.5, f"n{A} n{b}": -0.5})


def _combine(hilbert: AbstractHilbert, terms: dict[str, float]) -> Expansion:
    """A sum of strings in normal order."""
    total: Expansion = {}
    for word, factor in terms.items():
        for key, sign in expand(FermionStrings, word, hilbert.n_sites).items():
            total[key] = total.get(key, 0) + factor * sign
    return total


def _base(hilbert: AbstractHilbert, lattice: Any, t: Any, mu: Any) -> list[Block]:
    """Hops and chemical potential."""
    blocks = hops(hilbert, lattice, t)
    if not is_zero(mu):
        values = -spread(mu, "mu", lattice.n_sites)
        blocks.append(Block(densities(hilbert), values, not jnp.iscomplexobj(mu)))
    return blocks


def _sum(hilbert: AbstractHilbert, blocks: Sequence[Block]) -> FermionSum:
    if isinstance(made := assemble(hilbert, blocks), FermionSum):
        return made
    raise TypeError  # the components were checked


def _check_components(hilbert: AbstractHilbert, wanted: int) -> None:
    if not hilbert.fermionic or hilbert.components != wanted:
        raise SpaceError(
            "The model is one of other particles.",
            got=f"{hilbert}",
            expected="fermions with spin" if wanted == 2 else "fermions without spin",
            try_="SpinfulFermion(lattice.n_sites)" if wanted == 2 else "SpinlessFermion(lattice.n_sites)",
        )
