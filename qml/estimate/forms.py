r"""Which form of the metric solve is the cheapest that fits: a cost model of five forms.

With $N$ samples, $R$ rows (twice the samples where log psi is complex) and $P$ real parameters:

| form | solves | multiply-adds | memory |
| --- | --- | --- | --- |
| `dense` | $P \times P$ | $R P^2 + P^3/3$ | $R P + P^2$ |
| `jacobian` | $R \times R$ | $R^2 P + R^3/3$ | $R P + R^2$ |
| `assembled` | $R \times R$ | $R^2 \sum_l (n_l + m_l) + R^3/3$ | $R^2 + N\sum_l(n_l + m_l)$ |
| `streamed` | $R \times R$ | as `jacobian`, one backward pass for each group of weights | $R^2$, and one group |
| `cg` | products | steps $\times$ (forward and backward derivative) | activations |

`assembled` takes weights of $n \times m$ that enter once; those that enter more often cost it as much as `streamed`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr

from qml._core.errors import ConfigError
from qml._core.memory import planned
from qml._core.types import Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.kernel import groups_of, layer_widths, real_size
from qml.estimate.plan import _programs

FORMS = ("dense", "jacobian", "assembled", "streamed", "cg")
MEMORY = 4 * 2**30  # bytes that a metric solve may hold where no budget is given
_EIGEN = 27.0  # eigenvalues against Cholesky
_PASSES = 16.0  # multiply-adds worth one number written to and read from memory


class Cost(NamedTuple):
    """Multiply-adds of a form, and the bytes it holds at once."""

    work: float
    memory: float


def form_costs(
    ansatz: Ansatz, params: Params, samples: int, *, eigen: bool = False, steps: int = 500
) -> dict[str, Cost]:
    """What each form of a metric solve costs for this network and number of samples.

    Args:
        ansatz: the wave function.
        params: its parameters.
        samples: number of samples.
        eigen: the solve takes eigenvalues (a cutoff, or a filter of noise).
        steps: products that conjugate gradients may take.

    Returns:
        Costs by form; `assembled` only where some weight enters once.

    Example:
        >>> import qml
        >>> from flax import nnx
        >>> from qml.estimate.forms import form_costs
        >>> ansatz, params = qml.ansatz.to_ansatz(qml.ansatz.RBM(64, alpha=4, rngs=nnx.Rngs(0)), qml.hilbert.Spin(64))
        >>> costs = form_costs(ansatz, params, samples=1008)
        >>> min(costs, key=lambda name: costs[name].work)
        'assembled'
    """
    leaves, widths = jax.tree.leaves(params), layer_widths(ansatz, params)
    rows, count = float(samples * (2 if ansatz.is_complex else 1)), float(sum(map(real_size, leaves)))
    forward, held = _row(ansatz, params)
    backward, solve = 3.0 * rows * forward, (_EIGEN if eigen else 1.0) / 3.0
    derivatives, table = backward + _PASSES * rows * count, 16.0 * rows * count

    def over_samples(layers: dict[int, tuple[int, int]]) -> Cost:
        others = [i for i in range(len(leaves)) if i not in layers]
        groups = [sum(real_size(leaves[i]) for i in group) for group in groups_of(leaves, others, int(rows))]
        passes = len(groups) + (1 if layers else 0)
        gram = sum(samples**2 * n + rows**2 * m for n, m in layers.values())
        work = passes * backward + (_PASSES * rows + rows**2) * sum(groups) + gram + _PASSES * len(layers) * rows**2
        held = 8.0 * sum(samples * n + rows * m for n, m in layers.values()) + 16.0 * rows * max(groups, default=0)
        return Cost(work + solve * rows**3, held + 24.0 * rows**2)

    return {
        "dense": Cost(derivatives + 0.75 * rows * count**2 + solve * count**3, table + 24.0 * count**2),
        "jacobian": Cost(derivatives + 0.75 * rows**2 * count + solve * rows**3, table + 24.0 * rows**2),
        **({"assembled": over_samples(widths)} if widths else {}),
        "streamed": over_samples({}),
        "cg": Cost(4.0 * steps * samples * forward, samples * held),
    }


def choose_form(costs: dict[str, Cost], allowed: tuple[str, ...], memory: float | int | None = None) -> str:
    """The form of least work among those that fit; where none fits, the one that holds least.

    Raises:
        ConfigError: no allowed form is possible for this network.
    """
    possible = [name for name in allowed if name in costs]
    if not possible:
        raise ConfigError(
            "No form of the metric solve fits this network.",
            got=", ".join(allowed),
            expected=f"one of {', '.join(costs)}",
            try_='method="auto"',
        )
    direct = [name for name in possible if name != "cg"]
    memory = planned(0.5, MEMORY) if memory is None else memory
    fitting = [name for name in direct if costs[name].memory <= memory]
    if fitting:
        return min(fitting, key=lambda name: costs[name].work)
    if "cg" in possible:
        return "cg"
    return min(direct, key=lambda name: costs[name].memory)


def linearises(ansatz: Ansatz, params: Params, samples: int) -> bool:
    """Whether what the derivatives need of all samples at once fits in a quarter of the memory."""
    return samples * _row(ansatz, params)[1] <= planned(0.5, MEMORY) / 4


def _row(ansatz: Ansatz, params: Params) -> tuple[float, float]:
    """Multiply-adds of log psi of one sample, and bytes of the values on the way."""

    def tally(batch: int) -> np.ndarray:
        x = jax.ShapeDtypeStruct((batch, ansatz.n_sites), jnp.int8)
        return _tally(jax.make_jaxpr(ansatz.log_psi)(params, x).jaxpr)

    work, held = np.maximum(tally(3) - tally(2), 1.0)
    return float(work), float(held)


def _tally(program: Jaxpr) -> np.ndarray:
    total = np.zeros(2)
    for equation in program.eqns:
        inner = [p for value in equation.params.values() for p in _programs(value)]
        turns = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for other in inner:
            total += turns * _tally(other)
        for value in equation.outvars if not inner else ():
            aval: Any = value.aval
            size = float(np.prod(aval.shape))
            total += [size * _depth(equation), size * getattr(aval.dtype, "itemsize", 8)]
    return total


def _depth(equation: Any) -> float:
    """Multiply-adds for each number of the result."""
    name = equation.primitive.name
    if name == "dot_general":
        (left, _), _ = equation.params["dimension_numbers"]
        return float(np.prod([equation.invars[0].aval.shape[i] for i in left]))
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        return float(np.prod(kernel) / kernel[equation.params["dimension_numbers"].rhs_spec[0]])
    return 1.0
