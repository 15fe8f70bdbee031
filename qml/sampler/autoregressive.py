"""Independent samples of autoregressive wave functions, site by site with a cache."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from qml._core.chunk import map_chunks
from qml._core.errors import ShapeError, SpaceError
from qml._core.precision import real_dtype
from qml._core.types import Array, Int, Params
from qml.ansatz.bridge import Ansatz
from qml.ansatz.conditionals import Alphabet, Conditionals
from qml.sampler.base import IndependentSampler, SamplerState

_MEMORY = 2**28  # bytes of caches held at once


class DirectSampler(IndependentSampler):
    r"""Independent draws from the conditionals of an autoregressive ansatz.

    All configurations of a call are drawn side by side in one loop over the sites. Each step works with a cache, so
    that the loop costs about as much as one evaluation of log psi.

    Args:
        hilbert: the space.
        chains: number of configurations in the state, >= 1. All are independent, whatever this number.

    Raises:
        ShapeError: there is no chain.

    Example:
        >>> import jax
        >>> from flax import nnx
        >>> import qml
        >>> space = qml.hilbert.Boson(4, n_max=2, n_particles=3)
        >>> model = qml.ansatz.Autoregressive(space, qml.ansatz.CausalDense(layers=2, features=4), rngs=nnx.Rngs(0))
        >>> ansatz, params = qml.ansatz.to_ansatz(model, space)
        >>> sampler = qml.sampler.DirectSampler(space, chains=8)
        >>> state, x = sampler.sample(ansatz, params, sampler.init(ansatz, params, jax.random.key(0)), 5)
        >>> x.shape, set(x.sum(axis=-1).reshape(-1).tolist())
        ((5, 8, 4), {3})

    Source: Sharir et al., Phys. Rev. Lett. 124, 020503 (2020), arXiv:1902.04057.
    """

    hilbert: Any = eqx.field(static=True)
    chains: int = eqx.field(static=True)

    def __init__(self, hilbert: Any, *, chains: int = 16):
        if chains < 1:
            raise ShapeError("A sampler has at least one chain.", got=chains, expected="an int >= 1", try_="chains=16")
        self.hilbert, self.chains = hilbert, chains

    def sample(
        self, ansatz: Ansatz, params: Params, state: SamplerState, length: int, burn: int | Int[Array, ""] = 0
    ) -> tuple[SamplerState, Int[Array, "length chains sites"]]:
        """`length` independent configurations of each chain; nothing has to be thrown away, so `burn` has no effect.

        Raises:
            SpaceError: the ansatz has no conditionals on this space.
        """
        if ansatz.conditionals is None:
            raise SpaceError(
                "Only an ansatz that is a product of conditionals on exactly this space can be sampled directly.",
                got=f"{ansatz} on {self.hilbert}",
                expected="an Autoregressive model made for the space of the state",
                try_="qml.sampler.default_sampler(hilbert)",
            )
        return _sample(self, ansatz, params, state, length)


@jax.jit(static_argnums=(1, 4))
def _sample(
    sampler: DirectSampler, ansatz: Ansatz, params: Params, state: SamplerState, length: int
) -> tuple[SamplerState, Array]:
    key, draw = jax.random.split(state.key)
    rule = ansatz.conditionals
    assert rule is not None
    tables, rows = rule.prepare(params), length * sampler.chains
    uniforms = jax.random.uniform(draw, (rows, ansatz.n_sites), real_dtype())
    held = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(jax.eval_shape(lambda: rule.init(tables, 1))))
    digits = map_chunks(lambda u: _digits(rule, tables, u), uniforms, chunk=max(1, _MEMORY // held))
    x = Alphabet(sampler.hilbert, rule.order).configurations(digits).reshape(length, sampler.chains, -1)
    moves = jnp.full((sampler.chains,), length, jnp.int32)
    log_psi = ansatz.log_psi(params, x[-1])
    return SamplerState(x[-1], log_psi, key, moves, jnp.asarray(length, jnp.int32)), x


def _digits(rule: Conditionals, tables: Any, uniforms: Array) -> Array:
    """Numbers of local states `[rows, sites]` in the order visited, from uniform numbers of the same shape."""

    def visit(carry: tuple[Any, Array], inputs: tuple[Array, Array]) -> tuple[tuple[Any, Array], Array]:
        (cache, last), (k, u) = carry, inputs
        log_p, cache = rule.step(tables, cache, k, last)
        below = jnp.cumsum(jnp.exp(log_p).astype(u.dtype), axis=1)
        # a state of probability zero is never reached: behind the last possible one nothing is below the total
        passed = (below <= u[:, None] * below[:, -1:]) & (below < below[:, -1:])
        digit = jnp.sum(passed, axis=1, dtype=jnp.int32)
        return (cache, digit), digit

    rows, sites = uniforms.shape
    start = (rule.init(tables, rows), jnp.zeros((rows,), jnp.int32))
    _, digits = jax.lax.scan(visit, start, (jnp.arange(sites, dtype=jnp.int32), uniforms.T))
    return digits.T
