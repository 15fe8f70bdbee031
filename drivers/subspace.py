"""Several states at once: overlaps between them, and the levels of the Hamiltonian in the space that they span."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp

from qml._core.types import Array, Float
from qml.estimate import Samples, Stats, infidelity, local_values
from qml.operator import AbstractOperator
from qml.state import AbstractState

Drawn = tuple[AbstractState, Samples]


def size(samples: Samples) -> Array:
    r"""Mean of $\log|\psi|$ over the samples: taken out of $\psi$, so that ratios of states are numbers near one."""
    return samples.mean(samples.log_psi.real)


def ratio(top: Drawn, bottom: Drawn) -> Array:
    r"""$\psi_{top}(x) / \psi_{bottom}(x)$ at the samples of `bottom`, each state in units of its own size."""
    log_ratio = top[0].log_psi(bottom[1].x) - size(top[1]) - bottom[1].log_psi + size(bottom[1])
    known = jnp.isfinite(bottom[1].log_psi.real)  # a full sum has rows where its state is zero, of weight zero
    return jnp.where(known, jnp.exp(jnp.where(known, log_ratio, 0)), 0)


def fidelity(a: Drawn, b: Drawn) -> Array:
    r"""$|\langle a|b\rangle|^2 / (\langle a|a\rangle\langle b|b\rangle)$, see `qml.estimate.infidelity`."""
    return 1 - infidelity(a[1], b[0].log_psi(a[1].x), b[1], a[0].log_psi(b[1].x)).mean


def summed(mean: Array, parts: Sequence[Stats]) -> Stats:
    """A mean whose error comes from independent sets of samples, each with the statistics of its influence."""
    error = jnp.sqrt(sum(p.error**2 for p in parts))
    variance = sum((p.variance for p in parts), start=jnp.zeros(()))
    count = sum(p.samples for p in parts)
    rates = sum(jnp.where(p.samples > 0, p.variance / jnp.maximum(p.samples, 1), 0.0) for p in parts)
    tau = 0.5 * error**2 / jnp.where(rates > 0, rates, 1.0)
    r_hat = jnp.nanmax(jnp.stack([jnp.ones_like(error), *(p.r_hat for p in parts)]), axis=0)
    nan = jnp.full_like(error, jnp.nan)
    return Stats(mean, error, variance, tau, jnp.where(count > 0, r_hat, nan), jnp.asarray(count))


class Levels(NamedTuple):
    """Levels of the Hamiltonian in the span of some states, lowest first.

    Args:
        energy: `[states]`.
        gap: differences to the lowest one, `[states - 1]`; what the levels have in common cancels in the errors.
        overlap: squared overlaps of the states, `[states, states]`.
    """

    energy: Stats
    gap: Stats
    overlap: Float[Array, "states states"]


def levels(hamiltonian: AbstractOperator, drawn: Sequence[Drawn]) -> Levels:
    r"""Solve $H c = E S c$ with $H_{ij} = \langle i|H|j\rangle$, $S_{ij} = \langle i|j\rangle$ in the span of states.

    Row $i$ of both matrices is a mean over samples of state $i$; a factor in a row changes nothing. To first order
    $\delta E_k = u_k (\delta H - E_k\,\delta S)\, c_k$ with the left vector $u_k$, which gives every sample its
    influence: it vanishes where the span holds the exact level. Full sums give upper bounds of the lowest levels.

    Args:
        hamiltonian: a Hermitian operator.
        drawn: states with samples of them, independent of each other.

    Source: Macdonald, Phys. Rev. 43, 830 (1933); Hylleraas and Undheim, Z. Phys. 65, 759 (1930).
    """
    states = len(drawn)
    pairs = [[_products(hamiltonian, top, low) for top in drawn] for low in drawn]
    ratios, products = ([jnp.stack([pair[k] for pair in row]) for row in pairs] for k in (0, 1))
    rows = [low[1] for low in drawn]
    overlap = jnp.stack([s.mean(r.T) for s, r in zip(rows, ratios, strict=True)])
    matrix = jnp.stack([s.mean(p.T) for s, p in zip(rows, products, strict=True)])
    values, right = jnp.linalg.eig(jnp.linalg.solve(overlap, matrix))
    order = jnp.argsort(values.real)
    values, right = values.real[order], right[:, order]
    left = jnp.linalg.inv(right) @ jnp.linalg.inv(overlap)

    def influence(i: int) -> Array:
        """Of each sample of state i on all levels, `[samples, states]`."""
        shifted = products[i][None] - values[:, None, None] * ratios[i][None]  # [levels, states, samples]
        return jnp.einsum("k,kjs,jk->sk", left[:, i], shifted, right).real

    parts = [influence(i) for i in range(states)]
    energy = summed(values, [s.statistics(v) for s, v in zip(rows, parts, strict=True)])
    gap = summed(values[1:] - values[:1], [s.statistics(v[:, 1:] - v[:, :1]) for s, v in zip(rows, parts, strict=True)])
    return Levels(energy, gap, jnp.real(overlap * overlap.T))


def _products(hamiltonian: AbstractOperator, top: Drawn, bottom: Drawn) -> tuple[Array, Array]:
    r"""$\psi_t(x) / \psi_b(x)$ and $\langle x|H|\psi_t\rangle / \psi_b(x)$ of `top`, `bottom` at samples of `bottom`.

    Where `top` is zero (another irrep) it is taken as $e^{-40}$ of its size, so that the second is a number.
    """
    state, rows = top[0], bottom[1]
    log_psi = state.log_psi(rows.x)
    seen = jnp.where(jnp.isfinite(log_psi.real), log_psi, size(top[1]) - 40)
    known = jnp.isfinite(rows.log_psi.real)
    log_ratio = jnp.where(known, seen - size(top[1]) - rows.log_psi + size(bottom[1]), 0)
    plain = dataclasses.replace(state.ansatz, updates=None)  # updates start from the zero itself
    local = local_values(plain, state.params, hamiltonian, rows.x, log_psi=seen, chunk=state.chunk)
    ratio = jnp.where(known, jnp.exp(log_ratio), 0)
    return ratio, ratio * local
