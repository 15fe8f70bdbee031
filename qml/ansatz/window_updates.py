"""Local updates of convolutions: what a change of few sites reaches is a window, which grows from layer to layer."""

import dataclasses
from functools import cached_property
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from qml._core.types import Array, Bool, Int, Params
from qml.ansatz.image_updates import written
from qml.ansatz.tokens import Tokens
from qml.ansatz.updates import LocalUpdate

SHARE = 0.25  # of all tokens of all layers, that the windows of one site may hold: above, updates gain little
HELD = 2**18  # bytes of the features that a chain may hold


@final
@dataclasses.dataclass(frozen=True)
class Windows:
    r"""The tokens that a change of one token reaches through one convolution after the other.

    Args:
        tokens: the tokens.
        kernel: the box of all convolutions, see `Tokens.neighbours`.
        depth: number of convolutions.
    """

    tokens: Tokens
    kernel: Any
    depth: int

    @cached_property
    def near(self) -> Int[np.ndarray, "outputs box"]:
        """Tokens that each token sees, `tokens.count` for none; with a last row for a token that is none."""
        table = self.tokens.neighbours(self.kernel)
        return np.vstack([table, np.full((1, table.shape[1]), self.tokens.count)])

    @cached_property
    def reached(self) -> tuple[Int[np.ndarray, "tokens window"], ...]:
        """Of each token those that it reaches after 0, 1, ... convolutions, filled up with `tokens.count`."""
        count = self.tokens.count
        out = [np.eye(count, count + 1, dtype=bool)]
        for _ in range(self.depth):
            hit: np.ndarray = np.any(out[-1][:, self.near[:-1]], axis=2, keepdims=False)
            out.append(np.pad(hit, ((0, 0), (0, 1))))
        width = [int(table.sum(axis=1).max()) for table in out]
        order = [np.argsort(~table[:, :count], axis=1, kind="stable") for table in out]
        inside = [np.take_along_axis(t[:, :count], o, axis=1) for t, o in zip(out, order, strict=True)]
        return tuple(np.where(i, o, count)[:, :w] for i, o, w in zip(inside, order, width, strict=True))

    @property
    def share(self) -> float:
        """Tokens in the windows of one site, over those of all layers."""
        return sum(table.shape[1] for table in self.reached[1:]) / max(1, self.depth * self.tokens.count)

    def after(self, changed: Int[Array, "batch k"], depth: int) -> Int[Array, "batch window"]:
        """The tokens of each row that changed ones reach after so many convolutions; some may come twice."""
        return jnp.asarray(self.reached[depth])[changed].reshape(changed.shape[0], -1)

    def seen(self, y: Array, window: Int[Array, "batch window"]) -> Array:
        """What the tokens of a window see of features `[batch, tokens + 1, width]`: `[batch, window, box, width]`."""
        where = jnp.asarray(self.near)[window]
        return at(y, where.reshape(len(where), -1)).reshape(*where.shape, -1)

    def put(self, y: Array, window: Int[Array, "batch window"], values: Array) -> Array:
        """The features with new ones in a window; the row of zeros at the end stays."""
        rows = jnp.arange(len(window))[:, None]
        kept = jnp.where(window == self.tokens.count, self.tokens.count + 1, window)
        return y.at[rows, kept].set(values, mode="drop")


def at(y: Array, window: Int[Array, "batch window"]) -> Array:
    """Features of the tokens of a window, `[batch, window, width]`."""
    return y.at[jnp.arange(len(window))[:, None], window].get(mode="promise_in_bounds")


def padded(y: Array) -> Array:
    """Features `[batch, tokens, width]` with a row of zeros at the end, which open boundaries see."""
    return jnp.pad(y, ((0, 0), (0, 1), (0, 0)))


@final
@dataclasses.dataclass(frozen=True)
class WindowUpdate(LocalUpdate):
    r"""Features of all layers are kept; a change of few sites is carried through the windows that it reaches.

    The model has `embed`, `blocks` and `head`; `embed.moved` and the blocks' `kept` and `moved` say how one of them is
    evaluated on all tokens, and on a window. Every number is made anew from numbers before it, so errors do not add up.

    Args:
        graph: the model without its parameters.
        structure: of its parameters.
        windows: the windows of its convolutions.
    """

    graph: Any
    structure: Any
    windows: Windows

    @classmethod
    def of(cls, model: Any, kernel: Any, convolutions: int, fields: int) -> "WindowUpdate | None":
        """The updates of a model; `None` where the windows hold most of the lattice, or much memory would be kept.

        Args:
            model: a `PatchNetwork`, with all numbers in one precision.
            kernel: the box of its convolutions.
            convolutions: how many there are.
            fields: features of all tokens that are kept, in units of those of one layer.
        """
        windows = Windows(model.tokens, kernel, convolutions)
        one, dtype = model.head.norm.scale.shape[0], model.embed.kernel.dtype
        held = fields * (model.tokens.count + 1) * one * dtype.itemsize
        if dtype != model.head.norm.scale.dtype or windows.share > SHARE or held > HELD:
            return None
        graph, params, rest = nnx.split(model, nnx.Param, ...)
        return None if jax.tree.leaves(rest) else cls(graph, jax.tree.structure(params), windows)

    def _model(self, params: Params) -> Any:
        return nnx.merge(self.graph, jax.tree.unflatten(self.structure, jax.tree.leaves(params)))

    def prepare(self, params: Params) -> Params:
        return params

    def reliable(self, tables: Params) -> Bool[Array, ""]:
        return jnp.array(True)

    def init(self, tables: Params, x: Array) -> tuple[Array, list[tuple[Array, ...]], Array]:
        model = self._model(tables)
        y, kept = model.embed(self.windows.tokens.embed(x, model.embed.kernel.dtype)), []
        for block in model.blocks:
            fields, y = block.kept(y)
            kept.append(fields)
        return model.head(y), kept, padded(y)

    def step(
        self, tables: Params, cache: tuple, x: Array, sites: Array, values: Array
    ) -> tuple[Array, tuple[Array, list[tuple[Array, ...]], Array]]:
        model, (log_psi, kept, last) = self._model(tables), cache
        tokens = self.windows.tokens
        new = written(x, jnp.arange(len(x))[:, None], sites, values)
        changed = jnp.asarray(_token_of(tokens))[sites]
        y, depth = model.embed.moved(padded(tokens.embed(new, model.embed.kernel.dtype)), changed, self.windows)
        fields = []
        for block, before in zip(model.blocks, kept, strict=True):
            after, y, depth = block.moved(before, y, changed, depth, self.windows)
            fields.append(after)
        last = self.windows.put(last, self.windows.after(changed, depth), y)
        moved = model.head(last[:, :-1])
        return moved - log_psi, (moved, fields, last)


def _token_of(tokens: Tokens) -> Int[np.ndarray, " modes"]:
    """Number of the token that each mode is in."""
    out = np.empty(tokens.n_modes, np.int64)
    out[tokens.modes.reshape(-1)] = np.repeat(np.arange(tokens.count), tokens.width)
    return out
