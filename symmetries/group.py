"""Finite groups by their product table."""

from functools import cached_property

import numpy as np
from jaxtyping import Int

from symmetries import permutation
from symmetries._descriptor import descriptor
from symmetries._errors import SymmetryError


@descriptor
class FiniteGroup:
    """A finite group: elements `0 .. order - 1` and the table of their products.

    Args:
        product_table: `[g, g]`; entry `[a, b]` is the element $a b$ (for permutations: `b` acts first).

    Raises:
        SymmetryError: the table is not that of a group.

    Example:
        >>> import numpy as np
        >>> from symmetries import FiniteGroup
        >>> triangle = FiniteGroup.from_generators(np.array([[1, 2, 0], [0, 2, 1]]))
        >>> triangle.order, triangle.is_abelian, [len(c) for c in triangle.classes]
        (6, False, [1, 3, 2])
    """

    product_table: Int[np.ndarray, "g g"]

    def __post_init__(self):
        table, n = self.product_table, len(self.product_table)
        if n == 0 or table.min() < 0 or table.max() >= n:
            raise _not_a_group("an entry outside 0 .. order - 1")
        everything = np.arange(n)
        unit = np.flatnonzero((table == everything[None, :]).all(axis=1) & (table == everything[:, None]).all(axis=0))
        if len(unit) != 1:
            raise _not_a_group("no identity")
        if not (table == unit[0]).any(axis=1).all():
            raise _not_a_group("an element without inverse")
        for a in self.generators:  # Light's test: it is enough to check a generating set in the middle
            if not np.array_equal(table[table[:, a]], table[:, table[a]]):
                raise _not_a_group(f"(x {a}) y != x ({a} y) for some x, y")

    @classmethod
    def from_permutations(cls, permutations: Int[np.ndarray, "g points"]) -> "FiniteGroup":
        """The group of a closed set of different permutations; element `g` is row `g`.

        Args:
            permutations: `[g, points]`, `permutations[g, s]` is the image of point `s`.

        Raises:
            SymmetryError: two rows are equal, or the product of two rows is not a row.

        Example:
            >>> import numpy as np
            >>> from symmetries import FiniteGroup
            >>> FiniteGroup.from_permutations(np.array([[0, 1], [1, 0]])).product_table
            array([[0, 1],
                   [1, 0]])
        """
        permutation.check(permutations)
        group = cls(_table(permutations))
        for (
            a
        ) in group.generators:  # _table looked at a few points only; right multiplication by generators shows the rest
            if not np.array_equal(permutations[:, permutations[a]], permutations[group.product_table[:, a]]):
                raise _not_closed()
        return group

    @classmethod
    def from_generators(cls, generators: Int[np.ndarray, "k points"]) -> "FiniteGroup":
        """The group that some permutations generate; element `g` is row `g` of `permutation.generate(generators)`."""
        return cls.from_permutations(permutation.generate(generators))

    @classmethod
    def cyclic(cls, order: int) -> "FiniteGroup":
        """The cyclic group of an order: $a b = a + b$ modulo the order."""
        return cls((np.arange(order)[:, None] + np.arange(order)[None, :]) % order)

    @property
    def order(self) -> int:
        """Number of elements."""
        return len(self.product_table)

    @cached_property
    def identity(self) -> int:
        """The element that changes nothing."""
        return int(np.flatnonzero((self.product_table == np.arange(self.order)).all(axis=1))[0])

    @cached_property
    def inverse(self) -> Int[np.ndarray, " g"]:
        """The inverse of each element."""
        return np.argmax(self.product_table == self.identity, axis=1)

    @cached_property
    def generators(self) -> tuple[int, ...]:
        """A few elements whose products are the whole group."""
        chosen: list[int] = []
        member = np.arange(self.order) == self.identity
        while not member.all():
            chosen.append(int(np.argmin(member)))
            member = self._closure(member, chosen)
        return tuple(chosen)

    def _closure(self, member: np.ndarray, steps: list[int]) -> np.ndarray:
        """Members of the group that some elements generate, from some that are known already."""
        member, frontier = member.copy(), np.flatnonzero(member)
        while len(frontier):
            images = np.unique(self.product_table[np.ix_(frontier, steps)])
            frontier = images[~member[images]]
            member[frontier] = True
        return member

    def generated_by(self, elements: Int[np.ndarray, " k"]) -> Int[np.ndarray, " h"]:
        """The elements of the smallest subgroup that contains some, in increasing order.

        Example:
            >>> import numpy as np
            >>> from symmetries import FiniteGroup
            >>> FiniteGroup.cyclic(12).generated_by(np.array([8, 6]))
            array([ 0,  2,  4,  6,  8, 10])
        """
        steps = _elements(self, elements)
        return np.flatnonzero(self._closure(np.arange(self.order) == self.identity, steps.tolist()))

    @cached_property
    def class_index(self) -> Int[np.ndarray, " g"]:
        """Which conjugacy class each element is in."""
        conjugates = self.product_table[self.product_table, self.inverse[:, None]]  # [g, h] -> g h g^-1
        return np.unique(conjugates.min(axis=0), return_inverse=True)[1]

    @cached_property
    def classes(self) -> tuple[tuple[int, ...], ...]:
        """Conjugacy classes, ordered by their smallest element."""
        return tuple(tuple(np.flatnonzero(self.class_index == i).tolist()) for i in range(self.class_index.max() + 1))

    @cached_property
    def element_orders(self) -> Int[np.ndarray, " g"]:
        """Order of each element."""
        orders, power = np.zeros(self.order, np.int64), np.arange(self.order)
        for n in range(1, self.order + 1):
            orders[(power == self.identity) & (orders == 0)] = n
            if orders.all():
                break
            power = self.product_table[power, np.arange(self.order)]
        return orders

    @property
    def is_abelian(self) -> bool:
        """Whether all elements commute."""
        return bool(np.array_equal(self.product_table, self.product_table.T))

    def subgroup(self, elements: Int[np.ndarray, " h"]) -> "FiniteGroup":
        """The group formed by some of the elements, numbered in the order given.

        Raises:
            SymmetryError: an element is listed twice, or a product is missing.

        Example:
            >>> import numpy as np
            >>> from symmetries import FiniteGroup
            >>> FiniteGroup.cyclic(6).subgroup(np.array([0, 2, 4])).order
            3
        """
        elements = _elements(self, elements)
        number = np.full(self.order, -1)
        number[elements] = np.arange(len(elements))
        table = number[self.product_table[np.ix_(elements, elements)]]
        if len(np.unique(elements)) != len(elements) or (table < 0).any():
            raise _not_closed()
        return FiniteGroup(table)

    def direct_product(self, other: "FiniteGroup") -> "FiniteGroup":
        """Pairs of elements; the pair `(a, b)` has number `a * other.order + b`.

        Example:
            >>> from symmetries import FiniteGroup
            >>> FiniteGroup.cyclic(2).direct_product(FiniteGroup.cyclic(3)).element_orders.max()
            np.int64(6)
        """
        one, two = self.product_table, other.product_table
        table = one[:, None, :, None] * other.order + two[None, :, None, :]
        return FiniteGroup(table.reshape(self.order * other.order, -1))


def _elements(group: FiniteGroup, elements: np.ndarray) -> np.ndarray:
    """The same numbers, or an error if one is no element."""
    numbers = np.asarray(elements, int)
    if numbers.ndim != 1 or (len(numbers) and not 0 <= numbers.min() <= numbers.max() < group.order):
        raise SymmetryError(
            "These are no elements of the group.",
            got=numbers.tolist(),
            expected=f"a list of numbers 0 .. {group.order - 1}",
            try_="group.generators",
        )
    return numbers


def _table(permutations: np.ndarray) -> np.ndarray:
    """Products of rows, found by the images of a few points that tell all rows apart."""
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
            raise _not_closed()
        rank, separate = new, len(keys) == n
    if not separate:
        raise SymmetryError(
            "Two rows are the same permutation.",
            got=f"{n} rows, {len(np.unique(permutations, axis=0))} different",
            expected="different permutations",
            try_="numpy.unique(permutations, axis=0)",
        )
    return np.argsort(rank)[products]


def _not_a_group(why: str) -> SymmetryError:
    return SymmetryError(
        "This product table is not that of a group.",
        got=why,
        expected="a closed, associative table with identity and inverses",
        try_="FiniteGroup.from_generators(permutations)",
    )


def _not_closed() -> SymmetryError:
    return SymmetryError(
        "The product of two elements is missing.",
        got="a set that is not closed",
        expected="a group",
        try_="FiniteGroup.from_generators, which adds the products",
    )
