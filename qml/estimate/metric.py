"""The quantum geometric tensor, as rows of derivatives, as a matrix, and as a product with a vector."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from qml._core.chunk import map_chunks
from qml._core.types import Array, Float, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.gradient import forces, pull_back
from qml.estimate.plan import rows_at_once
from qml.estimate.rows import centred, derivatives
from qml.estimate.samples import Samples


def jacobian(
    ansatz: Ansatz, params: Params, samples: Samples, *, chunk: int | None = None
) -> Float[Array, "rows params"]:
    r"""Centred, weighted derivatives $\bar O_{sk} = \sqrt{w_s}\,(O_{sk} - \langle O_k\rangle)$ as a real matrix.

    Columns are the real numbers of `tree.realify(params)`. A complex log psi has two blocks of rows,
    $\mathrm{Re}\,\bar O$ and $\mathrm{Im}\,\bar O$. So $S = \bar O^T \bar O$.

    Args:
        ansatz: the wave function.
        params: its parameters.
        samples: weighted configurations.
        chunk: rows held at once in the backward pass; `None` takes as many as fit in 1 GiB. The result holds all.

    Returns:
        `[samples, params]`, or `[2 samples, params]` for a complex log psi.

    Raises:
        ShapeError: `chunk` is not a positive int.
    """
    return _jacobian(ansatz, params, samples, chunk)


@jax.jit(static_argnums=(0, 3))
def _jacobian(ansatz: Ansatz, params: Params, samples: Samples, chunk: int | None) -> Array:
    return centred(derivatives(ansatz, params, samples.x, chunk), samples).whole()


def part(ansatz: Ansatz, params: Params, chosen: Sequence[int]) -> tuple[Ansatz, list]:
    """The ansatz as a function of some of its leaves, the others held; for use within one trace."""
    leaves, treedef = jax.tree.flatten(params)

    def apply(some: list, x: Array) -> Array:
        full = list(leaves)
        for i, leaf in zip(chosen, some, strict=True):
            full[i] = leaf
        return ansatz.log_psi(jax.tree.unflatten(treedef, full), x)

    return Ansatz(apply, ansatz.n_sites, ansatz.dtype, ansatz.name), [leaves[i] for i in chosen]


def residual(ansatz: Ansatz, samples: Samples, local: Any) -> Float[Array, " rows"]:
    r"""Centred, weighted local values $\epsilon_s = \sqrt{w_s}\,(E_s - \bar E)$ in the rows of `jacobian`.

    So $F = \bar O^T\epsilon$.

    Args:
        ansatz: the wave function.
        samples: weighted configurations.
        local: `[samples]`.
    """
    return _residual(samples, jnp.asarray(local), ansatz.is_complex)


@jax.jit(static_argnums=2)
def _residual(samples: Samples, local: Array, is_complex: bool) -> Array:
    centred = jnp.sqrt(samples.weights) * (local - samples.mean(local))
    return jnp.concatenate([centred.real, centred.imag]) if is_complex else centred.real


def qgt(ansatz: Ansatz, params: Params, samples: Samples, *, chunk: int | None = None) -> Float[Array, "params params"]:
    r"""Real part of the quantum geometric tensor.

    $S_{kl} = \mathrm{Re}\,\langle \bar O_k (O_l - \langle O_l\rangle)\rangle$ with $O_k = \partial_k\log\psi$.

    Args:
        ansatz: the wave function.
        params: its parameters.
        samples: weighted configurations.
        chunk: rows held at once in the backward pass; `None` takes as many as fit in 1 GiB.

    Returns:
        Symmetric, positive semi-definite, in the order of `tree.realify(params)`.

    Raises:
        ShapeError: `chunk` is not a positive int.

    Example:
        >>> import jax.numpy as jnp
        >>> import qml
        >>> from qml.estimate import qgt
        >>> state = qml.FullSumState((jnp.zeros(2), lambda params, x: x @ params), qml.hilbert.Spin(2))
        >>> _, samples = state.sample()
        >>> qgt(state.ansatz, state.params, samples).tolist()
        [[1.0, 0.0], [0.0, 1.0]]

    Source: Stokes et al., Quantum 4, 269 (2020).
    """
    return _qgt(ansatz, params, samples, chunk)


@jax.jit(static_argnums=(0, 3))
def _qgt(ansatz: Ansatz, params: Params, samples: Samples, chunk: int | None) -> Array:
    rows = jacobian(ansatz, params, samples, chunk=chunk)
    return rows.T @ rows


def qgt_apply(ansatz: Ansatz, params: Params, samples: Samples, vector: Params, *, chunk: int | None = None) -> Params:
    r"""Product $S v$ by one forward and one backward derivative, without the matrix.

    Args:
        ansatz: the wave function.
        params: its parameters.
        samples: weighted configurations.
        vector: a tree like `params`.
        chunk: rows held at once; `None` takes as many as fit in 1 GiB.

    Returns:
        A tree like `params`.

    Raises:
        ShapeError: `chunk` is not a positive int.
    """
    return _qgt_apply(ansatz, params, samples, vector, chunk)


@jax.jit(static_argnums=(0, 4))
def _qgt_apply(ansatz: Ansatz, params: Params, samples: Samples, vector: Params, chunk: int | None) -> Params:
    return forces(ansatz, params, samples, turn(ansatz, params, samples.x, vector, chunk), chunk=chunk)


def turn(ansatz: Ansatz, params: Params, x: Array, vector: Params, chunk: int | None) -> Array:
    r"""$\sum_k O_k v_k$ of each sample by one forward derivative, not centred: `[samples]`."""

    @jax.jit  # traced once for the plan and for the chunks
    def push(x: Array) -> Array:
        return jax.jvp(lambda p: ansatz.log_psi(p, x), (params,), (vector,))[1]

    return map_chunks(push, x, chunk=rows_at_once(push, x, chunk=chunk))


def pull_rows(
    ansatz: Ansatz, params: Params, samples: Samples, rows: Float[Array, " rows"], chunk: int | None
) -> Params:
    r"""$\bar O^T y$ by one backward derivative, without the matrix: a tree like `params`."""
    real, imag = weighted_rows(samples, rows, ansatz.is_complex)
    return pull_back(ansatz, params, samples.x, real, imag, chunk)


def weighted_rows(samples: Samples, rows: Float[Array, " rows"], is_complex: bool) -> tuple[Array, Array | None]:
    r"""Cotangents of the real and imaginary part of log psi for $\bar O^T y$: $y$ weighted, centred as $\bar O$ is."""
    parts = jnp.sqrt(samples.weights)[None, :] * rows.reshape(-1, len(samples.weights))
    parts = parts - samples.weights[None, :] * parts.sum(1)[:, None]
    return parts[0], parts[1] if is_complex else None
