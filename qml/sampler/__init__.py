"""Samplers of |psi|^2."""

from qml.sampler.autoregressive import DirectSampler
from qml.sampler.base import AbstractSampler, SamplerState
from qml.sampler.direct import ExactSampler
from qml.sampler.hamiltonian import HamiltonianMoves
from qml.sampler.library import default_sampler
from qml.sampler.metropolis import Metropolis
from qml.sampler.mixture import Mixture, Repeated
from qml.sampler.moves import GlobalFlip, MultiFlip
from qml.sampler.restricted import Restricted
from qml.sampler.rules import AbstractRule, Exchange, LocalFlip
from qml.sampler.tempering import Tempering

__all__ = [
    "AbstractRule",
    "AbstractSampler",
    "DirectSampler",
    "ExactSampler",
    "Exchange",
    "GlobalFlip",
    "HamiltonianMoves",
    "LocalFlip",
    "Metropolis",
    "Mixture",
    "MultiFlip",
    "Repeated",
    "Restricted",
    "SamplerState",
    "Tempering",
    "default_sampler",
]
