"""Run jobs: variational Monte Carlo, time evolution, program fits, Gibbs fits; record, resume and plot them."""

from qml._core.lazy import lazily

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
_get = lazily(__name__, _NAMES, _ROOMS)


def __getattr__(name):
    return _get(name)


def __dir__():
    return sorted((*_NAMES, *_ROOMS))


__all__ = ["AbstractDriver", "History", "Result", "SavedState", "Status", "resume"]
