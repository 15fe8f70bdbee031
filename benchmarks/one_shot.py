"""Lowest level in a fresh process, compilation included: NetKet and gradket by turns; one JSON line a case.

    pip install -e ".[bench]"
    OPENBLAS_NUM_THREADS=1 taskset -c 0 python benchmarks/one_shot.py tfim-16 tfim-18 tfim-20 heisenberg-18

Every solve has a process of its own, so nothing is compiled or cached before it. Counted are CPU time, wall time and
growth of the peak memory from the built operator to the energy; imports are not. Medians over the repeats.
"""

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("NETKET_NO_ASCII_LOGO", "1")

CASES = ("tfim-16", "tfim-18", "tfim-20", "heisenberg-18")


def operators(model: str, sites: int, code: str):
    """The same Hamiltonian in one of the codes."""
    if code == "NetKet":
        import netket as nk

        graph = nk.graph.Chain(sites)
        if model == "tfim":
            return nk.operator.IsingJax(nk.hilbert.Spin(0.5, sites), graph, h=1.0, J=-1.0)
        return nk.operator.Heisenberg(nk.hilbert.Spin(0.5, sites, total_sz=0), graph)
    import qml

    chain = qml.lattice.Chain(sites)
    if model == "tfim":
        return qml.operator.Ising(qml.hilbert.Spin(sites), chain, j=-1.0, h=1.0)
    return qml.operator.Heisenberg(qml.hilbert.Spin(sites, magnetisation=0), chain, 4.0)  # NetKet: Pauli matrices


def child(name: str, code: str) -> None:
    """Solve once and print what it took."""
    import jax
    import numpy as np

    jax.config.update("jax_enable_x64", True)
    model, sites = name.split("-")
    operator = operators(model, int(sites), code)
    if code == "NetKet":
        from netket.exact import lanczos_ed as solve
    else:
        from qml.exact import ground_state as solve
    gc.collect()  # what imports have left behind is not part of the solve
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, wall = time.process_time(), time.perf_counter()
    found = solve(operator, k=1)
    energy = float(np.asarray(found if code == "NetKet" else found.energies)[0])
    numbers = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "energy": energy}
    print(json.dumps({**numbers, "mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=["tfim-18", "heisenberg-18"], help=", ".join(CASES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    for name in arguments.cases:
        runs: dict[str, list[dict]] = {"NetKet": [], "gradket": []}
        for _ in range(arguments.repeats):
            for code, found in runs.items():
                command = [sys.executable, "-W", "ignore", __file__, "--child", name, code]
                output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                found.append(json.loads(output.splitlines()[-1]))
        middle = {c: {q: statistics.median(r[q] for r in f) for q in f[0]} for c, f in runs.items()}
        ratio = {q: middle["NetKet"][q] / middle["gradket"][q] for q in ("cpu", "wall", "mib")}
        difference = abs(middle["NetKet"]["energy"] - middle["gradket"]["energy"])
        print(json.dumps({"case": name, "ratio": ratio, "difference": difference, **middle}), flush=True)


if __name__ == "__main__":
    import pathlib

    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
    main()
