"""Project any model onto a symmetry sector by the sum over its group."""

import dataclasses
from typing import Any, final

import numpy as np

from qml._core.errors import SymmetryError
from qml._core.types import Array, Params
from qml.ansatz.layers import log_sum_exp


@final
@dataclasses.dataclass(frozen=True)
class Symmetrised:
    r"""Any model, projected onto a sector: $\psi_P(x) = \sum_g \bar\chi_g\,\psi(g^{-1}x)$.

    A description to build a state from; one value costs as many values of the model as the group has elements.

    Args:
        model: anything that `to_ansatz` takes.
        sector: a `symmetries.Sector`.

    Raises:
        SymmetryError: the second argument is not a sector.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import qml, symmetries
        >>> sector = symmetries.Sector(symmetries.space_group(qml.lattice.Chain(4)), momentum=(0,))
        >>> model = qml.ansatz.Symmetrised(qml.ansatz.RBM(4, rngs=nnx.Rngs(0)), sector)
        >>> ansatz, params = qml.ansatz.to_ansatz(model, qml.hilbert.Spin(4))
        >>> ansatz.log_psi(params, jnp.ones((3, 4))).shape
        (3,)

    Source: Nomura, J. Phys.: Condens. Matter 33, 174003 (2021).
    """

    model: Any
    sector: Any

    def __post_init__(self):
        sector_arrays(self.sector)


def sector_arrays(sector: Any) -> tuple[np.ndarray, np.ndarray]:
    """Permutations `[order, sites]` and characters `[order]` of a sector.

    Raises:
        SymmetryError: it is not a sector.
    """
    try:
        permutations, characters = np.asarray(sector.permutations), np.asarray(sector.characters, complex)
    except AttributeError:
        raise SymmetryError(
            "This is not a symmetry sector.",
            got=type(sector).__name__,
            expected="a sector: a group, its permutations of the sites and its characters",
            try_="symmetries.Sector(symmetries.space_group(lattice), momentum=(0, 0), irrep='A1')",
        ) from None
    return permutations, characters


def positive(characters: np.ndarray) -> bool:
    """True where every character is real and positive, so that a positive wave function stays positive."""
    return bool(np.all(np.imag(characters) == 0) and np.all(np.real(characters) > 0))


@dataclasses.dataclass(frozen=True)
class Projection:
    """The constants of a projected model: hashable, compared by value."""

    inner: Any
    permutations: tuple[tuple[int, ...], ...]
    characters: tuple[complex, ...]

    @classmethod
    def of(cls, inner: Any, sector: Any) -> "Projection":
        """Constants of `inner`, an ansatz, projected onto `sector`."""
        permutations, characters = sector_arrays(sector)
        return cls(inner, tuple(map(tuple, permutations.tolist())), tuple(characters.tolist()))


def call_projection(constants: Projection, params: Params, x: Array) -> Array:
    """log psi of the projected model for `x[batch, sites]`."""
    permutations, characters = np.array(constants.permutations), np.array(constants.characters)
    images = x[:, permutations].reshape(-1, x.shape[-1])
    values = constants.inner.log_psi(params, images).reshape(x.shape[0], -1)
    return log_sum_exp(np.conj(characters), values, constants.inner.is_complex or not positive(characters))
