"""Operators from and to NetKet."""

from typing import Any

import numpy as np

from qml._core.errors import SpaceError, need
from qml.hilbert import AbstractHilbert, Boson, Spin, SpinfulFermion, SpinlessFermion
from qml.operator.base import AbstractOperator
from qml.operator.boson import BosonStrings, BosonSum
from qml.operator.fermion import FermionSum
from qml.operator.interop import as_array, real_if_possible, refuse
from qml.operator.ladder_strings import read
from qml.operator.matrices import LocalOperator
from qml.operator.pauli import PauliSum


def to_netket(operator: AbstractOperator) -> Any:
    """The operator as a NetKet `PauliStrings`, `FermionOperator2nd` or `LocalOperator` on the like space.

    Configurations agree one by one, but for fermions with spin: NetKet lists the modes of spin down (`sz=-1`) first.
    The numbers of the states agree where no total is fixed: NetKet numbers fixed totals in an order of its own.

    Raises:
        MissingExtraError: NetKet is not installed.
        SpaceError: there is no like operator or space.

    Example:
        >>> from qml.operator import PauliSum
        >>> from qml.operator.interop_netket import to_netket
        >>> to_netket(PauliSum({"XZ": 0.5}))  # doctest: +SKIP
        PauliStringsJax(hilbert=Spin(s=1/2, N=2, ordering=new), n_strings=1, dtype=float64)
    """
    netket = need("netket", "bench")
    space = hilbert_to_netket(operator.hilbert)
    if isinstance(operator, PauliSum):
        words, values = list(operator.terms), list(operator.terms.values())
        return netket.operator.PauliStrings(space, words or ["I" * space.size], values or [0.0])
    if isinstance(operator, FermionSum):
        swap = _swap(operator.hilbert)
        terms = [[(swap[site], int(dagger)) for site, dagger in read(word)] for word in operator.terms if word]
        values = [value for word, value in operator.terms.items() if word]
        constant = operator.terms.get("", 0.0)
        return netket.operator.FermionOperator2nd(space, terms or None, values or None, constant=constant)
    if isinstance(operator, BosonSum):
        states, total = (
            operator.hilbert.local_states[-1] + 1,
            netket.operator.LocalOperator(space, dtype=operator.dtype),
        )
        for key, value in zip(operator.strings.keys, np.asarray(operator.coefficients).tolist()):
            matrix = _boson_matrix(key, states) if key else np.eye(states)
            sites = [site for site, _, _ in key] or [0]
            total = total + netket.operator.LocalOperator(space, value * matrix, sites)
        return total
    if isinstance(operator, LocalOperator):
        total = netket.operator.LocalOperator(space, dtype=operator.dtype)
        for term in operator.terms():
            total = total + netket.operator.LocalOperator(space, np.asarray(term.matrix), list(term.sites))
        return total
    return refuse(operator, "a PauliSum, FermionSum, BosonSum or LocalOperator")


def from_netket(operator: Any) -> PauliSum | FermionSum | LocalOperator:
    """A `PauliSum`, `FermionSum` or `LocalOperator` from a NetKet operator on the like space.

    `PauliStrings` and `FermionOperator2nd` become sums of strings, everything that is or converts to a
    `LocalOperator` (`Ising`, `BoseHubbard`, `GraphOperator`) a sum of matrices.

    Raises:
        SpaceError: there is no like operator or space.

    Example:
        >>> import netket  # doctest: +SKIP
        >>> from qml.operator.interop_netket import from_netket
        >>> from_netket(netket.operator.PauliStrings(["XZ"], [0.5]))  # doctest: +SKIP
        PauliSum(2 sites, 1 term: 0.5 X0 Z1)
    """
    name = type(operator).__name__
    space = hilbert_from_netket(operator.hilbert)
    if name.startswith("PauliStrings"):
        words = [str(word) for word in operator.operators]
        triples = [(w, tuple(range(len(w))), v) for w, v in zip(words, _plain(operator.weights))]
        return PauliSum.from_terms(triples, space)
    if hasattr(operator, "operators") and "Fermi" in name:
        swap = _swap(space)
        terms = {tuple((swap[int(i)], bool(d)) for i, d in word): v for word, v in operator.operators.items()}
        return FermionSum.from_terms(real_if_possible(terms).items(), space)  # type: ignore[return-value]
    if not hasattr(operator, "acting_on") and hasattr(operator, "to_local_operator"):
        operator = operator.to_local_operator()
    if not hasattr(operator, "acting_on"):
        return refuse(operator, "PauliStrings, FermionOperator2nd, or what converts to a LocalOperator")
    up_first = next(iter(operator.hilbert.local_states)) == space.local_states[0]
    terms = [
        (as_array(m) if up_first else as_array(m)[::-1, ::-1], tuple(int(i) for i in sites), 1.0)
        for m, sites in zip(operator.operators, operator.acting_on)
    ]
    constant = _plain([operator.constant])[0]
    if constant:
        terms.append((np.eye(len(space.local_states)), (0,), constant))
    return LocalOperator.from_terms(terms, space)


def hilbert_to_netket(hilbert: AbstractHilbert) -> Any:
    """The like NetKet space: the same configurations (fermions with spin: spin down first).

    Raises:
        MissingExtraError: NetKet is not installed.
        SpaceError: there is none.
    """
    spaces = need("netket", "bench").hilbert
    if isinstance(hilbert, Spin):
        return spaces.Spin(hilbert.s, hilbert.n_sites, total_sz=hilbert.magnetisation, inverted_ordering=False)
    if isinstance(hilbert, Boson):
        return spaces.Fock(hilbert.n_max, hilbert.n_sites, n_particles=hilbert.n_particles)
    if isinstance(hilbert, SpinlessFermion):
        return spaces.SpinOrbitalFermions(hilbert.n_sites, n_fermions=hilbert.n_fermions)
    if isinstance(hilbert, SpinfulFermion):
        if hilbert.n_up is not None and hilbert.n_down is not None:
            both = (hilbert.n_down, hilbert.n_up)
            return spaces.SpinOrbitalFermions(hilbert.n_orbitals, s=0.5, n_fermions_per_spin=both)
        if hilbert.n_up is None and hilbert.n_down is None:
            return spaces.SpinOrbitalFermions(hilbert.n_orbitals, s=0.5, n_fermions=hilbert.n_fermions)
    raise SpaceError("NetKet has no such space.", got=hilbert, expected="spins, bosons or fermions", try_="Spin(4)")


def hilbert_from_netket(space: Any) -> AbstractHilbert:
    """The space like a NetKet `Spin`, `Qubit`, `Fock` or `SpinOrbitalFermions`, its fixed total included.

    Raises:
        SpaceError: there is none.
    """
    name = type(space).__name__
    if getattr(space, "constraint", None) is not None and not _known(space):
        raise SpaceError(
            "The NetKet space has a constraint of its own.", got=space, expected="a fixed total", try_="Constrained"
        )
    if name == "Qubit":
        return Spin(space.size)
    if name == "Spin":
        return Spin(space.size, (len(space.local_states) - 1) / 2, space._total_sz)
    if name == "Fock" and space.n_max < 128:
        return Boson(space.size, int(space.n_max), space.n_particles)
    if name == "SpinOrbitalFermions" and space.spin is None:
        return SpinlessFermion(space.n_orbitals, space.n_fermions)
    if name == "SpinOrbitalFermions" and space.spin == 0.5:
        down, up = space.n_fermions_per_spin if None not in space.n_fermions_per_spin else (None, None)
        return SpinfulFermion(space.n_orbitals, up, down, space.n_fermions)
    raise SpaceError(
        "There is no space like this one.",
        got=space,
        expected="Spin, Qubit, Fock with n_max or SpinOrbitalFermions of spin 1/2 or none",
        try_="netket.hilbert.Spin(0.5, 4)",
    )


def _known(space: Any) -> bool:
    """True for the constraint that a fixed total is."""
    return type(space.constraint).__name__ in ("SumConstraint", "SumOnPartitionConstraint")


def _swap(hilbert: AbstractHilbert) -> list[int]:
    """NetKet's number of each mode: fermions of spin down come first there; the map is its own inverse."""
    n, half = hilbert.n_sites, hilbert.n_sites // 2
    return [(i + half) % n for i in range(n)] if hilbert.components == 2 else list(range(n))


def _boson_matrix(key: Any, states: int) -> np.ndarray:
    """Matrix of a normal-ordered string on its own sites."""
    factors = BosonStrings(1 + max(site for site, _, _ in key), (key,)).factors(states - 1)
    total = np.eye(1)
    for (_, p, q), kind in zip(key, factors.kinds[0]):
        rows = np.arange(states)
        columns = rows - p + q
        inside = (columns >= 0) & (columns < states)
        matrix = np.zeros((states, states))
        matrix[rows[inside], columns[inside]] = factors.table[kind][inside]
        total = np.kron(total, matrix)
    return total


def _plain(values: Any) -> list:
    return list(real_if_possible(dict(enumerate(np.asarray(values).tolist()))).values())
