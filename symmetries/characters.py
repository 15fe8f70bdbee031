r"""Irreducible representations: characters, dimensions and labels, always together.

The class sums of a group commute, so one matrix, a combination of their multiplication matrices, has all
characters among its eigenvectors (Burnside). What the eigensolver gives is only used to read off whole numbers:
how often each root of unity is an eigenvalue of an element in an irrep. From those the characters are written down
again, in complex numbers exact to rounding, and in the integers modulo a prime, where roots of unity are integers too
(Dixon). There the table is verified without any rounding: its rows are the eigenvectors of a class sum with as many
different eigenvalues as classes, so they are the characters and nothing else.
"""

from functools import cached_property

import numpy as np
from jaxtyping import Complex, Float, Inexact, Int

from symmetries._descriptor import descriptor
from symmetries._errors import SymmetryError
from symmetries._subgroups import prime_factors
from symmetries.group import FiniteGroup
from symmetries.mulliken import mulliken_labels


@descriptor
class Irrep:
    """One irreducible representation of a group: its label, its dimension and its characters.

    Args:
        label: Mulliken's name for point groups, a made-up one otherwise.
        dimension: dimension of the representation.
        characters: `[g]`, trace of every element.

    Example:
        >>> from symmetries import character_table, named_point_group
        >>> trivial = character_table(named_point_group("C3").group).irreps[0]
        >>> trivial.dimension, trivial.weights.real.round(3).tolist()
        (1, [0.333, 0.333, 0.333])
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

    @cached_property
    def indicators(self) -> tuple[int, ...]:
        r"""Frobenius-Schur indicator of each irrep, $\frac{1}{|G|} \sum_g \chi(g^2)$.

        +1: its matrices can be real; -1: its characters are real, its matrices cannot be; 0: it is not equivalent to
        its conjugate.

        Example:
            >>> import symmetries
            >>> symmetries.C(3).characters.indicators, symmetries.D(3).characters.indicators
            ((1, 0, 0), (1, 1, 1))
        """
        everything = np.arange(self.group.order)
        squares = self.group.class_index[self.group.product_table[everything, everything]]
        return tuple(round(mean) for mean in np.real(self.values[:, squares].mean(axis=1)).tolist())

    def decompose(self, characters: Inexact[np.ndarray, " g"]) -> dict[str, int]:
        r"""How often each irrep is in a representation, $\frac{1}{|G|} \sum_g \overline{\chi(g)}\, X(g)$.

        Args:
            characters: `[g]`, trace of every element.

        Raises:
            SymmetryError: these are not the traces of a representation.

        Example:
            >>> import numpy as np, symmetries
            >>> group = symmetries.D(4)
            >>> group.characters.decompose(np.trace(group.matrices, axis1=1, axis2=2) ** 2)
            {'A1': 1, 'A2': 1, 'B1': 1, 'B2': 1, 'E': 0}
        """
        if characters.shape != (self.group.order,):
            got, counts = f"shape {characters.shape}", None
        else:
            rows = self.values[:, self.group.class_index]
            counts = rows.conj() @ characters / self.group.order
            got = f"counts {np.round(counts, 3).tolist()}"
            rest = np.abs(np.round(counts.real) @ rows - characters).max()
            if counts.real.min() < -0.5 or not rest < 1e-6 * self.group.order:
                counts = None
        if counts is None:
            raise SymmetryError(
                "These are not the traces of a representation.",
                got=got,
                expected=f"one trace for each of {self.group.order} elements, whole counts >= 0",
                try_="numpy.trace(matrices, axis1=1, axis2=2)",
            )
        return dict(zip(self.labels, np.round(counts.real).astype(int).tolist()))


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
        SymmetryError: the table could not be verified (not seen up to thousands of elements).

    Example:
        >>> from symmetries import FiniteGroup, character_table
        >>> character_table(FiniteGroup.cyclic(3)).labels
        ('1a', '1b', '1c')

    Source:
        Dixon, Numer. Math. 10, 446 (1967); Schneider, J. Symb. Comput. 9, 601 (1990).
    """
    values = _characters(group)
    values = values[sorted_rows(values, int(group.class_index[group.identity]))]
    labels = None if matrices is None else mulliken_labels(matrices, values[:, group.class_index])
    if labels is not None:
        ranks = sorted(range(len(labels)), key=[_rank(label) for label in labels].__getitem__)
        values, labels = values[ranks], tuple(labels[i] for i in ranks)
    return CharacterTable(group, values, labels or _plain_labels(np.real(values[:, group.class_index[group.identity]])))


def _characters(group: FiniteGroup) -> np.ndarray:
    """All characters `[irreps, classes]`, in no special order."""
    if group.is_abelian:
        return _abelian(group)
    for attempt in range(8):
        random = np.random.default_rng(attempt)
        multiplicities = _multiplicities(group, _eigenvectors(group, random))
        if multiplicities is not None and _verified(group, multiplicities, random):
            return snapped(_assembled(group, multiplicities, {n: roots_of_unity(n) for n in _orders(group)}), 1e-12)
    raise SymmetryError(
        "The eigenvectors of the class sums could not be told apart.",
        got=f"{len(group.classes)} classes",
        expected="a group of moderate size",
        try_="a subgroup, e.g. the little group of a momentum",
    )


def _abelian(group: FiniteGroup) -> np.ndarray:
    """Characters of an abelian group: those of a subgroup are continued to one more generator after the other."""
    whole = group.exponent
    turns, elements = np.zeros((1, 1), np.int64), np.array([group.identity])  # [characters, elements], in 1/whole
    for g in group.generators:
        power, powers = g, [group.identity]
        while power not in elements:
            powers.append(power)
            power = int(group.product_table[power, g])
        m = len(powers)
        base = turns[:, np.flatnonzero(elements == power)[0]] // m  # m times the turn of g is that of g^m
        steps = (base[:, None] + np.arange(m)[None, :] * (whole // m)).reshape(-1)
        turns = np.repeat(turns, m, axis=0)[:, None, :] + steps[:, None, None] * np.arange(m)[None, :, None]
        turns = turns.reshape(len(steps), -1) % whole
        elements = group.product_table[np.array(powers)[:, None], elements[None, :]].reshape(-1)
    values = np.empty((group.order, group.order), complex)
    values[:, group.class_index[elements]] = roots_of_unity(whole)[turns]
    return values


def _class_sum(group: FiniteGroup, weights: np.ndarray) -> np.ndarray:
    """`[j, k]`: weights of the classes of all $x$ with $x^{-1} z$ in class j added up, for one $z$ of class k."""
    index = group.class_index
    result = np.zeros((len(weights), len(weights)), weights.dtype)
    for k, members in enumerate(group.classes):
        np.add.at(result[:, k], index[group.product_table[group.inverse, members[0]]], weights[index])
    return result


def _eigenvectors(group: FiniteGroup, random: np.random.Generator) -> np.ndarray:
    """Characters `[irreps, classes]` to the accuracy of an eigensolver."""
    index, sizes = group.class_index, np.bincount(group.class_index)
    weights = (random.normal(size=len(sizes)) + 1j * random.normal(size=len(sizes))) / sizes
    inverse = index[group.inverse[[members[0] for members in group.classes]]]
    mixed = _class_sum(group, weights + weights[inverse].conj())
    vectors = np.linalg.eigh(mixed * np.sqrt(sizes[None, :] / sizes[:, None]))[1]
    values = vectors.T / np.sqrt(sizes)
    unit = index[group.identity]
    values = values * (np.abs(values[:, unit]) / (values[:, unit] + 1e-300))[:, None]
    return values * np.sqrt(group.order / (sizes * np.abs(values) ** 2).sum(axis=1))[:, None]


def _orders(group: FiniteGroup) -> set[int]:
    return set(group.element_orders.tolist())


def _cyclic(group: FiniteGroup) -> list[np.ndarray]:
    """Powers $g^0, g^1, \\ldots$ of one generator of each cyclic subgroup, up to conjugation."""
    done = np.zeros(len(group.classes), bool)
    result = []
    for i, members in enumerate(group.classes):
        if not done[i]:
            powers = [group.identity]
            for _ in range(int(group.element_orders[members[0]]) - 1):
                powers.append(int(group.product_table[powers[-1], members[0]]))
            result.append(np.array(powers))
            done[group.class_index[result[-1][np.gcd(np.arange(len(powers)), len(powers)) == 1]]] = True
    return result


def _multiplicities(group: FiniteGroup, values: np.ndarray) -> list[np.ndarray] | None:
    r"""How often each root of unity is an eigenvalue, $m_k = \frac{1}{n} \sum_j \chi(g^j) e^{-2\pi i jk/n}$."""
    result = []
    for powers in _cyclic(group):
        counts = np.fft.fft(values[:, group.class_index[powers]], axis=1) / len(powers)
        whole = np.round(counts.real)
        if not np.abs(counts - whole).max() < 0.05 or whole.min() < 0:
            return None
        result.append(whole.astype(np.int64))
    return result


def _assembled(group: FiniteGroup, multiplicities: list[np.ndarray], roots: dict[int, np.ndarray]) -> np.ndarray:
    """Characters from multiplicities, with roots of unity in complex numbers or modulo a prime."""
    result = np.zeros((len(group.classes), len(group.classes)), roots[1].dtype)
    for powers, counts in zip(_cyclic(group), multiplicities):
        n = len(powers)
        steps = np.flatnonzero(np.gcd(np.arange(n), n) == 1)
        result[:, group.class_index[powers[steps]]] = counts @ roots[n][np.outer(np.arange(n), steps) % n]
    return result


def _verified(group: FiniteGroup, multiplicities: list[np.ndarray], random: np.random.Generator) -> bool:
    """Whether these are the characters, by exact arithmetic modulo a prime that has all roots of unity needed.

    The characters modulo the prime are eigenvectors of every class sum. If the rows are eigenvectors of one with
    different eigenvalues, of the right norm and with positive first entry, they are the characters. If they also give
    the traces of all powers, the multiplicities are right modulo the prime, and smaller than it.
    """
    prime, root = _prime(group.exponent)
    roots = {n: np.array([pow(root, group.exponent // n * k, prime) for k in range(n)]) for n in _orders(group)}
    rows = _assembled(group, multiplicities, roots) % prime
    for powers, counts in zip(_cyclic(group), multiplicities):
        n = len(powers)
        traces = counts @ roots[n][np.outer(np.arange(n), np.arange(n)) % n] % prime
        if not np.array_equal(traces, rows[:, group.class_index[powers]]):
            return False
    sizes, unit = np.bincount(group.class_index), group.class_index[group.identity]
    inverse = group.class_index[group.inverse[[members[0] for members in group.classes]]]
    norms = (rows * rows[:, inverse] % prime * sizes).sum(axis=1) % prime
    if (norms != group.order % prime).any() or (rows[:, unit] ** 2 > group.order).any():
        return False
    images = rows @ (_class_sum(group, random.integers(0, prime, len(sizes))) % prime) % prime
    levels = images[:, unit] * np.array([pow(int(d), -1, prime) for d in rows[:, unit]]) % prime
    return len(np.unique(levels)) == len(sizes) and np.array_equal(images, levels[:, None] * rows % prime)


def _prime(exponent: int) -> tuple[int, int]:
    """A prime above $2^{24}$ that is one modulo the exponent, and a number of exactly that order."""
    prime = 2**24 // exponent * exponent + 1
    while True:
        prime += exponent
        if all(prime % k for k in range(2, int(prime**0.5) + 1)):
            break
    factors = prime_factors(exponent)
    for base in range(2, prime):
        root = pow(base, (prime - 1) // exponent, prime)
        if all(pow(root, exponent // k, prime) != 1 for k in factors):
            return prime, root
    raise AssertionError("the multiplicative group of a prime field is cyclic")


def roots_of_unity(n: int) -> Complex[np.ndarray, " n"]:
    r"""$e^{2\pi i k/n}$ for $k = 0 \ldots n - 1$; parts $0$, $\pm\frac12$, $\pm 1$ and conjugates are exact.

    Example:
        >>> from symmetries.characters import roots_of_unity
        >>> roots_of_unity(4)
        array([ 1.+0.j,  0.+1.j, -1.+0.j,  0.-1.j])
    """
    turns = np.arange(n)
    upper = snapped(np.exp(2j * np.pi * np.minimum(turns, n - turns) / n), 1e-14)
    return np.where(2 * turns > n, upper.conj(), upper)


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
