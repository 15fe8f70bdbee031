"""The one file that knows framework internals: any model becomes a hashable `Ansatz` and a tree of parameters."""

import dataclasses
import functools
from collections.abc import Callable, Hashable
from typing import Any, final

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

from qml._core.errors import GradketError, ShapeError, SpaceError
from qml._core.precision import real_dtype
from qml._core.types import Array, Params
from qml.ansatz.combine import Combination
from qml.ansatz.conditionals import Conditionals, DirectlySampled
from qml.ansatz.layers import MadeForSpace
from qml.ansatz.symmetrise import Projection, Symmetrised, invariances
from qml.ansatz.updates import LocallyUpdated, LocalUpdate
from qml.hilbert import AbstractHilbert


@final
@dataclasses.dataclass(frozen=True, repr=False)
class Ansatz:
    r"""A hashable description of a wave function $\psi_\theta(x) = \exp(\log\psi_\theta(x))$, without its parameters.

    Args:
        apply: hashable pure function `(params, x) -> log psi`, with `x` real numbers `[batch, sites]`, row by row.
        n_sites: number of sites.
        dtype: dtype of log psi.
        name: short name, for messages.
        updates: how log psi changes when few sites change, if the model knows.
        conditionals: how to draw from $|\psi|^2$ site by site, if the model knows.
        fallback: whether programs hold the slow ways too, by the network and by eigenvalues, for where the fast ones
            fail; without them the numbers are NaN there. Half of a program is for this, and hardly ever runs.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.ansatz import Ansatz
        >>> product = Ansatz(lambda params, x: x @ params, 3, jnp.dtype("float64"), "product")
        >>> product.log_psi(jnp.ones(3), jnp.array([[1, -1, 1]])).tolist()
        [1.0]
    """

    apply: Callable[[Params, Array], Array]
    n_sites: int
    dtype: np.dtype
    name: str
    updates: LocalUpdate | None = None
    conditionals: Conditionals | None = None
    fallback: bool = True

    @property
    def is_complex(self) -> bool:
        """True where log psi has an imaginary part."""
        return np.issubdtype(self.dtype, np.complexfloating)

    def log_psi(self, params: Params, x: Any) -> Array:
        r"""$\log\psi_\theta(x)$ of a batch of configurations.

        The configurations are handed to the model as real numbers in the precision of its parameters.

        Args:
            params: tree of parameters.
            x: `[batch, sites]`.

        Returns:
            `[batch]`.

        Raises:
            ShapeError: `x` has another shape.
        """
        if x.ndim != 2 or x.shape[-1] != self.n_sites:
            raise ShapeError(
                f"{self.name} is called on a batch of configurations.",
                got=f"shape {tuple(x.shape)}",
                expected=f"[batch, {self.n_sites}]",
                try_=f"x.reshape(-1, {self.n_sites})",
            )
        return _log_psi(self, params, x)

    @functools.cached_property
    def _hash(self) -> int:
        return hash((self.apply, self.n_sites, self.dtype, self.name, self.updates, self.conditionals, self.fallback))

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Ansatz({self.name}, n_sites={self.n_sites}, dtype={self.dtype})"


@functools.partial(jax.jit, static_argnums=0)  # traced once for each shape, one program where called by hand
def _log_psi(ansatz: Ansatz, params: Params, x: Any) -> Array:
    return ansatz.apply(params, jnp.asarray(x, _input_dtype(params))).astype(ansatz.dtype)


def to_ansatz(model: Any, hilbert: Any, *, key: Any = None) -> tuple[Ansatz, Params]:
    """Split any model into a hashable description and its parameters.

    Args:
        model: one of: a Flax NNX module; a Linen module (initialised with `key`), or a pair `(module, variables)`;
            an Equinox module; a pair `(init, apply)` with `init(key) -> params`, or `(params, apply)`, with
            `apply(params, x)`. The model maps real numbers `x[batch, sites]` to log psi `[batch]`, row by row.
        hilbert: the space its configurations come from.
        key: random key for models that are not initialised yet.

    Returns:
        The `Ansatz` and its parameters, a tree of real and complex arrays.

    Raises:
        ShapeError: log psi has a wrong shape or dtype, or the model cannot be called on such configurations.
        GradketError: the model is of an unknown kind, lacks a key, or does not treat each row by itself.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.ansatz import to_ansatz
        >>> from qml.hilbert import Spin
        >>> ansatz, params = to_ansatz((jnp.ones(4), lambda params, x: x @ params), Spin(4))
        >>> ansatz
        Ansatz(<lambda>, n_sites=4, dtype=float64)
    """
    if isinstance(model, tuple) and len(model) == 2 and isinstance(model[0], Ansatz):
        ansatz, params = model
        if ansatz.n_sites != hilbert.n_sites:
            raise SpaceError(
                "The ansatz was made for another number of sites.",
                got=ansatz.n_sites,
                expected=hilbert.n_sites,
                try_="an ansatz of this space",
            )
        return ansatz, params
    apply, params, name = _split(model, hilbert, key)
    _check_params(params, name)
    dtype = _check_output(apply, params, hilbert.n_sites, name)
    if not isinstance(hilbert, AbstractHilbert):
        return Ansatz(apply, hilbert.n_sites, dtype, name), params
    made = apply if isinstance(model, Symmetrised | Combination) else model
    updates = made.local_update(hilbert) if isinstance(made, LocallyUpdated) else None
    conditionals = made.autoregressive(hilbert) if isinstance(made, DirectlySampled) else None
    return Ansatz(apply, hilbert.n_sites, dtype, name, updates, conditionals), params


def _split(model: Any, hilbert: Any, key: Any) -> tuple[Callable[..., Any], Params, str]:
    name, n_sites = type(model).__name__, hilbert.n_sites
    if isinstance(model, Symmetrised):
        inner, params = to_ansatz(model.model, hilbert, key=key)
        projection = Projection.of(inner, model.sector, hilbert, invariances(model.model))
        return projection, params, projection.name
    if isinstance(model, Combination):
        keys = [None] * len(model.models) if key is None else jax.random.split(key, len(model.models))
        inner, params = zip(*[to_ansatz(m, hilbert, key=k) for m, k in zip(model.models, keys, strict=True)])
        function = model.bind(inner)
        return function, model.parameters(params), function.name
    if isinstance(model, nnx.Module):
        _refuse_batch_layers(model)
        if isinstance(model, MadeForSpace):
            model.check_space(hilbert)
        graph, params, rest = nnx.split(model, nnx.Param, ...)
        return _Bound(_call_nnx, (graph, jax.tree.structure(params), _Frozen.of(rest))), nnx.to_pure_dict(params), name
    if isinstance(model, eqx.Module):
        params, static = eqx.partition(model, eqx.is_inexact_array)
        return _Bound(_call_equinox, _Frozen.of(static)), params, name
    if isinstance(model, linen.Module):
        return _linen(model, None, n_sites, key)
    if isinstance(model, tuple) and len(model) == 2:
        first, second = model
        if isinstance(first, linen.Module):
            return _linen(first, second, n_sites, key)
        if callable(second):
            params = first(_need(key, "init")) if callable(first) and not isinstance(first, eqx.Module) else first
            params = jax.tree.map(jnp.asarray, params)
            return second, params, getattr(second, "__name__", type(second).__name__)
    raise GradketError(
        "This is not a model of a known kind.",
        got=type(model).__name__,
        expected="a Flax (NNX or Linen) or Equinox module, or a pair (init, apply) or (params, apply)",
        try_="(params, lambda params, x: ...), which returns log psi for x[batch, sites]",
    )


@dataclasses.dataclass(frozen=True)
class _Bound:
    """A pure function with its constants: hashable, so that it can be part of a descriptor."""

    call: Callable
    constants: Hashable

    def __call__(self, params: Params, x: Array) -> Array:
        return self.call(self.constants, params, x)


@dataclasses.dataclass(frozen=True)
class _Frozen:
    """A tree of arrays and plain objects that is a constant: compared and hashed by its bytes."""

    leaves: tuple
    treedef: Any

    @classmethod
    def of(cls, tree: Any) -> "_Frozen":
        leaves, treedef = jax.tree.flatten(tree)
        return cls(tuple(_freeze(leaf) for leaf in leaves), treedef)

    def thaw(self) -> Any:
        return jax.tree.unflatten(self.treedef, [_thaw(leaf) for leaf in self.leaves])


def _freeze(leaf: Any) -> tuple:
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return ("key", str(jax.random.key_impl(leaf)), _freeze(np.asarray(jax.random.key_data(leaf))))
    if isinstance(leaf, (np.ndarray, np.generic, jax.Array)):
        array = np.asarray(leaf)
        return ("array", str(array.dtype), array.shape, array.tobytes())
    return ("object", leaf)


def _thaw(leaf: tuple) -> Any:
    if leaf[0] == "key":
        return jax.random.wrap_key_data(jnp.asarray(_thaw(leaf[2])), impl=leaf[1])
    if leaf[0] == "array":
        return jnp.asarray(np.frombuffer(leaf[3], jnp.dtype(leaf[1])).reshape(leaf[2]))
    return leaf[1]


def _call_nnx(constants: tuple, params: Params, x: Array) -> Array:
    graph, treedef, rest = constants
    return nnx.merge(graph, jax.tree.unflatten(treedef, jax.tree.leaves(params)), rest.thaw())(x)


def _call_equinox(constants: _Frozen, params: Params, x: Array) -> Array:
    return eqx.combine(params, constants.thaw())(x)


def _call_linen(constants: tuple, params: Params, x: Array) -> Array:
    module, rest = constants
    return module.apply({**rest.thaw(), "params": params}, x)


def _linen(module: Any, variables: Any, n_sites: int, key: Any) -> tuple[Callable, Params, str]:
    if variables is None:
        variables = module.init(_need(key, "init"), jnp.ones((1, n_sites), real_dtype()))
    rest = {name: tree for name, tree in variables.items() if name != "params"}
    if "batch_stats" in rest:
        _refuse_mixing("BatchNorm")
    return _Bound(_call_linen, (module, _Frozen.of(rest))), variables.get("params", {}), type(module).__name__


def _need(key: Any, what: str) -> Any:
    if key is None:
        raise GradketError(
            "This model is not initialised, and there is no random key to do it.",
            got="key=None",
            expected=f"a key for {what}",
            try_="key=jax.random.key(0)",
        )
    return key


def _refuse_batch_layers(model: nnx.Module) -> None:
    for _, part in nnx.iter_modules(model):
        if isinstance(part, nnx.BatchNorm) or (isinstance(part, nnx.Dropout) and not part.deterministic and part.rate):
            _refuse_mixing(type(part).__name__)


def _refuse_mixing(layer: str) -> None:
    raise GradketError(
        "The value of a wave function at x must not depend on chance or on the other rows of the batch.",
        got=layer,
        expected="layers that act on each row by itself",
        try_="LayerNorm, or no Dropout",
    )


def _input_dtype(params: Params) -> np.dtype:
    """The widest real dtype of the parameters."""
    found = [np.dtype(jnp.finfo(p.dtype).dtype) for p in jax.tree.leaves(params)]
    return np.result_type(*found) if found else real_dtype()


def _check_params(params: Params, name: str) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            raise ShapeError(
                f"A parameter of {name} is not a real or complex number.",
                got=f"dtype {leaf.dtype} at {jax.tree_util.keystr(path)}",
                expected="float or complex arrays",
                try_="keep integer tables outside the parameters, e.g. in the function that uses them",
            )


def _check_output(apply: Callable, params: Params, n_sites: int, name: str) -> np.dtype:
    batch = n_sites + 1
    expected, hint = f"real or complex log psi of shape [{batch}]", "jnp.sum(features, axis=-1) at the end of the model"
    x = jax.ShapeDtypeStruct((batch, n_sites), _input_dtype(params))
    try:
        out = jax.eval_shape(apply, params, x)
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        lines = str(error).strip().splitlines() or [""]
        raise ShapeError(
            f"{name} cannot be called on x of shape [{batch}, {n_sites}].",
            got=f"{type(error).__name__}: {lines[0]}",
            expected=expected,
            try_="a model for batches of configurations x[batch, sites]; eqx users: jax.vmap inside __call__",
        ) from error
    shape, dtype = getattr(out, "shape", None), getattr(out, "dtype", None)
    if shape != (batch,) or dtype is None or not jnp.issubdtype(dtype, jnp.inexact):
        got = f"{dtype} of shape {shape}" if shape is not None else type(out).__name__
        raise ShapeError(
            f"{name} does not return one log psi per row of x[{batch}, {n_sites}].",
            got=got,
            expected=expected,
            try_=hint,
        )
    return np.dtype(dtype)
