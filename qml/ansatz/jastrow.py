"""Jastrow factors of two and more bodies."""

import dataclasses
import itertools
import math
from typing import Any, final

import jax.numpy as jnp
import numpy as np
from flax import nnx

from qml._core.errors import ShapeError
from qml._core.types import Array, Bool, Params
from qml.ansatz.combine import Combinable
from qml.ansatz.layers import normal, parameter_dtype, sites_of
from qml.ansatz.updates import LocalUpdate


class Jastrow(Combinable, nnx.Module):
    r"""Jastrow factor: a number for each site, each pair of sites, and each group of up to `order` sites.

    $\log\psi(x) = \sum_i v_i x_i + \sum_{i<j} w_{ij} x_i x_j + \sum_{i<j<k} u_{ijk} x_i x_j x_k + \dots$

    Args:
        space: a space, or the number of sites.
        dtype: of the parameters, real or complex.
        order: largest number of sites in a term, >= 2 and at most that of all sites.
        std: standard deviation of the initial parameters.
        rngs: random streams of Flax.

    Raises:
        ShapeError: the order is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from qml.ansatz import Jastrow
        >>> Jastrow(4, rngs=nnx.Rngs(0))(jnp.ones((3, 4))).shape
        (3,)

    Source: Jastrow, Phys. Rev. 98, 1479 (1955).
    """

    def __init__(self, space: Any, dtype: Any = float, *, order: int = 2, std: float | int = 0.01, rngs: nnx.Rngs):
        sites = sites_of(space)
        if isinstance(order, bool) or not isinstance(order, int) or not 2 <= order <= max(2, sites):
            raise ShapeError(
                "The terms of a Jastrow factor have from two to all sites.",
                got=f"order={order!r} on {sites} sites",
                expected=f"an int from 2 to {max(2, sites)}",
                try_="order=3",
            )
        dtype = parameter_dtype(dtype, "Jastrow")
        self.field = nnx.Param(normal(rngs.params, (sites,), dtype, std))
        self.pairs = nnx.Param(normal(rngs.params, (sites * (sites - 1) // 2,), dtype, std))
        for size in range(3, order + 1):
            setattr(self, f"bodies{size}", nnx.Param(normal(rngs.params, (math.comb(sites, size),), dtype, std)))
        self.order = order

    def __call__(self, x: Array) -> Array:
        sites, total = x.shape[-1], x @ self.field[...]
        for size in range(2, self.order + 1):
            numbers = (self.pairs if size == 2 else getattr(self, f"bodies{size}"))[...]
            tensor = _ordered(numbers, sites, size)
            part = (x @ tensor.reshape(sites, -1)).reshape(-1, *[sites] * (size - 1))
            for _ in range(size - 1):
                part = jnp.einsum("bi...,bi->b...", part, x)
            total = total + part
        return total

    def local_update(self, hilbert: Any) -> LocalUpdate:
        """Ratios from the running field on each site."""
        return JastrowUpdate(self.order)


@final
@dataclasses.dataclass(frozen=True)
class JastrowUpdate(LocalUpdate):
    r"""$\log\psi$ is linear in each $x_i$: with its derivatives $f_i, f_{ij}, \dots$ (the last ones constant) a change
    of $x_i$ by $d$ adds $d f_i$ to $\log\psi$, $d f_{ij}$ to each $f_j$, and so on."""

    order: int = 2

    def prepare(self, params: Params) -> list[Array]:
        sites = params["field"].shape[0]
        names = ["pairs", *[f"bodies{size}" for size in range(3, self.order + 1)]]
        return [params["field"], *[_symmetric(params[name], sites, k + 2) for k, name in enumerate(names)]]

    def reliable(self, tables: list[Array]) -> Bool[Array, ""]:
        return jnp.array(True)

    def init(self, tables: list[Array], x: Array) -> list[Array]:
        y, cache = x.astype(tables[0].real.dtype), []
        for rank in range(1, self.order):  # derivatives by `rank` sites
            total = tables[rank - 1][None]
            for size in range(rank + 1, self.order + 1):
                part = jnp.broadcast_to(tables[size - 1][None], (x.shape[0], *tables[size - 1].shape))
                for _ in range(size - rank):
                    part = jnp.einsum("bi...,bi->b...", part, y)
                total = total + part / math.factorial(size - rank)
            cache.append(total)
        return cache

    def step(
        self, tables: list[Array], cache: list[Array], x: Array, sites: Array, values: Array
    ) -> tuple[Array, list[Array]]:
        log_ratio = jnp.zeros(x.shape[0], tables[0].dtype)
        for i in range(sites.shape[1]):
            site = sites[:, i]
            change = values[:, i] - jnp.take_along_axis(x, site[:, None], axis=1)[:, 0]
            change = change.astype(tables[0].real.dtype)
            here = [field[jnp.arange(x.shape[0]), site] for field in cache] + [tables[-1][site]]
            log_ratio = log_ratio + change * here[0]
            cache = [
                f + change.reshape(-1, *[1] * (f.ndim - 1)) * more for f, more in zip(cache, here[1:], strict=True)
            ]
        return log_ratio, cache


def _ordered(numbers: Array, sites: int, size: int) -> Array:
    """The numbers of groups i < j < ... as a tensor that is zero elsewhere."""
    index = np.array(list(itertools.combinations(range(sites), size))).reshape(-1, size)
    return jnp.zeros((sites,) * size, numbers.dtype).at[tuple(index.T)].set(numbers)


def _symmetric(numbers: Array, sites: int, size: int) -> Array:
    """The same in every order of the indices."""
    ordered = _ordered(numbers, sites, size)
    return sum((ordered.transpose(p) for p in itertools.permutations(range(size))), start=jnp.zeros_like(ordered))
