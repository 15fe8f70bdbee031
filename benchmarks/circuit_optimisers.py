"""Steps without a learning rate against tuned ones on a circuit, and what a proof of a minimum costs.

Six sites of the transverse-field Ising chain, four layers of Ry with CZ between them: 24 parameters.
`python benchmarks/circuit_optimisers.py`
"""

import time

import jax
import jax.numpy as jnp
import numpy as np

import diffquantum
from diffquantum.estimate.circuits import Band, band, certify_minimum, rotosolve, safe_step
from diffquantum.ir import Const, Gate, Parameter, Program
from qml.operator import PauliSum

jax.config.update("jax_enable_x64", True)
RATES = (0.02, 0.05, 0.1, 0.2, 0.4)


def ising(sites: int) -> PauliSum:
    """- sum Z Z - sum X on an open chain."""
    letters = [["I"] * sites for _ in range(2 * sites - 1)]
    for i in range(sites - 1):
        letters[i][i] = letters[i][i + 1] = "Z"
    for i in range(sites):
        letters[sites - 1 + i][i] = "X"
    return PauliSum({"".join(word): -1.0 for word in letters})


def circuit(sites: int, layers: int) -> Program:
    """Layers of Ry on every qubit, with CZ on every pair of neighbours between them."""
    body: list[Gate] = []
    for layer in range(layers):
        body += [Gate("ry", (Const(q),), Parameter(layer * sites + q)) for q in range(sites)]
        if layer < layers - 1:
            body += [Gate("cz", (Const(q), Const(q + 1))) for q in range(sites - 1)]
    names = tuple(f"t{i}" for i in range(sites * layers))
    return Program("Layers", names, sites, tuple(body), register=tuple(range(sites)))


def descend(mean, theta, step, count: int) -> np.ndarray:
    """The mean before each of some steps, and after the last."""

    @jax.jit
    def run(theta):
        return jax.lax.scan(lambda t, _: (step(t), mean(t)), theta, length=count)

    end, values = run(theta)
    return np.append(np.asarray(values), float(mean(end)))


def compare(count: int = 400, sites: int = 6, layers: int = 4) -> dict[str, np.ndarray]:
    """Means along the way, by name of the optimiser."""
    hamiltonian, program = ising(sites), circuit(sites, layers)
    size = len(program.parameters)
    mean = diffquantum.expectation(program, hamiltonian)
    levels = np.linalg.eigvalsh(hamiltonian.to_dense())
    theta = jnp.asarray(np.random.default_rng(0).uniform(-0.3, 0.3, size) + 0.5)
    exact = Band((1.0,) * size, float(levels[-1] + levels[0]) / 2, float(levels[-1] - levels[0]) / 2)
    slope, out = jax.grad(mean), {}
    for name, limits in (("safe steps, bound from the spectrum", exact), ("safe steps", band(program, hamiltonian))):
        out[name] = descend(mean, theta, lambda t, b=limits: safe_step(mean, t, slope(t), b), count)
    for rate in RATES:
        out[f"rate {rate}"] = descend(mean, theta, lambda t, r=rate: t - r * slope(t), count)
    values = [float(mean(theta))]
    for _ in range(count * 60 // 400):
        theta = rotosolve(jax.jit(mean), theta, program)
        values.append(float(mean(theta)))
    out["rotosolve, sweeps"] = np.array(values)
    out["exact"] = levels[:1]
    return out


if __name__ == "__main__":
    for name, values in compare().items():
        early, rise = values[min(50, len(values) - 1)], np.max(np.diff(values), initial=0)
        print(f"{name:38} {early:.5f} {values[-1]:.5f} largest rise {rise:.1e}")
    for sites, layers in ((2, 1), (3, 1)):
        start, hamiltonian, program = time.process_time(), ising(sites), circuit(sites, layers)
        levels = np.linalg.eigvalsh(hamiltonian.to_dense())
        limits = Band((1.0,) * (sites * layers), 0.0, float(levels[-1]))
        proof = certify_minimum(diffquantum.expectation(program, hamiltonian), limits, 1e-4)
        gap, seconds = proof.upper - proof.lower, time.process_time() - start
        print(
            f"{sites * layers} parameters: {proof.upper:.6f}, gap {gap:.1e}, {proof.boxes} boxes, {seconds:.1f} CPU s"
        )
