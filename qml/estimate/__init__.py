"""Estimators: local values, forces, metrics and natural gradients from weighted samples, and their statistics."""

from typing import TYPE_CHECKING

from qml._core.lazy import lazily

if TYPE_CHECKING:
    from qml.estimate.correlators import binder, correlations, order_parameter, staggered, structure_factor
    from qml.estimate.covariance import Joint, combine, joint, propagate
    from qml.estimate.entropy import UnresolvedEntropyWarning, renyi2, renyi2_ratios
    from qml.estimate.fidelity import infidelity, overlap
    from qml.estimate.gradient import forces
    from qml.estimate.health import Health, diagnose
    from qml.estimate.local import local_values
    from qml.estimate.metric import jacobian, qgt, qgt_apply, residual
    from qml.estimate.momentum import MARCH, SPRING
    from qml.estimate.natural import SR
    from qml.estimate.phase import phase_forces
    from qml.estimate.precondition import AbstractPreconditioner, Direction, UnsolvedWarning
    from qml.estimate.samples import Samples
    from qml.estimate.stats import Stats, statistics
    from qml.estimate.uniform import degrees_of_freedom, infinite_temperature
    from qml.estimate.zero_variance import Extrapolation, extrapolate, v_score

__all__ = [
    "MARCH",
    "SPRING",
    "SR",
    "AbstractPreconditioner",
    "Direction",
    "Extrapolation",
    "Health",
    "Joint",
    "Samples",
    "Stats",
    "UnresolvedEntropyWarning",
    "UnsolvedWarning",
    "binder",
    "combine",
    "correlations",
    "degrees_of_freedom",
    "diagnose",
    "extrapolate",
    "forces",
    "infidelity",
    "infinite_temperature",
    "jacobian",
    "joint",
    "local_values",
    "order_parameter",
    "overlap",
    "phase_forces",
    "propagate",
    "qgt",
    "qgt_apply",
    "renyi2",
    "renyi2_ratios",
    "residual",
    "staggered",
    "statistics",
    "structure_factor",
    "v_score",
]

_NAMES = {
    "AbstractPreconditioner": "precondition",
    "Direction": "precondition",
    "Extrapolation": "zero_variance",
    "Health": "health",
    "Joint": "covariance",
    "MARCH": "momentum",
    "SPRING": "momentum",
    "SR": "natural",
    "Samples": "samples",
    "UnsolvedWarning": "precondition",
    "Stats": "stats",
    "UnresolvedEntropyWarning": "entropy",
    "binder": "correlators",
    "combine": "covariance",
    "correlations": "correlators",
    "degrees_of_freedom": "uniform",
    "diagnose": "health",
    "extrapolate": "zero_variance",
    "forces": "gradient",
    "infidelity": "fidelity",
    "infinite_temperature": "uniform",
    "jacobian": "metric",
    "joint": "covariance",
    "local_values": "local",
    "order_parameter": "correlators",
    "overlap": "fidelity",
    "phase_forces": "phase",
    "propagate": "covariance",
    "qgt": "metric",
    "qgt_apply": "metric",
    "renyi2": "entropy",
    "renyi2_ratios": "entropy",
    "residual": "metric",
    "staggered": "correlators",
    "statistics": "stats",
    "structure_factor": "correlators",
    "v_score": "zero_variance",
}
_get = lazily(__name__, _NAMES)


def __getattr__(name):
    return _get(name)


def __dir__():
    return __all__
