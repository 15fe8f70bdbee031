"""Networks on sequences with a memory: a gated linear recurrence by parallel scan, and attention with cached keys."""

import dataclasses
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ShapeError
from qml._core.types import Array, RandomKey
from qml.ansatz.causal import CausalNetwork, check_positive
from qml.ansatz.layers import normal


@final
@dataclasses.dataclass(frozen=True)
class CausalRNN(CausalNetwork):
    r"""Residual layers of a gated linear recurrence (minGRU).

    $h_i = (1 - z_i)\, h_{i-1} + z_i \tanh(V y_i + b)$ with $z_i = \sigma(U y_i + a)$, and $y_i \leftarrow y_i + W h_i$.
    The gates do not see $h$, so whole sequences are evaluated by a parallel scan of logarithmic depth.

    Args:
        layers: number of layers, >= 1.
        features: width, >= 1.

    Raises:
        ShapeError: a size is out of range.

    Example:
        >>> from flax import nnx
        >>> import qml
        >>> network = qml.ansatz.CausalRNN(layers=1, features=4)
        >>> model = qml.ansatz.Autoregressive(qml.hilbert.Spin(4), network, rngs=nnx.Rngs(0))

    Source: Feng et al., arXiv:2410.01201; recurrent wave functions: Hibat-Allah et al., arXiv:2002.02973.
    """

    layers: int = 2
    features: int = 32

    def __post_init__(self):
        check_positive(self, "layers", "features")

    def init(self, key: RandomKey, sites: int, inputs: int, outputs: int, dtype: np.dtype) -> dict[str, Any]:
        width = self.features
        first, *keys = jax.random.split(key, self.layers + 1)
        params = _ends(first, sites, inputs, width, outputs, dtype)
        for k, draw in enumerate(keys):
            gate, candidate, out = jax.random.split(draw, 3)
            params[f"layer{k}"] = {
                "gate": normal(gate, (width, width), dtype, width**-0.5),
                "gate_bias": jnp.zeros((width,), dtype),
                "candidate": normal(candidate, (width, width), dtype, width**-0.5),
                "candidate_bias": jnp.zeros((width,), dtype),
                "out": normal(out, (width, width), dtype, width**-0.5),
            }
        return params

    def evaluate(self, params: dict[str, Any], u: Array) -> Array:
        y = _shifted(u) @ params["embed"] + params["position"][None]
        for k in range(self.layers):
            z, new = _gates(params[f"layer{k}"], y)
            y = y + _recurrence(1 - z, z * new) @ params[f"layer{k}"]["out"]
        return y @ params["head"] + params["bias"][None, None]

    def start(self, tables: Any, batch: int, sites: int) -> list[Array]:
        return [jnp.zeros((batch, self.features), tables["head"].dtype) for _ in range(self.layers)]

    def step(self, tables: Any, cache: list[Array], i: Array, last: Array) -> tuple[Array, list[Array]]:
        y, memories = last @ tables["embed"] + tables["position"][i][None], []
        for k, memory in enumerate(cache):
            z, new = _gates(tables[f"layer{k}"], y)
            memories.append((1 - z) * memory + z * new)
            y = y + memories[-1] @ tables[f"layer{k}"]["out"]
        return y @ tables["head"] + tables["bias"][None], memories


def _gates(layer: dict[str, Array], y: Array) -> tuple[Array, Array]:
    """The gate and the candidate of each place."""
    gate = jax.nn.sigmoid(y @ layer["gate"] + _wide(layer["gate_bias"], y))
    return gate, jnp.tanh(y @ layer["candidate"] + _wide(layer["candidate_bias"], y))


def _recurrence(keep: Array, add: Array) -> Array:
    """$h_i = k_i h_{i-1} + a_i$ along the second axis, $h_{-1} = 0$, by a parallel scan."""

    def after(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
        return first[0] * second[0], second[0] * first[1] + second[1]

    return jax.lax.associative_scan(after, (keep, add), axis=1)[1]


@final
@dataclasses.dataclass(frozen=True)
class CausalTransformer(CausalNetwork):
    r"""Transformer with causal attention.

    Layers of $y \leftarrow y + \mathrm{Att}(\mathrm{LN}\,y)$ and $y \leftarrow y + \mathrm{MLP}(\mathrm{LN}\,y)$.
    Steps keep the keys and values of the places before, so that each place attends once.

    Args:
        layers: number of layers, >= 1.
        features: width, a multiple of `heads`.
        heads: attention heads, >= 1.
        widening: width of the MLP in units of `features`, >= 1.

    Raises:
        ShapeError: a size is out of range.

    Example:
        >>> from flax import nnx
        >>> import qml
        >>> network = qml.ansatz.CausalTransformer(layers=1, features=4, heads=2)
        >>> model = qml.ansatz.Autoregressive(qml.hilbert.Spin(4), network, rngs=nnx.Rngs(0))

    Source: Vaswani et al., arXiv:1706.03762; Zhang and Di Ventra, Phys. Rev. B 107, 075147 (2023), arXiv:2208.01758.
    """

    layers: int = 2
    features: int = 32
    heads: int = 4
    widening: int = 2

    def __post_init__(self):
        check_positive(self, "layers", "features", "heads", "widening")
        if self.features % self.heads:
            raise ShapeError(
                "The heads of a transformer share its features.",
                got=f"features={self.features}, heads={self.heads}",
                expected="a multiple of heads",
                try_=f"features={self.heads * (self.features // self.heads + 1)}",
            )

    def init(self, key: RandomKey, sites: int, inputs: int, outputs: int, dtype: np.dtype) -> dict[str, Any]:
        width, inner = self.features, self.widening * self.features
        first, *keys = jax.random.split(key, self.layers + 1)
        params = _ends(first, sites, inputs, width, outputs, dtype) | {"norm": _norm(width, dtype)}
        for k, draw in enumerate(keys):
            attention, out, up, down = jax.random.split(draw, 4)
            params[f"layer{k}"] = {
                "before": _norm(width, dtype),
                "attention": normal(attention, (width, 3 * width), dtype, width**-0.5),
                "out": normal(out, (width, width), dtype, width**-0.5),
                "between": _norm(width, dtype),
                "up": normal(up, (width, inner), dtype, width**-0.5),
                "up_bias": jnp.zeros((inner,), dtype),
                "down": normal(down, (inner, width), dtype, inner**-0.5),
            }
        return params

    def evaluate(self, params: dict[str, Any], u: Array) -> Array:
        y = _shifted(u) @ params["embed"] + params["position"][None]
        batch, sites, _ = y.shape
        past = np.tril(np.ones((sites, sites), bool))[None, None]
        for k in range(self.layers):
            layer = params[f"layer{k}"]
            mixed = _normed(layer["before"], y) @ layer["attention"]
            query, key, value = (m.reshape(batch, sites, self.heads, -1) for m in jnp.split(mixed, 3, axis=2))
            scores = jnp.einsum("bihf,bjhf->bhij", query, key) * query.shape[-1] ** -0.5
            share = jax.nn.softmax(jnp.where(past, scores, -jnp.inf), axis=-1)
            y = y + jnp.einsum("bhij,bjhf->bihf", share, value).reshape(y.shape) @ layer["out"]
            y = _mlp(layer, y)
        return _normed(params["norm"], y) @ params["head"] + params["bias"][None, None]

    def start(self, tables: Any, batch: int, sites: int) -> list[tuple[Array, Array]]:
        empty = jnp.zeros((batch, self.heads, sites, self.features // self.heads), tables["head"].dtype)
        return [(empty, empty) for _ in range(self.layers)]

    def step(self, tables: Any, cache: list[tuple[Array, Array]], i: Array, last: Array) -> tuple[Array, list]:
        y, filled, zero = last @ tables["embed"] + tables["position"][i][None], [], jnp.zeros_like(i)
        for k, known in enumerate(cache):
            layer, shape = tables[f"layer{k}"], (y.shape[0], self.heads, 1, -1)
            mixed = _normed(layer["before"], y) @ layer["attention"]
            query, *new = (m.reshape(shape) for m in jnp.split(mixed, 3, axis=1))
            place = (zero, zero, i, zero)
            keys, values = (jax.lax.dynamic_update_slice(a, b, place) for a, b in zip(known, new, strict=True))
            filled.append((keys, values))
            scores = jnp.einsum("bhif,bhjf->bhij", query, keys) * query.shape[-1] ** -0.5
            past = (jnp.arange(keys.shape[2]) <= i)[None, None, None]
            share = jax.nn.softmax(jnp.where(past, scores, -jnp.inf), axis=-1)
            y = y + jnp.einsum("bhij,bhjf->bhif", share, values).reshape(y.shape) @ layer["out"]
            y = _mlp(layer, y)
        return _normed(tables["norm"], y) @ tables["head"] + tables["bias"][None], filled


def _ends(key: RandomKey, sites: int, inputs: int, width: int, outputs: int, dtype: np.dtype) -> dict[str, Any]:
    """Parameters of the embedding with a vector for each place, and of the head."""
    embed, position, head = jax.random.split(key, 3)
    return {
        "embed": normal(embed, (inputs, width), dtype, inputs**-0.5),
        "position": normal(position, (sites, width), dtype, 0.1),
        "head": normal(head, (width, outputs), dtype, width**-0.5),
        "bias": jnp.zeros((outputs,), dtype),
    }


def _shifted(u: Array) -> Array:
    """Each place gets the input of the place before it, the first zeros."""
    return jnp.pad(u, ((0, 0), (1, 0), (0, 0)))[:, :-1]


def _norm(width: int, dtype: np.dtype) -> dict[str, Array]:
    return {"scale": jnp.ones((width,), dtype), "shift": jnp.zeros((width,), dtype)}


def _normed(norm: dict[str, Array], y: Array) -> Array:
    centred = y - jnp.mean(y, axis=-1, keepdims=True)
    spread = jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-6)
    return centred * spread * _wide(norm["scale"], y) + _wide(norm["shift"], y)


def _mlp(layer: dict[str, Any], y: Array) -> Array:
    inner = _normed(layer["between"], y) @ layer["up"]
    return y + jax.nn.gelu(inner + _wide(layer["up_bias"], inner)) @ layer["down"]


def _wide(vector: Array, y: Array) -> Array:
    """A vector of the last axis, broadcast explicitly."""
    return vector.reshape((1,) * (y.ndim - 1) + vector.shape)
