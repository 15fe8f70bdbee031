"""The three jobs on real input, each beside its exact answer, in a few minutes."""

import dataclasses
import importlib.resources
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import diffquantum
import qml
import symmetries
from diffquantum.compiler import context
from diffquantum.estimate import tuned
from drivers import plot
from drivers.integrators import Heun
from drivers.program import ProgramFit
from drivers.qpmd import QPMD
from drivers.tdvp import TDVP
from drivers.vmc import VMC
from qml.estimate.stats import Stats, format_error

POINT = (1.0, 0.7)  # theta and phi of the Q# program


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: a found number beside the exact one.

    Args:
        quantity: what it is.
        found: the number.
        exact: the exact number.
        error: one standard error, or zero.
    """

    quantity: str
    found: float
    exact: float
    error: float = 0.0

    def cells(self) -> tuple[str, str, str, str]:
        """The quantity, the two numbers, and their difference (in standard errors where there is one)."""
        gap = self.found - self.exact
        difference = f"{gap:+.1e}" + (f"  ({gap / self.error:+.1f} sigma)" if self.error > 0 else "")
        digits = format_error(self.found, self.error) if self.error > 0 else f"{self.found:.8f}"
        return self.quantity, digits, f"{self.exact:.8f}", difference


def _row(quantity: str, found: Stats, exact: Any) -> Row:
    return Row(quantity, float(jnp.real(found.mean)), float(exact), float(found.error))


def demo(out: pathlib.Path, small: bool = False) -> int:
    """Run all jobs and print the table.

    Args:
        out: a folder for their run directories.
        small: fewer steps and smaller systems.

    Returns:
        0.
    """
    from rich.console import Console
    from rich.table import Table

    begin = time.monotonic()
    console = Console()
    jobs = (
        ("Neural quantum states: ground state", ground_state),
        ("Neural quantum states: quench", quench),
        ("A Q# program with an unbounded loop", program),
        ("Gibbs state by mirror descent", thermal),
        ("Hamiltonian learned from shots", learning),
    )
    for title, job in jobs:
        start = time.monotonic()
        table = Table("", "found", "exact", "difference", title=title, title_justify="left", title_style="bold")
        rows = job(_free(out, job.__name__), small)
        for row in rows:
            table.add_row(*row.cells())
        console.print(table)
        console.print(f"{time.monotonic() - start:.0f} s\n")
    console.print(f"All in {time.monotonic() - begin:.0f} s. Run directories and plots are in {out}.")
    return 0


def _free(out: pathlib.Path, name: str) -> pathlib.Path:
    """The folder of one job, numbered where it is there already."""
    number = 1
    while (out / f"{name}-{number}").exists():
        number += 1
    return out / f"{name}-{number}"


def ground_state(out: pathlib.Path, small: bool) -> list[Row]:
    """The frustrated J1-J2 square lattice, J2/J1 = 0.5, by VMC with a machine projected on the symmetric sector."""
    lattice = qml.lattice.Square(4, 2 if small else 4, periodic=(True, not small))
    hilbert = qml.hilbert.Spin(lattice.n_sites, magnetisation=0)
    hamiltonian = qml.operator.J1J2(hilbert, lattice, j1=1.0, j2=0.5)
    exact = float(qml.exact.ground_state(hamiltonian).energies[0])
    sector = symmetries.Sector(symmetries.space_group(lattice), momentum=(0, 0))
    machine = qml.ansatz.RBM(hilbert, dtype=complex, std=0.05, rngs=nnx.Rngs(0))
    ansatz = qml.ansatz.Symmetrised(machine, sector) * qml.ansatz.MarshallSign(hilbert, lattice)
    if small:  # few enough configurations to sum over
        state = qml.FullSumState(ansatz, hilbert)
    else:
        state = qml.MCState(ansatz, hilbert, samples=256, chains=64, key=jax.random.key(1))
    steps = 50
    rate = optax.cosine_decay_schedule(0.2, steps, 0.15)  # to 0.03
    driver = VMC(hamiltonian, optax.sgd(rate), precondition=qml.estimate.SR(shift=1e-3))
    result = driver.run(state, steps=steps, out=out)
    plot.energy(result.history, exact, out=out / "plots" / "energy.png", title="J1-J2 square lattice, J2 / J1 = 0.5")
    per_site = result.energy / lattice.n_sites
    return [
        _row("energy", result.energy, exact),
        _row("energy per site", per_site, exact / lattice.n_sites),
    ]


def quench(out: pathlib.Path, small: bool) -> list[Row]:
    """A transverse-field Ising chain after a sudden change of the field, by TDVP."""
    lattice = qml.lattice.Chain(4 if small else 8)
    hilbert = qml.hilbert.Spin(lattice.n_sites)
    model = qml.ansatz.RBM(hilbert, alpha=2, dtype=complex, std=0.05, rngs=nnx.Rngs(0))
    state = qml.FullSumState(model, hilbert)
    hamiltonian = qml.operator.Ising(hilbert, lattice, j=-1.0, h=2.0)
    observe = {"mx": qml.operator.total(hilbert, "X") / lattice.n_sites}
    driver = TDVP(hamiltonian, Heun(rtol=1e-3), precondition=qml.estimate.SR(cutoff=1e-8))
    result = driver.run(state, time=0.2 if small else 1.0, every=0.05, observe=observe, out=out)
    times = result.history["time"]
    vectors = qml.exact.evolve(hamiltonian, state.to_array(), times).vectors
    exact = np.array([float(np.real(qml.exact.expect(v, observe["mx"]))) for v in vectors])
    plot.observable(
        result.history, "mx", exact, out=out / "plots" / "mx.png", label=r"$\langle X\rangle$", title="quench to h = 2"
    )
    found = result.history["mx"]
    half = len(times) // 2
    return [Row(f"<X> at t = {times[i]:.2f}", float(found[i]), float(exact[i])) for i in (half, len(times) - 1)]


def program(out: pathlib.Path, small: bool) -> list[Row]:
    """Mean and derivative of a Q# operation whose loop has no bound, in three ways."""
    text = importlib.resources.files("drivers").joinpath("data", "rus.qs").read_text(encoding="utf-8")
    loaded = diffquantum.load(text, entry="RusZ")
    theta = jnp.array(POINT)
    closed = jax.value_and_grad(_closed_form)(theta)
    exact = jax.value_and_grad(diffquantum.expectation(loaded))(theta)
    shots = 4_000 if small else 400_000
    value_key, gradient_key, pilot_key = jax.random.split(jax.random.key(0), 3)
    law = tuned(loaded, None, theta, pilot_key)
    sampled = diffquantum.expectation(loaded, shots=shots, loops=law)
    value, gradient = sampled(theta, value_key), sampled.gradient(theta, gradient_key)
    rows = [Row("mean, loop solved", float(exact[0]), float(closed[0])), _row("mean, shots", value, closed[0])]
    for j, name in enumerate(loaded.parameters):
        true = float(closed[1][j])
        rows += [
            Row(f"d/d{name}, loop solved", float(exact[1][j]), true),
            _row(f"d/d{name}, random insertion", gradient[j], true),
            _differences(text, j, shots // 10, true),
        ]
    fit = ProgramFit(diffquantum.expectation(loaded), optax.adam(0.1)).run(theta, steps=20 if small else 100, out=out)
    plot.energy(fit.history, out=out / "plots" / "energy.png", title="mean of RusZ under descent")
    return rows


def _closed_form(theta: Any) -> Any:
    """The mean of `RusZ`: the number of turns is geometric, so the series sums up."""
    p = jnp.sin(theta[0] / 2) ** 2
    ratio = p / (1 - (1 - p) * jnp.exp(1j * theta[1]))
    return (1 - ratio.real) / 2


def _differences(text: str, index: int, shots: int, true: float) -> Row:
    """Central differences of shots of the Q# simulator, which knows nothing of this package."""
    step = 0.1
    means, variances = [], []
    for seed, sign in enumerate((1, -1)):
        point = [x + sign * step * (i == index) for i, x in enumerate(POINT)]
        with context(target=False) as simulator:
            simulator.eval(text)
            samples = simulator.run(f"RusZ({point[0]!r}, {point[1]!r})", shots, seed=10 * index + seed)
        ones = np.array([str(s).endswith("One") for s in samples], float)
        means.append(ones.mean())
        variances.append(ones.var(ddof=1) / shots)
    error = float(np.sqrt(sum(variances))) / (2 * step)
    name = ("theta", "phi")[index]
    return Row(f"d/d{name}, Q# shots differenced", float(means[0] - means[1]) / (2 * step), true, error)


def thermal(out: pathlib.Path, small: bool) -> list[Row]:
    """The Gibbs state of a Heisenberg chain at inverse temperature 1."""
    lattice = qml.lattice.Chain(4 if small else 6)
    hilbert = qml.hilbert.Spin(lattice.n_sites)
    hamiltonian = qml.operator.Heisenberg(hilbert, lattice)
    model = qml.gibbs.PauliGibbs.local(hilbert, lattice, body=2)
    driver = QPMD(qml.gibbs.ThermalObjective(hamiltonian, beta=1.0), step_size=0.5)
    result = driver.run(model, steps=50, key=jax.random.key(0), out=out)
    plot.energy(result.history, out=out / "plots" / "objective.png", title="mirror descent")
    exact = qml.exact.thermal_state(hamiltonian, 1.0)
    return [
        Row("energy", float(jnp.real(result.state.expect(hamiltonian).mean)), float(exact.energy)),
        Row("entropy", float(result.state.entropy()), float(exact.entropy)),
        Row("log Z", float(result.state.log_partition()), float(exact.log_partition)),
    ]


def learning(out: pathlib.Path, small: bool) -> list[Row]:
    """Couplings of a chain from simulated shots of its thermal state in random Pauli bases."""
    lattice = qml.lattice.Chain(3 if small else 4)
    hilbert = qml.hilbert.Spin(lattice.n_sites)
    model = qml.gibbs.PauliGibbs.local(hilbert, lattice, body=2)
    draw, measure = jax.random.split(jax.random.key(3))
    theta = 0.4 * jax.random.normal(draw, model.theta.shape)
    shots = model.with_theta(theta).sample(measure, shots=20_000)
    result = QPMD(qml.gibbs.DataObjective(shots), step_size=0.5).run(model, steps=100, out=out)
    learned = result.state.hamiltonian(beta=1.0)
    plot.coefficients(result.state, theta, out=out / "plots" / "coefficients.png", title="learned couplings")
    found, error = np.asarray(learned.coefficients.mean), np.asarray(learned.coefficients.error)
    largest = np.argsort(-np.abs(np.asarray(theta)))[:3]
    rows = [Row(learned.terms[j], float(found[j]), float(theta[j]), float(error[j])) for j in largest]
    gap = found - np.asarray(theta)
    chi_squared = float(gap @ np.linalg.solve(np.asarray(learned.covariance), gap)) / len(gap)
    return [*rows, Row(f"chi^2 / {len(gap)} couplings", chi_squared, 1.0, float(np.sqrt(2 / len(gap))))]
