"""Fit the parameters of a quantum program: minimise its expected value."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from diffquantum.estimate.sampled import SampledExpectation
from drivers.base import AbstractDriver
from qml._core import tree
from qml._core.errors import ConfigError, ShapeError
from qml._core.types import Array
from qml.estimate.stats import Stats


class ProgramFit(AbstractDriver):
    r"""Minimise an expected value $E(\theta)$, exact or from shots.

    An exact expectation (or any JAX function of theta that returns a real number) is differentiated by JAX. A sampled
    one gives an unbiased value and an unbiased gradient at every step, each from shots of its own.

    Each step records `energy` (Stats, before the step), `gradient_norm`, and `theta` after the step.

    Args:
        energy: `diffquantum.expectation(program, ...)`, with or without shots, or a function `theta -> number`.
        optimizer: an Optax optimiser.

    Example:
        >>> import jax.numpy as jnp, optax, drivers
        >>> fit = drivers.ProgramFit(lambda theta: jnp.sum(jnp.cos(theta)), optax.sgd(0.5))
        >>> result = fit.run(jnp.array([1.0, 4.0]), steps=60)
        >>> print(result.energy, result.state.round(6))
        -2 [3.141593 3.141593]
    """

    energy: Any
    optimizer: Any

    def init(self, thing: Any, key: Any) -> dict:
        """Parameters, the optimiser's state and a key.

        Raises:
            ShapeError: theta is no vector of finite real numbers.
            ConfigError: the energy cannot be called, or the optimizer is no Optax optimiser.
        """
        theta = jnp.asarray(thing)
        if theta.ndim != 1 or not jnp.issubdtype(theta.dtype, jnp.number) or jnp.iscomplexobj(theta):
            raise ShapeError(
                "The parameters of a program are a vector of real numbers.",
                got=f"{theta.dtype}{list(theta.shape)}",
                expected="a real array [params]",
                try_="jnp.array([0.1, 0.2])",
            )
        if not callable(self.energy):
            raise ConfigError(
                "The energy of a program fit is a function of theta.",
                got=type(self.energy).__name__,
                expected="diffquantum.expectation(program, ...)",
                try_="diffquantum.expectation(program, observable)",
            )
        if not isinstance(self.optimizer, optax.GradientTransformation | optax.GradientTransformationExtraArgs):
            raise ConfigError(
                "The optimizer is no Optax optimiser.",
                got=type(self.optimizer).__name__,
                expected="an optax.GradientTransformation",
                try_="optax.adam(0.05)",
            )
        theta = theta.astype(jnp.result_type(theta.dtype, float))
        key = jax.random.key(0) if key is None else jax.random.clone(key)
        return {"theta": theta, "memory": self.optimizer.init(theta), "key": key}

    def step(self, carry: dict) -> tuple[dict, dict]:
        """Value, gradient, update."""
        key, now = jax.random.split(carry["key"])
        energy, gradient = self._value_and_gradient(carry["theta"], now)
        updates, memory = self.optimizer.update(gradient, carry["memory"], carry["theta"])
        theta = optax.apply_updates(carry["theta"], updates)
        info = {"energy": energy, "gradient_norm": tree.norm(gradient), "theta": theta}
        return {"theta": theta, "memory": memory, "key": key}, info

    def final(self, carry: dict) -> dict:
        """The value at the last parameters; from shots, fresh ones."""
        return {"energy": self._value(carry["theta"], jax.random.split(jax.random.clone(carry["key"]))[1])}

    def finish(self, thing: Any, carry: dict) -> Array:
        """The last parameters."""
        return carry["theta"]

    def _value(self, theta: Array, key: Any) -> Stats:
        if isinstance(self.energy, SampledExpectation):
            return self.energy(theta, key)
        return Stats.exact(jnp.real(self.energy(theta)))

    def _value_and_gradient(self, theta: Array, key: Any) -> tuple[Stats, Array]:
        if isinstance(self.energy, SampledExpectation):
            one, two = jax.random.split(key)
            return self.energy(theta, one), self.energy.gradient(theta, two).mean
        value, gradient = jax.value_and_grad(self.energy)(theta)
        return Stats.exact(value), gradient
