"""Learned Hamiltonians as records: coefficients with their covariance, and tables of them."""

import os
import pathlib
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from qml._core.errors import ConfigError, DataError
from qml._core.types import Array, Float
from qml.estimate.stats import Stats, format_error
from qml.hilbert import AbstractHilbert
from qml.operator import PauliSum
from qml.operator.strings import PauliStrings


@final
class LearnedHamiltonian(eqx.Module):
    """A Hamiltonian with an error bar on every coefficient; prints as a sum of Pauli strings.

    Args:
        values: coefficients `[terms]`.
        covariance: their covariance `[terms, terms]`; infinite where the data say nothing.
        strings: the Pauli strings.
        hilbert: the space.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import PauliGibbs
        >>> model = PauliGibbs(("ZZ", "XI"), jnp.array([-1.0, 0.5]), covariance=jnp.diag(jnp.array([1e-4, 4e-4])))
        >>> print(model.hamiltonian(beta=2.0))
        -0.5000(50) Z0 Z1 + 0.250(10) X0
    """

    values: Float[Array, " terms"]
    covariance: Float[Array, "terms terms"]
    strings: PauliStrings = eqx.field(static=True)
    hilbert: AbstractHilbert = eqx.field(static=True)

    @classmethod
    def of(cls, model: Any, beta: float) -> "LearnedHamiltonian":
        """See `PauliGibbs.hamiltonian`."""
        if not (np.isfinite(beta) and beta > 0):
            raise DataError("There is no such inverse temperature.", got=beta, expected="beta > 0", try_="beta=1.0")
        return cls(model.theta / beta, model.covariance / beta**2, strings=model.strings, hilbert=model.hilbert)

    @property
    def terms(self) -> tuple[str, ...]:
        """The Pauli strings, letters in site order."""
        return tuple(self.strings.word(k) for k in range(len(self.strings)))

    @property
    def coefficients(self) -> Stats:
        """The coefficients with their errors `[terms]`."""
        exact = Stats.exact(self.values)
        variance = jnp.diagonal(self.covariance)
        return Stats(exact.mean, jnp.sqrt(variance), variance, exact.tau, exact.r_hat, exact.samples)

    def interval(self, level: float = 0.95) -> tuple[Float[Array, " terms"], Float[Array, " terms"]]:
        """Ends of the confidence interval of each coefficient, of normal errors; infinite where nothing is known.

        Args:
            level: share of repetitions in which the interval of one coefficient holds it, in (0, 1).

        Raises:
            ConfigError: the level is out of range.

        Example:
            >>> import jax.numpy as jnp
            >>> from qml.gibbs import PauliGibbs
            >>> model = PauliGibbs(("Z",), jnp.array([-1.0]), covariance=jnp.array([[1e-4]]))
            >>> print(*(float(end[0].round(4)) for end in model.hamiltonian().interval()))
            -1.0196 -0.9804
        """
        if not 0 < level < 1:
            raise ConfigError("A level is a share.", got=level, expected="0 < level < 1", try_="level=0.95")
        reach = jax.scipy.special.ndtri((1 + level) / 2) * jnp.sqrt(jnp.diagonal(self.covariance))
        return self.values - reach, self.values + reach

    @property
    def operator(self) -> PauliSum:
        """The mean Hamiltonian."""
        return PauliSum(dict(zip(self.terms, self.values, strict=True)), self.hilbert)

    def save(self, path: str | os.PathLike) -> None:
        """Write a table of terms, values and errors: `.csv`, or `.npz` with the whole covariance.

        Raises:
            ConfigError: another ending.
        """
        errors = np.asarray(self.coefficients.error)
        if str(path).endswith(".csv"):
            columns = zip(self.terms, self.values.tolist(), errors.tolist(), strict=True)
            rows = [f"{word},{value!r},{error!r}" for word, value, error in columns]
            pathlib.Path(path).write_text("\n".join(["term,value,error", *rows]) + "\n", encoding="utf-8")
        elif str(path).endswith(".npz"):
            columns = {"values": np.asarray(self.values), "errors": errors, "covariance": np.asarray(self.covariance)}
            np.savez_compressed(path, allow_pickle=False, terms=np.array(self.terms), **columns)
        else:
            raise ConfigError("A table has one of two forms.", got=str(path), expected=".csv or .npz", try_="h.csv")

    def __str__(self) -> str:
        if isinstance(self.values, Tracer):
            return "LearnedHamiltonian(traced)"
        numbers = zip(self.values.tolist(), self.coefficients.error.tolist(), strict=True)
        parts = [f"{format_error(c, e)} {self.strings.short(k)}" for k, (c, e) in enumerate(numbers)]
        return " + ".join(parts).replace("+ -", "- ")

    __repr__ = __str__
