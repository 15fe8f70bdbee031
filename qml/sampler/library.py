"""The sampler a space gets when none is named."""

from typing import Any

from qml.sampler.metropolis import Metropolis
from qml.sampler.restricted import Restricted
from qml.sampler.rules import Exchange, LocalFlip


def default_sampler(hilbert: Any, chains: int = 16) -> Metropolis:
    """Metropolis sampling with the rule that keeps the constraint of the space and reaches all of it.

    Args:
        hilbert: the space.
        chains: number of chains, >= 1.

    Returns:
        `Exchange()` moves where a total is fixed, else `LocalFlip()` moves; `Restricted` where there is a predicate.

    Raises:
        SpaceError: no rule fits the space.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.sampler import default_sampler
        >>> type(default_sampler(Spin(4, magnetisation=0)).rule).__name__
        'Exchange'
    """
    rule = Exchange() if hilbert.parts else LocalFlip()
    return Metropolis(rule if hilbert.envelope == hilbert else Restricted(rule), hilbert, chains=chains)
