"""What a preconditioner is: a rule that turns weighted local energies into a direction, and may remember."""

import abc
from typing import Any

import equinox as eqx

from qml._core.types import Array, Float, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.samples import Samples


class Direction(eqx.Module):
    r"""A solution of $S x = F$ and how well the step it makes is represented.

    Args:
        update: $x$ as a tree like the parameters.
        metric_norm: $x^T S x$.
        force_dot: $x^T F$. In real time the squared projection error per variance of H is
            $r^2 = (\mathrm{Var}\,H + x^T S x - 2 x^T F) / \mathrm{Var}\,H$.
    """

    update: Params
    metric_norm: Float[Array, ""]
    force_dot: Float[Array, ""]


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
