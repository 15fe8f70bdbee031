"""Estimators: local values, forces, metrics and natural gradients from weighted samples, and their statistics."""

import importlib

_NAMES = {
    "Direction": "natural",
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
    return sorted(_NAMES)


__all__ = sorted(_NAMES)
