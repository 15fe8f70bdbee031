"""Permutations as integer arrays: `p[s]` is where point `s` goes.

Every function takes one permutation `[points]` or a stack of them `[..., points]`. All numbers are exact integers.
"""

import numpy as np
from jaxtyping import Int

from symmetries._errors import SymmetryError

Permutations = Int[np.ndarray, "... points"]


def product(left: Permutations, right: Permutations) -> Permutations:
    """The permutation that applies `right` first, then `left`: $(l r)[s] = l[r[s]]$.

    Args:
        left: `[..., points]`.
        right: `[..., points]`, stacked in the same way, or broadcastable against `left`.

    Example:
        >>> import numpy as np
        >>> from symmetries.permutation import product
        >>> product(np.array([1, 2, 0]), np.array([1, 0, 2]))
        array([2, 1, 0])
    """
    left, right = np.broadcast_arrays(left, right)
    return np.take_along_axis(left, right, axis=-1)


def inverse(permutations: Permutations) -> Permutations:
    """The permutation that undoes each one.

    Example:
        >>> import numpy as np
        >>> from symmetries.permutation import inverse
        >>> inverse(np.array([1, 2, 0]))
        array([2, 0, 1])
    """
    return np.argsort(permutations, axis=-1)


def order(permutation: Int[np.ndarray, " points"]) -> int:
    """How often a permutation must be applied to give the identity, the least common multiple of its cycle lengths.

    Example:
        >>> import numpy as np
        >>> from symmetries.permutation import order
        >>> order(np.array([1, 2, 0, 4, 3]))
        6
    """
    return int(np.lcm.reduce([len(cycle) for cycle in cycles(permutation)], initial=1))


def cycles(permutation: Int[np.ndarray, " points"]) -> tuple[tuple[int, ...], ...]:
    """The cycles of one permutation, each from its smallest point on, fixed points included.

    Example:
        >>> import numpy as np
        >>> from symmetries.permutation import cycles
        >>> cycles(np.array([1, 2, 0, 3]))
        ((0, 1, 2), (3,))
    """
    image, seen, found = permutation.tolist(), set(), []
    for start in range(len(image)):
        if start not in seen:
            cycle = [start]
            while image[cycle[-1]] != start:
                cycle.append(image[cycle[-1]])
            seen.update(cycle)
            found.append(tuple(cycle))
    return tuple(found)


def cycle_counts(permutations: Int[np.ndarray, "g points"]) -> Int[np.ndarray, "g lengths"]:
    """How many cycles of each length every permutation of a stack has.

    Args:
        permutations: `[g, points]`.

    Returns:
        `[g, points + 1]`; entry `[g, l]` counts the cycles of length `l`, so that $\\sum_l l\\, c_{g l}$ is the
        number of points.

    Example:
        >>> import numpy as np
        >>> from symmetries.permutation import cycle_counts
        >>> cycle_counts(np.array([[0, 1, 2], [1, 2, 0]]))
        array([[0, 3, 0, 0],
               [0, 0, 0, 1]])
    """
    n, points = permutations.shape
    first, jump = np.broadcast_to(np.arange(points), (n, points)), permutations
    for _ in range(points.bit_length()):  # smallest point of each cycle, by doubling the jump
        first = np.minimum(first, np.take_along_axis(first, jump, axis=1))
        jump = product(jump, jump)
    lengths = np.zeros((n, points), np.int64)
    np.add.at(lengths, (np.arange(n)[:, None], first), 1)
    counts = np.zeros((n, points + 1), np.int64)
    np.add.at(counts, (np.arange(n)[:, None], lengths), 1)
    counts[:, 0] = 0
    return counts


def generate(generators: Int[np.ndarray, "k points"], limit: int | None = None) -> Int[np.ndarray, "g points"]:
    """All products of some permutations, in lexicographic order, the identity first.

    Args:
        generators: `[k, points]`; none gives the trivial group.
        limit: the largest order wanted; any if left out.

    Returns:
        `[g, points]`.

    Raises:
        SymmetryError: a row is not a permutation, or there are more products than `limit`.

    Example:
        >>> import numpy as np
        >>> from symmetries.permutation import generate
        >>> len(generate(np.array([[1, 2, 3, 0], [3, 2, 1, 0]])))
        8

    Source:
        Dimino's algorithm: Butler, Fundamental Algorithms for Permutation Groups (1991), chapter 7.
    """
    check(generators)
    elements = np.arange(generators.shape[1])[None, :]
    known = {elements[0].tobytes()}
    for k, generator in enumerate(generators):  # each adds whole cosets of the group of those before
        if generator.tobytes() in known:
            continue
        subgroup, cosets, firsts = elements, [elements], [elements[0]]
        for first in firsts:  # grows while we go
            for step in generators[: k + 1]:
                new = first[step]
                if new.tobytes() not in known:
                    firsts.append(new)
                    cosets.append(subgroup[:, new])
                    known.update(row.tobytes() for row in cosets[-1])
                    if limit is not None and len(known) > limit:
                        raise SymmetryError(
                            "These permutations generate a larger group than wanted.",
                            got=f"more than {limit} elements",
                            expected=f"order <= {limit}",
                            try_="a larger limit, or fewer generators",
                        )
        elements = np.concatenate(cosets)
    return elements[np.lexsort(elements.T[::-1])] if elements.shape[1] else elements


def orbits(permutations: Int[np.ndarray, "k points"]) -> Int[np.ndarray, " points"]:
    """The smallest point that products of some permutations move each point to.

    Example:
        >>> import numpy as np
        >>> from symmetries.permutation import orbits
        >>> orbits(np.array([[1, 0, 2, 3, 4], [0, 2, 1, 3, 4]]))
        array([0, 0, 0, 3, 4])
    """
    labels = np.arange(permutations.shape[1])
    while True:
        known = labels
        for row in permutations:
            labels = np.minimum(labels, labels[row])
            labels = np.minimum(labels, labels[inverse(row)])
        labels = labels[labels]
        if np.array_equal(labels, known):
            return labels


def check(permutations: Permutations) -> Permutations:
    """The same stack, or an error if a row is not a permutation.

    Raises:
        SymmetryError: a row misses a point.
    """
    bad = np.argwhere((np.sort(permutations, axis=-1) != np.arange(permutations.shape[-1])).any(axis=-1))
    if len(bad):
        row = permutations[tuple(bad[0])]
        raise SymmetryError(
            "A row is not a permutation.",
            got=row.tolist(),
            expected=f"each of 0 .. {permutations.shape[-1] - 1} once",
            try_="list where every point goes: p[s] is the image of s",
        )
    return permutations


def product_table(permutations: Int[np.ndarray, "g points"]) -> Int[np.ndarray, "g g"]:
    """Which row the product of two rows is, for a closed set of different permutations.

    Found by the images of a few points that tell all rows apart.

    Raises:
        SymmetryError: two rows are the same, or a product is missing (not always seen: `FiniteGroup` checks the rest).

    Example:
        >>> import numpy as np
        >>> from symmetries.permutation import product_table
        >>> product_table(np.array([[0, 1], [1, 0]]))
        array([[0, 1],
               [1, 0]])
    """
    n, points = permutations.shape
    rank, products, separate = np.zeros(n, np.int64), np.zeros((n, n), np.int64), n == 1
    for point in range(points):
        if separate:
            break
        keys, new = np.unique(rank * points + permutations[:, point], return_inverse=True)
        if len(keys) == len(np.unique(rank)):
            continue  # this point tells no more
        wanted = products * points + permutations[:, permutations[:, point]]  # (a b)[point] = a[b[point]]
        products = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        if not np.array_equal(keys[products], wanted):
            raise not_closed()
        rank, separate = new, len(keys) == n
    if not separate:
        raise SymmetryError(
            "Two rows are the same permutation.",
            got=f"{n} rows, {len(np.unique(permutations, axis=0))} different",
            expected="different permutations",
            try_="numpy.unique(permutations, axis=0)",
        )
    return np.argsort(rank)[products]


def not_closed() -> SymmetryError:
    """The error for a set of elements that is no group."""
    return SymmetryError(
        "The product of two elements is missing.",
        got="a set that is not closed",
        expected="a group",
        try_="FiniteGroup.from_generators, which adds the products",
    )
