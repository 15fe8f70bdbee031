"""Exact Gibbs states of Pauli Hamiltonians, their mirror map and metrics, and learning from measured shots."""

from qml.gibbs.feasible import Feasibility, nearest_feasible
from qml.gibbs.free_fermion import IsingThermal, ising_chain
from qml.gibbs.mirror import Mirrored, inverse_mirror, relative_entropy
from qml.gibbs.model import LearnedHamiltonian, PauliGibbs
from qml.gibbs.objective import AbstractObjective, DataObjective, MarginalObjective, ThermalObjective
from qml.gibbs.shots import ShotData, brick_bases
from qml.gibbs.windows import Windowed, window_couplings

__all__ = [
    "AbstractObjective",
    "DataObjective",
    "Feasibility",
    "IsingThermal",
    "LearnedHamiltonian",
    "MarginalObjective",
    "Mirrored",
    "PauliGibbs",
    "ShotData",
    "ThermalObjective",
    "Windowed",
    "brick_bases",
    "inverse_mirror",
    "ising_chain",
    "nearest_feasible",
    "relative_entropy",
    "window_couplings",
]
