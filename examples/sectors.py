"""Low spectrum of the Heisenberg square lattice, sector by sector: picture of the page on sectors.

Run: python examples/sectors.py [--small] [--out sectors_spectrum.png]
"""

import argparse

import jax

jax.config.update("jax_enable_x64", True)

import matplotlib.pyplot as plt
import numpy as np

import qml
import symmetries

parser = argparse.ArgumentParser()
parser.add_argument("--small", action="store_true")
parser.add_argument("--out", default="sectors_spectrum.png")
arguments = parser.parse_args()

lattice = qml.lattice.Square(2, 4) if arguments.small else qml.lattice.Square(4)
space = qml.hilbert.Spin(lattice.n_sites, magnetisation=0)
hamiltonian = qml.operator.Heisenberg(space, lattice)
group = symmetries.space_group(lattice)

momenta = [k for k in group.momenta() if k == group.star(k)[0]]
if not arguments.small:
    momenta = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (1, 1)]  # Gamma - X - M - back along the diagonal
names = {(0, 0): "Γ", (0, 2): "X", (2, 2): "M"}
markers = {"A1": "o", "A2": "v", "B1": "s", "B2": "D", "E": "P", "A'": "o", "A''": "v"}

fig, axes = plt.subplots(figsize=(7, 4.4), layout="constrained")
seen = {}
for sector in symmetries.sectors(group, internal=symmetries.SpinFlip()):
    count = sector.sector_dimension(hilbert=space) // sector.dimension
    if not count:
        continue
    energies = np.asarray(qml.exact.ground_state(hamiltonian, k=min(2, count), sector=sector).energies)
    irreps, flip = group.irreps(sector.momentum), sector.unitary[0].eigenvalue
    shift = 0.12 * (irreps.index(sector.irrep) - (len(irreps) - 1) / 2)
    color = "C0" if flip == 1 else "C3"
    marker = markers.get(sector.irrep, "o")
    place = momenta.index(sector.momentum) + shift
    axes.plot(np.full(len(energies), place), energies, marker, color=color, mfc=color if flip == 1 else "none", ms=6)
    seen.setdefault(sector.irrep, marker)
    print(f"{sector.label:28s} {np.round(energies, 6)}")

for irrep, marker in seen.items():
    axes.plot([], [], marker, color="0.4", label=irrep)
axes.plot([], [], "s", color="C0", label="flip=+1 (even spin)")
axes.plot([], [], "s", color="C3", mfc="none", label="flip=-1 (odd spin)")
axes.set_xticks(range(len(momenta)), [names.get(k, str(k)) if not arguments.small else str(k) for k in momenta])
axes.set(xlabel="momentum", ylabel="energy / J", title=f"Heisenberg, {lattice.n_sites} sites")
axes.legend(ncols=2, fontsize=8, loc="lower center", frameon=False)
fig.savefig(arguments.out, dpi=130)
