"""Differentiable quantum programs with measurements, branches and unbounded loops."""

import importlib
import sys
import types

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


def __getattr__(name):
    if name in _NAMES:
        return getattr(importlib.import_module(f"diffquantum.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'diffquantum' has no attribute {name!r}")


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
