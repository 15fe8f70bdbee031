"""Exact Gibbs states of Pauli Hamiltonians, their mirror map and metrics, and learning from measured shots."""

from qml.gibbs.circuit import Circuit, MatrixCircuit
from qml.gibbs.conditional import ConditionalFit, ConditionalGibbs, fit_conditional
from qml.gibbs.confidence import Confidence, confidence
from qml.gibbs.curves import ThermalCurves, thermal_curves
from qml.gibbs.design import Design, next_bases
from qml.gibbs.energy import KOBE, MLP, AbstractEnergy, Autoregressive, Bernoulli
from qml.gibbs.expectations import ExpectationObjective
from qml.gibbs.family import AbstractGibbs
from qml.gibbs.feasible import Feasibility, nearest_feasible
from qml.gibbs.free_fermion import IsingThermal, ising_chain
from qml.gibbs.grid import grid_couplings
from qml.gibbs.large import ThermalNumbers, thermal_numbers
from qml.gibbs.latent import LatentGibbs
from qml.gibbs.learned import LearnedHamiltonian
from qml.gibbs.marginal import MarginalObjective, StateObjective, StreamObjective
from qml.gibbs.mirror import Mirrored, inverse_mirror, relative_entropy
from qml.gibbs.model import PauliGibbs
from qml.gibbs.objective import AbstractObjective, DataObjective, ThermalObjective
from qml.gibbs.operators import metric_operator
from qml.gibbs.optimise import (
    levenberg_marquardt,
    mirror,
    natural_gradient,
    published_mirror,
    safe_newton,
    streaming,
)
from qml.gibbs.sequences import Sequence, cooling, evolving, random_starts, velocity
from qml.gibbs.shots import ShotData, brick_bases
from qml.gibbs.structure import (
    GoodnessOfFit,
    Identifiability,
    Selection,
    candidate_terms,
    goodness_of_fit,
    identifiability,
    select,
)
from qml.gibbs.tied import TiedGibbs, mean_state
from qml.gibbs.traces import TraceFit, Traces, fit_traces
from qml.gibbs.vectors import VectorGibbs
from qml.gibbs.windows import Windowed, averages, window_couplings

__all__ = [
    "KOBE",
    "MLP",
    "AbstractEnergy",
    "AbstractGibbs",
    "AbstractObjective",
    "Autoregressive",
    "Bernoulli",
    "Circuit",
    "ConditionalFit",
    "ConditionalGibbs",
    "Confidence",
    "DataObjective",
    "Design",
    "ExpectationObjective",
    "Feasibility",
    "GoodnessOfFit",
    "Identifiability",
    "IsingThermal",
    "LatentGibbs",
    "LearnedHamiltonian",
    "MarginalObjective",
    "MatrixCircuit",
    "Mirrored",
    "PauliGibbs",
    "Selection",
    "Sequence",
    "ShotData",
    "StateObjective",
    "StreamObjective",
    "ThermalCurves",
    "ThermalNumbers",
    "ThermalObjective",
    "TiedGibbs",
    "TraceFit",
    "Traces",
    "VectorGibbs",
    "Windowed",
    "averages",
    "brick_bases",
    "candidate_terms",
    "confidence",
    "cooling",
    "evolving",
    "fit_conditional",
    "fit_traces",
    "goodness_of_fit",
    "grid_couplings",
    "identifiability",
    "inverse_mirror",
    "ising_chain",
    "levenberg_marquardt",
    "mean_state",
    "metric_operator",
    "mirror",
    "natural_gradient",
    "nearest_feasible",
    "next_bases",
    "published_mirror",
    "random_starts",
    "relative_entropy",
    "safe_newton",
    "select",
    "streaming",
    "thermal_curves",
    "thermal_numbers",
    "velocity",
    "window_couplings",
]
