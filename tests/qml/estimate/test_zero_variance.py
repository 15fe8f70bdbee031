"""Infinite temperature by counting, V-scores, and the extrapolation to zero variance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml import FullSumState, MCState
from qml._core.errors import DataError, SpaceError
from qml.estimate import Stats, degrees_of_freedom, extrapolate, infinite_temperature, uniform
from qml.hilbert import Boson, Constrained, Spin, SpinfulFermion, SpinlessFermion
from qml.lattice import Chain
from qml.operator import BoseHubbard, Heisenberg, Hubbard, Ising, PauliSum, as_local
from qml.sampler import ExactSampler
from tests.helpers.zscore import assert_z
from tests.qml.ansatz.models import model

FREE, CHAIN = Spin(4), Chain(4)
PARTS = Constrained(FREE, totals={(0, 2): 0, (1, 3): 0})
OPERATORS = {
    "pauli": PauliSum({"ZZII": 0.3, "IIII": 0.2, "ZZZZ": 0.7, "XXII": 1.0, "YYII": 1.0}, Spin(4, magnetisation=0)),
    "parts": PauliSum({"ZIZI": 0.3, "ZZII": 0.5}, PARTS),
    "local": as_local(Heisenberg(Spin(4, magnetisation=1), CHAIN) + 1.5),
    "spin one": Heisenberg(Spin(4, s=1, magnetisation=1), CHAIN),
    "bosons": BoseHubbard(Boson(4, n_max=3, n_particles=4), CHAIN, u=2.0),
    "fermions": Hubbard(SpinfulFermion(4, n_up=2, n_down=1), CHAIN, u=4.0),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_infinite_temperature(name, monkeypatch):
    """Counting gives the mean of the diagonal over all configurations."""
    operator = OPERATORS[name]
    exact = np.mean(np.asarray(operator.diagonal(operator.hilbert.all_states())).real)
    monkeypatch.setattr(uniform, "_LISTED", 1)
    assert infinite_temperature(operator) == pytest.approx(exact, abs=1e-12)


def test_infinite_temperature_of_large_systems():
    """Closed forms for spaces that cannot be listed."""
    n = 60
    half = SpinfulFermion(n, n_up=20, n_down=25)
    assert infinite_temperature(Hubbard(half, Chain(n), u=4.0)) == pytest.approx(4.0 * 20 * 25 / n, rel=1e-12)
    assert degrees_of_freedom(half) == pytest.approx(45, rel=1e-12)
    assert degrees_of_freedom(SpinlessFermion(n)) == pytest.approx(n / 2, rel=1e-12)
    assert degrees_of_freedom(Spin(2) * Boson(2, n_max=2)) == pytest.approx(4, rel=1e-12)


def test_a_predicate_is_listed_or_refused(monkeypatch):
    space = Constrained(FREE, lambda x: x[..., 0] == 1)
    assert infinite_temperature(PauliSum({"ZIII": 1.0, "ZZII": 1.0}), space) == 1
    monkeypatch.setattr(uniform, "_LISTED", 1)
    with pytest.raises(SpaceError, match="predicate"):
        infinite_temperature(PauliSum({"ZIII": 1.0}), space)


@pytest.mark.slow
def test_v_score():
    """Against dense vectors and by sampling; a shift of the energy changes nothing; zero for an eigenstate."""
    space = Spin(4, magnetisation=0)
    h = Heisenberg(space, CHAIN)
    exact = FullSumState(model("complex rbm", 4), space)
    psi, matrix = np.asarray(exact.to_array()), np.asarray(h.to_dense())
    energy = np.vdot(psi, matrix @ psi).real
    variance = np.linalg.norm(matrix @ psi) ** 2 - energy**2
    truth = 4 * variance / (energy - np.trace(matrix) / 6) ** 2
    np.testing.assert_allclose(exact.v_score(h).mean, truth, rtol=1e-11)
    np.testing.assert_allclose(exact.v_score(h + 100.0).mean, truth, rtol=1e-9)
    sampler = ExactSampler(space, chains=80)
    state = MCState(model("complex rbm", 4), space, samples=4000, key=jax.random.key(0), sampler=sampler)
    assert_z(state.v_score(h), truth)
    plus = FullSumState((jnp.zeros(4), lambda p, x: x @ p), FREE)
    assert abs(float(plus.v_score(Ising(FREE, CHAIN, j=0.0, h=1.0)).mean)) < 1e-14


def test_v_score_of_the_reference_state():
    """A Jastrow state of the critical Ising ring of 10; the value by full summation in another program."""
    space = Spin(10)

    def log_psi(params, x):
        return sum(p * jnp.sum(x * jnp.roll(x, d + 1, axis=1), axis=1) for d, p in enumerate(params))

    state = FullSumState(((0.25, 0.1, 0.05), log_psi), space)
    score = state.v_score(Ising(space, Chain(10), j=-1.0, h=1.0))
    np.testing.assert_allclose(score.mean, 0.043331658196137525, rtol=1e-10)


@pytest.mark.slow
def test_extrapolation_covers():
    """Noisy points on a line: the 95 % interval holds the truth about as often, the error is the scatter."""
    variances, de, dv = jnp.linspace(0.1, 0.5, 6), 0.01, 0.005

    def one(key):
        noise = jax.random.normal(key, (2, 6))
        e = -8.0 + 0.5 * variances + de * noise[0]
        return e, variances + dv * noise[1]

    keys = jax.random.split(jax.random.key(0), 100)
    lines = []
    for key in keys:
        draw, bootstrap = jax.random.split(key)
        e, v = one(draw)
        lines.append(extrapolate(_stats(e, de), _stats(v, dv), key=bootstrap))
    energy, error = (np.array([float(getattr(line, f)) for line in lines]) for f in ("energy", "error"))
    inside = np.mean([float(line.interval[0]) < -8.0 < float(line.interval[1]) for line in lines])
    assert inside > 0.95 - 4.5 * np.sqrt(0.95 * 0.05 / len(lines))
    assert abs(energy.mean() + 8) < 4.5 * energy.std() / np.sqrt(len(lines))
    assert 0.9 < error.mean() / energy.std() < 1.3  # never smaller where chi^2 happens to be large
    assert np.mean([float(line.chi_square) for line in lines]) == pytest.approx(4, abs=4.5 * np.sqrt(8 / len(lines)))


def _stats(mean, error):
    nan = jnp.full(mean.shape, jnp.nan)
    return Stats(mean, jnp.full(mean.shape, error), nan, nan, nan, jnp.array(100))


def test_extrapolation():
    """Against an independent minimum of chi^2; curved data widen the interval; exact points."""
    from scipy.optimize import minimize

    e, v = np.array([-7.8, -7.91, -7.93, -7.97]), np.array([0.42, 0.2, 0.15, 0.06])
    de, dv = np.array([0.02, 0.01, 0.02, 0.01]), np.array([0.05, 0.02, 0.03, 0.01])

    def points(a, b):
        return [Stats(jnp.array(m), jnp.array(s), *[jnp.array(jnp.nan)] * 3, jnp.array(9)) for m, s in zip(a, b)]

    line = extrapolate(points(e, de), points(v, dv), key=jax.random.key(0))
    best = minimize(lambda p: np.sum((e - p[0] - p[1] * v) ** 2 / (de**2 + (p[1] * dv) ** 2)), [-8, 0.5], tol=1e-14)
    np.testing.assert_allclose([line.energy, line.slope], best.x, atol=1e-5)
    np.testing.assert_allclose(line.chi_square, best.fun, rtol=1e-8)
    assert bool(line.upper) and float(line.interval[0]) < float(line.energy) < float(line.interval[1])
    curved = extrapolate(points(e + 2 * v**2, de), points(v, dv), key=jax.random.key(0))
    assert float(curved.error) > float(line.error)
    exact = extrapolate(_stats(jnp.asarray(e), 0.0), _stats(jnp.asarray(v), 0.0), key=jax.random.key(0))
    np.testing.assert_allclose(exact.energy, np.polyfit(v, e, 1)[1], rtol=1e-10)
    assert np.isnan(exact.chi_square) and float(exact.error) > 0
    assert str(line).startswith("-7.9") or str(line).startswith("-8.0")


def test_bad_input():
    few = _stats(jnp.array([1.0, 2.0, 3.0]), 0.1)
    with pytest.raises(DataError, match="several states"):
        extrapolate(few, few, key=jax.random.key(0))
    four = _stats(jnp.arange(4.0), 0.1)
    for wrong in (_stats(jnp.ones(4), 0.1), _stats(jnp.array([1.0, 2.0, jnp.nan, 3.0]), 0.1)):
        with pytest.raises(DataError, match="several states"):
            extrapolate(four, wrong, key=jax.random.key(0))
    mixed = Stats(four.mean, jnp.array([0.0, 0.1, 0.1, 0.1]), *[four.variance] * 3, four.samples)
    with pytest.raises(DataError, match="some have none"):
        extrapolate(mixed, Stats.exact(jnp.arange(4.0)), key=jax.random.key(0))
