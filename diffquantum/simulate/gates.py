r"""Gates as unitaries and as transfer matrices on Pauli components.

A density matrix of $n$ qubits is the real vector $r_P = \mathrm{tr}(P \rho)$ over Pauli strings, an array of shape
`(4,) * n` with letters in the order I X Y Z. A map $\mathcal{E}$ acts as the real matrix
$T_{PQ} = 2^{-n}\, \mathrm{tr}(P\, \mathcal{E}(Q))$.
"""

import functools
import itertools
from types import ModuleType
from typing import Any

import numpy as np

from diffquantum.ir import ROTATIONS

PAULI = {
    "I": np.eye(2, dtype=complex),
    "X": np.array([[0, 1], [1, 0]], complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]).astype(complex),
}


def pauli(letters: str) -> np.ndarray:
    """The Kronecker product of Pauli matrices, first letter leftmost."""
    return functools.reduce(np.kron, [PAULI[letter] for letter in letters])


def _controlled(matrix: np.ndarray) -> np.ndarray:
    size = len(matrix)
    out = np.eye(2 * size, dtype=complex)
    out[size:, size:] = matrix
    return out


@functools.cache
def fixed(name: str) -> np.ndarray:
    """The unitary of a gate without angle; controls come first."""
    x, y, z = PAULI["X"], PAULI["Y"], PAULI["Z"]
    root = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2
    table = {
        "h": (x + z) / np.sqrt(2), "x": x, "y": y, "z": z, "s": np.diag([1, 1j]), "s_adj": np.diag([1, -1j]),
        "t": np.diag([1, np.exp(0.25j * np.pi)]), "t_adj": np.diag([1, np.exp(-0.25j * np.pi)]),
        "sx": root, "sx_adj": root.conj().T, "cx": _controlled(x), "cy": _controlled(y), "cz": _controlled(z),
        "swap": np.eye(4, dtype=complex)[[0, 2, 1, 3]], "ccx": _controlled(_controlled(x)),
    }  # fmt: skip
    return table[name]


def unitary(name: str, angle: Any = None, xp: ModuleType = np) -> Any:
    r"""The unitary of a gate; rotations are $\cos(\phi/2) - i \sin(\phi/2) P$.

    Args:
        name: a name of `ROTATIONS` or `FIXED`.
        angle: the angle of a rotation in radians, of any shape `[...]`.
        xp: `numpy` or `jax.numpy`.

    Returns:
        Complex matrix `[..., 2^k, 2^k]`.
    """
    if name not in ROTATIONS:
        return fixed(name)
    generator = pauli(ROTATIONS[name])
    half = xp.asarray(angle)[..., None, None] / 2
    lead = (1,) * (half.ndim - 2)
    identity = np.eye(len(generator)).reshape(*lead, *generator.shape)
    return xp.cos(half) * identity - 1j * xp.sin(half) * generator.reshape(*lead, *generator.shape)


def transfer_of(kraus: list[np.ndarray]) -> np.ndarray:
    """The transfer matrix of a map given by Kraus operators on $k$ qubits."""
    count = round(np.log2(len(kraus[0])))
    strings = [pauli("".join(letters)) for letters in itertools.product("IXYZ", repeat=count)]
    images = np.array([sum(k @ q @ k.conj().T for k in kraus) for q in strings])
    out = np.einsum("pij,qji->pq", np.array(strings), images).real / 2**count
    rounded = np.round(out, 12)
    return np.where(np.abs(rounded * 2 - np.round(rounded * 2)) < 1e-12, rounded, out) + 0.0


@functools.cache
def transfer_fixed(name: str) -> np.ndarray:
    """The transfer matrix of a gate without angle."""
    return transfer_of([fixed(name)])


@functools.cache
def transfer_rotation(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""The matrices $A, B, C$ of a rotation: its transfer matrix is $A + B \cos\phi + C \sin\phi$."""
    start, quarter, half = (transfer_of([unitary(name, angle)]) for angle in (0.0, np.pi / 2, np.pi))
    constant = (start + half) / 2
    return constant, (start - half) / 2, quarter - constant


def transfer(name: str, angle: Any = None, xp: ModuleType = np) -> Any:
    """The transfer matrix `[..., 4^k, 4^k]` of a gate; `angle` may have any shape `[...]`."""
    if name not in ROTATIONS:
        return transfer_fixed(name)
    angle = xp.asarray(angle)[..., None, None]
    a, b, c = (m.reshape((1,) * (angle.ndim - 2) + m.shape) for m in transfer_rotation(name))
    return a + xp.cos(angle) * b + xp.sin(angle) * c


_UP, _DOWN, _FLIP = np.diag([1.0, 0.0]), np.diag([0.0, 1.0]), np.array([[0.0, 1.0], [0.0, 0.0]])
OUTCOME = {  # (outcome, reset) -> transfer matrix of "this outcome happened"
    (False, False): transfer_of([_UP]),
    (False, True): transfer_of([_UP]),
    (True, False): transfer_of([_DOWN]),
    (True, True): transfer_of([_FLIP]),
}
RESET = transfer_of([_UP, _FLIP])
