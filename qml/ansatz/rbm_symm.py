"""Restricted Boltzmann machine whose hidden units are shared by the images under a group."""

import dataclasses
from typing import Any, final

import jax.numpy as jnp
import numpy as np
from flax import nnx

from qml._core.errors import ShapeError, SymmetryError
from qml._core.types import Array, Bool, Params
from qml.ansatz.combine import Combinable
from qml.ansatz.layers import log_cosh, normal, parameter_dtype
from qml.ansatz.rbm import RBMUpdate
from qml.ansatz.updates import LocalUpdate
from symmetries import PermutationGroup, SpaceGroup
from symmetries.permutation import orbits


class RBMSymm(Combinable, nnx.Module):
    r"""Restricted Boltzmann machine that does not change under a group of permutations of the sites.

    $\log\psi(x) = \sum_i a_{o(i)} x_i + \sum_{f, g} \log\cosh\bigl(b_f + \sum_i W_{f, g(i)}\, x_i\bigr)$,

    with one visible bias for each orbit $o$ of sites, and hidden units that come in images under all elements $g$. It
    lies in the trivial irrep; for others, see `Symmetrised` and `GCNN`.

    Args:
        group: a `SpaceGroup`, a `PermutationGroup`, or its permutations `[g, sites]`.
        alpha: hidden units per site, > 0: `alpha * sites / order` of them are independent.
        dtype: of the parameters; complex ones let the wave function have phases.
        std: standard deviation of the initial parameters.
        rngs: random streams of Flax.

    Raises:
        ShapeError: fewer than one independent hidden unit.
        SymmetryError: this is no group of permutations.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import qml, symmetries
        >>> group = symmetries.translation_group(qml.lattice.Chain(4))
        >>> model = qml.ansatz.RBMSymm(group, alpha=2, dtype=complex, rngs=nnx.Rngs(0))
        >>> model.kernel.shape, model(jnp.ones((3, 4))).shape
        ((2, 4), (3,))

    Source: Carleo and Troyer, Science 355, 602 (2017), arXiv:1606.02318.
    """

    def __init__(
        self, group: Any, alpha: float | int = 1, dtype: Any = float, *, std: float | int = 0.01, rngs: nnx.Rngs
    ):
        self.images = GroupImages.of(group)
        order, sites = self.images.permutations.shape
        features = round(alpha * sites / order)
        if features < 1:
            raise ShapeError(
                "A symmetric RBM has at least one hidden unit for each element of the group.",
                got=f"alpha={alpha} on {sites} sites, group of order {order}",
                expected=f"alpha >= {order / sites:g}",
                try_=f"alpha={-(-order // sites)}",
            )
        dtype = parameter_dtype(dtype, "RBMSymm")
        count = int(self.images.orbits.max()) + 1
        self.visible_bias = nnx.Param(normal(rngs.params, (count,), dtype, std))
        self.hidden_bias = nnx.Param(normal(rngs.params, (features,), dtype, std))
        self.kernel = nnx.Param(normal(rngs.params, (features, sites), dtype, std))

    def invariances(self) -> np.ndarray:
        """Permutations `[g, sites]` that leave every amplitude alone: the group."""
        return self.images.permutations

    def __call__(self, x: Array) -> Array:
        own = {"visible_bias": self.visible_bias, "hidden_bias": self.hidden_bias, "kernel": self.kernel}
        if x.shape[1] != self.kernel.shape[1]:
            raise ShapeError(
                "This RBM was made for another number of sites.",
                got=f"x of shape {x.shape}",
                expected=f"[batch, {self.kernel.shape[1]}]",
                try_="the group of the lattice of the space",
            )
        full = self.images.expanded({name: param[...] for name, param in own.items()})
        angles = x @ full["kernel"] + full["hidden_bias"][None, :]
        return x @ full["visible_bias"] + jnp.sum(log_cosh(angles), axis=-1)

    def local_update(self, hilbert: Any) -> LocalUpdate | None:
        """Those of an `RBM` with all the images as hidden units, on sites with two states."""
        kinds = {tuple(sorted(states)) for states in hilbert.site_states}
        low, *others = kinds.pop()
        inner = RBMUpdate(low, others[0]) if not kinds and len(others) == 1 else None
        return None if inner is None else RBMSymmUpdate(inner, self.images)


@final
@dataclasses.dataclass(frozen=True)
class GroupImages:
    """The permutations of a group and the orbits of its sites: a constant of compiled programs, compared by value."""

    rows: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, group: Any) -> "GroupImages":
        """Those of a group, or of an array of permutations that is checked to be one."""
        if not isinstance(group, SpaceGroup | PermutationGroup):
            permutations = np.asarray(group) if isinstance(group, np.ndarray | list | tuple) else np.zeros(0)
            if permutations.ndim != 2 or not np.issubdtype(permutations.dtype, np.integer):
                raise SymmetryError(
                    "A symmetric RBM is made of a group of permutations.",
                    got=type(group).__name__,
                    expected="a SpaceGroup, a PermutationGroup, or an int array [g, sites]",
                    try_="symmetries.space_group(lattice); for a sector: Symmetrised or GCNN",
                )
            group = PermutationGroup(permutations.astype(np.int64))
            group.group  # noqa: B018  (raises where the permutations are no group)
        return cls(tuple(tuple(row) for row in np.asarray(group.permutations).tolist()))

    @property
    def permutations(self) -> np.ndarray:
        """The permutations `[g, sites]`."""
        return np.array(self.rows)

    @property
    def orbits(self) -> np.ndarray:
        """Number of the orbit of each site, from zero on."""
        return np.unique(orbits(self.permutations), return_inverse=True)[1].reshape(-1)

    def expanded(self, params: Params) -> dict[str, Array]:
        """The parameters of the `RBM` that is the same wave function."""
        permutations, kernel = self.permutations, params["kernel"]
        images = kernel[:, permutations]  # [features, g, sites]
        return {
            "visible_bias": params["visible_bias"][self.orbits],
            "hidden_bias": jnp.repeat(params["hidden_bias"], permutations.shape[0]),
            "kernel": images.reshape(-1, permutations.shape[1]).T,
        }


@final
@dataclasses.dataclass(frozen=True)
class RBMSymmUpdate(LocalUpdate):
    """The updates of the `RBM` that is the same wave function."""

    inner: RBMUpdate
    images: GroupImages

    def prepare(self, params: Params) -> Any:
        return self.inner.prepare(self.images.expanded(params))

    def reliable(self, tables: Any) -> Bool[Array, ""]:
        return self.inner.reliable(tables)

    def init(self, tables: Any, x: Array) -> Any:
        return self.inner.init(tables, x)

    def step(self, tables: Any, cache: Any, x: Array, sites: Array, values: Array) -> tuple[Array, Any]:
        return self.inner.step(tables, cache, x, sites, values)

    def sum_ratios(
        self, tables: Any, cache: Any, x: Array, moves: np.ndarray, elements: Array, total: int = 0
    ) -> Array:
        return self.inner.sum_ratios(tables, cache, x, moves, elements, total)
