"""Thermal states by products of matrices alone: no eigenvalue solver, so that the work is what accelerators do best."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from qml._core.errors import ConfigError
from qml._core.types import Array, Float, Inexact

_DEGREE = 12  # of the Taylor polynomial, in three groups of four powers
_REACH = 0.25  # of its argument: the remainder is 2e-18


def squarings_for(bound: float) -> int:
    """Squarings that `gibbs_by_products` needs for a matrix whose eigenvalues lie in [-bound, bound]."""
    return max(0, math.ceil(math.log2(max(bound, 1e-300) / _REACH)))


@functools.partial(jax.jit, static_argnames="squarings")
def _by_products(matrix: Array, squarings: int) -> tuple[Array, Array]:
    size = matrix.shape[-1]
    one = jnp.eye(size, dtype=matrix.dtype)
    centre = jnp.trace(matrix).real / size
    small = (centre * one - matrix) / 2**squarings
    powers = [one, small]
    for _ in range(3):
        powers.append(powers[-1] @ small)
    state = one / math.factorial(_DEGREE)
    for first in (8, 4, 0):
        group = sum(powers[k] / math.factorial(first + k) for k in range(4))
        state = group + powers[4] @ state
    logs = jnp.zeros(())
    for step in range(squarings + 1):
        state, logs = (state @ state, 2 * logs) if step else (state, logs)
        total = jnp.trace(state).real
        state, logs = state / total, logs + jnp.log(total)
    return (state + state.conj().T) / 2, logs - centre


def gibbs_by_products(
    matrix: Inexact[Array, "n n"], *, squarings: int | None = None
) -> tuple[Inexact[Array, "n n"], Float[Array, ""]]:
    r"""$e^{-K}/Z$ and $\log Z$ by scaling and squaring: a polynomial of degree 12 of $K/2^s$, squared s times.

    Every step is a product of matrices, so it may be differentiated as often as wanted, and there are no degeneracies
    to fear. The trace is divided out at each squaring: nothing overflows. The error is about $2^s$ times rounding.

    Args:
        matrix: Hermitian K.
        squarings: s; `None` finds the number from the largest row sum, for which K must not be traced.

    Raises:
        ConfigError: K is traced, and s is not given.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.linalg import gibbs_by_products
        >>> state, log_partition = gibbs_by_products(jnp.diag(jnp.array([0.5, -0.5])))
        >>> print(f"{state[0, 0]:.6f} {log_partition:.6f}")
        0.268941 0.813262

    Source: Moler and Van Loan, SIAM Rev. 45, 3 (2003).
    """
    if squarings is None:
        if isinstance(matrix, Tracer):
            raise ConfigError(
                "The number of squarings is part of the program, and a traced matrix does not tell it.",
                got="a traced matrix, squarings=None",
                expected="squarings=",
                try_="squarings=squarings_for(bound)",
            )
        squarings = squarings_for(float(np.max(np.sum(np.abs(np.asarray(matrix)), axis=1))))
    return _by_products(matrix, squarings)
