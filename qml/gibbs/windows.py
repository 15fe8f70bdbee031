"""Couplings of a large thermal state from the marginals inside small windows around each term."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qml import linalg
from qml._core.errors import ConfigError, DataError
from qml._core.types import Array, Bool, Float
from qml.gibbs import engine
from qml.gibbs.metric import inverse
from qml.gibbs.mirror import Mirrored, newton
from qml.gibbs.shots import ShotData
from qml.operator.strings import PauliStrings

_STEPS = 60
_TOLERANCE = 1e-11
_AT_ONCE = 16  # windows solved together

Term = tuple[tuple[int, str], ...]  # (site, letter), sites ascending
Window = tuple[int, int]  # first site, width


@final
class Windowed(eqx.Module):
    r"""Couplings found in windows.

    Args:
        theta: coupling of each term.
        change: how much it differs from that of one window with the term in its middle (near the ends of the chain,
            of one site less): what its cuts do, and so above the error of `theta` where windows converge.
        converged: the Newton searches of its windows converged.
        error: its standard error from those of the marginals; zero for exact ones.
    """

    theta: Float[Array, " terms"]
    change: Float[Array, " terms"]
    converged: Bool[Array, " terms"]
    error: Float[Array, " terms"]


def window_couplings(marginals: Mapping[str, float], *, width: int = 8, errors: Any = None) -> Windowed:
    r"""Couplings $\theta_j$ of $\rho = e^{-\sum_j \theta_j P_j} / Z$ on a long chain from its local marginals.

    The state of largest entropy with the marginals of all terms inside a window has nearly the couplings of the chain
    in its middle; those near its ends absorb what lies outside. The errors of the two cuts add up but for their
    product. So three windows, one that reaches far to the left of the term, one that reaches far to the right, and
    the part they share, give $\theta_{left} + \theta_{right} - \theta_{shared}$ with the errors of the far cuts only.
    The error falls exponentially with the width over the correlation length; no state of the whole chain is ever made.

    Args:
        marginals: $\mathrm{Tr}\,\rho P_j$ by name of the term, letters with sites: `{"Z0 Z1": 0.5, "X0": 0.3}`.
        width: sites of a window, from the longest term + 2 to 12; chains that are shorter are one window.
        errors: standard errors of the marginals `[terms]`, or their covariance `[terms, terms]` (`averages` has it);
            `None` is exactly known.

    Returns:
        In the order of the marginals.

    Raises:
        DataError: a name is malformed, comes twice or spans too many sites, a marginal is not a number in [-1, 1], or
            the errors do not fit.
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
    terms = [parse_term(name) for name in marginals]
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
    wide = min(int(width), last)
    places = [_places(term, wide, last) for term in terms]
    plain = [_plain(term, wide, last) for term in terms]
    found = _solve(terms, values, {w for three in places for w in three} | set(plain), errors is not None)
    signed = [list(zip(three, (1, 1, -1))) for three in places]
    return combined(found, signed, plain, spread_of(errors, len(terms)))


def averages(shots: ShotData, names: Sequence[str]) -> tuple[dict[str, float], Float[np.ndarray, "terms terms"]]:
    """Averages of terms from shots on any number of sites, and their covariance: what `window_couplings` needs.

    Args:
        shots: the data.
        names: terms, letters with sites.

    Raises:
        DataError: a name is malformed or leaves the sites, or no basis measures it.

    Example:
        >>> from qml.gibbs import ShotData, averages
        >>> mean, covariance = averages(ShotData.from_counts({"ZZZ": {"000": 3, "110": 1}}), ["Z0 Z1", "Z0"])
        >>> mean
        {'Z0 Z1': 1.0, 'Z0': 0.5}
    """
    terms = [parse_term(name) for name in names]
    if not terms or max(term[-1][0] for term in terms) >= shots.n_sites:
        raise DataError(
            "A term leaves the sites that were measured.",
            got=f"{len(terms)} terms, sites up to {max((term[-1][0] for term in terms), default=None)}",
            expected=f"sites 0 to {shots.n_sites - 1}",
            try_='names such as "Z0 Z1"',
        )
    mean, covariance = shots.moments(_strings(tuple(terms), shots.n_sites))
    return dict(zip(names, np.asarray(mean).tolist(), strict=True)), np.asarray(covariance)


def spread_of(errors: Any, count: int) -> np.ndarray | None:
    """The covariance of marginals from their standard errors or itself.

    Raises:
        DataError: they are of another shape, not finite or negative.
    """
    if errors is None:
        return None
    given = np.asarray(errors, float)
    if given.shape not in ((count,), (count, count)) or not np.all(np.isfinite(given)):
        good = False
    elif given.ndim == 1:
        good = bool(np.all(given >= 0))
    else:
        good = bool(np.allclose(given, given.T) and np.all(np.diagonal(given) >= 0))
    if not good:
        raise DataError(
            "The errors do not fit the marginals.",
            got=f"shape {given.shape}",
            expected=f"{count} standard errors >= 0, or a covariance [{count}, {count}]",
            try_="mean, covariance = averages(shots, names)",
        )
    return np.diag(given**2) if given.ndim == 1 else given


def combined(
    found: Mapping[Any, dict], signed: Sequence[Sequence[tuple[Any, int]]], plain: Sequence[Any], spread: Any
) -> Windowed:
    """Sums of signed windows of each term, and what they differ from one plain window.

    Args:
        found: of `solve_windows`.
        signed: windows of each term with their signs.
        plain: the one window of each term to compare with.
        spread: covariance of the marginals, or `None`.
    """
    theta, change, converged, error = [], [], [], []
    for k, (windows, single) in enumerate(zip(signed, plain, strict=True)):
        answers = [(sign, found[window][k]) for window, sign in windows]
        theta.append(sum(sign * answer.theta for sign, answer in answers))
        change.append(abs(theta[-1] - found[single][k].theta))
        converged.append(all(answer.converged for _, answer in answers))
        slope: dict[int, float] = {}
        for sign, answer in answers if spread is not None else ():
            for member, value in zip(answer.members, answer.slope, strict=True):
                slope[member] = slope.get(member, 0.0) + sign * value
        index, row = np.array(list(slope), int), np.array(list(slope.values()))
        error.append(0.0 if spread is None else np.sqrt(max(row @ spread[np.ix_(index, index)] @ row, 0.0)))
    return Windowed(*map(jnp.asarray, (theta, change, converged, error)))


def _plain(term: Term, width: int, last: int) -> Window:
    """The window with the term in its middle; at the ends of the chain one site smaller, on the side that is cut."""
    left, right, _ = _places(term, width, last)
    first, end = term[0][0], term[-1][0] + 1
    if left != right or width == last:
        return int(np.clip((first + end - width) // 2, 0, last - width)), width
    return (left[0] + int(left[0] > 0), width - 1)


def _places(term: Term, width: int, last: int) -> tuple[Window, Window, Window]:
    return spread_windows(term[0][0], term[-1][0] + 1, width, last)


def spread_windows(first: int, end: int, width: int, last: int) -> tuple[Window, Window, Window]:
    """A window that reaches far to the left of sites, one that reaches far to the right, and what they share."""
    near = (width - (end - first) - 1) // 2
    left = int(np.clip(end + near - width, 0, last - width))
    right = int(np.clip(first - near, 0, last - width))
    left, right = min(left, right), max(left, right)
    return (left, width), (right, width), (right, left + width - right)


def parse_term(name: str) -> Term:
    """`"Z0 Z1"` as sites with letters.

    Raises:
        DataError: a malformed name, or a site twice.
    """
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


def _solve(terms: list[Term], values: np.ndarray, windows: set[Window], slopes: bool) -> dict[Window, dict]:
    """The answers for all terms inside each window of a chain."""
    regions = {}
    for start, width in windows:
        members = [k for k, t in enumerate(terms) if start <= t[0][0] and t[-1][0] < start + width]
        regions[start, width] = width, {tuple((i - start, letter) for i, letter in terms[k]): k for k in members}
    return solve_windows(values, regions, slopes)


class Answer(NamedTuple):
    """A coupling in a window: whether the search converged, and its derivatives in the marginals of some terms."""

    theta: float
    converged: bool
    members: list[int]
    slope: np.ndarray


def solve_windows(values: np.ndarray, regions: Mapping[Any, tuple[int, dict[tuple, int]]], slopes: bool) -> dict:
    """An `Answer` for each term inside each window; equal windows share a program.

    Args:
        values: marginal of each term.
        regions: number of sites of each window and the terms in it, by their letters on its own sites.
        slopes: make the derivatives in the marginals.
    """
    kinds: dict[tuple, list[tuple[Any, list[int]]]] = {}
    for region, (width, moved) in sorted(regions.items()):
        order = sorted(moved)
        kinds.setdefault((width, tuple(order)), []).append((region, [moved[t] for t in order]))
    answers: dict = {}
    for (width, shape), group in kinds.items():
        strings, guess = _strings(shape, width), jnp.zeros(len(shape))
        for first in range(0, len(group), _AT_ONCE):
            some = group[first : first + _AT_ONCE]
            filled = some + [some[-1]] * (min(_AT_ONCE, len(group)) - len(some))  # one compiled program
            found = _solve_many(strings, jnp.asarray(values[np.array([members for _, members in filled])]), guess)
            theta, converged, guess = np.asarray(found.theta), np.asarray(found.converged), found.theta[-1]
            rows = np.asarray(_slopes(strings, found.theta)) if slopes else np.zeros((len(filled), len(shape), 0))
            for row, (window, members) in enumerate(some):
                answers[window] = {
                    k: Answer(float(theta[row, p]), bool(converged[row]), members, rows[row, p])
                    for p, k in enumerate(members)
                }
    return answers


def _strings(shape: tuple[Term, ...], width: int) -> PauliStrings:
    flips, signs = [], []
    for term in shape:
        masks = {letter: sum(1 << (width - 1 - i) for i, have in term if have == letter) for letter in "XYZ"}
        flips.append(masks["X"] | masks["Y"])
        signs.append(masks["Z"] | masks["Y"])
    return PauliStrings(width, tuple(flips), tuple(signs))


@functools.partial(linalg.jitted, static_argnums=0)
def _solve_many(strings: PauliStrings, targets: Array, guess: Array) -> Mirrored:
    """The inverse mirror map of several windows, one after another, each from the couplings of the one before."""

    def one(start: Array, target: Array) -> tuple[Array, Mirrored]:
        found = newton(strings, target, start, _TOLERANCE, _STEPS, 0.0)
        return jnp.where(found.converged, found.theta, 0.0), found

    return jax.lax.scan(one, guess, targets)[1]


@functools.partial(linalg.jitted, static_argnums=0)
def _slopes(strings: PauliStrings, thetas: Array) -> Array:
    """Derivatives of couplings in marginals, minus the inverse Kubo-Mori metric, for several windows."""
    return jax.lax.map(lambda t: -inverse(engine.metric(strings, engine.solve(strings, t), "bkm")), thetas)
