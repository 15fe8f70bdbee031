"""A random one-qubit gate out of two, repeated until the wanted one was drawn, with a correction that is learned.

    python examples/repeat_until_unitary.py [--small] [--out DIR]

A coin qubit decides between the gates U1 and U0. After U1 a correction V(t1, t2, t3) is applied and the coin is thrown
again; after U0 the program ends. It implements U0 if V undoes U1. The loss is the mean of (F - 1)^2 over four inputs, F
the chance to find the input after undoing U0; see Fang, Ying and Wu, TOSEM 33 (2023), arXiv 2211.04507, for the task.
"""

import argparse
import pathlib

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import matplotlib
import numpy as np
import optax

import diffquantum
import drivers

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SOURCE = """
operation Turn(a : Double, b : Double, c : Double, q : Qubit) : Unit is Adj { Rz(a, q); Ry(b, q); Rz(c, q); }

operation Missed(t1 : Double, t2 : Double, t3 : Double, x : Double, y : Double) : Result {
    use (q, coin) = (Qubit(), Qubit());
    Rx(x, q);
    Ry(y, q);
    H(coin);
    while M(coin) == One {
        Turn(U1, q);
        Turn(t1, t2, t3, q);
        Reset(coin);
        H(coin);
    }
    Turn(U0, q);
    Adjoint Turn(U0, q);
    Ry(-y, q);
    Rx(-x, q);
    Reset(coin);
    MResetZ(q)
}
"""
ANGLES = np.random.default_rng(0).uniform(0, 2 * np.pi, 6)
INPUTS = np.array([(0, 0), (np.pi / 2, 0), (np.pi, 0), (0, np.pi / 2)])

parser = argparse.ArgumentParser()
parser.add_argument("--small", action="store_true")
parser.add_argument("--out", default="runs/repeat_until_unitary")
arguments = parser.parse_args()
out = pathlib.Path(arguments.out)
out.mkdir(parents=True, exist_ok=True)

text = SOURCE
for name, part in (("U1", ANGLES[:3]), ("U0", ANGLES[3:])):
    text = text.replace(name, ", ".join(f"{a:.12f}" for a in part))
program = diffquantum.load(text, entry="Missed")
missed = diffquantum.expectation(program)
inputs = jnp.asarray(INPUTS)


def loss(t):
    """Mean of (F - 1)^2."""
    return jnp.mean(jax.vmap(lambda x: missed(jnp.concatenate([t, x])))(inputs) ** 2)


start = jnp.asarray(np.random.default_rng(1).uniform(0, 2 * np.pi, 3))
steps = 10 if arguments.small else 300
fit = drivers.ProgramFit(loss, optax.adam(0.1)).run(start, steps=steps)
print(f"exact: loss {float(loss(start)):.4f} -> {float(loss(fit.state)):.2e} at {fit.state.round(4)}")
undo = np.array([np.pi - ANGLES[2], ANGLES[1], np.pi - ANGLES[0]])
print(f"       the inverse of U1: loss {float(loss(jnp.asarray(undo))):.1e} at {undo.round(4)}")

# from shots: the values and the gradients of the four inputs come from runs of their own, so their product is unbiased
shots = 500 if arguments.small else 2_000
sampled = diffquantum.expectation(program, shots=shots)


@jax.jit
def step(t, memory, key):
    """One step of Adam on an unbiased gradient of the loss."""
    key, *keys = jax.random.split(key, 1 + len(inputs))

    def part(each):
        x, key = each
        theta, (one, two) = jnp.concatenate([t, x]), jax.random.split(key)
        return 2 * sampled(theta, one).mean * sampled.gradient(theta, two).mean[:3]

    slope = jnp.mean(jax.lax.map(part, (inputs, jnp.stack(keys))), axis=0)
    moves, memory = optimizer.update(slope, memory)
    return t + moves, memory, key


optimizer = optax.adam(0.2)
t, memory, key, path = start, optimizer.init(start), jax.random.key(0), [float(loss(start))]
for _ in range(0 if arguments.small else 40):
    t, memory, key = step(t, memory, key)
    path.append(float(loss(t)))
print(f"shots: {shots} a value and a gradient, pilot counted: loss {path[-1]:.2e} after {len(path) - 1} steps")

figure, axes = plt.subplots(figsize=(5.5, 3.8), layout="constrained")
axes.semilogy(np.asarray(fit.history["energy"]).ravel(), label="exact gradient, Adam 0.1")
axes.semilogy(path, label=f"derivative program, {shots} shots, Adam 0.2")
axes.set(xlabel="step", ylabel="loss (exact)", title="learning the correction of a random gate")
axes.legend()
figure.savefig(out / "repeat_until_unitary.png", dpi=110)
print("picture in", out / "repeat_until_unitary.png")
