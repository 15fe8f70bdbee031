"""Products, sums and phases of wave functions: models made of models."""

import abc
import dataclasses
import functools
import operator
from typing import Any, Protocol, final, runtime_checkable

import jax.numpy as jnp
import numpy as np

from qml._core.errors import GradketError, ShapeError
from qml._core.precision import complex_dtype, real_dtype
from qml._core.types import Array, Bool, Params
from qml.ansatz.conditionals import Conditionals
from qml.ansatz.image_updates import followed, written
from qml.ansatz.layers import log_sum_exp
from qml.ansatz.updates import LocalUpdate


class Combinable:
    r"""Operators of models: `a * b` is the product of two wave functions, `a + b` and `a - b` are superpositions."""

    def __mul__(self, other: Any) -> "Product":
        return Product(self, other)

    def __add__(self, other: Any) -> "Sum":
        return Sum(self, other)

    def __sub__(self, other: Any) -> "Sum":
        return Sum(self, other, coefficients=(1.0, -1.0))


class Combination(abc.ABC, Combinable):
    """A description of a wave function made of models, to build a state from."""

    models: tuple[Any, ...]

    @abc.abstractmethod
    def bind(self, inner: tuple[Any, ...]) -> Any:
        """The pure function `(params, x) -> log psi` of the ansaetze of the models; hashable, without arrays."""

    def parameters(self, inner: tuple[Params, ...]) -> Params:
        """Its parameters from those of the models."""
        return inner


@runtime_checkable
class UnitModulus(Protocol):
    r"""A model with $|\psi(x)| = 1$ everywhere."""

    has_unit_modulus: bool


@final
@dataclasses.dataclass(frozen=True, eq=False, init=False)
class Product(Combination):
    r"""The product of wave functions, $\log\psi(x) = \sum_k \log\psi_k(x)$; also written `a * b`.

    It knows local updates where all its factors do. Where one factor is autoregressive and all others are phases, it is
    sampled directly.

    Args:
        models: anything that `to_ansatz` takes, at least one; products among them are taken apart.

    Raises:
        GradketError: there is no model.

    Example:
        >>> from flax import nnx
        >>> import qml
        >>> space = qml.hilbert.Spin(4)
        >>> model = qml.ansatz.RBM(space, rngs=nnx.Rngs(0)) * qml.ansatz.MarshallSign(space, qml.lattice.Chain(4))
        >>> qml.ansatz.to_ansatz(model, space)[0]
        Ansatz(Product(RBM, MarshallSign), n_sites=4, dtype=complex128)
    """

    models: tuple[Any, ...]

    def __init__(self, *models: Any):
        flat = [f for m in models for f in (m.models if isinstance(m, Product) else (m,))]
        object.__setattr__(self, "models", _some(tuple(flat), "product"))

    def bind(self, inner: tuple[Any, ...]) -> "ProductOf":
        return ProductOf(inner, tuple(isinstance(m, UnitModulus) and m.has_unit_modulus for m in self.models))


@final
@dataclasses.dataclass(frozen=True, eq=False, init=False)
class Sum(Combination):
    r"""A superposition of wave functions, $\psi(x) = \sum_k c_k \psi_k(x)$; also written `a + b` or `a - b`.

    Evaluated as $\log\sum_k c_k e^{f_k - m} + m$ with $m = \max_k \mathrm{Re} f_k$, so that $\psi$ may vanish
    ($\log\psi = -\infty$) or change its sign; its derivative $\sum_k c_k \psi_k\, \partial f_k / \psi$ has no branches.

    Args:
        models: anything that `to_ansatz` takes, at least one.
        coefficients: $c_k$, real or complex; `None` is 1 each.
        trainable: whether the coefficients are parameters (`params["coefficients"]`).

    Raises:
        GradketError: there is no model.
        ShapeError: the coefficients are not one finite number for each model.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import qml
        >>> space = qml.hilbert.Spin(4)
        >>> RBM = qml.ansatz.RBM(space, rngs=nnx.Rngs(0))
        >>> ansatz, params = qml.ansatz.to_ansatz(qml.ansatz.Sum(RBM, RBM, coefficients=(1, -1)), space)
        >>> ansatz.log_psi(params, jnp.ones((1, 4))).real.tolist()
        [-inf]
    """

    models: tuple[Any, ...]
    coefficients: tuple[float | complex, ...]
    trainable: bool

    def __init__(self, *models: Any, coefficients: Any = None, trainable: bool = True):
        models = _some(models, "sum")
        numbers = np.ones(len(models)) if coefficients is None else np.asarray(coefficients)
        if numbers.shape != (len(models),) or numbers.dtype.kind not in "iufc" or not np.all(np.isfinite(numbers)):
            raise ShapeError(
                "A sum has one coefficient for each model.",
                got=f"{coefficients!r} for {len(models)} models",
                expected=f"{len(models)} real or complex numbers",
                try_="coefficients=(1, -1)",
            )
        object.__setattr__(self, "models", models)
        object.__setattr__(self, "coefficients", tuple(map(complex if numbers.dtype.kind == "c" else float, numbers)))
        object.__setattr__(self, "trainable", bool(trainable))

    def bind(self, inner: tuple[Any, ...]) -> "SumOf":
        return SumOf(inner, None if self.trainable else self.coefficients)

    def parameters(self, inner: tuple[Params, ...]) -> Params:
        if not self.trainable:
            return {"models": inner}
        dtype = complex_dtype() if any(isinstance(c, complex) for c in self.coefficients) else real_dtype()
        return {"models": inner, "coefficients": jnp.asarray(self.coefficients, dtype)}


@final
@dataclasses.dataclass(frozen=True, eq=False, init=False)
class Phase(Combination):
    r"""A phase from a real network, $\log\psi(x) = i f(x)$. `amplitude * Phase(network)` has a network for each.

    Args:
        model: a model with real log psi, taken for $f$.

    Raises:
        GradketError: log psi of the model is complex.

    Example:
        >>> from flax import nnx
        >>> import qml
        >>> space = qml.hilbert.Spin(4)
        >>> network = qml.ansatz.MLP(space, layers=1, features=4, phase=False, rngs=nnx.Rngs(0))
        >>> model = qml.ansatz.RBM(space, rngs=nnx.Rngs(1)) * qml.ansatz.Phase(network)
        >>> qml.ansatz.to_ansatz(model, space)[0].is_complex
        True

    Source: Szabo and Castelnovo, Phys. Rev. Research 2, 033075 (2020), arXiv:2002.04613.
    """

    models: tuple[Any, ...]
    has_unit_modulus = True

    def __init__(self, model: Any):
        object.__setattr__(self, "models", (model,))

    def bind(self, inner: tuple[Any, ...]) -> "PhaseOf":
        if inner[0].is_complex:
            raise GradketError(
                "A phase is a real number.",
                got=f"{inner[0]}",
                expected="a model with real log psi",
                try_="MLP(..., phase=False), RBM(..., dtype=float)",
            )
        return PhaseOf(inner)


def _some(models: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    if not models:
        raise GradketError(
            f"A {what} of wave functions has at least one.", got="none", expected="models", try_="a * b, a + b"
        )
    return models


@final
@dataclasses.dataclass(frozen=True)
class ProductOf:
    """The function of a `Product`: of these ansaetze, and whether each has modulus one."""

    inner: tuple[Any, ...]
    phases: tuple[bool, ...]

    @property
    def name(self) -> str:
        """Name for messages."""
        return f"Product({', '.join(a.name for a in self.inner)})"

    def __call__(self, params: Params, x: Array) -> Array:
        values = [a.log_psi(p, x) for a, p in zip(self.inner, params, strict=True)]
        return functools.reduce(operator.add, values)

    def local_update(self, hilbert: Any) -> LocalUpdate | None:
        """The sum of the updates of the factors."""
        rules = tuple(a.updates for a in self.inner)
        return None if any(rule is None for rule in rules) else ProductUpdate(rules)

    def autoregressive(self, hilbert: Any) -> Conditionals | None:
        """The conditionals of the only factor that is no phase."""
        (index, *more) = [k for k, phase in enumerate(self.phases) if not phase] or [0]
        rule = self.inner[index].conditionals
        return None if more or rule is None else ProductConditionals(rule.order, rule, index)


@final
@dataclasses.dataclass(frozen=True)
class SumOf:
    """The function of a `Sum`: of these ansaetze, with these coefficients or trainable ones."""

    inner: tuple[Any, ...]
    coefficients: tuple[float | complex, ...] | None

    @property
    def name(self) -> str:
        """Name for messages."""
        return f"Sum({', '.join(a.name for a in self.inner)})"

    def __call__(self, params: Params, x: Array) -> Array:
        return self.total(params, self.logs(params, x))

    def logs(self, params: Params, x: Array) -> Array:
        """log psi of each part, `[batch, terms]`."""
        values = [a.log_psi(p, x) for a, p in zip(self.inner, params["models"], strict=True)]
        dtype = jnp.result_type(*values)
        return jnp.stack([v.astype(dtype) for v in values], axis=1)

    def total(self, params: Params, logs: Array) -> Array:
        """log psi of the sum."""
        known = self.coefficients
        weights = params["coefficients"] if known is None else np.array(known)
        positive = known is not None and all(np.real(c) > 0 and np.imag(c) == 0 for c in known)
        return log_sum_exp(weights, logs, jnp.iscomplexobj(logs) or not positive)

    def local_update(self, hilbert: Any) -> LocalUpdate | None:
        """The updates of the parts, each with its log psi."""
        rules = tuple(a.updates for a in self.inner)
        return None if any(rule is None for rule in rules) else SumUpdate(self, rules)


@final
@dataclasses.dataclass(frozen=True)
class PhaseOf:
    """The function of a `Phase`."""

    inner: tuple[Any, ...]

    @property
    def name(self) -> str:
        """Name for messages."""
        return f"Phase({self.inner[0].name})"

    def __call__(self, params: Params, x: Array) -> Array:
        return 1j * self.inner[0].log_psi(params[0], x)

    def local_update(self, hilbert: Any) -> LocalUpdate | None:
        """The update of the network, times i."""
        rule = self.inner[0].updates
        return None if rule is None else ProductUpdate((rule,), turned=True)


@final
@dataclasses.dataclass(frozen=True)
class ProductUpdate(LocalUpdate):
    """Updates of all factors, side by side; with `turned` the result is a phase."""

    rules: tuple[Any, ...]
    turned: bool = False

    def prepare(self, params: Params) -> tuple:
        return tuple(rule.prepare(p) for rule, p in zip(self.rules, params, strict=True))

    def reliable(self, tables: tuple) -> Bool[Array, ""]:
        return jnp.all(jnp.stack([rule.reliable(t) for rule, t in zip(self.rules, tables, strict=True)]))

    def init(self, tables: tuple, x: Array) -> tuple:
        return tuple(rule.init(t, x) for rule, t in zip(self.rules, tables, strict=True))

    def step(self, tables: tuple, cache: tuple, x: Array, sites: Array, values: Array) -> tuple[Array, tuple]:
        steps = [r.step(t, c, x, sites, values) for r, t, c in zip(self.rules, tables, cache, strict=True)]
        log_ratio = functools.reduce(operator.add, [ratio for ratio, _ in steps])
        return (1j * log_ratio if self.turned else log_ratio), tuple(c for _, c in steps)


@final
@dataclasses.dataclass(frozen=True)
class SumUpdate(LocalUpdate):
    """Updates of all parts of a sum, each with its own log psi."""

    total: SumOf
    rules: tuple[Any, ...]

    def prepare(self, params: Params) -> tuple:
        return params, ProductUpdate(self.rules).prepare(params["models"])

    def reliable(self, tables: tuple) -> Bool[Array, ""]:
        return ProductUpdate(self.rules).reliable(tables[1])

    def init(self, tables: tuple, x: Array) -> tuple:
        return self.total.logs(tables[0], x), ProductUpdate(self.rules).init(tables[1], x)

    def step(self, tables: tuple, cache: tuple, x: Array, sites: Array, values: Array) -> tuple[Array, tuple]:
        (params, inner), (logs, caches) = tables, cache
        steps = [r.step(t, c, x, sites, values) for r, t, c in zip(self.rules, inner, caches, strict=True)]
        new = written(x, jnp.arange(x.shape[0])[:, None], sites, values)
        ratios = jnp.stack([log_ratio.astype(logs.dtype) for log_ratio, _ in steps], axis=1)
        moved = followed(logs, ratios, lambda: self.total.logs(params, new))
        log_ratio = self.total.total(params, moved) - self.total.total(params, logs)
        return log_ratio, (moved, tuple(c for _, c in steps))


@final
@dataclasses.dataclass(frozen=True)
class ProductConditionals(Conditionals):
    """The conditionals of one factor of a product whose other factors are phases."""

    order: tuple[int, ...]
    rule: Conditionals
    index: int

    def prepare(self, params: Params) -> Any:
        return self.rule.prepare(params[self.index])

    def init(self, tables: Any, batch: int) -> Any:
        return self.rule.init(tables, batch)

    def step(self, tables: Any, cache: Any, k: Array, last: Array) -> tuple[Array, Any]:
        return self.rule.step(tables, cache, k, last)
