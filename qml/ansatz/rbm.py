"""Restricted Boltzmann machine."""

import dataclasses
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from qml._core.errors import ShapeError
from qml._core.types import Array, Params
from qml.ansatz.combine import Combinable
from qml.ansatz.layers import log_cosh, normal, parameter_dtype, sites_of
from qml.ansatz.updates import LocalUpdate, rows_at, values_at

_ROW = 32  # numbers whose product XLA takes in one go


class RBM(Combinable, nnx.Module):
    r"""Restricted Boltzmann machine with `alpha * sites` hidden units.

    $\log\psi(x) = \sum_i a_i x_i + \sum_j \log\cosh\bigl(b_j + \sum_i x_i W_{ij}\bigr)$.

    Args:
        space: a space, or the number of sites.
        alpha: hidden units per site, > 0.
        dtype: of the parameters; complex ones let the wave function have phases.
        std: standard deviation of the initial parameters.
        rngs: random streams of Flax.

    Raises:
        ShapeError: fewer than one hidden unit.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from qml.ansatz import RBM
        >>> RBM(4, alpha=2, dtype=complex, rngs=nnx.Rngs(0))(jnp.ones((3, 4))).shape
        (3,)

    Source: Carleo and Troyer, Science 355, 602 (2017), arXiv:1606.02318.
    """

    def __init__(
        self, space: Any, alpha: float | int = 1, dtype: Any = float, *, std: float | int = 0.01, rngs: nnx.Rngs
    ):
        sites = sites_of(space)
        hidden = round(alpha * sites)
        if hidden < 1:
            raise ShapeError(
                "An RBM has at least one hidden unit.",
                got=f"alpha={alpha} on {sites} sites",
                expected="alpha > 0",
                try_="alpha=1",
            )
        dtype = parameter_dtype(dtype, "RBM")
        self.visible_bias = nnx.Param(normal(rngs.params, (sites,), dtype, std))
        self.hidden_bias = nnx.Param(normal(rngs.params, (hidden,), dtype, std))
        self.kernel = nnx.Param(normal(rngs.params, (sites, hidden), dtype, std))

    def __call__(self, x: Array) -> Array:
        a, b, w = self.visible_bias[...], self.hidden_bias[...], self.kernel[...]
        return x @ a + jnp.sum(log_cosh(x @ w + b[None, :]), axis=-1)

    def local_update(self, hilbert: Any) -> LocalUpdate | None:
        """Ratios from the running angles of the hidden units, on sites with two states."""
        kinds = {tuple(sorted(states)) for states in hilbert.site_states}  # sites of a product may differ
        low, *others = kinds.pop()
        return RBMUpdate(low, others[0]) if not kinds and len(others) == 1 else None


@final
@dataclasses.dataclass(frozen=True)
class RBMUpdate(LocalUpdate):
    r"""With $t_j = \tanh\theta_j$, a change of the angles by $D_j$ has

    $$\frac{\cosh(\theta_j + D_j)}{\cosh\theta_j} = \cosh D_j\,(e_j + t_j o_j), \qquad
      t_j' = \frac{t_j e_j + o_j}{e_j + t_j o_j}, \qquad e_j = 1,\; o_j = \tanh D_j ,$$

    so with tables of $o$ and of $\sum_j \log\cosh D_j$ for $D = (high - low)\, W_i$ a move needs no transcendental
    function of the hidden units. Moves of several sites add their angles by $e = e_1 e_2 + o_1 o_2$, $o = o_1 e_2 +
    e_1 o_2$ before they meet $t$. Complex angles may be at a zero of $\cosh$: there $e = \cosh D$ and $o = \sinh D$
    without the factor, so that no number here has a pole but where $\psi(x') = 0$.

    The hidden units are filled up, with units that do nothing, to a number that can be halved until it is at most 32:
    products over them are taken by halves, which the compiler merges with what goes before.
    """

    low: int = -1
    high: int = 1

    def prepare(self, params: Params) -> dict[str, Any]:
        width = self.high - self.low
        more = -params["kernel"].shape[1] % _parts(params["kernel"].shape[1])
        kernel = jnp.pad(params["kernel"], ((0, 0), (0, more)))
        angles, odd = width * kernel, width * params["visible_bias"]
        even, turn, logs = _moves(angles)
        way = jnp.array([-1.0, 0.0, 1.0], angles.real.dtype)[:, None, None]  # to the lower state, none, to the higher
        logarithms = jnp.abs(way) * logs[None] + way * odd[None, :, None]
        ways = [logarithms, jnp.where(way == 0, 1.0, even[None]), way * turn[None]]
        return {
            "bias": jnp.pad(params["hidden_bias"], (0, more)),
            "kernel": kernel,
            "angles": angles,
            "odd": odd,
            "single": (even, turn, logs),
            "moves": jnp.concatenate(ways, axis=2).reshape(3 * len(odd), -1),
        }

    def reliable(self, tables: dict[str, Any]) -> Array:
        size = jnp.abs(tables["angles"])  # rounding grows like cosh(D)^2; products must not overflow for four sites
        longest = 0.17 * jnp.finfo(size.dtype).maxexp
        return (jnp.max(size) < 3.0) & (jnp.max(jnp.sum(size, axis=1)) < longest)

    def init(self, tables: dict[str, Any], x: Array) -> Array:
        w = tables["kernel"]
        return jnp.tanh(x.astype(w.real.dtype) @ w + tables["bias"][None, :])

    def step(self, tables: dict[str, Any], cache: Array, x: Array, sites: Array, values: Array) -> tuple[Array, Array]:
        real, hidden = cache.real.dtype, cache.shape[1]
        even, odd, logs = jnp.ones((), real), jnp.zeros((), real), jnp.zeros((), real)
        way = jnp.sign(values - values_at(x, sites)).astype(jnp.int32)  # -1, 0 or 1
        for i in range(sites.shape[1]):
            move = rows_at(tables["moves"], (way[:, i] + 1) * x.shape[1] + sites[:, i].astype(jnp.int32))
            more, turn = move[:, 1:-hidden] if move.shape[1] > hidden + 1 else 1.0, move[:, -hidden:]
            even, odd = (more, turn) if i == 0 else (even * more + odd * turn, odd * more + even * turn)
            logs = logs + move[:, 0]
        factors = even + cache * odd
        return jnp.log(_product(factors)) + logs, (cache * even + odd) / factors

    def sum_ratios(
        self, tables: dict[str, Any], cache: Array, x: Array, moves: np.ndarray, elements: Array, total: int = 0
    ) -> Array:
        if moves.shape[1] > 2:
            return super().sum_ratios(tables, cache, x, moves, elements, total)
        real, width = cache.real.dtype, self.high - self.low
        present = jnp.asarray(moves >= 0, real) if np.any(moves < 0) else None
        if moves.shape[1] == 1:
            all_ = np.array_equal(moves[:, 0], np.arange(x.shape[1]))
            pairs = [t if all_ else t[moves[:, 0]] for t in tables["single"]]
        else:
            turned = [tables["angles"][moves[:, i]] for i in range(2)]
            first, last = turned if present is None else (t * present[:, i, None] for i, t in enumerate(turned))
            pairs = _moves(jnp.stack([first + last, first - last], axis=1))  # the same way, or opposite ways

        def group(ratios: Array, inputs: tuple) -> tuple[Array, None]:
            move, here, element, *pairs = inputs
            now = jnp.take(x, jnp.maximum(move, 0), axis=1)
            signs = ((total - 2 * now) // width).astype(real)
            signs = signs if here is None else signs * here[None, :]
            opposite = (signs[:, 0] * signs[:, -1] < 0).astype(jnp.int32)
            even, turn, logs = (t[None] if len(move) == 1 else rows_at(t, opposite) for t in pairs)
            product = _product((even if even.shape[1] else 1.0) + cache * (signs[:, :1] * turn))
            logs = logs[:, 0] + sum(signs[:, i] * tables["odd"][jnp.maximum(move[i], 0)] for i in range(move.shape[0]))
            return ratios + element * (product * jnp.exp(logs)).astype(ratios.dtype), None

        start = jnp.zeros(x.shape[0], jnp.result_type(cache.dtype, elements.dtype))
        inputs = (jnp.asarray(moves), present, elements.T, *pairs)
        return jax.lax.scan(group, start, inputs)[0]


def _moves(angles: Array) -> tuple[Array, Array, Array]:
    """What angles do: $e$ (of no length where it is one) and $o$ of each hidden unit, and the log of their factor."""
    if jnp.iscomplexobj(angles):
        return jnp.cosh(angles), jnp.sinh(angles), jnp.zeros_like(angles[..., :1])
    return angles[..., :0], jnp.tanh(angles), jnp.sum(log_cosh(angles), axis=-1, keepdims=True)


def _parts(width: int) -> int:
    """The power of two by which a number of hidden units is to be divided, so that 32 or fewer are left."""
    parts = 1
    while -(-width // parts) > _ROW:
        parts *= 2
    return parts


def _product(factors: Array) -> Array:
    """Product over the last axis, by halves until few are left."""
    while factors.shape[-1] > _ROW:
        half = factors.shape[-1] // 2
        factors = factors[..., :half] * factors[..., half:]
    return jnp.prod(factors, axis=-1)
