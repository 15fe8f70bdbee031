"""Systems with known answers for the tests of Gibbs states."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from qml.gibbs import PauliGibbs
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import PauliSum

REFERENCE = json.loads((pathlib.Path(__file__).parents[2] / "reference" / "gibbs.json").read_text())
PAULI = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}
ROTATION = {
    "X": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    "Y": np.array([[1, -1j], [1, 1j]]) / np.sqrt(2),
    "Z": np.eye(2),
}


def kron(factors) -> np.ndarray:
    out = np.eye(1)
    for factor in factors:
        out = np.kron(out, factor)
    return out


def dense(word: str) -> np.ndarray:
    return kron(PAULI[a] for a in word)


def word(sites: int, letters: dict[int, str]) -> str:
    return "".join(letters.get(i, "I") for i in range(sites))


def local_model(sites: int, theta=None) -> PauliGibbs:
    """All one- and two-site strings of an open chain, in the order of the reference rows."""
    model = PauliGibbs.local(Spin(sites), Chain(sites, periodic=False))
    return model if theta is None else model.with_theta(jnp.asarray(theta))


def random_model(seed: int, sites: int = 3, scale: float = 0.5) -> PauliGibbs:
    model = local_model(sites)
    return model.with_theta(scale * jax.random.uniform(jax.random.key(seed), model.theta.shape, minval=-1, maxval=1))


def ising(sites: int, periodic: bool, h: float) -> PauliSum:
    """H = -sum Z Z - h sum X."""
    bonds = [(i, (i + 1) % sites) for i in range(sites if periodic else sites - 1)]
    terms = {word(sites, {i: "Z", j: "Z"}): -1.0 for i, j in bonds}
    return PauliSum(terms | {word(sites, {i: "X"}): -h for i in range(sites)}, Spin(sites))


def thermal(hamiltonian: PauliSum, beta: float) -> PauliGibbs:
    """The thermal state of a Hamiltonian, as a model of its own strings."""
    terms = hamiltonian.terms
    return PauliGibbs(terms, beta * jnp.array(list(terms.values())), hilbert=hamiltonian.hilbert)
