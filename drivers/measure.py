"""What drivers of variational states measure: energies, observables, and fresh estimates after a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from qml._core.errors import ConfigError, SpaceError
from qml.estimate import Samples, Stats, diagnose
from qml.estimate.health import plain_v_score
from qml.operator import AbstractOperator, PauliSum
from qml.state import AbstractState, MCState

FRESH = 4  # estimates whose samples the final numbers are made of


def check_job(state: Any, hamiltonian: Any, observe: Mapping[str, Any]) -> None:
    """Check what a driver of variational states is given, before anything is compiled.

    Raises:
        SpaceError: the thing is no state, or an operator does not act on its space or leaves it.
        ConfigError: the Hamiltonian is not Hermitian.
    """
    if not isinstance(state, AbstractState):
        raise SpaceError(
            "This driver acts on a variational state.",
            got=type(state).__name__,
            expected="an MCState or a FullSumState",
            try_="qml.MCState(ansatz, hilbert, samples=1024, key=jax.random.key(1))",
        )
    for name, operator in {"the Hamiltonian": hamiltonian, **observe}.items():
        if not isinstance(operator, AbstractOperator):
            raise SpaceError(
                f"{name} is no operator.",
                got=type(operator).__name__,
                expected="an operator",
                try_="qml.operator.Ising(hilbert, lattice, ...), qml.operator.total(hilbert, 'X')",
            )
        operator.check_space(state.hilbert)
    if not hamiltonian.is_hermitian:
        raise ConfigError(
            "The Hamiltonian is not Hermitian.",
            got="is_hermitian = False",
            expected="a Hermitian operator",
            try_="0.5 * (operator + operator.adjoint())",
        )


def facts_of(hamiltonian: AbstractOperator, states: Sequence[AbstractState]) -> dict:
    """What a result file says of a problem and the states it is solved with."""
    arrays = [x for state in states for x in jax.tree.leaves(state.params)]
    first = states[0]
    return {
        "dof": first.hilbert.n_sites,
        "einf": hamiltonian.bound()[0] if isinstance(hamiltonian, PauliSum) else None,
        "parameters": sum(x.size * (1 + np.iscomplexobj(x)) for x in arrays),
        "chains": first.chains if isinstance(first, MCState) else None,
        "space": repr(first.hilbert),
        "hamiltonian": repr(hamiltonian),
        "ansatz": first.ansatz.name,
    }


def check_rules(optimizer: Any, fresh: Any) -> None:
    """Check the settings that drivers of variational states share.

    Raises:
        ConfigError: the optimiser is not one of Optax, or the number of fresh samples is out of range.
    """
    if not isinstance(optimizer, optax.GradientTransformation | optax.GradientTransformationExtraArgs):
        raise ConfigError(
            "The optimizer is no Optax optimiser.",
            got=type(optimizer).__name__,
            expected="an optax.GradientTransformation",
            try_="optax.sgd(0.02), optax.adam(1e-3)",
        )
    if isinstance(fresh, bool) or not isinstance(fresh, int) or fresh < 1:
        raise ConfigError("Fresh samples are counted.", got=fresh, expected="an int >= 1", try_="fresh=4")


def real(stats: Stats) -> Stats:
    """The same statistics with the real part of the mean: for Hermitian operators."""
    return eqx.tree_at(lambda s: s.mean, stats, stats.mean.real)


def chains_of(state: AbstractState) -> Any:
    """The chains of a state; `None` of a full sum."""
    return state.sampler_state if isinstance(state, MCState) else None


def energy_info(state: AbstractState, samples: Samples, local: Any) -> dict:
    """Energy, V-score and, of chains, the acceptance, of one set of samples."""
    chains, energy = chains_of(state), samples.statistics(local)
    info = {"energy": real(energy), "v_score": plain_v_score(energy, samples.x.shape[1])}
    return info if chains is None else {**info, "acceptance": jnp.mean(chains.acceptance)}


def observed(state: AbstractState, samples: Samples, observe: Mapping[str, AbstractOperator]) -> dict:
    """Statistics of observables by name, on samples that are already drawn."""

    def one(operator: AbstractOperator) -> Stats:
        stats = samples.statistics(state.local_values(operator, samples))
        return real(stats) if operator.is_hermitian else stats

    return {name: one(operator) for name, operator in observe.items()}


def settled(state: AbstractState) -> AbstractState:
    """The state with finite numbers only: log psi of a chain on a zero of psi, which the sampler takes anew anyway."""
    if not isinstance(state, MCState):
        return state
    log_psi = state.sampler_state.log_psi
    finite = jnp.where(jnp.isfinite(log_psi), log_psi, jnp.zeros_like(log_psi))
    return eqx.tree_at(lambda s: s.sampler_state.log_psi, state, finite)


def opened(state: AbstractState, key: Any) -> AbstractState:
    """The state to begin a run with, by NumPy: nothing is compiled for it."""
    state = reseeded(state, key)
    if not isinstance(state, MCState):
        return state
    log_psi = np.asarray(state.sampler_state.log_psi)
    finite = np.where(np.isfinite(log_psi), log_psi, 0).astype(log_psi.dtype)
    return eqx.tree_at(lambda s: s.sampler_state.log_psi, state, jax.device_put(finite))


def reseeded(state: AbstractState, key: Any) -> AbstractState:
    """The state with another random key for its chains; `None` and a full sum leave it as it is."""
    if key is None or not isinstance(state, MCState):
        return state
    return eqx.tree_at(lambda s: s.sampler_state.key, state, jax.random.clone(key))


def fresh_samples(state: AbstractState, times: int = FRESH) -> tuple[AbstractState, Samples]:
    """So many times the samples of a step, from new chains, thermalised from random starts; a full sum as it is."""
    if not isinstance(state, MCState):
        return state.sample()
    start, _ = jax.random.split(jax.random.clone(state.sampler_state.key))
    fresh = settled(state.fresh(start))

    def block(state: Any, _: None) -> tuple[Any, Any]:
        state, samples = state.sample()
        return settled(state), (samples.x, samples.log_psi)

    fresh, (x, log_psi) = jax.lax.scan(block, fresh, None, length=times)
    x, log_psi, used, inside = x.reshape(-1, x.shape[-1]), log_psi.reshape(-1), None, True
    if state.used is not None:  # rows that count come first, of one block after another
        each = state.used * state.chains
        row, used = jnp.arange(len(x)), times * each
        inside = row < used
        row = jnp.minimum(row, used - 1)
        row = row // each * (len(x) // times) + row % each
        x, log_psi = x[row], log_psi[row]
    power = 2 - state.sampler.exponent  # weights of all blocks in one unit
    weights = jax.nn.softmax(jnp.where(jnp.isfinite(log_psi.real) & inside, power * log_psi.real, -jnp.inf))
    return fresh, Samples(x, weights, log_psi, state.chains, used)


def fresh_energy(
    state: AbstractState, hamiltonian: AbstractOperator, observe: Mapping[str, AbstractOperator], times: int = FRESH
) -> dict:
    """Energy and observables from fresh samples.

    The parameters are fixed here, so unlike the smallest energy of a trace this is an unbiased estimate.
    """
    fresh, samples = fresh_samples(state, times)
    local = fresh.local_values(hamiltonian, samples)
    troubles = diagnose(samples, local, chains_of(fresh)).troubles
    return {**energy_info(fresh, samples, local), "troubles": troubles, **observed(fresh, samples, observe)}
