"""Networks on sequences whose output at a place depends on the inputs before it: dense and convolutional layers."""

import abc
import dataclasses
import itertools
import math
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError
from qml._core.types import Array, Float, Int, RandomKey
from qml.ansatz.layers import normal


class CausalNetwork(abc.ABC):
    r"""A map of sequences $u_0 \dots u_{n-1}$ to $v_0 \dots v_{n-1}$ where $v_i$ depends on $u_0 \dots u_{i-1}$ alone.

    Implementations are frozen dataclasses without arrays. `evaluate` sees a whole sequence; `step` finds one output
    from the last input and a cache, and gives the same numbers. `tables` depend on the parameters alone.
    """

    @abc.abstractmethod
    def init(self, key: RandomKey, sites: int, inputs: int, outputs: int, dtype: np.dtype) -> dict[str, Any]:
        """Random parameters, a tree of dicts with names as keys."""

    @abc.abstractmethod
    def evaluate(self, params: dict[str, Any], u: Float[Array, "batch sites inputs"]) -> Float[Array, "batch sites v"]:
        """All outputs of whole sequences."""

    def prepare(self, params: dict[str, Any]) -> Any:
        """Tables that serve all steps; the parameters themselves where nothing can be done in advance."""
        return params

    @abc.abstractmethod
    def start(self, tables: Any, batch: int, sites: int) -> Any:
        """The cache before the first output."""

    @abc.abstractmethod
    def step(
        self, tables: Any, cache: Any, i: Int[Array, ""], last: Float[Array, "batch inputs"]
    ) -> tuple[Float[Array, "batch v"], Any]:
        """Output `i`, to be called for 0, 1, 2, ... in turn, from `last` = input `i - 1` (zeros where i = 0)."""


@final
@dataclasses.dataclass(frozen=True)
class CausalDense(CausalNetwork):
    r"""Masked dense layers: each place is joined to all places before it, with weights of its own (MADE).

    $v_i = b_i + \sum_{j < i} W_{ij} u_j$ in the first layer, $j \le i$ in the others, with selu between layers. Only
    the weights inside the mask are parameters.

    Args:
        layers: number of layers, the last one included, >= 1.
        features: features of a place in all layers but the last, >= 1.

    Raises:
        ShapeError: a size is out of range.

    Example:
        >>> from flax import nnx
        >>> import qml
        >>> network = qml.ansatz.CausalDense(layers=2, features=4)
        >>> model = qml.ansatz.Autoregressive(qml.hilbert.Spin(4), network, rngs=nnx.Rngs(0))

    Source: Germain et al., arXiv:1502.03509; Wu, Wang and Zhang, arXiv:1809.10606.
    """

    layers: int = 3
    features: int = 16

    def __post_init__(self):
        check_positive(self, "layers", "features")

    def init(self, key: RandomKey, sites: int, inputs: int, outputs: int, dtype: np.dtype) -> dict[str, Any]:
        sizes = [inputs, *[self.features] * (self.layers - 1), outputs]
        params = {}
        for k, draw in enumerate(jax.random.split(key, self.layers)):
            size = sites - (k == 0)
            shape = ((size + 1) // 2, sizes[k], size + 1 - size % 2, sizes[k + 1])
            std = (sizes[k] * max(1, (size + 1) / 2)) ** -0.5
            bias = jnp.zeros((sites, sizes[k + 1]), dtype)
            params[f"layer{k}"] = {"kernel": normal(draw, shape, dtype, std), "bias": bias}
        return params

    def evaluate(self, params: dict[str, Any], u: Array) -> Array:
        y = u
        for k, (kernel, bias) in enumerate(self._layers(params)):
            y = jax.nn.selu(y) if k else y
            flat = y.reshape(y.shape[0], -1) @ kernel.reshape(y.shape[1] * y.shape[2], -1)
            y = flat.reshape(*y.shape[:2], -1) + bias[None]
        return y

    def _layers(self, params: dict[str, Any]) -> list[tuple[Array, Array]]:
        """Kernels `[in place, in, out place, out]` with their zeros, and biases."""
        layers = [params[f"layer{k}"] for k in range(self.layers)]
        return [(_unfolded(p["kernel"], p["bias"].shape[0], k == 0), p["bias"]) for k, p in enumerate(layers)]

    def prepare(self, params: dict[str, Any]) -> list[tuple[Array, Array]]:
        return [(w.transpose(2, 0, 1, 3).reshape(w.shape[2], -1, w.shape[3]), b) for w, b in self._layers(params)]

    def start(self, tables: Any, batch: int, sites: int) -> list[Array]:
        return [jnp.zeros((batch, kernel.shape[1]), kernel.dtype) for kernel, _ in tables]

    def step(self, tables: Any, cache: list[Array], i: Array, last: Array) -> tuple[Array, list[Array]]:
        y, filled = last, []
        for k, ((kernel, bias), known) in enumerate(zip(tables, cache, strict=True)):
            place = i if k else jnp.maximum(i - 1, 0)
            y = jax.nn.selu(y) if k else y
            filled.append(jax.lax.dynamic_update_slice(known, y, (jnp.zeros_like(i), place * y.shape[1])))
            y = filled[-1] @ kernel[i] + bias[i][None]
        return y, filled


def _unfolded(folded: Array, sites: int, exclusive: bool) -> Array:
    """A triangle `[in place, in, out place, out]`, out >= in, from a rectangle without a spare entry.

    A row of the triangle and one from its other end lie head to tail in one row of the rectangle; where the number of
    rows is odd, the first has a row to itself. With `exclusive` the diagonal is zero too: out > in.
    """
    size = sites - exclusive
    half = size // 2
    ends = [folded[:half, :, :size], jnp.flip(folded[:half], (0, 2))[:, :, :size], folded[half:, :, :size]]
    mask = np.tril(np.ones((size, size)))[:, None, :, None]
    full = jnp.flip(jnp.concatenate(ends) * mask.astype(folded.dtype), (0, 2))
    return jnp.pad(full, ((0, 1), (0, 0), (1, 0), (0, 0))) if exclusive else full


@final
@dataclasses.dataclass(frozen=True)
class CausalConv(CausalNetwork):
    r"""Masked convolutions on a chain, or on the rows of a square grid; selu between layers.

    On a chain an output sees the `kernel - 1` places before it, and itself in all layers but the first. On a grid
    (sites row by row) the kernel covers some rows above and the left half of its own row.

    Args:
        layers: number of layers, the last one included, >= 1.
        features: features of a place in all layers but the last, >= 1.
        kernel: places, >= 2; on a grid `(rows, columns)`, the last row its own.
        dilation: distance of neighbouring places of the kernel, >= 1.
        extent: rows and columns of the grid; `None` is a chain.

    Raises:
        ShapeError: a size is out of range.

    Example:
        >>> from flax import nnx
        >>> import qml
        >>> network = qml.ansatz.CausalConv(layers=2, features=4, kernel=(2, 3), extent=(2, 3))
        >>> model = qml.ansatz.Autoregressive(qml.hilbert.Spin(6), network, rngs=nnx.Rngs(0))

    Source: van den Oord et al., arXiv:1606.05328; Sharir et al., Phys. Rev. Lett. 124, 020503 (2020), arXiv:1902.04057.
    """

    layers: int = 3
    features: int = 16
    kernel: int | tuple[int, int] = 5
    dilation: int = 1
    extent: tuple[int, int] | None = None

    def __post_init__(self):
        check_positive(self, "layers", "features", "dilation")
        pairs = [p for p in (self.kernel, self.extent) if isinstance(p, tuple)]
        sizes: list[Any] = [n for p in pairs for n in p] if pairs else [self.kernel]
        good = len(pairs) in (0, 2) and all(len(p) == 2 for p in pairs) and all(isinstance(n, int) for n in sizes)
        if not good or min(sizes) < 1 or not self._taps(True):
            raise ShapeError(
                "The kernel of a causal convolution covers at least one place before its own.",
                got=f"kernel={self.kernel}, extent={self.extent}",
                expected="an int >= 2 on a chain, or (rows, columns) with an extent (rows, columns)",
                try_="kernel=5, or kernel=(3, 5), extent=(4, 4)",
            )

    @property
    def _shape(self) -> tuple[int, int]:
        return self.kernel if isinstance(self.kernel, tuple) else (1, self.kernel)

    def _taps(self, exclusive: bool) -> list[tuple[int, int]]:
        """Rows and columns of the places of the kernel relative to its own."""
        rows, columns = self._shape
        middle = columns // 2 if isinstance(self.kernel, tuple) else columns - 1
        last = middle - exclusive
        every = itertools.product(range(rows), range(columns))
        inside = [(r - rows + 1, c - middle) for r, c in every if r < rows - 1 or c <= last]
        return [(r * self.dilation, c * self.dilation) for r, c in inside]

    def _grid(self, sites: int) -> tuple[int, int]:
        return (1, sites) if self.extent is None else self.extent

    @property
    def _margins(self) -> tuple[int, int, int]:
        """Empty rows above, and columns left and right, that the kernel reaches."""
        taps = self._taps(False)
        return -min(r for r, _ in taps), -min(c for _, c in taps), max(c for _, c in taps)

    def init(self, key: RandomKey, sites: int, inputs: int, outputs: int, dtype: np.dtype) -> dict[str, Any]:
        if math.prod(self._grid(sites)) != sites:
            raise ShapeError(
                "The grid of the convolution has another number of places than the space has sites.",
                got=f"extent={self.extent}, {sites} sites",
                expected="rows * columns = sites",
                try_="extent=lattice.extent",
            )
        sizes = [inputs, *[self.features] * (self.layers - 1), outputs]
        params = {}
        for k, draw in enumerate(jax.random.split(key, self.layers)):
            shape = (len(self._taps(k == 0)), sizes[k], sizes[k + 1])
            kernel = normal(draw, shape, dtype, (shape[0] * shape[1]) ** -0.5)
            params[f"layer{k}"] = {"kernel": kernel, "bias": jnp.zeros((sizes[k + 1],), dtype)}
        return params

    def evaluate(self, params: dict[str, Any], u: Array) -> Array:
        batch, sites, _ = u.shape
        rows, columns = self._grid(sites)
        above, left, right = self._margins
        y = u.reshape(batch, rows, columns, -1)
        for k in range(self.layers):
            y = jax.nn.selu(y) if k else y
            wide = jnp.pad(y, ((0, 0), (above, 0), (left, right), (0, 0)))
            seen = [wide[:, above + r : above + r + rows, left + c : left + c + columns] for r, c in self._taps(k == 0)]
            kernel, bias = params[f"layer{k}"]["kernel"], params[f"layer{k}"]["bias"]
            y = jnp.concatenate(seen, axis=-1) @ kernel.reshape(-1, kernel.shape[2]) + bias[None, None, None]
        return y.reshape(batch, sites, -1)

    def start(self, tables: Any, batch: int, sites: int) -> list[Array]:
        rows, columns = self._grid(sites)
        above, left, right = self._margins
        cells = (rows + above) * (columns + left + right)
        kernels = [tables[f"layer{k}"]["kernel"] for k in range(self.layers)]
        return [jnp.zeros((batch, cells * kernel.shape[1]), kernel.dtype) for kernel in kernels]

    def step(self, tables: Any, cache: list[Array], i: Array, last: Array) -> tuple[Array, list[Array]]:
        above, left, right = self._margins
        columns = None if self.extent is None else self.extent[1]
        stride = 0 if columns is None else columns + left + right  # a chain has one row

        def cell(place: Array) -> Array:
            if columns is None:
                return left + place
            return (above + place // columns) * stride + left + place % columns

        y, filled, zero = last, [], jnp.zeros_like(i)
        for k, known in enumerate(cache):
            y, width = jax.nn.selu(y) if k else y, y.shape[1]
            where = cell(i if k else jnp.maximum(i - 1, 0))
            filled.append(jax.lax.dynamic_update_slice(known, y, (zero, where * width)))
            kernel, bias = tables[f"layer{k}"]["kernel"], tables[f"layer{k}"]["bias"]
            pieces = [
                jax.lax.dynamic_slice(filled[-1], (zero, (cell(i) + first) * width), (y.shape[0], count * width))
                for first, count in _runs([r * stride + c for r, c in self._taps(k == 0)])
            ]
            y = jnp.concatenate(pieces, axis=1) @ kernel.reshape(-1, kernel.shape[2]) + bias[None]
        return y, filled


def _runs(offsets: list[int]) -> list[tuple[int, int]]:
    """Runs of neighbouring whole numbers: the first of each and its length."""
    runs: list[tuple[int, int]] = []
    for offset in offsets:
        if runs and offset == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((offset, 1))
    return runs


def check_positive(settings: Any, *names: str) -> None:
    """Raise unless the named settings are whole numbers >= 1.

    Raises:
        ShapeError: one is not.
    """
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ShapeError(
                f"A {type(settings).__name__} has whole numbers of {name}.",
                got=f"{name}={value!r}",
                expected="an int >= 1",
                try_=f"{name}=2",
            )
