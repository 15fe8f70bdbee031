"""Operators of particles on lattices, fermions and bosons alike: ladder operators, numbers, hops, densities, currents.

Couplings may be numbers, arrays with one entry per bond (or site), or traced: they never change the compiled program,
except that a term whose coupling is known to be 0 is left out. A lattice is anything with `n_sites` and `edges(order)`;
the phases of its hops are `edge_phases(order)` if it has them, else 1.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError, SpaceError
from qml.hilbert import AbstractHilbert
from qml.operator.boson import BosonSum
from qml.operator.coefficients import is_traced, on_host
from qml.operator.fermion import FermionSum
from qml.operator.ladder_strings import Expansion, expand

SPINS = {"up": 0, "down": 1}


class Block(NamedTuple):
    """Terms of a model with one coupling: strings (or sums of them), one value for each."""

    operators: Sequence[str | Expansion]
    values: Any  # [operators], NumPy or traced
    hermitian: bool  # whatever the values of the coupling


def kind_of(hilbert: AbstractHilbert) -> type[FermionSum] | type[BosonSum]:
    """The class of sums that act on the particles of a space.

    Raises:
        SpaceError: the space does not hold particles of one kind.
    """
    kind = FermionSum if hilbert.fermionic else BosonSum
    kind._check_statistics(hilbert)
    return kind


def assemble(hilbert: AbstractHilbert, blocks: Iterable[Block]) -> FermionSum | BosonSum:
    """The sum of all blocks."""
    kind, blocks = kind_of(hilbert), list(blocks)
    strings = kind._kind()
    operators = [
        expand(strings, operator, hilbert.n_sites) if isinstance(operator, str) else operator
        for block in blocks
        for operator in block.operators
    ]
    values = [block.values for block in blocks] or [np.zeros(0)]
    joined = jnp.concatenate(values) if any(is_traced(v) for v in values) else np.concatenate(values)
    return kind._assemble(hilbert, operators, joined, all(block.hermitian for block in blocks))  # type: ignore[return-value]


def spread(coupling: Any, name: str, count: int) -> Any:
    """A coupling as one value for each place.

    Raises:
        ShapeError: it is neither a scalar nor one number for each place.
    """
    coupling = on_host(coupling)
    if coupling.shape not in ((), (count,)):
        raise ShapeError(
            f"The coupling {name} has the wrong shape.",
            got=f"shape {coupling.shape}",
            expected=f"a scalar or ({count},)",
            try_="one number for all, or one for each in the order of lattice.edges() or of the sites",
        )
    return jnp.broadcast_to(coupling, (count,)) if is_traced(coupling) else np.broadcast_to(coupling, (count,))


def is_zero(coupling: Any) -> bool:
    """True for a coupling that is known to be zero."""
    return not is_traced(coupling) and not np.any(np.asarray(coupling))


def check_lattice(hilbert: AbstractHilbert, lattice: Any) -> None:
    """Raise `ShapeError` unless the lattice has a site for each orbital of the space."""
    if hilbert.n_sites != lattice.n_sites * hilbert.components:
        raise ShapeError(
            "The space and the lattice have different numbers of sites.",
            got=f"{hilbert.n_sites // hilbert.components} and {lattice.n_sites} sites",
            expected="the same number",
            try_="SpinlessFermion(lattice.n_sites), SpinfulFermion(lattice.n_sites) or Boson(lattice.n_sites, n_max)",
        )


def mode(hilbert: AbstractHilbert, site: int, spin: str | None = None) -> int:
    """The mode of a site: `site`, or for spinful fermions `site` (up) and `n_orbitals + site` (down).

    Raises:
        SpaceError: no such site, a spin where there is none or none where there is one.
    """
    orbitals = hilbert.n_sites // hilbert.components
    if (spin in SPINS) != (hilbert.components == 2) or (spin is not None and spin not in SPINS):
        raise SpaceError(
            "The spin does not fit the space.",
            got=f"spin={spin!r}",
            expected="'up' or 'down'" if hilbert.components == 2 else "no spin",
            try_="annihilate(hilbert, 0, 'up') for fermions with spin, annihilate(hilbert, 0) else",
        )
    if not 0 <= site < orbitals:
        raise SpaceError("There is no such site.", got=site, expected=f"0 ... {orbitals - 1}", try_="another site")
    return site + (SPINS[spin] * orbitals if spin is not None else 0)


def densities(hilbert: AbstractHilbert) -> list[Expansion]:
    """The number of particles on each site, both spins together."""
    orbitals, strings = hilbert.n_sites // hilbert.components, kind_of(hilbert)._kind()
    modes = [range(i, hilbert.n_sites, orbitals) for i in range(orbitals)]
    return [{key: 1.0 for m in own for key in expand(strings, f"n{m}", hilbert.n_sites)} for own in modes]


def annihilate(hilbert: AbstractHilbert, site: int, spin: str | None = None) -> FermionSum | BosonSum:
    r"""The operator $c_i$ or $b_i$ that removes a particle; products and sums build everything else.

    A space with fixed totals has no such operator: build on the space without them, and move what conserves them
    with `.on(space)`.

    Args:
        hilbert: a space of fermions or bosons.
        site: the site.
        spin: `"up"` or `"down"` for fermions with spin, else `None`.

    Raises:
        SpaceError: no such site or spin, or a space with a fixed number.

    Example:
        >>> from qml.hilbert import SpinlessFermion
        >>> from qml.operator import annihilate, create
        >>> space = SpinlessFermion(3)
        >>> hop = create(space, 0) @ annihilate(space, 2)
        >>> (hop + hop.adjoint()).on(SpinlessFermion(3, n_fermions=1))
        FermionSum(3 modes, 2 terms: 1 [0^ 2] + 1 [2^ 0])
    """
    return kind_of(hilbert)({f"{mode(hilbert, site, spin)}": 1.0}, hilbert)


def create(hilbert: AbstractHilbert, site: int, spin: str | None = None) -> FermionSum | BosonSum:
    r"""The operator $c_i^\dagger$ or $b_i^\dagger$ that adds a particle; see `annihilate`.

    Raises:
        SpaceError: no such site or spin, or a space with a fixed number.

    Example:
        >>> from qml.hilbert import Boson
        >>> from qml.operator import annihilate, create
        >>> space = Boson(1, n_max=4)
        >>> create(space, 0).commutator(annihilate(space, 0)).terms
        {'': -1.0}
    """
    return kind_of(hilbert)({f"{mode(hilbert, site, spin)}^": 1.0}, hilbert)


def number(hilbert: AbstractHilbert, site: int | None = None, spin: str | None = None) -> FermionSum | BosonSum:
    r"""The number of particles $n_i$ on a site, or of the whole lattice.

    Args:
        hilbert: a space of fermions or bosons.
        site: the site; `None` is all of them.
        spin: `"up"` or `"down"` for one spin only; `None` is both.

    Raises:
        SpaceError: no such site or spin.

    Example:
        >>> from qml.hilbert import SpinfulFermion
        >>> from qml.operator import number
        >>> number(SpinfulFermion(2), 1)
        FermionSum(4 modes, 2 terms: 1 [n1] + 1 [n3])
        >>> number(SpinfulFermion(2), spin="up")
        FermionSum(4 modes, 2 terms: 1 [n0] + 1 [n1])
    """
    orbitals = hilbert.n_sites // hilbert.components
    spins: Sequence[str | None] = tuple(SPINS) if spin is None and hilbert.components == 2 else (spin,)
    sites = range(orbitals) if site is None else (site,)
    return kind_of(hilbert)({f"n{mode(hilbert, i, s)}": 1.0 for s in spins for i in sites}, hilbert)


def hops(hilbert: AbstractHilbert, lattice: Any, t: Any, order: int = 1) -> list[Block]:
    """The terms of `hopping`."""
    check_lattice(hilbert, lattice)
    if is_zero(t):
        return []
    orbitals, bonds, values = lattice.n_sites, lattice.edges(order=order), amplitudes(lattice, t, order)
    blocks = []
    for shift in range(0, hilbert.n_sites, orbitals):
        blocks.append(Block([f"{i + shift}^ {j + shift}" for i, j in bonds], -values, True))
        blocks.append(Block([f"{j + shift}^ {i + shift}" for i, j in bonds], -values.conj(), True))
    return blocks


def amplitudes(lattice: Any, t: Any, order: int = 1) -> Any:
    """The amplitude of the hop from j to i on each bond: coupling times phase, real where both are."""
    count = len(lattice.edges(order=order))
    values = spread(t, "t", count)
    phases = np.asarray(lattice.edge_phases(order=order)) if hasattr(lattice, "edge_phases") else np.ones(count)
    return values * (phases if np.any(np.imag(phases)) else np.real(phases))


def hopping(hilbert: AbstractHilbert, lattice: Any, t: Any = 1.0, *, order: int = 1) -> FermionSum | BosonSum:
    r"""Hops $-\sum_{\langle ij\rangle} (t_{ij} e^{i\phi_{ij}} a_i^\dagger a_j + h.c.)$ of every component.

    Args:
        hilbert: fermions or bosons on the lattice's sites.
        lattice: gives `n_sites`, `edges(order)` (pairs i < j) and the phases `edge_phases(order)` of its twist.
        t: amplitude, a scalar or `[bonds]`; complex values hop from j to i with t, back with its conjugate.
        order: which neighbours.

    Raises:
        ShapeError: the space has other sites, or the coupling the wrong shape.

    Example:
        >>> from qml.exact import spectrum
        >>> from qml.hilbert import SpinlessFermion
        >>> from qml.lattice import Chain
        >>> from qml.operator import hopping
        >>> spectrum(hopping(SpinlessFermion(3, n_fermions=1), Chain(3))).energies.round(10).tolist()
        [-2.0, 1.0, 1.0]
    """
    return assemble(hilbert, hops(hilbert, lattice, t, order))


def repulsion(hilbert: AbstractHilbert, pairs: Sequence[tuple[int, int]], v: Any, name: str = "v") -> list[Block]:
    """The terms $v_{ij} n_i n_j$ of some pairs."""
    if is_zero(v):
        return []
    n, strings = densities(hilbert), kind_of(hilbert)._kind()
    products: list[str | Expansion] = []
    for i, j in pairs:
        product: Expansion = {}
        for a in n[i]:
            for b in n[j]:
                for key, factor in strings.times(a, b, hilbert.n_sites).items():
                    product[key] = product.get(key, 0) + factor
        products.append(product)
    return [Block(products, spread(v, name, len(pairs)), not jnp.iscomplexobj(v))]


def density_density(
    hilbert: AbstractHilbert, lattice: Any, v: Any = 1.0, *, order: int = 1, power: float | int | None = None
) -> FermionSum | BosonSum:
    r"""Repulsion of densities, $\sum_{\langle ij\rangle} v_{ij} n_i n_j$, or $v \sum_{i<j} n_i n_j / r_{ij}^{\alpha}$.

    Args:
        hilbert: fermions or bosons on the lattice's sites; $n_i$ counts both spins.
        lattice: gives `n_sites`, `edges(order)`, and `distances()` for a power law.
        v: strength, a scalar or one for each bond (each pair i < j, row by row, with a power law).
        order: which neighbours.
        power: exponent $\alpha$; then all pairs repel, r being the distance to the nearest image.

    Raises:
        ShapeError: the space has other sites, or the coupling the wrong shape.

    Example:
        >>> from qml.hilbert import SpinlessFermion
        >>> from qml.lattice import Chain
        >>> from qml.operator import density_density
        >>> density_density(SpinlessFermion(3), Chain(3, periodic=False), 1.0, power=3)
        FermionSum(3 modes, 3 terms: 1 [n0 n1] + 0.125 [n0 n2] + 1 [n1 n2])
    """
    check_lattice(hilbert, lattice)
    if power is None:
        return assemble(hilbert, repulsion(hilbert, lattice.edges(order=order), v))
    pairs = [(i, j) for i in range(lattice.n_sites) for j in range(i + 1, lattice.n_sites)]
    decay = np.array([lattice.distances()[i, j] for i, j in pairs]) ** -float(power)
    return assemble(hilbert, repulsion(hilbert, pairs, spread(v, "v", len(pairs)) * decay))


def bond_current(hilbert: AbstractHilbert, lattice: Any, i: int, j: int, t: Any = 1.0) -> FermionSum | BosonSum:
    r"""Particles that flow from i to j in unit time, $J_{i \to j} = -i\,t_{ij} e^{i\phi_{ij}} a_i^\dagger a_j + h.c.$

    All components are added up. With the Hamiltonian `hopping`, plus anything that commutes with densities,
    $\dot n_j = \sum_i J_{i \to j}$.

    Args:
        hilbert: fermions or bosons on the lattice's sites.
        lattice: has the bond (i, j).
        i: where from.
        j: where to.
        t: amplitude, a scalar or `[bonds]`, as in `hopping`.

    Raises:
        SpaceError: i and j share no bond.

    Example:
        >>> from qml.hilbert import SpinlessFermion
        >>> from qml.lattice import Chain
        >>> from qml.operator import bond_current, hopping, number
        >>> space, chain = SpinlessFermion(3), Chain(3, periodic=False)
        >>> rate = 1j * hopping(space, chain).commutator(number(space, 0))
        >>> (rate + bond_current(space, chain, 0, 1)).simplify().terms
        {}
    """
    bonds = list(lattice.edges(order=1))
    pair = (min(i, j), max(i, j))
    if pair not in bonds:
        raise SpaceError(
            "These sites share no bond.", got=(i, j), expected="a pair of lattice.edges()", try_="neighbours"
        )
    flows = np.zeros(len(bonds))
    flows[bonds.index(pair)] = 1.0 if i < j else -1.0
    return _flow(hilbert, lattice, t, flows)


def current(
    hilbert: AbstractHilbert, lattice: Any, t: Any = 1.0, *, direction: Sequence[float] | None = None
) -> FermionSum | BosonSum:
    r"""Total current along a direction, $\sum_{\langle ij\rangle} (e \cdot r_{ij})\, J_{i \to j} = i\,[H, e \cdot X]$.

    Args:
        hilbert: fermions or bosons on the lattice's sites.
        lattice: gives positions, edges, and windings around its boundaries.
        t: amplitude, a scalar or `[bonds]`, as in `hopping`.
        direction: vector e, not normalised here; the first axis if left out.

    Raises:
        ShapeError: the direction has another dimension than the lattice.

    Example:
        >>> from qml.hilbert import SpinlessFermion
        >>> from qml.lattice import Chain
        >>> from qml.operator import current, hopping
        >>> space, ring = SpinlessFermion(4, n_fermions=2), Chain(4)
        >>> current(space, ring).commutator(hopping(space, ring)).simplify(1e-12).terms
        {}
    """
    positions = np.asarray(lattice.positions, float)
    along = np.eye(positions.shape[1])[0] if direction is None else np.asarray(direction, float)
    if along.shape != positions.shape[1:]:
        raise ShapeError(
            "The direction does not fit the lattice.",
            got=f"shape {along.shape}",
            expected=f"({positions.shape[1]},)",
            try_="one number for each dimension",
        )
    bonds = np.asarray(lattice.edges(order=1)).reshape(-1, 2)
    torus = np.asarray(lattice.supercell, float) @ np.asarray(lattice.cell, float)
    steps = positions[bonds[:, 1]] - positions[bonds[:, 0]] + np.asarray(lattice.windings(order=1)) @ torus
    return _flow(hilbert, lattice, t, steps @ along)


def _flow(hilbert: AbstractHilbert, lattice: Any, t: Any, weights: np.ndarray) -> FermionSum | BosonSum:
    check_lattice(hilbert, lattice)
    kept = np.flatnonzero(weights)
    values = -1j * (weights * amplitudes(lattice, t))[kept]
    bonds = [lattice.edges(order=1)[k] for k in kept]
    blocks = []
    for shift in range(0, hilbert.n_sites, lattice.n_sites):
        blocks.append(Block([f"{i + shift}^ {j + shift}" for i, j in bonds], values, True))
        blocks.append(Block([f"{j + shift}^ {i + shift}" for i, j in bonds], values.conj(), True))
    return assemble(hilbert, blocks)
