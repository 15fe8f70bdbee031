"""Matrices of Pauli strings as Kronecker products, by QuTiP."""

import functools

import numpy as np
import qutip

LETTERS = {"I": qutip.qeye(2), "X": qutip.sigmax(), "Y": qutip.sigmay(), "Z": qutip.sigmaz()}


@functools.cache
def matrix_of(word: str) -> np.ndarray:
    """The Kronecker product of the letters, by QuTiP."""
    return qutip.tensor([LETTERS[a] for a in word]).full()


def dense(terms: dict) -> np.ndarray:
    """The matrix of a sum."""
    return sum(c * matrix_of(word) for word, c in terms.items())
