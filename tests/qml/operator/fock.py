"""Dense matrices of ladder operators on Fock spaces, from Kronecker products."""

import functools

import numpy as np
import scipy.linalg


def product(matrices: list) -> np.ndarray:
    """Kronecker product, the first factor slowest."""
    return functools.reduce(np.kron, matrices)


@functools.cache
def annihilator(mode: int, n_modes: int) -> np.ndarray:
    """Jordan-Wigner matrix of c_m, empty before occupied."""
    z, a, one = np.diag([1.0, -1.0]), np.array([[0.0, 1.0], [0.0, 0.0]]), np.eye(2)
    return product([z] * mode + [a] + [one] * (n_modes - mode - 1))


def fermion_word(word: str, n_modes: int) -> np.ndarray:
    """Matrix of a string such as "0^ 1"."""
    total = np.eye(2**n_modes)
    for w in word.split():
        c = annihilator(int(w.strip("^n")), n_modes)
        total = total @ (c.T @ c if w[0] == "n" else c.T if w.endswith("^") else c)
    return total


def fermions(terms: dict, n_modes: int) -> np.ndarray:
    """Matrix of a sum of fermion strings on all configurations."""
    return sum((v * fermion_word(w, n_modes) for w, v in terms.items()), start=np.zeros((2**n_modes, 2**n_modes)))


def boson_word(word: str, n_sites: int, n_max: int, spare: int) -> np.ndarray:
    """Matrix of a string of bosons, worked out with `spare` more states on each site and then cut to `n_max`."""
    states = n_max + spare + 1
    b = np.diag(np.sqrt(np.arange(1.0, states)), 1)
    keep = np.flatnonzero(np.all(np.indices((states,) * n_sites).reshape(n_sites, -1) <= n_max, axis=0))
    total = np.eye(states**n_sites)
    for w in word.split():
        one = b.T @ b if w[0] == "n" else b.T if w.endswith("^") else b
        site = int(w.strip("^n"))
        total = total @ product([np.eye(states**site), one, np.eye(states ** (n_sites - site - 1))])
    return total[np.ix_(keep, keep)]


def bosons(terms: dict, n_sites: int, n_max: int, spare: int = 5) -> np.ndarray:
    """Matrix of a sum of boson strings, of at most `spare` creations on a site, restricted to `n_max`."""
    return sum(v * boson_word(w, n_sites, n_max, spare) for w, v in terms.items())


def block(matrix: np.ndarray, free: object, space: object) -> np.ndarray:
    """The block of a matrix of the free space that belongs to a constrained space."""
    x = np.asarray(free.all_states())
    row = {tuple(r): k for k, r in enumerate(x.tolist())}
    index = [row[tuple(r)] for r in np.asarray(space.all_states()).tolist()]
    return matrix[np.ix_(index, index)]


def lowest(matrix: np.ndarray) -> float:
    """Lowest eigenvalue."""
    return float(scipy.linalg.eigvalsh(matrix)[0])
