"""Local values of operators: by local updates where the ansatz knows them, else one network call an element."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.chunk import map_chunks
from qml._core.errors import ShapeError
from qml._core.types import Array, Inexact, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.plan import rows_at_once, rows_that_suit
from qml.operator import PauliSum
from qml.operator.strings import sites_of

_BUCKETS = 32  # at least, so that the last one, which is not full, costs little
_BUSY = {"cpu": 16}  # rows that keep a device busy, whatever they cost; accelerators:
_BUSY_ACCELERATOR = 2**12
_FEW = 4  # sites of a move up to which local updates are used


def local_values(
    ansatz: Ansatz,
    params: Params,
    operator: Any,
    x: Any,
    *,
    log_psi: Any = None,
    chunk: int | None = None,
    used: Any = None,
) -> Inexact[Array, " samples"]:
    r"""Local values $O_{loc}(x) = \langle x|O|x\rangle + \sum_{x' \neq x} \langle x|O|x'\rangle\,\psi(x')/\psi(x)$.

    The connected configurations with a non-zero element are gathered to the front and evaluated in a loop of as many
    buckets as they fill, so zero elements cost nothing and none is ever dropped. Where the ansatz knows local updates
    and they are reliable for these parameters, they give the ratios without the network.

    Args:
        ansatz: the wave function.
        params: its parameters.
        operator: has `diagonal(x)` and `connected(x)`.
        x: configurations `[samples, sites]` with $\psi(x) \neq 0$.
        log_psi: log psi of `x`, if known.
        chunk: rows held at once, of samples and of connected configurations; `None` plans both, and sends connected
            configurations through the network in buckets that suit its activations and the device.
        used: how many rows count, the first ones; of the others no connected configuration goes through the network,
            and what is returned for them means nothing. `None`: all.

    Returns:
        `[samples]`; real where the elements and log psi are real.

    Raises:
        ShapeError: `x` is no batch of configurations, or `chunk` is not a positive int.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.ansatz import to_ansatz
        >>> from qml.estimate import local_values
        >>> from qml.hilbert import Spin
        >>> from qml.operator import PauliSum
        >>> ansatz, params = to_ansatz((jnp.zeros(2), lambda params, x: x @ params), Spin(2))
        >>> local_values(ansatz, params, PauliSum({"ZZ": 1.0, "XI": 0.5}), jnp.array([[1, 1], [1, -1]])).tolist()
        [1.5, -0.5]
    """
    x = jnp.asarray(x)
    if x.ndim != 2 or x.shape[1] != ansatz.n_sites:
        raise ShapeError(
            "Local values are taken at a batch of configurations.",
            got=f"shape {x.shape}",
            expected=f"[samples, {ansatz.n_sites}]",
            try_=f"x.reshape(-1, {ansatz.n_sites})",
        )
    return _local_values(ansatz, params, operator, x, log_psi, chunk, used)


@jax.jit(static_argnums=(0, 5))
def _local_values(
    ansatz: Ansatz, params: Params, operator: Any, x: Array, log_psi: Array | None, chunk: int | None, used: Any
) -> Array:
    counts = () if used is None else (jnp.arange(len(x)) < used,)

    def by_network(x: Array) -> Array:
        known = log_psi_of(ansatz, params, x, chunk) if log_psi is None else log_psi

        def rows(x: Array, log_psi: Array, *counts: Array) -> Array:
            neighbours, elements = operator.connected(x)
            elements = jnp.where(counts[0][:, None], elements, 0) if counts else elements
            diagonal = operator.diagonal(x)
            if elements.shape[-1] == 0:
                return diagonal + jnp.zeros_like(log_psi)
            return diagonal + _off_diagonal(ansatz, params, neighbours, elements, log_psi, chunk)

        return map_chunks(rows, x, known, *counts, chunk=rows_at_once(operator.connected, x, chunk=chunk))

    updates, moves = ansatz.updates, static_moves(operator)
    if updates is None or moves is None or not 1 <= moves.shape[1] <= _FEW:
        return by_network(x)
    tables = updates.prepare(params)
    total = sum(operator.hilbert.local_states)

    @jax.jit
    def by_updates(x: Array) -> Array:
        @jax.jit
        def rows(x: Array) -> Array:
            diagonal, elements = operator.diagonal(x), operator.connected(x)[1]
            ratios = updates.sum_ratios(tables, updates.init(tables, x), x, moves, elements, total)
            return (diagonal + ratios).astype(jnp.result_type(diagonal, elements, ansatz.dtype))

        return map_chunks(rows, x, chunk=rows_at_once(rows, x, chunk=chunk))

    if not ansatz.fallback:
        return jnp.where(updates.reliable(tables), by_updates(x), jnp.nan)
    return jax.lax.cond(updates.reliable(tables), by_updates, by_network, x)


def static_moves(operator: Any) -> np.ndarray | None:
    """The sites that each group of connected elements moves to their other local state, `[groups, k]`; -1 is no site.

    `None` for an operator whose groups do not move fixed sites.
    """
    if not isinstance(operator, PauliSum):
        return None
    moved = [sites_of(flip, operator.strings.n_sites) for flip in operator.strings.layout.flips]
    width = max((len(sites) for sites in moved), default=0)
    return np.array([sites + [-1] * (width - len(sites)) for sites in moved]).reshape(len(moved), width)


def log_psi_of(ansatz: Ansatz, params: Params, x: Array, chunk: int | None) -> Array:
    """log psi of configurations `[samples, sites]` in pieces of `chunk` rows, or as many as fit."""

    @jax.jit
    def rows(x: Array) -> Array:
        return ansatz.log_psi(params, x)

    return map_chunks(rows, x, chunk=rows_at_once(rows, x, chunk=chunk, cached=True))


def _bucket(ansatz: Ansatz, params: Params, flat: Array) -> int:
    """Rows of a bucket: as many as suit the device, and not many more than a part of the list of all slots."""
    suited = rows_that_suit(lambda x: ansatz.log_psi(params, x), flat, cached=True)
    return min(suited, max(_BUSY.get(jax.default_backend(), _BUSY_ACCELERATOR), flat.shape[0] // _BUCKETS))


def _off_diagonal(
    ansatz: Ansatz, params: Params, neighbours: Array, elements: Array, log_psi: Array, chunk: int | None
) -> Array:
    """`sum_g elements[s, g] psi(neighbours[s, g]) / psi(s)` over the non-zero elements."""
    samples, groups = elements.shape
    slots = samples * groups
    flat = neighbours.reshape(slots, -1)
    bucket = min(slots, chunk or _bucket(ansatz, params, flat))
    # the barrier: where all elements are known when compiling, XLA would take seconds to fold this list
    present = jax.lax.optimization_barrier((elements != 0).reshape(slots))
    # the last bucket reads past the end of the list: slots there are out of range and are dropped when written
    (where,) = jnp.nonzero(present, size=slots, fill_value=slots)
    where = jnp.concatenate([where, jnp.full((bucket,), slots, where.dtype)])
    ratio_dtype = jnp.result_type(log_psi.dtype, elements.dtype)

    def fill(b: Array, ratios: Array) -> Array:
        slot = jax.lax.dynamic_slice(where, (b * bucket,), (bucket,))
        safe = jnp.minimum(slot, slots - 1)
        log_new = ansatz.log_psi(params, flat[safe])
        ratio = jnp.exp(log_new - log_psi[safe // groups]).astype(ratio_dtype)
        return ratios.at[slot].set(ratio, mode="drop", unique_indices=False)

    buckets = -(-jnp.sum(present) // bucket)
    ratios = jax.lax.fori_loop(0, buckets, fill, jnp.zeros((slots,), ratio_dtype))
    return jnp.sum(elements * ratios.reshape(samples, groups), axis=-1)
