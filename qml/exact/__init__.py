"""Exact answers: spectra, in symmetry sectors too, time evolution and thermal states of small systems."""

from qml.exact.basis import SectorBasis
from qml.exact.dynamics import Evolution, evolve
from qml.exact.spectrum import EigenResult, ground_state, spectrum
from qml.exact.thermal import ThermalState, thermal_state
from qml.exact.vectors import basis_vector, expect, full_vector

__all__ = [
    "EigenResult",
    "Evolution",
    "SectorBasis",
    "ThermalState",
    "basis_vector",
    "evolve",
    "expect",
    "full_vector",
    "ground_state",
    "spectrum",
    "thermal_state",
]
