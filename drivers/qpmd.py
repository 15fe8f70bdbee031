"""Quantum-probabilistic mirror descent: fit Gibbs states and learn Hamiltonians."""

from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from drivers.base import AbstractDriver
from drivers.io.result import Status
from qml._core.errors import ConfigError
from qml._core.types import Array, Float, PyTree
from qml.gibbs import PauliGibbs
from qml.gibbs.objective import AbstractObjective

SENTENCES = (
    "the driver ended the run",
    "no state has these marginals: fitted are marginals shrunk by the factor `kept`, and the couplings have infinite "
    "error bars; qml.gibbs.nearest_feasible gives the nearest marginals that a state has; "
    "try more shots or method='likelihood'",
)


class _Carry(eqx.Module):
    model: PauliGibbs
    data: PyTree


@final
class QPMD(AbstractDriver):
    r"""Quantum-probabilistic mirror descent on the couplings of a Gibbs state.

    One step minimises $\langle g, \theta\rangle + D/\lambda$ with a divergence of the state family in place of the
    squared distance, so it follows the natural gradient of the Kubo-Mori metric (for a likelihood: of the Fisher metric
    of the measurement). The error shrinks by $1 - \lambda$ a step at any temperature; $\lambda = 1$ is Newton's method.

    Args:
        objective: `ThermalObjective`, `MarginalObjective` or `DataObjective`.
        step_size: $\lambda$ in (0, 1].
        damping: added to metrics with unit diagonal before they are inverted, >= 0.
        tolerance: stop when no coupling would move by more than this in a full step; 0 never stops early.

    Raises:
        ConfigError: a setting is out of range.

    Example:
        >>> import drivers, qml
        >>> target = qml.operator.PauliSum({"ZZ": -1.0, "XI": 0.5})
        >>> model = qml.gibbs.PauliGibbs(("ZZ", "XI", "IX"))
        >>> driver = drivers.QPMD(qml.gibbs.ThermalObjective(target, beta=2.0), step_size=1.0)
        >>> result = driver.run(model, steps=5)
        >>> print(result.state.hamiltonian(beta=2.0))
        -1 Z0 Z1 + 0.5 X0 + 0 X1

    Source: Sbahi, Martinez, Patel, Saberi, Yoo, Roeder, Verdon, arXiv:2206.04663.
    """

    objective: AbstractObjective
    step_size: Float[Array, ""]
    damping: Float[Array, ""]
    tolerance: Float[Array, ""]

    def __init__(self, objective: Any, step_size: float = 0.5, *, damping: float = 0.0, tolerance: float = 1e-10):
        if not isinstance(objective, AbstractObjective):
            raise ConfigError(
                "Mirror descent needs an objective for Gibbs models.",
                got=type(objective).__name__,
                expected="ThermalObjective, MarginalObjective or DataObjective",
                try_="QPMD(qml.gibbs.ThermalObjective(hamiltonian, beta=1.0))",
            )
        if not (0 < step_size <= 1 and 0 <= damping < np.inf and 0 <= tolerance < np.inf):
            raise ConfigError(
                "A setting of mirror descent is out of range.",
                got=f"step_size={step_size}, damping={damping}, tolerance={tolerance}",
                expected="0 < step_size <= 1, damping >= 0, tolerance >= 0",
                try_="step_size=0.5",
            )
        self.objective = objective
        self.step_size, self.damping, self.tolerance = (jnp.asarray(float(x)) for x in (step_size, damping, tolerance))

    def init(self, thing: Any, key: Any) -> _Carry:
        """The model and what the objective keeps beside it; no randomness is used.

        Raises:
            ConfigError: the thing to fit is not a Gibbs model.
        """
        if not isinstance(thing, PauliGibbs):
            raise ConfigError(
                "Mirror descent fits Gibbs models.",
                got=type(thing).__name__,
                expected="a PauliGibbs",
                try_="qml.gibbs.PauliGibbs.local(hilbert, lattice, body=2)",
            )
        return _Carry(thing.with_theta(thing.theta), self.objective.prepare(thing))

    def step(self, carry: _Carry) -> tuple[_Carry, dict[str, Array]]:
        """One mirror step."""
        model, data, info = self.objective.advance(carry.model, carry.data, self.step_size, self.damping)
        stalled, moved = info.pop("stalled"), info["natural_gradient"]
        status = jnp.where(stalled, int(Status.STALLED), int(Status.RUNNING))
        # marginals that no state has were shrunk until some state has them: that fit is not the one asked for
        shrunk = info.get("kept", jnp.ones(())) < 1
        reached = jnp.where(shrunk, int(Status.INFEASIBLE), int(Status.CONVERGED))
        status = jnp.where(moved <= self.tolerance, reached, status)
        reason = jnp.where(shrunk, 1, 0)
        return _Carry(model, data), info | {"status": status.astype(jnp.int32), "reason": reason}

    def sentences(self) -> tuple[str, ...]:
        """See `AbstractDriver.sentences`."""
        return SENTENCES

    def finish(self, thing: PauliGibbs, carry: _Carry) -> PauliGibbs:
        """The fitted model, with the covariance of its couplings."""
        return self.objective.finish(carry.model, carry.data)

    def final(self, carry: _Carry) -> dict[str, Array]:
        """Entropy and logarithm of the partition function of the fitted state."""
        return {"entropy": carry.model.entropy(), "log_partition": carry.model.log_partition()}
