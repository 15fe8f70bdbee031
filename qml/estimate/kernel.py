r"""The kernel $T = \bar O\bar O^T$ of a network without its matrix of derivatives.

A weight that enters once, as $y = a\,W$ with an activation $a$ of each sample, has the derivatives
$\partial_{W_{ij}}\log\psi = a_i\,g_j$ with $g = \partial\log\psi/\partial y$. Its share of the kernel is the
elementwise product of two Gram matrices, $(a a^T) \circ (g g^T)$: $N_s^2 (n + m)$ operations in place of $N_s^2\, n m$.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from qml._core.chunk import map_chunks
from qml._core.memory import planned
from qml._core.precision import real_dtype
from qml._core.tree import realify
from qml._core.types import Array, Float, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.metric import part
from qml.estimate.plan import rows_at_once
from qml.estimate.rows import derivatives
from qml.estimate.samples import Samples

_INLINED = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr"}
GROUP = 2**30  # bytes of derivatives held at once
_LARGE = 2**26  # bytes of a kernel of which one share is made after the other
_VIEWS = ("reshape", "broadcast_in_dim", "convert_element_type", "squeeze", "copy")


class _Leaf(NamedTuple):
    """A parameter, or the same numbers in another shape or dtype, on its way to where it is used."""

    number: int
    value: Array


class _Entries(NamedTuple):
    """Where parameters enter: the activations `[samples, n]` that multiply them, and the results `[samples, ...]`."""

    activations: dict[int, Array]
    results: dict[int, Array]


def kernel(
    ansatz: Ansatz,
    params: Params,
    samples: Samples,
    *,
    chunk: int | None = None,
    layers: bool = True,
    scale: Params | None = None,
) -> Float[Array, "rows rows"]:
    r"""$T = \bar O\bar O^T$ with the centred, weighted rows of `qml.estimate.jacobian`.

    Weights that enter as one matrix product of a batch of activations, and biases added to a batch, are never
    differentiated sample by sample; the other parameters are, as many samples at a time as fit.

    Args:
        ansatz: the wave function.
        params: its parameters.
        samples: weighted configurations.
        chunk: rows held at once for the derivatives of the other parameters; `None` plans.
        layers: whether weights are taken by their layer where they can be; else by derivatives, some at a time.
        scale: numbers by which the columns of $\bar O$ are multiplied, a tree like `params` (a complex leaf holds those
            of the real and of the imaginary part); only without `layers`.

    Returns:
        Symmetric, `[samples, samples]`, or `[2 samples, 2 samples]` for a complex log psi.

    Source: Novak, Sohl-Dickstein, Schoenholz, arXiv:2206.08720, section 3.
    """
    return _kernel(ansatz, params, samples, chunk, layers, scale)


@jax.jit(static_argnums=(0, 3, 4))
def _kernel(
    ansatz: Ansatz, params: Params, samples: Samples, chunk: int | None, layers: bool, scale: Params | None
) -> Array:
    found = _entering_once(ansatz, params) if layers else ()
    out = _raw(ansatz, params, samples.x, chunk, found, scale)
    root, components = jnp.sqrt(samples.weights), out.shape[0]
    mean = jnp.sum(out * samples.weights[None, :, None, None], axis=1)  # no product: the kernel need not be held twice
    both = jnp.sum(mean * samples.weights[None, None, :], axis=2)
    centred = out - mean[:, None] - mean.transpose(1, 2, 0)[:, :, :, None] + both[:, None, :, None]
    centred = centred * root[None, :, None, None] * root[None, None, None, :]
    return centred.reshape(components * len(root), -1)


def structured_share(ansatz: Ansatz, params: Params) -> float:
    """Share of the real parameters whose derivatives are products of an activation and a cotangent."""
    leaves = jax.tree.leaves(params)
    found = _entering_once(ansatz, params)
    sizes = [real_size(leaf) for leaf in leaves]
    return sum(size for i, size in enumerate(sizes) if i in found) / max(1, sum(sizes))


def layer_widths(ansatz: Ansatz, params: Params) -> dict[int, tuple[int, int]]:
    """Numbers of activations and of results of each parameter that enters once, by the number of the parameter."""
    x = jax.ShapeDtypeStruct((2, ansatz.n_sites), jnp.int8)
    found = _entering_once(ansatz, params)
    layers = jax.eval_shape(lambda p, x: _layers(ansatz, p, x, found), params, x) if found else []
    return {
        i: (activation.shape[1], cotangents.shape[2]) for i, (activation, cotangents) in zip(found, layers, strict=True)
    }


def _entering_once(ansatz: Ansatz, params: Params) -> tuple[int, ...]:
    """Numbers of the parameters that enter once, in a known way.

    Seen for two sizes of the batch, so that no other axis is taken for that of the samples.
    """
    leaves, structure = jax.tree.flatten(params)
    return _entering(ansatz, structure, tuple((jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves))


@functools.lru_cache(256)
def _entering(ansatz: Ansatz, structure: Any, leaves: tuple) -> tuple[int, ...]:
    params = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*leaf) for leaf in leaves])
    found = [_shapes(ansatz, params, samples) for samples in (2, 3)]
    return tuple(sorted(found[0].keys() & found[1].keys()))


def _shapes(ansatz: Ansatz, params: Params, samples: int) -> dict[int, jax.ShapeDtypeStruct]:
    """Shapes of the results by which parameters enter."""
    x = jax.ShapeDtypeStruct((samples, ansatz.n_sites), jnp.int8)
    return jax.eval_shape(lambda p, x: _run(ansatz, p, x, {})[1].results, params, x)


def _raw(
    ansatz: Ansatz, params: Params, x: Array, chunk: int | None, found: tuple[int, ...], scale: Params | None
) -> Array:
    """`sum_k O[a, s, k] O[b, t, k]` over the real parameters, not centred; components are real and imaginary part."""
    leaves, components = jax.tree.leaves(params), 2 if ansatz.is_complex else 1
    total: Any = 0.0
    if found:

        def probe(x: Array) -> Params:
            return jax.grad(lambda p: jnp.sum(ansatz.log_psi(p, x).real))(params)

        chunk_of_layers = rows_at_once(probe, x, chunk=chunk)
        layers = map_chunks(lambda x: _layers(ansatz, params, x, found), x, chunk=chunk_of_layers)
        for i, (activation, cotangents) in zip(found, layers, strict=True):

            def plus(t: Any, a: Array = activation, g: Array = cotangents, i: int = i) -> Any:
                return t + _share(a, jnp.moveaxis(g, 1, 0), jnp.iscomplexobj(leaves[i]))

            large = isinstance(total, Array) and 8 * total.size > _LARGE  # small ones are fused with each other
            total = _in_turn(plus, total) if large else plus(total)
    others = [i for i in range(len(leaves)) if i not in found]
    if not others:
        return total

    def share(group: list[int]) -> list[Array]:
        few, held = part(ansatz, params, group)
        rows = derivatives(few, held, x, chunk)
        if scale is not None:
            rows = rows.scaled(realify([jax.tree.leaves(scale)[i] for i in group])[0])
        return list(rows.blocks().values())

    first, *groups = groups_of(leaves, others, len(x) * components)
    blocks = share(first)
    if found:
        blocks = [a + b for a, b in zip(_blocks(total), blocks, strict=True)]
    for group in groups:
        blocks = _in_turn(lambda t, group=group: [a + b for a, b in zip(t, share(group), strict=True)], blocks)
    return _whole(blocks)


def _in_turn(plus: Callable[[Any], Any], total: Any) -> Any:
    """A sum and one more share, after the shares before it: XLA would make all shares first, and hold them; a branch
    waits for the sum so far."""
    first = jax.tree.leaves(total)[0].reshape(-1)[0]
    return jax.lax.cond(first == first, plus, lambda t: t, total)  # a NaN stays one


def _blocks(whole: Array) -> list[Array]:
    """Blocks `[samples, samples]` of pairs of components, the first not after the second."""
    components = whole.shape[0]
    return [whole[i, :, j] for i in range(components) for j in range(i, components)]


def _whole(blocks: list[Array]) -> Array:
    """`[components, samples, components, samples]` of blocks, of which those on the diagonal may be upper triangles."""
    diagonal = [jnp.triu(block) + jnp.triu(block, 1).T for block in (blocks[0], blocks[-1])]
    if len(blocks) == 1:
        return diagonal[0][None, :, None]
    top, bottom = jnp.stack([diagonal[0], blocks[1]], axis=1), jnp.stack([blocks[1].T, diagonal[1]], axis=1)
    return jnp.stack([top, bottom])


def _layers(ansatz: Ansatz, params: Params, x: Array, found: tuple[int, ...]) -> list[tuple[Array, Array]]:
    """Activations `[samples, n]` and cotangents `[samples, components, m]` of the parameters that enter once."""
    shapes = _shapes(ansatz, params, x.shape[0])
    deltas = {i: jnp.zeros(shapes[i].shape, shapes[i].dtype) for i in found}

    def parts(deltas: dict[int, Array]) -> tuple[tuple[Array, ...], dict[int, Array]]:
        log_psi, entries = _run(ansatz, params, x, deltas)
        return ((log_psi.real, log_psi.imag) if ansatz.is_complex else (log_psi,)), entries.activations

    out, pull, activations = jax.vjp(parts, deltas, has_aux=True)
    ones = jnp.ones_like(out[0])
    pulled = [pull(tuple(ones * (i == j) for j in range(len(out))))[0] for i in range(len(out))]
    return [(activations[i], jnp.stack([p[i].reshape(x.shape[0], -1) for p in pulled], axis=1)) for i in found]


def groups_of(leaves: list[Array], chosen: Sequence[int], rows: int) -> list[list[int]]:
    """Leaves in groups whose derivatives of all rows fit in so many bytes; a large leaf is a group by itself."""
    most = planned(0.125, GROUP)
    groups: list[list[int]] = []
    held = most + 1
    for i in chosen:
        size = 8 * rows * real_size(leaves[i])
        if held + size > most:
            groups, held = [*groups, []], 0
        groups[-1].append(i)
        held += size
    return groups


def real_size(leaf: Any) -> int:
    """Real numbers in a leaf."""
    return leaf.size * (2 if jnp.iscomplexobj(leaf) else 1)


def _share(activation: Array, cotangents: Array, complex_leaf: bool) -> Array:
    r"""Share of one weight; its columns are $\mathrm{Re}\,a_i g_j$, of a complex one $-\mathrm{Im}\,a_i g_j$ too."""
    components, samples, width = cotangents.shape
    a = activation.astype(jnp.result_type(activation.dtype, real_dtype()))
    g = cotangents.reshape(-1, width).astype(jnp.result_type(cotangents.dtype, real_dtype()))

    def product(left: Array, right: Array) -> Array:
        inner = _gram(g, right).reshape(components, samples, components, samples)
        return (_gram(a, left)[None, :, None, :] * inner).real

    if complex_leaf or not (jnp.iscomplexobj(a) or jnp.iscomplexobj(g)):
        return product(a.conj(), g.conj())
    return (product(a.conj(), g.conj()) + product(a, g)) / 2


def _gram(left: Array, right: Array) -> Array:
    """`left @ right.T`; of single columns as a product of numbers, which is fused with what follows."""
    return left * right.T if left.shape[1] == 1 else left @ right.T


def _run(ansatz: Ansatz, params: Params, x: Any, deltas: dict[int, Array]) -> tuple[Array, _Entries]:
    """log psi with `deltas` added where the parameters enter."""
    program = jax.make_jaxpr(ansatz.log_psi)(params, x)
    leaves = [_Leaf(i, leaf) for i, leaf in enumerate(jax.tree.leaves(params))]
    walk = _Walk(x.shape[0], deltas)
    (log_psi,) = walk.run(program.jaxpr, program.consts, [*leaves, x])
    return walk.plain(log_psi), walk.entries()


class _Walk:
    """Evaluates a program step by step, and watches where the parameters enter."""

    def __init__(self, samples: int, deltas: dict[int, Array]):
        self.samples, self.deltas = samples, deltas
        self.seen: dict[int, list[tuple[Array, Array] | None]] = {}

    def entries(self) -> _Entries:
        """Activations and results of the parameters that enter once and in a known way."""
        once = {i: seen[0] for i, seen in self.seen.items() if len(seen) == 1 and seen[0] is not None}
        return _Entries({i: e[0] for i, e in once.items()}, {i: e[1] for i, e in once.items()})

    def plain(self, value: Any) -> Any:
        """The number itself; a parameter that is asked for its number enters in an unknown way."""
        if not isinstance(value, _Leaf):
            return value
        self.seen.setdefault(value.number, []).append(None)
        return value.value

    def run(self, program: Jaxpr, consts: Any, inputs: list) -> list:
        """Results of a program; parameters among the inputs stay watched."""
        env: dict[Any, Any] = dict(zip([*program.constvars, *program.invars], [*consts, *inputs], strict=True))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, Literal) else env[atom]

        for equation in program.eqns:
            out = self.step(equation, [read(atom) for atom in equation.invars])
            env.update(zip(equation.outvars, out, strict=True))
        return [read(atom) for atom in program.outvars]

    def step(self, equation: JaxprEqn, inputs: list) -> list:
        """Results of one equation."""
        name = equation.primitive.name
        if name in _INLINED:
            inner = equation.params[_INLINED[name]]
            return self.run(*((inner.jaxpr, inner.consts) if isinstance(inner, ClosedJaxpr) else (inner, ())), inputs)
        held = [value for value in inputs if isinstance(value, _Leaf)]
        if len(held) == len(inputs) == 1 and name in _VIEWS:
            return [_Leaf(held[0].number, _bind(equation, [held[0].value])[0])]
        activation = self.activation(equation, inputs) if len(held) == 1 and len(inputs) == 2 else None
        if activation is None:
            return _bind(equation, [self.plain(value) for value in inputs])
        (out,) = _bind(equation, [v.value if isinstance(v, _Leaf) else v for v in inputs])
        self.seen.setdefault(held[0].number, []).append((activation, out))
        return [out + self.deltas[held[0].number] if held[0].number in self.deltas else out]

    def activation(self, equation: JaxprEqn, inputs: list) -> Array | None:
        """What multiplies the parameter, if it enters as `a @ w`, or as a bias of shape `[1, m]`."""
        name, second = equation.primitive.name, isinstance(inputs[1], _Leaf)
        other, weight = (inputs[0], inputs[1].value) if second else (inputs[1], inputs[0].value)
        if other.ndim != 2 or other.shape[0] != self.samples:
            return None
        if name == "dot_general" and second:
            (left, right), batch = equation.params["dimension_numbers"]
            plain = tuple(left) == (1,) and tuple(right) == (0,) and not any(batch) and weight.ndim <= 2
            return other if plain else None
        bias = name == "add" and weight.shape == (1, other.shape[1])
        return jnp.ones((self.samples, 1), other.real.dtype) if bias else None


def _bind(equation: JaxprEqn, inputs: list) -> list:
    out = equation.primitive.bind(*inputs, **equation.primitive.get_bind_params(equation.params))
    return list(out) if equation.primitive.multiple_results else [out]
