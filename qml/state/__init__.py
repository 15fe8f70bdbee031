"""Variational states: a wave function and the configurations its expectation values are taken on."""

from qml.state.base import AbstractState
from qml.state.full_sum import FullSumState
from qml.state.monte_carlo import MCState

__all__ = ["AbstractState", "FullSumState", "MCState"]
