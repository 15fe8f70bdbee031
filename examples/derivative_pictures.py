"""A Q# program with a loop beside its derivative program, where shifts go in, and errors against shots.

python examples/derivative_pictures.py [--small] [--out DIR]
"""

import argparse
import pathlib

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import matplotlib
import numpy as np

import diffquantum
from diffquantum.estimate import Roulette, Score, gradient, tuned

matplotlib.use("Agg")
import matplotlib.pyplot as plt

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
out.mkdir(parents=True, exist_ok=True)

program = diffquantum.load(SOURCE)
theta = jnp.array([1.0, 0.7])
law = Roulette((0.5, 0.25, 0.125))
texts = [program.to_qsharp(), diffquantum.derivative(program, "phi", law).to_qsharp()]
rows = max(t.count("\n") for t in texts)
figure, axes = plt.subplots(1, 2, figsize=(12.5, 0.19 * rows + 0.5), width_ratios=(2, 3))
for axis, text, title in zip(axes, texts, ("program", "derivative in phi: its mean is the derivative")):
    axis.axis("off")
    axis.set_title(title, loc="left", fontsize=11)
    new = set(text.splitlines()) - set(texts[0].splitlines())
    for i, line in enumerate(text.splitlines()):
        color = "tab:red" if line in new and axis is axes[1] else "black"
        axis.text(
            0, 1 - i / rows, line, family="monospace", fontsize=8.5, va="top", color=color, transform=axis.transAxes
        )
figure.subplots_adjust(left=0.01, right=0.99, top=0.93, bottom=0.01, wspace=0.02)
figure.savefig(out / "programs_side_by_side.png", dpi=80)

fitted = tuned(program, None, theta, jax.random.key(0), shots=4000, parameter="phi")
k = np.arange(1, 31)
stay = np.cos(0.5) ** 2  # chance to go on at theta = 1
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
left.bar(k, stay**k, color="lightgray", label="chance that occurrence k of phi happens")
left.plot(k, [fitted.probability(int(i)) for i in k], "o-", markersize=3, label="law fitted by a pilot run")
left.plot(k, [Roulette.mixture().probability(int(i)) for i in k], "s-", markersize=3, label="Roulette.mixture()")
left.set(xlabel="occurrence k", ylabel="probability", yscale="log", ylim=(1e-4, 1.2))
left.legend(fontsize=8)
exact = float(jax.grad(diffquantum.expectation(program))(theta)[1])
sizes = (1_000,) if arguments.small else (1_000, 16_000)
rules = {"coins, Roulette.mixture()": Roulette.mixture(), "Roulette()": Roulette(), "Score(), simulator only": Score()}
for shift, (name, rule) in enumerate(list(rules.items())[2 if arguments.small else 0 :]):
    found = [gradient(program, None, theta, jax.random.key(n), n, rule, parameters=("phi",)) for n in sizes]
    middles, errors = ([float(getattr(s, part)[0]) for s in found] for part in ("mean", "error"))
    right.errorbar(np.array(sizes) * 1.12**shift, middles, errors, fmt="o", capsize=3, markersize=4, label=name)
    print(f"{name:28}", *found)
right.axhline(exact, color="black", linewidth=0.8, label="exact")
right.set(xscale="log", xlabel="shots, pilot counted", ylabel="dE / d phi")
right.legend(fontsize=8)
figure.savefig(out / "programs_errors.png", dpi=100)
print("exact", exact, "pictures in", out)
