"""Hilbert spaces: which configurations there are, and how they are numbered."""

from qml.hilbert.base import AbstractHilbert
from qml.hilbert.boson import Boson
from qml.hilbert.fermion import SpinfulFermion, SpinlessFermion
from qml.hilbert.spin import Spin

__all__ = ["AbstractHilbert", "Boson", "Spin", "SpinfulFermion", "SpinlessFermion"]
