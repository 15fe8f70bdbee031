"""Hilbert spaces: which configurations there are, and how they are numbered."""

from qml.hilbert.base import AbstractHilbert
from qml.hilbert.spin import Spin

__all__ = ["AbstractHilbert", "Spin"]
