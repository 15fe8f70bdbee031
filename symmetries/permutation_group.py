"""Groups of permutations of sites, with or without a geometry behind them."""

from functools import cached_property

import numpy as np
from jaxtyping import Int

from symmetries import permutation
from symmetries._descriptor import descriptor
from symmetries._errors import SymmetryError
from symmetries.group import FiniteGroup

LIMIT = 5000


@descriptor
class PermutationGroup:
    """A finite group that moves sites: what a symmetry sector needs of a group.

    Args:
        permutations: `[g, sites]`, different rows, closed under products; element `g` moves site `s` to
            `permutations[g, s]`.

    Raises:
        SymmetryError: a row is no permutation, is listed twice, or a product is missing.

    Example:
        >>> import numpy as np
        >>> from symmetries import PermutationGroup
        >>> ring = PermutationGroup.from_generators(np.array([[1, 2, 3, 0], [3, 2, 1, 0]]))
        >>> ring.order, ring.n_sites, ring.orbits, ring.group.is_abelian
        (8, 4, ((0, 1, 2, 3),), False)
    """

    permutations: Int[np.ndarray, "g sites"]

    def __post_init__(self):
        self.group  # noqa: B018  (raises if the rows are no group)

    @classmethod
    def from_generators(cls, generators: Int[np.ndarray, "k sites"], limit: int = LIMIT) -> "PermutationGroup":
        """All products of some permutations, in lexicographic order, the identity first.

        Args:
            generators: `[k, sites]`.
            limit: the largest order; the table of products takes `8 * order ** 2` bytes.

        Raises:
            SymmetryError: a row is no permutation, or the order exceeds the limit.
        """
        return cls(permutation.generate(np.asarray(generators), limit))

    @property
    def order(self) -> int:
        """Number of elements."""
        return len(self.permutations)

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return self.permutations.shape[1]

    @cached_property
    def group(self) -> FiniteGroup:
        """The abstract group, elements in the same order."""
        if len(self.permutations) == 0:
            raise SymmetryError(
                "A group has at least one element.",
                got="no permutations",
                expected="[g, sites] with the identity in it",
                try_="PermutationGroup.from_generators(generators)",
            )
        return FiniteGroup.from_permutations(self.permutations)

    @cached_property
    def orbits(self) -> tuple[tuple[int, ...], ...]:
        """Sites that the group moves to each other, by their smallest site."""
        first = self.permutations.min(axis=0)
        return tuple(tuple(np.flatnonzero(first == site).tolist()) for site in np.unique(first))

    def stabilizer(self, site: int) -> "PermutationGroup":
        """The elements that leave a site in place.

        Example:
            >>> import numpy as np
            >>> from symmetries import PermutationGroup
            >>> PermutationGroup.from_generators(np.array([[1, 2, 0], [1, 0, 2]])).stabilizer(0).permutations
            array([[0, 1, 2],
                   [0, 2, 1]])
        """
        return self.subgroup(np.flatnonzero(self.permutations[:, site] == site))

    def subgroup(self, elements: Int[np.ndarray, " h"]) -> "PermutationGroup":
        """The group formed by some of the elements, in the order given.

        Raises:
            SymmetryError: a product is missing.
        """
        return PermutationGroup(self.permutations[np.asarray(elements, int)])
