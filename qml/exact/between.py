"""What an operator makes of vectors of a sector, in the bases of other sectors: no vector of a whole space is made."""

from collections.abc import Callable, Iterable, Iterator

import jax
import numpy as np

from qml._core.errors import SpaceError
from qml._core.types import Array
from qml.exact.basis import SectorBasis
from qml.exact.candidates import batches
from qml.exact.orbits import Orbits
from qml.exact.sectormap import row_elements
from qml.operator import AbstractOperator
from qml.operator.commute import image_terms
from symmetries.action import Action

_BATCH = 2**18  # elements worked out at once
_LOST = 1e-10  # share of A|0> that may be missing in the targets
_ALIKE = 1e-10  # numbers that differ by less are equal

Values = Callable[[np.ndarray], np.ndarray]


def images(
    operator: AbstractOperator, source: SectorBasis, vectors: list[Array], targets: list[SectorBasis]
) -> list[list[list[np.ndarray]]]:
    r"""An operator times vectors of a sector and their partners in its irrep, in other sectors.

    Where the operator turns into a multiple of itself under all elements, and irreps have one dimension, $A|v\rangle$
    lies in one sector: its amplitudes on the first configurations of the orbits there say all. Else all
    configurations of the space are gone through, in batches.

    Args:
        operator: A, that does not lead out of the space of the targets.
        source: basis of the sector of the vectors.
        vectors: amplitudes `[source.size]`.
        targets: bases of sectors of one space.

    Returns:
        For each vector, and for each row of the irrep of the source: for each target the rows of its irrep, each in
        the basis of the first row (none where the target has no states).

    Raises:
        SpaceError: the targets together do not hold the products.
    """
    rows = np.stack([np.asarray(vector) for vector in vectors])
    values = _values(operator, source, rows)
    x = jax.ShapeDtypeStruct((1, operator.hilbert.n_sites), np.int8)
    batch = max(1, _BATCH // (1 + jax.eval_shape(row_elements, operator, x)[1].shape[-1]))
    kept = [_keeps(operator, source, target) for target in targets]
    if None not in kept and sum(map(bool, kept)) == 1:
        home = targets[kept.index(True)]
        digits = home.orbits.digits(home.codes)
        parts = [part[:, :stop] for part, _, stop in _pieces(values, [digits], batch)]
        inside = np.concatenate(parts, axis=1) / home.norms if parts else np.zeros((len(rows), 0))
        return [[[] if not t.size else [r if t is home else np.zeros(t.size)] for t in targets] for r in inside]
    return _streamed(values, batch, len(rows) * source.dimension, targets)


def checked_shares(shares: list[float], norm: float, targets: list[SectorBasis]) -> None:
    """Raise where sectors together do not hold all of a vector of this squared norm."""
    if abs(norm - sum(shares)) > _LOST * max(norm, 1e-300):
        texts = [f"{round(share / norm, 9):g} in {basis.sector.label}" for share, basis in zip(shares, targets)]
        raise SpaceError(
            "The operator leads out of the target sectors.",
            got=f"of A|0> a share of {', '.join(texts)}",
            expected="all of it, once",
            try_="target=[...] with all sectors it leads to, or the part of the operator with one momentum and irrep",
        )


def _values(operator: AbstractOperator, source: SectorBasis, rows: np.ndarray) -> Values:
    """Amplitudes `[vectors * dimension, configurations]` of the products on configurations given by their digits."""
    action, d = source.orbits.action, source.dimension
    first, step = action.local_states[0], _step(action)

    def amplitudes(digits: np.ndarray) -> np.ndarray:
        index, weights = source.amplitudes_at(source.orbits.codes(digits), range(d))  # [x, d], [rows, x, d]
        return np.einsum("kxm,vxm->vkx", weights, rows[:, index]).reshape(len(rows) * d, -1 if len(digits) else 0)

    def values(digits: np.ndarray) -> np.ndarray:
        x = (first + step * digits).astype(np.int8)
        new, elements, diagonal = (np.asarray(part) for part in row_elements(operator, x))
        row, group = np.nonzero(elements)
        others = (new[row, group].astype(np.int64) - first) // step
        exist = np.all((others >= 0) & (others <= action.highest), axis=1)
        row, group = row[exist], group[exist]
        terms = elements[row, group] * amplitudes(others[exist])
        total = np.zeros((len(terms), len(x)), np.result_type(terms, diagonal))
        for out, part in zip(total, terms):
            np.add.at(out, row, part)
        return total + diagonal * amplitudes(digits) if np.any(diagonal) else total

    return values


def _step(action: Action) -> int:
    return (action.local_states[-1] - action.local_states[0]) // max(1, action.highest)


def _pieces(values: Values, blocks: Iterable[np.ndarray], batch: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Values on pieces of few lengths (few programs), their digits, and how many of them count."""
    for digits in blocks:
        length = min(batch, 1 << max(0, len(digits) - 1).bit_length())
        for start in range(0, len(digits), length):
            piece = digits[start : start + length].astype(np.int64)
            stop = len(piece)
            piece = np.concatenate([piece, np.repeat(piece[-1:], length - stop, axis=0)])
            yield values(piece), piece, stop


def _streamed(values: Values, batch: int, count: int, targets: list[SectorBasis]) -> list[list[list[np.ndarray]]]:
    """Products with the states of all targets, summed over all configurations of their space."""
    sums = [np.zeros((count, t.dimension, t.size), complex) for t in targets]
    norms = np.zeros(count)
    for part, digits, stop in _pieces(values, _all_digits(targets[0]), batch):
        part, digits = part[:, :stop], digits[:stop]
        norms += np.sum(np.abs(part) ** 2, axis=1)
        for total, target in zip(sums, targets):
            if not target.size:
                continue
            index, weights = target.amplitudes_at(target.orbits.codes(digits), range(target.dimension))
            for row in range(count):
                for l in range(target.dimension):
                    np.add.at(total[row, l], index, weights[l].conj() * part[row][:, None])
    found = []
    for row in range(count):
        shares = [float(np.sum(np.abs(total[row]) ** 2)) for total in sums]
        checked_shares(shares, float(norms[row]), targets)
        found.append([[real_part(a) for a in total[row]] if t.size else [] for total, t in zip(sums, targets)])
    return found


def real_part(values: np.ndarray) -> np.ndarray:
    """Real numbers where nothing else but rounding is left."""
    real, imaginary = np.real(values), np.imag(values)
    return values if np.any(np.abs(imaginary) > 1e-14 * np.abs(values).max(initial=0)) else real


def _all_digits(basis: SectorBasis) -> Iterator[np.ndarray]:
    """Digits of all configurations of the space of a basis, in batches."""
    hilbert, action, n = basis.hilbert, basis.orbits.action, basis.orbits.n
    alone = Action(
        np.arange(n)[None],
        np.zeros(1, bool),
        np.ones((1, n), complex),
        np.ones(1, complex),
        np.zeros(1, bool),
        action.fermionic,
        action.local_states,
    )
    orbits = Orbits(alone)
    for codes in batches(hilbert, orbits):
        digits = orbits.digits(codes)
        if hilbert.envelope != hilbert:
            x = (action.local_states[0] + _step(action) * digits).astype(np.int8)
            digits = digits[np.asarray(hilbert.contains(x))]
        if len(digits):
            yield digits


def _keeps(operator: AbstractOperator, source: SectorBasis, target: SectorBasis) -> bool | None:
    """Whether all products lie in the target (or else none of them in any part); `None` if that cannot be told."""
    if source.dimension > 1 or target.dimension > 1:
        return None
    one, two, same = source.orbits.action, target.orbits.action, True
    for g in target.sector.group.generators:
        alike = (one.permutations == two.permutations[g]).all(axis=1) & (one.reversed == two.reversed[g])
        alike &= (np.abs(one.phases - two.phases[g]) < _ALIKE).all(axis=1)
        terms = image_terms(operator, two, g)
        if not alike.any() or terms is None or (two.fermionic and two.reversed[g]):
            return None
        before, after = terms
        largest = max(before, key=lambda key: abs(before[key]), default=None)
        factor = 1.0 if largest is None or not before[largest] else after.get(largest, 0) / before[largest]
        scale = _ALIKE * max((abs(value) for value in before.values()), default=0)
        if any(abs(after.get(key, 0) - factor * before.get(key, 0)) > scale for key in {*before, *after}):
            return None
        h = int(np.flatnonzero(alike)[0])
        turned = factor * two.constants[g] / one.constants[h] * source.matrices[h, 0, 0]
        same = same and bool(abs(turned - target.matrices[g, 0, 0]) < 1e-8)
    return same
