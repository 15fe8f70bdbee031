r"""Forces on parameters of the phase alone, with less noise.

Parameters $\varphi$ that change the phase of $\psi$ and not $|\psi|^2$ leave the samples as they are, so the energy has
two unbiased derivatives: the usual one, $g$, and that of the local energy itself, $g'$,

$$\tfrac12\,\partial_\varphi E = \langle \partial_\varphi\!\arg\psi\ \mathrm{Im}\,E_{loc}\rangle
  = \tfrac12\,\langle\partial_\varphi\,\mathrm{Re}\,E_{loc}\rangle .$$

So is every mixture $c\,g + (1-c)\,g'$. No loop over connected configurations is differentiated: with
$h_{xx'} = \mathrm{Im}\,H_{xx'}\psi(x')/\psi(x)$ the second is
$\partial\,\mathrm{Re}\,E_{loc}(x) = \sum_{x'} h_{xx'} (\partial\arg\psi(x) - \partial\arg\psi(x'))$,
one weighted backward pass through the connected configurations.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from qml._core.chunk import sum_chunks
from qml._core.errors import ConfigError, SpaceError
from qml._core.types import Array, Params
from qml.ansatz.bridge import Ansatz
from qml.ansatz.combine import PhaseOf, ProductOf
from qml.estimate.gradient import pull_back
from qml.estimate.metric import part
from qml.estimate.plan import rows_at_once, rows_that_suit
from qml.estimate.samples import Samples
from qml.estimate.stats import Stats

_MOST, _LEAST = 32, 4  # blocks that the samples are cut in
_BUCKETS = 16  # of the list of connected configurations, at least
_FEWEST = 64  # rows of a bucket that are worth adding up all parameters
_TINY = 1e-5  # what rounding in single precision makes of a derivative that is zero


def phase_forces(
    ansatz: Ansatz,
    params: Params,
    operator: Any,
    samples: Samples,
    local: Any,
    phases: bool | Sequence[str] = True,
    *,
    chunk: int | None = None,
) -> Params:
    r"""Forces $\tfrac12\partial_\varphi E$ on phase parameters: the mixture of least variance of two estimates.

    The samples are cut in at most 32 blocks of whole chains. Each parameter has a share $c$ of the usual estimate in
    each block, $c = (\mathrm{Var}\,g' - \mathrm{Cov}) / \mathrm{Var}(g - g')$ from the *other* blocks. No block weighs
    itself, so with independent chains nothing is biased. A share is known as well as the blocks tell: where nothing can
    be gained, the variance is above the usual by about one part in the number of blocks. A full sum has no variance:
    there the two, which are equal, are averaged. The sums of all blocks are held, three times 32 numbers a parameter.

    Args:
        ansatz: the wave function, complex.
        params: its parameters.
        operator: Hermitian operator.
        samples: weighted configurations.
        local: local values of the operator, `[samples]`.
        phases: which parameters are of the phase alone: `True` for those of the factors of modulus one of a product
            (`amplitude * Phase(network)`), or the beginnings of their paths, such as `("phase", "layers/2")`.
        chunk: rows held at once; `None` plans.

    Returns:
        A tree like `params` of `Stats` with errors from the scatter of the blocks; `None` for all other parameters.

    Raises:
        SpaceError: there are no such parameters, or they change the modulus of the wave function too.
        ConfigError: the chains cannot be cut in 4 to 32 blocks of one size.

    Example:
        >>> import jax.numpy as jnp
        >>> import qml
        >>> space = qml.hilbert.Spin(2)
        >>> params = {"size": jnp.array([0.1, 0.2]), "phase": jnp.array([0.3, 0.1])}
        >>> state = qml.FullSumState((params, lambda p, x: x @ p["size"] + 1j * (x @ p["phase"])), space)
        >>> _, samples = state.sample()
        >>> operator = qml.operator.PauliSum({"XY": 1.0})
        >>> local = state.local_values(operator, samples)
        >>> found = qml.estimate.phase_forces(state.ansatz, params, operator, samples, local, ("phase",))
        >>> usual = qml.estimate.forces(state.ansatz, params, samples, local)
        >>> found["size"], bool(jnp.allclose(found["phase"].mean, usual["phase"]))
        (None, True)

    Source: arXiv:2606.13912.
    """
    if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((params, samples.x))):
        with jax.ensure_compile_time_eval():
            check_phases(ansatz, params, samples.x, phases)
    phases = phases if isinstance(phases, bool) else tuple(phases)
    return _forces(ansatz, params, operator, samples, jnp.asarray(local), phases, chunk)


def added_forces(
    ansatz: Ansatz,
    params: Params,
    operator: Any,
    samples: Samples,
    local: Array,
    phases: bool | tuple[str, ...],
    chunk: int | None,
) -> Params:
    """What the mixture adds to `forces`: a tree like `params`, zero for parameters that are not of the phase."""
    leaves, treedef = jax.tree.flatten(params)
    chosen = _chosen(ansatz, params, phases)
    blocks = _blocks_of(ansatz, params, operator, samples, local, chosen, chunk)
    imag = jnp.sum(blocks.imag)
    usual = [s.sum(0) - imag * t.sum(0) for s, t in zip(blocks.score, blocks.turned, strict=True)]
    new = [jnp.zeros_like(leaf) for leaf in leaves]
    for i, mixed, old in zip(chosen, _mixed(blocks), usual, strict=True):
        new[i] = (mixed.sum(0) - old).astype(leaves[i].dtype)
    return jax.tree.unflatten(treedef, new)


def check_phases(ansatz: Ansatz, params: Params, x: Array, phases: bool | Sequence[str]) -> None:
    r"""Raise unless the named parameters exist and do not change $|\psi|$.

    The derivatives of $\log|\psi|$ by them are taken at these parameters and at others near them, at some
    configurations, and must be zero.

    Raises:
        SpaceError: there are none, or one of them changes the modulus.
    """
    chosen = _chosen(ansatz, params, phases)
    names = _paths(params)
    sizes = _moduli(ansatz, params, jnp.asarray(x)[:: max(1, len(x) // 16)][:16], tuple(chosen))
    wrong = [names[i] for i, (real, imag) in zip(chosen, np.asarray(sizes), strict=True) if not real <= _TINY * imag]
    if wrong:
        raise SpaceError(
            "These parameters change the modulus of the wave function, and not its phase alone.",
            got=", ".join(wrong),
            expected="parameters of the phase, such as those of f in amplitude * Phase(f)",
            try_="phases=True with amplitude * Phase(network), or phases=False",
        )


@jax.jit(static_argnums=(0, 5, 6))
def _forces(
    ansatz: Ansatz, params: Params, operator: Any, samples: Samples, local: Array, phases: Any, chunk: int | None
) -> Params:
    leaves, treedef = jax.tree.flatten(params)
    chosen = _chosen(ansatz, params, phases)
    blocks = _blocks_of(ansatz, params, operator, samples, local, chosen, chunk)
    found: list = [None] * len(leaves)
    for i, mixed in zip(chosen, _mixed(blocks), strict=True):
        exact = samples.chains is None
        found[i] = Stats.exact(mixed[0]) if exact else Stats.of(mixed.shape[0] * mixed)
    return jax.tree.unflatten(treedef, found)


def _paths(params: Params) -> list[str]:
    found = jax.tree_util.tree_flatten_with_path(params)[0]
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in found]


def _chosen(ansatz: Ansatz, params: Params, phases: bool | Sequence[str]) -> list[int]:
    """Numbers of the leaves that are of the phase."""
    paths = _paths(params)
    begins = [phases] if isinstance(phases, str) else phases
    if isinstance(begins, bool):
        begins = tuple(_unit_factors(ansatz, "")) if begins and ansatz.is_complex else ()
    chosen = [i for i, path in enumerate(paths) if any(f"{path}/".startswith(f"{b}/" if b else "") for b in begins)]
    unused = [b for b in begins if not isinstance(phases, bool) and not any(f"{p}/".startswith(f"{b}/") for p in paths)]
    if not chosen or unused or not ansatz.is_complex:
        raise SpaceError(
            "This wave function has no such parameters of the phase alone.",
            got=f"phases={phases!r} for {ansatz.name} with dtype {ansatz.dtype} and parameters {', '.join(paths)}",
            expected="a product with a phase, amplitude * Phase(network), or beginnings of paths of parameters",
            try_='model = amplitude * qml.ansatz.Phase(network), or phases=("phase",)',
        )
    return chosen


def _unit_factors(ansatz: Ansatz, at: str) -> list[str]:
    """Paths of the factors of modulus one."""
    if isinstance(ansatz.apply, PhaseOf):
        return [at]
    if not isinstance(ansatz.apply, ProductOf):
        return []
    inside = [f"{at}/{k}" if at else str(k) for k in range(len(ansatz.apply.inner))]
    factors = zip(inside, ansatz.apply.inner, ansatz.apply.phases, strict=True)
    return [path for here, inner, unit in factors for path in ([here] if unit else _unit_factors(inner, here))]


@jax.jit(static_argnums=(0, 3))
def _moduli(ansatz: Ansatz, params: Params, x: Array, chosen: tuple[int, ...]) -> Array:
    """Largest derivative of some leaves, of log |psi| and of the phase: `[leaves, 2]`."""
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(0), len(leaves) + 1)
    weights = jax.random.normal(keys[0], x.shape[:1])
    near = [p + 0.1 * jax.random.normal(k, p.shape, p.dtype) for p, k in zip(leaves, keys[1:], strict=True)]
    found = []
    for point in (leaves, near):
        few, held = part(ansatz, jax.tree.unflatten(treedef, point), chosen)
        sides = [(weights, 0 * weights), (0 * weights, weights)]
        grads = [pull_back(few, held, x, real, imag, None) for real, imag in sides]
        found.append(jnp.array([[jnp.max(jnp.abs(g)) for g in pair] for pair in zip(*grads, strict=True)]))
    return jnp.max(jnp.stack(found), axis=0)


class _Blocks(NamedTuple):
    r"""Sums over the samples of each block: $w$, $w\,\mathrm{Im} E$, and of each leaf $w\,\partial\arg\psi$,
    $w\,\mathrm{Im} E\,\partial\arg\psi$ and $\tfrac12 w\,\partial\mathrm{Re} E_{loc}$."""

    share: Array
    imag: Array
    turned: list[Array]
    score: list[Array]
    direct: list[Array]


def _blocks_of(
    ansatz: Ansatz,
    params: Params,
    operator: Any,
    samples: Samples,
    local: Array,
    chosen: list[int],
    chunk: int | None,
) -> _Blocks:
    few, held = part(ansatz, params, chosen)

    def block(rows: tuple[Array, ...]) -> _Blocks:
        x, weights, log_psi, imag = rows
        sides = jnp.stack([weights, weights * imag])
        pulled = jax.vmap(lambda side: pull_back(few, held, x, jnp.zeros_like(side), side, chunk))(sides)
        turned, score = ([g[k] for g in pulled] for k in (0, 1))
        there = _connected(few, held, operator, (x, log_psi, weights), chunk)
        direct = [0.5 * (s - t) for s, t in zip(score, there, strict=True)]
        return _Blocks(jnp.sum(weights), jnp.sum(weights * imag), turned, score, direct)

    rows = (samples.x, samples.weights, samples.log_psi, local.imag)
    return jax.lax.map(block, tuple(_cut(samples.chains, r) for r in rows))


def _cut(chains: int | None, rows: Array) -> Array:
    """Rows by blocks of whole chains, `[blocks, rows, ...]`."""
    if chains is None:
        return rows[None]
    count = next((b for b in range(_MOST, _LEAST - 1, -1) if chains % b == 0), None)
    if count is None:
        raise ConfigError(
            "The chains cannot be cut in blocks of one size.",
            got=f"{chains} chains",
            expected=f"a multiple of a number from {_LEAST} to {_MOST}",
            try_="chains=16",
        )
    cut = rows.reshape(-1, count, chains // count, *rows.shape[1:])
    return jnp.moveaxis(cut, 1, 0).reshape(count, -1, *rows.shape[1:])


def _connected(few: Ansatz, held: list, operator: Any, rows: tuple[Array, ...], chunk: int | None) -> list[Array]:
    r"""$\sum_x w_x \sum_{x'} h_{xx'}\,\partial\arg\psi(x')$ by a backward pass for each bucket of non-zero elements."""

    def piece(mask: Array, x: Array, log_psi: Array, weights: Array) -> list[Array]:
        states, elements = operator.connected(x)
        groups = elements.shape[1]
        slots = elements.size
        if slots == 0:
            return [jnp.zeros_like(leaf) for leaf in held]
        flat, weights = states.reshape(slots, -1), mask * weights
        suited = rows_that_suit(lambda x: _derivative(few, held, x, jnp.zeros(len(x)), None)[0], flat, fewest=_FEWEST)
        bucket = min(slots, chunk or min(suited, max(_FEWEST, slots // _BUCKETS)))
        present = jax.lax.optimization_barrier((elements != 0).reshape(slots))
        (where,) = jnp.nonzero(present, size=slots, fill_value=slots)
        where = jnp.concatenate([where, jnp.full((bucket,), slots, where.dtype)])

        def add(b: Array, total: list[Array]) -> list[Array]:
            slot = jax.lax.dynamic_slice(where, (b * bucket,), (bucket,))
            safe = jnp.minimum(slot, slots - 1)
            row = safe // groups
            factor = jnp.where(slot < slots, elements.reshape(slots)[safe] * weights[row], 0.0)
            found = _derivative(few, held, flat[safe], factor, log_psi[row])
            return [t + f for t, f in zip(total, found, strict=True)]

        buckets = -(-jnp.sum(present) // bucket)
        return jax.lax.fori_loop(0, buckets, add, [jnp.zeros_like(leaf) for leaf in held])

    return sum_chunks(piece, *rows, chunk=rows_at_once(operator.connected, rows[0], chunk=chunk))


def _derivative(few: Ansatz, held: list, x: Array, factor: Array, log_psi: Array | None) -> list[Array]:
    r"""$\sum_s \mathrm{Im}(f_s\,\psi(x_s)/\psi_s)\,\partial\arg\psi(x_s)$."""

    def phase(p: list) -> tuple[Array, Array]:
        value = few.log_psi(p, x)
        return value.imag, value

    _, pull, value = jax.vjp(phase, held, has_aux=True)
    ratio = value if log_psi is None else value - log_psi
    (found,) = pull((factor * jnp.exp(ratio)).imag.astype(value.real.dtype))
    return [jnp.conj(f) for f in found]


def _mixed(blocks: _Blocks) -> list[Array]:
    """The mixture of least variance, `[blocks, ...]` for each leaf; its sum over the blocks is the estimate."""
    count = blocks.share.shape[0]
    if count == 1:
        score = [s - blocks.imag[0] * t for s, t in zip(blocks.score, blocks.turned, strict=True)]
        return [(s + d) / 2 for s, d in zip(score, blocks.direct, strict=True)]
    others = jnp.sum(blocks.share) - blocks.share
    score = []
    for s, t in zip(blocks.score, blocks.turned, strict=True):
        mean = (t.sum(0)[None] - t) / _like(others, t)
        score.append(s - _like(blocks.imag, t) * mean)
    mixed = []
    for s, d in zip(score, blocks.direct, strict=True):
        gap = s - d
        above, below = -_left_out(d, gap), _left_out(gap, gap)
        mixed.append(d + jnp.where(below > 0, above / jnp.where(below > 0, below, 1.0), 0.5) * gap)
    return mixed


def _left_out(left: Array, right: Array) -> Array:
    """Covariance between blocks without each block, `[blocks, ...]`."""
    rest = left.shape[0] - 1
    product = jnp.real(jnp.conj(left) * right)
    means = [(v.sum(0)[None] - v) / rest for v in (left, right)]
    return (product.sum(0)[None] - product) / rest - jnp.real(jnp.conj(means[0]) * means[1])


def _like(numbers: Array, leaf: Array) -> Array:
    """One number a block, to be multiplied with a leaf."""
    return numbers.reshape(-1, *[1] * (leaf.ndim - 1)).astype(leaf.real.dtype)
