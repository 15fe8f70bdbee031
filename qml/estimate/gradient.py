"""Forces: the derivative of an expectation value by the parameters, from weighted samples."""

from typing import Any

import jax
import jax.numpy as jnp

from qml._core.chunk import sum_chunks
from qml._core.types import Array, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.plan import rows_at_once
from qml.estimate.samples import Samples


def forces(ansatz: Ansatz, params: Params, samples: Samples, local: Any, *, chunk: int | None = None) -> Params:
    r"""Half the gradient of an expectation value, $F_k = \mathrm{Re}\,\langle \bar O_k\,(E_{loc} - \bar E)\rangle$.

    Here $O_k = \partial_k \log\psi$; the gradient is $2F$. Complex parameters are pairs of real ones:
    a leaf $z = a + ib$ gets $F_a + i F_b$, so a step $z \leftarrow z - \eta F_z$ is a descent; Optax
    takes $2F$ as it is. One backward pass, no matrix of derivatives.

    Args:
        ansatz: the wave function.
        params: its parameters.
        samples: weighted configurations.
        local: local values of a Hermitian operator, `[samples]`.
        chunk: rows held at once; `None` takes as many as fit in 1 GiB.

    Returns:
        A tree like `params`.

    Raises:
        ShapeError: `chunk` is not a positive int.

    Example:
        >>> import jax
        >>> from flax import nnx
        >>> import qml
        >>> from qml.estimate import forces, local_values
        >>> space = qml.hilbert.Spin(3)
        >>> state = qml.FullSumState(qml.ansatz.RBM(space, rngs=nnx.Rngs(0)), space)
        >>> _, samples = state.sample()
        >>> local = local_values(state.ansatz, state.params, qml.operator.PauliSum({"XII": -1.0}), samples.x)
        >>> jax.tree.map(jax.numpy.shape, forces(state.ansatz, state.params, samples, local))
        {'hidden_bias': (3,), 'kernel': (3, 3), 'visible_bias': (3,)}

    Source: Becca and Sorella, Quantum Monte Carlo Approaches for Correlated Systems (2017).
    """
    return _forces(ansatz, params, samples, jnp.asarray(local), chunk)


@jax.jit(static_argnums=(0, 4))
def _forces(ansatz: Ansatz, params: Params, samples: Samples, local: Array, chunk: int | None) -> Params:
    residual = samples.weights * (local - samples.mean(local))
    return pull_back(ansatz, params, samples.x, residual.real, residual.imag if ansatz.is_complex else None, chunk)


def pull_back(ansatz: Ansatz, params: Params, x: Array, real: Array, imag: Array | None, chunk: int | None) -> Params:
    r"""$\sum_s r_s\,\partial_k\mathrm{Re}\log\psi + i_s\,\partial_k\mathrm{Im}\log\psi$ by one backward pass."""

    def piece(mask: Array, x: Array, real: Array, imag: Array | None = None) -> Params:
        def scalar(p: Params) -> Array:
            log_psi = ansatz.log_psi(p, x)
            total = jnp.sum(mask * real * log_psi.real)
            return total if imag is None else total + jnp.sum(mask * imag * log_psi.imag)

        return jax.tree.map(jnp.conj, jax.grad(scalar)(params))

    rows = (x, real) if imag is None else (x, real, imag)

    def whole(*rows: Array) -> Params:
        return piece(jnp.ones(rows[0].shape[0]), *rows)

    chunk = rows_at_once(whole, *rows, chunk=chunk, cached=True, fewest=64)  # each piece adds up all the parameters
    return sum_chunks(piece, *rows, chunk=chunk)
