"""Ground states of the Heisenberg antiferromagnet on square and triangular clusters, in the fully symmetric sector.

    python benchmarks/largest_cluster.py            # all but those of 36 sites; one JSON line a cluster
    python benchmarks/largest_cluster.py square-32

Each line has the number of states of the sector, the energy for each site, the residual norm, wall and CPU seconds of
the two parts (basis; table and Lanczos), and the peak memory of the process.
"""

import argparse
import itertools
import json
import os
import resource
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

SQUARE, TRIANGLE = ((1.0, 0.0), (0.0, 1.0)), ((1.0, 0.0), (0.5, 3**0.5 / 2))
CLUSTERS = {  # cell, torus vectors, spin-flip eigenvalue, energy for each site in the literature
    "square-20": (SQUARE, ((4, 2), (-2, 4)), 1, None),
    "square-24": (SQUARE, ((4, 0), (0, 6)), 1, None),
    "triangular-24": (TRIANGLE, ((4, 0), (0, 6)), 1, None),
    "triangular-28": (TRIANGLE, ((4, 2), (-2, 6)), 1, None),
    "square-32": (SQUARE, ((4, 4), (-4, 4)), 1, -0.680179),
    "triangular-36": (TRIANGLE, ((6, 0), (0, 6)), 1, -0.560373),
    "square-36": (SQUARE, ((6, 0), (0, 6)), 1, -0.678872),
}


def solve(name: str, tolerance: float) -> dict:
    """Basis and ground state of one cluster."""
    import qml
    import symmetries

    cell, torus, flip, known = CLUSTERS[name]
    lattice = qml.lattice.Lattice(cell, torus)
    hilbert = qml.hilbert.Spin(lattice.n_sites, magnetisation=0)
    clock = [(time.perf_counter(), time.process_time())]
    sector = symmetries.Sector(symmetries.space_group(lattice), internal=symmetries.SpinFlip(flip))
    basis = qml.exact.SectorBasis(hilbert, sector)
    clock.append((time.perf_counter(), time.process_time()))
    found = qml.exact.ground_state(qml.operator.Heisenberg(hilbert, lattice), sector=basis, tolerance=tolerance)
    clock.append((time.perf_counter(), time.process_time()))
    parts = [[b - a for a, b in zip(one, two)] for one, two in itertools.pairwise(clock)]
    return {
        "cluster": name,
        "sites": lattice.n_sites,
        "sector": sector.label,
        "group": sector.group.order,
        "states": basis.size,
        "energy_per_site": float(found.energies[0]) / lattice.n_sites,
        "literature": known,
        "residual": float(found.residuals[0]),
        "basis_seconds": {"wall": parts[0][0], "cpu": parts[0][1]},
        "solve_seconds": {"wall": parts[1][0], "cpu": parts[1][1]},
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clusters", nargs="*", help=f"all but the last two of {', '.join(CLUSTERS)} if left out")
    parser.add_argument("--tolerance", type=float, default=1e-11)
    arguments = parser.parse_args()
    unknown = set(arguments.clusters) - set(CLUSTERS)
    if unknown:
        parser.error(f"no such clusters: {', '.join(unknown)}")
    import jax

    jax.config.update("jax_enable_x64", True)
    for name in arguments.clusters or [*CLUSTERS][:-2]:
        print(json.dumps(solve(name, arguments.tolerance)), flush=True)


if __name__ == "__main__":
    import pathlib
    import sys

    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
    main()
