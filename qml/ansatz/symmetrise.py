"""Project any model onto a symmetry sector by the sum over its group."""

import dataclasses
from typing import Any, Protocol, final, runtime_checkable

import jax.numpy as jnp
import numpy as np

from qml._core.errors import SymmetryError
from qml._core.types import Array, Params
from qml.ansatz.combine import Combinable
from qml.ansatz.image_updates import ProjectionUpdate
from qml.ansatz.layers import log_sum_exp
from qml.ansatz.updates import LocalUpdate


@final
@dataclasses.dataclass(frozen=True)
class Symmetrised(Combinable):
    r"""Any model, projected onto a sector: $\psi_P(x) = \sum_g \chi_g\,\overline{f_g(x)}\,\psi(g x)$.

    Here $g|x\rangle = f_g(x)\,|g x\rangle$ is the action of the sector on the space of the state: signs of fermions,
    internal symmetries and twists are in $f$. Up to $d/|G|$ that is the projector $P = \frac{d}{|G|} \sum_g
    \overline{\chi_g}\,g$, also for irreps of higher dimension. A description to build a state from; one value costs
    as many values of the model as the group has elements. Where the model knows permutations that leave it alone
    (`invariances()`, such as the translations of a `ViT` by whole patches), it is called once a coset of them:
    $\psi_P(x) = \sum_{c} w_c\,\psi(c x)$ with $w_c = \sum_{h} \chi_{hc}\,\overline{f_{hc}(x)}$, and not at all where
    $w_c$ vanishes.

    Args:
        model: anything that `to_ansatz` takes.
        sector: a `symmetries.Sector`.

    Raises:
        SymmetryError: the second argument is not a sector; in `to_ansatz`, the model, or the space, has no part in it.

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


def check_not_empty(sector: Any, images: "Images", hilbert: Any) -> None:
    """Raise if no state of a space lies in a sector: what a projection leaves of a network is then rounding.

    Counted by formula; configurations that obey a predicate are looked at one by one where there are at most 65536
    without it.

    Raises:
        SymmetryError: the sector is empty.
    """
    if images.positive or not hasattr(sector, "sector_dimension"):
        return
    try:
        empty = sector.sector_dimension(hilbert=hilbert) == 0
    except SymmetryError:  # more than can be counted in floating point
        empty = False
    if not empty and hilbert.envelope != hilbert and hilbert.envelope.size <= 2**16:
        empty = not np.any(sector.representatives(np.asarray(hilbert.all_states()), hilbert).norms > 1e-9)
    if empty:
        raise SymmetryError(
            "No state of this space lies in this sector.",
            got=f"{getattr(sector, 'label', sector)} on {hilbert}",
            expected="a sector with at least one state",
            try_="symmetries.sectors(group) lists all, sector.sector_dimension(hilbert=...) counts their states",
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

    def configurations(self, x: Array, elements: Any = slice(None)) -> Array:
        """$g x$ `[batch, g, sites]` of configurations `x[batch, sites]` under all elements, or those given."""
        action = self.action
        images = x[:, action.inverse_permutations[elements]]
        if not action.reversed.any():
            return images
        return jnp.where(action.reversed[elements][None, :, None], self.sums - images, images)

    @property
    def sums(self) -> int:
        """Sum of a local state and its reverse."""
        return self.action.local_states[0] + self.action.local_states[-1]

    def coefficients(self, x: Array, elements: Any = slice(None)) -> Array:
        """$\\chi_g\\,\\overline{f_g(x)}$ `[batch, g]`, `[1, g]` where all factors are one; of those elements."""
        action, characters = self.action, np.array(self.characters)
        if action.is_trivial:
            return jnp.asarray(characters[elements])[None, :]
        step = action.local_states[1] - action.local_states[0] if len(action.local_states) > 1 else 1
        digits = jnp.round((x - action.local_states[0]) / step)
        angles = digits @ jnp.asarray(np.angle(action.phases[elements]).T, digits.dtype)
        factors = jnp.exp(-1j * angles) * jnp.asarray((characters * action.constants.conj())[elements])[None, :]
        if action.fermionic:
            swaps = jnp.einsum("bm,gmn,bn->bg", digits, jnp.asarray(action.inversions[elements], digits.dtype), digits)
            factors = factors * (1 - 2 * (swaps % 2))
        return factors


@runtime_checkable
class Invariant(Protocol):
    """A model that knows permutations of its input that leave every value alone."""

    def invariances(self) -> np.ndarray:
        """The permutations `[g, modes]`, a group."""
        ...


def invariances(model: Any) -> np.ndarray | None:
    """Permutations that leave every value of a model alone; `None` where it knows none."""
    return model.invariances() if isinstance(model, Invariant) else None


@dataclasses.dataclass(frozen=True)
class Projection:
    """The constants of a projected model: hashable, compared by value.

    Args:
        inner: an ansatz on the space.
        images: the images under the sector.
        cosets: elements of each right coset of those that leave the model alone; its first element is called.
    """

    inner: Any
    images: Images
    cosets: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, inner: Any, sector: Any, hilbert: Any = None, unchanged: np.ndarray | None = None) -> "Projection":
        """Constants of `inner`, an ansatz on a space that the permutations `unchanged` leave alone, and a sector.

        Raises:
            SymmetryError: the model has no part in the sector, or no state of the space has.
        """
        images = Images.of(sector, hilbert)
        if hilbert is not None:
            check_not_empty(sector, images, hilbert)
        known = set() if unchanged is None else {tuple(p) for p in unchanged.tolist()}
        moves = zip(images.action.permutations.tolist(), images.action.reversed, strict=True)
        same = [g for g, (moved, reverse) in enumerate(moves) if tuple(moved) in known and not reverse]
        cosets = sector.group.cosets(np.array(same or [sector.group.identity]), side="right")
        if images.action.is_trivial:
            weights = np.abs(np.array(images.characters)[cosets].sum(axis=1))
            cosets = cosets[weights > 1e-9 * cosets.shape[1]]
        if len(cosets) == 0:
            raise SymmetryError(
                "The model has no part in this sector: it does not change under translations that the sector turns.",
                got=f"{sector}, {inner.name} unchanged by {len(same)} elements",
                expected="a sector in which these elements have the character of the identity",
                try_="momentum zero, or a momentum that whole patches do not see; or smaller networks: GCNN, MLP",
            )
        return cls(inner, images, tuple(tuple(coset) for coset in cosets.tolist()))

    @property
    def name(self) -> str:
        """Name for messages."""
        return f"Symmetrised({self.inner.name})"

    def __call__(self, params: Params, x: Array) -> Array:
        """log psi of the projected model for `x[batch, sites]`."""
        moved = self.images.configurations(x, np.array(self.cosets)[:, 0])
        values = self.inner.log_psi(params, moved.reshape(-1, x.shape[-1])).reshape(x.shape[0], -1)
        return self.total(x, values)

    def total(self, x: Array, values: Array) -> Array:
        """log psi of the projected model from those of the inner one, `[batch, cosets]`."""
        images, cosets = self.images, np.array(self.cosets)
        if images.action.is_trivial:  # known when compiling
            weights = np.array(images.characters)[cosets].sum(axis=1)[None, :]
        else:
            weights = jnp.sum(images.coefficients(x)[:, cosets], axis=2)
        return log_sum_exp(weights, values, self.inner.is_complex or not images.positive)

    def local_update(self, hilbert: Any) -> LocalUpdate | None:
        """The updates of all images, where the model knows them; not for fermions, whose signs cost as much."""
        known = self.inner.updates is not None and not self.images.action.fermionic
        return ProjectionUpdate(self) if known else None
