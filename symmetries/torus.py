r"""Whole-number vectors modulo a sublattice: the translations of a cluster, and in the same way its momenta.

Two whole vectors are one if they differ by a whole combination of the rows of a matrix $S$. Of each class the one with
$v = \sum_i f_i S_i$, $0 \le f_i < 1$, stands for all. All arithmetic is in whole numbers.
"""

import math
from fractions import Fraction
from functools import cached_property

import numpy as np
from jaxtyping import Int

from symmetries._descriptor import descriptor
from symmetries._errors import SymmetryError


@descriptor
class Quotient:
    """The finite group of whole vectors modulo the rows of a matrix.

    Args:
        rows: `[d, d]` whole numbers, independent.

    Raises:
        SymmetryError: the rows are dependent.

    Example:
        >>> import numpy as np
        >>> from symmetries.torus import Quotient
        >>> tilted = Quotient(np.array([[4, 2], [-2, 4]]))
        >>> len(tilted.vectors), tilted.factors, tilted.canonical(np.array([5, 2]))
        (20, (2, 10), array([-1,  4]))
    """

    rows: Int[np.ndarray, "d d"]

    def __post_init__(self):
        if self.order == 0:
            raise SymmetryError(
                "The torus vectors are linearly dependent.",
                got=self.rows.tolist(),
                expected="independent rows of whole numbers",
                try_="numpy.diag([4, 4])",
            )

    @cached_property
    def order(self) -> int:
        """Number of classes, $|\\det S|$."""
        return math.prod(smith_factors(self.rows))

    @cached_property
    def factors(self) -> tuple[int, ...]:
        """Orders of the cyclic groups whose product this is, each dividing the next; 1 is left out."""
        return tuple(n for n in smith_factors(self.rows) if n > 1)

    @cached_property
    def exponent(self) -> int:
        """Smallest number $e$ with $e v = 0$ for all $v$."""
        return self.factors[-1] if self.factors else 1

    @cached_property
    def inverse(self) -> Int[np.ndarray, "d d"]:
        """The whole matrix $e\\,S^{-1}$ with the exponent $e$."""
        whole = np.rint(np.linalg.inv(self.rows) * self.exponent).astype(np.int64)
        if not np.array_equal(self.rows @ whole, self.exponent * np.eye(len(self.rows), dtype=np.int64)):
            raise SymmetryError(
                "The torus vectors are too large for exact arithmetic.",
                got=self.rows.tolist(),
                expected="a cluster of moderate size",
                try_="shorter vectors of the same lattice",
            )
        return whole

    def coordinates(self, vectors: Int[np.ndarray, "*batch d"]) -> Int[np.ndarray, "*batch d"]:
        """Coordinates $f$ of the classes along the rows, times the exponent: $0 \\le e f_i < e$."""
        return (vectors @ self.inverse) % self.exponent

    def canonical(self, vectors: Int[np.ndarray, "*batch d"]) -> Int[np.ndarray, "*batch d"]:
        """The vector that stands for the class of each one."""
        return self.coordinates(vectors) @ self.rows // self.exponent

    @cached_property
    def vectors(self) -> Int[np.ndarray, "v d"]:
        """The vectors that stand for the classes: zero, then the others in lexicographic order."""
        found = np.zeros((1, len(self.rows)), np.int64)
        for axis in np.eye(len(self.rows), dtype=np.int64):
            steps = np.arange(self.exponent)[:, None] * axis[None, :]
            found = np.unique(self.canonical((found[:, None] + steps[None]).reshape(-1, len(axis))), axis=0)
        return found[np.argsort(found.any(axis=1), kind="stable")]

    def number(self, vectors: Int[np.ndarray, "*batch d"]) -> Int[np.ndarray, "*batch"]:
        """Place in `vectors` of the class of each one."""
        keys, order = self._keys
        return np.asarray(order[np.searchsorted(keys, self._key(vectors))])

    def _key(self, vectors: np.ndarray) -> np.ndarray:
        return np.asarray(self.coordinates(vectors) @ (self.exponent ** np.arange(len(self.rows))))

    @cached_property
    def _keys(self) -> tuple[np.ndarray, np.ndarray]:
        keys = self._key(self.vectors)
        order = np.argsort(keys)
        return keys[order], order


def smith_factors(rows: Int[np.ndarray, "d d"]) -> tuple[int, ...]:
    """Elementary divisors of a matrix of whole numbers, each dividing the next (the diagonal of its Smith form).

    Example:
        >>> import numpy as np
        >>> from symmetries.torus import smith_factors
        >>> smith_factors(np.array([[4, 2], [-2, 4]])), smith_factors(np.diag([4, 6]))
        ((2, 10), (2, 12))
    """
    m = [[int(x) for x in row] for row in rows]
    diagonal: list[int] = []
    while m:
        entries = [(abs(x), i, j) for i, row in enumerate(m) for j, x in enumerate(row) if x]
        if not entries:
            return (*diagonal, *[0] * len(m))
        _, i, j = min(entries)
        m[0], m[i] = m[i], m[0]
        for row in m:
            row[0], row[j] = row[j], row[0]
        pivot = m[0][0]
        for row in m[1:]:
            row[:] = [x - row[0] // pivot * y for x, y in zip(row, m[0])]
        for k in range(1, len(m)):
            times = m[0][k] // pivot
            for row in m:
                row[k] -= times * row[0]
        if any(row[0] for row in m[1:]) or any(m[0][1:]):
            continue  # remainders smaller than the pivot: once more
        rest = next((row for row in m[1:] if any(x % pivot for x in row)), None)
        if rest is not None:
            m[0] = [x + y for x, y in zip(m[0], rest)]
            continue
        diagonal.append(abs(pivot))
        m = [row[1:] for row in m[1:]]
    return tuple(diagonal)


def whole_multiple(vectors: np.ndarray, largest: int, tolerance: float) -> int | None:
    """Smallest number up to `largest` that makes all entries whole to a tolerance; `None` if there is none.

    Example:
        >>> import numpy as np
        >>> from symmetries.torus import whole_multiple
        >>> whole_multiple(np.array([0.25, 1 / 3]), 48, 1e-6)
        12
    """
    parts = [Fraction(float(x)).limit_denominator(largest) for x in np.asarray(vectors, float).ravel()]
    multiple = math.lcm(*(part.denominator for part in parts)) if parts else 1
    rest = np.asarray(vectors, float) * multiple
    fits = multiple <= largest and bool((np.abs(rest - np.round(rest)) < tolerance * multiple).all())
    return multiple if fits else None
