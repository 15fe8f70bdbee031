"""Complex-aware algebra on trees of arrays; the first argument of an inner product is conjugated."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from qml._core.types import Array, PyTree


def inner(a: PyTree, b: PyTree) -> Array:
    r"""Inner product $\langle a, b\rangle = \sum_k \bar a_k b_k$ over all leaves."""
    return sum(jax.tree.leaves(jax.tree.map(lambda x, y: jnp.sum(jnp.conj(x) * y), a, b)), start=jnp.zeros(()))


def norm(a: PyTree) -> Array:
    r"""Euclidean norm $\sqrt{\langle a, a\rangle}$, a real number."""
    return jnp.sqrt(sum((jnp.sum(jnp.abs(x) ** 2) for x in jax.tree.leaves(a)), start=jnp.zeros(())))


def scaled(alpha: float | Array, x: PyTree) -> PyTree:
    """`alpha * x`, each leaf kept in its dtype."""
    return jax.tree.map(lambda a: (alpha * a).astype(a.dtype), x)


def axpy(alpha: float | Array, x: PyTree, y: PyTree) -> PyTree:
    """`alpha * x + y`, each leaf kept in the dtype of `y`."""
    return jax.tree.map(lambda a, b: (alpha * a + b).astype(b.dtype), x, y)


def all_finite(a: PyTree) -> Array:
    """True where no leaf holds NaN or infinity: one look at all numbers in a row, which compiles to little."""
    leaves = [jnp.asarray(x) for x in jax.tree.leaves(a)]
    complex_ = [x for x in leaves if jnp.iscomplexobj(x)]
    parts = [x for x in leaves if jnp.issubdtype(x.dtype, jnp.floating)]
    parts += [x.real for x in complex_] + [x.imag for x in complex_]
    if not parts:
        return jnp.array(True)
    wide = jnp.result_type(*parts)
    return jnp.all(jnp.isfinite(jnp.concatenate([x.ravel().astype(wide) for x in parts])))


def where(condition: Array, a: PyTree, b: PyTree) -> PyTree:
    """Leaf by leaf `jnp.where`; typed keys pass through."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)


def realify(params: PyTree) -> tuple[Array, Callable[[Array], PyTree]]:
    """Flatten a mixed real and complex tree to one real vector, complex leaves as (real, imaginary).

    Args:
        params: tree of real and complex arrays.

    Returns:
        The real vector `[params]`, and the function back to the tree.
    """
    leaves, treedef = jax.tree.flatten(params)
    pairs = [jnp.stack([x.real, x.imag]) if jnp.iscomplexobj(x) else x for x in leaves]
    vector, back = ravel_pytree(pairs)
    dtypes = [x.dtype for x in leaves]

    def unravel(v: Array) -> PyTree:
        out = [
            (p[0] + 1j * p[1]).astype(d) if jnp.issubdtype(d, jnp.complexfloating) else p.astype(d)
            for p, d in zip(back(v), dtypes, strict=True)
        ]
        return jax.tree.unflatten(treedef, out)

    return vector, unravel
