"""A Q# program with a loop beside its derivative program, where shifts go in, and errors against shots.

python examples/derivative_pictures.py [--small] [--out DIR]
"""

import argparse
import pathlib

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp

import diffquantum
from diffquantum import pictures
from diffquantum.estimate import Roulette, Score, tuned

SOURCE = """operation RusZ(theta : Double, phi : Double) : Result {
    use (q, r) = (Qubit(), Qubit());
    Ry(theta, r);
    while M(r) == Zero { Rx(phi, q); Ry(theta, r); }
    Reset(r);
    MResetZ(q)
}
"""
parser = argparse.ArgumentParser()
parser.add_argument("--small", action="store_true")
parser.add_argument("--out", default="runs/derivative_pictures")
arguments = parser.parse_args()
out = pathlib.Path(arguments.out)

program, theta = diffquantum.load(SOURCE), jnp.array([1.0, 0.7])
slope = diffquantum.derivative(program, "phi", Roulette((0.5, 0.25, 0.125)))
titles = ("program", "derivative in phi: its mean is the derivative")
pictures.side_by_side(program, slope, titles=titles, out=out / "programs_side_by_side.png")

laws = {"Roulette.mixture()": Roulette.mixture()}
if not arguments.small:
    laws["fitted by a pilot run"] = tuned(program, None, theta, jax.random.key(0), shots=4000, parameter="phi")
pictures.occurrences(program, theta, jax.random.key(1), "phi", laws, out=out / "programs_occurrences.png")

rules = {"coins, Roulette.mixture()": Roulette.mixture(), "Roulette()": Roulette(), "Score(), simulator only": Score()}
if arguments.small:
    rules = {"Score(), simulator only": Score()}
sizes = (1_000,) if arguments.small else (1_000, 4_000, 16_000)
picture = out / "programs_errors.png"
pictures.errors(program, None, theta, jax.random.key(2), "phi", rules, shots=sizes, out=picture)
print("pictures in", out)
