"""What the tables of a configuration may name, and how each is made: names choose from here, never from modules."""

import inspect
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import optax

import diffquantum
import qml
import symmetries
from drivers.integrators import RK4, Euler, Heun
from drivers.qpmd import QPMD
from drivers.rates import adjustable, staged
from drivers.trust import Trust
from qml._core.errors import ConfigError, unknown_name

Table = dict[str, Any]
Choices = Mapping[str, Callable]


def _full(model: Any, space: Any, chunk: int | None = None) -> qml.FullSumState:
    return qml.FullSumState(model, space, chunk=chunk)


def _sampled(
    model: Any,
    space: Any,
    key: Any,
    samples: int = 1024,
    chains: int | None = None,
    burn: int | None = None,
    chunk: int | None = None,
    capacity: int | None = None,
    sampler: Any = None,
) -> qml.MCState:
    sizes = {"burn": burn, "chunk": chunk, "capacity": capacity}
    return qml.MCState(model, space, samples, chains, key=key, sampler=sampler, **sizes)


def _rule(rule: str, space: Any, lattice: Any, hamiltonian: Any) -> Any:
    """A rule by its name; `default` is what a state takes where none is named."""
    rules: Choices = {
        "default": qml.sampler.Exchange if space.parts else qml.sampler.LocalFlip,
        "LocalFlip": qml.sampler.LocalFlip,
        "Exchange": qml.sampler.Exchange,
        "nearest": lambda: qml.sampler.Exchange(lattice.edges()),
        "HamiltonianMoves": lambda: qml.sampler.HamiltonianMoves(hamiltonian),
    }
    return rules[rule]() if rule in rules else unknown_name("rule", rule, rules)


def _metropolis(
    space: Any,
    lattice: Any,
    hamiltonian: Any,
    chains: int = 16,
    rule: str = "default",
    sweep: int | None = None,
    power: float | int = 2.0,
) -> Any:
    return qml.sampler.Metropolis(
        _rule(rule, space, lattice, hamiltonian), space, chains=chains, sweep=sweep, power=power
    )


def _tempering(
    space: Any,
    lattice: Any,
    hamiltonian: Any,
    chains: int = 16,
    rule: str = "default",
    betas: Any = 8,
    sweep: int | None = None,
    power: float | int = 2.0,
) -> Any:
    return qml.sampler.Tempering(
        _rule(rule, space, lattice, hamiltonian), space, chains=chains, betas=betas, sweep=sweep, power=power
    )


def _rbm_symm(
    lattice: Any,
    rngs: Any,
    alpha: float | int = 1,
    dtype: Any = float,
    std: float = 0.01,
    symmetry: str = "translations",
) -> Any:
    if symmetry not in GROUPS:
        unknown_name("symmetry of RBMSymm", symmetry, GROUPS)
    return qml.ansatz.RBMSymm(GROUPS[symmetry](lattice), alpha, dtype, std=std, rngs=rngs)


def _causal(network: Callable) -> Callable:
    """Makes an autoregressive wave function from the arguments of its network and `phase`, `order`, `dtype`."""

    def make(
        space: Any, rngs: Any, phase: bool = False, order: Any = None, dtype: Any = float, **sizes: Any
    ) -> qml.ansatz.Autoregressive:
        return qml.ansatz.Autoregressive(space, network(**sizes), phase=phase, order=order, dtype=dtype, rngs=rngs)

    own, sizes = inspect.signature(make).parameters, inspect.signature(network).parameters
    make.__signature__ = inspect.Signature([*list(own.values())[:-1], *sizes.values()])  # type: ignore[attr-defined]
    return make


def _phase(network: Callable) -> Callable:
    """Makes `Phase(network)` from the arguments of the network and `mixed`, which is for the driver."""

    def make(mixed: bool = False, **sizes: Any) -> qml.ansatz.Phase:
        if not isinstance(mixed, bool):
            raise ConfigError("Forces on phases are mixed or not.", got=mixed, expected="a bool", try_="mixed = true")
        return qml.ansatz.Phase(network(**sizes, **real))

    inner = inspect.signature(network.__init__ if inspect.isclass(network) else network).parameters
    real = {"phase": False} if "phase" in inner else {}
    sizes = [p for name, p in inner.items() if name not in ("self", *real)]
    mixed = inspect.Parameter("mixed", inspect.Parameter.KEYWORD_ONLY, default=False)
    make.__signature__ = inspect.Signature([*sizes, mixed])  # type: ignore[attr-defined]
    return make


def mixed_phases(reader: Any) -> bool:
    """Whether a file wants the forces on phases from two estimates.

    Raises:
        ConfigError: it is no file of a ground state.
    """
    mixed = bool(reader.resolved.get("phase", {}).get("mixed", False))
    if mixed and reader.kind != "ground_state":
        raise ConfigError(
            "Forces on phases are mixed of two estimates in runs for ground states alone.",
            got=f'[phase] mixed = true and kind = "{reader.kind}"',
            expected='kind = "ground_state"',
            try_="mixed = false",
        )
    return mixed


def _sgd(learning_rate: Any, steps: int, momentum: float | None = None, final_rate: Any = None) -> Any:
    return adjustable(optax.sgd(staged(learning_rate, final_rate, steps), momentum))


def _adam(learning_rate: Any, steps: int, b1: float = 0.9, b2: float = 0.999, final_rate: Any = None) -> Any:
    return adjustable(optax.adam(staged(learning_rate, final_rate, steps), b1, b2))


def _nothing() -> None:
    return None


def _levels(states: Any = 2, penalty: float | int | None = None) -> Table:
    if isinstance(states, bool) or not isinstance(states, int) or states < 1:
        raise ConfigError("Excited states are counted.", got=states, expected="an int >= 1", try_="states = 2")
    return {"states": states, "penalty": penalty}


def _fields(hilbert: Any, terms: Mapping[str, float]) -> Any:
    return qml.operator.PauliSum(terms, hilbert)


def _spinful(n_sites: int, n_up: int | None = None, n_down: int | None = None, n_fermions: int | None = None) -> Any:
    return qml.hilbert.SpinfulFermion(n_sites, n_up, n_down, n_fermions)


def _shots(file: str, method: str = "auto") -> Any:
    return qml.gibbs.DataObjective(qml.gibbs.ShotData.load(file), method)


def _expectations(file: str) -> Any:
    """A CSV file with the columns term, value and error."""
    try:
        rows = [line.split(",") for line in pathlib.Path(file).read_text(encoding="utf-8").split()]
        table = {word: (float(value), float(error)) for word, value, error in rows[1:]}
    except (OSError, ValueError) as problem:
        raise ConfigError(
            "This table of expectation values cannot be read.",
            got=f"{file}: {problem}",
            expected="lines term,value,error such as ZZI,0.31,0.01 under that heading",
            try_="a CSV file without spaces",
        ) from None
    return qml.gibbs.ExpectationObjective({w: v for w, (v, _) in table.items()}, [e for _, e in table.values()])


def _symmetric(hilbert: Any, lattice: Any, body: int = 2) -> Any:
    terms = qml.gibbs.PauliGibbs.local(hilbert, lattice, body).terms
    return qml.gibbs.TiedGibbs.symmetric(terms, symmetries.space_group(lattice).permutations, hilbert=hilbert)


def sector_of(reader: Any, lattice: Any) -> Any:
    """The sector that a file names, of the space group of the lattice or of its translations alone."""
    if not reader.has("sector"):
        return None
    wanted = reader.take("sector", {"momentum": None, "irrep": None, "group": "space_group"} | dict.fromkeys(INTERNAL))
    group = wanted["group"] if wanted["group"] in GROUPS else unknown_name("group", wanted["group"], GROUPS)
    momentum = tuple(wanted["momentum"]) if isinstance(wanted["momentum"], list) else wanted["momentum"]
    internal = tuple(make(wanted[name]) for name, make in INTERNAL.items() if wanted[name] is not None)
    several = isinstance(wanted["irrep"], list) and reader.kind == "excited_states"
    chosen: list = wanted["irrep"] if several else [wanted["irrep"]]
    found = [symmetries.Sector(GROUPS[group](lattice), momentum, irrep, internal) for irrep in chosen]
    return found if several else found[0]


GROUPS: Choices = {"translations": symmetries.translation_group, "space_group": symmetries.space_group}
INTERNAL: Choices = {"spin_flip": symmetries.SpinFlip, "particle_hole": symmetries.ParticleHole}
LATTICES: Choices = {
    name: getattr(qml.lattice, name)
    for name in (
        "Chain", "Ladder", "Square", "Triangular", "Honeycomb", "KitaevHoneycomb", "Kagome", "ShastrySutherland",
        "Cubic", "BCC", "FCC", "Diamond", "Pyrochlore",
    )
}  # fmt: skip
SPACES: Choices = {
    "Spin": qml.hilbert.Spin, "Boson": qml.hilbert.Boson,
    "SpinlessFermion": qml.hilbert.SpinlessFermion, "SpinfulFermion": _spinful,
}  # fmt: skip
HAMILTONIANS: Choices = {
    "PauliSum": _fields,
    **{
        name: getattr(qml.operator, name)
        for name in (
            "Ising", "XY", "XYZ", "XXZ", "Heisenberg", "J1J2", "J1J2J3", "Kitaev", "Rydberg", "LongRangeIsing",
            "LongRangeXXZ", "BoseHubbard", "tV", "tJ", "Hubbard", "ExtendedHubbard",
        )
    },
}  # fmt: skip
AUTOREGRESSIVE = ("CausalDense", "CausalConv", "CausalRNN", "CausalTransformer")
COMPLEX = ("RBM", "RBMSymm", "Jastrow", "MLP", "MeanField")  # have phases where their parameters are complex
ANSAETZE: Choices = {
    "RBM": qml.ansatz.RBM, "RBMSymm": _rbm_symm, "Jastrow": qml.ansatz.Jastrow, "MLP": qml.ansatz.MLP,
    "GCNN": qml.ansatz.GCNN, "ViT": qml.ansatz.ViT, "ResConv": qml.ansatz.ResConv, "ConvNeXt": qml.ansatz.ConvNeXt,
    "MeanField": qml.ansatz.MeanField,
    **{name: _causal(getattr(qml.ansatz, name)) for name in AUTOREGRESSIVE},
}  # fmt: skip
COMPLEX_HEADS = ("MLP", "GCNN", "ViT", "ResConv", "ConvNeXt")  # have phases unless `phase = false`
PHASES: Choices = {name: _phase(ANSAETZE[name]) for name in ANSAETZE if name not in AUTOREGRESSIVE}
STATES: Choices = {"sampled": _sampled, "full": _full}
SAMPLERS: Choices = {"Metropolis": _metropolis, "Tempering": _tempering}
SIGNS: Choices = {"Marshall": qml.ansatz.MarshallSign}
OPTIMIZERS: Choices = {"sgd": _sgd, "adam": _adam}
METRICS: Choices = {"SR": qml.estimate.SR}  # of time evolution
PRECONDITIONERS: Choices = {
    **METRICS, "SPRING": qml.estimate.SPRING, "MARCH": qml.estimate.MARCH, "none": _nothing,
}  # fmt: skip
TRUST: Choices = {"Trust": Trust, "none": _nothing}
LEVELS: Choices = {"penalty": _levels}
INTEGRATORS: Choices = {"Euler": Euler, "Heun": Heun, "RK4": RK4}
PROGRAMS: Choices = {"qsharp": diffquantum.load}
MODELS: Choices = {"local": qml.gibbs.PauliGibbs.local, "symmetric": _symmetric}
QPMD_RULES: Choices = {"QPMD": QPMD}
THERMAL: Choices = {"thermal": qml.gibbs.ThermalObjective}
DATA: Choices = {"shots": _shots, "expectations": _expectations}
DTYPES = {"float": float, "complex": complex, "float32": jnp.float32, "complex64": jnp.complex64}
