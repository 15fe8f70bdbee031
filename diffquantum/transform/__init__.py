"""Derivatives of programs, as programs."""

from diffquantum.transform.derivative import derivative
from diffquantum.transform.gadget import Roulette
from diffquantum.transform.shift import differentiate

__all__ = ["Roulette", "derivative", "differentiate"]
