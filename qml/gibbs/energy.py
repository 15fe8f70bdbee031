"""Energy models of bit strings: the spectrum of a latent thermal state, tabulated over all of them."""

import abc
import functools
import itertools
from dataclasses import dataclass
from typing import final

import jax
import jax.numpy as jnp
import numpy as np

from qml._core.errors import ConfigError
from qml._core.types import Array, Float, Int


class AbstractEnergy(abc.ABC):
    r"""Energies $E_\theta(x)$ of all bit strings, in basis order; spins are $s_i = 1 - 2 x_i$."""

    n_sites: int

    @property
    @abc.abstractmethod
    def couplings(self) -> int:
        """Number of parameters."""

    @abc.abstractmethod
    def table(self, theta: Float[Array, " couplings"]) -> Float[Array, " size"]:
        """The energies."""


def _check(**sizes: int) -> None:
    if any(isinstance(v, bool) or not isinstance(v, (int, np.integer)) or v < 1 for v in sizes.values()):
        raise ConfigError("There is no such energy model.", got=sizes, expected="whole numbers >= 1", try_="order=2")


@functools.lru_cache(maxsize=32)
def spins(n_sites: int) -> Int[np.ndarray, "size sites"]:
    """Spins +1 and -1 of all basis states."""
    place = np.arange(n_sites - 1, -1, -1)
    return 1 - 2 * (np.arange(2**n_sites)[:, None] >> place[None, :] & 1)


@final
@dataclass(frozen=True)
class KOBE(AbstractEnergy):
    r"""Parities of up to `order` sites, $E = \sum_{|S| \le order} \theta_S \prod_{i \in S} s_i$.

    Order 1 is the Bernoulli model of independent sites; order `n_sites` reaches every spectrum.

    Raises:
        ConfigError: order or number of sites out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import KOBE
        >>> KOBE(2, order=2).table(jnp.array([1.0, 0.0, 0.5])).tolist()
        [1.5, 0.5, -1.5, -0.5]
    """

    n_sites: int
    order: int = 2

    def __post_init__(self):
        _check(n_sites=self.n_sites, order=self.order)
        if self.order > self.n_sites:
            raise ConfigError(
                "There are no parities of more sites than there are.",
                got=f"order={self.order} on {self.n_sites} sites",
                expected=f"order <= {self.n_sites}",
                try_=f"order={min(2, self.n_sites)}",
            )

    @functools.cached_property
    def parities(self) -> Int[np.ndarray, "couplings size"]:
        """The parity of each set of sites in each basis state, small sets first."""
        s = spins(self.n_sites)
        sets = [c for k in range(1, self.order + 1) for c in itertools.combinations(range(self.n_sites), k)]
        return np.array([np.prod(s[:, list(c)], axis=1) for c in sets], dtype=np.int64)

    @property
    def couplings(self) -> int:
        return len(self.parities)

    def table(self, theta: Float[Array, " couplings"]) -> Float[Array, " size"]:
        return theta @ jnp.asarray(self.parities, theta.dtype)


def Bernoulli(n_sites: int) -> KOBE:
    r"""Independent sites, $E = \sum_i \theta_i s_i$.

    Example:
        >>> from qml.gibbs import Bernoulli
        >>> Bernoulli(3).couplings
        3
    """
    return KOBE(n_sites, order=1)


@final
@dataclass(frozen=True)
class Autoregressive(AbstractEnergy):
    r"""$E = -\log p$ of $p(x) = \prod_i p(x_i | x_1 \dots x_{i-1})$ with logistic conditionals; $Z = 1$.

    $p(s_i | s_{<i}) = \sigma(-2 s_i (b_i + \sum_{j<i} W_{ij} s_j))$; parameters are b, then W row by row.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import Autoregressive
        >>> jnp.exp(-Autoregressive(2).table(jnp.zeros(3))).tolist()
        [0.25, 0.25, 0.25, 0.25]
    """

    n_sites: int

    def __post_init__(self):
        _check(n_sites=self.n_sites)

    @property
    def couplings(self) -> int:
        return self.n_sites * (self.n_sites + 1) // 2

    def table(self, theta: Float[Array, " couplings"]) -> Float[Array, " size"]:
        n = self.n_sites
        s = jnp.asarray(spins(n), theta.dtype)
        weights = jnp.zeros((n, n), theta.dtype).at[np.tril_indices(n, -1)].set(theta[n:])
        return jnp.sum(jax.nn.softplus(2 * s * (theta[:n][None, :] + s @ weights.T)), axis=1)


@final
@dataclass(frozen=True)
class MLP(AbstractEnergy):
    r"""One hidden layer, $E = v \cdot \tanh(W s + b)$; parameters are W row by row, b, v.

    Raises:
        ConfigError: sizes out of range.

    Example:
        >>> from qml.gibbs.energy import MLP
        >>> MLP(3, hidden=4).couplings
        20
    """

    n_sites: int
    hidden: int

    def __post_init__(self):
        _check(n_sites=self.n_sites, hidden=self.hidden)

    @property
    def couplings(self) -> int:
        return self.hidden * (self.n_sites + 2)

    def table(self, theta: Float[Array, " couplings"]) -> Float[Array, " size"]:
        weights, rest = theta[: self.hidden * self.n_sites], theta[self.hidden * self.n_sites :]
        s = jnp.asarray(spins(self.n_sites), theta.dtype)
        inner = s @ weights.reshape(self.hidden, self.n_sites).T + rest[: self.hidden][None, :]
        return jnp.tanh(inner) @ rest[self.hidden :]
