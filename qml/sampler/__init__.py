"""Samplers of |psi|^2."""

from qml.sampler.autoregressive import DirectSampler
from qml.sampler.base import AbstractSampler, SamplerState
from qml.sampler.direct import ExactSampler
from qml.sampler.library import default_sampler
from qml.sampler.metropolis import Metropolis
from qml.sampler.restricted import Restricted
from qml.sampler.rules import AbstractRule, Exchange, LocalFlip

__all__ = [
    "AbstractRule",
    "AbstractSampler",
    "DirectSampler",
    "ExactSampler",
    "Exchange",
    "LocalFlip",
    "Metropolis",
    "Restricted",
    "SamplerState",
    "default_sampler",
]
