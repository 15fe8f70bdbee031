"""A wave function with Markov chains."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.compile import once
from qml._core.errors import ShapeError
from qml._core.types import Array, Int, Params, RandomKey
from qml.ansatz.bridge import Ansatz, to_ansatz
from qml.estimate.health import Health, health
from qml.estimate.samples import Samples
from qml.sampler.base import AbstractSampler, SamplerState, check_updates
from qml.sampler.library import default_sampler
from qml.state.base import AbstractState, refused


class MCState(AbstractState):
    r"""A wave function $\psi_\theta$ whose expectation values are means over Markov chains.

    A record: `sample` returns a new state and changes nothing, so the same state always gives the same samples.

    Args:
        model: anything that `qml.ansatz.to_ansatz` takes.
        hilbert: the space.
        samples: configurations of one estimate, >= 1; rounded up to a whole number of each chain.
        chains: number of chains; `None` is that of `sampler`, or 16.
        key: random key, for the chains and for a model that is not initialised.
        sampler: `None` chooses one that fits the space.
        chunk: rows held at once in network calls; `None` plans it from the size of the network.
        burn: sweeps thrown away before each estimate; `None` is a tenth of those kept, at least one. (The chains were
            thermalised by the sampler once; this lets them follow a change of the parameters.)
        capacity: most samples that a program of this state holds, >= `samples`; `None` is `samples`. States of one
            capacity share their programs whatever their samples, see `with_samples`. What is not drawn costs no
            sweeps and no connected configurations, but memory and its rows of the metric. For Markov chains.

    Raises:
        SpaceError: the sampler was made for another space, or none fits it.
        ShapeError: a size is out of range, or the model does not return one log psi a row.
        GradketError: the model's local updates disagree with its network, here or in a later call.

    Example:
        >>> import jax
        >>> from flax import nnx
        >>> import qml
        >>> space = qml.hilbert.Spin(4)
        >>> state = qml.MCState(qml.ansatz.RBM(space, rngs=nnx.Rngs(0)), space, samples=100, key=jax.random.key(1))
        >>> state.n_samples, state.length, state.chains
        (112, 7, 16)
        >>> stats = state.expect(qml.operator.total(space, "X"))
        >>> abs(float(stats.mean) - 4) < 0.1
        True
    """

    ansatz: Ansatz = eqx.field(static=True)
    hilbert: Any = eqx.field(static=True)
    sampler: AbstractSampler
    length: int = eqx.field(static=True)
    burn: int | None = eqx.field(static=True)
    chunk: int | None = eqx.field(static=True)
    params: Params
    sampler_state: SamplerState
    used: Int[Array, ""] | None

    def __init__(
        self,
        model: Any,
        hilbert: Any,
        samples: int = 1024,
        chains: int | None = None,
        *,
        key: RandomKey,
        sampler: AbstractSampler | None = None,
        chunk: int | None = None,
        burn: int | None = None,
        capacity: int | None = None,
    ):
        if samples < 1 or (chains is not None and chains < 1) or (burn is not None and burn < 0):
            raise ShapeError(
                "A state has samples >= 1, chains >= 1 and burn >= 0.",
                got=f"samples={samples}, chains={chains}, burn={burn}",
                expected="positive sizes",
                try_="MCState(model, hilbert, samples=1024, chains=16, key=key)",
            )
        model_key, chain_key = _two(key)
        self.ansatz, self.params = to_ansatz(model, hilbert, key=model_key)
        if sampler is None:
            sampler = default_sampler(hilbert, 16 if chains is None else chains, self.ansatz)
        elif chains is not None and chains != sampler.chains:
            raise ShapeError(
                "The sampler has another number of chains.",
                got=f"chains={chains}, sampler.chains={sampler.chains}",
                expected="the same number",
                try_="leave chains out where a sampler is given",
            )
        sampler.check_space(hilbert)
        self.hilbert, self.sampler, self.chunk = hilbert, sampler, chunk
        if capacity is not None and (sampler.independent or capacity < samples):
            raise ShapeError(
                "A capacity is for Markov chains, and not below the samples.",
                got=f"capacity={capacity}, samples={samples} and {type(sampler).__name__}",
                expected="capacity >= samples, or None",
                try_="capacity=None",
            )
        self.length = -(-(samples if capacity is None else capacity) // sampler.chains)
        self.used = None if capacity is None else _sweeps(samples, sampler.chains)
        self.burn = max(1, self.length // 10) if burn is None and capacity is None else burn
        self.sampler_state = sampler.init(self.ansatz, self.params, chain_key)
        check_updates(refused(self))

    @property
    def chains(self) -> int:
        """Number of chains."""
        return self.sampler.chains

    @property
    def n_samples(self) -> int:
        """Configurations of one estimate."""
        return self.chains * (self.length if self.used is None else int(self.used))

    def with_samples(self, samples: int) -> "MCState":
        """The same state with another number of samples, within its capacity: nothing is compiled anew.

        Args:
            samples: configurations of one estimate, >= 1; rounded up to a whole number of each chain.

        Raises:
            ShapeError: the state has no capacity, or a smaller one.
        """
        most = 0 if self.used is None else self.length * self.chains
        if not 1 <= samples <= most:
            raise ShapeError(
                "The number of samples is out of the capacity of this state.",
                got=f"samples={samples}",
                expected=f"1 to {most}" if most else "a state with a capacity",
                try_="MCState(..., samples=512, capacity=4096)",
            )
        return eqx.tree_at(lambda s: s.used, self, _sweeps(samples, self.chains))

    def sample(self) -> tuple["MCState", Samples]:
        r"""Draw configurations with the present parameters.

        Returns:
            The state with its chains moved on, and the samples: weight $1/N$ each, or in proportion to
            $|\psi|^{2-n}$ where the sampler draws from $|\psi|^n$.
        """
        state, samples = _sample(self)
        check_updates(refused(state))
        return state, samples

    def fresh(self, key: RandomKey) -> "MCState":
        """The same wave function with new chains, from uniformly random configurations and thermalised again.

        Chains that have followed an optimisation may be stuck together where nobody sees it. Final numbers come from
        new ones.
        """
        chains = self.sampler.init(self.ansatz, self.params, key)
        state = eqx.tree_at(lambda s: s.sampler_state, self, chains)
        check_updates(refused(state))
        return state

    def health(self, samples: Samples, local: Any = None, *, mean_field: float | int | Array = 0.0) -> Health:
        """Diagnose samples that came with this state, see `qml.estimate.health.health`."""
        return health(self, samples, local, mean_field=mean_field)


@partial(once, light=True)
def _two(key: Array) -> tuple[Array, Array]:
    """Two keys of one, by one program."""
    first, second = jax.random.split(key)
    return first, second


@jax.jit
def _sample(state: MCState) -> tuple[MCState, Samples]:
    chains = eqx.tree_at(lambda s: s.key, state.sampler_state, jax.random.clone(state.sampler_state.key))
    burn: Any = state.burn
    idle, used = 0, None
    if state.used is not None:  # the sweeps that are not drawn are taken off the burn-in, and the first rows stay empty
        burn = jnp.maximum(1, state.used // 10) if burn is None else burn
        idle, used = state.length - state.used, state.used * state.chains
    chains, x = state.sampler.sample(state.ansatz, state.params, chains, state.length, burn - idle)
    if used is not None:
        x = x[jnp.minimum(idle + jnp.arange(state.length), state.length - 1)]
    rows = x.reshape(-1, x.shape[-1])
    log_psi = state.log_psi(rows)
    apart = len(rows) if state.sampler.independent else state.chains  # an independent sample is its own chain
    samples = Samples(rows, _weights(log_psi, state.sampler.exponent, used), log_psi, apart, used)
    return eqx.tree_at(lambda s: s.sampler_state, state, chains), samples


def _sweeps(samples: int, chains: int) -> Array:
    return jax.device_put(np.array(-(-samples // chains), jnp.result_type(int)))


def _weights(log_psi: Array, exponent: float, used: Array | None = None) -> Array:
    """Weights in proportion to the law over the law that was drawn from; a sample on a zero of psi has none.

    Of rows of which only the first `used` count the others have none.
    """
    inside = True if used is None else jnp.arange(len(log_psi)) < used
    if exponent == 2:
        return jnp.full(log_psi.shape, 1.0 / len(log_psi)) if used is None else jnp.where(inside, 1.0 / used, 0.0)
    return jax.nn.softmax(jnp.where(inside & jnp.isfinite(log_psi.real), (2 - exponent) * log_psi.real, -jnp.inf))
