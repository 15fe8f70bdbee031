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
from qml.ansatz.updates import LocalUpdate


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
        self.visible_bias = nnx.Param(normal(rngs.params(), (sites,), dtype, std))
        self.hidden_bias = nnx.Param(normal(rngs.params(), (hidden,), dtype, std))
        self.kernel = nnx.Param(normal(rngs.params(), (sites, hidden), dtype, std))

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

    $$\frac{\cosh(\theta_j + D_j)}{\cosh\theta_j} = C_j + t_j S_j, \qquad t_j' = \frac{t_j C_j + S_j}{C_j + t_j S_j},
      \qquad C_j = \cosh D_j,\; S_j = \sinh D_j ,$$

    so with tables for $D = (high - low)\, W_i$ a move needs no transcendental function of the hidden units. Moves of
    several sites add their angles by $C = C_1 C_2 + S_1 S_2$, $S = S_1 C_2 + C_1 S_2$ before they meet $t$, so that no
    number here has a pole but where $\psi(x') = 0$.
    """

    low: int = -1
    high: int = 1

    def prepare(self, params: Params) -> dict[str, Array]:
        width = self.high - self.low
        angles = width * params["kernel"]
        return {
            "bias": params["hidden_bias"],
            "kernel": params["kernel"],
            "angles": angles,
            "cosh": jnp.cosh(angles),
            "sinh": jnp.sinh(angles),
            "odd": width * params["visible_bias"],
        }

    def reliable(self, tables: dict[str, Array]) -> Array:
        size = jnp.abs(tables["angles"])  # rounding grows like cosh(D)^2; products must not overflow for four sites
        longest = 0.17 * jnp.finfo(size.dtype).maxexp
        return (jnp.max(size) < 3.0) & (jnp.max(jnp.sum(size, axis=1)) < longest)

    def init(self, tables: dict[str, Array], x: Array) -> Array:
        w = tables["kernel"]
        return jnp.tanh(x.astype(w.real.dtype) @ w + tables["bias"][None, :])

    def step(
        self, tables: dict[str, Array], cache: Array, x: Array, sites: Array, values: Array
    ) -> tuple[Array, Array]:
        logs = jnp.zeros(x.shape[0], cache.dtype)
        cosh, sinh = jnp.ones((), cache.dtype), jnp.zeros((), cache.dtype)
        for i in range(sites.shape[1]):
            site = sites[:, i]
            here = jnp.take_along_axis(x, site[:, None], axis=1)[:, 0]
            sign = ((values[:, i] - here) // (self.high - self.low)).astype(cache.real.dtype)  # -1, 0 or 1
            more, turn = tables["cosh"][site], sign[:, None] * tables["sinh"][site]
            more = jnp.where(sign[:, None] == 0, 1.0, more)
            cosh, sinh = (more, turn) if i == 0 else (cosh * more + sinh * turn, sinh * more + cosh * turn)
            logs = logs + sign * tables["odd"][site]
        factors = cosh + cache * sinh
        return jnp.log(jnp.prod(factors, axis=1)) + logs, (cache * cosh + sinh) / factors

    def sum_ratios(
        self, tables: dict[str, Array], cache: Array, x: Array, moves: np.ndarray, elements: Array, total: int = 0
    ) -> Array:
        if moves.shape[1] > 2:
            return super().sum_ratios(tables, cache, x, moves, elements, total)
        real, width = cache.real.dtype, self.high - self.low
        present = jnp.asarray(moves >= 0, real)
        first = present[:, 0, None] * tables["angles"][moves[:, 0]]
        last = present[:, 1, None] * tables["angles"][moves[:, 1]] if moves.shape[1] == 2 else jnp.zeros_like(first)
        both = jnp.stack([first + last, first - last], axis=1)  # two sites go the same way, or opposite ways

        def group(ratios: Array, inputs: tuple) -> tuple[Array, None]:
            move, here, element, *pairs = inputs
            now = jnp.take(x, jnp.maximum(move, 0), axis=1)
            signs = ((total - 2 * now) // width).astype(real) * here[None, :]
            same = (signs[:, 0] * signs[:, -1] >= 0)[:, None]
            even, turn = (t[0][None] if len(move) == 1 else jnp.where(same, t[0][None], t[1][None]) for t in pairs)
            product = jnp.prod(even + cache * (signs[:, :1] * turn), axis=1)
            logs = sum(signs[:, i] * tables["odd"][jnp.maximum(move[i], 0)] for i in range(move.shape[0]))
            return ratios + element * (product * jnp.exp(logs)).astype(ratios.dtype), None

        start = jnp.zeros(x.shape[0], jnp.result_type(cache.dtype, elements.dtype))
        inputs = (jnp.asarray(moves), present, elements.T, jnp.cosh(both), jnp.sinh(both))
        return jax.lax.scan(group, start, inputs)[0]
