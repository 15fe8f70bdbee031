"""Couplings of a large thermal state from the marginals inside small windows around each term."""

from collections.abc import Mapping
from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ConfigError, DataError
from qml._core.types import Array, Bool, Float
from qml.gibbs import engine
from qml.gibbs.mirror import Mirrored, newton
from qml.operator.strings import PauliStrings

_STEPS = 60
_TOLERANCE = 1e-11
_AT_ONCE = 16  # windows solved together

Term = tuple[tuple[int, str], ...]  # (site, letter), sites ascending


@final
class Windowed(eqx.Module):
    r"""Couplings found in windows.

    Args:
        theta: coupling of each term.
        change: how much it differs from that of windows two sites smaller: an estimate of what the cut of the
            window does to the smaller ones, and so above the error of `theta` where windows converge.
        converged: the Newton search of its window converged.
    """

    theta: Float[Array, " terms"]
    change: Float[Array, " terms"]
    converged: Bool[Array, " terms"]


def window_couplings(marginals: Mapping[str, float], *, width: int = 8) -> Windowed:
    r"""Couplings $\theta_j$ of $\rho = e^{-\sum_j \theta_j P_j} / Z$ on a long chain from its local marginals.

    The couplings of a term are those of the state of largest entropy with the marginals of all terms inside a window of
    `width` sites around it; the couplings near the ends of a window absorb what lies outside. The error falls
    exponentially with the width over the correlation length, and no state of the whole chain is ever made. Windows with
    the same terms are solved together.

    Args:
        marginals: $\mathrm{Tr}\,\rho P_j$ by name of the term, letters with sites: `{"Z0 Z1": 0.5, "X0": 0.3}`.
        width: sites of a window, from the longest term + 2 to 12; chains that are shorter are one window.

    Returns:
        In the order of the marginals.

    Raises:
        DataError: a name is malformed, comes twice or spans too many sites, or a marginal is not a number in [-1, 1].
        ConfigError: a width out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import ising_chain, window_couplings
        >>> exact = ising_chain(-0.3 * jnp.ones(19), -0.2 * jnp.ones(20))
        >>> marginals = {f"Z{i} Z{i + 1}": float(v) for i, v in enumerate(exact.zz)}
        >>> marginals |= {f"X{i}": float(v) for i, v in enumerate(exact.x)}
        >>> found = window_couplings(marginals, width=5)
        >>> bool(jnp.max(jnp.abs(found.theta[:19] + 0.3)) < 1e-4)
        True
    """
    terms = [_parse(name) for name in marginals]
    values = np.array([float(v) for v in marginals.values()])
    spans = [term[-1][0] - term[0][0] + 1 for term in terms]
    if not terms or len(set(terms)) != len(terms) or not np.all(np.abs(values) <= 1):
        raise DataError(
            "Windows need marginals of distinct Pauli strings, numbers from -1 to 1.",
            got=f"{len(terms)} terms, {len(set(terms))} distinct, values up to {np.abs(values).max(initial=0)}",
            expected='such as {"Z0 Z1": 0.5, "X0": 0.3}',
            try_="each string once",
        )
    if isinstance(width, bool) or not isinstance(width, (int, np.integer)) or not max(spans) + 2 <= width:
        raise ConfigError(
            "A window must be wider than its terms.",
            got=f"width={width} for terms of up to {max(spans)} sites",
            expected=f"an int from {max(spans) + 2} to {engine.LARGEST}",
            try_="width=8",
        )
    engine.check_size(int(width))
    last = max(term[-1][0] for term in terms) + 1
    large, converged = _solve(terms, values, min(int(width), last), last)
    small, _ = _solve(terms, values, min(int(width) - 2, last), last)
    return Windowed(jnp.asarray(large), jnp.asarray(np.abs(large - small)), jnp.asarray(converged))


def _parse(name: str) -> Term:
    pairs = []
    for word in name.split():
        if word[0] not in "XYZ" or not word[1:].isdigit():
            pairs = []
            break
        pairs.append((int(word[1:]), word[0]))
    sites = [i for i, _ in pairs]
    if not pairs or len(set(sites)) != len(sites):
        raise DataError(
            "A term is named by letters with their sites.",
            got=name,
            expected='letters X, Y, Z, each with a site: "Z0 Z1"',
            try_='"X3", "Z0 Z1"',
        )
    return tuple(sorted(pairs))


def _solve(terms: list[Term], values: np.ndarray, width: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Couplings of all terms from windows of one width, and whether their searches converged."""
    starts = [int(np.clip((t[0][0] + t[-1][0] + 1 - width) // 2, 0, last - width)) for t in terms]
    inside: dict[int, list[int]] = {}
    for start in sorted(set(starts)):
        inside[start] = [k for k, t in enumerate(terms) if start <= t[0][0] and t[-1][0] < start + width]
    kinds: dict[tuple[Term, ...], list[tuple[int, list[int]]]] = {}
    for start, members in inside.items():
        moved = {tuple((i - start, letter) for i, letter in terms[k]): k for k in members}
        kinds.setdefault(tuple(sorted(moved)), []).append((start, [moved[t] for t in sorted(moved)]))
    theta, converged = np.zeros(len(terms)), np.zeros(len(terms), bool)
    for shape, windows in kinds.items():
        strings = _strings(shape, width)
        for first in range(0, len(windows), _AT_ONCE):
            some = windows[first : first + _AT_ONCE]
            filled = some + [some[-1]] * (min(_AT_ONCE, len(windows)) - len(some))  # one compiled program
            found = _solve_many(strings, jnp.asarray(values[np.array([members for _, members in filled])]))
            for row, (start, members) in enumerate(some):
                wanted = [(p, k) for p, k in enumerate(members) if starts[k] == start]
                for p, k in wanted:
                    theta[k], converged[k] = float(found.theta[row, p]), bool(found.converged[row])
    return theta, converged


def _strings(shape: tuple[Term, ...], width: int) -> PauliStrings:
    flips, signs = [], []
    for term in shape:
        masks = {letter: sum(1 << (width - 1 - i) for i, have in term if have == letter) for letter in "XYZ"}
        flips.append(masks["X"] | masks["Y"])
        signs.append(masks["Z"] | masks["Y"])
    return PauliStrings(width, tuple(flips), tuple(signs))


@jax.jit(static_argnums=0)
def _solve_many(strings: PauliStrings, targets: Array) -> Mirrored:
    """The inverse mirror map of several windows, one after another: each takes the steps it needs."""
    zero = jnp.zeros_like(targets[0])
    return jax.lax.map(lambda target: newton(strings, target, zero, _TOLERANCE, _STEPS, 0.0), targets)
