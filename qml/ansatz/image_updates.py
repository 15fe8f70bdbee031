"""Local updates of a projected model: those of all its images at once."""

import dataclasses
from collections.abc import Callable
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.types import Array, Bool, Params
from qml.ansatz.updates import LocalUpdate


@final
@dataclasses.dataclass(frozen=True)
class ProjectionUpdate(LocalUpdate):
    r"""A change of $x$ on few sites changes each image $g x$ on as many; the cache holds all images.

    Args:
        projection: a `Projection` whose inner ansatz knows local updates, and whose factors cost little.
    """

    projection: Any

    @property
    def _elements(self) -> np.ndarray:
        return np.array(self.projection.cosets)[:, 0]

    def _images(self, x: Array) -> Array:
        return self.projection.images.configurations(x, self._elements).reshape(-1, x.shape[-1])

    def _total(self, x: Array, logs: Array) -> Array:
        return self.projection.total(x.astype(logs.real.dtype), logs)

    def prepare(self, params: Params) -> tuple[Any, Any]:
        return params, self.projection.inner.updates.prepare(params)

    def reliable(self, tables: tuple[Any, Any]) -> Bool[Array, ""]:
        return self.projection.inner.updates.reliable(tables[1])

    def init(self, tables: tuple[Any, Any], x: Array) -> tuple[Array, Array, Any]:
        images, rows = self._images(x), x.shape[0]
        inner = self.projection.inner
        logs = inner.log_psi(tables[0], images).reshape(rows, -1)
        return logs, *self._by_row((images, inner.updates.init(tables[1], images)), rows)

    def step(
        self, tables: tuple[Any, Any], cache: tuple[Array, Array, Any], x: Array, sites: Array, values: Array
    ) -> tuple[Array, tuple[Array, Array, Any]]:
        (logs, *images), rows, action = cache, x.shape[0], self.projection.images.action
        seen, inner = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), tuple(images))
        order = np.swapaxes(action.permutations[self._elements], 0, 1)  # [sites, elements]
        there = jnp.swapaxes(jnp.asarray(order)[sites], 1, 2).reshape(-1, sites.shape[1])
        turned = jnp.broadcast_to(values[:, None], (rows, len(self._elements), values.shape[1]))
        if action.reversed.any():
            sums = action.local_states[0] + action.local_states[-1]
            turned = jnp.where(action.reversed[self._elements][None, :, None], sums - turned, turned)
        turned = turned.reshape(there.shape).astype(seen.dtype)
        log_ratio, inner = self.projection.inner.updates.step(tables[1], inner, seen, there, turned)
        seen = written(seen, jnp.arange(len(there))[:, None], there, turned)
        log_ratio = log_ratio.reshape(logs.shape).astype(logs.dtype)
        moved = followed(logs, log_ratio, lambda: self.projection.inner.log_psi(tables[0], seen).reshape(logs.shape))
        new = written(x, jnp.arange(rows)[:, None], sites, values)
        return self._total(new, moved) - self._total(x, logs), (moved, *self._by_row((seen, inner), rows))

    @staticmethod
    def _by_row(tree: Any, rows: int) -> Any:
        """Caches of images with the configurations first, as samplers need them."""
        return jax.tree.map(lambda a: a.reshape(rows, -1, *a.shape[1:]), tree)


def followed(log_psi: Array, log_ratio: Array, again: Callable[[], Array]) -> Array:
    r"""log psi of a part after a step, for wave functions made of parts: log psi before and the ratio.

    From a zero of a part no ratio leads back, and from near one (images that cancel) it has lost its digits: where a
    part grows by more than $\epsilon^{-1/3}$, with the rounding error $\epsilon$, all parts are evaluated again.

    Args:
        log_psi: of the parts before the step.
        log_ratio: of the step, in the same shape.
        again: gives log psi after the step from the network, in that shape.
    """
    lost = ~(log_ratio.real <= -np.log(np.finfo(log_ratio.dtype).eps) / 3)
    return jax.lax.cond(
        jnp.any(lost),
        lambda: jnp.where(lost, again().astype(log_psi.dtype), log_psi + log_ratio),
        lambda: log_psi + log_ratio,
    )


def written(x: Array, rows: Array, sites: Array, values: Array) -> Array:
    """Configurations with other values on some sites; a site that is named again keeps its first new value."""
    change = values.astype(x.dtype) - x[rows, sites]
    return x.at[rows, sites].add(change)
