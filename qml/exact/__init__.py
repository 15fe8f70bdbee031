"""Exact answers: spectra, in symmetry sectors too, time evolution and thermal states of small systems."""

from qml.exact.basis import SectorBasis
from qml.exact.dynamics import Evolution, evolve
from qml.exact.finite_temperature import FiniteTemperature, finite_temperature
from qml.exact.free_fermion import FreeFermions, free_fermions
from qml.exact.lindblad import DensityEvolution, Lindbladian, evolve_density
from qml.exact.reduced import entanglement_entropy, entanglement_spectrum, mutual_information, reduced_density
from qml.exact.spectral import SpectralFunction, spectral_function
from qml.exact.spectrum import EigenResult, ground_state, spectrum
from qml.exact.steady import SteadyState, steady_state
from qml.exact.thermal import ThermalState, thermal_state
from qml.exact.vectors import basis_vector, expect, full_vector

__all__ = [
    "DensityEvolution",
    "EigenResult",
    "Evolution",
    "FiniteTemperature",
    "FreeFermions",
    "Lindbladian",
    "SectorBasis",
    "SpectralFunction",
    "SteadyState",
    "ThermalState",
    "basis_vector",
    "entanglement_entropy",
    "entanglement_spectrum",
    "evolve",
    "evolve_density",
    "expect",
    "finite_temperature",
    "free_fermions",
    "full_vector",
    "ground_state",
    "mutual_information",
    "reduced_density",
    "spectral_function",
    "spectrum",
    "steady_state",
    "thermal_state",
]
