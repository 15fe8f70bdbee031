"""Ground states of common models, each with its lattice, its space and the sector that it lies in."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import qml
import symmetries
from symmetries import SpinFlip

L, H, O = qml.lattice, qml.hilbert, qml.operator


class Problem(NamedTuple):
    """A Hamiltonian on a cluster, and the energy of the lowest level with its sector.

    `irrep` belongs to the little group of `momentum` in the space group of the lattice (of `"translations"` where the
    model has no more), `flip` is the eigenvalue of the spin flip, or zero.
    """

    lattice: Callable[[], Any]
    model: Callable[[Any], Any]
    energy: float
    momentum: Any
    irrep: str
    flip: int = 0
    group: str = "space"

    def sector(self) -> symmetries.Sector:
        """The sector of the ground state."""
        group = self.groups()(self.lattice())
        return symmetries.Sector(group, self.momentum, self.irrep, (SpinFlip(self.flip),) if self.flip else ())

    def groups(self) -> Any:
        """From a lattice to its group."""
        return symmetries.space_group if self.group == "space" else symmetries.translation_group

    def hamiltonian(self) -> Any:
        """The operator on its space."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # double bonds of length-2 axes are listed once
            return self.model(self.lattice())


def zero(n: int, s: float = 0.5) -> Any:
    return H.Spin(n, s, magnetisation=0)


def heisenberg(lattice: Any) -> Any:
    return O.Heisenberg(zero(lattice.n_sites), lattice)


def ising(h: float) -> Callable:
    return lambda lattice: O.Ising(H.Spin(lattice.n_sites), lattice, j=-1.0, h=h)


def j1j2(j2: float, total: int = 0) -> Callable:
    return lambda lattice: O.J1J2(H.Spin(lattice.n_sites, magnetisation=total), lattice, j1=1.0, j2=j2)


def xxz(j: float, delta: float) -> Callable:
    return lambda lattice: O.XXZ(zero(lattice.n_sites), lattice, j=j, delta=delta)


def kitaev(lattice: Any) -> Any:
    return O.Kitaev(H.Spin(lattice.n_sites), lattice)


def long_range(lattice: Any) -> Any:
    n = lattice.n_sites
    pairs = [(i, j, min(j - i, n - j + i)) for j in range(n) for i in range(j)]
    terms = [("ZZ", (i, j), -(float(d) ** -3)) for i, j, d in pairs] + [("X", (i,), -1.0) for i in range(n)]
    return O.PauliSum.from_terms(terms, H.Spin(n))


def spin_one(lattice: Any) -> Any:
    return O.Heisenberg(zero(lattice.n_sites, 1), lattice)


def bosons(lattice: Any) -> Any:
    return O.BoseHubbard(H.Boson(8, n_max=8, n_particles=8), lattice, j=1.0, u=4.0)


def fermions(number: int, v: float) -> Callable:
    return lambda lattice: O.tV(H.SpinlessFermion(lattice.n_sites, n_fermions=number), lattice, t=1.0, v=v)


def hubbard(number: int, u: float) -> Callable:
    def model(lattice: Any) -> Any:
        return O.Hubbard(H.SpinfulFermion(lattice.n_sites, n_up=number, n_down=number), lattice, t=1.0, u=u)

    return model


def chain(n: int) -> Callable:
    return lambda: L.Chain(n)


def square(x: int, y: int) -> Callable:
    return lambda: L.Square(x, y)


OPEN = {"periodic": False}
PROBLEMS = {
    # sum of -Z Z - h X
    "Ising chain 10, h = 1": Problem(chain(10), ising(1.0), -12.784906442999326, 0, "A", 1),
    "Ising chain 16, h = 1": Problem(chain(16), ising(1.0), -20.404594474756657, 0, "A", 1),
    "Ising 4x4, h = 3.044": Problem(square(4, 4), ising(3.044), -52.06038042506952, (0, 0), "A1", 1),
    "Ising chain 12, r^-3, h = 1": Problem(chain(12), long_range, -16.868426112568383, 0, "A", 1),
    # spins S.S on nearest (and second) neighbours, magnetisation 0
    "Heisenberg chain 16": Problem(chain(16), heisenberg, -7.1422963606167835, 0, "A", 1),
    "Heisenberg chain 20": Problem(chain(20), heisenberg, -8.904386529876414, 0, "A", 1),
    "Heisenberg 4x4": Problem(square(4, 4), j1j2(0.0), -11.228483208428845, (0, 0), "A1", 1),
    "J1-J2 4x4, J2 = 0.5": Problem(square(4, 4), j1j2(0.5), -8.457923351394829, (0, 0), "A1", 1),
    "XXZ chain 16, Delta = 1.5": Problem(chain(16), xxz(1.0, 1.5), -8.427764010216189, 0, "A", 1),
    "XY 4x4, ferromagnetic": Problem(square(4, 4), xxz(-1.0, 0.0), -8.999781579488268, (0, 0), "A1", 1),
    "Heisenberg triangular 3x4": Problem(lambda: L.Triangular(3, 4), heisenberg, -6.9308123628758755, (0, 2), "B", 1),
    "Heisenberg triangular 4x4": Problem(lambda: L.Triangular(4, 4), heisenberg, -8.555514917516266, (0, 0), "A1", 1),
    "Heisenberg kagome 2x2": Problem(lambda: L.Kagome(2, 2), heisenberg, -5.444875216971859, (0, 0), "B1", 1),
    "Heisenberg kagome 3x2": Problem(lambda: L.Kagome(3, 2), heisenberg, -8.048270773541159, (0, 1), "A", -1),
    "Heisenberg honeycomb 3x3": Problem(lambda: L.Honeycomb(3, 3), heisenberg, -10.097165836504857, (0, 0), "B2", -1),
    "Heisenberg chain 8, spin 1": Problem(chain(8), spin_one, -11.336956077897364, 0, "A", 1),
    # -XX, -YY, -ZZ on the bonds of each colour; four ground states
    "Kitaev honeycomb 3x2": Problem(
        lambda: L.KitaevHoneycomb(3, 2), kitaev, -9.800282700243137, (0, 0), "A", 0, "translations"
    ),
    # hopping -1, interactions v n n, u n(n-1)/2, u n n
    "Bose-Hubbard chain 8, 8 bosons, U = 4": Problem(chain(8), bosons, -7.459790626053081, 0, "A"),
    "t-V chain 12, 6 fermions, V = 1": Problem(chain(12), fermions(6, 1.0), -5.857940108577523, 3, "A"),
    "t-V chain 14, 7 fermions, V = 2": Problem(chain(14), fermions(7, 2.0), -5.527099067094073, 0, "B"),
    "t-V 4x4, 5 fermions, V = 1": Problem(square(4, 4), fermions(5, 1.0), -10.240650492312072, (0, 0), "B2"),
    "Hubbard 2x2 open, U = 4": Problem(
        lambda: L.Square(2, 2, **OPEN), hubbard(2, 4.0), -2.1027484834620718, (0, 0), "B1", 1
    ),
    "Hubbard 2x2 open, U = 8": Problem(
        lambda: L.Square(2, 2, **OPEN), hubbard(2, 8.0), -1.320234958271921, (0, 0), "B1", 1
    ),
    "Hubbard 2x3, U = 8": Problem(
        lambda: L.Square(2, 3, periodic=(False, True)), hubbard(3, 8.0), -2.310828544699966, (0, 0), "A1", -1
    ),
    "Hubbard chain 8, U = 4": Problem(chain(8), hubbard(4, 4.0), -4.6035262999891975, 4, "B", 1),
    "Hubbard 4x4, 4 + 4 fermions, U = 4": Problem(square(4, 4), hubbard(4, 4.0), -17.534897796641257, (0, 0), "B1", 1),
}
QUICK = (
    "Ising chain 10, h = 1",
    "Heisenberg triangular 3x4",
    "Heisenberg kagome 2x2",
    "t-V chain 12, 6 fermions, V = 1",
    "Hubbard 2x3, U = 8",
)
