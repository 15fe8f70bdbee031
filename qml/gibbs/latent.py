r"""Latent thermal states $\rho = U_\phi\, p_\theta\, U_\phi^\dagger$: energies of a model, vectors of a circuit."""

import functools
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer

from qml._core.errors import ShapeError, SpaceError, unknown_name
from qml._core.precision import require_x64
from qml._core.types import Array, Complex, Float, Inexact, RandomKey
from qml.estimate.stats import Stats
from qml.gibbs import engine
from qml.gibbs.circuit import AbstractCircuit
from qml.gibbs.energy import AbstractEnergy
from qml.gibbs.family import AbstractGibbs
from qml.hilbert import AbstractHilbert, Spin
from qml.operator import AbstractOperator, PauliSum

METRICS = ("bkm", "sld", "wy")


@final
class LatentGibbs(AbstractGibbs):
    r"""The thermal state $\rho = U_\phi e^{-E_\theta} U_\phi^\dagger / Z$ (a quantum Hamiltonian-based model), exact.

    $K = U_\phi E_\theta U_\phi^\dagger$, so $\log Z$ and the entropy come from the table of energies alone, and the
    Kubo-Mori metric has no block between $\theta$ and $\phi$.

    Args:
        energy: energy model of the bit strings.
        circuit: the unitary.
        theta: parameters of the energies `[couplings]`; `None` is zero.
        phi: angles of the circuit `[angles]`; `None` is zero.
        hilbert: unconstrained spin-1/2 space; `None` is one of as many sites.

    Raises:
        SpaceError: sizes differ, the space is not spin-1/2 or constrained, or is too large.
        ShapeError: parameters are not finite real vectors of the right length.
        PrecisionError: JAX runs in 32-bit mode.

    Example:
        >>> import jax.numpy as jnp
        >>> from qml.gibbs import Bernoulli, Circuit, LatentGibbs
        >>> model = LatentGibbs(Bernoulli(1), Circuit.layered(1, 1), theta=jnp.array([0.5]))
        >>> print(f"{model.log_partition():.6f} {model.entropy():.6f}")
        0.813262 0.582203

    Source: Verdon, Marks, Nanda, Leichenauer, Hidary, arXiv:1910.02071.
    """

    theta: Float[Array, " couplings"]
    phi: Float[Array, " angles"]
    energy: AbstractEnergy = eqx.field(static=True)
    circuit: AbstractCircuit = eqx.field(static=True)
    hilbert: AbstractHilbert = eqx.field(static=True)

    def __init__(
        self,
        energy: AbstractEnergy,
        circuit: AbstractCircuit,
        theta: Any = None,
        phi: Any = None,
        *,
        hilbert: AbstractHilbert | None = None,
    ):
        require_x64("LatentGibbs")
        hilbert = Spin(circuit.n_sites) if hilbert is None else hilbert
        engine.check_space(hilbert)
        if not energy.n_sites == circuit.n_sites == hilbert.n_sites:
            raise SpaceError(
                "Energies, circuit and space have different numbers of sites.",
                got=f"{energy.n_sites}, {circuit.n_sites} and {hilbert.n_sites}",
                expected="the same number",
                try_="KOBE(n, order=2) with Circuit.layered(n, layers)",
            )
        self.energy, self.circuit, self.hilbert = energy, circuit, hilbert
        self.theta = _vector(theta, energy.couplings, "theta")
        self.phi = _vector(phi, circuit.angles, "phi")

    @property
    def params(self) -> dict[str, Array]:
        """See `AbstractGibbs.params`: `theta` and `phi`."""
        return {"theta": self.theta, "phi": self.phi}

    def with_params(self, params: dict[str, Any]) -> "LatentGibbs":
        """See `AbstractGibbs.with_params`."""
        return eqx.tree_at(lambda m: (m.theta, m.phi), self, (params["theta"], params["phi"]))

    def random(self, key: RandomKey, scale: float = 0.1) -> "LatentGibbs":
        """The same family with normal random parameters.

        Args:
            key: a typed key; used up.
            scale: standard deviation.
        """
        first, second = jax.random.split(key)
        theta = scale * jax.random.normal(first, self.theta.shape, self.theta.dtype)
        return self.with_params(
            {"theta": theta, "phi": scale * jax.random.normal(second, self.phi.shape, self.phi.dtype)}
        )

    def log_partition(self) -> Float[Array, ""]:
        """See `AbstractGibbs.log_partition`."""
        return _log_partition(self)

    def entropy(self) -> Float[Array, ""]:
        """See `AbstractGibbs.entropy`."""
        return _entropy(self)

    def density(self) -> Complex[Array, "size size"]:
        """See `AbstractGibbs.density`."""
        return _density(self)

    def expect(self, operator: AbstractOperator) -> Stats:
        """See `AbstractGibbs.expect`: exact, without an error.

        Raises:
            SpaceError: the operator acts on another space.
        """
        engine.check_operator(self.hilbert, operator)
        return Stats.exact(_expect(self, operator, operator.is_hermitian))

    def modular(self, density: Inexact[Array, "size size"]) -> Float[Array, ""]:
        """See `AbstractGibbs.modular`."""
        return _modular(self, density)

    def metric_blocks(self, kind: str = "bkm") -> dict[str, Array]:
        r"""The metric of `theta` and that of `phi`: $\mathrm{Cov}_p(\partial_i E, \partial_j E)$, and
        $\sum_{ab} A^j_{ab} \bar A^k_{ab} (p_a - p_b)^2 / m(p_a, p_b)$ with $A = iU^\dagger \partial U$ and a mean m.

        Args:
            kind: `"bkm"` (logarithmic mean), `"sld"` (arithmetic) or `"wy"`.

        Raises:
            ConfigError: no such metric.
        """
        if kind not in METRICS:
            unknown_name("metric", kind, METRICS)
        return _blocks(self, kind)

    def hvp(self, direction: dict[str, Array]) -> dict[str, Array]:
        """See `AbstractGibbs.hvp`."""
        return {name: block @ direction[name] for name, block in self.metric_blocks().items()}

    def project(
        self, hamiltonian: PauliSum, beta: float | Array = 1.0
    ) -> tuple[Float[Array, ""], Float[Array, " size"]]:
        r"""The best spectrum for these eigenvectors, and the bound on the free energy that it proves.

        $p_x \propto e^{-\beta h_x}$ with $h_x = \langle x|U^\dagger H U|x\rangle$ has
        $-\log\sum_x e^{-\beta h_x} \ge -\log Z_\beta$ (Peierls and Bogoliubov), not above the loss of this model.

        Args:
            hamiltonian: Hermitian sum of Pauli strings on this space.
            beta: inverse temperature.

        Returns:
            The bound on $-\log Z_\beta$, and $\beta h_x$, the energies of that spectrum.

        Raises:
            SpaceError: the Hamiltonian acts on another space.
        """
        engine.check_operator(self.hilbert, hamiltonian)
        return _project(self, hamiltonian, jnp.asarray(beta, float))


def _vector(values: Any, count: int, what: str) -> Array:
    array = jnp.zeros(count) if values is None else jnp.asarray(values, float)
    if array.shape != (count,) or not (isinstance(array, Tracer) or bool(jnp.all(jnp.isfinite(array)))):
        raise ShapeError(
            f"The parameters {what} do not fit the model.",
            got=f"shape {array.shape}",
            expected=f"finite real numbers of shape ({count},)",
            try_="model.random(key)",
        )
    return array


def _law(model: LatentGibbs) -> tuple[Array, Array, Array]:
    """Energies, logarithms of probabilities, probabilities."""
    energies = model.energy.table(model.theta)
    logs = jax.nn.log_softmax(-energies)
    return energies, logs, jnp.exp(logs)


def _levels(unitary: Array, operator: Any) -> Array:
    r"""$\langle x|U^\dagger O U|x\rangle$ of all x."""
    if isinstance(operator, PauliSum):
        moved = engine.apply(operator.strings, operator.coefficients, unitary)
    else:
        moved = operator.to_dense() @ unitary
    return jnp.sum(unitary.conj() * moved, axis=0)


@jax.jit
def _log_partition(model: LatentGibbs) -> Array:
    return jax.nn.logsumexp(-model.energy.table(model.theta))


@jax.jit
def _entropy(model: LatentGibbs) -> Array:
    _, logs, law = _law(model)
    return -jnp.sum(law * logs)


@jax.jit
def _density(model: LatentGibbs) -> Array:
    unitary = model.circuit.unitary(model.phi)
    return (unitary * _law(model)[2][None, :]) @ unitary.conj().T


@functools.partial(jax.jit, static_argnames="hermitian")
def _expect(model: LatentGibbs, operator: AbstractOperator, hermitian: bool) -> Array:
    mean = jnp.sum(_law(model)[2] * _levels(model.circuit.unitary(model.phi), operator))
    return mean.real if hermitian else mean


@jax.jit
def _modular(model: LatentGibbs, density: Array) -> Array:
    unitary = model.circuit.unitary(model.phi)
    shares = jnp.sum(unitary.conj() * (density @ unitary), axis=0).real
    return jnp.sum(shares * model.energy.table(model.theta))


@functools.partial(jax.jit, static_argnames="kind")
def _blocks(model: LatentGibbs, kind: str) -> dict[str, Array]:
    energies, _, law = _law(model)
    slopes = jax.jacfwd(model.energy.table)(model.theta)
    slopes = slopes - (law @ slopes)[None, :]
    _, parts = model.circuit.generators(model.phi)
    gap = jnp.abs(energies[:, None] - energies[None, :])
    top = jnp.maximum(law[:, None], law[None, :])
    drop = -jnp.expm1(-gap)  # |p_a - p_b| / max(p_a, p_b)
    if kind == "bkm":
        weight = top * drop * gap
    elif kind == "sld":
        weight = top * drop**2 * 2 / (1 + jnp.exp(-gap))
    else:
        weight = top * drop**2 * 4 / (1 + jnp.exp(-gap / 2)) ** 2
    flat = (parts * jnp.sqrt(weight)[None]).reshape(parts.shape[0], weight.size)
    turns = flat.real @ flat.real.T + flat.imag @ flat.imag.T
    return {"theta": (slopes * law[:, None]).T @ slopes, "phi": turns}


@jax.jit
def _project(model: LatentGibbs, hamiltonian: PauliSum, beta: Array) -> tuple[Array, Array]:
    levels = beta * _levels(model.circuit.unitary(model.phi), hamiltonian).real
    return -jax.nn.logsumexp(-levels), levels
