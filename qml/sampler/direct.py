"""Independent samples of |psi|^2 from the list of all configurations."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from qml._core.errors import ShapeError, SpaceError
from qml._core.types import Array, Int, Params
from qml.ansatz.bridge import Ansatz
from qml.sampler.base import IndependentSampler, SamplerState

_LIMIT = 2**20


class ExactSampler(IndependentSampler):
    r"""Independent draws from $|\psi(x)|^2$, normalised by a sum over all configurations; for small spaces.

    Args:
        hilbert: the space, of at most 1048576 configurations.
        chains: number of independent chains, >= 1.

    Raises:
        SpaceError: the space is too large.
        ShapeError: there is no chain.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from qml.ansatz import to_ansatz
        >>> from qml.hilbert import Spin
        >>> from qml.sampler import ExactSampler
        >>> ansatz, params = to_ansatz((jnp.zeros(4), lambda params, x: x @ params), Spin(4))
        >>> sampler = ExactSampler(Spin(4), chains=8)
        >>> sampler.sample(ansatz, params, sampler.init(ansatz, params, jax.random.key(0)), 5)[1].shape
        (5, 8, 4)
    """

    hilbert: Any = eqx.field(static=True)
    chains: int = eqx.field(static=True)

    def __init__(self, hilbert: Any, *, chains: int = 16):
        if hilbert.size > _LIMIT:
            raise SpaceError(
                "This space is too large to list.",
                got=f"{hilbert.size} configurations",
                expected=f"at most {_LIMIT}",
                try_="qml.sampler.Metropolis(rule, hilbert)",
            )
        if chains < 1:
            raise ShapeError("A sampler has at least one chain.", got=chains, expected="an int >= 1", try_="chains=16")
        self.hilbert, self.chains = hilbert, chains

    def sample(
        self, ansatz: Ansatz, params: Params, state: SamplerState, length: int, burn: int | Int[Array, ""] = 0
    ) -> tuple[SamplerState, Int[Array, "length chains sites"]]:
        """`length` independent configurations of each chain; nothing has to be thrown away, so `burn` has no effect."""
        return _sample(self, ansatz, params, state, length)


@jax.jit(static_argnums=(1, 4))
def _sample(
    sampler: ExactSampler, ansatz: Ansatz, params: Params, state: SamplerState, length: int
) -> tuple[SamplerState, Array]:
    key, draw = jax.random.split(state.key)
    states = sampler.hilbert.all_states()
    log_psi = ansatz.log_psi(params, states)
    index = jax.random.categorical(draw, 2 * log_psi.real, shape=(length, sampler.chains))
    x = states[index]
    moves = jnp.full((sampler.chains,), length, jnp.int32)
    return SamplerState(x[-1], log_psi[index[-1]], key, moves, jnp.asarray(length, jnp.int32)), x
