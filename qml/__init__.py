"""Quantum many-body states: lattices, spaces, operators, ansaetze, samplers, variational and Gibbs states."""

import importlib

_ROOMS = ("ansatz", "estimate", "exact", "gibbs", "hilbert", "lattice", "linalg", "operator", "sampler", "state")
_NAMES = {"MCState": "state", "FullSumState": "state", "Stats": "estimate.stats"}


def __getattr__(name):
    if name in _ROOMS:
        return importlib.import_module(f"qml.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"qml.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'qml' has no attribute {name!r}")


def __dir__():
    return sorted((*_ROOMS, *_NAMES))


__all__ = ["FullSumState", "MCState", "Stats", *_ROOMS]
