"""Run jobs: variational Monte Carlo, time evolution, program fits, Gibbs fits; record, resume and plot them."""

import importlib

_NAMES = {
    "AbstractDriver": "base",
    "resume": "base",
    "VMC": "vmc",
    "Excited": "excited",
    "Trust": "trust",
    "TDVP": "tdvp",
    "Euler": "integrators",
    "Heun": "integrators",
    "RK4": "integrators",
    "RungeKutta": "integrators",
    "adjustable": "rates",
    "ProgramFit": "program",
    "QPMD": "qpmd",
    "program_circuit": "qpmd",
    "EarlyStopping": "callbacks",
    "StopWhen": "callbacks",
    "Timeout": "callbacks",
    "Result": "io.result",
    "SavedState": "io.result",
    "Status": "io.result",
    "History": "io.history",
}
_ROOMS = ("base", "config", "io", "plot")


def __getattr__(name):
    if name in _NAMES:
        return getattr(importlib.import_module(f"drivers.{_NAMES[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"drivers.{name}")
    raise AttributeError(f"module 'drivers' has no attribute {name!r}")


def __dir__():
    return sorted((*_NAMES, *_ROOMS))


__all__ = ["AbstractDriver", "History", "Result", "SavedState", "Status", "resume"]
