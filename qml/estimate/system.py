r"""One metric system in the form that is the cheapest: $\min_x |\bar O x - \epsilon|^2 + \lambda |D(x - \phi)|^2$."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from qml._core.precision import real_dtype
from qml._core.tree import realify
from qml._core.types import Array, Params
from qml.ansatz.bridge import Ansatz
from qml.estimate.forms import FORMS, choose_form, form_costs, linearises
from qml.estimate.kernel import kernel
from qml.estimate.metric import part, pull_rows, residual, turn, weighted_rows
from qml.estimate.rows import Rows, centred, derivatives
from qml.estimate.samples import Samples
from qml.estimate.solve import (
    Filter,
    invert,
    signal_to_noise,
    solve_by_products,
    solve_refined,
    upper_gram,
)

METHODS = {
    "auto": FORMS,
    "sr": ("dense",),
    "minsr": ("jacobian", "assembled", "streamed"),
    **{form: (form,) for form in FORMS},
}
_FEW = 256  # rows whose Gram matrix in double precision costs less than the rounds of a refinement


class Options(NamedTuple):
    """How systems are solved: the regularisation, the forms allowed, and the settings of the forms."""

    filter: Filter
    method: str = "auto"
    chunk: int | None = None
    tolerance: Any = 1e-6
    steps: int = 500
    blocks: str | None = None
    single: bool = False


class Solution(NamedTuple):
    """A solution, what it does to the samples, and how well it was found."""

    x: Array
    moved: Array
    rest: Array
    steps: Array
    form: str


class _Products(NamedTuple):
    """The matrix of centred derivatives by what it does to vectors; the matrix itself where it is held."""

    push: Callable[[Array], Array]
    pull: Callable[[Array], Array]
    held: Rows | None = None


def solve_system(
    options: Options,
    ansatz: Ansatz,
    params: Params,
    samples: Samples,
    right: Array,
    start: Array | None = None,
    scale: Array | None = None,
    added: Array | None = None,
) -> Solution:
    r"""The minimum of $|\bar O x - \epsilon|^2 + \lambda |D(x - \phi)|^2$, block by block where blocks are asked for.

    Args:
        options: how.
        ansatz: the wave function.
        params: its parameters.
        samples: weighted configurations.
        right: $\epsilon$ in the rows of `jacobian`.
        start: $\phi$ in the order of `tree.realify(params)`; `None` is zero.
        scale: the diagonal of $D^{-1}$ in that order; `None` is one.
        added: $\delta$ in that order: the force is $\bar O^T\epsilon + \delta$. It takes a shift.
    """
    if options.single:
        params = jax.tree.map(lambda p: p.astype(jnp.complex64 if jnp.iscomplexobj(p) else jnp.float32), params)
    if options.blocks is None:
        return _solve(options, ansatz, params, samples, right, start, scale, added)
    leaves, treedef = jax.tree.flatten(params)
    found: list = [None] * len(leaves)
    solutions = []
    for chosen in blocks_of(params, options.blocks):
        few, held = part(ansatz, params, chosen)
        given = [None if v is None else _some(v, params, chosen) for v in (start, scale, added)]
        one = _solve(options, few, held, samples, right, *given)
        solutions.append(one)
        for i, leaf in zip(chosen, _tree(one.x, held), strict=True):
            found[i] = leaf
    forms = ", ".join(sorted({s.form for s in solutions}))
    return Solution(
        realify(jax.tree.unflatten(treedef, found))[0],
        sum((s.moved for s in solutions), jnp.zeros_like(right)),
        jnp.max(jnp.stack([s.rest for s in solutions])),
        jnp.max(jnp.stack([s.steps for s in solutions])),
        f"{len(solutions)} blocks, {forms}" if len(solutions) > 1 else forms,
    )


def blocks_of(params: Params, blocks: str) -> list[list[int]]:
    """Numbers of the leaves of each block: leaves of one module (`"layer"`), or each by itself (`"leaf"`)."""
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(params)[0]]
    names = [jax.tree_util.keystr(path if blocks == "leaf" else path[:-1]) for path in paths]
    return [[i for i, other in enumerate(names) if other == name] for name in dict.fromkeys(names)]


def _tree(vector: Array, params: Params) -> Params:
    like, back = realify(params)
    return back(vector.astype(like.dtype))


def _some(vector: Array, params: Params, chosen: Sequence[int]) -> Array:
    """The numbers of some leaves of a vector over all of them, in its own precision."""
    wide = jax.tree.map(lambda p: p.astype(jnp.result_type(p.dtype, vector.dtype)), params)
    leaves = jax.tree.leaves(_tree(vector, wide))
    return realify([leaves[i] for i in chosen])[0]


def _solve(
    options: Options,
    ansatz: Ansatz,
    params: Params,
    samples: Samples,
    right: Array,
    start: Array | None,
    scale: Array | None,
    added: Any,
) -> Solution:
    rule, wide = options.filter._replace(fallback=ansatz.fallback), right.dtype
    form = _choose(options, ansatz, params, len(samples.x), layers=scale is None)
    plain = _stored(ansatz, params, samples, options.chunk) if form in ("dense", "jacobian") else None
    if plain is None:
        make_rows = _linearised if form == "cg" else _by_products
        plain = make_rows(ansatz, params, samples, options.chunk)
    rows = plain if scale is None else _scaled(plain, scale)
    start, added = _placed(form, rule, start, scale, added)
    right = right if start is None else right - plain.push(start)
    components = 2 if ansatz.is_complex else 1
    shift: Any = None if rule.shift is None else jnp.asarray(rule.shift, wide)
    none, steps = jnp.zeros((), wide), jnp.zeros((), int)
    if form == "cg":
        force = rows.pull(right) + added
        z, steps = solve_by_products(lambda v: rows.pull(rows.push(v)), force, shift, options.tolerance, options.steps)
        turned = rows.push(z)
        rest = _relative(force - rows.pull(turned) - shift * z, force)
    elif form == "dense" and rows.held is not None:
        matrix = rows.held.whole()
        force = right @ matrix + added

        def signal(v: Array) -> Array:
            return signal_to_noise(matrix @ v, right, components, samples.count)

        z = invert(lambda: upper_gram(matrix.T), force, rule, signal)
        turned = matrix @ z
        rest = none if _eigen(rule) else _relative(force - turned @ matrix - shift * z, force)
    else:

        def make() -> Array:
            if rows.held is not None:
                return rows.held.gram()
            tree = None if scale is None else _tree(scale, params)
            return kernel(ansatz, params, samples, chunk=options.chunk, layers=form == "assembled", scale=tree)

        if rows.held is not None and rows.held.narrow and len(right) > _FEW and not _eigen(rule):
            held = rows.held
            y = solve_refined(
                lambda: held.gram(wide=False), make, lambda y: held.push(held.pull(y)), right, shift,
                fallback=rule.fallback,
            )  # fmt: skip
        else:
            y = invert(make, right, rule, lambda v: signal_to_noise(v, right, components, samples.count))
        z = rows.pull(y)
        turned = rows.push(z)
        rest = none if _eigen(rule) else _relative(right - turned - shift * y, right)
    z = z if scale is None else scale * z
    if start is None:
        return Solution(z, turned, rest, steps, form)
    return Solution(start + z, turned + plain.push(start), rest, steps, form)


def _placed(form: str, rule: Filter, start: Any, scale: Any, added: Any) -> tuple[Any, Any]:
    r"""The start, and what is added to the force by $D x$. Over samples it is a start, $\lambda D^2\phi = \delta$."""
    if added is None:
        return start, 0.0
    added = added if scale is None else scale * added
    if form in ("dense", "cg"):
        return start, added
    rise = (added if scale is None else scale * added) / rule.shift
    return rise if start is None else start + rise, 0.0


def _choose(options: Options, ansatz: Ansatz, params: Params, samples: int, *, layers: bool) -> str:
    eigen = _eigen(options.filter)
    allowed = METHODS[options.method]
    if options.method == "auto" and eigen:
        allowed = tuple(form for form in allowed if form != "cg")
    if len(allowed) == 1 and allowed[0] != "assembled":
        return allowed[0]
    costs = form_costs(ansatz, params, samples, eigen=eigen, steps=options.steps)
    if not layers:
        costs.pop("assembled", None)
    return choose_form(costs, allowed)


def _eigen(rule: Filter) -> bool:
    return rule.cutoff is not None or rule.snr is not None


def _relative(rest: Array, right: Array) -> Array:
    size = jnp.linalg.norm(right)
    return jnp.linalg.norm(rest) / jnp.where(size > 0, size, 1.0)


def _stored(ansatz: Ansatz, params: Params, samples: Samples, chunk: int | None) -> _Products:
    narrow = any(jnp.finfo(leaf.dtype).bits == 32 for leaf in jax.tree.leaves(params))
    held = centred(derivatives(ansatz, params, samples.x, chunk, single=narrow), samples)
    return _Products(held.push, held.pull, held)


def _by_products(ansatz: Ansatz, params: Params, samples: Samples, chunk: int | None) -> _Products:
    wide = real_dtype()

    def push(v: Array) -> Array:
        turned = turn(ansatz, params, samples.x, _tree(v, params), chunk)
        return residual(ansatz, samples, turned).astype(wide)

    def pull(y: Array) -> Array:
        return realify(pull_rows(ansatz, params, samples, y, chunk))[0].astype(wide)

    return _Products(push, pull)


def _linearised(ansatz: Ansatz, params: Params, samples: Samples, chunk: int | None) -> _Products:
    """Products whose network is linearised once, where what the derivatives need of all samples fits in memory."""
    wide, x = real_dtype(), samples.x
    if chunk is not None or not linearises(ansatz, params, len(x)):
        return _by_products(ansatz, params, samples, chunk)
    _, forward = jax.linearize(lambda p: ansatz.log_psi(p, x), params)
    backward = jax.linear_transpose(forward, params)

    def pull(y: Array) -> Array:
        real, imag = weighted_rows(samples, y, ansatz.is_complex)
        (found,) = backward((real if imag is None else real - 1j * imag).astype(ansatz.dtype))
        return realify(jax.tree.map(jnp.conj, found))[0].astype(wide)

    return _Products(lambda v: residual(ansatz, samples, forward(_tree(v, params))).astype(wide), pull)


def _scaled(rows: _Products, scale: Array) -> _Products:
    held = None if rows.held is None else rows.held.scaled(scale)
    return _Products(lambda v: rows.push(scale * v), lambda y: scale * rows.pull(y), held)
