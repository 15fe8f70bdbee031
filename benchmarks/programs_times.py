"""CPU seconds of exact values and gradients: the 18 test programs, larger loops, long loops, many parameters.

`taskset -c 0,1 python benchmarks/programs_times.py`
"""

import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import jax
import numpy as np

import diffquantum

jax.config.update("jax_enable_x64", True)
ROOT = pathlib.Path(__file__).parents[1] / "tests"
KNOWN = json.loads((ROOT / "reference" / "programs.json").read_text())["programs"]


def wide(qubits: int, chance: float) -> str:
    """A loop that turns and entangles some qubits until a flag is One; `chance` a turn."""
    turns = " ".join(f"Ry(t[{2 * q}], qs[{q}]); Rx(t[{2 * q + 1}], qs[{q}]);" for q in range(qubits))
    bonds = " ".join(f"CNOT(qs[{q}], qs[{q + 1}]);" for q in range(qubits - 1))
    angle = float(2 * np.arcsin(np.sqrt(chance)))
    return f"""operation Wide(t : Double[]) : Result {{
        use qs = Qubit[{qubits}]; use flag = Qubit(); mutable going = true;
        while going {{ {turns} {bonds} Ry({angle!r}, flag); set going = MResetZ(flag) == Zero; }}
        let out = MResetZ(qs[{qubits - 1}]); ResetAll(qs); out
    }}"""


def layers(count: int) -> str:
    """A loop whose body has `count` parameters."""
    turns = " ".join(f"{('Ry', 'Rx')[j % 2]}(t[{j}], q);" for j in range(count))
    return f"""operation Layers(t : Double[]) : Result {{
        use q = Qubit(); use flag = Qubit(); mutable going = true;
        while going {{ {turns} Ry(1.0, flag); set going = MResetZ(flag) == Zero; }} MResetZ(q)
    }}"""


def timed(function, *args, repeats: int = 1) -> tuple[float, float, object]:
    """CPU and wall seconds of one call, the least of several, and what it returns."""
    best = (np.inf, np.inf)
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        out = jax.block_until_ready(function(*args))
        best = min(best, (time.process_time() - cpu, time.perf_counter() - wall))
    return *best, out


def programs() -> None:
    for name, known in KNOWN.items():
        theta = np.array(known["theta"])

        def whole(name=name, theta=theta):
            mean = diffquantum.expectation(diffquantum.load(ROOT / "diffquantum/programs/loops.qs", entry=name))
            return jax.jit(jax.value_and_grad(mean))(theta)

        cpu, wall, (value, slope) = timed(whole)
        error = abs(value - known["value"]) / max(1, abs(known["value"]))
        slopes = np.abs(np.array(slope) - known["gradient"]) / np.maximum(1, np.abs(known["gradient"]))
        print(
            f"{name:18} {cpu:5.2f} CPU s, {wall:5.2f} s; value {error:.0e}, gradient {np.max(slopes):.0e}", flush=True
        )


def larger() -> None:
    for name, text, size in (
        ("5 qubits and a flag, 10 turns", wide(5, 0.1), 10),
        ("4 qubits and a flag, 1e4 turns", wide(4, 1e-4), 8),
        ("5 qubits and a flag, 1e4 turns", wide(5, 1e-4), 10),
        ("6 qubits and a flag, 1e4 turns", wide(6, 1e-4), 12),
        ("1 parameter", layers(1), 1),
        ("100 parameters", layers(100), 100),
    ):
        theta = np.linspace(0.3, 0.9, size)
        mean = diffquantum.expectation(diffquantum.load(text, parameters=size))
        value, both = jax.jit(mean), jax.jit(jax.value_and_grad(mean))
        first, _, found = timed(both, theta)
        timed(value, theta)  # compiles
        times = range(1, 10 if first < 9 else 2)  # each at a point of its own: nothing is kept from one to the next
        one = min(timed(value, theta + 1e-7 * k)[0] for k in times)
        two = min(timed(both, theta - 1e-7 * k)[0] for k in times)
        step = 1e-5 * np.eye(size)[0]
        slope = float(value(theta + step) - value(theta - step)) / 2e-5
        turns = max(mean.termination(theta).mean_iterations)
        print(
            f"{name:30} {turns:.6g} turns; first call {first:.2f}, value {one:.5f}, with gradient {two:.5f} CPU s, "
            f"ratio {two / one:.2f}; against differences {abs(found[1][0] - slope):.0e}",
            flush=True,
        )


if __name__ == "__main__":
    if "larger" not in sys.argv:
        programs()
    larger()
