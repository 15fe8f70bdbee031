"""Quantum many-body states: lattices, spaces, operators, ansaetze, samplers, variational and Gibbs states."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qml import ansatz, estimate, exact, gibbs, hilbert, lattice, linalg, operator, sampler, state
    from qml.estimate.stats import Stats
    from qml.state import FullSumState, MCState

__all__ = [
    "FullSumState",
    "MCState",
    "Stats",
    "ansatz",
    "estimate",
    "exact",
    "gibbs",
    "hilbert",
    "lattice",
    "linalg",
    "operator",
    "sampler",
    "state",
]

_NAMES = {"MCState": "state", "FullSumState": "state", "Stats": "estimate.stats"}


def __getattr__(name):
    if name in _NAMES:
        return getattr(importlib.import_module(f"qml.{_NAMES[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"qml.{name}")
    raise AttributeError(f"module 'qml' has no attribute {name!r}")


def __dir__():
    return __all__
