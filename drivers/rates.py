"""Learning rates: by stages, and a factor that may be changed where a run is resumed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from qml._core.errors import ConfigError
from qml._core.precision import real_dtype
from qml._core.types import Array, Float

FACTOR = "rate_factor"  # the name of the number in a carry


class AdjustableState(NamedTuple):
    """The memory of an optimiser, and the factor of what it gives."""

    inner: Any
    rate_factor: Float[Array, ""]


def adjustable(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """The optimiser, with a factor of its updates that is part of the run: `drivers.resume(DIR, rate=0.5)` sets it.

    The factor is 1 at the start, saved in every checkpoint, and an input of the compiled step: another one compiles
    nothing. A schedule goes on as it was, times the factor. Optimisers of configuration files are adjustable.

    Args:
        optimizer: an Optax optimiser.

    Returns:
        An Optax optimiser.

    Example:
        >>> import jax.numpy as jnp, optax, drivers
        >>> optimizer = drivers.adjustable(optax.sgd(0.1))
        >>> memory = optimizer.init(jnp.ones(2))
        >>> update, memory = optimizer.update(jnp.ones(2), memory._replace(rate_factor=jnp.asarray(0.5)))
        >>> update.tolist(), memory.rate_factor.item()
        ([-0.05, -0.05], 0.5)
    """

    def init(params: Any) -> AdjustableState:
        return AdjustableState(optimizer.init(params), jax.device_put(np.ones((), real_dtype())))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, AdjustableState]:
        out, inner = optimizer.update(updates, state.inner, params)
        return jax.tree.map(lambda u: (state.rate_factor * u).astype(u.dtype), out), state._replace(inner=inner)

    return optax.GradientTransformation(init, update)


def factor_info(memory: Any) -> dict:
    """What a step records of the memory of an adjustable optimiser."""
    return {FACTOR: memory.rate_factor} if isinstance(memory, AdjustableState) else {}


def with_factor(names: Sequence[str], leaves: list, rate: float | int) -> list:
    """The arrays of a carry, with another factor of the learning rate.

    Raises:
        ConfigError: the factor is no positive number, or the run's optimiser has none.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < float("inf"):
        raise ConfigError(
            "The factor of the learning rate is a positive number.", got=rate, expected="a float > 0", try_="rate=0.5"
        )
    places = [i for i, name in enumerate(names) if name.split(".")[-1] == FACTOR]
    if not places:
        raise ConfigError(
            "The learning rate of this run cannot be changed: it is a constant of its compiled step.",
            got=f"rate={rate}",
            expected="a run from a configuration file, or of an adjustable optimiser",
            try_="drivers.VMC(hamiltonian, drivers.adjustable(optax.sgd(0.05)), ...)",
        )
    return [jnp.full_like(leaf, rate) if i in places else leaf for i, leaf in enumerate(leaves)]


def staged(learning_rate: Any, final_rate: Any, steps: int) -> Any:
    """A learning rate that stays, goes down half a cosine, or changes by stages `[(steps, rate), ...]`.

    Args:
        learning_rate: a number, or stages: so many steps at this rate, then so many at the next; the last stays.
        final_rate: where half a cosine over all steps ends; `None` stays at the first rate. Not with stages.
        steps: of the run.

    Raises:
        ConfigError: a rate is no positive number, or a stage no pair.
    """
    stages = learning_rate if isinstance(learning_rate, list | tuple) else [(max(steps, 1), learning_rate)]
    lengths, rates = _pairs(stages)
    last = [] if final_rate is None else [final_rate]
    if len(rates) > 1 and last:
        raise ConfigError(
            "Stages have rates of their own.", got=f"final_rate={final_rate}", expected="no final_rate", try_="none"
        )
    for rate in (*rates, *last):
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < float("inf"):
            raise ConfigError("A learning rate is a positive number.", got=rate, expected="a float > 0", try_="0.05")
    if last:
        return optax.cosine_decay_schedule(rates[0], lengths[0], final_rate / rates[0])
    ends = np.cumsum(lengths)[:-1].tolist()
    return optax.join_schedules([optax.constant_schedule(r) for r in rates], ends) if ends else rates[0]


def _pairs(stages: Sequence[Any]) -> tuple[list[int], list[Any]]:
    pairs: list[tuple[Any, ...]] = [tuple(s) if isinstance(s, list | tuple) else () for s in stages]
    counted = all(len(p) == 2 and isinstance(p[0], int) and not isinstance(p[0], bool) and p[0] > 0 for p in pairs)
    if not pairs or not counted:
        raise ConfigError(
            "Stages of a learning rate are pairs of a number of steps and a rate.",
            got=stages,
            expected="[[steps, rate], ...] with steps >= 1",
            try_="learning_rate = [[100, 0.1], [50, 0.02]]",
        )
    return [p[0] for p in pairs], [p[1] for p in pairs]
