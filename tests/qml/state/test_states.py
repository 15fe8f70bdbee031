"""States: sampled against full sum by z-score, purity, spaces that do not fit, one compiled step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import export

import qml
from qml import FullSumState, MCState
from qml._core.errors import GradketError, ShapeError, SpaceError
from qml._core.tree import realify
from qml.estimate import SR, forces, jacobian, qgt, residual
from qml.hilbert import Spin
from qml.lattice import Chain
from qml.operator import Heisenberg, Ising, total
from qml.sampler import ExactSampler, Exchange, Metropolis
from tests.helpers.compiled import Counted
from tests.helpers.zscore import assert_z
from tests.qml.ansatz.models import NAMES, model

SPACE, FIXED = Spin(6), Spin(6, magnetisation=0)
ISING = Ising(SPACE, Chain(6), j=-1.0, h=0.7)
HEISENBERG = Heisenberg(FIXED, Chain(6))
SLOW = ("jastrow", "mlp", "gcnn", "mixed", "rbm")  # real parameters are in the mixed ones, with the second operator
CASES = [pytest.param(name, ISING, marks=[pytest.mark.slow] if name in SLOW else []) for name in NAMES]
CASES += [("mixed", HEISENBERG), pytest.param("gcnn", HEISENBERG, marks=pytest.mark.slow)]


@pytest.mark.parametrize(
    ("name", "operator"), CASES, ids=lambda v: v if isinstance(v, str) else v.hilbert.is_constrained
)
def test_sampled_against_full_sum(name, operator):
    """Energy, variance, every force and every entry of the metric."""
    exact = FullSumState(model(name, 6), operator.hilbert)
    state = MCState(model(name, 6), operator.hilbert, samples=8000, chains=200, key=jax.random.key(1))
    truth, force, metric = summed(exact, operator)
    found = sampled(state, operator, truth.mean)
    assert_z(found["energy"], truth.mean)
    assert float(found["energy"].r_hat) < 1.1
    assert bool(found["inside"])
    np.testing.assert_allclose(found["log_psi"], state.log_psi(found["x"]), atol=1e-12)
    assert_z(found["variance"], truth.variance)
    assert_z(found["force"], force)
    assert_z(found["metric"], metric)


SOME = slice(0, 12)


@jax.jit
def summed(state, operator):
    """Energy, all forces and some of the metric by full sum."""
    samples = state.sample()[1]
    force = forces(state.ansatz, state.params, samples, state.local_values(operator, samples))
    metric = qgt(state.ansatz, state.params, samples)[SOME, SOME]
    return state.expect(operator), realify(force)[0], metric


@jax.jit
def sampled(state, operator, mean):
    """The same as means of samples, from terms of each sample."""
    energy = state.expect(operator)
    state, samples = state.sample()
    local, count = state.local_values(operator, samples), state.n_samples
    rows = jacobian(state.ansatz, state.params, samples).reshape(-1, count, realify(state.params)[0].size)
    right = residual(state.ansatz, samples, local).reshape(-1, count)
    terms = count * jnp.einsum("psk,psl->skl", rows[..., SOME], rows[..., SOME])
    return {
        "energy": energy,
        "x": samples.x,
        "log_psi": samples.log_psi,
        "inside": jnp.all(state.hilbert.contains(samples.x)),
        "variance": samples.statistics(jnp.abs(local - mean) ** 2),
        "force": samples.statistics(count * jnp.sum(rows * right[:, :, None], axis=0)),
        "metric": samples.statistics(terms),
    }


def test_records_are_pure():
    """The same state gives the same samples; the next state gives others; parameters change nothing else."""
    state = MCState(model("rbm", 6), SPACE, samples=100, key=jax.random.key(0))
    after, samples = state.sample()
    again, same = state.sample()
    np.testing.assert_array_equal(samples.x, same.x)
    np.testing.assert_array_equal(after.sampler_state.x, again.sampler_state.x)
    assert np.any(np.asarray(after.sample()[1].x) != np.asarray(samples.x))
    assert state.expect(ISING).mean == samples.statistics(state.local_values(ISING, samples), hermitian=True).mean
    zero = state.with_params(jax.tree.map(lambda p: jnp.asarray(np.zeros(p.shape, p.dtype)), state.params))
    np.testing.assert_allclose(zero.log_psi(SPACE.all_states()), 0)
    assert np.any(np.asarray(state.log_psi(SPACE.all_states())) != 0)
    other = MCState(model("rbm", 6), SPACE, samples=100, key=jax.random.key(1))
    assert np.any(np.asarray(other.sample()[1].x) != np.asarray(samples.x))


def test_sizes():
    """Samples are rounded up to whole chains, and the sampler decides on its chains."""
    state = MCState(model("rbm", 6), SPACE, samples=100, chains=32, key=jax.random.key(0))
    assert (state.length, state.chains, state.n_samples) == (4, 32, 128)
    assert state.sample()[1].x.shape == (128, 6) and abs(float(state.sample()[1].weights.sum()) - 1) < 1e-14
    sampler = ExactSampler(SPACE, chains=10)
    assert MCState(model("rbm", 6), SPACE, samples=100, sampler=sampler, key=jax.random.key(0)).chains == 10


def chunked(state, chunk):
    """The same state and chains with another `chunk`."""
    other = MCState((state.ansatz, state.params), SPACE, samples=200, key=jax.random.key(0), chunk=chunk)
    return eqx.tree_at(lambda s: s.sampler_state, other, state.sampler_state)


@pytest.mark.parametrize("name", ["mixed", pytest.param("gcnn", marks=pytest.mark.slow)])
def test_chunk_changes_nothing(name):
    state = MCState(model(name, 6), SPACE, samples=200, key=jax.random.key(0))
    a, b = (chunked(state, c).expect({"h": ISING, "x": total(SPACE, "X")}) for c in (None, 7))
    for field in ("mean", "error", "variance"):
        for key in ("h", "x"):
            np.testing.assert_allclose(getattr(a[key], field), getattr(b[key], field), rtol=1e-10)
    full = [FullSumState((state.ansatz, state.params), SPACE, chunk=c).expect(ISING).mean for c in (None, 9)]
    np.testing.assert_allclose(full[0], full[1], rtol=1e-12)


def test_expect_of_many():
    """A tree of operators gives the tree of the same numbers; a Hermitian operator has a real mean."""
    state = FullSumState(model("mixed", 6), SPACE)
    many = state.expect({"x": total(SPACE, "X"), "list": [ISING, total(SPACE, "Y")]})
    psi = np.asarray(state.to_array())
    for stats, operator in (
        (many["x"], total(SPACE, "X")),
        (many["list"][0], ISING),
        (many["list"][1], total(SPACE, "Y")),
    ):
        exact = np.vdot(psi, np.asarray(operator.to_dense()) @ psi)
        assert not jnp.iscomplexobj(stats.mean) and abs(stats.mean - exact) < 1e-12
        assert str(stats) == str(state.expect(operator))


def test_to_array():
    state = FullSumState(model("complex rbm", 6), FIXED)
    psi = state.to_array()
    assert psi.shape == (FIXED.size,) and abs(float(jnp.linalg.norm(psi)) - 1) < 1e-14
    ratio = np.asarray(psi) / np.exp(np.asarray(state.log_psi(FIXED.all_states())))
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)
    assert state.log_psi(FIXED.all_states()[3]).shape == ()


def test_zeros_of_the_wave_function():
    """Configurations of amplitude zero count nothing, and give no NaN."""

    def log_psi(p, x):
        return jnp.where(x[:, 0] * x[:, 1] > 0, x @ p, -jnp.inf)

    state = FullSumState((jnp.arange(6.0) / 10, log_psi), SPACE)
    psi, matrix = np.asarray(state.to_array()), np.asarray(ISING.to_dense())
    assert np.sum(psi == 0) == 32
    np.testing.assert_allclose(state.expect(ISING).mean, psi @ matrix @ psi, rtol=1e-12)
    samples = state.sample()[1]
    force = forces(state.ansatz, state.params, samples, state.local_values(ISING, samples))
    exact = jax.jit(jax.grad(lambda p: jnp.vdot(v := vector(p), matrix @ v) / jnp.vdot(v, v)))

    def vector(p):
        x = SPACE.all_states().astype(float)
        return jnp.where(x[:, 0] * x[:, 1] > 0, jnp.exp(x @ p), 0.0)

    np.testing.assert_allclose(2 * np.asarray(force), exact(state.params), atol=1e-10)


def make_step(optimizer, rule):
    def step(state, optimizer_state):
        state, samples = state.sample()
        local = state.local_values(ISING, samples)
        energy = samples.statistics(local, hermitian=True)
        update = rule.direction(state.ansatz, state.params, samples, local).update
        updates, optimizer_state = optimizer.update(update, optimizer_state, state.params)
        return state.with_params(optax.apply_updates(state.params, updates)), optimizer_state, energy

    return Counted(step)


@pytest.mark.parametrize("name", [pytest.param("rbm", marks=pytest.mark.slow), "mixed"])
def test_one_compiled_step_finds_the_ground_state(name):
    """Sample, local energies, SR and update in one program, compiled once; exported without host callbacks."""
    optimizer = optax.sgd(0.05)
    state = MCState(model(name, 6), SPACE, samples=512, chains=64, key=jax.random.key(0))
    step, memory = make_step(optimizer, SR(shift=1e-2)), optimizer.init(state.params)
    for _ in range(150):
        state, memory, energy = step(state, memory)
    assert step.traces == 1
    ground = np.linalg.eigvalsh(np.asarray(ISING.to_dense()))[0]
    final = FullSumState((state.ansatz, state.params), SPACE).expect(ISING).mean
    assert 0 <= float(final - ground) < 5e-3 * abs(ground)
    assert abs(float(energy.mean) - ground) < 0.1

    def raw(params, x, log_psi, key_data):
        chains = eqx.tree_at(
            lambda s: (s.x, s.log_psi, s.key), state.sampler_state, (x, log_psi, jax.random.wrap_key_data(key_data))
        )
        return step(eqx.tree_at(lambda s: (s.params, s.sampler_state), state, (params, chains)), memory)[0].params

    chains = state.sampler_state
    program = export.export(jax.jit(raw))(state.params, chains.x, chains.log_psi, jax.random.key_data(chains.key))
    assert "callback" not in str(program.mlir_module())


def test_states_are_trees():
    """vmap over parameters of a full-sum state."""
    state = FullSumState(model("jastrow", 6), SPACE)
    stack = jax.tree.map(lambda p: jnp.stack([p, -p]), state.params)
    energies = jax.jit(jax.vmap(lambda p: state.with_params(p).expect(ISING).mean))(stack)
    minus = state.with_params(jax.tree.map(lambda p: -p, state.params))
    np.testing.assert_allclose(energies, [state.expect(ISING).mean, minus.expect(ISING).mean], rtol=1e-12)


def test_what_does_not_fit_is_refused():
    state = MCState(model("rbm", 6), FIXED, samples=16, key=jax.random.key(0))
    with pytest.raises(SpaceError, match="number of sites"):
        state.expect(Ising(Spin(5), Chain(5)))
    with pytest.raises(SpaceError):
        state.expect(total(SPACE, "X"))  # leaves the fixed magnetisation
    with pytest.raises(SpaceError, match="not an operator"):
        state.expect({"a": HEISENBERG, "b": 3.0})
    with pytest.raises(GradketError, match="do not belong"):
        state.with_params({"a": jnp.ones(3)})
    with pytest.raises(SpaceError, match="another space"):
        MCState(model("rbm", 6), SPACE, key=jax.random.key(0), sampler=Metropolis(Exchange(), FIXED))
    with pytest.raises(ShapeError, match="another number of chains"):
        MCState(model("rbm", 6), FIXED, chains=3, key=jax.random.key(0), sampler=Metropolis(Exchange(), FIXED))
    for bad in ({"samples": 0}, {"chains": 0}, {"burn": -1}):
        with pytest.raises(ShapeError, match="A state has"):
            MCState(model("rbm", 6), SPACE, key=jax.random.key(0), **bad)
    with pytest.raises(SpaceError, match="too large"):
        FullSumState(model("rbm", 40), Spin(40))
    with pytest.raises(SpaceError, match="too large"):
        MCState(model("rbm", 40), Spin(40), samples=16, key=jax.random.key(0)).to_array()


@pytest.mark.slow
def test_the_contract_of_job_one():
    """The sentence of the documentation, at a small size."""
    from flax import nnx

    import symmetries

    lattice = qml.lattice.Square(2, 3, periodic=(False, True))
    hilbert = qml.hilbert.Spin(lattice.n_sites, magnetisation=0)
    hamiltonian = qml.operator.J1J2(hilbert, lattice, j1=1.0, j2=0.5)
    sector = symmetries.Sector(symmetries.space_group(lattice), momentum=(0, 0), irrep="A1")
    ansatz = qml.ansatz.GCNN(sector, layers=2, features=2, rngs=nnx.Rngs(0))
    state = qml.MCState(ansatz, hilbert, samples=64, chains=32, key=jax.random.key(1))
    assert np.isfinite(float(state.expect(hamiltonian).mean))


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [2.0, 1.0])
def test_samples_within_a_capacity(exponent):
    """The same configurations with the same weights, and statistics that count them alone."""
    sampler = Metropolis(Exchange(), FIXED, chains=8, power=exponent)
    plain = MCState(model("gcnn", 6), FIXED, 120, key=jax.random.key(1), sampler=sampler)
    held = MCState(model("gcnn", 6), FIXED, 64, key=jax.random.key(1), sampler=sampler, capacity=200)
    held = held.with_samples(120)
    assert held.n_samples == plain.n_samples == 120 and held.length == 25
    (one, exact), (two, ours) = plain.sample(), held.sample()
    np.testing.assert_array_equal(ours.x[:120], exact.x)
    np.testing.assert_allclose(ours.weights[:120], exact.weights, rtol=1e-14)
    np.testing.assert_array_equal(ours.weights[120:], 0)
    np.testing.assert_array_equal(one.sampler_state.accepted, two.sampler_state.accepted)
    np.testing.assert_array_equal(one.sampler_state.still, two.sampler_state.still)
    rule = SR(shift=1e-3, snr=2.0)
    found = []
    for state, samples in ((plain, exact), (held, ours)):
        local = state.local_values(HEISENBERG, samples)
        health = state.health(samples, local)
        direction = rule.direction(state.ansatz, state.params, samples, local)
        force = forces(state.ansatz, state.params, samples, local)
        joint = state.joint({"x": HEISENBERG})
        stats = (state.expect(HEISENBERG), state.renyi2([0, 1]), state.v_score(HEISENBERG))
        found.append((stats, direction.update, force, health, joint.covariance, joint.samples))
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_capacities_that_do_not_fit():
    with pytest.raises(ShapeError, match="capacity"):
        MCState(model("rbm", 6), SPACE, 100, key=jax.random.key(1), capacity=50)
    with pytest.raises(ShapeError, match="capacity"):
        MCState(model("rbm", 6), SPACE, 10, key=jax.random.key(1), sampler=ExactSampler(SPACE, chains=5), capacity=50)
