"""What a preconditioner is: a rule that turns weighted local energies into a direction, and may remember."""

import abc
import warnings
from typing import Any

import equinox as eqx
import jax
from jax.core import Tracer

from qml._core.errors import ConfigError
from qml._core.types import Array, Bool, Float, Int, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.samples import Samples


class UnsolvedWarning(UserWarning):
    """A metric system was not solved to its tolerance."""


class Direction(eqx.Module):
    r"""A solution of $S x = F$ and how well the step it makes is represented.

    Args:
        update: $x$ as a tree like the parameters.
        metric_norm: $x^T S x$.
        force_dot: $x^T F$. In real time the squared projection error per variance of H is
            $r^2 = (\mathrm{Var}\,H + x^T S x - 2 x^T F) / \mathrm{Var}\,H$.
        residual: of the regularised system, relative to its right side; zero of a solve by eigenvalues.
        steps: of conjugate gradients, else zero.
        converged: False where conjugate gradients did not reach their tolerance.
        form: what was solved: `dense`, `jacobian`, `assembled`, `streamed` or `cg`; of blocks, their number too.
    """

    update: Params
    metric_norm: Float[Array, ""]
    force_dot: Float[Array, ""]
    residual: Float[Array, ""]
    steps: Int[Array, ""]
    converged: Bool[Array, ""]
    form: str = eqx.field(static=True)


class AbstractPreconditioner(eqx.Module):
    """A rule from samples and local energies to a direction; what it remembers is state in, state out.

    A driver that rejects a step keeps the old state, and nothing of the rejected step is remembered.
    """

    @abc.abstractmethod
    def init(self, params: Params) -> Any:
        """What is remembered before the first step: a tree of finite arrays, `()` where nothing is."""

    @abc.abstractmethod
    def step(self, ansatz: Ansatz, params: Params, samples: Samples, local: Any, state: Any) -> tuple[Direction, Any]:
        r"""The direction $x$ to be stepped as $\theta \leftarrow \theta - \eta x$, and the new state.

        Args:
            ansatz: the wave function.
            params: its parameters.
            samples: weighted configurations.
            local: local energies `[samples]`.
            state: from `init`, or from the step before.
        """

    def with_shift(self, shift: Any) -> "AbstractPreconditioner":
        """The same rule with another shift, which may be traced: for automatic damping.

        Raises:
            ConfigError: this rule is not regularised by a shift.
        """
        raise ConfigError(
            "This preconditioner has no shift that could be adapted.",
            got=type(self).__name__,
            expected="a rule with a shift",
            try_="qml.estimate.SR(shift=1e-3)",
        )


def check_positive(what: str, value: Any) -> None:
    """Raise unless a setting is a positive number; arrays pass, they are not known yet.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, jax.Array) and not (value is not None and 0 < value < float("inf")):
        raise ConfigError(f"The {what} is a positive number.", got=value, expected="a float > 0", try_="SR(shift=1e-3)")


def check_noise(rule: Any, samples: Samples) -> None:
    """Raise where noise is to be filtered that is not there.

    Raises:
        ConfigError: a filter of noise, and samples that are a full sum.
    """
    if rule.snr is not None and samples.chains is None:
        raise ConfigError(
            "A full sum has no noise to be filtered.",
            got=f"snr={rule.snr} and a full sum",
            expected="samples from chains, or snr=None",
            try_="SR(shift=1e-3)",
        )


def said(direction: Direction) -> Direction:
    """The direction; a warning where its numbers are known and the solve did not converge."""
    if isinstance(direction.converged, Tracer) or bool(direction.converged):
        return direction
    warnings.warn(
        f"Conjugate gradients stopped after {int(direction.steps)} steps at a residual of "
        f"{float(direction.residual):.1e}. Try: a larger shift, max_steps= or tolerance=, or method='auto'.",
        UnsolvedWarning,
        stacklevel=3,
    )
    return direction
