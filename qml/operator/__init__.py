"""Operators: sums of Pauli strings, models on lattices, local matrices."""

from qml.operator.base import AbstractOperator
from qml.operator.boson import BosonSum
from qml.operator.fermion import FermionSum
from qml.operator.library import J1J2, XXZ, Heisenberg, Ising, local, total
from qml.operator.matrices import LocalOperator, spin_matrices
from qml.operator.pauli import PauliSum

__all__ = [
    "J1J2",
    "XXZ",
    "AbstractOperator",
    "BosonSum",
    "FermionSum",
    "Heisenberg",
    "Ising",
    "LocalOperator",
    "PauliSum",
    "local",
    "spin_matrices",
    "total",
]
