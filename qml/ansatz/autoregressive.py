"""Autoregressive wave functions: products of conditionals, normalised and inside their space by construction."""

import abc
import dataclasses
import functools
from typing import Any, Protocol, final, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from qml._core.errors import ShapeError, SpaceError
from qml._core.types import Array, Bool, Float, Int, Params
from qml.ansatz.causal import CausalNetwork
from qml.ansatz.layers import parameter_dtype
from qml.hilbert import AbstractHilbert


class Conditionals(abc.ABC):
    r"""How to draw from $|\psi|^2 = \prod_k p(d_k \mid d_0 \dots d_{k-1})$ site by site.

    Implementations are frozen dataclasses without arrays. Sites are visited in the order `order`; $d_k$ is the number
    of the local state in `site_states` of the k-th site visited.
    """

    order: tuple[int, ...]

    @abc.abstractmethod
    def prepare(self, params: Params) -> Any:
        """Tables that serve all configurations, a tree of arrays."""

    @abc.abstractmethod
    def init(self, tables: Any, batch: int) -> Any:
        """The cache before the first site, a tree of arrays."""

    @abc.abstractmethod
    def step(
        self, tables: Any, cache: Any, k: Int[Array, ""], last: Int[Array, " batch"]
    ) -> tuple[Float[Array, "batch states"], Any]:
        """Logarithms of the probabilities of the local states of the k-th site visited; minus infinity for none.

        Args:
            tables: from `prepare`.
            cache: from `init`, or the step before.
            k: 0, 1, 2, ... in turn.
            last: number of the local state chosen in the step before; anything where k = 0.
        """


@runtime_checkable
class DirectlySampled(Protocol):
    """A model that can be sampled directly."""

    def autoregressive(self, hilbert: Any) -> Conditionals | None:
        """Its conditionals on a space; `None` where $|\\psi|^2$ is not their product on exactly that space."""
        ...


@final
@dataclasses.dataclass(frozen=True)
class Alphabet:
    """Local states as numbers, and which of them keep the totals within reach, along an order of the sites.

    Args:
        hilbert: the space.
        order: the sites in the order they are visited.
    """

    hilbert: AbstractHilbert
    order: tuple[int, ...]

    @functools.cached_property
    def base(self) -> np.ndarray:
        """Number of local states of each site visited."""
        return np.array([len(self.hilbert.site_states[i]) for i in self.order], np.int32)

    @property
    def states(self) -> int:
        """The largest number of local states."""
        return int(self.base.max())

    @property
    def features(self) -> int:
        """Numbers that stand for one local state: a sign where there are two, else one for each."""
        return 1 if self.states == 2 else self.states

    @functools.cached_property
    def values(self) -> np.ndarray:
        """First local state and step of each site visited, `[2, sites]`."""
        states = [self.hilbert.site_states[i] for i in self.order]
        return np.array([[s[0] for s in states], [s[1] - s[0] if len(s) > 1 else 1 for s in states]], np.int32)

    @functools.cached_property
    def charges(self) -> np.ndarray:
        """Steps of each local state above the lowest of its site, `[sites, states]`."""
        number, up = np.arange(self.states)[None, :], self.values[1][:, None] > 0
        return np.where(up, number, self.base[:, None] - 1 - number).astype(np.int32)

    @functools.cached_property
    def members(self) -> np.ndarray:
        """1 where a site visited is in a part with a fixed total, `[sites, parts]`."""
        return np.array([[i in part for part in self.hilbert.parts] for i in self.order], np.int32)

    @functools.cached_property
    def room(self) -> np.ndarray:
        """The largest charge that the sites visited later can take, for the part of each site, `[sites]`."""
        tops = (self.base - 1)[:, None] * self.members
        later = np.cumsum(tops[::-1], axis=0)[::-1] - tops
        return np.sum(later * self.members, axis=1).astype(np.int32)

    def digits(self, x: Array) -> Array:
        """Numbers of local states `[..., sites]` in the order visited, of configurations."""
        first, step = jnp.asarray(self.values, x.dtype)
        moved = x if self.order == tuple(range(len(self.order))) else x[..., np.array(self.order)]
        shape = (1,) * (x.ndim - 1) + (-1,)
        return jnp.round((moved - first.reshape(shape)) / step.reshape(shape)).astype(jnp.int32)

    def configurations(self, digits: Array) -> Array:
        """The inverse of `digits`, `int8[batch, sites]`."""
        first, step = self.values
        x = (first[None, :] + step[None, :] * digits).astype(jnp.int8)
        return x[:, np.argsort(self.order)]

    def embedded(self, digits: Array, dtype: np.dtype) -> Array:
        """Inputs of a network `[..., features]`."""
        if self.states == 2:
            return (1 - 2 * digits[..., None]).astype(dtype)
        return jax.nn.one_hot(digits, self.states, dtype=dtype)

    def totals(self, batch: int) -> Array:
        """Charge that each part has yet to place before the first site, `[batch, parts]`."""
        return jnp.broadcast_to(jnp.asarray(self.hilbert.charges, jnp.int32)[None, :], (batch, len(self.hilbert.parts)))

    def allowed(self, digits: Array) -> Bool[Array, "batch sites states"]:
        """True for the local states that are possible given those of the sites before."""
        there = np.arange(self.states)[None, :] < self.base[:, None]
        if not self.hilbert.parts:
            return jnp.broadcast_to(jnp.asarray(there)[None], (*digits.shape, self.states))
        clipped = jnp.clip(digits, 0, self.states - 1)
        taken = jnp.take_along_axis(jnp.asarray(self.charges)[None], clipped[..., None], axis=2) * self.members[None]
        rest = self.totals(digits.shape[0])[:, None, :] - (jnp.cumsum(taken, axis=1) - taken)
        mine = jnp.sum(rest * self.members[None], axis=2)
        return self._within(mine[..., None], there[None], self.charges[None], self.room[None], self.members[None])

    def allowed_now(self, rest: Array, k: Array) -> Bool[Array, "batch states"]:
        """The same at the k-th site visited, from the charge that each part has yet to place."""
        tables = (np.arange(self.states)[None, :] < self.base[:, None], self.charges, self.room, self.members)
        there, charges, room, members = (jnp.asarray(t)[k] for t in tables)
        mine = jnp.sum(rest * members[None, :], axis=1)
        return self._within(mine[:, None], there[None], charges[None], room[None], members[None])

    @staticmethod
    def _within(mine: Array, there: Any, charges: Any, room: Any, members: Any) -> Array:
        left = mine - charges
        return there & ((left >= 0) & (left <= room[..., None]) | (jnp.sum(members, axis=-1) == 0)[..., None])

    def spend(self, rest: Array, k: Array, digit: Array) -> Array:
        """The charges yet to place after the k-th site visited has taken a local state."""
        charge = jnp.asarray(self.charges)[k][digit]
        return rest - charge[:, None] * jnp.asarray(self.members)[k][None, :]


class Autoregressive(nnx.Module):
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
        self.weights = _boxed(network.init(rngs.params(), space.n_sites, alphabet.features, outputs, dtype))

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
