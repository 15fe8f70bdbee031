r"""Forces on parameters of the phase alone, with less noise.

Where parameters $\varphi$ change the phase of $\psi$ and not $|\psi|^2$, the samples do not depend on them, and the
energy has two unbiased derivatives: the usual one and the derivative of the local energy itself,

$$\tfrac12\,\partial_\varphi E = \langle \partial_\varphi\!\arg\psi\ \mathrm{Im}\,E_{loc}\rangle
  = \tfrac12\,\langle\partial_\varphi\,\mathrm{Re}\,E_{loc}\rangle .$$

So is every mixture $c\,g + (1-c)\,g'$; the one of least variance has
$c = (\mathrm{Var}\,g' - \mathrm{Cov}) / (\mathrm{Var}\,g + \mathrm{Var}\,g' - 2\,\mathrm{Cov})$.
"""

from typing import Any

import jax
import jax.numpy as jnp

from qml._core.chunk import sum_chunks
from qml._core.errors import ConfigError, SpaceError
from qml._core.types import Array, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.gradient import forces
from qml.estimate.samples import Samples


def phase_forces(
    ansatz: Ansatz,
    params: Params,
    operator: Any,
    samples: Samples,
    local: Any,
    phase: Any,
    *,
    blocks: int = 16,
    chunk: int | None = None,
) -> Params:
    r"""The forces of `forces`, those on phase parameters as the mixture of least variance.

    The samples are cut in blocks. Each leaf has one $c$, and that of a block comes from the other blocks, so that no
    block weighs itself and the result stays unbiased. A full sum has no variance: there the two are averaged.

    Args:
        ansatz: the wave function, complex.
        params: its parameters.
        operator: Hermitian operator.
        samples: weighted configurations; from chains their number is a multiple of `blocks`.
        local: local values of the operator, `[samples]`.
        phase: which parameters are of the phase alone: a tree of booleans like `params`, or the first levels of one.
        blocks: number of blocks, >= 4.
        chunk: rows held at once in each block; `None` takes a whole block.

    Returns:
        A tree like `params`: $\tfrac12\,\partial E$.

    Raises:
        SpaceError: a real log psi.
        ConfigError: fewer than 4 blocks, or blocks that do not divide the samples.

    Example:
        >>> import jax.numpy as jnp
        >>> import qml
        >>> from qml.estimate.phase import phase_forces
        >>> space = qml.hilbert.Spin(2)
        >>> params = {"size": jnp.array([0.1, 0.2]), "phase": jnp.array([0.3, 0.1])}
        >>> state = qml.FullSumState((params, lambda p, x: x @ p["size"] + 1j * (x @ p["phase"])), space)
        >>> _, samples = state.sample()
        >>> operator = qml.operator.PauliSum({"XY": 1.0})
        >>> local = state.local_values(operator, samples)
        >>> which = {"size": False, "phase": True}
        >>> found = phase_forces(state.ansatz, params, operator, samples, local, which)
        >>> bool(jnp.allclose(found["phase"], qml.estimate.forces(state.ansatz, params, samples, local)["phase"]))
        True

    Source: arXiv:2606.13912.
    """
    if not ansatz.is_complex:
        raise SpaceError(
            "A real log psi has no phase.",
            got=f"{ansatz.name} with dtype {ansatz.dtype}",
            expected="a complex log psi",
            try_="qml.estimate.forces(ansatz, params, samples, local)",
        )
    if samples.chains is not None and (blocks < 4 or len(samples.x) % blocks):
        raise ConfigError(
            "The samples cannot be cut in blocks of one size.",
            got=f"{blocks} blocks of {len(samples.x)} samples",
            expected="at least 4 blocks, a divisor of the samples",
            try_="blocks=8",
        )
    which = jax.tree.broadcast(phase, params)
    usual = forces(ansatz, params, samples, local, chunk=chunk)
    blocks = 1 if samples.chains is None else blocks
    score, direct = _two(ansatz, params, operator, samples, jnp.asarray(local), blocks, chunk)
    return jax.tree.map(lambda w, u, g, d: _mixed(g, d) if w else u, which, usual, score, direct)


def _two(
    ansatz: Ansatz, params: Params, operator: Any, samples: Samples, local: Array, blocks: int, chunk: int | None
) -> tuple[Params, Params]:
    """Both estimates of each block, `[blocks, ...]`, whose sum over the blocks is the estimate of all samples."""

    def piece(mask: Array, x: Array, weights: Array, imag: Array) -> tuple[Params, Params]:
        states, elements = operator.connected(x)
        here = elements != 0
        flat = jnp.where(here[..., None], states, x[:, None, :]).reshape(-1, x.shape[-1])

        def turned(p: Params) -> Array:
            return jnp.sum(mask * weights * imag * ansatz.log_psi(p, x).imag)

        def energy(p: Params) -> Array:
            ratio = jnp.exp(ansatz.log_psi(p, flat).reshape(here.shape) - ansatz.log_psi(p, x)[:, None])
            return 0.5 * jnp.sum((mask * weights)[:, None] * jnp.where(here, elements * ratio, 0.0).real)

        return tuple(jax.tree.map(jnp.conj, jax.grad(f)(params)) for f in (turned, energy))  # type: ignore[return-value]

    def block(rows: tuple) -> tuple[Params, Params]:
        return sum_chunks(piece, *rows, chunk=chunk)

    rows = (samples.x, samples.weights, local.imag)
    return jax.lax.map(block, jax.tree.map(lambda r: r.reshape(blocks, -1, *r.shape[1:]), rows))


def _mixed(score: Array, direct: Array) -> Array:
    """The mixture of least variance of one leaf, from `[blocks, ...]`."""
    blocks = score.shape[0]
    if blocks == 1:
        return (score[0] + direct[0]) / 2
    moments = []
    for a, b in ((direct, direct - score), (score - direct, score - direct)):
        product = (jnp.conj(a) * b).real.reshape(blocks, -1).sum(1)
        left_out = (product.sum() - product) / (blocks - 1)
        means = [(v.sum(0)[None] - v) / (blocks - 1) for v in (a, b)]
        moments.append(left_out - (jnp.conj(means[0]) * means[1]).real.reshape(blocks, -1).sum(1))
    share = jnp.where(moments[1] > 0, moments[0] / jnp.where(moments[1] > 0, moments[1], 1.0), 0.5)
    share = share.reshape(-1, *[1] * (score.ndim - 1))
    return jnp.sum(share * score + (1 - share) * direct, axis=0)
