"""Injected faults are caught: one compiled step of a tiny problem, its carry spoiled in many ways."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import drivers
import qml
from drivers.bounds import lower_bound
from drivers.io.doubts import consistency, doubts
from drivers.reasons import Reason
from drivers.trust import Verdict
from qml._core.errors import ConfigError
from qml.ansatz import to_ansatz
from qml.ansatz.updates import LocalUpdate
from qml.estimate.stats import Stats

SPACE = qml.hilbert.Spin(4)
ISING = qml.operator.Ising(SPACE, qml.lattice.Chain(4), j=-1.0, h=1.0)
TRUST = drivers.Trust(length=jnp.array(0.3), effective=jnp.array(0.5))
DRIVER = drivers.VMC(ISING, optax.inject_hyperparams(optax.sgd)(0.05), trust=TRUST)


def log_psi(params, x):
    return x @ params["field"] + params["bond"] * jnp.sum(x * jnp.roll(x, 1, axis=1), axis=1)


@pytest.fixture(scope="module")
def step():
    return eqx.filter_jit(lambda driver, carry: driver.step(carry))


@pytest.fixture(scope="module")
def good(step):
    """A carry after some steps that were taken."""
    params = {"field": jnp.full(4, 0.1), "bond": jnp.array(0.05)}
    state = qml.MCState((params, log_psi), SPACE, samples=256, chains=16, key=jax.random.key(1))
    carry, taken = DRIVER.init(state, jax.random.key(2)), []
    for _ in range(4):
        carry, info = step(DRIVER, carry)
        taken.append(bool(info["taken"]))
    assert all(taken) and int(carry["guard"].rejected) == 0
    return carry


def spoiled(carry, where, value):
    values = value if isinstance(value, tuple) else jax.tree.map(lambda _: value, where(carry))
    return eqx.tree_at(where, carry, jax.tree.map(jnp.full_like, where(carry), values))


def params_of(point):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(point["state"].params)])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_parameters_that_are_not_finite_are_rolled_back(step, good, value):
    bad = spoiled(good, lambda c: c["state"].params["bond"], value)
    after, info = step(DRIVER, bad)
    assert not info["taken"] and int(info["status"]) == 0
    np.testing.assert_array_equal(params_of(after), params_of(good["anchor"]))
    assert float(after["guard"].scale) == 0.25  # and the next step is shorter
    again, info = step(DRIVER, after)
    assert info["taken"] and np.isfinite(float(info["energy"].mean))
    assert int(again["guard"].rejected) == 1  # not forgotten until fresh samples confirm the step
    assert int(step(DRIVER, again)[0]["guard"].rejected) == 0


def test_chains_memory_and_key_go_back_too(step, good):
    bad = spoiled(good, lambda c: c["state"].params["field"], np.nan)
    after, _ = step(DRIVER, bad)
    np.testing.assert_array_equal(after["state"].sampler_state.x, good["anchor"]["state"].sampler_state.x)
    for a, b in zip(jax.tree.leaves(after["memory"]), jax.tree.leaves(good["anchor"]["memory"]), strict=True):
        np.testing.assert_array_equal(a, b)
    new, old = (jax.random.key_data(p["state"].sampler_state.key) for p in (after, good["anchor"]))
    assert not np.array_equal(new, old)


def test_energy_that_jumps_is_rolled_back(step, good):
    promised = spoiled(good, lambda c: c["guard"].highest, -50.0)
    after, info = step(DRIVER, promised)
    assert not info["taken"]
    np.testing.assert_array_equal(params_of(after), params_of(good["anchor"]))


FAULTS = {
    # what is spoiled for every step, the reason that must be named, and the status
    "gradient not finite": (lambda c: c["memory"].hyperparams["learning_rate"], np.inf, Reason.NOT_FINITE, 5),
    "memory of the optimiser not a number": (
        lambda c: c["memory"].hyperparams["learning_rate"], np.nan, Reason.NOT_FINITE, 5),
    "energy below a bound": (lambda c: c["floor"], 100.0, Reason.BELOW_BOUND, 5),
    "energy jumps every time": (lambda c: (c["guard"].highest, c["guard"].known), -50.0, Reason.JUMP, 5),
    "chains frozen": (  # all of them where the wave function is
        lambda c: tuple(
            part for s in (c["state"], c["anchor"]["state"]) for part in (s.params["field"], s.sampler_state.x)),
        (1e3, 1, 1e3, 1), Reason.FROZEN, 6),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_stay_end_the_run(step, good, fault):
    where, value, reason, status = FAULTS[fault]
    carry = good
    for _ in range(30):
        carry, info = step(DRIVER, spoiled(carry, where, value))
        if int(info["status"]):
            break
    assert (int(info["status"]), int(info["reason"])) == (status, reason)
    assert "Try: " in DRIVER.sentences()[int(info["reason"])]
    if status == 5:
        assert np.all(np.isfinite(params_of(carry)))


def test_steps_that_leave_their_samples(step, good):
    driver = dataclasses.replace(DRIVER, trust=dataclasses.replace(TRUST, length=jnp.array(1e9)))
    after = spoiled(good, lambda c: c["memory"].hyperparams["learning_rate"], 300.0)
    refused, info = 0, {"taken": False, "status": 0}
    while not info["taken"] and not int(info["status"]):  # each step is a quarter of the one before
        after, info = step(driver, after)
        if not info["taken"]:
            refused += 1
            assert float(info["step_effective"]) < 0.5 and int(after["guard"].rejected) == refused
            np.testing.assert_array_equal(params_of(after), params_of(good))
    assert 3 <= refused <= 5
    assert info["taken"] or (int(info["status"]), int(info["reason"])) == (5, Reason.OVERLAP)


def test_an_energy_that_is_not_the_predicted_one(good):
    state, samples = good["state"].sample()
    local = state.local_values(ISING, samples)
    change = jax.tree.map(lambda p: jnp.full_like(p, 1e-3), state.params)
    judge = eqx.filter_jit(TRUST.judge)
    for lie, reason in ((0.0, None), (5.0, Reason.PREDICTION), (jnp.nan, Reason.NOT_FINITE)):
        _, verdict = judge(state, samples, local - lie, ISING, change, 0.5)
        assert bool(verdict.taken) == (reason is None)
        assert reason is None or int(verdict.reason) == reason


def test_the_length_of_a_step_is_bounded(step, good):
    far = spoiled(good, lambda c: c["memory"].hyperparams["learning_rate"], 3.0)
    _, info = step(DRIVER, far)
    assert abs(float(info["step_length"]) - 0.3) < 1e-12
    _, info = step(DRIVER, good)
    assert 0 < float(info["step_length"]) < 0.3


def history(energy, score):
    rows = [(i, {"energy.mean": e, "energy.error": 0.01, "v_score": v}) for i, (e, v) in enumerate(zip(energy, score))]
    return drivers.History(rows)


def test_an_energy_that_falls_while_the_variance_rises():
    steps = np.arange(200)
    fall = -10 - 5 * (1 - np.exp(-steps / 20))
    assert consistency(history(fall, np.exp(-steps / 20) + 1e-3)) == ""
    late = np.where(steps > 150, fall - 1.0, fall)
    risen = np.where(steps > 150, 0.1, np.exp(-steps / 20) + 1e-3)
    assert "V-score has grown" in consistency(history(late, risen))
    assert consistency(history(np.where(steps > 150, fall + 1.0, fall), risen)) == ""  # higher: nothing is claimed


def test_final_numbers_are_doubted():
    good = {"energy": Stats.of(jnp.linspace(-9.0, -8.0, 50)), "troubles": jnp.zeros(8, bool), "lower_bound": -9.0}
    assert doubts(good) == []
    for flag in range(8):
        (text,) = doubts({**good, "troubles": jnp.arange(8) == flag})
        assert "; try " in text
    assert "below the rigorous bound" in doubts({**good, "lower_bound": -5.0})[0]


def test_a_doubtful_run_says_so(tmp_path):
    peaked = {"field": jnp.full(4, 1e3), "bond": jnp.array(0.0)}
    state = qml.MCState((peaked, log_psi), SPACE, samples=256, chains=16, key=jax.random.key(1))
    result = DRIVER.run(state, steps=1, out=tmp_path / "run")
    assert result.status is drivers.Status.DOUBTFUL
    assert "frozen; try" in result.message and "doubtful" in str(result)
    assert drivers.io.RunDir.open(tmp_path / "run").result()["status"] == "doubtful"


def test_lower_bounds_hold_and_beat_the_sum_of_terms():
    rng = np.random.default_rng(0)
    cases = [
        ISING,
        qml.operator.Heisenberg(qml.hilbert.Spin(9), qml.lattice.Square(3, 3)),
        qml.operator.PauliSum({"".join(rng.choice(list("IIXYZ"), 7)): float(rng.normal()) for _ in range(12)}),
        qml.operator.PauliSum({"XYZXYZXX": 1.0, "ZIIIIIII": 0.5, "IIIIIIII": 2.0}),  # a term wider than any cluster
        qml.operator.Hubbard(qml.hilbert.SpinfulFermion(2, 1, 1), qml.lattice.Chain(2, periodic=False), u=4.0),
    ]
    for operator in cases:
        found = lower_bound(operator)
        exact = float(np.linalg.eigvalsh(np.asarray(operator.to_dense()))[0])
        centre, radius = operator.bound()
        assert centre - radius - 1e-6 <= found.value <= exact + 1e-9
    assert lower_bound(ISING).value > -5.3 and lower_bound(ISING).kind == "anderson"  # exact -5.226, terms -8
    assert lower_bound(cases[-1]).kind == "term by term"


def test_the_result_file_has_the_fields_of_a_leaderboard(tmp_path):
    state = qml.FullSumState(({"field": jnp.full(4, 0.1), "bond": jnp.array(0.05)}, log_psi), SPACE)
    result = DRIVER.run(state, steps=2, out=tmp_path / "run")
    found = drivers.io.RunDir.open(tmp_path / "run").result()["leaderboard"]
    assert found["energy"] == float(result.energy.mean) and found["sigma"] == 0
    assert "no statistical error" in found["how"]
    assert (found["dof"], found["parameters"], found["einf"], found["bound_type"]) == (4, 5, 0.0, "variational")
    assert found["lower_bound"] < found["energy"] and found["compute"]["cpu_seconds"] > 0


@pytest.mark.slow
def test_levels_have_an_entry_each(tmp_path):
    """Of several states: energies and errors of the levels, the variance of the state that has the place of each."""
    states = [
        qml.FullSumState(({"field": jnp.full(4, f), "bond": jnp.array(0.05)}, log_psi), SPACE) for f in (0.1, -0.4)
    ]
    result = drivers.Excited(ISING, optax.sgd(0.02)).run(states, steps=2, out=tmp_path / "run")
    found = drivers.io.RunDir.open(tmp_path / "run").result()["leaderboard"]["levels"]
    order = np.argsort(result.final["single"].mean)
    for k, level in enumerate(found):
        assert level["level"] == k and level["energy"] == float(result.energy.mean[k]) and level["sigma"] == 0
        assert level["variance"] == float(result.final["single"].variance[order[k]])
        assert level["v_score"] == float(result.final["v_score"][order[k]])
        assert (level["dof"], level["parameters"], level["bound_type"]) == (4, 10, "variational")
    assert len(found) == 2 and "span of 2 states" in found[0]["how"] and found[0]["lower_bound"] < found[0]["energy"]
    sampled = [qml.MCState((s.params, log_psi), SPACE, 64, 8, key=jax.random.key(1)) for s in states[:1]]
    result = drivers.Excited(ISING, optax.sgd(0.02), fresh=8).run(sampled, steps=1, out=tmp_path / "one")
    (one,) = drivers.io.RunDir.open(tmp_path / "one").result()["leaderboard"]["levels"]
    assert one["sigma"] == float(result.energy.error[0]) > 0 and "512 samples of 8 new Markov chains" in one["how"]


def test_an_adaptive_shift_follows_the_predictions():
    """Each ratio of found and predicted changes moves the shift by its formula, and noise leaves it alone."""
    trust, one = drivers.Trust(adaptive=True), jnp.array(1.0)

    @jax.jit
    def softened(start, change, error):
        return trust._softened(start, Verdict(one, one, -one, change, error, one, one))

    for ratio, error in ((0.9, 0.0), (0.5, 0.0), (-1.0, 0.0), (3.0, 0.0), (0.5, 1.0), (1.0, np.nan), (np.nan, 0.0)):
        gap = 0.9 - ratio
        lost = error == 1.0 or not np.isfinite(gap) or ratio == 1.0
        expected = 1.0 if lost else np.clip(1 + gap * abs(gap), 0.5, 2)
        np.testing.assert_allclose(softened(1.0, -ratio, error), expected, rtol=1e-12)
    assert softened(1e-3, -3.0, 0.0) == 1e-3


@pytest.mark.slow
def test_steps_much_too_long_still_descend():
    """A learning rate at which plain SR diverges: with an adaptive shift the energy comes down to the exact one."""
    model = qml.ansatz.RBM(SPACE, dtype=complex, std=0.3, rngs=nnx.Rngs(0))
    state = qml.FullSumState(model, SPACE)
    exact = np.linalg.eigvalsh(np.asarray(ISING.to_dense()))[0]
    driver = drivers.VMC(
        ISING, optax.sgd(20.0), precondition=qml.estimate.SR(shift=1e-3), trust=drivers.Trust(adaptive=True)
    )
    result = driver.run(state, steps=80)
    assert np.mean(result.history["taken"]) > 0.5 and abs(float(result.energy.mean) - exact) < 1e-3 * abs(exact)


@pytest.mark.parametrize(
    "wrong", [{"length": 0.0}, {"effective": 1.5}, {"share": 0.0}, {"patience": 0}, {"patience": 2.5}]
)
def test_settings_out_of_range(wrong):
    with pytest.raises((ConfigError, Exception), match=next(iter(wrong))) as caught:
        drivers.Trust(**wrong)
    assert isinstance(caught.value, ConfigError) or "type" in type(caught.value).__name__.lower()


@dataclasses.dataclass(frozen=True)
class Wrong(LocalUpdate):
    """Log psi is linear, and its differences are off by a tenth of a per cent."""

    def prepare(self, params):
        return params

    def reliable(self, tables):
        return jnp.array(True)

    def init(self, tables, x):
        return ()

    def step(self, tables, cache, x, sites, values):
        return 1.001 * jnp.sum(tables[sites] * (values - jnp.take_along_axis(x, sites, axis=1)), axis=1), cache


@pytest.mark.slow
@pytest.mark.parametrize("out", [None, "run"])
@pytest.mark.parametrize("name", ["VMC", "untrusted", "Excited", "TDVP"])
def test_wrong_local_updates_end_a_run(name, out, tmp_path):
    """With a sentence, as soon as the parameters show them: at the start all amplitudes are equal."""
    ansatz, params = to_ansatz((jnp.zeros(4), lambda params, x: x @ params), SPACE)
    wrong = dataclasses.replace(ansatz, updates=Wrong())
    field = qml.operator.PauliSum({"XIII": -1.0, "IXII": -0.5, "ZIII": 0.7, "IIZI": 1.0}, SPACE)
    driver = {
        "VMC": drivers.VMC(field, optax.sgd(0.3)),
        "untrusted": drivers.VMC(field, optax.sgd(0.3), trust=None),
        "Excited": drivers.Excited(field, optax.sgd(0.3)),
        "TDVP": drivers.TDVP(field, drivers.Euler(0.1), imaginary=True),
    }[name]
    state = qml.MCState((wrong, params), SPACE, samples=256, chains=16, key=jax.random.key(1))
    thing, length = ([state] if name == "Excited" else state), {"time": 1.0} if name == "TDVP" else {"steps": 10}
    result = driver.run(thing, **length, out=None if out is None else tmp_path / out)
    assert result.status is drivers.Status.STALLED and result.steps <= 3
    assert "local updates" in result.message and "Try: mending" in result.message
    if name != "TDVP":
        assert "try mending local_update" in str(result)
