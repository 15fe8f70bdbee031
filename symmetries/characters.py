r"""Irreducible representations: characters, dimensions and labels, always together.

The class sums of a group commute, so one matrix, a combination of their multiplication matrices, has all
characters among its eigenvectors (Burnside). What the eigensolver gives is only used to read off whole numbers:
how often each root of unity is an eigenvalue of an element in an irrep. From those the characters are written down
again, exact to rounding.
"""

from functools import cached_property

import numpy as np
from jaxtyping import Complex, Float, Int

from symmetries._descriptor import descriptor
from symmetries._errors import SymmetryError
from symmetries.group import FiniteGroup
from symmetries.mulliken import mulliken_labels


@descriptor
class Irrep:
    """One irreducible representation of a group: its label, its dimension and its characters.

    Args:
        label: Mulliken's name for point groups, a made-up one otherwise.
        dimension: dimension of the representation.
        characters: `[g]`, trace of every element.
    """

    label: str
    dimension: int
    characters: Complex[np.ndarray, " g"]

    @property
    def weights(self) -> Complex[np.ndarray, " g"]:
        r"""Coefficients of the projector $P = \sum_g w_g\, g$, $w_g = d\, \overline{\chi(g)} / |G|$."""
        return self.dimension / len(self.characters) * self.characters.conj()


@descriptor
class CharacterTable:
    """All irreps of a group.

    Args:
        group: the group.
        values: `[irreps, classes]`, characters in the order of `group.classes`.
        labels: one name for each row.

    Example:
        >>> import symmetries
        >>> table = symmetries.D(4).characters
        >>> table.labels, table.dimensions
        (('A1', 'A2', 'B1', 'B2', 'E'), (1, 1, 1, 1, 2))
        >>> table.irrep("B1").dimension
        1
    """

    group: FiniteGroup
    values: Complex[np.ndarray, "irreps classes"]
    labels: tuple[str, ...]

    def __post_init__(self):
        sizes = np.array([len(c) for c in self.group.classes])
        overlaps = (self.values * sizes) @ self.values.conj().T / self.group.order
        if self.values.shape != (len(sizes), len(sizes)) or not np.allclose(overlaps, np.eye(len(sizes)), atol=1e-9):
            raise SymmetryError(
                "The rows of a character table are orthonormal.",
                got=f"rows of shape {self.values.shape} that are not",
                expected="one row for each class, sum over the group of chi conj(chi') = |G| for equal rows and 0 else",
                try_="symmetries.character_table(group)",
            )

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Dimension of each irrep."""
        return tuple(irrep.dimension for irrep in self.irreps)

    @cached_property
    def irreps(self) -> tuple[Irrep, ...]:
        """The irreps in the order of the rows."""
        elements = self.values[:, self.group.class_index]
        return tuple(
            Irrep(label, round(row[self.group.identity].real), row) for label, row in zip(self.labels, elements)
        )

    def irrep(self, label: str) -> Irrep:
        """The irrep of a name.

        Raises:
            SymmetryError: there is none; the error lists those there are.
        """
        if label not in self.labels:
            raise SymmetryError(
                f"This group has no irrep {label!r}.",
                got=repr(label),
                expected=f"one of {', '.join(self.labels)}",
                try_=f"irrep={self.labels[0]!r}",
            )
        return self.irreps[self.labels.index(label)]


def character_table(group: FiniteGroup, matrices: Float[np.ndarray, "g d d"] | None = None) -> CharacterTable:
    r"""Characters of all irreps of a finite group.

    $\omega_\chi(C) = |C|\,\chi(C)/\chi(1)$ obeys $\omega(C_i)\,\omega(C_j) = \sum_k a_{ijk}\,\omega(C_k)$, where
    $a_{ijk}$ counts the pairs of $C_i \times C_j$ with a given product in $C_k$. The trivial irrep comes first,
    then by dimension.

    Args:
        group: the group.
        matrices: the isometries that its elements stand for, in one to three dimensions; then the labels are Mulliken's
            (see `symmetries.mulliken`), otherwise the dimension and a letter: `1a`, `1b`, `2a`.

    Returns:
        A `CharacterTable`.

    Raises:
        SymmetryError: rounding spoilt the table (not seen up to thousands of elements).

    Example:
        >>> from symmetries import FiniteGroup, character_table
        >>> character_table(FiniteGroup.cyclic(3)).labels
        ('1a', '1b', '1c')

    Source:
        Dixon, Numer. Math. 10, 446 (1967); Schneider, J. Symb. Comput. 9, 601 (1990).
    """
    values = _exact(group, _eigenvectors(group))
    values = values[sorted_rows(values, int(group.class_index[group.identity]))]
    labels = None if matrices is None else mulliken_labels(matrices, values[:, group.class_index])
    if labels is not None:
        ranks = sorted(range(len(labels)), key=[_rank(label) for label in labels].__getitem__)
        values, labels = values[ranks], tuple(labels[i] for i in ranks)
    return CharacterTable(group, values, labels or _plain_labels(np.real(values[:, group.class_index[group.identity]])))


def _eigenvectors(group: FiniteGroup) -> np.ndarray:
    """Characters `[irreps, classes]` to the accuracy of an eigensolver."""
    index, order = group.class_index, group.order
    sizes = np.bincount(index)
    n = len(sizes)
    counts = np.zeros((n, n, n))  # [i, j, k]: pairs x of class i, x^-1 z of class j, for one z of class k
    for k, members in enumerate(group.classes):
        rest = index[group.product_table[group.inverse, members[0]]]
        np.add.at(counts, (index, rest, np.full_like(rest, k)), 1.0)
    normal = counts * np.sqrt(
        sizes[None, None, :] / sizes[None, :, None]
    )  # commuting normal matrices, one for each class
    normal_adjoint = normal[index[group.inverse[[c[0] for c in group.classes]]]]  # that of the inverse class
    random = np.random.default_rng(0)
    for _ in range(20):
        c = (random.normal(size=n) + 1j * random.normal(size=n)) / sizes
        mixed = np.tensordot(c, normal, 1) + np.tensordot(c.conj(), normal_adjoint, 1)
        levels, vectors = np.linalg.eigh(mixed)
        if n == 1 or np.diff(levels).min() > 1e-6 * np.ptp(levels):
            break
    values = vectors.T / np.sqrt(sizes)
    unit = index[group.identity]
    values = values * (np.abs(values[:, unit]) / values[:, unit])[:, None]
    return values * np.sqrt(order / (sizes * np.abs(values) ** 2).sum(axis=1))[:, None]


def _exact(group: FiniteGroup, values: np.ndarray) -> np.ndarray:
    r"""Characters from rounded eigenvalue multiplicities $m_k = \frac{1}{n} \sum_j \chi(g^j) e^{-2\pi i jk/n}$."""
    result = np.empty_like(values, dtype=complex)
    for i, members in enumerate(group.classes):
        power, powers = group.identity, []
        for _ in range(group.element_orders[members[0]]):
            powers.append(power)
            power = group.product_table[power, members[0]]
        n = len(powers)
        multiplicities = np.fft.fft(values[:, group.class_index[powers]], axis=1) / n
        whole = np.round(multiplicities.real)
        if np.abs(multiplicities - whole).max() > 0.05:
            raise SymmetryError(
                "The eigenvectors of the class sums could not be told apart.",
                got=f"a multiplicity off by {np.abs(multiplicities - whole).max():.2g} from a whole number",
                expected="a group of moderate size",
                try_="a subgroup, e.g. the little group of a momentum",
            )
        result[:, i] = whole @ roots_of_unity(n)
    return snapped(result, 1e-12)


def roots_of_unity(n: int) -> Complex[np.ndarray, " n"]:
    r"""$e^{2\pi i k/n}$ for $k = 0 \ldots n - 1$; parts that are $0$, $\pm\frac12$ or $\pm 1$ are exact.

    Example:
        >>> from symmetries.characters import roots_of_unity
        >>> roots_of_unity(4)
        array([ 1.+0.j,  0.+1.j, -1.+0.j,  0.-1.j])
    """
    return snapped(np.exp(2j * np.pi * np.arange(n) / n), 1e-14)


def sorted_rows(values: Complex[np.ndarray, "irreps columns"], identity: int) -> Int[np.ndarray, " irreps"]:
    """Order of the rows of a character table: the trivial one, then by dimension, then by the values themselves."""
    nontrivial = np.abs(values - 1).max(axis=1) > 0.5
    parts = np.stack([-np.real(values), -np.imag(values)], -1).reshape(len(values), -1)
    keys = np.concatenate([nontrivial[:, None], np.abs(values[:, identity])[:, None], parts], axis=1)
    return np.lexsort(np.round(keys, 6).T[::-1])


def snapped(values: np.ndarray, tolerance: float) -> np.ndarray:
    """Real and imaginary parts that are whole or half to rounding made so."""
    parts = np.stack([np.real(values), np.imag(values)])
    halves = np.round(2 * parts) / 2 + 0.0
    real, imaginary = np.where(np.abs(parts - halves) < tolerance, halves, parts)
    return real + 1j * imaginary


def _plain_labels(dimensions: np.ndarray) -> tuple[str, ...]:
    """`1a`, `1b`, ..., `1z`, `1aa`, ..., `2a`, ..."""
    seen: dict[int, int] = {}
    labels = []
    for dimension in np.round(dimensions).astype(int).tolist():
        number = seen[dimension] = seen.get(dimension, -1) + 1
        letters = ""
        while number >= 0:
            letters, number = chr(ord("a") + number % 26) + letters, number // 26 - 1
        labels.append(f"{dimension}{letters}")
    return tuple(labels)


def _rank(label: str) -> tuple:
    """Order of Mulliken labels: g before u, ' before '', then A B E T G H, then the number."""
    odd = label.endswith(("u", "''"))
    return odd, "ABETGH".index(label[0]), label.rstrip("gu'")
