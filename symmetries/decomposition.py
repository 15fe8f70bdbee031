"""All sectors of a group, which together are the whole space."""

import itertools
from collections.abc import Iterator
from typing import Any

from symmetries import elements as build
from symmetries.internal import Internal
from symmetries.sector import Sector


def sectors(group: Any, internal: Any = ()) -> Iterator[Sector]:
    """All sectors of a group, one for each star of momenta, irrep of its little group, and internal eigenvalues.

    Together they are the whole space: $\\sum_S |\\mathrm{star}(S)|\\, \\dim S = q^n$.

    Args:
        group: a `SpaceGroup` or a `PermutationGroup`.
        internal: internal symmetries; each is taken with all its eigenvalues, whatever it is given with.

    Example:
        >>> import qml, symmetries
        >>> group = symmetries.space_group(qml.lattice.Chain(4))
        >>> [(s.label, len(s.star), s.sector_dimension()) for s in symmetries.sectors(group)]
        [('k=(0,) A', 1, 6), ('k=(0,) B', 1, 0), ('k=(1,) A', 2, 3), ('k=(2,) A', 1, 3), ('k=(2,) B', 1, 1)]
        >>> sum(len(s.star) * s.sector_dimension() for s in symmetries.sectors(group))
        16
    """
    internal = (internal,) if isinstance(internal, Internal) else tuple(internal)
    choices = [(one,) if one.antiunitary or one.pattern else one.eigenvalues() for one in internal]
    for momentum in build.momenta(group):
        for irrep in build.irreps(group, momentum):
            for chosen in itertools.product(*choices):
                yield Sector(group, momentum, irrep.label, chosen)
