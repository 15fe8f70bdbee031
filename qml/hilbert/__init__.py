"""Hilbert spaces: which configurations there are, and how they are numbered."""

from qml.hilbert.base import AbstractHilbert, Product
from qml.hilbert.bits import Bits
from qml.hilbert.boson import Boson
from qml.hilbert.constrained import Constrained
from qml.hilbert.fermion import SpinfulFermion, SpinlessFermion
from qml.hilbert.spin import Spin

__all__ = ["AbstractHilbert", "Bits", "Boson", "Constrained", "Product", "Spin", "SpinfulFermion", "SpinlessFermion"]
