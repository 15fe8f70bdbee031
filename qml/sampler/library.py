"""The sampler a space gets when none is named."""

from typing import Any

from qml.ansatz.bridge import Ansatz
from qml.sampler.autoregressive import DirectSampler
from qml.sampler.base import AbstractSampler
from qml.sampler.metropolis import Metropolis
from qml.sampler.restricted import Restricted
from qml.sampler.rules import Exchange, LocalFlip


def default_sampler(hilbert: Any, chains: int = 16, ansatz: Ansatz | None = None) -> AbstractSampler:
    """Direct sampling where the ansatz has conditionals; else Metropolis sampling that reaches all of the space.

    Args:
        hilbert: the space.
        chains: number of chains, >= 1.
        ansatz: the wave function, if known.

    Returns:
        `DirectSampler` for an autoregressive ansatz on its space. Else Metropolis sampling with a rule that keeps the
        constraint of the space: `Exchange()` moves where a total is fixed, else `LocalFlip()` moves; `Restricted` where
        there is a predicate.

    Raises:
        SpaceError: no rule fits the space.

    Example:
        >>> from qml.hilbert import Spin
        >>> from qml.sampler import default_sampler
        >>> default_sampler(Spin(4, magnetisation=0)).rule
        Exchange(edges=None)
    """
    if ansatz is not None and ansatz.conditionals is not None:
        return DirectSampler(hilbert, chains=chains)
    rule = Exchange() if hilbert.parts else LocalFlip()
    return Metropolis(rule if hilbert.envelope == hilbert else Restricted(rule), hilbert, chains=chains)
