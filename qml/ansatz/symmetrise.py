"""Project any model onto a symmetry sector by the sum over its group."""

import dataclasses
from typing import Any, final

import jax.numpy as jnp
import numpy as np

from qml._core.errors import SymmetryError
from qml._core.types import Array, Params
from qml.ansatz.layers import log_sum_exp


@final
@dataclasses.dataclass(frozen=True)
class Symmetrised:
    r"""Any model, projected onto a sector: $\psi_P(x) = \sum_g \chi_g\,\overline{f_g(x)}\,\psi(g x)$.

    Here $g|x\rangle = f_g(x)\,|g x\rangle$ is the action of the sector on the space of the state: signs of fermions,
    internal symmetries and twists are in $f$. Up to $d/|G|$ that is the projector $P = \frac{d}{|G|} \sum_g
    \overline{\chi_g}\,g$, also for irreps of higher dimension. A description to build a state from; one value costs
    as many values of the model as the group has elements.

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
        check_sector(self.sector)


def check_sector(sector: Any) -> None:
    """Raise if an object is no sector.

    Raises:
        SymmetryError: it is not.
    """
    if not (hasattr(sector, "characters") and hasattr(sector, "on") and hasattr(sector, "action")):
        raise SymmetryError(
            "This is not a symmetry sector.",
            got=type(sector).__name__,
            expected="a sector: a group, how it acts on configurations, and its characters",
            try_="symmetries.Sector(symmetries.space_group(lattice), momentum=(0, 0), irrep='A1')",
        )


def positive(characters: np.ndarray) -> bool:
    """True where every character is real and positive, so that a positive wave function stays positive."""
    return bool(np.all(np.imag(characters) == 0) and np.all(np.real(characters) > 0))


@final
@dataclasses.dataclass(frozen=True)
class Images:
    """All images of configurations under a sector, and the coefficient of each in the projection.

    A constant of compiled programs: compared and hashed by the sector and its action.

    Args:
        action: how the group acts, a `symmetries.Action`.
        characters: of its elements.
        inverse: number of the inverse of each element.
    """

    action: Any
    characters: tuple[complex, ...]
    inverse: tuple[int, ...]

    @classmethod
    def of(cls, sector: Any, hilbert: Any = None) -> "Images":
        """The images under the sector in a space; in that of spins 1/2 if there is none.

        Raises:
            SymmetryError: this is no sector, or it has no representation on the space.
        """
        check_sector(sector)
        action = sector.action() if hilbert is None else sector.on(hilbert)
        inverse = tuple(np.asarray(sector.group.inverse).tolist())
        return cls(action, tuple(np.asarray(sector.characters, complex).tolist()), inverse)

    @property
    def positive(self) -> bool:
        """True where all coefficients are positive, so that a positive wave function stays positive."""
        return self.action.is_trivial and positive(np.array(self.characters))

    def configurations(self, x: Array, *, inverse: bool = False) -> Array:
        """$g x$ `[batch, g, sites]` of configurations `x[batch, sites]`; with `inverse`, $g^{-1} x$."""
        action = self.action
        order = list(self.inverse) if inverse else slice(None)
        images = x[:, action.inverse_permutations[order]]
        if not action.reversed.any():
            return images
        sums = action.local_states[0] + action.local_states[-1]
        return jnp.where(action.reversed[order][None, :, None], sums - images, images)

    def coefficients(self, x: Array, *, inverse: bool = False) -> Array:
        """$\\chi_g\\,\\overline{f_g(x)}$ `[batch, g]`, `[1, g]` where all factors are one; `inverse`: of $g^{-1}$."""
        action, characters = self.action, np.array(self.characters)
        order = list(self.inverse) if inverse else slice(None)
        if action.is_trivial:
            return jnp.asarray(characters[order])[None, :]
        step = action.local_states[1] - action.local_states[0] if len(action.local_states) > 1 else 1
        digits = jnp.round((x - action.local_states[0]) / step)
        angles = digits @ jnp.asarray(np.angle(action.phases[order]).T, digits.dtype)
        factors = jnp.exp(-1j * angles) * jnp.asarray((characters * action.constants.conj())[order])[None, :]
        if action.fermionic:
            swaps = jnp.einsum("bm,gmn,bn->bg", digits, jnp.asarray(action.inversions[order], digits.dtype), digits)
            factors = factors * (1 - 2 * (swaps % 2))
        return factors


@dataclasses.dataclass(frozen=True)
class Projection:
    """The constants of a projected model: hashable, compared by value."""

    inner: Any
    images: Images

    @classmethod
    def of(cls, inner: Any, sector: Any, hilbert: Any = None) -> "Projection":
        """Constants of `inner`, an ansatz on a space, projected onto `sector`."""
        return cls(inner, Images.of(sector, hilbert))


def call_projection(constants: Projection, params: Params, x: Array) -> Array:
    """log psi of the projected model for `x[batch, sites]`."""
    images = constants.images
    moved = images.configurations(x)
    values = constants.inner.log_psi(params, moved.reshape(-1, x.shape[-1])).reshape(x.shape[0], -1)
    return log_sum_exp(images.coefficients(x), values, constants.inner.is_complex or not images.positive)
