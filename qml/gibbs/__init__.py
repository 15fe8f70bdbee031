"""Exact Gibbs states of Pauli Hamiltonians, their mirror map and metrics, and learning from measured shots."""

from qml.gibbs.mirror import Mirrored, inverse_mirror, relative_entropy
from qml.gibbs.model import LearnedHamiltonian, PauliGibbs
from qml.gibbs.objective import AbstractObjective, DataObjective, MarginalObjective, ThermalObjective
from qml.gibbs.shots import ShotData, brick_bases

__all__ = [
    "AbstractObjective",
    "DataObjective",
    "LearnedHamiltonian",
    "MarginalObjective",
    "Mirrored",
    "PauliGibbs",
    "ShotData",
    "ThermalObjective",
    "brick_bases",
    "inverse_mirror",
    "relative_entropy",
]
