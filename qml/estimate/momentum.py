"""Natural gradients that remember: SPRING and MARCH, for many more parameters than samples."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from qml._core.errors import ConfigError
from qml._core.precision import real_dtype
from qml._core.tree import realify
from qml._core.types import Array, Float, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.natural import SR, _direction
from qml.estimate.precondition import AbstractPreconditioner, Direction, said
from qml.estimate.samples import Samples


class SPRING(AbstractPreconditioner):
    r"""Stochastic reconfiguration that keeps of its last step what the new samples do not see.

    $$x_t = \arg\min_x |\bar O x - \epsilon|^2 + \lambda\,|x - \phi|^2, \qquad \phi = \mu\, x_{t-1},$$

    so over samples $x_t = \phi + \bar O^T(\bar O\bar O^T + \lambda)^{-1}(\epsilon - \bar O\phi)$, and over parameters
    $x_t = \phi + (S + \lambda)^{-1}(F - S\phi)$. Where the samples are far fewer than the parameters, the steps before
    are samples that are not lost. The memory cannot run away: at every step
    $|x_t|^2 \le \mu^2 |x_{t-1}|^2 + \epsilon^T(\bar O\bar O^T + \lambda)^{-1}\epsilon$, so steps stay below
    $1/\sqrt{1 - \mu^2}$ times the root of the largest last term; $\mu = 1$ has no bound and is refused. The learning
    rate is to be smaller than that of SR, about a fifth.

    Args:
        shift: $\lambda > 0$.
        mu: how much is kept, $0 \le \mu < 1$; 0 is SR.
        chunk, method, trust, blocks, single, tolerance, max_steps: see `SR`.

    Raises:
        ConfigError: a setting out of range.

    Example:
        >>> import jax, qml
        >>> from flax import nnx
        >>> from qml.estimate import SPRING
        >>> space = qml.hilbert.Spin(4)
        >>> state = qml.FullSumState(qml.ansatz.RBM(space, rngs=nnx.Rngs(0)), space)
        >>> rule = SPRING(shift=1e-3, mu=0.9)
        >>> memory = rule.init(state.params)
        >>> _, samples = state.sample()
        >>> local = state.local_values(qml.operator.total(space, "X"), samples)
        >>> direction, memory = rule.step(state.ansatz, state.params, samples, local, memory)
        >>> memory.shape, bool(direction.converged)
        ((24,), True)

    Source: Goldshlager, Abrahamsen, Lin, J. Comput. Phys. 516, 113351 (2024), arXiv:2401.10190.
    """

    rule: SR
    mu: float | Float[Array, ""]

    def __init__(
        self,
        shift: float | int | Float[Array, ""] = 1e-3,
        mu: float | int | Float[Array, ""] = 0.9,
        *,
        chunk: int | None = None,
        method: str = "auto",
        trust: float | int | Float[Array, ""] | None = None,
        blocks: str | None = None,
        single: bool = False,
        tolerance: float | Float[Array, ""] = 1e-6,
        max_steps: int = 500,
    ):
        check_share("mu of SPRING", mu)
        self.rule = SR(
            shift,
            chunk=chunk,
            method=method,
            trust=trust,
            blocks=blocks,
            single=single,
            tolerance=tolerance,
            max_steps=max_steps,
        )
        self.mu = mu

    def init(self, params: Params) -> Array:
        """No step yet: zero."""
        return jnp.zeros(realify(params)[0].shape, real_dtype())

    def step(
        self, ansatz: Ansatz, params: Params, samples: Samples, local: Any, state: Any, *, added: Params | None = None
    ) -> tuple[Direction, Any]:
        """See `SR.step`; the state is the last step, before the trust region."""
        start = self.mu * state
        direction, x = _direction(self.rule, ansatz, params, samples, jnp.asarray(local), start, added=added)
        return said(direction), x

    @property
    def shift(self) -> Any:
        """The shift of the solves."""
        return self.rule.shift

    def with_shift(self, shift: Any) -> "SPRING":
        """See `AbstractPreconditioner.with_shift`."""
        return eqx.tree_at(lambda s: s.rule, self, self.rule.with_shift(shift))


class Moments(eqx.Module):
    """What MARCH remembers: the last step, mean squares of the changes of steps, and the number of steps."""

    last: Float[Array, " params"]
    squares: Float[Array, " params"]
    count: Float[Array, ""]


class MARCH(AbstractPreconditioner):
    r"""SPRING with a scale of each parameter, from how much its steps change.

    $$x_t = \arg\min_x |\bar O x - \epsilon|^2 + \lambda\,|D(x - \phi)|^2, \qquad \phi = \mu\, x_{t-1},$$

    so $x_t = \phi + D^{-2}\bar O^T(\bar O D^{-2}\bar O^T + \lambda)^{-1}(\epsilon - \bar O\phi)$, with
    $D = \mathrm{diag}\bigl((v/(1-\beta^{t-1}))^{1/4} + 10^{-8}\bigr)$, the unit matrix in the first step, and
    $v \leftarrow \beta v + (1-\beta)(x_t - x_{t-1})^2$. Parameters whose steps keep their direction move further.

    Args:
        shift: $\lambda > 0$.
        mu: how much of the last step is kept, $0 \le \mu < 1$.
        beta: memory of the squares, $0 \le \beta < 1$.
        chunk, method, trust, single, tolerance, max_steps, blocks: see `SR`; no form `assembled`.

    Raises:
        ConfigError: a setting out of range.

    Source: Gu et al., Nat. Commun. 17, 7838 (2026), arXiv:2507.02644.
    """

    rule: SR
    mu: float | Float[Array, ""]
    beta: float | Float[Array, ""]

    def __init__(
        self,
        shift: float | int | Float[Array, ""] = 1e-3,
        mu: float | int | Float[Array, ""] = 0.95,
        beta: float | int | Float[Array, ""] = 0.995,
        *,
        chunk: int | None = None,
        method: str = "auto",
        trust: float | int | Float[Array, ""] | None = None,
        blocks: str | None = None,
        single: bool = False,
        tolerance: float | Float[Array, ""] = 1e-6,
        max_steps: int = 500,
    ):
        check_share("mu of MARCH", mu)
        check_share("beta of MARCH", beta)
        self.rule = SR(
            shift,
            chunk=chunk,
            method=method,
            trust=trust,
            blocks=blocks,
            single=single,
            tolerance=tolerance,
            max_steps=max_steps,
        )
        self.mu, self.beta = mu, beta

    def init(self, params: Params) -> Moments:
        """No step yet: zeros."""
        zero = jnp.zeros(realify(params)[0].shape, real_dtype())
        return Moments(zero, zero, jnp.zeros((), real_dtype()))

    def step(
        self,
        ansatz: Ansatz,
        params: Params,
        samples: Samples,
        local: Any,
        state: Moments,
        *,
        added: Params | None = None,
    ) -> tuple[Direction, Moments]:
        """See `SR.step`."""
        first = state.count == 0
        part = jnp.where(first, 1.0, 1.0 - self.beta**state.count)
        scale = jnp.where(first, 1.0, 1.0 / ((state.squares / part) ** 0.25 + 1e-8))
        start = self.mu * state.last
        direction, x = _direction(self.rule, ansatz, params, samples, jnp.asarray(local), start, scale, added)
        squares = self.beta * state.squares + (1 - self.beta) * (x - state.last) ** 2
        return said(direction), Moments(x, squares, state.count + 1)

    @property
    def shift(self) -> Any:
        """The shift of the solves."""
        return self.rule.shift

    def with_shift(self, shift: Any) -> "MARCH":
        """See `AbstractPreconditioner.with_shift`."""
        return eqx.tree_at(lambda s: s.rule, self, self.rule.with_shift(shift))


def check_share(what: str, value: Any) -> None:
    """Raise unless a setting is in [0, 1).

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, jax.Array) and not 0 <= value < 1:
        raise ConfigError(f"The {what} is a share.", got=value, expected="0 <= share < 1", try_="0.9")
