"""Sequences of thermal states: cooling down and evolving in time, each state started from the one before."""

from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from qml import linalg
from qml._core.errors import ConfigError
from qml._core.types import Array, PyTree, RandomKey
from qml.gibbs import engine
from qml.gibbs.energy import KOBE
from qml.gibbs.latent import LatentGibbs
from qml.gibbs.optimise import levenberg_marquardt
from qml.operator import PauliSum


@final
class Sequence(eqx.Module):
    """States along a sequence, for several starts at once.

    Args:
        params: parameters of all states `[points, starts, ...]`.
        divergences: relative entropy before the first step and after each one, one array for each point
            `[steps + 1, starts]`.
        losses: what can be measured of them, one array for each point `[steps + 1, starts]`.
        family: a model of the family.
    """

    params: PyTree
    divergences: tuple[Array, ...]
    losses: tuple[Array, ...]
    family: LatentGibbs

    def best(self, point: int) -> LatentGibbs:
        """The state of lowest loss at a point of the sequence; starts in a bad basin stay there."""
        start = int(np.argmin(np.asarray(self.losses[point][-1])))
        return self.family.with_params(jax.tree.map(lambda a: a[point, start], self.params))


def random_starts(
    family: LatentGibbs, key: RandomKey, count: int = 8, scale: float = 0.1, angles: float = 0.4
) -> PyTree:
    """Parameters of `count` normal random members of a family `[starts, ...]`, nearly of equal weights.

    Small angles are a bad place to start: all starts are then near the same symmetric point, and end in worse valleys.

    Args:
        family: a model.
        key: a typed key; used up.
        count: starts, at least one.
        scale: standard deviation of the parameters of the energies.
        angles: standard deviation of the angles.
    """
    drawn = jax.vmap(lambda k: family.random(k, 1.0).params)(jax.random.split(key, count))
    return {"theta": scale * drawn["theta"], "phi": angles * drawn["phi"]}


def _descend(rule: Any, loss: Callable, family: LatentGibbs, params: PyTree, steps: int) -> tuple[PyTree, Array]:
    """Steps of an optimiser; losses before every step and after the last one."""

    def step(loop: tuple, _: None) -> tuple[tuple, Array]:
        params, memory = loop
        value, gradient = jax.value_and_grad(loss)(params)
        change, memory = rule.update(
            gradient, memory, params, model=family.with_params(params), value=value, grad=gradient, value_fn=loss
        )
        return (optax.apply_updates(params, change), memory), value

    (params, _), values = jax.lax.scan(step, (params, rule.init(params)), None, length=steps)
    return params, jnp.append(values, loss(params))


def _rule(optimizer: Any) -> Any:
    return optax.with_extra_args_support(levenberg_marquardt() if optimizer is None else optimizer)


def _counted(steps: Any) -> tuple[int, int]:
    pair = (steps, steps) if isinstance(steps, int) else tuple(steps)
    if len(pair) != 2 or not all(isinstance(s, int) and s >= 1 for s in pair):
        raise ConfigError(
            "Steps are counted: of the first point and of each further one.",
            got=steps,
            expected="two ints >= 1",
            try_="steps=(100, 20)",
        )
    return pair


def cooling(
    family: LatentGibbs,
    starts: PyTree,
    hamiltonian: PauliSum,
    betas: Any,
    *,
    steps: Any = (100, 20),
    optimizer: Any = None,
) -> Sequence:
    r"""Thermal states at rising $\beta$, each started from the one before with its energies scaled by $\beta'/\beta$.

    The eigenvectors of a thermal state do not depend on $\beta$, so the scaled state is exact but for the error that
    the one before had.

    Args:
        family: a model with `KOBE` or `Bernoulli` energies, which are linear in their parameters.
        starts: parameters of the first point `[starts, ...]` (`random_starts`).
        hamiltonian: Hermitian sum of Pauli strings.
        betas: inverse temperatures > 0.
        steps: of the first point and of each further one.
        optimizer: see `drivers.QPMD`; `None` is `levenberg_marquardt()`.

    Raises:
        ConfigError: energies that do not scale, a beta that is not positive, or no steps.
        SpaceError: the Hamiltonian acts on another space.

    Source: Sbahi, Martinez, Patel, Saberi, Yoo, Roeder, Verdon, arXiv:2206.04663 (sequences of thermal states).
    """
    engine.check_operator(family.hilbert, hamiltonian)
    grid = np.asarray(betas, float)
    if not isinstance(family.energy, KOBE) or grid.ndim != 1 or not np.all(np.isfinite(grid) & (grid > 0)):
        raise ConfigError(
            "Cooling scales energies that are linear in their parameters.",
            got=f"{type(family.energy).__name__} at beta = {betas}",
            expected="KOBE or Bernoulli, and a list of betas > 0",
            try_="LatentGibbs(KOBE(n, order=2), circuit)",
        )
    first, further = _counted(steps)
    rule = _rule(optimizer)

    def free(params: PyTree, beta: Array) -> Array:
        model = family.with_params(params)
        return beta * model.expect(hamiltonian).mean - model.entropy()

    run = linalg.jitted(
        jax.vmap(lambda p, b, n: _descend(rule, lambda q: free(q, b), family, p, n), in_axes=(0, None, None)),
        static_argnums=2,
    )
    strings, couplings = hamiltonian.strings, hamiltonian.coefficients.real
    exact = linalg.jitted(lambda b: engine.solve(strings, b * couplings).log_partition)
    params, points, losses, divergences = starts, [], [], []
    for k, beta in enumerate(jnp.asarray(grid)):
        if k:
            params = {**params, "theta": params["theta"] * beta / grid[k - 1]}
        params, values = run(params, beta, first if k == 0 else further)
        points.append(params)
        losses.append(values.T)
        divergences.append(values.T + exact(beta))
    return Sequence(jax.tree.map(lambda *a: jnp.stack(a), *points), tuple(divergences), tuple(losses), family)


def velocity(model: LatentGibbs, hamiltonian: PauliSum) -> dict[str, Array]:
    r"""Derivatives of the parameters in real time under H, projected on the family in the Kubo-Mori metric.

    $\dot\theta = 0$, for evolution keeps the spectrum, and $I_{\phi\phi} \dot\phi = f$ with
    $f_j = \mathrm{Re}\sum_{ab} A^j_{ab} \bar h_{ab} (p_a - p_b)(E_b - E_a)$, $h = U^\dagger H U$.

    Args:
        model: the state.
        hamiltonian: Hermitian, on its space.

    Raises:
        SpaceError: the Hamiltonian acts on another space.
    """
    engine.check_operator(model.hilbert, hamiltonian)
    return _velocity(model, hamiltonian)


@linalg.jitted
def _velocity(model: LatentGibbs, hamiltonian: PauliSum) -> dict[str, Array]:
    energies = model.energy.table(model.theta)
    law = jax.nn.softmax(-energies)
    unitary, parts = model.circuit.generators(model.phi)
    turned = unitary.conj().T @ engine.apply(hamiltonian.strings, hamiltonian.coefficients, unitary)
    weight = (law[:, None] - law[None, :]) * (energies[None, :] - energies[:, None])
    root = jnp.sqrt(jnp.maximum(weight, 0.0)).reshape(-1)
    flat = parts.reshape(parts.shape[0], -1) * root[None, :]
    force = turned.reshape(-1) * root
    rows = jnp.concatenate([flat.real, flat.imag], axis=1)
    right = jnp.concatenate([force.real, force.imag])
    return {"theta": jnp.zeros_like(model.theta), "phi": jnp.linalg.lstsq(rows.T, right, rcond=1e-6)[0]}


def evolving(
    family: LatentGibbs,
    starts: PyTree,
    state: Any,
    unitary: Any,
    count: int,
    *,
    steps: Any = (100, 100),
    recursive: bool = True,
    predictor: PauliSum | None = None,
    time: float = 1.0,
    optimizer: Any = None,
) -> Sequence:
    r"""States $\sigma_{k+1} = U \sigma_k U^\dagger$ learned one after the other by forward divergence (QMHL).

    Each fit starts from the one before. With `recursive` the next target is made from the best fit, as on a device that
    cannot keep the exact state: errors add up. The divergences are to the targets that were used.

    Args:
        family: a model.
        starts: parameters to learn the first state from `[starts, ...]`.
        state: density matrix $\sigma_0$ `[size, size]`.
        unitary: U, one step of time `[size, size]`.
        count: steps of time.
        steps: of the optimiser, for the first state and for each further one.
        recursive: see above; False evolves the exact state.
        predictor: Hamiltonian whose `velocity` moves the parameters by `time` before each fit; `None` does not.
        time: see `predictor`.
        optimizer: see `drivers.QPMD`; `None` is `levenberg_marquardt()`.

    Raises:
        ConfigError: no steps.
        SpaceError: the predictor acts on another space.

    Source: Sbahi, Martinez, Patel, Saberi, Yoo, Roeder, Verdon, arXiv:2206.04663 (recursive learning in real time).
    """
    first, further = _counted(steps)
    rule = _rule(optimizer)

    def forward(params: PyTree, target: Array, entropy: Array) -> Array:
        model = family.with_params(params)
        return model.modular(target) + model.log_partition() - entropy

    run = linalg.jitted(
        jax.vmap(
            lambda p, s, e, n: _descend(rule, lambda q: forward(q, s, e), family, p, n), in_axes=(0, None, None, None)
        ),
        static_argnums=3,
    )
    target, unitary, params = jnp.asarray(state), jnp.asarray(unitary), starts
    levels = jnp.linalg.eigvalsh(target)
    entropy = -jnp.sum(jnp.where(levels > 0, levels * jnp.log(jnp.maximum(levels, 1e-300)), 0.0))
    points, divergences = [], []
    for k in range(count + 1):
        if k and predictor is not None:
            params = jax.vmap(lambda p: _moved(family, p, predictor, time))(params)
        params, values = run(params, target, entropy, first if k == 0 else further)
        points.append(params)
        divergences.append(values.T)
        if recursive:
            best = jax.tree.map(lambda a, v=values: a[jnp.argmin(v[:, -1])], params)
            found = family.with_params(best)
            target, entropy = found.density(), found.entropy()
        target = unitary @ target @ unitary.conj().T
    found = tuple(divergences)
    return Sequence(jax.tree.map(lambda *a: jnp.stack(a), *points), found, found, family)


def _moved(family: LatentGibbs, params: PyTree, hamiltonian: PauliSum, time: float, pieces: int = 20) -> PyTree:
    """Parameters a time later along `velocity`, by the classical Runge-Kutta rule."""
    size = time / pieces

    def slope(p: PyTree) -> PyTree:
        return _velocity(family.with_params(p), hamiltonian)

    def piece(p: PyTree, _: None) -> tuple[PyTree, None]:
        def at(s: float, v: PyTree) -> PyTree:
            return jax.tree.map(lambda a, b: a + s * size * b, p, v)

        one = slope(p)
        two = slope(at(0.5, one))
        three = slope(at(0.5, two))
        four = slope(at(1.0, three))
        mean = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, one, two, three, four)
        return at(1.0, mean), None

    return jax.lax.scan(piece, params, None, length=pieces)[0]
