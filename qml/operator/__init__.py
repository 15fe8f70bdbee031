"""Operators: sums of Pauli strings, models on lattices, local matrices."""

from qml.operator.algebra import anticommutator, as_local, commutator
from qml.operator.base import AbstractOperator
from qml.operator.boson import BosonSum
from qml.operator.boson_models import BoseHubbard
from qml.operator.embed import TensorSum, embed
from qml.operator.fermion import FermionSum
from qml.operator.fermion_models import ExtendedHubbard, Hubbard, tJ, tV
from qml.operator.library import J1J2, XXZ, Heisenberg, Ising, local, total
from qml.operator.matrices import LocalOperator, spin_matrices
from qml.operator.particles import annihilate, bond_current, create, current, density_density, hopping, number
from qml.operator.pauli import PauliSum

__all__ = [
    "J1J2",
    "XXZ",
    "AbstractOperator",
    "BoseHubbard",
    "BosonSum",
    "ExtendedHubbard",
    "FermionSum",
    "Heisenberg",
    "Hubbard",
    "Ising",
    "LocalOperator",
    "PauliSum",
    "TensorSum",
    "annihilate",
    "anticommutator",
    "as_local",
    "bond_current",
    "commutator",
    "create",
    "current",
    "density_density",
    "embed",
    "hopping",
    "local",
    "number",
    "spin_matrices",
    "tJ",
    "tV",
    "total",
]
