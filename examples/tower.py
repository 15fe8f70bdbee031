"""Tower of states and low levels by momentum of the 4x4 Heisenberg and J1-J2 models, as a picture.

python examples/tower.py [tower.png]
"""

import sys

import jax
import numpy as np

import qml
import symmetries

jax.config.update("jax_enable_x64", True)

LATTICE = qml.lattice.Square(4, 4)
TOP = -6.4  # levels above are not drawn
GROUP = symmetries.space_group(LATTICE)
PATH = [("Γ", (0, 0)), ("", (1, 0)), ("X", (2, 0)), ("", (2, 1)), ("M", (2, 2)), ("", (1, 1)), ("Γ", (0, 0))]


def levels(j2: float, magnetisation: int, momentum: tuple[int, int]) -> np.ndarray:
    """All levels at one momentum among states of one magnetisation, each multiplet of an irrep once."""
    space = qml.hilbert.Spin(16, magnetisation=magnetisation)
    h = qml.operator.J1J2(space, LATTICE, j1=1.0, j2=j2)
    bases = [qml.exact.SectorBasis(space, symmetries.Sector(GROUP, momentum, i)) for i in GROUP.irreps(momentum)]
    return np.sort(np.concatenate([np.asarray(qml.exact.spectrum(h, sector=b).energies) for b in bases if b.size]))


def of_spin(j2: float, momentum: tuple[int, int], spins: range) -> dict[int, np.ndarray]:
    """Levels of each total spin S: those with Sz = S that do not come back at Sz = S + 1."""
    by_magnetisation = {m: levels(j2, m, momentum) for m in range(spins.start, spins.stop + 1)}
    found = {}
    for spin in spins:
        mine, higher = list(by_magnetisation[spin]), by_magnetisation[spin + 1]
        for energy in higher:
            mine.pop(int(np.argmin(np.abs(np.array(mine) - energy))))
        found[spin] = np.array(mine)
    return found


def main(file: str, small: bool) -> None:
    """Compute and draw; `small` leaves out most of the points."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), constrained_layout=True)
    momenta = (((2, 0), "k = X", "x", "0.6"), ((0, 0), "k = Γ", "o", "C0"), ((2, 2), "k = M", "s", "C3"))
    for momentum, name, marker, color in momenta[1:] if small else momenta:
        for spin, energies in of_spin(0.0, momentum, range(3 if small else 0, 6)).items():
            low = energies[:3]
            left.plot([spin * (spin + 1)] * len(low), low, marker, color=color, label=None if spin else name)
    left.set(xlabel="S(S + 1)", ylabel="energy / J", title="Heisenberg 4x4: tower of states")
    left.legend(loc="lower right")
    for place, (_, momentum) in enumerate([] if small else PATH):
        for spin, energies in of_spin(0.5, momentum, range(3)).items():
            low = energies[energies < TOP]
            label = None if place else f"S = {spin}"
            right.plot([place] * len(low), low, "_", color=f"C{spin}", ms=24 - 6 * spin, mew=2, label=label)
    right.set(title="J1-J2 4x4 at J2 = 0.5: levels by momentum", ylabel="energy / J1", ylim=(-8.6, TOP))
    right.set_xticks(range(len(PATH)), [name for name, _ in PATH])
    if not small:
        right.legend(loc="lower center")
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    names = [word for word in sys.argv[1:] if word != "--small"]
    main(names[0] if names else "tower.png", "--small" in sys.argv)
