"""Operators: sums of Pauli strings, models on lattices, local matrices."""

from qml.operator.algebra import anticommutator, as_local, commutator
from qml.operator.base import AbstractOperator
from qml.operator.boson import BosonSum
from qml.operator.boson_models import BoseHubbard
from qml.operator.commute import check_commutes, commutes
from qml.operator.compact import Compacted
from qml.operator.embed import TensorSum, embed
from qml.operator.fermion import FermionSum
from qml.operator.fermion_models import ExtendedHubbard, Hubbard, tJ, tV
from qml.operator.library import J1J2, XXZ, Heisenberg, Ising, local, total
from qml.operator.long_range import LongRangeIsing, LongRangeXXZ, Rydberg
from qml.operator.matrices import LocalOperator, spin_matrices
from qml.operator.particles import annihilate, bond_current, create, current, density_density, hopping, number
from qml.operator.pauli import PauliSum
from qml.operator.rotate import rotate_signs
from qml.operator.spin_models import (
    J1J2J3,
    XY,
    XYZ,
    Chiral,
    DzyaloshinskiiMoriya,
    Field,
    Kitaev,
    SingleIon,
)
from qml.operator.time_dependent import TimeDependent

__all__ = [
    "J1J2",
    "J1J2J3",
    "XXZ",
    "XY",
    "XYZ",
    "AbstractOperator",
    "BoseHubbard",
    "BosonSum",
    "Chiral",
    "Compacted",
    "DzyaloshinskiiMoriya",
    "ExtendedHubbard",
    "FermionSum",
    "Field",
    "Heisenberg",
    "Hubbard",
    "Ising",
    "Kitaev",
    "LocalOperator",
    "LongRangeIsing",
    "LongRangeXXZ",
    "PauliSum",
    "Rydberg",
    "SingleIon",
    "TensorSum",
    "TimeDependent",
    "annihilate",
    "anticommutator",
    "as_local",
    "bond_current",
    "check_commutes",
    "commutator",
    "commutes",
    "create",
    "current",
    "density_density",
    "embed",
    "hopping",
    "local",
    "number",
    "rotate_signs",
    "spin_matrices",
    "tJ",
    "tV",
    "total",
]
