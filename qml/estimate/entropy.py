r"""Renyi-2 entropy of a part by the swap of two replicas, with the ratio of growing parts for large ones."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from qml._core.chunk import map_chunks
from qml._core.errors import ShapeError, SpaceError
from qml._core.types import Array, Inexact, Params, RandomKey
from qml.ansatz.bridge import Ansatz
from qml.estimate.covariance import combine, influence
from qml.estimate.pairs import log_psi_where
from qml.estimate.plan import rows_at_once
from qml.estimate.samples import Samples
from qml.estimate.stats import Stats
from qml.hilbert import AbstractHilbert
from qml.sampler.library import default_sampler

_RESOLVED = 3.0  # standard errors of the purity from zero, below which its logarithm is refused
_EFFECTIVE = 32  # pairs that must share the variance, or the error itself is not known


class UnresolvedEntropyWarning(UserWarning):
    """The samples do not resolve an entropy: its error is infinite, or rests on very few of them."""


def renyi2(
    ansatz: Ansatz,
    params: Params,
    hilbert: AbstractHilbert,
    samples: Samples,
    sites: Sequence[int],
    *,
    chunk: int | None = None,
) -> Stats:
    r"""Renyi entropy $S_2 = -\log \mathrm{Tr}\,\rho_A^2$ of some sites, in nats.

    With two independent replicas $x = (a, b)$ and $y = (a', b')$ the purity is the mean of the swap
    $\psi(a', b)\,\psi(a, b') / \psi(a, b)\,\psi(a', b')$. The first half of the chains is one replica, the second half
    the other (of an odd number the last chain is left out), so N samples are N/2 pairs. Pairs that agree on one part
    are 1 without a network call, swaps that leave the space are 0; fermion modes get the sign of their reordering. The
    second moment of the swap is the probability q that a swap stays on the support, which is measured too, and
    $|\mathrm{swap}|^2 - q$ is subtracted as a control variate. A full sum gives the exact entropy of the vector.

    Args:
        ansatz: the wave function.
        params: its parameters.
        hilbert: its space.
        samples: weighted configurations; of at least two chains.
        sites: the sites (or modes) of the part; none or all of them have entropy 0.
        chunk: rows held at once; `None` plans.

    Returns:
        The entropy, by the delta method. Where the purity is not at least 3 standard errors from zero, its logarithm
        is not known: the error is infinite, with an `UnresolvedEntropyWarning` outside `jax.jit`; the same warning
        tells where few pairs carry the variance, so that the error itself is not known. The relative error of the
        purity is about $e^{S_2} / \sqrt{N/2}$; `renyi2_ratios` goes further.

    Raises:
        SpaceError: the sites do not exist or come twice.
        ShapeError: the samples are of one chain, so there are no two replicas.

    Example:
        >>> import jax.numpy as jnp
        >>> import qml
        >>> def bell(params, x):
        ...     return jnp.where(x[:, 0] == x[:, 1], 0.0, -jnp.inf)
        >>> state = qml.FullSumState((jnp.zeros(0), bell), qml.hilbert.Spin(2))
        >>> print(state.renyi2([0]).mean.round(6))
        0.693147

    Source: Hastings, Gonzalez, Kallin, Melko, Phys. Rev. Lett. 104, 157201 (2010).
    """
    chosen = checked_part(hilbert, sites)
    if len(chosen) in (0, hilbert.n_sites):
        return Stats.exact(jnp.zeros(()))
    if samples.chains is None:
        return _exact(hilbert, chosen, samples)
    if samples.chains < 2:
        raise ShapeError(
            "A swap needs two independent replicas.",
            got="one chain",
            expected="at least two chains",
            try_="MCState(..., chains=16)",
        )
    entropy, effective = _sampled(ansatz, hilbert, chosen, chunk, params, samples)
    _warn(entropy, effective)
    return entropy


@jax.jit(static_argnums=(0, 1))
def _exact(hilbert: AbstractHilbert, sites: tuple[int, ...], samples: Samples) -> Stats:
    from qml.exact.reduced import entanglement_entropy

    phase = jnp.exp(1j * samples.log_psi.imag) if jnp.iscomplexobj(samples.log_psi) else 1.0
    return Stats.exact(entanglement_entropy(jnp.sqrt(samples.weights) * phase, hilbert, sites, order=2))


@jax.jit(static_argnums=(0, 1, 2, 3))
def _sampled(
    ansatz: Ansatz,
    hilbert: AbstractHilbert,
    sites: tuple[int, ...],
    chunk: int | None,
    params: Params,
    samples: Samples,
) -> tuple[Stats, Array]:
    pairs, x, y, log_x, log_y = _replicas(samples)
    swap = _swaps(ansatz, params, hilbert, sites, x, y, log_x + log_y, chunk)
    square = jnp.abs(swap) ** 2
    values = {"f": swap.real, "g": square - (swap != 0)}
    _, (change,) = influence(lambda m: m, (pairs, values))
    below = pairs.mean(change["g"] ** 2)
    slope = jnp.where(below > 0, pairs.mean(change["f"] * change["g"]) / jnp.where(below > 0, below, 1.0), 0.0)
    entropy = combine(lambda m: -jnp.log(m["f"] - slope * m["g"]), (pairs, values))
    purity = combine(lambda m: m["f"] - slope * m["g"], (pairs, values))
    resolved = purity.mean > _RESOLVED * purity.error
    entropy = eqx.tree_at(lambda s: s.error, entropy, jnp.where(resolved, entropy.error, jnp.inf))
    spread = (pairs.weights * (change["f"] - slope * change["g"])) ** 2
    total = jnp.sum(spread)
    # rounding alone, where every swap is the same number, is no spread
    known = total > (1e-14) ** 2 * jnp.sum(pairs.weights**2)
    return entropy, jnp.where(known, total**2 / jnp.maximum(jnp.sum(spread**2), 1e-300), jnp.inf)


def _replicas(samples: Samples) -> tuple[Samples, Array, Array, Array, Array]:
    """Pairs of samples of the first and of the second half of the chains, and the weights of the pairs."""
    assert samples.chains is not None
    half = samples.chains // 2

    def split(a: Array) -> tuple[Array, Array]:
        chains = a.reshape(-1, samples.chains, *a.shape[1:])
        one, two = chains[:, :half], chains[:, half : 2 * half]
        return one.reshape(-1, *a.shape[1:]), two.reshape(-1, *a.shape[1:])

    (x, y), (v, w), (log_x, log_y) = (split(a) for a in (samples.x, samples.weights, samples.log_psi))
    weights = v * w
    used = None if samples.steps is None else samples.steps * half
    return Samples(x, weights / jnp.sum(weights), log_x, half, used), x, y, log_x, log_y


def _swaps(
    ansatz: Ansatz,
    params: Params,
    hilbert: AbstractHilbert,
    sites: tuple[int, ...],
    x: Array,
    y: Array,
    log_pair: Array,
    chunk: int | None,
) -> Inexact[Array, " pairs"]:
    """The swap of each pair."""
    part = _mask(sites, hilbert.n_sites)
    differs = x != y
    trivial = ~(jnp.any(differs & part[None], axis=1) & jnp.any(differs & ~part[None], axis=1))
    swapped = jnp.stack([jnp.where(part[None], y, x), jnp.where(part[None], x, y)], axis=1)
    inside = jnp.all(hilbert.contains(swapped), axis=1) if _can_leave(hilbert) else jnp.ones(x.shape[0], bool)
    call = jnp.broadcast_to((inside & ~trivial)[:, None], (x.shape[0], 2))
    logs = jnp.sum(log_psi_where(ansatz, params, lambda row, k: swapped[row, k], call, chunk), axis=1)
    ratio = jnp.exp(jnp.where(call[:, 0], logs - log_pair, 0)) * _reordering(hilbert, sites, x, y)
    return jnp.where(trivial, 1, jnp.where(inside, ratio, 0))


def _can_leave(hilbert: AbstractHilbert) -> bool:
    return hilbert.is_constrained or hilbert.envelope != hilbert


def _mask(sites: tuple[int, ...], count: int) -> Array:
    return jnp.asarray(np.isin(np.arange(count), sites))


def _reordering(hilbert: AbstractHilbert, sites: tuple[int, ...], x: Array, y: Array) -> Array:
    r"""Sign of a swap of fermions: $(-1)^{\sum_{i \in A, k \notin A, k < i} (a_i + a'_i)(b_k + b'_k)}$.

    The density matrix of a part is that of its modes moved before all others; each of the four amplitudes gets the
    sign of that reordering, and the product of the four is this.
    """
    modes = np.array(hilbert.fermionic_modes)
    part = np.isin(np.arange(hilbert.n_sites), sites)
    crossed = (part & modes)[:, None] & (~part & modes)[None, :] & np.tri(hilbert.n_sites, k=-1, dtype=bool)
    if not crossed.any():
        return jnp.ones(x.shape[0])
    odd = (x != y).astype(float)
    return 1.0 - 2.0 * (jnp.sum((odd @ jnp.asarray(crossed, float)) * odd, axis=1) % 2)


def checked_part(hilbert: AbstractHilbert, sites: Sequence[int]) -> tuple[int, ...]:
    """Distinct sites of a space, or an error."""
    chosen = tuple(int(i) for i in sites)
    if len(set(chosen)) != len(chosen) or any(not 0 <= i < hilbert.n_sites or i != j for i, j in zip(chosen, sites)):
        raise SpaceError(
            "These sites are no part of the space.",
            got=tuple(sites),
            expected=f"distinct sites in 0 ... {hilbert.n_sites - 1}",
            try_=f"sites={tuple(range(hilbert.n_sites // 2))}",
        )
    return chosen


def _warn(entropy: Stats, effective: Array) -> None:
    if isinstance(effective, Tracer):
        return
    if not np.isfinite(entropy.error):
        warnings.warn(
            "The purity of this part is not three standard errors from zero, so its entropy is not known: "
            "more samples, or renyi2_ratios.",
            UnresolvedEntropyWarning,
            stacklevel=3,
        )
    elif effective < _EFFECTIVE:
        warnings.warn(
            f"The variance of the swap comes from {float(effective):.1f} effective pairs of samples: "
            "the error of this entropy is not known well and may be too small.",
            UnresolvedEntropyWarning,
            stacklevel=3,
        )


@final
@dataclass(frozen=True)
class _Joined:
    r"""Log of $|W_A(x, y)|^{1/2}$, $W_A = \bar\psi(x)\bar\psi(y)\psi(x_A)\psi(y_A)$; $x_A$: part A swapped."""

    ansatz: Ansatz
    sites: tuple[int, ...]

    def __call__(self, params: Params, pair: Array) -> Array:
        same = not self.sites
        logs = _log_replicas(self.ansatz, params, ((), self.sites)[same:], pair)
        return jnp.sum(logs.real, axis=0) / (1 if same else 2)


def _log_replicas(ansatz: Ansatz, params: Params, parts: tuple, pair: Array) -> Inexact[Array, "rows pairs"]:
    """log psi of x and of y with each of some parts swapped, for `pair = [x, y]` along the last axis."""
    x, y = jnp.split(pair, 2, axis=-1)
    rows = []
    for part in parts:
        mask = _mask(part, ansatz.n_sites)[None]
        rows += [jnp.where(mask, y, x), jnp.where(mask, x, y)]
    return ansatz.log_psi(params, jnp.concatenate(rows)).reshape(2 * len(parts), -1)


def renyi2_ratios(
    ansatz: Ansatz,
    params: Params,
    hilbert: AbstractHilbert,
    regions: Sequence[Sequence[int]],
    *,
    key: RandomKey,
    samples: int = 4096,
    chains: int = 64,
    chunk: int | None = None,
) -> Stats:
    r"""Renyi-2 entropy of the last of growing parts $A_1 \subset \dots \subset A_m$, from ratios of their purities.

    $S_2 = -\sum_k \log \frac{\langle W_k / |W_{k-1}|\rangle}{\langle W_{k-1} / |W_{k-1}|\rangle}$, where pairs of
    replicas are sampled from $|W_{k-1}(x, y)|$ and $W_k$ is the product of amplitudes with the part $A_k$ swapped.
    Every ratio is of order one where the parts grow by few sites, while the purity itself falls off exponentially. A
    wave function with signs pays in the denominators.

    Args:
        ansatz: the wave function.
        params: its parameters.
        hilbert: its space, without fixed totals or predicate: there single moves cannot change the number of
            particles in the part of both replicas.
        regions: growing lists of sites.
        key: random key.
        samples: pairs of replicas for each ratio.
        chains: number of chains.
        chunk: rows held at once; `None` plans.

    Returns:
        With the error of all ratios together; infinite, with a warning, where one of them is not resolved.

    Raises:
        SpaceError: the regions do not grow, or the space is constrained.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import qml
        >>> from qml.estimate import renyi2_ratios
        >>> ansatz, params = qml.ansatz.to_ansatz((jnp.zeros(3), lambda params, x: x @ params), qml.hilbert.Spin(3))
        >>> key = jax.random.key(0)
        >>> entropy = renyi2_ratios(ansatz, params, qml.hilbert.Spin(3), [[0], [0, 1]], key=key, samples=64)
        >>> abs(float(entropy.mean)) < 1e-12  # a product state
        True

    Source: Hastings, Gonzalez, Kallin, Melko, Phys. Rev. Lett. 104, 157201 (2010).
    """
    parts = [checked_part(hilbert, region) for region in regions]
    grows = all(set(a) < set(b) for a, b in zip([(), *parts], parts))
    if not parts or not grows or _can_leave(hilbert) or samples < 1 or chains < 1:
        raise SpaceError(
            "Ratios of purities are taken along growing parts of a space without constraints.",
            got=f"{list(regions)} of {hilbert}, {samples} samples, {chains} chains",
            expected="each region a proper subset of the next, no fixed totals, no predicate",
            try_="[[0], [0, 1], [0, 1, 2]]; renyi2 for constrained spaces",
        )
    sets, resolved = [], []
    for old, new, one in zip([(), *parts], parts, jax.random.split(key, len(parts))):
        found = _ratio(ansatz, hilbert, (old, new), (-(-samples // chains), chains, chunk), params, one)
        sets.append(found[0])
        resolved.append(found[1])
    entropy = combine(lambda *means: -sum(jnp.log(m["new"] / m["old"]) for m in means), *sets)
    error = jnp.where(jnp.all(jnp.stack(resolved)), entropy.error, jnp.inf)
    entropy = eqx.tree_at(lambda s: s.error, entropy, error)
    _warn(entropy, jnp.full((), jnp.inf))
    return entropy


@jax.jit(static_argnums=(0, 1, 2, 3))
def _ratio(
    ansatz: Ansatz,
    hilbert: AbstractHilbert,
    parts: tuple[tuple[int, ...], tuple[int, ...]],
    sizes: tuple[int, int, int | None],
    params: Params,
    key: Array,
) -> tuple[tuple[Samples, dict], Array]:
    """Samples of |W_old| with the values of W_new / |W_old| and W_old / |W_old|."""
    (old, new), (length, chains, chunk) = parts, sizes
    law = Ansatz(_Joined(ansatz, old), 2 * hilbert.n_sites, np.dtype(ansatz.dtype).type(0).real.dtype, "replicas")
    sampler = default_sampler(hilbert * hilbert, chains)
    state = sampler.init(law, params, key)
    _, x = sampler.sample(law, params, state, length, max(1, length // 10))
    rows = x.reshape(length * chains, -1)

    every = ((), *((old,) if old else ()), new)

    def logs(rows: Array) -> Array:
        return _log_replicas(ansatz, params, every, jnp.asarray(rows, law.dtype)).T

    plain, *swapped = jnp.split(map_chunks(logs, rows, chunk=rows_at_once(logs, rows, chunk=chunk)), len(every), axis=1)
    swapped = swapped if old else [plain, *swapped]
    was, now = (_log_weight(hilbert, part, rows, plain, one) for part, one in zip((old, new), swapped, strict=True))
    size = was[0]
    values = {"old": jnp.cos(was[1]), "new": jnp.exp(now[0] - size) * jnp.cos(now[1])}
    samples = Samples(rows, jnp.full((rows.shape[0],), 1 / rows.shape[0]), size, chains)
    stats = [samples.statistics(v) for v in values.values()]
    return (samples, values), jnp.all(jnp.stack([s.mean > _RESOLVED * s.error for s in stats]))


def _log_weight(
    hilbert: AbstractHilbert, part: tuple[int, ...], rows: Array, plain: Array, swapped: Array
) -> tuple[Array, Array]:
    """Modulus (its log) and phase of W from log psi of the replicas, `[pairs, 2]`, as they are and swapped."""
    x, y = jnp.split(rows, 2, axis=-1)
    phase = jnp.sum(swapped.imag - plain.imag, axis=1) if jnp.iscomplexobj(plain) else jnp.zeros(x.shape[0])
    turned = jnp.where(_reordering(hilbert, part, x, y) < 0, jnp.pi, 0.0)
    return jnp.sum(plain.real + swapped.real, axis=1), phase + turned
