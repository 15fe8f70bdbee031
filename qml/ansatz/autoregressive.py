"""Autoregressive wave functions: products of conditionals, normalised and inside their space by construction."""

import dataclasses
from typing import Any, final

import jax
import jax.numpy as jnp
from flax import nnx

from qml._core.errors import ShapeError, SpaceError
from qml._core.types import Array, Params
from qml.ansatz.causal import CausalNetwork
from qml.ansatz.combine import Combinable
from qml.ansatz.conditionals import Alphabet, Conditionals
from qml.ansatz.layers import parameter_dtype
from qml.hilbert import AbstractHilbert


class Autoregressive(Combinable, nnx.Module):
    r"""A normalised wave function from a causal network, with exact independent samples.

    $\psi(x) = \prod_k \sqrt{p(x_k \mid x_{<k})}\; e^{i\phi(x)}$, where the network gives log amplitudes $v$ and
    $p = e^{2v} / \sum e^{2v}$ over the local states of a site. Where totals are fixed, local states after which they
    can no longer be met have probability zero, so that $\sum_x |\psi(x)|^2 = 1$ over the space itself and every sample
    lies in it. Outside it $\log\psi = -\infty$.

    Args:
        space: the space; its predicates are not seen (the norm is that of `space.envelope`).
        network: a `CausalDense`, `CausalConv`, `CausalRNN` or `CausalTransformer`.
        phase: whether the network has a second head for the phase $\phi = \sum_k \phi_k(x_k; x_{<k})$. Without it
            $\psi > 0$.
        order: the sites in the order they are visited; `None` is 0, 1, 2, ...
        dtype: of the parameters, real.
        rngs: random streams of Flax.

    Raises:
        SpaceError: this is no space, or the order is no order of its sites.
        ShapeError: the network does not fit, or the dtype is complex.

    Example:
        >>> import jax
        >>> from flax import nnx
        >>> import qml
        >>> space = qml.hilbert.Spin(4, magnetisation=0)
        >>> network = qml.ansatz.CausalConv(layers=2, features=4, kernel=3)
        >>> model = qml.ansatz.Autoregressive(space, network, phase=True, rngs=nnx.Rngs(0))
        >>> state = qml.MCState(model, space, samples=64, key=jax.random.key(0))
        >>> type(state.sampler).__name__
        'DirectSampler'

    Source: Sharir et al., Phys. Rev. Lett. 124, 020503 (2020), arXiv:1902.04057; Hibat-Allah et al., Phys. Rev.
    Research 2, 023358 (2020), arXiv:2002.02973 (phase, conserved totals).
    """

    def __init__(
        self,
        space: Any,
        network: Any,
        *,
        phase: bool = False,
        order: tuple[int, ...] | None = None,
        dtype: Any = float,
        rngs: nnx.Rngs,
    ):
        if not isinstance(space, AbstractHilbert) or not isinstance(network, CausalNetwork):
            raise SpaceError(
                "An autoregressive wave function needs its space and a causal network.",
                got=f"{space!r}, {network!r}",
                expected="a space, and a CausalNetwork",
                try_="Autoregressive(qml.hilbert.Spin(8), qml.ansatz.CausalConv(), rngs=nnx.Rngs(0))",
            )
        order = tuple(range(space.n_sites)) if order is None else tuple(int(i) for i in order)
        if sorted(order) != list(range(space.n_sites)):
            raise SpaceError(
                "The order names each site once.",
                got=order,
                expected=f"a permutation of 0 ... {space.n_sites - 1}",
                try_="order=None",
            )
        dtype = parameter_dtype(dtype, "Autoregressive")
        if jnp.issubdtype(dtype, jnp.complexfloating):
            raise ShapeError(
                "Conditionals have real parameters.", got=dtype, expected="a real dtype", try_="phase=True"
            )
        self.rule = NetworkConditionals(space, order, network, phase)
        alphabet = self.rule.alphabet
        outputs = alphabet.states * (2 if phase else 1)
        init = jax.jit(lambda key: network.init(key, space.n_sites, alphabet.features, outputs, dtype))  # one program
        self.weights = _boxed(init(rngs.params()))

    def __call__(self, x: Array) -> Array:
        return self.rule.log_psi(_unboxed(self.weights), x)

    def autoregressive(self, hilbert: AbstractHilbert) -> Conditionals | None:
        """The conditionals, where the space is the one this model is normalised on.

        Raises:
            SpaceError: the sites have other local states.
        """
        mine = self.rule.hilbert
        if hilbert.site_states != mine.site_states:
            raise SpaceError(
                "This autoregressive wave function was made for other local states.",
                got=hilbert,
                expected=mine,
                try_="Autoregressive(hilbert, network) with the space of the state",
            )
        same = (hilbert.parts, hilbert.charges) == (mine.parts, mine.charges)
        return self.rule if same and hilbert.envelope == hilbert else None


@final
@dataclasses.dataclass(frozen=True)
class NetworkConditionals(Conditionals):
    """The conditionals of an `Autoregressive` model."""

    hilbert: AbstractHilbert
    order: tuple[int, ...]
    network: CausalNetwork
    phase: bool

    @property
    def alphabet(self) -> Alphabet:
        """The local states along the order."""
        return Alphabet(self.hilbert, self.order)

    def log_psi(self, weights: dict[str, Any], x: Array) -> Array:
        """log psi of configurations `x[batch, sites]`."""
        alphabet = self.alphabet
        digits = alphabet.digits(x)
        outputs = self.network.evaluate(weights, alphabet.embedded(digits, x.dtype))
        log_p = _log_softmax(2 * outputs[..., : alphabet.states], alphabet.allowed(digits))
        taken = jnp.clip(digits, 0, alphabet.states - 1)[..., None]
        amplitude = 0.5 * jnp.sum(jnp.take_along_axis(log_p, taken, axis=2)[..., 0], axis=1)
        if not self.phase:
            return amplitude
        phases = jnp.take_along_axis(outputs[..., alphabet.states :], taken, axis=2)
        return jax.lax.complex(amplitude, jnp.sum(phases[..., 0], axis=1))

    def prepare(self, params: Params) -> tuple[Any, Array]:
        dtype = jax.tree.leaves(params)[0].dtype
        return self.network.prepare(params["weights"]), jnp.zeros((), dtype)

    def init(self, tables: tuple[Any, Array], batch: int) -> tuple[Any, Array]:
        return self.network.start(tables[0], batch, len(self.order)), self.alphabet.totals(batch)

    def step(self, tables: tuple[Any, Array], cache: tuple[Any, Array], k: Array, last: Array) -> tuple[Array, Any]:
        alphabet, (known, rest), (tables, zero) = self.alphabet, cache, tables
        if self.hilbert.parts:
            rest = jnp.where(k > 0, alphabet.spend(rest, jnp.maximum(k - 1, 0), last), rest)
        inputs = jnp.where(k > 0, alphabet.embedded(last, zero.dtype), zero)
        outputs, known = self.network.step(tables, known, k, inputs)
        return _log_softmax(2 * outputs[:, : alphabet.states], alphabet.allowed_now(rest, k)), (known, rest)


def _log_softmax(logits: Array, allowed: Array) -> Array:
    """Logarithms of probabilities of the allowed entries; minus infinity for the others."""
    some = jnp.any(allowed, axis=-1, keepdims=True)
    log_p = jax.nn.log_softmax(jnp.where(allowed | ~some, logits, -jnp.inf), axis=-1)
    return jnp.where(allowed, log_p, -jnp.inf)


def _boxed(tree: dict[str, Any]) -> Any:
    return nnx.Dict({name: _boxed(v) if isinstance(v, dict) else nnx.Param(v) for name, v in tree.items()})


def _unboxed(tree: Any) -> dict[str, Any]:
    return {name: _unboxed(v) if isinstance(v, nnx.Dict) else v[...] for name, v in tree.items()}
