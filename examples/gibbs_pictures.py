"""Pictures of docs/gibbs.md: estimators against shots, thermodynamic curves, couplings beside the truth.

python examples/gibbs_pictures.py [--small] [FOLDER]      # --small draws the curves alone
"""

import pathlib
import sys

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import drivers
import qml
from qml.gibbs import KOBE, Circuit, DataObjective, LatentGibbs, PauliGibbs, ThermalObjective, TiedGibbs

SMALL = "--small" in sys.argv
FOLDER = pathlib.Path(next((a for a in sys.argv[1:] if not a.startswith("-")), "runs/gibbs_pictures"))
INK, BLUE, RED, GREEN = "#1f2430", "#2f6fab", "#c8553d", "#4f8a4c"


def panel(title, x, y, size=(6.4, 4.0)):
    figure = Figure(figsize=size, layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e6e8ec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def curves():
    """Energy, entropy and heat capacity of an Ising chain: dense on 8 sites, free fermions on 100."""
    figure, axes = panel("Transverse Ising chain, h = 1", r"temperature $1/\beta$", "per site")
    betas = np.geomspace(0.3, 8.0, 3 if SMALL else 40)
    few = 3 if SMALL else 8
    h = qml.operator.Ising(qml.hilbert.Spin(few), qml.lattice.Chain(few, periodic=False), j=-1.0, h=1.0)
    model = PauliGibbs(h.terms, np.array(list(h.terms.values())).real, hilbert=h.hilbert)

    @qml.linalg.jitted
    def numbers(beta):
        hot = model.with_params(beta * model.theta)
        capacity = hot.theta @ hot.hvp(hot.theta)
        return jnp.stack([hot.marginals() @ model.theta, hot.entropy(), capacity]) / few

    found = np.array([numbers(b) for b in betas])
    for k, (name, color) in enumerate((("energy", BLUE), ("entropy", GREEN), ("heat capacity", RED))):
        axes.semilogx(1 / betas, found[:, k], color=color, label=f"{name}, {few} sites")
    sites = 100
    long = [qml.gibbs.ising_chain(-np.ones(sites - 1), -np.ones(sites), b) for b in betas]
    energy = np.array([-(float(jnp.sum(f.zz)) + float(jnp.sum(f.x))) for f in long])
    entropy = np.array([float(f.log_partition) for f in long]) + betas * energy
    axes.semilogx(1 / betas, energy / sites, color=BLUE, linestyle="--", label="energy, 100 sites")
    axes.semilogx(1 / betas, entropy / sites, color=GREEN, linestyle="--", label="entropy, 100 sites")
    axes.set_xticks([0.2, 0.5, 1.0, 2.0], ["0.2", "0.5", "1", "2"])
    axes.set_xticks([], minor=True)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(0.0, 0.42))
    figure.savefig(FOLDER / "gibbs_curves.png")


def convergence():
    """Relative entropy of a latent state against steps, for several optimisers from one start."""
    import optax

    sites = 3
    h = qml.operator.Ising(qml.hilbert.Spin(sites), qml.lattice.Chain(sites), j=-1.0, h=1.0)
    start = LatentGibbs(KOBE(sites, 2), Circuit.layered(sites, 3)).random(jax.random.key(1))
    figure, axes = panel(f"Ising ring of {sites} at beta = 1", "step", r"$D(\rho \| \sigma_\beta)$")
    rules = {
        "Levenberg-Marquardt": qml.gibbs.levenberg_marquardt(),
        "natural gradient 0.1": qml.gibbs.natural_gradient(0.1),
        "published, f = 0": qml.gibbs.published_mirror(0.1, mix=0.0),
        "Adam 0.1": optax.adam(0.1),
    }
    for (name, rule), color in zip(rules.items(), (BLUE, GREEN, INK, RED)):
        run = drivers.QPMD(ThermalObjective(h, beta=1.0), optimizer=rule).run(start, steps=100)
        values = np.maximum(run.history["relative_entropy"], 1e-14)
        axes.semilogy(run.history.steps, values, color=color, label=name)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(FOLDER / "gibbs_convergence.png")


def couplings():
    """The same shots with free and with tied couplings."""
    tied = TiedGibbs([["ZZII", "IZZI", "IIZZ"], ["XIII", "IXII", "IIXI", "IIIX"]], jnp.array([-0.6, 0.5]))
    shots = tied.sample(jax.random.key(3), shots=300, readout=0.02)
    figure, axes = panel(f"{shots.shots} shots, 2 % readout errors", "term", r"coupling $\theta_j$")
    fits = {
        "each string its own": tied.free().with_theta(jnp.zeros(7)),
        "tied by symmetry": tied.with_params(jnp.zeros(2)),
    }
    for shift, (name, start), color in zip((-0.12, 0.12), fits.items(), (BLUE, GREEN)):
        run = drivers.QPMD(DataObjective(shots, "corrected"), step_size=1.0).run(start, steps=30)
        found = run.state.hamiltonian()
        places = np.arange(7) + shift
        axes.errorbar(places, found.values, yerr=2 * found.coefficients.error, fmt="o", color=color, capsize=2,
                      markersize=4, label=name)  # fmt: skip
    axes.scatter(np.arange(7), tied.free().theta, marker="_", s=300, color=RED, label="true")
    axes.set_xticks(np.arange(7), ["Z0 Z1", "Z1 Z2", "Z2 Z3", "X0", "X1", "X2", "X3"])
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(FOLDER / "gibbs_couplings.png")


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for draw in (curves,) if SMALL else (curves, convergence, couplings):
        draw()
        print(draw.__doc__)
