"""Jobs from TOML files: every key is known, and names choose from tables, never from modules.

A file has a `kind` and one table for each object of the job; the keys of a table are the arguments of what its `name`
chooses:

```toml
kind = "ground_state"               # ground_state | excited_states | dynamics | program | thermal | learn
seed = 1

[lattice]
name = "Square"
length_x = 4

[hamiltonian]
name = "J1J2"
j2 = 0.5

[sector]
irrep = "A1"                        # momentum = [0, 0]; spin_flip = 1, particle_hole = 1: eigenvalues

[ansatz]
name = "GCNN"                       # RBM | RBMSymm | Jastrow | MLP | MeanField | GCNN | ViT | ResConv | ConvNeXt
                                    # CausalDense | CausalConv | CausalRNN | CausalTransformer: sampled directly
layers = 2

[phase]                             # a factor exp(i f) with a network f, one of those above
name = "MLP"
mixed = true                        # its forces from two estimates, see `drivers.VMC(phases=True)`

[signs]                             # a factor of the wave function
name = "Marshall"

[state]
name = "sampled"                    # or "full": the sum over all configurations
samples = 1024

[sampler]
power = 1.0                         # draws from |psi|, and weighs

[optimizer]
name = "sgd"
learning_rate = 0.1                 # or stages: [[steps, rate], ...]
final_rate = 0.01                   # half a cosine from the first rate to this one over the steps of the run

[precondition]
name = "SPRING"                     # SR | SPRING | MARCH | none

[run]
steps = 300
```

`[trust]` is the judge of the steps. `excited_states` takes `[excited]` (`states = 2`, `penalty`) too, and a list of
irreps: one for each state.
"""

import dataclasses
import inspect
import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

import diffquantum
import qml
from drivers.base import AbstractDriver
from drivers.choices import (
    ANSAETZE,
    AUTOREGRESSIVE,
    COMPLEX,
    COMPLEX_HEADS,
    DATA,
    DTYPES,
    HAMILTONIANS,
    INTEGRATORS,
    LATTICES,
    LEVELS,
    METRICS,
    MODELS,
    OPTIMIZERS,
    PHASES,
    PRECONDITIONERS,
    PROGRAMS,
    QPMD_RULES,
    SAMPLERS,
    SIGNS,
    SPACES,
    STATES,
    THERMAL,
    TRUST,
    Choices,
    Table,
    mixed_phases,
    sector_of,
)
from drivers.excited import Excited
from drivers.measure import FRESH
from drivers.program import ProgramFit
from drivers.tdvp import TDVP
from drivers.vmc import VMC
from qml._core.errors import ConfigError, unknown_name

STEPS = {"steps": 100, "checkpoint_every": 100}
TIMES = {"time": None, "steps": None, "every": None, "checkpoint_every": 100, "imaginary": False}
_WAVES = "lattice space hamiltonian sector ansatz phase signs sampler state"
TABLES = {
    "ground_state": f"{_WAVES} optimizer precondition trust observe run",
    "excited_states": f"{_WAVES} optimizer precondition excited trust observe run",
    "dynamics": f"{_WAVES} integrator precondition observe run",
    "program": "program observable sampling optimizer run",
    "thermal": "lattice hamiltonian objective model driver run",
    "learn": "lattice objective model driver run",
}


@dataclasses.dataclass(frozen=True)
class Job:
    """A run that a file describes.

    Args:
        driver: the driver.
        thing: what it acts on.
        options: further arguments of `driver.run`.
        settings: the whole table with all defaults written out.
    """

    driver: AbstractDriver
    thing: Any
    options: Table
    settings: Table

    def run(self, **changes: Any) -> Any:
        """Run it; keyword arguments of `driver.run` may be added."""
        run = {**self.settings.get("run", {}), **{k: v for k, v in changes.items() if k in (*STEPS, *TIMES)}}
        settings = {**self.settings, "run": {k: v for k, v in run.items() if v is not None}}
        return self.driver.run(self.thing, **{**self.options, "settings": settings, **changes})


class _Reader:
    """The tables of one file, handed out once each; what is resolved is kept."""

    def __init__(self, table: Table, folder: pathlib.Path):
        self.kind = table.get("kind")
        if self.kind == "custom":
            raise ConfigError(
                "This run was made from Python, and its file does not describe it wholly.",
                got='kind = "custom"',
                expected="a file with one of the kinds " + ", ".join(TABLES),
                try_="python -m drivers resume DIR, which needs nothing but the folder",
            )
        if self.kind not in TABLES:
            unknown_name("kind of job", self.kind, TABLES)
        known = ["kind", "seed", *TABLES[self.kind].split()]
        for key in table:
            if key not in known:
                unknown_name(f"key of a {self.kind} file", key, known)
        self.seed = table.get("seed", 0)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ConfigError("The seed is a number.", got=self.seed, expected="an int >= 0", try_="seed = 0")
        self.table, self.folder = table, folder
        self.resolved: Table = {"kind": self.kind, "seed": self.seed}

    def has(self, where: str) -> bool:
        return where in self.table

    def inner(self, where: str) -> Table:
        """One table of the file, empty where it is missing."""
        table = self.table.get(where, {})
        if not isinstance(table, Mapping):
            raise ConfigError(f"{where} is no table.", got=repr(table), expected=f"[{where}]", try_=f"[{where}]")
        return dict(table)

    def make(self, where: str, choices: Choices, default: str | None = None, **given: Any) -> Any:
        """Call what the table's `name` chooses with the table's keys and what is given."""
        table = self.inner(where)
        name = table.pop("name", default)
        if name is None:
            names = ", ".join(choices)
            raise ConfigError(f"[{where}] needs a name.", got=table, expected=f"one of {names}", try_="name = ...")
        if name not in choices:
            unknown_name(where, name, choices)
        maker = choices[name]
        parameters = inspect.signature(maker.__init__ if inspect.isclass(maker) else maker).parameters
        own = [p for p in parameters if p not in (*given, "self", "return")]
        for key in table:
            if key not in own:
                unknown_name(f"key of [{where}] {name}", key, ["name", *own])
        wanted = {k: v for k, v in given.items() if k in parameters}
        missing = [p for p in own if parameters[p].default is inspect.Parameter.empty and p not in table]
        missing += [p for p, v in wanted.items() if v is None and parameters[p].default is inspect.Parameter.empty]
        if missing:
            raise ConfigError(
                f"[{where}] {name} needs {missing[0]}.",
                got=f"keys {', '.join(table) or 'none'}",
                expected=f"also {', '.join(missing)}",
                try_=f"a table [{missing[0]}]" if missing[0] in wanted else f"{missing[0]} = ... under [{where}]",
            )
        self._resolve(where, name, {p: table.get(p, parameters[p].default) for p in own})
        try:
            return maker(**wanted, **{k: self._value(k, v) for k, v in table.items()})
        except (TypeError, AttributeError) as error:
            raise ConfigError(
                f"[{where}] {name} does not take these values.",
                got=f"{table}: {error}",
                expected="values of the right types",
                try_="the documentation of that name",
            ) from None

    def take(self, where: str, defaults: Table) -> Table:
        """The keys of a table that makes nothing."""
        table = self.inner(where)
        for key in table:
            if key not in defaults:
                unknown_name(f"key of [{where}]", key, defaults)
        full = {**defaults, **table}
        self.resolved[where] = {k: v for k, v in full.items() if v is not None}
        return full

    def _resolve(self, where: str, name: str, values: Table) -> None:
        plain = {}
        for key, value in values.items():
            if value in (float, complex):
                value = value.__name__
            if key in ("file", "source") and isinstance(value, str):
                value = self._path(value)
            if isinstance(value, bool | int | float | str | list | dict):
                plain[key] = value
            elif isinstance(value, tuple):
                plain[key] = list(value)
        self.resolved[where] = {"name": name, **plain}

    def _value(self, key: str, value: Any) -> Any:
        if key == "dtype":
            return DTYPES[value] if value in DTYPES else unknown_name("dtype", value, DTYPES)
        if key in ("file", "source") and isinstance(value, str):
            return self._path(value)
        return tuple(value) if isinstance(value, list) else value

    def _path(self, value: str) -> str:
        """A file name relative to the configuration; Q# text stays as it is."""
        return value if "{" in value else str((self.folder / value).resolve())


def build(table: Table, folder: str | pathlib.Path = ".") -> Job:
    """Make the job that a table describes.

    Args:
        table: as read from TOML.
        folder: where relative file names start.

    Raises:
        ConfigError: an unknown kind, name or key (with the nearest known one), a missing key, or a wrong value.

    Example:
        >>> from drivers.config import build
        >>> job = build({"kind": "ground_state", "lattice": {"name": "Chain", "length": 4},
        ...              "hamiltonian": {"name": "Ising", "j": -1.0, "h": 1.0}, "state": {"name": "full"}})
        >>> job.settings["optimizer"]["learning_rate"], type(job.driver).__name__
        (0.05, 'VMC')
    """
    reader = _Reader(table, pathlib.Path(folder))
    make = {"program": _program, "thermal": _gibbs, "learn": _gibbs}.get(str(reader.kind), _variational)
    driver, thing, options = make(reader)
    return Job(driver, thing, options, reader.resolved)


def load(path: str | pathlib.Path) -> Job:
    """Make the job of a TOML file.

    Raises:
        ConfigError: there is no such file, it is no TOML, or `build` refuses it.
    """
    path = pathlib.Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("There is no such file.", got=str(path), expected="a TOML file", try_=str(error)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("The file is no TOML.", got=str(error), expected="TOML", try_="mending that line") from None
    return build(table, path.parent)


def _defaulted(reader: _Reader, where: str, **defaults: Any) -> None:
    """Give a table that the file leaves out, or leaves incomplete, its defaults."""
    reader.table = {**reader.table, where: {**defaults, **reader.inner(where)}}


def _variational(reader: _Reader) -> tuple[AbstractDriver, Any, Table]:
    evolves = reader.kind == "dynamics"
    lattice = reader.make("lattice", LATTICES)
    space = reader.make("space", SPACES, "Spin", n_sites=lattice.n_sites)
    hamiltonian = reader.make("hamiltonian", HAMILTONIANS, hilbert=space, lattice=lattice)
    sector = sector_of(reader, lattice)
    if evolves:  # a wave function that evolves needs phases
        name = reader.inner("ansatz").get("name", "RBM")
        defaults = {"dtype": "complex"} if name in COMPLEX else {"phase": True} if name in AUTOREGRESSIVE else {}
        _defaulted(reader, "ansatz", **defaults)
    key = jax.random.key(reader.seed)
    sampler = _sampler(reader, lattice, space, hamiltonian)
    if reader.kind == "excited_states":
        levels = reader.make("excited", LEVELS, "penalty")
        keys = jax.random.split(key, levels["states"])
        own = sector if isinstance(sector, list) else [sector] * len(keys)
        if len(own) != len(keys):
            raise ConfigError("One irrep a state.", got=len(own), expected=len(keys), try_='irrep = ["A1", "B1"]')
        thing: Any = [_state(reader, lattice, space, s, sampler, k) for s, k in zip(own, keys, strict=True)]
    else:
        levels, thing = {}, _state(reader, lattice, space, sector, sampler, key)
    if not reader.has("precondition"):
        _defaulted(reader, "precondition", **({"cutoff": 1e-8} if evolves else {"shift": 1e-3}))
    metric = reader.make("precondition", METRICS if evolves else PRECONDITIONERS, "SR")
    letters = reader.inner("observe")
    observe = {name: qml.operator.total(space, str(letter)) / lattice.n_sites for name, letter in letters.items()}
    if observe:
        reader.resolved["observe"] = letters
    options: Table = {"observe": observe or None}
    if evolves or levels:
        mixed_phases(reader)
    if evolves:
        if not reader.has("integrator"):
            _defaulted(reader, "integrator", rtol=1e-3)
        options |= reader.take("run", TIMES)
        integrator = reader.make("integrator", INTEGRATORS, "Heun")
        return TDVP(hamiltonian, integrator, metric, options.pop("imaginary")), thing, options
    options |= reader.take("run", {**STEPS, "fresh": FRESH})
    optimizer = _optimizer(reader, options["steps"])
    rules = {"trust": reader.make("trust", TRUST, "Trust"), "fresh": options.pop("fresh")}
    if levels:
        return Excited(hamiltonian, optimizer, metric, penalty=levels["penalty"], **rules), thing, options
    return VMC(hamiltonian, optimizer, metric, phases=mixed_phases(reader), **rules), thing, options


def _sampler(reader: _Reader, lattice: Any, space: Any, hamiltonian: Any) -> Any:
    """The sampler that a file names; `None` leaves it to the state."""
    if not reader.has("sampler"):
        return None
    if reader.inner("state").get("name", "sampled") != "sampled":
        raise ConfigError(
            "A full sum draws no samples.",
            got='[sampler] beside [state] name = "full"',
            expected="one of them",
            try_='[state] name = "sampled"',
        )
    return reader.make("sampler", SAMPLERS, "Metropolis", space=space, lattice=lattice, hamiltonian=hamiltonian)


def _state(reader: _Reader, lattice: Any, space: Any, sector: Any, sampler: Any, key: Any) -> Any:
    """A state with the file's ansatz, times its phase, projected on the sector, and its signs."""
    model_key, chain_key = jax.random.split(key)
    rngs = nnx.Rngs(int(jax.random.key_data(model_key)[0]) % 2**31)
    if reader.has("phase") and reader.inner("ansatz").get("name") in COMPLEX_HEADS:  # it is the amplitude alone
        _defaulted(reader, "ansatz", phase=False)
    model = reader.make("ansatz", ANSAETZE, "RBM", space=space, lattice=lattice, sector=sector, rngs=rngs)
    if reader.has("phase"):
        places = {"space": space, "lattice": lattice, "sector": sector, "rngs": rngs}
        model = qml.ansatz.Product(model, reader.make("phase", PHASES, "MLP", **places))
    if sector is not None and not isinstance(model, qml.ansatz.GCNN):
        model = qml.ansatz.Symmetrised(model, sector)
    if reader.has("signs"):
        model = qml.ansatz.Product(model, reader.make("signs", SIGNS, "Marshall", space=space, lattice=lattice))
    return reader.make("state", STATES, "sampled", model=model, space=space, key=chain_key, sampler=sampler)


def _optimizer(reader: _Reader, steps: Any) -> Any:
    if not reader.has("optimizer"):
        _defaulted(reader, "optimizer", learning_rate=0.05)
    steps = steps if isinstance(steps, int) else 0  # the driver refuses what is no number of steps
    return reader.make("optimizer", OPTIMIZERS, "sgd", steps=steps)


def _program(reader: _Reader) -> tuple[AbstractDriver, Any, Table]:
    program = reader.make("program", PROGRAMS, "qsharp")
    terms = reader.inner("observable")
    if terms:
        reader.resolved["observable"] = terms
    observable = qml.operator.PauliSum(terms) if terms else None
    shots = reader.take("sampling", {"shots": None})["shots"] if reader.has("sampling") else None
    energy = diffquantum.expectation(program, observable, shots=shots)
    options = reader.take("run", {**STEPS, "theta": [0.1] * len(program.parameters)})
    driver = ProgramFit(energy, _optimizer(reader, options["steps"]))
    theta = jnp.asarray(options.pop("theta"), float)
    return driver, theta, {**options, "key": jax.random.key(reader.seed)}


def _gibbs(reader: _Reader) -> tuple[AbstractDriver, Any, Table]:
    lattice = reader.make("lattice", LATTICES)
    space = qml.hilbert.Spin(lattice.n_sites)
    model = reader.make("model", MODELS, "local", hilbert=space, lattice=lattice)
    if reader.kind == "thermal":
        hamiltonian = reader.make("hamiltonian", HAMILTONIANS, hilbert=space, lattice=lattice)
        objective = reader.make("objective", THERMAL, "thermal", hamiltonian=hamiltonian)
    else:
        objective = reader.make("objective", DATA, "shots")
    driver = reader.make("driver", QPMD_RULES, "QPMD", objective=objective)
    return driver, model, {**reader.take("run", STEPS), "key": jax.random.key(reader.seed)}
