"""Quantum many-body states: lattices, spaces, operators, ansaetze, samplers, variational and Gibbs states."""

from typing import TYPE_CHECKING

from qml._core.lazy import lazily

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
_get = lazily(__name__, _NAMES, {*__all__} - {*_NAMES})


def __getattr__(name):
    return _get(name)


def __dir__():
    return __all__
