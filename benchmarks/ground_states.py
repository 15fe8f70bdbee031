"""Ground states with known energies: each problem from its own configuration, its curve and result written beside it.

    OPENBLAS_NUM_THREADS=1 python benchmarks/ground_states.py --list
    OPENBLAS_NUM_THREADS=1 python benchmarks/ground_states.py tfim-64 heisenberg-4x4

A problem's file `benchmarks/ground_states/NAME.toml` is what `python -m drivers run` takes. Written are `NAME.json`
(energy with error, relative error, steps, CPU and wall seconds, versions) and `NAME.csv` (step, energy, error,
V-score); of two states at once the gap, and error and V-score of the upper one. With `--out DIR` the run folders stay,
and a run that was interrupted goes on: the CPU seconds of all parts add up in DIR/NAME.cpu.
"""

import argparse
import csv
import json
import os
import pathlib
import sys
import tempfile
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
FOLDER = pathlib.Path(__file__).parent / "ground_states"

PROBLEMS = {
    # exact energy of the whole lattice, where it is from, relative error that is asked
    "tfim-64": (-81.495512668926, "free fermions", 1e-4),
    "heisenberg-4x4": (-11.228483208429, "exact diagonalisation", 1e-3),
    "j1j2-4x4": (-8.457923351395, "exact diagonalisation", 1e-3),
    "j1j2-4x4-b1": (-8.138989060843, "exact diagonalisation", 1e-3),
    "j1j2-4x4-gap": (0.318933362352, "exact diagonalisation", 1e-2),
    "heisenberg-6x6": (-0.6788721500 * 36, "exact diagonalisation", 2e-3),
    "j1j2-6x6": (-0.50380965389 * 36, "exact diagonalisation, Schulz et al. (1996)", 5e-3),
}
EXCITED = {"j1j2-4x4-b1": "j1j2-4x4"}  # the lowest state of another sector, and the ground state: gaps


def gap(name: str, energy: float, error: float, exact: float) -> dict:
    """Energy above the ground state, if that was run: two runs, so their errors are independent."""
    below = FOLDER / f"{EXCITED.get(name)}.json"
    if not below.exists():
        return {}
    ground = json.loads(below.read_text())
    found, right = energy - ground["energy"], exact - ground["exact"]
    bar = (error**2 + ground["error"] ** 2) ** 0.5
    return {"gap": found, "gap_error": bar, "exact_gap": right, "gap_reached": abs(found - right) + bar <= 1e-2 * right}


def seconds(out: pathlib.Path, cpu: float) -> float:
    """CPU seconds of all parts of a run, this one last."""
    kept = out.with_suffix(".cpu")
    cpu += float(kept.read_text()) if kept.exists() else 0.0
    kept.write_text(f"{cpu}")
    return cpu


def run(name: str, out: pathlib.Path, more: int | None = None) -> dict:
    """Run one problem, write its curve and its numbers; `more` steps of a run that is there already."""
    import drivers
    from drivers import config

    exact, source, asked = PROBLEMS[name]
    job = config.load(FOLDER / f"{name}.toml")
    begun = (out / "metrics.jsonl").exists()
    cpu, wall = time.process_time(), time.perf_counter()
    result = drivers.resume(out, steps=more) if begun else job.run(out=out)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    cpu = seconds(out, cpu)
    if result.status == drivers.Status.INTERRUPTED:
        return {"problem": name, "status": "interrupted", "steps": result.steps, "cpu_seconds": round(cpu, 1)}
    several = result.energy.mean.ndim == 1  # states at once: the number is the gap
    found = result.final["gap"] if several else result.energy
    energy, error = (float(number.ravel()[0]) for number in (found.mean, found.error))
    numbers = {
        "problem": name,
        "status": str(result.status),
        "message": result.message,
        "energy": energy,
        "error": error,
        "exact": exact,
        "source": source,
        "relative_error": (energy - exact) / abs(exact),
        "relative_error_bar": error / abs(exact),
        "asked": asked,
        "reached": abs(energy - exact) + error <= asked * abs(exact),
        **gap(name, energy, error, exact),
        **({"levels": [float(e) for e in result.final["energy"].mean]} if several else {}),
        "v_score": float(result.final["v_score"].max()),
        "steps": result.steps,
        "refused": int((result.history["taken"] == 0).sum()),
        "cpu_seconds": round(cpu, 1),
        "wall_seconds": round(wall, 1),
        "load": round(os.getloadavg()[0], 1),
        "environment": json.loads((out / "environment.json").read_text())["versions"],
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(numbers, indent=1) + "\n")
    with (FOLDER / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "energy", "error", "v_score"])
        columns = [result.history[c] for c in ("energy.mean", "energy.error", "v_score")]
        columns = [c[:, 1] - c[:, 0] for c in columns[:1]] + [c[:, 1] for c in columns[1:]] if several else columns
        rows = zip(result.history.steps, *columns, strict=True)
        writer.writerows([int(s), f"{e:.9g}", f"{d:.3g}", f"{v:.4g}"] for s, e, d, v in rows)
    return numbers


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=", ".join(PROBLEMS))
    parser.add_argument("--list", action="store_true", help="name the problems")
    parser.add_argument("--out", type=pathlib.Path, help="folder that keeps the run folders")
    parser.add_argument("--more", type=int, help="steps to go on with a run that was interrupted; else what is left")
    arguments = parser.parse_args()
    if arguments.list or not arguments.names:
        for name, (exact, source, asked) in PROBLEMS.items():
            print(f"{name:16} {exact:.9f}  {source}; asked: {asked:g}")
        return
    import jax

    jax.config.update("jax_enable_x64", True)
    for name in arguments.names:
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "run" if arguments.out is None else arguments.out / name
            print(json.dumps(run(name, out, arguments.more)), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
    main()
