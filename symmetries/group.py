"""Finite groups by their product table."""

import itertools
from functools import cached_property

import numpy as np
from jaxtyping import Int

from symmetries import _subgroups, permutation
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
        group = cls(permutation.product_table(permutations))
        for a in group.generators:  # the table looked at a few points; right multiplication by these shows the rest
            if not np.array_equal(permutations[:, permutations[a]], permutations[group.product_table[:, a]]):
                raise permutation.not_closed()
        return group

    @classmethod
    def from_generators(cls, generators: Int[np.ndarray, "k points"]) -> "FiniteGroup":
        """The group that some permutations generate; element `g` is row `g` of `permutation.generate(generators)`."""
        return cls.from_permutations(permutation.generate(generators))

    @classmethod
    def cyclic(cls, order: int) -> "FiniteGroup":
        """The cyclic group of an order: $a b = a + b$ modulo the order."""
        return cls((np.arange(order)[:, None] + np.arange(order)[None, :]) % order)

    @classmethod
    def symmetric(cls, points: int) -> "FiniteGroup":
        """All permutations of a few points, in lexicographic order."""
        return cls.from_permutations(np.array(list(itertools.permutations(range(points))), int))

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
            images = np.unique(self.product_table[frontier][:, steps])
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
        steps = list(self.generators)
        conjugates = self.product_table[self.product_table[steps], self.inverse[steps][:, None]]  # g h g^-1
        return np.unique(permutation.orbits(conjugates), return_inverse=True)[1]

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

    @cached_property
    def exponent(self) -> int:
        """The smallest power that makes every element the identity."""
        return int(np.lcm.reduce(self.element_orders))

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
        if not self.is_subgroup(elements):
            raise permutation.not_closed()
        return FiniteGroup(table)

    def is_subgroup(self, elements: Int[np.ndarray, " h"]) -> bool:
        """Whether some elements, each listed once, are closed under products.

        Example:
            >>> import numpy as np
            >>> from symmetries import FiniteGroup
            >>> FiniteGroup.cyclic(6).is_subgroup(np.array([0, 3])), FiniteGroup.cyclic(6).is_subgroup(np.array([0, 1]))
            (True, False)
        """
        elements = _elements(self, elements)
        member = np.bincount(elements, minlength=self.order)
        products = self.product_table[np.ix_(elements, elements)]
        return len(elements) > 0 and bool(member.max() == 1 and member[products].all())

    def is_normal(self, elements: Int[np.ndarray, " h"]) -> bool:
        """Whether some elements are a subgroup made of whole conjugacy classes."""
        inside = np.isin(np.arange(self.order), elements)
        return self.is_subgroup(elements) and not np.isin(self.class_index[inside], self.class_index[~inside]).any()

    def cosets(self, elements: Int[np.ndarray, " h"], side: str = "left") -> Int[np.ndarray, "cosets h"]:
        """Cosets of a subgroup: row `i` is $t_i h$ (left) or $h t_i$ (right), for $h$ in the order given.

        Args:
            elements: the subgroup.
            side: `"left"` or `"right"`.

        Returns:
            `[order / h, h]`; see `transversal` for the $t_i$.

        Raises:
            SymmetryError: the elements are no subgroup, or the side is another word.

        Example:
            >>> import numpy as np
            >>> from symmetries import FiniteGroup
            >>> FiniteGroup.cyclic(6).cosets(np.array([0, 3]))
            array([[0, 3],
                   [1, 4],
                   [2, 5]])
        """
        elements, firsts = _elements(self, elements), self.transversal(elements, side)
        products = self.product_table[:, elements] if side == "left" else self.product_table[elements].T
        return products[firsts]

    def transversal(self, elements: Int[np.ndarray, " h"], side: str = "left") -> Int[np.ndarray, " cosets"]:
        """One element of each coset of a subgroup: the identity, then the smallest of each, increasing.

        Raises:
            SymmetryError: the elements are no subgroup, or the side is another word.
        """
        if side not in ("left", "right"):
            raise SymmetryError("Cosets have a side.", got=repr(side), expected="left or right", try_='side="left"')
        if not self.is_subgroup(elements):
            raise permutation.not_closed()
        products = self.product_table[:, elements].T if side == "left" else self.product_table[elements]
        smallest = products.min(axis=0)
        firsts = np.unique(smallest)
        return np.concatenate([[self.identity], firsts[firsts != smallest[self.identity]]])

    def quotient(self, elements: Int[np.ndarray, " h"]) -> tuple["FiniteGroup", Int[np.ndarray, " g"]]:
        """The group of cosets of a normal subgroup, and the coset of each element.

        Cosets are numbered like the rows of `cosets(elements)`.

        Raises:
            SymmetryError: the elements are no normal subgroup.

        Example:
            >>> import numpy as np
            >>> from symmetries import FiniteGroup
            >>> group, coset = FiniteGroup.cyclic(6).quotient(np.array([0, 3]))
            >>> group == FiniteGroup.cyclic(3), coset
            (True, array([0, 1, 2, 0, 1, 2]))
        """
        if not self.is_normal(elements):
            raise SymmetryError(
                "A quotient needs a normal subgroup.",
                got=f"{len(elements)} elements that are none",
                expected="a subgroup of whole conjugacy classes",
                try_="one of group.normal_subgroups",
            )
        rows = self.cosets(elements)
        coset = np.empty(self.order, np.int64)
        coset[rows] = np.arange(len(rows))[:, None]
        return FiniteGroup(coset[self.product_table[np.ix_(rows[:, 0], rows[:, 0])]]), coset

    @cached_property
    def centre(self) -> Int[np.ndarray, " h"]:
        """The elements that commute with all others."""
        return np.flatnonzero((self.product_table == self.product_table.T).all(axis=1))

    @cached_property
    def commutator_subgroup(self) -> Int[np.ndarray, " h"]:
        """The subgroup that all $a b a^{-1} b^{-1}$ generate; its quotient is the largest abelian one."""
        return self.generated_by(np.unique(self.product_table[self.product_table, self.inverse[self.product_table.T]]))

    def centralizer(self, elements: Int[np.ndarray, " k"]) -> Int[np.ndarray, " h"]:
        """The elements that commute with some."""
        elements = _elements(self, elements)
        return np.flatnonzero((self.product_table[:, elements] == self.product_table[elements].T).all(axis=1))

    def normalizer(self, elements: Int[np.ndarray, " k"]) -> Int[np.ndarray, " h"]:
        """The elements $g$ with $g K g^{-1} = K$ for a set $K$ of elements."""
        images = np.sort(self._conjugates(_elements(self, elements)), axis=1)
        return np.flatnonzero((images == np.unique(elements)[None, :]).all(axis=1))

    def _conjugates(self, elements: np.ndarray) -> np.ndarray:
        """`[g, k]`: g k g^-1."""
        return self.product_table[self.product_table[:, np.unique(elements)], self.inverse[:, None]]

    @cached_property
    def normal_subgroups(self) -> tuple[tuple[int, ...], ...]:
        """All normal subgroups, by their order.

        Example:
            >>> from symmetries import FiniteGroup
            >>> [len(elements) for elements in FiniteGroup.symmetric(4).normal_subgroups]
            [1, 4, 12, 24]
        """
        return _subgroups.normal_subgroups(self.classes, self.generated_by)

    @cached_property
    def subgroups(self) -> tuple[tuple[int, ...], ...]:
        """One subgroup of each conjugacy class of subgroups, by their order.

        Raises:
            SymmetryError: the group has more than 200 elements.

        Example:
            >>> from symmetries import FiniteGroup
            >>> [len(elements) for elements in FiniteGroup.symmetric(4).subgroups]
            [1, 2, 2, 3, 4, 4, 4, 6, 8, 12, 24]
        """
        if self.order > 200:
            raise SymmetryError(
                "This group is too large to list its subgroups.",
                got=f"order {self.order}",
                expected="order <= 200",
                try_="group.generated_by(elements), group.normal_subgroups",
            )
        return _subgroups.subgroups(self.element_orders, self.generated_by, self._conjugates)

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

    def semidirect_product(self, other: "FiniteGroup", action: Int[np.ndarray, "h g"]) -> "FiniteGroup":
        r"""Pairs of elements with $(a, b)(a', b') = (a\, \phi_b(a'), b\, b')$, numbered as in `direct_product`.

        Args:
            other: the group that acts.
            action: `[h, g]`; entry `[b, a]` is $\phi_b(a)$, an automorphism of this group for each `b`, with
                $\phi_b\, \phi_{b'} = \phi_{b b'}$.

        Raises:
            SymmetryError: the action is none.

        Example:
            >>> import numpy as np
            >>> from symmetries import FiniteGroup
            >>> dihedral = FiniteGroup.cyclic(5).semidirect_product(
            ...     FiniteGroup.cyclic(2), np.array([[0, 1, 2, 3, 4], [0, 4, 3, 2, 1]])
            ... )
            >>> [len(members) for members in dihedral.classes]
            [1, 5, 2, 2]
        """
        one, two, n = self.product_table, other.product_table, other.order
        if action.shape != (n, self.order) or not (np.sort(action, axis=1) == np.arange(self.order)[None, :]).all():
            raise _no_action(f"an array of shape {action.shape}")
        for b in range(n):
            if not np.array_equal(action[b][one], one[np.ix_(action[b], action[b])]):
                raise _no_action(f"row {b} does not keep products")
            if not np.array_equal(action[b][action], action[two[b]]):
                raise _no_action(f"row {b} after another is not the row of the product")
        table = one[np.arange(self.order)[:, None, None], action[None]][:, :, :, None] * n + two[None, :, None, :]
        return FiniteGroup(table.reshape(self.order * n, -1))


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


def _no_action(got: str) -> SymmetryError:
    return SymmetryError(
        "A semidirect product needs a group that acts by automorphisms.",
        got=got,
        expected="[h, g]: each row an automorphism, rows multiplying like the group that acts",
        try_="direct_product, where nothing is moved",
    )


def _not_a_group(why: str) -> SymmetryError:
    return SymmetryError(
        "This product table is not that of a group.",
        got=why,
        expected="a closed, associative table with identity and inverses",
        try_="FiniteGroup.from_generators(permutations)",
    )
