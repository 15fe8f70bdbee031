"""Information metrics as linear operators of Lineax: dense, or by products alone."""

from typing import Any

import jax

from qml import linalg
from qml._core.errors import unknown_name
from qml.gibbs import engine
from qml.gibbs.family import AbstractGibbs, AbstractLinear, metric_product, push
from qml.gibbs.vectors import VectorGibbs


def metric_operator(model: AbstractGibbs | VectorGibbs, kind: str = "bkm", *, matrix_free: bool = False) -> Any:
    r"""A metric in the couplings as a positive semidefinite operator, for the solvers of Lineax.

    Args:
        model: the state; that of a `VectorGibbs` is known by products alone, from its random vectors. The operator of a
            `LatentGibbs` works on its parameters `{"theta": ..., "phi": ...}`, one block for each.
        kind: see `PauliGibbs.metric`.
        matrix_free: products instead of the matrix of the metric, each at the cost of a few products of matrices of
            the size of the space (of products with vectors, for a `VectorGibbs`).

    Returns:
        A `lineax.MatrixLinearOperator` or `lineax.FunctionLinearOperator`.

    Raises:
        ConfigError: no such metric.

    Example:
        >>> import jax.numpy as jnp, lineax as lx
        >>> from qml.gibbs import PauliGibbs, metric_operator
        >>> model = PauliGibbs(("X", "Z"), jnp.array([0.3, -0.8]))
        >>> free = metric_operator(model, matrix_free=True)
        >>> solution = lx.linear_solve(free, jnp.array([0.2, 0.1]), lx.CG(rtol=1e-10, atol=1e-12)).value
        >>> print(bool(jnp.allclose(model.metric() @ solution, jnp.array([0.2, 0.1]))))
        True
    """
    import lineax as lx

    if kind not in engine.METRICS:
        unknown_name("metric", kind, engine.METRICS)
    if isinstance(model, VectorGibbs):
        return lx.FunctionLinearOperator(
            model.products(kind), jax.eval_shape(lambda: model.theta), lx.positive_semidefinite_tag
        )
    if not isinstance(model, AbstractLinear):
        blocks = model.metric_blocks(kind)
        shapes: Any = jax.eval_shape(lambda: model.params)
        return lx.FunctionLinearOperator(
            lambda v: jax.tree.map(lambda block, part: block @ part, blocks, v), shapes, lx.positive_semidefinite_tag
        )
    if not matrix_free:
        return lx.MatrixLinearOperator(model.metric_blocks(kind), lx.positive_semidefinite_tag)
    state = _solved(model)
    times = jax.jit(lambda direction: metric_product(model, state, direction, kind))
    shape: Any = jax.eval_shape(lambda: model.params)
    return lx.FunctionLinearOperator(times, shape, lx.positive_semidefinite_tag)


@linalg.jitted
def _solved(model: AbstractLinear) -> engine.Thermal:
    return engine.solve(model.strings, push(model.tie, model.params))
