r"""State vectors of many shots at once, in real arithmetic, with the shots on the last axis.

A state is two blocks, one for each setting of the first qubit; a block has shape `[2, ..., 2, shots]` over the other
qubits. Gates are then plain arithmetic on whole arrays of shots, which the compiler fuses into a few loops.
"""

import itertools
from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from diffquantum.ir import ROTATIONS
from qml._core.types import Array

LISTED = 1  # leading qubits that are unrolled into separate blocks; more of them make long programs slow to compile
Pair = tuple[Array, Array]  # real and imaginary part


class State(eqx.Module):
    """Amplitudes of many shots: real and imaginary parts of the blocks."""

    re: tuple[Array, ...]
    im: tuple[Array, ...]
    qubits: int = eqx.field(static=True)


def zero(qubits: int, shots: int, dtype: np.dtype) -> State:
    """All qubits of all shots in |0>."""
    listed = min(qubits, LISTED)
    empty = jnp.zeros((2,) * (qubits - listed) + (shots,), dtype)
    first = empty.at[(0,) * (qubits - listed)].set(1)
    return State((first, *(empty,) * (2**listed - 1)), (empty,) * 2**listed, qubits)


# ------------------------------------------------------------------------------------------ gates


def rotate(state: State, name: str, qubits: Sequence[int], cosine: Array, sine: Array) -> State:
    r"""Apply $e^{-i \phi P / 2} = \cos\tfrac\phi2 - i \sin\tfrac\phi2\, P$.

    Args:
        state: the state.
        name: a name of `ROTATIONS`.
        qubits: the qubits of $P$, in order.
        cosine: $\cos\tfrac\phi2$, one number or `[shots]`; 1 leaves a shot alone.
        sine: $\sin\tfrac\phi2$, likewise.
    """
    action = _pauli(ROTATIONS[name])

    def mix(old: list[Pair]) -> list[Pair]:
        c, s = _lift(cosine, old[0][0]), _lift(sine, old[0][0])
        new = []
        for to, (source, phase) in enumerate(action):
            re, im = _times(-1j * phase, old[source])
            new.append((_plus(c * old[to][0], re, s), _plus(c * old[to][1], im, s)))
        return new

    return _mixed(state, qubits, mix)


def apply(state: State, matrix: np.ndarray, qubits: Sequence[int], mask: Array | None) -> State:
    """Apply a fixed gate where `mask` holds (`None` is everywhere); the first qubit leads in the matrix."""

    def mix(old: list[Pair]) -> list[Pair]:
        where = None if mask is None else _lift(mask, old[0][0])
        new = list(old)
        for i, row in enumerate(matrix):
            if np.array_equal(row, np.eye(len(row))[i]):
                continue
            terms = [_times(complex(row[j]), old[j]) for j in np.flatnonzero(row)]
            re, im = (_sum([t[part] for t in terms], old[i][part]) for part in (0, 1))
            if where is not None:
                re, im = jnp.where(where, re, old[i][0]), jnp.where(where, im, old[i][1])
            new[i] = (re, im)
        return new

    return _mixed(state, qubits, mix)


# ------------------------------------------------------------------------------------------ measurement


def weights(state: State, qubit: int) -> Pair:
    """Unnormalised probabilities `[shots]` of finding the qubit in |0> and in |1>."""
    re, im = (_split(x, state.qubits, (qubit,)) for x in (state.re, state.im))
    none, one = ([_total(a**2 + b**2) for a, b in zip(re[bit], im[bit])] for bit in (0, 1))
    return sum(none[1:], none[0]), sum(one[1:], one[0])


def collapse(state: State, qubit: int, one: Array, norm: Array, reset: bool, mask: Array | None) -> State:
    """Project a qubit on the outcome `one`, normalise, and reset it to |0> if wanted, where `mask` holds.

    Args:
        state: the state.
        qubit: which qubit.
        one: outcome `[shots]`, True is |1>.
        norm: unnormalised probability `[shots]` of that outcome.
        reset: whether the qubit goes to |0>.
        mask: which shots are measured; `None` is all.
    """
    scale = 1 / jnp.sqrt(norm)

    def mix(old: list[Pair]) -> list[Pair]:
        outcome, factor = _lift(one, old[0][0]), _lift(scale, old[0][0])
        new = []
        for part in (0, 1):
            a, b = old[0][part], old[1][part]
            nothing = jnp.zeros((), a.dtype)
            if reset:
                pair = (jnp.where(outcome, b, a) * factor, jnp.zeros_like(a))
            else:
                pair = (jnp.where(outcome, nothing, a * factor), jnp.where(outcome, b * factor, nothing))
            if mask is not None:
                pair = tuple(jnp.where(_lift(mask, a), x, y) for x, y in zip(pair, (a, b)))
            new.append(pair)
        return list(zip(*new))

    return _mixed(state, (qubit,), mix)


def expect(state: State, letters: str, qubits: Sequence[int]) -> Array:
    """Mean `[shots]` of a Pauli string in the normalised state.

    Args:
        state: the state.
        letters: X, Y, Z or I for each qubit.
        qubits: the qubits, in the order of the letters.
    """
    used = [(letter, q) for letter, q in zip(letters, qubits, strict=True) if letter != "I"]
    none, one = weights(state, 0)
    norm = jnp.where(none + one > 0, none + one, 1)
    if not used:
        return jnp.ones_like(norm)
    action = _pauli("".join(letter for letter, _ in used))
    where = [q for _, q in used]
    re, im = (_split(x, state.qubits, where) for x in (state.re, state.im))
    total = jnp.zeros(())
    for to, (source, phase) in enumerate(action):
        for a, b, c, d in zip(re[to], im[to], re[source], im[source]):
            x, y = _times(phase, (c, d))
            total = total + _total(_plus(_plus(jnp.zeros(()), x, a), y, b))
    return total / norm


# ------------------------------------------------------------------------------------------ blocks


def _pauli(letters: str) -> list[tuple[int, complex]]:
    """Row by row of the matrix of a Pauli string: the column of its one entry, and the entry."""
    rows = {"X": [(1, 1 + 0j), (0, 1 + 0j)], "Y": [(1, -1j), (0, 1j)], "Z": [(0, 1 + 0j), (1, -1 + 0j)]}
    out = [(0, 1 + 0j)]
    for letter in letters:
        out = [(2 * column + c, entry * e) for column, entry in out for c, e in rows[letter]]
    return out


def _times(factor: complex, pair: tuple[Array | None, Array | None]) -> tuple[Array | None, Array | None]:
    """A constant times a complex number; `None` stands for 0."""
    a, b = pair
    x, y = factor.real, factor.imag

    def part(p, u, q, v):
        terms = [u if p == 1 else -u if p == -1 else p * u] if p and u is not None else []
        terms += [v if q == 1 else -v if q == -1 else q * v] if q and v is not None else []
        return None if not terms else terms[0] if len(terms) == 1 else terms[0] + terms[1]

    return part(x, a, -y, b), part(x, b, y, a)


def _plus(total: Array, term: Array | None, factor: Array) -> Array:
    return total if term is None else total + term * factor


def _sum(terms: list[Array | None], like: Array) -> Array:
    found = [t for t in terms if t is not None]
    return sum(found[1:], found[0]) if found else jnp.zeros_like(like)


def _lift(x: Array, like: Array) -> Array:
    """A number per shot, ready to be broadcast against a block."""
    return x if x.ndim == 0 else x.reshape((1,) * (like.ndim - 1) + x.shape)


def _total(x: Array) -> Array:
    return x if x.ndim == 1 else jnp.sum(x, axis=tuple(range(x.ndim - 1)))


def _mixed(state: State, qubits: Sequence[int], mix: Callable[[list[Pair]], list]) -> State:
    re, im = (_split(x, state.qubits, qubits) for x in (state.re, state.im))
    columns = [mix([(r[j], i[j]) for r, i in zip(re, im)]) for j in range(len(re[0]))]
    new = [[[column[bits][part] for column in columns] for bits in range(len(re))] for part in (0, 1)]
    return State(*(_merged(x, state.qubits, qubits) for x in new), qubits=state.qubits)


def _settings(n: int, qubits: Sequence[int]):
    """For each setting of the qubits: which blocks hold it, and where in them."""
    listed = min(n, LISTED)
    numbers = np.arange(2**listed).reshape((2,) * listed)
    for bits in itertools.product((0, 1), repeat=len(qubits)):
        at: list = [slice(None)] * n
        for q, bit in zip(qubits, bits):
            at[q] = bit
        yield np.ravel(numbers[tuple(at[:listed])]).tolist(), tuple(at[listed:])


def _split(blocks: tuple[Array, ...], n: int, qubits: Sequence[int]) -> list[list[Array]]:
    """The parts of a state for each setting of some qubits, aligned with each other."""
    return [[blocks[i][at] for i in numbers] for numbers, at in _settings(n, qubits)]


def _merged(parts: list[list[Array]], n: int, qubits: Sequence[int]) -> tuple[Array, ...]:
    """The inverse of `_split`."""
    inner = [q - LISTED for q in qubits if q >= LISTED]
    pieces: dict[int, list[Array]] = {}
    for (numbers, _), part in zip(_settings(n, qubits), parts):
        for number, piece in zip(numbers, part):
            pieces.setdefault(number, []).append(piece)
    blocks = []
    for number in sorted(pieces):
        found = pieces[number]
        if inner:
            joined = jnp.stack(found).reshape((2,) * len(inner) + found[0].shape)
            found = [jnp.moveaxis(joined, range(len(inner)), inner)]
        blocks.append(found[0])
    return tuple(blocks)
