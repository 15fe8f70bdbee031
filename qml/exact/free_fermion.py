r"""Chains of spins that are free fermions, of any length: ground states, averages and quenches.

With Majorana operators $a_j = (\prod_{l<j} X_l) Z_j$ and $b_j = (\prod_{l<j} X_l) Y_j$ the strings $X_j = i a_j b_j$,
$Z_j X \cdots X Z_k = i b_j a_k$ and their like are quadratic, so $H = c + \frac{i}{2}\sum_{pq} A_{pq}\gamma_p\gamma_q$
with a real antisymmetric A. On a ring the closing bond is quadratic times the parity $P = \prod_j X_j$, which H
conserves.
"""

from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from qml._core.errors import ShapeError, SpaceError
from qml._core.precision import require_x64
from qml._core.types import Array, Float
from qml.hilbert import Spin
from qml.operator import PauliSum
from qml.operator.coefficients import is_traced

_ROUNDING = 1e-12


@final
class FreeFermions(eqx.Module):
    r"""A state of a chain of spins all of whose averages follow from those of pairs of Majorana operators.

    Args:
        energy: $\langle H\rangle$ of the operator it is the ground state of, or that it evolves under.
        covariance: $i\langle\gamma_p\gamma_q\rangle$ for $p \ne q$, in the order $a_0, b_0, a_1, \dots$
            `[..., 2 sites, 2 sites]`.
        levels: energies $2\varepsilon_k \ge 0$ of the fermions, sorted; the parity allows pairs of them only `[sites]`.
        parity: +1 or -1, the value of $\prod_j X_j$.

    Example:
        >>> from qml.exact import free_fermions
        >>> from qml.operator import PauliSum
        >>> found = free_fermions(PauliSum({"XI": -1.0, "IX": -1.0}))
        >>> print(found.energy, found.parity, found.expect(PauliSum({"ZZ": 1.0})), found.levels)
        -2.0 1 0.0 [2. 2.]
    """

    energy: Float[Array, "..."]
    covariance: Float[Array, "... modes modes"]
    levels: Float[Array, " sites"]
    parity: int = eqx.field(static=True)

    def expect(self, operator: PauliSum) -> Float[Array, "..."]:
        """The average of a sum of strings that are quadratic too.

        Raises:
            SpaceError: a string that is not quadratic, or another number of sites.
        """
        constant, matrix = _quadratic(operator, self.parity, self.covariance.shape[-1] // 2)
        return constant + 0.5 * jnp.einsum("pq,...pq->...", matrix, self.covariance)

    def evolve(self, hamiltonian: PauliSum, times: Any) -> "FreeFermions":
        r"""The state after times t under another operator: $\gamma(t) = e^{2At}\gamma$, with $\hbar = 1$.

        Args:
            hamiltonian: quadratic, on as many sites.
            times: `[times]`.

        Returns:
            A state with an axis of times in front.

        Raises:
            SpaceError: a string that is not quadratic.
            ShapeError: times that are no finite list, or a state that has times already.
        """
        times = np.asarray(times, dtype=float)
        if times.ndim != 1 or not np.all(np.isfinite(times)) or self.covariance.ndim != 2:
            raise ShapeError(
                "A state evolves to a list of times, once.",
                got=f"times of shape {times.shape}, a covariance of shape {self.covariance.shape}",
                expected="finite times [times] and a state without times",
                try_="state.evolve(h, [0.0, 0.5, 1.0])",
            )
        constant, matrix = _quadratic(hamiltonian, self.parity, self.covariance.shape[-1] // 2)
        values, vectors = np.linalg.eigh(1j * matrix)
        turns = (vectors[None] * np.exp(-2j * times[:, None] * values)[:, None, :]) @ vectors.conj().T[None]
        covariance = turns.real @ np.asarray(self.covariance)[None] @ turns.real.swapaxes(1, 2)
        energy = constant + 0.5 * np.sum(matrix[None] * covariance, axis=(1, 2))
        levels = 2 * np.sort(np.abs(values))[::2]
        return FreeFermions(jnp.asarray(energy), jnp.asarray(covariance), jnp.asarray(levels), self.parity)


def free_fermions(hamiltonian: PauliSum) -> FreeFermions:
    r"""The ground state of a chain of spins that is quadratic in fermions, in time $O(L^3)$ for L sites.

    Strings may be single X, and Y or Z at two sites with X everywhere between them, or, on a ring, everywhere else: the
    Ising chain in a transverse field and the XY chain with fields and couplings of any strength, in the basis where the
    field is along X. The lower one of the ground states of both parities is returned, the even one of two equal ones;
    where a fermion must be added for the parity, the cheapest is.

    Args:
        hamiltonian: a Hermitian sum on a space without constraints; known numbers, not traced ones.

    Raises:
        SpaceError: a string that is not quadratic, a constrained space, or a sum that is not Hermitian.
        PrecisionError: JAX runs in 32-bit mode.

    Example:
        >>> from qml.exact import free_fermions
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import Chain
        >>> from qml.operator import Ising, total
        >>> space, ring = Spin(64), Chain(64)
        >>> found = free_fermions(Ising(space, ring, j=-1.0, h=1.0))
        >>> print(round(float(found.energy), 9), round(float(found.expect(total(space, "X"))) / 64, 9))
        -81.495512669 0.636683693
        >>> quench = found.evolve(Ising(space, ring, j=-1.0, h=2.0), [0.0, 1.0])
        >>> print((quench.expect(total(space, "X")) / 64).round(6))
        [0.636684 0.758711]

    Source: Lieb, Schultz, Mattis, Ann. Phys. 16, 407 (1961).
    """
    require_x64("exact.free_fermions")
    found = [_lowest(hamiltonian, parity) for parity in (1, -1)]
    return found[int(found[1].energy < found[0].energy - _ROUNDING * (1 + abs(found[0].energy)))]


def _lowest(hamiltonian: PauliSum, parity: int) -> FreeFermions:
    """The lowest state of a parity: all fermions absent, or the cheapest one added."""
    sites = hamiltonian.hilbert.n_sites
    constant, matrix = _quadratic(hamiltonian, parity, sites)
    levels, basis = _modes(matrix)
    filled = -np.ones(sites)  # i gamma gamma' of each pair of new Majorana operators
    if np.linalg.slogdet(basis)[0] * np.prod(filled) != parity:
        filled[np.argmin(levels)] = 1
    pairs = np.kron(np.diag(filled), [[0.0, 1.0], [-1.0, 0.0]])
    energy = constant + levels @ filled
    covariance = jnp.asarray(basis @ pairs @ basis.T)
    return FreeFermions(jnp.asarray(energy), covariance, jnp.asarray(2 * np.sort(levels)), parity)


def _modes(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""$\varepsilon \ge 0$ and an orthogonal O with $A = O\,[\oplus_k \varepsilon_k (0, 1; -1, 0)]\,O^T$."""
    form, basis = scipy.linalg.schur(matrix, output="real")[:2]
    size, small = len(matrix), _ROUNDING * max(1.0, np.abs(matrix).max())
    levels, columns, alone, at = [], [], [], 0
    while at < size:
        if at + 1 < size and abs(form[at, at + 1]) > small:
            first, second = (at, at + 1) if form[at, at + 1] > 0 else (at + 1, at)
            levels.append(abs(form[at, at + 1]))
            columns += [first, second]
            at += 2
        else:
            alone.append(at)  # modes without energy, which come in pairs
            at += 1
    return np.array(levels + [0.0] * (len(alone) // 2)), basis[:, columns + alone]


def _quadratic(operator: PauliSum, parity: int, sites: int) -> tuple[float, np.ndarray]:
    """The constant and the matrix A of a sum in a sector of the parity."""
    space = operator.hilbert
    if space != Spin(sites) or is_traced(operator.coefficients):
        raise SpaceError(
            "Free fermions need a sum of Pauli strings with known numbers, on all configurations.",
            got=f"{'traced numbers' if is_traced(operator.coefficients) else space}",
            expected=f"Spin({sites})",
            try_="outside of jax.jit, on a space without a fixed magnetisation",
        )
    if not operator.is_hermitian:
        raise SpaceError(
            "Only Hermitian sums are solved.", got=operator, expected="real coefficients", try_="h + h.adjoint()"
        )
    constant, matrix = 0.0, np.zeros((2 * sites, 2 * sites))
    for word, coefficient in operator.terms.items():
        value, found = float(np.real(coefficient)), _pair(word)
        if found is None:
            word_, sign = _times_parity(word)
            value, found = parity * sign * value, _pair(word_) if sign else None
        if found is None:
            raise SpaceError(
                "A string is not quadratic in fermions.",
                got=word,
                expected="X at one site, or Y or Z at two with X at all sites between them (or all others)",
                try_="qml.exact.ground_state, or turn the spins so that the field is along X",
            )
        p, q, sign = found
        if p == q:
            constant += value
        else:
            matrix[p, q] += sign * value
            matrix[q, p] -= sign * value
    return constant, matrix


def _pair(word: str) -> tuple[int, int, int] | None:
    r"""(p, q, s) with word $= s\,i\gamma_p\gamma_q$, (0, 0, 1) for the identity, `None` where there is no such pair."""
    support = [j for j, letter in enumerate(word) if letter != "I"]
    if not support:
        return 0, 0, 1
    j, k = support[0], support[-1]
    if j == k:
        return (2 * j, 2 * j + 1, 1) if word[j] == "X" else None
    if word[j] == "X" or word[k] == "X" or word[j + 1 : k] != "X" * (k - j - 1):
        return None
    right = 2 * k + (word[k] == "Y")
    return (2 * j + 1, right, 1) if word[j] == "Z" else (2 * j, right, -1)


def _times_parity(word: str) -> tuple[str, int]:
    """The string and the sign of the product with the parity; sign 0 where they anticommute."""
    turns = word.count("Y") - word.count("Z")  # X Y = i Z, X Z = -i Y
    if turns % 2:
        return word, 0
    return word.translate(str.maketrans("IXYZ", "XIZY")), 1 if turns % 4 == 0 else -1
