"""A wave function summed over all configurations: the exact twin of a Monte Carlo state."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from qml._core.types import Params, RandomKey
from qml.ansatz.bridge import Ansatz, to_ansatz
from qml.estimate.samples import Samples
from qml.state.base import AbstractState, check_size

_LIMIT = 2**20


class FullSumState(AbstractState):
    r"""A wave function $\psi_\theta$ whose expectation values are sums over all configurations, weight $|\psi|^2$.

    Args:
        model: anything that `qml.ansatz.to_ansatz` takes.
        hilbert: the space, of at most 1048576 configurations.
        key: random key for a model that is not initialised.
        chunk: rows held at once in network calls; `None` plans it from the size of the network.

    Raises:
        SpaceError: the space is too large.
        ShapeError: the model does not return one log psi a row.

    Example:
        >>> from flax import nnx
        >>> import qml
        >>> space = qml.hilbert.Spin(4)
        >>> state = qml.FullSumState(qml.ansatz.RBM(space, std=0.0, rngs=nnx.Rngs(0)), space)
        >>> print(state.expect(qml.operator.total(space, "X")))
        4
    """

    ansatz: Ansatz = eqx.field(static=True)
    hilbert: Any = eqx.field(static=True)
    chunk: int | None = eqx.field(static=True)
    params: Params

    def __init__(self, model: Any, hilbert: Any, *, key: RandomKey | None = None, chunk: int | None = None):
        check_size(hilbert, _LIMIT)
        self.hilbert, self.chunk = hilbert, chunk
        self.ansatz, self.params = to_ansatz(model, hilbert, key=key)

    @property
    def n_samples(self) -> int:
        """Number of configurations."""
        return self.hilbert.size

    def sample(self) -> tuple["FullSumState", Samples]:
        """All configurations with weight $|\\psi|^2$; those of weight zero are replaced by the most likely one."""
        return self, _all(self)


@jax.jit
def _all(state: FullSumState) -> Samples:
    x = state.hilbert.all_states()
    log_psi = state.log_psi(x)
    weights = jax.nn.softmax(2 * log_psi.real)
    # local values and derivatives do not exist on a zero of psi, and count nothing there
    row = jnp.where(weights > 0, jnp.arange(x.shape[0]), jnp.argmax(weights))
    return Samples(x[row], weights, log_psi[row], None)
