"""Published problems: relative entropies of a sequence of evolved thermal states, and stochastic traces."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from qml.exact import finite_temperature
from qml.gibbs import PauliGibbs, relative_entropy
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Ising, total


def test_evolved_thermal_states():
    """The thermal state of the critical Ising ring of four at beta = 1 under Trotter steps exp(-i Hz) exp(-i Hx)."""
    space, ring = Spin(4), Chain(4)
    h = Ising(space, ring, j=-1.0, h=1.0)
    matrix = np.asarray(h.to_dense(), complex)
    hx = -np.asarray(total(space, "X").to_dense())
    step = scipy.linalg.expm(-1j * (matrix - hx)) @ scipy.linalg.expm(-1j * hx)
    words = ["".join(w) for w in itertools.product("IXYZ", repeat=4)][1:]
    model = PauliGibbs(tuple(words))
    letters = {"I": np.eye(2), "X": [[0, 1], [1, 0]], "Y": [[0, -1j], [1j, 0]], "Z": np.diag([1, -1])}
    paulis = np.array([_kron([letters[c] for c in word]) for word in words])
    states, k = [], matrix
    for _ in range(4):
        theta = np.einsum("tij,ji->t", paulis, k).real / 16
        states.append(model.with_theta(jnp.asarray(theta)))
        k = step @ k @ step.conj().T
    energies = [float(s.expect(h).mean) for s in states]
    np.testing.assert_allclose(energies, [-4.75614986295, -1.33765607048, -2.36054831003, -2.57971430484], rtol=1e-10)
    ahead = [float(relative_entropy(a, b)) for a, b in itertools.pairwise(states)]
    np.testing.assert_allclose(ahead, 3.41849379247, rtol=1e-10)
    away = [float(relative_entropy(states[0], b)) for b in states[1:]]
    np.testing.assert_allclose(away, [3.41849379247, 2.39560155292, 2.17643555811], rtol=1e-10)


def _kron(factors):
    out = np.ones((1, 1))
    for f in factors:
        out = np.kron(out, f)
    return out


@pytest.mark.slow
def test_stochastic_log_partition():
    """log Z of the open critical chain of 14 and 16 from random vectors, within the predicted scatter."""
    exact = {14: (12.7389662139, 19.5114358138), 16: (14.5737841752, 22.3418510935)}
    spread = {14: (0.050628, 0.20916), 16: (0.033278, 0.16835)}  # of Z from one complex vector; sqrt(2) more for real
    for n in (14, 16):
        h = Ising(Spin(n), Chain(n, periodic=False), j=-1.0, h=1.0)
        found = finite_temperature(h, jnp.array([0.5, 1.0]), key=jax.random.key(n), vectors=32, steps=40)
        sigma = np.sqrt(2 / 32) * np.array(spread[n])
        difference = np.asarray(found.log_partition.mean) - np.array(exact[n])
        assert np.all(np.abs(difference) < 3 * sigma)
        assert np.all(np.abs(difference) < 4.5 * np.asarray(found.log_partition.error))
        assert np.all(np.asarray(found.log_partition.error) < 1.3 * sigma)
