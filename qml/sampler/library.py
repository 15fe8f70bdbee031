"""The sampler a space gets when none is named."""

from typing import Any

from qml.sampler.metropolis import Metropolis
from qml.sampler.rules import Exchange, LocalFlip


def default_sampler(hilbert: Any, chains: int = 16) -> Metropolis:
    """Metropolis sampling with the rule that keeps the constraint of the space and reaches all of it.

    Args:
        hilbert: the space.
        chains: number of chains, >= 1.

    Returns:
        `Exchange()` moves where the total is fixed, else `LocalFlip()` moves.

    Raises:
        SpaceError: no rule fits the space.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.sampler import default_sampler
        >>> type(default_sampler(Spin(4, magnetisation=0)).rule).__name__
        'Exchange'
    """
    return Metropolis(Exchange() if hilbert.is_constrained else LocalFlip(), hilbert, chains=chains)
