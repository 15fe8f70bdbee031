"""Configurations: strict keys, nearest names, the same file starts the same run; and the command line."""

import tomllib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import drivers
import qml
import symmetries
from drivers import cli, config
from drivers.io.toml import to_toml
from qml._core.errors import ConfigError

CHAIN = {"name": "Chain", "length": 4}
GROUND = {
    "kind": "ground_state",
    "lattice": CHAIN,
    "hamiltonian": {"name": "Ising", "j": -1.0, "h": 1.5},
    "state": {"name": "full"},
    "observe": {"mx": "X"},
    "run": {"steps": 3},
}
THERMAL = {
    "kind": "thermal",
    "lattice": {"name": "Chain", "length": 3},
    "hamiltonian": {"name": "Heisenberg"},
    "objective": {"beta": 0.5},
    "run": {"steps": 40},
}


def changed(table, where, **keys):
    return {**table, where: {**table.get(where, {}), **keys}}


@pytest.mark.slow
def test_a_written_configuration_starts_the_same_run(tmp_path):
    job = config.build(GROUND)
    first = job.run(out=tmp_path / "one")
    again = config.load(tmp_path / "one" / "config.toml")
    assert again.settings == job.settings
    second = again.run(out=tmp_path / "two")
    np.testing.assert_array_equal(first.history["energy"], second.history["energy"])
    assert (tmp_path / "one" / "config.toml").read_text() == (tmp_path / "two" / "config.toml").read_text()
    longer = again.run(out=tmp_path / "three", steps=4)
    assert longer.steps == 4 and config.load(tmp_path / "three" / "config.toml").options["steps"] == 4


@pytest.mark.parametrize(
    "lattice, hamiltonian, sites",
    [
        pytest.param({"name": "Ladder", "length": 3}, {"name": "XYZ", "jx": 0.5}, 6, marks=pytest.mark.slow),
        ({"name": "Square", "length_x": [[2, 1], [-1, 2]]}, {"name": "LongRangeIsing", "alpha": 3.0, "h": 0.5}, 5),
        pytest.param(
            {"name": "KitaevHoneycomb", "length_x": 3, "length_y": 3},
            {"name": "Kitaev", "kz": -0.5},
            18,
            marks=pytest.mark.slow,
        ),
        ({"name": "Pyrochlore", "length_x": 1, "periodic": False}, {"name": "Heisenberg"}, 4),
    ],
)
def test_lattices_and_models_by_name(lattice, hamiltonian, sites):
    """Tilted clusters, coloured bonds, long ranges: the names of a file are those of the library."""
    job = config.build({**GROUND, "lattice": lattice, "hamiltonian": hamiltonian, "state": {"samples": 16}})
    assert job.driver.hamiltonian.hilbert == qml.hilbert.Spin(sites)


@pytest.mark.parametrize(
    "space, hamiltonian, expected",
    [
        pytest.param(
            {"name": "Boson", "n_max": 2, "n_particles": 3},
            {"name": "BoseHubbard", "u": 2.0},
            qml.hilbert.Boson(4, 2, n_particles=3),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"name": "SpinlessFermion", "n_fermions": 2},
            {"name": "tV", "v": 1.5},
            qml.hilbert.SpinlessFermion(4, n_fermions=2),
            marks=pytest.mark.slow,
        ),
        (
            {"name": "SpinfulFermion", "n_up": 2, "n_down": 1},
            {"name": "Hubbard", "u": 4.0},
            qml.hilbert.SpinfulFermion(4, n_up=2, n_down=1),
        ),
        pytest.param(
            {"s": 0.5, "magnetisation": 0},
            {"name": "Heisenberg"},
            qml.hilbert.Spin(4, magnetisation=0),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_spaces_by_name(space, hamiltonian, expected):
    table = {k: v for k, v in GROUND.items() if k != "observe"}
    job = config.build({**table, "space": space, "hamiltonian": hamiltonian})
    assert job.thing.hilbert == expected
    assert config.build(job.settings).thing.hilbert == expected
    bound = qml.exact.ground_state(job.driver.hamiltonian).energies[0]
    assert job.run(steps=1).history["energy"][0] >= bound - 1e-9


@pytest.mark.slow
def test_dynamics_with_a_sector(tmp_path):
    table = changed(GROUND, "run", time=0.1, every=0.05)
    table = {**table, "kind": "dynamics", "sector": {"momentum": [0]}, "integrator": {"rtol": 1e-4}}
    table["run"].pop("steps")
    result = config.build(table).run()
    np.testing.assert_allclose(result.history["time"], [0, 0.05, 0.1])
    assert jnp.issubdtype(result.state.ansatz.dtype, jnp.complexfloating)
    np.testing.assert_allclose(result.history["energy"], result.history["energy"][0], atol=2e-2)


SPRING = {"name": "SPRING", "shift": 1e-2, "mu": 0.5}
RATES = {"learning_rate": 0.1, "final_rate": 0.01}


def test_solvers_schedules_and_judges_by_name():
    """What a file says is what the driver has; what it does not say is written out with its default."""
    for name in ("SR", "SPRING", "MARCH"):
        job = config.build({**GROUND, "precondition": {"name": name, "shift": 1e-2}})
        assert type(job.driver.precondition) is getattr(qml.estimate, name) and job.driver.precondition.shift == 1e-2
    table = {**GROUND, "precondition": SPRING, "optimizer": RATES, "trust": {"length": 0.1, "patience": 3}}
    job = config.build({**table, "run": {"steps": 3, "fresh": 7}})
    assert job.driver.fresh == job.settings["run"]["fresh"] == 7
    assert job.driver.precondition.mu == 0.5 and job.settings["precondition"]["method"] == "auto"
    assert (job.driver.trust.length, job.driver.trust.patience, job.driver.trust.effective) == (0.1, 3, 0.5)
    assert job.settings["trust"]["share"] == 0.25 and config.build(job.settings).settings == job.settings
    updates, memory = [], job.driver.optimizer.init(np.ones(1))
    for _ in range(4):
        update, memory = job.driver.optimizer.update(np.ones(1), memory)
        updates.append(-float(update[0]))
    middle = [0.01 + 0.09 * (1 + np.cos(np.pi * t / 3)) / 2 for t in range(4)]
    np.testing.assert_allclose(updates, middle, rtol=1e-6)
    plain = config.build({**GROUND, "precondition": {"name": "none"}, "trust": {"name": "none"}})
    assert plain.driver.precondition is None and plain.driver.trust is None
    assert config.build(plain.settings).driver.trust is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "ansatz, settings",
    [
        ({"name": "MeanField", "std": 0.3}, {"dtype": "float"}),
        ({"name": "CausalDense", "layers": 2, "features": 3}, {"phase": False}),
        ({"name": "CausalConv", "kernel": [2, 3], "extent": [2, 2], "phase": True}, {"layers": 3, "extent": [2, 2]}),
        ({"name": "CausalRNN", "layers": 1, "features": 4, "order": [3, 1, 2, 0]}, {"order": [3, 1, 2, 0]}),
        ({"name": "CausalTransformer", "layers": 1, "features": 4, "heads": 2}, {"widening": 2}),
    ],
)
def test_wave_functions_that_are_sampled_directly(ansatz, settings):
    """Without a sampler named they are drawn from directly, unless a sector takes their norm; a step goes down."""
    job = config.build({**GROUND, "ansatz": ansatz, "state": {"samples": 256}})
    assert type(job.thing.sampler) is qml.sampler.DirectSampler
    assert settings.items() <= job.settings["ansatz"].items()
    assert config.build(job.settings).settings == job.settings
    result = job.run(steps=10)
    assert result.history["energy"][-1] < result.history["energy"][0]
    projected = config.build({**GROUND, "ansatz": ansatz, "sector": {"momentum": [0]}, "state": {"samples": 16}})
    assert type(projected.thing.sampler) is qml.sampler.Metropolis
    moving = {**GROUND, "kind": "dynamics", "ansatz": ansatz, "run": {"time": 0.1}}
    assert jnp.issubdtype(config.build(moving).thing.ansatz.dtype, jnp.complexfloating)


def test_signs_and_symmetric_machines():
    """Marshall's signs times a symmetric RBM: the amplitudes are those of the product made by hand."""
    table = {**GROUND, "hamiltonian": {"name": "Heisenberg"}, "signs": {}, "ansatz": {"name": "RBMSymm", "alpha": 2}}
    table = {k: v for k, v in table.items() if k != "observe"}
    state = config.build({**table, "ansatz": {**table["ansatz"], "symmetry": "space_group"}}).thing
    assert state.ansatz.name == "Product(RBMSymm, MarshallSign)" and state.params[0]["kernel"].shape == (1, 4)
    psi = np.exp(state.log_psi(np.array([[1, -1, 1, -1], [-1, 1, -1, 1], [1, 1, -1, -1], [1, -1, -1, 1]], np.int8)))
    np.testing.assert_allclose(psi[0], psi[1], rtol=1e-12)
    np.testing.assert_allclose(psi[2], psi[3], rtol=1e-12)
    assert psi[0].real * psi[2].real < 0
    with pytest.raises(ConfigError, match="'translations'"):
        config.build({**table, "ansatz": {"name": "RBMSymm", "symmetry": "translation"}})


@pytest.mark.slow
def test_phase_networks():
    """A factor of modulus one with a network of its own, whose forces are mixed; with a sector both are projected."""
    table = {**GROUND, "ansatz": {"name": "RBM"}, "phase": {"name": "MLP", "mixed": True}}
    job = config.build(table)
    assert job.driver.phases is True and job.settings["phase"]["mixed"] is True
    x = job.thing.hilbert.all_states()
    amplitude, phase = job.thing.params
    moved = job.thing.with_params((amplitude, jax.tree.map(lambda p: p + 0.1, phase)))
    np.testing.assert_array_equal(moved.log_psi(x).real, job.thing.log_psi(x).real)
    assert np.max(np.abs(moved.log_psi(x).imag - job.thing.log_psi(x).imag)) > 1e-3
    assert job.run().status is drivers.Status.FINISHED
    again = config.build(job.settings)
    assert again.settings == job.settings
    projected = config.build(
        {**GROUND, "ansatz": {"name": "MLP"}, "phase": {"name": "RBM"}, "sector": {"momentum": [0]}}
    )
    assert projected.settings["ansatz"]["phase"] is False
    psi = np.asarray(projected.thing.to_array()).reshape(2, 2, 2, 2)
    np.testing.assert_allclose(psi, psi.transpose(1, 2, 3, 0), atol=1e-12)


def test_samplers_by_name():
    """The law, rule and chains that a file asks for; without the table the state chooses."""
    table = {**GROUND, "space": {"magnetisation": 0}, "hamiltonian": {"name": "Heisenberg"}, "state": {"samples": 8}}
    table = {**{k: v for k, v in table.items() if k != "observe"}, "sampler": {"power": 1.0, "rule": "nearest"}}
    job = config.build(table)
    sampler = job.thing.sampler
    assert (sampler.power, sampler.chains, sampler.rule.edges) == (1.0, 16, qml.lattice.Chain(4).edges())
    assert job.settings["sampler"] == {"name": "Metropolis", "chains": 16, "rule": "nearest", "power": 1.0}


def test_excited_states():
    """The two lowest levels from a file; states of their own, that the written file makes again."""
    table = {**GROUND, "kind": "excited_states", "excited": {"penalty": 9.0}, "precondition": SPRING}
    table = {**table, "trust": {"length": 0.1}, "run": {"steps": 3, "fresh": 6}}
    job = config.build({**table, "ansatz": {"dtype": "complex", "std": 0.3}})
    assert isinstance(job.driver, drivers.Excited) and job.driver.penalty == 9.0 and len(job.thing) == 2
    assert job.driver.trust.length == 0.1 and job.driver.fresh == 6
    again = config.build(job.settings)
    kernels = [np.asarray(state.params["kernel"]) for state in (*job.thing, *again.thing)]
    assert np.array_equal(kernels[0], kernels[2]) and np.array_equal(kernels[1], kernels[3])
    assert not np.array_equal(kernels[0], kernels[1])


@pytest.mark.slow
def test_states_in_irreps_of_their_own():
    """One state an irrep: their overlap is zero, and the gap is that between the lowest levels of the two sectors."""
    table = {**GROUND, "kind": "excited_states", "lattice": {"name": "Chain", "length": 6}, "run": {"steps": 150}}
    table |= {"sector": {"momentum": [0], "irrep": ["A", "B"]}, "ansatz": {"dtype": "complex", "alpha": 2, "std": 0.3}}
    job = config.build({**table, "optimizer": {"learning_rate": 0.1}})
    assert job.settings["sector"]["irrep"] == ["A", "B"]
    result = job.run()
    group = symmetries.space_group(qml.lattice.Chain(6))
    sectors = [symmetries.Sector(group, momentum=(0,), irrep=irrep) for irrep in "AB"]
    low, high = (qml.exact.ground_state(job.driver.hamiltonian, sector=s).energies[0] for s in sectors)
    np.testing.assert_allclose(result.final["gap"].mean, [high - low], rtol=1e-2)
    assert float(result.final["overlap"][0, 1]) < 1e-20
    with pytest.raises(ConfigError, match="One irrep a state"):
        config.build({**table, "excited": {"states": 3}})


@pytest.mark.slow
def test_excited_states_of_a_file_are_found():
    """From a file alone: the gap of the chain of four sites."""
    table = {**GROUND, "kind": "excited_states", "ansatz": {"dtype": "complex", "alpha": 2, "std": 0.3}}
    result = config.build({**table, "optimizer": {"learning_rate": 0.1}, "run": {"steps": 200}}).run()
    dense = config.build(GROUND).driver.hamiltonian.to_dense()
    exact = np.diff(np.linalg.eigvalsh(np.asarray(dense))[:2])
    np.testing.assert_allclose(result.final["gap"].mean, exact, rtol=1e-2)


@pytest.mark.slow
def test_thermal_and_learn(tmp_path):
    result = config.build(THERMAL).run()
    hamiltonian = qml.operator.Heisenberg(qml.hilbert.Spin(3), qml.lattice.Chain(3))
    exact = qml.exact.thermal_state(hamiltonian, 0.5)
    np.testing.assert_allclose(result.state.expect(hamiltonian).mean, exact.energy, atol=1e-8)
    import jax

    shots = result.state.sample(jax.random.key(0), ["XXX", "YYY", "ZZZ", "XYZ"], 200)
    shots.save(tmp_path / "shots.npz")
    table = {"kind": "learn", "lattice": THERMAL["lattice"], "objective": {"file": "shots.npz", "method": "likelihood"}}
    job = config.build({**table, "run": {"steps": 3}}, tmp_path)
    assert job.run().steps == 3 and job.settings["objective"]["file"] == str((tmp_path / "shots.npz").resolve())


def test_program(tmp_path):
    text = "operation Turn(a : Double, qs : Qubit[]) : Unit { Ry(a, qs[0]); }"
    (tmp_path / "turn.qs").write_text(text)
    table = {
        "kind": "program",
        "program": {"source": "turn.qs", "qubits": 1},
        "observable": {"Z": 1.0},
        "optimizer": {"name": "adam", "learning_rate": 0.1},
        "run": {"steps": 5, "theta": [0.7]},
    }
    result = config.build(table, tmp_path).run()
    assert abs(result.history["energy"][0] - np.cos(0.7)) < 1e-12 and result.energy.mean < np.cos(0.7)


@pytest.mark.parametrize(
    "table, message",
    [
        ({"kind": "groundstate"}, "'ground_state'"),
        ({}, "kind of job"),
        ({**GROUND, "latice": {}}, "'lattice'"),
        (changed(GROUND, "lattice", lenght=3), "'length'"),
        (changed(GROUND, "ansatz", name="CausalConv", kernels=3), "'kernel'"),
        (changed(GROUND, "sector", group="translation"), "'translations'"),
        (changed(GROUND, "optimizer", learning_rate=[[3, 0.1], [0, 0.1]]), "pairs"),
        (changed(GROUND, "lattice", name="Chian"), "'Chain'"),
        (changed(GROUND, "space", name="Bosn", n_max=2), "'Boson'"),
        (changed(GROUND, "space", name="Boson"), "needs n_max"),
        (changed(GROUND, "space", name="Boson", n_max=2, n_particle=3), "'n_particles'"),
        (changed(GROUND, "space", name="SpinfulFermion", n_orbitals=4), "key of \\[space\\] SpinfulFermion"),
        (changed(GROUND, "space", magnetization=0), "'magnetisation'"),
        (changed(GROUND, "hamiltonian", g=1.0), "key of \\[hamiltonian\\] Ising named 'g'"),
        ({**GROUND, "lattice": {"name": "Chain"}}, "needs length"),
        ({**GROUND, "lattice": {"length": 3}}, "needs a name"),
        ({**GROUND, "lattice": 3}, "no table"),
        ({**GROUND, "seed": -1}, "seed"),
        ({**GROUND, "ansatz": {"name": "GCNN"}}, "needs sector"),
        (changed(GROUND, "ansatz", dtype="float32x"), "'float32'"),
        (changed(GROUND, "ansatz", alpha="many"), "does not take these values"),
        (changed(GROUND, "run", step=3), "'steps'"),
        ({**GROUND, "sampler": {"power": 1.0}}, "full sum draws no samples"),
        ({**GROUND, "state": {}, "sampler": {"rule": "nearst"}}, "'nearest'"),
        (changed(GROUND, "precondition", shift=1e-3, cutoff=1e-8), "not both"),
        (changed(GROUND, "precondition", name="SPRIG"), "'SPRING'"),
        ({**GROUND, "precondition": {"name": "SPRING", "shfit": 0.9}}, "'shift'"),
        ({**GROUND, "precondition": {"name": "MARCH", "beta": 1.0}}, "beta of MARCH"),
        ({**GROUND, "precondition": {"name": "SPRING", "cutoff": 1e-8}}, "key of \\[precondition\\] SPRING"),
        ({**GROUND, "precondition": {"name": "none", "shift": 1e-3}}, "key of \\[precondition\\] none"),
        ({**GROUND, "trust": {"lenght": 0.1}}, "'length'"),
        ({**GROUND, "trust": {"length": -0.1}}, "length"),
        ({**GROUND, "trust": {"share": 2.0}}, "share"),
        ({**GROUND, "excited": {}}, "key of a ground_state file"),
        ({**GROUND, "kind": "excited_states", "excited": {"states": 0}}, "counted"),
        ({**GROUND, "kind": "excited_states", "integrator": {}}, "key of a excited_states file"),
        ({**GROUND, "optimizer": {"learning_rate": 0.1, "final_rate": 0.0}}, "positive number"),
        ({"kind": "custom"}, "made from Python"),
        ({**GROUND, "kind": "excited_states", "phase": {"mixed": True}}, "ground states alone"),
        (changed(GROUND, "phase", name="MLP", mixd=True), "'mixed'"),
        (changed(GROUND, "phase", name="CausalRNN"), "no phase named"),
    ],
)
def test_bad_configurations(table, message):
    with pytest.raises((ConfigError, Exception), match=message) as caught:
        config.build(table)
    assert isinstance(caught.value, ConfigError) or "type" in type(caught.value).__name__.lower()


def test_bad_files(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        config.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("kind = [")
    with pytest.raises(ConfigError, match="no TOML"):
        config.load(tmp_path / "bad.toml")


def test_toml_round_trip():
    table = {
        "a": 1, "b": -2.5e-9, "c": 'quote " and \\ and \n line', "d": [1, 2], "e": True, "f": float("inf"), "g": None,
        "t": {"x y": 1, "u": {"v": [[1.0, 2.0], ["s"]], "w": {}}, "list": [{"k": 1}]}, "empty": {},
    }  # fmt: skip
    back = tomllib.loads(to_toml(table))
    expected = {k: v for k, v in table.items() if k != "g"}
    assert back == expected
    with pytest.raises(ConfigError, match="cannot be written"):
        to_toml({"a": object()})


def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.toml").write_text(to_toml(GROUND))
    assert cli.main(["run", "job.toml"]) == 0
    assert cli.main(["run", "job.toml", "--out", "again", "--steps", "2"]) == 0
    assert cli.main(["resume", "again", "--steps", "1"]) == 0
    assert "finished: 3 steps done" in capsys.readouterr().out
    one, two = (tmp_path / name / "metrics.jsonl" for name in ("runs/job-1", "again"))
    assert one.read_bytes() == two.read_bytes()
    assert cli.main(["plot", "again"]) == 0
    assert (tmp_path / "again" / "plots" / "energy.png").exists()
    assert cli.main(["info"]) == 0 and cli.main(["cite", "again"]) == 0
    text = capsys.readouterr().out
    assert "jaxlib" in text and "Sorella" in text
    assert cli.main(["resume", "nowhere"]) == 2
    assert cli.main(["run", "none.toml"]) == 2
    assert "no run directory" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["fly"])


@pytest.mark.slow
def test_python_runs_are_described(tmp_path):
    import optax

    job = config.build(GROUND)
    driver = drivers.VMC(job.driver.hamiltonian, optax.sgd(0.1))
    driver.run(job.thing, steps=1, out=tmp_path / "run")
    settings = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert settings["kind"] == "custom" and settings["driver"]["class"] == "VMC" and settings["run"]["steps"] == 1
    with pytest.raises(ConfigError, match="made from Python"):
        config.load(tmp_path / "run" / "config.toml")
