"""Estimators: local values, forces, metrics and natural gradients from weighted samples, and their statistics."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qml.estimate.gradient import forces
    from qml.estimate.health import Health, diagnose
    from qml.estimate.local import local_values
    from qml.estimate.metric import jacobian, qgt, qgt_apply, residual
    from qml.estimate.natural import SR
    from qml.estimate.precondition import AbstractPreconditioner, Direction
    from qml.estimate.samples import Samples
    from qml.estimate.stats import Stats, statistics

__all__ = [
    "SR",
    "AbstractPreconditioner",
    "Direction",
    "Health",
    "Samples",
    "Stats",
    "diagnose",
    "forces",
    "jacobian",
    "local_values",
    "qgt",
    "qgt_apply",
    "residual",
    "statistics",
]

_NAMES = {
    "AbstractPreconditioner": "precondition",
    "Direction": "precondition",
    "Health": "health",
    "SR": "natural",
    "Samples": "samples",
    "Stats": "stats",
    "diagnose": "health",
    "forces": "gradient",
    "jacobian": "metric",
    "local_values": "local",
    "qgt": "metric",
    "qgt_apply": "metric",
    "residual": "metric",
    "statistics": "stats",
}


def __getattr__(name):
    if name in _NAMES:
        return getattr(importlib.import_module(f"qml.estimate.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'qml.estimate' has no attribute {name!r}")


def __dir__():
    return __all__
