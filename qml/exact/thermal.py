"""Thermal states of small systems from their whole spectrum."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import SpaceError
from qml._core.types import Array, Float, Inexact
from qml.exact.basis import SectorBasis
from qml.exact.sectormap import sector_map
from qml.exact.spectrum import prepared, sector_basis, spectrum
from qml.hilbert import AbstractHilbert
from qml.operator import AbstractOperator


@final
class ThermalState(eqx.Module):
    r"""The Gibbs state $\rho = e^{-\beta H} / Z$ ($k_B = 1$, entropy in nats).

    `levels`, `vectors` and `weights` are the eigenvalues of H, its eigenvectors as rows and their probabilities; in a
    symmetry sector those of its `basis`, in which a multiplet counts once.

    Example:
        >>> from qml.exact import thermal_state
        >>> from qml.operator import PauliSum
        >>> state = thermal_state(PauliSum({"Z": -1.0}), beta=1.0)
        >>> round(float(state.weights[0]), 6), round(float(state.density()[0, 0]), 6)
        (0.880797, 0.880797)
    """

    beta: Float[Array, ""]
    levels: Float[Array, " size"]
    vectors: Inexact[Array, "size size"]
    weights: Float[Array, " size"]
    log_partition: Float[Array, ""]
    energy: Float[Array, ""]
    free_energy: Float[Array, ""]
    entropy: Float[Array, ""]
    specific_heat: Float[Array, ""]
    basis: SectorBasis | None = eqx.field(static=True, default=None)

    def density(self) -> Inexact[Array, "size size"]:
        r"""The density matrix $\rho$ in basis order, or in the basis of the sector."""
        return jnp.einsum("k,ka,kb->ab", self.weights, self.vectors, self.vectors.conj())

    def expect(self, operator: AbstractOperator) -> Inexact[Array, ""]:
        r"""Expectation value $\mathrm{Tr}\,\rho O$, real for a Hermitian operator.

        Raises:
            SpaceError: the operator acts on a space of another size.
            SymmetryError: the state is that of a sector, and the operator does not commute with it.
        """
        if self.basis is not None:
            value = _sector_mean(sector_map(operator, sector_basis(operator, self.basis)), self.vectors, self.weights)
            return value.real if operator.is_hermitian else value
        if operator.hilbert.size != self.levels.shape[0]:
            raise SpaceError(
                "The operator does not act on the space of the thermal state.",
                got=f"{operator.hilbert.size} states",
                expected=f"{self.levels.shape[0]} states",
                try_="operator.on(hilbert)",
            )
        value = _mean(operator, self.vectors, self.weights)
        return value.real if operator.is_hermitian else value


@jax.jit
def _mean(operator: AbstractOperator, vectors: Array, weights: Array) -> Array:
    linear_map = operator.linear_map()
    return jnp.sum(weights * jax.lax.map(lambda v: jnp.vdot(v, linear_map(v)), vectors))


@jax.jit
def _sector_mean(linear_map: Any, vectors: Array, weights: Array) -> Array:
    return jnp.sum(weights * jax.lax.map(lambda v: jnp.vdot(v, linear_map(v)), vectors))


def thermal_state(
    operator: AbstractOperator, beta: Any, hilbert: AbstractHilbert | None = None, *, sector: Any = None
) -> ThermalState:
    r"""The Gibbs state of a Hamiltonian from its whole spectrum, for up to some thousand states.

    $F = -\log Z / \beta$, $E = \mathrm{Tr}\,\rho H$, $S = \beta (E - F)$ and $C = \beta^2 (\langle H^2\rangle - E^2)$.
    At $\beta = 0$ the free energy is minus infinity.

    Args:
        operator: Hermitian operator H with known coefficients.
        beta: inverse temperature, at least 0.
        hilbert: a space to work in instead of the operator's own: a canonical ensemble.
        sector: a `symmetries.Sector` to stay in, or its `SectorBasis`: traces are over its basis, every multiplet
            once, so that the space has $Z = \sum_s |\mathrm{star}_s|\, d_s Z_s$. For several sectors together see
            `finite_temperature`, which diagonalises small ones.

    Raises:
        SpaceError: the operator is not Hermitian or leaves `hilbert`, the space is too large, or beta is negative.
        SymmetryError: the operator does not commute with the sector; the term that breaks it is named.
        PrecisionError: JAX runs in 32-bit mode.

    Example:
        >>> from qml.exact import thermal_state
        >>> from qml.operator import PauliSum
        >>> state = thermal_state(PauliSum({"Z": -1.0}), beta=1.0)
        >>> round(float(state.energy), 6), round(float(state.expect(PauliSum({"Z": 1.0}))), 6)
        (-0.761594, 0.761594)
    """
    beta = float(beta)
    if not 0 <= beta < np.inf:
        raise SpaceError(
            "An inverse temperature is finite and not negative.",
            got=beta,
            expected="0 <= beta < inf",
            try_="ground_state(operator) for temperature zero",
        )
    basis = None if sector is None else sector_basis(prepared(operator, hilbert, "thermal_state"), sector)
    if basis is not None and not basis.size:
        raise SpaceError("The sector has no states.", got=repr(basis), expected="a sector of the space", try_="another")
    found = spectrum(operator, hilbert, sector=basis)
    levels = np.asarray(found.energies)
    boltzmann = np.exp(-beta * (levels - levels[0]))
    weights = boltzmann / boltzmann.sum()
    log_partition = np.log(boltzmann.sum()) - beta * levels[0]
    energy = weights @ levels
    numbers = {
        "beta": beta,
        "weights": weights,
        "log_partition": log_partition,
        "energy": energy,
        "free_energy": -log_partition / beta if beta else -np.inf,
        "entropy": log_partition + beta * energy,
        "specific_heat": beta**2 * (weights @ (levels - energy) ** 2),
    }
    arrays = {name: jnp.asarray(value) for name, value in numbers.items()}
    return ThermalState(levels=found.energies, vectors=found.vectors, basis=basis, **arrays)
