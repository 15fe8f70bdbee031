"""Operators without a sign problem: a start vector that no lowest level is orthogonal to."""

from typing import Any

import jax
import numpy as np

from qml.exact.basis import SectorBasis
from qml.exact.fastmap import all_codes, elements
from qml.operator import AbstractOperator, PauliSum

_WIDEST = 6  # flipped sites whose patterns are looked at one by one
_ROUNDING = 1e-12
_SAMPLES = 1000


def positive_start(operator: AbstractOperator) -> np.ndarray | None:
    r"""A vector of signs with an overlap with the ground state, where the signs of the operator allow to know one.

    If some signs $\sigma(x) = \prod_{i \in A} x_i$ make every off-diagonal element $\sigma(x) H_{xx'} \sigma(x')$
    negative or zero, a ground state has non-negative amplitudes $\sigma(x) \psi(x)$ (Perron and Frobenius), so it is
    not orthogonal to $\sigma$. That vector has all its symmetries: Lanczos needs half the steps. The set A
    solves one equation modulo 2 for each group of strings that flip the same sites.

    Args:
        operator: a Hermitian operator.

    Returns:
        Signs `[size]` in basis order, or `None` where nothing is known.

    Example:
        >>> from qml.exact.positive import positive_start
        >>> from qml.hilbert import Spin
        >>> from qml.lattice import Chain
        >>> from qml.operator import Heisenberg
        >>> positive_start(Heisenberg(Spin(4, magnetisation=0), Chain(4))).tolist()
        [-1.0, 1.0, -1.0, -1.0, 1.0, -1.0]
        >>> positive_start(Heisenberg(Spin(3), Chain(3))) is None  # frustrated
        True

    Source:
        W. Marshall, Proc. R. Soc. A 232, 48 (1955).
    """
    hilbert, rotated = operator.hilbert, _rotated(operator)
    bits = hilbert.bits if rotated is not None and hilbert.is_constrained else None
    if rotated is None or (bits is not None and bits.high is None):
        return None
    codes = np.arange(hilbert.size, dtype=np.uint64) if bits is None else all_codes(bits)
    return 1.0 - 2.0 * (np.bitwise_count(codes & codes.dtype.type(rotated)) & 1)


def sector_start(operator: AbstractOperator, basis: SectorBasis) -> np.ndarray | None:
    """The vector of `positive_start` in the basis of a sector, where it lies in that sector.

    Args:
        operator: a Hermitian operator on the space of the basis.
        basis: from `SectorBasis`.

    Returns:
        Amplitudes `[size]`, or `None` where nothing is known.
    """
    rotated = _rotated(operator) if basis.dimension == 1 and basis.size else None
    if rotated is None:
        return None
    n, orbits = operator.hilbert.n_sites, basis.orbits
    word = orbits.dtype.type(sum(1 << int(orbits.place[m]) for m in range(n) if rotated >> (n - 1 - m) & 1))
    x = operator.hilbert.random_state(jax.random.key(0), _SAMPLES)
    codes = orbits.codes(orbits.action.digits(np.asarray(x)))
    orbit, moves, factors = basis.locate(codes)
    known = factors.conj() * basis.matrices[moves, 0, 0] * _parity(basis.codes[orbit], word)
    if np.any(orbit < 0) or np.max(np.abs(known - _parity(codes, word))) > _ROUNDING:
        return None
    return _parity(basis.codes, word) / basis.norms


def _parity(codes: np.ndarray, word: Any) -> np.ndarray:
    return 1.0 - 2.0 * (np.bitwise_count(codes & word) & 1)


def _rotated(operator: AbstractOperator) -> int | None:
    """The set A as a mask of sites, or `None`."""
    if not isinstance(operator, PauliSum) or operator.hilbert.envelope != operator.hilbert:
        return None
    strings, layout, hilbert = operator.strings, operator.strings.layout, operator.hilbert
    values = elements(operator)
    if np.iscomplexobj(values) or hilbert.n_sites > 62:
        return None
    equations, position = [], 0
    for count, size in layout.runs:
        for terms in layout.order[position : position + count * size].reshape(count, size):
            flip = strings.flips[terms[0]]
            sign = _sign(flip, [strings.signs[k] for k in terms], values[terms], hilbert.is_constrained)
            if sign is None:
                return None
            if sign:
                equations.append((flip, int(sign > 0)))
        position += count * size
    return _solve(equations)


def _sign(flip: int, masks: list[int], values: np.ndarray, balanced: bool) -> int | None:
    """The sign that all non-zero elements of a group share, zero if there are none, `None` if they differ."""
    sites = [b for b in range(flip.bit_length()) if flip >> b & 1]
    if len(sites) > _WIDEST:
        return None
    patterns = np.array([sum((p >> q & 1) << b for q, b in enumerate(sites)) for p in range(2 ** len(sites))], object)
    if balanced:  # a fixed magnetisation: as many up as down
        patterns = patterns[[2 * int(p).bit_count() == len(sites) for p in patterns]]
    total: dict[int, np.ndarray] = {}
    for mask, value in zip(masks, values):
        odd = np.array([int(p & mask).bit_count() % 2 for p in patterns], bool)
        total[mask & ~flip] = total.get(mask & ~flip, 0.0) + np.where(odd, -value, value)
    inside = total.pop(0, np.zeros(len(patterns)))
    spread = np.sum([np.abs(t) for t in total.values()], axis=0) if total else np.zeros(len(patterns))
    rounding = _ROUNDING * np.sum(np.abs(values))
    low, high = np.min(inside - spread, initial=0.0), np.max(inside + spread, initial=0.0)
    if low < -rounding and high > rounding:
        return None
    return -1 if low < -rounding else int(high > rounding)


def _solve(equations: list[tuple[int, int]]) -> int | None:
    """A set A (a mask) with |A and flip| = parity modulo 2 for each equation, or `None`."""
    rows: dict[int, tuple[int, int]] = {}  # leading bit -> equation
    for flip, parity in equations:
        for bit in sorted(rows, reverse=True):
            if flip >> bit & 1:
                flip, parity = flip ^ rows[bit][0], parity ^ rows[bit][1]
        if flip:
            rows[flip.bit_length() - 1] = (flip, parity)
        elif parity:
            return None
    chosen = 0
    for bit in sorted(rows):  # lower bits are settled first
        flip, parity = rows[bit]
        if ((flip & ~(1 << bit) & chosen).bit_count() + parity) % 2:
            chosen |= 1 << bit
    return chosen
