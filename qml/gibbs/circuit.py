r"""Unitaries with angles: products of Pauli rotations $e^{-i a_k c P}$, rotations that share an angle being tied."""

import abc
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ConfigError, SpaceError
from qml._core.types import Array, Complex, Float
from qml.gibbs import engine
from qml.operator import PauliSum
from qml.operator.strings import PauliStrings

_Gate = tuple[int, int, float, int]  # flip mask, sign mask, scale, angle


class AbstractCircuit(abc.ABC):
    """A unitary with angles, hashable."""

    n_sites: int
    angles: int

    @abc.abstractmethod
    def unitary(self, angles: Float[Array, " angles"]) -> Complex[Array, "size size"]:
        """The matrix in basis order."""

    @abc.abstractmethod
    def generators(self, angles: Float[Array, " angles"]) -> tuple[Any, Complex[Array, "angles size size"]]:
        r"""The unitary, and $A_k = i U^\dagger \partial_k U$ of every angle."""


@final
@dataclass(frozen=True)
class MatrixCircuit(AbstractCircuit):
    """A unitary that is any differentiable function of its angles, such as a program (`drivers.program_circuit`).

    Args:
        n_sites: number of sites.
        angles: number of angles.
        function: `[angles] -> [size, size]`, pure, unitary for all angles.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import KOBE, LatentGibbs, MatrixCircuit
        >>> turn = MatrixCircuit(1, 1, lambda a: jnp.diag(jnp.exp(1j * a[0] * jnp.array([0.5, -0.5]))))
        >>> LatentGibbs(KOBE(1, 1), turn, phi=jnp.array([0.3])).metric_blocks()["phi"].shape
        (1, 1)
    """

    n_sites: int
    angles: int
    function: Callable[[Array], Array]

    def unitary(self, angles: Float[Array, " angles"]) -> Complex[Array, "size size"]:
        """See `AbstractCircuit.unitary`."""
        return jnp.asarray(self.function(angles), complex)

    def generators(self, angles: Float[Array, " angles"]) -> tuple[Any, Complex[Array, "angles size size"]]:
        """See `AbstractCircuit.generators`; by forward differentiation."""
        matrix = self.unitary(angles)
        parts = jax.jacfwd(lambda a: (self.unitary(a).real, self.unitary(a).imag))(angles)
        slopes = jnp.moveaxis(jax.lax.complex(*parts), -1, 0)
        return matrix, 1j * matrix.conj().T[None] @ slopes


@final
@dataclass(frozen=True)
class Circuit(AbstractCircuit):
    r"""A unitary $U(a) = \prod_r e^{-i\, s_r a_{k_r} P_r}$, the first rotation applied first.

    Args:
        n_sites: number of sites.
        gates: flip mask and sign mask of $P_r$, scale $s_r$, and number $k_r$ of its angle, for each rotation.
        angles: number of angles.

    Example:
        >>> from qml.gibbs import Circuit
        >>> Circuit.layered(4, layers=7).angles
        77
    """

    n_sites: int
    gates: tuple[_Gate, ...]
    angles: int

    @classmethod
    def layered(cls, n_sites: int, layers: int) -> "Circuit":
        r"""Layers of $X^a$ and $Z^b$ on every site and $\mathrm{CZ}^c$ on even, then odd neighbours of an open chain.

        Powers of gates: $X^a = e^{i\pi a/2} e^{-i \pi a X/2}$, so every angle has period 2 (up to a phase).

        Raises:
            ConfigError: no sites or no layers.

        Source: Sbahi, Martinez, Patel, Saberi, Yoo, Roeder, Verdon, arXiv:2206.04663.
        """
        if n_sites < 1 or layers < 1:
            raise ConfigError(
                "There is no such circuit.", got=f"{n_sites} sites, {layers} layers", expected=">= 1", try_="layers=4"
            )
        bonds = [(i, i + 1) for first in (0, 1) for i in range(first, n_sites - 1, 2)]
        bit = [1 << (n_sites - 1 - i) for i in range(n_sites)]
        gates, angle = [], 0
        for _ in range(layers):
            for i in range(n_sites):
                gates += [(bit[i], 0, np.pi / 2, angle), (0, bit[i], np.pi / 2, angle + 1)]
                angle += 2
            for i, j in bonds:
                # CZ^c = exp(i pi c (1 - Z_i - Z_j + Z_i Z_j) / 4)
                quarter = np.pi / 4
                gates += [(0, bit[i], quarter, angle), (0, bit[j], quarter, angle)]
                gates += [(0, bit[i] | bit[j], -quarter, angle)]
                angle += 1
        return cls(n_sites, tuple(gates), angle)

    @classmethod
    def alternating(cls, hamiltonian: PauliSum, layers: int, tied: bool = False) -> "Circuit":
        r"""Layers of $e^{-i a c_j P_j}$ of the terms of a Hamiltonian, terms with the same flip mask one after another.

        Args:
            hamiltonian: Hermitian sum of Pauli strings.
            layers: number of layers.
            tied: one angle for all terms of a flip mask instead of one for each term.

        Raises:
            ConfigError: the sum is not Hermitian, or there are no layers.
        """
        if not isinstance(hamiltonian, PauliSum) or not hamiltonian.is_hermitian or layers < 1:
            raise ConfigError(
                "A circuit of a Hamiltonian needs a Hermitian sum of Pauli strings and at least one layer.",
                got=f"{type(hamiltonian).__name__}, layers={layers}",
                expected="a Hermitian PauliSum, layers >= 1",
                try_="Circuit.alternating(hamiltonian, layers=4)",
            )
        strings, couplings = hamiltonian.strings, np.real(np.asarray(hamiltonian.coefficients))
        order = sorted(
            (k for k in range(len(strings)) if strings.flips[k] | strings.signs[k]), key=strings.flips.__getitem__
        )
        gates, angle = [], 0
        for _ in range(layers):
            for place, k in enumerate(order):
                new = not tied or place == 0 or strings.flips[k] != strings.flips[order[place - 1]]
                angle += int(new)
                gates.append((strings.flips[k], strings.signs[k], float(couplings[k]), angle - 1))
        return cls(strings.n_sites, tuple(gates), angle)

    def __add__(self, other: "Circuit") -> "Circuit":
        """This circuit, then another one with angles of its own."""
        if self.n_sites != other.n_sites:
            raise SpaceError(
                "The circuits act on different numbers of sites.",
                got=f"{self.n_sites} and {other.n_sites} sites",
                expected="the same number",
                try_="circuits built for the same space",
            )
        more = tuple((f, z, s, k + self.angles) for f, z, s, k in other.gates)
        return Circuit(self.n_sites, self.gates + more, self.angles + other.angles)

    @functools.cached_property
    def tables(self) -> tuple[PauliStrings, np.ndarray, np.ndarray, np.ndarray]:
        """The distinct strings, and for each rotation its string, scale and angle."""
        pairs = list(dict.fromkeys((f, z) for f, z, _, _ in self.gates))
        strings = PauliStrings(self.n_sites, tuple(f for f, _ in pairs), tuple(z for _, z in pairs))
        which = np.array([pairs.index((f, z)) for f, z, _, _ in self.gates], dtype=np.int32)
        return strings, which, np.array([s for _, _, s, _ in self.gates]), np.array([k for *_, k in self.gates])

    def unitary(self, angles: Float[Array, " angles"]) -> Complex[Array, "size size"]:
        """The matrix in basis order."""
        return _run(self, angles, False)[0]

    def generators(self, angles: Float[Array, " angles"]) -> tuple[Any, Complex[Array, "angles size size"]]:
        r"""The unitary, and $A_k = i U^\dagger \partial_k U$ of every angle, by one pass over the rotations."""
        return _run(self, angles, True)


def _run(circuit: Circuit, angles: Array, every: bool) -> tuple[Array, Any]:
    strings, which, scales, index = circuit.tables
    size = 2**circuit.n_sites
    factors = engine.row_factors(strings).astype(complex)
    columns = jnp.arange(size)[None, :] ^ jnp.asarray(strings.flips)[:, None]
    scales, index = jnp.asarray(scales), jnp.asarray(index)

    def rotate(matrix: Array, gate: tuple[Array, Array]) -> tuple[Array, Any]:
        string, angle = gate
        moved = factors[string][:, None] * matrix[columns[string]]
        generator = matrix.conj().T @ moved if every else None  # it commutes with its own rotation
        return jnp.cos(angle) * matrix - 1j * jnp.sin(angle) * moved, generator

    matrix, parts = jax.lax.scan(rotate, jnp.eye(size, dtype=complex), (jnp.asarray(which), scales * angles[index]))
    if not every:
        return matrix, None
    return matrix, jax.ops.segment_sum(scales[:, None, None] * parts, index, num_segments=circuit.angles)
