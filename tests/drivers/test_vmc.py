"""Ground states by VMC against exact diagonalisation, and its step against a step by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import drivers
import qml
from drivers.io import compiled
from qml._core.errors import ConfigError, SpaceError
from tests.helpers.zscore import assert_z

SPACE = qml.hilbert.Spin(6)
CHAIN = qml.lattice.Chain(6)


def ising(h: float = 1.2, space=SPACE):
    return qml.operator.Ising(space, CHAIN, j=-1.0, h=h)


def rbm(space=SPACE, **settings):
    return qml.ansatz.RBM(space, rngs=nnx.Rngs(0), std=0.1, **settings)


def ground_energy(operator) -> float:
    return float(np.linalg.eigvalsh(np.asarray(operator.to_dense()))[0])


def dense_energy(state, operator):
    """Energy of the normalised amplitudes, the long way."""
    psi = state.to_array()
    return jnp.vdot(psi, operator.to_dense() @ psi).real


@pytest.mark.parametrize("dtype", [pytest.param(float, marks=pytest.mark.slow), complex])
def test_plain_gradient_step_is_that_of_the_dense_energy(dtype):
    state, operator = qml.FullSumState(rbm(dtype=dtype), SPACE), ising()
    result = drivers.VMC(operator, optax.sgd(0.01)).run(state, steps=1)
    gradient = jax.jit(jax.grad(lambda p: dense_energy(state.with_params(p), operator)))(state.params)
    expected = jax.tree.map(lambda p, g: p - 0.01 * jnp.conj(g), state.params, gradient)
    for ours, theirs in zip(jax.tree.leaves(result.state.params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    assert abs(float(result.history["energy"][0]) - float(dense_energy(state, operator))) < 1e-10
    norm = np.sqrt(sum(float(jnp.sum(jnp.abs(g) ** 2)) for g in jax.tree.leaves(gradient)))
    assert abs(result.history["update_norm"][0] - norm) < 1e-10


def test_full_sum_reaches_the_ground_state():
    state = qml.FullSumState(rbm(alpha=2), SPACE)
    driver = drivers.VMC(ising(), optax.adam(0.02), precondition=qml.estimate.SR(shift=1e-4))
    result = driver.run(state, steps=200)
    assert abs(float(result.energy.mean) - ground_energy(ising())) < 1e-3
    assert float(result.energy.mean) >= ground_energy(ising()) - 1e-10
    assert "v_score" in result.final and result.final["v_score"] < 1e-3


def test_sampled_run_and_its_fresh_energy():
    state = qml.MCState(rbm(), SPACE, samples=512, chains=32, key=jax.random.key(3))
    observe = {"mx": qml.operator.total(SPACE, "X") / 6}
    driver = drivers.VMC(ising(), optax.sgd(0.05), precondition=qml.estimate.SR(shift=1e-3), fresh=6)
    result = driver.run(state, steps=60, observe=observe)
    exact = qml.FullSumState((result.state.ansatz, result.state.params), SPACE)
    assert_z(result.energy, exact.expect(ising()).mean.real)
    assert_z(result.final["mx"], exact.expect(observe["mx"]).mean.real)
    assert int(result.energy.samples) == 6 * 512
    assert float(result.energy.error) < float(result.history.errors("energy")[-1])
    assert abs(float(result.energy.mean) / ground_energy(ising()) - 1) < 5e-3
    assert 0 < result.history["acceptance"].min() <= result.history["acceptance"].max() <= 1
    text = str(result)
    assert text.startswith("energy") and "v_score" in text and "R-hat" not in text


@pytest.mark.slow
@pytest.mark.parametrize("rule", [None, pytest.param("march", marks=pytest.mark.slow)])
def test_resumed_chains_go_on_bit_for_bit(tmp_path, rule):
    state = qml.MCState(rbm(), SPACE, samples=64, chains=8, key=jax.random.key(3))
    if rule == "march":
        rule = qml.estimate.MARCH(shift=1e-2, method="cg")  # its memory is part of the run
    driver = drivers.VMC(ising(), optax.adam(1e-2), precondition=rule)
    result = driver.run(state, steps=8, out=tmp_path / "one")
    if rule is not None:
        assert result.history["solve.residual"].max() < 1e-5 and result.history["solve.steps"].min() > 0
    driver.run(state, steps=3, out=tmp_path / "two")
    drivers.resume(tmp_path / "two", steps=5)
    one, two = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("one", "two"))
    assert one == two


def test_couplings_are_inputs():
    state = qml.FullSumState(rbm(), SPACE)
    optimizer = optax.sgd(0.05)
    drivers.VMC(ising(1.0), optimizer).run(state, steps=2)
    before = compiled._call._cache_size()
    other = drivers.VMC(ising(0.3), optimizer).run(state, steps=2)
    assert compiled._call._cache_size() == before
    assert abs(float(other.history["energy"][0]) - float(dense_energy(state, ising(0.3)))) < 1e-10


@pytest.mark.slow
def test_a_new_key_reseeds_the_chains():
    state = qml.MCState(rbm(), SPACE, samples=64, chains=8, key=jax.random.key(3))
    driver = drivers.VMC(ising(), optax.sgd(1e-2))
    energies = [driver.run(state, steps=1, key=k).history["energy"][0] for k in (None, None, jax.random.key(9))]
    assert energies[0] == energies[1] != energies[2]


def test_too_large_a_step_is_reported_not_returned():
    state = qml.FullSumState(rbm(), SPACE)
    result = drivers.VMC(ising(), optax.sgd(jnp.inf)).run(state, steps=9)
    assert result.status is drivers.Status.DIVERGED and result.steps == 5 and "not finite. Try" in result.message
    for leaf, before in zip(jax.tree.leaves(result.state.params), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_array_equal(leaf, before)


def test_bad_input():
    state = qml.FullSumState(rbm(), SPACE)
    with pytest.raises(SpaceError, match="acts on a variational state"):
        drivers.VMC(ising(), optax.sgd(0.1)).run(jnp.zeros(3), steps=1)
    with pytest.raises(SpaceError):
        other = qml.hilbert.Spin(5)
        drivers.VMC(qml.operator.total(other, "X"), optax.sgd(0.1)).run(state, steps=1)
    with pytest.raises(ConfigError, match="Hermitian"):
        drivers.VMC(1j * ising(), optax.sgd(0.1)).run(state, steps=1)
    with pytest.raises(ConfigError, match="evolve"):
        drivers.VMC(ising(), optax.sgd(0.1)).run(state, time=1.0)
    with pytest.raises(ConfigError, match="Optax"):
        drivers.VMC(ising(), 0.1).run(state, steps=1)
    with pytest.raises(ConfigError, match="counted"):
        drivers.VMC(ising(), optax.sgd(0.1), fresh=0).run(state, steps=1)
    half = qml.hilbert.Spin(6, magnetisation=0)
    with pytest.raises(SpaceError):
        inside = qml.FullSumState(rbm(half), half)
        drivers.VMC(ising(), optax.sgd(0.1)).run(inside, steps=1)


@pytest.mark.slow
def test_critical_chain_of_16():
    """Published problem: the critical transverse-field Ising chain, within 1e-3."""
    space, chain = qml.hilbert.Spin(16), qml.lattice.Chain(16)
    operator = qml.operator.Ising(space, chain, j=-1.0, h=1.0)
    model = qml.ansatz.RBM(space, alpha=1, rngs=nnx.Rngs(0))
    state = qml.MCState(model, space, samples=1024, chains=64, key=jax.random.key(1))
    driver = drivers.VMC(operator, optax.sgd(0.05), precondition=qml.estimate.SR(shift=1e-3))
    result = driver.run(state, steps=150)
    exact = -20.404594474757
    assert abs(float(result.energy.mean) - exact) + 2 * float(result.energy.error) < 1e-3 * abs(exact)
    assert float(result.energy.mean) > exact - 4 * float(result.energy.error)
    assert float(result.energy.r_hat) < 1.02


@pytest.mark.slow
def test_heisenberg_square():
    """Heisenberg on 4x4 in a Marshall-rotated machine that a user writes as a function, within 1e-3."""
    lattice = qml.lattice.Square(4, 4)
    space = qml.hilbert.Spin(lattice.n_sites, magnetisation=0)
    operator = qml.operator.Heisenberg(space, lattice)
    model = qml.ansatz.RBM(space, alpha=4, std=0.05, rngs=nnx.Rngs(0))
    machine, params = qml.ansatz.to_ansatz(model, space)
    sublattice = np.asarray(lattice.positions).round().sum(axis=1) % 2

    def log_psi(params, x):
        return machine.log_psi(params, x) + 0.5j * jnp.pi * jnp.sum(sublattice[None, :] * (1 - x), axis=1)

    state = qml.MCState((params, log_psi), space, samples=2048, chains=256, key=jax.random.key(1))
    optimizer = optax.sgd(optax.cosine_decay_schedule(0.1, 200, 0.1))
    result = drivers.VMC(operator, optimizer, precondition=qml.estimate.SR(shift=1e-3)).run(state, steps=200)
    exact = -11.228483208429
    assert abs(float(result.energy.mean) - exact) + float(result.energy.error) < 1e-3 * abs(exact)
    assert float(result.energy.mean) > exact - 4 * float(result.energy.error)


@pytest.mark.slow
def test_a_quick_step_that_is_not_sound_is_done_again():
    """Local updates fail for large weights: the step by the network gives the very numbers of a run without them."""
    space = qml.hilbert.Spin(4)
    ising = qml.operator.Ising(space, qml.lattice.Chain(4), j=-1.0, h=1.0)
    runs = []
    for quick in (True, False):
        kind = drivers.VMC if quick else type("Slow", (drivers.VMC,), {"quick": False})
        model = qml.ansatz.RBM(space, std=3.0, rngs=nnx.Rngs(0))
        state = qml.MCState(model, space, samples=32, key=jax.random.key(0))
        assert not state.ansatz.updates.reliable(state.ansatz.updates.prepare(state.params))
        runs.append(kind(ising, optax.sgd(0.01), precondition=qml.estimate.SR(shift=0.1)).run(state, steps=3))
    np.testing.assert_allclose(runs[0].history["energy"], runs[1].history["energy"], rtol=1e-12)
    assert runs[0].state.ansatz.fallback and runs[0].steps == 3


class Blind(drivers.VMC):
    """Its quick measurement finds no number."""

    def final(self, carry):
        info = super().final(carry)
        return info if carry["state"].ansatz.fallback else eqx.tree_at(lambda i: i["energy"].mean, info, jnp.nan)


@pytest.mark.slow
def test_a_quick_measurement_that_is_not_sound_is_done_again():
    driver = drivers.VMC(ising(), optax.sgd(0.05), precondition=qml.estimate.SR(shift=1e-3))
    state = qml.MCState(rbm(), SPACE, 64, 8, key=jax.random.key(1), burn=2)
    plain, again = driver.run(state, steps=2), Blind(**vars(driver)).run(state, steps=2)
    assert again.status == drivers.Status.FINISHED
    np.testing.assert_allclose(again.energy.mean, plain.energy.mean, rtol=1e-12)


@pytest.mark.slow
def test_sample_counts_within_a_capacity_compile_nothing():
    """One program for all counts; the numbers are those of states that hold no more than they use."""
    compiled = []
    name = "/jax/core/compile/backend_compile_duration"
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: compiled.append(event == name))
    driver = drivers.VMC(ising(), optax.sgd(0.05), precondition=qml.estimate.SR(shift=1e-3))

    def state(samples, **more):
        return qml.MCState(rbm(), SPACE, samples, 8, key=jax.random.key(1), burn=2, **more)

    held = state(128, capacity=200)
    ours = driver.run(held, steps=4)
    for other in (held.with_samples(200), state(72, capacity=200)):
        compiled.clear()
        result = driver.run(other, steps=4)
        assert sum(compiled) == 0
        np.testing.assert_array_equal(result.history["energy.samples"], other.n_samples)
        assert int(result.energy.samples) == 4 * other.n_samples
    exact = driver.run(state(128), steps=4)
    for column in exact.history.names:
        np.testing.assert_allclose(ours.history[column], exact.history[column], rtol=1e-9, atol=1e-12, err_msg=column)
    for a, b in zip(*(jax.tree.leaves(r.final) for r in (ours, exact)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
