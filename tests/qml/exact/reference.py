"""The reference problems as operators."""

import functools
import json
import pathlib

from qml.hilbert import Spin
from qml.operator import J1J2, XXZ, Heisenberg, Ising, PauliSum

FILE = pathlib.Path(__file__).parents[2] / "reference" / "nqs_energies.json"


class Bonds:
    """A lattice that is only its lists of bonds."""

    def __init__(self, n_sites: int, *orders: list):
        self.n_sites, self._orders = n_sites, orders

    def edges(self, order: int = 1) -> tuple[tuple[int, int], ...]:
        return tuple((i, j) for i, j in self._orders[order - 1])


@functools.cache
def problems() -> dict:
    """All problems by name."""
    return json.loads(FILE.read_text())["problems"]


def hamiltonian(name: str, space: Spin | None = None) -> PauliSum:
    """The Hamiltonian of a problem, on all configurations unless a space is given."""
    problem = problems()[name]
    n, parameters, bonds = problem["N"], problem["params"], problem["bonds"]
    space = Spin(n) if space is None else space
    if name.startswith("kitaev"):
        terms = [(2 * axis.upper(), (i, j), -1.0) for axis in "xyz" for i, j in bonds[axis]]
        return PauliSum.from_terms(terms, space)
    if name.startswith("lrtfim"):
        distance = {(i, j): min(j - i, n - j + i) for j in range(n) for i in range(j)}
        terms = [("ZZ", pair, -(float(d) ** -parameters["alpha"])) for pair, d in distance.items()]
        return PauliSum.from_terms(terms + [("X", (i,), -parameters["h"]) for i in range(n)], space)
    if "tfim" in name:
        return Ising(space, Bonds(n, bonds), j=-parameters["J"], h=parameters["h"])
    if "j1j2" in name:
        return J1J2(space, Bonds(n, bonds["J1"], bonds["J2"]), j1=parameters["J1"], j2=parameters["J2"])
    if "xxz" in name or "xy_" in name:
        return XXZ(space, Bonds(n, bonds), j=parameters.get("J", 1.0), delta=parameters["Delta"])
    return Heisenberg(space, Bonds(n, bonds), parameters["J"])
