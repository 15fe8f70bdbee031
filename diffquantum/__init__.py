"""Differentiable quantum programs with measurements, branches and unbounded loops."""

import importlib
import sys
import types

from qml._core.lazy import lazily

_NAMES = {
    "Builder": "builder",
    "Analysis": "analysis",
    "DifferentiationError": "errors",
    "ExitMean": "estimate",
    "FiniteDifference": "estimate",
    "Noise": "simulate.noise",
    "Program": "ir",
    "ProgramError": "errors",
    "Regenerative": "estimate",
    "Roulette": "estimate",
    "Score": "estimate",
    "Simulator": "devices",
    "SourceError": "errors",
    "TerminationError": "errors",
    "UnsupportedError": "errors",
    "analyse": "analysis",
    "channel": "heisenberg",
    "derivative": "transform",
    "expectation": "expectation",
    "fisher_information": "metric",
    "fubini_study": "metric",
    "natural_gradient": "metric",
    "resources": "analysis",
    "noisy": "transform.noisy",
    "load": "source",
    "weakest_precondition": "heisenberg",
    "to_openqasm": "emit_openqasm",
}
_get = lazily(__name__, _NAMES)


def __getattr__(name):
    return _get(name)


def __dir__():
    return sorted(_NAMES)


__all__ = list(_NAMES)


class _Package(types.ModuleType):
    """`diffquantum.expectation` is the function, also after its module of the same name has been imported."""

    @property
    def expectation(self):
        return importlib.import_module("diffquantum.expectation").expectation

    @expectation.setter
    def expectation(self, module):
        """The import system binds the module here; it stays reachable by `import diffquantum.expectation`."""


sys.modules[__name__].__class__ = _Package
